//! Activations: ReLU minus a table of the difference, and the operands of the hidden product (`docs/formats.md`, section 5).

use std::sync::LazyLock;

use crate::linear::FIX_FRACTION;

/// Entries of a table but one: steps of 1/64 up to 16.
pub const STEPS: usize = 1024;
const STEP_BITS: u32 = 18;
/// 1 in Q12.24.
pub const ONE: i64 = 1 << FIX_FRACTION;
/// The limit of the clamped form.
pub const CLAMP: i64 = 7 * ONE;

/// The functions that have a table. The numbers are places in [`DELTA_TABLES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// x * sigmoid(x).
    Silu = 0,
    /// Exact GELU.
    Gelu = 1,
    /// GELU, tanh approximation.
    GeluTanh = 2,
    /// x * sigmoid(1.702 x).
    Quick = 3,
}

impl Curve {
    /// All, in the order of their numbers.
    pub const ALL: [Curve; 4] = [Curve::Silu, Curve::Gelu, Curve::GeluTanh, Curve::Quick];

    /// What ReLU has more than the function, at a distance `a` from zero on either side: the table's `F`.
    fn difference(self, a: f64) -> f64 {
        match self {
            Curve::Silu => a / (1.0 + a.exp()),
            Curve::Gelu => a / 2.0 * erfc(a * std::f64::consts::FRAC_1_SQRT_2),
            Curve::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (a + 0.044_715 * a * a * a);
                // 1 - tanh(v) without its cancellation
                a / (1.0 + (2.0 * inner).exp())
            }
            Curve::Quick => a / (1.0 + (1.702 * a).exp()),
        }
    }
}

/// The complementary error function of `x >= 0`, absolute error below 1e-14: one minus the series of positive terms.
fn erfc(x: f64) -> f64 {
    if x > 6.0 {
        return 0.0; // below 2.2e-17
    }
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term > 1e-18 * sum {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    1.0 - std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// `Y[i] = round(2^24 * F(i/64))`, i = 0 to 1024, for each [`Curve`].
pub static DELTA_TABLES: LazyLock<[[u32; STEPS + 1]; 4]> = LazyLock::new(|| {
    Curve::ALL.map(|curve| {
        std::array::from_fn(|i| (ONE as f64 * curve.difference(i as f64 / 64.0)).round() as u32)
    })
});

/// The difference from ReLU at a magnitude in Q12.24, by linear interpolation; 0 from 16 on.
pub fn delta(curve: Curve, a: u64) -> i64 {
    let i = (a >> STEP_BITS) as usize;
    if i >= STEPS {
        return 0;
    }
    let r = (a & ((1 << STEP_BITS) - 1)) as i64;
    let table = &DELTA_TABLES[curve as usize];
    let (y0, y1) = (i64::from(table[i]), i64::from(table[i + 1]));
    y0 + (((y1 - y0) * r + (1 << (STEP_BITS - 1))) >> STEP_BITS)
}

/// A function of the table: `max(v, 0) - delta(|v|)`, Q12.24 in and out.
pub fn curve(curve: Curve, v: i64) -> i64 {
    v.max(0) - delta(curve, v.unsigned_abs())
}

/// The two factors of an element of the hidden vector, Q12.24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// `A`: the function of the gate.
    pub a: i64,
    /// `U`.
    pub u: i64,
}

/// `A` and `U` from gate and up in Q12.24; of an un-gated expert `up` is `None`. ReLU squared ignores `up` and the clamped
/// form of an un-gated expert takes it as 0: the engine refuses both.
pub fn activate(function: abi::command::Activation, gate: i64, up: Option<i64>) -> Product {
    use abi::command::Activation as F;
    let plain = up.unwrap_or(ONE);
    let relu = gate.max(0);
    let of = |c| Product {
        a: curve(c, gate),
        u: plain,
    };
    match function {
        F::Silu => of(Curve::Silu),
        F::Gelu => of(Curve::Gelu),
        F::GeluTanh => of(Curve::GeluTanh),
        F::Relu => Product { a: relu, u: plain },
        F::Relu2 => Product { a: relu, u: relu },
        F::Clamped => Product {
            a: curve(Curve::Quick, gate.min(CLAMP)),
            u: up.unwrap_or(0).clamp(-CLAMP, CLAMP) + ONE,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::FIX_MAX;
    use abi::command::Activation;

    #[test]
    fn far_from_zero_it_is_relu() {
        for c in Curve::ALL {
            assert_eq!(curve(c, 0), 0);
            assert_eq!(curve(c, FIX_MAX), FIX_MAX);
            assert_eq!(curve(c, -FIX_MAX), 0);
            assert_eq!(curve(c, 16 << 24), 16 << 24);
        }
    }

    #[test]
    fn table_points_are_met_exactly() {
        for c in Curve::ALL {
            for i in 0..STEPS {
                let v = -((i as i64) << STEP_BITS);
                assert_eq!(curve(c, v), -i64::from(DELTA_TABLES[c as usize][i]));
            }
        }
    }

    #[test]
    fn operands_of_each_function() {
        let at = |f, g, u| activate(f, g, u);
        assert_eq!(at(Activation::Relu, -5, Some(9)), Product { a: 0, u: 9 });
        assert_eq!(at(Activation::Relu, 5, None), Product { a: 5, u: ONE });
        assert_eq!(at(Activation::Relu2, 5, None), Product { a: 5, u: 5 });
        assert_eq!(at(Activation::Silu, 0, Some(-3)), Product { a: 0, u: -3 });
        let most = at(Activation::Clamped, FIX_MAX, Some(FIX_MAX));
        assert_eq!(most, at(Activation::Clamped, CLAMP, Some(CLAMP)));
        assert_eq!(most.u, 8 * ONE);
        assert_eq!(
            at(Activation::Clamped, -1, Some(-FIX_MAX)).u,
            -6 * ONE,
            "1 - 7"
        );
    }
}
