//! Signed multipliers with the registers a DSP block has inside.

use crate::int::{from_i128, to_i128};
use rust_hdl_core::prelude::*;

fn check_widths(kind: &str, a: usize, b: usize, p: usize) {
    assert!(
        a >= 2 && b >= 2,
        "{kind}: operands of {a} and {b} bits, at least 2 are needed"
    );
    assert!(
        p == a + b,
        "{kind}: the product of {a} and {b} bits has {}, not {p}",
        a + b
    );
    assert!(
        p <= 127,
        "{kind}: a product of {p} bits is more than the model's 127"
    );
}

/// Signed `A` x signed `B` bits to `P` = `A` + `B` bits; the product is registered. Latency 1; holds while `en` is low.
/// For an unsigned operand extend it by one zero bit.
#[derive(Clone, Debug, LogicBlock)]
pub struct MulS<const A: usize, const B: usize, const P: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Take a new product.
    pub en: Signal<In, Bit>,
    /// First operand.
    pub a: Signal<In, Signed<A>>,
    /// Second operand.
    pub b: Signal<In, Signed<B>>,
    /// The product of the last cycle with `en`.
    pub p: Signal<Out, Signed<P>>,
}

impl<const A: usize, const B: usize, const P: usize> Default for MulS<A, B, P> {
    /// # Panics
    /// If `P` is not `A` + `B`.
    fn default() -> Self {
        check_widths("MulS", A, B, P);
        Self {
            clock: Signal::default(),
            en: Signal::default(),
            a: Signal::default(),
            b: Signal::default(),
            p: Signal::default(),
        }
    }
}

impl<const A: usize, const B: usize, const P: usize> Logic for MulS<A, B, P> {
    fn update(&mut self) {
        if self.clock.pos_edge() && self.en.val() {
            self.p.next = from_i128(to_i128(self.a.val()) * to_i128(self.b.val()));
        }
    }

    fn connect(&mut self) {
        self.p.connect();
    }

    fn hdl(&self) -> Verilog {
        Verilog::Custom(format!(
            "// module mul_s{A}_s{B}
/* verilator lint_off WIDTHEXPAND */ // the operands of a product are narrower than it
always @(posedge clock)
    if (en) p <= a * b;
/* verilator lint_on WIDTHEXPAND */
"
        ))
    }
}

/// As [`MulS`] with registered operands as well: latency 2, the full speed of a DSP block. Both stages hold while
/// `en` is low.
#[derive(Clone, Debug, LogicBlock)]
pub struct MulS2<const A: usize, const B: usize, const P: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Advance both stages.
    pub en: Signal<In, Bit>,
    /// First operand.
    pub a: Signal<In, Signed<A>>,
    /// Second operand.
    pub b: Signal<In, Signed<B>>,
    /// The product of the operands two enabled cycles ago.
    pub p: Signal<Out, Signed<P>>,
    _operands: (i128, i128),
}

impl<const A: usize, const B: usize, const P: usize> Default for MulS2<A, B, P> {
    /// # Panics
    /// If `P` is not `A` + `B`.
    fn default() -> Self {
        check_widths("MulS2", A, B, P);
        Self {
            clock: Signal::default(),
            en: Signal::default(),
            a: Signal::default(),
            b: Signal::default(),
            p: Signal::default(),
            _operands: (0, 0),
        }
    }
}

impl<const A: usize, const B: usize, const P: usize> Logic for MulS2<A, B, P> {
    fn update(&mut self) {
        if self.clock.pos_edge() && self.en.val() {
            self.p.next = from_i128(self._operands.0 * self._operands.1);
            self._operands = (to_i128(self.a.val()), to_i128(self.b.val()));
        }
    }

    fn connect(&mut self) {
        self.p.connect();
    }

    fn hdl(&self) -> Verilog {
        Verilog::Custom(format!(
            "// module mul2_s{A}_s{B}
reg signed [{at}:0] a_q;
reg signed [{bt}:0] b_q;

/* verilator lint_off WIDTHEXPAND */ // the operands of a product are narrower than it
always @(posedge clock)
    if (en) begin
        a_q <= a;
        b_q <= b;
        p <= a_q * b_q;
    end
/* verilator lint_on WIDTHEXPAND */
",
            at = A - 1,
            bt = B - 1,
        ))
    }
}
