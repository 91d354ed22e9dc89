//! Moves bytes of the DMA from rows of a memory to beats of another alignment.
//!
//! What: a job is 1 to 512 bytes that begin at lane `src` of row `row`; they leave as beats in which the first byte stands at lane `dst`.
//! Both sides have lanes of one byte, `R` of them. Each row is rotated once, and a beat takes its lower lanes from the row before and its
//! upper lanes from the present one; where the first beat needs two rows, the job takes a cycle more than it has beats. A job is prepared
//! while the one before it runs. Another reader of the same memory (`peek`: descriptors) may take every second cycle.
//!
//! Cost (ECP5, 64 / 128 bits): 441 / 1056 LUT sites, no block RAM. Latency: 6 cycles from job to first beat. Bottleneck: one beat per
//! cycle, no gap between jobs of two beats and more. Hazard: the rows must be there before the job is given; a job's rows are free again
//! at `rel_vld`.

use leaf::prelude::*;

/// See the module's page. `W` bits, `R` = `W` / 8 lanes, `B` = log2 `R`, `A` bits of row address.
#[derive(LogicBlock)]
pub struct Move<const W: usize, const R: usize, const B: usize, const A: usize> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// A job.
    pub job_vld: Signal<In, Bit>,
    /// It is taken.
    pub job_rdy: Signal<Out, Bit>,
    /// First row.
    pub job_row: Signal<In, Bits<A>>,
    /// Lane of the first byte in its row.
    pub job_src: Signal<In, Bits<B>>,
    /// Lane of the first byte in its beat.
    pub job_dst: Signal<In, Bits<B>>,
    /// Bytes, 1 to 512.
    pub job_bytes: Signal<In, Bits<10>>,
    /// Rows that are free again when it has read its own.
    pub job_rows: Signal<In, Bits<7>>,
    /// What `out_upper` is for the first beat.
    pub job_upper: Signal<In, Bit>,
    /// The memory's read enable: its output holds while this is low.
    pub ram_re: Signal<Out, Bit>,
    /// Row to read.
    pub ram_row: Signal<Out, Bits<A>>,
    /// `peek_row` is read instead.
    pub ram_peek: Signal<Out, Bit>,
    /// The row, a cycle later.
    pub ram_data: Signal<In, Bits<W>>,
    /// Somebody else wants a row.
    pub peek_vld: Signal<In, Bit>,
    /// It is being read.
    pub peek_rdy: Signal<Out, Bit>,
    /// For whom.
    pub peek_id: Signal<In, Bit>,
    /// The row that was peeked at is `seen_data`.
    pub seen_vld: Signal<Out, Bit>,
    /// For whom.
    pub seen_id: Signal<Out, Bit>,
    /// The row.
    pub seen_data: Signal<Out, Bits<W>>,
    /// A beat.
    pub out_vld: Signal<Out, Bit>,
    /// It is taken.
    pub out_rdy: Signal<In, Bit>,
    /// The beat.
    pub out_data: Signal<Out, Bits<W>>,
    /// Its lanes that belong to the job.
    pub out_strb: Signal<Out, Bits<R>>,
    /// First beat of a job.
    pub out_first: Signal<Out, Bit>,
    /// Last beat of a job.
    pub out_last: Signal<Out, Bit>,
    /// `job_upper`, inverted with each beat.
    pub out_upper: Signal<Out, Bit>,
    /// A job has read its rows.
    pub rel_vld: Signal<Out, Bit>,
    /// Its `job_rows`.
    pub rel_rows: Signal<Out, Bits<7>>,
    /// No job is here and no beat waits.
    pub idle: Signal<Out, Bit>,

    // The next job.
    next: Dff<Bit>,
    next_row: Dff<Bits<A>>,
    next_rows: Dff<Bits<7>>,
    next_beats: Dff<Bits<7>>,
    next_prime: Dff<Bit>,
    next_turn: Dff<Bits<B>>,
    next_dst: Dff<Bits<B>>,
    next_end: Dff<Bits<B>>,
    next_upper: Dff<Bit>,
    // The present one.
    run: Dff<Bit>,
    row: Dff<Bits<A>>,
    rows: Dff<Bits<7>>,
    beats_left: Dff<Bits<7>>,
    prime: Dff<Bit>,
    // The next step is the last one.
    closing: Dff<Bit>,
    // The next cycle is another reader's.
    lent: Dff<Bit>,
    first: Dff<Bit>,
    turn: Dff<Bits<B>>,
    dst: Dff<Bits<B>>,
    end: Dff<Bits<B>>,
    upper: Dff<Bit>,
    // Stages 1 to 3 of a step; `op`: a step of a job, `emit`: a beat comes of it.
    op1: Dff<Bit>,
    op2: Dff<Bit>,
    op3: Dff<Bit>,
    emit1: Dff<Bit>,
    emit2: Dff<Bit>,
    emit3: Dff<Bit>,
    first1: Dff<Bit>,
    first2: Dff<Bit>,
    first3: Dff<Bit>,
    last1: Dff<Bit>,
    last2: Dff<Bit>,
    last3: Dff<Bit>,
    upper1: Dff<Bit>,
    upper2: Dff<Bit>,
    upper3: Dff<Bit>,
    peek1: Dff<Bit>,
    peek2: Dff<Bit>,
    id1: Dff<Bit>,
    id2: Dff<Bit>,
    turn1: Dff<Bits<B>>,
    turn2: Dff<Bits<B>>,
    dst1: Dff<Bits<B>>,
    dst2: Dff<Bits<B>>,
    end1: Dff<Bits<B>>,
    end2: Dff<Bits<B>>,
    data2: Dff<Bits<W>>,
    data3: Dff<Bits<W>>,
    before: Dff<Bits<W>>,
    low3: Dff<Bits<R>>,
    strb3: Dff<Bits<R>>,
    // The beat on offer and one behind it.
    out: Dff<Bit>,
    data: Dff<Bits<W>>,
    strb: Dff<Bits<R>>,
    firsts: Dff<Bit>,
    lasts: Dff<Bit>,
    uppers: Dff<Bit>,
    spare: Dff<Bit>,
    spare_data: Dff<Bits<W>>,
    spare_strb: Dff<Bits<R>>,
    spare_first: Dff<Bit>,
    spare_last: Dff<Bit>,
    spare_upper: Dff<Bit>,
    rotate: Rotate<W, 8, B>,
    merge: MuxLanes<W, R>,
    out_end: Signal<Local, Bits<10>>,
    go: Signal<Local, Bit>,
    step: Signal<Local, Bit>,
    ending: Signal<Local, Bit>,
    load: Signal<Local, Bit>,
    from: Signal<Local, Bits<R>>,
    upto: Signal<Local, Bits<R>>,
    every: Constant<Bits<R>>,
    but_first: Constant<Bits<R>>,
}

impl<const W: usize, const R: usize, const B: usize, const A: usize> Default for Move<W, R, B, A> {
    /// # Panics
    /// If the sizes do not fit each other.
    fn default() -> Self {
        assert!(
            W == 8 * R && R == 1 << B,
            "Move: {W} bits, {R} lanes, {B} bits of lane number"
        );
        let every = (1u64 << R) - 1;
        Self {
            every: Constant::new(every.to_bits()),
            but_first: Constant::new((every - 1).to_bits()),
            clk: Default::default(),
            rst: Default::default(),
            job_vld: Default::default(),
            job_rdy: Default::default(),
            job_row: Default::default(),
            job_src: Default::default(),
            job_dst: Default::default(),
            job_bytes: Default::default(),
            job_rows: Default::default(),
            job_upper: Default::default(),
            ram_re: Default::default(),
            ram_row: Default::default(),
            ram_peek: Default::default(),
            ram_data: Default::default(),
            peek_vld: Default::default(),
            peek_rdy: Default::default(),
            peek_id: Default::default(),
            seen_vld: Default::default(),
            seen_id: Default::default(),
            seen_data: Default::default(),
            out_vld: Default::default(),
            out_rdy: Default::default(),
            out_data: Default::default(),
            out_strb: Default::default(),
            out_first: Default::default(),
            out_last: Default::default(),
            out_upper: Default::default(),
            rel_vld: Default::default(),
            rel_rows: Default::default(),
            idle: Default::default(),
            next: Default::default(),
            next_row: Default::default(),
            next_rows: Default::default(),
            next_beats: Default::default(),
            next_prime: Default::default(),
            next_turn: Default::default(),
            next_dst: Default::default(),
            next_end: Default::default(),
            next_upper: Default::default(),
            run: Default::default(),
            row: Default::default(),
            rows: Default::default(),
            beats_left: Default::default(),
            prime: Default::default(),
            closing: Default::default(),
            lent: Default::default(),
            first: Default::default(),
            turn: Default::default(),
            dst: Default::default(),
            end: Default::default(),
            upper: Default::default(),
            op1: Default::default(),
            op2: Default::default(),
            op3: Default::default(),
            emit1: Default::default(),
            emit2: Default::default(),
            emit3: Default::default(),
            first1: Default::default(),
            first2: Default::default(),
            first3: Default::default(),
            last1: Default::default(),
            last2: Default::default(),
            last3: Default::default(),
            upper1: Default::default(),
            upper2: Default::default(),
            upper3: Default::default(),
            peek1: Default::default(),
            peek2: Default::default(),
            id1: Default::default(),
            id2: Default::default(),
            turn1: Default::default(),
            turn2: Default::default(),
            dst1: Default::default(),
            dst2: Default::default(),
            end1: Default::default(),
            end2: Default::default(),
            data2: Default::default(),
            data3: Default::default(),
            before: Default::default(),
            low3: Default::default(),
            strb3: Default::default(),
            out: Default::default(),
            data: Default::default(),
            strb: Default::default(),
            firsts: Default::default(),
            lasts: Default::default(),
            uppers: Default::default(),
            spare: Default::default(),
            spare_data: Default::default(),
            spare_strb: Default::default(),
            spare_first: Default::default(),
            spare_last: Default::default(),
            spare_upper: Default::default(),
            rotate: Default::default(),
            merge: Default::default(),
            out_end: Default::default(),
            go: Default::default(),
            step: Default::default(),
            ending: Default::default(),
            load: Default::default(),
            from: Default::default(),
            upto: Default::default(),
        }
    }
}

impl<const W: usize, const R: usize, const B: usize, const A: usize> Logic for Move<W, R, B, A> {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("dma_move");
        dff_setup!(
            self, clk, next, next_row, next_rows, next_beats, next_prime, next_turn, next_dst,
            next_end, next_upper
        );
        dff_setup!(
            self, clk, run, row, rows, beats_left, prime, closing, lent, first, turn, dst, end
        );
        dff_setup!(self, clk, upper);
        dff_setup!(self, clk, op1, op2, op3, emit1, emit2, emit3, first1, first2, first3);
        dff_setup!(self, clk, last1, last2, last3, upper1, upper2, upper3, peek1, peek2, id1, id2);
        dff_setup!(
            self, clk, turn1, turn2, dst1, dst2, end1, end2, data2, data3, before, low3, strb3
        );
        dff_setup!(
            self,
            clk,
            out,
            data,
            strb,
            firsts,
            lasts,
            uppers,
            spare,
            spare_data,
            spare_strb,
            spare_first,
            spare_last,
            spare_upper
        );

        // Everything up to the merge moves unless the spare beat is in use.
        self.go.next = !self.spare.q.val();
        self.peek_rdy.next = self.go.val() && self.lent.q.val();
        self.lent.d.next = self.peek_vld.val() && !(self.lent.q.val() && self.go.val());
        self.step.next = self.run.q.val() && self.go.val() && !self.lent.q.val();
        self.ending.next = self.step.val() && self.closing.q.val();
        self.load.next = self.next.q.val() && (!self.run.q.val() || self.ending.val());

        // The next job: how many beats, how far to turn.
        self.job_rdy.next = !self.next.q.val();
        self.out_end.next =
            self.job_bytes.val() + bit_cast::<10, B>(self.job_dst.val()) - bits::<10>(1);
        if self.load.val() {
            self.next.d.next = false;
        }
        if self.job_vld.val() && !self.next.q.val() {
            self.next.d.next = true;
            self.next_row.d.next = self.job_row.val();
            self.next_rows.d.next = self.job_rows.val();
            for b in B..(B + 1) {
                self.next_beats.d.next = self.out_end.val().get_bits::<7>(b) + 1;
            }
            self.next_prime.d.next = self.job_dst.val() < self.job_src.val();
            self.next_turn.d.next = self.job_dst.val() - self.job_src.val();
            self.next_dst.d.next = self.job_dst.val();
            self.next_end.d.next = self.out_end.val().get_bits::<B>(0);
            self.next_upper.d.next = self.job_upper.val();
        }

        // The present job: a row each step (one too many where a beat is left over), a beat unless this is the row before the first.
        self.ram_re.next = self.go.val();
        self.ram_row.next = self.row.q.val();
        self.ram_peek.next = self.lent.q.val();
        self.rel_vld.next = self.ending.val();
        self.rel_rows.next = self.rows.q.val();
        if self.step.val() {
            self.row.d.next = self.row.q.val() + 1;
            self.prime.d.next = false;
            self.closing.d.next = self.beats_left.q.val() == 2;
            if self.prime.q.val() {
                self.closing.d.next = self.beats_left.q.val() == 1;
            }
            if !self.prime.q.val() {
                self.beats_left.d.next = self.beats_left.q.val() - 1;
                self.first.d.next = false;
                self.upper.d.next = !self.upper.q.val();
            }
        }
        if self.ending.val() {
            self.run.d.next = false;
        }
        if self.load.val() {
            self.run.d.next = true;
            self.row.d.next = self.next_row.q.val();
            self.rows.d.next = self.next_rows.q.val();
            self.beats_left.d.next = self.next_beats.q.val();
            self.prime.d.next = self.next_prime.q.val();
            self.closing.d.next = self.next_beats.q.val() == 1 && !self.next_prime.q.val();
            self.first.d.next = true;
            self.turn.d.next = self.next_turn.q.val();
            self.dst.d.next = self.next_dst.q.val();
            self.end.d.next = self.next_end.q.val();
            self.upper.d.next = self.next_upper.q.val();
        }

        // Stage 1: the memory reads. 2: its word in a register. 3: turned. Then merged with the word before.
        self.rotate.x.next = self.data2.q.val();
        self.rotate.s.next = self.turn2.q.val();
        self.from.next = self.every.val();
        if self.first2.q.val() {
            self.from.next = self.every.val() << self.dst2.q.val();
        }
        self.upto.next = self.every.val();
        if self.last2.q.val() {
            self.upto.next = !(self.but_first.val() << self.end2.q.val());
        }
        self.merge.a.next = self.before.q.val();
        self.merge.b.next = self.data3.q.val();
        self.merge.s.next = self.low3.q.val();
        if self.go.val() {
            self.op1.d.next = self.step.val();
            self.emit1.d.next = !self.prime.q.val();
            self.first1.d.next = self.first.q.val();
            self.last1.d.next = self.closing.q.val();
            self.upper1.d.next = self.upper.q.val();
            self.peek1.d.next = self.lent.q.val();
            self.id1.d.next = self.peek_id.val();
            self.turn1.d.next = self.turn.q.val();
            self.dst1.d.next = self.dst.q.val();
            self.end1.d.next = self.end.q.val();

            self.op2.d.next = self.op1.q.val();
            self.emit2.d.next = self.emit1.q.val();
            self.first2.d.next = self.first1.q.val();
            self.last2.d.next = self.last1.q.val();
            self.upper2.d.next = self.upper1.q.val();
            self.peek2.d.next = self.peek1.q.val();
            self.id2.d.next = self.id1.q.val();
            self.turn2.d.next = self.turn1.q.val();
            self.dst2.d.next = self.dst1.q.val();
            self.end2.d.next = self.end1.q.val();
            self.data2.d.next = self.ram_data.val();

            self.op3.d.next = self.op2.q.val();
            self.emit3.d.next = self.op2.q.val() && self.emit2.q.val();
            self.first3.d.next = self.first2.q.val();
            self.last3.d.next = self.last2.q.val();
            self.upper3.d.next = self.upper2.q.val();
            self.data3.d.next = self.rotate.y.val();
            self.low3.d.next = !(self.every.val() << self.turn2.q.val());
            self.strb3.d.next = self.from.val() & self.upto.val();
            if self.op3.q.val() {
                self.before.d.next = self.data3.q.val();
            }
        }
        self.seen_vld.next = self.peek2.q.val() && self.go.val();
        self.seen_id.next = self.id2.q.val();
        self.seen_data.next = self.data2.q.val();

        // The beat on offer: taken from the spare one, else from the merge.
        if !self.out.q.val() || self.out_rdy.val() {
            self.out.d.next = self.emit3.q.val() || self.spare.q.val();
            self.data.d.next = self.merge.y.val();
            self.strb.d.next = self.strb3.q.val();
            self.firsts.d.next = self.first3.q.val();
            self.lasts.d.next = self.last3.q.val();
            self.uppers.d.next = self.upper3.q.val();
            if self.spare.q.val() {
                self.data.d.next = self.spare_data.q.val();
                self.strb.d.next = self.spare_strb.q.val();
                self.firsts.d.next = self.spare_first.q.val();
                self.lasts.d.next = self.spare_last.q.val();
                self.uppers.d.next = self.spare_upper.q.val();
            }
            self.spare.d.next = false;
        }
        if self.go.val() {
            self.spare_data.d.next = self.merge.y.val();
            self.spare_strb.d.next = self.strb3.q.val();
            self.spare_first.d.next = self.first3.q.val();
            self.spare_last.d.next = self.last3.q.val();
            self.spare_upper.d.next = self.upper3.q.val();
            self.spare.d.next = self.emit3.q.val() && self.out.q.val() && !self.out_rdy.val();
        }
        self.out_vld.next = self.out.q.val();
        self.out_data.next = self.data.q.val();
        self.out_strb.next = self.strb.q.val();
        self.out_first.next = self.firsts.q.val();
        self.out_last.next = self.lasts.q.val();
        self.out_upper.next = self.uppers.q.val();
        self.idle.next = !self.next.q.val()
            && !self.run.q.val()
            && !self.op1.q.val()
            && !self.op2.q.val()
            && !self.op3.q.val()
            && !self.out.q.val();

        if self.rst.val() {
            self.next.d.next = false;
            self.run.d.next = false;
            self.lent.d.next = false;
            self.op1.d.next = false;
            self.op2.d.next = false;
            self.op3.d.next = false;
            self.emit3.d.next = false;
            self.peek1.d.next = false;
            self.peek2.d.next = false;
            self.out.d.next = false;
            self.spare.d.next = false;
        }
    }
}
