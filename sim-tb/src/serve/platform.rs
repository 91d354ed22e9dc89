//! What a platform keeps between a program and a function, as the kernel's VFIO does: base address registers that remember what is
//! written and change nothing, interrupt enable bits likewise, and an MSI-X table out of reach.

use crate::function::{check, Bar, Error, Function, Host, Progress, Space, CONFIG_SPACE};
use std::ops::Range;
use vfio_user::message::{PCI_CONFIG, PCI_REGIONS};

const BARS: Range<usize> = 0x10..0x28;
const ROM: Range<usize> = 0x30..0x34;
const CAPABILITIES: usize = 0x34;
const INTERRUPT_PIN: usize = 0x3D;
const MSI: u8 = 0x05;
const MSIX: u8 = 0x11;
/// Longest access that is passed on at once.
const CHUNK: usize = 4096;

/// A function and what its platform keeps.
pub struct Platform {
    function: Box<dyn Function>,
    /// The bytes of configuration space that are kept here, and which of them can be written.
    kept: Vec<(Range<usize>, Vec<u8>, Vec<u8>)>,
    bars: [Option<Bar>; 6],
}

impl Platform {
    /// Looks for the capabilities of `function`.
    ///
    /// # Errors
    /// The function is broken.
    pub fn new(function: Box<dyn Function>, host: &mut dyn Host) -> Result<Platform, Error> {
        let bars = function.bars();
        let mut platform = Platform {
            function,
            kept: Vec::new(),
            bars,
        };
        let (value, mask) = bar_registers(&bars);
        platform.keep(BARS, value, mask);
        platform.keep(ROM, vec![0; 4], vec![0; 4]);
        // INTx is not served.
        platform.keep(INTERRUPT_PIN..INTERRUPT_PIN + 1, vec![0], vec![0]);
        let mut at = usize::from(platform.byte(host, CAPABILITIES)?);
        // A chain of 48 fills the space; a longer one is a loop.
        for _ in 0..48 {
            if at < 0x40 {
                break;
            }
            let id = platform.byte(host, at)?;
            let control = platform.byte(host, at + 2)?;
            match id {
                // The enable bit and the number of messages.
                MSI => platform.keep(at + 2..at + 3, vec![control & !0x71], vec![0x71]),
                // Enable and function mask.
                MSIX => {
                    let high = platform.byte(host, at + 3)?;
                    platform.keep(at + 3..at + 4, vec![high & !0xC0], vec![0xC0]);
                }
                _ => {}
            }
            at = usize::from(platform.byte(host, at + 1)?) & !3;
        }
        Ok(platform)
    }

    fn keep(&mut self, at: Range<usize>, value: Vec<u8>, mask: Vec<u8>) {
        self.kept.push((at, value, mask));
    }

    fn byte(&mut self, host: &mut dyn Host, offset: usize) -> Result<u8, Error> {
        let mut byte = [0];
        self.function.config_read(host, offset, &mut byte)?;
        Ok(byte[0])
    }

    /// Bytes of each of a PCI device's regions.
    pub fn sizes(&self) -> [u64; PCI_REGIONS as usize] {
        std::array::from_fn(|region| match region {
            0..6 => self.bars[region].map_or(0, |b| b.size),
            n if n == PCI_CONFIG as usize => CONFIG_SPACE as u64,
            _ => 0,
        })
    }

    /// Reads a region.
    ///
    /// # Errors
    /// The range leaves the region, or the function is broken.
    pub fn read(
        &mut self,
        host: &mut dyn Host,
        region: u32,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        let space = self.check(region, offset, bytes.len())?;
        let Space::Bar(bar) = space else {
            let at = offset as usize;
            self.function.config_read(host, at, bytes)?;
            for (range, value, _) in &self.kept {
                for n in overlap(range, at, bytes.len()) {
                    bytes[n - at] = value[n - range.start];
                }
            }
            return Ok(());
        };
        bytes.fill(0xFF);
        for piece in self.pieces(bar, offset, bytes.len()) {
            let at = offset + piece.start as u64;
            self.function.bar_read(host, bar, at, &mut bytes[piece])?;
        }
        Ok(())
    }

    /// Writes a region.
    ///
    /// # Errors
    /// As [`Platform::read`].
    pub fn write(
        &mut self,
        host: &mut dyn Host,
        region: u32,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let space = self.check(region, offset, bytes.len())?;
        if let Space::Bar(bar) = space {
            for piece in self.pieces(bar, offset, bytes.len()) {
                let at = offset + piece.start as u64;
                self.function.bar_write(host, bar, at, &bytes[piece])?;
            }
            return Ok(());
        }
        let at = offset as usize;
        let mut ours = vec![false; bytes.len()];
        for (range, value, mask) in &mut self.kept {
            for n in overlap(range, at, bytes.len()) {
                let (v, m) = (&mut value[n - range.start], mask[n - range.start]);
                *v = *v & !m | bytes[n - at] & m;
                ours[n - at] = true;
            }
        }
        let mut from = 0;
        for run in ours.chunk_by(|a, b| a == b) {
            let range = from..from + run.len();
            from = range.end;
            if !run[0] {
                self.function
                    .config_write(host, at + range.start, &bytes[range])?;
            }
        }
        Ok(())
    }

    /// See [`Function::reset`]; what is kept here has its first values again.
    ///
    /// # Errors
    /// The function is broken.
    pub fn reset(&mut self, host: &mut dyn Host) -> Result<(), Error> {
        for (_, value, mask) in &mut self.kept {
            value.iter_mut().zip(mask).for_each(|(v, m)| *v &= !*m);
        }
        self.function.reset(host)
    }

    /// See [`Function::enable_interrupts`].
    ///
    /// # Errors
    /// The function is broken.
    pub fn enable_interrupts(&mut self, host: &mut dyn Host, on: bool) -> Result<(), Error> {
        self.function.enable_interrupts(host, on)
    }

    /// See [`Function::run`].
    ///
    /// # Errors
    /// The function is broken.
    pub fn run(&mut self, host: &mut dyn Host) -> Result<Progress, Error> {
        self.function.run(host)
    }

    fn check(&self, region: u32, offset: u64, bytes: usize) -> Result<Space, Error> {
        let space = match region {
            PCI_CONFIG => Space::Config,
            n => Space::Bar(n as usize),
        };
        let size = self.sizes().get(region as usize).copied().unwrap_or(0);
        check(space, size, offset, bytes)?;
        Ok(space)
    }

    /// The parts of an access that reach the function, in order: not the MSI-X table and PBA, and not too much at once.
    fn pieces(&self, bar: usize, offset: u64, bytes: usize) -> Vec<Range<usize>> {
        let (msix_bar, mut holes) = self.function.msix_area();
        holes.sort_by_key(|h| h.start);
        let end = offset + bytes as u64;
        let mut pieces = Vec::new();
        let mut at = offset;
        let mut add = |from: u64, to: u64| {
            let mut from = (from - offset) as usize;
            let to = (to - offset) as usize;
            while from < to {
                let next = to.min(from + CHUNK);
                pieces.push(from..next);
                from = next;
            }
        };
        for hole in holes.iter().filter(|_| bar == msix_bar) {
            add(at, hole.start.clamp(at, end));
            at = hole.end.clamp(at, end);
        }
        add(at, end);
        pieces
    }
}

fn overlap(range: &Range<usize>, at: usize, bytes: usize) -> Range<usize> {
    range.start.max(at)..range.end.min(at + bytes)
}

/// The six registers at their first value, and the bits that can be written.
fn bar_registers(bars: &[Option<Bar>; 6]) -> (Vec<u8>, Vec<u8>) {
    let (mut value, mut mask) = (Vec::new(), Vec::new());
    let mut upper = None;
    for bar in bars {
        let (v, m) = match (bar, upper.take()) {
            (Some(bar), _) => {
                let all = !(bar.size - 1);
                upper = bar.wide.then_some((all >> 32) as u32);
                let kind = u32::from(bar.wide) << 2 | u32::from(bar.prefetchable) << 3;
                (kind, all as u32)
            }
            (None, Some(upper)) => (0, upper),
            (None, None) => (0, 0),
        };
        value.extend_from_slice(&v.to_le_bytes());
        mask.extend_from_slice(&m.to_le_bytes());
    }
    (value, mask)
}
