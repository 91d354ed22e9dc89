//! Linear layers: terms, accumulators and what they are worth (`docs/formats.md`, sections 3 and 5).

use crate::round::{rne_shr, scale_pow2, Saturated};
use crate::scale::Scale;

/// Bits of a scale's mantissa that a term drops (six of its ten fraction bits stay as guard bits).
pub const TERM_SHIFT: u32 = 4;
/// Bits of an accumulator.
pub const ACC_BITS: u32 = 36;
/// Fraction bits of logits, gate and up values in fixed point.
pub const FIX_FRACTION: i32 = 24;
/// Largest magnitude of a fixed-point value: 36 bits, Q12.24.
pub const FIX_MAX: i64 = (1 << 35) - 1;

/// One block's term: `RNE(S * m / 2^(D + 4))`, with the block's dot product `s` (|s| < 2^19), the row's scale, and
/// `distance` = Bmax - B of the block.
#[inline]
pub const fn term(s: i32, scale: Scale, distance: u32) -> i64 {
    rne_shr(
        s as i64 * scale.m as i64,
        (30 + distance).saturating_sub(scale.e as u32) + TERM_SHIFT,
    )
}

/// Exponent of the accumulator's LSB for `q8` vectors.
pub const fn lsb(bmax: u8, w_exp: i16) -> i32 {
    bmax as i32 - 129 + w_exp as i32
}

/// Exponent of a router logit's LSB.
pub const fn lsb_router(bmax: u8, w_exp: i16) -> i32 {
    bmax as i32 - 136 + w_exp as i32
}

/// A router logit from its four accumulators, named (weight limb, vector limb).
pub const fn logit(hi_hi: i64, hi_lo: i64, lo_hi: i64, lo_lo: i64) -> i64 {
    (hi_hi << 16) + ((hi_lo + lo_hi) << 8) + lo_lo
}

/// A number of LSB `2^lsb` (a logit, a gate or an up accumulator) as Q12.24, 36 bits, saturated.
#[inline]
pub const fn fix(v: i64, lsb: i32) -> Saturated<i64> {
    scale_pow2(v as i128, lsb + FIX_FRACTION, FIX_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_of_no_overflow_holds_at_its_corner() {
        let worst = Scale { m: 2047, e: 30 };
        let t = term(32 * 128 * 127, worst, 0);
        assert_eq!(t, 66_552_064);
        assert!(t < 1 << 26 && t * 513 < 1 << (ACC_BITS - 1));
        assert_eq!(term(32 * 128 * 127, worst, 27), 0);
        let above = Scale { m: 2047, e: 31 };
        assert_eq!(
            [0, 1, 2].map(|distance| term(32, above, distance)),
            [0, 0, 1].map(|distance| term(32, worst, distance)),
            "one exponent more makes up for one of distance, but not for less than none"
        );
        // Router: |hi| is at most 64 on both sides.
        let hi = term(32 * 64 * 64, worst, 0) * 513;
        assert!(hi < 1 << 34);
        assert!(logit(hi, t * 513, t * 513, t * 513) < 1 << 51);
    }

    #[test]
    fn fix_is_a_change_of_lsb() {
        assert_eq!(fix(3, -24).value, 3);
        assert_eq!(fix(3, -25).value, 2);
        assert_eq!(fix(-1, 0).value, -(1 << 24));
        let f = fix(1, 12);
        assert_eq!((f.value, f.saturated), (FIX_MAX, true));
    }
}
