//! The engine in Verilator against `golden`, command by command: every inner stream, every byte of card memory, the counters.

use abi::Sparsity;
use golden::sample::{Layer, Shape};
use sim_tb::board::Params;
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
