//! From a model's f32 experts to card images.

use std::path::Path;

use crate::model::Model;

/// What to pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Two of every four weights are kept, those of largest magnitude; otherwise all are.
    pub two_of_four: bool,
}

/// What was packed.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Report {
    /// Experts packed.
    pub experts: u64,
    /// Bytes of all card images.
    pub bytes: u64,
}

/// A model that could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This build has no packer.
    #[error("this build cannot pack: the packer is not built yet")]
    NotBuilt,
}

/// Packs the experts of `model` to int8 and writes a self-contained model directory to `out`.
pub fn pack(_model: &Model, _out: &Path, _options: &Options) -> Result<Report, Error> {
    Err(Error::NotBuilt)
}
