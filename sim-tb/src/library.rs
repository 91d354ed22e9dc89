//! Shared libraries made by the Makefile: where they lie, how they are opened, and what is said when they are missing.

use crate::board::Params;
use libloading::Library as Dl;
use std::ffi::{c_char, c_int, c_void, CStr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Version of the C interface of `shim/engine.cpp`.
const ABI: u32 = 3;

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
    /// The library simulates another engine than this program's tables describe.
    #[error("simulated board `{config}`: the engine's {what} is {found}, this program expects {expected}: run `make sim CONFIG={config}`")]
    Mismatch {
        /// The configuration.
        config: String,
        /// Magic, ABI version or fingerprint.
        what: &'static str,
        /// As the engine says.
        found: String,
        /// As `abi` says.
        expected: String,
    },
    /// The configuration does not exist or breaks a rule.
    #[error("{0}")]
    Config(String),
    /// The computer cannot give the card memory's bytes.
    #[error("simulated board `{config}`: no room for {bytes} bytes of card memory")]
    NoMemory {
        /// The configuration.
        config: String,
        /// Bytes asked for.
        bytes: u64,
    },
    /// The engine broke a rule of a bus.
    #[error("simulated board `{config}`: bus rule broken in {text}")]
    Violation {
        /// The configuration.
        config: String,
        /// Cycle, channel and rule.
        text: String,
    },
    /// Something did not happen within its cycles.
    #[error("simulated board `{config}`: no end of {what} after {cycles} cycles (at cycle {at}: {state})")]
    Hung {
        /// The configuration.
        config: String,
        /// What was waited for.
        what: String,
        /// Cycles waited.
        cycles: u64,
        /// Cycle since the board was made.
        at: u64,
        /// What was on its way.
        state: String,
    },
    /// An access was answered with an error.
    #[error("simulated board `{config}`: {access} at 0x{address:X} answered {response}")]
    Response {
        /// The configuration.
        config: String,
        /// Register or copy, read or write.
        access: &'static str,
        /// Register offset or card address.
        address: u64,
        /// SLVERR or DECERR.
        response: &'static str,
    },
    /// The user asked to stop.
    #[error("simulated board `{config}`: interrupted while waiting for {what}")]
    Interrupted {
        /// The configuration.
        config: String,
        /// What was waited for.
        what: String,
    },
    /// ROUNDHOUSE_MUTANT does not fit the library.
    #[error("ROUNDHOUSE_MUTANT={mutant}: {} has no such mutant; the variable is set by `make mutate`, NUMBER,CYCLES", path.display())]
    Mutant {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        mutant: String,
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

/// The functions of a shim: a table of their types, by their names without the prefix.
macro_rules! api {
    ($(#[$about:meta])* $Api:ident, $prefix:literal, $($name:ident: fn($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        $(#[$about])*
        #[derive(Clone, Copy)]
        pub(crate) struct $Api {
            $(pub $name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)*
        }
        impl $Api {
            /// # Safety
            /// The library is of the shim and of the version that the types are written for, and it outlives the result.
            unsafe fn load(
                library: &libloading::Library,
                path: &std::path::Path,
            ) -> Result<$Api, $crate::library::Error> {
                // SAFETY: the types are those of the shim, as the caller says.
                Ok($Api { $($name: unsafe { $crate::library::symbol(library, path, concat!($prefix, stringify!($name)))? },)* })
            }
        }
    };
}
pub(crate) use api;

api! {
    /// The functions of `shim/engine.cpp`.
    Api, "rh_",
    params_size: fn() -> u32;
    create: fn(*const Params) -> *mut c_void;
    destroy: fn(*mut c_void);
    reset: fn(*mut c_void);
    memory: fn(*mut c_void) -> *mut u8;
    cycles: fn(*mut c_void) -> u64;
    violation: fn(*mut c_void) -> *const c_char;
    state: fn(*mut c_void) -> *const c_char;
    run: fn(*mut c_void, u64, c_int) -> c_int;
    bare: fn(*mut c_void, u64);
    copy: fn(*mut c_void, c_int, c_int, u64, *mut u8, u64, u64, *mut u32, *mut u64) -> c_int;
    register: fn(*mut c_void, c_int, c_int, u32, *mut u32, u64, *mut u32) -> c_int;
    irq: fn(*mut c_void) -> u32;
    channel: fn(*mut c_void, u32, *mut u64) -> *const c_char;
    fault: fn(*mut c_void, u64, u64, c_int, c_int);
    tap_name: fn(u32) -> *const c_char;
    tap_words: fn(u32) -> u32;
    tap_on: fn(*mut c_void, c_int);
    tapped: fn(*mut c_void, *mut u64) -> *const u32;
    tap_clear: fn(*mut c_void);
    trace: fn(*mut c_void, *const c_char, u64, u64) -> c_int;
}

/// One Verilated engine: `target/sim/CONFIG.so`, or `CONFIG-trace.so` with waveforms.
pub struct Library {
    pub(crate) api: Api,
    pub(crate) config: String,
    taps: Vec<String>,
    // Keeps the code behind `api` loaded.
    _library: Dl,
}

impl Library {
    /// The engine of configuration `config`; with `waveforms` the variant that can write them.
    ///
    /// # Errors
    /// The library is missing (the message names the make target), cannot be loaded, or has another shim.
    pub fn load(config: &str, waveforms: bool) -> Result<Arc<Library>, Error> {
        let (suffix, flag) = if waveforms {
            ("-trace", " TRACE=1")
        } else {
            ("", "")
        };
        let path = sim_dir().join(format!("{config}{suffix}.so"));
        let make = format!("make sim CONFIG={config}{flag}");
        let library = open(&path, &make)?;
        // SAFETY: rh_abi has had this type in every version.
        let abi: extern "C" fn() -> u32 = unsafe { symbol(&library, &path, "rh_abi")? };
        let wrong = |found| Error::Abi {
            path: path.clone(),
            found,
            expected: ABI,
            make: make.clone(),
        };
        if abi() != ABI {
            return Err(wrong(abi()));
        }
        // SAFETY: the number was checked and `_library` keeps the code.
        let api = unsafe { Api::load(&library, &path)? };
        let mut taps = Vec::new();
        // SAFETY: these read constants of the library; names end where a null pointer is given.
        unsafe {
            if (api.params_size)() as usize != size_of::<Params>() {
                return Err(wrong(abi()));
            }
            while let Some(name) = (api.tap_name)(taps.len() as u32).as_ref() {
                taps.push(CStr::from_ptr(name).to_string_lossy().into_owned());
            }
        }
        Ok(Arc::new(Library {
            api,
            config: config.into(),
            taps,
            _library: library,
        }))
    }

    /// Names of the streams that the scoreboard can see, by number.
    pub fn taps(&self) -> &[String] {
        &self.taps
    }

    /// Bytes of stream `tap`'s items, whole words.
    pub fn tap_bytes(&self, tap: usize) -> usize {
        assert!(tap < self.taps.len(), "stream {tap} of {}", self.taps.len());
        // SAFETY: the index is within the table.
        4 * unsafe { (self.api.tap_words)(tap as u32) } as usize
    }
}
