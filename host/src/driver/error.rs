//! What can go wrong between the host and a board.

use crate::{bitstream, pack};

/// A board that could not be opened or did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The manifest is at fault.
    #[error(transparent)]
    Manifest(#[from] bitstream::Error),
    /// The device did not do what was asked.
    #[error(transparent)]
    Device(#[from] device::Error),
    /// The model's experts cannot be quantised or read.
    #[error(transparent)]
    Pack(#[from] pack::Error),
    /// The tables for guessing cannot be read.
    #[error(transparent)]
    Tables(#[from] crate::predict::Error),
    /// The simulated board cannot be opened.
    #[cfg(feature = "sim")]
    #[error(transparent)]
    Sim(#[from] sim_tb::Error),
    /// This program has no simulated board.
    #[cfg(not(feature = "sim"))]
    #[error("this program was built without the simulated board; build it with its default features, give `--device golden`, or use `--experts cpu`")]
    NoSim,
    /// A way to reach a board that cannot be.
    #[error("{reason}; `--device` takes {}, or use `--experts cpu`", super::WAYS.join(", "))]
    Way {
        /// What is wrong with what was asked for.
        reason: String,
    },
    /// The device is not an engine of ours, or of another version of the contract.
    #[error("{device} is no engine that this program can drive: register {register} shows 0x{seen:08X}, 0x{wanted:08X} was wanted")]
    Identity {
        /// The device.
        device: String,
        /// MAGIC or ABI_VERSION.
        register: &'static str,
        /// The value read.
        seen: u32,
        /// The value of this program.
        wanted: u32,
    },
    /// The engine is another one than the manifest's.
    #[error("{device} holds an engine with fingerprint {seen:016x}, but manifest `{manifest}` and this program say {wanted:016x}; rebuild with `{rebuild}`")]
    Fingerprint {
        /// The device.
        device: String,
        /// The engine's fingerprint.
        seen: u64,
        /// The manifest.
        manifest: String,
        /// The manifest's and this program's fingerprint.
        wanted: u64,
        /// The command that rebuilds.
        rebuild: String,
    },
    /// The model is larger than the engine was built for.
    #[error("layer {layer} has {what} {found}, but configuration `{config}` takes at most {limit}; use a larger configuration or `--experts cpu`")]
    Limit {
        /// The layer.
        layer: usize,
        /// The dimension.
        what: &'static str,
        /// Its value in the model.
        found: usize,
        /// The engine's limit.
        limit: usize,
        /// The configuration.
        config: &'static str,
    },
    /// The engine lacks the logic for the experts' storage.
    #[error("the experts are packed as {format}, {sparsity}, which configuration `{config}` does not read; pack the model in another way, or use another configuration or `--experts cpu`")]
    Storage {
        /// Number format.
        format: &'static str,
        /// N:M.
        sparsity: &'static str,
        /// The configuration.
        config: &'static str,
    },
    /// The experts do not fit.
    #[error("the experts need {needed} bytes of card memory, but {device} has {memory}; pack the model with `--sparsity 2:4`, use a larger board or `--experts cpu`")]
    Model {
        /// Bytes of all images.
        needed: u64,
        /// The device.
        device: String,
        /// Its bytes.
        memory: u64,
    },
    /// The vectors of a batch do not fit beside the experts.
    #[error("a batch of {tokens} tokens needs {needed} bytes of card memory, but only {free} of the {memory} bytes of {device} are free beside the experts; use a smaller `--batch-size`")]
    Batch {
        /// Tokens of the batch.
        tokens: usize,
        /// Bytes for its inputs, outputs and commands.
        needed: u64,
        /// Bytes left beside the experts.
        free: u64,
        /// The device.
        device: String,
        /// Its bytes.
        memory: u64,
    },
    /// The board came back from a reset without what was loaded.
    #[error("{device}: after the failure the board was reset, and its memory does not hold the experts any more; run again, which loads them")]
    MemoryLost {
        /// The device.
        device: String,
    },
    /// The engine refused a command or failed in it.
    #[error("{device}, layer {layer}: {sentence} (status {status}); run again, and if it happens again `host selftest` looks for the cause")]
    Command {
        /// The device.
        device: String,
        /// The layer.
        layer: usize,
        /// What the status means.
        sentence: &'static str,
        /// The status.
        status: u32,
    },
    /// What stands in card memory after a command cannot be its result.
    #[error(
        "{device}, layer {layer}: {what} {found} cannot be; card memory or the engine is damaged"
    )]
    Nonsense {
        /// The device.
        device: String,
        /// The layer.
        layer: usize,
        /// What was read.
        what: &'static str,
        /// The value read.
        found: u32,
    },
}

impl Error {
    /// Whether the board was doing well, and was asked to stop.
    pub fn is_interruption(&self) -> bool {
        matches!(self, Error::Device(device::Error::Interrupted { .. }))
    }
}
