//! The command descriptor, its completion record and the status codes.

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// One MoE layer over T tokens: route, run the chosen experts, combine.
    MoeLayer = 1,
}

/// One field of a descriptor: name, byte offset, bytes, meaning. Generated pages and the RTL's slicing use this table.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name as in [`Command`].
    pub name: &'static str,
    /// Byte offset in the descriptor.
    pub offset: usize,
    /// Size in bytes.
    pub bytes: usize,
    /// One sentence of meaning.
    pub doc: &'static str,
}

const fn field(name: &'static str, offset: usize, bytes: usize, doc: &'static str) -> Field {
    Field {
        name,
        offset,
        bytes,
        doc,
    }
}

/// Distance in bytes of two descriptors in the ring.
pub const COMMAND_STRIDE: u64 = 128;
/// Beats of a descriptor that the engine reads.
pub const COMMAND_BEATS: usize = 5;

/// Fields of the command descriptor.
pub const COMMAND_FIELDS: [Field; 19] = [
    field("opcode", 0, 1, "1 = MoE layer."),
    field("flags", 1, 1, "bit 0: renormalise the k weights; bit 1: expert weights are 2:4; bit 2: raise irq when done; others zero."),
    field("tag", 2, 2, "Returned in the completion record."),
    field("tokens", 4, 2, "T, 1 to tokens_max."),
    field("d", 6, 2, "Model width, 1 to d_max; a multiple of 4 with 2:4 weights."),
    field("f", 8, 2, "Expert width, 1 to f_max; a multiple of 4 with 2:4 weights."),
    field("experts", 10, 2, "E, 1 to experts_max."),
    field("topk", 12, 2, "k, 1 to 8 and at most E."),
    field("lsb_y", 14, 2, "Signed exponent of y's LSB, -200 to 200."),
    field("x_addr", 16, 8, "x: T rows of d binary32."),
    field("y_addr", 24, 8, "y: T rows of d int32, written by the engine."),
    field("route_addr", 32, 8, "routes: T x 64 bytes, written by the engine."),
    field("done_addr", 40, 8, "Completion record, 16 bytes, written last."),
    field("router_addr", 48, 8, "Router image."),
    field("experts_addr", 56, 8, "Image of expert 0."),
    field("expert_stride", 64, 4, "Bytes between two experts' images."),
    field("window_router", 68, 2, "Router groups per loader slot."),
    field("window_gate_up", 70, 2, "Gate and up groups per loader slot; even."),
    field("window_down", 72, 2, "Down groups per loader slot."),
];

/// Flag bit: renormalise the k weights.
pub const FLAG_RENORMALISE: u8 = 1;
/// Flag bit: expert weights are 2:4.
pub const FLAG_TWO_OF_FOUR: u8 = 2;
/// Flag bit: raise the interrupt when the command is done.
pub const FLAG_IRQ: u8 = 4;

/// A command descriptor, field by field as in [`COMMAND_FIELDS`].
#[allow(missing_docs)] // each field's meaning stands once, in COMMAND_FIELDS
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Command {
    pub opcode: u8,
    pub flags: u8,
    pub tag: u16,
    pub tokens: u16,
    pub d: u16,
    pub f: u16,
    pub experts: u16,
    pub topk: u16,
    pub lsb_y: i16,
    pub x_addr: u64,
    pub y_addr: u64,
    pub route_addr: u64,
    pub done_addr: u64,
    pub router_addr: u64,
    pub experts_addr: u64,
    pub expert_stride: u32,
    pub window_router: u16,
    pub window_gate_up: u16,
    pub window_down: u16,
}

impl Command {
    fn values(&self) -> [u64; COMMAND_FIELDS.len()] {
        [
            self.opcode.into(),
            self.flags.into(),
            self.tag.into(),
            self.tokens.into(),
            self.d.into(),
            self.f.into(),
            self.experts.into(),
            self.topk.into(),
            u64::from(self.lsb_y as u16),
            self.x_addr,
            self.y_addr,
            self.route_addr,
            self.done_addr,
            self.router_addr,
            self.experts_addr,
            self.expert_stride.into(),
            self.window_router.into(),
            self.window_gate_up.into(),
            self.window_down.into(),
        ]
    }

    /// The descriptor's bytes, filled with zeros up to the ring stride.
    pub fn to_bytes(&self) -> [u8; COMMAND_STRIDE as usize] {
        let mut out = [0; COMMAND_STRIDE as usize];
        for (f, v) in COMMAND_FIELDS.iter().zip(self.values()) {
            out[f.offset..f.offset + f.bytes].copy_from_slice(&v.to_le_bytes()[..f.bytes]);
        }
        out
    }

    /// The command in `bytes` (at least `COMMAND_BEATS` beats). Any bit pattern is a command; `check` judges it.
    pub fn from_bytes(bytes: &[u8]) -> Command {
        let mut v = [0u64; COMMAND_FIELDS.len()];
        for (f, v) in COMMAND_FIELDS.iter().zip(&mut v) {
            let mut word = [0; 8];
            word[..f.bytes].copy_from_slice(&bytes[f.offset..f.offset + f.bytes]);
            *v = u64::from_le_bytes(word);
        }
        Command {
            opcode: v[0] as u8,
            flags: v[1] as u8,
            tag: v[2] as u16,
            tokens: v[3] as u16,
            d: v[4] as u16,
            f: v[5] as u16,
            experts: v[6] as u16,
            topk: v[7] as u16,
            lsb_y: v[8] as i16,
            x_addr: v[9],
            y_addr: v[10],
            route_addr: v[11],
            done_addr: v[12],
            router_addr: v[13],
            experts_addr: v[14],
            expert_stride: v[15] as u32,
            window_router: v[16] as u16,
            window_gate_up: v[17] as u16,
            window_down: v[18] as u16,
        }
    }
}

/// Status codes of a command, in the completion record and the LAST_STATUS register. If several apply, the lowest is reported;
/// that the record itself could not be written shows only where the status was OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// The opcode or a flag is not known.
    BadOpcode = 1,
    /// T, d, f, E, k or lsb_y is zero or beyond the configuration.
    BadSize = 2,
    /// An address or the stride is not a multiple of 64.
    BadAlign = 3,
    /// A window is zero, odd where pairs are needed, or larger than a slot.
    BadWindow = 4,
    /// A read of card memory was answered with an error.
    ReadError = 5,
    /// A write to card memory was answered with an error.
    WriteError = 6,
    /// An image's header beat has no magic number.
    BadImage = 7,
    /// x holds an infinity or a NaN (taken as zero).
    NonFinite = 8,
}

/// All status codes with their sentence.
pub const STATUSES: [(Status, &str); 9] = [
    (Status::Ok, "done"),
    (
        Status::BadOpcode,
        "the opcode or a flag is not known to this engine",
    ),
    (
        Status::BadSize,
        "a dimension of the command is zero or beyond the engine's configuration",
    ),
    (
        Status::BadAlign,
        "an address or the expert stride is not a multiple of 64",
    ),
    (
        Status::BadWindow,
        "a loader window is zero, odd where gate and up pairs are needed, or larger than a slot",
    ),
    (
        Status::ReadError,
        "card memory answered a read with an error",
    ),
    (
        Status::WriteError,
        "card memory answered a write with an error",
    ),
    (
        Status::BadImage,
        "a weight image in card memory has no header (wrong address or damaged memory)",
    ),
    (
        Status::NonFinite,
        "the input vector holds an infinity or a NaN",
    ),
];

impl Status {
    /// The status with this number.
    pub fn from_code(code: u32) -> Option<Status> {
        STATUSES.iter().map(|(s, _)| *s).find(|s| *s as u32 == code)
    }
    /// One sentence for people.
    pub fn sentence(self) -> &'static str {
        STATUSES[self as usize].1
    }
}

/// The completion record: one beat at `done_addr`, written after all other results of the command are in memory.
/// A refused command writes only its record; none is written if the descriptor could not be read or `done_addr` itself is
/// not a multiple of 64 below 2^40.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// The command's number since reset: the DONE_COUNT register after it.
    pub sequence: u32,
    /// A [`Status`] code.
    pub status: u32,
    /// The command's tag, zero-extended.
    pub tag: u32,
    /// Cycles from descriptor fetch to this record.
    pub cycles: u32,
}

impl Completion {
    /// The record in its 16 bytes.
    pub fn from_bytes(b: &[u8; 16]) -> Completion {
        let word =
            |i: usize| u32::from_le_bytes([b[4 * i], b[4 * i + 1], b[4 * i + 2], b[4 * i + 3]]);
        Completion {
            sequence: word(0),
            status: word(1),
            tag: word(2),
            cycles: word(3),
        }
    }
    /// The 16 bytes of the record.
    pub fn to_bytes(&self) -> [u8; 16] {
        let mut out = [0; 16];
        for (i, w) in [self.sequence, self.status, self.tag, self.cycles]
            .into_iter()
            .enumerate()
        {
            out[4 * i..4 * i + 4].copy_from_slice(&w.to_le_bytes());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_survives_its_bytes() {
        let mut c = Command::from_bytes(&[0xA5; 80]);
        c.lsb_y = -20;
        c.tokens = 3;
        assert_eq!(Command::from_bytes(&c.to_bytes()), c);
    }

    #[test]
    fn fields_do_not_overlap_and_fit_the_beats() {
        let mut end = 0;
        for f in COMMAND_FIELDS {
            assert_eq!(f.offset, end, "{}", f.name);
            assert_eq!(f.offset % f.bytes, 0, "{} is aligned", f.name);
            end = f.offset + f.bytes;
        }
        assert!(end <= COMMAND_BEATS * crate::BEAT);
    }

    #[test]
    fn statuses_are_numbered_in_order() {
        for (i, (s, _)) in STATUSES.iter().enumerate() {
            assert_eq!(*s as usize, i);
            assert_eq!(Status::from_code(i as u32), Some(*s));
        }
        assert_eq!(Status::from_code(99), None);
    }
}
