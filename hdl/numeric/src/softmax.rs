//! Router weights: a softmax in fixed point (`docs/formats.md`, section 4).

use std::sync::LazyLock;

use crate::round::{rne_shr, rne_shr_i128};

/// Fraction bits of a probability before it is divided by the sum.
pub const P_FRACTION: u32 = 24;
/// A router weight of 1 (Q1.16).
pub const WEIGHT_ONE: u32 = 1 << 16;
/// log2(e) in Q1.16.
pub const LOG2_E: i64 = 94548;
/// Largest distance from the best logit, Q6.20.
pub const T_MAX: u32 = (1 << 26) - 1;

/// `X[i] = round(2^24 * 2^(-i/256))`, i = 0 to 256.
pub static EXP_TABLE: LazyLock<[u32; 257]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        ((1 << P_FRACTION) as f64 * (-(i as f64) / 256.0).exp2()).round() as u32
    })
});

/// Step 1: how far a logit lies below the largest one, Q6.20; `ls` is the exponent of the logits' LSB.
pub const fn distance(largest: i64, logit: i64, ls: i32) -> u32 {
    let diff = largest as i128 - logit as i128;
    let diff = if diff > i64::MAX as i128 {
        i64::MAX as i128
    } else {
        diff
    };
    let exponent = ls + 20;
    let t = if exponent <= 0 {
        rne_shr_i128(diff, exponent.unsigned_abs())
    } else if diff == 0 {
        0
    } else if exponent >= 26 {
        T_MAX as i128
    } else {
        diff << exponent
    };
    if t > T_MAX as i128 {
        T_MAX
    } else {
        t as u32
    }
}

/// Steps 2 and 3: `p = e^-t` as Q1.24, for `t` in Q6.20.
pub fn exp_neg(t: u32) -> u32 {
    let u = rne_shr(i64::from(t) * LOG2_E, 16);
    let n = (u >> 20) as u32;
    let i = (u >> 12 & 255) as usize;
    let r = u & 4095;
    let (a, b) = (i64::from(EXP_TABLE[i]), i64::from(EXP_TABLE[i + 1]));
    let v = a - (((a - b) * r + 2048) >> 12);
    rne_shr(v, n) as u32
}

/// Step 4: `floor(2^52 / sum)`; `sum` is at least 2^24, because the largest logit contributes that much.
pub const fn reciprocal(sum: u64) -> u64 {
    (1 << 52) / sum
}

/// Step 5: a router weight, Q1.16.
pub const fn weight(p: u32, reciprocal: u64) -> u32 {
    let w = rne_shr((p as u64 * reciprocal) as i64, 36);
    if w > WEIGHT_ONE as i64 {
        WEIGHT_ONE
    } else {
        w as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_the_range() {
        assert_eq!((EXP_TABLE[0], EXP_TABLE[256]), (1 << 24, 1 << 23));
        assert_eq!(exp_neg(0), 1 << 24);
        assert_eq!(exp_neg(T_MAX), 0);
        assert_eq!(distance(5, 5, 300), 0);
        assert_eq!(distance(6, 5, 300), T_MAX);
        assert_eq!(distance(6, 5, 6), T_MAX); // 2^26 is just beyond
        assert_eq!(distance(6, 5, 5), 1 << 25);
        assert_eq!(distance(i64::MAX, i64::MIN, -300), 0);
        assert_eq!(weight(1 << 24, reciprocal(1 << 24)), WEIGHT_ONE);
        assert_eq!(weight(1 << 24, reciprocal(2 << 24)), WEIGHT_ONE / 2);
    }
}
