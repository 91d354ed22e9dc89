//! A board behind a PCI function: registers of the engine by BAR, card memory by DMA.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use crate::dma::{Dma, Job, JobAreas, LinkRate};
use crate::link::{Link, Wake};
use crate::lock::Lock;
use crate::{Device, DoneRegister, Error};

/// A board.
pub struct PciBoard {
    dma: Dma,
    name: String,
    memory_bytes: u64,
    stop: Option<Arc<AtomicBool>>,
    _lock: Option<Lock>,
}

impl PciBoard {
    /// The board behind `link`, with `memory_bytes` of card memory. When `stop` is set, what it does ends with
    /// [`Error::Interrupted`].
    ///
    /// # Errors
    /// As [`Dma::new`].
    pub fn new(
        link: Box<dyn Link>,
        memory_bytes: u64,
        stop: Option<Arc<AtomicBool>>,
    ) -> Result<PciBoard, Error> {
        let name = link.name();
        Ok(PciBoard {
            dma: Dma::new(link, stop.clone())?,
            name,
            memory_bytes,
            stop,
            _lock: None,
        })
    }

    /// The same, with another time for a transfer to go on without progress than a minute.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> PciBoard {
        self.dma.deadline = deadline;
        self
    }

    /// The same, held for this program.
    pub(crate) fn holding(mut self, lock: Lock) -> PciBoard {
        self._lock = Some(lock);
        self
    }

    fn register(&mut self, offset: u32) -> Result<(), Error> {
        let bar = self.dma.user_bar();
        let space = self.dma.link().bar_bytes(bar).min(u32::MAX.into()) as u32;
        if offset.is_multiple_of(4) && offset < space {
            return Ok(());
        }
        Err(Error::BadRegister {
            device: self.name(),
            offset,
            space,
        })
    }

    fn range(&self, address: u64, bytes: usize) -> Result<(), Error> {
        crate::within(&self.name, address, bytes, self.memory_bytes)
    }
}

impl Device for PciBoard {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    fn read_register(&mut self, offset: u32) -> Result<u32, Error> {
        self.register(offset)?;
        self.dma.read_user(offset)
    }

    fn write_register(&mut self, offset: u32, value: u32) -> Result<(), Error> {
        self.register(offset)?;
        self.dma.write_user(offset, value)
    }

    fn copy_in(&mut self, bytes: &[u8], card_address: u64) -> Result<(), Error> {
        self.range(card_address, bytes.len())?;
        self.dma.to_card(bytes, card_address)
    }

    fn copy_out(&mut self, card_address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        self.range(card_address, bytes.len())?;
        self.dma.from_card(card_address, bytes)
    }

    fn reset(&mut self) -> Result<(), Error> {
        self.dma.reset()
    }

    fn wait_interrupt(&mut self, timeout: Duration) -> Result<Wake, Error> {
        self.dma.wait_user_interrupt(timeout)
    }

    fn no_interrupts(&mut self) -> Option<String> {
        self.dma.link().no_interrupts().map(str::to_owned)
    }

    fn link_rate(&mut self) -> Result<Option<LinkRate>, Error> {
        self.dma.link_rate()
    }

    fn jobs(&mut self, areas: JobAreas) -> Result<bool, Error> {
        self.dma.jobs(areas)
    }

    fn run_jobs(
        &mut self,
        jobs: &mut [Job],
        done: DoneRegister,
        timeout: Duration,
        what: &str,
    ) -> Result<(), Error> {
        self.dma.run_jobs(jobs, done, timeout, what)
    }

    fn now(&self) -> Duration {
        self.dma.now()
    }

    fn asked_to_stop(&self) -> bool {
        self.stop
            .as_ref()
            .is_some_and(|stop| stop.load(Ordering::Relaxed))
    }
}
