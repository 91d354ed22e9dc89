//! The array: eight lanes, and what brings them a beat in every cycle.
//!
//! What: [`Walker`] turns visits of slots into chunks of blocks that are not zero, [`Beats`] turns chunks into beats, the lanes add up rows,
//! [`Serialiser`] sends their sums. Here are the memories' registers and the operands between `Beats` and lanes: which vector, which storage
//! form, the bias block's ones.
//!
//! ```text
//! visits -> Walker -(chunks)-> Beats -(addresses)-> slots, x, h -> e: raw words -> d: operands -> 8 lanes -> Serialiser -> out
//!              +-----------------(rows)--------------------------------------------------------------^
//! ```
//!
//! Cost: docs/utilisation.md, with lanes.
//! Latency: about 10 cycles from a visit to its first beat, then one beat per cycle.
//! Bottleneck: one beat or one result per cycle, whichever is more.
//! Hazards: nothing stalls between `Beats` and `Serialiser`, so groups are counted at `Walker` and spaced at `Beats`. A slot is handed back
//! one cycle after its last read. Down waits until nothing of Hidden is inside here and `h_ready` says the same of what is behind.
//!
//! Not built: a second vector per beat (the same weights for two tokens). Reconsider where weights are the bottleneck of many tokens.

use crate::beats::Beats;
use crate::granule::Granule;
use crate::lane::{Lane, LaneControl};
use crate::serialiser::Serialiser;
use crate::skid::Skid;
use crate::walker::Walker;
use abi::config::LANES;
use abi::Config;
use leaf::prelude::*;

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
    /// Expert width, or outputs of a plain layer.
    pub f: Signal<In, Bits<16>>,
    /// E.
    pub experts: Signal<In, Bits<16>>,
    /// Blocks of d without bias.
    pub nblk_d: Signal<In, Bits<16>>,
    /// Blocks of f without bias.
    pub nblk_f: Signal<In, Bits<16>>,
    /// Groups of the router.
    pub groups_router: Signal<In, Bits<16>>,
    /// Groups of Hidden or the plain layer.
    pub groups_a: Signal<In, Bits<16>>,
    /// Groups of Down.
    pub groups_b: Signal<In, Bits<16>>,
    /// Words of a group of the router.
    pub words_r: Signal<In, Bits<16>>,
    /// Words of a group of Hidden or the plain layer.
    pub words_a: Signal<In, Bits<16>>,
    /// Words of a group of Down.
    pub words_b: Signal<In, Bits<16>>,
    /// Weights per row of d inputs.
    pub kept_d: Signal<In, Bits<16>>,
    /// Weights per row of f inputs.
    pub kept_f: Signal<In, Bits<16>>,
    /// `abi::Format` of the experts or the plain layer.
    pub format: Signal<In, Bits<2>>,
    /// `abi::Sparsity` of the same.
    pub sparsity: Signal<In, Bits<3>>,
    /// They have two rows per lane.
    pub paired: Signal<In, Bit>,
    /// They have a bias block.
    pub bias: Signal<In, Bit>,
    /// Hidden has gate and up.
    pub gated: Signal<In, Bit>,
    /// The router has a bias block.
    pub router_bias: Signal<In, Bit>,

    /// The first group of a slot is in memory.
    pub vis_vld: Signal<In, Bit>,
    /// Visit taken.
    pub vis_rdy: Signal<Out, Bit>,
    /// The slot; those of the router come behind those of experts.
    pub vis_slot: Signal<In, Bits<3>>,
    /// `abi::Kind` of its first group.
    pub vis_kind: Signal<In, Bits<2>>,
    /// Index of that group in its section.
    pub vis_first: Signal<In, Bits<16>>,
    /// Its expert.
    pub vis_expert: Signal<In, Bits<8>>,
    /// Exponent of router, gate, first matrix or plain layer, signed; its low 10 bits count, as of the others.
    pub vis_exp_a: Signal<In, Bits<16>>,
    /// Exponent of up, signed.
    pub vis_exp_b: Signal<In, Bits<16>>,
    /// Exponent of down, signed.
    pub vis_exp_c: Signal<In, Bits<16>>,
    /// The slot being walked.
    pub cur_slot: Signal<Out, Bits<3>>,
    /// Its groups that are completely in memory, one cycle later.
    pub cur_loaded: Signal<In, Bits<16>>,
    /// No more groups will come into it, one cycle later.
    pub cur_closed: Signal<In, Bit>,
    /// With `cur_closed`: all its groups.
    pub cur_total: Signal<In, Bits<16>>,
    /// The slot `free_slot` has been read.
    pub free_vld: Signal<Out, Bit>,
    /// See `free_vld`.
    pub free_slot: Signal<Out, Bits<3>>,

    /// Tokens of x that are stored.
    pub x_tokens: Signal<In, Bits<9>>,
    /// The hidden vectors of the expert are complete, if nothing is `draining`.
    pub h_ready: Signal<In, Bit>,
    /// Queue to read.
    pub q_expert: Signal<Out, Bits<8>>,
    /// Position to read.
    pub q_index: Signal<Out, Bits<8>>,
    /// Token there, one cycle later.
    pub q_token: Signal<In, Bits<8>>,
    /// Router weight there (Q4.16), one cycle later.
    pub q_weight: Signal<In, Bits<20>>,
    /// Length of the queue `q_expert`, one cycle later.
    pub q_len: Signal<In, Bits<9>>,
    /// Token whose zero map to read.
    pub xmap_token: Signal<Out, Bits<8>>,
    /// Chunk to read.
    pub xmap_chunk: Signal<Out, Bits<8>>,
    /// Blocks that are not all zero, one cycle later; 0 where there is no block.
    pub xmap_bits: Signal<In, Bits<32>>,
    /// Hidden vector whose zero map to read.
    pub hmap_q: Signal<Out, Bits<8>>,
    /// Chunk to read.
    pub hmap_chunk: Signal<Out, Bits<8>>,
    /// As `xmap_bits`.
    pub hmap_bits: Signal<In, Bits<32>>,
    /// Word of the weights' zero map.
    pub rd_map_addr: Signal<Out, Bits<16>>,
    /// Blocks in which some row has a scale, one cycle later.
    pub rd_map: Signal<In, Bits<32>>,

    /// Word of values to read.
    pub rd_value_addr: Signal<Out, Bits<16>>,
    /// Word of positions to read.
    pub rd_position_addr: Signal<Out, Bits<16>>,
    /// Word of scales to read.
    pub rd_scale_addr: Signal<Out, Bits<16>>,
    /// Values one cycle later: entry i has those of lanes 2i and 2i+1.
    pub rd_value: [Signal<In, Bits<128>>; 4],
    /// Positions one cycle later: entry i has those of lanes 4i to 4i+3.
    pub rd_position: [Signal<In, Bits<128>>; 2],
    /// Scales one cycle later.
    pub rd_scale: Signal<In, Bits<128>>,

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

    /// A result: a row, or a pair of gate and up.
    pub out_vld: Signal<Out, Bit>,
    /// Result taken.
    pub out_rdy: Signal<In, Bit>,
    /// A pair of gate and up.
    pub out_pair: Signal<Out, Bit>,
    /// Sum, signed.
    pub out_a: Signal<Out, Bits<36>>,
    /// Pair: the sum of up.
    pub out_b: Signal<Out, Bits<36>>,
    /// `abi::Kind`.
    pub out_kind: Signal<Out, Bits<2>>,
    /// Router: the limb of x.
    pub out_limb: Signal<Out, Bit>,
    /// Row.
    pub out_row: Signal<Out, Bits<16>>,
    /// Token.
    pub out_token: Signal<Out, Bits<8>>,
    /// Position in the queue.
    pub out_q: Signal<Out, Bits<8>>,
    /// The LSB of `out_a` is 2 to this power, signed.
    pub out_lsb_a: Signal<Out, Bits<16>>,
    /// The same of `out_b`.
    pub out_lsb_b: Signal<Out, Bits<16>>,
    /// Router weight.
    pub out_weight: Signal<Out, Bits<20>>,
    /// Expert.
    pub out_expert: Signal<Out, Bits<8>>,
    /// Last result of the section.
    pub out_last: Signal<Out, Bit>,
    /// Down or plain: last result of the vector.
    pub out_end: Signal<Out, Bit>,

    /// A beat enters the lanes.
    pub active: Signal<Out, Bit>,
    /// Weights of the results that left in the cycle before.
    pub macs: Signal<Out, Bits<16>>,
    /// Beats that were not spent because of zero blocks.
    pub skipped: Signal<Out, Bits<16>>,
    /// A visit is being walked or results are inside.
    pub busy: Signal<Out, Bit>,
    /// Results of groups that were issued are still inside.
    pub draining: Signal<Out, Bit>,
    /// Nothing to walk: no visit, or its next group is not in memory.
    pub wait_window: Signal<Out, Bit>,
    /// The last result of Down or of a plain layer leaves.
    pub section_done: Signal<Out, Bit>,

    walker: Walker,
    beats: Beats,
    control: LaneControl,
    granule: Vec<Granule>,
    lane: Vec<Lane>,
    serialiser: Serialiser,
    chunks: Skid<64>,
    chunk: Signal<Local, Bits<64>>,
    leaving: Skid<158>,
    result: Signal<Local, Bits<158>>,
    restart: Signal<Local, Bit>,
    inside: Signal<Local, Bit>,
    hidden_done: Dff<Bit>,

    // The cycle in which the memories answer.
    c_vld: Dff<Bit>,
    c_free: Dff<Bit>,
    c_slot: Dff<Bits<3>>,
    c_kind: Dff<Bits<2>>,
    c_limb: Dff<Bit>,
    c_bias: Dff<Bit>,
    c_biased: Dff<Bit>,
    c_pass: Dff<Bits<2>>,
    c_part: Dff<Bits<2>>,
    c_position_part: Dff<Bit>,
    c_block_last: Dff<Bit>,
    c_row_first: Dff<Bit>,
    c_row_last: Dff<Bit>,
    router: Signal<Local, Bit>,
    c_dense: Signal<Local, Bit>,

    // Their answers, and what to make of them.
    e_vld: Dff<Bit>,
    e_block_last: Dff<Bit>,
    e_row_first: Dff<Bit>,
    e_row_last: Dff<Bit>,
    e_router: Dff<Bit>,
    e_down: Dff<Bit>,
    e_bias: Dff<Bit>,
    e_biased: Dff<Bit>,
    e_take: Dff<Bits<8>>,
    e_first_pass: Dff<Bit>,
    e_part: Dff<Bits<2>>,
    e_dense: Dff<Bit>,
    e_pick: Dff<Bits<2>>,
    e_short: Dff<Bit>,
    e_double: Dff<Bit>,
    e_eighth: Dff<Bit>,
    e_quads: Dff<Bit>,
    e_x: Dff<Bits<256>>,
    e_h: Dff<Bits<256>>,
    e_x_b: Dff<Bits<8>>,
    e_h_b: Dff<Bits<8>>,
    e_x_bmax: Dff<Bits<8>>,
    e_h_bmax: Dff<Bits<8>>,
    e_value: [Dff<Bits<128>>; 4],
    e_position: [Dff<Bits<128>>; 2],
    e_scale: Dff<Bits<128>>,
    acts: [Signal<Local, Bits<8>>; 32],
    x_byte: [Signal<Local, Bits<8>>; 32],
    h_byte: [Signal<Local, Bits<8>>; 32],
    b: Signal<Local, Bits<8>>,
    bmax: Signal<Local, Bits<8>>,
    top: Signal<Local, Bits<9>>,

    // The lanes' operands.
    d_vld: Dff<Bit>,
    d_block_last: Dff<Bit>,
    d_row_last: Dff<Bit>,
    d_router: Dff<Bit>,
    d_row_first: Dff<Bit>,
    d_lsb: Dff<Bits<10>>,
    d_base: Dff<Bits<9>>,
    d_act: [Dff<Bits<8>>; 32],
    d_acts: Signal<Local, Bits<256>>,
    d_values: [Dff<Bits<64>>; 8],
    d_positions: [Dff<Bits<32>>; 8],
    d_scale: [Dff<Bits<16>>; 8],
    d_scale2: [Dff<Bits<16>>; 8],

    short_modes: Constant<Bit>,
    pairs: Constant<Bit>,
    octets: Constant<Bit>,
}

impl Linear {
    /// The array of a configuration.
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
            groups_router: Default::default(),
            groups_a: Default::default(),
            groups_b: Default::default(),
            words_r: Default::default(),
            words_a: Default::default(),
            words_b: Default::default(),
            kept_d: Default::default(),
            kept_f: Default::default(),
            format: Default::default(),
            sparsity: Default::default(),
            paired: Default::default(),
            bias: Default::default(),
            gated: Default::default(),
            router_bias: Default::default(),
            vis_vld: Default::default(),
            vis_rdy: Default::default(),
            vis_slot: Default::default(),
            vis_kind: Default::default(),
            vis_first: Default::default(),
            vis_expert: Default::default(),
            vis_exp_a: Default::default(),
            vis_exp_b: Default::default(),
            vis_exp_c: Default::default(),
            cur_slot: Default::default(),
            cur_loaded: Default::default(),
            cur_closed: Default::default(),
            cur_total: Default::default(),
            free_vld: Default::default(),
            free_slot: Default::default(),
            x_tokens: Default::default(),
            h_ready: Default::default(),
            q_expert: Default::default(),
            q_index: Default::default(),
            q_token: Default::default(),
            q_weight: Default::default(),
            q_len: Default::default(),
            xmap_token: Default::default(),
            xmap_chunk: Default::default(),
            xmap_bits: Default::default(),
            hmap_q: Default::default(),
            hmap_chunk: Default::default(),
            hmap_bits: Default::default(),
            rd_map_addr: Default::default(),
            rd_map: Default::default(),
            rd_value_addr: Default::default(),
            rd_position_addr: Default::default(),
            rd_scale_addr: Default::default(),
            rd_value: arr(),
            rd_position: arr(),
            rd_scale: Default::default(),
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
            out_pair: Default::default(),
            out_a: Default::default(),
            out_b: Default::default(),
            out_kind: Default::default(),
            out_limb: Default::default(),
            out_row: Default::default(),
            out_token: Default::default(),
            out_q: Default::default(),
            out_lsb_a: Default::default(),
            out_lsb_b: Default::default(),
            out_weight: Default::default(),
            out_expert: Default::default(),
            out_last: Default::default(),
            out_end: Default::default(),
            active: Default::default(),
            macs: Default::default(),
            skipped: Default::default(),
            busy: Default::default(),
            draining: Default::default(),
            wait_window: Default::default(),
            section_done: Default::default(),
            walker: Walker::new(config),
            beats: Beats::new(config),
            control: LaneControl::new(&config.modes),
            granule: (0..LANES).map(|_| Granule::new(&config.modes)).collect(),
            lane: (0..LANES).map(|_| Lane::new(&config.modes)).collect(),
            serialiser: Serialiser::new(config),
            chunks: Default::default(),
            chunk: Default::default(),
            leaving: Default::default(),
            result: Default::default(),
            restart: Default::default(),
            inside: Default::default(),
            hidden_done: Default::default(),
            c_vld: Default::default(),
            c_free: Default::default(),
            c_slot: Default::default(),
            c_kind: Default::default(),
            c_limb: Default::default(),
            c_bias: Default::default(),
            c_biased: Default::default(),
            c_pass: Default::default(),
            c_part: Default::default(),
            c_position_part: Default::default(),
            c_block_last: Default::default(),
            c_row_first: Default::default(),
            c_row_last: Default::default(),
            router: Default::default(),
            c_dense: Default::default(),
            e_vld: Default::default(),
            e_block_last: Default::default(),
            e_row_first: Default::default(),
            e_row_last: Default::default(),
            e_router: Default::default(),
            e_down: Default::default(),
            e_bias: Default::default(),
            e_biased: Default::default(),
            e_take: Default::default(),
            e_first_pass: Default::default(),
            e_part: Default::default(),
            e_dense: Default::default(),
            e_pick: Default::default(),
            e_short: Default::default(),
            e_double: Default::default(),
            e_eighth: Default::default(),
            e_quads: Default::default(),
            e_x: Default::default(),
            e_h: Default::default(),
            e_x_b: Default::default(),
            e_h_b: Default::default(),
            e_x_bmax: Default::default(),
            e_h_bmax: Default::default(),
            e_value: arr(),
            e_position: arr(),
            e_scale: Default::default(),
            acts: arr(),
            x_byte: arr(),
            h_byte: arr(),
            b: Default::default(),
            bmax: Default::default(),
            top: Default::default(),
            d_vld: Default::default(),
            d_block_last: Default::default(),
            d_row_last: Default::default(),
            d_router: Default::default(),
            d_row_first: Default::default(),
            d_lsb: Default::default(),
            d_base: Default::default(),
            d_act: arr(),
            d_acts: Default::default(),
            d_values: arr(),
            d_positions: arr(),
            d_scale: arr(),
            d_scale2: arr(),
            short_modes: Constant::new(config.modes.int4 || config.modes.fp4),
            pairs: Constant::new(config.modes.pairs),
            octets: Constant::new(config.modes.octets),
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
            c_vld,
            c_free,
            c_slot,
            c_kind,
            c_limb,
            c_bias,
            c_biased,
            c_pass,
            c_part,
            c_position_part,
            c_block_last,
            c_row_first,
            c_row_last,
            e_vld,
            e_block_last,
            e_row_first,
            e_row_last,
            e_router,
            e_down,
            e_bias,
            e_biased,
            e_take,
            e_first_pass,
            e_part,
            e_dense,
            e_pick,
            e_short,
            e_double,
            e_eighth,
            e_quads,
            e_x,
            e_h,
            e_x_b,
            e_h_b,
            e_x_bmax,
            e_h_bmax,
            e_scale,
            d_vld,
            d_block_last,
            d_row_last,
            d_router,
            d_row_first,
            d_lsb,
            d_base,
            hidden_done
        );

        self.restart.next = self.rst.val() || self.go.val();
        self.inside.next =
            self.walker.draining.val() || self.serialiser.busy.val() || self.leaving.out_vld.val();
        self.hidden_done.d.next = self.h_ready.val() && !self.inside.val();

        // The walk.
        self.walker.clk.next = self.clk.val();
        self.walker.rst.next = self.restart.val();
        self.walker.tokens.next = self.tokens.val();
        self.walker.d.next = self.d.val();
        self.walker.f.next = self.f.val();
        self.walker.experts.next = self.experts.val();
        self.walker.nblk_d.next = self.nblk_d.val();
        self.walker.nblk_f.next = self.nblk_f.val();
        self.walker.groups_router.next = self.groups_router.val();
        self.walker.groups_a.next = self.groups_a.val();
        self.walker.groups_b.next = self.groups_b.val();
        self.walker.words_r.next = self.words_r.val();
        self.walker.words_a.next = self.words_a.val();
        self.walker.words_b.next = self.words_b.val();
        self.walker.paired.next = self.paired.val();
        self.walker.gated.next = self.gated.val();
        self.walker.vis_vld.next = self.vis_vld.val();
        self.walker.vis_slot.next = self.vis_slot.val();
        self.walker.vis_kind.next = self.vis_kind.val();
        self.walker.vis_first.next = self.vis_first.val();
        self.walker.vis_expert.next = self.vis_expert.val();
        self.walker.vis_exp_a.next = self.vis_exp_a.val();
        self.walker.vis_exp_b.next = self.vis_exp_b.val();
        self.walker.vis_exp_c.next = self.vis_exp_c.val();
        self.walker.cur_loaded.next = self.cur_loaded.val();
        self.walker.cur_closed.next = self.cur_closed.val();
        self.walker.cur_total.next = self.cur_total.val();
        self.walker.q_token.next = self.q_token.val();
        self.walker.q_weight.next = self.q_weight.val();
        self.walker.q_len.next = self.q_len.val();
        self.walker.xmap_bits.next = self.xmap_bits.val();
        self.walker.hmap_bits.next = self.hmap_bits.val();
        self.walker.rd_map.next = self.rd_map.val();
        self.vis_rdy.next = self.walker.vis_rdy.val();
        self.cur_slot.next = self.walker.cur_slot.val();
        self.q_expert.next = self.walker.q_expert.val();
        self.q_index.next = self.walker.q_index.val();
        self.xmap_token.next = self.walker.xmap_token.val();
        self.xmap_chunk.next = self.walker.xmap_chunk.val();
        self.hmap_q.next = self.walker.hmap_q.val();
        self.hmap_chunk.next = self.walker.hmap_chunk.val();
        self.rd_map_addr.next = self.walker.rd_map_addr.val();
        self.walker.x_tokens.next = self.x_tokens.val();
        self.walker.h_ready.next = self.hidden_done.q.val();
        self.walker.ch_rdy.next = self.chunks.in_rdy.val();
        self.walker.row_gone.next = self.serialiser.row_gone.val();

        // The queue's output and the beats do not reach each other in one cycle.
        self.chunks.clk.next = self.clk.val();
        self.chunks.rst.next = self.restart.val();
        self.chunks.in_vld.next = self.walker.ch_vld.val();
        self.chunks.in_data.next = bit_cast::<64, 32>(self.walker.ch_mask.val())
            | (bit_cast::<64, 16>(self.walker.ch_base.val()) << bits::<6>(32))
            | (bit_cast::<64, 8>(self.walker.ch_vector.val()) << bits::<6>(48))
            | (bit_cast::<64, 2>(self.walker.ch_kind.val()) << bits::<6>(56))
            | (bit_cast::<64, 1>(self.walker.ch_limb.val().into()) << bits::<6>(58))
            | (bit_cast::<64, 1>(self.walker.ch_last.val().into()) << bits::<6>(59))
            | (bit_cast::<64, 1>(self.walker.ch_free.val().into()) << bits::<6>(60))
            | (bit_cast::<64, 3>(self.walker.ch_slot.val()) << bits::<6>(61));
        self.chunks.out_rdy.next = self.beats.ch_rdy.val();
        self.chunk.next = self.chunks.out_data.val();

        // The beats.
        self.beats.clk.next = self.clk.val();
        self.beats.rst.next = self.restart.val();
        self.beats.format.next = self.format.val();
        self.beats.sparsity.next = self.sparsity.val();
        self.beats.paired.next = self.paired.val();
        self.beats.gated.next = self.gated.val();
        self.beats.bias.next = self.bias.val();
        self.beats.router_bias.next = self.router_bias.val();
        self.beats.nblk_d.next = self.nblk_d.val();
        self.beats.nblk_f.next = self.nblk_f.val();
        self.beats.ch_vld.next = self.chunks.out_vld.val();
        self.beats.ch_mask.next = self.chunk.val().get_bits::<32>(0);
        self.beats.ch_base.next = self.chunk.val().get_bits::<16>(32);
        self.beats.ch_vector.next = self.chunk.val().get_bits::<8>(48);
        self.beats.ch_kind.next = self.chunk.val().get_bits::<2>(56);
        self.beats.ch_limb.next = self.chunk.val().get_bit(58);
        self.beats.ch_last.next = self.chunk.val().get_bit(59);
        self.beats.ch_free.next = self.chunk.val().get_bit(60);
        self.beats.ch_slot.next = self.chunk.val().get_bits::<3>(61);
        self.rd_value_addr.next = self.beats.bt_value_addr.val();
        self.rd_position_addr.next = self.beats.bt_position_addr.val();
        self.rd_scale_addr.next = self.beats.bt_scale_addr.val();
        self.x_region.next = 0.into();
        if self.beats.bt_kind.val() == 0 {
            self.x_region.next = 1.into();
            if self.beats.bt_limb.val() {
                self.x_region.next = 2.into();
            }
        }
        self.x_token.next = self.beats.bt_vector.val();
        self.x_blk.next = self.beats.bt_blk.val();
        self.h_q.next = self.beats.bt_vector.val();
        self.h_blk.next = self.beats.bt_blk.val();
        self.skipped.next = self.beats.skipped.val();

        // The memories answer.
        self.c_vld.d.next = self.beats.bt_vld.val();
        self.c_free.d.next = self.beats.bt_free.val();
        self.c_slot.d.next = self.beats.bt_slot.val();
        self.c_kind.d.next = self.beats.bt_kind.val();
        self.c_limb.d.next = self.beats.bt_limb.val();
        self.c_bias.d.next = self.beats.bt_bias.val();
        self.c_biased.d.next = self.beats.bt_biased.val();
        self.c_pass.d.next = self.beats.bt_pass.val();
        self.c_part.d.next = self.beats.bt_value_part.val();
        self.c_position_part.d.next = self.beats.bt_position_part.val();
        self.c_block_last.d.next = self.beats.bt_block_last.val();
        self.c_row_first.d.next = self.beats.bt_row_first.val();
        self.c_row_last.d.next = self.beats.bt_row_last.val();
        self.free_vld.next = self.c_free.q.val();
        self.free_slot.next = self.c_slot.q.val();
        self.router.next = self.c_kind.q.val() == 0;
        self.c_dense.next = self.router.val() || self.sparsity.val() == 0;

        // Their answers, without logic behind the memories' slow outputs. `e_take` chooses between x (0) and h (1) bit by bit; in the bias
        // block it is the activation itself: 64, for the router 32 and 0.
        self.e_vld.d.next = self.c_vld.q.val();
        self.e_block_last.d.next = self.c_block_last.q.val();
        self.e_row_first.d.next =
            self.c_vld.q.val() && self.c_row_first.q.val() && self.c_pass.q.val() == 0;
        self.e_row_last.d.next = self.c_row_last.q.val();
        self.e_router.d.next = self.router.val();
        self.e_down.d.next = self.c_kind.q.val() == 2;
        self.e_bias.d.next = self.c_bias.q.val();
        self.e_biased.d.next = self.c_biased.q.val();
        self.e_take.d.next = 0.into();
        if self.c_kind.q.val() == 2 {
            self.e_take.d.next = 255.into();
        }
        if self.c_bias.q.val() {
            self.e_take.d.next = 64.into();
            if self.router.val() {
                self.e_take.d.next = 32.into();
                if self.c_limb.q.val() {
                    self.e_take.d.next = 0.into();
                }
            }
        }
        self.e_first_pass.d.next = self.c_pass.q.val() == 0;
        self.e_part.d.next = self.c_part.q.val();
        self.e_dense.d.next = self.c_dense.val();
        self.e_pick.d.next = self.c_pass.q.val();
        if !self.c_dense.val() {
            self.e_pick.d.next = 0.into();
            if self.c_position_part.q.val() {
                self.e_pick.d.next = 3.into();
            }
        }
        self.e_short.d.next =
            self.short_modes.val() && !self.router.val() && self.format.val() != 0;
        self.e_double.d.next = self.pairs.val() && !self.router.val() && self.paired.val();
        self.e_eighth.d.next = self.octets.val() && !self.router.val() && self.sparsity.val() == 4;
        self.e_quads.d.next = self.octets.val() && !self.router.val() && self.sparsity.val() == 1;
        self.e_x.d.next = self.x_data.val();
        self.e_h.d.next = self.h_data.val();
        self.e_x_b.d.next = self.x_b.val();
        self.e_h_b.d.next = self.h_b.val();
        self.e_x_bmax.d.next = self.x_bmax.val();
        self.e_h_bmax.d.next = self.h_bmax.val();
        for i in 0..4 {
            self.e_value[i].clock.next = self.clk.val();
            self.e_value[i].d.next = self.rd_value[i].val();
        }
        for i in 0..2 {
            self.e_position[i].clock.next = self.clk.val();
            self.e_position[i].d.next = self.rd_position[i].val();
        }
        self.e_scale.d.next = self.rd_scale.val();

        // The operands.
        self.d_vld.d.next = self.e_vld.q.val();
        self.d_block_last.d.next = self.e_block_last.q.val();
        self.d_row_last.d.next = self.e_row_last.q.val();
        self.d_router.d.next = self.e_router.q.val();
        self.d_row_first.d.next = self.e_row_first.q.val();
        for i in 0..32 {
            self.x_byte[i].next = self.e_x.q.val().get_bits::<8>(8 * i);
            self.h_byte[i].next = self.e_h.q.val().get_bits::<8>(8 * i);
            self.acts[i].next = (self.x_byte[i].val() & !self.e_take.q.val())
                | (self.h_byte[i].val() & self.e_take.q.val());
            if self.e_bias.q.val() {
                self.acts[i].next = self.e_take.q.val() & 0x60;
            }
            self.d_act[i].clock.next = self.clk.val();
            self.d_act[i].d.next = self.acts[i].val();
        }
        self.d_acts.next = (bit_cast::<256, 8>(self.d_act[0].q.val()) << bits::<8>(0))
            | (bit_cast::<256, 8>(self.d_act[1].q.val()) << bits::<8>(8))
            | (bit_cast::<256, 8>(self.d_act[2].q.val()) << bits::<8>(16))
            | (bit_cast::<256, 8>(self.d_act[3].q.val()) << bits::<8>(24))
            | (bit_cast::<256, 8>(self.d_act[4].q.val()) << bits::<8>(32))
            | (bit_cast::<256, 8>(self.d_act[5].q.val()) << bits::<8>(40))
            | (bit_cast::<256, 8>(self.d_act[6].q.val()) << bits::<8>(48))
            | (bit_cast::<256, 8>(self.d_act[7].q.val()) << bits::<8>(56))
            | (bit_cast::<256, 8>(self.d_act[8].q.val()) << bits::<8>(64))
            | (bit_cast::<256, 8>(self.d_act[9].q.val()) << bits::<8>(72))
            | (bit_cast::<256, 8>(self.d_act[10].q.val()) << bits::<8>(80))
            | (bit_cast::<256, 8>(self.d_act[11].q.val()) << bits::<8>(88))
            | (bit_cast::<256, 8>(self.d_act[12].q.val()) << bits::<8>(96))
            | (bit_cast::<256, 8>(self.d_act[13].q.val()) << bits::<8>(104))
            | (bit_cast::<256, 8>(self.d_act[14].q.val()) << bits::<8>(112))
            | (bit_cast::<256, 8>(self.d_act[15].q.val()) << bits::<8>(120))
            | (bit_cast::<256, 8>(self.d_act[16].q.val()) << bits::<8>(128))
            | (bit_cast::<256, 8>(self.d_act[17].q.val()) << bits::<8>(136))
            | (bit_cast::<256, 8>(self.d_act[18].q.val()) << bits::<8>(144))
            | (bit_cast::<256, 8>(self.d_act[19].q.val()) << bits::<8>(152))
            | (bit_cast::<256, 8>(self.d_act[20].q.val()) << bits::<8>(160))
            | (bit_cast::<256, 8>(self.d_act[21].q.val()) << bits::<8>(168))
            | (bit_cast::<256, 8>(self.d_act[22].q.val()) << bits::<8>(176))
            | (bit_cast::<256, 8>(self.d_act[23].q.val()) << bits::<8>(184))
            | (bit_cast::<256, 8>(self.d_act[24].q.val()) << bits::<8>(192))
            | (bit_cast::<256, 8>(self.d_act[25].q.val()) << bits::<8>(200))
            | (bit_cast::<256, 8>(self.d_act[26].q.val()) << bits::<8>(208))
            | (bit_cast::<256, 8>(self.d_act[27].q.val()) << bits::<8>(216))
            | (bit_cast::<256, 8>(self.d_act[28].q.val()) << bits::<8>(224))
            | (bit_cast::<256, 8>(self.d_act[29].q.val()) << bits::<8>(232))
            | (bit_cast::<256, 8>(self.d_act[30].q.val()) << bits::<8>(240))
            | (bit_cast::<256, 8>(self.d_act[31].q.val()) << bits::<8>(248));
        self.b.next = self.e_x_b.q.val();
        self.bmax.next = self.e_x_bmax.q.val();
        if self.e_down.q.val() {
            self.b.next = self.e_h_b.q.val();
            self.bmax.next = self.e_h_bmax.q.val();
        }
        if self.e_bias.q.val() {
            self.b.next = 127.into();
        }
        if self.e_biased.q.val() && !self.bmax.val().get_bit(7) {
            self.bmax.next = 127.into();
        }
        self.top.next = bit_cast::<9, 8>(self.bmax.val()) + 30;
        self.d_base.d.next = self.top.val() - bit_cast::<9, 8>(self.b.val());
        self.d_lsb.d.next = bit_cast::<10, 8>(self.bmax.val()) - 129;
        if self.e_router.q.val() {
            self.d_lsb.d.next = bit_cast::<10, 8>(self.bmax.val()) - 136;
        }
        for i in 0..4 {
            self.granule[2 * i].word.next = self.e_value[i].q.val().get_bits::<64>(0);
            self.granule[2 * i + 1].word.next = self.e_value[i].q.val().get_bits::<64>(64);
        }
        for i in 0..2 {
            self.granule[4 * i].index.next = self.e_position[i].q.val().get_bits::<32>(0);
            self.granule[4 * i + 1].index.next = self.e_position[i].q.val().get_bits::<32>(32);
            self.granule[4 * i + 2].index.next = self.e_position[i].q.val().get_bits::<32>(64);
            self.granule[4 * i + 3].index.next = self.e_position[i].q.val().get_bits::<32>(96);
        }
        for i in 0..8 {
            self.granule[i].part.next = self.e_part.q.val();
            self.granule[i].nibbles.next = self.e_short.q.val();
            self.granule[i].twofold.next = self.e_double.q.val();
            self.granule[i].eighth.next = self.e_eighth.q.val();
            self.granule[i].quads.next = self.e_quads.q.val();
            self.granule[i].dense.next = self.e_dense.q.val();
            self.granule[i].pick.next = self.e_pick.q.val();
            self.d_values[i].clock.next = self.clk.val();
            self.d_values[i].d.next = self.granule[i].values.val();
            self.d_positions[i].clock.next = self.clk.val();
            self.d_positions[i].d.next = self.granule[i].positions.val();
            self.d_scale[i].clock.next = self.clk.val();
            self.d_scale[i].d.next = self.d_scale[i].q.val();
            // Of a pair the second row's scale comes with the second pass.
            if self.e_first_pass.q.val() {
                self.d_scale[i].d.next = self.e_scale.q.val().get_bits::<16>(16 * i);
            }
            self.d_scale2[i].clock.next = self.clk.val();
            self.d_scale2[i].d.next = self.e_scale.q.val().get_bits::<16>(16 * i);
        }

        // The lanes.
        self.control.clk.next = self.clk.val();
        self.control.rst.next = self.restart.val();
        self.control.vld.next = self.d_vld.q.val();
        self.control.block_last.next = self.d_block_last.q.val();
        self.control.row_last.next = self.d_row_last.q.val();
        self.control.format.next = self.format.val();
        self.control.paired.next = self.paired.val() && !self.d_router.q.val();
        if self.d_router.q.val() {
            self.control.format.next = 0.into();
        }
        self.control.base.next = self.d_base.q.val();
        for i in 0..8 {
            self.lane[i].clk.next = self.clk.val();
            self.lane[i].ctl.next = self.control.ctl.val();
            self.lane[i].acts.next = self.d_acts.val();
            self.lane[i].values.next = self.d_values[i].q.val();
            self.lane[i].positions.next = self.d_positions[i].q.val();
            self.lane[i].scale.next = self.d_scale[i].q.val();
            self.lane[i].scale2.next = self.d_scale2[i].q.val();
        }
        self.active.next = self.d_vld.q.val();

        // Their sums.
        self.serialiser.clk.next = self.clk.val();
        self.serialiser.rst.next = self.restart.val();
        self.serialiser.paired.next = self.paired.val();
        self.serialiser.gated.next = self.gated.val();
        self.serialiser.d.next = self.d.val();
        self.serialiser.kept_d.next = self.kept_d.val();
        self.serialiser.kept_f.next = self.kept_f.val();
        self.serialiser.out_rdy.next = self.leaving.in_rdy.val();
        self.serialiser.row_vld.next = self.walker.row_vld.val();
        self.serialiser.row_group.next = self.walker.row_group.val();
        self.serialiser.row_count.next = self.walker.row_count.val();
        self.serialiser.row_last.next = self.walker.row_last.val();
        self.serialiser.row_end.next = self.walker.row_end.val();
        self.serialiser.row_token.next = self.walker.row_token.val();
        self.serialiser.row_q.next = self.walker.row_q.val();
        self.serialiser.row_weight.next = self.walker.row_weight.val();
        self.serialiser.row_kind.next = self.walker.row_kind.val();
        self.serialiser.row_limb.next = self.walker.row_limb.val();
        self.serialiser.row_exp_a.next = self.walker.row_exp_a.val();
        self.serialiser.row_exp_b.next = self.walker.row_exp_b.val();
        self.serialiser.row_expert.next = self.walker.row_expert.val();
        self.serialiser.lsb_vld.next = self.d_row_first.q.val();
        self.serialiser.lsb_data.next = self.d_lsb.q.val();
        self.serialiser.in_vld.next = self.control.out_vld.val();
        for i in 0..8 {
            self.serialiser.in_acc[i].next = self.lane[i].out_acc.val();
            self.serialiser.in2_acc[i].next = self.lane[i].out2_acc.val();
        }
        self.leaving.clk.next = self.clk.val();
        self.leaving.rst.next = self.restart.val();
        self.leaving.in_vld.next = self.serialiser.out_vld.val();
        self.leaving.in_data.next = bit_cast::<158, 36>(self.serialiser.out_a.val())
            | (bit_cast::<158, 36>(self.serialiser.out_b.val()) << bits::<8>(36))
            | (bit_cast::<158, 16>(self.serialiser.out_row.val()) << bits::<8>(72))
            | (bit_cast::<158, 8>(self.serialiser.out_token.val()) << bits::<8>(88))
            | (bit_cast::<158, 8>(self.serialiser.out_q.val()) << bits::<8>(96))
            | (bit_cast::<158, 20>(self.serialiser.out_weight.val()) << bits::<8>(104))
            | (bit_cast::<158, 8>(self.serialiser.out_expert.val()) << bits::<8>(124))
            | (bit_cast::<158, 10>(self.serialiser.out_lsb_a.val().get_bits::<10>(0))
                << bits::<8>(132))
            | (bit_cast::<158, 10>(self.serialiser.out_lsb_b.val().get_bits::<10>(0))
                << bits::<8>(142))
            | (bit_cast::<158, 2>(self.serialiser.out_kind.val()) << bits::<8>(152))
            | (bit_cast::<158, 1>(self.serialiser.out_pair.val().into()) << bits::<8>(154))
            | (bit_cast::<158, 1>(self.serialiser.out_limb.val().into()) << bits::<8>(155))
            | (bit_cast::<158, 1>(self.serialiser.out_last.val().into()) << bits::<8>(156))
            | (bit_cast::<158, 1>(self.serialiser.out_end.val().into()) << bits::<8>(157));
        self.leaving.out_rdy.next = self.out_rdy.val();
        self.result.next = self.leaving.out_data.val();
        self.out_vld.next = self.leaving.out_vld.val();
        self.out_a.next = self.result.val().get_bits::<36>(0);
        self.out_b.next = self.result.val().get_bits::<36>(36);
        self.out_row.next = self.result.val().get_bits::<16>(72);
        self.out_token.next = self.result.val().get_bits::<8>(88);
        self.out_q.next = self.result.val().get_bits::<8>(96);
        self.out_weight.next = self.result.val().get_bits::<20>(104);
        self.out_expert.next = self.result.val().get_bits::<8>(124);
        self.out_lsb_a.next = unsigned_cast(bit_cast_sx::<16, 10>(signed_cast(
            self.result.val().get_bits::<10>(132),
        )));
        self.out_lsb_b.next = unsigned_cast(bit_cast_sx::<16, 10>(signed_cast(
            self.result.val().get_bits::<10>(142),
        )));
        self.out_kind.next = self.result.val().get_bits::<2>(152);
        self.out_pair.next = self.result.val().get_bit(154);
        self.out_limb.next = self.result.val().get_bit(155);
        self.out_last.next = self.result.val().get_bit(156);
        self.out_end.next = self.result.val().get_bit(157);
        self.macs.next = self.serialiser.macs.val();
        self.section_done.next = self.serialiser.section_done.val();
        self.draining.next = self.inside.val();
        self.busy.next =
            self.walker.busy.val() || self.serialiser.busy.val() || self.leaving.out_vld.val();
        self.wait_window.next = self.walker.wait_window.val();

        if self.restart.val() {
            self.hidden_done.d.next = false;
            self.c_vld.d.next = false;
            self.c_free.d.next = false;
            self.e_vld.d.next = false;
            self.e_row_first.d.next = false;
            self.d_vld.d.next = false;
            self.d_row_first.d.next = false;
        }
    }
}
