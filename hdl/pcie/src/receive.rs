//! Well formed TLPs in, requests and completions out: header apart, payload from word 0 of the beat, what it is and whom it concerns.
//!
//! What: gathers the header of three or four words, shifts the payload that follows it to the beat's first word, drops the digest, and
//! decides: a write to one of the BARs, a completion, a request that wants an answer, or nothing that this function has. The address
//! counts only while memory decoding is on.
//!
//! Every TLP gives at least one beat, with the header beside it until `out_last`. Cost (ECP5): 128 bits 440 LUTs and 480
//! flip-flops. Latency: 2 cycles from the header. Bottleneck: one beat per cycle; a TLP never takes more beats out than it has in.
//! Hazard: none; the length of payload and TLP has been compared before (`ingress`).

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock, Default)]
pub struct Receive<const W: usize, const K: usize> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// A beat of a TLP.
    pub in_vld: Signal<In, Bit>,
    /// It is taken.
    pub in_rdy: Signal<Out, Bit>,
    /// Words.
    pub in_data: Signal<In, Bits<W>>,
    /// First beat.
    pub in_sop: Signal<In, Bit>,
    /// Last beat.
    pub in_eop: Signal<In, Bit>,
    /// The function answers to memory addresses: Memory Space Enable and D0.
    pub memory: Signal<In, Bit>,
    /// Address bits 31..12 of the engine's registers.
    pub bar0: Signal<In, Bits<20>>,
    /// Address bits 31..16 of the DMA's registers.
    pub bar1: Signal<In, Bits<16>>,
    /// Address of the window onto card memory.
    pub bar2: Signal<In, Bits<64>>,
    /// Address bits that choose this window: those above its size.
    pub bar2_mask: Signal<In, Bits<64>>,
    /// A beat.
    pub out_vld: Signal<Out, Bit>,
    /// It is taken.
    pub out_rdy: Signal<In, Bit>,
    /// First beat of a TLP.
    pub out_first: Signal<Out, Bit>,
    /// Last beat.
    pub out_last: Signal<Out, Bit>,
    /// Payload from word 0 on.
    pub out_data: Signal<Out, Bits<W>>,
    /// Which words there are: none in a TLP without payload.
    pub out_keep: Signal<Out, Bits<K>>,
    /// The header, word 0 in the low bits.
    pub out_header: Signal<Out, Bits<128>>,
    /// 0: write to a BAR, 1: completion, 2: request to be answered, 3: none of these.
    pub out_class: Signal<Out, Bits<2>>,
    /// With class 0 and 2: 0 to 2 the BAR (2 the window), 3 configuration.
    pub out_target: Signal<Out, Bits<2>>,
    /// A request that this function does not support.
    pub out_unsupported: Signal<Out, Bit>,
    /// Address bits 39..2 of a memory request; in the window, from its start.
    pub out_addr: Signal<Out, Bits<38>>,
    // The header on its way in.
    half: Dff<Bits<64>>,
    second: Dff<Bit>,
    head: Dff<Bits<128>>,
    fresh: Dff<Bit>,
    rest: Dff<Bits<7>>,
    shifted: Dff<Bit>,
    carry: Dff<Bits<32>>,
    flush: Dff<Bit>,
    // The beat on its way out.
    vld: Dff<Bit>,
    first: Dff<Bit>,
    last: Dff<Bit>,
    data: Dff<Bits<W>>,
    keep: Dff<Bits<K>>,
    header: Dff<Bits<128>>,
    class: Dff<Bits<2>>,
    // Which BARs hit, of a memory request; configuration.
    hits: Dff<Bits<3>>,
    decoded: Dff<Bit>,
    configures: Dff<Bit>,
    unsupported: Dff<Bit>,
    addr: Dff<Bits<38>>,
    k: Signal<Local, Bits<7>>,
    free: Signal<Local, Bit>,
    at_header: Signal<Local, Bit>,
    raw: Signal<Local, Bits<128>>,
    words: Signal<Local, Bits<7>>,
    over: Signal<Local, Bit>,
    take: Signal<Local, Bit>,
    kept: Signal<Local, Bits<K>>,
    emit: Signal<Local, Bit>,
    whole: Signal<Local, Bits<W>>,
    top: Signal<Local, Bits<32>>,
    four: Signal<Local, Bit>,
    high: Signal<Local, Bits<32>>,
    low: Signal<Local, Bits<32>>,
    hit0: Signal<Local, Bit>,
    hit1: Signal<Local, Bit>,
    hit2: Signal<Local, Bit>,
    full: Signal<Local, Bits<64>>,

    kind: Signal<Local, Bits<5>>,
    writes: Signal<Local, Bit>,
}

impl<const W: usize, const K: usize> Logic for Receive<W, K> {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_receive");
        dff_setup!(self, clk, half, second, head, fresh, rest, shifted, carry, flush);
        dff_setup!(
            self, clk, vld, first, last, data, keep, header, class, hits, decoded, configures
        );
        dff_setup!(self, clk, unsupported, addr);
        for n in K..(K + 1) {
            self.k.next = n.to_bits();
            self.top.next = self.in_data.val().get_bits::<32>(32 * n - 32);
        }

        // The header is complete in this beat: the first, or with 64 bits the second.
        self.at_header.next = self.in_sop.val();
        self.raw.next = bit_cast::<128, W>(self.in_data.val());
        if self.k.val() == 2 {
            self.at_header.next = self.second.q.val();
            self.raw.next = (bit_cast::<128, W>(self.in_data.val()) << 64)
                | bit_cast::<128, 64>(self.half.q.val());
        }
        self.words.next = 0.into();
        if self.raw.val().get_bit(30) {
            self.words.next = self.raw.val().get_bits::<7>(0);
        }

        // A beat with payload, or what is left over from the last one, goes out. Only the header's beat fits beside the latter.
        self.free.next = !self.vld.q.val() || self.out_rdy.val();
        self.over.next = self.rest.q.val() == 0;
        self.take.next = self.in_vld.val() && self.free.val();
        self.emit.next = self.flush.q.val() && self.free.val();
        self.whole.next = self.in_data.val();
        if self.shifted.q.val() {
            self.whole.next = (self.in_data.val() << 32) | bit_cast::<W, 32>(self.carry.q.val());
        }
        if self.take.val() {
            self.flush.d.next = false;
            self.carry.d.next = self.top.val();
            if self.k.val() == 2 && self.in_sop.val() {
                self.half.d.next = bit_cast::<64, W>(self.in_data.val());
                self.second.d.next = true;
            } else if self.at_header.val() {
                self.second.d.next = false;
            } else {
                self.emit.next = self.flush.q.val() || !self.over.val();
            }
        }
        self.kept.next = 0.into();
        for i in 0..K {
            if self.rest.q.val() > i.to_bits() {
                self.kept.next = self.kept.val().replace_bit(i, true);
            }
        }
        if self.out_rdy.val() {
            self.vld.d.next = false;
        }
        if self.emit.val() {
            self.flush.d.next = false;
            self.vld.d.next = true;
            self.first.d.next = self.fresh.q.val();
            self.last.d.next = self.rest.q.val() <= self.k.val();
            self.data.d.next = self.whole.val();
            self.keep.d.next = self.kept.val();
            self.fresh.d.next = false;
            self.rest.d.next = self.rest.q.val() - self.k.val();
            if self.rest.q.val() <= self.k.val() {
                self.rest.d.next = 0.into();
            } else if self.take.val() && self.in_eop.val() {
                self.flush.d.next = true;
            }
        }
        if self.take.val() && self.at_header.val() {
            self.head.d.next = self.raw.val();
            self.fresh.d.next = true;
            self.rest.d.next = self.words.val();
            self.shifted.d.next = !self.raw.val().get_bit(29);
            self.flush.d.next = self.words.val() == 0 || self.in_eop.val();
        }
        self.in_rdy.next = self.free.val();

        // What it is.
        self.four.next = self.head.q.val().get_bit(29);
        self.kind.next = self.head.q.val().get_bits::<5>(24);
        self.writes.next = self.head.q.val().get_bit(30);
        self.high.next = 0.into();
        self.low.next = self.head.q.val().get_bits::<32>(64);
        if self.four.val() {
            self.high.next = self.head.q.val().get_bits::<32>(64);
            self.low.next = self.head.q.val().get_bits::<32>(96);
        }
        self.full.next =
            (bit_cast::<64, 32>(self.high.val()) << 32) | bit_cast::<64, 32>(self.low.val());

        self.hit0.next = self.memory.val()
            && self.high.val() == 0
            && self.low.val().get_bits::<20>(12) == self.bar0.val();
        self.hit1.next = self.memory.val()
            && self.high.val() == 0
            && self.low.val().get_bits::<16>(16) == self.bar1.val();
        self.hit2.next =
            self.memory.val() && ((self.full.val() ^ self.bar2.val()) & self.bar2_mask.val()) == 0;
        if self.emit.val() && self.fresh.q.val() {
            self.header.d.next = self.head.q.val();
            self.addr.d.next = self.full.val().get_bits::<38>(2);
            self.hits.d.next = bit_cast::<3, 1>(self.hit0.val().into())
                | (bit_cast::<3, 1>(self.hit1.val().into()) << 1)
                | (bit_cast::<3, 1>(self.hit2.val().into()) << 2);
            self.decoded.d.next = self.kind.val() == 0;
            self.configures.d.next = self.kind.val() == 4;
            // Locked reads, I/O, configuration of other functions, atomic operations.
            self.class.d.next = 2.into();
            self.unsupported.d.next = true;
            if self.kind.val() == 0 {
                self.unsupported.d.next = false;
                if self.writes.val() {
                    self.class.d.next = 0.into();
                }
            }
            if self.kind.val() == 4 {
                self.unsupported.d.next = self.head.q.val().get_bits::<3>(80) != 0;
            }
            if self.kind.val().get_bits::<4>(1) == 5 {
                self.class.d.next = 1.into();
                self.unsupported.d.next = self.kind.val().get_bit(0);
            }
            if self.kind.val().get_bits::<2>(3) == 2 {
                self.class.d.next = 3.into();
                self.unsupported.d.next = false;
            }
        }
        self.out_vld.next = self.vld.q.val();
        self.out_first.next = self.first.q.val();
        self.out_last.next = self.last.q.val();
        self.out_data.next = self.data.q.val();
        self.out_keep.next = self.keep.q.val();
        self.out_header.next = self.header.q.val();
        self.out_class.next = self.class.q.val();
        self.out_unsupported.next =
            self.unsupported.q.val() || (self.decoded.q.val() && self.hits.q.val() == 0);
        self.out_target.next = 0.into();
        self.out_addr.next = self.addr.q.val();
        if self.hits.q.val().get_bit(1) {
            self.out_target.next = 1.into();
        }
        if self.hits.q.val().get_bit(2) {
            self.out_target.next = 2.into();
            self.out_addr.next = self.addr.q.val() & !self.bar2_mask.val().get_bits::<38>(2);
        }
        if self.configures.q.val() {
            self.out_target.next = 3.into();
        }

        if self.rst.val() {
            self.second.d.next = false;
            self.flush.d.next = false;
            self.rest.d.next = 0.into();
            self.vld.d.next = false;
        }
    }
}
