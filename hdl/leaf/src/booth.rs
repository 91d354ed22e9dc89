//! An unsigned multiplier without DSP blocks that leaves its last addition to the user.

use crate::int::bits_from_u128;
use rust_hdl_core::prelude::*;

/// Unsigned `A` x unsigned `B` bits as two addends: `a * b + half * 2^h` is `x + y` modulo 2^`P`, two cycles after the operands, one
/// product per cycle. Booth's digits of two bits of `b`: half as many rows as [`crate::MulLut`], two adders deep in the second
/// stage. Only the sum of `x` and `y` has a meaning (the model gives it as `x` alone), so a user that adds more can do so at once.
#[derive(Clone, Debug, LogicBlock)]
pub struct MulBooth<const A: usize, const B: usize, const P: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// First operand.
    pub a: Signal<In, Bits<A>>,
    /// Second operand.
    pub b: Signal<In, Bits<B>>,
    /// Add 2^h, for rounding.
    pub half: Signal<In, Bit>,
    /// The first addend.
    pub x: Signal<Out, Bits<P>>,
    /// The second addend.
    pub y: Signal<Out, Bits<P>>,
    _h: usize,
    _stage: u128,
}

impl<const A: usize, const B: usize, const P: usize> MulBooth<A, B, P> {
    /// A multiplier that can add 2^`h`.
    ///
    /// # Panics
    /// If `P` is not `A` + `B`, or an operand is too wide.
    pub fn new(h: usize) -> Self {
        assert!(
            P == A + B && P <= 120 && h < P && B >= 3,
            "MulBooth: {A} x {B} bits to {P}, adding 2^{h}"
        );
        Self {
            clock: Default::default(),
            a: Default::default(),
            b: Default::default(),
            half: Default::default(),
            x: Default::default(),
            y: Default::default(),
            _h: h,
            _stage: 0,
        }
    }
}

impl<const A: usize, const B: usize, const P: usize> Logic for MulBooth<A, B, P> {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            self.x.next = bits_from_u128(self._stage);
            self._stage = self.a.val().to_u128() * self.b.val().to_u128()
                + (u128::from(self.half.val()) << self._h);
        }
    }

    fn connect(&mut self) {
        self.x.connect();
        self.y.connect();
    }

    fn hdl(&self) -> Verilog {
        Verilog::Custom(format!(
            "// module mul_booth_{A}_{B}
reg [{t}:0] s;

always @(posedge clock) begin
    s <= {{{B}'b0, a}} * {{{A}'b0, b}} + {{{{{hz}{{1'b0}}}}, half, {{{h}{{1'b0}}}}}};
    x <= s;
    y <= {P}'b0;
end
",
            t = P - 1,
            h = self._h,
            hz = P - 1 - self._h,
        ))
    }
}
