//! Combine: weighted expert outputs into one fixed-point sum per token and row, and its read-out (`docs/formats.md`, section 6).
//!
//! What: z = acc * weight at the command's LSB is added to the sum in RAM; `clr` sets a sum to zero; `read_start` sends
//! all sums as int32, four rows a beat. Cost: four RAMs of `tokens_max * d_max / 4` x 48 (a beat's rows are read at once), one
//! 48 x 18 multiplier, two 66-bit shifters. Latency: 5 cycles to the sum; the first beat 3 cycles after `read_start`.
//! Bottleneck: one row per cycle in, one beat per cycle out.
//!
//! Hazards: a sum is read in one cycle and written in the next, so the same token and row must not come in two consecutive cycles.
//! It comes again only from another expert, at least a whole gate and up section later. Clears belong to the start of a command
//! and accumulators to its experts, so they do not meet at the write port. A read-out waits until no accumulator is inside.

use abi::Config;
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Combine {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: drops what is inside and stops a read-out; the sums stay.
    pub rst: Signal<In, Bit>,
    /// LSB of the output: 2^this, signed.
    pub lsb_y: Signal<In, Bits<16>>,
    /// T.
    pub tokens: Signal<In, Bits<16>>,
    /// Rows of a token.
    pub d: Signal<In, Bits<16>>,
    /// Accumulator valid.
    pub in_vld: Signal<In, Bit>,
    /// Always 1.
    pub in_rdy: Signal<Out, Bit>,
    /// The accumulator, signed.
    pub in_acc: Signal<In, Bits<48>>,
    /// Its LSB is 2^this, signed.
    pub in_lsb: Signal<In, Bits<16>>,
    /// Its row.
    pub in_row: Signal<In, Bits<16>>,
    /// Its token.
    pub in_token: Signal<In, Bits<8>>,
    /// The expert's router weight, Q1.16.
    pub in_weight: Signal<In, Bits<17>>,
    /// Sets one sum to zero.
    pub clr_vld: Signal<In, Bit>,
    /// Its token.
    pub clr_token: Signal<In, Bits<8>>,
    /// Its row.
    pub clr_row: Signal<In, Bits<16>>,
    /// Starts the read-out of T rows.
    pub read_start: Signal<In, Bit>,
    /// Beat valid.
    pub y_vld: Signal<Out, Bit>,
    /// Beat taken.
    pub y_rdy: Signal<In, Bit>,
    /// Four int32; rows are filled with zeros to whole beats.
    pub y_data: Signal<Out, Bits<128>>,
    /// Saturations this cycle: one per accumulator, up to four per beat.
    pub sat: Signal<Out, Bits<3>>,
    /// Accumulators are inside, or a read-out runs.
    pub busy: Signal<Out, Bit>,

    row_shift: Constant<Bits<18>>,
    sums: [Ram<48, 18>; 4],

    // Stages 0 to 3 of an accumulator; stage 0 is behind the input.
    vld: [Dff<Bit>; 4],
    row: [Dff<Bits<16>>; 4],
    token: [Dff<Bits<8>>; 4],
    accumulating: Signal<Local, Bit>,
    product: MulS2<48, 18, 66>,
    s0_place: Dff<Bits<18>>,
    distance: Signal<Local, Bits<18>>,
    s1_right: Dff<Bit>,
    s1_shift: Dff<Bits<7>>,
    right: ShrRne<66, 7>,
    left: Shl<66, 7>,
    s2_z: Dff<Bits<66>>,
    s2_over: Dff<Bit>,
    s2_negative: Dff<Bit>,
    beyond: Signal<Local, Bit>,
    s2_addr: Signal<Local, Bits<18>>,
    s3_z: Dff<Signed<44>>,
    s3_addr: Dff<Bits<18>>,
    sum: Signal<Local, Bits<48>>,
    clr_addr: Signal<Local, Bits<18>>,

    // Read-out.
    running: Dff<Bit>,
    rd_token: Dff<Bits<16>>,
    rd_beat: Dff<Bits<16>>,
    beats: Signal<Local, Bits<16>>,
    go: Signal<Local, Bit>,
    rd_addr: Signal<Local, Bits<18>>,
    r1_vld: Dff<Bit>,
    r1_rows: Dff<Bits<4>>,
    rounded: [Signal<Local, Bits<40>>; 4],
    over: [Signal<Local, Bit>; 4],
    word: [Signal<Local, Bits<32>>; 4],
    r2_vld: Dff<Bit>,
    r2_data: Dff<Bits<128>>,
    z_sat: Signal<Local, Bit>,
}

impl Combine {
    /// Sums for `tokens_max` tokens of `d_max` rows.
    pub fn new(config: &Config) -> Self {
        let depth = config.tokens_max * config.d_max / 4;
        Self {
            clk: Default::default(),
            rst: Default::default(),
            lsb_y: Default::default(),
            tokens: Default::default(),
            d: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_acc: Default::default(),
            in_lsb: Default::default(),
            in_row: Default::default(),
            in_token: Default::default(),
            in_weight: Default::default(),
            clr_vld: Default::default(),
            clr_token: Default::default(),
            clr_row: Default::default(),
            read_start: Default::default(),
            y_vld: Default::default(),
            y_rdy: Default::default(),
            y_data: Default::default(),
            sat: Default::default(),
            busy: Default::default(),
            row_shift: Constant::new(u64::from((config.d_max / 4).trailing_zeros()).to_bits()),
            sums: std::array::from_fn(|_| Ram::new(depth)),
            vld: arr(),
            row: arr(),
            token: arr(),
            accumulating: Default::default(),
            product: Default::default(),
            s0_place: Default::default(),
            distance: Default::default(),
            s1_right: Default::default(),
            s1_shift: Default::default(),
            right: Default::default(),
            left: Default::default(),
            s2_z: Default::default(),
            s2_over: Default::default(),
            s2_negative: Default::default(),
            beyond: Default::default(),
            s2_addr: Default::default(),
            s3_z: Default::default(),
            s3_addr: Default::default(),
            sum: Default::default(),
            clr_addr: Default::default(),
            running: Default::default(),
            rd_token: Default::default(),
            rd_beat: Default::default(),
            beats: Default::default(),
            go: Default::default(),
            rd_addr: Default::default(),
            r1_vld: Default::default(),
            r1_rows: Default::default(),
            rounded: arr(),
            over: arr(),
            word: arr(),
            r2_vld: Default::default(),
            r2_data: Default::default(),
            z_sat: Default::default(),
        }
    }
}

impl Logic for Combine {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("combine");
        clock!(self, clk, product);
        dff_setup!(
            self,
            clk,
            s0_place,
            s1_right,
            s1_shift,
            s2_z,
            s2_over,
            s2_negative,
            s3_z,
            s3_addr
        );
        dff_setup!(self, clk, running, rd_token, rd_beat, r1_vld, r1_rows, r2_vld, r2_data);

        // An accumulator never waits.
        self.in_rdy.next = true;
        for i in 0..4 {
            self.vld[i].clock.next = self.clk.val();
            self.row[i].clock.next = self.clk.val();
            self.token[i].clock.next = self.clk.val();
        }
        self.vld[0].d.next = self.in_vld.val();
        self.row[0].d.next = self.in_row.val();
        self.token[0].d.next = self.in_token.val();
        for i in 1..4 {
            self.vld[i].d.next = self.vld[i - 1].q.val();
            self.row[i].d.next = self.row[i - 1].q.val();
            self.token[i].d.next = self.token[i - 1].q.val();
        }
        self.accumulating.next = self.vld[0].q.val()
            || self.vld[1].q.val()
            || self.vld[2].q.val()
            || self.vld[3].q.val();

        // Stages 0 and 1: the product, and where its LSB has to go (127 is further than any bit can move).
        self.product.en.next = true;
        self.product.a.next = signed_cast(self.in_acc.val());
        self.product.b.next = signed_cast(bit_cast::<18, 17>(self.in_weight.val()));
        self.s0_place.d.next = unsigned_cast(
            bit_cast_sx::<18, 16>(signed_cast(self.in_lsb.val()))
                - bit_cast_sx::<18, 16>(signed_cast(self.lsb_y.val())),
        ) - 8;
        self.distance.next = self.s0_place.q.val();
        if self.s0_place.q.val().get_bit(17) {
            self.distance.next = bits::<18>(0) - self.s0_place.q.val();
        }
        self.s1_right.d.next = self.s0_place.q.val().get_bit(17);
        self.s1_shift.d.next = self.distance.val().get_bits::<7>(0);
        if self.distance.val().get_bits::<11>(7).any() {
            self.s1_shift.d.next = 127.into();
        }

        // Stage 2: shifted.
        self.right.x.next = self.product.p.val();
        self.right.s.next = self.s1_shift.q.val();
        self.left.x.next = self.product.p.val();
        self.left.s.next = self.s1_shift.q.val();
        self.s2_negative.d.next = self.product.p.val().get_bit(65);
        if self.s1_right.q.val() {
            self.s2_z.d.next = unsigned_cast(self.right.y.val());
            self.s2_over.d.next = false;
        } else {
            self.s2_z.d.next = unsigned_cast(self.left.y.val());
            self.s2_over.d.next = self.left.ovf.val();
        }

        // Stage 3: saturated to +-(2^43 - 1); meanwhile the sum is read.
        self.beyond.next = self.s2_over.q.val()
            || (self.s2_z.q.val().get_bits::<23>(43).any()
                && !self.s2_z.q.val().get_bits::<23>(43).all())
            || (self.s2_z.q.val().get_bit(43) && !self.s2_z.q.val().get_bits::<43>(0).any());
        self.z_sat.next = self.vld[2].q.val() && self.beyond.val();
        self.s3_z.d.next = signed_cast(self.s2_z.q.val().get_bits::<44>(0));
        if self.beyond.val() {
            if self.s2_negative.q.val() {
                self.s3_z.d.next = signed_cast(bits::<44>(0x800_0000_0001u64));
            } else {
                self.s3_z.d.next = signed_cast(bits::<44>(0x7FF_FFFF_FFFFu64));
            }
        }
        self.s2_addr.next = (bit_cast::<18, 8>(self.token[2].q.val()) << self.row_shift.val())
            + bit_cast::<18, 14>(self.row[2].q.val().get_bits::<14>(2));
        self.s3_addr.d.next = self.s2_addr.val();

        // Write the new sum, or a zero.
        self.sum.next = self.sums[0].rdata.val();
        for i in 1..4 {
            if self.row[3].q.val().get_bits::<2>(0) == i.to_bits() {
                self.sum.next = self.sums[i].rdata.val();
            }
        }
        self.sum.next = self.sum.val() + unsigned_cast(bit_cast_sx::<48, 44>(self.s3_z.q.val()));
        self.clr_addr.next = (bit_cast::<18, 8>(self.clr_token.val()) << self.row_shift.val())
            + bit_cast::<18, 14>(self.clr_row.val().get_bits::<14>(2));
        for i in 0..4 {
            self.sums[i].clock.next = self.clk.val();
            self.sums[i].we.next =
                self.clr_vld.val() && self.clr_row.val().get_bits::<2>(0) == i.to_bits();
            self.sums[i].waddr.next = self.clr_addr.val();
            self.sums[i].wdata.next = 0.into();
            if self.vld[3].q.val() {
                self.sums[i].we.next = self.row[3].q.val().get_bits::<2>(0) == i.to_bits();
                self.sums[i].waddr.next = self.s3_addr.q.val();
                self.sums[i].wdata.next = self.sum.val();
            }
        }

        // Read-out: an address per cycle while the output moves.
        self.beats.next = (self.d.val() + 3) >> 2;
        self.go.next = !self.r2_vld.q.val() || self.y_rdy.val();
        self.rd_addr.next = (bit_cast::<18, 16>(self.rd_token.q.val()) << self.row_shift.val())
            + bit_cast::<18, 16>(self.rd_beat.q.val());
        for i in 0..4 {
            self.sums[i].re.next = self.go.val();
            self.sums[i].raddr.next = self.rd_addr.val();
            if self.vld[2].q.val() {
                self.sums[i].re.next = self.row[2].q.val().get_bits::<2>(0) == i.to_bits();
                self.sums[i].raddr.next = self.s2_addr.val();
            }
        }
        if self.go.val() {
            self.r1_vld.d.next = self.running.q.val() && !self.accumulating.val();
            self.r1_rows.d.next = 0xF.into();
            if self.rd_beat.q.val() + 1 == self.beats.val() {
                // The rows of a token's last beat: d modulo 4 of them, or all.
                match self.d.val().get_bits::<2>(0).index() {
                    1 => {
                        self.r1_rows.d.next = 0x1.into();
                    }
                    2 => {
                        self.r1_rows.d.next = 0x3.into();
                    }
                    3 => {
                        self.r1_rows.d.next = 0x7.into();
                    }
                    _ => {}
                }
            }
            if self.running.q.val() && !self.accumulating.val() {
                self.rd_beat.d.next = self.rd_beat.q.val() + 1;
                if self.rd_beat.q.val() + 1 == self.beats.val() {
                    self.rd_beat.d.next = 0.into();
                    self.rd_token.d.next = self.rd_token.q.val() + 1;
                    if self.rd_token.q.val() + 1 == self.tokens.val() {
                        self.running.d.next = false;
                    }
                }
            }
        }
        if self.read_start.val() {
            self.running.d.next = true;
            self.rd_token.d.next = 0.into();
            self.rd_beat.d.next = 0.into();
        }

        // Rounded by the 8 guard bits, saturated. |sum| < 2^46, so the rounding cannot overflow.
        for i in 0..4 {
            self.rounded[i].next = self.sums[i].rdata.val().get_bits::<40>(8);
            if self.sums[i].rdata.val().get_bit(7)
                && (self.sums[i].rdata.val().get_bit(8)
                    || self.sums[i].rdata.val().get_bits::<7>(0).any())
            {
                self.rounded[i].next = self.sums[i].rdata.val().get_bits::<40>(8) + 1;
            }
            self.over[i].next = self.r1_rows.q.val().get_bit(i)
                && self.rounded[i].val().get_bits::<9>(31).any()
                && !self.rounded[i].val().get_bits::<9>(31).all();
            self.word[i].next = self.rounded[i].val().get_bits::<32>(0);
            if self.over[i].val() {
                if self.rounded[i].val().get_bit(39) {
                    self.word[i].next = 0x8000_0000u64.into();
                } else {
                    self.word[i].next = 0x7FFF_FFFF.into();
                }
            }
            if !self.r1_rows.q.val().get_bit(i) {
                self.word[i].next = 0.into();
            }
        }
        if self.go.val() {
            self.r2_vld.d.next = self.r1_vld.q.val();
            self.r2_data.d.next = bit_cast::<128, 32>(self.word[0].val())
                | (bit_cast::<128, 32>(self.word[1].val()) << 32)
                | (bit_cast::<128, 32>(self.word[2].val()) << 64)
                | (bit_cast::<128, 32>(self.word[3].val()) << 96);
        }
        self.y_vld.next = self.r2_vld.q.val();
        self.y_data.next = self.r2_data.q.val();

        self.sat.next = bit_cast::<3, 1>(self.z_sat.val().into());
        if self.go.val() && self.r1_vld.q.val() {
            self.sat.next = bit_cast::<3, 1>(self.over[0].val().into())
                + bit_cast::<3, 1>(self.over[1].val().into())
                + bit_cast::<3, 1>(self.over[2].val().into())
                + bit_cast::<3, 1>(self.over[3].val().into());
        }
        self.busy.next = self.accumulating.val()
            || self.running.q.val()
            || self.r1_vld.q.val()
            || self.r2_vld.q.val();

        if self.rst.val() {
            for i in 0..4 {
                self.vld[i].d.next = false;
            }
            self.running.d.next = false;
            self.r1_vld.d.next = false;
            self.r2_vld.d.next = false;
        }
    }
}
