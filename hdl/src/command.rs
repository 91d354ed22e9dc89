//! Command execution: fetches descriptors, checks them, and leads a command through its phases.
//!
//! What: one state machine. Fetch (7 beats) -> check -> the host's routes if the command has them, then x (router, experts, sums: the
//! data-flow units run by themselves) -> routes out as soon as they are known, while the array computes -> y out, as its tokens
//! become complete -> completion record, last. A Prefetch is complete when it is checked. A refused command writes only its
//! record. If several errors apply the lowest status code is reported. If the descriptor could not be read, or `done_addr` itself
//! is misplaced, there is no record: LAST_STATUS tells.
//!
//! The checks and all derived parameters are a pipeline of registers over the descriptor's registers, a few LUT levels each; state
//! `Check` waits until it has settled (14 cycles, of which the division E / groups takes nine and the shift-add for TASK eight).
//! Parameters are valid from `go` (or `pf_go`) until the command is done; between commands the registers are refilled.
//! Cost: docs/utilisation.md; no DSP.
//! Latency: 15 cycles from the last beat of the descriptor to `go`, or to the record of a refused command.
//!
//! Not built: overlapping one command's output with the next one's fetch, which would need a second set of descriptor registers.

use abi::Config;
use leaf::prelude::*;

/// Phases of a command.
#[derive(Copy, Clone, PartialEq, Debug, LogicState)]
pub enum State {
    /// No command.
    Idle,
    /// The descriptor's address is formed.
    Ring,
    /// Descriptor beats arrive.
    Fetch,
    /// The checks settle.
    Check,
    /// The command starts; the reader is sent to the routes or to x.
    Begin,
    /// The host's routes are requested; then the reader is sent to x.
    HostRoutes,
    /// The reader gets one row of x per cycle.
    Grant,
    /// Waits for the routes.
    Run,
    /// Routes: start, one cycle for the writer to leave idle, wait.
    RouteStart,
    /// See above.
    RouteSettle,
    /// See above.
    RouteWait,
    /// y: the same.
    YStart,
    /// See above.
    YSettle,
    /// See above.
    YWait,
    /// The data flow becomes quiet.
    Drain,
    /// The status is settled.
    Judge,
    /// Completion record: start, one cycle for the writer to leave idle, wait.
    RecordStart,
    /// See above.
    RecordSettle,
    /// See above.
    RecordWait,
    /// Counts, tells, goes idle.
    Finish,
}

/// See the module's page.
#[derive(LogicBlock)]
pub struct Command {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Address of the command ring.
    pub ring_base: Signal<In, Bits<40>>,
    /// Logarithm of its number of descriptors.
    pub ring_log2: Signal<In, Bits<4>>,
    /// Commands the host has written.
    pub tail: Signal<In, Bits<16>>,
    /// No command begins.
    pub hold: Signal<In, Bit>,
    /// Which task's gate the router uses.
    pub task_index: Signal<In, Bits<8>>,
    /// Commands completed since reset.
    pub done_count: Signal<Out, Bits<16>>,
    /// Status code of the last one.
    pub last_status: Signal<Out, Bits<8>>,
    /// No command.
    pub idle: Signal<Out, Bit>,
    /// Pulse: a command with the irq flag is done.
    pub irq_set: Signal<Out, Bit>,
    /// To the reader: new job.
    pub rd_start: Signal<Out, Bit>,
    /// Its address.
    pub rd_addr: Signal<Out, Bits<40>>,
    /// More beats may be read.
    pub rd_grant_vld: Signal<Out, Bit>,
    /// How many.
    pub rd_grant_beats: Signal<Out, Bits<16>>,
    /// A beat from the reader, for descriptor fetches.
    pub rd_vld: Signal<In, Bit>,
    /// The beat.
    pub rd_data: Signal<In, Bits<128>>,
    /// A beat of the reader moves, whoever takes it.
    pub rd_taken: Signal<In, Bit>,
    /// The reader met an error response since its start.
    pub rd_err: Signal<In, Bit>,
    /// The reader has requested all it was granted.
    pub rd_issued: Signal<In, Bit>,
    /// The reader has nothing left to do.
    pub rd_idle: Signal<In, Bit>,
    /// Whose the reader's beats are: 0 the descriptor's, 1 the host's routes, 2 x.
    pub rd_sel: Signal<Out, Bits<2>>,
    /// To the writer: new job.
    pub wr_start: Signal<Out, Bit>,
    /// Its address.
    pub wr_addr: Signal<Out, Bits<40>>,
    /// Its length.
    pub wr_beats: Signal<Out, Bits<32>>,
    /// All written and answered.
    pub wr_idle: Signal<In, Bit>,
    /// A write was answered with an error.
    pub wr_err: Signal<In, Bit>,
    /// Source of the writer's beats: 0 y, 1 routes, 2 completion record.
    pub wr_sel: Signal<Out, Bits<2>>,
    /// Completion record valid.
    pub rec_vld: Signal<Out, Bit>,
    /// The record.
    pub rec_data: Signal<Out, Bits<128>>,
    /// Read-out of the routes begins.
    pub route_start: Signal<Out, Bit>,
    /// A checked command with work for the array starts.
    pub go: Signal<Out, Bit>,
    /// A checked command of any opcode starts: what it says of prefetching is valid.
    pub pf_go: Signal<Out, Bit>,
    /// T.
    pub tokens: Signal<Out, Bits<16>>,
    /// d.
    pub d: Signal<Out, Bits<16>>,
    /// f.
    pub f: Signal<Out, Bits<16>>,
    /// E.
    pub experts: Signal<Out, Bits<16>>,
    /// k.
    pub topk: Signal<Out, Bits<8>>,
    /// Exponent of y's LSB, signed.
    pub lsb_y: Signal<Out, Bits<16>>,
    /// Values of the weights: `abi::Format`.
    pub format: Signal<Out, Bits<2>>,
    /// Their structure: `abi::Sparsity`.
    pub sparsity: Signal<Out, Bits<3>>,
    /// Two rows per lane.
    pub paired: Signal<Out, Bit>,
    /// Expert rows have a bias block.
    pub bias: Signal<Out, Bit>,
    /// Activation: `abi::Activation`.
    pub act: Signal<Out, Bits<3>>,
    /// Experts have gate and up; 0 for a dense layer.
    pub gated: Signal<Out, Bit>,
    /// Where routes come from: `abi::Source`.
    pub source: Signal<Out, Bits<2>>,
    /// How logits become scores: `abi::Score`.
    pub score: Signal<Out, Bits<2>>,
    /// Renormalise.
    pub renorm: Signal<Out, Bit>,
    /// The router image holds biases for the choice.
    pub choice_bias: Signal<Out, Bit>,
    /// A group's score is the sum of its two best.
    pub sum2: Signal<Out, Bit>,
    /// The router's rows have a bias block.
    pub router_bias: Signal<Out, Bit>,
    /// Expert groups; 0 or 1: none.
    pub groups: Signal<Out, Bits<8>>,
    /// Groups that may be chosen from.
    pub groups_kept: Signal<Out, Bits<8>>,
    /// Factor on the weights, Q4.12.
    pub route_scale: Signal<Out, Bits<16>>,
    /// Threshold of sparsemixer.
    pub jitter: Signal<Out, Bits<16>>,
    /// A dense layer (opcode Linear).
    pub plain: Signal<Out, Bit>,
    /// The sums go on from the last command's.
    pub keep_sums: Signal<Out, Bit>,
    /// The sums stay, no y is written.
    pub no_y: Signal<Out, Bit>,
    /// Elements of a row of y.
    pub rows_y: Signal<Out, Bits<16>>,
    /// Blocks of d, without the bias.
    pub nblk_d: Signal<Out, Bits<16>>,
    /// Blocks of f, without the bias.
    pub nblk_f: Signal<Out, Bits<16>>,
    /// Structural weights of a row of d inputs.
    pub kept_d: Signal<Out, Bits<16>>,
    /// Structural weights of a row of f inputs.
    pub kept_f: Signal<Out, Bits<16>>,
    /// Array groups of the router.
    pub groups_router: Signal<Out, Bits<16>>,
    /// Array groups of the first section: hidden, or a dense layer.
    pub groups_a: Signal<Out, Bits<16>>,
    /// Array groups of down; 0 for a dense layer.
    pub groups_b: Signal<Out, Bits<16>>,
    /// Words of a slot's bank for a group of the router.
    pub words_r: Signal<Out, Bits<16>>,
    /// The same for a group of the first section.
    pub words_a: Signal<Out, Bits<16>>,
    /// The same for a group of down.
    pub words_b: Signal<Out, Bits<16>>,
    /// Words of a slot to use.
    pub window_words: Signal<Out, Bits<16>>,
    /// Router image of the task.
    pub router_addr: Signal<Out, Bits<40>>,
    /// Image of expert 0, or of the dense layer.
    pub experts_addr: Signal<Out, Bits<40>>,
    /// Distance of images.
    pub expert_stride: Signal<Out, Bits<32>>,
    /// Image of expert 0 of the layer to prefetch.
    pub next_addr: Signal<Out, Bits<40>>,
    /// Row of the prediction table.
    pub layer: Signal<Out, Bits<8>>,
    /// How experts are guessed: `abi::Predict`.
    pub predict: Signal<Out, Bits<2>>,
    /// Experts to prefetch at most.
    pub guesses: Signal<Out, Bits<8>>,
    /// Guessed experts, best first.
    pub hints: Signal<Out, Bits<64>>,
    /// All routes are known.
    pub rt_done: Signal<In, Bit>,
    /// All of y has left its unit.
    pub y_done: Signal<In, Bit>,
    /// All expert jobs are issued.
    pub jobs_done: Signal<In, Bit>,
    /// How many.
    pub jobs: Signal<In, Bits<16>>,
    /// Pulse: an expert, or the dense layer, is finished.
    pub section_done: Signal<In, Bit>,
    /// Some unit still holds work of this command.
    pub flow_busy: Signal<In, Bit>,
    /// x held an infinity or NaN.
    pub x_nonfinite: Signal<In, Bit>,
    /// The host's routes named an expert beyond E.
    pub route_error: Signal<In, Bit>,
    /// The loader met an error response.
    pub load_err_read: Signal<In, Bit>,
    /// The loader met an image without magic.
    pub load_err_image: Signal<In, Bit>,
    /// Waits for the descriptor, or for the writer.
    pub wait_memory: Signal<Out, Bit>,
    reads: Dff<Bit>,
    waiting: Dff<Bit>,
    fetches: Dff<Bit>,
    write_source: Dff<Bits<2>>,
    record: Dff<Bit>,
    reads_at: Dff<Bits<40>>,
    grants: Dff<Bit>,
    grant_beats: Dff<Bits<16>>,
    writes: Dff<Bit>,
    writes_at: Dff<Bits<40>>,
    write_beats: Dff<Bits<32>>,
    sends_routes: Dff<Bit>,
    begins: Dff<Bit>,
    begins_guesses: Dff<Bit>,
    state: Dff<State>,
    at: Dff<Bits<7>>,
    w0: Dff<Bits<128>>,
    x_addr: Dff<Bits<40>>,
    y_addr: Dff<Bits<40>>,
    route_addr: Dff<Bits<40>>,
    done_addr: Dff<Bits<40>>,
    images_r: Dff<Bits<40>>,
    images_e: Dff<Bits<40>>,
    w4: Dff<Bits<128>>,
    next_at: Dff<Bits<40>>,
    w5: Dff<Bits<64>>,
    w6: Dff<Bits<64>>,
    step: Dff<Bits<4>>,
    settle: Dff<Bit>,
    left: Dff<Bits<16>>,
    host_left: Dff<Bits<16>>,
    host_routes: Dff<Bit>,
    y_beats: Dff<Bits<32>>,
    finished: Dff<Bits<16>>,
    head: Dff<Bits<16>>,
    status: Dff<Bits<8>>,
    last: Dff<Bits<8>>,
    cycles: Dff<Bits<32>>,
    running: Dff<Bit>,
    routed: Dff<Bit>,
    y_left: Dff<Bit>,
    fetch_failed: Dff<Bit>,
    read_failed: Dff<Bit>,
    write_failed: Dff<Bit>,
    no_record: Dff<Bit>,
    index: Dff<Bits<16>>,
    ring_addr: Dff<Bits<40>>,
    task_addr: Dff<Bits<40>>,
    task_step: Dff<Bits<40>>,
    task_bits: Dff<Bits<8>>,
    is_plain: Dff<Bit>,
    is_gated: Dff<Bit>,
    shift_a: Dff<Bits<2>>,
    shift_w: Dff<Bits<2>>,
    blocks_d: Dff<Bits<16>>,
    blocks_f: Dff<Bits<16>>,
    stored_d: Dff<Bits<16>>,
    stored_f: Dff<Bits<16>>,
    stored_r: Dff<Bits<16>>,
    quads_f: Dff<Bits<16>>,
    quads_d: Dff<Bits<16>>,
    a_groups: Dff<Bits<16>>,
    b_groups: Dff<Bits<16>>,
    r_groups: Dff<Bits<16>>,
    r_words: Dff<Bits<16>>,
    a_words: Dff<Bits<16>>,
    b_words: Dff<Bits<16>>,
    d_kept: Dff<Bits<16>>,
    f_kept: Dff<Bits<16>>,
    y_rows: Dff<Bits<16>>,
    x_row: Dff<Bits<16>>,
    y_row: Dff<Bits<16>>,
    dividend: Dff<Bits<9>>,
    rest: Dff<Bits<6>>,
    quotient: Dff<Bits<9>>,
    partial: Dff<Bits<8>>,
    product: Dff<Bits<8>>,
    lsb_biased: Dff<Bits<16>>,
    bad_opcode: Dff<Bit>,
    bad_storage: Dff<Bit>,
    bad_reads: Dff<Bit>,
    bad_activation: Dff<Bit>,
    bad_other: Dff<Bit>,
    bad_linear: Dff<Bit>,
    bad_mode: Dff<Bit>,
    bad_tokens: Dff<Bit>,
    bad_d: Dff<Bit>,
    bad_f: Dff<Bit>,
    bad_experts: Dff<Bit>,
    bad_topk: Dff<Bit>,
    bad_lsb: Dff<Bit>,
    bad_multiple: Dff<Bit>,
    bad_mixer: Dff<Bit>,
    bad_groups: Dff<Bit>,
    bad_choice: Dff<Bit>,
    bad_guess: Dff<Bit>,
    bad_sizes: Dff<Bit>,
    bad_size: Dff<Bit>,
    bad_align: Dff<Bit>,
    bad_done: Dff<Bit>,
    bad_window: Dff<Bit>,
    mask_: Signal<Local, Bits<16>>,
    low_bad_: Signal<Local, Bit>,
    high_bad_: Signal<Local, Bit>,
    modes_: Signal<Local, Bits<5>>,
    four_bit_: Signal<Local, Bit>,
    octet_: Signal<Local, Bit>,
    trial_: Signal<Local, Bits<6>>,
    code_: Signal<Local, Bits<8>>,
    act_: Signal<Local, Bits<8>>,
    f_max_: Signal<Local, Bits<16>>,
    c_modes: Constant<Bits<5>>,
    c_tokens_max: Constant<Bits<16>>,
    c_d_max: Constant<Bits<16>>,
    c_f_max: Constant<Bits<16>>,
    c_experts_max: Constant<Bits<16>>,
    c_layers_max: Constant<Bits<16>>,
    c_slots: Constant<Bits<8>>,
    c_slot_words: Constant<Bits<16>>,
}

impl Command {
    /// Checks against the limits of `config`.
    pub fn new(config: &Config) -> Self {
        let m = &config.modes;
        let modes = [m.int4, m.fp4, m.pairs, m.octets, m.gelu]
            .iter()
            .rev()
            .fold(0u64, |all, &one| all << 1 | u64::from(one))
            .to_bits();
        Self {
            clk: Default::default(),
            rst: Default::default(),
            ring_base: Default::default(),
            ring_log2: Default::default(),
            tail: Default::default(),
            hold: Default::default(),
            task_index: Default::default(),
            done_count: Default::default(),
            last_status: Default::default(),
            idle: Default::default(),
            irq_set: Default::default(),
            rd_start: Default::default(),
            rd_addr: Default::default(),
            rd_grant_vld: Default::default(),
            rd_grant_beats: Default::default(),
            rd_vld: Default::default(),
            rd_data: Default::default(),
            rd_taken: Default::default(),
            rd_err: Default::default(),
            rd_issued: Default::default(),
            rd_idle: Default::default(),
            rd_sel: Default::default(),
            wr_start: Default::default(),
            wr_addr: Default::default(),
            wr_beats: Default::default(),
            wr_idle: Default::default(),
            wr_err: Default::default(),
            wr_sel: Default::default(),
            rec_vld: Default::default(),
            rec_data: Default::default(),
            route_start: Default::default(),
            go: Default::default(),
            pf_go: Default::default(),
            tokens: Default::default(),
            d: Default::default(),
            f: Default::default(),
            experts: Default::default(),
            topk: Default::default(),
            lsb_y: Default::default(),
            format: Default::default(),
            sparsity: Default::default(),
            paired: Default::default(),
            bias: Default::default(),
            act: Default::default(),
            gated: Default::default(),
            source: Default::default(),
            score: Default::default(),
            renorm: Default::default(),
            choice_bias: Default::default(),
            sum2: Default::default(),
            router_bias: Default::default(),
            groups: Default::default(),
            groups_kept: Default::default(),
            route_scale: Default::default(),
            jitter: Default::default(),
            plain: Default::default(),
            keep_sums: Default::default(),
            no_y: Default::default(),
            rows_y: Default::default(),
            nblk_d: Default::default(),
            nblk_f: Default::default(),
            kept_d: Default::default(),
            kept_f: Default::default(),
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
            layer: Default::default(),
            predict: Default::default(),
            guesses: Default::default(),
            hints: Default::default(),
            rt_done: Default::default(),
            y_done: Default::default(),
            jobs_done: Default::default(),
            jobs: Default::default(),
            section_done: Default::default(),
            flow_busy: Default::default(),
            x_nonfinite: Default::default(),
            route_error: Default::default(),
            load_err_read: Default::default(),
            load_err_image: Default::default(),
            wait_memory: Default::default(),
            reads: Default::default(),
            waiting: Default::default(),
            fetches: Default::default(),
            write_source: Default::default(),
            record: Default::default(),
            reads_at: Default::default(),
            grants: Default::default(),
            grant_beats: Default::default(),
            writes: Default::default(),
            writes_at: Default::default(),
            write_beats: Default::default(),
            sends_routes: Default::default(),
            begins: Default::default(),
            begins_guesses: Default::default(),
            state: Default::default(),
            at: Default::default(),
            w0: Default::default(),
            x_addr: Default::default(),
            y_addr: Default::default(),
            route_addr: Default::default(),
            done_addr: Default::default(),
            images_r: Default::default(),
            images_e: Default::default(),
            w4: Default::default(),
            next_at: Default::default(),
            w5: Default::default(),
            w6: Default::default(),
            step: Default::default(),
            settle: Default::default(),
            left: Default::default(),
            host_left: Default::default(),
            host_routes: Default::default(),
            y_beats: Default::default(),
            finished: Default::default(),
            head: Default::default(),
            status: Default::default(),
            last: Default::default(),
            cycles: Default::default(),
            running: Default::default(),
            routed: Default::default(),
            y_left: Default::default(),
            fetch_failed: Default::default(),
            read_failed: Default::default(),
            write_failed: Default::default(),
            no_record: Default::default(),
            index: Default::default(),
            ring_addr: Default::default(),
            task_addr: Default::default(),
            task_step: Default::default(),
            task_bits: Default::default(),
            is_plain: Default::default(),
            is_gated: Default::default(),
            shift_a: Default::default(),
            shift_w: Default::default(),
            blocks_d: Default::default(),
            blocks_f: Default::default(),
            stored_d: Default::default(),
            stored_f: Default::default(),
            stored_r: Default::default(),
            quads_f: Default::default(),
            quads_d: Default::default(),
            a_groups: Default::default(),
            b_groups: Default::default(),
            r_groups: Default::default(),
            r_words: Default::default(),
            a_words: Default::default(),
            b_words: Default::default(),
            d_kept: Default::default(),
            f_kept: Default::default(),
            y_rows: Default::default(),
            x_row: Default::default(),
            y_row: Default::default(),
            dividend: Default::default(),
            rest: Default::default(),
            quotient: Default::default(),
            partial: Default::default(),
            product: Default::default(),
            lsb_biased: Default::default(),
            bad_opcode: Default::default(),
            bad_storage: Default::default(),
            bad_reads: Default::default(),
            bad_activation: Default::default(),
            bad_other: Default::default(),
            bad_linear: Default::default(),
            bad_mode: Default::default(),
            bad_tokens: Default::default(),
            bad_d: Default::default(),
            bad_f: Default::default(),
            bad_experts: Default::default(),
            bad_topk: Default::default(),
            bad_lsb: Default::default(),
            bad_multiple: Default::default(),
            bad_mixer: Default::default(),
            bad_groups: Default::default(),
            bad_choice: Default::default(),
            bad_guess: Default::default(),
            bad_sizes: Default::default(),
            bad_size: Default::default(),
            bad_align: Default::default(),
            bad_done: Default::default(),
            bad_window: Default::default(),
            mask_: Default::default(),
            low_bad_: Default::default(),
            high_bad_: Default::default(),
            modes_: Default::default(),
            four_bit_: Default::default(),
            octet_: Default::default(),
            trial_: Default::default(),
            code_: Default::default(),
            act_: Default::default(),
            f_max_: Default::default(),
            c_modes: Constant::new(modes),
            c_tokens_max: Constant::new((config.tokens_max as u64).to_bits()),
            c_d_max: Constant::new((config.d_max as u64).to_bits()),
            c_f_max: Constant::new((config.f_max as u64).to_bits()),
            c_experts_max: Constant::new((config.experts_max as u64).to_bits()),
            c_layers_max: Constant::new((config.layers_max as u64).to_bits()),
            c_slots: Constant::new((config.slots as u64).to_bits()),
            c_slot_words: Constant::new((config.slot_words as u64).to_bits()),
        }
    }
}

impl Logic for Command {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("command");
        dff_setup!(
            self, clk, state, at, w0, x_addr, y_addr, route_addr, done_addr, images_r, images_e
        );
        dff_setup!(
            self,
            clk,
            w4,
            next_at,
            w5,
            w6,
            step,
            settle,
            left,
            host_left,
            host_routes
        );
        dff_setup!(
            self, clk, y_beats, finished, head, status, last, cycles, running, routed, y_left
        );
        dff_setup!(
            self,
            clk,
            fetch_failed,
            read_failed,
            write_failed,
            no_record,
            index,
            ring_addr,
            task_addr,
            task_step,
            task_bits
        );
        dff_setup!(
            self, clk, is_plain, is_gated, shift_a, shift_w, blocks_d, blocks_f, stored_d,
            stored_f, stored_r
        );
        dff_setup!(
            self, clk, quads_f, quads_d, a_groups, b_groups, r_groups, r_words, a_words, b_words,
            d_kept
        );
        dff_setup!(
            self, clk, f_kept, y_rows, x_row, y_row, dividend, rest, quotient, partial, product
        );
        dff_setup!(
            self,
            clk,
            lsb_biased,
            bad_opcode,
            bad_storage,
            bad_reads,
            bad_activation,
            bad_other,
            bad_linear,
            bad_mode,
            bad_tokens
        );
        dff_setup!(
            self,
            clk,
            bad_d,
            bad_f,
            bad_experts,
            bad_topk,
            bad_lsb,
            bad_multiple,
            bad_mixer,
            bad_groups,
            bad_choice
        );
        dff_setup!(self, clk, bad_guess, bad_sizes, bad_size, bad_align, bad_done, bad_window);

        dff_setup!(
            self,
            clk,
            reads,
            reads_at,
            grants,
            grant_beats,
            writes,
            writes_at,
            write_beats,
            waiting,
            fetches,
            write_source,
            record,
            sends_routes,
            begins,
            begins_guesses
        );

        // The descriptor's fields (abi::command::COMMAND_FIELDS).
        self.tokens.next = self.w0.q.val().get_bits::<16>(32);
        self.d.next = self.w0.q.val().get_bits::<16>(48);
        self.f.next = self.w0.q.val().get_bits::<16>(64);
        self.experts.next = self.w0.q.val().get_bits::<16>(80);
        self.topk.next = self.w0.q.val().get_bits::<8>(96);
        self.format.next = self.w0.q.val().get_bits::<2>(104);
        self.sparsity.next = self.w0.q.val().get_bits::<3>(106);
        self.paired.next = self.w0.q.val().get_bit(109);
        self.bias.next = self.w0.q.val().get_bit(110);
        self.lsb_y.next = self.w0.q.val().get_bits::<16>(112);
        self.keep_sums.next = self.w0.q.val().get_bit(9);
        self.no_y.next = self.w0.q.val().get_bit(10);
        self.experts_addr.next = self.images_e.q.val();
        self.expert_stride.next = self.w4.q.val().get_bits::<32>(0);
        self.act.next = self.w4.q.val().get_bits::<3>(64);
        self.source.next = self.w4.q.val().get_bits::<2>(72);
        self.score.next = self.w4.q.val().get_bits::<2>(74);
        self.renorm.next = self.w4.q.val().get_bit(76);
        self.choice_bias.next = self.w4.q.val().get_bit(77);
        self.sum2.next = self.w4.q.val().get_bit(78);
        self.router_bias.next = self.w4.q.val().get_bit(79);
        self.groups.next = self.w4.q.val().get_bits::<8>(80);
        self.groups_kept.next = self.w4.q.val().get_bits::<8>(88);
        self.route_scale.next = self.w4.q.val().get_bits::<16>(96);
        self.window_words.next = self.w4.q.val().get_bits::<16>(112);
        self.next_addr.next = self.next_at.q.val();
        self.layer.next = self.w5.q.val().get_bits::<8>(0);
        self.predict.next = self.w5.q.val().get_bits::<2>(8);
        self.guesses.next = self.w5.q.val().get_bits::<8>(16);
        self.jitter.next = self.w5.q.val().get_bits::<16>(32);
        self.hints.next = self.w6.q.val();

        // Derived parameters, stage by stage. A group holds 4, 8 or 16 rows: shift_a and one more for pairs beyond the first 4. A
        // group's words are its blocks (with the bias) times 1, 2 or 4 in every storage (the largest of its three kinds of words).
        self.is_plain.d.next = self.w0.q.val().get_bits::<8>(0) == 2;
        self.is_gated.d.next =
            self.w0.q.val().get_bits::<8>(0) != 2 && !self.w4.q.val().get_bit(67);
        self.four_bit_.next = self.w0.q.val().get_bits::<2>(104) != 0;
        self.octet_.next =
            self.w0.q.val().get_bits::<3>(106) == 1 || self.w0.q.val().get_bits::<3>(106) == 4;
        self.shift_w.d.next = 0.into();
        if self.w0.q.val().get_bits::<3>(106) == 0 {
            self.shift_w.d.next = 2.into();
            if self.four_bit_.val() && !self.w0.q.val().get_bit(109) {
                self.shift_w.d.next = 1.into();
            }
        }
        if self.w0.q.val().get_bits::<3>(106) == 1
            || (self.w0.q.val().get_bits::<3>(106) == 2
                && (!self.four_bit_.val() || self.w0.q.val().get_bit(109)))
        {
            self.shift_w.d.next = 1.into();
        }
        self.shift_a.d.next = 1.into();
        if self.w0.q.val().get_bit(109) {
            self.shift_a.d.next = 2.into();
        }
        self.blocks_d.d.next = (self.w0.q.val().get_bits::<16>(48) + 31) >> 5;
        self.blocks_f.d.next = (self.w0.q.val().get_bits::<16>(64) + 31) >> 5;
        self.stored_d.d.next = self.blocks_d.q.val();
        self.stored_f.d.next = self.blocks_f.q.val();
        if self.w0.q.val().get_bit(110) {
            self.stored_d.d.next = self.blocks_d.q.val() + 1;
            self.stored_f.d.next = self.blocks_f.q.val() + 1;
        }
        self.stored_r.d.next = self.blocks_d.q.val();
        if self.w4.q.val().get_bit(79) {
            self.stored_r.d.next = self.blocks_d.q.val() + 1;
        }
        self.r_words.d.next = self.stored_r.q.val() << 2;
        self.a_words.d.next = self.stored_d.q.val() << self.shift_w.q.val();
        self.b_words.d.next = self.stored_f.q.val() << self.shift_w.q.val();
        self.quads_d.d.next = (self.w0.q.val().get_bits::<16>(48) + 3) >> 2;
        self.quads_f.d.next = (self.w0.q.val().get_bits::<16>(64) + 3) >> 2;
        self.r_groups.d.next = (self.w0.q.val().get_bits::<16>(80) + 3) >> 2;
        self.a_groups.d.next = self.quads_f.q.val();
        if (self.is_gated.q.val() && self.shift_a.q.val().get_bit(1))
            || (!self.is_gated.q.val() && self.shift_a.q.val().get_bit(0))
        {
            self.a_groups.d.next = (self.quads_f.q.val() + 1) >> 1;
        }
        if !self.is_gated.q.val() && self.shift_a.q.val().get_bit(1) {
            self.a_groups.d.next = (self.quads_f.q.val() + 3) >> 2;
        }
        self.b_groups.d.next = (self.quads_d.q.val() + 1) >> 1;
        if self.shift_a.q.val().get_bit(1) {
            self.b_groups.d.next = (self.quads_d.q.val() + 3) >> 2;
        }
        if self.is_plain.q.val() {
            self.b_groups.d.next = 0.into();
            self.b_words.d.next = 0.into();
        }
        self.d_kept.d.next = self.w0.q.val().get_bits::<16>(48);
        self.f_kept.d.next = self.w0.q.val().get_bits::<16>(64);
        if self.w0.q.val().get_bits::<3>(106) == 1 || self.w0.q.val().get_bits::<3>(106) == 2 {
            self.d_kept.d.next = self.w0.q.val().get_bits::<16>(48) >> 1;
            self.f_kept.d.next = self.w0.q.val().get_bits::<16>(64) >> 1;
        }
        if self.w0.q.val().get_bits::<3>(106) == 3 {
            self.d_kept.d.next = self.w0.q.val().get_bits::<16>(48) >> 2;
            self.f_kept.d.next = self.w0.q.val().get_bits::<16>(64) >> 2;
        }
        if self.w0.q.val().get_bit(108) {
            self.d_kept.d.next = self.w0.q.val().get_bits::<16>(48) >> 3;
            self.f_kept.d.next = self.w0.q.val().get_bits::<16>(64) >> 3;
        }
        self.y_rows.d.next = self.w0.q.val().get_bits::<16>(48);
        self.y_row.d.next = self.quads_d.q.val();
        if self.is_plain.q.val() {
            self.y_rows.d.next = self.w0.q.val().get_bits::<16>(64);
            self.y_row.d.next = self.quads_f.q.val();
        }
        self.plain.next = self.is_plain.q.val();
        self.gated.next = self.is_gated.q.val();
        self.rows_y.next = self.y_rows.q.val();
        self.nblk_d.next = self.blocks_d.q.val();
        self.nblk_f.next = self.blocks_f.q.val();
        self.kept_d.next = self.d_kept.q.val();
        self.kept_f.next = self.f_kept.q.val();
        self.groups_router.next = self.r_groups.q.val();
        self.groups_a.next = self.a_groups.q.val();
        self.groups_b.next = self.b_groups.q.val();
        self.words_r.next = self.r_words.q.val();
        self.words_a.next = self.a_words.q.val();
        self.words_b.next = self.b_words.q.val();
        self.router_addr.next = self.task_addr.q.val();

        // The router image of the task: one bit of TASK per cycle.
        self.task_step.d.next = self.task_step.q.val() << 1;
        self.task_bits.d.next = self.task_bits.q.val() >> 1;
        if self.task_bits.q.val().get_bit(0) {
            self.task_addr.d.next = self.task_addr.q.val() + self.task_step.q.val();
        }

        // E / groups: one bit of the quotient per cycle. Of interest for E up to 256 and 2 to 16 groups.
        self.trial_.next =
            (self.rest.q.val() << 1) | bit_cast::<6, 1>(self.dividend.q.val().get_bits::<1>(8));
        self.dividend.d.next = self.dividend.q.val() << 1;
        if self.trial_.val() >= self.w4.q.val().get_bits::<6>(80) {
            self.rest.d.next = self.trial_.val() - self.w4.q.val().get_bits::<6>(80);
            self.quotient.d.next = (self.quotient.q.val() << 1) | bits::<9>(1);
        } else {
            self.rest.d.next = self.trial_.val();
            self.quotient.d.next = self.quotient.q.val() << 1;
        }
        if self.step.q.val() > 8 {
            self.rest.d.next = self.rest.q.val();
            self.quotient.d.next = self.quotient.q.val();
        }
        self.partial.d.next = 0.into();
        if self.quotient.q.val().get_bit(0) {
            self.partial.d.next = bit_cast::<8, 5>(self.w4.q.val().get_bits::<5>(88));
        }
        if self.quotient.q.val().get_bit(1) {
            self.partial.d.next = bit_cast::<8, 5>(self.w4.q.val().get_bits::<5>(88)) << 1;
        }
        if self.quotient.q.val().get_bits::<2>(0) == 3 {
            self.partial.d.next = bit_cast::<8, 5>(self.w4.q.val().get_bits::<5>(88))
                + (bit_cast::<8, 5>(self.w4.q.val().get_bits::<5>(88)) << 1);
        }
        self.product.d.next = self.partial.q.val();
        if self.quotient.q.val().get_bit(2) {
            self.product.d.next =
                self.partial.q.val() + (bit_cast::<8, 5>(self.w4.q.val().get_bits::<5>(88)) << 2);
        }

        // What the engine refuses: rules by themselves, then by status.
        self.modes_.next = self.c_modes.val();
        self.act_.next = self.w4.q.val().get_bits::<8>(64);
        self.bad_opcode.d.next = self.w0.q.val().get_bits::<8>(0) == 0
            || self.w0.q.val().get_bits::<8>(0) > 3
            || self.w0.q.val().get_bits::<5>(11) != 0;
        self.bad_storage.d.next = self.w0.q.val().get_bit(111)
            || self.w0.q.val().get_bits::<2>(104) == 3
            || self.w0.q.val().get_bits::<3>(106) > 4
            || (self.w0.q.val().get_bit(109)
                && (!self.four_bit_.val() || self.w0.q.val().get_bits::<3>(106) > 2));
        self.bad_reads.d.next = (self.w0.q.val().get_bits::<2>(104) == 1
            && !self.modes_.val().get_bit(0))
            || (self.w0.q.val().get_bits::<2>(104) == 2 && !self.modes_.val().get_bit(1))
            || (self.w0.q.val().get_bit(109) && !self.modes_.val().get_bit(2))
            || (self.octet_.val() && !self.modes_.val().get_bit(3));
        self.bad_activation.d.next = self.act_.val().get_bits::<4>(4) != 0
            || self.act_.val().get_bits::<3>(0) > 5
            || self.act_.val() == 4
            || self.act_.val() == 13
            || (!self.modes_.val().get_bit(4)
                && (self.act_.val().get_bits::<3>(0) == 1
                    || self.act_.val().get_bits::<3>(0) == 2
                    || self.act_.val().get_bits::<3>(0) == 5));
        self.bad_linear.d.next = self.w0.q.val().get_bits::<8>(0) == 2
            && (self.act_.val() != 0 || self.w4.q.val().get_bits::<2>(72) != 2);
        self.bad_other.d.next = self.w4.q.val().get_bits::<2>(72) == 3
            || self.w5.q.val().get_bits::<8>(8) > 2
            || self.w5.q.val().get_bits::<8>(24) != 0
            || self.w5.q.val().get_bits::<16>(48) != 0;
        self.bad_mode.d.next = self.bad_storage.q.val()
            || self.bad_reads.q.val()
            || self.bad_activation.q.val()
            || self.bad_linear.q.val()
            || self.bad_other.q.val();
        self.bad_tokens.d.next = self.w0.q.val().get_bits::<16>(32) == 0
            || self.w0.q.val().get_bits::<16>(32) > self.c_tokens_max.val();
        self.bad_d.d.next = self.w0.q.val().get_bits::<16>(48) == 0
            || self.w0.q.val().get_bits::<16>(48) > self.c_d_max.val();
        self.f_max_.next = self.c_f_max.val();
        if self.is_plain.q.val() {
            self.f_max_.next = self.c_d_max.val();
        }
        self.bad_f.d.next = self.w0.q.val().get_bits::<16>(64) == 0
            || self.w0.q.val().get_bits::<16>(64) > self.f_max_.val();
        self.bad_experts.d.next = self.w0.q.val().get_bits::<16>(80) == 0
            || self.w0.q.val().get_bits::<16>(80) > self.c_experts_max.val();
        self.bad_topk.d.next = self.w0.q.val().get_bits::<8>(96) == 0
            || self.w0.q.val().get_bits::<8>(96) > 8
            || bit_cast::<16, 8>(self.w0.q.val().get_bits::<8>(96))
                > self.w0.q.val().get_bits::<16>(80);
        self.lsb_biased.d.next = self.w0.q.val().get_bits::<16>(112) + 200;
        self.bad_lsb.d.next = self.lsb_biased.q.val() > 400;
        self.bad_multiple.d.next = (self.w0.q.val().get_bits::<3>(106) != 0
            && (self.w0.q.val().get_bits::<2>(48) != 0
                || (self.w0.q.val().get_bits::<2>(64) != 0 && !self.is_plain.q.val())))
            || (self.octet_.val()
                && (self.w0.q.val().get_bit(50)
                    || (self.w0.q.val().get_bit(66) && !self.is_plain.q.val())));
        self.bad_mixer.d.next =
            self.w4.q.val().get_bits::<2>(74) == 3 && self.w0.q.val().get_bits::<8>(96) != 2;
        self.bad_groups.d.next = self.w4.q.val().get_bits::<8>(80) > 16
            || (self.w4.q.val().get_bits::<7>(81) != 0
                && (self.w4.q.val().get_bits::<8>(88) == 0
                    || self.w4.q.val().get_bits::<8>(88) > self.w4.q.val().get_bits::<8>(80)));
        self.bad_choice.d.next = self.w4.q.val().get_bits::<7>(81) != 0
            && (self.rest.q.val() != 0
                || (self.w4.q.val().get_bit(78) && self.quotient.q.val().get_bits::<8>(1) == 0)
                || (self.quotient.q.val().get_bits::<6>(3) == 0
                    && self.product.q.val() < self.w0.q.val().get_bits::<8>(96)));
        self.bad_guess.d.next = bit_cast::<16, 8>(self.w5.q.val().get_bits::<8>(0))
            >= self.c_layers_max.val()
            || self.w5.q.val().get_bits::<8>(16) > self.c_slots.val();
        self.bad_sizes.d.next = self.bad_tokens.q.val()
            || self.bad_d.q.val()
            || self.bad_f.q.val()
            || self.bad_experts.q.val()
            || self.bad_topk.q.val();
        self.bad_size.d.next = self.bad_sizes.q.val()
            || self.bad_lsb.q.val()
            || self.bad_multiple.q.val()
            || self.bad_mixer.q.val()
            || self.bad_groups.q.val()
            || self.bad_choice.q.val()
            || self.bad_guess.q.val();
        self.bad_window.d.next = self.w4.q.val().get_bits::<16>(112) > self.c_slot_words.val()
            || self.w4.q.val().get_bits::<16>(112) < self.a_words.q.val()
            || self.w4.q.val().get_bits::<16>(112) < self.b_words.q.val();
        self.low_bad_.next =
            self.rd_data.val().get_bits::<6>(0) != 0 || self.rd_data.val().get_bits::<24>(40) != 0;
        self.high_bad_.next = self.rd_data.val().get_bits::<6>(64) != 0
            || self.rd_data.val().get_bits::<24>(104) != 0;

        // The lowest code that applies to a command that was executed.
        self.code_.next = 0.into();
        if self.x_nonfinite.val() {
            self.code_.next = 10.into();
        }
        if self.route_error.val() {
            self.code_.next = 9.into();
        }
        if self.load_err_image.val() {
            self.code_.next = 8.into();
        }
        if self.write_failed.q.val() {
            self.code_.next = 7.into();
        }
        if self.read_failed.q.val() || self.load_err_read.val() {
            self.code_.next = 6.into();
        }

        // The next descriptor's place.
        self.waiting.d.next = self.head.q.val() != self.tail.val();
        self.mask_.next = (bits::<16>(1) << self.ring_log2.val()) - 1;
        self.index.d.next = self.head.q.val() & self.mask_.val();
        self.ring_addr.d.next =
            self.ring_base.val() + (bit_cast::<40, 16>(self.index.q.val()) << 7);

        // Whose beats the reader brings.
        self.rd_sel.next = 2.into();
        if self.host_routes.q.val() {
            self.rd_sel.next = 1.into();
        }
        if self.fetches.q.val() {
            self.rd_sel.next = 0.into();
        }
        self.fetches.d.next = false;
        if self.host_routes.q.val() && self.rd_taken.val() {
            self.host_left.d.next = self.host_left.q.val() - 1;
            if self.host_left.q.val() == 1 {
                self.host_routes.d.next = false;
            }
        }

        // What goes to reader, writer and the units is registered; the states know that it comes a cycle later.
        self.wr_sel.next = self.write_source.q.val();
        self.rec_vld.next = self.record.q.val();
        self.rd_start.next = self.reads.q.val();
        self.rd_addr.next = self.reads_at.q.val();
        self.rd_grant_vld.next = self.grants.q.val();
        self.rd_grant_beats.next = self.grant_beats.q.val();
        self.wr_start.next = self.writes.q.val();
        self.wr_addr.next = self.writes_at.q.val();
        self.wr_beats.next = self.write_beats.q.val();
        self.route_start.next = self.sends_routes.q.val();
        self.go.next = self.begins.q.val();
        self.pf_go.next = self.begins_guesses.q.val();

        // Defaults of the pulses.
        self.reads.d.next = false;
        self.reads_at.d.next = self.x_addr.q.val();
        self.grants.d.next = false;
        self.grant_beats.d.next = self.quads_d.q.val();
        self.writes.d.next = false;
        self.writes_at.d.next = self.y_addr.q.val();
        self.write_beats.d.next = self.y_beats.q.val();
        self.write_source.d.next = 0.into();
        self.record.d.next = false;
        self.sends_routes.d.next = false;
        self.begins.d.next = false;
        self.begins_guesses.d.next = false;
        self.irq_set.next = false;
        self.wait_memory.next = false;
        self.idle.next = false;
        self.settle.d.next = false;
        self.cycles.d.next = self.cycles.q.val() + 1;
        if self.running.q.val() && self.rd_err.val() {
            self.read_failed.d.next = true;
        }

        match self.state.q.val() {
            State::Idle => {
                self.idle.next = true;
                self.running.d.next = false;
                self.settle.d.next = true;
                if self.settle.q.val() && self.waiting.q.val() && !self.hold.val() {
                    self.settle.d.next = false;
                    self.cycles.d.next = 0.into();
                    self.state.d.next = State::Ring;
                }
            }
            State::Ring => {
                self.settle.d.next = true;
                if self.settle.q.val() {
                    self.settle.d.next = false;
                    self.reads.d.next = true;
                    self.reads_at.d.next = self.ring_addr.q.val();
                    self.grants.d.next = true;
                    self.grant_beats.d.next = 7.into();
                    self.at.d.next = 1.into();
                    self.step.d.next = 0.into();
                    self.cycles.d.next = 1.into();
                    self.status.d.next = 0.into();
                    self.fetch_failed.d.next = false;
                    self.read_failed.d.next = false;
                    self.write_failed.d.next = false;
                    self.bad_align.d.next = false;
                    self.bad_done.d.next = false;
                    self.no_record.d.next = false;
                    self.state.d.next = State::Fetch;
                }
            }
            State::Fetch => {
                self.fetches.d.next = true;
                self.wait_memory.next = self.fetches.q.val() && !self.rd_vld.val();
                if self.rd_vld.val() {
                    self.at.d.next = self.at.q.val() << 1;
                    if self.at.q.val().get_bit(0) {
                        self.w0.d.next = self.rd_data.val();
                    }
                    if self.at.q.val().get_bit(1) {
                        self.x_addr.d.next = self.rd_data.val().get_bits::<40>(0);
                        self.y_addr.d.next = self.rd_data.val().get_bits::<40>(64);
                    }
                    if self.at.q.val().get_bit(2) {
                        self.route_addr.d.next = self.rd_data.val().get_bits::<40>(0);
                        self.done_addr.d.next = self.rd_data.val().get_bits::<40>(64);
                        self.bad_done.d.next = self.high_bad_.val();
                    }
                    if self.at.q.val().get_bit(3) {
                        self.images_r.d.next = self.rd_data.val().get_bits::<40>(0);
                        self.images_e.d.next = self.rd_data.val().get_bits::<40>(64);
                    }
                    if self.at.q.val().get_bit(4) {
                        self.w4.d.next = self.rd_data.val();
                        if self.rd_data.val().get_bits::<6>(0) != 0
                            || self.rd_data.val().get_bits::<6>(32) != 0
                        {
                            self.bad_align.d.next = true;
                        }
                    }
                    if self.at.q.val().get_bit(5) {
                        self.next_at.d.next = self.rd_data.val().get_bits::<40>(0);
                        self.w5.d.next = self.rd_data.val().get_bits::<64>(64);
                        if self.low_bad_.val() {
                            self.bad_align.d.next = true;
                        }
                    }
                    if (self.at.q.val().get_bit(1)
                        || self.at.q.val().get_bit(2)
                        || self.at.q.val().get_bit(3))
                        && (self.low_bad_.val() || self.high_bad_.val())
                    {
                        self.bad_align.d.next = true;
                    }
                    if self.at.q.val().get_bit(6) {
                        self.w6.d.next = self.rd_data.val().get_bits::<64>(0);
                        self.task_addr.d.next = self.images_r.q.val();
                        self.task_step.d.next =
                            bit_cast::<40, 32>(self.w4.q.val().get_bits::<32>(32));
                        self.task_bits.d.next = self.task_index.val();
                        self.dividend.d.next = self.w0.q.val().get_bits::<9>(80);
                        self.rest.d.next = 0.into();
                        self.quotient.d.next = 0.into();
                        self.state.d.next = State::Check;
                    }
                }
            }
            State::Check => {
                self.step.d.next = self.step.q.val() + 1;
                if self.rd_err.val() {
                    self.fetch_failed.d.next = true;
                }
                if self.step.q.val() == 13 {
                    self.step.d.next = 0.into();
                    self.no_record.d.next = self.fetch_failed.q.val() || self.bad_done.q.val();
                    self.state.d.next = State::RecordStart;
                    if self.fetch_failed.q.val() {
                        self.status.d.next = 6.into();
                        self.state.d.next = State::Finish;
                    } else if self.bad_opcode.q.val() {
                        self.status.d.next = 1.into();
                    } else if self.bad_mode.q.val() {
                        self.status.d.next = 2.into();
                    } else if self.bad_size.q.val() {
                        self.status.d.next = 3.into();
                    } else if self.bad_align.q.val() {
                        self.status.d.next = 4.into();
                    } else if self.bad_window.q.val() {
                        self.status.d.next = 5.into();
                    } else {
                        self.state.d.next = State::Begin;
                    }
                }
            }
            State::Begin => {
                self.begins_guesses.d.next = true;
                self.y_beats.d.next = 0.into();
                self.finished.d.next = 0.into();
                self.routed.d.next = false;
                self.y_left.d.next = false;
                self.left.d.next = self.w0.q.val().get_bits::<16>(32);
                self.host_left.d.next = self.w0.q.val().get_bits::<16>(32) << 2;
                if self.w0.q.val().get_bits::<8>(0) == 3 {
                    self.state.d.next = State::RecordStart;
                } else {
                    self.begins.d.next = true;
                    self.running.d.next = true;
                    self.reads.d.next = true;
                    self.state.d.next = State::Grant;
                    if self.w4.q.val().get_bits::<2>(72) == 1 {
                        self.reads_at.d.next = self.route_addr.q.val();
                        self.grants.d.next = true;
                        self.grant_beats.d.next = self.w0.q.val().get_bits::<16>(32) << 2;
                        self.host_routes.d.next = true;
                        self.state.d.next = State::HostRoutes;
                    }
                }
            }
            State::HostRoutes => {
                self.settle.d.next = true;
                if self.settle.q.val() && self.rd_issued.val() {
                    self.settle.d.next = false;
                    self.reads.d.next = true;
                    self.state.d.next = State::Grant;
                }
            }
            State::Grant => {
                self.grants.d.next = true;
                self.y_beats.d.next = self.y_beats.q.val() + bit_cast::<32, 16>(self.y_row.q.val());
                self.left.d.next = self.left.q.val() - 1;
                if self.left.q.val() == 1 {
                    self.state.d.next = State::Run;
                }
            }
            State::Run => {
                if self.rt_done.val() {
                    self.routed.d.next = true;
                }
                if self.routed.q.val() {
                    self.state.d.next = State::RouteStart;
                }
                if self.w4.q.val().get_bits::<2>(72) != 0 {
                    self.state.d.next = State::YStart;
                }
            }
            State::RouteStart => {
                self.write_source.d.next = 1.into();
                self.writes.d.next = true;
                self.writes_at.d.next = self.route_addr.q.val();
                self.write_beats.d.next =
                    bit_cast::<32, 16>(self.w0.q.val().get_bits::<16>(32)) << 2;
                self.sends_routes.d.next = true;
                self.state.d.next = State::RouteSettle;
            }
            State::RouteSettle => {
                self.write_source.d.next = 1.into();
                self.state.d.next = State::RouteWait;
            }
            State::RouteWait => {
                self.write_source.d.next = 1.into();
                self.wait_memory.next = !self.wr_idle.val();
                if self.wr_idle.val() {
                    if self.wr_err.val() {
                        self.write_failed.d.next = true;
                    }
                    self.state.d.next = State::YStart;
                }
            }
            State::YStart => {
                self.state.d.next = State::Drain;
                if !self.w0.q.val().get_bit(10) {
                    self.writes.d.next = true;
                    self.state.d.next = State::YSettle;
                }
            }
            State::YSettle => {
                self.state.d.next = State::YWait;
            }
            State::YWait => {
                if self.y_done.val() {
                    self.y_left.d.next = true;
                }
                self.wait_memory.next = self.y_left.q.val() && !self.wr_idle.val();
                if self.wr_idle.val() {
                    if self.wr_err.val() {
                        self.write_failed.d.next = true;
                    }
                    self.state.d.next = State::Drain;
                }
            }
            State::Drain => {
                if self.jobs_done.val()
                    && self.finished.q.val() == self.jobs.val()
                    && !self.flow_busy.val()
                    && self.rd_idle.val()
                {
                    self.state.d.next = State::Judge;
                }
            }
            State::Judge => {
                self.status.d.next = self.code_.val();
                self.state.d.next = State::RecordStart;
            }
            State::RecordStart => {
                self.write_source.d.next = 2.into();
                self.state.d.next = State::Finish;
                self.writes_at.d.next = self.done_addr.q.val();
                self.write_beats.d.next = 1.into();
                if !self.no_record.q.val() {
                    self.writes.d.next = true;
                    self.cycles.d.next = self.cycles.q.val(); // as if the record had been made here
                    self.state.d.next = State::RecordSettle;
                }
            }
            State::RecordSettle => {
                self.cycles.d.next = self.cycles.q.val();
                self.write_source.d.next = 2.into();
                self.record.d.next = true;
                self.state.d.next = State::RecordWait;
            }
            State::RecordWait => {
                self.write_source.d.next = 2.into();
                self.wait_memory.next = !self.wr_idle.val();
                if self.wr_idle.val() {
                    if self.wr_err.val() && self.status.q.val() == 0 {
                        self.status.d.next = 7.into();
                    }
                    self.state.d.next = State::Finish;
                }
            }
            State::Finish => {
                self.head.d.next = self.head.q.val() + 1;
                self.last.d.next = self.status.q.val();
                if self.w0.q.val().get_bit(8) && !self.fetch_failed.q.val() {
                    self.irq_set.next = true;
                }
                self.state.d.next = State::Idle;
            }
            _ => {
                self.state.d.next = State::Idle;
            }
        }
        if self.section_done.val() {
            self.finished.d.next = self.finished.q.val() + 1;
        }
        self.rec_data.next = bit_cast::<128, 16>(self.head.q.val() + 1)
            | (bit_cast::<128, 8>(self.status.q.val()) << 32)
            | (bit_cast::<128, 16>(self.w0.q.val().get_bits::<16>(16)) << 64)
            | (bit_cast::<128, 32>(self.cycles.q.val()) << 96);
        self.done_count.next = self.head.q.val();
        self.last_status.next = self.last.q.val();

        if self.rst.val() {
            self.state.d.next = State::Idle;
            self.head.d.next = 0.into();
            self.last.d.next = 0.into();
            self.host_routes.d.next = false;
            self.running.d.next = false;
            self.fetches.d.next = false;
            self.record.d.next = false;
            self.reads.d.next = false;
            self.grants.d.next = false;
            self.writes.d.next = false;
            self.sends_routes.d.next = false;
            self.begins.d.next = false;
            self.begins_guesses.d.next = false;
        }
    }
}
