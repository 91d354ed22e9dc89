//! The simulated board: Verilated engine, bus and memory models, scoreboard; and the benches of single units.

pub mod library;
pub mod pins;
pub mod rng;
