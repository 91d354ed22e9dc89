//! The engine in Verilator against `golden`, command by command: every inner stream, every byte of card memory, the counters.

use abi::command::{Activation, Score, Source};
use abi::layout::{row_bytes, Storage};
use abi::{Command, Config, Format, Sparsity};
use golden::sample::{Layer, Random, Shape};
use golden::Rule;
use sim_tb::board::{ChannelCounts, Params};
use sim_tb::scoreboard::Scoreboard;

const MEMORY: u64 = 4 << 20;
const RING: u64 = MEMORY - 4096;

/// How many seeds: `short` in `make test`, `long` at night.
fn seeds(short: u64, long: u64) -> u64 {
    match std::env::var_os("ROUNDHOUSE_NIGHTLY") {
        Some(_) => long,
        None => short,
    }
}

/// Runs one layer on a fresh board; panics at the first difference.
fn run(config: &str, shape: Shape, params: Params) {
    let named = Config::named(config).unwrap();
    let mut s = Scoreboard::new(config, params, RING, 4, None).unwrap();
    let layer = Layer::random(shape, params.seed);
    let mut memory = vec![0; MEMORY as usize];
    let (_, command) = layer.store(&named, &mut memory, 0).unwrap();
    s.board.board.memory_mut().copy_from_slice(&memory);
    s.set_task(layer.task).unwrap();
    let report = s
        .run(&command)
        .unwrap_or_else(|e| panic!("{config}, {shape:?}, seed {}: {e}", params.seed));
    println!(
        "{config} {shape:?}: {} items equal, {} cycles",
        report.items, report.completion.cycles
    );
}

fn small(config: &str, shape: Shape) -> Shape {
    let c = Config::named(config).unwrap();
    Shape {
        tokens: shape.tokens.min(c.tokens_max),
        experts: shape.experts.min(c.experts_max),
        ..shape
    }
}

#[test]
fn one_token_dense() {
    for config in ["tiny", "sim"] {
        let shape = Shape {
            tokens: 1,
            f: 32,
            experts: 4,
            ..Shape::default()
        };
        run(config, shape, Params::calm(MEMORY, 1));
    }
}

#[test]
fn shapes() {
    let base = Shape::default();
    for (seed, (tokens, d, f, experts, topk)) in [
        (1, 64, 32, 4, 2),
        (5, 96, 64, 8, 3),
        (7, 40, 24, 6, 2),
        (32, 64, 64, 8, 8),
        (3, 192, 256, 2, 1),
        (2, 33, 7, 3, 2),
        (9, 32, 24, 16, 4),
        (32, 128, 96, 1, 1),
        (1, 1, 1, 1, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let mut shape = Shape {
            tokens,
            d,
            f,
            experts,
            ..base
        };
        shape.rule.topk = topk;
        let seed = seed as u64;
        run("sim", shape, Params::calm(MEMORY, seed));
        let wild = Shape {
            wild: true,
            ..shape
        };
        for config in ["sim", "tiny"] {
            run(
                config,
                small(config, shape),
                Params::stormy(MEMORY, 100 + seed),
            );
            run(
                config,
                small(config, wild),
                Params::stormy(MEMORY, 200 + seed),
            );
        }
    }
}

/// Every storage that there is, gated and not, and every activation.
#[test]
fn every_storage_and_activation() {
    let tiny = Config::named("tiny").unwrap();
    let mut seed = 300;
    for code in 0..=255 {
        let Some(storage) = Storage::from_code(code) else {
            continue;
        };
        assert!(tiny.reads(storage.format, storage.sparsity, storage.paired));
        for gated in [true, false] {
            seed += 1;
            let activation = [
                Activation::Silu,
                Activation::Gelu,
                Activation::GeluTanh,
                Activation::Relu,
                if gated {
                    Activation::Clamped
                } else {
                    Activation::Relu2
                },
            ][seed as usize % 5];
            let shape = Shape {
                tokens: 3,
                d: 72,
                f: 88,
                experts: 4,
                storage,
                gated,
                activation,
                wild: seed % 2 == 0,
                zeros: seed % 3 == 0,
                router_bias: seed % 7 == 0,
                ..Shape::default()
            };
            let params = if seed % 4 == 0 {
                Params::calm(MEMORY, seed)
            } else {
                Params::stormy(MEMORY, seed)
            };
            run("tiny", shape, params);
            let plain = Shape {
                plain: true,
                f: 65,
                experts: 1,
                source: Source::All,
                gated: true,
                activation: Activation::Silu,
                router_bias: false,
                rule: Rule {
                    topk: 1,
                    ..Rule::default()
                },
                ..shape
            };
            run("tiny", plain, params);
        }
    }
}

/// Every score, with and without choice biases, groups and renormalisation; host and all.
#[test]
fn every_way_to_route() {
    let mut seed = 500;
    for score in [
        Score::Softmax,
        Score::Sigmoid,
        Score::Identity,
        Score::Sparsemixer,
    ] {
        for bits in 0..16u32 {
            seed += 1;
            let mut shape = Shape {
                tokens: 4,
                d: 64,
                f: 32,
                experts: 12,
                wild: seed % 3 == 0,
                ..Shape::default()
            };
            shape.rule.score = score;
            shape.rule.renormalise = bits & 1 != 0;
            shape.rule.choice_bias = bits & 2 != 0;
            shape.rule.sum2 = bits & 8 != 0;
            if bits & 4 != 0 {
                (shape.rule.groups, shape.rule.groups_kept) = (4, 2);
            }
            let params = if seed % 2 == 0 {
                Params::calm(MEMORY, seed)
            } else {
                Params::stormy(MEMORY, seed)
            };
            run("tiny", shape, params);
            if score == Score::Softmax {
                shape.source = [Source::Host, Source::All][bits as usize % 2];
                run("tiny", shape, params);
            }
        }
    }
}

/// Whatever `golden` can draw.
#[test]
fn random_layers() {
    for (config, first, count, size, tokens) in [
        ("tiny", 1000, seeds(60, 1500), 256, 8),
        ("sim", 2000, seeds(16, 400), 160, 40),
    ] {
        let named = Config::named(config).unwrap();
        for seed in first..first + count {
            println!("{config}, seed {seed}");
            let shape = Shape::random(&named, &mut Random::new(seed), size, tokens);
            let params = if seed % 4 == 0 {
                Params::calm(MEMORY, seed)
            } else {
                Params::stormy(MEMORY, seed)
            };
            run(config, shape, params);
        }
    }
}

/// The layer's y after executing it in commands of the given numbers of tokens, on one board; and what its channels did.
fn split(
    config: &str,
    layer: &Layer,
    parts: &[usize],
    params: Params,
) -> (Vec<u8>, [ChannelCounts; 15]) {
    let named = Config::named(config).unwrap();
    let mut s = Scoreboard::new(config, params, RING, 2, None).unwrap();
    let mut memory = vec![0; MEMORY as usize];
    let (_, whole) = layer.store(&named, &mut memory, 0).unwrap();
    s.board.board.memory_mut().copy_from_slice(&memory);
    s.set_task(layer.task).unwrap();
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

/// The byte-identical law: seeds of stalls, each channel seen to stall, batches split four ways, both configurations.
#[test]
fn stalls_and_splits_change_no_bit() {
    let seeds = seeds(20, 300);
    let sparse = Storage {
        format: Format::Int4,
        sparsity: Sparsity::TwoOfFour,
        paired: true,
        bias: true,
    };
    for config in ["sim", "tiny"] {
        for storage in [Storage::INT8, sparse] {
            let shape = Shape {
                tokens: 8,
                d: 96,
                f: 64,
                storage,
                ..Shape::default()
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
                    "{config}, {storage:?}, seed {seed}, parts {parts:?}"
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
