//! The first image of a board: engine, card memory in block RAM, and the serial console for the engine's registers.
//!
//! There is no PCI Express in it: the port for the host's bytes (`s_axi`) is idle, so card memory holds what the engine itself writes, and
//! `led` shows the engine's interrupt.

use crate::{console::Console, engine::Engine, memory::Memory, uart::Uart};
use abi::{serial, Config};
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Image {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: power-on.
    pub rst: Signal<In, Bit>,
    /// The serial wire from the host.
    pub rx: Signal<In, Bit>,
    /// The serial wire to the host.
    pub tx: Signal<Out, Bit>,
    /// An interrupt of the engine is pending.
    pub led: Signal<Out, Bit>,
    engine: Engine,
    memory: Memory,
    console: Console,
    uart: Uart,
}

impl Image {
    /// The image of a configuration, whose clock has `clock_hz`.
    ///
    /// # Errors
    /// A configuration that cannot be built, a memory that is too large, a clock that makes no serial rate.
    pub fn new(config: &Config, clock_hz: u32) -> Result<Self, String> {
        let cycles = serial::cycles_per_bit(clock_hz)
            .filter(|cycles| *cycles <= 1 << 16)
            .ok_or_else(|| format!("a clock of {clock_hz} Hz makes no {} baud", serial::BAUD))?;
        Ok(Self {
            clk: Default::default(),
            rst: Default::default(),
            rx: Default::default(),
            tx: Default::default(),
            led: Default::default(),
            engine: Engine::new(config)?,
            memory: Memory::new(config)?,
            console: Console::new(serial::TIMEOUT_CYCLES),
            uart: Uart::new(cycles),
        })
    }
}

impl Logic for Image {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("image");
        self.engine.clk.next = self.clk.val();
        self.engine.rst.next = self.rst.val();
        self.memory.clk.next = self.clk.val();
        self.memory.rst.next = self.rst.val();
        self.console.clk.next = self.clk.val();
        self.console.rst.next = self.rst.val();
        self.uart.clk.next = self.clk.val();
        self.uart.rst.next = self.rst.val();
        self.led.next = self.engine.irq.val();

        // The wires and the console.
        self.uart.rx.next = self.rx.val();
        self.tx.next = self.uart.tx.val();
        self.console.in_vld.next = self.uart.out_vld.val();
        self.console.in_data.next = self.uart.out_data.val();
        self.uart.in_vld.next = self.console.out_vld.val();
        self.uart.in_data.next = self.console.out_data.val();
        self.console.out_rdy.next = self.uart.in_rdy.val();

        // The console and the registers.
        self.engine.s_axil_awaddr.next = self.console.awaddr.val();
        self.engine.s_axil_awvalid.next = self.console.awvalid.val();
        self.engine.s_axil_wdata.next = self.console.wdata.val();
        self.engine.s_axil_wvalid.next = self.console.wvalid.val();
        self.engine.s_axil_bready.next = self.console.bready.val();
        self.engine.s_axil_araddr.next = self.console.araddr.val();
        self.engine.s_axil_arvalid.next = self.console.arvalid.val();
        self.engine.s_axil_rready.next = self.console.rready.val();
        self.engine.s_axil_wstrb.next = 15.into();
        self.console.awready.next = self.engine.s_axil_awready.val();
        self.console.wready.next = self.engine.s_axil_wready.val();
        self.console.bvalid.next = self.engine.s_axil_bvalid.val();
        self.console.arready.next = self.engine.s_axil_arready.val();
        self.console.rdata.next = self.engine.s_axil_rdata.val();
        self.console.rvalid.next = self.engine.s_axil_rvalid.val();

        // Nobody is at the port for the host's bytes.
        self.engine.s_axi_awid.next = 0.into();
        self.engine.s_axi_awaddr.next = 0.into();
        self.engine.s_axi_awlen.next = 0.into();
        self.engine.s_axi_awsize.next = 0.into();
        self.engine.s_axi_awburst.next = 0.into();
        self.engine.s_axi_wdata.next = 0.into();
        self.engine.s_axi_wstrb.next = 0.into();
        self.engine.s_axi_arid.next = 0.into();
        self.engine.s_axi_araddr.next = 0.into();
        self.engine.s_axi_arlen.next = 0.into();
        self.engine.s_axi_arsize.next = 0.into();
        self.engine.s_axi_arburst.next = 0.into();
        self.engine.s_axi_awvalid.next = false;
        self.engine.s_axi_wlast.next = false;
        self.engine.s_axi_wvalid.next = false;
        self.engine.s_axi_arvalid.next = false;
        self.engine.s_axi_bready.next = true;
        self.engine.s_axi_rready.next = true;

        // The engine and its memory.
        self.memory.awid.next = self.engine.m_axi_awid.val();
        self.memory.awaddr.next = self.engine.m_axi_awaddr.val();
        self.memory.awvalid.next = self.engine.m_axi_awvalid.val();
        self.memory.wdata.next = self.engine.m_axi_wdata.val();
        self.memory.wstrb.next = self.engine.m_axi_wstrb.val();
        self.memory.wlast.next = self.engine.m_axi_wlast.val();
        self.memory.wvalid.next = self.engine.m_axi_wvalid.val();
        self.memory.bready.next = self.engine.m_axi_bready.val();
        self.memory.arid.next = self.engine.m_axi_arid.val();
        self.memory.araddr.next = self.engine.m_axi_araddr.val();
        self.memory.arlen.next = self.engine.m_axi_arlen.val();
        self.memory.arvalid.next = self.engine.m_axi_arvalid.val();
        self.memory.rready.next = self.engine.m_axi_rready.val();
        self.engine.m_axi_awready.next = self.memory.awready.val();
        self.engine.m_axi_wready.next = self.memory.wready.val();
        self.engine.m_axi_bid.next = self.memory.bid.val();
        self.engine.m_axi_bresp.next = self.memory.bresp.val();
        self.engine.m_axi_bvalid.next = self.memory.bvalid.val();
        self.engine.m_axi_arready.next = self.memory.arready.val();
        self.engine.m_axi_rid.next = self.memory.rid.val();
        self.engine.m_axi_rdata.next = self.memory.rdata.val();
        self.engine.m_axi_rresp.next = self.memory.rresp.val();
        self.engine.m_axi_rlast.next = self.memory.rlast.val();
        self.engine.m_axi_rvalid.next = self.memory.rvalid.val();
    }
}
