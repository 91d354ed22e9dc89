//! What the groups of a layer look like, in tables by kind, for both sides of the loader.
//!
//! What: after `start` the parameters of a command are turned into counts (`docs/formats.md`, section 7): words and beats of a group,
//! blocks, words of positions and of values. They are kept until the next `start`, because prefetching goes on while `command` already
//! reads another descriptor. Counts, stride and window are compared with the old ones: only if nothing differs (`changed` low at `done`)
//! do bytes already in a slot lie where the new command expects them.
//!
//! The counts of one kind after the other run down a pipeline: blocks, passes, words, words less one and beats; then they are compared
//! with the table's, or written.
//!
//! Cost (ECP5): 581 LUT sites, of them 33 LUT RAMs; 534 flip-flops. Latency: `done` 11 cycles after `start`; comparing comes before the
//! first write. A lookup of the receive side takes a cycle.
//! Hazard: from `start` until the cycle after `done` (`active`) nothing may depend on the tables.

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

    /// From the cycle after `start` until the cycle after `done`.
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
    /// Receive side: kind of the group whose parts are next.
    pub part_kind: Signal<In, Bits<2>>,
    /// A cycle later: its beats of scales, less two (signed).
    pub scale_beats: Signal<Out, Bits<12>>,
    /// Its words of positions, less one.
    pub position_last: Signal<Out, Bits<12>>,
    /// Its words of values, less one.
    pub value_last: Signal<Out, Bits<12>>,
    /// Receive side: kind of the group that arrives.
    pub kind: Signal<In, Bits<2>>,
    /// A cycle later: its words in a bank.
    pub words: Signal<Out, Bits<16>>,
    /// Groups of its section.
    pub groups: Signal<Out, Bits<16>>,
    /// Receive side: kind of the group after that.
    pub next_kind: Signal<In, Bits<2>>,
    /// A cycle later: its words in a bank.
    pub next_words: Signal<Out, Bits<16>>,

    step: Dff<Bits<4>>,
    running: Dff<Bit>,
    window_kept: Dff<Bits<16>>,
    stride_kept: Dff<Bits<32>>,
    first: Dff<Bits<2>>,
    sparse_kept: Dff<Bit>,
    pair_kept: Dff<Bit>,
    a_kind: Signal<Local, Bits<2>>,
    // The kept ones and the new ones are not the same.
    window_differs: Dff<Bit>,
    stride_differs: Dff<Bit>,
    high_differs: Dff<Bit>,
    form_differs: Dff<Bit>,

    // 0: whose counts. 1: blocks and what stands for them. 2: passes. 3: words. 4: all but the beats. 5: all, compared or written.
    is_b: Dff<Bit>,
    is_router: Dff<Bit>,
    compare0: Dff<Bit>,
    write0: Dff<Bit>,
    blocks: Signal<Local, Bits<12>>,
    one_more: Signal<Local, Bit>,
    n: Dff<Bits<12>>,
    shift: Dff<Bits<2>>,
    dense1: Dff<Bit>,
    whole1: Dff<Bit>,
    half1: Dff<Bit>,
    quarter1: Dff<Bit>,
    twice1: Dff<Bit>,
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
    n2: Dff<Bits<12>>,
    passes: Dff<Bits<12>>,
    dense2: Dff<Bit>,
    whole2: Dff<Bit>,
    half2: Dff<Bit>,
    quarter2: Dff<Bit>,
    twice2: Dff<Bit>,
    words2: Dff<Bits<16>>,
    groups2: Dff<Bits<16>>,
    kind2: Dff<Bits<2>>,
    compare2: Dff<Bit>,
    write2: Dff<Bit>,
    half_of: Signal<Local, Bits<12>>,
    quarter_of: Signal<Local, Bits<12>>,
    s3: Dff<Bits<12>>,
    p3: Dff<Bits<12>>,
    v3: Dff<Bits<12>>,
    words3: Dff<Bits<16>>,
    groups3: Dff<Bits<16>>,
    kind3: Dff<Bits<2>>,
    compare3: Dff<Bit>,
    write3: Dff<Bit>,
    s4: Dff<Bits<12>>,
    less4: Dff<Bits<12>>,
    p4: Dff<Bits<12>>,
    v4: Dff<Bits<12>>,
    other4: Dff<Bits<16>>,
    words4: Dff<Bits<16>>,
    groups4: Dff<Bits<16>>,
    kind4: Dff<Bits<2>>,
    compare4: Dff<Bit>,
    write4: Dff<Bit>,
    beats5: Dff<Bits<16>>,
    less5: Dff<Bits<12>>,
    p5: Dff<Bits<12>>,
    v5: Dff<Bits<12>>,
    words5: Dff<Bits<16>>,
    groups5: Dff<Bits<16>>,
    kind5: Dff<Bits<2>>,
    compare5: Dff<Bit>,
    write5: Dff<Bit>,
    compare6: Dff<Bit>,
    differs_s: Dff<Bit>,
    differs_p: Dff<Bit>,
    differs_w: Dff<Bit>,
    differs_any: Dff<Bit>,
    compare7: Dff<Bit>,
    differs_v: Dff<Bit>,
    differs_g: Dff<Bit>,
    differs: Dff<Bit>,

    ask_entry: Dram<48, 2>,
    part_entry: Dram<36, 2>,
    entry: Dram<32, 2>,
    next_entry: Dram<16, 2>,
    asked: Signal<Local, Bits<48>>,
    given_part: Dff<Bits<36>>,
    given: Dff<Bits<32>>,
    given_next: Dff<Bits<16>>,
    new_asked: Signal<Local, Bits<48>>,
    new_part: Signal<Local, Bits<36>>,
    new_given: Signal<Local, Bits<32>>,
    look: Signal<Local, Bits<2>>,
    look_part: Signal<Local, Bits<2>>,
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
            part_kind: Default::default(),
            kind: Default::default(),
            scale_beats: Default::default(),
            position_last: Default::default(),
            value_last: Default::default(),
            words: Default::default(),
            groups: Default::default(),
            next_kind: Default::default(),
            next_words: Default::default(),
            step: Default::default(),
            running: Default::default(),
            window_kept: Default::default(),
            stride_kept: Default::default(),
            first: Default::default(),
            sparse_kept: Default::default(),
            pair_kept: Default::default(),
            a_kind: Default::default(),
            window_differs: Default::default(),
            stride_differs: Default::default(),
            high_differs: Default::default(),
            form_differs: Default::default(),
            is_b: Default::default(),
            is_router: Default::default(),
            compare0: Default::default(),
            write0: Default::default(),
            blocks: Default::default(),
            one_more: Default::default(),
            n: Default::default(),
            shift: Default::default(),
            dense1: Default::default(),
            whole1: Default::default(),
            half1: Default::default(),
            quarter1: Default::default(),
            twice1: Default::default(),
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
            n2: Default::default(),
            passes: Default::default(),
            dense2: Default::default(),
            whole2: Default::default(),
            half2: Default::default(),
            quarter2: Default::default(),
            twice2: Default::default(),
            words2: Default::default(),
            groups2: Default::default(),
            kind2: Default::default(),
            compare2: Default::default(),
            write2: Default::default(),
            half_of: Default::default(),
            quarter_of: Default::default(),
            s3: Default::default(),
            p3: Default::default(),
            v3: Default::default(),
            words3: Default::default(),
            groups3: Default::default(),
            kind3: Default::default(),
            compare3: Default::default(),
            write3: Default::default(),
            s4: Default::default(),
            less4: Default::default(),
            p4: Default::default(),
            v4: Default::default(),
            other4: Default::default(),
            words4: Default::default(),
            groups4: Default::default(),
            kind4: Default::default(),
            compare4: Default::default(),
            write4: Default::default(),
            beats5: Default::default(),
            less5: Default::default(),
            p5: Default::default(),
            v5: Default::default(),
            words5: Default::default(),
            groups5: Default::default(),
            kind5: Default::default(),
            compare5: Default::default(),
            write5: Default::default(),
            compare6: Default::default(),
            differs_s: Default::default(),
            differs_p: Default::default(),
            differs_w: Default::default(),
            differs_any: Default::default(),
            compare7: Default::default(),
            differs_v: Default::default(),
            differs_g: Default::default(),
            differs: Default::default(),
            ask_entry: Dram::new(4),
            part_entry: Dram::new(4),
            entry: Dram::new(4),
            next_entry: Dram::new(4),
            asked: Default::default(),
            given_part: Default::default(),
            given: Default::default(),
            given_next: Default::default(),
            new_asked: Default::default(),
            new_part: Default::default(),
            new_given: Default::default(),
            look: Default::default(),
            look_part: Default::default(),
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
            pair_kept,
            window_differs,
            stride_differs,
            high_differs,
            form_differs
        );
        dff_setup!(
            self, clk, is_b, is_router, compare0, write0, n, shift, dense1, whole1, half1,
            quarter1, twice1
        );
        dff_setup!(
            self, clk, words1, groups1, kind1, compare1, write1, n2, passes, dense2, whole2, half2,
            quarter2
        );
        dff_setup!(
            self, clk, twice2, words2, groups2, kind2, compare2, write2, s3, p3, v3, words3,
            groups3
        );
        dff_setup!(
            self, clk, kind3, compare3, write3, s4, less4, p4, v4, other4, words4, groups4, kind4
        );
        dff_setup!(
            self, clk, compare4, write4, beats5, less5, p5, v5, words5, groups5, kind5, compare5,
            write5
        );
        dff_setup!(
            self,
            clk,
            compare6,
            differs_s,
            differs_p,
            differs_w,
            differs_any,
            compare7,
            differs_v,
            differs_g,
            differs,
            given_part,
            given
        );
        dff_setup!(self, clk, given_next);
        clock!(self, clk, ask_entry, part_entry, entry, next_entry);

        // Steps: 0 compare a, 1 compare b, 2 write the router's, 3 write a, 4 write b, 5 to 11 the pipeline runs empty.
        self.is_router.d.next = self.step.q.val() == 2;
        self.is_b.d.next = self.step.q.val() == 1 || self.step.q.val() == 4;
        self.compare0.d.next = self.running.q.val() && self.step.q.val() < 2;
        self.write0.d.next =
            self.running.q.val() && self.step.q.val() >= 2 && self.step.q.val() < 5;
        self.a_kind.next = 1.into();
        if self.plain.val() {
            self.a_kind.next = 3.into();
        }

        // 1: blocks with bias, log2 of passes, and how wide a granule is: whole, half or a quarter of a lane's part of a word.
        self.pairs.next = self.paired.val() && !self.is_router.q.val();
        self.four_bits.next = self.format.val() != 0 && !self.is_router.q.val();
        self.is_dense.next = self.sparsity.val() == 0 || self.is_router.q.val();
        self.octets.next = self.sparsity.val() == 1 && !self.is_router.q.val();
        self.eighth.next = self.sparsity.val() == 4 && !self.is_router.q.val();
        self.blocks.next = self.nblk_d.val().get_bits::<12>(0);
        self.one_more.next = self.bias.val();
        self.words1.d.next = self.words_a.val();
        self.groups1.d.next = self.groups_a.val();
        self.kind1.d.next = self.a_kind.val();
        if self.is_b.q.val() {
            self.blocks.next = self.nblk_f.val().get_bits::<12>(0);
            self.words1.d.next = self.words_b.val();
            self.groups1.d.next = self.groups_b.val();
            self.kind1.d.next = 2.into();
        }
        if self.is_router.q.val() {
            self.one_more.next = self.router_bias.val();
            self.words1.d.next = self.words_r.val();
            self.groups1.d.next = self.groups_router.val();
            self.kind1.d.next = 0.into();
        }
        self.n.d.next = self.blocks.val() + bit_cast::<12, 1>(self.one_more.val().into());
        self.shift.d.next = 0.into();
        if self.octets.val() || (self.sparsity.val() == 2 && !self.is_router.q.val()) {
            self.shift.d.next = 1.into();
        }
        if self.is_dense.val() {
            self.shift.d.next = 2.into();
        }
        self.dense1.d.next = self.is_dense.val();
        self.whole1.d.next = self.octets.val();
        self.half1.d.next = (self.four_bits.val() && !self.pairs.val() && !self.eighth.val())
            || (!self.four_bits.val() && self.eighth.val());
        self.quarter1.d.next = self.four_bits.val() && self.eighth.val();
        self.twice1.d.next = self.pairs.val();
        self.compare1.d.next = self.compare0.q.val();
        self.write1.d.next = self.write0.q.val();

        // 2: passes.
        self.n2.d.next = self.n.q.val();
        self.passes.d.next = self.n.q.val() << self.shift.q.val();
        self.dense2.d.next = self.dense1.q.val();
        self.whole2.d.next = self.whole1.q.val();
        self.half2.d.next = self.half1.q.val();
        self.quarter2.d.next = self.quarter1.q.val();
        self.twice2.d.next = self.twice1.q.val();
        self.words2.d.next = self.words1.q.val();
        self.groups2.d.next = self.groups1.q.val();
        self.kind2.d.next = self.kind1.q.val();
        self.compare2.d.next = self.compare1.q.val();
        self.write2.d.next = self.write1.q.val();

        // 3: beats of scales, words of positions and values.
        self.half_of.next = (self.passes.q.val() + 1) >> 1;
        self.quarter_of.next = (self.passes.q.val() + 3) >> 2;
        self.s3.d.next = self.n2.q.val();
        if self.twice2.q.val() {
            self.s3.d.next = self.n2.q.val() << 1;
        }
        self.p3.d.next = self.half_of.val();
        if self.whole2.q.val() {
            self.p3.d.next = self.passes.q.val();
        }
        if self.dense2.q.val() {
            self.p3.d.next = 0.into();
        }
        self.v3.d.next = self.passes.q.val();
        if self.half2.q.val() {
            self.v3.d.next = self.half_of.val();
        }
        if self.quarter2.q.val() {
            self.v3.d.next = self.quarter_of.val();
        }
        self.words3.d.next = self.words2.q.val();
        self.groups3.d.next = self.groups2.q.val();
        self.kind3.d.next = self.kind2.q.val();
        self.compare3.d.next = self.compare2.q.val();
        self.write3.d.next = self.write2.q.val();

        // 4: what the receive side counts down from; beats but those of scales.
        self.s4.d.next = self.s3.q.val();
        self.less4.d.next = self.s3.q.val() - 2;
        self.p4.d.next = self.p3.q.val() - 1;
        self.v4.d.next = self.v3.q.val() - 1;
        self.other4.d.next =
            (bit_cast::<16, 12>(self.p3.q.val()) << 1) + (bit_cast::<16, 12>(self.v3.q.val()) << 2);
        self.words4.d.next = self.words3.q.val();
        self.groups4.d.next = self.groups3.q.val();
        self.kind4.d.next = self.kind3.q.val();
        self.compare4.d.next = self.compare3.q.val();
        self.write4.d.next = self.write3.q.val();

        // 5: all counts. To compare, the table is read at 4.
        self.beats5.d.next = self.other4.q.val() + bit_cast::<16, 12>(self.s4.q.val());
        self.less5.d.next = self.less4.q.val();
        self.p5.d.next = self.p4.q.val();
        self.v5.d.next = self.v4.q.val();
        self.words5.d.next = self.words4.q.val();
        self.groups5.d.next = self.groups4.q.val();
        self.kind5.d.next = self.kind4.q.val();
        self.compare5.d.next = self.compare4.q.val();
        self.write5.d.next = self.write4.q.val();

        // The tables.
        self.new_asked.next = bit_cast::<48, 16>(self.words5.q.val())
            | (bit_cast::<48, 16>(self.beats5.q.val()) << 16)
            | (bit_cast::<48, 16>(self.groups5.q.val()) << 32);
        self.new_part.next = bit_cast::<36, 12>(self.less5.q.val())
            | (bit_cast::<36, 12>(self.p5.q.val()) << 12)
            | (bit_cast::<36, 12>(self.v5.q.val()) << 24);
        self.new_given.next = bit_cast::<32, 16>(self.words5.q.val())
            | (bit_cast::<32, 16>(self.groups5.q.val()) << 16);
        self.look.next = self.kind.val();
        self.look_part.next = self.part_kind.val();
        if self.running.q.val() {
            self.look.next = self.kind4.q.val();
            self.look_part.next = self.kind4.q.val();
        }
        self.ask_entry.we.next = self.write5.q.val();
        self.ask_entry.waddr.next = self.kind5.q.val();
        self.ask_entry.wdata.next = self.new_asked.val();
        self.ask_entry.raddr.next = self.ask_kind.val();
        self.asked.next = self.ask_entry.rdata.val();
        self.ask_words.next = self.asked.val().get_bits::<16>(0);
        self.ask_beats.next = self.asked.val().get_bits::<16>(16);
        self.ask_groups.next = self.asked.val().get_bits::<16>(32);
        self.part_entry.we.next = self.write5.q.val();
        self.part_entry.waddr.next = self.kind5.q.val();
        self.part_entry.wdata.next = self.new_part.val();
        self.part_entry.raddr.next = self.look_part.val();
        self.given_part.d.next = self.part_entry.rdata.val();
        self.scale_beats.next = self.given_part.q.val().get_bits::<12>(0);
        self.position_last.next = self.given_part.q.val().get_bits::<12>(12);
        self.value_last.next = self.given_part.q.val().get_bits::<12>(24);
        self.entry.we.next = self.write5.q.val();
        self.entry.waddr.next = self.kind5.q.val();
        self.entry.wdata.next = self.new_given.val();
        self.entry.raddr.next = self.look.val();
        self.given.d.next = self.entry.rdata.val();
        self.words.next = self.given.q.val().get_bits::<16>(0);
        self.groups.next = self.given.q.val().get_bits::<16>(16);
        self.next_entry.we.next = self.write5.q.val();
        self.next_entry.waddr.next = self.kind5.q.val();
        self.next_entry.wdata.next = self.words5.q.val();
        self.next_entry.raddr.next = self.next_kind.val();
        self.given_next.d.next = self.next_entry.rdata.val();
        self.next_words.next = self.given_next.q.val();

        // The same bytes in the same places? Beats follow from the other counts and pairs.
        self.compare6.d.next = self.compare5.q.val();
        self.compare7.d.next = self.compare6.q.val();
        self.differs_s.d.next = self.given_part.q.val().get_bits::<12>(0) != self.less5.q.val();
        self.differs_p.d.next = self.given_part.q.val().get_bits::<12>(12) != self.p5.q.val();
        self.differs_v.d.next = self.given_part.q.val().get_bits::<12>(24) != self.v5.q.val();
        self.differs_w.d.next = self.given.q.val().get_bits::<16>(0) != self.words5.q.val();
        self.differs_g.d.next = self.given.q.val().get_bits::<16>(16) != self.groups5.q.val();
        self.differs_any.d.next = self.differs_s.q.val()
            || self.differs_p.q.val()
            || self.differs_v.q.val()
            || self.differs_w.q.val()
            || self.differs_g.q.val();
        if self.compare7.q.val() && self.differs_any.q.val() {
            self.differs.d.next = true;
        }
        self.stride_differs.d.next = self.stride_kept.q.val().get_bits::<16>(0)
            != self.expert_stride.val().get_bits::<16>(0);
        self.high_differs.d.next = self.stride_kept.q.val().get_bits::<16>(16)
            != self.expert_stride.val().get_bits::<16>(16);
        self.window_differs.d.next = self.window_kept.q.val() != self.window_words.val();
        self.form_differs.d.next =
            self.pair_kept.q.val() != self.paired.val() || self.first.q.val() != self.a_kind.val();
        self.done.next = false;
        if self.running.q.val() {
            self.step.d.next = self.step.q.val() + 1;
            if self.step.q.val() == 1 {
                if self.stride_differs.q.val()
                    || self.high_differs.q.val()
                    || self.window_differs.q.val()
                    || self.form_differs.q.val()
                {
                    self.differs.d.next = true;
                }
                self.window_kept.d.next = self.window_words.val();
                self.stride_kept.d.next = self.expert_stride.val();
                self.first.d.next = self.a_kind.val();
                self.sparse_kept.d.next = self.sparsity.val() != 0;
                self.pair_kept.d.next = self.paired.val();
            }
            self.done.next = self.step.q.val() == 10;
            if self.step.q.val() == 11 {
                self.running.d.next = false;
            }
        }
        self.active.next = self.running.q.val();
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
