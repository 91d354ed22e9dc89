//! The root complex as a [`Function`]: finding and setting up what is below it, and accesses by BAR and offset.

use super::tlp::{Status, Tlp};
use super::{
    message_address, message_data, Health, Link, Permissions, RootComplex, DEADLINE, ROOT,
};
use crate::function::{check, Bar, Error, Function, Host, Progress, Space, CONFIG_SPACE};
use std::ops::Range;

/// Cycles of one [`Function::run`]: a millisecond or less, since an access waits for its end.
const SLICE: u64 = 250;
/// Cycles that a function-level reset is given; the standard allows 100 ms, of which nobody would wait for the simulation.
const FLR: u64 = 10_000;
/// Where BARs are put: 32-bit ones below 4 GiB, wide ones above.
const LOW: u64 = 0x8000_0000;
const HIGH: u64 = 0x40_0000_0000;

const COMMAND: usize = 0x04;
const BARS: usize = 0x10;
const CAPABILITIES: usize = 0x34;
const PCIE: u8 = 0x10;
const MSIX: u8 = 0x11;
const MEMORY: u32 = 1 << 1;
const BUS_MASTER: u32 = 1 << 2;

/// What the set-up found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub vectors: u32,
    bars: [Option<Bar>; 6],
    /// Their addresses.
    at: [u64; 6],
    /// Offset of Device Control.
    device_control: usize,
    /// Offset of the MSI-X capability.
    msix: usize,
    /// Its table and pending bits: BAR and offset.
    table: (usize, u64),
    pending: (usize, u64),
}

impl<L: Link> RootComplex<L> {
    /// As firmware does after power-on or a reset of the slot.
    pub(super) fn bring_up(&mut self, host: &mut dyn Host) -> Result<(), Error> {
        self.restart();
        // What a port sends when the link is up: the slot gives 25 W.
        let power = Tlp::Message {
            requester: ROOT,
            routing: 4,
            code: 0x50,
            data: vec![25u32.swap_bytes()],
        };
        self.queue(host, power)?;
        self.ready(host)?;
        self.find(host)?;
        let payload = self.manners.max_payload.ilog2() - 7;
        let read = self.manners.max_read.ilog2() - 7;
        // Extended tags as well; error reporting stays off.
        let control = read << 12 | 1 << 8 | payload << 5;
        self.write_word(host, self.found.device_control, 2, control)?;
        self.set_up(host)
    }

    /// Waits until the function answers configuration requests: after a reset it may ask to come again.
    fn ready(&mut self, host: &mut dyn Host) -> Result<(), Error> {
        let end = self.link.now() + DEADLINE;
        while self.link.now() < end {
            match self.config(host, 0, 4, None)? {
                (Status::Success, _) => return Ok(()),
                (Status::Retry, _) => self.run_until(host, self.link.now() + SLICE)?,
                _ => return Err(Error::Broken("the function refuses its vendor ID".into())),
            }
        }
        self.give_up("end of configuration retries")
    }

    fn word(&mut self, host: &mut dyn Host, offset: usize) -> Result<u32, Error> {
        Ok(self.config(host, offset, 4, None)?.1)
    }

    fn write_word(
        &mut self,
        host: &mut dyn Host,
        offset: usize,
        bytes: usize,
        value: u32,
    ) -> Result<(), Error> {
        let shifted = value << (8 * (offset % 4));
        self.config(host, offset, bytes, Some(shifted)).map(|_| ())
    }

    fn find(&mut self, host: &mut dyn Host) -> Result<(), Error> {
        let mut found = Found::default();
        let mut n = 0;
        while n < 6 {
            let offset = BARS + 4 * n;
            self.write_word(host, offset, 4, u32::MAX)?;
            let low = self.word(host, offset)?;
            let wide = low >> 1 & 3 == 2;
            let mut mask = u64::from(low & !15) | 0xFFFF_FFFF << 32;
            if wide {
                self.write_word(host, offset + 4, 4, u32::MAX)?;
                mask = mask & 0xFFFF_FFFF | u64::from(self.word(host, offset + 4)?) << 32;
            }
            // Without address bits there is no BAR.
            if low & !15 != 0 || wide && mask != 0 {
                found.bars[n] = Some(Bar {
                    size: mask.wrapping_neg(),
                    wide,
                    prefetchable: low & 8 != 0,
                });
            }
            n += if wide { 2 } else { 1 };
        }
        let mut at = self.word(host, CAPABILITIES)? as usize & 0xFC;
        for _ in 0..48 {
            if at < 0x40 {
                break;
            }
            let head = self.word(host, at)?;
            match head as u8 {
                PCIE => found.device_control = at + 8,
                MSIX => {
                    found.msix = at;
                    found.vectors = (head >> 16 & 0x7FF) + 1;
                    let place = |w: u32| ((w & 7) as usize, u64::from(w & !7));
                    found.table = place(self.word(host, at + 4)?);
                    found.pending = place(self.word(host, at + 8)?);
                }
                _ => {}
            }
            at = (head >> 8) as usize & 0xFC;
        }
        if found.device_control == 0 || found.msix == 0 {
            return Err(Error::Broken(
                "the function's list of capabilities has no PCI Express or no MSI-X capability"
                    .into(),
            ));
        }
        self.found = found;
        Ok(())
    }

    /// What every reset takes away: addresses, and the vectors if somebody listens.
    fn set_up(&mut self, host: &mut dyn Host) -> Result<(), Error> {
        let (mut low, mut high) = (LOW, HIGH);
        for n in 0..6 {
            let Some(bar) = self.found.bars[n] else {
                continue;
            };
            let next = if bar.wide { &mut high } else { &mut low };
            let at = next.next_multiple_of(bar.size);
            *next = at + bar.size;
            self.found.at[n] = at;
            self.write_word(host, BARS + 4 * n, 4, at as u32)?;
            if bar.wide {
                self.write_word(host, BARS + 4 * n + 4, 4, (at >> 32) as u32)?;
            }
        }
        self.learn(host)?;
        self.listening = self.listening && self.set_vectors(host, true)?;
        Ok(())
    }

    /// Reads back what the function may do.
    fn learn(&mut self, host: &mut dyn Host) -> Result<(), Error> {
        let command = self.word(host, COMMAND)?;
        let control = self.word(host, self.found.device_control)?;
        self.permissions = Permissions {
            bus_master: command & BUS_MASTER != 0,
            extended_tags: control & 1 << 8 != 0,
            max_payload: 128 << (control >> 5 & 7).min(5),
            max_read: 128 << (control >> 12 & 7).min(5),
        };
        Ok(())
    }

    /// Programs the table and the enable bit; returns `on`.
    fn set_vectors(&mut self, host: &mut dyn Host, on: bool) -> Result<bool, Error> {
        let control = self.found.msix + 2;
        if !on {
            self.write_word(host, control, 2, 0)?;
            return Ok(false);
        }
        // The table is memory, which may not be enabled yet.
        let command = self.word(host, COMMAND)? & 0xFFFF;
        self.write_word(host, COMMAND, 2, command | MEMORY)?;
        let (bar, offset) = self.found.table;
        let table = self.found.at[bar] + offset;
        for vector in 0..self.found.vectors {
            let address = message_address(vector);
            let words = [address as u32, 0, message_data(vector), 0];
            for (n, word) in words.into_iter().enumerate() {
                let at = table + 16 * u64::from(vector) + 4 * n as u64;
                self.memory_write(host, at, &word.to_le_bytes(), 4)?;
            }
        }
        // Configuration requests do not pass posted writes.
        self.write_word(host, control, 2, 1 << 15)?;
        self.write_word(host, COMMAND, 2, command)?;
        Ok(true)
    }

    fn bar(&self, n: usize, offset: u64, bytes: usize) -> Result<(u64, u64), Error> {
        let bar = self.found.bars.get(n).copied().flatten();
        check(Space::Bar(n), bar.map_or(0, |b| b.size), offset, bytes)?;
        // A processor reads and writes registers by words of up to 8 bytes; what is prefetchable, by cache lines.
        let most = if bar.is_some_and(|b| b.prefetchable) {
            64
        } else {
            8
        };
        Ok((self.found.at.get(n).map_or(0, |at| at + offset), most))
    }
}

/// The parts of a range that lie within words.
fn words(offset: usize, bytes: usize) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at;
        at = bytes.min(from + 4 - (offset + from) % 4);
        (from < bytes).then_some(from..at)
    })
}

impl<L: Link> Function for RootComplex<L> {
    fn bars(&self) -> [Option<Bar>; 6] {
        self.found.bars
    }

    fn vectors(&self) -> u32 {
        self.found.vectors
    }

    fn msix_area(&self) -> (usize, [Range<u64>; 2]) {
        let (bar, table) = self.found.table;
        let vectors = u64::from(self.found.vectors);
        let (pending_bar, pending) = self.found.pending;
        let bits = if pending_bar == bar {
            pending..pending + 8 * vectors.div_ceil(64)
        } else {
            0..0
        };
        (bar, [table..table + 16 * vectors, bits])
    }

    fn config_read(
        &mut self,
        host: &mut dyn Host,
        offset: usize,
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        check(
            Space::Config,
            CONFIG_SPACE as u64,
            offset as u64,
            bytes.len(),
        )?;
        for part in words(offset, bytes.len()) {
            let at = offset + part.start;
            let (_, word) = self.config(host, at, part.len(), None)?;
            let word = &word.to_le_bytes()[at % 4..];
            let n = part.len();
            bytes[part].copy_from_slice(&word[..n]);
        }
        Ok(())
    }

    fn config_write(
        &mut self,
        host: &mut dyn Host,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), Error> {
        check(
            Space::Config,
            CONFIG_SPACE as u64,
            offset as u64,
            bytes.len(),
        )?;
        for part in words(offset, bytes.len()) {
            let at = offset + part.start;
            let mut word = [0; 4];
            word[at % 4..at % 4 + part.len()].copy_from_slice(&bytes[part.clone()]);
            self.config(host, at, part.len(), Some(u32::from_le_bytes(word)))?;
            let high = self.found.device_control + 1;
            let resets = (at..at + part.len()).contains(&high) && word[high % 4] & 0x80 != 0;
            if resets {
                // While the reset lasts, what was begun before it may still come, and is answered.
                self.run_until(host, self.link.now() + FLR)?;
                self.permissions.bus_master = false;
                self.named = false;
                self.ready(host)?;
                self.set_up(host)?;
            }
        }
        self.learn(host)
    }

    fn bar_read(
        &mut self,
        host: &mut dyn Host,
        bar: usize,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        let (at, most) = self.bar(bar, offset, bytes.len())?;
        self.memory_read(host, at, bytes, most)
    }

    fn bar_write(
        &mut self,
        host: &mut dyn Host,
        bar: usize,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let (at, most) = self.bar(bar, offset, bytes.len())?;
        self.memory_write(host, at, bytes, most)
    }

    fn enable_interrupts(&mut self, host: &mut dyn Host, on: bool) -> Result<(), Error> {
        // What the card raised before it was told to be silent may still come.
        self.listening |= on;
        self.set_vectors(host, on)?;
        self.listening = on;
        Ok(())
    }

    fn reset(&mut self, host: &mut dyn Host) -> Result<(), Error> {
        self.broken = None;
        self.bring_up(host)
    }

    fn cycles(&self) -> Option<u64> {
        Some(self.link.now())
    }

    fn run(&mut self, host: &mut dyn Host) -> Result<Progress, Error> {
        if self.link.health() == Health::Down {
            return Ok(Progress::Idle);
        }
        let now = self.link.now();
        let moving = !self.out.is_empty() || self.completer.outstanding() > 0;
        if !moving && now - self.link.active().min(now) > self.link.quiet() {
            return Ok(Progress::Idle);
        }
        self.run_until(host, now + SLICE)?;
        Ok(Progress::Busy)
    }
}
