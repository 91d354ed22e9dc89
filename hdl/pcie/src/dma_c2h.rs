//! From card to host: pieces become bursts on the card's bus, complete bursts become memory writes on the link.
//!
//! What: a piece reserves rows of a buffer and goes out as one AXI read burst, up to 16 ahead. Data comes back in order. A piece leaves as
//! one memory write as soon as all its bytes are there; one whose burst had an error writes nothing. What became of each piece is reported
//! in order (`ev`): `ev_wait` says that the report holds once one more write has been taken whole by the link.
//!
//! Cost (ECP5, 64 / 128 bits): 861 / 1368 LUT sites with the mover; 2 / 4 block RAMs. Latency: 10 cycles from the last beat of the burst to
//! the first of the write. Bottleneck: one beat per cycle, one piece in 4 cycles; with 64 bits a beat of the card's bus takes two cycles.
//! Hazard: pieces of 0 bytes and failed ones wait until the mover is empty.

use crate::dma_move::Move;
use leaf::prelude::*;

/// See the module's page. `W` bits per row, `R` = `W` / 8 lanes, `B` = log2 `R`, `A` bits of row address, `C` = `A` + 1.
#[derive(LogicBlock)]
pub struct C2h<const W: usize, const R: usize, const B: usize, const A: usize, const C: usize> {
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
    /// AXI read address.
    pub ar_vld: Signal<Out, Bit>,
    /// Address taken.
    pub ar_rdy: Signal<In, Bit>,
    /// Byte address, a multiple of 16.
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
    /// A memory write.
    pub wr_vld: Signal<Out, Bit>,
    /// Its beat is taken.
    pub wr_rdy: Signal<In, Bit>,
    /// First beat.
    pub wr_sop: Signal<Out, Bit>,
    /// Last beat.
    pub wr_eop: Signal<Out, Bit>,
    /// Byte address.
    pub wr_addr: Signal<Out, Bits<64>>,
    /// Bytes.
    pub wr_bytes: Signal<Out, Bits<10>>,
    /// A beat; the first byte stands in its place of a word.
    pub wr_data: Signal<Out, Bits<W>>,
    /// What became of a piece.
    pub ev_vld: Signal<Out, Bit>,
    /// There is room for a report.
    pub ev_room: Signal<In, Bit>,
    /// It holds after one more write.
    pub ev_wait: Signal<Out, Bit>,
    /// The descriptor ends.
    pub ev_last: Signal<Out, Bit>,
    /// Its Completed flag.
    pub ev_completed: Signal<Out, Bit>,
    /// Its Stop flag.
    pub ev_stop: Signal<Out, Bit>,
    /// What was wrong with the descriptor.
    pub ev_kind: Signal<Out, Bits<2>>,
    /// What went wrong in reading card memory, as the AXI sub-bits of STATUS.
    pub ev_error: Signal<Out, Bits<5>>,
    /// A beat of payload moved.
    pub beat: Signal<Out, Bit>,
    /// No piece is here.
    pub idle: Signal<Out, Bit>,

    piece: Dff<Bit>,
    host: Dff<Bits<64>>,
    card: Dff<Bits<40>>,
    bytes: Dff<Bits<10>>,
    empty: Dff<Bit>,
    beats: Dff<Bits<6>>,
    rows: Dff<Bits<7>>,
    last: Dff<Bit>,
    completed: Dff<Bit>,
    stop: Dff<Bit>,
    kind: Dff<Bits<2>>,
    fits: Dff<Bit>,
    head: Dff<Bits<5>>,
    tail: Dff<Bits<4>>,
    queued: Dff<Bits<5>>,
    crowded: Dff<Bit>,
    next_row: Dff<Bits<A>>,
    free: Dff<Bits<C>>,
    // Rows that were just reserved, and given back.
    spent: Dff<Bits<C>>,
    given: Dff<Bits<C>>,
    // The oldest piece may take its turn.
    at_hand: Dff<Bit>,
    ar: Dff<Bit>,
    ar_at: Dff<Bits<36>>,
    ar_beats: Dff<Bits<6>>,
    // What comes back.
    ram: Ram<W, A>,
    in_row: Dff<Bits<A>>,
    second: Dff<Bit>,
    wrong: Dff<Bits<2>>,
    errors: Dram<2, 4>,
    arrived: Dff<Bit>,
    in_burst: Dff<Bits<5>>,
    out_burst: Dff<Bits<5>>,
    // What a queued piece still needs: at its turn, and on the link.
    q_bytes: Dram<10, 4>,
    q_lane: Dram<4, 4>,
    q_to: Dram<2, 4>,
    q_row: Dram<A, 4>,
    q_rows: Dram<7, 4>,
    q_flags: Dram<6, 4>,
    h_host: Dram<64, 4>,
    h_bytes: Dram<10, 4>,
    out_head: Dff<Bits<5>>,
    // The header of the next write: read a cycle ahead.
    addr: Dff<Bits<64>>,
    length: Dff<Bits<10>>,
    known: Dff<Bit>,
    turn: Dff<Bit>,
    t_bytes: Dff<Bits<10>>,
    t_lane: Dff<Bits<4>>,
    t_to: Dff<Bits<2>>,
    t_row: Dff<Bits<A>>,
    t_rows: Dff<Bits<7>>,
    t_flags: Dff<Bits<5>>,
    t_error: Dff<Bits<5>>,
    t_skip: Dff<Bit>,
    mover: Move<W, R, B, A>,
    enter: Signal<Local, Bit>,
    grant: Signal<Local, Bit>,
    burst: Signal<Local, Bit>,
    answered: Signal<Local, Bit>,
    send: Signal<Local, Bit>,
    skip: Signal<Local, Bit>,
    good: Signal<Local, Bit>,
    waiting: Signal<Local, Bits<5>>,
    gone: Signal<Local, Bit>,
    end: Signal<Local, Bits<10>>,
    take: Signal<Local, Bit>,
    row_ends: Signal<Local, Bit>,
    now_wrong: Signal<Local, Bits<2>>,
    burst_ends: Signal<Local, Bit>,
    all: Constant<Bits<C>>,
    wide: Constant<Bit>,
}

impl<const W: usize, const R: usize, const B: usize, const A: usize, const C: usize> Default
    for C2h<W, R, B, A, C>
{
    /// # Panics
    /// If the sizes do not fit each other.
    fn default() -> Self {
        assert!(
            C == A + 1 && (W == 64 || W == 128),
            "C2h: {W} bits, {A} and {C} bits of row"
        );
        Self {
            ram: Ram::new(1 << A),
            errors: Dram::new(16),
            q_bytes: Dram::new(16),
            q_lane: Dram::new(16),
            q_to: Dram::new(16),
            q_row: Dram::new(16),
            q_rows: Dram::new(16),
            q_flags: Dram::new(16),
            h_host: Dram::new(16),
            h_bytes: Dram::new(16),
            at_hand: Default::default(),
            free: Dff::new((1u64 << A).to_bits()),
            all: Constant::new((1u64 << A).to_bits()),
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
            ar_vld: Default::default(),
            ar_rdy: Default::default(),
            ar_addr: Default::default(),
            ar_len: Default::default(),
            r_vld: Default::default(),
            r_rdy: Default::default(),
            r_data: Default::default(),
            r_resp: Default::default(),
            r_last: Default::default(),
            wr_vld: Default::default(),
            wr_rdy: Default::default(),
            wr_sop: Default::default(),
            wr_eop: Default::default(),
            wr_addr: Default::default(),
            wr_bytes: Default::default(),
            wr_data: Default::default(),
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
            beats: Default::default(),
            rows: Default::default(),
            last: Default::default(),
            completed: Default::default(),
            stop: Default::default(),
            kind: Default::default(),
            fits: Default::default(),
            head: Default::default(),
            tail: Default::default(),
            queued: Default::default(),
            crowded: Default::default(),
            next_row: Default::default(),
            ar: Default::default(),
            ar_at: Default::default(),
            ar_beats: Default::default(),
            in_row: Default::default(),
            second: Default::default(),
            wrong: Default::default(),
            arrived: Default::default(),
            in_burst: Default::default(),
            out_burst: Default::default(),
            out_head: Default::default(),
            addr: Default::default(),
            length: Default::default(),
            known: Default::default(),
            turn: Default::default(),
            t_bytes: Default::default(),
            t_lane: Default::default(),
            t_to: Default::default(),
            t_row: Default::default(),
            t_rows: Default::default(),
            t_flags: Default::default(),
            t_error: Default::default(),
            t_skip: Default::default(),
            mover: Default::default(),
            enter: Default::default(),
            empty: Default::default(),
            grant: Default::default(),
            burst: Default::default(),
            answered: Default::default(),
            send: Default::default(),
            skip: Default::default(),
            waiting: Default::default(),
            good: Default::default(),
            gone: Default::default(),
            spent: Default::default(),
            given: Default::default(),
            end: Default::default(),
            take: Default::default(),
            row_ends: Default::default(),
            now_wrong: Default::default(),
            burst_ends: Default::default(),
        }
    }
}

impl<const W: usize, const R: usize, const B: usize, const A: usize, const C: usize> Logic
    for C2h<W, R, B, A, C>
{
    #[hdl_gen]
    fn update(&mut self) {
        comment!("dma_c2h");
        dff_setup!(self, clk, arrived);
        clock!(self, clk, ram, errors, q_bytes, q_lane, q_to, q_row, q_rows, q_flags);
        clock!(self, clk, h_host, h_bytes);
        dff_setup!(
            self, clk, piece, host, card, bytes, empty, beats, rows, last, completed, stop, kind
        );
        dff_setup!(
            self, clk, fits, head, tail, queued, crowded, next_row, free, spent, given, at_hand,
            ar, ar_at, ar_beats
        );
        dff_setup!(self, clk, in_row, second, wrong, in_burst, out_burst, out_head);
        dff_setup!(self, clk, addr, length, known);
        dff_setup!(self, clk, turn, t_bytes, t_lane, t_to, t_row, t_rows, t_flags, t_error, t_skip);
        self.mover.clk.next = self.clk.val();
        self.mover.rst.next = self.rst.val();

        // A piece comes in; a cycle later it is known whether it fits.
        self.p_rdy.next = !self.piece.q.val();
        self.enter.next = self.p_vld.val() && !self.piece.q.val();
        self.end.next = self.p_bytes.val()
            + bit_cast::<10, 4>(self.p_card.val().get_bits::<4>(0))
            + bits::<10>(15);
        if self.enter.val() {
            self.piece.d.next = true;
            self.host.d.next = self.p_host.val();
            self.card.d.next = self.p_card.val();
            self.bytes.d.next = self.p_bytes.val();
            self.beats.d.next = self.end.val().get_bits::<6>(4);
            self.rows.d.next = bit_cast::<7, 6>(self.end.val().get_bits::<6>(4)) << 1;
            if self.wide.val() {
                self.rows.d.next = bit_cast::<7, 6>(self.end.val().get_bits::<6>(4));
            }
            self.empty.d.next = self.p_kind.val() != 0;
            if self.p_kind.val() != 0 {
                self.rows.d.next = 0.into();
            }
            self.last.d.next = self.p_last.val();
            self.completed.d.next = self.p_completed.val();
            self.stop.d.next = self.p_stop.val();
            self.kind.d.next = self.p_kind.val();
        }
        self.grant.next = self.fits.q.val()
            && self.piece.q.val()
            && (!self.ar.q.val() || self.empty.q.val())
            && !self.kill.val();
        self.burst.next = self.grant.val() && !self.empty.q.val();
        self.fits.d.next = self.piece.q.val()
            && !self.grant.val()
            && self.free.q.val() >= bit_cast::<C, 7>(self.rows.q.val())
            && !self.crowded.q.val();
        self.spent.d.next = 0.into();
        if self.grant.val() {
            self.piece.d.next = false;
            self.head.d.next = self.head.q.val() + 1;
            self.next_row.d.next = self.next_row.q.val() + bit_cast::<A, 7>(self.rows.q.val());
            self.spent.d.next = bit_cast::<C, 7>(self.rows.q.val());
        }
        if self.kill.val() {
            self.piece.d.next = false;
            self.fits.d.next = false;
        }
        if self.ar_rdy.val() {
            self.ar.d.next = false;
        }
        if self.burst.val() {
            self.ar.d.next = true;
            self.ar_at.d.next = self.card.q.val().get_bits::<36>(4);
            self.ar_beats.d.next = self.beats.q.val() - 1;
        }
        self.ar_vld.next = self.ar.q.val();
        self.ar_addr.next = bit_cast::<40, 36>(self.ar_at.q.val()) << 4;
        self.ar_len.next = bit_cast::<8, 6>(self.ar_beats.q.val());
        self.q_bytes.we.next = self.grant.val();
        self.q_bytes.waddr.next = self.head.q.val().get_bits::<4>(0);
        self.q_bytes.wdata.next = self.bytes.q.val();
        self.q_lane.we.next = self.grant.val();
        self.q_lane.waddr.next = self.head.q.val().get_bits::<4>(0);
        self.q_lane.wdata.next = self.card.q.val().get_bits::<4>(0);
        self.q_to.we.next = self.grant.val();
        self.q_to.waddr.next = self.head.q.val().get_bits::<4>(0);
        self.q_to.wdata.next = self.host.q.val().get_bits::<2>(0);
        self.q_row.we.next = self.grant.val();
        self.q_row.waddr.next = self.head.q.val().get_bits::<4>(0);
        self.q_row.wdata.next = self.next_row.q.val();
        self.q_rows.we.next = self.grant.val();
        self.q_rows.waddr.next = self.head.q.val().get_bits::<4>(0);
        self.q_rows.wdata.next = self.rows.q.val();
        self.q_flags.we.next = self.grant.val();
        self.q_flags.waddr.next = self.head.q.val().get_bits::<4>(0);
        self.q_flags.wdata.next = (bit_cast::<6, 1>(self.empty.q.val().into()) << 5)
            | (bit_cast::<6, 2>(self.kind.q.val()) << 3)
            | (bit_cast::<6, 1>(self.stop.q.val().into()) << 2)
            | (bit_cast::<6, 1>(self.completed.q.val().into()) << 1)
            | bit_cast::<6, 1>(self.last.q.val().into());
        self.h_host.we.next = self.grant.val();
        self.h_host.waddr.next = self.head.q.val().get_bits::<4>(0);
        self.h_host.wdata.next = self.host.q.val();
        self.h_bytes.we.next = self.grant.val();
        self.h_bytes.waddr.next = self.head.q.val().get_bits::<4>(0);
        self.h_bytes.wdata.next = self.bytes.q.val();

        // Data comes back: the room is there. With 64 bits a beat is two rows.
        self.row_ends.next = self.wide.val() || self.second.q.val();
        self.take.next = self.r_vld.val() && self.row_ends.val();
        self.r_rdy.next = self.row_ends.val();
        self.ram.we.next = self.r_vld.val();
        self.ram.waddr.next = self.in_row.q.val();
        self.ram.wdata.next = bit_cast::<W, 128>(self.r_data.val());
        if !self.wide.val() && self.second.q.val() {
            self.ram.wdata.next = bit_cast::<W, 128>(self.r_data.val() >> 64);
        }
        if self.r_vld.val() {
            self.in_row.d.next = self.in_row.q.val() + 1;
            self.second.d.next = !self.row_ends.val();
        }
        self.now_wrong.next = self.wrong.q.val();
        if self.r_resp.val() == 3 {
            self.now_wrong.next = self.wrong.q.val() | 1;
        }
        if self.r_resp.val() == 2 {
            self.now_wrong.next = self.wrong.q.val() | 2;
        }
        self.burst_ends.next = self.take.val() && self.r_last.val();
        if self.take.val() {
            self.wrong.d.next = self.now_wrong.val();
        }
        self.errors.we.next = self.burst_ends.val();
        self.errors.waddr.next = self.in_burst.q.val().get_bits::<4>(0);
        self.errors.wdata.next = self.now_wrong.val();
        if self.burst_ends.val() {
            self.wrong.d.next = 0.into();
            self.in_burst.d.next = self.in_burst.q.val() + 1;
        }

        // The oldest piece, when all of it is here.
        self.q_bytes.raddr.next = self.tail.q.val();
        self.q_lane.raddr.next = self.tail.q.val();
        self.q_to.raddr.next = self.tail.q.val();
        self.q_row.raddr.next = self.tail.q.val();
        self.q_rows.raddr.next = self.tail.q.val();
        self.q_flags.raddr.next = self.tail.q.val();
        self.errors.raddr.next = self.out_burst.q.val().get_bits::<4>(0);
        // A cycle old: the piece behind one at its turn is looked at two cycles later.
        self.arrived.d.next = self.in_burst.q.val() != self.out_burst.q.val();
        self.at_hand.d.next = self.queued.q.val() != 0
            && !self.turn.q.val()
            && !self.at_hand.q.val()
            && (self.q_flags.rdata.val().get_bit(5) || self.arrived.q.val());
        self.answered.next = self.at_hand.q.val() && !self.q_flags.rdata.val().get_bit(5);
        if self.at_hand.q.val() {
            self.turn.d.next = true;
            self.tail.d.next = self.tail.q.val() + 1;
            self.t_bytes.d.next = self.q_bytes.rdata.val();
            self.t_lane.d.next = self.q_lane.rdata.val();
            self.t_to.d.next = self.q_to.rdata.val();
            self.t_row.d.next = self.q_row.rdata.val();
            self.t_rows.d.next = self.q_rows.rdata.val();
            self.t_flags.d.next = self.q_flags.rdata.val().get_bits::<5>(0);
            self.t_error.d.next = 0.into();
            self.t_skip.d.next = true;
        }
        if self.answered.val() {
            self.t_error.d.next = bit_cast::<5, 2>(self.errors.rdata.val());
            self.t_skip.d.next = self.errors.rdata.val() != 0;
            self.out_burst.d.next = self.out_burst.q.val() + 1;
        }
        // Its turn: a write, or only a report.
        self.send.next = self.turn.q.val()
            && !self.t_skip.q.val()
            && !self.kill.val()
            && self.ev_room.val()
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
        if !self.wide.val() && self.t_lane.q.val().get_bit(3) {
            self.mover.job_row.next = self.t_row.q.val() + 1;
        }
        self.mover.job_src.next = self.t_lane.q.val().get_bits::<B>(0);
        self.mover.job_dst.next = bit_cast::<B, 2>(self.t_to.q.val());
        self.mover.job_bytes.next = self.t_bytes.q.val();
        self.mover.job_rows.next = self.t_rows.q.val();
        self.mover.job_upper.next = false;
        self.mover.peek_vld.next = false;
        self.mover.peek_id.next = false;
        self.ram.re.next = self.mover.ram_re.val();
        self.ram.raddr.next = self.mover.ram_row.val();
        self.mover.ram_data.next = self.ram.rdata.val();

        // The header of the oldest piece that is not out, looked up while the write before it is on its way. A skipped piece is the
        // oldest one.
        self.h_host.raddr.next = self.out_head.q.val().get_bits::<4>(0);
        self.h_bytes.raddr.next = self.out_head.q.val().get_bits::<4>(0);
        self.waiting.next = self.head.q.val() - self.out_head.q.val();
        self.known.d.next = self.waiting.val() != 0;
        self.crowded.d.next = self.waiting.val().get_bit(4);
        self.addr.d.next = self.h_host.rdata.val();
        self.length.d.next = self.h_bytes.rdata.val();
        self.good.next =
            self.mover.out_vld.val() && (self.known.q.val() || !self.mover.out_first.val());
        self.wr_vld.next = self.good.val();
        self.mover.out_rdy.next =
            self.wr_rdy.val() && (self.known.q.val() || !self.mover.out_first.val());
        self.wr_sop.next = self.mover.out_first.val();
        self.wr_eop.next = self.mover.out_last.val();
        self.wr_addr.next = self.addr.q.val();
        self.wr_bytes.next = self.length.q.val();
        self.wr_data.next = self.mover.out_data.val();
        self.beat.next = self.good.val() && self.wr_rdy.val();
        self.gone.next =
            (self.good.val() && self.wr_rdy.val() && self.mover.out_first.val()) || self.skip.val();
        if self.gone.val() {
            self.out_head.d.next = self.out_head.q.val() + 1;
            self.known.d.next = false;
        }

        // Pieces at their turn are not queued any more.
        if self.grant.val() && !self.at_hand.q.val() {
            self.queued.d.next = self.queued.q.val() + 1;
        }
        if !self.grant.val() && self.at_hand.q.val() {
            self.queued.d.next = self.queued.q.val() - 1;
        }
        self.given.d.next = 0.into();
        if self.mover.rel_vld.val() {
            self.given.d.next = bit_cast::<C, 7>(self.mover.rel_rows.val());
        }
        if self.skip.val() {
            self.given.d.next = bit_cast::<C, 7>(self.t_rows.q.val());
        }
        self.free.d.next = self.free.q.val() - self.spent.q.val() + self.given.q.val();
        self.idle.next = !self.piece.q.val()
            && self.queued.q.val() == 0
            && !self.turn.q.val()
            && self.mover.idle.val()
            && !self.ar.q.val();

        if self.rst.val() {
            self.piece.d.next = false;
            self.fits.d.next = false;
            self.head.d.next = 0.into();
            self.tail.d.next = 0.into();
            self.queued.d.next = 0.into();
            self.next_row.d.next = 0.into();
            self.free.d.next = self.all.val();
            self.ar.d.next = false;
            self.in_row.d.next = 0.into();
            self.second.d.next = false;
            self.wrong.d.next = 0.into();
            self.in_burst.d.next = 0.into();
            self.out_burst.d.next = 0.into();
            self.out_head.d.next = 0.into();
            self.known.d.next = false;
            self.at_hand.d.next = false;
            self.arrived.d.next = false;
            self.spent.d.next = 0.into();
            self.given.d.next = 0.into();
            self.turn.d.next = false;
        }
    }
}
