//! Whole-system tests: co-simulation, end to end, faults.

pub mod axi;
pub mod lockstep;
pub mod synth;
