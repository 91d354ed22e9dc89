//! The Roundhouse engine described in rust-hdl, one unit per file.

pub mod activation;
pub mod array;
pub mod axi_read_mux;
pub mod axi_reader;
pub mod axi_write_mux;
pub mod axi_writer;
pub mod beats;
pub mod board;
pub mod combine;
pub mod command;
pub mod console;
pub mod counters;
pub mod engine;
pub mod granule;
pub mod hstage;
pub mod image;
pub mod issue;
pub mod lane;
pub mod linear;
pub mod load_receive;
pub mod load_request;
pub mod load_shape;
pub mod load_snoop;
pub mod load_visits;
pub mod loader;
pub mod logits;
pub mod memory;
pub mod predictor;
pub mod quantiser;
pub mod reciprocal;
pub mod regs;
pub mod route_store;
pub mod router;
pub mod score;
pub mod serialiser;
pub mod skid;
pub mod slots;
pub mod topk;
pub mod uart;
pub mod walker;
pub mod xstore;

use abi::{config, Config};
use rust_hdl_core::prelude::Block;

/// What emits a unit: boxed, because the units are large.
pub type Unit = Box<dyn Block>;

/// Every unit once, by the name of its file, in this configuration.
pub fn units(config: &Config) -> Vec<(&'static str, Unit)> {
    vec![
        ("activation", Box::new(activation::Activation::new(config))),
        (
            "axi_read_mux",
            Box::new(axi_read_mux::AxiReadMux::default()),
        ),
        ("axi_reader", Box::new(axi_reader::AxiReader::default())),
        (
            "axi_write_mux",
            Box::new(axi_write_mux::AxiWriteMux::default()),
        ),
        ("axi_writer", Box::new(axi_writer::AxiWriter::default())),
        ("beats", Box::new(beats::Beats::new(config))),
        ("combine", Box::new(combine::Combine::new(config))),
        ("command", Box::new(command::Command::new(config))),
        ("console", Box::new(console::Console::new(200))),
        ("counters", Box::new(counters::Counters::default())),
        ("granule", Box::new(granule::Granule::new(&config.modes))),
        ("hstage", Box::new(hstage::HStage::new(config))),
        ("issue", Box::new(issue::Issue::new(config))),
        ("lane", Box::new(lane::LaneAlone::new(&config.modes))),
        ("linear", Box::new(linear::Linear::new(config))),
        ("loader", Box::new(loader::Loader::new(config))),
        (
            "memory",
            Box::new(
                memory::Memory::new(&config::MINI).expect("`mini` has its memory on the chip"),
            ),
        ),
        ("predictor", Box::new(predictor::Predictor::new(config))),
        ("regs", Box::new(regs::Regs::default())),
        (
            "route_store",
            Box::new(route_store::RouteStore::new(config)),
        ),
        ("router", Box::new(router::Router::new(config))),
        ("serialiser", Box::new(serialiser::Serialiser::new(config))),
        ("skid", Box::new(skid::Skid::<128>::default())),
        ("slots", Box::new(slots::Slots::new(config))),
        ("uart", Box::new(uart::Uart::new(16))),
        ("walker", Box::new(walker::Walker::new(config))),
        ("xstore", Box::new(xstore::XStore::new(config))),
    ]
}

/// The modules of the unit benches: every unit in the configuration `sim`, and those whose structure depends on the configuration
/// again as they are in others (`NAME_versa`, `NAME_tiny`).
pub fn bench_units() -> Vec<(&'static str, Unit)> {
    let (tiny, versa) = (&config::TINY, &config::VERSA);
    let mut all = units(&config::SIM);
    let others: Vec<(&'static str, Unit)> = vec![
        (
            "activation_versa",
            Box::new(activation::Activation::new(versa)),
        ),
        ("beats_versa", Box::new(beats::Beats::new(versa))),
        (
            "granule_versa",
            Box::new(granule::Granule::new(&versa.modes)),
        ),
        ("hstage_versa", Box::new(hstage::HStage::new(versa))),
        // Eight cycles per bit, so that a bench is short.
        (
            "image",
            Box::new(
                image::Image::new(&config::MINI, 8 * abi::serial::BAUD)
                    .expect("`mini` has its memory on the chip"),
            ),
        ),
        ("lane_int8", Box::new(lane::LaneAlone::new(&versa.modes))),
        ("linear_tiny", Box::new(linear::Linear::new(tiny))),
        ("linear_versa", Box::new(linear::Linear::new(versa))),
        ("loader_tiny", Box::new(loader::Loader::new(tiny))),
        (
            "serialiser_versa",
            Box::new(serialiser::Serialiser::new(versa)),
        ),
        ("walker_versa", Box::new(walker::Walker::new(versa))),
        ("xstore_versa", Box::new(xstore::XStore::new(versa))),
    ];
    all.extend(others);
    all
}

/// What docs/utilisation.md lists beside the units of `versa`: array and `linear` with int8 alone and with every storage form.
pub fn measured() -> Vec<(&'static str, Unit)> {
    let every = Config {
        modes: config::ALL_MODES,
        ..config::VERSA
    };
    vec![
        (
            "array_int8",
            Box::new(array::Array::new(&config::INT8_MODES)),
        ),
        ("array_all", Box::new(array::Array::new(&config::ALL_MODES))),
        ("linear_all", Box::new(linear::Linear::new(&every))),
    ]
}

/// Verilog of `top` as module `name`, with the header that says what made it.
///
/// # Errors
/// A design mistake, naming module and signal.
pub fn verilog(top: &dyn Block, name: &str, config: &Config) -> Result<String, backend::Error> {
    let header = backend::Header {
        generator: format!(
            "Roundhouse hdl {} from rust-hdl 0.46.0",
            env!("CARGO_PKG_VERSION")
        ),
        config: config.name.into(),
        fingerprint: format!("{:016x}", abi::fingerprint(config)),
        lines: vec![format!("Rebuild: make verilog CONFIG={}", config.name)],
    };
    backend::emit(top, name, &header)
}
