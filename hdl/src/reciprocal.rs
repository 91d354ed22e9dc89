//! `floor(2^52 / d)` for 2^24 <= d < 2^33 (`docs/formats.md`, section 4), for `router`.
//!
//! What: a restoring divider, three bits a cycle: the remainder is compared with seven multiples at once. Cost: docs/utilisation.md.
//! Latency: 10 cycles from `start` to `r`, always. Hazards: none; a `start` while it works begins anew.

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

    times: [Dff<Bits<36>>; 8],
    rest: Dff<Bits<33>>,
    quotient: Dff<Bits<29>>,
    left: Dff<Bits<4>>,
    wide: Signal<Local, Bits<33>>,
    two: Signal<Local, Bit>,
    one: Signal<Local, Bit>,
    eightfold: Signal<Local, Bits<37>>,
    less: [Signal<Local, Bits<37>>; 8],
    fits: [Signal<Local, Bit>; 8],
    chosen: [Signal<Local, Bits<33>>; 8],
    digit: Signal<Local, Bits<3>>,
}

impl Default for Reciprocal {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            start: Default::default(),
            load: Default::default(),
            load_r: Default::default(),
            d: Default::default(),
            soon: Default::default(),
            r: Default::default(),
            times: arr(),
            rest: Default::default(),
            quotient: Default::default(),
            left: Default::default(),
            wide: Default::default(),
            two: Default::default(),
            one: Default::default(),
            eightfold: Default::default(),
            less: arr(),
            fits: arr(),
            chosen: arr(),
            digit: Default::default(),
        }
    }
}

impl Logic for Reciprocal {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("reciprocal");
        dff_setup!(self, clk, rest, quotient, left);
        for i in 0..8 {
            self.times[i].clock.next = self.clk.val();
            self.times[i].d.next = self.times[i].q.val();
        }
        // One digit: the largest multiple that fits into eight times the rest.
        self.eightfold.next = bit_cast::<37, 33>(self.rest.q.val()) << 3;
        for i in 0..8 {
            self.less[i].next =
                self.eightfold.val() - unsigned_cast_zx::<37, 36>(self.times[i].q.val());
            self.fits[i].next = !self.less[i].val().get_bit(36);
        }
        for i in 0..8 {
            self.chosen[i].next = 0.into();
        }
        for i in 0..7 {
            if self.fits[i].val() && !self.fits[i + 1].val() {
                self.chosen[i].next = self.less[i].val().get_bits::<33>(0);
            }
        }
        if self.fits[7].val() {
            self.chosen[7].next = self.less[7].val().get_bits::<33>(0);
        }
        self.digit.next = 0.into();
        for i in 1..8 {
            if self.fits[i].val() {
                self.digit.next = i.to_bits();
            }
        }
        if self.left.q.val() != 0 {
            self.left.d.next = self.left.q.val() - 1;
            self.rest.d.next = ((self.chosen[0].val() | self.chosen[1].val())
                | (self.chosen[2].val() | self.chosen[3].val()))
                | ((self.chosen[4].val() | self.chosen[5].val())
                    | (self.chosen[6].val() | self.chosen[7].val()));
            self.quotient.d.next =
                (self.quotient.q.val() << 3) | bit_cast::<29, 3>(self.digit.val());
        }
        self.soon.next = self.left.q.val() == 3;
        self.r.next = self.quotient.q.val();

        // The first two bits: 2^25 / d is 2 for 2^24, 1 up to 2^25, 0 beyond.
        self.wide.next = self.d.val();
        self.two.next =
            !self.d.val().get_bits::<24>(0).any() && self.d.val().get_bits::<9>(24) == 1;
        self.one.next = !self.d.val().get_bits::<7>(26).any()
            && (!self.d.val().get_bit(25) || !self.d.val().get_bits::<25>(0).any());
        if self.start.val() {
            self.times[0].d.next = 0.into();
            self.times[1].d.next = bit_cast::<36, 33>(self.wide.val());
            self.times[2].d.next = bit_cast::<36, 33>(self.wide.val()) << 1;
            self.times[3].d.next =
                bit_cast::<36, 33>(self.wide.val()) + (bit_cast::<36, 33>(self.wide.val()) << 1);
            self.times[4].d.next = bit_cast::<36, 33>(self.wide.val()) << 2;
            self.times[5].d.next =
                bit_cast::<36, 33>(self.wide.val()) + (bit_cast::<36, 33>(self.wide.val()) << 2);
            self.times[6].d.next = (bit_cast::<36, 33>(self.wide.val()) << 1)
                + (bit_cast::<36, 33>(self.wide.val()) << 2);
            self.times[7].d.next =
                (bit_cast::<36, 33>(self.wide.val()) << 3) - bit_cast::<36, 33>(self.wide.val());
            self.left.d.next = 9.into();
            self.rest.d.next = 0x200_0000.into();
            self.quotient.d.next = 0.into();
            if self.two.val() {
                self.rest.d.next = 0.into();
                self.quotient.d.next = 2.into();
            } else if self.one.val() {
                self.rest.d.next = bits::<33>(0x200_0000) - self.d.val();
                self.quotient.d.next = 1.into();
            }
        }
        if self.load.val() {
            self.quotient.d.next = self.load_r.val();
        }
        if self.rst.val() {
            self.left.d.next = 0.into();
        }
    }
}
