//! Queues of tokens per expert, and the experts that have any: prefetched ones first, then those with the longest queues.
//!
//! What: each route appends (token, weight) to its expert's queue. When all routes are in, the experts with tokens are offered one by
//! one: those whose tag is complete, then those in flight (lowest tag first), then by falling length of the queue, ties by rising index. The
//! order is a matter of speed alone.
//!
//! Cost: one RAM of `experts_max * tokens_max` words of 28 bits, two LUT RAMs of lengths, two bits per expert; docs/utilisation.md.
//! Latency: the first job 6 cycles after `rt_done`, and not before 20 after `go` (the loader by then knows its slots): the longest
//! queue is found while routes come in. A further one 4 cycles after the one before is taken. One without a tag takes a scan: it comes at
//! most E + 9 cycles after the one before. The scan begins when that one is offered, so it runs while that one's weights are loaded, and
//! ends at a queue as long. Bottleneck: none.
//!
//! Stages: a route (or an expert of the scan) is registered (`in_`), its length is looked up (`got_`), the queue is written and the new length
//! compared with the longest so far (`seen_`). A route behind one of the same expert gets the length from that one, which is not in memory yet.
//! Steps of a choice, one cycle each: `look` takes the tags with what they are worth, `pick` the first of them, `offer` makes it or the
//! longest queue the job, or looks again; `mark` takes it off the rest; `again` starts a scan if the longest is no longer known.
//!
//! Hazards: a length counts only if its expert's bit is set (LUT RAMs are never cleared). Its memory has one read port, for the routes
//! until `rt_done`, for the scan afterwards; the array has a copy. Queue RAM is written before `rt_done` and read after it.
//! What is offered stands still, even if a tag changes meanwhile. It is off the rest before the next `look`, as it is
//! offered for a cycle at least.
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
    /// The queue of that expert is not empty; one cycle later, and final while `tag_known`.
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
    len: Dff<Bits<9>>,
    read: Signal<Local, Bits<28>>,

    // Experts with tokens, and those of them that have not been offered: bit e mod 16 of chunk e / 16.
    some: Vec<Dff<Bits<16>>>,
    rest: Vec<Dff<Bits<16>>>,

    // A route, as it came; or an expert of the scan.
    in_vld: Dff<Bit>,
    in_token: Dff<Bits<8>>,
    in_expert: Dff<Bits<8>>,
    in_weight: Dff<Bits<20>>,
    in_done: Dff<Bit>,
    in_scan: Dff<Bit>,
    in_end: Dff<Bit>,
    low: Signal<Local, Bits<4>>,
    some_chunk: Signal<Local, Bits<16>>,
    rest_chunk: Signal<Local, Bits<16>>,
    same: Signal<Local, Bit>,

    // The same with the length of its queue so far.
    got_vld: Dff<Bit>,
    got_token: Dff<Bits<8>>,
    got_expert: Dff<Bits<8>>,
    got_weight: Dff<Bits<20>>,
    got_length: Dff<Bits<9>>,
    got_known: Dff<Bit>,
    got_scan: Dff<Bit>,
    got_left: Dff<Bit>,
    got_end: Dff<Bit>,
    new_length: Signal<Local, Bits<9>>,
    mark_route: Signal<Local, Bits<16>>,

    // A length to compare with the longest so far; experts are complemented, so that the lower one of equals wins.
    seen: Dff<Bit>,
    seen_turned: Dff<Bits<8>>,
    seen_length: Dff<Bits<9>>,
    seen_end: Dff<Bit>,
    seen_key: Signal<Local, Bits<17>>,
    best_key: Signal<Local, Bits<17>>,
    best_turned: Dff<Bits<8>>,
    best: Signal<Local, Bits<8>>,
    best_length: Dff<Bits<9>>,
    best_known: Dff<Bit>,
    bound: Dff<Bits<9>>,

    // The scan.
    experts_less: Dff<Bits<8>>,
    next: Dff<Bits<8>>,
    walking: Dff<Bit>,
    scanning: Dff<Bit>,
    stop: Dff<Bit>,

    // The command.
    collecting: Dff<Bit>,
    // The loader needs some cycles after `go` to know which of its prefetched slots are the command's: no choice before.
    age: Dff<Bits<4>>,
    ended: Dff<Bit>,
    settling: Dff<Bit>,
    settled: Dff<Bit>,
    known: Dff<Bit>,
    remaining: Dff<Bits<9>>,
    more: Dff<Bit>,
    done: Dff<Bit>,
    count: Dff<Bits<16>>,

    // Tags.
    tag_place: [Signal<Local, Bits<4>>; 4],
    tag_some: [Signal<Local, Bits<16>>; 4],
    tag_rest: [Signal<Local, Bits<16>>; 4],
    wanted: [Dff<Bit>; 4],
    left: [Dff<Bit>; 4],
    complete: [Dff<Bit>; 4],
    coming: [Dff<Bit>; 4],
    tag: [Dff<Bits<8>>; 4],

    // The choice.
    look: Dff<Bit>,
    pick: Dff<Bit>,
    tagged: Dff<Bit>,
    which: Dff<Bits<2>>,
    offer: Dff<Bit>,
    offered: Dff<Bit>,
    job: Dff<Bits<8>>,
    blind: Dff<Bit>,
    mark: Dff<Bit>,
    mark_job: Signal<Local, Bits<16>>,
    again: Dff<Bit>,
    taken: Signal<Local, Bit>,

    _chunks: usize,
    queue_shift: Constant<Bits<16>>,
    expert_bits: Constant<Bits<8>>,
    // A number of experts, a number of tokens.
    count_bits: Constant<Bits<9>>,
    length_bits: Constant<Bits<9>>,
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
            len: Default::default(),
            read: Default::default(),
            some: (0..chunks).map(|_| Dff::default()).collect(),
            rest: (0..chunks).map(|_| Dff::default()).collect(),
            in_vld: Default::default(),
            in_token: Default::default(),
            in_expert: Default::default(),
            in_weight: Default::default(),
            in_done: Default::default(),
            in_scan: Default::default(),
            in_end: Default::default(),
            low: Default::default(),
            some_chunk: Default::default(),
            rest_chunk: Default::default(),
            same: Default::default(),
            got_vld: Default::default(),
            got_token: Default::default(),
            got_expert: Default::default(),
            got_weight: Default::default(),
            got_length: Default::default(),
            got_known: Default::default(),
            got_scan: Default::default(),
            got_left: Default::default(),
            got_end: Default::default(),
            new_length: Default::default(),
            mark_route: Default::default(),
            seen: Default::default(),
            seen_turned: Default::default(),
            seen_length: Default::default(),
            seen_end: Default::default(),
            seen_key: Default::default(),
            best_key: Default::default(),
            best_turned: Default::default(),
            best: Default::default(),
            best_length: Default::default(),
            best_known: Default::default(),
            bound: Default::default(),
            experts_less: Default::default(),
            next: Default::default(),
            walking: Default::default(),
            scanning: Default::default(),
            stop: Default::default(),
            collecting: Default::default(),
            age: Default::default(),
            ended: Default::default(),
            settling: Default::default(),
            settled: Default::default(),
            known: Default::default(),
            remaining: Default::default(),
            more: Default::default(),
            done: Default::default(),
            count: Default::default(),
            tag_place: arr(),
            tag_some: arr(),
            tag_rest: arr(),
            wanted: arr(),
            left: arr(),
            complete: arr(),
            coming: arr(),
            tag: arr(),
            look: Default::default(),
            pick: Default::default(),
            tagged: Default::default(),
            which: Default::default(),
            offer: Default::default(),
            offered: Default::default(),
            job: Default::default(),
            blind: Default::default(),
            mark: Default::default(),
            mark_job: Default::default(),
            again: Default::default(),
            taken: Default::default(),
            _chunks: chunks,
            queue_shift: Constant::new(u64::from(config.tokens_max.trailing_zeros()).to_bits()),
            expert_bits: Constant::new((config.experts_max as u64 - 1).to_bits()),
            count_bits: Constant::new((2 * config.experts_max as u64 - 1).to_bits()),
            length_bits: Constant::new((2 * config.tokens_max as u64 - 1).to_bits()),
        }
    }
}

impl Logic for Issue {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("issue");
        dff_setup!(self, clk, in_vld, in_token, in_expert, in_weight, in_done, in_scan, in_end);
        dff_setup!(self, clk, got_vld, got_token, got_expert, got_weight, got_length);
        dff_setup!(self, clk, got_known, got_scan, got_left, got_end);
        dff_setup!(self, clk, seen, seen_turned, seen_length, seen_end);
        dff_setup!(self, clk, best_turned, best_length, best_known, bound);
        dff_setup!(self, clk, experts_less, next, walking, scanning, stop);
        dff_setup!(self, clk, collecting, age, ended, settling, settled, known, remaining, more);
        dff_setup!(self, clk, done, count, len);
        dff_setup!(self, clk, look, pick, tagged, which, offer, offered, job, blind, mark, again);
        clock!(self, clk, queue, length, q_length);
        for i in 0..self._chunks {
            self.some[i].clock.next = self.clk.val();
            self.some[i].d.next = self.some[i].q.val();
            self.rest[i].clock.next = self.clk.val();
            self.rest[i].d.next = self.rest[i].q.val();
        }

        // A route, or the next expert of the scan.
        self.in_vld.d.next = self.rt_vld.val();
        self.in_token.d.next = self.rt_token.val();
        self.in_expert.d.next = self.rt_expert.val() & self.expert_bits.val();
        self.in_weight.d.next = self.rt_weight.val();
        self.in_done.d.next = self.rt_done.val();
        self.in_scan.d.next = self.walking.q.val();
        self.in_end.d.next = false;
        self.experts_less.d.next =
            (self.experts.val().get_bits::<8>(0) - 1) & self.expert_bits.val();
        if self.walking.q.val() {
            self.in_expert.d.next = self.next.q.val();
            self.next.d.next = (self.next.q.val() + 1) & self.expert_bits.val();
            if self.next.q.val() == self.experts_less.q.val() {
                self.in_end.d.next = true;
                self.walking.d.next = false;
            }
        }

        // The queue's length so far: zero while its expert's bit is clear; a route's place is behind those before it.
        self.new_length.next = (self.got_length.q.val() + 1) & self.length_bits.val();
        self.low.next = self.in_expert.q.val().get_bits::<4>(0);
        self.some_chunk.next = self.some[0].q.val();
        self.rest_chunk.next = self.rest[0].q.val();
        for i in 1..self._chunks {
            if self.in_expert.q.val().get_bits::<4>(4) == i.to_bits() {
                self.some_chunk.next = self.some[i].q.val();
                self.rest_chunk.next = self.rest[i].q.val();
            }
        }
        self.length.raddr.next = self.in_expert.q.val();
        self.same.next = self.got_vld.q.val() && self.got_expert.q.val() == self.in_expert.q.val();
        self.got_vld.d.next = self.in_vld.q.val() && self.collecting.q.val();
        self.got_token.d.next = self.in_token.q.val();
        self.got_expert.d.next = self.in_expert.q.val();
        self.got_weight.d.next = self.in_weight.q.val();
        self.got_known.d.next = self.some_chunk.val().get_bit(self.low.val().index());
        self.got_length.d.next = 0.into();
        if self.some_chunk.val().get_bit(self.low.val().index()) {
            self.got_length.d.next = self.length.rdata.val() & self.length_bits.val();
        }
        if self.same.val() {
            self.got_known.d.next = true;
            self.got_length.d.next = self.new_length.val();
        }
        self.got_scan.d.next = self.in_scan.q.val();
        self.got_left.d.next = self.rest_chunk.val().get_bit(self.low.val().index());
        self.got_end.d.next = self.in_end.q.val();

        self.length.we.next = self.got_vld.q.val();
        self.length.waddr.next = self.got_expert.q.val();
        self.length.wdata.next = self.new_length.val();
        self.q_length.we.next = self.got_vld.q.val();
        self.q_length.waddr.next = self.got_expert.q.val();
        self.q_length.wdata.next = self.new_length.val();
        self.queue.we.next = self.got_vld.q.val();
        self.queue.waddr.next = (bit_cast::<16, 8>(self.got_expert.q.val())
            << self.queue_shift.val())
            | bit_cast::<16, 9>(self.got_length.q.val());
        self.queue.wdata.next = bit_cast::<28, 8>(self.got_token.q.val())
            | (bit_cast::<28, 20>(self.got_weight.q.val()) << bits::<4>(8));
        self.mark_route.next = bits::<16>(1) << self.got_expert.q.val().get_bits::<4>(0);
        self.mark_job.next = bits::<16>(1) << self.job.q.val().get_bits::<4>(0);
        for i in 0..self._chunks {
            if self.got_vld.q.val() && self.got_expert.q.val().get_bits::<4>(4) == i.to_bits() {
                self.some[i].d.next = self.some[i].q.val() | self.mark_route.val();
                self.rest[i].d.next = self.rest[i].q.val() | self.mark_route.val();
            }
            if self.mark.q.val() && self.job.q.val().get_bits::<4>(4) == i.to_bits() {
                self.rest[i].d.next = self.rest[i].q.val() & !self.mark_job.val();
            }
        }
        if self.got_vld.q.val() && !self.got_known.q.val() {
            self.remaining.d.next = (self.remaining.q.val() + 1) & self.count_bits.val();
        }

        // The array's read port.
        self.queue.re.next = true;
        self.queue.raddr.next = (bit_cast::<16, 8>(self.q_expert.val()) << self.queue_shift.val())
            | bit_cast::<16, 8>(self.q_index.val());
        self.read.next = self.queue.rdata.val();
        self.q_token.next = self.read.val().get_bits::<8>(0);
        self.q_weight.next = self.read.val().get_bits::<20>(8);
        self.q_length.raddr.next = self.q_expert.val();
        self.len.d.next = self.q_length.rdata.val() & self.length_bits.val();
        self.q_len.next = self.len.q.val();

        // The longest queue: of the routes so far, or of the experts that the scan has passed; the lowest index of equal ones.
        self.seen.d.next = self.got_vld.q.val() || (self.got_scan.q.val() && self.got_left.q.val());
        self.seen_turned.d.next = self.got_expert.q.val() ^ self.expert_bits.val();
        self.seen_length.d.next = self.got_length.q.val();
        if self.got_vld.q.val() {
            self.seen_length.d.next = self.new_length.val();
        }
        self.seen_end.d.next = self.got_end.q.val();
        self.seen_key.next = (bit_cast::<17, 9>(self.seen_length.q.val()) << bits::<5>(8))
            | bit_cast::<17, 8>(self.seen_turned.q.val());
        self.best_key.next = (bit_cast::<17, 9>(self.best_length.q.val()) << bits::<5>(8))
            | bit_cast::<17, 8>(self.best_turned.q.val());
        if self.seen.q.val()
            && !self.best_known.q.val()
            && self.seen_key.val() > self.best_key.val()
        {
            self.best_turned.d.next = self.seen_turned.q.val();
            self.best_length.d.next = self.seen_length.q.val();
        }
        // No queue is longer than the one chosen before.
        self.stop.d.next = self.seen_end.q.val()
            || (self.seen.q.val() && self.seen_length.q.val() == self.bound.q.val());
        if self.scanning.q.val() && self.stop.q.val() {
            self.scanning.d.next = false;
            self.walking.d.next = false;
            self.best_known.d.next = true;
        }

        // Tags: wanted at all, and still to be offered.
        for i in 0..4 {
            self.wanted[i].clock.next = self.clk.val();
            self.left[i].clock.next = self.clk.val();
            self.complete[i].clock.next = self.clk.val();
            self.coming[i].clock.next = self.clk.val();
            self.tag[i].clock.next = self.clk.val();
            self.tag_some[i].next = self.some[0].q.val();
            self.tag_rest[i].next = self.rest[0].q.val();
            for j in 1..self._chunks {
                if self.tag_expert[i].val().get_bits::<4>(4) == j.to_bits() {
                    self.tag_some[i].next = self.some[j].q.val();
                    self.tag_rest[i].next = self.rest[j].q.val();
                }
            }
            self.tag_place[i].next = self.tag_expert[i].val().get_bits::<4>(0);
            self.wanted[i].d.next = self.tag_some[i]
                .val()
                .get_bit(self.tag_place[i].val().index());
            self.left[i].d.next = self.left[i].q.val();
            self.complete[i].d.next = self.complete[i].q.val();
            self.coming[i].d.next = self.coming[i].q.val();
            self.tag[i].d.next = self.tag[i].q.val();
            if self.look.q.val() {
                self.left[i].d.next = self.tag_rest[i]
                    .val()
                    .get_bit(self.tag_place[i].val().index());
                self.complete[i].d.next = self.tag_state[i].val() == 2;
                self.coming[i].d.next = self.tag_state[i].val() == 1;
                self.tag[i].d.next = self.tag_expert[i].val() & self.expert_bits.val();
            }
        }
        self.tag_wanted.next = bit_cast::<4, 1>(self.wanted[0].q.val().into())
            | (bit_cast::<4, 1>(self.wanted[1].q.val().into()) << 1)
            | (bit_cast::<4, 1>(self.wanted[2].q.val().into()) << 2)
            | (bit_cast::<4, 1>(self.wanted[3].q.val().into()) << 3);
        self.tag_known.next = self.known.q.val();

        // The choice.
        self.best.next = self.best_turned.q.val() ^ self.expert_bits.val();
        self.look.d.next = self.settling.q.val();
        self.pick.d.next = self.look.q.val();
        self.tagged.d.next = false;
        for i in 0..4 {
            if self.left[3 - i].q.val() && self.coming[3 - i].q.val() {
                self.tagged.d.next = true;
                self.which.d.next = (3 - i).to_bits();
            }
        }
        for i in 0..4 {
            if self.left[3 - i].q.val() && self.complete[3 - i].q.val() {
                self.tagged.d.next = true;
                self.which.d.next = (3 - i).to_bits();
            }
        }
        self.more.d.next = self.remaining.q.val() != 0;
        self.offer.d.next = self.pick.q.val() && self.more.q.val();
        if self.pick.q.val() && !self.more.q.val() {
            self.done.d.next = true;
        }
        self.mark.d.next = false;
        if self.offer.q.val() {
            self.blind.d.next = !self.best_known.q.val();
            self.job.d.next = self.best.val();
            if self.tagged.q.val() {
                self.job.d.next = self.tag[0].q.val();
                for i in 1..4 {
                    if self.which.q.val() == i.to_bits() {
                        self.job.d.next = self.tag[i].q.val();
                    }
                }
            }
            if self.tagged.q.val() || self.best_known.q.val() {
                self.offered.d.next = true;
                self.mark.d.next = true;
            } else {
                self.look.d.next = true;
            }
        }
        if self.mark.q.val() {
            self.remaining.d.next = (self.remaining.q.val() - 1) & self.count_bits.val();
        }
        self.taken.next = self.offered.q.val() && self.job_rdy.val();
        if self.taken.val() {
            self.offered.d.next = false;
            self.look.d.next = true;
            self.count.d.next = (self.count.q.val() + 1) & bit_cast::<16, 9>(self.count_bits.val());
        }
        // The best one is gone, or this one may have been taken for it.
        self.again.d.next =
            self.mark.q.val() && (self.blind.q.val() || self.job.q.val() == self.best.val());
        if self.again.q.val() {
            self.scanning.d.next = true;
            self.walking.d.next = true;
            self.next.d.next = 0.into();
            self.in_scan.d.next = false;
            self.in_end.d.next = false;
            self.got_scan.d.next = false;
            self.got_end.d.next = false;
            self.seen.d.next = false;
            self.seen_end.d.next = false;
            self.stop.d.next = false;
            self.best_known.d.next = false;
            self.best_length.d.next = 0.into();
            if !self.blind.q.val() {
                self.bound.d.next = self.best_length.q.val();
            }
        }

        // The end of the routes.
        if !self.age.q.val().all() {
            self.age.d.next = self.age.q.val() + 1;
        }
        if self.in_done.q.val() {
            self.ended.d.next = true;
        }
        self.settling.d.next = false;
        if (self.in_done.q.val() || self.ended.q.val())
            && self.age.q.val().all()
            && self.collecting.q.val()
        {
            self.collecting.d.next = false;
            self.settling.d.next = true;
        }
        self.settled.d.next = self.settling.q.val();
        if self.settled.q.val() {
            self.known.d.next = true;
            self.best_known.d.next = true;
        }

        self.job_vld.next = self.offered.q.val();
        self.job_expert.next = self.job.q.val();
        self.jobs.next = self.count.q.val();
        self.uses.next = self.taken.val();
        self.jobs_done.next = self.done.q.val();

        if self.go.val() || self.rst.val() {
            for i in 0..self._chunks {
                self.some[i].d.next = 0.into();
                self.rest[i].d.next = 0.into();
            }
            self.in_vld.d.next = false;
            self.in_done.d.next = false;
            self.in_scan.d.next = false;
            self.in_end.d.next = false;
            self.got_vld.d.next = false;
            self.got_scan.d.next = false;
            self.got_end.d.next = false;
            self.seen.d.next = false;
            self.seen_end.d.next = false;
            self.stop.d.next = false;
            self.best_known.d.next = false;
            self.best_length.d.next = 0.into();
            self.scanning.d.next = false;
            self.walking.d.next = false;
            self.collecting.d.next = true;
            self.age.d.next = 0.into();
            self.ended.d.next = false;
            self.settling.d.next = false;
            self.settled.d.next = false;
            self.known.d.next = false;
            self.remaining.d.next = 0.into();
            self.done.d.next = false;
            self.look.d.next = false;
            self.pick.d.next = false;
            self.offer.d.next = false;
            self.offered.d.next = false;
            self.mark.d.next = false;
            self.again.d.next = false;
            self.count.d.next = 0.into();
        }
    }
}
