//! Logits: limb products to Q12.24 (`docs/formats.md`, sections 3 and 4), for `router`.
//!
//! What: adds the four limb products of each (token, expert) in a memory of 52-bit sums; when the last has come (lo limb of x, lo limb
//! of the weight: whatever the windows, it comes last), the logit becomes Q12.24, is stored, and the largest of its token kept.
//! Cost: docs/utilisation.md; two memories of tokens_max x experts_max words, one of tokens_max.
//! Latency: 4 cycles from a row to `logit_vld`, 4 more to `starts` (1 if it is early), 5 to `best`, 7 to `done`. Bottleneck: one row per cycle; of E
//! below 4 one in four cycles, of E that is no multiple of 4 three cycles more per eight rows.
//!
//! Hazards: a sum must not be read before it is written: those waits keep rows of the same sum four cycles apart. A logit is read by `rd_*` when it has been written: from
//! `starts` on the last one not in that cycle, and that of expert i not before i cycles have gone by. Between two
//! logits of a token that another token's separate lie the rows of that token's other limb, two at least: the largest so far is in
//! its memory by then.

use abi::Config;
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Logits {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Starts a command.
    pub go: Signal<In, Bit>,
    /// E.
    pub experts: Signal<In, Bits<16>>,
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
    /// The last row of the command: no other is taken before `go`.
    pub in_last: Signal<In, Bit>,
    /// Tokens whose logits are all stored.
    pub done: Signal<Out, Bits<9>>,
    /// Token of the logit to read, and the one of the next `ending`.
    pub rd_token: Signal<In, Bits<8>>,
    /// Its expert.
    pub rd_expert: Signal<In, Bits<8>>,
    /// That logit one cycle later, Q12.24.
    pub rd_logit: Signal<Out, Bits<36>>,
    /// Do not wait for the largest logit; only with E from 5 on.
    pub early: Signal<In, Bit>,
    /// The last logit of `rd_token` is being stored (a single one has been): the first may be read, and `best` is valid in the next cycle. With
    /// `early` three cycles sooner, and again then.
    pub starts: Signal<Out, Bit>,
    /// The largest logit of that token.
    pub best: Signal<Out, Bits<36>>,
    /// `rd_token` has stood since the last cycle, and its largest logit is wanted.
    pub wanted: Signal<In, Bit>,
    /// `stored` is the largest logit of `rd_token`, if `done` has counted it.
    pub stored_vld: Signal<Out, Bit>,
    /// See there.
    pub stored: Signal<Out, Bits<36>>,
    /// A row has come since `go`.
    pub receiving: Signal<Out, Bit>,
    /// A logit is finished (for the scoreboard).
    pub logit_vld: Signal<Out, Bit>,
    /// Its token.
    pub logit_token: Signal<Out, Bits<8>>,
    /// Its expert.
    pub logit_expert: Signal<Out, Bits<8>>,
    /// Its value.
    pub logit_value: Signal<Out, Bits<52>>,

    sums: Ram<52, 16>,
    logits: Ram<36, 16>,
    tops: Ram<36, 8>,
    started: Dff<Bit>,
    closed: Dff<Bit>,
    few: Dff<Bit>,
    odd: Dff<Bit>,
    single: Dff<Bit>,
    gap: Dff<Bits<2>>,
    experts_less: Dff<Bits<16>>,
    row_more: Signal<Local, Bits<17>>,
    row_hi: Signal<Local, Bit>,
    row_expert: Signal<Local, Bits<16>>,
    in_wide: Signal<Local, Bits<52>>,
    in_ready: Signal<Local, Bit>,
    take: Signal<Local, Bit>,
    // A row: 0 as it came, 1 address known, 2 read, 3 to be added, 4 summed.
    a0_vld: Dff<Bit>,
    a0_acc: Dff<Bits<36>>,
    a0_limb: Dff<Bit>,
    a0_row: Dff<Bits<16>>,
    a0_token: Dff<Bits<8>>,
    a0_lsb: Dff<Bits<16>>,
    a1_vld: Dff<Bit>,
    a1_addr: Dff<Bits<16>>,
    a1_value: Dff<Bits<52>>,
    a1_first: Dff<Bit>,
    a1_final: Dff<Bit>,
    a1_expert: Dff<Bits<8>>,
    a1_token: Dff<Bits<8>>,
    a1_place: Dff<Bits<17>>,
    a2_vld: Dff<Bit>,
    a2_addr: Dff<Bits<16>>,
    a2_value: Dff<Bits<52>>,
    a2_first: Dff<Bit>,
    a2_final: Dff<Bit>,
    a2_end: Dff<Bit>,
    a2_expert: Dff<Bits<8>>,
    a2_token: Dff<Bits<8>>,
    a2_shift: Dff<Bits<7>>,
    a2_least: Dff<Bit>,
    a2_most: Dff<Bit>,
    a3_vld: Dff<Bit>,
    a3_addr: Dff<Bits<16>>,
    a3_value: Dff<Bits<52>>,
    a3_old: Dff<Bits<52>>,
    a3_final: Dff<Bit>,
    a3_end: Dff<Bit>,
    a3_expert: Dff<Bits<8>>,
    a3_token: Dff<Bits<8>>,
    a3_asked: Dff<Bit>,
    a3_shift: Dff<Bits<7>>,
    a4_vld: Dff<Bit>,
    a4_addr: Dff<Bits<16>>,
    a4_sum: Dff<Bits<52>>,
    a4_final: Dff<Bit>,
    a4_end: Dff<Bit>,
    a4_expert: Dff<Bits<8>>,
    a4_token: Dff<Bits<8>>,
    a4_shift: Dff<Bits<7>>,
    a4_mine: Dff<Bit>,
    a4_above: [Dff<Bit>; 13],
    a4_below: [Dff<Bit>; 13],
    // A logit: 1 shifted by 16s, 2 shifted, 3 rounded, `l` saturated, then compared. `above`, `below`: which groups of four bits lie beyond
    // the ends of the result.
    a4_nibbles: Signal<Local, Bits<5>>,
    wide: Signal<Local, Bits<132>>,
    by16_in: [Signal<Local, Bits<52>>; 6],
    by16: Mux8<52, 416>,
    by4: Mux4<40, 160>,
    by1: Mux4<37, 148>,
    f1_vld: Dff<Bit>,
    f1_addr: Dff<Bits<16>>,
    f1_end: Dff<Bit>,
    f1_expert: Dff<Bits<8>>,
    f1_token: Dff<Bits<8>>,
    f1_shift: Dff<Bits<4>>,
    f1_z: Dff<Bits<52>>,
    f1_negative: Dff<Bit>,
    f1_signs: [Dff<Bit>; 13],
    f1_ones: [Dff<Bit>; 13],
    f1_above: [Dff<Bit>; 13],
    f1_below: [Dff<Bit>; 13],
    over: Signal<Local, Bit>,
    lost: Signal<Local, Bit>,
    f1_mid: Signal<Local, Bits<40>>,
    f2_vld: Dff<Bit>,
    f2_addr: Dff<Bits<16>>,
    f2_end: Dff<Bit>,
    f2_zero: Dff<Bit>,
    f2_token: Dff<Bits<8>>,
    f2_asked: Dff<Bit>,
    f2_other: Dff<Bit>,
    f2_z: Dff<Bits<37>>,
    f2_negative: Dff<Bit>,
    f2_over: Dff<Bit>,
    f2_rest: Dff<Bit>,
    f2_high: Dff<Bits<4>>,
    f2_low: Dff<Bits<3>>,
    f2_shift: Dff<Bits<2>>,
    f2_more: Signal<Local, Bit>,
    f2_less: Signal<Local, Bit>,
    f3_vld: Dff<Bit>,
    f3_addr: Dff<Bits<16>>,
    f3_end: Dff<Bit>,
    f3_mine: Dff<Bit>,
    f3_token: Dff<Bits<8>>,
    f3_value: Dff<Bits<36>>,
    f3_negative: Dff<Bit>,
    f3_over: Dff<Bit>,
    f3_tie: Dff<Bit>,
    f3_new: Dff<Bit>,
    f3_stored: Dff<Bits<36>>,
    beyond: Signal<Local, Bit>,
    l_vld: Dff<Bit>,
    l_addr: Dff<Bits<16>>,
    l_end: Dff<Bit>,
    l_mine: Dff<Bit>,
    begins: Dff<Bit>,
    l_token: Dff<Bits<8>>,
    l_value: Dff<Bits<36>>,
    last_token: Dff<Bits<8>>,
    last_any: Dff<Bit>,
    // The largest so far of the token that is at `l`, and of the token that was last there.
    so_far: Dff<Bits<36>>,
    difference: Signal<Local, Bits<37>>,
    best_now: Signal<Local, Bits<36>>,
    next_far: Mux4<36, 144>,
    top_best: Dff<Bits<36>>,
    best_vld: Dff<Bit>,
    best_token: Dff<Bits<8>>,
    best_end: Dff<Bit>,
    counts: Dff<Bit>,
    read_vld: Dff<Bit>,
    read_vld2: Dff<Bit>,
    count: Dff<Bits<9>>,
    expert_shift: Constant<Bits<16>>,
    least: Constant<Bits<36>>,
}

impl Logits {
    /// Logits for up to `tokens_max` tokens and `experts_max` experts.
    pub fn new(config: &Config) -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            go: Default::default(),
            experts: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_acc: Default::default(),
            in_limb: Default::default(),
            in_row: Default::default(),
            in_token: Default::default(),
            in_lsb: Default::default(),
            in_last: Default::default(),
            done: Default::default(),
            rd_token: Default::default(),
            rd_expert: Default::default(),
            rd_logit: Default::default(),
            early: Default::default(),
            starts: Default::default(),
            best: Default::default(),
            wanted: Default::default(),
            stored_vld: Default::default(),
            stored: Default::default(),
            receiving: Default::default(),
            logit_vld: Default::default(),
            logit_token: Default::default(),
            logit_expert: Default::default(),
            logit_value: Default::default(),
            sums: Ram::new(config.tokens_max * config.experts_max),
            logits: Ram::new(config.tokens_max * config.experts_max),
            tops: Ram::new(config.tokens_max),
            started: Default::default(),
            closed: Default::default(),
            few: Default::default(),
            odd: Default::default(),
            single: Default::default(),
            gap: Default::default(),
            experts_less: Default::default(),
            row_more: Default::default(),
            row_hi: Default::default(),
            row_expert: Default::default(),
            in_wide: Default::default(),
            in_ready: Default::default(),
            take: Default::default(),
            a0_vld: Default::default(),
            a0_acc: Default::default(),
            a0_limb: Default::default(),
            a0_row: Default::default(),
            a0_token: Default::default(),
            a0_lsb: Default::default(),
            a1_vld: Default::default(),
            a1_addr: Default::default(),
            a1_value: Default::default(),
            a1_first: Default::default(),
            a1_final: Default::default(),
            a1_expert: Default::default(),
            a1_token: Default::default(),
            a1_place: Default::default(),
            a2_vld: Default::default(),
            a2_addr: Default::default(),
            a2_value: Default::default(),
            a2_first: Default::default(),
            a2_final: Default::default(),
            a2_end: Default::default(),
            a2_expert: Default::default(),
            a2_token: Default::default(),
            a2_shift: Default::default(),
            a2_least: Default::default(),
            a2_most: Default::default(),
            a3_vld: Default::default(),
            a3_addr: Default::default(),
            a3_value: Default::default(),
            a3_old: Default::default(),
            a3_final: Default::default(),
            a3_end: Default::default(),
            a3_expert: Default::default(),
            a3_token: Default::default(),
            a3_asked: Default::default(),
            a3_shift: Default::default(),
            a4_vld: Default::default(),
            a4_addr: Default::default(),
            a4_sum: Default::default(),
            a4_final: Default::default(),
            a4_end: Default::default(),
            a4_expert: Default::default(),
            a4_token: Default::default(),
            a4_shift: Default::default(),
            a4_mine: Default::default(),
            a4_above: arr(),
            a4_below: arr(),
            a4_nibbles: Default::default(),
            wide: Default::default(),
            by16_in: arr(),
            by16: Default::default(),
            by4: Default::default(),
            by1: Default::default(),
            f1_vld: Default::default(),
            f1_addr: Default::default(),
            f1_end: Default::default(),
            f1_expert: Default::default(),
            f1_token: Default::default(),
            f1_shift: Default::default(),
            f1_z: Default::default(),
            f1_negative: Default::default(),
            f1_signs: arr(),
            f1_ones: arr(),
            f1_above: arr(),
            f1_below: arr(),
            over: Default::default(),
            lost: Default::default(),
            f1_mid: Default::default(),
            f2_vld: Default::default(),
            f2_addr: Default::default(),
            f2_end: Default::default(),
            f2_zero: Default::default(),
            f2_token: Default::default(),
            f2_asked: Default::default(),
            f2_other: Default::default(),
            f2_z: Default::default(),
            f2_negative: Default::default(),
            f2_over: Default::default(),
            f2_rest: Default::default(),
            f2_high: Default::default(),
            f2_low: Default::default(),
            f2_shift: Default::default(),
            f2_more: Default::default(),
            f2_less: Default::default(),
            f3_vld: Default::default(),
            f3_addr: Default::default(),
            f3_end: Default::default(),
            f3_mine: Default::default(),
            f3_token: Default::default(),
            f3_value: Default::default(),
            f3_negative: Default::default(),
            f3_over: Default::default(),
            f3_tie: Default::default(),
            f3_new: Default::default(),
            // Can be set where it begins like that.
            f3_stored: Dff::new(0x8_0000_0000u64.to_bits()),
            beyond: Default::default(),
            l_vld: Default::default(),
            l_addr: Default::default(),
            l_end: Default::default(),
            l_mine: Default::default(),
            begins: Default::default(),
            l_token: Default::default(),
            l_value: Default::default(),
            last_token: Default::default(),
            last_any: Default::default(),
            so_far: Default::default(),
            difference: Default::default(),
            best_now: Default::default(),
            next_far: Default::default(),
            top_best: Default::default(),
            best_vld: Default::default(),
            best_token: Default::default(),
            best_end: Default::default(),
            counts: Default::default(),
            read_vld: Default::default(),
            read_vld2: Default::default(),
            count: Default::default(),
            expert_shift: Constant::new((u64::from(config.experts_max.trailing_zeros())).to_bits()),
            least: Constant::new(0x8_0000_0000u64.to_bits()),
        }
    }
}

impl Logic for Logits {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("logits");
        clock!(self, clk, sums, logits, tops);
        dff_setup!(self, clk, a3_asked, f2_asked, f2_other);
        dff_setup!(
            self,
            clk,
            started,
            closed,
            few,
            odd,
            single,
            gap,
            experts_less
        );
        dff_setup!(self, clk, a0_vld, a0_acc, a0_limb, a0_row, a0_token, a0_lsb);
        dff_setup!(
            self, clk, a1_vld, a1_addr, a1_value, a1_first, a1_final, a1_expert, a1_token, a1_place
        );
        dff_setup!(
            self, clk, a2_vld, a2_addr, a2_value, a2_first, a2_final, a2_end, a2_expert, a2_token,
            a2_shift, a2_least, a2_most
        );
        dff_setup!(
            self, clk, a3_vld, a3_addr, a3_value, a3_old, a3_final, a3_end, a3_expert, a3_token,
            a3_shift
        );
        dff_setup!(
            self, clk, a4_vld, a4_addr, a4_sum, a4_final, a4_end, a4_expert, a4_token, a4_shift,
            a4_mine
        );
        dff_setup!(
            self,
            clk,
            f1_vld,
            f1_addr,
            f1_end,
            f1_expert,
            f1_token,
            f1_shift,
            f1_z,
            f1_negative
        );
        dff_setup!(
            self,
            clk,
            f2_vld,
            f2_addr,
            f2_end,
            f2_zero,
            f2_token,
            f2_z,
            f2_negative,
            f2_over,
            f2_rest,
            f2_high,
            f2_low,
            f2_shift
        );
        dff_setup!(
            self,
            clk,
            f3_vld,
            f3_addr,
            f3_end,
            f3_mine,
            f3_token,
            f3_value,
            f3_negative,
            f3_over,
            f3_tie,
            f3_new,
            f3_stored
        );
        dff_setup!(self, clk, l_vld, l_addr, l_end, l_mine, begins, l_token, l_value);
        dff_setup!(self, clk, last_token, last_any, so_far, top_best, best_vld, best_token);
        dff_setup!(self, clk, best_end, counts, count, read_vld, read_vld2);
        for i in 0..13 {
            self.a4_above[i].clock.next = self.clk.val();
            self.a4_below[i].clock.next = self.clk.val();
            self.f1_signs[i].clock.next = self.clk.val();
            self.f1_ones[i].clock.next = self.clk.val();
            self.f1_above[i].clock.next = self.clk.val();
            self.f1_below[i].clock.next = self.clk.val();
        }

        // In. Rows of a window of 8 n rows go round, so unless E is a multiple of 4 a sum may come again within four rows where a group of
        // eight ends; with E below 4 it may anywhere. There the next row waits until this one is written.
        self.experts_less.d.next = self.experts.val() - 1;
        self.few.d.next = self.experts.val() < 4;
        self.single.d.next = self.experts.val() == 1;
        self.odd.d.next = self.experts.val().get_bits::<2>(0).any();
        self.in_ready.next = self.gap.q.val() == 0 && !self.closed.q.val();
        self.in_rdy.next = self.in_ready.val();
        self.take.next = self.in_vld.val() && self.in_ready.val();
        self.a0_vld.d.next = self.take.val();
        self.a0_acc.d.next = self.in_acc.val();
        self.a0_limb.d.next = self.in_limb.val();
        self.a0_row.d.next = self.in_row.val();
        self.a0_token.d.next = self.in_token.val();
        self.a0_lsb.d.next = self.in_lsb.val();
        if self.gap.q.val() != 0 {
            self.gap.d.next = self.gap.q.val() - 1;
        }
        if self.take.val() {
            self.started.d.next = true;
            if self.few.q.val()
                || (self.odd.q.val()
                    && (self.in_row.val().get_bits::<3>(0).all()
                        || self.in_row.val().get_bits::<8>(1)
                            == self.experts_less.q.val().get_bits::<8>(0)))
            {
                self.gap.d.next = 3.into();
            }
            if self.in_last.val() {
                self.closed.d.next = true;
            }
        }
        self.receiving.next = self.started.q.val();

        // 0: where its weight limb and its vector limb put it.
        self.row_more.next =
            bit_cast::<17, 16>(self.a0_row.q.val()) - bit_cast::<17, 16>(self.experts.val());
        self.row_hi.next = self.row_more.val().get_bit(16);
        self.row_expert.next = self.row_more.val().get_bits::<16>(0);
        if self.row_hi.val() {
            self.row_expert.next = self.a0_row.q.val();
        }
        self.in_wide.next = unsigned_cast(bit_cast_sx::<52, 36>(signed_cast(self.a0_acc.q.val())));
        self.a1_vld.d.next = self.a0_vld.q.val();
        self.a1_addr.d.next = (bit_cast::<16, 8>(self.a0_token.q.val()) << self.expert_shift.val())
            | self.row_expert.val();
        self.a1_value.d.next = self.in_wide.val();
        if self.row_hi.val() && !self.a0_limb.q.val() {
            self.a1_value.d.next = self.in_wide.val() << 16;
        } else if self.row_hi.val() || !self.a0_limb.q.val() {
            self.a1_value.d.next = self.in_wide.val() << 8;
        }
        self.a1_first.d.next = self.row_hi.val() && !self.a0_limb.q.val();
        self.a1_final.d.next = !self.row_hi.val() && self.a0_limb.q.val();
        self.a1_expert.d.next = self.row_expert.val().get_bits::<8>(0);
        self.a1_token.d.next = self.a0_token.q.val();
        // The logit is shifted left by 35 and then right by this.
        self.a1_place.d.next =
            bits::<17>(11) - unsigned_cast(bit_cast_sx::<17, 16>(signed_cast(self.a0_lsb.q.val())));

        // 1: read.
        self.sums.re.next = true;
        self.sums.raddr.next = self.a1_addr.q.val();
        self.a2_vld.d.next = self.a1_vld.q.val();
        self.a2_addr.d.next = self.a1_addr.q.val();
        self.a2_value.d.next = self.a1_value.q.val();
        self.a2_first.d.next = self.a1_first.q.val();
        self.a2_final.d.next = self.a1_final.q.val();
        self.a2_end.d.next = self.a1_expert.q.val() == self.experts_less.q.val().get_bits::<8>(0);
        self.a2_expert.d.next = self.a1_expert.q.val();
        self.a2_token.d.next = self.a1_token.q.val();
        self.a2_shift.d.next = self.a1_place.q.val().get_bits::<7>(0);
        self.a2_least.d.next = self.a1_place.q.val().get_bit(16);
        self.a2_most.d.next = self.a1_place.q.val().get_bits::<9>(7).any()
            || self.a1_place.q.val().get_bits::<2>(5).all();

        // 2: the old sum; a memory's output is late in its cycle. Shifts beyond either end of the range do as much as those at the end.
        self.a3_vld.d.next = self.a2_vld.q.val();
        self.a3_addr.d.next = self.a2_addr.q.val();
        self.a3_value.d.next = self.a2_value.q.val();
        self.a3_old.d.next = self.sums.rdata.val();
        if self.a2_first.q.val() {
            self.a3_old.d.next = 0.into();
        }
        self.a3_final.d.next = self.a2_final.q.val();
        self.a3_end.d.next = self.a2_end.q.val();
        self.a3_expert.d.next = self.a2_expert.q.val();
        self.a3_token.d.next = self.a2_token.q.val();
        self.a3_asked.d.next = self.a2_token.q.val() == self.rd_token.val();
        self.a3_shift.d.next = self.a2_shift.q.val();
        if self.a2_least.q.val() {
            self.a3_shift.d.next = 0.into();
        } else if self.a2_most.q.val() {
            self.a3_shift.d.next = 95.into();
        }

        // 3: add. 4: write.
        self.a4_vld.d.next = self.a3_vld.q.val();
        self.a4_addr.d.next = self.a3_addr.q.val();
        self.a4_sum.d.next = self.a3_old.q.val() + self.a3_value.q.val();
        self.a4_final.d.next = self.a3_final.q.val();
        self.a4_end.d.next = self.a3_end.q.val();
        self.a4_expert.d.next = self.a3_expert.q.val();
        self.a4_token.d.next = self.a3_token.q.val();
        self.a4_shift.d.next = self.a3_shift.q.val();
        self.a4_mine.d.next = self.a3_vld.q.val()
            && self.a3_final.q.val()
            && self.a3_end.q.val()
            && self.a3_asked.q.val();
        self.a4_nibbles.next = self.a3_shift.q.val().get_bits::<5>(2);
        self.a4_above[0].d.next = false;
        for i in 1..13 {
            self.a4_above[i].d.next = self.a4_nibbles.val() < i.to_bits();
        }
        for i in 0..13 {
            self.a4_below[i].d.next = self.a4_nibbles.val() > (i + 9).to_bits();
        }
        self.sums.we.next = self.a4_vld.q.val();
        self.sums.waddr.next = self.a4_addr.q.val();
        self.sums.wdata.next = self.a4_sum.q.val();
        self.logit_vld.next = self.a4_vld.q.val() && self.a4_final.q.val();
        self.logit_token.next = self.a4_token.q.val();
        self.logit_expert.next = self.a4_expert.q.val();
        self.logit_value.next = self.a4_sum.q.val();

        // To Q12.24, by 16s. `z` has one bit below the result's LSB; bits above it that are not the sign make it too large.
        self.wide.next =
            unsigned_cast(bit_cast_sx::<132, 52>(signed_cast(self.a4_sum.q.val()))) << 36;
        self.f1_vld.d.next = self.a4_vld.q.val() && self.a4_final.q.val();
        self.f1_addr.d.next = self.a4_addr.q.val();
        self.f1_end.d.next = self.a4_end.q.val();
        self.f1_expert.d.next = self.a4_expert.q.val();
        self.f1_token.d.next = self.a4_token.q.val();
        self.f1_shift.d.next = self.a4_shift.q.val().get_bits::<4>(0);
        self.f1_negative.d.next = self.a4_sum.q.val().get_bit(51);
        self.by16.s.next = self.a4_shift.q.val().get_bits::<3>(4);
        for k in 0..6 {
            self.by16_in[k].next = self.wide.val().get_bits::<52>(16 * k);
        }
        self.by16.x.next = (((unsigned_cast_zx::<416, 52>(self.by16_in[0].val()))
            | (unsigned_cast_zx::<416, 52>(self.by16_in[1].val()) << 52))
            | ((unsigned_cast_zx::<416, 52>(self.by16_in[2].val()) << 104)
                | (unsigned_cast_zx::<416, 52>(self.by16_in[3].val()) << 156)))
            | (((unsigned_cast_zx::<416, 52>(self.by16_in[4].val()) << 208)
                | (unsigned_cast_zx::<416, 52>(self.by16_in[5].val()) << 260))
                | ((unsigned_cast_zx::<416, 52>(self.by16_in[4].val()) << 312)
                    | (unsigned_cast_zx::<416, 52>(self.by16_in[5].val()) << 364)));
        self.f1_z.d.next = self.by16.y.val();
        for i in 0..13 {
            self.f1_ones[i].d.next = self.a4_sum.q.val().get_bits::<4>(4 * i).any();
            self.f1_signs[i].d.next = self.a4_sum.q.val().get_bits::<4>(4 * i).any();
            if self.a4_sum.q.val().get_bit(51) {
                self.f1_signs[i].d.next = !self.a4_sum.q.val().get_bits::<4>(4 * i).all();
            }
            self.f1_above[i].d.next = self.a4_above[i].q.val();
            self.f1_below[i].d.next = self.a4_below[i].q.val();
        }

        // By 4s and by ones.
        self.over.next = false;
        self.lost.next = false;
        for i in 0..13 {
            if self.f1_signs[i].q.val() && self.f1_above[i].q.val() {
                self.over.next = true;
            }
            if self.f1_ones[i].q.val() && self.f1_below[i].q.val() {
                self.lost.next = true;
            }
        }
        self.by4.s.next = self.f1_shift.q.val().get_bits::<2>(2);
        self.by4.x.next = ((unsigned_cast_zx::<160, 40>(self.f1_z.q.val().get_bits::<40>(0)))
            | (unsigned_cast_zx::<160, 40>(self.f1_z.q.val().get_bits::<40>(4)) << 40))
            | ((unsigned_cast_zx::<160, 40>(self.f1_z.q.val().get_bits::<40>(8)) << 80)
                | (unsigned_cast_zx::<160, 40>(self.f1_z.q.val().get_bits::<40>(12)) << 120));
        self.f1_mid.next = self.by4.y.val();
        self.by1.s.next = self.f1_shift.q.val().get_bits::<2>(0);
        self.by1.x.next = ((unsigned_cast_zx::<148, 37>(self.f1_mid.val().get_bits::<37>(0)))
            | (unsigned_cast_zx::<148, 37>(self.f1_mid.val().get_bits::<37>(1)) << 37))
            | ((unsigned_cast_zx::<148, 37>(self.f1_mid.val().get_bits::<37>(2)) << 74)
                | (unsigned_cast_zx::<148, 37>(self.f1_mid.val().get_bits::<37>(3)) << 111));
        self.f2_z.d.next = self.by1.y.val();
        self.f2_over.d.next = self.over.val();
        self.f2_rest.d.next = self.lost.val();
        self.f2_high.d.next = self.f1_mid.val().get_bits::<4>(36);
        self.f2_low.d.next = self.f1_mid.val().get_bits::<3>(0);
        self.f2_shift.d.next = self.f1_shift.q.val().get_bits::<2>(0);
        self.f2_vld.d.next = self.f1_vld.q.val();
        self.f2_addr.d.next = self.f1_addr.q.val();
        self.f2_end.d.next = self.f1_end.q.val();
        self.f2_zero.d.next = self.f1_expert.q.val() == 0;
        self.f2_token.d.next = self.f1_token.q.val();
        self.f2_asked.d.next = self.f1_token.q.val() == self.rd_token.val();
        // The largest so far comes from memory if the logit before was another token's; nothing was before expert 0.
        self.f2_other.d.next =
            !self.last_any.q.val() || self.last_token.q.val() != self.f1_token.q.val();
        if self.f1_vld.q.val() {
            self.last_token.d.next = self.f1_token.q.val();
            self.last_any.d.next = true;
        }
        self.f2_negative.d.next = self.f1_negative.q.val();

        // Round: half an LSB is added, and a tie goes to even later.
        self.f2_more.next = (self.f2_high.q.val() >> self.f2_shift.q.val()).any();
        if self.f2_negative.q.val() {
            self.f2_more.next = ((!self.f2_high.q.val()) >> self.f2_shift.q.val()).any();
        }
        self.f2_less.next = (self.f2_shift.q.val() == 1 && self.f2_low.q.val().get_bit(0))
            || (self.f2_shift.q.val() == 2 && self.f2_low.q.val().get_bits::<2>(0).any())
            || (self.f2_shift.q.val() == 3 && self.f2_low.q.val().any());
        self.f3_value.d.next = self.f2_z.q.val().get_bits::<36>(1)
            + bit_cast::<36, 1>(self.f2_z.q.val().get_bits::<1>(0));
        self.f3_tie.d.next =
            self.f2_z.q.val().get_bit(0) && !self.f2_rest.q.val() && !self.f2_less.val();
        self.f3_over.d.next = self.f2_over.q.val() || self.f2_more.val();
        self.f3_negative.d.next = self.f2_negative.q.val();
        self.f3_vld.d.next = self.f2_vld.q.val();
        self.f3_addr.d.next = self.f2_addr.q.val();
        self.f3_end.d.next = self.f2_end.q.val();
        self.f3_mine.d.next = self.f2_vld.q.val() && self.f2_end.q.val() && self.f2_asked.q.val();
        self.f3_token.d.next = self.f2_token.q.val();
        self.f3_new.d.next = self.f2_vld.q.val() && (self.f2_zero.q.val() || self.f2_other.q.val());
        self.f3_stored.d.next = self.tops.rdata.val();
        if self.f2_vld.q.val() && self.f2_zero.q.val() {
            self.f3_stored.d.next = self.least.val();
        }
        self.tops.re.next = true;
        self.tops.raddr.next = self.rd_token.val();
        if self.f1_vld.q.val() {
            self.tops.raddr.next = self.f1_token.q.val();
        }
        self.read_vld.d.next = self.wanted.val() && !self.f1_vld.q.val();
        self.read_vld2.d.next = self.wanted.val() && self.read_vld.q.val();
        self.stored_vld.next = self.read_vld2.q.val();
        self.stored.next = self.f3_stored.q.val();

        // Saturate to +-(2^35 - 1).
        self.beyond.next = self.f3_over.q.val()
            || (!self.f3_negative.q.val() && self.f3_value.q.val().get_bit(35));
        self.l_value.d.next = self.f3_value.q.val();
        if self.f3_tie.q.val() {
            self.l_value.d.next = self.f3_value.q.val() & 0xF_FFFF_FFFEu64;
        }
        if self.f3_value.q.val().get_bit(35) && !self.f3_value.q.val().get_bits::<34>(1).any() {
            self.l_value.d.next = 0x8_0000_0001u64.into();
        }
        if self.beyond.val() {
            self.l_value.d.next = 0x7_FFFF_FFFFu64.into();
            if self.f3_negative.q.val() {
                self.l_value.d.next = 0x8_0000_0001u64.into();
            }
        }
        self.l_vld.d.next = self.f3_vld.q.val();
        self.l_addr.d.next = self.f3_addr.q.val();
        self.l_end.d.next = self.f3_end.q.val();
        self.l_token.d.next = self.f3_token.q.val();
        self.l_mine.d.next = self.f3_mine.q.val();
        self.begins.d.next = (self.f3_mine.q.val() && !self.single.q.val())
            || (self.l_mine.q.val() && self.single.q.val())
            || (self.a4_mine.q.val() && self.early.val());
        self.starts.next = self.begins.q.val();

        // Store, compare.
        self.logits.we.next = self.l_vld.q.val();
        self.logits.waddr.next = self.l_addr.q.val();
        self.logits.wdata.next = self.l_value.q.val();
        self.difference.next =
            unsigned_cast(bit_cast_sx::<37, 36>(signed_cast(self.so_far.q.val())))
                - unsigned_cast(bit_cast_sx::<37, 36>(signed_cast(self.l_value.q.val())));
        self.best_now.next = self.so_far.q.val();
        if self.difference.val().get_bit(36) {
            self.best_now.next = self.l_value.q.val();
        }
        if self.l_vld.q.val() {
            self.top_best.d.next = self.best_now.val();
            self.best_token.d.next = self.l_token.q.val();
        }
        // One LUT and a multiplexer behind the comparison.
        self.next_far.s.next = bit_cast::<2, 1>(self.difference.val().get_bits::<1>(36))
            | (bit_cast::<2, 1>(self.f3_new.q.val().into()) << 1);
        self.next_far.x.next = (bit_cast::<144, 36>(self.so_far.q.val())
            | (bit_cast::<144, 36>(self.l_value.q.val()) << 36))
            | ((bit_cast::<144, 36>(self.f3_stored.q.val()) << 72)
                | (bit_cast::<144, 36>(self.f3_stored.q.val()) << 108));
        if self.l_vld.q.val() || self.f3_new.q.val() {
            self.so_far.d.next = self.next_far.y.val();
        }
        self.best.next = self.top_best.q.val();
        self.best_vld.d.next = self.l_vld.q.val();
        self.best_end.d.next = self.l_vld.q.val() && self.l_end.q.val();
        self.tops.we.next = self.best_vld.q.val();
        self.tops.waddr.next = self.best_token.q.val();
        self.tops.wdata.next = self.top_best.q.val();
        // Counted when whoever then asks for the largest reads it after it was written.
        self.counts.d.next = self.best_end.q.val();
        if self.counts.q.val() {
            self.count.d.next = self.count.q.val() + 1;
        }
        self.done.next = self.count.q.val();

        // What the router reads.
        self.logits.re.next = true;
        self.logits.raddr.next = (bit_cast::<16, 8>(self.rd_token.val())
            << self.expert_shift.val())
            | bit_cast::<16, 8>(self.rd_expert.val());
        self.rd_logit.next = self.logits.rdata.val();

        if self.rst.val() || self.go.val() {
            self.started.d.next = false;
            self.closed.d.next = false;
            self.gap.d.next = 0.into();
            self.a0_vld.d.next = false;
            self.a1_vld.d.next = false;
            self.a2_vld.d.next = false;
            self.a3_vld.d.next = false;
            self.a4_vld.d.next = false;
            self.a4_mine.d.next = false;
            self.f1_vld.d.next = false;
            self.f2_vld.d.next = false;
            self.f3_vld.d.next = false;
            self.f3_mine.d.next = false;
            self.l_vld.d.next = false;
            self.l_mine.d.next = false;
            self.begins.d.next = false;
            self.last_any.d.next = false;
            self.best_vld.d.next = false;
            self.best_end.d.next = false;
            self.counts.d.next = false;
            self.read_vld.d.next = false;
            self.read_vld2.d.next = false;
            self.count.d.next = 0.into();
        }
    }
}
