//! Expressions and statements as text.

use crate::expr::{Bin, Cmp, Ex, NetId, Op, Reduce, Shift};
use crate::kernel::{Net, Stmt};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};

/// What the printer needs to know of a module.
pub(crate) struct Printer<'a> {
    pub nets: &'a [Net],
    /// Verilog names, by net.
    pub names: &'a [String],
    /// Verilog names of enum values, by `State$Idle`.
    pub enum_names: &'a dyn Fn(&str) -> String,
    /// Enum values that were printed.
    pub enums_used: RefCell<BTreeSet<String>>,
    /// Comments already printed.
    pub comments: RefCell<HashSet<usize>>,
}

fn bin_text(op: Bin) -> &'static str {
    match op {
        Bin::Add => "+",
        Bin::Sub => "-",
        Bin::Mul => "*",
        Bin::And => "&",
        Bin::Or => "|",
        Bin::Xor => "^",
        Bin::LogicAnd => "&&",
        Bin::LogicOr => "||",
    }
}

impl Printer<'_> {
    /// A declared range with a trailing blank, empty for one bit.
    pub(crate) fn range(width: usize) -> String {
        if width == 1 {
            String::new()
        } else {
            format!("[{}:0] ", width - 1)
        }
    }

    fn bits(&self, net: NetId, lo: usize, width: usize) -> String {
        let name = &self.names[net];
        if self.nets[net].width == 1 || (lo == 0 && width == self.nets[net].width) {
            name.clone()
        } else if width == 1 {
            format!("{name}[{lo}]")
        } else {
            format!("{name}[{}:{lo}]", lo + width - 1)
        }
    }

    /// Whether Verilog takes the printed form as signed.
    fn verilog_signed(&self, e: &Ex) -> bool {
        match &e.op {
            Op::Net(n) => self.nets[*n].signed,
            Op::Lit(_) => e.signed,
            Op::Not(e) | Op::Neg(e) => self.verilog_signed(e),
            Op::Bin(Bin::LogicAnd | Bin::LogicOr, ..) => false,
            Op::Bin(_, l, r) => self.verilog_signed(l) && self.verilog_signed(r),
            Op::Shift(Shift::Arithmetic, ..) => true,
            Op::Shift(_, l, _) => self.verilog_signed(l),
            _ => false,
        }
    }

    fn signed(&self, e: &Ex) -> String {
        if self.verilog_signed(e) {
            self.operand(e)
        } else {
            format!("$signed({})", self.expr(e))
        }
    }

    fn is_atom(e: &Ex) -> bool {
        !matches!(
            e.op,
            Op::Bin(..) | Op::Cmp(..) | Op::Shift(Shift::Left | Shift::Right, ..)
        )
    }

    fn operand(&self, e: &Ex) -> String {
        if Self::is_atom(e) {
            self.expr(e)
        } else {
            format!("({})", self.expr(e))
        }
    }

    /// An operand of `op`, without parentheses where every reader knows the precedence.
    fn operand_of(&self, op: Bin, e: &Ex) -> String {
        let plain = match &e.op {
            Op::Bin(inner, ..) => *inner == op && !matches!(op, Bin::Sub | Bin::Mul),
            Op::Cmp(..) => matches!(op, Bin::LogicAnd | Bin::LogicOr),
            _ => false,
        };
        if plain {
            self.expr(e)
        } else {
            self.operand(e)
        }
    }

    pub(crate) fn expr(&self, e: &Ex) -> String {
        match &e.op {
            Op::Net(n) => self.names[*n].clone(),
            Op::Name(name, _) => {
                self.enums_used.borrow_mut().insert(name.clone());
                (self.enum_names)(name)
            }
            Op::Lit(lit) => lit.verilog(e.signed),
            Op::Part(n, lo) => self.bits(*n, *lo, e.width),
            Op::Dynamic(n, at) if e.width == 1 => format!("{}[{}]", self.names[*n], self.expr(at)),
            Op::Dynamic(n, at) => {
                format!("{}[{} +: {}]", self.names[*n], self.operand(at), e.width)
            }
            Op::Cat(parts) => {
                format!(
                    "{{{}}}",
                    parts
                        .iter()
                        .map(|p| self.expr(p))
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            }
            Op::Repeat(bit) => format!("{{{}{{{}}}}}", e.width, self.expr(bit)),
            Op::Not(inner) if e.width == 1 => format!("!{}", self.operand(inner)),
            Op::Not(inner) => format!("~{}", self.unary_operand(inner)),
            Op::Neg(inner) => format!("-{}", self.unary_operand(inner)),
            Op::Bin(op, l, r) => {
                // a - (b + c) keeps its parentheses; a - b + c needs none.
                let left_chain = matches!(
                    (op, &l.op),
                    (Bin::Add | Bin::Sub, Op::Bin(Bin::Add | Bin::Sub, ..))
                );
                let l = if left_chain {
                    self.expr(l)
                } else {
                    self.operand_of(*op, l)
                };
                format!("{l} {} {}", bin_text(*op), self.operand_of(*op, r))
            }
            Op::Cmp(op, signed, l, r) => {
                let op = match op {
                    Cmp::Eq => "==",
                    Cmp::Ne => "!=",
                    Cmp::Lt => "<",
                    Cmp::Le => "<=",
                    Cmp::Gt => ">",
                    Cmp::Ge => ">=",
                };
                let order = !matches!(op, "==" | "!=");
                if *signed && order {
                    format!("{} {op} {}", self.signed(l), self.signed(r))
                } else if order && self.verilog_signed(l) && self.verilog_signed(r) {
                    // Numbers cast to unsigned; one unsigned side makes the comparison so.
                    format!("$unsigned({}) {op} {}", self.expr(l), self.operand(r))
                } else {
                    format!("{} {op} {}", self.operand(l), self.operand(r))
                }
            }
            // $signed() shields the shift from an unsigned neighbour, which would turn it into a logical one.
            Op::Shift(Shift::Arithmetic, l, by) => {
                format!("$signed({} >>> {})", self.signed(l), self.amount(by))
            }
            Op::Shift(Shift::Left, l, by) => format!("{} << {}", self.operand(l), self.amount(by)),
            Op::Shift(Shift::Right, l, by) => {
                format!("{} >> {}", self.operand(l), self.amount(by))
            }
            Op::Reduce(op, inner) => {
                let op = match op {
                    Reduce::All => "&",
                    Reduce::Any => "|",
                    Reduce::Xor => "^",
                };
                format!("({op}{})", self.unary_operand(inner))
            }
        }
    }

    /// A shift amount; it has no part in the width, so a constant one needs no size.
    fn amount(&self, e: &Ex) -> String {
        match &e.op {
            Op::Lit(lit) => match lit.to_u128() {
                Some(v) if v < 1 << 31 => v.to_string(),
                _ => self.expr(e),
            },
            _ => self.operand(e),
        }
    }

    /// `- -x` and `~ &x` are better with parentheses.
    fn unary_operand(&self, e: &Ex) -> String {
        match e.op {
            Op::Not(_) | Op::Neg(_) => format!("({})", self.expr(e)),
            _ => self.operand(e),
        }
    }

    /// A condition on its own.
    pub(crate) fn inverted(&self, e: &Ex) -> String {
        match &e.op {
            Op::Not(inner) => self.expr(inner),
            _ => format!("!{}", self.operand(e)),
        }
    }

    /// The statements of `block` that assign nets which `wanted` accepts. `arrow` is `=` or `<=`, `name` the left side.
    pub(crate) fn block<'s>(
        &self,
        block: impl IntoIterator<Item = &'s Stmt>,
        style: &Style,
        indent: usize,
        out: &mut String,
    ) {
        let pad = "    ".repeat(indent);
        let mut comments: Vec<&Stmt> = Vec::new();
        for stmt in block {
            if matches!(stmt, Stmt::Comment(..)) {
                comments.push(stmt);
                continue;
            }
            if !style.touches(std::slice::from_ref(stmt)) {
                comments.clear();
                continue;
            }
            for comment in comments.drain(..) {
                if let Stmt::Comment(text, id) = comment {
                    if self.comments.borrow_mut().insert(*id) {
                        *out += &format!("{pad}// {text}\n");
                    }
                }
            }
            self.statement(stmt, style, indent, out);
        }
    }

    fn statement(&self, stmt: &Stmt, style: &Style, indent: usize, out: &mut String) {
        let pad = "    ".repeat(indent);
        match stmt {
            Stmt::Assign { net, lo, value } => {
                let target = (style.name)(*net);
                let whole = *lo == 0 && value.width == self.nets[*net].width;
                let range = match value.width {
                    _ if whole => String::new(),
                    1 => format!("[{lo}]"),
                    w => format!("[{}:{lo}]", lo + w - 1),
                };
                *out += &format!(
                    "{pad}{target}{range} {} {};\n",
                    style.arrow,
                    self.expr(value)
                );
            }
            Stmt::If { test, then, other } => {
                let (t, o) = (style.touches(then), style.touches(other));
                if t {
                    *out += &format!("{pad}if ({})", self.expr(test));
                    self.nested(then, style, indent, out);
                } else {
                    *out += &format!("{pad}if ({})", self.inverted(test));
                    self.nested(other, style, indent, out);
                }
                if t && o {
                    *out += &format!("{pad}else");
                    // else if
                    let wanted: Vec<&Stmt> = other
                        .iter()
                        .filter(|s| style.touches(std::slice::from_ref(s)))
                        .collect();
                    if let [inner @ Stmt::If { .. }] = wanted[..] {
                        let mut text = String::new();
                        self.statement(inner, style, indent, &mut text);
                        *out += &format!(" {}", text.trim_start());
                    } else {
                        self.nested(other, style, indent, out);
                    }
                }
            }
            Stmt::Case { test, arms } => {
                *out += &format!("{pad}case ({})\n", self.expr(test));
                for (label, block) in arms {
                    let label = label
                        .as_ref()
                        .map_or("default".to_string(), |l| self.expr(l));
                    *out += &format!("{pad}    {label}:");
                    if style.touches(block) {
                        self.nested(block, style, indent + 1, out);
                    } else {
                        *out += " ;\n";
                    }
                }
                *out += &format!("{pad}endcase\n");
            }
            Stmt::Comment(..) => {}
        }
    }

    /// A block after `if (..)`, `else` or a label: on the same line if it is one assignment.
    fn nested(&self, block: &[Stmt], style: &Style, indent: usize, out: &mut String) {
        let wanted: Vec<&Stmt> = block
            .iter()
            .filter(|s| style.touches(std::slice::from_ref(s)))
            .collect();
        let comments = block
            .iter()
            .any(|s| matches!(s, Stmt::Comment(_, id) if !self.comments.borrow().contains(id)));
        if let ([one @ Stmt::Assign { .. }], false) = (&wanted[..], comments) {
            let mut text = String::new();
            self.statement(one, style, 0, &mut text);
            *out += &format!(" {text}");
        } else {
            *out += " begin\n";
            self.block(block, style, indent + 1, out);
            *out += &format!("{}end\n", "    ".repeat(indent));
        }
    }
}

/// How assignments of one block are printed, and which.
pub(crate) struct Style<'a> {
    pub arrow: &'static str,
    pub wanted: &'a dyn Fn(NetId) -> bool,
    pub name: &'a dyn Fn(NetId) -> String,
}

impl Style<'_> {
    fn touches(&self, block: &[Stmt]) -> bool {
        block.iter().any(|stmt| match stmt {
            Stmt::Assign { net, .. } => (self.wanted)(*net),
            Stmt::If { then, other, .. } => self.touches(then) || self.touches(other),
            Stmt::Case { arms, .. } => arms.iter().any(|(_, b)| self.touches(b)),
            Stmt::Comment(..) => false,
        })
    }
}
