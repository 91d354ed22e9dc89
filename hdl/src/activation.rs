//! Activation: gate and up accumulators to the hidden vector, h = A(gate) * U(up) (`docs/formats.md`, section 5).
//!
//! What: a pipeline that never waits: [`Fix`] brings each accumulator to Q12.24, a table and a multiplier give what ReLU has more
//! than the function, [`Factor`] rounds A and U to 17 bits, a multiplier and a rounding make the binary32. Results wait in a queue
//! for their taker; an element is let in only when the queue has a place for it. Sizes are magnitudes beside a sign throughout.
//! Cost: two multipliers made of LUTs (18 x 18 and 18 x 17), two shifters of 37 bits and two of 35, a ROM of 1024 x 41 per table (SiLU, and
//! with `Modes::gelu` GELU, GELU-tanh and the clamped form), two LUT RAMs of 32 places. No DSP block.
//! Latency: 33 cycles. Bottleneck: one element per cycle.
//!
//! Hazards: row and queue position overtake the arithmetic in a memory of their own, in the same order. `act` and `gated` must stand still
//! from one cycle before the first element until `busy` falls.

use crate::skid::Skid;
use abi::Config;
use leaf::prelude::*;
use numeric::activation::DELTA_TABLES;

/// Cycles from an element to its result; queue and output add one each.
const STAGES: usize = 31;
/// Places of the queue.
const QUEUE: usize = 32;

/// An accumulator of 36 bits to Q12.24: sign and magnitude, RNE, saturated to +-(2^35 - 1). Latency 8, an element per cycle.
///
/// One shifter to the right serves both directions: what goes left passes it with its bits in reversed order, and bits that fall out
/// of it are then an overflow instead of the rounding's remainder.
#[derive(LogicBlock, Default)]
pub struct Fix {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// The accumulator, two's complement.
    pub acc: Signal<In, Bits<36>>,
    /// The exponent of its LSB, two's complement.
    pub lsb: Signal<In, Bits<16>>,
    /// Sign of the result; its magnitude may be 0.
    pub negative: Signal<Out, Bit>,
    /// Magnitude of the result.
    pub size: Signal<Out, Bits<35>>,
    /// It was saturated.
    pub over: Signal<Out, Bit>,

    s0_acc: Dff<Bits<36>>,
    s0_lsb: Dff<Signed<16>>,
    // The LSB's place above 2^-24; magnitude.
    s1_place: Dff<Bits<17>>,
    s1_size: Dff<Bits<36>>,
    sign: [Dff<Bit>; 7],
    // Direction and distance (63 is further than any bit can move).
    distance: Signal<Local, Bits<6>>,
    far: Signal<Local, Bit>,
    turned: Signal<Local, Bits<36>>,
    s2_shift: Dff<Bits<6>>,
    s2_bits: Dff<Bits<36>>,
    left: [Dff<Bit>; 4],
    // Shifted by 32 and 16, 8 and 4, 2 and 1: one bit below the result, and whether any below that was set.
    wide: Signal<Local, Bits<37>>,
    by32: Signal<Local, Bits<37>>,
    lost32: Signal<Local, Bit>,
    s3_bits: Dff<Bits<37>>,
    s3_lost: Dff<Bit>,
    s3_shift: Dff<Bits<4>>,
    by8: Signal<Local, Bits<37>>,
    lost8: Signal<Local, Bit>,
    s4_bits: Dff<Bits<37>>,
    s4_lost: Dff<Bit>,
    s4_shift: Dff<Bits<2>>,
    by2: Signal<Local, Bits<37>>,
    lost2: Signal<Local, Bit>,
    s5_bits: Dff<Bits<37>>,
    s5_lost: Dff<Bit>,
    // Rounded.
    back: Signal<Local, Bits<36>>,
    up: Signal<Local, Bit>,
    s6_sum: Dff<Bits<36>>,
    s6_lost: Dff<Bit>,
    beyond: Signal<Local, Bit>,
    s7_size: Dff<Bits<35>>,
    s7_over: Dff<Bit>,
}

impl Logic for Fix {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("fix");
        dff_setup!(self, clk, s0_acc, s0_lsb, s1_place, s1_size, s2_shift, s2_bits);
        dff_setup!(self, clk, s3_bits, s3_lost, s3_shift, s4_bits, s4_lost, s4_shift);
        dff_setup!(self, clk, s5_bits, s5_lost, s6_sum, s6_lost, s7_size, s7_over);
        for i in 0..7 {
            self.sign[i].clock.next = self.clk.val();
        }
        for i in 0..4 {
            self.left[i].clock.next = self.clk.val();
        }
        self.s0_acc.d.next = self.acc.val();
        self.s0_lsb.d.next = signed_cast(self.lsb.val());

        self.s1_place.d.next = unsigned_cast(bit_cast_sx::<17, 16>(self.s0_lsb.q.val())) + 24;
        self.s1_size.d.next = self.s0_acc.q.val();
        if self.s0_acc.q.val().get_bit(35) {
            self.s1_size.d.next = bits::<36>(0) - self.s0_acc.q.val();
        }
        self.sign[0].d.next = self.s0_acc.q.val().get_bit(35);
        for i in 1..7 {
            self.sign[i].d.next = self.sign[i - 1].q.val();
        }

        self.far.next = self.s1_place.q.val().get_bits::<10>(6).any();
        self.distance.next = self.s1_place.q.val().get_bits::<6>(0);
        if self.s1_place.q.val().get_bit(16) {
            // A multiple of -64 is the one whose low bits do not say the distance.
            self.far.next = !self.s1_place.q.val().get_bits::<10>(6).all()
                || !self.s1_place.q.val().get_bits::<6>(0).any();
            self.distance.next = bits::<6>(0) - self.s1_place.q.val().get_bits::<6>(0);
        }
        self.s2_shift.d.next = self.distance.val();
        if self.far.val() {
            self.s2_shift.d.next = 63.into();
        }
        self.turned.next = 0.into();
        for i in 0..36 {
            self.turned.next = self
                .turned
                .val()
                .replace_bit(i, self.s1_size.q.val().get_bit(35 - i));
        }
        self.s2_bits.d.next = self.s1_size.q.val();
        if !self.s1_place.q.val().get_bit(16) {
            self.s2_bits.d.next = self.turned.val();
        }
        self.left[0].d.next = !self.s1_place.q.val().get_bit(16);
        for i in 1..4 {
            self.left[i].d.next = self.left[i - 1].q.val();
        }

        self.wide.next = bit_cast::<37, 36>(self.s2_bits.q.val()) << 1;
        self.s3_shift.d.next = self.s2_shift.q.val().get_bits::<4>(0);
        self.by32.next = self.wide.val();
        self.lost32.next = false;
        if self.s2_shift.q.val().get_bit(5) {
            self.by32.next = self.wide.val() >> 32;
            self.lost32.next = self.wide.val().get_bits::<32>(0).any();
        }
        self.s3_bits.d.next = self.by32.val();
        self.s3_lost.d.next = self.lost32.val();
        if self.s2_shift.q.val().get_bit(4) {
            self.s3_bits.d.next = self.by32.val() >> 16;
            self.s3_lost.d.next = self.lost32.val() || self.by32.val().get_bits::<16>(0).any();
        }
        self.s4_shift.d.next = self.s3_shift.q.val().get_bits::<2>(0);
        self.by8.next = self.s3_bits.q.val();
        self.lost8.next = self.s3_lost.q.val();
        if self.s3_shift.q.val().get_bit(3) {
            self.by8.next = self.s3_bits.q.val() >> 8;
            self.lost8.next = self.s3_lost.q.val() || self.s3_bits.q.val().get_bits::<8>(0).any();
        }
        self.s4_bits.d.next = self.by8.val();
        self.s4_lost.d.next = self.lost8.val();
        if self.s3_shift.q.val().get_bit(2) {
            self.s4_bits.d.next = self.by8.val() >> 4;
            self.s4_lost.d.next = self.lost8.val() || self.by8.val().get_bits::<4>(0).any();
        }
        self.by2.next = self.s4_bits.q.val();
        self.lost2.next = self.s4_lost.q.val();
        if self.s4_shift.q.val().get_bit(1) {
            self.by2.next = self.s4_bits.q.val() >> 2;
            self.lost2.next = self.s4_lost.q.val() || self.s4_bits.q.val().get_bits::<2>(0).any();
        }
        self.s5_bits.d.next = self.by2.val();
        self.s5_lost.d.next = self.lost2.val();
        if self.s4_shift.q.val().get_bit(0) {
            self.s5_bits.d.next = self.by2.val() >> 1;
            self.s5_lost.d.next = self.lost2.val() || self.by2.val().get_bits::<1>(0).any();
        }

        self.back.next = self.s5_bits.q.val().get_bits::<36>(1);
        self.up.next = self.s5_bits.q.val().get_bit(0)
            && (self.s5_lost.q.val() || self.s5_bits.q.val().get_bit(1));
        self.s6_lost.d.next = false;
        if self.left[3].q.val() {
            for i in 0..36 {
                self.back.next = self
                    .back
                    .val()
                    .replace_bit(i, self.s5_bits.q.val().get_bit(36 - i));
            }
            self.up.next = false;
            self.s6_lost.d.next = self.s5_lost.q.val() || self.s5_bits.q.val().get_bit(0);
        }
        self.s6_sum.d.next = self.back.val() + bit_cast::<36, 1>(self.up.val().into());

        self.beyond.next = self.s6_lost.q.val() || self.s6_sum.q.val().get_bit(35);
        self.s7_over.d.next = self.beyond.val();
        self.s7_size.d.next = self.s6_sum.q.val().get_bits::<35>(0);
        if self.beyond.val() {
            self.s7_size.d.next = 0x7_FFFF_FFFFu64.into();
        }
        self.negative.next = self.sign[6].q.val();
        self.size.next = self.s7_size.q.val();
        self.over.next = self.s7_over.q.val();
    }
}

/// A magnitude of 35 bits rounded to 17: `(2^16 + mantissa) * 2^(place - 16)`, RNE. Latency 6, an element per cycle.
#[derive(LogicBlock, Default)]
pub struct Factor {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// The magnitude.
    pub size: Signal<In, Bits<35>>,
    /// 16 bits below the leading one.
    pub mantissa: Signal<Out, Bits<16>>,
    /// The place of the leading one.
    pub place: Signal<Out, Bits<6>>,
    /// The magnitude is 0: neither of the others has a meaning.
    pub zero: Signal<Out, Bit>,

    // Shifted to the left until the leading one is at the top; how far.
    s0: Dff<Bits<35>>,
    s1: Dff<Bits<35>>,
    s2: Dff<Bits<35>>,
    s3: Dff<Bits<35>>,
    s4: Dff<Bits<35>>,
    by32: [Dff<Bit>; 4],
    by16: [Dff<Bit>; 3],
    by8: [Dff<Bit>; 2],
    by4: Dff<Bit>,
    shift: Signal<Local, Bits<6>>,
    by2: Signal<Local, Bit>,
    two: Signal<Local, Bits<35>>,
    by1: Signal<Local, Bit>,
    s4_place: Dff<Bits<6>>,
    // Rounded: a mantissa of only ones carries into the place.
    up: Signal<Local, Bit>,
    s5: Dff<Bits<22>>,
    s5_zero: Dff<Bit>,
}

impl Logic for Factor {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("factor");
        dff_setup!(self, clk, s0, s1, s2, s3, s4, by4, s4_place, s5, s5_zero);
        for i in 0..4 {
            self.by32[i].clock.next = self.clk.val();
        }
        for i in 0..3 {
            self.by16[i].clock.next = self.clk.val();
        }
        for i in 0..2 {
            self.by8[i].clock.next = self.clk.val();
        }
        self.by32[0].d.next = !self.size.val().get_bits::<32>(3).any();
        self.s0.d.next = self.size.val();
        if self.by32[0].d.val() {
            self.s0.d.next = self.size.val() << 32;
        }
        self.by16[0].d.next = !self.s0.q.val().get_bits::<16>(19).any();
        self.s1.d.next = self.s0.q.val();
        if self.by16[0].d.val() {
            self.s1.d.next = self.s0.q.val() << 16;
        }
        self.by8[0].d.next = !self.s1.q.val().get_bits::<8>(27).any();
        self.s2.d.next = self.s1.q.val();
        if self.by8[0].d.val() {
            self.s2.d.next = self.s1.q.val() << 8;
        }
        self.by4.d.next = !self.s2.q.val().get_bits::<4>(31).any();
        self.s3.d.next = self.s2.q.val();
        if self.by4.d.val() {
            self.s3.d.next = self.s2.q.val() << 4;
        }
        for i in 1..4 {
            self.by32[i].d.next = self.by32[i - 1].q.val();
        }
        for i in 1..3 {
            self.by16[i].d.next = self.by16[i - 1].q.val();
        }
        self.by8[1].d.next = self.by8[0].q.val();
        self.by2.next = !self.s3.q.val().get_bits::<2>(33).any();
        self.two.next = self.s3.q.val();
        if self.by2.val() {
            self.two.next = self.s3.q.val() << 2;
        }
        self.by1.next = !self.two.val().get_bit(34);
        self.s4.d.next = self.two.val();
        if self.by1.val() {
            self.s4.d.next = self.two.val() << 1;
        }
        self.shift.next = bit_cast::<6, 1>(self.by1.val().into())
            | (bit_cast::<6, 1>(self.by2.val().into()) << 1)
            | (bit_cast::<6, 1>(self.by4.q.val().into()) << 2)
            | (bit_cast::<6, 1>(self.by8[1].q.val().into()) << 3)
            | (bit_cast::<6, 1>(self.by16[2].q.val().into()) << 4)
            | (bit_cast::<6, 1>(self.by32[3].q.val().into()) << 5);
        self.s4_place.d.next = bits::<6>(34) - self.shift.val();

        self.up.next = self.s4.q.val().get_bit(17)
            && (self.s4.q.val().get_bit(18) || self.s4.q.val().get_bits::<17>(0).any());
        self.s5.d.next = ((bit_cast::<22, 6>(self.s4_place.q.val()) << 16)
            | bit_cast::<22, 16>(self.s4.q.val().get_bits::<16>(18)))
            + bit_cast::<22, 1>(self.up.val().into());
        self.s5_zero.d.next = !self.s4.q.val().get_bit(34);
        self.mantissa.next = self.s5.q.val().get_bits::<16>(0);
        self.place.next = self.s5.q.val().get_bits::<6>(16);
        self.zero.next = self.s5_zero.q.val();
    }
}

/// See the module's page.
#[derive(LogicBlock)]
pub struct Activation {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: drops all elements inside.
    pub rst: Signal<In, Bit>,
    /// The function (`abi::command::Activation`).
    pub act: Signal<In, Bits<3>>,
    /// Elements have an up accumulator.
    pub gated: Signal<In, Bit>,
    /// Element valid.
    pub in_vld: Signal<In, Bit>,
    /// Element taken.
    pub in_rdy: Signal<Out, Bit>,
    /// Accumulator of the gate, or of the one matrix of an un-gated expert.
    pub in_a: Signal<In, Bits<36>>,
    /// Accumulator of up.
    pub in_b: Signal<In, Bits<36>>,
    /// The exponent of the LSB of `in_a`, two's complement.
    pub in_lsb_a: Signal<In, Bits<16>>,
    /// The same of `in_b`.
    pub in_lsb_b: Signal<In, Bits<16>>,
    /// The element's index in the hidden vector.
    pub in_row: Signal<In, Bits<16>>,
    /// The position in the expert's queue.
    pub in_q: Signal<In, Bits<8>>,
    /// Hidden value valid.
    pub h_vld: Signal<Out, Bit>,
    /// Hidden value taken.
    pub h_rdy: Signal<In, Bit>,
    /// Its position in the expert's queue.
    pub h_q: Signal<Out, Bits<8>>,
    /// Its index in the hidden vector.
    pub h_row: Signal<Out, Bits<16>>,
    /// The value, a binary32.
    pub h_f32: Signal<Out, Bits<32>>,
    /// Accumulators that Q12.24 could not hold, this cycle.
    pub sat: Signal<Out, Bits<2>>,
    /// Elements are inside.
    pub busy: Signal<Out, Bit>,

    // Who is inside: elements taken and not handed out, never more than the queue holds.
    count: Dff<Bits<6>>,
    enter: Signal<Local, Bit>,
    leave: Signal<Local, Bit>,
    in_at: Dff<Bits<5>>,
    ready: Dff<Bit>,
    leaving: Skid<56>,
    result: Signal<Local, Bits<56>>,
    names: Dram<24, 5>,
    vld: [Dff<Bit>; STAGES],

    // What `act` means.
    has_tables: Constant<Bit>,
    curved: Dff<Bit>,
    square: Dff<Bit>,
    clamped: Dff<Bit>,
    curve: Dff<Bits<2>>,

    // Fixed point, there in cycle 8 from the input's.
    fix_a: Fix,
    fix_b: Fix,
    seven: Signal<Local, Bits<35>>,
    g_beyond: Signal<Local, Bit>,
    u_beyond: Signal<Local, Bit>,

    // The function of the gate: its size from cycle 9 on, the table's word in 10 and 11, the step times the rest in 16.
    g_size: [Dff<Bits<35>>; 9],
    g_negative: [Dff<Bit>; 9],
    _tables: usize,
    table: Vec<Rom<41, 10>>,
    word: Signal<Local, Bits<41>>,
    word_q: Dff<Bits<41>>,
    slope: MulLut<18, 18, 36>,
    base: [Dff<Bits<23>>; 5],
    rise: Signal<Local, Bits<36>>,
    rise_high: Signal<Local, Signed<19>>,
    delta_sum: Signal<Local, Bits<25>>,
    delta: Dff<Bits<23>>,
    minus: Signal<Local, Bits<36>>,
    a_sum: Signal<Local, Bits<36>>,
    a_size: Dff<Bits<35>>,

    // U, in cycle 11; in 17 as a factor, which waits for that of A.
    u9_size: Dff<Bits<35>>,
    u9_negative: Dff<Bit>,
    u10_size: Dff<Bits<35>>,
    u10_negative: Dff<Bit>,
    u11_size: Dff<Bits<35>>,
    u11_negative: Dff<Bit>,
    u_sum: Signal<Local, Bits<35>>,
    sign: [Dff<Bit>; 19],
    factor_u: Factor,
    u: [Dff<Bits<23>>; 7],

    // Both factors in cycle 24, the product in 29.
    factor_a: Factor,
    product: MulLut<18, 17, 35>,
    zero: [Dff<Bit>; 6],
    e25: Dff<Bits<7>>,
    exponent: [Dff<Bits<8>>; 4],
    product_bits: Signal<Local, Bits<35>>,
    n30: Dff<Bits<23>>,
    half30: Dff<Bit>,
    rest30: Dff<Bit>,
    exponent30: Dff<Bits<8>>,
    up: Signal<Local, Bit>,
    number: Signal<Local, Bits<31>>,
    h31: Dff<Bits<32>>,

    // Results.
    out_at: Dff<Bits<6>>,
    results: Dram<32, 5>,
    rd_at: Dff<Bits<6>>,
}

/// The words of a table: `Y[i]`, and above it `Y[i+1] - Y[i]` in 18 bits.
fn table_words(y: &[u32]) -> impl Iterator<Item = u128> + '_ {
    y.windows(2).map(|y| {
        let step = i64::from(y[1]) - i64::from(y[0]);
        assert!(
            y[0] < 1 << 23 && step.abs() < 1 << 17,
            "the table does not fit the ROM"
        );
        u128::from(y[0]) | u128::from(step as u64 & 0x3_FFFF) << 23
    })
}

impl Activation {
    /// With the tables that `config` has.
    pub fn new(config: &Config) -> Self {
        let tables = if config.modes.gelu {
            DELTA_TABLES.len()
        } else {
            1
        };
        Self {
            clk: Default::default(),
            rst: Default::default(),
            act: Default::default(),
            gated: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_a: Default::default(),
            in_b: Default::default(),
            in_lsb_a: Default::default(),
            in_lsb_b: Default::default(),
            in_row: Default::default(),
            in_q: Default::default(),
            h_vld: Default::default(),
            h_rdy: Default::default(),
            h_q: Default::default(),
            h_row: Default::default(),
            h_f32: Default::default(),
            sat: Default::default(),
            busy: Default::default(),
            count: Default::default(),
            enter: Default::default(),
            leave: Default::default(),
            in_at: Default::default(),
            ready: Default::default(),
            leaving: Default::default(),
            result: Default::default(),
            names: Dram::new(QUEUE),
            vld: arr(),
            has_tables: Constant::new(config.modes.gelu),
            curved: Default::default(),
            square: Default::default(),
            clamped: Default::default(),
            curve: Default::default(),
            fix_a: Default::default(),
            fix_b: Default::default(),
            seven: Default::default(),
            g_beyond: Default::default(),
            u_beyond: Default::default(),
            g_size: arr(),
            g_negative: arr(),
            _tables: tables,
            table: DELTA_TABLES[..tables]
                .iter()
                .map(|y| Rom::new(table_words(y)))
                .collect(),
            word: Default::default(),
            word_q: Default::default(),
            slope: MulLut::unsigned(),
            base: arr(),
            rise: Default::default(),
            rise_high: Default::default(),
            delta_sum: Default::default(),
            delta: Default::default(),
            minus: Default::default(),
            a_sum: Default::default(),
            a_size: Default::default(),
            u9_size: Default::default(),
            u9_negative: Default::default(),
            u10_size: Default::default(),
            u10_negative: Default::default(),
            u11_size: Default::default(),
            u11_negative: Default::default(),
            u_sum: Default::default(),
            sign: arr(),
            factor_u: Default::default(),
            u: arr(),
            factor_a: Default::default(),
            product: MulLut::unsigned(),
            zero: arr(),
            e25: Default::default(),
            exponent: arr(),
            product_bits: Default::default(),
            n30: Default::default(),
            half30: Default::default(),
            rest30: Default::default(),
            exponent30: Default::default(),
            up: Default::default(),
            number: Default::default(),
            h31: Default::default(),
            out_at: Default::default(),
            results: Dram::new(QUEUE),
            rd_at: Default::default(),
        }
    }
}

impl Logic for Activation {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("activation");
        clock!(self, clk, names, slope, product, results);
        dff_setup!(
            self, clk, ready, count, in_at, curved, square, clamped, curve, word_q, delta, a_size
        );
        dff_setup!(
            self,
            clk,
            u9_size,
            u9_negative,
            u10_size,
            u10_negative,
            u11_size,
            u11_negative
        );
        dff_setup!(self, clk, e25, n30, half30, rest30, exponent30, h31, out_at, rd_at);
        self.fix_a.clk.next = self.clk.val();
        self.fix_b.clk.next = self.clk.val();
        self.factor_a.clk.next = self.clk.val();
        self.factor_u.clk.next = self.clk.val();
        for i in 0..31 {
            self.vld[i].clock.next = self.clk.val();
        }
        for i in 0..9 {
            self.g_size[i].clock.next = self.clk.val();
            self.g_negative[i].clock.next = self.clk.val();
        }
        for i in 0..5 {
            self.base[i].clock.next = self.clk.val();
        }
        for i in 0..19 {
            self.sign[i].clock.next = self.clk.val();
        }
        for i in 0..7 {
            self.u[i].clock.next = self.clk.val();
        }
        for i in 0..6 {
            self.zero[i].clock.next = self.clk.val();
        }
        for i in 0..4 {
            self.exponent[i].clock.next = self.clk.val();
        }

        // In: as many as the queue holds, counting one that leaves it now.
        self.leave.next = self.ready.q.val() && self.leaving.in_rdy.val();
        self.in_rdy.next = !self.count.q.val().get_bit(5) || self.leave.val();
        self.enter.next = self.in_vld.val() && self.in_rdy.val();
        if self.enter.val() && !self.leave.val() {
            self.count.d.next = self.count.q.val() + 1;
        }
        if !self.enter.val() && self.leave.val() {
            self.count.d.next = self.count.q.val() - 1;
        }
        self.busy.next = self.count.q.val().any() || self.leaving.out_vld.val();
        if self.enter.val() {
            self.in_at.d.next = self.in_at.q.val() + 1;
        }
        self.names.we.next = self.enter.val();
        self.names.waddr.next = self.in_at.q.val();
        self.names.wdata.next =
            bit_cast::<24, 16>(self.in_row.val()) | (bit_cast::<24, 8>(self.in_q.val()) << 16);
        self.vld[0].d.next = self.enter.val();
        for i in 1..31 {
            self.vld[i].d.next = self.vld[i - 1].q.val();
        }

        // The numbers of functions are those of `abi::command::Activation`, those of tables `numeric::activation::Curve`.
        self.curved.d.next = self.act.val() != 3 && self.act.val() != 4;
        self.square.d.next = self.act.val() == 4;
        self.clamped.d.next = self.has_tables.val() && self.act.val() == 5;
        self.curve.d.next = 0.into();
        if self.has_tables.val() {
            self.curve.d.next = self.act.val().get_bits::<2>(0);
            if self.act.val() == 5 {
                self.curve.d.next = 3.into();
            }
        }

        // Fixed point.
        self.fix_a.acc.next = self.in_a.val();
        self.fix_a.lsb.next = self.in_lsb_a.val();
        self.fix_b.acc.next = self.in_b.val();
        self.fix_b.lsb.next = self.in_lsb_b.val();
        self.sat.next = bit_cast::<2, 1>((self.vld[7].q.val() && self.fix_a.over.val()).into())
            + bit_cast::<2, 1>(
                (self.vld[7].q.val() && self.gated.val() && self.fix_b.over.val()).into(),
            );

        // Operands, limited to 7 (bits 24 to 26) in the clamped form.
        self.seven.next = 0x700_0000.into();
        self.g_beyond.next = self.fix_a.size.val().get_bits::<8>(27).any()
            || self.fix_a.size.val().get_bits::<3>(24).all();
        self.g_size[0].d.next = self.fix_a.size.val();
        if self.clamped.q.val() && self.g_beyond.val() && !self.fix_a.negative.val() {
            self.g_size[0].d.next = self.seven.val();
        }
        self.g_negative[0].d.next = self.fix_a.negative.val();
        for i in 1..9 {
            self.g_size[i].d.next = self.g_size[i - 1].q.val();
            self.g_negative[i].d.next = self.g_negative[i - 1].q.val();
        }
        self.u_beyond.next = self.fix_b.size.val().get_bits::<8>(27).any()
            || self.fix_b.size.val().get_bits::<3>(24).all();
        self.u9_size.d.next = self.fix_b.size.val();
        self.u9_negative.d.next = self.fix_b.negative.val();
        if self.clamped.q.val() && self.u_beyond.val() {
            self.u9_size.d.next = self.seven.val();
        }
        if !self.gated.val() {
            self.u9_size.d.next = 0x100_0000.into(); // 1
            self.u9_negative.d.next = false;
        }
        if self.square.q.val() {
            self.u9_size.d.next = self.fix_a.size.val(); // A is 0 where the gate is negative
            self.u9_negative.d.next = self.fix_a.negative.val();
        }

        // What ReLU has more than the function: between two entries of the table, nothing from 16 on.
        for i in 0..self._tables {
            self.table[i].clock.next = self.clk.val();
            self.table[i].re.next = true;
            self.table[i].addr.next = self.g_size[0].q.val().get_bits::<10>(18);
        }
        self.word.next = 0.into();
        for i in 0..self._tables {
            if self.curve.q.val() == i.to_bits() {
                self.word.next = self.table[i].data.val();
            }
        }
        self.word_q.d.next = self.word.val();
        self.slope.en.next = true;
        self.slope.a.next = signed_cast(self.word_q.q.val().get_bits::<18>(23));
        self.slope.b.next = signed_cast(self.g_size[2].q.val().get_bits::<18>(0));
        self.base[0].d.next = self.word_q.q.val().get_bits::<23>(0);
        for i in 1..5 {
            self.base[i].d.next = self.base[i - 1].q.val();
        }
        // One bit below the LSB, with a one in it, rounds.
        self.rise.next = unsigned_cast(self.slope.p.val());
        self.rise_high.next = signed_cast(self.rise.val().get_bits::<19>(17));
        self.delta_sum.next = ((bit_cast::<25, 23>(self.base[4].q.val()) << 1) | 1)
            + unsigned_cast(bit_cast_sx::<25, 19>(self.rise_high.val()));
        self.delta.d.next = self.delta_sum.val().get_bits::<23>(1);
        if !self.curved.q.val() || self.g_size[7].q.val().get_bits::<7>(28).any() {
            self.delta.d.next = 0.into();
        }

        // A = g - delta, or -delta for a negative gate.
        if self.g_negative[7].q.val() {
            self.g_size[8].d.next = 0.into();
        }
        self.minus.next = bit_cast::<36, 23>(self.delta.q.val()) << 1;
        if !self.g_negative[8].q.val() {
            self.minus.next = !(bit_cast::<36, 23>(self.delta.q.val()) << 1);
        }
        self.a_sum.next =
            ((bit_cast::<36, 35>(self.g_size[8].q.val()) << 1) | 1) + self.minus.val();
        self.a_size.d.next = self.a_sum.val().get_bits::<35>(1);
        self.factor_a.size.next = self.a_size.q.val();

        // U: the clamped form adds 1, which may change the sign.
        self.u_sum.next = self.u9_size.q.val() + 0x100_0000;
        if self.u9_negative.q.val() {
            self.u_sum.next = bits::<35>(0x100_0000) - self.u9_size.q.val();
        }
        self.u10_size.d.next = self.u9_size.q.val();
        self.u10_negative.d.next = self.u9_negative.q.val();
        if self.clamped.q.val() {
            self.u10_size.d.next = self.u_sum.val();
            self.u10_negative.d.next = self.u_sum.val().get_bit(34);
        }
        self.u11_size.d.next = self.u10_size.q.val();
        self.u11_negative.d.next = self.u10_negative.q.val();
        if self.clamped.q.val() && self.u10_negative.q.val() {
            self.u11_size.d.next = bits::<35>(0) - self.u10_size.q.val();
        }
        self.sign[0].d.next = self.u11_negative.q.val() ^ self.g_negative[2].q.val();
        for i in 1..19 {
            self.sign[i].d.next = self.sign[i - 1].q.val();
        }
        self.factor_u.size.next = self.u11_size.q.val();
        self.u[0].d.next = bit_cast::<23, 16>(self.factor_u.mantissa.val())
            | (bit_cast::<23, 6>(self.factor_u.place.val()) << 16)
            | (bit_cast::<23, 1>(self.factor_u.zero.val().into()) << 22);
        for i in 1..7 {
            self.u[i].d.next = self.u[i - 1].q.val();
        }

        // The product: its leading one is bit 33 or 32, of which the second has place a + place u - 48 in
        // the value, and so the biased exponent 79 more than the sum of the places.
        self.product.en.next = true;
        self.product.a.next =
            signed_cast(bit_cast::<18, 16>(self.factor_a.mantissa.val()) | 0x1_0000);
        self.product.b.next =
            signed_cast(bit_cast::<17, 16>(self.u[6].q.val().get_bits::<16>(0)) | 0x1_0000);
        self.e25.d.next = bit_cast::<7, 6>(self.factor_a.place.val())
            + bit_cast::<7, 6>(self.u[6].q.val().get_bits::<6>(16));
        self.exponent[0].d.next = bit_cast::<8, 7>(self.e25.q.val()) + 79;
        for i in 1..4 {
            self.exponent[i].d.next = self.exponent[i - 1].q.val();
        }
        self.zero[0].d.next = self.factor_a.zero.val() || self.u[6].q.val().get_bit(22);
        for i in 1..6 {
            self.zero[i].d.next = self.zero[i - 1].q.val();
        }
        self.product_bits.next = unsigned_cast(self.product.p.val());
        if self.product_bits.val().get_bit(33) {
            self.n30.d.next = self.product_bits.val().get_bits::<23>(10);
            self.half30.d.next = self.product_bits.val().get_bit(9);
            self.rest30.d.next = self.product_bits.val().get_bits::<9>(0).any();
            self.exponent30.d.next = self.exponent[3].q.val() + 1;
        } else {
            self.n30.d.next = self.product_bits.val().get_bits::<23>(9);
            self.half30.d.next = self.product_bits.val().get_bit(8);
            self.rest30.d.next = self.product_bits.val().get_bits::<8>(0).any();
            self.exponent30.d.next = self.exponent[3].q.val();
        }
        // A mantissa of only ones carries into the exponent.
        self.up.next = self.half30.q.val() && (self.rest30.q.val() || self.n30.q.val().get_bit(0));
        self.number.next = ((bit_cast::<31, 8>(self.exponent30.q.val()) << 23)
            | bit_cast::<31, 23>(self.n30.q.val()))
            + bit_cast::<31, 1>(self.up.val().into());
        self.h31.d.next = bit_cast::<32, 31>(self.number.val())
            | (bit_cast::<32, 1>(self.sign[18].q.val().into()) << 31);
        if self.zero[5].q.val() {
            self.h31.d.next = 0.into();
        }

        // Out.
        self.results.we.next = self.vld[30].q.val();
        self.results.waddr.next = self.out_at.q.val().get_bits::<5>(0);
        self.results.wdata.next = self.h31.q.val();
        if self.vld[30].q.val() {
            self.out_at.d.next = self.out_at.q.val() + 1;
        }
        self.ready.d.next = self.vld[30].q.val() || self.rd_at.q.val() != self.out_at.q.val();
        if self.leave.val() {
            self.rd_at.d.next = self.rd_at.q.val() + 1;
            self.ready.d.next =
                self.vld[30].q.val() || self.rd_at.q.val() + 1 != self.out_at.q.val();
        }
        self.results.raddr.next = self.rd_at.q.val().get_bits::<5>(0);
        self.names.raddr.next = self.rd_at.q.val().get_bits::<5>(0);
        self.leaving.clk.next = self.clk.val();
        self.leaving.rst.next = self.rst.val();
        self.leaving.in_vld.next = self.ready.q.val();
        self.leaving.in_data.next = bit_cast::<56, 32>(self.results.rdata.val())
            | (bit_cast::<56, 24>(self.names.rdata.val()) << bits::<6>(32));
        self.leaving.out_rdy.next = self.h_rdy.val();
        self.result.next = self.leaving.out_data.val();
        self.h_vld.next = self.leaving.out_vld.val();
        self.h_f32.next = self.result.val().get_bits::<32>(0);
        self.h_row.next = self.result.val().get_bits::<16>(32);
        self.h_q.next = self.result.val().get_bits::<8>(48);

        if self.rst.val() {
            self.count.d.next = 0.into();
            self.in_at.d.next = 0.into();
            self.out_at.d.next = 0.into();
            self.rd_at.d.next = 0.into();
            self.ready.d.next = false;
            for i in 0..31 {
                self.vld[i].d.next = false;
            }
        }
    }
}
