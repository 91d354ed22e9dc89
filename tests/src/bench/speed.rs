//! How fast the simulated board is, beside the same Verilated model in a bare loop.

use super::card::Card;
use super::{laws, Failure};
use abi::command::Source;
use abi::layout::{row_bytes, Format, Sparsity};
use sim_tb::board::Params;
use std::fmt::Write as _;
use std::time::Instant;

/// Cycles per second of one configuration.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Speed {
    /// The model alone: clock up, clock down, constant inputs.
    pub bare: f64,
    /// The board with its buses and memory, the engine without a command.
    pub idle: f64,
    /// The board while a layer of 16 tokens is computed.
    pub busy: f64,
    /// `idle` over `bare`: what the world around the engine costs.
    pub ratio: f64,
}

const CYCLES: u64 = 1_000_000;
/// Each figure is the best of so many runs, taken in turn: other programs can only slow one down.
const ROUNDS: usize = 5;

fn rate(cycles: u64, mut run: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let start = Instant::now();
    run()?;
    Ok(cycles as f64 / start.elapsed().as_secs_f64())
}

/// Measures `config`.
///
/// # Errors
/// If the board fails.
pub fn measure(config: &str) -> Result<Speed, Failure> {
    let point = laws::Point {
        model: laws::MODELS[1],
        tokens: 16,
        storage: laws::storage(Format::Int8, Sparsity::TwoOfFour, false),
    };
    let e = laws::expert(&point, 64);
    let bytes = e.bytes() + 3 * point.tokens * row_bytes(e.d) + (1 << 20);
    let params = Params::calm(bytes.next_multiple_of(4096) as u64, 1);
    let mut card = Card::new(config, params)?;
    let images = card.experts(&e, 1)?;
    let [x_addr, y_addr, route_addr] = card.vectors(point.tokens, e.d)?;
    let command = abi::Command {
        x_addr,
        y_addr,
        route_addr,
        routing: Source::All as u8,
        ..card.layer(point.tokens, &e, 1, 1, images)
    };
    let (mut bare, mut idle, mut busy) = (0f64, 0f64, 0f64);
    for _ in 0..ROUNDS {
        idle = idle.max(rate(CYCLES, || Ok(card.board.board.run(CYCLES)?))?);
        let start = (card.board.board.cycles(), Instant::now());
        card.run("speed", command)?;
        let cycles = card.board.board.cycles() - start.0;
        busy = busy.max(cycles as f64 / start.1.elapsed().as_secs_f64());
        // A board of its own: the bare loop leaves the buses where they are.
        let mut alone = Card::new(config, Params::calm(1 << 20, 1))?;
        bare = bare.max(rate(CYCLES, || {
            alone.board.board.run_bare(CYCLES);
            Ok(())
        })?);
    }
    Ok(Speed {
        bare,
        idle,
        busy,
        ratio: idle / bare,
    })
}

/// Writes the section.
///
/// # Errors
/// If the board fails.
pub fn section(page: &mut String, config: &str) -> Result<serde_json::Value, Failure> {
    let s = measure(config)?;
    writeln!(
        page,
        "## Speed of the simulation\n\n| | million cycles per second |\n|---|---|\n| the Verilated model alone in a bare loop | {:.2} |\n| the simulated board, no command | {:.2} ({:.0} % of the bare loop) |\n\
         | the simulated board, 16 tokens through one expert | {:.2} |\n\nWall-clock figures of the machine that wrote this page.",
        s.bare / 1e6,
        s.idle / 1e6,
        100.0 * s.ratio,
        s.busy / 1e6
    )?;
    println!(
        "simulation: {:.2} M cycles per second bare, {:.2} idle ({:.0} %), {:.2} busy",
        s.bare / 1e6,
        s.idle / 1e6,
        100.0 * s.ratio,
        s.busy / 1e6
    );
    Ok(serde_json::json!({
        "config": config,
        "cycles_per_second": s.busy,
        "bare_cycles_per_second": s.bare,
        "idle_cycles_per_second": s.idle,
        "ratio_to_bare": s.ratio,
    }))
}
