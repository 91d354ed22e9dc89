//! Hidden-vector stage: takes h as it comes, quantises it block by block and keeps it for the down projection.
//!
//! What: the array gives some rows of every queue position q in turn, so blocks of 32 are collected for all q at once: each q has two
//! blocks of staging, even and odd, and the largest exponent so far of each. The last row of a block makes a job of it; jobs
//! run one after the other, read backwards, through [`Quantiser`] into the hidden RAM. Cost: staging `tokens_max * 64` x 32,
//! hidden RAM `tokens_max * f_max` bytes, the job queue, a quantiser. Latency: n + 5 cycles from the last row of a block of n
//! until it can be read, if no other job is before it. Bottleneck: one element per cycle.
//!
//! Hazards: a staged block is not overwritten before it is quantised: `pending` has a bit for each staged block with a job, and a row
//! that belongs into such a block waits. A job's bit falls when its last element is read. As there is at most one job
//! per staged block, the queue of `2 * tokens_max` jobs cannot overflow. The hidden RAM is read only while `busy` is 0.

use crate::quantiser::Quantiser;
use abi::Config;
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct HStage {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: drops all rows and jobs inside.
    pub rst: Signal<In, Bit>,
    /// Rows of a hidden vector.
    pub f: Signal<In, Bits<16>>,
    /// Hidden value valid.
    pub in_vld: Signal<In, Bit>,
    /// Hidden value taken.
    pub in_rdy: Signal<Out, Bit>,
    /// Its position in the expert's queue.
    pub in_q: Signal<In, Bits<8>>,
    /// Its index in the hidden vector; rising for each q, from 0 for each expert.
    pub in_row: Signal<In, Bits<16>>,
    /// The value, a binary32.
    pub in_f32: Signal<In, Bits<32>>,
    /// Position to read.
    pub h_q: Signal<In, Bits<8>>,
    /// Block to read.
    pub h_blk: Signal<In, Bits<16>>,
    /// The block, one cycle later: 32 times q8.
    pub h_data: Signal<Out, Bits<256>>,
    /// Its exponent B, one cycle later.
    pub h_b: Signal<Out, Bits<8>>,
    /// The exponent Bmax of the whole vector of `h_q`, one cycle later.
    pub h_bmax: Signal<Out, Bits<8>>,
    /// Jobs are not yet in the hidden RAM.
    pub busy: Signal<Out, Bit>,
    /// A block is stored this cycle (for the scoreboard).
    pub blk_vld: Signal<Out, Bit>,
    /// Its position in the expert's queue.
    pub blk_q: Signal<Out, Bits<8>>,
    /// Its number.
    pub blk_index: Signal<Out, Bits<16>>,
    /// Its exponent.
    pub blk_b: Signal<Out, Bits<8>>,
    /// Its q8 values.
    pub blk_q8: Signal<Out, Bits<256>>,

    // Rows to staging; a staged block is numbered 2 q + parity of its block.
    staging: Ram<32, 13>,
    pending: Dff<Bits<256>>,
    largest: Dram<8, 8>,
    staged: Signal<Local, Bits<8>>,
    take: Signal<Local, Bit>,
    complete: Signal<Local, Bit>,
    exponent: Signal<Local, Bits<8>>,
    old_b: Signal<Local, Bits<8>>,
    new_b: Signal<Local, Bits<8>>,
    pending_left: Signal<Local, Bits<256>>,
    // Jobs: B (8 bits), block (8), q (7), last position (5).
    jobs: Dram<28, 8>,
    job_mask: Constant<Bits<9>>,
    job_wr: Dff<Bits<9>>,
    job_rd: Dff<Bits<9>>,
    job_staged: Signal<Local, Bits<8>>,
    job_go: Signal<Local, Bit>,
    job_end: Signal<Local, Bit>,
    rd_inside: Dff<Bit>,
    rd_pos: Dff<Bits<5>>,
    rd_addr: Signal<Local, Bits<5>>,
    // The element read.
    out_go: Dff<Bit>,
    out_first: Dff<Bit>,
    out_end: Dff<Bit>,
    out_b: Dff<Bits<8>>,
    out_tag: Dff<Bits<16>>,
    quantiser: Quantiser,
    /// Jobs not yet in the hidden RAM.
    open: Dff<Bits<9>>,
    // The hidden RAM: B above q8; and the largest B of each q, twice for its two readers.
    blk_shift: Constant<Bits<15>>,
    hidden: Ram<264, 15>,
    bmax_old: Dram<8, 7>,
    bmax: Ram<8, 7>,
    tag_q: Signal<Local, Bits<7>>,
    tag_blk: Signal<Local, Bits<8>>,
    new_bmax: Signal<Local, Bits<8>>,
}

impl HStage {
    /// Storage for `tokens_max` vectors of `f_max` rows.
    pub fn new(config: &Config) -> Self {
        let tokens = config.tokens_max;
        Self {
            clk: Default::default(),
            rst: Default::default(),
            f: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_q: Default::default(),
            in_row: Default::default(),
            in_f32: Default::default(),
            h_q: Default::default(),
            h_blk: Default::default(),
            h_data: Default::default(),
            h_b: Default::default(),
            h_bmax: Default::default(),
            busy: Default::default(),
            blk_vld: Default::default(),
            blk_q: Default::default(),
            blk_index: Default::default(),
            blk_b: Default::default(),
            blk_q8: Default::default(),
            staging: Ram::new(64 * tokens),
            pending: Default::default(),
            largest: Dram::new(2 * tokens),
            staged: Default::default(),
            take: Default::default(),
            complete: Default::default(),
            exponent: Default::default(),
            old_b: Default::default(),
            new_b: Default::default(),
            pending_left: Default::default(),
            jobs: Dram::new(2 * tokens),
            job_mask: Constant::new((2 * tokens as u64 - 1).to_bits()),
            job_wr: Default::default(),
            job_rd: Default::default(),
            job_staged: Default::default(),
            job_go: Default::default(),
            job_end: Default::default(),
            rd_inside: Default::default(),
            rd_pos: Default::default(),
            rd_addr: Default::default(),
            out_go: Default::default(),
            out_first: Default::default(),
            out_end: Default::default(),
            out_b: Default::default(),
            out_tag: Default::default(),
            quantiser: Default::default(),
            open: Default::default(),
            blk_shift: Constant::new(u64::from(config.f_blocks().trailing_zeros()).to_bits()),
            hidden: Ram::new(tokens * config.f_blocks()),
            bmax_old: Dram::new(tokens),
            bmax: Ram::new(tokens),
            tag_q: Default::default(),
            tag_blk: Default::default(),
            new_bmax: Default::default(),
        }
    }
}

impl Logic for HStage {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("hstage");
        clock!(self, clk, staging, largest, jobs, hidden, bmax_old, bmax);
        dff_setup!(self, clk, pending, job_wr, job_rd, rd_inside, rd_pos, open);
        dff_setup!(self, clk, out_go, out_first, out_end, out_b, out_tag);
        self.quantiser.clk.next = self.clk.val();
        self.quantiser.rst.next = self.rst.val();

        // A row in, unless its staged block still has a job.
        self.staged.next = (bit_cast::<8, 7>(self.in_q.val().get_bits::<7>(0)) << 1)
            | bit_cast::<8, 1>(self.in_row.val().get_bits::<1>(5));
        self.in_rdy.next = !self.pending.q.val().get_bit(self.staged.val().index());
        self.take.next = self.in_vld.val() && self.in_rdy.val();
        self.complete.next = self.take.val()
            && (self.in_row.val().get_bits::<5>(0).all()
                || (self.in_row.val() + 1 == self.f.val()));
        self.staging.we.next = self.take.val();
        self.staging.waddr.next = (bit_cast::<13, 8>(self.staged.val()) << 5)
            | bit_cast::<13, 5>(self.in_row.val().get_bits::<5>(0));
        self.staging.wdata.next = self.in_f32.val();

        // The block's largest exponent so far; h is finite, and zero has exponent 0.
        self.exponent.next = self.in_f32.val().get_bits::<8>(23);
        self.largest.raddr.next = self.staged.val();
        self.old_b.next = self.largest.rdata.val();
        if !self.in_row.val().get_bits::<5>(0).any() {
            self.old_b.next = 0.into();
        }
        self.new_b.next = self.old_b.val();
        if self.exponent.val() > self.old_b.val() {
            self.new_b.next = self.exponent.val();
        }
        self.largest.we.next = self.take.val();
        self.largest.waddr.next = self.staged.val();
        self.largest.wdata.next = self.new_b.val();

        // The last row of a block makes a job.
        self.jobs.we.next = self.complete.val();
        self.jobs.waddr.next = (self.job_wr.q.val() & self.job_mask.val()).get_bits::<8>(0);
        self.jobs.wdata.next = bit_cast::<28, 8>(self.new_b.val())
            | (bit_cast::<28, 8>(self.in_row.val().get_bits::<8>(5)) << 8)
            | (bit_cast::<28, 7>(self.in_q.val().get_bits::<7>(0)) << 16)
            | (bit_cast::<28, 5>(self.in_row.val().get_bits::<5>(0)) << 23);
        if self.complete.val() {
            self.job_wr.d.next = self.job_wr.q.val() + 1;
        }

        // The first job's elements, one per cycle, last one first.
        self.jobs.raddr.next = (self.job_rd.q.val() & self.job_mask.val()).get_bits::<8>(0);
        self.job_staged.next = (bit_cast::<8, 7>(self.jobs.rdata.val().get_bits::<7>(16)) << 1)
            | bit_cast::<8, 1>(self.jobs.rdata.val().get_bits::<1>(8));
        self.job_go.next = self.job_rd.q.val() != self.job_wr.q.val();
        self.rd_addr.next = self.jobs.rdata.val().get_bits::<5>(23);
        if self.rd_inside.q.val() {
            self.rd_addr.next = self.rd_pos.q.val();
        }
        self.job_end.next = self.job_go.val() && (self.rd_addr.val() == 0);
        self.staging.re.next = self.job_go.val();
        self.staging.raddr.next =
            (bit_cast::<13, 8>(self.job_staged.val()) << 5) | bit_cast::<13, 5>(self.rd_addr.val());
        if self.job_go.val() {
            self.rd_inside.d.next = !self.job_end.val();
            self.rd_pos.d.next = self.rd_addr.val() - 1;
        }
        self.out_go.d.next = self.job_go.val();
        self.out_first.d.next = !self.rd_inside.q.val();
        self.out_end.d.next = self.job_end.val();
        self.out_b.d.next = self.jobs.rdata.val().get_bits::<8>(0);
        self.out_tag.d.next = bit_cast::<16, 15>(self.jobs.rdata.val().get_bits::<15>(8));
        self.pending_left.next = self.pending.q.val();
        if self.job_end.val() {
            self.job_rd.d.next = self.job_rd.q.val() + 1;
            self.pending_left.next = self
                .pending
                .q
                .val()
                .replace_bit(self.job_staged.val().index(), false);
        }
        self.pending.d.next = self.pending_left.val();
        if self.complete.val() {
            self.pending.d.next = self
                .pending_left
                .val()
                .replace_bit(self.staged.val().index(), true);
        }
        self.quantiser.in_vld.next = self.out_go.q.val();
        self.quantiser.in_first.next = self.out_first.q.val();
        self.quantiser.in_end.next = self.out_end.q.val();
        self.quantiser.in_f32.next = self.staging.rdata.val();
        self.quantiser.in_b.next = self.out_b.q.val();
        self.quantiser.in_tag.next = self.out_tag.q.val();

        // A quantised block to the hidden RAM. Block 0 comes first and starts the vector's maximum anew.
        self.tag_blk.next = self.quantiser.out_tag.val().get_bits::<8>(0);
        self.tag_q.next = self.quantiser.out_tag.val().get_bits::<7>(8);
        self.hidden.we.next = self.quantiser.out_vld.val();
        self.hidden.waddr.next = (bit_cast::<15, 7>(self.tag_q.val()) << self.blk_shift.val())
            + bit_cast::<15, 8>(self.tag_blk.val());
        self.hidden.wdata.next = bit_cast::<264, 256>(self.quantiser.out_q8.val())
            | (bit_cast::<264, 8>(self.quantiser.out_b.val()) << 256);
        self.bmax_old.raddr.next = self.tag_q.val();
        self.new_bmax.next = self.quantiser.out_b.val();
        if self.tag_blk.val().any() && (self.bmax_old.rdata.val() > self.quantiser.out_b.val()) {
            self.new_bmax.next = self.bmax_old.rdata.val();
        }
        self.bmax_old.we.next = self.quantiser.out_vld.val();
        self.bmax_old.waddr.next = self.tag_q.val();
        self.bmax_old.wdata.next = self.new_bmax.val();
        self.bmax.we.next = self.quantiser.out_vld.val();
        self.bmax.waddr.next = self.tag_q.val();
        self.bmax.wdata.next = self.new_bmax.val();
        if self.complete.val() && !self.quantiser.out_vld.val() {
            self.open.d.next = self.open.q.val() + 1;
        }
        if !self.complete.val() && self.quantiser.out_vld.val() {
            self.open.d.next = self.open.q.val() - 1;
        }
        self.busy.next = self.open.q.val().any();
        self.blk_vld.next = self.quantiser.out_vld.val();
        self.blk_q.next = bit_cast::<8, 7>(self.tag_q.val());
        self.blk_index.next = bit_cast::<16, 8>(self.tag_blk.val());
        self.blk_b.next = self.quantiser.out_b.val();
        self.blk_q8.next = self.quantiser.out_q8.val();

        // The array's read port.
        self.hidden.re.next = !self.busy.val();
        self.hidden.raddr.next = (bit_cast::<15, 8>(self.h_q.val()) << self.blk_shift.val())
            + bit_cast::<15, 15>(self.h_blk.val().get_bits::<15>(0));
        self.bmax.re.next = !self.busy.val();
        self.bmax.raddr.next = self.h_q.val().get_bits::<7>(0);
        self.h_data.next = self.hidden.rdata.val().get_bits::<256>(0);
        self.h_b.next = self.hidden.rdata.val().get_bits::<8>(256);
        self.h_bmax.next = self.bmax.rdata.val();

        if self.rst.val() {
            self.pending.d.next = 0.into();
            self.job_wr.d.next = 0.into();
            self.job_rd.d.next = 0.into();
            self.rd_inside.d.next = false;
            self.out_go.d.next = false;
            self.open.d.next = 0.into();
        }
    }
}
