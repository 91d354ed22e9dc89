//! Weight images, written as `docs/formats.md`, section 7, lays them out.

use abi::layout::{down_shape, gate_shape, router_shape, IMAGE_MAGIC};
use abi::{MatrixShape, Sparsity, BEAT, BLOCK};

/// A quantised matrix, independent of any engine's lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Rows, inputs and storage.
    pub shape: MatrixShape,
    /// The stored values, row by row: K of them dense, K/2 with 2:4.
    pub values: Vec<i8>,
    /// With 2:4 the position (0 to 3) of each stored value in its group of four; empty if dense.
    pub positions: Vec<u8>,
    /// Binary16 patterns, row by row, one for each block of 32 inputs.
    pub scales: Vec<u16>,
}

/// The exponents of an expert's matrices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exponents {
    /// Gate.
    pub gate: i16,
    /// Up.
    pub up: i16,
    /// Down.
    pub down: i16,
}

impl Matrix {
    /// Stored values per row.
    pub fn kept(&self) -> usize {
        match self.shape.sparsity {
            Sparsity::Dense => self.shape.inputs,
            Sparsity::TwoOfFour => self.shape.inputs / 2,
        }
    }

    /// The lengths of the three arrays agree with the shape.
    pub fn is_consistent(&self) -> bool {
        let MatrixShape {
            rows,
            inputs,
            sparsity,
        } = self.shape;
        let stored = rows * self.kept();
        let positions = match sparsity {
            Sparsity::Dense => 0,
            Sparsity::TwoOfFour => stored,
        };
        self.values.len() == stored
            && self.positions.len() == positions
            && self.scales.len() == rows * self.shape.blocks()
            && (sparsity == Sparsity::Dense || inputs % 4 == 0)
    }

    /// The stored values of one row and block, with their positions, filled with zeros.
    fn block(&self, row: usize, block: usize) -> ([i8; BLOCK], u32) {
        let per_block = match self.shape.sparsity {
            Sparsity::Dense => BLOCK,
            Sparsity::TwoOfFour => BLOCK / 2,
        };
        let (mut values, mut positions) = ([0; BLOCK], 0);
        if row < self.shape.rows {
            let first = row * self.kept() + block * per_block;
            let last = (first + per_block).min((row + 1) * self.kept());
            for (j, at) in (first..last).enumerate() {
                values[j] = self.values[at];
                if let Some(&p) = self.positions.get(at) {
                    positions |= u32::from(p & 3) << (2 * j);
                }
            }
        }
        (values, positions)
    }

    /// Appends the record of one group of `lanes` rows.
    fn write_group(&self, group: usize, lanes: usize, out: &mut Vec<u8>) {
        let shape = self.shape;
        let lane_rows = || group * lanes..(group + 1) * lanes;
        let start = out.len();
        for block in 0..shape.blocks() {
            for row in lane_rows() {
                let scale = if row < shape.rows {
                    self.scales[row * shape.blocks() + block]
                } else {
                    0
                };
                out.extend(scale.to_le_bytes());
            }
        }
        out.resize(start + shape.scale_beats(lanes) * BEAT, 0);
        if shape.sparsity == Sparsity::TwoOfFour {
            for block in 0..shape.blocks() {
                for row in lane_rows() {
                    out.extend(self.block(row, block).1.to_le_bytes());
                }
            }
            out.resize(
                start + (shape.scale_beats(lanes) + shape.position_beats(lanes)) * BEAT,
                0,
            );
        }
        let words = match shape.sparsity {
            Sparsity::Dense => 2,
            Sparsity::TwoOfFour => 1,
        };
        for block in 0..shape.blocks() {
            for word in 0..words {
                for row in lane_rows() {
                    let values = self.block(row, block).0;
                    out.extend(values[word * BEAT..][..BEAT].iter().map(|&v| v as u8));
                }
            }
        }
        debug_assert_eq!(out.len() - start, shape.group_beats(lanes) * BEAT);
    }
}

fn header(exponents: [i16; 3]) -> Vec<u8> {
    let mut out = Vec::with_capacity(BEAT);
    for e in exponents {
        out.extend(e.to_le_bytes());
    }
    out.extend(IMAGE_MAGIC.to_le_bytes());
    out.resize(BEAT, 0);
    out
}

/// The image of an expert for an engine of `lanes` lanes.
///
/// # Panics
/// If the matrices are inconsistent or do not fit together; callers check their input before.
pub fn write_expert(
    gate: &Matrix,
    up: &Matrix,
    down: &Matrix,
    exponents: Exponents,
    lanes: usize,
) -> Vec<u8> {
    let (d, f, sparsity) = (gate.shape.inputs, gate.shape.rows, gate.shape.sparsity);
    assert_eq!(gate.shape, gate_shape(d, f, sparsity));
    assert_eq!(up.shape, gate_shape(d, f, sparsity));
    assert_eq!(down.shape, down_shape(d, f, sparsity));
    assert!(gate.is_consistent() && up.is_consistent() && down.is_consistent());
    let mut out = header([exponents.gate, exponents.up, exponents.down]);
    for group in 0..gate.shape.groups(lanes) {
        gate.write_group(group, lanes, &mut out);
        up.write_group(group, lanes, &mut out);
    }
    for group in 0..down.shape.groups(lanes) {
        down.write_group(group, lanes, &mut out);
    }
    out
}

/// The image of a router, from its E rows of `q15` values and the scales of those rows.
///
/// # Panics
/// If the arrays do not fit E and d; callers check their input before.
pub fn write_router(
    q15: &[i16],
    scales: &[u16],
    experts: usize,
    d: usize,
    w_exp: i16,
    lanes: usize,
) -> Vec<u8> {
    let limbs: Vec<(i8, i8)> = q15.iter().map(|&q| numeric::limbs(q)).collect();
    let matrix = Matrix {
        shape: router_shape(d, experts),
        values: limbs
            .iter()
            .map(|l| l.0)
            .chain(limbs.iter().map(|l| l.1))
            .collect(),
        positions: Vec::new(),
        scales: [scales, scales].concat(),
    };
    assert!(matrix.is_consistent());
    let mut out = header([w_exp, 0, 0]);
    for group in 0..matrix.shape.groups(lanes) {
        matrix.write_group(group, lanes, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_the_size_of_the_layout() {
        for (d, f, sparsity) in [
            (32, 24, Sparsity::TwoOfFour),
            (36, 40, Sparsity::TwoOfFour),
            (33, 7, Sparsity::Dense),
        ] {
            let matrix = |shape: MatrixShape| {
                let kept = match sparsity {
                    Sparsity::Dense => shape.inputs,
                    Sparsity::TwoOfFour => shape.inputs / 2,
                };
                Matrix {
                    shape,
                    values: vec![1; shape.rows * kept],
                    positions: if sparsity == Sparsity::Dense {
                        vec![]
                    } else {
                        vec![3; shape.rows * kept]
                    },
                    scales: vec![0x3C00; shape.rows * shape.blocks()],
                }
            };
            let gate = matrix(gate_shape(d, f, sparsity));
            let down = matrix(down_shape(d, f, sparsity));
            for lanes in [2, 4] {
                let image = write_expert(&gate, &gate, &down, Exponents::default(), lanes);
                assert_eq!(
                    image.len(),
                    abi::layout::expert_bytes(d, f, sparsity, lanes)
                );
                assert_eq!(image[6..8], [0x45, 0x4D]);
                let ones = image[BEAT..].iter().filter(|&&b| b == 1).count();
                assert_eq!(ones, 2 * gate.values.len() + down.values.len());
            }
        }
    }

    #[test]
    fn router_limbs_stand_in_two_halves() {
        let image = write_router(&[300, -300], &[0x3C00, 0x3C00], 2, 1, -7, 2);
        assert_eq!(image.len(), abi::layout::router_bytes(1, 2, 2));
        assert_eq!(image[0], (-7i8) as u8);
        // header, then per group: one beat of scales, four beats of values (2 halves x 2 lanes)
        let value = |group: usize, lane: usize| image[BEAT * (1 + group * 5 + 1 + lane)] as i8;
        assert_eq!([value(0, 0), value(0, 1)], [1, -1]);
        assert_eq!([value(1, 0), value(1, 1)], [44, -44]);
    }
}
