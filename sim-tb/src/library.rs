//! Shared libraries made by the Makefile: where they lie, how they are opened, and what is said when they are missing.

use libloading::Library as Dl;
use std::path::{Path, PathBuf};

/// Why a simulation cannot be had, or what went wrong in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library has not been built.
    #[error("{} is not built: run `{make}`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The command that makes it.
        make: String,
    },
    /// The library exists and cannot be loaded.
    #[error("{} cannot be loaded ({reason}): run `{make}`", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The loader's words.
        reason: String,
        /// The command that makes it.
        make: String,
    },
    /// The library was built from another version of the shim.
    #[error("{} has shim version {found}, this program needs {expected}: run `{make}`", path.display())]
    Abi {
        /// The file.
        path: PathBuf,
        /// Its number.
        found: u32,
        /// The number wanted.
        expected: u32,
        /// The command that makes it.
        make: String,
    },
    /// No waveform can be written.
    #[error("no waveform can be written to {}: the library has no tracing (run `{make}`) or the file cannot be opened", file.display())]
    Trace {
        /// The file.
        file: PathBuf,
        /// The command that makes a library with tracing.
        make: String,
    },
}

/// The folder of the built simulations: `target/sim` of this project, or what ROUNDHOUSE_SIM_DIR says.
pub fn sim_dir() -> PathBuf {
    match std::env::var_os("ROUNDHOUSE_SIM_DIR") {
        Some(dir) => dir.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/sim"),
    }
}

/// Opens the library at `path`; `make` is the command that builds it.
pub(crate) fn open(path: &Path, make: &str) -> Result<Dl, Error> {
    if !path.is_file() {
        return Err(Error::Missing {
            path: path.into(),
            make: make.into(),
        });
    }
    // SAFETY: the library is ours; its initialisers only build Verilator's tables.
    unsafe { Dl::new(path) }.map_err(|e| Error::Broken {
        path: path.into(),
        reason: e.to_string(),
        make: make.into(),
    })
}

/// A function of the library.
///
/// # Safety
/// `T` must be the function's type, and the result must not outlive `library`.
pub(crate) unsafe fn symbol<T: Copy>(library: &Dl, path: &Path, name: &str) -> Result<T, Error> {
    // SAFETY: the caller vouches for the type and the lifetime.
    let found = unsafe { library.get::<T>(name.as_bytes()) };
    found.map(|s| *s).map_err(|e| Error::Broken {
        path: path.into(),
        reason: e.to_string(),
        make: "make sim or make units".into(),
    })
}
