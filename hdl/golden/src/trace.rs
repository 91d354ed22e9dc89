//! Every intermediate value of a command, in the order in which the engine makes them.

use abi::{Kind, BLOCK};

/// What a command went through, unit by unit. Each list is in a plain order: tokens in order, experts in index order without
/// those that no token chose; within an expert each queued token, and for it the rows. (The engine's order depends on
/// windows and on what is prefetched.) Rows that only fill a group up are left out, and so are bias blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Quantised inputs.
    pub x_blocks: Vec<BlockEvent>,
    /// Accumulators of all linear layers.
    pub acc: Vec<AccEvent>,
    /// Router logits.
    pub logits: Vec<LogitEvent>,
    /// Choices and weights.
    pub routes: Vec<RouteEvent>,
    /// Hidden vectors, binary32.
    pub hidden: Vec<HiddenEvent>,
    /// Quantised hidden vectors.
    pub hidden_blocks: Vec<HiddenBlockEvent>,
    /// Weighted contributions of experts.
    pub z: Vec<ZEvent>,
    /// Outputs.
    pub y: Vec<YEvent>,
}

/// One block of an input vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockEvent {
    /// Token of the command.
    pub token: usize,
    /// Block of the vector.
    pub block: usize,
    /// Block exponent `B`.
    pub exponent: u8,
    /// `q8` values.
    pub q8: [i8; BLOCK],
    /// High limbs of the `q15` values.
    pub hi: [i8; BLOCK],
    /// Low limbs of the `q15` values.
    pub lo: [i8; BLOCK],
}

/// What a row was multiplied with, or which of two matrices it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Router: the vector's high limbs.
    Hi,
    /// Router: the vector's low limbs.
    Lo,
    /// A gate row, or a row of an un-gated expert's first matrix.
    Gate,
    /// An up row.
    Up,
    /// A down row.
    Down,
    /// A row of a dense layer.
    Plain,
}

/// One accumulator: a row times a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccEvent {
    /// The linear layer.
    pub kind: Kind,
    /// The expert; 0 for the router and a dense layer.
    pub expert: usize,
    /// The token.
    pub token: usize,
    /// Place of the token in the expert's queue; the token itself for the router.
    pub position: usize,
    /// Which vector or matrix.
    pub operand: Operand,
    /// Row of the matrix; of the router, E and above are low limbs.
    pub row: usize,
    /// The accumulator, 36 bits signed.
    pub acc: i64,
}

/// One router logit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogitEvent {
    /// The token.
    pub token: usize,
    /// The expert.
    pub expert: usize,
    /// The logit, LSB `2^(Bmax - 136 + w_exp)`.
    pub logit: i64,
}

/// One choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteEvent {
    /// The token.
    pub token: usize,
    /// Rank of the choice; of the host's, the place of its entry.
    pub slot: usize,
    /// The expert.
    pub expert: usize,
    /// Its weight, Q4.16.
    pub weight: u32,
}

/// One element of a hidden vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HiddenEvent {
    /// The expert.
    pub expert: usize,
    /// The token.
    pub token: usize,
    /// Place of the token in the expert's queue.
    pub position: usize,
    /// Element of the hidden vector.
    pub row: usize,
    /// Gate value, Q12.24.
    pub gate: i64,
    /// Up value, Q12.24; 0 if there is none.
    pub up: i64,
    /// Binary32 bits of the product.
    pub bits: u32,
}

/// One block of a hidden vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HiddenBlockEvent {
    /// The expert.
    pub expert: usize,
    /// The token.
    pub token: usize,
    /// Place of the token in the expert's queue.
    pub position: usize,
    /// Block of the vector.
    pub block: usize,
    /// Block exponent `B`.
    pub exponent: u8,
    /// `q8` values.
    pub q8: [i8; BLOCK],
}

/// One expert's contribution to one output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZEvent {
    /// The expert.
    pub expert: usize,
    /// The token.
    pub token: usize,
    /// Place of the token in the expert's queue.
    pub position: usize,
    /// Element of y.
    pub row: usize,
    /// The contribution, LSB `2^(lsb_y - 8)`.
    pub z: i64,
}

/// One output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YEvent {
    /// The token.
    pub token: usize,
    /// Element of y.
    pub row: usize,
    /// The value, LSB `2^lsb_y`.
    pub y: i32,
}
