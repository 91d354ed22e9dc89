//! From logits to router weights, in fixed point (`docs/formats.md`, section 4).

use std::sync::LazyLock;

use crate::linear::FIX_FRACTION;
use crate::round::{rne_shr, rne_shr_i128};

/// Fraction bits of a score or probability before it is divided by a sum.
pub const P_FRACTION: u32 = 24;
/// A score of 1.
pub const P_ONE: u32 = 1 << P_FRACTION;
/// A router weight of 1 (Q4.16).
pub const WEIGHT_ONE: u32 = 1 << 16;
/// Largest router weight.
pub const WEIGHT_MAX: u32 = (1 << 20) - 1;
/// log2(e) in Q1.16.
pub const LOG2_E: i64 = 94548;
/// Largest distance from the best logit, Q6.20.
pub const T_MAX: u32 = (1 << 26) - 1;
/// Steps of the sigmoid's table, 1/128 each.
pub const SIGMOID_STEPS: usize = 2048;
const SIGMOID_STEP_BITS: u32 = 17;

/// `X[i] = round(2^24 * 2^(-i/256))`, i = 0 to 256.
pub static EXP_TABLE: LazyLock<[u32; 257]> = LazyLock::new(|| {
    std::array::from_fn(|i| (f64::from(P_ONE) * (-(i as f64) / 256.0).exp2()).round() as u32)
});

/// `S[i] = round(2^24 / (1 + e^(-i/128)))`, i = 0 to 2048.
pub static SIGMOID_TABLE: LazyLock<[u32; SIGMOID_STEPS + 1]> = LazyLock::new(|| {
    std::array::from_fn(|i| (f64::from(P_ONE) / (1.0 + (-(i as f64) / 128.0).exp())).round() as u32)
});

/// `e^-t` as Q1.24 of a distance in Q12.24.
pub fn exp(t: u64) -> u32 {
    let t = rne_shr_i128(t as i128, FIX_FRACTION as u32 - 20).min(T_MAX.into()) as i64;
    let u = rne_shr(t * LOG2_E, 16);
    let n = (u >> 20) as u32;
    let i = (u >> 12 & 255) as usize;
    let r = u & 4095;
    let (a, b) = (i64::from(EXP_TABLE[i]), i64::from(EXP_TABLE[i + 1]));
    let v = a - (((a - b) * r + 2048) >> 12);
    rne_shr(v, n) as u32
}

/// The sigmoid of a logit in Q12.24, Q1.24.
pub fn sigmoid(logit: i64) -> u32 {
    let a = logit.unsigned_abs();
    let i = (a >> SIGMOID_STEP_BITS) as usize;
    let g = if i < SIGMOID_STEPS {
        let r = (a & ((1 << SIGMOID_STEP_BITS) - 1)) as i64;
        let (s0, s1) = (i64::from(SIGMOID_TABLE[i]), i64::from(SIGMOID_TABLE[i + 1]));
        (s0 + (((s1 - s0) * r + (1 << (SIGMOID_STEP_BITS - 1))) >> SIGMOID_STEP_BITS)) as u32
    } else {
        SIGMOID_TABLE[SIGMOID_STEPS]
    };
    if logit < 0 {
        P_ONE - g
    } else {
        g
    }
}

/// The places `n` by which a sum is shifted up to 2^24, and `R = floor(2^52 / (sum * 2^n))`; `sum` is not 0.
pub const fn reciprocal(sum: u64) -> (u32, u64) {
    let mut n = 0;
    while sum << n < P_ONE as u64 {
        n += 1;
    }
    (n, (1 << 52) / (sum << n))
}

/// `v / sum` as Q1.16, at most 1; 0 if the sum is 0.
pub const fn normal(v: u32, sum: u64) -> u32 {
    if sum == 0 {
        return 0;
    }
    let (n, r) = reciprocal(sum);
    let w = rne_shr_i128(((v as u128) << n) as i128 * r as i128, 36);
    if w > WEIGHT_ONE as i128 {
        WEIGHT_ONE
    } else {
        w as u32
    }
}

/// A softmax score that a choice bias is added to: `p / sum` as Q1.24, for a sum of at least 2^24 (that of all experts is).
pub const fn share(p: u32, sum: u64) -> u32 {
    rne_shr(p as i64 * reciprocal(sum).1 as i64, 28) as u32
}

/// A router weight (Q1.16) times the layer's factor (Q4.12): Q4.16, at most `2^20 - 1`.
pub const fn route_scale(weight: u32, scale: u16) -> u32 {
    let w = rne_shr(weight as i64 * scale as i64, 12);
    if w > WEIGHT_MAX as i64 {
        WEIGHT_MAX
    } else {
        w as u32
    }
}

/// The weight of the sigmoid `s` itself: Q1.24 to Q1.16.
pub const fn sigmoid_weight(s: u32) -> u32 {
    rne_shr(s as i64, P_FRACTION - 16) as u32
}

/// Whether sparsemixer counts `logit` as near to the largest, `best`: `(best - logit) * 2^16 <= jitter * max(|logit|, best)`.
pub fn is_near(best: i64, logit: i64, jitter: u16) -> bool {
    let reference = i128::from(logit.abs().max(best));
    i128::from(best - logit) << 16 <= i128::from(jitter) * reference
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_the_range() {
        assert_eq!((EXP_TABLE[0], EXP_TABLE[256]), (1 << 24, 1 << 23));
        assert_eq!(exp(0), P_ONE);
        assert_eq!(exp(1 << 36), 0);
        assert_eq!(exp(7), P_ONE); // below half a step of 2^-20
        assert_eq!(sigmoid(0), P_ONE / 2);
        assert_eq!(sigmoid(1 << 35) + sigmoid(-(1 << 35)), P_ONE);
        assert_eq!(normal(P_ONE, P_ONE.into()), WEIGHT_ONE);
        assert_eq!(normal(P_ONE, 2 << 24), WEIGHT_ONE / 2);
        assert_eq!((normal(0, 0), normal(5, 0)), (0, 0));
        assert_eq!(
            (normal(1, 1), normal(1, 2), normal(1, 3)),
            (65536, 32768, 21845)
        );
        assert_eq!(share(P_ONE, 1 << 26), P_ONE / 4);
        assert_eq!(route_scale(WEIGHT_ONE, 4096), WEIGHT_ONE);
        assert_eq!(route_scale(WEIGHT_ONE, u16::MAX), WEIGHT_MAX - 15);
        assert_eq!(route_scale(1, 2048), 0); // a tie, to even
        assert_eq!(sigmoid_weight(P_ONE), WEIGHT_ONE);
    }

    #[test]
    fn near_is_relative_to_the_larger_magnitude() {
        assert!(is_near(5, 5, 0) && is_near(-5, -5, 0));
        assert!(is_near(1 << 16, (1 << 16) - 100, 100) && !is_near(1 << 16, (1 << 16) - 101, 100));
        assert!(is_near(-100, -65536, 65535) && !is_near(1, -(1 << 20), 65535));
    }
}
