//! Input vectors: binary32 to integers under a shared exponent (`docs/formats.md`, section 1).

use crate::round::rne_shr;

/// A binary32 taken apart: the value is `±mantissa * 2^(exponent - 150)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// Sign bit.
    pub negative: bool,
    /// Biased exponent; 0 if the element counts as zero.
    pub exponent: u8,
    /// 24 bits with the leading one; 0 if the element counts as zero.
    pub mantissa: u32,
    /// The element was an infinity or a NaN and counts as zero.
    pub non_finite: bool,
}

impl Unpacked {
    /// Takes a bit pattern apart.
    pub const fn from_bits(bits: u32) -> Unpacked {
        let exponent = (bits >> 23) as u8;
        let counts = exponent != 0 && exponent != 255;
        Unpacked {
            negative: bits >> 31 == 1,
            exponent: if counts { exponent } else { 0 },
            mantissa: if counts {
                bits & 0x7F_FFFF | 0x80_0000
            } else {
                0
            },
            non_finite: exponent == 255,
        }
    }

    const fn signed(&self, magnitude: i64) -> i64 {
        if self.negative {
            -magnitude
        } else {
            magnitude
        }
    }
}

/// The block exponent `B`: the largest biased exponent of the elements that count, 0 if there is none.
pub fn block_exponent(elements: &[Unpacked]) -> u8 {
    elements.iter().map(|e| e.exponent).max().unwrap_or(0)
}

/// `q8` of an element in a block of exponent `b`, which is not below the element's: its `q15`, rounded once more.
pub const fn q8(x: &Unpacked, b: u8) -> i8 {
    let q = rne_shr(q15(x, b) as i64, 7);
    (if q > 127 {
        127
    } else if q < -127 {
        -127
    } else {
        q
    }) as i8
}

/// `q15` of an element in a block of exponent `b`, which is not below the element's; at most 2^14 in magnitude.
pub const fn q15(x: &Unpacked, b: u8) -> i16 {
    x.signed(rne_shr(x.mantissa as i64, 10 + (b - x.exponent) as u32)) as i16
}

/// `q8` of the ones that a bias block is multiplied with.
pub const BIAS_Q8: i8 = 64;
/// The limbs of those ones.
pub const BIAS_LIMBS: (i8, i8) = (32, 0);
/// Their block exponent.
pub const BIAS_EXPONENT: u8 = 127;

/// The limbs `(hi, lo)` of a `q15`: `q15 = 256 * hi + lo`.
pub const fn limbs(q15: i16) -> (i8, i8) {
    let hi = (q15 + 128) >> 8;
    (hi as i8, (q15 - 256 * hi) as i8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(v: f32, b: u8) -> (i8, i16) {
        let u = Unpacked::from_bits(v.to_bits());
        (q8(&u, b), q15(&u, b))
    }

    #[test]
    fn one_in_its_own_block_and_in_larger_ones() {
        assert_eq!(of(1.0, 127), (64, 1 << 13));
        assert_eq!(of(-1.0, 128), (-32, -(1 << 12)));
        assert_eq!(of(1.0, 133), (1, 128));
        assert_eq!(of(1.0, 134), (0, 64)); // 1/2 is a tie: to even
        assert_eq!(of(1.0, BIAS_EXPONENT).0, BIAS_Q8);
        assert_eq!(limbs(of(1.0, BIAS_EXPONENT).1), BIAS_LIMBS);
        assert_eq!(of(1.0, 254), (0, 0));
    }

    #[test]
    fn the_largest_mantissa_rounds_up_to_the_limits() {
        let top = f32::from_bits(0x3FFF_FFFF); // just below 2
        assert_eq!(of(top, 127), (127, 1 << 14));
        assert_eq!(of(-top, 127), (-127, -(1 << 14)));
        assert_eq!(limbs(1 << 14), (64, 0));
        assert_eq!(limbs(-(1 << 14)), (-64, 0));
    }

    #[test]
    fn what_does_not_count_is_zero() {
        for (bits, non_finite) in [
            (0, false),
            (0x8000_0000, false),
            (0x007F_FFFF, false),
            (0x7F80_0000, true),
            (0xFFC0_0000, true),
        ] {
            let u = Unpacked::from_bits(bits);
            assert_eq!((u.exponent, u.mantissa, u.non_finite), (0, 0, non_finite));
            assert_eq!((q8(&u, 200), q15(&u, 0)), (0, 0));
        }
        assert_eq!(block_exponent(&[]), 0);
    }
}
