//! Words made of equal lanes: turning them, and choosing lane by lane.

use rust_hdl_core::prelude::*;
use std::fmt::Write as _;

/// `y` = `x` rotated left by `s` lanes of `U` bits: lane i of `x` becomes lane i + `s`. `W` = `U` * 2^`S` bits; `S` levels of multiplexers.
#[derive(Clone, Debug, LogicBlock)]
pub struct Rotate<const W: usize, const U: usize, const S: usize> {
    /// The word.
    pub x: Signal<In, Bits<W>>,
    /// By how many lanes.
    pub s: Signal<In, Bits<S>>,
    /// The result.
    pub y: Signal<Out, Bits<W>>,
}

impl<const W: usize, const U: usize, const S: usize> Default for Rotate<W, U, S> {
    /// # Panics
    /// If `W` is not `U` * 2^`S`.
    fn default() -> Self {
        assert!(
            S >= 1 && W == U << S,
            "Rotate: {W} bits are not 2^{S} lanes of {U}"
        );
        Self {
            x: Signal::default(),
            s: Signal::default(),
            y: Signal::default(),
        }
    }
}

impl<const W: usize, const U: usize, const S: usize> Logic for Rotate<W, U, S> {
    fn update(&mut self) {
        let (x, by) = (self.x.val(), U * self.s.val().index());
        let mut y = Bits::default();
        for i in 0..W {
            y = y.replace_bit((i + by) % W, x.get_bit(i));
        }
        self.y.next = y;
    }

    fn connect(&mut self) {
        self.y.connect();
    }

    fn hdl(&self) -> Verilog {
        let mut text = format!("// module rotate_{W}x{U}\n");
        let mut from = "x".to_string();
        for k in 0..S {
            let by = U << k;
            let s = if S == 1 {
                "s".into()
            } else {
                format!("s[{k}]")
            };
            let _ = writeln!(
                text,
                "wire [{}:0] by_{by} = {s} ? {{{from}[{}:0], {from}[{}:{}]}} : {from};",
                W - 1,
                W - by - 1,
                W - 1,
                W - by
            );
            from = format!("by_{by}");
        }
        let _ = write!(text, "\nassign y = {from};\n");
        Verilog::Custom(text)
    }
}

/// Lane i of `y` is that of `a` where bit i of `s` is set, else that of `b`. `N` lanes, `W` bits in all.
#[derive(Clone, Debug, LogicBlock)]
pub struct MuxLanes<const W: usize, const N: usize> {
    /// Taken where `s` is set.
    pub a: Signal<In, Bits<W>>,
    /// Taken where it is not.
    pub b: Signal<In, Bits<W>>,
    /// One bit for each lane.
    pub s: Signal<In, Bits<N>>,
    /// The result.
    pub y: Signal<Out, Bits<W>>,
}

impl<const W: usize, const N: usize> Default for MuxLanes<W, N> {
    /// # Panics
    /// If `W` is not a multiple of `N`, or there is only one lane.
    fn default() -> Self {
        assert!(
            N >= 2 && W.is_multiple_of(N),
            "MuxLanes: {W} bits are not {N} lanes"
        );
        Self {
            a: Signal::default(),
            b: Signal::default(),
            s: Signal::default(),
            y: Signal::default(),
        }
    }
}

impl<const W: usize, const N: usize> Logic for MuxLanes<W, N> {
    fn update(&mut self) {
        let (a, b, s) = (self.a.val(), self.b.val(), self.s.val());
        let mut y = b;
        for i in 0..W {
            if s.get_bit(i * N / W) {
                y = y.replace_bit(i, a.get_bit(i));
            }
        }
        self.y.next = y;
    }

    fn connect(&mut self) {
        self.y.connect();
    }

    fn hdl(&self) -> Verilog {
        let u = W / N;
        Verilog::Custom(format!(
            "// module mux_lanes_{W}x{u}
genvar i;
generate for (i = 0; i < {N}; i = i + 1) begin : lanes
    assign y[i * {u} +: {u}] = s[i] ? a[i * {u} +: {u}] : b[i * {u} +: {u}];
end endgenerate
"
        ))
    }
}
