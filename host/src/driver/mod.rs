//! From the experts' seam to a board: finds the board that a manifest names, loads it, and runs commands on it.

mod card;
mod error;
mod foresight;
mod golden;
mod reserve;
pub mod selftest;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::time::Duration;

use abi::Config;
use device::{Device, Way};

use crate::bitstream::Manifest;
use crate::files;
use crate::model::Model;
use crate::predict::{Error as Unread, Predictor, Tables};
use crate::runtime::Experts;

pub use self::card::CardExperts;
pub use self::error::Error;
pub use self::foresight::Foresight;
pub use self::golden::GoldenBoard;
pub use self::reserve::WithReserve;

/// Which board, and how to reach it.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Manifest or image (`--bitstream`); none means the simulated board.
    pub bitstream: Option<PathBuf>,
    /// How to reach the board (`--device`), over what the manifest says.
    pub device: Option<String>,
    /// Most tokens that one call of [`Experts::layer`] will carry (`--batch-size`). A command takes as many of them as
    /// the engine's configuration allows.
    pub batch: usize,
    /// How experts are guessed (`--prefetch`); none means the best that the model has tables for.
    pub prefetch: Option<Predictor>,
    /// How long the board may take over an answer, a transfer's next part, a command (`--device-timeout`); none means a minute.
    pub timeout: Option<Duration>,
    /// When this is set, what the board is doing ends with [`device::Error::Interrupted`].
    pub stop: Option<Arc<AtomicBool>>,
    /// A board that fails is replaced by the golden engine (`--on-device-error cpu`); otherwise its failure is the end.
    pub reserve: bool,
    /// Told, a sentence at a time, what the user should know: which image was named, that the board has been replaced.
    pub say: Option<fn(&str)>,
}

/// [`Options::timeout`], if nothing else is said. A simulated board runs some thousand times slower than a real one.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The ways to reach a board that this program has.
pub const WAYS: &[&str] = &[
    #[cfg(feature = "sim")]
    "sim",
    "golden",
    Way::FORMS[0],
    Way::FORMS[1],
    Way::FORMS[2],
];

/// Seed of the simulated board's memory model. Results do not depend on it; cycles would, if its world were not calm.
#[cfg(feature = "sim")]
const SIM_SEED: u64 = 1;

/// Opens the board and loads the experts of `model` into its memory: the routed ones, and shared ones where they fit.
///
/// Fails where no board answers, its fingerprint differs from this build's, or the experts do not fit.
pub fn open(options: &Options, model: &Model) -> Result<Box<dyn Experts>, Error> {
    let manifest = Manifest::open(options.bitstream.as_deref())?;
    let say = options.say.unwrap_or(|_| ());
    if let Some(image) = &manifest.image {
        say(image);
    }
    let board = load(
        || open_device(&manifest, options),
        &manifest,
        options,
        model,
    );
    if !options.reserve {
        return board;
    }
    let (options, dir) = (options.clone(), model.dir.clone());
    let make = Box::new(move || {
        let golden = || -> Result<Box<dyn Device>, Error> {
            Ok(Box::new(GoldenBoard::open(manifest.config)?))
        };
        let model = Model::open(&dir).map_err(crate::pack::Error::from)?;
        load(golden, &manifest, &options, &model)
    });
    Ok(Box::new(match board {
        Ok(board) => WithReserve::new(board, make, say),
        // Only what the board did: a wrong model or command line stays an error.
        Err(e @ Error::Device(_)) if !e.is_interruption() => {
            WithReserve::from_the_start(&e, make, say)?
        }
        Err(e) => return Err(e),
    }))
}

/// Opens a device and loads the experts of `model` into its memory.
fn load(
    device: impl FnOnce() -> Result<Box<dyn Device>, Error>,
    manifest: &Manifest,
    options: &Options,
    model: &Model,
) -> Result<Box<dyn Experts>, Error> {
    let device = device()?;
    let foresight = foresight(options.prefetch, model)?;
    let card = CardExperts::load(device, manifest, model, options.batch)?;
    let card = card.with_deadline(options.timeout.unwrap_or(TIMEOUT));
    Ok(Box::new(card.with_shared(model)?.with(foresight)?))
}

/// Opens the board of a manifest, by the way that `options` names, else by the manifest's usual one.
///
/// # Errors
/// There is no such way, or no board answers there.
pub fn open_device(manifest: &Manifest, options: &Options) -> Result<Box<dyn Device>, Error> {
    let usual = manifest.device.first();
    let way = options.device.as_ref().or(usual).map_or("", |w| w.as_str());
    let stop = options.stop.clone();
    match way {
        "golden" => Ok(Box::new(GoldenBoard::open(manifest.config)?)),
        "sim" => simulated(&manifest.config, stop),
        other => {
            let way = Way::parse(other).map_err(|reason| Error::Way { reason })?;
            let timeout = options.timeout.unwrap_or(TIMEOUT);
            Ok(way.open(manifest.config.memory_bytes, stop, timeout)?)
        }
    }
}

/// Vendors and devices that may be a board of ours: those of the register contract, for each generation and width of a link.
pub fn pci_ids() -> Vec<(u16, u16)> {
    let generation = abi::pci::DEVICE_ID & 0xFF00;
    let of = |speed: u16| [1, 2, 4, 8].map(|lanes| generation | speed << 4 | lanes);
    let devices = (1..=4).flat_map(of);
    devices
        .map(|device| (abi::pci::VENDOR_ID, device))
        .collect()
}

/// The tables of a model, if it has any, lie beside its weights.
pub const TABLES: &str = "predict.json";

/// A way of guessing for `model`. Without a wish it is the best that needs nothing the model does not have.
fn foresight(wish: Option<Predictor>, model: &Model) -> Result<Foresight, Error> {
    let layers = model.spec.moe_layers().count();
    let experts = model.spec.moe_layers().map(|(_, moe)| moe.experts).max();
    let file = model.dir.join(TABLES);
    let predictor = wish.unwrap_or(if file.exists() {
        Predictor::Hybrid
    } else {
        Predictor::Gate
    });
    let tables = match predictor {
        Predictor::None | Predictor::Gate => Tables::default(),
        _ => {
            let place = files::within(&model.dir, TABLES).map_err(|source| Unread::File {
                what: "read",
                path: file,
                source,
            })?;
            Tables::load(&place, layers, experts.unwrap_or(0))?
        }
    };
    // A guess is one byte.
    if experts.is_some_and(|e| e > 256) {
        return Ok(Foresight::none());
    }
    Ok(Foresight::new(predictor, tables))
}

#[cfg(feature = "sim")]
fn simulated(config: &Config, stop: Option<Arc<AtomicBool>>) -> Result<Box<dyn Device>, Error> {
    let mut sim = sim_tb::SimBoard::open(config.name, SIM_SEED)?;
    if let Some(flag) = stop {
        sim.board.stop_on(flag);
    }
    Ok(Box::new(sim))
}

#[cfg(not(feature = "sim"))]
fn simulated(_: &Config, _: Option<Arc<AtomicBool>>) -> Result<Box<dyn Device>, Error> {
    Err(Error::NoSim)
}

/// Whether the simulated board of a configuration can be loaded; whether it is this program's shows when it is opened.
///
/// # Errors
/// If it is not built or damaged, or this program has no simulated board.
#[cfg(feature = "sim")]
pub fn simulated_is_built(config: &Config) -> Result<(), Error> {
    sim_tb::library::Library::load(config.name, false)?;
    Ok(())
}

/// As with the feature `sim`.
///
/// # Errors
/// Always: this program has no simulated board.
#[cfg(not(feature = "sim"))]
pub fn simulated_is_built(_: &Config) -> Result<(), Error> {
    Err(Error::NoSim)
}
