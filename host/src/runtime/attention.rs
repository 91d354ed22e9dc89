//! Causal attention with a cache of keys and values.

use super::kernels::{self, matmul};
use crate::model::spec::{Attention as Shape, Rope};
use crate::model::{self, Checkpoint, Tensor};

/// A matrix and perhaps a bias.
struct Linear {
    weight: Tensor,
    bias: Option<Vec<f32>>,
}

impl Linear {
    fn open(
        c: &Checkpoint,
        name: &str,
        shape: [usize; 2],
        bias: bool,
    ) -> Result<Self, model::Error> {
        let weight = c.get(&format!("{name}.weight"), &shape)?;
        let bias = bias
            .then(|| {
                c.get(&format!("{name}.bias"), &shape[..1])
                    .map(|b| b.to_f32())
            })
            .transpose()?;
        Ok(Self { weight, bias })
    }

    /// For each row of `x`.
    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len() / self.weight.width() * self.weight.height()];
        matmul(&self.weight, x, &mut out);
        if let Some(bias) = &self.bias {
            out.chunks_exact_mut(bias.len())
                .for_each(|row| kernels::add(row, bias));
        }
        out
    }
}

/// The attention block of one layer.
pub(super) struct Attention {
    shape: Shape,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    /// Weights of the norms over whole queries and keys.
    qk_norm: Option<(Vec<f32>, Vec<f32>)>,
    norm_eps: f32,
}

/// Keys (rotated) and values of one layer: for each key and value head, `[positions, head_dim]`.
pub(super) struct KvCache {
    heads: Vec<KvHead>,
}

#[derive(Clone, Default)]
struct KvHead {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl KvCache {
    pub(super) fn new(shape: &Shape) -> Self {
        Self {
            heads: vec![KvHead::default(); shape.kv_heads],
        }
    }

    pub(super) fn clear(&mut self) {
        for head in &mut self.heads {
            head.keys.clear();
            head.values.clear();
        }
    }

    /// Appends positions: `keys` and `values` are `[T, kv_heads, head_dim]`.
    fn extend(&mut self, keys: &[f32], values: &[f32], head_dim: usize) {
        let count = self.heads.len();
        for (at, (key, value)) in keys
            .chunks_exact(head_dim)
            .zip(values.chunks_exact(head_dim))
            .enumerate()
        {
            let head = &mut self.heads[at % count];
            head.keys.extend_from_slice(key);
            head.values.extend_from_slice(value);
        }
    }
}

impl Attention {
    pub(super) fn open(
        c: &Checkpoint,
        layer: usize,
        shape: &Shape,
        hidden: usize,
        norm_eps: f32,
    ) -> Result<Self, model::Error> {
        let (q, kv) = (
            shape.heads * shape.head_dim,
            shape.kv_heads * shape.head_dim,
        );
        let name = |part: &str| format!("model.layers.{layer}.self_attn.{part}");
        let linear = |part: &str, size, bias| Linear::open(c, &name(part), size, bias);
        let norm = |part: &str, size| c.get(&name(part), &[size]).map(|w| w.to_f32());
        let qk_norm = if shape.qk_norm {
            Some((norm("q_norm.weight", q)?, norm("k_norm.weight", kv)?))
        } else {
            None
        };
        Ok(Self {
            query: linear("q_proj", [q, hidden], shape.qkv_bias)?,
            key: linear("k_proj", [kv, hidden], shape.qkv_bias)?,
            value: linear("v_proj", [kv, hidden], shape.qkv_bias)?,
            output: linear("o_proj", [hidden, q], shape.out_bias)?,
            qk_norm,
            norm_eps,
            shape: shape.clone(),
        })
    }

    /// Attention output for each row of `x` (`[T, hidden]`, after the norm), which follow the positions in `cache`.
    pub(super) fn apply(&self, x: &[f32], angles: &Angles, cache: &mut KvCache) -> Vec<f32> {
        let Shape {
            heads,
            kv_heads,
            head_dim,
            window,
            ..
        } = self.shape;
        let mut q = self.query.apply(x);
        let mut k = self.key.apply(x);
        let mut v = self.value.apply(x);
        if let Some((query, key)) = &self.qk_norm {
            kernels::rms_norm(&mut q, query, self.norm_eps);
            kernels::rms_norm(&mut k, key, self.norm_eps);
        }
        if let Some(clip) = self.shape.clip {
            [&mut q, &mut k, &mut v]
                .into_iter()
                .flatten()
                .for_each(|x| *x = x.clamp(-clip, clip));
        }
        angles.rotate(&mut q, heads * head_dim);
        angles.rotate(&mut k, kv_heads * head_dim);

        let past = cache.heads[0].keys.len() / head_dim;
        cache.extend(&k, &v, head_dim);
        let cached = &cache.heads;

        let scale = 1.0 / (head_dim as f32).sqrt();
        let mut mixed = vec![0.0; q.len()];
        let work = 2 * q.len() * (past + q.len() / (heads * head_dim));
        // One chunk is one head of one token.
        kernels::for_chunks(&mut mixed, head_dim, work, |at, mixed| {
            let position = past + at / heads;
            let first = window.map_or(0, |w| (position + 1).saturating_sub(w));
            let seen = first * head_dim..(position + 1) * head_dim;
            let KvHead { keys, values } = &cached[at % heads / (heads / kv_heads)];
            let query = &q[at * head_dim..(at + 1) * head_dim];
            let mut scores = vec![0.0; position + 1 - first];
            kernels::dots(&keys[seen.clone()], query, &mut scores);
            scores.iter_mut().for_each(|score| *score *= scale);
            kernels::softmax(&mut scores);
            for (value, score) in values[seen].chunks_exact(head_dim).zip(scores) {
                kernels::axpy(score, value, mixed);
            }
        });
        self.output.apply(&mixed)
    }
}

/// Cosines and sines of the rotary embedding for a run of positions, `[T, head_dim / 2]` each.
pub(super) struct Angles {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    /// For the positions `first .. first + count`.
    pub(super) fn new(rope: Rope, head_dim: usize, first: usize, count: usize) -> Self {
        let half = head_dim / 2;
        let frequency = |i: usize| libm::pow(rope.theta, -(i as f64) / half as f64);
        let frequencies: Vec<f64> = (0..half).map(frequency).collect();
        let angles =
            || (first..first + count).flat_map(|p| frequencies.iter().map(move |f| p as f64 * f));
        Self {
            half,
            cos: angles().map(|a| libm::cos(a) as f32).collect(),
            sin: angles().map(|a| libm::sin(a) as f32).collect(),
        }
    }

    /// Rotates every head of every token: `x` is `[T, width]`, `width` whole heads.
    fn rotate(&self, x: &mut [f32], width: usize) {
        let half = self.half;
        let turns = self.cos.chunks_exact(half).zip(self.sin.chunks_exact(half));
        for (token, (cos, sin)) in x.chunks_exact_mut(width).zip(turns) {
            for head in token.chunks_exact_mut(2 * half) {
                let (low, high) = head.split_at_mut(half);
                for i in 0..half {
                    let (a, b) = (low[i], high[i]);
                    low[i] = a * cos[i] - b * sin[i];
                    high[i] = b * cos[i] + a * sin[i];
                }
            }
        }
    }
}
