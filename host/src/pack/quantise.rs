//! From f32 weights to the numbers of `docs/formats.md`, section 2, and back.

use abi::{MatrixShape, Sparsity, BLOCK};
use golden::Matrix;
use numeric::Scale;

/// Largest magnitude of an expert's weight.
const Q8_MAX: f64 = 127.0;
/// Largest magnitude of a router's weight.
const Q15_MAX: f64 = 16384.0;

/// A quantised matrix with its exponent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantised {
    /// Values, positions and scales.
    pub matrix: Matrix,
    /// The matrix's exponent.
    pub w_exp: i16,
}

/// A quantised router: E rows of d values, with a scale for each row and 32 inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Router {
    /// Values within ±2^14, row by row.
    pub values: Vec<i16>,
    /// Binary16 patterns, row by row.
    pub scales: Vec<u16>,
    /// The matrix's exponent.
    pub w_exp: i16,
}

/// A weight is an infinity or a NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite;

/// A positive scale as `m * 2^exponent` with 1024 <= m <= 2047, `m` rounded up so that no value leaves its range.
fn split(scale: f64) -> (i16, i32) {
    let mut exponent = scale.log2().floor() as i32 - 10;
    // The logarithm may be off by one beside a power of two.
    while scale / 2f64.powi(exponent) > 2047.0 {
        exponent += 1;
    }
    while scale / 2f64.powi(exponent) <= 1023.0 {
        exponent -= 1;
    }
    ((scale / 2f64.powi(exponent)).ceil() as i16, exponent)
}

/// The pattern of a scale that is at least `scale`, under the exponent `w_exp` of its matrix.
fn encode(scale: f64, w_exp: i16) -> u16 {
    if scale == 0.0 {
        return 0;
    }
    let (m, exponent) = split(scale);
    let e = exponent - i32::from(w_exp) + i32::from(Scale::E_MAX);
    let scale = if e >= 1 {
        Scale { m, e: e as u8 }
    } else {
        // Below the normal range the mantissa is shorter; still rounded up.
        let m = (scale / 2f64.powi(i32::from(w_exp) - 29)).ceil() as i16;
        Scale { m, e: 1 }
    };
    scale
        .to_bits()
        .expect("1024 <= m <= 2047, or a shorter m under the smallest exponent")
}

/// The value of a scale.
fn value(bits: u16, w_exp: i16) -> f64 {
    let s = Scale::from_bits(bits);
    f64::from(s.m) * 2f64.powi(i32::from(s.e) - 30 + i32::from(w_exp))
}

/// The exponent under which the largest of `scales` has `e` = 30.
fn matrix_exponent(scales: &[f64]) -> i16 {
    let largest = scales.iter().copied().fold(0.0, f64::max);
    if largest == 0.0 {
        0
    } else {
        split(largest).1 as i16
    }
}

/// Places of the values to keep in a group of four: two of the largest magnitude, equal ones by the lower place.
fn keep_two(four: &[f32]) -> [usize; 2] {
    let mut order = [0, 1, 2, 3];
    order.sort_by(|&a, &b| four[b].abs().total_cmp(&four[a].abs()));
    let mut kept = [order[0], order[1]];
    kept.sort_unstable();
    kept
}

/// Quantises `weights`, row by row as `shape` says, to int8: one scale for each row and 32 inputs, so that the largest
/// magnitude there becomes 127. With 2:4 the two largest of each four are kept; `shape.inputs` is then a multiple of 4.
///
/// # Errors
/// If a weight is an infinity or a NaN.
pub fn matrix(weights: &[f32], shape: MatrixShape) -> Result<Quantised, NotFinite> {
    if weights.iter().any(|w| !w.is_finite()) {
        return Err(NotFinite);
    }
    let (mut kept, mut positions) = (Vec::new(), Vec::new());
    let (kept, per_block) = match shape.sparsity {
        Sparsity::Dense => (weights, BLOCK),
        Sparsity::TwoOfFour => {
            for four in weights.chunks_exact(4) {
                for place in keep_two(four) {
                    kept.push(four[place]);
                    positions.push(place as u8);
                }
            }
            (&kept[..], BLOCK / 2)
        }
    };
    let row = kept.len() / shape.rows.max(1);
    let wanted: Vec<f64> = blocks(kept, row, per_block)
        .map(|block| magnitude(block) / Q8_MAX)
        .collect();
    let w_exp = matrix_exponent(&wanted);
    let scales: Vec<u16> = wanted.iter().map(|&s| encode(s, w_exp)).collect();
    let values = blocks(kept, row, per_block)
        .zip(&scales)
        .flat_map(|(block, &bits)| {
            let scale = value(bits, w_exp);
            block.iter().map(move |&w| round(w, scale) as i8)
        })
        .collect();
    let matrix = Matrix {
        shape,
        values,
        positions,
        scales,
    };
    Ok(Quantised { matrix, w_exp })
}

/// Quantises a router, `[E, d]`, to 15 bits and a sign.
///
/// # Errors
/// If a weight is an infinity or a NaN.
pub fn router(weights: &[f32], d: usize) -> Result<Router, NotFinite> {
    if weights.iter().any(|w| !w.is_finite()) {
        return Err(NotFinite);
    }
    let wanted: Vec<f64> = blocks(weights, d, BLOCK)
        .map(|block| magnitude(block) / Q15_MAX)
        .collect();
    let w_exp = matrix_exponent(&wanted);
    let scales: Vec<u16> = wanted.iter().map(|&s| encode(s, w_exp)).collect();
    let values = blocks(weights, d, BLOCK)
        .zip(&scales)
        .flat_map(|(block, &bits)| {
            let scale = value(bits, w_exp);
            block.iter().map(move |&w| round(w, scale) as i16)
        })
        .collect();
    Ok(Router {
        values,
        scales,
        w_exp,
    })
}

/// The blocks of each row in turn; the last one of a row may be shorter.
fn blocks(weights: &[f32], row: usize, per_block: usize) -> impl Iterator<Item = &[f32]> {
    weights
        .chunks(row.max(1))
        .flat_map(move |row| row.chunks(per_block))
}

fn magnitude(block: &[f32]) -> f64 {
    block.iter().map(|w| f64::from(w.abs())).fold(0.0, f64::max)
}

/// `w / scale` to the nearest integer; the scale was rounded up, so it is in range.
fn round(w: f32, scale: f64) -> i32 {
    if scale == 0.0 {
        0
    } else {
        (f64::from(w) / scale).round_ties_even() as i32
    }
}

impl Quantised {
    /// The weights that these numbers stand for, row by row, with zeros where none was kept. Exact in f32 wherever f32 has
    /// the range.
    pub fn to_f32(&self) -> Vec<f32> {
        let shape = self.matrix.shape;
        let kept = self.matrix.kept();
        let mut out = vec![0.0; shape.rows * shape.inputs];
        for (row, out) in out.chunks_mut(shape.inputs.max(1)).enumerate() {
            for n in 0..kept {
                let at = row * kept + n;
                let column = match self.matrix.positions.get(at) {
                    Some(&place) => n / 2 * 4 + usize::from(place & 3),
                    None => n,
                };
                let scale = self.matrix.scales[row * shape.blocks() + column / BLOCK];
                out[column] = (f64::from(self.matrix.values[at]) * value(scale, self.w_exp)) as f32;
            }
        }
        out
    }
}

impl Router {
    /// The weights that these numbers stand for, `[E, d]`.
    pub fn to_f32(&self, d: usize) -> Vec<f32> {
        let per_row = d.div_ceil(BLOCK);
        let of = |(at, &q): (usize, &i16)| {
            let scale = self.scales[at / d * per_row + at % d / BLOCK];
            (f64::from(q) * value(scale, self.w_exp)) as f32
        };
        self.values.iter().enumerate().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use golden::sample::Random;

    const SEED: u64 = 31;

    fn random(n: usize) -> Vec<f32> {
        println!("seed {SEED}");
        let mut r = Random::new(SEED);
        (0..n).map(|_| r.normal() as f32 * 0.05).collect()
    }

    fn shape(rows: usize, inputs: usize, sparsity: Sparsity) -> MatrixShape {
        MatrixShape {
            rows,
            inputs,
            sparsity,
        }
    }

    fn largest_e(scales: &[u16]) -> u8 {
        scales.iter().map(|&s| Scale::from_bits(s).e).max().unwrap()
    }

    #[test]
    fn every_weight_is_within_half_a_step() {
        let w = random(7 * 75);
        let q = matrix(&w, shape(7, 75, Sparsity::Dense)).unwrap();
        assert!(q.matrix.is_consistent());
        assert_eq!(largest_e(&q.matrix.scales), Scale::E_MAX);
        for (row, (w, back)) in w.chunks(75).zip(q.to_f32().chunks(75)).enumerate() {
            for (block, (w, back)) in w.chunks(32).zip(back.chunks(32)).enumerate() {
                let top = w.iter().fold(0f32, |m, v| m.max(v.abs()));
                let step = value(q.matrix.scales[row * 3 + block], q.w_exp) as f32;
                assert!(step >= top / 127.0 && step < top / 127.0 * 1.002);
                for (w, b) in w.iter().zip(back) {
                    assert!((w - b).abs() <= step * 0.5001, "{w} {b} {step}");
                }
            }
        }
    }

    #[test]
    fn two_of_four_keeps_the_largest_and_ties_to_the_left() {
        let w = [1.0, -3.0, 2.0, 0.5, 7.0, 7.0, -7.0, 7.0];
        let q = matrix(&w, shape(1, 8, Sparsity::TwoOfFour)).unwrap();
        assert_eq!(q.matrix.positions, [1, 2, 0, 1]);
        let back = q.to_f32();
        for (place, want) in [0.0, -3.0, 2.0, 0.0, 7.0, 7.0, 0.0, 0.0].iter().enumerate() {
            assert!((back[place] - want).abs() < 0.03, "{back:?}");
        }
    }

    #[test]
    fn scales_far_below_the_largest_still_hold_their_block() {
        let mut w = vec![1e-3f32; 96];
        w[0] = 2f32.powi(30);
        w[32..64].fill(2f32.powi(-9));
        w[64..].fill(2f32.powi(-120));
        let q = matrix(&w, shape(1, 96, Sparsity::Dense)).unwrap();
        let m: Vec<Scale> = q
            .matrix
            .scales
            .iter()
            .map(|&s| Scale::from_bits(s))
            .collect();
        assert_eq!((m[0].e, m[1].e, m[2].e), (30, 1, 1));
        assert_eq!(m[2].m, 1, "rounded up, never to nothing");
        assert!(q.matrix.values.iter().all(|v| *v != i8::MIN));
        assert_eq!(q.matrix.values[0], 127);
    }

    #[test]
    fn zeros_and_numbers_that_are_none() {
        let q = matrix(&[0.0; 64], shape(2, 32, Sparsity::Dense)).unwrap();
        assert_eq!((q.w_exp, &q.matrix.scales[..]), (0, &[0, 0][..]));
        assert_eq!(q.to_f32(), [0.0; 64]);
        let bad = matrix(&[f32::NAN; 32], shape(1, 32, Sparsity::Dense));
        assert_eq!(bad, Err(NotFinite));
        assert_eq!(router(&[f32::INFINITY; 4], 4), Err(NotFinite));
    }

    #[test]
    fn powers_of_two_split_exactly() {
        for e in -150..120 {
            assert_eq!(split(2f64.powi(e)), (1024, e - 10), "2^{e}");
            let (m, exponent) = split(2f64.powi(e) * (1.0 - 1e-9));
            assert_eq!(f64::from(m) * 2f64.powi(exponent), 2f64.powi(e));
        }
    }

    #[test]
    fn a_router_keeps_four_digits() {
        let w = random(8 * 40);
        let r = router(&w, 40).unwrap();
        assert!(r.values.iter().all(|q| (-16384..=16384).contains(q)));
        for (block, back) in w.chunks(40).zip(r.to_f32(40).chunks(40)) {
            let top = block.iter().fold(0f32, |m, v| m.max(v.abs()));
            for (w, b) in block.iter().zip(back) {
                assert!((w - b).abs() <= top / 30000.0);
            }
        }
    }
}
