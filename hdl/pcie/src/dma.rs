//! The DMA engine: one channel in each direction, to the register contract of `docs/dma.md`.
//!
//! What: registers and interrupts (`dma_access`, `dma_channel`, `dma_irq`), descriptors (`dma_fetch`), pieces of descriptors (`dma_cut`),
//! jobs that come without descriptors (`dma_job`), and the data's way (`dma_h2c` with the reorder buffer `dma_store`, `dma_c2h`; both move bytes with `dma_move` and report to
//! `dma_events`). A piece is one packet on the link and one burst on the card's bus, so packets and bursts never wait for each other in the
//! middle, and pieces of following descriptors overlap. What needs order has it: data before write-back, both before the interrupt.
//!
//! Cost: docs/utilisation.md. Bottleneck: 12 read requests of up to 512 bytes, 2 or 4 KiB of
//! them in flight (`A`): at 125 MHz and a microsecond of round trip more than a link of x1 (64 bits) or Gen2 x4 (128 bits) carries.
//! Hazards: `rst` together with the card's bus only; `flr` at any time: what is on its way is waited for before anything starts again.
//! Every request that was taken must end with `cp_last`. Card addresses have 40 bits; higher ones of a descriptor are ignored.

use crate::dma_access::Access;
use crate::dma_c2h::C2h;
use crate::dma_channel::Channel;
use crate::dma_cut::Cut;
use crate::dma_events::Events;
use crate::dma_fetch::Fetch;
use crate::dma_h2c::H2c;
use crate::dma_irq::Irq;
use crate::dma_job::Job;
use crate::dma_store::Store;
use leaf::prelude::*;

/// See the module's page. `W` bits, `K` = `W` / 32 words, `L` = log2 `K`, `R` = `W` / 8 bytes, `B` = log2 `R`; `A`: 2^`A` rows of data in
/// flight in each direction, `C` = `A` + 1, `P` = `C` + `L`.
#[derive(LogicBlock)]
pub struct Dma<
    const W: usize,
    const K: usize,
    const L: usize,
    const R: usize,
    const B: usize,
    const A: usize,
    const C: usize,
    const P: usize,
> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high; only together with the card's bus.
    pub rst: Signal<In, Bit>,
    /// Function-level reset.
    pub flr: Signal<In, Bit>,
    /// Bus master enable.
    pub bme: Signal<In, Bit>,
    /// Largest payload: 128 << `mps` bytes.
    pub mps: Signal<In, Bits<3>>,
    /// Largest read request: 128 << `mrrs` bytes; above 512 bytes means 512.
    pub mrrs: Signal<In, Bits<3>>,
    /// Nothing is outstanding, on the link or on the card's bus.
    pub quiet: Signal<Out, Bit>,

    /// An access to a register.
    pub rg_vld: Signal<In, Bit>,
    /// It is taken.
    pub rg_rdy: Signal<Out, Bit>,
    /// It is a write.
    pub rg_write: Signal<In, Bit>,
    /// Offset in the BAR.
    pub rg_addr: Signal<In, Bits<16>>,
    /// Word to write.
    pub rg_data: Signal<In, Bits<32>>,
    /// Byte enables.
    pub rg_be: Signal<In, Bits<4>>,
    /// A read is answered.
    pub rs_vld: Signal<Out, Bit>,
    /// The word.
    pub rs_data: Signal<Out, Bits<32>>,

    /// A read request.
    pub rq_vld: Signal<Out, Bit>,
    /// It is taken.
    pub rq_rdy: Signal<In, Bit>,
    /// Byte address.
    pub rq_addr: Signal<Out, Bits<64>>,
    /// Bytes.
    pub rq_bytes: Signal<Out, Bits<13>>,
    /// Tag.
    pub rq_tag: Signal<Out, Bits<6>>,
    /// A beat of a completion; never stalled.
    pub cp_vld: Signal<In, Bit>,
    /// Its request.
    pub cp_tag: Signal<In, Bits<6>>,
    /// Words, packed from word 0.
    pub cp_data: Signal<In, Bits<W>>,
    /// Which there are.
    pub cp_keep: Signal<In, Bits<K>>,
    /// The request is complete, or has failed.
    pub cp_last: Signal<In, Bit>,
    /// What went wrong: unsupported request, completer abort, parity, poisoned, unexpected or time-out.
    pub cp_error: Signal<In, Bits<5>>,

    /// A memory write.
    pub wr_vld: Signal<Out, Bit>,
    /// Its beat is taken.
    pub wr_rdy: Signal<In, Bit>,
    /// First beat.
    pub wr_sop: Signal<Out, Bit>,
    /// Last beat.
    pub wr_eop: Signal<Out, Bit>,
    /// Byte address, with the first beat.
    pub wr_addr: Signal<Out, Bits<64>>,
    /// Bytes, with the first beat.
    pub wr_bytes: Signal<Out, Bits<13>>,
    /// The beat: the first byte stands in its place of a word.
    pub wr_data: Signal<Out, Bits<W>>,

    /// A message.
    pub ms_vld: Signal<Out, Bit>,
    /// It is sent.
    pub ms_rdy: Signal<In, Bit>,
    /// Its vector.
    pub ms_vector: Signal<Out, Bits<5>>,
    /// Some interrupt request is pending.
    pub irq_level: Signal<Out, Bit>,
    /// The engine's interrupt, a level.
    pub usr_irq: Signal<In, Bit>,

    /// The engine's TAIL is to be written.
    pub tail_vld: Signal<Out, Bit>,
    /// The write is taken.
    pub tail_rdy: Signal<In, Bit>,
    /// The tail.
    pub tail: Signal<Out, Bits<16>>,
    /// The engine's DONE_COUNT.
    pub done_count: Signal<In, Bits<16>>,

    /// AXI write address; bursts are INCR of 16-byte beats with one ID.
    pub aw_vld: Signal<Out, Bit>,
    /// Address taken.
    pub aw_rdy: Signal<In, Bit>,
    /// Byte address, a multiple of 16.
    pub aw_addr: Signal<Out, Bits<40>>,
    /// Beats - 1.
    pub aw_len: Signal<Out, Bits<8>>,
    /// AXI write data.
    pub w_vld: Signal<Out, Bit>,
    /// Data taken.
    pub w_rdy: Signal<In, Bit>,
    /// One beat.
    pub w_data: Signal<Out, Bits<128>>,
    /// Its bytes that are written.
    pub w_strb: Signal<Out, Bits<16>>,
    /// Last beat of its burst.
    pub w_last: Signal<Out, Bit>,
    /// AXI write response.
    pub b_vld: Signal<In, Bit>,
    /// Always taken.
    pub b_rdy: Signal<Out, Bit>,
    /// 0: OKAY.
    pub b_resp: Signal<In, Bits<2>>,
    /// AXI read address; as for writes.
    pub ar_vld: Signal<Out, Bit>,
    /// Address taken.
    pub ar_rdy: Signal<In, Bit>,
    /// Byte address, a multiple of 16.
    pub ar_addr: Signal<Out, Bits<40>>,
    /// Beats - 1.
    pub ar_len: Signal<Out, Bits<8>>,
    /// AXI read data, in order.
    pub r_vld: Signal<In, Bit>,
    /// Data taken.
    pub r_rdy: Signal<Out, Bit>,
    /// One beat.
    pub r_data: Signal<In, Bits<128>>,
    /// 0: OKAY.
    pub r_resp: Signal<In, Bits<2>>,
    /// Last beat of a burst.
    pub r_last: Signal<In, Bit>,

    access: Access,
    irq: Irq,
    job: Job,
    store: Store<W, K, L, C, P>,
    h2c: H2c<W, R, B, A, C>,
    c2h: C2h<W, R, B, A, C>,
    channel: [Channel; 2],
    fetch: [Fetch<W>; 2],
    cut: [Cut; 2],
    events: [Events; 2],
    // The request that goes out.
    request: Dff<Bit>,
    request_addr: Dff<Bits<64>>,
    request_bytes: Dff<Bits<10>>,
    request_tag: Dff<Bits<4>>,
    still: [Dff<Bit>; 2],
    answer: Dff<Bit>,
    answer_error: Dff<Bits<2>>,
    sent: Dff<Bit>,
    // The write that goes out: 0 the word of a job, 1 data, 2 and 3 write-back of H2C and C2H; dropped after a function-level reset.
    writer: Dff<Bits<2>>,
    begun: Dff<Bit>,
    sinking: Dff<Bit>,
    // The request register is empty and no completion is in the way of opening a tag.
    free: Dff<Bit>,
    flushing: Signal<Local, Bit>,
    withdraw: Signal<Local, Bit>,
    data_ends: Signal<Local, Bit>,
    data_moves: Signal<Local, Bit>,
    boundary: Signal<Local, Bit>,
    // The upper half of the rows belongs to the descriptors, 64 rows to each of their four tags.
    opened: Signal<Local, Bits<C>>,
    peeked: Signal<Local, Bits<7>>,
    peek_id: Signal<Local, Bit>,
    // Channels that jobs use.
    ours: Signal<Local, Bits<2>>,
    half: Constant<Bits<C>>,
}

/// For a link of 64 bits.
pub type Dma64 = Dma<64, 2, 1, 8, 3, 8, 9, 10>;
/// For a link of 128 bits.
pub type Dma128 = Dma<128, 4, 2, 16, 4, 8, 9, 11>;

impl<
        const W: usize,
        const K: usize,
        const L: usize,
        const R: usize,
        const B: usize,
        const A: usize,
        const C: usize,
        const P: usize,
    > Default for Dma<W, K, L, R, B, A, C, P>
{
    /// # Panics
    /// If the sizes do not fit each other, or there are too few rows for descriptors.
    fn default() -> Self {
        assert!(A >= 8, "Dma: 2^{A} rows are too few for the descriptors");
        Self {
            channel: [Channel::new(false), Channel::new(true)],
            fetch: arr(),
            cut: arr(),
            events: arr(),
            still: arr(),
            writer: Dff::new(1u64.to_bits()),
            half: Constant::new((1u64 << A).to_bits()),
            clk: Default::default(),
            rst: Default::default(),
            flr: Default::default(),
            bme: Default::default(),
            mps: Default::default(),
            mrrs: Default::default(),
            quiet: Default::default(),
            rg_vld: Default::default(),
            rg_rdy: Default::default(),
            rg_write: Default::default(),
            rg_addr: Default::default(),
            rg_data: Default::default(),
            rg_be: Default::default(),
            rs_vld: Default::default(),
            rs_data: Default::default(),
            rq_vld: Default::default(),
            rq_rdy: Default::default(),
            rq_addr: Default::default(),
            rq_bytes: Default::default(),
            rq_tag: Default::default(),
            cp_vld: Default::default(),
            cp_tag: Default::default(),
            cp_data: Default::default(),
            cp_keep: Default::default(),
            cp_last: Default::default(),
            cp_error: Default::default(),
            wr_vld: Default::default(),
            wr_rdy: Default::default(),
            wr_sop: Default::default(),
            wr_eop: Default::default(),
            wr_addr: Default::default(),
            wr_bytes: Default::default(),
            wr_data: Default::default(),
            ms_vld: Default::default(),
            ms_rdy: Default::default(),
            ms_vector: Default::default(),
            irq_level: Default::default(),
            usr_irq: Default::default(),
            tail_vld: Default::default(),
            tail_rdy: Default::default(),
            tail: Default::default(),
            done_count: Default::default(),
            aw_vld: Default::default(),
            aw_rdy: Default::default(),
            aw_addr: Default::default(),
            aw_len: Default::default(),
            w_vld: Default::default(),
            w_rdy: Default::default(),
            w_data: Default::default(),
            w_strb: Default::default(),
            w_last: Default::default(),
            b_vld: Default::default(),
            b_rdy: Default::default(),
            b_resp: Default::default(),
            ar_vld: Default::default(),
            ar_rdy: Default::default(),
            ar_addr: Default::default(),
            ar_len: Default::default(),
            r_vld: Default::default(),
            r_rdy: Default::default(),
            r_data: Default::default(),
            r_resp: Default::default(),
            r_last: Default::default(),
            access: Default::default(),
            irq: Default::default(),
            job: Default::default(),
            ours: Default::default(),
            store: Default::default(),
            h2c: Default::default(),
            c2h: Default::default(),
            request: Default::default(),
            request_addr: Default::default(),
            request_bytes: Default::default(),
            request_tag: Default::default(),
            answer: Default::default(),
            answer_error: Default::default(),
            sent: Default::default(),
            begun: Default::default(),
            sinking: Default::default(),
            free: Default::default(),
            flushing: Default::default(),
            withdraw: Default::default(),
            data_ends: Default::default(),
            data_moves: Default::default(),
            boundary: Default::default(),
            opened: Default::default(),
            peeked: Default::default(),
            peek_id: Default::default(),
        }
    }
}

impl<
        const W: usize,
        const K: usize,
        const L: usize,
        const R: usize,
        const B: usize,
        const A: usize,
        const C: usize,
        const P: usize,
    > Logic for Dma<W, K, L, R, B, A, C, P>
{
    #[hdl_gen]
    fn update(&mut self) {
        comment!("dma");
        dff_setup!(self, clk, free);
        dff_setup!(self, clk, request, request_addr, request_bytes, request_tag);
        dff_setup!(
            self,
            clk,
            answer,
            answer_error,
            sent,
            writer,
            begun,
            sinking
        );
        self.access.clk.next = self.clk.val();
        self.access.rst.next = self.rst.val();
        self.access.flr.next = self.flr.val();
        self.irq.clk.next = self.clk.val();
        self.irq.rst.next = self.rst.val();
        self.irq.flr.next = self.flr.val();
        self.job.clk.next = self.clk.val();
        self.job.rst.next = self.rst.val();
        self.job.flr.next = self.flr.val();
        self.store.clk.next = self.clk.val();
        self.store.rst.next = self.rst.val();
        self.h2c.clk.next = self.clk.val();
        self.h2c.rst.next = self.rst.val();
        self.c2h.clk.next = self.clk.val();
        self.c2h.rst.next = self.rst.val();
        for i in 0..2 {
            self.channel[i].clk.next = self.clk.val();
            self.channel[i].rst.next = self.rst.val();
            self.channel[i].flr.next = self.flr.val();
            self.fetch[i].clk.next = self.clk.val();
            self.fetch[i].rst.next = self.rst.val();
            self.cut[i].clk.next = self.clk.val();
            self.cut[i].rst.next = self.rst.val();
            self.events[i].clk.next = self.clk.val();
            self.events[i].rst.next = self.rst.val();
            self.still[i].clock.next = self.clk.val();
        }

        // Registers.
        self.access.rg_vld.next = self.rg_vld.val();
        self.rg_rdy.next = self.access.rg_rdy.val();
        self.access.rg_write.next = self.rg_write.val();
        self.access.rg_addr.next = self.rg_addr.val();
        self.access.rg_data.next = self.rg_data.val();
        self.access.rg_be.next = self.rg_be.val();
        self.rs_vld.next = self.access.rs_vld.val();
        self.rs_data.next = self.access.rs_data.val();
        self.access.rdata0.next = self.channel[0].rdata.val();
        self.access.rdata1.next = self.channel[1].rdata.val();
        self.access.rdata2.next = self.irq.rdata.val();
        self.access.rdata3.next = self.job.rdata.val();
        for i in 0..2 {
            self.channel[i].at_channel.next = self.access.at.val().get_bit(i);
            self.channel[i].at_sgdma.next = self.access.at.val().get_bit(4 + i);
            self.channel[i].offset.next = self.access.offset.val();
            self.channel[i].act.next = self.access.act.val();
            self.channel[i].write.next = self.access.write.val();
            self.channel[i].wdata.next = self.access.wdata.val();
        }
        self.irq.at.next = self.access.at.val().get_bit(2);
        self.irq.offset.next = self.access.offset.val();
        self.irq.act.next = self.access.act.val();
        self.irq.write.next = self.access.write.val();
        self.irq.wdata.next = self.access.wdata.val();
        self.job.at.next = self.access.at.val().get_bit(7);
        self.job.offset.next = self.access.offset.val();
        self.job.act.next = self.access.act.val();
        self.job.write.next = self.access.write.val();
        self.job.wdata.next = self.access.wdata.val();
        self.irq.sources.next = bit_cast::<3, 1>(self.channel[0].irq.val().into())
            | (bit_cast::<3, 1>(self.channel[1].irq.val().into()) << 1)
            | (bit_cast::<3, 1>(self.usr_irq.val().into()) << 2);
        self.ms_vld.next = self.irq.ms_vld.val();
        self.irq.ms_rdy.next = self.ms_rdy.val();
        self.ms_vector.next = self.irq.ms_vector.val();
        self.irq_level.next = self.irq.level.val();

        // Jobs: the engine's side, and the channels that they use.
        self.tail_vld.next = self.job.tail_vld.val();
        self.tail.next = self.job.tail.val();
        self.job.tail_rdy.next = self.tail_rdy.val();
        self.job.done_count.next = self.done_count.val();
        self.ours.next = self.job.claim.val();
        self.job.free.next = bit_cast::<2, 1>(self.channel[0].idle.val().into())
            | (bit_cast::<2, 1>(self.channel[1].idle.val().into()) << 1);
        self.job.still.next = bit_cast::<2, 1>(self.still[0].q.val().into())
            | (bit_cast::<2, 1>(self.still[1].q.val().into()) << 1);
        self.job.i_rdy.next = self.cut[0].d_rdy.val();
        self.job.i_done.next = self.events[0].e_vld.val() && self.ours.val().get_bit(0);
        self.job.i_last.next = self.events[0].e_last.val();
        self.job.i_error.next = self.events[0].e_error.val();
        self.job.i_answer.next = self.events[0].e_answer.val();
        self.job.o_rdy.next = self.cut[1].d_rdy.val();
        self.job.o_done.next = self.events[1].e_vld.val() && self.ours.val().get_bit(1);
        self.job.o_last.next = self.events[1].e_last.val();
        self.job.o_error.next = self.events[1].e_error.val().get_bits::<2>(0);

        // Descriptors and pieces.
        for i in 0..2 {
            self.fetch[i].start.next = self.channel[i].start.val();
            self.fetch[i].first.next = self.channel[i].first.val();
            self.fetch[i].adjacent.next = self.channel[i].adjacent.val();
            self.fetch[i].on.next = self.channel[i].on.val();
            self.fetch[i].halt.next = self.access.halt.val().get_bit(i);
            self.fetch[i].mrrs.next = self.mrrs.val();
            self.fetch[i].done.next = self.store.done.val().get_bits::<2>(12 + 2 * i);
            self.fetch[i].bad.next = self.store.bad.val().get_bits::<2>(2 * i);
            self.fetch[i].d_rdy.next = self.cut[i].d_rdy.val();
            self.cut[i].kill.next = self.channel[i].kill.val();
            self.cut[i].d_vld.next = self.fetch[i].d_vld.val();
            self.cut[i].d_length.next = self.fetch[i].d_length.val();
            self.cut[i].d_completed.next = self.fetch[i].d_completed.val();
            self.cut[i].d_stop.next = self.fetch[i].d_stop.val();
            self.cut[i].d_kind.next = self.fetch[i].d_kind.val();
        }
        self.cut[0].limit.next = self.mrrs.val();
        self.cut[0].d_host.next = self.fetch[0].d_src.val();
        self.cut[0].d_card.next = self.fetch[0].d_dst.val().get_bits::<40>(0);
        self.cut[1].limit.next = self.mps.val();
        self.cut[1].d_host.next = self.fetch[1].d_dst.val();
        self.cut[1].d_card.next = self.fetch[1].d_src.val().get_bits::<40>(0);
        if self.ours.val().get_bit(0) {
            self.cut[0].d_vld.next = self.job.i_vld.val();
            self.cut[0].d_host.next = self.job.i_host.val();
            self.cut[0].d_card.next = self.job.i_card.val();
            self.cut[0].d_length.next = self.job.i_length.val();
            self.cut[0].d_kind.next = 0.into();
        }
        if self.ours.val().get_bit(1) {
            self.cut[1].d_vld.next = self.job.o_vld.val();
            self.cut[1].d_host.next = self.job.o_host.val();
            self.cut[1].d_card.next = self.job.o_card.val();
            self.cut[1].d_length.next = self.job.o_length.val();
            self.cut[1].d_kind.next = 0.into();
        }
        self.h2c.kill.next = self.channel[0].kill.val();
        self.h2c.p_vld.next = self.cut[0].p_vld.val();
        self.cut[0].p_rdy.next = self.h2c.p_rdy.val();
        self.h2c.p_host.next = self.cut[0].p_host.val();
        self.h2c.p_card.next = self.cut[0].p_card.val();
        self.h2c.p_bytes.next = self.cut[0].p_bytes.val();
        self.h2c.p_last.next = self.cut[0].p_last.val();
        self.h2c.p_completed.next = self.cut[0].p_completed.val();
        self.h2c.p_stop.next = self.cut[0].p_stop.val();
        self.h2c.p_kind.next = self.cut[0].p_kind.val();
        self.c2h.kill.next = self.channel[1].kill.val();
        self.c2h.p_vld.next = self.cut[1].p_vld.val();
        self.cut[1].p_rdy.next = self.c2h.p_rdy.val();
        self.c2h.p_host.next = self.cut[1].p_host.val();
        self.c2h.p_card.next = self.cut[1].p_card.val();
        self.c2h.p_bytes.next = self.cut[1].p_bytes.val();
        self.c2h.p_last.next = self.cut[1].p_last.val();
        self.c2h.p_completed.next = self.cut[1].p_completed.val();
        self.c2h.p_stop.next = self.cut[1].p_stop.val();
        self.c2h.p_kind.next = self.cut[1].p_kind.val();

        // Read requests: descriptors first. A tag is opened when its request is taken into the register.
        self.flushing.next = self.channel[0].flushing.val();
        if self.request_tag.q.val() >= 14 {
            self.flushing.next = self.channel[1].flushing.val();
        }
        self.withdraw.next = self.request.q.val()
            && self.flushing.val()
            && !self.bme.val()
            && !self.rq_rdy.val()
            && !self.cp_vld.val();
        if (self.request.q.val() && self.rq_rdy.val()) || self.withdraw.val() {
            self.request.d.next = false;
        }
        self.free.d.next = ((!self.request.q.val() && !self.free.q.val())
            || (self.request.q.val() && self.rq_rdy.val()))
            && !self.cp_vld.val()
            && !self.withdraw.val();
        self.fetch[0].rq_rdy.next = self.free.q.val();
        self.fetch[1].rq_rdy.next = self.free.q.val() && !self.fetch[0].rq_vld.val();
        self.h2c.rq_rdy.next =
            self.free.q.val() && !self.fetch[0].rq_vld.val() && !self.fetch[1].rq_vld.val();
        self.store.open_vld.next = self.free.q.val()
            && (self.fetch[0].rq_vld.val() || self.fetch[1].rq_vld.val() || self.h2c.rq_vld.val());
        self.store.open_tag.next = self.h2c.rq_tag.val();
        self.opened.next = bit_cast::<C, A>(self.h2c.rq_row.val());
        if self.free.q.val() {
            self.request_addr.d.next = self.h2c.rq_addr.val();
            self.request_bytes.d.next = self.h2c.rq_bytes.val();
            self.request_tag.d.next = self.h2c.rq_tag.val();
            self.request.d.next =
                self.fetch[0].rq_vld.val() || self.fetch[1].rq_vld.val() || self.h2c.rq_vld.val();
            if self.fetch[1].rq_vld.val() {
                self.request_addr.d.next = self.fetch[1].rq_addr.val();
                self.request_bytes.d.next = self.fetch[1].rq_bytes.val();
                self.request_tag.d.next = bit_cast::<4, 1>(self.fetch[1].rq_half.val().into()) | 14;
            }
            if self.fetch[0].rq_vld.val() {
                self.request_addr.d.next = self.fetch[0].rq_addr.val();
                self.request_bytes.d.next = self.fetch[0].rq_bytes.val();
                self.request_tag.d.next = bit_cast::<4, 1>(self.fetch[0].rq_half.val().into()) | 12;
            }
        }
        if self.fetch[1].rq_vld.val() {
            self.store.open_tag.next = bit_cast::<4, 1>(self.fetch[1].rq_half.val().into()) | 14;
            self.opened.next =
                self.half.val() | (bit_cast::<C, 1>(self.fetch[1].rq_half.val().into()) << 6) | 128;
        }
        if self.fetch[0].rq_vld.val() {
            self.store.open_tag.next = bit_cast::<4, 1>(self.fetch[0].rq_half.val().into()) | 12;
            self.opened.next =
                self.half.val() | (bit_cast::<C, 1>(self.fetch[0].rq_half.val().into()) << 6);
        }
        self.store.open_row.next = self.opened.val();
        self.rq_vld.next = self.request.q.val();
        self.rq_addr.next = self.request_addr.q.val();
        self.rq_bytes.next = bit_cast::<13, 10>(self.request_bytes.q.val());
        self.rq_tag.next = bit_cast::<6, 4>(self.request_tag.q.val());

        // Completions; a request that was withdrawn gets one here.
        self.store.cp_vld.next = self.cp_vld.val() || self.withdraw.val();
        self.store.cp_tag.next = self.cp_tag.val();
        self.store.cp_data.next = self.cp_data.val();
        self.store.cp_keep.next = self.cp_keep.val();
        self.store.cp_last.next = self.cp_last.val();
        self.store.cp_error.next = self.cp_error.val();
        if self.withdraw.val() {
            self.store.cp_tag.next = bit_cast::<6, 4>(self.request_tag.q.val());
            self.store.cp_keep.next = 0.into();
            self.store.cp_last.next = true;
            self.store.cp_error.next = 16.into();
        }
        self.store.forgive.next = bit_cast::<2, 1>(self.channel[0].start.val().into())
            | (bit_cast::<2, 1>(self.channel[1].start.val().into()) << 1);
        for i in 0..2 {
            self.channel[i].descriptor_error.next =
                self.store.descriptor_errors.val().get_bits::<5>(5 * i);
        }
        self.h2c.done.next = self.store.done.val();
        self.store.error_tag.next = self.h2c.error_tag.val();
        self.h2c.error.next = self.store.error.val();

        // Rows: of data for the mover, of descriptors in between.
        self.peek_id.next = !self.fetch[0].peek_vld.val();
        self.peeked.next = self.fetch[0].peek_row.val();
        if !self.fetch[0].peek_vld.val() {
            self.peeked.next = self.fetch[1].peek_row.val();
        }
        self.h2c.peek_vld.next = self.fetch[0].peek_vld.val() || self.fetch[1].peek_vld.val();
        self.h2c.peek_id.next = self.peek_id.val();
        self.fetch[0].peek_rdy.next = self.h2c.peek_rdy.val();
        self.fetch[1].peek_rdy.next = self.h2c.peek_rdy.val() && self.peek_id.val();
        self.fetch[0].seen_vld.next = self.h2c.seen_vld.val() && !self.h2c.seen_id.val();
        self.fetch[1].seen_vld.next = self.h2c.seen_vld.val() && self.h2c.seen_id.val();
        for i in 0..2 {
            self.fetch[i].seen_data.next = self.h2c.seen_data.val();
        }
        self.store.re.next = self.h2c.ram_re.val();
        self.store.row.next = bit_cast::<C, A>(self.h2c.ram_row.val());
        if self.h2c.ram_peek.val() {
            self.store.row.next = self.half.val()
                | bit_cast::<C, 7>(self.peeked.val())
                | (bit_cast::<C, 1>(self.peek_id.val().into()) << 7);
        }
        self.h2c.ram_data.next = self.store.data.val();

        // The card's bus.
        self.aw_vld.next = self.h2c.aw_vld.val();
        self.h2c.aw_rdy.next = self.aw_rdy.val();
        self.aw_addr.next = self.h2c.aw_addr.val();
        self.aw_len.next = self.h2c.aw_len.val();
        self.w_vld.next = self.h2c.w_vld.val();
        self.h2c.w_rdy.next = self.w_rdy.val();
        self.w_data.next = self.h2c.w_data.val();
        self.w_strb.next = self.h2c.w_strb.val();
        self.w_last.next = self.h2c.w_last.val();
        self.b_rdy.next = true;
        self.ar_vld.next = self.c2h.ar_vld.val();
        self.c2h.ar_rdy.next = self.ar_rdy.val();
        self.ar_addr.next = self.c2h.ar_addr.val();
        self.ar_len.next = self.c2h.ar_len.val();
        self.c2h.r_vld.next = self.r_vld.val();
        self.r_rdy.next = self.c2h.r_rdy.val();
        self.c2h.r_data.next = self.r_data.val();
        self.c2h.r_resp.next = self.r_resp.val();
        self.c2h.r_last.next = self.r_last.val();

        // Reports: a piece of H2C is done with the answer of its burst, one of C2H when its write is out.
        self.answer.d.next = self.b_vld.val();
        self.answer_error.d.next = 0.into();
        if self.b_resp.val() == 3 {
            self.answer_error.d.next = 1.into();
        }
        if self.b_resp.val() == 2 {
            self.answer_error.d.next = 2.into();
        }
        self.events[0].answer.next = self.answer.q.val();
        self.events[0].answer_error.next = self.answer_error.q.val();
        self.events[1].answer.next = self.sent.q.val();
        self.events[1].answer_error.next = 0.into();
        self.events[0].ev_vld.next = self.h2c.ev_vld.val();
        self.events[0].ev_wait.next = self.h2c.ev_wait.val();
        self.events[0].ev_last.next = self.h2c.ev_last.val();
        self.events[0].ev_completed.next = self.h2c.ev_completed.val();
        self.events[0].ev_stop.next = self.h2c.ev_stop.val();
        self.events[0].ev_kind.next = self.h2c.ev_kind.val();
        self.events[0].ev_error.next = self.h2c.ev_error.val();
        self.h2c.ev_room.next = self.events[0].ev_room.val();
        self.events[1].ev_vld.next = self.c2h.ev_vld.val();
        self.events[1].ev_wait.next = self.c2h.ev_wait.val();
        self.events[1].ev_last.next = self.c2h.ev_last.val();
        self.events[1].ev_completed.next = self.c2h.ev_completed.val();
        self.events[1].ev_stop.next = self.c2h.ev_stop.val();
        self.events[1].ev_kind.next = self.c2h.ev_kind.val();
        self.events[1].ev_error.next = self.c2h.ev_error.val();
        self.c2h.ev_room.next = self.events[1].ev_room.val();
        for i in 0..2 {
            self.channel[i].e_vld.next = self.events[i].e_vld.val() && !self.ours.val().get_bit(i);
            self.events[i].e_rdy.next = self.channel[i].e_rdy.val() || self.ours.val().get_bit(i);
            self.channel[i].e_last.next = self.events[i].e_last.val();
            self.channel[i].e_completed.next = self.events[i].e_completed.val();
            self.channel[i].e_stop.next = self.events[i].e_stop.val();
            self.channel[i].e_kind.next = self.events[i].e_kind.val();
            self.channel[i].e_error.next = self.events[i].e_error.val();
            self.channel[i].e_answer.next = self.events[i].e_answer.val();
            self.channel[i].still.next = self.still[i].q.val() && !self.ours.val().get_bit(i);
        }
        self.channel[0].beat.next = self.h2c.beat.val();
        self.channel[1].beat.next = self.c2h.beat.val();
        self.still[0].d.next = self.fetch[0].idle.val()
            && self.cut[0].idle.val()
            && self.h2c.idle.val()
            && self.events[0].idle.val();
        self.still[1].d.next = self.fetch[1].idle.val()
            && self.cut[1].idle.val()
            && self.c2h.idle.val()
            && self.events[1].idle.val();

        // Writes: data, and between two packets a write-back. After a function-level reset that took away the right to send, a packet
        // that has not begun is sunk.
        self.wr_vld.next = self.c2h.wr_vld.val() && !self.sinking.q.val();
        self.wr_sop.next = self.c2h.wr_sop.val();
        self.wr_eop.next = self.c2h.wr_eop.val();
        self.wr_addr.next = self.c2h.wr_addr.val();
        self.wr_bytes.next = bit_cast::<13, 10>(self.c2h.wr_bytes.val());
        self.wr_data.next = self.c2h.wr_data.val();
        self.c2h.wr_rdy.next =
            (self.wr_rdy.val() || self.sinking.q.val()) && self.writer.q.val() == 1;
        self.data_moves.next = self.c2h.wr_vld.val()
            && (self.wr_rdy.val() || self.sinking.q.val())
            && self.writer.q.val() == 1;
        self.data_ends.next = self.data_moves.val() && self.c2h.wr_eop.val();
        self.sent.d.next = self.data_ends.val();
        if self.data_moves.val() {
            self.begun.d.next = !self.c2h.wr_eop.val();
        }
        if self.data_ends.val() {
            self.sinking.d.next = false;
        }
        if self.writer.q.val() == 1
            && self.c2h.wr_vld.val()
            && !self.begun.q.val()
            && !self.wr_rdy.val()
            && self.channel[1].flushing.val()
            && !self.bme.val()
            && !self.sinking.q.val()
        {
            self.sinking.d.next = true;
        }
        self.boundary.next =
            self.data_ends.val() || (!self.c2h.wr_vld.val() && !self.begun.q.val());
        for i in 0..2 {
            self.channel[i].wb_rdy.next = false;
        }
        self.job.wb_rdy.next = false;
        if self.writer.q.val() == 1 {
            if self.boundary.val() && self.job.wb_vld.val() {
                self.writer.d.next = 0.into();
            }
            if self.boundary.val() && self.channel[1].wb_vld.val() {
                self.writer.d.next = 3.into();
            }
            if self.boundary.val() && self.channel[0].wb_vld.val() {
                self.writer.d.next = 2.into();
            }
        }
        if self.writer.q.val() == 0 {
            self.wr_vld.next = self.job.wb_vld.val();
            self.wr_addr.next = self.job.wb_addr.val();
            self.wr_data.next = bit_cast::<W, 32>(self.job.wb_data.val());
            self.job.wb_rdy.next = self.wr_rdy.val();
            if self.wr_rdy.val() || !self.job.wb_vld.val() {
                self.writer.d.next = 1.into();
            }
        }
        if self.writer.q.val() == 2 {
            self.wr_vld.next = self.channel[0].wb_vld.val();
            self.wr_addr.next = self.channel[0].wb_addr.val();
            self.wr_data.next = bit_cast::<W, 32>(self.channel[0].wb_data.val());
            self.channel[0].wb_rdy.next = self.wr_rdy.val();
            if self.wr_rdy.val() || !self.channel[0].wb_vld.val() {
                self.writer.d.next = 1.into();
            }
        }
        if self.writer.q.val() == 3 {
            self.wr_vld.next = self.channel[1].wb_vld.val();
            self.wr_addr.next = self.channel[1].wb_addr.val();
            self.wr_data.next = bit_cast::<W, 32>(self.channel[1].wb_data.val());
            self.channel[1].wb_rdy.next = self.wr_rdy.val();
            if self.wr_rdy.val() || !self.channel[1].wb_vld.val() {
                self.writer.d.next = 1.into();
            }
        }
        if self.writer.q.val() != 1 {
            self.wr_sop.next = true;
            self.wr_eop.next = true;
            self.wr_bytes.next = 4.into();
        }
        self.quiet.next = self.channel[0].idle.val()
            && self.channel[1].idle.val()
            && self.irq.idle.val()
            && self.job.idle.val()
            && !self.request.q.val();

        if self.rst.val() {
            self.request.d.next = false;
            self.free.d.next = false;
            self.answer.d.next = false;
            self.sent.d.next = false;
            self.writer.d.next = 1.into();
            self.begun.d.next = false;
            self.sinking.d.next = false;
        }
    }
}
