//! What can be wrong with a model directory.

use std::path::PathBuf;

/// A fault in a model directory, in one sentence: what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path is not a directory.
    #[error("model `{}` is not a directory; give a Hugging Face directory with `config.json` and safetensors", path.display())]
    NotADirectory {
        /// The path given.
        path: PathBuf,
    },
    /// A file could not be opened, read or mapped.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A JSON file does not parse.
    #[error("`{}` is not valid JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A safetensors file is truncated or its header is damaged.
    #[error("`{}` is truncated or damaged: {reason}; fetch it again", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A shard index that does not have the form it should.
    #[error("`{}` is not a safetensors index: {reason}", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of token ids that holds none.
    #[error("`{}`: {reason}", path.display())]
    Ids {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A key of a configuration file is missing or has a value that cannot be.
    #[error("`{}`: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Which key, the value found, and the value wanted.
        reason: String,
    },
    /// The family is not one that this version runs.
    #[error("model family `{family}` is not supported; supported: {}", supported.join(", "))]
    UnsupportedFamily {
        /// `model_type` as found.
        family: String,
        /// The families that are supported.
        supported: Vec<&'static str>,
    },
    /// No tensor of that name (under any of the spellings known).
    #[error("`{}` has no tensor `{name}`", dir.display())]
    NoTensor {
        /// The model directory.
        dir: PathBuf,
        /// The name (its usual spelling).
        name: String,
    },
    /// A tensor whose shape contradicts the configuration.
    #[error("tensor `{name}` has shape {found:?}, but the configuration says {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
    },
    /// A tensor of a number format that is not read.
    #[error("tensor `{name}` is stored as {found}; this version reads F32, BF16 and F16")]
    Format {
        /// The tensor.
        name: String,
        /// The format in the file.
        found: String,
    },
    /// A layer without routed experts was asked for its router or experts.
    #[error("layer {layer} has no routed experts")]
    NoExperts {
        /// The layer.
        layer: usize,
    },
    /// An expert beyond the last one.
    #[error("layer {layer} has {experts} experts; there is no expert {expert}")]
    NoSuchExpert {
        /// The layer.
        layer: usize,
        /// The expert asked for.
        expert: usize,
        /// How many there are.
        experts: usize,
    },
    /// The tokenizer file is missing or damaged.
    #[error("cannot load tokenizer `{}`: {reason}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Text that cannot be tokenised, or tokens that cannot be turned to text.
    #[error("tokenizer: {reason}")]
    Text {
        /// Why.
        reason: String,
    },
}
