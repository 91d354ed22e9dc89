//! The simulated board as a machine of buses and cycles: engine, card memory, host side. It knows no register map;
//! [`crate::SimBoard`] is the same board as a `device::Device`.

use crate::library::{Error, Library};
use crate::rng::Rng;
use std::ffi::{c_int, c_void, CStr, CString};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Cycles per call of the library: a few milliseconds, so that an interruption is seen.
const SLICE: u64 = 2000;

/// The channels of the three ports, in the order of [`Params::stall`] and [`Board::channels`].
pub const CHANNELS: [&str; 15] = [
    "m_axi AR",
    "m_axi R",
    "m_axi AW",
    "m_axi W",
    "m_axi B",
    "s_axi AR",
    "s_axi R",
    "s_axi AW",
    "s_axi W",
    "s_axi B",
    "s_axil AR",
    "s_axil R",
    "s_axil AW",
    "s_axil W",
    "s_axil B",
];

/// In which order card memory answers bursts of different ids; bursts of one id always keep theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Order {
    /// As they were asked.
    Asked = 0,
    /// Any burst that is due.
    Bursts = 1,
    /// Any burst that is due, changing between beats of reads.
    Beats = 2,
}

/// How the world around the engine behaves. The same parameters give the same cycles. The layout is that of the shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Params {
    /// Seed of everything random.
    pub seed: u64,
    /// Bytes of card memory.
    pub memory_bytes: u64,
    /// Cycles from an address (or a last data beat) to the first answer.
    pub latency: u32,
    /// Up to so many cycles more, at random for each burst.
    pub jitter: u32,
    /// Beats per 256 cycles, of reads and of writes: 256 is one per cycle.
    pub bandwidth: u32,
    /// Order of answers.
    pub order: Order,
    /// Bursts that card memory queues, reads and writes each; 1 to 64.
    pub queue: u32,
    /// Beats of the host's bursts at most; 1 to 256.
    pub host_burst: u32,
    /// Of 256 cycles, how many each of [`CHANNELS`] is held back by the side that is not the engine.
    pub stall: [u32; 15],
}

impl Params {
    /// Memory that answers after 20 cycles, one beat per cycle, no stalls.
    pub fn calm(memory_bytes: u64, seed: u64) -> Params {
        Params {
            seed,
            memory_bytes,
            latency: 20,
            jitter: 0,
            bandwidth: 256,
            order: Order::Asked,
            queue: 16,
            host_burst: 64,
            stall: [0; 15],
        }
    }

    /// Everything drawn from the seed: latency, bandwidth, order, and stalls on every channel.
    pub fn stormy(memory_bytes: u64, seed: u64) -> Params {
        let mut rng = Rng::new(seed);
        let mut p = Params::calm(memory_bytes, rng.next());
        p.latency = 1 + rng.below(60) as u32;
        p.jitter = rng.below(100) as u32;
        p.bandwidth = 64 + rng.below(193) as u32;
        p.order = [Order::Asked, Order::Bursts, Order::Beats][rng.below(3) as usize];
        p.queue = 1 + rng.below(16) as u32;
        p.host_burst = 1 + rng.below(256) as u32;
        for s in &mut p.stall {
            *s = 8 + rng.below(150) as u32;
        }
        p
    }
}

/// What one channel did since the board was made, in cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelCounts {
    /// The channel, as in [`CHANNELS`].
    pub name: &'static str,
    /// valid and ready: a beat moved.
    pub beats: u64,
    /// valid and not ready.
    pub waits: u64,
    /// ready and not valid.
    pub starved: u64,
}

/// One item of a stream inside the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapItem {
    /// Cycle since the board was made.
    pub cycle: u64,
    /// Stream: an index of [`Library::taps`].
    pub stream: usize,
    /// The item, filled up to whole words.
    pub bytes: Vec<u8>,
}

/// A simulated board.
pub struct Board {
    library: Arc<Library>,
    board: *mut c_void,
    params: Params,
    stop: Option<Arc<AtomicBool>>,
    /// Cycles after which a wait that did not end is an error.
    pub deadline: u64,
}

// SAFETY: the board is reached only through &mut self (or & for plain reads), and the shim has no thread-local state.
unsafe impl Send for Board {}

impl Board {
    /// A board with zeroed card memory, after reset.
    ///
    /// # Errors
    /// There is no room for the card memory.
    pub fn new(library: &Arc<Library>, params: Params) -> Result<Board, Error> {
        // SAFETY: `params` has the shim's layout (its size was compared when the library was loaded).
        let board = unsafe { (library.api.create)(&params) };
        if board.is_null() {
            return Err(Error::NoMemory {
                config: library.config.clone(),
                bytes: params.memory_bytes,
            });
        }
        let mut b = Board {
            library: library.clone(),
            board,
            params,
            stop: None,
            deadline: 100_000_000,
        };
        b.reset();
        Ok(b)
    }

    /// Looks at `flag` every few milliseconds of a wait; when it is set, the wait ends with [`Error::Interrupted`].
    pub fn stop_on(&mut self, flag: Arc<AtomicBool>) {
        self.stop = Some(flag);
    }

    /// Whether the flag of [`Board::stop_on`] is set.
    pub fn asked_to_stop(&self) -> bool {
        self.stop
            .as_ref()
            .is_some_and(|s| s.load(Ordering::Relaxed))
    }

    /// The engine's library.
    pub fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// The parameters given to [`Board::new`].
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Holds rst for 8 cycles. Card memory, cycle count and statistics stay; everything on its way is forgotten.
    pub fn reset(&mut self) {
        // SAFETY: `board` is alive.
        unsafe { (self.library.api.reset)(self.board) }
    }

    /// Cycles since the board was made.
    pub fn cycles(&self) -> u64 {
        // SAFETY: `board` is alive.
        unsafe { (self.library.api.cycles)(self.board) }
    }

    /// Level of the engine's irq pin.
    pub fn irq(&self) -> bool {
        // SAFETY: `board` is alive.
        unsafe { (self.library.api.irq)(self.board) != 0 }
    }

    /// Card memory, past all buses: for tests and for the scoreboard.
    pub fn memory(&self) -> &[u8] {
        let len = self.params.memory_bytes as usize;
        // SAFETY: the shim holds this many bytes until the board is dropped, and writes them only in calls with &mut self.
        unsafe { std::slice::from_raw_parts((self.library.api.memory)(self.board), len) }
    }

    /// As [`Board::memory`], to change it: a flipped bit, a planted fault.
    pub fn memory_mut(&mut self) -> &mut [u8] {
        let len = self.params.memory_bytes as usize;
        // SAFETY: as above; &mut self excludes other users.
        unsafe { std::slice::from_raw_parts_mut((self.library.api.memory)(self.board), len) }
    }

    /// What is on its way on the buses, in words.
    pub fn state(&self) -> String {
        // SAFETY: the shim returns a string that stays until the next such call.
        unsafe { CStr::from_ptr((self.library.api.state)(self.board)) }
            .to_string_lossy()
            .into_owned()
    }

    /// Calls `slice(first, cycles)` until it returns 1, within the deadline.
    fn until(
        &mut self,
        what: &str,
        limit: u64,
        mut slice: impl FnMut(&mut Self, bool, u64) -> c_int,
    ) -> Result<(), Error> {
        let start = self.cycles();
        let mut first = true;
        loop {
            let left = limit - (self.cycles() - start).min(limit);
            if left == 0 {
                return Err(Error::Hung {
                    config: self.library.config.clone(),
                    what: what.into(),
                    cycles: limit,
                    at: self.cycles(),
                    state: self.state(),
                });
            }
            match slice(self, first, left.min(SLICE)) {
                1 => return Ok(()),
                0 => {}
                _ => {
                    // SAFETY: the shim returns a string that stays until the next reset.
                    let text = unsafe { CStr::from_ptr((self.library.api.violation)(self.board)) };
                    return Err(Error::Violation {
                        config: self.library.config.clone(),
                        text: text.to_string_lossy().into_owned(),
                    });
                }
            }
            first = false;
            if self.asked_to_stop() {
                return Err(Error::Interrupted {
                    config: self.library.config.clone(),
                    what: what.into(),
                });
            }
        }
    }

    /// Runs `cycles` cycles.
    ///
    /// # Errors
    /// A bus rule was broken, or the user asked to stop.
    pub fn run(&mut self, cycles: u64) -> Result<(), Error> {
        let end = self.cycles() + cycles;
        if cycles == 0 {
            return Ok(());
        }
        self.until("cycles", u64::MAX, |b, _, n| {
            // SAFETY: `board` is alive.
            let rc = unsafe { (b.library.api.run)(b.board, n.min(end - b.cycles()), 0) };
            if rc == 0 && b.cycles() == end {
                1
            } else {
                rc
            }
        })
    }

    /// Runs the engine's model alone for so many cycles: a bare loop with constant inputs, no memory, no host. The measure for the
    /// speed of [`Board::run`]; only for a board on which nothing is under way.
    pub fn run_bare(&mut self, cycles: u64) {
        // SAFETY: `board` is alive.
        unsafe { (self.library.api.bare)(self.board, cycles) }
    }

    /// Runs until irq is high; `what` says what for.
    ///
    /// # Errors
    /// The deadline passed, a bus rule was broken, or the user asked to stop.
    pub fn run_until_irq(&mut self, what: &str) -> Result<(), Error> {
        if self.irq() {
            return Ok(());
        }
        self.until(what, self.deadline, |b, _, n| {
            // SAFETY: `board` is alive.
            unsafe { (b.library.api.run)(b.board, n, 1) }
        })
    }

    fn access(&mut self, write: bool, offset: u32, value: u32) -> Result<u32, Error> {
        let (mut word, mut resp) = (value, 0);
        let access = if write {
            "register write"
        } else {
            "register read"
        };
        let limit = self.deadline.min(1_000_000);
        self.until(
            &format!("{access} at 0x{offset:X}"),
            limit,
            |b, first, n| {
                // SAFETY: `board` is alive, the pointers are to locals.
                unsafe {
                    (b.library.api.register)(
                        b.board,
                        first.into(),
                        write.into(),
                        offset,
                        &mut word,
                        n,
                        &mut resp,
                    )
                }
            },
        )
        .inspect_err(|_| self.reset())?;
        self.judge(access, offset.into(), resp)?;
        Ok(word)
    }

    fn judge(&self, access: &'static str, address: u64, resp: u32) -> Result<(), Error> {
        if resp == 0 {
            return Ok(());
        }
        Err(Error::Response {
            config: self.library.config.clone(),
            access,
            address,
            response: if resp == 3 { "DECERR" } else { "SLVERR" },
        })
    }

    /// Reads a register over `s_axil`.
    ///
    /// # Errors
    /// No or a bad answer, a broken bus rule, or the user asked to stop.
    pub fn read_register(&mut self, offset: u32) -> Result<u32, Error> {
        self.access(false, offset, 0)
    }

    /// Writes a register over `s_axil`.
    ///
    /// # Errors
    /// As [`Board::read_register`].
    pub fn write_register(&mut self, offset: u32, value: u32) -> Result<(), Error> {
        self.access(true, offset, value).map(|_| ())
    }

    fn copy(&mut self, write: bool, address: u64, bytes: *mut u8, len: usize) -> Result<(), Error> {
        let (mut resp, mut at) = (0, 0);
        let access = if write { "write" } else { "read" };
        let what = format!("{access} of {len} bytes of card memory at 0x{address:X}");
        let limit = self.deadline.max(len as u64 * 64);
        self.until(&what, limit, |b, first, n| {
            // SAFETY: `bytes` has `len` bytes, which the shim uses until the copy is done or the board is reset: one of both
            // happens before this function returns. For a write the shim only reads them.
            unsafe {
                (b.library.api.copy)(
                    b.board,
                    first.into(),
                    write.into(),
                    address,
                    bytes,
                    len as u64,
                    n,
                    &mut resp,
                    &mut at,
                )
            }
        })
        .inspect_err(|_| self.reset())?;
        self.judge(if write { "copy in" } else { "copy out" }, at, resp)
    }

    /// Copies to card memory over `s_axi`, in bursts. After an error other than a bad answer the engine was reset.
    ///
    /// # Errors
    /// As [`Board::read_register`].
    pub fn copy_in(&mut self, bytes: &[u8], address: u64) -> Result<(), Error> {
        self.copy(true, address, bytes.as_ptr().cast_mut(), bytes.len())
    }

    /// Copies from card memory over `s_axi`, in bursts.
    ///
    /// # Errors
    /// As [`Board::copy_in`].
    pub fn copy_out(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        self.copy(false, address, bytes.as_mut_ptr(), bytes.len())
    }

    /// What each channel did so far.
    pub fn channels(&self) -> [ChannelCounts; 15] {
        std::array::from_fn(|i| {
            let mut n = [0u64; 3];
            // SAFETY: the shim writes three counts.
            unsafe { (self.library.api.channel)(self.board, i as u32, n.as_mut_ptr()) };
            ChannelCounts {
                name: CHANNELS[i],
                beats: n[0],
                waits: n[1],
                starved: n[2],
            }
        })
    }

    /// Makes card memory answer SLVERR to reads and/or writes that touch these addresses.
    pub fn fail(&mut self, range: Range<u64>, reads: bool, writes: bool) {
        if range.start < range.end {
            // SAFETY: `board` is alive.
            unsafe {
                (self.library.api.fault)(
                    self.board,
                    range.start,
                    range.end,
                    reads.into(),
                    writes.into(),
                );
            }
        }
    }

    /// Ends all that [`Board::fail`] began.
    pub fn heal(&mut self) {
        // SAFETY: an empty range clears all.
        unsafe { (self.library.api.fault)(self.board, 0, 0, 0, 0) }
    }

    /// Starts (with an empty record) or ends the recording of the engine's inner streams.
    pub fn record(&mut self, on: bool) {
        // SAFETY: `board` is alive.
        unsafe { (self.library.api.tap_on)(self.board, on.into()) }
    }

    /// Takes what was recorded so far.
    pub fn recorded(&mut self) -> Vec<TapItem> {
        let mut len = 0;
        // SAFETY: the shim's record has `len` words and stays until it is cleared below.
        let words = unsafe {
            let first = (self.library.api.tapped)(self.board, &mut len);
            if len == 0 {
                &[]
            } else {
                std::slice::from_raw_parts(first, len as usize)
            }
        };
        let mut items = Vec::new();
        let mut rest = words;
        while let [stream, low, high, tail @ ..] = rest {
            let n = self.library.tap_bytes(*stream as usize) / 4;
            items.push(TapItem {
                cycle: u64::from(*low) | u64::from(*high) << 32,
                stream: *stream as usize,
                bytes: tail[..n].iter().flat_map(|w| w.to_le_bytes()).collect(),
            });
            rest = &tail[n..];
        }
        // SAFETY: `board` is alive; `words` is not used any more.
        unsafe { (self.library.api.tap_clear)(self.board) };
        items
    }

    /// Writes these cycles to a VCD file; needs the library with waveforms.
    ///
    /// # Errors
    /// The library has none, or the file cannot be opened.
    pub fn trace(&mut self, file: &Path, cycles: Range<u64>) -> Result<(), Error> {
        let name = CString::new(file.to_string_lossy().as_bytes()).unwrap_or_default();
        // SAFETY: `board` is alive and the name is a string that ends in zero.
        let ok = !name.is_empty()
            && unsafe {
                (self.library.api.trace)(self.board, name.as_ptr(), cycles.start, cycles.end)
            } != 0;
        if ok {
            Ok(())
        } else {
            Err(Error::Trace {
                file: file.into(),
                make: format!("make sim CONFIG={} TRACE=1", self.library.config),
            })
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // SAFETY: `board` came from rh_create and is not used afterwards.
        unsafe { (self.library.api.destroy)(self.board) }
    }
}
