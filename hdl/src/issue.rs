//! Queues of tokens per expert, and the experts that have any: prefetched ones first, then those with the longest queues.
//!
//! What: each route appends (token, weight) to its expert's queue. When all routes are in, the experts with tokens are offered one by
//! one: those whose tag is complete, then those in flight (lowest tag first), then by falling length of the queue, ties by rising index. The
//! order is a matter of speed alone.
//!
//! Cost: one RAM of `experts_max * tokens_max` words of 28 bits, two LUT RAMs of lengths, two bits per expert.
//! Latency: the first job 4 cycles after `rt_done`, and not before 18 after `go` (the loader by then knows its slots): the longest queue is found while routes come in. Each further one that is not tagged takes a scan
//! of at most E + 3 cycles, which begins when the job before is offered, so it runs while that one's weights are loaded; it ends at
//! a queue as long as the one before. A tagged one takes no scan. Bottleneck: none.
//!
//! Hazards: a length counts only if its expert's bit is set (LUT RAMs are never cleared). Its memory has one read port, for the routes
//! until `rt_done`, for the scan afterwards; the array has a copy. Queue RAM is written before `rt_done` and read after it.
//! What is offered stands still, even if a tag changes meanwhile. Tags are looked up a cycle before the choice: an offer
//! lasts a cycle at least, so the expert just offered is never seen twice.
//!
//! Not built: a scan of several experts per cycle. Reconsider when an expert's weights load faster than E cycles.

use abi::Config;
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Issue {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Starts a command: all queues are empty.
    pub go: Signal<In, Bit>,
    /// E.
    pub experts: Signal<In, Bits<16>>,

    /// A route; always accepted.
    pub rt_vld: Signal<In, Bit>,
    /// Its token. A token comes to an expert at most once.
    pub rt_token: Signal<In, Bits<8>>,
    /// Its expert, below E.
    pub rt_expert: Signal<In, Bits<8>>,
    /// Its weight, Q4.16.
    pub rt_weight: Signal<In, Bits<20>>,
    /// No route comes after this cycle; a pulse, or a level until `go`.
    pub rt_done: Signal<In, Bit>,

    /// Expert of each prefetched slot.
    pub tag_expert: [Signal<In, Bits<8>>; 4],
    /// Its state: 0 none (or of another layer), 1 in flight, 2 complete.
    pub tag_state: [Signal<In, Bits<2>>; 4],
    /// The queue of that expert is not empty; within the cycle, and final while `tag_known`.
    pub tag_wanted: Signal<Out, Bits<4>>,
    /// All routes are in.
    pub tag_known: Signal<Out, Bit>,

    /// An expert with tokens.
    pub job_vld: Signal<Out, Bit>,
    /// Job taken.
    pub job_rdy: Signal<In, Bit>,
    /// Its index.
    pub job_expert: Signal<Out, Bits<8>>,
    /// Jobs taken since `go`.
    pub jobs: Signal<Out, Bits<16>>,
    /// All jobs have been taken.
    pub jobs_done: Signal<Out, Bit>,
    /// A job is taken in this cycle.
    pub uses: Signal<Out, Bit>,

    /// Queue to read.
    pub q_expert: Signal<In, Bits<8>>,
    /// Position to read.
    pub q_index: Signal<In, Bits<8>>,
    /// Token there, one cycle later.
    pub q_token: Signal<Out, Bits<8>>,
    /// Weight there, one cycle later.
    pub q_weight: Signal<Out, Bits<20>>,
    /// Length of queue `q_expert`, one cycle later; only of experts that were jobs.
    pub q_len: Signal<Out, Bits<9>>,

    queue: Ram<28, 16>,
    length: Dram<9, 8>,
    q_length: Dram<9, 8>,
    stored: Signal<Local, Bits<9>>,
    position: Signal<Local, Bits<9>>,
    new_length: Signal<Local, Bits<9>>,
    len: Dff<Bits<9>>,
    read: Signal<Local, Bits<28>>,

    // Experts with tokens, and those of them that have not been offered: bit e mod 16 of chunk e / 16.
    some: Vec<Dff<Bits<16>>>,
    rest: Vec<Dff<Bits<16>>>,
    // A route, as it came.
    in_vld: Dff<Bit>,
    in_token: Dff<Bits<8>>,
    in_expert: Dff<Bits<8>>,
    in_weight: Dff<Bits<20>>,
    in_done: Dff<Bit>,
    experts_less: Dff<Bits<8>>,
    place: Signal<Local, Bits<8>>,
    low: Signal<Local, Bits<4>>,
    mark: Signal<Local, Bits<16>>,
    some_chunk: Signal<Local, Bits<16>>,
    rest_chunk: Signal<Local, Bits<16>>,
    known: Signal<Local, Bit>,
    collecting: Dff<Bit>,
    // The loader needs some cycles after `go` to know which of its prefetched slots are the command's: no choice before.
    age: Dff<Bits<4>>,
    ended: Dff<Bit>,
    settling: Dff<Bit>,
    remaining: Dff<Bits<9>>,
    tag_place: [Signal<Local, Bits<4>>; 4],
    tag_some: [Signal<Local, Bits<16>>; 4],
    tag_rest: [Signal<Local, Bits<16>>; 4],
    wanted: [Signal<Local, Bit>; 4],
    left: [Signal<Local, Bit>; 4],
    complete: [Dff<Bit>; 4],
    coming: [Dff<Bit>; 4],
    tag: [Dff<Bits<8>>; 4],

    // A length to compare with the longest so far: of a route, or of the scan.
    seen: Dff<Bit>,
    seen_expert: Dff<Bits<8>>,
    seen_length: Dff<Bits<9>>,
    seen_last: Dff<Bit>,
    longer: Signal<Local, Bit>,
    best: Dff<Bits<8>>,
    best_length: Dff<Bits<9>>,
    best_known: Dff<Bit>,
    bound: Dff<Bits<9>>,
    walking: Dff<Bit>,
    scanning: Dff<Bit>,
    next: Dff<Bits<8>>,
    offered: Dff<Bit>,
    job: Dff<Bits<8>>,
    offer: Signal<Local, Bit>,
    choice: Signal<Local, Bits<8>>,
    offer_mark: Signal<Local, Bits<16>>,
    taken: Signal<Local, Bit>,
    count: Dff<Bits<16>>,
    _chunks: usize,
    queue_shift: Constant<Bits<16>>,
}

impl Issue {
    /// Queues of `tokens_max` for each of `experts_max`.
    pub fn new(config: &Config) -> Self {
        let chunks = config.experts_max.div_ceil(16);
        Self {
            clk: Default::default(),
            rst: Default::default(),
            go: Default::default(),
            experts: Default::default(),
            rt_vld: Default::default(),
            rt_token: Default::default(),
            rt_expert: Default::default(),
            rt_weight: Default::default(),
            rt_done: Default::default(),
            tag_expert: arr(),
            tag_state: arr(),
            tag_wanted: Default::default(),
            tag_known: Default::default(),
            job_vld: Default::default(),
            job_rdy: Default::default(),
            job_expert: Default::default(),
            jobs: Default::default(),
            jobs_done: Default::default(),
            uses: Default::default(),
            q_expert: Default::default(),
            q_index: Default::default(),
            q_token: Default::default(),
            q_weight: Default::default(),
            q_len: Default::default(),
            queue: Ram::new(config.experts_max * config.tokens_max),
            length: Dram::new(config.experts_max),
            q_length: Dram::new(config.experts_max),
            stored: Default::default(),
            position: Default::default(),
            new_length: Default::default(),
            len: Default::default(),
            read: Default::default(),
            some: (0..chunks).map(|_| Dff::default()).collect(),
            rest: (0..chunks).map(|_| Dff::default()).collect(),
            in_vld: Default::default(),
            in_token: Default::default(),
            in_expert: Default::default(),
            in_weight: Default::default(),
            in_done: Default::default(),
            experts_less: Default::default(),
            place: Default::default(),
            low: Default::default(),
            mark: Default::default(),
            some_chunk: Default::default(),
            rest_chunk: Default::default(),
            known: Default::default(),
            collecting: Default::default(),
            age: Default::default(),
            ended: Default::default(),
            settling: Default::default(),
            remaining: Default::default(),
            tag_place: arr(),
            tag_some: arr(),
            tag_rest: arr(),
            wanted: arr(),
            left: arr(),
            complete: arr(),
            coming: arr(),
            tag: arr(),
            seen: Default::default(),
            seen_expert: Default::default(),
            seen_length: Default::default(),
            seen_last: Default::default(),
            longer: Default::default(),
            best: Default::default(),
            best_length: Default::default(),
            best_known: Default::default(),
            bound: Default::default(),
            walking: Default::default(),
            scanning: Default::default(),
            next: Default::default(),
            offered: Default::default(),
            job: Default::default(),
            offer: Default::default(),
            choice: Default::default(),
            offer_mark: Default::default(),
            taken: Default::default(),
            count: Default::default(),
            _chunks: chunks,
            queue_shift: Constant::new(u64::from(config.tokens_max.trailing_zeros()).to_bits()),
        }
    }
}

impl Logic for Issue {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("issue");
        dff_setup!(
            self,
            clk,
            in_vld,
            in_token,
            in_expert,
            in_weight,
            in_done,
            experts_less
        );
        dff_setup!(self, clk, len, collecting, age, ended, settling, remaining);
        dff_setup!(self, clk, seen, seen_expert, seen_length, seen_last);
        dff_setup!(
            self,
            clk,
            best,
            best_length,
            best_known,
            bound,
            walking,
            scanning,
            next
        );
        dff_setup!(self, clk, offered, job, count);
        clock!(self, clk, queue, length, q_length);
        for i in 0..self._chunks {
            self.some[i].clock.next = self.clk.val();
            self.some[i].d.next = self.some[i].q.val();
            self.rest[i].clock.next = self.clk.val();
            self.rest[i].d.next = self.rest[i].q.val();
        }
        for i in 0..4 {
            self.complete[i].clock.next = self.clk.val();
            self.coming[i].clock.next = self.clk.val();
            self.tag[i].clock.next = self.clk.val();
        }

        self.in_vld.d.next = self.rt_vld.val();
        self.in_token.d.next = self.rt_token.val();
        self.in_expert.d.next = self.rt_expert.val();
        self.in_weight.d.next = self.rt_weight.val();
        self.in_done.d.next = self.rt_done.val();
        self.experts_less.d.next = self.experts.val().get_bits::<8>(0) - 1;

        // The expert of a route, or the next one of the scan.
        self.place.next = self.next.q.val();
        if self.collecting.q.val() {
            self.place.next = self.in_expert.q.val();
        }
        self.low.next = self.place.val().get_bits::<4>(0);
        self.mark.next = bits::<16>(1) << self.low.val();
        self.some_chunk.next = 0.into();
        self.rest_chunk.next = 0.into();
        for i in 0..self._chunks {
            if self.place.val().get_bits::<4>(4) == i.to_bits() {
                self.some_chunk.next = self.some[i].q.val();
                self.rest_chunk.next = self.rest[i].q.val();
                if self.in_vld.q.val() && self.collecting.q.val() {
                    self.some[i].d.next = self.some[i].q.val() | self.mark.val();
                    self.rest[i].d.next = self.rest[i].q.val() | self.mark.val();
                }
            }
        }

        // A route: the queue's length, zero while its expert's bit is clear, is the place to write.
        self.known.next = self.some_chunk.val().get_bit(self.low.val().index());
        self.length.raddr.next = self.place.val();
        self.stored.next = self.length.rdata.val();
        self.position.next = 0.into();
        if self.known.val() {
            self.position.next = self.stored.val();
        }
        self.new_length.next = self.position.val() + 1;
        self.length.we.next = self.in_vld.q.val() && self.collecting.q.val();
        self.length.waddr.next = self.in_expert.q.val();
        self.length.wdata.next = self.new_length.val();
        self.q_length.we.next = self.in_vld.q.val() && self.collecting.q.val();
        self.q_length.waddr.next = self.in_expert.q.val();
        self.q_length.wdata.next = self.new_length.val();
        self.queue.we.next = self.in_vld.q.val() && self.collecting.q.val();
        self.queue.waddr.next = (bit_cast::<16, 8>(self.in_expert.q.val())
            << self.queue_shift.val())
            | bit_cast::<16, 9>(self.position.val());
        self.queue.wdata.next = bit_cast::<28, 8>(self.in_token.q.val())
            | (bit_cast::<28, 20>(self.in_weight.q.val()) << bits::<4>(8));

        // The array's read port.
        self.queue.re.next = true;
        self.queue.raddr.next = (bit_cast::<16, 8>(self.q_expert.val()) << self.queue_shift.val())
            | bit_cast::<16, 8>(self.q_index.val());
        self.read.next = self.queue.rdata.val();
        self.q_token.next = self.read.val().get_bits::<8>(0);
        self.q_weight.next = self.read.val().get_bits::<20>(8);
        self.q_length.raddr.next = self.q_expert.val();
        self.len.d.next = self.q_length.rdata.val();
        self.q_len.next = self.len.q.val();

        // Tags: wanted at all, and still to be offered.
        for i in 0..4 {
            self.tag_some[i].next = 0.into();
            self.tag_rest[i].next = 0.into();
            for j in 0..self._chunks {
                if self.tag_expert[i].val().get_bits::<4>(4) == j.to_bits() {
                    self.tag_some[i].next = self.some[j].q.val();
                    self.tag_rest[i].next = self.rest[j].q.val();
                }
            }
            self.tag_place[i].next = self.tag_expert[i].val().get_bits::<4>(0);
            self.wanted[i].next = self.tag_some[i]
                .val()
                .get_bit(self.tag_place[i].val().index());
            self.left[i].next = self.tag_rest[i]
                .val()
                .get_bit(self.tag_place[i].val().index());
            self.complete[i].d.next = self.left[i].val() && self.tag_state[i].val() == 2;
            self.coming[i].d.next = self.left[i].val() && self.tag_state[i].val() == 1;
            self.tag[i].d.next = self.tag_expert[i].val();
        }
        self.tag_wanted.next = bit_cast::<4, 1>(self.wanted[0].val().into())
            | (bit_cast::<4, 1>(self.wanted[1].val().into()) << 1)
            | (bit_cast::<4, 1>(self.wanted[2].val().into()) << 2)
            | (bit_cast::<4, 1>(self.wanted[3].val().into()) << 3);
        self.tag_known.next = !self.collecting.q.val();

        // The longest queue: of the routes so far, or of the experts that the scan has passed; the lowest index of equal ones.
        self.seen.d.next = self.in_vld.q.val();
        self.seen_expert.d.next = self.place.val();
        self.seen_length.d.next = self.new_length.val();
        self.seen_last.d.next = false;
        if !self.collecting.q.val() {
            self.seen.d.next =
                self.walking.q.val() && self.rest_chunk.val().get_bit(self.low.val().index());
            self.seen_length.d.next = self.stored.val();
            self.seen_last.d.next =
                self.walking.q.val() && self.next.q.val() == self.experts_less.q.val();
        }
        if self.walking.q.val() {
            self.next.d.next = self.next.q.val() + 1;
            if self.next.q.val() == self.experts_less.q.val() {
                self.walking.d.next = false;
            }
        }
        self.longer.next = self.seen_length.q.val() > self.best_length.q.val()
            || (self.seen_length.q.val() == self.best_length.q.val()
                && self.seen_expert.q.val() < self.best.q.val());
        if self.seen.q.val() && !self.best_known.q.val() && self.longer.val() {
            self.best.d.next = self.seen_expert.q.val();
            self.best_length.d.next = self.seen_length.q.val();
        }
        // No queue is longer than the one chosen before.
        if self.scanning.q.val()
            && (self.seen_last.q.val()
                || (self.seen.q.val() && self.seen_length.q.val() == self.bound.q.val()))
        {
            self.scanning.d.next = false;
            self.walking.d.next = false;
            self.best_known.d.next = true;
        }

        // The choice.
        self.choice.next = self.best.q.val();
        self.offer.next = self.best_known.q.val();
        for i in 0..4 {
            if self.coming[3 - i].q.val() {
                self.choice.next = self.tag[3 - i].q.val();
                self.offer.next = true;
            }
        }
        for i in 0..4 {
            if self.complete[3 - i].q.val() {
                self.choice.next = self.tag[3 - i].q.val();
                self.offer.next = true;
            }
        }
        if self.collecting.q.val()
            || self.settling.q.val()
            || self.offered.q.val()
            || self.remaining.q.val() == 0
        {
            self.offer.next = false;
        }
        self.offer_mark.next = bits::<16>(1) << self.choice.val().get_bits::<4>(0);
        if self.in_vld.q.val() && self.collecting.q.val() && !self.known.val() {
            self.remaining.d.next = self.remaining.q.val() + 1;
        }
        if self.offer.val() {
            self.offered.d.next = true;
            self.job.d.next = self.choice.val();
            self.remaining.d.next = self.remaining.q.val() - 1;
            for i in 0..self._chunks {
                if self.choice.val().get_bits::<4>(4) == i.to_bits() {
                    self.rest[i].d.next = self.rest[i].q.val() & !self.offer_mark.val();
                }
            }
            if !self.best_known.q.val() || self.choice.val() == self.best.q.val() {
                // The best one is gone, or this one may have been taken for it.
                self.scanning.d.next = true;
                self.walking.d.next = true;
                self.next.d.next = 0.into();
                self.seen.d.next = false;
                self.seen_last.d.next = false;
                self.best_known.d.next = false;
                self.best_length.d.next = 0.into();
                if self.best_known.q.val() {
                    self.bound.d.next = self.best_length.q.val();
                }
            }
        }
        self.taken.next = self.offered.q.val() && self.job_rdy.val();
        if self.taken.val() {
            self.offered.d.next = false;
            self.count.d.next = self.count.q.val() + 1;
        }
        self.settling.d.next = false;
        if self.settling.q.val() {
            self.best_known.d.next = true;
        }
        if !self.age.q.val().all() {
            self.age.d.next = self.age.q.val() + 1;
        }
        if self.in_done.q.val() {
            self.ended.d.next = true;
        }
        if (self.in_done.q.val() || self.ended.q.val())
            && self.age.q.val().all()
            && self.collecting.q.val()
        {
            self.collecting.d.next = false;
            self.settling.d.next = true;
        }
        self.job_vld.next = self.offered.q.val();
        self.job_expert.next = self.job.q.val();
        self.jobs.next = self.count.q.val();
        self.uses.next = self.taken.val();
        self.jobs_done.next = !self.collecting.q.val()
            && !self.settling.q.val()
            && self.remaining.q.val() == 0
            && !self.offered.q.val();

        if self.go.val() || self.rst.val() {
            for i in 0..self._chunks {
                self.some[i].d.next = 0.into();
                self.rest[i].d.next = 0.into();
            }
            self.in_vld.d.next = false;
            self.in_done.d.next = false;
            self.collecting.d.next = true;
            self.age.d.next = 0.into();
            self.ended.d.next = false;
            self.settling.d.next = false;
            self.remaining.d.next = 0.into();
            self.seen.d.next = false;
            self.best_known.d.next = false;
            self.best_length.d.next = 0.into();
            self.scanning.d.next = false;
            self.walking.d.next = false;
            self.offered.d.next = false;
            self.count.d.next = 0.into();
        }
    }
}
