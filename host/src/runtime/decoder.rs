//! The weights that run on the CPU: everything but the routed experts.

use super::attention::{Angles, Attention, KvCache};
use super::cpu_experts::swiglu;
use super::kernels::{self, matmul};
use super::{Error, Experts, Routing};
use crate::model::spec::{Ffn as Shape, Spec};
use crate::model::{self, Checkpoint, Model, Tensor};

/// A decoder-only model without its routed experts.
pub struct Decoder {
    pub(super) spec: Spec,
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    head: Tensor,
}

struct Layer {
    attention_norm: Vec<f32>,
    attention: Attention,
    ffn_norm: Vec<f32>,
    ffn: Ffn,
}

enum Ffn {
    Dense(Mlp),
    /// Routed experts, behind the seam, and perhaps a shared expert.
    Moe(Moe),
}

struct Moe {
    shared: Option<Shared>,
    /// The router, `[experts, hidden]`: here it only guesses; the choice is made behind the seam.
    router: Tensor,
}

/// A SwiGLU MLP.
struct Mlp {
    gate: Tensor,
    up: Tensor,
    down: Tensor,
}

/// A shared expert, scaled by the sigmoid of `gate . x`; `gate` is `[1, hidden]`.
struct Shared {
    mlp: Mlp,
    gate: Tensor,
}

impl Decoder {
    /// Finds the weights; fails where a tensor is missing or contradicts the configuration.
    pub fn open(model: &Model) -> Result<Self, model::Error> {
        let (spec, c) = (&model.spec, &model.checkpoint);
        let (vocab, hidden) = (spec.vocab, spec.hidden);
        let embedding = c.get("model.embed_tokens.weight", &[vocab, hidden])?;
        let head = if spec.tied_head {
            embedding.clone()
        } else {
            c.get("lm_head.weight", &[vocab, hidden])?
        };
        let layers = (0..spec.layers.len())
            .map(|at| Layer::open(model, at))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            spec: spec.clone(),
            embedding,
            layers,
            norm: c.get("model.norm.weight", &[hidden])?.to_f32(),
            head,
        })
    }

    /// What the model is.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Runs all layers for `tokens`, which follow the `past` positions in `caches` (one per layer), and returns the
    /// residual stream `[T, hidden]`. `routed` is called after each routed layer with its number and the choices made.
    pub(super) fn layers(
        &self,
        tokens: &[u32],
        past: usize,
        caches: &mut [KvCache],
        experts: &mut dyn Experts,
        routed: &mut dyn FnMut(&Routing),
    ) -> Result<Vec<f32>, Error> {
        let (spec, hidden) = (&self.spec, self.spec.hidden);
        let mut x = vec![0.0; tokens.len() * hidden];
        for (at, (&id, row)) in tokens.iter().zip(x.chunks_exact_mut(hidden)).enumerate() {
            if id as usize >= spec.vocab {
                return Err(Error::Token {
                    id,
                    position: past + at,
                    vocab: spec.vocab,
                });
            }
            self.embedding.row_to_f32(id as usize, row);
        }
        let mut routing = Routing::default();
        let mut routed_sum = vec![0.0; x.len()];
        // Every family so far has one head size; layers that differ would each need their own angles.
        let head_dim = spec.layers.first().map_or(2, |l| l.attention.head_dim);
        let angles = Angles::new(spec.rope, head_dim, past, tokens.len());
        let foresees = experts.foresees();
        for (at, (layer, cache)) in self.layers.iter().zip(caches).enumerate() {
            let mut normed = x.clone();
            if let (Ffn::Moe(moe), true) = (&layer.ffn, foresees) {
                kernels::rms_norm(&mut normed, &layer.ffn_norm, spec.norm_eps);
                let mut logits = vec![0.0; tokens.len() * spec.moe(at)?.experts];
                matmul(&moe.router, &normed, &mut logits);
                experts.foresee(at, tokens, &logits)?;
                normed.copy_from_slice(&x);
            }
            kernels::rms_norm(&mut normed, &layer.attention_norm, spec.norm_eps);
            kernels::add(&mut x, &layer.attention.apply(&normed, &angles, cache));

            normed.copy_from_slice(&x);
            kernels::rms_norm(&mut normed, &layer.ffn_norm, spec.norm_eps);
            match &layer.ffn {
                Ffn::Dense(mlp) => kernels::add(&mut x, &mlp.apply(&normed)),
                Ffn::Moe(moe) => {
                    experts.layer(at, &normed, &mut routed_sum, &mut routing)?;
                    routed(&routing);
                    if let Some(shared) = moe.shared.as_ref().filter(|_| !experts.shares(at)) {
                        kernels::add(&mut routed_sum, &shared.apply(&normed));
                    }
                    kernels::add(&mut x, &routed_sum);
                }
            }
        }
        Ok(x)
    }

    /// Logits `[T, vocab]` of residual rows `x` (`[T, hidden]`), which are overwritten.
    pub(super) fn logits(&self, x: &mut [f32]) -> Vec<f32> {
        kernels::rms_norm(x, &self.norm, self.spec.norm_eps);
        let mut logits = vec![0.0; x.len() / self.spec.hidden * self.spec.vocab];
        matmul(&self.head, x, &mut logits);
        logits
    }
}

impl Layer {
    fn open(model: &Model, at: usize) -> Result<Self, model::Error> {
        let (spec, c) = (&model.spec, &model.checkpoint);
        let hidden = spec.hidden;
        let name = |part: &str| format!("model.layers.{at}.{part}");
        let norm = |part: &str| c.get(&name(part), &[hidden]).map(|w| w.to_f32());
        let ffn = match &spec.layers[at].ffn {
            Shape::Dense { width } => Ffn::Dense(Mlp::open(c, &name("mlp"), *width, hidden)?),
            Shape::Moe(_) => Ffn::Moe(Moe {
                router: model.router(at)?,
                shared: model.shared(at)?.map(|shared| Shared {
                    mlp: Mlp {
                        gate: shared.weights.gate,
                        up: shared.weights.up,
                        down: shared.weights.down,
                    },
                    gate: shared.gate,
                }),
            }),
        };
        Ok(Self {
            attention_norm: norm("input_layernorm.weight")?,
            attention: Attention::open(c, at, &spec.layers[at].attention, hidden, spec.norm_eps)?,
            ffn_norm: norm("post_attention_layernorm.weight")?,
            ffn,
        })
    }
}

impl Mlp {
    fn open(c: &Checkpoint, name: &str, width: usize, hidden: usize) -> Result<Self, model::Error> {
        Ok(Self {
            gate: c.get(&format!("{name}.gate_proj.weight"), &[width, hidden])?,
            up: c.get(&format!("{name}.up_proj.weight"), &[width, hidden])?,
            down: c.get(&format!("{name}.down_proj.weight"), &[hidden, width])?,
        })
    }

    fn apply(&self, x: &[f32]) -> Vec<f32> {
        swiglu(&self.gate, &self.up, &self.down, x)
    }
}

impl Shared {
    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let hidden = self.gate.width();
        let mut out = self.mlp.apply(x);
        let mut gates = vec![0.0; x.len() / hidden];
        matmul(&self.gate, x, &mut gates);
        for (row, gate) in out.chunks_exact_mut(hidden).zip(gates) {
            let gate = kernels::sigmoid(gate);
            row.iter_mut().for_each(|y| *y *= gate);
        }
        out
    }
}
