//! Wide choices out of 4 and 8, at two and four LUTs per bit of an ECP5; by a number, or by flags as they come from comparators.
//!
//! Yosys builds a choice out of four from LUTs alone, which takes twice as many sites as the slice's own multiplexers need. With
//! `ROUNDHOUSE_ECP5` defined the text is these primitives.

use rust_hdl_core::prelude::*;

fn check_widths(kind: &str, ways: usize, w: usize, n: usize) {
    assert!(
        n == ways * w,
        "{kind}: {ways} words of {w} bits have {}, not {n}",
        ways * w
    );
}

/// One of the four words of `x`, `W` bits each (`N` = 4 `W`), by `s`: word 0 is in the low bits.
#[derive(Clone, Debug, LogicBlock)]
pub struct Mux4<const W: usize, const N: usize> {
    /// The words.
    pub x: Signal<In, Bits<N>>,
    /// The number of the word.
    pub s: Signal<In, Bits<2>>,
    /// The word.
    pub y: Signal<Out, Bits<W>>,
}

impl<const W: usize, const N: usize> Default for Mux4<W, N> {
    /// # Panics
    /// If `N` is not 4 `W`.
    fn default() -> Self {
        check_widths("Mux4", 4, W, N);
        Self {
            x: Signal::default(),
            s: Signal::default(),
            y: Signal::default(),
        }
    }
}

impl<const W: usize, const N: usize> Logic for Mux4<W, N> {
    fn update(&mut self) {
        self.y.next = self.x.val().get_bits::<W>(W * self.s.val().index());
    }

    fn connect(&mut self) {
        self.y.connect();
    }

    fn hdl(&self) -> Verilog {
        Verilog::Custom(format!(
            "// module mux4_{W}
`ifdef ROUNDHOUSE_ECP5
genvar i;
generate for (i = 0; i < {W}; i = i + 1) begin : bits
    wire low, high;
    LUT4 #(.INIT(16'hCACA)) lut_low (.A(x[i]), .B(x[i + {W}]), .C(s[0]), .D(1'b0), .Z(low));
    LUT4 #(.INIT(16'hCACA)) lut_high (.A(x[i + {W2}]), .B(x[i + {W3}]), .C(s[0]), .D(1'b0), .Z(high));
    PFUMX mux (.BLUT(low), .ALUT(high), .C0(s[1]), .Z(y[i]));
end endgenerate
`else
assign y = x[s * {W} +: {W}];
`endif
",
            W2 = 2 * W,
            W3 = 3 * W,
        ))
    }
}

/// One of the eight words of `x`, `W` bits each (`N` = 8 `W`), by `s`: word 0 is in the low bits.
#[derive(Clone, Debug, LogicBlock)]
pub struct Mux8<const W: usize, const N: usize> {
    /// The words.
    pub x: Signal<In, Bits<N>>,
    /// The number of the word.
    pub s: Signal<In, Bits<3>>,
    /// The word.
    pub y: Signal<Out, Bits<W>>,
}

impl<const W: usize, const N: usize> Default for Mux8<W, N> {
    /// # Panics
    /// If `N` is not 8 `W`.
    fn default() -> Self {
        check_widths("Mux8", 8, W, N);
        Self {
            x: Signal::default(),
            s: Signal::default(),
            y: Signal::default(),
        }
    }
}

impl<const W: usize, const N: usize> Logic for Mux8<W, N> {
    fn update(&mut self) {
        self.y.next = self.x.val().get_bits::<W>(W * self.s.val().index());
    }

    fn connect(&mut self) {
        self.y.connect();
    }

    fn hdl(&self) -> Verilog {
        Verilog::Custom(format!(
            "// module mux8_{W}
`ifdef ROUNDHOUSE_ECP5
genvar i, k;
generate for (i = 0; i < {W}; i = i + 1) begin : bits
    wire [3:0] pair;
    wire low, high;
    for (k = 0; k < 4; k = k + 1) begin : luts
        LUT4 #(.INIT(16'hCACA)) lut (.A(x[i + 2 * k * {W}]), .B(x[i + (2 * k + 1) * {W}]), .C(s[0]), .D(1'b0), .Z(pair[k]));
    end
    PFUMX mux_low (.BLUT(pair[0]), .ALUT(pair[1]), .C0(s[1]), .Z(low));
    PFUMX mux_high (.BLUT(pair[2]), .ALUT(pair[3]), .C0(s[1]), .Z(high));
    L6MUX21 mux (.D0(low), .D1(high), .SD(s[2]), .Z(y[i]));
end endgenerate
`else
assign y = x[s * {W} +: {W}];
`endif
",
        ))
    }
}

/// The last of the eight words of `x` whose flag is clear, `W` bits each (`N` = 8 `W`): flag i of `f` may be clear only if those of 1 to i - 1
/// are; word 0 needs none. One LUT and two multiplexers from a flag to the word: the flags need not become a number first.
#[derive(Clone, Debug, LogicBlock)]
pub struct Last8<const W: usize, const N: usize> {
    /// The words.
    pub x: Signal<In, Bits<N>>,
    /// The flags; bit 0 is not looked at.
    pub f: Signal<In, Bits<8>>,
    /// The word.
    pub y: Signal<Out, Bits<W>>,
}

impl<const W: usize, const N: usize> Default for Last8<W, N> {
    /// # Panics
    /// If `N` is not 8 `W`.
    fn default() -> Self {
        check_widths("Last8", 8, W, N);
        Self {
            x: Signal::default(),
            f: Signal::default(),
            y: Signal::default(),
        }
    }
}

impl<const W: usize, const N: usize> Logic for Last8<W, N> {
    fn update(&mut self) {
        let f = |i| usize::from(!self.f.val().get_bit(i));
        let half = 4 * f(4);
        let pair = half + 2 * f(half + 2);
        let word = pair + f(pair + 1);
        self.y.next = self.x.val().get_bits::<W>(W * word);
    }

    fn connect(&mut self) {
        self.y.connect();
    }

    fn hdl(&self) -> Verilog {
        let word = |i: usize| format!("x[{}:{}]", W * (i + 1) - 1, W * i);
        let pair = |i: usize| format!("(f[{}] ? {} : {})", i + 1, word(i), word(i + 1));
        Verilog::Custom(format!(
            "// module last8_{W}
wire unused_flag = f[0];
`ifdef ROUNDHOUSE_ECP5
genvar i, k;
generate for (i = 0; i < {W}; i = i + 1) begin : bits
    wire [3:0] pair;
    wire low, high;
    for (k = 0; k < 4; k = k + 1) begin : luts
        LUT4 #(.INIT(16'hACAC)) lut (.A(x[i + 2 * k * {W}]), .B(x[i + (2 * k + 1) * {W}]), .C(f[2 * k + 1]), .D(1'b0), .Z(pair[k]));
    end
    PFUMX mux_low (.BLUT(pair[1]), .ALUT(pair[0]), .C0(f[2]), .Z(low));
    PFUMX mux_high (.BLUT(pair[3]), .ALUT(pair[2]), .C0(f[6]), .Z(high));
    L6MUX21 mux (.D0(high), .D1(low), .SD(f[4]), .Z(y[i]));
end endgenerate
`else
assign y = f[4] ? (f[2] ? {} : {}) : (f[6] ? {} : {});
`endif
",
            pair(0),
            pair(2),
            pair(4),
            pair(6),
        ))
    }
}
