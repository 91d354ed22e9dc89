//! From the experts' seam to a board: finds the board that a manifest names, loads it, and runs commands on it.

use std::path::PathBuf;

use crate::model::Model;
use crate::runtime::Experts;

/// Which board, and how to reach it.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Manifest or image (`--bitstream`); none means the simulated board.
    pub bitstream: Option<PathBuf>,
    /// How to reach the board (`--device`), over what the manifest says.
    pub device: Option<String>,
    /// Most tokens that one call of [`Experts::layer`] will carry (`--batch-size`).
    pub batch: usize,
}

/// A board that could not be opened or did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This build has no driver.
    #[error("this build cannot open a board: the driver is not built yet; use `--experts cpu`")]
    NotBuilt,
}

/// Opens the board and loads the routed experts of `model` into its memory.
///
/// Fails where no board answers, its fingerprint differs from this build's, or the experts do not fit.
pub fn open(_options: &Options, _model: &Model) -> Result<Box<dyn Experts>, Error> {
    Err(Error::NotBuilt)
}
