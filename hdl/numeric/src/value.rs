//! Stored weight values (`docs/formats.md`, section 2).

/// Magnitudes of FP4 (E2M1), doubled so that all are integers.
pub const FP4_MAGNITUDES: [i8; 8] = [0, 1, 2, 3, 4, 6, 8, 12];

/// The integer of an int4 value in the low four bits.
pub const fn int4(bits: u8) -> i8 {
    ((bits << 4) as i8) >> 4
}

/// Twice the value of an FP4 in the low four bits: sign, then the number of its magnitude.
pub const fn fp4(bits: u8) -> i8 {
    let magnitude = FP4_MAGNITUDES[(bits & 7) as usize];
    if bits & 8 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// The four bits whose [`fp4`] is `q`; `None` if there are none.
pub const fn fp4_bits(q: i8) -> Option<u8> {
    let mut i = 0;
    while i < 8 {
        if FP4_MAGNITUDES[i] as u8 == q.unsigned_abs() {
            return Some(i as u8 | ((q < 0) as u8) << 3);
        }
        i += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_values_each() {
        for bits in 0..16u8 {
            let four = int4(bits);
            assert!((-8..8).contains(&four) && four as u8 & 15 == bits);
            let q = fp4(bits);
            assert_eq!(fp4_bits(q), Some(if q == 0 { 0 } else { bits }));
        }
        assert_eq!(fp4_bits(5), None);
        assert_eq!(fp4_bits(-128), None);
    }
}
