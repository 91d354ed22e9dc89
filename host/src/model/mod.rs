//! What a model is, read from a Hugging Face directory: `config.json`, safetensors, `tokenizer.json`.
//!
//! [`Spec`] is the plain data every other room works from; only [`families`] knows how each family spells it, and only
//! [`names`] knows how each family names its tensors.

pub mod checkpoint;
mod config;
mod error;
pub mod families;
pub mod header;
mod ids;
mod names;
pub mod spec;
pub mod tensor;
pub mod tokenizer;

use std::path::{Path, PathBuf};

use crate::files;
use crate::pack::Packed;

pub use checkpoint::Checkpoint;
pub use config::Config;
pub use error::Error;
pub use ids::read_ids;
pub use names::{is_routed, Projection};
pub use spec::Spec;
pub use tensor::Tensor;
pub use tokenizer::{TextStream, Tokenizer};

/// Where a file of a model directory is; see [`files::within`].
pub(crate) fn place(dir: &Path, name: &str) -> Result<PathBuf, Error> {
    files::within(dir, name).map_err(|source| Error::Read {
        path: dir.join(name),
        source,
    })
}

/// An opened model directory: what the model is, and its tensors, memory-mapped.
#[derive(Debug)]
pub struct Model {
    /// The directory.
    pub dir: PathBuf,
    /// What the model is.
    pub spec: Spec,
    /// The tensors by name.
    pub checkpoint: Checkpoint,
    /// Set where `host pack` made the directory: routed experts are stored quantised.
    pub packed: Option<Packed>,
}

/// One routed expert's matrices, each `[outputs, inputs]`.
#[derive(Debug, Clone)]
pub struct ExpertWeights {
    /// Gate projection, `[width, hidden]`.
    pub gate: Tensor,
    /// Up projection, `[width, hidden]`.
    pub up: Tensor,
    /// Down projection, `[hidden, width]`.
    pub down: Tensor,
}

/// A layer's shared expert.
#[derive(Debug, Clone)]
pub struct SharedExpert {
    /// Its matrices.
    pub weights: ExpertWeights,
    /// The gate, `[1, hidden]`: the expert's output is multiplied by the sigmoid of `gate . x`.
    pub gate: Tensor,
}

impl Model {
    /// Opens a directory with `config.json` and `model.safetensors` (or its shards).
    ///
    /// Fails where the directory, its configuration, a tensor file or the experts of a packed model are missing or
    /// damaged, and for a family this version does not run. Tensors are checked against the configuration when they are asked for.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        if !dir.is_dir() {
            return Err(Error::NotADirectory {
                path: dir.to_owned(),
            });
        }
        let config = Config::of_model(dir, "config.json")?;
        let spec = families::spec(&config)?;
        let checkpoint = Checkpoint::open(dir)?;
        let packed = Packed::find(&config, &checkpoint)?;
        Ok(Self {
            dir: dir.to_owned(),
            spec,
            checkpoint,
            packed,
        })
    }

    /// The tokenizer of this model, from `tokenizer.json`.
    pub fn tokenizer(&self) -> Result<Tokenizer, Error> {
        Tokenizer::open(&place(&self.dir, "tokenizer.json")?)
    }

    /// Token ids that end a text: `eos_token_id` of `generation_config.json`, else of `config.json`; may be empty.
    pub fn end_tokens(&self) -> Result<Vec<u32>, Error> {
        let name = "generation_config.json";
        if self.dir.join(name).exists() {
            let ids = Config::of_model(&self.dir, name)?.ids("eos_token_id")?;
            if !ids.is_empty() {
                return Ok(ids);
            }
        }
        Ok(self.spec.end_tokens.clone())
    }

    /// The router matrix of a layer, `[experts, hidden]`; of a packed model, the values that its numbers stand for.
    ///
    /// Fails where the layer has no router, or the tensor is missing or of another shape.
    pub fn router(&self, layer: usize) -> Result<Tensor, Error> {
        let moe = self.spec.moe(layer)?;
        if let Some(packed) = &self.packed {
            let values = packed.router(self, layer)?.to_f32(self.spec.hidden);
            return Ok(Tensor::from_f32(&[moe.experts, self.spec.hidden], values));
        }
        names::router(&self.checkpoint, layer, moe.experts, self.spec.hidden)
    }

    /// The shared expert of a layer; `None` where it has none.
    ///
    /// Fails where the layer has no routed experts either, or a tensor is missing or of another shape.
    pub fn shared(&self, layer: usize) -> Result<Option<SharedExpert>, Error> {
        let (hidden, c) = (self.spec.hidden, &self.checkpoint);
        let Some(shared) = self.spec.moe(layer)?.shared else {
            return Ok(None);
        };
        let get = |part: &str, shape: [usize; 2]| {
            c.get(&format!("model.layers.{layer}.mlp.{part}.weight"), &shape)
        };
        Ok(Some(SharedExpert {
            weights: ExpertWeights {
                gate: get("shared_expert.gate_proj", [shared.width, hidden])?,
                up: get("shared_expert.up_proj", [shared.width, hidden])?,
                down: get("shared_expert.down_proj", [hidden, shared.width])?,
            },
            gate: get("shared_expert_gate", [1, hidden])?,
        }))
    }

    /// The matrices of one routed expert, whether the file keeps experts apart, fused or packed.
    ///
    /// Fails where the layer has no such expert, or a tensor is missing or of another shape.
    pub fn expert(&self, layer: usize, expert: usize) -> Result<ExpertWeights, Error> {
        let moe = self.spec.moe(layer)?;
        if expert >= moe.experts {
            return Err(Error::NoSuchExpert {
                layer,
                expert,
                experts: moe.experts,
            });
        }
        let at = |projection| {
            if let Some(packed) = &self.packed {
                let quantised = packed.matrix(self, layer, expert, projection)?;
                let matrix = &quantised.matrix;
                return Ok(Tensor::from_f32(
                    &[matrix.rows, matrix.inputs],
                    quantised.to_f32(),
                ));
            }
            names::expert(
                &self.checkpoint,
                layer,
                expert,
                projection,
                moe,
                self.spec.hidden,
            )
        };
        Ok(ExpertWeights {
            gate: at(Projection::Gate)?,
            up: at(Projection::Up)?,
            down: at(Projection::Down)?,
        })
    }
}
