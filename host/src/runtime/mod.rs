//! Runs a model: everything but the routed experts on the CPU in f32, those through [`Experts`].
//!
//! [`Decoder`] holds the weights, [`Session`] one sequence of tokens and its cache; [`sample`] chooses the next token,
//! [`generate`] continues a text and [`eval`] measures how well a text is predicted.

mod attention;
mod cpu_experts;
mod decoder;
mod error;
pub mod eval;
mod experts;
pub mod generate;
pub mod kernels;
pub mod random;
pub mod router;
pub mod sample;
mod session;

pub use cpu_experts::CpuExperts;
pub use decoder::Decoder;
pub use error::Error;
pub use experts::{Cause, Experts, Routing, Stats};
pub use session::{Session, Timing};
