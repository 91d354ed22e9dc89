//! An AXI4 write master: a stream of beats in, addresses made here.
//!
//! What: writes `beats` beats from `addr` on, whole beats only. A burst is the least of 16 beats, what remains, and the distance to
//! the next 1 KiB boundary. The address of a burst is raised when there is data for it and at most one burst ahead of the data, so
//! the write channel is not held by a producer that is still computing. Cost: docs/utilisation.md. Latency: first
//! beat (three cycles after `start`) to `aw_vld` 1 cycle, to `w_vld` 1 cycle; then one beat per cycle. Bottleneck: 15 unanswered bursts (240 beats of B latency).
//!
//! W never waits for AW to be taken (a memory may wait for the data first), only for AW to be raised.

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock, Default)]
pub struct AxiWriter {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Start a job; only while `idle`.
    pub start: Signal<In, Bit>,
    /// Byte address of the first beat, a multiple of 16.
    pub addr: Signal<In, Bits<40>>,
    /// Beats of the job.
    pub beats: Signal<In, Bits<32>>,
    /// The beats.
    pub in_vld: Signal<In, Bit>,
    /// Beat taken.
    pub in_rdy: Signal<Out, Bit>,
    /// The beat.
    pub in_data: Signal<In, Bits<128>>,
    /// AXI write address.
    pub aw_vld: Signal<Out, Bit>,
    /// Address taken.
    pub aw_rdy: Signal<In, Bit>,
    /// Byte address.
    pub aw_addr: Signal<Out, Bits<40>>,
    /// Beats - 1.
    pub aw_len: Signal<Out, Bits<8>>,
    /// AXI write data, all bytes enabled.
    pub w_vld: Signal<Out, Bit>,
    /// Data taken.
    pub w_rdy: Signal<In, Bit>,
    /// One beat.
    pub w_data: Signal<Out, Bits<128>>,
    /// Last beat of its burst.
    pub w_last: Signal<Out, Bit>,
    /// AXI write response.
    pub b_vld: Signal<In, Bit>,
    /// Always taken.
    pub b_rdy: Signal<Out, Bit>,
    /// 0: OKAY.
    pub b_resp: Signal<In, Bits<2>>,
    /// All beats are written and answered: rises a cycle after the last answer.
    pub idle: Signal<Out, Bit>,
    /// A burst since `start` was answered with an error.
    pub err: Signal<Out, Bit>,
    next_addr: Dff<Bits<36>>,
    aw_left: Dff<Bits<32>>,
    size: Dff<Bits<5>>,
    few: Dff<Bit>,
    some: Dff<Bit>,
    renewed: Dff<Bit>,
    sized: Dff<Bit>,
    request: Dff<Bit>,
    request_addr: Dff<Bits<36>>,
    request_len: Dff<Bits<5>>,
    w_left: Dff<Bits<32>>,
    w_final: Dff<Bit>,
    w_offset: Dff<Bits<6>>,
    w_count: Dff<Bits<4>>,
    ahead: Dff<Bits<2>>,
    unanswered: Dff<Bits<4>>,
    bad: Dff<Bit>,
    quiet: Dff<Bit>,
    room: Signal<Local, Bits<5>>,
    issue: Signal<Local, Bit>,
    beat: Signal<Local, Bit>,
    last: Signal<Local, Bit>,
}

impl Logic for AxiWriter {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("axi_writer");
        dff_setup!(
            self,
            clk,
            next_addr,
            aw_left,
            size,
            sized,
            request,
            request_addr,
            request_len,
            w_left,
            w_final,
            w_offset
        );
        dff_setup!(self, clk, w_count, ahead, unanswered, bad, quiet, few, some, renewed);

        // The next burst's size, two cycles after the last request: whether anything, and whether less than a burst is left, then the size.
        self.some.d.next = self.aw_left.q.val() != 0;
        self.few.d.next = self.aw_left.q.val().get_bits::<28>(4) == 0;
        self.room.next = 16.into();
        if self.next_addr.q.val().get_bits::<2>(4) == 3 {
            self.room.next =
                bits::<5>(16) - bit_cast::<5, 4>(self.next_addr.q.val().get_bits::<4>(0));
        }
        self.size.d.next = self.room.val();
        if self.few.q.val()
            && bit_cast::<5, 4>(self.aw_left.q.val().get_bits::<4>(0)) < self.room.val()
        {
            self.size.d.next = bit_cast::<5, 4>(self.aw_left.q.val().get_bits::<4>(0));
        }

        // Addresses: a register, refilled when empty or just taken.
        self.issue.next = self.sized.q.val()
            && self.in_vld.val()
            && self.ahead.q.val() != 2
            && self.unanswered.q.val() != 15
            && (!self.request.q.val() || self.aw_rdy.val());
        self.renewed.d.next = !self.issue.val() && !self.start.val();
        self.sized.d.next = self.some.q.val() && self.renewed.q.val() && !self.issue.val();
        if self.aw_rdy.val() {
            self.request.d.next = false;
        }
        if self.issue.val() {
            self.request.d.next = true;
            self.request_addr.d.next = self.next_addr.q.val();
            self.request_len.d.next = self.size.q.val() - 1;
            self.next_addr.d.next = self.next_addr.q.val() + bit_cast::<36, 5>(self.size.q.val());
            self.aw_left.d.next = self.aw_left.q.val() - bit_cast::<32, 5>(self.size.q.val());
        }
        self.aw_vld.next = self.request.q.val();
        self.aw_addr.next = bit_cast::<40, 36>(self.request_addr.q.val()) << 4;
        self.aw_len.next = bit_cast::<8, 5>(self.request_len.q.val());

        // Data: passes through while the address of its burst is out.
        self.w_vld.next = self.in_vld.val() && self.ahead.q.val() != 0;
        self.w_data.next = self.in_data.val();
        self.in_rdy.next = self.w_rdy.val() && self.ahead.q.val() != 0;
        self.beat.next = self.in_vld.val() && self.w_rdy.val() && self.ahead.q.val() != 0;
        self.last.next =
            self.w_count.q.val() == 15 || self.w_offset.q.val() == 63 || self.w_final.q.val();
        self.w_last.next = self.last.val();
        if self.beat.val() {
            self.w_left.d.next = self.w_left.q.val() - 1;
            self.w_final.d.next = self.w_left.q.val() == 2;
            self.w_offset.d.next = self.w_offset.q.val() + 1;
            self.w_count.d.next = self.w_count.q.val() + 1;
            if self.last.val() {
                self.w_count.d.next = 0.into();
            }
        }

        // Bursts whose data is not yet out, and bursts without an answer.
        if self.issue.val() && !(self.beat.val() && self.last.val()) {
            self.ahead.d.next = self.ahead.q.val() + 1;
        }
        if !self.issue.val() && self.beat.val() && self.last.val() {
            self.ahead.d.next = self.ahead.q.val() - 1;
        }
        self.b_rdy.next = true;
        if self.issue.val() && !self.b_vld.val() {
            self.unanswered.d.next = self.unanswered.q.val() + 1;
        }
        if !self.issue.val() && self.b_vld.val() {
            self.unanswered.d.next = self.unanswered.q.val() - 1;
        }
        if self.b_vld.val() && self.b_resp.val() != 0 {
            self.bad.d.next = true;
        }
        self.err.next = self.bad.q.val();
        self.quiet.d.next = !self.some.q.val()
            && self.renewed.q.val()
            && !self.issue.val()
            && self.unanswered.q.val() == 0
            && !self.start.val();
        self.idle.next = self.quiet.q.val();

        if self.start.val() {
            self.next_addr.d.next = self.addr.val().get_bits::<36>(4);
            self.aw_left.d.next = self.beats.val();
            self.w_left.d.next = self.beats.val();
            self.w_final.d.next = self.beats.val() == 1;
            self.w_offset.d.next = self.addr.val().get_bits::<6>(4);
            self.w_count.d.next = 0.into();
            self.bad.d.next = false;
        }
        if self.rst.val() {
            self.aw_left.d.next = 0.into();
            self.sized.d.next = false;
            self.some.d.next = false;
            self.renewed.d.next = true;
            self.request.d.next = false;
            self.ahead.d.next = 0.into();
            self.unanswered.d.next = 0.into();
            self.bad.d.next = false;
        }
    }
}
