//! Jobs: the short way of a token, where the card has it. Commands and x are laid into a slot of memory that the card sees, one register
//! is written, and the card says in a word of that memory when the output is there: no descriptor, no read of a register, no interrupt.

use std::sync::atomic::{fence, Ordering};
use std::time::Duration;

use abi::dma::job::{
    AREA, FAILED, MOST_X, OUTPUT_ERROR, OVERRUN, PLACE, READ_ERROR, SLOT, SLOTS, TWO, WORD_FAILED,
    WRITE_ERROR, X,
};
use abi::dma::{status, JOB_BLOCK};

use super::{Dma, LOOK, NAP};
use crate::buffer::DmaBuffer;
use crate::{DoneRegister, Error};

/// Where jobs stand in card memory: the ring at a multiple of its size, x and y at multiples of [`AREA`] bytes, which each has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobAreas {
    /// The ring of commands.
    pub ring: u64,
    /// Where the card puts each slot's x.
    pub x: u64,
    /// What it takes as each slot's output.
    pub y: u64,
}

/// One job, in the next slot: slots follow each other from 0 on after a reset of the device.
pub struct Job<'a> {
    /// One command or two, as they shall stand in the ring.
    pub commands: &'a [u8],
    /// Where in the ring, in commands; two do not go around its end.
    pub place: u16,
    /// The engine's TAIL behind them.
    pub tail: u16,
    /// Their x: at most [`MOST_X`] bytes.
    pub x: &'a [u8],
    /// Where the output goes, the bytes of the slot from its beginning: at most [`SLOT`].
    pub output: &'a mut [u8],
}

impl Job<'_> {
    /// Whether a job of this size has room in a slot.
    pub fn fits(x: usize, output: usize) -> bool {
        x as u64 <= MOST_X && output as u64 <= SLOT
    }
}

/// Slots of input, slots of output, and the word, from the first multiple of an area in the buffer on.
const INPUT: usize = 0;
const OUTPUT: usize = AREA as usize;
const WORD: usize = 2 * AREA as usize;
/// A layer of one token mostly takes less; what is looked at is this program's own memory, so the bus has nothing to bear.
const SPIN: Duration = Duration::from_millis(2);
/// The word of no job.
const NO_WORD: u32 = 1 << 30;

/// Memory of the jobs, and what stands in the card's registers.
pub(super) struct Slots {
    buffer: DmaBuffer,
    /// First multiple of an area.
    first: usize,
    /// Bytes of x and of output.
    lengths: [u32; 2],
    /// The next job's slot.
    next: u32,
}

const fn at(name: &str) -> u64 {
    JOB_BLOCK.at(0, name) as u64
}

impl Dma {
    /// Sets up jobs over `areas`; whether the card has them. To be called behind a reset.
    ///
    /// # Errors
    /// The card does not answer, or there is no memory.
    pub fn jobs(&mut self, areas: JobAreas) -> Result<bool, Error> {
        // Any version; what is not there reads otherwise, all ones included.
        if self.read(at("IDENTIFIER"))? >> 8 != JOB_BLOCK.identifier(0) >> 8 {
            return Ok(false);
        }
        let capability = self.read(at("CAPABILITY"))?;
        if capability & 0xFFFF != SLOTS | abi::dma::job::SLOT_LOG2 << 8 {
            return Ok(false);
        }
        let mut buffer = match self.slots.take() {
            Some(slots) => slots.buffer,
            None => {
                // The first multiple of an area is less than an area away.
                self.link.dma().allocate(WORD + AREA as usize)?
            }
        };
        let iova = buffer.iova();
        let first = (iova.next_multiple_of(AREA) - iova) as usize;
        let host = iova + first as u64;
        self.write_pair(at("INPUT_LO"), host + INPUT as u64)?;
        self.write_pair(at("OUTPUT_LO"), host + OUTPUT as u64)?;
        self.write_pair(at("COUNT_LO"), host + WORD as u64)?;
        for (register, address) in [("RING", areas.ring), ("X", areas.x), ("Y", areas.y)] {
            self.write(JOB_BLOCK.at(0, register).into(), (address >> 8) as u32)?;
        }
        buffer.store(first + WORD, NO_WORD);
        self.slots = Some(Slots {
            buffer,
            first,
            lengths: [0; 2],
            next: 0,
        });
        Ok(true)
    }

    /// Runs jobs one behind the other, as many at a time as there are slots, and waits for each for `timeout` at most; `done` is the
    /// engine's count of commands.
    ///
    /// # Errors
    /// A job fails or does not end in time; a reset is then due.
    ///
    /// # Panics
    /// If [`Dma::jobs`] has not said that there are jobs, or one has no room in its slot: mistakes of the driver.
    pub fn run_jobs(
        &mut self,
        jobs: &mut [Job],
        done: DoneRegister,
        timeout: Duration,
        what: &str,
    ) -> Result<(), Error> {
        if self.given_up {
            return Err(self.failed(what, "an earlier transfer was given up, and the card may still be at work; reset the board first".into()));
        }
        // Until it is known to be over.
        self.given_up = true;
        let mut begun = 0;
        let first = self.slots.as_ref().expect("jobs are set up").next;
        for n in 0..jobs.len() {
            while begun < jobs.len() && begun < n + SLOTS as usize {
                self.begin(&jobs[begun])?;
                begun += 1;
            }
            let tails: Vec<u16> = jobs[n..begun].iter().map(|j| j.tail).collect();
            self.wait_job(&tails, done, timeout, what)?;
            let slots = self.slots.as_ref().expect("as above");
            let slot = (first + n as u32) % SLOTS;
            let from = slots.first + OUTPUT + slot as usize * SLOT as usize;
            slots.buffer.read(from, jobs[n].output);
        }
        self.given_up = false;
        Ok(())
    }

    /// Lays a job into the next slot and rings.
    fn begin(&mut self, job: &Job) -> Result<(), Error> {
        assert!(
            Job::fits(job.x.len(), job.output.len()) && job.commands.len() as u64 <= X,
            "a job of {} and {} bytes has no room in its slot",
            job.x.len(),
            job.output.len()
        );
        let slots = self.slots.as_mut().expect("jobs are set up");
        let slot = slots.first + INPUT + slots.next as usize * SLOT as usize;
        slots.next = (slots.next + 1) % SLOTS;
        slots.buffer.write(slot, job.commands);
        slots.buffer.write(slot + X as usize, job.x);
        // One of long ago.
        let word = slots.first + WORD;
        if slots.buffer.load(word) == u32::from(job.tail) {
            slots.buffer.store(word, NO_WORD);
        }
        let lengths = [job.x.len() as u32, job.output.len() as u32];
        let before = std::mem::replace(&mut slots.lengths, lengths);
        // The card must not see the doorbell before what it is about.
        fence(Ordering::SeqCst);
        for (i, register) in ["INPUT_BYTES", "OUTPUT_BYTES"].into_iter().enumerate() {
            if before[i] != lengths[i] {
                self.write(JOB_BLOCK.at(0, register).into(), lengths[i])?;
            }
        }
        let two = job.commands.len() as u64 > abi::command::COMMAND_STRIDE;
        let bell = u32::from(job.tail) | (u32::from(two) * TWO) | (u32::from(job.place) << PLACE);
        self.write(at("DOORBELL"), bell)
    }

    /// Waits until the word says that the job of the first of `tails` is done, or one behind it is.
    fn wait_job(
        &mut self,
        tails: &[u16],
        done: DoneRegister,
        timeout: Duration,
        what: &str,
    ) -> Result<(), Error> {
        let start = self.now();
        let mut looked = start;
        loop {
            let word = self.job_word();
            if tails.iter().any(|tail| word == u32::from(*tail)) {
                return Ok(());
            }
            if word & WORD_FAILED == 0 && self.now() - start < SPIN {
                self.link.spin();
                continue;
            }
            if let Some(stop) = &self.stop {
                if stop.load(Ordering::Relaxed) {
                    return Err(Error::Interrupted {
                        device: self.link.name(),
                        what: what.to_owned(),
                    });
                }
            }
            let waited = self.now() - start;
            if word & WORD_FAILED != 0 || self.now() - looked >= LOOK || waited >= timeout {
                looked = self.now();
                self.look(tails[0], done, timeout, what, waited)?;
            }
            let nap = (waited / 8).min(NAP);
            self.link.wait_interrupt(super::USER_VECTOR, nap)?;
        }
    }

    fn job_word(&self) -> u32 {
        let slots = self.slots.as_ref().expect("jobs are set up");
        slots.buffer.load(slots.first + WORD)
    }

    /// A look at the registers while the word is awaited: an error if it will not come.
    fn look(
        &mut self,
        tail: u16,
        done: DoneRegister,
        timeout: Duration,
        what: &str,
        waited: Duration,
    ) -> Result<(), Error> {
        let seen = self.read(at("STATUS"))?;
        if seen == u32::MAX {
            self.alive("the jobs' status")?;
        }
        if seen & FAILED != 0 {
            return Err(self.failed(what, causes(seen)));
        }
        let count = self.read_user(done.offset)? & done.mask;
        if seen & 1 == 0 {
            // Its last word may have been behind the read; now it is not.
            if self.job_word() == u32::from(tail) {
                return Ok(());
            }
            let reason = match count == u32::from(tail) & done.mask {
                true => "the card has done it, but its word did not reach this program's memory: see `sudo dmesg | grep -iE 'dmar|iommu'`, and with QEMU that the guest's memory has `share=on`",
                false => "the card has no job at work: its doorbell was lost, or someone else uses or has reset the card",
            };
            return Err(self.failed(
                what,
                format!(
                    "{reason} (word {:08X}, status {seen:08X}, {} {count})",
                    self.job_word(),
                    done.name
                ),
            ));
        }
        if waited >= timeout {
            return Err(Error::Timeout {
                device: self.link.name(),
                what: what.to_owned(),
                register: done.name,
                offset: done.offset,
                seen: count,
                wanted: tail.into(),
                waited_ms: waited.as_millis(),
            });
        }
        Ok(())
    }

    fn failed(&self, what: &str, reason: String) -> Error {
        Error::Job {
            device: self.link.name(),
            what: what.to_owned(),
            reason,
        }
    }
}

/// STATUS in words.
fn causes(seen: u32) -> String {
    let mut said = Vec::new();
    if seen & OVERRUN != 0 {
        said.push("one job more than it has slots".to_owned());
    }
    for (lsb, width, kinds, doing) in [
        (READ_ERROR, 5, &status::PCIE[..], "reading host memory"),
        (WRITE_ERROR, 2, &status::AXI[..], "writing card memory"),
        (OUTPUT_ERROR, 2, &status::AXI[..], "reading card memory"),
    ] {
        for bit in (0..width).filter(|bit| seen >> (lsb + bit) & 1 != 0) {
            said.push(format!("{} while {doing}", kinds[bit as usize]));
        }
    }
    format!(
        "the card reports {} (status {seen:08X}); run again, and if it happens again `host selftest` looks for the cause",
        said.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_in_words() {
        let e = causes(FAILED | 4 << READ_ERROR | 1 << WRITE_ERROR | 2 << OUTPUT_ERROR | OVERRUN);
        for part in [
            "parity while reading host memory",
            "decode error while writing card memory",
            "slave error while reading card memory",
            "one job more",
        ] {
            assert!(e.contains(part), "{e} does not say {part}");
        }
    }
}
