//! Interrupts and messages in one line: error reports and INTx beside the writes of MSI-X.
//!
//! What: an error report waits in one bit of its kind, so reports of one kind that come while it waits become one. Assert_INTA and
//! Deassert_INTA follow the level. The messages go first, then what `msix` offers. Cost (ECP5): 60 LUTs, 140 flip-flops. Latency: 2
//! cycles. Hazard: none.

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock, Default)]
pub struct Messages {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: not by a reset of the function alone, so that the interrupt line is put down after one.
    pub rst: Signal<In, Bit>,
    /// Bus, device and function.
    pub id: Signal<In, Bits<16>>,
    /// Send ERR_COR.
    pub correctable: Signal<In, Bit>,
    /// Send ERR_NONFATAL.
    pub nonfatal: Signal<In, Bit>,
    /// Send ERR_FATAL.
    pub fatal: Signal<In, Bit>,
    /// Level of INTA.
    pub intx: Signal<In, Bit>,
    /// A write of `msix`.
    pub mx_vld: Signal<In, Bit>,
    /// It is sent.
    pub mx_done: Signal<Out, Bit>,
    /// Header.
    pub mx_header: Signal<In, Bits<128>>,
    /// Something to send.
    pub tx_vld: Signal<Out, Bit>,
    /// It is sent: not in the cycle after another `tx_done`.
    pub tx_done: Signal<In, Bit>,
    /// Something is being sent, or about to be.
    pub busy: Signal<Out, Bit>,
    /// Header.
    pub tx_header: Signal<Out, Bits<128>>,
    // Reports that wait: correctable, non-fatal, fatal.
    reports: Dff<Bits<3>>,
    line: Dff<Bit>,
    made: Dff<Bits<128>>,
    shows: Dff<Bit>,
    // What is on offer: 0 nothing, 1 a write, 2 ERR_COR, 3 ERR_NONFATAL, 4 ERR_FATAL, 5 Assert_INTA, 6 Deassert_INTA.
    offer: Dff<Bits<3>>,
    rest: Signal<Local, Bits<3>>,
    word0: Signal<Local, Bits<32>>,
    code: Signal<Local, Bits<8>>,
}

impl Logic for Messages {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_messages");
        dff_setup!(self, clk, reports, line, offer, made, shows);
        self.rest.next = self.reports.q.val();
        if self.offer.q.val() == 0 || self.tx_done.val() {
            self.offer.d.next = 0.into();
            if self.reports.q.val().get_bit(2) {
                self.offer.d.next = 4.into();
                self.rest.next = self.reports.q.val() & 3;
            } else if self.reports.q.val().get_bit(1) {
                self.offer.d.next = 3.into();
                self.rest.next = self.reports.q.val() & 5;
            } else if self.reports.q.val().get_bit(0) {
                self.offer.d.next = 2.into();
                self.rest.next = self.reports.q.val() & 6;
            } else if self.intx.val() && !self.line.q.val() {
                self.offer.d.next = 5.into();
                self.line.d.next = true;
            } else if !self.intx.val() && self.line.q.val() {
                self.offer.d.next = 6.into();
                self.line.d.next = false;
            } else if self.mx_vld.val() && self.offer.q.val() != 1 {
                self.offer.d.next = 1.into();
            }
        }
        self.reports.d.next = self.rest.val()
            | bit_cast::<3, 1>(self.correctable.val().into())
            | (bit_cast::<3, 1>(self.nonfatal.val().into()) << 1)
            | (bit_cast::<3, 1>(self.fatal.val().into()) << 2);

        // Errors are routed to the root complex, INTx ends at the next port.
        self.word0.next = 0x3000_0000.into();
        self.code.next = 0x30.into();
        if self.offer.q.val() == 3 {
            self.code.next = 0x31.into();
        }
        if self.offer.q.val() == 4 {
            self.code.next = 0x33.into();
        }
        if self.offer.q.val() == 5 {
            self.word0.next = 0x3400_0000.into();
            self.code.next = 0x20.into();
        }
        if self.offer.q.val() == 6 {
            self.word0.next = 0x3400_0000.into();
            self.code.next = 0x24.into();
        }
        self.made.d.next = bit_cast::<128, 32>(self.word0.val())
            | (bit_cast::<128, 8>(self.code.val()) << 32)
            | (bit_cast::<128, 16>(self.id.val()) << 48);
        if self.offer.q.val() == 1 {
            self.made.d.next = self.mx_header.val();
        }
        self.shows.d.next = self.offer.q.val() != 0 && !self.tx_done.val();
        self.tx_header.next = self.made.q.val();
        self.tx_vld.next = self.shows.q.val();
        self.busy.next = self.offer.q.val() != 0;
        self.mx_done.next = self.tx_done.val() && self.offer.q.val() == 1;

        if self.rst.val() {
            self.reports.d.next = 0.into();
            self.line.d.next = false;
            self.offer.d.next = 0.into();
            self.shows.d.next = false;
        }
    }
}
