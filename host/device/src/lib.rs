//! What a board is to the driver, and the ways to reach one.
//!
//! A board is a space of 32-bit registers (BAR0), a card memory that can be copied to and from, and a way to wait: [`Device`].
//! Nothing here knows of AXI, of commands or of models.
//!
//! | way | module | is |
//! |---|---|---|
//! | `vfio:BDF` | `vfio` | a function of this machine (or of a virtual one), through the kernel's VFIO |
//! | `vfio-user:PATH` | `vfio_user` | a function served over a socket, such as the simulated board's |
//! | `xdma:N` | `xdma` | a function under the vendor's driver, through its character devices |
//!
//! The first two are each a [`link::Link`]: registers, memory that the card sees, interrupts. [`dma::Dma`] drives the DMA registers over
//! any link, and [`board::PciBoard`] makes a device of both.

pub mod board;
pub mod buffer;
pub mod dma;
mod event;
pub mod find;
pub mod link;
mod lock;
mod umask;
mod vfio;
mod vfio_user;
mod way;
mod xdma;

use std::time::Duration;

use dma::{Job, JobAreas, LinkRate};
use link::Wake;

pub use umask::others_do_not_write;
pub use vfio::iommu_space;
pub use way::Way;

/// A board that did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A register offset outside the register space, or not a multiple of 4.
    #[error("{device}: there is no register at offset 0x{offset:X} (the register space has 0x{space:X} bytes, in words of 4)")]
    BadRegister {
        /// The device's name.
        device: String,
        /// The offset asked for, in bytes.
        offset: u32,
        /// Bytes of the register space.
        space: u32,
    },
    /// A copy that leaves card memory.
    #[error("{device}: a copy of {bytes} bytes at card address 0x{address:X} leaves the card's memory of {memory} bytes")]
    OutOfMemoryRange {
        /// The device's name.
        device: String,
        /// First card address of the copy.
        address: u64,
        /// Bytes of the copy.
        bytes: usize,
        /// Bytes of card memory.
        memory: u64,
    },
    /// A deadline passed before a register showed the value that was waited for.
    #[error("{device}: waited {waited_ms} ms for {what}: register {register} (0x{offset:X}) shows {seen}, {wanted} was wanted; the engine is stuck or the deadline is too short: run again, which resets the board")]
    Timeout {
        /// The device's name.
        device: String,
        /// What was waited for, in words.
        what: String,
        /// The register's name.
        register: &'static str,
        /// The register's offset in bytes.
        offset: u32,
        /// The value read last.
        seen: u32,
        /// The value waited for.
        wanted: u32,
        /// Milliseconds spent.
        waited_ms: u128,
    },
    /// A bus access that the board answered with an error, or not at all.
    #[error("{device}: {access} at 0x{address:X} failed: {reason}")]
    Access {
        /// The device's name.
        device: String,
        /// "register read", "copy in", ...
        access: &'static str,
        /// Register offset or card address.
        address: u64,
        /// Why, in words.
        reason: String,
    },
    /// Nobody answers any more: registers read as all ones, or a connection has ended.
    #[error("{device}: nobody answers any more ({what}); the link is down, the card was taken away, or its server has ended: plug it in again or start the server, then `host info` says what boards there are")]
    Dead {
        /// The device's name.
        device: String,
        /// What was seen.
        what: String,
    },
    /// The function is there, but not as this program left it.
    #[error("{device}: the card was reset behind this program's back ({what}); what it was doing is lost: see that nobody else uses it, and run again")]
    Reset {
        /// The device's name.
        device: String,
        /// What was seen.
        what: String,
    },
    /// A transfer that the card did not finish.
    #[error("{device}: DMA {direction} card address 0x{address:X}, {bytes} bytes: {reason}")]
    Dma {
        /// The device's name.
        device: String,
        /// "to" or "from".
        direction: &'static str,
        /// Card address.
        address: u64,
        /// Bytes of the transfer.
        bytes: usize,
        /// What the channel shows, in words.
        reason: String,
    },
    /// A job that the card did not do.
    #[error("{device}: {what}: {reason}")]
    Job {
        /// The device's name.
        device: String,
        /// What it was for, in words.
        what: String,
        /// What the card shows, in words.
        reason: String,
    },
    /// The board cannot be opened; the sentence says what is missing and what to do.
    #[error("{0}")]
    Open(String),
    /// The user asked to stop while the board was busy.
    #[error("{device}: interrupted while waiting for {what}")]
    Interrupted {
        /// The device's name.
        device: String,
        /// What was waited for, in words.
        what: String,
    },
}

/// What [`Device::wait_done`] needs to know of the register map, so that this crate need not know the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoneRegister {
    /// Name, for messages.
    pub name: &'static str,
    /// Offset in bytes.
    pub offset: u32,
    /// Bits of the register that count.
    pub mask: u32,
}

/// A board.
pub trait Device: Send {
    /// Name for messages, with the way to reach the board: "golden", "sim (tiny)", "vfio:0000:01:00.0".
    fn name(&self) -> String;

    /// Bytes of card memory; card addresses run from 0 to here.
    fn memory_bytes(&self) -> u64;

    /// Reads the 32-bit register at byte `offset`.
    ///
    /// # Errors
    /// If there is no such offset or the board does not answer.
    fn read_register(&mut self, offset: u32) -> Result<u32, Error>;

    /// Writes the 32-bit register at byte `offset`.
    ///
    /// # Errors
    /// If there is no such offset or the board does not answer.
    fn write_register(&mut self, offset: u32, value: u32) -> Result<(), Error>;

    /// Copies host bytes to card memory. Any alignment; later reads, by host or engine, see them.
    ///
    /// # Errors
    /// If the range leaves card memory or the board does not answer.
    fn copy_in(&mut self, bytes: &[u8], card_address: u64) -> Result<(), Error>;

    /// Copies card memory to host bytes.
    ///
    /// # Errors
    /// If the range leaves card memory or the board does not answer.
    fn copy_out(&mut self, card_address: u64, bytes: &mut [u8]) -> Result<(), Error>;

    /// Brings the board to its state after power-on, except for card memory, which keeps its bytes.
    ///
    /// # Errors
    /// If the board does not answer.
    fn reset(&mut self) -> Result<(), Error>;

    /// Waits until the engine's interrupt has come since the last such wait, for `timeout` at most. Where there are no interrupts
    /// ([`Device::no_interrupts`]), the time passes.
    ///
    /// # Errors
    /// If waiting itself fails.
    fn wait_interrupt(&mut self, timeout: Duration) -> Result<Wake, Error> {
        std::thread::sleep(timeout);
        Ok(Wake::Timeout)
    }

    /// Why this way to the board has no interrupts, where it has none.
    fn no_interrupts(&mut self) -> Option<String> {
        Some(format!("{} is not a PCI function", self.name()))
    }

    /// What the link between host and card can carry; `None` where there is no link or nobody can say.
    ///
    /// # Errors
    /// If the board does not answer.
    fn link_rate(&mut self) -> Result<Option<LinkRate>, Error> {
        Ok(None)
    }

    /// Sets up jobs over these places of card memory, behind a reset; whether there are any. Where there are none, copies, the register
    /// TAIL and [`Device::wait_done`] do the same.
    ///
    /// # Errors
    /// If the board does not answer, or there is no memory for them.
    fn jobs(&mut self, _areas: JobAreas) -> Result<bool, Error> {
        Ok(false)
    }

    /// Runs jobs, if [`Device::jobs`] has said that there are any; see [`dma::Dma::run_jobs`].
    ///
    /// # Errors
    /// If one fails or does not end in time; a reset is then due.
    fn run_jobs(
        &mut self,
        _jobs: &mut [Job],
        _done: DoneRegister,
        _timeout: Duration,
        what: &str,
    ) -> Result<(), Error> {
        Err(Error::Job {
            device: self.name(),
            what: what.to_owned(),
            reason: "there are no jobs on this way to a board".into(),
        })
    }

    /// Time since some beginning, for deadlines; see [`link::Link::now`].
    fn now(&self) -> Duration {
        link::wall()
    }

    /// Whether the user has asked for an end of what the board does.
    fn asked_to_stop(&self) -> bool {
        false
    }

    /// Waits until `register`, masked, equals `wanted`, for `timeout` by [`Device::now`] at most; `what` says in words what
    /// is waited for. The default polls, with naps that grow; the engine's interrupt, where a command asks for it, ends a nap. A
    /// simulated board overrides it to run cycles until then.
    ///
    /// # Errors
    /// [`Error::Timeout`] with all of it, [`Error::Interrupted`], or what reading the register gave.
    fn wait_done(
        &mut self,
        register: DoneRegister,
        wanted: u32,
        timeout: Duration,
        what: &str,
    ) -> Result<(), Error> {
        let start = self.now();
        loop {
            let seen = self.read_register(register.offset)? & register.mask;
            if seen == wanted {
                return Ok(());
            }
            let waited = self.now() - start;
            if waited >= timeout {
                return Err(Error::Timeout {
                    device: self.name(),
                    what: what.to_string(),
                    register: register.name,
                    offset: register.offset,
                    seen,
                    wanted,
                    waited_ms: waited.as_millis(),
                });
            }
            if self.asked_to_stop() {
                return Err(Error::Interrupted {
                    device: self.name(),
                    what: what.to_string(),
                });
            }
            if waited < SPIN {
                std::hint::spin_loop();
            } else {
                self.wait_interrupt((waited / 8).min(NAP))?;
            }
        }
    }
}

/// A wait for a register spins so long before it naps.
const SPIN: Duration = Duration::from_micros(50);
/// Longest nap between two looks at a register.
const NAP: Duration = Duration::from_millis(1);

/// An error of the operating system, and what helps where a limit is the cause.
fn because(e: impl Into<std::io::Error>) -> String {
    let e = e.into();
    match e.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::MFILE) => format!("{e}; raise the limit (`ulimit -n`)"),
        Some(rustix::io::Errno::NOMEM) => {
            format!("{e}; end other programs, or raise the limit (`ulimit -v`)")
        }
        _ => e.to_string(),
    }
}

/// The range check of every copy.
fn within(device: &str, address: u64, bytes: usize, memory: u64) -> Result<(), Error> {
    let end = address.checked_add(bytes as u64);
    if end.is_some_and(|end| end <= memory) {
        return Ok(());
    }
    Err(Error::OutOfMemoryRange {
        device: device.to_owned(),
        address,
        bytes,
        memory,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts up by one per read.
    struct Counter(u32);

    impl Device for Counter {
        fn name(&self) -> String {
            "counter".into()
        }
        fn memory_bytes(&self) -> u64 {
            0
        }
        fn read_register(&mut self, _: u32) -> Result<u32, Error> {
            self.0 += 1;
            Ok(self.0)
        }
        fn write_register(&mut self, _: u32, value: u32) -> Result<(), Error> {
            self.0 = value;
            Ok(())
        }
        fn copy_in(&mut self, bytes: &[u8], address: u64) -> Result<(), Error> {
            Err(Error::OutOfMemoryRange {
                device: self.name(),
                address,
                bytes: bytes.len(),
                memory: 0,
            })
        }
        fn copy_out(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
            self.copy_in(bytes, address)
        }
        fn reset(&mut self) -> Result<(), Error> {
            self.0 = 0;
            Ok(())
        }
    }

    const DONE: DoneRegister = DoneRegister {
        name: "DONE_COUNT",
        offset: 0x38,
        mask: 0xFF,
    };

    #[test]
    fn waiting_ends_at_the_value() {
        let mut d: Box<dyn Device> = Box::new(Counter(0x1_0000));
        d.wait_done(DONE, 7, Duration::from_secs(60), "command 7")
            .unwrap();
        assert_eq!(d.read_register(0).unwrap(), 0x1_0008);
    }

    #[test]
    fn a_deadline_says_what_was_seen_and_wanted() {
        let mut d = Counter(0);
        let e = d
            .wait_done(DONE, 999, Duration::from_millis(1), "command 9")
            .unwrap_err()
            .to_string();
        for part in ["counter", "command 9", "DONE_COUNT", "999 was wanted"] {
            assert!(e.contains(part), "{e} does not say {part}");
        }
    }
}
