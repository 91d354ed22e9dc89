//! What a decoder-only Mixture-of-Experts model is, as plain data: the vocabulary that every family is put into.

use super::Error;

/// A whole model. Sizes are in elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// `model_type` of the configuration.
    pub family: String,
    /// Number of token ids.
    pub vocab: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Added to the mean square in every RMSNorm.
    pub norm_eps: f32,
    /// Most positions a sequence may have (`max_position_embeddings`).
    pub context: usize,
    /// The LM head is the embedding matrix.
    pub tied_head: bool,
    /// `bos_token_id`: the token before a text.
    pub start_token: Option<u32>,
    /// `eos_token_id` of `config.json`; may be empty.
    pub end_tokens: Vec<u32>,
    /// Rotary position embedding.
    pub rope: Rope,
    /// The layers, first to last.
    pub layers: Vec<Layer>,
}

/// Rotary embedding over all of `head_dim`, half-split: element `i` turns with element `i + head_dim / 2`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
}

/// One decoder layer: norm, attention, norm, feed-forward, with residuals around both.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// The attention block.
    pub attention: Attention,
    /// The feed-forward block.
    pub ffn: Ffn,
}

/// Causal attention with grouped queries (one group per query head is plain multi-head attention).
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Elements of one head; even.
    pub head_dim: usize,
    /// Query, key and value projections have a bias.
    pub qkv_bias: bool,
    /// The output projection has a bias.
    pub out_bias: bool,
    /// RMSNorm over the whole query and the whole key vector, before the split into heads and before RoPE.
    pub qk_norm: bool,
    /// Queries, keys and values are clamped to plus or minus this, after `qk_norm`.
    pub clip: Option<f32>,
    /// A position sees itself and the `window - 1` positions before it; `None` sees all.
    pub window: Option<usize>,
}

/// The feed-forward block of a layer.
#[derive(Debug, Clone, PartialEq)]
pub enum Ffn {
    /// One SwiGLU MLP of this width.
    Dense {
        /// Width of gate and up.
        width: usize,
    },
    /// Routed experts.
    Moe(Moe),
}

/// Routed SwiGLU experts, and perhaps a shared one.
#[derive(Debug, Clone, PartialEq)]
pub struct Moe {
    /// Number of routed experts.
    pub experts: usize,
    /// Width of gate and up of one expert.
    pub width: usize,
    /// How experts are chosen and weighed.
    pub router: Router,
    /// An expert that every token goes through.
    pub shared: Option<Shared>,
}

/// How experts are chosen and weighed: softmax over all logits in f32, then the `top_k` largest, ties to the lowest index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Router {
    /// Experts per token.
    pub top_k: usize,
    /// Divide the chosen weights by their sum.
    pub renormalise: bool,
}

/// A shared expert, whose output is multiplied by the sigmoid of a learned gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// Width of gate and up.
    pub width: usize,
}

impl Spec {
    /// The routed experts of a layer; an error where the layer is dense or absent.
    pub fn moe(&self, layer: usize) -> Result<&Moe, Error> {
        match self.layers.get(layer).map(|l| &l.ffn) {
            Some(Ffn::Moe(moe)) => Ok(moe),
            _ => Err(Error::NoExperts { layer }),
        }
    }

    /// The layers that have routed experts, in execution order.
    pub fn moe_layers(&self) -> impl Iterator<Item = (usize, &Moe)> {
        self.layers
            .iter()
            .enumerate()
            .filter_map(|(at, layer)| match &layer.ffn {
                Ffn::Moe(moe) => Some((at, moe)),
                Ffn::Dense { .. } => None,
            })
    }
}
