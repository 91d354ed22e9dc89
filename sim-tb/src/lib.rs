//! The simulated board: Verilated engine, bus and memory models, scoreboard; and the benches of single units.

pub mod attached;
pub mod board;
#[cfg(feature = "scoreboard")]
pub mod card_model;
pub mod faults;
pub mod function;
pub mod library;
pub mod pcie_card;
pub mod pins;
pub mod rng;
pub mod root_complex;
#[cfg(feature = "scoreboard")]
pub mod scoreboard;
#[cfg(feature = "serve")]
pub mod serve;
mod sim_board;

pub use library::Error;
pub use sim_board::{SimBoard, Waveform};
