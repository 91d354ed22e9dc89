//! One row of the array: 16 multipliers, the block's scale, the shift to the vector's common exponent and the row's sum.
//!
//! What: `docs/formats.md` section 3 for one row. Each beat brings 16 weights; each of them picks one of the four activations of
//! its group by a 2-bit position (`linear` arranges the block so that dense halves need nothing else). The products of a block are
//! added exactly, multiplied by the scale's mantissa, shifted right by the term's distance with rounding to nearest even, and added
//! to the row's 48 bits.
//! Cost: 16 + 2 multipliers, 536 LUT4, 197 CCU2C, 1.2 k flip-flops (yosys, ECP5). Latency: 11 cycles from the last beat of a group to `out_vld`.
//! Bottleneck: none, one beat per cycle; a block is one beat (2:4) or two (dense).
//! Hazards: none. There is no stall; every stage is moved by flags that travel with the data, and a beat without `vld` changes no sum.
//!
//! Not built: two int4 weights per multiplier (the 8-bit product registers would have to be 25 bits). Reconsider with int4 weights.

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Lane {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: forgets the beats on their way.
    pub rst: Signal<In, Bit>,
    /// A beat of 16 weights.
    pub vld: Signal<In, Bit>,
    /// First beat of its block.
    pub block_first: Signal<In, Bit>,
    /// Last beat of its block.
    pub block_last: Signal<In, Bit>,
    /// The block is the first of the row.
    pub group_first: Signal<In, Bit>,
    /// The block is the last of the row.
    pub group_last: Signal<In, Bit>,
    /// 32 activations: eight groups of four int8.
    pub acts: Signal<In, Bits<256>>,
    /// 16 weights, int8. Weights 2g and 2g+1 belong to group g.
    pub values: Signal<In, Bits<128>>,
    /// Which activation of its group each weight takes: 2 bits per weight; weight 2g takes 0 to 2, weight 2g+1 takes 1 to 3.
    pub positions: Signal<In, Bits<32>>,
    /// The block's scale, binary16; read with the last beat of the block.
    pub scale: Signal<In, Bits<16>>,
    /// Bmax - B of the block; read with the last beat of the block.
    pub distance: Signal<In, Bits<8>>,
    /// A row is complete.
    pub out_vld: Signal<Out, Bit>,
    /// Its sum, signed.
    pub out_acc: Signal<Out, Bits<48>>,

    // Stages 1 and 2: operands and products inside the multipliers.
    group: [Signal<Local, Bits<32>>; 8],
    first_pick: [Signal<Local, Bits<8>>; 8],
    second_pick: [Signal<Local, Bits<8>>; 8],
    mul: [MulS2<8, 8, 16>; 16],
    // Stages 3 to 6: their sum.
    sum3: [Dff<Signed<17>>; 8],
    sum4: [Dff<Signed<18>>; 4],
    sum5: [Dff<Signed<19>>; 2],
    sum6: Dff<Signed<20>>,
    // Stage 7: the block's sum. |S| <= 2^19.
    block_sum: Dff<Signed<21>>,
    block_base: Signal<Local, Signed<21>>,
    // Stage 8: S * m * 2^(3 - D mod 4), 34 bits.
    scaled: MulS<21, 15, 36>,
    product: Signal<Local, Bits<36>>,
    // Stage 9: shifted by a multiple of 16. One fraction bit, and whether anything was lost below it.
    extended: Signal<Local, Bits<88>>,
    coarse: Dff<Bits<40>>,
    lost: Signal<Local, Bit>,
    coarse_lost: Dff<Bit>,
    // Stage 10: shifted by 0, 4, 8 or 12, split into the floor and the decision to round up.
    coarse_extended: Signal<Local, Bits<52>>,
    fine: Signal<Local, Bits<40>>,
    fine_lost: Signal<Local, Bit>,
    floor: Dff<Bits<39>>,
    up: Dff<Bit>,
    // Stage 11: the row's sum. One more bit below it takes the rounding as a carry.
    acc: Dff<Bits<48>>,
    acc_base: Signal<Local, Bits<48>>,
    acc_sum: Signal<Local, Bits<49>>,

    // The scale, decoded at stage 1; D is known at stage 2. Its low two bits go into the mantissa, which has room for them in the
    // multiplier: that is cheaper than two more levels of shifter. The mantissa waits until stage 7, the shift until stage 8.
    magnitude: Signal<Local, Bits<12>>,
    decoded: [Dff<Signed<12>>; 2],
    exponent: Signal<Local, Bits<5>>,
    weight_distance: Dff<Bits<5>>,
    act_distance: Dff<Bits<8>>,
    whole_distance: Signal<Local, Bits<9>>,
    total: Dff<Bits<6>>,
    twos: Signal<Local, Bits<2>>,
    mantissa: [Dff<Bits<15>>; 5],
    shift: [Dff<Bits<4>>; 6],
    sixteens: Signal<Local, Bits<2>>,
    fours: Dff<Bits<2>>,

    // Flags: entry i is stage i + 1.
    step: [Dff<Bit>; 6],
    first: [Dff<Bit>; 6],
    term: [Dff<Bit>; 10],
    row_first: [Dff<Bit>; 10],
    done: [Dff<Bit>; 11],
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            vld: Default::default(),
            block_first: Default::default(),
            block_last: Default::default(),
            group_first: Default::default(),
            group_last: Default::default(),
            acts: Default::default(),
            values: Default::default(),
            positions: Default::default(),
            scale: Default::default(),
            distance: Default::default(),
            out_vld: Default::default(),
            out_acc: Default::default(),
            group: arr(),
            first_pick: arr(),
            second_pick: arr(),
            mul: arr(),
            sum3: arr(),
            sum4: arr(),
            sum5: arr(),
            sum6: Default::default(),
            block_sum: Default::default(),
            block_base: Default::default(),
            scaled: Default::default(),
            product: Default::default(),
            extended: Default::default(),
            coarse: Default::default(),
            lost: Default::default(),
            coarse_lost: Default::default(),
            coarse_extended: Default::default(),
            fine: Default::default(),
            fine_lost: Default::default(),
            floor: Default::default(),
            up: Default::default(),
            acc: Default::default(),
            acc_base: Default::default(),
            acc_sum: Default::default(),
            magnitude: Default::default(),
            decoded: arr(),
            exponent: Default::default(),
            weight_distance: Default::default(),
            act_distance: Default::default(),
            whole_distance: Default::default(),
            total: Default::default(),
            twos: Default::default(),
            mantissa: arr(),
            shift: arr(),
            sixteens: Default::default(),
            fours: Default::default(),
            step: arr(),
            first: arr(),
            term: arr(),
            row_first: arr(),
            done: arr(),
        }
    }
}

impl Logic for Lane {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("lane_v1");
        dff_setup!(
            self,
            clk,
            sum6,
            block_sum,
            coarse,
            coarse_lost,
            floor,
            up,
            acc,
            weight_distance,
            act_distance,
            total,
            fours
        );
        clock!(self, clk, scaled);

        // Stages 1 and 2: each weight meets the activation at its position. Of two ascending positions the first is never 3 and the
        // second never 0, and a choice of three costs half of a choice of four.
        for g in 0..8 {
            self.group[g].next = self.acts.val().get_bits::<32>(32 * g);
            self.first_pick[g].next = self.group[g].val().get_bits::<8>(0);
            if self.positions.val().get_bit(4 * g) {
                self.first_pick[g].next = self.group[g].val().get_bits::<8>(8);
            }
            if self.positions.val().get_bit(4 * g + 1) {
                self.first_pick[g].next = self.group[g].val().get_bits::<8>(16);
            }
            self.second_pick[g].next = self.group[g].val().get_bits::<8>(16);
            if self.positions.val().get_bit(4 * g + 2) {
                self.second_pick[g].next = self.group[g].val().get_bits::<8>(24);
            }
            if !self.positions.val().get_bit(4 * g + 3) {
                self.second_pick[g].next = self.group[g].val().get_bits::<8>(8);
            }
            self.mul[2 * g].a.next = signed_cast(self.first_pick[g].val());
            self.mul[2 * g + 1].a.next = signed_cast(self.second_pick[g].val());
        }
        for j in 0..16 {
            self.mul[j].clock.next = self.clk.val();
            self.mul[j].en.next = true;
            self.mul[j].b.next = signed_cast(self.values.val().get_bits::<8>(8 * j));
        }

        // Stages 3 to 6: the tree.
        for i in 0..8 {
            self.sum3[i].clock.next = self.clk.val();
            self.sum3[i].d.next = signed_bit_cast_sx::<17, 16>(self.mul[2 * i].p.val())
                + signed_bit_cast_sx::<17, 16>(self.mul[2 * i + 1].p.val());
        }
        for i in 0..4 {
            self.sum4[i].clock.next = self.clk.val();
            self.sum4[i].d.next = signed_bit_cast_sx::<18, 17>(self.sum3[2 * i].q.val())
                + signed_bit_cast_sx::<18, 17>(self.sum3[2 * i + 1].q.val());
        }
        for i in 0..2 {
            self.sum5[i].clock.next = self.clk.val();
            self.sum5[i].d.next = signed_bit_cast_sx::<19, 18>(self.sum4[2 * i].q.val())
                + signed_bit_cast_sx::<19, 18>(self.sum4[2 * i + 1].q.val());
        }
        self.sum6.d.next = bit_cast_sx::<20, 19>(self.sum5[0].q.val())
            + bit_cast_sx::<20, 19>(self.sum5[1].q.val());

        // Stage 7: the halves of a dense block.
        self.block_base.next = self.block_sum.q.val();
        if self.first[5].q.val() {
            self.block_base.next = 0.into();
        }
        if self.step[5].q.val() {
            self.block_sum.d.next =
                self.block_base.val() + bit_cast_sx::<21, 20>(self.sum6.q.val());
        }

        // The scale: m = 1024 + c, or c if the exponent field is 0; D_w = max(0, 30 - e), e at least 1.
        self.exponent.next = self.scale.val().get_bits::<5>(10);
        self.magnitude.next = bit_cast::<12, 10>(self.scale.val().get_bits::<10>(0));
        if self.exponent.val() != 0 {
            self.magnitude.next = bit_cast::<12, 10>(self.scale.val().get_bits::<10>(0)) | 1024;
        }
        self.decoded[0].d.next = signed_cast(self.magnitude.val());
        if self.scale.val().get_bit(15) {
            self.decoded[0].d.next = signed_cast(bits::<12>(0) - self.magnitude.val());
        }
        self.decoded[1].d.next = self.decoded[0].q.val();
        self.weight_distance.d.next = bits::<5>(30) - self.exponent.val();
        if self.exponent.val() == 0 {
            self.weight_distance.d.next = 29.into();
        }
        if self.exponent.val() == 31 {
            self.weight_distance.d.next = 0.into();
        }
        self.act_distance.d.next = self.distance.val();
        // Beyond 39 every term rounds to zero, so 63 stands for all larger distances.
        self.whole_distance.next = bit_cast::<9, 5>(self.weight_distance.q.val())
            + bit_cast::<9, 8>(self.act_distance.q.val());
        self.total.d.next = self.whole_distance.val().get_bits::<6>(0);
        if self.whole_distance.val().get_bits::<3>(6) != 0 {
            self.total.d.next = 63.into();
        }
        self.twos.next = !self.total.q.val().get_bits::<2>(0); // 3 - D mod 4
        self.mantissa[0].d.next =
            unsigned_cast(bit_cast_sx::<15, 12>(self.decoded[1].q.val())) << self.twos.val();
        self.shift[0].d.next = self.total.q.val().get_bits::<4>(2);
        for i in 0..4 {
            self.mantissa[i + 1].d.next = self.mantissa[i].q.val();
        }
        for i in 0..5 {
            self.mantissa[i].clock.next = self.clk.val();
            self.shift[i + 1].d.next = self.shift[i].q.val();
        }
        for i in 0..6 {
            self.shift[i].clock.next = self.clk.val();
        }
        for i in 0..2 {
            self.decoded[i].clock.next = self.clk.val();
        }

        // Stage 8.
        self.scaled.en.next = true;
        self.scaled.a.next = self.block_sum.q.val();
        self.scaled.b.next = signed_cast(self.mantissa[4].q.val());
        self.product.next = unsigned_cast(self.scaled.p.val());

        // Stage 9: with the rest of the 8 guard bits and one bit for the rounding below them, shifted right by 0, 16, 32 or 48.
        // From 40 on only the sign is left, and -1 and a half rounds to 0 whatever was lost.
        self.extended.next =
            unsigned_cast(bit_cast_sx::<88, 36>(signed_cast(self.product.val()))) << bits::<3>(6);
        self.sixteens.next = self.shift[5].q.val().get_bits::<2>(2);
        self.coarse.d.next = self
            .extended
            .val()
            .get_bits::<40>(self.sixteens.val().index() * 16);
        self.lost.next = false;
        if self.sixteens.val() >= 1 && self.product.val().get_bits::<10>(0) != 0 {
            self.lost.next = true;
        }
        if self.sixteens.val() >= 2 && self.product.val().get_bits::<16>(10) != 0 {
            self.lost.next = true;
        }
        self.coarse_lost.d.next = self.lost.val();
        self.fours.d.next = self.shift[5].q.val().get_bits::<2>(0);

        // Stage 10.
        self.coarse_extended.next =
            unsigned_cast(bit_cast_sx::<52, 40>(signed_cast(self.coarse.q.val())));
        self.fine.next = self
            .coarse_extended
            .val()
            .get_bits::<40>(self.fours.q.val().index() * 4);
        self.fine_lost.next = false;
        if self.fours.q.val() >= 1 && self.coarse.q.val().get_bits::<4>(0) != 0 {
            self.fine_lost.next = true;
        }
        if self.fours.q.val() >= 2 && self.coarse.q.val().get_bits::<4>(4) != 0 {
            self.fine_lost.next = true;
        }
        if self.fours.q.val() == 3 && self.coarse.q.val().get_bits::<4>(8) != 0 {
            self.fine_lost.next = true;
        }
        self.floor.d.next = self.fine.val().get_bits::<39>(1);
        self.up.d.next = self.fine.val().get_bit(0)
            && (self.fine.val().get_bit(1) || self.coarse_lost.q.val() || self.fine_lost.val());

        // Stage 11.
        self.acc_base.next = self.acc.q.val();
        if self.row_first[9].q.val() {
            self.acc_base.next = 0.into();
        }
        self.acc_sum.next = ((bit_cast::<49, 48>(self.acc_base.val()) << bits::<1>(1)) | 1)
            + ((unsigned_cast(bit_cast_sx::<49, 39>(signed_cast(self.floor.q.val())))
                << bits::<1>(1))
                | bit_cast::<49, 1>(self.up.q.val().into()));
        if self.term[9].q.val() {
            self.acc.d.next = self.acc_sum.val().get_bits::<48>(1);
        }
        self.out_vld.next = self.done[10].q.val();
        self.out_acc.next = self.acc.q.val();

        // The flags.
        self.step[0].d.next = self.vld.val();
        self.first[0].d.next = self.block_first.val();
        self.term[0].d.next = self.vld.val() && self.block_last.val();
        self.row_first[0].d.next = self.group_first.val();
        self.done[0].d.next = self.vld.val() && self.block_last.val() && self.group_last.val();
        for i in 0..5 {
            self.step[i + 1].d.next = self.step[i].q.val();
            self.first[i + 1].d.next = self.first[i].q.val();
        }
        for i in 0..9 {
            self.term[i + 1].d.next = self.term[i].q.val();
            self.row_first[i + 1].d.next = self.row_first[i].q.val();
        }
        for i in 0..10 {
            self.done[i + 1].d.next = self.done[i].q.val();
        }
        for i in 0..6 {
            self.step[i].clock.next = self.clk.val();
            self.first[i].clock.next = self.clk.val();
        }
        for i in 0..10 {
            self.term[i].clock.next = self.clk.val();
            self.row_first[i].clock.next = self.clk.val();
        }
        for i in 0..11 {
            self.done[i].clock.next = self.clk.val();
        }
        if self.rst.val() {
            for i in 0..6 {
                self.step[i].d.next = false;
            }
            for i in 0..10 {
                self.term[i].d.next = false;
            }
            for i in 0..11 {
                self.done[i].d.next = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use numeric::{term, Scale};

    fn clock(lane: &mut Lane) {
        for level in [true, false] {
            lane.clk.next = level.into();
            assert!(simulate(lane, 100));
        }
    }

    /// The same text in rust-hdl's own simulator; `tests/tests/unit_lane.rs` has the many cases, in Verilator.
    #[test]
    fn three_rows_in_the_library_simulator() {
        let mut lane = Box::<Lane>::default();
        lane.connect_all();
        let mut seed = 1u64;
        let mut next = || {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            seed >> 33
        };
        let (mut want, mut got): (Vec<Bits<48>>, Vec<Bits<48>>) = Default::default();
        for blocks in [1, 3, 2] {
            let mut acc = 0;
            for block in 0..blocks {
                let acts: [u8; 32] = std::array::from_fn(|_| next() as u8);
                let weights: [u8; 16] = std::array::from_fn(|_| next() as u8);
                let (mut positions, mut s) = (0u32, 0);
                for j in 0..16 {
                    let p = next() as usize % 3 + j % 2;
                    positions |= (p as u32) << (2 * j);
                    s += i32::from(acts[4 * (j / 2) + p] as i8) * i32::from(weights[j] as i8);
                }
                let (scale, distance) = (next() as u16, next() as u8 % 16);
                acc += term(s, Scale::from_bits(scale), distance.into());
                lane.vld.next = true;
                lane.block_first.next = true;
                lane.block_last.next = true;
                lane.group_first.next = block == 0;
                lane.group_last.next = block + 1 == blocks;
                lane.acts.next = bytes(&acts);
                lane.values.next = bytes(&weights);
                lane.positions.next = u64::from(positions).into();
                lane.scale.next = u64::from(scale).into();
                lane.distance.next = u64::from(distance).into();
                clock(&mut lane);
                if lane.out_vld.val() {
                    got.push(lane.out_acc.val());
                }
            }
            want.push((acc as u64 & 0xFFFF_FFFF_FFFF).into());
        }
        lane.vld.next = false;
        for _ in 0..12 {
            clock(&mut lane);
            if lane.out_vld.val() {
                got.push(lane.out_acc.val());
            }
        }
        assert_eq!(got, want);
    }

    fn bytes<const N: usize>(x: &[u8]) -> Bits<N> {
        (0..N).fold(Bits::default(), |b, i| {
            b.replace_bit(i, x[i / 8] >> (i % 8) & 1 == 1)
        })
    }
}
