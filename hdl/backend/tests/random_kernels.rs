//! Random kernels: trees such as the macro makes, evaluated by the plain interpreter below and, as Verilog, by
//! Verilator. Covers what nobody thinks of writing down: widths, signs and precedence in any nesting; locals that are
//! overwritten and read in between; registers and outputs assigned under any conditions.

use ast::{
    VerilogBlock, VerilogBlockOrConditional, VerilogCase, VerilogConditional,
    VerilogExpression as Ast, VerilogMatch, VerilogOp, VerilogOpUnary, VerilogStatement,
};
use backend::bench::{Bench, Random};
use backend::{emit, ErrorKind, Header};
use leaf::prelude::*;
use std::collections::BTreeMap;

const SEED: u64 = 0xf0_22_ed;
const KERNELS: u64 = 40;
const STEPS: usize = 60;

/// A typed expression: what Rust's compiler would know of it.
#[derive(Clone, Debug)]
struct Tree {
    width: usize,
    signed: bool,
    node: Node,
}

#[derive(Clone, Debug)]
enum Node {
    Signal(&'static str),
    /// A bare literal, typed by its neighbour.
    Literal(u64),
    /// `bits::<N>(literal)`.
    Sized(u64),
    Bin(VerilogOp, Box<Tree>, Box<Tree>),
    Un(VerilogOpUnary, Box<Tree>),
    BitCast(Box<Tree>),
    /// `signed_cast`, `signed_bit_cast_sx`.
    Signed(Box<Tree>),
    /// `unsigned_cast`, `unsigned_cast_zx`.
    Unsigned(Box<Tree>),
    Part(Box<Tree>, Box<Tree>, u64),
    Bit(Box<Tree>, Box<Tree>),
    Replace(Box<Tree>, Box<Tree>, Box<Tree>),
}

/// Name, width, sign of what may be read.
const SIGNALS: [(&str, usize, bool); 15] = [
    ("a", 8, false),
    ("b", 8, false),
    ("w", 24, false),
    ("x", 1, false),
    ("c", 8, true),
    ("t[0]", 8, false),
    ("t[1]", 8, false),
    ("t[2]", 8, false),
    ("y[0]", 8, false),
    ("y[1]", 8, false),
    ("s", 8, true),
    ("r[0]$q", 8, false),
    ("r[1]$q", 8, false),
    ("k", 3, false),
    ("n$q", 8, true),
];

/// Name and sign of what may be written, all 8 bits.
const TARGETS: [(&str, bool); 9] = [
    ("t[0]", false),
    ("t[1]", false),
    ("t[2]", false),
    ("y[0]", false),
    ("y[1]", false),
    ("s", true),
    ("r[0]$d", false),
    ("r[1]$d", false),
    ("n$d", true),
];

struct Maker {
    random: Random,
}

impl Maker {
    fn below(&mut self, n: u64) -> u64 {
        self.random.below(n)
    }

    fn signal(&mut self, width: usize, signed: bool) -> Option<Tree> {
        let fit: Vec<_> = SIGNALS
            .iter()
            .filter(|s| s.1 == width && s.2 == signed)
            .collect();
        let pick = self.below(fit.len().max(1) as u64) as usize;
        fit.get(pick).map(|s| Tree {
            width,
            signed,
            node: Node::Signal(s.0),
        })
    }

    fn tree(width: usize, signed: bool, node: Node) -> Tree {
        Tree {
            width,
            signed,
            node,
        }
    }

    fn any_width(&mut self) -> usize {
        [1, 3, 5, 8, 8, 12, 17, 24][self.below(8) as usize]
    }

    /// `definite`: nothing around the expression tells its width.
    fn expr(&mut self, width: usize, signed: bool, depth: u32, definite: bool) -> Tree {
        if depth == 0 || self.below(6) == 0 {
            if let Some(signal) = self.signal(width, signed) {
                return signal;
            }
            let (w, s) = if signed {
                (8, true)
            } else {
                ([8, 24, 3][self.below(3) as usize], false)
            };
            let inner = self
                .signal(w, s)
                .expect("there are signals of these widths");
            return Self::tree(width, signed, Node::BitCast(Box::new(inner)));
        }
        let d = depth - 1;
        match self.below(if width == 1 && !signed { 16 } else { 11 }) {
            0..=3 => {
                use VerilogOp::{Add, BitAnd, BitOr, BitXor, Sub};
                let op = if signed { self.below(2) } else { self.below(5) };
                let op = [Add, Sub, BitAnd, BitOr, BitXor][op as usize].clone();
                let l = self.expr(width, signed, d, definite);
                let r = self.operand(width, signed, d);
                Self::tree(width, signed, Node::Bin(op, Box::new(l), Box::new(r)))
            }
            4 => {
                let e = self.expr(width, signed, d, definite);
                let op = if signed {
                    VerilogOpUnary::Neg
                } else {
                    VerilogOpUnary::Not
                };
                Self::tree(width, signed, Node::Un(op, Box::new(e)))
            }
            5 => {
                let w = self.any_width();
                let e = self.expr(w, signed, d, true);
                Self::tree(width, signed, Node::BitCast(Box::new(e)))
            }
            6 => {
                let e = self.expr(width, !signed, d, definite);
                let node = if signed {
                    Node::Signed(Box::new(e))
                } else {
                    Node::Unsigned(Box::new(e))
                };
                Self::tree(width, signed, node)
            }
            7 if !definite => {
                let w = self.any_width();
                let e = self.expr(w, signed, d, true);
                let node = if signed {
                    Node::Signed(Box::new(e))
                } else {
                    Node::Unsigned(Box::new(e))
                };
                Self::tree(width, signed, node)
            }
            8 if !signed => {
                let op = if self.below(2) == 0 {
                    VerilogOp::Shl
                } else {
                    VerilogOp::Shr
                };
                let l = self.expr(width, false, d, definite);
                let r = if self.below(2) == 0 {
                    Self::tree(8, false, Node::Literal(self.random.below(width as u64 + 2)))
                } else {
                    self.expr(3, false, d.min(1), true)
                };
                Self::tree(width, false, Node::Bin(op, Box::new(l), Box::new(r)))
            }
            9 if !signed && width > 1 => {
                let e = self.expr(width, false, d, definite);
                let at = if self.below(2) == 0 || width < 8 {
                    Self::tree(8, false, Node::Literal(self.random.below(width as u64)))
                } else {
                    self.offset()
                };
                let bit = self.expr(1, false, d, false);
                Self::tree(
                    width,
                    false,
                    Node::Replace(Box::new(e), Box::new(at), Box::new(bit)),
                )
            }
            7..=10 => {
                // A part of something wider, from a constant, a signal or a signal times a constant.
                let whole = [24, 12, 17][self.below(3) as usize].max(width);
                let e = self.expr(whole, signed, d, true);
                let (at, times) = match self.below(3) {
                    0 => (
                        Self::tree(8, false, Node::Literal(self.random.below(whole as u64))),
                        1,
                    ),
                    1 => (self.offset(), 1),
                    _ => (self.offset(), 1 + self.below(3)),
                };
                let at_most = if matches!(at.node, Node::Literal(_)) {
                    0
                } else {
                    7 * times as usize
                };
                let times = if at_most > whole { 1 } else { times };
                Self::tree(width, signed, Node::Part(Box::new(e), Box::new(at), times))
            }
            11 | 12 => {
                use VerilogOp::{Eq, Ge, Gt, Le, Lt, Ne};
                let op = [Eq, Ne, Lt, Le, Gt, Ge][self.below(6) as usize].clone();
                let (w, s) = (self.any_width(), self.below(2) == 0);
                let l = self.expr(w, s, d, true);
                let r = self.operand(w, s, d);
                Self::tree(1, false, Node::Bin(op, Box::new(l), Box::new(r)))
            }
            13 => {
                let op = if self.below(2) == 0 {
                    VerilogOp::LogicalAnd
                } else {
                    VerilogOp::LogicalOr
                };
                let (l, r) = (self.expr(1, false, d, false), self.expr(1, false, d, false));
                Self::tree(1, false, Node::Bin(op, Box::new(l), Box::new(r)))
            }
            14 => {
                use VerilogOpUnary::{All, Any, Xor};
                let op = [All, Any, Xor][self.below(3) as usize].clone();
                let w = self.any_width();
                let e = self.expr(w, false, d, true);
                Self::tree(1, false, Node::Un(op, Box::new(e)))
            }
            _ => {
                let (whole, s) = if self.below(2) == 0 {
                    (8, true)
                } else {
                    (24, false)
                };
                let e = self.expr(whole, s, d, true);
                let at = if self.below(2) == 0 {
                    Self::tree(8, false, Node::Literal(self.random.below(whole as u64)))
                } else {
                    self.offset()
                };
                Self::tree(1, false, Node::Bit(Box::new(e), Box::new(at)))
            }
        }
    }

    /// A position: sums of narrow signals are refused there.
    fn offset(&mut self) -> Tree {
        if self.below(2) == 0 {
            return Self::tree(3, false, Node::Signal("k"));
        }
        let e = self.expr(8, false, 1, true);
        Self::tree(3, false, Node::BitCast(Box::new(e)))
    }

    /// The right operand: its width follows from the left one, so it may be a bare literal.
    fn operand(&mut self, width: usize, signed: bool, depth: u32) -> Tree {
        // Neither zero nor all ones: Verilator complains of comparisons that cannot fail.
        let room = if width == 1 {
            1
        } else {
            (1 << (width - 1)) - 1
        };
        let value = 1 + self.random.below(room).min(1 << 20);
        match self.below(6) {
            0 => Self::tree(width, signed, Node::Literal(value)),
            1 if !signed => Self::tree(width, signed, Node::Sized(value)),
            _ => self.expr(width, signed, depth, false),
        }
    }

    fn statements(&mut self, depth: u32, count: u64) -> Vec<Stmt> {
        (0..count).map(|_| self.statement(depth)).collect()
    }

    fn statement(&mut self, depth: u32) -> Stmt {
        match self.below(if depth == 0 { 4 } else { 7 }) {
            0..=3 => {
                let (name, signed) = TARGETS[self.below(TARGETS.len() as u64) as usize];
                Stmt::Assign(name, self.expr(8, signed, 3, false))
            }
            4 | 5 => {
                let test = self.expr(1, false, 2, false);
                let (then, other) = (1 + self.below(2), self.below(3));
                Stmt::If(
                    test,
                    self.statements(depth - 1, then),
                    self.statements(depth - 1, other),
                )
            }
            _ => {
                let test = self.expr(3, false, 1, true);
                let mut arms = Vec::new();
                for label in [Some(0), Some(1), Some(5), None] {
                    let count = self.below(2);
                    arms.push((label, self.statements(depth - 1, count)));
                }
                Stmt::Match(test, arms)
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Stmt {
    Assign(&'static str, Tree),
    If(Tree, Vec<Stmt>, Vec<Stmt>),
    Match(Tree, Vec<(Option<u128>, Vec<Stmt>)>),
}

impl Stmt {
    fn ast(&self) -> VerilogStatement {
        let block = |b: &[Stmt]| b.iter().map(Stmt::ast).collect::<VerilogBlock>();
        match self {
            Stmt::Assign(name, value) => {
                VerilogStatement::Assignment(Ast::Signal(format!("{name}$next")), value.ast())
            }
            Stmt::If(test, then, other) => {
                let otherwise = match &other[..] {
                    [] => VerilogBlockOrConditional::None,
                    [one @ Stmt::If(..)] => {
                        VerilogBlockOrConditional::Conditional(Box::new(one.ast()))
                    }
                    _ => VerilogBlockOrConditional::Block(block(other)),
                };
                VerilogStatement::If(VerilogConditional {
                    test: test.ast(),
                    then: block(then),
                    otherwise,
                })
            }
            Stmt::Match(test, arms) => {
                let case = |(label, b): &(Option<u128>, Vec<Stmt>)| VerilogCase {
                    condition: label.map_or("default".into(), |l| l.to_string()),
                    block: block(b),
                };
                VerilogStatement::Match(VerilogMatch {
                    test: test.ast(),
                    cases: arms.iter().map(case).collect(),
                })
            }
        }
    }

    /// As Rust executes it: one statement after the other.
    fn run(&self, values: &mut Values) {
        match self {
            Stmt::Assign(name, value) => {
                let value = value.eval(values);
                values.insert(name, value);
            }
            Stmt::If(test, then, other) => {
                let branch = if test.eval(values) == 1 { then } else { other };
                branch.iter().for_each(|s| s.run(values));
            }
            Stmt::Match(test, arms) => {
                let value = test.eval(values);
                let arm = arms
                    .iter()
                    .find(|(label, _)| label.is_none_or(|l| l == value));
                arm.iter()
                    .for_each(|(_, b)| b.iter().for_each(|s| s.run(values)));
            }
        }
    }
}

impl Tree {
    fn ast(&self) -> Ast {
        let b = |t: &Tree| Box::new(t.ast());
        let tree = match &self.node {
            Node::Signal(name) => Ast::Signal((*name).into()),
            Node::Literal(v) => Ast::Literal(i32::try_from(*v).unwrap().into()),
            Node::Sized(v) => Ast::Cast(Box::new(Ast::Literal((*v).into())), self.width),
            Node::Bin(op, l, r) => Ast::Binary(b(l), op.clone(), b(r)),
            Node::Un(op, e) => Ast::Unary(op.clone(), b(e)),
            Node::BitCast(e) => Ast::Cast(b(e), self.width),
            Node::Signed(e) => Ast::Signed(b(e)),
            Node::Unsigned(e) => Ast::Unsigned(b(e)),
            Node::Part(e, at, 1) => Ast::Slice(b(e), self.width, b(at)),
            Node::Part(e, at, times) => {
                let factor = Ast::Literal(i32::try_from(*times).unwrap().into());
                let offset = Ast::Binary(b(at), VerilogOp::Mul, Box::new(factor));
                Ast::Slice(b(e), self.width, Box::new(offset))
            }
            Node::Bit(e, at) => Ast::Index(b(e), b(at)),
            Node::Replace(e, at, bit) => Ast::IndexReplace(b(e), b(at), b(bit)),
        };
        // Rust needs parentheses where the macro's tree has none.
        Ast::Paren(Box::new(tree))
    }
}

/// The values of signals, as unsigned numbers.
type Values = BTreeMap<&'static str, u128>;

fn mask(width: usize) -> u128 {
    (1 << width) - 1
}

impl Tree {
    /// The value as the integer that Rust's type stands for.
    fn integer(&self, values: &Values) -> i128 {
        let x = self.eval(values);
        let negative = self.signed && x >> (self.width - 1) & 1 == 1;
        (if negative { x | !mask(self.width) } else { x }) as i128
    }

    fn eval(&self, values: &Values) -> u128 {
        let value = match &self.node {
            Node::Signal(name) => values[name],
            Node::Literal(v) | Node::Sized(v) => u128::from(*v),
            Node::BitCast(e) | Node::Signed(e) | Node::Unsigned(e) => e.integer(values) as u128,
            Node::Bin(op, l, r) => {
                use std::cmp::Ordering::{Equal, Greater, Less};
                let (a, b) = (l.eval(values), r.eval(values));
                let order = l.integer(values).cmp(&r.integer(values));
                match op {
                    VerilogOp::Add => a.wrapping_add(b),
                    VerilogOp::Sub => a.wrapping_sub(b),
                    VerilogOp::BitAnd | VerilogOp::LogicalAnd => a & b,
                    VerilogOp::BitOr | VerilogOp::LogicalOr => a | b,
                    VerilogOp::BitXor => a ^ b,
                    VerilogOp::Shl => a << b,
                    VerilogOp::Shr => a >> b,
                    VerilogOp::Eq => u128::from(order == Equal),
                    VerilogOp::Ne => u128::from(order != Equal),
                    VerilogOp::Lt => u128::from(order == Less),
                    VerilogOp::Le => u128::from(order != Greater),
                    VerilogOp::Gt => u128::from(order == Greater),
                    VerilogOp::Ge => u128::from(order != Less),
                    VerilogOp::Mul => unreachable!("no products are made"),
                }
            }
            Node::Un(op, e) => {
                let v = e.eval(values);
                match op {
                    VerilogOpUnary::Not => !v,
                    VerilogOpUnary::Neg => v.wrapping_neg(),
                    VerilogOpUnary::All => u128::from(v == mask(e.width)),
                    VerilogOpUnary::Any => u128::from(v != 0),
                    VerilogOpUnary::Xor => u128::from(v.count_ones() % 2),
                }
            }
            Node::Part(e, at, times) => e.eval(values) >> (at.eval(values) * u128::from(*times)),
            Node::Bit(e, at) => e.eval(values) >> at.eval(values),
            Node::Replace(e, at, bit) => {
                let (at, v) = (at.eval(values), e.eval(values));
                v & !(1 << at) | bit.eval(values) << at
            }
        };
        value & mask(self.width)
    }
}

/// A design with a kernel made by [`Maker`] and run by the interpreter.
#[derive(LogicBlock)]
struct Made {
    clk: Signal<In, Clock>,
    a: Signal<In, Bits<8>>,
    b: Signal<In, Bits<8>>,
    w: Signal<In, Bits<24>>,
    x: Signal<In, Bit>,
    c: Signal<In, Signed<8>>,
    k: Signal<In, Bits<3>>,
    y: [Signal<Out, Bits<8>>; 2],
    s: Signal<Out, Signed<8>>,
    /// What registers and locals hold, so that everything is seen.
    seen: [Signal<Out, Bits<8>>; 6],
    t: [Signal<Local, Bits<8>>; 3],
    r: [Dff<Bits<8>>; 2],
    n: Dff<Signed<8>>,
    _body: Vec<Stmt>,
}

const SEEN: [(&str, &str); 6] = [
    ("seen[0]", "t[0]"),
    ("seen[1]", "t[1]"),
    ("seen[2]", "t[2]"),
    ("seen[3]", "r[0]$q"),
    ("seen[4]", "r[1]$q"),
    ("seen[5]", "n$q"),
];

impl Made {
    fn new(seed: u64) -> Self {
        let mut maker = Maker {
            random: Random::new(seed),
        };
        // Defaults first: no expression reads what has none yet.
        let literal = |signed, v| Maker::tree(8, signed, Node::Literal(v));
        let mut body: Vec<Stmt> = TARGETS
            .iter()
            .enumerate()
            .map(|(i, t)| Stmt::Assign(t.0, literal(t.1, 3 * i as u64)))
            .collect();
        for (d, q) in [("r[0]$d", "r[0]$q"), ("n$d", "n$q")] {
            body.push(Stmt::Assign(d, Maker::tree(8, d == "n$d", Node::Signal(q))));
        }
        body.extend(maker.statements(2, 9));
        Made {
            clk: Signal::default(),
            a: Signal::default(),
            b: Signal::default(),
            w: Signal::default(),
            x: Signal::default(),
            c: Signal::default(),
            k: Signal::default(),
            y: arr(),
            s: Signal::default(),
            seen: arr(),
            t: arr(),
            r: [Dff::new(0x5a.into()), Dff::default()],
            n: Dff::new((-3).into()),
            _body: body,
        }
    }
}

impl Logic for Made {
    fn update(&mut self) {
        let word = |x: Bits<8>| u128::from(x.to_u64());
        let signed = |x: Signed<8>| word(unsigned_cast(x));
        let mut v = Values::from([
            ("a", word(self.a.val())),
            ("b", word(self.b.val())),
            ("w", u128::from(self.w.val().to_u64())),
            ("x", u128::from(self.x.val())),
            ("c", signed(self.c.val())),
            ("k", u128::from(self.k.val().to_u64())),
            ("r[0]$q", word(self.r[0].q.val())),
            ("r[1]$q", word(self.r[1].q.val())),
            ("n$q", signed(self.n.q.val())),
        ]);
        self._body.iter().for_each(|s| s.run(&mut v));
        let word = |name| -> Bits<8> { bits(v[name] as u64) };
        for i in 0..2 {
            self.y[i].next = word(["y[0]", "y[1]"][i]);
            self.r[i].clock.next = self.clk.val();
            self.r[i].d.next = word(["r[0]$d", "r[1]$d"][i]);
        }
        self.s.next = signed_cast(word("s"));
        self.n.clock.next = self.clk.val();
        self.n.d.next = signed_cast(word("n$d"));
        for (seen, (_, name)) in self.seen.iter_mut().zip(SEEN) {
            seen.next = word(name);
        }
        for i in 0..3 {
            self.t[i].next = word(["t[0]", "t[1]", "t[2]"][i]);
        }
    }

    fn connect(&mut self) {
        self.y.iter_mut().for_each(Logic::connect);
        self.seen.iter_mut().for_each(Logic::connect);
        self.s.connect();
        for r in &mut self.r {
            r.clock.connect();
            r.d.connect();
        }
        self.n.clock.connect();
        self.n.d.connect();
    }

    fn hdl(&self) -> Verilog {
        let assign = |to: &str, from: Ast| {
            VerilogStatement::Assignment(Ast::Signal(format!("{to}$next")), from)
        };
        let mut block: VerilogBlock = Vec::new();
        for register in ["r[0]", "r[1]", "n"] {
            block.push(assign(
                &format!("{register}$clock"),
                Ast::Signal("clk".into()),
            ));
        }
        block.extend(self._body.iter().map(Stmt::ast));
        for (to, from) in SEEN {
            let from = Ast::Signal(from.into());
            block.push(assign(
                to,
                if to == "seen[5]" {
                    Ast::Unsigned(Box::new(from))
                } else {
                    from
                },
            ));
        }
        Verilog::Combinatorial(block)
    }
}

#[test]
fn verilog_computes_what_the_interpreter_computes() {
    println!("seed {SEED:#x}");
    let mut bench = Bench::new("random-kernels");
    // Chance compares with what cannot be exceeded, and masks with zero.
    bench.waive("UNSIGNED");
    bench.waive("CMPCONST");
    bench.waive("UNUSEDSIGNAL");
    let (mut made, mut refused) = (0, 0);
    let mut seed = SEED;
    while made < KERNELS {
        seed += 1;
        // The one thing a kernel may be refused for: a part of an expression over a local of the moment.
        match emit(&Made::new(seed), "made", &Header::default()) {
            Err(e) if e.kind == ErrorKind::Unsupported => {
                refused += 1;
                continue;
            }
            Err(e) => panic!("seed {seed:#x}: {e}"),
            Ok(_) => made += 1,
        }
        let mut random = Random::new(seed);
        let mut uut = Made::new(seed);
        let drive = |u: &mut Made, _: usize, clock: bool| {
            u.clk.next = clock.into();
            if !clock {
                u.a.next = bits(random.below(256));
                u.b.next = bits(random.below(256));
                u.w.next = bits(random.below(1 << 24));
                u.x.next = random.below(2) == 1;
                u.c.next = signed_cast(bits(random.below(256)));
                u.k.next = bits(random.below(8));
            }
        };
        bench
            .add(&format!("made_{seed:x}"), &mut uut, STEPS, drive)
            .unwrap();
    }
    assert!(
        refused <= KERNELS,
        "{refused} kernels were refused, too many for a fair sample"
    );
    bench.check().unwrap();
}
