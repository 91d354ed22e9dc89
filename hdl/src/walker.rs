//! The walk over visits, vectors and groups: what the array computes next, as a stream of chunks.
//!
//! What: a visit is a slot that the loader fills. Its groups are one segment (of the router, of Hidden or a plain layer, or of Down) or
//! two (the end of Hidden and the start of Down). A segment is walked vector by vector, group by group; a group of up to 32 blocks is one
//! chunk, a longer one several. A chunk carries the set of its blocks that are not zero: the maps of vector and weights are read here, so
//! far ahead of the array that their latency does not show. During a segment's first vector the walk follows the loader, group by
//! group. For each group the description of its rows (`row_*`) goes to the serialiser.
//! Cost: docs/utilisation.md. Latency: 5 cycles from a visit to its first chunk's issue, 4 to the chunk at the output.
//! Bottleneck: two cycles a group and one more for each further chunk, four more a vector; the array takes as long or longer as soon
//! as a group has two to three blocks, and 16 chunks wait in between.
//! Hazards: a group is issued only with a place for its results and its chunks only with a place in the queue; both are rings whose
//! writer stops one short of the reader. Flags made of counters (`at_*`) are one cycle old, so a state that uses them never follows one that moves a
//! counter. The last chunk of a visit is empty and carries `free`: the slot is handed back when it has passed the array, behind all that
//! reads the slot. Whether the slot or the section ends first is not known before: a vector ends with the section's last group, or
//! where the loader says that the slot has no more groups.
//!
//! Not built: looking up the next vector's token during the walk. Reconsider if segments of one or two groups and many vectors matter.

use abi::config::LANES;
use abi::{Config, BLOCK};
use leaf::prelude::*;

/// Places for groups whose results are under way or waiting, and for chunks; one of each always stays free.
pub const PLACES: usize = 16;

/// Bits of a chunk beside its mask: base 16, vector 8, limb, kind 2, last, free, slot 3.
const INFO: usize = 32;

/// What the walk does.
#[derive(Copy, Clone, PartialEq, Debug, LogicState)]
enum State {
    /// Waits for a visit.
    Idle,
    /// A segment's numbers follow from its kind.
    Open,
    /// The queue is asked for the vector's token.
    Look,
    /// The token arrives.
    Token,
    /// The flags made of counters follow.
    Settle,
    /// Issues the first chunk of a group.
    Group,
    /// Issues its further chunks.
    Chunk,
    /// As `Settle`, behind a segment.
    Rest,
    /// Decides whether the slot has another segment.
    Close,
}

/// See the module's page.
#[derive(LogicBlock)]
pub struct Walker {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high; also at `go`.
    pub rst: Signal<In, Bit>,

    /// T.
    pub tokens: Signal<In, Bits<16>>,
    /// Model width.
    pub d: Signal<In, Bits<16>>,
    /// Expert width, or outputs of a plain layer.
    pub f: Signal<In, Bits<16>>,
    /// E.
    pub experts: Signal<In, Bits<16>>,
    /// Two rows per lane (not of the router).
    pub paired: Signal<In, Bit>,
    /// Hidden has gate and up.
    pub gated: Signal<In, Bit>,
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

    /// Tokens of x that are stored.
    pub x_tokens: Signal<In, Bits<9>>,
    /// The hidden vectors of the expert are complete, if no row is `draining`.
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

    /// A chunk of a group.
    pub ch_vld: Signal<Out, Bit>,
    /// Chunk taken.
    pub ch_rdy: Signal<In, Bit>,
    /// Blocks to walk, without the bias block.
    pub ch_mask: Signal<Out, Bits<32>>,
    /// First word of the group.
    pub ch_base: Signal<Out, Bits<16>>,
    /// Token, of Down the position in the queue.
    pub ch_vector: Signal<Out, Bits<8>>,
    /// Router: the limb of x: 0 hi, 1 lo.
    pub ch_limb: Signal<Out, Bit>,
    /// `abi::Kind`.
    pub ch_kind: Signal<Out, Bits<2>>,
    /// Last chunk of its group.
    pub ch_last: Signal<Out, Bit>,
    /// No chunk, but the end of a visit: `ch_slot` has been read.
    pub ch_free: Signal<Out, Bit>,
    /// See `ch_free`.
    pub ch_slot: Signal<Out, Bits<3>>,

    /// A group was issued: one entry for the serialiser, in order.
    pub row_vld: Signal<Out, Bit>,
    /// Its number in the section.
    pub row_group: Signal<Out, Bits<16>>,
    /// Its results that are not filling, less one; a result is a row, or a pair of gate and up.
    pub row_count: Signal<Out, Bits<4>>,
    /// Last group of the section's last vector.
    pub row_last: Signal<Out, Bit>,
    /// Last group of the section.
    pub row_end: Signal<Out, Bit>,
    /// Token.
    pub row_token: Signal<Out, Bits<8>>,
    /// Position in the queue; no meaning for the router.
    pub row_q: Signal<Out, Bits<8>>,
    /// Router weight; no meaning for the router.
    pub row_weight: Signal<Out, Bits<20>>,
    /// `abi::Kind`.
    pub row_kind: Signal<Out, Bits<2>>,
    /// Router: the limb of x.
    pub row_limb: Signal<Out, Bit>,
    /// Exponent of the matrix, signed; of a pair the gate's.
    pub row_exp_a: Signal<Out, Bits<10>>,
    /// That of up.
    pub row_exp_b: Signal<Out, Bits<10>>,
    /// Expert.
    pub row_expert: Signal<Out, Bits<8>>,
    /// The last result of a group leaves the serialiser.
    pub row_gone: Signal<In, Bit>,

    /// Groups have been issued whose results have not left.
    pub draining: Signal<Out, Bit>,
    /// A visit is being walked, or something issued is under way.
    pub busy: Signal<Out, Bit>,
    /// Nothing to walk: no visit, or its next group is not in memory.
    pub wait_window: Signal<Out, Bit>,

    // The visit and its segment.
    state: Dff<State>,
    slot: Dff<Bits<3>>,
    kind: Dff<Bits<2>>,
    expert: Dff<Bits<8>>,
    first: Dff<Bits<16>>,
    exps: [Dff<Bits<10>>; 3],
    seg_base: Dff<Bits<16>>,
    seg_start: Dff<Bits<16>>,
    words: Dff<Bits<16>>,
    last_chunk: Dff<Bits<5>>,
    tail: Dff<Bits<4>>,
    full: Dff<Bits<4>>,
    idle: Signal<Local, Bit>,
    again: Signal<Local, Bit>,
    slot_base: Signal<Local, Bits<16>>,
    groups: Signal<Local, Bits<16>>,
    rows: Signal<Local, Bits<4>>,
    group_words: Signal<Local, Bits<16>>,
    blocks: Signal<Local, Bits<16>>,
    blocks_less: Signal<Local, Bits<16>>,
    last_result: Signal<Local, Bits<4>>,
    router: Signal<Local, Bit>,
    down: Signal<Local, Bit>,
    pairs: Signal<Local, Bit>,
    double: Signal<Local, Bit>,

    // The place in the segment: vector, group in the slot and in the section, its first word, chunk.
    vec: Dff<Bits<9>>,
    pos: Dff<Bits<16>>,
    group: Dff<Bits<16>>,
    base: Dff<Bits<16>>,
    chunk: Dff<Bits<5>>,
    // The token: named by the queue, or half of the router's vector.
    named: Dff<Bits<8>>,
    half: Dff<Bits<8>>,
    halved: Dff<Bit>,
    token: Signal<Local, Bits<8>>,
    weight: Dff<Bits<20>>,
    ended: Dff<Bit>,
    next_group: Signal<Local, Bits<16>>,
    next_vec: Signal<Local, Bits<9>>,
    next_chunk: Signal<Local, Bits<5>>,
    vectors: Signal<Local, Bits<9>>,
    // Flags made of the above, one cycle old.
    at_limit: Dff<Bit>,
    at_total: Dff<Bit>,
    at_section: Dff<Bit>,
    last_vector: Dff<Bit>,
    hidden: Dff<Bit>,
    stored: Dff<Bit>,
    chunk_last: Dff<Bit>,
    opens: Signal<Local, Bit>,
    continues: Signal<Local, Bit>,
    frees: Signal<Local, Bit>,
    issues: Signal<Local, Bit>,
    group_end: Signal<Local, Bit>,
    vector_end: Signal<Local, Bit>,

    // The rings: the next place to give, and the oldest in use.
    place: Dff<Bits<4>>,
    oldest: Dff<Bits<4>>,
    given: Dff<Bits<4>>,
    write: Dff<Bits<4>>,
    read: Dff<Bits<4>>,
    next_place: Signal<Local, Bits<4>>,
    next_given: Signal<Local, Bits<4>>,
    no_place: Dff<Bit>,
    no_room: Dff<Bit>,

    // The chunk on its way: addresses, data of the maps, mask.
    f_vld: [Dff<Bit>; 3],
    f_info: [Dff<Bits<INFO>>; 3],
    f_chunk: Dff<Bits<8>>,
    f_map_addr: Dff<Bits<16>>,
    f_mask: Dff<Bits<32>>,
    vector: Signal<Local, Bits<8>>,
    bits: Signal<Local, Bits<32>>,
    queue_mask: Dram<32, 4>,
    queue_info: Dram<INFO, 4>,
    pops: Signal<Local, Bit>,
    info: Signal<Local, Bits<INFO>>,

    // The row's description, one cycle after its issue; what does not change so soon is read where it stands.
    m_vld: Dff<Bit>,
    m_group: Dff<Bits<16>>,
    m_count: Dff<Bits<4>>,
    m_last: Dff<Bit>,
    m_end: Dff<Bit>,
    m_q: Dff<Bits<8>>,

    // What the configuration can count to: bits beyond are no logic.
    bases: [Constant<Bits<16>>; 6],
    word_bits: Constant<Bits<16>>,
    slot_group_bits: Constant<Bits<16>>,
    group_bits: Constant<Bits<16>>,
    token_bits: Constant<Bits<8>>,
    vector_bits: Constant<Bits<9>>,
    expert_bits: Constant<Bits<8>>,
    slot_bits: Constant<Bits<3>>,
    chunk_bits: Constant<Bits<5>>,
    block_bits: Constant<Bits<32>>,
}

/// A constant of `W` bits.
pub(crate) fn constant<const W: usize>(x: usize) -> Constant<Bits<W>> {
    Constant::new((x as u64).to_bits())
}

/// The smallest number of ones, read as a number, that is not below `most`.
pub(crate) fn ones(most: usize) -> usize {
    (most + 1).next_power_of_two() - 1
}

/// The first word of slot `i`: those of experts, then two of the router.
fn base(config: &Config, i: usize) -> usize {
    let router = i.saturating_sub(config.slots);
    i.min(config.slots) * config.slot_words + router * config.router_words
}

impl Walker {
    /// The walk over the slots of a configuration.
    pub fn new(config: &Config) -> Self {
        let rows = config.d_max.max(config.f_max).max(2 * config.experts_max);
        let blocks = config.d_max.max(config.f_max) / BLOCK;
        Self {
            clk: Default::default(),
            rst: Default::default(),
            tokens: Default::default(),
            d: Default::default(),
            f: Default::default(),
            experts: Default::default(),
            paired: Default::default(),
            gated: Default::default(),
            nblk_d: Default::default(),
            nblk_f: Default::default(),
            groups_router: Default::default(),
            groups_a: Default::default(),
            groups_b: Default::default(),
            words_r: Default::default(),
            words_a: Default::default(),
            words_b: Default::default(),
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
            row_vld: Default::default(),
            row_group: Default::default(),
            row_count: Default::default(),
            row_last: Default::default(),
            row_end: Default::default(),
            row_token: Default::default(),
            row_q: Default::default(),
            row_weight: Default::default(),
            row_kind: Default::default(),
            row_limb: Default::default(),
            row_exp_a: Default::default(),
            row_exp_b: Default::default(),
            row_expert: Default::default(),
            row_gone: Default::default(),
            draining: Default::default(),
            busy: Default::default(),
            wait_window: Default::default(),
            state: Default::default(),
            slot: Default::default(),
            kind: Default::default(),
            expert: Default::default(),
            first: Default::default(),
            exps: arr(),
            seg_base: Default::default(),
            seg_start: Default::default(),
            words: Default::default(),
            last_chunk: Default::default(),
            tail: Default::default(),
            full: Default::default(),
            idle: Default::default(),
            again: Default::default(),
            slot_base: Default::default(),
            groups: Default::default(),
            rows: Default::default(),
            group_words: Default::default(),
            blocks: Default::default(),
            blocks_less: Default::default(),
            last_result: Default::default(),
            router: Default::default(),
            down: Default::default(),
            pairs: Default::default(),
            double: Default::default(),
            vec: Default::default(),
            pos: Default::default(),
            group: Default::default(),
            base: Default::default(),
            chunk: Default::default(),
            named: Default::default(),
            half: Default::default(),
            halved: Default::default(),
            token: Default::default(),
            weight: Default::default(),
            ended: Default::default(),
            next_group: Default::default(),
            next_vec: Default::default(),
            next_chunk: Default::default(),
            vectors: Default::default(),
            at_limit: Default::default(),
            at_total: Default::default(),
            at_section: Default::default(),
            last_vector: Default::default(),
            hidden: Default::default(),
            stored: Default::default(),
            chunk_last: Default::default(),
            opens: Default::default(),
            continues: Default::default(),
            frees: Default::default(),
            issues: Default::default(),
            group_end: Default::default(),
            vector_end: Default::default(),
            place: Default::default(),
            oldest: Default::default(),
            given: Default::default(),
            write: Default::default(),
            read: Default::default(),
            next_place: Default::default(),
            next_given: Default::default(),
            no_place: Default::default(),
            no_room: Default::default(),
            f_vld: arr(),
            f_info: arr(),
            f_chunk: Default::default(),
            f_map_addr: Default::default(),
            f_mask: Default::default(),
            vector: Default::default(),
            bits: Default::default(),
            queue_mask: Dram::new(PLACES),
            queue_info: Dram::new(PLACES),
            pops: Default::default(),
            info: Default::default(),
            m_vld: Default::default(),
            m_group: Default::default(),
            m_count: Default::default(),
            m_last: Default::default(),
            m_end: Default::default(),
            m_q: Default::default(),
            bases: std::array::from_fn(|i| constant(base(config, i))),
            word_bits: constant(ones(base(config, config.slots + 2) - 1)),
            slot_group_bits: constant(ones(config.slot_words.max(config.router_words))),
            group_bits: constant(ones(rows / (LANES / 2))),
            token_bits: constant(config.tokens_max - 1),
            vector_bits: constant(2 * config.tokens_max - 1),
            expert_bits: constant(config.experts_max - 1),
            slot_bits: constant(ones(config.slots + 1)),
            chunk_bits: constant(ones(blocks.div_ceil(32) - 1)),
            block_bits: constant((1 << blocks.min(32)) - 1),
        }
    }
}

impl Logic for Walker {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("walker");
        dff_setup!(
            self,
            clk,
            state,
            slot,
            kind,
            expert,
            first,
            seg_base,
            seg_start,
            words,
            last_chunk,
            tail,
            full,
            vec,
            pos,
            group,
            base,
            chunk,
            named,
            half,
            halved,
            weight,
            ended,
            at_limit,
            at_total,
            at_section,
            last_vector,
            hidden,
            stored,
            chunk_last,
            place,
            oldest,
            given,
            write,
            read,
            f_chunk,
            f_map_addr,
            f_mask,
            m_vld,
            m_group,
            m_count,
            m_last,
            m_end,
            m_q,
            no_place,
            no_room
        );
        clock!(self, clk, queue_mask, queue_info);

        // What the segment's numbers are made of.
        self.router.next = self.kind.q.val() == 0;
        self.down.next = self.kind.q.val() == 2;
        self.pairs.next = self.gated.val() && self.kind.q.val() == 1;
        self.double.next = self.paired.val() && !self.router.val();
        self.slot_base.next = 0.into();
        for i in 0..6 {
            if (self.vis_slot.val() & self.slot_bits.val()) == i.to_bits() {
                self.slot_base.next = self.bases[i].val();
            }
        }
        self.groups.next = self.groups_a.val();
        self.group_words.next = self.words_a.val();
        self.rows.next = self.f.val().get_bits::<4>(0);
        self.blocks.next = self.nblk_d.val();
        if self.router.val() {
            self.groups.next = self.groups_router.val();
            self.group_words.next = self.words_r.val();
            self.rows.next = self.experts.val().get_bits::<4>(0) << bits::<1>(1);
        }
        if self.down.val() {
            self.groups.next = self.groups_b.val();
            self.group_words.next = self.words_b.val();
            self.rows.next = self.d.val().get_bits::<4>(0);
            self.blocks.next = self.nblk_f.val();
        }
        self.last_result.next = 7.into();
        if self.pairs.val() && !self.double.val() {
            self.last_result.next = 3.into();
        }
        if !self.pairs.val() && self.double.val() {
            self.last_result.next = 15.into();
        }
        self.words.d.next = self.group_words.val() & self.word_bits.val();
        self.full.d.next = self.last_result.val();
        self.tail.d.next = (self.rows.val() - 1) & self.last_result.val();
        self.blocks_less.next = self.blocks.val() - 1;
        self.last_chunk.d.next = self.blocks_less.val().get_bits::<5>(5) & self.chunk_bits.val();

        // The flags.
        self.next_group.next = (self.group.q.val() + 1) & self.group_bits.val();
        self.next_vec.next = (self.vec.q.val() + 1) & self.vector_bits.val();
        self.at_limit.d.next =
            self.pos.q.val() == (self.cur_loaded.val() & self.slot_group_bits.val());
        self.at_total.d.next = self.cur_closed.val()
            && self.pos.q.val() == (self.cur_total.val() & self.slot_group_bits.val());
        self.at_section.d.next =
            self.next_group.val() == (self.groups.val() & self.group_bits.val());
        // The rest of a Down section comes behind its beginning, so its hidden vectors are there.
        self.hidden.d.next = self.hidden.q.val() || self.h_ready.val() || self.first.q.val() != 0;
        self.token.next = self.named.q.val();
        if self.halved.q.val() {
            self.token.next = self.half.q.val();
        }
        self.stored.d.next = self.hidden.q.val();
        if !self.down.val() {
            self.stored.d.next = self.x_tokens.val() > bit_cast::<9, 8>(self.token.val());
        }
        self.vectors.next = self.q_len.val();
        if self.router.val() {
            self.vectors.next = self.tokens.val().get_bits::<9>(0) << bits::<1>(1);
        }
        self.last_vector.d.next =
            self.next_vec.val() == (self.vectors.val() & self.vector_bits.val());

        // The rings. The flags are a cycle old: no group opens in the cycle after one, but a chunk may follow a chunk, so room for two is asked for.
        self.next_place.next = self.place.q.val() + 1;
        self.no_place.d.next = self.next_place.val() == self.oldest.q.val();
        self.next_given.next = self.given.q.val() + 1;
        self.no_room.d.next = self.next_given.val() == self.read.q.val()
            || self.given.q.val() + 2 == self.read.q.val();

        // One step.
        self.idle.next = false;
        self.again.next = false;
        self.opens.next = false;
        self.continues.next = false;
        self.frees.next = false;
        self.group_end.next = false;
        self.vector_end.next = false;
        self.next_chunk.next = 0.into();
        self.wait_window.next = false;
        match self.state.q.val() {
            State::Idle => {
                self.idle.next = true;
                self.wait_window.next = !self.vis_vld.val();
                if self.vis_vld.val() {
                    self.state.d.next = State::Open;
                }
            }
            State::Open => {
                self.state.d.next = State::Look;
            }
            State::Look => {
                self.state.d.next = State::Token;
            }
            State::Token => {
                self.state.d.next = State::Settle;
            }
            State::Settle => {
                self.state.d.next = State::Group;
            }
            State::Group => {
                if self.at_limit.q.val() {
                    self.vector_end.next = self.at_total.q.val();
                    self.wait_window.next = !self.at_total.q.val();
                } else if self.stored.q.val() && !self.no_place.q.val() && !self.no_room.q.val() {
                    self.opens.next = true;
                    self.group_end.next = self.chunk_last.q.val();
                    self.next_chunk.next = 1.into();
                    self.state.d.next = State::Chunk;
                }
            }
            State::Chunk => {
                self.next_chunk.next = self.chunk.q.val();
                if !self.no_room.q.val() {
                    self.continues.next = true;
                    self.group_end.next = self.chunk_last.q.val();
                    self.next_chunk.next = self.chunk.q.val() + 1;
                }
            }
            State::Rest => {
                self.state.d.next = State::Close;
            }
            State::Close => {
                if !self.ended.q.val() || self.at_total.q.val() {
                    if !self.no_room.q.val() {
                        self.frees.next = true;
                        self.state.d.next = State::Idle;
                    }
                } else if !self.at_limit.q.val() {
                    self.again.next = true;
                    self.state.d.next = State::Open;
                }
            }
        }
        self.chunk.d.next = self.next_chunk.val() & self.chunk_bits.val();
        if self.group_end.val() {
            self.chunk.d.next = 0.into();
            self.state.d.next = State::Settle;
        }
        // In the states that do not issue the next chunk is the group's first.
        self.chunk_last.d.next =
            (self.next_chunk.val() & self.chunk_bits.val()) == self.last_chunk.q.val();
        if self.vector_end.val() || (self.group_end.val() && self.at_section.q.val()) {
            self.ended.d.next = self.group_end.val();
            self.vec.d.next = self.next_vec.val();
            self.state.d.next = State::Look;
            if self.last_vector.q.val() {
                self.state.d.next = State::Rest;
            }
        }

        // A visit; or Down follows Hidden in the same slot.
        self.vis_rdy.next = self.idle.val();
        if self.idle.val() {
            self.slot.d.next = self.vis_slot.val() & self.slot_bits.val();
            self.expert.d.next = self.vis_expert.val() & self.expert_bits.val();
        }
        for i in 0..3 {
            self.exps[i].clock.next = self.clk.val();
            self.exps[i].d.next = self.exps[i].q.val();
        }
        if self.idle.val() {
            self.exps[0].d.next = self.vis_exp_a.val().get_bits::<10>(0);
            self.exps[1].d.next = self.vis_exp_b.val().get_bits::<10>(0);
            self.exps[2].d.next = self.vis_exp_c.val().get_bits::<10>(0);
        }
        if self.idle.val() || self.again.val() {
            self.hidden.d.next = false;
            self.kind.d.next = 2.into();
            self.first.d.next = 0.into();
            self.seg_base.d.next = self.base.q.val();
            self.seg_start.d.next = self.pos.q.val();
            self.vec.d.next = 0.into();
            if self.idle.val() {
                self.kind.d.next = self.vis_kind.val();
                self.first.d.next = self.vis_first.val() & self.group_bits.val();
                self.seg_base.d.next = self.slot_base.val();
                self.seg_start.d.next = 0.into();
            }
        }

        // The place in it.
        if self.group_end.val() {
            self.pos.d.next = (self.pos.q.val() + 1) & self.slot_group_bits.val();
            self.base.d.next = (self.base.q.val() + self.words.q.val()) & self.word_bits.val();
            self.group.d.next = self.next_group.val();
        }
        if self.state.q.val() == State::Look {
            self.pos.d.next = self.seg_start.q.val();
            self.base.d.next = self.seg_base.q.val();
            self.group.d.next = self.first.q.val();
        }
        // Nothing but a register behind the queue's memory. `vec` moves three cycles before they do, so they stand for the last row.
        self.named.d.next = self.q_token.val() & self.token_bits.val();
        self.weight.d.next = self.q_weight.val();
        if self.state.q.val() == State::Token {
            self.half.d.next = self.vec.q.val().get_bits::<8>(1);
            self.halved.d.next = self.router.val();
        }
        self.cur_slot.next = self.slot.q.val();
        self.q_expert.next = self.expert.q.val();
        self.q_index.next = self.vec.q.val().get_bits::<8>(0) & self.token_bits.val();

        // The chunk on its way.
        self.issues.next = self.opens.val() || self.continues.val() || self.frees.val();
        self.vector.next = self.token.val();
        if self.down.val() {
            self.vector.next = self.vec.q.val().get_bits::<8>(0) & self.token_bits.val();
        }
        for i in 0..3 {
            self.f_vld[i].clock.next = self.clk.val();
            self.f_info[i].clock.next = self.clk.val();
        }
        for i in 0..2 {
            self.f_vld[i + 1].d.next = self.f_vld[i].q.val();
            self.f_info[i + 1].d.next = self.f_info[i].q.val();
        }
        self.f_vld[0].d.next = self.issues.val();
        self.f_info[0].d.next = bit_cast::<32, 16>(self.base.q.val())
            | (bit_cast::<32, 8>(self.vector.val()) << bits::<6>(16))
            | (bit_cast::<32, 1>(self.vec.q.val().get_bits::<1>(0)) << bits::<6>(24))
            | (bit_cast::<32, 2>(self.kind.q.val()) << bits::<6>(25))
            | (bit_cast::<32, 1>(self.chunk_last.q.val().into()) << bits::<6>(27))
            | (bit_cast::<32, 1>(self.frees.val().into()) << bits::<6>(28))
            | (bit_cast::<32, 3>(self.slot.q.val()) << bits::<6>(29));
        self.f_chunk.d.next = bit_cast::<8, 5>(self.chunk.q.val());
        self.f_map_addr.d.next = self.base.q.val() + bit_cast::<16, 5>(self.chunk.q.val());
        self.xmap_token.next = self.f_info[0].q.val().get_bits::<8>(16);
        self.xmap_chunk.next = self.f_chunk.q.val();
        self.hmap_q.next = self.f_info[0].q.val().get_bits::<8>(16);
        self.hmap_chunk.next = self.f_chunk.q.val();
        self.rd_map_addr.next = self.f_map_addr.q.val();
        self.bits.next = self.xmap_bits.val();
        if self.f_info[1].q.val().get_bits::<2>(25) == 2 {
            self.bits.next = self.hmap_bits.val();
        }
        self.f_mask.d.next = self.bits.val() & self.rd_map.val() & self.block_bits.val();

        // The queue.
        self.queue_mask.we.next = self.f_vld[2].q.val();
        self.queue_mask.waddr.next = self.write.q.val();
        self.queue_mask.wdata.next = self.f_mask.q.val();
        self.queue_mask.raddr.next = self.read.q.val();
        self.queue_info.we.next = self.f_vld[2].q.val();
        self.queue_info.waddr.next = self.write.q.val();
        self.queue_info.wdata.next = self.f_info[2].q.val();
        self.queue_info.raddr.next = self.read.q.val();
        self.info.next = self.queue_info.rdata.val();
        self.ch_vld.next = self.write.q.val() != self.read.q.val();
        self.ch_mask.next = self.queue_mask.rdata.val();
        self.ch_base.next = self.info.val().get_bits::<16>(0);
        self.ch_vector.next = self.info.val().get_bits::<8>(16);
        self.ch_limb.next = self.info.val().get_bit(24);
        self.ch_kind.next = self.info.val().get_bits::<2>(25);
        self.ch_last.next = self.info.val().get_bit(27);
        self.ch_free.next = self.info.val().get_bit(28);
        self.ch_slot.next = self.info.val().get_bits::<3>(29);
        self.pops.next = self.write.q.val() != self.read.q.val() && self.ch_rdy.val();
        if self.issues.val() {
            self.given.d.next = self.next_given.val();
        }
        if self.f_vld[2].q.val() {
            self.write.d.next = self.write.q.val() + 1;
        }
        if self.pops.val() {
            self.read.d.next = self.read.q.val() + 1;
        }
        if self.opens.val() {
            self.place.d.next = self.next_place.val();
        }
        if self.row_gone.val() {
            self.oldest.d.next = self.oldest.q.val() + 1;
        }

        // The row's description.
        self.m_vld.d.next = self.opens.val();
        self.m_group.d.next = self.group.q.val();
        self.m_q.d.next = self.vec.q.val().get_bits::<8>(0) & self.token_bits.val();
        self.m_count.d.next = self.full.q.val();
        self.m_end.d.next = self.at_section.q.val();
        self.m_last.d.next = self.at_section.q.val() && self.last_vector.q.val();
        if self.at_section.q.val() {
            self.m_count.d.next = self.tail.q.val();
        }
        self.row_vld.next = self.m_vld.q.val();
        self.row_group.next = self.m_group.q.val();
        self.row_count.next = self.m_count.q.val();
        self.row_last.next = self.m_last.q.val();
        self.row_end.next = self.m_end.q.val();
        self.row_token.next = self.token.val();
        self.row_q.next = self.m_q.q.val();
        self.row_weight.next = self.weight.q.val();
        self.row_kind.next = self.kind.q.val();
        self.row_limb.next = self.m_q.q.val().get_bit(0) && self.router.val();
        self.row_exp_a.next = self.exps[0].q.val();
        if self.down.val() {
            self.row_exp_a.next = self.exps[2].q.val();
        }
        self.row_exp_b.next = self.exps[1].q.val();
        self.row_expert.next = self.expert.q.val();

        self.draining.next = self.place.q.val() != self.oldest.q.val();
        self.busy.next = self.state.q.val() != State::Idle
            || self.place.q.val() != self.oldest.q.val()
            || self.given.q.val() != self.read.q.val();

        if self.rst.val() {
            self.state.d.next = State::Idle;
            for i in 0..3 {
                self.f_vld[i].d.next = false;
            }
            self.given.d.next = 0.into();
            self.write.d.next = 0.into();
            self.read.d.next = 0.into();
            self.place.d.next = 0.into();
            self.oldest.d.next = 0.into();
            self.m_vld.d.next = false;
        }
    }
}
