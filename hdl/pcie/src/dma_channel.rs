//! One channel's registers and its course: start, count, log, write back, stop.
//!
//! What: the registers of a channel and of its descriptors (`abi::dma`). The 0 to 1 edge of Run clears status and count and starts the
//! list. Each finished descriptor counts; Completed and Stop are logged as enabled. An error that is enabled in CONTROL stops the channel:
//! what is on its way is dropped and waited for, then the error is logged and Busy falls. Clearing Run lets the descriptors in hand finish.
//! Status bits, count and Busy change in one cycle; the interrupt's source follows them, behind the write-back if there is one. A
//! function-level reset (`flr`) clears everything at once, and a new start waits until nothing is on its way.
//!
//! Cost (ECP5): 567 LUT sites. Latency: a report is logged 3 cycles after it is taken. Bottleneck: one report in 4 cycles.

use abi::dma::{self, control, status};
use leaf::prelude::*;

/// Registers of the channel, then those of its descriptors.
const NAMES: [&str; 22] = [
    "IDENTIFIER",
    "CONTROL",
    "CONTROL_W1S",
    "CONTROL_W1C",
    "STATUS",
    "STATUS_RC",
    "COMPLETED_COUNT",
    "ALIGNMENTS",
    "WRITEBACK_LO",
    "WRITEBACK_HI",
    "INTERRUPT_MASK",
    "INTERRUPT_MASK_W1S",
    "INTERRUPT_MASK_W1C",
    "PERFORMANCE_CONTROL",
    "CYCLES_LO",
    "CYCLES_HI",
    "DATA_LO",
    "DATA_HI",
    "IDENTIFIER",
    "FIRST_LO",
    "FIRST_HI",
    "FIRST_ADJACENT",
];
/// Those of the channel.
const OWN: usize = 18;

/// See the module's page. Element n of an array belongs to register n of `NAMES`.
#[derive(LogicBlock)]
pub struct Channel {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Function-level reset.
    pub flr: Signal<In, Bit>,
    /// The offset is in the channel's block.
    pub at_channel: Signal<In, Bit>,
    /// It is in the block of the channel's descriptors.
    pub at_sgdma: Signal<In, Bit>,
    /// Offset in the block; stands for a cycle before `act`.
    pub offset: Signal<In, Bits<8>>,
    /// The access happens.
    pub act: Signal<In, Bit>,
    /// It is a write.
    pub write: Signal<In, Bit>,
    /// Word to write.
    pub wdata: Signal<In, Bits<32>>,
    /// Word read, a cycle after `act`; else 0.
    pub rdata: Signal<Out, Bits<32>>,

    /// Begin the list.
    pub start: Signal<Out, Bit>,
    /// Its first descriptor.
    pub first: Signal<Out, Bits<64>>,
    /// How many more stand behind it.
    pub adjacent: Signal<Out, Bits<6>>,
    /// The list is to be followed.
    pub on: Signal<Out, Bit>,
    /// Drop everything.
    pub kill: Signal<Out, Bit>,
    /// Because of a function-level reset.
    pub flushing: Signal<Out, Bit>,
    /// Nothing is on its way.
    pub still: Signal<In, Bit>,
    /// A report on a piece.
    pub e_vld: Signal<In, Bit>,
    /// It is taken.
    pub e_rdy: Signal<Out, Bit>,
    /// The descriptor ends.
    pub e_last: Signal<In, Bit>,
    /// Its Completed flag.
    pub e_completed: Signal<In, Bit>,
    /// Its Stop flag.
    pub e_stop: Signal<In, Bit>,
    /// 1 length 0, 2 without magic, 3 did not arrive.
    pub e_kind: Signal<In, Bits<2>>,
    /// What went wrong in reading.
    pub e_error: Signal<In, Bits<5>>,
    /// What went wrong in writing.
    pub e_answer: Signal<In, Bits<2>>,
    /// Why a descriptor did not arrive.
    pub descriptor_error: Signal<In, Bits<5>>,
    /// A beat of payload moved.
    pub beat: Signal<In, Bit>,
    /// Write `wb_data` to `wb_addr`.
    pub wb_vld: Signal<Out, Bit>,
    /// It is written.
    pub wb_rdy: Signal<In, Bit>,
    /// Where.
    pub wb_addr: Signal<Out, Bits<64>>,
    /// The word.
    pub wb_data: Signal<Out, Bits<32>>,
    /// Source of the channel's interrupt.
    pub irq: Signal<Out, Bit>,
    /// Nothing is to be done.
    pub idle: Signal<Out, Bit>,

    hit: Vec<Dff<Bit>>,
    value: Vec<Signal<Local, Bits<32>>>,
    place: Vec<Constant<Bits<8>>>,
    own: Vec<Constant<Bit>>,
    answer: Dff<Bits<32>>,
    read: Signal<Local, Bits<32>>,
    stores: Signal<Local, Bit>,
    control: Dff<Bits<32>>,
    state: Dff<Bits<24>>,
    count: Dff<Bits<32>>,
    to_lo: Dff<Bits<32>>,
    to_hi: Dff<Bits<32>>,
    mask: Dff<Bits<32>>,
    first_lo: Dff<Bits<32>>,
    first_hi: Dff<Bits<32>>,
    more: Dff<Bits<6>>,
    measure: Dff<Bit>,
    auto: Dff<Bit>,
    clear: Dff<Bit>,
    moved: Dff<Bit>,
    cycles: Dff<Bits<40>>,
    beats: Dff<Bits<40>>,
    // Run as it was; a start that waits; Busy; a list is in hand; it is followed.
    ran: Dff<Bit>,
    wanted: Dff<Bit>,
    busy: Dff<Bit>,
    active: Dff<Bit>,
    follow: Dff<Bit>,
    killing: Dff<Bit>,
    flush: Dff<Bit>,
    cause: Dff<Bits<24>>,
    // A report: taken, judged, acted upon; one is here.
    one: Dff<Bit>,
    two: Dff<Bit>,
    last: Dff<Bit>,
    completed: Dff<Bit>,
    stop: Dff<Bit>,
    kind: Dff<Bits<2>>,
    error: Dff<Bits<5>>,
    outcome: Dff<Bits<2>>,
    found: Dff<Bits<24>>,
    fatal: Dff<Bit>,
    ends: Dff<Bit>,
    dies: Dff<Bit>,
    back: Dff<Bit>,
    back_error: Dff<Bit>,
    source: Dff<Bit>,
    errors: Signal<Local, Bits<24>>,
    enabled: Signal<Local, Bits<24>>,
    rises: Signal<Local, Bit>,
    begin: Signal<Local, Bit>,
    finish: Signal<Local, Bit>,
    judging: Signal<Local, Bit>,
    failed: Signal<Local, Bit>,
    logged: Signal<Local, Bits<24>>,
    cleared: Signal<Local, Bits<24>>,
    identifier: Constant<Bits<32>>,
    sg_identifier: Constant<Bits<32>>,
    alignments: Constant<Bits<32>>,
    control_mask: Constant<Bits<32>>,
    status_mask: Constant<Bits<32>>,
    to_host: Constant<Bit>,
    _n: usize,
}

impl Channel {
    /// Channel 0 of a direction: host to card, or (`c2h`) card to host.
    ///
    /// # Panics
    /// If `abi::dma` has other registers than this unit.
    pub fn new(c2h: bool) -> Self {
        let (block, sgdma) = match c2h {
            false => (dma::H2C, dma::H2C_SGDMA),
            true => (dma::C2H, dma::C2H_SGDMA),
        };
        let registers: Vec<_> = block.registers.iter().chain(sgdma.registers).collect();
        let names: Vec<_> = registers.iter().map(|r| r.name).collect();
        assert_eq!(names, NAMES);
        let number = |n: u32| u64::from(n).to_bits();
        Self {
            hit: registers.iter().map(|_| Default::default()).collect(),
            value: registers.iter().map(|_| Default::default()).collect(),
            place: (registers.iter())
                .map(|r| Constant::new(u64::from(r.offset).to_bits()))
                .collect(),
            own: (0..NAMES.len()).map(|i| Constant::new(i < OWN)).collect(),
            identifier: Constant::new(number(block.identifier(0))),
            sg_identifier: Constant::new(number(sgdma.identifier(0))),
            alignments: Constant::new(number(dma::ALIGNMENTS)),
            control_mask: Constant::new(number(registers[1].mask)),
            status_mask: Constant::new(number(control::LOGGED)),
            to_host: Constant::new(c2h),
            _n: NAMES.len(),
            clk: Default::default(),
            rst: Default::default(),
            flr: Default::default(),
            at_channel: Default::default(),
            at_sgdma: Default::default(),
            offset: Default::default(),
            act: Default::default(),
            write: Default::default(),
            wdata: Default::default(),
            rdata: Default::default(),
            start: Default::default(),
            first: Default::default(),
            adjacent: Default::default(),
            on: Default::default(),
            kill: Default::default(),
            flushing: Default::default(),
            still: Default::default(),
            e_vld: Default::default(),
            e_rdy: Default::default(),
            e_last: Default::default(),
            e_completed: Default::default(),
            e_stop: Default::default(),
            e_kind: Default::default(),
            e_error: Default::default(),
            e_answer: Default::default(),
            descriptor_error: Default::default(),
            beat: Default::default(),
            wb_vld: Default::default(),
            wb_rdy: Default::default(),
            wb_addr: Default::default(),
            wb_data: Default::default(),
            irq: Default::default(),
            idle: Default::default(),
            answer: Default::default(),
            read: Default::default(),
            stores: Default::default(),
            control: Default::default(),
            state: Default::default(),
            count: Default::default(),
            to_lo: Default::default(),
            to_hi: Default::default(),
            mask: Default::default(),
            first_lo: Default::default(),
            first_hi: Default::default(),
            more: Default::default(),
            measure: Default::default(),
            auto: Default::default(),
            clear: Default::default(),
            moved: Default::default(),
            cycles: Default::default(),
            beats: Default::default(),
            ran: Default::default(),
            wanted: Default::default(),
            busy: Default::default(),
            active: Default::default(),
            follow: Default::default(),
            killing: Default::default(),
            flush: Default::default(),
            cause: Default::default(),
            one: Default::default(),
            two: Default::default(),
            last: Default::default(),
            completed: Default::default(),
            stop: Default::default(),
            kind: Default::default(),
            error: Default::default(),
            outcome: Default::default(),
            found: Default::default(),
            fatal: Default::default(),
            back: Default::default(),
            dies: Default::default(),
            back_error: Default::default(),
            source: Default::default(),
            errors: Default::default(),
            enabled: Default::default(),
            rises: Default::default(),
            begin: Default::default(),
            judging: Default::default(),
            finish: Default::default(),
            failed: Default::default(),
            ends: Default::default(),
            logged: Default::default(),
            cleared: Default::default(),
        }
    }
}

// The kernel's bit numbers.
const _: () = assert!(
    control::RUN == 1
        && control::POLL_WRITEBACK == 1 << 26
        && status::DESCRIPTOR_STOPPED == 1 << 1
        && status::DESCRIPTOR_COMPLETED == 1 << 2
        && status::MAGIC_STOPPED == 1 << 4
        && status::INVALID_LENGTH == 1 << 5
        && status::IDLE_STOPPED == 1 << 6
        && status::READ_ERROR == 9
        && status::WRITE_ERROR == 14
        && status::DESCRIPTOR_ERROR == 19
        && dma::WRITEBACK_ERROR == 1 << 31
);

impl Logic for Channel {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("dma_channel");
        dff_setup!(
            self, clk, answer, control, state, count, to_lo, to_hi, mask, first_lo, first_hi
        );
        dff_setup!(self, clk, more, measure, auto, moved, cycles, beats);
        dff_setup!(self, clk, ran, wanted, busy, active, follow, killing, flush, cause);
        dff_setup!(self, clk, one, two, last, completed, stop, kind, error, outcome, found, fatal);
        dff_setup!(self, clk, ends, dies, back, back_error, source, clear);

        // Which register, a cycle ahead; what each reads as.
        self.stores.next = self.act.val() && self.write.val();
        self.value[0].next = self.identifier.val();
        self.value[1].next = self.control.q.val();
        self.value[2].next = self.control.q.val();
        self.value[3].next = self.control.q.val();
        self.value[4].next =
            bit_cast::<32, 24>(self.state.q.val()) | bit_cast::<32, 1>(self.busy.q.val().into());
        self.value[5].next =
            bit_cast::<32, 24>(self.state.q.val()) | bit_cast::<32, 1>(self.busy.q.val().into());
        self.value[6].next = self.count.q.val();
        self.value[7].next = self.alignments.val();
        self.value[8].next = self.to_lo.q.val();
        self.value[9].next = self.to_hi.q.val();
        self.value[10].next = self.mask.q.val();
        self.value[11].next = self.mask.q.val();
        self.value[12].next = self.mask.q.val();
        self.value[13].next = bit_cast::<32, 1>(self.measure.q.val().into())
            | (bit_cast::<32, 1>(self.auto.q.val().into()) << 2);
        self.value[14].next = self.cycles.q.val().get_bits::<32>(0);
        self.value[15].next = bit_cast::<32, 8>(self.cycles.q.val().get_bits::<8>(32));
        self.value[16].next = self.beats.q.val().get_bits::<32>(0);
        self.value[17].next = bit_cast::<32, 8>(self.beats.q.val().get_bits::<8>(32));
        self.value[18].next = self.sg_identifier.val();
        self.value[19].next = self.first_lo.q.val();
        self.value[20].next = self.first_hi.q.val();
        self.value[21].next = bit_cast::<32, 6>(self.more.q.val());
        self.read.next = 0.into();
        for i in 0..self._n {
            self.hit[i].clock.next = self.clk.val();
            self.hit[i].d.next = self.offset.val() == self.place[i].val()
                && ((self.at_channel.val() && self.own[i].val())
                    || (self.at_sgdma.val() && !self.own[i].val()));
            if self.hit[i].q.val() {
                self.read.next = self.read.val() | self.value[i].val();
            }
        }
        self.answer.d.next = 0.into();
        if self.act.val() && !self.write.val() {
            self.answer.d.next = self.read.val();
        }
        self.rdata.next = self.answer.q.val();

        // Writes.
        self.cleared.next = 0.into();
        if self.act.val() && !self.write.val() && self.hit[5].q.val() {
            self.cleared.next = 0xFF_FFFF.into();
        }
        self.cycles.d.next = self.cycles.q.val() + bit_cast::<40, 1>(self.measure.q.val().into());
        self.clear.d.next = false;
        self.moved.d.next = self.beat.val() && self.measure.q.val();
        self.beats.d.next = self.beats.q.val() + bit_cast::<40, 1>(self.moved.q.val().into());
        if self.clear.q.val() {
            self.cycles.d.next = 0.into();
            self.beats.d.next = 0.into();
        }
        if self.stores.val() {
            if self.hit[1].q.val() {
                self.control.d.next = self.wdata.val() & self.control_mask.val();
            }
            if self.hit[2].q.val() {
                self.control.d.next =
                    self.control.q.val() | (self.wdata.val() & self.control_mask.val());
            }
            if self.hit[3].q.val() {
                self.control.d.next = self.control.q.val() & !self.wdata.val();
            }
            if self.hit[4].q.val() {
                self.cleared.next = self.wdata.val().get_bits::<24>(0);
            }
            if self.hit[8].q.val() {
                self.to_lo.d.next = self.wdata.val() & 0xFFFF_FFFCu64;
            }
            if self.hit[9].q.val() {
                self.to_hi.d.next = self.wdata.val();
            }
            if self.hit[10].q.val() {
                self.mask.d.next = self.wdata.val() & self.status_mask.val();
            }
            if self.hit[11].q.val() {
                self.mask.d.next = self.mask.q.val() | (self.wdata.val() & self.status_mask.val());
            }
            if self.hit[12].q.val() {
                self.mask.d.next = self.mask.q.val() & !self.wdata.val();
            }
            if self.hit[13].q.val() {
                self.measure.d.next = self.wdata.val().get_bit(0);
                self.auto.d.next = self.wdata.val().get_bit(2);
                self.clear.d.next = self.wdata.val().get_bit(1);
            }
            if self.hit[19].q.val() {
                self.first_lo.d.next = self.wdata.val() & 0xFFFF_FFE0u64;
            }
            if self.hit[20].q.val() {
                self.first_hi.d.next = self.wdata.val();
            }
            if self.hit[21].q.val() {
                self.more.d.next = self.wdata.val().get_bits::<6>(0);
            }
        }
        self.first.next = bit_cast::<64, 32>(self.first_lo.q.val())
            | (bit_cast::<64, 32>(self.first_hi.q.val()) << 32);
        self.adjacent.next = self.more.q.val();

        // A report is taken, judged by what CONTROL enables, and acted upon.
        self.enabled.next =
            self.control.q.val().get_bits::<24>(0) & self.status_mask.val().get_bits::<24>(0);
        self.judging.next =
            self.one.q.val() || self.two.q.val() || self.ends.q.val() || self.dies.q.val();
        self.e_rdy.next = !self.judging.val() && !self.back.q.val();
        self.one.d.next = false;
        if self.e_vld.val() && !self.judging.val() && !self.back.q.val() {
            self.one.d.next = true;
            self.last.d.next = self.e_last.val();
            self.completed.d.next = self.e_completed.val();
            self.stop.d.next = self.e_stop.val();
            self.kind.d.next = self.e_kind.val();
            self.error.d.next = self.e_error.val();
            self.outcome.d.next = self.e_answer.val();
        }
        self.two.d.next = self.one.q.val();
        self.errors.next = (bit_cast::<24, 5>(self.error.q.val()) << 9)
            | (bit_cast::<24, 2>(self.outcome.q.val()) << 14);
        if self.kind.q.val() == 2 {
            self.errors.next = 0x10.into();
        }
        if self.kind.q.val() == 3 {
            self.errors.next = bit_cast::<24, 5>(self.descriptor_error.val()) << 19;
        }
        self.found.d.next = self.errors.val() & self.enabled.val();
        self.fatal.d.next =
            self.kind.q.val().get_bit(1) || (self.errors.val() & self.enabled.val()) != 0;
        self.ends.d.next =
            self.two.q.val() && self.last.q.val() && !self.fatal.q.val() && !self.killing.q.val();
        self.dies.d.next = self.two.q.val() && self.fatal.q.val() && !self.killing.q.val();

        // The course.
        self.rises.next = self.control.q.val().get_bit(0) && !self.ran.q.val();
        self.ran.d.next = self.control.q.val().get_bit(0);
        self.begin.next = self.wanted.q.val()
            && !self.active.q.val()
            && !self.killing.q.val()
            && self.still.val();
        self.failed.next = self.killing.q.val() && self.still.val() && !self.judging.val();
        self.finish.next = false;
        self.logged.next = 0.into();
        if !self.control.q.val().get_bit(0) {
            self.follow.d.next = false;
        }
        // Run was cleared (it may be set again already) and the descriptors in hand are finished.
        if self.active.q.val()
            && !self.follow.q.val()
            && !self.killing.q.val()
            && self.still.val()
            && !self.judging.val()
            && !self.back.q.val()
        {
            self.finish.next = true;
            self.logged.next = 0x40.into();
        }
        if self.dies.q.val() {
            self.killing.d.next = true;
            self.cause.d.next = self.found.q.val();
            self.follow.d.next = false;
        }
        if self.wb_rdy.val() {
            self.back.d.next = false;
        }
        if self.ends.q.val() {
            self.count.d.next = self.count.q.val() + 1;
            self.logged.next = 0.into();
            if self.completed.q.val() {
                self.logged.next = 0x04.into();
                self.back.d.next = self.control.q.val().get_bit(26);
                self.back_error.d.next = false;
            }
            if self.stop.q.val() {
                self.logged.next = self.logged.val() | 0x02;
                self.finish.next = true;
                if self.auto.q.val() {
                    self.measure.d.next = false;
                }
            }
            if self.kind.q.val() == 1 {
                self.logged.next = self.logged.val() | 0x20;
            }
        }
        if self.failed.val() {
            self.killing.d.next = false;
            self.finish.next = true;
            self.logged.next = self.cause.q.val();
            self.back.d.next = self.control.q.val().get_bit(26) && !self.flush.q.val();
            self.back_error.d.next = true;
            self.flush.d.next = false;
        }
        if self.finish.val() {
            self.active.d.next = false;
            self.follow.d.next = false;
            self.busy.d.next = self.wanted.q.val();
        }
        self.state.d.next =
            (self.state.q.val() & !self.cleared.val()) | (self.logged.val() & self.enabled.val());
        if self.rises.val() {
            self.wanted.d.next = true;
            self.busy.d.next = true;
        }
        if self.begin.val() {
            self.wanted.d.next = false;
            self.active.d.next = true;
            self.follow.d.next = true;
        }
        if self.rises.val() || self.begin.val() {
            self.state.d.next = 0.into();
            self.count.d.next = 0.into();
        }
        self.start.next = self.begin.val();
        self.on.next = self.follow.q.val();
        self.kill.next = self.killing.q.val();
        self.flushing.next = self.flush.q.val();
        self.wb_vld.next = self.back.q.val();
        self.wb_addr.next =
            bit_cast::<64, 32>(self.to_lo.q.val()) | (bit_cast::<64, 32>(self.to_hi.q.val()) << 32);
        self.wb_data.next = bit_cast::<32, 24>(self.count.q.val().get_bits::<24>(0))
            | (bit_cast::<32, 1>(self.back_error.q.val().into()) << 31);
        self.source.d.next = !self.back.q.val()
            && ((bit_cast::<32, 24>(self.state.q.val()) & self.mask.q.val()) != 0);
        self.irq.next = self.source.q.val();
        self.idle.next = !self.wanted.q.val()
            && !self.active.q.val()
            && !self.killing.q.val()
            && !self.judging.val()
            && !self.back.q.val()
            && self.still.val();

        if self.rst.val() || self.flr.val() {
            self.control.d.next = 0.into();
            self.state.d.next = 0.into();
            self.count.d.next = 0.into();
            self.to_lo.d.next = 0.into();
            self.to_hi.d.next = 0.into();
            self.mask.d.next = 0.into();
            self.first_lo.d.next = 0.into();
            self.first_hi.d.next = 0.into();
            self.more.d.next = 0.into();
            self.measure.d.next = false;
            self.auto.d.next = false;
            self.cycles.d.next = 0.into();
            self.beats.d.next = 0.into();
            self.ran.d.next = false;
            self.wanted.d.next = false;
            self.busy.d.next = false;
            self.active.d.next = false;
            self.follow.d.next = false;
            self.cause.d.next = 0.into();
            self.back.d.next = false;
            self.source.d.next = false;
            self.ends.d.next = false;
            self.dies.d.next = false;
            self.killing.d.next = true;
            self.flush.d.next = true;
        }
        if self.rst.val() {
            self.killing.d.next = false;
            self.flush.d.next = false;
            self.one.d.next = false;
            self.two.d.next = false;
        }
    }
}
