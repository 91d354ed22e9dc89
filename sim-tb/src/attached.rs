//! A [`Function`] in this process as the driver's [`Link`]: no socket and no thread, so time is the card's own and every run of a
//! program is the same run. What the driver waits for, deadlines too, passes in simulated time.

use crate::function::{Fault, Function, Host, Progress};
use crate::root_complex::RootComplex;
use device::buffer::{DmaSpace, Mapper, Memory};
use device::link::{Link, Wake};
use device::Error;
use std::fs::File;
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Nanoseconds of a cycle, see [`Function::cycles`].
const CYCLE: u64 = 8;
/// What an access takes where the function has no clock.
const ACCESS: Duration = Duration::from_micros(1);

const COMMAND: usize = 4;
const CAPABILITIES: usize = 0x34;
const PCIE: u8 = 0x10;

/// Memory mapped for the card: I/O address, bytes, and the file that holds them.
#[derive(Clone, Default)]
struct Maps(Arc<Mutex<Vec<(u64, usize, File)>>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The host as the card sees it.
#[derive(Default)]
struct Platform {
    maps: Maps,
    /// Vectors that have fired and were not waited for yet.
    fired: Vec<u32>,
}

impl Platform {
    fn access(
        &self,
        fault: Fault,
        act: impl FnOnce(&File, u64) -> std::io::Result<()>,
    ) -> Result<(), Fault> {
        let maps = lock(&self.maps.0);
        let inside = |m: &&(u64, usize, File)| {
            let at = fault.iova.checked_sub(m.0);
            at.is_some_and(|at| at + fault.bytes as u64 <= m.1 as u64)
        };
        let (start, _, file) = maps.iter().find(inside).ok_or(fault)?;
        act(file, fault.iova - start).map_err(|_| fault)
    }
}

impl Host for Platform {
    fn read(&mut self, iova: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let fault = Fault {
            iova,
            bytes: bytes.len(),
            write: false,
        };
        self.access(fault, |file, at| file.read_exact_at(bytes, at))
    }
    fn write(&mut self, iova: u64, bytes: &[u8]) -> Result<(), Fault> {
        let fault = Fault {
            iova,
            bytes: bytes.len(),
            write: true,
        };
        self.access(fault, |file, at| file.write_all_at(bytes, at))
    }
    fn interrupt(&mut self, vector: u32) {
        if !self.fired.contains(&vector) {
            self.fired.push(vector);
        }
    }
}

impl Mapper for Maps {
    fn ranges(&self) -> Vec<RangeInclusive<u64>> {
        vec![0..=(1 << 48) - 1]
    }
    unsafe fn map(&self, iova: u64, memory: &Memory) -> Result<(), String> {
        let fd = memory.as_fd().try_clone_to_owned();
        let file = File::from(fd.map_err(|e| e.to_string())?);
        lock(&self.0).push((iova, memory.bytes(), file));
        Ok(())
    }
    fn unmap(&self, iova: u64, bytes: usize) -> Result<(), String> {
        lock(&self.0).retain(|m| (m.0, m.1) != (iova, bytes));
        Ok(())
    }
}

/// A function and the platform around it.
pub struct Slot<F> {
    /// The function, for a look from behind.
    pub function: F,
    platform: Platform,
    /// Time that passed while nothing moved, or where the function has no clock.
    idle: Duration,
    accesses: u64,
    resets: u64,
    /// What somebody else will do, and when.
    planned: Option<(When, Deed<F>)>,
}

/// When somebody else does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// After so much time, while the driver waits.
    After(Duration),
    /// Behind the driver's next write to this register: BAR and offset.
    Written(usize, u64),
}

/// What somebody else than the driver does to a card.
type Deed<F> = Box<dyn FnOnce(&mut Slot<F>) + Send>;

impl<F: Function> Slot<F> {
    /// Simulated time.
    pub fn now(&self) -> Duration {
        let cycles = self.function.cycles().unwrap_or(0);
        Duration::from_nanos(CYCLE.saturating_mul(cycles)) + self.idle
    }

    /// Cycles, those included in which nothing moved; None where the function has no clock.
    pub fn cycles(&self) -> Option<u64> {
        let cycles = self.function.cycles()?;
        Some(cycles + self.idle.as_nanos() as u64 / CYCLE)
    }

    /// Accesses of the driver to registers and configuration space.
    pub fn accesses(&self) -> u64 {
        self.accesses
    }

    /// Function-level resets that the driver made.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// Takes all memory away from the card, as a kernel does when a program ends.
    pub fn unmap(&mut self) {
        lock(&self.platform.maps.0).clear();
    }

    /// The card is taken out and put in again.
    ///
    /// # Errors
    /// As [`Function::reset`].
    pub fn replug(&mut self) -> Result<(), crate::function::Error> {
        self.platform.fired.clear();
        self.function.reset(&mut self.platform)
    }

    /// Somebody else will do this.
    pub fn plan(&mut self, when: When, deed: impl FnOnce(&mut Slot<F>) + Send + 'static) {
        let when = match when {
            When::After(time) => When::After(self.now() + time),
            written => written,
        };
        self.planned = Some((when, Box::new(deed)));
    }

    fn due(&mut self, is: impl Fn(When) -> bool) {
        if let Some((_, deed)) = self.planned.take_if(|(when, _)| is(*when)) {
            deed(self);
        }
    }

    /// Writes a word of a BAR as somebody else than the driver.
    ///
    /// # Errors
    /// As [`Function::bar_write`].
    pub fn write(
        &mut self,
        bar: usize,
        offset: u64,
        value: u32,
    ) -> Result<(), crate::function::Error> {
        let bytes = value.to_le_bytes();
        self.function
            .bar_write(&mut self.platform, bar, offset, &bytes)
    }

    /// Reads a word of configuration space, likewise.
    ///
    /// # Errors
    /// As [`Function::config_read`].
    pub fn config(&mut self, offset: usize) -> Result<u32, crate::function::Error> {
        let mut word = [0; 4];
        self.function
            .config_read(&mut self.platform, offset, &mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    /// The reset that the function offers, as a kernel makes it; Command is 0 afterwards.
    ///
    /// # Errors
    /// As [`Function::config_write`]; or the function offers none.
    pub fn function_level_reset(&mut self) -> Result<(), crate::function::Error> {
        let mut at = self.config(CAPABILITIES)? as usize & 0xFC;
        for _ in 0..48 {
            let head = self.config(at)?;
            if head as u8 == PCIE {
                // Initiate Function Level Reset, without a change of the bits beside it.
                let control = self.config(at + 8)? as u16 | 0x8000;
                let bytes = control.to_le_bytes();
                return self
                    .function
                    .config_write(&mut self.platform, at + 8, &bytes);
            }
            at = (head >> 8) as usize & 0xFC;
            if at < 0x40 || head == u32::MAX {
                break;
            }
        }
        Err(crate::function::Error::Broken(
            "configuration space shows no PCI Express capability".into(),
        ))
    }

    fn wait(&mut self, vector: u32, timeout: Duration) -> Result<Wake, crate::function::Error> {
        let end = self.now() + timeout;
        loop {
            let before = self.platform.fired.len();
            self.platform.fired.retain(|v| *v != vector);
            if self.platform.fired.len() < before {
                return Ok(Wake::Interrupt);
            }
            if self.now() >= end {
                return Ok(Wake::Timeout);
            }
            self.pass(end)?;
        }
    }

    /// Lets some time pass, and all until `end` if nothing moves.
    fn pass(&mut self, end: Duration) -> Result<(), crate::function::Error> {
        let now = self.now();
        self.due(|when| matches!(when, When::After(time) if now >= time));
        let progress = self.function.run(&mut self.platform)?;
        if progress == Progress::Idle {
            self.idle += end.saturating_sub(self.now());
        } else if self.function.cycles().is_none() {
            self.idle += ACCESS;
        }
        Ok(())
    }
}

impl<L: crate::root_complex::Link> Slot<RootComplex<L>> {
    /// Lets so many cycles pass, whatever happens in them.
    ///
    /// # Errors
    /// As [`RootComplex::run_until`].
    pub fn let_pass(&mut self, cycles: u64) -> Result<(), crate::function::Error> {
        let until = self.function.link().now() + cycles;
        self.function.run_until(&mut self.platform, until)
    }
}

/// The driver's side.
pub struct Attached<F> {
    name: &'static str,
    slot: Arc<Mutex<Slot<F>>>,
    space: Arc<DmaSpace>,
    bars: [u64; 6],
}

/// Puts a function into a slot.
///
/// # Errors
/// The function is broken.
pub fn slot<F: Function>(mut function: F) -> Result<Arc<Mutex<Slot<F>>>, crate::function::Error> {
    let mut platform = Platform::default();
    function.enable_interrupts(&mut platform, true)?;
    Ok(Arc::new(Mutex::new(Slot {
        function,
        platform,
        idle: Duration::ZERO,
        accesses: 0,
        resets: 0,
        planned: None,
    })))
}

impl<F: Function> Attached<F> {
    /// The function in `slot`; `name` is for messages.
    pub fn new(name: &'static str, slot: &Arc<Mutex<Slot<F>>>) -> Attached<F> {
        let inner = lock(slot);
        let maps = inner.platform.maps.clone();
        let bars = inner.function.bars().map(|bar| bar.map_or(0, |b| b.size));
        drop(inner);
        Attached {
            name,
            space: DmaSpace::new(name.into(), Box::new(maps)),
            slot: slot.clone(),
            bars,
        }
    }

    fn act<T>(
        &self,
        access: &'static str,
        address: u64,
        act: impl FnOnce(&mut F, &mut Platform) -> Result<T, crate::function::Error>,
    ) -> Result<T, Error> {
        let mut slot = lock(&self.slot);
        let slot = &mut *slot;
        slot.accesses += 1;
        if slot.function.cycles().is_none() {
            slot.idle += ACCESS;
        }
        act(&mut slot.function, &mut slot.platform).map_err(|e| self.lift(access, address, e))
    }

    fn lift(&self, access: &'static str, address: u64, e: crate::function::Error) -> Error {
        Error::Access {
            device: self.name.into(),
            access,
            address,
            reason: e.to_string(),
        }
    }
}

impl<F: Function> Link for Attached<F> {
    fn name(&self) -> String {
        self.name.into()
    }

    fn bar_bytes(&self, bar: usize) -> u64 {
        self.bars[bar]
    }

    fn read(&mut self, bar: usize, offset: u64) -> Result<u32, Error> {
        let mut word = [0; 4];
        self.act("register read", offset, |f, host| {
            f.bar_read(host, bar, offset, &mut word)
        })?;
        Ok(u32::from_le_bytes(word))
    }

    fn write(&mut self, bar: usize, offset: u64, value: u32) -> Result<(), Error> {
        let bytes = value.to_le_bytes();
        self.act("register write", offset, |f, host| {
            f.bar_write(host, bar, offset, &bytes)
        })?;
        lock(&self.slot).due(|when| when == When::Written(bar, offset));
        Ok(())
    }

    fn read_config(&mut self, offset: u16) -> Result<u32, Error> {
        let mut word = [0; 4];
        self.act("configuration read", offset.into(), |f, host| {
            f.config_read(host, offset.into(), &mut word)
        })?;
        Ok(u32::from_le_bytes(word))
    }

    fn write_config(&mut self, offset: u16, value: u16) -> Result<(), Error> {
        let bytes = value.to_le_bytes();
        self.act("configuration write", offset.into(), |f, host| {
            f.config_write(host, offset.into(), &bytes)
        })
    }

    fn dma(&self) -> Arc<DmaSpace> {
        self.space.clone()
    }

    /// A function-level reset, and Command as it was: what the kernel's VFIO does.
    fn reset(&mut self) -> Result<(), Error> {
        let command = self.read_config(COMMAND as u16)? as u16;
        if command == u16::MAX {
            return Err(Error::Dead {
                device: self.name.into(),
                what: "configuration space reads as all ones, so the function cannot be reset"
                    .into(),
            });
        }
        let mut slot = lock(&self.slot);
        slot.resets += 1;
        let done = slot.function_level_reset();
        drop(slot);
        done.map_err(|e| self.lift("reset", 0, e))?;
        self.write_config(COMMAND as u16, command)
    }

    fn no_interrupts(&self) -> Option<&str> {
        None
    }

    fn wait_interrupt(&mut self, vector: u32, timeout: Duration) -> Result<Wake, Error> {
        let waited = lock(&self.slot).wait(vector, timeout);
        waited.map_err(|e| self.lift("wait for interrupt", vector.into(), e))
    }

    fn now(&self) -> Duration {
        lock(&self.slot).now()
    }

    fn spin(&mut self) {
        let mut slot = lock(&self.slot);
        let end = slot.now() + ACCESS;
        // What breaks shows at the next access.
        let _ = slot.pass(end);
    }
}
