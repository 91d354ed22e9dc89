//! From f32 weights to the numbers of `docs/formats.md`, section 2, and back.

use abi::{Format, Sparsity, Storage, BLOCK};
use golden::Matrix;
use numeric::Scale;

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

/// A matrix to be quantised: its rows and inputs, and how it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub rows: usize,
    /// Inputs, a multiple of M.
    pub inputs: usize,
    /// Coding of the values.
    pub format: Format,
    /// Structure.
    pub sparsity: Sparsity,
}

impl Shape {
    /// As the engine knows it, one row to a lane.
    fn storage(&self) -> Storage {
        Storage {
            format: self.format,
            sparsity: self.sparsity,
            ..Storage::INT8
        }
    }
}

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

/// The pattern of a scale at least as large as `scale`, under the exponent `w_exp` of its matrix.
fn encode(scale: f64, w_exp: i16) -> u16 {
    if scale == 0.0 {
        return 0;
    }
    let sign = if scale < 0.0 { 0x8000 } else { 0 };
    let scale = scale.abs();
    let (m, exponent) = split(scale);
    let e = exponent - i32::from(w_exp) + i32::from(Scale::E_MAX);
    let scale = if e >= 1 {
        Scale { m, e: e as u8 }
    } else {
        // Below the normal range the mantissa is shorter; still rounded up.
        let m = (scale / 2f64.powi(i32::from(w_exp) - 29)).ceil() as i16;
        Scale { m, e: 1 }
    };
    sign | scale
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
    let largest = scales.iter().fold(0.0, |top: f64, s| top.max(s.abs()));
    if largest == 0.0 {
        0
    } else {
        split(largest).1 as i16
    }
}

/// For each row the places of the weights to keep, N of each M inputs: those of largest magnitude, equal ones by the lower
/// place. A row that has a partner keeps what is largest in both together, so that the two share their places.
pub fn places(
    weights: &[f32],
    shape: &Shape,
    partner: impl Fn(usize) -> Option<Vec<f32>>,
) -> Vec<u8> {
    let (n, m) = shape.sparsity.ratio();
    let mut out = Vec::new();
    for (row, weights) in weights.chunks(shape.inputs.max(1)).enumerate() {
        let other = partner(row);
        for (at, group) in weights.chunks_exact(m).enumerate() {
            let size = |place: usize| {
                let mine = f64::from(group[place]).powi(2);
                let other = other.as_ref().map_or(0.0, |o| f64::from(o[at * m + place]));
                mine + other.powi(2)
            };
            let mut order: Vec<usize> = (0..m).collect();
            order.sort_by(|&a, &b| size(b).total_cmp(&size(a)));
            let mut kept: Vec<u8> = order[..n].iter().map(|&place| place as u8).collect();
            kept.sort_unstable();
            out.extend(kept);
        }
    }
    out
}

/// Quantises `weights`, row by row as `shape` says, with one scale for each row and 32 inputs, and keeps those at `places`
/// (from [`places`]; of no use if dense).
///
/// # Errors
/// If a weight is an infinity or a NaN.
pub fn matrix(weights: &[f32], shape: &Shape, places: Vec<u8>) -> Result<Quantised, NotFinite> {
    if weights.iter().any(|w| !w.is_finite()) {
        return Err(NotFinite);
    }
    let (n, m) = shape.sparsity.ratio();
    let picked: Vec<f32>;
    let (kept, positions) = if shape.sparsity == Sparsity::Dense {
        (weights, Vec::new())
    } else {
        let groups = weights.chunks_exact(m).zip(places.chunks_exact(n));
        picked = groups
            .flat_map(|(group, places)| places.iter().map(|&p| group[usize::from(p)]))
            .collect();
        (&picked[..], places)
    };
    let row = shape.inputs / m * n;
    let per_block = shape.sparsity.kept();
    let wanted: Vec<f64> = blocks(kept, row, per_block)
        .map(|block| best_scale(block, shape.format))
        .collect();
    let w_exp = matrix_exponent(&wanted);
    let scales: Vec<u16> = wanted.iter().map(|&s| encode(s, w_exp)).collect();
    let values = blocks(kept, row, per_block)
        .zip(&scales)
        .flat_map(|(block, &bits)| {
            let scale = value(bits, w_exp);
            block.iter().map(move |&w| nearest(w, scale, shape.format))
        })
        .collect();
    let matrix = Matrix {
        rows: shape.rows,
        inputs: shape.inputs,
        storage: shape.storage(),
        values,
        positions,
        scales,
        biases: Vec::new(),
    };
    Ok(Quantised { matrix, w_exp })
}

/// Quantises a router, `[E, d]`, to 15 bits and a sign, without values whose low limb is -128.
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
            block.iter().map(move |&w| {
                let q = round(w, scale) as i16;
                match numeric::limbs(q) {
                    (_, -128) => q + 1,
                    _ => q,
                }
            })
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

/// The scale for a block of weights. With int8 the largest magnitude becomes 127. With few bits it may pay to let the largest
/// weights saturate, or to use -8: of some scales the one with the smallest squared error.
fn best_scale(block: &[f32], format: Format) -> f64 {
    let top = magnitude(block);
    let candidates: &[f64] = match format {
        Format::Int8 => return top / 127.0,
        Format::Int4 => &[7.0, 7.5, 8.0, 8.5, 9.0],
        Format::Fp4 => &[12.0, 11.0, 10.0, 9.0, 8.0, 13.0, 14.0],
    };
    if top == 0.0 {
        return 0.0;
    }
    // A scale may be negative, and the largest weight then -8.
    let sign = match format {
        Format::Int4 => block
            .iter()
            .find(|w| f64::from(w.abs()) == top)
            .map_or(1.0, |w| -f64::from(w.signum())),
        _ => 1.0,
    };
    let error = |scale: f64| -> f64 {
        let of = |&w: &f32| f64::from(w) - f64::from(nearest(w, scale, format)) * scale;
        block.iter().map(|w| of(w).powi(2)).sum()
    };
    let mut best = (f64::INFINITY, 0.0);
    for &steps in candidates {
        let scale = sign * top / steps;
        let error = error(scale);
        if error < best.0 {
            best = (error, scale);
        }
    }
    best.1
}

/// The value of a format that is nearest to `w / scale`.
fn nearest(w: f32, scale: f64, format: Format) -> i8 {
    if scale == 0.0 {
        return 0;
    }
    match format {
        Format::Int8 => round(w, scale).clamp(-127, 127) as i8,
        Format::Int4 => round(w, scale).clamp(-8, 7) as i8,
        Format::Fp4 => {
            let exact = f64::from(w) / scale;
            let magnitudes = numeric::value::FP4_MAGNITUDES;
            // Halfway to the next: magnitudes are few, and a tie goes to the lower.
            let above = magnitudes
                .windows(2)
                .filter(|pair| exact.abs() > (f64::from(pair[0]) + f64::from(pair[1])) / 2.0);
            let magnitude = magnitudes[above.count()];
            if exact < 0.0 {
                -magnitude
            } else {
                magnitude
            }
        }
    }
}

/// `w / scale` to the nearest integer.
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
        let m = &self.matrix;
        let mut out = Vec::with_capacity(m.rows * m.inputs);
        for row in 0..m.rows {
            let scales = &m.scales[row * m.blocks()..];
            let of = |(column, q): (usize, i8)| {
                (f64::from(q) * value(scales[column / BLOCK], self.w_exp)) as f32
            };
            out.extend(m.dense_row(row).into_iter().enumerate().map(of));
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

    /// Quantises without partners.
    fn alone(
        w: &[f32],
        rows: usize,
        inputs: usize,
        format: Format,
        sparsity: Sparsity,
    ) -> Result<Quantised, NotFinite> {
        let shape = Shape {
            rows,
            inputs,
            format,
            sparsity,
        };
        matrix(w, &shape, places(w, &shape, |_| None))
    }
    fn int8(w: &[f32], rows: usize, inputs: usize) -> Result<Quantised, NotFinite> {
        alone(w, rows, inputs, Format::Int8, Sparsity::Dense)
    }

    fn largest_e(scales: &[u16]) -> u8 {
        scales.iter().map(|&s| Scale::from_bits(s).e).max().unwrap()
    }

    #[test]
    fn every_weight_is_within_half_a_step() {
        let w = random(7 * 75);
        let q = int8(&w, 7, 75).unwrap();
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
        let q = alone(&w, 1, 8, Format::Int8, Sparsity::TwoOfFour).unwrap();
        assert_eq!(q.matrix.positions, [1, 2, 0, 1]);
        let back = q.to_f32();
        for (place, want) in [0.0, -3.0, 2.0, 0.0, 7.0, 7.0, 0.0, 0.0].iter().enumerate() {
            assert!((back[place] - want).abs() < 0.03, "{back:?}");
        }
    }

    #[test]
    fn every_format_and_sparsity_keeps_what_it_can() {
        let w = random(19 * 160);
        let norm: f64 = w.iter().map(|w| f64::from(*w).powi(2)).sum();
        for sparsity in Sparsity::ALL {
            let mut errors = Vec::new();
            for format in Format::ALL {
                let q = alone(&w, 19, 160, format, sparsity).unwrap();
                assert!(q.matrix.is_consistent());
                assert!(largest_e(&q.matrix.scales) == Scale::E_MAX);
                let (mut error, mut of_kept) = (0.0, 0.0);
                for (w, b) in w.iter().zip(q.to_f32()) {
                    error += (f64::from(*w) - f64::from(b)).powi(2);
                    if b != 0.0 {
                        of_kept += (f64::from(*w) - f64::from(b)).powi(2);
                    }
                }
                println!(
                    "{format:?} {}: relative error {:.4}, of the kept {:.4}",
                    sparsity.name(),
                    (error / norm).sqrt(),
                    (of_kept / norm).sqrt()
                );
                errors.push((error / norm).sqrt());
                assert!((of_kept / norm).sqrt() < 0.15);
            }
            assert!(errors[0] < errors[1] && errors[0] < errors[2]);
            if sparsity == Sparsity::Dense {
                assert!(errors[0] < 0.01 && errors[1] < 0.1 && errors[2] < 0.12);
            }
        }
    }

    #[test]
    fn partners_share_their_places() {
        let w = [3.0, 1.0, 0.0, 0.0];
        let other = vec![0.0, 0.0, 2.0, 0.5];
        let shape = Shape {
            rows: 1,
            inputs: 4,
            format: Format::Int4,
            sparsity: Sparsity::TwoOfFour,
        };
        assert_eq!(places(&w, &shape, |_| None), [0, 1]);
        assert_eq!(places(&w, &shape, |_| Some(other.clone())), [0, 2]);
        assert_eq!(places(&other, &shape, |_| Some(w.to_vec())), [0, 2]);
    }

    #[test]
    fn fp4_values_are_the_nearest() {
        for (w, q) in [
            (0.4, 0),
            (0.6, 1),
            (4.9, 4),
            (5.1, 6),
            (-7.5, -8),
            (10.1, 12),
            (99.0, 12),
        ] {
            assert_eq!(nearest(w, 1.0, Format::Fp4), q, "{w}");
        }
        assert_eq!(nearest(8.0, -1.0, Format::Int4), -8);
        assert_eq!(nearest(8.0, 1.0, Format::Int4), 7);
    }

    #[test]
    fn scales_far_below_the_largest_still_hold_their_block() {
        let mut w = vec![1e-3f32; 96];
        w[0] = 2f32.powi(30);
        w[32..64].fill(2f32.powi(-9));
        w[64..].fill(2f32.powi(-120));
        let q = int8(&w, 1, 96).unwrap();
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
        let q = int8(&[0.0; 64], 2, 32).unwrap();
        assert_eq!((q.w_exp, &q.matrix.scales[..]), (0, &[0, 0][..]));
        assert_eq!(q.to_f32(), [0.0; 64]);
        let bad = int8(&[f32::NAN; 32], 1, 32);
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
        assert!(r
            .values
            .iter()
            .all(|&q| (-16384..=16384).contains(&q) && numeric::limbs(q).1 != -128));
        for (block, back) in w.chunks(40).zip(r.to_f32(40).chunks(40)) {
            let top = block.iter().fold(0f32, |m, v| m.max(v.abs()));
            for (w, b) in block.iter().zip(back) {
                assert!((w - b).abs() <= top / 10000.0);
            }
        }
    }
}
