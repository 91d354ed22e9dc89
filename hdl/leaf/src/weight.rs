//! Stored weights as operands of a multiplier.

use crate::int::from_i128;
use rust_hdl_core::prelude::*;
use std::fmt::Write as _;

/// A byte of weights as `(high << 13) + low`, so that one multiplication gives the products of both halves: two 4-bit weights, or one
/// int8 weight as its signed high and its unsigned low half.
///
/// Cost on an ECP5: 24 LUT4, five levels (Yosys by itself: about 40).
#[derive(Clone, Debug, Default, LogicBlock)]
pub struct Weight {
    /// The stored byte.
    pub x: Signal<In, Bits<8>>,
    /// It holds two 4-bit weights: the low half is signed as well.
    pub narrow: Signal<In, Bit>,
    /// They are FP4 (E2M1, doubled).
    pub fp: Signal<In, Bit>,
    /// The operand.
    pub y: Signal<Out, Signed<18>>,
}

/// Twice the FP4 number `x`.
fn fp4(x: u8) -> i8 {
    let magnitude = [0, 1, 2, 3, 4, 6, 8, 12][usize::from(x & 7)];
    if x & 8 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

fn nibble(x: u8, fp: bool) -> i32 {
    i32::from(if fp { fp4(x) } else { (x << 4) as i8 >> 4 })
}

/// A LUT4 that drives `to`; inputs that are missing are zero.
fn lut(to: &str, inputs: [&str; 4], f: fn(bool, bool, bool, bool) -> bool) -> String {
    let init = (0..16u32)
        .filter(|i| f(i & 1 != 0, i & 2 != 0, i & 4 != 0, i & 8 != 0))
        .fold(0, |init, i| init | 1 << i);
    let [a, b, c, d] = inputs.map(|name| if name.is_empty() { "1'b0" } else { name });
    let name = to.replace(['[', ']'], "");
    format!("LUT4 #(.INIT(16'h{init:04x})) lut_{name} (.A({a}), .B({b}), .C({c}), .D({d}), .Z({to}));\n")
}

/// The LUTs of bits 3 to 0 of one 4-bit weight from bit `at` of `x` on, and what its sign is made of.
///
/// The low two bits of an FP4 tell four magnitudes apart, and q and r choose what they mean: q for 4, 6, 8, 12, r for -0, -1, -2, -3,
/// neither for the other positive ones and for integers.
fn decode(name: &str, at: usize) -> String {
    let [x0, x1, x2, x3] = [0, 1, 2, 3].map(|i| format!("x[{}]", at + i));
    let [x0, x1, x2, x3] = [&x0, &x1, &x2, &x3].map(String::as_str);
    let [q, r, w, v] = ["q", "r", "w", "v"].map(|wire| format!("{name}_{wire}"));
    let y = |i: usize| format!("{name}[{i}]");
    let mut text = format!("wire {q}, {r}, {w}, {v};\nwire [4:0] {name};\n");
    text += &lut(&q, ["fp", x2, "", ""], |fp, x2, _, _| fp && x2);
    text += &lut(&r, ["fp", x2, x3, ""], |fp, x2, x3, _| fp && x3 && !x2);
    text += &lut(&y(0), ["fp", x2, x0, ""], |fp, x2, x0, _| x0 && !(fp && x2));
    text += &lut(&y(1), [&q, &r, x1, x0], |q, r, x1, x0| match (q, r) {
        (true, _) => !x1 && x0,
        (_, true) => x1 != x0,
        _ => x1,
    });
    text += &lut(&w, [&q, x3, x1, x0], |q, x3, x1, x0| match q {
        true => x1 == x0 || !x3 && x0,
        false => x1 || x0,
    });
    text += &lut(&y(2), [&q, &r, x2, &w], |q, r, x2, w| match q || r {
        true => w,
        false => x2,
    });
    text += &lut(&v, [&q, x3, x1, x0], |q, x3, x1, x0| match (q, x3) {
        (false, _) => x1 || x0,
        (true, false) => x1,
        (true, true) => !(x1 && x0),
    });
    text += &lut(&y(3), [&q, &r, x3, &v], |q, r, x3, v| match q || r {
        true => v,
        false => x3,
    });
    text
}

impl Logic for Weight {
    fn update(&mut self) {
        let x = self.x.val().index() as u8;
        let fp = self.fp.val();
        let mut low = nibble(x & 15, fp);
        if !self.narrow.val() {
            low &= 15;
        }
        let y = (nibble(x >> 4, fp) << 13) + low;
        self.y.next = from_i128(y.into());
    }

    fn connect(&mut self) {
        self.y.connect();
    }

    fn hdl(&self) -> Verilog {
        let words = (0..16u8).fold(0u128, |words, x| {
            words | ((fp4(x) & 31) as u128) << (5 * u32::from(x))
        });
        let mut luts = decode("low", 0) + &decode("high", 4) + "wire clear;\n";
        luts += &lut(
            "low[4]",
            ["narrow", "x[3]", "low_r", "low_w"],
            |narrow, x3, r, w| narrow && x3 && (!r || w),
        );
        luts += &lut(
            "high[4]",
            ["x[7]", "high_r", "x[5]", "x[4]"],
            |x3, r, x1, x0| x3 && (!r || x1 || x0),
        );
        // The high field is less by one where the low one is negative.
        luts += &lut(
            "clear",
            ["high[0]", "high[1]", "high[2]", ""],
            |a, b, c, _| !(a || b || c),
        );
        luts += &lut("y[13]", ["low[4]", "high[0]", "", ""], |m, a, _, _| m != a);
        luts += &lut(
            "y[14]",
            ["low[4]", "high[0]", "high[1]", ""],
            |m, a, b, _| b != (m && !a),
        );
        luts += &lut(
            "y[15]",
            ["low[4]", "high[0]", "high[1]", "high[2]"],
            |m, a, b, c| c != (m && !a && !b),
        );
        luts += &lut("y[16]", ["low[4]", "clear", "high[3]", ""], |m, z, d, _| {
            d != (m && z)
        });
        luts += &lut(
            "y[17]",
            ["low[4]", "clear", "high[3]", "high[4]"],
            |m, z, d, e| e != (m && z && !d),
        );
        let _ = writeln!(luts, "assign y[12:0] = {{{{8{{low[4]}}}}, low}};");
        Verilog::Custom(format!(
            "// module weight
`ifdef ROUNDHOUSE_ECP5
{luts}`else
wire [79:0] words = 80'h{words:020x};
wire [4:0] first = fp ? words[x[3:0] * 5 +: 5] : {{x[3], x[3:0]}};
wire [4:0] low = {{first[4] & narrow, first[3:0]}};
wire [4:0] high = fp ? words[x[7:4] * 5 +: 5] : {{x[7], x[7:4]}};
assign y = {{high, 13'd0}} + {{{{13{{low[4]}}}}, low}};
`endif
",
        ))
    }
}
