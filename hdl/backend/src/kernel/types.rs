//! Widths and signs of expressions.
//!
//! The tree has no types. They follow from the signals: Rust has checked that both operands of `+`, `==` and the like
//! have one width, so a literal takes its neighbour's. Casts are told apart by the sign of their argument:
//!
//! | Rust | tree | meaning |
//! |---|---|---|
//! | `signed_cast(Bits<N>)` | Signed(unsigned) | same bits |
//! | `unsigned_cast(Signed<N>)` | Unsigned(signed) | same bits |
//! | `signed_bit_cast_sx::<M, N>(Signed<N>)` | Signed(signed) | sign extension or truncation to the context's width |
//! | `unsigned_cast_zx::<M, N>(Bits<N>)` | Unsigned(unsigned) | zero extension or truncation to the context's width |
//! | `bit_cast::<M, N>(Bits<N>)` | Cast(unsigned, M) | zero extension or truncation |
//! | `bit_cast_sx::<M, N>(Signed<N>)` | Cast(signed, M) | sign extension or truncation |

use super::Elab;
use crate::error::{fault, Fault};
use crate::lit::Lit;
use rust_hdl_core::ast::{VerilogExpression as Ast, VerilogOp, VerilogOpUnary};

/// Width and sign as far as an expression alone tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type {
    pub width: Option<usize>,
    pub signed: bool,
}

impl Elab {
    pub(super) fn natural(&self, ast: &Ast) -> Result<Type, Fault> {
        let ty = |width, signed| Ok(Type { width, signed });
        match ast {
            Ast::Signal(name) => {
                if self.loop_variable(name).is_some() {
                    return ty(None, false);
                }
                if let Some(e) = self.enums.iter().find(|e| e.name == *name) {
                    return ty(Some(e.value.width()), false);
                }
                if name == "true" || name == "false" {
                    return ty(Some(1), false);
                }
                let net = &self.nets[self.net(name)?];
                ty(Some(net.width), net.signed)
            }
            Ast::Literal(l) => ty(Lit::is_bool(l).then_some(1), false),
            Ast::Cast(e, w) => ty(Some(*w), self.natural(e)?.signed),
            Ast::Signed(e) => {
                let t = self.natural(e)?;
                ty(if t.signed { None } else { t.width }, true)
            }
            Ast::Unsigned(e) => {
                let t = self.natural(e)?;
                ty(if t.signed { t.width } else { None }, false)
            }
            Ast::Paren(e) => self.natural(e),
            Ast::Binary(l, op, r) => match op {
                VerilogOp::LogicalAnd
                | VerilogOp::LogicalOr
                | VerilogOp::Eq
                | VerilogOp::Ne
                | VerilogOp::Lt
                | VerilogOp::Le
                | VerilogOp::Ge
                | VerilogOp::Gt => ty(Some(1), false),
                VerilogOp::Shl | VerilogOp::Shr => self.natural(l),
                VerilogOp::Mul => {
                    let (l, r) = (self.natural(l)?, self.natural(r)?);
                    ty(l.width.or(r.width).map(|w| 2 * w), l.signed || r.signed)
                }
                _ => {
                    let (l, r) = (self.natural(l)?, self.natural(r)?);
                    ty(l.width.or(r.width), l.signed || r.signed)
                }
            },
            Ast::Unary(VerilogOpUnary::Not | VerilogOpUnary::Neg, e) => self.natural(e),
            Ast::Unary(_, _) | Ast::Index(_, _) => ty(Some(1), false),
            Ast::Slice(e, w, _) => ty(Some(*w), self.natural(e)?.signed),
            Ast::IndexReplace(e, _, _) => self.natural(e),
        }
    }

    /// The width of an expression that nothing around it can tell.
    pub(super) fn own_width(&self, ast: &Ast, what: &str) -> Result<usize, Fault> {
        match self.natural(ast)?.width {
            Some(w) => Ok(w),
            None => fault!(
                Ambiguous,
                "the width of {what} is unknown; put it into a Local first"
            ),
        }
    }

    /// The common width of two operands.
    pub(super) fn common(&self, l: &Ast, r: &Ast, what: &str) -> Result<usize, Fault> {
        match self.natural(l)?.width.or(self.natural(r)?.width) {
            Some(w) => Ok(w),
            None => fault!(
                Ambiguous,
                "neither side of {what} has a known width; put one into a Local first"
            ),
        }
    }
}
