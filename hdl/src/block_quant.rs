//! Block quantiser: binary32 elements to the integers of one block under a shared exponent (`docs/formats.md`, section 1).
//!
//! What: collects a block (up to 32 elements, ended by `in_last`) in one of two banks while it finds the largest exponent B, then reads
//! the bank backwards and quantises. Backwards, because each element is then shifted in below the last one: after the first
//! element of the block has been shifted in, everything is in its place and a short block is already filled with zeros.
//! Cost: a 64 x 32 RAM, two 25-bit shifters with rounding, 3 x 256 flip-flops for the result.
//! Latency: n + 4 cycles from the last element of a block of n to `out_vld`. Bottleneck: one element per cycle, both sides.
//!
//! Hazards: a bank is written only while it is not full and read only while it is, so the RAM never sees one address twice in a
//! cycle. Reading a block takes as long as writing it, so full blocks never wait; only a block shorter than the one before may.
//! The result holds until the next block's first element is through: `out_vld` is a pulse, and its taker must be ready.

use leaf::prelude::*;

/// See the module's page. It has no sizes, so `default()` makes it.
#[derive(LogicBlock)]
pub struct BlockQuant {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: drops all elements and blocks inside.
    pub rst: Signal<In, Bit>,
    /// Element valid.
    pub in_vld: Signal<In, Bit>,
    /// Element taken.
    pub in_rdy: Signal<Out, Bit>,
    /// A binary32.
    pub in_f32: Signal<In, Bits<32>>,
    /// It is the last one of its block.
    pub in_last: Signal<In, Bit>,
    /// A block is complete: the outputs below are those of the block in this cycle.
    pub out_vld: Signal<Out, Bit>,
    /// 32 times q8, element 0 lowest.
    pub out_q8: Signal<Out, Bits<256>>,
    /// 32 times the high limb of q15.
    pub out_hi: Signal<Out, Bits<256>>,
    /// 32 times the low limb of q15.
    pub out_lo: Signal<Out, Bits<256>>,
    /// The block exponent B.
    pub out_b: Signal<Out, Bits<8>>,
    /// The block had an infinity or a NaN.
    pub out_nonfinite: Signal<Out, Bit>,

    // Writing a bank.
    bank: Ram<32, 6>,
    wr_bank: Dff<Bits<1>>,
    wr_pos: Dff<Bits<5>>,
    wr_b: Dff<Bits<8>>,
    wr_nonfinite: Dff<Bit>,
    take: Signal<Local, Bit>,
    is_nonfinite: Signal<Local, Bit>,
    new_b: Signal<Local, Bits<8>>,
    new_nonfinite: Signal<Local, Bit>,
    // What is known of a full bank: last position, B, infinity or NaN.
    full0: Dff<Bit>,
    last0: Dff<Bits<5>>,
    b0: Dff<Bits<8>>,
    nonfinite0: Dff<Bit>,
    full1: Dff<Bit>,
    last1: Dff<Bits<5>>,
    b1: Dff<Bits<8>>,
    nonfinite1: Dff<Bit>,
    // Reading a bank, from its last position down.
    rd_bank: Dff<Bits<1>>,
    rd_inside: Dff<Bit>,
    rd_pos: Dff<Bits<5>>,
    rd_go: Signal<Local, Bit>,
    rd_first: Signal<Local, Bit>,
    rd_addr: Signal<Local, Bits<5>>,
    rd_end: Signal<Local, Bit>,
    rd_b: Signal<Local, Bits<8>>,
    rd_nonfinite: Signal<Local, Bit>,
    // Stage 1: the element, unpacked.
    s1_vld: Dff<Bit>,
    s1_first: Dff<Bit>,
    s1_end: Dff<Bit>,
    s1_b: Dff<Bits<8>>,
    s1_nonfinite: Dff<Bit>,
    exponent: Signal<Local, Bits<8>>,
    counts: Signal<Local, Bit>,
    mantissa: Signal<Local, Signed<25>>,
    below: Signal<Local, Bits<9>>,
    // Stage 2: shifted and rounded.
    s2_vld: Dff<Bit>,
    s2_first: Dff<Bit>,
    s2_end: Dff<Bit>,
    s2_b: Dff<Bits<8>>,
    s2_nonfinite: Dff<Bit>,
    s2_mantissa: Dff<Signed<25>>,
    s2_shift8: Dff<Bits<9>>,
    s2_shift15: Dff<Bits<9>>,
    shr8: ShrRne<25, 9>,
    shr15: ShrRne<25, 9>,
    raw8: Signal<Local, Bits<25>>,
    raw15: Signal<Local, Bits<25>>,
    // Stage 3: limited, split, shifted in.
    s3_vld: Dff<Bit>,
    s3_first: Dff<Bit>,
    s3_end: Dff<Bit>,
    s3_b: Dff<Bits<8>>,
    s3_nonfinite: Dff<Bit>,
    s3_q8: Dff<Bits<9>>,
    s3_q15: Dff<Bits<16>>,
    byte8: Signal<Local, Bits<8>>,
    q15_up: Signal<Local, Bits<16>>,
    // The result.
    done: Dff<Bit>,
    q8: Dff<Bits<256>>,
    hi: Dff<Bits<256>>,
    lo: Dff<Bits<256>>,
    b: Dff<Bits<8>>,
    nonfinite: Dff<Bit>,
    kept8: Signal<Local, Bits<256>>,
    kept_hi: Signal<Local, Bits<256>>,
    kept_lo: Signal<Local, Bits<256>>,
}

impl Default for BlockQuant {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_f32: Default::default(),
            in_last: Default::default(),
            out_vld: Default::default(),
            out_q8: Default::default(),
            out_hi: Default::default(),
            out_lo: Default::default(),
            out_b: Default::default(),
            out_nonfinite: Default::default(),
            bank: Ram::new(64),
            wr_bank: Default::default(),
            wr_pos: Default::default(),
            wr_b: Default::default(),
            wr_nonfinite: Default::default(),
            take: Default::default(),
            is_nonfinite: Default::default(),
            new_b: Default::default(),
            new_nonfinite: Default::default(),
            full0: Default::default(),
            last0: Default::default(),
            b0: Default::default(),
            nonfinite0: Default::default(),
            full1: Default::default(),
            last1: Default::default(),
            b1: Default::default(),
            nonfinite1: Default::default(),
            rd_bank: Default::default(),
            rd_inside: Default::default(),
            rd_pos: Default::default(),
            rd_go: Default::default(),
            rd_first: Default::default(),
            rd_addr: Default::default(),
            rd_end: Default::default(),
            rd_b: Default::default(),
            rd_nonfinite: Default::default(),
            s1_vld: Default::default(),
            s1_first: Default::default(),
            s1_end: Default::default(),
            s1_b: Default::default(),
            s1_nonfinite: Default::default(),
            exponent: Default::default(),
            counts: Default::default(),
            mantissa: Default::default(),
            below: Default::default(),
            s2_vld: Default::default(),
            s2_first: Default::default(),
            s2_end: Default::default(),
            s2_b: Default::default(),
            s2_nonfinite: Default::default(),
            s2_mantissa: Default::default(),
            s2_shift8: Default::default(),
            s2_shift15: Default::default(),
            shr8: Default::default(),
            shr15: Default::default(),
            raw8: Default::default(),
            raw15: Default::default(),
            s3_vld: Default::default(),
            s3_first: Default::default(),
            s3_end: Default::default(),
            s3_b: Default::default(),
            s3_nonfinite: Default::default(),
            s3_q8: Default::default(),
            s3_q15: Default::default(),
            byte8: Default::default(),
            q15_up: Default::default(),
            done: Default::default(),
            q8: Default::default(),
            hi: Default::default(),
            lo: Default::default(),
            b: Default::default(),
            nonfinite: Default::default(),
            kept8: Default::default(),
            kept_hi: Default::default(),
            kept_lo: Default::default(),
        }
    }
}

impl Logic for BlockQuant {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("block_quant");
        clock!(self, clk, bank);
        dff_setup!(
            self,
            clk,
            wr_bank,
            wr_pos,
            wr_b,
            wr_nonfinite,
            rd_bank,
            rd_inside,
            rd_pos
        );
        dff_setup!(self, clk, full0, last0, b0, nonfinite0, full1, last1, b1, nonfinite1);
        dff_setup!(self, clk, s1_vld, s1_first, s1_end, s1_b, s1_nonfinite);
        dff_setup!(self, clk, s2_vld, s2_first, s2_end, s2_b, s2_nonfinite);
        dff_setup!(self, clk, s2_mantissa, s2_shift8, s2_shift15);
        dff_setup!(
            self,
            clk,
            s3_vld,
            s3_first,
            s3_end,
            s3_b,
            s3_nonfinite,
            s3_q8,
            s3_q15
        );
        dff_setup!(self, clk, done, q8, hi, lo, b, nonfinite);

        // Write. Zeros and subnormals have exponent 0 and cannot raise the maximum.
        self.in_rdy.next = !self.full0.q.val();
        if self.wr_bank.q.val() == 1 {
            self.in_rdy.next = !self.full1.q.val();
        }
        self.take.next = self.in_vld.val() && self.in_rdy.val();
        self.is_nonfinite.next = self.in_f32.val().get_bits::<8>(23) == 255;
        self.new_b.next = self.wr_b.q.val();
        if !self.is_nonfinite.val() && (self.in_f32.val().get_bits::<8>(23) > self.wr_b.q.val()) {
            self.new_b.next = self.in_f32.val().get_bits::<8>(23);
        }
        self.new_nonfinite.next = self.wr_nonfinite.q.val() || self.is_nonfinite.val();
        self.bank.we.next = self.take.val();
        self.bank.waddr.next =
            (bit_cast::<6, 1>(self.wr_bank.q.val()) << 5) | bit_cast::<6, 5>(self.wr_pos.q.val());
        self.bank.wdata.next = self.in_f32.val();
        if self.take.val() {
            self.wr_pos.d.next = self.wr_pos.q.val() + 1;
            self.wr_b.d.next = self.new_b.val();
            self.wr_nonfinite.d.next = self.new_nonfinite.val();
            if self.in_last.val() {
                self.wr_pos.d.next = 0.into();
                self.wr_b.d.next = 0.into();
                self.wr_nonfinite.d.next = false;
                self.wr_bank.d.next = self.wr_bank.q.val() + 1;
            }
        }

        // Read: the next element of a block begun, or the last one of a full bank.
        self.rd_go.next = self.full0.q.val();
        self.rd_addr.next = self.last0.q.val();
        self.rd_b.next = self.b0.q.val();
        self.rd_nonfinite.next = self.nonfinite0.q.val();
        if self.rd_bank.q.val() == 1 {
            self.rd_go.next = self.full1.q.val();
            self.rd_addr.next = self.last1.q.val();
            self.rd_b.next = self.b1.q.val();
            self.rd_nonfinite.next = self.nonfinite1.q.val();
        }
        self.rd_first.next = !self.rd_inside.q.val();
        if self.rd_inside.q.val() {
            self.rd_addr.next = self.rd_pos.q.val();
        }
        self.rd_end.next = self.rd_addr.val() == 0;
        self.bank.re.next = self.rd_go.val();
        self.bank.raddr.next =
            (bit_cast::<6, 1>(self.rd_bank.q.val()) << 5) | bit_cast::<6, 5>(self.rd_addr.val());
        if self.rd_go.val() {
            self.rd_inside.d.next = !self.rd_end.val();
            self.rd_pos.d.next = self.rd_addr.val() - 1;
            if self.rd_end.val() {
                self.rd_bank.d.next = self.rd_bank.q.val() + 1;
                if self.rd_bank.q.val() == 0 {
                    self.full0.d.next = false;
                } else {
                    self.full1.d.next = false;
                }
            }
        }
        if self.take.val() && self.in_last.val() {
            if self.wr_bank.q.val() == 0 {
                self.full0.d.next = true;
                self.last0.d.next = self.wr_pos.q.val();
                self.b0.d.next = self.new_b.val();
                self.nonfinite0.d.next = self.new_nonfinite.val();
            } else {
                self.full1.d.next = true;
                self.last1.d.next = self.wr_pos.q.val();
                self.b1.d.next = self.new_b.val();
                self.nonfinite1.d.next = self.new_nonfinite.val();
            }
        }
        self.s1_vld.d.next = self.rd_go.val();
        self.s1_first.d.next = self.rd_first.val();
        self.s1_end.d.next = self.rd_end.val();
        self.s1_b.d.next = self.rd_b.val();
        self.s1_nonfinite.d.next = self.rd_nonfinite.val();

        // Unpack: a signed mantissa, 0 if the element does not count, and how far it is below the largest.
        self.exponent.next = self.bank.rdata.val().get_bits::<8>(23);
        self.counts.next = self.exponent.val().any() && !self.exponent.val().all();
        self.mantissa.next =
            signed_cast(bit_cast::<25, 23>(self.bank.rdata.val().get_bits::<23>(0)) | 0x80_0000);
        self.below.next =
            bit_cast::<9, 8>(self.s1_b.q.val()) - bit_cast::<9, 8>(self.exponent.val());
        self.s2_mantissa.d.next = self.mantissa.val();
        if self.bank.rdata.val().get_bit(31) {
            self.s2_mantissa.d.next = -self.mantissa.val();
        }
        if !self.counts.val() {
            self.s2_mantissa.d.next = 0.into();
        }
        self.s2_shift8.d.next = self.below.val() + 17;
        self.s2_shift15.d.next = self.below.val() + 10;
        self.s2_vld.d.next = self.s1_vld.q.val();
        self.s2_first.d.next = self.s1_first.q.val();
        self.s2_end.d.next = self.s1_end.q.val();
        self.s2_b.d.next = self.s1_b.q.val();
        self.s2_nonfinite.d.next = self.s1_nonfinite.q.val();

        // Round. Ties to even is symmetric, so the sign may come first.
        self.shr8.x.next = self.s2_mantissa.q.val();
        self.shr8.s.next = self.s2_shift8.q.val();
        self.shr15.x.next = self.s2_mantissa.q.val();
        self.shr15.s.next = self.s2_shift15.q.val();
        self.raw8.next = unsigned_cast(self.shr8.y.val());
        self.raw15.next = unsigned_cast(self.shr15.y.val());
        self.s3_q8.d.next = self.raw8.val().get_bits::<9>(0);
        self.s3_q15.d.next = self.raw15.val().get_bits::<16>(0);
        self.s3_vld.d.next = self.s2_vld.q.val();
        self.s3_first.d.next = self.s2_first.q.val();
        self.s3_end.d.next = self.s2_end.q.val();
        self.s3_b.d.next = self.s2_b.q.val();
        self.s3_nonfinite.d.next = self.s2_nonfinite.q.val();

        // Limit q8 to +-127 (only +-128 is beyond), split q15, shift in.
        self.byte8.next = self.s3_q8.q.val().get_bits::<8>(0);
        if self.s3_q8.q.val() == 0x080 {
            self.byte8.next = 0x7F.into();
        }
        if self.s3_q8.q.val() == 0x180 {
            self.byte8.next = 0x81.into();
        }
        self.q15_up.next = self.s3_q15.q.val() + 128;
        self.kept8.next = self.q8.q.val() << 8;
        self.kept_hi.next = self.hi.q.val() << 8;
        self.kept_lo.next = self.lo.q.val() << 8;
        if self.s3_first.q.val() {
            self.kept8.next = 0.into();
            self.kept_hi.next = 0.into();
            self.kept_lo.next = 0.into();
        }
        if self.s3_vld.q.val() {
            self.q8.d.next = self.kept8.val() | bit_cast::<256, 8>(self.byte8.val());
            self.hi.d.next =
                self.kept_hi.val() | bit_cast::<256, 8>(self.q15_up.val().get_bits::<8>(8));
            self.lo.d.next =
                self.kept_lo.val() | bit_cast::<256, 8>(self.s3_q15.q.val().get_bits::<8>(0));
            self.b.d.next = self.s3_b.q.val();
            self.nonfinite.d.next = self.s3_nonfinite.q.val();
        }
        self.done.d.next = self.s3_vld.q.val() && self.s3_end.q.val();

        self.out_vld.next = self.done.q.val();
        self.out_q8.next = self.q8.q.val();
        self.out_hi.next = self.hi.q.val();
        self.out_lo.next = self.lo.q.val();
        self.out_b.next = self.b.q.val();
        self.out_nonfinite.next = self.nonfinite.q.val();

        if self.rst.val() {
            self.wr_bank.d.next = 0.into();
            self.wr_pos.d.next = 0.into();
            self.wr_b.d.next = 0.into();
            self.wr_nonfinite.d.next = false;
            self.full0.d.next = false;
            self.full1.d.next = false;
            self.rd_bank.d.next = 0.into();
            self.rd_inside.d.next = false;
            self.s1_vld.d.next = false;
            self.s2_vld.d.next = false;
            self.s3_vld.d.next = false;
            self.done.d.next = false;
        }
    }
}
