//! A PCI function as its host sees it, whatever stands behind: RTL through the root complex model, or a plain model of the card.
//! The vfio-user server serves any [`Function`]; the function reaches memory and processor only through a [`Host`].

use std::fmt;

/// Bytes of configuration space.
pub const CONFIG_SPACE: usize = 4096;

/// An access of the card to host memory that nothing answers: no mapping, or not for this direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the card's {} of {bytes} bytes of host memory at 0x{iova:X} is not mapped", if *write { "write" } else { "read" })]
pub struct Fault {
    /// First address of the access.
    pub iova: u64,
    /// Its length.
    pub bytes: usize,
    /// A write of the card.
    pub write: bool,
}

/// The host from below: memory by I/O virtual address, and interrupts. Any address and length; an access may span mappings.
pub trait Host {
    /// Fills `bytes` from host memory.
    ///
    /// # Errors
    /// Some byte of the range is not mapped for reading.
    fn read(&mut self, iova: u64, bytes: &mut [u8]) -> Result<(), Fault>;

    /// Writes `bytes` to host memory; visible to the host before anything that the card does later.
    ///
    /// # Errors
    /// Some byte of the range is not mapped for writing; the bytes before it may have been written.
    fn write(&mut self, iova: u64, bytes: &[u8]) -> Result<(), Fault>;

    /// MSI-X message of `vector`.
    fn interrupt(&mut self, vector: u32);
}

/// Why a function did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The access leaves the space: the caller's mistake, without consequences.
    #[error("{space} has {size} bytes: an access of {bytes} bytes at 0x{offset:X} leaves it")]
    Range {
        /// Configuration space or a BAR.
        space: Space,
        /// Its bytes; 0 when the function has no such BAR.
        size: u64,
        /// First byte of the access.
        offset: u64,
        /// Its length.
        bytes: usize,
    },
    /// The function is of no more use: what broke, with its place (cycle, rule), in words.
    #[error("{0}")]
    Broken(String),
}

/// One of a function's address spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Configuration space.
    Config,
    /// The BAR whose register has this number.
    Bar(usize),
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Space::Config => write!(f, "configuration space"),
            Space::Bar(n) => write!(f, "BAR{n}"),
        }
    }
}

/// What a base address register asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Bytes, a power of two.
    pub size: u64,
    /// 64 bits wide: the next register holds the upper half.
    pub wide: bool,
    /// Prefetchable.
    pub prefetchable: bool,
}

/// Whether simulated time need go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Something is under way: call [`Function::run`] again soon.
    Busy,
    /// Nothing will happen until the host does something.
    Idle,
}

/// A PCI function. Accesses reach it as a host's processor makes them; while one lasts, the card may use the host's memory and raise
/// interrupts, so every access is given the host.
///
/// What belongs to the platform is kept away from the function by its server, as the kernel's VFIO does: writes to the BARs and to the
/// MSI-X enable bits of configuration space and all accesses to the MSI-X table and PBA. The platform says with
/// [`Function::enable_interrupts`] whether it listens.
pub trait Function: Send {
    /// The BARs by register number; the register after a wide one is None.
    fn bars(&self) -> [Option<Bar>; 6];

    /// MSI-X vectors.
    fn vectors(&self) -> u32;

    /// BAR and byte ranges of the MSI-X table and of the pending bits.
    fn msix_area(&self) -> (usize, [std::ops::Range<u64>; 2]);

    /// Reads configuration space.
    ///
    /// # Errors
    /// See [`Error`].
    fn config_read(
        &mut self,
        host: &mut dyn Host,
        offset: usize,
        bytes: &mut [u8],
    ) -> Result<(), Error>;

    /// Writes configuration space. A function-level reset is such a write.
    ///
    /// # Errors
    /// See [`Error`].
    fn config_write(
        &mut self,
        host: &mut dyn Host,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), Error>;

    /// Reads a BAR: 1, 2, 4 or 8 bytes at their natural alignment are one access; any other range is cut into such. What the function
    /// does not answer reads as ones, as on a real bus.
    ///
    /// # Errors
    /// See [`Error`].
    fn bar_read(
        &mut self,
        host: &mut dyn Host,
        bar: usize,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), Error>;

    /// Writes a BAR, posted: the function may still be at work on it when this returns.
    ///
    /// # Errors
    /// See [`Error`].
    fn bar_write(
        &mut self,
        host: &mut dyn Host,
        bar: usize,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Error>;

    /// From now on vectors reach [`Host::interrupt`], or none does (as with the MSI-X enable bit).
    ///
    /// # Errors
    /// See [`Error`].
    fn enable_interrupts(&mut self, host: &mut dyn Host, on: bool) -> Result<(), Error>;

    /// Reset as from the slot: all registers and all that is under way; card memory keeps its bytes.
    ///
    /// # Errors
    /// See [`Error`].
    fn reset(&mut self, host: &mut dyn Host) -> Result<(), Error>;

    /// Cycles of 8 ns that have passed, for a function with a clock.
    fn cycles(&self) -> Option<u64> {
        None
    }

    /// Lets some simulated time pass, a few milliseconds of real time at most.
    ///
    /// # Errors
    /// See [`Error`].
    fn run(&mut self, host: &mut dyn Host) -> Result<Progress, Error>;
}

/// The range check of every access; for implementations.
///
/// # Errors
/// [`Error::Range`].
pub fn check(space: Space, size: u64, offset: u64, bytes: usize) -> Result<(), Error> {
    match offset.checked_add(bytes as u64) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Error::Range {
            space,
            size,
            offset,
            bytes,
        }),
    }
}
