//! A UART: bytes to and from two wires, eight bits, no parity, one stop bit, the lowest bit first.
//!
//! What: `out` brings every byte that was received with a valid stop bit, for one cycle; there is no way to hold it, since the wire cannot
//! wait. `in` takes a byte while none is being sent. Cycles of a bit are fixed when the unit is made. Cost: docs/utilisation.md.
//! Latency: a byte is ten bit times, its first sample half a bit after the edge. Bottleneck: the wire.
//! Hazards: a start bit that is gone after half a bit is noise and forgotten; `rx` comes from another clock and passes two registers.

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Uart {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// The wire from the host, high while idle.
    pub rx: Signal<In, Bit>,
    /// The wire to the host.
    pub tx: Signal<Out, Bit>,
    /// A byte to send.
    pub in_vld: Signal<In, Bit>,
    /// Byte taken.
    pub in_rdy: Signal<Out, Bit>,
    /// The byte.
    pub in_data: Signal<In, Bits<8>>,
    /// A byte was received.
    pub out_vld: Signal<Out, Bit>,
    /// The byte.
    pub out_data: Signal<Out, Bits<8>>,
    rx_first: Dff<Bit>,
    rx_safe: Dff<Bit>,
    rx_busy: Dff<Bit>,
    rx_wait: Dff<Bits<16>>,
    rx_left: Dff<Bits<4>>,
    rx_bits: Dff<Bits<8>>,
    rx_vld: Dff<Bit>,
    tx_wire: Dff<Bit>,
    tx_wait: Dff<Bits<16>>,
    tx_left: Dff<Bits<4>>,
    tx_bits: Dff<Bits<9>>,
    bit_time: Constant<Bits<16>>,
    half_time: Constant<Bits<16>>,
}

impl Uart {
    /// With this many cycles per bit, 8 to 65536.
    ///
    /// # Panics
    /// With any other number: the designer's mistake.
    pub fn new(cycles: u32) -> Self {
        assert!((8..=1 << 16).contains(&cycles), "{cycles} cycles per bit");
        Self {
            clk: Default::default(),
            rst: Default::default(),
            rx: Default::default(),
            tx: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_data: Default::default(),
            out_vld: Default::default(),
            out_data: Default::default(),
            rx_first: Dff::new(true),
            rx_safe: Dff::new(true),
            rx_busy: Default::default(),
            rx_wait: Default::default(),
            rx_left: Default::default(),
            rx_bits: Default::default(),
            rx_vld: Default::default(),
            tx_wire: Dff::new(true),
            tx_wait: Default::default(),
            tx_left: Default::default(),
            tx_bits: Default::default(),
            bit_time: Constant::new(u64::from(cycles - 1).to_bits()),
            half_time: Constant::new(u64::from(cycles / 2 - 1).to_bits()),
        }
    }
}

impl Logic for Uart {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("uart");
        dff_setup!(self, clk, rx_first, rx_safe, rx_busy, rx_wait, rx_left, rx_bits, rx_vld);
        dff_setup!(self, clk, tx_wire, tx_wait, tx_left, tx_bits);

        // From the wire: nine samples after the start bit's, a bit time apart; the ninth is the stop bit.
        self.rx_first.d.next = self.rx.val();
        self.rx_safe.d.next = self.rx_first.q.val();
        self.rx_vld.d.next = false;
        if !self.rx_busy.q.val() {
            self.rx_wait.d.next = self.half_time.val();
            self.rx_left.d.next = 9.into();
            if !self.rx_safe.q.val() {
                self.rx_busy.d.next = true;
            }
        } else if self.rx_wait.q.val() != 0 {
            self.rx_wait.d.next = self.rx_wait.q.val() - 1;
        } else {
            self.rx_wait.d.next = self.bit_time.val();
            self.rx_left.d.next = self.rx_left.q.val() - 1;
            if self.rx_left.q.val() == 9 && self.rx_safe.q.val() {
                self.rx_busy.d.next = false;
            }
            if self.rx_left.q.val() == 0 {
                self.rx_busy.d.next = false;
                self.rx_vld.d.next = self.rx_safe.q.val();
            } else {
                self.rx_bits.d.next = (bit_cast::<8, 8>(self.rx_bits.q.val()) >> 1)
                    .replace_bit(7, self.rx_safe.q.val());
            }
        }
        self.out_vld.next = self.rx_vld.q.val();
        self.out_data.next = self.rx_bits.q.val();

        // To the wire: start bit, the byte, stop bit.
        self.in_rdy.next = self.tx_left.q.val() == 0;
        self.tx.next = self.tx_wire.q.val();
        if self.tx_left.q.val() == 0 {
            self.tx_wire.d.next = true;
            if self.in_vld.val() {
                self.tx_wire.d.next = false;
                self.tx_left.d.next = 10.into();
                self.tx_wait.d.next = self.bit_time.val();
                self.tx_bits.d.next = bit_cast::<9, 8>(self.in_data.val()) | 0x100u64;
            }
        } else if self.tx_wait.q.val() != 0 {
            self.tx_wait.d.next = self.tx_wait.q.val() - 1;
        } else {
            self.tx_wait.d.next = self.bit_time.val();
            self.tx_left.d.next = self.tx_left.q.val() - 1;
            self.tx_wire.d.next = self.tx_bits.q.val().get_bit(0);
            self.tx_bits.d.next = (self.tx_bits.q.val() >> 1) | 0x100u64;
        }

        if self.rst.val() {
            self.rx_busy.d.next = false;
            self.rx_vld.d.next = false;
            self.tx_wire.d.next = true;
            self.tx_left.d.next = 0.into();
        }
    }
}
