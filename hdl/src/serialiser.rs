//! The results of a group, one after the other.
//!
//! What: takes the sums of all lanes at once into two chains (even and odd lanes; of a pair of rows two more), shifts them into a memory at
//! the place of their group, one result per cycle, and sends them from there with what the walker said about the group. A result is a
//! row, or gate and up of one hidden element: these lie in neighbouring lanes, or in the two rows of a lane.
//! Cost: docs/utilisation.md. Latency: 4 cycles from the sums to the first result at the output.
//! Bottleneck: one result per cycle.
//! Hazards: a group's sums come no sooner than the chains have been emptied (`Beats` keeps the distance), and only with a place
//! (`Walker` counts). Reading a group begins two cycles after its sums came and proceeds no faster than writing, so it never meets it.
//! Filling is written, but not read.

use abi::Config;
use leaf::prelude::*;

use crate::walker::{constant, ones, PLACES};

/// Bits of a group's description: group 16, count 4, last, end, token 8, q 8, weight 20, kind 2, limb, two exponents of 10, expert 8.
const META: usize = 89;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Serialiser {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high; also at `go`.
    pub rst: Signal<In, Bit>,
    /// Two rows per lane (not of the router).
    pub paired: Signal<In, Bit>,
    /// Hidden has gate and up.
    pub gated: Signal<In, Bit>,
    /// Weights of a router row.
    pub d: Signal<In, Bits<16>>,
    /// Weights of a row of d inputs.
    pub kept_d: Signal<In, Bits<16>>,
    /// Weights of a row of f inputs.
    pub kept_f: Signal<In, Bits<16>>,

    /// A group was issued (`Walker`); what follows describes it.
    pub row_vld: Signal<In, Bit>,
    /// Its number in the section.
    pub row_group: Signal<In, Bits<16>>,
    /// Its results, less one.
    pub row_count: Signal<In, Bits<4>>,
    /// Last group of the section's last vector.
    pub row_last: Signal<In, Bit>,
    /// Last group of the section.
    pub row_end: Signal<In, Bit>,
    /// Token.
    pub row_token: Signal<In, Bits<8>>,
    /// Position in the queue.
    pub row_q: Signal<In, Bits<8>>,
    /// Router weight.
    pub row_weight: Signal<In, Bits<20>>,
    /// `abi::Kind`.
    pub row_kind: Signal<In, Bits<2>>,
    /// Router: the limb of x.
    pub row_limb: Signal<In, Bit>,
    /// Exponent of the matrix, signed; of a pair the gate's.
    pub row_exp_a: Signal<In, Bits<10>>,
    /// That of up.
    pub row_exp_b: Signal<In, Bits<10>>,
    /// Expert.
    pub row_expert: Signal<In, Bits<8>>,
    /// The last result of a group has left its place.
    pub row_gone: Signal<Out, Bit>,
    /// The next group in order (of those that enter the lanes): its LSB for a matrix of exponent 0.
    pub lsb_vld: Signal<In, Bit>,
    /// See `lsb_vld`.
    pub lsb_data: Signal<In, Bits<10>>,

    /// The sums of a group.
    pub in_vld: Signal<In, Bit>,
    /// Of each lane.
    pub in_acc: [Signal<In, Bits<36>>; 8],
    /// Of each lane's second row.
    pub in2_acc: [Signal<In, Bits<36>>; 8],

    /// A result.
    pub out_vld: Signal<Out, Bit>,
    /// Result taken.
    pub out_rdy: Signal<In, Bit>,
    /// A pair of gate and up.
    pub out_pair: Signal<Out, Bit>,
    /// Sum, signed.
    pub out_a: Signal<Out, Bits<36>>,
    /// Pair: the sum of up.
    pub out_b: Signal<Out, Bits<36>>,
    /// `abi::Kind`.
    pub out_kind: Signal<Out, Bits<2>>,
    /// Router: the limb of x.
    pub out_limb: Signal<Out, Bit>,
    /// Row.
    pub out_row: Signal<Out, Bits<16>>,
    /// Token.
    pub out_token: Signal<Out, Bits<8>>,
    /// Position in the queue.
    pub out_q: Signal<Out, Bits<8>>,
    /// The LSB of `out_a` is 2 to this power, signed.
    pub out_lsb_a: Signal<Out, Bits<16>>,
    /// The same of `out_b`.
    pub out_lsb_b: Signal<Out, Bits<16>>,
    /// Router weight.
    pub out_weight: Signal<Out, Bits<20>>,
    /// Expert.
    pub out_expert: Signal<Out, Bits<8>>,
    /// Last result of the section.
    pub out_last: Signal<Out, Bit>,
    /// Down or plain: last result of the vector.
    pub out_end: Signal<Out, Bit>,
    /// A result has left its place, but not the output.
    pub busy: Signal<Out, Bit>,
    /// Weights that were counted in the cycle before.
    pub macs: Signal<Out, Bits<16>>,
    /// The last result of Down or of a plain layer leaves.
    pub section_done: Signal<Out, Bit>,

    // What the groups are.
    meta: Dram<META, 4>,
    kinds: Dram<2, 4>,
    counts: Dram<4, 4>,
    lsbs: Dram<10, 4>,
    meta_write: Dff<Bits<4>>,
    lsb_write: Dff<Bits<4>>,

    // The chains.
    even: [Dff<Bits<36>>; 4],
    odd: [Dff<Bits<36>>; 4],
    even2: [Dff<Bits<36>>; 4],
    odd2: [Dff<Bits<36>>; 4],
    in_place: Dff<Bits<4>>,
    place: Dff<Bits<4>>,
    index: Dff<Bits<4>>,
    active: Dff<Bit>,
    started: Dff<Bit>,
    pairs: Dff<Bit>,
    double: Dff<Bit>,
    in_pairs: Signal<Local, Bit>,
    in_double: Signal<Local, Bit>,
    by_two: Signal<Local, Bit>,
    shift: Signal<Local, Bit>,
    last_index: Signal<Local, Bits<4>>,
    a: Signal<Local, Bits<36>>,
    b: Signal<Local, Bits<36>>,
    result: Ram<72, 8>,

    // Reading: `s` is the result in the memory's register.
    ready: Dff<Bits<5>>,
    read: Dff<Bits<4>>,
    at: Dff<Bits<4>>,
    fetch: Signal<Local, Bit>,
    head: Signal<Local, Bits<META>>,
    group_last: Dff<Bit>,
    next_read: Dff<Bits<4>>,
    gone: Signal<Local, Bit>,
    row: Signal<Local, Bits<16>>,
    hidden: Signal<Local, Bit>,
    twofold: Signal<Local, Bit>,
    lsb_a: Signal<Local, Bits<10>>,
    lsb_b: Signal<Local, Bits<10>>,
    s_go: Signal<Local, Bit>,
    o_go: Signal<Local, Bit>,
    s_vld: Dff<Bit>,
    s_pair: Dff<Bit>,
    s_kind: Dff<Bits<2>>,
    s_limb: Dff<Bit>,
    s_row: Dff<Bits<16>>,
    s_token: Dff<Bits<8>>,
    s_q: Dff<Bits<8>>,
    s_lsb_a: Dff<Bits<10>>,
    s_lsb_b: Dff<Bits<10>>,
    s_weight: Dff<Bits<20>>,
    s_expert: Dff<Bits<8>>,
    s_last: Dff<Bit>,
    s_end: Dff<Bit>,
    o_vld: Dff<Bit>,
    o_pair: Dff<Bit>,
    o_a: Dff<Bits<36>>,
    o_b: Dff<Bits<36>>,
    o_kind: Dff<Bits<2>>,
    o_limb: Dff<Bit>,
    o_row: Dff<Bits<16>>,
    o_token: Dff<Bits<8>>,
    o_q: Dff<Bits<8>>,
    o_lsb_a: Dff<Bits<10>>,
    o_lsb_b: Dff<Bits<10>>,
    o_weight: Dff<Bits<20>>,
    o_expert: Dff<Bits<8>>,
    o_last: Dff<Bit>,
    o_end: Dff<Bit>,
    kept: Signal<Local, Bits<16>>,
    counted: Dff<Bits<16>>,
    count_one: Dff<Bit>,
    count_pair: Dff<Bit>,
    sent: Signal<Local, Bit>,

    second_rows: Constant<Bit>,
    // What the configuration can count to: bits beyond are no logic.
    row_bits: Constant<Bits<16>>,
    kept_bits: Constant<Bits<16>>,
}

impl Serialiser {
    /// For an engine of `config`.
    pub fn new(config: &Config) -> Self {
        let rows = config.d_max.max(config.f_max).max(2 * config.experts_max);
        Self {
            clk: Default::default(),
            rst: Default::default(),
            paired: Default::default(),
            gated: Default::default(),
            d: Default::default(),
            kept_d: Default::default(),
            kept_f: Default::default(),
            row_vld: Default::default(),
            row_group: Default::default(),
            row_count: Default::default(),
            row_last: Default::default(),
            row_end: Default::default(),
            row_token: Default::default(),
            row_q: Default::default(),
            row_weight: Default::default(),
            row_kind: Default::default(),
            row_limb: Default::default(),
            row_exp_a: Default::default(),
            row_exp_b: Default::default(),
            row_expert: Default::default(),
            row_gone: Default::default(),
            lsb_vld: Default::default(),
            lsb_data: Default::default(),
            in_vld: Default::default(),
            in_acc: arr(),
            in2_acc: arr(),
            out_vld: Default::default(),
            out_rdy: Default::default(),
            out_pair: Default::default(),
            out_a: Default::default(),
            out_b: Default::default(),
            out_kind: Default::default(),
            out_limb: Default::default(),
            out_row: Default::default(),
            out_token: Default::default(),
            out_q: Default::default(),
            out_lsb_a: Default::default(),
            out_lsb_b: Default::default(),
            out_weight: Default::default(),
            out_expert: Default::default(),
            out_last: Default::default(),
            out_end: Default::default(),
            busy: Default::default(),
            macs: Default::default(),
            section_done: Default::default(),
            meta: Dram::new(PLACES),
            kinds: Dram::new(PLACES),
            counts: Dram::new(PLACES),
            lsbs: Dram::new(PLACES),
            meta_write: Default::default(),
            lsb_write: Default::default(),
            even: arr(),
            odd: arr(),
            even2: arr(),
            odd2: arr(),
            in_place: Default::default(),
            place: Default::default(),
            index: Default::default(),
            active: Default::default(),
            started: Default::default(),
            pairs: Default::default(),
            double: Default::default(),
            in_pairs: Default::default(),
            in_double: Default::default(),
            by_two: Default::default(),
            shift: Default::default(),
            last_index: Default::default(),
            a: Default::default(),
            b: Default::default(),
            result: Ram::new(16 * PLACES),
            ready: Default::default(),
            read: Default::default(),
            at: Default::default(),
            fetch: Default::default(),
            head: Default::default(),
            group_last: Default::default(),
            next_read: Default::default(),
            gone: Default::default(),
            row: Default::default(),
            hidden: Default::default(),
            twofold: Default::default(),
            lsb_a: Default::default(),
            lsb_b: Default::default(),
            s_go: Default::default(),
            o_go: Default::default(),
            s_vld: Default::default(),
            s_pair: Default::default(),
            s_kind: Default::default(),
            s_limb: Default::default(),
            s_row: Default::default(),
            s_token: Default::default(),
            s_q: Default::default(),
            s_lsb_a: Default::default(),
            s_lsb_b: Default::default(),
            s_weight: Default::default(),
            s_expert: Default::default(),
            s_last: Default::default(),
            s_end: Default::default(),
            o_vld: Default::default(),
            o_pair: Default::default(),
            o_a: Default::default(),
            o_b: Default::default(),
            o_kind: Default::default(),
            o_limb: Default::default(),
            o_row: Default::default(),
            o_token: Default::default(),
            o_q: Default::default(),
            o_lsb_a: Default::default(),
            o_lsb_b: Default::default(),
            o_weight: Default::default(),
            o_expert: Default::default(),
            o_last: Default::default(),
            o_end: Default::default(),
            kept: Default::default(),
            counted: Default::default(),
            count_one: Default::default(),
            count_pair: Default::default(),
            sent: Default::default(),
            second_rows: Constant::new(config.modes.pairs),
            row_bits: constant(rows - 1),
            kept_bits: constant(ones(config.d_max.max(config.f_max))),
        }
    }
}

impl Logic for Serialiser {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("serialiser");
        dff_setup!(
            self, clk, meta_write, lsb_write, in_place, place, index, active, started, pairs,
            double, ready, read, at, s_vld, s_pair, s_kind, s_limb, s_row, s_token, s_q, s_lsb_a,
            s_lsb_b, s_weight, s_expert, s_last, s_end, o_vld, o_pair, o_a, o_b, o_kind, o_limb,
            o_row, o_token, o_q, o_lsb_a, o_lsb_b, o_weight, o_expert, o_last, o_end, counted,
            count_one, count_pair, group_last, next_read
        );
        clock!(self, clk, meta, kinds, counts, lsbs, result);

        // What the groups are, in the order in which they were issued and in which they enter the lanes, which is the same.
        self.meta.we.next = self.row_vld.val();
        self.meta.waddr.next = self.meta_write.q.val();
        self.meta.wdata.next = bit_cast::<89, 16>(self.row_group.val())
            | (bit_cast::<89, 4>(self.row_count.val()) << bits::<7>(16))
            | (bit_cast::<89, 1>(self.row_last.val().into()) << bits::<7>(20))
            | (bit_cast::<89, 1>(self.row_end.val().into()) << bits::<7>(21))
            | (bit_cast::<89, 8>(self.row_token.val()) << bits::<7>(22))
            | (bit_cast::<89, 8>(self.row_q.val()) << bits::<7>(30))
            | (bit_cast::<89, 20>(self.row_weight.val()) << bits::<7>(38))
            | (bit_cast::<89, 2>(self.row_kind.val()) << bits::<7>(58))
            | (bit_cast::<89, 1>(self.row_limb.val().into()) << bits::<7>(60))
            | (bit_cast::<89, 10>(self.row_exp_a.val()) << bits::<7>(61))
            | (bit_cast::<89, 10>(self.row_exp_b.val()) << bits::<7>(71))
            | (bit_cast::<89, 8>(self.row_expert.val()) << bits::<7>(81));
        self.meta.raddr.next = self.read.q.val();
        self.kinds.we.next = self.row_vld.val();
        self.kinds.waddr.next = self.meta_write.q.val();
        self.kinds.wdata.next = self.row_kind.val();
        self.kinds.raddr.next = self.in_place.q.val();
        self.counts.we.next = self.row_vld.val();
        self.counts.waddr.next = self.meta_write.q.val();
        self.counts.wdata.next = self.row_count.val();
        self.counts.raddr.next = self.next_read.q.val();
        if self.row_vld.val() {
            self.meta_write.d.next = self.meta_write.q.val() + 1;
        }
        self.lsbs.we.next = self.lsb_vld.val();
        self.lsbs.waddr.next = self.lsb_write.q.val();
        self.lsbs.wdata.next = self.lsb_data.val();
        self.lsbs.raddr.next = self.read.q.val();
        if self.lsb_vld.val() {
            self.lsb_write.d.next = self.lsb_write.q.val() + 1;
        }

        // The chains.
        self.in_pairs.next = self.gated.val() && self.kinds.rdata.val() == 1;
        self.in_double.next =
            self.second_rows.val() && self.paired.val() && self.kinds.rdata.val() != 0;
        self.by_two.next = self.pairs.q.val() && !self.double.q.val();
        self.shift.next = self.by_two.val() || self.index.q.val().get_bit(0);
        self.last_index.next = 7.into();
        if self.by_two.val() {
            self.last_index.next = 3.into();
        }
        if self.double.q.val() && !self.pairs.q.val() {
            self.last_index.next = 15.into();
        }
        for i in 0..4 {
            self.even[i].clock.next = self.clk.val();
            self.odd[i].clock.next = self.clk.val();
            self.even2[i].clock.next = self.clk.val();
            self.odd2[i].clock.next = self.clk.val();
            self.even[i].d.next = self.even[i].q.val();
            self.odd[i].d.next = self.odd[i].q.val();
            self.even2[i].d.next = self.even2[i].q.val();
            self.odd2[i].d.next = self.odd2[i].q.val();
        }
        if self.shift.val() {
            for i in 0..3 {
                self.even[i].d.next = self.even[i + 1].q.val();
                self.odd[i].d.next = self.odd[i + 1].q.val();
                self.even2[i].d.next = self.even2[i + 1].q.val();
                self.odd2[i].d.next = self.odd2[i + 1].q.val();
            }
            if self.second_rows.val() {
                self.even[3].d.next = self.even2[0].q.val();
                self.odd[3].d.next = self.odd2[0].q.val();
            }
        }
        if self.in_vld.val() {
            for i in 0..4 {
                self.even[i].d.next = self.in_acc[2 * i].val();
                self.odd[i].d.next = self.in_acc[2 * i + 1].val();
                self.even2[i].d.next = self.in2_acc[2 * i].val();
                self.odd2[i].d.next = self.in2_acc[2 * i + 1].val();
            }
        }
        self.a.next = self.even[0].q.val();
        if self.index.q.val().get_bit(0) && !self.by_two.val() {
            self.a.next = self.odd[0].q.val();
        }
        self.b.next = self.odd[0].q.val();
        if self.double.q.val() {
            self.b.next = self.even2[0].q.val();
            if self.index.q.val().get_bit(0) {
                self.b.next = self.odd2[0].q.val();
            }
        }
        self.result.we.next = self.active.q.val();
        self.result.waddr.next = bit_cast::<8, 4>(self.index.q.val())
            | (bit_cast::<8, 4>(self.place.q.val()) << bits::<3>(4));
        self.result.wdata.next =
            bit_cast::<72, 36>(self.a.val()) | (bit_cast::<72, 36>(self.b.val()) << bits::<6>(36));
        self.index.d.next = self.index.q.val() + 1;
        if self.index.q.val() == self.last_index.val() {
            self.active.d.next = false;
        }
        self.started.d.next = self.in_vld.val();
        if self.in_vld.val() {
            self.active.d.next = true;
            self.index.d.next = 0.into();
            self.place.d.next = self.in_place.q.val();
            self.in_place.d.next = self.in_place.q.val() + 1;
            self.pairs.d.next = self.in_pairs.val();
            self.double.d.next = self.in_double.val();
        }

        // Reading.
        self.o_go.next = !self.o_vld.q.val() || self.out_rdy.val();
        self.s_go.next = !self.s_vld.q.val() || self.o_go.val();
        self.fetch.next = self.ready.q.val() != 0 && self.s_go.val();
        self.result.re.next = self.fetch.val();
        self.result.raddr.next = bit_cast::<8, 4>(self.at.q.val())
            | (bit_cast::<8, 4>(self.read.q.val()) << bits::<3>(4));
        self.head.next = self.meta.rdata.val();
        self.gone.next = self.fetch.val() && self.group_last.q.val();
        self.row_gone.next = self.gone.val();
        // Whether the next result to fetch is its group's last is known when its cycle begins; a group was described long before its results come.
        self.group_last.d.next = self.at.q.val() == self.head.val().get_bits::<4>(16);
        if self.fetch.val() {
            self.at.d.next = self.at.q.val() + 1;
            self.group_last.d.next = self.at.q.val() + 1 == self.head.val().get_bits::<4>(16);
        }
        if self.gone.val() {
            self.at.d.next = 0.into();
            self.group_last.d.next = self.counts.rdata.val() == 0;
            self.read.d.next = self.next_read.q.val();
            self.next_read.d.next = self.next_read.q.val() + 1;
        }
        self.ready.d.next = self.ready.q.val() + bit_cast::<5, 1>(self.started.q.val().into())
            - bit_cast::<5, 1>(self.gone.val().into());
        // A group has 4, 8 or 16 results.
        self.hidden.next = self.gated.val() && self.head.val().get_bits::<2>(58) == 1;
        self.twofold.next =
            self.second_rows.val() && self.paired.val() && self.head.val().get_bits::<2>(58) != 0;
        self.row.next = self.head.val().get_bits::<16>(0) << bits::<2>(3);
        if self.hidden.val() && !self.twofold.val() {
            self.row.next = self.head.val().get_bits::<16>(0) << bits::<2>(2);
        }
        if !self.hidden.val() && self.twofold.val() {
            self.row.next = self.head.val().get_bits::<16>(0) << bits::<3>(4);
        }
        self.lsb_a.next = self.lsbs.rdata.val() + self.head.val().get_bits::<10>(61);
        self.lsb_b.next = self.lsbs.rdata.val() + self.head.val().get_bits::<10>(71);
        if self.s_go.val() {
            self.s_vld.d.next = self.fetch.val();
            self.s_pair.d.next = self.hidden.val();
            self.s_kind.d.next = self.head.val().get_bits::<2>(58);
            self.s_limb.d.next = self.head.val().get_bit(60);
            self.s_row.d.next =
                (self.row.val() & self.row_bits.val()) | bit_cast::<16, 4>(self.at.q.val());
            self.s_token.d.next = self.head.val().get_bits::<8>(22);
            self.s_q.d.next = self.head.val().get_bits::<8>(30);
            self.s_lsb_a.d.next = self.lsb_a.val();
            self.s_lsb_b.d.next = self.lsb_b.val();
            self.s_weight.d.next = self.head.val().get_bits::<20>(38);
            self.s_expert.d.next = self.head.val().get_bits::<8>(81);
            self.s_last.d.next = self.head.val().get_bit(20) && self.group_last.q.val();
            self.s_end.d.next = self.head.val().get_bit(21)
                && self.head.val().get_bit(59)
                && self.group_last.q.val();
        }
        if self.o_go.val() {
            self.o_vld.d.next = self.s_vld.q.val();
            self.o_a.d.next = self.result.rdata.val().get_bits::<36>(0);
            self.o_b.d.next = self.result.rdata.val().get_bits::<36>(36);
            self.o_pair.d.next = self.s_pair.q.val();
            self.o_kind.d.next = self.s_kind.q.val();
            self.o_limb.d.next = self.s_limb.q.val();
            self.o_row.d.next = self.s_row.q.val();
            self.o_token.d.next = self.s_token.q.val();
            self.o_q.d.next = self.s_q.q.val();
            self.o_lsb_a.d.next = self.s_lsb_a.q.val();
            self.o_lsb_b.d.next = self.s_lsb_b.q.val();
            self.o_weight.d.next = self.s_weight.q.val();
            self.o_expert.d.next = self.s_expert.q.val();
            self.o_last.d.next = self.s_last.q.val();
            self.o_end.d.next = self.s_end.q.val();
        }
        self.out_vld.next = self.o_vld.q.val();
        self.out_pair.next = self.o_pair.q.val();
        self.out_a.next = self.o_a.q.val();
        self.out_b.next = self.o_b.q.val();
        self.out_kind.next = self.o_kind.q.val();
        self.out_limb.next = self.o_limb.q.val();
        self.out_row.next = self.o_row.q.val();
        self.out_token.next = self.o_token.q.val();
        self.out_q.next = self.o_q.q.val();
        self.out_lsb_a.next =
            unsigned_cast(bit_cast_sx::<16, 10>(signed_cast(self.o_lsb_a.q.val())));
        self.out_lsb_b.next =
            unsigned_cast(bit_cast_sx::<16, 10>(signed_cast(self.o_lsb_b.q.val())));
        self.out_weight.next = self.o_weight.q.val();
        self.out_expert.next = self.o_expert.q.val();
        self.out_last.next = self.o_last.q.val();
        self.out_end.next = self.o_end.q.val();
        self.busy.next = self.s_vld.q.val() || self.o_vld.q.val();

        // What was done.
        self.sent.next = self.o_vld.q.val() && self.out_rdy.val();
        self.section_done.next =
            self.sent.val() && self.o_last.q.val() && self.o_kind.q.val().get_bit(1);
        self.kept.next = self.kept_d.val();
        if self.o_kind.q.val() == 0 {
            self.kept.next = self.d.val();
        }
        if self.o_kind.q.val() == 2 {
            self.kept.next = self.kept_f.val();
        }
        self.counted.d.next = self.kept.val() & self.kept_bits.val();
        self.count_pair.d.next = self.sent.val() && self.o_pair.q.val();
        self.count_one.d.next = self.sent.val() && !self.o_pair.q.val();
        self.macs.next = 0.into();
        if self.count_one.q.val() {
            self.macs.next = self.counted.q.val();
        }
        if self.count_pair.q.val() {
            self.macs.next = self.counted.q.val() << bits::<1>(1);
        }

        if self.rst.val() {
            self.meta_write.d.next = 0.into();
            self.lsb_write.d.next = 0.into();
            self.in_place.d.next = 0.into();
            self.active.d.next = false;
            self.started.d.next = false;
            self.ready.d.next = 0.into();
            self.read.d.next = 0.into();
            self.next_read.d.next = 1.into();
            self.group_last.d.next = false;
            self.at.d.next = 0.into();
            self.s_vld.d.next = false;
            self.o_vld.d.next = false;
            self.count_one.d.next = false;
            self.count_pair.d.next = false;
        }
    }
}
