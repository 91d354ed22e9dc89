//! Benches of single units against their models, and what each costs in an FPGA. Nothing here needs the host program.

pub mod axi;
pub mod coverage;
pub mod dma;
pub mod formal;
pub mod mutate;
pub mod page;
pub mod pcie;
pub mod synth;
