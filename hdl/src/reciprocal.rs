//! `floor(2^52 / d)` for 2^24 <= d < 2^33 (`docs/formats.md`, section 4), for `router`.
//!
//! What: a restoring divider, three bits a cycle: the remainder is compared with seven multiples at once, and the signs of the seven
//! differences choose the next remainder without becoming a number first. Cost: docs/utilisation.md.
//! Latency: 11 cycles from `start` to `r`, always. Hazards: none; a `start` while it works begins anew.

use leaf::prelude::*;

/// See the module's page. It has no sizes, so `default()` makes it.
#[derive(LogicBlock)]
pub struct Reciprocal {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: stops.
    pub rst: Signal<In, Bit>,
    /// Divide by `d`.
    pub start: Signal<In, Bit>,
    /// The divisor.
    pub d: Signal<In, Bits<33>>,
    /// Put `load_r` into `r` instead; valid in the next cycle.
    pub load: Signal<In, Bit>,
    /// What to put there.
    pub load_r: Signal<In, Bits<29>>,
    /// `r` is valid from three cycles later on (until the next `start`).
    pub soon: Signal<Out, Bit>,
    /// The quotient.
    pub r: Signal<Out, Bits<29>>,

    // The divisor and those of its multiples that are not a shift of another.
    one: Dff<Bits<33>>,
    three: Dff<Bits<35>>,
    five: Dff<Bits<36>>,
    seven: Dff<Bits<36>>,
    times: [Signal<Local, Bits<36>>; 8],
    // From power-up what `start` sets, so that an ECP5's register can be set and needs no LUT for it.
    rest: Dff<Bits<33>>,
    quotient: Dff<Bits<29>>,
    left: Dff<Bits<4>>,
    last3: Dff<Bit>,
    working: Dff<Bit>,
    wide: Signal<Local, Bits<36>>,
    eightfold: Signal<Local, Bits<37>>,
    less: [Signal<Local, Bits<37>>; 8],
    over: Signal<Local, Bits<8>>,
    // A rest and its digit.
    words: Signal<Local, Bits<288>>,
    digit_word: [Signal<Local, Bits<3>>; 8],
    chosen: Last8<36, 288>,
}

impl Default for Reciprocal {
    fn default() -> Self {
        Self {
            rest: Dff::new(0x40_0000u64.to_bits()),
            clk: Default::default(),
            rst: Default::default(),
            start: Default::default(),
            d: Default::default(),
            load: Default::default(),
            load_r: Default::default(),
            soon: Default::default(),
            r: Default::default(),
            one: Default::default(),
            three: Default::default(),
            five: Default::default(),
            seven: Default::default(),
            times: arr(),
            quotient: Default::default(),
            left: Default::default(),
            last3: Default::default(),
            working: Default::default(),
            wide: Default::default(),
            eightfold: Default::default(),
            less: arr(),
            over: Default::default(),
            words: Default::default(),
            digit_word: arr(),
            chosen: Default::default(),
        }
    }
}

impl Logic for Reciprocal {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("reciprocal");
        dff_setup!(self, clk, one, three, five, seven, rest, quotient, left, last3, working);

        // One digit: the largest multiple that fits into eight times the rest.
        self.times[0].next = 0.into();
        self.times[1].next = bit_cast::<36, 33>(self.one.q.val());
        self.times[2].next = bit_cast::<36, 33>(self.one.q.val()) << 1;
        self.times[3].next = bit_cast::<36, 35>(self.three.q.val());
        self.times[4].next = bit_cast::<36, 33>(self.one.q.val()) << 2;
        self.times[5].next = self.five.q.val();
        self.times[6].next = bit_cast::<36, 35>(self.three.q.val()) << 1;
        self.times[7].next = self.seven.q.val();
        self.eightfold.next = bit_cast::<37, 33>(self.rest.q.val()) << 3;
        self.over.next = 0.into();
        self.words.next = 0.into();
        for i in 0..8 {
            self.less[i].next =
                self.eightfold.val() - unsigned_cast_zx::<37, 36>(self.times[i].val());
            self.over.next = self
                .over
                .val()
                .replace_bit(i, self.less[i].val().get_bit(36));
            // What `load` brings takes the digit's way, so that nothing comes behind the choice.
            self.digit_word[i].next = i.to_bits();
            if self.load.val() {
                self.digit_word[i].next = self.load_r.val().get_bits::<3>(0);
            }
        }
        for i in 0..8 {
            self.words.next = (self.words.val() << 36)
                | (unsigned_cast_zx::<288, 33>(self.less[7 - i].val().get_bits::<33>(0))
                    | (unsigned_cast_zx::<288, 3>(self.digit_word[7 - i].val()) << 33));
        }
        self.chosen.x.next = self.words.val();
        self.chosen.f.next = self.over.val();
        self.rest.d.next = self.chosen.y.val().get_bits::<33>(0);
        if self.working.q.val() || self.load.val() {
            self.quotient.d.next = (self.quotient.q.val() << 3)
                | bit_cast::<29, 3>(self.chosen.y.val().get_bits::<3>(33));
            if self.load.val() {
                self.quotient.d.next = (self.load_r.val() & 0x1FFF_FFF8)
                    | bit_cast::<29, 3>(self.chosen.y.val().get_bits::<3>(33));
            }
        }
        if self.working.q.val() {
            self.left.d.next = self.left.q.val() - 1;
            self.working.d.next = self.left.q.val() != 1;
        }
        self.last3.d.next = self.working.q.val() && self.left.q.val() == 4;
        self.soon.next = self.last3.q.val();
        self.r.next = self.quotient.q.val();

        // Ten digits of the quotient, of which the first is at most 4; what was in the register before leaves it.
        self.wide.next = bit_cast::<36, 33>(self.d.val());
        if self.start.val() {
            self.one.d.next = self.d.val();
            self.three.d.next =
                self.wide.val().get_bits::<35>(0) + (self.wide.val().get_bits::<35>(0) << 1);
            self.five.d.next = self.wide.val() + (self.wide.val() << 2);
            self.seven.d.next = (self.wide.val() << 3) - self.wide.val();
            self.left.d.next = 10.into();
            self.working.d.next = true;
            self.rest.d.next = 0x40_0000.into();
        }
        if self.rst.val() {
            self.working.d.next = false;
            self.last3.d.next = false;
        }
    }
}
