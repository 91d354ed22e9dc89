//! From a kernel's syntax tree to statements with widths: names resolved, loops unrolled, indices evaluated.
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

use crate::error::{fault, Fault};
use crate::expr::{Bin, Cmp, Ex, NetId, Op, Reduce, Shift};
use crate::lit::Lit;
use crate::walk::{EnumValue, Kind, Node};
use rust_hdl_core::ast::{
    VerilogBlock, VerilogBlockOrConditional, VerilogConditional, VerilogExpression as Ast,
    VerilogLink, VerilogMatch, VerilogOp, VerilogOpUnary, VerilogStatement,
};
use std::collections::HashMap;

/// What a name in a kernel stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetKind {
    In,
    Out,
    InOut,
    Local,
    Const,
    /// Input of a child instance.
    ChildIn(usize),
    /// Output of a child instance.
    ChildOut(usize),
    /// The ports of a child that is a register.
    RegD(usize),
    RegQ(usize),
    RegClock(usize),
    /// Part of an expression that Verilog needs a name for.
    Temp,
}

#[derive(Clone, Debug)]
pub(crate) struct Net {
    /// As in the tree: `a$0`, `child$port`.
    pub path: String,
    pub kind: NetKind,
    pub width: usize,
    pub signed: bool,
    pub clock: bool,
    pub init: Lit,
}

impl Net {
    /// As the designer wrote it.
    pub(crate) fn rust_name(&self) -> String {
        self.path.replace('$', ".")
    }

    /// Reads see the value of the moment, not the settled one.
    pub(crate) fn is_sequential(&self) -> bool {
        matches!(self.kind, NetKind::Local | NetKind::Out | NetKind::Temp)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Stmt {
    Assign {
        net: NetId,
        lo: usize,
        value: Ex,
    },
    If {
        test: Ex,
        then: Vec<Stmt>,
        other: Vec<Stmt>,
    },
    Case {
        test: Ex,
        arms: Vec<(Option<Ex>, Vec<Stmt>)>,
    },
    /// The text, and which comment of the source it is (loops repeat it).
    Comment(String, usize),
}

/// A module's kernel, elaborated.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub nets: Vec<Net>,
    pub body: Vec<Stmt>,
    /// The name given by a leading `comment!("name")`.
    pub name: Option<String>,
    /// The nets of each child that is a register.
    pub registers: HashMap<usize, Register>,
}

/// The three nets of a register.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Register {
    pub d: NetId,
    pub q: NetId,
    pub clock: NetId,
}

/// Width and sign as far as an expression alone tells.
#[derive(Clone, Copy, Debug)]
struct Type {
    width: Option<usize>,
    signed: bool,
}

struct Elab {
    nets: Vec<Net>,
    by_path: HashMap<String, NetId>,
    enums: Vec<EnumValue>,
    loops: Vec<(String, i128)>,
    /// Statements to go before the present top-level statement.
    pending: Vec<Stmt>,
    /// Nets written so far within the present top-level statement.
    written: Vec<NetId>,
}

/// Elaborates the kernel of `node`.
pub(crate) fn elaborate(node: &Node, block: &VerilogBlock) -> Result<Kernel, Fault> {
    let mut elab = Elab::new(node);
    let mut name = None;
    let mut block = &block[..];
    if let Some((VerilogStatement::Comment(text), rest)) = block.split_first() {
        if crate::names::is_identifier(comment_text(text)) {
            name = Some(comment_text(text).to_string());
            block = rest;
        }
    }
    let mut body = Vec::new();
    elab.top(block, &mut body)?;
    let mut registers: HashMap<usize, Register> = HashMap::new();
    for (n, net) in elab.nets.iter().enumerate() {
        match net.kind {
            NetKind::RegD(c) => registers.entry(c).or_default().d = n,
            NetKind::RegQ(c) => registers.entry(c).or_default().q = n,
            NetKind::RegClock(c) => registers.entry(c).or_default().clock = n,
            _ => {}
        }
    }
    Ok(Kernel {
        nets: elab.nets,
        body,
        name,
        registers,
    })
}

impl Elab {
    fn new(node: &Node) -> Self {
        let mut elab = Elab {
            nets: Vec::new(),
            by_path: HashMap::new(),
            enums: node.enums.clone(),
            loops: Vec::new(),
            pending: Vec::new(),
            written: Vec::new(),
        };
        for s in &node.signals {
            let kind = match s.kind {
                Kind::In => NetKind::In,
                Kind::Out => NetKind::Out,
                Kind::InOut => NetKind::InOut,
                Kind::Local => NetKind::Local,
                Kind::Const => NetKind::Const,
            };
            elab.add(s.path.clone(), kind, s);
        }
        for (c, child) in node.children.iter().enumerate() {
            elab.enums.extend(child.enums.iter().cloned());
            let register = child.register().is_some();
            for s in child.ports() {
                let kind = match (register, s.kind, s.path.as_str()) {
                    (true, _, "d") => NetKind::RegD(c),
                    (true, _, "q") => NetKind::RegQ(c),
                    (true, _, _) => NetKind::RegClock(c),
                    (false, Kind::In, _) => NetKind::ChildIn(c),
                    (false, _, _) => NetKind::ChildOut(c),
                };
                elab.add(format!("{}${}", child.field, s.path), kind, s);
            }
        }
        elab
    }

    fn add(&mut self, path: String, kind: NetKind, s: &crate::walk::Signal) {
        self.by_path.insert(path.clone(), self.nets.len());
        self.nets.push(Net {
            path,
            kind,
            width: s.width,
            signed: s.signed,
            clock: s.clock,
            init: s.init.clone(),
        });
    }

    /// Statements of the outermost level, loops and macros opened up: temporaries go between them.
    fn top(&mut self, block: &[VerilogStatement], out: &mut Vec<Stmt>) -> Result<(), Fault> {
        for statement in block {
            match statement {
                VerilogStatement::Macro(inner) => self.top(inner, out)?,
                VerilogStatement::Loop(l) => {
                    for i in l.from.as_usize()..l.to.as_usize() {
                        self.loops.push((l.index.clone(), i as i128));
                        self.top(&l.block, out)?;
                        self.loops.pop();
                    }
                }
                _ => {
                    self.written.clear();
                    let mut one = Vec::new();
                    self.statement(statement, &mut one)?;
                    out.append(&mut self.pending);
                    out.append(&mut one);
                }
            }
        }
        Ok(())
    }

    fn block(&mut self, block: &[VerilogStatement]) -> Result<Vec<Stmt>, Fault> {
        let mut out = Vec::new();
        for statement in block {
            self.statement(statement, &mut out)?;
        }
        Ok(out)
    }

    fn statement(
        &mut self,
        statement: &VerilogStatement,
        out: &mut Vec<Stmt>,
    ) -> Result<(), Fault> {
        match statement {
            VerilogStatement::Assignment(target, value) => {
                let net = self.target(target)?;
                let (width, name) = (self.nets[net].width, self.nets[net].rust_name());
                let value = self.build(value, width, &name)?;
                self.written.push(net);
                out.push(Stmt::Assign { net, lo: 0, value });
            }
            VerilogStatement::SliceAssignment {
                base,
                width,
                offset,
                replacement,
            } => {
                let net = self.target(base)?;
                let name = self.nets[net].rust_name();
                let lo = match self.constant(offset) {
                    Some(lo) if lo >= 0 && lo as usize + width <= self.nets[net].width => {
                        lo as usize
                    }
                    _ => return fault!(Index, "a field assignment to {name} is outside of it"),
                };
                let value = self.build(replacement, *width, &name)?;
                self.written.push(net);
                out.push(Stmt::Assign { net, lo, value });
            }
            VerilogStatement::If(c) => out.push(self.conditional(c)?),
            VerilogStatement::Match(m) => out.push(self.case(m)?),
            VerilogStatement::Loop(l) => {
                for i in l.from.as_usize()..l.to.as_usize() {
                    self.loops.push((l.index.clone(), i as i128));
                    let inner = self.block(&l.block)?;
                    self.loops.pop();
                    out.extend(inner);
                }
            }
            VerilogStatement::Comment(text) => {
                out.push(Stmt::Comment(
                    comment_text(text).to_string(),
                    std::ptr::from_ref(statement) as usize,
                ));
            }
            VerilogStatement::Link(links) => {
                for link in links {
                    out.push(self.link(link)?);
                }
            }
            VerilogStatement::Macro(inner) => {
                let inner = self.block(inner)?;
                out.extend(inner);
            }
        }
        Ok(())
    }

    fn conditional(&mut self, c: &VerilogConditional) -> Result<Stmt, Fault> {
        let test = self.build(&c.test, 1, "cond")?;
        let then = self.block(&c.then)?;
        let other = match &c.otherwise {
            VerilogBlockOrConditional::Block(b) => self.block(b)?,
            VerilogBlockOrConditional::Conditional(s) => self.block(std::slice::from_ref(s))?,
            VerilogBlockOrConditional::None => Vec::new(),
        };
        Ok(Stmt::If { test, then, other })
    }

    fn case(&mut self, m: &VerilogMatch) -> Result<Stmt, Fault> {
        let Some(width) = self.natural(&m.test)?.width else {
            return fault!(
                Ambiguous,
                "the width of a match value is unknown; put it into a Local first"
            );
        };
        let test = self.build(&m.test, width, "case")?;
        let mut arms = Vec::new();
        for case in &m.cases {
            let label = self.label(case.condition.trim(), width)?;
            let default = label.is_none();
            arms.push((label, self.block(&case.block)?));
            if default {
                break;
            }
        }
        // Rust has checked that the patterns are exhaustive, so the last one may as well catch the codes without name.
        if let Some((label, _)) = arms.last_mut() {
            *label = None;
        }
        Ok(Stmt::Case { test, arms })
    }

    fn label(&self, text: &str, width: usize) -> Result<Option<Ex>, Fault> {
        if text == "default" {
            return Ok(None);
        }
        if let Some(e) = self.enums.iter().find(|e| e.name == text) {
            return Ok(Some(Ex {
                op: Op::Name(e.name.clone(), e.value.clone()),
                width,
                signed: false,
            }));
        }
        let value = match text {
            "true" => Some(1),
            "false" => Some(0),
            _ => parse_int(text),
        };
        match value {
            Some(v) if v >= 0 && (width >= 127 || v >> width == 0) => {
                Ok(Some(Ex::lit(Lit::from_u128(v as u128, width), false)))
            }
            Some(v) => fault!(Literal, "the match pattern {v} does not fit {width} bits"),
            None => fault!(
                UnknownName,
                "the match pattern {text} is neither a number nor an enum value of a signal here"
            ),
        }
    }

    fn link(&mut self, link: &VerilogLink) -> Result<Stmt, Fault> {
        let (details, forward) = match link {
            VerilogLink::Forward(d) => (d, true),
            VerilogLink::Backward(d) => (d, false),
            VerilogLink::Bidirectional(d) => {
                return fault!(
                    Unsupported,
                    "the link of {} is bidirectional; tri-states belong into a wrapper",
                    d.my_name
                )
            }
        };
        let my = details.my_name.trim_start_matches('.').replace('.', "$");
        let end = |base: &str| {
            if my.is_empty() {
                base.to_string()
            } else {
                format!("{base}${my}")
            }
        };
        let (owner, other) = (end(&details.owner_name), end(&details.other_name));
        let (to, from) = if forward {
            (other, owner)
        } else {
            (owner, other)
        };
        let (to, from) = (self.net(&to)?, self.net(&from)?);
        self.writable(to)?;
        let (a, b) = (&self.nets[to], &self.nets[from]);
        if a.width != b.width {
            return fault!(
                Width,
                "the link from {} to {} joins {} and {} bits",
                b.path,
                a.path,
                b.width,
                a.width
            );
        }
        Ok(Stmt::Assign {
            net: to,
            lo: 0,
            value: Ex {
                op: Op::Net(from),
                width: b.width,
                signed: b.signed,
            },
        })
    }

    // Names and indices ------------------------------------------------------------------------------------------

    fn loop_variable(&self, name: &str) -> Option<i128> {
        self.loops
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, v)| *v)
    }

    /// `x[2*i+1]$d$next` with i = 3 becomes `x$7$d`.
    fn resolve(&self, text: &str) -> Result<String, Fault> {
        let mut out = String::new();
        let mut rest = text.strip_suffix("$next").unwrap_or(text);
        while let Some((before, after)) = rest.split_once('[') {
            let Some((index, after)) = after.split_once(']') else {
                return fault!(Index, "the index in {text} is not closed");
            };
            let value =
                crate::index::evaluate(index, &|name| self.loop_variable(name)).map_err(|e| {
                    Fault(
                        crate::error::ErrorKind::Index,
                        format!("the index [{index}] in {}: {e}", text.replace('$', ".")),
                    )
                })?;
            out += before;
            out += &format!("${value}");
            rest = after;
        }
        Ok(out + rest)
    }

    fn net(&self, text: &str) -> Result<NetId, Fault> {
        let path = self.resolve(text)?;
        match self.by_path.get(&path) {
            Some(&net) => Ok(net),
            None => fault!(
                UnknownName,
                "the name {} is no signal here (a const generic as a value goes into a Constant field)",
                path.replace('$', ".")
            ),
        }
    }

    fn target(&self, target: &Ast) -> Result<NetId, Fault> {
        match target {
            Ast::Signal(name) => {
                let net = self.net(name)?;
                self.writable(net)?;
                Ok(net)
            }
            Ast::Paren(inner) => self.target(inner),
            _ => fault!(Unsupported, "an assignment to an expression"),
        }
    }

    fn writable(&self, net: NetId) -> Result<(), Fault> {
        let n = &self.nets[net];
        let name = n.rust_name();
        match n.kind {
            NetKind::In => fault!(
                Driver,
                "the input {name} is assigned inside the module; only the parent may drive it"
            ),
            NetKind::ChildOut(_) | NetKind::RegQ(_) => {
                fault!(
                    Driver,
                    "the output {name} of a child is assigned by its parent, so it has two drivers"
                )
            }
            NetKind::InOut => fault!(
                Unsupported,
                "the inout {name} is assigned; tri-states belong into a wrapper"
            ),
            _ => Ok(()),
        }
    }

    /// The value of an expression of literals, loop variables and constants.
    fn constant(&self, ast: &Ast) -> Option<i128> {
        match ast {
            Ast::Literal(l) => Lit::small(l),
            Ast::Signal(name) => self.loop_variable(name).or_else(|| {
                let net = &self.nets[self.net(name).ok()?];
                (net.kind == NetKind::Const)
                    .then(|| net.init.to_u128())?
                    .map(|v| v as i128)
            }),
            Ast::Paren(e) => self.constant(e),
            Ast::Cast(e, _) => self.constant(e),
            Ast::Binary(l, op, r) => {
                let (l, r) = (self.constant(l)?, self.constant(r)?);
                match op {
                    VerilogOp::Add => l.checked_add(r),
                    VerilogOp::Sub => l.checked_sub(r),
                    VerilogOp::Mul => l.checked_mul(r),
                    VerilogOp::Shl => l.checked_shl(u32::try_from(r).ok()?),
                    VerilogOp::Shr => l.checked_shr(u32::try_from(r).ok()?),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    // Types ------------------------------------------------------------------------------------------------------

    fn natural(&self, ast: &Ast) -> Result<Type, Fault> {
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
    fn own_width(&self, ast: &Ast, what: &str) -> Result<usize, Fault> {
        match self.natural(ast)?.width {
            Some(w) => Ok(w),
            None => fault!(
                Ambiguous,
                "the width of {what} is unknown; put it into a Local first"
            ),
        }
    }

    /// The common width of two operands.
    fn common(&self, l: &Ast, r: &Ast, what: &str) -> Result<usize, Fault> {
        match self.natural(l)?.width.or(self.natural(r)?.width) {
            Some(w) => Ok(w),
            None => fault!(
                Ambiguous,
                "neither side of {what} has a known width; put one into a Local first"
            ),
        }
    }

    // Expressions ------------------------------------------------------------------------------------------------

    /// The expression in exactly `width` bits. `hint` names a temporary, should one be needed.
    fn build(&mut self, ast: &Ast, width: usize, hint: &str) -> Result<Ex, Fault> {
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

    fn build_inner(&mut self, ast: &Ast, width: usize, ty: Type, hint: &str) -> Result<Ex, Fault> {
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

    fn name(&mut self, name: &str, width: usize) -> Result<Ex, Fault> {
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

    fn binary(
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

    fn unary(
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

    /// `get_bits::<width>(at)`: as in Rust, bits above the top of the value are zero.
    fn part(
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
    fn offset(&mut self, at: &Ast, bits: usize, hint: &str) -> Result<(Ex, u128, bool), Fault> {
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

    fn replace(
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

    // Widths -----------------------------------------------------------------------------------------------------

    fn slice(&mut self, e: Ex, lo: usize, width: usize, hint: &str) -> Result<Ex, Fault> {
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

    fn resize(&mut self, e: Ex, width: usize, signed: bool, hint: &str) -> Result<Ex, Fault> {
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
    fn as_net(&mut self, e: Ex, hint: &str) -> Result<NetId, Fault> {
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

impl Ex {
    fn with_sign_if_literal(self, signed: bool) -> Self {
        if matches!(self.op, Op::Lit(_)) {
            self.with_sign(signed)
        } else {
            self
        }
    }
}

/// How many bits it takes to count to `n`; at least one.
fn bits_for(n: usize) -> usize {
    (usize::BITS - n.leading_zeros()).max(1) as usize
}

/// What was written between the quotes of `comment!("..")`; the macro hands over the invocation as tokens.
fn comment_text(text: &str) -> &str {
    let inner = text.split_once("! (\"").map_or(text, |(_, rest)| rest);
    inner.strip_suffix("\")").unwrap_or(inner).trim()
}

/// A Rust integer literal: `12`, `0x1f`, `0b1_0`, `3_usize`.
pub(crate) fn parse_int(text: &str) -> Option<i128> {
    let text = text.replace('_', "");
    let text = ["usize", "u64", "u32", "u16", "u8", "i64", "i32"]
        .iter()
        .fold(text.as_str(), |t, s| {
            // `0xab8u8`: a suffix is only what is left of a valid number.
            t.strip_suffix(s).unwrap_or(t)
        });
    if let Some(hex) = text.strip_prefix("0x") {
        i128::from_str_radix(hex, 16).ok()
    } else if let Some(bin) = text.strip_prefix("0b") {
        i128::from_str_radix(bin, 2).ok()
    } else {
        text.parse().ok()
    }
}
