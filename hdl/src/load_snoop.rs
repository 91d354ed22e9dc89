//! Watches the engine's write bus for writes into the layer that is being prefetched.
//!
//! What: after `start` the layer's last page is computed by shift and add, and taken over with the layer's base (`settled`, 12 cycles later);
//! the page of each write burst is compared with the first and the last one (no burst crosses a page of 4 KiB). Until then the
//! layer before counts: no write is judged by half of a new layer. Cost (ECP5): 219 LUT sites, 155 flip-flops. Latency: 3 cycles.

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock, Default)]
pub struct LoadSnoop {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// First byte, stride and number are new; they stand for 12 cycles.
    pub start: Signal<In, Bit>,
    /// First byte of the layer to come.
    pub next_base: Signal<In, Bits<40>>,
    /// Bytes from image to image.
    pub stride: Signal<In, Bits<32>>,
    /// `base` is that layer's from the next cycle on.
    pub settled: Signal<In, Bit>,
    /// First byte of the layer.
    pub base: Signal<In, Bits<40>>,
    /// Images, at `start`.
    pub experts: Signal<In, Bits<16>>,
    /// A write burst.
    pub vld: Signal<In, Bit>,
    /// Its first byte.
    pub addr: Signal<In, Bits<40>>,
    /// One was inside.
    pub touched: Signal<Out, Bit>,
    left: Dff<Bits<4>>,
    factor: Dff<Bits<9>>,
    product: Dff<Bits<40>>,
    end: Dff<Bits<28>>,
    busy: Dff<Bit>,
    term: Dff<Bits<40>>,
    shifts: Dff<Bit>,
    whole: Signal<Local, Bits<40>>,
    seen: Dff<Bit>,
    page: Dff<Bits<28>>,
    above: Dff<Bit>,
    below: Dff<Bit>,
    hit: Dff<Bit>,
}

impl Logic for LoadSnoop {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("load_snoop");
        dff_setup!(self, clk, left, busy, factor, product, term, shifts, end);
        dff_setup!(self, clk, seen, page, above, below, hit);
        // Nine steps of the product, highest bit first, and one for the base; each addend is made a cycle before.
        self.term.d.next = 0.into();
        if self.factor.q.val().get_bit(8) {
            self.term.d.next = bit_cast::<40, 32>(self.stride.val());
        }
        self.shifts.d.next = self.left.q.val() != 2;
        if self.left.q.val() == 2 {
            self.term.d.next = self.next_base.val();
        }
        self.whole.next = self.product.q.val();
        if self.shifts.q.val() {
            self.whole.next = self.product.q.val() << 1;
        }
        if self.busy.q.val() {
            self.left.d.next = self.left.q.val() - 1;
            self.product.d.next = self.whole.val() + self.term.q.val();
            self.factor.d.next = self.factor.q.val() << 1;
            self.busy.d.next = self.left.q.val() != 1;
        }
        if self.settled.val() {
            self.end.d.next = self.product.q.val().get_bits::<28>(12);
        }

        self.seen.d.next = self.vld.val();
        self.page.d.next = self.addr.val().get_bits::<28>(12);
        self.above.d.next =
            self.seen.q.val() && self.page.q.val() >= self.base.val().get_bits::<28>(12);
        self.below.d.next = self.page.q.val() <= self.end.q.val();
        self.hit.d.next = self.above.q.val() && self.below.q.val();
        self.touched.next = self.hit.q.val();
        if self.start.val() {
            self.left.d.next = 11.into();
            self.busy.d.next = true;
            self.product.d.next = 0.into();
            self.term.d.next = 0.into();
            self.factor.d.next = self.experts.val().get_bits::<9>(0);
        }
        if self.rst.val() {
            self.busy.d.next = false;
            self.product.d.next = 0.into();
            self.seen.d.next = false;
            self.above.d.next = false;
            self.hit.d.next = false;
        }
    }
}
