//! One lane's values and positions of a beat, as its multipliers want them.
//!
//! What: cuts the granule out of the lane's 64 bits and gives each multiplier its byte, and each its nibble of position. Only wires and
//! multiplexers; the storage forms are those of `docs/formats.md` section 7. An engine without 4-bit formats and octets has only the
//! choice between the two halves of the positions. Latency: none.

use abi::config::Modes;
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Granule {
    /// The lane's part of the word of values.
    pub word: Signal<In, Bits<64>>,
    /// Which 16 bits of it the granule begins with.
    pub part: Signal<In, Bits<2>>,
    /// Values have 4 bits.
    pub nibbles: Signal<In, Bit>,
    /// Two rows.
    pub twofold: Signal<In, Bit>,
    /// 1:8: only even multipliers have values.
    pub eighth: Signal<In, Bit>,
    /// 4:8: 32 bits of positions.
    pub quads: Signal<In, Bit>,
    /// The lane's part of the word of positions.
    pub index: Signal<In, Bits<32>>,
    /// Dense: there are no positions; every multiplier takes what the two bits of `pick` say.
    pub dense: Signal<In, Bit>,
    /// Dense: the pass. Otherwise both bits: the half of `index`.
    pub pick: Signal<In, Bits<2>>,
    /// Multiplier j's weight in byte j, of a pair of rows the second one's in its upper nibble.
    pub values: Signal<Out, Bits<64>>,
    /// Multiplier j's input in nibble j.
    pub positions: Signal<Out, Bits<32>>,
    half: Signal<Local, Bits<32>>,
    quarter: Signal<Local, Bits<16>>,
    low: Signal<Local, Bits<32>>,
    high: Signal<Local, Bits<32>>,
    bytes: Signal<Local, Bits<64>>,
    chosen: Signal<Local, Bits<16>>,
    evens: Signal<Local, Bits<16>>,
    odds: Signal<Local, Bits<16>>,
    short_modes: Constant<Bit>,
    octets: Constant<Bit>,
}

impl Granule {
    /// For storage forms of `modes`.
    pub fn new(modes: &Modes) -> Self {
        Self {
            word: Default::default(),
            part: Default::default(),
            nibbles: Default::default(),
            twofold: Default::default(),
            eighth: Default::default(),
            quads: Default::default(),
            index: Default::default(),
            dense: Default::default(),
            pick: Default::default(),
            values: Default::default(),
            positions: Default::default(),
            half: Default::default(),
            quarter: Default::default(),
            low: Default::default(),
            high: Default::default(),
            bytes: Default::default(),
            chosen: Default::default(),
            evens: Default::default(),
            odds: Default::default(),
            short_modes: Constant::new(modes.int4 || modes.fp4),
            octets: Constant::new(modes.octets),
        }
    }
}

impl Logic for Granule {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("granule");

        // Values.
        self.half.next = self.word.val().get_bits::<32>(0);
        if self.part.val().get_bit(1) {
            self.half.next = self.word.val().get_bits::<32>(32);
        }
        self.quarter.next = self.half.val().get_bits::<16>(0);
        if self.part.val().get_bit(0) {
            self.quarter.next = self.half.val().get_bits::<16>(16);
        }
        self.low.next = self.half.val();
        self.high.next = self.word.val().get_bits::<32>(32);
        if self.eighth.val() {
            // Its four nibbles go to the even multipliers.
            self.low.next = (bit_cast::<32, 4>(self.quarter.val().get_bits::<4>(0))
                << bits::<6>(0))
                | (bit_cast::<32, 4>(self.quarter.val().get_bits::<4>(4)) << bits::<6>(8))
                | (bit_cast::<32, 4>(self.quarter.val().get_bits::<4>(8)) << bits::<6>(16))
                | (bit_cast::<32, 4>(self.quarter.val().get_bits::<4>(12)) << bits::<6>(24));
        }
        self.bytes.next = (bit_cast::<64, 4>(self.low.val().get_bits::<4>(0)) << bits::<6>(0))
            | (bit_cast::<64, 4>(self.low.val().get_bits::<4>(4)) << bits::<6>(8))
            | (bit_cast::<64, 4>(self.low.val().get_bits::<4>(8)) << bits::<6>(16))
            | (bit_cast::<64, 4>(self.low.val().get_bits::<4>(12)) << bits::<6>(24))
            | (bit_cast::<64, 4>(self.low.val().get_bits::<4>(16)) << bits::<6>(32))
            | (bit_cast::<64, 4>(self.low.val().get_bits::<4>(20)) << bits::<6>(40))
            | (bit_cast::<64, 4>(self.low.val().get_bits::<4>(24)) << bits::<6>(48))
            | (bit_cast::<64, 4>(self.low.val().get_bits::<4>(28)) << bits::<6>(56));
        if self.twofold.val() {
            self.bytes.next = (bit_cast::<64, 4>(self.low.val().get_bits::<4>(0)) << bits::<6>(0))
                | (bit_cast::<64, 4>(self.low.val().get_bits::<4>(4)) << bits::<6>(8))
                | (bit_cast::<64, 4>(self.low.val().get_bits::<4>(8)) << bits::<6>(16))
                | (bit_cast::<64, 4>(self.low.val().get_bits::<4>(12)) << bits::<6>(24))
                | (bit_cast::<64, 4>(self.low.val().get_bits::<4>(16)) << bits::<6>(32))
                | (bit_cast::<64, 4>(self.low.val().get_bits::<4>(20)) << bits::<6>(40))
                | (bit_cast::<64, 4>(self.low.val().get_bits::<4>(24)) << bits::<6>(48))
                | (bit_cast::<64, 4>(self.low.val().get_bits::<4>(28)) << bits::<6>(56))
                | (bit_cast::<64, 4>(self.high.val().get_bits::<4>(0)) << bits::<6>(4))
                | (bit_cast::<64, 4>(self.high.val().get_bits::<4>(4)) << bits::<6>(12))
                | (bit_cast::<64, 4>(self.high.val().get_bits::<4>(8)) << bits::<6>(20))
                | (bit_cast::<64, 4>(self.high.val().get_bits::<4>(12)) << bits::<6>(28))
                | (bit_cast::<64, 4>(self.high.val().get_bits::<4>(16)) << bits::<6>(36))
                | (bit_cast::<64, 4>(self.high.val().get_bits::<4>(20)) << bits::<6>(44))
                | (bit_cast::<64, 4>(self.high.val().get_bits::<4>(24)) << bits::<6>(52))
                | (bit_cast::<64, 4>(self.high.val().get_bits::<4>(28)) << bits::<6>(60));
        }
        self.values.next = self.word.val();
        if self.octets.val() && self.eighth.val() {
            self.values.next = (bit_cast::<64, 8>(self.half.val().get_bits::<8>(0))
                << bits::<6>(0))
                | (bit_cast::<64, 8>(self.half.val().get_bits::<8>(8)) << bits::<6>(16))
                | (bit_cast::<64, 8>(self.half.val().get_bits::<8>(16)) << bits::<6>(32))
                | (bit_cast::<64, 8>(self.half.val().get_bits::<8>(24)) << bits::<6>(48));
        }
        if self.short_modes.val() && self.nibbles.val() {
            self.values.next = self.bytes.val();
        }

        // Positions. With octets bit 2 says which half of its eight inputs a multiplier serves, unless they are chosen from all eight.
        self.evens.next = self.index.val().get_bits::<16>(0);
        self.odds.next = self.index.val().get_bits::<16>(16);
        self.chosen.next = self.evens.val();
        if self.pick.val().get_bit(0) {
            self.chosen.next = (self.odds.val() & 0x5555) | (self.chosen.val() & 0xAAAA);
        }
        if self.pick.val().get_bit(1) {
            self.chosen.next = (self.odds.val() & 0xAAAA) | (self.chosen.val() & 0x5555);
        }
        if self.dense.val() {
            self.chosen.next = 0.into();
            if self.pick.val().get_bit(0) {
                self.chosen.next = 0x5555.into();
            }
            if self.pick.val().get_bit(1) {
                self.chosen.next = self.chosen.val() | 0xAAAA;
            }
        }
        self.positions.next = (bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(0))
            << bits::<6>(0))
            | (bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(2)) << bits::<6>(4))
            | (bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(4)) << bits::<6>(8))
            | (bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(6)) << bits::<6>(12))
            | (bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(8)) << bits::<6>(16))
            | (bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(10)) << bits::<6>(20))
            | (bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(12)) << bits::<6>(24))
            | (bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(14)) << bits::<6>(28));
        if self.octets.val() {
            self.positions.next = ((bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(0))
                << bits::<6>(0))
                | (bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(2)) << bits::<6>(4))
                | (bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(4)) << bits::<6>(8))
                | (bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(6)) << bits::<6>(12))
                | (bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(8)) << bits::<6>(16))
                | (bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(10)) << bits::<6>(20))
                | (bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(12)) << bits::<6>(24))
                | (bit_cast::<32, 2>(self.chosen.val().get_bits::<2>(14)) << bits::<6>(28)))
                | 0x4040_4040;
            if self.eighth.val() {
                self.positions.next = (bit_cast::<32, 4>(self.chosen.val().get_bits::<4>(0))
                    << bits::<6>(0))
                    | (bit_cast::<32, 4>(self.chosen.val().get_bits::<4>(4)) << bits::<6>(8))
                    | (bit_cast::<32, 4>(self.chosen.val().get_bits::<4>(8)) << bits::<6>(16))
                    | (bit_cast::<32, 4>(self.chosen.val().get_bits::<4>(12)) << bits::<6>(24));
            }
            if self.quads.val() {
                self.positions.next = self.index.val();
            }
        }
    }
}
