//! The router: logits from limb products, top-k, softmax (`docs/formats.md`, sections 3 and 4).
//!
//! What: adds the four limb products of each (token, expert) into a 64-bit logit; when the last has come, for each token in turn: scan
//! the E logits into a sorted list of eight, exponentials of the k chosen (and, without renormalisation, of all E for the sum), one
//! reciprocal, k products. Cost: 8 comparators of 64 bits, one 27 x 18, one 17 x 13 and one 26 x 30 multiplier, a 33-bit restoring divider.
//! Latency: from the last row to `rt_done` one cycle and E + 2k + 40 per token, E + 1 more without renormalisation.
//! Bottleneck: tokens are handled one after the other; accumulating takes two cycles per row, which the array hides (a router row
//! of one vector takes d/16 cycles for L rows).
//! Hazards: accumulation reads in one cycle and writes in the next and takes no other item meanwhile, so a sum is never stale.
//!
//! Not built: two divider bits per cycle and scanning while logits arrive. Reconsider when T * E is a visible part of a layer.

use abi::{Config, TOPK_MAX};
use leaf::prelude::*;

/// What the selection is doing.
#[derive(Copy, Clone, PartialEq, Debug, LogicState)]
pub enum Phase {
    /// Waiting for logits.
    Collect,
    /// Logits of a token into the sorted list.
    Scan,
    /// Exponentials of the chosen.
    ExpChosen,
    /// Exponentials of all experts, for the sum.
    ExpAll,
    /// The exponential pipeline empties.
    ExpDrain,
    /// Reciprocal of the sum.
    Divide,
    /// Weights.
    Emit,
}

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
    /// Renormalise over the chosen.
    pub renorm: Signal<In, Bit>,
    /// A router row of the array.
    pub in_vld: Signal<In, Bit>,
    /// Row taken.
    pub in_rdy: Signal<Out, Bit>,
    /// Its sum.
    pub in_acc: Signal<In, Bits<48>>,
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
    /// One choice.
    pub rt_vld: Signal<Out, Bit>,
    /// Its token.
    pub rt_token: Signal<Out, Bits<8>>,
    /// Its rank.
    pub rt_slot: Signal<Out, Bits<3>>,
    /// The expert.
    pub rt_expert: Signal<Out, Bits<8>>,
    /// Its weight, Q1.16.
    pub rt_weight: Signal<Out, Bits<17>>,
    /// Pulse: all tokens are routed.
    pub rt_done: Signal<Out, Bit>,
    /// Rows have come and not all tokens are routed.
    pub busy: Signal<Out, Bit>,
    /// A finished logit is scanned (for the scoreboard).
    pub logit_vld: Signal<Out, Bit>,
    /// Its token.
    pub logit_token: Signal<Out, Bits<8>>,
    /// Its expert.
    pub logit_expert: Signal<Out, Bits<8>>,
    /// Its value.
    pub logit_value: Signal<Out, Bits<64>>,
    logits: Ram<64, 16>,
    lsbs: Dram<16, 8>,
    phase: Dff<Phase>,
    second: Dff<Bit>,
    sum_addr: Dff<Bits<16>>,
    sum_value: Dff<Signed<64>>,
    sum_first: Dff<Bit>,
    token: Dff<Bits<16>>,
    expert: Dff<Bits<16>>,
    scan_vld: Dff<Bit>,
    scan_expert: Dff<Bits<8>>,
    used: Vec<Dff<Bit>>,
    value: Vec<Dff<Signed<64>>>,
    index: Vec<Dff<Bits<8>>>,
    prob: Vec<Dff<Bits<25>>>,
    item: Dff<Bits<8>>,
    all_vld: Dff<Bit>,
    e1_vld: Dff<Bit>,
    e1_list: Dff<Bit>,
    e1_item: Dff<Bits<8>>,
    e1_diff: Dff<Signed<65>>,
    e2_vld: Dff<Bit>,
    e2_list: Dff<Bit>,
    e2_item: Dff<Bits<8>>,
    e2_t: Dff<Bits<26>>,
    e3_vld: Dff<Bit>,
    e3_list: Dff<Bit>,
    e3_item: Dff<Bits<8>>,
    e4_vld: Dff<Bit>,
    e4_list: Dff<Bit>,
    e4_item: Dff<Bits<8>>,
    e4_u: Dff<Bits<27>>,
    e5_vld: Dff<Bit>,
    e5_list: Dff<Bit>,
    e5_item: Dff<Bits<8>>,
    e5_n: Dff<Bits<7>>,
    e5_r: Dff<Bits<12>>,
    e6_vld: Dff<Bit>,
    e6_list: Dff<Bit>,
    e6_item: Dff<Bits<8>>,
    e6_n: Dff<Bits<7>>,
    e6_base: Dff<Bits<25>>,
    e7_vld: Dff<Bit>,
    e7_list: Dff<Bit>,
    e7_item: Dff<Bits<8>>,
    e7_n: Dff<Bits<7>>,
    e7_v: Dff<Signed<26>>,
    sum: Dff<Bits<33>>,
    rem: Dff<Bits<34>>,
    recip: Dff<Bits<29>>,
    bit_count: Dff<Bits<5>>,
    out_vld: Dff<Bit>,
    out_item: Dff<Bits<8>>,
    finished: Dff<Bit>,
    receiving: Dff<Bit>,
    shr: ShrRne<65, 7>,
    shl: Shl<65, 5>,
    mul_log2e: MulS<27, 18, 45>,
    shr_u: ShrRne<45, 5>,
    table: Rom<41, 8>,
    mul_step: MulS<17, 13, 30>,
    shr_p: ShrRne<26, 7>,
    mul_w: MulS<26, 30, 56>,
    shr_w: ShrRne<56, 6>,
    row_expert: Signal<Local, Bits<16>>,
    row_hi: Signal<Local, Bit>,
    in_wide: Signal<Local, Signed<64>>,
    shift_one: Signal<Local, Signed<64>>,
    shift_two: Signal<Local, Signed<64>>,
    new_sum: Signal<Local, Signed<64>>,
    scanned: Signal<Local, Signed<64>>,
    greater: Vec<Signal<Local, Bit>>,
    operand: Signal<Local, Signed<64>>,
    operand_vld: Signal<Local, Bit>,
    operand_list: Signal<Local, Bit>,
    ls20: Signal<Local, Bits<17>>,
    right: Signal<Local, Bits<17>>,
    t_right: Signal<Local, Bits<26>>,
    t_left: Signal<Local, Bits<26>>,
    p: Signal<Local, Bits<25>>,
    sum_next: Signal<Local, Bits<33>>,
    rem2: Signal<Local, Bits<34>>,
    p_item: Signal<Local, Bits<25>>,
    w_wide: Signal<Local, Bits<56>>,
    step_round: Signal<Local, Signed<30>>,
    u_wide: Signal<Local, Bits<45>>,
    empty: Signal<Local, Bit>,
    expert_shift: Constant<Bits<16>>,
    log2e: Constant<Signed<18>>,
    _k: usize,
}

fn eight<T: Synth>() -> Vec<Dff<T>> {
    (0..TOPK_MAX).map(|_| Dff::default()).collect()
}

/// Words of the exponential table: `X[i]` in bits 24..0, `X[i] - X[i+1]` in bits 40..25.
fn exp_table() -> Vec<u128> {
    let x = &*numeric::softmax::EXP_TABLE;
    (0..256)
        .map(|i| u128::from(x[i]) | (u128::from(x[i] - x[i + 1]) << 25))
        .collect()
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
            renorm: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_acc: Default::default(),
            in_limb: Default::default(),
            in_row: Default::default(),
            in_token: Default::default(),
            in_lsb: Default::default(),
            in_last: Default::default(),
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
            logits: Ram::new(config.tokens_max * config.experts_max),
            lsbs: Dram::new(config.tokens_max),
            phase: Default::default(),
            second: Default::default(),
            sum_addr: Default::default(),
            sum_value: Default::default(),
            sum_first: Default::default(),
            token: Default::default(),
            expert: Default::default(),
            scan_vld: Default::default(),
            scan_expert: Default::default(),
            used: eight(),
            value: eight(),
            index: eight(),
            prob: eight(),
            item: Default::default(),
            all_vld: Default::default(),
            e1_vld: Default::default(),
            e1_list: Default::default(),
            e1_item: Default::default(),
            e1_diff: Default::default(),
            e2_vld: Default::default(),
            e2_list: Default::default(),
            e2_item: Default::default(),
            e2_t: Default::default(),
            e3_vld: Default::default(),
            e3_list: Default::default(),
            e3_item: Default::default(),
            e4_vld: Default::default(),
            e4_list: Default::default(),
            e4_item: Default::default(),
            e4_u: Default::default(),
            e5_vld: Default::default(),
            e5_list: Default::default(),
            e5_item: Default::default(),
            e5_n: Default::default(),
            e5_r: Default::default(),
            e6_vld: Default::default(),
            e6_list: Default::default(),
            e6_item: Default::default(),
            e6_n: Default::default(),
            e6_base: Default::default(),
            e7_vld: Default::default(),
            e7_list: Default::default(),
            e7_item: Default::default(),
            e7_n: Default::default(),
            e7_v: Default::default(),
            sum: Default::default(),
            rem: Default::default(),
            recip: Default::default(),
            bit_count: Default::default(),
            out_vld: Default::default(),
            out_item: Default::default(),
            finished: Default::default(),
            receiving: Default::default(),
            shr: Default::default(),
            shl: Default::default(),
            mul_log2e: Default::default(),
            shr_u: Default::default(),
            table: Rom::new(exp_table()),
            mul_step: Default::default(),
            shr_p: Default::default(),
            mul_w: Default::default(),
            shr_w: Default::default(),
            row_expert: Default::default(),
            row_hi: Default::default(),
            in_wide: Default::default(),
            shift_one: Default::default(),
            shift_two: Default::default(),
            new_sum: Default::default(),
            scanned: Default::default(),
            greater: (0..TOPK_MAX).map(|_| Default::default()).collect(),
            operand: Default::default(),
            operand_vld: Default::default(),
            operand_list: Default::default(),
            ls20: Default::default(),
            right: Default::default(),
            t_right: Default::default(),
            t_left: Default::default(),
            p: Default::default(),
            sum_next: Default::default(),
            rem2: Default::default(),
            p_item: Default::default(),
            w_wide: Default::default(),
            step_round: Default::default(),
            u_wide: Default::default(),
            empty: Default::default(),
            expert_shift: Constant::new((u64::from(config.experts_max.trailing_zeros())).to_bits()),
            log2e: Constant::new(signed_cast((numeric::softmax::LOG2_E as u64).to_bits())),
            _k: TOPK_MAX,
        }
    }
}

impl Logic for Router {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("router");
        dff_setup!(
            self,
            clk,
            phase,
            second,
            sum_addr,
            sum_value,
            sum_first,
            token,
            expert,
            scan_vld,
            scan_expert
        );
        dff_setup!(
            self, clk, item, all_vld, e1_vld, e1_list, e1_item, e1_diff, e2_vld, e2_list, e2_item,
            e2_t
        );
        dff_setup!(
            self, clk, e3_vld, e3_list, e3_item, e4_vld, e4_list, e4_item, e4_u, e5_vld, e5_list,
            e5_item, e5_n, e5_r
        );
        dff_setup!(
            self, clk, e6_vld, e6_list, e6_item, e6_n, e6_base, e7_vld, e7_list, e7_item, e7_n,
            e7_v
        );
        dff_setup!(self, clk, sum, rem, recip, bit_count, out_vld, out_item, finished, receiving);
        clock!(self, clk, logits, lsbs, mul_log2e, table, mul_step, mul_w);
        for i in 0..self._k {
            self.used[i].clock.next = self.clk.val();
            self.used[i].d.next = self.used[i].q.val();
            self.value[i].clock.next = self.clk.val();
            self.value[i].d.next = self.value[i].q.val();
            self.index[i].clock.next = self.clk.val();
            self.index[i].d.next = self.index[i].q.val();
            self.prob[i].clock.next = self.clk.val();
            self.prob[i].d.next = self.prob[i].q.val();
        }

        // Accumulate: address in the first cycle, sum in the second.
        self.row_hi.next = self.in_row.val() < self.experts.val();
        self.row_expert.next = self.in_row.val();
        if !self.row_hi.val() {
            self.row_expert.next = self.in_row.val() - self.experts.val();
        }
        self.in_wide.next = bit_cast_sx::<64, 48>(signed_cast(self.in_acc.val()));
        self.shift_one.next = self.in_wide.val();
        if self.row_hi.val() {
            self.shift_one.next = signed_cast(unsigned_cast(self.in_wide.val()) << 8);
        }
        self.shift_two.next = self.shift_one.val();
        if !self.in_limb.val() {
            self.shift_two.next = signed_cast(unsigned_cast(self.shift_one.val()) << 8);
        }
        self.sum_addr.d.next = (bit_cast::<16, 8>(self.in_token.val()) << self.expert_shift.val())
            + self.row_expert.val();
        self.sum_value.d.next = self.shift_two.val();
        self.sum_first.d.next = self.row_hi.val() && !self.in_limb.val();
        self.second.d.next =
            self.in_vld.val() && !self.second.q.val() && self.phase.q.val() == Phase::Collect;
        self.in_rdy.next = self.second.q.val();
        self.new_sum.next = self.sum_value.q.val();
        if !self.sum_first.q.val() {
            self.new_sum.next = self.sum_value.q.val() + signed_cast(self.logits.rdata.val());
        }
        self.logits.we.next = self.second.q.val();
        self.logits.waddr.next = self.sum_addr.q.val();
        self.logits.wdata.next = unsigned_cast(self.new_sum.val());
        self.lsbs.we.next = self.second.q.val();
        self.lsbs.waddr.next = self.in_token.val();
        self.lsbs.wdata.next = self.in_lsb.val();
        self.lsbs.raddr.next = self.token.q.val().get_bits::<8>(0);
        self.logits.re.next = !self.second.q.val();
        self.logits.raddr.next = (bit_cast::<16, 8>(self.in_token.val())
            << self.expert_shift.val())
            + self.row_expert.val();
        if self.phase.q.val() != Phase::Collect {
            self.logits.raddr.next =
                (self.token.q.val() << self.expert_shift.val()) + self.expert.q.val();
        }

        // The sorted list: a new logit goes in front of every strictly smaller one.
        self.scanned.next = signed_cast(self.logits.rdata.val());
        for i in 0..self._k {
            self.greater[i].next =
                !self.used[i].q.val() || self.scanned.val() > self.value[i].q.val();
            if self.scan_vld.q.val() && self.greater[i].val() {
                self.used[i].d.next = true;
                self.value[i].d.next = self.scanned.val();
                self.index[i].d.next = self.scan_expert.q.val();
            }
        }
        for i in 1..self._k {
            if self.scan_vld.q.val() && self.greater[i].val() && self.greater[i - 1].val() {
                self.used[i].d.next = self.used[i - 1].q.val();
                self.value[i].d.next = self.value[i - 1].q.val();
                self.index[i].d.next = self.index[i - 1].q.val();
            }
        }
        self.logit_vld.next = self.scan_vld.q.val();
        self.logit_token.next = self.token.q.val().get_bits::<8>(0);
        self.logit_expert.next = self.scan_expert.q.val();
        self.logit_value.next = self.logits.rdata.val();

        // Exponential, stage 1: distance from the largest logit.
        self.operand.next = self.scanned.val();
        self.operand_list.next = self.phase.q.val() == Phase::ExpChosen;
        self.operand_vld.next = self.all_vld.q.val();
        if self.phase.q.val() == Phase::ExpChosen {
            self.operand_vld.next = true;
            for i in 0..self._k {
                if self.item.q.val() == i.to_bits() {
                    self.operand.next = self.value[i].q.val();
                }
            }
        }
        self.e1_vld.d.next = self.operand_vld.val();
        self.e1_list.d.next = self.operand_list.val();
        self.e1_item.d.next = self.item.q.val();
        self.e1_diff.d.next = bit_cast_sx::<65, 64>(self.value[0].q.val())
            - bit_cast_sx::<65, 64>(self.operand.val());

        // Stage 2: to Q6.20, saturated.
        self.ls20.next =
            unsigned_cast(bit_cast_sx::<17, 16>(signed_cast(self.lsbs.rdata.val()))) + 20;
        self.right.next = bits::<17>(0) - self.ls20.val();
        self.shr.x.next = self.e1_diff.q.val();
        self.shr.s.next = self.right.val().get_bits::<7>(0);
        if self.right.val() > 127 {
            self.shr.s.next = 127.into();
        }
        self.shl.x.next = self.e1_diff.q.val();
        self.shl.s.next = self.ls20.val().get_bits::<5>(0);
        if self.ls20.val() > 31 {
            self.shl.s.next = 31.into(); // any distance but 0 saturates
        }
        self.t_right.next = unsigned_cast(self.shr.y.val()).get_bits::<26>(0);
        if unsigned_cast(self.shr.y.val()).get_bits::<39>(26).any() {
            self.t_right.next = 0x3FFFFFF.into();
        }
        self.t_left.next = unsigned_cast(self.shl.y.val()).get_bits::<26>(0);
        if self.shl.ovf.val() || unsigned_cast(self.shl.y.val()).get_bits::<39>(26).any() {
            self.t_left.next = 0x3FFFFFF.into();
        }
        self.e2_vld.d.next = self.e1_vld.q.val();
        self.e2_list.d.next = self.e1_list.q.val();
        self.e2_item.d.next = self.e1_item.q.val();
        self.e2_t.d.next = self.t_left.val();
        if self.ls20.val().get_bit(16) {
            self.e2_t.d.next = self.t_right.val();
        }

        // Stages 3, 4: times log2(e).
        self.mul_log2e.en.next = true;
        self.mul_log2e.a.next = signed_cast(bit_cast::<27, 26>(self.e2_t.q.val()));
        self.mul_log2e.b.next = self.log2e.val();
        self.e3_vld.d.next = self.e2_vld.q.val();
        self.e3_list.d.next = self.e2_list.q.val();
        self.e3_item.d.next = self.e2_item.q.val();
        self.shr_u.x.next = self.mul_log2e.p.val();
        self.shr_u.s.next = 16.into();
        self.u_wide.next = unsigned_cast(self.shr_u.y.val());
        self.e4_vld.d.next = self.e3_vld.q.val();
        self.e4_list.d.next = self.e3_list.q.val();
        self.e4_item.d.next = self.e3_item.q.val();
        self.e4_u.d.next = self.u_wide.val().get_bits::<27>(0);

        // Stages 5, 6, 7: table and interpolation.
        self.table.re.next = true;
        self.table.addr.next = self.e4_u.q.val().get_bits::<8>(12);
        self.e5_vld.d.next = self.e4_vld.q.val();
        self.e5_list.d.next = self.e4_list.q.val();
        self.e5_item.d.next = self.e4_item.q.val();
        self.e5_n.d.next = self.e4_u.q.val().get_bits::<7>(20);
        self.e5_r.d.next = self.e4_u.q.val().get_bits::<12>(0);
        self.mul_step.en.next = true;
        self.mul_step.a.next =
            signed_cast(bit_cast::<17, 16>(self.table.data.val().get_bits::<16>(25)));
        self.mul_step.b.next = signed_cast(bit_cast::<13, 12>(self.e5_r.q.val()));
        self.e6_vld.d.next = self.e5_vld.q.val();
        self.e6_list.d.next = self.e5_list.q.val();
        self.e6_item.d.next = self.e5_item.q.val();
        self.e6_n.d.next = self.e5_n.q.val();
        self.e6_base.d.next = self.table.data.val().get_bits::<25>(0);
        self.step_round.next = signed_cast(unsigned_cast(self.mul_step.p.val()) + 2048);
        self.e7_vld.d.next = self.e6_vld.q.val();
        self.e7_list.d.next = self.e6_list.q.val();
        self.e7_item.d.next = self.e6_item.q.val();
        self.e7_n.d.next = self.e6_n.q.val();
        self.e7_v.d.next = signed_cast(bit_cast::<26, 25>(self.e6_base.q.val()))
            - signed_cast(bit_cast::<26, 18>(
                unsigned_cast(self.step_round.val()).get_bits::<18>(12),
            ));

        // Stage 8: halve n times, store and sum.
        self.shr_p.x.next = self.e7_v.q.val();
        self.shr_p.s.next = self.e7_n.q.val();
        self.p.next = unsigned_cast(self.shr_p.y.val()).get_bits::<25>(0);
        self.sum_next.next = self.sum.q.val() + bit_cast::<33, 25>(self.p.val());
        if self.e7_vld.q.val() {
            if self.e7_list.q.val() {
                for i in 0..self._k {
                    if self.e7_item.q.val() == i.to_bits() {
                        self.prob[i].d.next = self.p.val();
                    }
                }
            }
            if !self.e7_list.q.val() || self.renorm.val() {
                self.sum.d.next = self.sum_next.val();
            }
        }

        // Weights.
        self.p_item.next = 0.into();
        for i in 0..self._k {
            if self.item.q.val() == i.to_bits() {
                self.p_item.next = self.prob[i].q.val();
            }
        }
        self.mul_w.en.next = true;
        self.mul_w.a.next = signed_cast(bit_cast::<26, 25>(self.p_item.val()));
        self.mul_w.b.next = signed_cast(bit_cast::<30, 29>(self.recip.q.val()));
        self.shr_w.x.next = self.mul_w.p.val();
        self.shr_w.s.next = 36.into();
        self.w_wide.next = unsigned_cast(self.shr_w.y.val());
        self.out_vld.d.next = false;
        self.out_item.d.next = self.item.q.val();
        self.rt_vld.next = self.out_vld.q.val();
        self.rt_token.next = self.token.q.val().get_bits::<8>(0);
        self.rt_slot.next = self.out_item.q.val().get_bits::<3>(0);
        self.rt_expert.next = 0.into();
        for i in 0..self._k {
            if self.out_item.q.val() == i.to_bits() {
                self.rt_expert.next = self.index[i].q.val();
            }
        }
        self.rt_weight.next = self.w_wide.val().get_bits::<17>(0);
        if self.w_wide.val() > 65536 {
            self.rt_weight.next = 65536.into();
        }
        self.finished.d.next = false;
        self.rt_done.next = self.finished.q.val();
        self.busy.next = self.receiving.q.val();

        self.rem2.next = self.rem.q.val() << 1;
        self.scan_vld.d.next = false;
        self.scan_expert.d.next = self.expert.q.val().get_bits::<8>(0);
        self.all_vld.d.next = false;
        self.empty.next = !self.all_vld.q.val()
            && !self.e1_vld.q.val()
            && !self.e2_vld.q.val()
            && !self.e3_vld.q.val()
            && !self.e4_vld.q.val()
            && !self.e5_vld.q.val()
            && !self.e6_vld.q.val()
            && !self.e7_vld.q.val();
        if self.second.q.val() {
            self.receiving.d.next = true;
        }
        match self.phase.q.val() {
            Phase::Collect => {
                if self.second.q.val() && self.in_last.val() {
                    self.token.d.next = 0.into();
                    self.expert.d.next = 0.into();
                    self.phase.d.next = Phase::Scan;
                }
            }
            Phase::Scan => {
                self.item.d.next = 0.into();
                if self.expert.q.val() != self.experts.val() {
                    self.scan_vld.d.next = true;
                    self.expert.d.next = self.expert.q.val() + 1;
                } else if !self.scan_vld.q.val() {
                    self.sum.d.next = 0.into();
                    self.expert.d.next = 0.into();
                    self.phase.d.next = Phase::ExpChosen;
                }
            }
            Phase::ExpChosen => {
                self.item.d.next = self.item.q.val() + 1;
                if self.item.q.val() + 1 == self.topk.val() {
                    self.phase.d.next = Phase::ExpDrain;
                    if !self.renorm.val() {
                        self.phase.d.next = Phase::ExpAll;
                    }
                }
            }
            Phase::ExpAll => {
                self.all_vld.d.next = true;
                self.expert.d.next = self.expert.q.val() + 1;
                if self.expert.q.val() + 1 == self.experts.val() {
                    self.phase.d.next = Phase::ExpDrain;
                }
            }
            Phase::ExpDrain => {
                self.item.d.next = 0.into();
                if self.empty.val() {
                    self.rem.d.next = 0x80_0000.into(); // 2^52 without its 29 last zeros
                    self.recip.d.next = 0.into();
                    self.bit_count.d.next = 29.into();
                    self.phase.d.next = Phase::Divide;
                }
            }
            Phase::Divide => {
                self.bit_count.d.next = self.bit_count.q.val() - 1;
                self.rem.d.next = self.rem2.val();
                self.recip.d.next = self.recip.q.val() << 1;
                if self.rem2.val() >= bit_cast::<34, 33>(self.sum.q.val()) {
                    self.rem.d.next = self.rem2.val() - bit_cast::<34, 33>(self.sum.q.val());
                    self.recip.d.next = (self.recip.q.val() << 1) | 1;
                }
                if self.bit_count.q.val() == 1 {
                    self.phase.d.next = Phase::Emit;
                }
            }
            Phase::Emit => {
                self.item.d.next = self.item.q.val() + 1;
                if self.item.q.val() != self.topk.val() {
                    self.out_vld.d.next = true;
                } else {
                    self.expert.d.next = 0.into();
                    self.token.d.next = self.token.q.val() + 1;
                    self.phase.d.next = Phase::Scan;
                    for i in 0..self._k {
                        self.used[i].d.next = false;
                    }
                    if self.token.q.val() + 1 == self.tokens.val() {
                        self.phase.d.next = Phase::Collect;
                        self.receiving.d.next = false;
                        self.finished.d.next = true;
                    }
                }
            }
            _ => {
                self.phase.d.next = Phase::Collect;
            }
        }

        if self.rst.val() || self.go.val() {
            self.phase.d.next = Phase::Collect;
            self.second.d.next = false;
            self.receiving.d.next = false;
            self.out_vld.d.next = false;
            self.finished.d.next = false;
            for i in 0..self._k {
                self.used[i].d.next = false;
            }
        }
    }
}
