//! Linear layers: terms, accumulators and what they are worth (`docs/formats.md`, sections 3 and 5).

use crate::round::{rne_shr, scale_pow2, Saturated};
use crate::scale::Scale;

/// Guard bits of a term.
pub const GUARD_BITS: u32 = 8;
/// Fraction bits of the fixed-point gate and up values.
pub const FIX_FRACTION: i32 = 24;
/// Largest magnitude of a fixed-point gate or up value: 36 bits, Q12.24.
pub const FIX_MAX: i64 = (1 << 35) - 1;

/// One block's term: `RNE(S * m * 2^8 / 2^D)`, with the block's dot product `s` (|s| <= 2^19), the row's scale, and
/// `distance` = Bmax - B of the block.
#[inline]
pub const fn term(s: i32, scale: Scale, distance: u32) -> i64 {
    rne_shr(
        (s as i64 * scale.m as i64) << GUARD_BITS,
        scale.distance() + distance,
    )
}

/// Exponent of the accumulator's LSB for `q8` vectors.
pub const fn lsb(bmax: u8, w_exp: i16) -> i32 {
    bmax as i32 - 141 + w_exp as i32
}

/// Exponent of a router logit's LSB.
pub const fn lsb_router(bmax: u8, w_exp: i16) -> i32 {
    bmax as i32 - 148 + w_exp as i32
}

/// A router logit from its four accumulators, named (weight limb, vector limb).
pub const fn logit(hi_hi: i64, hi_lo: i64, lo_hi: i64, lo_lo: i64) -> i64 {
    (hi_hi << 16) + ((hi_lo + lo_hi) << 8) + lo_lo
}

/// A gate or up accumulator as Q12.24, 36 bits, saturated.
#[inline]
pub const fn fix(acc: i64, lsb: i32) -> Saturated<i64> {
    scale_pow2(acc as i128, lsb + FIX_FRACTION, FIX_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_of_no_overflow_holds_at_its_corner() {
        let worst = Scale { m: 2047, e: 30 };
        let t = term(32 * 128 * 128, worst, 0);
        assert!(t < 1 << 38 && t * 512 < 1 << 47);
        let biggest = t * 512;
        assert!(logit(1 << 45, 1 << 46, 1 << 46, biggest) < 1 << 62);
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
