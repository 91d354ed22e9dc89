//! The simulated board as a `device::Device`: registers over `s_axil`, copies over `s_axi`, waiting by running cycles.

use crate::board::{Board, Params};
use crate::library::{Error, Library};
use abi::registers::{offset, SPACE};
use abi::Config;
use device::{Device, DoneRegister};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Cycles between two looks at a register that is waited for.
const POLL: u64 = 200;
/// Bytes per call of a long copy, so that it can be interrupted between calls.
const CHUNK: usize = 1 << 16;

/// A waveform that is wanted: a VCD file and the cycles in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waveform {
    /// The file.
    pub file: PathBuf,
    /// Cycles since the board was made.
    pub cycles: Range<u64>,
}

impl Waveform {
    /// Cycles written when nothing else is said: a VCD file of the engine grows by about 3 GB per million cycles.
    const CYCLES: u64 = 100_000;

    /// What ROUNDHOUSE_WAVEFORM asks for: `FILE` or `FILE@FROM..TO` (cycles). The second and further boards of a process
    /// write to FILE.1, FILE.2 and so on.
    ///
    /// # Errors
    /// The range cannot be understood.
    pub fn from_env() -> Result<Option<Waveform>, Error> {
        static BOARDS: AtomicUsize = AtomicUsize::new(0);
        let Ok(text) = std::env::var("ROUNDHOUSE_WAVEFORM") else {
            return Ok(None);
        };
        let mut wave = Self::parse(&text)?;
        let n = BOARDS.fetch_add(1, Ordering::Relaxed);
        if n > 0 {
            wave.file.as_mut_os_string().push(format!(".{n}"));
        }
        Ok(Some(wave))
    }

    fn parse(text: &str) -> Result<Waveform, Error> {
        let (file, cycles) = match text.rsplit_once('@') {
            None => (text, Some(0..Self::CYCLES)),
            Some((file, range)) => {
                let ends = range.split_once("..");
                let numbers = ends.and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
                (file, numbers)
            }
        };
        match cycles {
            Some(cycles) if !file.is_empty() && cycles.start < cycles.end => Ok(Waveform {
                file: file.into(),
                cycles,
            }),
            _ => Err(Error::Config(format!(
                "ROUNDHOUSE_WAVEFORM is `{text}`: FILE or FILE@FROM..TO with cycles was expected"
            ))),
        }
    }
}

/// A Verilated engine with its card memory.
pub struct SimBoard {
    /// The machine beneath.
    pub board: Board,
    config: Config,
}

impl SimBoard {
    /// The board of the configuration called `name`, in a calm world.
    ///
    /// # Errors
    /// There is no such configuration; it is not built (the message names the make target); or it was built from other
    /// tables than this program's.
    pub fn open(name: &str, seed: u64) -> Result<SimBoard, Error> {
        let config = Config::named(name).map_err(Error::Config)?;
        Self::with(name, Params::calm(config.memory_bytes, seed), None)
    }

    /// As [`SimBoard::open`], in the given world; with `waveform` a VCD file is written. Without, the environment variable
    /// ROUNDHOUSE_WAVEFORM may ask for one (see [`Waveform::from_env`]).
    ///
    /// # Errors
    /// As [`SimBoard::open`], or the file cannot be written.
    pub fn with(
        name: &str,
        params: Params,
        waveform: Option<&Waveform>,
    ) -> Result<SimBoard, Error> {
        let config = Config::named(name).map_err(Error::Config)?;
        let asked = match waveform {
            Some(w) => Some(w.clone()),
            None => Waveform::from_env()?,
        };
        let library = Library::load(name, asked.is_some())?;
        let mut board = Board::new(&library, params)?;
        if let Some(w) = asked {
            board.trace(&w.file, w.cycles)?;
        }
        let fingerprint = abi::fingerprint(&config);
        let lo = board.read_register(offset("FINGERPRINT_LO"))?;
        let hi = board.read_register(offset("FINGERPRINT_HI"))?;
        let found = u64::from(hi) << 32 | u64::from(lo);
        for (what, found, expected) in [
            (
                "magic",
                board.read_register(offset("MAGIC"))?.into(),
                abi::MAGIC.into(),
            ),
            (
                "ABI version",
                board.read_register(offset("ABI_VERSION"))?.into(),
                abi::ABI_VERSION.into(),
            ),
            ("fingerprint", found, fingerprint),
        ] {
            if found != expected {
                return Err(Error::Mismatch {
                    config: name.into(),
                    what,
                    found: format!("{found:016x}"),
                    expected: format!("{expected:016x}"),
                });
            }
        }
        Ok(SimBoard { board, config })
    }

    /// The engine's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A 64-bit counter by its name in [`abi::registers::COUNTERS`], read as one with the others by freezing them.
    ///
    /// # Errors
    /// As [`Board::read_register`]; a name that is not a counter's.
    pub fn counter(&mut self, name: &str) -> Result<u64, Error> {
        let at = abi::registers::COUNTERS.iter().position(|c| *c == name);
        let at = at.ok_or_else(|| Error::Config(format!("the engine has no counter `{name}`")))?;
        let base = abi::registers::COUNTERS_BASE + 8 * at as u32;
        let control = self.board.read_register(offset("CONTROL"))?;
        self.board.write_register(offset("CONTROL"), control | 4)?;
        let lo = self.board.read_register(base)?;
        let hi = self.board.read_register(base + 4)?;
        self.board.write_register(offset("CONTROL"), control)?;
        Ok(u64::from(hi) << 32 | u64::from(lo))
    }

    fn range(&self, address: u64, bytes: usize) -> Result<(), device::Error> {
        let memory = self.memory_bytes();
        if address
            .checked_add(bytes as u64)
            .is_some_and(|end| end <= memory)
        {
            return Ok(());
        }
        Err(device::Error::OutOfMemoryRange {
            device: self.name(),
            address,
            bytes,
            memory,
        })
    }

    fn register(&self, offset: u32) -> Result<(), device::Error> {
        if offset.is_multiple_of(4) && offset < SPACE {
            return Ok(());
        }
        Err(device::Error::BadRegister {
            device: self.name(),
            offset,
            space: SPACE,
        })
    }

    fn lift(&self, access: &'static str, address: u64, e: Error) -> device::Error {
        match e {
            Error::Interrupted { what, .. } => device::Error::Interrupted {
                device: self.name(),
                what,
            },
            e => device::Error::Access {
                device: self.name(),
                access,
                address,
                reason: e.to_string(),
            },
        }
    }
}

impl Device for SimBoard {
    fn name(&self) -> String {
        format!("sim ({})", self.config.name)
    }

    fn memory_bytes(&self) -> u64 {
        self.board.params().memory_bytes
    }

    fn read_register(&mut self, offset: u32) -> Result<u32, device::Error> {
        self.register(offset)?;
        let r = self.board.read_register(offset);
        r.map_err(|e| self.lift("register read", offset.into(), e))
    }

    fn write_register(&mut self, offset: u32, value: u32) -> Result<(), device::Error> {
        self.register(offset)?;
        let r = self.board.write_register(offset, value);
        r.map_err(|e| self.lift("register write", offset.into(), e))
    }

    fn copy_in(&mut self, bytes: &[u8], card_address: u64) -> Result<(), device::Error> {
        self.range(card_address, bytes.len())?;
        for (i, part) in bytes.chunks(CHUNK).enumerate() {
            let at = card_address + (i * CHUNK) as u64;
            let r = self.board.copy_in(part, at);
            r.map_err(|e| self.lift("copy in", at, e))?;
        }
        Ok(())
    }

    fn copy_out(&mut self, card_address: u64, bytes: &mut [u8]) -> Result<(), device::Error> {
        self.range(card_address, bytes.len())?;
        for (i, part) in bytes.chunks_mut(CHUNK).enumerate() {
            let at = card_address + (i * CHUNK) as u64;
            let r = self.board.copy_out(at, part);
            r.map_err(|e| self.lift("copy out", at, e))?;
        }
        Ok(())
    }

    fn reset(&mut self) -> Result<(), device::Error> {
        self.board.reset();
        Ok(())
    }

    fn wait_done(
        &mut self,
        register: DoneRegister,
        wanted: u32,
        timeout: Duration,
        what: &str,
    ) -> Result<(), device::Error> {
        self.register(register.offset)?;
        let (start, first) = (Instant::now(), self.board.cycles());
        let (mut cycles, mut seen);
        loop {
            let r = self.board.read_register(register.offset);
            seen = r.map_err(|e| self.lift("register read", register.offset.into(), e))?
                & register.mask;
            cycles = self.board.cycles() - first;
            if seen == wanted {
                return Ok(());
            }
            if cycles >= self.board.deadline || start.elapsed() >= timeout {
                break;
            }
            // The board itself looks at the flag only in waits that are longer than these cycles.
            if self.board.asked_to_stop() {
                return Err(device::Error::Interrupted {
                    device: self.name(),
                    what: what.into(),
                });
            }
            let r = self.board.run(POLL);
            r.map_err(|e| self.lift("simulation", 0, e))?;
        }
        Err(device::Error::Timeout {
            device: self.name(),
            what: format!("{what}, {cycles} cycles long ({})", self.board.state()),
            register: register.name,
            offset: register.offset,
            seen,
            wanted,
            waited_ms: start.elapsed().as_millis(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waveform_is_a_file_and_perhaps_cycles() {
        let w = Waveform::parse("a/b.vcd").unwrap();
        assert_eq!((w.file, w.cycles), ("a/b.vcd".into(), 0..100_000));
        let w = Waveform::parse("x@y.vcd@5..90").unwrap();
        assert_eq!((w.file, w.cycles), ("x@y.vcd".into(), 5..90));
        for bad in ["", "a.vcd@", "a.vcd@7", "a.vcd@9..9", "@1..2", "a.vcd@x..y"] {
            let e = Waveform::parse(bad).unwrap_err().to_string();
            assert!(e.contains("FILE@FROM..TO"), "{e}");
        }
    }
}
