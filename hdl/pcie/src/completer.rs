//! Answers to requests: completions with data, or with the status that says why there is none.
//!
//! What: takes one request after the other, asks `access` for its words, gathers up to one payload and sends it. A request is split
//! only at multiples of 128 bytes (the read completion boundary of an endpoint), as late as Max_Payload_Size allows. Byte count and
//! lower address follow from the byte enables. A payload goes out when all its words are there, so an error in the middle of a
//! request ends it with a completer abort and no broken payload. Traffic class, attributes and tag are the request's; but for ID-based ordering, which is never
//! asked for: that needs an enable bit that this function does not have.
//!
//! Cost (ECP5): 128 bits 220 LUTs, 510 flip-flops, 32 distributed RAM cells. Latency: 9 cycles and those of `access`.
//! Bottleneck: one word per turn of `access`, one request at a time,
//! one beat in two cycles. Hazard: none.

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Completer<const W: usize, const K: usize> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// A request, as `dispatch` queued it.
    pub rq_vld: Signal<In, Bit>,
    /// It is taken.
    pub rq_rdy: Signal<Out, Bit>,
    /// Header.
    pub rq_header: Signal<In, Bits<128>>,
    /// First word of data.
    pub rq_data: Signal<In, Bits<32>>,
    /// Whom it concerns.
    pub rq_target: Signal<In, Bits<2>>,
    /// Not supported.
    pub rq_unsupported: Signal<In, Bit>,
    /// Address bits 39..2.
    pub rq_addr: Signal<In, Bits<38>>,
    /// A word is wanted.
    pub ask_vld: Signal<Out, Bit>,
    /// First word of the request.
    pub ask_first: Signal<Out, Bit>,
    /// BAR or configuration.
    pub ask_target: Signal<Out, Bits<2>>,
    /// Write configuration space.
    pub ask_write: Signal<Out, Bit>,
    /// Address bits 39..2.
    pub ask_addr: Signal<Out, Bits<38>>,
    /// The word to write.
    pub ask_data: Signal<Out, Bits<32>>,
    /// Bytes that are wanted.
    pub ask_be: Signal<Out, Bits<4>>,
    /// The answer.
    pub ask_done: Signal<In, Bit>,
    /// The word.
    pub ask_word: Signal<In, Bits<32>>,
    /// The word is an error.
    pub ask_error: Signal<In, Bit>,
    /// Max_Payload_Size: 128 << mps bytes.
    pub mps: Signal<In, Bits<3>>,
    /// Bus, device and function of this function.
    pub id: Signal<Out, Bits<16>>,
    /// A completion is ready to be sent.
    pub tx_vld: Signal<Out, Bit>,
    /// It is sent.
    pub tx_done: Signal<In, Bit>,
    /// Header.
    pub tx_header: Signal<Out, Bits<128>>,
    /// Payload, the present beat.
    pub tx_data: Signal<Out, Bits<W>>,
    /// It is there.
    pub tx_there: Signal<Out, Bit>,
    /// The beat is taken.
    pub tx_take: Signal<In, Bit>,
    /// A request was answered with unsupported request.
    pub unsupported: Signal<Out, Bit>,
    /// A request was answered with completer abort.
    pub aborted: Signal<Out, Bit>,
    /// The header of the request, in that cycle.
    pub header: Signal<Out, Bits<128>>,
    /// The last completion sent answered a write of configuration space.
    pub configured: Signal<Out, Bit>,
    // 0 idle, 1 sizes, 2 plan, 3 read, 4 header, 5 send, 6 limit, 7 compare.
    state: Dff<Bits<3>>,
    head: Dff<Bits<128>>,
    data: Dff<Bits<32>>,
    target: Dff<Bits<2>>,
    refused: Dff<Bit>,
    addr: Dff<Bits<38>>,
    rest: Dff<Bits<11>>,
    bytes: Dff<Bits<13>>,
    low: Dff<Bits<2>>,
    first: Dff<Bit>,
    chunk: Dff<Bits<7>>,
    chunk_bytes: Dff<Bits<13>>,
    start: Dff<Bits<5>>,
    todo: Dff<Bits<7>>,
    asking: Dff<Bit>,
    loaded: Dff<Bit>,
    shown: Dff<Bits<W>>,
    be: Dff<Bits<4>>,
    failed: Dff<Bit>,
    lane: Dff<Bits<2>>,
    beat: Dff<Bits<5>>,
    out: Dff<Bits<5>>,
    own: Dff<Bits<16>>,
    note_unsupported: Dff<Bit>,
    note_aborted: Dff<Bit>,
    applied: Dff<Bit>,
    made: Dff<Bits<96>>,
    buffer: [Dram<32, 5>; K],
    k: Signal<Local, Bits<3>>,
    first_be: Signal<Local, Bits<4>>,
    last_be: Signal<Local, Bits<4>>,
    skip: Signal<Local, Bits<2>>,
    tail: Signal<Local, Bits<2>>,
    high: Signal<Local, Bits<2>>,
    writes: Signal<Local, Bit>,
    conf: Signal<Local, Bit>,
    limit: Dff<Bits<11>>,
    over: Dff<Bit>,
    row: Signal<Local, Bits<W>>,
    with_data: Signal<Local, Bit>,
    status: Signal<Local, Bits<3>>,
    word0: Signal<Local, Bits<32>>,
    word1: Signal<Local, Bits<32>>,
    word2: Signal<Local, Bits<32>>,
}

impl<const W: usize, const K: usize> Default for Completer<W, K> {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            rq_vld: Default::default(),
            rq_rdy: Default::default(),
            rq_header: Default::default(),
            rq_data: Default::default(),
            rq_target: Default::default(),
            rq_unsupported: Default::default(),
            rq_addr: Default::default(),
            ask_vld: Default::default(),
            ask_first: Default::default(),
            ask_target: Default::default(),
            ask_write: Default::default(),
            ask_addr: Default::default(),
            ask_data: Default::default(),
            ask_be: Default::default(),
            ask_done: Default::default(),
            ask_word: Default::default(),
            ask_error: Default::default(),
            mps: Default::default(),
            id: Default::default(),
            tx_vld: Default::default(),
            tx_done: Default::default(),
            tx_header: Default::default(),
            tx_data: Default::default(),
            tx_there: Default::default(),
            tx_take: Default::default(),
            unsupported: Default::default(),
            aborted: Default::default(),
            header: Default::default(),
            configured: Default::default(),
            state: Default::default(),
            head: Default::default(),
            data: Default::default(),
            target: Default::default(),
            refused: Default::default(),
            addr: Default::default(),
            rest: Default::default(),
            bytes: Default::default(),
            low: Default::default(),
            first: Default::default(),
            chunk: Default::default(),
            chunk_bytes: Default::default(),
            start: Default::default(),
            todo: Default::default(),
            asking: Default::default(),
            loaded: Default::default(),
            shown: Default::default(),
            be: Default::default(),
            failed: Default::default(),
            lane: Default::default(),
            beat: Default::default(),
            out: Default::default(),
            own: Default::default(),
            note_unsupported: Default::default(),
            note_aborted: Default::default(),
            applied: Default::default(),
            made: Default::default(),
            buffer: std::array::from_fn(|_| Dram::new(abi::pci::MAX_PAYLOAD / 4 / K)),
            k: Default::default(),
            first_be: Default::default(),
            last_be: Default::default(),
            skip: Default::default(),
            tail: Default::default(),
            high: Default::default(),
            writes: Default::default(),
            conf: Default::default(),
            limit: Default::default(),
            over: Default::default(),
            row: Default::default(),
            with_data: Default::default(),
            status: Default::default(),
            word0: Default::default(),
            word1: Default::default(),
            word2: Default::default(),
        }
    }
}

impl<const W: usize, const K: usize> Logic for Completer<W, K> {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_completer");
        dff_setup!(self, clk, be, loaded, shown);
        dff_setup!(self, clk, state, head, data, target, refused, addr, rest, bytes, low);
        dff_setup!(
            self,
            clk,
            first,
            chunk,
            chunk_bytes,
            start,
            todo,
            asking,
            failed
        );
        dff_setup!(
            self,
            clk,
            lane,
            beat,
            out,
            own,
            note_unsupported,
            note_aborted,
            applied,
            limit,
            over,
            made
        );
        for n in K..(K + 1) {
            self.k.next = n.to_bits();
        }

        // Take a request.
        self.rq_rdy.next = self.state.q.val() == 0;
        if self.state.q.val() == 0 && self.rq_vld.val() {
            self.state.d.next = 1.into();
            self.head.d.next = self.rq_header.val();
            self.data.d.next = self.rq_data.val();
            self.target.d.next = self.rq_target.val();
            self.refused.d.next = self.rq_unsupported.val();
            self.addr.d.next = self.rq_addr.val();
        }

        // Its sizes: bytes from the first to the last that is enabled; at least one.
        self.writes.next = self.head.q.val().get_bit(30);
        self.conf.next = self.head.q.val().get_bits::<5>(24) != 0;
        self.first_be.next = self.head.q.val().get_bits::<4>(32);
        self.last_be.next = self.head.q.val().get_bits::<4>(36);
        self.skip.next = 0.into();
        if self.first_be.val().get_bits::<3>(0) == 4 {
            self.skip.next = 2.into();
        } else if self.first_be.val() == 8 {
            self.skip.next = 3.into();
        } else if self.first_be.val().get_bits::<2>(0) == 2 {
            self.skip.next = 1.into();
        }
        self.high.next = 0.into();
        if self.first_be.val().get_bit(1) {
            self.high.next = 1.into();
        }
        if self.first_be.val().get_bit(2) {
            self.high.next = 2.into();
        }
        if self.first_be.val().get_bit(3) {
            self.high.next = 3.into();
        }
        self.tail.next = 3.into();
        if self.last_be.val().get_bit(1) {
            self.tail.next = 2.into();
        }
        if self.last_be.val().get_bit(2) {
            self.tail.next = 1.into();
        }
        if self.last_be.val().get_bit(3) {
            self.tail.next = 0.into();
        }
        if self.state.q.val() == 1 {
            self.state.d.next = 6.into();
            self.first.d.next = true;
            self.failed.d.next = false;
            self.low.d.next = self.skip.val();
            self.rest.d.next = bit_cast::<11, 10>(self.head.q.val().get_bits::<10>(0));
            self.bytes.d.next = (bit_cast::<13, 10>(self.head.q.val().get_bits::<10>(0)) << 2)
                - bit_cast::<13, 2>(self.skip.val())
                - bit_cast::<13, 2>(self.tail.val());
            if self.head.q.val().get_bits::<10>(0) == 0 {
                self.rest.d.next = 1024.into();
                self.bytes.d.next = bits::<13>(4096)
                    - bit_cast::<13, 2>(self.skip.val())
                    - bit_cast::<13, 2>(self.tail.val());
            }
            if self.head.q.val().get_bits::<10>(0) == 1 {
                self.bytes.d.next =
                    bit_cast::<13, 2>(self.high.val()) - bit_cast::<13, 2>(self.skip.val()) + 1;
            }
            if self.conf.val() || self.writes.val() {
                self.low.d.next = 0.into();
                self.addr.d.next = bit_cast::<38, 10>(self.head.q.val().get_bits::<10>(66));
                self.bytes.d.next = 4.into();
                self.rest.d.next = 1.into();
            }
            if self.conf.val()
                && self.target.q.val() == 3
                && !self.refused.q.val()
                && self.writes.val()
            {
                self.own.d.next = self.head.q.val().get_bits::<16>(80);
            }
        }

        // The next completion: up to the last boundary within the payload's limit.
        self.limit.d.next = bits::<11>(32) - bit_cast::<11, 5>(self.addr.q.val().get_bits::<5>(0));
        if self.mps.val() != 0 {
            self.limit.d.next =
                bits::<11>(64) - bit_cast::<11, 5>(self.addr.q.val().get_bits::<5>(0));
        }
        if self.state.q.val() == 6 {
            self.state.d.next = 7.into();
        }
        self.over.d.next = self.rest.q.val() > self.limit.q.val();
        if self.state.q.val() == 7 {
            self.state.d.next = 2.into();
        }
        if self.state.q.val() == 2 {
            self.state.d.next = 3.into();
            self.start.d.next = self.addr.q.val().get_bits::<5>(0);
            self.chunk.d.next = bit_cast::<7, 11>(self.rest.q.val());
            self.todo.d.next = bit_cast::<7, 11>(self.rest.q.val());
            self.chunk_bytes.d.next = self.bytes.q.val();
            if self.over.q.val() {
                self.chunk.d.next = bit_cast::<7, 11>(self.limit.q.val());
                self.todo.d.next = bit_cast::<7, 11>(self.limit.q.val());
                self.chunk_bytes.d.next = bit_cast::<13, 11>(self.limit.q.val() << 2)
                    - bit_cast::<13, 2>(self.low.q.val());
            }
            self.lane.d.next = 0.into();
            self.beat.d.next = 0.into();
            self.be.d.next = 15.into();
            if self.first.q.val() {
                self.be.d.next = self.first_be.val();
            } else if self.rest.q.val() == 1 {
                self.be.d.next = self.last_be.val();
            }
            self.asking.d.next = true;
            if self.refused.q.val() {
                self.state.d.next = 4.into();
                self.asking.d.next = false;
            }
        }

        // Its words.
        self.ask_vld.next = self.asking.q.val();
        self.ask_first.next = self.first.q.val();
        self.ask_target.next = self.target.q.val();
        self.ask_write.next = self.writes.val();
        self.ask_addr.next = self.addr.q.val();
        self.ask_data.next = self.data.q.val();
        self.ask_be.next = self.be.q.val();
        for i in 0..K {
            self.buffer[i].clock.next = self.clk.val();
            self.buffer[i].we.next =
                self.state.q.val() == 3 && self.ask_done.val() && self.lane.q.val() == i.to_bits();
            self.buffer[i].waddr.next = self.beat.q.val();
            self.buffer[i].wdata.next = self.ask_word.val();
            self.buffer[i].raddr.next = self.out.q.val();
        }
        if self.state.q.val() == 3 && self.ask_done.val() {
            self.first.d.next = false;
            self.be.d.next = 15.into();
            if self.rest.q.val() == 2 {
                self.be.d.next = self.last_be.val();
            }
            self.rest.d.next = self.rest.q.val() - 1;
            self.todo.d.next = self.todo.q.val() - 1;
            self.addr.d.next = (self.addr.q.val() & 0x3F_FFFF_FC00u64)
                | bit_cast::<38, 10>(self.addr.q.val().get_bits::<10>(0) + 1);
            self.lane.d.next = self.lane.q.val() + 1;
            if bit_cast::<3, 2>(self.lane.q.val()) + 1 == self.k.val() {
                self.lane.d.next = 0.into();
                self.beat.d.next = self.beat.q.val() + 1;
            }
            if self.todo.q.val() == 1 || self.ask_error.val() {
                self.asking.d.next = false;
                self.state.d.next = 4.into();
                self.failed.d.next = self.ask_error.val();
            }
        }

        // Send it.
        self.with_data.next = !self.refused.q.val() && !self.failed.q.val() && !self.writes.val();
        self.word0.next = (self.head.q.val().get_bits::<32>(0) & 0x0070_3000u64) | 0x0A00_0000u64;
        if self.head.q.val().get_bits::<5>(24) == 1 {
            self.word0.next =
                (self.head.q.val().get_bits::<32>(0) & 0x0070_3000u64) | 0x0B00_0000u64;
        }
        if self.with_data.val() {
            self.word0.next = (self.head.q.val().get_bits::<32>(0) & 0x0070_3000u64)
                | 0x4A00_0000u64
                | bit_cast::<32, 7>(self.chunk.q.val());
        }
        self.status.next = 0.into();
        if self.failed.q.val() {
            self.status.next = 4.into();
        }
        if self.refused.q.val() {
            self.status.next = 1.into();
        }
        self.word1.next = (bit_cast::<32, 16>(self.own.q.val()) << 16)
            | (bit_cast::<32, 3>(self.status.val()) << 13)
            | bit_cast::<32, 12>(self.bytes.q.val().get_bits::<12>(0));
        self.word2.next = bit_cast::<32, 24>(self.head.q.val().get_bits::<24>(40)) << 8;
        if !self.conf.val() {
            self.word2.next = (bit_cast::<32, 24>(self.head.q.val().get_bits::<24>(40)) << 8)
                | (bit_cast::<32, 5>(self.start.q.val()) << 2)
                | bit_cast::<32, 2>(self.low.q.val());
        }
        if self.state.q.val() == 4 {
            self.state.d.next = 5.into();
        }
        self.tx_vld.next = self.state.q.val() == 5;
        self.tx_header.next = bit_cast::<128, 96>(self.made.q.val());
        self.made.d.next = bit_cast::<96, 32>(self.word0.val())
            | (bit_cast::<96, 32>(self.word1.val()) << 32)
            | (bit_cast::<96, 32>(self.word2.val()) << 64);
        self.row.next = 0.into();
        for n in K..(K + 1) {
            for i in 0..K {
                self.row.next = (self.row.val() << 32)
                    | unsigned_cast_zx::<W, 32>(self.buffer[n - 1 - i].rdata.val());
            }
        }
        if !self.loaded.q.val() {
            self.loaded.d.next = true;
            self.shown.d.next = self.row.val();
            self.out.d.next = self.out.q.val() + 1;
        }
        if self.tx_take.val() {
            self.loaded.d.next = false;
        }
        if self.state.q.val() != 5 {
            self.loaded.d.next = false;
            self.out.d.next = 0.into();
        }
        self.tx_data.next = self.shown.q.val();
        self.tx_there.next = self.loaded.q.val();
        self.note_unsupported.d.next = false;
        self.note_aborted.d.next = false;
        self.applied.d.next = false;
        if self.tx_done.val() {
            self.bytes.d.next = self.bytes.q.val() - self.chunk_bytes.q.val();
            self.low.d.next = 0.into();
            self.state.d.next = 6.into();
            if !self.with_data.val() || self.rest.q.val() == 0 {
                self.state.d.next = 0.into();
                self.note_unsupported.d.next = self.refused.q.val();
                self.note_aborted.d.next = self.failed.q.val();
                self.applied.d.next = self.target.q.val() == 3 && self.writes.val();
            }
        }
        self.unsupported.next = self.note_unsupported.q.val();
        self.aborted.next = self.note_aborted.q.val();
        self.configured.next = self.applied.q.val();
        self.header.next = self.head.q.val();
        self.id.next = self.own.q.val();

        if self.rst.val() {
            self.state.d.next = 0.into();
            self.own.d.next = 0.into();
        }
    }
}
