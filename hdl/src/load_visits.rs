//! What the loader tells the array: visits of slots in the order of the images, and how far each slot has filled.
//!
//! What: one word per slot says which groups it holds (kind, index of the first, expert, exponents), another how many are complete and
//! whether that is all; a queue holds the slots that the array has still to visit. A prefetched slot is described in the same way, but enters
//! the queue only when a job demands it. Cost (ECP5): 180 LUT sites, of them 25 LUT RAMs; 107 flip-flops. Latency: group complete to `vis_vld` 4 cycles, `cur_slot` to
//! `cur_loaded` 1 cycle. Hazard: a slot's words are those of its last owner until its first group is complete; the array looks at a slot only
//! after its visit.

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct LoadVisits {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// A group is complete (a cycle after its last beat was written).
    pub group_vld: Signal<In, Bit>,
    /// Its slot.
    pub group_slot: Signal<In, Bits<3>>,
    /// Groups complete in the slot, with it.
    pub group_count: Signal<In, Bits<16>>,
    /// No more groups come into the slot.
    pub group_closed: Signal<In, Bit>,
    /// It is the slot's first.
    pub group_first: Signal<In, Bit>,
    /// With `group_first`: the array shall visit the slot.
    pub group_visit: Signal<In, Bit>,
    /// Its kind.
    pub group_kind: Signal<In, Bits<2>>,
    /// Its number in its section.
    pub group_index: Signal<In, Bits<16>>,
    /// Its expert.
    pub group_expert: Signal<In, Bits<8>>,
    /// Keeps the exponents for `group_slot`.
    pub exponents_vld: Signal<In, Bit>,
    /// The header's three exponents.
    pub exponents: Signal<In, Bits<48>>,
    /// The receive side reads exponents: no visit is prepared.
    pub look: Signal<In, Bit>,
    /// Whose.
    pub look_slot: Signal<In, Bits<3>>,
    /// In the same cycle.
    pub look_exponents: Signal<Out, Bits<48>>,
    /// A prefetched slot is demanded, and its first group complete.
    pub adopt_vld: Signal<In, Bit>,
    /// Which one.
    pub adopt_slot: Signal<In, Bits<3>>,

    /// A slot to visit.
    pub vis_vld: Signal<Out, Bit>,
    /// Visit taken.
    pub vis_rdy: Signal<In, Bit>,
    /// The slot.
    pub vis_slot: Signal<Out, Bits<3>>,
    /// Kind of its first group.
    pub vis_kind: Signal<Out, Bits<2>>,
    /// Number of that group in its section.
    pub vis_first: Signal<Out, Bits<16>>,
    /// The expert; 0 for the router.
    pub vis_expert: Signal<Out, Bits<8>>,
    /// Header, bits 15..0.
    pub vis_exp_a: Signal<Out, Bits<16>>,
    /// Header, bits 31..16.
    pub vis_exp_b: Signal<Out, Bits<16>>,
    /// Header, bits 47..32.
    pub vis_exp_c: Signal<Out, Bits<16>>,
    /// Slot that the array reads.
    pub cur_slot: Signal<In, Bits<3>>,
    /// Its complete groups, one cycle later.
    pub cur_loaded: Signal<Out, Bits<16>>,
    /// No more come, one cycle later.
    pub cur_closed: Signal<Out, Bit>,
    /// Their number when closed, one cycle later.
    pub cur_total: Signal<Out, Bits<16>>,
    /// A visit has not been taken yet.
    pub waiting: Signal<Out, Bit>,

    filled: Dram<17, 3>,
    about: Dram<26, 3>,
    scales: Dram<48, 3>,
    slots: Dram<3, 3>,
    put: Dff<Bits<4>>,
    got: Dff<Bits<4>>,
    pushed: Signal<Local, Bit>,
    pushed_slot: Signal<Local, Bits<3>>,
    some: Signal<Local, Bit>,
    load: Signal<Local, Bit>,
    fill: Signal<Local, Bits<17>>,
    described: Signal<Local, Bits<26>>,
    read_exponents: Signal<Local, Bits<48>>,
    valid: Dff<Bit>,
    ahead_vld: Dff<Bit>,
    ahead: Dff<Bits<3>>,
    fetch: Signal<Local, Bit>,
    slot: Dff<Bits<3>>,
    what: Dff<Bits<26>>,
    exps: Dff<Bits<48>>,
    loaded: Dff<Bits<17>>,
}

impl Default for LoadVisits {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            group_vld: Default::default(),
            group_slot: Default::default(),
            group_count: Default::default(),
            group_closed: Default::default(),
            group_first: Default::default(),
            group_visit: Default::default(),
            group_kind: Default::default(),
            group_index: Default::default(),
            group_expert: Default::default(),
            exponents_vld: Default::default(),
            exponents: Default::default(),
            look: Default::default(),
            look_slot: Default::default(),
            look_exponents: Default::default(),
            adopt_vld: Default::default(),
            adopt_slot: Default::default(),
            vis_vld: Default::default(),
            vis_rdy: Default::default(),
            vis_slot: Default::default(),
            vis_kind: Default::default(),
            vis_first: Default::default(),
            vis_expert: Default::default(),
            vis_exp_a: Default::default(),
            vis_exp_b: Default::default(),
            vis_exp_c: Default::default(),
            cur_slot: Default::default(),
            cur_loaded: Default::default(),
            cur_closed: Default::default(),
            cur_total: Default::default(),
            waiting: Default::default(),
            filled: Dram::new(8),
            about: Dram::new(8),
            scales: Dram::new(8),
            slots: Dram::new(8),
            put: Default::default(),
            got: Default::default(),
            pushed: Default::default(),
            pushed_slot: Default::default(),
            some: Default::default(),
            load: Default::default(),
            fill: Default::default(),
            described: Default::default(),
            read_exponents: Default::default(),
            valid: Default::default(),
            ahead_vld: Default::default(),
            ahead: Default::default(),
            fetch: Default::default(),
            slot: Default::default(),
            what: Default::default(),
            exps: Default::default(),
            loaded: Default::default(),
        }
    }
}

impl Logic for LoadVisits {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("load_visits");
        dff_setup!(self, clk, put, got, valid, ahead_vld, ahead, slot, what, exps, loaded);
        clock!(self, clk, filled, about, scales, slots);

        self.filled.we.next = self.group_vld.val();
        self.filled.waddr.next = self.group_slot.val();
        self.filled.wdata.next = bit_cast::<17, 16>(self.group_count.val())
            | (bit_cast::<17, 1>(self.group_closed.val().into()) << 16);
        self.filled.raddr.next = self.cur_slot.val();
        self.loaded.d.next = self.filled.rdata.val();
        self.fill.next = self.loaded.q.val();
        self.cur_loaded.next = self.fill.val().get_bits::<16>(0);
        self.cur_total.next = self.fill.val().get_bits::<16>(0);
        self.cur_closed.next = self.fill.val().get_bit(16);

        self.about.we.next = self.group_vld.val() && self.group_first.val();
        self.about.waddr.next = self.group_slot.val();
        self.about.wdata.next = bit_cast::<26, 2>(self.group_kind.val())
            | (bit_cast::<26, 16>(self.group_index.val()) << 2)
            | (bit_cast::<26, 8>(self.group_expert.val()) << 18);
        self.about.raddr.next = self.ahead.q.val();
        self.scales.we.next = self.exponents_vld.val();
        self.scales.waddr.next = self.group_slot.val();
        self.scales.wdata.next = self.exponents.val();
        self.scales.raddr.next = self.ahead.q.val();
        if self.look.val() {
            self.scales.raddr.next = self.look_slot.val();
        }
        self.read_exponents.next = self.scales.rdata.val();
        self.look_exponents.next = self.read_exponents.val();

        // The queue.
        self.pushed.next = self.adopt_vld.val()
            || (self.group_vld.val() && self.group_first.val() && self.group_visit.val());
        self.pushed_slot.next = self.group_slot.val();
        if self.adopt_vld.val() {
            self.pushed_slot.next = self.adopt_slot.val();
        }
        self.slots.we.next = self.pushed.val();
        self.slots.waddr.next = self.put.q.val().get_bits::<3>(0);
        self.slots.wdata.next = self.pushed_slot.val();
        self.slots.raddr.next = self.got.q.val().get_bits::<3>(0);
        if self.pushed.val() {
            self.put.d.next = self.put.q.val() + 1;
        }
        self.some.next = self.put.q.val() != self.got.q.val();
        self.load.next = self.ahead_vld.q.val()
            && !self.look.val()
            && (!self.valid.q.val() || self.vis_rdy.val());
        if self.vis_rdy.val() {
            self.valid.d.next = false;
        }
        if self.load.val() {
            self.ahead_vld.d.next = false;
            self.valid.d.next = true;
            self.slot.d.next = self.ahead.q.val();
            self.what.d.next = self.about.rdata.val();
            self.exps.d.next = self.read_exponents.val();
        }
        // The slot whose words are read is in a register.
        self.fetch.next = self.some.val() && !self.ahead_vld.q.val();
        if self.fetch.val() {
            self.got.d.next = self.got.q.val() + 1;
            self.ahead_vld.d.next = true;
            self.ahead.d.next = self.slots.rdata.val();
        }
        self.described.next = self.what.q.val();
        self.vis_vld.next = self.valid.q.val();
        self.vis_slot.next = self.slot.q.val();
        self.vis_kind.next = self.described.val().get_bits::<2>(0);
        self.vis_first.next = self.described.val().get_bits::<16>(2);
        self.vis_expert.next = self.described.val().get_bits::<8>(18);
        self.vis_exp_a.next = self.exps.q.val().get_bits::<16>(0);
        self.vis_exp_b.next = self.exps.q.val().get_bits::<16>(16);
        self.vis_exp_c.next = self.exps.q.val().get_bits::<16>(32);
        self.waiting.next = self.some.val() || self.ahead_vld.q.val() || self.valid.q.val();

        if self.rst.val() {
            self.put.d.next = 0.into();
            self.got.d.next = 0.into();
            self.ahead_vld.d.next = false;
            self.valid.d.next = false;
        }
    }
}
