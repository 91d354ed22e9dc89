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
            P == A + B && P <= 120 && h < P && (4..=31).contains(&B),
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

/// A sum of neighbouring rows, in the text: signed, counted from 4^`base`.
struct Node {
    name: String,
    width: usize,
    base: usize,
    digits: usize,
    /// The one that completes its last row, at 4^(digits - 1).
    missing: String,
}

impl Node {
    /// The node in `to` bits.
    fn resized(&self, to: usize) -> String {
        let (name, top) = (&self.name, self.width - 1);
        if to > self.width {
            format!("{{{{{}{{{name}[{top}]}}}}, {name}}}", to - self.width)
        } else {
            format!("{name}[{}:0]", to - 1)
        }
    }

    /// What this node's upper neighbour is added as: shifted above this one's digits, with the missing one of this and, where
    /// it has a place, a one at 2^`half`; `to` bits.
    fn above(&self, upper: &Node, half: Option<(&str, usize)>, to: usize) -> (String, bool) {
        let low = 2 * self.digits;
        let at = half.and_then(|(name, h)| Some((name, h.checked_sub(2 * self.base)?)));
        let at = at.filter(|(_, h)| *h < low && *h != low - 2);
        let bits: Vec<String> = (0..low)
            .rev()
            .map(|i| match at {
                _ if i == low - 2 => self.missing.clone(),
                Some((name, h)) if i == h => name.into(),
                _ => "1'b0".into(),
            })
            .collect();
        let text = format!("{{{}, {}}}", upper.resized(to - low), bits.join(", "));
        (text, at.is_some())
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
        // Digit j of `b` is -2 to 2, from bits 2j+1, 2j and 2j-1. Its row is `a` or 2a or nothing, inverted for a negative digit; the
        // one that is missing then goes into a free place of another row.
        let digits = B / 2 + 1;
        // The highest rows end with the product.
        let row = |j: usize| (A + 2).min(P - 2 * j);
        let (mut text, mut first, mut second) = (String::new(), String::new(), String::new());
        for j in 0..digits {
            let bit = |at: usize| match at.checked_sub(1) {
                Some(i) if i < B => format!("b[{i}]"),
                _ => "1'b0".into(),
            };
            let (high, mid, low) = (bit(2 * j + 2), bit(2 * j + 1), bit(2 * j));
            let w = row(j);
            let (one, two) = match w - A {
                2 => ("{2'b0, a}".into(), "{1'b0, a, 1'b0}".into()),
                1 => ("{1'b0, a}".into(), "{a, 1'b0}".into()),
                _ => ("a".to_string(), format!("{{a[{}:0], 1'b0}}", A - 2)),
            };
            text += &format!(
                "wire one{j} = {mid} ^ {low}, two{j} = ({high} ^ {mid}) & ~({mid} ^ {low}), neg{j} = {high};\n\
                 wire [{}:0] row{j} = (({one} & {{{w}{{one{j}}}}}) | ({two} & {{{w}{{two{j}}}}})) ^ {{{w}{{neg{j}}}}};\n",
                w - 1
            );
        }
        let node = |name: String, base: usize, digits: usize, missing: String| Node {
            width: (A + 2 * digits + 1).min(P - 2 * base),
            name,
            base,
            digits,
            missing,
        };
        let mut nodes: Vec<Node> = Vec::new();
        let mut half = Some(("half", self._h));
        for j in (0..digits).step_by(2) {
            let lone = j + 1 == digits;
            // The highest digit is never negative.
            let missing = match lone || j + 2 == digits {
                true => "1'b0".to_string(),
                false => format!("n{j}"),
            };
            let pair = node(format!("p{j}"), j, if lone { 1 } else { 2 }, missing);
            let one = |at| Node {
                name: format!("row{at}"),
                width: row(at),
                base: at,
                digits: 1,
                missing: format!("neg{at}"),
            };
            let w = pair.width;
            let other = match half {
                Some((name, h)) if lone && h >= 2 * j => {
                    half = None;
                    let zeros = match h - 2 * j {
                        0 => String::new(),
                        z => format!(", {z}'b0"),
                    };
                    format!("{{{}'b0, {name}{zeros}}}", w - 1 - (h - 2 * j))
                }
                _ if lone => format!("{w}'b0"),
                // Nothing has a place between two rows but the one of the first.
                _ => one(j).above(&one(j + 1), None, w).0,
            };
            first += &format!("    p{j} <= {} + {other};\n", one(j).resized(w));
            text += &format!("reg [{}:0] p{j};\n", w - 1);
            if pair.missing.starts_with('n') {
                first += &format!("    n{j} <= neg{};\n", j + 1);
                text += &format!("reg n{j};\n");
            }
            nodes.push(pair);
        }
        if half.is_some() {
            first += "    half1 <= half;\n";
            text += "reg half1;\n";
            half = half.map(|(_, h)| ("half1", h));
        }
        while nodes.len() > 2 {
            let mut next = Vec::new();
            let mut rest = nodes.into_iter();
            while let Some(lower) = rest.next() {
                let Some(upper) = rest.next() else {
                    next.push(lower);
                    break;
                };
                let sum = node(
                    format!("{}_{}", lower.name, upper.name),
                    lower.base,
                    lower.digits + upper.digits,
                    upper.missing.clone(),
                );
                let (other, placed) = lower.above(&upper, half, sum.width);
                half = half.filter(|_| !placed);
                text += &format!(
                    "wire [{}:0] {} = {} + {other};\n",
                    sum.width - 1,
                    sum.name,
                    lower.resized(sum.width)
                );
                next.push(sum);
            }
            nodes = next;
        }
        let (y, placed) = nodes[0].above(&nodes[1], half, P);
        assert!(
            half.is_none() || placed,
            "MulBooth: no place for 2^{} in {A} x {B} bits",
            self._h
        );
        second += &format!("    x <= {};\n    y <= {y};\n", nodes[0].resized(P));
        Verilog::Custom(format!(
            "// module mul_booth_{A}_{B}\n{text}\nalways @(posedge clock) begin\n{first}{second}end\n"
        ))
    }
}
