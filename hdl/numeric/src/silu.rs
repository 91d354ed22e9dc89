//! SiLU as ReLU minus a table of the difference (`docs/formats.md`, section 5).

use std::sync::LazyLock;

use crate::linear::FIX_FRACTION;

/// Entries of the table but one: steps of 1/32 up to 16.
pub const STEPS: usize = 512;
const STEP_BITS: u32 = 19;

/// `Y[i] = round(2^24 * (i/32) / (1 + e^(i/32)))`, i = 0 to 512.
pub static DELTA_TABLE: LazyLock<[u32; STEPS + 1]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let a = i as f64 / 32.0;
        (f64::from(1 << FIX_FRACTION) * a / (1.0 + a.exp())).round() as u32
    })
});

/// `delta(a) = a / (1 + e^a)` of a magnitude in Q12.24, by linear interpolation; 0 from 16 on.
pub fn delta(a: u64) -> i64 {
    let i = (a >> STEP_BITS) as usize;
    if i >= STEPS {
        return 0;
    }
    let r = (a & ((1 << STEP_BITS) - 1)) as i64;
    let (y0, y1) = (i64::from(DELTA_TABLE[i]), i64::from(DELTA_TABLE[i + 1]));
    y0 + (((y1 - y0) * r + (1 << (STEP_BITS - 1))) >> STEP_BITS)
}

/// `silu(g) = max(g, 0) - delta(|g|)`, Q12.24 in and out.
pub fn silu(g: i64) -> i64 {
    g.max(0) - delta(g.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::FIX_MAX;

    #[test]
    fn far_from_zero_it_is_relu() {
        assert_eq!(silu(0), 0);
        assert_eq!(silu(FIX_MAX), FIX_MAX);
        assert_eq!(silu(-FIX_MAX), 0);
        assert_eq!(silu(16 << 24), 16 << 24);
    }

    #[test]
    fn table_points_are_met_exactly() {
        for i in 0..STEPS {
            assert_eq!(silu(-((i as i64) << STEP_BITS)), -i64::from(DELTA_TABLE[i]));
        }
    }
}
