//! Jobs: a token's short way. One word of the host starts it, one word in the host's memory ends it.
//!
//! What: the doorbell of `abi::dma::JOB_BLOCK` puts a job into one of four slots. Its commands and its x are moved to the card through the
//! H2C channel's `dma_cut`, then the engine's TAIL is written; when the engine's count of finished commands has come there, the output is
//! moved to the host through the C2H channel's, and the job's word behind it. A channel is claimed while it has nothing to do, so a
//! descriptor needs no fetch and no round trip. Inputs are read ahead of the engine; outputs and words keep the order of the doorbells.
//!
//! Cost (ECP5, in `dma`): 800 LUT sites (docs/utilisation.md). Latency: 13 cycles from the doorbell's access to the first read request,
//! 10 from the engine's count to the output's address on the card's bus (`dma_jobs::cycles_without_stalls`). Bottleneck: the engine.
//! Hazard: after a failure only `flr` helps; lengths are not checked against the slot.

use abi::dma::{self, job};
use leaf::prelude::*;

const NAMES: [&str; 15] = [
    "IDENTIFIER",
    "CAPABILITY",
    "INPUT_LO",
    "INPUT_HI",
    "OUTPUT_LO",
    "OUTPUT_HI",
    "COUNT_LO",
    "COUNT_HI",
    "RING",
    "X",
    "Y",
    "INPUT_BYTES",
    "OUTPUT_BYTES",
    "STATUS",
    "DOORBELL",
];
/// Those that are stored: from INPUT_LO to OUTPUT_BYTES.
const STORED: usize = 11;

/// See the module's page. Element n of `hit` and of its likes belongs to register n of `NAMES`, of `stored` to register n + 2.
#[derive(LogicBlock)]
pub struct Job {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Function-level reset.
    pub flr: Signal<In, Bit>,
    /// The offset is in this block.
    pub at: Signal<In, Bit>,
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

    /// Channels H2C (0) and C2H (1) have nothing to do.
    pub free: Signal<In, Bits<2>>,
    /// Nothing of theirs is on its way.
    pub still: Signal<In, Bits<2>>,
    /// They are ours: descriptors and reports come and go here.
    pub claim: Signal<Out, Bits<2>>,
    /// A descriptor for H2C.
    pub i_vld: Signal<Out, Bit>,
    /// It is taken.
    pub i_rdy: Signal<In, Bit>,
    /// Address in host memory.
    pub i_host: Signal<Out, Bits<64>>,
    /// Address in card memory.
    pub i_card: Signal<Out, Bits<40>>,
    /// Bytes.
    pub i_length: Signal<Out, Bits<28>>,
    /// A report on a piece of it; taken at once.
    pub i_done: Signal<In, Bit>,
    /// The descriptor ends.
    pub i_last: Signal<In, Bit>,
    /// What went wrong in reading the host.
    pub i_error: Signal<In, Bits<5>>,
    /// What went wrong in writing the card.
    pub i_answer: Signal<In, Bits<2>>,
    /// A descriptor for C2H.
    pub o_vld: Signal<Out, Bit>,
    /// It is taken.
    pub o_rdy: Signal<In, Bit>,
    /// Address in host memory.
    pub o_host: Signal<Out, Bits<64>>,
    /// Address in card memory.
    pub o_card: Signal<Out, Bits<40>>,
    /// Bytes.
    pub o_length: Signal<Out, Bits<28>>,
    /// A report on a piece of it; taken at once.
    pub o_done: Signal<In, Bit>,
    /// The descriptor ends.
    pub o_last: Signal<In, Bit>,
    /// What went wrong in reading the card.
    pub o_error: Signal<In, Bits<2>>,

    /// The engine's TAIL is to be written.
    pub tail_vld: Signal<Out, Bit>,
    /// The write is taken.
    pub tail_rdy: Signal<In, Bit>,
    /// The tail.
    pub tail: Signal<Out, Bits<16>>,
    /// The engine's DONE_COUNT.
    pub done_count: Signal<In, Bits<16>>,

    /// Write `wb_data` to `wb_addr`.
    pub wb_vld: Signal<Out, Bit>,
    /// It is written.
    pub wb_rdy: Signal<In, Bit>,
    /// Where.
    pub wb_addr: Signal<Out, Bits<64>>,
    /// The word.
    pub wb_data: Signal<Out, Bits<32>>,
    /// Nothing is to be done.
    pub idle: Signal<Out, Bit>,

    hit: Vec<Dff<Bit>>,
    value: Vec<Signal<Local, Bits<32>>>,
    place: Vec<Constant<Bits<8>>>,
    stored: Vec<Dff<Bits<32>>>,
    mask: Vec<Constant<Bits<32>>>,
    answer: Dff<Bits<32>>,
    read: Signal<Local, Bits<32>>,
    stores: Signal<Local, Bit>,
    // A job's first descriptors; its tail, twice, once with the output's length.
    inputs: Dram<33, 2>,
    tails: Dram<16, 2>,
    outputs: Dram<33, 2>,
    bell: Signal<Local, Bit>,
    full: Signal<Local, Bit>,
    push: Signal<Local, Bit>,
    // Jobs begun, whole on the card, rung and finished, modulo 8; descriptors of inputs asked for and arrived, two to a job.
    begun: Dff<Bits<3>>,
    asked: Dff<Bits<4>>,
    arrived: Dff<Bits<4>>,
    good: Dff<Bits<3>>,
    next: Signal<Local, Bits<4>>,
    rung: Dff<Bits<3>>,
    finished: Dff<Bits<3>>,
    // 0 the next job's tail is read, 1 wait for it, 2 the output on offer, 3 on its way, 4 the word, 5 failed.
    state: Dff<Bits<3>>,
    reached: Dff<Bit>,
    wants: Signal<Local, Bits<2>>,
    claimed: Dff<Bits<2>>,
    more: Signal<Local, Bit>,
    failed: Dff<Bit>,
    // The word on offer says so.
    told: Dff<Bit>,
    overrun: Dff<Bit>,
    read_error: Dff<Bits<5>>,
    write_error: Dff<Bits<2>>,
    output_error: Dff<Bits<2>>,
    passed: Signal<Local, Bits<16>>,
    identifier: Constant<Bits<32>>,
    capability: Constant<Bits<32>>,
    _n: usize,
    _stored: usize,
}

// The kernel's numbers.
const _: () = assert!(
    job::SLOTS == 4
        && job::SLOT_LOG2 == 16
        && job::X == 256
        && abi::command::COMMAND_STRIDE == 128
        && job::TWO == 1 << 16
        && job::PLACE == 17
        && job::FAILED == 2
        && job::OVERRUN == 4
        && job::READ_ERROR == 9
        && job::WRITE_ERROR == 14
        && job::OUTPUT_ERROR == 16
        && job::WORD_FAILED == 1 << 31
);

impl Default for Job {
    /// # Panics
    /// If `abi::dma` has other registers than this unit.
    fn default() -> Self {
        let registers = dma::JOB_BLOCK.registers;
        assert_eq!(registers.iter().map(|r| r.name).collect::<Vec<_>>(), NAMES);
        let number = |n: u32| u64::from(n).to_bits();
        Self {
            hit: registers.iter().map(|_| Default::default()).collect(),
            value: registers.iter().map(|_| Default::default()).collect(),
            place: (registers.iter())
                .map(|r| Constant::new(u64::from(r.offset).to_bits()))
                .collect(),
            stored: (0..STORED).map(|_| Default::default()).collect(),
            mask: (registers[2..2 + STORED].iter())
                .map(|r| Constant::new(number(r.mask)))
                .collect(),
            inputs: Dram::new(4),
            tails: Dram::new(4),
            outputs: Dram::new(4),
            identifier: Constant::new(number(dma::JOB_BLOCK.identifier(0))),
            capability: Constant::new(number(job::SLOTS | job::SLOT_LOG2 << 8)),
            _n: NAMES.len(),
            _stored: STORED,
            clk: Default::default(),
            rst: Default::default(),
            flr: Default::default(),
            at: Default::default(),
            offset: Default::default(),
            act: Default::default(),
            write: Default::default(),
            wdata: Default::default(),
            rdata: Default::default(),
            free: Default::default(),
            still: Default::default(),
            claim: Default::default(),
            i_vld: Default::default(),
            i_rdy: Default::default(),
            i_host: Default::default(),
            i_card: Default::default(),
            i_length: Default::default(),
            i_done: Default::default(),
            i_last: Default::default(),
            i_error: Default::default(),
            i_answer: Default::default(),
            o_vld: Default::default(),
            o_rdy: Default::default(),
            o_host: Default::default(),
            o_card: Default::default(),
            o_length: Default::default(),
            o_done: Default::default(),
            o_last: Default::default(),
            o_error: Default::default(),
            tail_vld: Default::default(),
            tail_rdy: Default::default(),
            tail: Default::default(),
            done_count: Default::default(),
            wb_vld: Default::default(),
            wb_rdy: Default::default(),
            wb_addr: Default::default(),
            wb_data: Default::default(),
            idle: Default::default(),
            answer: Default::default(),
            read: Default::default(),
            stores: Default::default(),
            bell: Default::default(),
            full: Default::default(),
            push: Default::default(),
            begun: Default::default(),
            asked: Default::default(),
            arrived: Default::default(),
            good: Default::default(),
            next: Default::default(),
            rung: Default::default(),
            finished: Default::default(),
            state: Default::default(),
            reached: Default::default(),
            wants: Default::default(),
            claimed: Default::default(),
            more: Default::default(),
            failed: Default::default(),
            told: Default::default(),
            overrun: Default::default(),
            read_error: Default::default(),
            write_error: Default::default(),
            output_error: Default::default(),
            passed: Default::default(),
        }
    }
}

impl Logic for Job {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("dma_job");
        dff_setup!(self, clk, answer, begun, asked, arrived, good, rung, finished, state, reached);
        dff_setup!(
            self,
            clk,
            claimed,
            failed,
            told,
            overrun,
            read_error,
            write_error,
            output_error
        );
        clock!(self, clk, inputs, tails, outputs);

        // Registers.
        self.stores.next = self.act.val() && self.write.val();
        self.value[0].next = self.identifier.val();
        self.value[1].next = self.capability.val();
        for i in 0..self._stored {
            self.stored[i].clock.next = self.clk.val();
            self.stored[i].d.next = self.stored[i].q.val();
            if self.stores.val() && self.hit[2 + i].q.val() {
                self.stored[i].d.next = self.wdata.val() & self.mask[i].val();
            }
            self.value[2 + i].next = self.stored[i].q.val();
        }
        self.value[13].next = (bit_cast::<32, 1>(
            (self.begun.q.val() != self.finished.q.val() && self.state.q.val() != 5).into(),
        ) | (bit_cast::<32, 1>(self.failed.q.val().into()) << 1))
            | ((bit_cast::<32, 1>(self.overrun.q.val().into()) << 2)
                | (bit_cast::<32, 5>(self.read_error.q.val()) << 9))
            | ((bit_cast::<32, 2>(self.write_error.q.val()) << 14)
                | (bit_cast::<32, 2>(self.output_error.q.val()) << 16));
        self.value[14].next = 0.into();
        self.read.next = 0.into();
        for i in 0..self._n {
            self.hit[i].clock.next = self.clk.val();
            self.hit[i].d.next = self.at.val() && self.offset.val() == self.place[i].val();
            if self.hit[i].q.val() {
                self.read.next = self.read.val() | self.value[i].val();
            }
        }
        self.answer.d.next = 0.into();
        if self.act.val() && !self.write.val() {
            self.answer.d.next = self.read.val();
        }
        self.rdata.next = self.answer.q.val();

        // A job begins.
        self.bell.next = self.stores.val() && self.hit[14].q.val();
        self.full.next = self.begun.q.val() - self.finished.q.val() == 4;
        self.push.next = self.bell.val() && !self.full.val() && !self.failed.q.val();
        self.inputs.we.next = self.push.val();
        self.inputs.waddr.next = self.begun.q.val().get_bits::<2>(0);
        self.inputs.wdata.next = bit_cast::<33, 16>(self.wdata.val().get_bits::<16>(16))
            | (bit_cast::<33, 17>(self.stored[9].q.val().get_bits::<17>(0)) << 16);
        self.tails.we.next = self.push.val();
        self.tails.waddr.next = self.begun.q.val().get_bits::<2>(0);
        self.tails.wdata.next = self.wdata.val().get_bits::<16>(0);
        self.outputs.we.next = self.push.val();
        self.outputs.waddr.next = self.begun.q.val().get_bits::<2>(0);
        self.outputs.wdata.next = bit_cast::<33, 16>(self.wdata.val().get_bits::<16>(0))
            | (bit_cast::<33, 17>(self.stored[10].q.val().get_bits::<17>(0)) << 16);
        if self.push.val() {
            self.begun.d.next = self.begun.q.val() + 1;
        }
        if self.bell.val() && self.full.val() {
            self.failed.d.next = true;
            self.overrun.d.next = true;
        }

        // Its input: the commands, then x.
        self.inputs.raddr.next = self.asked.q.val().get_bits::<2>(1);
        self.more.next =
            self.asked.q.val().get_bits::<3>(1) != self.begun.q.val() && !self.failed.q.val();
        self.i_vld.next = self.more.val() && self.claimed.q.val().get_bit(0);
        self.i_host.next = (bit_cast::<64, 32>(self.stored[0].q.val())
            | (bit_cast::<64, 32>(self.stored[1].q.val()) << 32))
            | ((bit_cast::<64, 2>(self.asked.q.val().get_bits::<2>(1)) << 16)
                | (bit_cast::<64, 1>(self.asked.q.val().get_bits::<1>(0)) << 8));
        self.i_card.next = (bit_cast::<40, 32>(self.stored[6].q.val()) << 8)
            | (bit_cast::<40, 15>(self.inputs.rdata.val().get_bits::<15>(1)) << 7);
        self.i_length.next = 128.into();
        if self.inputs.rdata.val().get_bit(0) {
            self.i_length.next = 256.into();
        }
        if self.asked.q.val().get_bit(0) {
            self.i_card.next = (bit_cast::<40, 32>(self.stored[7].q.val()) << 8)
                | (bit_cast::<40, 2>(self.asked.q.val().get_bits::<2>(1)) << 16);
            self.i_length.next = bit_cast::<28, 17>(self.inputs.rdata.val().get_bits::<17>(16));
        }
        if self.i_vld.val() && self.i_rdy.val() {
            self.asked.d.next = self.asked.q.val() + 1;
        }
        self.next.next = self.arrived.q.val() + 1;
        if self.i_done.val() {
            if self.i_last.val() {
                self.arrived.d.next = self.next.val();
                if !self.failed.q.val() && self.i_error.val() == 0 && self.i_answer.val() == 0 {
                    self.good.d.next = self.next.val().get_bits::<3>(1);
                }
            }
            if self.i_error.val() != 0 || self.i_answer.val() != 0 {
                self.failed.d.next = true;
            }
            self.read_error.d.next = self.read_error.q.val() | self.i_error.val();
            self.write_error.d.next = self.write_error.q.val() | self.i_answer.val();
        }

        // The engine is rung.
        self.tails.raddr.next = self.rung.q.val().get_bits::<2>(0);
        self.tail_vld.next = self.rung.q.val() != self.good.q.val();
        self.tail.next = self.tails.rdata.val();
        if self.tail_vld.val() && self.tail_rdy.val() {
            self.rung.d.next = self.rung.q.val() + 1;
        }

        // Its output and its word. What was rung before a failure of an input ends as ever.
        self.outputs.raddr.next = self.finished.q.val().get_bits::<2>(0);
        self.passed.next = self.done_count.val() - self.outputs.rdata.val().get_bits::<16>(0);
        self.reached.d.next =
            !self.passed.val().get_bit(15) && self.finished.q.val() != self.rung.q.val();
        if self.state.q.val() == 0 {
            self.state.d.next = 1.into();
        }
        if self.state.q.val() == 1 {
            if self.reached.q.val() {
                self.state.d.next = 2.into();
            }
            if self.failed.q.val()
                && self.finished.q.val() == self.rung.q.val()
                && self.rung.q.val() == self.good.q.val()
            {
                self.state.d.next = 4.into();
                self.told.d.next = true;
            }
        }
        self.o_vld.next = self.state.q.val() == 2 && self.claimed.q.val().get_bit(1);
        self.o_host.next = (bit_cast::<64, 32>(self.stored[2].q.val())
            | (bit_cast::<64, 32>(self.stored[3].q.val()) << 32))
            | (bit_cast::<64, 2>(self.finished.q.val().get_bits::<2>(0)) << 16);
        self.o_card.next = (bit_cast::<40, 32>(self.stored[8].q.val()) << 8)
            | (bit_cast::<40, 2>(self.finished.q.val().get_bits::<2>(0)) << 16);
        self.o_length.next = bit_cast::<28, 17>(self.outputs.rdata.val().get_bits::<17>(16));
        if self.o_vld.val() && self.o_rdy.val() {
            self.state.d.next = 3.into();
        }
        if self.o_done.val() {
            if self.o_last.val() {
                self.state.d.next = 4.into();
                self.told.d.next = self.output_error.q.val() != 0 || self.o_error.val() != 0;
            }
            if self.o_error.val() != 0 {
                self.failed.d.next = true;
            }
            self.output_error.d.next = self.output_error.q.val() | self.o_error.val();
        }
        self.wb_vld.next = self.state.q.val() == 4;
        self.wb_addr.next = bit_cast::<64, 32>(self.stored[4].q.val())
            | (bit_cast::<64, 32>(self.stored[5].q.val()) << 32);
        self.wb_data.next = bit_cast::<32, 16>(self.outputs.rdata.val().get_bits::<16>(0))
            | (bit_cast::<32, 1>(self.told.q.val().into()) << 31);
        if self.wb_vld.val() && self.wb_rdy.val() {
            if self.told.q.val() {
                self.state.d.next = 5.into();
            } else {
                self.state.d.next = 0.into();
                self.finished.d.next = self.finished.q.val() + 1;
            }
        }

        // The channels: claimed when they have nothing to do, left when nothing of ours is on its way.
        self.wants.next = bit_cast::<2, 1>(
            (self.more.val() || self.asked.q.val() != self.arrived.q.val()).into(),
        ) | (bit_cast::<2, 1>(
            (self.state.q.val() == 2 || self.state.q.val() == 3).into(),
        ) << 1);
        self.claimed.d.next = (self.claimed.q.val() & (self.wants.val() | !self.still.val()))
            | (!self.claimed.q.val() & self.wants.val() & self.free.val());
        self.claim.next = self.claimed.q.val();
        self.idle.next = (self.begun.q.val() == self.finished.q.val() || self.state.q.val() == 5)
            && self.state.q.val() != 4
            && self.asked.q.val() == self.arrived.q.val()
            && self.claimed.q.val() == 0;

        if self.rst.val() || self.flr.val() {
            self.begun.d.next = 0.into();
            self.asked.d.next = 0.into();
            self.arrived.d.next = 0.into();
            self.good.d.next = 0.into();
            self.rung.d.next = 0.into();
            self.finished.d.next = 0.into();
            self.state.d.next = 0.into();
            self.claimed.d.next = 0.into();
            self.failed.d.next = false;
            self.told.d.next = false;
            self.overrun.d.next = false;
            self.read_error.d.next = 0.into();
            self.write_error.d.next = 0.into();
            self.output_error.d.next = 0.into();
            for i in 0..self._stored {
                self.stored[i].d.next = 0.into();
            }
        }
    }
}
