//! Whole-system tests: co-simulation, end to end, faults.

pub mod bench;
pub mod hostile;
pub mod lockstep;
pub mod plan;
pub mod reference;
