//! The reorder buffer of the DMA: completions in any order go to the rows that their request has reserved.
//!
//! What: a tag is opened with its first row. Each beat of a completion is turned to where the request's last word ended, so that its words
//! stand without gaps; requests may be answered in any order and in any number of pieces. `done` of a tag rises when its last word is
//! readable. Tags 0 to 11 are data, in a ring of the lower half of the rows; 12 to 15 are descriptors, in the upper half.
//!
//! Cost (ECP5, 64 / 128 bits): 213 / 431 LUT sites, `K` block RAMs up to 512 rows. Latency: 4 cycles from a beat to `done`. Bottleneck: one
//! beat per cycle, never stalled; tags are opened between beats. Hazard: a tag is opened again only after it was done.

use leaf::prelude::*;

/// See the module's page. `W` bits per row, `K` = `W` / 32 words, `L` = log2 `K`, `A` bits of row address, `P` = `A` + `L`.
#[derive(LogicBlock)]
pub struct Store<const W: usize, const K: usize, const L: usize, const A: usize, const P: usize> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// A request goes out; not in the cycle after `cp_vld`.
    pub open_vld: Signal<In, Bit>,
    /// Its tag.
    pub open_tag: Signal<In, Bits<4>>,
    /// Row of its first word.
    pub open_row: Signal<In, Bits<A>>,
    /// A beat of a completion.
    pub cp_vld: Signal<In, Bit>,
    /// Its request.
    pub cp_tag: Signal<In, Bits<6>>,
    /// Words, packed from word 0.
    pub cp_data: Signal<In, Bits<W>>,
    /// Which there are.
    pub cp_keep: Signal<In, Bits<K>>,
    /// The request is complete, or has failed.
    pub cp_last: Signal<In, Bit>,
    /// With `cp_last`: what went wrong, as the PCIe sub-bits of STATUS.
    pub cp_error: Signal<In, Bits<5>>,
    /// Tags that are complete.
    pub done: Signal<Out, Bits<16>>,
    /// Descriptors (tags 12 to 15) that failed.
    pub bad: Signal<Out, Bits<4>>,
    /// Errors of the descriptors of each channel, five bits each, since `forgive`.
    pub descriptor_errors: Signal<Out, Bits<10>>,
    /// Forget the errors of a channel's descriptors.
    pub forgive: Signal<In, Bits<2>>,
    /// Whose error is asked for.
    pub error_tag: Signal<In, Bits<4>>,
    /// Error of data tag `error_tag`, once it is done.
    pub error: Signal<Out, Bits<5>>,
    /// Read `row`; `data` holds while this is low.
    pub re: Signal<In, Bit>,
    /// Row to read.
    pub row: Signal<In, Bits<A>>,
    /// The row of the last `re`.
    pub data: Signal<Out, Bits<W>>,

    place: Dram<P, 4>,
    errors: Dram<5, 4>,
    banks: [Ram<32, A>; K],
    complete: Dff<Bits<16>>,
    failed: Dff<Bits<4>>,
    wrong: [Dff<Bits<5>>; 2],
    a_vld: Dff<Bit>,
    a_tag: Dff<Bits<4>>,
    a_data: Dff<Bits<W>>,
    a_keep: Dff<Bits<K>>,
    a_words: Dff<Bits<3>>,
    a_last: Dff<Bit>,
    a_error: Dff<Bits<5>>,
    b_vld: Dff<Bit>,
    b_tag: Dff<Bits<4>>,
    b_data: Dff<Bits<W>>,
    b_keep: Dff<Bits<K>>,
    b_last: Dff<Bit>,
    b_error: Dff<Bits<5>>,
    b_place: Dff<Bits<P>>,
    c_tag: Dff<Bits<4>>,
    c_data: Dff<Bits<W>>,
    c_we: Dff<Bits<K>>,
    c_wrap: Dff<Bits<K>>,
    c_row: Dff<Bits<A>>,
    c_next: Dff<Bits<A>>,
    c_last: Dff<Bit>,
    c_error: Dff<Bits<5>>,
    c_bad: Dff<Bit>,
    turn_data: Rotate<W, 32, L>,
    turn_keep: Rotate<K, 1, L>,
    words: Signal<Local, Bits<3>>,
    from: Signal<Local, Bits<P>>,
    sum: Signal<Local, Bits<P>>,
    b_row: Signal<Local, Bits<A>>,
    b_next: Signal<Local, Bits<A>>,
    opened: Signal<Local, Bits<16>>,
    ended: Signal<Local, Bits<16>>,
    hurt: Signal<Local, Bits<16>>,
    row_data: Signal<Local, Bits<W>>,
    log_words: Constant<Bits<2>>,
    top: Constant<Bits<8>>,
    one: Constant<Bits<16>>,
    every: Constant<Bits<K>>,
}

impl<const W: usize, const K: usize, const L: usize, const A: usize, const P: usize> Default
    for Store<W, K, L, A, P>
{
    /// # Panics
    /// If the sizes do not fit each other.
    fn default() -> Self {
        assert!(
            W == 32 * K && K == 1 << L && P == A + L,
            "Store: {W} bits, {K} words, {L} and {P} bits"
        );
        Self {
            place: Dram::new(16),
            errors: Dram::new(16),
            banks: std::array::from_fn(|_| Ram::new(1 << A)),
            wrong: arr(),
            row_data: Default::default(),
            log_words: Constant::new((L as u64).to_bits()),
            top: Constant::new((W as u64 - 32).to_bits()),
            one: Constant::new(1u64.to_bits()),
            every: Constant::new(((1u64 << K) - 1).to_bits()),
            clk: Default::default(),
            rst: Default::default(),
            open_vld: Default::default(),
            open_tag: Default::default(),
            open_row: Default::default(),
            cp_vld: Default::default(),
            cp_tag: Default::default(),
            cp_data: Default::default(),
            cp_keep: Default::default(),
            cp_last: Default::default(),
            cp_error: Default::default(),
            done: Default::default(),
            bad: Default::default(),
            descriptor_errors: Default::default(),
            forgive: Default::default(),
            error_tag: Default::default(),
            error: Default::default(),
            re: Default::default(),
            row: Default::default(),
            data: Default::default(),
            complete: Default::default(),
            failed: Default::default(),
            a_vld: Default::default(),
            a_tag: Default::default(),
            a_data: Default::default(),
            a_keep: Default::default(),
            a_words: Default::default(),
            a_last: Default::default(),
            a_error: Default::default(),
            b_vld: Default::default(),
            b_tag: Default::default(),
            b_data: Default::default(),
            b_keep: Default::default(),
            b_last: Default::default(),
            b_error: Default::default(),
            b_place: Default::default(),
            c_tag: Default::default(),
            c_data: Default::default(),
            c_we: Default::default(),
            c_wrap: Default::default(),
            c_row: Default::default(),
            c_next: Default::default(),
            c_last: Default::default(),
            c_error: Default::default(),
            c_bad: Default::default(),
            turn_data: Default::default(),
            turn_keep: Default::default(),
            words: Default::default(),
            from: Default::default(),
            sum: Default::default(),
            b_row: Default::default(),
            b_next: Default::default(),
            opened: Default::default(),
            ended: Default::default(),
            hurt: Default::default(),
        }
    }
}

impl<const W: usize, const K: usize, const L: usize, const A: usize, const P: usize> Logic
    for Store<W, K, L, A, P>
{
    #[hdl_gen]
    fn update(&mut self) {
        comment!("dma_store");
        clock!(self, clk, place, errors);
        dff_setup!(self, clk, complete, failed, c_bad);
        dff_setup!(self, clk, a_vld, a_tag, a_data, a_keep, a_words, a_last, a_error);
        dff_setup!(self, clk, b_vld, b_tag, b_data, b_keep, b_last, b_error, b_place);
        dff_setup!(self, clk, c_tag, c_data, c_we, c_wrap, c_row, c_next, c_last, c_error);

        // A request goes out, between beats.
        self.opened.next = 0.into();
        if self.open_vld.val() {
            self.opened.next = self.one.val() << self.open_tag.val();
        }

        // A beat comes.
        self.words.next = 0.into();
        for i in 0..K {
            self.words.next =
                self.words.val() + unsigned_cast_zx::<3, 1>(self.cp_keep.val().get_bit(i).into());
        }
        self.a_vld.d.next = self.cp_vld.val();
        self.a_tag.d.next = self.cp_tag.val().get_bits::<4>(0);
        self.a_data.d.next = self.cp_data.val();
        self.a_keep.d.next = self.cp_keep.val();
        self.a_words.d.next = 0.into();
        if self.cp_vld.val() {
            self.a_words.d.next = self.words.val();
        }
        self.a_last.d.next = self.cp_last.val();
        self.a_error.d.next = self.cp_error.val();

        // Where its first word goes, and where the next one's will. The ring of data stays in its half.
        self.place.raddr.next = self.a_tag.q.val();
        self.place.we.next = self.a_vld.q.val() || self.open_vld.val();
        self.place.waddr.next = self.open_tag.val();
        self.from.next = bit_cast::<P, A>(self.open_row.val()) << self.log_words.val();
        if self.a_vld.q.val() {
            self.place.waddr.next = self.a_tag.q.val();
            self.from.next = self.place.rdata.val();
        }
        self.sum.next = self.from.val() + bit_cast::<P, 3>(self.a_words.q.val());
        for p in P..(P + 1) {
            self.place.wdata.next = self
                .sum
                .val()
                .replace_bit(p - 1, self.from.val().get_bit(p - 1));
        }
        self.b_vld.d.next = self.a_vld.q.val();
        self.b_tag.d.next = self.a_tag.q.val();
        self.b_data.d.next = self.a_data.q.val();
        self.b_keep.d.next = self.a_keep.q.val();
        self.b_last.d.next = self.a_vld.q.val() && self.a_last.q.val();
        self.b_error.d.next = self.a_error.q.val();
        self.b_place.d.next = self.place.rdata.val();

        // Turned to its place; words that wrap go to the next row.
        self.turn_data.x.next = self.b_data.q.val();
        self.turn_data.s.next = self.b_place.q.val().get_bits::<L>(0);
        self.turn_keep.x.next = self.b_keep.q.val();
        self.turn_keep.s.next = self.b_place.q.val().get_bits::<L>(0);
        self.c_data.d.next = self.turn_data.y.val();
        self.c_we.d.next = 0.into();
        if self.b_vld.q.val() {
            self.c_we.d.next = self.turn_keep.y.val();
        }
        self.c_wrap.d.next = !(self.every.val() << self.b_place.q.val().get_bits::<L>(0));
        for l in L..(L + 1) {
            self.b_row.next = self.b_place.q.val().get_bits::<A>(l);
        }
        self.b_next.next = self.b_row.val() + 1;
        self.c_row.d.next = self.b_row.val();
        for a in A..(A + 1) {
            self.c_next.d.next = self
                .b_next
                .val()
                .replace_bit(a - 1, self.b_row.val().get_bit(a - 1));
        }
        self.c_tag.d.next = self.b_tag.q.val();
        self.c_last.d.next = self.b_last.q.val();
        self.c_error.d.next = self.b_error.q.val();
        self.c_bad.d.next = self.b_error.q.val() != 0;

        // Written.
        for i in 0..K {
            self.banks[i].clock.next = self.clk.val();
            self.banks[i].we.next = self.c_we.q.val().get_bit(i);
            self.banks[i].waddr.next = self.c_row.q.val();
            if self.c_wrap.q.val().get_bit(i) {
                self.banks[i].waddr.next = self.c_next.q.val();
            }
            self.banks[i].wdata.next = self.c_data.q.val().get_bits::<32>(32 * i);
        }
        self.ended.next = 0.into();
        if self.c_last.q.val() {
            self.ended.next = self.one.val() << self.c_tag.q.val();
        }
        self.hurt.next = 0.into();
        if self.c_bad.q.val() {
            self.hurt.next = self.ended.val();
        }
        self.complete.d.next = (self.complete.q.val() & !self.opened.val()) | self.ended.val();
        self.done.next = self.complete.q.val();
        self.errors.we.next = self.c_last.q.val();
        self.errors.waddr.next = self.c_tag.q.val();
        self.errors.wdata.next = self.c_error.q.val();
        self.errors.raddr.next = self.error_tag.val();
        self.error.next = self.errors.rdata.val();
        self.failed.d.next = (self.failed.q.val() & !self.opened.val().get_bits::<4>(12))
            | self.hurt.val().get_bits::<4>(12);
        self.bad.next = self.failed.q.val();
        for i in 0..2 {
            self.wrong[i].clock.next = self.clk.val();
            self.wrong[i].d.next = self.wrong[i].q.val();
            if self.hurt.val().get_bits::<2>(12 + 2 * i).any() {
                self.wrong[i].d.next = self.wrong[i].q.val() | self.c_error.q.val();
            }
            if self.forgive.val().get_bit(i) {
                self.wrong[i].d.next = 0.into();
            }
        }
        self.descriptor_errors.next = bit_cast::<10, 5>(self.wrong[0].q.val())
            | (bit_cast::<10, 5>(self.wrong[1].q.val()) << bits::<4>(5));

        // Read.
        self.row_data.next = 0.into();
        for i in 0..K {
            self.banks[i].re.next = self.re.val();
            self.banks[i].raddr.next = self.row.val();
            // From above, so that bank 0 ends lowest.
            self.row_data.next = (self.row_data.val() >> 32)
                | (unsigned_cast_zx::<W, 32>(self.banks[i].rdata.val()) << self.top.val());
        }

        self.data.next = self.row_data.val();

        if self.rst.val() {
            self.a_vld.d.next = false;
            self.b_vld.d.next = false;
            self.b_last.d.next = false;
            self.c_we.d.next = 0.into();
            self.c_last.d.next = false;
            self.complete.d.next = 0.into();
        }
    }
}
