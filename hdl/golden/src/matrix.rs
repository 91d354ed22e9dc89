//! One row of a matrix times one vector, straight from the packed bytes (`docs/formats.md`, sections 3 and 7).

use abi::{MatrixShape, Sparsity, BEAT, BLOCK};
use numeric::Scale;

use crate::vector::Vector;

/// One group record: `lanes` rows of a matrix.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    scales: &'a [u8],
    positions: &'a [u8],
    values: &'a [u8],
    sparsity: Sparsity,
    lanes: usize,
}

impl<'a> Group<'a> {
    /// The group in `record`, which holds exactly `shape.group_beats(lanes)` beats.
    pub fn new(record: &'a [u8], shape: MatrixShape, lanes: usize) -> Group<'a> {
        assert_eq!(record.len(), shape.group_beats(lanes) * BEAT);
        let (scales, rest) = record.split_at(shape.scale_beats(lanes) * BEAT);
        let (positions, values) = rest.split_at(shape.position_beats(lanes) * BEAT);
        Group {
            scales,
            positions,
            values,
            sparsity: shape.sparsity,
            lanes,
        }
    }

    fn scale(&self, block: usize, lane: usize) -> Scale {
        Scale::from_bits(u16::from_le_bytes(*entry(
            self.scales,
            block * self.lanes + lane,
        )))
    }

    fn positions(&self, block: usize, lane: usize) -> u32 {
        u32::from_le_bytes(*entry(self.positions, block * self.lanes + lane))
    }

    /// Value word `n` of a lane.
    fn word(&self, n: usize, lane: usize) -> &[u8; BEAT] {
        entry(self.values, n * self.lanes + lane)
    }

    /// The accumulator of row `lane` times `x`.
    pub fn dot(&self, lane: usize, x: &Vector) -> i64 {
        let mut acc = 0i64;
        for (block, (values, &exponent)) in x.values.iter().zip(&x.exponents).enumerate() {
            let s = match self.sparsity {
                Sparsity::Dense => {
                    dot16(self.word(2 * block, lane), entry(values, 0))
                        + dot16(self.word(2 * block + 1, lane), entry(values, 1))
                }
                Sparsity::TwoOfFour => {
                    let chosen = select(values, self.positions(block, lane));
                    dot16(self.word(block, lane), &chosen)
                }
            };
            let distance = u32::from(x.bmax - exponent);
            acc += numeric::term(s, self.scale(block, lane), distance);
        }
        acc
    }
}

/// Entry `n` of an array of entries of `N` bytes.
fn entry<const N: usize, T>(bytes: &[T], n: usize) -> &[T; N] {
    bytes[N * n..].first_chunk().expect("a whole entry")
}

/// The inputs that the 16 kept values of a block are multiplied with: entry j picks one of the four in group j >> 1.
fn select(values: &[i8; BLOCK], positions: u32) -> [i8; BEAT] {
    std::array::from_fn(|j| values[4 * (j >> 1) + (positions >> (2 * j) & 3) as usize])
}

/// The dot product of two beats. It cannot overflow: saying so, and keeping it out of line, lets the compiler use vector
/// instructions.
#[inline(never)]
fn dot16(w: &[u8; BEAT], x: &[i8; BEAT]) -> i32 {
    w.iter()
        .zip(x)
        .map(|(&w, &x)| i32::from(w as i8).wrapping_mul(i32::from(x)))
        .fold(0, i32::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All 65536 products of two bytes, in every place of a word.
    #[test]
    fn every_product() {
        for w in i8::MIN..=i8::MAX {
            for x in i8::MIN..=i8::MAX {
                let place = (w as u8).wrapping_add(x as u8) as usize % 16;
                let (mut a, mut b) = ([3; 16], [-2; 16]);
                (a[place], b[place]) = (w as u8, x);
                assert_eq!(dot16(&a, &b), i32::from(w) * i32::from(x) - 15 * 6);
            }
        }
    }

    #[test]
    fn positions_select_within_their_four() {
        let values: [i8; BLOCK] = std::array::from_fn(|i| i as i8);
        let got = select(&values, 0b11_00_10_01); // entries 0..3: 1, 2, 0, 3, and zeros after
        assert_eq!(got[..6], [1, 2, 4, 7, 8, 8]);
        assert_eq!(got[15], 28);
    }
}
