//! Expressions with a width at every node. No context can change what they mean: operands of one operator are equally
//! wide, and every extension or truncation is written out.

use crate::lit::Lit;

/// Index of a net in its module.
pub(crate) type NetId = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bin {
    Add,
    Sub,
    Mul,
    And,
    Or,
    Xor,
    LogicAnd,
    LogicOr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shift {
    Left,
    Right,
    Arithmetic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduce {
    All,
    Any,
    Xor,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    Net(NetId),
    /// A named value of an enum.
    Name(String, Lit),
    Lit(Lit),
    /// Bits of a net from a constant position.
    Part(NetId, usize),
    /// Bits of a net from a position that is a signal; never out of range.
    Dynamic(NetId, Box<Ex>),
    /// Highest part first.
    Cat(Vec<Ex>),
    /// A single bit, as often as the node is wide.
    Repeat(Box<Ex>),
    Not(Box<Ex>),
    Neg(Box<Ex>),
    Bin(Bin, Box<Ex>, Box<Ex>),
    Cmp(Cmp, bool, Box<Ex>, Box<Ex>),
    Shift(Shift, Box<Ex>, Box<Ex>),
    Reduce(Reduce, Box<Ex>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ex {
    pub op: Op,
    pub width: usize,
    /// The Rust type is `Signed`.
    pub signed: bool,
}

impl Ex {
    pub(crate) fn lit(lit: Lit, signed: bool) -> Self {
        Ex {
            width: lit.width(),
            op: Op::Lit(lit),
            signed,
        }
    }

    pub(crate) fn zeros(width: usize) -> Self {
        Ex::lit(Lit::zero(width), false)
    }

    pub(crate) fn with_sign(mut self, signed: bool) -> Self {
        self.signed = signed;
        self
    }

    pub(crate) fn not(self) -> Self {
        Ex {
            width: self.width,
            signed: self.signed,
            op: Op::Not(Box::new(self)),
        }
    }

    pub(crate) fn bin(op: Bin, l: Ex, r: Ex) -> Self {
        Ex {
            width: l.width,
            signed: l.signed || r.signed,
            op: Op::Bin(op, Box::new(l), Box::new(r)),
        }
    }

    pub(crate) fn shift(op: Shift, l: Ex, by: Ex) -> Self {
        Ex {
            width: l.width,
            signed: l.signed,
            op: Op::Shift(op, Box::new(l), Box::new(by)),
        }
    }

    /// A concatenation, highest part first, with nested ones flattened and empty ones dropped.
    pub(crate) fn cat(parts: Vec<Ex>) -> Self {
        let mut flat: Vec<Ex> = Vec::new();
        for part in parts.into_iter().filter(|p| p.width > 0) {
            match part.op {
                Op::Cat(inner) => flat.extend(inner),
                _ => flat.push(part),
            }
        }
        if flat.len() == 1 {
            return flat.remove(0).with_sign(false);
        }
        Ex {
            width: flat.iter().map(|p| p.width).sum(),
            op: Op::Cat(flat),
            signed: false,
        }
    }

    /// Zero-extension to at least the present width.
    pub(crate) fn zero_extend(self, width: usize) -> Self {
        match self.op {
            Op::Lit(Lit(mut bits)) => {
                bits.resize(width, false);
                Ex::lit(Lit(bits), false)
            }
            _ if width == self.width => self,
            _ => Ex::cat(vec![Ex::zeros(width - self.width), self]),
        }
    }

    /// Whether [`Ex::slice`] can take any bits of this without a net of its own.
    pub(crate) fn sliceable(&self, lo: usize, width: usize) -> bool {
        if lo == 0 && width == self.width {
            return true;
        }
        match &self.op {
            Op::Net(_) | Op::Name(..) | Op::Lit(_) | Op::Part(..) | Op::Repeat(_) => true,
            Op::Cat(parts) => overlaps(parts, lo, width).all(|(p, l, w)| p.sliceable(l, w)),
            Op::Not(e) => e.sliceable(lo, width),
            Op::Neg(e) => lo == 0 && e.sliceable(0, width),
            Op::Bin(Bin::And | Bin::Or | Bin::Xor, l, r) => {
                l.sliceable(lo, width) && r.sliceable(lo, width)
            }
            Op::Bin(_, l, r) => lo == 0 && l.sliceable(0, width) && r.sliceable(0, width),
            Op::Shift(_, e, by) => shifted(&self.op, e, by).is_some_and(|s| s.sliceable(lo, width)),
            Op::Dynamic(..) | Op::Cmp(..) | Op::Reduce(..) => false,
        }
    }

    /// Bits `lo + width - 1 .. lo`, pushed down to the operands: the low bits of a sum are the sum of the low bits.
    /// Only for what [`Ex::sliceable`] allows.
    pub(crate) fn slice(&self, lo: usize, width: usize) -> Ex {
        if lo == 0 && width == self.width {
            return self.clone();
        }
        let op = match &self.op {
            Op::Net(net) => Op::Part(*net, lo),
            Op::Part(net, l) => Op::Part(*net, l + lo),
            Op::Name(_, lit) | Op::Lit(lit) => Op::Lit(lit.slice(lo, width)),
            Op::Repeat(bit) if width == 1 => return (**bit).clone(),
            Op::Repeat(bit) => Op::Repeat(bit.clone()),
            Op::Cat(parts) => {
                return Ex::cat(
                    overlaps(parts, lo, width)
                        .map(|(p, l, w)| p.slice(l, w))
                        .collect(),
                );
            }
            Op::Not(e) => Op::Not(Box::new(e.slice(lo, width))),
            Op::Neg(e) => Op::Neg(Box::new(e.slice(lo, width))),
            Op::Bin(op, l, r) => Op::Bin(
                *op,
                Box::new(l.slice(lo, width)),
                Box::new(r.slice(lo, width)),
            ),
            Op::Shift(_, e, by) => match shifted(&self.op, e, by) {
                Some(shifted) => return shifted.slice(lo, width),
                None => unreachable!("guarded by sliceable()"),
            },
            Op::Dynamic(..) | Op::Cmp(..) | Op::Reduce(..) => {
                unreachable!("guarded by sliceable()")
            }
        };
        Ex {
            op,
            width,
            signed: false,
        }
    }

    /// Calls `f` with each net read and the bits of it that are read.
    pub(crate) fn reads(
        &self,
        widths: &dyn Fn(NetId) -> usize,
        f: &mut dyn FnMut(NetId, usize, usize),
    ) {
        match &self.op {
            Op::Net(net) => f(*net, 0, self.width),
            Op::Part(net, lo) => f(*net, *lo, self.width),
            Op::Dynamic(net, at) => {
                f(*net, 0, widths(*net));
                at.reads(widths, f);
            }
            Op::Name(..) | Op::Lit(_) => {}
            Op::Cat(parts) => parts.iter().for_each(|p| p.reads(widths, f)),
            Op::Repeat(e) | Op::Not(e) | Op::Neg(e) | Op::Reduce(_, e) => e.reads(widths, f),
            Op::Bin(_, l, r) | Op::Cmp(_, _, l, r) | Op::Shift(_, l, r) => {
                l.reads(widths, f);
                r.reads(widths, f);
            }
        }
    }
}

fn constant(e: &Ex) -> Option<usize> {
    match &e.op {
        Op::Lit(lit) => lit
            .to_u128()
            .map(|v| usize::try_from(v).unwrap_or(usize::MAX)),
        _ => None,
    }
}

/// A shift by a constant as a concatenation, if the operand's bits can be taken one by one.
fn shifted(op: &Op, e: &Ex, by: &Ex) -> Option<Ex> {
    let width = e.width;
    let by = constant(by)?.min(width);
    match op {
        Op::Shift(Shift::Left | Shift::Right, ..) if by == width => Some(Ex::zeros(width)),
        Op::Shift(Shift::Left, ..) if e.sliceable(0, width - by) => {
            Some(Ex::cat(vec![e.slice(0, width - by), Ex::zeros(by)]))
        }
        Op::Shift(Shift::Right, ..) if e.sliceable(by, width - by) => {
            Some(Ex::cat(vec![Ex::zeros(by), e.slice(by, width - by)]))
        }
        _ => None,
    }
}

/// The parts of a concatenation that bits `lo..lo + width` touch, with the range within each; highest first.
fn overlaps(parts: &[Ex], lo: usize, width: usize) -> impl Iterator<Item = (&Ex, usize, usize)> {
    let mut top: usize = parts.iter().map(|p| p.width).sum();
    parts.iter().filter_map(move |p| {
        top -= p.width;
        let (from, to) = (lo.max(top), (lo + width).min(top + p.width));
        (from < to).then(|| (p, from - top, to - from))
    })
}
