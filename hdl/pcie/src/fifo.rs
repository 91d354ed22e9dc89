//! A first-in first-out buffer in block RAM whose newest words can be taken back.
//!
//! What: words go in with `in_vld`; they can come out once `in_commit` has been given with one of them or a later one. `in_discard`
//! takes back every word since the last commit, the present one included. Words come out of a register of their own, because a block
//! RAM's is slow.
//!
//! Cost (ECP5): the RAM; for words of 130 bits 160 LUTs and 290 flip-flops. Latency: 3 cycles from the commit to
//! `out_vld`. Bottleneck: one word in and one word out per cycle; 2^`A` - 3 words fit. Hazard: none; a word is readable only from the
//! cycle after it was written.

use leaf::prelude::*;

/// See the module's page. `W` bits per word, `A` address bits.
#[derive(LogicBlock)]
pub struct Fifo<const W: usize, const A: usize> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// A word.
    pub in_vld: Signal<In, Bit>,
    /// There is room for it.
    pub in_rdy: Signal<Out, Bit>,
    /// The word.
    pub in_data: Signal<In, Bits<W>>,
    /// With `in_vld`: this word and those before it are good.
    pub in_commit: Signal<In, Bit>,
    /// With `in_vld`: this word and those since the last commit are not.
    pub in_discard: Signal<In, Bit>,
    /// A committed word.
    pub out_vld: Signal<Out, Bit>,
    /// It is taken.
    pub out_rdy: Signal<In, Bit>,
    /// The word.
    pub out_data: Signal<Out, Bits<W>>,
    ram: Ram<W, A>,
    write: Dff<Bits<A>>,
    good: Dff<Bits<A>>,
    read: Dff<Bits<A>>,
    room: Dff<Bit>,
    fetched: Dff<Bit>,
    full: Dff<Bit>,
    word: Dff<Bits<W>>,
    kept: Dff<Bit>,
    spare: Dff<Bits<W>>,
    take: Signal<Local, Bit>,
    fetch: Signal<Local, Bit>,
    opens: Signal<Local, Bit>,
    moves: Signal<Local, Bit>,
    next: Signal<Local, Bits<A>>,
    ahead: Signal<Local, Bits<A>>,
}

impl<const W: usize, const A: usize> Default for Fifo<W, A> {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_data: Default::default(),
            in_commit: Default::default(),
            in_discard: Default::default(),
            out_vld: Default::default(),
            out_rdy: Default::default(),
            out_data: Default::default(),
            ram: Ram::new(1 << A),
            write: Default::default(),
            good: Default::default(),
            read: Default::default(),
            room: Default::default(),
            fetched: Default::default(),
            full: Default::default(),
            word: Default::default(),
            kept: Default::default(),
            spare: Default::default(),
            take: Default::default(),
            fetch: Default::default(),
            opens: Default::default(),
            moves: Default::default(),
            next: Default::default(),
            ahead: Default::default(),
        }
    }
}

impl<const W: usize, const A: usize> Logic for Fifo<W, A> {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_fifo");
        clock!(self, clk, ram);
        dff_setup!(self, clk, write, good, read, room, fetched, full, word, kept, spare);

        // Write. `room` is a cycle old, so it is given up early.
        self.take.next = self.in_vld.val() && self.room.q.val();
        self.in_rdy.next = self.room.q.val();
        self.ram.we.next = self.take.val();
        self.ram.waddr.next = self.write.q.val();
        self.ram.wdata.next = self.in_data.val();
        self.next.next = self.write.q.val() + 1;
        if self.take.val() {
            self.write.d.next = self.next.val();
            if self.in_commit.val() {
                self.good.d.next = self.next.val();
            }
            if self.in_discard.val() {
                self.write.d.next = self.good.q.val();
            }
        }
        self.ahead.next = self.read.q.val() - self.write.q.val();
        self.room.d.next = self.ahead.val() == 0 || self.ahead.val() > 3;

        // Read: into the memory's register, then into the word's, or beside it if nobody takes that. Whether to fetch is known from
        // registers alone: a word that is fetched always finds a place.
        self.fetch.next =
            self.read.q.val() != self.good.q.val() && !(self.kept.q.val() && self.fetched.q.val());
        self.ram.re.next = self.fetch.val();
        self.ram.raddr.next = self.read.q.val();
        self.opens.next = !self.full.q.val() || self.out_rdy.val();
        self.moves.next = self.fetched.q.val() && (self.opens.val() || !self.kept.q.val());
        if self.opens.val() {
            self.full.d.next = self.kept.q.val() || self.fetched.q.val();
            self.word.d.next = self.ram.rdata.val();
            if self.kept.q.val() {
                self.word.d.next = self.spare.q.val();
            }
            self.kept.d.next = self.kept.q.val() && self.fetched.q.val();
        } else if self.fetched.q.val() {
            self.kept.d.next = true;
        }
        if self.moves.val() {
            self.spare.d.next = self.ram.rdata.val();
            self.fetched.d.next = false;
        }
        if self.fetch.val() {
            self.fetched.d.next = true;
            self.read.d.next = self.read.q.val() + 1;
        }
        self.out_vld.next = self.full.q.val();
        self.out_data.next = self.word.q.val();

        if self.rst.val() {
            self.write.d.next = 0.into();
            self.good.d.next = 0.into();
            self.read.d.next = 0.into();
            self.room.d.next = false;
            self.fetched.d.next = false;
            self.full.d.next = false;
            self.kept.d.next = false;
        }
    }
}
