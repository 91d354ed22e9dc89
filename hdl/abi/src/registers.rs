//! The register map of BAR0 (AXI4-Lite, 32-bit words).

/// Who may change a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read-only: driven by the engine or constant; writes are ignored.
    Ro,
    /// Read and write.
    Rw,
    /// Write 1 to clear.
    W1c,
}

/// One field of a register.
#[derive(Clone, Copy, Debug)]
pub struct RegField {
    /// Name.
    pub name: &'static str,
    /// Lowest bit.
    pub lsb: u32,
    /// Width in bits.
    pub width: u32,
    /// One sentence of meaning.
    pub doc: &'static str,
}

/// One 32-bit register.
#[derive(Clone, Copy, Debug)]
pub struct Register {
    /// Name, unique.
    pub name: &'static str,
    /// Byte offset.
    pub offset: u32,
    /// Access.
    pub access: Access,
    /// Bits that exist in a writable register.
    pub mask: u32,
    /// Value after reset.
    pub reset: u32,
    /// Fields, if it has any.
    pub fields: &'static [RegField],
    /// One sentence of meaning.
    pub doc: &'static str,
}

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
        reset: 0,
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

use Access::{Ro, Rw, W1c};

/// Bytes of the register space that the engine decodes.
pub const SPACE: u32 = 0x200;

/// Every register, by rising offset. An offset that is not here reads as 0 and ignores writes.
pub const REGISTERS: &[Register] = &[
    reg("MAGIC", 0x00, Ro, 0, "The bytes \"RDHS\"."),
    reg("ABI_VERSION", 0x04, Ro, 0, "Version of this contract."),
    reg(
        "FINGERPRINT_LO",
        0x08,
        Ro,
        0,
        "Low word of the hash of registers, commands, configuration and numeric revision.",
    ),
    reg("FINGERPRINT_HI", 0x0C, Ro, 0, "High word of that hash."),
    with(
        reg("SHAPE", 0x10, Ro, 0, "Size of the array."),
        &[
            bit("lanes", 0, 8, "Rows computed at a time."),
            bit("slot_words", 8, 16, "Value words of a loader slot."),
            bit("topk_max", 24, 8, "Largest k."),
        ],
    ),
    with(
        reg("LIMITS", 0x14, Ro, 0, "Capacities."),
        &[
            bit("tokens_max", 0, 16, "Largest T."),
            bit("experts_max", 16, 16, "Largest E."),
        ],
    ),
    with(
        reg("WIDTHS", 0x18, Ro, 0, "Capacities."),
        &[
            bit("d_max", 0, 16, "Largest d."),
            bit("f_max", 16, 16, "Largest f."),
        ],
    ),
    with(
        reg("MODES", 0x1C, Ro, 0, "What the array and the activation unit can do beyond int8 with dense, 2:4 and 1:4 weights, SiLU and ReLU."),
        &[
            bit("int4", 0, 1, "int4 values."),
            bit("fp4", 1, 1, "FP4 (E2M1) values."),
            bit("pairs", 2, 1, "Two 4-bit rows per lane."),
            bit("octets", 3, 1, "4:8 and 1:8."),
            bit("gelu", 4, 1, "GELU, GELU-tanh and the clamped form."),
            bit("slots", 8, 8, "Loader slots for experts."),
            bit("layers", 16, 16, "Rows of the prediction table."),
        ],
    ),
    with(
        reg("CONTROL", 0x20, Rw, 0x7, "Control bits."),
        &[
            bit(
                "reset",
                0,
                1,
                "Write 1: the engine forgets its command, counters and queues; reads as 0.",
            ),
            bit("irq_enable", 1, 1, "Lets IRQ_PENDING raise the irq pin."),
            bit(
                "freeze",
                2,
                1,
                "Holds all counters, so that their words can be read as one.",
            ),
        ],
    ),
    with(
        reg("STATE", 0x24, Ro, 0, "What the engine does."),
        &[bit("busy", 0, 1, "A command is being executed.")],
    ),
    reg(
        "RING_BASE_LO",
        0x28,
        Rw,
        0xFFFF_FFC0,
        "Address of the command ring in card memory.",
    ),
    reg(
        "RING_BASE_HI",
        0x2C,
        Rw,
        0x0000_00FF,
        "High part of that address.",
    ),
    reg(
        "RING_LOG2",
        0x30,
        Rw,
        0xF,
        "Base-2 logarithm of the number of descriptors in the ring.",
    ),
    reg(
        "TAIL",
        0x34,
        Rw,
        0xFFFF,
        "Doorbell: commands written since reset, modulo 65536.",
    ),
    reg(
        "DONE_COUNT",
        0x38,
        Ro,
        0,
        "Commands completed since reset, modulo 65536.",
    ),
    reg(
        "LAST_STATUS",
        0x3C,
        Ro,
        0,
        "Status code of the command completed last.",
    ),
    with(
        reg("IRQ_PENDING", 0x40, W1c, 0x1, "Interrupt causes."),
        &[bit(
            "done",
            0,
            1,
            "A command with the irq flag has completed.",
        )],
    ),
    reg(
        "SCRATCH",
        0x44,
        Rw,
        0xFFFF_FFFF,
        "Holds what is written; for tests of the path.",
    ),
    reg(
        "TASK",
        0x48,
        Rw,
        0xFF,
        "Which task's gate a layer uses: its router image is that of task 0 plus TASK times task_stride.",
    ),
    with(
        reg(
            "PREDICT_INDEX",
            0x4C,
            Rw,
            0xFFFF,
            "Entry of the prediction table that PREDICT_DATA writes: layer * experts_max + expert.",
        ),
        &[],
    ),
    with(
        reg(
            "PREDICT_DATA",
            0x50,
            Rw,
            0xFFFF,
            "Writes an entry: the experts of the next layer that most often follow. PREDICT_INDEX then names the next entry.",
        ),
        &[
            bit("first", 0, 8, "The likeliest."),
            bit("second", 8, 8, "The next."),
        ],
    ),
    reg("CYCLES_LO", 0x100, Ro, 0, "Cycles since reset."),
    reg("CYCLES_HI", 0x104, Ro, 0, "High word."),
    reg(
        "COMPUTING_LO",
        0x108,
        Ro,
        0,
        "Cycles in which the array multiplied.",
    ),
    reg("COMPUTING_HI", 0x10C, Ro, 0, "High word."),
    reg(
        "MEMORY_LO",
        0x110,
        Ro,
        0,
        "Cycles in which the engine waited for card memory.",
    ),
    reg("MEMORY_HI", 0x114, Ro, 0, "High word."),
    reg(
        "HOST_LO",
        0x118,
        Ro,
        0,
        "Cycles in which the host's accesses to card memory held the engine up.",
    ),
    reg("HOST_HI", 0x11C, Ro, 0, "High word."),
    reg(
        "SLOT_LO",
        0x120,
        Ro,
        0,
        "Cycles in which the array waited for something else while the loader waited for a free slot.",
    ),
    reg("SLOT_HI", 0x124, Ro, 0, "High word."),
    reg(
        "DRAIN_LO",
        0x128,
        Ro,
        0,
        "Cycles in which a phase drained: pipelines, requantisation, softmax, output.",
    ),
    reg("DRAIN_HI", 0x12C, Ro, 0, "High word."),
    reg("IDLE_LO", 0x130, Ro, 0, "Cycles without a command."),
    reg("IDLE_HI", 0x134, Ro, 0, "High word."),
    reg(
        "MACS_LO",
        0x138,
        Ro,
        0,
        "Weights that are structurally present, times the vectors that they met; skipped zeros included.",
    ),
    reg("MACS_HI", 0x13C, Ro, 0, "High word."),
    reg(
        "READ_BYTES_LO",
        0x140,
        Ro,
        0,
        "Bytes the engine read from card memory.",
    ),
    reg("READ_BYTES_HI", 0x144, Ro, 0, "High word."),
    reg(
        "WRITTEN_BYTES_LO",
        0x148,
        Ro,
        0,
        "Bytes the engine wrote to card memory.",
    ),
    reg("WRITTEN_BYTES_HI", 0x14C, Ro, 0, "High word."),
    reg(
        "SATURATIONS_LO",
        0x150,
        Ro,
        0,
        "Values that saturated (docs/formats.md, sections 5 and 6).",
    ),
    reg("SATURATIONS_HI", 0x154, Ro, 0, "High word."),
    reg(
        "SKIPPED_LO",
        0x158,
        Ro,
        0,
        "Beats that the array did not spend, because the block of activations or of weights was all zero.",
    ),
    reg("SKIPPED_HI", 0x15C, Ro, 0, "High word."),
    reg("EXPERT_USES_LO", 0x160, Ro, 0, "Experts that had tokens, over all commands."),
    reg("EXPERT_USES_HI", 0x164, Ro, 0, "High word."),
    reg(
        "PREDICT_HITS_LO",
        0x168,
        Ro,
        0,
        "Of these, those whose prefetch had begun.",
    ),
    reg("PREDICT_HITS_HI", 0x16C, Ro, 0, "High word."),
    reg(
        "PREFETCH_ABORTS_LO",
        0x170,
        Ro,
        0,
        "Slots with prefetched bytes that were given up unused.",
    ),
    reg("PREFETCH_ABORTS_HI", 0x174, Ro, 0, "High word."),
    reg("PREFETCH_BYTES_LO", 0x178, Ro, 0, "Bytes prefetched."),
    reg("PREFETCH_BYTES_HI", 0x17C, Ro, 0, "High word."),
    reg(
        "PREFETCH_USED_LO",
        0x180,
        Ro,
        0,
        "Prefetched bytes that an expert with tokens found in its slot; the others were wasted.",
    ),
    reg("PREFETCH_USED_HI", 0x184, Ro, 0, "High word."),
];

/// Names of the 64-bit counters, in register order; each is NAME_LO, NAME_HI. The six causes after CYCLES sum to it.
pub const COUNTERS: [&str; 17] = [
    "CYCLES",
    "COMPUTING",
    "MEMORY",
    "HOST",
    "SLOT",
    "DRAIN",
    "IDLE",
    "MACS",
    "READ_BYTES",
    "WRITTEN_BYTES",
    "SATURATIONS",
    "SKIPPED",
    "EXPERT_USES",
    "PREDICT_HITS",
    "PREFETCH_ABORTS",
    "PREFETCH_BYTES",
    "PREFETCH_USED",
];
/// Offset of the first counter.
pub const COUNTERS_BASE: u32 = 0x100;

/// Offset of the register called `name`.
///
/// # Panics
/// If there is no such register: a mistake of the program, found by any test that runs the line.
pub const fn offset(name: &str) -> u32 {
    let mut i = 0;
    while i < REGISTERS.len() {
        if same(REGISTERS[i].name, name) {
            return REGISTERS[i].offset;
        }
        i += 1;
    }
    panic!("no register of this name");
}

pub(crate) const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn offsets_rise_and_names_are_unique() {
        let mut names = BTreeSet::new();
        let mut last = None;
        for r in REGISTERS {
            assert!(names.insert(r.name), "{} twice", r.name);
            assert!(
                last < Some(r.offset) && r.offset % 4 == 0 && r.offset < SPACE,
                "{}",
                r.name
            );
            last = Some(r.offset);
            let mut used = 0u64;
            for f in r.fields {
                let m = ((1u64 << f.width) - 1) << f.lsb;
                assert!(used & m == 0 && m < 1 << 32, "{}.{}", r.name, f.name);
                used |= m;
            }
        }
    }

    #[test]
    fn the_fixed_places_are_kept() {
        assert_eq!(
            [
                offset("MAGIC"),
                offset("ABI_VERSION"),
                offset("FINGERPRINT_LO"),
                offset("FINGERPRINT_HI")
            ],
            [0, 4, 8, 12]
        );
        for (i, c) in COUNTERS.iter().enumerate() {
            let lo = alloc::format!("{c}_LO");
            assert_eq!(offset(&lo), COUNTERS_BASE + 8 * i as u32);
        }
    }
}
