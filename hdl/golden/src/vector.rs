//! Vectors under block exponents (`docs/formats.md`, section 1).

use abi::BLOCK;
use numeric::block::{BIAS_EXPONENT, BIAS_LIMBS, BIAS_Q8};
use numeric::Unpacked;

/// A vector of int8 in blocks of 32, the last one filled with zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vector {
    /// The largest block exponent.
    pub bmax: u8,
    /// One exponent per block.
    pub exponents: Vec<u8>,
    /// One block of values per exponent.
    pub values: Vec<[i8; BLOCK]>,
}

/// The two limb vectors of an input, for the router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limbs {
    /// High limbs.
    pub hi: Vector,
    /// Low limbs.
    pub lo: Vector,
}

impl Vector {
    /// The `q8` vector of binary32 bit patterns.
    pub fn q8(bits: &[u32]) -> Vector {
        Self::with(bits, numeric::q8)
    }

    fn with(bits: &[u32], convert: impl Fn(&Unpacked, u8) -> i8) -> Vector {
        let mut v = Vector::default();
        for block in bits.chunks(BLOCK) {
            let elements: Vec<Unpacked> = block.iter().map(|&b| Unpacked::from_bits(b)).collect();
            let exponent = numeric::block_exponent(&elements);
            let mut values = [0; BLOCK];
            for (q, x) in values.iter_mut().zip(&elements) {
                *q = convert(x, exponent);
            }
            v.push(exponent, values);
        }
        v
    }

    fn push(&mut self, exponent: u8, values: [i8; BLOCK]) {
        self.bmax = self.bmax.max(exponent);
        self.exponents.push(exponent);
        self.values.push(values);
    }

    /// A `q8` vector as a matrix with or without bias sees it: the bias block is multiplied with ones.
    #[must_use]
    pub fn before(mut self, bias: bool) -> Vector {
        if bias {
            self.push(BIAS_EXPONENT, [BIAS_Q8; BLOCK]);
        }
        self
    }
}

impl Limbs {
    /// The limb vectors of binary32 bit patterns.
    pub fn of(bits: &[u32]) -> Limbs {
        let limb = |x: &Unpacked, b| numeric::limbs(numeric::q15(x, b));
        Limbs {
            hi: Vector::with(bits, |x, b| limb(x, b).0),
            lo: Vector::with(bits, |x, b| limb(x, b).1),
        }
    }

    /// The limbs as a router with or without bias sees them.
    #[must_use]
    pub fn before(mut self, bias: bool) -> Limbs {
        if bias {
            self.hi.push(BIAS_EXPONENT, [BIAS_LIMBS.0; BLOCK]);
            self.lo.push(BIAS_EXPONENT, [BIAS_LIMBS.1; BLOCK]);
        }
        self
    }
}

/// Whether an element is an infinity or a NaN.
pub fn has_non_finite(bits: &[u32]) -> bool {
    bits.iter().any(|&b| Unpacked::from_bits(b).non_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_has_its_own_exponent_and_the_last_is_filled() {
        let mut x = [1.0f32; 33];
        x[32] = -4.0;
        let bits: Vec<u32> = x.iter().map(|v| v.to_bits()).collect();
        let v = Vector::q8(&bits);
        assert_eq!((v.bmax, &v.exponents[..]), (129, &[127, 129][..]));
        assert_eq!(v.values[0], [64; BLOCK]);
        assert_eq!((v.values[1][0], v.values[1][1]), (-64, 0));
        let l = Limbs::of(&bits);
        assert_eq!((l.hi.values[1][0], l.lo.values[1][0]), (-32, 0));
        assert!(!has_non_finite(&bits) && has_non_finite(&[f32::NAN.to_bits()]));
        assert_eq!(v.clone().before(false), v);
        let biased = v.before(true);
        assert_eq!((biased.bmax, biased.values[2]), (129, [64; BLOCK]));
        let small = Vector::q8(&[1e-10f32.to_bits()]);
        assert_eq!(
            small.before(true).bmax,
            127,
            "a bias raises the common exponent"
        );
    }
}
