//! Quantiser: one element to the integers of its block under a known exponent (`docs/formats.md`, section 1).
//!
//! What: shifts the mantissa to the LSB of q15 in two steps, rounds once, and derives the limbs and q8 from q15. A pipeline
//! without control: an element may come every cycle and nothing ever waits; whoever uses it knows where its elements are.
//! Cost: a shifter of 15 bits, adders of 8, 16, 8 and 9 bits. Latency: `out_lo` 4, `out_hi` 5 and `out_q8` 6 cycles.
//! Bottleneck: none, one element per cycle.
//!
//! Elements come *packed*, without the fraction's last bits, of which only matters whether one is set: from bit 0 up that *sticky*
//! bit, the fraction's upper 14 bits, the exponent (8 bits; 0 for all that counts as zero), the sign.

use leaf::prelude::*;

/// See the module's page. It has no sizes.
#[derive(LogicBlock, Default)]
pub struct Quantiser {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// A packed element.
    pub in_x: Signal<In, Bits<24>>,
    /// The exponent B of its block, not below its own.
    pub in_b: Signal<In, Bits<8>>,
    /// The low limb, 4 cycles later.
    pub out_lo: Signal<Out, Bits<8>>,
    /// The high limb, 5 cycles later.
    pub out_hi: Signal<Out, Bits<8>>,
    /// q8, 6 cycles later.
    pub out_q8: Signal<Out, Bits<8>>,

    exponent: Signal<Local, Bits<8>>,
    below: Signal<Local, Bits<8>>,
    // Unpacked: 14 bits of q15 and one below, as they are for an element with the block's exponent.
    s0_negative: Dff<Bit>,
    s0_zero: Dff<Bit>,
    s0_shift: Dff<Bits<4>>,
    s0_bits: Dff<Bits<15>>,
    s0_sticky: Dff<Bit>,
    // Shifted by 8 and 4, then by 2 and 1.
    by8: Signal<Local, Bits<15>>,
    lost8: Signal<Local, Bit>,
    s1_negative: Dff<Bit>,
    s1_shift: Dff<Bits<2>>,
    s1_bits: Dff<Bits<15>>,
    s1_sticky: Dff<Bit>,
    by2: Signal<Local, Bits<15>>,
    lost2: Signal<Local, Bit>,
    s2_negative: Dff<Bit>,
    s2_bits: Dff<Bits<15>>,
    s2_sticky: Dff<Bit>,
    sign: Signal<Local, Bits<16>>,
    up15: Signal<Local, Bit>,
    // Rounded.
    q15: Dff<Bits<16>>,
    up8: Signal<Local, Bit>,
    hi: Dff<Bits<8>>,
    sum8: Dff<Bits<9>>,
    q8: Dff<Bits<8>>,
}

impl Logic for Quantiser {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("quantiser");
        dff_setup!(
            self,
            clk,
            s0_negative,
            s0_zero,
            s0_shift,
            s0_bits,
            s0_sticky
        );
        dff_setup!(self, clk, s1_negative, s1_shift, s1_bits, s1_sticky);
        dff_setup!(
            self,
            clk,
            s2_negative,
            s2_bits,
            s2_sticky,
            q15,
            hi,
            sum8,
            q8
        );

        // How far the element is below the largest; from 15 on it is 0, and at 15 the shift alone makes it so.
        self.exponent.next = self.in_x.val().get_bits::<8>(15);
        self.below.next = self.in_b.val() - self.exponent.val();
        self.s0_negative.d.next = self.in_x.val().get_bit(23);
        self.s0_zero.d.next = !self.exponent.val().any() || self.below.val().get_bits::<4>(4).any();
        self.s0_shift.d.next = self.below.val().get_bits::<4>(0);
        self.s0_bits.d.next = bit_cast::<15, 14>(self.in_x.val().get_bits::<14>(1)) | 0x4000;
        self.s0_sticky.d.next = self.in_x.val().get_bit(0);

        self.s1_negative.d.next = self.s0_negative.q.val();
        self.s1_shift.d.next = self.s0_shift.q.val().get_bits::<2>(0);
        self.by8.next = self.s0_bits.q.val();
        self.lost8.next = self.s0_sticky.q.val();
        if self.s0_shift.q.val().get_bit(3) {
            self.by8.next = self.s0_bits.q.val() >> 8;
            self.lost8.next = self.s0_sticky.q.val() || self.s0_bits.q.val().get_bits::<8>(0).any();
        }
        self.s1_bits.d.next = self.by8.val();
        self.s1_sticky.d.next = self.lost8.val();
        if self.s0_shift.q.val().get_bit(2) {
            self.s1_bits.d.next = self.by8.val() >> 4;
            self.s1_sticky.d.next = self.lost8.val() || self.by8.val().get_bits::<4>(0).any();
        }
        if self.s0_zero.q.val() {
            self.s1_bits.d.next = 0.into();
            self.s1_sticky.d.next = false;
        }

        self.s2_negative.d.next = self.s1_negative.q.val();
        self.by2.next = self.s1_bits.q.val();
        self.lost2.next = self.s1_sticky.q.val();
        if self.s1_shift.q.val().get_bit(1) {
            self.by2.next = self.s1_bits.q.val() >> 2;
            self.lost2.next = self.s1_sticky.q.val() || self.s1_bits.q.val().get_bits::<2>(0).any();
        }
        self.s2_bits.d.next = self.by2.val();
        self.s2_sticky.d.next = self.lost2.val();
        if self.s1_shift.q.val().get_bit(0) {
            self.s2_bits.d.next = self.by2.val() >> 1;
            self.s2_sticky.d.next = self.lost2.val() || self.by2.val().get_bit(0);
        }

        // Rounding and sign in one addition: -(n + up) = !n + !up.
        self.up15.next = self.s2_bits.q.val().get_bit(0)
            && (self.s2_sticky.q.val() || self.s2_bits.q.val().get_bit(1));
        self.sign.next = 0.into();
        if self.s2_negative.q.val() {
            self.sign.next = 0xFFFF.into();
        }
        self.q15.d.next = (bit_cast::<16, 14>(self.s2_bits.q.val().get_bits::<14>(1))
            ^ self.sign.val())
            + bit_cast::<16, 1>((self.up15.val() ^ self.s2_negative.q.val()).into());
        self.out_lo.next = self.q15.q.val().get_bits::<8>(0);

        self.hi.d.next =
            self.q15.q.val().get_bits::<8>(8) + bit_cast::<8, 1>(self.q15.q.val().get_bits::<1>(7));
        self.out_hi.next = self.hi.q.val();

        // q8 is q15 / 2^7, rounded again; only +-128 is beyond the limits.
        self.up8.next = self.q15.q.val().get_bit(6)
            && (self.q15.q.val().get_bit(7) || self.q15.q.val().get_bits::<6>(0).any());
        self.sum8.d.next =
            self.q15.q.val().get_bits::<9>(7) + bit_cast::<9, 1>(self.up8.val().into());
        self.q8.d.next = self.sum8.q.val().get_bits::<8>(0);
        if self.sum8.q.val() == 0x080 {
            self.q8.d.next = 0x7F.into();
        }
        if self.sum8.q.val() == 0x180 {
            self.q8.d.next = 0x81.into();
        }
        self.out_q8.next = self.q8.q.val();
    }
}
