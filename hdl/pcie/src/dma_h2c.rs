//! From host to card: pieces become read requests, complete requests become bursts on the card's bus.
//!
//! What: a piece reserves rows of the reorder buffer and the next of 12 tags, and goes out as one read request. Pieces leave in the order
//! of their tags, each as one AXI burst, as soon as all its bytes are there; so a request that failed writes nothing, and no burst ever
//! waits for the link. What became of each piece is reported in that order (`ev`): `ev_wait` says that the report holds once the burst is
//! answered.
//!
//! Cost (ECP5, 64 / 128 bits): 849 / 1300 LUT sites with the mover. Latency: 13 cycles from the last completion to the first beat of the
//! burst. Bottleneck: one beat per cycle, one piece in 4 cycles; 12 requests, or the rows. Hazard: pieces of 0 bytes and failed ones wait
//! until the mover is empty.

use crate::dma_move::Move;
use leaf::prelude::*;

/// See the module's page. `W` bits per row, `R` = `W` / 8 lanes, `B` = log2 `R`, `A` bits of row address, `C` = `A` + 1.
#[derive(LogicBlock)]
pub struct H2c<const W: usize, const R: usize, const B: usize, const A: usize, const C: usize> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Ask for nothing more and drop what comes.
    pub kill: Signal<In, Bit>,
    /// A piece.
    pub p_vld: Signal<In, Bit>,
    /// It is taken.
    pub p_rdy: Signal<Out, Bit>,
    /// Address in host memory.
    pub p_host: Signal<In, Bits<64>>,
    /// Address in card memory.
    pub p_card: Signal<In, Bits<40>>,
    /// Bytes; 0 with a kind.
    pub p_bytes: Signal<In, Bits<10>>,
    /// The descriptor ends.
    pub p_last: Signal<In, Bit>,
    /// Its Completed flag.
    pub p_completed: Signal<In, Bit>,
    /// Its Stop flag.
    pub p_stop: Signal<In, Bit>,
    /// What is wrong with it.
    pub p_kind: Signal<In, Bits<2>>,
    /// A read request.
    pub rq_vld: Signal<Out, Bit>,
    /// It is taken, and its tag opened.
    pub rq_rdy: Signal<In, Bit>,
    /// Its address.
    pub rq_addr: Signal<Out, Bits<64>>,
    /// Its bytes.
    pub rq_bytes: Signal<Out, Bits<10>>,
    /// Its tag.
    pub rq_tag: Signal<Out, Bits<4>>,
    /// Its first row.
    pub rq_row: Signal<Out, Bits<A>>,
    /// Tags that are complete.
    pub done: Signal<In, Bits<16>>,
    /// Whose error is asked for.
    pub error_tag: Signal<Out, Bits<4>>,
    /// That tag's error.
    pub error: Signal<In, Bits<5>>,
    /// The reorder buffer's read enable.
    pub ram_re: Signal<Out, Bit>,
    /// Row to read.
    pub ram_row: Signal<Out, Bits<A>>,
    /// The row of a descriptor is read instead.
    pub ram_peek: Signal<Out, Bit>,
    /// The row, a cycle later.
    pub ram_data: Signal<In, Bits<W>>,
    /// A descriptor's row is wanted.
    pub peek_vld: Signal<In, Bit>,
    /// It is being read.
    pub peek_rdy: Signal<Out, Bit>,
    /// For which channel.
    pub peek_id: Signal<In, Bit>,
    /// A descriptor's row.
    pub seen_vld: Signal<Out, Bit>,
    /// For which channel.
    pub seen_id: Signal<Out, Bit>,
    /// The row.
    pub seen_data: Signal<Out, Bits<W>>,
    /// AXI write address.
    pub aw_vld: Signal<Out, Bit>,
    /// Address taken.
    pub aw_rdy: Signal<In, Bit>,
    /// Byte address, a multiple of 16.
    pub aw_addr: Signal<Out, Bits<40>>,
    /// Beats - 1.
    pub aw_len: Signal<Out, Bits<8>>,
    /// AXI write data.
    pub w_vld: Signal<Out, Bit>,
    /// Data taken.
    pub w_rdy: Signal<In, Bit>,
    /// One beat.
    pub w_data: Signal<Out, Bits<128>>,
    /// Its bytes that are written.
    pub w_strb: Signal<Out, Bits<16>>,
    /// Last beat of its burst.
    pub w_last: Signal<Out, Bit>,
    /// What became of a piece.
    pub ev_vld: Signal<Out, Bit>,
    /// There is room for a report.
    pub ev_room: Signal<In, Bit>,
    /// It holds after one more answer of the card's bus.
    pub ev_wait: Signal<Out, Bit>,
    /// The descriptor ends.
    pub ev_last: Signal<Out, Bit>,
    /// Its Completed flag.
    pub ev_completed: Signal<Out, Bit>,
    /// Its Stop flag.
    pub ev_stop: Signal<Out, Bit>,
    /// What was wrong with the descriptor.
    pub ev_kind: Signal<Out, Bits<2>>,
    /// What went wrong in reading host memory.
    pub ev_error: Signal<Out, Bits<5>>,
    /// A beat of payload moved.
    pub beat: Signal<Out, Bit>,
    /// No piece is here.
    pub idle: Signal<Out, Bit>,

    // The piece that asks for rows and a tag, a cycle later for the link.
    piece: Dff<Bit>,
    host: Dff<Bits<64>>,
    card: Dff<Bits<40>>,
    bytes: Dff<Bits<10>>,
    empty: Dff<Bit>,
    rows: Dff<Bits<7>>,
    last: Dff<Bit>,
    completed: Dff<Bit>,
    stop: Dff<Bit>,
    kind: Dff<Bits<2>>,
    fits: Dff<Bit>,
    head: Dff<Bits<4>>,
    tail: Dff<Bits<4>>,
    queued: Dff<Bits<4>>,
    next_row: Dff<Bits<A>>,
    free: Dff<Bits<C>>,
    // Rows that were just reserved, and given back.
    spent: Dff<Bits<C>>,
    given: Dff<Bits<C>>,
    // The oldest piece may take its turn.
    at_hand: Dff<Bit>,
    // What a queued piece still needs, by its tag.
    q_card: Dram<40, 4>,
    q_bytes: Dram<10, 4>,
    q_lane: Dram<2, 4>,
    q_row: Dram<A, 4>,
    q_rows: Dram<7, 4>,
    q_flags: Dram<6, 4>,
    // The piece that is at its turn.
    turn: Dff<Bit>,
    t_card: Dff<Bits<40>>,
    t_bytes: Dff<Bits<10>>,
    t_lane: Dff<Bits<2>>,
    t_row: Dff<Bits<A>>,
    t_rows: Dff<Bits<7>>,
    t_flags: Dff<Bits<5>>,
    t_error: Dff<Bits<5>>,
    t_skip: Dff<Bit>,
    aw: Dff<Bit>,
    aw_at: Dff<Bits<36>>,
    aw_beats: Dff<Bits<6>>,
    mover: Move<W, R, B, A>,
    // 64 bits: the lower half of a beat.
    low: Dff<Bits<64>>,
    low_strb: Dff<Bits<8>>,
    enter: Signal<Local, Bit>,
    grant: Signal<Local, Bit>,
    send: Signal<Local, Bit>,
    skip: Signal<Local, Bit>,
    end: Signal<Local, Bits<10>>,
    beats: Signal<Local, Bits<10>>,
    whole: Signal<Local, Bit>,
    move_beat: Signal<Local, Bit>,
    all: Constant<Bits<C>>,
    to_rows: Constant<Bits<10>>,
    wide: Constant<Bit>,
}

impl<const W: usize, const R: usize, const B: usize, const A: usize, const C: usize> Default
    for H2c<W, R, B, A, C>
{
    /// # Panics
    /// If the sizes do not fit each other.
    fn default() -> Self {
        assert!(
            C == A + 1 && (W == 64 || W == 128),
            "H2c: {W} bits, {A} and {C} bits of row"
        );
        Self {
            q_card: Dram::new(16),
            q_bytes: Dram::new(16),
            q_lane: Dram::new(16),
            q_row: Dram::new(16),
            q_rows: Dram::new(16),
            q_flags: Dram::new(16),
            at_hand: Default::default(),
            free: Dff::new((1u64 << A).to_bits()),
            all: Constant::new((1u64 << A).to_bits()),
            to_rows: Constant::new((R as u64 - 1).to_bits()),
            wide: Constant::new(W == 128),
            clk: Default::default(),
            rst: Default::default(),
            kill: Default::default(),
            p_vld: Default::default(),
            p_rdy: Default::default(),
            p_host: Default::default(),
            p_card: Default::default(),
            p_bytes: Default::default(),
            p_last: Default::default(),
            p_completed: Default::default(),
            p_stop: Default::default(),
            p_kind: Default::default(),
            rq_vld: Default::default(),
            rq_rdy: Default::default(),
            rq_addr: Default::default(),
            rq_bytes: Default::default(),
            rq_tag: Default::default(),
            rq_row: Default::default(),
            done: Default::default(),
            error_tag: Default::default(),
            error: Default::default(),
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
            aw_vld: Default::default(),
            aw_rdy: Default::default(),
            aw_addr: Default::default(),
            aw_len: Default::default(),
            w_vld: Default::default(),
            w_rdy: Default::default(),
            w_data: Default::default(),
            w_strb: Default::default(),
            w_last: Default::default(),
            ev_vld: Default::default(),
            ev_room: Default::default(),
            ev_wait: Default::default(),
            ev_last: Default::default(),
            ev_completed: Default::default(),
            ev_stop: Default::default(),
            ev_kind: Default::default(),
            ev_error: Default::default(),
            beat: Default::default(),
            idle: Default::default(),
            piece: Default::default(),
            host: Default::default(),
            card: Default::default(),
            bytes: Default::default(),
            rows: Default::default(),
            last: Default::default(),
            completed: Default::default(),
            stop: Default::default(),
            kind: Default::default(),
            fits: Default::default(),
            head: Default::default(),
            tail: Default::default(),
            queued: Default::default(),
            next_row: Default::default(),
            turn: Default::default(),
            t_card: Default::default(),
            t_bytes: Default::default(),
            t_lane: Default::default(),
            t_row: Default::default(),
            t_rows: Default::default(),
            t_flags: Default::default(),
            t_error: Default::default(),
            t_skip: Default::default(),
            aw: Default::default(),
            aw_at: Default::default(),
            aw_beats: Default::default(),
            mover: Default::default(),
            low: Default::default(),
            low_strb: Default::default(),
            enter: Default::default(),
            grant: Default::default(),
            send: Default::default(),
            skip: Default::default(),
            spent: Default::default(),
            given: Default::default(),
            end: Default::default(),
            beats: Default::default(),
            empty: Default::default(),
            whole: Default::default(),
            move_beat: Default::default(),
        }
    }
}

impl<const W: usize, const R: usize, const B: usize, const A: usize, const C: usize> Logic
    for H2c<W, R, B, A, C>
{
    #[hdl_gen]
    fn update(&mut self) {
        comment!("dma_h2c");
        clock!(self, clk, q_card, q_bytes, q_lane, q_row, q_rows, q_flags);
        dff_setup!(
            self, clk, piece, host, card, bytes, empty, rows, last, completed, stop, kind, fits
        );
        dff_setup!(self, clk, head, tail, queued, next_row, free, spent, given, at_hand);
        dff_setup!(
            self, clk, turn, t_card, t_bytes, t_lane, t_row, t_rows, t_flags, t_error, t_skip
        );
        dff_setup!(self, clk, aw, aw_at, aw_beats, low, low_strb);
        self.mover.clk.next = self.clk.val();
        self.mover.rst.next = self.rst.val();

        // A piece comes in; a cycle later it is known whether it fits.
        self.p_rdy.next = !self.piece.q.val();
        self.enter.next = self.p_vld.val() && !self.piece.q.val();
        self.end.next = self.p_bytes.val()
            + bit_cast::<10, 2>(self.p_host.val().get_bits::<2>(0))
            + self.to_rows.val();
        if self.enter.val() {
            self.piece.d.next = true;
            self.host.d.next = self.p_host.val();
            self.card.d.next = self.p_card.val();
            self.bytes.d.next = self.p_bytes.val();
            for b in B..(B + 1) {
                self.rows.d.next = self.end.val().get_bits::<7>(b);
            }
            self.last.d.next = self.p_last.val();
            self.completed.d.next = self.p_completed.val();
            self.stop.d.next = self.p_stop.val();
            self.kind.d.next = self.p_kind.val();
            self.empty.d.next = self.p_kind.val() != 0;
            if self.p_kind.val() != 0 {
                self.rows.d.next = 0.into();
            }
        }
        self.grant.next = self.fits.q.val()
            && self.piece.q.val()
            && (self.rq_rdy.val() || self.empty.q.val())
            && !self.kill.val();
        self.fits.d.next = self.piece.q.val()
            && !self.grant.val()
            && self.free.q.val() >= bit_cast::<C, 7>(self.rows.q.val())
            && self.queued.q.val() != 12;
        self.rq_vld.next = self.fits.q.val() && !self.empty.q.val() && !self.kill.val();
        self.rq_addr.next = self.host.q.val();
        self.rq_bytes.next = self.bytes.q.val();
        self.rq_tag.next = self.head.q.val();
        self.rq_row.next = self.next_row.q.val();
        self.spent.d.next = 0.into();
        if self.grant.val() {
            self.piece.d.next = false;
            self.head.d.next = self.head.q.val() + 1;
            if self.head.q.val() == 11 {
                self.head.d.next = 0.into();
            }
            self.next_row.d.next = self.next_row.q.val() + bit_cast::<A, 7>(self.rows.q.val());
            self.spent.d.next = bit_cast::<C, 7>(self.rows.q.val());
        }
        if self.kill.val() {
            self.piece.d.next = false;
            self.fits.d.next = false;
        }
        self.q_card.we.next = self.grant.val();
        self.q_card.waddr.next = self.head.q.val();
        self.q_card.wdata.next = self.card.q.val();
        self.q_bytes.we.next = self.grant.val();
        self.q_bytes.waddr.next = self.head.q.val();
        self.q_bytes.wdata.next = self.bytes.q.val();
        self.q_lane.we.next = self.grant.val();
        self.q_lane.waddr.next = self.head.q.val();
        self.q_lane.wdata.next = self.host.q.val().get_bits::<2>(0);
        self.q_row.we.next = self.grant.val();
        self.q_row.waddr.next = self.head.q.val();
        self.q_row.wdata.next = self.next_row.q.val();
        self.q_rows.we.next = self.grant.val();
        self.q_rows.waddr.next = self.head.q.val();
        self.q_rows.wdata.next = self.rows.q.val();
        self.q_flags.we.next = self.grant.val();
        self.q_flags.waddr.next = self.head.q.val();
        self.q_flags.wdata.next = (bit_cast::<6, 1>(self.empty.q.val().into()) << 5)
            | (bit_cast::<6, 2>(self.kind.q.val()) << 3)
            | (bit_cast::<6, 1>(self.stop.q.val().into()) << 2)
            | (bit_cast::<6, 1>(self.completed.q.val().into()) << 1)
            | bit_cast::<6, 1>(self.last.q.val().into());

        // The oldest piece, when all of it is here.
        self.q_card.raddr.next = self.tail.q.val();
        self.q_bytes.raddr.next = self.tail.q.val();
        self.q_lane.raddr.next = self.tail.q.val();
        self.q_row.raddr.next = self.tail.q.val();
        self.q_rows.raddr.next = self.tail.q.val();
        self.q_flags.raddr.next = self.tail.q.val();
        self.error_tag.next = self.tail.q.val();
        self.at_hand.d.next = self.queued.q.val() != 0
            && !self.turn.q.val()
            && !self.at_hand.q.val()
            && (self.q_flags.rdata.val().get_bit(5)
                || self.done.val().get_bit(self.tail.q.val().index()));
        if self.at_hand.q.val() {
            self.turn.d.next = true;
            self.tail.d.next = self.tail.q.val() + 1;
            if self.tail.q.val() == 11 {
                self.tail.d.next = 0.into();
            }
            self.t_card.d.next = self.q_card.rdata.val();
            self.t_bytes.d.next = self.q_bytes.rdata.val();
            self.t_lane.d.next = self.q_lane.rdata.val();
            self.t_row.d.next = self.q_row.rdata.val();
            self.t_rows.d.next = self.q_rows.rdata.val();
            self.t_flags.d.next = self.q_flags.rdata.val().get_bits::<5>(0);
            self.t_error.d.next = self.error.val();
            self.t_skip.d.next = self.error.val() != 0;
            if self.q_flags.rdata.val().get_bit(5) {
                self.t_error.d.next = 0.into();
                self.t_skip.d.next = true;
            }
        }
        if self.grant.val() && !self.at_hand.q.val() {
            self.queued.d.next = self.queued.q.val() + 1;
        }
        if !self.grant.val() && self.at_hand.q.val() {
            self.queued.d.next = self.queued.q.val() - 1;
        }

        // Its turn: a burst, or only a report.
        self.send.next = self.turn.q.val()
            && !self.t_skip.q.val()
            && !self.kill.val()
            && self.ev_room.val()
            && !self.aw.q.val()
            && self.mover.job_rdy.val();
        self.skip.next = self.turn.q.val()
            && (self.t_skip.q.val() || self.kill.val())
            && (self.ev_room.val() || self.kill.val())
            && self.mover.idle.val();
        if self.send.val() || self.skip.val() {
            self.turn.d.next = false;
        }
        self.ev_vld.next = self.send.val() || (self.skip.val() && !self.kill.val());
        self.ev_wait.next = !self.t_skip.q.val();
        self.ev_last.next = self.t_flags.q.val().get_bit(0);
        self.ev_completed.next = self.t_flags.q.val().get_bit(1);
        self.ev_stop.next = self.t_flags.q.val().get_bit(2);
        self.ev_kind.next = self.t_flags.q.val().get_bits::<2>(3);
        self.ev_error.next = self.t_error.q.val();
        self.mover.job_vld.next = self.send.val();
        self.mover.job_row.next = self.t_row.q.val();
        self.mover.job_src.next = bit_cast::<B, 2>(self.t_lane.q.val());
        self.mover.job_dst.next = self.t_card.q.val().get_bits::<B>(0);
        self.mover.job_bytes.next = self.t_bytes.q.val();
        self.mover.job_rows.next = self.t_rows.q.val();
        self.mover.job_upper.next = self.t_card.q.val().get_bit(3);
        self.beats.next = self.t_bytes.q.val()
            + bit_cast::<10, 4>(self.t_card.q.val().get_bits::<4>(0))
            - bits::<10>(1);
        if self.aw_rdy.val() {
            self.aw.d.next = false;
        }
        if self.send.val() {
            self.aw.d.next = true;
            self.aw_at.d.next = self.t_card.q.val().get_bits::<36>(4);
            self.aw_beats.d.next = self.beats.val().get_bits::<6>(4);
        }
        self.aw_vld.next = self.aw.q.val();
        self.aw_addr.next = bit_cast::<40, 36>(self.aw_at.q.val()) << 4;
        self.aw_len.next = bit_cast::<8, 6>(self.aw_beats.q.val());

        // Rows are free when they are read, or dropped.
        self.given.d.next = 0.into();
        if self.mover.rel_vld.val() {
            self.given.d.next = bit_cast::<C, 7>(self.mover.rel_rows.val());
        }
        if self.skip.val() {
            self.given.d.next = bit_cast::<C, 7>(self.t_rows.q.val());
        }
        self.free.d.next = self.free.q.val() - self.spent.q.val() + self.given.q.val();

        // The memory is read by the mover, and by the descriptors through it.
        self.ram_re.next = self.mover.ram_re.val();
        self.ram_row.next = self.mover.ram_row.val();
        self.ram_peek.next = self.mover.ram_peek.val();
        self.mover.ram_data.next = self.ram_data.val();
        self.mover.peek_vld.next = self.peek_vld.val();
        self.mover.peek_id.next = self.peek_id.val();
        self.peek_rdy.next = self.mover.peek_rdy.val();
        self.seen_vld.next = self.mover.seen_vld.val();
        self.seen_id.next = self.mover.seen_id.val();
        self.seen_data.next = self.mover.seen_data.val();

        // Two beats of 64 bits make one of the bus; a burst may begin and end with half a beat.
        self.whole.next =
            self.wide.val() || self.mover.out_upper.val() || self.mover.out_last.val();
        self.w_vld.next = self.mover.out_vld.val() && self.whole.val();
        self.mover.out_rdy.next = self.w_rdy.val() || !self.whole.val();
        self.move_beat.next = self.mover.out_vld.val() && (self.w_rdy.val() || !self.whole.val());
        self.w_last.next = self.mover.out_last.val();
        self.w_data.next = bit_cast::<128, W>(self.mover.out_data.val());
        self.w_strb.next = bit_cast::<16, R>(self.mover.out_strb.val());
        if !self.wide.val() && self.mover.out_upper.val() {
            self.w_data.next = (bit_cast::<128, W>(self.mover.out_data.val()) << 64)
                | bit_cast::<128, 64>(self.low.q.val());
            self.w_strb.next = (bit_cast::<16, R>(self.mover.out_strb.val()) << 8)
                | bit_cast::<16, 8>(self.low_strb.q.val());
        }
        if self.move_beat.val() {
            self.low.d.next = bit_cast::<64, W>(self.mover.out_data.val());
            self.low_strb.d.next = bit_cast::<8, R>(self.mover.out_strb.val());
            if self.whole.val() {
                self.low_strb.d.next = 0.into();
            }
        }
        self.beat.next = self.move_beat.val();
        self.idle.next = !self.piece.q.val()
            && self.queued.q.val() == 0
            && !self.turn.q.val()
            && self.mover.idle.val()
            && !self.aw.q.val();

        if self.rst.val() {
            self.piece.d.next = false;
            self.fits.d.next = false;
            self.head.d.next = 0.into();
            self.tail.d.next = 0.into();
            self.queued.d.next = 0.into();
            self.free.d.next = self.all.val();
            self.at_hand.d.next = false;
            self.spent.d.next = 0.into();
            self.given.d.next = 0.into();
            self.turn.d.next = false;
            self.aw.d.next = false;
            self.low_strb.d.next = 0.into();
        }
    }
}
