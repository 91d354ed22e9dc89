//! The hidden vector: silu(g) * u as binary32 (`docs/formats.md`, section 5).

/// `silu * up`, both Q12.24 (36 bits), as the bits of the nearest binary32, ties to even; zero is `+0`.
pub const fn hidden(silu: i64, up: i64) -> u32 {
    let product = silu as i128 * up as i128; // LSB 2^-48
    if product == 0 {
        return 0;
    }
    let magnitude = product.unsigned_abs();
    let top = 127 - magnitude.leading_zeros(); // place of the leading one
    let mut exponent = 127 - 48 + top;
    let mut mantissa = if top <= 23 {
        (magnitude << (23 - top)) as u32
    } else {
        crate::round::rne_shr_i128(magnitude as i128, top - 23) as u32
    };
    if mantissa == 1 << 24 {
        mantissa >>= 1;
        exponent += 1;
    }
    ((product < 0) as u32) << 31 | exponent << 23 | mantissa & 0x7F_FFFF
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
        ] {
            assert_eq!(hidden(a, b), want.to_bits(), "{a} * {b}");
        }
    }
}
