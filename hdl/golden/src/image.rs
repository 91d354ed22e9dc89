//! Weight images, written as `docs/formats.md`, section 7, lays them out.

use abi::config::LANES;
use abi::layout::{
    down_section, hidden_section, plain_section, router_section, IMAGE_MAGIC, POSITION_WORD,
    SCALE_WORD, VALUE_WORD,
};
use abi::{Format, Section, Sparsity, Storage, BEAT, BLOCK};
use numeric::Scale;

/// A quantised matrix, independent of any engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Rows.
    pub rows: usize,
    /// Inputs, without the bias.
    pub inputs: usize,
    /// Storage. In a paired matrix the two rows that share a lane have the same positions: those of the same row of gate and
    /// up, otherwise rows r and r + 8 of each 16.
    pub storage: Storage,
    /// The integers `q` of the stored values, row by row: K * N / M of each, inputs ascending. (FP4: twice the value.)
    pub values: Vec<i8>,
    /// For each stored value its place among its M inputs; empty if dense.
    pub positions: Vec<u8>,
    /// Binary16 patterns, row by row, one for each block of 32 inputs, without the bias.
    pub scales: Vec<u16>,
    /// One for each row where the storage has a bias, otherwise empty.
    pub biases: Vec<BiasRow>,
}

/// The bias block of a row: values that are multiplied with one each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BiasRow {
    /// Binary16 pattern.
    pub scale: u16,
    /// 32 * N / M values `q` (a router's: 32 `q15`).
    pub values: Vec<i16>,
}

/// The exponents of an expert's matrices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exponents {
    /// Gate, or the first matrix of an un-gated expert.
    pub gate: i16,
    /// Up; 0 if there is none.
    pub up: i16,
    /// Down.
    pub down: i16,
}

impl Matrix {
    /// Stored values per row, bias not counted.
    pub fn kept(&self) -> usize {
        let (n, m) = self.storage.sparsity.ratio();
        self.inputs / m * n
    }

    /// Blocks of a row without the bias.
    pub fn blocks(&self) -> usize {
        self.inputs.div_ceil(BLOCK)
    }

    /// The lengths of the arrays agree with the shape, and every value can be stored.
    pub fn is_consistent(&self) -> bool {
        let (_, m) = self.storage.sparsity.ratio();
        let stored = self.rows * self.kept();
        let dense = self.storage.sparsity == Sparsity::Dense;
        let biases = if self.storage.bias { self.rows } else { 0 };
        let fits = |q: i16| code(self.storage.format, q).is_some();
        self.inputs.is_multiple_of(m)
            && self.values.len() == stored
            && self.positions.len() == if dense { 0 } else { stored }
            && self.scales.len() == self.rows * self.blocks()
            && self.biases.len() == biases
            && self.values.iter().all(|&q| fits(q.into()))
            && self.biases.iter().all(|b| {
                b.values.len() == self.storage.sparsity.kept() && b.values.iter().all(|&q| fits(q))
            })
    }

    /// The weight of each input of a row as an integer, bias not included.
    pub fn dense_row(&self, row: usize) -> Vec<i8> {
        let (n, m) = self.storage.sparsity.ratio();
        let mut out = vec![0; self.inputs];
        for i in 0..self.kept() {
            let at = row * self.kept() + i;
            let place = self.positions.get(at).map_or(0, |&p| usize::from(p));
            out[i / n * m + place] = self.values[at];
        }
        out
    }

    /// The scale of a block, bias block included.
    fn scale(&self, row: usize, block: usize) -> u16 {
        if block == self.blocks() {
            self.biases[row].scale
        } else {
            self.scales[row * self.blocks() + block]
        }
    }

    /// Stored value `entry` of a block, with its position.
    fn entry(&self, row: usize, block: usize, entry: usize) -> (i16, u8) {
        if block == self.blocks() {
            let (n, _) = self.storage.sparsity.ratio();
            return (self.biases[row].values[entry], (entry % n) as u8);
        }
        let i = block * self.storage.sparsity.kept() + entry;
        if i >= self.kept() {
            return (0, 0);
        }
        let at = row * self.kept() + i;
        let position = self.positions.get(at).copied().unwrap_or(0);
        (self.values[at].into(), position)
    }
}

/// The stored value of a row's block that is value `v` of pass `pass`.
const fn entry_of(sparsity: Sparsity, pass: usize, v: usize) -> usize {
    match sparsity {
        Sparsity::Dense => 4 * v + pass,
        Sparsity::TwoOfFour => 2 * v + pass,
        Sparsity::FourOfEight => 4 * (v >> 1) + 2 * pass + (v & 1),
        Sparsity::OneOfFour | Sparsity::OneOfEight => v,
    }
}

/// Bits of one stored position.
const fn position_width(sparsity: Sparsity) -> usize {
    match sparsity {
        Sparsity::Dense => 0,
        Sparsity::TwoOfFour | Sparsity::OneOfFour => 2,
        Sparsity::FourOfEight | Sparsity::OneOfEight => 4,
    }
}

/// The bits of a value; `None` if the format does not have it.
fn code(format: Format, q: i16) -> Option<u64> {
    match format {
        Format::Int8 => i8::try_from(q).ok().map(|q| u64::from(q as u8)),
        Format::Int4 => (-8..8).contains(&q).then_some(q as u64 & 15),
        Format::Fp4 => numeric::value::fp4_bits(i8::try_from(q).ok()?).map(u64::from),
    }
}

/// Appends the group records of a section: one matrix, or gate and up.
fn write_section(section: &Section, matrices: &[&Matrix], out: &mut Vec<u8>) {
    let storage = section.storage;
    let sparsity = storage.sparsity;
    let (granule, bits) = (storage.granule_bits(), storage.format.bits());
    let width = position_width(sparsity);
    for group in 0..section.groups() {
        let start = out.len();
        out.resize(start + section.group_bytes(), 0);
        let (scales, rest) = out[start..].split_at_mut(section.scale_words() * SCALE_WORD);
        let (positions, values) = rest.split_at_mut(section.position_words() * POSITION_WORD);
        for lane in 0..LANES {
            for second in 0..storage.lane_rows() {
                let at = section.lane_row(group, lane, second == 1);
                if at.row >= section.rows {
                    continue;
                }
                let matrix = matrices[at.matrix];
                for block in 0..section.stored_blocks() {
                    let word = block * storage.lane_rows() + second;
                    let scale = matrix.scale(at.row, block);
                    scales[word * SCALE_WORD + 2 * lane..][..2]
                        .copy_from_slice(&scale.to_le_bytes());
                    for pass in 0..sparsity.passes() {
                        let c = block * sparsity.passes() + pass;
                        let mut word = 0u64;
                        let mut picks = 0u32;
                        for v in 0..sparsity.pass_values() {
                            let (q, pick) =
                                matrix.entry(at.row, block, entry_of(sparsity, pass, v));
                            word |= code(storage.format, q).unwrap_or(0) << (v * bits);
                            picks |= u32::from(pick) << (v * width);
                        }
                        let bit = c * granule;
                        let shift = bit % 64 + second * sparsity.pass_values() * bits;
                        let part = &mut values[bit / 64 * VALUE_WORD + 8 * lane..][..8];
                        for (byte, new) in part.iter_mut().zip((word << shift).to_le_bytes()) {
                            *byte |= new;
                        }
                        let picks = &picks.to_le_bytes()[..sparsity.position_bits() / 8];
                        let place = match sparsity.position_bits() {
                            0 => continue,
                            16 => (c >> 1) * POSITION_WORD + 4 * lane + 2 * (c & 1),
                            _ => c * POSITION_WORD + 4 * lane,
                        };
                        let place = &mut positions[place..][..picks.len()];
                        assert!(second == 0 || place == picks, "paired rows share positions");
                        place.copy_from_slice(picks);
                    }
                }
            }
        }
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

/// The image of an expert: `hidden` is gate and up, or the one first matrix of an un-gated expert.
///
/// # Panics
/// If the matrices are inconsistent or do not fit together; callers check their input before.
pub fn write_expert(hidden: &[&Matrix], down: &Matrix, exponents: Exponents) -> Vec<u8> {
    let gated = hidden.len() == 2;
    let first = hidden[0];
    let (d, f, storage) = (first.inputs, first.rows, first.storage);
    assert!(gated || hidden.len() == 1);
    for m in hidden {
        assert_eq!((m.rows, m.inputs, m.storage), (f, d, storage));
        assert!(m.is_consistent());
    }
    assert_eq!((down.rows, down.inputs, down.storage), (d, f, storage));
    assert!(down.is_consistent());
    let mut out = header([exponents.gate, exponents.up, exponents.down]);
    write_section(&hidden_section(d, f, gated, storage), hidden, &mut out);
    write_section(&down_section(d, f, storage), &[down], &mut out);
    out
}

/// The image of a dense layer.
///
/// # Panics
/// If the matrix is inconsistent; callers check their input before.
pub fn write_plain(matrix: &Matrix, w_exp: i16) -> Vec<u8> {
    assert!(matrix.is_consistent());
    let section = plain_section(matrix.inputs, matrix.rows, matrix.storage);
    let mut out = header([w_exp, 0, 0]);
    write_section(&section, &[matrix], &mut out);
    out
}

/// A router's weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouterWeights {
    /// E.
    pub experts: usize,
    /// d.
    pub inputs: usize,
    /// E rows of `q15` values.
    pub q15: Vec<i16>,
    /// Scales of those rows.
    pub scales: Vec<u16>,
    /// Exponent of the matrix.
    pub w_exp: i16,
    /// The rows' bias blocks (32 `q15` each), or none.
    pub biases: Vec<BiasRow>,
    /// Biases of the choice, Q7.24, or none.
    pub choice: Vec<i32>,
}

/// The image of a router.
///
/// # Panics
/// If the arrays do not fit E and d; callers check their input before.
pub fn write_router(w: &RouterWeights) -> Vec<u8> {
    assert!([0, w.experts].contains(&w.choice.len()));
    let limbs: Vec<(i8, i8)> = w.q15.iter().map(|&q| numeric::limbs(q)).collect();
    let bias = |part: fn((i8, i8)) -> i8| {
        w.biases.iter().map(move |b| BiasRow {
            scale: b.scale,
            values: b
                .values
                .iter()
                .map(|&q| part(numeric::limbs(q)).into())
                .collect(),
        })
    };
    let section = router_section(w.inputs, w.experts, !w.biases.is_empty());
    let matrix = Matrix {
        rows: 2 * w.experts,
        inputs: w.inputs,
        storage: section.storage,
        values: limbs
            .iter()
            .map(|l| l.0)
            .chain(limbs.iter().map(|l| l.1))
            .collect(),
        positions: Vec::new(),
        scales: [&w.scales[..], &w.scales[..]].concat(),
        biases: bias(|l| l.0).chain(bias(|l| l.1)).collect(),
    };
    assert!(matrix.is_consistent());
    let mut out = header([w.w_exp, 0, 0]);
    write_section(&section, &[&matrix], &mut out);
    for b in &w.choice {
        out.extend(b.to_le_bytes());
    }
    out.resize(out.len().next_multiple_of(BEAT), 0);
    out
}

/// Best of the ways to write `target` as `sum * m * 2^e` with a sum from `sums`.
fn nearest_product(target: f64, sums: impl Iterator<Item = u32>) -> Option<(u32, Scale)> {
    let power = |e: i32| f64::from_bits(((1023 + e) as u64) << 52);
    let mut best: Option<(f64, u32, Scale)> = None;
    for sum in sums {
        let each = target / f64::from(sum);
        let floor = (each.to_bits() >> 52) as i32 - 1023; // of its logarithm
        let mut e = (floor - 10).max(1);
        if e > i32::from(Scale::E_MAX) {
            continue;
        }
        let mut m = (each / power(e) + 0.5) as i16;
        if m > 2047 {
            e += 1;
            m = (each / power(e) + 0.5) as i16;
        }
        if e > i32::from(Scale::E_MAX) {
            continue;
        }
        let error = (f64::from(sum) * f64::from(m) * power(e) - target).abs();
        if best.is_none_or(|b| error < b.0) {
            best = Some((error, sum, Scale { m, e: e as u8 }));
        }
        if error <= target * power(-20) {
            break;
        }
    }
    best.map(|(_, sum, scale)| (sum, scale))
}

/// The bias block whose values times scale are `bias`, for a matrix of exponent `w_exp`: the best of all sums of the stored
/// values. The relative error is below 2^-16 with int8 and below 2^-12 with four bits, where few sums exist. `None` if the bias is too large for the exponent or not finite. Biases below 2^(w_exp - 10) are rounded to a
/// multiple of about 2^(w_exp - 29).
pub fn bias_row(bias: f64, w_exp: i16, storage: Storage) -> Option<BiasRow> {
    let kept = storage.sparsity.kept();
    let target = bias.abs() * f64::from(30 - i32::from(w_exp)).exp2();
    if !target.is_finite() {
        return None;
    }
    if target == 0.0 {
        return Some(BiasRow {
            scale: 0,
            values: vec![0; kept],
        });
    }
    let most: u32 = match storage.format {
        Format::Int8 => 127,
        Format::Int4 => 7,
        Format::Fp4 => 12,
    };
    // The largest sums first: their products lie closest.
    let sums = (1..=most * kept as u32)
        .rev()
        .filter(|&s| storage.format != Format::Fp4 || twelves(s) <= kept);
    let (sum, scale) = nearest_product(target, sums)?;
    let scale = Scale {
        m: if bias < 0.0 { -scale.m } else { scale.m },
        ..scale
    };
    Some(BiasRow {
        scale: scale.to_bits()?,
        values: spread(storage.format, sum, kept)?,
    })
}

/// What is left of a twelve, as at most two magnitudes of FP4.
const REST: [&[i16]; 12] = [
    &[],
    &[1],
    &[2],
    &[3],
    &[4],
    &[4, 1],
    &[6],
    &[6, 1],
    &[8],
    &[8, 1],
    &[8, 2],
    &[8, 3],
];

/// FP4 values whose sum is `sum`, when as many as possible are twelves.
fn twelves(sum: u32) -> usize {
    sum as usize / 12 + REST[sum as usize % 12].len()
}

/// `sum` as that of `n` values of a format; `None` if there are too few.
fn spread(format: Format, sum: u32, n: usize) -> Option<Vec<i16>> {
    if format != Format::Fp4 {
        let (each, more) = (sum as usize / n, sum as usize % n);
        return Some(
            (0..n)
                .map(|i| (each + usize::from(i < more)) as i16)
                .collect(),
        );
    }
    let mut values = vec![12; sum as usize / 12];
    values.extend(REST[sum as usize % 12]);
    (values.len() <= n).then(|| {
        values.resize(n, 0);
        values
    })
}

/// The bias block of a router's row, 32 `q15` that avoid a `lo` limb of -128. `None` as for [`bias_row`].
pub fn router_bias_row(bias: f64, w_exp: i16) -> Option<BiasRow> {
    let target = bias.abs() * f64::from(30 - i32::from(w_exp)).exp2();
    if target == 0.0 {
        return Some(BiasRow {
            scale: 0,
            values: vec![0; BLOCK],
        });
    }
    // A mantissa of 1024 and a sum of 19 bits.
    let e = ((target / 1024.0).log2().floor() - 18.0).max(1.0);
    let sum = (target / 1024.0 / e.exp2()).round();
    if !target.is_finite() || e > f64::from(Scale::E_MAX) {
        return None;
    }
    let sum = (sum as i32).min((1 << 19) - 1);
    let (each, more) = (sum / BLOCK as i32, sum as usize % BLOCK);
    let mut values: Vec<i32> = (0..BLOCK).map(|i| each + i32::from(i < more)).collect();
    let bad = |v: i32| numeric::limbs(v as i16).1 == -128;
    // A value that has one moves away from its neighbour, which moves the other way; neighbours differ by one at most, so
    // neither ends where it started.
    while let Some(at) = values.iter().position(|&v| bad(v)) {
        let other = (0..BLOCK).rev().find(|&o| o != at && bad(values[o]));
        let other = other.unwrap_or((at + 1) % BLOCK);
        let step = if values[other] > values[at] { -1 } else { 1 };
        values[at] += step;
        values[other] -= step;
    }
    let sign = if bias < 0.0 { -1 } else { 1 };
    let scale = Scale {
        m: sign * 1024,
        e: e as u8,
    };
    Some(BiasRow {
        scale: scale.to_bits()?,
        values: values.into_iter().map(|v| v as i16).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Operand, Rows};
    use crate::sample::{random_matrix, Random};
    use crate::vector::{Limbs, Vector};

    fn storages() -> Vec<Storage> {
        (0..=255u8).filter_map(Storage::from_code).collect()
    }

    #[test]
    fn an_image_has_the_size_of_the_layout() {
        let random = &mut Random::new(3);
        for storage in storages() {
            let (d, f) = if storage.sparsity == Sparsity::Dense {
                (33, 7)
            } else {
                (40, 24)
            };
            for gated in [false, true] {
                let gate = random_matrix(random, f, d, storage, false, None);
                let up = random_matrix(random, f, d, storage, false, Some(&gate));
                let down = random_matrix(random, d, f, storage, false, None);
                let hidden = if gated { vec![&gate, &up] } else { vec![&gate] };
                let image = write_expert(&hidden, &down, Exponents::default());
                assert_eq!(
                    image.len(),
                    abi::layout::expert_bytes(d, f, gated, storage),
                    "{storage:?}"
                );
                assert_eq!(image[6..8], [0x45, 0x4D]);
            }
        }
    }

    /// What is written is read back: each weight, as the product of a row with a vector that has a single one.
    #[test]
    fn every_weight_is_found_again() {
        for (seed, storage) in storages().into_iter().enumerate() {
            let random = &mut Random::new(seed as u64);
            let (rows, inputs) = (21, 72);
            let mut m = random_matrix(random, rows, inputs, storage, true, None);
            m.scales.fill(0x4C00); // m = 1024, e = 19
            let image = write_plain(&m, 0);
            let section = plain_section(inputs, rows, storage);
            let decoded = Rows::decode(&section, &image[BEAT..]);
            for input in 0..inputs {
                let mut x = vec![0; inputs];
                x[input] = 1f32.to_bits();
                let v = Vector::q8(&x).before(storage.bias);
                let zeros = Vector::q8(&vec![0; inputs]).before(storage.bias);
                for row in 0..rows {
                    // The bias is the same in both (at the exponent of 1).
                    let got =
                        decoded.dot(row, &Operand::of(&v)) - decoded.dot(row, &Operand::of(&zeros));
                    let want = (i64::from(m.dense_row(row)[input]) * 64 * 1024) >> (11 + 4);
                    assert_eq!(got, want, "{storage:?} row {row} input {input}");
                }
            }
        }
    }

    /// Each stored value of a block has one pass and one multiplier.
    #[test]
    fn passes_cover_a_block() {
        for sparsity in Sparsity::ALL {
            let mut seen = vec![0; sparsity.kept()];
            for pass in 0..sparsity.passes() {
                for v in 0..sparsity.pass_values() {
                    seen[entry_of(sparsity, pass, v)] += 1;
                }
            }
            assert!(seen.iter().all(|&s| s == 1), "{sparsity:?} {seen:?}");
        }
    }

    #[test]
    fn router_limbs_stand_in_two_halves() {
        let w = RouterWeights {
            experts: 2,
            inputs: 1,
            q15: vec![300, -300],
            scales: vec![0x3C00; 2],
            w_exp: -7,
            choice: vec![5, -6],
            ..RouterWeights::default()
        };
        let image = write_router(&w);
        assert_eq!(image.len(), abi::layout::router_bytes(1, 2, false, true));
        assert_eq!(image[0], (-7i8) as u8);
        // header, one beat of scales, then the first word of values: 8 bytes a lane
        let value = |lane: usize| image[BEAT * 2 + 8 * lane] as i8;
        assert_eq!([0, 1, 2, 3].map(value), [1, -1, 44, -44]);
        let tail = &image[image.len() - BEAT..];
        assert_eq!(
            tail[..8],
            [5i32.to_le_bytes(), (-6i32).to_le_bytes()].concat()
        );
    }

    /// Biases through the whole path: image, decoding and accumulator.
    #[test]
    fn biases_come_out_as_they_went_in() {
        let random = &mut Random::new(8);
        for storage in storages().into_iter().filter(|s| s.bias && !s.paired) {
            let mut worst = 0f64;
            let mut sum = 0.0;
            for n in 0..2000 {
                let bias =
                    (random.normal().abs() + 0.01) * f64::from(random.below(14) as u32).exp2();
                let bias = if random.once_in(2) { -bias } else { bias };
                let row = bias_row(bias, 3, storage).unwrap();
                let s = Scale::from_bits(row.scale);
                let total: i16 = row.values.iter().sum();
                let got = f64::from(total) * f64::from(s.m) * f64::from(i32::from(s.e) - 27).exp2();
                let error = (got - bias).abs() / bias.abs();
                worst = worst.max(error);
                sum += error;
                if n < 10 {
                    let m = Matrix {
                        rows: 1,
                        inputs: 32,
                        storage,
                        values: vec![0; storage.sparsity.kept()],
                        positions: if storage.sparsity == Sparsity::Dense {
                            vec![]
                        } else {
                            vec![0; storage.sparsity.kept()]
                        },
                        scales: vec![0],
                        biases: vec![row],
                    };
                    let image = write_plain(&m, 3);
                    let rows = Rows::decode(&plain_section(32, 1, storage), &image[BEAT..]);
                    let v = Vector::q8(&[0; 32]).before(true);
                    let acc = rows.dot(0, &Operand::of(&v));
                    let lsb = f64::from(numeric::lsb(v.bmax, 3)).exp2();
                    assert!((acc as f64 * lsb - got).abs() <= lsb / 2.0);
                }
            }
            println!(
                "{:?} {}: relative error {:.2e} at most, {:.2e} on average",
                storage.format,
                storage.sparsity.name(),
                worst,
                sum / 2000.0
            );
            // Four values of four bits have only 28 or 48 different sums.
            let bound = match storage.format {
                Format::Int8 => 2f64.powi(-16),
                _ => 2f64.powi(-12),
            };
            assert!(worst < bound, "{worst:e}");
        }
        assert_eq!(bias_row(1e30, 0, Storage::INT8), None);
        assert_eq!(bias_row(f64::NAN, 0, Storage::INT8), None);
    }

    #[test]
    fn router_biases_too() {
        let random = &mut Random::new(9);
        for _ in 0..5000 {
            let bias = random.normal() * 8.0;
            let row = router_bias_row(bias, -24).unwrap();
            assert!(row
                .values
                .iter()
                .all(|&q| numeric::limbs(q).1 != -128 && q.unsigned_abs() <= 16384));
            let w = RouterWeights {
                experts: 1,
                inputs: 1,
                q15: vec![0],
                scales: vec![0],
                w_exp: -24,
                biases: vec![row],
                choice: vec![],
            };
            let rows = Rows::decode(&router_section(1, 1, true), &write_router(&w)[BEAT..]);
            let x = Limbs::of(&[0]).before(true);
            let (hi, lo) = (Operand::of(&x.hi), Operand::of(&x.lo));
            let logit = numeric::logit(
                rows.dot(0, &hi),
                rows.dot(0, &lo),
                rows.dot(1, &hi),
                rows.dot(1, &lo),
            );
            let got = logit as f64 * f64::from(numeric::lsb_router(127, -24)).exp2();
            // The accumulator of the two high limbs is a whole number of 2^16 LSBs.
            let unit = f64::from(numeric::lsb_router(127, -24) + 15).exp2();
            assert!(
                (got - bias).abs() < bias.abs() * 2f64.powi(-18) + unit,
                "{got} {bias}"
            );
        }
    }
}
