//! Leading zeros.

use rust_hdl_core::prelude::*;
use std::fmt::Write;

/// `n` = the number of zeros above the highest one of `x`; `W` if `x` is zero. Combinational, log2(`W`) levels.
///
/// `W` bits in, `C` = clog2(`W` + 1) bits out.
#[derive(Clone, Debug, LogicBlock)]
pub struct Lzc<const W: usize, const C: usize> {
    /// The bits to count in.
    pub x: Signal<In, Bits<W>>,
    /// The count.
    pub n: Signal<Out, Bits<C>>,
}

impl<const W: usize, const C: usize> Default for Lzc<W, C> {
    /// # Panics
    /// If `C` is not clog2(`W` + 1), or `W` is below 2.
    fn default() -> Self {
        assert!(W >= 2, "Lzc: {W} bits, at least 2 are needed");
        assert!(
            C == clog2(W + 1),
            "Lzc: counting to {W} takes {} bits, not {C}",
            clog2(W + 1)
        );
        Self {
            x: Signal::default(),
            n: Signal::default(),
        }
    }
}

impl<const W: usize, const C: usize> Logic for Lzc<W, C> {
    fn update(&mut self) {
        let x = self.x.val();
        let zeros = (0..W).rev().take_while(|&i| !x.get_bit(i)).count();
        self.n.next = bits(zeros as u64);
    }

    fn connect(&mut self) {
        self.n.connect();
    }

    fn hdl(&self) -> Verilog {
        // Binary search: at each level keep the half that has the first one. Padding with ones below makes the width a
        // power of two without changing the count.
        let k = clog2(W);
        let padding = (1 << k) - W;
        let padded = if padding == 0 {
            "x".into()
        } else {
            format!("{{x, {{{padding}{{1'b1}}}}}}")
        };
        let mut text = format!(
            "// module lzc_{W}\nwire [{}:0] s{k} = {padded};\n",
            (1usize << k) - 1
        );
        for j in (0..k).rev() {
            let (half, all, from) = (1usize << j, 2usize << j, j + 1);
            let range = if j == 0 {
                String::new()
            } else {
                format!("[{}:0] ", half - 1)
            };
            let bits = |hi: usize, lo: usize| {
                if hi == lo {
                    format!("[{hi}]")
                } else {
                    format!("[{hi}:{lo}]")
                }
            };
            let (high, low) = (bits(all - 1, half), bits(half - 1, 0));
            let _ = writeln!(text, "wire z{j} = ~|s{from}{high};");
            let _ = writeln!(
                text,
                "wire {range}s{j} = z{j} ? s{from}{low} : s{from}{high};"
            );
        }
        let zs: Vec<String> = (0..k).rev().map(|j| format!("z{j}")).collect();
        // Only a width that is a power of two can count to itself, when the last bit left is a zero too.
        if C == k {
            let _ = write!(
                text,
                "wire unused_s0 = s0;\n\nassign n = {{{}}};\n",
                zs.join(", ")
            );
        } else {
            let _ = write!(
                text,
                "\nassign n = {{1'b0, {}}} + {{{k}'b0, ~s0}};\n",
                zs.join(", ")
            );
        }
        Verilog::Custom(text)
    }
}
