//! The rows of a section, decoded from the packed bytes, and their products with vectors (`docs/formats.md`, sections 3 and 7).

use abi::config::LANES;
use abi::layout::{POSITION_WORD, SCALE_WORD, VALUE_WORD};
use abi::{Format, Section, Sparsity, BLOCK};
use numeric::Scale;

use crate::vector::Vector;

/// A section's matrices, each weight in the place of its input. A place can hold the sum of several weights where damaged
/// positions coincide, as the multipliers of a lane would add them up; so it takes 16 bits.
pub struct Rows {
    rows: usize,
    blocks: usize,
    scales: Vec<Scale>,
    weights: Vec<[i16; BLOCK]>,
}

impl Rows {
    /// The rows in a section's group records: of gate and up, gate's, then up's.
    pub fn decode(section: &Section, records: &[u8]) -> Rows {
        assert_eq!(records.len(), section.bytes());
        let (rows, blocks) = (section.rows, section.stored_blocks());
        let all = rows * (1 + usize::from(section.gated)) * blocks;
        let mut out = Rows {
            rows,
            blocks,
            scales: vec![Scale { m: 0, e: 1 }; all],
            weights: vec![[0; BLOCK]; all],
        };
        for (group, record) in records.chunks_exact(section.group_bytes()).enumerate() {
            out.decode_group(section, group, record);
        }
        out
    }

    fn decode_group(&mut self, section: &Section, group: usize, record: &[u8]) {
        let storage = section.storage;
        let sparsity = storage.sparsity;
        let (scales, rest) = record.split_at(section.scale_words() * SCALE_WORD);
        let (positions, values) = rest.split_at(section.position_words() * POSITION_WORD);
        let granule = storage.granule_bits();
        let row_bits = sparsity.pass_values() * storage.format.bits();
        for lane in 0..LANES {
            for second in 0..storage.lane_rows() {
                let at = section.lane_row(group, lane, second == 1);
                if at.row >= self.rows {
                    continue;
                }
                let first = (at.matrix * self.rows + at.row) * self.blocks;
                for block in 0..self.blocks {
                    let word = block * storage.lane_rows() + second;
                    let scale = &scales[word * SCALE_WORD + 2 * lane..];
                    self.scales[first + block] =
                        Scale::from_bits(u16::from_le_bytes([scale[0], scale[1]]));
                    let out = &mut self.weights[first + block];
                    for pass in 0..sparsity.passes() {
                        let c = block * sparsity.passes() + pass;
                        let bit = c * granule;
                        let part = &values[bit / 64 * VALUE_WORD + 8 * lane..];
                        let word = u64::from_le_bytes(*part.first_chunk().expect("a whole part"));
                        let q = unpack(storage.format, word >> (bit % 64 + second * row_bits));
                        put(out, sparsity, pass, q, picks(positions, sparsity, c, lane));
                    }
                }
            }
        }
    }

    /// The accumulator of a row (of gate and up: `rows` more for an up row) times `x`, bias block included.
    pub fn dot(&self, row: usize, x: &Operand) -> i64 {
        let range = row * self.blocks..(row + 1) * self.blocks;
        let mut acc = 0;
        for ((w, &scale), (x, distance)) in self.weights[range.clone()]
            .iter()
            .zip(&self.scales[range])
            .zip(&x.0)
        {
            acc += numeric::term(dot(w, x), scale, *distance);
        }
        acc
    }
}

/// The positions of one lane and pass.
fn picks(positions: &[u8], sparsity: Sparsity, pass: usize, lane: usize) -> u32 {
    let half = |at: usize| u32::from(u16::from_le_bytes([positions[at], positions[at + 1]]));
    match sparsity.position_bits() {
        0 => 0,
        16 => half((pass >> 1) * POSITION_WORD + 4 * lane + 2 * (pass & 1)),
        _ => {
            let at = pass * POSITION_WORD + 4 * lane;
            half(at) | half(at + 2) << 16
        }
    }
}

/// The first eight values of a granule; a pass of 1:8 has only four.
#[inline]
fn unpack(format: Format, word: u64) -> [i16; 8] {
    let nibble = |v: usize| (word >> (4 * v)) as u8 & 15;
    match format {
        Format::Int8 => word.to_le_bytes().map(|b| i16::from(b as i8)),
        Format::Int4 => std::array::from_fn(|v| numeric::value::int4(nibble(v)).into()),
        Format::Fp4 => std::array::from_fn(|v| numeric::value::fp4(nibble(v)).into()),
    }
}

/// Adds the values of a pass to the inputs that they belong to. The cases are apart, so that each is a loop of fixed length.
#[inline]
fn put(out: &mut [i16; BLOCK], sparsity: Sparsity, pass: usize, q: [i16; 8], picks: u32) {
    match sparsity {
        Sparsity::Dense => {
            for (v, q) in q.into_iter().enumerate() {
                out[4 * v + pass % 4] = q;
            }
        }
        Sparsity::TwoOfFour | Sparsity::OneOfFour => {
            for (v, q) in q.into_iter().enumerate() {
                out[4 * v + (picks >> (2 * v) & 3) as usize] += q;
            }
        }
        Sparsity::FourOfEight => {
            for (v, q) in q.into_iter().enumerate() {
                out[8 * (v >> 1) + (picks >> (4 * v) & 7) as usize] += q;
            }
        }
        Sparsity::OneOfEight => {
            for (v, q) in q.into_iter().take(4).enumerate() {
                out[8 * v + (picks >> (4 * v) & 7) as usize] += q;
            }
        }
    }
}

/// A vector made ready for many rows: values in 16 bits, and `Bmax - B`, for each block.
pub struct Operand(Vec<([i16; BLOCK], u32)>);

impl Operand {
    /// A vector, bias block included if its matrix has one.
    pub fn of(v: &Vector) -> Operand {
        let block = |(x, &b): (&[i8; BLOCK], &u8)| (x.map(i16::from), u32::from(v.bmax - b));
        Operand(v.values.iter().zip(&v.exponents).map(block).collect())
    }
}

/// The dot product of two blocks. It cannot overflow: saying so, and keeping it out of line, lets the compiler use vector
/// instructions.
#[inline(never)]
fn dot(w: &[i16; BLOCK], x: &[i16; BLOCK]) -> i32 {
    w.iter()
        .zip(x)
        .map(|(&w, &x)| i32::from(w).wrapping_mul(i32::from(x)))
        .fold(0, i32::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All 65536 products of two bytes, in every place of a block.
    #[test]
    fn every_product() {
        for w in i8::MIN..=i8::MAX {
            for x in i8::MIN..=i8::MAX {
                let place = (w as u8).wrapping_add(x as u8) as usize % BLOCK;
                let (mut a, mut b) = ([3; BLOCK], [-2; BLOCK]);
                (a[place], b[place]) = (w.into(), x.into());
                assert_eq!(dot(&a, &b), i32::from(w) * i32::from(x) - 31 * 6);
            }
        }
    }
}
