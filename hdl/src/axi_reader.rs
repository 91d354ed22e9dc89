//! An AXI4 read master: addresses in, one stream of beats out.
//!
//! What: reads consecutive beats from `addr` on, as far as it has been allowed to by grants. A burst is the least of 64 beats, the
//! allowance, and the distance to the next 1 KiB boundary, so no burst crosses 4 KiB. Up to 16 bursts are outstanding: 512 beats of
//! memory latency are hidden even where half of them are short. A burst is sized in one cycle and asked for in the next.
//!
//! Cost (ECP5): 269 LUT sites, 118 flip-flops. Latency: grant to `ar_vld` 3 cycles, data none (the R channel is the output stream).
//! Bottleneck: one burst per two cycles, one beat per cycle.
//!
//! A new `start` needs no empty bus, only `issued`: beats arrive in the order of their addresses (one ID), so the requests of the
//! next job may follow those of the last at once.

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock, Default)]
pub struct AxiReader {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Go on at `addr` and forget `err`; only while `issued`.
    pub start: Signal<In, Bit>,
    /// Byte address of the first beat, a multiple of 16.
    pub addr: Signal<In, Bits<40>>,
    /// Adds `grant_beats` to the allowance; with `start` or later.
    pub grant_vld: Signal<In, Bit>,
    /// Beats. Fewer than 2^24 in all may be granted and not yet requested.
    pub grant_beats: Signal<In, Bits<16>>,
    /// AXI read address.
    pub ar_vld: Signal<Out, Bit>,
    /// Address taken.
    pub ar_rdy: Signal<In, Bit>,
    /// Byte address.
    pub ar_addr: Signal<Out, Bits<40>>,
    /// Beats - 1.
    pub ar_len: Signal<Out, Bits<8>>,
    /// AXI read data.
    pub r_vld: Signal<In, Bit>,
    /// Data taken.
    pub r_rdy: Signal<Out, Bit>,
    /// One beat.
    pub r_data: Signal<In, Bits<128>>,
    /// 0: OKAY.
    pub r_resp: Signal<In, Bits<2>>,
    /// Last beat of a burst.
    pub r_last: Signal<In, Bit>,
    /// The beats in order.
    pub out_vld: Signal<Out, Bit>,
    /// Beat taken.
    pub out_rdy: Signal<In, Bit>,
    /// The beat.
    pub out_data: Signal<Out, Bits<128>>,
    /// A beat since `start` came with an error; the beat is passed on all the same.
    pub err: Signal<Out, Bit>,
    /// Everything allowed has been requested.
    pub issued: Signal<Out, Bit>,
    /// Everything allowed has been requested and has arrived.
    pub idle: Signal<Out, Bit>,
    // In beats.
    next_addr: Dff<Bits<36>>,
    allowance: Dff<Bits<24>>,
    sized: Dff<Bit>,
    size: Dff<Bits<7>>,
    request: Dff<Bit>,
    request_addr: Dff<Bits<36>>,
    request_len: Dff<Bits<7>>,
    bursts: Dff<Bits<5>>,
    bad: Dff<Bit>,
    to_edge: Signal<Local, Bits<7>>,
    much: Signal<Local, Bit>,
    little: Signal<Local, Bits<7>>,
    granted: Signal<Local, Bits<24>>,
    taken: Signal<Local, Bits<24>>,
    issue: Signal<Local, Bit>,
    complete: Signal<Local, Bit>,
}

impl Logic for AxiReader {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("axi_reader");
        dff_setup!(
            self,
            clk,
            next_addr,
            allowance,
            sized,
            size,
            request,
            request_addr,
            request_len,
            bursts,
            bad
        );

        // The next burst, whether it may go or not.
        self.to_edge.next =
            bits::<7>(64) - bit_cast::<7, 6>(self.next_addr.q.val().get_bits::<6>(0));
        self.much.next = self.allowance.q.val().get_bits::<18>(6) != 0;
        self.little.next = bit_cast::<7, 6>(self.allowance.q.val().get_bits::<6>(0));
        self.size.d.next = self.to_edge.val();
        if !self.much.val() && self.little.val() < self.to_edge.val() {
            self.size.d.next = self.little.val();
        }

        // Requests: a register, refilled when empty or just taken.
        self.issue.next = self.sized.q.val()
            && !self.bursts.q.val().get_bit(4)
            && (!self.request.q.val() || self.ar_rdy.val());
        self.sized.d.next = self.allowance.q.val() != 0 && !self.issue.val();
        if self.ar_rdy.val() {
            self.request.d.next = false;
        }
        self.taken.next = 0.into();
        if self.issue.val() {
            self.taken.next = bit_cast::<24, 7>(self.size.q.val());
            self.request.d.next = true;
            self.request_addr.d.next = self.next_addr.q.val();
            self.request_len.d.next = self.size.q.val() - 1;
            self.next_addr.d.next = self.next_addr.q.val() + bit_cast::<36, 7>(self.size.q.val());
        }
        self.ar_vld.next = self.request.q.val();
        self.ar_addr.next = bit_cast::<40, 36>(self.request_addr.q.val()) << 4;
        self.ar_len.next = bit_cast::<8, 7>(self.request_len.q.val());

        // Allowance: what is granted and not yet requested.
        self.granted.next = 0.into();
        if self.grant_vld.val() {
            self.granted.next = bit_cast::<24, 16>(self.grant_beats.val());
        }
        self.allowance.d.next = self.allowance.q.val() - self.taken.val() + self.granted.val();

        // Data.
        self.out_vld.next = self.r_vld.val();
        self.out_data.next = self.r_data.val();
        self.r_rdy.next = self.out_rdy.val();
        self.complete.next = self.r_vld.val() && self.out_rdy.val() && self.r_last.val();
        if self.issue.val() && !self.complete.val() {
            self.bursts.d.next = self.bursts.q.val() + 1;
        }
        if !self.issue.val() && self.complete.val() {
            self.bursts.d.next = self.bursts.q.val() - 1;
        }
        self.issued.next = self.allowance.q.val() == 0;
        self.idle.next = self.allowance.q.val() == 0 && self.bursts.q.val() == 0;

        if self.start.val() {
            self.next_addr.d.next = self.addr.val().get_bits::<36>(4);
            self.allowance.d.next = self.granted.val();
            self.bad.d.next = false;
        }
        // After `start`: an error that arrives in that very cycle is not lost.
        if self.r_vld.val() && self.out_rdy.val() && self.r_resp.val() != 0 {
            self.bad.d.next = true;
        }
        self.err.next = self.bad.q.val();

        if self.rst.val() {
            self.allowance.d.next = 0.into();
            self.sized.d.next = false;
            self.request.d.next = false;
            self.bursts.d.next = 0.into();
            self.bad.d.next = false;
        }
    }
}
