//! The router: from rows of the array to chosen experts and their weights (`docs/formats.md`, section 4).
//!
//! What: `logits` adds limb products; when all logits of a token are there, the token goes through one or more passes over its experts, each at
//! one expert per cycle: scores (`score`), the sorted list of the best keys (`topk`), groups, one reciprocal (`reciprocal`), k products.
//!
//! | score | passes | cycles from the last logit to the last weight; renormalised |
//! |---|---|---|
//! | softmax | over E | E + k + 32 |
//! | softmax with choice bias or groups | over E, division, over E | 2 E + k + 43; 2 E + k + 54 |
//! | sigmoid | over E | E + k + 21; E + k + 32 (3 more with E below 5) |
//! | identity | over E | E + k + 32 |
//! | identity with choice bias or groups | over E, twice over the chosen | E + 3 k + 47 |
//! | groups, in addition | over the experts of the kept groups | E / G * kept + min(kept, G - kept) + 10 (kept alone up to 8), and one for each group left out before the last kept |
//! | sparsemixer | twice: over E in 8 E cycles, over E, division | 18 E + 62 |
//!
//! A single expert takes one more. Cost: docs/utilisation.md. No DSP blocks. Latency: the table, and 4 cycles from a row to its logit.
//! Bottleneck: tokens are chosen one after the other, while rows of later tokens are added.
//!
//! Hazards: a pass begins when the one before has left all pipelines, so a memory is never read before it is written, and what follows from the
//! kind of the pass may be registered: it is needed a cycle after the first expert enters. Weights of a token leave while the next
//! one enters; the list is cleared after the next pass began.

use crate::logits::Logits;
use crate::reciprocal::Reciprocal;
use crate::score::Score;
use crate::topk::TopK;
use abi::Config;
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Router {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Starts a command.
    pub go: Signal<In, Bit>,
    /// T.
    pub tokens: Signal<In, Bits<16>>,
    /// E.
    pub experts: Signal<In, Bits<16>>,
    /// k.
    pub topk: Signal<In, Bits<8>>,
    /// The score function (`abi::Score`).
    pub score: Signal<In, Bits<2>>,
    /// Renormalise over the chosen.
    pub renorm: Signal<In, Bit>,
    /// There are choice biases.
    pub choice_bias: Signal<In, Bit>,
    /// A group is judged by the sum of its two best.
    pub sum2: Signal<In, Bit>,
    /// G; 0 or 1: no groups.
    pub groups: Signal<In, Bits<8>>,
    /// Groups to choose from.
    pub groups_kept: Signal<In, Bits<8>>,
    /// Factor on the weights, Q4.12.
    pub route_scale: Signal<In, Bits<16>>,
    /// Twice sparsemixer's threshold, Q0.16.
    pub jitter: Signal<In, Bits<16>>,
    /// A router row of the array.
    pub in_vld: Signal<In, Bit>,
    /// Row taken.
    pub in_rdy: Signal<Out, Bit>,
    /// Its sum, signed.
    pub in_acc: Signal<In, Bits<36>>,
    /// 0: hi limbs of x, 1: lo limbs.
    pub in_limb: Signal<In, Bit>,
    /// Below E: hi limbs of the weights; from E on: lo limbs.
    pub in_row: Signal<In, Bits<16>>,
    /// Its token.
    pub in_token: Signal<In, Bits<8>>,
    /// Exponent of the logit's LSB, signed.
    pub in_lsb: Signal<In, Bits<16>>,
    /// The last row of the command.
    pub in_last: Signal<In, Bit>,
    /// Four choice biases.
    pub cb_vld: Signal<In, Bit>,
    /// The expert of the first, a multiple of four.
    pub cb_index: Signal<In, Bits<8>>,
    /// Four int32, Q7.24.
    pub cb_data: Signal<In, Bits<128>>,
    /// One choice.
    pub rt_vld: Signal<Out, Bit>,
    /// Its token.
    pub rt_token: Signal<Out, Bits<8>>,
    /// Its rank.
    pub rt_slot: Signal<Out, Bits<3>>,
    /// The expert.
    pub rt_expert: Signal<Out, Bits<8>>,
    /// Its weight, Q4.16.
    pub rt_weight: Signal<Out, Bits<20>>,
    /// Pulse, one cycle after the last choice: all tokens are routed.
    pub rt_done: Signal<Out, Bit>,
    /// Rows have come and not all tokens are routed.
    pub busy: Signal<Out, Bit>,
    /// A logit is finished (for the scoreboard).
    pub logit_vld: Signal<Out, Bit>,
    /// Its token.
    pub logit_token: Signal<Out, Bits<8>>,
    /// Its expert.
    pub logit_expert: Signal<Out, Bits<8>>,
    /// Its value.
    pub logit_value: Signal<Out, Bits<52>>,

    logits: Logits,
    scores: Score,
    list: TopK,
    divider: Reciprocal,
    // Key in bits 37..0, value in 62..38, sparsemixer's flag in 63.
    store: Ram<64, 8>,
    biases: Ram<128, 6>,
    behind: Dram<36, 4>,
    product: MulPairs<25, 29, 54>,
    scaling: MulPairs<17, 16, 33>,

    // What follows from the parameters, registered.
    softmax: Dff<Bit>,
    sigmoid: Dff<Bit>,
    identity: Dff<Bit>,
    mixer: Dff<Bit>,
    grouped: Dff<Bit>,
    plain: Dff<Bit>,
    biased: Dff<Bit>,
    drop: Dff<Bit>,
    group_count: Dff<Bits<4>>,
    early: Dff<Bit>,
    single: Dff<Bit>,
    experts_less: Dff<Bits<9>>,
    first_rank: Dff<Bits<3>>,
    kept_less: Dff<Bits<4>>,
    size_rest: Dff<Bits<9>>,
    size: Dff<Bits<8>>,
    size_less: Dff<Bits<8>>,
    size_one: Dff<Bit>,

    // Where a token is. Waits for the logits of the next token.
    in_wait: Dff<Bit>,
    // A pass: experts enter.
    in_issue: Dff<Bit>,
    // A pass: the pipelines empty.
    in_flow: Dff<Bit>,
    // The groups in the list become a mask.
    in_mask: Dff<Bit>,
    // The first of the groups.
    in_aim: Dff<Bit>,
    // Leading zeros of the sum, in fours.
    in_count: Dff<Bit>,
    // The rest of them; the sum to 2^24 at least.
    in_shift: Dff<Bit>,
    // The division begins.
    in_start: Dff<Bit>,
    in_divide: Dff<Bit>,
    // Weights.
    in_emit: Dff<Bit>,

    // What the pass over the experts does. Logits to scores; keys into the list, into the groups, or values into memory.
    is_main: Dff<Bit>,
    // Exponentials to scores of a softmax, with the reciprocal of their sum; keys into the list or the groups.
    is_rescale: Dff<Bit>,
    // Keys of the kept groups into the list.
    is_kept: Dff<Bit>,
    // The largest logit of the chosen.
    is_find: Dff<Bit>,
    // Exponentials of the chosen.
    is_chosen: Dff<Bit>,
    // sparsemixer: who is near to the largest.
    is_flags: Dff<Bit>,
    // sparsemixer: the sum over those.
    is_members: Dff<Bit>,
    // What follows from that, one cycle later.
    grouping: Dff<Bit>,
    inverting: Dff<Bit>,
    list_plain: Dff<Bit>,
    of_list: Dff<Bit>,
    of_all: Dff<Bit>,
    by_sigmoid: Dff<Bit>,
    by_key: Dff<Bit>,
    by_score: Dff<Bit>,
    then_groups: Dff<Bit>,
    then_chosen: Dff<Bit>,
    then_pass: Dff<Bit>,
    then_start: Dff<Bit>,
    then_all: Dff<Bit>,
    // sparsemixer: the second expert.
    second: Dff<Bit>,
    token: Dff<Bits<9>>,
    // A pass: the expert at hand, unless it is one of the list or of the kept groups; how many follow; no other has entered; wait.
    at: Dff<Bits<9>>,
    from_list: Dff<Bit>,
    from_groups: Dff<Bit>,
    remain: Dff<Bits<9>>,
    final_at: Dff<Bit>,
    fresh: Dff<Bit>,
    slow: Dff<Bit>,
    // The entry of the list at hand.
    pick: Dff<Bits<3>>,
    emit_last: Signal<Local, Bit>,
    clear: Dff<Bit>,
    // Logits of the token are all there; its largest has been read; or it comes with its last one.
    pending: Dff<Bit>,
    late: Dff<Bit>,
    live: Dff<Bit>,
    tokens_less: Dff<Bits<9>>,
    last_token: Dff<Bit>,
    // The logit from which exponentials count, and that with 8 for rounding.
    top_pre: Dff<Bits<36>>,
    top_now: Signal<Local, Bits<36>>,
    top: Dff<Bits<36>>,
    top8: Dff<Bits<37>>,
    up: Signal<Local, Bit>,
    p: Signal<Local, Bits<25>>,
    sum: Dff<Bits<33>>,
    less: AddMux<33>,
    more: AddMux<33>,
    places4: Dff<Bits<3>>,
    places1: Dff<Bits<2>>,
    over: Dff<Bit>,
    ready: Signal<Local, Bit>,
    ended: Signal<Local, Bit>,

    // What enters a pass.
    i_vld: Signal<Local, Bit>,
    i_last: Signal<Local, Bit>,
    i_expert: Signal<Local, Bits<8>>,
    i_tag: Signal<Local, Bits<8>>,
    i1_vld: Dff<Bit>,
    i1_first: Dff<Bit>,
    i1_last: Dff<Bit>,
    i1_tag: Dff<Bits<8>>,
    // A cycle behind the memory.
    i2_vld: Dff<Bit>,
    i2_last: Dff<Bit>,
    i2_tag: Dff<Bits<8>>,
    i2_word: Dff<Bits<64>>,
    i3_vld: Dff<Bit>,
    i3_last: Dff<Bit>,
    i3_tag: Dff<Bits<8>>,
    // The walk over the kept groups: `left` shows the group at hand in bit 0.
    marking: Dff<Bit>,
    mask: Dff<Bits<16>>,
    left: Dff<Bits<16>>,
    kept_expert: Dff<Bits<8>>,
    kept_left: Dff<Bits<8>>,
    kept_end: Dff<Bit>,
    kept_groups: Dff<Bits<4>>,
    kept_last: Dff<Bit>,
    walking: Signal<Local, Bit>,

    // Largest logit of the chosen.
    find_vld: Dff<Bit>,
    find_first: Dff<Bit>,
    find_end: Dff<Bit>,
    found: Dff<Bits<36>>,
    found_less: Signal<Local, Bits<37>>,
    small: Dff<Bit>,

    // Keys: base and bias, sum; then the list, or a group and then the list.
    write_at: Dff<Bits<4>>,
    read_at: Dff<Bits<4>>,
    back: Dff<Bits<4>>,
    k0_other: Dff<Bits<38>>,
    k0_bias: Dff<Bits<32>>,
    k0_value: Dff<Bits<25>>,
    bias_tag: Dff<Bits<2>>,
    k0_vld: Signal<Local, Bit>,
    k0_last: Signal<Local, Bit>,
    k0_tag: Signal<Local, Bits<8>>,
    k0_sum: AddMux<38>,
    k0_key: Signal<Local, Bits<38>>,
    k1_vld: Dff<Bit>,
    k1_last: Dff<Bit>,
    k1_key: Dff<Bits<38>>,
    k1_index: Dff<Bits<8>>,
    k1_value: Dff<Bits<25>>,
    k2_value: Dff<Bits<25>>,
    k3_value: Dff<Bits<25>>,
    m_vld: Dff<Bit>,
    m_last: Dff<Bit>,
    m_key: Dff<Bits<38>>,
    m_tag: Dff<Bits<8>>,
    m_begins: Dff<Bit>,
    m_ends: Dff<Bit>,
    m_group: Dff<Bits<4>>,
    group_new: Dff<Bit>,
    group_left: Dff<Bits<8>>,
    group_end: Dff<Bit>,
    group: Dff<Bits<4>>,
    best: Dff<Bits<38>>,
    best2: Dff<Bits<38>>,
    best_less: Signal<Local, Bits<39>>,
    best2_less: Signal<Local, Bits<39>>,
    g_vld: Dff<Bit>,
    g_last: Dff<Bit>,
    g_index: Dff<Bits<4>>,
    g_score: AddMux<38>,
    value: AddMux<25>,

    // Products: of a value and the reciprocal; then a softmax's score, or a weight.
    o1_vld: Dff<Bit>,
    o1_emit: Dff<Bit>,
    o1_last: Dff<Bit>,
    o1_tag: Dff<Bits<8>>,
    o1_slot: Dff<Bits<3>>,
    o1_value: Dff<Bits<25>>,
    o_vld: [Dff<Bit>; 7],
    o_emit: [Dff<Bit>; 7],
    o_last: [Dff<Bit>; 7],
    o_tag: [Dff<Bits<8>>; 7],
    o_slot: [Dff<Bits<3>>; 7],
    placed: Signal<Local, Bits<56>>,
    fours: Signal<Local, Bits<224>>,
    by4: Mux8<28, 224>,
    by4_out: Signal<Local, Bits<28>>,
    ones: Signal<Local, Bits<100>>,
    by1: Mux4<25, 100>,
    more_places: Signal<Local, Bits<2>>,
    o2_value: Dff<Bits<25>>,
    o5_product: Dff<Bits<54>>,
    o6_weight: Dff<Bits<17>>,
    share: Signal<Local, Bits<25>>,
    share_even: Signal<Local, Bits<25>>,
    scaled: Signal<Local, Bits<33>>,
    out_token: Dff<Bits<8>>,
    r_vld: Dff<Bit>,
    r_last: Dff<Bit>,
    r_expert: Dff<Bits<8>>,
    r_slot: Dff<Bits<3>>,
    r_weight: Dff<Bits<20>>,
    finished: Dff<Bit>,

    // sparsemixer's condition.
    y_vld: [Dff<Bit>; 11],
    y_tag1: Dff<Bits<8>>,
    y_tag: Dff<Bits<8>>,
    y_distance: Dff<Bits<37>>,
    y_size: Dff<Bits<36>>,
    y_less: Signal<Local, Bits<37>>,
    y_reference: Dff<Bits<36>>,
    y_low: Dff<Bits<18>>,
    y_bound: Dff<Bits<37>>,
    y_beyond: Signal<Local, Bits<38>>,
    y_same: Dff<Bit>,
    near: Dff<Bit>,
    y_tag2: Dff<Bits<8>>,
    one: Constant<Bits<25>>,
}

impl Router {
    /// A router for up to `tokens_max` tokens and `experts_max` experts.
    pub fn new(config: &Config) -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            go: Default::default(),
            tokens: Default::default(),
            experts: Default::default(),
            topk: Default::default(),
            score: Default::default(),
            renorm: Default::default(),
            choice_bias: Default::default(),
            sum2: Default::default(),
            groups: Default::default(),
            groups_kept: Default::default(),
            route_scale: Default::default(),
            jitter: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_acc: Default::default(),
            in_limb: Default::default(),
            in_row: Default::default(),
            in_token: Default::default(),
            in_lsb: Default::default(),
            in_last: Default::default(),
            cb_vld: Default::default(),
            cb_index: Default::default(),
            cb_data: Default::default(),
            rt_vld: Default::default(),
            rt_token: Default::default(),
            rt_slot: Default::default(),
            rt_expert: Default::default(),
            rt_weight: Default::default(),
            rt_done: Default::default(),
            busy: Default::default(),
            logit_vld: Default::default(),
            logit_token: Default::default(),
            logit_expert: Default::default(),
            logit_value: Default::default(),
            logits: Logits::new(config),
            scores: Default::default(),
            list: Default::default(),
            divider: Default::default(),
            store: Ram::new(config.experts_max),
            biases: Ram::new(config.experts_max / 4),
            behind: Dram::new(16),
            product: MulPairs::new(35),
            scaling: MulPairs::new(11),
            softmax: Default::default(),
            sigmoid: Default::default(),
            identity: Default::default(),
            mixer: Default::default(),
            grouped: Default::default(),
            plain: Default::default(),
            biased: Default::default(),
            drop: Default::default(),
            group_count: Default::default(),
            early: Default::default(),
            single: Default::default(),
            experts_less: Default::default(),
            first_rank: Default::default(),
            kept_less: Default::default(),
            size_rest: Default::default(),
            size: Default::default(),
            size_less: Default::default(),
            size_one: Default::default(),
            in_wait: Default::default(),
            in_issue: Default::default(),
            in_flow: Default::default(),
            in_mask: Default::default(),
            in_aim: Default::default(),
            in_count: Default::default(),
            in_shift: Default::default(),
            in_start: Default::default(),
            in_divide: Default::default(),
            in_emit: Default::default(),
            is_main: Default::default(),
            is_rescale: Default::default(),
            is_kept: Default::default(),
            is_find: Default::default(),
            is_chosen: Default::default(),
            is_flags: Default::default(),
            is_members: Default::default(),
            grouping: Default::default(),
            inverting: Default::default(),
            list_plain: Default::default(),
            of_list: Default::default(),
            of_all: Default::default(),
            by_sigmoid: Default::default(),
            by_key: Default::default(),
            by_score: Default::default(),
            then_groups: Default::default(),
            then_chosen: Default::default(),
            then_pass: Default::default(),
            then_start: Default::default(),
            then_all: Default::default(),
            second: Default::default(),
            token: Default::default(),
            at: Default::default(),
            from_list: Default::default(),
            from_groups: Default::default(),
            remain: Default::default(),
            final_at: Default::default(),
            slow: Default::default(),
            fresh: Default::default(),
            emit_last: Default::default(),
            up: Default::default(),
            p: Default::default(),
            pick: Default::default(),
            live: Default::default(),
            clear: Default::default(),
            pending: Default::default(),
            late: Default::default(),
            tokens_less: Default::default(),
            last_token: Default::default(),
            top_pre: Default::default(),
            top_now: Default::default(),
            top: Default::default(),
            top8: Default::default(),
            sum: Default::default(),
            less: Default::default(),
            more: Default::default(),
            places4: Default::default(),
            places1: Default::default(),
            over: Default::default(),
            ready: Default::default(),
            ended: Default::default(),
            i_vld: Default::default(),
            i_last: Default::default(),
            i_expert: Default::default(),
            i_tag: Default::default(),
            i1_vld: Default::default(),
            i1_first: Default::default(),
            i1_last: Default::default(),
            i1_tag: Default::default(),
            i2_vld: Default::default(),
            i2_last: Default::default(),
            i2_tag: Default::default(),
            i2_word: Default::default(),
            i3_vld: Default::default(),
            i3_last: Default::default(),
            i3_tag: Default::default(),
            marking: Default::default(),
            mask: Default::default(),
            left: Default::default(),
            kept_expert: Default::default(),
            kept_left: Default::default(),
            kept_end: Default::default(),
            kept_groups: Default::default(),
            kept_last: Default::default(),
            walking: Default::default(),
            find_vld: Default::default(),
            find_first: Default::default(),
            find_end: Default::default(),
            found: Default::default(),
            found_less: Default::default(),
            small: Default::default(),
            write_at: Default::default(),
            read_at: Default::default(),
            back: Default::default(),
            k0_other: Default::default(),
            k0_bias: Default::default(),
            k0_value: Default::default(),
            bias_tag: Default::default(),
            k0_vld: Default::default(),
            k0_last: Default::default(),
            k0_tag: Default::default(),
            k0_sum: Default::default(),
            k0_key: Default::default(),
            k1_vld: Default::default(),
            k1_last: Default::default(),
            k1_key: Default::default(),
            k1_index: Default::default(),
            k1_value: Default::default(),
            k2_value: Default::default(),
            k3_value: Default::default(),
            m_vld: Default::default(),
            m_last: Default::default(),
            m_key: Default::default(),
            m_tag: Default::default(),
            m_begins: Default::default(),
            m_ends: Default::default(),
            m_group: Default::default(),
            group_new: Default::default(),
            group_left: Default::default(),
            group_end: Default::default(),
            group: Default::default(),
            best: Default::default(),
            best2: Dff::new(0x20_0000_0000u64.to_bits()),
            best_less: Default::default(),
            best2_less: Default::default(),
            g_vld: Default::default(),
            g_last: Default::default(),
            g_index: Default::default(),
            g_score: Default::default(),
            value: Default::default(),
            o1_vld: Default::default(),
            o1_emit: Default::default(),
            o1_last: Default::default(),
            o1_tag: Default::default(),
            o1_slot: Default::default(),
            o1_value: Default::default(),
            o_vld: arr(),
            o_emit: arr(),
            o_last: arr(),
            o_tag: arr(),
            o_slot: arr(),
            placed: Default::default(),
            fours: Default::default(),
            by4: Default::default(),
            by4_out: Default::default(),
            ones: Default::default(),
            by1: Default::default(),
            more_places: Default::default(),
            o2_value: Default::default(),
            o5_product: Default::default(),
            o6_weight: Default::default(),
            share: Default::default(),
            share_even: Default::default(),
            scaled: Default::default(),
            out_token: Default::default(),
            r_vld: Default::default(),
            r_last: Default::default(),
            r_expert: Default::default(),
            r_slot: Default::default(),
            r_weight: Default::default(),
            finished: Default::default(),
            y_vld: arr(),
            y_tag1: Default::default(),
            y_tag: Default::default(),
            y_distance: Default::default(),
            y_size: Default::default(),
            y_less: Default::default(),
            y_reference: Default::default(),
            y_low: Default::default(),
            y_bound: Default::default(),
            y_beyond: Default::default(),
            y_same: Default::default(),
            near: Default::default(),
            y_tag2: Default::default(),
            one: Constant::new((1u64 << 24).to_bits()),
        }
    }
}

impl Logic for Router {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("router");
        clock!(self, clk, store, biases, behind, product, scaling);
        self.logits.clk.next = self.clk.val();
        self.scores.clk.next = self.clk.val();
        self.list.clk.next = self.clk.val();
        self.divider.clk.next = self.clk.val();
        dff_setup!(self, clk, softmax, sigmoid, identity, mixer, grouped, plain, biased, drop);
        dff_setup!(
            self,
            clk,
            group_count,
            early,
            single,
            experts_less,
            first_rank,
            kept_less
        );
        dff_setup!(self, clk, size_rest, size, size_less, size_one, in_wait, in_issue, in_flow);
        dff_setup!(self, clk, in_mask, in_aim, in_count, in_shift, in_start, in_divide, in_emit);
        dff_setup!(self, clk, is_main, is_rescale, is_kept, is_find, is_chosen, is_flags);
        dff_setup!(self, clk, is_members, grouping, inverting, list_plain, of_list, of_all);
        dff_setup!(
            self,
            clk,
            by_sigmoid,
            by_key,
            by_score,
            then_groups,
            then_chosen,
            then_pass
        );
        dff_setup!(
            self,
            clk,
            then_start,
            then_all,
            second,
            token,
            at,
            from_list,
            from_groups
        );
        dff_setup!(self, clk, remain, final_at, fresh, slow, pick, clear, pending, late, live);
        dff_setup!(
            self,
            clk,
            tokens_less,
            last_token,
            top_pre,
            top,
            top8,
            sum,
            places4,
            places1
        );
        dff_setup!(self, clk, over, i1_vld, i1_first, i1_last, i1_tag, i2_vld, i2_last, i2_tag);
        dff_setup!(
            self,
            clk,
            i2_word,
            i3_vld,
            i3_last,
            i3_tag,
            marking,
            mask,
            left,
            kept_expert
        );
        dff_setup!(
            self,
            clk,
            kept_left,
            kept_end,
            kept_groups,
            kept_last,
            find_vld,
            find_first
        );
        dff_setup!(self, clk, find_end, found, small, write_at, read_at, back, k0_other, k0_bias);
        dff_setup!(self, clk, k0_value, bias_tag, k1_vld, k1_last, k1_key, k1_index, k1_value);
        dff_setup!(self, clk, k2_value, k3_value, m_vld, m_last, m_key, m_tag, m_begins, m_ends);
        dff_setup!(self, clk, m_group, group_new, group_left, group_end, group, best, best2);
        dff_setup!(self, clk, g_vld, g_last, g_index, o1_vld, o1_emit, o1_last, o1_tag, o1_slot);
        dff_setup!(self, clk, o1_value, o2_value, o5_product, o6_weight, out_token, r_vld, r_last);
        dff_setup!(self, clk, r_expert, r_slot, r_weight, finished, y_tag1, y_tag, y_distance);
        dff_setup!(
            self,
            clk,
            y_size,
            y_reference,
            y_low,
            y_bound,
            y_same,
            near,
            y_tag2
        );

        // The parameters stand still; what follows from them is there long before the first logit.
        self.softmax.d.next = self.score.val() == 0;
        self.sigmoid.d.next = self.score.val() == 1;
        self.identity.d.next = self.score.val() == 2;
        self.mixer.d.next = self.score.val() == 3;
        self.grouped.d.next = self.groups.val() > 1 && self.score.val() != 3;
        self.biased.d.next = self.choice_bias.val() && self.score.val() != 3;
        self.plain.d.next = self.mixer.q.val()
            || ((self.softmax.q.val() || self.identity.q.val())
                && !self.biased.q.val()
                && !self.grouped.q.val());
        // Of more than eight groups to keep the list holds those to drop; there are at most sixteen.
        self.drop.d.next = self.groups_kept.val() > 8;
        self.group_count.d.next = self.groups_kept.val().get_bits::<4>(0);
        if self.drop.q.val() {
            self.group_count.d.next =
                self.groups.val().get_bits::<4>(0) - self.groups_kept.val().get_bits::<4>(0);
        }
        self.early.d.next = self.sigmoid.q.val() && self.experts.val() > 4;
        self.single.d.next = self.experts.val() == 1;
        self.experts_less.d.next = self.experts.val().get_bits::<9>(0) - 1;
        self.first_rank.d.next = bits::<3>(0) - self.topk.val().get_bits::<3>(0);
        self.kept_less.d.next = self.groups_kept.val().get_bits::<4>(0) - 1;
        // E / G, one subtraction a cycle: at most E / 2 cycles, and 4 E rows come before it is needed.
        if self.size_rest.q.val() >= bit_cast::<9, 8>(self.groups.val()) {
            self.size_rest.d.next = self.size_rest.q.val() - bit_cast::<9, 8>(self.groups.val());
            self.size.d.next = self.size.q.val() + 1;
        }
        if self.go.val() {
            self.size_rest.d.next = self.experts.val().get_bits::<9>(0);
            self.size.d.next = 0.into();
        }
        self.size_less.d.next = self.size.q.val() - 1;
        self.size_one.d.next = self.size.q.val() == 1;

        // What follows from the kind of the pass.
        self.grouping.d.next =
            self.grouped.q.val() && (self.is_main.q.val() || self.is_rescale.q.val());
        self.inverting.d.next = self.grouping.q.val() && self.drop.q.val();
        self.list_plain.d.next = self.plain.q.val()
            && (self.is_main.q.val() || (self.is_flags.q.val() && !self.second.q.val()));
        self.by_sigmoid.d.next = self.sigmoid.q.val() && self.is_main.q.val();
        self.by_key.d.next = self.is_main.q.val()
            && (self.sigmoid.q.val() || (self.identity.q.val() && !self.plain.q.val()));
        // Values are exponentials that come from `score`, not from beside the key.
        self.by_score.d.next = self.is_chosen.q.val()
            || self.is_flags.q.val()
            || self.is_members.q.val()
            || (self.is_main.q.val() && (self.softmax.q.val() || self.plain.q.val()));
        // The sum is that of all values, or of the list's.
        self.of_all.d.next = self.is_chosen.q.val()
            || self.is_members.q.val()
            || (self.is_main.q.val()
                && self.softmax.q.val()
                && !(self.plain.q.val() && self.renorm.val()));
        self.of_list.d.next = self.is_rescale.q.val()
            || self.is_kept.q.val()
            || (self.is_main.q.val()
                && !(self.softmax.q.val() && !(self.plain.q.val() && self.renorm.val())));
        // What comes then: a division (and a pass over all after it), the groups, another pass, the normalisation of a small sum; or else the
        // weights. The largest exponential of the plain forms and of the chosen is 2^24: their sum is not small.
        self.then_all.d.next =
            (self.is_main.q.val() && self.softmax.q.val() && !self.plain.q.val())
                || self.is_flags.q.val();
        self.then_start.d.next = self.is_chosen.q.val()
            || self.is_members.q.val()
            || (self.is_main.q.val() && (self.softmax.q.val() || self.plain.q.val()));
        self.then_groups.d.next = self.grouped.q.val()
            && (self.is_rescale.q.val() || (self.is_main.q.val() && !self.softmax.q.val()));
        self.then_chosen.d.next = self.identity.q.val()
            && !self.plain.q.val()
            && (self.is_kept.q.val()
                || self.is_find.q.val()
                || (self.is_main.q.val() && !self.grouped.q.val()));
        self.then_pass.d.next = self.then_chosen.q.val() || self.is_flags.q.val();

        // Rows to logits.
        self.logits.rst.next = self.rst.val();
        self.logits.go.next = self.go.val();
        self.logits.experts.next = self.experts.val();
        self.logits.in_vld.next = self.in_vld.val();
        self.in_rdy.next = self.logits.in_rdy.val();
        self.logits.in_acc.next = self.in_acc.val();
        self.logits.in_limb.next = self.in_limb.val();
        self.logits.in_row.next = self.in_row.val();
        self.logits.in_token.next = self.in_token.val();
        self.logits.in_lsb.next = self.in_lsb.val();
        self.logits.in_last.next = self.in_last.val();
        self.logit_vld.next = self.logits.logit_vld.val();
        self.logit_token.next = self.logits.logit_token.val();
        self.logit_expert.next = self.logits.logit_expert.val();
        self.logit_value.next = self.logits.logit_value.val();
        self.logits.rd_token.next = self.token.q.val().get_bits::<8>(0);
        self.logits.wanted.next = self.in_wait.q.val();
        self.logits.early.next = self.early.q.val();

        // What enters.
        self.pending.d.next = self.logits.done.val() != self.token.q.val();
        self.late.d.next =
            self.in_wait.q.val() && self.logits.stored_vld.val() && self.pending.q.val();
        self.tokens_less.d.next = self.tokens.val().get_bits::<9>(0) - 1;
        self.last_token.d.next = self.token.q.val() == self.tokens_less.q.val();
        self.ready.next = self.in_wait.q.val() && (self.logits.starts.val() || self.late.q.val());
        self.walking.next = self.in_issue.q.val() && self.from_groups.q.val();
        // sparsemixer's flags take eight cycles each.
        self.slow.d.next = self.is_flags.q.val() && !self.in_flow.q.val() && !self.y_vld[6].q.val();
        self.i_vld.next = self.ready.val()
            || (self.in_issue.q.val()
                && !self.slow.q.val()
                && (!self.from_groups.q.val() || self.left.q.val().get_bit(0)));
        self.i_expert.next = self.at.q.val().get_bits::<8>(0);
        self.i_tag.next = self.at.q.val().get_bits::<8>(0);
        self.i_last.next = self.final_at.q.val();
        if self.from_groups.q.val() {
            self.i_expert.next = self.kept_expert.q.val();
            self.i_tag.next = self.kept_expert.q.val();
            self.i_last.next = self.kept_end.q.val() && self.kept_last.q.val();
        }
        if self.from_list.q.val() {
            self.i_expert.next = self.list.index.val();
            self.i_last.next = self.pick.q.val() == self.first_rank.q.val();
        }
        self.logits.rd_expert.next = self.i_expert.val();
        self.store.re.next = true;
        self.store.raddr.next = self.i_expert.val();
        self.i1_vld.d.next = self.i_vld.val();
        self.i1_first.d.next = self.fresh.q.val();
        self.i1_last.d.next = self.i_last.val();
        self.i1_tag.d.next = self.i_tag.val();
        self.i2_vld.d.next = self.i1_vld.q.val();
        self.i2_last.d.next = self.i1_last.q.val();
        self.i2_tag.d.next = self.i1_tag.q.val();
        self.i2_word.d.next = self.store.rdata.val();
        self.i3_vld.d.next = self.i2_vld.q.val() && self.is_kept.q.val();
        self.i3_last.d.next = self.i2_last.q.val();
        self.i3_tag.d.next = self.i2_tag.q.val();
        if self.i_vld.val() {
            self.fresh.d.next = false;
        } else if !self.in_issue.q.val() {
            self.fresh.d.next = true;
        }
        // How many experts are to come in a pass over all.
        if self.i_vld.val() {
            self.remain.d.next = self.remain.q.val() - 1;
            self.final_at.d.next = self.remain.q.val() == 1;
        } else if !self.in_issue.q.val() {
            self.remain.d.next = self.experts_less.q.val();
            self.final_at.d.next = self.single.q.val();
        }
        // The entry of the list: from the last one down, or from the best on.
        if self.in_flow.q.val() {
            self.pick.d.next =
                self.first_rank.q.val() | bit_cast::<3, 1>(self.second.q.val().into());
            if self.then_groups.q.val() || self.then_chosen.q.val() {
                self.pick.d.next = 7.into();
            }
        } else if self.in_emit.q.val() {
            self.pick.d.next = self.pick.q.val() + 1;
        } else if self.in_mask.q.val() || self.in_issue.q.val() {
            self.pick.d.next = self.pick.q.val() - 1;
        }
        self.emit_last.next = self.pick.q.val() == 7 || self.mixer.q.val();
        // The walk over the kept groups: one expert, or past a group that is left out.
        self.marking.d.next = false;
        if self.marking.q.val() {
            self.mask.d.next =
                self.mask.q.val() | (bits::<16>(1) << self.o1_tag.q.val().get_bits::<4>(0));
        }
        if self.walking.val() {
            if self.left.q.val().get_bit(0) {
                self.kept_expert.d.next = self.kept_expert.q.val() + 1;
            } else {
                self.kept_expert.d.next = self.kept_expert.q.val() + self.size.q.val();
            }
            self.kept_left.d.next = self.kept_left.q.val() - 1;
            self.kept_end.d.next = self.kept_left.q.val() == 1;
            if self.kept_end.q.val() || !self.left.q.val().get_bit(0) {
                self.left.d.next = self.left.q.val() >> 1;
                self.kept_left.d.next = self.size_less.q.val();
                self.kept_end.d.next = self.size_one.q.val();
            }
            if self.kept_end.q.val() && self.left.q.val().get_bit(0) {
                self.kept_groups.d.next = self.kept_groups.q.val() - 1;
                self.kept_last.d.next = self.kept_groups.q.val() == 1;
            }
        }
        if self.in_aim.q.val() {
            self.left.d.next = self.mask.q.val();
            if self.drop.q.val() {
                self.left.d.next = !self.mask.q.val();
            }
            self.kept_expert.d.next = 0.into();
            self.kept_left.d.next = self.size_less.q.val();
            self.kept_end.d.next = self.size_one.q.val();
            self.kept_groups.d.next = self.kept_less.q.val();
            self.kept_last.d.next = self.kept_less.q.val() == 0;
        }

        // Scores.
        self.scores.rst.next = self.rst.val() || self.go.val();
        self.scores.sigmoid.next = self.sigmoid.q.val();
        self.scores.top8.next = self.top8.q.val();
        self.scores.in_vld.next = self.i1_vld.q.val()
            && !self.is_rescale.q.val()
            && !self.is_kept.q.val()
            && !self.is_find.q.val();
        self.scores.in_logit.next = self.logits.rd_logit.val();
        self.scores.in_tag.next = self.i1_tag.q.val();
        self.scores.in_last.next = self.i1_last.q.val();
        self.scores.in_take.next = !self.is_members.q.val() || self.i2_word.q.val().get_bit(63);
        // A value; an exponential's rounding is the carry.
        self.scores.exact.next = self.by_score.q.val();
        self.value.a.next = 0.into();
        self.value.b.next = self.scores.p_floor.val();
        self.value.d.next = self.k3_value.q.val();
        self.value.s.next = self.by_score.q.val();
        self.value.cin.next = self.scores.p_half.val();
        self.p.next = self.value.y.val();
        if self.scores.p_half.val() && self.scores.p_tie.val() {
            self.p.next = self.value.y.val() & 0x1FF_FFFE;
        }
        self.up.next = self.scores.p_half.val()
            && (!self.scores.p_tie.val() || self.scores.p_floor.val().get_bit(0));
        // The sum: what falls out of the list goes, the new value comes.
        self.less.a.next = self.sum.q.val();
        self.less.b.next = bit_cast::<33, 25>(self.list.falls_not.val()) | 0x1_FE00_0000u64;
        self.less.d.next = 0.into();
        self.less.s.next = self.of_list.q.val();
        self.less.cin.next = self.of_list.q.val();
        self.more.a.next = self.less.y.val();
        self.more.b.next = bit_cast::<33, 25>(self.scores.p_floor.val());
        self.more.d.next = bit_cast::<33, 25>(self.k3_value.q.val());
        self.more.s.next = self.by_score.q.val();
        self.more.cin.next = self.up.val();
        if (self.of_list.q.val() && self.list.takes.val())
            || (self.of_all.q.val() && self.scores.p_vld.val() && self.scores.p_take.val())
        {
            self.sum.d.next = self.more.y.val();
        }
        self.clear.d.next = false;
        if self.i1_vld.q.val() && self.i1_first.q.val() {
            self.sum.d.next = 0.into();
            self.clear.d.next = self.is_main.q.val()
                || self.is_rescale.q.val()
                || self.is_kept.q.val()
                || (self.is_flags.q.val() && !self.second.q.val());
        }

        // The largest logit of the chosen.
        self.find_vld.d.next = self.i1_vld.q.val() && self.is_find.q.val();
        self.find_first.d.next = self.i1_first.q.val();
        self.find_end.d.next = self.i1_vld.q.val() && self.is_find.q.val() && self.i1_last.q.val();
        self.found_less.next =
            unsigned_cast(bit_cast_sx::<37, 36>(signed_cast(self.found.q.val())))
                - unsigned_cast(bit_cast_sx::<37, 36>(signed_cast(self.scores.l1.val())));
        if self.find_vld.q.val() && (self.find_first.q.val() || self.found_less.val().get_bit(36)) {
            self.found.d.next = self.scores.l1.val();
        }
        // From where exponentials count. Of a token whose last logit has just come the largest is known now.
        if self.in_wait.q.val() {
            if self.logits.stored_vld.val() {
                self.top_pre.d.next = self.logits.stored.val();
            }
        } else if self.mixer.q.val() {
            self.top_pre.d.next = self.list.key7.val().get_bits::<36>(0);
        } else {
            self.top_pre.d.next = self.found.q.val();
        }
        self.live.d.next = self.in_wait.q.val() && self.logits.starts.val();
        self.top_now.next = self.top_pre.q.val();
        if self.live.q.val() {
            self.top_now.next = self.logits.best.val();
        }
        if self.i1_vld.q.val() && self.i1_first.q.val() && !self.is_members.q.val() {
            self.top.d.next = self.top_now.val();
            self.top8.d.next =
                unsigned_cast(bit_cast_sx::<37, 36>(signed_cast(self.top_now.val()))) + 8;
        }

        // Keys. What must wait for its score goes through a small memory.
        self.write_at.d.next = self.write_at.q.val() + 1;
        self.back.d.next = 6.into();
        if self.list_plain.q.val() {
            self.back.d.next = 4.into();
        } else if self.is_rescale.q.val() {
            self.back.d.next = 3.into();
        }
        self.read_at.d.next = self.write_at.q.val() - self.back.q.val();
        self.behind.we.next = true;
        self.behind.waddr.next = self.write_at.q.val();
        self.behind.wdata.next = self.scores.l1.val();
        self.behind.raddr.next = self.read_at.q.val();
        if self.is_rescale.q.val() {
            self.behind.wdata.next = bit_cast::<36, 25>(self.o1_value.q.val());
        }
        self.biases.we.next = self.cb_vld.val();
        self.biases.waddr.next = self.cb_index.val().get_bits::<6>(2);
        self.biases.wdata.next = self.cb_data.val();
        self.biases.re.next = true;
        self.biases.raddr.next = self.scores.v7_tag.val().get_bits::<6>(2);
        self.bias_tag.d.next = self.scores.v7_tag.val().get_bits::<2>(0);
        if self.is_rescale.q.val() {
            self.biases.raddr.next = self.o_tag[2].q.val().get_bits::<6>(2);
            self.bias_tag.d.next = self.o_tag[2].q.val().get_bits::<2>(0);
        }
        self.k0_bias.d.next = self.biases.rdata.val().get_bits::<32>(0);
        for i in 1..4 {
            if self.bias_tag.q.val() == i.to_bits() {
                self.k0_bias.d.next = self.biases.rdata.val().get_bits::<32>(32 * i);
            }
        }
        if !self.biased.q.val() || self.is_kept.q.val() {
            self.k0_bias.d.next = 0.into();
        }
        // A softmax's score: RNE of the product / 2^28.
        self.share.next = self.o5_product.q.val().get_bits::<25>(28)
            + bit_cast::<25, 1>(self.o5_product.q.val().get_bits::<1>(27));
        if self.o5_product.q.val().get_bit(27) && !self.o5_product.q.val().get_bits::<27>(0).any() {
            self.share_even.next = self.share.val() & 0x1FF_FFFE;
        } else {
            self.share_even.next = self.share.val();
        }
        self.k0_other.d.next =
            unsigned_cast(bit_cast_sx::<38, 36>(signed_cast(self.behind.rdata.val())));
        self.k0_value.d.next = self.behind.rdata.val().get_bits::<25>(0);
        if self.is_rescale.q.val() {
            self.k0_other.d.next = bit_cast::<38, 25>(self.share_even.val());
        } else if self.is_kept.q.val() {
            self.k0_other.d.next = self.i2_word.q.val().get_bits::<38>(0);
            self.k0_value.d.next = self.i2_word.q.val().get_bits::<25>(38);
        }
        self.k0_vld.next = (self.list_plain.q.val() && self.scores.v7_vld.val())
            || (self.by_key.q.val() && self.scores.v9_vld.val())
            || (self.is_rescale.q.val() && self.o_vld[4].q.val())
            || self.i3_vld.q.val();
        self.k0_last.next = self.scores.v9_last.val();
        self.k0_tag.next = self.scores.v9_tag.val();
        if self.list_plain.q.val() {
            self.k0_last.next = self.scores.v7_last.val();
            self.k0_tag.next = self.scores.v7_tag.val();
        } else if self.is_rescale.q.val() {
            self.k0_last.next = self.o_last[4].q.val();
            self.k0_tag.next = self.o_tag[4].q.val();
        } else if self.is_kept.q.val() {
            self.k0_last.next = self.i3_last.q.val();
            self.k0_tag.next = self.i3_tag.q.val();
        }
        self.k0_sum.a.next =
            unsigned_cast(bit_cast_sx::<38, 32>(signed_cast(self.k0_bias.q.val())));
        self.k0_sum.b.next = bit_cast::<38, 25>(self.scores.s.val());
        self.k0_sum.d.next = self.k0_other.q.val();
        self.k0_sum.s.next = self.by_sigmoid.q.val();
        self.k0_sum.cin.next = false;
        self.k0_key.next = self.k0_sum.y.val();

        // Groups: the two best keys of each, then its score.
        self.m_vld.d.next = self.k0_vld.val() && self.grouping.q.val();
        self.m_last.d.next = self.k0_last.val();
        self.m_tag.d.next = self.k0_tag.val();
        self.m_key.d.next = self.k0_key.val();
        self.m_begins.d.next = self.group_new.q.val();
        self.m_ends.d.next = self.group_end.q.val();
        self.m_group.d.next = self.group.q.val();
        if self.k0_vld.val() {
            self.group_new.d.next = self.group_end.q.val();
            self.group_left.d.next = self.group_left.q.val() - 1;
            self.group_end.d.next = self.group_left.q.val() == 1;
            if self.group_end.q.val() {
                self.group_left.d.next = self.size_less.q.val();
                self.group_end.d.next = self.size_one.q.val();
                self.group.d.next = self.group.q.val() + 1;
            }
        }
        if self.i1_vld.q.val() && self.i1_first.q.val() {
            self.group_new.d.next = true;
            self.group_left.d.next = self.size_less.q.val();
            self.group_end.d.next = self.size_one.q.val();
            self.group.d.next = 0.into();
        }
        self.g_vld.d.next = self.m_vld.q.val() && self.m_ends.q.val();
        self.g_last.d.next = self.m_last.q.val();
        self.g_index.d.next = self.m_group.q.val();
        self.best_less.next = unsigned_cast(bit_cast_sx::<39, 38>(signed_cast(self.best.q.val())))
            - unsigned_cast(bit_cast_sx::<39, 38>(signed_cast(self.m_key.q.val())));
        self.best2_less.next =
            unsigned_cast(bit_cast_sx::<39, 38>(signed_cast(self.best2.q.val())))
                - unsigned_cast(bit_cast_sx::<39, 38>(signed_cast(self.m_key.q.val())));
        // What begins a group is there before its first key is valid: until then the register may hold anything.
        if self.m_begins.q.val() {
            self.best.d.next = self.m_key.q.val();
            self.best2.d.next = 0x20_0000_0000u64.into(); // below every key
        } else if self.m_vld.q.val() && self.best_less.val().get_bit(38) {
            self.best.d.next = self.m_key.q.val();
            self.best2.d.next = self.best.q.val();
        } else if self.m_vld.q.val() && self.best2_less.val().get_bit(38) {
            self.best2.d.next = self.m_key.q.val();
        }
        self.g_score.a.next = self.best.q.val();
        self.g_score.b.next = self.best2.q.val();
        self.g_score.d.next = 0.into();
        self.g_score.s.next = self.sum2.val();
        self.g_score.cin.next = false;

        // Into the list.
        self.k1_vld.d.next = self.k0_vld.val();
        self.k1_last.d.next = self.k0_last.val();
        self.k1_index.d.next = self.k0_tag.val();
        self.k1_key.d.next = self.k0_key.val();
        if self.grouping.q.val() {
            self.k1_vld.d.next = self.g_vld.q.val();
            self.k1_last.d.next = self.g_last.q.val();
            self.k1_index.d.next = bit_cast::<8, 4>(self.g_index.q.val());
            self.k1_key.d.next = self.g_score.y.val();
            if self.drop.q.val() {
                self.k1_key.d.next = !self.g_score.y.val();
            }
        }
        self.k1_value.d.next = self.k0_value.q.val();
        if self.by_sigmoid.q.val() {
            self.k1_value.d.next = self.scores.s.val();
        }
        self.k2_value.d.next = self.k1_value.q.val();
        if self.grouping.q.val() {
            self.k2_value.d.next = 0.into();
        }
        self.k3_value.d.next = self.k2_value.q.val();
        self.list.rst.next = self.rst.val() || self.go.val();
        self.list.limit.next = self.topk.val().get_bits::<4>(0);
        self.list.invert.next = self.inverting.q.val();
        if self.grouping.q.val() {
            self.list.limit.next = self.group_count.q.val();
        }
        self.list.clear.next = self.clear.q.val();
        self.list.in_vld.next = self.k1_vld.q.val();
        self.list.in_last.next = self.k1_last.q.val();
        self.list.in_key.next = self.k1_key.q.val();
        self.list.in_index.next = self.k1_index.q.val();
        self.list.in_value.next = self.p.val();
        self.list.push.next = self.scores.v9_vld.val() && self.is_chosen.q.val();
        self.list.pick.next = self.pick.q.val();

        // The best itself has been dealt with when the second is looked for.
        self.y_tag2.d.next = self.y_tag.q.val();
        self.y_beyond.next =
            bit_cast::<38, 37>(self.y_bound.q.val()) - bit_cast::<38, 37>(self.y_distance.q.val());
        self.near.d.next = !self.y_beyond.val().get_bit(37) && !self.y_same.q.val();
        self.y_same.d.next = self.second.q.val() && self.y_tag.q.val() == self.list.index6.val();
        // What a later pass needs: exponentials, keys and values, or flags.
        self.store.we.next = self.scores.p_vld.val() && self.is_main.q.val();
        self.store.waddr.next = self.scores.p_tag.val();
        self.store.wdata.next = bit_cast::<64, 25>(self.p.val()) << 38;
        if self.then_groups.q.val() {
            self.store.we.next = self.m_vld.q.val();
            self.store.waddr.next = self.m_tag.q.val();
            self.store.wdata.next = (bit_cast::<64, 25>(self.k1_value.q.val()) << 38)
                | bit_cast::<64, 38>(self.m_key.q.val());
        }
        if self.is_flags.q.val() {
            self.store.we.next = self.y_vld[10].q.val();
            self.store.waddr.next = self.y_tag2.q.val();
            self.store.wdata.next = bit_cast::<64, 1>(self.near.q.val().into()) << 63;
        }

        // Products: 1 the value, 2 in place, 3 and 4 in the multiplier, 5 summed, 6 a softmax's score; or 6 rounded, 7 and 8 in the other
        // multiplier.
        self.o1_vld.d.next = self.i2_vld.q.val() && self.is_rescale.q.val();
        self.o1_emit.d.next = self.in_emit.q.val();
        self.o1_last.d.next = self.i2_last.q.val();
        self.o1_tag.d.next = self.i2_tag.q.val();
        self.o1_slot.d.next = self.at.q.val().get_bits::<3>(0);
        if self.mixer.q.val() {
            self.o1_slot.d.next = bit_cast::<3, 1>(self.second.q.val().into());
        }
        self.o1_value.d.next = self.i2_word.q.val().get_bits::<25>(38);
        if self.is_flags.q.val() {
            self.o1_value.d.next = bit_cast::<25, 16>(self.jitter.val());
        }
        // To be shifted to 2^24 if it is smaller.
        if self.in_count.q.val() {
            self.o1_value.d.next = self.sum.q.val().get_bits::<25>(0)
                | (bit_cast::<25, 1>(self.sum.q.val().get_bits::<8>(25).any().into()) << 24);
        }
        if self.in_mask.q.val() {
            self.o1_tag.d.next = self.list.index.val();
        }
        if self.in_emit.q.val() {
            self.o1_tag.d.next = self.list.index.val();
            self.o1_value.d.next = self.list.value.val();
            if self.mixer.q.val() {
                self.o1_value.d.next = self.one.val();
            }
            self.o1_last.d.next = self.emit_last.val()
                && (self.second.q.val() || !self.mixer.q.val())
                && self.last_token.q.val();
        }
        for i in 0..7 {
            self.o_vld[i].clock.next = self.clk.val();
            self.o_emit[i].clock.next = self.clk.val();
            self.o_last[i].clock.next = self.clk.val();
            self.o_tag[i].clock.next = self.clk.val();
            self.o_slot[i].clock.next = self.clk.val();
        }
        self.o_vld[0].d.next = self.o1_vld.q.val();
        self.o_emit[0].d.next = self.o1_emit.q.val();
        self.o_last[0].d.next = self.o1_last.q.val();
        self.o_tag[0].d.next = self.o1_tag.q.val();
        self.o_slot[0].d.next = self.o1_slot.q.val();
        for i in 1..7 {
            self.o_vld[i].d.next = self.o_vld[i - 1].q.val();
            self.o_emit[i].d.next = self.o_emit[i - 1].q.val();
            self.o_last[i].d.next = self.o_last[i - 1].q.val();
            self.o_tag[i].d.next = self.o_tag[i - 1].q.val();
            self.o_slot[i].d.next = self.o_slot[i - 1].q.val();
        }
        self.placed.next = bit_cast::<56, 25>(self.o1_value.q.val()) << 31;
        self.fours.next = 0.into();
        for i in 0..8 {
            self.fours.next = (self.fours.val() << 28)
                | unsigned_cast_zx::<224, 28>(self.placed.val().get_bits::<28>(4 * i));
        }
        self.by4.x.next = self.fours.val();
        self.by4.s.next = self.places4.q.val();
        self.by4_out.next = self.by4.y.val();
        self.ones.next = 0.into();
        for i in 0..4 {
            self.ones.next = (self.ones.val() << 25)
                | unsigned_cast_zx::<100, 25>(self.by4_out.val().get_bits::<25>(i));
        }
        self.by1.x.next = self.ones.val();
        self.more_places.next = self.places1.q.val();
        if self.in_shift.q.val() {
            self.more_places.next = 0.into();
            if !self.by4_out.val().get_bits::<2>(26).any() {
                self.more_places.next = 2.into();
                if !self.by4_out.val().get_bit(25) {
                    self.more_places.next = 3.into();
                }
            } else if !self.by4_out.val().get_bit(27) {
                self.more_places.next = 1.into();
            }
        }
        self.by1.s.next = self.more_places.val();
        self.o2_value.d.next = self.by1.y.val();
        self.product.a.next = self.o2_value.q.val();
        self.product.b.next = self.divider.r.val();
        self.product.half.next = self.o_emit[0].q.val();
        self.o5_product.d.next = self.product.x.val() + self.product.y.val();
        // A weight: half is added already, and a tie goes to even. It is at most 2^16, because no value is above its sum.
        self.o6_weight.d.next = self.o5_product.q.val().get_bits::<17>(36);
        if !self.o5_product.q.val().get_bits::<36>(0).any() {
            self.o6_weight.d.next = self.o5_product.q.val().get_bits::<17>(36) & 0x1_FFFE;
        }
        self.scaling.a.next = self.o6_weight.q.val();
        self.scaling.b.next = self.route_scale.val();
        self.scaling.half.next = true;
        // At most 2^16 * 65535 / 2^12: the limit of 20 bits is never reached.
        self.scaled.next = self.scaling.x.val() + self.scaling.y.val();
        self.r_vld.d.next = self.o_emit[6].q.val();
        self.r_last.d.next = self.o_emit[6].q.val() && self.o_last[6].q.val();
        self.r_expert.d.next = self.o_tag[6].q.val();
        self.r_slot.d.next = self.o_slot[6].q.val();
        self.r_weight.d.next = self.scaled.val().get_bits::<20>(12);
        if !self.scaled.val().get_bits::<12>(0).any() {
            self.r_weight.d.next = self.scaled.val().get_bits::<20>(12) & 0xF_FFFE;
        }
        if self.in_emit.q.val() {
            self.out_token.d.next = self.token.q.val().get_bits::<8>(0);
        }
        self.rt_vld.next = self.r_vld.q.val();
        self.rt_token.next = self.out_token.q.val();
        self.rt_slot.next = self.r_slot.q.val();
        self.rt_expert.next = self.r_expert.q.val();
        self.rt_weight.next = self.r_weight.q.val();
        self.finished.d.next = self.r_last.q.val();
        self.rt_done.next = self.finished.q.val();
        if self.r_last.q.val() {
            self.over.d.next = true;
        }
        self.busy.next = self.logits.receiving.val() && !self.over.q.val();

        // sparsemixer: one expert in eight cycles. (top - L) * 2^16 <= jitter * max(|L|, top), the product in two halves and
        // without its last 16 bits.
        for i in 0..11 {
            self.y_vld[i].clock.next = self.clk.val();
        }
        self.y_vld[0].d.next = self.i_vld.val() && self.is_flags.q.val();
        for i in 1..11 {
            self.y_vld[i].d.next = self.y_vld[i - 1].q.val();
        }
        if self.y_vld[1].q.val() {
            self.y_tag.d.next = self.y_tag1.q.val();
            self.y_distance.d.next =
                unsigned_cast(bit_cast_sx::<37, 36>(signed_cast(self.top.q.val())))
                    - unsigned_cast(bit_cast_sx::<37, 36>(signed_cast(self.scores.l1.val())));
            self.y_size.d.next = self.scores.l1.val();
            if self.scores.l1.val().get_bit(35) {
                self.y_size.d.next = bits::<36>(0) - self.scores.l1.val();
            }
        }
        self.y_less.next = unsigned_cast(bit_cast_sx::<37, 36>(signed_cast(self.y_size.q.val())))
            - unsigned_cast(bit_cast_sx::<37, 36>(signed_cast(self.top.q.val())));
        if self.y_vld[2].q.val() {
            self.y_reference.d.next = self.y_size.q.val();
            if self.y_less.val().get_bit(36) {
                self.y_reference.d.next = self.top.q.val();
            }
        }
        if self.y_vld[0].q.val() {
            self.y_tag1.d.next = self.i1_tag.q.val();
        }
        if self.y_vld[7].q.val() {
            self.y_low.d.next = self.o5_product.q.val().get_bits::<18>(16);
        }
        if self.y_vld[8].q.val() {
            self.y_bound.d.next = (bit_cast::<37, 34>(self.o5_product.q.val().get_bits::<34>(0))
                << 2)
                + bit_cast::<37, 18>(self.y_low.q.val());
        }

        // The division; its register holds the other factors of products, too.
        self.divider.rst.next = self.rst.val() || self.go.val();
        self.divider.start.next = self.in_start.q.val();
        self.divider.d.next = self.sum.q.val();
        if self.small.q.val() {
            self.divider.d.next = bit_cast::<33, 25>(self.o2_value.q.val());
        }
        self.divider.load.next = self.sigmoid.q.val() && self.in_flow.q.val();
        self.divider.load_r.next = 0x1000_0000.into();
        if self.y_vld[3].q.val() {
            self.divider.load.next = true;
            self.divider.load_r.next =
                bit_cast::<29, 18>(self.y_reference.q.val().get_bits::<18>(0));
        }
        if self.y_vld[4].q.val() {
            self.divider.load.next = true;
            self.divider.load_r.next =
                bit_cast::<29, 18>(self.y_reference.q.val().get_bits::<18>(18));
        }

        // From pass to pass.
        self.ended.next = self.list.ending.val();
        if self.by_score.q.val() {
            self.ended.next = self.scores.p_end.val();
        }
        if self.is_find.q.val() {
            self.ended.next = self.find_end.q.val();
        }
        if self.i_vld.val() || self.in_mask.q.val() || self.in_emit.q.val() {
            self.at.d.next = self.at.q.val() + 1;
        }
        self.in_aim.d.next = false;
        self.in_count.d.next = false;
        self.in_shift.d.next = self.in_count.q.val();
        self.in_start.d.next = self.in_shift.q.val();
        if self.in_wait.q.val() {
            self.second.d.next = false;
            self.places4.d.next = 0.into();
            self.places1.d.next = 0.into();
            self.small.d.next = false;
            self.is_main.d.next = !self.mixer.q.val();
            self.is_flags.d.next = self.mixer.q.val();
            if self.ready.val() {
                self.in_wait.d.next = false;
                self.in_issue.d.next = !self.i_last.val();
                self.in_flow.d.next = self.i_last.val();
            }
        }
        if self.in_issue.q.val() && self.i_vld.val() && self.i_last.val() {
            self.in_issue.d.next = false;
            self.in_flow.d.next = true;
        }
        if self.in_flow.q.val() {
            self.at.d.next = 0.into();
            self.mask.d.next = 0.into();
            self.from_groups.d.next = false;
            self.from_list.d.next = self.then_chosen.q.val();
            if self.ended.val() {
                self.in_flow.d.next = false;
                if self.then_start.q.val() {
                    self.in_start.d.next = true;
                } else if self.then_groups.q.val() {
                    self.in_mask.d.next = true;
                } else if self.then_pass.q.val() {
                    self.in_issue.d.next = true;
                    self.is_main.d.next = false;
                    self.is_kept.d.next = false;
                    self.is_flags.d.next = false;
                    self.is_members.d.next = self.is_flags.q.val();
                    self.is_find.d.next = !self.is_flags.q.val() && !self.is_find.q.val();
                    self.is_chosen.d.next = self.is_find.q.val();
                } else if self.renorm.val() {
                    self.in_count.d.next = true;
                } else {
                    self.in_emit.d.next = true;
                }
            }
        }
        if self.in_mask.q.val() {
            if self.at.q.val().get_bits::<4>(0) == self.group_count.q.val() {
                self.in_mask.d.next = false;
                self.in_aim.d.next = true;
            } else {
                self.marking.d.next = true;
            }
        }
        if self.in_aim.q.val() {
            self.at.d.next = 0.into();
            self.from_groups.d.next = true;
            self.in_issue.d.next = true;
            self.is_main.d.next = false;
            self.is_rescale.d.next = false;
            self.is_kept.d.next = true;
        }
        if self.in_count.q.val() {
            self.places4.d.next = 6.into();
            for i in 0..6 {
                if self.sum.q.val().get_bits::<4>(4 * i + 1).any() {
                    self.places4.d.next = (5 - i).to_bits();
                }
            }
            self.small.d.next = !self.sum.q.val().get_bits::<9>(24).any();
            if self.sum.q.val().get_bits::<8>(25).any() {
                self.places4.d.next = 0.into();
            }
        }
        if self.in_shift.q.val() {
            self.places1.d.next = self.more_places.val();
        }
        if self.in_start.q.val() {
            self.in_divide.d.next = true;
        }
        if self.in_divide.q.val() && self.divider.soon.val() {
            self.in_divide.d.next = false;
            self.in_emit.d.next = !self.then_all.q.val();
            if self.then_all.q.val() {
                self.in_issue.d.next = true;
                self.is_main.d.next = false;
                self.is_rescale.d.next = true;
            }
        }
        if self.in_emit.q.val() && self.emit_last.val() {
            self.at.d.next = 0.into();
            self.in_emit.d.next = false;
            self.is_main.d.next = !self.mixer.q.val();
            self.is_rescale.d.next = false;
            self.is_kept.d.next = false;
            self.is_chosen.d.next = false;
            self.is_members.d.next = false;
            self.is_flags.d.next = self.mixer.q.val();
            if self.mixer.q.val() && !self.second.q.val() {
                self.second.d.next = true;
                self.in_issue.d.next = true;
            } else {
                self.token.d.next = self.token.q.val() + 1;
                self.in_wait.d.next = true;
            }
        }

        if self.rst.val() || self.go.val() {
            self.in_wait.d.next = true;
            self.in_issue.d.next = false;
            self.in_flow.d.next = false;
            self.in_mask.d.next = false;
            self.in_aim.d.next = false;
            self.in_count.d.next = false;
            self.in_shift.d.next = false;
            self.in_start.d.next = false;
            self.in_divide.d.next = false;
            self.in_emit.d.next = false;
            self.is_rescale.d.next = false;
            self.is_kept.d.next = false;
            self.is_find.d.next = false;
            self.is_chosen.d.next = false;
            self.is_members.d.next = false;
            self.from_list.d.next = false;
            self.from_groups.d.next = false;
            self.late.d.next = false;
            self.token.d.next = 0.into();
            self.at.d.next = 0.into();
            self.i1_vld.d.next = false;
            self.i2_vld.d.next = false;
            self.i3_vld.d.next = false;
            self.clear.d.next = false;
            self.live.d.next = false;
            self.marking.d.next = false;
            self.find_vld.d.next = false;
            self.find_end.d.next = false;
            self.m_vld.d.next = false;
            self.g_vld.d.next = false;
            self.k1_vld.d.next = false;
            self.o1_vld.d.next = false;
            self.o1_emit.d.next = false;
            self.r_vld.d.next = false;
            self.r_last.d.next = false;
            self.finished.d.next = false;
            self.over.d.next = false;
            for i in 0..7 {
                self.o_vld[i].d.next = false;
                self.o_emit[i].d.next = false;
            }
            for i in 0..11 {
                self.y_vld[i].d.next = false;
            }
        }
    }
}
