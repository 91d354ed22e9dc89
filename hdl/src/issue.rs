//! Queues of tokens per expert, and the experts that have any, by rising index.
//!
//! What: each route appends (token, weight) to its expert's queue; when all routes are in, the experts with tokens are offered
//! one by one. Cost: one RAM of `experts_max * tokens_max` words of 25 bits, one LUT RAM of lengths, one bit per expert.
//! Latency: a job within one cycle per 16 experts. Bottleneck: none.
//! Hazards: a queue's length has one read port, which belongs to the routes until `rt_done` and to `q_expert` afterwards; the
//! array reads queues only for experts it was given as jobs, that is afterwards. A length counts only if its expert's bit is set
//! (the LUT RAM itself is never cleared). Queue RAM is written before `rt_done` and read after it.
//!
//! Not built: another order than by index (resident or longest first). Reconsider with prefetch.

use abi::Config;
use leaf::prelude::*;

/// Experts looked at per cycle.
const CHUNK: usize = 16;

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
    /// Its weight, Q1.16.
    pub rt_weight: Signal<In, Bits<17>>,
    /// No route comes after this cycle.
    pub rt_done: Signal<In, Bit>,

    /// An expert with tokens.
    pub job_vld: Signal<Out, Bit>,
    /// Job taken.
    pub job_rdy: Signal<In, Bit>,
    /// Its index.
    pub job_expert: Signal<Out, Bits<8>>,
    /// Jobs taken since `begin`.
    pub jobs: Signal<Out, Bits<16>>,
    /// All jobs have been taken.
    pub jobs_done: Signal<Out, Bit>,

    /// Queue to read.
    pub q_expert: Signal<In, Bits<8>>,
    /// Position to read.
    pub q_index: Signal<In, Bits<8>>,
    /// Token there, one cycle later.
    pub q_token: Signal<Out, Bits<8>>,
    /// Weight there, one cycle later.
    pub q_weight: Signal<Out, Bits<17>>,
    /// Length of queue `q_expert`, one cycle later; only after `rt_done`.
    pub q_len: Signal<Out, Bits<8>>,

    queue: Ram<25, 15>,
    length: Dram<8, 8>,
    stored_length: Signal<Local, Bits<8>>,
    position: Signal<Local, Bits<8>>,
    new_length: Signal<Local, Bits<8>>,
    known: Signal<Local, Bit>,
    len: Dff<Bits<8>>,
    read_weight: Signal<Local, Bits<25>>,

    // Experts with tokens: bit 15 - e mod 16 of chunk e / 16, so that the first one has the most leading zeros before it.
    some: Vec<Dff<Bits<16>>>,
    route_mark: Signal<Local, Bits<16>>,
    route_chunk: Signal<Local, Bits<16>>,
    collecting: Dff<Bit>,
    offered: Dff<Bit>,
    job: Dff<Bits<8>>,
    scanning: Dff<Bit>,
    next: Dff<Bits<9>>,
    scan_chunk: Signal<Local, Bits<16>>,
    rest_of_chunk: Signal<Local, Bits<16>>,
    first: Lzc<16, 5>,
    found: Signal<Local, Bits<9>>,
    after_chunk: Signal<Local, Bits<9>>,
    count: Dff<Bits<16>>,

    _chunks: usize,
    queue_shift: Constant<Bits<15>>,
}

impl Issue {
    /// Queues of `tokens_max` for each of `experts_max`.
    pub fn new(config: &Config) -> Self {
        let chunks = config.experts_max.div_ceil(CHUNK);
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
            job_vld: Default::default(),
            job_rdy: Default::default(),
            job_expert: Default::default(),
            jobs: Default::default(),
            jobs_done: Default::default(),
            q_expert: Default::default(),
            q_index: Default::default(),
            q_token: Default::default(),
            q_weight: Default::default(),
            q_len: Default::default(),
            queue: Ram::new(config.experts_max * config.tokens_max),
            length: Dram::new(config.experts_max),
            stored_length: Default::default(),
            position: Default::default(),
            new_length: Default::default(),
            known: Default::default(),
            len: Default::default(),
            read_weight: Default::default(),
            some: (0..chunks).map(|_| Dff::default()).collect(),
            route_mark: Default::default(),
            route_chunk: Default::default(),
            collecting: Default::default(),
            offered: Default::default(),
            job: Default::default(),
            scanning: Default::default(),
            next: Default::default(),
            scan_chunk: Default::default(),
            rest_of_chunk: Default::default(),
            first: Default::default(),
            found: Default::default(),
            after_chunk: Default::default(),
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
        dff_setup!(self, clk, len, collecting, offered, job, scanning, next, count);
        clock!(self, clk, queue, length);
        for i in 0..self._chunks {
            self.some[i].clock.next = self.clk.val();
            self.some[i].d.next = self.some[i].q.val();
        }

        // A route: the queue's length, zero while its expert's bit is clear, is the place to write.
        self.route_mark.next = bits::<16>(0x8000) >> self.rt_expert.val().get_bits::<4>(0);
        self.route_chunk.next = 0.into();
        for i in 0..self._chunks {
            if self.rt_expert.val().get_bits::<4>(4) == i.to_bits() {
                self.route_chunk.next = self.some[i].q.val();
                if self.rt_vld.val() {
                    self.some[i].d.next = self.some[i].q.val() | self.route_mark.val();
                }
            }
        }
        self.known.next = (self.route_chunk.val() & self.route_mark.val()) != 0;
        self.length.raddr.next = self.q_expert.val();
        if self.collecting.q.val() {
            self.length.raddr.next = self.rt_expert.val();
        }
        self.stored_length.next = self.length.rdata.val();
        self.position.next = 0.into();
        if self.known.val() {
            self.position.next = self.stored_length.val();
        }
        self.new_length.next = self.position.val() + 1;
        self.length.we.next = self.rt_vld.val();
        self.length.waddr.next = self.rt_expert.val();
        self.length.wdata.next = self.new_length.val();
        self.queue.we.next = self.rt_vld.val();
        self.queue.waddr.next = (bit_cast::<15, 8>(self.rt_expert.val()) << self.queue_shift.val())
            + bit_cast::<15, 8>(self.position.val());
        self.queue.wdata.next = bit_cast::<25, 8>(self.rt_token.val())
            | (bit_cast::<25, 17>(self.rt_weight.val()) << bits::<4>(8));

        // The array's read port.
        self.queue.re.next = true;
        self.queue.raddr.next = (bit_cast::<15, 8>(self.q_expert.val()) << self.queue_shift.val())
            + bit_cast::<15, 8>(self.q_index.val());
        self.read_weight.next = self.queue.rdata.val();
        self.q_token.next = self.read_weight.val().get_bits::<8>(0);
        self.q_weight.next = self.read_weight.val().get_bits::<17>(8);
        self.len.d.next = self.stored_length.val();
        self.q_len.next = self.len.q.val();

        // The next expert with tokens, from `next` on, in the chunk of `next`.
        self.scan_chunk.next = 0.into();
        for i in 0..self._chunks {
            if self.next.q.val().get_bits::<5>(4) == i.to_bits() {
                self.scan_chunk.next = self.some[i].q.val();
            }
        }
        self.rest_of_chunk.next =
            self.scan_chunk.val() & (bits::<16>(0xFFFF) >> self.next.q.val().get_bits::<4>(0));
        self.first.x.next = self.rest_of_chunk.val();
        self.after_chunk.next = (self.next.q.val() | 15) + 1;
        self.found.next =
            (self.next.q.val() & bits::<9>(0x1F0)) | bit_cast::<9, 5>(self.first.n.val());
        if self.scanning.q.val() && !self.offered.q.val() {
            if self.rest_of_chunk.val() != 0 {
                self.offered.d.next = true;
                self.job.d.next = self.found.val().get_bits::<8>(0);
                self.next.d.next = self.found.val() + 1;
            } else {
                self.next.d.next = self.after_chunk.val();
                if bit_cast::<16, 9>(self.after_chunk.val()) >= self.experts.val() {
                    self.scanning.d.next = false;
                }
            }
        }
        if self.offered.q.val() && self.job_rdy.val() {
            self.offered.d.next = false;
            self.count.d.next = self.count.q.val() + 1;
        }
        if self.rt_done.val() && self.collecting.q.val() {
            self.collecting.d.next = false;
            self.scanning.d.next = true;
        }
        self.job_vld.next = self.offered.q.val();
        self.job_expert.next = self.job.q.val();
        self.jobs.next = self.count.q.val();
        self.jobs_done.next =
            !self.collecting.q.val() && !self.scanning.q.val() && !self.offered.q.val();

        if self.go.val() || self.rst.val() {
            for i in 0..self._chunks {
                self.some[i].d.next = 0.into();
            }
            self.collecting.d.next = true;
            self.offered.d.next = false;
            self.scanning.d.next = false;
            self.next.d.next = 0.into();
            self.count.d.next = 0.into();
        }
    }
}
