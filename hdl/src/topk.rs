//! The k largest: a sorted list of eight keys (`docs/formats.md`, section 4), for `router`.
//!
//! What: a new key goes in front of every strictly smaller one, so of equal keys the first stays in front. `invert` keeps the smallest
//! instead, and of equal keys the last in front: those that are *not* among the best. Cost: docs/utilisation.md; nine comparators
//! of 39 bits. Latency: 2 cycles. Bottleneck: none, one key per cycle.
//!
//! Hazards: a key is compared while the one before it is not in the list yet; it is compared with that one too, and its
//! place is worked out for the list as it will be.

use abi::TOPK_MAX;
use leaf::prelude::*;

/// See the module's page. It has no sizes, so `default()` makes it.
#[derive(LogicBlock)]
pub struct TopK {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: forgets the key inside, and all values are 0.
    pub rst: Signal<In, Bit>,
    /// Keys that are kept, 0 to 8.
    pub limit: Signal<In, Bits<4>>,
    /// Keep the smallest.
    pub invert: Signal<In, Bit>,
    /// A key.
    pub in_vld: Signal<In, Bit>,
    /// The list begins anew with it.
    pub in_first: Signal<In, Bit>,
    /// The last of a run.
    pub in_last: Signal<In, Bit>,
    /// The key, signed.
    pub in_key: Signal<In, Bits<38>>,
    /// Whose key it is.
    pub in_index: Signal<In, Bits<8>>,
    /// The value of the key of the cycle before.
    pub in_value: Signal<In, Bits<25>>,
    /// Gives an entry a value instead.
    pub set_vld: Signal<In, Bit>,
    /// Which.
    pub set_rank: Signal<In, Bits<3>>,
    /// After the next clock edge the run's last key is in the list.
    pub ending: Signal<Out, Bit>,
    /// Which entry to show.
    pub pick: Signal<In, Bits<3>>,
    /// Its index.
    pub index: Signal<Out, Bits<8>>,
    /// Its value.
    pub value: Signal<Out, Bits<25>>,
    /// Key of the second entry.
    pub key1: Signal<Out, Bits<38>>,
    /// Index of the first entry.
    pub index0: Signal<Out, Bits<8>>,
    /// The sum of the first four entries' values.
    pub sum0: Signal<Out, Bits<27>>,
    /// The sum of the last four entries' values.
    pub sum1: Signal<Out, Bits<27>>,

    used: [Dff<Bit>; TOPK_MAX],
    keys: [Dff<Bits<38>>; TOPK_MAX],
    indices: [Dff<Bits<8>>; TOPK_MAX],
    values: [Dff<Bits<25>>; TOPK_MAX],
    open: [Dff<Bit>; TOPK_MAX],
    all_values: Signal<Local, Bits<200>>,
    all_indices: Signal<Local, Bits<64>>,
    pick_value: Mux8<25, 200>,
    pick_index: Mux8<8, 64>,
    // Leaves, because Yosys would make LUTs in front of one chain of several additions.
    pairs: [AddMux<27>; 4],
    fours: [AddMux<27>; 2],
    mine: Signal<Local, Signed<39>>,
    newer: Signal<Local, Bit>,
    raw: [Signal<Local, Bit>; TOPK_MAX],
    place: [Signal<Local, Bit>; TOPK_MAX],
    // The key whose place is known: it goes in front of the entries whose `front` is set.
    k2_vld: Dff<Bit>,
    k2_first: Dff<Bit>,
    k2_last: Dff<Bit>,
    k2_key: Dff<Bits<38>>,
    k2_index: Dff<Bits<8>>,
    front: [Dff<Bit>; TOPK_MAX],
}

impl Default for TopK {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            limit: Default::default(),
            invert: Default::default(),
            in_vld: Default::default(),
            in_first: Default::default(),
            in_last: Default::default(),
            in_key: Default::default(),
            in_index: Default::default(),
            in_value: Default::default(),
            set_vld: Default::default(),
            set_rank: Default::default(),
            ending: Default::default(),
            pick: Default::default(),
            index: Default::default(),
            value: Default::default(),
            key1: Default::default(),
            index0: Default::default(),
            sum0: Default::default(),
            sum1: Default::default(),
            used: arr(),
            keys: arr(),
            indices: arr(),
            values: arr(),
            open: arr(),
            all_values: Default::default(),
            all_indices: Default::default(),
            pick_value: Default::default(),
            pick_index: Default::default(),
            pairs: arr(),
            fours: arr(),
            mine: Default::default(),
            newer: Default::default(),
            raw: arr(),
            place: arr(),
            k2_vld: Default::default(),
            k2_first: Default::default(),
            k2_last: Default::default(),
            k2_key: Default::default(),
            k2_index: Default::default(),
            front: arr(),
        }
    }
}

impl Logic for TopK {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("topk");
        dff_setup!(self, clk, k2_vld, k2_first, k2_last, k2_key, k2_index);
        for i in 0..8 {
            self.used[i].clock.next = self.clk.val();
            self.used[i].d.next = self.used[i].q.val();
            self.keys[i].clock.next = self.clk.val();
            self.keys[i].d.next = self.keys[i].q.val();
            self.indices[i].clock.next = self.clk.val();
            self.indices[i].d.next = self.indices[i].q.val();
            self.values[i].clock.next = self.clk.val();
            self.values[i].d.next = self.values[i].q.val();
            self.open[i].clock.next = self.clk.val();
            self.open[i].d.next = self.limit.val() > i.to_bits();
            self.front[i].clock.next = self.clk.val();
        }

        // A bit below the key decides between equal ones: the new key wins only where the list is inverted.
        self.mine.next = signed_cast(
            (bit_cast::<39, 38>(self.in_key.val()) << 1)
                | bit_cast::<39, 1>(self.invert.val().into()),
        );
        self.newer.next =
            self.mine.val() > signed_cast(bit_cast::<39, 38>(self.k2_key.q.val()) << 1);
        for i in 0..8 {
            self.raw[i].next = !self.used[i].q.val()
                || self.mine.val()
                    > signed_cast(unsigned_cast_zx::<39, 38>(self.keys[i].q.val()) << 1);
        }
        // The list as it will be: what stands before the other key's place, that key, and what it pushes down.
        for i in 0..8 {
            self.place[i].next = self.raw[i].val();
        }
        if self.k2_vld.q.val() && self.k2_first.q.val() {
            self.place[0].next = self.newer.val();
            for i in 1..8 {
                self.place[i].next = true;
            }
        } else if self.k2_vld.q.val() {
            if self.front[0].q.val() {
                self.place[0].next = self.newer.val();
            }
            for i in 1..8 {
                if self.front[i].q.val() {
                    self.place[i].next = self.raw[i - 1].val();
                    if !self.front[i - 1].q.val() {
                        self.place[i].next = self.newer.val();
                    }
                }
            }
        }
        for i in 0..8 {
            self.front[i].d.next = self.place[i].val() || self.in_first.val();
        }
        self.k2_vld.d.next = self.in_vld.val();
        self.k2_first.d.next = self.in_first.val();
        self.k2_last.d.next = self.in_last.val();
        self.k2_key.d.next = self.in_key.val();
        self.k2_index.d.next = self.in_index.val();
        self.ending.next = self.k2_vld.q.val() && self.k2_last.q.val();

        if self.k2_vld.q.val() && self.front[0].q.val() && self.open[0].q.val() {
            self.used[0].d.next = true;
            self.keys[0].d.next = self.k2_key.q.val();
            self.indices[0].d.next = self.k2_index.q.val();
            self.values[0].d.next = self.in_value.val();
        }
        for i in 1..8 {
            if self.k2_vld.q.val() && self.front[i].q.val() && self.open[i].q.val() {
                self.used[i].d.next = true;
                self.keys[i].d.next = self.k2_key.q.val();
                self.indices[i].d.next = self.k2_index.q.val();
                self.values[i].d.next = self.in_value.val();
                if self.front[i - 1].q.val() {
                    self.used[i].d.next = self.used[i - 1].q.val() && !self.k2_first.q.val();
                    self.keys[i].d.next = self.keys[i - 1].q.val();
                    self.indices[i].d.next = self.indices[i - 1].q.val();
                    self.values[i].d.next = self.values[i - 1].q.val();
                }
            }
        }
        for i in 0..8 {
            if self.set_vld.val() && self.set_rank.val() == i.to_bits() {
                self.values[i].d.next = self.in_value.val();
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
        self.value.next = self.pick_value.y.val();
        self.pick_index.x.next = self.all_indices.val();
        self.pick_index.s.next = self.pick.val();
        self.index.next = self.pick_index.y.val();
        self.key1.next = self.keys[1].q.val();
        self.index0.next = self.indices[0].q.val();
        for i in 0..4 {
            self.pairs[i].a.next = unsigned_cast_zx::<27, 25>(self.values[2 * i].q.val());
            self.pairs[i].b.next = unsigned_cast_zx::<27, 25>(self.values[2 * i + 1].q.val());
            self.pairs[i].d.next = 0.into();
            self.pairs[i].s.next = true;
            self.pairs[i].cin.next = false;
        }
        for i in 0..2 {
            self.fours[i].a.next = self.pairs[2 * i].y.val();
            self.fours[i].b.next = self.pairs[2 * i + 1].y.val();
            self.fours[i].d.next = 0.into();
            self.fours[i].s.next = true;
            self.fours[i].cin.next = false;
        }
        self.sum0.next = self.fours[0].y.val();
        self.sum1.next = self.fours[1].y.val();

        if self.rst.val() {
            self.k2_vld.d.next = false;
            for i in 0..8 {
                self.values[i].d.next = 0.into();
            }
        }
    }
}
