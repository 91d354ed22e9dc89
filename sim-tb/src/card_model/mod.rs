//! The card in plain Rust: its PCI function by the DMA's register contract, its memory, and the golden engine behind BAR0.
//!
//! Written from the contract and not from the RTL, it is what server, clients and driver are tested with, and what the RTL is compared
//! with. It has no clock and no link: an access is over when it returns, DMA goes on in [`Function::run`], a page at a time.
//!
//! | BAR | bytes | holds |
//! |---|---|---|
//! | 0 | 4 KiB | the engine's registers; whole words only |
//! | 1 | 64 KiB | DMA registers, MSI-X table and PBA; whole words only |
//! | 2 | memory, rounded up to a power of two; 64 bits | window to card memory |

mod channel;
mod config;

use golden::Board;

use crate::function::{check, Bar, Error, Function, Host, Progress, Space, CONFIG_SPACE};
use channel::{Channel, Direction};
use config::ConfigSpace;

const VECTORS: u32 = 32;
const CONFIG_BAR: usize = 1;
const TABLE: u32 = 0x8000;
const PBA: u32 = 0x8FE0;
const BARS: [u64; 2] = [4 << 10, 64 << 10];
/// Channels first, then user interrupts.
const CHANNELS: u32 = 2;
const USERS: u32 = 16;
/// Pieces of work in one call of [`Function::run`]: some 250 KB.
const STEPS: usize = 64;

/// The interrupt block.
#[derive(Default)]
struct Interrupts {
    user_mask: u32,
    channel_mask: u32,
    user_vectors: [u32; 4],
    channel_vectors: [u32; 2],
    /// Sources AND masks at the last look, for the edges.
    users: u32,
    channels: u32,
    /// The platform listens.
    enabled: bool,
}

/// A card.
pub struct CardModel {
    bars: [Option<Bar>; 6],
    config: ConfigSpace,
    board: Board,
    channels: [Channel; CHANNELS as usize],
    interrupts: Interrupts,
    /// Descriptor halt and credit mode, kept; halt is obeyed.
    halt: u32,
    credit_mode: u32,
}

impl CardModel {
    /// The card of an engine configuration after power-on, card memory zeroed.
    ///
    /// # Errors
    /// If this computer cannot give the card memory's bytes.
    pub fn new(config: abi::Config) -> Result<CardModel, String> {
        let board = Board::new(config, false)?;
        let bar = |size, wide| {
            Some(Bar {
                size,
                wide,
                prefetchable: wide,
            })
        };
        let window = board.memory_bytes().next_power_of_two();
        let bars = [
            bar(BARS[0], false),
            bar(BARS[1], false),
            bar(window, true),
            None,
            None,
            None,
        ];
        Ok(CardModel {
            bars,
            config: fresh(&bars),
            board,
            channels: idle(),
            interrupts: Interrupts::default(),
            halt: 0,
            credit_mode: 0,
        })
    }

    /// The engine and card memory, for a look from behind.
    pub fn board(&mut self) -> &mut Board {
        &mut self.board
    }

    /// Everything but card memory as after power-on. Whether the platform listens is its own affair.
    fn restart(&mut self) {
        self.config = fresh(&self.bars);
        self.board.reset();
        self.channels = idle();
        self.interrupts = Interrupts {
            enabled: self.interrupts.enabled,
            ..Interrupts::default()
        };
        (self.halt, self.credit_mode) = (0, 0);
    }

    fn users(&self) -> u32 {
        self.board.irq().into()
    }

    fn sources(&self) -> u32 {
        let of = |i: usize| u32::from(self.channels[i].source()) << i;
        of(0) | of(1)
    }

    /// Sends one message for each rising edge of source and mask.
    fn edges(&mut self, host: &mut dyn Host) {
        let i = &self.interrupts;
        let (users, channels) = (self.users() & i.user_mask, self.sources() & i.channel_mask);
        let (new_users, new_channels) = (users & !i.users, channels & !i.channels);
        if i.enabled {
            let vectors = [
                (new_channels, &i.channel_vectors[..]),
                (new_users, &i.user_vectors),
            ];
            for (rising, vectors) in vectors {
                for bit in (0..USERS as usize).filter(|bit| rising >> bit & 1 != 0) {
                    host.interrupt(vectors[bit / 4] >> (8 * (bit % 4)) & 0x1F);
                }
            }
        }
        (self.interrupts.users, self.interrupts.channels) = (users, channels);
    }

    fn read_word(&mut self, bar: usize, at: u32) -> u32 {
        if bar == 0 {
            return self.board.axil_read(at);
        }
        let i = &self.interrupts;
        let low = at & 0xFF;
        match at & 0xFF00 {
            0x0000 => self.channels[0].read(low),
            0x1000 => self.channels[1].read(low),
            0x2000 => match low {
                0x00 => 0x1FC2_0006,
                0x04 => i.user_mask,
                0x10 => i.channel_mask,
                0x40 => self.users() & i.user_mask,
                0x44 => self.sources() & i.channel_mask,
                0x48 => self.users(),
                0x4C => self.sources(),
                0x80..=0x8C => i.user_vectors[(low - 0x80) as usize / 4],
                0xA0 | 0xA4 => i.channel_vectors[(low - 0xA0) as usize / 4],
                _ => 0,
            },
            0x3000 if low == 0 => 0x1FC3_0006,
            0x4000 => self.channels[0].read_descriptors(low),
            0x5000 => self.channels[1].read_descriptors(low),
            0x6000 => match low {
                0x00 => 0x1FC6_0006,
                0x10 => self.halt,
                0x20 => self.credit_mode,
                _ => 0,
            },
            _ => 0,
        }
    }

    fn write_word(&mut self, bar: usize, at: u32, value: u32) {
        if bar == 0 {
            return self.board.axil_write(at, value);
        }
        let i = &mut self.interrupts;
        let low = at & 0xFF;
        match at & 0xFF00 {
            0x0000 => self.channels[0].write(low, value),
            0x1000 => self.channels[1].write(low, value),
            0x2000 => match low {
                0x04..=0x0C => change(&mut i.user_mask, low - 4, value, (1 << USERS) - 1),
                0x10..=0x18 => change(&mut i.channel_mask, low - 0x10, value, (1 << CHANNELS) - 1),
                0x80..=0x8C => i.user_vectors[(low - 0x80) as usize / 4] = value & 0x1F1F_1F1F,
                0xA0 | 0xA4 => i.channel_vectors[(low - 0xA0) as usize / 4] = value & 0x1F1F_1F1F,
                _ => {}
            },
            0x4000 => self.channels[0].write_descriptors(low, value),
            0x5000 => self.channels[1].write_descriptors(low, value),
            0x6000 => match low {
                0x10..=0x18 => change(&mut self.halt, low - 0x10, value, 0x1_0001),
                0x20..=0x28 => change(&mut self.credit_mode, low - 0x20, value, 0x1_0001),
                _ => {}
            },
            _ => {}
        }
    }

    /// How many of the bytes at `offset` of the window are card memory.
    fn inside(&self, offset: u64, bytes: usize) -> usize {
        let left = self.board.memory_bytes().saturating_sub(offset);
        left.min(bytes as u64) as usize
    }

    /// Bytes of a BAR; 0 where there is none.
    fn size(&self, bar: usize) -> u64 {
        let bar = self.bars.get(bar).copied().flatten();
        bar.map_or(0, |bar| bar.size)
    }
}

fn fresh(bars: &[Option<Bar>; 6]) -> ConfigSpace {
    ConfigSpace::new(bars, VECTORS, (CONFIG_BAR as u32, TABLE, PBA))
}

fn idle() -> [Channel; CHANNELS as usize] {
    [Direction::H2c, Direction::C2h].map(Channel::new)
}

/// A register that can be written, and has ones set and cleared, at three offsets.
fn change(word: &mut u32, how: u32, value: u32, mask: u32) {
    *word = match how {
        0 => value & mask,
        4 => *word | value & mask,
        8 => *word & !value,
        _ => *word,
    };
}

impl Function for CardModel {
    fn bars(&self) -> [Option<Bar>; 6] {
        self.bars
    }

    fn vectors(&self) -> u32 {
        VECTORS
    }

    fn msix_area(&self) -> (usize, [std::ops::Range<u64>; 2]) {
        let range = |at: u32, bytes: u32| u64::from(at)..u64::from(at + bytes);
        (
            CONFIG_BAR,
            [range(TABLE, 16 * VECTORS), range(PBA, VECTORS / 8)],
        )
    }

    fn config_read(
        &mut self,
        _: &mut dyn Host,
        offset: usize,
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        check(
            Space::Config,
            CONFIG_SPACE as u64,
            offset as u64,
            bytes.len(),
        )?;
        self.config.read(offset, bytes);
        Ok(())
    }

    fn config_write(&mut self, _: &mut dyn Host, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        check(
            Space::Config,
            CONFIG_SPACE as u64,
            offset as u64,
            bytes.len(),
        )?;
        if self.config.write(offset, bytes) {
            self.restart();
        }
        Ok(())
    }

    fn bar_read(
        &mut self,
        host: &mut dyn Host,
        bar: usize,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        check(Space::Bar(bar), self.size(bar), offset, bytes.len())?;
        if bar > CONFIG_BAR {
            let (inside, beyond) = bytes.split_at_mut(self.inside(offset, bytes.len()));
            beyond.fill(0xFF);
            if self.board.memory_read(offset, inside).is_err() {
                inside.fill(0xFF);
            }
            return Ok(());
        }
        // A word is read once, whatever part of it is wanted.
        let mut at = offset as u32;
        let mut rest = bytes;
        while !rest.is_empty() {
            let from = (at % 4) as usize;
            let (part, next) = rest.split_at_mut(rest.len().min(4 - from));
            let word = self.read_word(bar, at & !3).to_le_bytes();
            part.copy_from_slice(&word[from..from + part.len()]);
            at += part.len() as u32;
            rest = next;
        }
        self.edges(host);
        Ok(())
    }

    fn bar_write(
        &mut self,
        host: &mut dyn Host,
        bar: usize,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        check(Space::Bar(bar), self.size(bar), offset, bytes.len())?;
        if bar > CONFIG_BAR {
            let inside = &bytes[..self.inside(offset, bytes.len())];
            // What is not memory takes nothing.
            let _ = self.board.memory_write(offset, inside);
            return Ok(());
        }
        if offset.is_multiple_of(4) {
            for (at, word) in (offset as u32..).step_by(4).zip(bytes.chunks_exact(4)) {
                let word = [0, 1, 2, 3].map(|i| word[i]);
                self.write_word(bar, at, u32::from_le_bytes(word));
                self.edges(host);
            }
        }
        Ok(())
    }

    fn enable_interrupts(&mut self, _: &mut dyn Host, on: bool) -> Result<(), Error> {
        self.interrupts.enabled = on;
        Ok(())
    }

    fn reset(&mut self, _: &mut dyn Host) -> Result<(), Error> {
        self.restart();
        Ok(())
    }

    fn run(&mut self, host: &mut dyn Host) -> Result<Progress, Error> {
        if !self.config.bus_master() {
            return Ok(Progress::Idle);
        }
        let mut busy = false;
        for i in 0..CHANNELS as usize {
            let halted = self.halt >> (16 * i) & 1 != 0;
            let channel = &mut self.channels[i];
            for _ in 0..STEPS {
                if halted || !channel.is_busy() {
                    break;
                }
                channel.step(host, &mut self.board);
            }
            busy |= !halted && self.channels[i].is_busy();
            self.edges(host);
        }
        Ok(if busy { Progress::Busy } else { Progress::Idle })
    }
}
