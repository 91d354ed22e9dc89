//! The engine as plain, obviously right Rust, written from `docs/formats.md`: bit-exact, no rust-hdl, no clock.
//!
//! [`Engine`] executes one command on a card memory and can keep a [`Trace`] of every intermediate value, in which a
//! scoreboard finds the first one that differs. [`Board`] puts the register map around it, so that a driver cannot tell it
//! from a board, but for the cycle counters: there is no clock. [`image`] writes the weight images that the engine reads.

mod board;
mod engine;
pub mod image;
mod matrix;
mod memory;
mod router;
pub mod sample;
mod trace;
mod vector;

pub use board::Board;
pub use engine::{check, Counters, Engine, Outcome};
pub use image::{
    bias_row, router_bias_row, write_expert, write_plain, write_router, BiasRow, Exponents, Matrix,
    RouterWeights,
};
pub use memory::{Memory, OutOfRange};
pub use router::{choose, Choice, Rule};
pub use trace::{
    AccEvent, BlockEvent, HiddenBlockEvent, HiddenEvent, LogitEvent, Operand, RouteEvent, Trace,
    YEvent, ZEvent,
};
pub use vector::{Limbs, Vector};
