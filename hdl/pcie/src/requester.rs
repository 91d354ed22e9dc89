//! Read requests out, their completions back: which tag waits for what.
//!
//! What: makes the header of a read, notes for its tag the bytes and the lower address that are to come, and takes completions in any
//! order among tags, split anywhere. A completion is accepted if its tag waits, the requester is this function, and byte count, lower
//! address and length are what must come next; any other is unexpected and leaves no trace. A status other than successful ends the
//! request. A tag that waits longer than the limit is given up.
//!
//! Cost (ECP5): 128 bits 1360 LUTs, 700 flip-flops, 36 distributed RAM cells. Latency: header 1 cycle, completion 2.
//! Bottleneck: one beat per cycle; a completion of a single beat takes two. Hazard: `in_*` is taken by the cycle, so the data may not be
//! stalled behind this unit.

use crate::request_header::RequestHeader;
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Requester<const W: usize, const K: usize> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: power-on.
    pub rst: Signal<In, Bit>,
    /// The function or the link is reset: every tag that waits is given up at once.
    pub forget: Signal<In, Bit>,
    /// Bus, device and function of this function.
    pub id: Signal<In, Bits<16>>,
    /// Requests may go out.
    pub enable: Signal<In, Bit>,
    /// No request is given up.
    pub patient: Signal<In, Bit>,
    /// A read.
    pub rq_vld: Signal<In, Bit>,
    /// It is taken.
    pub rq_rdy: Signal<Out, Bit>,
    /// Address of the first byte.
    pub rq_addr: Signal<In, Bits<64>>,
    /// Bytes, 1 to 4096.
    pub rq_bytes: Signal<In, Bits<13>>,
    /// Tag, not in use.
    pub rq_tag: Signal<In, Bits<6>>,
    /// A read's header to send.
    pub tx_vld: Signal<Out, Bit>,
    /// It is sent.
    pub tx_done: Signal<In, Bit>,
    /// The header.
    pub tx_header: Signal<Out, Bits<128>>,
    /// A beat of a completion, as `receive` gives it.
    pub in_vld: Signal<In, Bit>,
    /// It is taken.
    pub in_rdy: Signal<Out, Bit>,
    /// First beat of the completion.
    pub in_first: Signal<In, Bit>,
    /// Last beat.
    pub in_last: Signal<In, Bit>,
    /// Payload.
    pub in_data: Signal<In, Bits<W>>,
    /// Words of it.
    pub in_keep: Signal<In, Bits<K>>,
    /// Header.
    pub in_header: Signal<In, Bits<128>>,
    /// A beat of data that was asked for.
    pub cp_vld: Signal<Out, Bit>,
    /// For whom.
    pub cp_tag: Signal<Out, Bits<6>>,
    /// Words.
    pub cp_data: Signal<Out, Bits<W>>,
    /// Which words there are.
    pub cp_keep: Signal<Out, Bits<K>>,
    /// The request is over.
    pub cp_last: Signal<Out, Bit>,
    /// Bit 0 unsupported request, 1 completer abort, 3 poisoned, 4 time-out.
    pub cp_error: Signal<Out, Bits<5>>,
    /// A completion was not expected.
    pub unexpected: Signal<Out, Bit>,
    /// A completion was poisoned.
    pub poisoned: Signal<Out, Bit>,
    /// A completion came with unsupported request.
    pub refused: Signal<Out, Bit>,
    /// A completion came with completer abort.
    pub aborted: Signal<Out, Bit>,
    /// Its header, in that cycle.
    pub header: Signal<Out, Bits<128>>,
    /// A request was given up.
    pub timed_out: Signal<Out, Bit>,
    /// A header is to be sent.
    pub unsent: Signal<Out, Bit>,
    /// No tag waits.
    pub idle: Signal<Out, Bit>,
    maker: RequestHeader,
    full: Dff<Bit>,
    made: Dff<Bits<128>>,
    // What a tag waits for: bytes, lower address, words; and the epoch of its request.
    expect: Dram<31, 6>,
    ages: Dram<3, 6>,
    waiting: Dff<Bits<64>>,
    // The beat, and what its tag waits for.
    vld: Dff<Bit>,
    begins: Dff<Bit>,
    first: Dff<Bit>,
    last: Dff<Bit>,
    data: Dff<Bits<W>>,
    keep: Dff<Bits<K>>,
    head: Dff<Bits<128>>,
    known: Dff<Bit>,
    due: Dff<Bits<13>>,
    low: Dff<Bits<7>>,
    most: Dff<Bits<11>>,
    // The verdict on its first beat, for the others.
    good: Dff<Bit>,
    closing: Dff<Bit>,
    faults: Dff<Bits<5>>,
    // Out.
    o_vld: Dff<Bit>,
    o_tag: Dff<Bits<6>>,
    o_data: Dff<Bits<W>>,
    o_keep: Dff<Bits<K>>,
    o_last: Dff<Bit>,
    o_error: Dff<Bits<5>>,
    e_unexpected: Dff<Bit>,
    e_poisoned: Dff<Bit>,
    e_refused: Dff<Bit>,
    e_aborted: Dff<Bit>,
    e_timed_out: Dff<Bit>,
    // Time.
    prescale: Dff<Bits<26>>,
    epoch: Dff<Bits<3>>,
    visit: Dff<Bits<6>>,
    flushing: Dff<Bit>,
    suspect: Dff<Bit>,
    late: Dff<Bit>,
    // Beats of the present completion are still to come.
    inside: Dff<Bit>,
    given: Dff<Bits<6>>,
    suspected: Dff<Bits<6>>,
    quiet: Dff<Bit>,
    accept: Signal<Local, Bit>,
    update: Signal<Local, Bit>,
    comes: Signal<Local, Bit>,
    tag: Signal<Local, Bits<6>>,
    status: Signal<Local, Bits<3>>,
    length: Signal<Local, Bits<11>>,
    words: Signal<Local, Bits<11>>,
    unsure: Signal<Local, Bit>,
    brings: Signal<Local, Bits<13>>,
    fits: Signal<Local, Bit>,
    fine: Signal<Local, Bit>,
    judged: Signal<Local, Bit>,
    over: Signal<Local, Bit>,
    error: Signal<Local, Bits<5>>,
    ends: Signal<Local, Bit>,
    give_up: Signal<Local, Bit>,
    age: Signal<Local, Bits<3>>,
    set: Signal<Local, Bits<64>>,
    clear: Signal<Local, Bits<64>>,
    c_tick: Constant<Bits<26>>,
}

impl<const W: usize, const K: usize> Requester<W, K> {
    /// A request is given up after one to two times `tick` cycles (at least 128, less than 2^26).
    pub fn new(tick: u64) -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            forget: Default::default(),
            id: Default::default(),
            enable: Default::default(),
            patient: Default::default(),
            rq_vld: Default::default(),
            rq_rdy: Default::default(),
            rq_addr: Default::default(),
            rq_bytes: Default::default(),
            rq_tag: Default::default(),
            tx_vld: Default::default(),
            tx_done: Default::default(),
            tx_header: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_first: Default::default(),
            in_last: Default::default(),
            in_data: Default::default(),
            in_keep: Default::default(),
            in_header: Default::default(),
            cp_vld: Default::default(),
            cp_tag: Default::default(),
            cp_data: Default::default(),
            cp_keep: Default::default(),
            cp_last: Default::default(),
            cp_error: Default::default(),
            unexpected: Default::default(),
            poisoned: Default::default(),
            refused: Default::default(),
            aborted: Default::default(),
            header: Default::default(),
            timed_out: Default::default(),
            unsent: Default::default(),
            idle: Default::default(),
            maker: Default::default(),
            full: Default::default(),
            made: Default::default(),
            expect: Dram::in_luts(abi::pci::TAGS),
            ages: Dram::in_luts(abi::pci::TAGS),
            waiting: Default::default(),
            vld: Default::default(),
            begins: Default::default(),
            first: Default::default(),
            last: Default::default(),
            data: Default::default(),
            keep: Default::default(),
            head: Default::default(),
            known: Default::default(),
            due: Default::default(),
            low: Default::default(),
            most: Default::default(),
            good: Default::default(),
            closing: Default::default(),
            faults: Default::default(),
            o_vld: Default::default(),
            o_tag: Default::default(),
            o_data: Default::default(),
            o_keep: Default::default(),
            o_last: Default::default(),
            o_error: Default::default(),
            e_unexpected: Default::default(),
            e_poisoned: Default::default(),
            e_refused: Default::default(),
            e_aborted: Default::default(),
            e_timed_out: Default::default(),
            prescale: Default::default(),
            epoch: Default::default(),
            visit: Default::default(),
            flushing: Default::default(),
            suspect: Default::default(),
            late: Default::default(),
            inside: Default::default(),
            given: Default::default(),
            suspected: Default::default(),
            quiet: Default::default(),
            accept: Default::default(),
            update: Default::default(),
            comes: Default::default(),
            tag: Default::default(),
            status: Default::default(),
            length: Default::default(),
            words: Default::default(),
            unsure: Default::default(),
            brings: Default::default(),
            fits: Default::default(),
            fine: Default::default(),
            judged: Default::default(),
            over: Default::default(),
            error: Default::default(),
            ends: Default::default(),
            give_up: Default::default(),
            age: Default::default(),
            set: Default::default(),
            clear: Default::default(),
            c_tick: Constant::new((tick - 1).to_bits()),
        }
    }
}

impl<const W: usize, const K: usize> Logic for Requester<W, K> {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_requester");
        clock!(self, clk, expect, ages);
        dff_setup!(self, clk, flushing, begins, late, given, inside);
        dff_setup!(self, clk, full, made, waiting, vld, first, last, data, keep, head, known);
        dff_setup!(self, clk, due, low, most, good, closing, faults, o_vld, o_tag, o_data, o_keep);
        dff_setup!(
            self,
            clk,
            o_last,
            o_error,
            e_unexpected,
            e_poisoned,
            e_refused,
            e_aborted
        );
        dff_setup!(
            self,
            clk,
            e_timed_out,
            prescale,
            epoch,
            visit,
            suspect,
            suspected,
            quiet
        );

        // A read. The table has one port to write; a completion has precedence.
        self.maker.addr.next = self.rq_addr.val();
        self.maker.bytes.next = self.rq_bytes.val();
        self.maker.write.next = false;
        self.maker.tag.next = self.rq_tag.val();
        self.maker.id.next = self.id.val();
        self.update.next = self.begins.q.val();
        self.accept.next = self.enable.val()
            && !self.full.q.val()
            && !self.update.val()
            && !self.flushing.q.val()
            && !self.forget.val();
        self.rq_rdy.next = self.accept.val();
        if self.tx_done.val() {
            self.full.d.next = false;
        }
        self.set.next = 0.into();
        if self.rq_vld.val() && self.accept.val() {
            self.full.d.next = true;
            self.made.d.next = self.maker.header.val();
            self.set.next = bits::<64>(1) << self.rq_tag.val();
        }
        self.tx_vld.next = self.full.q.val();
        self.tx_header.next = self.made.q.val();
        self.ages.we.next = self.rq_vld.val() && self.accept.val();
        self.ages.waddr.next = self.rq_tag.val();
        self.ages.wdata.next = self.epoch.q.val();
        self.ages.raddr.next = self.visit.q.val();

        // Given up in this cycle, not between the beats of a completion; one that comes now comes too late.
        self.give_up.next = self.late.q.val() && !self.vld.q.val() && !self.inside.q.val();

        self.tag.next = self.head.q.val().get_bits::<6>(72);

        // A completion's beat, and what its tag waits for. Not twice in a row a first beat: the table must be up to date.
        self.in_rdy.next = !self.update.val() || !self.in_first.val();
        self.comes.next = self.in_vld.val() && (!self.update.val() || !self.in_first.val());
        self.vld.d.next = self.comes.val();
        self.begins.d.next = self.comes.val() && self.in_first.val();
        self.expect.raddr.next = self.in_header.val().get_bits::<6>(72);
        if self.comes.val() {
            self.inside.d.next = !self.in_last.val();
            self.first.d.next = self.in_first.val();
            self.last.d.next = self.in_last.val();
            self.data.d.next = self.in_data.val();
            self.keep.d.next = self.in_keep.val();
            self.head.d.next = self.in_header.val();
            self.due.d.next = self.expect.rdata.val().get_bits::<13>(0);
            self.low.d.next = self.expect.rdata.val().get_bits::<7>(13);
            self.most.d.next = self.expect.rdata.val().get_bits::<11>(20);
            self.known.d.next = self
                .waiting
                .q
                .val()
                .get_bit(self.in_header.val().get_bits::<6>(72).index())
                && self.in_header.val().get_bits::<2>(78) == 0
                && self.in_header.val().get_bits::<16>(80) == self.id.val()
                && !self.in_header.val().get_bit(24)
                && !(self.vld.q.val()
                    && self.last.q.val()
                    && self.good.q.val()
                    && self.closing.q.val()
                    && self.tag.val() == self.in_header.val().get_bits::<6>(72))
                && !(self.give_up.val()
                    && self.given.q.val() == self.in_header.val().get_bits::<6>(72));
        }

        // The verdict. `most`: words until the end of the request; `brings`: bytes of a completion that is not the last.
        self.status.next = self.head.q.val().get_bits::<3>(45);
        // A payload has at most 64 words: `ingress` sees to that.
        self.length.next = bit_cast::<11, 7>(self.head.q.val().get_bits::<7>(0));
        self.brings.next = (bit_cast::<13, 11>(self.length.val()) << 2)
            - bit_cast::<13, 2>(self.low.q.val().get_bits::<2>(0));
        self.over.next = self.length.val() == self.most.q.val();
        self.fits.next = self.head.q.val().get_bit(30)
            && self.head.q.val().get_bits::<12>(32) == self.due.q.val().get_bits::<12>(0)
            && self.head.q.val().get_bits::<7>(64) == self.low.q.val()
            && self.length.val() <= self.most.q.val();
        self.fine.next = self.known.q.val() && (self.status.val() != 0 || self.fits.val());
        self.judged.next = self.good.q.val();
        self.ends.next = self.closing.q.val();
        self.error.next = self.faults.q.val();
        if self.first.q.val() {
            self.judged.next = self.fine.val();
            self.ends.next = self.over.val() || self.status.val() != 0;
            self.error.next = 0.into();
            if self.status.val() == 0 {
                self.error.next = bit_cast::<5, 1>(self.head.q.val().get_bit(14).into()) << 3;
            } else if self.status.val() == 4 {
                self.error.next = 2.into();
            } else {
                self.error.next = 1.into();
            }
        }
        self.good.d.next = self.judged.val();
        self.closing.d.next = self.ends.val();
        self.faults.d.next = self.error.val();

        // The table: of a new request, or what is left of one.
        self.expect.we.next = self.update.val() || (self.rq_vld.val() && self.accept.val());
        self.expect.waddr.next = self.rq_tag.val();
        self.words.next = bit_cast::<11, 10>(self.maker.header.val().get_bits::<10>(0));
        if self.words.val() == 0 {
            self.words.next = 1024.into();
        }
        self.expect.wdata.next = bit_cast::<31, 13>(self.rq_bytes.val())
            | (bit_cast::<31, 7>(self.rq_addr.val().get_bits::<7>(0)) << 13)
            | (bit_cast::<31, 11>(self.words.val()) << 20);
        if self.update.val() {
            self.expect.we.next = self.fine.val();
            self.expect.waddr.next = self.tag.val();
            self.expect.wdata.next = bit_cast::<31, 13>(self.due.q.val() - self.brings.val())
                | (bit_cast::<31, 5>(
                    self.low.q.val().get_bits::<5>(2) + self.length.val().get_bits::<5>(0),
                ) << 15)
                | (bit_cast::<31, 11>(self.most.q.val() - self.length.val()) << 20);
        }

        // Given up: one tag is looked at after the other; whether it is late is known a cycle before it is given up, and both cycles are
        // without a completion.
        self.prescale.d.next = self.prescale.q.val() + 1;
        if self.prescale.q.val() == self.c_tick.val() {
            self.prescale.d.next = 0.into();
            self.epoch.d.next = self.epoch.q.val() + 1;
        }
        self.age.next = self.epoch.q.val() - self.ages.rdata.val();
        self.unsure.next =
            self.full.q.val() && self.made.q.val().get_bits::<6>(40) == self.suspected.q.val();
        self.late.d.next = false;
        if !self.suspect.q.val() {
            self.visit.d.next = self.visit.q.val() + 1;
            self.suspected.d.next = self.visit.q.val();
            self.suspect.d.next = !self.late.q.val()
                && ((self.age.val().get_bit(1) && !self.patient.val()) || self.flushing.q.val());
        } else if !self.vld.q.val() {
            self.suspect.d.next = false;
            self.given.d.next = self.suspected.q.val();
            self.late.d.next =
                !self.unsure.val() && self.waiting.q.val().get_bit(self.suspected.q.val().index());
        }

        // Out.
        self.o_vld.d.next = self.vld.q.val() && self.judged.val();
        self.o_tag.d.next = self.tag.val();
        self.o_data.d.next = self.data.q.val();
        self.o_keep.d.next = self.keep.q.val();
        self.o_last.d.next = self.last.q.val() && self.ends.val();
        self.o_error.d.next = self.error.val();
        if self.give_up.val() {
            self.o_vld.d.next = true;
            self.o_tag.d.next = self.given.q.val();
            self.o_keep.d.next = 0.into();
            self.o_last.d.next = true;
            self.o_error.d.next = 16.into();
        }
        self.clear.next = 0.into();
        // With its last beat: what a reset takes away before that is given up like the others.
        if self.vld.q.val() && self.judged.val() && self.ends.val() && self.last.q.val() {
            self.clear.next = bits::<64>(1) << self.tag.val();
        }
        if self.give_up.val() {
            self.clear.next = bits::<64>(1) << self.given.q.val();
        }
        self.waiting.d.next = (self.waiting.q.val() & !self.clear.val()) | self.set.val();
        self.e_unexpected.d.next = self.update.val() && !self.fine.val();
        self.e_poisoned.d.next =
            self.update.val() && self.fine.val() && self.error.val().get_bit(3);
        self.e_refused.d.next = self.update.val() && self.fine.val() && self.error.val().get_bit(0);
        self.e_aborted.d.next = self.update.val() && self.fine.val() && self.error.val().get_bit(1);
        self.e_timed_out.d.next = self.give_up.val() && !self.flushing.q.val();
        self.quiet.d.next = self.waiting.q.val() == 0;
        if self.waiting.q.val() == 0 {
            self.flushing.d.next = false;
        }
        self.unsent.next = self.full.q.val();
        self.cp_vld.next = self.o_vld.q.val();
        self.cp_tag.next = self.o_tag.q.val();
        self.cp_data.next = self.o_data.q.val();
        self.cp_keep.next = self.o_keep.q.val();
        self.cp_last.next = self.o_last.q.val();
        self.cp_error.next = self.o_error.q.val();
        self.unexpected.next = self.e_unexpected.q.val();
        self.poisoned.next = self.e_poisoned.q.val();
        self.refused.next = self.e_refused.q.val();
        self.aborted.next = self.e_aborted.q.val();
        self.timed_out.next = self.e_timed_out.q.val();
        self.header.next = self.head.q.val();
        self.idle.next = self.quiet.q.val();

        if self.forget.val() {
            self.full.d.next = false;
            self.vld.d.next = false;
            self.begins.d.next = false;
            self.inside.d.next = false;
            self.flushing.d.next = true;
        }
        if self.rst.val() {
            self.flushing.d.next = false;
            self.full.d.next = false;
            self.waiting.d.next = 0.into();
            self.vld.d.next = false;
            self.begins.d.next = false;
            self.inside.d.next = false;
            self.suspect.d.next = false;
            self.late.d.next = false;
            self.o_vld.d.next = false;
            self.e_unexpected.d.next = false;
            self.e_poisoned.d.next = false;
            self.e_refused.d.next = false;
            self.e_aborted.d.next = false;
            self.e_timed_out.d.next = false;
        }
    }
}
