//! Layout of matrices and images in card memory (`docs/formats.md`, section 7).

use crate::config::{LANES, LANE_WIDTH};
use crate::{BEAT, BLOCK};

/// How a weight is coded. The numbers are those of the descriptor and of the RTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// Two's complement, 8 bits.
    #[default]
    Int8 = 0,
    /// Two's complement, 4 bits.
    Int4 = 1,
    /// E2M1: sign, two exponent bits, one mantissa bit; read as the integer of twice its value.
    Fp4 = 2,
}

/// How many of M consecutive inputs are stored. The numbers are those of the descriptor and of the RTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sparsity {
    /// Every weight.
    #[default]
    Dense = 0,
    /// Four of eight.
    FourOfEight = 1,
    /// Two of four.
    TwoOfFour = 2,
    /// One of four.
    OneOfFour = 3,
    /// One of eight.
    OneOfEight = 4,
}

impl Format {
    /// All, in the order of their numbers.
    pub const ALL: [Format; 3] = [Format::Int8, Format::Int4, Format::Fp4];
    /// Bits of a value.
    pub const fn bits(self) -> usize {
        match self {
            Format::Int8 => 8,
            Format::Int4 | Format::Fp4 => 4,
        }
    }
    /// The format with this number.
    pub fn from_code(code: u8) -> Option<Format> {
        Format::ALL.get(usize::from(code)).copied()
    }
}

impl Sparsity {
    /// All, in the order of their numbers.
    pub const ALL: [Sparsity; 5] = [
        Sparsity::Dense,
        Sparsity::FourOfEight,
        Sparsity::TwoOfFour,
        Sparsity::OneOfFour,
        Sparsity::OneOfEight,
    ];
    /// N and M: N of each M consecutive inputs are stored.
    pub const fn ratio(self) -> (usize, usize) {
        match self {
            Sparsity::Dense => (1, 1),
            Sparsity::FourOfEight => (4, 8),
            Sparsity::TwoOfFour => (2, 4),
            Sparsity::OneOfFour => (1, 4),
            Sparsity::OneOfEight => (1, 8),
        }
    }
    /// Values stored per block and row.
    pub const fn kept(self) -> usize {
        let (n, m) = self.ratio();
        BLOCK * n / m
    }
    /// Passes over a block: in each, every multiplier of a lane takes one value of its own chunk of inputs.
    pub const fn passes(self) -> usize {
        match self {
            Sparsity::Dense => 4,
            Sparsity::FourOfEight | Sparsity::TwoOfFour => 2,
            Sparsity::OneOfFour | Sparsity::OneOfEight => 1,
        }
    }
    /// Values of one pass in memory: 1:8 uses every second multiplier.
    pub const fn pass_values(self) -> usize {
        match self {
            Sparsity::OneOfEight => LANE_WIDTH / 2,
            _ => LANE_WIDTH,
        }
    }
    /// Bits of positions of one lane and pass: 0, eight of 2 bits, eight or four of 4 bits.
    pub const fn position_bits(self) -> usize {
        match self {
            Sparsity::Dense => 0,
            Sparsity::TwoOfFour | Sparsity::OneOfFour | Sparsity::OneOfEight => 16,
            Sparsity::FourOfEight => 32,
        }
    }
    /// The sparsity with this number.
    pub fn from_code(code: u8) -> Option<Sparsity> {
        Sparsity::ALL.get(usize::from(code)).copied()
    }
    /// The name on command lines: `dense`, `4:8`, ...
    pub const fn name(self) -> &'static str {
        match self {
            Sparsity::Dense => "dense",
            Sparsity::FourOfEight => "4:8",
            Sparsity::TwoOfFour => "2:4",
            Sparsity::OneOfFour => "1:4",
            Sparsity::OneOfEight => "1:8",
        }
    }
}

/// How the matrices of an image are stored; one byte of the descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Storage {
    /// Coding of a value.
    pub format: Format,
    /// Structure.
    pub sparsity: Sparsity,
    /// Each lane holds two rows that share positions and multiplier inputs (4-bit formats, dense, 2:4 or 4:8).
    pub paired: bool,
    /// Every row has one more block, to be multiplied with ones: its bias.
    pub bias: bool,
}

impl Storage {
    /// int8, dense, no bias: the router's, but for its bias.
    pub const INT8: Storage = Storage {
        format: Format::Int8,
        sparsity: Sparsity::Dense,
        paired: false,
        bias: false,
    };
    /// The descriptor's byte: format [1:0], sparsity [4:2], paired [5], bias [6].
    pub const fn code(self) -> u8 {
        self.format as u8
            | (self.sparsity as u8) << 2
            | (self.paired as u8) << 5
            | (self.bias as u8) << 6
    }
    /// The storage that a descriptor's byte means; `None` if it means none.
    pub fn from_code(code: u8) -> Option<Storage> {
        let storage = Storage {
            format: Format::from_code(code & 3)?,
            sparsity: Sparsity::from_code(code >> 2 & 7)?,
            paired: code >> 5 & 1 == 1,
            bias: code >> 6 & 1 == 1,
        };
        let pairable = storage.format != Format::Int8 && storage.sparsity.passes() >= 2;
        (code >> 7 == 0 && (!storage.paired || pairable)).then_some(storage)
    }
    /// Rows of a lane.
    pub const fn lane_rows(self) -> usize {
        1 + self.paired as usize
    }
    /// Bits of one lane's values in one pass: 16, 32 or 64.
    pub const fn granule_bits(self) -> usize {
        self.sparsity.pass_values() * self.format.bits() * self.lane_rows()
    }
}

/// Which linear layer a slot's groups belong to. The numbers are those in the RTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Router rows: `hi` limbs, then `lo` limbs.
    Router = 0,
    /// Rows that make the hidden vector: gate and up, or of an un-gated expert one row per element.
    Hidden = 1,
    /// Down rows.
    Down = 2,
    /// Rows of a plain dense layer.
    Plain = 3,
}

/// Address bits of `s_axi` and `m_axi`.
pub const ADDR_BITS: usize = 40;
/// ID bits of `s_axi`; `m_axi` has two more, above, that tell command, loader, output and host traffic apart.
pub const ID_BITS: usize = 4;
/// Address bits of `s_axil`.
pub const AXIL_ADDR_BITS: usize = 12;

/// Magic number of an image's header beat.
pub const IMAGE_MAGIC: u16 = 0x4D45;
/// Bytes of a scale, value and position word of a slot.
pub const SCALE_WORD: usize = LANES * 2;
/// See [`SCALE_WORD`].
pub const VALUE_WORD: usize = LANES * 8;
/// See [`SCALE_WORD`].
pub const POSITION_WORD: usize = LANES * 4;

/// The rows of one section of an image, which the array works through as groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Outputs: rows of one matrix. (Gate and up have as many each.)
    pub rows: usize,
    /// Two matrices, gate and up, side by side.
    pub gated: bool,
    /// Inputs K, without the bias.
    pub inputs: usize,
    /// Storage of the values.
    pub storage: Storage,
}

/// Where a lane's row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneRow {
    /// 0: the matrix, or gate; 1: up.
    pub matrix: usize,
    /// Its row; at or beyond `rows` it is filling.
    pub row: usize,
}

impl Section {
    /// Blocks of 32 inputs per row, the last one perhaps partial, without the bias.
    pub const fn blocks(&self) -> usize {
        self.inputs.div_ceil(BLOCK)
    }
    /// Blocks of a row in memory: with the bias.
    pub const fn stored_blocks(&self) -> usize {
        self.blocks() + self.storage.bias as usize
    }
    /// Outputs of a group: hidden elements, or rows.
    pub const fn group_rows(&self) -> usize {
        LANES * self.storage.lane_rows() / (1 + self.gated as usize)
    }
    /// Groups of the section.
    pub const fn groups(&self) -> usize {
        self.rows.div_ceil(self.group_rows())
    }
    /// The row of lane `lane`, `second` row of a pair or not, in group `group`.
    pub const fn lane_row(&self, group: usize, lane: usize, second: bool) -> LaneRow {
        let base = group * self.group_rows();
        match (self.gated, self.storage.paired) {
            // gate and up of one element in neighbouring lanes
            (true, false) => LaneRow {
                matrix: lane % 2,
                row: base + lane / 2,
            },
            // gate and up of one element in one lane
            (true, true) => LaneRow {
                matrix: second as usize,
                row: base + lane,
            },
            (false, _) => LaneRow {
                matrix: 0,
                row: base + lane + LANES * second as usize,
            },
        }
    }
    /// Words of scales of a group.
    pub const fn scale_words(&self) -> usize {
        self.stored_blocks() * self.storage.lane_rows()
    }
    /// Words of positions of a group.
    pub const fn position_words(&self) -> usize {
        let s = self.storage.sparsity;
        (self.stored_blocks() * s.passes() * s.position_bits()).div_ceil(32)
    }
    /// Words of values of a group.
    pub const fn value_words(&self) -> usize {
        (self.stored_blocks() * self.storage.sparsity.passes() * self.storage.granule_bits())
            .div_ceil(64)
    }
    /// Words that a group takes in each bank of a slot.
    pub const fn group_words(&self) -> usize {
        let (s, p, v) = (
            self.scale_words(),
            self.position_words(),
            self.value_words(),
        );
        let sp = if s > p { s } else { p };
        if sp > v {
            sp
        } else {
            v
        }
    }
    /// Bytes of one group record: scales, positions, values.
    pub const fn group_bytes(&self) -> usize {
        self.scale_words() * SCALE_WORD
            + self.position_words() * POSITION_WORD
            + self.value_words() * VALUE_WORD
    }
    /// Bytes of all group records.
    pub const fn bytes(&self) -> usize {
        self.groups() * self.group_bytes()
    }
    /// Structurally present weights of one row, bias not counted.
    pub const fn row_weights(&self) -> usize {
        let (n, m) = self.storage.sparsity.ratio();
        self.inputs * n / m
    }
    /// Structurally present weights.
    pub const fn nonzeros(&self) -> usize {
        self.rows * (1 + self.gated as usize) * self.row_weights()
    }
    /// Bytes that must move at least: values, positions, scales and biases (4 bytes a row) without any filling (the first
    /// cycle law's `bytes`). A position takes 2 bits within four inputs and 3 within eight.
    pub const fn unpadded_bytes(&self) -> usize {
        let position_bits = match self.storage.sparsity {
            Sparsity::Dense => 0,
            Sparsity::TwoOfFour | Sparsity::OneOfFour => 2,
            Sparsity::FourOfEight | Sparsity::OneOfEight => 3,
        };
        let positions = self.nonzeros() * position_bits / self.storage.lane_rows();
        let rows = self.rows * (1 + self.gated as usize);
        let biases = if self.storage.bias { 4 * rows } else { 0 };
        (self.nonzeros() * self.storage.format.bits() + positions).div_ceil(8)
            + rows * self.blocks() * 2
            + biases
    }
}

/// The router's section: 2E rows of limbs (E counts a shared expert's gate row too).
pub const fn router_section(d: usize, experts: usize, bias: bool) -> Section {
    Section {
        rows: 2 * experts,
        gated: false,
        inputs: d,
        storage: Storage {
            bias,
            ..Storage::INT8
        },
    }
}

/// The section that makes the hidden vector: f elements from d inputs.
pub const fn hidden_section(d: usize, f: usize, gated: bool, storage: Storage) -> Section {
    Section {
        rows: f,
        gated,
        inputs: d,
        storage,
    }
}

/// The section of down: d rows, f inputs.
pub const fn down_section(d: usize, f: usize, storage: Storage) -> Section {
    Section {
        rows: d,
        gated: false,
        inputs: f,
        storage,
    }
}

/// The section of a plain dense layer: f outputs from d inputs.
pub const fn plain_section(d: usize, f: usize, storage: Storage) -> Section {
    Section {
        rows: f,
        gated: false,
        inputs: d,
        storage,
    }
}

/// Bytes of an expert's image, header included.
pub const fn expert_bytes(d: usize, f: usize, gated: bool, storage: Storage) -> usize {
    BEAT + hidden_section(d, f, gated, storage).bytes() + down_section(d, f, storage).bytes()
}

/// Bytes of a plain layer's image, header included.
pub const fn plain_bytes(d: usize, f: usize, storage: Storage) -> usize {
    BEAT + plain_section(d, f, storage).bytes()
}

/// Bytes of a router's image: header, group records, then if `choice_bias` one int32 (Q7.24) per expert in whole beats.
pub const fn router_bytes(d: usize, experts: usize, bias: bool, choice_bias: bool) -> usize {
    let tail = if choice_bias {
        experts.div_ceil(4) * BEAT
    } else {
        0
    };
    BEAT + router_section(d, experts, bias).bytes() + tail
}

/// Words of a slot that loader windows should use so that an image's windows are about equal: the fewest windows of which each
/// fits `slot_words`, with whole groups. While a short last window arrives the array is still busy with the long one before
/// it, and the bus would wait for a slot.
pub const fn level_words(sections: &[Section], slot_words: usize) -> usize {
    let (mut total, mut largest, mut i) = (0, 1, 0);
    while i < sections.len() {
        let words = sections[i].group_words();
        total += sections[i].groups() * words;
        if words > largest {
            largest = words;
        }
        i += 1;
    }
    let windows = total.div_ceil(slot_words);
    let level = if windows == 0 {
        largest
    } else {
        total.div_ceil(windows) + largest
    };
    if level < slot_words {
        level
    } else {
        slot_words
    }
}

/// Words of a slot that a command over `tokens` tokens should use ([`level_words`] says why they are about equal). One token wants
/// large windows, because a prefetch fills one; several want small ones: the first window is computed no faster than it
/// arrives, and of the last one all vectors but the first are computed after the last byte has come.
pub const fn window_words(sections: &[Section], slot_words: usize, tokens: usize) -> usize {
    if tokens == 1 {
        return level_words(sections, slot_words);
    }
    let (mut total, mut two, mut i) = (0, 1, 0);
    while i < sections.len() {
        let words = sections[i].group_words();
        total += sections[i].groups() * words;
        if 2 * words > two {
            two = 2 * words;
        }
        i += 1;
    }
    // A part of the whole and of a slot, at least two groups; every change of the vector costs a few cycles per window, so the
    // more vectors the larger the part. The divisors are measured (`make bench`).
    let (of_whole, of_slot) = if tokens <= 8 {
        (32, 16)
    } else if tokens <= 64 {
        (32, 8)
    } else {
        (4, 2)
    };
    let part = if total / of_whole < slot_words / of_slot {
        total / of_whole
    } else {
        slot_words / of_slot
    };
    let small = if part > two { part } else { two };
    level_words(
        sections,
        if small < slot_words {
            small
        } else {
            slot_words
        },
    )
}

/// Bytes of the pages by which the engine watches writes into experts that it may have prefetched: what is written while commands
/// run stands in other pages than experts, or guesses are given up.
pub const WATCHED_PAGE: u64 = 4096;

/// Bytes of one row of x or y: whole beats of four 32-bit values.
pub const fn row_bytes(d: usize) -> usize {
    d.div_ceil(4) * BEAT
}

/// Bytes of one token's entry in the routes array.
pub const ROUTE_BYTES: usize = crate::TOPK_MAX * 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_a_known_shape() {
        let m = hidden_section(192, 256, true, Storage::INT8);
        assert_eq!(
            (m.blocks(), m.groups(), m.scale_words(), m.value_words()),
            (6, 64, 6, 24)
        );
        assert_eq!(
            (m.position_words(), m.group_words(), m.group_bytes()),
            (0, 24, 6 * 16 + 24 * 64)
        );
        let sparse = |format, sparsity, paired, bias| {
            let s = Storage {
                format,
                sparsity,
                paired,
                bias,
            };
            let d = down_section(192, 256, s);
            (
                d.groups(),
                d.scale_words(),
                d.position_words(),
                d.value_words(),
            )
        };
        use Format::*;
        use Sparsity::*;
        assert_eq!(sparse(Int8, TwoOfFour, false, false), (24, 8, 8, 16));
        assert_eq!(sparse(Int8, OneOfFour, false, true), (24, 9, 5, 9));
        assert_eq!(sparse(Int4, OneOfFour, false, true), (24, 9, 5, 5));
        assert_eq!(sparse(Int4, Dense, true, false), (12, 16, 0, 32));
        assert_eq!(sparse(Fp4, FourOfEight, true, false), (12, 16, 16, 16));
        assert_eq!(sparse(Fp4, OneOfEight, false, false), (24, 8, 4, 2));
    }

    #[test]
    fn storage_survives_its_code() {
        let mut known = 0;
        for code in 0..=255u8 {
            if let Some(s) = Storage::from_code(code) {
                assert_eq!(s.code(), code);
                known += 1;
            }
        }
        assert_eq!(known, (3 * 5 + 2 * 3) * 2);
    }

    #[test]
    fn every_row_has_one_place() {
        for storage in [
            Storage::INT8,
            Storage {
                format: Format::Int4,
                paired: true,
                ..Storage::INT8
            },
        ] {
            for gated in [false, true] {
                let s = Section {
                    rows: 37,
                    gated,
                    inputs: 32,
                    storage,
                };
                let mut seen = [[0; 37]; 2];
                for group in 0..s.groups() {
                    for lane in 0..LANES {
                        for second in 0..storage.lane_rows() {
                            let at = s.lane_row(group, lane, second == 1);
                            if at.row < 37 {
                                seen[at.matrix][at.row] += 1;
                            }
                        }
                    }
                }
                assert_eq!(seen[0], [1; 37]);
                assert_eq!(seen[1], [i32::from(gated); 37]);
            }
        }
    }

    #[test]
    fn windows_are_level() {
        let s = [
            hidden_section(192, 384, true, Storage::INT8),
            down_section(192, 384, Storage::INT8),
        ];
        let words = level_words(&s, 1024);
        assert!((900..=1024).contains(&words), "{words}");
        assert_eq!(level_words(&s, 1 << 20), 96 * 24 + 24 * 48 + 48);
        assert_eq!(window_words(&s, 1024, 1), words);
        let small = window_words(&s, 1024, 2);
        assert!((96..=192).contains(&small), "{small}");
        assert_eq!(window_words(&s, 40, 2), 40);
    }
}
