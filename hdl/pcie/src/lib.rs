//! The board's PCI Express function described in rust-hdl: transaction layer and DMA, one unit per file.
//!
//! Every unit that touches TLPs comes in two widths, 64 and 128 bits: the const generic `W`, with `K` = `W` / 32 words per beat.

pub mod fifo;

use rust_hdl_core::prelude::Block;

/// What emits a unit.
pub type Unit = Box<dyn Block>;

/// The modules of the unit benches, by name: `pcie_FILE`, those of 128 bits `pcie_FILE_128`.
pub fn bench_units() -> Vec<(&'static str, Unit)> {
    vec![("pcie_fifo", Box::new(fifo::Fifo::<36, 5>::default()))]
}
