//! The engine: all units wired together. This is essentially a wiring exercise; the design is in the units.
//!
//! ```text
//!  s_axil -> regs -> command ----------------------------------------------------------------+
//!                       | go, parameters                                                     |
//!  m_axi -> reader -> xstore --+                                                             v
//!    |        | (host's routes)+-> linear -> router -> routes -> issue -> loader (jobs)   writer -> m_axi
//!    |        +--------------------------------------->  |                                   ^
//!    |                         |      |                  +-> predictor -> loader (prefetch)  |
//!    +----> loader -> slots ---+      +-> activation -> hstage --+                           |
//!                              ^                                 | (down)                    |
//!                              +---------------------------------+                           |
//!                                     +-> combine -------------------------------------------+
//!  s_axi (host) -> read and write muxes -> m_axi
//! ```
//!
//! Cycles: every cycle has one cause, chosen by the first that holds of idle, computing, host, memory, slot; what is left drains.
//! The causes are registered twice on their way to the counters, all alike, so they still sum to CYCLES.

use crate::{
    activation::Activation,
    axi_read_mux::AxiReadMux,
    axi_reader::AxiReader,
    axi_write_mux::AxiWriteMux,
    axi_writer::AxiWriter,
    combine::Combine,
    command::Command,
    counters::Counters,
    hstage::HStage,
    issue::Issue,
    linear::Linear,
    loader::Loader,
    predictor::Predictor,
    regs::{place, Regs},
    route_store::RouteStore,
    router::Router,
    skid::Skid,
    slots::Slots,
    xstore::XStore,
};
use abi::Config;
use leaf::prelude::*;

/// The top module; see the module's page. Ports are AXI4 and AXI4-Lite by their usual names.
#[derive(LogicBlock)]
pub struct Engine {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Level, active high: a cause is pending and enabled.
    pub irq: Signal<Out, Bit>,
    /// DONE_COUNT, for who moves results without asking.
    pub done_count: Signal<Out, Bits<16>>,
    /// Write address.
    pub s_axil_awaddr: Signal<In, Bits<12>>,
    /// Write address valid.
    pub s_axil_awvalid: Signal<In, Bit>,
    /// Write address taken.
    pub s_axil_awready: Signal<Out, Bit>,
    /// Write data.
    pub s_axil_wdata: Signal<In, Bits<32>>,
    /// Byte enables.
    pub s_axil_wstrb: Signal<In, Bits<4>>,
    /// Write data valid.
    pub s_axil_wvalid: Signal<In, Bit>,
    /// Write data taken.
    pub s_axil_wready: Signal<Out, Bit>,
    /// Write response.
    pub s_axil_bresp: Signal<Out, Bits<2>>,
    /// Write response valid.
    pub s_axil_bvalid: Signal<Out, Bit>,
    /// Write response taken.
    pub s_axil_bready: Signal<In, Bit>,
    /// Read address.
    pub s_axil_araddr: Signal<In, Bits<12>>,
    /// Read address valid.
    pub s_axil_arvalid: Signal<In, Bit>,
    /// Read address taken.
    pub s_axil_arready: Signal<Out, Bit>,
    /// Read data.
    pub s_axil_rdata: Signal<Out, Bits<32>>,
    /// Read response.
    pub s_axil_rresp: Signal<Out, Bits<2>>,
    /// Read data valid.
    pub s_axil_rvalid: Signal<Out, Bit>,
    /// Read data taken.
    pub s_axil_rready: Signal<In, Bit>,
    /// Write ID.
    pub s_axi_awid: Signal<In, Bits<4>>,
    /// Write address.
    pub s_axi_awaddr: Signal<In, Bits<40>>,
    /// Beats of the burst less one.
    pub s_axi_awlen: Signal<In, Bits<8>>,
    /// Bytes per beat, base-2 logarithm.
    pub s_axi_awsize: Signal<In, Bits<3>>,
    /// Burst type.
    pub s_axi_awburst: Signal<In, Bits<2>>,
    /// Write address valid.
    pub s_axi_awvalid: Signal<In, Bit>,
    /// Write address taken.
    pub s_axi_awready: Signal<Out, Bit>,
    /// Write data.
    pub s_axi_wdata: Signal<In, Bits<128>>,
    /// Byte enables.
    pub s_axi_wstrb: Signal<In, Bits<16>>,
    /// Last beat of the burst.
    pub s_axi_wlast: Signal<In, Bit>,
    /// Write data valid.
    pub s_axi_wvalid: Signal<In, Bit>,
    /// Write data taken.
    pub s_axi_wready: Signal<Out, Bit>,
    /// ID of the response.
    pub s_axi_bid: Signal<Out, Bits<4>>,
    /// Write response.
    pub s_axi_bresp: Signal<Out, Bits<2>>,
    /// Write response valid.
    pub s_axi_bvalid: Signal<Out, Bit>,
    /// Write response taken.
    pub s_axi_bready: Signal<In, Bit>,
    /// Read ID.
    pub s_axi_arid: Signal<In, Bits<4>>,
    /// Read address.
    pub s_axi_araddr: Signal<In, Bits<40>>,
    /// Beats of the burst less one.
    pub s_axi_arlen: Signal<In, Bits<8>>,
    /// Bytes per beat, base-2 logarithm.
    pub s_axi_arsize: Signal<In, Bits<3>>,
    /// Burst type.
    pub s_axi_arburst: Signal<In, Bits<2>>,
    /// Read address valid.
    pub s_axi_arvalid: Signal<In, Bit>,
    /// Read address taken.
    pub s_axi_arready: Signal<Out, Bit>,
    /// ID of the data.
    pub s_axi_rid: Signal<Out, Bits<4>>,
    /// Read data.
    pub s_axi_rdata: Signal<Out, Bits<128>>,
    /// Read response.
    pub s_axi_rresp: Signal<Out, Bits<2>>,
    /// Last beat of the burst.
    pub s_axi_rlast: Signal<Out, Bit>,
    /// Read data valid.
    pub s_axi_rvalid: Signal<Out, Bit>,
    /// Read data taken.
    pub s_axi_rready: Signal<In, Bit>,
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
    regs: Regs,
    command: Command,
    reader: AxiReader,
    xstore: XStore,
    loader: Loader,
    slots: Slots,
    linear: Linear,
    router: Router,
    routes: RouteStore,
    issue: Issue,
    predictor: Predictor,
    activation: Activation,
    hstage: HStage,
    combine: Combine,
    writer: AxiWriter,
    arriving: Skid<128>,
    leaving: Skid<128>,
    read_mux: AxiReadMux,
    write_mux: AxiWriteMux,
    counters: Counters,
    irq_pending: Dff<Bit>,
    fixed: Vec<Constant<Bits<32>>>,
    causes: Vec<Dff<Bit>>,
    adds: Vec<Dff<Bits<16>>>,
    resetting: Signal<Local, Bit>,
    resets: Signal<Local, Bit>,
    soft_reset: Dff<Bit>,
    unit_rst: Dff<Bit>,
    fetched: Signal<Local, Bit>,
    fetching: Dff<Bit>,
    reader_rdy: Signal<Local, Bit>,
    written: Signal<Local, Bit>,
    h_ready: Dff<Bit>,
    flow_busy: Dff<Bit>,
    runs: Dff<Bit>,
    computes: Dff<Bit>,
    host_blocks: Dff<Bit>,
    memory_wait: Dff<Bit>,
    slot_wait: Dff<Bit>,
    works: Signal<Local, Bit>,
    writer_vld: Signal<Local, Bit>,
    writer_data: Signal<Local, Bits<128>>,
    beats_in: Signal<Local, Bits<16>>,
    tap_xblock_valid: Signal<Local, Bit>,
    tap_xblock_data: Signal<Local, Bits<288>>,
    tap_logit_valid: Signal<Local, Bit>,
    tap_logit_data: Signal<Local, Bits<80>>,
    tap_route_valid: Signal<Local, Bit>,
    tap_route_data: Signal<Local, Bits<48>>,
    tap_acc_valid: Signal<Local, Bit>,
    tap_acc_data: Signal<Local, Bits<176>>,
    tap_h_valid: Signal<Local, Bit>,
    tap_h_data: Signal<Local, Bits<56>>,
    tap_hblock_valid: Signal<Local, Bit>,
    tap_hblock_data: Signal<Local, Bits<288>>,
    tap_y_valid: Signal<Local, Bit>,
    tap_y_data: Signal<Local, Bits<128>>,
    _fixed: usize,
    _counters: usize,
    _registers: usize,
}

/// Values of the first eight registers: who this engine is.
fn identity(c: &Config) -> Vec<Constant<Bits<32>>> {
    let fp = abi::fingerprint(c);
    let m = &c.modes;
    let modes = [m.int4, m.fp4, m.pairs, m.octets, m.gelu];
    let modes = (modes.iter().rev()).fold(0, |all, &one| all << 1 | u64::from(one));
    [
        u64::from(abi::MAGIC),
        abi::ABI_VERSION.into(),
        fp & 0xFFFF_FFFF,
        fp >> 32,
        abi::config::LANES as u64 | (c.slot_words as u64) << 8 | (abi::TOPK_MAX as u64) << 24,
        c.tokens_max as u64 | (c.experts_max as u64) << 16,
        c.d_max as u64 | (c.f_max as u64) << 16,
        modes | (c.slots as u64) << 8 | (c.layers_max as u64) << 16,
    ]
    .map(|v| Constant::new(v.to_bits()))
    .into()
}

/// The registers that the kernel below names by number.
const BY_NUMBER: [(usize, &str); 14] = [
    (0, "MAGIC"),
    (7, "MODES"),
    (8, "CONTROL"),
    (9, "STATE"),
    (10, "RING_BASE_LO"),
    (11, "RING_BASE_HI"),
    (12, "RING_LOG2"),
    (13, "TAIL"),
    (14, "DONE_COUNT"),
    (15, "LAST_STATUS"),
    (16, "IRQ_PENDING"),
    (18, "TASK"),
    (19, "PREDICT_INDEX"),
    (20, "PREDICT_DATA"),
];

impl Engine {
    /// An engine of this configuration.
    ///
    /// # Errors
    /// If the configuration breaks a rule.
    pub fn new(config: &Config) -> Result<Self, String> {
        config.check()?;
        for (n, name) in BY_NUMBER {
            assert_eq!(place(name), n, "engine.rs names registers by their number");
        }
        Ok(Self {
            clk: Default::default(),
            rst: Default::default(),
            irq: Default::default(),
            done_count: Default::default(),
            s_axil_awaddr: Default::default(),
            s_axil_awvalid: Default::default(),
            s_axil_awready: Default::default(),
            s_axil_wdata: Default::default(),
            s_axil_wstrb: Default::default(),
            s_axil_wvalid: Default::default(),
            s_axil_wready: Default::default(),
            s_axil_bresp: Default::default(),
            s_axil_bvalid: Default::default(),
            s_axil_bready: Default::default(),
            s_axil_araddr: Default::default(),
            s_axil_arvalid: Default::default(),
            s_axil_arready: Default::default(),
            s_axil_rdata: Default::default(),
            s_axil_rresp: Default::default(),
            s_axil_rvalid: Default::default(),
            s_axil_rready: Default::default(),
            s_axi_awid: Default::default(),
            s_axi_awaddr: Default::default(),
            s_axi_awlen: Default::default(),
            s_axi_awsize: Default::default(),
            s_axi_awburst: Default::default(),
            s_axi_awvalid: Default::default(),
            s_axi_awready: Default::default(),
            s_axi_wdata: Default::default(),
            s_axi_wstrb: Default::default(),
            s_axi_wlast: Default::default(),
            s_axi_wvalid: Default::default(),
            s_axi_wready: Default::default(),
            s_axi_bid: Default::default(),
            s_axi_bresp: Default::default(),
            s_axi_bvalid: Default::default(),
            s_axi_bready: Default::default(),
            s_axi_arid: Default::default(),
            s_axi_araddr: Default::default(),
            s_axi_arlen: Default::default(),
            s_axi_arsize: Default::default(),
            s_axi_arburst: Default::default(),
            s_axi_arvalid: Default::default(),
            s_axi_arready: Default::default(),
            s_axi_rid: Default::default(),
            s_axi_rdata: Default::default(),
            s_axi_rresp: Default::default(),
            s_axi_rlast: Default::default(),
            s_axi_rvalid: Default::default(),
            s_axi_rready: Default::default(),
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
            regs: Default::default(),
            command: Command::new(config),
            reader: Default::default(),
            xstore: XStore::new(config),
            loader: Loader::new(config),
            slots: Slots::new(config),
            linear: Linear::new(config),
            router: Router::new(config),
            routes: RouteStore::new(config),
            issue: Issue::new(config),
            predictor: Predictor::new(config),
            activation: Activation::new(config),
            hstage: HStage::new(config),
            combine: Combine::new(config),
            writer: Default::default(),
            arriving: Default::default(),
            leaving: Default::default(),
            read_mux: Default::default(),
            write_mux: Default::default(),
            counters: Default::default(),
            irq_pending: Default::default(),
            fixed: identity(config),
            causes: (0..7).map(|_| Default::default()).collect(),
            adds: (0..10).map(|_| Default::default()).collect(),
            resetting: Default::default(),
            resets: Default::default(),
            soft_reset: Default::default(),
            unit_rst: Default::default(),
            fetched: Default::default(),
            fetching: Default::default(),
            reader_rdy: Default::default(),
            written: Default::default(),
            h_ready: Default::default(),
            flow_busy: Default::default(),
            runs: Default::default(),
            computes: Default::default(),
            host_blocks: Default::default(),
            memory_wait: Default::default(),
            slot_wait: Default::default(),
            works: Default::default(),
            writer_vld: Default::default(),
            writer_data: Default::default(),
            beats_in: Default::default(),
            tap_xblock_valid: Default::default(),
            tap_xblock_data: Default::default(),
            tap_logit_valid: Default::default(),
            tap_logit_data: Default::default(),
            tap_route_valid: Default::default(),
            tap_route_data: Default::default(),
            tap_acc_valid: Default::default(),
            tap_acc_data: Default::default(),
            tap_h_valid: Default::default(),
            tap_h_data: Default::default(),
            tap_hblock_valid: Default::default(),
            tap_hblock_data: Default::default(),
            tap_y_valid: Default::default(),
            tap_y_data: Default::default(),
            _fixed: 8,
            _counters: abi::registers::COUNTERS.len(),
            _registers: crate::regs::plain().len(),
        })
    }
}

impl Logic for Engine {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("engine");

        // Clock and reset. CONTROL.reset waits until no command runs and the loader expects nothing; the bus sides are not touched by it.
        self.regs.clk.next = self.clk.val();
        self.command.clk.next = self.clk.val();
        self.reader.clk.next = self.clk.val();
        self.xstore.clk.next = self.clk.val();
        self.loader.clk.next = self.clk.val();
        self.slots.clk.next = self.clk.val();
        self.linear.clk.next = self.clk.val();
        self.router.clk.next = self.clk.val();
        self.routes.clk.next = self.clk.val();
        self.issue.clk.next = self.clk.val();
        self.predictor.clk.next = self.clk.val();
        self.activation.clk.next = self.clk.val();
        self.hstage.clk.next = self.clk.val();
        self.combine.clk.next = self.clk.val();
        self.writer.clk.next = self.clk.val();
        self.read_mux.clk.next = self.clk.val();
        self.write_mux.clk.next = self.clk.val();
        self.counters.clk.next = self.clk.val();
        self.arriving.clk.next = self.clk.val();
        self.leaving.clk.next = self.clk.val();
        dff_setup!(
            self,
            clk,
            soft_reset,
            unit_rst,
            h_ready,
            flow_busy,
            runs,
            computes,
            host_blocks,
            memory_wait,
            slot_wait
        );
        // While CONTROL.reset waits, nothing new begins: what was idle and quiet stays so.
        self.resetting.next = self.regs.stored[8].val().get_bit(0);
        self.resets.next = self.resetting.val()
            && self.command.idle.val()
            && self.loader.quiet.val()
            && !self.soft_reset.q.val();
        self.soft_reset.d.next = self.resets.val();
        self.unit_rst.d.next = self.rst.val() || self.resets.val();
        self.regs.rst.next = self.rst.val();
        self.read_mux.rst.next = self.rst.val();
        self.write_mux.rst.next = self.rst.val();
        self.command.rst.next = self.unit_rst.q.val();
        self.reader.rst.next = self.unit_rst.q.val();
        self.xstore.rst.next = self.unit_rst.q.val();
        self.loader.rst.next = self.unit_rst.q.val();
        self.linear.rst.next = self.unit_rst.q.val();
        self.router.rst.next = self.unit_rst.q.val();
        self.routes.rst.next = self.unit_rst.q.val();
        self.issue.rst.next = self.unit_rst.q.val();
        self.predictor.rst.next = self.unit_rst.q.val();
        self.activation.rst.next = self.unit_rst.q.val();
        self.hstage.rst.next = self.unit_rst.q.val();
        self.combine.rst.next = self.unit_rst.q.val();
        self.writer.rst.next = self.unit_rst.q.val();
        self.counters.rst.next = self.unit_rst.q.val();
        self.arriving.rst.next = self.unit_rst.q.val();
        self.leaving.rst.next = self.unit_rst.q.val();
        self.regs.clear.next = self.soft_reset.q.val();

        // Registers.
        self.regs.awaddr.next = self.s_axil_awaddr.val();
        self.regs.awvalid.next = self.s_axil_awvalid.val();
        self.s_axil_awready.next = self.regs.awready.val();
        self.regs.wdata.next = self.s_axil_wdata.val();
        self.regs.wstrb.next = self.s_axil_wstrb.val();
        self.regs.wvalid.next = self.s_axil_wvalid.val();
        self.s_axil_wready.next = self.regs.wready.val();
        self.s_axil_bresp.next = self.regs.bresp.val();
        self.s_axil_bvalid.next = self.regs.bvalid.val();
        self.regs.bready.next = self.s_axil_bready.val();
        self.regs.araddr.next = self.s_axil_araddr.val();
        self.regs.arvalid.next = self.s_axil_arvalid.val();
        self.s_axil_arready.next = self.regs.arready.val();
        self.s_axil_rdata.next = self.regs.rdata.val();
        self.s_axil_rresp.next = self.regs.rresp.val();
        self.s_axil_rvalid.next = self.regs.rvalid.val();
        self.regs.rready.next = self.s_axil_rready.val();
        for i in 0..self._registers {
            self.regs.value[i].next = 0.into();
        }
        for i in 0..self._fixed {
            self.regs.value[i].next = self.fixed[i].val();
        }
        self.regs.value[9].next = bit_cast::<32, 1>((!self.command.idle.val()).into());
        self.regs.value[14].next = bit_cast::<32, 16>(self.command.done_count.val());
        self.regs.value[15].next = bit_cast::<32, 8>(self.command.last_status.val());
        self.regs.value[16].next = bit_cast::<32, 1>(self.irq_pending.q.val().into());
        self.regs.counter_index.next = self.counters.index.val();
        self.regs.counter_value.next = self.counters.value.val();
        dff_setup!(self, clk, irq_pending, fetching);
        if self.regs.hit[16].val() && self.regs.hit_data.val().get_bit(0) {
            self.irq_pending.d.next = false;
        }
        if self.command.irq_set.val() {
            self.irq_pending.d.next = true;
        }
        if self.unit_rst.q.val() {
            self.irq_pending.d.next = false;
        }
        self.done_count.next = self.command.done_count.val();
        self.irq.next = self.irq_pending.q.val() && self.regs.stored[8].val().get_bit(1);

        // Command. First: who takes the reader's beats.
        self.reader_rdy.next = true;
        if self.command.rd_sel.val() == 1 {
            self.reader_rdy.next = self.routes.in_rdy.val();
        }
        if self.command.rd_sel.val() == 2 {
            self.reader_rdy.next = self.xstore.in_rdy.val();
        }
        self.command.ring_base.next = bit_cast::<40, 32>(self.regs.stored[10].val())
            | (bit_cast::<40, 8>(self.regs.stored[11].val().get_bits::<8>(0)) << 32);
        self.command.ring_log2.next = self.regs.stored[12].val().get_bits::<4>(0);
        self.command.tail.next = self.regs.stored[13].val().get_bits::<16>(0);
        self.command.task_index.next = self.regs.stored[18].val().get_bits::<8>(0);
        self.command.hold.next = self.resetting.val();
        self.command.rd_vld.next = self.arriving.out_vld.val();
        self.command.rd_data.next = self.arriving.out_data.val();
        self.command.rd_taken.next = self.arriving.out_vld.val() && self.reader_rdy.val();
        self.command.rd_err.next = self.reader.err.val();
        self.command.rd_issued.next = self.reader.issued.val();
        self.command.rd_idle.next = self.reader.idle.val();
        self.command.wr_idle.next = self.writer.idle.val();
        self.command.wr_err.next = self.writer.err.val();
        self.command.rt_done.next = self.routes.rt_done.val();
        self.command.y_done.next = self.combine.y_done.val();
        self.command.jobs_done.next = self.issue.jobs_done.val();
        self.command.jobs.next = self.issue.jobs.val();
        self.command.section_done.next = self.linear.section_done.val();
        self.flow_busy.d.next = bit_cast::<16, 9>(self.xstore.x_tokens.val())
            != self.command.tokens.val()
            || self.router.busy.val()
            || self.loader.busy.val()
            || self.linear.busy.val()
            || self.linear.draining.val()
            || self.activation.busy.val()
            || self.hstage.busy.val()
            || self.combine.busy.val();
        self.command.flow_busy.next = self.flow_busy.q.val();
        self.command.x_nonfinite.next = self.xstore.nonfinite.val();
        self.command.route_error.next = self.routes.err_route.val();
        self.command.load_err_read.next = self.loader.err_read.val();
        self.command.load_err_image.next = self.loader.err_image.val();

        // Descriptor, the host's routes, x.
        self.reader.start.next = self.command.rd_start.val();
        self.reader.addr.next = self.command.rd_addr.val();
        self.reader.grant_vld.next = self.command.rd_grant_vld.val();
        self.reader.grant_beats.next = self.command.rd_grant_beats.val();
        self.reader.out_rdy.next = self.arriving.in_rdy.val();
        self.arriving.in_vld.next = self.reader.out_vld.val();
        self.arriving.in_data.next = self.reader.out_data.val();
        self.arriving.out_rdy.next = self.reader_rdy.val();
        self.routes.in_vld.next = self.arriving.out_vld.val() && self.command.rd_sel.val() == 1;
        self.routes.in_data.next = self.arriving.out_data.val();
        self.xstore.in_vld.next = self.arriving.out_vld.val() && self.command.rd_sel.val() == 2;
        self.xstore.in_data.next = self.arriving.out_data.val();
        self.xstore.go.next = self.command.go.val();
        self.xstore.tokens.next = self.command.tokens.val();
        self.xstore.d.next = self.command.d.val();
        self.xstore.x_region.next = self.linear.x_region.val();
        self.xstore.x_token.next = self.linear.x_token.val();
        self.xstore.x_blk.next = self.linear.x_blk.val();
        self.xstore.xmap_token.next = self.linear.xmap_token.val();
        self.xstore.xmap_chunk.next = self.linear.xmap_chunk.val();

        // Weights.
        self.loader.go.next = self.command.go.val();
        self.loader.source.next = self.command.source.val();
        self.loader.choice_bias.next = self.command.choice_bias.val();
        self.loader.router_bias.next = self.command.router_bias.val();
        self.loader.plain.next = self.command.plain.val();
        self.loader.format.next = self.command.format.val();
        self.loader.sparsity.next = self.command.sparsity.val();
        self.loader.paired.next = self.command.paired.val();
        self.loader.bias.next = self.command.bias.val();
        self.loader.experts.next = self.command.experts.val();
        self.loader.nblk_d.next = self.command.nblk_d.val();
        self.loader.nblk_f.next = self.command.nblk_f.val();
        self.loader.groups_router.next = self.command.groups_router.val();
        self.loader.groups_a.next = self.command.groups_a.val();
        self.loader.groups_b.next = self.command.groups_b.val();
        self.loader.words_r.next = self.command.words_r.val();
        self.loader.words_a.next = self.command.words_a.val();
        self.loader.words_b.next = self.command.words_b.val();
        self.loader.window_words.next = self.command.window_words.val();
        self.loader.router_addr.next = self.command.router_addr.val();
        self.loader.experts_addr.next = self.command.experts_addr.val();
        self.loader.expert_stride.next = self.command.expert_stride.val();
        self.loader.next_addr.next = self.command.next_addr.val();
        self.loader.guesses.next = self.command.guesses.val();
        self.loader.pf_flush.next = self.predictor.pf_flush.val();
        self.loader.pf_vld.next = self.predictor.pf_vld.val();
        self.loader.pf_expert.next = self.predictor.pf_expert.val();
        self.loader.job_vld.next = self.issue.job_vld.val();
        self.loader.job_expert.next = self.issue.job_expert.val();
        self.loader.jobs_done.next = self.issue.jobs_done.val();
        self.loader.tag_wanted.next = self.issue.tag_wanted.val();
        // From the doorbell until the command is known, and while routes or x come in, nothing is prefetched.
        if self.command.idle.val() {
            self.fetching.d.next = true;
        }
        if self.command.pf_go.val() {
            self.fetching.d.next = false;
        }
        self.loader.pause.next = (self.fetching.q.val() && !self.command.idle.val())
            || !self.reader.idle.val()
            || self.resetting.val();
        self.loader.rt_done.next = self.routes.rt_done.val();
        self.loader.vis_rdy.next = self.linear.vis_rdy.val();
        self.loader.cur_slot.next = self.linear.cur_slot.val();
        self.loader.free_vld.next = self.linear.free_vld.val();
        self.loader.free_slot.next = self.linear.free_slot.val();
        self.loader.snoop_vld.next = self.write_mux.m_aw_vld.val() && self.m_axi_awready.val();
        self.loader.snoop_addr.next = self.write_mux.m_aw_addr.val();
        self.slots.wr_vld.next = self.loader.wr_vld.val();
        self.slots.wr_bank.next = self.loader.wr_bank.val();
        self.slots.wr_sub.next = self.loader.wr_sub.val();
        self.slots.wr_addr.next = self.loader.wr_addr.val();
        self.slots.wr_data.next = self.loader.wr_data.val();
        self.slots.map_vld.next = self.loader.map_vld.val();
        self.slots.map_addr.next = self.loader.map_addr.val();
        self.slots.map_data.next = self.loader.map_data.val();
        self.slots.rd_value_addr.next = self.linear.rd_value_addr.val();
        self.slots.rd_position_addr.next = self.linear.rd_position_addr.val();
        self.slots.rd_scale_addr.next = self.linear.rd_scale_addr.val();
        self.slots.rd_map_addr.next = self.linear.rd_map_addr.val();

        // The array.
        self.linear.go.next = self.command.go.val();
        self.linear.tokens.next = self.command.tokens.val();
        self.linear.d.next = self.command.d.val();
        self.linear.f.next = self.command.f.val();
        self.linear.experts.next = self.command.experts.val();
        self.linear.nblk_d.next = self.command.nblk_d.val();
        self.linear.nblk_f.next = self.command.nblk_f.val();
        self.linear.groups_router.next = self.command.groups_router.val();
        self.linear.groups_a.next = self.command.groups_a.val();
        self.linear.groups_b.next = self.command.groups_b.val();
        self.linear.words_r.next = self.command.words_r.val();
        self.linear.words_a.next = self.command.words_a.val();
        self.linear.words_b.next = self.command.words_b.val();
        self.linear.kept_d.next = self.command.kept_d.val();
        self.linear.kept_f.next = self.command.kept_f.val();
        self.linear.format.next = self.command.format.val();
        self.linear.sparsity.next = self.command.sparsity.val();
        self.linear.paired.next = self.command.paired.val();
        self.linear.bias.next = self.command.bias.val();
        self.linear.gated.next = self.command.gated.val();
        self.linear.router_bias.next = self.command.router_bias.val();
        self.linear.vis_vld.next = self.loader.vis_vld.val();
        self.linear.vis_slot.next = self.loader.vis_slot.val();
        self.linear.vis_kind.next = self.loader.vis_kind.val();
        self.linear.vis_first.next = self.loader.vis_first.val();
        self.linear.vis_expert.next = self.loader.vis_expert.val();
        self.linear.vis_exp_a.next = self.loader.vis_exp_a.val();
        self.linear.vis_exp_b.next = self.loader.vis_exp_b.val();
        self.linear.vis_exp_c.next = self.loader.vis_exp_c.val();
        self.linear.cur_loaded.next = self.loader.cur_loaded.val();
        self.linear.cur_closed.next = self.loader.cur_closed.val();
        self.linear.cur_total.next = self.loader.cur_total.val();
        self.linear.x_tokens.next = self.xstore.x_tokens.val();
        self.h_ready.d.next =
            !self.linear.draining.val() && !self.activation.busy.val() && !self.hstage.busy.val();
        self.linear.h_ready.next = self.h_ready.q.val();
        self.linear.q_token.next = self.issue.q_token.val();
        self.linear.q_weight.next = self.issue.q_weight.val();
        self.linear.q_len.next = self.issue.q_len.val();
        for i in 0..4 {
            self.linear.rd_value[i].next = self.slots.rd_value[i].val();
        }
        for i in 0..2 {
            self.linear.rd_position[i].next = self.slots.rd_position[i].val();
        }
        self.linear.rd_scale.next = self.slots.rd_scale.val();
        self.linear.rd_map.next = self.slots.rd_map.val();
        self.linear.x_data.next = self.xstore.x_data.val();
        self.linear.x_b.next = self.xstore.x_b.val();
        self.linear.x_bmax.next = self.xstore.x_bmax.val();
        self.linear.xmap_bits.next = self.xstore.xmap_bits.val();
        self.linear.h_data.next = self.hstage.h_data.val();
        self.linear.h_b.next = self.hstage.h_b.val();
        self.linear.h_bmax.next = self.hstage.h_bmax.val();
        self.linear.hmap_bits.next = self.hstage.hmap_bits.val();
        self.linear.out_rdy.next = self.combine.in_rdy.val();
        if self.linear.out_kind.val() == 0 {
            self.linear.out_rdy.next = self.router.in_rdy.val();
        }
        if self.linear.out_kind.val() == 1 {
            self.linear.out_rdy.next = self.activation.in_rdy.val();
        }

        // Router, routes, queues, guesses.
        self.router.go.next = self.command.go.val() && self.command.source.val() == 0;
        self.router.tokens.next = self.command.tokens.val();
        self.router.experts.next = self.command.experts.val();
        self.router.topk.next = self.command.topk.val();
        self.router.score.next = self.command.score.val();
        self.router.renorm.next = self.command.renorm.val();
        self.router.choice_bias.next = self.command.choice_bias.val();
        self.router.sum2.next = self.command.sum2.val();
        self.router.groups.next = self.command.groups.val();
        self.router.groups_kept.next = self.command.groups_kept.val();
        self.router.route_scale.next = self.command.route_scale.val();
        self.router.jitter.next = self.command.jitter.val();
        self.router.in_vld.next = self.linear.out_vld.val() && self.linear.out_kind.val() == 0;
        self.router.in_acc.next = self.linear.out_a.val();
        self.router.in_limb.next = self.linear.out_limb.val();
        self.router.in_row.next = self.linear.out_row.val();
        self.router.in_token.next = self.linear.out_token.val();
        self.router.in_lsb.next = self.linear.out_lsb_a.val();
        self.router.in_last.next = self.linear.out_last.val();
        self.router.cb_vld.next = self.loader.cb_vld.val();
        self.router.cb_index.next = self.loader.cb_index.val();
        self.router.cb_data.next = self.loader.cb_data.val();
        self.routes.go.next = self.command.go.val();
        self.routes.source.next = self.command.source.val();
        self.routes.tokens.next = self.command.tokens.val();
        self.routes.topk.next = self.command.topk.val();
        self.routes.experts.next = self.command.experts.val();
        self.routes.router_vld.next = self.router.rt_vld.val();
        self.routes.router_token.next = self.router.rt_token.val();
        self.routes.router_slot.next = self.router.rt_slot.val();
        self.routes.router_expert.next = self.router.rt_expert.val();
        self.routes.router_weight.next = self.router.rt_weight.val();
        self.routes.router_done.next = self.router.rt_done.val();
        self.routes.read_start.next = self.command.route_start.val();
        self.routes.out_rdy.next = self.leaving.in_rdy.val() && self.command.wr_sel.val() == 1;
        self.issue.go.next = self.command.go.val();
        self.issue.experts.next = self.command.experts.val();
        self.issue.rt_vld.next = self.routes.rt_vld.val();
        self.issue.rt_token.next = self.routes.rt_token.val();
        self.issue.rt_expert.next = self.routes.rt_expert.val();
        self.issue.rt_weight.next = self.routes.rt_weight.val();
        self.issue.rt_done.next = self.routes.rt_done.val();
        for i in 0..4 {
            self.issue.tag_expert[i].next = self.loader.tag_expert[i].val();
            self.issue.tag_state[i].next = self.loader.tag_state[i].val();
        }
        self.issue.job_rdy.next = self.loader.job_rdy.val();
        self.issue.q_expert.next = self.linear.q_expert.val();
        self.issue.q_index.next = self.linear.q_index.val();
        self.predictor.go.next = self.command.pf_go.val();
        self.predictor.predict.next = self.command.predict.val();
        self.predictor.layer.next = self.command.layer.val();
        self.predictor.guesses.next = self.command.guesses.val();
        self.predictor.hints.next = self.command.hints.val();
        self.predictor.tokens.next = self.command.tokens.val();
        self.predictor.experts.next = self.command.experts.val();
        self.predictor.rt_vld.next = self.routes.rt_vld.val();
        self.predictor.rt_token.next = self.routes.rt_token.val();
        self.predictor.rt_slot.next = self.routes.rt_slot.val();
        self.predictor.rt_expert.next = self.routes.rt_expert.val();
        self.predictor.rt_done.next = self.routes.rt_done.val();
        self.predictor.wr_vld.next = self.regs.hit[20].val();
        self.predictor.wr_index.next = self.regs.stored[19].val().get_bits::<16>(0);
        self.predictor.wr_data.next = self.regs.hit_data.val().get_bits::<16>(0);
        self.predictor.pf_rdy.next = self.loader.pf_rdy.val();

        // Hidden vector.
        self.activation.act.next = self.command.act.val();
        self.activation.gated.next = self.command.gated.val();
        self.activation.in_vld.next = self.linear.out_vld.val() && self.linear.out_kind.val() == 1;
        self.activation.in_a.next = self.linear.out_a.val();
        self.activation.in_b.next = self.linear.out_b.val();
        self.activation.in_lsb_a.next = self.linear.out_lsb_a.val();
        self.activation.in_lsb_b.next = self.linear.out_lsb_b.val();
        self.activation.in_row.next = self.linear.out_row.val();
        self.activation.in_q.next = self.linear.out_q.val();
        self.activation.h_rdy.next = self.hstage.in_rdy.val();
        self.hstage.f.next = self.command.f.val();
        self.hstage.in_vld.next = self.activation.h_vld.val();
        self.hstage.in_row.next = self.activation.h_row.val();
        self.hstage.in_f32.next = self.activation.h_f32.val();
        self.hstage.in_q.next = self.activation.h_q.val();
        self.hstage.h_q.next = self.linear.h_q.val();
        self.hstage.h_blk.next = self.linear.h_blk.val();
        self.hstage.hmap_q.next = self.linear.hmap_q.val();
        self.hstage.hmap_chunk.next = self.linear.hmap_chunk.val();

        // Results.
        self.combine.go.next = self.command.go.val();
        self.combine.lsb_y.next = self.command.lsb_y.val();
        self.combine.tokens.next = self.command.tokens.val();
        self.combine.rows_y.next = self.command.rows_y.val();
        self.combine.keep_sums.next = self.command.keep_sums.val();
        self.combine.no_y.next = self.command.no_y.val();
        self.combine.rt_vld.next = self.routes.rt_vld.val();
        self.combine.rt_token.next = self.routes.rt_token.val();
        self.combine.rt_done.next = self.routes.rt_done.val();
        self.combine.in_vld.next =
            self.linear.out_vld.val() && self.linear.out_kind.val().get_bit(1);
        self.combine.in_acc.next = self.linear.out_a.val();
        self.combine.in_lsb.next = self.linear.out_lsb_a.val();
        self.combine.in_row.next = self.linear.out_row.val();
        self.combine.in_token.next = self.linear.out_token.val();
        self.combine.in_weight.next = self.linear.out_weight.val();
        self.combine.in_end.next = self.linear.out_end.val();
        self.combine.y_rdy.next = self.leaving.in_rdy.val() && self.command.wr_sel.val() == 0;
        self.writer.start.next = self.command.wr_start.val();
        self.writer.addr.next = self.command.wr_addr.val();
        self.writer.beats.next = self.command.wr_beats.val();
        self.writer_vld.next = self.combine.y_vld.val();
        self.writer_data.next = self.combine.y_data.val();
        if self.command.wr_sel.val() == 1 {
            self.writer_vld.next = self.routes.out_vld.val();
            self.writer_data.next = self.routes.out_data.val();
        }
        if self.command.wr_sel.val() == 2 {
            self.writer_vld.next = self.command.rec_vld.val();
            self.writer_data.next = self.command.rec_data.val();
        }
        self.leaving.in_vld.next = self.writer_vld.val();
        self.leaving.in_data.next = self.writer_data.val();
        self.leaving.out_rdy.next = self.writer.in_rdy.val();
        self.writer.in_vld.next = self.leaving.out_vld.val();
        self.writer.in_data.next = self.leaving.out_data.val();

        // Memory: sources 0 (command and x), 1 (loader), 2 (host) read; 0 (writer), 1 (host) write.
        self.read_mux.s0_ar_vld.next = self.reader.ar_vld.val();
        self.read_mux.s0_ar_addr.next = self.reader.ar_addr.val();
        self.read_mux.s0_ar_len.next = self.reader.ar_len.val();
        self.read_mux.s0_r_rdy.next = self.reader.r_rdy.val();
        self.reader.ar_rdy.next = self.read_mux.s0_ar_rdy.val();
        self.reader.r_vld.next = self.read_mux.s0_r_vld.val();
        self.reader.r_data.next = self.read_mux.s0_r_data.val();
        self.reader.r_resp.next = self.read_mux.s0_r_resp.val();
        self.reader.r_last.next = self.read_mux.s0_r_last.val();
        self.read_mux.s1_ar_vld.next = self.loader.ar_vld.val();
        self.read_mux.s1_ar_addr.next = self.loader.ar_addr.val();
        self.read_mux.s1_ar_len.next = self.loader.ar_len.val();
        self.read_mux.s1_r_rdy.next = self.loader.r_rdy.val();
        self.loader.ar_rdy.next = self.read_mux.s1_ar_rdy.val();
        self.loader.r_vld.next = self.read_mux.s1_r_vld.val();
        self.loader.r_data.next = self.read_mux.s1_r_data.val();
        self.loader.r_resp.next = self.read_mux.s1_r_resp.val();
        self.loader.r_last.next = self.read_mux.s1_r_last.val();
        self.read_mux.s2_ar_vld.next = self.s_axi_arvalid.val();
        self.m_axi_arvalid.next = self.read_mux.m_ar_vld.val();
        self.read_mux.s2_ar_id.next = self.s_axi_arid.val();
        self.m_axi_arid.next = self.read_mux.m_ar_id.val();
        self.read_mux.s2_ar_addr.next = self.s_axi_araddr.val();
        self.m_axi_araddr.next = self.read_mux.m_ar_addr.val();
        self.read_mux.s2_ar_len.next = self.s_axi_arlen.val();
        self.m_axi_arlen.next = self.read_mux.m_ar_len.val();
        self.read_mux.s2_ar_size.next = self.s_axi_arsize.val();
        self.m_axi_arsize.next = self.read_mux.m_ar_size.val();
        self.read_mux.s2_ar_burst.next = self.s_axi_arburst.val();
        self.m_axi_arburst.next = self.read_mux.m_ar_burst.val();
        self.read_mux.s2_r_rdy.next = self.s_axi_rready.val();
        self.m_axi_rready.next = self.read_mux.m_r_rdy.val();
        self.s_axi_arready.next = self.read_mux.s2_ar_rdy.val();
        self.read_mux.m_ar_rdy.next = self.m_axi_arready.val();
        self.s_axi_rvalid.next = self.read_mux.s2_r_vld.val();
        self.read_mux.m_r_vld.next = self.m_axi_rvalid.val();
        self.s_axi_rid.next = self.read_mux.s2_r_id.val();
        self.read_mux.m_r_id.next = self.m_axi_rid.val();
        self.s_axi_rdata.next = self.read_mux.s2_r_data.val();
        self.read_mux.m_r_data.next = self.m_axi_rdata.val();
        self.s_axi_rresp.next = self.read_mux.s2_r_resp.val();
        self.read_mux.m_r_resp.next = self.m_axi_rresp.val();
        self.s_axi_rlast.next = self.read_mux.s2_r_last.val();
        self.read_mux.m_r_last.next = self.m_axi_rlast.val();
        self.write_mux.s0_aw_vld.next = self.writer.aw_vld.val();
        self.write_mux.s0_aw_addr.next = self.writer.aw_addr.val();
        self.write_mux.s0_aw_len.next = self.writer.aw_len.val();
        self.write_mux.s0_w_vld.next = self.writer.w_vld.val();
        self.write_mux.s0_w_data.next = self.writer.w_data.val();
        self.write_mux.s0_w_last.next = self.writer.w_last.val();
        self.write_mux.s0_b_rdy.next = self.writer.b_rdy.val();
        self.writer.aw_rdy.next = self.write_mux.s0_aw_rdy.val();
        self.writer.w_rdy.next = self.write_mux.s0_w_rdy.val();
        self.writer.b_vld.next = self.write_mux.s0_b_vld.val();
        self.writer.b_resp.next = self.write_mux.s0_b_resp.val();
        self.write_mux.s1_aw_vld.next = self.s_axi_awvalid.val();
        self.m_axi_awvalid.next = self.write_mux.m_aw_vld.val();
        self.write_mux.s1_aw_id.next = self.s_axi_awid.val();
        self.m_axi_awid.next = self.write_mux.m_aw_id.val();
        self.write_mux.s1_aw_addr.next = self.s_axi_awaddr.val();
        self.m_axi_awaddr.next = self.write_mux.m_aw_addr.val();
        self.write_mux.s1_aw_len.next = self.s_axi_awlen.val();
        self.m_axi_awlen.next = self.write_mux.m_aw_len.val();
        self.write_mux.s1_aw_size.next = self.s_axi_awsize.val();
        self.m_axi_awsize.next = self.write_mux.m_aw_size.val();
        self.write_mux.s1_aw_burst.next = self.s_axi_awburst.val();
        self.m_axi_awburst.next = self.write_mux.m_aw_burst.val();
        self.write_mux.s1_w_vld.next = self.s_axi_wvalid.val();
        self.m_axi_wvalid.next = self.write_mux.m_w_vld.val();
        self.write_mux.s1_w_data.next = self.s_axi_wdata.val();
        self.m_axi_wdata.next = self.write_mux.m_w_data.val();
        self.write_mux.s1_w_strb.next = self.s_axi_wstrb.val();
        self.m_axi_wstrb.next = self.write_mux.m_w_strb.val();
        self.write_mux.s1_w_last.next = self.s_axi_wlast.val();
        self.m_axi_wlast.next = self.write_mux.m_w_last.val();
        self.write_mux.s1_b_rdy.next = self.s_axi_bready.val();
        self.m_axi_bready.next = self.write_mux.m_b_rdy.val();
        self.s_axi_awready.next = self.write_mux.s1_aw_rdy.val();
        self.write_mux.m_aw_rdy.next = self.m_axi_awready.val();
        self.s_axi_wready.next = self.write_mux.s1_w_rdy.val();
        self.write_mux.m_w_rdy.next = self.m_axi_wready.val();
        self.s_axi_bvalid.next = self.write_mux.s1_b_vld.val();
        self.write_mux.m_b_vld.next = self.m_axi_bvalid.val();
        self.s_axi_bid.next = self.write_mux.s1_b_id.val();
        self.write_mux.m_b_id.next = self.m_axi_bid.val();
        self.s_axi_bresp.next = self.write_mux.s1_b_resp.val();
        self.write_mux.m_b_resp.next = self.m_axi_bresp.val();

        // Counters: one cause per cycle.
        self.runs.d.next = !self.command.idle.val();
        self.computes.d.next = self.linear.active.val();
        self.host_blocks.d.next = self.read_mux.host_blocks.val();
        self.memory_wait.d.next = self.command.wait_memory.val()
            || self.xstore.waiting.val()
            || (self.leaving.out_vld.val()
                && !self.writer.in_rdy.val()
                && !self.command.idle.val())
            || (self.linear.wait_window.val() && self.loader.busy.val());
        self.slot_wait.d.next = self.loader.wait_slot.val();
        self.works.next = self.runs.q.val() && !self.computes.q.val();
        for i in 0..7 {
            self.causes[i].clock.next = self.clk.val();
        }
        self.causes[0].d.next = true;
        self.causes[1].d.next = self.runs.q.val() && self.computes.q.val();
        self.causes[2].d.next =
            self.works.val() && !self.host_blocks.q.val() && self.memory_wait.q.val();
        self.causes[3].d.next = self.works.val() && self.host_blocks.q.val();
        self.causes[4].d.next = self.works.val()
            && !self.host_blocks.q.val()
            && !self.memory_wait.q.val()
            && self.slot_wait.q.val();
        self.causes[5].d.next = self.works.val()
            && !self.host_blocks.q.val()
            && !self.memory_wait.q.val()
            && !self.slot_wait.q.val();
        self.causes[6].d.next = !self.runs.q.val();
        self.counters.freeze.next = self.regs.stored[8].val().get_bit(2);
        self.fetched.next = self.reader.out_vld.val() && self.arriving.in_rdy.val();
        self.written.next = self.writer.w_vld.val() && self.write_mux.s0_w_rdy.val();
        self.beats_in.next = bit_cast::<16, 1>(self.fetched.val().into())
            + bit_cast::<16, 1>(self.loader.beat.val().into());
        for i in 0..10 {
            self.adds[i].clock.next = self.clk.val();
        }
        self.adds[0].d.next = self.linear.macs.val();
        self.adds[1].d.next = self.beats_in.val();
        self.adds[2].d.next = bit_cast::<16, 1>(self.written.val().into());
        self.adds[3].d.next = bit_cast::<16, 2>(self.activation.sat.val())
            + bit_cast::<16, 3>(self.combine.sat.val());
        self.adds[4].d.next = self.linear.skipped.val();
        self.adds[5].d.next = bit_cast::<16, 1>(self.issue.uses.val().into());
        self.adds[6].d.next = bit_cast::<16, 1>(self.loader.hit.val().into());
        self.adds[7].d.next = bit_cast::<16, 3>(self.loader.aborts.val());
        self.adds[8].d.next = bit_cast::<16, 1>(self.loader.pf_beat.val().into());
        self.adds[9].d.next = 0.into();
        if self.loader.hit.val() {
            self.adds[9].d.next = self.loader.used_beats.val();
        }
        for i in 0..7 {
            self.counters.add[i].next = unsigned_cast_zx::<16, 1>(self.causes[i].q.val().into());
            if self.unit_rst.q.val() {
                self.causes[i].d.next = false;
            }
        }
        if self.unit_rst.q.val() {
            self.runs.d.next = false;
        }
        for i in 7..self._counters {
            self.counters.add[i].next = self.adds[i - 7].q.val();
        }

        // Taps: what the scoreboard compares with `golden`; no logic hangs on them.
        self.tap_xblock_valid.next = self.xstore.blk_vld.val();
        self.tap_xblock_data.next = bit_cast::<288, 8>(self.xstore.blk_token.val())
            | (bit_cast::<288, 16>(self.xstore.blk_index.val()) << 8)
            | (bit_cast::<288, 8>(self.xstore.blk_b.val()) << 24)
            | (bit_cast::<288, 256>(self.xstore.blk_q8.val()) << 32);
        self.tap_logit_valid.next = self.router.logit_vld.val();
        self.tap_logit_data.next = bit_cast::<80, 8>(self.router.logit_token.val())
            | (bit_cast::<80, 8>(self.router.logit_expert.val()) << 8)
            | (bit_cast::<80, 64>(unsigned_cast(bit_cast_sx::<64, 52>(signed_cast(
                self.router.logit_value.val(),
            )))) << 16);
        self.tap_route_valid.next = self.routes.rt_vld.val();
        self.tap_route_data.next = bit_cast::<48, 8>(self.routes.rt_token.val())
            | (bit_cast::<48, 3>(self.routes.rt_slot.val()) << 8)
            | (bit_cast::<48, 8>(self.routes.rt_expert.val()) << 16)
            | (bit_cast::<48, 20>(self.routes.rt_weight.val()) << 24);
        self.tap_acc_valid.next = self.linear.out_vld.val() && self.linear.out_rdy.val();
        self.tap_acc_data.next = bit_cast::<176, 2>(self.linear.out_kind.val())
            | (bit_cast::<176, 8>(self.linear.out_expert.val()) << 8)
            | (bit_cast::<176, 1>(self.linear.out_pair.val().into()) << 16)
            | (bit_cast::<176, 1>(self.linear.out_limb.val().into()) << 24)
            | (bit_cast::<176, 16>(self.linear.out_row.val()) << 32)
            | (bit_cast::<176, 8>(self.linear.out_q.val()) << 48)
            | (bit_cast::<176, 8>(self.linear.out_token.val()) << 56)
            | (bit_cast::<176, 16>(self.linear.out_lsb_a.val()) << 64)
            | (bit_cast::<176, 16>(self.linear.out_lsb_b.val()) << 80)
            | (bit_cast::<176, 40>(unsigned_cast(bit_cast_sx::<40, 36>(signed_cast(
                self.linear.out_a.val(),
            )))) << 96)
            | (bit_cast::<176, 40>(unsigned_cast(bit_cast_sx::<40, 36>(signed_cast(
                self.linear.out_b.val(),
            )))) << 136);
        self.tap_h_valid.next = self.activation.h_vld.val() && self.hstage.in_rdy.val();
        self.tap_h_data.next = bit_cast::<56, 8>(self.activation.h_q.val())
            | (bit_cast::<56, 16>(self.activation.h_row.val()) << 8)
            | (bit_cast::<56, 32>(self.activation.h_f32.val()) << 24);
        self.tap_hblock_valid.next = self.hstage.blk_vld.val();
        self.tap_hblock_data.next = bit_cast::<288, 8>(self.hstage.blk_q.val())
            | (bit_cast::<288, 16>(self.hstage.blk_index.val()) << 8)
            | (bit_cast::<288, 8>(self.hstage.blk_b.val()) << 24)
            | (bit_cast::<288, 256>(self.hstage.blk_q8.val()) << 32);
        self.tap_y_valid.next = self.combine.y_vld.val() && self.combine.y_rdy.val();
        self.tap_y_data.next = self.combine.y_data.val();
    }
}
