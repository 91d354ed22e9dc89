//! The loader's request side: which bytes are read next, and into which slot.
//!
//! What: the *address stage* takes the next job (or a guess) and computes where its image begins, by shift and add, while the *engine* still
//! asks for the one before. The engine grants beats to the `axi_reader`: for demand whole groups as long as they fit the slot, for a prefetch
//! pieces of at most 32 beats while fewer than 192 are under way; so at most 223 beats (3568 bytes) of a wrong guess stand before a demanded
//! one. Every slot that begins, and every change between demand and prefetch, is told to the receive side as an order, in the order of the
//! requests: beats come back in that order, so both sides follow the same sequence of groups without another word.
//!
//! Slot i < slots has tag i: the expert prefetched into it, whether for the running command (`cur`) or the next one, and how far. Only one
//! prefetch is unfinished at a time: its place (kind, groups left, words used, beats of the group left, beats asked for) is parked when demand
//! comes, and taken up by the same guess or by the job that hits it. All finished prefetches of one shape end at the same place, kept once.
//!
//! Cost (ECP5, `sim`): 1431 LUT sites, 454 flip-flops. Latency, counted from the steps and not measured: `job_vld` to the first grant 19 cycles,
//! hidden while another image is asked for.
//! Bottleneck: a group every 4 cycles; the smallest has 7 beats.
//! Hazards: a prefetch whose tag is dropped while its beats are under way may lose its slot at once: the beats of the slot's next owner come
//! later. But a new prefetch waits until they have arrived (`forget`), because both are counted in `under_way`; likewise after a
//! demanded image whose requests were done before all of the prefetch had arrived (`displaced`). Nothing is
//! prefetched from `go` until the last job of a command has been asked for: guesses never hold a slot that a job waits for, and a wrong one delays a
//! command once, not again at each of its phases.

use abi::Config;
use leaf::prelude::*;

/// Steps of the address stage.
#[derive(Copy, Clone, PartialEq, Debug, LogicState)]
enum Address {
    /// Takes a job, or a guess.
    Idle,
    /// Expert times stride, one bit per cycle.
    Multiply,
    /// Adds the address of expert 0.
    Base,
    /// Waits for the engine.
    Wait,
    /// Adds what a prefetch has already asked for.
    Offset,
    /// The address stands until the reader has started there.
    Ready,
}

/// Steps of the engine.
#[derive(Copy, Clone, PartialEq, Debug, LogicState)]
enum Engine {
    /// Takes the router's image, or what the address stage has.
    Idle,
    /// Is the expert in a slot?
    Look,
    /// Where in the image to go on.
    Take,
    /// Sends the reader there.
    Start,
    /// Counts of the group.
    Load,
    /// Where it would end in the slot.
    Sum,
    /// Whether it fits.
    Fit,
    /// Grants the group, or takes a slot.
    Place,
    /// Grants pieces of a prefetched group.
    Piece,
    /// Grants the router's choice biases.
    Tail,
}

/// See the module's page.
#[derive(LogicBlock)]
pub struct LoadRequest {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Starts a command.
    pub go: Signal<In, Bit>,
    /// A new list of guesses begins, for `next_addr`.
    pub flush: Signal<In, Bit>,
    /// 0: the router's image is read first.
    pub source: Signal<In, Bits<2>>,
    /// The router's image ends with one word per expert.
    pub choice_bias: Signal<In, Bit>,
    /// E.
    pub experts: Signal<In, Bits<16>>,
    /// Image of the router.
    pub router_addr: Signal<In, Bits<40>>,
    /// Image of expert 0.
    pub experts_addr: Signal<In, Bits<40>>,
    /// Image of expert 0 of the layer to prefetch.
    pub next_addr: Signal<In, Bits<40>>,
    /// Slots that may be prefetched.
    pub guesses: Signal<In, Bits<8>>,

    /// `load_shape`: the tables are being made.
    pub shape_active: Signal<In, Bit>,
    /// They stand.
    pub shape_done: Signal<In, Bit>,
    /// With that: otherwise than before.
    pub shape_changed: Signal<In, Bit>,
    /// Words of a slot that are used.
    pub window: Signal<In, Bits<16>>,
    /// Bytes between two images.
    pub stride: Signal<In, Bits<32>>,
    /// Kind of an expert's first section.
    pub first_kind: Signal<In, Bits<2>>,
    /// Kind to look up.
    pub ask_kind: Signal<Out, Bits<2>>,
    /// Words of its group.
    pub ask_words: Signal<In, Bits<16>>,
    /// Beats of its group.
    pub ask_beats: Signal<In, Bits<16>>,
    /// Groups of its section.
    pub ask_groups: Signal<In, Bits<16>>,

    /// The next expert.
    pub job_vld: Signal<In, Bit>,
    /// Expert taken.
    pub job_rdy: Signal<Out, Bit>,
    /// Its number.
    pub job_expert: Signal<In, Bits<8>>,
    /// No job comes any more.
    pub jobs_done: Signal<In, Bit>,
    /// No route comes after this cycle.
    pub rt_done: Signal<In, Bit>,
    /// Bit i: tokens wait for `tag_expert[i]`; valid 4 cycles after `rt_done`.
    pub tag_wanted: Signal<In, Bits<4>>,
    /// The expert prefetched into slot i for the running command.
    pub tag_expert: [Signal<Out, Bits<8>>; 4],
    /// 0 none, 1 on its way, 2 all that is prefetched is there.
    pub tag_state: [Signal<Out, Bits<2>>; 4],
    /// A guess.
    pub pf_vld: Signal<In, Bit>,
    /// Guess taken (or in a slot already).
    pub pf_rdy: Signal<Out, Bit>,
    /// Its expert.
    pub pf_expert: Signal<In, Bits<8>>,
    /// Other demand is being read: no prefetch.
    pub pause: Signal<In, Bit>,
    /// Something was written where the guesses lie.
    pub snooped: Signal<In, Bit>,
    /// First byte of the prefetched layer.
    pub base: Signal<Out, Bits<40>>,

    /// The reader has nothing left to ask for.
    pub issued: Signal<In, Bit>,
    /// Send it to `start_addr`.
    pub start: Signal<Out, Bit>,
    /// Byte address.
    pub start_addr: Signal<Out, Bits<40>>,
    /// Let it ask for more.
    pub grant_vld: Signal<Out, Bit>,
    /// Beats.
    pub grant_beats: Signal<Out, Bits<16>>,
    /// The grant is one of a prefetch, of so many beats; 0: none.
    pub piece: Signal<Out, Bits<6>>,

    /// An order for the receive side.
    pub order_vld: Signal<Out, Bit>,
    /// 0 image on demand, 1 router's image, 2 prefetched image, 3 the prefetch goes on, 4 a finished prefetch is demanded, 5 the unfinished
    /// one is, 6 the image goes on in another slot.
    pub order_kind: Signal<Out, Bits<3>>,
    /// Slot (kinds 0, 1, 2, 4, 6).
    pub order_slot: Signal<Out, Bits<3>>,
    /// Expert (kinds 0, 2, 4).
    pub order_expert: Signal<Out, Bits<8>>,
    /// All prefetches are dropped and the tables change: beats under way and orders are void.
    pub wipe: Signal<Out, Bit>,
    /// The dropped prefetch has arrived: forget it.
    pub forget: Signal<Out, Bit>,
    /// Receive side: there are prefetched beats under way.
    pub pf_some: Signal<In, Bit>,
    /// Receive side: fewer than 192.
    pub pf_credit: Signal<In, Bit>,
    /// Receive side: a prefetched slot is complete.
    pub pf_complete: Signal<In, Bit>,
    /// Which one.
    pub pf_slot: Signal<In, Bits<3>>,

    /// The array has read a slot.
    pub free_vld: Signal<In, Bit>,
    /// Which one.
    pub free_slot: Signal<In, Bits<3>>,
    /// There is demand to be asked for.
    pub busy: Signal<Out, Bit>,
    /// A demanded image was begun.
    pub begun: Signal<Out, Bit>,
    /// Demand waits for a slot.
    pub wait_slot: Signal<Out, Bit>,
    /// A job found its expert in a slot.
    pub hit: Signal<Out, Bit>,
    /// With that: beats of it asked for before.
    pub used_beats: Signal<Out, Bits<16>>,
    /// Prefetched slots given up in this cycle.
    pub aborts: Signal<Out, Bits<3>>,

    // Address stage.
    address: Dff<Address>,
    demand: Dff<Bit>,
    resume: Dff<Bit>,
    expert: Dff<Bits<8>>,
    factor: Dff<Bits<8>>,
    count: Dff<Bits<3>>,
    acc: Dff<Bits<40>>,
    offset: Dff<Bits<16>>,
    augend: Signal<Local, Bits<40>>,
    addend: Signal<Local, Bits<40>>,
    total: Signal<Local, Bits<40>>,
    matches: Dff<Bits<4>>,
    job_taken: Signal<Local, Bit>,
    release_address: Signal<Local, Bit>,
    repeated: Dff<Bit>,

    // Engine.
    engine: Dff<Engine>,
    kill: Signal<Local, Bit>,
    owner: Dff<Bits<8>>,
    unsent: Dff<Bit>,
    asked_sum: Signal<Local, Bits<16>>,
    asked_now: Signal<Local, Bits<16>>,
    router_waits: Dff<Bit>,
    for_prefetch: Dff<Bit>,
    image: Dff<Bits<3>>,
    header: Dff<Bit>,
    open: Dff<Bit>,
    fresh_section: Dff<Bit>,
    kind: Dff<Bits<2>>,
    left: Dff<Bits<16>>,
    used: Dff<Bits<16>>,
    rest: Dff<Bits<16>>,
    words: Dff<Bits<16>>,
    beats: Dff<Bits<16>>,
    sum: Dff<Bits<17>>,
    fits: Dff<Bit>,
    last_group: Dff<Bit>,
    limit: Signal<Local, Bits<17>>,
    whole: Signal<Local, Bits<16>>,
    demand_waits: Signal<Local, Bit>,
    advance: Signal<Local, Bit>,
    ended: Signal<Local, Bit>,
    finished: Signal<Local, Bit>,
    alloc: Signal<Local, Bit>,
    slot: Signal<Local, Bits<3>>,
    slot_there: Signal<Local, Bit>,
    piece_beats: Signal<Local, Bits<16>>,
    last_piece: Signal<Local, Bit>,
    grant: Dff<Bit>,
    granted: Dff<Bits<16>>,
    found: Dff<Bit>,
    found_unfinished: Dff<Bit>,
    found_slot: Dff<Bits<3>>,
    hits: Signal<Local, Bits<4>>,
    stale: Signal<Local, Bit>,

    // The unfinished prefetch, and where the finished ones ended.
    live: Dff<Bit>,
    live_slot: Dff<Bits<3>>,
    live_expert: Dff<Bits<8>>,
    live_cur: Signal<Local, Bit>,
    live_mark: Signal<Local, Bits<4>>,
    asked: Dff<Bits<16>>,
    park_kind: Dff<Bits<2>>,
    park_left: Dff<Bits<16>>,
    park_used: Dff<Bits<16>>,
    park_rest: Dff<Bits<16>>,
    end_kind: Dff<Bits<2>>,
    end_left: Dff<Bits<16>>,
    end_asked: Dff<Bits<16>>,
    end_image: Dff<Bit>,
    voiding: Dff<Bit>,
    displaced: Dff<Bit>,

    // Tags, bit i of slot i.
    tag: Dff<Bits<4>>,
    cur: Dff<Bits<4>>,
    complete: Dff<Bits<4>>,
    tag_name: [Dff<Bits<8>>; 4],
    same_job: [Signal<Local, Bit>; 4],
    same_guess: [Signal<Local, Bit>; 4],
    is_job: Signal<Local, Bits<4>>,
    is_guess: Signal<Local, Bits<4>>,
    tags: Signal<Local, Bits<4>>,
    pairs: [Signal<Local, Bits<3>>; 2],
    drop: Signal<Local, Bits<4>>,
    dropped: Signal<Local, Bits<4>>,
    wasted: Signal<Local, Bits<4>>,
    gone: Signal<Local, Bits<4>>,
    drop_pairs: [Signal<Local, Bits<3>>; 2],
    adopted: Signal<Local, Bits<4>>,
    begun_tag: Signal<Local, Bits<4>>,
    completed: Signal<Local, Bits<4>>,
    snoop_waits: Dff<Bit>,
    list_void: Dff<Bit>,

    // The command.
    starting: Dff<Bit>,
    layer_base: Dff<Bits<40>>,
    base_differs: Dff<Bits<3>>,
    compared: Signal<Local, Bits<40>>,
    most: Dff<Bits<4>>,
    routes_known: Dff<Bit>,
    judging: Dff<Bits<3>>,
    judge: Signal<Local, Bit>,
    judged: Dff<Bit>,
    next_layer: Dff<Bit>,
    leave: Signal<Local, Bit>,
    wiping: Signal<Local, Bit>,

    // Slots.
    free: Dff<Bits<8>>,
    freed: Signal<Local, Bits<8>>,
    allotted: Signal<Local, Bits<8>>,
    pick: Dff<Bits<3>>,
    pick_vld: Dff<Bit>,
    router_pick: Dff<Bits<3>>,
    router_vld: Dff<Bit>,

    all_free: Constant<Bits<8>>,
    router_words: Constant<Bits<17>>,
    _slots: usize,
}

impl LoadRequest {
    /// For the slots of the configuration.
    pub fn new(config: &Config) -> Self {
        let all = (1u64 << (config.slots + 2)) - 1;
        Self {
            clk: Default::default(),
            rst: Default::default(),
            go: Default::default(),
            flush: Default::default(),
            source: Default::default(),
            choice_bias: Default::default(),
            experts: Default::default(),
            router_addr: Default::default(),
            experts_addr: Default::default(),
            next_addr: Default::default(),
            guesses: Default::default(),
            shape_active: Default::default(),
            shape_done: Default::default(),
            shape_changed: Default::default(),
            window: Default::default(),
            stride: Default::default(),
            first_kind: Default::default(),
            ask_kind: Default::default(),
            ask_words: Default::default(),
            ask_beats: Default::default(),
            ask_groups: Default::default(),
            job_vld: Default::default(),
            job_rdy: Default::default(),
            job_expert: Default::default(),
            jobs_done: Default::default(),
            rt_done: Default::default(),
            tag_wanted: Default::default(),
            tag_expert: arr(),
            tag_state: arr(),
            pf_vld: Default::default(),
            pf_rdy: Default::default(),
            pf_expert: Default::default(),
            pause: Default::default(),
            snooped: Default::default(),
            base: Default::default(),
            issued: Default::default(),
            start: Default::default(),
            start_addr: Default::default(),
            grant_vld: Default::default(),
            grant_beats: Default::default(),
            piece: Default::default(),
            order_vld: Default::default(),
            order_kind: Default::default(),
            order_slot: Default::default(),
            order_expert: Default::default(),
            wipe: Default::default(),
            forget: Default::default(),
            pf_some: Default::default(),
            pf_credit: Default::default(),
            pf_complete: Default::default(),
            pf_slot: Default::default(),
            free_vld: Default::default(),
            free_slot: Default::default(),
            busy: Default::default(),
            begun: Default::default(),
            wait_slot: Default::default(),
            hit: Default::default(),
            used_beats: Default::default(),
            aborts: Default::default(),
            address: Dff::new(Address::Idle),
            demand: Default::default(),
            resume: Default::default(),
            expert: Default::default(),
            factor: Default::default(),
            count: Default::default(),
            acc: Default::default(),
            offset: Default::default(),
            augend: Default::default(),
            addend: Default::default(),
            total: Default::default(),
            matches: Default::default(),
            job_taken: Default::default(),
            release_address: Default::default(),
            repeated: Default::default(),
            engine: Dff::new(Engine::Idle),
            kill: Default::default(),
            owner: Default::default(),
            unsent: Default::default(),
            asked_sum: Default::default(),
            asked_now: Default::default(),
            router_waits: Default::default(),
            for_prefetch: Default::default(),
            image: Default::default(),
            header: Default::default(),
            open: Default::default(),
            fresh_section: Default::default(),
            kind: Default::default(),
            left: Default::default(),
            used: Default::default(),
            rest: Default::default(),
            words: Default::default(),
            beats: Default::default(),
            sum: Default::default(),
            fits: Default::default(),
            last_group: Default::default(),
            limit: Default::default(),
            whole: Default::default(),
            demand_waits: Default::default(),
            advance: Default::default(),
            ended: Default::default(),
            finished: Default::default(),
            alloc: Default::default(),
            slot: Default::default(),
            slot_there: Default::default(),
            piece_beats: Default::default(),
            last_piece: Default::default(),
            grant: Default::default(),
            granted: Default::default(),
            found: Default::default(),
            found_unfinished: Default::default(),
            found_slot: Default::default(),
            hits: Default::default(),
            stale: Default::default(),
            live: Default::default(),
            live_slot: Default::default(),
            live_expert: Default::default(),
            live_cur: Default::default(),
            live_mark: Default::default(),
            asked: Default::default(),
            park_kind: Default::default(),
            park_left: Default::default(),
            park_used: Default::default(),
            park_rest: Default::default(),
            end_kind: Default::default(),
            end_left: Default::default(),
            end_asked: Default::default(),
            end_image: Default::default(),
            voiding: Default::default(),
            displaced: Default::default(),
            tag: Default::default(),
            cur: Default::default(),
            complete: Default::default(),
            tag_name: arr(),
            same_job: arr(),
            same_guess: arr(),
            is_job: Default::default(),
            is_guess: Default::default(),
            tags: Default::default(),
            pairs: arr(),
            drop: Default::default(),
            dropped: Default::default(),
            wasted: Default::default(),
            gone: Default::default(),
            drop_pairs: arr(),
            adopted: Default::default(),
            begun_tag: Default::default(),
            completed: Default::default(),
            snoop_waits: Default::default(),
            list_void: Default::default(),
            starting: Default::default(),
            layer_base: Default::default(),
            base_differs: Default::default(),
            compared: Default::default(),
            most: Default::default(),
            routes_known: Default::default(),
            judging: Default::default(),
            judge: Default::default(),
            judged: Default::default(),
            next_layer: Dff::new(true),
            leave: Default::default(),
            wiping: Default::default(),
            free: Default::default(),
            freed: Default::default(),
            allotted: Default::default(),
            pick: Default::default(),
            pick_vld: Default::default(),
            router_pick: Default::default(),
            router_vld: Default::default(),
            all_free: Constant::new(all.to_bits()),
            router_words: Constant::new((config.router_words as u64).to_bits()),
            _slots: config.slots,
        }
    }
}

impl Logic for LoadRequest {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("load_request");
        dff_setup!(
            self, clk, address, demand, resume, expert, factor, count, acc, offset, matches,
            repeated
        );
        dff_setup!(
            self,
            clk,
            engine,
            router_waits,
            for_prefetch,
            image,
            header,
            open,
            fresh_section,
            kind,
            left,
            used,
            rest
        );
        dff_setup!(
            self,
            clk,
            words,
            beats,
            sum,
            fits,
            last_group,
            grant,
            granted,
            found,
            found_unfinished,
            found_slot,
            unsent,
            owner
        );
        dff_setup!(
            self,
            clk,
            live,
            live_slot,
            live_expert,
            asked,
            park_kind,
            park_left,
            park_used,
            park_rest
        );
        dff_setup!(
            self,
            clk,
            end_kind,
            end_left,
            end_asked,
            end_image,
            voiding,
            displaced,
            tag,
            cur,
            complete,
            snoop_waits
        );
        dff_setup!(
            self,
            clk,
            starting,
            layer_base,
            base_differs,
            most,
            routes_known,
            judging,
            judged,
            next_layer,
            list_void
        );
        dff_setup!(self, clk, free, pick, pick_vld, router_pick, router_vld);

        // What the command is, and what it means for the tags.
        self.compared.next = self.next_addr.val();
        if self.starting.q.val() {
            self.compared.next = self.experts_addr.val();
        }
        self.base_differs.d.next = 0.into();
        if self.compared.val().get_bits::<14>(0) != self.layer_base.q.val().get_bits::<14>(0) {
            self.base_differs.d.next = 1.into();
        }
        if self.compared.val().get_bits::<13>(14) != self.layer_base.q.val().get_bits::<13>(14) {
            self.base_differs.d.next = 2.into();
        }
        if self.compared.val().get_bits::<13>(27) != self.layer_base.q.val().get_bits::<13>(27) {
            self.base_differs.d.next = 4.into();
        }
        self.wiping.next = self.shape_done.val()
            && (self.shape_changed.val()
                || self.base_differs.q.val() != 0
                || !self.next_layer.q.val());
        self.judge.next = self.judging.q.val() == 4;
        self.leave.next = self.judged.q.val()
            && self.jobs_done.val()
            && !self.job_vld.val()
            && !self.next_layer.q.val()
            && (self.address.q.val() == Address::Idle || !self.demand.q.val());
        if self.rt_done.val() {
            self.routes_known.d.next = true;
        }
        if self.judging.q.val() != 0 {
            self.judging.d.next = self.judging.q.val() + 1;
        } else if self.routes_known.q.val()
            && !self.judged.q.val()
            && !self.starting.q.val()
            && !self.shape_active.val()
        {
            self.judging.d.next = 1.into();
        }
        if self.judge.val() {
            self.judging.d.next = 0.into();
            self.judged.d.next = true;
        }
        if self.leave.val() {
            self.next_layer.d.next = true;
        }
        self.snoop_waits.d.next = self.snooped.val();
        // What was written may not be in memory yet: nothing is guessed from there before the next list.
        if self.snooped.val() {
            self.list_void.d.next = true;
        }

        // Tags that are given up.
        self.drop.next = 0.into();
        if self.judge.val() {
            self.drop.next = self.cur.q.val() & !self.tag_wanted.val();
        }
        if self.leave.val() {
            self.drop.next = self.cur.q.val();
        }
        if self.wiping.val() || self.snoop_waits.q.val() {
            self.drop.next = 15.into();
        }
        self.dropped.next = self.drop.val() & self.tag.q.val();
        self.stale.next = self.dropped.val() != 0;
        self.live_mark.next = 0.into();
        if self.live.q.val() {
            self.live_mark.next = bits::<4>(1) << self.live_slot.q.val();
        }
        self.live_cur.next = (self.live_mark.val() & self.cur.q.val()) != 0;
        self.wasted.next = self.dropped.val();
        if self.asked.q.val() == 0 {
            self.wasted.next = self.dropped.val() & !self.live_mark.val();
        }
        self.drop_pairs[0].next = bit_cast::<3, 1>(self.wasted.val().get_bits::<1>(0))
            + bit_cast::<3, 1>(self.wasted.val().get_bits::<1>(1));
        self.drop_pairs[1].next = bit_cast::<3, 1>(self.wasted.val().get_bits::<1>(2))
            + bit_cast::<3, 1>(self.wasted.val().get_bits::<1>(3));
        self.aborts.next = self.drop_pairs[0].val() + self.drop_pairs[1].val();
        self.pairs[0].next = bit_cast::<3, 1>(self.tag.q.val().get_bits::<1>(0))
            + bit_cast::<3, 1>(self.tag.q.val().get_bits::<1>(1));
        self.pairs[1].next = bit_cast::<3, 1>(self.tag.q.val().get_bits::<1>(2))
            + bit_cast::<3, 1>(self.tag.q.val().get_bits::<1>(3));
        self.tags.next =
            bit_cast::<4, 3>(self.pairs[0].val()) + bit_cast::<4, 3>(self.pairs[1].val());
        self.kill.next = self.for_prefetch.q.val()
            && (self.wiping.val()
                || self.snoop_waits.q.val()
                // A guess without a slot yet was made for the command that begins, not for the layer after it.
                || (self.shape_done.val() && self.starting.q.val() && !self.live.q.val())
                || (self.dropped.val() & self.live_mark.val()) != 0);

        // Demand stops a prefetch at once; a new list or shape stops it too.
        self.demand_waits.next = self.go.val()
            || self.flush.val()
            || self.shape_active.val()
            || self.router_waits.q.val()
            || self.job_vld.val()
            || (self.demand.q.val() && self.address.q.val() != Address::Idle);

        // Address stage.
        for i in 0..4 {
            self.tag_name[i].clock.next = self.clk.val();
            self.tag_name[i].d.next = self.tag_name[i].q.val();
            self.same_job[i].next = self.tag_name[i].q.val() == self.job_expert.val();
            self.same_guess[i].next = self.tag_name[i].q.val() == self.pf_expert.val();
        }
        self.is_job.next = 0.into();
        self.is_guess.next = 0.into();
        if self.same_job[0].val() {
            self.is_job.next = 1.into();
        }
        if self.same_job[1].val() {
            self.is_job.next = self.is_job.val() | 2;
        }
        if self.same_job[2].val() {
            self.is_job.next = self.is_job.val() | 4;
        }
        if self.same_job[3].val() {
            self.is_job.next = self.is_job.val() | 8;
        }
        if self.same_guess[0].val() {
            self.is_guess.next = 1.into();
        }
        if self.same_guess[1].val() {
            self.is_guess.next = self.is_guess.val() | 2;
        }
        if self.same_guess[2].val() {
            self.is_guess.next = self.is_guess.val() | 4;
        }
        if self.same_guess[3].val() {
            self.is_guess.next = self.is_guess.val() | 8;
        }
        self.job_rdy.next = self.address.q.val() == Address::Idle && !self.shape_active.val();
        self.pf_rdy.next = false;
        self.augend.next = self.acc.q.val();
        self.addend.next = 0.into();
        match self.address.q.val() {
            Address::Idle => {
                self.augend.next = 0.into();
                self.count.d.next = 0.into();
                self.factor.d.next = self.job_expert.val();
                self.expert.d.next = self.job_expert.val();
                self.matches.d.next = self.is_job.val();
                self.demand.d.next = true;
                self.resume.d.next = false;
                self.repeated.d.next = false;
                if self.shape_active.val() {
                    self.demand.d.next = false;
                } else if self.job_vld.val() {
                    self.address.d.next = Address::Multiply;
                } else {
                    self.demand.d.next = false;
                    if self.engine.q.val() == Engine::Idle
                        && !self.demand_waits.val()
                        && !self.voiding.q.val()
                        && !self.displaced.q.val()
                        && !self.stale.val()
                    {
                        if self.live.q.val() && self.next_layer.q.val() {
                            self.factor.d.next = self.live_expert.q.val();
                            self.expert.d.next = self.live_expert.q.val();
                            self.resume.d.next = true;
                            self.address.d.next = Address::Multiply;
                        } else if self.pf_vld.val()
                            && self.next_layer.q.val()
                            && !self.list_void.q.val()
                            && self.pick_vld.q.val()
                            && self.tags.val() < self.most.q.val()
                        {
                            self.factor.d.next = self.pf_expert.val();
                            self.expert.d.next = self.pf_expert.val();
                            self.repeated.d.next = (self.is_guess.val() & self.tag.q.val()) != 0;
                            self.address.d.next = Address::Multiply;
                        }
                    }
                }
            }
            Address::Multiply => {
                self.augend.next = self.acc.q.val() << 1;
                if self.factor.q.val().get_bit(7) {
                    self.addend.next = bit_cast::<40, 32>(self.stride.val());
                }
                self.factor.d.next = self.factor.q.val() << 1;
                self.count.d.next = self.count.q.val() + 1;
                if self.count.q.val() == 7 {
                    self.address.d.next = Address::Base;
                }
                if self.repeated.q.val() {
                    self.pf_rdy.next = true;
                    self.address.d.next = Address::Idle;
                }
            }
            Address::Base => {
                self.addend.next = self.layer_base.q.val();
                if self.demand.q.val() || (self.resume.q.val() && self.live_cur.val()) {
                    self.addend.next = self.experts_addr.val();
                }
                self.address.d.next = Address::Wait;
            }
            Address::Wait => {}
            Address::Offset => {
                self.addend.next = bit_cast::<40, 16>(self.offset.q.val()) << 4;
                self.address.d.next = Address::Ready;
            }
            Address::Ready => {}
        }
        self.total.next = self.augend.val() + self.addend.val();
        self.acc.d.next = self.total.val();

        // Slots on offer.
        self.pick_vld.d.next = false;
        self.pick.d.next = 0.into();
        for i in 0..self._slots {
            if self.free.q.val().get_bit(i) {
                self.pick_vld.d.next = true;
                self.pick.d.next = i.to_bits();
            }
        }
        self.router_vld.d.next = false;
        self.router_pick.d.next = 0.into();
        for i in self._slots..(self._slots + 2) {
            if self.free.q.val().get_bit(i) {
                self.router_vld.d.next = true;
                self.router_pick.d.next = i.to_bits();
            }
        }

        // Engine.
        self.slot.next = self.pick.q.val();
        self.slot_there.next = self.pick_vld.q.val();
        self.limit.next = bit_cast::<17, 16>(self.window.val());
        if self.kind.q.val() == 0 {
            self.slot.next = self.router_pick.q.val();
            self.slot_there.next = self.router_vld.q.val();
            self.limit.next = self.router_words.val();
        }
        self.hits.next = 0.into();
        if self.demand.q.val() {
            self.hits.next = self.matches.q.val() & self.tag.q.val() & self.cur.q.val();
        }
        self.whole.next = self.rest.q.val();
        if self.rest.q.val() == 0 {
            self.whole.next = self.beats.q.val() + bit_cast::<16, 1>(self.header.q.val().into());
        }
        self.last_piece.next = self.rest.q.val().get_bits::<11>(5) == 0 || self.rest.q.val() == 32;
        self.piece_beats.next = 32.into();
        if self.last_piece.val() {
            self.piece_beats.next = self.rest.q.val();
        }
        self.asked_sum.next = self.asked.q.val() + self.piece_beats.val();
        self.asked_now.next = self.asked.q.val();
        self.asked_sum.next = self.asked.q.val() + self.piece_beats.val();
        self.asked_now.next = self.asked.q.val();
        self.ask_kind.next = self.kind.q.val();
        self.grant.d.next = false;
        self.granted.d.next = self.whole.val();
        self.start.next = false;
        self.start_addr.next = self.acc.q.val();
        self.piece.next = 0.into();
        self.order_vld.next = false;
        self.order_kind.next = self.image.q.val();
        self.order_slot.next = self.slot.val();
        self.order_expert.next = self.owner.q.val();
        self.wait_slot.next = false;
        self.begun.next = false;
        self.hit.next = false;
        self.used_beats.next = self.end_asked.q.val();
        self.advance.next = false;
        self.ended.next = false;
        self.finished.next = false;
        self.release_address.next = false;
        self.alloc.next = false;
        self.adopted.next = 0.into();
        self.begun_tag.next = 0.into();
        if self.kill.val() {
            // The address stage keeps what the engine has not taken.
            self.release_address.next = self.engine.q.val() == Engine::Start;
            self.engine.d.next = Engine::Idle;
        } else {
            match self.engine.q.val() {
                Engine::Idle => {
                    if self.router_waits.q.val() {
                        self.router_waits.d.next = false;
                        self.begun.next = true;
                        self.for_prefetch.d.next = false;
                        self.image.d.next = 1.into();
                        self.kind.d.next = 0.into();
                        self.open.d.next = false;
                        self.rest.d.next = 0.into();
                        self.used.d.next = 0.into();
                        self.fresh_section.d.next = true;
                        self.engine.d.next = Engine::Start;
                    } else if self.address.q.val() == Address::Wait {
                        self.engine.d.next = Engine::Look;
                        if !self.demand.q.val() && (self.demand_waits.val() || self.stale.val()) {
                            self.engine.d.next = Engine::Idle;
                            self.release_address.next = true;
                        }
                    }
                }
                Engine::Look => {
                    self.found.d.next = self.hits.val() != 0;
                    self.found_unfinished.d.next = (self.hits.val() & self.live_mark.val()) != 0;
                    self.found_slot.d.next = 0.into();
                    if self.hits.val().get_bit(1) {
                        self.found_slot.d.next = 1.into();
                    }
                    if self.hits.val().get_bit(2) {
                        self.found_slot.d.next = 2.into();
                    }
                    if self.hits.val().get_bit(3) {
                        self.found_slot.d.next = 3.into();
                    }
                    self.engine.d.next = Engine::Take;
                    if self.stale.val() {
                        self.engine.d.next = Engine::Look;
                        if !self.demand.q.val() {
                            self.engine.d.next = Engine::Idle;
                            self.release_address.next = true;
                        }
                    }
                }
                Engine::Take => {
                    if self.stale.val() && self.demand.q.val() {
                        self.engine.d.next = Engine::Look;
                    } else if !self.demand.q.val() && (self.demand_waits.val() || self.stale.val())
                    {
                        self.engine.d.next = Engine::Idle;
                        self.release_address.next = true;
                    } else {
                        self.engine.d.next = Engine::Start;
                        self.address.d.next = Address::Offset;
                        self.owner.d.next = self.expert.q.val();
                        self.order_expert.next = self.expert.q.val();
                        self.for_prefetch.d.next = !self.demand.q.val();
                        self.begun.next = self.demand.q.val();
                        self.kind.d.next = self.first_kind.val();
                        self.fresh_section.d.next = true;
                        self.used.d.next = 0.into();
                        self.rest.d.next = 0.into();
                        self.open.d.next = false;
                        self.header.d.next = true;
                        self.offset.d.next = 0.into();
                        self.image.d.next = 0.into();
                        self.unsent.d.next = false;
                        if self.found_unfinished.q.val() || self.resume.q.val() {
                            // From where the prefetch was parked; without any beat yet, from the beginning.
                            self.kind.d.next = self.park_kind.q.val();
                            self.left.d.next = self.park_left.q.val();
                            self.fresh_section.d.next = false;
                            self.used.d.next = self.park_used.q.val();
                            self.rest.d.next = self.park_rest.q.val();
                            self.open.d.next = true;
                            self.header.d.next = false;
                            self.offset.d.next = self.asked.q.val();
                        } else if self.found.q.val() {
                            self.kind.d.next = self.end_kind.q.val();
                            self.left.d.next = self.end_left.q.val();
                            self.fresh_section.d.next = false;
                            self.header.d.next = false;
                            self.offset.d.next = self.end_asked.q.val();
                        }
                        if self.demand.q.val() {
                            if self.found.q.val() {
                                self.adopted.next = bits::<4>(1) << self.found_slot.q.val();
                                self.order_vld.next = true;
                                self.order_kind.next = 4.into();
                                self.order_slot.next = self.found_slot.q.val();
                                self.image.d.next = 6.into();
                                self.hit.next = true;
                                if self.found_unfinished.q.val() {
                                    self.live.d.next = false;
                                    self.used_beats.next = self.asked.q.val();
                                    self.order_kind.next = 5.into();
                                    if self.asked.q.val() == 0 {
                                        self.order_kind.next = 0.into();
                                        self.hit.next = false;
                                    }
                                } else if self.end_image.q.val() {
                                    self.engine.d.next = Engine::Idle;
                                    self.release_address.next = true;
                                }
                            }
                        } else {
                            self.unsent.d.next = true;
                            self.image.d.next = 3.into();
                            if !self.resume.q.val() {
                                self.pf_rdy.next = true;
                                self.asked.d.next = 0.into();
                            }
                        }
                    }
                }
                Engine::Start => {
                    if self.issued.val() && !self.grant.q.val() {
                        if self.image.q.val() == 1 {
                            self.start.next = true;
                            self.start_addr.next = self.router_addr.val();
                            self.grant.d.next = true;
                            self.granted.d.next = 1.into();
                            self.header.d.next = false;
                            self.engine.d.next = Engine::Load;
                        } else if self.address.q.val() == Address::Ready {
                            self.start.next = true;
                            self.release_address.next = true;
                            self.engine.d.next = Engine::Load;
                        }
                    }
                }
                Engine::Load => {
                    self.words.d.next = self.ask_words.val();
                    self.beats.d.next = self.ask_beats.val();
                    if self.fresh_section.q.val() {
                        self.left.d.next = self.ask_groups.val();
                    }
                    if !self.shape_active.val() {
                        self.fresh_section.d.next = false;
                        self.engine.d.next = Engine::Sum;
                    }
                }
                Engine::Sum => {
                    self.sum.d.next = bit_cast::<17, 16>(self.used.q.val())
                        + bit_cast::<17, 16>(self.words.q.val());
                    self.last_group.d.next = self.left.q.val() == 1;
                    self.engine.d.next = Engine::Fit;
                }
                Engine::Fit => {
                    self.fits.d.next = self.open.q.val() && self.sum.q.val() <= self.limit.val();
                    self.engine.d.next = Engine::Place;
                }
                Engine::Place => {
                    if self.fits.q.val() {
                        self.header.d.next = false;
                        if self.for_prefetch.q.val() {
                            self.rest.d.next = self.whole.val();
                            self.engine.d.next = Engine::Piece;
                        } else {
                            self.grant.d.next = true;
                            self.rest.d.next = 0.into();
                            self.advance.next = true;
                        }
                    } else if self.for_prefetch.q.val() {
                        self.engine.d.next = Engine::Idle;
                        if self.open.q.val() {
                            self.finished.next = true;
                        } else if self.slot_there.val() {
                            self.alloc.next = true;
                            self.begun_tag.next = bits::<4>(1) << self.slot.val();
                            self.engine.d.next = Engine::Sum;
                        }
                    } else {
                        self.wait_slot.next = !self.slot_there.val();
                        if self.slot_there.val() {
                            self.alloc.next = true;
                            self.order_vld.next = true;
                            self.image.d.next = 6.into();
                            self.engine.d.next = Engine::Sum;
                        }
                    }
                }
                Engine::Piece => {
                    if self.demand_waits.val() {
                        self.park_kind.d.next = self.kind.q.val();
                        self.park_left.d.next = self.left.q.val();
                        self.park_used.d.next = self.used.q.val();
                        self.park_rest.d.next = self.rest.q.val();
                        self.engine.d.next = Engine::Idle;
                    } else if self.pf_credit.val() && !self.pause.val() {
                        self.grant.d.next = true;
                        self.granted.d.next = self.piece_beats.val();
                        self.piece.next = self.piece_beats.val().get_bits::<6>(0);
                        self.asked_now.next = self.asked_sum.val();
                        self.asked.d.next = self.asked_sum.val();
                        self.rest.d.next = self.rest.q.val() - self.piece_beats.val();
                        self.order_vld.next = self.unsent.q.val();
                        self.order_slot.next = self.live_slot.q.val();
                        self.order_expert.next = self.live_expert.q.val();
                        if self.asked.q.val() == 0 {
                            self.order_kind.next = 2.into();
                        }
                        self.unsent.d.next = false;
                        self.advance.next = self.last_piece.val();
                    }
                }
                Engine::Tail => {
                    self.grant.d.next = true;
                    self.granted.d.next = (self.experts.val() + 3) >> 2;
                    self.engine.d.next = Engine::Idle;
                }
            }
        }
        if self.advance.val() {
            self.used.d.next = self.sum.q.val().get_bits::<16>(0);
            self.engine.d.next = Engine::Load;
            self.left.d.next = self.left.q.val() - 1;
            if self.last_group.q.val() {
                if self.kind.q.val() == 1 {
                    self.kind.d.next = 2.into();
                    self.fresh_section.d.next = true;
                } else {
                    self.engine.d.next = Engine::Idle;
                    self.ended.next = true;
                    self.finished.next = self.for_prefetch.q.val();
                    if self.kind.q.val() == 0 && self.choice_bias.val() {
                        self.engine.d.next = Engine::Tail;
                    }
                }
            }
        }
        if self.finished.val() {
            self.live.d.next = false;
            self.end_kind.d.next = self.kind.q.val();
            self.end_left.d.next = self.left.q.val();
            self.end_asked.d.next = self.asked_now.val();
            self.end_image.d.next = self.ended.val();
        }
        self.allotted.next = 0.into();
        if self.alloc.val() {
            self.used.d.next = 0.into();
            self.open.d.next = true;
            self.allotted.next = bits::<8>(1) << self.slot.val();
            if self.for_prefetch.q.val() {
                self.live.d.next = true;
                self.live_slot.d.next = self.slot.val();
                self.live_expert.d.next = self.owner.q.val();
            }
        }

        if self.release_address.val() {
            self.address.d.next = Address::Idle;
        }
        if (self.address.q.val() == Address::Multiply || self.address.q.val() == Address::Base)
            && !self.demand.q.val()
            && (self.demand_waits.val() || self.stale.val())
        {
            self.address.d.next = Address::Idle;
        }

        // Tags and slots.
        self.completed.next = 0.into();
        if self.pf_complete.val() {
            self.completed.next = bits::<4>(1) << self.pf_slot.val();
        }
        self.gone.next = self.dropped.val() | self.adopted.val();
        self.tag.d.next = (self.tag.q.val() & !self.gone.val()) | self.begun_tag.val();
        self.cur.d.next = self.cur.q.val() & !self.gone.val() & !self.begun_tag.val();
        self.complete.d.next = (self.complete.q.val() | (self.completed.val() & self.tag.q.val()))
            & !self.gone.val()
            & !self.begun_tag.val();
        for i in 0..4 {
            if self.begun_tag.val().get_bit(i) {
                self.tag_name[i].d.next = self.owner.q.val();
            }
            self.tag_expert[i].next = self.tag_name[i].q.val();
            self.tag_state[i].next = 0.into();
            if self.tag.q.val().get_bit(i) && self.cur.q.val().get_bit(i) {
                self.tag_state[i].next = 1.into();
                if self.complete.q.val().get_bit(i) {
                    self.tag_state[i].next = 2.into();
                }
            }
        }
        self.forget.next = self.voiding.q.val() && !self.pf_some.val();
        if self.order_vld.val() && self.piece.val() == 0 {
            self.displaced.d.next = true;
        }
        if !self.pf_some.val() {
            self.voiding.d.next = false;
            self.displaced.d.next = false;
        }
        if (self.dropped.val() & self.live_mark.val()) != 0 {
            self.live.d.next = false;
            self.voiding.d.next = true;
        }
        if self.wiping.val() {
            self.voiding.d.next = true;
        }
        self.wipe.next = self.wiping.val();
        self.freed.next = 0.into();
        if self.free_vld.val() {
            self.freed.next = bits::<8>(1) << self.free_slot.val();
        }
        self.free.d.next = (self.free.q.val() & !self.allotted.val())
            | self.freed.val()
            | bit_cast::<8, 4>(self.dropped.val());

        if self.shape_done.val() {
            self.layer_base.d.next = self.next_addr.val();
            self.most.d.next = self.guesses.val().get_bits::<4>(0);
            self.starting.d.next = false;
            self.list_void.d.next = false;
            if self.starting.q.val() {
                self.next_layer.d.next = false;
                if !self.wiping.val() {
                    self.cur.d.next = self.tag.q.val() & !self.dropped.val();
                }
            }
        }
        self.base.next = self.layer_base.q.val();
        self.busy.next = self.router_waits.q.val()
            || (self.demand.q.val() && self.address.q.val() != Address::Idle)
            || (!self.for_prefetch.q.val()
                && self.engine.q.val() != Engine::Idle
                && self.engine.q.val() != Engine::Look
                && self.engine.q.val() != Engine::Take);

        if self.go.val() {
            self.starting.d.next = true;
            self.routes_known.d.next = false;
            self.judging.d.next = 0.into();
            self.judged.d.next = false;
            self.router_waits.d.next = self.source.val() == 0;
        }
        if self.rst.val() {
            self.address.d.next = Address::Idle;
            self.engine.d.next = Engine::Idle;
            self.router_waits.d.next = false;
            self.grant.d.next = false;
            self.live.d.next = false;
            self.voiding.d.next = false;
            self.displaced.d.next = false;
            self.tag.d.next = 0.into();
            self.cur.d.next = 0.into();
            self.starting.d.next = false;
            self.routes_known.d.next = false;
            self.judging.d.next = 0.into();
            self.judged.d.next = false;
            self.next_layer.d.next = true;
            self.snoop_waits.d.next = false;
            self.free.d.next = self.all_free.val();
        }
        self.grant_vld.next = self.grant.q.val();
        self.grant_beats.next = self.granted.q.val();
    }
}
