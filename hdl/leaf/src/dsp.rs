//! The multiplier with all its registers inside the DSP block.

use crate::int::{from_i128, to_i128};
use rust_hdl_core::prelude::*;
use std::fmt::Write as _;

/// Signed `A` x signed `B` bits to `P` = `A` + `B` bits; operands and product are registered: latency 2, one product a cycle, no enable.
///
/// Neither operand has more than 18 bits. Yosys leaves the registers of an ECP5 multiplier outside; with `ROUNDHOUSE_ECP5` defined
/// the text is a MULT18X18D that has them inside. On Xilinx 7 they are found.
#[derive(Clone, Debug, LogicBlock)]
pub struct MulDsp<const A: usize, const B: usize, const P: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// First operand.
    pub a: Signal<In, Signed<A>>,
    /// Second operand.
    pub b: Signal<In, Signed<B>>,
    /// The product of the operands two cycles ago.
    pub p: Signal<Out, Signed<P>>,
    _operands: (i128, i128),
}

impl<const A: usize, const B: usize, const P: usize> Default for MulDsp<A, B, P> {
    /// # Panics
    /// If `P` is not `A` + `B`, or an operand has more than 18 bits.
    fn default() -> Self {
        assert!(
            (2..=18).contains(&A) && (2..=18).contains(&B) && P == A + B,
            "MulDsp: {A} x {B} to {P} bits is not a product of one DSP block"
        );
        Self {
            clock: Signal::default(),
            a: Signal::default(),
            b: Signal::default(),
            p: Signal::default(),
            _operands: (0, 0),
        }
    }
}

impl<const A: usize, const B: usize, const P: usize> Logic for MulDsp<A, B, P> {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            self.p.next = from_i128(self._operands.0 * self._operands.1);
            self._operands = (to_i128(self.a.val()), to_i128(self.b.val()));
        }
    }

    fn connect(&mut self) {
        self.p.connect();
    }

    fn hdl(&self) -> Verilog {
        let mut pins = String::new();
        for (port, name, width) in [("A", "a", A), ("B", "b", B)] {
            for i in 0..18 {
                let _ = write!(pins, ".{port}{i}({name}[{}]), ", i.min(width - 1));
            }
            pins += "\n    ";
        }
        for i in 0..P {
            let _ = write!(pins, ".P{i}(p[{i}]), ");
        }
        // RST and CE inputs left open would be tied by the placer; they stand here so that nothing hangs on a default.
        Verilog::Custom(format!(
            "// module mul_dsp_s{A}_s{B}
`ifdef ROUNDHOUSE_ECP5
MULT18X18D #(
    .REG_INPUTA_CLK(\"CLK0\"), .REG_INPUTB_CLK(\"CLK0\"), .REG_OUTPUT_CLK(\"CLK0\"), .GSR(\"DISABLED\")
) mult (
    {pins}
    .SIGNEDA(1'b1), .SIGNEDB(1'b1), .SOURCEA(1'b0), .SOURCEB(1'b0), .CLK0(clock), .CE0(1'b1), .RST0(1'b0));
`else
reg signed [{at}:0] a_q;
reg signed [{bt}:0] b_q;
reg signed [{pt}:0] p_q;
assign p = p_q;

/* verilator lint_off WIDTHEXPAND */ // the operands of a product are narrower than it
always @(posedge clock) begin
    a_q <= a;
    b_q <= b;
    p_q <= a_q * b_q;
end
/* verilator lint_on WIDTHEXPAND */
`endif
",
            at = A - 1,
            bt = B - 1,
            pt = P - 1,
        ))
    }
}
