//! The registers of the DMA engine (BAR1) and its descriptors: the XDMA register contract as data.
//!
//! The RTL decodes these offsets, the driver and the card model use them, `docs/dma.md` is made from them. Accesses are aligned 32-bit
//! words; a write that does not enable all four bytes is ignored; what is not listed reads as 0.

use crate::registers::RegField;

/// Who may change a register, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read-only.
    Ro,
    /// Read and write.
    Rw,
    /// Write 1 to set bits of the register before it; reads as that register.
    W1s,
    /// Write 1 to clear bits (of the register it stands for); reads as that register.
    W1c,
    /// Reading clears.
    Rc,
    /// Write-only; reads as 0.
    Wo,
}

/// One 32-bit register of a block.
#[derive(Clone, Copy, Debug)]
pub struct Register {
    /// Name, unique in its block.
    pub name: &'static str,
    /// Byte offset in the block.
    pub offset: u32,
    /// Access.
    pub access: Access,
    /// Bits that exist in a register that can be written.
    pub mask: u32,
    /// Fields, if it has any.
    pub fields: &'static [RegField],
    /// One sentence of meaning.
    pub doc: &'static str,
}

/// Registers with one identifier; channel n of a block with channels stands at `base` + 0x100 n.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Name.
    pub name: &'static str,
    /// Offset in the BAR.
    pub base: u32,
    /// Upper half of the identifier.
    pub target: u32,
    /// Registers by rising offset.
    pub registers: &'static [Register],
    /// One sentence of meaning.
    pub doc: &'static str,
}

impl Block {
    /// Offset in the BAR of the register `name` of channel `channel`.
    ///
    /// # Panics
    /// If there is no such register: a mistake of the program, found by any test that runs the line.
    pub const fn at(&self, channel: u32, name: &str) -> u32 {
        self.base + 0x100 * channel + offset(self.registers, name)
    }

    /// The identifier register of channel `channel`.
    pub const fn identifier(&self, channel: u32) -> u32 {
        self.target << 16 | channel << 8 | VERSION
    }
}

/// Offset of the register `name` in its block.
///
/// # Panics
/// If there is no such register.
pub const fn offset(registers: &[Register], name: &str) -> u32 {
    let mut i = 0;
    while i < registers.len() {
        if crate::registers::same(registers[i].name, name) {
            return registers[i].offset;
        }
        i += 1;
    }
    panic!("no register of this name")
}

/// Bytes of the BAR.
pub const SPACE: u32 = 0x1_0000;
/// Bits 7:0 of every identifier: 2017.1 and later.
pub const VERSION: u32 = 6;
/// Channels in each direction. A further one would need its own fetch unit and movers; the map has room for four.
pub const CHANNELS: u32 = 1;
/// User interrupts that are connected: the engine's.
pub const USERS: u32 = 1;
/// Byte alignment, length granularity and address bits of a channel: any byte, 64 bits.
pub const ALIGNMENTS: u32 = 0x0001_0140;

/// Bits of CONTROL.
pub mod control {
    /// The engine runs.
    pub const RUN: u32 = 1 << 0;
    /// Status bits whose logging the same bit of CONTROL enables.
    pub const LOGGED: u32 = 0x00FF_FE7E;
    /// Both card addresses of a transfer stay where they are.
    pub const NON_INCREMENTING: u32 = 1 << 25;
    /// Write the completed count to host memory.
    pub const POLL_WRITEBACK: u32 = 1 << 26;
    /// No metadata of C2H streams.
    pub const NO_STREAM_WRITEBACK: u32 = 1 << 27;
}

/// Bits of STATUS.
pub mod status {
    /// The engine works.
    pub const BUSY: u32 = 1 << 0;
    /// A descriptor with Stop is finished.
    pub const DESCRIPTOR_STOPPED: u32 = 1 << 1;
    /// A descriptor with Completed is finished.
    pub const DESCRIPTOR_COMPLETED: u32 = 1 << 2;
    /// Never set: any alignment is good.
    pub const ALIGN_MISMATCH: u32 = 1 << 3;
    /// A descriptor without the magic number; the engine stopped.
    pub const MAGIC_STOPPED: u32 = 1 << 4;
    /// A descriptor of length 0; it is counted as finished.
    pub const INVALID_LENGTH: u32 = 1 << 5;
    /// The engine stopped because Run was cleared.
    pub const IDLE_STOPPED: u32 = 1 << 6;
    /// Lowest bit of the read errors: PCIe sub-bits for H2C, AXI sub-bits for C2H.
    pub const READ_ERROR: u32 = 9;
    /// Lowest bit of the write errors: AXI sub-bits, H2C only.
    pub const WRITE_ERROR: u32 = 14;
    /// Lowest bit of the errors of a descriptor's fetch: PCIe sub-bits.
    pub const DESCRIPTOR_ERROR: u32 = 19;
    /// PCIe sub-bits by place: what a completion said, or that none came.
    pub const PCIE: [&str; 5] = [
        "unsupported request",
        "completer abort",
        "parity",
        "poisoned",
        "unexpected completion or time-out",
    ];
    /// AXI sub-bits by place.
    pub const AXI: [&str; 2] = ["decode error", "slave error"];
}

/// A descriptor: 32 bytes at a multiple of 32 in host memory, little-endian words.
pub mod descriptor {
    /// Bytes.
    pub const BYTES: u64 = 32;
    /// Bits 31:16 of word 0.
    pub const MAGIC: u32 = 0xAD4B;
    /// Bit of word 0: the last one of a list.
    pub const STOP: u32 = 1 << 0;
    /// Bit of word 0: log its end, and write it back.
    pub const COMPLETED: u32 = 1 << 1;
    /// Bit of word 0: end of packet, for streams.
    pub const EOP: u32 = 1 << 4;
    /// Lowest bit of Nxt_adj in word 0.
    pub const ADJACENT: u32 = 8;
    /// Largest Nxt_adj.
    pub const MAX_ADJACENT: u32 = 63;
    /// Largest length.
    pub const MAX_LENGTH: u32 = (1 << 28) - 1;
    /// Name, byte and meaning of each word.
    pub const WORDS: [(&str, u32, &str); 8] = [
        ("control", 0x00, "[31:16] magic 0xAD4B, [13:8] Nxt_adj: how many more follow contiguously after the next one, [4] EOP, [1] Completed, [0] Stop."),
        ("length", 0x04, "[27:0] length in bytes."),
        ("src_lo", 0x08, "Source: host memory for H2C, card memory for C2H."),
        ("src_hi", 0x0C, "High word; of a card address only bits 39:32 count."),
        ("dst_lo", 0x10, "Destination: card memory for H2C, host memory for C2H."),
        ("dst_hi", 0x14, "High word, likewise."),
        ("next_lo", 0x18, "Next descriptor."),
        ("next_hi", 0x1C, "High word."),
    ];
}

/// The word that poll mode writes: [23:0] the completed count.
pub const WRITEBACK_COUNT: u32 = 0x00FF_FFFF;
/// The word that poll mode writes: an error is logged.
pub const WRITEBACK_ERROR: u32 = 1 << 31;

/// A job: the host writes commands and x into a slot of its own memory and rings; the card reads them, rings the engine, and when the
/// commands are done writes their output back, and behind it the job's word.
pub mod job {
    /// Jobs that may wait or work at a time.
    pub const SLOTS: u32 = 4;
    /// Base-2 logarithm of a slot's bytes.
    pub const SLOT_LOG2: u32 = 16;
    /// Bytes of a slot.
    pub const SLOT: u64 = 1 << SLOT_LOG2;
    /// An area has all slots, and stands at a multiple of its size.
    pub const AREA: u64 = SLOT * SLOTS as u64;
    /// Bits of an area's address.
    pub const AREA_MASK: u32 = !(AREA as u32 - 1);
    /// Likewise of its address in the card, in units of 256 bytes.
    pub const CARD_AREA_MASK: u32 = !((AREA as u32 - 1) >> 8);
    /// Where x stands in a slot of the host, behind at most two commands.
    pub const X: u64 = 256;
    /// Bytes of x at most.
    pub const MOST_X: u64 = SLOT - X;
    /// Bit of the doorbell: two commands.
    pub const TWO: u32 = 1 << 16;
    /// Lowest bit of the ring's place in the doorbell.
    pub const PLACE: u32 = 17;
    /// Bits of STATUS.
    pub const FAILED: u32 = 1 << 1;
    /// One job too many.
    pub const OVERRUN: u32 = 1 << 2;
    /// Lowest bit of what went wrong in reading the host's memory.
    pub const READ_ERROR: u32 = 9;
    /// In writing the card's.
    pub const WRITE_ERROR: u32 = 14;
    /// In reading the card's.
    pub const OUTPUT_ERROR: u32 = 16;
    /// The word of a job: bits 15:0 its tail; this bit: it failed, and so will those behind it.
    pub const WORD_FAILED: u32 = 1 << 31;
}

use Access::{Rc, Ro, Rw, W1c, W1s, Wo};

const fn reg(
    name: &'static str,
    offset: u32,
    access: Access,
    mask: u32,
    doc: &'static str,
) -> Register {
    Register {
        name,
        offset,
        access,
        mask,
        fields: &[],
        doc,
    }
}
const fn with(mut r: Register, fields: &'static [RegField]) -> Register {
    r.fields = fields;
    r
}
const fn bit(name: &'static str, lsb: u32, width: u32, doc: &'static str) -> RegField {
    RegField {
        name,
        lsb,
        width,
        doc,
    }
}

const CONTROL_MASK: u32 = control::RUN
    | control::LOGGED
    | control::NON_INCREMENTING
    | control::POLL_WRITEBACK
    | control::NO_STREAM_WRITEBACK;
const ID: Register = reg(
    "IDENTIFIER",
    0x00,
    Ro,
    0,
    "[31:20] 0x1FC, [19:16] target, [15] 1 for a stream, [11:8] channel, [7:0] version.",
);

/// H2C and C2H channels alike.
pub const CHANNEL: &[Register] = &[
    ID,
    with(
        reg("CONTROL", 0x04, Rw, CONTROL_MASK, "What the channel does. Bits 6:1 and 23:9 let the same bit of STATUS be logged; of the error groups also that it stops the engine."),
        &[
            bit("run", 0, 1, "0 to 1 starts at the first descriptor; clearing it lets the present descriptor finish."),
            bit("logged", 1, 23, "As STATUS."),
            bit("non_incrementing", 25, 1, "Stored; card addresses always advance."),
            bit("poll_writeback", 26, 1, "Write the completed count to WRITEBACK on each descriptor with Completed, and when an error stops the engine."),
            bit("no_stream_writeback", 27, 1, "Stored; there are no streams."),
        ],
    ),
    reg("CONTROL_W1S", 0x08, W1s, CONTROL_MASK, "Sets bits of CONTROL."),
    reg("CONTROL_W1C", 0x0C, W1c, CONTROL_MASK, "Clears bits of CONTROL."),
    with(
        reg("STATUS", 0x40, W1c, control::LOGGED, "What has happened since Run was set: all but busy are cleared then, or by writing 1."),
        &[
            bit("busy", 0, 1, "The engine works; read-only."),
            bit("descriptor_stopped", 1, 1, "A descriptor with Stop is finished."),
            bit("descriptor_completed", 2, 1, "A descriptor with Completed is finished."),
            bit("align_mismatch", 3, 1, "Never set."),
            bit("magic_stopped", 4, 1, "A descriptor without the magic number stopped the engine."),
            bit("invalid_length", 5, 1, "A descriptor of length 0, which moved nothing."),
            bit("idle_stopped", 6, 1, "The engine stopped because run was cleared."),
            bit("read_error", 9, 5, "H2C: unsupported request, completer abort, parity, poisoned, unexpected completion or time-out. C2H: AXI decode, slave."),
            bit("write_error", 14, 5, "H2C: AXI decode, slave."),
            bit("descriptor_error", 19, 5, "Fetching a descriptor: as read_error of H2C."),
        ],
    ),
    reg("STATUS_RC", 0x44, Rc, 0, "As STATUS; reading it clears all but busy."),
    reg("COMPLETED_COUNT", 0x48, Ro, 0, "Descriptors finished since Run was set."),
    reg("ALIGNMENTS", 0x4C, Ro, 0, "[23:16] address alignment 1, [15:8] length granularity 1, [7:0] address bits 64."),
    reg("WRITEBACK_LO", 0x88, Rw, 0xFFFF_FFFC, "Where poll mode writes the completed count."),
    reg("WRITEBACK_HI", 0x8C, Rw, 0xFFFF_FFFF, "High word."),
    reg("INTERRUPT_MASK", 0x90, Rw, control::LOGGED, "Bits of STATUS that raise the channel's interrupt."),
    reg("INTERRUPT_MASK_W1S", 0x94, W1s, control::LOGGED, "Sets bits of INTERRUPT_MASK."),
    reg("INTERRUPT_MASK_W1C", 0x98, W1c, control::LOGGED, "Clears bits of INTERRUPT_MASK."),
    with(
        reg("PERFORMANCE_CONTROL", 0xC0, Rw, 0x7, "The two counters below."),
        &[
            bit("run", 0, 1, "They count."),
            bit("clear", 1, 1, "Write 1: both become 0; reads as 0."),
            bit("auto_stop", 2, 1, "A descriptor with Stop clears run."),
        ],
    ),
    reg("CYCLES_LO", 0xC4, Ro, 0, "Clock cycles."),
    reg("CYCLES_HI", 0xC8, Ro, 0, "Bits 39:32."),
    reg("DATA_LO", 0xCC, Ro, 0, "Beats of payload that the channel moved, each as wide as the packet interface (8 or 16 bytes)."),
    reg("DATA_HI", 0xD0, Ro, 0, "Bits 39:32."),
];

/// Interrupts: sources, masks and vectors.
pub const IRQ: &[Register] = &[
    ID,
    reg(
        "USER_MASK",
        0x04,
        Rw,
        (1 << USERS) - 1,
        "User interrupts that may raise a message.",
    ),
    reg(
        "USER_MASK_W1S",
        0x08,
        W1s,
        (1 << USERS) - 1,
        "Sets bits of USER_MASK.",
    ),
    reg(
        "USER_MASK_W1C",
        0x0C,
        W1c,
        (1 << USERS) - 1,
        "Clears bits of USER_MASK.",
    ),
    reg(
        "CHANNEL_MASK",
        0x10,
        Rw,
        (1 << (2 * CHANNELS)) - 1,
        "Channels that may raise a message: H2C from bit 0, C2H directly above.",
    ),
    reg(
        "CHANNEL_MASK_W1S",
        0x14,
        W1s,
        (1 << (2 * CHANNELS)) - 1,
        "Sets bits of CHANNEL_MASK.",
    ),
    reg(
        "CHANNEL_MASK_W1C",
        0x18,
        W1c,
        (1 << (2 * CHANNELS)) - 1,
        "Clears bits of CHANNEL_MASK.",
    ),
    reg(
        "USER_REQUEST",
        0x40,
        Ro,
        0,
        "User sources and their mask; each rising edge sends one message.",
    ),
    reg(
        "CHANNEL_REQUEST",
        0x44,
        Ro,
        0,
        "Channel sources and their mask; each rising edge sends one message.",
    ),
    reg(
        "USER_PENDING",
        0x48,
        Ro,
        0,
        "User sources; bit 0 is the engine's interrupt.",
    ),
    reg(
        "CHANNEL_PENDING",
        0x4C,
        Ro,
        0,
        "Channel sources: any bit of STATUS that INTERRUPT_MASK has.",
    ),
    reg("USER_VECTORS", 0x80, Rw, 0x1F, "Vector of user 0 in [4:0]."),
    reg(
        "CHANNEL_VECTORS",
        0xA0,
        Rw,
        0x1F1F,
        "Vectors of the channels, five bits in each byte.",
    ),
];

/// Only an identifier.
pub const CONFIG: &[Register] = &[ID];

/// Where a channel's descriptors are.
pub const SGDMA: &[Register] = &[
    ID,
    reg(
        "FIRST_LO",
        0x80,
        Rw,
        0xFFFF_FFE0,
        "Address of the first descriptor.",
    ),
    reg("FIRST_HI", 0x84, Rw, 0xFFFF_FFFF, "High word."),
    reg(
        "FIRST_ADJACENT",
        0x88,
        Rw,
        0x3F,
        "How many more follow contiguously after the first.",
    ),
];

/// Descriptors of all channels: bits 3:0 H2C, 19:16 C2H.
pub const SGDMA_COMMON: &[Register] = &[
    ID,
    reg(
        "HALT",
        0x10,
        Rw,
        0x0001_0001,
        "No descriptor of these channels is fetched.",
    ),
    reg("HALT_W1S", 0x14, W1s, 0x0001_0001, "Sets bits of HALT."),
    reg("HALT_W1C", 0x18, W1c, 0x0001_0001, "Clears bits of HALT."),
    reg(
        "CREDIT_ENABLE",
        0x20,
        Rw,
        0x0001_0001,
        "Stored; only streams have credits.",
    ),
    reg(
        "CREDIT_ENABLE_W1S",
        0x24,
        W1s,
        0x0001_0001,
        "Sets bits of CREDIT_ENABLE.",
    ),
    reg(
        "CREDIT_ENABLE_W1C",
        0x28,
        W1c,
        0x0001_0001,
        "Clears bits of CREDIT_ENABLE.",
    ),
];

/// Jobs: see [`job`].
pub const JOB: &[Register] = &[
    reg("IDENTIFIER", 0x00, Ro, 0, "[31:16] 0x4A07, [7:0] version."),
    reg("CAPABILITY", 0x04, Ro, 0, "[7:0] jobs that may wait or work at a time, [15:8] base-2 logarithm of the bytes of a slot. Slot n % jobs of each area belongs to job n, counted from the last reset of the function."),
    reg("INPUT_LO", 0x10, Rw, job::AREA_MASK, "Host memory, all slots: the job's commands from byte 0 on, its x from byte 256 on."),
    reg("INPUT_HI", 0x14, Rw, 0xFFFF_FFFF, "High word."),
    reg("OUTPUT_LO", 0x18, Rw, job::AREA_MASK, "Host memory, all slots: where the job's output is written."),
    reg("OUTPUT_HI", 0x1C, Rw, 0xFFFF_FFFF, "High word."),
    reg("COUNT_LO", 0x20, Rw, 0xFFFF_FFFC, "Host memory: where the word of the last job is written."),
    reg("COUNT_HI", 0x24, Rw, 0xFFFF_FFFF, "High word."),
    reg("RING", 0x28, Rw, 0xFFFF_FFFF, "Card memory, in units of 256 bytes: the ring of commands, at a multiple of its size."),
    reg("X", 0x2C, Rw, job::CARD_AREA_MASK, "Card memory, in units of 256 bytes, all slots: where x goes."),
    reg("Y", 0x30, Rw, job::CARD_AREA_MASK, "Card memory, in units of 256 bytes, all slots: what is written back as output."),
    reg("INPUT_BYTES", 0x34, Rw, 0x1_FFFF, "Bytes of x, of the jobs that are begun from now on."),
    reg("OUTPUT_BYTES", 0x38, Rw, 0x1_FFFF, "Bytes of output, likewise."),
    with(
        reg("STATUS", 0x3C, Ro, 0, "What the jobs do. After a failure nothing more is begun until the function is reset."),
        &[
            bit("busy", 0, 1, "A job waits or works."),
            bit("failed", 1, 1, "A job failed."),
            bit("overrun", 2, 1, "It was one more than there are slots."),
            bit("read_error", 9, 5, "Reading host memory: unsupported request, completer abort, parity, poisoned, unexpected completion or time-out."),
            bit("write_error", 14, 2, "Writing card memory: AXI decode, slave."),
            bit("output_error", 16, 2, "Reading card memory: AXI decode, slave."),
        ],
    ),
    with(
        reg("DOORBELL", 0x40, Wo, 0xFFFF_FFFF, "Begins a job."),
        &[
            bit("tail", 0, 16, "The engine's TAIL behind the job's commands; the job is done when DONE_COUNT has come to it."),
            bit("two", 16, 1, "The job has two commands, not one."),
            bit("place", 17, 15, "Where they stand in the ring, in commands; two do not go around its end."),
        ],
    ),
];

const fn block(
    name: &'static str,
    target: u32,
    registers: &'static [Register],
    doc: &'static str,
) -> Block {
    Block {
        name,
        base: (target & 15) << 12,
        target,
        registers,
        doc,
    }
}

/// Host to card.
pub const H2C: Block = block("H2C", 0x1FC0, CHANNEL, "Channel from host to card.");
/// Card to host.
pub const C2H: Block = block("C2H", 0x1FC1, CHANNEL, "Channel from card to host.");
/// Interrupts.
pub const IRQ_BLOCK: Block = block("IRQ", 0x1FC2, IRQ, "Interrupts.");
/// The block that says which BAR this is.
pub const CONFIG_BLOCK: Block = block("CONFIG", 0x1FC3, CONFIG, "Identifies the BAR.");
/// Descriptors of host to card.
pub const H2C_SGDMA: Block = block("H2C SGDMA", 0x1FC4, SGDMA, "Descriptors, host to card.");
/// Descriptors of card to host.
pub const C2H_SGDMA: Block = block("C2H SGDMA", 0x1FC5, SGDMA, "Descriptors, card to host.");
/// Descriptors of all channels.
pub const SGDMA_BLOCK: Block = block(
    "SGDMA common",
    0x1FC6,
    SGDMA_COMMON,
    "Descriptors of all channels: bits 3:0 H2C, 19:16 C2H.",
);
/// Jobs.
pub const JOB_BLOCK: Block = block(
    "JOB",
    0x4A07,
    JOB,
    "Jobs, the short way of a token. The vendor's contract has no such block; a card without jobs reads otherwise here.",
);
/// Every block, by rising base. The MSI-X table stands at 0x8000, its pending bits at 0x8FE0 (`abi::pci`).
pub const BLOCKS: [Block; 8] = [
    H2C,
    C2H,
    IRQ_BLOCK,
    CONFIG_BLOCK,
    H2C_SGDMA,
    C2H_SGDMA,
    SGDMA_BLOCK,
    JOB_BLOCK,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_rise_and_fields_do_not_overlap() {
        for b in BLOCKS {
            let mut last = None;
            for r in b.registers {
                assert!(
                    last < Some(r.offset) && r.offset % 4 == 0 && r.offset < 0x100,
                    "{} {}",
                    b.name,
                    r.name
                );
                last = Some(r.offset);
                if matches!(r.access, W1s | W1c) && r.name != "STATUS" {
                    let stem = &r.name[..r.name.len() - 4];
                    let target = b.registers.iter().find(|t| t.name == stem);
                    assert_eq!(target.map(|t| t.mask), Some(r.mask), "{}", r.name);
                }
            }
        }
    }

    #[test]
    fn addresses_are_those_of_the_contract() {
        assert_eq!(H2C.at(0, "CONTROL"), 0x0004);
        assert_eq!(C2H.at(0, "COMPLETED_COUNT"), 0x1048);
        assert_eq!(C2H.at(3, "STATUS_RC"), 0x1344);
        assert_eq!(IRQ_BLOCK.at(0, "CHANNEL_VECTORS"), 0x20A0);
        assert_eq!(H2C_SGDMA.at(0, "FIRST_LO"), 0x4080);
        assert_eq!(C2H_SGDMA.at(0, "FIRST_ADJACENT"), 0x5088);
        assert_eq!(SGDMA_BLOCK.at(0, "HALT_W1S"), 0x6014);
        let ids = BLOCKS.map(|b| b.identifier(0));
        assert_eq!(
            ids,
            [
                0x1FC0_0006,
                0x1FC1_0006,
                0x1FC2_0006,
                0x1FC3_0006,
                0x1FC4_0006,
                0x1FC5_0006,
                0x1FC6_0006,
                0x4A07_0006
            ]
        );
    }
}
