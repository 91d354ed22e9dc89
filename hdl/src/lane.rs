//! One row of the array, or a pair of rows: 8 multipliers, the block's scale, the shift to the vector's common exponent and the sum.
//!
//! What: `docs/formats.md` section 3. A beat brings eight weights; each meets the activation at its position. The sum of the eight
//! products is multiplied by the scale's mantissa, the passes of a block are added after that, the block's sum is shifted right by the
//! term's distance with rounding to nearest even and added to the row's 36 bits. [`LaneControl`] carries the flags of every beat once
//! for all lanes. What a lane can do beside int8 is decided when it is built: [`Lane::new`].
//! Cost (ECP5): int8 only 230 LUT4, 98 CCU2C, 344 flip-flops, 9 MULT18X18D; with 4-bit weights, pairs and octets 615, 153, 623 and 9. So a
//! multiply-accumulate takes 53 or 115 LUT sites, of which the choice of its activation takes 16 or 32. Latency: 9 or 12
//! cycles from a row's last beat to `out_vld` ([`latency`]). Alone in a 45F, speed 8: 250 and 191 MHz.
//! Bottleneck: none, one beat per cycle; the longest path is the decoding of a weight, or the row's sum.
//! Hazards: there is no stall; every stage is moved by flags that travel with the data. The last passes of two paired blocks must not
//! be neighbours in time, because both rows of a pair go through one scaler, one after the other.
//!
//! **Exactness.** A pass has a sum of 18 bits. The low two bits of the distance D go into the mantissa, `m * 2^(3 - D mod 4)`, which is still
//! an operand of a DSP block; so the block's sum of products has three fraction bits more (34 bits), and what is left is a shift by
//! multiples of 4. The sign of the scale turns the addition of the passes into a subtraction. From D = 28 on the shift leaves
//! only the sign, and -1 with its rounding is 0; from D = 32 on the mantissa is cleared. What ends (a block, a row) leaves zero
//! in its register, so nothing has to be masked in front of an adder.
//!
//! **4-bit weights.** The multiplier's second operand is `(high << 13) + low`, one weight of each row. A product of 4-bit weights needs 12 bits,
//! the sum of two 13, so both rows stay in one word until two products are added; then the high part takes back the borrow of the low
//! one as a carry, one in each of its four additions. The passes of a paired block are added before the scaler: first the second
//! row's, then the first row's sum goes through it. In such a lane an int8 weight is a pair, too: 16 times its signed high half and its
//! unsigned low half, put together where the passes of a pair would be added.
//!
//! In a lane of int8 only the sums of two products have 16 bits: two products of -128 * -128 side by side would not fit. Activations
//! of -128 occur in `lo` limbs only, and there weights of -128 are excluded by the format.
//!
//! Not built: the adders behind the multipliers that a DSP slice of an ECP5 has (ALU54B: the first level of the tree, the passes of a
//! block). Neither Yosys nor Verilator has a model of it, so nothing could check the text. Reconsider with a board.

use abi::config::Modes;
use leaf::prelude::*;

/// Bits of the bundle from [`LaneControl`] to every [`Lane`].
pub const CTL: usize = 23;

/// A lane that reads 4-bit weights has room for two of them in each multiplier.
const fn wide(modes: &Modes) -> bool {
    modes.int4 || modes.fp4
}

/// Cycles from the last beat of a row to `out_vld`, in every format that `modes` has.
pub const fn latency(modes: &Modes) -> usize {
    if wide(modes) {
        12
    } else {
        9
    }
}

/// The flags of every beat, once for all lanes: `ctl` goes to the lanes as it is, `out_vld` tells when their sums stand.
///
/// A beat is offered with `vld`; the lanes' operands belong to the same cycle. Cost: 15 LUT4 and 63 flip-flops, or 72 and 116 with pairs.
#[derive(LogicBlock)]
pub struct LaneControl {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: forgets the beats on their way, and clears all sums.
    pub rst: Signal<In, Bit>,
    /// A beat enters the lanes.
    pub vld: Signal<In, Bit>,
    /// Last pass of its block. Paired: never in two cycles that follow each other (a paired block has at least two passes;
    /// a row without any block is two beats, only the second of them with this flag).
    pub block_last: Signal<In, Bit>,
    /// The block is the last of the row; read with `block_last`.
    pub row_last: Signal<In, Bit>,
    /// `abi::layout::Format` of the beat. May change from row to row, as `paired`.
    pub format: Signal<In, Bits<2>>,
    /// Two rows per lane.
    pub paired: Signal<In, Bit>,
    /// 30 + Bmax - B of the block; the same on every beat of the block.
    pub base: Signal<In, Bits<9>>,
    /// To the lanes.
    pub ctl: Signal<Out, Bits<CTL>>,
    /// `out_acc` (and, paired, `out2_acc`) of every lane is a complete row. One cycle.
    pub out_vld: Signal<Out, Bit>,

    // Flags of beats; entry i is the beat of i + 1 cycles ago.
    beat_vld: [Dff<Bit>; 6],
    beat_keep: [Dff<Bit>; 6],
    beat_last: Dff<Bit>,
    beat_row_last: Dff<Bit>,
    narrow: [Dff<Bit>; 5],
    second: [Dff<Bit>; 6],
    beat_paired: Dff<Bit>,
    begins: Dff<Bit>,
    is_narrow: Signal<Local, Bit>,
    is_second: Signal<Local, Bit>,
    base_low: Signal<Local, Bits<6>>,
    beat_base: Dff<Bits<6>>,
    // Flags of the scaler's slots: a slot is one pass of one row (of a pair: one block). Entry i is that of i + 1 cycles ago.
    slot: Vec<Dff<Bit>>,
    slot_term: Vec<Dff<Bit>>,
    slot_row_last: Vec<Dff<Bit>>,
    slot_paired: Vec<Dff<Bit>>,
    slot_second: Vec<Dff<Bit>>,
    slot_base: Vec<Dff<Bits<6>>>,
    base_now: Signal<Local, Bits<6>>,
    pass_en: Dff<Bit>,
    pass_clear: Dff<Bit>,
    row_ends: Signal<Local, Bit>,
    row_en: Dff<Bit>,
    row_clear: Dff<Bit>,
    row_paired: Dff<Bit>,
    older_clear: Dff<Bit>,
    out_en: Dff<Bit>,
    out2_en: Dff<Bit>,
    done: Dff<Bit>,
    _slots: usize,
    _bases: usize,
    _base: usize,
    _pass: usize,
    _pass_end: usize,
    _row: usize,
    _single: usize,
    _pairs: usize,
}

/// Registers between the flags of a slot and the distance that is made from its base.
fn base_stages(modes: &Modes) -> usize {
    if wide(modes) {
        5
    } else {
        3
    }
}

fn many<T: Default>(n: usize) -> Vec<T> {
    (0..n).map(|_| T::default()).collect()
}

impl LaneControl {
    /// For lanes of `modes`.
    pub fn new(modes: &Modes) -> Self {
        let bases = base_stages(modes);
        // The flags of the row's adder are made from those of the slot whose block is being shifted.
        let slots = bases + 4;
        let pairs = usize::from(wide(modes));
        Self {
            clk: Default::default(),
            rst: Default::default(),
            vld: Default::default(),
            block_last: Default::default(),
            row_last: Default::default(),
            format: Default::default(),
            paired: Default::default(),
            base: Default::default(),
            ctl: Default::default(),
            out_vld: Default::default(),
            beat_vld: arr(),
            beat_keep: arr(),
            beat_last: Default::default(),
            beat_row_last: Default::default(),
            narrow: arr(),
            second: arr(),
            beat_paired: Default::default(),
            begins: Dff::new(true),
            is_narrow: Default::default(),
            is_second: Default::default(),
            base_low: Default::default(),
            beat_base: Default::default(),
            slot: many(slots),
            slot_term: many(slots),
            slot_row_last: many(slots),
            slot_paired: many(slots),
            slot_second: many(slots),
            slot_base: many(bases),
            base_now: Default::default(),
            pass_en: Default::default(),
            pass_clear: Default::default(),
            row_ends: Default::default(),
            row_en: Default::default(),
            row_clear: Default::default(),
            row_paired: Default::default(),
            older_clear: Default::default(),
            out_en: Default::default(),
            out2_en: Default::default(),
            done: Default::default(),
            _slots: slots,
            _bases: bases,
            _base: bases - 1,
            _pass: bases + 1,
            _pass_end: bases + 2,
            _row: slots - 1,
            _single: 1 - pairs,
            _pairs: pairs,
        }
    }
}

impl Logic for LaneControl {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("lane_control");
        dff_setup!(
            self,
            clk,
            beat_row_last,
            beat_paired,
            beat_base,
            begins,
            pass_en,
            pass_clear,
            row_en,
            row_clear,
            row_paired,
            older_clear,
            out_en,
            out2_en,
            done
        );
        // Beats.
        for i in 0..6 {
            self.beat_vld[i].clock.next = self.clk.val();
            self.beat_keep[i].clock.next = self.clk.val();
            self.second[i].clock.next = self.clk.val();
        }
        for i in 0..5 {
            self.narrow[i].clock.next = self.clk.val();
        }
        for i in 0..5 {
            self.beat_vld[i + 1].d.next = self.beat_vld[i].q.val();
            self.beat_keep[i + 1].d.next = self.beat_keep[i].q.val();
            self.second[i + 1].d.next = self.second[i].q.val();
        }
        for i in 0..4 {
            self.narrow[i + 1].d.next = self.narrow[i].q.val();
        }
        self.is_second.next = self.vld.val() && self.block_last.val() && self.paired.val();
        self.is_narrow.next = self.format.val() != 0;
        self.beat_vld[0].d.next = self.vld.val();
        self.beat_keep[0].d.next = self.paired.val() && !self.begins.q.val();
        self.second[0].d.next = self.is_second.val();
        self.narrow[0].d.next = self.is_narrow.val();
        if self.vld.val() {
            self.begins.d.next = self.block_last.val();
        }
        self.beat_last.clock.next = self.clk.val();
        self.beat_last.d.next = self.block_last.val();
        self.beat_row_last.d.next = self.row_last.val();
        self.beat_paired.d.next = self.paired.val();
        // From 63 on the distance is above 31 whatever the scale.
        self.base_low.next = self.base.val().get_bits::<6>(0);
        if self.base.val().get_bits::<3>(6) != 0 {
            self.base_low.next = 63.into();
        }
        self.beat_base.d.next = self.base_low.val();

        // Slots: without pairs the beat itself; with pairs the second row of this beat, or else the beat before this.
        for i in 0..self._slots {
            self.slot[i].clock.next = self.clk.val();
            self.slot_term[i].clock.next = self.clk.val();
            self.slot_row_last[i].clock.next = self.clk.val();
            self.slot_paired[i].clock.next = self.clk.val();
            self.slot_second[i].clock.next = self.clk.val();
        }
        for i in 0..self._bases {
            self.slot_base[i].clock.next = self.clk.val();
        }
        for i in 1..self._slots {
            self.slot[i].d.next = self.slot[i - 1].q.val();
            self.slot_term[i].d.next = self.slot_term[i - 1].q.val();
            self.slot_row_last[i].d.next = self.slot_row_last[i - 1].q.val();
            self.slot_paired[i].d.next = self.slot_paired[i - 1].q.val();
            self.slot_second[i].d.next = self.slot_second[i - 1].q.val();
        }
        for i in 1..self._bases {
            self.slot_base[i].d.next = self.slot_base[i - 1].q.val();
        }
        for _i in 0..self._single {
            self.slot[0].d.next = self.vld.val();
            self.slot_term[0].d.next = self.block_last.val();
            self.slot_row_last[0].d.next = self.row_last.val();
            self.slot_paired[0].d.next = false;
            self.slot_second[0].d.next = false;
            self.slot_base[0].d.next = self.base_low.val();
        }
        for _i in 0..self._pairs {
            self.slot[0].d.next = self.is_second.val()
                || (self.beat_vld[0].q.val()
                    && (self.beat_last.q.val() || !self.beat_paired.q.val()));
            self.slot_term[0].d.next = self.is_second.val() || self.beat_last.q.val();
            self.slot_row_last[0].d.next = self.beat_row_last.q.val();
            self.slot_paired[0].d.next = self.is_second.val() || self.beat_paired.q.val();
            self.slot_second[0].d.next = self.is_second.val();
            self.slot_base[0].d.next = self.beat_base.q.val();
            if self.is_second.val() {
                self.slot_row_last[0].d.next = self.row_last.val();
                self.slot_base[0].d.next = self.base_low.val();
            }
        }
        self.base_now.next = 0.into();
        for i in self._base..self._bases {
            self.base_now.next = self.slot_base[i].q.val();
        }
        for i in self._pass..self._pass_end {
            self.pass_en.d.next = self.slot[i].q.val();
            self.pass_clear.d.next =
                (self.slot[i].q.val() && self.slot_term[i].q.val()) || self.rst.val();
        }
        for i in self._row..self._slots {
            self.row_en.d.next = self.slot[i].q.val() && self.slot_term[i].q.val();
            self.row_ends.next =
                self.slot[i].q.val() && self.slot_term[i].q.val() && self.slot_row_last[i].q.val();
            self.row_clear.d.next = self.row_ends.val() || self.rst.val();
            self.row_paired.d.next = self.slot_paired[i].q.val();
            self.older_clear.d.next =
                (self.slot[i].q.val() && self.slot_term[i].q.val() && !self.slot_paired[i].q.val())
                    || self.rst.val();
            self.out_en.d.next = self.row_ends.val() && !self.slot_second[i].q.val();
            self.out2_en.d.next = self.row_ends.val() && self.slot_second[i].q.val();
        }
        self.done.d.next = self.out_en.q.val();
        self.out_vld.next = self.done.q.val();

        self.ctl.next = bit_cast::<23, 1>((self.format.val() == 2).into())
            | (bit_cast::<23, 1>(self.is_narrow.val().into()) << bits::<5>(1))
            | (bit_cast::<23, 1>(self.narrow[4].q.val().into()) << bits::<5>(2))
            | (bit_cast::<23, 1>(self.is_second.val().into()) << bits::<5>(3))
            | (bit_cast::<23, 1>(self.beat_vld[4].q.val().into()) << bits::<5>(4))
            | (bit_cast::<23, 1>(self.beat_keep[4].q.val().into()) << bits::<5>(5))
            | (bit_cast::<23, 1>(self.beat_vld[5].q.val().into()) << bits::<5>(6))
            | (bit_cast::<23, 1>(self.beat_keep[5].q.val().into()) << bits::<5>(7))
            | (bit_cast::<23, 1>(self.second[5].q.val().into()) << bits::<5>(8))
            | (bit_cast::<23, 6>(self.base_now.val()) << bits::<5>(9))
            | (bit_cast::<23, 1>(self.pass_en.q.val().into()) << bits::<5>(15))
            | (bit_cast::<23, 1>(self.pass_clear.q.val().into()) << bits::<5>(16))
            | (bit_cast::<23, 1>(self.row_en.q.val().into()) << bits::<5>(17))
            | (bit_cast::<23, 1>(self.row_clear.q.val().into()) << bits::<5>(18))
            | (bit_cast::<23, 1>(self.row_paired.q.val().into()) << bits::<5>(19))
            | (bit_cast::<23, 1>(self.older_clear.q.val().into()) << bits::<5>(20))
            | (bit_cast::<23, 1>(self.out_en.q.val().into()) << bits::<5>(21))
            | (bit_cast::<23, 1>(self.out2_en.q.val().into()) << bits::<5>(22));

        if self.rst.val() {
            self.begins.d.next = true;
            for i in 0..6 {
                self.beat_vld[i].d.next = false;
                self.second[i].d.next = false;
            }
            for i in 0..self._slots {
                self.slot[i].d.next = false;
            }
            self.pass_en.d.next = false;
            self.row_en.d.next = false;
            self.out_en.d.next = false;
            self.out2_en.d.next = false;
            self.done.d.next = false;
        }
    }
}

/// The products of a beat and their sum, for lanes of int8 only. Five cycles to the scaler's operand register, which is not in here.
#[derive(LogicBlock)]
struct Sum {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// The activations.
    pub picks: [Signal<In, Bits<8>>; 8],
    /// The weights.
    pub values: Signal<In, Bits<64>>,
    /// Their sum.
    pub sum: Signal<Out, Bits<18>>,

    mul: [MulDsp<8, 8, 16>; 8],
    first: [Dff<Signed<16>>; 4],
    second: [Dff<Signed<17>>; 2],
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            picks: arr(),
            values: Default::default(),
            sum: Default::default(),
            mul: arr(),
            first: arr(),
            second: arr(),
        }
    }
}

impl Logic for Sum {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("lane_sum");
        for j in 0..8 {
            self.mul[j].clock.next = self.clk.val();
            self.mul[j].a.next = signed_cast(self.picks[j].val());
            self.mul[j].b.next = signed_cast(self.values.val().get_bits::<8>(8 * j));
        }
        for i in 0..4 {
            self.first[i].clock.next = self.clk.val();
            self.first[i].d.next = self.mul[2 * i].p.val() + self.mul[2 * i + 1].p.val();
        }
        for i in 0..2 {
            self.second[i].clock.next = self.clk.val();
            self.second[i].d.next = signed_bit_cast_sx::<17, 16>(self.first[2 * i].q.val())
                + signed_bit_cast_sx::<17, 16>(self.first[2 * i + 1].q.val());
        }
        self.sum.next = unsigned_cast(
            bit_cast_sx::<18, 17>(self.second[0].q.val())
                + bit_cast_sx::<18, 17>(self.second[1].q.val()),
        );
    }
}

/// The products of a beat and their sums, for lanes with pairs: the scaler's operand of every slot. A slot is the second row's block of
/// the beat seven cycles ago, or else what the beat before that has for the first row.
#[derive(LogicBlock)]
struct PairSum {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// From [`LaneControl`].
    pub ctl: Signal<In, Bits<CTL>>,
    /// The activations.
    pub picks: [Signal<In, Bits<8>>; 8],
    /// The weights.
    pub values: Signal<In, Bits<64>>,
    /// The scaler's operand.
    pub sum: Signal<Out, Bits<18>>,

    operand: [Weight; 8],
    mul: [MulDsp<8, 18, 26>; 8],
    // Sums of two: both rows in one word.
    first: [Dff<Signed<26>>; 4],
    word: [Signal<Local, Bits<26>>; 4],
    // First row, or the only one.
    low_second: [Dff<Signed<14>>; 2],
    low_third: [Dff<Signed<15>>; 2],
    low_add: AddMux<18>,
    low_sum: Dff<Bits<18>>,
    // Second row.
    high_add: [AddMux<14>; 2],
    high_second: [Dff<Bits<14>>; 2],
    carry_second: [Dff<Bit>; 2],
    high_add_third: AddMux<15>,
    high_third: Dff<Bits<15>>,
    carry_third: Dff<Bit>,
    high_add_sum: AddMux<17>,
    high_sum: Dff<Bits<17>>,
    high_half: Dff<Bits<14>>,
}

impl Default for PairSum {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            ctl: Default::default(),
            picks: arr(),
            values: Default::default(),
            sum: Default::default(),
            operand: arr(),
            mul: arr(),
            first: arr(),
            word: arr(),
            low_second: arr(),
            low_third: arr(),
            low_add: Default::default(),
            low_sum: Default::default(),
            high_add: arr(),
            high_second: arr(),
            carry_second: arr(),
            high_add_third: Default::default(),
            high_third: Default::default(),
            carry_third: Default::default(),
            high_add_sum: Default::default(),
            high_sum: Default::default(),
            high_half: Default::default(),
        }
    }
}

impl Logic for PairSum {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("lane_pair_sum");
        dff_setup!(
            self,
            clk,
            low_sum,
            high_third,
            carry_third,
            high_sum,
            high_half
        );
        for j in 0..8 {
            self.operand[j].x.next = self.values.val().get_bits::<8>(8 * j);
            self.operand[j].fp.next = self.ctl.val().get_bit(0);
            self.operand[j].narrow.next = self.ctl.val().get_bit(1);
            self.mul[j].clock.next = self.clk.val();
            self.mul[j].a.next = signed_cast(self.picks[j].val());
            self.mul[j].b.next = self.operand[j].y.val();
        }
        for i in 0..4 {
            self.first[i].clock.next = self.clk.val();
            self.first[i].d.next = self.mul[2 * i].p.val() + self.mul[2 * i + 1].p.val();
            self.word[i].next = unsigned_cast(self.first[i].q.val());
        }

        // The low 13 bits: the first row, or the low halves of int8 weights, to which 16 times the sum of the high halves is added
        // instead of the passes before.
        for i in 0..2 {
            self.low_second[i].clock.next = self.clk.val();
            self.low_second[i].d.next =
                signed_bit_cast_sx::<14, 13>(signed_cast(self.word[2 * i].val().get_bits::<13>(0)))
                    + signed_bit_cast_sx::<14, 13>(signed_cast(
                        self.word[2 * i + 1].val().get_bits::<13>(0),
                    ));
            self.low_third[i].clock.next = self.clk.val();
        }
        self.low_third[0].d.next = bit_cast_sx::<15, 14>(self.low_second[0].q.val())
            + bit_cast_sx::<15, 14>(self.low_second[1].q.val());
        self.low_third[1].d.next = self.low_third[0].q.val();
        self.low_add.a.next = unsigned_cast(bit_cast_sx::<18, 15>(self.low_third[1].q.val()));
        self.low_add.b.next = self.low_sum.q.val();
        self.low_add.d.next = bit_cast::<18, 14>(self.high_half.q.val()) << bits::<3>(4);
        self.low_add.s.next = self.ctl.val().get_bit(7);
        self.low_add.cin.next = false;
        if self.ctl.val().get_bit(6) {
            self.low_sum.d.next = self.low_add.y.val();
        }

        // Each word's bit 12, the first row's sign, is what the second row has lost: four carries for four additions.
        for i in 0..2 {
            self.high_add[i].a.next = unsigned_cast(signed_bit_cast_sx::<14, 13>(signed_cast(
                self.word[2 * i].val().get_bits::<13>(13),
            )));
            self.high_add[i].b.next = unsigned_cast(signed_bit_cast_sx::<14, 13>(signed_cast(
                self.word[2 * i + 1].val().get_bits::<13>(13),
            )));
            self.high_add[i].d.next = 0.into();
            self.high_add[i].s.next = true;
            self.high_add[i].cin.next = self.word[2 * i].val().get_bit(12);
            self.high_second[i].clock.next = self.clk.val();
            self.high_second[i].d.next = self.high_add[i].y.val();
            self.carry_second[i].clock.next = self.clk.val();
            self.carry_second[i].d.next = self.word[2 * i + 1].val().get_bit(12);
        }
        self.high_add_third.a.next = unsigned_cast(bit_cast_sx::<15, 14>(signed_cast(
            self.high_second[0].q.val(),
        )));
        self.high_add_third.b.next = unsigned_cast(bit_cast_sx::<15, 14>(signed_cast(
            self.high_second[1].q.val(),
        )));
        self.high_add_third.d.next = 0.into();
        self.high_add_third.s.next = true;
        self.high_add_third.cin.next = self.carry_second[0].q.val();
        self.high_third.d.next = self.high_add_third.y.val();
        self.carry_third.d.next = self.carry_second[1].q.val();
        self.high_add_sum.a.next =
            unsigned_cast(bit_cast_sx::<17, 15>(signed_cast(self.high_third.q.val())));
        self.high_add_sum.b.next = self.high_sum.q.val();
        self.high_add_sum.d.next = 0.into();
        self.high_add_sum.s.next = self.ctl.val().get_bit(5);
        self.high_add_sum.cin.next = self.carry_third.q.val();
        if self.ctl.val().get_bit(4) {
            self.high_sum.d.next = self.high_add_sum.y.val();
        }
        self.high_half.d.next = self.high_add_sum.y.val().get_bits::<14>(0);
        if self.ctl.val().get_bit(2) {
            self.high_half.d.next = 0.into();
        }

        self.sum.next = self.low_sum.q.val();
        if self.ctl.val().get_bit(8) {
            self.sum.next =
                unsigned_cast(bit_cast_sx::<18, 17>(signed_cast(self.high_sum.q.val())));
        }
    }
}

/// See the module's page.
#[derive(LogicBlock)]
pub struct Lane {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// From [`LaneControl`].
    pub ctl: Signal<In, Bits<CTL>>,
    /// The block's 32 activations, int8, input i at bit 8i; the same for all lanes.
    pub acts: Signal<In, Bits<256>>,
    /// Weight of multiplier j in byte j: int8, or in its low half the 4-bit weight (of the first row), in its high half that of the
    /// second row (where there is none, anything). Zero where multiplier j has none (1:8: odd j).
    pub values: Signal<In, Bits<64>>,
    /// What multiplier j takes in nibble j: the number of the input within its eight (j >> 1), 0 to 7. Without octets only the low two
    /// bits are read: the number within the four inputs 4j to 4j+3. (So with octets, but another storage: 4 * (j & 1) + number.)
    pub positions: Signal<In, Bits<32>>,
    /// The block's scale, binary16; the same on every beat of the block.
    pub scale: Signal<In, Bits<16>>,
    /// Paired: that of the second row; read with the last beat of the block.
    pub scale2: Signal<In, Bits<16>>,
    /// The row's sum, signed; valid with `out_vld` of the control.
    pub out_acc: Signal<Out, Bits<36>>,
    /// Paired: the second row's.
    pub out2_acc: Signal<Out, Bits<36>>,

    picked: [Signal<Local, Bits<8>>; 8],
    quad: Vec<Mux4<8, 32>>,
    octet: Vec<Mux8<8, 64>>,
    single: Vec<Sum>,
    pair: Vec<PairSum>,

    // The scale of the slot: as it came, then magnitude and distance, then as an operand.
    held: Vec<Dff<Bits<16>>>,
    raw: Vec<Dff<Bits<16>>>,
    scale_now: Signal<Local, Bits<16>>,
    exponent: Signal<Local, Bits<5>>,
    normal: Signal<Local, Bit>,
    difference: Signal<Local, Bits<7>>,
    magnitude: Dff<Bits<11>>,
    distance: Dff<Bits<5>>,
    mantissa: Signal<Local, Bits<15>>,
    minus: [Dff<Bit>; 3],
    fours: [Dff<Bits<3>>; 3],
    operand: Signal<Local, Bits<18>>,
    scaler: MulDsp<18, 15, 33>,

    // The passes of a block. The sum of the last one goes on, and the next block begins from zero.
    product: Signal<Local, Bits<34>>,
    pass_add: AddSub<34>,
    passes: Dff<Bits<34>>,
    block: Dff<Bits<34>>,

    // Shift by 7 + 16 and 8; one bit below the result stays for the rounding, and whether anything was lost below that.
    by16: Signal<Local, Bits<28>>,
    lost16: Signal<Local, Bit>,
    by8: Signal<Local, Bits<28>>,
    lost8: Signal<Local, Bit>,
    floor: Dff<Bits<28>>,
    lost: Dff<Bit>,
    by4: Dff<Bit>,
    // The last shift, by 4.
    half: Signal<Local, Bit>,
    odd: Signal<Local, Bit>,
    lost4: Signal<Local, Bit>,
    shifted: Signal<Local, Bits<27>>,

    // The row. Of a pair the sum of the other row is older by one.
    row_add: AddMux<36>,
    acc: Dff<Bits<36>>,
    older: Vec<Dff<Bits<36>>>,
    out: Dff<Bits<36>>,
    out2: Vec<Dff<Bits<36>>>,
    _quads: usize,
    _octet_pairs: usize,
    _octets: usize,
    _singles: usize,
    _pairs: usize,
    _raws: usize,
    _raw: usize,
}

impl Lane {
    /// With the formats of `modes`.
    pub fn new(modes: &Modes) -> Self {
        let octets = if modes.octets { 8 } else { 0 };
        let pairs = usize::from(wide(modes));
        let raws = base_stages(modes);
        Self {
            clk: Default::default(),
            ctl: Default::default(),
            acts: Default::default(),
            values: Default::default(),
            positions: Default::default(),
            scale: Default::default(),
            scale2: Default::default(),
            out_acc: Default::default(),
            out2_acc: Default::default(),
            picked: arr(),
            quad: many(8 - octets),
            octet: many(octets),
            single: many(1 - pairs),
            pair: many(pairs),
            held: many(pairs),
            raw: many(raws),
            scale_now: Default::default(),
            exponent: Default::default(),
            normal: Default::default(),
            difference: Default::default(),
            magnitude: Default::default(),
            distance: Default::default(),
            mantissa: Default::default(),
            minus: arr(),
            fours: arr(),
            operand: Default::default(),
            scaler: Default::default(),
            product: Default::default(),
            pass_add: Default::default(),
            passes: Default::default(),
            block: Default::default(),
            by16: Default::default(),
            lost16: Default::default(),
            by8: Default::default(),
            lost8: Default::default(),
            floor: Default::default(),
            lost: Default::default(),
            by4: Default::default(),
            half: Default::default(),
            odd: Default::default(),
            lost4: Default::default(),
            shifted: Default::default(),
            row_add: Default::default(),
            acc: Default::default(),
            older: many(pairs),
            out: Default::default(),
            out2: many(pairs),
            _quads: 8 - octets,
            _octet_pairs: octets / 2,
            _octets: octets,
            _singles: 1 - pairs,
            _pairs: pairs,
            _raws: raws,
            _raw: raws - 1,
        }
    }
}

impl Logic for Lane {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("lane");
        dff_setup!(self, clk, magnitude, distance, passes, block, floor, lost, by4, acc, out);
        clock!(self, clk, scaler);

        // Each weight meets the activation at its position.
        for j in 0..self._quads {
            self.quad[j].x.next = self.acts.val().get_bits::<32>(32 * j);
            self.quad[j].s.next = self.positions.val().get_bits::<2>(4 * j);
            self.picked[j].next = self.quad[j].y.val();
        }
        for i in 0..self._octet_pairs {
            self.octet[2 * i].x.next = self.acts.val().get_bits::<64>(64 * i);
            self.octet[2 * i + 1].x.next = self.acts.val().get_bits::<64>(64 * i);
        }
        for j in 0..self._octets {
            self.octet[j].s.next = self.positions.val().get_bits::<3>(4 * j);
            self.picked[j].next = self.octet[j].y.val();
        }
        for i in 0..self._singles {
            self.single[i].clk.next = self.clk.val();
            self.single[i].values.next = self.values.val();
            for j in 0..8 {
                self.single[i].picks[j].next = self.picked[j].val();
            }
            self.operand.next = self.single[i].sum.val();
            self.raw[i].d.next = self.scale.val();
        }
        for i in 0..self._pairs {
            self.pair[i].clk.next = self.clk.val();
            self.pair[i].ctl.next = self.ctl.val();
            self.pair[i].values.next = self.values.val();
            for j in 0..8 {
                self.pair[i].picks[j].next = self.picked[j].val();
            }
            self.operand.next = self.pair[i].sum.val();
            self.held[i].clock.next = self.clk.val();
            self.held[i].d.next = self.scale.val();
            self.raw[i].d.next = self.held[i].q.val();
            if self.ctl.val().get_bit(3) {
                self.raw[i].d.next = self.scale2.val();
            }
        }

        // The scale: m = 1024 + c, or c if the exponent field is 0; D = base - e, e at least 1.
        for i in 0..self._raws {
            self.raw[i].clock.next = self.clk.val();
        }
        for i in 1..self._raws {
            self.raw[i].d.next = self.raw[i - 1].q.val();
        }
        for i in self._raw..self._raws {
            self.scale_now.next = self.raw[i].q.val();
        }
        self.exponent.next = self.scale_now.val().get_bits::<5>(10);
        self.normal.next = self.exponent.val() != 0;
        self.difference.next = bit_cast::<7, 6>(self.ctl.val().get_bits::<6>(9))
            - bit_cast::<7, 5>(self.exponent.val() | bit_cast::<5, 1>((!self.normal.val()).into()));
        self.distance.d.next = self.difference.val().get_bits::<5>(0);
        self.magnitude.d.next = bit_cast::<11, 10>(self.scale_now.val().get_bits::<10>(0))
            | (bit_cast::<11, 1>(self.normal.val().into()) << bits::<4>(10));
        if self.difference.val().get_bit(6) {
            self.distance.d.next = 0.into();
        }
        if self.difference.val().get_bits::<2>(5) == 1 {
            self.magnitude.d.next = 0.into();
        }
        self.mantissa.next =
            bit_cast::<15, 11>(self.magnitude.q.val()) << (!self.distance.q.val().get_bits::<2>(0)); // 3 - D mod 4
        for i in 0..3 {
            self.minus[i].clock.next = self.clk.val();
            self.fours[i].clock.next = self.clk.val();
        }
        self.minus[0].d.next = self.scale_now.val().get_bit(15);
        self.fours[0].d.next = self.distance.q.val().get_bits::<3>(2);
        for i in 0..2 {
            self.minus[i + 1].d.next = self.minus[i].q.val();
            self.fours[i + 1].d.next = self.fours[i].q.val();
        }
        self.scaler.a.next = signed_cast(self.operand.val());
        self.scaler.b.next = signed_cast(self.mantissa.val());

        // The passes of a block.
        self.product.next = unsigned_cast(bit_cast_sx::<34, 33>(self.scaler.p.val()));
        self.pass_add.a.next = self.passes.q.val();
        self.pass_add.b.next = self.product.val();
        self.pass_add.sub.next = self.minus[2].q.val();
        self.block.d.next = self.pass_add.y.val();
        if self.ctl.val().get_bit(15) {
            self.passes.d.next = self.pass_add.y.val();
        }
        if self.ctl.val().get_bit(16) {
            self.passes.d.next = 0.into();
        }

        // By 6, by 16 and by 8.
        self.by16.next = self.block.q.val().get_bits::<28>(6);
        self.lost16.next = self.block.q.val().get_bits::<6>(0) != 0;
        if self.fours[2].q.val().get_bit(2) {
            self.by16.next = unsigned_cast(bit_cast_sx::<28, 12>(signed_cast(
                self.block.q.val().get_bits::<12>(22),
            )));
            self.lost16.next = self.block.q.val().get_bits::<22>(0) != 0;
        }
        self.by8.next = self.by16.val();
        self.lost8.next = self.lost16.val();
        if self.fours[2].q.val().get_bit(1) {
            self.by8.next = unsigned_cast(bit_cast_sx::<28, 20>(signed_cast(
                self.by16.val().get_bits::<20>(8),
            )));
            self.lost8.next = self.lost16.val() || self.by16.val().get_bits::<8>(0) != 0;
        }
        self.floor.d.next = self.by8.val();
        self.lost.d.next = self.lost8.val();
        self.by4.d.next = self.fours[2].q.val().get_bit(0);

        // By 4, and into the row's sum; one of the two choices costs nothing in the adder. A row that ends leaves zero behind.
        self.shifted.next = self.floor.q.val().get_bits::<27>(1);
        self.half.next = self.floor.q.val().get_bit(0);
        self.odd.next = self.floor.q.val().get_bit(1);
        self.lost4.next = self.lost.q.val();
        if self.by4.q.val() {
            self.shifted.next = unsigned_cast(bit_cast_sx::<27, 23>(signed_cast(
                self.floor.q.val().get_bits::<23>(5),
            )));
            self.half.next = self.floor.q.val().get_bit(4);
            self.odd.next = self.floor.q.val().get_bit(5);
            self.lost4.next = self.lost.q.val() || self.floor.q.val().get_bits::<4>(0) != 0;
        }
        self.row_add.cin.next = self.half.val() && (self.odd.val() || self.lost4.val());
        self.row_add.a.next = self.acc.q.val();
        self.row_add.b.next = unsigned_cast(bit_cast_sx::<36, 23>(signed_cast(
            self.floor.q.val().get_bits::<23>(5),
        )));
        self.row_add.d.next = unsigned_cast(bit_cast_sx::<36, 27>(signed_cast(
            self.floor.q.val().get_bits::<27>(1),
        )));
        self.row_add.s.next = self.by4.q.val();
        for i in 0..self._pairs {
            self.row_add.a.next =
                unsigned_cast(bit_cast_sx::<36, 27>(signed_cast(self.shifted.val())));
            self.row_add.b.next = self.older[i].q.val();
            self.row_add.d.next = self.acc.q.val();
            self.row_add.s.next = self.ctl.val().get_bit(19);
        }
        if self.ctl.val().get_bit(17) {
            self.acc.d.next = self.row_add.y.val();
        }
        if self.ctl.val().get_bit(18) {
            self.acc.d.next = 0.into();
        }
        if self.ctl.val().get_bit(21) {
            self.out.d.next = self.row_add.y.val();
        }
        self.out_acc.next = self.out.q.val();
        self.out2_acc.next = 0.into();
        for i in 0..self._pairs {
            self.older[i].clock.next = self.clk.val();
            self.older[i].d.next = self.older[i].q.val();
            if self.ctl.val().get_bit(17) {
                self.older[i].d.next = self.acc.q.val();
            }
            if self.ctl.val().get_bit(20) {
                self.older[i].d.next = 0.into();
            }
            self.out2[i].clock.next = self.clk.val();
            self.out2[i].d.next = self.out2[i].q.val();
            if self.ctl.val().get_bit(22) {
                self.out2[i].d.next = self.row_add.y.val();
            }
            self.out2_acc.next = self.out2[i].q.val();
        }
    }
}

/// One lane with a control of its own: what the bench drives, and what is measured.
#[derive(LogicBlock)]
pub struct LaneAlone {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// See [`LaneControl`].
    pub rst: Signal<In, Bit>,
    /// See [`LaneControl`].
    pub vld: Signal<In, Bit>,
    /// See [`LaneControl`].
    pub block_last: Signal<In, Bit>,
    /// See [`LaneControl`].
    pub row_last: Signal<In, Bit>,
    /// See [`LaneControl`].
    pub format: Signal<In, Bits<2>>,
    /// See [`LaneControl`].
    pub paired: Signal<In, Bit>,
    /// See [`LaneControl`].
    pub base: Signal<In, Bits<9>>,
    /// See [`Lane`].
    pub acts: Signal<In, Bits<256>>,
    /// See [`Lane`].
    pub values: Signal<In, Bits<64>>,
    /// See [`Lane`].
    pub positions: Signal<In, Bits<32>>,
    /// See [`Lane`].
    pub scale: Signal<In, Bits<16>>,
    /// See [`Lane`].
    pub scale2: Signal<In, Bits<16>>,
    /// See [`LaneControl`].
    pub out_vld: Signal<Out, Bit>,
    /// See [`Lane`].
    pub out_acc: Signal<Out, Bits<36>>,
    /// See [`Lane`].
    pub out2_acc: Signal<Out, Bits<36>>,
    control: LaneControl,
    lane: Lane,
}

impl LaneAlone {
    /// With the formats of `modes`.
    pub fn new(modes: &Modes) -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            vld: Default::default(),
            block_last: Default::default(),
            row_last: Default::default(),
            format: Default::default(),
            paired: Default::default(),
            base: Default::default(),
            acts: Default::default(),
            values: Default::default(),
            positions: Default::default(),
            scale: Default::default(),
            scale2: Default::default(),
            out_vld: Default::default(),
            out_acc: Default::default(),
            out2_acc: Default::default(),
            control: LaneControl::new(modes),
            lane: Lane::new(modes),
        }
    }
}

impl Logic for LaneAlone {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("lane_alone");
        self.control.clk.next = self.clk.val();
        self.control.rst.next = self.rst.val();
        self.control.vld.next = self.vld.val();
        self.control.block_last.next = self.block_last.val();
        self.control.row_last.next = self.row_last.val();
        self.control.format.next = self.format.val();
        self.control.paired.next = self.paired.val();
        self.control.base.next = self.base.val();
        self.lane.clk.next = self.clk.val();
        self.lane.ctl.next = self.control.ctl.val();
        self.lane.acts.next = self.acts.val();
        self.lane.values.next = self.values.val();
        self.lane.positions.next = self.positions.val();
        self.lane.scale.next = self.scale.val();
        self.lane.scale2.next = self.scale2.val();
        self.out_vld.next = self.control.out_vld.val();
        self.out_acc.next = self.lane.out_acc.val();
        self.out2_acc.next = self.lane.out2_acc.val();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::config::{ALL_MODES, INT8_MODES};
    use numeric::value::int4;
    use numeric::{rne_shr, Scale};

    fn clock(lane: &mut LaneAlone) {
        // New inputs have to come through before the edge.
        for level in [false, true, false] {
            lane.clk.next = level.into();
            assert!(simulate(lane, 100));
        }
    }

    fn bytes<const N: usize>(x: &[u8]) -> Bits<N> {
        (0..N).fold(Bits::default(), |b, i| {
            b.replace_bit(i, x[i / 8] >> (i % 8) & 1 == 1)
        })
    }

    /// Rows of 2:4 in rust-hdl's own simulator, int8 and pairs of int4; `tests/units/tests/unit_lane.rs` has the many cases, in Verilator.
    fn three_rows(modes: &Modes, paired: bool) {
        let mut lane = Box::new(LaneAlone::new(modes));
        lane.connect_all();
        let mut seed = 1u64;
        let mut next = || {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            seed >> 33
        };
        let (mut want, mut got): (Vec<Bits<36>>, Vec<Bits<36>>) = Default::default();
        lane.format.next = u64::from(paired).into();
        lane.paired.next = paired;
        let take = |lane: &mut LaneAlone, got: &mut Vec<Bits<36>>| {
            clock(lane);
            if lane.out_vld.val() {
                got.push(lane.out_acc.val());
                if paired {
                    got.push(lane.out2_acc.val());
                }
            }
        };
        for blocks in [1, 3, 2] {
            let mut acc = [0i64; 2];
            for block in 0..blocks {
                let acts: [u8; 32] = std::array::from_fn(|_| (next() as u8).max(1));
                let scales = [next() as u16, next() as u16];
                let distance = next() % 16;
                lane.acts.next = bytes(&acts);
                lane.scale.next = u64::from(scales[0]).into();
                lane.scale2.next = u64::from(scales[1]).into();
                lane.base.next = (30 + distance).into();
                let mut s = [0i64; 2];
                for pass in 0..2 {
                    let weights: [u8; 8] = std::array::from_fn(|_| next() as u8);
                    let mut positions = 0u64;
                    for j in 0..8 {
                        let at = 4 * (j % 2) + 2 * pass + next() as usize % 2;
                        positions |= (at as u64) << (4 * j);
                        let x = i64::from(acts[8 * (j / 2) + at] as i8);
                        if paired {
                            s[0] += x * i64::from(int4(weights[j] & 15));
                            s[1] += x * i64::from(int4(weights[j] >> 4));
                        } else {
                            s[0] += x * i64::from(weights[j] as i8);
                        }
                    }
                    lane.vld.next = true;
                    lane.block_last.next = pass == 1;
                    lane.row_last.next = block + 1 == blocks;
                    lane.values.next = bytes(&weights);
                    lane.positions.next = positions.into();
                    take(&mut lane, &mut got);
                }
                for row in 0..2 {
                    let Scale { m, e } = Scale::from_bits(scales[row]);
                    let distance = (30 + distance as u32).saturating_sub(e.into());
                    acc[row] += rne_shr(s[row] * i64::from(m), distance + 4);
                }
            }
            want.extend(
                acc.iter()
                    .take(1 + usize::from(paired))
                    .map(|&a| Bits::<36>::from(a as u64 & 0xF_FFFF_FFFF)),
            );
        }
        lane.vld.next = false;
        for _ in 0..latency(modes) {
            take(&mut lane, &mut got);
        }
        assert_eq!(got, want);
    }

    #[test]
    fn three_rows_in_the_library_simulator() {
        std::thread::Builder::new()
            .stack_size(64 << 20)
            .spawn(|| {
                three_rows(&INT8_MODES, false);
                three_rows(&ALL_MODES, false);
                three_rows(&ALL_MODES, true);
            })
            .unwrap()
            .join()
            .unwrap();
    }
}
