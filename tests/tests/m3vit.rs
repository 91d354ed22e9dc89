//! M3ViT's MoE layer, the whole batch of an image as one command: 128 patches and the class token, d 192, 16 experts of two matrices of
//! 384 with biases and GELU, softmax over all experts, one gate per task. Every stream and byte against `golden`, and the outputs
//! against the same layer in f64.

use abi::command::{Activation, Score};
use abi::layout::{down_section, hidden_section};
use abi::{Command, Config, Format, Sparsity, Storage};
use golden::sample::{Layer, Shape};
use golden::{router_bias_row, Rule};
use sim_tb::board::Params;
use sim_tb::scoreboard::Scoreboard;
use system_tests::reference;

const TOKENS: usize = 129;
const MEMORY: u64 = 8 << 20;
const RING: u64 = MEMORY - 4096;
/// Relative error of y against f64 where x, h and the weights of routing are what they are: two roundings to 8 bits under block
/// exponents, of about 0.5 % each.
const BOUND: f64 = 1.5e-2;
/// Logits are sums of products of 16-bit numbers, weights have 16 bits.
const ROUTING: f64 = 1e-3;

fn nightly() -> bool {
    std::env::var_os("ROUNDHOUSE_NIGHTLY").is_some()
}

fn stored(format: Format, sparsity: Sparsity, paired: bool) -> Storage {
    Storage {
        format,
        sparsity,
        paired,
        bias: true,
    }
}

fn shape(topk: usize, storage: Storage) -> Shape {
    Shape {
        tokens: TOKENS,
        d: 192,
        f: 384,
        experts: 16,
        storage,
        gated: false,
        activation: Activation::Gelu,
        rule: Rule {
            score: Score::Softmax,
            topk,
            ..Rule::default()
        },
        ..Shape::default()
    }
}

/// A board that holds the layer, and the layer's command.
fn board(layer: &Layer, params: Params) -> (Scoreboard, Command) {
    let config = Config::named("sim").unwrap();
    let mut s = Scoreboard::new("sim", params, RING, 2, None).unwrap();
    let mut memory = vec![0; MEMORY as usize];
    let (_, command) = layer.store(&config, &mut memory, 0).unwrap();
    s.board.board.memory_mut().copy_from_slice(&memory);
    (s, command)
}

/// Runs the layer with the gate of `task` and compares with golden and with f64; how many tokens each expert had.
fn run(s: &mut Scoreboard, command: &Command, layer: &Layer, task: u8) -> Vec<usize> {
    s.set_task(task).unwrap();
    let seed = s.board.board.params().seed;
    let report = s
        .run(command)
        .unwrap_or_else(|e| panic!("{:?}, task {task}, seed {seed}: {e}", layer.shape));
    let memory = s.board.board.memory();
    let routes = reference::routes(memory, command);
    let want = reference::layer(layer, &routes, ROUTING);
    let error = reference::distance(&reference::outputs(memory, command), &want);
    let mut tokens = vec![0; layer.shape.experts];
    for (expert, _) in routes.iter().flatten() {
        tokens[*expert] += 1;
    }
    println!(
        "{:?} {}, k {}, task {task}: {} items equal, {} cycles, relative error {error:.2e}, tokens {tokens:?}",
        layer.shape.storage.format,
        layer.shape.storage.sparsity.name(),
        layer.shape.rule.topk,
        report.items,
        report.completion.cycles
    );
    assert!(error < BOUND, "{error:e}");
    tokens
}

/// Two tasks: the same experts behind two gates.
fn tasks(topk: usize, storage: Storage, params: Params) {
    let mut layer = Layer::random(shape(topk, storage), params.seed);
    layer.task = 1;
    let (mut s, command) = board(&layer, params);
    let second = run(&mut s, &command, &layer, 1);
    // Task 0's gate is the one that `place` puts before the layer's own.
    layer.router.q15.reverse();
    let first = run(&mut s, &command, &layer, 0);
    assert_ne!(first, second, "each task has its gate");
    assert_eq!(first.iter().sum::<usize>(), topk * TOKENS);
}

#[test]
fn top_2_of_16_for_two_tasks() {
    tasks(
        2,
        stored(Format::Int8, Sparsity::Dense, false),
        Params::calm(MEMORY, 1),
    );
}

#[test]
fn top_4_of_16() {
    let storage = stored(Format::Int8, Sparsity::Dense, false);
    let layer = Layer::random(shape(4, storage), 2);
    let (mut s, command) = board(&layer, Params::calm(MEMORY, 2));
    run(&mut s, &command, &layer, 0);
}

#[test]
fn two_of_four_weights_under_stalls() {
    let storage = stored(Format::Int8, Sparsity::TwoOfFour, false);
    let layer = Layer::random(shape(2, storage), 3);
    let (mut s, command) = board(&layer, Params::stormy(MEMORY, 3));
    run(&mut s, &command, &layer, 0);
}

/// The gate's biases say who works: one expert has every token, some have none, and with k = 1 it is alone. The smallest windows
/// cut its image into as many pieces as there can be, and all 129 tokens must go through each.
#[test]
fn one_expert_has_every_token_and_others_none() {
    let storage = stored(Format::Int4, Sparsity::OneOfFour, false);
    for (topk, none) in [(1, 15), (2, 8)] {
        let mut layer = Layer::random(
            Shape {
                router_bias: true,
                ..shape(topk, storage)
            },
            4 + topk as u64,
        );
        // The weights a quarter of what they are: the biases decide.
        for scale in &mut layer.router.scales {
            *scale -= 2 << 10;
        }
        for (e, bias) in layer.router.biases.iter_mut().enumerate() {
            let wanted = match e {
                9 => 7.5,
                0..=7 => -7.5,
                _ => 0.0,
            };
            *bias = router_bias_row(wanted, layer.router.w_exp).expect("it is within the exponent");
        }
        let (d, f) = (layer.shape.d, layer.shape.f);
        let least = hidden_section(d, f, false, storage)
            .group_words()
            .max(down_section(d, f, storage).group_words());
        layer.window = Some(least as u16);
        let (mut s, command) = board(&layer, Params::calm(MEMORY, 4));
        let tokens = run(&mut s, &command, &layer, 0);
        assert_eq!(tokens[9], TOKENS);
        let idle = tokens.iter().filter(|&&t| t == 0).count();
        assert!(idle >= none, "{tokens:?}");
    }
}

/// At night: every form of storage, both k, both tasks, calm and stormy.
#[test]
fn every_storage() {
    if !nightly() {
        return;
    }
    let mut seed = 100;
    for code in 0..=255 {
        let Some(storage) = Storage::from_code(code).filter(|s| s.bias) else {
            continue;
        };
        for topk in [2, 4] {
            seed += 1;
            let params = match seed % 2 {
                0 => Params::calm(MEMORY, seed),
                _ => Params::stormy(MEMORY, seed),
            };
            tasks(topk, storage, params);
        }
    }
}
