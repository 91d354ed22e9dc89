//! One DMA channel by the register contract: a state machine over descriptors in host memory.

use golden::Board;

use crate::function::{Fault, Host};

/// Bytes of one step: no request of a card crosses such a boundary.
const PAGE: u64 = 4096;
/// Upper half of a descriptor's first word.
const MAGIC: u32 = 0xAD4B;

/// Bits of Control; `ie_*` at the places of the Status bits that they let through.
const RUN: u32 = 1;
const WRITEBACK: u32 = 1 << 26;
/// Bits of Status.
const BUSY: u32 = 1;
const STOPPED: u32 = 1 << 1;
const COMPLETED: u32 = 1 << 2;
const MAGIC_STOPPED: u32 = 1 << 4;
const IDLE_STOPPED: u32 = 1 << 6;
/// Unsupported request, in H2C a read of host memory; decode error on the card's side in C2H.
const READ_ERROR: u32 = 1 << 9;
/// Decode error on the card's side, in H2C.
const WRITE_ERROR: u32 = 1 << 14;
/// Unsupported request while a descriptor was fetched.
const DESCRIPTOR_ERROR: u32 = 1 << 19;
const ERRORS: u32 = 0x00FF_FE38;
/// Bits of Status that a write of ones clears.
const CLEARABLE: u32 = 0x00FF_FFFE;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    H2c,
    C2h,
}

/// The descriptor being worked on.
struct Move {
    flags: u32,
    left: u64,
    source: u64,
    destination: u64,
    next: u64,
}

/// Registers and state of a channel and of its part of the SGDMA block.
pub(super) struct Channel {
    direction: Direction,
    control: u32,
    status: u32,
    count: u32,
    interrupt_mask: u32,
    writeback: u64,
    performance: u32,
    first: u64,
    adjacent: u32,
    /// Address of the next descriptor, while running.
    next: u64,
    current: Option<Move>,
}

impl Channel {
    pub fn new(direction: Direction) -> Channel {
        Channel {
            direction,
            control: 0,
            status: 0,
            count: 0,
            interrupt_mask: 0,
            writeback: 0,
            performance: 0,
            first: 0,
            adjacent: 0,
            next: 0,
            current: None,
        }
    }

    /// Its interrupt source, before the block's mask.
    pub fn source(&self) -> bool {
        self.status & self.interrupt_mask != 0
    }

    pub fn is_busy(&self) -> bool {
        self.status & BUSY != 0
    }

    pub fn read(&mut self, at: u32) -> u32 {
        match at {
            0x00 => match self.direction {
                Direction::H2c => 0x1FC0_0006,
                Direction::C2h => 0x1FC1_0006,
            },
            0x04 => self.control,
            0x40 => self.status,
            0x44 => {
                let seen = self.status;
                self.status &= !CLEARABLE;
                seen
            }
            0x48 => self.count,
            0x4C => 0x0001_0140, // any address, any length, 64 bits of address
            0x88 => self.writeback as u32,
            0x8C => (self.writeback >> 32) as u32,
            0x90 => self.interrupt_mask,
            0xC0 => self.performance,
            _ => 0, // the model has no clock: its performance counters stay 0
        }
    }

    pub fn write(&mut self, at: u32, value: u32) {
        match at {
            0x04 => self.set_control(value),
            0x08 => self.set_control(self.control | value),
            0x0C => self.set_control(self.control & !value),
            0x40 => self.status &= !(value & CLEARABLE),
            0x88 => low(&mut self.writeback, value),
            0x8C => high(&mut self.writeback, value),
            0x90 => self.interrupt_mask = value & CLEARABLE,
            0x94 => self.interrupt_mask |= value & CLEARABLE,
            0x98 => self.interrupt_mask &= !value,
            0xC0 => self.performance = value & 7,
            _ => {}
        }
    }

    pub fn read_descriptors(&self, at: u32) -> u32 {
        match at {
            0x00 => match self.direction {
                Direction::H2c => 0x1FC4_0006,
                Direction::C2h => 0x1FC5_0006,
            },
            0x80 => self.first as u32,
            0x84 => (self.first >> 32) as u32,
            0x88 => self.adjacent,
            _ => 0,
        }
    }

    pub fn write_descriptors(&mut self, at: u32, value: u32) {
        match at {
            0x80 => low(&mut self.first, value),
            0x84 => high(&mut self.first, value),
            0x88 => self.adjacent = value & 0x3F,
            _ => {}
        }
    }

    fn set_control(&mut self, value: u32) {
        let starts = value & RUN != 0 && self.control & RUN == 0;
        self.control = value & 0x0EFF_FFFF;
        if starts {
            (self.count, self.next, self.current) = (0, self.first, None);
            self.status = BUSY;
        }
    }

    /// Does one piece of work: a descriptor's fetch, or one page of its bytes. The channel is busy.
    pub fn step(&mut self, host: &mut dyn Host, card: &mut Board) {
        match self.current.take() {
            None if self.control & RUN == 0 => self.end(IDLE_STOPPED, host),
            None => self.fetch(host),
            Some(mut work) => {
                if work.left > 0 {
                    if let Err(error) = self.carry(&mut work, host, card) {
                        if self.control & error != 0 {
                            return self.end(error, host);
                        }
                    }
                    self.current = Some(work);
                } else {
                    self.finish(&work, host);
                }
            }
        }
    }

    fn fetch(&mut self, host: &mut dyn Host) {
        let mut bytes = [0; 32];
        if host.read(self.next, &mut bytes).is_err() {
            return self.end(DESCRIPTOR_ERROR, host);
        }
        let word = |i: usize| {
            let bytes = [0, 1, 2, 3].map(|j| bytes[4 * i + j]);
            u32::from_le_bytes(bytes)
        };
        let pair = |i: usize| u64::from(word(i + 1)) << 32 | u64::from(word(i));
        if word(0) >> 16 != MAGIC {
            return self.end(MAGIC_STOPPED, host);
        }
        self.current = Some(Move {
            flags: word(0),
            left: (word(1) & 0x0FFF_FFFF).into(),
            source: pair(2),
            destination: pair(4),
            next: pair(6),
        });
    }

    /// Moves bytes up to the next page boundary of the host's address.
    ///
    /// # Errors
    /// The Status bit of what went wrong; the bytes then count as moved.
    fn carry(&mut self, work: &mut Move, host: &mut dyn Host, card: &mut Board) -> Result<(), u32> {
        let at_host = match self.direction {
            Direction::H2c => work.source,
            Direction::C2h => work.destination,
        };
        let mut page = [0; PAGE as usize];
        let bytes = work.left.min(PAGE - at_host % PAGE);
        let data = &mut page[..bytes as usize];
        let (source, destination) = (work.source, work.destination);
        work.left -= bytes;
        work.source = source.wrapping_add(bytes);
        work.destination = destination.wrapping_add(bytes);
        match self.direction {
            Direction::H2c => {
                host.read(source, data).map_err(|_: Fault| READ_ERROR)?;
                card.memory_write(destination, data)
                    .map_err(|_| WRITE_ERROR)
            }
            Direction::C2h => {
                card.memory_read(source, data).map_err(|_| READ_ERROR)?;
                // Writes are posted: the card never hears of one that nobody takes.
                let _ = host.write(destination, data);
                Ok(())
            }
        }
    }

    fn finish(&mut self, work: &Move, host: &mut dyn Host) {
        self.count = (self.count + 1) & 0x00FF_FFFF;
        if work.flags & 2 != 0 {
            self.status |= COMPLETED & self.control;
            self.report(false, host);
        }
        self.next = work.next;
        if work.flags & 1 != 0 {
            self.status = (self.status | STOPPED & self.control) & !BUSY;
        } else if self.control & RUN == 0 {
            self.end(IDLE_STOPPED, host);
        }
    }

    fn end(&mut self, why: u32, host: &mut dyn Host) {
        self.status = (self.status | why & self.control) & !BUSY;
        self.current = None;
        if why & ERRORS != 0 {
            self.report(true, host);
        }
    }

    /// Poll-mode write-back.
    fn report(&mut self, error: bool, host: &mut dyn Host) {
        if self.control & WRITEBACK != 0 {
            let word = self.count | u32::from(error) << 31;
            let _ = host.write(self.writeback, &word.to_le_bytes());
        }
    }
}

fn low(pair: &mut u64, value: u32) {
    *pair = *pair >> 32 << 32 | u64::from(value);
}

fn high(pair: &mut u64, value: u32) {
    *pair = u64::from(value) << 32 | *pair & 0xFFFF_FFFF;
}
