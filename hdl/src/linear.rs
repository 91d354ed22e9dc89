//! The array: `L` lanes, and the walk over vectors, groups and blocks that feeds them.
//!
//! What: takes windows (runs of group records that lie in a weight slot) and multiplies each with every vector of its kind: the two
//! limbs of each token (router), the vectors queued for the expert (gate, up, down). One beat per cycle: stage A counts, stage B
//! holds the addresses of slot and vector, stage C has the data, stage D the arranged block and the lanes' operands.
//! Cost: `L` lanes, a 256-bit 4:1 multiplexer, 16 group results in LUT RAM; with 4 lanes 3.4 k LUT4, 938 CCU2C, 72 multipliers,
//! 6.0 k flip-flops (yosys, ECP5). Latency: 3 cycles to the lanes, 11 inside them.
//! Bottleneck: one output row per cycle, so groups of fewer than `L` beats wait for the serialiser; one empty cycle between windows.
//! Hazards: the lanes cannot stall, so a group enters only with a free place for its results (`used`), counted from its first beat
//! until its last row has left; the meta entry is written at stage D, 11 cycles before its result. A slot is handed back in stage
//! C of the window's last beat, when its RAMs have been read. Stage A never reads state that later stages write, except `used`.
//!
//! Not built: starting a window in the cycle after the last beat of the one before (needs a second set of window registers).
//! Reconsider if windows become shorter than 64 beats.

use crate::lane_v1::Lane;
use abi::Config;
use leaf::prelude::*;

/// Group results that can be under way or waiting.
const PLACES: usize = 16;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Linear {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Starts a command.
    pub go: Signal<In, Bit>,
    /// T.
    pub tokens: Signal<In, Bits<16>>,
    /// Model width.
    pub d: Signal<In, Bits<16>>,
    /// Expert width.
    pub f: Signal<In, Bits<16>>,
    /// E.
    pub experts: Signal<In, Bits<16>>,
    /// Blocks of d.
    pub nblk_d: Signal<In, Bits<16>>,
    /// Blocks of f.
    pub nblk_f: Signal<In, Bits<16>>,
    /// The experts' weights are 2:4.
    pub sparse: Signal<In, Bit>,

    /// A window is loaded.
    pub win_vld: Signal<In, Bit>,
    /// Window taken.
    pub win_rdy: Signal<Out, Bit>,
    /// `abi::Kind`: 0 router, 1 gate and up, 2 down.
    pub win_kind: Signal<In, Bits<2>>,
    /// Slot it lies in.
    pub win_slot: Signal<In, Bit>,
    /// Its groups; of gate and up whole pairs.
    pub win_groups: Signal<In, Bits<16>>,
    /// Index of its first group in the section; gate and up groups are counted separately, so theirs is even.
    pub win_first: Signal<In, Bits<16>>,
    /// Last window of the section.
    pub win_last: Signal<In, Bit>,
    /// Its expert.
    pub win_expert: Signal<In, Bits<8>>,
    /// Exponent of router or gate, signed.
    pub win_exp_a: Signal<In, Bits<16>>,
    /// Exponent of up, signed.
    pub win_exp_b: Signal<In, Bits<16>>,
    /// Exponent of down, signed.
    pub win_exp_c: Signal<In, Bits<16>>,
    /// The slot `free_slot` has been read.
    pub free_vld: Signal<Out, Bit>,
    /// See `free_vld`.
    pub free_slot: Signal<Out, Bit>,

    /// x is stored.
    pub x_ready: Signal<In, Bit>,
    /// The hidden vectors of the expert are complete.
    pub h_ready: Signal<In, Bit>,
    /// Outputs of groups that have entered are still inside.
    pub draining: Signal<Out, Bit>,

    /// Queue to read.
    pub q_expert: Signal<Out, Bits<8>>,
    /// Position to read.
    pub q_index: Signal<Out, Bits<8>>,
    /// Token there, one cycle later.
    pub q_token: Signal<In, Bits<8>>,
    /// Router weight there (Q1.16), one cycle later.
    pub q_weight: Signal<In, Bits<17>>,
    /// Length of the queue `q_expert`, one cycle later.
    pub q_len: Signal<In, Bits<8>>,

    /// Slot to read.
    pub rd_slot: Signal<Out, Bit>,
    /// Word of every value lane.
    pub rd_value_addr: Signal<Out, Bits<16>>,
    /// Beat of scales.
    pub rd_scale_addr: Signal<Out, Bits<16>>,
    /// Beat of positions.
    pub rd_position_addr: Signal<Out, Bits<16>>,
    /// 16 weights per lane, one cycle later; lanes that do not exist are not read.
    pub rd_value: [Signal<In, Bits<128>>; 4],
    /// Scales, one cycle later.
    pub rd_scale: Signal<In, Bits<128>>,
    /// Positions, one cycle later.
    pub rd_position: Signal<In, Bits<128>>,

    /// 0: q8, 1: hi limbs, 2: lo limbs.
    pub x_region: Signal<Out, Bits<2>>,
    /// Token to read.
    pub x_token: Signal<Out, Bits<8>>,
    /// Block to read.
    pub x_blk: Signal<Out, Bits<16>>,
    /// The block, one cycle later.
    pub x_data: Signal<In, Bits<256>>,
    /// Its exponent.
    pub x_b: Signal<In, Bits<8>>,
    /// The token's exponent.
    pub x_bmax: Signal<In, Bits<8>>,
    /// Position in the queue whose hidden vector to read.
    pub h_q: Signal<Out, Bits<8>>,
    /// Block to read.
    pub h_blk: Signal<Out, Bits<16>>,
    /// The block, one cycle later.
    pub h_data: Signal<In, Bits<256>>,
    /// Its exponent.
    pub h_b: Signal<In, Bits<8>>,
    /// The vector's exponent.
    pub h_bmax: Signal<In, Bits<8>>,

    /// A row's result.
    pub out_vld: Signal<Out, Bit>,
    /// Result taken.
    pub out_rdy: Signal<In, Bit>,
    /// Sum, signed.
    pub out_acc: Signal<Out, Bits<48>>,
    /// `abi::Kind`.
    pub out_kind: Signal<Out, Bits<2>>,
    /// Kind 1: a row of up, not gate.
    pub out_up: Signal<Out, Bit>,
    /// Kind 0: the limb of x: 0 hi, 1 lo.
    pub out_limb: Signal<Out, Bit>,
    /// Row of the matrix.
    pub out_row: Signal<Out, Bits<16>>,
    /// Token.
    pub out_token: Signal<Out, Bits<8>>,
    /// Position in the expert's queue; 0 for kind 0.
    pub out_q: Signal<Out, Bits<8>>,
    /// The sum's LSB is 2 to this power, signed.
    pub out_lsb: Signal<Out, Bits<16>>,
    /// Router weight, Q1.16; no meaning for kind 0.
    pub out_weight: Signal<Out, Bits<17>>,
    /// Last row of the section's last vector.
    pub out_last: Signal<Out, Bit>,

    /// A beat enters the lanes.
    pub active: Signal<Out, Bit>,
    /// Weights present in that beat, over all lanes.
    pub macs: Signal<Out, Bits<8>>,
    /// A window is being read or results are inside.
    pub busy: Signal<Out, Bit>,
    /// Nothing to do: no window is loaded.
    pub wait_window: Signal<Out, Bit>,
    /// The last result of a down section leaves.
    pub section_done: Signal<Out, Bit>,

    // The window.
    running: Dff<Bit>,
    start: Signal<Local, Bit>,
    kind: Dff<Bits<2>>,
    slot: Dff<Bit>,
    last_group: Dff<Bits<16>>,
    last_window: Dff<Bit>,
    expert: Dff<Bits<8>>,
    exp_even: Dff<Bits<16>>,
    exp_odd: Dff<Bits<16>>,
    first_row: Dff<Bits<16>>,
    last_blk: Dff<Bits<16>>,
    dense: Dff<Bit>,
    tail: Dff<Bits<6>>,
    rows: Dff<Bits<16>>,
    new_inputs: Signal<Local, Bits<16>>,
    new_blocks: Signal<Local, Bits<16>>,
    new_tail: Signal<Local, Bits<16>>,
    new_pair: Signal<Local, Bits<16>>,

    // Stage A: counters of the beat about to enter.
    half: Dff<Bit>,
    blk: Dff<Bits<16>>,
    group: Dff<Bits<16>>,
    vector: Dff<Bits<8>>,
    value_addr: Dff<Bits<16>>,
    scale_addr: Dff<Bits<16>>,
    scale_offset: Dff<Bits<7>>,
    position_addr: Dff<Bits<16>>,
    position_offset: Dff<Bits<7>>,
    row: Dff<Bits<16>>,
    up: Dff<Bit>,
    used: Dff<Bits<5>>,
    enters: Signal<Local, Bit>,
    opens: Signal<Local, Bit>,
    block_end: Signal<Local, Bit>,
    group_end: Signal<Local, Bit>,
    vector_end: Signal<Local, Bit>,
    window_end: Signal<Local, Bit>,
    last_of_groups: Signal<Local, Bit>,
    last_of_vectors: Signal<Local, Bit>,
    vectors: Signal<Local, Bits<9>>,
    rows_left: Signal<Local, Bits<16>>,
    inputs: Signal<Local, Bits<6>>,
    next_scale_offset: Signal<Local, Bits<7>>,
    next_position_offset: Signal<Local, Bits<7>>,

    // Stage B: addresses.
    b_vld: Dff<Bit>,
    b_kind: Dff<Bits<2>>,
    b_slot: Dff<Bit>,
    b_half: Dff<Bit>,
    b_dense: Dff<Bit>,
    b_blk: Dff<Bits<16>>,
    b_vector: Dff<Bits<8>>,
    b_value_addr: Dff<Bits<16>>,
    b_scale_addr: Dff<Bits<16>>,
    b_scale_offset: Dff<Bits<7>>,
    b_position_addr: Dff<Bits<16>>,
    b_position_offset: Dff<Bits<7>>,
    b_opens: Dff<Bit>,
    b_block_end: Dff<Bit>,
    b_group_first: Dff<Bit>,
    b_group_last: Dff<Bit>,
    b_window_end: Dff<Bit>,
    b_row: Dff<Bits<16>>,
    b_rows: Dff<Bits<3>>,
    b_up: Dff<Bit>,
    b_last: Dff<Bit>,
    b_exp: Dff<Bits<16>>,
    b_present: Dff<Bits<5>>,
    token: Signal<Local, Bits<8>>,
    router: Signal<Local, Bit>,

    // Stage C: the RAMs' data.
    c_vld: Dff<Bit>,
    c_kind: Dff<Bits<2>>,
    c_slot: Dff<Bit>,
    c_half: Dff<Bit>,
    c_dense: Dff<Bit>,
    c_scale_offset: Dff<Bits<7>>,
    c_position_offset: Dff<Bits<7>>,
    c_opens: Dff<Bit>,
    c_block_end: Dff<Bit>,
    c_group_first: Dff<Bit>,
    c_group_last: Dff<Bit>,
    c_window_end: Dff<Bit>,
    c_row: Dff<Bits<16>>,
    c_rows: Dff<Bits<3>>,
    c_up: Dff<Bit>,
    c_limb: Dff<Bit>,
    c_last: Dff<Bit>,
    c_exp: Dff<Bits<16>>,
    c_present: Dff<Bits<5>>,
    c_token: Dff<Bits<8>>,
    c_q: Dff<Bits<8>>,
    c_weight: Dff<Bits<17>>,
    hidden: Signal<Local, Bit>,
    data: Signal<Local, Bits<256>>,
    b_exponent: Signal<Local, Bits<8>>,
    bmax: Signal<Local, Bits<8>>,
    scales: Signal<Local, Bits<128>>,
    positions: Signal<Local, Bits<128>>,
    arranged: [Signal<Local, Bits<32>>; 8],
    forced: Signal<Local, Bits<32>>,
    lsb: Signal<Local, Bits<16>>,
    shares: [Signal<Local, Bits<8>>; 3],
    last_row: Signal<Local, Bits<3>>,

    // Stage D: the lanes' operands.
    d_vld: Dff<Bit>,
    d_block_first: Dff<Bit>,
    d_block_last: Dff<Bit>,
    d_group_first: Dff<Bit>,
    d_group_last: Dff<Bit>,
    d_acts: Dff<Bits<256>>,
    d_values: Vec<Dff<Bits<128>>>,
    d_scale: Vec<Dff<Bits<16>>>,
    d_positions: Vec<Dff<Bits<32>>>,
    d_distance: Dff<Bits<8>>,
    d_macs: Dff<Bits<8>>,
    d_opens: Dff<Bit>,
    d_meta: Dff<Bits<72>>,
    lane: Vec<Lane>,

    // Results of groups and what they belong to, until the serialiser has sent their rows.
    result: Vec<Dram<48, 4>>,
    meta: Dram<72, 4>,
    meta_write: Dff<Bits<4>>,
    result_write: Dff<Bits<4>>,
    read: Dff<Bits<4>>,
    ready: Dff<Bits<5>>,
    serial: Dff<Bits<2>>,
    sent: Signal<Local, Bit>,
    popped: Signal<Local, Bit>,
    head: Signal<Local, Bits<72>>,
    is_last: Signal<Local, Bit>,
    group_sent: Signal<Local, Bit>,

    _lanes: usize,
    lane_count: Constant<Bits<16>>,
    lane_shift: Constant<Bits<16>>,
    scale_step: Constant<Bits<7>>,
    position_step: Constant<Bits<7>>,
    places: Constant<Bits<5>>,
}

/// One `T` per lane.
fn per_lane<T: Default>(config: &Config) -> Vec<T> {
    (0..abi::config::LANES).map(|_| T::default()).collect()
}

fn constant<const W: usize>(x: usize) -> Constant<Bits<W>> {
    Constant::new((x as u64).to_bits())
}

impl Linear {
    /// An array of `abi::config::LANES` lanes.
    pub fn new(config: &Config) -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            go: Default::default(),
            tokens: Default::default(),
            d: Default::default(),
            f: Default::default(),
            experts: Default::default(),
            nblk_d: Default::default(),
            nblk_f: Default::default(),
            sparse: Default::default(),
            win_vld: Default::default(),
            win_rdy: Default::default(),
            win_kind: Default::default(),
            win_slot: Default::default(),
            win_groups: Default::default(),
            win_first: Default::default(),
            win_last: Default::default(),
            win_expert: Default::default(),
            win_exp_a: Default::default(),
            win_exp_b: Default::default(),
            win_exp_c: Default::default(),
            free_vld: Default::default(),
            free_slot: Default::default(),
            x_ready: Default::default(),
            h_ready: Default::default(),
            draining: Default::default(),
            q_expert: Default::default(),
            q_index: Default::default(),
            q_token: Default::default(),
            q_weight: Default::default(),
            q_len: Default::default(),
            rd_slot: Default::default(),
            rd_value_addr: Default::default(),
            rd_scale_addr: Default::default(),
            rd_position_addr: Default::default(),
            rd_value: arr(),
            rd_scale: Default::default(),
            rd_position: Default::default(),
            x_region: Default::default(),
            x_token: Default::default(),
            x_blk: Default::default(),
            x_data: Default::default(),
            x_b: Default::default(),
            x_bmax: Default::default(),
            h_q: Default::default(),
            h_blk: Default::default(),
            h_data: Default::default(),
            h_b: Default::default(),
            h_bmax: Default::default(),
            out_vld: Default::default(),
            out_rdy: Default::default(),
            out_acc: Default::default(),
            out_kind: Default::default(),
            out_up: Default::default(),
            out_limb: Default::default(),
            out_row: Default::default(),
            out_token: Default::default(),
            out_q: Default::default(),
            out_lsb: Default::default(),
            out_weight: Default::default(),
            out_last: Default::default(),
            active: Default::default(),
            macs: Default::default(),
            busy: Default::default(),
            wait_window: Default::default(),
            section_done: Default::default(),
            running: Default::default(),
            start: Default::default(),
            kind: Default::default(),
            slot: Default::default(),
            last_group: Default::default(),
            last_window: Default::default(),
            expert: Default::default(),
            exp_even: Default::default(),
            exp_odd: Default::default(),
            first_row: Default::default(),
            last_blk: Default::default(),
            dense: Default::default(),
            tail: Default::default(),
            rows: Default::default(),
            new_inputs: Default::default(),
            new_blocks: Default::default(),
            new_tail: Default::default(),
            new_pair: Default::default(),
            half: Default::default(),
            blk: Default::default(),
            group: Default::default(),
            vector: Default::default(),
            value_addr: Default::default(),
            scale_addr: Default::default(),
            scale_offset: Default::default(),
            position_addr: Default::default(),
            position_offset: Default::default(),
            row: Default::default(),
            up: Default::default(),
            used: Default::default(),
            enters: Default::default(),
            opens: Default::default(),
            block_end: Default::default(),
            group_end: Default::default(),
            vector_end: Default::default(),
            window_end: Default::default(),
            last_of_groups: Default::default(),
            last_of_vectors: Default::default(),
            vectors: Default::default(),
            rows_left: Default::default(),
            inputs: Default::default(),
            next_scale_offset: Default::default(),
            next_position_offset: Default::default(),
            b_vld: Default::default(),
            b_kind: Default::default(),
            b_slot: Default::default(),
            b_half: Default::default(),
            b_dense: Default::default(),
            b_blk: Default::default(),
            b_vector: Default::default(),
            b_value_addr: Default::default(),
            b_scale_addr: Default::default(),
            b_scale_offset: Default::default(),
            b_position_addr: Default::default(),
            b_position_offset: Default::default(),
            b_opens: Default::default(),
            b_block_end: Default::default(),
            b_group_first: Default::default(),
            b_group_last: Default::default(),
            b_window_end: Default::default(),
            b_row: Default::default(),
            b_rows: Default::default(),
            b_up: Default::default(),
            b_last: Default::default(),
            b_exp: Default::default(),
            b_present: Default::default(),
            token: Default::default(),
            router: Default::default(),
            c_vld: Default::default(),
            c_kind: Default::default(),
            c_slot: Default::default(),
            c_half: Default::default(),
            c_dense: Default::default(),
            c_scale_offset: Default::default(),
            c_position_offset: Default::default(),
            c_opens: Default::default(),
            c_block_end: Default::default(),
            c_group_first: Default::default(),
            c_group_last: Default::default(),
            c_window_end: Default::default(),
            c_row: Default::default(),
            c_rows: Default::default(),
            c_up: Default::default(),
            c_limb: Default::default(),
            c_last: Default::default(),
            c_exp: Default::default(),
            c_present: Default::default(),
            c_token: Default::default(),
            c_q: Default::default(),
            c_weight: Default::default(),
            hidden: Default::default(),
            data: Default::default(),
            b_exponent: Default::default(),
            bmax: Default::default(),
            scales: Default::default(),
            positions: Default::default(),
            arranged: arr(),
            forced: Default::default(),
            lsb: Default::default(),
            shares: arr(),
            last_row: Default::default(),
            d_vld: Default::default(),
            d_block_first: Default::default(),
            d_block_last: Default::default(),
            d_group_first: Default::default(),
            d_group_last: Default::default(),
            d_acts: Default::default(),
            d_values: per_lane(config),
            d_scale: per_lane(config),
            d_positions: per_lane(config),
            d_distance: Default::default(),
            d_macs: Default::default(),
            d_opens: Default::default(),
            d_meta: Default::default(),
            lane: per_lane(config),
            result: (0..abi::config::LANES).map(|_| Dram::new(PLACES)).collect(),
            meta: Dram::new(PLACES),
            meta_write: Default::default(),
            result_write: Default::default(),
            read: Default::default(),
            ready: Default::default(),
            serial: Default::default(),
            sent: Default::default(),
            popped: Default::default(),
            head: Default::default(),
            is_last: Default::default(),
            group_sent: Default::default(),
            _lanes: abi::config::LANES,
            lane_count: constant(abi::config::LANES),
            lane_shift: constant(abi::config::LANES.trailing_zeros() as usize),
            scale_step: constant(16 * abi::config::LANES % 128),
            position_step: constant(32 * abi::config::LANES % 128),
            places: constant(PLACES),
        }
    }
}

impl Logic for Linear {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("linear");
        dff_setup!(
            self,
            clk,
            running,
            kind,
            slot,
            last_group,
            last_window,
            expert,
            exp_even,
            exp_odd,
            first_row,
            last_blk,
            dense,
            tail,
            rows,
            half,
            blk,
            group,
            vector,
            value_addr,
            scale_addr,
            scale_offset,
            position_addr,
            position_offset,
            row,
            up,
            used,
            b_vld,
            b_kind,
            b_slot,
            b_half,
            b_dense,
            b_blk,
            b_vector,
            b_value_addr,
            b_scale_addr,
            b_scale_offset,
            b_position_addr,
            b_position_offset,
            b_opens,
            b_block_end,
            b_group_first,
            b_group_last,
            b_window_end,
            b_row,
            b_rows,
            b_up,
            b_last,
            b_exp,
            b_present,
            c_vld,
            c_kind,
            c_slot,
            c_half,
            c_dense,
            c_scale_offset,
            c_position_offset,
            c_opens,
            c_block_end,
            c_group_first,
            c_group_last,
            c_window_end,
            c_row,
            c_rows,
            c_up,
            c_limb,
            c_last,
            c_exp,
            c_present,
            c_token,
            c_q,
            c_weight,
            d_vld,
            d_block_first,
            d_block_last,
            d_group_first,
            d_group_last,
            d_acts,
            d_distance,
            d_macs,
            d_opens,
            d_meta,
            meta_write,
            result_write,
            read,
            ready,
            serial
        );
        clock!(self, clk, meta);

        // Taking a window. Its parameters are registered, so its first beat is counted in the next cycle.
        self.start.next = !self.running.q.val() && self.win_vld.val() && self.x_ready.val();
        if self.win_kind.val() == 2 {
            self.start.next = !self.running.q.val()
                && self.win_vld.val()
                && (self.h_ready.val() || self.win_first.val() != 0);
        }
        self.win_rdy.next = self.start.val();
        self.wait_window.next = !self.running.q.val() && !self.win_vld.val();
        self.new_inputs.next = self.d.val();
        self.new_blocks.next = self.nblk_d.val();
        self.new_pair.next = self.win_first.val();
        if self.win_kind.val() == 1 {
            self.new_pair.next = self.win_first.val() >> bits::<1>(1);
        }
        if self.win_kind.val() == 2 {
            self.new_inputs.next = self.f.val();
            self.new_blocks.next = self.nblk_f.val();
        }
        self.new_tail.next = self.new_inputs.val() - 1;
        if self.start.val() {
            self.running.d.next = true;
            self.kind.d.next = self.win_kind.val();
            self.slot.d.next = self.win_slot.val();
            self.last_group.d.next = self.win_groups.val() - 1;
            self.last_window.d.next = self.win_last.val();
            self.expert.d.next = self.win_expert.val();
            self.last_blk.d.next = self.new_blocks.val() - 1;
            self.tail.d.next = bit_cast::<6, 5>(self.new_tail.val().get_bits::<5>(0)) + 1;
            self.dense.d.next = !self.sparse.val() || self.win_kind.val() == 0;
            self.exp_odd.d.next = self.win_exp_b.val() - 141;
            self.exp_even.d.next = self.win_exp_a.val() - 141;
            self.rows.d.next = self.f.val();
            if self.win_kind.val() == 0 {
                self.exp_even.d.next = self.win_exp_a.val() - 148;
                self.rows.d.next = self.experts.val() << bits::<1>(1);
            }
            if self.win_kind.val() == 2 {
                self.exp_even.d.next = self.win_exp_c.val() - 141;
                self.rows.d.next = self.d.val();
            }
            self.first_row.d.next = self.new_pair.val() << self.lane_shift.val();
        }

        // The queue of the window's expert. Its length arrives with the window's first beat and stays.
        self.q_expert.next = self.expert.q.val();
        if !self.running.q.val() {
            self.q_expert.next = self.win_expert.val();
        }
        self.q_index.next = self.vector.q.val();
        self.vectors.next = bit_cast::<9, 8>(self.q_len.val());
        if self.kind.q.val() == 0 {
            self.vectors.next = self.tokens.val().get_bits::<9>(0) << bits::<1>(1);
        }

        // Stage A.
        self.opens.next = self.blk.q.val() == 0 && !self.half.q.val();
        self.enters.next =
            self.running.q.val() && (!self.opens.val() || self.used.q.val() != self.places.val());
        self.block_end.next = !self.dense.q.val() || self.half.q.val();
        self.group_end.next = self.block_end.val() && self.blk.q.val() == self.last_blk.q.val();
        self.last_of_groups.next = self.group.q.val() == self.last_group.q.val();
        self.last_of_vectors.next = bit_cast::<9, 8>(self.vector.q.val()) + 1 == self.vectors.val();
        self.vector_end.next = self.group_end.val() && self.last_of_groups.val();
        self.window_end.next = self.vector_end.val() && self.last_of_vectors.val();
        self.next_scale_offset.next = self.scale_offset.q.val() + self.scale_step.val();
        self.next_position_offset.next = self.position_offset.q.val() + self.position_step.val();
        if self.enters.val() {
            self.half.d.next = self.dense.q.val() && !self.half.q.val();
            self.value_addr.d.next = self.value_addr.q.val() + 1;
            if self.block_end.val() {
                self.blk.d.next = self.blk.q.val() + 1;
                self.scale_offset.d.next = self.next_scale_offset.val();
                if self.next_scale_offset.val() == 0 {
                    self.scale_addr.d.next = self.scale_addr.q.val() + 1;
                }
                self.position_offset.d.next = self.next_position_offset.val();
                if self.next_position_offset.val() == 0 {
                    self.position_addr.d.next = self.position_addr.q.val() + 1;
                }
            }
            if self.group_end.val() {
                // A group's scales and positions start with a whole beat.
                self.blk.d.next = 0.into();
                self.group.d.next = self.group.q.val() + 1;
                self.scale_offset.d.next = 0.into();
                self.scale_addr.d.next = self.scale_addr.q.val() + 1;
                self.position_offset.d.next = 0.into();
                self.position_addr.d.next = self.position_addr.q.val() + 1;
                self.up.d.next = self.kind.q.val() == 1 && !self.up.q.val();
                if self.kind.q.val() != 1 || self.up.q.val() {
                    self.row.d.next = self.row.q.val() + self.lane_count.val();
                }
            }
            if self.vector_end.val() {
                self.group.d.next = 0.into();
                self.vector.d.next = self.vector.q.val() + 1;
                self.value_addr.d.next = 0.into();
                self.scale_addr.d.next = 0.into();
                self.position_addr.d.next = 0.into();
                self.row.d.next = self.first_row.q.val();
            }
            if self.window_end.val() {
                self.running.d.next = false;
            }
        }
        if self.start.val() {
            self.half.d.next = false;
            self.blk.d.next = 0.into();
            self.group.d.next = 0.into();
            self.vector.d.next = 0.into();
            self.value_addr.d.next = 0.into();
            self.scale_addr.d.next = 0.into();
            self.scale_offset.d.next = 0.into();
            self.position_addr.d.next = 0.into();
            self.position_offset.d.next = 0.into();
            self.row.d.next = self.new_pair.val() << self.lane_shift.val();
            self.up.d.next = false;
        }

        // Stage B. Inputs of this block, weights of this beat and rows of this group that are not filling.
        self.inputs.next = 32.into();
        if self.blk.q.val() == self.last_blk.q.val() {
            self.inputs.next = self.tail.q.val();
        }
        self.b_present.d.next = self.inputs.val().get_bits::<5>(1);
        if self.dense.q.val() {
            self.b_present.d.next = 16.into();
            if !self.half.q.val() && self.inputs.val() < 16 {
                self.b_present.d.next = self.inputs.val().get_bits::<5>(0);
            }
            if self.half.q.val() {
                self.b_present.d.next = 0.into();
                if self.inputs.val() > 16 {
                    self.b_present.d.next = self.inputs.val().get_bits::<5>(0) - 16;
                }
            }
        }
        self.rows_left.next = self.rows.q.val() - self.row.q.val();
        self.b_rows.d.next = self.rows_left.val().get_bits::<3>(0);
        if self.rows_left.val() > self.lane_count.val() {
            self.b_rows.d.next = self.lane_count.val().get_bits::<3>(0);
        }
        self.b_vld.d.next = self.enters.val();
        self.b_kind.d.next = self.kind.q.val();
        self.b_slot.d.next = self.slot.q.val();
        self.b_half.d.next = self.half.q.val();
        self.b_dense.d.next = self.dense.q.val();
        self.b_blk.d.next = self.blk.q.val();
        self.b_vector.d.next = self.vector.q.val();
        self.b_value_addr.d.next = self.value_addr.q.val();
        self.b_scale_addr.d.next = self.scale_addr.q.val();
        self.b_scale_offset.d.next = self.scale_offset.q.val();
        self.b_position_addr.d.next = self.position_addr.q.val();
        self.b_position_offset.d.next = self.position_offset.q.val();
        self.b_opens.d.next = self.enters.val() && self.opens.val();
        self.b_block_end.d.next = self.block_end.val();
        self.b_group_first.d.next = self.blk.q.val() == 0;
        self.b_group_last.d.next = self.blk.q.val() == self.last_blk.q.val();
        self.b_window_end.d.next = self.enters.val() && self.window_end.val();
        self.b_row.d.next = self.row.q.val();
        self.b_up.d.next = self.up.q.val();
        self.b_last.d.next =
            self.last_window.q.val() && self.last_of_groups.val() && self.last_of_vectors.val();
        self.b_exp.d.next = self.exp_even.q.val();
        if self.up.q.val() {
            self.b_exp.d.next = self.exp_odd.q.val();
        }
        self.router.next = self.b_kind.q.val() == 0;
        self.token.next = self.q_token.val();
        if self.router.val() {
            self.token.next = self.b_vector.q.val() >> bits::<1>(1);
        }
        self.rd_slot.next = self.b_slot.q.val();
        self.rd_value_addr.next = self.b_value_addr.q.val();
        self.rd_scale_addr.next = self.b_scale_addr.q.val();
        self.rd_position_addr.next = self.b_position_addr.q.val();
        self.x_region.next = 0.into();
        if self.router.val() {
            self.x_region.next = bit_cast::<2, 1>(self.b_vector.q.val().get_bits::<1>(0)) + 1;
        }
        self.x_token.next = self.token.val();
        self.x_blk.next = self.b_blk.q.val();
        self.h_q.next = self.b_vector.q.val();
        self.h_blk.next = self.b_blk.q.val();

        // Stage C.
        self.c_vld.d.next = self.b_vld.q.val();
        self.c_kind.d.next = self.b_kind.q.val();
        self.c_slot.d.next = self.b_slot.q.val();
        self.c_half.d.next = self.b_half.q.val();
        self.c_dense.d.next = self.b_dense.q.val();
        self.c_scale_offset.d.next = self.b_scale_offset.q.val();
        self.c_position_offset.d.next = self.b_position_offset.q.val();
        self.c_opens.d.next = self.b_opens.q.val();
        self.c_block_end.d.next = self.b_block_end.q.val();
        self.c_group_first.d.next = self.b_group_first.q.val();
        self.c_group_last.d.next = self.b_group_last.q.val();
        self.c_window_end.d.next = self.b_window_end.q.val();
        self.c_row.d.next = self.b_row.q.val();
        self.c_rows.d.next = self.b_rows.q.val();
        self.c_up.d.next = self.b_up.q.val();
        self.c_limb.d.next = self.router.val() && self.b_vector.q.val().get_bit(0);
        self.c_last.d.next = self.b_last.q.val();
        self.c_exp.d.next = self.b_exp.q.val();
        self.c_present.d.next = self.b_present.q.val();
        self.c_token.d.next = self.token.val();
        self.c_q.d.next = self.b_vector.q.val();
        if self.router.val() {
            self.c_q.d.next = 0.into();
        }
        self.c_weight.d.next = self.q_weight.val();
        self.free_vld.next = self.c_window_end.q.val();
        self.free_slot.next = self.c_slot.q.val();

        // Stage D: the block as eight groups of four. In 2:4 they are the four inputs that two weights choose from. In a dense block
        // group g has inputs 2g, 2g+1 of the first half and of the second, and the positions say which half and which of the two.
        self.hidden.next = self.c_kind.q.val() == 2;
        self.data.next = self.x_data.val();
        self.b_exponent.next = self.x_b.val();
        self.bmax.next = self.x_bmax.val();
        if self.hidden.val() {
            self.data.next = self.h_data.val();
            self.b_exponent.next = self.h_b.val();
            self.bmax.next = self.h_bmax.val();
        }
        for g in 0..8 {
            self.arranged[g].next = self.data.val().get_bits::<32>(32 * g);
            if self.c_dense.q.val() {
                self.arranged[g].next =
                    unsigned_cast_zx::<32, 16>(self.data.val().get_bits::<16>(16 * g))
                        | (unsigned_cast_zx::<32, 16>(
                            self.data.val().get_bits::<16>(16 * g + 128),
                        ) << bits::<5>(16));
            }
        }
        self.d_acts.d.next = bit_cast::<256, 32>(self.arranged[0].val())
            | (bit_cast::<256, 32>(self.arranged[1].val()) << bits::<8>(32))
            | (bit_cast::<256, 32>(self.arranged[2].val()) << bits::<8>(64))
            | (bit_cast::<256, 32>(self.arranged[3].val()) << bits::<8>(96))
            | (bit_cast::<256, 32>(self.arranged[4].val()) << bits::<8>(128))
            | (bit_cast::<256, 32>(self.arranged[5].val()) << bits::<8>(160))
            | (bit_cast::<256, 32>(self.arranged[6].val()) << bits::<8>(192))
            | (bit_cast::<256, 32>(self.arranged[7].val()) << bits::<8>(224));
        self.forced.next = 0x4444_4444u64.into();
        if self.c_half.q.val() {
            self.forced.next = 0xEEEE_EEEEu64.into();
        }
        self.scales.next = self.rd_scale.val() >> self.c_scale_offset.q.val();
        self.positions.next = self.rd_position.val() >> self.c_position_offset.q.val();
        for i in 0..self._lanes {
            self.d_values[i].clock.next = self.clk.val();
            self.d_values[i].d.next = self.rd_value[i].val();
            self.d_scale[i].clock.next = self.clk.val();
            self.d_scale[i].d.next = self.scales.val().get_bits::<16>(16 * i);
            self.d_positions[i].clock.next = self.clk.val();
            self.d_positions[i].d.next = self.positions.val().get_bits::<32>(32 * i);
            if self.c_dense.q.val() {
                self.d_positions[i].d.next = self.forced.val();
            }
        }
        self.d_distance.d.next = self.bmax.val() - self.b_exponent.val();
        self.d_vld.d.next = self.c_vld.q.val();
        self.d_block_first.d.next = !self.c_half.q.val();
        self.d_block_last.d.next = self.c_block_end.q.val();
        self.d_group_first.d.next = self.c_group_first.q.val();
        self.d_group_last.d.next = self.c_group_last.q.val();
        for i in 0..3 {
            self.shares[i].next = 0.into();
        }
        if self.c_rows.q.val().get_bit(0) {
            self.shares[0].next = bit_cast::<8, 5>(self.c_present.q.val());
        }
        if self.c_rows.q.val().get_bit(1) {
            self.shares[1].next = bit_cast::<8, 5>(self.c_present.q.val()) << bits::<2>(1);
        }
        if self.c_rows.q.val().get_bit(2) {
            self.shares[2].next = bit_cast::<8, 5>(self.c_present.q.val()) << bits::<2>(2);
        }
        self.d_macs.d.next = 0.into();
        if self.c_vld.q.val() {
            self.d_macs.d.next = self.shares[0].val() + self.shares[1].val() + self.shares[2].val();
        }
        self.active.next = self.d_vld.q.val();
        self.macs.next = self.d_macs.q.val();

        // What the group's results belong to.
        self.lsb.next = bit_cast::<16, 8>(self.bmax.val()) + self.c_exp.q.val();
        self.last_row.next = self.c_rows.q.val() - 1;
        self.d_opens.d.next = self.c_opens.q.val();
        self.d_meta.d.next = bit_cast::<72, 16>(self.c_row.q.val())
            | (bit_cast::<72, 16>(self.lsb.val()) << bits::<7>(16))
            | (bit_cast::<72, 17>(self.c_weight.q.val()) << bits::<7>(32))
            | (bit_cast::<72, 8>(self.c_token.q.val()) << bits::<7>(49))
            | (bit_cast::<72, 8>(self.c_q.q.val()) << bits::<7>(57))
            | (bit_cast::<72, 2>(self.c_kind.q.val()) << bits::<7>(65))
            | (bit_cast::<72, 1>(self.c_up.q.val().into()) << bits::<7>(67))
            | (bit_cast::<72, 1>(self.c_limb.q.val().into()) << bits::<7>(68))
            | (bit_cast::<72, 1>(self.c_last.q.val().into()) << bits::<7>(69))
            | (bit_cast::<72, 2>(self.last_row.val().get_bits::<2>(0)) << bits::<7>(70));
        self.meta.we.next = self.d_opens.q.val();
        self.meta.waddr.next = self.meta_write.q.val();
        self.meta.wdata.next = self.d_meta.q.val();
        self.meta.raddr.next = self.read.q.val();
        if self.d_opens.q.val() {
            self.meta_write.d.next = self.meta_write.q.val() + 1;
        }

        // The lanes.
        for i in 0..self._lanes {
            self.lane[i].clk.next = self.clk.val();
            self.lane[i].rst.next = self.rst.val() || self.go.val();
            self.lane[i].vld.next = self.d_vld.q.val();
            self.lane[i].block_first.next = self.d_block_first.q.val();
            self.lane[i].block_last.next = self.d_block_last.q.val();
            self.lane[i].group_first.next = self.d_group_first.q.val();
            self.lane[i].group_last.next = self.d_group_last.q.val();
            self.lane[i].acts.next = self.d_acts.q.val();
            self.lane[i].values.next = self.d_values[i].q.val();
            self.lane[i].positions.next = self.d_positions[i].q.val();
            self.lane[i].scale.next = self.d_scale[i].q.val();
            self.lane[i].distance.next = self.d_distance.q.val();
            self.result[i].clock.next = self.clk.val();
            self.result[i].we.next = self.lane[i].out_vld.val();
            self.result[i].waddr.next = self.result_write.q.val();
            self.result[i].wdata.next = self.lane[i].out_acc.val();
            self.result[i].raddr.next = self.read.q.val();
        }
        if self.lane[0].out_vld.val() {
            self.result_write.d.next = self.result_write.q.val() + 1;
        }

        // One row after the other.
        self.head.next = self.meta.rdata.val();
        self.out_vld.next = self.ready.q.val() != 0;
        self.out_acc.next = 0.into();
        for i in 0..self._lanes {
            if self.serial.q.val() == i.to_bits() {
                self.out_acc.next = self.result[i].rdata.val();
            }
        }
        self.out_row.next =
            self.head.val().get_bits::<16>(0) + bit_cast::<16, 2>(self.serial.q.val());
        self.out_lsb.next = self.head.val().get_bits::<16>(16);
        self.out_weight.next = self.head.val().get_bits::<17>(32);
        self.out_token.next = self.head.val().get_bits::<8>(49);
        self.out_q.next = self.head.val().get_bits::<8>(57);
        self.out_kind.next = self.head.val().get_bits::<2>(65);
        self.out_up.next = self.head.val().get_bit(67);
        self.out_limb.next = self.head.val().get_bit(68);
        self.group_sent.next = self.serial.q.val() == self.head.val().get_bits::<2>(70);
        self.is_last.next = self.head.val().get_bit(69) && self.group_sent.val();
        self.out_last.next = self.is_last.val();
        self.sent.next = self.ready.q.val() != 0 && self.out_rdy.val();
        self.popped.next = self.sent.val() && self.group_sent.val();
        self.section_done.next =
            self.sent.val() && self.is_last.val() && self.head.val().get_bits::<2>(65) == 2;
        if self.sent.val() {
            self.serial.d.next = self.serial.q.val() + 1;
        }
        if self.popped.val() {
            self.serial.d.next = 0.into();
            self.read.d.next = self.read.q.val() + 1;
        }
        self.ready.d.next = self.ready.q.val()
            + bit_cast::<5, 1>(self.lane[0].out_vld.val().into())
            - bit_cast::<5, 1>(self.popped.val().into());
        self.used.d.next = self.used.q.val()
            + bit_cast::<5, 1>((self.enters.val() && self.opens.val()).into())
            - bit_cast::<5, 1>(self.popped.val().into());
        self.draining.next = self.used.q.val() != 0;
        self.busy.next = self.running.q.val() || self.used.q.val() != 0;

        if self.rst.val() || self.go.val() {
            self.running.d.next = false;
            self.b_vld.d.next = false;
            self.b_opens.d.next = false;
            self.b_window_end.d.next = false;
            self.c_vld.d.next = false;
            self.c_opens.d.next = false;
            self.c_window_end.d.next = false;
            self.d_vld.d.next = false;
            self.d_macs.d.next = 0.into();
            self.d_opens.d.next = false;
            self.meta_write.d.next = 0.into();
            self.result_write.d.next = 0.into();
            self.read.d.next = 0.into();
            self.ready.d.next = 0.into();
            self.serial.d.next = 0.into();
            self.used.d.next = 0.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::config::TINY;

    /// One window in rust-hdl's own simulator: the walk, the places and the serialiser. All weights, activations and scales are
    /// one, so each sum is its number of inputs, filling included; `tests/tests/unit_linear.rs` has the real numbers.
    #[test]
    fn a_router_of_ones_in_the_library_simulator() {
        std::thread::Builder::new()
            .stack_size(64 << 20)
            .spawn(router_of_ones)
            .unwrap()
            .join()
            .unwrap();
    }

    fn router_of_ones() {
        let mut u = Box::new(Linear::new(&TINY));
        u.connect_all();
        let ones: Bits<256> = (0..32).fold(Bits::default(), |b, i| b.replace_bit(8 * i, true));
        let scale: Bits<128> = (0..8).fold(Bits::default(), |b, i| {
            // 1024 * 2^0: exponent field 30, fraction 0
            (0..5).fold(b, |b, bit| b.replace_bit(16 * i + 10 + bit, bit != 0))
        });
        u.x_data.next = ones;
        for lane in &mut u.rd_value {
            lane.next = bit_cast(ones);
        }
        u.rd_scale.next = scale;
        u.tokens.next = 1.into();
        u.experts.next = 3.into(); // six rows: three groups of two lanes
        u.d.next = 40.into();
        u.nblk_d.next = 2.into();
        u.x_ready.next = true;
        u.out_rdy.next = true;
        u.win_vld.next = true;
        u.win_groups.next = 3.into();
        u.win_last.next = true;
        u.win_exp_a.next = 48.into();
        let (mut rows, mut macs, mut freed) = (Vec::new(), 0, 0);
        for cycle in 0..60 {
            assert!(simulate(&mut *u, 100));
            if u.out_vld.val() {
                let limb = u.out_limb.val();
                assert_eq!(u.out_acc.val(), 64u64 << 18, "64 * 1024 * 2^8");
                assert_eq!(u.out_lsb.val(), 65536u64 - 100, "0 - 148 + 48");
                rows.push((limb, u.out_row.val().index(), u.out_last.val()));
            }
            macs += u.macs.val().index();
            freed += usize::from(u.free_vld.val());
            u.clk.next = true.into();
            assert!(simulate(&mut *u, 100));
            if cycle == 0 {
                u.win_vld.next = false;
            }
            u.clk.next = false.into();
        }
        let want: Vec<_> = (0..12).map(|i| (i >= 6, i % 6, i == 11)).collect();
        assert_eq!(rows, want);
        assert_eq!((macs, freed), (6 * 40 * 2, 1));
        assert!(!u.busy.val() && !u.draining.val());
    }
}
