//! One row of a matrix times one vector, straight from the packed bytes (`docs/formats.md`, sections 3 and 7).

use abi::{MatrixShape, Sparsity, BEAT, BLOCK};
use numeric::Scale;

use crate::vector::Vector;

/// Values of one beat.
type Word = [i8; BEAT];

/// One group record: `lanes` rows of a matrix.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    record: &'a [u8],
    shape: MatrixShape,
    lanes: usize,
}

impl<'a> Group<'a> {
    /// The group in `record`, which holds exactly `shape.group_beats(lanes)` beats.
    pub fn new(record: &'a [u8], shape: MatrixShape, lanes: usize) -> Group<'a> {
        assert_eq!(record.len(), shape.group_beats(lanes) * BEAT);
        Group {
            record,
            shape,
            lanes,
        }
    }

    fn scale(&self, block: usize, lane: usize) -> Scale {
        let at = 2 * (block * self.lanes + lane);
        Scale::from_bits(u16::from_le_bytes([self.record[at], self.record[at + 1]]))
    }

    fn positions(&self, block: usize, lane: usize) -> u32 {
        let at = self.shape.scale_beats(self.lanes) * BEAT + 4 * (block * self.lanes + lane);
        u32::from_le_bytes(self.record[at..at + 4].try_into().expect("four bytes"))
    }

    /// Value word `n` of a lane.
    fn word(&self, n: usize, lane: usize) -> Word {
        let before = self.shape.scale_beats(self.lanes) + self.shape.position_beats(self.lanes);
        let at = (before + n * self.lanes + lane) * BEAT;
        let bytes: [u8; BEAT] = self.record[at..at + BEAT].try_into().expect("a beat");
        bytes.map(|b| b as i8)
    }

    /// The accumulator of row `lane` times `x`.
    pub fn dot(&self, lane: usize, x: &Vector) -> i64 {
        let mut acc = 0;
        for (block, (values, &exponent)) in x.values.iter().zip(&x.exponents).enumerate() {
            let s = match self.shape.sparsity {
                Sparsity::Dense => {
                    let (low, high) = values.split_at(BEAT);
                    dot16(self.word(2 * block, lane), low)
                        + dot16(self.word(2 * block + 1, lane), high)
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

/// The inputs that the 16 kept values of a block are multiplied with: entry j picks one of the four in group j >> 1.
fn select(values: &[i8; BLOCK], positions: u32) -> Word {
    std::array::from_fn(|j| values[4 * (j >> 1) + (positions >> (2 * j) & 3) as usize])
}

fn dot16(w: Word, x: &[i8]) -> i32 {
    w.iter()
        .zip(x)
        .map(|(&w, &x)| i32::from(i16::from(w) * i16::from(x)))
        .sum()
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
                (a[place], b[place]) = (w, x);
                assert_eq!(dot16(a, &b), i32::from(w) * i32::from(x) - 15 * 6);
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
