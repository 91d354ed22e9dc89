//! The expert loader: reads images from memory into the weight slots, on demand and ahead of demand, and tells the array what lies where.
//!
//! What (`docs/formats.md`, section 7): the router's image first, into its own two slots; then one image per job. Groups fill a slot as long as they
//! fit `window_words`; then the next free slot. Slots are numbered `config.slots` for experts, then two for the router. The array visits slots
//! in the order of the images and chases the groups that are still arriving. While no demand is to be asked for, guesses fill free slots.
//!
//! | part | file |
//! |---|---|
//! | counts of groups, by kind | `load_shape` |
//! | addresses, grants, slots, tags | `load_request` |
//! | AXI | `axi_reader` |
//! | where a beat belongs; zero map; errors | `load_receive` |
//! | visits, groups complete in each slot | `load_visits` |
//! | writes into the prefetched layer | `load_snoop` |
//!
//! Law of the prefetch: at most 224 beats of it are asked for and have not arrived, and no more are asked for once demand waits or `pause` is high;
//! so a wrong guess delays demand by less than 4096 / 16 cycles + the memory's latency. A prefetched slot counts for the next command only if its base
//! address and stored shape are those of the prefetch, and is dropped when a write goes there. Once all routes are known, slots whose expert
//! nobody chose are free. A job that finds its expert goes on at the very beat where the prefetch stopped.
//!
//! Cost: docs/utilisation.md, with the reader; no multiplier. Four LUT levels at most between registers; not yet placed alone.
//! Bottleneck: the bus; demand runs ahead by whole groups as far as slots are free, also over the end of an image, so beats follow each
//! other without a gap where the memory answers.
//!
//! Hazards: a slot is filled only after reset, `free_vld` or the drop of its prefetch, so no beat can arrive for a slot that is being read. Errors are
//! noted and change nothing else; those of a prefetch are noted when it is used.
//!
//! Not built: prefetch between `go` and the last job (while the router computes). It would use idle cycles, but a wrong guess could then delay a
//! command twice.

use abi::Config;
use leaf::prelude::*;

use crate::{
    axi_reader::AxiReader, load_receive::LoadReceive, load_request::LoadRequest,
    load_shape::LoadShape, load_snoop::LoadSnoop, load_visits::LoadVisits,
};

/// See the module's page.
#[derive(LogicBlock)]
pub struct Loader {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Starts a command; not while `busy`. The parameters stand from here until the command is done.
    pub go: Signal<In, Bit>,
    /// A new list of guesses begins (`predictor`): with every `go`, and alone for a command that only prefetches. Parameters stand for 16 cycles.
    pub pf_flush: Signal<In, Bit>,
    /// 0: the router's image is read first.
    pub source: Signal<In, Bits<2>>,
    /// The router's image ends with one word per expert.
    pub choice_bias: Signal<In, Bit>,
    /// The router has a bias block.
    pub router_bias: Signal<In, Bit>,
    /// Images have one section, kind Plain.
    pub plain: Signal<In, Bit>,
    /// 0 int8, otherwise a 4-bit format.
    pub format: Signal<In, Bits<2>>,
    /// `abi::layout::Sparsity`.
    pub sparsity: Signal<In, Bits<3>>,
    /// Two rows per lane.
    pub paired: Signal<In, Bit>,
    /// Experts have a bias block.
    pub bias: Signal<In, Bit>,
    /// E.
    pub experts: Signal<In, Bits<16>>,
    /// Blocks of a model vector, without bias.
    pub nblk_d: Signal<In, Bits<16>>,
    /// Blocks of a hidden vector, without bias.
    pub nblk_f: Signal<In, Bits<16>>,
    /// Groups of the router.
    pub groups_router: Signal<In, Bits<16>>,
    /// Groups of the section Hidden or Plain.
    pub groups_a: Signal<In, Bits<16>>,
    /// Groups of Down; 0 if plain.
    pub groups_b: Signal<In, Bits<16>>,
    /// Words per bank of a group: router.
    pub words_r: Signal<In, Bits<16>>,
    /// Words per bank of a group: Hidden or Plain.
    pub words_a: Signal<In, Bits<16>>,
    /// Words per bank of a group: Down.
    pub words_b: Signal<In, Bits<16>>,
    /// Words of a slot to use, at least those of one group.
    pub window_words: Signal<In, Bits<16>>,
    /// Image of the router.
    pub router_addr: Signal<In, Bits<40>>,
    /// Image of expert 0.
    pub experts_addr: Signal<In, Bits<40>>,
    /// Bytes from one expert's image to the next one's.
    pub expert_stride: Signal<In, Bits<32>>,
    /// Image of expert 0 of the layer to prefetch, stored in the same way.
    pub next_addr: Signal<In, Bits<40>>,
    /// Slots that may be prefetched.
    pub guesses: Signal<In, Bits<8>>,
    /// The next expert.
    pub job_vld: Signal<In, Bit>,
    /// Expert taken.
    pub job_rdy: Signal<Out, Bit>,
    /// Its number.
    pub job_expert: Signal<In, Bits<8>>,
    /// Level: all jobs of the command have been taken (`issue`).
    pub jobs_done: Signal<In, Bit>,
    /// No route comes after this cycle.
    pub rt_done: Signal<In, Bit>,
    /// The expert prefetched into slot i for the running command.
    pub tag_expert: [Signal<Out, Bits<8>>; 4],
    /// 0 none, 1 on its way, 2 all that is prefetched is there.
    pub tag_state: [Signal<Out, Bits<2>>; 4],
    /// Bit i: tokens wait for `tag_expert[i]`; valid 4 cycles after `rt_done`.
    pub tag_wanted: Signal<In, Bits<4>>,
    /// A guess for the next layer.
    pub pf_vld: Signal<In, Bit>,
    /// Guess taken.
    pub pf_rdy: Signal<Out, Bit>,
    /// Its expert.
    pub pf_expert: Signal<In, Bits<8>>,
    /// Other demand (a descriptor, routes, x) is being read or soon will be: nothing more is prefetched meanwhile.
    pub pause: Signal<In, Bit>,
    /// A write burst on `m_axi`.
    pub snoop_vld: Signal<In, Bit>,
    /// Its first byte.
    pub snoop_addr: Signal<In, Bits<40>>,
    /// AXI read address.
    pub ar_vld: Signal<Out, Bit>,
    /// Address taken.
    pub ar_rdy: Signal<In, Bit>,
    /// Byte address.
    pub ar_addr: Signal<Out, Bits<40>>,
    /// Beats - 1.
    pub ar_len: Signal<Out, Bits<8>>,
    /// AXI read data.
    pub r_vld: Signal<In, Bit>,
    /// Data taken.
    pub r_rdy: Signal<Out, Bit>,
    /// One beat.
    pub r_data: Signal<In, Bits<128>>,
    /// 0: OKAY.
    pub r_resp: Signal<In, Bits<2>>,
    /// Last beat of a burst.
    pub r_last: Signal<In, Bit>,
    /// Writes one beat into a slot (`slots`).
    pub wr_vld: Signal<Out, Bit>,
    /// 0 scale, 1 position, 2 value.
    pub wr_bank: Signal<Out, Bits<2>>,
    /// Which 128 bits of the word.
    pub wr_sub: Signal<Out, Bits<2>>,
    /// Word, counted over all slots.
    pub wr_addr: Signal<Out, Bits<16>>,
    /// The beat.
    pub wr_data: Signal<Out, Bits<128>>,
    /// Writes a word of the zero map.
    pub map_vld: Signal<Out, Bit>,
    /// Word, counted over all slots.
    pub map_addr: Signal<Out, Bits<16>>,
    /// Bit b: block 32 c + b has a scale that is not zero.
    pub map_data: Signal<Out, Bits<32>>,
    /// Four choice biases, before the router's last group counts as loaded.
    pub cb_vld: Signal<Out, Bit>,
    /// The first one's expert.
    pub cb_index: Signal<Out, Bits<8>>,
    /// Four int32.
    pub cb_data: Signal<Out, Bits<128>>,
    /// A slot to visit; its first group is in memory.
    pub vis_vld: Signal<Out, Bit>,
    /// Visit taken.
    pub vis_rdy: Signal<In, Bit>,
    /// The slot.
    pub vis_slot: Signal<Out, Bits<3>>,
    /// Kind of its first group.
    pub vis_kind: Signal<Out, Bits<2>>,
    /// Number of that group in its section.
    pub vis_first: Signal<Out, Bits<16>>,
    /// The expert; 0 for the router.
    pub vis_expert: Signal<Out, Bits<8>>,
    /// Header, bits 15..0.
    pub vis_exp_a: Signal<Out, Bits<16>>,
    /// Header, bits 31..16.
    pub vis_exp_b: Signal<Out, Bits<16>>,
    /// Header, bits 47..32.
    pub vis_exp_c: Signal<Out, Bits<16>>,
    /// Slot that the array reads.
    pub cur_slot: Signal<In, Bits<3>>,
    /// Its complete groups, one cycle later.
    pub cur_loaded: Signal<Out, Bits<16>>,
    /// No more come, one cycle later.
    pub cur_closed: Signal<Out, Bit>,
    /// Their number when closed, one cycle later.
    pub cur_total: Signal<Out, Bits<16>>,
    /// The array has read a slot.
    pub free_vld: Signal<In, Bit>,
    /// Which one.
    pub free_slot: Signal<In, Bits<3>>,
    /// A beat demanded since `go`, or found in a slot, came with an AXI error.
    pub err_read: Signal<Out, Bit>,
    /// Such an image had no magic number.
    pub err_image: Signal<Out, Bit>,
    /// Demanded images are asked for, arriving, or not yet taken by the array.
    pub busy: Signal<Out, Bit>,
    /// No read is on its way: a reset would lose none.
    pub quiet: Signal<Out, Bit>,
    /// There is a group to load and no slot is free.
    pub wait_slot: Signal<Out, Bit>,
    /// A beat arrives.
    pub beat: Signal<Out, Bit>,
    /// A prefetched beat arrives.
    pub pf_beat: Signal<Out, Bit>,
    /// A job found its expert in a slot.
    pub hit: Signal<Out, Bit>,
    /// With `hit`: beats of it that were asked for before.
    pub used_beats: Signal<Out, Bits<16>>,
    /// Slots with prefetched bytes given up in this cycle, 0 to 4.
    pub aborts: Signal<Out, Bits<3>>,
    shape: LoadShape,
    request: LoadRequest,
    receive: LoadReceive,
    visits: LoadVisits,
    snoop: LoadSnoop,
    reader: AxiReader,
    images: Dff<Bits<4>>,
    started: Signal<Local, Bit>,
}

impl Loader {
    /// A loader for the slots of the configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            go: Default::default(),
            pf_flush: Default::default(),
            source: Default::default(),
            choice_bias: Default::default(),
            router_bias: Default::default(),
            plain: Default::default(),
            format: Default::default(),
            sparsity: Default::default(),
            paired: Default::default(),
            bias: Default::default(),
            experts: Default::default(),
            nblk_d: Default::default(),
            nblk_f: Default::default(),
            groups_router: Default::default(),
            groups_a: Default::default(),
            groups_b: Default::default(),
            words_r: Default::default(),
            words_a: Default::default(),
            words_b: Default::default(),
            window_words: Default::default(),
            router_addr: Default::default(),
            experts_addr: Default::default(),
            expert_stride: Default::default(),
            next_addr: Default::default(),
            guesses: Default::default(),
            job_vld: Default::default(),
            job_rdy: Default::default(),
            job_expert: Default::default(),
            jobs_done: Default::default(),
            rt_done: Default::default(),
            tag_expert: arr(),
            tag_state: arr(),
            tag_wanted: Default::default(),
            pf_vld: Default::default(),
            pf_rdy: Default::default(),
            pf_expert: Default::default(),
            pause: Default::default(),
            snoop_vld: Default::default(),
            snoop_addr: Default::default(),
            ar_vld: Default::default(),
            ar_rdy: Default::default(),
            ar_addr: Default::default(),
            ar_len: Default::default(),
            r_vld: Default::default(),
            r_rdy: Default::default(),
            r_data: Default::default(),
            r_resp: Default::default(),
            r_last: Default::default(),
            wr_vld: Default::default(),
            wr_bank: Default::default(),
            wr_sub: Default::default(),
            wr_addr: Default::default(),
            wr_data: Default::default(),
            map_vld: Default::default(),
            map_addr: Default::default(),
            map_data: Default::default(),
            cb_vld: Default::default(),
            cb_index: Default::default(),
            cb_data: Default::default(),
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
            err_read: Default::default(),
            err_image: Default::default(),
            busy: Default::default(),
            quiet: Default::default(),
            wait_slot: Default::default(),
            beat: Default::default(),
            pf_beat: Default::default(),
            hit: Default::default(),
            used_beats: Default::default(),
            aborts: Default::default(),
            shape: Default::default(),
            request: LoadRequest::new(config),
            receive: LoadReceive::new(config),
            visits: Default::default(),
            snoop: Default::default(),
            reader: Default::default(),
            images: Default::default(),
            started: Default::default(),
        }
    }
}

impl Logic for Loader {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("loader");
        dff_setup!(self, clk, images);
        self.shape.clk.next = self.clk.val();
        self.shape.rst.next = self.rst.val();
        self.request.clk.next = self.clk.val();
        self.request.rst.next = self.rst.val();
        self.receive.clk.next = self.clk.val();
        self.receive.rst.next = self.rst.val();
        self.visits.clk.next = self.clk.val();
        self.visits.rst.next = self.rst.val();
        self.snoop.clk.next = self.clk.val();
        self.snoop.rst.next = self.rst.val();
        self.reader.clk.next = self.clk.val();
        self.reader.rst.next = self.rst.val();
        self.started.next = self.go.val() || self.pf_flush.val();

        // Counts.
        self.shape.start.next = self.started.val();
        self.shape.format.next = self.format.val();
        self.shape.sparsity.next = self.sparsity.val();
        self.shape.paired.next = self.paired.val();
        self.shape.bias.next = self.bias.val();
        self.shape.router_bias.next = self.router_bias.val();
        self.shape.plain.next = self.plain.val();
        self.shape.nblk_d.next = self.nblk_d.val();
        self.shape.nblk_f.next = self.nblk_f.val();
        self.shape.groups_router.next = self.groups_router.val();
        self.shape.groups_a.next = self.groups_a.val();
        self.shape.groups_b.next = self.groups_b.val();
        self.shape.words_r.next = self.words_r.val();
        self.shape.words_a.next = self.words_a.val();
        self.shape.words_b.next = self.words_b.val();
        self.shape.window_words.next = self.window_words.val();
        self.shape.expert_stride.next = self.expert_stride.val();
        self.shape.ask_kind.next = self.request.ask_kind.val();
        self.shape.kind.next = self.receive.kind_now.val();
        self.shape.part_kind.next = self.receive.kind_part.val();
        self.shape.next_kind.next = self.receive.kind_next.val();

        // Request side.
        self.request.go.next = self.go.val();
        self.request.source.next = self.source.val();
        self.request.choice_bias.next = self.choice_bias.val();
        self.request.experts.next = self.experts.val();
        self.request.router_addr.next = self.router_addr.val();
        self.request.experts_addr.next = self.experts_addr.val();
        self.request.next_addr.next = self.next_addr.val();
        self.request.guesses.next = self.guesses.val();
        self.request.job_vld.next = self.job_vld.val();
        self.request.job_expert.next = self.job_expert.val();
        self.request.jobs_done.next = self.jobs_done.val();
        self.request.rt_done.next = self.rt_done.val();
        self.request.tag_wanted.next = self.tag_wanted.val();
        self.request.pf_vld.next = self.pf_vld.val();
        self.request.pf_expert.next = self.pf_expert.val();
        self.request.pause.next = self.pause.val();
        self.request.free_vld.next = self.free_vld.val();
        self.request.free_slot.next = self.free_slot.val();
        self.request.flush.next = self.pf_flush.val();
        self.request.shape_active.next = self.shape.active.val();
        self.request.shape_done.next = self.shape.done.val();
        self.request.shape_changed.next = self.shape.changed.val();
        self.request.window.next = self.shape.window.val();
        self.request.stride.next = self.shape.stride.val();
        self.request.first_kind.next = self.shape.first_kind.val();
        self.request.ask_words.next = self.shape.ask_words.val();
        self.request.ask_beats.next = self.shape.ask_beats.val();
        self.request.ask_groups.next = self.shape.ask_groups.val();
        self.request.snooped.next = self.snoop.touched.val();
        self.request.issued.next = self.reader.issued.val();
        self.request.pf_some.next = self.receive.pf_some.val();
        self.request.pf_credit.next = self.receive.pf_credit.val();
        self.request.pf_complete.next = self.receive.pf_complete.val();
        self.request.pf_slot.next = self.receive.pf_slot.val();
        self.job_rdy.next = self.request.job_rdy.val();
        self.pf_rdy.next = self.request.pf_rdy.val();
        self.wait_slot.next = self.request.wait_slot.val();
        self.hit.next = self.request.hit.val();
        self.used_beats.next = self.request.used_beats.val();
        self.aborts.next = self.request.aborts.val();
        for i in 0..4 {
            self.tag_expert[i].next = self.request.tag_expert[i].val();
            self.tag_state[i].next = self.request.tag_state[i].val();
        }
        self.snoop.start.next = self.started.val();
        self.snoop.next_base.next = self.next_addr.val();
        self.snoop.settled.next = self.request.settled.val();
        self.snoop.base.next = self.request.base.val();
        self.snoop.stride.next = self.expert_stride.val();
        self.snoop.experts.next = self.experts.val();
        self.snoop.vld.next = self.snoop_vld.val();
        self.snoop.addr.next = self.snoop_addr.val();

        // The bus.
        self.reader.start.next = self.request.start.val();
        self.reader.addr.next = self.request.start_addr.val();
        self.reader.grant_vld.next = self.request.grant_vld.val();
        self.reader.grant_beats.next = self.request.grant_beats.val();
        self.reader.ar_rdy.next = self.ar_rdy.val();
        self.reader.r_vld.next = self.r_vld.val();
        self.reader.r_data.next = self.r_data.val();
        self.reader.r_resp.next = self.r_resp.val();
        self.reader.r_last.next = self.r_last.val();
        self.ar_vld.next = self.reader.ar_vld.val();
        self.ar_addr.next = self.reader.ar_addr.val();
        self.ar_len.next = self.reader.ar_len.val();
        self.r_rdy.next = self.reader.r_rdy.val();
        self.reader.out_rdy.next = self.receive.r_rdy.val();

        // Receive side.
        self.receive.go.next = self.go.val();
        self.receive.choice_bias.next = self.choice_bias.val();
        self.receive.experts.next = self.experts.val();
        self.receive.r_resp.next = self.r_resp.val();
        self.receive.r_vld.next = self.reader.out_vld.val();
        self.receive.r_data.next = self.reader.out_data.val();
        self.receive.order_vld.next = self.request.order_vld.val();
        self.receive.order_kind.next = self.request.order_kind.val();
        self.receive.order_slot.next = self.request.order_slot.val();
        self.receive.order_expert.next = self.request.order_expert.val();
        self.receive.wipe.next = self.request.wipe.val();
        self.receive.forget.next = self.request.forget.val();
        self.receive.piece.next = self.request.piece.val();
        self.receive.shape_active.next = self.shape.active.val();
        self.receive.window.next = self.shape.window.val();
        self.receive.first_kind.next = self.shape.first_kind.val();
        self.receive.sparse.next = self.shape.sparse.val();
        self.receive.pair.next = self.shape.pair.val();
        self.receive.scale_beats.next = self.shape.scale_beats.val();
        self.receive.position_last.next = self.shape.position_last.val();
        self.receive.value_last.next = self.shape.value_last.val();
        self.receive.words.next = self.shape.words.val();
        self.receive.groups.next = self.shape.groups.val();
        self.receive.next_words.next = self.shape.next_words.val();
        self.receive.look_exponents.next = self.visits.look_exponents.val();
        self.wr_vld.next = self.receive.wr_vld.val();
        self.wr_bank.next = self.receive.wr_bank.val();
        self.wr_sub.next = self.receive.wr_sub.val();
        self.wr_addr.next = self.receive.wr_addr.val();
        self.wr_data.next = self.receive.wr_data.val();
        self.map_vld.next = self.receive.map_vld.val();
        self.map_addr.next = self.receive.map_addr.val();
        self.map_data.next = self.receive.map_data.val();
        self.cb_vld.next = self.receive.cb_vld.val();
        self.cb_index.next = self.receive.cb_index.val();
        self.cb_data.next = self.receive.cb_data.val();
        self.err_read.next = self.receive.err_read.val();
        self.err_image.next = self.receive.err_image.val();
        self.beat.next = self.receive.beat.val();
        self.pf_beat.next = self.receive.pf_beat.val();

        // Visits.
        self.visits.group_vld.next = self.receive.group_vld.val();
        self.visits.group_slot.next = self.receive.group_slot.val();
        self.visits.group_count.next = self.receive.group_count.val();
        self.visits.group_closed.next = self.receive.group_closed.val();
        self.visits.group_first.next = self.receive.group_first.val();
        self.visits.group_visit.next = self.receive.group_visit.val();
        self.visits.group_kind.next = self.receive.group_kind.val();
        self.visits.group_index.next = self.receive.group_index.val();
        self.visits.group_expert.next = self.receive.group_expert.val();
        self.visits.exponents_vld.next = self.receive.exponents_vld.val();
        self.visits.exponents.next = self.receive.exponents.val();
        self.visits.look.next = self.receive.look.val();
        self.visits.look_slot.next = self.receive.look_slot.val();
        self.visits.adopt_vld.next = self.receive.adopt_vld.val();
        self.visits.adopt_slot.next = self.receive.adopt_slot.val();
        self.visits.vis_rdy.next = self.vis_rdy.val();
        self.visits.cur_slot.next = self.cur_slot.val();
        self.vis_vld.next = self.visits.vis_vld.val();
        self.vis_slot.next = self.visits.vis_slot.val();
        self.vis_kind.next = self.visits.vis_kind.val();
        self.vis_first.next = self.visits.vis_first.val();
        self.vis_expert.next = self.visits.vis_expert.val();
        self.vis_exp_a.next = self.visits.vis_exp_a.val();
        self.vis_exp_b.next = self.visits.vis_exp_b.val();
        self.vis_exp_c.next = self.visits.vis_exp_c.val();
        self.cur_loaded.next = self.visits.cur_loaded.val();
        self.cur_closed.next = self.visits.cur_closed.val();
        self.cur_total.next = self.visits.cur_total.val();

        // Demanded images that have begun and not ended.
        if self.request.begun.val() && !self.receive.image_done.val() {
            self.images.d.next = self.images.q.val() + 1;
        }
        if !self.request.begun.val() && self.receive.image_done.val() {
            self.images.d.next = self.images.q.val() - 1;
        }
        self.quiet.next = self.reader.idle.val();
        self.busy.next = self.request.busy.val()
            || self.images.q.val() != 0
            || (self.receive.group_vld.val() && self.receive.group_visit.val())
            || self.visits.waiting.val();
        if self.rst.val() {
            self.images.d.next = 0.into();
        }
    }
}
