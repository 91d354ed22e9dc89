//! The loader's receive side: where each arriving beat belongs.
//!
//! What: follows the orders of the request side. A beat is an image's header, a scale, position or value beat of a group (written into its
//! bank), or a word of the router's choice biases (handed on). From the scales it makes the map of blocks that are not all zero. One *place*
//! (kind, group, part of it, word, slot) is at work; that of an unfinished prefetch is parked when a demanded image begins, and taken up
//! when the prefetch goes on or is demanded itself. Demanded images always end before anything else begins, so they are never parked.
//!
//! Cost (ECP5, `sim`): 1600 LUT sites, 772 flip-flops. Latency: beat to write port 1 cycle, to map 3 cycles, last beat of a group to `group_vld` 1 cycle. Bottleneck: one beat per cycle; the bus waits
//! 13 cycles where the place is changed (a hit, or a prefetch that goes on), 4 where a demanded image displaces a prefetch, never between
//! demanded images. Hazards: whether a slot is full is known five cycles after a group begins; the shortest group has seven beats.

use abi::Config;
use leaf::prelude::*;

/// What is going on.
#[derive(Copy, Clone, PartialEq, Debug, LogicState)]
enum State {
    /// Between images.
    Idle,
    /// Inside an image.
    Run,
    /// The place changes.
    Switch,
    /// Beats of a prefetch in another shape are thrown away.
    Discard,
}

/// What the next beat of an image is.
#[derive(Copy, Clone, PartialEq, Debug, LogicState)]
enum Part {
    /// Scales of a group.
    Scale,
    /// Positions of a group.
    Position,
    /// Values of a group.
    Value,
    /// Choice biases.
    Tail,
}

/// See the module's page.
#[derive(LogicBlock)]
pub struct LoadReceive {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Forgets errors.
    pub go: Signal<In, Bit>,
    /// The router's image ends with one word per expert.
    pub choice_bias: Signal<In, Bit>,
    /// E.
    pub experts: Signal<In, Bits<16>>,

    /// An order (`load_request`).
    pub order_vld: Signal<In, Bit>,
    /// See there.
    pub order_kind: Signal<In, Bits<3>>,
    /// See there.
    pub order_slot: Signal<In, Bits<3>>,
    /// See there.
    pub order_expert: Signal<In, Bits<8>>,
    /// Orders, and beats under way, are void.
    pub wipe: Signal<In, Bit>,
    /// The dropped prefetch has arrived.
    pub forget: Signal<In, Bit>,
    /// Beats of a prefetch are granted, so many.
    pub piece: Signal<In, Bits<6>>,
    /// Prefetched beats are under way.
    pub pf_some: Signal<Out, Bit>,
    /// Fewer than 192.
    pub pf_credit: Signal<Out, Bit>,
    /// A prefetched slot is complete.
    pub pf_complete: Signal<Out, Bit>,
    /// Which one.
    pub pf_slot: Signal<Out, Bits<3>>,

    /// `load_shape`: the tables are being made; nothing is taken until six cycles later.
    pub shape_active: Signal<In, Bit>,
    /// Words of a slot that are used.
    pub window: Signal<In, Bits<16>>,
    /// Kind of an expert's first section.
    pub first_kind: Signal<In, Bits<2>>,
    /// The experts have positions.
    pub sparse: Signal<In, Bit>,
    /// The experts have two rows per lane.
    pub pair: Signal<In, Bit>,
    /// Kind of the group that arrives.
    pub kind_now: Signal<Out, Bits<2>>,
    /// Its words of positions, less one.
    pub position_last: Signal<In, Bits<12>>,
    /// Its words of values, less one.
    pub value_last: Signal<In, Bits<12>>,
    /// Its words in a bank.
    pub words: Signal<In, Bits<16>>,
    /// Groups of its section.
    pub groups: Signal<In, Bits<16>>,
    /// Kind of the group after that.
    pub kind_next: Signal<Out, Bits<2>>,
    /// Its blocks, less one.
    pub next_block_last: Signal<In, Bits<12>>,
    /// Its words in a bank.
    pub next_words: Signal<In, Bits<16>>,

    /// A beat.
    pub r_vld: Signal<In, Bit>,
    /// Beat taken.
    pub r_rdy: Signal<Out, Bit>,
    /// Its bytes.
    pub r_data: Signal<In, Bits<128>>,
    /// 0: OKAY.
    pub r_resp: Signal<In, Bits<2>>,

    /// Writes one beat into a slot.
    pub wr_vld: Signal<Out, Bit>,
    /// 0 scale, 1 position, 2 value.
    pub wr_bank: Signal<Out, Bits<2>>,
    /// Which 128 bits of the word.
    pub wr_sub: Signal<Out, Bits<2>>,
    /// Word, counted over all slots.
    pub wr_addr: Signal<Out, Bits<16>>,
    /// The beat.
    pub wr_data: Signal<Out, Bits<128>>,
    /// Writes 32 bits of the map.
    pub map_vld: Signal<Out, Bit>,
    /// Word, counted over all slots.
    pub map_addr: Signal<Out, Bits<16>>,
    /// Bit b: block 32 c + b has a scale that is not zero.
    pub map_data: Signal<Out, Bits<32>>,
    /// Four choice biases.
    pub cb_vld: Signal<Out, Bit>,
    /// The first one's expert.
    pub cb_index: Signal<Out, Bits<8>>,
    /// Four int32.
    pub cb_data: Signal<Out, Bits<128>>,

    /// To `load_visits`: a group is complete.
    pub group_vld: Signal<Out, Bit>,
    /// Slot.
    pub group_slot: Signal<Out, Bits<3>>,
    /// Complete groups in it.
    pub group_count: Signal<Out, Bits<16>>,
    /// It is full.
    pub group_closed: Signal<Out, Bit>,
    /// The first one in it.
    pub group_first: Signal<Out, Bit>,
    /// Demanded.
    pub group_visit: Signal<Out, Bit>,
    /// Kind.
    pub group_kind: Signal<Out, Bits<2>>,
    /// Number in its section.
    pub group_index: Signal<Out, Bits<16>>,
    /// Expert.
    pub group_expert: Signal<Out, Bits<8>>,
    /// Keep `exponents` for `group_slot`.
    pub exponents_vld: Signal<Out, Bit>,
    /// Of the header.
    pub exponents: Signal<Out, Bits<48>>,
    /// Exponents of `look_slot` are looked up.
    pub look: Signal<Out, Bit>,
    /// A slot.
    pub look_slot: Signal<Out, Bits<3>>,
    /// Its exponents.
    pub look_exponents: Signal<In, Bits<48>>,
    /// A prefetched slot enters the visits.
    pub adopt_vld: Signal<Out, Bit>,
    /// Which one.
    pub adopt_slot: Signal<Out, Bits<3>>,

    /// A demanded image is complete.
    pub image_done: Signal<Out, Bit>,
    /// A demanded beat since `go`, or one found in a slot, came with an AXI error.
    pub err_read: Signal<Out, Bit>,
    /// Such an image had no magic number.
    pub err_image: Signal<Out, Bit>,
    /// A beat arrives.
    pub beat: Signal<Out, Bit>,
    /// A prefetched one.
    pub pf_beat: Signal<Out, Bit>,

    // Orders: a LUT RAM, and the next one in a register.
    orders: Dram<14, 4>,
    put: Dff<Bits<5>>,
    got: Dff<Bits<5>>,
    head_vld: Dff<Bit>,
    head: Dff<Bits<14>>,
    new_order: Signal<Local, Bits<14>>,
    some_order: Signal<Local, Bit>,
    pop: Signal<Local, Bit>,
    next_kind_of: Signal<Local, Bits<3>>,
    next_slot: Signal<Local, Bits<3>>,
    next_expert: Signal<Local, Bits<8>>,
    head_start: Signal<Local, Bits<16>>,

    // The place.
    state: Dff<State>,
    prefetch: Dff<Bit>,
    need_slot: Dff<Bit>,
    kind: Dff<Bits<2>>,
    index: Dff<Bits<16>>,
    slot: Dff<Bits<3>>,
    slot_start: Dff<Bits<16>>,
    used: Dff<Bits<16>>,
    word: Dff<Bits<16>>,
    part: Dff<Part>,
    count: Dff<Bits<12>>,
    last: Dff<Bits<12>>,
    sub: Dff<Bits<2>>,
    in_slot: Dff<Bits<16>>,
    expert: Dff<Bits<8>>,
    exps: Dff<Bits<48>>,
    // Parked, and where a full prefetched slot ends.
    p_kind: Dff<Bits<2>>,
    p_index: Dff<Bits<16>>,
    p_slot: Dff<Bits<3>>,
    p_start: Dff<Bits<16>>,
    p_used: Dff<Bits<16>>,
    p_word: Dff<Bits<16>>,
    p_part: Dff<Part>,
    p_count: Dff<Bits<12>>,
    p_sub: Dff<Bits<2>>,
    p_in_slot: Dff<Bits<16>>,
    p_expert: Dff<Bits<8>>,
    p_map: Dff<Bits<32>>,
    e_kind: Dff<Bits<2>>,
    e_index: Dff<Bits<16>>,
    e_image: Dff<Bit>,
    // Switching.
    time: Dff<Bits<4>>,
    displaces: Dff<Bit>,
    switch_kind: Dff<Bits<3>>,

    // What the group does to the slot; each a cycle after what it is made of.
    index_next: Signal<Local, Bits<16>>,
    last_group: Dff<Bit>,
    words1: Dff<Bits<16>>,
    sum: Dff<Bits<16>>,
    words2: Dff<Bits<16>>,
    sum2: Dff<Bits<17>>,
    fits: Dff<Bit>,
    closes: Dff<Bit>,
    limit: Signal<Local, Bits<17>>,
    following: Signal<Local, Bits<2>>,
    image_ends: Signal<Local, Bit>,

    hold: Dff<Bits<3>>,
    open: Signal<Local, Bit>,
    take: Signal<Local, Bit>,
    take_header: Signal<Local, Bit>,
    take_run: Signal<Local, Bit>,
    take_prefetch: Signal<Local, Bit>,
    at_last: Signal<Local, Bit>,
    sub_last: Signal<Local, Bit>,
    part_ends: Signal<Local, Bit>,
    tail_follows: Signal<Local, Bit>,
    advance: Signal<Local, Bit>,
    under_way: Dff<Bits<9>>,
    some: Dff<Bit>,

    // One cycle later.
    write: Dff<Bit>,
    bank: Dff<Bits<2>>,
    write_sub: Dff<Bits<2>>,
    addr: Dff<Bits<16>>,
    data: Dff<Bits<128>>,
    bias: Dff<Bit>,
    bias_index: Dff<Bits<8>>,
    done: Dff<Bit>,
    done_first: Dff<Bit>,
    done_closed: Dff<Bit>,
    done_visit: Dff<Bit>,
    done_slot: Dff<Bits<3>>,
    done_count: Dff<Bits<16>>,
    done_kind: Dff<Bits<2>>,
    done_index: Dff<Bits<16>>,
    done_expert: Dff<Bits<8>>,
    keep: Dff<Bit>,
    bad: Dff<Bit>,
    was_header: Dff<Bit>,
    was_prefetch: Dff<Bit>,
    slot_mark: Signal<Local, Bits<4>>,
    bad_image: Signal<Local, Bit>,
    pf_bad_read: Dff<Bits<4>>,
    pf_bad_image: Dff<Bits<4>>,
    read_failed: Dff<Bit>,
    image_failed: Dff<Bit>,

    // The map: 1 with the write, 2, 3.
    scale1: Dff<Bit>,
    block1: Dff<Bits<5>>,
    chunk1: Dff<Bits<7>>,
    first1: Dff<Bit>,
    end1: Dff<Bit>,
    base1: Dff<Bits<16>>,
    scale2: Dff<Bit>,
    block2: Dff<Bits<5>>,
    first2: Dff<Bit>,
    end2: Dff<Bit>,
    addr2: Dff<Bits<16>>,
    lanes2: Dff<Bits<8>>,
    lane: [Signal<Local, Bit>; 8],
    mark: Signal<Local, Bits<32>>,
    before: Signal<Local, Bits<32>>,
    map: Dff<Bits<32>>,
    map3: Dff<Bit>,
    addr3: Dff<Bits<16>>,

    starts: [Constant<Bits<16>>; 8],
    router_words: Constant<Bits<17>>,
    magic: Constant<Bits<16>>,
}

impl LoadReceive {
    /// For the slots of the configuration.
    pub fn new(config: &Config) -> Self {
        let start = |slot: usize| {
            let router = slot.saturating_sub(config.slots).min(1);
            slot.min(config.slots) * config.slot_words + router * config.router_words
        };
        Self {
            clk: Default::default(),
            rst: Default::default(),
            go: Default::default(),
            choice_bias: Default::default(),
            experts: Default::default(),
            order_vld: Default::default(),
            order_kind: Default::default(),
            order_slot: Default::default(),
            order_expert: Default::default(),
            wipe: Default::default(),
            forget: Default::default(),
            piece: Default::default(),
            pf_some: Default::default(),
            pf_credit: Default::default(),
            pf_complete: Default::default(),
            pf_slot: Default::default(),
            shape_active: Default::default(),
            window: Default::default(),
            first_kind: Default::default(),
            sparse: Default::default(),
            pair: Default::default(),
            kind_now: Default::default(),
            position_last: Default::default(),
            value_last: Default::default(),
            words: Default::default(),
            groups: Default::default(),
            kind_next: Default::default(),
            next_block_last: Default::default(),
            next_words: Default::default(),
            r_vld: Default::default(),
            r_rdy: Default::default(),
            r_data: Default::default(),
            r_resp: Default::default(),
            wr_vld: Default::default(),
            wr_bank: Default::default(),
            wr_sub: Default::default(),
            wr_addr: Default::default(),
            wr_data: Default::default(),
            map_vld: Default::default(),
            map_addr: Default::default(),
            map_data: Default::default(),
            cb_vld: Default::default(),
            cb_index: Default::default(),
            cb_data: Default::default(),
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
            image_done: Default::default(),
            err_read: Default::default(),
            err_image: Default::default(),
            beat: Default::default(),
            pf_beat: Default::default(),
            orders: Dram::new(16),
            put: Default::default(),
            got: Default::default(),
            head_vld: Default::default(),
            head: Default::default(),
            new_order: Default::default(),
            some_order: Default::default(),
            pop: Default::default(),
            next_kind_of: Default::default(),
            next_slot: Default::default(),
            next_expert: Default::default(),
            head_start: Default::default(),
            state: Dff::new(State::Idle),
            prefetch: Default::default(),
            need_slot: Default::default(),
            kind: Default::default(),
            index: Default::default(),
            slot: Default::default(),
            slot_start: Default::default(),
            used: Default::default(),
            word: Default::default(),
            part: Dff::new(Part::Scale),
            count: Default::default(),
            last: Default::default(),
            sub: Default::default(),
            in_slot: Default::default(),
            expert: Default::default(),
            exps: Default::default(),
            p_kind: Default::default(),
            p_index: Default::default(),
            p_slot: Default::default(),
            p_start: Default::default(),
            p_used: Default::default(),
            p_word: Default::default(),
            p_part: Dff::new(Part::Scale),
            p_count: Default::default(),
            p_sub: Default::default(),
            p_in_slot: Default::default(),
            p_expert: Default::default(),
            p_map: Default::default(),
            e_kind: Default::default(),
            e_index: Default::default(),
            e_image: Default::default(),
            time: Default::default(),
            displaces: Default::default(),
            switch_kind: Default::default(),
            index_next: Default::default(),
            last_group: Default::default(),
            words1: Default::default(),
            sum: Default::default(),
            words2: Default::default(),
            sum2: Default::default(),
            fits: Default::default(),
            closes: Default::default(),
            limit: Default::default(),
            following: Default::default(),
            image_ends: Default::default(),
            hold: Default::default(),
            open: Default::default(),
            take: Default::default(),
            take_header: Default::default(),
            take_run: Default::default(),
            take_prefetch: Default::default(),
            at_last: Default::default(),
            sub_last: Default::default(),
            part_ends: Default::default(),
            tail_follows: Default::default(),
            advance: Default::default(),
            under_way: Default::default(),
            some: Default::default(),
            write: Default::default(),
            bank: Default::default(),
            write_sub: Default::default(),
            addr: Default::default(),
            data: Default::default(),
            bias: Default::default(),
            bias_index: Default::default(),
            done: Default::default(),
            done_first: Default::default(),
            done_closed: Default::default(),
            done_visit: Default::default(),
            done_slot: Default::default(),
            done_count: Default::default(),
            done_kind: Default::default(),
            done_index: Default::default(),
            done_expert: Default::default(),
            keep: Default::default(),
            bad: Default::default(),
            was_header: Default::default(),
            was_prefetch: Default::default(),
            slot_mark: Default::default(),
            bad_image: Default::default(),
            pf_bad_read: Default::default(),
            pf_bad_image: Default::default(),
            read_failed: Default::default(),
            image_failed: Default::default(),
            scale1: Default::default(),
            block1: Default::default(),
            chunk1: Default::default(),
            first1: Default::default(),
            end1: Default::default(),
            base1: Default::default(),
            scale2: Default::default(),
            block2: Default::default(),
            first2: Default::default(),
            end2: Default::default(),
            addr2: Default::default(),
            lanes2: Default::default(),
            lane: arr(),
            mark: Default::default(),
            before: Default::default(),
            map: Default::default(),
            map3: Default::default(),
            addr3: Default::default(),
            starts: std::array::from_fn(|slot| Constant::new((start(slot) as u64).to_bits())),
            router_words: Constant::new((config.router_words as u64).to_bits()),
            magic: Constant::new(u64::from(abi::layout::IMAGE_MAGIC).to_bits()),
        }
    }
}

impl Logic for LoadReceive {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("load_receive");
        dff_setup!(
            self, clk, put, got, head_vld, head, state, prefetch, need_slot, kind, index, slot,
            slot_start
        );
        dff_setup!(self, clk, used, word, part, count, last, sub, in_slot, expert, exps);
        dff_setup!(
            self, clk, p_kind, p_index, p_slot, p_start, p_used, p_word, p_part, p_count, p_sub,
            p_in_slot, p_expert, p_map
        );
        dff_setup!(
            self,
            clk,
            e_kind,
            e_index,
            e_image,
            time,
            displaces,
            switch_kind
        );
        dff_setup!(
            self, clk, last_group, words1, sum, words2, sum2, fits, closes, under_way, hold, some
        );
        dff_setup!(self, clk, write, bank, write_sub, addr, data, bias, bias_index);
        dff_setup!(
            self,
            clk,
            done,
            done_first,
            done_closed,
            done_visit,
            done_slot,
            done_count,
            done_kind,
            done_index,
            done_expert,
            keep
        );
        dff_setup!(
            self,
            clk,
            bad,
            was_header,
            was_prefetch,
            pf_bad_read,
            pf_bad_image,
            read_failed,
            image_failed
        );
        dff_setup!(
            self, clk, scale1, block1, chunk1, first1, end1, base1, scale2, block2, first2, end2,
            addr2, lanes2, map, map3, addr3
        );
        clock!(self, clk, orders);

        // Orders.
        self.new_order.next = bit_cast::<14, 3>(self.order_kind.val())
            | (bit_cast::<14, 3>(self.order_slot.val()) << 3)
            | (bit_cast::<14, 8>(self.order_expert.val()) << 6);
        self.orders.we.next = self.order_vld.val();
        self.orders.waddr.next = self.put.q.val().get_bits::<4>(0);
        self.orders.wdata.next = self.new_order.val();
        self.orders.raddr.next = self.got.q.val().get_bits::<4>(0);
        self.next_kind_of.next = self.head.q.val().get_bits::<3>(0);
        self.next_slot.next = self.head.q.val().get_bits::<3>(3);
        self.next_expert.next = self.head.q.val().get_bits::<8>(6);
        self.head_start.next = self.starts[0].val();
        for i in 1..8 {
            if self.next_slot.val() == i.to_bits() {
                self.head_start.next = self.starts[i].val();
            }
        }

        // What the group at work does to its slot.
        self.index_next.next = self.index.q.val() + 1;
        self.last_group.d.next = self.index_next.val() == self.groups.val();
        self.kind_now.next = self.kind.q.val();
        self.words1.d.next = self.words.val();
        self.sum.d.next = self.used.q.val() + self.words1.q.val();
        self.following.next = self.kind.q.val();
        if self.last_group.q.val() && self.kind.q.val() == 1 {
            self.following.next = 2.into();
        }
        self.image_ends.next = self.last_group.q.val() && self.kind.q.val() != 1;
        self.kind_next.next = self.following.val();
        self.words2.d.next = self.next_words.val();
        self.sum2.d.next =
            bit_cast::<17, 16>(self.sum.q.val()) + bit_cast::<17, 16>(self.words2.q.val());
        self.limit.next = bit_cast::<17, 16>(self.window.val());
        if self.kind.q.val() == 0 {
            self.limit.next = self.router_words.val();
        }
        self.fits.d.next = self.sum2.q.val() <= self.limit.val();
        self.closes.d.next = self.image_ends.val() || !self.fits.q.val();

        // Taking beats.
        self.open.next = false;
        match self.state.q.val() {
            State::Idle => {
                self.kind_next.next = self.first_kind.val();
                if self.next_kind_of.val() == 1 {
                    self.kind_next.next = 0.into();
                }
                self.open.next = self.head_vld.q.val() && self.next_kind_of.val() < 3;
            }
            State::Run => {
                self.open.next =
                    !self.need_slot.q.val() && (!self.prefetch.q.val() || self.some.q.val());
            }
            State::Switch => {
                if self.time.q.val() < 6 {
                    self.kind_next.next = self.kind.q.val();
                }
            }
            State::Discard => {
                self.open.next = self.some.q.val();
            }
        }
        // While the tables are made, and until what follows from them is known again, nothing comes in.
        if self.hold.q.val() != 0 {
            self.open.next = false;
            self.hold.d.next = self.hold.q.val() - 1;
        }
        if self.shape_active.val() {
            self.open.next = false;
            self.hold.d.next = 6.into();
        }
        self.r_rdy.next = self.open.val();
        self.take.next = self.open.val() && self.r_vld.val();
        self.take_header.next = self.take.val() && self.state.q.val() == State::Idle;
        self.take_run.next = self.take.val() && self.state.q.val() == State::Run;
        self.take_prefetch.next = self.take.val()
            && (self.state.q.val() == State::Discard
                || (self.state.q.val() == State::Run && self.prefetch.q.val())
                || (self.state.q.val() == State::Idle && self.next_kind_of.val() == 2));
        self.beat.next = self.take.val();
        self.pf_beat.next = self.take_prefetch.val();
        self.under_way.d.next = self.under_way.q.val() + bit_cast::<9, 6>(self.piece.val())
            - bit_cast::<9, 1>(self.take_prefetch.val().into());
        if self.take_prefetch.val() && self.under_way.q.val() == 1 {
            self.some.d.next = false;
        }
        if self.piece.val() != 0 {
            self.some.d.next = true;
        }
        self.pf_some.next = self.some.q.val();
        self.pf_credit.next = !(self.under_way.q.val().get_bit(8)
            || (self.under_way.q.val().get_bit(7) && self.under_way.q.val().get_bit(6)));

        // A beat of a group.
        self.at_last.next = self.count.q.val() == self.last.q.val();
        self.sub_last.next = true;
        self.bank.d.next = 0.into();
        match self.part.q.val() {
            Part::Scale => {
                self.sub_last.next =
                    self.sub.q.val() == 1 || !self.pair.val() || self.kind.q.val() == 0;
            }
            Part::Position => {
                self.bank.d.next = 1.into();
                self.sub_last.next = self.sub.q.val() == 1;
            }
            Part::Value => {
                self.bank.d.next = 2.into();
                self.sub_last.next = self.sub.q.val() == 3;
            }
            Part::Tail => {}
        }
        self.part_ends.next = self.take_run.val() && self.at_last.val() && self.sub_last.val();
        self.tail_follows.next =
            self.kind.q.val() == 0 && self.last_group.q.val() && self.choice_bias.val();
        self.advance.next = self.part_ends.val()
            && (self.part.q.val() == Part::Tail
                || (self.part.q.val() == Part::Value && !self.tail_follows.val()));
        self.write.d.next = self.take_run.val() && self.part.q.val() != Part::Tail;
        self.write_sub.d.next = self.sub.q.val();
        if self.part.q.val() == Part::Scale {
            self.write_sub.d.next = 0.into();
        }
        self.addr.d.next = self.slot_start.q.val() + self.word.q.val();
        self.data.d.next = self.r_data.val();
        self.bias.d.next = self.take_run.val() && self.part.q.val() == Part::Tail;
        self.bias_index.d.next = bit_cast::<8, 6>(self.count.q.val().get_bits::<6>(0)) << 2;
        self.pop.next = false;
        self.image_done.next = false;
        self.pf_complete.next = false;
        self.adopt_vld.next = false;
        if self.take_run.val() {
            self.sub.d.next = self.sub.q.val() + 1;
            if self.sub_last.val() {
                self.sub.d.next = 0.into();
                self.count.d.next = self.count.q.val() + 1;
            }
            if self.sub_last.val() || self.part.q.val() == Part::Scale {
                self.word.d.next = self.word.q.val() + 1;
            }
        }
        if self.part_ends.val() {
            self.count.d.next = 0.into();
            self.word.d.next = self.used.q.val();
            match self.part.q.val() {
                Part::Scale => {
                    self.part.d.next = Part::Value;
                    self.last.d.next = self.value_last.val();
                    if self.sparse.val() && self.kind.q.val() != 0 {
                        self.part.d.next = Part::Position;
                        self.last.d.next = self.position_last.val();
                    }
                }
                Part::Position => {
                    self.part.d.next = Part::Value;
                    self.last.d.next = self.value_last.val();
                }
                Part::Value => {
                    // The router's last group counts as complete only with the biases.
                    self.part.d.next = Part::Tail;
                    self.last.d.next =
                        bit_cast::<12, 8>(((self.experts.val() - 1) >> 2).get_bits::<8>(0));
                }
                Part::Tail => {}
            }
        }
        if self.advance.val() {
            self.part.d.next = Part::Scale;
            self.last.d.next = self.next_block_last.val();
            self.kind.d.next = self.following.val();
            self.index.d.next = self.index_next.val();
            if self.last_group.q.val() {
                self.index.d.next = 0.into();
            }
            self.used.d.next = self.sum.q.val();
            self.word.d.next = self.sum.q.val();
            self.in_slot.d.next = self.in_slot.q.val() + 1;
            if self.closes.q.val() {
                self.used.d.next = 0.into();
                self.word.d.next = 0.into();
                self.in_slot.d.next = 0.into();
                if self.prefetch.q.val() {
                    self.pf_complete.next = true;
                    self.e_kind.d.next = self.following.val();
                    self.e_index.d.next = self.index_next.val();
                    if self.last_group.q.val() {
                        self.e_index.d.next = 0.into();
                    }
                    self.e_image.d.next = self.image_ends.val();
                    self.state.d.next = State::Idle;
                } else if self.image_ends.val() {
                    self.image_done.next = true;
                    self.state.d.next = State::Idle;
                } else if self.head_vld.q.val() {
                    // The next slot is known: no cycle is lost.
                    self.pop.next = true;
                    self.slot.d.next = self.next_slot.val();
                    self.slot_start.d.next = self.head_start.val();
                } else {
                    self.need_slot.d.next = true;
                }
            }
        }
        self.done.d.next = self.advance.val();
        self.done_first.d.next = self.in_slot.q.val() == 0;
        self.done_closed.d.next = self.closes.q.val();
        self.done_visit.d.next = !self.prefetch.q.val();
        self.done_slot.d.next = self.slot.q.val();
        self.done_count.d.next = self.in_slot.q.val() + 1;
        self.done_kind.d.next = self.kind.q.val();
        self.done_index.d.next = self.index.q.val();
        self.done_expert.d.next = self.expert.q.val();
        self.keep.d.next = self.advance.val() && self.in_slot.q.val() == 0;
        self.pf_slot.next = self.slot.q.val();

        // Orders change the place.
        match self.state.q.val() {
            State::Idle => {
                if self.head_vld.q.val() && self.next_kind_of.val() >= 3 {
                    self.displaces.d.next = false;
                    self.time.d.next = 0.into();
                    self.state.d.next = State::Switch;
                }
                if self.take.val() {
                    self.pop.next = true;
                    self.state.d.next = State::Run;
                    self.prefetch.d.next = self.next_kind_of.val() == 2;
                    self.need_slot.d.next = false;
                    self.kind.d.next = self.kind_next.val();
                    self.index.d.next = 0.into();
                    self.slot.d.next = self.next_slot.val();
                    self.slot_start.d.next = self.head_start.val();
                    self.used.d.next = 0.into();
                    self.word.d.next = 0.into();
                    self.part.d.next = Part::Scale;
                    self.count.d.next = 0.into();
                    self.last.d.next = self.next_block_last.val();
                    self.sub.d.next = 0.into();
                    self.in_slot.d.next = 0.into();
                    self.expert.d.next = self.next_expert.val();
                    if self.next_kind_of.val() == 1 {
                        self.expert.d.next = 0.into();
                    }
                    self.exps.d.next = self.r_data.val().get_bits::<48>(0);
                    self.done_slot.d.next = self.next_slot.val();
                    self.keep.d.next = true;
                }
            }
            State::Run => {
                if self.need_slot.q.val() && self.head_vld.q.val() {
                    self.pop.next = true;
                    self.need_slot.d.next = false;
                    self.slot.d.next = self.next_slot.val();
                    self.slot_start.d.next = self.head_start.val();
                }
                if self.prefetch.q.val() && self.head_vld.q.val() {
                    if self.next_kind_of.val() == 3 {
                        // It was not displaced after all.
                        self.pop.next = true;
                    } else if !self.some.q.val() {
                        self.displaces.d.next = true;
                        self.time.d.next = 0.into();
                        self.state.d.next = State::Switch;
                    }
                }
                if self.forget.val() && self.prefetch.q.val() {
                    self.state.d.next = State::Idle;
                }
            }
            State::Switch => {
                self.time.d.next = self.time.q.val() + 1;
                if self.time.q.val() == 3 {
                    // The last beat's scale is in the map by now.
                    self.switch_kind.d.next = self.next_kind_of.val();
                    if self.displaces.q.val() {
                        self.p_kind.d.next = self.kind.q.val();
                        self.p_index.d.next = self.index.q.val();
                        self.p_slot.d.next = self.slot.q.val();
                        self.p_start.d.next = self.slot_start.q.val();
                        self.p_used.d.next = self.used.q.val();
                        self.p_word.d.next = self.word.q.val();
                        self.p_part.d.next = self.part.q.val();
                        self.p_count.d.next = self.count.q.val();
                        self.p_sub.d.next = self.sub.q.val();
                        self.p_in_slot.d.next = self.in_slot.q.val();
                        self.p_expert.d.next = self.expert.q.val();
                        self.p_map.d.next = self.map.q.val();
                    }
                    if self.next_kind_of.val() < 3 {
                        self.state.d.next = State::Idle;
                    } else {
                        self.pop.next = true;
                        self.prefetch.d.next = self.next_kind_of.val() == 3;
                        self.need_slot.d.next = false;
                        if self.next_kind_of.val() == 4 {
                            self.kind.d.next = self.e_kind.q.val();
                            self.index.d.next = self.e_index.q.val();
                            self.slot.d.next = self.next_slot.val();
                            self.expert.d.next = self.next_expert.val();
                            self.used.d.next = 0.into();
                            self.word.d.next = 0.into();
                            self.part.d.next = Part::Scale;
                            self.count.d.next = 0.into();
                            self.sub.d.next = 0.into();
                            self.in_slot.d.next = 0.into();
                        } else if !self.displaces.q.val() {
                            self.kind.d.next = self.p_kind.q.val();
                            self.index.d.next = self.p_index.q.val();
                            self.slot.d.next = self.p_slot.q.val();
                            self.slot_start.d.next = self.p_start.q.val();
                            self.used.d.next = self.p_used.q.val();
                            self.word.d.next = self.p_word.q.val();
                            self.part.d.next = self.p_part.q.val();
                            self.count.d.next = self.p_count.q.val();
                            self.sub.d.next = self.p_sub.q.val();
                            self.in_slot.d.next = self.p_in_slot.q.val();
                            self.expert.d.next = self.p_expert.q.val();
                            self.map.d.next = self.p_map.q.val();
                        }
                    }
                }
                if self.time.q.val() == 5 {
                    self.exps.d.next = self.look_exponents.val();
                    self.last.d.next = self.next_block_last.val();
                    if self.part.q.val() == Part::Position {
                        self.last.d.next = self.position_last.val();
                    }
                    if self.part.q.val() == Part::Value {
                        self.last.d.next = self.value_last.val();
                    }
                }
                if self.time.q.val() == 12 {
                    self.state.d.next = State::Run;
                    if self.switch_kind.q.val() == 4 {
                        self.adopt_vld.next = true;
                        self.need_slot.d.next = true;
                        if self.e_image.q.val() {
                            self.image_done.next = true;
                            self.state.d.next = State::Idle;
                        }
                    }
                    if self.switch_kind.q.val() == 5 {
                        self.adopt_vld.next = self.in_slot.q.val() != 0;
                    }
                }
            }
            State::Discard => {
                if !self.some.q.val() {
                    self.state.d.next = State::Idle;
                }
            }
        }
        self.look.next = self.state.q.val() == State::Switch;
        self.look_slot.next = self.slot.q.val();
        self.adopt_slot.next = self.slot.q.val();

        // The queue of orders.
        self.some_order.next = self.put.q.val() != self.got.q.val();
        if self.order_vld.val() {
            self.put.d.next = self.put.q.val() + 1;
        }
        if self.pop.val() {
            self.head_vld.d.next = false;
        }
        if self.some_order.val() && (self.pop.val() || !self.head_vld.q.val()) {
            self.head.d.next = self.orders.rdata.val();
            self.head_vld.d.next = true;
            self.got.d.next = self.got.q.val() + 1;
        }

        // The map.
        self.scale1.d.next = self.take_run.val() && self.part.q.val() == Part::Scale;
        self.block1.d.next = self.count.q.val().get_bits::<5>(0);
        self.chunk1.d.next = self.count.q.val().get_bits::<7>(5);
        self.first1.d.next = self.count.q.val().get_bits::<5>(0) == 0 && self.sub.q.val() == 0;
        self.end1.d.next = self.sub_last.val()
            && (self.at_last.val() || self.count.q.val().get_bits::<5>(0) == 31);
        self.base1.d.next = self.slot_start.q.val() + self.used.q.val();
        self.scale2.d.next = self.scale1.q.val();
        self.block2.d.next = self.block1.q.val();
        self.first2.d.next = self.first1.q.val();
        self.end2.d.next = self.end1.q.val();
        self.addr2.d.next = self.base1.q.val() + bit_cast::<16, 7>(self.chunk1.q.val());
        for i in 0..8 {
            self.lane[i].next = self.data.q.val().get_bits::<15>(16 * i) != 0;
        }
        self.lanes2.d.next = bit_cast::<8, 1>(self.lane[0].val().into())
            | (bit_cast::<8, 1>(self.lane[1].val().into()) << 1)
            | (bit_cast::<8, 1>(self.lane[2].val().into()) << 2)
            | (bit_cast::<8, 1>(self.lane[3].val().into()) << 3)
            | (bit_cast::<8, 1>(self.lane[4].val().into()) << 4)
            | (bit_cast::<8, 1>(self.lane[5].val().into()) << 5)
            | (bit_cast::<8, 1>(self.lane[6].val().into()) << 6)
            | (bit_cast::<8, 1>(self.lane[7].val().into()) << 7);
        self.mark.next = 0.into();
        if self.lanes2.q.val() != 0 {
            self.mark.next = bits::<32>(1) << self.block2.q.val();
        }
        self.before.next = self.map.q.val();
        if self.first2.q.val() {
            self.before.next = 0.into();
        }
        if self.scale2.q.val() {
            self.map.d.next = self.before.val() | self.mark.val();
        }
        self.map3.d.next = self.scale2.q.val() && self.end2.q.val();
        self.addr3.d.next = self.addr2.q.val();

        // Errors: those of a prefetch count only when it is demanded.
        self.bad.d.next =
            self.take.val() && self.state.q.val() != State::Discard && self.r_resp.val() != 0;
        self.was_header.d.next = self.take_header.val();
        self.was_prefetch.d.next = self.take_prefetch.val();
        self.slot_mark.next = bits::<4>(1) << self.slot.q.val();
        self.bad_image.next =
            self.was_header.q.val() && self.data.q.val().get_bits::<16>(48) != self.magic.val();
        if self.was_prefetch.q.val() && self.was_header.q.val() {
            self.pf_bad_read.d.next = self.pf_bad_read.q.val() & !self.slot_mark.val();
            self.pf_bad_image.d.next = self.pf_bad_image.q.val() & !self.slot_mark.val();
        }
        if self.go.val() {
            self.read_failed.d.next = false;
            self.image_failed.d.next = false;
        }
        if self.bad.q.val() {
            if self.was_prefetch.q.val() {
                self.pf_bad_read.d.next = self.pf_bad_read.q.val() | self.slot_mark.val();
            } else {
                self.read_failed.d.next = true;
            }
        }
        if self.bad_image.val() {
            if self.was_prefetch.q.val() {
                self.pf_bad_image.d.next = self.pf_bad_image.q.val() | self.slot_mark.val();
            } else {
                self.image_failed.d.next = true;
            }
        }
        if self.state.q.val() == State::Switch
            && self.time.q.val() == 12
            && self.switch_kind.q.val() != 3
        {
            if (self.pf_bad_read.q.val() & self.slot_mark.val()) != 0 {
                self.read_failed.d.next = true;
            }
            if (self.pf_bad_image.q.val() & self.slot_mark.val()) != 0 {
                self.image_failed.d.next = true;
            }
        }

        if self.wipe.val() || self.rst.val() {
            self.put.d.next = 0.into();
            self.got.d.next = 0.into();
            self.head_vld.d.next = false;
            self.state.d.next = State::Discard;
        }
        if self.rst.val() {
            self.state.d.next = State::Idle;
            self.under_way.d.next = 0.into();
            self.some.d.next = false;
            self.write.d.next = false;
            self.bias.d.next = false;
            self.done.d.next = false;
            self.keep.d.next = false;
            self.scale1.d.next = false;
            self.scale2.d.next = false;
            self.map3.d.next = false;
            self.bad.d.next = false;
            self.was_header.d.next = false;
            self.read_failed.d.next = false;
            self.image_failed.d.next = false;
        }

        self.wr_vld.next = self.write.q.val();
        self.wr_bank.next = self.bank.q.val();
        self.wr_sub.next = self.write_sub.q.val();
        self.wr_addr.next = self.addr.q.val();
        self.wr_data.next = self.data.q.val();
        self.map_vld.next = self.map3.q.val();
        self.map_addr.next = self.addr3.q.val();
        self.map_data.next = self.map.q.val();
        self.cb_vld.next = self.bias.q.val();
        self.cb_index.next = self.bias_index.q.val();
        self.cb_data.next = self.data.q.val();
        self.group_vld.next = self.done.q.val();
        self.group_slot.next = self.done_slot.q.val();
        self.group_count.next = self.done_count.q.val();
        self.group_closed.next = self.done_closed.q.val();
        self.group_first.next = self.done_first.q.val();
        self.group_visit.next = self.done_visit.q.val();
        self.group_kind.next = self.done_kind.q.val();
        self.group_index.next = self.done_index.q.val();
        self.group_expert.next = self.done_expert.q.val();
        self.exponents_vld.next = self.keep.q.val();
        self.exponents.next = self.exps.q.val();
        self.err_read.next = self.read_failed.q.val();
        self.err_image.next = self.image_failed.q.val();
    }
}
