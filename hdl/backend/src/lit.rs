//! Constants of any width.

use crate::error::{fault, Fault};
use rust_hdl_core::ast::VerilogLiteral;

/// A bit vector, lowest bit first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lit(pub Vec<bool>);

impl Lit {
    pub(crate) fn zero(width: usize) -> Self {
        Lit(vec![false; width])
    }

    pub(crate) fn from_u128(value: u128, width: usize) -> Self {
        Lit((0..width).map(|i| i < 128 && value >> i & 1 == 1).collect())
    }

    /// The library keeps a literal's value private; its hexadecimal form is the way to it. Returns sign and magnitude.
    fn parse(literal: &VerilogLiteral) -> Result<(bool, Vec<bool>), Fault> {
        let text = format!("{literal:x}");
        let digits = text.split_once("'h").map_or("", |(_, d)| d);
        let (negative, digits) = digits
            .strip_prefix('-')
            .map_or((false, digits), |d| (true, d));
        let mut value = Vec::new();
        for c in digits.chars().rev() {
            let Some(d) = c.to_digit(16) else {
                return fault!(Literal, "the literal {text} cannot be read");
            };
            value.extend((0..4).map(|i| d >> i & 1 == 1));
        }
        Ok((negative, value))
    }

    /// The literal in `width` bits, two's complement if negative. Refuses what does not fit.
    pub(crate) fn from_ast(literal: &VerilogLiteral, width: usize) -> Result<Self, Fault> {
        let (negative, mut value) = Self::parse(literal)?;
        if value.iter().skip(width).any(|&b| b) {
            return fault!(Literal, "the literal {literal:x} does not fit {width} bits");
        }
        value.resize(width, false);
        Ok(if negative {
            Lit(value).neg()
        } else {
            Lit(value)
        })
    }

    /// The declared width of a literal: 1 for `true` and `false`.
    pub(crate) fn is_bool(literal: &VerilogLiteral) -> bool {
        format!("{literal:x}").starts_with("1'")
    }

    /// The literal as an integer, if it is small.
    pub(crate) fn small(literal: &VerilogLiteral) -> Option<i128> {
        let (negative, value) = Self::parse(literal).ok()?;
        let magnitude = Lit(value).to_u128().filter(|v| *v < 1 << 100)? as i128;
        Some(if negative { -magnitude } else { magnitude })
    }

    pub(crate) fn to_u128(&self) -> Option<u128> {
        if self.0.iter().skip(128).any(|&b| b) {
            return None;
        }
        Some(
            self.0
                .iter()
                .take(128)
                .enumerate()
                .fold(0, |v, (i, &b)| v | u128::from(b) << i),
        )
    }

    pub(crate) fn width(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn not(&self) -> Self {
        Lit(self.0.iter().map(|b| !b).collect())
    }

    pub(crate) fn neg(&self) -> Self {
        let mut carry = true;
        Lit(self
            .0
            .iter()
            .map(|b| {
                let bit = !b ^ carry;
                carry &= !b;
                bit
            })
            .collect())
    }

    pub(crate) fn slice(&self, lo: usize, width: usize) -> Self {
        Lit(self.0[lo..lo + width].to_vec())
    }

    /// Verilog: `1'b0`, `4'd9`, `16'h1f00`, with an `s` where it must count as signed.
    pub(crate) fn verilog(&self, signed: bool) -> String {
        let (w, s) = (self.width(), if signed { "s" } else { "" });
        match self.to_u128() {
            Some(v) if w == 1 => format!("1'{s}b{v}"),
            Some(v) if v < 10 => format!("{w}'{s}d{v}"),
            _ => {
                let digits: String = self.0.chunks(4).rev().map(hex_digit).collect();
                format!("{w}'{s}h{digits}")
            }
        }
    }
}

fn hex_digit(bits: &[bool]) -> char {
    let v = bits
        .iter()
        .enumerate()
        .fold(0, |v, (i, &b)| v | u32::from(b) << i);
    char::from_digit(v, 16).unwrap_or('?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_fit_or_are_refused() {
        let lit = |v: u64, w| Lit::from_ast(&v.into(), w).map(|l| l.verilog(false));
        assert_eq!(lit(5, 8).unwrap(), "8'd5");
        assert_eq!(lit(255, 8).unwrap(), "8'hff");
        assert_eq!(lit(1, 1).unwrap(), "1'b1");
        assert!(lit(256, 8).unwrap_err().1.contains("does not fit 8 bits"));
        assert_eq!(Lit::from_u128(3, 8).neg(), Lit::from_u128(0xfd, 8));
        assert_eq!(Lit::zero(8).neg(), Lit::zero(8));
        assert_eq!(Lit::from_u128(0xf0, 300).verilog(true).len(), 6 + 75);
    }
}
