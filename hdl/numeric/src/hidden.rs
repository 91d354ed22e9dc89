//! The hidden vector: a product of two numbers of 17 bits as binary32 (`docs/formats.md`, section 5).

use crate::round::rne_shr;

/// Bits of magnitude that a factor keeps.
pub const FACTOR_BITS: u32 = 17;

/// A magnitude in 17 bits: `mantissa * 2^shift`.
const fn factor(magnitude: u64) -> (u64, u32) {
    let bits = 64 - magnitude.leading_zeros();
    let shift = bits.saturating_sub(FACTOR_BITS);
    let mantissa = rne_shr(magnitude as i64, shift) as u64;
    if mantissa == 1 << FACTOR_BITS {
        (mantissa >> 1, shift + 1)
    } else {
        (mantissa, shift)
    }
}

/// `a * u`, both Q12.24, each rounded to 17 bits of magnitude, as the bits of the nearest binary32, ties to even; zero is `+0`.
pub const fn hidden(a: i64, u: i64) -> u32 {
    let (ma, sa) = factor(a.unsigned_abs());
    let (mu, su) = factor(u.unsigned_abs());
    let product = ma * mu; // 34 bits, LSB 2^(sa + su - 48)
    if product == 0 {
        return 0;
    }
    let top = 63 - product.leading_zeros(); // place of the leading one
    let mut exponent = 127 - 48 + sa + su + top;
    let mut mantissa = if top <= 23 {
        product << (23 - top)
    } else {
        rne_shr(product as i64, top - 23) as u64
    };
    if mantissa == 1 << 24 {
        mantissa >>= 1;
        exponent += 1;
    }
    (((a < 0) != (u < 0)) as u32) << 31 | exponent << 23 | mantissa as u32 & 0x7F_FFFF
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::FIX_MAX;

    #[test]
    fn products_with_a_name() {
        let one = 1 << 24;
        for (a, b, want) in [
            (one, one, 1.0f32),
            (-one, one, -1.0),
            (-one, 0, 0.0),
            (1, 1, 2f32.powi(-48)),
            (FIX_MAX, -FIX_MAX, -(2f32.powi(22))),
            (one + 127, one, 1.0), // below half of 2^-16
            (one + 129, one, 1.0 + 2f32.powi(-16)),
        ] {
            assert_eq!(hidden(a, b), want.to_bits(), "{a} * {b}");
        }
    }

    #[test]
    fn seventeen_bits_are_exact_and_more_are_rounded() {
        assert_eq!(factor((1 << 17) - 1), ((1 << 17) - 1, 0));
        assert_eq!(factor((1 << 18) - 1), (1 << 16, 2));
        assert_eq!(factor(1 << 17), (1 << 16, 1));
        assert_eq!(factor(0), (0, 0));
    }
}
