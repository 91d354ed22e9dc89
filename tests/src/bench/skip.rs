//! Zero skipping: an un-gated ReLU expert, parts of whose hidden blocks and of whose weight blocks are zero.

use super::card::{Card, Expert};
use super::laws::terms;
use super::Failure;
use abi::command::{Activation, Source};
use abi::layout::{row_bytes, Storage, SCALE_WORD};
use abi::{BEAT, BLOCK};
use sim_tb::board::Params;
use std::fmt::Write as _;

const EXPERT: Expert = Expert {
    d: 512,
    f: 1024,
    gated: false,
    activation: Activation::Relu as u8,
    storage: Storage::INT8,
};
const TOKENS: usize = 16;

/// Zeroes the scales of some blocks of an image: `quarters[0]` of four hidden blocks (whole rows of the first matrix), and
/// `quarters[1]` of four input blocks of down.
fn thin(card: &mut Card, image: u64, quarters: [usize; 2]) {
    let [hidden, down] = EXPERT.sections();
    let memory = card.board.board.memory_mut();
    let zero = |memory: &mut [u8], at: usize, words: usize| {
        memory[at..at + words * SCALE_WORD].fill(0);
    };
    let base = image as usize + BEAT;
    for group in 0..hidden.groups() {
        let block = group * hidden.group_rows() / BLOCK;
        if block % 4 < quarters[0] {
            zero(
                memory,
                base + group * hidden.group_bytes(),
                hidden.scale_words(),
            );
        }
    }
    let base = base + hidden.bytes();
    for group in 0..down.groups() {
        for block in 0..down.blocks() {
            // Spread differently from the hidden blocks, so that both kinds of zero meet in all combinations.
            if (block / 4 + block) % 4 < quarters[1] {
                zero(
                    memory,
                    base + group * down.group_bytes() + block * SCALE_WORD,
                    1,
                );
            }
        }
    }
}

/// Writes the section.
///
/// # Errors
/// If the board fails.
pub fn section(page: &mut String, config: &str, latency: u32) -> Result<(), Failure> {
    writeln!(
        page,
        "## Zero skipping\n\nAn un-gated ReLU expert, {} x {}, int8 dense, {TOKENS} tokens. A hidden block of 32 that is all zero, and a block of weights that is zero in all rows of a \
         group, cost no beats.\n\n| hidden blocks zero | weight blocks of down zero | cycles | of the first row | beats skipped |\n|---|---|---|---|---|",
        EXPERT.d, EXPERT.f
    )?;
    let mut first = None;
    for quarters in [[0, 0], [2, 0], [0, 2], [2, 2], [3, 0], [3, 3]] {
        let memory = (EXPERT.bytes() + 3 * TOKENS * row_bytes(EXPERT.d) + (1 << 20)) as u64;
        let params = Params {
            latency,
            ..Params::calm(memory.next_multiple_of(4096), 5)
        };
        let mut card = Card::new(config, params)?;
        let images = card.experts(&EXPERT, 1)?;
        thin(&mut card, images.0, quarters);
        let [x_addr, y_addr, route_addr] = card.vectors(TOKENS, EXPERT.d)?;
        let command = abi::Command {
            x_addr,
            y_addr,
            route_addr,
            routing: Source::All as u8,
            ..card.layer(TOKENS, &EXPERT, 1, 1, images)
        };
        let record = card.run("zero skipping", command)?;
        let cycles = f64::from(record.cycles);
        let whole = *first.get_or_insert(cycles);
        let skipped = card.counter("SKIPPED")?;
        writeln!(
            page,
            "| {} % | {} % | {cycles} | {:.1} % | {skipped} |",
            25 * quarters[0],
            25 * quarters[1],
            100.0 * cycles / whole
        )?;
    }
    let (_, macs) = terms(&EXPERT, TOKENS, card_peak(config)?);
    writeln!(
        page,
        "\nWithout skipping the multiplications alone take {macs:.0} cycles.\n"
    )?;
    Ok(())
}

fn card_peak(config: &str) -> Result<usize, Failure> {
    Ok(abi::Config::named(config)?.peak_macs())
}
