//! Three read masters on one AXI4 read channel.
//!
//! What: round robin per burst; the winner's address goes into a register, so `m_ar_vld` never drops and its payload is stable while it is high.
//! Data is routed back by the two upper ID bits, in whatever order the memory interleaves the sources. Cost: docs/utilisation.md.
//! Latency: 1 cycle for addresses, none for data. Bottleneck: one address per cycle.
//!
//! `host_blocks` tells when the host stands in the engine's way, for the cycle counters.

use leaf::prelude::*;

/// See the module's page. Sources: 0 command and x, 1 loader, 2 host. Sources 0 and 1 read 16-byte beats, incrementing.
/// Together they have at most 63 bursts under way (an `axi_reader` has at most 8).
#[derive(LogicBlock, Default)]
pub struct AxiReadMux {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Source 0: read address.
    pub s0_ar_vld: Signal<In, Bit>,
    /// Address taken.
    pub s0_ar_rdy: Signal<Out, Bit>,
    /// Byte address.
    pub s0_ar_addr: Signal<In, Bits<40>>,
    /// Beats - 1.
    pub s0_ar_len: Signal<In, Bits<8>>,
    /// Source 0: read data.
    pub s0_r_vld: Signal<Out, Bit>,
    /// Data taken.
    pub s0_r_rdy: Signal<In, Bit>,
    /// One beat.
    pub s0_r_data: Signal<Out, Bits<128>>,
    /// 0: OKAY.
    pub s0_r_resp: Signal<Out, Bits<2>>,
    /// Last beat of its burst.
    pub s0_r_last: Signal<Out, Bit>,
    /// Source 1: read address.
    pub s1_ar_vld: Signal<In, Bit>,
    /// Address taken.
    pub s1_ar_rdy: Signal<Out, Bit>,
    /// Byte address.
    pub s1_ar_addr: Signal<In, Bits<40>>,
    /// Beats - 1.
    pub s1_ar_len: Signal<In, Bits<8>>,
    /// Source 1: read data.
    pub s1_r_vld: Signal<Out, Bit>,
    /// Data taken.
    pub s1_r_rdy: Signal<In, Bit>,
    /// One beat.
    pub s1_r_data: Signal<Out, Bits<128>>,
    /// 0: OKAY.
    pub s1_r_resp: Signal<Out, Bits<2>>,
    /// Last beat of its burst.
    pub s1_r_last: Signal<Out, Bit>,
    /// Source 2: read address.
    pub s2_ar_vld: Signal<In, Bit>,
    /// Address taken.
    pub s2_ar_rdy: Signal<Out, Bit>,
    /// The host's ID.
    pub s2_ar_id: Signal<In, Bits<4>>,
    /// Byte address.
    pub s2_ar_addr: Signal<In, Bits<40>>,
    /// Beats - 1.
    pub s2_ar_len: Signal<In, Bits<8>>,
    /// log2 of the bytes per beat.
    pub s2_ar_size: Signal<In, Bits<3>>,
    /// AXI burst type.
    pub s2_ar_burst: Signal<In, Bits<2>>,
    /// Source 2: read data.
    pub s2_r_vld: Signal<Out, Bit>,
    /// Data taken.
    pub s2_r_rdy: Signal<In, Bit>,
    /// The host's ID.
    pub s2_r_id: Signal<Out, Bits<4>>,
    /// One beat.
    pub s2_r_data: Signal<Out, Bits<128>>,
    /// 0: OKAY.
    pub s2_r_resp: Signal<Out, Bits<2>>,
    /// Last beat of its burst.
    pub s2_r_last: Signal<Out, Bit>,
    /// Memory: read address.
    pub m_ar_vld: Signal<Out, Bit>,
    /// Address taken.
    pub m_ar_rdy: Signal<In, Bit>,
    /// Source (2 bits), then the source's ID (4 bits).
    pub m_ar_id: Signal<Out, Bits<6>>,
    /// Byte address.
    pub m_ar_addr: Signal<Out, Bits<40>>,
    /// Beats - 1.
    pub m_ar_len: Signal<Out, Bits<8>>,
    /// log2 of the bytes per beat.
    pub m_ar_size: Signal<Out, Bits<3>>,
    /// AXI burst type.
    pub m_ar_burst: Signal<Out, Bits<2>>,
    /// Memory: read data.
    pub m_r_vld: Signal<In, Bit>,
    /// Data taken.
    pub m_r_rdy: Signal<Out, Bit>,
    /// Source, then the source's ID.
    pub m_r_id: Signal<In, Bits<6>>,
    /// One beat.
    pub m_r_data: Signal<In, Bits<128>>,
    /// 0: OKAY.
    pub m_r_resp: Signal<In, Bits<2>>,
    /// Last beat of its burst.
    pub m_r_last: Signal<In, Bit>,
    /// The engine has an address that the host's keeps waiting, or the host's data comes while the engine waits for its own.
    pub host_blocks: Signal<Out, Bit>,
    full: Dff<Bit>,
    id: Dff<Bits<6>>,
    addr: Dff<Bits<40>>,
    len: Dff<Bits<8>>,
    size: Dff<Bits<3>>,
    burst: Dff<Bits<2>>,
    last: Dff<Bits<2>>,
    engine_bursts: Dff<Bits<6>>,
    first0: Signal<Local, Bit>,
    first1: Signal<Local, Bit>,
    take0: Signal<Local, Bit>,
    take1: Signal<Local, Bit>,
    take2: Signal<Local, Bit>,
    space: Signal<Local, Bit>,
    source: Signal<Local, Bits<2>>,
    engine_ends: Signal<Local, Bit>,
}

impl Logic for AxiReadMux {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("axi_read_mux");
        dff_setup!(
            self,
            clk,
            full,
            id,
            addr,
            len,
            size,
            burst,
            last,
            engine_bursts
        );

        // Who is next: the sources after the last winner first. Room comes last: it enables the register and is no part of the choice.
        self.space.next = !self.full.q.val() || self.m_ar_rdy.val();
        self.first0.next = self.s0_ar_vld.val()
            && (self.last.q.val() == 2
                || (!self.s2_ar_vld.val() && (self.last.q.val() == 1 || !self.s1_ar_vld.val())));
        self.first1.next = self.s1_ar_vld.val()
            && (self.last.q.val() == 0
                || (!self.s0_ar_vld.val() && (self.last.q.val() == 2 || !self.s2_ar_vld.val())));
        self.take0.next = self.first0.val() && self.space.val();
        self.take1.next = self.first1.val() && self.space.val();
        self.take2.next =
            self.s2_ar_vld.val() && !self.first0.val() && !self.first1.val() && self.space.val();
        self.s0_ar_rdy.next = self.take0.val();
        self.s1_ar_rdy.next = self.take1.val();
        self.s2_ar_rdy.next = self.take2.val();

        // The address register.
        if self.space.val() {
            self.full.d.next = self.s0_ar_vld.val() || self.s1_ar_vld.val() || self.s2_ar_vld.val();
            self.id.d.next = bit_cast::<6, 4>(self.s2_ar_id.val()) | bits::<6>(32);
            self.addr.d.next = self.s2_ar_addr.val();
            self.len.d.next = self.s2_ar_len.val();
            self.size.d.next = self.s2_ar_size.val();
            self.burst.d.next = self.s2_ar_burst.val();
            if self.s2_ar_vld.val() {
                self.last.d.next = 2.into();
            }
            if self.first0.val() {
                self.last.d.next = 0.into();
                self.id.d.next = 0.into();
                self.addr.d.next = self.s0_ar_addr.val();
                self.len.d.next = self.s0_ar_len.val();
                self.size.d.next = 4.into();
                self.burst.d.next = 1.into();
            }
            if self.first1.val() {
                self.last.d.next = 1.into();
                self.id.d.next = 16.into();
                self.addr.d.next = self.s1_ar_addr.val();
                self.len.d.next = self.s1_ar_len.val();
                self.size.d.next = 4.into();
                self.burst.d.next = 1.into();
            }
        }
        self.m_ar_vld.next = self.full.q.val();
        self.m_ar_id.next = self.id.q.val();
        self.m_ar_addr.next = self.addr.q.val();
        self.m_ar_len.next = self.len.q.val();
        self.m_ar_size.next = self.size.q.val();
        self.m_ar_burst.next = self.burst.q.val();

        // Data back to its source.
        self.source.next = self.m_r_id.val().get_bits::<2>(4);
        self.s0_r_vld.next = self.m_r_vld.val() && self.source.val() == 0;
        self.s0_r_data.next = self.m_r_data.val();
        self.s0_r_resp.next = self.m_r_resp.val();
        self.s0_r_last.next = self.m_r_last.val();
        self.s1_r_vld.next = self.m_r_vld.val() && self.source.val() == 1;
        self.s1_r_data.next = self.m_r_data.val();
        self.s1_r_resp.next = self.m_r_resp.val();
        self.s1_r_last.next = self.m_r_last.val();
        self.s2_r_vld.next = self.m_r_vld.val() && self.source.val() == 2;
        self.s2_r_id.next = self.m_r_id.val().get_bits::<4>(0);
        self.s2_r_data.next = self.m_r_data.val();
        self.s2_r_resp.next = self.m_r_resp.val();
        self.s2_r_last.next = self.m_r_last.val();
        self.m_r_rdy.next = self.s2_r_rdy.val();
        if self.source.val() == 0 {
            self.m_r_rdy.next = self.s0_r_rdy.val();
        }
        if self.source.val() == 1 {
            self.m_r_rdy.next = self.s1_r_rdy.val();
        }

        // Bursts of sources 0 and 1 whose data is not complete.
        self.engine_ends.next = self.m_r_vld.val()
            && self.m_r_last.val()
            && ((self.source.val() == 0 && self.s0_r_rdy.val())
                || (self.source.val() == 1 && self.s1_r_rdy.val()));
        if (self.take0.val() || self.take1.val()) && !self.engine_ends.val() {
            self.engine_bursts.d.next = self.engine_bursts.q.val() + 1;
        }
        if !self.take0.val() && !self.take1.val() && self.engine_ends.val() {
            self.engine_bursts.d.next = self.engine_bursts.q.val() - 1;
        }
        self.host_blocks.next = ((self.s0_ar_vld.val() || self.s1_ar_vld.val())
            && (self.take2.val() || (self.id.q.val().get_bit(5) && !self.space.val())))
            || (self.m_r_vld.val() && self.source.val() == 2 && self.engine_bursts.q.val() != 0);

        if self.rst.val() {
            self.full.d.next = false;
            self.last.d.next = 2.into();
            self.engine_bursts.d.next = 0.into();
        }
    }
}
