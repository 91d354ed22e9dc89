//! Received TLPs to those whom they concern, in the order of their arrival.
//!
//! What: writes to a BAR go out word by word with their byte enables; completions pass beat by beat; requests that want an answer go
//! into a queue of eight, which cannot run over because there are no more credits. Everything else ends here. Because a request
//! enters its queue only after all words of earlier writes are taken, it cannot pass them; writes and completions never wait for
//! requests, nor for anything that is sent.
//!
//! Cost (ECP5): 128 bits 170 LUTs, 450 flip-flops, the queue 51 distributed RAM cells. Latency: 1 cycle. Bottleneck: writes one
//! word per cycle and one cycle per beat; completions one beat per cycle.

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Dispatch<const W: usize, const K: usize> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// A beat, as `receive` gives it.
    pub in_vld: Signal<In, Bit>,
    /// It is taken.
    pub in_rdy: Signal<Out, Bit>,
    /// First beat of a TLP.
    pub in_first: Signal<In, Bit>,
    /// Last beat.
    pub in_last: Signal<In, Bit>,
    /// Payload.
    pub in_data: Signal<In, Bits<W>>,
    /// Words of it.
    pub in_keep: Signal<In, Bits<K>>,
    /// Header.
    pub in_header: Signal<In, Bits<128>>,
    /// What it is.
    pub in_class: Signal<In, Bits<2>>,
    /// Whom it concerns.
    pub in_target: Signal<In, Bits<2>>,
    /// Not supported.
    pub in_unsupported: Signal<In, Bit>,
    /// Address bits 39..2.
    pub in_addr: Signal<In, Bits<38>>,
    /// A word to write.
    pub wr_vld: Signal<Out, Bit>,
    /// It is written.
    pub wr_rdy: Signal<In, Bit>,
    /// BAR.
    pub wr_target: Signal<Out, Bits<2>>,
    /// Address bits 39..2.
    pub wr_addr: Signal<Out, Bits<38>>,
    /// The word.
    pub wr_data: Signal<Out, Bits<32>>,
    /// Bytes of it.
    pub wr_be: Signal<Out, Bits<4>>,
    /// Last word of its request.
    pub wr_last: Signal<Out, Bit>,
    /// A completion's beat is at the input; it is taken with `cp_rdy`.
    pub cp_vld: Signal<Out, Bit>,
    /// The completion's beat is taken.
    pub cp_rdy: Signal<In, Bit>,
    /// A request to be answered.
    pub rq_vld: Signal<Out, Bit>,
    /// It is taken.
    pub rq_rdy: Signal<In, Bit>,
    /// Its header.
    pub rq_header: Signal<Out, Bits<128>>,
    /// Its first word of data.
    pub rq_data: Signal<Out, Bits<32>>,
    /// Whom it concerns.
    pub rq_target: Signal<Out, Bits<2>>,
    /// Not supported, or with poisoned data.
    pub rq_unsupported: Signal<Out, Bit>,
    /// Address bits 39..2.
    pub rq_addr: Signal<Out, Bits<38>>,
    /// A posted request that is not supported ended here; its header is at the input.
    pub unsupported: Signal<Out, Bit>,
    /// A request with poisoned data ended here, or goes into the queue as unsupported; its header is at the input.
    pub poisoned: Signal<Out, Bit>,
    /// CREDITS_ALLOCATED: posted headers, since reset, modulo 256.
    pub rxfc_ph: Signal<Out, Bits<8>>,
    /// Posted data.
    pub rxfc_pd: Signal<Out, Bits<12>>,
    /// Non-posted headers.
    pub rxfc_nph: Signal<Out, Bits<8>>,
    /// Non-posted data.
    pub rxfc_npd: Signal<Out, Bits<12>>,
    // The beat being written.
    words: Dff<Bits<W>>,
    there: Dff<Bits<K>>,
    bar: Dff<Bits<2>>,
    addr: Dff<Bits<38>>,
    first_be: Dff<Bits<4>>,
    last_be: Dff<Bits<4>>,
    start: Dff<Bit>,
    ends: Dff<Bit>,
    // The queue.
    queue: Dram<201, 3>,
    put: Dff<Bits<4>>,
    get: Dff<Bits<4>>,
    out_full: Dff<Bit>,
    out_word: Dff<Bits<201>>,
    // The first beat at the input has been looked at: poisoned, not supported; and for the beats behind it, either.
    looked: Dff<Bit>,
    stained: Dff<Bit>,
    foreign: Dff<Bit>,
    refused: Dff<Bit>,
    gave: Dff<Bit>,
    gives: Dff<Bits<8>>,
    ph: Dff<Bits<8>>,
    pd: Dff<Bits<12>>,
    nph: Dff<Bits<8>>,
    npd: Dff<Bits<12>>,
    busy: Signal<Local, Bit>,
    only: Signal<Local, Bit>,
    step: Signal<Local, Bit>,
    final_word: Signal<Local, Bit>,
    load: Signal<Local, Bit>,
    writes: Signal<Local, Bit>,
    store: Signal<Local, Bit>,
    taken: Signal<Local, Bit>,
    pop: Signal<Local, Bit>,
    posted: Signal<Local, Bit>,
    length: Signal<Local, Bits<10>>,
    c_ph: Constant<Bits<8>>,
    c_pd: Constant<Bits<12>>,
    c_np: Constant<Bits<12>>,
}

impl<const W: usize, const K: usize> Default for Dispatch<W, K> {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_first: Default::default(),
            in_last: Default::default(),
            in_data: Default::default(),
            in_keep: Default::default(),
            in_header: Default::default(),
            in_class: Default::default(),
            in_target: Default::default(),
            in_unsupported: Default::default(),
            in_addr: Default::default(),
            wr_vld: Default::default(),
            wr_rdy: Default::default(),
            wr_target: Default::default(),
            wr_addr: Default::default(),
            wr_data: Default::default(),
            wr_be: Default::default(),
            wr_last: Default::default(),
            cp_vld: Default::default(),
            cp_rdy: Default::default(),
            rq_vld: Default::default(),
            rq_rdy: Default::default(),
            rq_header: Default::default(),
            rq_data: Default::default(),
            rq_target: Default::default(),
            rq_unsupported: Default::default(),
            rq_addr: Default::default(),
            unsupported: Default::default(),
            poisoned: Default::default(),
            rxfc_ph: Default::default(),
            rxfc_pd: Default::default(),
            rxfc_nph: Default::default(),
            rxfc_npd: Default::default(),
            words: Default::default(),
            there: Default::default(),
            bar: Default::default(),
            addr: Default::default(),
            first_be: Default::default(),
            last_be: Default::default(),
            start: Default::default(),
            ends: Default::default(),
            queue: Dram::new(abi::pci::NON_POSTED),
            put: Default::default(),
            get: Default::default(),
            out_full: Default::default(),
            out_word: Default::default(),
            looked: Default::default(),
            stained: Default::default(),
            foreign: Default::default(),
            refused: Default::default(),
            gave: Default::default(),
            gives: Default::default(),
            ph: Dff::new((abi::pci::POSTED_HEADERS as u64).to_bits()),
            pd: Dff::new((abi::pci::POSTED_DATA as u64).to_bits()),
            nph: Dff::new((abi::pci::NON_POSTED as u64).to_bits()),
            npd: Dff::new((abi::pci::NON_POSTED as u64).to_bits()),
            busy: Default::default(),
            only: Default::default(),
            step: Default::default(),
            final_word: Default::default(),
            load: Default::default(),
            writes: Default::default(),
            store: Default::default(),
            taken: Default::default(),
            pop: Default::default(),
            posted: Default::default(),
            length: Default::default(),
            c_ph: Constant::new((abi::pci::POSTED_HEADERS as u64).to_bits()),
            c_pd: Constant::new((abi::pci::POSTED_DATA as u64).to_bits()),
            c_np: Constant::new((abi::pci::NON_POSTED as u64).to_bits()),
        }
    }
}

impl<const W: usize, const K: usize> Logic for Dispatch<W, K> {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_dispatch");
        clock!(self, clk, queue);
        dff_setup!(self, clk, words, there, bar, addr, first_be, last_be, start, ends);
        dff_setup!(self, clk, put, get, out_full, out_word, ph, pd, nph, npd);
        dff_setup!(self, clk, gave, gives, looked, stained, foreign, refused);

        // The words of a write: the lowest goes out, the others move down.
        self.busy.next = self.there.q.val().get_bit(0);
        self.only.next = !self.there.q.val().get_bit(1);
        self.final_word.next = self.only.val() && self.ends.q.val();
        self.wr_vld.next = self.busy.val();
        self.wr_target.next = self.bar.q.val();
        self.wr_addr.next = self.addr.q.val();
        self.wr_data.next = self.words.q.val().get_bits::<32>(0);
        self.wr_last.next = self.final_word.val();
        self.wr_be.next = 15.into();
        if self.start.q.val() {
            self.wr_be.next = self.first_be.q.val();
        } else if self.final_word.val() {
            self.wr_be.next = self.last_be.q.val();
        }
        self.step.next = self.busy.val() && self.wr_rdy.val();
        if self.step.val() {
            self.words.d.next = self.words.q.val() >> 32;
            self.there.d.next = self.there.q.val() >> 1;
            self.start.d.next = false;
            self.addr.d.next = (self.addr.q.val() & 0x3F_FFFF_FC00u64)
                | bit_cast::<38, 10>(self.addr.q.val().get_bits::<10>(0) + 1);
        }

        // The next beat, when all words of the last one are written.
        self.load.next = !self.busy.val();
        // Others than completions are looked at for a cycle first.
        self.stained.d.next = self.in_header.val().get_bit(14) && self.in_header.val().get_bit(30);
        self.foreign.d.next = self.in_unsupported.val();
        self.looked.d.next = self.in_vld.val()
            && self.in_first.val()
            && self.load.val()
            && self.in_class.val() != 1
            && !self.looked.q.val();
        self.writes.next = self.in_class.val() == 0 && !self.refused.q.val();
        self.in_rdy.next = self.load.val() && (!self.in_first.val() || self.looked.q.val());
        self.cp_vld.next = false;
        if self.in_class.val() == 1 {
            self.cp_vld.next = self.in_vld.val() && self.load.val();
            self.in_rdy.next = self.load.val() && self.cp_rdy.val();
        }
        if self.looked.q.val() {
            self.refused.d.next = self.foreign.q.val() || self.stained.q.val();
            self.writes.next =
                self.in_class.val() == 0 && !self.foreign.q.val() && !self.stained.q.val();
        }
        self.taken.next =
            self.in_vld.val() && self.load.val() && (!self.in_first.val() || self.looked.q.val());
        if self.taken.val() && self.writes.val() {
            self.words.d.next = self.in_data.val();
            self.there.d.next = self.in_keep.val();
            self.bar.d.next = self.in_target.val();
            self.ends.d.next = self.in_last.val();
            if self.in_first.val() {
                self.start.d.next = true;
                self.addr.d.next = self.in_addr.val();
                self.first_be.d.next = self.in_header.val().get_bits::<4>(32);
                self.last_be.d.next = self.in_header.val().get_bits::<4>(36);
            }
        }

        // The queue of requests, and a register behind it.
        self.store.next = self.looked.q.val() && self.in_class.val() == 2;
        self.queue.we.next = self.store.val();
        self.queue.waddr.next = self.put.q.val().get_bits::<3>(0);
        self.queue.wdata.next = bit_cast::<201, 128>(self.in_header.val())
            | (bit_cast::<201, 32>(self.in_data.val().get_bits::<32>(0)) << 128)
            | (bit_cast::<201, 38>(self.in_addr.val()) << 160)
            | (bit_cast::<201, 1>((self.foreign.q.val() || self.stained.q.val()).into()) << 198)
            | (bit_cast::<201, 2>(self.in_target.val()) << 199);
        self.queue.raddr.next = self.get.q.val().get_bits::<3>(0);
        if self.store.val() {
            self.put.d.next = self.put.q.val() + 1;
        }
        self.pop.next =
            self.put.q.val() != self.get.q.val() && (!self.out_full.q.val() || self.rq_rdy.val());
        if self.rq_rdy.val() {
            self.out_full.d.next = false;
        }
        if self.pop.val() {
            self.get.d.next = self.get.q.val() + 1;
            self.out_full.d.next = true;
            self.out_word.d.next = self.queue.rdata.val();
        }
        self.rq_vld.next = self.out_full.q.val();
        self.rq_header.next = self.out_word.q.val().get_bits::<128>(0);
        self.rq_data.next = self.out_word.q.val().get_bits::<32>(128);
        self.rq_addr.next = self.out_word.q.val().get_bits::<38>(160);
        self.rq_unsupported.next = self.out_word.q.val().get_bit(198);

        self.rq_target.next = self.out_word.q.val().get_bits::<2>(199);

        // What ends here with an error.
        self.unsupported.next =
            self.looked.q.val() && self.in_class.val() == 0 && self.foreign.q.val();
        self.poisoned.next = self.looked.q.val()
            && !self.in_class.val().get_bit(0)
            && self.stained.q.val()
            && !self.foreign.q.val();

        // Credits, given back when the last beat of a posted request has left the buffer, and when the answer to another begins.
        self.posted.next = self.in_class.val() == 0 || self.in_class.val() == 3;
        self.length.next = 0.into();
        if self.in_header.val().get_bit(30) {
            self.length.next = self.in_header.val().get_bits::<10>(0);
        }
        self.gave.d.next = false;
        self.gives.d.next = (self.length.val() + 3).get_bits::<8>(2);
        if self.taken.val() && self.in_last.val() && self.posted.val() {
            self.gave.d.next = true;
        }
        if self.gave.q.val() {
            self.ph.d.next = self.ph.q.val() + 1;
            self.pd.d.next = self.pd.q.val() + bit_cast::<12, 8>(self.gives.q.val());
        }
        if self.out_full.q.val() && self.rq_rdy.val() {
            self.nph.d.next = self.nph.q.val() + 1;
            if self.out_word.q.val().get_bit(30) {
                self.npd.d.next = self.npd.q.val()
                    + (bit_cast::<12, 10>(self.out_word.q.val().get_bits::<10>(0) + 3) >> 2);
            }
        }
        self.rxfc_ph.next = self.ph.q.val();
        self.rxfc_pd.next = self.pd.q.val();
        self.rxfc_nph.next = self.nph.q.val();
        self.rxfc_npd.next = self.npd.q.val();

        if self.rst.val() {
            self.there.d.next = 0.into();
            self.gave.d.next = false;
            self.looked.d.next = false;
            self.put.d.next = 0.into();
            self.get.d.next = 0.into();
            self.out_full.d.next = false;
            self.ph.d.next = self.c_ph.val();
            self.pd.d.next = self.c_pd.val();
            self.nph.d.next = bit_cast::<8, 12>(self.c_np.val());
            self.npd.d.next = self.c_np.val();
        }
    }
}
