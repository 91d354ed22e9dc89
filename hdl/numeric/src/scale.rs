//! Weight scales: binary16 bit patterns read as a mantissa and an exponent (`docs/formats.md`, section 2).

/// A decoded scale: a weight is `q * m * 2^(e - 30 + w_exp)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Signed mantissa, at most 2047 in magnitude.
    pub m: i16,
    /// Exponent, 1 to 31.
    pub e: u8,
}

impl Scale {
    /// Largest exponent that writers use; the matrix exponent is chosen so that it occurs.
    pub const E_MAX: u8 = 30;

    /// Decodes a bit pattern. Every pattern is a scale; 31 is a plain exponent here.
    #[inline]
    pub const fn from_bits(bits: u16) -> Scale {
        let e5 = (bits >> 10 & 31) as u8;
        let c = (bits & 1023) as i16;
        let (m, e) = if e5 == 0 { (c, 1) } else { (1024 + c, e5) };
        Scale {
            m: if bits >> 15 == 1 { -m } else { m },
            e,
        }
    }

    /// The bit pattern of a scale with `|m| <= 2047`, and with `|m| >= 1024` unless `e` is 1; `None` for any other.
    pub const fn to_bits(self) -> Option<u16> {
        let c = self.m.unsigned_abs();
        if c > 2047 || self.e < 1 || self.e > 31 || (c < 1024 && self.e != 1) {
            return None;
        }
        let e5 = if c < 1024 { 0 } else { self.e as u16 };
        Some(((self.m < 0) as u16) << 15 | e5 << 10 | c & 1023)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_survives_but_for_the_sign_of_zero() {
        for bits in 0..=u16::MAX {
            let s = Scale::from_bits(bits);
            let back = s.to_bits().unwrap();
            assert_eq!(back, if s.m == 0 { 0 } else { bits });
        }
    }

    #[test]
    fn what_is_not_normalised_has_no_pattern() {
        for (m, e) in [(2048, 5), (1023, 2), (-1, 30), (1024, 0), (1024, 32)] {
            assert_eq!(Scale { m, e }.to_bits(), None, "{m} {e}");
        }
    }
}
