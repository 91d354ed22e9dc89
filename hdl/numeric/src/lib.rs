//! The scalar operations of the engine's arithmetic, one small pure function for each step of `docs/formats.md`.
//!
//! `golden` is built from these, and so are the models of the RTL's leaves. `tests/independent.rs` checks them against
//! definitions that share no code with them: exhaustively where the space is small, against f64 where it is not.

pub mod activation;
pub mod block;
pub mod combine;
pub mod hidden;
pub mod linear;
pub mod round;
pub mod scale;
pub mod score;
pub mod value;

pub use activation::{activate, delta, Curve, Product};
pub use block::{block_exponent, limbs, q15, q8, Unpacked};
pub use combine::{y, z};
pub use hidden::hidden;
pub use linear::{fix, logit, lsb, lsb_router, term};
pub use round::{rne_shr, rne_shr_i128, scale_pow2, Saturated};
pub use scale::Scale;
pub use score::{exp, normal, route_scale, share, sigmoid};
