//! The router's law: from the last logit to the last weight at most E + k + 32 cycles, for one token.

use super::card::{Card, Expert};
use super::{Failure, Row};
use abi::command::{Score, Source, ROUTING_RENORMALISE};
use abi::layout::{router_bytes, Storage, IMAGE_MAGIC};
use sim_tb::board::Params;
use std::fmt::Write as _;

const EXPERT: Expert = Expert {
    d: 64,
    f: 32,
    gated: true,
    activation: 0,
    storage: Storage::INT8,
};

fn measure(
    config: &str,
    latency: u32,
    experts: usize,
    topk: usize,
    score: Score,
    renormalise: bool,
) -> Result<u64, Failure> {
    let params = Params {
        latency,
        ..Params::calm(8 << 20, 3)
    };
    let mut card = Card::new(config, params)?;
    let images = card.experts(&EXPERT, experts)?;
    let router = card.take(router_bytes(EXPERT.d, experts, false, false))?;
    let [x_addr, y_addr, route_addr] = card.vectors(1, EXPERT.d)?;
    card.noise(router, router_bytes(EXPERT.d, experts, false, false));
    let memory = card.board.board.memory_mut();
    memory[router as usize + 6..router as usize + 8].copy_from_slice(&IMAGE_MAGIC.to_le_bytes());
    memory[router as usize..router as usize + 6].fill(0);
    let renormalise = if renormalise { ROUTING_RENORMALISE } else { 0 };
    let command = abi::Command {
        x_addr,
        y_addr,
        route_addr,
        router_addr: router,
        routing: Source::Router as u8 | (score as u8) << 2 | renormalise,
        ..card.layer(1, &EXPERT, experts, topk, images)
    };
    let tap = |name: &str, card: &Card| {
        let taps = card.board.board.library().taps();
        taps.iter()
            .position(|t| t == name)
            .ok_or(format!("the board has no tap `{name}`"))
    };
    let (logit, route) = (tap("logit", &card)?, tap("route", &card)?);
    card.board.board.record(true);
    card.run("router", command)?;
    let items = card.board.board.recorded();
    card.board.board.record(false);
    let last = |stream| {
        let of = items.iter().filter(|i| i.stream == stream);
        of.map(|i| i.cycle).max().unwrap_or(0)
    };
    Ok(last(route).saturating_sub(last(logit)))
}

/// Writes the section and returns its rows.
///
/// # Errors
/// If the board fails.
pub fn section(page: &mut String, config: &str, latency: u32) -> Result<Vec<Row>, Failure> {
    page.push_str(
        "## Router\n\nCycles from the last logit to the last weight, one token; the law is E + k + 32.\n\n| E | k | score | weights | cycles | bound |\n|---|---|---|---|---|---|\n",
    );
    let mut rows = Vec::new();
    for (experts, topk) in [(8, 2), (64, 8), (128, 8), (256, 8)] {
        for (score, name) in [
            (Score::Softmax, "softmax"),
            (Score::Sigmoid, "sigmoid"),
            (Score::Identity, "identity"),
        ] {
            for renormalise in [false, true] {
                let cycles = measure(config, latency, experts, topk, score, renormalise)?;
                let bound = (experts + topk + 32) as f64;
                let weights = if renormalise {
                    "renormalised"
                } else {
                    "as they are"
                };
                writeln!(
                    page,
                    "| {experts} | {topk} | {name} | {weights} | {cycles} | {bound:.0} |"
                )?;
                rows.push(Row {
                    name: format!("router E {experts} k {topk} {name}, {weights}"),
                    d_in: EXPERT.d,
                    d_out: experts,
                    sparsity: "dense",
                    weights: "int8",
                    tokens: 1,
                    bus: abi::BEAT,
                    latency,
                    cycles,
                    law: "router",
                    bound,
                });
            }
        }
    }
    page.push('\n');
    Ok(rows)
}
