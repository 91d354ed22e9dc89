//! The router's choices, kept for the host: collects them and gives them out as the beats of the routes array.
//!
//! What: 8 entries of `{u32 expert, u32 weight}` per token, those from k on read as zero. Cost: two RAMs of 64 bits. Latency: two cycles
//! per beat on the way out (four beats per token: never the bottleneck).

use abi::Config;
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct RouteStore {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// T.
    pub tokens: Signal<In, Bits<16>>,
    /// k.
    pub topk: Signal<In, Bits<8>>,
    /// One choice.
    pub rt_vld: Signal<In, Bit>,
    /// Its token.
    pub rt_token: Signal<In, Bits<8>>,
    /// Its rank.
    pub rt_slot: Signal<In, Bits<3>>,
    /// The expert.
    pub rt_expert: Signal<In, Bits<8>>,
    /// Its weight, Q1.16.
    pub rt_weight: Signal<In, Bits<17>>,
    /// Starts the read-out of 4 T beats.
    pub read_start: Signal<In, Bit>,
    /// Beat valid.
    pub out_vld: Signal<Out, Bit>,
    /// Beat taken.
    pub out_rdy: Signal<In, Bit>,
    /// Two entries.
    pub out_data: Signal<Out, Bits<128>>,
    even: Ram<64, 16>,
    odd: Ram<64, 16>,
    running: Dff<Bit>,
    fresh: Dff<Bit>,
    beat: Dff<Bits<16>>,
    addr: Signal<Local, Bits<16>>,
    entry: Signal<Local, Bits<64>>,
    rank: Signal<Local, Bits<8>>,
    low: Signal<Local, Bits<128>>,
    high: Signal<Local, Bits<128>>,
}

impl RouteStore {
    /// Storage for `tokens_max` tokens.
    pub fn new(config: &Config) -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            tokens: Default::default(),
            topk: Default::default(),
            rt_vld: Default::default(),
            rt_token: Default::default(),
            rt_slot: Default::default(),
            rt_expert: Default::default(),
            rt_weight: Default::default(),
            read_start: Default::default(),
            out_vld: Default::default(),
            out_rdy: Default::default(),
            out_data: Default::default(),
            even: Ram::new(4 * config.tokens_max),
            odd: Ram::new(4 * config.tokens_max),
            running: Default::default(),
            fresh: Default::default(),
            beat: Default::default(),
            addr: Default::default(),
            entry: Default::default(),
            rank: Default::default(),
            low: Default::default(),
            high: Default::default(),
        }
    }
}

impl Logic for RouteStore {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("route_store");
        dff_setup!(self, clk, running, fresh, beat);
        clock!(self, clk, even, odd);

        // In.
        self.addr.next = (bit_cast::<16, 8>(self.rt_token.val()) << 2)
            + bit_cast::<16, 2>(self.rt_slot.val().get_bits::<2>(1));
        self.entry.next = bit_cast::<64, 8>(self.rt_expert.val())
            | (bit_cast::<64, 17>(self.rt_weight.val()) << 32);
        self.even.we.next = self.rt_vld.val() && !self.rt_slot.val().get_bit(0);
        self.even.waddr.next = self.addr.val();
        self.even.wdata.next = self.entry.val();
        self.odd.we.next = self.rt_vld.val() && self.rt_slot.val().get_bit(0);
        self.odd.waddr.next = self.addr.val();
        self.odd.wdata.next = self.entry.val();

        // Out: one cycle to read, then hold until taken.
        self.even.re.next = !self.fresh.q.val();
        self.even.raddr.next = self.beat.q.val();
        self.odd.re.next = !self.fresh.q.val();
        self.odd.raddr.next = self.beat.q.val();
        self.fresh.d.next = self.running.q.val();
        self.rank.next = bit_cast::<8, 2>(self.beat.q.val().get_bits::<2>(0)) << 1;
        self.low.next = bit_cast::<128, 64>(self.even.rdata.val());
        if self.rank.val() >= self.topk.val() {
            self.low.next = 0.into();
        }
        self.high.next = bit_cast::<128, 64>(self.odd.rdata.val());
        if self.rank.val() + 1 >= self.topk.val() {
            self.high.next = 0.into();
        }
        self.out_data.next = self.low.val() | (self.high.val() << 64);
        self.out_vld.next = self.running.q.val() && self.fresh.q.val();
        if self.running.q.val() && self.fresh.q.val() && self.out_rdy.val() {
            self.fresh.d.next = false;
            self.beat.d.next = self.beat.q.val() + 1;
            if self.beat.q.val() + 1 == self.tokens.val() << 2 {
                self.running.d.next = false;
            }
        }
        if self.read_start.val() {
            self.running.d.next = true;
            self.fresh.d.next = false;
            self.beat.d.next = 0.into();
        }
        if self.rst.val() {
            self.running.d.next = false;
            self.fresh.d.next = false;
        }
    }
}
