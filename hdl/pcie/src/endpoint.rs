//! The PCI Express transaction layer of the board: TLPs on one side, the DMA, the engine's registers and card memory on the other.
//!
//! What: only connections, resets and the reset of the function. Received TLPs go through `ingress` (buffer), `receive` (header and
//! payload), `dispatch` (whom they concern) to `access` (writes), `completer` (answers) or `requester` (completions); `transmit` sends
//! what these, the DMA, `msix` and `messages` have to say.
//!
//! Resets: `rst` at power-on; a link that is down or a hot reset forgets all but the registers of errors; the function's own reset
//! (`space`) waits until what has been offered is sent, then clears the function. In all cases accesses behind the BARs that are under
//! way end, and the DMA gets `flr`, and every read it waits for ends with an error.
//!
//! Cost: docs/utilisation.md. Hazards: see `access` and `transmit`.

use crate::access::Access;
use crate::completer::Completer;
use crate::config::Config;
use crate::dispatch::Dispatch;
use crate::errors::Errors;
use crate::ingress::Ingress;
use crate::messages::Messages;
use crate::msix::Msix;
use crate::receive::Receive;
use crate::requester::Requester;
use crate::transmit::Transmit;
use leaf::prelude::*;

/// See the module's page. `K` = `W` / 32, `F` = `W` + 2.
#[derive(LogicBlock)]
pub struct Endpoint<const W: usize, const K: usize, const F: usize> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: power-on.
    pub rst: Signal<In, Bit>,
    /// The data link layer is up; low resets everything but the registers of errors.
    pub link_up: Signal<In, Bit>,
    /// The link was told to reset; the same.
    pub hot_reset: Signal<In, Bit>,
    /// A beat of a received TLP.
    pub rx_vld: Signal<In, Bit>,
    /// It is taken.
    pub rx_rdy: Signal<Out, Bit>,
    /// Words, the first in the low bits.
    pub rx_data: Signal<In, Bits<W>>,
    /// Which words there are: all but in the last beat.
    pub rx_keep: Signal<In, Bits<K>>,
    /// First beat.
    pub rx_sop: Signal<In, Bit>,
    /// Last beat.
    pub rx_eop: Signal<In, Bit>,
    /// A beat of a TLP to send.
    pub tx_vld: Signal<Out, Bit>,
    /// It is taken.
    pub tx_rdy: Signal<In, Bit>,
    /// Words.
    pub tx_data: Signal<Out, Bits<W>>,
    /// Which words there are.
    pub tx_keep: Signal<Out, Bits<K>>,
    /// First beat.
    pub tx_sop: Signal<Out, Bit>,
    /// Last beat.
    pub tx_eop: Signal<Out, Bit>,
    /// CREDIT_LIMIT of the other side: posted headers.
    pub fc_ph: Signal<In, Bits<8>>,
    /// Posted data.
    pub fc_pd: Signal<In, Bits<12>>,
    /// Non-posted headers.
    pub fc_nph: Signal<In, Bits<8>>,
    /// Non-posted data: nothing that is sent needs it.
    pub fc_npd: Signal<In, Bits<12>>,
    /// Completion headers.
    pub fc_cplh: Signal<In, Bits<8>>,
    /// Completion data.
    pub fc_cpld: Signal<In, Bits<12>>,
    /// No limit: bit 0 posted headers, 1 posted data, 2 and 3 non-posted, 4 and 5 completions.
    pub fc_inf: Signal<In, Bits<6>>,
    /// CREDITS_ALLOCATED: posted headers.
    pub rxfc_ph: Signal<Out, Bits<8>>,
    /// Posted data.
    pub rxfc_pd: Signal<Out, Bits<12>>,
    /// Non-posted headers.
    pub rxfc_nph: Signal<Out, Bits<8>>,
    /// Non-posted data.
    pub rxfc_npd: Signal<Out, Bits<12>>,
    /// DMA registers: an access.
    pub rg_vld: Signal<Out, Bit>,
    /// It is taken.
    pub rg_rdy: Signal<In, Bit>,
    /// Write.
    pub rg_write: Signal<Out, Bit>,
    /// Byte address.
    pub rg_addr: Signal<Out, Bits<16>>,
    /// The word.
    pub rg_data: Signal<Out, Bits<32>>,
    /// Bytes of it.
    pub rg_be: Signal<Out, Bits<4>>,
    /// The answer to a read.
    pub rs_vld: Signal<In, Bit>,
    /// The word.
    pub rs_data: Signal<In, Bits<32>>,
    /// The engine's TAIL is to be written, for a job.
    pub tail_vld: Signal<In, Bit>,
    /// The write begins.
    pub tail_rdy: Signal<Out, Bit>,
    /// The tail.
    pub tail: Signal<In, Bits<16>>,
    /// DMA: a read of host memory.
    pub rq_vld: Signal<In, Bit>,
    /// It is taken.
    pub rq_rdy: Signal<Out, Bit>,
    /// Address of its first byte.
    pub rq_addr: Signal<In, Bits<64>>,
    /// Its bytes; not across 4 KiB.
    pub rq_bytes: Signal<In, Bits<13>>,
    /// A tag that is not in use.
    pub rq_tag: Signal<In, Bits<6>>,
    /// A beat of what was read.
    pub cp_vld: Signal<Out, Bit>,
    /// For whom.
    pub cp_tag: Signal<Out, Bits<6>>,
    /// Words as in memory.
    pub cp_data: Signal<Out, Bits<W>>,
    /// Which words there are.
    pub cp_keep: Signal<Out, Bits<K>>,
    /// The request is over.
    pub cp_last: Signal<Out, Bit>,
    /// Bit 0 unsupported request, 1 completer abort, 3 poisoned, 4 given up.
    pub cp_error: Signal<Out, Bits<5>>,
    /// DMA: a beat of a write to host memory.
    pub wr_vld: Signal<In, Bit>,
    /// It is taken; with the last beat the write is issued.
    pub wr_rdy: Signal<Out, Bit>,
    /// First beat of a write.
    pub wr_sop: Signal<In, Bit>,
    /// Address of its first byte, with `wr_sop`.
    pub wr_addr: Signal<In, Bits<64>>,
    /// Its bytes; at most a payload, not across 4 KiB.
    pub wr_bytes: Signal<In, Bits<13>>,
    /// Words as in memory.
    pub wr_data: Signal<In, Bits<W>>,
    /// An interrupt.
    pub ms_vld: Signal<In, Bit>,
    /// It is noted.
    pub ms_rdy: Signal<Out, Bit>,
    /// Its vector.
    pub ms_vector: Signal<In, Bits<5>>,
    /// Some interrupt is pending, by level: for INTx.
    pub irq_level: Signal<In, Bit>,
    /// Max_Payload_Size: 128 << mps bytes.
    pub mps: Signal<Out, Bits<3>>,
    /// Max_Read_Request_Size: 128 << mrrs bytes.
    pub mrrs: Signal<Out, Bits<3>>,
    /// Requests may be made.
    pub bme: Signal<Out, Bit>,
    /// Tags above 31 may be used.
    pub ext_tag: Signal<Out, Bit>,
    /// The function is being reset: nothing of the DMA is under way to the host any more.
    pub flr: Signal<Out, Bit>,
    /// Engine registers, AXI4-Lite: write address.
    pub l_awvalid: Signal<Out, Bit>,
    /// Address taken.
    pub l_awready: Signal<In, Bit>,
    /// Byte address.
    pub l_awaddr: Signal<Out, Bits<12>>,
    /// Write data.
    pub l_wvalid: Signal<Out, Bit>,
    /// Data taken.
    pub l_wready: Signal<In, Bit>,
    /// The word.
    pub l_wdata: Signal<Out, Bits<32>>,
    /// Byte enables.
    pub l_wstrb: Signal<Out, Bits<4>>,
    /// Write answer.
    pub l_bvalid: Signal<In, Bit>,
    /// Always.
    pub l_bready: Signal<Out, Bit>,
    /// Read address.
    pub l_arvalid: Signal<Out, Bit>,
    /// Address taken.
    pub l_arready: Signal<In, Bit>,
    /// Byte address.
    pub l_araddr: Signal<Out, Bits<12>>,
    /// Read answer.
    pub l_rvalid: Signal<In, Bit>,
    /// Always.
    pub l_rready: Signal<Out, Bit>,
    /// The word.
    pub l_rdata: Signal<In, Bits<32>>,
    /// 0: OKAY.
    pub l_rresp: Signal<In, Bits<2>>,
    /// Card memory, AXI4, beats of 16 bytes by themselves: write address.
    pub m_aw_vld: Signal<Out, Bit>,
    /// Address taken.
    pub m_aw_rdy: Signal<In, Bit>,
    /// Byte address.
    pub m_aw_addr: Signal<Out, Bits<40>>,
    /// Write data.
    pub m_w_vld: Signal<Out, Bit>,
    /// Data taken.
    pub m_w_rdy: Signal<In, Bit>,
    /// One beat.
    pub m_w_data: Signal<Out, Bits<128>>,
    /// Byte enables.
    pub m_w_strb: Signal<Out, Bits<16>>,
    /// Write answer.
    pub m_b_vld: Signal<In, Bit>,
    /// Always.
    pub m_b_rdy: Signal<Out, Bit>,
    /// Read address.
    pub m_ar_vld: Signal<Out, Bit>,
    /// Address taken.
    pub m_ar_rdy: Signal<In, Bit>,
    /// Byte address.
    pub m_ar_addr: Signal<Out, Bits<40>>,
    /// Read data.
    pub m_r_vld: Signal<In, Bit>,
    /// Always.
    pub m_r_rdy: Signal<Out, Bit>,
    /// One beat.
    pub m_r_data: Signal<In, Bits<128>>,
    /// 0: OKAY.
    pub m_r_resp: Signal<In, Bits<2>>,
    ingress: Ingress<W, K, F>,
    receive: Receive<W, K>,
    dispatch: Dispatch<W, K>,
    access: Access,
    completer: Completer<W, K>,
    space: Config,
    errors: Errors,
    requester: Requester<W, K>,
    vectors: Msix,
    messages: Messages,
    transmit: Transmit<W, K>,
    // A reset of the function: asked for, then its completion sent, then everything offered sent.
    asked: Dff<Bit>,
    closing: Dff<Bit>,
    clears: Dff<Bit>,
    lost: Dff<Bit>,
    down: Signal<Local, Bit>,
    gone: Signal<Local, Bit>,
    shut: Dff<Bit>,
    open: Dff<Bit>,
}

impl<const W: usize, const K: usize, const F: usize> Endpoint<W, K, F> {
    /// A function whose window onto card memory has `window` bytes (a power of two), and which gives a request up after one to two times
    /// `tick` cycles.
    pub fn new(window: u64, tick: u64) -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            link_up: Default::default(),
            hot_reset: Default::default(),
            rx_vld: Default::default(),
            rx_rdy: Default::default(),
            rx_data: Default::default(),
            rx_keep: Default::default(),
            rx_sop: Default::default(),
            rx_eop: Default::default(),
            tx_vld: Default::default(),
            tx_rdy: Default::default(),
            tx_data: Default::default(),
            tx_keep: Default::default(),
            tx_sop: Default::default(),
            tx_eop: Default::default(),
            fc_ph: Default::default(),
            fc_pd: Default::default(),
            fc_nph: Default::default(),
            fc_npd: Default::default(),
            fc_cplh: Default::default(),
            fc_cpld: Default::default(),
            fc_inf: Default::default(),
            rxfc_ph: Default::default(),
            rxfc_pd: Default::default(),
            rxfc_nph: Default::default(),
            rxfc_npd: Default::default(),
            rg_vld: Default::default(),
            rg_rdy: Default::default(),
            rg_write: Default::default(),
            rg_addr: Default::default(),
            rg_data: Default::default(),
            rg_be: Default::default(),
            rs_vld: Default::default(),
            rs_data: Default::default(),
            tail_vld: Default::default(),
            tail_rdy: Default::default(),
            tail: Default::default(),
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
            wr_addr: Default::default(),
            wr_bytes: Default::default(),
            wr_data: Default::default(),
            ms_vld: Default::default(),
            ms_rdy: Default::default(),
            ms_vector: Default::default(),
            irq_level: Default::default(),
            mps: Default::default(),
            mrrs: Default::default(),
            bme: Default::default(),
            ext_tag: Default::default(),
            flr: Default::default(),
            l_awvalid: Default::default(),
            l_awready: Default::default(),
            l_awaddr: Default::default(),
            l_wvalid: Default::default(),
            l_wready: Default::default(),
            l_wdata: Default::default(),
            l_wstrb: Default::default(),
            l_bvalid: Default::default(),
            l_bready: Default::default(),
            l_arvalid: Default::default(),
            l_arready: Default::default(),
            l_araddr: Default::default(),
            l_rvalid: Default::default(),
            l_rready: Default::default(),
            l_rdata: Default::default(),
            l_rresp: Default::default(),
            m_aw_vld: Default::default(),
            m_aw_rdy: Default::default(),
            m_aw_addr: Default::default(),
            m_w_vld: Default::default(),
            m_w_rdy: Default::default(),
            m_w_data: Default::default(),
            m_w_strb: Default::default(),
            m_b_vld: Default::default(),
            m_b_rdy: Default::default(),
            m_ar_vld: Default::default(),
            m_ar_rdy: Default::default(),
            m_ar_addr: Default::default(),
            m_r_vld: Default::default(),
            m_r_rdy: Default::default(),
            m_r_data: Default::default(),
            m_r_resp: Default::default(),
            ingress: Default::default(),
            receive: Default::default(),
            dispatch: Default::default(),
            access: Default::default(),
            completer: Default::default(),
            space: Config::new(window),
            errors: Default::default(),
            requester: Requester::new(tick),
            vectors: Default::default(),
            messages: Default::default(),
            transmit: Default::default(),
            asked: Default::default(),
            closing: Default::default(),
            clears: Default::default(),
            lost: Default::default(),
            down: Default::default(),
            gone: Default::default(),
            shut: Default::default(),
            open: Default::default(),
        }
    }
}

impl<const W: usize, const K: usize, const F: usize> Logic for Endpoint<W, K, F> {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_endpoint");
        dff_setup!(self, clk, asked, closing, clears, lost, shut, open);
        self.shut.d.next = self.closing.q.val() && !self.open.q.val();
        self.ingress.clk.next = self.clk.val();
        self.receive.clk.next = self.clk.val();
        self.dispatch.clk.next = self.clk.val();
        self.access.clk.next = self.clk.val();
        self.completer.clk.next = self.clk.val();
        self.space.clk.next = self.clk.val();
        self.errors.clk.next = self.clk.val();
        self.requester.clk.next = self.clk.val();
        self.vectors.clk.next = self.clk.val();
        self.messages.clk.next = self.clk.val();
        self.transmit.clk.next = self.clk.val();

        // Resets.
        self.lost.d.next = self.rst.val() || self.hot_reset.val() || !self.link_up.val();
        self.down.next = self.lost.q.val();
        self.gone.next = self.lost.q.val() || self.clears.q.val();
        self.ingress.rst.next = self.down.val();
        self.receive.rst.next = self.down.val();
        self.dispatch.rst.next = self.down.val();
        self.completer.rst.next = self.down.val();
        self.access.rst.next = self.rst.val();
        self.access.forget.next = self.down.val();
        self.space.rst.next = self.down.val();
        self.space.flr.next = self.clears.q.val();
        self.errors.rst.next = self.rst.val();
        self.requester.rst.next = self.rst.val();
        self.requester.forget.next = self.gone.val();
        self.vectors.rst.next = self.gone.val();
        self.messages.rst.next = self.down.val();
        self.transmit.rst.next = self.down.val();
        self.flr.next = self.gone.val();

        // Reset of the function: its completion first, then no new offers, then, when none is left, the reset.
        self.open.d.next = self.space.bme.val() && !self.closing.q.val() && !self.clears.q.val();
        self.clears.d.next = false;
        if self.space.reset.val() {
            self.asked.d.next = true;
        }
        if self.asked.q.val() && self.completer.configured.val() {
            self.asked.d.next = false;
            self.closing.d.next = true;
        }
        if self.closing.q.val()
            && self.shut.q.val()
            && self.transmit.idle.val()
            && !self.messages.busy.val()
            && !self.vectors.tx_vld.val()
            && !self.requester.unsent.val()
            && !self.clears.q.val()
        {
            self.closing.d.next = false;
            self.clears.d.next = true;
        }
        if self.lost.q.val() {
            self.asked.d.next = false;
            self.closing.d.next = false;
        }

        // From the link: whole TLPs, then header and payload, then whom they concern.
        self.ingress.rx_vld.next = self.rx_vld.val();
        self.ingress.rx_data.next = self.rx_data.val();
        self.ingress.rx_keep.next = self.rx_keep.val();
        self.ingress.rx_sop.next = self.rx_sop.val();
        self.ingress.rx_eop.next = self.rx_eop.val();
        self.rx_rdy.next = self.ingress.rx_rdy.val();
        self.ingress.mps.next = self.space.mps.val();
        self.receive.in_vld.next = self.ingress.out_vld.val();
        self.receive.in_data.next = self.ingress.out_data.val();
        self.receive.in_sop.next = self.ingress.out_sop.val();
        self.receive.in_eop.next = self.ingress.out_eop.val();
        self.ingress.out_rdy.next = self.receive.in_rdy.val();
        self.receive.memory.next = self.space.memory.val();
        self.receive.bar0.next = self.space.bar0.val();
        self.receive.bar1.next = self.space.bar1.val();
        self.receive.bar2.next = self.space.bar2.val();
        self.receive.bar2_mask.next = self.space.bar2_mask.val();
        self.dispatch.in_vld.next = self.receive.out_vld.val();
        self.dispatch.in_first.next = self.receive.out_first.val();
        self.dispatch.in_last.next = self.receive.out_last.val();
        self.dispatch.in_data.next = self.receive.out_data.val();
        self.dispatch.in_keep.next = self.receive.out_keep.val();
        self.dispatch.in_header.next = self.receive.out_header.val();
        self.dispatch.in_class.next = self.receive.out_class.val();
        self.dispatch.in_target.next = self.receive.out_target.val();
        self.dispatch.in_unsupported.next = self.receive.out_unsupported.val();
        self.dispatch.in_addr.next = self.receive.out_addr.val();
        self.receive.out_rdy.next = self.dispatch.in_rdy.val();
        self.rxfc_ph.next = self.dispatch.rxfc_ph.val();
        self.rxfc_pd.next = self.dispatch.rxfc_pd.val();
        self.rxfc_nph.next = self.dispatch.rxfc_nph.val();
        self.rxfc_npd.next = self.dispatch.rxfc_npd.val();

        // Writes, and requests to be answered.
        self.access.wr_vld.next = self.dispatch.wr_vld.val();
        self.access.wr_target.next = self.dispatch.wr_target.val();
        self.access.wr_addr.next = self.dispatch.wr_addr.val();
        self.access.wr_data.next = self.dispatch.wr_data.val();
        self.access.wr_be.next = self.dispatch.wr_be.val();
        self.access.wr_last.next = self.dispatch.wr_last.val();
        self.dispatch.wr_rdy.next = self.access.wr_rdy.val();
        self.completer.rq_vld.next = self.dispatch.rq_vld.val();
        self.completer.rq_header.next = self.dispatch.rq_header.val();
        self.completer.rq_data.next = self.dispatch.rq_data.val();
        self.completer.rq_target.next = self.dispatch.rq_target.val();
        self.completer.rq_unsupported.next = self.dispatch.rq_unsupported.val();
        self.completer.rq_addr.next = self.dispatch.rq_addr.val();
        self.dispatch.rq_rdy.next = self.completer.rq_rdy.val();
        self.access.ask_vld.next = self.completer.ask_vld.val();
        self.access.ask_first.next = self.completer.ask_first.val();
        self.access.ask_target.next = self.completer.ask_target.val();
        self.access.ask_write.next = self.completer.ask_write.val();
        self.access.ask_addr.next = self.completer.ask_addr.val();
        self.access.ask_data.next = self.completer.ask_data.val();
        self.access.ask_be.next = self.completer.ask_be.val();
        self.completer.ask_done.next = self.access.ask_done.val();
        self.completer.ask_word.next = self.access.ask_word.val();
        self.completer.ask_error.next = self.access.ask_error.val();
        self.completer.mps.next = self.space.mps.val();
        self.space.cf_vld.next = self.access.cf_vld.val();
        self.space.cf_write.next = self.access.cf_write.val();
        self.space.cf_addr.next = self.access.cf_addr.val();
        self.space.cf_data.next = self.access.cf_data.val();
        self.space.cf_be.next = self.access.cf_be.val();
        self.access.cf_done.next = self.space.cf_done.val();
        self.access.cf_word.next = self.space.cf_word.val();
        self.vectors.mx_write.next = self.access.mx_write.val();
        self.vectors.mx_addr.next = self.access.mx_addr.val();
        self.vectors.mx_data.next = self.access.mx_data.val();
        self.access.mx_word.next = self.vectors.mx_word.val();
        self.rg_vld.next = self.access.rg_vld.val();
        self.rg_write.next = self.access.rg_write.val();
        self.rg_addr.next = self.access.rg_addr.val();
        self.rg_data.next = self.access.rg_data.val();
        self.rg_be.next = self.access.rg_be.val();
        self.access.rg_rdy.next = self.rg_rdy.val();
        self.access.rs_vld.next = self.rs_vld.val();
        self.access.rs_data.next = self.rs_data.val();
        self.access.tail_vld.next = self.tail_vld.val();
        self.tail_rdy.next = self.access.tail_rdy.val();
        self.access.tail.next = self.tail.val();
        self.l_awvalid.next = self.access.l_awvalid.val();
        self.access.l_awready.next = self.l_awready.val();
        self.l_awaddr.next = self.access.l_awaddr.val();
        self.l_wvalid.next = self.access.l_wvalid.val();
        self.access.l_wready.next = self.l_wready.val();
        self.l_wdata.next = self.access.l_wdata.val();
        self.l_wstrb.next = self.access.l_wstrb.val();
        self.access.l_bvalid.next = self.l_bvalid.val();
        self.l_bready.next = self.access.l_bready.val();
        self.l_arvalid.next = self.access.l_arvalid.val();
        self.access.l_arready.next = self.l_arready.val();
        self.l_araddr.next = self.access.l_araddr.val();
        self.access.l_rvalid.next = self.l_rvalid.val();
        self.l_rready.next = self.access.l_rready.val();
        self.access.l_rdata.next = self.l_rdata.val();
        self.access.l_rresp.next = self.l_rresp.val();
        self.m_aw_vld.next = self.access.aw_vld.val();
        self.access.aw_rdy.next = self.m_aw_rdy.val();
        self.m_aw_addr.next = self.access.aw_addr.val();
        self.m_w_vld.next = self.access.w_vld.val();
        self.access.w_rdy.next = self.m_w_rdy.val();
        self.m_w_data.next = self.access.w_data.val();
        self.m_w_strb.next = self.access.w_strb.val();
        self.access.b_vld.next = self.m_b_vld.val();
        self.m_b_rdy.next = self.access.b_rdy.val();
        self.m_ar_vld.next = self.access.ar_vld.val();
        self.access.ar_rdy.next = self.m_ar_rdy.val();
        self.m_ar_addr.next = self.access.ar_addr.val();
        self.access.r_vld.next = self.m_r_vld.val();
        self.m_r_rdy.next = self.access.r_rdy.val();
        self.access.r_data.next = self.m_r_data.val();
        self.access.r_resp.next = self.m_r_resp.val();

        // The DMA's reads and what comes back.
        self.requester.id.next = self.completer.id.val();
        self.requester.enable.next = self.open.q.val();
        self.requester.patient.next = self.space.patient.val();
        self.requester.rq_vld.next = self.rq_vld.val();
        self.requester.rq_addr.next = self.rq_addr.val();
        self.requester.rq_bytes.next = self.rq_bytes.val();
        self.requester.rq_tag.next = self.rq_tag.val();
        self.rq_rdy.next = self.requester.rq_rdy.val();
        self.requester.in_vld.next = self.dispatch.cp_vld.val();
        self.requester.in_first.next = self.receive.out_first.val();
        self.requester.in_last.next = self.receive.out_last.val();
        self.requester.in_data.next = self.receive.out_data.val();
        self.requester.in_keep.next = self.receive.out_keep.val();
        self.requester.in_header.next = self.receive.out_header.val();
        self.dispatch.cp_rdy.next = self.requester.in_rdy.val();
        self.cp_vld.next = self.requester.cp_vld.val();
        self.cp_tag.next = self.requester.cp_tag.val();
        self.cp_data.next = self.requester.cp_data.val();
        self.cp_keep.next = self.requester.cp_keep.val();
        self.cp_last.next = self.requester.cp_last.val();
        self.cp_error.next = self.requester.cp_error.val();

        // To the link.
        self.transmit.id.next = self.completer.id.val();
        self.transmit.enable.next = self.open.q.val();
        self.transmit.mps.next = self.space.mps.val();
        self.transmit.fc_ph.next = self.fc_ph.val();
        self.transmit.fc_pd.next = self.fc_pd.val();
        self.transmit.fc_nph.next = self.fc_nph.val();
        self.transmit.fc_npd.next = self.fc_npd.val();
        self.transmit.fc_cplh.next = self.fc_cplh.val();
        self.transmit.fc_cpld.next = self.fc_cpld.val();
        self.transmit.fc_inf.next = self.fc_inf.val();
        self.transmit.wr_vld.next = self.wr_vld.val();
        self.transmit.wr_sop.next = self.wr_sop.val();
        self.transmit.wr_addr.next = self.wr_addr.val();
        self.transmit.wr_bytes.next = self.wr_bytes.val();
        self.transmit.wr_data.next = self.wr_data.val();
        self.wr_rdy.next = self.transmit.wr_rdy.val();
        self.transmit.ms_vld.next = self.messages.tx_vld.val();
        self.transmit.ms_header.next = self.messages.tx_header.val();
        self.transmit.ms_data.next = self.vectors.tx_data.val();
        self.messages.tx_done.next = self.transmit.ms_done.val();
        self.transmit.cpl_vld.next = self.completer.tx_vld.val();
        self.transmit.cpl_header.next = self.completer.tx_header.val();
        self.transmit.cpl_data.next = self.completer.tx_data.val();
        self.completer.tx_done.next = self.transmit.cpl_done.val();
        self.completer.tx_take.next = self.transmit.cpl_take.val();
        self.transmit.cpl_there.next = self.completer.tx_there.val();
        self.transmit.rd_vld.next = self.requester.tx_vld.val();
        self.transmit.rd_header.next = self.requester.tx_header.val();
        self.requester.tx_done.next = self.transmit.rd_done.val();
        self.tx_vld.next = self.transmit.tx_vld.val();
        self.tx_data.next = self.transmit.tx_data.val();
        self.tx_keep.next = self.transmit.tx_keep.val();
        self.tx_sop.next = self.transmit.tx_sop.val();
        self.tx_eop.next = self.transmit.tx_eop.val();
        self.transmit.tx_rdy.next = self.tx_rdy.val();

        // Interrupts and messages.
        self.vectors.ms_vld.next = self.ms_vld.val();
        self.vectors.ms_vector.next = self.ms_vector.val();
        self.ms_rdy.next = self.vectors.ms_rdy.val();
        self.vectors.id.next = self.completer.id.val();
        self.vectors.enable.next = self.open.q.val();
        self.vectors.msix.next = self.space.msix.val();
        self.vectors.masked.next = self.space.masked.val();
        self.vectors.msi.next = self.space.msi.val();
        self.vectors.msi_addr.next = self.space.msi_addr.val();
        self.vectors.msi_data.next = self.space.msi_data.val();
        self.messages.mx_vld.next = self.vectors.tx_vld.val();
        self.messages.mx_header.next = self.vectors.tx_header.val();
        self.vectors.tx_done.next = self.messages.mx_done.val();
        self.messages.id.next = self.completer.id.val();
        self.messages.intx.next = self.space.intx.val();
        self.messages.correctable.next = self.errors.send_correctable.val();
        self.messages.nonfatal.next = self.errors.send_nonfatal.val();
        self.messages.fatal.next = self.errors.send_fatal.val();

        // Errors and configuration.
        self.errors.posted_unsupported.next = self.dispatch.unsupported.val();
        self.errors.request_poisoned.next = self.dispatch.poisoned.val();
        self.errors.dispatch_header.next = self.receive.out_header.val();
        self.errors.unsupported.next = self.completer.unsupported.val();
        self.errors.aborted.next = self.completer.aborted.val();
        self.errors.completer_header.next = self.completer.header.val();
        self.errors.unexpected.next = self.requester.unexpected.val();
        self.errors.poisoned.next = self.requester.poisoned.val();
        self.errors.got_unsupported.next = self.requester.refused.val();
        self.errors.got_abort.next = self.requester.aborted.val();
        self.errors.requester_header.next = self.requester.header.val();
        self.errors.timed_out.next = self.requester.timed_out.val();
        self.errors.malformed.next = self.ingress.malformed.val();
        self.errors.ingress_header.next = self.ingress.header.val();
        self.errors.parity.next = self.space.parity.val();
        self.errors.serr.next = self.space.serr.val();
        self.errors.reports.next = self.space.reports.val();
        self.errors.cf_addr.next = self.access.cf_addr.val();
        self.errors.cf_data.next = self.access.cf_data.val();
        self.errors.apply.next = self.space.apply.val();
        self.errors.lanes.next = self.space.lanes.val();
        self.space.error_word.next = self.errors.cf_word.val();
        self.space.status_set.next = self.errors.status_set.val();
        self.space.device_set.next = self.errors.device_set.val();
        self.space.pending.next = !self.requester.idle.val();
        self.space.irq.next = self.irq_level.val();
        self.mps.next = self.space.mps.val();
        self.mrrs.next = self.space.mrrs.val();
        self.ext_tag.next = self.space.ext_tag.val();
        self.bme.next = self.open.q.val();
    }
}
