//! Routes: the choices of the router, of the host's array, or expert 0 for every token, as one stream; kept for the host as the beats of
//! the routes array.
//!
//! What: by `source`, passes on what the router chose, or reads T * 4 beats of the host's array, or counts through the tokens. Of a token of the
//! host the first k entries are looked at: expert `NO_EXPERT` is skipped; an expert from E on, or one that the token has
//! already, is skipped and raises `err_route`; a weight is limited to 20 bits. Kept are 8 entries of `{u32 expert, u32 weight}` per
//! token; those from k on read as zero.
//!
//! Cost: two RAMs of 28 bits, seven comparators of 8 bits. Latency: the router's routes none (one LUT behind its registers), the host's four
//! cycles: beat, entry, checked, judged. On the way out two cycles per beat (four beats per token: never the bottleneck). Bottleneck: one
//! route per cycle, two cycles per beat of the host (one, if its second entry is not among the first k).
//!
//! Hazards: `read_start` comes with `rt_done` at the earliest; the last choice is written in that cycle and read in the next or later.
//! The array of the host is the reader's only stream while the source is the host, so a beat waits at most for the one before. An entry
//! is compared with those before it as they pass; whether one of them was good is known a cycle later, just in time.
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

    // Bit i: entry i is among the first k.
    among_now: Signal<Local, Bits<8>>,
    among: Dff<Bits<8>>,
    // The source at work, one of them at most; the tokens after this one.
    hosting: Dff<Bit>,
    ready: Dff<Bit>,
    filling: Dff<Bit>,
    ours: Dff<Bit>,
    token: Dff<Bits<8>>,
    left: Dff<Bits<8>>,
    last_token: Dff<Bit>,
    next_token: Signal<Local, Bit>,

    // A beat of the host: its first entry, then its second one if it is among the first k.
    take: Signal<Local, Bit>,
    pair_second: Signal<Local, Bits<3>>,
    beat_slot: Signal<Local, Bits<3>>,
    beat_next: Signal<Local, Bits<3>>,
    entry: Signal<Local, Bits<64>>,
    pair: Dff<Bits<2>>,
    beat: Dff<Bits<128>>,
    first: Dff<Bit>,
    second: Dff<Bit>,
    turn: Dff<Bit>,
    beat_pair: Dff<Bits<2>>,
    beat_token: Dff<Bits<8>>,
    beat_last: Dff<Bit>,
    // An entry.
    e_vld: Dff<Bit>,
    e_last: Dff<Bit>,
    e_token: Dff<Bits<8>>,
    e_slot: Dff<Bits<3>>,
    e_expert: Dff<Bits<32>>,
    e_weight: Dff<Bits<32>>,
    e_more: Signal<Local, Bits<17>>,
    named: [Dff<Bits<8>>; 7],
    // Checked.
    f_vld: Dff<Bit>,
    f_last: Dff<Bit>,
    f_token: Dff<Bits<8>>,
    f_slot: Dff<Bits<3>>,
    f_expert: Dff<Bits<8>>,
    f_weight: Dff<Bits<20>>,
    f_over: Dff<Bit>,
    f_none: Dff<Bit>,
    f_large: Dff<Bit>,
    f_high: Dff<Bit>,
    f_equal: [Dff<Bit>; 7],
    names: [Dff<Bit>; 7],
    repeated: Signal<Local, Bit>,
    good: Signal<Local, Bit>,
    error: Dff<Bit>,

    // The route, if it is not the router's.
    vld: Dff<Bit>,
    route_token: Dff<Bits<8>>,
    route_slot: Dff<Bits<3>>,
    route_expert: Dff<Bits<8>>,
    route_weight: Dff<Bits<20>>,
    done: Dff<Bit>,
    // The route.
    r_vld: Signal<Local, Bit>,
    r_token: Signal<Local, Bits<8>>,
    r_slot: Signal<Local, Bits<3>>,
    r_expert: Signal<Local, Bits<8>>,
    r_weight: Signal<Local, Bits<20>>,

    // The store and its read-out.
    even: Ram<28, 16>,
    odd: Ram<28, 16>,
    running: Dff<Bit>,
    fresh: Dff<Bit>,
    out_beat: Dff<Bits<10>>,
    last_beat: Dff<Bits<10>>,
    out_last: Dff<Bit>,
    out_pair: Signal<Local, Bits<3>>,
    out_pair1: Signal<Local, Bits<3>>,
    show_low: Dff<Bit>,
    show_high: Dff<Bit>,
    addr: Signal<Local, Bits<16>>,
    word: Signal<Local, Bits<28>>,
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
            among_now: Default::default(),
            among: Default::default(),
            hosting: Default::default(),
            ready: Default::default(),
            filling: Default::default(),
            ours: Default::default(),
            token: Default::default(),
            left: Default::default(),
            last_token: Default::default(),
            next_token: Default::default(),
            take: Default::default(),
            pair_second: Default::default(),
            beat_slot: Default::default(),
            beat_next: Default::default(),
            entry: Default::default(),
            pair: Default::default(),
            beat: Default::default(),
            first: Default::default(),
            second: Default::default(),
            turn: Default::default(),
            beat_pair: Default::default(),
            beat_token: Default::default(),
            beat_last: Default::default(),
            e_vld: Default::default(),
            e_last: Default::default(),
            e_token: Default::default(),
            e_slot: Default::default(),
            e_expert: Default::default(),
            e_weight: Default::default(),
            e_more: Default::default(),
            named: arr(),
            f_vld: Default::default(),
            f_last: Default::default(),
            f_token: Default::default(),
            f_slot: Default::default(),
            f_expert: Default::default(),
            f_weight: Default::default(),
            f_over: Default::default(),
            f_none: Default::default(),
            f_large: Default::default(),
            f_high: Default::default(),
            f_equal: arr(),
            names: arr(),
            repeated: Default::default(),
            good: Default::default(),
            error: Default::default(),
            vld: Default::default(),
            route_token: Default::default(),
            route_slot: Default::default(),
            route_expert: Default::default(),
            route_weight: Default::default(),
            done: Default::default(),
            r_vld: Default::default(),
            r_token: Default::default(),
            r_slot: Default::default(),
            r_expert: Default::default(),
            r_weight: Default::default(),
            even: Ram::new(4 * config.tokens_max),
            odd: Ram::new(4 * config.tokens_max),
            running: Default::default(),
            fresh: Default::default(),
            out_beat: Default::default(),
            last_beat: Default::default(),
            out_last: Default::default(),
            out_pair: Default::default(),
            out_pair1: Default::default(),
            show_low: Default::default(),
            show_high: Default::default(),
            addr: Default::default(),
            word: Default::default(),
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
        dff_setup!(self, clk, among, hosting, ready, filling, ours, token, left, last_token, pair);
        dff_setup!(self, clk, beat, first, second, turn, beat_pair, beat_token, beat_last, e_vld);
        dff_setup!(self, clk, e_last, e_token, e_slot, e_expert, e_weight, f_vld, f_last, f_token);
        dff_setup!(self, clk, f_slot, f_expert, f_weight, f_over, f_none, f_large, f_high, error);
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
        dff_setup!(self, clk, running, fresh, out_beat, last_beat, out_last, show_low, show_high);
        clock!(self, clk, even, odd);
        for i in 0..7 {
            self.named[i].clock.next = self.clk.val();
            self.named[i].d.next = self.named[i].q.val();
            self.names[i].clock.next = self.clk.val();
            self.names[i].d.next = self.names[i].q.val();
            self.f_equal[i].clock.next = self.clk.val();
        }
        self.among_now.next = 0.into();
        for i in 0..8 {
            if self.topk.val() > i.to_bits() {
                self.among_now.next = self.among_now.val().replace_bit(i, true);
            }
        }
        self.among.d.next = self.among_now.val();

        // Expert 0 for every token.
        self.next_token.next = false;
        self.vld.d.next = false;
        self.done.d.next = false;
        self.route_token.d.next = self.f_token.q.val();
        self.route_slot.d.next = self.f_slot.q.val();
        self.route_expert.d.next = self.f_expert.q.val();
        self.route_weight.d.next = self.f_weight.q.val();
        if self.f_over.q.val() {
            self.route_weight.d.next = 0xF_FFFF.into();
        }
        if self.filling.q.val() {
            self.vld.d.next = true;
            self.route_token.d.next = self.token.q.val();
            self.route_slot.d.next = 0.into();
            self.route_expert.d.next = 0.into();
            self.route_weight.d.next = 0x1_0000.into();
            self.done.d.next = self.last_token.q.val();
            self.next_token.next = true;
            if self.last_token.q.val() {
                self.filling.d.next = false;
            }
        }

        self.pair_second.next = (bit_cast::<3, 2>(self.pair.q.val()) << 1) | 1;
        // The host: a beat. While its second entry is still to come no other is taken.
        self.in_rdy.next = self.ready.q.val();
        self.take.next = self.in_vld.val() && self.ready.q.val();
        self.first.d.next = self.take.val();
        self.turn.d.next = false;
        self.second.d.next = self.turn.q.val();
        self.ready.d.next = self.hosting.q.val();
        if self.take.val() {
            self.beat.d.next = self.in_data.val();
            if self.among.q.val().get_bit(self.pair_second.val().index()) {
                self.turn.d.next = true;
                self.ready.d.next = false;
            }
            self.beat_pair.d.next = self.pair.q.val();
            self.beat_token.d.next = self.token.q.val();
            self.beat_last.d.next = self.pair.q.val() == 3 && self.last_token.q.val();
            self.pair.d.next = self.pair.q.val() + 1;
            if self.pair.q.val() == 3 {
                self.next_token.next = true;
                if self.last_token.q.val() {
                    self.hosting.d.next = false;
                    self.ready.d.next = false;
                }
            }
        }
        if self.next_token.val() {
            self.token.d.next = self.token.q.val() + 1;
            self.left.d.next = self.left.q.val() - 1;
            self.last_token.d.next = self.left.q.val() == 1;
        }

        // One of its entries.
        self.beat_slot.next = (bit_cast::<3, 2>(self.beat_pair.q.val()) << 1)
            | bit_cast::<3, 1>(self.second.q.val().into());
        self.beat_next.next = (bit_cast::<3, 2>(self.beat_pair.q.val()) << 1) | 1;
        self.entry.next = self.beat.q.val().get_bits::<64>(0);
        if self.second.q.val() {
            self.entry.next = self.beat.q.val().get_bits::<64>(64);
        }
        self.e_vld.d.next = (self.first.q.val() || self.second.q.val())
            && self.among.q.val().get_bit(self.beat_slot.val().index());
        self.e_last.d.next = self.beat_last.q.val()
            && (self.second.q.val()
                || (self.first.q.val()
                    && !self.among.q.val().get_bit(self.beat_next.val().index())));
        self.e_token.d.next = self.beat_token.q.val();
        self.e_slot.d.next = self.beat_slot.val();
        self.e_expert.d.next = self.entry.val().get_bits::<32>(0);
        self.e_weight.d.next = self.entry.val().get_bits::<32>(32);

        // Checked.
        self.f_vld.d.next = self.e_vld.q.val();
        self.f_last.d.next = self.e_last.q.val();
        self.f_token.d.next = self.e_token.q.val();
        self.f_slot.d.next = self.e_slot.q.val();
        self.f_expert.d.next = self.e_expert.q.val().get_bits::<8>(0);
        self.f_weight.d.next = self.e_weight.q.val().get_bits::<20>(0);
        self.f_over.d.next = self.e_weight.q.val().get_bits::<12>(20).any();
        self.f_none.d.next = self.e_expert.q.val() == self.no_expert.val();
        self.f_high.d.next = self.e_expert.q.val().get_bits::<16>(16).any();
        self.e_more.next = bit_cast::<17, 16>(self.e_expert.q.val().get_bits::<16>(0))
            - bit_cast::<17, 16>(self.experts.val());
        self.f_large.d.next = !self.e_more.val().get_bit(16);
        for i in 0..7 {
            self.f_equal[i].d.next = self.e_slot.q.val() != 0
                && self.named[i].q.val() == self.e_expert.q.val().get_bits::<8>(0);
            if self.e_vld.q.val() && self.e_slot.q.val() == i.to_bits() {
                self.named[i].d.next = self.e_expert.q.val().get_bits::<8>(0);
            }
        }

        // Judged. The first of a token forgets what the token before has named.
        self.repeated.next = false;
        for i in 0..7 {
            if self.names[i].q.val() && self.f_equal[i].q.val() {
                self.repeated.next = true;
            }
        }
        self.good.next = self.f_vld.q.val()
            && !self.f_none.q.val()
            && !self.f_high.q.val()
            && !self.f_large.q.val()
            && !self.repeated.val();
        if self.f_vld.q.val() && !self.f_none.q.val() && !self.good.val() {
            self.error.d.next = true;
        }
        for i in 0..7 {
            if self.f_vld.q.val() {
                if self.f_slot.q.val() == i.to_bits() {
                    self.names[i].d.next = self.good.val();
                } else if self.f_slot.q.val() == 0 {
                    self.names[i].d.next = false;
                }
            }
        }
        if self.good.val() {
            self.vld.d.next = true;
        }
        if self.f_last.q.val() {
            self.done.d.next = true;
        }
        self.err_route.next = self.error.q.val();

        // The route: the router's, or ours.
        self.r_vld.next = self.router_vld.val() || self.vld.q.val();
        self.r_token.next = self.router_token.val();
        self.r_slot.next = self.router_slot.val();
        self.r_expert.next = self.router_expert.val();
        self.r_weight.next = self.router_weight.val();
        if self.ours.q.val() {
            self.r_token.next = self.route_token.q.val();
            self.r_slot.next = self.route_slot.q.val();
            self.r_expert.next = self.route_expert.q.val();
            self.r_weight.next = self.route_weight.q.val();
        }
        self.rt_vld.next = self.r_vld.val();
        self.rt_token.next = self.r_token.val();
        self.rt_slot.next = self.r_slot.val();
        self.rt_expert.next = self.r_expert.val();
        self.rt_weight.next = self.r_weight.val();
        self.rt_done.next = self.router_done.val() || self.done.q.val();

        // The store, in.
        self.addr.next = (bit_cast::<16, 8>(self.r_token.val()) << 2)
            | bit_cast::<16, 2>(self.r_slot.val().get_bits::<2>(1));
        self.word.next =
            bit_cast::<28, 8>(self.r_expert.val()) | (bit_cast::<28, 20>(self.r_weight.val()) << 8);
        self.even.we.next = self.r_vld.val() && !self.r_slot.val().get_bit(0);
        self.even.waddr.next = self.addr.val();
        self.even.wdata.next = self.word.val();
        self.odd.we.next = self.r_vld.val() && self.r_slot.val().get_bit(0);
        self.odd.waddr.next = self.addr.val();
        self.odd.wdata.next = self.word.val();

        // Out: one cycle to read, then hold until taken.
        self.even.re.next = !self.fresh.q.val();
        self.even.raddr.next = bit_cast::<16, 10>(self.out_beat.q.val());
        self.odd.re.next = !self.fresh.q.val();
        self.odd.raddr.next = bit_cast::<16, 10>(self.out_beat.q.val());
        self.fresh.d.next = self.running.q.val();
        // What follows from its number is there when the beat is.
        self.out_pair.next = bit_cast::<3, 2>(self.out_beat.q.val().get_bits::<2>(0)) << 1;
        self.out_pair1.next = (bit_cast::<3, 2>(self.out_beat.q.val().get_bits::<2>(0)) << 1) | 1;
        self.show_low.d.next = self.among.q.val().get_bit(self.out_pair.val().index());
        self.show_high.d.next = self.among.q.val().get_bit(self.out_pair1.val().index());
        self.last_beat.d.next = (bit_cast::<10, 8>(self.tokens.val().get_bits::<8>(0)) << 2) - 1;
        self.out_last.d.next = self.out_beat.q.val() == self.last_beat.q.val();
        self.low.next = self.even.rdata.val();
        if !self.show_low.q.val() {
            self.low.next = 0.into();
        }
        self.high.next = self.odd.rdata.val();
        if !self.show_high.q.val() {
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
            if self.out_last.q.val() {
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
            self.ready.d.next = self.source.val() == self.from_host.val();
            self.filling.d.next = self.source.val() == self.from_all.val();
            self.ours.d.next = self.source.val() == self.from_host.val()
                || self.source.val() == self.from_all.val();
            self.token.d.next = 0.into();
            self.left.d.next = self.tokens.val().get_bits::<8>(0) - 1;
            self.last_token.d.next = self.tokens.val() == 1;
            self.pair.d.next = 0.into();
            self.error.d.next = false;
        }
        if self.go.val() || self.rst.val() {
            self.first.d.next = false;
            self.second.d.next = false;
            self.turn.d.next = false;
            self.e_vld.d.next = false;
            self.e_last.d.next = false;
            self.f_vld.d.next = false;
            self.f_last.d.next = false;
            self.vld.d.next = false;
            self.done.d.next = false;
        }
        if self.rst.val() {
            self.hosting.d.next = false;
            self.ready.d.next = false;
            self.filling.d.next = false;
            self.error.d.next = false;
            self.running.d.next = false;
            self.fresh.d.next = false;
        }
    }
}
