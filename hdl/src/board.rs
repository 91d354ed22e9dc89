//! The board: PCI Express function and engine, wired together.
//!
//! The function's registers of BAR 0 are the engine's, its card memory is the engine's port for the host, and the engine's interrupt is
//! user interrupt 0. Jobs write the engine's TAIL as the host would, and see its DONE_COUNT. A reset of the function or a link that goes
//! down does not touch the engine: bursts of it may be under way on the memory's bus; the driver resets it by its own register.

use crate::engine::Engine;
use abi::Config;
use leaf::prelude::*;
use pcie::function::Function;

/// See the module's page. The numbers are those of `Function`: see [`Board64`] and [`Board128`].
#[derive(LogicBlock)]
pub struct Board<
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
    function: Function<W, K, F, L, R, B, P>,
    engine: Engine,
}

/// With TLPs of 64 bits.
pub type Board64 = Board<64, 2, 66, 1, 8, 3, 10>;
/// With TLPs of 128 bits.
pub type Board128 = Board<128, 4, 130, 2, 16, 4, 11>;

/// The board of this configuration, with TLPs of `width` bits.
///
/// # Errors
/// A configuration that cannot be built, or another width than 64 and 128.
pub fn board(config: &Config, width: usize) -> Result<crate::Unit, String> {
    match width {
        64 => Ok(Box::new(Board64::new(config)?)),
        128 => Ok(Box::new(Board128::new(config)?)),
        _ => Err(format!("TLPs are 64 or 128 bits wide, not {width}")),
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
    > Board<W, K, F, L, R, B, P>
{
    /// The board of a configuration; the window is as large as its memory, rounded up to a power of two.
    ///
    /// # Errors
    /// A configuration that cannot be built: which field, and why.
    pub fn new(config: &Config) -> Result<Self, String> {
        Ok(Self {
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
            function: Function::new(config.memory_bytes.next_power_of_two()),
            engine: Engine::new(config)?,
        })
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
    > Logic for Board<W, K, F, L, R, B, P>
{
    #[hdl_gen]
    fn update(&mut self) {
        comment!("board");
        self.function.clk.next = self.clk.val();
        self.engine.clk.next = self.clk.val();
        self.function.rst.next = self.rst.val();
        self.engine.rst.next = self.rst.val();

        // The link.
        self.function.link_up.next = self.link_up.val();
        self.function.hot_reset.next = self.hot_reset.val();
        self.function.rx_vld.next = self.rx_vld.val();
        self.rx_rdy.next = self.function.rx_rdy.val();
        self.function.rx_data.next = self.rx_data.val();
        self.function.rx_keep.next = self.rx_keep.val();
        self.function.rx_sop.next = self.rx_sop.val();
        self.function.rx_eop.next = self.rx_eop.val();
        self.tx_vld.next = self.function.tx_vld.val();
        self.function.tx_rdy.next = self.tx_rdy.val();
        self.tx_data.next = self.function.tx_data.val();
        self.tx_keep.next = self.function.tx_keep.val();
        self.tx_sop.next = self.function.tx_sop.val();
        self.tx_eop.next = self.function.tx_eop.val();
        self.function.fc_ph.next = self.fc_ph.val();
        self.function.fc_pd.next = self.fc_pd.val();
        self.function.fc_nph.next = self.fc_nph.val();
        self.function.fc_npd.next = self.fc_npd.val();
        self.function.fc_cplh.next = self.fc_cplh.val();
        self.function.fc_cpld.next = self.fc_cpld.val();
        self.function.fc_inf.next = self.fc_inf.val();
        self.rxfc_ph.next = self.function.rxfc_ph.val();
        self.rxfc_pd.next = self.function.rxfc_pd.val();
        self.rxfc_nph.next = self.function.rxfc_nph.val();
        self.rxfc_npd.next = self.function.rxfc_npd.val();
        self.cfg_mps.next = self.function.cfg_mps.val();
        self.cfg_mrrs.next = self.function.cfg_mrrs.val();

        // Between the two.
        self.function.usr_irq.next = self.engine.irq.val();
        self.function.done_count.next = self.engine.done_count.val();
        self.engine.s_axil_awaddr.next = self.function.m_axil_awaddr.val();
        self.engine.s_axil_awvalid.next = self.function.m_axil_awvalid.val();
        self.function.m_axil_awready.next = self.engine.s_axil_awready.val();
        self.engine.s_axil_wdata.next = self.function.m_axil_wdata.val();
        self.engine.s_axil_wstrb.next = self.function.m_axil_wstrb.val();
        self.engine.s_axil_wvalid.next = self.function.m_axil_wvalid.val();
        self.function.m_axil_wready.next = self.engine.s_axil_wready.val();
        self.function.m_axil_bvalid.next = self.engine.s_axil_bvalid.val();
        self.engine.s_axil_bready.next = self.function.m_axil_bready.val();
        self.engine.s_axil_araddr.next = self.function.m_axil_araddr.val();
        self.engine.s_axil_arvalid.next = self.function.m_axil_arvalid.val();
        self.function.m_axil_arready.next = self.engine.s_axil_arready.val();
        self.function.m_axil_rdata.next = self.engine.s_axil_rdata.val();
        self.function.m_axil_rresp.next = self.engine.s_axil_rresp.val();
        self.function.m_axil_rvalid.next = self.engine.s_axil_rvalid.val();
        self.engine.s_axil_rready.next = self.function.m_axil_rready.val();
        self.engine.s_axi_awid.next = self.function.m_axi_awid.val().get_bits::<4>(0);
        self.engine.s_axi_awaddr.next = self.function.m_axi_awaddr.val();
        self.engine.s_axi_awlen.next = self.function.m_axi_awlen.val();
        self.engine.s_axi_awsize.next = self.function.m_axi_awsize.val();
        self.engine.s_axi_awburst.next = self.function.m_axi_awburst.val();
        self.engine.s_axi_awvalid.next = self.function.m_axi_awvalid.val();
        self.function.m_axi_awready.next = self.engine.s_axi_awready.val();
        self.engine.s_axi_wdata.next = self.function.m_axi_wdata.val();
        self.engine.s_axi_wstrb.next = self.function.m_axi_wstrb.val();
        self.engine.s_axi_wlast.next = self.function.m_axi_wlast.val();
        self.engine.s_axi_wvalid.next = self.function.m_axi_wvalid.val();
        self.function.m_axi_wready.next = self.engine.s_axi_wready.val();
        self.function.m_axi_bid.next = bit_cast::<6, 4>(self.engine.s_axi_bid.val());
        self.function.m_axi_bresp.next = self.engine.s_axi_bresp.val();
        self.function.m_axi_bvalid.next = self.engine.s_axi_bvalid.val();
        self.engine.s_axi_bready.next = self.function.m_axi_bready.val();
        self.engine.s_axi_arid.next = self.function.m_axi_arid.val().get_bits::<4>(0);
        self.engine.s_axi_araddr.next = self.function.m_axi_araddr.val();
        self.engine.s_axi_arlen.next = self.function.m_axi_arlen.val();
        self.engine.s_axi_arsize.next = self.function.m_axi_arsize.val();
        self.engine.s_axi_arburst.next = self.function.m_axi_arburst.val();
        self.engine.s_axi_arvalid.next = self.function.m_axi_arvalid.val();
        self.function.m_axi_arready.next = self.engine.s_axi_arready.val();
        self.function.m_axi_rid.next = bit_cast::<6, 4>(self.engine.s_axi_rid.val());
        self.function.m_axi_rdata.next = self.engine.s_axi_rdata.val();
        self.function.m_axi_rresp.next = self.engine.s_axi_rresp.val();
        self.function.m_axi_rlast.next = self.engine.s_axi_rlast.val();
        self.function.m_axi_rvalid.next = self.engine.s_axi_rvalid.val();
        self.engine.s_axi_rready.next = self.function.m_axi_rready.val();

        // The memory.
        self.m_axi_awid.next = self.engine.m_axi_awid.val();
        self.m_axi_awaddr.next = self.engine.m_axi_awaddr.val();
        self.m_axi_awlen.next = self.engine.m_axi_awlen.val();
        self.m_axi_awsize.next = self.engine.m_axi_awsize.val();
        self.m_axi_awburst.next = self.engine.m_axi_awburst.val();
        self.m_axi_awvalid.next = self.engine.m_axi_awvalid.val();
        self.engine.m_axi_awready.next = self.m_axi_awready.val();
        self.m_axi_wdata.next = self.engine.m_axi_wdata.val();
        self.m_axi_wstrb.next = self.engine.m_axi_wstrb.val();
        self.m_axi_wlast.next = self.engine.m_axi_wlast.val();
        self.m_axi_wvalid.next = self.engine.m_axi_wvalid.val();
        self.engine.m_axi_wready.next = self.m_axi_wready.val();
        self.engine.m_axi_bid.next = self.m_axi_bid.val();
        self.engine.m_axi_bresp.next = self.m_axi_bresp.val();
        self.engine.m_axi_bvalid.next = self.m_axi_bvalid.val();
        self.m_axi_bready.next = self.engine.m_axi_bready.val();
        self.m_axi_arid.next = self.engine.m_axi_arid.val();
        self.m_axi_araddr.next = self.engine.m_axi_araddr.val();
        self.m_axi_arlen.next = self.engine.m_axi_arlen.val();
        self.m_axi_arsize.next = self.engine.m_axi_arsize.val();
        self.m_axi_arburst.next = self.engine.m_axi_arburst.val();
        self.m_axi_arvalid.next = self.engine.m_axi_arvalid.val();
        self.engine.m_axi_arready.next = self.m_axi_arready.val();
        self.engine.m_axi_rid.next = self.m_axi_rid.val();
        self.engine.m_axi_rdata.next = self.m_axi_rdata.val();
        self.engine.m_axi_rresp.next = self.m_axi_rresp.val();
        self.engine.m_axi_rlast.next = self.m_axi_rlast.val();
        self.engine.m_axi_rvalid.next = self.m_axi_rvalid.val();
        self.m_axi_rready.next = self.engine.m_axi_rready.val();
    }
}
