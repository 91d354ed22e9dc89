//! Additions that do something else in the same LUTs.
//!
//! A carry chain of an ECP5 has a LUT4 per bit, of which a plain addition uses two inputs; Yosys puts what comes before the addition
//! into LUTs of its own. With `ROUNDHOUSE_ECP5` defined the text is CCU2C primitives: the LUT's lower half decides the carry from `a`
//! alone, which is right because wherever a bit does not propagate, its two summands are equal.

use rust_hdl_core::prelude::*;

/// The primitives: `init` for each bit, with inputs A = `a`, B = `b`, and `c`, `d` as given (bit i of `wide` is `{wide}x[i]`).
fn chain(w: usize, init: &str, c: &str, d: &str, wide_d: bool) -> String {
    let (bits, pad) = (w.next_multiple_of(2), w % 2);
    let widen = |name: &str| match pad {
        0 => format!("wire [{}:0] {name}x = {name};\n", bits - 1),
        _ => format!("wire [{}:0] {name}x = {{1'b0, {name}}};\n", bits - 1),
    };
    let more = if wide_d { widen("d") } else { String::new() };
    let input = |at: &str| match wide_d {
        true => format!("{d}x[{at}]"),
        false => d.to_string(),
    };
    format!(
        "{}{}{more}wire [{}:0] yx;
wire [{}:0] carry;
assign carry[0] = cin;
assign y = yx[{}:0];
genvar i;
generate for (i = 0; i < {}; i = i + 1) begin : bits
    CCU2C #(.INIT0({init}), .INIT1({init}), .INJECT1_0(\"NO\"), .INJECT1_1(\"NO\")) add (
        .CIN(carry[i]), .A0(ax[2 * i]), .B0(bx[2 * i]), .C0({c}), .D0({}),
        .A1(ax[2 * i + 1]), .B1(bx[2 * i + 1]), .C1({c}), .D1({}),
        .S0(yx[2 * i]), .S1(yx[2 * i + 1]), .COUT(carry[i + 1]));
end endgenerate
",
        widen("a"),
        widen("b"),
        bits - 1,
        bits / 2,
        w - 1,
        bits / 2,
        input("2 * i"),
        input("2 * i + 1"),
    )
}

/// `y` = `a` + (`s` ? `b` : `d`) + `cin`, modulo 2^`W`, in one carry chain. With `d` zero it is an addition that can be switched off.
#[derive(Clone, Debug, Default, LogicBlock)]
pub struct AddMux<const W: usize> {
    /// The summand without a choice.
    pub a: Signal<In, Bits<W>>,
    /// The summand where `s` is set.
    pub b: Signal<In, Bits<W>>,
    /// The summand where it is not.
    pub d: Signal<In, Bits<W>>,
    /// Take `b`.
    pub s: Signal<In, Bit>,
    /// One more.
    pub cin: Signal<In, Bit>,
    /// The sum.
    pub y: Signal<Out, Bits<W>>,
}

impl<const W: usize> Logic for AddMux<W> {
    fn update(&mut self) {
        let chosen = if self.s.val() {
            self.b.val()
        } else {
            self.d.val()
        };
        self.y.next = self.a.val() + chosen + bit_cast::<W, 1>(self.cin.val().into());
    }

    fn connect(&mut self) {
        self.y.connect();
    }

    fn hdl(&self) -> Verilog {
        // A ^ (C ? B : D); with C = D = 0 that is A, so the lower half is A in both its readings.
        Verilog::Custom(format!(
            "// module add_mux_{W}
`ifdef ROUNDHOUSE_ECP5
{}`else
assign y = a + (s ? b : d) + {{{{{t}{{1'b0}}}}, cin}};
`endif
",
            chain(W, "16'h656A", "s", "d", true),
            t = W - 1,
        ))
    }
}

/// `y` = `a` + `b`, or `a` - `b` where `sub` is set, modulo 2^`W`, in one carry chain.
#[derive(Clone, Debug, Default, LogicBlock)]
pub struct AddSub<const W: usize> {
    /// First operand.
    pub a: Signal<In, Bits<W>>,
    /// Second operand.
    pub b: Signal<In, Bits<W>>,
    /// Subtract.
    pub sub: Signal<In, Bit>,
    /// The result.
    pub y: Signal<Out, Bits<W>>,
}

impl<const W: usize> Logic for AddSub<W> {
    fn update(&mut self) {
        self.y.next = if self.sub.val() {
            self.a.val() - self.b.val()
        } else {
            self.a.val() + self.b.val()
        };
    }

    fn connect(&mut self) {
        self.y.connect();
    }

    fn hdl(&self) -> Verilog {
        Verilog::Custom(format!(
            "// module add_sub_{W}
`ifdef ROUNDHOUSE_ECP5
wire cin = sub;
{}`else
assign y = a + (b ^ {{{W}{{sub}}}}) + {{{{{t}{{1'b0}}}}, sub}};
`endif
",
            chain(W, "16'h96AA", "sub", "1'b1", false),
            t = W - 1,
        ))
    }
}
