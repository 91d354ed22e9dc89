//! From a kernel's syntax tree to statements with widths: names resolved, loops unrolled, indices evaluated.
//!
//! How widths are found is in [`types`], how expressions are built in [`operators`] and [`parts`].

mod operators;
mod parts;
mod types;

use crate::error::{fault, Fault};
use crate::expr::{Ex, NetId, Op};
use crate::lit::Lit;
use crate::walk::{EnumValue, Kind, Node};
use rust_hdl_core::ast::{
    VerilogBlock, VerilogBlockOrConditional, VerilogConditional, VerilogExpression as Ast,
    VerilogLink, VerilogLoop, VerilogMatch, VerilogOp, VerilogStatement,
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
                    for i in range(l)? {
                        self.loops.push((l.index.clone(), i));
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
                for i in range(l)? {
                    self.loops.push((l.index.clone(), i));
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
}

/// The values of a loop's variable.
fn range(l: &VerilogLoop) -> Result<std::ops::Range<i128>, Fault> {
    match (Lit::small(&l.from), Lit::small(&l.to)) {
        (Some(from), Some(to)) => Ok(from..to),
        _ => fault!(
            Index,
            "the bounds of the loop over {} are too large",
            l.index
        ),
    }
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
