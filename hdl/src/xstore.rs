//! Input vectors: takes the f32 rows of x from memory, quantises them and keeps them for the array.
//!
//! What: packs the elements of a beat, stages them until the exponent of their block (up to 8 beats) is known, sends them through
//! four [`Quantiser`]s, collects the integers of a block and writes three words, one cycle after the other: lo limbs, hi limbs, q8.
//! Beside them the token's Bmax, and a map of the blocks that are not zero. Cost: one RAM of 3 * `tokens_max * d_max` bytes (one,
//! so that the reader's choice of region is a part of the address), staging of 16 beats, three registers of 256 bits.
//! Latency: 13 cycles and the beats of the block (at least three), from a block's last beat until it can be read.
//! Bottleneck: a beat (four elements) per cycle; a block of one or two beats (the last of a row) takes three cycles, for its three words.
//!
//! Hazards: a beat is taken only when staging has room for it; a block has at most 8 beats, so staging never fills up without
//! a complete block. There cannot be more complete blocks than beats. The words of a block leave the collecting registers in the
//! cycles in which each is complete; the next block's beats are at least one behind in each. `x_tokens` rises with the q8 of a row's
//! last block, when everything else of the row is stored.

use crate::quantiser::Quantiser;
use abi::Config;
use leaf::prelude::*;

/// Cycles from an element to its low limb; the high limb and q8 follow one by one.
const LO: usize = 4;
/// Places of a beat on its way to q8, the one beside the quantisers' inputs included.
const PLACES: usize = LO + 3;

/// See the module's page.
#[derive(LogicBlock)]
pub struct XStore {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: drops all rows inside.
    pub rst: Signal<In, Bit>,
    /// Starts a command.
    pub go: Signal<In, Bit>,
    /// T.
    pub tokens: Signal<In, Bits<16>>,
    /// Elements per row.
    pub d: Signal<In, Bits<16>>,
    /// Beats of x.
    pub in_vld: Signal<In, Bit>,
    /// Beat taken.
    pub in_rdy: Signal<Out, Bit>,
    /// Four binary32.
    pub in_data: Signal<In, Bits<128>>,
    /// Tokens completely stored since `go`: 0 to that many may be read.
    pub x_tokens: Signal<Out, Bits<9>>,
    /// 0: q8, 1: hi limbs, 2: lo limbs.
    pub x_region: Signal<In, Bits<2>>,
    /// Token to read.
    pub x_token: Signal<In, Bits<8>>,
    /// Block to read.
    pub x_blk: Signal<In, Bits<16>>,
    /// The block, one cycle later.
    pub x_data: Signal<Out, Bits<256>>,
    /// Its exponent B, one cycle later.
    pub x_b: Signal<Out, Bits<8>>,
    /// The exponent Bmax of the whole row of `x_token`, one cycle later.
    pub x_bmax: Signal<Out, Bits<8>>,
    /// Token whose zero map is read.
    pub xmap_token: Signal<In, Bits<8>>,
    /// 32 blocks of it.
    pub xmap_chunk: Signal<In, Bits<8>>,
    /// One bit per block that is not all zero, one cycle later; 0 beyond the row's last block.
    pub xmap_bits: Signal<Out, Bits<32>>,
    /// An infinity or NaN was met since `go`.
    pub nonfinite: Signal<Out, Bit>,
    /// Waits for a beat.
    pub waiting: Signal<Out, Bit>,
    /// A block is stored this cycle (for the scoreboard).
    pub blk_vld: Signal<Out, Bit>,
    /// Its token.
    pub blk_token: Signal<Out, Bits<8>>,
    /// Its number.
    pub blk_index: Signal<Out, Bits<16>>,
    /// Its exponent.
    pub blk_b: Signal<Out, Bits<8>>,
    /// Its q8 values.
    pub blk_q8: Signal<Out, Bits<256>>,

    // Beats in.
    starting: Dff<Bit>,
    active: Dff<Bit>,
    last_element: Dff<Bits<16>>,
    rows_left: Dff<Bits<16>>,
    beats_left: Dff<Bits<14>>,
    beat: Dff<Bits<3>>,
    held: Dff<Bits<5>>,
    take: Signal<Local, Bit>,
    row_end: Signal<Local, Bit>,
    blk_end: Signal<Local, Bit>,
    // Stage 0: the beat as it came.
    s0_vld: Dff<Bit>,
    s0_data: Dff<Bits<128>>,
    s0_beat: Dff<Bits<3>>,
    s0_blk_end: Dff<Bit>,
    s0_row_end: Dff<Bit>,
    fraction: [Signal<Local, Bits<23>>; 4],
    exponent: [Signal<Local, Bits<8>>; 4],
    kept: [Signal<Local, Bits<8>>; 4],
    outside: [Signal<Local, Bit>; 4],
    odd: [Signal<Local, Bit>; 4],
    // Stage 1: packed elements; to staging, and on to the maximum.
    s1_vld: Dff<Bit>,
    s1_x: [Dff<Bits<24>>; 4],
    s1_beat: Dff<Bits<3>>,
    s1_blk_end: Dff<Bit>,
    s1_row_end: Dff<Bit>,
    staging: Dram<96, 4>,
    stage_wr: Dff<Bits<4>>,
    packed: Signal<Local, Bits<96>>,
    e: [Signal<Local, Bits<8>>; 4],
    s2_vld: Dff<Bit>,
    s2_max: [Dff<Bits<8>>; 2],
    s2_beat: Dff<Bits<3>>,
    s2_blk_end: Dff<Bit>,
    s2_row_end: Dff<Bit>,
    s3_vld: Dff<Bit>,
    s3_max: Dff<Bits<8>>,
    s3_beat: Dff<Bits<3>>,
    s3_blk_end: Dff<Bit>,
    s3_row_end: Dff<Bit>,
    blk_max: Dff<Bits<8>>,
    new_blk_max: Signal<Local, Bits<8>>,
    // Complete blocks: B (8 bits), last beat (3), last of its row (1).
    jobs: Dram<12, 4>,
    job_wr: Dff<Bits<5>>,
    job_rd: Dff<Bits<5>>,
    job_go: Signal<Local, Bit>,
    job_load: Signal<Local, Bit>,
    job_vld: Dff<Bit>,
    job: Dff<Bits<12>>,
    job_beats: Signal<Local, Bits<3>>,
    rd_beat: Dff<Bits<3>>,
    rd_take: Signal<Local, Bit>,
    rd_end: Signal<Local, Bit>,
    stage_rd: Dff<Bits<4>>,
    // What travels with a beat through the quantisers; place 0 is beside their inputs.
    x: [Dff<Bits<24>>; 4],
    vld: [Dff<Bit>; PLACES],
    at: [Dff<Bits<3>>; PLACES],
    end: [Dff<Bit>; LO + 1],
    row: [Dff<Bit>; LO + 1],
    b: [Dff<Bits<8>>; LO + 1],
    quant: [Quantiser; 4],
    four: [Signal<Local, Bits<32>>; 3],
    // A block as it is collected, four elements in each part.
    lo: [Dff<Bits<32>>; 8],
    hi: [Dff<Bits<32>>; 8],
    q8: [Dff<Bits<32>>; 8],
    lo_all: Signal<Local, Bits<256>>,
    hi_all: Signal<Local, Bits<256>>,
    q8_all: Signal<Local, Bits<256>>,
    lo_done: Dff<Bit>,
    hi_done: Dff<Bit>,
    q8_done: Dff<Bit>,
    out_b: Dff<Bits<8>>,
    out_row: Dff<Bit>,
    // The memories: B above the integers.
    out_token: Dff<Bits<9>>,
    out_blk: Dff<Bits<9>>,
    blocks: Ram<264, 18>,
    region: Signal<Local, Bits<2>>,
    word: Signal<Local, Bits<256>>,
    row_max: Dff<Bits<8>>,
    new_max: Dff<Bits<8>>,
    bmax: Ram<8, 8>,
    map: Dff<Bits<32>>,
    kept_map: Signal<Local, Bits<32>>,
    new_map: Dff<Bits<32>>,
    maps: Ram<32, 12>,
    bad: Dff<Bit>,
    blk_shift: Constant<Bits<18>>,
    region_shift: Constant<Bits<18>>,
    chunk_shift: Constant<Bits<12>>,
}

/// A constant to shift an index by, so that what is below `n` fits under it.
pub(crate) fn shift<const N: usize>(n: usize) -> Constant<Bits<N>> {
    Constant::new(u64::from(n.next_power_of_two().trailing_zeros()).to_bits())
}

impl XStore {
    /// Storage for `tokens_max` rows of `d_max` elements.
    pub fn new(config: &Config) -> Self {
        let depth = config.tokens_max * config.d_blocks();
        let chunks = config.d_blocks().div_ceil(32);
        Self {
            clk: Default::default(),
            rst: Default::default(),
            go: Default::default(),
            tokens: Default::default(),
            d: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_data: Default::default(),
            x_tokens: Default::default(),
            x_region: Default::default(),
            x_token: Default::default(),
            x_blk: Default::default(),
            x_data: Default::default(),
            x_b: Default::default(),
            x_bmax: Default::default(),
            xmap_token: Default::default(),
            xmap_chunk: Default::default(),
            xmap_bits: Default::default(),
            nonfinite: Default::default(),
            waiting: Default::default(),
            blk_vld: Default::default(),
            blk_token: Default::default(),
            blk_index: Default::default(),
            blk_b: Default::default(),
            blk_q8: Default::default(),
            starting: Default::default(),
            active: Default::default(),
            last_element: Default::default(),
            rows_left: Default::default(),
            beats_left: Default::default(),
            beat: Default::default(),
            held: Default::default(),
            take: Default::default(),
            row_end: Default::default(),
            blk_end: Default::default(),
            s0_vld: Default::default(),
            s0_data: Default::default(),
            s0_beat: Default::default(),
            s0_blk_end: Default::default(),
            s0_row_end: Default::default(),
            fraction: arr(),
            exponent: arr(),
            kept: arr(),
            outside: arr(),
            odd: arr(),
            s1_vld: Default::default(),
            s1_x: arr(),
            s1_beat: Default::default(),
            s1_blk_end: Default::default(),
            s1_row_end: Default::default(),
            staging: Dram::new(16),
            stage_wr: Default::default(),
            packed: Default::default(),
            e: arr(),
            s2_vld: Default::default(),
            s2_max: arr(),
            s2_beat: Default::default(),
            s2_blk_end: Default::default(),
            s2_row_end: Default::default(),
            s3_vld: Default::default(),
            s3_max: Default::default(),
            s3_beat: Default::default(),
            s3_blk_end: Default::default(),
            s3_row_end: Default::default(),
            blk_max: Default::default(),
            new_blk_max: Default::default(),
            jobs: Dram::new(16),
            job_wr: Default::default(),
            job_rd: Default::default(),
            job_go: Default::default(),
            job_load: Default::default(),
            job_vld: Default::default(),
            job: Default::default(),
            job_beats: Default::default(),
            rd_beat: Default::default(),
            rd_take: Default::default(),
            rd_end: Default::default(),
            stage_rd: Default::default(),
            x: arr(),
            vld: arr(),
            at: arr(),
            end: arr(),
            row: arr(),
            b: arr(),
            quant: arr(),
            four: arr(),
            lo: arr(),
            hi: arr(),
            q8: arr(),
            lo_all: Default::default(),
            hi_all: Default::default(),
            q8_all: Default::default(),
            lo_done: Default::default(),
            hi_done: Default::default(),
            q8_done: Default::default(),
            out_b: Default::default(),
            out_row: Default::default(),
            out_token: Default::default(),
            out_blk: Default::default(),
            blocks: Ram::new(3 * depth),
            region: Default::default(),
            word: Default::default(),
            row_max: Default::default(),
            new_max: Default::default(),
            bmax: Ram::new(config.tokens_max),
            map: Default::default(),
            kept_map: Default::default(),
            new_map: Default::default(),
            maps: Ram::new(config.tokens_max * chunks),
            bad: Default::default(),
            blk_shift: shift(config.d_blocks()),
            region_shift: shift(depth),
            chunk_shift: shift(chunks),
        }
    }
}

impl Logic for XStore {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("xstore");
        dff_setup!(
            self,
            clk,
            starting,
            active,
            last_element,
            rows_left,
            beats_left,
            beat,
            held
        );
        dff_setup!(self, clk, s0_vld, s0_data, s0_beat, s0_blk_end, s0_row_end);
        dff_setup!(self, clk, s1_vld, s1_beat, s1_blk_end, s1_row_end, stage_wr);
        dff_setup!(self, clk, s2_vld, s2_beat, s2_blk_end, s2_row_end);
        dff_setup!(
            self, clk, s3_vld, s3_max, s3_beat, s3_blk_end, s3_row_end, blk_max, job_wr, job_rd,
            job_vld, job, rd_beat, stage_rd
        );
        dff_setup!(self, clk, lo_done, hi_done, q8_done, out_b, out_row, out_token, out_blk);
        dff_setup!(self, clk, row_max, new_max, map, new_map, bad);
        clock!(self, clk, staging, jobs, blocks, bmax, maps);
        for i in 0..4 {
            self.s1_x[i].clock.next = self.clk.val();
            self.x[i].clock.next = self.clk.val();
            self.quant[i].clk.next = self.clk.val();
        }
        for i in 0..5 {
            self.end[i].clock.next = self.clk.val();
            self.row[i].clock.next = self.clk.val();
            self.b[i].clock.next = self.clk.val();
        }
        for i in 0..7 {
            self.vld[i].clock.next = self.clk.val();
            self.at[i].clock.next = self.clk.val();
        }
        for i in 0..2 {
            self.s2_max[i].clock.next = self.clk.val();
        }

        // Beats in. Counting down needs d - 1, which is there one cycle after `go`.
        self.last_element.d.next = self.d.val() - 1;
        self.row_end.next = !self.beats_left.q.val().any();
        self.blk_end.next = self.row_end.val() || self.beat.q.val().all();
        self.in_rdy.next = self.active.q.val() && !self.held.q.val().get_bit(4);
        self.take.next = self.in_vld.val() && self.in_rdy.val();
        self.waiting.next = self.active.q.val() && !self.in_vld.val();
        if self.take.val() {
            self.beats_left.d.next = self.beats_left.q.val() - 1;
            self.beat.d.next = self.beat.q.val() + 1;
            if self.row_end.val() {
                self.beats_left.d.next = self.last_element.q.val().get_bits::<14>(2);
                self.beat.d.next = 0.into();
                self.rows_left.d.next = self.rows_left.q.val() - 1;
                if self.rows_left.q.val() == 1 {
                    self.active.d.next = false;
                }
            }
        }
        self.s0_vld.d.next = self.take.val();
        self.s0_data.d.next = self.in_data.val();
        self.s0_beat.d.next = self.beat.q.val();
        self.s0_blk_end.d.next = self.blk_end.val();
        self.s0_row_end.d.next = self.row_end.val();

        // Pack. Filling, infinities and NaNs become zero, which cannot raise the maximum either.
        self.outside[0].next = false;
        self.outside[1].next =
            self.s0_row_end.q.val() && !self.last_element.q.val().get_bits::<2>(0).any();
        self.outside[2].next = self.s0_row_end.q.val() && !self.last_element.q.val().get_bit(1);
        self.outside[3].next =
            self.s0_row_end.q.val() && !self.last_element.q.val().get_bits::<2>(0).all();
        for i in 0..4 {
            self.fraction[i].next = self.s0_data.q.val().get_bits::<23>(32 * i);
            self.exponent[i].next = self.s0_data.q.val().get_bits::<8>(32 * i + 23);
            self.odd[i].next = self.exponent[i].val().all();
            self.kept[i].next = self.exponent[i].val();
            if self.odd[i].val() || self.outside[i].val() {
                self.kept[i].next = 0.into();
            }
            self.s1_x[i].d.next =
                (unsigned_cast_zx::<24, 1>(self.s0_data.q.val().get_bits::<1>(32 * i + 31)) << 23)
                    | (unsigned_cast_zx::<24, 8>(self.kept[i].val()) << 15)
                    | (unsigned_cast_zx::<24, 14>(self.fraction[i].val().get_bits::<14>(9)) << 1)
                    | unsigned_cast_zx::<24, 1>(
                        self.fraction[i].val().get_bits::<9>(0).any().into(),
                    );
            if self.s0_vld.q.val() && self.odd[i].val() && !self.outside[i].val() {
                self.bad.d.next = true;
            }
        }
        self.s1_vld.d.next = self.s0_vld.q.val();
        self.s1_beat.d.next = self.s0_beat.q.val();
        self.s1_blk_end.d.next = self.s0_blk_end.q.val();
        self.s1_row_end.d.next = self.s0_row_end.q.val();

        // Staging, and the largest exponent of the block.
        self.packed.next = 0.into();
        for i in 0..4 {
            self.packed.next =
                (self.packed.val() << 24) | unsigned_cast_zx::<96, 24>(self.s1_x[3 - i].q.val());
            self.e[i].next = self.s1_x[i].q.val().get_bits::<8>(15);
        }
        self.staging.we.next = self.s1_vld.q.val();
        self.staging.waddr.next = self.stage_wr.q.val();
        self.staging.wdata.next = self.packed.val();
        if self.s1_vld.q.val() {
            self.stage_wr.d.next = self.stage_wr.q.val() + 1;
        }
        for i in 0..2 {
            self.s2_max[i].d.next = self.e[2 * i].val();
            if self.e[2 * i + 1].val() > self.e[2 * i].val() {
                self.s2_max[i].d.next = self.e[2 * i + 1].val();
            }
        }
        self.s2_vld.d.next = self.s1_vld.q.val();
        self.s2_beat.d.next = self.s1_beat.q.val();
        self.s2_blk_end.d.next = self.s1_blk_end.q.val();
        self.s2_row_end.d.next = self.s1_row_end.q.val();
        self.s3_vld.d.next = self.s2_vld.q.val();
        self.s3_max.d.next = self.s2_max[0].q.val();
        if self.s2_max[1].q.val() > self.s2_max[0].q.val() {
            self.s3_max.d.next = self.s2_max[1].q.val();
        }
        self.s3_beat.d.next = self.s2_beat.q.val();
        self.s3_blk_end.d.next = self.s2_blk_end.q.val();
        self.s3_row_end.d.next = self.s2_row_end.q.val();
        self.new_blk_max.next = self.s3_max.q.val();
        if self.s3_beat.q.val().any() && (self.blk_max.q.val() > self.s3_max.q.val()) {
            self.new_blk_max.next = self.blk_max.q.val();
        }
        if self.s3_vld.q.val() {
            self.blk_max.d.next = self.new_blk_max.val();
        }
        self.jobs.we.next = self.s3_vld.q.val() && self.s3_blk_end.q.val();
        self.jobs.waddr.next = self.job_wr.q.val().get_bits::<4>(0);
        self.jobs.wdata.next = bit_cast::<12, 8>(self.new_blk_max.val())
            | (bit_cast::<12, 3>(self.s3_beat.q.val()) << 8)
            | (bit_cast::<12, 1>(self.s3_row_end.q.val().into()) << 11);
        if self.jobs.we.val() {
            self.job_wr.d.next = self.job_wr.q.val() + 1;
        }

        // The first complete block, a beat per cycle; at least three cycles, for its three words.
        self.job_go.next = self.job_wr.q.val() != self.job_rd.q.val();
        self.jobs.raddr.next = self.job_rd.q.val().get_bits::<4>(0);
        self.job_beats.next = self.job.q.val().get_bits::<3>(8);
        self.rd_take.next = self.job_vld.q.val() && (self.rd_beat.q.val() <= self.job_beats.val());
        self.rd_end.next = self.job_vld.q.val()
            && (self.rd_beat.q.val() >= self.job_beats.val())
            && self.rd_beat.q.val().get_bits::<2>(1).any();
        if self.job_vld.q.val() {
            self.rd_beat.d.next = self.rd_beat.q.val() + 1;
        }
        if self.rd_end.val() {
            self.rd_beat.d.next = 0.into();
            self.job_vld.d.next = false;
        }
        self.job_load.next = self.job_go.val() && (!self.job_vld.q.val() || self.rd_end.val());
        if self.job_load.val() {
            self.job_vld.d.next = true;
            self.job.d.next = self.jobs.rdata.val();
            self.job_rd.d.next = self.job_rd.q.val() + 1;
        }
        self.staging.raddr.next = self.stage_rd.q.val();
        if self.rd_take.val() {
            self.stage_rd.d.next = self.stage_rd.q.val() + 1;
        }
        if self.take.val() && !self.rd_take.val() {
            self.held.d.next = self.held.q.val() + 1;
        }
        if !self.take.val() && self.rd_take.val() {
            self.held.d.next = self.held.q.val() - 1;
        }
        self.vld[0].d.next = self.rd_take.val();
        self.at[0].d.next = self.rd_beat.q.val();
        self.end[0].d.next = self.rd_end.val();
        self.row[0].d.next = self.job.q.val().get_bit(11);
        self.b[0].d.next = self.job.q.val().get_bits::<8>(0);
        for i in 1..7 {
            self.vld[i].d.next = self.vld[i - 1].q.val();
            self.at[i].d.next = self.at[i - 1].q.val();
        }
        for i in 1..5 {
            self.end[i].d.next = self.end[i - 1].q.val();
            self.row[i].d.next = self.row[i - 1].q.val();
            self.b[i].d.next = self.b[i - 1].q.val();
        }

        // Quantise.
        for i in 0..3 {
            self.four[i].next = 0.into();
        }
        for i in 0..4 {
            self.x[i].d.next = self.staging.rdata.val().get_bits::<24>(24 * i);
            self.quant[i].in_x.next = self.x[i].q.val();
            self.quant[i].in_b.next = self.b[0].q.val();
            self.four[0].next = (self.four[0].val() << 8)
                | unsigned_cast_zx::<32, 8>(self.quant[3 - i].out_lo.val());
            self.four[1].next = (self.four[1].val() << 8)
                | unsigned_cast_zx::<32, 8>(self.quant[3 - i].out_hi.val());
            self.four[2].next = (self.four[2].val() << 8)
                | unsigned_cast_zx::<32, 8>(self.quant[3 - i].out_q8.val());
        }

        // Collect a block, each kind of integer a cycle behind the one before. Its first beat clears the parts of the others.
        self.lo_all.next = 0.into();
        self.hi_all.next = 0.into();
        self.q8_all.next = 0.into();
        for i in 0..8 {
            self.lo[i].clock.next = self.clk.val();
            self.hi[i].clock.next = self.clk.val();
            self.q8[i].clock.next = self.clk.val();
            self.lo[i].d.next = self.lo[i].q.val();
            self.hi[i].d.next = self.hi[i].q.val();
            self.q8[i].d.next = self.q8[i].q.val();
            if self.vld[4].q.val() {
                if self.at[4].q.val() == 0 {
                    self.lo[i].d.next = 0.into();
                }
                if self.at[4].q.val() == i.to_bits() {
                    self.lo[i].d.next = self.four[0].val();
                }
            }
            if self.vld[5].q.val() {
                if self.at[5].q.val() == 0 {
                    self.hi[i].d.next = 0.into();
                }
                if self.at[5].q.val() == i.to_bits() {
                    self.hi[i].d.next = self.four[1].val();
                }
            }
            if self.vld[6].q.val() {
                if self.at[6].q.val() == 0 {
                    self.q8[i].d.next = 0.into();
                }
                if self.at[6].q.val() == i.to_bits() {
                    self.q8[i].d.next = self.four[2].val();
                }
            }
            self.lo_all.next =
                (self.lo_all.val() << 32) | unsigned_cast_zx::<256, 32>(self.lo[7 - i].q.val());
            self.hi_all.next =
                (self.hi_all.val() << 32) | unsigned_cast_zx::<256, 32>(self.hi[7 - i].q.val());
            self.q8_all.next =
                (self.q8_all.val() << 32) | unsigned_cast_zx::<256, 32>(self.q8[7 - i].q.val());
        }
        self.lo_done.d.next = self.end[4].q.val();
        self.hi_done.d.next = self.lo_done.q.val();
        self.q8_done.d.next = self.hi_done.q.val();
        if self.end[4].q.val() {
            self.out_b.d.next = self.b[4].q.val();
            self.out_row.d.next = self.row[4].q.val();
        }

        // A word per cycle into the memory.
        self.region.next = 0.into();
        self.word.next = self.q8_all.val();
        if self.hi_done.q.val() {
            self.region.next = 1.into();
            self.word.next = self.hi_all.val();
        }
        if self.lo_done.q.val() {
            self.region.next = 2.into();
            self.word.next = self.lo_all.val();
        }
        self.blocks.we.next = self.lo_done.q.val() || self.hi_done.q.val() || self.q8_done.q.val();
        self.blocks.waddr.next = (bit_cast::<18, 2>(self.region.val()) << self.region_shift.val())
            | (bit_cast::<18, 8>(self.out_token.q.val().get_bits::<8>(0)) << self.blk_shift.val())
            | bit_cast::<18, 9>(self.out_blk.q.val());
        self.blocks.wdata.next =
            bit_cast::<264, 256>(self.word.val()) | (bit_cast::<264, 8>(self.out_b.q.val()) << 256);

        // With the last word the row's maximum and the chunk's map, as of all blocks so far.
        self.kept_map.next = self.map.q.val();
        if !self.out_blk.q.val().get_bits::<5>(0).any() {
            self.kept_map.next = 0.into();
        }
        if self.hi_done.q.val() {
            self.new_max.d.next = self.out_b.q.val();
            if self.out_blk.q.val().any() && (self.row_max.q.val() > self.out_b.q.val()) {
                self.new_max.d.next = self.row_max.q.val();
            }
            self.new_map.d.next = self.kept_map.val();
            if self.out_b.q.val().any() {
                self.new_map.d.next = self
                    .kept_map
                    .val()
                    .replace_bit(self.out_blk.q.val().get_bits::<5>(0).index(), true);
            }
        }
        self.bmax.we.next = self.q8_done.q.val();
        self.bmax.waddr.next = self.out_token.q.val().get_bits::<8>(0);
        self.bmax.wdata.next = self.new_max.q.val();
        self.maps.we.next = self.q8_done.q.val();
        self.maps.waddr.next = (bit_cast::<12, 8>(self.out_token.q.val().get_bits::<8>(0))
            << self.chunk_shift.val())
            | bit_cast::<12, 4>(self.out_blk.q.val().get_bits::<4>(5));
        self.maps.wdata.next = self.new_map.q.val();
        if self.q8_done.q.val() {
            self.row_max.d.next = self.new_max.q.val();
            self.map.d.next = self.new_map.q.val();
            self.out_blk.d.next = self.out_blk.q.val() + 1;
            if self.out_row.q.val() {
                self.out_blk.d.next = 0.into();
                self.out_token.d.next = self.out_token.q.val() + 1;
            }
        }
        self.x_tokens.next = self.out_token.q.val();
        self.nonfinite.next = self.bad.q.val();
        self.blk_vld.next = self.q8_done.q.val();
        self.blk_token.next = self.out_token.q.val().get_bits::<8>(0);
        self.blk_index.next = bit_cast::<16, 9>(self.out_blk.q.val());
        self.blk_b.next = self.out_b.q.val();
        self.blk_q8.next = self.q8_all.val();

        // The array's read ports.
        self.blocks.re.next = true;
        self.blocks.raddr.next = (bit_cast::<18, 2>(self.x_region.val())
            << self.region_shift.val())
            | (bit_cast::<18, 8>(self.x_token.val()) << self.blk_shift.val())
            | bit_cast::<18, 16>(self.x_blk.val());
        self.x_data.next = self.blocks.rdata.val().get_bits::<256>(0);
        self.x_b.next = self.blocks.rdata.val().get_bits::<8>(256);
        self.bmax.re.next = true;
        self.bmax.raddr.next = self.x_token.val();
        self.x_bmax.next = self.bmax.rdata.val();
        self.maps.re.next = true;
        self.maps.raddr.next = (bit_cast::<12, 8>(self.xmap_token.val()) << self.chunk_shift.val())
            | bit_cast::<12, 8>(self.xmap_chunk.val());
        self.xmap_bits.next = self.maps.rdata.val();

        self.starting.d.next = self.go.val();
        if self.starting.q.val() {
            self.active.d.next = true;
            self.beats_left.d.next = self.last_element.q.val().get_bits::<14>(2);
        }
        if self.go.val() {
            self.rows_left.d.next = self.tokens.val();
            self.beat.d.next = 0.into();
            self.out_token.d.next = 0.into();
            self.out_blk.d.next = 0.into();
            self.bad.d.next = false;
        }
        if self.rst.val() {
            self.starting.d.next = false;
            self.active.d.next = false;
            self.held.d.next = 0.into();
            self.s0_vld.d.next = false;
            self.s1_vld.d.next = false;
            self.s2_vld.d.next = false;
            self.s3_vld.d.next = false;
            self.stage_wr.d.next = 0.into();
            self.job_wr.d.next = 0.into();
            self.job_rd.d.next = 0.into();
            self.job_vld.d.next = false;
            self.rd_beat.d.next = 0.into();
            self.stage_rd.d.next = 0.into();
            for i in 0..5 {
                self.end[i].d.next = false;
            }
            self.lo_done.d.next = false;
            self.hi_done.d.next = false;
            self.q8_done.d.next = false;
            self.out_token.d.next = 0.into();
            self.bad.d.next = false;
        }
    }
}
