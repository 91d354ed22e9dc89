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
/// `en` is low.
///
/// `b` should be the narrower operand: it decides the number of stages (1 for 2 bits, 2 up to 4, 3 up to 8, 4 up to 16, 5 up to 32) and
/// of adders (`B` - 1, of about `A` + 2 bits each). The operands should come from registers: every bit of `a` goes to
/// `B` places. Plain text lets Yosys see adders of two operands only, so it neither finds a product nor merges them.
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
}

impl<const A: usize, const B: usize, const P: usize> MulLut<A, B, P> {
    /// Cycles from the operands to the product.
    pub const STAGES: usize = 1 + B.div_ceil(2).next_power_of_two().trailing_zeros() as usize;
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
        }
    }
}

impl<const A: usize, const B: usize, const P: usize> Logic for MulLut<A, B, P> {
    fn update(&mut self) {
        if self.clock.pos_edge() && self.en.val() {
            self._stages
                .push_back(to_i128(self.a.val()) * to_i128(self.b.val()));
            if let Some(oldest) = self._stages.pop_front() {
                self.p.next = from_i128(oldest);
            }
        }
    }

    fn connect(&mut self) {
        self.p.connect();
    }

    fn hdl(&self) -> Verilog {
        // A node is `a` times neighbouring bits of `b`, as many as its second member says. The first level has two bits a node.
        let a_sign = A - 1;
        let row = |bit: usize, signs: usize| {
            format!("{{{signs}{{a[{a_sign}] & b[{bit}]}}}}, a & {{{A}{{b[{bit}]}}}}")
        };
        let name = |level: usize, at: usize| match level + 1 == Self::STAGES {
            true => "p".to_string(),
            false => format!("s{level}_{at}"),
        };
        let mut nodes: Vec<(String, usize)> = Vec::new();
        let mut sums = String::new();
        for lo in (0..B).step_by(2) {
            let to = name(0, lo / 2);
            // The highest bit of `b` is its sign: that row is subtracted.
            let sign = if lo + 2 >= B { "-" } else { "+" };
            let (bits, terms) = if lo + 1 < B {
                let high = format!("{{{}, 1'b0}}", row(lo + 1, 1));
                (2, format!("{{{}}} {sign} {high}", row(lo, 2)))
            } else {
                (1, format!("{}'b0 - {{{}}}", A + 1, row(lo, 1)))
            };
            sums += &format!("        {to} <= {terms};\n");
            nodes.push((to, bits));
        }
        let mut regs = String::new();
        for level in 1..Self::STAGES {
            for (name, bits) in &nodes {
                regs += &format!("reg [{}:0] {name};\n", A + bits - 1);
            }
            let pairs = nodes.chunks(2).enumerate();
            nodes = pairs
                .map(|(at, pair)| {
                    let (to, low, n) = (name(level, at), &pair[0].0, pair[0].1);
                    let (sum, bits) = match pair.get(1) {
                        // The low bits of the lower node have nothing to be added to.
                        Some((high, m)) => (
                            format!(
                                "{{{{{{{m}{{{low}[{t}]}}}}, {low}[{t}:{n}]}} + {high}, {low}[{}:0]}}",
                                n - 1,
                                t = A + n - 1
                            ),
                            n + m,
                        ),
                        None => (low.clone(), n),
                    };
                    sums += &format!("        {to} <= {sum};\n");
                    (to, bits)
                })
                .collect();
        }
        Verilog::Custom(format!(
            "// module mul_lut_s{A}_s{B}\n{regs}always @(posedge clock)\n    if (en) begin\n{sums}    end\n"
        ))
    }
}
