//! The engine in Verilator against `golden`, command by command: every inner stream, every byte of card memory, the counters.

use abi::layout::row_bytes;
use abi::Command;
use abi::Sparsity;
use golden::sample::{Layer, Shape};
use sim_tb::board::{ChannelCounts, Params};
use sim_tb::scoreboard::Scoreboard;

const MEMORY: u64 = 1 << 20;
const RING: u64 = 0xF_0000;

fn shape(tokens: usize, d: usize, f: usize, experts: usize, topk: usize) -> Shape {
    Shape {
        tokens,
        d,
        f,
        experts,
        topk,
        renormalise: true,
        sparsity: Sparsity::Dense,
        wild: false,
    }
}

/// Runs one layer on a fresh board; the scoreboard panics at the first difference.
fn run(config: &str, shape: Shape, params: Params) {
    let named = abi::Config::named(config).unwrap();
    let mut s = Scoreboard::new(config, params, RING, 4, None).unwrap();
    let layer = Layer::random(shape, params.seed);
    let mut memory = vec![0; MEMORY as usize];
    let (_, command) = layer.store(&named, &mut memory, 0).unwrap();
    s.board.board.memory_mut().copy_from_slice(&memory);
    let report = s
        .run(&command)
        .unwrap_or_else(|e| panic!("{config}, {shape:?}, seed {}: {e}", params.seed));
    println!(
        "{config} {shape:?}: {} items equal, {} cycles",
        report.items, report.completion.cycles
    );
}

#[test]
fn one_token_dense() {
    run("sim", shape(1, 64, 32, 4, 2), Params::calm(MEMORY, 1));
}

#[test]
fn shapes() {
    for (seed, (s, sparse, renorm)) in [
        (shape(1, 64, 32, 4, 2), true, true),
        (shape(5, 96, 64, 8, 3), false, false),
        (shape(7, 40, 24, 6, 2), false, true),
        (shape(7, 40, 24, 6, 2), true, false),
        (shape(32, 64, 64, 8, 8), false, true),
        (shape(3, 192, 256, 2, 1), true, true),
        (shape(2, 33, 7, 3, 2), false, true),
        (shape(9, 32, 24, 16, 4), false, false),
        (shape(32, 128, 96, 1, 1), true, true),
    ]
    .into_iter()
    .enumerate()
    {
        let s = Shape {
            sparsity: if sparse {
                Sparsity::TwoOfFour
            } else {
                Sparsity::Dense
            },
            renormalise: renorm,
            ..s
        };
        run("sim", s, Params::calm(MEMORY, seed as u64));
        run("sim", s, Params::stormy(MEMORY, 100 + seed as u64));
        run(
            "sim",
            Shape { wild: true, ..s },
            Params::stormy(MEMORY, 200 + seed as u64),
        );
    }
}

/// The layer's y after executing it in commands of the given numbers of tokens, on one board; and what its channels did.
fn split(
    config: &str,
    layer: &Layer,
    parts: &[usize],
    params: Params,
) -> (Vec<u8>, [ChannelCounts; 15]) {
    let named = abi::Config::named(config).unwrap();
    let mut s = Scoreboard::new(config, params, RING, 2, None).unwrap();
    let mut memory = vec![0; MEMORY as usize];
    let (_, whole) = layer.store(&named, &mut memory, 0).unwrap();
    s.board.board.memory_mut().copy_from_slice(&memory);
    let row = row_bytes(layer.shape.d);
    let mut first = 0;
    for &tokens in parts {
        let command = Command {
            tokens: tokens as u16,
            // Rows of 64-byte multiples, so that every part is aligned.
            x_addr: whole.x_addr + (first * row) as u64,
            y_addr: whole.y_addr + (first * row) as u64,
            route_addr: whole.route_addr + 64 * first as u64,
            ..whole
        };
        s.run(&command)
            .unwrap_or_else(|e| panic!("{config}, {parts:?}, seed {}: {e}", params.seed));
        first += tokens;
    }
    // Back through the engine's own slave port, so that its read channels are stalled as well.
    let mut bytes = vec![0; layer.shape.tokens * row];
    s.board.board.copy_out(whole.y_addr, &mut bytes).unwrap();
    (bytes, s.board.board.channels())
}

/// The byte-identical law: 20 seeds of stalls, each channel seen to stall, batches split four ways, both configurations.
#[test]
fn stalls_and_splits_change_no_bit() {
    let seeds = if std::env::var_os("ROUNDHOUSE_NIGHTLY").is_some() {
        300
    } else {
        20
    };
    for config in ["sim", "tiny"] {
        for sparsity in [Sparsity::Dense, Sparsity::TwoOfFour] {
            let shape = Shape {
                sparsity,
                ..shape(8, 96, 64, 8, 2)
            };
            let layer = Layer::random(shape, 7);
            let (calm, _) = split(config, &layer, &[8], Params::calm(MEMORY, 0));
            assert!(calm.iter().any(|&b| b != 0));
            let mut stalled = [false; 15];
            for seed in 0..seeds {
                let parts: &[usize] =
                    [&[8][..], &[3, 5], &[1, 1, 1, 1, 1, 1, 1, 1], &[7, 1]][seed as usize % 4];
                let (y, channels) = split(config, &layer, parts, Params::stormy(MEMORY, seed));
                assert!(
                    y == calm,
                    "{config}, {sparsity:?}, seed {seed}, parts {parts:?}"
                );
                for (seen, c) in stalled.iter_mut().zip(&channels) {
                    // A sender is stalled by a missing ready; where the world sends, also the engine by a missing valid.
                    let engine_sends = match c.name.split_once(' ') {
                        Some(("m_axi", channel)) => matches!(channel, "AR" | "AW" | "W"),
                        Some((_, channel)) => matches!(channel, "R" | "B"),
                        None => panic!("channel {} has no port in its name", c.name),
                    };
                    *seen |= c.waits > 0 || (!engine_sends && c.starved > 0);
                    if seed + 1 == seeds {
                        assert!(
                            *seen,
                            "{config}: channel {} never stalled in {seeds} seeds",
                            c.name
                        );
                    }
                }
            }
        }
    }
}
