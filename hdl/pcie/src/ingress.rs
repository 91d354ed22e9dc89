//! The first look at received TLPs: whole and well formed ones are kept until they are wanted, the others are dropped.
//!
//! What: compares the number of words of a TLP with its header, and the header with what the specification defines: format and type,
//! payload within the configured maximum, one word for configuration and I/O. A TLP that fails leaves no trace but `malformed` and its
//! header. What passes goes into the receive buffer and can be read once its last beat has arrived, so nothing behind this unit meets
//! a broken TLP. The digest, if any, is still there.
//!
//! Cost (ECP5): 2 block RAMs (128 bits: 4), 128 bits 240 LUTs and 840 flip-flops with the buffer's. Latency: 7 cycles from the last beat. Bottleneck: one beat per cycle. Hazard: a TLP that is too
//! long is dropped at the beat that shows it, so it cannot fill the buffer.

use crate::fifo::Fifo;
use leaf::prelude::*;

/// See the module's page. `F` = `W` + 2.
#[derive(LogicBlock, Default)]
pub struct Ingress<const W: usize, const K: usize, const F: usize> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// A beat from the data link layer.
    pub rx_vld: Signal<In, Bit>,
    /// It is taken.
    pub rx_rdy: Signal<Out, Bit>,
    /// Words, the first in the low bits.
    pub rx_data: Signal<In, Bits<W>>,
    /// Which words there are: all but in the last beat.
    pub rx_keep: Signal<In, Bits<K>>,
    /// First beat of a TLP.
    pub rx_sop: Signal<In, Bit>,
    /// Last beat.
    pub rx_eop: Signal<In, Bit>,
    /// Max_Payload_Size as configured: 128 << mps bytes.
    pub mps: Signal<In, Bits<3>>,
    /// A beat of a good TLP.
    pub out_vld: Signal<Out, Bit>,
    /// It is taken.
    pub out_rdy: Signal<In, Bit>,
    /// Words.
    pub out_data: Signal<Out, Bits<W>>,
    /// First beat.
    pub out_sop: Signal<Out, Bit>,
    /// Last beat.
    pub out_eop: Signal<Out, Bit>,
    /// A malformed TLP was dropped.
    pub malformed: Signal<Out, Bit>,
    /// Its header, in that cycle; what was not received is of the TLP before.
    pub header: Signal<Out, Bits<128>>,
    // Stage 1: the beat.
    a_vld: Dff<Bit>,
    a_data: Dff<Bits<W>>,
    a_keep: Dff<Bits<K>>,
    a_sop: Dff<Bit>,
    a_eop: Dff<Bit>,
    // Stage 2: the beat, and what its header promises if it is a first one.
    b_vld: Dff<Bit>,
    b_data: Dff<Bits<W>>,
    b_count: Dff<Bits<7>>,
    b_sop: Dff<Bit>,
    b_eop: Dff<Bit>,
    b_words: Dff<Bits<7>>,
    b_good: Dff<Bit>,
    // Stage 3: the beat, and whether it is kept.
    c_vld: Dff<Bit>,
    c_commit: Dff<Bit>,
    c_discard: Dff<Bit>,
    c_word: Dff<Bits<F>>,
    // Words of the TLP still to come; the rest of the TLP is of no interest.
    left: Dff<Bits<7>>,
    skip: Dff<Bit>,
    head: Dff<Bits<128>>,
    second: Dff<Bit>,
    late: Dff<Bit>,
    bad: Dff<Bit>,
    fifo: Fifo<F, 9>,
    go: Signal<Local, Bit>,
    fmt: Signal<Local, Bits<3>>,
    kind: Signal<Local, Bits<5>>,
    length: Signal<Local, Bits<10>>,
    known: Signal<Local, Bit>,
    single: Signal<Local, Bit>,
    limit: Signal<Local, Bits<10>>,
    fits: Signal<Local, Bit>,
    extra: Signal<Local, Bits<7>>,
    payload: Signal<Local, Bits<7>>,
    count: Signal<Local, Bits<7>>,
    due: Signal<Local, Bits<7>>,
    within: Signal<Local, Bit>,
    wrong: Signal<Local, Bit>,
    beat: Signal<Local, Bits<F>>,
    k: Signal<Local, Bits<7>>,
}

impl<const W: usize, const K: usize, const F: usize> Logic for Ingress<W, K, F> {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_ingress");
        dff_setup!(self, clk, a_vld, a_data, a_keep, a_sop, a_eop);
        dff_setup!(self, clk, b_vld, b_data, b_count, b_sop, b_eop, b_words, b_good);
        dff_setup!(self, clk, c_vld, c_commit, c_discard, c_word);
        dff_setup!(self, clk, left, skip, head, second, late, bad);
        self.fifo.clk.next = self.clk.val();
        self.fifo.rst.next = self.rst.val();

        for n in K..(K + 1) {
            self.k.next = n.to_bits();
        }

        // The stages move when the buffer has room.
        self.go.next = self.fifo.in_rdy.val();
        self.rx_rdy.next = self.go.val();
        if self.go.val() {
            self.a_vld.d.next = self.rx_vld.val();
            self.a_data.d.next = self.rx_data.val();
            self.a_keep.d.next = self.rx_keep.val();
            self.a_sop.d.next = self.rx_sop.val();
            self.a_eop.d.next = self.rx_eop.val();
        }

        // What a header promises. Words are counted modulo 128: a longer TLP is wrong by its length field already.
        self.fmt.next = self.a_data.q.val().get_bits::<3>(29);
        self.kind.next = self.a_data.q.val().get_bits::<5>(24);
        self.length.next = self.a_data.q.val().get_bits::<10>(0);
        self.known.next = false;
        self.single.next = false;
        if !self.fmt.val().get_bit(2) {
            if self.kind.val() == 0 {
                self.known.next = true; // memory
            }
            if self.kind.val() == 1 {
                self.known.next = !self.fmt.val().get_bit(1); // locked read
            }
            if self.kind.val() == 2 || self.kind.val() == 4 || self.kind.val() == 5 {
                self.known.next = !self.fmt.val().get_bit(0); // I/O, configuration
                self.single.next = true;
            }
            if self.kind.val() == 10 || self.kind.val() == 11 {
                self.known.next = !self.fmt.val().get_bit(0); // completions
            }
            if self.kind.val() == 12 || self.kind.val() == 13 || self.kind.val() == 14 {
                self.known.next = self.fmt.val().get_bit(1); // atomic operations
            }
            if self.kind.val().get_bits::<2>(3) == 2 {
                self.known.next = self.fmt.val().get_bit(0); // messages
            }
        }
        self.limit.next = 32.into();
        if self.mps.val() != 0 {
            self.limit.next = 64.into();
        }
        self.fits.next = true;
        self.payload.next = 0.into();
        if self.fmt.val().get_bit(1) {
            self.fits.next = self.length.val() != 0 && self.length.val() <= self.limit.val();
            self.payload.next = self.length.val().get_bits::<7>(0);
        }
        if self.single.val() && self.length.val() != 1 {
            self.fits.next = false;
        }
        self.extra.next = 3.into();
        if self.fmt.val().get_bit(0) {
            self.extra.next = 4.into();
        }
        if self.a_data.q.val().get_bit(15) {
            self.extra.next = 4.into();
            if self.fmt.val().get_bit(0) {
                self.extra.next = 5.into();
            }
        }
        self.count.next = 0.into();
        for i in 0..K {
            if self.a_keep.q.val().get_bit(i) {
                self.count.next = (i + 1).to_bits();
            }
        }
        if self.go.val() {
            self.b_vld.d.next = self.a_vld.q.val();
            self.b_data.d.next = self.a_data.q.val();
            self.b_count.d.next = self.count.val();
            self.b_sop.d.next = self.a_sop.q.val();
            self.b_eop.d.next = self.a_eop.q.val();
            self.b_words.d.next = self.payload.val() + self.extra.val();
            self.b_good.d.next = self.known.val() && self.fits.val();
        }

        // Is it kept?
        self.due.next = self.left.q.val();
        self.within.next = !self.skip.q.val();
        if self.b_sop.q.val() {
            self.due.next = self.b_words.q.val();
            self.within.next = true;
        }
        self.wrong.next = self.b_sop.q.val() && !self.b_good.q.val();
        if self.b_eop.q.val() {
            if self.due.val() != self.b_count.q.val() {
                self.wrong.next = true;
            }
        } else if self.due.val() <= self.k.val() {
            self.wrong.next = true;
        }
        self.beat.next = (bit_cast::<F, W>(self.b_data.q.val()) << 2)
            | (bit_cast::<F, 1>(self.b_eop.q.val().into()) << 1)
            | bit_cast::<F, 1>(self.b_sop.q.val().into());
        if self.go.val() {
            self.c_vld.d.next = self.b_vld.q.val() && self.within.val();
            self.c_commit.d.next = self.b_eop.q.val() && !self.wrong.val();
            self.c_discard.d.next = self.wrong.val();
            self.c_word.d.next = self.beat.val();
        }
        self.fifo.in_vld.next = self.c_vld.q.val();
        self.fifo.in_commit.next = self.c_commit.q.val();
        self.fifo.in_discard.next = self.c_discard.q.val();
        self.fifo.in_data.next = self.c_word.q.val();
        self.bad.d.next = false;
        if self.go.val() && self.b_vld.q.val() {
            self.left.d.next = self.due.val() - self.k.val();
            self.skip.d.next = !self.within.val() || self.wrong.val();
            self.bad.d.next = self.late.q.val();
            self.late.d.next = false;
            if self.within.val() && self.wrong.val() {
                // The note waits for the header's second beat, if there is one.
                if self.k.val() == 2 && self.b_sop.q.val() && !self.b_eop.q.val() {
                    self.late.d.next = true;
                } else {
                    self.bad.d.next = true;
                }
            }
            self.second.d.next = self.b_sop.q.val();
            if self.b_sop.q.val() {
                self.head.d.next = bit_cast::<128, W>(self.b_data.q.val());
            }
            if self.k.val() == 2 && !self.b_sop.q.val() && self.second.q.val() {
                self.head.d.next = bit_cast::<128, 64>(self.head.q.val().get_bits::<64>(0))
                    | (bit_cast::<128, W>(self.b_data.q.val()) << 64);
            }
        }
        self.malformed.next = self.bad.q.val();
        self.header.next = self.head.q.val();

        self.fifo.out_rdy.next = self.out_rdy.val();
        self.out_vld.next = self.fifo.out_vld.val();
        self.out_data.next = self.fifo.out_data.val().get_bits::<W>(2);
        self.out_sop.next = self.fifo.out_data.val().get_bit(0);
        self.out_eop.next = self.fifo.out_data.val().get_bit(1);

        if self.rst.val() {
            self.a_vld.d.next = false;
            self.b_vld.d.next = false;
            self.c_vld.d.next = false;
            self.skip.d.next = false;
            self.late.d.next = false;
            self.bad.d.next = false;
        }
    }
}
