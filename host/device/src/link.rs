//! What the driver of the DMA registers needs of a PCI function, however it is reached.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::buffer::DmaSpace;
use crate::Error;

/// What ended a wait for an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The vector has fired since the last wait.
    Interrupt,
    /// The time is over.
    Timeout,
}

/// A PCI function in a user-space driver's hands.
pub trait Link: Send {
    /// The way to reach it, for messages: "vfio:0000:01:00.0".
    fn name(&self) -> String;

    /// Bytes of a BAR, 0 where there is none.
    fn bar_bytes(&self, bar: usize) -> u64;

    /// Reads the word at `offset` of a BAR.
    ///
    /// # Errors
    /// If the access fails. A link that is down may also read as all ones.
    fn read(&mut self, bar: usize, offset: u64) -> Result<u32, Error>;

    /// Writes the word at `offset` of a BAR; everything that the program wrote to DMA memory before is visible to the card first.
    ///
    /// # Errors
    /// If the access fails.
    fn write(&mut self, bar: usize, offset: u64, value: u32) -> Result<(), Error>;

    /// Reads the word at `offset` of configuration space.
    ///
    /// # Errors
    /// If the access fails.
    fn read_config(&mut self, offset: u16) -> Result<u32, Error>;

    /// Writes the 16 bits at `offset` of configuration space: Command and the control registers of capabilities have this width,
    /// and status bits beside them clear when ones are written.
    ///
    /// # Errors
    /// If the access fails.
    fn write_config(&mut self, offset: u16, value: u16) -> Result<(), Error>;

    /// The addresses at which the card sees this program's memory.
    fn dma(&self) -> Arc<DmaSpace>;

    /// Resets the function; registers of configuration space are then as after power-on, but the platform's own.
    ///
    /// # Errors
    /// If the reset fails.
    fn reset(&mut self) -> Result<(), Error>;

    /// Why there are no interrupts, where there are none.
    fn no_interrupts(&self) -> Option<&str>;

    /// Waits until `vector` has fired, for `timeout` at most. Without interrupts it is `timeout` that passes.
    ///
    /// # Errors
    /// If waiting itself fails.
    fn wait_interrupt(&mut self, vector: u32, timeout: Duration) -> Result<Wake, Error>;

    /// Time since some beginning, for deadlines: the wall's, or that of a card which this very thread simulates.
    fn now(&self) -> Duration {
        wall()
    }

    /// Between two looks at memory that the card writes, without a nap. A card that this thread simulates lets its time pass here.
    fn spin(&mut self) {
        std::hint::spin_loop();
    }
}

/// Wall time since this was first asked for.
pub(crate) fn wall() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
