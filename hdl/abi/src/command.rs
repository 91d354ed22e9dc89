//! The command descriptor, its completion record and the status codes.

use crate::layout::Storage;

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// One MoE layer over T tokens: route, run the chosen experts, combine.
    MoeLayer = 1,
    /// One dense layer over T tokens: y = W x, `f` outputs from `d` inputs.
    Linear = 2,
    /// Tells which experts to prefetch while nothing else is to be read; complete at once.
    Prefetch = 3,
}

/// Where a command's routes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Source {
    /// The router on the card.
    #[default]
    Router = 0,
    /// The routes array, written by the host: k entries per token, expert 0xFFFF for none.
    Host = 1,
    /// Every token goes to expert 0 with weight 1.
    All = 2,
}

/// How logits become scores (`docs/formats.md`, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Score {
    /// Softmax over all experts.
    #[default]
    Softmax = 0,
    /// Sigmoid of each.
    Sigmoid = 1,
    /// The logits themselves choose; the weights are a softmax over the chosen.
    Identity = 2,
    /// sparsemixer (Phi-3.5-MoE), k = 2.
    Sparsemixer = 3,
}

/// The function of an expert's hidden layer (`docs/formats.md`, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Activation {
    /// x * sigmoid(x).
    #[default]
    Silu = 0,
    /// Exact GELU (erf).
    Gelu = 1,
    /// GELU, tanh approximation.
    GeluTanh = 2,
    /// max(x, 0).
    Relu = 3,
    /// max(x, 0)^2.
    Relu2 = 4,
    /// gpt-oss: gate clamped above at 7, up to +-7, (up + 1) * gate * sigmoid(1.702 gate). Gated only.
    Clamped = 5,
}

impl Activation {
    /// All, in the order of their numbers.
    pub const ALL: [Activation; 6] = [
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Relu,
        Activation::Relu2,
        Activation::Clamped,
    ];
}

/// How the next experts are guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Predict {
    /// No prefetch.
    #[default]
    None = 0,
    /// By the circular table: the chosen experts of this layer's last token to the experts of the next layer.
    Table = 1,
    /// By the descriptor's hints.
    Hints = 2,
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
pub const COMMAND_BEATS: usize = 7;

/// The fields, their order and places: the struct, its bytes and the generated pages come from this list.
macro_rules! descriptor {
    ($($name:ident $ty:ident $offset:literal $doc:literal,)*) => {
        /// Fields of the command descriptor.
        pub const COMMAND_FIELDS: [Field; [$($offset),*].len()] = [
            $(field(stringify!($name), $offset, core::mem::size_of::<$ty>(), $doc),)*
        ];

        /// A command descriptor, field by field as in [`COMMAND_FIELDS`].
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Command {
            $(#[doc = $doc] pub $name: $ty,)*
        }

        impl Command {
            /// The descriptor's bytes, filled with zeros up to the ring stride.
            pub fn to_bytes(&self) -> [u8; COMMAND_STRIDE as usize] {
                let mut out = [0; COMMAND_STRIDE as usize];
                $(out[$offset..$offset + core::mem::size_of::<$ty>()].copy_from_slice(&self.$name.to_le_bytes());)*
                out
            }

            /// The command in `bytes` (at least `COMMAND_BEATS` beats). Any bit pattern is a command; `check` judges it.
            pub fn from_bytes(bytes: &[u8]) -> Command {
                Command {
                    $($name: {
                        let mut word = [0; core::mem::size_of::<$ty>()];
                        word.copy_from_slice(&bytes[$offset..$offset + core::mem::size_of::<$ty>()]);
                        $ty::from_le_bytes(word)
                    },)*
                }
            }
        }
    };
}

descriptor! {
    opcode u8 0 "1 = MoE layer, 2 = dense layer, 3 = prefetch.",
    flags u8 1 "bit 0: raise irq when done; bit 1: keep the sums of the command before (y accumulates); bit 2: leave the sums in the engine, write no y; others zero.",
    tag u16 2 "Returned in the completion record.",
    tokens u16 4 "T, 1 to tokens_max.",
    d u16 6 "Model width, 1 to d_max; a multiple of M with N:M weights.",
    f u16 8 "Expert width, 1 to f_max, a multiple of M with N:M weights; or outputs of a dense layer, 1 to d_max.",
    experts u16 10 "E, 1 to experts_max.",
    topk u8 12 "k, 1 to 8 and at most E.",
    storage u8 13 "Storage of the experts' weights: format [1:0] (int8, int4, FP4), sparsity [4:2] (dense, 4:8, 2:4, 1:4, 1:8), paired [5], bias [6].",
    lsb_y i16 14 "Signed exponent of y's LSB, -200 to 200.",
    x_addr u64 16 "x: T rows of d binary32.",
    y_addr u64 24 "y: T rows of int32, written by the engine.",
    route_addr u64 32 "routes: T x 64 bytes, written by the engine, or by the host where it chooses.",
    done_addr u64 40 "Completion record, 16 bytes, written last.",
    router_addr u64 48 "Router image of task 0.",
    experts_addr u64 56 "Image of expert 0, or of a dense layer.",
    expert_stride u32 64 "Bytes between two experts' images.",
    task_stride u32 68 "Bytes between the router images of two tasks; register TASK chooses.",
    activation u8 72 "Function [2:0] (SiLU, GELU, GELU-tanh, ReLU, ReLU squared, clamped); [3]: un-gated experts of two matrices.",
    routing u8 73 "Source [1:0] (router, host, all); score [3:2] (softmax, sigmoid, identity, sparsemixer); [4] renormalise; [5] the router image has choice biases; [6] a group's score is the sum of its two best, not its best; [7] the router's rows have a bias block.",
    groups u8 74 "Expert groups for group-limited choice: 0 or 1 for none, or a divisor of E of at most 16 (groups of at least two where [6] of routing is set).",
    groups_kept u8 75 "Groups that may be chosen from, 1 to groups; E / groups * groups_kept at least k.",
    route_scale u16 76 "Factor on the router's weights, Q4.12; 4096 is one.",
    window_words u16 78 "Words of a loader slot to use, at most slot_words and at least those of one group.",
    next_addr u64 80 "Image of expert 0 of the layer for which to prefetch; its experts are stored as this command's. A write into a 4 KiB page that holds any of them ends the prefetch.",
    layer u8 88 "Row of the prediction table, below layers_max.",
    predict u8 89 "0 = none, 1 = table, 2 = hints.",
    guesses u8 90 "Experts to prefetch at most, up to 8 and the number of slots.",
    reserved u8 91 "Zero.",
    jitter u16 92 "Twice the threshold of sparsemixer, Q0.16.",
    reserved2 u16 94 "Zero.",
    hints u64 96 "Guessed experts, one byte each, best first.",
}

/// Flag bit: raise the interrupt when the command is done.
pub const FLAG_IRQ: u8 = 1;
/// Flag bit: the sums go on from those of the command before.
pub const FLAG_KEEP_SUMS: u8 = 2;
/// Flag bit: no y is written; the sums stay for a command with [`FLAG_KEEP_SUMS`].
pub const FLAG_NO_Y: u8 = 4;

/// Bit of `routing`: renormalise the k weights.
pub const ROUTING_RENORMALISE: u8 = 1 << 4;
/// Bit of `routing`: the image holds biases for the choice.
pub const ROUTING_CHOICE_BIAS: u8 = 1 << 5;
/// Bit of `routing`: a group is judged by the sum of its two best.
pub const ROUTING_GROUP_SUM2: u8 = 1 << 6;
/// Bit of `routing`: the router's rows have a bias block.
pub const ROUTING_BIAS: u8 = 1 << 7;
/// Bit of `activation`: un-gated.
pub const ACTIVATION_UNGATED: u8 = 1 << 3;
/// `route_scale` of one.
pub const ROUTE_SCALE_ONE: u16 = 4096;
/// The expert of an empty entry in routes written by the host.
pub const NO_EXPERT: u32 = 0xFFFF;

impl Command {
    /// The opcode, if it is one.
    pub fn opcode(&self) -> Option<Opcode> {
        [Opcode::MoeLayer, Opcode::Linear, Opcode::Prefetch]
            .into_iter()
            .find(|o| *o as u8 == self.opcode)
    }
    /// The storage of the expert matrices, if the byte means one.
    pub fn storage(&self) -> Option<Storage> {
        Storage::from_code(self.storage)
    }
    /// Where the routes come from, if the bits mean anything.
    pub fn source(&self) -> Option<Source> {
        [Source::Router, Source::Host, Source::All]
            .get(usize::from(self.routing & 3))
            .copied()
    }
    /// The score function.
    pub fn score(&self) -> Score {
        [
            Score::Softmax,
            Score::Sigmoid,
            Score::Identity,
            Score::Sparsemixer,
        ][usize::from(self.routing >> 2 & 3)]
    }
    /// The activation, if the bits mean one.
    pub fn activation(&self) -> Option<Activation> {
        Activation::ALL
            .get(usize::from(self.activation & 7))
            .copied()
    }
    /// Experts of gate, up and down (true), or of two matrices.
    pub fn gated(&self) -> bool {
        self.activation & ACTIVATION_UNGATED == 0
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
    /// A storage, activation, score or source that has no meaning or that the configuration lacks.
    BadMode = 2,
    /// A dimension is zero or beyond the configuration, or does not go with another.
    BadSize = 3,
    /// An address or a stride is not a multiple of 64.
    BadAlign = 4,
    /// `window_words` is larger than a slot or smaller than one group.
    BadWindow = 5,
    /// A read of card memory was answered with an error.
    ReadError = 6,
    /// A write to card memory was answered with an error.
    WriteError = 7,
    /// An image's header beat has no magic number.
    BadImage = 8,
    /// A choice handed in by the host names an expert beyond E (it is left out).
    BadRoute = 9,
    /// x holds an infinity or a NaN (taken as zero).
    NonFinite = 10,
}

/// All status codes with their sentence.
pub const STATUSES: [(Status, &str); 11] = [
    (Status::Ok, "done"),
    (
        Status::BadOpcode,
        "the opcode or a flag is not known to this engine",
    ),
    (
        Status::BadMode,
        "a storage, activation, score or source of the command has no meaning or is not built into this engine",
    ),
    (
        Status::BadSize,
        "a dimension of the command is zero, beyond the engine's configuration, or does not go with another",
    ),
    (
        Status::BadAlign,
        "an address or a stride is not a multiple of 64 below 2^40",
    ),
    (
        Status::BadWindow,
        "window_words is larger than a slot or smaller than one group of weights",
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
        Status::BadRoute,
        "a choice handed in by the host names an expert that the layer does not have",
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
    /// The record's words of 32 bits, in their order.
    pub const WORDS: [&'static str; 4] = ["sequence", "status", "tag", "cycles"];

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
        let mut c = Command::from_bytes(&[0xA5; 128]);
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
