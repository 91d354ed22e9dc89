//! Vectors under block exponents (`docs/formats.md`, section 1).

use abi::BLOCK;
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
            v.exponents.push(exponent);
            v.values.push(values);
        }
        v.bmax = v.exponents.iter().copied().max().unwrap_or(0);
        v
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
        assert_eq!((v.bmax, v.exponents), (129, vec![127, 129]));
        assert_eq!(v.values[0], [64; BLOCK]);
        assert_eq!((v.values[1][0], v.values[1][1]), (-64, 0));
        let l = Limbs::of(&bits);
        assert_eq!((l.hi.values[1][0], l.lo.values[1][0]), (-32, 0));
        assert!(!has_non_finite(&bits) && has_non_finite(&[f32::NAN.to_bits()]));
    }
}
