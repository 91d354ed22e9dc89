//! The performance counters: 64 bits each, in the order of `abi::registers::COUNTERS`.
//!
//! What: adds `add_n` to counter n every cycle unless `freeze`. Cost: 64 flip-flops and a 64-bit adder each. Latency 1.
//! The cause counters are exact because their increments are one-hot with the cycle's (`causes` in `engine`).

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Counters {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: all counters to zero.
    pub rst: Signal<In, Bit>,
    /// Holds all counters.
    pub freeze: Signal<In, Bit>,
    /// Increments.
    pub add: Vec<Signal<In, Bits<16>>>,
    /// Values.
    pub value: Vec<Signal<Out, Bits<64>>>,
    count: Vec<Dff<Bits<64>>>,
    _n: usize,
}

impl Default for Counters {
    fn default() -> Self {
        let n = abi::registers::COUNTERS.len();
        Self {
            clk: Default::default(),
            rst: Default::default(),
            freeze: Default::default(),
            add: (0..n).map(|_| Default::default()).collect(),
            value: (0..n).map(|_| Default::default()).collect(),
            count: (0..n).map(|_| Default::default()).collect(),
            _n: n,
        }
    }
}

impl Logic for Counters {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("counters");
        for i in 0..self._n {
            self.count[i].clock.next = self.clk.val();
            self.count[i].d.next = self.count[i].q.val();
            if !self.freeze.val() {
                self.count[i].d.next =
                    self.count[i].q.val() + unsigned_cast_zx::<64, 16>(self.add[i].val());
            }
            if self.rst.val() {
                self.count[i].d.next = 0.into();
            }
            self.value[i].next = self.count[i].q.val();
        }
    }
}
