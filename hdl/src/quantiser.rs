//! Quantiser: the elements of a block, last one first, to its integers under a known exponent (`docs/formats.md`, section 1).
//!
//! What: each element is shifted to the block's LSBs, rounded, and shifted in below the one before. Last one first, so that at
//! the block's end everything is in its place, and a short block is already filled with zeros. Used by `block_quant` and `hstage`,
//! which find the exponent. Cost: two 25-bit shifters with rounding, 3 x 256 flip-flops for the result (a third of it if the limbs
//! are left open). Latency: 3 cycles from a block's element 0 to `out_vld`. Bottleneck: one element per cycle.
//!
//! Hazards: nothing ever waits. The result stands until the next block's first element is through, so `out_vld` is a pulse
//! and its taker must be ready.

use leaf::prelude::*;

/// See the module's page. It has no sizes.
#[derive(LogicBlock, Default)]
pub struct Quantiser {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: drops what is inside.
    pub rst: Signal<In, Bit>,
    /// Element valid.
    pub in_vld: Signal<In, Bit>,
    /// The block's last element, which comes first.
    pub in_first: Signal<In, Bit>,
    /// The block's element 0, which comes last.
    pub in_end: Signal<In, Bit>,
    /// A binary32.
    pub in_f32: Signal<In, Bits<32>>,
    /// The block exponent B.
    pub in_b: Signal<In, Bits<8>>,
    /// Comes back with the block; that of element 0 counts.
    pub in_tag: Signal<In, Bits<16>>,
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
    /// The tag.
    pub out_tag: Signal<Out, Bits<16>>,

    // Unpacked.
    exponent: Signal<Local, Bits<8>>,
    counts: Signal<Local, Bit>,
    mantissa: Signal<Local, Signed<25>>,
    below: Signal<Local, Bits<9>>,
    // Stage 0: unpacked.
    s0_vld: Dff<Bit>,
    s0_first: Dff<Bit>,
    s0_end: Dff<Bit>,
    s0_b: Dff<Bits<8>>,
    s0_tag: Dff<Bits<16>>,
    s0_nonfinite: Dff<Bit>,
    s0_mantissa: Dff<Signed<25>>,
    s0_shift8: Dff<Bits<9>>,
    s0_shift15: Dff<Bits<9>>,
    shr8: ShrRne<25, 9>,
    shr15: ShrRne<25, 9>,
    raw8: Signal<Local, Bits<25>>,
    raw15: Signal<Local, Bits<25>>,
    // Stage 1: shifted and rounded.
    s1_vld: Dff<Bit>,
    s1_first: Dff<Bit>,
    s1_end: Dff<Bit>,
    s1_b: Dff<Bits<8>>,
    s1_tag: Dff<Bits<16>>,
    s1_nonfinite: Dff<Bit>,
    s1_q8: Dff<Bits<9>>,
    s1_q15: Dff<Bits<16>>,
    byte8: Signal<Local, Bits<8>>,
    q15_up: Signal<Local, Bits<16>>,
    kept8: Signal<Local, Bits<256>>,
    kept_hi: Signal<Local, Bits<256>>,
    kept_lo: Signal<Local, Bits<256>>,
    kept_nonfinite: Signal<Local, Bit>,
    // The result.
    done: Dff<Bit>,
    q8: Dff<Bits<256>>,
    hi: Dff<Bits<256>>,
    lo: Dff<Bits<256>>,
    b: Dff<Bits<8>>,
    nonfinite: Dff<Bit>,
    tag: Dff<Bits<16>>,
}

impl Logic for Quantiser {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("quantiser");
        dff_setup!(
            self,
            clk,
            s0_vld,
            s0_first,
            s0_end,
            s0_b,
            s0_tag,
            s0_nonfinite,
            s0_mantissa,
            s0_shift8,
            s0_shift15
        );
        dff_setup!(
            self,
            clk,
            s1_vld,
            s1_first,
            s1_end,
            s1_b,
            s1_tag,
            s1_nonfinite,
            s1_q8,
            s1_q15
        );
        dff_setup!(self, clk, done, q8, hi, lo, b, nonfinite, tag);

        // Unpack: a signed mantissa, 0 if the element does not count, and how far it is below the largest.
        self.exponent.next = self.in_f32.val().get_bits::<8>(23);
        self.counts.next = self.exponent.val().any() && !self.exponent.val().all();
        self.mantissa.next =
            signed_cast(bit_cast::<25, 23>(self.in_f32.val().get_bits::<23>(0)) | 0x80_0000);
        self.below.next = bit_cast::<9, 8>(self.in_b.val()) - bit_cast::<9, 8>(self.exponent.val());
        self.s0_mantissa.d.next = self.mantissa.val();
        if self.in_f32.val().get_bit(31) {
            self.s0_mantissa.d.next = -self.mantissa.val();
        }
        if !self.counts.val() {
            self.s0_mantissa.d.next = 0.into();
        }
        self.s0_shift8.d.next = self.below.val() + 17;
        self.s0_shift15.d.next = self.below.val() + 10;
        self.s0_vld.d.next = self.in_vld.val();
        self.s0_first.d.next = self.in_first.val();
        self.s0_end.d.next = self.in_end.val();
        self.s0_b.d.next = self.in_b.val();
        self.s0_tag.d.next = self.in_tag.val();
        self.s0_nonfinite.d.next = self.exponent.val().all();

        // Round. Ties to even is symmetric, so the sign may come first.
        self.shr8.x.next = self.s0_mantissa.q.val();
        self.shr8.s.next = self.s0_shift8.q.val();
        self.shr15.x.next = self.s0_mantissa.q.val();
        self.shr15.s.next = self.s0_shift15.q.val();
        self.raw8.next = unsigned_cast(self.shr8.y.val());
        self.raw15.next = unsigned_cast(self.shr15.y.val());
        self.s1_q8.d.next = self.raw8.val().get_bits::<9>(0);
        self.s1_q15.d.next = self.raw15.val().get_bits::<16>(0);
        self.s1_vld.d.next = self.s0_vld.q.val();
        self.s1_first.d.next = self.s0_first.q.val();
        self.s1_end.d.next = self.s0_end.q.val();
        self.s1_b.d.next = self.s0_b.q.val();
        self.s1_tag.d.next = self.s0_tag.q.val();
        self.s1_nonfinite.d.next = self.s0_nonfinite.q.val();

        // Limit q8 to +-127 (only +-128 is beyond), split q15, shift in.
        self.byte8.next = self.s1_q8.q.val().get_bits::<8>(0);
        if self.s1_q8.q.val() == 0x080 {
            self.byte8.next = 0x7F.into();
        }
        if self.s1_q8.q.val() == 0x180 {
            self.byte8.next = 0x81.into();
        }
        self.q15_up.next = self.s1_q15.q.val() + 128;
        self.kept8.next = self.q8.q.val() << 8;
        self.kept_hi.next = self.hi.q.val() << 8;
        self.kept_lo.next = self.lo.q.val() << 8;
        self.kept_nonfinite.next = self.nonfinite.q.val();
        if self.s1_first.q.val() {
            self.kept8.next = 0.into();
            self.kept_hi.next = 0.into();
            self.kept_lo.next = 0.into();
            self.kept_nonfinite.next = false;
        }
        if self.s1_vld.q.val() {
            self.q8.d.next = self.kept8.val() | bit_cast::<256, 8>(self.byte8.val());
            self.hi.d.next =
                self.kept_hi.val() | bit_cast::<256, 8>(self.q15_up.val().get_bits::<8>(8));
            self.lo.d.next =
                self.kept_lo.val() | bit_cast::<256, 8>(self.s1_q15.q.val().get_bits::<8>(0));
            self.nonfinite.d.next = self.kept_nonfinite.val() || self.s1_nonfinite.q.val();
            self.b.d.next = self.s1_b.q.val();
            self.tag.d.next = self.s1_tag.q.val();
        }
        self.done.d.next = self.s1_vld.q.val() && self.s1_end.q.val();

        self.out_vld.next = self.done.q.val();
        self.out_q8.next = self.q8.q.val();
        self.out_hi.next = self.hi.q.val();
        self.out_lo.next = self.lo.q.val();
        self.out_b.next = self.b.q.val();
        self.out_nonfinite.next = self.nonfinite.q.val();
        self.out_tag.next = self.tag.q.val();

        if self.rst.val() {
            self.s0_vld.d.next = false;
            self.s1_vld.d.next = false;
            self.done.d.next = false;
        }
    }
}
