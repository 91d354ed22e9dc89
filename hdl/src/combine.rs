//! Combine: weighted expert outputs into one fixed-point sum per token and row, sent as y (`docs/formats.md`, section 6).
//!
//! What: z = acc * weight at the command's LSB is added to the sum in RAM. After `go` the sums are cleared, a beat of four rows per
//! cycle in token order (adding goes first; a row of a token that is not cleared yet waits), unless `keep_sums`. Routes count
//! the contributions that a token will get, `in_end` counts those that came; a token whose contributions are all in its sums is
//! sent: rounded, saturated, four rows a beat, tokens in order, in cycles in which adding does not read.
//!
//! Cost: four RAMs of `tokens_max * d_max / 4` x 48, a 36 x 20 multiplier of LUTs, a shifter of 99 places, a 48-bit adder,
//! four 49-bit roundings, a LUT RAM of 16 beats.
//! Latency: 15 cycles from input to the sum; a beat of y 5 cycles after it is asked for. Bottleneck: one row per cycle in, one
//! beat per cycle out.
//!
//! Hazards: a sum is read at stage 11 and written at stage 15, so the same token and row may come again five cycles later. A row waits
//! in stage 0 while stages 1 to 4 hold one with the same low bits of token and row (a few false alarms are cheaper than
//! whole addresses; the rows of a group differ there). y reads only sums that nothing is added to any more. Clears take the
//! write port in cycles without a sum, and a row starts only when its token is cleared, so it reads behind the clear.
//! Routes come before `rt_done` and contributions after it, so one port serves the counters.
//!
//! The shift goes right from 43 places too far to the left, one bit of the amount per stage, the largest first; each stage keeps
//! only the bits that the next ones can still need. What falls out below is kept as guard and sticky bit, what falls out above
//! must be copies of the sign. The last increment of the rounding is the carry into the sum.
//!
//! Not built: forwarding of sums. Reconsider if rows of a token ever follow each other that closely.

use abi::Config;
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Combine {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: drops what is inside; the sums stay.
    pub rst: Signal<In, Bit>,
    /// Starts a command; nothing is inside then.
    pub go: Signal<In, Bit>,
    /// LSB of the output: 2^this, signed.
    pub lsb_y: Signal<In, Bits<16>>,
    /// T.
    pub tokens: Signal<In, Bits<16>>,
    /// Rows of a token.
    pub rows_y: Signal<In, Bits<16>>,
    /// The sums of the command before stay.
    pub keep_sums: Signal<In, Bit>,
    /// y is not sent.
    pub no_y: Signal<In, Bit>,
    /// A contribution will come; before or with `rt_done`.
    pub rt_vld: Signal<In, Bit>,
    /// Its token.
    pub rt_token: Signal<In, Bits<8>>,
    /// No route comes after this cycle; a pulse, or a level until `go`.
    pub rt_done: Signal<In, Bit>,
    /// Accumulator valid; after `rt_done`.
    pub in_vld: Signal<In, Bit>,
    /// Accumulator taken.
    pub in_rdy: Signal<Out, Bit>,
    /// The accumulator, signed.
    pub in_acc: Signal<In, Bits<36>>,
    /// Its LSB is 2^this, signed.
    pub in_lsb: Signal<In, Bits<16>>,
    /// Its row.
    pub in_row: Signal<In, Bits<16>>,
    /// Its token.
    pub in_token: Signal<In, Bits<8>>,
    /// The expert's router weight, Q4.16.
    pub in_weight: Signal<In, Bits<20>>,
    /// It is the last row of the contribution.
    pub in_end: Signal<In, Bit>,
    /// Beat valid.
    pub y_vld: Signal<Out, Bit>,
    /// Beat taken.
    pub y_rdy: Signal<In, Bit>,
    /// Four int32; rows are filled with zeros to whole beats.
    pub y_data: Signal<Out, Bits<128>>,
    /// Level, from the end of a command to the next `go`: all sums are complete and, unless `no_y`, all beats taken.
    pub y_done: Signal<Out, Bit>,
    /// Saturations, a cycle late: one per accumulator, up to four per beat.
    pub sat: Signal<Out, Bits<3>>,
    /// Accumulators are inside, or beats of complete tokens are on their way.
    pub busy: Signal<Out, Bit>,

    row_shift: Constant<Bits<19>>,
    sums: [Ram<48, 19>; 4],

    // Accumulators by stage; stage 0 may have to wait.
    vld: [Dff<Bit>; 16],
    row: [Dff<Bits<16>>; 16],
    token: [Dff<Bits<8>>; 16],
    end: [Dff<Bit>; 16],
    s0_acc: Dff<Bits<36>>,
    s0_weight: Dff<Bits<20>>,
    s0_lsb: Dff<Bits<16>>,
    clash: Dff<Bit>,
    clash_in: Signal<Local, Bit>,
    clash_here: Signal<Local, Bit>,
    cleared: Dff<Bit>,
    take: Signal<Local, Bit>,
    step: Signal<Local, Bit>,

    // Product, and the distance from 43 places to the left.
    product: MulLut<36, 20, 56>,
    p: Signal<Local, Bits<56>>,
    s1_diff: Dff<Bits<18>>,
    s2_distance: Dff<Bits<18>>,
    amount: [Dff<Bits<7>>; 9],

    // The shift, stages 6 to 12.
    sh6: Dff<Bits<99>>,
    sh7: Dff<Bits<75>>,
    sh8: Dff<Bits<59>>,
    sh9: Dff<Bits<51>>,
    sh10: Dff<Bits<47>>,
    sh11: Dff<Bits<45>>,
    sh12: Dff<Bits<44>>,
    above: [Signal<Local, Bit>; 7],
    below: [Signal<Local, Bit>; 7],
    next_guard: [Signal<Local, Bit>; 7],
    far: [Signal<Local, Bit>; 7],
    guard: [Dff<Bit>; 7],
    sticky: [Dff<Bit>; 7],
    over: [Dff<Bit>; 7],
    negative: [Dff<Bit>; 8],
    s13_z: Dff<Bits<44>>,
    s13_up: Dff<Bit>,
    s13_most: Dff<Bit>,
    s13_least: Dff<Bit>,
    s13_over: Dff<Bit>,
    s14_z: Dff<Bits<44>>,
    s14_up: Dff<Bit>,
    s14_sat: Dff<Bit>,

    // The sum: read at stage 11, all four rows at 13, the one at 14, written at 15.
    rd_addr: Dff<Bits<19>>,
    read: [Dff<Bits<48>>; 4],
    old: Dff<Bits<48>>,
    sum: Signal<Local, Bits<49>>,
    w_we: Dff<Bits<4>>,
    w_addr: Dff<Bits<19>>,
    w_data: Dff<Bits<48>>,

    // Clearing.
    last_beat: Dff<Bits<14>>,
    starts: Dff<Bit>,
    begins: Dff<Bit>,
    single: Dff<Bit>,
    tokens_less: Dff<Bits<16>>,
    clearing: Dff<Bit>,
    clr_last: Dff<Bit>,
    clr_token: Dff<Bits<9>>,
    clr_beat: Dff<Bits<14>>,

    // Contributions per token; bit 15 - t mod 16 of chunk t / 16 marks a token that gets any.
    some: Vec<Dff<Bits<16>>>,
    pending: Dram<4, 8>,
    left: Signal<Local, Bits<4>>,
    place: Dff<Bits<8>>,
    at_route: Dff<Bit>,
    at_end: Dff<Bit>,
    at_look: Dff<Bit>,
    mark: Signal<Local, Bits<16>>,
    chunk: Signal<Local, Bits<16>>,
    known: Signal<Local, Bit>,
    ending: Signal<Local, Bit>,
    active: Dff<Bit>,
    routed: Dff<Bit>,
    complete: Dff<Bits<9>>,
    finished: Dff<Bit>,
    done: Dff<Bit>,

    // y: asked for at stage 10, rounded at 14, limited at 15, then in the LUT RAM.
    y_token: Dff<Bits<9>>,
    y_beat: Dff<Bits<14>>,
    y_ready: Dff<Bit>,
    ask: Signal<Local, Bit>,
    y_last: Dff<Bit>,
    asked: [Dff<Bit>; 5],
    rows: [Dff<Bits<4>>; 5],
    exact: [Signal<Local, Signed<50>>; 4],
    wide: [Signal<Local, Bits<50>>; 4],
    half: [Signal<Local, Bits<50>>; 4],
    rounded: [Dff<Bits<41>>; 4],
    exceeds: [Signal<Local, Bit>; 4],
    least: [Dff<Bits<32>>; 4],
    below_zero: [Dff<Bit>; 4],
    beyond: [Dff<Bit>; 4],
    word: [Signal<Local, Bits<32>>; 4],
    beats: Dram<128, 4>,
    held: Dff<Bits<5>>,
    put: Dff<Bits<5>>,
    got: Dff<Bits<5>>,
    pop: Signal<Local, Bit>,
    saturated: Dff<Bits<3>>,
    _chunks: usize,
}

impl Combine {
    /// Sums for `tokens_max` tokens of `d_max` rows.
    pub fn new(config: &Config) -> Self {
        let depth = config.tokens_max * config.d_max / 4;
        let chunks = config.tokens_max.div_ceil(16);
        Self {
            clk: Default::default(),
            rst: Default::default(),
            go: Default::default(),
            lsb_y: Default::default(),
            tokens: Default::default(),
            rows_y: Default::default(),
            keep_sums: Default::default(),
            no_y: Default::default(),
            rt_vld: Default::default(),
            rt_token: Default::default(),
            rt_done: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_acc: Default::default(),
            in_lsb: Default::default(),
            in_row: Default::default(),
            in_token: Default::default(),
            in_weight: Default::default(),
            in_end: Default::default(),
            y_vld: Default::default(),
            y_rdy: Default::default(),
            y_data: Default::default(),
            y_done: Default::default(),
            sat: Default::default(),
            busy: Default::default(),
            row_shift: Constant::new(u64::from((config.d_max / 4).trailing_zeros()).to_bits()),
            sums: std::array::from_fn(|_| Ram::new(depth)),
            vld: arr(),
            row: arr(),
            token: arr(),
            end: arr(),
            s0_acc: Default::default(),
            s0_weight: Default::default(),
            s0_lsb: Default::default(),
            clash: Default::default(),
            clash_in: Default::default(),
            clash_here: Default::default(),
            cleared: Default::default(),
            take: Default::default(),
            step: Default::default(),
            product: MulLut::unsigned(),
            p: Default::default(),
            s1_diff: Default::default(),
            s2_distance: Default::default(),
            amount: arr(),
            sh6: Default::default(),
            sh7: Default::default(),
            sh8: Default::default(),
            sh9: Default::default(),
            sh10: Default::default(),
            sh11: Default::default(),
            sh12: Default::default(),
            above: arr(),
            below: arr(),
            next_guard: arr(),
            far: arr(),
            guard: arr(),
            sticky: arr(),
            over: arr(),
            negative: arr(),
            s13_z: Default::default(),
            s13_up: Default::default(),
            s13_most: Default::default(),
            s13_least: Default::default(),
            s13_over: Default::default(),
            s14_z: Default::default(),
            s14_up: Default::default(),
            s14_sat: Default::default(),
            rd_addr: Default::default(),
            read: arr(),
            old: Default::default(),
            sum: Default::default(),
            w_we: Default::default(),
            w_addr: Default::default(),
            w_data: Default::default(),
            last_beat: Default::default(),
            starts: Default::default(),
            begins: Default::default(),
            single: Default::default(),
            tokens_less: Default::default(),
            clearing: Default::default(),
            clr_last: Default::default(),
            clr_token: Default::default(),
            clr_beat: Default::default(),
            some: (0..chunks).map(|_| Dff::default()).collect(),
            pending: Dram::new(config.tokens_max),
            left: Default::default(),
            place: Default::default(),
            at_route: Default::default(),
            at_end: Default::default(),
            at_look: Default::default(),
            mark: Default::default(),
            chunk: Default::default(),
            known: Default::default(),
            ending: Default::default(),
            active: Default::default(),
            routed: Default::default(),
            complete: Default::default(),
            finished: Default::default(),
            done: Default::default(),
            y_token: Default::default(),
            y_beat: Default::default(),
            y_ready: Default::default(),
            ask: Default::default(),
            y_last: Default::default(),
            asked: arr(),
            rows: arr(),
            exact: arr(),
            wide: arr(),
            half: arr(),
            rounded: arr(),
            exceeds: arr(),
            least: arr(),
            below_zero: arr(),
            beyond: arr(),
            word: arr(),
            beats: Dram::new(16),
            held: Default::default(),
            put: Default::default(),
            got: Default::default(),
            pop: Default::default(),
            saturated: Default::default(),
            _chunks: chunks,
        }
    }
}

impl Logic for Combine {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("combine");
        clock!(self, clk, product, pending, beats);
        dff_setup!(self, clk, s0_acc, s0_weight, s0_lsb, s1_diff, s2_distance);
        dff_setup!(self, clk, sh6, sh7, sh8, sh9, sh10, sh11, sh12);
        dff_setup!(self, clk, s13_z, s13_up, s13_most, s13_least, s13_over, s14_z, s14_up, s14_sat);
        dff_setup!(self, clk, rd_addr, old, w_we, w_addr, w_data);
        dff_setup!(
            self,
            clk,
            clash,
            cleared,
            starts,
            begins,
            single,
            tokens_less,
            last_beat,
            clearing,
            clr_last,
            clr_token,
            clr_beat
        );
        dff_setup!(
            self, clk, place, at_route, at_end, at_look, active, routed, complete, finished, done
        );
        dff_setup!(self, clk, y_token, y_beat, y_ready, y_last, held, put, got, saturated);
        for i in 0..4 {
            self.sums[i].clock.next = self.clk.val();
            self.read[i].clock.next = self.clk.val();
            self.rounded[i].clock.next = self.clk.val();
            self.least[i].clock.next = self.clk.val();
            self.below_zero[i].clock.next = self.clk.val();
            self.beyond[i].clock.next = self.clk.val();
        }
        for i in 0..5 {
            self.asked[i].clock.next = self.clk.val();
            self.rows[i].clock.next = self.clk.val();
        }
        for i in 0..7 {
            self.guard[i].clock.next = self.clk.val();
            self.sticky[i].clock.next = self.clk.val();
            self.over[i].clock.next = self.clk.val();
        }
        for i in 0..8 {
            self.negative[i].clock.next = self.clk.val();
        }
        for i in 0..9 {
            self.amount[i].clock.next = self.clk.val();
        }
        for i in 0..16 {
            self.vld[i].clock.next = self.clk.val();
            self.row[i].clock.next = self.clk.val();
            self.token[i].clock.next = self.clk.val();
            self.end[i].clock.next = self.clk.val();
        }
        for i in 0..self._chunks {
            self.some[i].clock.next = self.clk.val();
            self.some[i].d.next = self.some[i].q.val();
        }

        // Stage 0 waits for the clear of its token, and for an addition to the same sum that is too near. Both are known when its cycle
        // begins: what comes in is compared with what will be in stages 1 to 4 then.
        self.clash_in.next = false;
        for i in 0..4 {
            if self.vld[i].q.val()
                && self.row[i].q.val().get_bits::<5>(0) == self.in_row.val().get_bits::<5>(0)
                && self.token[i].q.val().get_bits::<3>(0) == self.in_token.val().get_bits::<3>(0)
            {
                self.clash_in.next = true;
            }
        }
        self.clash_here.next = false;
        for i in 1..4 {
            if self.vld[i].q.val()
                && self.row[i].q.val().get_bits::<5>(0) == self.row[0].q.val().get_bits::<5>(0)
                && self.token[i].q.val().get_bits::<3>(0) == self.token[0].q.val().get_bits::<3>(0)
            {
                self.clash_here.next = true;
            }
        }
        self.clash.d.next = self.clash_here.val();
        self.cleared.d.next = bit_cast::<9, 8>(self.token[0].q.val()) < self.clr_token.q.val();
        self.step.next = self.vld[0].q.val() && !self.clash.q.val() && self.cleared.q.val();
        self.take.next = !self.vld[0].q.val() || self.step.val();
        self.in_rdy.next = self.take.val();
        self.vld[0].d.next = self.vld[0].q.val();
        self.row[0].d.next = self.row[0].q.val();
        self.token[0].d.next = self.token[0].q.val();
        self.end[0].d.next = self.end[0].q.val();
        if self.take.val() {
            self.clash.d.next = self.clash_in.val();
            self.cleared.d.next = bit_cast::<9, 8>(self.in_token.val()) < self.clr_token.q.val();
            self.vld[0].d.next = self.in_vld.val();
            self.row[0].d.next = self.in_row.val();
            self.token[0].d.next = self.in_token.val();
            self.end[0].d.next = self.in_end.val();
            self.s0_acc.d.next = self.in_acc.val();
            self.s0_weight.d.next = self.in_weight.val();
            self.s0_lsb.d.next = self.in_lsb.val();
        }
        for i in 1..16 {
            self.vld[i].d.next = self.vld[i - 1].q.val();
            self.row[i].d.next = self.row[i - 1].q.val();
            self.token[i].d.next = self.token[i - 1].q.val();
            self.end[i].d.next = self.end[i - 1].q.val();
        }
        self.vld[1].d.next = self.step.val();

        // Stages 0 to 4: the product; meanwhile the distance 43 - (lsb - 16 - (lsb_y - 8)), limited to 0..127: behind either end
        // the result does not change any more.
        self.product.en.next = true;
        self.product.a.next = signed_cast(self.s0_acc.q.val());
        self.product.b.next = signed_cast(self.s0_weight.q.val());
        self.p.next = unsigned_cast(self.product.p.val());
        self.s1_diff.d.next = unsigned_cast(
            bit_cast_sx::<18, 16>(signed_cast(self.s0_lsb.q.val()))
                - bit_cast_sx::<18, 16>(signed_cast(self.lsb_y.val())),
        );
        self.s2_distance.d.next = bits::<18>(51) - self.s1_diff.q.val();
        self.amount[0].d.next = self.s2_distance.q.val().get_bits::<7>(0);
        if self.s2_distance.q.val().get_bit(17) {
            self.amount[0].d.next = 0.into();
        } else if self.s2_distance.q.val().get_bits::<10>(7).any() {
            self.amount[0].d.next = 127.into();
        }
        for i in 1..9 {
            self.amount[i].d.next = self.amount[i - 1].q.val();
        }

        // Stages 5 to 11: what is lost below and above if this bit of the amount is set, or is not.
        self.below[0].next = self.p.val().get_bits::<20>(0).any();
        self.next_guard[0].next = self.p.val().get_bit(20);
        self.above[0].next = false;
        self.below[1].next = self.sh6.q.val().get_bits::<31>(0).any();
        self.next_guard[1].next = self.sh6.q.val().get_bit(31);
        self.above[1].next =
            self.sh6.q.val().get_bits::<25>(74).any() && !self.sh6.q.val().get_bits::<25>(74).all();
        self.below[2].next = self.sh7.q.val().get_bits::<15>(0).any();
        self.next_guard[2].next = self.sh7.q.val().get_bit(15);
        self.above[2].next =
            self.sh7.q.val().get_bits::<17>(58).any() && !self.sh7.q.val().get_bits::<17>(58).all();
        self.below[3].next = self.sh8.q.val().get_bits::<7>(0).any();
        self.next_guard[3].next = self.sh8.q.val().get_bit(7);
        self.above[3].next =
            self.sh8.q.val().get_bits::<9>(50).any() && !self.sh8.q.val().get_bits::<9>(50).all();
        self.below[4].next = self.sh9.q.val().get_bits::<3>(0).any();
        self.next_guard[4].next = self.sh9.q.val().get_bit(3);
        self.above[4].next =
            self.sh9.q.val().get_bits::<5>(46).any() && !self.sh9.q.val().get_bits::<5>(46).all();
        self.below[5].next = self.sh10.q.val().get_bits::<1>(0).any();
        self.next_guard[5].next = self.sh10.q.val().get_bit(1);
        self.above[5].next =
            self.sh10.q.val().get_bits::<3>(44).any() && !self.sh10.q.val().get_bits::<3>(44).all();
        self.below[6].next = false;
        self.next_guard[6].next = self.sh11.q.val().get_bit(0);
        self.above[6].next =
            self.sh11.q.val().get_bits::<2>(43).any() && !self.sh11.q.val().get_bits::<2>(43).all();
        self.far[0].next = self.amount[2].q.val().get_bit(6);
        self.far[1].next = self.amount[3].q.val().get_bit(5);
        self.far[2].next = self.amount[4].q.val().get_bit(4);
        self.far[3].next = self.amount[5].q.val().get_bit(3);
        self.far[4].next = self.amount[6].q.val().get_bit(2);
        self.far[5].next = self.amount[7].q.val().get_bit(1);
        self.far[6].next = self.amount[8].q.val().get_bit(0);
        self.negative[0].d.next = self.p.val().get_bit(55);
        for i in 1..8 {
            self.negative[i].d.next = self.negative[i - 1].q.val();
        }
        self.guard[0].d.next = self.far[0].val() && self.next_guard[0].val();
        self.sticky[0].d.next = self.far[0].val() && self.below[0].val();
        self.over[0].d.next = self.above[0].val();
        for i in 1..7 {
            self.guard[i].d.next = self.guard[i - 1].q.val();
            self.sticky[i].d.next = self.sticky[i - 1].q.val();
            self.over[i].d.next = self.over[i - 1].q.val();
            if self.far[i].val() {
                self.guard[i].d.next = self.next_guard[i].val();
                self.sticky[i].d.next =
                    self.sticky[i - 1].q.val() || self.guard[i - 1].q.val() || self.below[i].val();
            } else {
                self.over[i].d.next = self.over[i - 1].q.val() || self.above[i].val();
            }
        }
        self.sh6.d.next = bit_cast::<99, 56>(self.p.val()) << 43;
        if self.far[0].val() {
            self.sh6.d.next = unsigned_cast(bit_cast_sx::<99, 35>(signed_cast(
                self.p.val().get_bits::<35>(21),
            )));
        }
        self.sh7.d.next = self.sh6.q.val().get_bits::<75>(0);
        if self.far[1].val() {
            self.sh7.d.next = unsigned_cast(bit_cast_sx::<75, 67>(signed_cast(
                self.sh6.q.val().get_bits::<67>(32),
            )));
        }
        self.sh8.d.next = self.sh7.q.val().get_bits::<59>(0);
        if self.far[2].val() {
            self.sh8.d.next = self.sh7.q.val().get_bits::<59>(16);
        }
        self.sh9.d.next = self.sh8.q.val().get_bits::<51>(0);
        if self.far[3].val() {
            self.sh9.d.next = self.sh8.q.val().get_bits::<51>(8);
        }
        self.sh10.d.next = self.sh9.q.val().get_bits::<47>(0);
        if self.far[4].val() {
            self.sh10.d.next = self.sh9.q.val().get_bits::<47>(4);
        }
        self.sh11.d.next = self.sh10.q.val().get_bits::<45>(0);
        if self.far[5].val() {
            self.sh11.d.next = self.sh10.q.val().get_bits::<45>(2);
        }
        self.sh12.d.next = self.sh11.q.val().get_bits::<44>(0);
        if self.far[6].val() {
            self.sh12.d.next = self.sh11.q.val().get_bits::<44>(1);
        }

        // Stages 12 and 13: rounded (the increment is carried on) and limited to +-(2^43 - 1).
        self.s13_z.d.next = self.sh12.q.val();
        self.s13_up.d.next =
            self.guard[6].q.val() && (self.sticky[6].q.val() || self.sh12.q.val().get_bit(0));
        self.s13_most.d.next =
            self.sh12.q.val().get_bits::<43>(0).all() && !self.sh12.q.val().get_bit(43);
        self.s13_least.d.next =
            !self.sh12.q.val().get_bits::<43>(0).any() && self.sh12.q.val().get_bit(43);
        self.s13_over.d.next = self.over[6].q.val();
        self.s14_z.d.next = self.s13_z.q.val();
        self.s14_up.d.next =
            (self.s13_up.q.val() && !self.s13_most.q.val()) || self.s13_least.q.val();
        if self.s13_over.q.val() {
            self.s14_up.d.next = false;
            self.s14_z.d.next = bits::<44>(0x7FF_FFFF_FFFFu64);
            if self.negative[7].q.val() {
                self.s14_z.d.next = bits::<44>(0x800_0000_0001u64);
            }
        }
        self.s14_sat.d.next = self.vld[13].q.val()
            && (self.s13_over.q.val()
                || (self.s13_most.q.val() && self.s13_up.q.val())
                || (self.s13_least.q.val() && !self.s13_up.q.val()));

        // The four sums of the beat, then the one of the row, then the new one. (The carry enters below bit 0.)
        self.old.d.next = self.read[0].q.val();
        for i in 0..4 {
            self.read[i].d.next = self.sums[i].rdata.val();
            if self.row[13].q.val().get_bits::<2>(0) == i.to_bits() {
                self.old.d.next = self.read[i].q.val();
            }
        }
        self.sum.next = ((bit_cast::<49, 48>(self.old.q.val()) << 1) | 1)
            + ((unsigned_cast(bit_cast_sx::<49, 44>(signed_cast(self.s14_z.q.val()))) << 1)
                | bit_cast::<49, 1>(self.s14_up.q.val().into()));
        self.w_we.d.next = 0.into();
        self.w_addr.d.next = (bit_cast::<19, 8>(self.token[14].q.val()) << self.row_shift.val())
            | bit_cast::<19, 14>(self.row[14].q.val().get_bits::<14>(2));
        self.w_data.d.next = self.sum.val().get_bits::<48>(1);
        if self.vld[14].q.val() {
            self.w_we.d.next = bits::<4>(1) << self.row[14].q.val().get_bits::<2>(0);
        } else if self.clearing.q.val() {
            self.w_we.d.next = 0xF.into();
            self.w_addr.d.next = (bit_cast::<19, 9>(self.clr_token.q.val())
                << self.row_shift.val())
                | bit_cast::<19, 14>(self.clr_beat.q.val());
            self.w_data.d.next = 0.into();
            self.clr_beat.d.next = self.clr_beat.q.val() + 1;
            self.clr_last.d.next = self.clr_beat.q.val() + 1 == self.last_beat.q.val();
            if self.clr_last.q.val() {
                self.clr_beat.d.next = 0.into();
                self.clr_last.d.next = self.single.q.val();
                self.clr_token.d.next = self.clr_token.q.val() + 1;
                if bit_cast::<16, 9>(self.clr_token.q.val()) == self.tokens_less.q.val() {
                    self.clearing.d.next = false;
                }
            }
        }
        self.last_beat.d.next = (self.rows_y.val() - 1).get_bits::<14>(2);
        self.single.d.next = self.last_beat.q.val() == 0;
        self.tokens_less.d.next = self.tokens.val() - 1;

        // Contributions: counted up until all routes are known, then down; in other cycles the next token that is cleared is looked
        // at. A place is chosen in one cycle and its count changed in the next; so a look says nothing to the one right behind it.
        self.ending.next = self.vld[15].q.val() && self.end[15].q.val();
        self.at_route.d.next = !self.routed.q.val() && self.rt_vld.val();
        self.at_end.d.next = self.routed.q.val() && self.ending.val();
        self.at_look.d.next = self.routed.q.val()
            && !self.ending.val()
            && !self.at_look.q.val()
            && self.complete.q.val() != self.clr_token.q.val();
        self.place.d.next = self.complete.q.val().get_bits::<8>(0);
        if !self.routed.q.val() {
            self.place.d.next = self.rt_token.val();
        } else if self.ending.val() {
            self.place.d.next = self.token[15].q.val();
        }
        self.mark.next = bits::<16>(0x8000) >> self.place.q.val().get_bits::<4>(0);
        self.chunk.next = 0.into();
        for i in 0..self._chunks {
            if self.place.q.val().get_bits::<4>(4) == i.to_bits() {
                self.chunk.next = self.some[i].q.val();
                if self.at_route.q.val() {
                    self.some[i].d.next = self.some[i].q.val() | self.mark.val();
                }
            }
        }
        self.known.next = (self.chunk.val() & self.mark.val()) != 0;
        self.pending.raddr.next = self.place.q.val();
        self.left.next = self.pending.rdata.val();
        self.pending.waddr.next = self.place.q.val();
        self.pending.we.next = self.at_route.q.val() || self.at_end.q.val();
        self.pending.wdata.next = self.left.val() - 1;
        if self.at_route.q.val() {
            self.pending.wdata.next = 1.into();
            if self.known.val() {
                self.pending.wdata.next = self.left.val() + 1;
            }
        }
        if self.at_look.q.val() && (!self.known.val() || self.left.val() == 0) {
            self.complete.d.next = self.complete.q.val() + 1;
        }
        if self.rt_done.val() && self.active.q.val() {
            self.routed.d.next = true;
        }

        // y: a beat is asked for when the sums are not read for adding and the LUT RAM has room for it.
        // (Between two tokens a cycle is lost.)
        self.y_ready.d.next = !self.no_y.val()
            && self.active.q.val()
            && self.y_token.q.val() != self.complete.q.val();
        self.ask.next =
            self.y_ready.q.val() && !self.vld[10].q.val() && !self.held.q.val().get_bit(4);
        self.rd_addr.d.next = (bit_cast::<19, 9>(self.y_token.q.val()) << self.row_shift.val())
            | bit_cast::<19, 14>(self.y_beat.q.val());
        if self.vld[10].q.val() {
            self.rd_addr.d.next = (bit_cast::<19, 8>(self.token[10].q.val())
                << self.row_shift.val())
                | bit_cast::<19, 14>(self.row[10].q.val().get_bits::<14>(2));
        }
        if self.ask.val() {
            self.y_beat.d.next = self.y_beat.q.val() + 1;
            self.y_last.d.next = self.y_beat.q.val() + 1 == self.last_beat.q.val();
            if self.y_last.q.val() {
                self.y_beat.d.next = 0.into();
                self.y_last.d.next = self.single.q.val();
                self.y_token.d.next = self.y_token.q.val() + 1;
                self.y_ready.d.next = false;
            }
        }
        self.asked[0].d.next = self.ask.val();
        self.rows[0].d.next = 0xF.into();
        if self.y_last.q.val() {
            // The rows of a token's last beat: rows_y modulo 4 of them, or all.
            match self.rows_y.val().get_bits::<2>(0).index() {
                1 => {
                    self.rows[0].d.next = 0x1.into();
                }
                2 => {
                    self.rows[0].d.next = 0x3.into();
                }
                3 => {
                    self.rows[0].d.next = 0x7.into();
                }
                _ => {}
            }
        }
        for i in 1..5 {
            self.asked[i].d.next = self.asked[i - 1].q.val();
            self.rows[i].d.next = self.rows[i - 1].q.val();
        }
        for i in 0..4 {
            self.sums[i].we.next = self.w_we.q.val().get_bit(i);
            self.sums[i].waddr.next = self.w_addr.q.val();
            self.sums[i].wdata.next = self.w_data.q.val();
            self.sums[i].re.next = self.vld[11].q.val() || self.asked[0].q.val();
            self.sums[i].raddr.next = self.rd_addr.q.val();
        }

        // RNE by 8 bits: half an LSB less a bit is added, and the bit if the result would be odd; then saturated.
        self.beats.wdata.next = 0.into();
        for i in 0..4 {
            self.exact[i].next = signed_bit_cast_sx::<50, 48>(signed_cast(self.read[i].q.val()));
            self.wide[i].next = unsigned_cast(self.exact[i].val()) << 1;
            if self.read[i].q.val().get_bit(8) {
                self.wide[i].next = (unsigned_cast(self.exact[i].val()) << 1) | 1;
            }
            self.half[i].next = self.wide[i].val() + 255;
            self.rounded[i].d.next = self.half[i].val().get_bits::<41>(9);
            self.exceeds[i].next = self.rounded[i].q.val().get_bits::<10>(31).any()
                && !self.rounded[i].q.val().get_bits::<10>(31).all();
            self.beyond[i].d.next = self.exceeds[i].val() && self.rows[3].q.val().get_bit(i);
            self.below_zero[i].d.next = self.rounded[i].q.val().get_bit(40);
            self.least[i].d.next = self.rounded[i].q.val().get_bits::<32>(0);
            self.word[i].next = self.least[i].q.val();
            if self.beyond[i].q.val() {
                self.word[i].next = 0x7FFF_FFFF.into();
                if self.below_zero[i].q.val() {
                    self.word[i].next = 0x8000_0000u64.into();
                }
            }
            if !self.rows[4].q.val().get_bit(i) {
                self.word[i].next = 0.into();
            }
        }
        self.beats.wdata.next = bit_cast::<128, 32>(self.word[0].val())
            | (bit_cast::<128, 32>(self.word[1].val()) << 32)
            | (bit_cast::<128, 32>(self.word[2].val()) << 64)
            | (bit_cast::<128, 32>(self.word[3].val()) << 96);
        self.beats.we.next = self.asked[4].q.val();
        self.beats.waddr.next = self.put.q.val().get_bits::<4>(0);
        self.beats.raddr.next = self.got.q.val().get_bits::<4>(0);
        if self.asked[4].q.val() {
            self.put.d.next = self.put.q.val() + 1;
        }
        self.y_vld.next = self.put.q.val() != self.got.q.val();
        self.y_data.next = self.beats.rdata.val();
        self.pop.next = (self.put.q.val() != self.got.q.val()) && self.y_rdy.val();
        if self.pop.val() {
            self.got.d.next = self.got.q.val() + 1;
        }
        if self.ask.val() && !self.pop.val() {
            self.held.d.next = self.held.q.val() + 1;
        }
        if !self.ask.val() && self.pop.val() {
            self.held.d.next = self.held.q.val() - 1;
        }
        // Parameters of the next command must not wake this one.
        self.finished.d.next = self.active.q.val()
            && bit_cast::<16, 9>(self.complete.q.val()) == self.tokens.val()
            && (self.no_y.val() || self.y_token.q.val() == self.complete.q.val())
            && self.held.q.val() == 0;
        if self.active.q.val() && self.finished.q.val() {
            self.done.d.next = true;
            self.active.d.next = false;
        }
        self.y_done.next = self.done.q.val();

        self.saturated.d.next = bit_cast::<3, 1>(self.s14_sat.q.val().into());
        if self.asked[4].q.val() {
            self.saturated.d.next = bit_cast::<3, 1>(self.s14_sat.q.val().into())
                + bit_cast::<3, 1>(self.beyond[0].q.val().into())
                + bit_cast::<3, 1>(self.beyond[1].q.val().into())
                + bit_cast::<3, 1>(self.beyond[2].q.val().into())
                + bit_cast::<3, 1>(self.beyond[3].q.val().into());
        }
        self.sat.next = self.saturated.q.val();
        self.busy.next = self.y_ready.q.val() || self.held.q.val() != 0;
        for i in 0..16 {
            if self.vld[i].q.val() {
                self.busy.next = true;
            }
        }

        if self.go.val() {
            for i in 0..self._chunks {
                self.some[i].d.next = 0.into();
            }
            self.active.d.next = true;
            self.routed.d.next = false;
            self.done.d.next = false;
            self.complete.d.next = 0.into();
            self.y_token.d.next = 0.into();
            self.y_beat.d.next = 0.into();
            self.finished.d.next = false;
            self.y_ready.d.next = false;
            self.at_look.d.next = false;
            self.starts.d.next = true;
            self.clearing.d.next = false;
            self.clr_beat.d.next = 0.into();
            self.clr_token.d.next = 0.into();
            if self.keep_sums.val() {
                self.clr_token.d.next = self.tokens.val().get_bits::<9>(0);
            }
        }
        // Two cycles after `go` what is made of the parameters stands.
        if self.starts.q.val() {
            self.starts.d.next = false;
            self.begins.d.next = true;
        }
        if self.begins.q.val() {
            self.begins.d.next = false;
            self.clearing.d.next = !self.keep_sums.val();
            self.clr_last.d.next = self.single.q.val();
            self.y_last.d.next = self.single.q.val();
        }
        if self.rst.val() {
            for i in 0..16 {
                self.vld[i].d.next = false;
            }
            for i in 0..5 {
                self.asked[i].d.next = false;
            }
            self.starts.d.next = false;
            self.begins.d.next = false;
            self.at_look.d.next = false;
            self.at_route.d.next = false;
            self.at_end.d.next = false;
            self.y_ready.d.next = false;
            self.finished.d.next = false;
            self.active.d.next = false;
            self.routed.d.next = false;
            self.done.d.next = false;
            self.clearing.d.next = false;
            self.clr_token.d.next = 0.into();
            self.complete.d.next = 0.into();
            self.y_token.d.next = 0.into();
            self.held.d.next = 0.into();
            self.put.d.next = 0.into();
            self.got.d.next = 0.into();
        }
    }
}
