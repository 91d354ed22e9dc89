//! Logits: limb products to Q12.24 (`docs/formats.md`, sections 3 and 4), for `router`.
//!
//! What: adds the four limb products of each (token, expert) in a memory of 52-bit sums; when the last has come (lo limb of x, lo limb
//! of the weight: whatever the windows, it comes last), the logit becomes Q12.24, is stored, and the largest of its token kept.
//! Cost: docs/utilisation.md; two memories of tokens_max x experts_max words, one of tokens_max.
//! Latency: 3 cycles from a row to `logit_vld`, 3 more to `ending`, 4 to `done` and `top`. Bottleneck: one row per cycle; a row of the same
//! sum as one of the three before it waits for that.
//!
//! Hazards: that wait (only E below 4 can cause it) keeps a sum from being read before it is written. A logit is read by `rd_*` when
//! it has been written; only a single expert's is read in that very cycle, and goes past the memory.

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
    /// Token of the logit to read: `top_token`'s.
    pub rd_token: Signal<In, Bits<8>>,
    /// Its expert.
    pub rd_expert: Signal<In, Bits<8>>,
    /// That logit one cycle later, Q12.24.
    pub rd_logit: Signal<Out, Bits<36>>,
    /// The last logit of `top_token` is being stored: it may be read from this cycle on, and `top` is valid in the next.
    pub ending: Signal<Out, Bit>,
    /// Whose largest logit is wanted.
    pub top_token: Signal<In, Bits<8>>,
    /// `top` is that.
    pub top_vld: Signal<Out, Bit>,
    /// The largest logit of a token that `done` has counted.
    pub top: Signal<Out, Bits<36>>,
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
    experts_less: Dff<Bits<16>>,
    row_hi: Signal<Local, Bit>,
    row_expert: Signal<Local, Bits<16>>,
    in_wide: Signal<Local, Bits<52>>,
    in_ready: Signal<Local, Bit>,
    take: Signal<Local, Bit>,
    same: Signal<Local, Bit>,
    // A row: 1 address known, 2 read, 3 to be added, 4 summed.
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
    a3_vld: Dff<Bit>,
    a3_addr: Dff<Bits<16>>,
    a3_value: Dff<Bits<52>>,
    a3_old: Dff<Bits<52>>,
    a3_final: Dff<Bit>,
    a3_end: Dff<Bit>,
    a3_expert: Dff<Bits<8>>,
    a3_token: Dff<Bits<8>>,
    a3_shift: Dff<Bits<7>>,
    a4_vld: Dff<Bit>,
    a4_addr: Dff<Bits<16>>,
    a4_sum: Dff<Bits<52>>,
    a4_final: Dff<Bit>,
    a4_end: Dff<Bit>,
    a4_expert: Dff<Bits<8>>,
    a4_token: Dff<Bits<8>>,
    a4_shift: Dff<Bits<7>>,
    // A logit: 1 shifted by 16s, 2 shifted, 3 rounded, 4 compared.
    wide: Signal<Local, Bits<132>>,
    spread16: Signal<Local, Bits<52>>,
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
    f1_over: Dff<Bit>,
    f1_rest: Dff<Bit>,
    f1_differ: Signal<Local, Bits<52>>,
    f1_mid: Signal<Local, Bits<40>>,
    f1_mid_differ: Signal<Local, Bits<40>>,
    f2_vld: Dff<Bit>,
    f2_addr: Dff<Bits<16>>,
    f2_end: Dff<Bit>,
    f2_zero: Dff<Bit>,
    f2_token: Dff<Bits<8>>,
    f2_z: Dff<Bits<37>>,
    f2_negative: Dff<Bit>,
    f2_over: Dff<Bit>,
    f2_rest: Dff<Bit>,
    up: Signal<Local, Bit>,
    rounded: Signal<Local, Bits<36>>,
    beyond: Signal<Local, Bit>,
    l_vld: Dff<Bit>,
    l_addr: Dff<Bits<16>>,
    l_end: Dff<Bit>,
    l_first: Dff<Bit>,
    l_token: Dff<Bits<8>>,
    l_value: Dff<Bits<36>>,
    l_same: Dff<Bit>,
    l_stored: Dff<Bits<36>>,
    before: Signal<Local, Bits<36>>,
    last_stored: Signal<Local, Bit>,
    written: Dff<Bits<36>>,
    bypass: Dff<Bit>,
    best: Dff<Bits<36>>,
    best_vld: Dff<Bit>,
    best_token: Dff<Bits<8>>,
    best_any: Dff<Bit>,
    stored_vld: Dff<Bit>,
    stored_token: Dff<Bits<8>>,
    count: Dff<Bits<9>>,
    expert_shift: Constant<Bits<16>>,
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
            ending: Default::default(),
            top_token: Default::default(),
            top_vld: Default::default(),
            top: Default::default(),
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
            experts_less: Default::default(),
            row_hi: Default::default(),
            row_expert: Default::default(),
            in_wide: Default::default(),
            in_ready: Default::default(),
            take: Default::default(),
            same: Default::default(),
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
            a3_vld: Default::default(),
            a3_addr: Default::default(),
            a3_value: Default::default(),
            a3_old: Default::default(),
            a3_final: Default::default(),
            a3_end: Default::default(),
            a3_expert: Default::default(),
            a3_token: Default::default(),
            a3_shift: Default::default(),
            a4_vld: Default::default(),
            a4_addr: Default::default(),
            a4_sum: Default::default(),
            a4_final: Default::default(),
            a4_end: Default::default(),
            a4_expert: Default::default(),
            a4_token: Default::default(),
            a4_shift: Default::default(),
            wide: Default::default(),
            spread16: Default::default(),
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
            f1_over: Default::default(),
            f1_rest: Default::default(),
            f1_differ: Default::default(),
            f1_mid: Default::default(),
            f1_mid_differ: Default::default(),
            f2_vld: Default::default(),
            f2_addr: Default::default(),
            f2_end: Default::default(),
            f2_zero: Default::default(),
            f2_token: Default::default(),
            f2_z: Default::default(),
            f2_negative: Default::default(),
            f2_over: Default::default(),
            f2_rest: Default::default(),
            up: Default::default(),
            rounded: Default::default(),
            beyond: Default::default(),
            l_vld: Default::default(),
            l_addr: Default::default(),
            l_end: Default::default(),
            l_first: Default::default(),
            l_token: Default::default(),
            l_value: Default::default(),
            l_same: Default::default(),
            l_stored: Default::default(),
            before: Default::default(),
            last_stored: Default::default(),
            written: Default::default(),
            bypass: Default::default(),
            best: Default::default(),
            best_vld: Default::default(),
            best_token: Default::default(),
            best_any: Default::default(),
            stored_vld: Default::default(),
            stored_token: Default::default(),
            count: Default::default(),
            expert_shift: Constant::new((u64::from(config.experts_max.trailing_zeros())).to_bits()),
        }
    }
}

impl Logic for Logits {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("logits");
        clock!(self, clk, sums, logits, tops);
        dff_setup!(self, clk, started, closed, experts_less);
        dff_setup!(
            self, clk, a1_vld, a1_addr, a1_value, a1_first, a1_final, a1_expert, a1_token, a1_place
        );
        dff_setup!(
            self, clk, a2_vld, a2_addr, a2_value, a2_first, a2_final, a2_end, a2_expert, a2_token,
            a2_shift
        );
        dff_setup!(
            self, clk, a3_vld, a3_addr, a3_value, a3_old, a3_final, a3_end, a3_expert, a3_token,
            a3_shift
        );
        dff_setup!(
            self, clk, a4_vld, a4_addr, a4_sum, a4_final, a4_end, a4_expert, a4_token, a4_shift
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
            f1_negative,
            f1_over,
            f1_rest
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
            f2_rest
        );
        dff_setup!(self, clk, l_vld, l_addr, l_end, l_first, l_token, l_value, l_same, l_stored);
        dff_setup!(
            self,
            clk,
            best,
            written,
            bypass,
            best_vld,
            best_token,
            best_any,
            stored_vld,
            stored_token,
            count
        );

        // 0: a row, where its weight limb and its vector limb put it.
        self.experts_less.d.next = self.experts.val() - 1;
        self.row_hi.next = self.in_row.val() < self.experts.val();
        self.row_expert.next = self.in_row.val();
        if !self.row_hi.val() {
            self.row_expert.next = self.in_row.val() - self.experts.val();
        }
        self.in_wide.next = unsigned_cast(bit_cast_sx::<52, 36>(signed_cast(self.in_acc.val())));
        self.same.next = (self.a2_vld.q.val() && self.a2_addr.q.val() == self.a1_addr.q.val())
            || (self.a3_vld.q.val() && self.a3_addr.q.val() == self.a1_addr.q.val())
            || (self.a4_vld.q.val() && self.a4_addr.q.val() == self.a1_addr.q.val());
        self.in_ready.next = (!self.a1_vld.q.val() || !self.same.val()) && !self.closed.q.val();
        self.in_rdy.next = self.in_ready.val();
        self.take.next = self.in_vld.val() && self.in_ready.val();
        if !self.a1_vld.q.val() || !self.same.val() {
            self.a1_vld.d.next = self.take.val();
            self.a1_addr.d.next = (bit_cast::<16, 8>(self.in_token.val())
                << self.expert_shift.val())
                + self.row_expert.val();
            self.a1_value.d.next = self.in_wide.val();
            if self.row_hi.val() && !self.in_limb.val() {
                self.a1_value.d.next = self.in_wide.val() << 16;
            } else if self.row_hi.val() || !self.in_limb.val() {
                self.a1_value.d.next = self.in_wide.val() << 8;
            }
            self.a1_first.d.next = self.row_hi.val() && !self.in_limb.val();
            self.a1_final.d.next = !self.row_hi.val() && self.in_limb.val();
            self.a1_expert.d.next = self.row_expert.val().get_bits::<8>(0);
            self.a1_token.d.next = self.in_token.val();
            // The logit is shifted left by 35 and then right by this.
            self.a1_place.d.next = bits::<17>(11)
                - unsigned_cast(bit_cast_sx::<17, 16>(signed_cast(self.in_lsb.val())));
        }
        if self.take.val() {
            self.started.d.next = true;
            if self.in_last.val() {
                self.closed.d.next = true;
            }
        }
        self.receiving.next = self.started.q.val();

        // 1: read. Shifts beyond either end of the range do as much as those at the end.
        self.sums.re.next = true;
        self.sums.raddr.next = self.a1_addr.q.val();
        self.a2_vld.d.next = self.a1_vld.q.val() && !self.same.val();
        self.a2_addr.d.next = self.a1_addr.q.val();
        self.a2_value.d.next = self.a1_value.q.val();
        self.a2_first.d.next = self.a1_first.q.val();
        self.a2_final.d.next = self.a1_final.q.val();
        self.a2_end.d.next = bit_cast::<16, 8>(self.a1_expert.q.val()) == self.experts_less.q.val();
        self.a2_expert.d.next = self.a1_expert.q.val();
        self.a2_token.d.next = self.a1_token.q.val();
        self.a2_shift.d.next = self.a1_place.q.val().get_bits::<7>(0);
        if self.a1_place.q.val().get_bit(16) {
            self.a2_shift.d.next = 0.into();
        } else if self.a1_place.q.val().get_bits::<9>(7).any()
            || self.a1_place.q.val().get_bits::<2>(5).all()
        {
            self.a2_shift.d.next = 95.into();
        }

        // 2: the old sum; a memory's output is late in its cycle.
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
        self.a3_shift.d.next = self.a2_shift.q.val();

        // 3: add. 4: write.
        self.a4_vld.d.next = self.a3_vld.q.val();
        self.a4_addr.d.next = self.a3_addr.q.val();
        self.a4_sum.d.next = self.a3_old.q.val() + self.a3_value.q.val();
        self.a4_final.d.next = self.a3_final.q.val();
        self.a4_end.d.next = self.a3_end.q.val();
        self.a4_expert.d.next = self.a3_expert.q.val();
        self.a4_token.d.next = self.a3_token.q.val();
        self.a4_shift.d.next = self.a3_shift.q.val();
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
        self.spread16.next = self.a4_sum.q.val();
        if self.a4_sum.q.val().get_bit(51) {
            self.spread16.next = !self.a4_sum.q.val();
        }
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
        self.f1_over.d.next = false;
        self.f1_rest.d.next = false;
        if self.a4_shift.q.val().get_bits::<3>(4) == 0 {
            self.f1_over.d.next = self.spread16.val().get_bits::<35>(16).any();
        } else if self.a4_shift.q.val().get_bits::<3>(4) == 1 {
            self.f1_over.d.next = self.spread16.val().get_bits::<19>(32).any();
        } else if self.a4_shift.q.val().get_bits::<3>(4) == 2 {
            self.f1_over.d.next = self.spread16.val().get_bits::<3>(48).any();
        } else if self.a4_shift.q.val().get_bits::<3>(4) == 3 {
            self.f1_rest.d.next = self.a4_sum.q.val().get_bits::<12>(0).any();
        } else if self.a4_shift.q.val().get_bits::<3>(4) == 4 {
            self.f1_rest.d.next = self.a4_sum.q.val().get_bits::<28>(0).any();
        } else {
            self.f1_rest.d.next = self.a4_sum.q.val().get_bits::<44>(0).any();
        }

        // By 4s and by ones.
        self.f1_differ.next = self.f1_z.q.val();
        if self.f1_negative.q.val() {
            self.f1_differ.next = !self.f1_z.q.val();
        }
        self.f2_over.d.next = self.f1_over.q.val();
        self.f2_rest.d.next = self.f1_rest.q.val();
        self.by4.s.next = self.f1_shift.q.val().get_bits::<2>(2);
        self.by4.x.next = ((unsigned_cast_zx::<160, 40>(self.f1_z.q.val().get_bits::<40>(0)))
            | (unsigned_cast_zx::<160, 40>(self.f1_z.q.val().get_bits::<40>(4)) << 40))
            | ((unsigned_cast_zx::<160, 40>(self.f1_z.q.val().get_bits::<40>(8)) << 80)
                | (unsigned_cast_zx::<160, 40>(self.f1_z.q.val().get_bits::<40>(12)) << 120));
        self.f1_mid.next = self.by4.y.val();
        self.f1_mid_differ.next = self.f1_differ.val().get_bits::<40>(0);
        if self.f1_shift.q.val().get_bits::<2>(2) == 0 {
            if self.f1_differ.val().get_bits::<12>(40).any() {
                self.f2_over.d.next = true;
            }
        } else if self.f1_shift.q.val().get_bits::<2>(2) == 1 {
            self.f1_mid_differ.next = self.f1_differ.val().get_bits::<40>(4);
            if self.f1_differ.val().get_bits::<8>(44).any() {
                self.f2_over.d.next = true;
            }
            if self.f1_z.q.val().get_bits::<4>(0).any() {
                self.f2_rest.d.next = true;
            }
        } else if self.f1_shift.q.val().get_bits::<2>(2) == 2 {
            self.f1_mid_differ.next = self.f1_differ.val().get_bits::<40>(8);
            if self.f1_differ.val().get_bits::<4>(48).any() {
                self.f2_over.d.next = true;
            }
            if self.f1_z.q.val().get_bits::<8>(0).any() {
                self.f2_rest.d.next = true;
            }
        } else {
            self.f1_mid_differ.next = self.f1_differ.val().get_bits::<40>(12);
            if self.f1_z.q.val().get_bits::<12>(0).any() {
                self.f2_rest.d.next = true;
            }
        }
        self.by1.s.next = self.f1_shift.q.val().get_bits::<2>(0);
        self.by1.x.next = ((unsigned_cast_zx::<148, 37>(self.f1_mid.val().get_bits::<37>(0)))
            | (unsigned_cast_zx::<148, 37>(self.f1_mid.val().get_bits::<37>(1)) << 37))
            | ((unsigned_cast_zx::<148, 37>(self.f1_mid.val().get_bits::<37>(2)) << 74)
                | (unsigned_cast_zx::<148, 37>(self.f1_mid.val().get_bits::<37>(3)) << 111));
        self.f2_z.d.next = self.by1.y.val();
        if self.f1_shift.q.val().get_bits::<2>(0) == 0 {
            if self.f1_mid_differ.val().get_bits::<4>(36).any() {
                self.f2_over.d.next = true;
            }
        } else if self.f1_shift.q.val().get_bits::<2>(0) == 1 {
            if self.f1_mid_differ.val().get_bits::<3>(37).any() {
                self.f2_over.d.next = true;
            }
            if self.f1_mid.val().get_bit(0) {
                self.f2_rest.d.next = true;
            }
        } else if self.f1_shift.q.val().get_bits::<2>(0) == 2 {
            if self.f1_mid_differ.val().get_bits::<2>(38).any() {
                self.f2_over.d.next = true;
            }
            if self.f1_mid.val().get_bits::<2>(0).any() {
                self.f2_rest.d.next = true;
            }
        } else {
            if self.f1_mid_differ.val().get_bit(39) {
                self.f2_over.d.next = true;
            }
            if self.f1_mid.val().get_bits::<3>(0).any() {
                self.f2_rest.d.next = true;
            }
        }
        self.f2_vld.d.next = self.f1_vld.q.val();
        self.f2_addr.d.next = self.f1_addr.q.val();
        self.f2_end.d.next = self.f1_end.q.val();
        self.f2_zero.d.next = self.f1_expert.q.val() == 0;
        self.f2_token.d.next = self.f1_token.q.val();
        self.f2_negative.d.next = self.f1_negative.q.val();

        // Round and saturate to +-(2^35 - 1).
        self.up.next =
            self.f2_z.q.val().get_bit(0) && (self.f2_rest.q.val() || self.f2_z.q.val().get_bit(1));
        self.rounded.next =
            self.f2_z.q.val().get_bits::<36>(1) + bit_cast::<36, 1>(self.up.val().into());
        self.beyond.next = self.f2_over.q.val()
            || (!self.f2_negative.q.val() && self.rounded.val().get_bit(35))
            || (self.f2_negative.q.val()
                && !self.up.val()
                && !self.f2_z.q.val().get_bits::<35>(1).any());
        self.l_vld.d.next = self.f2_vld.q.val();
        self.l_addr.d.next = self.f2_addr.q.val();
        self.l_end.d.next = self.f2_end.q.val();
        self.l_first.d.next = self.f2_zero.q.val();
        self.l_token.d.next = self.f2_token.q.val();
        self.l_value.d.next = self.rounded.val();
        if self.beyond.val() {
            if self.f2_negative.q.val() {
                self.l_value.d.next = 0x8_0000_0001u64.into();
            } else {
                self.l_value.d.next = 0x7_FFFF_FFFFu64.into();
            }
        }
        // The largest so far: in `best` if the logit before was of this token, otherwise in memory.
        self.l_same.d.next =
            self.best_any.q.val() && self.best_token.q.val() == self.f2_token.q.val();
        if self.l_vld.q.val() {
            self.l_same.d.next = self.l_token.q.val() == self.f2_token.q.val();
        }
        self.l_stored.d.next = self.tops.rdata.val();
        self.tops.re.next = true;
        self.tops.raddr.next = self.top_token.val();
        self.stored_vld.d.next = true;
        self.stored_token.d.next = self.top_token.val();
        if self.f1_vld.q.val() {
            self.tops.raddr.next = self.f1_token.q.val();
            self.stored_token.d.next = self.f1_token.q.val();
        }

        // Store, compare.
        self.logits.we.next = self.l_vld.q.val();
        self.logits.waddr.next = self.l_addr.q.val();
        self.logits.wdata.next = self.l_value.q.val();
        self.before.next = self.l_stored.q.val();
        if self.l_same.q.val() {
            self.before.next = self.best.q.val();
        }
        self.best_vld.d.next = self.l_vld.q.val();
        if self.l_vld.q.val() {
            self.best_token.d.next = self.l_token.q.val();
            self.best_any.d.next = true;
            self.best.d.next = self.before.val();
            if self.l_first.q.val()
                || signed_cast(self.l_value.q.val()) > signed_cast(self.before.val())
            {
                self.best.d.next = self.l_value.q.val();
            }
            if self.l_end.q.val() {
                self.count.d.next = self.count.q.val() + 1;
            }
        }
        self.tops.we.next = self.best_vld.q.val();
        self.tops.waddr.next = self.best_token.q.val();
        self.tops.wdata.next = self.best.q.val();
        self.done.next = self.count.q.val();

        // What the router reads. `best` goes first: a token that it counts may not be in memory yet.
        self.logits.re.next = true;
        self.logits.raddr.next = (bit_cast::<16, 8>(self.rd_token.val())
            << self.expert_shift.val())
            + bit_cast::<16, 8>(self.rd_expert.val());
        self.last_stored.next = self.l_vld.q.val()
            && self.l_end.q.val()
            && self.l_token.q.val() == self.top_token.val();
        self.ending.next = self.last_stored.val();
        // With one expert the logit is read while it is written.
        self.written.d.next = self.l_value.q.val();
        self.bypass.d.next = self.last_stored.val() && self.experts_less.q.val() == 0;
        self.rd_logit.next = self.logits.rdata.val();
        if self.bypass.q.val() {
            self.rd_logit.next = self.written.q.val();
        }
        self.top.next = self.tops.rdata.val();
        self.top_vld.next =
            self.stored_vld.q.val() && self.stored_token.q.val() == self.top_token.val();
        if self.best_any.q.val() && self.best_token.q.val() == self.top_token.val() {
            self.top.next = self.best.q.val();
            self.top_vld.next = true;
        }

        if self.rst.val() || self.go.val() {
            self.started.d.next = false;
            self.closed.d.next = false;
            self.a1_vld.d.next = false;
            self.a2_vld.d.next = false;
            self.a3_vld.d.next = false;
            self.a4_vld.d.next = false;
            self.f1_vld.d.next = false;
            self.f2_vld.d.next = false;
            self.l_vld.d.next = false;
            self.best_vld.d.next = false;
            self.best_any.d.next = false;
            self.stored_vld.d.next = false;
            self.count.d.next = 0.into();
        }
    }
}
