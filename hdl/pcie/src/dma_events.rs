//! The reports on a channel's pieces, in order, each when it holds.
//!
//! What: a queue of 16 reports. One that has to wait leaves with the next answer of the card's bus, or the next write that the link has
//! taken; answers may come before their report is looked at.
//!
//! Cost (ECP5): 76 LUT sites. Latency: 3 cycles. Bottleneck: one report in 3 cycles.

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Events {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// A report; only with `ev_room`.
    pub ev_vld: Signal<In, Bit>,
    /// There is room.
    pub ev_room: Signal<Out, Bit>,
    /// It holds after one more answer.
    pub ev_wait: Signal<In, Bit>,
    /// The descriptor ends.
    pub ev_last: Signal<In, Bit>,
    /// Its Completed flag.
    pub ev_completed: Signal<In, Bit>,
    /// Its Stop flag.
    pub ev_stop: Signal<In, Bit>,
    /// What was wrong with the descriptor.
    pub ev_kind: Signal<In, Bits<2>>,
    /// What went wrong in reading.
    pub ev_error: Signal<In, Bits<5>>,
    /// An answer.
    pub answer: Signal<In, Bit>,
    /// What went wrong in writing.
    pub answer_error: Signal<In, Bits<2>>,
    /// A report that holds.
    pub e_vld: Signal<Out, Bit>,
    /// It is taken.
    pub e_rdy: Signal<In, Bit>,
    /// The descriptor ends.
    pub e_last: Signal<Out, Bit>,
    /// Its Completed flag.
    pub e_completed: Signal<Out, Bit>,
    /// Its Stop flag.
    pub e_stop: Signal<Out, Bit>,
    /// What was wrong with the descriptor.
    pub e_kind: Signal<Out, Bits<2>>,
    /// What went wrong in reading.
    pub e_error: Signal<Out, Bits<5>>,
    /// What went wrong in writing.
    pub e_answer: Signal<Out, Bits<2>>,
    /// No report is here.
    pub idle: Signal<Out, Bit>,

    reports: Dram<11, 4>,
    answers: Dram<2, 4>,
    // Five bits each: equal means empty.
    head: Dff<Bits<5>>,
    tail: Dff<Bits<5>>,
    answer_head: Dff<Bits<5>>,
    answer_tail: Dff<Bits<5>>,
    room: Dff<Bit>,
    // There is an answer.
    some: Dff<Bit>,
    // The oldest report, and one that holds.
    next: Dff<Bit>,
    next_report: Dff<Bits<11>>,
    out: Dff<Bit>,
    report: Dff<Bits<10>>,
    outcome: Dff<Bits<2>>,
    held: Signal<Local, Bits<5>>,
    load: Signal<Local, Bit>,
    pop: Signal<Local, Bit>,
    waits: Signal<Local, Bit>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            reports: Dram::new(16),
            answers: Dram::new(16),
            clk: Default::default(),
            rst: Default::default(),
            ev_vld: Default::default(),
            ev_room: Default::default(),
            ev_wait: Default::default(),
            ev_last: Default::default(),
            ev_completed: Default::default(),
            ev_stop: Default::default(),
            ev_kind: Default::default(),
            ev_error: Default::default(),
            answer: Default::default(),
            answer_error: Default::default(),
            e_vld: Default::default(),
            e_rdy: Default::default(),
            e_last: Default::default(),
            e_completed: Default::default(),
            e_stop: Default::default(),
            e_kind: Default::default(),
            e_error: Default::default(),
            e_answer: Default::default(),
            idle: Default::default(),
            head: Default::default(),
            tail: Default::default(),
            answer_head: Default::default(),
            answer_tail: Default::default(),
            some: Default::default(),
            room: Default::default(),
            next: Default::default(),
            next_report: Default::default(),
            out: Default::default(),
            report: Default::default(),
            outcome: Default::default(),
            held: Default::default(),
            load: Default::default(),
            pop: Default::default(),
            waits: Default::default(),
        }
    }
}

impl Logic for Events {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("dma_events");
        dff_setup!(self, clk, some);
        clock!(self, clk, reports, answers);
        dff_setup!(
            self,
            clk,
            head,
            tail,
            answer_head,
            answer_tail,
            room,
            next,
            next_report
        );
        dff_setup!(self, clk, out, report, outcome);

        // `room` is a cycle old, so it is given up early.
        self.held.next = self.head.q.val() - self.tail.q.val();
        self.room.d.next = self.held.val() < 13;
        self.ev_room.next = self.room.q.val();
        self.reports.we.next = self.ev_vld.val();
        self.reports.waddr.next = self.head.q.val().get_bits::<4>(0);
        self.reports.wdata.next = (bit_cast::<11, 5>(self.ev_error.val()) << 6)
            | (bit_cast::<11, 2>(self.ev_kind.val()) << 4)
            | (bit_cast::<11, 1>(self.ev_stop.val().into()) << 3)
            | (bit_cast::<11, 1>(self.ev_completed.val().into()) << 2)
            | (bit_cast::<11, 1>(self.ev_last.val().into()) << 1)
            | bit_cast::<11, 1>(self.ev_wait.val().into());
        self.answers.we.next = self.answer.val();
        self.answers.waddr.next = self.answer_head.q.val().get_bits::<4>(0);
        self.answers.wdata.next = self.answer_error.val();
        if self.ev_vld.val() {
            self.head.d.next = self.head.q.val() + 1;
        }
        if self.answer.val() {
            self.answer_head.d.next = self.answer_head.q.val() + 1;
        }

        self.reports.raddr.next = self.tail.q.val().get_bits::<4>(0);
        self.answers.raddr.next = self.answer_tail.q.val().get_bits::<4>(0);
        self.load.next = !self.next.q.val() && self.head.q.val() != self.tail.q.val();
        if self.load.val() {
            self.next.d.next = true;
            self.next_report.d.next = self.reports.rdata.val();
            self.tail.d.next = self.tail.q.val() + 1;
        }
        if self.e_rdy.val() {
            self.out.d.next = false;
        }
        // A cycle old: the report behind a popped one comes two cycles later.
        self.some.d.next = self.answer_head.q.val() != self.answer_tail.q.val();
        self.waits.next = self.next_report.q.val().get_bit(0);
        self.pop.next =
            self.next.q.val() && !self.out.q.val() && (!self.waits.val() || self.some.q.val());
        if self.pop.val() {
            self.next.d.next = false;
            self.out.d.next = true;
            self.report.d.next = self.next_report.q.val().get_bits::<10>(1);
            self.outcome.d.next = 0.into();
            if self.waits.val() {
                self.answer_tail.d.next = self.answer_tail.q.val() + 1;
                self.outcome.d.next = self.answers.rdata.val();
            }
        }
        self.e_vld.next = self.out.q.val();
        self.e_last.next = self.report.q.val().get_bit(0);
        self.e_completed.next = self.report.q.val().get_bit(1);
        self.e_stop.next = self.report.q.val().get_bit(2);
        self.e_kind.next = self.report.q.val().get_bits::<2>(3);
        self.e_error.next = self.report.q.val().get_bits::<5>(5);
        self.e_answer.next = self.outcome.q.val();
        self.idle.next =
            self.head.q.val() == self.tail.q.val() && !self.next.q.val() && !self.out.q.val();

        if self.rst.val() {
            self.head.d.next = 0.into();
            self.tail.d.next = 0.into();
            self.room.d.next = false;
            self.some.d.next = false;
            self.next.d.next = false;
            self.answer_head.d.next = 0.into();
            self.answer_tail.d.next = 0.into();
            self.out.d.next = false;
        }
    }
}
