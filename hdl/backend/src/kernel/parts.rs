//! Parts of values, extension and truncation, and the temporaries they need.

use super::{Elab, Net, NetKind, Stmt};
use crate::error::{fault, Fault};
use crate::expr::{Bin, Ex, NetId, Op, Shift};
use crate::lit::Lit;
use rust_hdl_core::ast::{VerilogExpression as Ast, VerilogOp};

impl Elab {
    /// `get_bits::<width>(at)`: as in Rust, bits above the top of the value are zero.
    pub(super) fn part(
        &mut self,
        ast: &Ast,
        width: usize,
        at: &Ast,
        bit: bool,
        hint: &str,
    ) -> Result<Ex, Fault> {
        let whole = self.own_width(ast, "the value a part is taken of")?;
        let e = self.build(ast, whole, hint)?;
        if let Some(lo) = self.constant(at) {
            if lo < 0 || lo as usize > whole || (bit && lo as usize == whole) {
                return fault!(Index, "near {hint}: bit {lo} of a value of {whole} bits");
            }
            let lo = lo as usize;
            let kept = width.min(whole - lo);
            if kept == 0 {
                return Ok(Ex::zeros(width));
            }
            return Ok(self
                .slice(e, lo, kept, hint)?
                .with_sign(false)
                .zero_extend(width));
        }
        if whole == 1 && bit {
            return Ok(e);
        }
        // `get_bit` stays below the width; `get_bits` may ask for what lies right behind the top: zeros.
        let bits = bits_for(if bit { whole - 1 } else { whole });
        let (offset, max, _) = self.offset(at, bits, hint)?;
        let net = self.as_net(e, hint)?;
        if bit || max + width as u128 <= whole as u128 {
            let offset = self.slice(offset, 0, bits_for(whole - 1), hint)?;
            if let Op::Lit(lit) = &offset.op {
                let lo = lit.to_u128().map_or(0, |v| v as usize).min(whole - width);
                return Ok(Ex {
                    op: Op::Net(net),
                    width: whole,
                    signed: false,
                }
                .slice(lo, width));
            }
            return Ok(Ex {
                op: Op::Dynamic(net, Box::new(offset)),
                width,
                signed: false,
            });
        }
        let base = Ex {
            op: Op::Net(net),
            width: whole,
            signed: false,
        };
        let shifted = Ex::shift(Shift::Right, base, offset);
        if width >= whole {
            return Ok(shifted.zero_extend(width));
        }
        self.slice(shifted, 0, width, hint)
    }

    /// An offset in `bits` bits, the greatest value it can have, and whether it is computed as `usize` for certain.
    /// After `.index()` Rust computes in `usize`, before it modulo 2^N; the tree does not show which, so sums that
    /// would differ are refused.
    pub(super) fn offset(
        &mut self,
        at: &Ast,
        bits: usize,
        hint: &str,
    ) -> Result<(Ex, u128, bool), Fault> {
        if let Some(c) = self.constant(at) {
            if c < 0 || c >> bits.min(126) != 0 {
                return fault!(Index, "near {hint}: the offset {c} is outside of the value");
            }
            return Ok((
                Ex::lit(Lit::from_u128(c as u128, bits), false),
                c as u128,
                false,
            ));
        }
        match at {
            Ast::Paren(e) => return self.offset(e, bits, hint),
            Ast::Binary(l, VerilogOp::Mul, r) => {
                let (x, factor) = match (self.constant(l), self.constant(r)) {
                    (None, Some(c)) => (l, c),
                    (Some(c), None) => (r, c),
                    _ => {
                        return fault!(
                            Unsupported,
                            "near {hint}: an offset that is a product of two signals"
                        )
                    }
                };
                let Ok(factor) = u128::try_from(factor) else {
                    return fault!(Index, "near {hint}: an offset times {factor}");
                };
                let (x, max, _) = self.offset(x, bits, hint)?;
                let max = max.saturating_mul(factor);
                if factor.is_power_of_two() {
                    let zeros = (factor.trailing_zeros() as usize).min(bits);
                    let high = self.slice(x, 0, bits - zeros, hint)?;
                    return Ok((Ex::cat(vec![high, Ex::zeros(zeros)]), max, true));
                }
                let factor = Ex::lit(Lit::from_u128(factor, bits), false);
                return Ok((Ex::bin(Bin::Mul, x, factor), max, true));
            }
            Ast::Binary(l, op @ (VerilogOp::Add | VerilogOp::Sub), r) => {
                let (el, ml, ul) = self.offset(l, bits, hint)?;
                let (er, mr, ur) = self.offset(r, bits, hint)?;
                if ul || ur {
                    let (op, max) = match op {
                        VerilogOp::Add => (Bin::Add, ml.saturating_add(mr)),
                        _ => (Bin::Sub, ml),
                    };
                    return Ok((Ex::bin(op, el, er), max, true));
                }
                if self.common(l, r, "an offset")? < bits {
                    return fault!(
                        Ambiguous,
                        "near {hint}: a sum of narrow signals as an offset may wrap around; put it into a Local of {bits} bits"
                    );
                }
            }
            _ => {}
        }
        let own = self.own_width(at, "an offset")?;
        let e = self.build(at, own, hint)?;
        let max = if own >= 127 {
            u128::MAX >> 1
        } else {
            (1 << own) - 1
        };
        let e = if own > bits {
            self.slice(e, 0, bits, hint)?
        } else {
            e.zero_extend(bits)
        };
        Ok((e.with_sign(false), max, false))
    }

    pub(super) fn replace(
        &mut self,
        ast: &Ast,
        at: &Ast,
        bit: &Ast,
        width: usize,
        hint: &str,
    ) -> Result<Ex, Fault> {
        let e = self.build(ast, width, hint)?;
        let bit = self.build(bit, 1, hint)?;
        if let Some(i) = self.constant(at) {
            if i < 0 || i as usize >= width {
                return fault!(
                    Index,
                    "near {hint}: bit {i} of a value of {width} bits is replaced"
                );
            }
            let i = i as usize;
            let mut parts = Vec::new();
            if i + 1 < width {
                parts.push(self.slice(e.clone(), i + 1, width - i - 1, hint)?);
            }
            parts.push(bit);
            if i > 0 {
                parts.push(self.slice(e, 0, i, hint)?);
            }
            return Ok(Ex::cat(parts));
        }
        let bits = width.next_power_of_two().trailing_zeros().max(1) as usize;
        let (offset, ..) = self.offset(at, bits, hint)?;
        let one = Ex::lit(Lit::from_u128(1, width), false);
        let mask = Ex::shift(Shift::Left, one, offset.clone()).not();
        let bit = Ex::shift(Shift::Left, bit.zero_extend(width), offset);
        Ok(Ex::bin(
            Bin::Or,
            Ex::bin(Bin::And, e.with_sign(false), mask),
            bit,
        ))
    }

    pub(super) fn slice(
        &mut self,
        e: Ex,
        lo: usize,
        width: usize,
        hint: &str,
    ) -> Result<Ex, Fault> {
        if e.sliceable(lo, width) {
            return Ok(e.slice(lo, width));
        }
        let (whole, signed) = (e.width, e.signed);
        let net = self.as_net(e, hint)?;
        Ok(Ex {
            op: Op::Net(net),
            width: whole,
            signed,
        }
        .slice(lo, width))
    }

    pub(super) fn resize(
        &mut self,
        e: Ex,
        width: usize,
        signed: bool,
        hint: &str,
    ) -> Result<Ex, Fault> {
        if width <= e.width {
            return self.slice(e, 0, width, hint);
        }
        if !signed {
            return Ok(e.with_sign(false).zero_extend(width));
        }
        let (own, more) = (e.width, width - e.width);
        if let Op::Lit(Lit(bits)) = &e.op {
            let mut bits = bits.clone();
            bits.resize(width, bits[own - 1]);
            return Ok(Ex::lit(Lit(bits), true));
        }
        let e = match e.op {
            Op::Net(_) | Op::Part(..) | Op::Cat(_) | Op::Repeat(_) => e,
            _ => {
                let net = self.as_net(e, hint)?;
                Ex {
                    op: Op::Net(net),
                    width: own,
                    signed: true,
                }
            }
        };
        let sign = self.slice(e.clone(), own - 1, 1, hint)?;
        let sign = if more == 1 {
            sign
        } else {
            Ex {
                op: Op::Repeat(Box::new(sign)),
                width: more,
                signed: false,
            }
        };
        Ok(Ex::cat(vec![sign, e]))
    }

    /// The expression as a net: itself, or a temporary computed before the present top-level statement.
    pub(super) fn as_net(&mut self, e: Ex, hint: &str) -> Result<NetId, Fault> {
        if let Op::Net(net) = e.op {
            return Ok(net);
        }
        let mut moved = None;
        e.reads(&|n| self.nets[n].width, &mut |n, _, _| {
            if self.nets[n].is_sequential() && self.written.contains(&n) {
                moved = Some(n);
            }
        });
        if let Some(n) = moved {
            return fault!(
                Unsupported,
                "near {hint}: a part of an expression that reads {} while it is being computed; put the expression into a Local",
                self.nets[n].rust_name()
            );
        }
        let net = self.nets.len();
        self.nets.push(Net {
            path: format!("{}$part", hint.replace('.', "$")),
            kind: NetKind::Temp,
            width: e.width,
            signed: e.signed,
            clock: false,
            init: Lit::zero(e.width),
        });
        self.pending.push(Stmt::Assign {
            net,
            lo: 0,
            value: e,
        });
        Ok(net)
    }
}

/// How many bits it takes to count to `n`; at least one.
fn bits_for(n: usize) -> usize {
    (usize::BITS - n.leading_zeros()).max(1) as usize
}
