//! The loader's request side: which bytes are read next, and into which slot.
//!
//! What: the *address stage* takes the next job (or a guess) and computes where its image begins, by shift and add, while the *engine* still
//! asks for the one before. The engine grants beats to the `axi_reader`: for demand whole groups as long as they fit the slot, for a prefetch
//! pieces of at most 32 beats while at most 192 are under way; so at most 224 beats (3584 bytes) of a wrong guess stand before a demanded
//! one. Every slot that begins, and every change between demand and prefetch, is told to the receive side as an order, in the order of the
//! requests: beats come back in that order, so both sides follow the same sequence of groups without another word.
//!
//! Slot i < slots has tag i: the expert prefetched into it, whether for the running command (`cur`) or the next one, and how far. Only one
//! prefetch is unfinished at a time: its place (kind, groups left, words used, beats of the group left, beats asked for) is parked when demand
//! comes, and taken up by the same guess or by the job that hits it. All finished prefetches of one shape end at the same place, kept once.
//!
//! Both are one-hot. What follows from kind, groups left, words used and beats left of a group runs freely in registers of its own, step by
//! step, and the engine waits for it; so its paths are short, and orders, grants and starts leave through registers.
//!
//! Cost (ECP5, `versa`): 1014 LUT sites, 748 flip-flops. Latency, counted from the steps and not measured: `job_vld` to the first grant 22 cycles,
//! hidden while another image is asked for.
//! Bottleneck: a group every 4 cycles; the smallest has 7 beats. A piece of a prefetch every 4 cycles.
//! Hazards: a prefetch whose tag is dropped while its beats are under way may lose its slot at once: the beats of the slot's next owner come
//! later. But a new prefetch waits until they have arrived (`forget`), because both are counted in `under_way`; likewise after a
//! demanded image whose requests were done before all of the prefetch had arrived (`displaced`). Nothing is
//! prefetched from `go` until the last job of a command has been asked for: guesses never hold a slot that a job waits for, and a wrong one delays a
//! command once, not again at each of its phases.

use abi::Config;
use leaf::prelude::*;

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
    /// A cycle after `shape_done`: it is new.
    pub settled: Signal<Out, Bit>,

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
    /// Receive side: at most 192; true again three cycles after a grant.
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

    // Address stage, one bit per step: takes a job or a guess; expert times stride, one bit per cycle; adds the address of expert 0; waits for
    // the engine; what a prefetch has asked for; adds it; the address stands until the reader has started there.
    at_idle: Dff<Bit>,
    at_multiply: Dff<Bit>,
    at_base: Dff<Bit>,
    at_wait: Dff<Bit>,
    at_offset: Dff<Bit>,
    at_add: Dff<Bit>,
    at_ready: Dff<Bit>,
    demand: Dff<Bit>,
    resume: Dff<Bit>,
    expert: Dff<Bits<8>>,
    factor: Dff<Bits<8>>,
    count: Dff<Bits<4>>,
    acc: Dff<Bits<40>>,
    addend: Dff<Bits<40>>,
    offset: Dff<Bits<16>>,
    augend: Signal<Local, Bits<40>>,
    matches: Dff<Bits<4>>,
    guess_matches: Dff<Bits<4>>,
    release_address: Signal<Local, Bit>,
    repeated: Dff<Bit>,
    may_guess: Dff<Bit>,
    guess_fits: Dff<Bit>,
    room: Dff<Bit>,
    stop_guess: Signal<Local, Bit>,

    // Engine, one bit per step: takes the router's image, or what the address stage has; is the expert in a slot?; where in the image to go on;
    // sends the reader there; counts of the group; where it would end in the slot; whether it fits; grants it, or takes a slot; grants
    // pieces of a prefetched group; grants the router's choice biases.
    en_idle: Dff<Bit>,
    en_look: Dff<Bit>,
    en_take: Dff<Bit>,
    en_start: Dff<Bit>,
    en_load: Dff<Bit>,
    en_sum: Dff<Bit>,
    en_fit: Dff<Bit>,
    en_place: Dff<Bit>,
    en_piece: Dff<Bit>,
    en_tail: Dff<Bit>,
    kill: Signal<Local, Bit>,
    go_back: Signal<Local, Bit>,
    proceed: Signal<Local, Bit>,
    fire: Signal<Local, Bit>,
    owner: Dff<Bits<8>>,
    unsent: Dff<Bit>,
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
    // Free-running: what follows from kind, left, used and rest, each a cycle after what it is made of.
    words: Dff<Bits<16>>,
    beats: Dff<Bits<16>>,
    groups: Dff<Bits<16>>,
    sum: Dff<Bits<17>>,
    fits: Dff<Bit>,
    last_group: Dff<Bit>,
    rest_some: Dff<Bit>,
    beats_all: Dff<Bits<16>>,
    whole: Dff<Bits<16>>,
    many: Dff<Bit>,
    exactly: Dff<Bit>,
    piece_beats: Dff<Bits<6>>,
    last_piece: Dff<Bit>,
    pace: Dff<Bits<2>>,
    ready: Dff<Bit>,
    paused: Dff<Bit>,
    limit: Dff<Bits<17>>,
    demand_waits: Dff<Bit>,
    give: Signal<Local, Bit>,
    place_demand: Signal<Local, Bit>,
    advance: Signal<Local, Bit>,
    ends: Signal<Local, Bit>,
    finished: Dff<Bit>,
    ended: Dff<Bit>,
    alloc: Signal<Local, Bit>,
    takes_slot: Dff<Bit>,
    slot_taken: Dff<Bits<3>>,
    slot_guessed: Dff<Bit>,
    again_too: Dff<Bit>,
    purge: Dff<Bit>,
    slot: Dff<Bits<3>>,
    slot_there: Dff<Bit>,
    grant: Dff<Bit>,
    granted: Dff<Bits<16>>,
    piece_granted: Dff<Bits<6>>,
    starts: Dff<Bit>,
    starts_at: Dff<Bits<40>>,
    order: Dff<Bit>,
    order_is: Dff<Bits<3>>,
    order_into: Dff<Bits<3>>,
    order_of: Dff<Bits<8>>,
    begins: Dff<Bit>,
    hits: Dff<Bit>,
    found: Dff<Bit>,
    found_unfinished: Dff<Bit>,
    from_park: Dff<Bit>,
    whole_image: Dff<Bit>,
    found_slot: Dff<Bits<3>>,
    in_slots: Signal<Local, Bits<4>>,

    // The unfinished prefetch, and where the finished ones ended.
    live: Dff<Bit>,
    live_slot: Dff<Bits<3>>,
    live_expert: Dff<Bits<8>>,
    live_mark: Signal<Local, Bits<4>>,
    asked: Dff<Bits<16>>,
    asked_none: Dff<Bit>,
    used_count: Dff<Bits<16>>,
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
    forgets: Dff<Bit>,

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
    adopts: Dff<Bit>,
    adopts_slot: Dff<Bits<3>>,
    adopted: Signal<Local, Bits<4>>,
    begun_tag: Signal<Local, Bits<4>>,
    completed: Signal<Local, Bits<4>>,
    // Tags to be given up: why, which, and a cycle later what that means.
    wanted: Dff<Bits<4>>,
    all: Signal<Local, Bit>,
    again: Dff<Bit>,
    drop: Signal<Local, Bits<4>>,
    dropping: Dff<Bits<4>>,
    stale: Dff<Bit>,
    live_dropped: Dff<Bit>,
    dropped: Signal<Local, Bits<4>>,
    wasted: Dff<Bits<4>>,
    drop_pairs: [Signal<Local, Bits<3>>; 2],
    given_up: Dff<Bits<3>>,
    gone: Signal<Local, Bits<4>>,
    snoop_waits: Dff<Bit>,
    list_void: Dff<Bit>,

    // The command.
    starting: Dff<Bit>,
    layer_base: Dff<Bits<40>>,
    base_differs: Dff<Bits<4>>,
    differs: [Signal<Local, Bit>; 4],
    compared: Dff<Bits<40>>,
    most: Dff<Bits<4>>,
    routes_known: Dff<Bit>,
    judging: Dff<Bits<3>>,
    judge: Dff<Bit>,
    judged: Dff<Bit>,
    next_layer: Dff<Bit>,
    leave: Dff<Bit>,
    wiping: Dff<Bit>,
    settles: Dff<Bit>,
    void_guess: Dff<Bit>,

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
            settled: Default::default(),
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
            at_idle: Dff::new(true),
            at_multiply: Default::default(),
            at_base: Default::default(),
            at_wait: Default::default(),
            at_offset: Default::default(),
            at_add: Default::default(),
            at_ready: Default::default(),
            demand: Default::default(),
            resume: Default::default(),
            expert: Default::default(),
            factor: Default::default(),
            count: Default::default(),
            acc: Default::default(),
            addend: Default::default(),
            offset: Default::default(),
            augend: Default::default(),
            matches: Default::default(),
            guess_matches: Default::default(),
            release_address: Default::default(),
            repeated: Default::default(),
            may_guess: Default::default(),
            guess_fits: Default::default(),
            room: Default::default(),
            stop_guess: Default::default(),
            en_idle: Dff::new(true),
            en_look: Default::default(),
            en_take: Default::default(),
            en_start: Default::default(),
            en_load: Default::default(),
            en_sum: Default::default(),
            en_fit: Default::default(),
            en_place: Default::default(),
            en_piece: Default::default(),
            en_tail: Default::default(),
            kill: Default::default(),
            go_back: Default::default(),
            proceed: Default::default(),
            fire: Default::default(),
            owner: Default::default(),
            unsent: Default::default(),
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
            groups: Default::default(),
            sum: Default::default(),
            fits: Default::default(),
            last_group: Default::default(),
            rest_some: Default::default(),
            beats_all: Default::default(),
            whole: Default::default(),
            many: Default::default(),
            exactly: Default::default(),
            piece_beats: Default::default(),
            last_piece: Default::default(),
            pace: Default::default(),
            ready: Default::default(),
            paused: Default::default(),
            limit: Default::default(),
            demand_waits: Default::default(),
            give: Default::default(),
            place_demand: Default::default(),
            advance: Default::default(),
            ends: Default::default(),
            finished: Default::default(),
            ended: Default::default(),
            alloc: Default::default(),
            takes_slot: Default::default(),
            slot_taken: Default::default(),
            slot_guessed: Default::default(),
            again_too: Default::default(),
            purge: Default::default(),
            slot: Default::default(),
            slot_there: Default::default(),
            grant: Default::default(),
            granted: Default::default(),
            piece_granted: Default::default(),
            starts: Default::default(),
            starts_at: Default::default(),
            order: Default::default(),
            order_is: Default::default(),
            order_into: Default::default(),
            order_of: Default::default(),
            begins: Default::default(),
            hits: Default::default(),
            found: Default::default(),
            found_unfinished: Default::default(),
            from_park: Default::default(),
            whole_image: Default::default(),
            found_slot: Default::default(),
            in_slots: Default::default(),
            live: Default::default(),
            live_slot: Default::default(),
            live_expert: Default::default(),
            live_mark: Default::default(),
            asked: Default::default(),
            asked_none: Default::default(),
            used_count: Default::default(),
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
            forgets: Default::default(),
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
            adopts: Default::default(),
            adopts_slot: Default::default(),
            adopted: Default::default(),
            begun_tag: Default::default(),
            completed: Default::default(),
            wanted: Default::default(),
            all: Default::default(),
            again: Default::default(),
            drop: Default::default(),
            dropping: Default::default(),
            stale: Default::default(),
            live_dropped: Default::default(),
            dropped: Default::default(),
            wasted: Default::default(),
            drop_pairs: arr(),
            given_up: Default::default(),
            gone: Default::default(),
            snoop_waits: Default::default(),
            list_void: Default::default(),
            starting: Default::default(),
            layer_base: Default::default(),
            base_differs: Default::default(),
            differs: arr(),
            compared: Default::default(),
            most: Default::default(),
            routes_known: Default::default(),
            judging: Default::default(),
            judge: Default::default(),
            judged: Default::default(),
            next_layer: Dff::new(true),
            leave: Default::default(),
            wiping: Default::default(),
            settles: Default::default(),
            void_guess: Default::default(),
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
            self,
            clk,
            at_idle,
            at_multiply,
            at_base,
            at_wait,
            at_offset,
            at_add,
            at_ready,
            demand,
            resume,
            expert,
            factor
        );
        dff_setup!(
            self,
            clk,
            count,
            acc,
            addend,
            offset,
            matches,
            guess_matches,
            repeated,
            may_guess,
            guess_fits,
            room,
            en_idle
        );
        dff_setup!(
            self, clk, en_look, en_take, en_start, en_load, en_sum, en_fit, en_place, en_piece,
            en_tail, owner, unsent
        );
        dff_setup!(
            self,
            clk,
            router_waits,
            for_prefetch,
            image,
            header,
            open,
            fresh_section,
            kind,
            left,
            used,
            rest,
            words
        );
        dff_setup!(
            self,
            clk,
            beats,
            groups,
            sum,
            fits,
            last_group,
            rest_some,
            beats_all,
            whole,
            many,
            exactly,
            piece_beats
        );
        dff_setup!(
            self,
            clk,
            last_piece,
            pace,
            ready,
            paused,
            limit,
            demand_waits,
            finished,
            ended,
            takes_slot,
            slot_taken,
            slot_guessed
        );
        dff_setup!(
            self,
            clk,
            again_too,
            purge,
            slot,
            slot_there,
            grant,
            granted,
            piece_granted,
            starts,
            starts_at,
            order,
            order_is
        );
        dff_setup!(
            self,
            clk,
            order_into,
            order_of,
            begins,
            hits,
            found,
            found_unfinished,
            from_park,
            whole_image,
            found_slot,
            live,
            live_slot
        );
        dff_setup!(
            self,
            clk,
            live_expert,
            asked,
            asked_none,
            used_count,
            park_kind,
            park_left,
            park_used,
            park_rest,
            end_kind,
            end_left,
            end_asked
        );
        dff_setup!(
            self,
            clk,
            end_image,
            voiding,
            displaced,
            forgets,
            tag,
            cur,
            complete,
            adopts,
            adopts_slot,
            wanted,
            again
        );
        dff_setup!(
            self,
            clk,
            dropping,
            stale,
            live_dropped,
            wasted,
            given_up,
            snoop_waits,
            list_void,
            starting,
            layer_base,
            base_differs,
            compared
        );
        dff_setup!(
            self,
            clk,
            most,
            routes_known,
            judging,
            judge,
            judged,
            next_layer,
            leave,
            wiping,
            settles,
            void_guess,
            free
        );
        dff_setup!(self, clk, pick, pick_vld, router_pick, router_vld);

        // What the command is, and what it means for the tags.
        self.compared.d.next = self.next_addr.val();
        if self.starting.q.val() {
            self.compared.d.next = self.experts_addr.val();
        }
        for i in 0..4 {
            self.differs[i].next = self.compared.q.val().get_bits::<10>(10 * i)
                != self.layer_base.q.val().get_bits::<10>(10 * i);
        }
        self.base_differs.d.next = bit_cast::<4, 1>(self.differs[0].val().into())
            | (bit_cast::<4, 1>(self.differs[1].val().into()) << 1)
            | (bit_cast::<4, 1>(self.differs[2].val().into()) << 2)
            | (bit_cast::<4, 1>(self.differs[3].val().into()) << 3);
        self.wiping.d.next = self.shape_done.val()
            && (self.shape_changed.val()
                || self.base_differs.q.val() != 0
                || !self.next_layer.q.val());
        self.settles.d.next = self.shape_done.val();
        // A guess without a slot yet was made for the command that begins, not for the layer after it.
        self.void_guess.d.next =
            self.shape_done.val() && self.starting.q.val() && !self.live.q.val();
        self.leave.d.next = self.judged.q.val()
            && self.jobs_done.val()
            && !self.job_vld.val()
            && !self.next_layer.q.val()
            && (self.at_idle.q.val() || !self.demand.q.val());
        if self.rt_done.val() {
            self.routes_known.d.next = true;
        }
        self.judge.d.next = self.judging.q.val() == 4;
        if self.judging.q.val() != 0 {
            self.judging.d.next = self.judging.q.val() + 1;
        } else if self.routes_known.q.val()
            && !self.judged.q.val()
            && !self.judge.q.val()
            && !self.starting.q.val()
            && !self.shape_active.val()
        {
            self.judging.d.next = 1.into();
        }
        if self.judge.q.val() {
            self.judging.d.next = 0.into();
            self.judged.d.next = true;
        }
        if self.leave.q.val() {
            self.next_layer.d.next = true;
        }
        self.snoop_waits.d.next = self.snooped.val();
        // What was written may not be in memory yet: nothing is guessed from there before the next list.
        if self.snooped.val() {
            self.list_void.d.next = true;
        }

        // Tags that are given up: marked now, given up in the next cycle. When all are, that goes on for two cycles more: it takes the tag of a slot
        // that a prefetch was just given.
        self.wanted.d.next = self.tag_wanted.val();
        self.all.next = self.wiping.q.val() || self.snoop_waits.q.val();
        self.again.d.next = self.all.val();
        self.again_too.d.next = self.again.q.val();
        self.purge.d.next = self.all.val() || self.again.q.val() || self.again_too.q.val();
        self.drop.next = 0.into();
        if self.judge.q.val() {
            self.drop.next = self.cur.q.val() & !self.wanted.q.val();
        }
        if self.leave.q.val() {
            self.drop.next = self.cur.q.val();
        }
        if self.purge.q.val() {
            self.drop.next = 15.into();
        }
        self.live_mark.next = 0.into();
        if self.live.q.val() {
            self.live_mark.next = bits::<4>(1) << self.live_slot.q.val();
        }
        self.dropping.d.next = self.drop.val() & self.tag.q.val();
        self.stale.d.next = (self.drop.val() & self.tag.q.val()) != 0;
        self.live_dropped.d.next = (self.drop.val() & self.live_mark.val()) != 0;
        self.adopted.next = 0.into();
        if self.adopts.q.val() {
            self.adopted.next = bits::<4>(1) << self.adopts_slot.q.val();
        }
        self.dropped.next = self.dropping.q.val() & self.tag.q.val() & !self.adopted.val();
        self.asked_none.d.next = self.asked.q.val() == 0;
        self.wasted.d.next = self.dropped.val();
        if self.asked_none.q.val() {
            self.wasted.d.next = self.dropped.val() & !self.live_mark.val();
        }
        self.drop_pairs[0].next = bit_cast::<3, 1>(self.wasted.q.val().get_bits::<1>(0))
            + bit_cast::<3, 1>(self.wasted.q.val().get_bits::<1>(1));
        self.drop_pairs[1].next = bit_cast::<3, 1>(self.wasted.q.val().get_bits::<1>(2))
            + bit_cast::<3, 1>(self.wasted.q.val().get_bits::<1>(3));
        self.given_up.d.next = self.drop_pairs[0].val() + self.drop_pairs[1].val();
        self.aborts.next = self.given_up.q.val();
        self.pairs[0].next = bit_cast::<3, 1>(self.tag.q.val().get_bits::<1>(0))
            + bit_cast::<3, 1>(self.tag.q.val().get_bits::<1>(1));
        self.pairs[1].next = bit_cast::<3, 1>(self.tag.q.val().get_bits::<1>(2))
            + bit_cast::<3, 1>(self.tag.q.val().get_bits::<1>(3));
        self.tags.next =
            bit_cast::<4, 3>(self.pairs[0].val()) + bit_cast::<4, 3>(self.pairs[1].val());
        self.room.d.next = self.tags.val() < self.most.q.val();
        self.kill.next = self.for_prefetch.q.val()
            && (self.live_dropped.q.val() || self.again.q.val() || self.void_guess.q.val());

        // Demand stops a prefetch; a new list or shape stops it too, and nothing is guessed before the last job of a command.
        self.demand_waits.d.next = self.go.val()
            || self.flush.val()
            || self.shape_active.val()
            || self.router_waits.q.val()
            || self.job_vld.val()
            || (self.demand.q.val() && !self.at_idle.q.val())
            || !self.next_layer.q.val()
            || self.list_void.q.val();
        self.paused.d.next = self.pause.val();
        self.stop_guess.next = self.demand_waits.q.val() || self.stale.q.val();

        // Address stage.
        for i in 0..4 {
            self.tag_name[i].clock.next = self.clk.val();
            self.tag_name[i].d.next = self.tag_name[i].q.val();
            self.same_job[i].next = self.tag_name[i].q.val() == self.job_expert.val();
            self.same_guess[i].next = self.tag_name[i].q.val() == self.pf_expert.val();
        }
        self.is_job.next = bit_cast::<4, 1>(self.same_job[0].val().into())
            | (bit_cast::<4, 1>(self.same_job[1].val().into()) << 1)
            | (bit_cast::<4, 1>(self.same_job[2].val().into()) << 2)
            | (bit_cast::<4, 1>(self.same_job[3].val().into()) << 3);
        self.is_guess.next = bit_cast::<4, 1>(self.same_guess[0].val().into())
            | (bit_cast::<4, 1>(self.same_guess[1].val().into()) << 1)
            | (bit_cast::<4, 1>(self.same_guess[2].val().into()) << 2)
            | (bit_cast::<4, 1>(self.same_guess[3].val().into()) << 3);
        self.job_rdy.next = self.at_idle.q.val() && !self.shape_active.val();
        self.pf_rdy.next = false;
        self.may_guess.d.next = self.en_idle.q.val()
            && !self.voiding.q.val()
            && !self.displaced.q.val()
            && !self.stop_guess.val();
        self.guess_fits.d.next =
            self.pick_vld.q.val() && self.room.q.val() && !self.list_void.q.val();
        self.addend.d.next = 0.into();
        self.augend.next = self.acc.q.val();
        if self.at_multiply.q.val() {
            self.augend.next = self.acc.q.val() << 1;
        }
        if self.at_multiply.q.val() || self.at_base.q.val() || self.at_add.q.val() {
            self.acc.d.next = self.augend.val() + self.addend.q.val();
        }
        if self.at_idle.q.val() {
            self.acc.d.next = 0.into();
            self.count.d.next = 0.into();
            self.repeated.d.next = false;
            self.matches.d.next = self.is_job.val();
            self.guess_matches.d.next = self.is_guess.val();
            self.resume.d.next = false;
            self.factor.d.next = self.pf_expert.val();
            if self.live.q.val() {
                self.resume.d.next = !self.job_vld.val();
                self.factor.d.next = self.live_expert.q.val();
            }
            self.demand.d.next = self.job_vld.val() && !self.shape_active.val();
            if self.job_vld.val() {
                self.factor.d.next = self.job_expert.val();
                if !self.shape_active.val() {
                    self.at_idle.d.next = false;
                    self.at_multiply.d.next = true;
                }
            } else if self.may_guess.q.val()
                && !self.stop_guess.val()
                && (self.live.q.val() || (self.pf_vld.val() && self.guess_fits.q.val()))
            {
                self.at_idle.d.next = false;
                self.at_multiply.d.next = true;
            }
        }
        if self.at_multiply.q.val() {
            // The addend is a cycle behind its bit.
            if self.factor.q.val().get_bit(7) {
                self.addend.d.next = bit_cast::<40, 32>(self.stride.val());
            }
            self.factor.d.next = self.factor.q.val() << 1;
            self.count.d.next = self.count.q.val() + 1;
            if self.count.q.val() == 0 {
                self.expert.d.next = self.factor.q.val();
                self.repeated.d.next = !self.demand.q.val()
                    && !self.resume.q.val()
                    && (self.guess_matches.q.val() & self.tag.q.val()) != 0;
            }
            if self.count.q.val().get_bit(3) {
                self.addend.d.next = self.layer_base.q.val();
                if self.demand.q.val() {
                    self.addend.d.next = self.experts_addr.val();
                }
                self.at_multiply.d.next = false;
                self.at_base.d.next = true;
            }
            if self.repeated.q.val() || (!self.demand.q.val() && self.stop_guess.val()) {
                self.pf_rdy.next = !self.stop_guess.val();
                self.at_multiply.d.next = false;
                self.at_base.d.next = false;
                self.at_idle.d.next = true;
            }
        }
        if self.at_base.q.val() {
            self.at_base.d.next = false;
            self.at_wait.d.next = true;
        }
        if self.at_offset.q.val() {
            self.addend.d.next = bit_cast::<40, 16>(self.offset.q.val()) << 4;
            self.at_offset.d.next = false;
            self.at_add.d.next = true;
        }
        if self.at_add.q.val() {
            self.at_add.d.next = false;
            self.at_ready.d.next = true;
        }

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
        self.slot.d.next = self.pick.q.val();
        self.slot_there.d.next = self.pick_vld.q.val();
        self.limit.d.next = bit_cast::<17, 16>(self.window.val());
        if self.kind.q.val() == 0 {
            self.slot.d.next = self.router_pick.q.val();
            self.slot_there.d.next = self.router_vld.q.val();
            self.limit.d.next = self.router_words.val();
        }

        // What the group at hand is. Load, Sum and Fit wait for it, step by step.
        self.ask_kind.next = self.kind.q.val();
        self.words.d.next = self.ask_words.val();
        self.beats.d.next = self.ask_beats.val();
        self.groups.d.next = self.ask_groups.val();
        self.sum.d.next =
            bit_cast::<17, 16>(self.used.q.val()) + bit_cast::<17, 16>(self.words.q.val());
        self.fits.d.next = self.open.q.val() && self.sum.q.val() <= self.limit.q.val();
        self.last_group.d.next = self.left.q.val() == 1;
        self.rest_some.d.next = self.rest.q.val() != 0;
        self.beats_all.d.next = self.beats.q.val() + bit_cast::<16, 1>(self.header.q.val().into());
        self.whole.d.next = self.beats_all.q.val();
        if self.rest_some.q.val() {
            self.whole.d.next = self.rest.q.val();
        }
        // The next piece: two cycles after `rest`.
        self.many.d.next = self.rest.q.val().get_bits::<11>(5) != 0;
        self.exactly.d.next = self.rest.q.val() == 32;
        self.piece_beats.d.next = bit_cast::<6, 5>(self.rest.q.val().get_bits::<5>(0));
        if self.many.q.val() {
            self.piece_beats.d.next = 32.into();
        }
        self.last_piece.d.next = !self.many.q.val() || self.exactly.q.val();
        self.pace.d.next = 0.into();
        if self.pace.q.val() == 2 {
            self.pace.d.next = 1.into();
        }
        self.give.next = self.ready.q.val() && self.en_piece.q.val() && !self.stop_guess.val();
        self.ready.d.next = self.pace.q.val() == 0
            && self.pf_credit.val()
            && !self.paused.q.val()
            && self.en_piece.q.val()
            && !self.give.val();

        // Found in a slot?
        self.in_slots.next = 0.into();
        if self.demand.q.val() {
            self.in_slots.next = self.matches.q.val() & self.tag.q.val() & self.cur.q.val();
        }
        self.found.d.next = self.in_slots.val() != 0;
        self.found_unfinished.d.next = (self.in_slots.val() & self.live_mark.val()) != 0;
        self.whole_image.d.next = self.in_slots.val() != 0
            && (self.in_slots.val() & self.live_mark.val()) == 0
            && self.end_image.q.val();
        self.from_park.d.next =
            (self.in_slots.val() & self.live_mark.val()) != 0 || self.resume.q.val();
        self.found_slot.d.next = 0.into();
        if self.in_slots.val().get_bit(1) {
            self.found_slot.d.next = 1.into();
        }
        if self.in_slots.val().get_bit(2) {
            self.found_slot.d.next = 2.into();
        }
        if self.in_slots.val().get_bit(3) {
            self.found_slot.d.next = 3.into();
        }

        // Engine.
        self.go_back.next = (self.demand.q.val() && self.stale.q.val())
            || (!self.demand.q.val() && self.stop_guess.val());
        self.proceed.next = self.en_take.q.val() && !self.go_back.val();
        self.fire.next = self.en_start.q.val()
            && self.issued.val()
            && !self.grant.q.val()
            && (self.image.q.val() == 1 || self.at_ready.q.val());
        self.place_demand.next =
            self.en_place.q.val() && self.fits.q.val() && !self.for_prefetch.q.val();
        self.advance.next = self.place_demand.val() || (self.give.val() && self.last_piece.q.val());
        self.ends.next = self.advance.val() && self.last_group.q.val() && self.kind.q.val() != 1;
        self.alloc.next = self.en_place.q.val()
            && !self.fits.q.val()
            && self.slot_there.q.val()
            && (!self.for_prefetch.q.val() || (!self.open.q.val() && !self.kill.val()));
        self.grant.d.next = self.place_demand.val() || self.give.val() || self.en_tail.q.val();
        self.granted.d.next = self.whole.q.val();
        self.piece_granted.d.next = 0.into();
        self.starts.d.next = self.fire.val();
        self.starts_at.d.next = self.acc.q.val();
        self.order.d.next = false;
        self.order_is.d.next = self.image.q.val();
        self.order_into.d.next = self.slot.q.val();
        self.order_of.d.next = self.owner.q.val();
        self.begins.d.next = self.proceed.val() && self.demand.q.val();
        self.hits.d.next = false;
        self.used_count.d.next = self.end_asked.q.val();
        if self.found_unfinished.q.val() {
            self.used_count.d.next = self.asked.q.val();
        }
        self.release_address.next = false;
        self.adopts.d.next = false;
        self.adopts_slot.d.next = self.found_slot.q.val();
        self.finished.d.next = false;
        self.ended.d.next = false;
        if self.en_idle.q.val() {
            // As for the router's image; what the address stage has says more when it is taken.
            self.for_prefetch.d.next = false;
            self.image.d.next = 1.into();
            self.kind.d.next = 0.into();
            self.open.d.next = false;
            self.rest.d.next = 0.into();
            self.used.d.next = 0.into();
            self.fresh_section.d.next = true;
            self.header.d.next = false;
            if self.router_waits.q.val() {
                self.router_waits.d.next = false;
                self.begins.d.next = true;
                self.en_idle.d.next = false;
                self.en_start.d.next = true;
            } else if self.at_wait.q.val() {
                if self.demand.q.val() || self.may_guess.q.val() {
                    self.en_idle.d.next = false;
                    self.en_look.d.next = true;
                } else {
                    self.release_address.next = true;
                }
            }
        }
        if self.en_look.q.val() && !(self.demand.q.val() && self.stale.q.val()) {
            self.en_look.d.next = false;
            self.en_take.d.next = true;
        }
        if self.en_take.q.val() {
            // Registers are loaded even if the step is taken back.
            self.owner.d.next = self.expert.q.val();
            self.order_of.d.next = self.expert.q.val();
            self.for_prefetch.d.next = !self.demand.q.val();
            self.kind.d.next = self.first_kind.val();
            self.fresh_section.d.next = true;
            self.used.d.next = 0.into();
            self.rest.d.next = 0.into();
            self.open.d.next = false;
            self.header.d.next = true;
            self.offset.d.next = 0.into();
            self.image.d.next = 0.into();
            self.unsent.d.next = !self.demand.q.val();
            self.left.d.next = self.end_left.q.val();
            if self.from_park.q.val() {
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
                self.fresh_section.d.next = false;
                self.header.d.next = false;
                self.offset.d.next = self.end_asked.q.val();
            }
            if self.found.q.val() {
                self.image.d.next = 6.into();
                self.order_into.d.next = self.found_slot.q.val();
                self.order_is.d.next = 4.into();
                if self.found_unfinished.q.val() {
                    self.order_is.d.next = 5.into();
                    if self.asked_none.q.val() {
                        self.order_is.d.next = 0.into();
                    }
                }
            }
            if !self.demand.q.val() {
                self.image.d.next = 3.into();
                if !self.resume.q.val() {
                    self.asked.d.next = 0.into();
                }
            }
            self.en_take.d.next = false;
            if self.go_back.val() {
                self.en_look.d.next = self.demand.q.val();
                self.en_idle.d.next = !self.demand.q.val();
                self.release_address.next = !self.demand.q.val();
            } else {
                self.en_start.d.next = true;
                self.at_wait.d.next = false;
                self.at_offset.d.next = true;
                if self.found.q.val() {
                    self.adopts.d.next = true;
                    self.order.d.next = true;
                    self.hits.d.next = !self.found_unfinished.q.val() || !self.asked_none.q.val();
                    if self.found_unfinished.q.val() {
                        self.live.d.next = false;
                    }
                }
                if self.whole_image.q.val() {
                    self.en_start.d.next = false;
                    self.en_idle.d.next = true;
                    self.release_address.next = true;
                }
                if !self.demand.q.val() && !self.resume.q.val() {
                    self.pf_rdy.next = true;
                }
            }
        }
        if self.image.q.val() == 1 {
            self.starts_at.d.next = self.router_addr.val();
        }
        if self.fire.val() {
            self.en_start.d.next = false;
            self.en_load.d.next = true;
            if self.image.q.val() == 1 {
                self.grant.d.next = true;
                self.granted.d.next = 1.into();
            } else {
                self.release_address.next = true;
            }
        }
        if self.en_load.q.val() && !self.shape_active.val() {
            self.en_load.d.next = false;
            self.en_sum.d.next = true;
        }
        if self.en_sum.q.val() {
            if self.fresh_section.q.val() {
                self.left.d.next = self.groups.q.val();
            }
            self.fresh_section.d.next = false;
            self.en_sum.d.next = false;
            self.en_fit.d.next = true;
        }
        if self.en_fit.q.val() {
            self.en_fit.d.next = false;
            self.en_place.d.next = true;
        }
        self.wait_slot.next = self.en_place.q.val()
            && !self.fits.q.val()
            && !self.for_prefetch.q.val()
            && !self.slot_there.q.val();
        if self.en_place.q.val() {
            if self.fits.q.val() {
                self.header.d.next = false;
                self.rest.d.next = 0.into();
                self.en_place.d.next = false;
                if self.for_prefetch.q.val() {
                    self.rest.d.next = self.whole.q.val();
                    self.pace.d.next = 2.into();
                    self.en_piece.d.next = true;
                }
            } else {
                if self.for_prefetch.q.val() {
                    self.en_place.d.next = false;
                    self.en_idle.d.next = true;
                    self.finished.d.next = self.open.q.val();
                }
                if self.alloc.val() {
                    self.en_place.d.next = false;
                    self.en_idle.d.next = false;
                    self.en_sum.d.next = true;
                    self.order.d.next = !self.for_prefetch.q.val();
                    if !self.for_prefetch.q.val() {
                        self.image.d.next = 6.into();
                    }
                }
            }
        }
        if self.en_piece.q.val() {
            self.park_kind.d.next = self.kind.q.val();
            self.park_left.d.next = self.left.q.val();
            self.park_used.d.next = self.used.q.val();
            self.park_rest.d.next = self.rest.q.val();
            if self.demand_waits.q.val() {
                self.en_piece.d.next = false;
                self.en_idle.d.next = true;
            }
            self.granted.d.next = bit_cast::<16, 6>(self.piece_beats.q.val());
            self.order_into.d.next = self.live_slot.q.val();
            self.order_of.d.next = self.live_expert.q.val();
            if self.asked_none.q.val() {
                self.order_is.d.next = 2.into();
            }
        }
        if self.give.val() {
            self.piece_granted.d.next = self.piece_beats.q.val();
            self.asked.d.next = self.asked.q.val() + bit_cast::<16, 6>(self.piece_beats.q.val());
            self.rest.d.next = 0.into();
            if self.many.q.val() {
                self.rest.d.next = self.rest.q.val() - 32;
            }
            self.pace.d.next = 2.into();
            self.order.d.next = self.unsent.q.val();
            self.unsent.d.next = false;
        }
        if self.en_tail.q.val() {
            self.granted.d.next = (self.experts.val() + 3) >> 2;
            self.en_tail.d.next = false;
            self.en_idle.d.next = true;
        }
        if self.advance.val() {
            self.used.d.next = self.sum.q.val().get_bits::<16>(0);
            self.left.d.next = self.left.q.val() - 1;
            self.en_piece.d.next = false;
            self.en_load.d.next = !self.ends.val();
            if self.last_group.q.val() && self.kind.q.val() == 1 {
                self.kind.d.next = 2.into();
                self.fresh_section.d.next = true;
            }
        }
        if self.ends.val() {
            self.en_idle.d.next = true;
            self.ended.d.next = true;
            self.finished.d.next = self.for_prefetch.q.val();
            if self.kind.q.val() == 0 && self.choice_bias.val() && !self.for_prefetch.q.val() {
                self.en_idle.d.next = false;
                self.en_tail.d.next = true;
            }
        }
        if self.finished.q.val() {
            self.live.d.next = false;
            self.end_kind.d.next = self.kind.q.val();
            self.end_left.d.next = self.left.q.val();
            self.end_asked.d.next = self.asked.q.val();
            self.end_image.d.next = self.ended.q.val();
        }
        self.takes_slot.d.next = self.alloc.val();
        self.slot_taken.d.next = self.slot.q.val();
        self.slot_guessed.d.next = self.for_prefetch.q.val();
        if self.alloc.val() {
            self.used.d.next = 0.into();
            self.open.d.next = true;
            if self.for_prefetch.q.val() {
                self.live.d.next = true;
                self.live_slot.d.next = self.slot.q.val();
                self.live_expert.d.next = self.owner.q.val();
            }
        }
        self.begun_tag.next = 0.into();
        self.allotted.next = 0.into();
        if self.takes_slot.q.val() {
            self.allotted.next = bits::<8>(1) << self.slot_taken.q.val();
            if self.slot_guessed.q.val() {
                self.begun_tag.next = bits::<4>(1) << self.slot_taken.q.val();
            }
        }
        // A prefetch that lost its place or its reason.
        if self.kill.val()
            && !self.en_idle.q.val()
            && !self.en_look.q.val()
            && !self.en_take.q.val()
        {
            if self.en_start.q.val() {
                self.release_address.next = true;
            }
            self.en_start.d.next = false;
            self.en_load.d.next = false;
            self.en_sum.d.next = false;
            self.en_fit.d.next = false;
            self.en_place.d.next = false;
            self.en_piece.d.next = false;
            self.en_idle.d.next = true;
        }

        if self.release_address.val() {
            self.at_wait.d.next = false;
            self.at_offset.d.next = false;
            self.at_add.d.next = false;
            self.at_ready.d.next = false;
            self.at_idle.d.next = true;
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
        self.forgets.d.next = self.voiding.q.val() && !self.pf_some.val();
        self.forget.next = self.forgets.q.val();
        if self.order.q.val() && self.piece_granted.q.val() == 0 {
            self.displaced.d.next = true;
        }
        if !self.pf_some.val() {
            self.voiding.d.next = false;
            self.displaced.d.next = false;
        }
        if self.live_dropped.q.val() && self.live.q.val() {
            self.live.d.next = false;
            self.voiding.d.next = true;
        }
        if self.wiping.q.val() {
            self.voiding.d.next = true;
        }
        self.wipe.next = self.wiping.q.val();
        self.freed.next = 0.into();
        if self.free_vld.val() {
            self.freed.next = bits::<8>(1) << self.free_slot.val();
        }
        self.free.d.next = (self.free.q.val() & !self.allotted.val())
            | self.freed.val()
            | bit_cast::<8, 4>(self.dropped.val());

        self.settled.next = self.settles.q.val();
        if self.settles.q.val() {
            self.layer_base.d.next = self.next_addr.val();
            self.most.d.next = self.guesses.val().get_bits::<4>(0);
            self.starting.d.next = false;
            self.list_void.d.next = false;
            if self.starting.q.val() {
                self.next_layer.d.next = false;
                if !self.wiping.q.val() {
                    self.cur.d.next = self.tag.q.val() & !self.dropped.val();
                }
            }
        }
        self.base.next = self.layer_base.q.val();
        self.begun.next = self.begins.q.val();
        self.hit.next = self.hits.q.val();
        self.used_beats.next = self.used_count.q.val();
        self.busy.next = self.router_waits.q.val()
            || self.begins.q.val()
            || (self.demand.q.val() && !self.at_idle.q.val())
            || (!self.for_prefetch.q.val()
                && !self.en_idle.q.val()
                && !self.en_look.q.val()
                && !self.en_take.q.val());
        self.start.next = self.starts.q.val();
        self.start_addr.next = self.starts_at.q.val();
        self.grant_vld.next = self.grant.q.val();
        self.grant_beats.next = self.granted.q.val();
        self.piece.next = self.piece_granted.q.val();
        self.order_vld.next = self.order.q.val();
        self.order_kind.next = self.order_is.q.val();
        self.order_slot.next = self.order_into.q.val();
        self.order_expert.next = self.order_of.q.val();

        if self.go.val() {
            self.starting.d.next = true;
            self.routes_known.d.next = false;
            self.judging.d.next = 0.into();
            self.judge.d.next = false;
            self.judged.d.next = false;
            self.router_waits.d.next = self.source.val() == 0;
        }
        if self.rst.val() {
            self.at_idle.d.next = true;
            self.at_multiply.d.next = false;
            self.at_base.d.next = false;
            self.at_wait.d.next = false;
            self.at_offset.d.next = false;
            self.at_add.d.next = false;
            self.at_ready.d.next = false;
            self.en_idle.d.next = true;
            self.en_look.d.next = false;
            self.en_take.d.next = false;
            self.en_start.d.next = false;
            self.en_load.d.next = false;
            self.en_sum.d.next = false;
            self.en_fit.d.next = false;
            self.en_place.d.next = false;
            self.en_piece.d.next = false;
            self.en_tail.d.next = false;
            self.router_waits.d.next = false;
            self.grant.d.next = false;
            self.piece_granted.d.next = 0.into();
            self.starts.d.next = false;
            self.order.d.next = false;
            self.begins.d.next = false;
            self.live.d.next = false;
            self.voiding.d.next = false;
            self.displaced.d.next = false;
            self.tag.d.next = 0.into();
            self.cur.d.next = 0.into();
            self.dropping.d.next = 0.into();
            self.stale.d.next = false;
            self.adopts.d.next = false;
            self.takes_slot.d.next = false;
            self.starting.d.next = false;
            self.routes_known.d.next = false;
            self.judging.d.next = 0.into();
            self.judge.d.next = false;
            self.judged.d.next = false;
            self.leave.d.next = false;
            self.wiping.d.next = false;
            self.settles.d.next = false;
            self.next_layer.d.next = true;
            self.list_void.d.next = false;
            self.snoop_waits.d.next = false;
            self.free.d.next = self.all_free.val();
        }
    }
}
