//! The weighted sum over a token's experts (`docs/formats.md`, section 6).

use crate::round::{rne_shr, scale_pow2, Saturated};

/// Largest magnitude of one expert's contribution.
pub const Z_MAX: i64 = (1 << 43) - 1;
/// Guard bits of a contribution, below y's LSB.
pub const GUARD_BITS: u32 = 8;

/// One expert's contribution: accumulator (LSB `2^lsb`) times router weight (Q4.16), LSB `2^(lsb_y - 8)`, saturated.
pub const fn z(acc: i64, weight: u32, lsb: i32, lsb_y: i32) -> Saturated<i64> {
    let exponent = lsb - 16 - (lsb_y - GUARD_BITS as i32);
    scale_pow2(acc as i128 * weight as i128, exponent, Z_MAX)
}

/// The output from the sum of the contributions: rounded to LSB `2^lsb_y`, saturated to 32 bits.
pub const fn y(sum: i64) -> Saturated<i32> {
    let v = rne_shr(sum, GUARD_BITS);
    let value = if v > i32::MAX as i64 {
        i32::MAX
    } else if v < i32::MIN as i64 {
        i32::MIN
    } else {
        v as i32
    };
    Saturated {
        value,
        saturated: value as i64 != v,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_weight_changes_only_the_lsb() {
        assert_eq!(z(5, 65536, -18, -18).value, 5 << 8);
        assert_eq!(y(5 << 8).value, 5);
        assert_eq!(z(-5, 32768, -18, -18).value, -5 << 7);
        assert_eq!(y(-5 << 7).value, -2);
        let far = z(1, 1, 200, -200);
        assert_eq!((far.value, far.saturated), (Z_MAX, true));
        assert_eq!(z(0, 1, 200, -200).value, 0);
    }

    #[test]
    fn y_saturates_at_the_ends_of_int32() {
        let top = i64::from(i32::MAX) << 8;
        assert_eq!((y(top).value, y(top).saturated), (i32::MAX, false));
        assert!(y(top + 128).saturated);
        let bottom = i64::from(i32::MIN) << 8;
        assert_eq!((y(bottom).value, y(bottom).saturated), (i32::MIN, false));
        assert!(!y(bottom - 128).saturated); // a tie, to even
        assert!(y(bottom - 129).saturated);
    }
}
