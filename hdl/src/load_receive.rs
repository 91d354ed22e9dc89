//! The loader's receive side: where each arriving beat belongs.
//!
//! What: follows the orders of the request side. A beat is an image's header, a scale, position or value beat of a group (written into its
//! bank), or a word of the router's choice biases (handed on). From the scales it makes the map of blocks that are not all zero. One *place*
//! (kind, group, part of it, word, slot) is at work; that of an unfinished prefetch is parked when a demanded image begins, and taken up
//! when the prefetch goes on or is demanded itself. Demanded images always end before anything else begins, so they are never parked.
//!
//! A beat comes into a register and is taken from there; whether it may be is in a register too. Taking it only counts down the part of its
//! group. What the last beat of a group means for the place is done a cycle later, and the place is used a cycle later: so neither waits
//! for the other. All counts that depend on kinds are looked up ahead.
//!
//! Cost (ECP5, `versa`): 1008 LUT sites, 1104 flip-flops. Latency: beat to write port 3 cycles, to map 5 cycles, last beat of a group to `group_vld` 3 cycles.
//! Bottleneck: one beat per cycle; the bus waits 16 cycles where the place is changed (a hit, or a prefetch that goes on), 8 where a demanded
//! image displaces a prefetch, never between demanded images whose orders are known. Hazards: whether a slot is full, and what follows,
//! is known with the seventh beat of a group; the shortest group has seven.

use abi::Config;
use leaf::prelude::*;

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
    /// At most 192; three cycles after `piece`.
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
    /// Kind of the group whose parts are next: of the one that arrives, or, while its values do, of the one after it.
    pub kind_part: Signal<Out, Bits<2>>,
    /// Kind of the group that arrives; what is looked up for it stands two cycles later.
    pub kind_now: Signal<Out, Bits<2>>,
    /// Its beats of scales, less two (signed).
    pub scale_beats: Signal<In, Bits<12>>,
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
    /// A beat is taken, a cycle or more after it came.
    pub beat: Signal<Out, Bit>,
    /// A prefetched one.
    pub pf_beat: Signal<Out, Bit>,

    // The beat that came.
    in_vld: Dff<Bit>,
    in_data: Dff<Bits<128>>,
    in_bad: Dff<Bit>,

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

    // What is going on, one bit each: between images; the header is awaited; inside an image; the place changes; beats of a prefetch in
    // another shape are thrown away.
    st_idle: Dff<Bit>,
    st_header: Dff<Bit>,
    st_run: Dff<Bit>,
    st_switch: Dff<Bit>,
    st_discard: Dff<Bit>,
    begins: Dff<Bit>,
    begin: Signal<Local, Bit>,
    changes: Dff<Bit>,
    fills: Dff<Bit>,
    advances: Dff<Bit>,
    head_first: Dff<Bit>,
    head_router: Dff<Bit>,
    head_goes_on: Dff<Bit>,
    head_adopts: Dff<Bit>,

    // The place: `left` is the number of beats of the part after the next one, less one, so below zero for its last beat.
    prefetch: Dff<Bit>,
    need_slot: Dff<Bit>,
    kind: Dff<Bits<2>>,
    index: Dff<Bits<16>>,
    slot: Dff<Bits<3>>,
    base: Dff<Bits<16>>,
    room: Dff<Bits<16>>,
    word: Dff<Bits<13>>,
    part: Dff<Part>,
    left: Dff<Bits<15>>,
    sub: Dff<Bits<2>>,
    in_slot: Dff<Bits<16>>,
    expert: Dff<Bits<8>>,
    exps: Dff<Bits<48>>,
    // Parked, and where a full prefetched slot ends.
    p_kind: Dff<Bits<2>>,
    p_index: Dff<Bits<16>>,
    p_slot: Dff<Bits<3>>,
    p_base: Dff<Bits<16>>,
    p_room: Dff<Bits<16>>,
    p_word: Dff<Bits<13>>,
    p_part: Dff<Part>,
    p_left: Dff<Bits<15>>,
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
    moves: Dff<Bit>,
    time_up: Signal<Local, Bit>,
    parks: Dff<Bit>,
    restores: Dff<Bit>,
    adopts: Dff<Bit>,
    turns_back: Dff<Bit>,
    looks: Dff<Bit>,
    arrives: Dff<Bit>,
    bad_read_here: Dff<Bit>,
    bad_image_here: Dff<Bit>,

    // What the group does to the slot; each a cycle after what it is made of.
    index1: Dff<Bits<16>>,
    last_group: Dff<Bit>,
    base1: Dff<Bits<16>>,
    room1: Dff<Bits<16>>,
    fits: Dff<Bit>,
    closes: Dff<Bit>,
    stops: Dff<Bit>,
    follows: Dff<Bit>,
    image_ends: Dff<Bit>,
    tail_follows: Dff<Bit>,
    pair_now: Dff<Bit>,
    sparse_now: Dff<Bit>,
    tail_left: Dff<Bits<8>>,
    limit: Dff<Bits<16>>,
    following: Signal<Local, Bits<2>>,

    // Beats are taken while `open`, those of a prefetch only while some are under way. It opens at the end of `hold`.
    open: Dff<Bit>,
    hold: Dff<Bits<3>>,
    fresh: Dff<Bit>,
    take: Signal<Local, Bit>,
    take_run: Signal<Local, Bit>,
    take_prefetch: Signal<Local, Bit>,
    sub_last: Signal<Local, Bit>,
    part_ends: Signal<Local, Bit>,
    last_part: Dff<Bit>,
    advance: Signal<Local, Bit>,
    next_left: Signal<Local, Bits<15>>,
    scale_left: Signal<Local, Bits<15>>,
    tail_signed: Signal<Local, Bits<15>>,
    // Prefetched beats under way, less one: below zero if there are none.
    under_way: Dff<Bits<9>>,
    none: Signal<Local, Bit>,
    more: Dff<Bits<9>>,
    more_less: Dff<Bits<9>>,
    more_vld: Dff<Bit>,
    change_by: Signal<Local, Bits<9>>,

    // One cycle later, and one more.
    write0: Dff<Bit>,
    bias0: Dff<Bit>,
    word0: Dff<Bits<13>>,
    sub0: Dff<Bits<2>>,
    bank0: Dff<Bits<2>>,
    data0: Dff<Bits<128>>,
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
    image_over: Dff<Bit>,
    prefetch_over: Dff<Bit>,
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
    block: Signal<Local, Bits<5>>,
    block1: Dff<Bits<5>>,
    chunk1: Dff<Bits<8>>,
    first1: Dff<Bit>,
    end1: Dff<Bit>,
    scale2: Dff<Bit>,
    block2: Dff<Bits<5>>,
    first2: Dff<Bit>,
    end2: Dff<Bit>,
    addr2: Dff<Bits<16>>,
    lanes2: Dff<Bits<8>>,
    scale3: Dff<Bit>,
    some3: Dff<Bit>,
    block3: Dff<Bits<5>>,
    first3: Dff<Bit>,
    end3: Dff<Bit>,
    lane: [Signal<Local, Bit>; 8],
    mark: Signal<Local, Bits<32>>,
    before: Signal<Local, Bits<32>>,
    map: Dff<Bits<32>>,
    map4: Dff<Bit>,
    addr3: Dff<Bits<16>>,
    addr4: Dff<Bits<16>>,

    starts: [Constant<Bits<16>>; 8],
    router_words: Constant<Bits<16>>,
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
            kind_part: Default::default(),
            kind_now: Default::default(),
            scale_beats: Default::default(),
            position_last: Default::default(),
            value_last: Default::default(),
            words: Default::default(),
            groups: Default::default(),
            kind_next: Default::default(),
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
            in_vld: Default::default(),
            in_data: Default::default(),
            in_bad: Default::default(),
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
            st_idle: Dff::new(true),
            st_header: Default::default(),
            st_run: Default::default(),
            st_switch: Default::default(),
            st_discard: Default::default(),
            begins: Default::default(),
            begin: Default::default(),
            changes: Default::default(),
            fills: Default::default(),
            advances: Default::default(),
            head_first: Default::default(),
            head_router: Default::default(),
            head_goes_on: Default::default(),
            head_adopts: Default::default(),
            prefetch: Default::default(),
            need_slot: Default::default(),
            kind: Default::default(),
            index: Default::default(),
            slot: Default::default(),
            base: Default::default(),
            room: Default::default(),
            word: Default::default(),
            part: Dff::new(Part::Scale),
            left: Default::default(),
            sub: Default::default(),
            in_slot: Default::default(),
            expert: Default::default(),
            exps: Default::default(),
            p_kind: Default::default(),
            p_index: Default::default(),
            p_slot: Default::default(),
            p_base: Default::default(),
            p_room: Default::default(),
            p_word: Default::default(),
            p_part: Dff::new(Part::Scale),
            p_left: Default::default(),
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
            moves: Default::default(),
            time_up: Default::default(),
            parks: Default::default(),
            restores: Default::default(),
            adopts: Default::default(),
            turns_back: Default::default(),
            looks: Default::default(),
            arrives: Default::default(),
            bad_read_here: Default::default(),
            bad_image_here: Default::default(),
            index1: Default::default(),
            last_group: Default::default(),
            base1: Default::default(),
            room1: Default::default(),
            fits: Default::default(),
            closes: Default::default(),
            stops: Default::default(),
            follows: Default::default(),
            image_ends: Default::default(),
            tail_follows: Default::default(),
            pair_now: Default::default(),
            sparse_now: Default::default(),
            tail_left: Default::default(),
            limit: Default::default(),
            following: Default::default(),
            open: Default::default(),
            hold: Default::default(),
            fresh: Default::default(),
            take: Default::default(),
            take_run: Default::default(),
            take_prefetch: Default::default(),
            sub_last: Default::default(),
            part_ends: Default::default(),
            last_part: Default::default(),
            advance: Default::default(),
            next_left: Default::default(),
            scale_left: Default::default(),
            tail_signed: Default::default(),
            under_way: Dff::new(511.into()),
            none: Default::default(),
            more: Default::default(),
            more_less: Dff::new(511.into()),
            more_vld: Default::default(),
            change_by: Default::default(),
            write0: Default::default(),
            bias0: Default::default(),
            word0: Default::default(),
            sub0: Default::default(),
            bank0: Default::default(),
            data0: Default::default(),
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
            image_over: Default::default(),
            prefetch_over: Default::default(),
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
            block: Default::default(),
            block1: Default::default(),
            chunk1: Default::default(),
            first1: Default::default(),
            end1: Default::default(),
            scale2: Default::default(),
            block2: Default::default(),
            first2: Default::default(),
            end2: Default::default(),
            addr2: Default::default(),
            lanes2: Default::default(),
            scale3: Default::default(),
            some3: Default::default(),
            block3: Default::default(),
            first3: Default::default(),
            end3: Default::default(),
            lane: arr(),
            mark: Default::default(),
            before: Default::default(),
            map: Default::default(),
            map4: Default::default(),
            addr3: Default::default(),
            addr4: Default::default(),
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
            self, clk, in_vld, in_data, in_bad, put, got, head_vld, head, st_idle, st_header,
            st_run, st_switch
        );
        dff_setup!(
            self,
            clk,
            st_discard,
            begins,
            changes,
            fills,
            advances,
            head_first,
            head_router,
            head_goes_on,
            head_adopts,
            prefetch,
            need_slot
        );
        dff_setup!(
            self, clk, kind, index, slot, base, room, word, part, left, sub, in_slot, expert
        );
        dff_setup!(
            self, clk, exps, p_kind, p_index, p_slot, p_base, p_room, p_word, p_part, p_left,
            p_sub, p_in_slot
        );
        dff_setup!(
            self,
            clk,
            p_expert,
            p_map,
            e_kind,
            e_index,
            e_image,
            time,
            displaces,
            switch_kind,
            moves,
            parks,
            restores
        );
        dff_setup!(
            self,
            clk,
            adopts,
            turns_back,
            looks,
            arrives,
            bad_read_here,
            bad_image_here,
            index1,
            last_group,
            base1,
            room1,
            fits
        );
        dff_setup!(
            self,
            clk,
            closes,
            stops,
            follows,
            image_ends,
            tail_follows,
            pair_now,
            sparse_now,
            tail_left,
            limit,
            open,
            hold
        );
        dff_setup!(
            self, clk, fresh, last_part, under_way, more, more_less, more_vld, write0, bias0,
            word0, sub0, bank0
        );
        dff_setup!(
            self,
            clk,
            data0,
            write,
            bank,
            write_sub,
            addr,
            data,
            bias,
            bias_index,
            done,
            done_first,
            done_closed
        );
        dff_setup!(
            self,
            clk,
            done_visit,
            done_slot,
            done_count,
            done_kind,
            done_index,
            done_expert,
            image_over,
            prefetch_over,
            keep,
            bad,
            was_header
        );
        dff_setup!(
            self,
            clk,
            was_prefetch,
            pf_bad_read,
            pf_bad_image,
            read_failed,
            image_failed,
            scale1,
            block1,
            chunk1,
            first1,
            end1,
            scale2
        );
        dff_setup!(
            self, clk, block2, first2, end2, addr2, lanes2, scale3, some3, block3, first3, end3,
            map
        );
        dff_setup!(self, clk, map4, addr3, addr4);
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

        // What the group at work does to its slot: known with its seventh beat.
        self.kind_now.next = self.kind.q.val();
        self.index1.d.next = self.index.q.val() + 1;
        self.last_group.d.next = self.index1.q.val() == self.groups.val();
        self.base1.d.next = self.base.q.val() + self.words.val();
        self.room1.d.next = self.room.q.val() - self.words.val();
        self.following.next = self.kind.q.val();
        if self.last_group.q.val() {
            if self.kind.q.val() == 1 {
                self.following.next = 2.into();
            } else if self.kind.q.val() != 0 {
                self.following.next = self.first_kind.val();
            }
        }
        self.kind_next.next = self.following.val();
        self.kind_part.next = self.kind.q.val();
        if self.part.q.val() == Part::Value || self.advances.q.val() {
            self.kind_part.next = self.following.val();
        }
        self.fits.d.next = self.next_words.val() <= self.room1.q.val();
        self.image_ends.d.next = self.last_group.q.val() && self.kind.q.val() != 1;
        self.closes.d.next =
            (self.last_group.q.val() && self.kind.q.val() != 1) || !self.fits.q.val();
        // The next demanded image is known: its header may follow at once. If nothing is known, no beat is taken until it is.
        self.follows.d.next = self.last_group.q.val()
            && self.kind.q.val().get_bit(1)
            && !self.prefetch.q.val()
            && self.head_vld.q.val()
            && self.next_kind_of.val() == 0;
        self.stops.d.next = !self.fits.q.val() && (self.prefetch.q.val() || !self.head_vld.q.val());
        if self.last_group.q.val() && self.kind.q.val() != 1 {
            self.stops.d.next = !(self.kind.q.val().get_bit(1)
                && !self.prefetch.q.val()
                && self.head_vld.q.val()
                && self.next_kind_of.val() == 0);
        }
        self.tail_follows.d.next =
            self.kind.q.val() == 0 && self.last_group.q.val() && self.choice_bias.val();
        self.pair_now.d.next = self.pair.val() && self.kind.q.val() != 0;
        self.sparse_now.d.next = self.sparse.val() && self.kind.q.val() != 0;
        self.tail_left.d.next = ((self.experts.val() - 1) >> 2).get_bits::<8>(0) - 1;
        self.limit.d.next = self.window.val();
        if self.kind.q.val() == 0 {
            self.limit.d.next = self.router_words.val();
        }

        // Beats come into a register, and are taken from there.
        self.none.next = self.under_way.q.val().get_bit(8);
        self.take.next =
            self.in_vld.q.val() && self.open.q.val() && !(self.prefetch.q.val() && self.none.val());
        self.r_rdy.next = !self.in_vld.q.val()
            || (self.open.q.val() && !(self.prefetch.q.val() && self.none.val()));
        self.in_vld.d.next = self.r_vld.val() || (self.in_vld.q.val() && !self.take.val());
        if !self.in_vld.q.val()
            || (self.open.q.val() && !(self.prefetch.q.val() && self.none.val()))
        {
            self.in_data.d.next = self.r_data.val();
            self.in_bad.d.next = self.r_resp.val() != 0;
        }
        self.take_run.next = self.take.val() && self.st_run.q.val();
        self.take_prefetch.next =
            self.in_vld.q.val() && self.open.q.val() && self.prefetch.q.val() && !self.none.val();
        self.beat.next = self.take.val();
        self.pf_beat.next = self.take_prefetch.val();
        self.more.d.next = bit_cast::<9, 6>(self.piece.val());
        self.more_less.d.next = bit_cast::<9, 6>(self.piece.val()) - 1;
        self.more_vld.d.next = self.piece.val() != 0;
        self.change_by.next = self.more.q.val();
        if self.take_prefetch.val() {
            self.change_by.next = self.more_less.q.val();
        }
        self.under_way.d.next = self.under_way.q.val() + self.change_by.val();
        self.pf_some.next = !self.none.val() || self.more_vld.q.val();
        self.pf_credit.next = self.none.val()
            || !self.under_way.q.val().get_bit(7)
            || !self.under_way.q.val().get_bit(6);

        // A beat of a group.
        self.sub_last.next = true;
        self.bank0.d.next = 0.into();
        match self.part.q.val() {
            Part::Scale => {
                self.sub_last.next = self.sub.q.val() == 1 || !self.pair_now.q.val();
            }
            Part::Position => {
                self.bank0.d.next = 1.into();
                self.sub_last.next = self.sub.q.val() == 1;
            }
            Part::Value => {
                self.bank0.d.next = 2.into();
                self.sub_last.next = self.sub.q.val() == 3;
            }
            Part::Tail => {}
        }
        self.part_ends.next = self.take_run.val() && self.left.q.val().get_bit(14);
        self.advance.next = self.part_ends.val() && self.last_part.q.val();
        self.advances.d.next = self.advance.val();
        self.write0.d.next = self.take_run.val() && self.part.q.val() != Part::Tail;
        self.bias0.d.next = self.take_run.val() && self.part.q.val() == Part::Tail;
        self.word0.d.next = self.word.q.val();
        self.sub0.d.next = self.sub.q.val();
        if self.part.q.val() == Part::Scale {
            self.sub0.d.next = 0.into();
        }
        self.data0.d.next = self.in_data.q.val();
        // A cycle later, so that the place of a group need not be known before its first beat is taken.
        self.write.d.next = self.write0.q.val();
        self.bias.d.next = self.bias0.q.val();
        self.bank.d.next = self.bank0.q.val();
        self.write_sub.d.next = self.sub0.q.val();
        self.addr.d.next = self.base.q.val() + bit_cast::<16, 13>(self.word0.q.val());
        self.data.d.next = self.data0.q.val();
        self.bias_index.d.next = bit_cast::<8, 6>(self.word0.q.val().get_bits::<6>(0)) << 2;
        // What comes after the part: beats, less two.
        self.scale_left.next = bit_cast::<15, 12>(self.scale_beats.val());
        if self.scale_beats.val().get_bit(11) {
            self.scale_left.next = 0x7FFF.into();
        }
        self.tail_signed.next = bit_cast::<15, 8>(self.tail_left.q.val());
        if self.tail_left.q.val().get_bit(7) {
            self.tail_signed.next = 0x7FFF.into();
        }
        self.next_left.next = (bit_cast::<15, 12>(self.value_last.val()) << 2) | 2;
        self.last_part.d.next = (self.part.q.val() == Part::Value && !self.tail_follows.q.val())
            || self.part.q.val() == Part::Tail;
        if self.part.q.val() == Part::Scale && self.sparse_now.q.val() {
            self.next_left.next = bit_cast::<15, 12>(self.position_last.val()) << 1;
        }
        if self.part.q.val() == Part::Value {
            self.next_left.next = self.scale_left.val();
        }
        if self.take_run.val() {
            self.left.d.next = self.left.q.val() - 1;
            self.sub.d.next = self.sub.q.val() + 1;
            if self.sub_last.val() {
                self.sub.d.next = 0.into();
            }
            if self.sub_last.val() || self.part.q.val() == Part::Scale {
                self.word.d.next = self.word.q.val() + 1;
            }
        }
        self.pop.next = false;
        self.image_over.d.next = false;
        self.prefetch_over.d.next = false;
        self.adopt_vld.next = false;
        if self.hold.q.val() != 0 {
            self.hold.d.next = self.hold.q.val() - 1;
        }
        if self.hold.q.val() == 1 {
            self.open.d.next = !self.need_slot.q.val()
                && (self.st_header.q.val() || self.st_run.q.val() || self.st_discard.q.val());
            self.fresh.d.next = false;
            if self.fresh.q.val() {
                self.left.d.next = self.scale_left.val();
            }
        }
        if self.part_ends.val() {
            self.left.d.next = self.next_left.val();
            self.word.d.next = 0.into();
            self.last_part.d.next = false;
            match self.part.q.val() {
                Part::Scale => {
                    self.part.d.next = Part::Value;
                    if self.sparse_now.q.val() {
                        self.part.d.next = Part::Position;
                    }
                }
                Part::Position => {
                    self.part.d.next = Part::Value;
                }
                Part::Value => {
                    self.part.d.next = Part::Scale;
                    if self.tail_follows.q.val() {
                        // The router's last group counts as complete only with the biases.
                        self.part.d.next = Part::Tail;
                        self.left.d.next = self.tail_signed.val();
                        self.last_part.d.next = true;
                    }
                }
                Part::Tail => {
                    self.part.d.next = Part::Scale;
                }
            }
        }
        if self.advance.val() {
            if self.stops.q.val() {
                self.open.d.next = false;
            }
            if self.follows.q.val() {
                self.st_run.d.next = false;
                self.st_header.d.next = true;
            }
        }
        if self.advances.q.val() {
            self.kind.d.next = self.following.val();
            self.index.d.next = self.index1.q.val();
            if self.last_group.q.val() {
                self.index.d.next = 0.into();
            }
            self.base.d.next = self.base1.q.val();
            self.room.d.next = self.room1.q.val();
            self.in_slot.d.next = self.in_slot.q.val() + 1;
            if self.closes.q.val() {
                self.in_slot.d.next = 0.into();
                self.base.d.next = self.head_start.val();
                self.room.d.next = self.limit.q.val();
                if self.prefetch.q.val() {
                    self.prefetch_over.d.next = true;
                    self.e_kind.d.next = self.following.val();
                    self.e_index.d.next = self.index1.q.val();
                    if self.last_group.q.val() {
                        self.e_index.d.next = 0.into();
                    }
                    self.e_image.d.next = self.image_ends.q.val();
                    self.st_run.d.next = false;
                    self.st_idle.d.next = true;
                } else if self.image_ends.q.val() {
                    self.image_over.d.next = true;
                    if !self.begins.q.val() {
                        self.st_run.d.next = false;
                        self.st_idle.d.next = true;
                    }
                } else {
                    self.need_slot.d.next = !self.open.q.val();
                    if self.open.q.val() {
                        // The next slot was known: no cycle is lost.
                        self.pop.next = true;
                        self.slot.d.next = self.next_slot.val();
                    }
                }
            }
        }
        self.done.d.next = self.advances.q.val();
        self.done_first.d.next = self.in_slot.q.val() == 0;
        self.done_closed.d.next = self.closes.q.val();
        self.done_visit.d.next = !self.prefetch.q.val();
        self.done_slot.d.next = self.slot.q.val();
        self.done_count.d.next = self.in_slot.q.val() + 1;
        self.done_kind.d.next = self.kind.q.val();
        self.done_index.d.next = self.index.q.val();
        self.done_expert.d.next = self.expert.q.val();
        self.keep.d.next = self.advances.q.val() && self.in_slot.q.val() == 0;
        self.pf_complete.next = self.prefetch_over.q.val();
        self.pf_slot.next = self.slot.q.val();
        self.image_done.next = self.image_over.q.val();

        // Orders change the place. Between images:
        self.head_first.d.next = self.next_kind_of.val() < 3;
        self.head_router.d.next = self.next_kind_of.val() == 1;
        self.head_goes_on.d.next = self.next_kind_of.val() == 3;
        self.head_adopts.d.next = self.next_kind_of.val() == 4;
        self.begin.next = self.st_idle.q.val()
            && self.head_vld.q.val()
            && self.hold.q.val() == 0
            && !self.shape_active.val()
            && self.next_kind_of.val() < 3;
        self.begins.d.next = self.begin.val() || (self.advance.val() && self.follows.q.val());
        self.changes.d.next = self.head_vld.q.val()
            && ((self.st_idle.q.val() && self.next_kind_of.val() >= 3)
                || (self.st_run.q.val()
                    && self.prefetch.q.val()
                    && self.none.val()
                    && self.next_kind_of.val() != 3));
        if self.begin.val() {
            self.st_idle.d.next = false;
            self.st_header.d.next = true;
            self.hold.d.next = 3.into();
            self.fresh.d.next = true;
        }
        if self.begins.q.val() {
            self.pop.next = true;
            self.prefetch.d.next = self.next_kind_of.val() == 2;
            self.need_slot.d.next = false;
            self.kind.d.next = self.first_kind.val();
            self.index.d.next = 0.into();
            self.slot.d.next = self.next_slot.val();
            self.base.d.next = self.head_start.val();
            self.room.d.next = self.window.val();
            self.word.d.next = 0.into();
            self.part.d.next = Part::Scale;
            self.sub.d.next = 0.into();
            self.in_slot.d.next = 0.into();
            self.expert.d.next = self.next_expert.val();
            if self.head_router.q.val() {
                self.kind.d.next = 0.into();
                self.expert.d.next = 0.into();
                self.room.d.next = self.router_words.val();
            }
        }
        // The header.
        if self.st_header.q.val() && self.take.val() {
            self.st_header.d.next = false;
            self.st_run.d.next = true;
        }
        if self.was_header.q.val() {
            self.exps.d.next = self.data0.q.val().get_bits::<48>(0);
            self.keep.d.next = true;
        }
        // Inside an image.
        self.fills.d.next = self.need_slot.q.val()
            && self.head_vld.q.val()
            && self.st_run.q.val()
            && !self.fills.q.val();
        if self.fills.q.val() {
            self.pop.next = true;
            self.need_slot.d.next = false;
            self.slot.d.next = self.next_slot.val();
            self.base.d.next = self.head_start.val();
            self.room.d.next = self.limit.q.val();
            self.hold.d.next = 2.into();
        }
        if self.st_run.q.val()
            && self.prefetch.q.val()
            && self.head_vld.q.val()
            && self.next_kind_of.val() == 3
        {
            // It was not displaced after all.
            self.pop.next = true;
        }
        if self.forget.val()
            && self.prefetch.q.val()
            && !self.begins.q.val()
            && (self.st_run.q.val() || self.st_header.q.val())
        {
            self.st_run.d.next = false;
            self.st_header.d.next = false;
            self.st_idle.d.next = true;
            self.open.d.next = false;
        }
        if self.changes.q.val()
            && (self.st_run.q.val() || (self.st_idle.q.val() && self.next_kind_of.val() >= 3))
        {
            self.displaces.d.next = self.st_run.q.val();
            self.time.d.next = 0.into();
            self.st_idle.d.next = false;
            self.st_run.d.next = false;
            self.st_switch.d.next = true;
            self.open.d.next = false;
        }
        self.time_up.next = self.st_switch.q.val() && self.time.q.val() == 3;
        self.moves.d.next = self.time_up.val() && !self.head_first.q.val();
        self.turns_back.d.next = self.time_up.val() && self.head_first.q.val();
        self.parks.d.next = self.time_up.val() && self.displaces.q.val();
        self.adopts.d.next = self.time_up.val() && self.head_adopts.q.val();
        self.restores.d.next = self.time_up.val()
            && !self.head_first.q.val()
            && !self.head_adopts.q.val()
            && !self.displaces.q.val();
        self.looks.d.next = self.st_switch.q.val() && self.time.q.val() == 5;
        self.arrives.d.next = self.st_switch.q.val() && self.time.q.val() == 12;
        if self.st_switch.q.val() {
            self.time.d.next = self.time.q.val() + 1;
        }
        if self.parks.q.val() {
            // The last beat's scale is in the map by now.
            self.p_kind.d.next = self.kind.q.val();
            self.p_index.d.next = self.index.q.val();
            self.p_slot.d.next = self.slot.q.val();
            self.p_base.d.next = self.base.q.val();
            self.p_room.d.next = self.room.q.val();
            self.p_word.d.next = self.word.q.val();
            self.p_part.d.next = self.part.q.val();
            self.p_left.d.next = self.left.q.val();
            self.p_sub.d.next = self.sub.q.val();
            self.p_in_slot.d.next = self.in_slot.q.val();
            self.p_expert.d.next = self.expert.q.val();
            self.p_map.d.next = self.map.q.val();
        }
        if self.turns_back.q.val() {
            self.st_switch.d.next = false;
            self.st_idle.d.next = true;
        }
        if self.moves.q.val() {
            self.switch_kind.d.next = self.next_kind_of.val();
            self.pop.next = true;
            self.prefetch.d.next = self.head_goes_on.q.val();
            self.need_slot.d.next = self.head_adopts.q.val();
        }
        if self.adopts.q.val() {
            self.kind.d.next = self.e_kind.q.val();
            self.index.d.next = self.e_index.q.val();
            self.slot.d.next = self.next_slot.val();
            self.expert.d.next = self.next_expert.val();
            self.word.d.next = 0.into();
            self.part.d.next = Part::Scale;
            self.sub.d.next = 0.into();
            self.in_slot.d.next = 0.into();
            self.fresh.d.next = true;
        }
        if self.restores.q.val() {
            self.kind.d.next = self.p_kind.q.val();
            self.index.d.next = self.p_index.q.val();
            self.slot.d.next = self.p_slot.q.val();
            self.base.d.next = self.p_base.q.val();
            self.room.d.next = self.p_room.q.val();
            self.word.d.next = self.p_word.q.val();
            self.part.d.next = self.p_part.q.val();
            self.left.d.next = self.p_left.q.val();
            self.sub.d.next = self.p_sub.q.val();
            self.in_slot.d.next = self.p_in_slot.q.val();
            self.expert.d.next = self.p_expert.q.val();
            self.map.d.next = self.p_map.q.val();
        }
        if self.looks.q.val() {
            self.exps.d.next = self.look_exponents.val();
        }
        if self.arrives.q.val() {
            self.st_switch.d.next = false;
            self.st_run.d.next = true;
            self.hold.d.next = 1.into();
            if self.switch_kind.q.val() == 4 {
                self.adopt_vld.next = true;
                if self.e_image.q.val() {
                    self.image_over.d.next = true;
                    self.st_run.d.next = false;
                    self.st_idle.d.next = true;
                }
            }
            if self.switch_kind.q.val() == 5 {
                self.adopt_vld.next = self.in_slot.q.val() != 0;
            }
        }
        if self.st_discard.q.val() && self.none.val() && !self.more_vld.q.val() {
            self.st_discard.d.next = false;
            self.st_idle.d.next = true;
            self.open.d.next = false;
        }
        // While the tables are made, and until what follows from them is known again, nothing is taken.
        if self.shape_active.val() {
            self.open.d.next = false;
            self.hold.d.next = 6.into();
        }
        self.look.next = self.st_switch.q.val();
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
        if self.some_order.val() && !self.head_vld.q.val() {
            self.head.d.next = self.orders.rdata.val();
            self.head_vld.d.next = true;
            self.got.d.next = self.got.q.val() + 1;
        }

        // The map.
        self.block.next = self.word.q.val().get_bits::<5>(0);
        self.chunk1.d.next = self.word.q.val().get_bits::<8>(5);
        if self.pair_now.q.val() {
            self.block.next = self.word.q.val().get_bits::<5>(1);
            self.chunk1.d.next = bit_cast::<8, 7>(self.word.q.val().get_bits::<7>(6));
        }
        self.scale1.d.next = self.take_run.val() && self.part.q.val() == Part::Scale;
        self.block1.d.next = self.block.val();
        self.first1.d.next = self.block.val() == 0 && self.sub.q.val() == 0;
        self.end1.d.next =
            self.sub_last.val() && (self.left.q.val().get_bit(14) || self.block.val().all());
        self.scale2.d.next = self.scale1.q.val();
        self.block2.d.next = self.block1.q.val();
        self.first2.d.next = self.first1.q.val();
        self.end2.d.next = self.end1.q.val();
        self.addr2.d.next = self.base.q.val() + bit_cast::<16, 8>(self.chunk1.q.val());
        for i in 0..8 {
            self.lane[i].next = self.data0.q.val().get_bits::<15>(16 * i) != 0;
        }
        self.lanes2.d.next = bit_cast::<8, 1>(self.lane[0].val().into())
            | (bit_cast::<8, 1>(self.lane[1].val().into()) << 1)
            | (bit_cast::<8, 1>(self.lane[2].val().into()) << 2)
            | (bit_cast::<8, 1>(self.lane[3].val().into()) << 3)
            | (bit_cast::<8, 1>(self.lane[4].val().into()) << 4)
            | (bit_cast::<8, 1>(self.lane[5].val().into()) << 5)
            | (bit_cast::<8, 1>(self.lane[6].val().into()) << 6)
            | (bit_cast::<8, 1>(self.lane[7].val().into()) << 7);
        self.scale3.d.next = self.scale2.q.val();
        self.some3.d.next = self.lanes2.q.val() != 0;
        self.block3.d.next = self.block2.q.val();
        self.first3.d.next = self.first2.q.val();
        self.end3.d.next = self.end2.q.val();
        self.addr3.d.next = self.addr2.q.val();
        self.mark.next = 0.into();
        if self.some3.q.val() {
            self.mark.next = bits::<32>(1) << self.block3.q.val();
        }
        self.before.next = self.map.q.val();
        if self.first3.q.val() {
            self.before.next = 0.into();
        }
        if self.scale3.q.val() {
            self.map.d.next = self.before.val() | self.mark.val();
        }
        self.map4.d.next = self.scale3.q.val() && self.end3.q.val();
        self.addr4.d.next = self.addr3.q.val();

        // Errors: those of a prefetch count only when it is demanded.
        self.bad.d.next = self.take.val() && !self.st_discard.q.val() && self.in_bad.q.val();
        self.was_header.d.next = self.take.val() && self.st_header.q.val();
        self.was_prefetch.d.next = self.take_prefetch.val();
        self.slot_mark.next = bits::<4>(1) << self.slot.q.val();
        self.bad_image.next =
            self.was_header.q.val() && self.data0.q.val().get_bits::<16>(48) != self.magic.val();
        self.bad_read_here.d.next = (self.pf_bad_read.q.val() & self.slot_mark.val()) != 0;
        self.bad_image_here.d.next = (self.pf_bad_image.q.val() & self.slot_mark.val()) != 0;
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
        if self.arrives.q.val() && self.switch_kind.q.val() != 3 {
            if self.bad_read_here.q.val() {
                self.read_failed.d.next = true;
            }
            if self.bad_image_here.q.val() {
                self.image_failed.d.next = true;
            }
        }

        if self.wipe.val() || self.rst.val() {
            self.put.d.next = 0.into();
            self.got.d.next = 0.into();
            self.head_vld.d.next = false;
            self.st_idle.d.next = false;
            self.st_header.d.next = false;
            self.st_run.d.next = false;
            self.st_switch.d.next = false;
            self.st_discard.d.next = true;
            self.advances.d.next = false;
            self.begins.d.next = false;
            self.changes.d.next = false;
            self.fills.d.next = false;
            self.parks.d.next = false;
            self.moves.d.next = false;
            self.adopts.d.next = false;
            self.restores.d.next = false;
            self.turns_back.d.next = false;
            self.arrives.d.next = false;
            self.prefetch.d.next = true;
            self.need_slot.d.next = false;
        }
        if self.rst.val() {
            self.st_idle.d.next = true;
            self.st_discard.d.next = false;
            self.in_vld.d.next = false;
            self.open.d.next = false;
            self.hold.d.next = 0.into();
            self.under_way.d.next = 511.into();
            self.more_vld.d.next = false;
            self.more.d.next = 0.into();
            self.more_less.d.next = 511.into();
            self.image_over.d.next = false;
            self.prefetch_over.d.next = false;
            self.write0.d.next = false;
            self.write.d.next = false;
            self.bias0.d.next = false;
            self.bias.d.next = false;
            self.done.d.next = false;
            self.keep.d.next = false;
            self.scale1.d.next = false;
            self.scale2.d.next = false;
            self.scale3.d.next = false;
            self.map4.d.next = false;
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
        self.map_vld.next = self.map4.q.val();
        self.map_addr.next = self.addr4.q.val();
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
