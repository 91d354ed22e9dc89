//! MSI-X and MSI: the table, the pending bits, and the memory writes that are interrupts.
//!
//! What: a vector that is raised becomes pending; the lowest one that is pending and not masked is sent and is pending no more, so
//! events of one vector that come while it waits become one message. With MSI instead of MSI-X every vector sends the one message;
//! with neither, events are forgotten. Nothing is sent without Bus Master Enable.
//!
//! Cost (ECP5): 580 LUTs, 230 flip-flops, 48 distributed RAM cells. Latency: 6 cycles from the event to the offer. Bottleneck: one
//! message in 5 cycles. Hazard: table words are written whole, as the specification demands of software.

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Msix {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: reset of the function too.
    pub rst: Signal<In, Bit>,
    /// Write a word of the table.
    pub mx_write: Signal<In, Bit>,
    /// Bits 11..2 of its address: the table from 0, pending bits at 0xFE0.
    pub mx_addr: Signal<In, Bits<10>>,
    /// The word.
    pub mx_data: Signal<In, Bits<32>>,
    /// The word at an address that has stood for three cycles.
    pub mx_word: Signal<Out, Bits<32>>,
    /// An event.
    pub ms_vld: Signal<In, Bit>,
    /// Always: it is noted.
    pub ms_rdy: Signal<Out, Bit>,
    /// Its vector.
    pub ms_vector: Signal<In, Bits<5>>,
    /// Bus, device and function.
    pub id: Signal<In, Bits<16>>,
    /// Bus Master Enable.
    pub enable: Signal<In, Bit>,
    /// MSI-X Enable.
    pub msix: Signal<In, Bit>,
    /// Function Mask.
    pub masked: Signal<In, Bit>,
    /// MSI Enable.
    pub msi: Signal<In, Bit>,
    /// MSI address, bits 63..2.
    pub msi_addr: Signal<In, Bits<62>>,
    /// MSI data.
    pub msi_data: Signal<In, Bits<16>>,
    /// A message to send.
    pub tx_vld: Signal<Out, Bit>,
    /// It is sent.
    pub tx_done: Signal<In, Bit>,
    /// Header of its write.
    pub tx_header: Signal<Out, Bits<128>>,
    /// Its data.
    pub tx_data: Signal<Out, Bits<32>>,
    low: Dram<32, 5>,
    high: Dram<32, 5>,
    data: Dram<32, 5>,
    mask: Dff<Bits<32>>,
    pending: Dff<Bits<32>>,
    // 0 look, 1 address, 2 fetch, 3 offer.
    open: Dff<Bits<32>>,
    at: Dff<Bits<5>>,
    state: Dff<Bits<2>>,
    vector: Dff<Bits<5>>,
    addr: Dff<Bits<62>>,
    value: Dff<Bits<32>>,
    word: Dff<Bits<32>>,

    lowest: Signal<Local, Bits<32>>,
    found: Signal<Local, Bits<5>>,
    entry: Signal<Local, Bits<5>>,
    hit: Signal<Local, Bit>,
    set: Signal<Local, Bits<32>>,
    clear: Signal<Local, Bits<32>>,
    four: Signal<Local, Bit>,
}

impl Default for Msix {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            mx_write: Default::default(),
            mx_addr: Default::default(),
            mx_data: Default::default(),
            mx_word: Default::default(),
            ms_vld: Default::default(),
            ms_rdy: Default::default(),
            ms_vector: Default::default(),
            id: Default::default(),
            enable: Default::default(),
            msix: Default::default(),
            masked: Default::default(),
            msi: Default::default(),
            msi_addr: Default::default(),
            msi_data: Default::default(),
            tx_vld: Default::default(),
            tx_done: Default::default(),
            tx_header: Default::default(),
            tx_data: Default::default(),
            low: Dram::new(abi::pci::VECTORS),
            high: Dram::new(abi::pci::VECTORS),
            data: Dram::new(abi::pci::VECTORS),
            mask: Dff::new(0xFFFF_FFFFu64.to_bits()),
            pending: Default::default(),
            open: Default::default(),
            at: Default::default(),
            state: Default::default(),
            vector: Default::default(),
            addr: Default::default(),
            value: Default::default(),
            word: Default::default(),
            lowest: Default::default(),
            found: Default::default(),
            entry: Default::default(),
            hit: Default::default(),
            set: Default::default(),
            clear: Default::default(),
            four: Default::default(),
        }
    }
}

impl Logic for Msix {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_msix");
        clock!(self, clk, low, high, data);
        dff_setup!(self, clk, mask, pending, open, at, state, vector, addr, value, word);

        // The table; fetching a message uses its port for one cycle.
        self.hit.next = self.mx_addr.val().get_bits::<3>(7) == 0;
        self.entry.next = self.mx_addr.val().get_bits::<5>(2);
        self.low.we.next =
            self.mx_write.val() && self.hit.val() && self.mx_addr.val().get_bits::<2>(0) == 0;
        self.low.waddr.next = self.entry.val();
        self.low.wdata.next = self.mx_data.val();
        self.high.we.next =
            self.mx_write.val() && self.hit.val() && self.mx_addr.val().get_bits::<2>(0) == 1;
        self.high.waddr.next = self.entry.val();
        self.high.wdata.next = self.mx_data.val();
        self.data.we.next =
            self.mx_write.val() && self.hit.val() && self.mx_addr.val().get_bits::<2>(0) == 2;
        self.data.waddr.next = self.entry.val();
        self.data.wdata.next = self.mx_data.val();
        self.low.raddr.next = self.at.q.val();
        self.high.raddr.next = self.at.q.val();
        self.data.raddr.next = self.at.q.val();
        self.at.d.next = self.entry.val();
        if self.state.q.val() == 1 {
            self.at.d.next = self.vector.q.val();
        }
        if self.state.q.val() != 2 {
            self.word.d.next = self.low.rdata.val();
            if self.mx_addr.val().get_bits::<2>(0) == 1 {
                self.word.d.next = self.high.rdata.val();
            }
            if self.mx_addr.val().get_bits::<2>(0) == 2 {
                self.word.d.next = self.data.rdata.val();
            }
            if self.mx_addr.val().get_bits::<2>(0) == 3 {
                self.word.d.next =
                    bit_cast::<32, 1>(self.mask.q.val().get_bit(self.entry.val().index()).into());
            }
            if !self.hit.val() {
                self.word.d.next = 0.into();
                if self.mx_addr.val() == 0x3F8 {
                    self.word.d.next = self.pending.q.val();
                }
            }
        }
        self.mx_word.next = self.word.q.val();
        if self.mx_write.val() && self.hit.val() && self.mx_addr.val().get_bits::<2>(0) == 3 {
            self.mask.d.next = self
                .mask
                .q
                .val()
                .replace_bit(self.entry.val().index(), self.mx_data.val().get_bit(0));
        }

        // Events.
        self.ms_rdy.next = true;
        self.set.next = 0.into();
        if self.ms_vld.val() {
            self.set.next = bits::<32>(1) << self.ms_vector.val();
        }

        // The lowest that may be sent.
        self.open.d.next = 0.into();
        if self.msix.val() {
            if !self.masked.val() {
                self.open.d.next = self.pending.q.val() & !self.mask.q.val();
            }
        } else if self.msi.val() {
            self.open.d.next = self.pending.q.val();
        }
        self.lowest.next = self.open.q.val() & (bits::<32>(0) - self.open.q.val());
        self.found.next = 0.into();
        for n in 0..32 {
            if self.lowest.val().get_bit(n) {
                self.found.next = self.found.val() | n.to_bits();
            }
        }
        self.clear.next = 0.into();
        if self.state.q.val() == 0 {
            self.vector.d.next = self.found.val();
            if self.open.q.val().any() && self.enable.val() {
                self.state.d.next = 1.into();
            }
        }
        if self.state.q.val() == 1 {
            self.state.d.next = 2.into();
        }
        if self.state.q.val() == 2 {
            self.state.d.next = 3.into();
            self.clear.next = bits::<32>(1) << self.vector.q.val();
            self.addr.d.next = (bit_cast::<62, 32>(self.high.rdata.val()) << 30)
                | bit_cast::<62, 30>(self.low.rdata.val().get_bits::<30>(2));
            self.value.d.next = self.data.rdata.val();
            if !self.msix.val() {
                self.addr.d.next = self.msi_addr.val();
                self.value.d.next = bit_cast::<32, 16>(self.msi_data.val());
            }
        }
        if self.state.q.val() == 3 && self.tx_done.val() {
            self.state.d.next = 0.into();
        }
        if !self.msix.val() && !self.msi.val() {
            self.clear.next = !self.clear.val();
        }
        self.pending.d.next = (self.pending.q.val() & !self.clear.val()) | self.set.val();

        // The write of one word.
        self.tx_vld.next = self.state.q.val() == 3;
        self.tx_data.next = self.value.q.val();
        self.four.next = self.addr.q.val().get_bits::<32>(30) != 0;
        self.tx_header.next = bits::<128>(0x0000_000F_4000_0001u64)
            | (bit_cast::<128, 16>(self.id.val()) << 48)
            | (bit_cast::<128, 30>(self.addr.q.val().get_bits::<30>(0)) << 66);
        if self.four.val() {
            self.tx_header.next = bits::<128>(0x0000_000F_6000_0001u64)
                | (bit_cast::<128, 16>(self.id.val()) << 48)
                | (bit_cast::<128, 32>(self.addr.q.val().get_bits::<32>(30)) << 64)
                | (bit_cast::<128, 30>(self.addr.q.val().get_bits::<30>(0)) << 98);
        }

        if self.rst.val() {
            self.mask.d.next = !bits::<32>(0);
            self.pending.d.next = 0.into();
            if self.state.q.val() != 3 {
                self.state.d.next = 0.into();
            }
        }
    }
}
