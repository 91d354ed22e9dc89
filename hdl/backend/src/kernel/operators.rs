//! Expressions in the width that is asked for.

use super::types::Type;
use super::Elab;
use crate::error::{fault, Fault};
use crate::expr::{Bin, Cmp, Ex, Op, Reduce, Shift};
use crate::lit::Lit;
use rust_hdl_core::ast::{VerilogExpression as Ast, VerilogOp, VerilogOpUnary};

impl Elab {
    /// The expression in exactly `width` bits. `hint` names a temporary, should one be needed.
    pub(super) fn build(&mut self, ast: &Ast, width: usize, hint: &str) -> Result<Ex, Fault> {
        let ty = self.natural(ast)?;
        if let Some(w) = ty.width.filter(|w| *w != width) {
            return fault!(
                Width,
                "near {hint}: an expression of {w} bits stands where {width} are needed"
            );
        }
        let e = self.build_inner(ast, width, ty, hint)?;
        if e.width != width {
            return fault!(
                Width,
                "near {hint}: an expression of {} bits stands where {width} are needed",
                e.width
            );
        }
        Ok(e)
    }

    pub(super) fn build_inner(
        &mut self,
        ast: &Ast,
        width: usize,
        ty: Type,
        hint: &str,
    ) -> Result<Ex, Fault> {
        Ok(match ast {
            Ast::Signal(name) => self.name(name, width)?,
            Ast::Literal(l) => Ex::lit(Lit::from_ast(l, width)?, false),
            Ast::Paren(e) => self.build(e, width, hint)?,
            Ast::Cast(e, _) => {
                let t = self.natural(e)?;
                // `bits::<8>(5)`: a literal takes the cast's width.
                let Some(own) = t.width else {
                    return self.build(e, width, hint);
                };
                let inner = self.build(e, own, hint)?;
                self.resize(inner, width, t.signed, hint)?
                    .with_sign(t.signed)
            }
            Ast::Signed(e) => {
                let t = self.natural(e)?;
                if t.signed {
                    let own = self.own_width(e, "the argument of a signed_bit_cast")?;
                    let inner = self.build(e, own, hint)?;
                    self.resize(inner, width, true, hint)?.with_sign(true)
                } else {
                    self.build(e, width, hint)?.with_sign(true)
                }
            }
            Ast::Unsigned(e) => {
                let t = self.natural(e)?;
                if t.signed {
                    self.build(e, width, hint)?.with_sign(false)
                } else {
                    let own = self.own_width(e, "the argument of an unsigned_cast_zx")?;
                    let inner = self.build(e, own, hint)?;
                    self.resize(inner, width, false, hint)?
                }
            }
            Ast::Binary(l, op, r) => self.binary(l, op, r, width, ty, hint)?,
            Ast::Unary(op, e) => self.unary(op, e, width, hint)?,
            Ast::Index(e, at) => self.part(e, 1, at, true, hint)?.with_sign(false),
            Ast::Slice(e, w, at) => self.part(e, *w, at, false, hint)?.with_sign(ty.signed),
            Ast::IndexReplace(e, at, bit) => self.replace(e, at, bit, width, hint)?,
        })
    }

    pub(super) fn name(&mut self, name: &str, width: usize) -> Result<Ex, Fault> {
        if let Some(value) = self.loop_variable(name) {
            if value < 0 || (width < 127 && value >> width != 0) {
                return fault!(
                    Literal,
                    "the loop variable {name} = {value} does not fit {width} bits"
                );
            }
            return Ok(Ex::lit(Lit::from_u128(value as u128, width), false));
        }
        if let Some(e) = self.enums.iter().find(|e| e.name == name) {
            return Ok(Ex {
                op: Op::Name(e.name.clone(), e.value.clone()),
                width,
                signed: false,
            });
        }
        if name == "true" || name == "false" {
            return Ok(Ex::lit(Lit(vec![name == "true"]), false));
        }
        let net = self.net(name)?;
        Ok(Ex {
            op: Op::Net(net),
            width: self.nets[net].width,
            signed: self.nets[net].signed,
        })
    }

    pub(super) fn binary(
        &mut self,
        l: &Ast,
        op: &VerilogOp,
        r: &Ast,
        width: usize,
        ty: Type,
        hint: &str,
    ) -> Result<Ex, Fault> {
        let cmp = match op {
            VerilogOp::Eq => Some(Cmp::Eq),
            VerilogOp::Ne => Some(Cmp::Ne),
            VerilogOp::Lt => Some(Cmp::Lt),
            VerilogOp::Le => Some(Cmp::Le),
            VerilogOp::Gt => Some(Cmp::Gt),
            VerilogOp::Ge => Some(Cmp::Ge),
            _ => None,
        };
        if let Some(cmp) = cmp {
            let w = self.common(l, r, "a comparison")?;
            let signed = self.natural(l)?.signed || self.natural(r)?.signed;
            let l = self.build(l, w, hint)?.with_sign_if_literal(signed);
            let r = self.build(r, w, hint)?.with_sign_if_literal(signed);
            return Ok(Ex {
                op: Op::Cmp(cmp, signed, Box::new(l), Box::new(r)),
                width: 1,
                signed: false,
            });
        }
        match op {
            VerilogOp::Shl | VerilogOp::Shr => {
                let shift = match (op, ty.signed) {
                    (VerilogOp::Shl, _) => Shift::Left,
                    (_, false) => Shift::Right,
                    (_, true) => Shift::Arithmetic,
                };
                let l = self.build(l, width, hint)?;
                let by = match self.constant(r) {
                    Some(s) if s >= 0 => {
                        let bits = (i128::BITS - s.leading_zeros()).max(1) as usize;
                        Ex::lit(Lit::from_u128(s as u128, bits), false)
                    }
                    Some(s) => return fault!(Literal, "near {hint}: a shift by {s}"),
                    None => {
                        let w = self.own_width(r, "a shift amount")?;
                        self.build(r, w, hint)?
                    }
                };
                Ok(Ex::shift(shift, l, by))
            }
            VerilogOp::Mul => {
                let w = self.common(l, r, "a product")?;
                let (l, r) = (self.build(l, w, hint)?, self.build(r, w, hint)?);
                let (l, r) = (
                    self.resize(l, 2 * w, ty.signed, hint)?,
                    self.resize(r, 2 * w, ty.signed, hint)?,
                );
                Ok(Ex::bin(Bin::Mul, l, r).with_sign(ty.signed))
            }
            VerilogOp::LogicalAnd | VerilogOp::LogicalOr => {
                let (l, r) = (self.build(l, 1, hint)?, self.build(r, 1, hint)?);
                let op = if matches!(op, VerilogOp::LogicalAnd) {
                    Bin::LogicAnd
                } else {
                    Bin::LogicOr
                };
                Ok(Ex::bin(op, l, r))
            }
            _ => {
                // Bits<N> + bool is the one operator whose operands differ in width.
                let flag =
                    matches!(op, VerilogOp::Add) && self.natural(r)?.width == Some(1) && width != 1;
                let l = self.build(l, width, hint)?.with_sign_if_literal(ty.signed);
                let r = if flag {
                    self.build(r, 1, hint)?.zero_extend(width)
                } else {
                    self.build(r, width, hint)?.with_sign_if_literal(ty.signed)
                };
                let op = match op {
                    VerilogOp::Add => Bin::Add,
                    VerilogOp::Sub => Bin::Sub,
                    VerilogOp::BitAnd => Bin::And,
                    VerilogOp::BitOr => Bin::Or,
                    _ => Bin::Xor,
                };
                Ok(Ex::bin(op, l, r).with_sign(ty.signed))
            }
        }
    }

    pub(super) fn unary(
        &mut self,
        op: &VerilogOpUnary,
        e: &Ast,
        width: usize,
        hint: &str,
    ) -> Result<Ex, Fault> {
        let reduce = match op {
            VerilogOpUnary::Not => {
                let e = self.build(e, width, hint)?;
                return Ok(match e.op {
                    Op::Lit(lit) => Ex::lit(lit.not(), e.signed),
                    _ => e.not(),
                });
            }
            VerilogOpUnary::Neg => {
                let e = self.build(e, width, hint)?;
                return Ok(match e.op {
                    Op::Lit(lit) => Ex::lit(lit.neg(), true),
                    _ => Ex {
                        width,
                        signed: e.signed,
                        op: Op::Neg(Box::new(e)),
                    },
                });
            }
            VerilogOpUnary::All => Reduce::All,
            VerilogOpUnary::Any => Reduce::Any,
            VerilogOpUnary::Xor => Reduce::Xor,
        };
        let w = self.own_width(e, "the argument of a reduction")?;
        let e = self.build(e, w, hint)?;
        Ok(if w == 1 {
            e.with_sign(false)
        } else {
            Ex {
                op: Op::Reduce(reduce, Box::new(e)),
                width: 1,
                signed: false,
            }
        })
    }
}

impl Ex {
    fn with_sign_if_literal(self, signed: bool) -> Self {
        if matches!(self.op, Op::Lit(_)) {
            self.with_sign(signed)
        } else {
            self
        }
    }
}
