//! Signed multipliers: with the registers a DSP block has inside, and one that takes no DSP block.

use crate::int::{from_i128, to_i128};
use rust_hdl_core::prelude::*;
use std::collections::VecDeque;

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

/// Signed `A` x signed `B` bits to `P` = `A` + `B` bits without a DSP block: partial products of two bits of `b` each, summed by a
/// tree of adders with a register behind each. A product per cycle, [`MulLut::STAGES`] cycles later; all stages hold while
/// `en` is low. [`MulLut::unsigned`] takes `b` as a number without sign.
///
/// `b` should be the narrower operand: it decides the number of stages (1 for 2 bits, 2 up to 4, 3 up to 8, 4 up to 16, 5 up to 32) and
/// of adders (`B` - 1, of about `A` + 2 bits each). The operands should come from registers: every bit of `a` goes to
/// `B` places. Yosys sees adders of two operands only, so it neither finds a product nor merges them. With `ROUNDHOUSE_ECP5` defined
/// the partial products are formed in the LUTs of the first adders' carry chains: the lower half decides the carry from one
/// summand alone, which is right because wherever a bit does not propagate, its two summands are equal.
#[derive(Clone, Debug, LogicBlock)]
pub struct MulLut<const A: usize, const B: usize, const P: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Advance all stages.
    pub en: Signal<In, Bit>,
    /// First operand.
    pub a: Signal<In, Signed<A>>,
    /// Second operand, the narrower one.
    pub b: Signal<In, Signed<B>>,
    /// The product of the operands `STAGES` enabled cycles ago.
    pub p: Signal<Out, Signed<P>>,
    _stages: VecDeque<i128>,
    _unsigned: bool,
}

impl<const A: usize, const B: usize, const P: usize> MulLut<A, B, P> {
    /// Cycles from the operands to the product.
    pub const STAGES: usize = 1 + B.div_ceil(2).next_power_of_two().trailing_zeros() as usize;

    /// As `default`, with the bits of `b` taken as a number from 0 to 2^`B` - 1.
    ///
    /// # Panics
    /// If `P` is not `A` + `B`.
    pub fn unsigned() -> Self {
        Self {
            _unsigned: true,
            ..Self::default()
        }
    }
}

impl<const A: usize, const B: usize, const P: usize> Default for MulLut<A, B, P> {
    /// # Panics
    /// If `P` is not `A` + `B`.
    fn default() -> Self {
        check_widths("MulLut", A, B, P);
        Self {
            clock: Signal::default(),
            en: Signal::default(),
            a: Signal::default(),
            b: Signal::default(),
            p: Signal::default(),
            _stages: vec![0; Self::STAGES - 1].into(),
            _unsigned: false,
        }
    }
}

impl<const A: usize, const B: usize, const P: usize> Logic for MulLut<A, B, P> {
    fn update(&mut self) {
        if self.clock.pos_edge() && self.en.val() {
            let mut b = to_i128(self.b.val());
            if self._unsigned && b < 0 {
                b += 1 << B;
            }
            self._stages.push_back(to_i128(self.a.val()) * b);
            if let Some(oldest) = self._stages.pop_front() {
                self.p.next = from_i128(oldest);
            }
        }
    }

    fn connect(&mut self) {
        self.p.connect();
    }

    fn hdl(&self) -> Verilog {
        let (pairs, w) = (B.div_ceil(2), A + 2);
        // A node is `a` times neighbouring bits of `b`, as many as its third member says; the second is where it stands.
        let mut nodes: Vec<(String, usize, usize)> = (0..pairs)
            .map(|j| ("t".into(), j * w, 2.min(B - 2 * j)))
            .collect();
        let (mut regs, mut sums) = (String::new(), String::new());
        for level in 0..Self::STAGES {
            let last = level + 1 == Self::STAGES;
            let step = if level == 0 { 1 } else { 2 };
            nodes = nodes
                .chunks(step)
                .enumerate()
                .map(|(at, pair)| {
                    let (low, lo, n) = &pair[0];
                    let (top, cut) = (lo + A + n - 1, lo + n);
                    let (sum, bits) = match pair.get(1) {
                        // The low bits of the lower node have nothing to be added to.
                        Some((high, hi, m)) => (
                            format!(
                                "{{{{{{{m}{{{low}[{top}]}}}}, {low}[{top}:{cut}]}} + {high}[{}:{hi}], {low}[{}:{lo}]}}",
                                hi + A + m - 1,
                                cut - 1
                            ),
                            n + m,
                        ),
                        None => (format!("{low}[{top}:{lo}]"), *n),
                    };
                    let name = format!("s{level}_{at}");
                    if !last {
                        let declared = format!("reg [{}:0] s{level}", A + bits - 1);
                        // Nodes of one width share a line.
                        regs += &match regs.lines().last() {
                            Some(line) if line.starts_with(&declared) => format!(", {name}"),
                            _ => format!(";\nreg [{}:0] {name}", A + bits - 1),
                        };
                    }
                    sums += &format!("        {} <= {sum};\n", if last { "p" } else { &name });
                    (name, 0, bits)
                })
                .collect();
        }
        // `b` to an even number of bits; the highest pair of a signed number is subtracted.
        let pad = if self._unsigned { "1'b0" } else { "b[B1]" }.replace("B1", &(B - 1).to_string());
        let f = if B % 2 == 1 {
            format!("{{{pad}, b}}")
        } else {
            "b".into()
        };
        let subtract = if self._unsigned { pairs } else { pairs - 1 };
        Verilog::Custom(format!(
            "// module mul_lut_s{A}_{}{B}
wire [{w1}:0] e = {{{{2{{a[{a1}]}}}}, a, 1'b0}}; // with one bit more on either side
wire [{f1}:0] f = {f};
wire [{t1}:0] t;
genvar j;
generate for (j = 0; j < {pairs}; j = j + 1) begin : pair
`ifdef ROUNDHOUSE_ECP5
    genvar i;
    wire [{h}:0] carry;
    wire [{w1}:0] sum;
    assign carry[0] = j == {subtract};
    assign t[{w} * j +: {w}] = sum[{w}-1:0];
    for (i = 0; i < {h}; i = i + 1) begin : bits
        CCU2C #(.INIT0(j == {subtract} ? 16'h8777 : 16'h7888), .INIT1(j == {subtract} ? 16'h8777 : 16'h7888),
            .INJECT1_0(\"NO\"), .INJECT1_1(\"NO\")) add (.CIN(carry[i]), .COUT(carry[i + 1]),
            .A0(e[2 * i]), .B0(f[2 * j + 1]), .C0(e[2 * i + 1]), .D0(f[2 * j]), .S0(sum[2 * i]),
            .A1(e[2 * i + 1]), .B1(f[2 * j + 1]), .C1(e[{two}]), .D1(f[2 * j]), .S1(sum[2 * i + 1]));
    end
`else
    wire [{wt}:0] low = {{{w}{{f[2 * j]}}}} & e[{w}:1];
    wire [{wt}:0] high = {{{w}{{f[2 * j + 1]}}}} & e[{wt}:0];
    assign t[{w} * j +: {w}] = j == {subtract} ? low - high : low + high;
`endif
end endgenerate
wire unused = &{{1'b0, t[{t1}]}}{regs};
always @(posedge clock)
    if (en) begin
{sums}    end
",
            if self._unsigned { "u" } else { "s" },
            w1 = w,
            wt = w - 1,
            a1 = A - 1,
            f1 = 2 * pairs - 1,
            t1 = w * pairs - 1,
            h = w.div_ceil(2),
            two = if w % 2 == 1 { format!("2 * i + 2 > {w} ? {w} : 2 * i + 2") } else { "2 * i + 2".into() },
        ))
    }
}
