//! Watches the engine's write bus for writes into the layer that is being prefetched.
//!
//! What: after `start` the layer's last page is computed by shift and add, then the page of each write burst is compared with the
//! first and the last one (no burst crosses a page of 4 KiB). Cost (ECP5): 257 LUT sites, 113 flip-flops. Latency: 3 cycles. Hazard: while the end is
//! being computed (10 cycles) every page from the beginning on counts as touched: a prefetch too few, never a wrong byte.

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock, Default)]
pub struct LoadSnoop {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Base, stride and number are new.
    pub start: Signal<In, Bit>,
    /// First byte of the layer; stands until the next `start`, from the cycle after it.
    pub base: Signal<In, Bits<40>>,
    /// Bytes from image to image; likewise.
    pub stride: Signal<In, Bits<32>>,
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
    end: Dff<Bits<40>>,
    term: Signal<Local, Bits<40>>,
    whole: Signal<Local, Bits<40>>,
    sum: Signal<Local, Bits<40>>,
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
        dff_setup!(self, clk, left, factor, product, end, seen, page, above, below, hit);
        // Nine steps of the product, highest bit first, and one for the base.
        self.whole.next = self.product.q.val() << 1;
        self.term.next = 0.into();
        if self.factor.q.val().get_bit(8) {
            self.term.next = bit_cast::<40, 32>(self.stride.val());
        }
        if self.left.q.val() == 1 {
            self.whole.next = self.product.q.val();
            self.term.next = self.base.val();
        }
        self.sum.next = self.whole.val() + self.term.val();
        if self.left.q.val() != 0 {
            self.left.d.next = self.left.q.val() - 1;
            self.product.d.next = self.sum.val();
            self.factor.d.next = self.factor.q.val() << 1;
        }
        self.end.d.next = self.product.q.val();

        self.seen.d.next = self.vld.val();
        self.page.d.next = self.addr.val().get_bits::<28>(12);
        self.above.d.next =
            self.seen.q.val() && self.page.q.val() >= self.base.val().get_bits::<28>(12);
        self.below.d.next =
            self.left.q.val() != 0 || self.page.q.val() <= self.end.q.val().get_bits::<28>(12);
        self.hit.d.next = self.above.q.val() && self.below.q.val();
        self.touched.next = self.hit.q.val();
        if self.start.val() {
            self.left.d.next = 10.into();
            self.product.d.next = 0.into();
            self.factor.d.next = self.experts.val().get_bits::<9>(0);
        }
        if self.rst.val() {
            self.left.d.next = 0.into();
            self.product.d.next = 0.into();
            self.seen.d.next = false;
            self.above.d.next = false;
            self.hit.d.next = false;
        }
    }
}
