//! From a model's f32 experts to what the board reads: quantised ([`quantise`]), laid out as card images ([`layer`]), and
//! kept in a model directory of its own ([`directory`]).

pub mod directory;
pub mod layer;
pub mod quantise;

use std::path::PathBuf;

use abi::{Format, Sparsity};

use crate::model;

pub use directory::{format_name, pack, pack_unless, Packed};
pub use layer::{Images, PackedLayer};

/// What to pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Number format of the experts' weights.
    pub format: Format,
    /// How many of M consecutive weights are kept.
    pub sparsity: Sparsity,
    /// Two rows keep the weights of the same places, so that an engine can hold them in one lane. Of use with 4-bit weights,
    /// 2:4 and 4:8; dense ones share their places anyway.
    pub pair: bool,
}

impl Default for Options {
    /// int8, every weight.
    fn default() -> Options {
        Options {
            format: Format::Int8,
            sparsity: Sparsity::Dense,
            pair: false,
        }
    }
}

/// What was packed.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Report {
    /// Experts packed.
    pub experts: u64,
    /// Bytes of all quantised tensors.
    pub bytes: u64,
    /// Checksum of the quantised tensors, as in `config.json`.
    pub checksum: String,
    /// One entry per layer and kind of matrix.
    pub layers: Vec<MatrixReport>,
}

/// How well one kind of matrix of one layer was kept.
#[derive(Debug, Clone, serde::Serialize)]
pub struct MatrixReport {
    /// Decoder layer.
    pub layer: usize,
    /// `gate`, `up`, `down` (all experts of the layer together) or `router`.
    pub matrix: &'static str,
    /// Root mean square of the error over that of the weights.
    pub relative_error: f64,
    /// Weights kept, of all.
    pub kept: f64,
}

/// A model that could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model directory is at fault.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// A weight is an infinity or not a number.
    #[error("{what} holds a weight that is not a finite number, which cannot be quantised")]
    NotFinite {
        /// Where.
        what: String,
    },
    /// N:M needs whole groups of M inputs.
    #[error("{sparsity} needs widths that are multiples of {m}, but layer {layer} has hidden size {hidden} and expert width {width}; pack it dense")]
    NotWhole {
        /// N:M.
        sparsity: &'static str,
        /// M.
        m: usize,
        /// The layer.
        layer: usize,
        /// Its input width.
        hidden: usize,
        /// Its experts' width.
        width: usize,
    },
    /// Pairs are of 4-bit weights with at least two passes over a block.
    #[error("rows are paired with 4-bit weights (int4, mxfp4), dense, 2:4 or 4:8 only; leave out `--pair`")]
    NoPairs,
    /// Packing what is packed.
    #[error("`{}` is packed already; pack the model it was made from", dir.display())]
    Already {
        /// The model directory.
        dir: PathBuf,
    },
    /// Packing a model onto itself.
    #[error("`{}` is the model's own directory; give another with `--out DIR`", dir.display())]
    SameDirectory {
        /// The directory.
        dir: PathBuf,
    },
    /// What stands where the packed model should go is not a packed model.
    #[error("`{}` holds something that `host pack` did not write; give an empty or new directory with `--out DIR`", dir.display())]
    Occupied {
        /// The directory.
        dir: PathBuf,
    },
    /// It was asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A file could not be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The tensor file could not be written.
    #[error("cannot write `{}`", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// Why.
        source: safetensors::SafeTensorError,
    },
}
