//! Rounding to nearest, ties to even, and saturation.

/// `RNE(v / 2^s)`.
#[inline]
pub const fn rne_shr(v: i64, s: u32) -> i64 {
    if s == 0 {
        return v;
    }
    if s > 63 {
        return 0; // |v / 2^64| <= 1/2, and the tie is even
    }
    let floor = v >> s;
    let rest = (v as u64) & ((1 << s) - 1);
    let half = 1 << (s - 1);
    let up = rest > half || (rest == half && floor & 1 == 1);
    floor + up as i64
}

/// `RNE(v / 2^s)` in 128 bits.
#[inline]
pub const fn rne_shr_i128(v: i128, s: u32) -> i128 {
    if s == 0 {
        return v;
    }
    if s > 127 {
        return 0;
    }
    let floor = v >> s;
    let rest = (v as u128) & ((1 << s) - 1);
    let half = 1 << (s - 1);
    let up = rest > half || (rest == half && floor & 1 == 1);
    floor + up as i128
}

/// A value, and whether it had to be clamped to its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saturated<T> {
    /// The value within its limits.
    pub value: T,
    /// True if the exact value was outside.
    pub saturated: bool,
}

/// `v * 2^exponent`, rounded RNE if the exponent is negative, clamped to `±limit`. `limit` is below 2^63.
#[inline]
pub const fn scale_pow2(v: i128, exponent: i32, limit: i64) -> Saturated<i64> {
    let limit = limit as i128;
    let scaled = if exponent <= 0 {
        rne_shr_i128(v, exponent.unsigned_abs())
    } else if v == 0 {
        0
    } else {
        // Clamping before the shift keeps it within 128 bits and cannot change the result: beyond the limit stays beyond.
        let kept = clamp(v, limit + 1);
        if exponent > 63 {
            kept.signum() * (limit + 1)
        } else {
            kept << exponent
        }
    };
    let value = clamp(scaled, limit);
    Saturated {
        value: value as i64,
        saturated: value != scaled,
    }
}

const fn clamp(v: i128, limit: i128) -> i128 {
    if v > limit {
        limit
    } else if v < -limit {
        -limit
    } else {
        v
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_even_on_both_sides_of_zero() {
        let halves = [-5, -3, -1, 1, 3, 5].map(|v| rne_shr(v, 1));
        assert_eq!(halves, [-2, -2, 0, 0, 2, 2]);
        assert_eq!(rne_shr(i64::MIN, 64), 0);
        assert_eq!(rne_shr(i64::MIN, 63), -1);
        assert_eq!(rne_shr(i64::MAX, 63), 1);
        assert_eq!(rne_shr(7, 500), 0);
    }

    #[test]
    fn scaling_saturates_once_and_only_beyond_the_limit() {
        let at = |v, e| scale_pow2(v, e, 127);
        let ok = |value| Saturated {
            value,
            saturated: false,
        };
        let clamped = |value| Saturated {
            value,
            saturated: true,
        };
        assert_eq!(at(127, 0), ok(127));
        assert_eq!(at(128, 0), clamped(127));
        assert_eq!(at(-128, 0), clamped(-127));
        assert_eq!(at(-63, 1), ok(-126));
        assert_eq!(at(64, 1), clamped(127));
        assert_eq!(at(-1, 400), clamped(-127));
        assert_eq!(at(0, 400), ok(0));
        assert_eq!(at(i128::MAX, -400), ok(0));
    }
}
