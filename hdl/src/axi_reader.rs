//! An AXI4 read master: addresses in, one stream of beats out.
//!
//! What: reads consecutive beats from `addr` on, as far as it has been allowed to by grants. A burst is the least of 64 beats, the
//! allowance, and the distance to the next 1 KiB boundary, so no burst crosses 4 KiB. Up to 16 bursts are outstanding: 512 beats of
//! memory latency are hidden even where half of them are short. The allowance is the difference of two counters, compared in one cycle
//! with the distance, sized in the next and asked for in the one after: short paths, and short bursts are rare.
//!
//! Cost: docs/utilisation.md. Latency: grant to `ar_vld` 5 cycles, data none (the R channel is the output stream).
//! Bottleneck: one burst per four cycles, one beat per cycle.
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
    /// Beats. Fewer than 2^20 in all may be granted and not yet requested.
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
    // In beats; the two totals count modulo 2^20.
    granted: Dff<Bits<20>>,
    requested: Dff<Bits<20>>,
    allowance: Dff<Bits<20>>,
    next_addr: Dff<Bits<36>>,
    // What the allowance and the address say, a cycle later; then the size.
    few: Dff<Bit>,
    much: Dff<Bit>,
    short: Dff<Bit>,
    little: Dff<Bits<6>>,
    distance: Dff<Bits<7>>,
    size: Dff<Bits<7>>,
    sized: Dff<Bit>,
    recent: Dff<Bits<2>>,
    settling: Dff<Bits<2>>,
    pending: Dff<Bit>,
    still: Dff<Bit>,
    request: Dff<Bit>,
    request_addr: Dff<Bits<36>>,
    request_len: Dff<Bits<7>>,
    bursts: Dff<Bits<5>>,
    complete: Dff<Bit>,
    bad: Dff<Bit>,
    some: Signal<Local, Bit>,
    to_edge: Signal<Local, Bits<7>>,
    step: Signal<Local, Bits<36>>,
    from: Signal<Local, Bits<36>>,
    issue: Signal<Local, Bit>,
}

impl Logic for AxiReader {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("axi_reader");
        dff_setup!(
            self, clk, granted, requested, allowance, next_addr, few, much, short, little,
            distance, size, sized, recent, settling, pending, still
        );
        dff_setup!(
            self,
            clk,
            request,
            request_addr,
            request_len,
            bursts,
            complete,
            bad
        );

        // What may be asked for: free-running, so it is true three cycles after a grant or a request.
        if self.grant_vld.val() {
            self.granted.d.next = self.granted.q.val() + bit_cast::<20, 16>(self.grant_beats.val());
        }
        self.allowance.d.next = self.granted.q.val() - self.requested.q.val();
        self.few.d.next = self.allowance.q.val().get_bits::<6>(0) != 0;
        self.much.d.next = self.allowance.q.val().get_bits::<14>(6) != 0;
        self.little.d.next = self.allowance.q.val().get_bits::<6>(0);
        self.some.next = self.much.q.val() || self.few.q.val();
        self.to_edge.next =
            bits::<7>(64) - bit_cast::<7, 6>(self.next_addr.q.val().get_bits::<6>(0));
        self.distance.d.next = self.to_edge.val();
        self.short.d.next =
            bit_cast::<7, 6>(self.allowance.q.val().get_bits::<6>(0)) < self.to_edge.val();
        self.size.d.next = self.distance.q.val();
        if !self.much.q.val() && self.short.q.val() {
            self.size.d.next = bit_cast::<7, 6>(self.little.q.val());
        }

        // Requests: a register, refilled when empty or just taken.
        self.issue.next = self.sized.q.val()
            && !self.bursts.q.val().get_bit(4)
            && (!self.request.q.val() || self.ar_rdy.val());
        self.sized.d.next = self.some.val() && !self.issue.val() && self.recent.q.val() == 0;
        self.recent.d.next = 0.into();
        if self.recent.q.val() == 2 {
            self.recent.d.next = 1.into();
        }
        if self.ar_rdy.val() {
            self.request.d.next = false;
        }
        if self.issue.val() {
            self.recent.d.next = 2.into();
            self.requested.d.next = self.requested.q.val() + bit_cast::<20, 7>(self.size.q.val());
            self.request.d.next = true;
            self.request_addr.d.next = self.next_addr.q.val();
            self.request_len.d.next = self.size.q.val() - 1;
        }
        // One adder: the address goes on, or begins anew.
        self.from.next = self.next_addr.q.val();
        self.step.next = bit_cast::<36, 7>(self.size.q.val());
        if self.start.val() {
            self.from.next = 0.into();
            self.step.next = self.addr.val().get_bits::<36>(4);
        }
        if self.issue.val() || self.start.val() {
            self.next_addr.d.next = self.from.val() + self.step.val();
        }
        self.ar_vld.next = self.request.q.val();
        self.ar_addr.next = bit_cast::<40, 36>(self.request_addr.q.val()) << 4;
        self.ar_len.next = bit_cast::<8, 7>(self.request_len.q.val());

        // Whether anything is left: a grant counts at once, that nothing is left only when it is certain.
        self.settling.d.next = 0.into();
        if self.settling.q.val() == 2 {
            self.settling.d.next = 1.into();
        }
        if self.grant_vld.val() {
            self.settling.d.next = 2.into();
        }
        self.pending.d.next = self.grant_vld.val() || self.settling.q.val() != 0 || self.some.val();
        self.still.d.next =
            !self.grant_vld.val() && !self.pending.q.val() && self.bursts.q.val() == 0;
        self.issued.next = !self.pending.q.val();
        self.idle.next = self.still.q.val();

        // Data.
        self.out_vld.next = self.r_vld.val();
        self.out_data.next = self.r_data.val();
        self.r_rdy.next = self.out_rdy.val();
        self.complete.d.next = self.r_vld.val() && self.out_rdy.val() && self.r_last.val();
        if self.issue.val() && !self.complete.q.val() {
            self.bursts.d.next = self.bursts.q.val() + 1;
        }
        if !self.issue.val() && self.complete.q.val() {
            self.bursts.d.next = self.bursts.q.val() - 1;
        }

        if self.start.val() {
            self.bad.d.next = false;
        }
        // After `start`: an error that arrives in that very cycle is not lost.
        if self.r_vld.val() && self.out_rdy.val() && self.r_resp.val() != 0 {
            self.bad.d.next = true;
        }
        self.err.next = self.bad.q.val();

        if self.rst.val() {
            self.granted.d.next = 0.into();
            self.requested.d.next = 0.into();
            self.allowance.d.next = 0.into();
            self.much.d.next = false;
            self.few.d.next = false;
            self.sized.d.next = false;
            self.pending.d.next = false;
            self.still.d.next = true;
            self.request.d.next = false;
            self.bursts.d.next = 0.into();
            self.complete.d.next = false;
            self.bad.d.next = false;
        }
    }
}
