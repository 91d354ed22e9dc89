//! What the groups of a layer look like, in tables by kind, for both sides of the loader.
//!
//! What: after `start` the parameters of a command are turned into counts (`docs/formats.md`, section 7): words and beats of a group,
//! blocks, words of positions and of values. They are kept until the next `start`, because prefetching goes on while `command` already
//! reads another descriptor. Counts, stride and window are compared with the old ones: only if nothing differs (`changed` low at `done`)
//! do bytes already in a slot lie where the new command expects them.
//!
//! Cost (ECP5): 711 LUT sites, of them 33 LUT RAMs; 272 flip-flops. Latency: `done` 8 cycles after `start`; comparing comes before the first write.
//! Hazard: between `start` and `done` nothing may depend on the tables.

use leaf::prelude::*;

/// See the module's page. Kinds: `abi::layout::Kind`.
#[derive(LogicBlock)]
pub struct LoadShape {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Takes the parameters; they must stand for 8 cycles.
    pub start: Signal<In, Bit>,
    /// 0 int8, otherwise a 4-bit format.
    pub format: Signal<In, Bits<2>>,
    /// `abi::layout::Sparsity`.
    pub sparsity: Signal<In, Bits<3>>,
    /// Two rows per lane.
    pub paired: Signal<In, Bit>,
    /// One more block.
    pub bias: Signal<In, Bit>,
    /// The router has one more block.
    pub router_bias: Signal<In, Bit>,
    /// One section of kind Plain instead of Hidden and Down.
    pub plain: Signal<In, Bit>,
    /// Blocks of a model vector.
    pub nblk_d: Signal<In, Bits<16>>,
    /// Blocks of a hidden vector.
    pub nblk_f: Signal<In, Bits<16>>,
    /// Groups: router.
    pub groups_router: Signal<In, Bits<16>>,
    /// Groups: Hidden or Plain.
    pub groups_a: Signal<In, Bits<16>>,
    /// Groups: Down.
    pub groups_b: Signal<In, Bits<16>>,
    /// Words per bank of a group: router.
    pub words_r: Signal<In, Bits<16>>,
    /// Words per bank of a group: Hidden or Plain.
    pub words_a: Signal<In, Bits<16>>,
    /// Words per bank of a group: Down.
    pub words_b: Signal<In, Bits<16>>,
    /// Words of a slot that are used.
    pub window_words: Signal<In, Bits<16>>,
    /// Bytes between two experts' images.
    pub expert_stride: Signal<In, Bits<32>>,

    /// From the cycle after `start` until `done`.
    pub active: Signal<Out, Bit>,
    /// The tables stand.
    pub done: Signal<Out, Bit>,
    /// With `done`: experts are stored otherwise than before.
    pub changed: Signal<Out, Bit>,
    /// As at the last `start`.
    pub window: Signal<Out, Bits<16>>,
    /// As at the last `start`.
    pub stride: Signal<Out, Bits<32>>,
    /// Kind of an image's first section, if it is not the router's.
    pub first_kind: Signal<Out, Bits<2>>,
    /// The experts have positions.
    pub sparse: Signal<Out, Bit>,
    /// The experts have two rows per lane.
    pub pair: Signal<Out, Bit>,

    /// Request side: kind.
    pub ask_kind: Signal<In, Bits<2>>,
    /// Words of a group, in the same cycle.
    pub ask_words: Signal<Out, Bits<16>>,
    /// Beats of a group.
    pub ask_beats: Signal<Out, Bits<16>>,
    /// Groups of the section.
    pub ask_groups: Signal<Out, Bits<16>>,
    /// Receive side: kind of the group that arrives.
    pub kind: Signal<In, Bits<2>>,
    /// Its words of positions, less one.
    pub position_last: Signal<Out, Bits<12>>,
    /// Its words of values, less one.
    pub value_last: Signal<Out, Bits<12>>,
    /// Its words in a bank.
    pub words: Signal<Out, Bits<16>>,
    /// Groups of its section.
    pub groups: Signal<Out, Bits<16>>,
    /// Receive side: kind of the group after that.
    pub next_kind: Signal<In, Bits<2>>,
    /// Its blocks, less one.
    pub next_block_last: Signal<Out, Bits<12>>,
    /// Its words in a bank.
    pub next_words: Signal<Out, Bits<16>>,

    step: Dff<Bits<3>>,
    running: Dff<Bit>,
    window_kept: Dff<Bits<16>>,
    stride_kept: Dff<Bits<32>>,
    first: Dff<Bits<2>>,
    sparse_kept: Dff<Bit>,
    pair_kept: Dff<Bit>,

    // Pipeline: 1 blocks and what stands for them; 2 parts; 3 all counts, compared or written.
    is_b: Signal<Local, Bit>,
    is_router: Signal<Local, Bit>,
    a_kind: Signal<Local, Bits<2>>,
    n: Dff<Bits<12>>,
    shift: Dff<Bits<2>>,
    dense: Dff<Bit>,
    whole_positions: Dff<Bit>,
    half: Dff<Bit>,
    quarter: Dff<Bit>,
    twice: Dff<Bit>,
    words1: Dff<Bits<16>>,
    groups1: Dff<Bits<16>>,
    kind1: Dff<Bits<2>>,
    compare1: Dff<Bit>,
    write1: Dff<Bit>,
    octets: Signal<Local, Bit>,
    four_bits: Signal<Local, Bit>,
    pairs: Signal<Local, Bit>,
    is_dense: Signal<Local, Bit>,
    eighth: Signal<Local, Bit>,
    passes: Signal<Local, Bits<12>>,
    half_of: Signal<Local, Bits<12>>,
    quarter_of: Signal<Local, Bits<12>>,
    n2: Dff<Bits<12>>,
    p2: Dff<Bits<12>>,
    v2: Dff<Bits<12>>,
    twice2: Dff<Bit>,
    words2: Dff<Bits<16>>,
    groups2: Dff<Bits<16>>,
    kind2: Dff<Bits<2>>,
    compare2: Dff<Bit>,
    write2: Dff<Bit>,
    scale_beats: Signal<Local, Bits<16>>,
    beats3: Dff<Bits<16>>,
    n3: Dff<Bits<12>>,
    p3: Dff<Bits<12>>,
    v3: Dff<Bits<12>>,
    words3: Dff<Bits<16>>,
    groups3: Dff<Bits<16>>,
    kind3: Dff<Bits<2>>,
    compare3: Dff<Bit>,
    write3: Dff<Bit>,
    differs: Dff<Bit>,

    ask_entry: Dram<48, 2>,
    entry: Dram<56, 2>,
    next_entry: Dram<28, 2>,
    asked: Signal<Local, Bits<48>>,
    given: Signal<Local, Bits<56>>,
    given_next: Signal<Local, Bits<28>>,
    new_asked: Signal<Local, Bits<48>>,
    new_given: Signal<Local, Bits<56>>,
    new_next: Signal<Local, Bits<28>>,
    look: Signal<Local, Bits<2>>,
    look_next: Signal<Local, Bits<2>>,
}

impl Default for LoadShape {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            start: Default::default(),
            format: Default::default(),
            sparsity: Default::default(),
            paired: Default::default(),
            bias: Default::default(),
            router_bias: Default::default(),
            plain: Default::default(),
            nblk_d: Default::default(),
            nblk_f: Default::default(),
            groups_router: Default::default(),
            groups_a: Default::default(),
            groups_b: Default::default(),
            words_r: Default::default(),
            words_a: Default::default(),
            words_b: Default::default(),
            window_words: Default::default(),
            expert_stride: Default::default(),
            active: Default::default(),
            done: Default::default(),
            changed: Default::default(),
            window: Default::default(),
            stride: Default::default(),
            first_kind: Default::default(),
            sparse: Default::default(),
            pair: Default::default(),
            ask_kind: Default::default(),
            ask_words: Default::default(),
            ask_beats: Default::default(),
            ask_groups: Default::default(),
            kind: Default::default(),
            position_last: Default::default(),
            value_last: Default::default(),
            words: Default::default(),
            groups: Default::default(),
            next_kind: Default::default(),
            next_block_last: Default::default(),
            next_words: Default::default(),
            step: Default::default(),
            running: Default::default(),
            window_kept: Default::default(),
            stride_kept: Default::default(),
            first: Default::default(),
            sparse_kept: Default::default(),
            pair_kept: Default::default(),
            is_b: Default::default(),
            is_router: Default::default(),
            a_kind: Default::default(),
            n: Default::default(),
            shift: Default::default(),
            dense: Default::default(),
            whole_positions: Default::default(),
            half: Default::default(),
            quarter: Default::default(),
            twice: Default::default(),
            words1: Default::default(),
            groups1: Default::default(),
            kind1: Default::default(),
            compare1: Default::default(),
            write1: Default::default(),
            octets: Default::default(),
            four_bits: Default::default(),
            pairs: Default::default(),
            is_dense: Default::default(),
            eighth: Default::default(),
            passes: Default::default(),
            half_of: Default::default(),
            quarter_of: Default::default(),
            n2: Default::default(),
            p2: Default::default(),
            v2: Default::default(),
            twice2: Default::default(),
            words2: Default::default(),
            groups2: Default::default(),
            kind2: Default::default(),
            compare2: Default::default(),
            write2: Default::default(),
            scale_beats: Default::default(),
            beats3: Default::default(),
            n3: Default::default(),
            p3: Default::default(),
            v3: Default::default(),
            words3: Default::default(),
            groups3: Default::default(),
            kind3: Default::default(),
            compare3: Default::default(),
            write3: Default::default(),
            differs: Default::default(),
            ask_entry: Dram::new(4),
            entry: Dram::new(4),
            next_entry: Dram::new(4),
            asked: Default::default(),
            given: Default::default(),
            given_next: Default::default(),
            new_asked: Default::default(),
            new_given: Default::default(),
            new_next: Default::default(),
            look: Default::default(),
            look_next: Default::default(),
        }
    }
}

impl Logic for LoadShape {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("load_shape");
        dff_setup!(
            self,
            clk,
            step,
            running,
            window_kept,
            stride_kept,
            first,
            sparse_kept,
            pair_kept
        );
        dff_setup!(
            self,
            clk,
            n,
            shift,
            dense,
            whole_positions,
            half,
            quarter,
            twice
        );
        dff_setup!(self, clk, words1, groups1, kind1, compare1, write1);
        dff_setup!(self, clk, n2, p2, v2, twice2, words2, groups2, kind2, compare2, write2);
        dff_setup!(
            self, clk, beats3, n3, p3, v3, words3, groups3, kind3, compare3, write3, differs
        );
        clock!(self, clk, ask_entry, entry, next_entry);

        // Steps: 0 compare a, 1 compare b, 2 write the router's, 3 write a, 4 write b, 5 to 7 the pipeline runs empty.
        self.a_kind.next = 1.into();
        if self.plain.val() {
            self.a_kind.next = 3.into();
        }
        self.is_router.next = self.step.q.val() == 2;
        self.is_b.next = self.step.q.val() == 1 || self.step.q.val() == 4;
        self.pairs.next = self.paired.val() && !self.is_router.val();
        self.four_bits.next = self.format.val() != 0 && !self.is_router.val();
        self.is_dense.next = self.sparsity.val() == 0 || self.is_router.val();
        self.octets.next = self.sparsity.val() == 1 && !self.is_router.val();
        self.eighth.next = self.sparsity.val() == 4 && !self.is_router.val();

        // 1: blocks with bias, log2 of passes, and how wide a granule is: whole, half or a quarter of a lane's part of a word.
        self.n.d.next = self.nblk_d.val().get_bits::<12>(0);
        if self.bias.val() {
            self.n.d.next = self.nblk_d.val().get_bits::<12>(0) + 1;
        }
        self.words1.d.next = self.words_a.val();
        self.groups1.d.next = self.groups_a.val();
        self.kind1.d.next = self.a_kind.val();
        if self.is_b.val() {
            self.n.d.next = self.nblk_f.val().get_bits::<12>(0);
            if self.bias.val() {
                self.n.d.next = self.nblk_f.val().get_bits::<12>(0) + 1;
            }
            self.words1.d.next = self.words_b.val();
            self.groups1.d.next = self.groups_b.val();
            self.kind1.d.next = 2.into();
        }
        if self.is_router.val() {
            self.n.d.next = self.nblk_d.val().get_bits::<12>(0);
            if self.router_bias.val() {
                self.n.d.next = self.nblk_d.val().get_bits::<12>(0) + 1;
            }
            self.words1.d.next = self.words_r.val();
            self.groups1.d.next = self.groups_router.val();
            self.kind1.d.next = 0.into();
        }
        self.shift.d.next = 0.into();
        if self.octets.val() || (self.sparsity.val() == 2 && !self.is_router.val()) {
            self.shift.d.next = 1.into();
        }
        if self.is_dense.val() {
            self.shift.d.next = 2.into();
        }
        self.dense.d.next = self.is_dense.val();
        self.whole_positions.d.next = self.octets.val();
        self.half.d.next = (self.four_bits.val() && !self.pairs.val() && !self.eighth.val())
            || (!self.four_bits.val() && self.eighth.val());
        self.quarter.d.next = self.four_bits.val() && self.eighth.val();
        self.twice.d.next = self.pairs.val();
        self.compare1.d.next = self.running.q.val() && self.step.q.val() < 2;
        self.write1.d.next =
            self.running.q.val() && self.step.q.val() >= 2 && self.step.q.val() < 5;

        // 2: words of positions and values.
        self.passes.next = self.n.q.val() << self.shift.q.val();
        self.half_of.next = (self.passes.val() + 1) >> 1;
        self.quarter_of.next = (self.passes.val() + 3) >> 2;
        self.n2.d.next = self.n.q.val();
        self.p2.d.next = self.half_of.val();
        if self.whole_positions.q.val() {
            self.p2.d.next = self.passes.val();
        }
        if self.dense.q.val() {
            self.p2.d.next = 0.into();
        }
        self.v2.d.next = self.passes.val();
        if self.half.q.val() {
            self.v2.d.next = self.half_of.val();
        }
        if self.quarter.q.val() {
            self.v2.d.next = self.quarter_of.val();
        }
        self.twice2.d.next = self.twice.q.val();
        self.words2.d.next = self.words1.q.val();
        self.groups2.d.next = self.groups1.q.val();
        self.kind2.d.next = self.kind1.q.val();
        self.compare2.d.next = self.compare1.q.val();
        self.write2.d.next = self.write1.q.val();

        // 3: beats, and last numbers.
        self.scale_beats.next = bit_cast::<16, 12>(self.n2.q.val());
        if self.twice2.q.val() {
            self.scale_beats.next = bit_cast::<16, 12>(self.n2.q.val()) << 1;
        }
        self.beats3.d.next = self.scale_beats.val()
            + (bit_cast::<16, 12>(self.p2.q.val()) << 1)
            + (bit_cast::<16, 12>(self.v2.q.val()) << 2);
        self.n3.d.next = self.n2.q.val() - 1;
        self.p3.d.next = self.p2.q.val() - 1;
        self.v3.d.next = self.v2.q.val() - 1;
        self.words3.d.next = self.words2.q.val();
        self.groups3.d.next = self.groups2.q.val();
        self.kind3.d.next = self.kind2.q.val();
        self.compare3.d.next = self.compare2.q.val();
        self.write3.d.next = self.write2.q.val();

        // The tables.
        self.new_asked.next = bit_cast::<48, 16>(self.words3.q.val())
            | (bit_cast::<48, 16>(self.beats3.q.val()) << 16)
            | (bit_cast::<48, 16>(self.groups3.q.val()) << 32);
        self.new_given.next = bit_cast::<56, 12>(self.p3.q.val())
            | (bit_cast::<56, 12>(self.v3.q.val()) << 12)
            | (bit_cast::<56, 16>(self.words3.q.val()) << 24)
            | (bit_cast::<56, 16>(self.groups3.q.val()) << 40);
        self.new_next.next =
            bit_cast::<28, 12>(self.n3.q.val()) | (bit_cast::<28, 16>(self.words3.q.val()) << 12);
        self.look.next = self.kind.val();
        self.look_next.next = self.next_kind.val();
        if self.running.q.val() {
            self.look.next = self.kind3.q.val();
            self.look_next.next = self.kind3.q.val();
        }
        self.ask_entry.we.next = self.write3.q.val();
        self.ask_entry.waddr.next = self.kind3.q.val();
        self.ask_entry.wdata.next = self.new_asked.val();
        self.ask_entry.raddr.next = self.ask_kind.val();
        self.asked.next = self.ask_entry.rdata.val();
        self.ask_words.next = self.asked.val().get_bits::<16>(0);
        self.ask_beats.next = self.asked.val().get_bits::<16>(16);
        self.ask_groups.next = self.asked.val().get_bits::<16>(32);
        self.entry.we.next = self.write3.q.val();
        self.entry.waddr.next = self.kind3.q.val();
        self.entry.wdata.next = self.new_given.val();
        self.entry.raddr.next = self.look.val();
        self.given.next = self.entry.rdata.val();
        self.position_last.next = self.given.val().get_bits::<12>(0);
        self.value_last.next = self.given.val().get_bits::<12>(12);
        self.words.next = self.given.val().get_bits::<16>(24);
        self.groups.next = self.given.val().get_bits::<16>(40);
        self.next_entry.we.next = self.write3.q.val();
        self.next_entry.waddr.next = self.kind3.q.val();
        self.next_entry.wdata.next = self.new_next.val();
        self.next_entry.raddr.next = self.look_next.val();
        self.given_next.next = self.next_entry.rdata.val();
        self.next_block_last.next = self.given_next.val().get_bits::<12>(0);
        self.next_words.next = self.given_next.val().get_bits::<16>(12);

        // The same bytes in the same places? Beats follow from the other counts and pairs.
        if self.compare3.q.val()
            && (self.given.val() != self.new_given.val()
                || self.given_next.val() != self.new_next.val())
        {
            self.differs.d.next = true;
        }
        if self.running.q.val() {
            self.step.d.next = self.step.q.val() + 1;
            if self.step.q.val() == 0
                && (self.stride_kept.q.val() != self.expert_stride.val()
                    || self.window_kept.q.val() != self.window_words.val())
            {
                self.differs.d.next = true;
            }
            if self.step.q.val() == 1 {
                if self.pair_kept.q.val() != self.paired.val()
                    || self.first.q.val() != self.a_kind.val()
                {
                    self.differs.d.next = true;
                }
                self.window_kept.d.next = self.window_words.val();
                self.stride_kept.d.next = self.expert_stride.val();
                self.first.d.next = self.a_kind.val();
                self.sparse_kept.d.next = self.sparsity.val() != 0;
                self.pair_kept.d.next = self.paired.val();
            }
            if self.step.q.val() == 7 {
                self.running.d.next = false;
            }
        }
        self.active.next = self.running.q.val();
        self.done.next = self.running.q.val() && self.step.q.val() == 7;
        self.changed.next = self.differs.q.val();
        self.window.next = self.window_kept.q.val();
        self.stride.next = self.stride_kept.q.val();
        self.first_kind.next = self.first.q.val();
        self.sparse.next = self.sparse_kept.q.val();
        self.pair.next = self.pair_kept.q.val();

        if self.start.val() {
            self.running.d.next = true;
            self.step.d.next = 0.into();
            self.differs.d.next = false;
        }
        if self.rst.val() {
            self.running.d.next = false;
        }
    }
}
