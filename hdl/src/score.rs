//! Scores: e^-(top - L) or the sigmoid of a logit (`docs/formats.md`, section 4), for `router`.
//!
//! What: one pipeline with two tables and one interpolating multiplier of LUTs. Cost: docs/utilisation.md; two ROMs. Latency: a logit in
//! gives its sigmoid `s` 8 cycles later, or its exponential `p` 10. Bottleneck: none, one per cycle; all items of
//! a run have the same function, and the pipeline is empty when that changes. Hazards: none.

use leaf::prelude::*;
use numeric::score::{EXP_TABLE, LOG2_E, P_ONE, SIGMOID_STEPS, SIGMOID_TABLE};

/// See the module's page. It has no sizes, so `default()` makes it.
#[derive(LogicBlock)]
pub struct Score {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// The sigmoid; otherwise the exponential.
    pub sigmoid: Signal<In, Bit>,
    /// The logit from which the exponential's distance counts, not below any logit, plus 8 for rounding; needed a cycle after `in_vld`.
    pub top8: Signal<In, Bits<37>>,
    /// Round.
    pub exact: Signal<In, Bit>,
    /// A logit.
    pub in_vld: Signal<In, Bit>,
    /// The logit, Q12.24.
    pub in_logit: Signal<In, Bits<36>>,
    /// Travels with it: its expert or rank.
    pub in_tag: Signal<In, Bits<8>>,
    /// Travels with it: the run's last.
    pub in_last: Signal<In, Bit>,
    /// Of the item of the cycle before: it counts in a sum.
    pub in_take: Signal<In, Bit>,
    /// The logit of the last cycle (whether valid or not).
    pub l1: Signal<Out, Bits<36>>,
    /// An item two stages before `s` is there.
    pub v7_vld: Signal<Out, Bit>,
    /// Its tag.
    pub v7_tag: Signal<Out, Bits<8>>,
    /// It is the last.
    pub v7_last: Signal<Out, Bit>,
    /// A sigmoid is there.
    pub v9_vld: Signal<Out, Bit>,
    /// Its tag.
    pub v9_tag: Signal<Out, Bits<8>>,
    /// It is the last.
    pub v9_last: Signal<Out, Bit>,
    /// The sigmoid, Q1.24.
    pub s: Signal<Out, Bits<25>>,
    /// An exponential is there.
    pub p_vld: Signal<Out, Bit>,
    /// Its tag.
    pub p_tag: Signal<Out, Bits<8>>,
    /// It is there and the last.
    pub p_end: Signal<Out, Bit>,
    /// It counts in a sum.
    pub p_take: Signal<Out, Bit>,
    /// The exponential without its rounding, Q1.24.
    pub p_floor: Signal<Out, Bits<25>>,
    /// Half or more of its LSB is left; not without `exact`.
    pub p_half: Signal<Out, Bit>,
    /// Nothing is left below that half, so that a sum with it goes to even.
    pub p_tie: Signal<Out, Bit>,

    vld: [Dff<Bit>; 11],
    tag: [Dff<Bits<8>>; 11],
    last: [Dff<Bit>; 11],
    take: [Dff<Bit>; 11],
    r1_logit: Dff<Bits<36>>,
    // The exponential's distance, to Q6.20, times log2(e).
    distance8: Signal<Local, Bits<37>>,
    r2_t: Dff<Bits<26>>,
    r2_beyond: Dff<Bits<7>>,
    three: AddMux<28>,
    five: AddMux<29>,
    r3_high: Dff<Bits<31>>,
    r3_low: Dff<Bits<33>>,
    r3_far: Dff<Bit>,
    product: Signal<Local, Bits<41>>,
    u: Signal<Local, Bits<27>>,
    exp_rom: Rom<41, 8>,
    r4_n: Dff<Bits<7>>,
    r4_far: Dff<Bit>,
    r4_rest: Dff<Bits<12>>,
    // The sigmoid's magnitude.
    magnitude: AddSub<36>,
    m2_magnitude: Dff<Bits<36>>,
    m2_negative: Dff<Bit>,
    sigmoid_rom: Rom<40, 11>,
    m4_far: Dff<Bit>,
    m4_negative: Dff<Bit>,
    m4_rest: Dff<Bits<17>>,
    // A memory's output is late in its cycle.
    r5_exp: Dff<Bits<41>>,
    r5_sigmoid: Dff<Bits<40>>,
    r5_rest: Dff<Bits<17>>,
    r5_n: Dff<Bits<5>>,
    r5_far: Dff<Bit>,
    r5_negative: Dff<Bit>,
    // Both: table, interpolation.
    r6_base: Dff<Bits<25>>,
    r6_step: Dff<Bits<16>>,
    r6_rest: Dff<Bits<17>>,
    r6_n: Dff<Bits<5>>,
    r6_far: Dff<Bit>,
    r6_negative: Dff<Bit>,
    multiplier: MulPairs<16, 17, 33>,
    r7_base: Dff<Bits<25>>,
    r7_n: Dff<Bits<5>>,
    r7_down: Dff<Bit>,
    r8_base: Dff<Bits<25>>,
    r8_n: Dff<Bits<5>>,
    r8_down: Dff<Bit>,
    way: Signal<Local, Bits<33>>,
    change: AddSub<25>,
    r9_v: Dff<Bits<25>>,
    r9_n: Dff<Bits<5>>,
    r9_more: [Dff<Bit>; 7],
    // The exponential halved n times.
    double: Signal<Local, Bits<58>>,
    fours: Signal<Local, Bits<232>>,
    by4: Mux8<29, 232>,
    by4_out: Signal<Local, Bits<29>>,
    ones: Signal<Local, Bits<104>>,
    by1: Mux4<26, 104>,
    halved: Signal<Local, Bits<26>>,
    rest: Signal<Local, Bit>,
    r8_fours: Signal<Local, Bits<3>>,
    r10_floor: Dff<Bits<25>>,
    r10_half: Dff<Bit>,
    r10_tie: Dff<Bit>,
    far_high: Constant<Bits<25>>,
    far_low: Constant<Bits<25>>,
    one: Constant<Bits<25>>,
}

/// `X[i]`, and above it `X[i] - X[i+1]`.
fn exp_words() -> impl Iterator<Item = u128> {
    EXP_TABLE
        .windows(2)
        .map(|x| u128::from(x[0]) | u128::from(x[0] - x[1]) << 25)
}

/// `S[i]`, and above it `S[i+1] - S[i]`.
fn sigmoid_words() -> impl Iterator<Item = u128> {
    SIGMOID_TABLE
        .windows(2)
        .map(|s| u128::from(s[0]) | u128::from(s[1] - s[0]) << 24)
}

impl Default for Score {
    fn default() -> Self {
        // The adders below multiply by 23 * 2^12 + 85 * 2^2.
        assert_eq!(LOG2_E, (23 << 12) + (85 << 2));
        let far = SIGMOID_TABLE[SIGMOID_STEPS];
        Self {
            exp_rom: Rom::new(exp_words()),
            sigmoid_rom: Rom::new(sigmoid_words()),
            multiplier: MulPairs::new(16),
            far_high: Constant::new(u64::from(far).to_bits()),
            far_low: Constant::new(u64::from(P_ONE - far).to_bits()),
            one: Constant::new(u64::from(P_ONE).to_bits()),
            clk: Default::default(),
            rst: Default::default(),
            sigmoid: Default::default(),
            top8: Default::default(),
            exact: Default::default(),
            in_vld: Default::default(),
            in_logit: Default::default(),
            in_tag: Default::default(),
            in_last: Default::default(),
            in_take: Default::default(),
            l1: Default::default(),
            v7_vld: Default::default(),
            v7_tag: Default::default(),
            v7_last: Default::default(),
            v9_vld: Default::default(),
            v9_tag: Default::default(),
            v9_last: Default::default(),
            s: Default::default(),
            p_vld: Default::default(),
            p_tag: Default::default(),
            p_end: Default::default(),
            p_take: Default::default(),
            p_floor: Default::default(),
            p_half: Default::default(),
            p_tie: Default::default(),
            vld: arr(),
            tag: arr(),
            last: arr(),
            take: arr(),
            r1_logit: Default::default(),
            distance8: Default::default(),
            r2_t: Default::default(),
            r2_beyond: Default::default(),
            three: Default::default(),
            five: Default::default(),
            r3_high: Default::default(),
            r3_low: Default::default(),
            r3_far: Default::default(),
            product: Default::default(),
            u: Default::default(),
            r4_n: Default::default(),
            r4_far: Default::default(),
            r4_rest: Default::default(),
            magnitude: Default::default(),
            m2_magnitude: Default::default(),
            m2_negative: Default::default(),
            m4_far: Default::default(),
            m4_negative: Default::default(),
            m4_rest: Default::default(),
            r5_exp: Default::default(),
            r5_sigmoid: Default::default(),
            r5_rest: Default::default(),
            r5_n: Default::default(),
            r5_far: Default::default(),
            r5_negative: Default::default(),
            r6_base: Default::default(),
            r6_step: Default::default(),
            r6_rest: Default::default(),
            r6_n: Default::default(),
            r6_far: Default::default(),
            r6_negative: Default::default(),
            r7_base: Default::default(),
            r7_n: Default::default(),
            r7_down: Default::default(),
            r8_base: Default::default(),
            r8_n: Default::default(),
            r8_down: Default::default(),
            way: Default::default(),
            change: Default::default(),
            r9_v: Default::default(),
            r9_n: Default::default(),
            r9_more: arr(),
            double: Default::default(),
            fours: Default::default(),
            by4: Default::default(),
            by4_out: Default::default(),
            ones: Default::default(),
            by1: Default::default(),
            halved: Default::default(),
            rest: Default::default(),
            r8_fours: Default::default(),
            r10_floor: Default::default(),
            r10_half: Default::default(),
            r10_tie: Default::default(),
        }
    }
}

impl Logic for Score {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("score");
        clock!(self, clk, exp_rom, sigmoid_rom, multiplier);
        dff_setup!(self, clk, r1_logit, r2_t, r2_beyond, r3_high, r3_low, r3_far);
        dff_setup!(self, clk, r4_n, r4_far, r4_rest);
        dff_setup!(
            self,
            clk,
            m2_magnitude,
            m2_negative,
            m4_far,
            m4_negative,
            m4_rest
        );
        dff_setup!(
            self,
            clk,
            r5_exp,
            r5_sigmoid,
            r5_rest,
            r5_n,
            r5_far,
            r5_negative
        );
        dff_setup!(
            self,
            clk,
            r6_base,
            r6_step,
            r6_rest,
            r6_n,
            r6_far,
            r6_negative
        );
        dff_setup!(self, clk, r7_base, r7_n, r7_down, r8_base, r8_n, r8_down, r9_v, r9_n);
        dff_setup!(self, clk, r10_floor, r10_half, r10_tie);
        for i in 0..11 {
            self.vld[i].clock.next = self.clk.val();
            self.tag[i].clock.next = self.clk.val();
            self.last[i].clock.next = self.clk.val();
            self.take[i].clock.next = self.clk.val();
        }
        // Member i travels with the registers r<i>; member 0 is the input.
        self.vld[0].d.next = false;
        self.tag[0].d.next = 0.into();
        self.last[0].d.next = false;
        self.take[0].d.next = false;
        self.take[1].d.next = false;
        self.vld[1].d.next = self.in_vld.val();
        self.tag[1].d.next = self.in_tag.val();
        self.last[1].d.next = self.in_last.val();
        for i in 2..11 {
            self.vld[i].d.next = self.vld[i - 1].q.val();
            self.tag[i].d.next = self.tag[i - 1].q.val();
            self.last[i].d.next = self.last[i - 1].q.val();
            self.take[i].d.next = self.take[i - 1].q.val();
        }
        self.take[2].d.next = self.in_take.val();
        self.last[10].d.next = self.vld[9].q.val() && self.last[9].q.val();
        // A sigmoid needs no logarithm: from stage 2 it goes to stage 4.
        if self.sigmoid.val() {
            self.vld[4].d.next = self.vld[2].q.val();
            self.tag[4].d.next = self.tag[2].q.val();
            self.last[4].d.next = self.last[2].q.val();
            self.take[4].d.next = self.take[2].q.val();
        }
        self.r1_logit.d.next = self.in_logit.val();
        self.l1.next = self.r1_logit.q.val();

        // 1: distance, to Q6.20: half of 2^4 is in it already, and a tie goes to even. What is beyond is far enough to leave nothing.
        self.distance8.next = self.top8.val()
            - unsigned_cast(bit_cast_sx::<37, 36>(signed_cast(self.r1_logit.q.val())));
        self.r2_t.d.next = self.distance8.val().get_bits::<26>(4);
        if !self.distance8.val().get_bits::<4>(0).any() {
            self.r2_t.d.next = self.distance8.val().get_bits::<26>(4) & 0x3FF_FFFE;
        }
        self.r2_beyond.d.next = self.distance8.val().get_bits::<7>(30);
        // 2, 3: times log2(e), which is 23 * 2^12 + 85 * 2^2 and in Q16; half of 2^16 is added for rounding (as 8 * 2^12).
        self.three.a.next = bit_cast::<28, 26>(self.r2_t.q.val());
        self.three.b.next = bit_cast::<28, 26>(self.r2_t.q.val()) << 1;
        self.three.d.next = 0.into();
        self.three.s.next = true;
        self.three.cin.next = true;
        self.five.a.next = bit_cast::<29, 26>(self.r2_t.q.val());
        self.five.b.next = bit_cast::<29, 26>(self.r2_t.q.val()) << 2;
        self.five.d.next = 0.into();
        self.five.s.next = true;
        self.five.cin.next = false;
        self.r3_high.d.next =
            (bit_cast::<31, 28>(self.three.y.val()) << 3) - bit_cast::<31, 26>(self.r2_t.q.val());
        self.r3_low.d.next =
            (bit_cast::<33, 29>(self.five.y.val()) << 4) + bit_cast::<33, 29>(self.five.y.val());
        self.r3_far.d.next = self.r2_beyond.q.val().any();
        self.product.next = (bit_cast::<41, 31>(self.r3_high.q.val()) << 10)
            + bit_cast::<41, 33>(self.r3_low.q.val());
        self.u.next = self.product.val().get_bits::<27>(14);
        self.exp_rom.re.next = true;
        self.exp_rom.addr.next = self.u.val().get_bits::<8>(12);
        self.r4_n.d.next = self.u.val().get_bits::<7>(20);
        self.r4_far.d.next = self.r3_far.q.val();
        self.r4_rest.d.next = self.u.val().get_bits::<12>(0);
        if !self.product.val().get_bits::<14>(0).any() {
            self.r4_rest.d.next = self.u.val().get_bits::<12>(0) & 0xFFE; // a tie, to even
        }

        // 1, 2 of a sigmoid: its magnitude; beyond the table the last value.
        self.magnitude.a.next = 0.into();
        self.magnitude.b.next = self.r1_logit.q.val();
        self.magnitude.sub.next = self.r1_logit.q.val().get_bit(35);
        self.m2_magnitude.d.next = self.magnitude.y.val();
        self.m2_negative.d.next = self.r1_logit.q.val().get_bit(35);
        self.sigmoid_rom.re.next = true;
        self.sigmoid_rom.addr.next = self.m2_magnitude.q.val().get_bits::<11>(17);
        self.m4_far.d.next = self.m2_magnitude.q.val().get_bits::<8>(28).any();
        self.m4_negative.d.next = self.m2_negative.q.val();
        self.m4_rest.d.next = self.m2_magnitude.q.val().get_bits::<17>(0);

        // 4: from the tables.
        self.r5_exp.d.next = self.exp_rom.data.val();
        self.r5_sigmoid.d.next = self.sigmoid_rom.data.val();
        self.r5_rest.d.next = bit_cast::<17, 12>(self.r4_rest.q.val()) << 5;
        self.r5_n.d.next = self.r4_n.q.val().get_bits::<5>(0);
        if self.r4_far.q.val() || self.r4_n.q.val().get_bits::<2>(5).any() {
            self.r5_n.d.next = 31.into(); // nothing is left of it from 25 on
        }
        self.r5_far.d.next = false;
        self.r5_negative.d.next = false;
        if self.sigmoid.val() {
            self.r5_rest.d.next = self.m4_rest.q.val();
            self.r5_far.d.next = self.m4_far.q.val();
            self.r5_negative.d.next = self.m4_negative.q.val();
            if self.m4_far.q.val() {
                self.r5_rest.d.next = 0.into();
            }
        }
        // 5: one of them.
        self.r6_base.d.next = self.r5_exp.q.val().get_bits::<25>(0);
        self.r6_step.d.next = self.r5_exp.q.val().get_bits::<16>(25);
        if self.sigmoid.val() {
            self.r6_base.d.next = bit_cast::<25, 24>(self.r5_sigmoid.q.val().get_bits::<24>(0));
            self.r6_step.d.next = self.r5_sigmoid.q.val().get_bits::<16>(24);
        }
        self.r6_rest.d.next = self.r5_rest.q.val();
        self.r6_n.d.next = self.r5_n.q.val();
        self.r6_far.d.next = self.r5_far.q.val();
        self.r6_negative.d.next = self.r5_negative.q.val();
        // 6, 7: how far from the table's value.
        self.multiplier.a.next = self.r6_step.q.val();
        self.multiplier.b.next = self.r6_rest.q.val();
        self.multiplier.half.next = true;
        self.r7_n.d.next = self.r6_n.q.val();
        self.r7_down.d.next = !self.sigmoid.val() || self.r6_negative.q.val();
        self.r7_base.d.next = self.r6_base.q.val();
        if self.r6_negative.q.val() {
            self.r7_base.d.next = self.one.val() - self.r6_base.q.val();
        }
        if self.r6_far.q.val() {
            self.r7_base.d.next = self.far_high.val();
            if self.r6_negative.q.val() {
                self.r7_base.d.next = self.far_low.val();
            }
        }
        self.r8_n.d.next = self.r7_n.q.val();
        self.r8_down.d.next = self.r7_down.q.val();
        self.r8_base.d.next = self.r7_base.q.val();
        // 8: the value.
        self.way.next = self.multiplier.x.val() + self.multiplier.y.val();
        self.change.a.next = self.r8_base.q.val();
        self.change.b.next = bit_cast::<25, 16>(self.way.val().get_bits::<16>(17));
        self.change.sub.next = self.r8_down.q.val();
        self.r9_v.d.next = self.change.y.val();
        self.r9_n.d.next = self.r8_n.q.val();
        // Which fours of bits are shifted out.
        self.r8_fours.next = self.r8_n.q.val().get_bits::<3>(2);
        for i in 0..7 {
            self.r9_more[i].clock.next = self.clk.val();
            self.r9_more[i].d.next = self.r8_fours.val() > i.to_bits();
        }
        self.s.next = self.r9_v.q.val();
        // 9: halved n times.
        self.double.next = bit_cast::<58, 25>(self.r9_v.q.val()) << 1;
        self.fours.next = 0.into();
        for i in 0..8 {
            self.fours.next = (self.fours.val() << 29)
                | unsigned_cast_zx::<232, 29>(self.double.val().get_bits::<29>(28 - 4 * i));
        }
        self.by4.x.next = self.fours.val();
        self.by4.s.next = self.r9_n.q.val().get_bits::<3>(2);
        self.by4_out.next = self.by4.y.val();
        self.ones.next = 0.into();
        for i in 0..4 {
            self.ones.next = (self.ones.val() << 26)
                | unsigned_cast_zx::<104, 26>(self.by4_out.val().get_bits::<26>(3 - i));
        }
        self.by1.x.next = self.ones.val();
        self.by1.s.next = self.r9_n.q.val().get_bits::<2>(0);
        self.halved.next = self.by1.y.val();
        self.rest.next = false;
        for i in 0..7 {
            if self.r9_more[i].q.val() && self.double.val().get_bits::<4>(4 * i).any() {
                self.rest.next = true;
            }
        }
        if (self.r9_n.q.val().get_bits::<2>(0) == 1 && self.by4_out.val().get_bit(0))
            || (self.r9_n.q.val().get_bits::<2>(0) == 2
                && self.by4_out.val().get_bits::<2>(0).any())
            || (self.r9_n.q.val().get_bits::<2>(0) == 3
                && self.by4_out.val().get_bits::<3>(0).any())
        {
            self.rest.next = true;
        }
        self.r10_floor.d.next = self.halved.val().get_bits::<25>(1);
        self.r10_half.d.next = self.halved.val().get_bit(0);
        if !self.exact.val() {
            self.r10_half.d.next = false;
        }
        self.r10_tie.d.next = !self.rest.val();
        self.p_floor.next = self.r10_floor.q.val();
        self.p_half.next = self.r10_half.q.val();
        self.p_tie.next = self.r10_tie.q.val();

        self.v7_vld.next = self.vld[7].q.val();
        self.v7_tag.next = self.tag[7].q.val();
        self.v7_last.next = self.last[7].q.val();
        self.v9_vld.next = self.vld[9].q.val();
        self.v9_tag.next = self.tag[9].q.val();
        self.v9_last.next = self.last[9].q.val();
        self.p_vld.next = self.vld[10].q.val();
        self.p_tag.next = self.tag[10].q.val();
        self.p_end.next = self.last[10].q.val();
        self.p_take.next = self.take[10].q.val();

        if self.rst.val() {
            for i in 0..11 {
                self.vld[i].d.next = false;
                self.last[i].d.next = false;
            }
        }
    }
}
