//! Hidden-vector stage: takes h as it comes, quantises it block by block and keeps it for the down projection.
//!
//! What: the array gives some rows of every queue position q in turn, so blocks of 32 are collected for all q at once: each q has two
//! blocks of staging, even and odd, and the largest exponent so far of each. The last row of a block makes a job of it; jobs
//! run one after the other, 32 cycles each (a short block is filled with zeros), through a [`Quantiser`] into the hidden RAM.
//! Beside the blocks it keeps each vector's Bmax and a map of its blocks that are not zero.
//! Cost: staging of `tokens_max * 64` packed elements, a hidden RAM of `tokens_max * f_max` bytes, the list of jobs, a quantiser.
//! Latency: 48 cycles from the last row of a block until `busy` falls, if no other job is before it.
//! Bottleneck: one element per cycle.
//!
//! Hazards: a staged block is not overwritten before it is quantised: `pending` has a bit for each staged block with a job, and a row
//! that belongs into such a block waits. A job's bit falls when its first element is read: rows come in order and at most one per
//! cycle, so they cannot overtake the reading. As there is at most one job per staged block that has not begun, the list of
//! `2 * tokens_max` jobs cannot overflow. The state of a vector is read with a block of it and written two cycles later, long before the
//! next block comes. The hidden RAM, Bmax and maps are read only while `busy` is 0.

use crate::quantiser::Quantiser;
use crate::xstore::shift;
use abi::Config;
use leaf::prelude::*;

/// Places of what travels with an element, from the quantiser's input to q8.
const PLACES: usize = 7;

/// See the module's page.
#[derive(LogicBlock)]
pub struct HStage {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: drops all rows and jobs inside.
    pub rst: Signal<In, Bit>,
    /// Rows of a hidden vector; set at least one cycle before the first of them.
    pub f: Signal<In, Bits<16>>,
    /// Hidden value valid.
    pub in_vld: Signal<In, Bit>,
    /// Hidden value taken.
    pub in_rdy: Signal<Out, Bit>,
    /// Its position in the expert's queue.
    pub in_q: Signal<In, Bits<8>>,
    /// Its index in the hidden vector; rising for each q, from 0 for each expert.
    pub in_row: Signal<In, Bits<16>>,
    /// The value, a binary32; zero, or of a normal exponent.
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
    /// Position whose zero map is read.
    pub hmap_q: Signal<In, Bits<8>>,
    /// 32 blocks of it.
    pub hmap_chunk: Signal<In, Bits<8>>,
    /// One bit per block that is not all zero, one cycle later; 0 beyond the vector's last block.
    pub hmap_bits: Signal<Out, Bits<32>>,
    /// Rows or jobs are not yet in the hidden RAM.
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

    // Rows in, packed: the element (24 bits, see `quantiser`), q (8), row (14), last of its block (1). Two places, so that
    // `in_rdy` is a register.
    f_last: Dff<Bits<16>>,
    packed: Signal<Local, Bits<47>>,
    in_last: Signal<Local, Bit>,
    in_take: Signal<Local, Bit>,
    first_vld: Dff<Bit>,
    first: Dff<Bits<47>>,
    second_vld: Dff<Bit>,
    second: Dff<Bits<47>>,
    q: Signal<Local, Bits<8>>,
    row: Signal<Local, Bits<14>>,
    // Rows to staging; a staged block is numbered 2 q + parity of its block.
    staged: Signal<Local, Bits<9>>,
    take: Signal<Local, Bit>,
    complete: Signal<Local, Bit>,
    staging: Ram<24, 14>,
    pending: Dff<Bits<512>>,
    pending_left: Signal<Local, Bits<512>>,
    largest: Dram<8, 9>,
    exponent: Signal<Local, Bits<8>>,
    old_b: Signal<Local, Bits<8>>,
    new_b: Signal<Local, Bits<8>>,
    // Jobs: tag (25 bits: B, block (9), q (8)) and last position (5).
    made: Dff<Bit>,
    made_job: Dff<Bits<30>>,
    jobs: Ram<30, 9>,
    job_mask: Constant<Bits<9>>,
    job_wr: Dff<Bits<10>>,
    job_rd: Dff<Bits<10>>,
    job_fetch: Signal<Local, Bit>,
    next_vld: Dff<Bit>,
    load: Signal<Local, Bit>,
    job_vld: Dff<Bit>,
    job_last: Dff<Bits<5>>,
    job_pos: Dff<Bits<5>>,
    job_tag: Dff<Bits<25>>,
    job_staged: Signal<Local, Bits<9>>,
    job_end: Signal<Local, Bit>,
    // The element read, then what travels with it through the quantiser.
    rd_vld: Dff<Bit>,
    rd_beyond: Dff<Bit>,
    rd_end: Dff<Bit>,
    rd_tag: Dff<Bits<25>>,
    x: Dff<Bits<24>>,
    vld: [Dff<Bit>; PLACES],
    end: [Dff<Bit>; PLACES],
    tag: [Dff<Bits<25>>; PLACES],
    quant: Quantiser,
    q8: Dff<Bits<256>>,
    done: Dff<Bit>,
    done_tag: Dff<Bits<25>>,
    done_b: Signal<Local, Bits<8>>,
    done_blk: Signal<Local, Bits<9>>,
    done_q: Signal<Local, Bits<8>>,
    // The hidden RAM: B above q8.
    hidden: Ram<264, 17>,
    blk_shift: Constant<Bits<17>>,
    // A vector's state: its Bmax (8 bits) and the map of its last chunk (32).
    state: Ram<40, 8>,
    s1: Dff<Bit>,
    s2: Dff<Bit>,
    old_state: Dff<Bits<40>>,
    old_bmax: Signal<Local, Bits<8>>,
    new_bmax: Signal<Local, Bits<8>>,
    kept_map: Signal<Local, Bits<32>>,
    new_map: Signal<Local, Bits<32>>,
    bmax: Ram<8, 8>,
    maps: Ram<32, 12>,
    chunk_shift: Constant<Bits<12>>,
    /// Jobs not yet in the hidden RAM.
    open: Dff<Bits<10>>,
}

impl HStage {
    /// Storage for `tokens_max` vectors of `f_max` rows.
    pub fn new(config: &Config) -> Self {
        let tokens = config.tokens_max;
        let chunks = config.f_blocks().div_ceil(32);
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
            hmap_q: Default::default(),
            hmap_chunk: Default::default(),
            hmap_bits: Default::default(),
            busy: Default::default(),
            blk_vld: Default::default(),
            blk_q: Default::default(),
            blk_index: Default::default(),
            blk_b: Default::default(),
            blk_q8: Default::default(),
            f_last: Default::default(),
            packed: Default::default(),
            in_last: Default::default(),
            in_take: Default::default(),
            first_vld: Default::default(),
            first: Default::default(),
            second_vld: Default::default(),
            second: Default::default(),
            q: Default::default(),
            row: Default::default(),
            staged: Default::default(),
            take: Default::default(),
            complete: Default::default(),
            staging: Ram::new(64 * tokens),
            pending: Default::default(),
            pending_left: Default::default(),
            largest: Dram::new(2 * tokens),
            exponent: Default::default(),
            old_b: Default::default(),
            new_b: Default::default(),
            made: Default::default(),
            made_job: Default::default(),
            jobs: Ram::new(2 * tokens),
            job_mask: Constant::new((2 * tokens as u64 - 1).to_bits()),
            job_wr: Default::default(),
            job_rd: Default::default(),
            job_fetch: Default::default(),
            next_vld: Default::default(),
            load: Default::default(),
            job_vld: Default::default(),
            job_last: Default::default(),
            job_pos: Default::default(),
            job_tag: Default::default(),
            job_staged: Default::default(),
            job_end: Default::default(),
            rd_vld: Default::default(),
            rd_beyond: Default::default(),
            rd_end: Default::default(),
            rd_tag: Default::default(),
            x: Default::default(),
            vld: arr(),
            end: arr(),
            tag: arr(),
            quant: Default::default(),
            q8: Default::default(),
            done: Default::default(),
            done_tag: Default::default(),
            done_b: Default::default(),
            done_blk: Default::default(),
            done_q: Default::default(),
            hidden: Ram::new(tokens * config.f_blocks()),
            blk_shift: shift(config.f_blocks()),
            state: Ram::new(tokens),
            s1: Default::default(),
            s2: Default::default(),
            old_state: Default::default(),
            old_bmax: Default::default(),
            new_bmax: Default::default(),
            kept_map: Default::default(),
            new_map: Default::default(),
            bmax: Ram::new(tokens),
            maps: Ram::new(tokens * chunks),
            chunk_shift: shift(chunks),
            open: Default::default(),
        }
    }
}

impl Logic for HStage {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("hstage");
        clock!(self, clk, staging, largest, jobs, hidden, state, bmax, maps);
        dff_setup!(self, clk, f_last, first_vld, first, second_vld, second, pending);
        dff_setup!(
            self, clk, made, made_job, job_wr, job_rd, next_vld, job_vld, job_last, job_pos,
            job_tag
        );
        dff_setup!(
            self, clk, rd_vld, rd_beyond, rd_end, rd_tag, x, q8, done, done_tag, s1, s2, old_state,
            open
        );
        self.quant.clk.next = self.clk.val();
        for i in 0..7 {
            self.vld[i].clock.next = self.clk.val();
            self.end[i].clock.next = self.clk.val();
            self.tag[i].clock.next = self.clk.val();
        }

        // A row in. h is finite, so no exponent is 255.
        self.f_last.d.next = self.f.val() - 1;
        self.in_last.next =
            self.in_row.val().get_bits::<5>(0).all() || (self.in_row.val() == self.f_last.q.val());
        self.packed.next = (bit_cast::<47, 23>(self.in_f32.val().get_bits::<23>(9)) << 1)
            | bit_cast::<47, 1>(self.in_f32.val().get_bits::<9>(0).any().into())
            | (bit_cast::<47, 8>(self.in_q.val()) << 24)
            | (bit_cast::<47, 14>(self.in_row.val().get_bits::<14>(0)) << 32)
            | (bit_cast::<47, 1>(self.in_last.val().into()) << 46);
        self.in_rdy.next = !self.second_vld.q.val();
        self.in_take.next = self.in_vld.val() && self.in_rdy.val();

        // The first place leaves, unless its staged block still has a job.
        self.q.next = self.first.q.val().get_bits::<8>(24);
        self.row.next = self.first.q.val().get_bits::<14>(32);
        self.staged.next = ((bit_cast::<9, 8>(self.q.val()) << 1)
            | bit_cast::<9, 1>(self.row.val().get_bits::<1>(5)))
            & self.job_mask.val();
        self.take.next =
            self.first_vld.q.val() && !self.pending.q.val().get_bit(self.staged.val().index());
        self.complete.next = self.take.val() && self.first.q.val().get_bit(46);
        if self.take.val() || !self.first_vld.q.val() {
            self.first_vld.d.next = self.in_take.val() || self.second_vld.q.val();
            self.first.d.next = self.packed.val();
            if self.second_vld.q.val() {
                self.first.d.next = self.second.q.val();
            }
            self.second_vld.d.next = false;
        } else {
            if self.in_take.val() {
                self.second_vld.d.next = true;
                self.second.d.next = self.packed.val();
            }
        }
        self.staging.we.next = self.take.val();
        self.staging.waddr.next = (bit_cast::<14, 9>(self.staged.val()) << 5)
            | bit_cast::<14, 5>(self.row.val().get_bits::<5>(0));
        self.staging.wdata.next = self.first.q.val().get_bits::<24>(0);

        // The block's largest exponent so far; zero has exponent 0.
        self.exponent.next = self.first.q.val().get_bits::<8>(15);
        self.largest.raddr.next = self.staged.val();
        self.old_b.next = self.largest.rdata.val();
        if !self.row.val().get_bits::<5>(0).any() {
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
        self.made.d.next = self.complete.val();
        self.made_job.d.next = bit_cast::<30, 8>(self.new_b.val())
            | (bit_cast::<30, 9>(self.row.val().get_bits::<9>(5)) << 8)
            | (bit_cast::<30, 8>(self.q.val()) << 17)
            | (bit_cast::<30, 5>(self.row.val().get_bits::<5>(0)) << 25);
        self.jobs.we.next = self.made.q.val();
        self.jobs.waddr.next = self.job_wr.q.val().get_bits::<9>(0) & self.job_mask.val();
        self.jobs.wdata.next = self.made_job.q.val();
        if self.made.q.val() {
            self.job_wr.d.next = self.job_wr.q.val() + 1;
        }

        // The next job waits in the list's output register.
        self.job_end.next = self.job_vld.q.val() && self.job_pos.q.val().all();
        self.load.next = self.next_vld.q.val() && (!self.job_vld.q.val() || self.job_end.val());
        self.job_fetch.next = (self.job_rd.q.val() != self.job_wr.q.val())
            && (!self.next_vld.q.val() || self.load.val());
        self.jobs.re.next = self.job_fetch.val();
        self.jobs.raddr.next = self.job_rd.q.val().get_bits::<9>(0) & self.job_mask.val();
        if self.load.val() {
            self.next_vld.d.next = false;
        }
        if self.job_fetch.val() {
            self.next_vld.d.next = true;
            self.job_rd.d.next = self.job_rd.q.val() + 1;
        }

        // Its elements, one per cycle.
        self.job_staged.next = ((bit_cast::<9, 8>(self.job_tag.q.val().get_bits::<8>(17)) << 1)
            | bit_cast::<9, 1>(self.job_tag.q.val().get_bits::<1>(8)))
            & self.job_mask.val();
        self.staging.re.next = self.job_vld.q.val();
        self.staging.raddr.next = (bit_cast::<14, 9>(self.job_staged.val()) << 5)
            | bit_cast::<14, 5>(self.job_pos.q.val());
        if self.job_vld.q.val() {
            self.job_pos.d.next = self.job_pos.q.val() + 1; // 0 again behind the last
        }
        if self.job_end.val() {
            self.job_vld.d.next = false;
        }
        if self.load.val() {
            self.job_vld.d.next = true;
            self.job_tag.d.next = self.jobs.rdata.val().get_bits::<25>(0);
            self.job_last.d.next = self.jobs.rdata.val().get_bits::<5>(25);
        }
        self.pending_left.next = self.pending.q.val();
        if self.job_vld.q.val() && !self.job_pos.q.val().any() {
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

        // Quantise.
        self.rd_vld.d.next = self.job_vld.q.val();
        self.rd_beyond.d.next = self.job_pos.q.val() > self.job_last.q.val();
        self.rd_end.d.next = self.job_end.val();
        self.rd_tag.d.next = self.job_tag.q.val();
        self.x.d.next = self.staging.rdata.val();
        if self.rd_beyond.q.val() {
            self.x.d.next = 0.into();
        }
        self.vld[0].d.next = self.rd_vld.q.val();
        self.end[0].d.next = self.rd_end.q.val();
        self.tag[0].d.next = self.rd_tag.q.val();
        for i in 1..7 {
            self.vld[i].d.next = self.vld[i - 1].q.val();
            self.end[i].d.next = self.end[i - 1].q.val();
            self.tag[i].d.next = self.tag[i - 1].q.val();
        }
        self.quant.in_x.next = self.x.q.val();
        self.quant.in_b.next = self.tag[0].q.val().get_bits::<8>(0);

        // Shift in above the element before.
        if self.vld[6].q.val() {
            self.q8.d.next =
                (self.q8.q.val() >> 8) | (bit_cast::<256, 8>(self.quant.out_q8.val()) << 248);
        }
        self.done.d.next = self.end[6].q.val();
        if self.end[6].q.val() {
            self.done_tag.d.next = self.tag[6].q.val();
        }

        // A quantised block to the hidden RAM.
        self.done_b.next = self.done_tag.q.val().get_bits::<8>(0);
        self.done_blk.next = self.done_tag.q.val().get_bits::<9>(8);
        self.done_q.next = self.done_tag.q.val().get_bits::<8>(17);
        self.hidden.we.next = self.done.q.val();
        self.hidden.waddr.next = (bit_cast::<17, 8>(self.done_q.val()) << self.blk_shift.val())
            | bit_cast::<17, 9>(self.done_blk.val());
        self.hidden.wdata.next =
            bit_cast::<264, 256>(self.q8.q.val()) | (bit_cast::<264, 8>(self.done_b.val()) << 256);
        self.blk_vld.next = self.done.q.val();
        self.blk_q.next = self.done_q.val();
        self.blk_index.next = bit_cast::<16, 9>(self.done_blk.val());
        self.blk_b.next = self.done_b.val();
        self.blk_q8.next = self.q8.q.val();

        // Two cycles later its vector's state. Block 0 begins the maximum anew, the first block of a chunk the map.
        self.state.re.next = self.done.q.val();
        self.state.raddr.next = self.done_q.val();
        self.s1.d.next = self.done.q.val();
        self.s2.d.next = self.s1.q.val();
        self.old_state.d.next = self.state.rdata.val();
        self.old_bmax.next = self.old_state.q.val().get_bits::<8>(0);
        self.new_bmax.next = self.done_b.val();
        if self.done_blk.val().any() && (self.old_bmax.val() > self.done_b.val()) {
            self.new_bmax.next = self.old_bmax.val();
        }
        self.kept_map.next = self.old_state.q.val().get_bits::<32>(8);
        if !self.done_blk.val().get_bits::<5>(0).any() {
            self.kept_map.next = 0.into();
        }
        self.new_map.next = self.kept_map.val();
        if self.done_b.val().any() {
            self.new_map.next = self
                .kept_map
                .val()
                .replace_bit(self.done_blk.val().get_bits::<5>(0).index(), true);
        }
        self.state.we.next = self.s2.q.val();
        self.state.waddr.next = self.done_q.val();
        self.state.wdata.next =
            bit_cast::<40, 8>(self.new_bmax.val()) | (bit_cast::<40, 32>(self.new_map.val()) << 8);
        self.bmax.we.next = self.s2.q.val();
        self.bmax.waddr.next = self.done_q.val();
        self.bmax.wdata.next = self.new_bmax.val();
        self.maps.we.next = self.s2.q.val();
        self.maps.waddr.next = (bit_cast::<12, 8>(self.done_q.val()) << self.chunk_shift.val())
            | bit_cast::<12, 4>(self.done_blk.val().get_bits::<4>(5));
        self.maps.wdata.next = self.new_map.val();
        if self.complete.val() && !self.s2.q.val() {
            self.open.d.next = self.open.q.val() + 1;
        }
        if !self.complete.val() && self.s2.q.val() {
            self.open.d.next = self.open.q.val() - 1;
        }
        self.busy.next =
            self.first_vld.q.val() || self.second_vld.q.val() || self.open.q.val().any();

        // The array's read ports.
        self.hidden.re.next = true;
        self.hidden.raddr.next = (bit_cast::<17, 8>(self.h_q.val()) << self.blk_shift.val())
            | bit_cast::<17, 16>(self.h_blk.val());
        self.h_data.next = self.hidden.rdata.val().get_bits::<256>(0);
        self.h_b.next = self.hidden.rdata.val().get_bits::<8>(256);
        self.bmax.re.next = true;
        self.bmax.raddr.next = self.h_q.val();
        self.h_bmax.next = self.bmax.rdata.val();
        self.maps.re.next = true;
        self.maps.raddr.next = (bit_cast::<12, 8>(self.hmap_q.val()) << self.chunk_shift.val())
            | bit_cast::<12, 8>(self.hmap_chunk.val());
        self.hmap_bits.next = self.maps.rdata.val();

        if self.rst.val() {
            self.first_vld.d.next = false;
            self.second_vld.d.next = false;
            self.pending.d.next = 0.into();
            self.made.d.next = false;
            self.job_wr.d.next = 0.into();
            self.job_rd.d.next = 0.into();
            self.next_vld.d.next = false;
            self.job_pos.d.next = 0.into();
            self.job_vld.d.next = false;
            self.rd_end.d.next = false;
            for i in 0..7 {
                self.end[i].d.next = false;
            }
            self.done.d.next = false;
            self.s1.d.next = false;
            self.s2.d.next = false;
            self.open.d.next = 0.into();
        }
    }
}
