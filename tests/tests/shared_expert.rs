//! Layers in several commands, and single ones of unusual sizes: Qwen2-MoE's routed and shared experts, dense layers of odd sizes, the
//! longest vectors. Every stream and byte against `golden`, and the outputs against f64.

use abi::command::{Activation, Score, Source, FLAG_KEEP_SUMS, FLAG_NO_Y};
use abi::{Command, Config, Format, Sparsity, Storage};
use golden::sample::{Layer, Shape};
use golden::Rule;
use sim_tb::board::Params;
use sim_tb::scoreboard::Scoreboard;
use system_tests::reference;

/// Relative error of y against f64 where x and h are not rounded; the weights are the same. A product of gate and up has more outliers
/// than either, so its blocks round more coarsely.
const BOUND: f64 = 3e-2;
/// The same of a dense layer: only x is rounded.
const DENSE_BOUND: f64 = 1.5e-2;
/// Of the weights of routing.
const ROUTING: f64 = 1e-3;

/// Layers one after the other on one board of configuration `config`, from address 0 on; the ring is at the end of memory.
fn board(
    config: &str,
    layers: &[&Layer],
    memory: u64,
    params: Params,
) -> (Scoreboard, Vec<Command>) {
    println!("seed {}", params.seed);
    let named = Config::named(config).unwrap();
    let ring = memory - 4096;
    let mut s = Scoreboard::new(config, params, ring, 2, None).unwrap();
    let mut commands = Vec::new();
    let mut free = 0;
    for layer in layers {
        let placed = layer.place(&named, free);
        assert!(placed.end <= ring);
        free = placed.end;
        for (at, bytes) in &placed.writes {
            s.board.board.memory_mut()[*at as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        commands.push(placed.command);
    }
    (s, commands)
}

fn run(s: &mut Scoreboard, what: &str, command: &Command) {
    let report = s.run(command);
    let report = report.unwrap_or_else(|e| panic!("{what}: {e}\n{command:?}"));
    assert_eq!(report.completion.status, 0, "{what}");
    println!(
        "{what}: {} items equal, {} cycles",
        report.items, report.completion.cycles
    );
}

/// The routed experts leave their sums in the engine; the shared one, of another width, adds its own under the sigmoid of a gate, which
/// is a router of one row.
fn qwen(
    config: &str,
    tokens: usize,
    d: usize,
    widths: [usize; 2],
    storages: [Storage; 2],
    params: Params,
) {
    const MEMORY: u64 = 4 << 20;
    let routed = Shape {
        tokens,
        d,
        f: widths[0],
        experts: 12,
        storage: storages[0],
        rule: Rule {
            topk: 4,
            ..Rule::default()
        },
        ..Shape::default()
    };
    let shared = Shape {
        f: widths[1],
        experts: 1,
        storage: storages[1],
        rule: Rule {
            score: Score::Sigmoid,
            topk: 1,
            ..Rule::default()
        },
        ..routed
    };
    let routed = Layer::random(routed, params.seed);
    let mut shared = Layer::random(shared, params.seed + 1);
    shared.x.clone_from(&routed.x);
    let (mut s, mut commands) = board(config, &[&routed, &shared], MEMORY, params);
    commands[0].flags = FLAG_NO_Y;
    commands[1].flags = FLAG_KEEP_SUMS;
    let mut want = vec![vec![0.0; d]; tokens];
    for (layer, command) in [&routed, &shared].into_iter().zip(&commands) {
        run(&mut s, "qwen", command);
        let routes = reference::routes(s.board.board.memory(), command);
        for (want, more) in want
            .iter_mut()
            .zip(reference::layer(layer, &routes, ROUTING))
        {
            for (want, more) in want.iter_mut().zip(more) {
                *want += more;
            }
        }
    }
    let y = reference::outputs(s.board.board.memory(), &commands[1]);
    let error = reference::distance(&y, &want);
    println!("relative error {error:.2e}");
    assert!(error < BOUND, "{error:e}");
    let gates = reference::routes(s.board.board.memory(), &commands[1]);
    assert!(
        gates.iter().any(|g| g[0].1 < 0.4) && gates.iter().any(|g| g[0].1 > 0.6),
        "gates that differ: {gates:?}"
    );
    let nothing = reference::outputs(s.board.board.memory(), &commands[0]);
    assert!(
        nothing.iter().flatten().all(|&v| v == 0.0),
        "no y was asked for"
    );
}

#[test]
fn the_shared_expert_adds_to_the_routed_ones() {
    let storage = |format, sparsity, paired, bias| Storage {
        format,
        sparsity,
        paired,
        bias,
    };
    let dense = Storage::INT8;
    let sparse = storage(Format::Int4, Sparsity::FourOfEight, true, false);
    let biased = storage(Format::Int8, Sparsity::TwoOfFour, false, true);
    qwen(
        "sim",
        7,
        128,
        [88, 352],
        [dense, dense],
        Params::calm(4 << 20, 11),
    );
    qwen(
        "sim",
        9,
        96,
        [64, 200],
        [sparse, dense],
        Params::stormy(4 << 20, 21),
    );
    for (seed, storages) in [(31, [dense, biased]), (41, [biased, sparse])] {
        qwen(
            "tiny",
            8,
            72,
            [40, 144],
            storages,
            Params::stormy(4 << 20, seed),
        );
    }
}

/// y = W x + b of sizes that no block divides.
#[test]
fn dense_layers_of_odd_sizes() {
    const MEMORY: u64 = 16 << 20;
    let storage = |format, sparsity, paired, bias| Storage {
        format,
        sparsity,
        paired,
        bias,
    };
    let mut seed = 50;
    for (tokens, d, f, storage) in [
        (
            2,
            2880,
            1410,
            storage(Format::Int8, Sparsity::Dense, false, true),
        ),
        (
            1,
            1410,
            2880,
            storage(Format::Int8, Sparsity::Dense, false, false),
        ),
        (
            3,
            1412,
            1031,
            storage(Format::Int8, Sparsity::OneOfFour, false, true),
        ),
        (
            1,
            8192,
            97,
            storage(Format::Int8, Sparsity::Dense, false, true),
        ),
        (
            2,
            1,
            8192,
            storage(Format::Int8, Sparsity::Dense, false, true),
        ),
        (
            256,
            33,
            5,
            storage(Format::Int8, Sparsity::Dense, false, true),
        ),
    ] {
        seed += 1;
        let layer = Layer::random(
            Shape {
                plain: true,
                tokens,
                d,
                f,
                experts: 1,
                storage,
                source: Source::All,
                rule: Rule {
                    topk: 1,
                    ..Rule::default()
                },
                ..Shape::default()
            },
            seed,
        );
        let (mut s, commands) = board("sim", &[&layer], MEMORY, Params::calm(MEMORY, seed));
        run(&mut s, &format!("dense {d} to {f}"), &commands[0]);
        let y = reference::outputs(s.board.board.memory(), &commands[0]);
        let error = reference::distance(&y, &reference::layer(&layer, &[], 0.0));
        println!("relative error {error:.2e}");
        assert!(error < DENSE_BOUND, "{d} to {f}: {error:e}");
    }
}

/// Hidden vectors of 16384, the longest that there are: 512 blocks, and one for the bias.
#[test]
fn the_longest_hidden_vector() {
    const MEMORY: u64 = 8 << 20;
    let storage = |sparsity, bias| Storage {
        sparsity,
        bias,
        ..Storage::INT8
    };
    for (seed, gated, storage) in [
        (60, false, storage(Sparsity::Dense, true)),
        (61, true, storage(Sparsity::TwoOfFour, false)),
    ] {
        let layer = Layer::random(
            Shape {
                tokens: 2,
                d: 40,
                f: 16384,
                experts: 2,
                storage,
                gated,
                activation: Activation::Silu,
                rule: Rule {
                    topk: 1,
                    ..Rule::default()
                },
                ..Shape::default()
            },
            seed,
        );
        let (mut s, commands) = board("sim", &[&layer], MEMORY, Params::calm(MEMORY, seed));
        run(&mut s, "f = 16384", &commands[0]);
        let memory = s.board.board.memory();
        let routes = reference::routes(memory, &commands[0]);
        let want = reference::layer(&layer, &routes, ROUTING);
        let error = reference::distance(&reference::outputs(memory, &commands[0]), &want);
        println!("relative error {error:.2e}");
        assert!(error < BOUND, "{error:e}");
    }
}
