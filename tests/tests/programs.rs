//! Random programs on the engine `tiny` against `golden`: layers of every kind, chains whose sums go on, dense layers, prefetches with
//! right and wrong guesses, tables of any content, commands that are refused, buses that fail; in calm worlds and stormy ones, with
//! any window. The bits are golden's, whatever was predicted.

use abi::command::{Predict, Source, FLAG_KEEP_SUMS, FLAG_NO_Y};
use abi::layout::{expert_bytes, plain_bytes, router_bytes, row_bytes};
use abi::{Command, Config, Status};
use golden::sample::{Layer, Limits, Program, Random, Shape, Step};
use golden::Rule;
use sim_tb::board::Params;
use sim_tb::scoreboard::{Fault, Scoreboard};
use std::ops::Range;

fn nightly() -> bool {
    std::env::var_os("ROUNDHOUSE_NIGHTLY").is_some()
}

/// One beat within `bytes` from `address` on fails.
fn beat(r: &mut Random, address: u64, bytes: usize, write: bool) -> Fault {
    let at = address + r.below(bytes as u64) / 16 * 16;
    Fault {
        range: at..at + 16,
        reads: !write,
        writes: write,
    }
}

/// Something that the command reads or writes fails.
fn fault(r: &mut Random, step: &Step, ring: u64, n: usize) -> Option<Fault> {
    let c = &step.command;
    let shape = step.layer.as_ref()?.shape;
    let tokens = usize::from(c.tokens);
    let outputs = row_bytes(shape.outputs());
    Some(match r.below(8) {
        0 => beat(r, ring + 128 * n as u64, 112, false),
        1 => beat(r, c.x_addr, tokens * row_bytes(shape.d), false),
        2 if shape.source == Source::Router => {
            let bytes = router_bytes(
                shape.d,
                shape.experts,
                shape.router_bias,
                shape.rule.choice_bias,
            );
            let at =
                c.router_addr + u64::from(step.layer.as_ref()?.task) * u64::from(c.task_stride);
            beat(r, at, bytes, false)
        }
        2 if shape.source == Source::Host => beat(r, c.route_addr, 64 * tokens, false),
        3 if shape.plain => beat(
            r,
            c.experts_addr,
            plain_bytes(shape.d, shape.f, shape.storage),
            false,
        ),
        3 => {
            let bytes = expert_bytes(shape.d, shape.f, shape.gated, shape.storage);
            let e = r.below(shape.experts as u64);
            beat(
                r,
                c.experts_addr + e * u64::from(c.expert_stride),
                bytes,
                false,
            )
        }
        4 if shape.source == Source::Router => beat(r, c.route_addr, 64 * tokens, true),
        5 => beat(r, c.done_addr, 16, true),
        _ if c.flags & FLAG_NO_Y == 0 => beat(r, c.y_addr, tokens * outputs, true),
        _ => return None,
    })
}

/// What came of a program.
#[derive(Default)]
struct Tally {
    commands: u64,
    /// Experts whose prefetch had begun when they were wanted, and prefetches given up.
    hits: u64,
    aborts: u64,
}

fn run(seed: u64) -> Tally {
    println!("seed {seed}");
    let config = Config::named("tiny").unwrap();
    let r = &mut Random::new(seed);
    let limits = Limits {
        layers: 1 + r.below(3) as usize,
        size: r.one_of(&[16, 40, 72, 130]),
        tokens: r.one_of(&[1, 2, 5, 8]),
    };
    let mut program = Program::random(&config, limits, seed);
    let memory_bytes = program.end.next_multiple_of(4096) + 4096;
    let params = match r.below(4) {
        0 => Params::calm(memory_bytes, seed),
        1 => Params {
            latency: 1 + r.below(200) as u32,
            ..Params::calm(memory_bytes, seed)
        },
        _ => Params::stormy(memory_bytes, seed),
    };
    // In some the buses fail; in some nothing is predicted. What was prefetched is not read again, so a failing image of an expert
    // is one that nobody has prefetched.
    let failing = r.once_in(4);
    if failing || r.once_in(4) {
        for step in program.steps.iter_mut().filter(|s| s.layer.is_some()) {
            step.command.predict = 0;
        }
        program.steps.retain(|s| s.command.opcode != 3);
    }
    let mut s = Scoreboard::new("tiny", params, program.ring, program.ring_log2, None).unwrap();
    s.board.board.deadline = 3_000_000;
    program
        .store(&mut Bytes(s.board.board.memory_mut()))
        .unwrap();
    s.set_task(program.task).unwrap();
    for (index, data) in &program.table {
        s.set_prediction(*index, *data).unwrap();
    }
    let chained = |n: usize| {
        let flags = |n: usize| program.steps.get(n).map_or(0, |s| s.command.flags);
        flags(n) & (FLAG_NO_Y | FLAG_KEEP_SUMS) != 0 || flags(n + 1) & FLAG_KEEP_SUMS != 0
    };
    for (n, step) in program.steps.iter().enumerate() {
        let mut faults = Vec::new();
        if failing && !chained(n) && r.once_in(2) {
            faults.extend(fault(r, step, program.ring, n));
        }
        println!("step {n}: opcode {}, {faults:x?}", step.command.opcode);
        // Sometimes the host is away for a while, so that prefetches come to any point.
        if r.once_in(2) {
            s.board.board.run(r.below(3000)).unwrap();
        }
        let report = s.run_with(&step.command, &faults).unwrap_or_else(|e| {
            panic!(
                "seed {seed}, step {n} of {}, {faults:x?}: {e}\n{:?}\n{:?}",
                program.steps.len(),
                step.command,
                step.layer.as_ref().map(|l| l.shape)
            )
        });
        if faults.is_empty() {
            let status = Status::from_code(report.completion.status);
            assert_eq!(status, Some(step.status), "seed {seed}, step {n}");
        }
    }
    Tally {
        commands: program.steps.len() as u64,
        hits: s.board.counter("PREDICT_HITS").unwrap(),
        aborts: s.board.counter("PREFETCH_ABORTS").unwrap(),
    }
}

/// Card memory of the board as golden's programs write it.
struct Bytes<'a>(&'a mut [u8]);

impl golden::Memory for Bytes<'_> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), golden::OutOfRange> {
        golden::Memory::read(&*self.0, address, bytes)
    }
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), golden::OutOfRange> {
        golden::Memory::write(&mut *self.0, address, bytes)
    }
}

#[test]
fn programs() {
    // ROUNDHOUSE_SEED: one seed, or FROM..TO.
    let asked = std::env::var("ROUNDHOUSE_SEED").ok().map(|text| {
        let number = |s: &str| s.parse().expect("ROUNDHOUSE_SEED holds numbers");
        match text.split_once("..") {
            Some((from, to)) => number(from)..number(to),
            None => number(&text)..number(&text) + 1,
        }
    });
    let seeds: Range<u64> = asked.unwrap_or(if nightly() { 0..5000 } else { 0..200 });
    let many = seeds.end - seeds.start >= 200;
    let all = seeds.map(run).fold(Tally::default(), |a, b| Tally {
        commands: a.commands + b.commands,
        hits: a.hits + b.hits,
        aborts: a.aborts + b.aborts,
    });
    println!(
        "{} commands, {} hits, {} prefetches given up",
        all.commands, all.hits, all.aborts
    );
    // Programs that prefetch nothing would prove nothing about it.
    assert!(!many || (all.hits >= 20 && all.aborts >= 20));
}

/// A layer whose routes are known at once, when every slot holds an expert that was guessed, right or wrong: the choice must wait until
/// the loader knows whose its slots are, or it would wait for a free one for ever.
#[test]
fn every_slot_prefetched_and_routes_at_once() {
    let config = Config::named("tiny").unwrap();
    for seed in 0..4 {
        let shape = Shape {
            tokens: 1 + seed as usize % 2,
            d: 40,
            f: 24,
            experts: 4,
            source: Source::All,
            rule: Rule {
                topk: 1,
                ..Rule::default()
            },
            ..Shape::default()
        };
        let placed = Layer::random(shape, seed).place(&config, 4096);
        let ring = placed.end.next_multiple_of(4096);
        let params = Params {
            latency: 1,
            ..Params::calm(ring + 4096, seed)
        };
        let mut s = Scoreboard::new("tiny", params, ring, 2, None).unwrap();
        s.board.board.deadline = 200_000;
        for (at, bytes) in &placed.writes {
            s.board.board.memory_mut()[*at as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        for guesses in [[0, 1], [1, 0], [1, 2], [3, 2]] {
            let hinted = Command {
                opcode: 3,
                next_addr: placed.command.experts_addr,
                predict: Predict::Hints as u8,
                guesses: 2,
                hints: guesses[0] | guesses[1] << 8,
                ..placed.command
            };
            for gap in [0, 20, 100, 4000] {
                s.run(&hinted).unwrap();
                s.board.board.run(gap).unwrap();
                s.run(&placed.command)
                    .unwrap_or_else(|e| panic!("seed {seed}, {guesses:?}, gap {gap}: {e}"));
            }
        }
    }
}

#[test]
fn a_long_chain_goes_through_one_ring() {
    // More commands than the ring has places, back to back.
    let mut all: Vec<Command> = Vec::new();
    let config = Config::named("tiny").unwrap();
    let limits = Limits {
        layers: 4,
        size: 32,
        tokens: 2,
    };
    let program = Program::random(&config, limits, 77);
    let memory_bytes = program.end.next_multiple_of(4096) + 4096;
    let params = Params::calm(memory_bytes, 77);
    let mut s = Scoreboard::new("tiny", params, program.ring, program.ring_log2, None).unwrap();
    program
        .store(&mut Bytes(s.board.board.memory_mut()))
        .unwrap();
    s.set_task(program.task).unwrap();
    while all.len() < 70 {
        all.extend(program.steps.iter().map(|s| s.command));
    }
    for command in &all {
        s.run(command).unwrap();
    }
}
