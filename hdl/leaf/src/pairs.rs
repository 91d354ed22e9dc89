//! An unsigned multiplier without DSP blocks that leaves its last addition to the user.

use crate::int::bits_from_u128;
use rust_hdl_core::prelude::*;

/// Unsigned `A` x unsigned `B` bits as two addends: `a * b + half * 2^h` is `x + y`, two cycles after the operands, one product per
/// cycle. Only the sum of `x` and `y` has a meaning (the model gives it as `x` alone), so a user that adds more can do so at once.
///
/// Two bits of `b` take one carry chain: on an ECP5 the LUTs of the chain form `a & b[2i]` and `2a & b[2i+1]` themselves, so a bit
/// of a pair costs one LUT. Pairs are added two deep in each stage.
#[derive(Clone, Debug, LogicBlock)]
pub struct MulPairs<const A: usize, const B: usize, const P: usize> {
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

impl<const A: usize, const B: usize, const P: usize> MulPairs<A, B, P> {
    /// Pairs of bits of `b`.
    const PAIRS: usize = B.div_ceil(2);

    /// A multiplier that can add 2^`h`.
    ///
    /// # Panics
    /// If `P` is not `A` + `B`, an operand is too wide, or 2^`h` has no free place in a pair.
    pub fn new(h: usize) -> Self {
        assert!(
            P == A + B && P <= 120 && (5..=32).contains(&B),
            "MulPairs: {A} x {B} bits to {P}"
        );
        assert!(
            h < 2 * Self::PAIRS || (B % 2 == 1 && h <= A + B),
            "MulPairs: no place for 2^{h} in {A} x {B} bits"
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

impl<const A: usize, const B: usize, const P: usize> Logic for MulPairs<A, B, P> {
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
        let (n, w, h) = (Self::PAIRS, A + 2, self._h);
        // Where `half` goes: the last pair has only one row if `B` is odd; the lowest place of 2a is free in every pair, and an odd
        // power of two is added twice there, once as the carry.
        let last = 2 * (n - 1);
        let above = B % 2 == 1 && h >= last;
        let pad = if B % 2 == 1 { "1'b0, " } else { "" };
        let given = |here: bool| match here {
            true => format!("(i == {}) & half", h / 2),
            false => "1'b0".into(),
        };
        let (low, carry) = (given(!above), given(!above && h % 2 == 1));
        let two = format!("{{1'b0, a, {low}}}");
        let two_on = format!("{{{{{}{{bits[2 * i + 1]}}}}, 1'b1}}", w - 1);
        let (two, two_on) = match above {
            false => (two, two_on),
            true => {
                let zeros = |n: usize| {
                    if n == 0 {
                        String::new()
                    } else {
                        format!("{n}'b0, ")
                    }
                };
                let place = h - last;
                let row = format!(
                    "{{{}half{}}}",
                    zeros(w - 1 - place),
                    zeros(place)
                        .strip_suffix(", ")
                        .map_or(String::new(), |z| format!(", {z}"))
                );
                (
                    format!("(i == {}) ? {row} : {two}", n - 1),
                    format!("(i == {}) ? {{{w}{{1'b1}}}} : {two_on}", n - 1),
                )
            }
        };
        let mut text = format!(
            "// module mul_pairs_{A}_{B}
wire [{}:0] bits = {{{pad}b}};
wire [{}:0] rows;
genvar i;
generate for (i = 0; i < {n}; i = i + 1) begin : pair
    wire [{t}:0] one = {{2'b0, a}};
    wire [{t}:0] one_on = {{{w}{{bits[2 * i]}}}};
    wire [{t}:0] two = {two};
    wire [{t}:0] two_on = {two_on};
`ifdef ROUNDHOUSE_ECP5
    genvar j;
    wire [{c}:0] carry;
    wire [{e}:0] onex = one, one_onx = one_on, twox = two, two_onx = two_on, sum;
    assign carry[0] = {carry};
    assign rows[i * {w} +: {w}] = sum[{t}:0];
    for (j = 0; j < {c}; j = j + 1) begin : bit
        CCU2C #(.INIT0(16'h7888), .INIT1(16'h7888), .INJECT1_0(\"NO\"), .INJECT1_1(\"NO\")) add (
            .CIN(carry[j]), .A0(onex[2 * j]), .B0(one_onx[2 * j]), .C0(twox[2 * j]), .D0(two_onx[2 * j]),
            .A1(onex[2 * j + 1]), .B1(one_onx[2 * j + 1]), .C1(twox[2 * j + 1]), .D1(two_onx[2 * j + 1]),
            .S0(sum[2 * j]), .S1(sum[2 * j + 1]), .COUT(carry[j + 1]));
    end
`else
    assign rows[i * {w} +: {w}] = (one & one_on) + (two & two_on) + {{{{{w1}{{1'b0}}}}, {carry}}};
`endif
end endgenerate
",
            2 * n - 1,
            n * w - 1,
            t = w - 1,
            w1 = w - 1,
            c = w.div_ceil(2),
            e = w.next_multiple_of(2) - 1,
        );
        if B % 2 == 1 {
            text += &format!("wire unused_top = rows[{}];\n", n * w - 1);
        }
        // A node is a sum of neighbouring pairs: its text, its width, the bits of `b` in it.
        struct Node {
            text: String,
            width: usize,
            digits: usize,
        }
        let mut nodes: Vec<Node> = (0..n)
            .map(|i| {
                let digits = if i + 1 == n { B - 2 * i } else { 2 };
                let width = A + digits;
                let text = format!("rows[{}:{}]", i * w + width - 1, i * w);
                Node {
                    text,
                    width,
                    digits,
                }
            })
            .collect();
        let mut first = String::new();
        for level in 0.. {
            if level > 0 && nodes.len() <= 2 {
                break;
            }
            let mut next = Vec::new();
            for (at, two) in nodes.chunks(2).enumerate() {
                let name = format!("s{level}_{at}");
                let (sum, node_width, digits) = match two {
                    // The low bits of the lower node have nothing to be added to.
                    [lower, upper] => {
                        let (l, d) = (lower.width, lower.digits);
                        let (width, above) = (upper.width + d, upper.width);
                        let part = |hi: usize, lo: usize| match lower.text.split_once('[') {
                            Some((vector, range)) => {
                                let base: usize = range
                                    .trim_end_matches(']')
                                    .rsplit(':')
                                    .next()
                                    .and_then(|s| s.parse().ok())
                                    .unwrap_or(0);
                                format!("{vector}[{}:{}]", base + hi, base + lo)
                            }
                            None => format!("{}[{hi}:{lo}]", lower.text),
                        };
                        let zeros = match above - (l - d) {
                            0 => String::new(),
                            z => format!("{z}'b0, "),
                        };
                        let text = format!(
                            "{{{{{zeros}{}}} + {}, {}}}",
                            part(l - 1, d),
                            upper.text,
                            part(d - 1, 0)
                        );
                        (text, width, d + upper.digits)
                    }
                    lone => (lone[0].text.clone(), lone[0].width, lone[0].digits),
                };
                let t = node_width - 1;
                if level == 0 {
                    text += &format!("reg [{t}:0] {name};\n");
                    first += &format!("    {name} <= {sum};\n");
                } else {
                    text += &format!("wire [{t}:0] {name} = {sum};\n");
                }
                next.push(Node {
                    text: name,
                    width: node_width,
                    digits,
                });
            }
            nodes = next;
        }
        let (lower, upper) = (&nodes[0], &nodes[1]);
        let zeros = |n: usize| {
            if n == 0 {
                String::new()
            } else {
                format!("{n}'b0, ")
            }
        };
        text += &format!(
            "always @(posedge clock) begin\n{first}    x <= {{{}{}}};\n    y <= {{{}{}, {}'b0}};\nend\n",
            zeros(P - lower.width),
            lower.text,
            zeros(P - upper.width - lower.digits),
            upper.text,
            lower.digits
        );
        Verilog::Custom(text)
    }
}
