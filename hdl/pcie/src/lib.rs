//! The board's PCI Express function described in rust-hdl: transaction layer and DMA, one unit per file.
//!
//! Every unit that touches TLPs comes in two widths, 64 and 128 bits: the const generic `W`, with `K` = `W` / 32 words per beat.

pub mod access;
pub mod card_mux;
pub mod completer;
pub mod config;
pub mod dispatch;
pub mod dma;
pub mod dma_access;
pub mod dma_c2h;
pub mod dma_channel;
pub mod dma_cut;
pub mod dma_events;
pub mod dma_fetch;
pub mod dma_h2c;
pub mod dma_irq;
pub mod dma_job;
pub mod dma_move;
pub mod dma_store;
pub mod endpoint;
pub mod errors;
pub mod fifo;
pub mod function;
pub mod ingress;
pub mod messages;
pub mod msix;
pub mod receive;
pub mod request_header;
pub mod requester;
pub mod transmit;

use rust_hdl_core::prelude::Block;

/// What emits a unit.
pub type Unit = Box<dyn Block>;

/// The modules of the unit benches, by name: `pcie_FILE`, those of 128 bits `pcie_FILE_128`. Units that have no bench of their own are
/// tested inside `pcie_endpoint`.
pub fn bench_units() -> Vec<(&'static str, Unit)> {
    vec![
        ("pcie_card_mux", Box::new(card_mux::CardMux::default())),
        (
            "pcie_endpoint",
            Box::new(endpoint::Endpoint::<64, 2, 66>::new(1 << 30, 50_000)),
        ),
        (
            "pcie_endpoint_128",
            Box::new(endpoint::Endpoint::<128, 4, 130>::new(1 << 30, 50_000)),
        ),
        ("pcie_fifo", Box::new(fifo::Fifo::<36, 5>::default())),
        (
            "pcie_function",
            Box::new(function::Function64::new(1 << 30)),
        ),
        (
            "pcie_function_128",
            Box::new(function::Function128::new(1 << 30)),
        ),
        (
            "pcie_request_header",
            Box::new(request_header::RequestHeader::default()),
        ),
        ("pcie_dma", Box::new(dma::Dma64::default())),
        ("pcie_dma_128", Box::new(dma::Dma128::default())),
        (
            "pcie_dma_move",
            Box::new(dma_move::Move::<64, 8, 3, 8>::default()),
        ),
        (
            "pcie_dma_move_128",
            Box::new(dma_move::Move::<128, 16, 4, 8>::default()),
        ),
    ]
}
