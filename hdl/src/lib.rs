//! The Roundhouse engine described in rust-hdl, one unit per file.

pub mod activation;
pub mod axi_read_mux;
pub mod axi_reader;
pub mod axi_write_mux;
pub mod axi_writer;
pub mod beats;
pub mod combine;
pub mod command;
pub mod counters;
pub mod engine;
pub mod granule;
pub mod hstage;
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
pub mod predictor;
pub mod quantiser;
pub mod reciprocal;
pub mod regs;
pub mod route_store;
pub mod router;
pub mod score;
pub mod serialiser;
pub mod slots;
pub mod topk;
pub mod walker;
pub mod xstore;

use abi::{config, Config};
use rust_hdl_core::prelude::Block;

/// What emits a unit: boxed, because the units are large.
pub type Unit = Box<dyn Block>;

/// Every unit once, by the name of its file, in the configuration `sim`; the units whose structure depends on the lanes again
/// with two lanes (`NAME_tiny`). These are the modules of the unit benches.
pub fn units() -> Vec<(&'static str, Unit)> {
    let sim = &config::SIM;
    let tiny = &config::TINY;
    let versa = &config::VERSA;
    vec![
        ("activation", Box::new(activation::Activation::new(sim))),
        (
            "activation_versa",
            Box::new(activation::Activation::new(versa)),
        ),
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
        ("beats", Box::new(beats::Beats::new(sim))),
        ("beats_versa", Box::new(beats::Beats::new(versa))),
        ("combine", Box::new(combine::Combine::new(sim))),
        ("command", Box::new(command::Command::new(sim))),
        ("counters", Box::new(counters::Counters::default())),
        ("granule", Box::new(granule::Granule::new(&sim.modes))),
        (
            "granule_versa",
            Box::new(granule::Granule::new(&versa.modes)),
        ),
        ("hstage", Box::new(hstage::HStage::new(sim))),
        ("hstage_versa", Box::new(hstage::HStage::new(versa))),
        ("issue", Box::new(issue::Issue::new(sim))),
        ("lane", Box::new(lane::LaneAlone::new(&sim.modes))),
        (
            "lane_int8",
            Box::new(lane::LaneAlone::new(&config::INT8_MODES)),
        ),
        ("linear", Box::new(linear::Linear::new(sim))),
        ("linear_tiny", Box::new(linear::Linear::new(tiny))),
        ("linear_versa", Box::new(linear::Linear::new(versa))),
        ("loader", Box::new(loader::Loader::new(sim))),
        ("loader_tiny", Box::new(loader::Loader::new(tiny))),
        ("predictor", Box::new(predictor::Predictor::new(sim))),
        ("regs", Box::new(regs::Regs::default())),
        ("route_store", Box::new(route_store::RouteStore::new(sim))),
        ("router", Box::new(router::Router::new(sim))),
        ("serialiser", Box::new(serialiser::Serialiser::new(sim))),
        (
            "serialiser_versa",
            Box::new(serialiser::Serialiser::new(versa)),
        ),
        ("slots", Box::new(slots::Slots::new(sim))),
        ("walker", Box::new(walker::Walker::new(sim))),
        ("walker_versa", Box::new(walker::Walker::new(versa))),
        ("xstore", Box::new(xstore::XStore::new(sim))),
        ("xstore_versa", Box::new(xstore::XStore::new(versa))),
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
