//! The walk over visits, vectors and groups: what the array computes next, as a stream of chunks.
//!
//! What: a visit is a slot that the loader fills. Its groups are one segment (of the router, of Hidden or a plain layer, or of Down) or
//! two (the end of Hidden and the start of Down). A segment is walked vector by vector, group by group; a group of up to 32 blocks is one
//! chunk, a longer one several. A chunk carries the set of its blocks that are not zero: the maps of vector and weights are read here, so
//! far ahead of the array that their latency does not show. During a segment's first vector the walk follows the loader, group by
//! group. For each group the description of its rows (`row_*`) goes to the serialiser.
//! Cost: see docs/utilisation.md. Latency: 5 cycles from a visit to its first chunk's issue, 4 to the chunk at the output.
//! Bottleneck: two cycles a group and one more for each further chunk, four more a vector; the array takes as long or longer as soon
//! as a group has two to three blocks, and 16 chunks wait in between.
//! Hazards: a group is issued only with a place for its results (`used`) and its chunks only with a place in the queue (`queued`).
//! Flags made of counters (`at_*`) are one cycle old, so a state that uses them never follows one that moves a counter. The last chunk
//! of a visit is empty and carries `free`: the slot is handed back when it has passed the array, behind all that reads the slot.
//! Down starts when the hidden vectors are complete; `used` is checked here too, because `h_ready` cannot know of a row issued just now.
//!
//! Not built: looking up the next vector's token during the walk. Reconsider if segments of one or two groups and many vectors matter.

use abi::Config;
use leaf::prelude::*;

/// Groups whose results can be under way or waiting.
pub const PLACES: usize = 16;

/// Bits of a chunk beside its mask: base 16, vector 8, limb, kind 2, last, free, slot 3.
const INFO: usize = 32;

/// What the walk does.
#[derive(Copy, Clone, PartialEq, Debug, LogicState)]
enum State {
    /// Waits for a visit.
    Idle,
    /// A segment's numbers; Down waits for the hidden vectors.
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
    /// Its first row.
    pub row_row: Signal<Out, Bits<16>>,
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
    /// What Bmax lacks to the LSB of the results, signed; of a pair the gate's.
    pub row_exp_a: Signal<Out, Bits<10>>,
    /// The same of up.
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
    second: Dff<Bit>,
    exps: [Dff<Bits<10>>; 3],
    exp_a: Dff<Bits<10>>,
    exp_b: Dff<Bits<10>>,
    words: Dff<Bits<16>>,
    seg_base: Dff<Bits<16>>,
    seg_start: Dff<Bits<16>>,
    seg_end: Dff<Bits<16>>,
    section_last: Dff<Bits<16>>,
    first_row: Dff<Bits<16>>,
    last_chunk: Dff<Bits<5>>,
    tail: Dff<Bits<4>>,
    full: Dff<Bits<4>>,
    slot_base: Signal<Local, Bits<16>>,
    own_exp: Signal<Local, Bits<10>>,
    groups: Signal<Local, Bits<16>>,
    from: Signal<Local, Bits<16>>,
    rows_less: Signal<Local, Bits<4>>,
    blocks_less: Signal<Local, Bits<16>>,
    last_result: Signal<Local, Bits<4>>,
    start_row: Signal<Local, Bits<16>>,
    router: Signal<Local, Bit>,
    down: Signal<Local, Bit>,
    pairs: Signal<Local, Bit>,
    double: Signal<Local, Bit>,

    // The place in the segment.
    early: Dff<Bit>,
    vec: Dff<Bits<9>>,
    pos: Dff<Bits<16>>,
    last_pos: Dff<Bits<16>>,
    base: Dff<Bits<16>>,
    row: Dff<Bits<16>>,
    chunk: Dff<Bits<5>>,
    token: Dff<Bits<8>>,
    weight: Dff<Bits<20>>,
    used: Dff<Bits<5>>,
    queued: Dff<Bits<5>>,
    ended: Dff<Bit>,
    // Flags made of the above, one cycle old.
    at_limit: Dff<Bit>,
    at_total: Dff<Bit>,
    at_section: Dff<Bit>,
    last_vector: Dff<Bit>,
    stored: Dff<Bit>,
    chunk_last: Dff<Bit>,
    limit: Signal<Local, Bits<16>>,
    vectors: Signal<Local, Bits<9>>,
    next_chunk: Signal<Local, Bits<5>>,
    next_pos: Signal<Local, Bits<16>>,
    opens: Signal<Local, Bit>,
    continues: Signal<Local, Bit>,
    frees: Signal<Local, Bit>,
    issues: Signal<Local, Bit>,
    group_end: Signal<Local, Bit>,
    vector_end: Signal<Local, Bit>,

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
    write: Dff<Bits<4>>,
    read: Dff<Bits<4>>,
    waiting: Dff<Bits<5>>,
    pops: Signal<Local, Bit>,
    info: Signal<Local, Bits<INFO>>,

    // The row's description, one cycle after its issue; what does not change so soon is read where it stands.
    m_vld: Dff<Bit>,
    m_row: Dff<Bits<16>>,
    m_count: Dff<Bits<4>>,
    m_last: Dff<Bit>,
    m_end: Dff<Bit>,
    m_q: Dff<Bits<8>>,

    bases: [Constant<Bits<16>>; 6],
    places: Constant<Bits<5>>,
}

fn constant<const W: usize>(x: usize) -> Constant<Bits<W>> {
    Constant::new((x as u64).to_bits())
}

/// The first word of slot `i`: those of experts, then two of the router.
fn base(config: &Config, i: usize) -> usize {
    let router = i.saturating_sub(config.slots).min(1);
    i.min(config.slots) * config.slot_words + router * config.router_words
}

impl Walker {
    /// The walk over the slots of a configuration.
    pub fn new(config: &Config) -> Self {
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
            row_row: Default::default(),
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
            second: Default::default(),
            exps: arr(),
            exp_a: Default::default(),
            exp_b: Default::default(),
            words: Default::default(),
            seg_base: Default::default(),
            seg_start: Default::default(),
            seg_end: Default::default(),
            section_last: Default::default(),
            first_row: Default::default(),
            last_chunk: Default::default(),
            tail: Default::default(),
            full: Default::default(),
            slot_base: Default::default(),
            own_exp: Default::default(),
            groups: Default::default(),
            from: Default::default(),
            rows_less: Default::default(),
            blocks_less: Default::default(),
            last_result: Default::default(),
            start_row: Default::default(),
            router: Default::default(),
            down: Default::default(),
            pairs: Default::default(),
            double: Default::default(),
            early: Default::default(),
            vec: Default::default(),
            pos: Default::default(),
            last_pos: Default::default(),
            base: Default::default(),
            row: Default::default(),
            chunk: Default::default(),
            token: Default::default(),
            weight: Default::default(),
            used: Default::default(),
            queued: Default::default(),
            ended: Default::default(),
            at_limit: Default::default(),
            at_total: Default::default(),
            at_section: Default::default(),
            last_vector: Default::default(),
            stored: Default::default(),
            chunk_last: Default::default(),
            limit: Default::default(),
            vectors: Default::default(),
            next_chunk: Default::default(),
            next_pos: Default::default(),
            opens: Default::default(),
            continues: Default::default(),
            frees: Default::default(),
            issues: Default::default(),
            group_end: Default::default(),
            vector_end: Default::default(),
            f_vld: arr(),
            f_info: arr(),
            f_chunk: Default::default(),
            f_map_addr: Default::default(),
            f_mask: Default::default(),
            vector: Default::default(),
            bits: Default::default(),
            queue_mask: Dram::new(PLACES),
            queue_info: Dram::new(PLACES),
            write: Default::default(),
            read: Default::default(),
            waiting: Default::default(),
            pops: Default::default(),
            info: Default::default(),
            m_vld: Default::default(),
            m_row: Default::default(),
            m_count: Default::default(),
            m_last: Default::default(),
            m_end: Default::default(),
            m_q: Default::default(),
            bases: std::array::from_fn(|i| constant(base(config, i))),
            places: constant(PLACES),
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
            second,
            exp_a,
            exp_b,
            words,
            seg_base,
            seg_start,
            seg_end,
            section_last,
            first_row,
            last_chunk,
            tail,
            full,
            early,
            vec,
            pos,
            last_pos,
            base,
            row,
            chunk,
            token,
            weight,
            used,
            queued,
            ended,
            at_limit,
            at_total,
            at_section,
            last_vector,
            stored,
            chunk_last,
            f_chunk,
            f_map_addr,
            f_mask,
            write,
            read,
            waiting,
            m_vld,
            m_row,
            m_count,
            m_last,
            m_end,
            m_q
        );
        clock!(self, clk, queue_mask, queue_info);

        // What the segment's numbers are made of.
        self.router.next = self.kind.q.val() == 0;
        self.down.next = self.kind.q.val() == 2;
        self.pairs.next = self.gated.val() && self.kind.q.val() == 1;
        self.double.next = self.paired.val() && !self.router.val();
        self.slot_base.next = 0.into();
        for i in 0..6 {
            if self.vis_slot.val() == i.to_bits() {
                self.slot_base.next = self.bases[i].val();
            }
        }
        self.groups.next = self.groups_a.val();
        self.rows_less.next = self.f.val().get_bits::<4>(0) - 1;
        self.blocks_less.next = self.nblk_d.val() - 1;
        self.own_exp.next = self.exps[0].q.val();
        if self.router.val() {
            self.groups.next = self.groups_router.val();
            self.rows_less.next = (self.experts.val().get_bits::<4>(0) << bits::<1>(1)) - 1;
        }
        if self.down.val() {
            self.groups.next = self.groups_b.val();
            self.rows_less.next = self.d.val().get_bits::<4>(0) - 1;
            self.blocks_less.next = self.nblk_f.val() - 1;
            self.own_exp.next = self.exps[2].q.val();
        }
        // The section's last group, as a place in the slot: first - 1 groups of it lie elsewhere, or `last_pos` + 1 groups lie before it.
        self.from.next = !self.first.q.val();
        if self.second.q.val() {
            self.from.next = self.last_pos.q.val();
        }
        self.last_result.next = 7.into();
        self.start_row.next = self.first.q.val() << bits::<2>(3);
        if self.pairs.val() && !self.double.val() {
            self.last_result.next = 3.into();
            self.start_row.next = self.first.q.val() << bits::<2>(2);
        }
        if !self.pairs.val() && self.double.val() {
            self.last_result.next = 15.into();
            self.start_row.next = self.first.q.val() << bits::<3>(4);
        }

        // The flags.
        self.limit.next = self.seg_end.q.val();
        if self.early.q.val() {
            self.limit.next = self.cur_loaded.val();
        }
        self.at_limit.d.next = self.pos.q.val() == self.limit.val();
        self.at_total.d.next = self.cur_closed.val() && self.pos.q.val() == self.cur_total.val();
        self.at_section.d.next = self.pos.q.val() == self.section_last.q.val();
        self.stored.d.next =
            self.down.val() || self.x_tokens.val() > bit_cast::<9, 8>(self.token.q.val());
        self.vectors.next = self.q_len.val();
        if self.router.val() {
            self.vectors.next = self.tokens.val().get_bits::<9>(0) << bits::<1>(1);
        }

        // One step.
        self.vis_rdy.next = false;
        self.opens.next = false;
        self.continues.next = false;
        self.frees.next = false;
        self.group_end.next = false;
        self.vector_end.next = false;
        self.next_chunk.next = 0.into();
        self.next_pos.next = self.pos.q.val();
        self.wait_window.next = false;
        match self.state.q.val() {
            State::Idle => {
                self.vis_rdy.next = true;
                self.wait_window.next = !self.vis_vld.val();
                self.slot.d.next = self.vis_slot.val();
                self.kind.d.next = self.vis_kind.val();
                self.first.d.next = self.vis_first.val();
                self.expert.d.next = self.vis_expert.val();
                self.second.d.next = false;
                self.seg_base.d.next = self.slot_base.val();
                self.base.d.next = self.slot_base.val();
                self.seg_start.d.next = 0.into();
                self.pos.d.next = 0.into();
                self.vec.d.next = 0.into();
                self.early.d.next = true;
                if self.vis_vld.val() {
                    self.state.d.next = State::Open;
                }
            }
            State::Open => {
                self.words.d.next = self.words_a.val();
                self.exp_a.d.next = self.own_exp.val() - 129;
                self.exp_b.d.next = self.exps[1].q.val() - 129;
                if self.router.val() {
                    self.words.d.next = self.words_r.val();
                    self.exp_a.d.next = self.own_exp.val() - 136;
                }
                if self.down.val() {
                    self.words.d.next = self.words_b.val();
                }
                self.section_last.d.next = self.groups.val() + self.from.val();
                self.first_row.d.next = self.start_row.val();
                self.row.d.next = self.start_row.val();
                self.last_chunk.d.next = self.blocks_less.val().get_bits::<5>(5);
                self.full.d.next = self.last_result.val();
                self.tail.d.next = self.rows_less.val() & self.last_result.val();
                // The rest of a Down section comes behind its beginning, so its hidden vectors are there.
                if !self.down.val() || self.first.q.val() != 0 || self.h_ready.val() {
                    self.state.d.next = State::Look;
                }
            }
            State::Look => {
                self.state.d.next = State::Token;
            }
            State::Token => {
                self.token.d.next = self.q_token.val();
                if self.router.val() {
                    self.token.d.next = self.vec.q.val().get_bits::<8>(1);
                }
                self.weight.d.next = self.q_weight.val();
                self.last_vector.d.next = self.vec.q.val() + 1 == self.vectors.val();
                self.state.d.next = State::Settle;
            }
            State::Settle => {
                self.state.d.next = State::Group;
            }
            State::Group => {
                if self.at_limit.q.val() {
                    // Behind the last group that there is: the segment goes on in another slot.
                    self.vector_end.next = !self.early.q.val() || self.at_total.q.val();
                    self.wait_window.next = self.early.q.val() && !self.at_total.q.val();
                } else if self.stored.q.val()
                    && self.used.q.val() != self.places.val()
                    && self.queued.q.val() != self.places.val()
                {
                    self.opens.next = true;
                    self.group_end.next = self.chunk_last.q.val();
                    self.state.d.next = State::Settle;
                    if !self.chunk_last.q.val() {
                        self.next_chunk.next = 1.into();
                        self.state.d.next = State::Chunk;
                    }
                }
            }
            State::Chunk => {
                self.next_chunk.next = self.chunk.q.val();
                if self.queued.q.val() != self.places.val() {
                    self.continues.next = true;
                    self.group_end.next = self.chunk_last.q.val();
                    self.next_chunk.next = self.chunk.q.val() + 1;
                    if self.chunk_last.q.val() {
                        self.next_chunk.next = 0.into();
                        self.state.d.next = State::Settle;
                    }
                }
            }
            State::Rest => {
                self.state.d.next = State::Close;
            }
            State::Close => {
                if !self.ended.q.val() || self.at_total.q.val() {
                    if self.queued.q.val() != self.places.val() {
                        self.frees.next = true;
                        self.state.d.next = State::Idle;
                    }
                } else if !self.at_limit.q.val() {
                    // Down follows Hidden in the same slot.
                    self.kind.d.next = 2.into();
                    self.first.d.next = 0.into();
                    self.second.d.next = true;
                    self.seg_base.d.next = self.base.q.val();
                    self.seg_start.d.next = self.pos.q.val();
                    self.vec.d.next = 0.into();
                    self.state.d.next = State::Open;
                }
            }
        }
        self.chunk.d.next = self.next_chunk.val();
        self.chunk_last.d.next = self.next_chunk.val() == self.last_chunk.q.val();
        if self.group_end.val() {
            self.next_pos.next = self.pos.q.val() + 1;
            self.last_pos.d.next = self.pos.q.val();
            self.pos.d.next = self.pos.q.val() + 1;
            self.base.d.next = self.base.q.val() + self.words.q.val();
            self.row.d.next = self.row.q.val() + bit_cast::<16, 4>(self.full.q.val()) + 1;
        }
        if self.vector_end.val() || (self.group_end.val() && self.at_section.q.val()) {
            self.ended.d.next = self.group_end.val();
            if self.early.q.val() {
                self.seg_end.d.next = self.next_pos.val();
            }
            self.early.d.next = self.last_vector.q.val();
            self.vec.d.next = self.vec.q.val() + 1;
            self.state.d.next = State::Rest;
            if !self.last_vector.q.val() {
                self.pos.d.next = self.seg_start.q.val();
                self.base.d.next = self.seg_base.q.val();
                self.row.d.next = self.first_row.q.val();
                self.state.d.next = State::Look;
            }
        }
        self.cur_slot.next = self.slot.q.val();
        self.q_expert.next = self.expert.q.val();
        self.q_index.next = self.vec.q.val().get_bits::<8>(0);

        // What the visit brings and segments share.
        for i in 0..3 {
            self.exps[i].clock.next = self.clk.val();
            self.exps[i].d.next = self.exps[i].q.val();
        }
        if self.vis_rdy.val() {
            self.exps[0].d.next = self.vis_exp_a.val().get_bits::<10>(0);
            self.exps[1].d.next = self.vis_exp_b.val().get_bits::<10>(0);
            self.exps[2].d.next = self.vis_exp_c.val().get_bits::<10>(0);
        }

        // The chunk on its way.
        self.issues.next = self.opens.val() || self.continues.val() || self.frees.val();
        self.vector.next = self.token.q.val();
        if self.down.val() {
            self.vector.next = self.vec.q.val().get_bits::<8>(0);
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
        self.f_mask.d.next = self.bits.val() & self.rd_map.val();

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
        self.ch_vld.next = self.waiting.q.val() != 0;
        self.ch_mask.next = self.queue_mask.rdata.val();
        self.ch_base.next = self.info.val().get_bits::<16>(0);
        self.ch_vector.next = self.info.val().get_bits::<8>(16);
        self.ch_limb.next = self.info.val().get_bit(24);
        self.ch_kind.next = self.info.val().get_bits::<2>(25);
        self.ch_last.next = self.info.val().get_bit(27);
        self.ch_free.next = self.info.val().get_bit(28);
        self.ch_slot.next = self.info.val().get_bits::<3>(29);
        self.pops.next = self.waiting.q.val() != 0 && self.ch_rdy.val();
        if self.f_vld[2].q.val() {
            self.write.d.next = self.write.q.val() + 1;
        }
        if self.pops.val() {
            self.read.d.next = self.read.q.val() + 1;
        }
        self.waiting.d.next = self.waiting.q.val() + bit_cast::<5, 1>(self.f_vld[2].q.val().into())
            - bit_cast::<5, 1>(self.pops.val().into());
        self.queued.d.next = self.queued.q.val() + bit_cast::<5, 1>(self.issues.val().into())
            - bit_cast::<5, 1>(self.pops.val().into());
        self.used.d.next = self.used.q.val() + bit_cast::<5, 1>(self.opens.val().into())
            - bit_cast::<5, 1>(self.row_gone.val().into());

        // The row's description.
        self.m_vld.d.next = self.opens.val();
        self.m_row.d.next = self.row.q.val();
        self.m_q.d.next = self.vec.q.val().get_bits::<8>(0);
        self.m_count.d.next = self.full.q.val();
        self.m_end.d.next = self.at_section.q.val();
        self.m_last.d.next = self.at_section.q.val() && self.last_vector.q.val();
        if self.at_section.q.val() {
            self.m_count.d.next = self.tail.q.val();
        }
        self.row_vld.next = self.m_vld.q.val();
        self.row_row.next = self.m_row.q.val();
        self.row_count.next = self.m_count.q.val();
        self.row_last.next = self.m_last.q.val();
        self.row_end.next = self.m_end.q.val();
        self.row_token.next = self.token.q.val();
        self.row_q.next = self.m_q.q.val();
        self.row_weight.next = self.weight.q.val();
        self.row_kind.next = self.kind.q.val();
        self.row_limb.next = self.m_q.q.val().get_bit(0) && self.router.val();
        self.row_exp_a.next = self.exp_a.q.val();
        self.row_exp_b.next = self.exp_b.q.val();
        self.row_expert.next = self.expert.q.val();

        self.draining.next = self.used.q.val() != 0;
        self.busy.next =
            self.state.q.val() != State::Idle || self.used.q.val() != 0 || self.queued.q.val() != 0;

        if self.rst.val() {
            self.state.d.next = State::Idle;
            for i in 0..3 {
                self.f_vld[i].d.next = false;
            }
            self.write.d.next = 0.into();
            self.read.d.next = 0.into();
            self.waiting.d.next = 0.into();
            self.queued.d.next = 0.into();
            self.used.d.next = 0.into();
            self.m_vld.d.next = false;
        }
    }
}
