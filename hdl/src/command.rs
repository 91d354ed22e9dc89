//! Command execution: fetches descriptors, checks them, and leads a command through its phases.
//!
//! What: one state machine. Fetch (5 beats) -> check -> x -> (router, experts: the data-flow units run by themselves) -> y out -> routes out ->
//! completion record, last. A refused command writes only its record. If several errors apply the lowest status code is reported.
//! If the descriptor could not be read, or `done_addr` itself is misplaced, there is no record: LAST_STATUS tells.
//! Cost: five 128-bit registers, one 17 x 17 multiplier for the window checks. Latency: 6 cycles from the last beat of the
//! descriptor to `go`, or to the record of a refused command.
//!
//! Not built: overlapping one command's output with the next one's fetch. Reconsider with the fast path for single tokens.

use abi::Config;
use leaf::prelude::*;

/// Phases of a command.
#[derive(Copy, Clone, PartialEq, Debug, LogicState)]
pub enum State {
    /// No command.
    Idle,
    /// Descriptor beats arrive.
    Fetch,
    /// Sizes, alignment and windows are judged.
    Check,
    /// `go`; the reader is sent to x.
    Begin,
    /// The reader gets one row of x per cycle.
    Grant,
    /// Router and experts.
    Run,
    /// y: start, one cycle for the writer to leave idle, wait.
    YStart,
    /// See above.
    YSettle,
    /// See above.
    YWait,
    /// Routes: the same.
    RouteStart,
    /// See above.
    RouteSettle,
    /// See above.
    RouteWait,
    /// Completion record: the same.
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
    /// The reader met an error response.
    pub rd_err: Signal<In, Bit>,
    /// The reader has nothing left to do.
    pub rd_idle: Signal<In, Bit>,
    /// Beats of the reader belong to the descriptor; else to x.
    pub fetching: Signal<Out, Bit>,
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
    /// Read-out of y begins.
    pub y_start: Signal<Out, Bit>,
    /// Read-out of the routes begins.
    pub route_start: Signal<Out, Bit>,
    /// A checked command starts.
    pub go: Signal<Out, Bit>,
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
    /// Renormalise.
    pub renorm: Signal<Out, Bit>,
    /// Expert weights are 2:4.
    pub sparse: Signal<Out, Bit>,
    /// Blocks of d.
    pub nblk_d: Signal<Out, Bits<16>>,
    /// Blocks of f.
    pub nblk_f: Signal<Out, Bits<16>>,
    /// Exponent of y's LSB, signed.
    pub lsb_y: Signal<Out, Bits<16>>,
    /// Router image.
    pub router_addr: Signal<Out, Bits<40>>,
    /// Image of expert 0.
    pub experts_addr: Signal<Out, Bits<40>>,
    /// Distance of images.
    pub expert_stride: Signal<Out, Bits<32>>,
    /// Groups of the router matrix.
    pub groups_router: Signal<Out, Bits<16>>,
    /// Groups of gate and up together.
    pub groups_gate_up: Signal<Out, Bits<16>>,
    /// Groups of down.
    pub groups_down: Signal<Out, Bits<16>>,
    /// Router groups per window.
    pub win_router: Signal<Out, Bits<16>>,
    /// Gate and up groups per window.
    pub win_gate_up: Signal<Out, Bits<16>>,
    /// Down groups per window.
    pub win_down: Signal<Out, Bits<16>>,
    /// All expert jobs are issued.
    pub jobs_done: Signal<In, Bit>,
    /// How many.
    pub jobs: Signal<In, Bits<16>>,
    /// Pulse: an expert is finished.
    pub section_done: Signal<In, Bit>,
    /// Some unit still holds work of the expert phase.
    pub flow_busy: Signal<In, Bit>,
    /// x held an infinity or NaN.
    pub x_nonfinite: Signal<In, Bit>,
    /// The loader met an error response.
    pub load_err_read: Signal<In, Bit>,
    /// The loader met an image without magic.
    pub load_err_image: Signal<In, Bit>,
    /// Waits for the descriptor, or for the writer.
    pub wait_memory: Signal<Out, Bit>,
    state: Dff<State>,
    w0: Dff<Bits<128>>,
    w1: Dff<Bits<128>>,
    w2: Dff<Bits<128>>,
    w3: Dff<Bits<128>>,
    w4: Dff<Bits<128>>,
    beat: Dff<Bits<3>>,
    step: Dff<Bits<3>>,
    left: Dff<Bits<16>>,
    y_beats: Dff<Bits<32>>,
    finished: Dff<Bits<16>>,
    head: Dff<Bits<16>>,
    status: Dff<Bits<8>>,
    last: Dff<Bits<8>>,
    cycles: Dff<Bits<32>>,
    fetch_failed: Dff<Bit>,
    read_failed: Dff<Bit>,
    write_failed: Dff<Bit>,
    bad_size: Dff<Bit>,
    bad_align: Dff<Bit>,
    bad_window: Dff<Bit>,
    no_record: Dff<Bit>,
    product: MulS<17, 17, 34>,
    row_beats_: Signal<Local, Bits<16>>,
    vw_d_: Signal<Local, Bits<16>>,
    vw_f_: Signal<Local, Bits<16>>,
    index_mask_: Signal<Local, Bits<16>>,
    ring_index_: Signal<Local, Bits<16>>,
    dense2_d_: Signal<Local, Bits<16>>,
    dense2_f_: Signal<Local, Bits<16>>,
    lsb_biased_: Signal<Local, Bits<16>>,
    win_vld_: Signal<Local, Bit>,
    code_: Signal<Local, Bits<8>>,
    fits_: Signal<Local, Bit>,
    misaligned_: Signal<Local, Bit>,
    done_bad_: Signal<Local, Bit>,
    c_lane_shift: Constant<Bits<16>>,
    c_lane_less_one: Constant<Bits<16>>,
    c_tokens_max: Constant<Bits<16>>,
    c_d_max: Constant<Bits<16>>,
    c_f_max: Constant<Bits<16>>,
    c_experts_max: Constant<Bits<16>>,
    c_slot_words: Constant<Signed<34>>,
}

impl Command {
    /// Checks against the limits of `config`.
    pub fn new(config: &Config) -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            ring_base: Default::default(),
            ring_log2: Default::default(),
            tail: Default::default(),
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
            rd_err: Default::default(),
            rd_idle: Default::default(),
            fetching: Default::default(),
            wr_start: Default::default(),
            wr_addr: Default::default(),
            wr_beats: Default::default(),
            wr_idle: Default::default(),
            wr_err: Default::default(),
            wr_sel: Default::default(),
            rec_vld: Default::default(),
            rec_data: Default::default(),
            y_start: Default::default(),
            route_start: Default::default(),
            go: Default::default(),
            tokens: Default::default(),
            d: Default::default(),
            f: Default::default(),
            experts: Default::default(),
            topk: Default::default(),
            renorm: Default::default(),
            sparse: Default::default(),
            nblk_d: Default::default(),
            nblk_f: Default::default(),
            lsb_y: Default::default(),
            router_addr: Default::default(),
            experts_addr: Default::default(),
            expert_stride: Default::default(),
            groups_router: Default::default(),
            groups_gate_up: Default::default(),
            groups_down: Default::default(),
            win_router: Default::default(),
            win_gate_up: Default::default(),
            win_down: Default::default(),
            jobs_done: Default::default(),
            jobs: Default::default(),
            section_done: Default::default(),
            flow_busy: Default::default(),
            x_nonfinite: Default::default(),
            load_err_read: Default::default(),
            load_err_image: Default::default(),
            wait_memory: Default::default(),
            state: Default::default(),
            w0: Default::default(),
            w1: Default::default(),
            w2: Default::default(),
            w3: Default::default(),
            w4: Default::default(),
            beat: Default::default(),
            step: Default::default(),
            left: Default::default(),
            y_beats: Default::default(),
            finished: Default::default(),
            head: Default::default(),
            status: Default::default(),
            last: Default::default(),
            cycles: Default::default(),
            fetch_failed: Default::default(),
            read_failed: Default::default(),
            write_failed: Default::default(),
            bad_size: Default::default(),
            bad_align: Default::default(),
            bad_window: Default::default(),
            no_record: Default::default(),
            product: Default::default(),
            row_beats_: Default::default(),
            vw_d_: Default::default(),
            vw_f_: Default::default(),
            index_mask_: Default::default(),
            ring_index_: Default::default(),
            dense2_d_: Default::default(),
            dense2_f_: Default::default(),
            lsb_biased_: Default::default(),
            win_vld_: Default::default(),
            code_: Default::default(),
            fits_: Default::default(),
            misaligned_: Default::default(),
            done_bad_: Default::default(),
            c_lane_shift: Constant::new((u64::from(abi::config::LANES.trailing_zeros())).to_bits()),
            c_lane_less_one: Constant::new((abi::config::LANES as u64 - 1).to_bits()),
            c_tokens_max: Constant::new((config.tokens_max as u64).to_bits()),
            c_d_max: Constant::new((config.d_max as u64).to_bits()),
            c_f_max: Constant::new((config.f_max as u64).to_bits()),
            c_experts_max: Constant::new((config.experts_max as u64).to_bits()),
            c_slot_words: Constant::new(signed_cast((config.slot_words as u64).to_bits())),
        }
    }
}

impl Logic for Command {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("command");
        dff_setup!(self, clk, state, w0, w1, w2, w3, w4, beat, step, left, y_beats, finished);
        dff_setup!(
            self,
            clk,
            head,
            status,
            last,
            cycles,
            fetch_failed,
            read_failed,
            write_failed
        );
        dff_setup!(self, clk, bad_size, bad_align, bad_window, no_record);
        clock!(self, clk, product);

        // The descriptor's fields (abi::command::COMMAND_FIELDS).
        self.tokens.next = self.w0.q.val().get_bits::<16>(32);
        self.d.next = self.w0.q.val().get_bits::<16>(48);
        self.f.next = self.w0.q.val().get_bits::<16>(64);
        self.experts.next = self.w0.q.val().get_bits::<16>(80);
        self.topk.next = self.w0.q.val().get_bits::<8>(96);
        self.lsb_y.next = self.w0.q.val().get_bits::<16>(112);
        self.renorm.next = self.w0.q.val().get_bit(8);
        self.sparse.next = self.w0.q.val().get_bit(9);
        self.router_addr.next = self.w3.q.val().get_bits::<40>(0);
        self.experts_addr.next = self.w3.q.val().get_bits::<40>(64);
        self.expert_stride.next = self.w4.q.val().get_bits::<32>(0);
        self.win_router.next = self.w4.q.val().get_bits::<16>(32);
        self.win_gate_up.next = self.w4.q.val().get_bits::<16>(48);
        self.win_down.next = self.w4.q.val().get_bits::<16>(64);

        // What follows from them.
        self.nblk_d.next = (self.w0.q.val().get_bits::<16>(48) + 31) >> 5;
        self.nblk_f.next = (self.w0.q.val().get_bits::<16>(64) + 31) >> 5;
        self.row_beats_.next = (self.w0.q.val().get_bits::<16>(48) + 3) >> 2;
        self.groups_router.next = ((self.w0.q.val().get_bits::<16>(80) << 1)
            + self.c_lane_less_one.val())
            >> self.c_lane_shift.val();
        self.groups_gate_up.next = ((self.w0.q.val().get_bits::<16>(64)
            + self.c_lane_less_one.val())
            >> self.c_lane_shift.val())
            << 1;
        self.groups_down.next = (self.w0.q.val().get_bits::<16>(48) + self.c_lane_less_one.val())
            >> self.c_lane_shift.val();
        self.dense2_d_.next = ((self.w0.q.val().get_bits::<16>(48) + 31) >> 5) << 1;
        self.dense2_f_.next = ((self.w0.q.val().get_bits::<16>(64) + 31) >> 5) << 1;
        self.vw_d_.next = self.dense2_d_.val();
        self.vw_f_.next = self.dense2_f_.val();
        if self.w0.q.val().get_bit(9) {
            self.vw_d_.next = self.dense2_d_.val() >> 1;
            self.vw_f_.next = self.dense2_f_.val() >> 1;
        }

        // Words of a window: router, gate and up, down, one after the other.
        self.product.en.next = true;
        self.product.a.next = signed_cast(bit_cast::<17, 16>(self.w4.q.val().get_bits::<16>(32)));
        self.product.b.next = signed_cast(bit_cast::<17, 16>(self.dense2_d_.val()));
        if self.step.q.val() == 1 {
            self.product.a.next =
                signed_cast(bit_cast::<17, 16>(self.w4.q.val().get_bits::<16>(48)));
            self.product.b.next = signed_cast(bit_cast::<17, 16>(self.vw_d_.val()));
        }
        if self.step.q.val() == 2 {
            self.product.a.next =
                signed_cast(bit_cast::<17, 16>(self.w4.q.val().get_bits::<16>(64)));
            self.product.b.next = signed_cast(bit_cast::<17, 16>(self.vw_f_.val()));
        }
        self.fits_.next = self.product.p.val() <= self.c_slot_words.val();

        // Checks.
        self.lsb_biased_.next = self.w0.q.val().get_bits::<16>(112) + 200;
        self.win_vld_.next = self.w4.q.val().get_bits::<16>(32) != 0
            && self.w4.q.val().get_bits::<16>(48) != 0
            && !self.w4.q.val().get_bit(48)
            && self.w4.q.val().get_bits::<16>(64) != 0;
        self.done_bad_.next =
            self.w2.q.val().get_bits::<6>(64) != 0 || self.w2.q.val().get_bits::<24>(104) != 0;
        self.misaligned_.next = self.w1.q.val().get_bits::<6>(0) != 0
            || self.w1.q.val().get_bits::<24>(40) != 0
            || self.w1.q.val().get_bits::<6>(64) != 0
            || self.w1.q.val().get_bits::<24>(104) != 0
            || self.w2.q.val().get_bits::<6>(0) != 0
            || self.w2.q.val().get_bits::<24>(40) != 0
            || self.w3.q.val().get_bits::<6>(0) != 0
            || self.w3.q.val().get_bits::<24>(40) != 0
            || self.w3.q.val().get_bits::<6>(64) != 0
            || self.w3.q.val().get_bits::<24>(104) != 0
            || self.w4.q.val().get_bits::<6>(0) != 0;

        // The lowest code that applies.
        self.code_.next = 0.into();
        if self.x_nonfinite.val() {
            self.code_.next = 8.into();
        }
        if self.load_err_image.val() {
            self.code_.next = 7.into();
        }
        if self.write_failed.q.val() {
            self.code_.next = 6.into();
        }
        if self.read_failed.q.val() || self.load_err_read.val() {
            self.code_.next = 5.into();
        }

        // Defaults of the pulses.
        self.rd_start.next = false;
        self.rd_addr.next = self.w1.q.val().get_bits::<40>(0);
        self.rd_grant_vld.next = false;
        self.rd_grant_beats.next = self.row_beats_.val();
        self.wr_start.next = false;
        self.wr_addr.next = self.w1.q.val().get_bits::<40>(64);
        self.wr_beats.next = self.y_beats.q.val();
        self.wr_sel.next = 0.into();
        self.rec_vld.next = false;
        self.y_start.next = false;
        self.route_start.next = false;
        self.go.next = false;
        self.irq_set.next = false;
        self.fetching.next = false;
        self.wait_memory.next = false;
        self.idle.next = false;
        self.cycles.d.next = self.cycles.q.val() + 1;
        self.index_mask_.next = (bits::<16>(1) << self.ring_log2.val()) - 1;
        self.ring_index_.next = self.head.q.val() & self.index_mask_.val();

        match self.state.q.val() {
            State::Idle => {
                self.idle.next = true;
                if self.head.q.val() != self.tail.val() {
                    self.rd_start.next = true;
                    self.rd_addr.next =
                        self.ring_base.val() + (bit_cast::<40, 16>(self.ring_index_.val()) << 7);
                    self.rd_grant_vld.next = true;
                    self.rd_grant_beats.next = 5.into();
                    self.beat.d.next = 0.into();
                    self.step.d.next = 0.into();
                    self.cycles.d.next = 1.into();
                    self.status.d.next = 0.into();
                    self.fetch_failed.d.next = false;
                    self.read_failed.d.next = false;
                    self.write_failed.d.next = false;
                    self.bad_size.d.next = false;
                    self.bad_align.d.next = false;
                    self.bad_window.d.next = false;
                    self.no_record.d.next = false;
                    self.state.d.next = State::Fetch;
                }
            }
            State::Fetch => {
                self.fetching.next = true;
                self.wait_memory.next = !self.rd_vld.val();
                if self.rd_vld.val() {
                    self.w0.d.next = self.w1.q.val();
                    self.w1.d.next = self.w2.q.val();
                    self.w2.d.next = self.w3.q.val();
                    self.w3.d.next = self.w4.q.val();
                    self.w4.d.next = self.rd_data.val();
                    self.beat.d.next = self.beat.q.val() + 1;
                    if self.beat.q.val() == 4 {
                        self.state.d.next = State::Check;
                    }
                }
            }
            State::Check => {
                self.step.d.next = self.step.q.val() + 1;
                if self.rd_err.val() {
                    self.fetch_failed.d.next = true;
                }
                self.bad_size.d.next = self.w0.q.val().get_bits::<16>(32) == 0
                    || self.w0.q.val().get_bits::<16>(32) > self.c_tokens_max.val()
                    || self.w0.q.val().get_bits::<16>(48) == 0
                    || self.w0.q.val().get_bits::<16>(48) > self.c_d_max.val()
                    || self.w0.q.val().get_bits::<16>(64) == 0
                    || self.w0.q.val().get_bits::<16>(64) > self.c_f_max.val()
                    || self.w0.q.val().get_bits::<16>(80) == 0
                    || self.w0.q.val().get_bits::<16>(80) > self.c_experts_max.val()
                    || self.w0.q.val().get_bits::<16>(96) == 0
                    || self.w0.q.val().get_bits::<16>(96) > 8
                    || self.w0.q.val().get_bits::<16>(96) > self.w0.q.val().get_bits::<16>(80)
                    || self.lsb_biased_.val() > 400
                    || (self.w0.q.val().get_bit(9)
                        && (self.w0.q.val().get_bits::<2>(48) != 0
                            || self.w0.q.val().get_bits::<2>(64) != 0));
                self.bad_align.d.next = self.misaligned_.val() || self.done_bad_.val();
                if self.step.q.val() == 0 && !self.win_vld_.val() {
                    self.bad_window.d.next = true;
                }
                if self.step.q.val() != 0 && !self.fits_.val() {
                    self.bad_window.d.next = true;
                }
                if self.step.q.val() == 4 {
                    self.step.d.next = 0.into();
                    self.no_record.d.next = self.fetch_failed.q.val() || self.done_bad_.val();
                    self.state.d.next = State::RecordStart;
                    if self.fetch_failed.q.val() {
                        self.status.d.next = 5.into();
                        self.state.d.next = State::Finish;
                    } else if self.w0.q.val().get_bits::<8>(0) != 1
                        || self.w0.q.val().get_bits::<5>(11) != 0
                    {
                        self.status.d.next = 1.into();
                    } else if self.bad_size.q.val() {
                        self.status.d.next = 2.into();
                    } else if self.bad_align.q.val() {
                        self.status.d.next = 3.into();
                    } else if self.bad_window.q.val() {
                        self.status.d.next = 4.into();
                    } else {
                        self.state.d.next = State::Begin;
                    }
                }
            }
            State::Begin => {
                self.go.next = true;
                self.rd_start.next = true;
                self.left.d.next = self.w0.q.val().get_bits::<16>(32);
                self.y_beats.d.next = 0.into();
                self.finished.d.next = 0.into();
                self.state.d.next = State::Grant;
            }
            State::Grant => {
                self.rd_grant_vld.next = true;
                self.y_beats.d.next =
                    self.y_beats.q.val() + bit_cast::<32, 16>(self.row_beats_.val());
                self.left.d.next = self.left.q.val() - 1;
                if self.left.q.val() == 1 {
                    self.state.d.next = State::Run;
                }
            }
            State::Run => {
                if self.rd_err.val() {
                    self.read_failed.d.next = true;
                }
                if self.jobs_done.val()
                    && self.finished.q.val() == self.jobs.val()
                    && !self.flow_busy.val()
                    && self.rd_idle.val()
                {
                    self.state.d.next = State::YStart;
                }
            }
            State::YStart => {
                self.wr_start.next = true;
                self.y_start.next = true;
                self.state.d.next = State::YSettle;
            }
            State::YSettle => {
                self.state.d.next = State::YWait;
            }
            State::YWait => {
                self.wait_memory.next = !self.wr_idle.val();
                if self.wr_idle.val() {
                    if self.wr_err.val() {
                        self.write_failed.d.next = true;
                    }
                    self.state.d.next = State::RouteStart;
                }
            }
            State::RouteStart => {
                self.wr_sel.next = 1.into();
                self.wr_start.next = true;
                self.wr_addr.next = self.w2.q.val().get_bits::<40>(0);
                self.wr_beats.next = bit_cast::<32, 16>(self.w0.q.val().get_bits::<16>(32)) << 2;
                self.route_start.next = true;
                self.state.d.next = State::RouteSettle;
            }
            State::RouteSettle => {
                self.wr_sel.next = 1.into();
                self.state.d.next = State::RouteWait;
            }
            State::RouteWait => {
                self.wr_sel.next = 1.into();
                self.wait_memory.next = !self.wr_idle.val();
                if self.wr_idle.val() {
                    if self.wr_err.val() {
                        self.write_failed.d.next = true;
                    }
                    self.step.d.next = 1.into(); // one cycle for write_failed to be seen in the code
                    self.state.d.next = State::RecordStart;
                }
            }
            State::RecordStart => {
                if self.step.q.val() == 1 {
                    self.step.d.next = 0.into();
                    self.status.d.next = self.code_.val();
                } else if self.no_record.q.val() {
                    self.state.d.next = State::Finish;
                } else {
                    self.wr_start.next = true;
                    self.wr_addr.next = self.w2.q.val().get_bits::<40>(64);
                    self.wr_beats.next = 1.into();
                    self.cycles.d.next = self.cycles.q.val();
                    self.state.d.next = State::RecordSettle;
                }
                self.wr_sel.next = 2.into();
            }
            State::RecordSettle => {
                self.cycles.d.next = self.cycles.q.val(); // the record stands still while it is offered
                self.wr_sel.next = 2.into();
                self.rec_vld.next = true;
                self.state.d.next = State::RecordWait;
            }
            State::RecordWait => {
                self.cycles.d.next = self.cycles.q.val();
                self.wr_sel.next = 2.into();
                self.rec_vld.next = true;
                self.wait_memory.next = !self.wr_idle.val();
                if self.wr_idle.val() {
                    if self.wr_err.val() && self.status.q.val() == 0 {
                        self.status.d.next = 6.into();
                    }
                    self.state.d.next = State::Finish;
                }
            }
            State::Finish => {
                self.head.d.next = self.head.q.val() + 1;
                self.last.d.next = self.status.q.val();
                if self.w0.q.val().get_bit(10) && !self.fetch_failed.q.val() {
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
        }
    }
}
