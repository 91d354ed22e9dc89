//! The driver of the DMA registers: one channel each way, from and to a buffer of the driver's own.
//!
//! A transfer is a list of descriptors in a page that the card sees, in blocks of adjacent ones. The card says how far it is in a word
//! of that buffer (poll-mode write-back), which is what is waited for; an interrupt only ends a nap early. Data stand in the buffer as
//! they stand in the program's memory, modulo 64, or as they will stand on the card where the channel asks for equal alignment.

mod job;

pub use job::{Job, JobAreas};

use std::sync::atomic::{fence, AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use abi::dma::{control, descriptor, status, WRITEBACK_COUNT, WRITEBACK_ERROR};

use crate::buffer::{DmaBuffer, PAGE};
use crate::link::{Link, Wake};
use crate::Error;

/// Registers by their names in `abi::dma`: offsets in a channel's block, in its block of descriptors, in the BAR.
mod at {
    use abi::dma::{offset, C2H, CHANNEL, CONFIG_BLOCK, H2C, H2C_SGDMA, IRQ_BLOCK, SGDMA};

    /// From a channel from host to card to the one back, in either block.
    pub const OTHER_WAY: u64 = (C2H.base - H2C.base) as u64;
    /// From a channel's block to that of its descriptors.
    pub const DESCRIPTORS: u64 = (H2C_SGDMA.base - H2C.base) as u64;
    /// Between channels of one direction.
    pub const NEXT_CHANNEL: u64 = 0x100;

    pub const CONTROL: u64 = offset(CHANNEL, "CONTROL") as u64;
    pub const CONTROL_CLEAR: u64 = offset(CHANNEL, "CONTROL_W1C") as u64;
    pub const STATUS: u64 = offset(CHANNEL, "STATUS") as u64;
    pub const COMPLETED: u64 = offset(CHANNEL, "COMPLETED_COUNT") as u64;
    pub const ALIGNMENTS: u64 = offset(CHANNEL, "ALIGNMENTS") as u64;
    pub const WRITEBACK: u64 = offset(CHANNEL, "WRITEBACK_LO") as u64;
    pub const INTERRUPT_MASK: u64 = offset(CHANNEL, "INTERRUPT_MASK") as u64;
    pub const FIRST: u64 = DESCRIPTORS + offset(SGDMA, "FIRST_LO") as u64;
    pub const ADJACENT: u64 = DESCRIPTORS + offset(SGDMA, "FIRST_ADJACENT") as u64;

    pub const INTERRUPTS: u64 = IRQ_BLOCK.base as u64;
    pub const CONFIG: u64 = CONFIG_BLOCK.base as u64;
    pub const USER_MASK: u64 = IRQ_BLOCK.at(0, "USER_MASK") as u64;
    pub const CHANNEL_MASK: u64 = IRQ_BLOCK.at(0, "CHANNEL_MASK") as u64;
    pub const USER_VECTORS: u64 = IRQ_BLOCK.at(0, "USER_VECTORS") as u64;
    pub const CHANNEL_VECTORS: u64 = IRQ_BLOCK.at(0, "CHANNEL_VECTORS") as u64;
}

/// Bits of Status that say that a list did not go as it should, at the same places in Control and in the interrupt mask.
const ERRORS: u32 = status::ALIGN_MISMATCH
    | status::MAGIC_STOPPED
    | status::INVALID_LENGTH
    | 0x1F << status::READ_ERROR
    | 0x1F << status::WRITE_ERROR
    | 0x1F << status::DESCRIPTOR_ERROR;
/// Bits of Status that end a list or say why it ended.
const LOGGED: u32 = status::DESCRIPTOR_STOPPED | status::DESCRIPTOR_COMPLETED | ERRORS;

const DESCRIPTOR_BYTES: usize = descriptor::BYTES as usize;
/// Adjacent descriptors lie in one block of so many, which crosses no 4 KiB.
const BLOCK: usize = 64;

/// Bytes of one descriptor: how fine progress is seen.
const PIECE: usize = 64 << 10;
/// Bytes of one transfer.
const TRANSFER: usize = 1 << 20;
/// Data are placed as in the program's memory, modulo this.
const SKEW: usize = 64;

/// Stands where the last bytes from the card are awaited.
const MARK: [u8; 8] = 0x9E37_79B9_7F4A_7C15_u64.to_le_bytes();

/// The driver's buffer: descriptors, write-back words, data.
const LIST: usize = 0;
const WORDS: usize = PAGE;
const DATA: usize = 2 * PAGE;

/// Vectors as the driver programs them.
const USER_VECTOR: u32 = 2;
/// Vectors that a link should provide.
pub const VECTORS: u32 = 3;

/// [`Dma::deadline`], if nothing else is said.
const DEADLINE: Duration = Duration::from_secs(60);
/// After so long the wait no longer spins.
const SPIN: Duration = Duration::from_micros(20);
/// Longest nap, where an interrupt does not end it.
const NAP: Duration = Duration::from_millis(2);
/// Between two looks at the channel's registers.
const LOOK: Duration = Duration::from_millis(50);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From host to card (H2C).
    ToCard,
    /// From card to host (C2H).
    FromCard,
}

impl Direction {
    fn word(self) -> &'static str {
        match self {
            Direction::ToCard => "to",
            Direction::FromCard => "from",
        }
    }

    fn base(self) -> u64 {
        self as u64 * at::OTHER_WAY
    }

    /// Its write-back word in the buffer; two words of different cache lines.
    fn writeback(self) -> usize {
        WORDS + 64 * self as usize
    }

    fn vector(self) -> u32 {
        self as u32
    }
}

/// What the link of a function can carry at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkRate {
    /// Gigatransfers per second of a lane.
    pub gigatransfers: f64,
    /// Lanes.
    pub lanes: u32,
    /// Largest payload of a packet, bytes.
    pub payload: u32,
}

impl LinkRate {
    /// Bytes per second of payload at most: line code, and 20 bytes around each packet of the largest payload (12 of header for addresses
    /// below 4 GiB and for completions, 8 of sequence number, checksum and framing).
    pub fn ceiling(&self) -> f64 {
        let code = if self.gigatransfers > 5.0 {
            128.0 / 130.0
        } else {
            0.8
        };
        let raw = self.gigatransfers * 1e9 * code / 8.0 * f64::from(self.lanes);
        raw * f64::from(self.payload) / f64::from(self.payload + 20)
    }
}

/// A function's DMA channels, and its registers beside them.
pub struct Dma {
    /// Declared before the link, as the jobs' is: unmapped while the function is still ours.
    buffer: DmaBuffer,
    slots: Option<job::Slots>,
    link: Box<dyn Link>,
    /// The BAR with the engine's registers, and that with the DMA's.
    user: usize,
    config: usize,
    /// H2C channels: how many come before C2H in the bits of the interrupt block.
    to_card_channels: u32,
    /// The channels ask for equal alignment of host and card addresses, modulo this.
    alignment: usize,
    /// A transfer was given up: the card may still be at work on it.
    given_up: bool,
    /// How long a transfer may go on without a further descriptor done.
    pub(crate) deadline: Duration,
    stop: Option<Arc<AtomicBool>>,
}

impl Dma {
    /// Finds the DMA registers of a function and sets them up. When `stop` is set, a transfer ends with [`Error::Interrupted`].
    ///
    /// # Errors
    /// The function has no such registers, or does not answer.
    pub fn new(mut link: Box<dyn Link>, stop: Option<Arc<AtomicBool>>) -> Result<Dma, Error> {
        master(&mut *link)?;
        let (user, config) = bars(&mut *link)?;
        let buffer = link.dma().allocate(DATA + TRANSFER + SKEW)?;
        let mut dma = Dma {
            buffer,
            slots: None,
            link,
            user,
            config,
            to_card_channels: 1,
            alignment: 1,
            given_up: false,
            deadline: DEADLINE,
            stop,
        };
        dma.quiet()?;
        dma.start()?;
        Ok(dma)
    }

    /// Stops what another program left at work: ended in the middle of a transfer, it could not.
    fn quiet(&mut self) -> Result<(), Error> {
        for direction in [Direction::ToCard, Direction::FromCard] {
            let seen = self.read(direction.base() + at::STATUS)?;
            if seen != u32::MAX && seen & status::BUSY != 0 {
                return self.link.reset();
            }
        }
        Ok(())
    }

    /// Memory-mapped channels of a direction, from 0 without a gap.
    fn channels(&mut self, direction: Direction) -> Result<u32, Error> {
        let block = match direction {
            Direction::ToCard => abi::dma::H2C,
            Direction::FromCard => abi::dma::C2H,
        };
        for n in 0..4 {
            let seen = self.read(direction.base() + at::NEXT_CHANNEL * u64::from(n))?;
            // Any version; a set bit 15 would be a stream, which has no card addresses.
            if seen >> 8 != block.identifier(n) >> 8 {
                return Ok(n);
            }
        }
        Ok(4)
    }

    /// Brings the registers from any state to where transfers can begin.
    fn start(&mut self) -> Result<(), Error> {
        master(&mut *self.link)?;
        self.to_card_channels = self.channels(Direction::ToCard)?;
        if self.to_card_channels == 0 || self.channels(Direction::FromCard)? == 0 {
            self.alive("the channels' identifiers")?;
            return Err(Error::Open(format!(
                "{}: its DMA has no memory-mapped channel for each direction; build the card's DMA with one H2C and one C2H channel",
                self.link.name()
            )));
        }
        let alignments = self.read(at::ALIGNMENTS)?;
        self.alignment = (alignments >> 16 & 0xFF).max(1) as usize;
        let listening = self.link.no_interrupts().is_none();
        for direction in [Direction::ToCard, Direction::FromCard] {
            let base = direction.base();
            self.write(base + at::CONTROL, 0)?;
            let word = self.buffer.iova() + direction.writeback() as u64;
            self.write_pair(base + at::WRITEBACK, word)?;
            let mask = if listening { LOGGED } else { 0 };
            self.write(base + at::INTERRUPT_MASK, mask)?;
        }
        let from_card = self.to_card_channels;
        let vectors = u64::from(Direction::FromCard.vector()) << (8 * from_card)
            | u64::from(Direction::ToCard.vector());
        self.write_pair(at::CHANNEL_VECTORS, vectors)?;
        self.write(at::USER_VECTORS, USER_VECTOR)?;
        let (channels, users) = if listening {
            (1 << from_card | 1, 1)
        } else {
            (0, 0)
        };
        self.write(at::CHANNEL_MASK, channels)?;
        self.write(at::USER_MASK, users)?;
        self.given_up = false;
        Ok(())
    }

    /// Resets the function, and sets everything up anew.
    ///
    /// # Errors
    /// If the function does not answer.
    pub fn reset(&mut self) -> Result<(), Error> {
        // A function that has gone cannot be reset, which is not the reset's fault.
        if let Err(e) = self.link.reset() {
            return Err(match self.link.read_config(0) {
                Ok(u32::MAX) => gone(&mut *self.link, "the function, being reset"),
                _ => e,
            });
        }
        self.start()
    }

    /// The link beneath.
    pub fn link(&mut self) -> &mut dyn Link {
        &mut *self.link
    }

    /// The link's time, for deadlines.
    pub fn now(&self) -> Duration {
        self.link.now()
    }

    /// The BAR of the engine's registers.
    pub fn user_bar(&self) -> usize {
        self.user
    }

    /// Reads a register of the engine.
    ///
    /// # Errors
    /// If the access fails, or nobody answers.
    pub fn read_user(&mut self, offset: u32) -> Result<u32, Error> {
        let value = self.link.read(self.user, offset.into())?;
        if value != u32::MAX {
            return Ok(value);
        }
        self.alive("the engine's register")?;
        // A read whose answer was lost or refused reads as ones too; reading a register of the engine changes nothing.
        self.link.read(self.user, offset.into())
    }

    /// Writes a register of the engine.
    ///
    /// # Errors
    /// If the access fails.
    pub fn write_user(&mut self, offset: u32, value: u32) -> Result<(), Error> {
        self.link.write(self.user, offset.into(), value)
    }

    /// Waits until the engine's interrupt has come, for `timeout` at most.
    ///
    /// # Errors
    /// If waiting itself fails.
    pub fn wait_user_interrupt(&mut self, timeout: Duration) -> Result<Wake, Error> {
        self.link.wait_interrupt(USER_VECTOR, timeout)
    }

    /// What configuration space says of the link; `None` where the function has no PCI Express capability.
    ///
    /// # Errors
    /// If configuration space cannot be read.
    pub fn link_rate(&mut self) -> Result<Option<LinkRate>, Error> {
        const EXPRESS: u32 = 0x10;
        let mut at = (self.link.read_config(0x34)? & 0xFC) as u16;
        // A list that is longer than the space is a ring.
        for _ in 0..48 {
            if at < 0x40 {
                break;
            }
            let head = self.link.read_config(at)?;
            if head & 0xFF == EXPRESS {
                let control = self.link.read_config(at + 8)?;
                let status = self.link.read_config(at + 16)? >> 16;
                let gigatransfers = match status & 0xF {
                    1 => 2.5,
                    2 => 5.0,
                    3 => 8.0,
                    _ => 16.0,
                };
                return Ok(Some(LinkRate {
                    gigatransfers,
                    lanes: (status >> 4 & 0x3F).max(1),
                    payload: 128 << (control >> 5 & 7),
                }));
            }
            at = (head >> 8 & 0xFC) as u16;
        }
        Ok(None)
    }

    fn read(&mut self, offset: u64) -> Result<u32, Error> {
        self.link.read(self.config, offset)
    }

    fn write(&mut self, offset: u64, value: u32) -> Result<(), Error> {
        self.link.write(self.config, offset, value)
    }

    /// Low word first, as the card expects.
    fn write_pair(&mut self, offset: u64, value: u64) -> Result<(), Error> {
        self.write(offset, value as u32)?;
        self.write(offset + 4, (value >> 32) as u32)
    }

    /// Something read as all ones: an error if the identifier of the interrupt block does too.
    fn alive(&mut self, what: &'static str) -> Result<(), Error> {
        match self.read(at::INTERRUPTS)? {
            u32::MAX => Err(gone(&mut *self.link, what)),
            _ => Ok(()),
        }
    }

    /// Copies host bytes to the card.
    ///
    /// # Errors
    /// The transfer fails, does not end in time, or is interrupted.
    pub fn to_card(&mut self, bytes: &[u8], card: u64) -> Result<(), Error> {
        for (i, part) in bytes.chunks(TRANSFER).enumerate() {
            let card = card + (i * TRANSFER) as u64;
            let place = DATA + self.skew(part.as_ptr(), card);
            self.buffer.write(place, part);
            self.transfer(Direction::ToCard, card, place, part.len())?;
        }
        Ok(())
    }

    /// Copies card bytes to the host.
    ///
    /// # Errors
    /// As [`Dma::to_card`].
    pub fn from_card(&mut self, card: u64, bytes: &mut [u8]) -> Result<(), Error> {
        for (i, part) in bytes.chunks_mut(TRANSFER).enumerate() {
            let card = card + (i * TRANSFER) as u64;
            let place = DATA + self.skew(part.as_ptr(), card);
            let n = part.len();
            let end = n - n.min(MARK.len());
            // A write to an address that nobody has is lost, and the card never hears of it: then the mark is still there. Data may be
            // the mark by chance, but not the other one too.
            for mark in [MARK, MARK.map(|b| !b)] {
                let mark = &mark[..n - end];
                self.buffer.write(place + end, mark);
                self.transfer(Direction::FromCard, card, place, n)?;
                self.buffer.read(place, part);
                if part[end..] != *mark {
                    break;
                }
                if mark[0] != MARK[0] {
                    return Err(Error::Dma {
                        device: self.link.name(),
                        direction: Direction::FromCard.word(),
                        address: card,
                        bytes: n,
                        reason: "the card says that all is written, but the last bytes did not reach this program's memory; the IOMMU or the descriptor sent them elsewhere: see `sudo dmesg | grep -iE 'dmar|iommu'`, and reset the board".into(),
                    });
                }
            }
        }
        Ok(())
    }

    fn skew(&self, host: *const u8, card: u64) -> usize {
        match self.alignment {
            1 => host as usize % SKEW,
            alignment => card as usize % alignment.min(SKEW),
        }
    }

    fn transfer(
        &mut self,
        direction: Direction,
        card: u64,
        place: usize,
        bytes: usize,
    ) -> Result<(), Error> {
        let failed = |dma: &Dma, reason: String| Error::Dma {
            device: dma.link.name(),
            direction: direction.word(),
            address: card,
            bytes,
            reason,
        };
        if self.given_up {
            let reason = "an earlier transfer was given up, and its channel may still be at work; reset the board first";
            return Err(failed(self, reason.into()));
        }
        let base = direction.base();
        let host = self.buffer.iova() + place as u64;
        let list = self.buffer.iova() + LIST as u64;
        let descriptors = describe(direction, list, host, card, bytes);
        for (i, descriptor) in descriptors.iter().enumerate() {
            self.buffer.write(LIST + DESCRIPTOR_BYTES * i, descriptor);
        }
        self.buffer.store(direction.writeback(), 0);
        // The card must not see the start before what the start is about.
        fence(Ordering::SeqCst);
        self.write_pair(base + at::FIRST, list)?;
        let adjacent = descriptors.len().min(BLOCK) - 1;
        self.write(base + at::ADJACENT, adjacent as u32)?;
        let start = control::RUN | control::POLL_WRITEBACK | LOGGED;
        self.write(base + at::CONTROL, start)?;

        // Until it is known to be over.
        self.given_up = true;
        self.wait(direction, descriptors.len() as u32)?
            .map_err(|reason| failed(self, reason))?;
        self.write(base + at::CONTROL_CLEAR, control::RUN)?;
        self.given_up = false;
        Ok(())
    }

    /// Waits until the card has said that `wanted` descriptors are done. The inner error says what went wrong with the transfer.
    fn wait(&mut self, direction: Direction, wanted: u32) -> Result<Result<(), String>, Error> {
        let base = direction.base();
        let start = self.now();
        let (mut progress, mut looked) = (start, start);
        let mut done = 0;
        loop {
            let word = self.buffer.load(direction.writeback());
            if word & WRITEBACK_ERROR == 0 && word & WRITEBACK_COUNT >= wanted {
                return Ok(Ok(()));
            }
            if word & WRITEBACK_ERROR == 0 && self.now() - start < SPIN {
                self.link.spin();
                continue;
            }
            if let Some(stop) = &self.stop {
                if stop.load(Ordering::Relaxed) {
                    return Err(Error::Interrupted {
                        device: self.link.name(),
                        what: format!("DMA {} the card", direction.word()),
                    });
                }
            }
            if word & WRITEBACK_ERROR != 0 || self.now() - looked >= LOOK {
                looked = self.now();
                let seen = self.read(base + at::STATUS)?;
                if seen == u32::MAX {
                    self.alive("the channel's status")?;
                }
                let count = self.read(base + at::COMPLETED)?;
                let so_far = format!("{count} of {wanted} descriptors done");
                if seen & ERRORS != 0 {
                    self.write(base + at::CONTROL_CLEAR, control::RUN)?;
                    self.given_up = seen & status::BUSY != 0;
                    return Ok(Err(format!(
                        "{}; {so_far}; try again, and if it happens again `host selftest` looks for the cause",
                        causes(direction, seen)
                    )));
                }
                if count != done {
                    (done, progress) = (count, looked);
                }
                if seen & status::BUSY == 0 && count >= wanted {
                    // Its last word may have been behind the read; now it is not.
                    let word = self.buffer.load(direction.writeback());
                    if word & WRITEBACK_COUNT < wanted {
                        return Ok(Err(format!("the channel has stopped after all {wanted} descriptors, but its write-back word shows {word:08X}: either its order to start or its last write was lost: reset the board, and if it happens again look whether the card's writes reach this program's memory at all; with QEMU, the guest's memory needs `share=on`")));
                    }
                    continue;
                }
                if seen & status::BUSY == 0 {
                    return Ok(Err(format!(
                        "the channel has stopped by itself; {so_far}, status {seen:08X}: someone else uses or has reset the card"
                    )));
                }
                let still = self.now() - progress;
                if still >= self.deadline {
                    self.write(base + at::CONTROL_CLEAR, control::RUN)?;
                    return Ok(Err(format!(
                        "nothing more done in {} ms of waiting; {so_far}, status {seen:08X}; if the board is a slow simulation, transfer less at a time, else reset it",
                        still.as_millis()
                    )));
                }
            }
            let nap = ((self.now() - start) / 8).min(NAP);
            self.link.wait_interrupt(direction.vector(), nap)?;
        }
    }
}

impl Drop for Dma {
    /// The channels stop before the buffer is unmapped. Nobody is left to tell if the card does not answer.
    fn drop(&mut self) {
        for direction in [Direction::ToCard, Direction::FromCard] {
            let _ = self.write(direction.base() + at::CONTROL, 0);
        }
    }
}

const COMMAND: u16 = 4;
const MEMORY_SPACE: u32 = 2;

/// Why registers read as all ones: nobody is there, or the function does not decode its BARs any more.
fn gone(link: &mut dyn Link, what: &str) -> Error {
    let device = link.name();
    match link.read_config(COMMAND) {
        Err(e) => e,
        Ok(command) if command & MEMORY_SPACE == 0 => Error::Reset {
            device,
            what: format!("{what}: all ones, and Memory Space in Command is off"),
        },
        Ok(_) => Error::Dead {
            device,
            what: format!("{what}: all ones"),
        },
    }
}

/// Lets the function answer and send requests: Memory Space and Bus Master in Command.
fn master(link: &mut dyn Link) -> Result<(), Error> {
    let command = link.read_config(COMMAND)? as u16;
    if command == u16::MAX {
        return Err(Error::Dead {
            device: link.name(),
            what: "configuration space reads as all ones".into(),
        });
    }
    link.write_config(COMMAND, command | 6)
}

/// The BARs of the engine's registers and of the DMA's, found as the vendor's driver finds them.
fn bars(link: &mut dyn Link) -> Result<(usize, usize), Error> {
    let mut said = Vec::new();
    let mut user = None;
    for bar in 0..6 {
        let bytes = link.bar_bytes(bar);
        if bytes >= 0x8000 {
            let block = |id: u32| id >> 16;
            let ids = [link.read(bar, at::INTERRUPTS)?, link.read(bar, at::CONFIG)?];
            if ids.map(block) == [0x1FC2, 0x1FC3] {
                let user = user.ok_or_else(|| {
                    Error::Open(format!(
                        "{}: the first BAR holds the DMA's registers, so there are none of an engine; this is not a board of ours",
                        link.name()
                    ))
                })?;
                return Ok((user, bar));
            }
            // Another card's BAR may read so; then its configuration space answers.
            if ids == [u32::MAX; 2] {
                master(link)?;
            }
            said.push(format!("BAR{bar} shows {:08X} and {:08X}", ids[0], ids[1]));
        }
        if bytes > 0 {
            user.get_or_insert(bar);
        }
    }
    if said.is_empty() {
        said.push("it has no BAR large enough".into());
    }
    Err(Error::Open(format!(
        "{}: no DMA registers were found (1FC2.... at 0x2000 and 1FC3.... at 0x3000 were wanted; {}); this is not a board of ours, or its image is not loaded",
        link.name(),
        said.join(", ")
    )))
}

/// The list of a transfer; it stands at `list`.
fn describe(
    direction: Direction,
    list: u64,
    host: u64,
    card: u64,
    bytes: usize,
) -> Vec<[u8; DESCRIPTOR_BYTES]> {
    let count = bytes.div_ceil(PIECE);
    let one = |i: usize| {
        let last = i + 1 == count;
        // Descriptors that follow the next one in its block.
        let block_end = count.min((i + 1) / BLOCK * BLOCK + BLOCK);
        let adjacent = block_end.saturating_sub(i + 2) as u32;
        let flags = match last {
            true => descriptor::STOP | descriptor::COMPLETED | descriptor::EOP,
            false => adjacent << descriptor::ADJACENT,
        };
        let next = if last {
            0
        } else {
            list + (DESCRIPTOR_BYTES * (i + 1)) as u64
        };
        let from = i * PIECE;
        let length = PIECE.min(bytes - from) as u32;
        let (host, card) = (host + from as u64, card + from as u64);
        let (source, destination) = match direction {
            Direction::ToCard => (host, card),
            Direction::FromCard => (card, host),
        };
        let mut words = [0; DESCRIPTOR_BYTES];
        words[..4].copy_from_slice(&(descriptor::MAGIC << 16 | flags).to_le_bytes());
        words[4..8].copy_from_slice(&length.to_le_bytes());
        words[8..16].copy_from_slice(&source.to_le_bytes());
        words[16..24].copy_from_slice(&destination.to_le_bytes());
        words[24..].copy_from_slice(&next.to_le_bytes());
        words
    };
    (0..count).map(one).collect()
}

/// The error bits of Status, in words.
fn causes(direction: Direction, seen: u32) -> String {
    let (reading, writing) = match direction {
        Direction::ToCard => (
            ("reading host memory", &status::PCIE[..]),
            ("writing card memory", &status::AXI[..]),
        ),
        Direction::FromCard => (
            ("reading card memory", &status::AXI[..]),
            ("writing", &[][..]),
        ),
    };
    let mut said = Vec::new();
    for (bit, what) in [
        (
            status::ALIGN_MISMATCH,
            "addresses that are not aligned alike",
        ),
        (
            status::MAGIC_STOPPED,
            "no descriptor where one was expected",
        ),
        (status::INVALID_LENGTH, "a length that it cannot do"),
    ] {
        if seen & bit != 0 {
            said.push(what.to_owned());
        }
    }
    for (lsb, (doing, kinds)) in [
        (status::READ_ERROR, reading),
        (status::WRITE_ERROR, writing),
        (
            status::DESCRIPTOR_ERROR,
            ("fetching a descriptor", &status::PCIE[..]),
        ),
    ] {
        for bit in (0..5).filter(|bit| seen >> (lsb + bit) & 1 != 0) {
            let kind = kinds.get(bit as usize).copied().unwrap_or("unknown error");
            said.push(format!("{kind} while {doing}"));
        }
    }
    format!("the card reports {} (status {seen:08X})", said.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_adjacent_within_its_blocks() {
        let bytes = 130 * PIECE - 5;
        let list = describe(Direction::FromCard, 0x10_0000, 0x20_0000, 0x40, bytes);
        let word =
            |i: usize, at: usize| u32::from_le_bytes(list[i][at..at + 4].try_into().unwrap());
        assert_eq!(list.len(), 130);
        let adjacent = |i: usize| word(i, 0) >> 8 & 0x3F;
        assert_eq!(
            [0, 61, 62, 63, 64, 126, 127, 128].map(adjacent),
            [62, 1, 0, 63, 62, 0, 1, 0]
        );
        assert_eq!(word(129, 0), 0xAD4B_0013);
        assert_eq!(word(129, 4) as usize, PIECE - 5);
        assert_eq!([word(129, 24), word(128, 24)], [0, 0x10_0000 + 32 * 129]);
        assert_eq!([word(1, 8), word(1, 16)], [0x1_0040, 0x21_0000]);
    }

    #[test]
    fn errors_are_in_words() {
        let e = causes(Direction::ToCard, 1 << 9 | 1 << 15 | 1 << 4);
        for part in [
            "unsupported request while reading host memory",
            "slave error while writing card memory",
            "no descriptor",
        ] {
            assert!(e.contains(part), "{e} does not say {part}");
        }
        assert!(
            causes(Direction::FromCard, 1 << 9).contains("decode error while reading card memory")
        );
    }

    #[test]
    fn the_ceiling_is_that_of_the_link() {
        let link = LinkRate {
            gigatransfers: 2.5,
            lanes: 1,
            payload: 128,
        };
        assert_eq!(link.ceiling(), 250e6 * 128.0 / 148.0);
    }
}
