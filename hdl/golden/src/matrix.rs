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

/// The stored value of a row's block that is value `v` of pass `pass`, and the first of the inputs that its position counts from.
pub(crate) const fn place(sparsity: Sparsity, pass: usize, v: usize) -> (usize, usize) {
    match sparsity {
        Sparsity::Dense => (4 * v + pass, 4 * v + pass),
        Sparsity::TwoOfFour => (2 * v + pass, 4 * v),
        Sparsity::OneOfFour => (v, 4 * v),
        Sparsity::FourOfEight => (4 * (v >> 1) + 2 * pass + (v & 1), 8 * (v >> 1)),
        Sparsity::OneOfEight => (v, 8 * v),
    }
}

/// Bits of one stored position.
pub(crate) const fn position_width(sparsity: Sparsity) -> usize {
    match sparsity {
        Sparsity::Dense => 0,
        Sparsity::TwoOfFour | Sparsity::OneOfFour => 2,
        Sparsity::FourOfEight | Sparsity::OneOfEight => 4,
    }
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
        let bits = storage.format.bits();
        let row_bits = sparsity.pass_values() * bits;
        let table = decoder(storage.format);
        let value_mask = (1 << bits) - 1;
        let width = position_width(sparsity);
        let position_mask = match width {
            2 => 3,
            _ => 7,
        };
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
                        let word = word >> (bit % 64 + second * row_bits);
                        let picks = picks(positions, sparsity, c, lane);
                        for v in 0..sparsity.pass_values() {
                            let q = table[(word >> (v * bits) & value_mask) as usize];
                            let from = place(sparsity, pass, v).1;
                            let pick = if width == 0 {
                                0
                            } else {
                                picks >> (v * width) & position_mask
                            };
                            out[from + pick as usize] += i16::from(q);
                        }
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

/// The integers of all bit patterns of a value.
fn decoder(format: Format) -> [i8; 256] {
    std::array::from_fn(|bits| match format {
        Format::Int8 => bits as u8 as i8,
        Format::Int4 => numeric::value::int4(bits as u8),
        Format::Fp4 => numeric::value::fp4(bits as u8),
    })
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

    /// Each stored value of a block has one pass and one multiplier, and its inputs are those that the multiplier sees.
    #[test]
    fn passes_cover_a_block() {
        for sparsity in Sparsity::ALL {
            let (n, m) = sparsity.ratio();
            let mut seen = vec![0; sparsity.kept()];
            for pass in 0..sparsity.passes() {
                for v in 0..sparsity.pass_values() {
                    let (entry, from) = place(sparsity, pass, v);
                    seen[entry] += 1;
                    assert_eq!(from, entry / n * m, "{sparsity:?}");
                }
            }
            assert!(seen.iter().all(|&s| s == 1), "{sparsity:?} {seen:?}");
        }
    }
}
