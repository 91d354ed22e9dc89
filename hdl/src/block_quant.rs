//! Block quantiser: binary32 elements to the integers of one block under a shared exponent (`docs/formats.md`, section 1).
//!
//! What: collects a block (up to 32 elements, ended by `in_last`) in one of two banks while it finds the largest exponent B, then reads
//! the bank backwards through [`Quantiser`]. Cost: a 64 x 32 RAM, two sets of counters, and the quantiser.
//! Latency: n + 4 cycles from the last element of a block of n to `out_vld`. Bottleneck: one element per cycle, both sides.
//!
//! Hazards: a bank is written only while it is not full and read only while it is, so the RAM never sees one address twice in a
//! cycle. Reading a block takes as long as writing it, so full blocks never wait; only a block shorter than the one before may.
//! The result stands until the next block's first element is through: `out_vld` is a pulse, and its taker must be ready.

use crate::quantiser::Quantiser;
use leaf::prelude::*;

/// See the module's page. It has no sizes, so `default()` makes it.
#[derive(LogicBlock)]
pub struct BlockQuant {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: drops all elements and blocks inside.
    pub rst: Signal<In, Bit>,
    /// Element valid.
    pub in_vld: Signal<In, Bit>,
    /// Element taken.
    pub in_rdy: Signal<Out, Bit>,
    /// A binary32.
    pub in_f32: Signal<In, Bits<32>>,
    /// It is the last one of its block.
    pub in_last: Signal<In, Bit>,
    /// A block is complete: the outputs below are those of the block in this cycle.
    pub out_vld: Signal<Out, Bit>,
    /// 32 times q8, element 0 lowest.
    pub out_q8: Signal<Out, Bits<256>>,
    /// 32 times the high limb of q15.
    pub out_hi: Signal<Out, Bits<256>>,
    /// 32 times the low limb of q15.
    pub out_lo: Signal<Out, Bits<256>>,
    /// The block exponent B.
    pub out_b: Signal<Out, Bits<8>>,
    /// The block had an infinity or a NaN.
    pub out_nonfinite: Signal<Out, Bit>,

    // Writing a bank.
    banks: Ram<32, 6>,
    wr_bank: Dff<Bits<1>>,
    wr_pos: Dff<Bits<5>>,
    wr_b: Dff<Bits<8>>,
    take: Signal<Local, Bit>,
    exponent: Signal<Local, Bits<8>>,
    new_b: Signal<Local, Bits<8>>,
    // What is known of a full bank: its last position and B.
    full0: Dff<Bit>,
    last0: Dff<Bits<5>>,
    b0: Dff<Bits<8>>,
    full1: Dff<Bit>,
    last1: Dff<Bits<5>>,
    b1: Dff<Bits<8>>,
    // Reading a bank, from its last position down.
    rd_bank: Dff<Bits<1>>,
    rd_inside: Dff<Bit>,
    rd_pos: Dff<Bits<5>>,
    rd_go: Signal<Local, Bit>,
    rd_addr: Signal<Local, Bits<5>>,
    rd_end: Signal<Local, Bit>,
    rd_b: Signal<Local, Bits<8>>,
    // The element read.
    out_go: Dff<Bit>,
    out_first: Dff<Bit>,
    out_end: Dff<Bit>,
    b: Dff<Bits<8>>,
    quantiser: Quantiser,
}

impl Default for BlockQuant {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_f32: Default::default(),
            in_last: Default::default(),
            out_vld: Default::default(),
            out_q8: Default::default(),
            out_hi: Default::default(),
            out_lo: Default::default(),
            out_b: Default::default(),
            out_nonfinite: Default::default(),
            banks: Ram::new(64),
            wr_bank: Default::default(),
            wr_pos: Default::default(),
            wr_b: Default::default(),
            take: Default::default(),
            exponent: Default::default(),
            new_b: Default::default(),
            full0: Default::default(),
            last0: Default::default(),
            b0: Default::default(),
            full1: Default::default(),
            last1: Default::default(),
            b1: Default::default(),
            rd_bank: Default::default(),
            rd_inside: Default::default(),
            rd_pos: Default::default(),
            rd_go: Default::default(),
            rd_addr: Default::default(),
            rd_end: Default::default(),
            rd_b: Default::default(),
            out_go: Default::default(),
            out_first: Default::default(),
            out_end: Default::default(),
            b: Default::default(),
            quantiser: Default::default(),
        }
    }
}

impl Logic for BlockQuant {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("block_quant");
        clock!(self, clk, banks);
        dff_setup!(self, clk, wr_bank, wr_pos, wr_b, full0, last0, b0, full1, last1, b1);
        dff_setup!(self, clk, rd_bank, rd_inside, rd_pos, out_go, out_first, out_end, b);
        self.quantiser.clk.next = self.clk.val();
        self.quantiser.rst.next = self.rst.val();

        // Write. Zeros and subnormals have exponent 0 and cannot raise the maximum.
        self.in_rdy.next = !self.full0.q.val();
        if self.wr_bank.q.val() == 1 {
            self.in_rdy.next = !self.full1.q.val();
        }
        self.take.next = self.in_vld.val() && self.in_rdy.val();
        self.exponent.next = self.in_f32.val().get_bits::<8>(23);
        self.new_b.next = self.wr_b.q.val();
        if !self.exponent.val().all() && (self.exponent.val() > self.wr_b.q.val()) {
            self.new_b.next = self.exponent.val();
        }
        self.banks.we.next = self.take.val();
        self.banks.waddr.next =
            (bit_cast::<6, 1>(self.wr_bank.q.val()) << 5) | bit_cast::<6, 5>(self.wr_pos.q.val());
        self.banks.wdata.next = self.in_f32.val();
        if self.take.val() {
            self.wr_pos.d.next = self.wr_pos.q.val() + 1;
            self.wr_b.d.next = self.new_b.val();
            if self.in_last.val() {
                self.wr_pos.d.next = 0.into();
                self.wr_b.d.next = 0.into();
                self.wr_bank.d.next = self.wr_bank.q.val() + 1;
            }
        }

        // Read: the next element of a block begun, or the last one of a full bank.
        self.rd_go.next = self.full0.q.val();
        self.rd_addr.next = self.last0.q.val();
        self.rd_b.next = self.b0.q.val();
        if self.rd_bank.q.val() == 1 {
            self.rd_go.next = self.full1.q.val();
            self.rd_addr.next = self.last1.q.val();
            self.rd_b.next = self.b1.q.val();
        }
        if self.rd_inside.q.val() {
            self.rd_addr.next = self.rd_pos.q.val();
        }
        self.rd_end.next = self.rd_addr.val() == 0;
        self.banks.re.next = self.rd_go.val();
        self.banks.raddr.next =
            (bit_cast::<6, 1>(self.rd_bank.q.val()) << 5) | bit_cast::<6, 5>(self.rd_addr.val());
        if self.rd_go.val() {
            self.rd_inside.d.next = !self.rd_end.val();
            self.rd_pos.d.next = self.rd_addr.val() - 1;
            if self.rd_end.val() {
                self.rd_bank.d.next = self.rd_bank.q.val() + 1;
                if self.rd_bank.q.val() == 0 {
                    self.full0.d.next = false;
                } else {
                    self.full1.d.next = false;
                }
            }
        }
        if self.take.val() && self.in_last.val() {
            if self.wr_bank.q.val() == 0 {
                self.full0.d.next = true;
                self.last0.d.next = self.wr_pos.q.val();
                self.b0.d.next = self.new_b.val();
            } else {
                self.full1.d.next = true;
                self.last1.d.next = self.wr_pos.q.val();
                self.b1.d.next = self.new_b.val();
            }
        }
        self.out_go.d.next = self.rd_go.val();
        self.out_first.d.next = !self.rd_inside.q.val();
        self.out_end.d.next = self.rd_end.val();
        self.b.d.next = self.rd_b.val();

        self.quantiser.in_vld.next = self.out_go.q.val();
        self.quantiser.in_first.next = self.out_first.q.val();
        self.quantiser.in_end.next = self.out_end.q.val();
        self.quantiser.in_f32.next = self.banks.rdata.val();
        self.quantiser.in_b.next = self.b.q.val();
        self.quantiser.in_tag.next = 0.into();
        self.out_vld.next = self.quantiser.out_vld.val();
        self.out_q8.next = self.quantiser.out_q8.val();
        self.out_hi.next = self.quantiser.out_hi.val();
        self.out_lo.next = self.quantiser.out_lo.val();
        self.out_b.next = self.quantiser.out_b.val();
        self.out_nonfinite.next = self.quantiser.out_nonfinite.val();

        if self.rst.val() {
            self.wr_bank.d.next = 0.into();
            self.wr_pos.d.next = 0.into();
            self.wr_b.d.next = 0.into();
            self.full0.d.next = false;
            self.full1.d.next = false;
            self.rd_bank.d.next = 0.into();
            self.rd_inside.d.next = false;
            self.out_go.d.next = false;
        }
    }
}
