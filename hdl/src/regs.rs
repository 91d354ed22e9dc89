//! The register file behind AXI4-Lite, made from `abi::REGISTERS`.
//!
//! What: decodes addresses, stores the writable bits, gives each register's write as a pulse. A read chooses in three steps: which
//! register (one-hot, registered), then its bits among each half of them, then the half. The counters come by in turn (`counters`):
//! a read of one waits until it is shown, skipping what may have been on its way when the read came, so a value read while the counters are frozen is complete.
//! A write to PREDICT_DATA moves PREDICT_INDEX on.
//! Latency: a read answers four cycles after its address, a counter up to 25; a write two cycles after address and data, when its bits stand.
//! Cost: docs/utilisation.md, less where `value` is constant.
//! One transaction of each kind at a time: registers are no data path.

use abi::{Access, REGISTERS};
use leaf::prelude::*;

/// See the module's page. Element n of each array belongs to `abi::REGISTERS[n]`; the counters behind them have none.
#[derive(LogicBlock)]
pub struct Regs {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Clears the stored bits but not a bus transaction in progress.
    pub clear: Signal<In, Bit>,
    /// Write address.
    pub awaddr: Signal<In, Bits<12>>,
    /// Write address valid.
    pub awvalid: Signal<In, Bit>,
    /// Write address taken.
    pub awready: Signal<Out, Bit>,
    /// Write data.
    pub wdata: Signal<In, Bits<32>>,
    /// Byte enables.
    pub wstrb: Signal<In, Bits<4>>,
    /// Write data valid.
    pub wvalid: Signal<In, Bit>,
    /// Write data taken.
    pub wready: Signal<Out, Bit>,
    /// Always OKAY.
    pub bresp: Signal<Out, Bits<2>>,
    /// Write answered.
    pub bvalid: Signal<Out, Bit>,
    /// Answer taken.
    pub bready: Signal<In, Bit>,
    /// Read address.
    pub araddr: Signal<In, Bits<12>>,
    /// Read address valid.
    pub arvalid: Signal<In, Bit>,
    /// Read address taken.
    pub arready: Signal<Out, Bit>,
    /// Read data.
    pub rdata: Signal<Out, Bits<32>>,
    /// Always OKAY.
    pub rresp: Signal<Out, Bits<2>>,
    /// Read data valid.
    pub rvalid: Signal<Out, Bit>,
    /// Read data taken.
    pub rready: Signal<In, Bit>,
    /// Bits that the engine drives.
    pub value: Vec<Signal<In, Bits<32>>>,
    /// Bits that the host has stored.
    pub stored: Vec<Signal<Out, Bits<32>>>,
    /// The host writes this register in this cycle.
    pub hit: Vec<Signal<Out, Bit>>,
    /// Data of that write, zero where a byte enable is off.
    pub hit_data: Signal<Out, Bits<32>>,
    /// The counter that is shown now.
    pub counter_index: Signal<In, Bits<5>>,
    /// Its value.
    pub counter_value: Signal<In, Bits<64>>,
    keep: Vec<Dff<Bits<32>>>,
    offset: Vec<Constant<Bits<12>>>,
    mask: Vec<Constant<Bits<32>>>,
    answer: Dff<Bit>,
    stage: Dff<Bits<2>>,
    counting: Dff<Bit>,
    read_word: Dff<Bits<10>>,
    read_vld: Dff<Bit>,
    read_data: Dff<Bits<32>>,
    wr_vld: Dff<Bit>,
    wr_word: Dff<Bits<10>>,
    wr_data: Dff<Bits<32>>,
    wr_strb: Dff<Bits<4>>,
    low_half: Signal<Local, Bits<32>>,
    high_half: Signal<Local, Bits<32>>,
    low: Dff<Bits<32>>,
    high: Dff<Bits<32>>,
    write: Signal<Local, Bit>,
    lanes: Signal<Local, Bits<32>>,
    choice: Vec<Dff<Bit>>,
    part: Vec<Signal<Local, Bits<32>>>,
    c_counters: Constant<Bits<5>>,
    _n: usize,
    _half: usize,
    _data: usize,
}

/// The registers below the counters.
pub fn plain() -> &'static [abi::Register] {
    let counters = (REGISTERS.iter()).position(|r| r.offset >= abi::registers::COUNTERS_BASE);
    &REGISTERS[..counters.expect("the counters exist")]
}

/// Place of a register in [`plain`].
///
/// # Panics
/// If there is no such register.
pub fn place(name: &str) -> usize {
    let found = plain().iter().position(|r| r.name == name);
    found.unwrap_or_else(|| panic!("abi has no register {name}"))
}

fn each<T>(f: impl Fn(&abi::Register) -> T) -> Vec<T> {
    plain().iter().map(f).collect()
}

impl Default for Regs {
    fn default() -> Self {
        // The kernel's auto-increment and its walk of the counters.
        assert_eq!(place("PREDICT_INDEX") + 1, place("PREDICT_DATA"));
        assert_eq!(abi::registers::COUNTERS_BASE, 0x100);
        Self {
            clk: Default::default(),
            rst: Default::default(),
            clear: Default::default(),
            awaddr: Default::default(),
            awvalid: Default::default(),
            awready: Default::default(),
            wdata: Default::default(),
            wstrb: Default::default(),
            wvalid: Default::default(),
            wready: Default::default(),
            bresp: Default::default(),
            bvalid: Default::default(),
            bready: Default::default(),
            araddr: Default::default(),
            arvalid: Default::default(),
            arready: Default::default(),
            rdata: Default::default(),
            rresp: Default::default(),
            rvalid: Default::default(),
            rready: Default::default(),
            value: each(|_| Default::default()),
            stored: each(|_| Default::default()),
            hit: each(|_| Default::default()),
            hit_data: Default::default(),
            counter_index: Default::default(),
            counter_value: Default::default(),
            keep: each(|_| Default::default()),
            offset: each(|r| Constant::new(u64::from(r.offset).to_bits())),
            mask: each(|r| {
                let stores = r.access == Access::Rw;
                Constant::new(if stores { u64::from(r.mask) } else { 0 }.to_bits())
            }),
            answer: Default::default(),
            stage: Default::default(),
            counting: Default::default(),
            read_word: Default::default(),
            read_vld: Default::default(),
            read_data: Default::default(),
            wr_vld: Default::default(),
            wr_word: Default::default(),
            wr_data: Default::default(),
            wr_strb: Default::default(),
            low_half: Default::default(),
            high_half: Default::default(),
            low: Default::default(),
            high: Default::default(),
            write: Default::default(),
            lanes: Default::default(),
            choice: each(|_| Default::default()),
            part: each(|_| Default::default()),
            c_counters: Constant::new((abi::registers::COUNTERS.len() as u64).to_bits()),
            _n: plain().len(),
            _half: plain().len() / 2,
            _data: place("PREDICT_DATA"),
        }
    }
}

impl Logic for Regs {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("regs");
        dff_setup!(self, clk, answer, stage, counting, read_word, read_vld, read_data);
        dff_setup!(self, clk, wr_vld, wr_word, wr_data, wr_strb, low, high);

        // Write: address and data are taken together, when the write before is stored and answered: what follows CONTROL.reset on
        // the bus comes after what that clears.
        self.write.next =
            self.awvalid.val() && self.wvalid.val() && !self.wr_vld.q.val() && !self.answer.q.val();
        self.awready.next = self.write.val();
        self.wready.next = self.write.val();
        self.bvalid.next = self.answer.q.val();
        self.bresp.next = 0.into();
        self.wr_vld.d.next = self.write.val();
        self.wr_word.d.next = self.awaddr.val().get_bits::<10>(2);
        self.wr_data.d.next = self.wdata.val();
        self.wr_strb.d.next = self.wstrb.val();
        if self.wr_vld.q.val() {
            self.answer.d.next = true;
        }
        if self.answer.q.val() && self.bready.val() {
            self.answer.d.next = false;
        }
        self.lanes.next = 0.into();
        if self.wr_strb.q.val().get_bit(0) {
            self.lanes.next = self.lanes.val() | 0xFFu64;
        }
        if self.wr_strb.q.val().get_bit(1) {
            self.lanes.next = self.lanes.val() | 0xFF00u64;
        }
        if self.wr_strb.q.val().get_bit(2) {
            self.lanes.next = self.lanes.val() | 0xFF0000u64;
        }
        if self.wr_strb.q.val().get_bit(3) {
            self.lanes.next = self.lanes.val() | 0xFF000000u64;
        }
        self.hit_data.next = self.wr_data.q.val() & self.lanes.val();
        for i in 0..self._n {
            self.keep[i].clock.next = self.clk.val();
            self.keep[i].d.next = self.keep[i].q.val();
            self.hit[i].next = false;
            self.stored[i].next = self.keep[i].q.val();
            if self.wr_vld.q.val() && self.wr_word.q.val() == self.offset[i].val().get_bits::<10>(2)
            {
                self.hit[i].next = true;
                self.keep[i].d.next = (self.hit_data.val()
                    | (self.keep[i].q.val() & !self.lanes.val()))
                    & self.mask[i].val();
            }
        }
        for i in self._data..(self._data + 1) {
            if self.hit[i].val() {
                self.keep[i - 1].d.next = (self.keep[i - 1].q.val() + 1) & 0xFFFFu64;
            }
        }
        for i in 0..self._n {
            if self.rst.val() || self.clear.val() {
                self.keep[i].d.next = 0.into();
            }
        }

        // Read: take the address, find the register, choose its bits, or wait for the counter.
        self.arready.next = self.stage.q.val() == 0 && !self.read_vld.q.val();
        if self.arvalid.val() && self.stage.q.val() == 0 && !self.read_vld.q.val() {
            self.stage.d.next = 1.into();
            self.read_word.d.next = self.araddr.val().get_bits::<10>(2);
        }
        self.low_half.next = 0.into();
        self.high_half.next = 0.into();
        for i in 0..self._n {
            self.choice[i].clock.next = self.clk.val();
            self.choice[i].d.next =
                self.read_word.q.val() == self.offset[i].val().get_bits::<10>(2);
            self.part[i].next = 0.into();
            if self.choice[i].q.val() {
                self.part[i].next = self.keep[i].q.val() | self.value[i].val();
            }
        }
        for i in 0..self._half {
            self.low_half.next = self.low_half.val() | self.part[i].val();
        }
        for i in self._half..self._n {
            self.high_half.next = self.high_half.val() | self.part[i].val();
        }
        self.low.d.next = self.low_half.val();
        self.high.d.next = self.high_half.val();
        self.counting.d.next = self.read_word.q.val().get_bits::<4>(6) == 1
            && self.read_word.q.val().get_bits::<5>(1) < self.c_counters.val();
        if self.stage.q.val() == 1 {
            self.stage.d.next = 2.into();
        }
        if self.stage.q.val() == 2 {
            self.stage.d.next = 3.into();
        }
        if self.stage.q.val() == 3 {
            self.read_data.d.next = self.low.q.val() | self.high.q.val();
            if !self.counting.q.val() {
                self.stage.d.next = 0.into();
                self.read_vld.d.next = true;
            }
        }
        if self.stage.q.val() == 3
            && self.counting.q.val()
            && self.counter_index.val() == self.read_word.q.val().get_bits::<5>(1)
        {
            self.stage.d.next = 0.into();
            self.read_vld.d.next = true;
            self.read_data.d.next = self.counter_value.val().get_bits::<32>(0);
            if self.read_word.q.val().get_bit(0) {
                self.read_data.d.next = self.counter_value.val().get_bits::<32>(32);
            }
        }
        self.rvalid.next = self.read_vld.q.val();
        self.rdata.next = self.read_data.q.val();
        self.rresp.next = 0.into();
        if self.read_vld.q.val() && self.rready.val() {
            self.read_vld.d.next = false;
        }

        if self.rst.val() {
            self.wr_vld.d.next = false;
            self.answer.d.next = false;
            self.stage.d.next = 0.into();
            self.read_vld.d.next = false;
        }
    }
}
