//! The arithmetic of the CPU side, with the same bits on every machine and for any number of threads.
//!
//! A sum over `n` products is 16 sums, of the elements whose index is 0, 1, ... 15 modulo 16, each in index order by a
//! multiplication and then an addition (never fused), which are then added pairwise: 8 apart, 4, 2, 1. That order is
//! written once, in [`dot_body`], and compiled for each instruction set: vector registers hold the lanes, so no
//! instruction set changes the order. Threads divide output elements, never a sum. Transcendental functions are those of
//! `libm`, in software.

use rayon::prelude::*;

use crate::model::tensor::{Element, Tensor};
use crate::with_elements;

/// Number of partial sums.
const LANES: usize = 16;
/// Matrix rows that are multiplied with one vector at a time, to have enough independent sums in flight.
const ROWS: usize = 4;
/// Multiplications below which a second thread costs more than it brings.
const PARALLEL_MIN: usize = 1 << 17;

/// Instruction sets that the kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// What every machine of this architecture has.
    Portable,
    /// 256-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Tier {
    /// The tiers that this machine can run, best first. Never empty.
    pub fn available() -> Vec<Self> {
        let mut tiers = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                tiers.push(Self::Avx512);
            }
            if std::arch::is_x86_feature_detected!("avx2") {
                tiers.push(Self::Avx2);
            }
        }
        tiers.push(Self::Portable);
        tiers
    }

    /// The best tier of this machine.
    pub fn best() -> Self {
        static BEST: std::sync::OnceLock<Tier> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| Self::available()[0])
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "AVX-512",
        }
    }
}

/// `R` dot products with the same `x`, in the order that the module describes. All slices are equally long.
#[inline(always)]
fn dot_body<E: Element, const R: usize>(rows: [&[E]; R], x: &[f32]) -> [f32; R] {
    // Loops rather than iterator adaptors: closures would not be compiled for the caller's instruction set.
    let mut sums = [[0.0f32; LANES]; R];
    let (whole, rest) = x.as_chunks::<LANES>();
    for (at, x) in whole.iter().enumerate() {
        for r in 0..R {
            let row = &rows[r][at * LANES..(at + 1) * LANES];
            for lane in 0..LANES {
                sums[r][lane] += row[lane].widen() * x[lane];
            }
        }
    }
    let mut out = [0.0; R];
    for r in 0..R {
        let row = &rows[r][whole.len() * LANES..];
        for lane in 0..rest.len() {
            sums[r][lane] += row[lane].widen() * rest[lane];
        }
        let sums = &mut sums[r];
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                sums[lane] += sums[lane + half];
            }
        }
        out[r] = sums[0];
    }
    out
}

/// `out[t][r] = matrix[r] . x[t]` for the rows of `matrix` (`[out_width, n]`) and the vectors of `x` (`[T, n]`).
#[inline(always)]
fn block_body<E: Element>(matrix: &[E], x: &[f32], n: usize, out: &mut [f32], out_width: usize) {
    for first in (0..out_width).step_by(ROWS) {
        let row = |r: usize| &matrix[r * n..(r + 1) * n];
        for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(out_width)) {
            if first + ROWS <= out_width {
                let rows = [row(first), row(first + 1), row(first + 2), row(first + 3)];
                out[first..first + ROWS].copy_from_slice(&dot_body::<E, ROWS>(rows, x));
            } else {
                for (r, out) in out.iter_mut().enumerate().skip(first) {
                    [*out] = dot_body([row(r)], x);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn block_avx2<E: Element>(matrix: &[E], x: &[f32], n: usize, out: &mut [f32], out_width: usize) {
    block_body(matrix, x, n, out, out_width);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn block_avx512<E: Element>(matrix: &[E], x: &[f32], n: usize, out: &mut [f32], out_width: usize) {
    block_body(matrix, x, n, out, out_width);
}

fn block<E: Element>(
    tier: Tier,
    matrix: &[E],
    x: &[f32],
    n: usize,
    out: &mut [f32],
    out_width: usize,
) {
    match tier {
        Tier::Portable => block_body(matrix, x, n, out, out_width),
        // SAFETY: a tier other than portable comes from `Tier::available`, which asked the CPU.
        #[cfg(target_arch = "x86_64")]
        Tier::Avx2 => unsafe { block_avx2(matrix, x, n, out, out_width) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Tier::Avx512 => unsafe { block_avx512(matrix, x, n, out, out_width) },
    }
}

/// Calls `f(index, chunk)` for every chunk of `out`, on several threads where `work` (multiplications in all) is worth
/// it. Runs in the rayon pool that it is called in.
pub fn for_chunks(
    out: &mut [f32],
    chunk: usize,
    work: usize,
    f: impl Fn(usize, &mut [f32]) + Sync,
) {
    if work < PARALLEL_MIN || rayon::current_num_threads() == 1 {
        out.chunks_mut(chunk)
            .enumerate()
            .for_each(|(at, chunk)| f(at, chunk));
    } else {
        out.par_chunks_mut(chunk)
            .enumerate()
            .for_each(|(at, chunk)| f(at, chunk));
    }
}

/// `out[t] = matrix x[t]`: `matrix` is `[m, n]`, `x` is `[T, n]`, `out` is `[T, m]` and is overwritten.
pub fn matmul(matrix: &Tensor, x: &[f32], out: &mut [f32]) {
    matmul_at(Tier::best(), matrix, x, out);
}

fn matmul_at(tier: Tier, matrix: &Tensor, x: &[f32], out: &mut [f32]) {
    let (m, n) = (matrix.height(), matrix.width());
    let tokens = x.len() / n;
    assert!(
        x.len() == tokens * n && out.len() == tokens * m,
        "matmul of contradicting sizes"
    );
    let share = |of: usize| of.div_ceil(4 * rayon::current_num_threads());
    let work = tokens * m * n;
    with_elements!(&matrix.data, w => {
        let w: &[_] = w;
        if tokens == 1 {
            let rows = share(m).next_multiple_of(ROWS);
            for_chunks(out, rows, work, |at, out| {
                let first = at * rows;
                block(tier, &w[first * n..(first + out.len()) * n], x, n, out, out.len());
            });
        } else {
            let some = share(tokens);
            for_chunks(out, some * m, work, |at, out| {
                let first = at * some * n;
                block(tier, w, &x[first..first + out.len() / m * n], n, out, m);
            });
        }
    });
}

/// `out[r] = rows[r] . x`: `rows` is `[out.len(), x.len()]`. On this thread.
pub fn dots(rows: &[f32], x: &[f32], out: &mut [f32]) {
    assert_eq!(
        rows.len(),
        x.len() * out.len(),
        "dot products of contradicting sizes"
    );
    block(Tier::best(), rows, x, x.len(), out, out.len());
}

/// `y += a * x`, element by element.
pub fn axpy(a: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// `y += x`, element by element.
pub fn add(y: &mut [f32], x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

/// RMSNorm of each row of `x` (`[T, weight.len()]`) in place: `x / sqrt(mean(x^2) + eps) * weight`.
pub fn rms_norm(x: &mut [f32], weight: &[f32], eps: f32) {
    for row in x.chunks_exact_mut(weight.len()) {
        let mut square = [0.0];
        dots(row, row, &mut square);
        let scale = 1.0 / (square[0] / weight.len() as f32 + eps).sqrt();
        for (x, w) in row.iter_mut().zip(weight) {
            *x = *x * scale * w;
        }
    }
}

/// Softmax in place, with the maximum subtracted first.
pub fn softmax(x: &mut [f32]) {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for x in &mut *x {
        *x = libm::expf(*x - max);
        sum += *x;
    }
    for x in x {
        *x /= sum;
    }
}

/// `1 / (1 + e^-x)`.
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

/// `gate = silu(gate) * up`, element by element, with `silu(x) = x * sigmoid(x)`.
pub fn silu_times(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate * sigmoid(*gate) * up;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tensor::{Bf16, Data, Slice, F16};
    use crate::runtime::random::Random;

    /// The order of the module's description, element by element, on one lane at a time.
    fn plain_dot(a: &[f32], b: &[f32]) -> f32 {
        let lane = |lane: usize| -> f32 {
            let products = (lane..a.len()).step_by(16).map(|i| a[i] * b[i]);
            products.fold(0.0, |sum, product| sum + product)
        };
        let eight: [f32; 8] = std::array::from_fn(|i| lane(i) + lane(i + 8));
        let four: [f32; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
        (four[0] + four[2]) + (four[1] + four[3])
    }

    fn bits(x: &[f32]) -> Vec<u32> {
        x.iter().map(|x| x.to_bits()).collect()
    }

    #[test]
    fn every_tier_format_and_thread_count_gives_the_same_bits() {
        let seed = 7;
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let pools = [1, 2, 3].map(|n| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(n)
                .build()
                .unwrap()
        });
        for (m, n, tokens) in [
            (1, 1, 1),
            (5, 15, 2),
            (9, 33, 1),
            (64, 48, 3),
            (130, 250, 17),
            (513, 320, 1),
        ] {
            let x: Vec<f32> = (0..tokens * n).map(|_| random.normal()).collect();
            let values: Vec<f32> = (0..m * n).map(|_| random.normal()).collect();
            let f16: Vec<_> = values
                .iter()
                .map(|&v| F16(half::f16::from_f32(v).to_bits()))
                .collect();
            let bf16: Vec<_> = values
                .iter()
                .map(|&v| Bf16(half::bf16::from_f32(v).to_bits()))
                .collect();
            let formats = [
                Data::F32(Slice::own(values)),
                Data::F16(Slice::own(f16)),
                Data::Bf16(Slice::own(bf16)),
            ];
            for data in formats {
                let matrix = Tensor {
                    shape: vec![m, n],
                    data,
                };
                let wide = matrix.to_f32();
                let expected: Vec<f32> = (0..tokens * m)
                    .map(|i| plain_dot(&wide[i % m * n..][..n], &x[i / m * n..][..n]))
                    .collect();
                for tier in Tier::available() {
                    for pool in &pools {
                        let mut out = vec![f32::NAN; tokens * m];
                        pool.install(|| matmul_at(tier, &matrix, &x, &mut out));
                        assert_eq!(
                            bits(&out),
                            bits(&expected),
                            "{tier:?}, {m} x {n}, {tokens} tokens"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn softmax_takes_large_numbers() {
        let mut x = [1e30, 1e30, -1e30];
        softmax(&mut x);
        assert_eq!(x, [0.5, 0.5, 0.0]);
    }
}
