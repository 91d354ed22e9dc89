//! Routes: the choices of the router, of the host's array, or expert 0 for every token, as one stream; kept for the host as the beats of
//! the routes array.
//!
//! What: by `source`, passes on what the router chose, or reads T * 4 beats of the host's array, or counts through the tokens. Of a token of the
//! host the first k entries are looked at: expert `NO_EXPERT` is skipped; an expert from E on, or one that the token has
//! already, is skipped and raises `err_route`; a weight is limited to 20 bits. Kept are 8 entries of `{u32 expert, u32 weight}` per
//! token; those from k on read as zero.
//!
//! Cost: two RAMs of 28 bits, seven comparators of 8 bits. Latency: the router's routes one cycle, the host's two; on the way out two
//! cycles per beat (four beats per token: never the bottleneck). Bottleneck: one route per cycle, two cycles per beat of the host.
//!
//! Hazards: `read_start` comes with `rt_done` at the earliest; the last choice is written in that cycle and read in the next or later.
//! The array of the host is the reader's only stream while the source is the host, so a beat waits at most for the one before.
//!
//! Not built: reading out what the host gave.

use abi::command::{Source, NO_EXPERT};
use abi::Config;
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct RouteStore {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Starts a command.
    pub go: Signal<In, Bit>,
    /// Where routes come from: `abi::command::Source`.
    pub source: Signal<In, Bits<2>>,
    /// T.
    pub tokens: Signal<In, Bits<16>>,
    /// k.
    pub topk: Signal<In, Bits<8>>,
    /// E.
    pub experts: Signal<In, Bits<16>>,

    /// One choice of the router.
    pub router_vld: Signal<In, Bit>,
    /// Its token.
    pub router_token: Signal<In, Bits<8>>,
    /// Its rank.
    pub router_slot: Signal<In, Bits<3>>,
    /// The expert.
    pub router_expert: Signal<In, Bits<8>>,
    /// Its weight, Q4.16.
    pub router_weight: Signal<In, Bits<20>>,
    /// No choice comes after this cycle; a pulse.
    pub router_done: Signal<In, Bit>,

    /// Beat of the host's array valid.
    pub in_vld: Signal<In, Bit>,
    /// Beat taken.
    pub in_rdy: Signal<Out, Bit>,
    /// Two entries.
    pub in_data: Signal<In, Bits<128>>,

    /// One route.
    pub rt_vld: Signal<Out, Bit>,
    /// Its token; tokens come in rising order.
    pub rt_token: Signal<Out, Bits<8>>,
    /// Its rank, or place in the host's array.
    pub rt_slot: Signal<Out, Bits<3>>,
    /// The expert, below E.
    pub rt_expert: Signal<Out, Bits<8>>,
    /// Its weight, Q4.16.
    pub rt_weight: Signal<Out, Bits<20>>,
    /// No route comes after this cycle; a pulse.
    pub rt_done: Signal<Out, Bit>,
    /// Level until the next `go`: an entry of the host was refused.
    pub err_route: Signal<Out, Bit>,

    /// Starts the read-out of 4 T beats.
    pub read_start: Signal<In, Bit>,
    /// Beat valid.
    pub out_vld: Signal<Out, Bit>,
    /// Beat taken.
    pub out_rdy: Signal<In, Bit>,
    /// Two entries.
    pub out_data: Signal<Out, Bits<128>>,

    // The source at work, one of them at most.
    hosting: Dff<Bit>,
    filling: Dff<Bit>,
    token: Dff<Bits<8>>,
    last_token: Signal<Local, Bit>,

    // A beat of the host: its entries one after the other, then checked.
    beat: Dff<Bits<128>>,
    full: Dff<Bit>,
    half: Dff<Bit>,
    pair: Dff<Bits<2>>,
    entry: Signal<Local, Bits<64>>,
    slot: Signal<Local, Bits<3>>,
    used: Signal<Local, Bit>,
    both: Signal<Local, Bit>,
    expert: Signal<Local, Bits<32>>,
    large: Signal<Local, Bit>,
    none: Signal<Local, Bit>,
    repeated: Signal<Local, Bit>,
    good: Signal<Local, Bit>,
    bad: Signal<Local, Bit>,
    over: Signal<Local, Bit>,
    through: Signal<Local, Bit>,
    named: [Dff<Bits<8>>; 7],
    names: [Dff<Bit>; 7],
    error: Dff<Bit>,

    // The route.
    vld: Dff<Bit>,
    route_token: Dff<Bits<8>>,
    route_slot: Dff<Bits<3>>,
    route_expert: Dff<Bits<8>>,
    route_weight: Dff<Bits<20>>,
    done: Dff<Bit>,

    // The store and its read-out.
    even: Ram<28, 16>,
    odd: Ram<28, 16>,
    running: Dff<Bit>,
    fresh: Dff<Bit>,
    out_beat: Dff<Bits<16>>,
    addr: Signal<Local, Bits<16>>,
    word: Signal<Local, Bits<28>>,
    rank: Signal<Local, Bits<8>>,
    low: Signal<Local, Bits<28>>,
    high: Signal<Local, Bits<28>>,
    no_expert: Constant<Bits<32>>,
    from_host: Constant<Bits<2>>,
    from_all: Constant<Bits<2>>,
}

impl RouteStore {
    /// Storage for `tokens_max` tokens.
    pub fn new(config: &Config) -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            go: Default::default(),
            source: Default::default(),
            tokens: Default::default(),
            topk: Default::default(),
            experts: Default::default(),
            router_vld: Default::default(),
            router_token: Default::default(),
            router_slot: Default::default(),
            router_expert: Default::default(),
            router_weight: Default::default(),
            router_done: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_data: Default::default(),
            rt_vld: Default::default(),
            rt_token: Default::default(),
            rt_slot: Default::default(),
            rt_expert: Default::default(),
            rt_weight: Default::default(),
            rt_done: Default::default(),
            err_route: Default::default(),
            read_start: Default::default(),
            out_vld: Default::default(),
            out_rdy: Default::default(),
            out_data: Default::default(),
            hosting: Default::default(),
            filling: Default::default(),
            token: Default::default(),
            last_token: Default::default(),
            beat: Default::default(),
            full: Default::default(),
            half: Default::default(),
            pair: Default::default(),
            entry: Default::default(),
            slot: Default::default(),
            used: Default::default(),
            both: Default::default(),
            expert: Default::default(),
            large: Default::default(),
            none: Default::default(),
            repeated: Default::default(),
            good: Default::default(),
            bad: Default::default(),
            over: Default::default(),
            through: Default::default(),
            named: arr(),
            names: arr(),
            error: Default::default(),
            vld: Default::default(),
            route_token: Default::default(),
            route_slot: Default::default(),
            route_expert: Default::default(),
            route_weight: Default::default(),
            done: Default::default(),
            even: Ram::new(4 * config.tokens_max),
            odd: Ram::new(4 * config.tokens_max),
            running: Default::default(),
            fresh: Default::default(),
            out_beat: Default::default(),
            addr: Default::default(),
            word: Default::default(),
            rank: Default::default(),
            low: Default::default(),
            high: Default::default(),
            no_expert: Constant::new(u64::from(NO_EXPERT).to_bits()),
            from_host: Constant::new((Source::Host as u64).to_bits()),
            from_all: Constant::new((Source::All as u64).to_bits()),
        }
    }
}

impl Logic for RouteStore {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("route_store");
        dff_setup!(self, clk, hosting, filling, token, beat, full, half, pair, error);
        dff_setup!(
            self,
            clk,
            vld,
            route_token,
            route_slot,
            route_expert,
            route_weight,
            done
        );
        dff_setup!(self, clk, running, fresh, out_beat);
        clock!(self, clk, even, odd);
        for i in 0..7 {
            self.named[i].clock.next = self.clk.val();
            self.named[i].d.next = self.named[i].q.val();
            self.names[i].clock.next = self.clk.val();
            self.names[i].d.next = self.names[i].q.val();
        }

        // The router.
        self.vld.d.next = self.router_vld.val();
        self.route_token.d.next = self.router_token.val();
        self.route_slot.d.next = self.router_slot.val();
        self.route_expert.d.next = self.router_expert.val();
        self.route_weight.d.next = self.router_weight.val();
        self.done.d.next = self.router_done.val();

        // Expert 0 for every token.
        self.last_token.next = bit_cast::<16, 8>(self.token.q.val()) + 1 == self.tokens.val();
        if self.filling.q.val() {
            self.vld.d.next = true;
            self.route_token.d.next = self.token.q.val();
            self.route_slot.d.next = 0.into();
            self.route_expert.d.next = 0.into();
            self.route_weight.d.next = 0x1_0000.into();
            self.done.d.next = self.last_token.val();
            self.token.d.next = self.token.q.val() + 1;
            if self.last_token.val() {
                self.filling.d.next = false;
            }
        }

        // The host: an entry of the beat at hand. The second one takes a cycle of its own only if it is among the first k.
        self.slot.next = bit_cast::<3, 2>(self.pair.q.val()) << 1;
        self.both.next = bit_cast::<8, 3>(self.slot.val()) + 1 < self.topk.val();
        self.entry.next = self.beat.q.val().get_bits::<64>(0);
        if self.half.q.val() {
            self.slot.next = (bit_cast::<3, 2>(self.pair.q.val()) << 1) | 1;
            self.entry.next = self.beat.q.val().get_bits::<64>(64);
        }
        self.used.next = self.full.q.val() && bit_cast::<8, 3>(self.slot.val()) < self.topk.val();
        self.expert.next = self.entry.val().get_bits::<32>(0);
        self.none.next = self.expert.val() == self.no_expert.val();
        self.large.next = self.expert.val().get_bits::<16>(16).any()
            || self.expert.val().get_bits::<16>(0) >= self.experts.val();
        self.repeated.next = false;
        for i in 0..7 {
            if self.names[i].q.val()
                && self.named[i].q.val() == self.expert.val().get_bits::<8>(0)
                && self.slot.val() > i.to_bits()
            {
                self.repeated.next = true;
            }
        }
        self.good.next =
            self.used.val() && !self.none.val() && !self.large.val() && !self.repeated.val();
        self.bad.next =
            self.used.val() && !self.none.val() && (self.large.val() || self.repeated.val());
        for i in 0..7 {
            if self.slot.val() == i.to_bits() && self.full.q.val() {
                self.names[i].d.next = self.good.val();
                self.named[i].d.next = self.expert.val().get_bits::<8>(0);
            }
        }
        self.over.next = self.entry.val().get_bits::<12>(52).any();
        self.through.next = self.full.q.val() && (self.half.q.val() || !self.both.val());
        if self.hosting.q.val() {
            self.vld.d.next = self.good.val();
            self.route_token.d.next = self.token.q.val();
            self.route_slot.d.next = self.slot.val();
            self.route_expert.d.next = self.expert.val().get_bits::<8>(0);
            self.route_weight.d.next = self.entry.val().get_bits::<20>(32);
            if self.over.val() {
                self.route_weight.d.next = 0xF_FFFF.into();
            }
            self.done.d.next = false;
            self.half.d.next = self.full.q.val() && !self.through.val();
            if self.bad.val() {
                self.error.d.next = true;
            }
            if self.through.val() {
                self.full.d.next = false;
                self.pair.d.next = self.pair.q.val() + 1;
                if self.pair.q.val() == 3 {
                    self.token.d.next = self.token.q.val() + 1;
                    if self.last_token.val() {
                        self.hosting.d.next = false;
                        self.done.d.next = true;
                    }
                }
            }
        }
        self.in_rdy.next = self.hosting.q.val()
            && (!self.full.q.val()
                || (self.through.val() && !(self.pair.q.val() == 3 && self.last_token.val())));
        if self.hosting.q.val()
            && (!self.full.q.val()
                || (self.through.val() && !(self.pair.q.val() == 3 && self.last_token.val())))
        {
            self.full.d.next = self.in_vld.val();
            self.beat.d.next = self.in_data.val();
        }
        self.rt_vld.next = self.vld.q.val();
        self.rt_token.next = self.route_token.q.val();
        self.rt_slot.next = self.route_slot.q.val();
        self.rt_expert.next = self.route_expert.q.val();
        self.rt_weight.next = self.route_weight.q.val();
        self.rt_done.next = self.done.q.val();
        self.err_route.next = self.error.q.val();

        // The store, in.
        self.addr.next = (bit_cast::<16, 8>(self.route_token.q.val()) << 2)
            | bit_cast::<16, 2>(self.route_slot.q.val().get_bits::<2>(1));
        self.word.next = bit_cast::<28, 8>(self.route_expert.q.val())
            | (bit_cast::<28, 20>(self.route_weight.q.val()) << 8);
        self.even.we.next = self.vld.q.val() && !self.route_slot.q.val().get_bit(0);
        self.even.waddr.next = self.addr.val();
        self.even.wdata.next = self.word.val();
        self.odd.we.next = self.vld.q.val() && self.route_slot.q.val().get_bit(0);
        self.odd.waddr.next = self.addr.val();
        self.odd.wdata.next = self.word.val();

        // Out: one cycle to read, then hold until taken.
        self.even.re.next = !self.fresh.q.val();
        self.even.raddr.next = self.out_beat.q.val();
        self.odd.re.next = !self.fresh.q.val();
        self.odd.raddr.next = self.out_beat.q.val();
        self.fresh.d.next = self.running.q.val();
        self.rank.next = bit_cast::<8, 2>(self.out_beat.q.val().get_bits::<2>(0)) << 1;
        self.low.next = self.even.rdata.val();
        if self.rank.val() >= self.topk.val() {
            self.low.next = 0.into();
        }
        self.high.next = self.odd.rdata.val();
        if self.rank.val() + 1 >= self.topk.val() {
            self.high.next = 0.into();
        }
        self.out_data.next = bit_cast::<128, 8>(self.low.val().get_bits::<8>(0))
            | (bit_cast::<128, 20>(self.low.val().get_bits::<20>(8)) << 32)
            | (bit_cast::<128, 8>(self.high.val().get_bits::<8>(0)) << 64)
            | (bit_cast::<128, 20>(self.high.val().get_bits::<20>(8)) << 96);
        self.out_vld.next = self.running.q.val() && self.fresh.q.val();
        if self.running.q.val() && self.fresh.q.val() && self.out_rdy.val() {
            self.fresh.d.next = false;
            self.out_beat.d.next = self.out_beat.q.val() + 1;
            if self.out_beat.q.val() + 1 == self.tokens.val() << 2 {
                self.running.d.next = false;
            }
        }
        if self.read_start.val() {
            self.running.d.next = true;
            self.fresh.d.next = false;
            self.out_beat.d.next = 0.into();
        }

        if self.go.val() {
            self.hosting.d.next = self.source.val() == self.from_host.val();
            self.filling.d.next = self.source.val() == self.from_all.val();
            self.token.d.next = 0.into();
            self.pair.d.next = 0.into();
            self.full.d.next = false;
            self.half.d.next = false;
            self.error.d.next = false;
            self.done.d.next = false;
        }
        if self.rst.val() {
            self.hosting.d.next = false;
            self.filling.d.next = false;
            self.full.d.next = false;
            self.half.d.next = false;
            self.error.d.next = false;
            self.vld.d.next = false;
            self.done.d.next = false;
            self.running.d.next = false;
            self.fresh.d.next = false;
        }
    }
}
