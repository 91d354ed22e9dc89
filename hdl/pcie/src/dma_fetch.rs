//! Fetches the descriptors of one channel.
//!
//! What: follows a list from its first address. Adjacent descriptors (Nxt_adj) are read several at a time, up to 16, never across a
//! multiple of the largest read request, and so never across 4 KiB; two such reads are ahead of the descriptor in use, so a list of
//! adjacent descriptors does not wait for memory. The last descriptor of a block names the next block. A descriptor with a bad magic, or
//! one that did not arrive, goes out as a descriptor of that `kind`: it takes its turn behind those before it, and ends the list as Stop
//! does.
//!
//! Cost (ECP5, 64 / 128 bits): 312 / 355 LUT sites; the words stand in the upper half of the reorder buffer. Latency: 18 / 14 cycles from
//! the end of a read to its first descriptor. Bottleneck: one descriptor in 15 / 11 cycles. Hazard: `start` only while `idle`; adjacent
//! descriptors share a page, as the contract says, so only the address within it advances.

use abi::dma::descriptor;
use leaf::prelude::*;

/// See the module's page. `W` bits per row.
#[derive(LogicBlock)]
pub struct Fetch<const W: usize> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Begin a list.
    pub start: Signal<In, Bit>,
    /// Address of its first descriptor.
    pub first: Signal<In, Bits<64>>,
    /// How many more stand behind it.
    pub adjacent: Signal<In, Bits<6>>,
    /// The list is being followed; once low, what was fetched is dropped.
    pub on: Signal<In, Bit>,
    /// No new read, for now.
    pub halt: Signal<In, Bit>,
    /// Largest read request: 128 << `mrrs` bytes.
    pub mrrs: Signal<In, Bits<3>>,
    /// A read request.
    pub rq_vld: Signal<Out, Bit>,
    /// It is taken; its tag is open from the next cycle on.
    pub rq_rdy: Signal<In, Bit>,
    /// Its address.
    pub rq_addr: Signal<Out, Bits<64>>,
    /// Its bytes.
    pub rq_bytes: Signal<Out, Bits<10>>,
    /// Which of the two tags.
    pub rq_half: Signal<Out, Bit>,
    /// The tags that are complete.
    pub done: Signal<In, Bits<2>>,
    /// And those that failed.
    pub bad: Signal<In, Bits<2>>,
    /// Read a row.
    pub peek_vld: Signal<Out, Bit>,
    /// It is being read.
    pub peek_rdy: Signal<In, Bit>,
    /// Row of this channel's part of the reorder buffer.
    pub peek_row: Signal<Out, Bits<7>>,
    /// The row.
    pub seen_vld: Signal<In, Bit>,
    /// The row.
    pub seen_data: Signal<In, Bits<W>>,
    /// A descriptor.
    pub d_vld: Signal<Out, Bit>,
    /// It is taken.
    pub d_rdy: Signal<In, Bit>,
    /// Source address.
    pub d_src: Signal<Out, Bits<64>>,
    /// Destination address.
    pub d_dst: Signal<Out, Bits<64>>,
    /// Bytes.
    pub d_length: Signal<Out, Bits<28>>,
    /// Its end is to be logged.
    pub d_completed: Signal<Out, Bit>,
    /// The last one.
    pub d_stop: Signal<Out, Bit>,
    /// 0 good, 2 without magic, 3 did not arrive.
    pub d_kind: Signal<Out, Bits<2>>,
    /// No read is outstanding and no descriptor waits.
    pub idle: Signal<Out, Bit>,

    // The block being read: its next descriptor, and how many are left.
    place: Dff<Bits<59>>,
    left: Dff<Bits<7>>,
    // Its next read: the place has stood for a cycle, the size is known, and it may go.
    aged: Dff<Bit>,
    room: Dff<Bits<5>>,
    sized: Dff<Bit>,
    size: Dff<Bits<5>>,
    allowed: Dff<Bit>,
    // Reads: the one that waits to be taken; which tags are in use, which of them are taken, and how many
    // descriptors they hold, less one.
    request: Dff<Bit>,
    request_addr: Dff<Bits<59>>,
    request_count: Dff<Bits<5>>,
    request_half: Dff<Bit>,
    ask_half: Dff<Bit>,
    used: Dff<Bits<2>>,
    sent: Dff<Bits<2>>,
    count: [Dff<Bits<4>>; 2],
    // The next descriptor: its rows come, it is whole, its magic was looked at, it is on offer.
    half: Dff<Bit>,
    index: Dff<Bits<4>>,
    row: Dff<Bits<6>>,
    ready: Dff<Bit>,
    reading: Dff<Bit>,
    asked: Dff<Bits<3>>,
    got: Dff<Bits<3>>,
    words: Dff<Bits<256>>,
    lost: Dff<Bit>,
    whole: Dff<Bit>,
    checked: Dff<Bit>,
    offered: Dff<Bit>,
    kind: Dff<Bits<2>>,
    last: Dff<Bit>,
    // Nothing more of its block is to be read, or has been.
    alone: Dff<Bit>,
    ended: Dff<Bit>,
    cap: Signal<Local, Bits<5>>,
    within: Signal<Local, Bits<5>>,
    issue: Signal<Local, Bit>,
    taken: Signal<Local, Bit>,
    offer: Signal<Local, Bit>,
    peek: Signal<Local, Bit>,
    follow: Signal<Local, Bit>,
    ask_mask: Signal<Local, Bits<2>>,
    request_mask: Signal<Local, Bits<2>>,
    mask: Signal<Local, Bits<2>>,
    claimed: Signal<Local, Bits<2>>,
    freed: Signal<Local, Bits<2>>,
    here: Signal<Local, Bits<4>>,
    rows: Constant<Bits<3>>,
    step: Constant<Bits<9>>,
    top: Constant<Bits<9>>,
    magic: Constant<Bits<16>>,
}

impl<const W: usize> Default for Fetch<W> {
    fn default() -> Self {
        // The kernel takes the fields of a descriptor from these places.
        assert_eq!(
            descriptor::WORDS.map(|w| w.1),
            [0, 4, 8, 12, 16, 20, 24, 28]
        );
        assert_eq!(
            (
                descriptor::STOP,
                descriptor::COMPLETED,
                descriptor::ADJACENT
            ),
            (1, 2, 8)
        );
        Self {
            rows: Constant::new((256 / W as u64).to_bits()),
            step: Constant::new((W as u64).to_bits()),
            top: Constant::new((256 - W as u64).to_bits()),
            magic: Constant::new(u64::from(descriptor::MAGIC).to_bits()),
            count: arr(),
            clk: Default::default(),
            rst: Default::default(),
            start: Default::default(),
            first: Default::default(),
            adjacent: Default::default(),
            on: Default::default(),
            halt: Default::default(),
            mrrs: Default::default(),
            rq_vld: Default::default(),
            rq_rdy: Default::default(),
            rq_addr: Default::default(),
            rq_bytes: Default::default(),
            rq_half: Default::default(),
            done: Default::default(),
            bad: Default::default(),
            peek_vld: Default::default(),
            peek_rdy: Default::default(),
            peek_row: Default::default(),
            seen_vld: Default::default(),
            seen_data: Default::default(),
            d_vld: Default::default(),
            d_rdy: Default::default(),
            d_src: Default::default(),
            d_dst: Default::default(),
            d_length: Default::default(),
            d_completed: Default::default(),
            d_stop: Default::default(),
            d_kind: Default::default(),
            idle: Default::default(),
            place: Default::default(),
            left: Default::default(),
            sized: Default::default(),
            size: Default::default(),
            aged: Default::default(),
            allowed: Default::default(),
            alone: Default::default(),
            request: Default::default(),
            request_addr: Default::default(),
            request_count: Default::default(),
            request_half: Default::default(),
            ask_half: Default::default(),
            used: Default::default(),
            sent: Default::default(),
            half: Default::default(),
            index: Default::default(),
            row: Default::default(),
            ready: Default::default(),
            reading: Default::default(),
            asked: Default::default(),
            got: Default::default(),
            words: Default::default(),
            lost: Default::default(),
            whole: Default::default(),
            checked: Default::default(),
            offered: Default::default(),
            kind: Default::default(),
            last: Default::default(),
            ended: Default::default(),
            cap: Default::default(),
            within: Default::default(),
            room: Default::default(),
            issue: Default::default(),
            taken: Default::default(),
            offer: Default::default(),
            peek: Default::default(),
            follow: Default::default(),
            ask_mask: Default::default(),
            request_mask: Default::default(),
            mask: Default::default(),
            claimed: Default::default(),
            freed: Default::default(),
            here: Default::default(),
        }
    }
}

impl<const W: usize> Logic for Fetch<W> {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("dma_fetch");
        dff_setup!(self, clk, aged, room, allowed, alone, ready);
        dff_setup!(
            self,
            clk,
            place,
            left,
            sized,
            size,
            request,
            request_addr,
            request_count
        );
        dff_setup!(
            self,
            clk,
            request_half,
            ask_half,
            used,
            sent,
            half,
            index,
            row,
            reading
        );
        dff_setup!(self, clk, asked, got, words, lost, whole, checked, offered, kind, last, ended);
        for i in 0..2 {
            self.count[i].clock.next = self.clk.val();
            self.count[i].d.next = self.count[i].q.val();
        }
        self.ask_mask.next = 1.into();
        if self.ask_half.q.val() {
            self.ask_mask.next = 2.into();
        }
        self.request_mask.next = 1.into();
        if self.request_half.q.val() {
            self.request_mask.next = 2.into();
        }
        self.mask.next = 1.into();
        self.here.next = self.count[0].q.val();
        if self.half.q.val() {
            self.mask.next = 2.into();
            self.here.next = self.count[1].q.val();
        }
        self.follow.next = self.on.val() && !self.ended.q.val();

        // The next read, three cycles ahead: up to the next multiple of the largest size.
        self.cap.next = 16.into();
        self.within.next = bit_cast::<5, 4>(self.place.q.val().get_bits::<4>(0));
        if self.mrrs.val() == 0 {
            self.cap.next = 4.into();
            self.within.next = bit_cast::<5, 2>(self.place.q.val().get_bits::<2>(0));
        }
        if self.mrrs.val() == 1 {
            self.cap.next = 8.into();
            self.within.next = bit_cast::<5, 3>(self.place.q.val().get_bits::<3>(0));
        }
        self.room.d.next = self.cap.val() - self.within.val();
        self.size.d.next = self.room.q.val();
        if self.left.q.val() < bit_cast::<7, 5>(self.room.q.val()) {
            self.size.d.next = self.left.q.val().get_bits::<5>(0);
        }
        self.issue.next = self.sized.q.val() && self.allowed.q.val();
        self.aged.d.next = true;
        self.sized.d.next = self.aged.q.val() && self.left.q.val() != 0;
        self.allowed.d.next = self.follow.val()
            && !self.halt.val()
            && !self.request.q.val()
            && !self.issue.val()
            && (self.used.q.val() & self.ask_mask.val()) == 0;
        self.taken.next = self.request.q.val() && self.rq_rdy.val();
        if self.taken.val() || !self.follow.val() {
            self.request.d.next = false;
        }
        if self.issue.val() {
            self.request.d.next = true;
            self.request_addr.d.next = self.place.q.val();
            self.request_count.d.next = self.size.q.val();
            self.request_half.d.next = self.ask_half.q.val();
            self.ask_half.d.next = !self.ask_half.q.val();
            self.aged.d.next = false;
            self.sized.d.next = false;
            self.place.d.next = (self.place.q.val() & 0x7FF_FFFF_FFFF_FF80u64)
                | bit_cast::<59, 7>(
                    self.place.q.val().get_bits::<7>(0) + bit_cast::<7, 5>(self.size.q.val()),
                );
            self.left.d.next = self.left.q.val() - bit_cast::<7, 5>(self.size.q.val());
            for i in 0..2 {
                if self.ask_mask.val().get_bit(i) {
                    self.count[i].d.next = self.size.q.val().get_bits::<4>(0) - 1;
                }
            }
        }
        self.rq_vld.next = self.request.q.val();
        self.rq_addr.next = bit_cast::<64, 59>(self.request_addr.q.val()) << 5;
        self.rq_bytes.next = bit_cast::<10, 5>(self.request_count.q.val()) << 5;
        self.rq_half.next = self.request_half.q.val();

        // The next descriptor, row by row.
        self.ready.d.next = (self.sent.q.val() & self.done.val() & self.mask.val()) != 0;
        self.peek.next = self.reading.q.val() && self.asked.q.val() != self.rows.val();
        self.peek_vld.next = self.peek.val();
        self.peek_row.next =
            bit_cast::<7, 6>(self.row.q.val()) | (bit_cast::<7, 1>(self.half.q.val().into()) << 6);
        if self.peek.val() && self.peek_rdy.val() {
            self.asked.d.next = self.asked.q.val() + 1;
            self.row.d.next = self.row.q.val() + 1;
        }
        if self.seen_vld.val() {
            self.words.d.next = (self.words.q.val() >> self.step.val())
                | (bit_cast::<256, W>(self.seen_data.val()) << self.top.val());
            self.got.d.next = self.got.q.val() + 1;
        }
        if self.reading.q.val() && self.got.q.val() == self.rows.val() {
            self.reading.d.next = false;
            self.whole.d.next = true;
        }
        if self.ready.q.val() && self.follow.val() && !self.reading.q.val() && !self.whole.q.val() {
            self.asked.d.next = 0.into();
            self.got.d.next = 0.into();
            self.lost.d.next = (self.bad.val() & self.mask.val()) != 0;
            if (self.bad.val() & self.mask.val()) == 0 {
                self.reading.d.next = true;
            } else {
                self.whole.d.next = true;
            }
        }

        // Looked at, then on offer. The tag is free behind its last descriptor; a new block is known at once.
        self.checked.d.next = self.whole.q.val();
        self.last.d.next = self.index.q.val() == self.here.val();
        self.alone.d.next = self.left.q.val() == 0 && (self.used.q.val() & !self.mask.val()) == 0;
        self.kind.d.next = 0.into();
        if self.words.q.val().get_bits::<16>(16) != self.magic.val() {
            self.kind.d.next = 2.into();
        }
        if self.lost.q.val() {
            self.kind.d.next = 3.into();
        }
        self.offer.next = self.checked.q.val() && self.whole.q.val() && !self.offered.q.val();
        if self.offer.val() {
            self.offered.d.next = true;
            self.index.d.next = self.index.q.val() + 1;
            if self.last.q.val() {
                self.index.d.next = 0.into();
                self.row.d.next = 0.into();
                self.half.d.next = !self.half.q.val();
                if self.alone.q.val() {
                    self.aged.d.next = false;
                    self.sized.d.next = false;
                    self.place.d.next = self.words.q.val().get_bits::<59>(197);
                    self.left.d.next = bit_cast::<7, 6>(self.words.q.val().get_bits::<6>(8)) + 1;
                }
            }
            if self.words.q.val().get_bit(0) || self.kind.q.val() != 0 {
                self.ended.d.next = true;
                self.left.d.next = 0.into();
            }
        }
        self.d_vld.next = self.offered.q.val() && self.on.val();
        self.d_src.next = self.words.q.val().get_bits::<64>(64);
        self.d_dst.next = self.words.q.val().get_bits::<64>(128);
        self.d_length.next = self.words.q.val().get_bits::<28>(32);
        self.d_completed.next = self.words.q.val().get_bit(1);
        self.d_stop.next = self.words.q.val().get_bit(0);
        self.d_kind.next = self.kind.q.val();
        if self.offered.q.val() && (self.d_rdy.val() || !self.on.val()) {
            self.whole.d.next = false;
            self.checked.d.next = false;
            self.offered.d.next = false;
        }

        // Tags: in use from the read on; when the list is over, what is still on its way is waited for.
        self.claimed.next = 0.into();
        if self.issue.val() {
            self.claimed.next = self.ask_mask.val();
        }
        self.freed.next = 0.into();
        if self.offer.val() && self.last.q.val() {
            self.freed.next = self.mask.val();
        }
        if !self.follow.val() {
            self.freed.next = self.freed.val() | (self.sent.q.val() & self.done.val());
            if self.request.q.val() && !self.rq_rdy.val() {
                self.freed.next = self.freed.val() | self.request_mask.val();
            }
        }
        self.used.d.next = (self.used.q.val() | self.claimed.val()) & !self.freed.val();
        self.sent.d.next = self.sent.q.val() & !self.freed.val();
        if self.taken.val() {
            self.sent.d.next = (self.sent.q.val() & !self.freed.val()) | self.request_mask.val();
        }
        self.idle.next = !self.request.q.val()
            && self.used.q.val() == 0
            && !self.reading.q.val()
            && !self.whole.q.val();

        if self.start.val() {
            self.place.d.next = self.first.val().get_bits::<59>(5);
            self.left.d.next = bit_cast::<7, 6>(self.adjacent.val()) + 1;
            self.aged.d.next = false;
            self.sized.d.next = false;
            self.ask_half.d.next = false;
            self.half.d.next = false;
            self.index.d.next = 0.into();
            self.row.d.next = 0.into();
            self.ended.d.next = false;
        }
        if self.rst.val() {
            self.left.d.next = 0.into();
            self.sized.d.next = false;
            self.request.d.next = false;
            self.used.d.next = 0.into();
            self.sent.d.next = 0.into();
            self.reading.d.next = false;
            self.whole.d.next = false;
            self.checked.d.next = false;
            self.offered.d.next = false;
        }
    }
}
