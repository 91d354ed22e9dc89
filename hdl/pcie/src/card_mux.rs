//! The DMA and the window onto card memory on one AXI4 bus.
//!
//! What: addresses of both take turns and go into a register; the ID says whose they are, so answers find their way back in whatever
//! order they come. Data of writes follows the order of the addresses, kept for four bursts. Cost (ECP5): 290 LUTs, 110 flip-flops.
//! Latency: 1 cycle for addresses, none for data and answers. Bottleneck: one beat per cycle. Hazard: who raises an address must follow
//! with its data; until then the channel waits.

use leaf::prelude::*;

/// See the module's page. Source 0: the window, single beats; source 1: the DMA.
#[derive(LogicBlock, Default)]
pub struct CardMux {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: power-on.
    pub rst: Signal<In, Bit>,
    /// Window: write address.
    pub s0_aw_vld: Signal<In, Bit>,
    /// Address taken.
    pub s0_aw_rdy: Signal<Out, Bit>,
    /// Byte address.
    pub s0_aw_addr: Signal<In, Bits<40>>,
    /// Write data.
    pub s0_w_vld: Signal<In, Bit>,
    /// Data taken.
    pub s0_w_rdy: Signal<Out, Bit>,
    /// One beat.
    pub s0_w_data: Signal<In, Bits<128>>,
    /// Byte enables.
    pub s0_w_strb: Signal<In, Bits<16>>,
    /// Write answer.
    pub s0_b_vld: Signal<Out, Bit>,
    /// Answer taken.
    pub s0_b_rdy: Signal<In, Bit>,
    /// Read address.
    pub s0_ar_vld: Signal<In, Bit>,
    /// Address taken.
    pub s0_ar_rdy: Signal<Out, Bit>,
    /// Byte address.
    pub s0_ar_addr: Signal<In, Bits<40>>,
    /// Read data.
    pub s0_r_vld: Signal<Out, Bit>,
    /// Data taken.
    pub s0_r_rdy: Signal<In, Bit>,
    /// DMA: write address.
    pub s1_aw_vld: Signal<In, Bit>,
    /// Address taken.
    pub s1_aw_rdy: Signal<Out, Bit>,
    /// Byte address.
    pub s1_aw_addr: Signal<In, Bits<40>>,
    /// Beats - 1.
    pub s1_aw_len: Signal<In, Bits<8>>,
    /// Write data.
    pub s1_w_vld: Signal<In, Bit>,
    /// Data taken.
    pub s1_w_rdy: Signal<Out, Bit>,
    /// One beat.
    pub s1_w_data: Signal<In, Bits<128>>,
    /// Byte enables.
    pub s1_w_strb: Signal<In, Bits<16>>,
    /// Last beat of its burst.
    pub s1_w_last: Signal<In, Bit>,
    /// Write answer.
    pub s1_b_vld: Signal<Out, Bit>,
    /// Answer taken.
    pub s1_b_rdy: Signal<In, Bit>,
    /// Read address.
    pub s1_ar_vld: Signal<In, Bit>,
    /// Address taken.
    pub s1_ar_rdy: Signal<Out, Bit>,
    /// Byte address.
    pub s1_ar_addr: Signal<In, Bits<40>>,
    /// Beats - 1.
    pub s1_ar_len: Signal<In, Bits<8>>,
    /// Read data.
    pub s1_r_vld: Signal<Out, Bit>,
    /// Data taken.
    pub s1_r_rdy: Signal<In, Bit>,
    /// Card: write address.
    pub m_aw_vld: Signal<Out, Bit>,
    /// Address taken.
    pub m_aw_rdy: Signal<In, Bit>,
    /// 0 window, 1 DMA.
    pub m_aw_id: Signal<Out, Bits<4>>,
    /// Byte address.
    pub m_aw_addr: Signal<Out, Bits<40>>,
    /// Beats - 1.
    pub m_aw_len: Signal<Out, Bits<8>>,
    /// Write data.
    pub m_w_vld: Signal<Out, Bit>,
    /// Data taken.
    pub m_w_rdy: Signal<In, Bit>,
    /// One beat.
    pub m_w_data: Signal<Out, Bits<128>>,
    /// Byte enables.
    pub m_w_strb: Signal<Out, Bits<16>>,
    /// Last beat.
    pub m_w_last: Signal<Out, Bit>,
    /// Write answer.
    pub m_b_vld: Signal<In, Bit>,
    /// Answer taken.
    pub m_b_rdy: Signal<Out, Bit>,
    /// Whose.
    pub m_b_id: Signal<In, Bits<4>>,
    /// Read address.
    pub m_ar_vld: Signal<Out, Bit>,
    /// Address taken.
    pub m_ar_rdy: Signal<In, Bit>,
    /// 0 window, 1 DMA.
    pub m_ar_id: Signal<Out, Bits<4>>,
    /// Byte address.
    pub m_ar_addr: Signal<Out, Bits<40>>,
    /// Beats - 1.
    pub m_ar_len: Signal<Out, Bits<8>>,
    /// Read data.
    pub m_r_vld: Signal<In, Bit>,
    /// Data taken.
    pub m_r_rdy: Signal<Out, Bit>,
    /// Whose.
    pub m_r_id: Signal<In, Bits<4>>,
    w_full: Dff<Bit>,
    w_dma: Dff<Bit>,
    w_addr: Dff<Bits<40>>,
    w_len: Dff<Bits<8>>,
    r_full: Dff<Bit>,
    r_dma: Dff<Bit>,
    r_addr: Dff<Bits<40>>,
    r_len: Dff<Bits<8>>,
    // Whose data comes next: bit 0 first.
    order: Dff<Bits<4>>,
    queued: Dff<Bits<3>>,
    w_space: Signal<Local, Bit>,
    w_take0: Signal<Local, Bit>,
    w_take1: Signal<Local, Bit>,
    r_space: Signal<Local, Bit>,
    r_take0: Signal<Local, Bit>,
    r_take1: Signal<Local, Bit>,
    sends: Signal<Local, Bit>,
    dma: Signal<Local, Bit>,
    ends: Signal<Local, Bit>,
    place: Signal<Local, Bits<3>>,
    rest: Signal<Local, Bits<4>>,
}

impl Logic for CardMux {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_card_mux");
        dff_setup!(self, clk, w_full, w_dma, w_addr, w_len, r_full, r_dma, r_addr, r_len);
        dff_setup!(self, clk, order, queued);

        // Addresses: not the last winner, if both ask.
        self.w_space.next =
            (!self.w_full.q.val() || self.m_aw_rdy.val()) && !self.queued.q.val().get_bit(2);
        self.w_take0.next = self.w_space.val()
            && self.s0_aw_vld.val()
            && (self.w_dma.q.val() || !self.s1_aw_vld.val());
        self.w_take1.next = self.w_space.val()
            && self.s1_aw_vld.val()
            && (!self.w_dma.q.val() || !self.s0_aw_vld.val());
        self.s0_aw_rdy.next = self.w_take0.val();
        self.s1_aw_rdy.next = self.w_take1.val();
        if self.m_aw_rdy.val() {
            self.w_full.d.next = false;
        }
        if self.w_take0.val() {
            self.w_full.d.next = true;
            self.w_dma.d.next = false;
            self.w_addr.d.next = self.s0_aw_addr.val();
            self.w_len.d.next = 0.into();
        }
        if self.w_take1.val() {
            self.w_full.d.next = true;
            self.w_dma.d.next = true;
            self.w_addr.d.next = self.s1_aw_addr.val();
            self.w_len.d.next = self.s1_aw_len.val();
        }
        self.m_aw_vld.next = self.w_full.q.val();
        self.m_aw_id.next = bit_cast::<4, 1>(self.w_dma.q.val().into());
        self.m_aw_addr.next = self.w_addr.q.val();
        self.m_aw_len.next = self.w_len.q.val();
        self.r_space.next = !self.r_full.q.val() || self.m_ar_rdy.val();
        self.r_take0.next = self.r_space.val()
            && self.s0_ar_vld.val()
            && (self.r_dma.q.val() || !self.s1_ar_vld.val());
        self.r_take1.next = self.r_space.val()
            && self.s1_ar_vld.val()
            && (!self.r_dma.q.val() || !self.s0_ar_vld.val());
        self.s0_ar_rdy.next = self.r_take0.val();
        self.s1_ar_rdy.next = self.r_take1.val();
        if self.m_ar_rdy.val() {
            self.r_full.d.next = false;
        }
        if self.r_take0.val() {
            self.r_full.d.next = true;
            self.r_dma.d.next = false;
            self.r_addr.d.next = self.s0_ar_addr.val();
            self.r_len.d.next = 0.into();
        }
        if self.r_take1.val() {
            self.r_full.d.next = true;
            self.r_dma.d.next = true;
            self.r_addr.d.next = self.s1_ar_addr.val();
            self.r_len.d.next = self.s1_ar_len.val();
        }
        self.m_ar_vld.next = self.r_full.q.val();
        self.m_ar_id.next = bit_cast::<4, 1>(self.r_dma.q.val().into());
        self.m_ar_addr.next = self.r_addr.q.val();
        self.m_ar_len.next = self.r_len.q.val();

        // Data, in the order of the addresses.
        self.sends.next = self.queued.q.val() != 0;
        self.dma.next = self.order.q.val().get_bit(0);
        self.s0_w_rdy.next = self.sends.val() && !self.dma.val() && self.m_w_rdy.val();
        self.s1_w_rdy.next = self.sends.val() && self.dma.val() && self.m_w_rdy.val();
        self.m_w_vld.next = self.sends.val() && self.s0_w_vld.val();
        self.m_w_data.next = self.s0_w_data.val();
        self.m_w_strb.next = self.s0_w_strb.val();
        self.m_w_last.next = true;
        self.ends.next = self.sends.val() && self.s0_w_vld.val() && self.m_w_rdy.val();
        if self.dma.val() {
            self.m_w_vld.next = self.sends.val() && self.s1_w_vld.val();
            self.m_w_data.next = self.s1_w_data.val();
            self.m_w_strb.next = self.s1_w_strb.val();
            self.m_w_last.next = self.s1_w_last.val();
            self.ends.next = self.sends.val()
                && self.s1_w_vld.val()
                && self.s1_w_last.val()
                && self.m_w_rdy.val();
        }
        self.place.next = self.queued.q.val();
        self.rest.next = self.order.q.val();
        if self.ends.val() {
            self.place.next = self.queued.q.val() - 1;
            self.rest.next = self.order.q.val() >> 1;
        }
        self.order.d.next = self.rest.val();
        self.queued.d.next = self.place.val();
        if self.w_take0.val() {
            self.queued.d.next = self.place.val() + 1;
        }
        if self.w_take1.val() {
            self.queued.d.next = self.place.val() + 1;
            self.order.d.next = self.rest.val() | (bits::<4>(1) << self.place.val());
        }

        // Answers.
        self.s0_b_vld.next = self.m_b_vld.val() && !self.m_b_id.val().get_bit(0);
        self.s1_b_vld.next = self.m_b_vld.val() && self.m_b_id.val().get_bit(0);
        self.m_b_rdy.next = self.s0_b_rdy.val();
        if self.m_b_id.val().get_bit(0) {
            self.m_b_rdy.next = self.s1_b_rdy.val();
        }
        self.s0_r_vld.next = self.m_r_vld.val() && !self.m_r_id.val().get_bit(0);
        self.s1_r_vld.next = self.m_r_vld.val() && self.m_r_id.val().get_bit(0);
        self.m_r_rdy.next = self.s0_r_rdy.val();
        if self.m_r_id.val().get_bit(0) {
            self.m_r_rdy.next = self.s1_r_rdy.val();
        }

        if self.rst.val() {
            self.w_full.d.next = false;
            self.r_full.d.next = false;
            self.order.d.next = 0.into();
            self.queued.d.next = 0.into();
        }
    }
}
