//! The PCI Express function: transaction layer and DMA, with registers (AXI4-Lite) and card memory (AXI4) behind them.
//!
//! ```text
//!  rx, tx <-> endpoint <-> DMA --------+-> mux -> m_axi
//!                |  +--- window -------+
//!                +------ BAR 0 -> m_axil
//! ```
//!
//! Only connections; what there is to know is in `endpoint`, `dma` and `card_mux`. IDs of `m_axi`: 0 the window, 1 the DMA.

use crate::card_mux::CardMux;
use crate::dma::Dma;
use crate::endpoint::Endpoint;
use leaf::prelude::*;

/// See the module's page. `W` bits of TLPs per beat; the other numbers follow from it, see [`Function64`] and [`Function128`].
#[derive(LogicBlock)]
pub struct Function<
    const W: usize,
    const K: usize,
    const F: usize,
    const L: usize,
    const R: usize,
    const B: usize,
    const P: usize,
> {
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
    /// Max_Payload_Size as configured: 128 << mps bytes.
    pub cfg_mps: Signal<Out, Bits<3>>,
    /// Max_Read_Request_Size as configured: 128 << mrrs bytes.
    pub cfg_mrrs: Signal<Out, Bits<3>>,
    /// Level of user interrupt 0.
    pub usr_irq: Signal<In, Bit>,
    /// How many commands the engine has done: its DONE_COUNT.
    pub done_count: Signal<In, Bits<16>>,
    /// Write address.
    pub m_axil_awaddr: Signal<Out, Bits<12>>,
    /// Write address valid.
    pub m_axil_awvalid: Signal<Out, Bit>,
    /// Write address taken.
    pub m_axil_awready: Signal<In, Bit>,
    /// Write data.
    pub m_axil_wdata: Signal<Out, Bits<32>>,
    /// Byte enables.
    pub m_axil_wstrb: Signal<Out, Bits<4>>,
    /// Write data valid.
    pub m_axil_wvalid: Signal<Out, Bit>,
    /// Write data taken.
    pub m_axil_wready: Signal<In, Bit>,
    /// Write response valid.
    pub m_axil_bvalid: Signal<In, Bit>,
    /// Write response taken.
    pub m_axil_bready: Signal<Out, Bit>,
    /// Read address.
    pub m_axil_araddr: Signal<Out, Bits<12>>,
    /// Read address valid.
    pub m_axil_arvalid: Signal<Out, Bit>,
    /// Read address taken.
    pub m_axil_arready: Signal<In, Bit>,
    /// Read data.
    pub m_axil_rdata: Signal<In, Bits<32>>,
    /// Read response.
    pub m_axil_rresp: Signal<In, Bits<2>>,
    /// Read data valid.
    pub m_axil_rvalid: Signal<In, Bit>,
    /// Read data taken.
    pub m_axil_rready: Signal<Out, Bit>,
    /// Write ID.
    pub m_axi_awid: Signal<Out, Bits<6>>,
    /// Write address.
    pub m_axi_awaddr: Signal<Out, Bits<40>>,
    /// Beats of the burst less one.
    pub m_axi_awlen: Signal<Out, Bits<8>>,
    /// Bytes per beat, base-2 logarithm.
    pub m_axi_awsize: Signal<Out, Bits<3>>,
    /// Burst type.
    pub m_axi_awburst: Signal<Out, Bits<2>>,
    /// Write address valid.
    pub m_axi_awvalid: Signal<Out, Bit>,
    /// Write address taken.
    pub m_axi_awready: Signal<In, Bit>,
    /// Write data.
    pub m_axi_wdata: Signal<Out, Bits<128>>,
    /// Byte enables.
    pub m_axi_wstrb: Signal<Out, Bits<16>>,
    /// Last beat of the burst.
    pub m_axi_wlast: Signal<Out, Bit>,
    /// Write data valid.
    pub m_axi_wvalid: Signal<Out, Bit>,
    /// Write data taken.
    pub m_axi_wready: Signal<In, Bit>,
    /// ID of the response.
    pub m_axi_bid: Signal<In, Bits<6>>,
    /// Write response.
    pub m_axi_bresp: Signal<In, Bits<2>>,
    /// Write response valid.
    pub m_axi_bvalid: Signal<In, Bit>,
    /// Write response taken.
    pub m_axi_bready: Signal<Out, Bit>,
    /// Read ID.
    pub m_axi_arid: Signal<Out, Bits<6>>,
    /// Read address.
    pub m_axi_araddr: Signal<Out, Bits<40>>,
    /// Beats of the burst less one.
    pub m_axi_arlen: Signal<Out, Bits<8>>,
    /// Bytes per beat, base-2 logarithm.
    pub m_axi_arsize: Signal<Out, Bits<3>>,
    /// Burst type.
    pub m_axi_arburst: Signal<Out, Bits<2>>,
    /// Read address valid.
    pub m_axi_arvalid: Signal<Out, Bit>,
    /// Read address taken.
    pub m_axi_arready: Signal<In, Bit>,
    /// ID of the data.
    pub m_axi_rid: Signal<In, Bits<6>>,
    /// Read data.
    pub m_axi_rdata: Signal<In, Bits<128>>,
    /// Read response.
    pub m_axi_rresp: Signal<In, Bits<2>>,
    /// Last beat of the burst.
    pub m_axi_rlast: Signal<In, Bit>,
    /// Read data valid.
    pub m_axi_rvalid: Signal<In, Bit>,
    /// Read data taken.
    pub m_axi_rready: Signal<Out, Bit>,
    endpoint: Endpoint<W, K, F>,
    dma: Dma<W, K, L, R, B, 8, 9, P>,
    mux: CardMux,
}

/// With TLPs of 64 bits.
pub type Function64 = Function<64, 2, 66, 1, 8, 3, 10>;
/// With TLPs of 128 bits.
pub type Function128 = Function<128, 4, 130, 2, 16, 4, 11>;

/// Cycles of which a read of host memory may take one to two times as many before it is given up: 8 to 16 ms at 125 MHz.
const TIMEOUT: u64 = 1_000_000;

impl<
        const W: usize,
        const K: usize,
        const F: usize,
        const L: usize,
        const R: usize,
        const B: usize,
        const P: usize,
    > Function<W, K, F, L, R, B, P>
{
    /// A function whose window onto card memory has `window` bytes, a power of two.
    pub fn new(window: u64) -> Self {
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
            cfg_mps: Default::default(),
            cfg_mrrs: Default::default(),
            usr_irq: Default::default(),
            done_count: Default::default(),
            m_axil_awaddr: Default::default(),
            m_axil_awvalid: Default::default(),
            m_axil_awready: Default::default(),
            m_axil_wdata: Default::default(),
            m_axil_wstrb: Default::default(),
            m_axil_wvalid: Default::default(),
            m_axil_wready: Default::default(),
            m_axil_bvalid: Default::default(),
            m_axil_bready: Default::default(),
            m_axil_araddr: Default::default(),
            m_axil_arvalid: Default::default(),
            m_axil_arready: Default::default(),
            m_axil_rdata: Default::default(),
            m_axil_rresp: Default::default(),
            m_axil_rvalid: Default::default(),
            m_axil_rready: Default::default(),
            m_axi_awid: Default::default(),
            m_axi_awaddr: Default::default(),
            m_axi_awlen: Default::default(),
            m_axi_awsize: Default::default(),
            m_axi_awburst: Default::default(),
            m_axi_awvalid: Default::default(),
            m_axi_awready: Default::default(),
            m_axi_wdata: Default::default(),
            m_axi_wstrb: Default::default(),
            m_axi_wlast: Default::default(),
            m_axi_wvalid: Default::default(),
            m_axi_wready: Default::default(),
            m_axi_bid: Default::default(),
            m_axi_bresp: Default::default(),
            m_axi_bvalid: Default::default(),
            m_axi_bready: Default::default(),
            m_axi_arid: Default::default(),
            m_axi_araddr: Default::default(),
            m_axi_arlen: Default::default(),
            m_axi_arsize: Default::default(),
            m_axi_arburst: Default::default(),
            m_axi_arvalid: Default::default(),
            m_axi_arready: Default::default(),
            m_axi_rid: Default::default(),
            m_axi_rdata: Default::default(),
            m_axi_rresp: Default::default(),
            m_axi_rlast: Default::default(),
            m_axi_rvalid: Default::default(),
            m_axi_rready: Default::default(),
            endpoint: Endpoint::new(window, TIMEOUT),
            dma: Dma::default(),
            mux: CardMux::default(),
        }
    }
}

impl<
        const W: usize,
        const K: usize,
        const F: usize,
        const L: usize,
        const R: usize,
        const B: usize,
        const P: usize,
    > Logic for Function<W, K, F, L, R, B, P>
{
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_function");
        self.endpoint.clk.next = self.clk.val();
        self.dma.clk.next = self.clk.val();
        self.mux.clk.next = self.clk.val();
        self.endpoint.rst.next = self.rst.val();
        self.dma.rst.next = self.rst.val();
        self.mux.rst.next = self.rst.val();

        // The link.
        self.endpoint.link_up.next = self.link_up.val();
        self.endpoint.hot_reset.next = self.hot_reset.val();
        self.endpoint.rx_vld.next = self.rx_vld.val();
        self.rx_rdy.next = self.endpoint.rx_rdy.val();
        self.endpoint.rx_data.next = self.rx_data.val();
        self.endpoint.rx_keep.next = self.rx_keep.val();
        self.endpoint.rx_sop.next = self.rx_sop.val();
        self.endpoint.rx_eop.next = self.rx_eop.val();
        self.tx_vld.next = self.endpoint.tx_vld.val();
        self.endpoint.tx_rdy.next = self.tx_rdy.val();
        self.tx_data.next = self.endpoint.tx_data.val();
        self.tx_keep.next = self.endpoint.tx_keep.val();
        self.tx_sop.next = self.endpoint.tx_sop.val();
        self.tx_eop.next = self.endpoint.tx_eop.val();
        self.endpoint.fc_ph.next = self.fc_ph.val();
        self.endpoint.fc_pd.next = self.fc_pd.val();
        self.endpoint.fc_nph.next = self.fc_nph.val();
        self.endpoint.fc_npd.next = self.fc_npd.val();
        self.endpoint.fc_cplh.next = self.fc_cplh.val();
        self.endpoint.fc_cpld.next = self.fc_cpld.val();
        self.endpoint.fc_inf.next = self.fc_inf.val();
        self.rxfc_ph.next = self.endpoint.rxfc_ph.val();
        self.rxfc_pd.next = self.endpoint.rxfc_pd.val();
        self.rxfc_nph.next = self.endpoint.rxfc_nph.val();
        self.rxfc_npd.next = self.endpoint.rxfc_npd.val();
        self.cfg_mps.next = self.endpoint.mps.val();
        self.cfg_mrrs.next = self.endpoint.mrrs.val();

        // DMA.
        self.dma.flr.next = self.endpoint.flr.val();
        self.dma.bme.next = self.endpoint.bme.val();
        self.dma.mps.next = self.endpoint.mps.val();
        self.dma.mrrs.next = self.endpoint.mrrs.val();
        self.dma.rg_vld.next = self.endpoint.rg_vld.val();
        self.dma.rg_write.next = self.endpoint.rg_write.val();
        self.dma.rg_addr.next = self.endpoint.rg_addr.val();
        self.dma.rg_data.next = self.endpoint.rg_data.val();
        self.dma.rg_be.next = self.endpoint.rg_be.val();
        self.endpoint.rg_rdy.next = self.dma.rg_rdy.val();
        self.endpoint.rs_vld.next = self.dma.rs_vld.val();
        self.endpoint.rs_data.next = self.dma.rs_data.val();
        self.endpoint.rq_vld.next = self.dma.rq_vld.val();
        self.endpoint.rq_addr.next = self.dma.rq_addr.val();
        self.endpoint.rq_bytes.next = self.dma.rq_bytes.val();
        self.endpoint.rq_tag.next = self.dma.rq_tag.val();
        self.dma.rq_rdy.next = self.endpoint.rq_rdy.val();
        self.dma.cp_vld.next = self.endpoint.cp_vld.val();
        self.dma.cp_tag.next = self.endpoint.cp_tag.val();
        self.dma.cp_data.next = self.endpoint.cp_data.val();
        self.dma.cp_keep.next = self.endpoint.cp_keep.val();
        self.dma.cp_last.next = self.endpoint.cp_last.val();
        self.dma.cp_error.next = self.endpoint.cp_error.val();
        self.endpoint.wr_vld.next = self.dma.wr_vld.val();
        self.endpoint.wr_sop.next = self.dma.wr_sop.val();
        self.endpoint.wr_addr.next = self.dma.wr_addr.val();
        self.endpoint.wr_bytes.next = self.dma.wr_bytes.val();
        self.endpoint.wr_data.next = self.dma.wr_data.val();
        self.dma.wr_rdy.next = self.endpoint.wr_rdy.val();
        self.endpoint.ms_vld.next = self.dma.ms_vld.val();
        self.endpoint.ms_vector.next = self.dma.ms_vector.val();
        self.dma.ms_rdy.next = self.endpoint.ms_rdy.val();
        self.endpoint.irq_level.next = self.dma.irq_level.val();
        self.dma.usr_irq.next = self.usr_irq.val();
        self.dma.done_count.next = self.done_count.val();
        self.endpoint.tail_vld.next = self.dma.tail_vld.val();
        self.endpoint.tail.next = self.dma.tail.val();
        self.dma.tail_rdy.next = self.endpoint.tail_rdy.val();

        // Registers of BAR 0.
        self.m_axil_awaddr.next = self.endpoint.l_awaddr.val();
        self.m_axil_awvalid.next = self.endpoint.l_awvalid.val();
        self.endpoint.l_awready.next = self.m_axil_awready.val();
        self.m_axil_wdata.next = self.endpoint.l_wdata.val();
        self.m_axil_wstrb.next = self.endpoint.l_wstrb.val();
        self.m_axil_wvalid.next = self.endpoint.l_wvalid.val();
        self.endpoint.l_wready.next = self.m_axil_wready.val();
        self.endpoint.l_bvalid.next = self.m_axil_bvalid.val();
        self.m_axil_bready.next = self.endpoint.l_bready.val();
        self.m_axil_araddr.next = self.endpoint.l_araddr.val();
        self.m_axil_arvalid.next = self.endpoint.l_arvalid.val();
        self.endpoint.l_arready.next = self.m_axil_arready.val();
        self.endpoint.l_rdata.next = self.m_axil_rdata.val();
        self.endpoint.l_rresp.next = self.m_axil_rresp.val();
        self.endpoint.l_rvalid.next = self.m_axil_rvalid.val();
        self.m_axil_rready.next = self.endpoint.l_rready.val();

        // Card memory: the window and the DMA.
        self.mux.s0_aw_vld.next = self.endpoint.m_aw_vld.val();
        self.mux.s0_aw_addr.next = self.endpoint.m_aw_addr.val();
        self.endpoint.m_aw_rdy.next = self.mux.s0_aw_rdy.val();
        self.mux.s0_w_vld.next = self.endpoint.m_w_vld.val();
        self.mux.s0_w_data.next = self.endpoint.m_w_data.val();
        self.mux.s0_w_strb.next = self.endpoint.m_w_strb.val();
        self.endpoint.m_w_rdy.next = self.mux.s0_w_rdy.val();
        self.mux.s0_ar_vld.next = self.endpoint.m_ar_vld.val();
        self.mux.s0_ar_addr.next = self.endpoint.m_ar_addr.val();
        self.endpoint.m_ar_rdy.next = self.mux.s0_ar_rdy.val();
        self.endpoint.m_b_vld.next = self.mux.s0_b_vld.val();
        self.mux.s0_b_rdy.next = self.endpoint.m_b_rdy.val();
        self.endpoint.m_r_vld.next = self.mux.s0_r_vld.val();
        self.mux.s0_r_rdy.next = self.endpoint.m_r_rdy.val();
        self.mux.s1_aw_vld.next = self.dma.aw_vld.val();
        self.mux.s1_aw_addr.next = self.dma.aw_addr.val();
        self.mux.s1_aw_len.next = self.dma.aw_len.val();
        self.dma.aw_rdy.next = self.mux.s1_aw_rdy.val();
        self.mux.s1_w_vld.next = self.dma.w_vld.val();
        self.mux.s1_w_data.next = self.dma.w_data.val();
        self.mux.s1_w_strb.next = self.dma.w_strb.val();
        self.mux.s1_w_last.next = self.dma.w_last.val();
        self.dma.w_rdy.next = self.mux.s1_w_rdy.val();
        self.mux.s1_ar_vld.next = self.dma.ar_vld.val();
        self.mux.s1_ar_addr.next = self.dma.ar_addr.val();
        self.mux.s1_ar_len.next = self.dma.ar_len.val();
        self.dma.ar_rdy.next = self.mux.s1_ar_rdy.val();
        self.dma.b_vld.next = self.mux.s1_b_vld.val();
        self.mux.s1_b_rdy.next = self.dma.b_rdy.val();
        self.dma.r_vld.next = self.mux.s1_r_vld.val();
        self.mux.s1_r_rdy.next = self.dma.r_rdy.val();
        self.endpoint.m_r_data.next = self.m_axi_rdata.val();
        self.endpoint.m_r_resp.next = self.m_axi_rresp.val();
        self.dma.b_resp.next = self.m_axi_bresp.val();
        self.dma.r_data.next = self.m_axi_rdata.val();
        self.dma.r_resp.next = self.m_axi_rresp.val();
        self.dma.r_last.next = self.m_axi_rlast.val();
        self.m_axi_awid.next = bit_cast::<6, 4>(self.mux.m_aw_id.val());
        self.m_axi_awaddr.next = self.mux.m_aw_addr.val();
        self.m_axi_awlen.next = self.mux.m_aw_len.val();
        self.m_axi_awvalid.next = self.mux.m_aw_vld.val();
        self.m_axi_wdata.next = self.mux.m_w_data.val();
        self.m_axi_wstrb.next = self.mux.m_w_strb.val();
        self.m_axi_wlast.next = self.mux.m_w_last.val();
        self.m_axi_wvalid.next = self.mux.m_w_vld.val();
        self.m_axi_bready.next = self.mux.m_b_rdy.val();
        self.m_axi_arid.next = bit_cast::<6, 4>(self.mux.m_ar_id.val());
        self.m_axi_araddr.next = self.mux.m_ar_addr.val();
        self.m_axi_arlen.next = self.mux.m_ar_len.val();
        self.m_axi_arvalid.next = self.mux.m_ar_vld.val();
        self.m_axi_rready.next = self.mux.m_r_rdy.val();
        self.mux.m_aw_rdy.next = self.m_axi_awready.val();
        self.mux.m_w_rdy.next = self.m_axi_wready.val();
        self.mux.m_b_vld.next = self.m_axi_bvalid.val();
        self.mux.m_ar_rdy.next = self.m_axi_arready.val();
        self.mux.m_r_vld.next = self.m_axi_rvalid.val();
        self.mux.m_b_id.next = self.m_axi_bid.val().get_bits::<4>(0);
        self.mux.m_r_id.next = self.m_axi_rid.val().get_bits::<4>(0);
        self.m_axi_awsize.next = 4.into();
        self.m_axi_awburst.next = 1.into();
        self.m_axi_arsize.next = 4.into();
        self.m_axi_arburst.next = 1.into();
    }
}
