//! The Verilated `board` (endpoint, DMA, engine) with its card memory, at the end of a link: what the root complex model drives.

use crate::board::Order;
use crate::function::Error as Broken;
use crate::library::{api, open, sim_dir, symbol, Error};
use crate::rng::Rng;
use crate::root_complex::{Grants, Link, Manners, Pool, Received, RootComplex};
use crate::sim_board::Waveform;
use libloading::Library as Dl;
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::ops::Range;
use std::sync::Arc;

/// Version of the C interface of `shim/board.cpp`.
const ABI: u32 = 1;

/// The channels of [`CardParams::stall`]: card memory's, the link towards the card and from it.
pub const CHANNELS: [&str; 7] = [
    "m_axi AR", "m_axi R", "m_axi AW", "m_axi W", "m_axi B", "rx", "tx",
];

/// Speed of a link, each way, in bytes per 256 cycles of a clock of 125 MHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Rate {
    /// 2.5 GT/s, one lane: 2 bytes per cycle.
    Gen1x1 = 2 << 8,
    /// 5 GT/s, one lane: 4 bytes per cycle.
    Gen2x1 = 4 << 8,
    /// 5 GT/s, four lanes: 16 bytes per cycle.
    Gen2x4 = 16 << 8,
}

impl Rate {
    /// Bytes per cycle.
    pub fn bytes(self) -> u32 {
        self as u32 >> 8
    }
}

/// Bytes that a packet takes on a link beside its own: start and end, sequence number, LCRC.
pub const FRAMING: u32 = 8;

/// How the world around the card behaves. The layout is that of the shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct CardParams {
    /// Seed of everything random.
    pub seed: u64,
    /// Bytes of card memory.
    pub memory_bytes: u64,
    /// Card memory, as in [`crate::board::Params`].
    pub latency: u32,
    /// Likewise.
    pub jitter: u32,
    /// Likewise.
    pub bandwidth: u32,
    /// Likewise.
    pub order: Order,
    /// Likewise.
    pub queue: u32,
    /// Speed of the link.
    pub rate: Rate,
    /// [`FRAMING`].
    pub overhead: u32,
    /// Of 256 cycles, how many each of [`CHANNELS`] is held back.
    pub stall: [u32; 7],
}

impl CardParams {
    /// Memory that answers after 20 cycles, a link of the fastest kind, no stalls.
    pub fn calm(memory_bytes: u64, seed: u64) -> CardParams {
        CardParams {
            seed,
            memory_bytes,
            latency: 20,
            jitter: 0,
            bandwidth: 256,
            order: Order::Asked,
            queue: 16,
            rate: Rate::Gen2x4,
            overhead: FRAMING,
            stall: [0; 7],
        }
    }

    /// Everything drawn from the seed.
    pub fn stormy(memory_bytes: u64, seed: u64) -> CardParams {
        let mut rng = Rng::new(seed);
        let mut p = CardParams::calm(memory_bytes, rng.next());
        p.latency = 1 + rng.below(60) as u32;
        p.jitter = rng.below(100) as u32;
        p.bandwidth = 64 + rng.below(193) as u32;
        p.order = [Order::Asked, Order::Bursts, Order::Beats][rng.below(3) as usize];
        p.queue = 1 + rng.below(16) as u32;
        p.rate = [Rate::Gen1x1, Rate::Gen2x1, Rate::Gen2x4][rng.below(3) as usize];
        for s in &mut p.stall {
            *s = 8 + rng.below(150) as u32;
        }
        p
    }
}

/// As `Credits` in the shim.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Credits {
    limit: [u32; 6],
    infinite: u32,
}

impl From<&Grants> for Credits {
    fn from(grants: &Grants) -> Credits {
        let mut credits = Credits::default();
        let pools = [grants.posted, grants.non_posted, grants.completion];
        for (n, pool) in pools.into_iter().enumerate() {
            match pool {
                None => credits.infinite |= 3 << (2 * n),
                Some(pool) => {
                    credits.limit[2 * n] = pool.headers;
                    credits.limit[2 * n + 1] = pool.data;
                }
            }
        }
        credits
    }
}

impl From<Credits> for Grants {
    fn from(credits: Credits) -> Grants {
        let pool = |n: usize| {
            let finite = credits.infinite >> (2 * n) & 3 == 0;
            finite.then_some(Pool {
                headers: credits.limit[2 * n],
                data: credits.limit[2 * n + 1],
            })
        };
        Grants {
            posted: pool(0),
            non_posted: pool(1),
            completion: pool(2),
        }
    }
}

api! {
    /// The functions of `shim/board.cpp`.
    Api, "rb_",
    params_size: fn() -> u32;
    width: fn() -> u32;
    create: fn(*const CardParams) -> *mut c_void;
    destroy: fn(*mut c_void);
    reset: fn(*mut c_void, *const Credits);
    memory: fn(*mut c_void) -> *mut u8;
    cycles: fn(*mut c_void) -> u64;
    active: fn(*mut c_void) -> u64;
    violation: fn(*mut c_void) -> *const c_char;
    grant: fn(*mut c_void, *const Credits);
    granted: fn(*mut c_void, *mut Credits);
    send: fn(*mut c_void, *const u32, u32);
    queued: fn(*mut c_void) -> u64;
    run: fn(*mut c_void, u64) -> c_int;
    received: fn(*mut c_void, *mut u64, *mut u64, *mut Credits) -> *const u32;
    drop: fn(*mut c_void);
    log: fn(*mut c_void, c_int);
    logged: fn(*mut c_void, *mut u64) -> *const u64;
    fault: fn(*mut c_void, u64, u64, c_int, c_int);
    link: fn(*mut c_void, c_int, c_int);
    channel: fn(*mut c_void, u32, *mut u64) -> *const c_char;
    trace: fn(*mut c_void, *const c_char, u64, u64) -> c_int;
}

/// One Verilated board: `target/sim/CONFIG-board.so`.
pub struct CardLibrary {
    api: Api,
    config: String,
    // Keeps the code behind `api` loaded.
    _library: Dl,
}

impl CardLibrary {
    /// The board of configuration `config`; with `waveforms` the variant that can write them.
    ///
    /// # Errors
    /// The library is missing (the message names the make target), cannot be loaded, or has another shim.
    pub fn load(config: &str, waveforms: bool) -> Result<Arc<CardLibrary>, Error> {
        let (suffix, flag) = if waveforms {
            ("-trace", " TRACE=1")
        } else {
            ("", "")
        };
        let path = sim_dir().join(format!("{config}-board{suffix}.so"));
        let make = format!("make sim CONFIG={config}{flag}");
        let library = open(&path, &make)?;
        // SAFETY: rb_abi has had this type in every version.
        let abi: extern "C" fn() -> u32 = unsafe { symbol(&library, &path, "rb_abi")? };
        let found = abi();
        let wrong = || Error::Abi {
            path: path.clone(),
            found,
            expected: ABI,
            make: make.clone(),
        };
        if found != ABI {
            return Err(wrong());
        }
        // SAFETY: the number was checked and `_library` keeps the code.
        let api = unsafe { Api::load(&library, &path)? };
        // SAFETY: it returns a constant.
        if unsafe { (api.params_size)() } as usize != size_of::<CardParams>() {
            return Err(wrong());
        }
        Ok(Arc::new(CardLibrary {
            api,
            config: config.into(),
            _library: library,
        }))
    }

    /// Bits of the stream of packets: 64 or 128.
    pub fn width(&self) -> u32 {
        // SAFETY: it returns a constant.
        unsafe { (self.api.width)() }
    }
}

/// A board under simulation.
pub struct Card {
    library: Arc<CardLibrary>,
    card: *mut c_void,
    params: CardParams,
}

// SAFETY: the card is reached only through &mut self (or & for plain reads), and the shim has no thread-local state.
unsafe impl Send for Card {}

impl Card {
    /// A card with zeroed memory, before its first reset.
    ///
    /// # Errors
    /// There is no room for the card memory.
    pub fn new(library: &Arc<CardLibrary>, params: CardParams) -> Result<Card, Error> {
        // SAFETY: `params` has the shim's layout (its size was compared when the library was loaded).
        let card = unsafe { (library.api.create)(&params) };
        if card.is_null() {
            return Err(Error::NoMemory {
                config: library.config.clone(),
                bytes: params.memory_bytes,
            });
        }
        Ok(Card {
            library: library.clone(),
            card,
            params,
        })
    }

    /// Card memory, past all buses.
    pub fn memory(&self) -> &[u8] {
        let len = self.params.memory_bytes as usize;
        // SAFETY: the shim holds this many bytes until the card is dropped, and writes them only in calls with &mut self.
        unsafe { std::slice::from_raw_parts((self.library.api.memory)(self.card), len) }
    }

    /// As [`Card::memory`], to change it.
    pub fn memory_mut(&mut self) -> &mut [u8] {
        let len = self.params.memory_bytes as usize;
        // SAFETY: as above; &mut self excludes other users.
        unsafe { std::slice::from_raw_parts_mut((self.library.api.memory)(self.card), len) }
    }

    /// Makes card memory answer SLVERR to reads and/or writes that touch these addresses.
    pub fn fail(&mut self, range: Range<u64>, reads: bool, writes: bool) {
        let (from, to) = (range.start, range.end.max(range.start + 1));
        // SAFETY: `card` is alive.
        unsafe { (self.library.api.fault)(self.card, from, to, reads.into(), writes.into()) }
    }

    /// Ends all that [`Card::fail`] began.
    pub fn heal(&mut self) {
        // SAFETY: an empty range clears all.
        unsafe { (self.library.api.fault)(self.card, 0, 0, 0, 0) }
    }

    /// Takes the link down or up without a reset of the board; `hot` drives the hot reset of the port above.
    pub fn set_link(&mut self, up: bool, hot: bool) {
        // SAFETY: `card` is alive.
        unsafe { (self.library.api.link)(self.card, up.into(), hot.into()) }
    }

    /// Beats, cycles waited and cycles starved, of the streams to the card and from it and of card memory's channels, by name.
    pub fn channels(&self) -> [(String, [u64; 3]); 7] {
        std::array::from_fn(|i| {
            let mut counts = [0; 3];
            // SAFETY: the shim writes three counts and returns a constant.
            let name = unsafe {
                let name = (self.library.api.channel)(self.card, i as u32, counts.as_mut_ptr());
                CStr::from_ptr(name)
            };
            (name.to_string_lossy().into_owned(), counts)
        })
    }

    /// Starts (with an empty record) or ends keeping when the card takes packets.
    pub fn log(&mut self, on: bool) {
        // SAFETY: `card` is alive.
        unsafe { (self.library.api.log)(self.card, on.into()) }
    }

    /// First and last cycle of each packet that the card took since [`Card::log`].
    pub fn logged(&self) -> Vec<(u64, u64)> {
        let mut n = 0;
        // SAFETY: the shim's record has `n` numbers and stays during this call.
        let numbers = unsafe {
            let first = (self.library.api.logged)(self.card, &mut n);
            if n == 0 {
                &[]
            } else {
                std::slice::from_raw_parts(first, n as usize)
            }
        };
        numbers.chunks_exact(2).map(|c| (c[0], c[1])).collect()
    }

    fn trace(&mut self, wave: &Waveform) -> Result<(), Error> {
        let name = CString::new(wave.file.as_os_str().as_encoded_bytes()).unwrap_or_default();
        let Range { start, end } = wave.cycles;
        // SAFETY: `name` lives during the call.
        let rc = unsafe { (self.library.api.trace)(self.card, name.as_ptr(), start, end) };
        match rc {
            1 => Ok(()),
            _ => Err(Error::Trace {
                file: wave.file.clone(),
                make: format!("make sim CONFIG={} TRACE=1", self.library.config),
            }),
        }
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        // SAFETY: `card` came from `create` and is not used again.
        unsafe { (self.library.api.destroy)(self.card) }
    }
}

impl Link for Card {
    fn now(&self) -> u64 {
        // SAFETY: `card` is alive.
        unsafe { (self.library.api.cycles)(self.card) }
    }

    fn send(&mut self, words: &[u32]) {
        // SAFETY: the shim copies the words.
        unsafe { (self.library.api.send)(self.card, words.as_ptr(), words.len() as u32) }
    }

    fn queued(&self) -> usize {
        // SAFETY: `card` is alive.
        unsafe { (self.library.api.queued)(self.card) as usize }
    }

    fn grant(&mut self, grants: &Grants) {
        // SAFETY: the shim copies the credits.
        unsafe { (self.library.api.grant)(self.card, &grants.into()) }
    }

    fn granted(&self) -> Grants {
        let mut credits = Credits::default();
        // SAFETY: the shim fills the credits.
        unsafe { (self.library.api.granted)(self.card, &mut credits) };
        credits.into()
    }

    fn run(&mut self, cycle: u64) -> Result<Option<Received>, Broken> {
        // SAFETY: `card` is alive.
        match unsafe { (self.library.api.run)(self.card, cycle) } {
            0 => Ok(None),
            1 => {
                let (mut n, mut cycles, mut credits) = (0, [0; 2], Credits::default());
                // SAFETY: there is a packet; its words stay until it is dropped, after they were copied.
                let words = unsafe {
                    let words = (self.library.api.received)(
                        self.card,
                        &mut n,
                        cycles.as_mut_ptr(),
                        &mut credits,
                    );
                    let words = std::slice::from_raw_parts(words, n as usize).to_vec();
                    (self.library.api.drop)(self.card);
                    words
                };
                Ok(Some(Received {
                    words,
                    first: cycles[0],
                    cycle: cycles[1],
                    granted: credits.into(),
                }))
            }
            _ => {
                // SAFETY: the shim returns a string that stays until the next reset.
                let text = unsafe { CStr::from_ptr((self.library.api.violation)(self.card)) };
                Err(Broken::Broken(text.to_string_lossy().into_owned()))
            }
        }
    }

    fn active(&self) -> u64 {
        // SAFETY: `card` is alive.
        unsafe { (self.library.api.active)(self.card) }
    }

    fn reset(&mut self, grants: &Grants) {
        // SAFETY: the shim copies the credits.
        unsafe { (self.library.api.reset)(self.card, &grants.into()) }
    }
}

/// The board of a configuration as a PCI function, set up.
///
/// # Errors
/// There is no such configuration; it is not built (the message names the make target); or the function breaks a rule at once.
/// The environment variable ROUNDHOUSE_WAVEFORM may ask for a waveform (see [`Waveform::from_env`]).
pub fn open_board(
    config: &str,
    params: CardParams,
    manners: Manners,
) -> Result<RootComplex<Card>, Box<dyn std::error::Error + Send + Sync>> {
    let wave = Waveform::from_env()?;
    let library = CardLibrary::load(config, wave.is_some())?;
    let mut card = Card::new(&library, params)?;
    if let Some(wave) = &wave {
        card.trace(wave)?;
    }
    Ok(RootComplex::new(card, manners)?)
}
