//! From chunks to beats: which block and pass enters the lanes in each cycle, and where its weights lie.
//!
//! What: walks the set bits of a chunk's mask, lowest first, then the bias block if the row has one; each block takes the passes of
//! its storage. A row without any block gets one empty one, so that it has a result. Addresses of the slot's banks follow two cycles later.
//! Cost: docs/utilisation.md. Latency: 2 cycles from the chunk to its first beat's flags, 2 more to its addresses.
//! Bottleneck: none; a new chunk starts in the cycle after the last beat of the one before. A chunk without blocks that is not its
//! row's last costs one cycle.
//! Hazards: the serialiser takes the lanes' sums at once, and needs `spacing` cycles for a row; so a row's last beat waits until as many
//! cycles have passed since that of the row before. Nothing behind this point stalls.
//!
//! Not built: taking the next chunk while a row waits for its spacing (it would help rows of two and of thirty beats in turn).

use abi::{Config, BLOCK};
use leaf::prelude::*;

use crate::walker::{constant, ones};

/// Bits of what a beat carries from its chunk: base 16, vector 8, limb, kind 2, free, slot 3.
const INFO: usize = 31;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Beats {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high; also at `go`.
    pub rst: Signal<In, Bit>,
    /// `abi::Format` of the experts.
    pub format: Signal<In, Bits<2>>,
    /// `abi::Sparsity` of the experts.
    pub sparsity: Signal<In, Bits<3>>,
    /// Two rows per lane (not of the router).
    pub paired: Signal<In, Bit>,
    /// Hidden has gate and up.
    pub gated: Signal<In, Bit>,
    /// The experts' rows have a bias block.
    pub bias: Signal<In, Bit>,
    /// The router's rows have one.
    pub router_bias: Signal<In, Bit>,
    /// Blocks of d without bias.
    pub nblk_d: Signal<In, Bits<16>>,
    /// Blocks of f without bias.
    pub nblk_f: Signal<In, Bits<16>>,

    /// A chunk of a group (`Walker`).
    pub ch_vld: Signal<In, Bit>,
    /// Chunk taken.
    pub ch_rdy: Signal<Out, Bit>,
    /// Blocks to walk, without the bias block.
    pub ch_mask: Signal<In, Bits<32>>,
    /// First word of the group.
    pub ch_base: Signal<In, Bits<16>>,
    /// Token, of Down the position in the queue.
    pub ch_vector: Signal<In, Bits<8>>,
    /// Router: the limb of x.
    pub ch_limb: Signal<In, Bit>,
    /// `abi::Kind`.
    pub ch_kind: Signal<In, Bits<2>>,
    /// Last chunk of its group.
    pub ch_last: Signal<In, Bit>,
    /// No chunk, but the end of a visit.
    pub ch_free: Signal<In, Bit>,
    /// See `ch_free`.
    pub ch_slot: Signal<In, Bits<3>>,

    /// A beat; what follows belongs to it. Addresses are those of this cycle, for memories that answer in the next.
    pub bt_vld: Signal<Out, Bit>,
    /// Word of values.
    pub bt_value_addr: Signal<Out, Bits<16>>,
    /// Which 16 bits of a lane's 64 the granule begins with.
    pub bt_value_part: Signal<Out, Bits<2>>,
    /// Word of positions.
    pub bt_position_addr: Signal<Out, Bits<16>>,
    /// Which half of a lane's 32 bits of positions.
    pub bt_position_part: Signal<Out, Bit>,
    /// Word of scales: those of the first rows in pass 0, of second rows in the others.
    pub bt_scale_addr: Signal<Out, Bits<16>>,
    /// Block of the vector.
    pub bt_blk: Signal<Out, Bits<16>>,
    /// Token, of Down the position in the queue.
    pub bt_vector: Signal<Out, Bits<8>>,
    /// Router: the limb of x.
    pub bt_limb: Signal<Out, Bit>,
    /// `abi::Kind`.
    pub bt_kind: Signal<Out, Bits<2>>,
    /// The bias block.
    pub bt_bias: Signal<Out, Bit>,
    /// The row's matrix has a bias block.
    pub bt_biased: Signal<Out, Bit>,
    /// Pass over the block.
    pub bt_pass: Signal<Out, Bits<2>>,
    /// Last pass of the block.
    pub bt_block_last: Signal<Out, Bit>,
    /// First block of the row.
    pub bt_row_first: Signal<Out, Bit>,
    /// Last block of the row.
    pub bt_row_last: Signal<Out, Bit>,
    /// No beat: the slot `bt_slot` is read no more from the next cycle on.
    pub bt_free: Signal<Out, Bit>,
    /// See `bt_free`.
    pub bt_slot: Signal<Out, Bits<3>>,
    /// Beats that were not spent on a row, in the cycle after its last beat.
    pub skipped: Signal<Out, Bits<16>>,

    // The next chunk: its mask, and the mask without its lowest bit.
    p_vld: Dff<Bit>,
    p_mask: Dff<Bits<31>>,
    p_rest: Dff<Bits<32>>,
    p_none: Dff<Bit>,
    p_bias: Dff<Bit>,
    p_last: Dff<Bit>,
    p_info: Dff<Bits<INFO>>,
    p_take: Signal<Local, Bit>,
    take_bias: Signal<Local, Bit>,
    taken: Signal<Local, Bits<32>>,

    // The chunk at work: its mask, that without one and without two bits; whether it has none, or one; whether it has any beat; passes of a
    // block and of this chunk's, less one; the distance behind it.
    a_vld: Dff<Bit>,
    a_mask: Dff<Bits<31>>,
    a_rest: Dff<Bits<31>>,
    a_more: Dff<Bits<32>>,
    a_none: Dff<Bit>,
    a_single: Dff<Bit>,
    a_bias: Dff<Bit>,
    a_last: Dff<Bit>,
    a_beats: Dff<Bit>,
    a_by: Dff<Bits<2>>,
    a_passes: Dff<Bits<2>>,
    a_space: Dff<Bits<4>>,
    a_info: Dff<Bits<INFO>>,
    a_chunk: Dff<Bits<5>>,
    pass: Dff<Bits<2>>,
    fresh: Dff<Bit>,
    spacing: Dff<Bits<4>>,
    near: Dff<Bit>,
    kind: Signal<Local, Bits<2>>,
    router: Signal<Local, Bit>,
    is_free: Signal<Local, Bit>,
    load: Signal<Local, Bit>,
    is_bias: Signal<Local, Bit>,
    chunk_end: Signal<Local, Bit>,
    pass_last: Signal<Local, Bit>,
    held: Signal<Local, Bit>,
    emits: Signal<Local, Bit>,
    row_end: Signal<Local, Bit>,
    advance: Signal<Local, Bit>,
    step: Signal<Local, Bit>,
    mask: Signal<Local, Bits<32>>,
    any: [Signal<Local, Bit>; 7],
    places: [Signal<Local, Bits<2>>; 8],
    nibble: Signal<Local, Bits<3>>,
    place: Signal<Local, Bits<2>>,
    total: Dff<Bits<12>>,
    left: Dff<Bits<12>>,
    left_now: Signal<Local, Bits<12>>,
    p_kind: Signal<Local, Bits<2>>,
    p_empty: Signal<Local, Bit>,
    p_double: Signal<Local, Bit>,
    p_by: Signal<Local, Bits<2>>,
    blocks: Signal<Local, Bits<12>>,
    p_biased: Signal<Local, Bit>,
    begun: Dff<Bit>,
    skip: Dff<Bits<12>>,

    // The beat: flags, then addresses.
    g_vld: Dff<Bit>,
    g_free: Dff<Bit>,
    g_blk: Dff<Bits<12>>,
    g_bias: Dff<Bit>,
    g_biased: Dff<Bit>,
    g_pass: Dff<Bits<2>>,
    g_by: Dff<Bits<2>>,
    g_block_last: Dff<Bit>,
    g_row_first: Dff<Bit>,
    g_row_last: Dff<Bit>,
    g_info: Dff<Bits<INFO>>,
    g_router: Signal<Local, Bit>,
    bias_blk: Signal<Local, Bits<12>>,
    count: Signal<Local, Bits<12>>,
    g_double: Signal<Local, Bit>,
    eighth: Signal<Local, Bit>,
    short: Signal<Local, Bit>,
    value_word: Signal<Local, Bits<12>>,
    value_part: Signal<Local, Bits<2>>,
    position_word: Signal<Local, Bits<12>>,
    scale_word: Signal<Local, Bits<12>>,
    value_addr: Dff<Bits<16>>,
    part: Dff<Bits<2>>,
    position_addr: Dff<Bits<16>>,
    position_part: Dff<Bit>,
    scale_addr: Dff<Bits<16>>,
    h_vld: Dff<Bit>,
    h_free: Dff<Bit>,
    h_blk: Dff<Bits<12>>,
    h_bias: Dff<Bit>,
    h_biased: Dff<Bit>,
    h_pass: Dff<Bits<2>>,
    h_block_last: Dff<Bit>,
    h_row_first: Dff<Bit>,
    h_row_last: Dff<Bit>,
    h_info: Dff<Bits<15>>,

    four_bit: Constant<Bit>,
    octets: Constant<Bit>,
    pairs: Constant<Bit>,
    // What the configuration can count to: bits beyond are no logic.
    block_bits: Constant<Bits<32>>,
    chunk_bits: Constant<Bits<5>>,
    number_bits: Constant<Bits<12>>,
    count_bits: Constant<Bits<12>>,
}

impl Beats {
    /// For an engine of `config`.
    pub fn new(config: &Config) -> Self {
        let modes = &config.modes;
        let blocks = config.d_max.max(config.f_max) / BLOCK;
        Self {
            clk: Default::default(),
            rst: Default::default(),
            format: Default::default(),
            sparsity: Default::default(),
            paired: Default::default(),
            gated: Default::default(),
            bias: Default::default(),
            router_bias: Default::default(),
            nblk_d: Default::default(),
            nblk_f: Default::default(),
            ch_vld: Default::default(),
            ch_rdy: Default::default(),
            ch_mask: Default::default(),
            ch_base: Default::default(),
            ch_vector: Default::default(),
            ch_limb: Default::default(),
            ch_kind: Default::default(),
            ch_last: Default::default(),
            ch_free: Default::default(),
            ch_slot: Default::default(),
            bt_vld: Default::default(),
            bt_value_addr: Default::default(),
            bt_value_part: Default::default(),
            bt_position_addr: Default::default(),
            bt_position_part: Default::default(),
            bt_scale_addr: Default::default(),
            bt_blk: Default::default(),
            bt_vector: Default::default(),
            bt_limb: Default::default(),
            bt_kind: Default::default(),
            bt_bias: Default::default(),
            bt_biased: Default::default(),
            bt_pass: Default::default(),
            bt_block_last: Default::default(),
            bt_row_first: Default::default(),
            bt_row_last: Default::default(),
            bt_free: Default::default(),
            bt_slot: Default::default(),
            skipped: Default::default(),
            p_vld: Default::default(),
            p_mask: Default::default(),
            p_rest: Default::default(),
            p_none: Default::default(),
            p_bias: Default::default(),
            p_last: Default::default(),
            p_info: Default::default(),
            p_take: Default::default(),
            take_bias: Default::default(),
            taken: Default::default(),
            a_vld: Default::default(),
            a_mask: Default::default(),
            a_rest: Default::default(),
            a_more: Default::default(),
            a_none: Default::default(),
            a_single: Default::default(),
            a_bias: Default::default(),
            a_last: Default::default(),
            a_beats: Default::default(),
            a_by: Default::default(),
            a_passes: Default::default(),
            a_space: Default::default(),
            a_info: Default::default(),
            a_chunk: Default::default(),
            pass: Default::default(),
            fresh: Default::default(),
            spacing: Default::default(),
            near: Default::default(),
            kind: Default::default(),
            router: Default::default(),
            is_free: Default::default(),
            load: Default::default(),
            is_bias: Default::default(),
            chunk_end: Default::default(),
            pass_last: Default::default(),
            held: Default::default(),
            emits: Default::default(),
            row_end: Default::default(),
            advance: Default::default(),
            step: Default::default(),
            mask: Default::default(),
            any: arr(),
            places: arr(),
            nibble: Default::default(),
            place: Default::default(),
            total: Default::default(),
            left: Default::default(),
            left_now: Default::default(),
            p_kind: Default::default(),
            p_empty: Default::default(),
            p_double: Default::default(),
            p_by: Default::default(),
            blocks: Default::default(),
            p_biased: Default::default(),
            begun: Default::default(),
            skip: Default::default(),
            g_vld: Default::default(),
            g_free: Default::default(),
            g_blk: Default::default(),
            g_bias: Default::default(),
            g_biased: Default::default(),
            g_pass: Default::default(),
            g_by: Default::default(),
            g_block_last: Default::default(),
            g_row_first: Default::default(),
            g_row_last: Default::default(),
            g_info: Default::default(),
            g_router: Default::default(),
            bias_blk: Default::default(),
            count: Default::default(),
            g_double: Default::default(),
            eighth: Default::default(),
            short: Default::default(),
            value_word: Default::default(),
            value_part: Default::default(),
            position_word: Default::default(),
            scale_word: Default::default(),
            value_addr: Default::default(),
            part: Default::default(),
            position_addr: Default::default(),
            position_part: Default::default(),
            scale_addr: Default::default(),
            h_vld: Default::default(),
            h_free: Default::default(),
            h_blk: Default::default(),
            h_bias: Default::default(),
            h_biased: Default::default(),
            h_pass: Default::default(),
            h_block_last: Default::default(),
            h_row_first: Default::default(),
            h_row_last: Default::default(),
            h_info: Default::default(),
            four_bit: Constant::new(modes.int4 || modes.fp4),
            octets: Constant::new(modes.octets),
            pairs: Constant::new(modes.pairs),
            block_bits: constant((1 << blocks.min(32)) - 1),
            chunk_bits: constant(ones(blocks.div_ceil(32) - 1)),
            number_bits: constant(ones(blocks + 1)),
            count_bits: constant(ones(4 * (blocks + 1))),
        }
    }
}

impl Logic for Beats {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("beats");
        dff_setup!(
            self,
            clk,
            p_vld,
            p_mask,
            p_rest,
            p_none,
            p_bias,
            p_last,
            p_info,
            a_vld,
            a_mask,
            a_rest,
            a_more,
            a_none,
            a_single,
            a_bias,
            a_last,
            a_beats,
            a_by,
            a_passes,
            a_space,
            a_info,
            a_chunk,
            pass,
            fresh,
            spacing,
            near,
            total,
            left,
            begun,
            skip,
            g_vld,
            g_free,
            g_blk,
            g_bias,
            g_biased,
            g_pass,
            g_by,
            g_block_last,
            g_row_first,
            g_row_last,
            g_info,
            value_addr,
            part,
            position_addr,
            position_part,
            scale_addr,
            h_vld,
            h_free,
            h_blk,
            h_bias,
            h_biased,
            h_pass,
            h_block_last,
            h_row_first,
            h_row_last,
            h_info
        );

        // The next chunk: blocks of a row, and what else its kind says.
        self.p_kind.next = self.p_info.q.val().get_bits::<2>(25);
        self.blocks.next = self.nblk_d.val().get_bits::<12>(0);
        if self.p_kind.val() == 2 {
            self.blocks.next = self.nblk_f.val().get_bits::<12>(0);
        }
        self.p_biased.next = self.bias.val();
        if self.p_kind.val() == 0 {
            self.p_biased.next = self.router_bias.val();
        }
        self.p_empty.next = self.p_none.q.val() && !self.p_bias.q.val();
        self.p_double.next = self.pairs.val() && self.paired.val() && self.p_kind.val() != 0;
        self.p_by.next = 0.into();
        if self.sparsity.val() == 1 || self.sparsity.val() == 2 {
            self.p_by.next = 1.into();
        }
        if self.sparsity.val() == 0 || self.p_kind.val() == 0 {
            self.p_by.next = 3.into();
        }

        // The chunk at work: what the present block is, and whether it is the last of chunk and row.
        self.kind.next = self.a_info.q.val().get_bits::<2>(25);
        self.router.next = self.kind.val() == 0;
        self.is_free.next = self.a_info.q.val().get_bit(27);
        self.is_bias.next = self.a_none.q.val() && self.a_bias.q.val();
        self.chunk_end.next =
            self.a_none.q.val() || (self.a_single.q.val() && !self.a_bias.q.val());
        self.pass_last.next = self.pass.q.val() == self.a_passes.q.val();
        self.row_end.next = self.chunk_end.val() && self.a_last.q.val() && self.pass_last.val();
        self.held.next = self.row_end.val() && self.near.q.val();
        self.emits.next = self.a_beats.q.val() && !self.held.val();
        self.advance.next = self.a_vld.q.val()
            && (!self.a_beats.q.val()
                || (!self.held.val() && self.pass_last.val() && self.chunk_end.val()));
        self.load.next = !self.a_vld.q.val() || self.advance.val();
        self.step.next = self.emits.val() && self.pass_last.val();
        if self.emits.val() {
            self.pass.d.next = self.pass.q.val() + 1;
        }
        if self.step.val() {
            self.pass.d.next = 0.into();
            self.fresh.d.next = self.row_end.val();
            self.a_mask.d.next = self.a_rest.q.val();
            self.a_rest.d.next = self.a_more.q.val().get_bits::<31>(0);
            self.a_more.d.next =
                self.a_more.q.val() & (self.a_more.q.val() - 1) & self.block_bits.val();
            self.a_none.d.next = self.a_single.q.val();
            self.a_single.d.next = self.a_more.q.val() == 0;
        }
        if self.load.val() {
            self.a_vld.d.next = self.p_vld.q.val();
            self.a_mask.d.next = self.p_mask.q.val();
            self.a_rest.d.next = self.p_rest.q.val().get_bits::<31>(0);
            self.a_more.d.next =
                self.p_rest.q.val() & (self.p_rest.q.val() - 1) & self.block_bits.val();
            self.a_none.d.next = self.p_none.q.val();
            self.a_single.d.next = self.p_rest.q.val() == 0;
            self.a_bias.d.next = self.p_bias.q.val();
            self.a_last.d.next = self.p_last.q.val();
            self.a_info.d.next = self.p_info.q.val();
            // A chunk without blocks is a beat only if it is the last of its row.
            self.a_beats.d.next = self.p_vld.q.val()
                && !self.p_info.q.val().get_bit(27)
                && (!self.p_empty.val() || self.p_last.q.val());
            self.a_by.d.next = self.p_by.val();
            self.a_passes.d.next = self.p_by.val();
            if self.p_empty.val() {
                self.a_passes.d.next = bit_cast::<2, 1>(self.p_double.val().into());
            }
            self.a_space.d.next = 7.into();
            if self.gated.val() && self.p_kind.val() == 1 {
                if !self.p_double.val() {
                    self.a_space.d.next = 3.into();
                }
            } else if self.p_double.val() {
                self.a_space.d.next = 15.into();
            }
            self.total.d.next = (self.blocks.val() + bit_cast::<12, 1>(self.p_biased.val().into()))
                & self.number_bits.val();
        }
        if self.advance.val() {
            self.a_chunk.d.next = (self.a_chunk.q.val() + 1) & self.chunk_bits.val();
            if self.a_last.q.val() || self.is_free.val() {
                self.a_chunk.d.next = 0.into();
            }
        }

        // The next chunk.
        self.taken.next = self.ch_mask.val() & self.block_bits.val();
        self.take_bias.next = self.bias.val();
        if self.ch_kind.val() == 0 {
            self.take_bias.next = self.router_bias.val();
        }
        self.p_take.next = !self.p_vld.q.val() || self.load.val();
        self.ch_rdy.next = self.p_take.val();
        if self.p_take.val() {
            self.p_vld.d.next = self.ch_vld.val();
            self.p_mask.d.next = self.taken.val().get_bits::<31>(0);
            self.p_rest.d.next = self.taken.val() & (self.taken.val() - 1);
            self.p_none.d.next = self.taken.val() == 0;
            self.p_bias.d.next = self.take_bias.val() && self.ch_last.val();
            self.p_last.d.next = self.ch_last.val();
            self.p_info.d.next = bit_cast::<31, 16>(self.ch_base.val())
                | (bit_cast::<31, 8>(self.ch_vector.val()) << bits::<5>(16))
                | (bit_cast::<31, 1>(self.ch_limb.val().into()) << bits::<5>(24))
                | (bit_cast::<31, 2>(self.ch_kind.val()) << bits::<5>(25))
                | (bit_cast::<31, 1>(self.ch_free.val().into()) << bits::<5>(27))
                | (bit_cast::<31, 3>(self.ch_slot.val()) << bits::<5>(28));
        }

        // Rows keep their distance.
        self.near.d.next = self.spacing.q.val().get_bits::<3>(1) != 0;
        if self.spacing.q.val() != 0 {
            self.spacing.d.next = self.spacing.q.val() - 1;
        }
        if self.emits.val() && self.row_end.val() {
            self.spacing.d.next = self.a_space.q.val();
            self.near.d.next = true;
        }

        // Beats that a row could have.
        self.left_now.next = self.left.q.val();
        if !self.begun.q.val() {
            self.left_now.next = self.total.q.val();
            if self.a_by.q.val() == 1 {
                self.left_now.next = self.total.q.val() << bits::<1>(1);
            }
            if self.a_by.q.val() == 3 {
                self.left_now.next = self.total.q.val() << bits::<2>(2);
            }
        }
        self.skip.d.next = 0.into();
        if self.emits.val() {
            self.begun.d.next = !self.row_end.val();
            self.left.d.next = (self.left_now.val() - 1) & self.count_bits.val();
            if self.row_end.val() {
                self.skip.d.next = (self.left_now.val() - 1) & self.count_bits.val();
            }
        }
        self.skipped.next = bit_cast::<16, 12>(self.skip.q.val());

        // The lowest bit's number (31 if no other is set): first one of each four, then the first four with one.
        self.mask.next = bit_cast::<32, 31>(self.a_mask.q.val());
        for i in 0..7 {
            self.any[i].next = self.mask.val().get_bits::<4>(4 * i) != 0;
        }
        for i in 0..8 {
            self.places[i].next = 3.into();
            if self.mask.val().get_bit(4 * i) {
                self.places[i].next = 0.into();
            } else if self.mask.val().get_bit(4 * i + 1) {
                self.places[i].next = 1.into();
            } else if self.mask.val().get_bit(4 * i + 2) {
                self.places[i].next = 2.into();
            }
        }
        self.nibble.next = 7.into();
        if self.any[0].val() || self.any[1].val() || self.any[2].val() || self.any[3].val() {
            self.nibble.next = 3.into();
            if self.any[0].val() {
                self.nibble.next = 0.into();
            } else if self.any[1].val() {
                self.nibble.next = 1.into();
            } else if self.any[2].val() {
                self.nibble.next = 2.into();
            }
        } else if self.any[4].val() {
            self.nibble.next = 4.into();
        } else if self.any[5].val() {
            self.nibble.next = 5.into();
        } else if self.any[6].val() {
            self.nibble.next = 6.into();
        }
        self.place.next = self.places[7].val();
        for i in 0..7 {
            if self.nibble.val() == i.to_bits() {
                self.place.next = self.places[i].val();
            }
        }

        // The beat's flags. An empty row's beat is one of its chunk's first block, whose term is zero.
        self.bias_blk.next = self.nblk_d.val().get_bits::<12>(0);
        if self.kind.val() == 2 {
            self.bias_blk.next = self.nblk_f.val().get_bits::<12>(0);
        }
        self.g_blk.d.next = bit_cast::<12, 5>(self.a_chunk.q.val()) << bits::<3>(5);
        if !self.a_none.q.val() {
            self.g_blk.d.next = bit_cast::<12, 2>(self.place.val())
                | (bit_cast::<12, 3>(self.nibble.val()) << bits::<2>(2))
                | (bit_cast::<12, 5>(self.a_chunk.q.val()) << bits::<3>(5));
        }
        if self.is_bias.val() {
            self.g_blk.d.next = self.bias_blk.val() & self.number_bits.val();
        }
        self.g_vld.d.next = self.emits.val();
        self.g_free.d.next = self.a_vld.q.val() && self.is_free.val();
        self.g_bias.d.next = self.is_bias.val();
        self.g_biased.d.next = self.bias.val();
        if self.router.val() {
            self.g_biased.d.next = self.router_bias.val();
        }
        self.g_pass.d.next = self.pass.q.val();
        self.g_by.d.next = self.a_by.q.val();
        self.g_block_last.d.next = self.pass_last.val();
        self.g_row_first.d.next = self.fresh.q.val();
        self.g_row_last.d.next = self.chunk_end.val() && self.a_last.q.val();
        self.g_info.d.next = self.a_info.q.val();

        // Its addresses: the number of the pass in the row, and how many of them share a word.
        self.g_router.next = self.g_info.q.val().get_bits::<2>(25) == 0;
        self.g_double.next = self.pairs.val() && self.paired.val() && !self.g_router.val();
        self.count.next = self.g_blk.q.val();
        if self.g_by.q.val() == 1 {
            self.count.next =
                (self.g_blk.q.val() << bits::<1>(1)) | bit_cast::<12, 2>(self.g_pass.q.val());
        }
        if self.g_by.q.val() == 3 {
            self.count.next =
                (self.g_blk.q.val() << bits::<2>(2)) | bit_cast::<12, 2>(self.g_pass.q.val());
        }
        self.eighth.next = self.octets.val() && self.sparsity.val() == 4 && !self.g_router.val();
        self.short.next = self.four_bit.val()
            && self.format.val() != 0
            && !self.g_router.val()
            && !self.g_double.val();
        self.value_word.next = self.count.val();
        self.value_part.next = 0.into();
        if self.eighth.val() || self.short.val() {
            self.value_word.next = self.count.val() >> bits::<1>(1);
            self.value_part.next = self.count.val().get_bits::<2>(0) << bits::<1>(1);
        }
        if self.eighth.val() && self.short.val() {
            self.value_word.next = self.count.val() >> bits::<2>(2);
            self.value_part.next = self.count.val().get_bits::<2>(0);
        }
        self.position_word.next = self.count.val() >> bits::<1>(1);
        if self.octets.val() && self.sparsity.val() == 1 {
            self.position_word.next = self.count.val();
        }
        self.scale_word.next = self.g_blk.q.val();
        if self.g_double.val() {
            self.scale_word.next = (self.g_blk.q.val() << bits::<1>(1))
                | bit_cast::<12, 1>((self.g_pass.q.val() != 0).into());
        }
        self.value_addr.d.next =
            self.g_info.q.val().get_bits::<16>(0) + bit_cast::<16, 12>(self.value_word.val());
        self.part.d.next = self.value_part.val();
        self.position_addr.d.next =
            self.g_info.q.val().get_bits::<16>(0) + bit_cast::<16, 12>(self.position_word.val());
        self.position_part.d.next =
            self.count.val().get_bit(0) && !(self.octets.val() && self.sparsity.val() == 1);
        self.scale_addr.d.next =
            self.g_info.q.val().get_bits::<16>(0) + bit_cast::<16, 12>(self.scale_word.val());
        self.h_vld.d.next = self.g_vld.q.val();
        self.h_free.d.next = self.g_free.q.val();
        self.h_blk.d.next = self.g_blk.q.val();
        self.h_bias.d.next = self.g_bias.q.val();
        self.h_biased.d.next = self.g_biased.q.val();
        self.h_pass.d.next = self.g_pass.q.val();
        self.h_block_last.d.next = self.g_block_last.q.val();
        self.h_row_first.d.next = self.g_row_first.q.val();
        self.h_row_last.d.next = self.g_row_last.q.val();
        self.h_info.d.next = self.g_info.q.val().get_bits::<15>(16);
        self.bt_vld.next = self.h_vld.q.val();
        self.bt_value_addr.next = self.value_addr.q.val();
        self.bt_value_part.next = self.part.q.val();
        self.bt_position_addr.next = self.position_addr.q.val();
        self.bt_position_part.next = self.position_part.q.val();
        self.bt_scale_addr.next = self.scale_addr.q.val();
        self.bt_blk.next = bit_cast::<16, 12>(self.h_blk.q.val());
        self.bt_vector.next = self.h_info.q.val().get_bits::<8>(0);
        self.bt_limb.next = self.h_info.q.val().get_bit(8);
        self.bt_kind.next = self.h_info.q.val().get_bits::<2>(9);
        self.bt_bias.next = self.h_bias.q.val();
        self.bt_biased.next = self.h_biased.q.val();
        self.bt_pass.next = self.h_pass.q.val();
        self.bt_block_last.next = self.h_block_last.q.val();
        self.bt_row_first.next = self.h_row_first.q.val();
        self.bt_row_last.next = self.h_row_last.q.val();
        self.bt_free.next = self.h_free.q.val();
        self.bt_slot.next = self.h_info.q.val().get_bits::<3>(12);

        if self.rst.val() {
            self.p_vld.d.next = false;
            self.a_vld.d.next = false;
            self.a_beats.d.next = false;
            self.a_chunk.d.next = 0.into();
            self.pass.d.next = 0.into();
            self.fresh.d.next = true;
            self.begun.d.next = false;
            self.spacing.d.next = 0.into();
            self.near.d.next = false;
            self.skip.d.next = 0.into();
            self.g_vld.d.next = false;
            self.g_free.d.next = false;
            self.h_vld.d.next = false;
            self.h_free.d.next = false;
        }
    }
}
