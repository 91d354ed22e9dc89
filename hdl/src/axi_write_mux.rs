//! Two write masters on one AXI4 write channel.
//!
//! What: round robin per burst. The winner's address goes into a register and its source into a queue of four; data is taken in the
//! queue's order, so bursts do not mix and the next address may be out before the last beat of the burst before it. Answers are
//! routed by ID. Cost: docs/utilisation.md. Latency: 1 cycle for addresses, none for data and answers. Bottleneck: one beat per
//! cycle, without gaps between bursts.
//!
//! Data does not wait until its address is taken (a memory may wait for the data first). A source that raises an address must follow
//! with its data: until then it holds the channel.

use leaf::prelude::*;

/// See the module's page. Sources: 0 the engine's writer (ID bits 5..4 are 3), 1 the host (2, as in `axi_read_mux`).
#[derive(LogicBlock, Default)]
pub struct AxiWriteMux {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Source 0: write address.
    pub s0_aw_vld: Signal<In, Bit>,
    /// Address taken.
    pub s0_aw_rdy: Signal<Out, Bit>,
    /// Byte address.
    pub s0_aw_addr: Signal<In, Bits<40>>,
    /// Beats - 1.
    pub s0_aw_len: Signal<In, Bits<8>>,
    /// Source 0: write data, all bytes enabled.
    pub s0_w_vld: Signal<In, Bit>,
    /// Data taken.
    pub s0_w_rdy: Signal<Out, Bit>,
    /// One beat.
    pub s0_w_data: Signal<In, Bits<128>>,
    /// Last beat of its burst.
    pub s0_w_last: Signal<In, Bit>,
    /// Source 0: answer.
    pub s0_b_vld: Signal<Out, Bit>,
    /// Answer taken.
    pub s0_b_rdy: Signal<In, Bit>,
    /// 0: OKAY.
    pub s0_b_resp: Signal<Out, Bits<2>>,
    /// Source 1: write address.
    pub s1_aw_vld: Signal<In, Bit>,
    /// Address taken.
    pub s1_aw_rdy: Signal<Out, Bit>,
    /// The host's ID.
    pub s1_aw_id: Signal<In, Bits<4>>,
    /// Byte address.
    pub s1_aw_addr: Signal<In, Bits<40>>,
    /// Beats - 1.
    pub s1_aw_len: Signal<In, Bits<8>>,
    /// log2 of the bytes per beat.
    pub s1_aw_size: Signal<In, Bits<3>>,
    /// AXI burst type.
    pub s1_aw_burst: Signal<In, Bits<2>>,
    /// Source 1: write data.
    pub s1_w_vld: Signal<In, Bit>,
    /// Data taken.
    pub s1_w_rdy: Signal<Out, Bit>,
    /// One beat.
    pub s1_w_data: Signal<In, Bits<128>>,
    /// Byte enables.
    pub s1_w_strb: Signal<In, Bits<16>>,
    /// Last beat of its burst.
    pub s1_w_last: Signal<In, Bit>,
    /// Source 1: answer.
    pub s1_b_vld: Signal<Out, Bit>,
    /// Answer taken.
    pub s1_b_rdy: Signal<In, Bit>,
    /// The host's ID.
    pub s1_b_id: Signal<Out, Bits<4>>,
    /// 0: OKAY.
    pub s1_b_resp: Signal<Out, Bits<2>>,
    /// Memory: write address.
    pub m_aw_vld: Signal<Out, Bit>,
    /// Address taken.
    pub m_aw_rdy: Signal<In, Bit>,
    /// Source code (2 bits), then the source's ID (4 bits).
    pub m_aw_id: Signal<Out, Bits<6>>,
    /// Byte address.
    pub m_aw_addr: Signal<Out, Bits<40>>,
    /// Beats - 1.
    pub m_aw_len: Signal<Out, Bits<8>>,
    /// log2 of the bytes per beat.
    pub m_aw_size: Signal<Out, Bits<3>>,
    /// AXI burst type.
    pub m_aw_burst: Signal<Out, Bits<2>>,
    /// Memory: write data.
    pub m_w_vld: Signal<Out, Bit>,
    /// Data taken.
    pub m_w_rdy: Signal<In, Bit>,
    /// One beat.
    pub m_w_data: Signal<Out, Bits<128>>,
    /// Byte enables.
    pub m_w_strb: Signal<Out, Bits<16>>,
    /// Last beat of its burst.
    pub m_w_last: Signal<Out, Bit>,
    /// Memory: answer.
    pub m_b_vld: Signal<In, Bit>,
    /// Answer taken.
    pub m_b_rdy: Signal<Out, Bit>,
    /// Source code, then the source's ID.
    pub m_b_id: Signal<In, Bits<6>>,
    /// 0: OKAY.
    pub m_b_resp: Signal<In, Bits<2>>,
    full: Dff<Bit>,
    id: Dff<Bits<6>>,
    addr: Dff<Bits<40>>,
    len: Dff<Bits<8>>,
    size: Dff<Bits<3>>,
    burst: Dff<Bits<2>>,
    last: Dff<Bit>,
    order: Dff<Bits<4>>,
    queued: Dff<Bits<3>>,
    space: Signal<Local, Bit>,
    take0: Signal<Local, Bit>,
    take1: Signal<Local, Bit>,
    head: Signal<Local, Bit>,
    sending: Signal<Local, Bit>,
    ends: Signal<Local, Bit>,
    place: Signal<Local, Bits<3>>,
    rest: Signal<Local, Bits<4>>,
    to_host: Signal<Local, Bit>,
}

impl Logic for AxiWriteMux {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("axi_write_mux");
        dff_setup!(self, clk, full, id, addr, len, size, burst, last, order, queued);

        // Who is next: not the last winner, if both ask.
        self.space.next = (!self.full.q.val() || self.m_aw_rdy.val()) && self.queued.q.val() != 4;
        self.take0.next = self.s0_aw_vld.val()
            && self.space.val()
            && (self.last.q.val() || !self.s1_aw_vld.val());
        self.take1.next = self.s1_aw_vld.val()
            && self.space.val()
            && !(self.last.q.val() && self.s0_aw_vld.val());
        self.s0_aw_rdy.next = self.take0.val();
        self.s1_aw_rdy.next = self.take1.val();

        // The address register.
        if self.m_aw_rdy.val() {
            self.full.d.next = false;
        }
        if self.take0.val() {
            self.full.d.next = true;
            self.last.d.next = false;
            self.id.d.next = 48.into();
            self.addr.d.next = self.s0_aw_addr.val();
            self.len.d.next = self.s0_aw_len.val();
            self.size.d.next = 4.into();
            self.burst.d.next = 1.into();
        }
        if self.take1.val() {
            self.full.d.next = true;
            self.last.d.next = true;
            self.id.d.next = bit_cast::<6, 4>(self.s1_aw_id.val()) | bits::<6>(32);
            self.addr.d.next = self.s1_aw_addr.val();
            self.len.d.next = self.s1_aw_len.val();
            self.size.d.next = self.s1_aw_size.val();
            self.burst.d.next = self.s1_aw_burst.val();
        }
        self.m_aw_vld.next = self.full.q.val();
        self.m_aw_id.next = self.id.q.val();
        self.m_aw_addr.next = self.addr.q.val();
        self.m_aw_len.next = self.len.q.val();
        self.m_aw_size.next = self.size.q.val();
        self.m_aw_burst.next = self.burst.q.val();

        // Data of the burst at the head of the queue.
        self.head.next = self.order.q.val().get_bit(0);
        self.sending.next = self.queued.q.val() != 0;
        self.s0_w_rdy.next = self.sending.val() && !self.head.val() && self.m_w_rdy.val();
        self.s1_w_rdy.next = self.sending.val() && self.head.val() && self.m_w_rdy.val();
        self.m_w_vld.next = self.sending.val() && self.s0_w_vld.val();
        self.m_w_data.next = self.s0_w_data.val();
        self.m_w_strb.next = 0xFFFF.into();
        self.m_w_last.next = self.s0_w_last.val();
        self.ends.next =
            self.sending.val() && self.s0_w_vld.val() && self.s0_w_last.val() && self.m_w_rdy.val();
        if self.head.val() {
            self.m_w_vld.next = self.sending.val() && self.s1_w_vld.val();
            self.m_w_data.next = self.s1_w_data.val();
            self.m_w_strb.next = self.s1_w_strb.val();
            self.m_w_last.next = self.s1_w_last.val();
            self.ends.next = self.sending.val()
                && self.s1_w_vld.val()
                && self.s1_w_last.val()
                && self.m_w_rdy.val();
        }

        // The queue: bit 0 is the head, a set bit means the host; places behind the last are zero.
        self.place.next = self.queued.q.val();
        self.rest.next = self.order.q.val();
        if self.ends.val() {
            self.place.next = self.queued.q.val() - 1;
            self.rest.next = self.order.q.val() >> 1;
        }
        self.order.d.next = self.rest.val();
        self.queued.d.next = self.place.val();
        if self.take0.val() {
            self.queued.d.next = self.place.val() + 1;
        }
        if self.take1.val() {
            self.queued.d.next = self.place.val() + 1;
            self.order.d.next = self.rest.val() | (bits::<4>(1) << self.place.val());
        }

        // Answers back to their source.
        self.to_host.next = self.m_b_id.val().get_bits::<2>(4) == 2;
        self.s0_b_vld.next = self.m_b_vld.val() && !self.to_host.val();
        self.s0_b_resp.next = self.m_b_resp.val();
        self.s1_b_vld.next = self.m_b_vld.val() && self.to_host.val();
        self.s1_b_id.next = self.m_b_id.val().get_bits::<4>(0);
        self.s1_b_resp.next = self.m_b_resp.val();
        self.m_b_rdy.next = self.s0_b_rdy.val();
        if self.to_host.val() {
            self.m_b_rdy.next = self.s1_b_rdy.val();
        }

        if self.rst.val() {
            self.full.d.next = false;
            self.last.d.next = false;
            self.order.d.next = 0.into();
            self.queued.d.next = 0.into();
        }
    }
}
