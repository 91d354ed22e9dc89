//! Variable shifts of signed numbers, all combinational.

use crate::int::{from_i128, to_i128};
use rust_hdl_core::prelude::*;

fn check_shift(kind: &str, w: usize, s: usize) {
    assert!(
        (2..=120).contains(&w),
        "{kind}: {w} bits, supported are 2 to 120"
    );
    assert!(
        (1..=16).contains(&s),
        "{kind}: a shift amount of {s} bits, supported are 1 to 16"
    );
}

/// Arithmetic shift right: `y` = floor(`x` / 2^`s`). Amounts of `W` and more leave the sign.
#[derive(Clone, Debug, LogicBlock)]
pub struct Ashr<const W: usize, const S: usize> {
    /// The number to shift.
    pub x: Signal<In, Signed<W>>,
    /// By how many places.
    pub s: Signal<In, Bits<S>>,
    /// The result.
    pub y: Signal<Out, Signed<W>>,
}

impl<const W: usize, const S: usize> Default for Ashr<W, S> {
    fn default() -> Self {
        check_shift("Ashr", W, S);
        Self {
            x: Signal::default(),
            s: Signal::default(),
            y: Signal::default(),
        }
    }
}

impl<const W: usize, const S: usize> Logic for Ashr<W, S> {
    fn update(&mut self) {
        self.y.next = from_i128(to_i128(self.x.val()) >> self.s.val().index().min(127));
    }

    fn connect(&mut self) {
        self.y.connect();
    }

    fn hdl(&self) -> Verilog {
        Verilog::Custom(format!("// module ashr_{W}\nassign y = x >>> s;\n"))
    }
}

/// Shift right with rounding to the nearest, ties to even: `y` = RNE(`x` / 2^`s`), exact for every `s`.
///
/// The result cannot overflow; for `s` above `W` it is 0. Cost: one shifter, one mask decoder, one increment.
#[derive(Clone, Debug, LogicBlock)]
pub struct ShrRne<const W: usize, const S: usize> {
    /// The number to shift.
    pub x: Signal<In, Signed<W>>,
    /// By how many places.
    pub s: Signal<In, Bits<S>>,
    /// The result.
    pub y: Signal<Out, Signed<W>>,
}

impl<const W: usize, const S: usize> Default for ShrRne<W, S> {
    fn default() -> Self {
        check_shift("ShrRne", W, S);
        Self {
            x: Signal::default(),
            s: Signal::default(),
            y: Signal::default(),
        }
    }
}

/// RNE(x / 2^s) by its definition: the floor, plus one if the remainder is above half, or half and the floor odd.
fn shr_rne(x: i128, s: usize) -> i128 {
    if s == 0 {
        return x;
    }
    if s > 120 {
        return 0; // |x| < 2^119, so the quotient is below one half
    }
    let floor = x >> s;
    let (rest, half) = (x - (floor << s), 1i128 << (s - 1));
    floor + i128::from(rest > half || (rest == half && floor & 1 == 1))
}

impl<const W: usize, const S: usize> Logic for ShrRne<W, S> {
    fn update(&mut self) {
        self.y.next = from_i128(shr_rne(to_i128(self.x.val()), self.s.val().index()));
    }

    fn connect(&mut self) {
        self.y.connect();
    }

    fn hdl(&self) -> Verilog {
        // The low s bits are lost: `below` marks them, `half` the highest of them. For s >= W all bits are lost, `half`
        // is the sign bit, and the same formula still rounds correctly: -1 + 1 for x < 0 and 0 + 0 otherwise.
        Verilog::Custom(format!(
            "// module shr_rne_{W}
wire [{t}:0] below = ~({{{W}{{1'b1}}}} << s);
wire [{t}:0] half = below & ~(below >> 1);
wire signed [{t}:0] floor = x >>> s;
wire tie_or_more = |(x & half);
wire not_tie = |(x & (below >> 1));
wire up = tie_or_more & (not_tie | floor[0]);

assign y = floor + $signed({{{t}'b0, up}});
",
            t = W - 1,
        ))
    }
}

/// Shift left: `y` = `x` * 2^`s` modulo 2^`W`, and `ovf` if that is not the exact product.
#[derive(Clone, Debug, LogicBlock)]
pub struct Shl<const W: usize, const S: usize> {
    /// The number to shift.
    pub x: Signal<In, Signed<W>>,
    /// By how many places.
    pub s: Signal<In, Bits<S>>,
    /// The low `W` bits of the result.
    pub y: Signal<Out, Signed<W>>,
    /// The result does not fit `W` bits: bits, or the sign, were lost.
    pub ovf: Signal<Out, Bit>,
}

impl<const W: usize, const S: usize> Default for Shl<W, S> {
    fn default() -> Self {
        check_shift("Shl", W, S);
        Self {
            x: Signal::default(),
            s: Signal::default(),
            y: Signal::default(),
            ovf: Signal::default(),
        }
    }
}

impl<const W: usize, const S: usize> Logic for Shl<W, S> {
    fn update(&mut self) {
        let (x, s) = (to_i128(self.x.val()), self.s.val().index());
        let y = from_i128::<W>(if s < W {
            (x as u128).wrapping_shl(s as u32) as i128
        } else {
            0
        });
        self.y.next = y;
        // Exact if shifting back gives x again; a shift by W or more is exact for 0 only.
        self.ovf.next = to_i128(y) >> s.min(127) != x;
    }

    fn connect(&mut self) {
        self.y.connect();
        self.ovf.connect();
    }

    fn hdl(&self) -> Verilog {
        Verilog::Custom(format!(
            "// module shl_{W}
wire signed [{t}:0] back = y >>> s;

assign y = x <<< s;
assign ovf = back != x;
",
            t = W - 1,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::shr_rne;

    #[test]
    fn rounding_follows_the_definition() {
        // Against exact halves in f64: |x| is small enough for x / 2^s to be exact there.
        for x in -300i128..300 {
            for s in 0..12 {
                let exact = x as f64 / f64::from(1 << s);
                assert_eq!(shr_rne(x, s), exact.round_ties_even() as i128, "{x} >> {s}");
            }
            assert_eq!(shr_rne(x, 1000), 0);
        }
    }
}
