//! The performance counters: 64 bits each, in the order of `abi::registers::COUNTERS`.
//!
//! What: adds `add_n` to counter n every cycle unless `freeze`. The 64-bit values stand in one small memory that is walked round and
//! round, a counter per cycle; what comes in between the visits (17 cycles apart) waits in a short register of each counter. Every
//! visit shows the counter's new value for one cycle: `index`, `value`; whoever wants one waits for its turn.
//! Cost: docs/utilisation.md.
//! Latency: an increment is in the first value shown two cycles or more after it; nothing is ever lost, so the cause counters sum
//! exactly, because their increments are one-hot with the cycle's (`causes` in `engine`).
//!
//! Hazards: a counter's word is written two cycles after it is read and read again 15 cycles later, so the memory never reads what
//! it writes. After reset one walk takes zero instead of the memory's words.

use leaf::prelude::*;

/// Bits of the increments that one cycle can bring to a counter (most are 1; beats are counted with 16 bytes each).
const WIDTHS: [(&str, u32, u32); 17] = [
    // name, bits of an increment, its factor as a power of two
    ("CYCLES", 1, 0),
    ("COMPUTING", 1, 0),
    ("MEMORY", 1, 0),
    ("HOST", 1, 0),
    ("SLOT", 1, 0),
    ("DRAIN", 1, 0),
    ("IDLE", 1, 0),
    ("MACS", 16, 0),
    ("READ_BYTES", 2, 4),
    ("WRITTEN_BYTES", 1, 4),
    ("SATURATIONS", 4, 0),
    ("SKIPPED", 16, 0),
    ("EXPERT_USES", 1, 0),
    ("PREDICT_HITS", 1, 0),
    ("PREFETCH_ABORTS", 3, 0),
    ("PREFETCH_BYTES", 1, 4),
    ("PREFETCH_USED", 16, 4),
];

/// See the module's page.
#[derive(LogicBlock)]
pub struct Counters {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: all counters to zero.
    pub rst: Signal<In, Bit>,
    /// Holds all counters.
    pub freeze: Signal<In, Bit>,
    /// Increments; those of counters of bytes in beats. As wide as `WIDTHS` says, higher bits are zero.
    pub add: Vec<Signal<In, Bits<16>>>,
    /// The counter that is shown.
    pub index: Signal<Out, Bits<5>>,
    /// Its value.
    pub value: Signal<Out, Bits<64>>,
    pending: Vec<Dff<Bits<21>>>,
    gated: Vec<Signal<Local, Bits<25>>>,
    turn: Dff<Bits<17>>,
    at: Dff<Bits<5>>,
    at1: Dff<Bits<5>>,
    at2: Dff<Bits<5>>,
    fresh: Dff<Bit>,
    fresh1: Dff<Bit>,
    more: Dff<Bits<25>>,
    sum: Dff<Bits<64>>,
    memory: Ram<64, 5>,
    chosen: Signal<Local, Bits<25>>,
    word: Signal<Local, Bits<64>>,
    mask: Vec<Constant<Bits<21>>>,
    factor: Vec<Constant<Bits<25>>>,
    _n: usize,
}

impl Default for Counters {
    fn default() -> Self {
        let names: Vec<&str> = WIDTHS.iter().map(|w| w.0).collect();
        assert_eq!(names, abi::registers::COUNTERS, "WIDTHS names the counters");
        let n = WIDTHS.len();
        Self {
            clk: Default::default(),
            rst: Default::default(),
            freeze: Default::default(),
            add: (0..n).map(|_| Default::default()).collect(),
            index: Default::default(),
            value: Default::default(),
            pending: (0..n).map(|_| Default::default()).collect(),
            gated: (0..n).map(|_| Default::default()).collect(),
            turn: Default::default(),
            at: Default::default(),
            at1: Default::default(),
            at2: Default::default(),
            fresh: Default::default(),
            fresh1: Default::default(),
            more: Default::default(),
            sum: Default::default(),
            memory: Ram::new(n),
            chosen: Default::default(),
            word: Default::default(),
            // 17 cycles' increments: five bits more than one.
            mask: (WIDTHS.iter())
                .map(|w| Constant::new(((1u64 << (w.1 + 5)) - 1).to_bits()))
                .collect(),
            factor: (WIDTHS.iter())
                .map(|w| Constant::new(u64::from(w.2).to_bits()))
                .collect(),
            _n: n,
        }
    }
}

impl Logic for Counters {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("counters");
        dff_setup!(self, clk, turn, at, at1, at2, fresh, fresh1, more, sum);
        clock!(self, clk, memory);

        // Whose turn it is, as a number and one-hot.
        self.at.d.next = self.at.q.val() + 1;
        self.turn.d.next = self.turn.q.val() << 1;
        if self.turn.q.val().get_bit(16) {
            self.at.d.next = 0.into();
            self.turn.d.next = 1.into();
            self.fresh.d.next = false;
        }

        // What waits, and what is taken from it.
        self.chosen.next = 0.into();
        for i in 0..self._n {
            self.pending[i].clock.next = self.clk.val();
            self.pending[i].d.next = self.pending[i].q.val();
            if self.turn.q.val().get_bit(i) {
                self.pending[i].d.next = 0.into();
                if !self.freeze.val() {
                    self.pending[i].d.next =
                        unsigned_cast_zx::<21, 16>(self.add[i].val()) & self.mask[i].val();
                }
            } else if !self.freeze.val() {
                self.pending[i].d.next = (self.pending[i].q.val()
                    + unsigned_cast_zx::<21, 16>(self.add[i].val()))
                    & self.mask[i].val();
            }
            if self.rst.val() {
                self.pending[i].d.next = 0.into();
            }
            self.gated[i].next = 0.into();
            if self.turn.q.val().get_bit(i) {
                self.gated[i].next = unsigned_cast_zx::<25, 21>(self.pending[i].q.val());
            }
            self.chosen.next = self.chosen.val() | (self.gated[i].val() << self.factor[i].val());
        }

        // Read; add; write and show.
        self.memory.re.next = true;
        self.memory.raddr.next = self.at.q.val();
        self.more.d.next = self.chosen.val();
        self.at1.d.next = self.at.q.val();
        self.fresh1.d.next = self.fresh.q.val();
        self.word.next = self.memory.rdata.val();
        if self.fresh1.q.val() {
            self.word.next = 0.into();
        }
        self.sum.d.next = self.word.val() + bit_cast::<64, 25>(self.more.q.val());
        self.at2.d.next = self.at1.q.val();
        self.memory.we.next = true;
        self.memory.waddr.next = self.at2.q.val();
        self.memory.wdata.next = self.sum.q.val();
        self.index.next = self.at2.q.val();
        self.value.next = self.sum.q.val();

        // The memory is written at place 0 while reset lasts; a walk begins with its end.
        if self.rst.val() {
            self.at.d.next = 0.into();
            self.turn.d.next = 1.into();
            self.fresh.d.next = true;
        }
    }
}
