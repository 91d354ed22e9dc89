//! The k largest: a sorted list of eight keys (`docs/formats.md`, section 4), for `router`.
//!
//! What: a new key goes in front of every strictly smaller one, so of equal keys the first stays in front. `invert` keeps the smallest
//! instead, and of equal keys the last in front: those that are *not* among the best. The list fills the entries 8 - k to 7, so that
//! what falls out is always entry 7's. Cost: docs/utilisation.md; ten comparators of 39 bits. Latency: 3 cycles, compared, placed,
//! inserted. Bottleneck: none, one key per cycle.
//!
//! Hazards: a key is compared while the two before it are not in the list yet; it is compared with those, too. That tells its place in the
//! list as it will be: where the other key went in front of an entry and of the one before, that one stands there now. `clear` comes at least a
//! cycle before the first key.

use abi::TOPK_MAX;
use leaf::prelude::*;

/// A cleared key, below every key, and a cleared value's complement. Registers begin with them, so that an ECP5's can be set and need no LUTs
/// for it.
const LEAST: u64 = 0x20_0000_0000;
const NOTHING: u64 = 0x1FF_FFFF;

/// See the module's page. It has no sizes, so `default()` makes it.
#[derive(LogicBlock)]
pub struct TopK {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: forgets the keys on their way.
    pub rst: Signal<In, Bit>,
    /// Keys that are kept, 0 to 8.
    pub limit: Signal<In, Bits<4>>,
    /// Keep the smallest.
    pub invert: Signal<In, Bit>,
    /// The list becomes empty, all values 0.
    pub clear: Signal<In, Bit>,
    /// A key.
    pub in_vld: Signal<In, Bit>,
    /// The last of a run.
    pub in_last: Signal<In, Bit>,
    /// The key, signed, above -2^37.
    pub in_key: Signal<In, Bits<38>>,
    /// Whose key it is.
    pub in_index: Signal<In, Bits<8>>,
    /// The value of the key of two cycles before.
    pub in_value: Signal<In, Bits<25>>,
    /// In the next cycle the value goes in front of all values, without a key.
    pub push: Signal<In, Bit>,
    /// The key whose value is in goes into the list, and so does the value.
    pub takes: Signal<Out, Bit>,
    /// The complement of the value that then falls out.
    pub falls_not: Signal<Out, Bits<25>>,
    /// After the next clock edge the run's last key is in the list.
    pub ending: Signal<Out, Bit>,
    /// Which entry to show.
    pub pick: Signal<In, Bits<3>>,
    /// Its index.
    pub index: Signal<Out, Bits<8>>,
    /// Its value.
    pub value: Signal<Out, Bits<25>>,
    /// Index of the best of two.
    pub index6: Signal<Out, Bits<8>>,
    /// Key of the worst.
    pub key7: Signal<Out, Bits<38>>,

    keys: [Dff<Bits<38>>; TOPK_MAX],
    indices: [Dff<Bits<8>>; TOPK_MAX],
    // Complements, so that a subtraction needs no LUTs.
    values: [Dff<Bits<25>>; TOPK_MAX],
    open: [Dff<Bit>; TOPK_MAX],
    all_values: Signal<Local, Bits<200>>,
    all_indices: Signal<Local, Bits<64>>,
    pick_value: Mux8<25, 200>,
    pick_index: Mux8<8, 64>,
    // Sign bits of differences: a comparison of Yosys' own looks for equality, too.
    mine: Signal<Local, Bits<40>>,
    doubled: [Signal<Local, Bits<39>>; TOPK_MAX],
    wide: [Signal<Local, Signed<40>>; TOPK_MAX],
    over: [Signal<Local, Bits<40>>; TOPK_MAX],
    over2: Signal<Local, Bits<40>>,
    over3: Signal<Local, Bits<40>>,
    newer2: Dff<Bit>,
    before: [Dff<Bit>; TOPK_MAX],
    // The key that has been compared.
    k2_vld: Dff<Bit>,
    k2_last: Dff<Bit>,
    k2_key: Dff<Bits<38>>,
    k2_index: Dff<Bits<8>>,
    place: [Signal<Local, Bit>; TOPK_MAX],
    // The key whose place is known: it goes in front of the entries whose `front` is set.
    k3_end: Dff<Bit>,
    k3_key: Dff<Bits<38>>,
    k3_index: Dff<Bits<8>>,
    front: [Dff<Bit>; TOPK_MAX],
    // The same for values.
    shift: [Dff<Bit>; TOPK_MAX],
    least: Constant<Bits<38>>,
    nothing: Constant<Bits<25>>,
}

impl Default for TopK {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            limit: Default::default(),
            invert: Default::default(),
            clear: Default::default(),
            in_vld: Default::default(),
            in_last: Default::default(),
            in_key: Default::default(),
            in_index: Default::default(),
            in_value: Default::default(),
            push: Default::default(),
            takes: Default::default(),
            falls_not: Default::default(),
            ending: Default::default(),
            pick: Default::default(),
            index: Default::default(),
            value: Default::default(),
            index6: Default::default(),
            key7: Default::default(),
            keys: std::array::from_fn(|_| Dff::new(LEAST.to_bits())),
            indices: arr(),
            values: std::array::from_fn(|_| Dff::new(NOTHING.to_bits())),
            open: arr(),
            all_values: Default::default(),
            all_indices: Default::default(),
            pick_value: Default::default(),
            pick_index: Default::default(),
            mine: Default::default(),
            doubled: arr(),
            wide: arr(),
            over: arr(),
            over2: Default::default(),
            over3: Default::default(),
            newer2: Default::default(),
            before: arr(),
            k2_vld: Default::default(),
            k2_last: Default::default(),
            k2_key: Default::default(),
            k2_index: Default::default(),
            place: arr(),
            k3_end: Default::default(),
            k3_key: Default::default(),
            k3_index: Default::default(),
            front: arr(),
            shift: arr(),
            least: Constant::new(LEAST.to_bits()),
            nothing: Constant::new(NOTHING.to_bits()),
        }
    }
}

impl Logic for TopK {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("topk");
        dff_setup!(self, clk, newer2, k2_vld, k2_last, k2_key, k2_index);
        dff_setup!(self, clk, k3_end, k3_key, k3_index);
        for i in 0..8 {
            self.keys[i].clock.next = self.clk.val();
            self.keys[i].d.next = self.keys[i].q.val();
            self.indices[i].clock.next = self.clk.val();
            self.indices[i].d.next = self.indices[i].q.val();
            self.values[i].clock.next = self.clk.val();
            self.values[i].d.next = self.values[i].q.val();
            self.open[i].clock.next = self.clk.val();
            self.open[i].d.next = self.limit.val() > (7 - i).to_bits();
            self.before[i].clock.next = self.clk.val();
            self.front[i].clock.next = self.clk.val();
            self.shift[i].clock.next = self.clk.val();
        }

        // Compared. A bit below the key decides between equal ones: the new key wins only where the list is inverted.
        self.mine.next = unsigned_cast(bit_cast_sx::<40, 39>(signed_cast(
            (bit_cast::<39, 38>(self.in_key.val()) << 1)
                | bit_cast::<39, 1>(self.invert.val().into()),
        )));
        for i in 0..8 {
            self.doubled[i].next = unsigned_cast_zx::<39, 38>(self.keys[i].q.val()) << 1;
            self.wide[i].next = signed_bit_cast_sx(signed_cast(self.doubled[i].val()));
            self.over[i].next = unsigned_cast(self.wide[i].val()) - self.mine.val();
        }
        self.over2.next = unsigned_cast(bit_cast_sx::<40, 39>(signed_cast(
            bit_cast::<39, 38>(self.k2_key.q.val()) << 1,
        ))) - self.mine.val();
        self.over3.next = unsigned_cast(bit_cast_sx::<40, 39>(signed_cast(
            bit_cast::<39, 38>(self.k3_key.q.val()) << 1,
        ))) - self.mine.val();
        self.newer2.d.next = self.over2.val().get_bit(39);
        self.before[0].d.next = self.over[0].val().get_bit(39);
        if self.front[0].q.val() {
            self.before[0].d.next = self.over3.val().get_bit(39);
        }
        for i in 1..8 {
            self.before[i].d.next = self.over[i].val().get_bit(39);
            if self.front[i].q.val() {
                self.before[i].d.next = self.over3.val().get_bit(39);
                if self.front[i - 1].q.val() {
                    self.before[i].d.next = self.over[i - 1].val().get_bit(39);
                }
            }
        }
        self.k2_vld.d.next = self.in_vld.val();
        self.k2_last.d.next = self.in_last.val();
        self.k2_key.d.next = self.in_key.val();
        self.k2_index.d.next = self.in_index.val();

        // Placed.
        self.place[0].next = self.before[0].q.val();
        if self.front[0].q.val() {
            self.place[0].next = self.newer2.q.val();
        }
        for i in 1..8 {
            self.place[i].next = self.before[i].q.val();
            if self.front[i].q.val() {
                self.place[i].next = self.newer2.q.val();
                if self.front[i - 1].q.val() {
                    self.place[i].next = self.before[i - 1].q.val();
                }
            }
        }
        for i in 0..8 {
            self.front[i].d.next =
                self.k2_vld.q.val() && self.open[i].q.val() && self.place[i].val();
            self.shift[i].d.next = self.open[i].q.val()
                && (self.push.val() || (self.k2_vld.q.val() && self.place[i].val()));
        }
        self.k3_end.d.next = self.k2_vld.q.val() && self.k2_last.q.val();
        self.k3_key.d.next = self.k2_key.q.val();
        self.k3_index.d.next = self.k2_index.q.val();
        self.ending.next = self.k3_end.q.val();

        // Inserted.
        if self.front[0].q.val() {
            self.keys[0].d.next = self.k3_key.q.val();
            self.indices[0].d.next = self.k3_index.q.val();
        }
        if self.shift[0].q.val() {
            self.values[0].d.next = !self.in_value.val();
        }
        for i in 1..8 {
            if self.front[i].q.val() {
                self.keys[i].d.next = self.k3_key.q.val();
                self.indices[i].d.next = self.k3_index.q.val();
                if self.front[i - 1].q.val() {
                    self.keys[i].d.next = self.keys[i - 1].q.val();
                    self.indices[i].d.next = self.indices[i - 1].q.val();
                }
            }
            if self.shift[i].q.val() {
                self.values[i].d.next = !self.in_value.val();
                if self.shift[i - 1].q.val() {
                    self.values[i].d.next = self.values[i - 1].q.val();
                }
            }
        }
        self.takes.next = self.shift[7].q.val();
        self.falls_not.next = self.values[7].q.val();
        if self.clear.val() {
            for i in 0..8 {
                self.keys[i].d.next = self.least.val();
                self.values[i].d.next = self.nothing.val();
            }
        }

        self.all_values.next = 0.into();
        self.all_indices.next = 0.into();
        for i in 0..8 {
            self.all_values.next = (self.all_values.val() << 25)
                | unsigned_cast_zx::<200, 25>(self.values[7 - i].q.val());
            self.all_indices.next = (self.all_indices.val() << 8)
                | unsigned_cast_zx::<64, 8>(self.indices[7 - i].q.val());
        }
        self.pick_value.x.next = self.all_values.val();
        self.pick_value.s.next = self.pick.val();
        self.value.next = !self.pick_value.y.val();
        self.pick_index.x.next = self.all_indices.val();
        self.pick_index.s.next = self.pick.val();
        self.index.next = self.pick_index.y.val();
        self.index6.next = self.indices[6].q.val();
        self.key7.next = self.keys[7].q.val();

        if self.rst.val() {
            self.k2_vld.d.next = false;
            self.k3_end.d.next = false;
            for i in 0..8 {
                self.front[i].d.next = false;
                self.shift[i].d.next = false;
            }
        }
    }
}
