//! What goes wrong is told by the status that names its cause, in bounded time, and leaves nothing behind: the next command's bits are
//! `golden`'s. One by one here; `programs.rs` mixes them at random.

use abi::command::{Predict, Source, FLAG_KEEP_SUMS, FLAG_NO_Y, NO_EXPERT, ROUTING_GROUP_SUM2};
use abi::layout::{expert_bytes, plain_bytes, router_bytes, row_bytes, ROUTE_BYTES};
use abi::registers::offset;
use abi::{Command, Config, Format, Sparsity, Status, Storage};
use golden::sample::{Layer, Shape};
use golden::Rule;
use sim_tb::board::Params;
use sim_tb::scoreboard::{Fault, Report, Scoreboard};

const MEMORY: u64 = 1 << 20;
const RING: u64 = MEMORY - 4096;
const RING_LOG2: u32 = 2;
/// Cycles within which each of these commands must have ended, whatever failed; the sound ones take a tenth of it.
const DEADLINE: u64 = 300_000;

fn tiny() -> Config {
    Config::named("tiny").unwrap()
}

fn shape() -> Shape {
    Shape {
        tokens: 4,
        d: 72,
        f: 40,
        experts: 6,
        storage: Storage {
            format: Format::Int8,
            sparsity: Sparsity::TwoOfFour,
            paired: false,
            bias: true,
        },
        router_bias: true,
        rule: Rule {
            choice_bias: true,
            ..Rule::default()
        },
        ..Shape::default()
    }
}

/// A board with a layer, how often it was rung, and a second layer that must come out right after everything.
struct Bench {
    s: Scoreboard,
    layer: Layer,
    command: Command,
    sound: Command,
    rung: u64,
}

impl Bench {
    fn new(shape: Shape, params: Params) -> Bench {
        println!("seed {}", params.seed);
        let mut s = Scoreboard::new("tiny", params, RING, RING_LOG2, None).unwrap();
        s.board.board.deadline = DEADLINE;
        let layer = Layer::random(shape, params.seed);
        let placed = layer.place(&tiny(), 4096);
        // Of another shape, so that nothing of the first can stand in for it.
        let sound = Shape {
            tokens: 3,
            d: 40,
            f: 24,
            experts: 5,
            ..Shape::default()
        };
        let sound = Layer::random(sound, params.seed + 1).place(&tiny(), placed.end);
        assert!(sound.end < RING);
        let memory = s.board.board.memory_mut();
        for (at, bytes) in placed.writes.iter().chain(&sound.writes) {
            memory[*at as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        Bench {
            s,
            layer,
            command: placed.command,
            // It watches its own experts, where no command writes; a zero here would be a range that holds the results of both.
            sound: Command {
                next_addr: sound.command.experts_addr,
                ..sound.command
            },
            rung: 0,
        }
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.s.board.board.memory_mut()[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Runs a command with what fails, and the sound one after it.
    fn expect(
        &mut self,
        what: &str,
        command: &Command,
        faults: &[Fault],
        status: Status,
    ) -> Report {
        let run = |s: &mut Scoreboard, c: &Command, faults: &[Fault]| {
            s.run_with(c, faults)
                .unwrap_or_else(|e| panic!("{what}: {e}\n{c:?}"))
        };
        let report = run(&mut self.s, command, faults);
        let last = self.s.board.board.read_register(offset("LAST_STATUS"));
        assert_eq!(last.unwrap(), status as u32, "{what}: not {status:?}");
        let after = run(&mut self.s, &self.sound, &[]);
        assert_eq!(after.completion.status, 0, "after {what}");
        assert!(after.items > 100, "after {what}: {} items", after.items);
        self.rung += 2;
        report
    }

    /// Where the next descriptor will stand.
    fn descriptor(&self) -> u64 {
        RING + self.rung % (1 << RING_LOG2) * 128
    }

    /// The first expert that the layer's router chooses.
    fn chosen(&self) -> usize {
        self.layer.routes()[0][0].expert
    }
}

/// One beat fails.
fn beat(at: u64, write: bool) -> Fault {
    let at = at / 16 * 16;
    Fault {
        range: at..at + 16,
        reads: !write,
        writes: write,
    }
}

/// First, middle and last beat of a structure.
fn beats(at: u64, bytes: usize) -> [u64; 3] {
    [at, at + bytes as u64 / 2, at + bytes as u64 - 16]
}

fn worlds() -> [Params; 2] {
    [Params::calm(MEMORY, 1), Params::stormy(MEMORY, 2)]
}

#[test]
fn every_read_that_fails_is_told() {
    for params in worlds() {
        let mut b = Bench::new(shape(), params);
        let (c, s) = (b.command, b.layer.shape);
        let expert = c.experts_addr + b.chosen() as u64 * u64::from(c.expert_stride);
        let router = router_bytes(s.d, s.experts, s.router_bias, s.rule.choice_bias);
        for (what, at, bytes) in [
            ("x", c.x_addr, s.tokens * row_bytes(s.d)),
            ("the router's image", c.router_addr, router),
            (
                "an expert's image",
                expert,
                expert_bytes(s.d, s.f, s.gated, s.storage),
            ),
        ] {
            for at in beats(at, bytes) {
                b.expect(what, &c, &[beat(at, false)], Status::ReadError);
            }
        }
        for i in 0..7 {
            let at = b.descriptor() + 16 * i;
            b.expect("the descriptor", &c, &[beat(at, false)], Status::ReadError);
        }
        // What nobody reads may fail: an expert without tokens, the descriptor's last beat.
        let used: Vec<usize> = b
            .layer
            .routes()
            .iter()
            .flatten()
            .map(|c| c.expert)
            .collect();
        let at = b.descriptor() + 112;
        let mut faults = vec![beat(at, false)];
        for idle in (0..s.experts).filter(|e| !used.contains(e)) {
            let at = c.experts_addr + idle as u64 * u64::from(c.expert_stride);
            faults.push(beat(at, false));
        }
        b.expect("what is not read", &c, &faults, Status::Ok);
    }
}

#[test]
fn routes_and_dense_layers_that_cannot_be_read_are_told() {
    for params in worlds() {
        let host = Shape {
            source: Source::Host,
            ..shape()
        };
        let mut b = Bench::new(host, params);
        let c = b.command;
        for at in beats(c.route_addr, host.tokens * ROUTE_BYTES) {
            b.expect("routes", &c, &[beat(at, false)], Status::ReadError);
        }
        let plain = Shape {
            plain: true,
            source: Source::All,
            rule: Rule {
                topk: 1,
                ..Rule::default()
            },
            experts: 1,
            router_bias: false,
            ..shape()
        };
        let mut b = Bench::new(plain, params);
        let c = b.command;
        let bytes = plain_bytes(plain.d, plain.f, plain.storage);
        for at in beats(c.experts_addr, bytes) {
            b.expect("a dense layer", &c, &[beat(at, false)], Status::ReadError);
        }
    }
}

#[test]
fn every_write_that_fails_is_told() {
    for params in worlds() {
        let mut b = Bench::new(shape(), params);
        let (c, s) = (b.command, b.layer.shape);
        let y = beats(c.y_addr, s.tokens * row_bytes(s.d));
        let routes = beats(c.route_addr, s.tokens * ROUTE_BYTES);
        for at in y.into_iter().chain(routes).chain([c.done_addr]) {
            b.expect("a result", &c, &[beat(at, true)], Status::WriteError);
        }
        // Sums that stay in the engine are not written, so nothing can fail.
        let silent = Command {
            flags: FLAG_NO_Y,
            ..c
        };
        b.expect("no y", &silent, &[beat(c.y_addr, true)], Status::Ok);
        // Of several the lowest is told.
        let both = [beat(c.x_addr, false), beat(c.y_addr, true)];
        b.expect("a read and a write", &c, &both, Status::ReadError);
    }
}

/// An image that was prefetched is not read again: what happened to it then is told by the command that uses it.
#[test]
fn a_prefetch_that_failed_is_told_by_the_command_that_uses_it() {
    for params in worlds() {
        let mut b = Bench::new(shape(), params);
        let expert = b.chosen();
        // The range that is watched for writes begins at next_addr: nothing that the command writes is there.
        let c = Command {
            next_addr: b.command.experts_addr,
            ..b.command
        };
        let image = c.experts_addr + expert as u64 * u64::from(c.expert_stride);
        let guess = Command {
            opcode: 3,
            next_addr: c.experts_addr,
            predict: Predict::Hints as u8,
            guesses: 1,
            hints: expert as u64 * 0x0101_0101_0101_0101,
            ..c
        };
        for at in [image, image + 32] {
            let before = b.s.board.counter("PREDICT_HITS").unwrap();
            b.s.run_with(&guess, &[beat(at, false)]).unwrap();
            // It goes on behind the command.
            b.s.board.board.run(4000).unwrap();
            let report = b.s.run_with(&c, &[beat(at, false)]).unwrap();
            assert_eq!(report.completion.status, Status::ReadError as u32);
            let hits = b.s.board.counter("PREDICT_HITS").unwrap() - before;
            assert_eq!(hits, 1, "the image was prefetched");
            b.rung += 2;
            b.expect("the same, read again", &c, &[], Status::Ok);
        }
    }
}

#[test]
fn damaged_images_and_inputs_are_told() {
    let mut b = Bench::new(shape(), Params::calm(MEMORY, 3));
    let c = b.command;
    let expert = c.experts_addr + b.chosen() as u64 * u64::from(c.expert_stride);
    for at in [c.router_addr + 6, expert + 6, expert + 7] {
        let byte = b.s.board.board.memory()[at as usize];
        b.put(at, &[byte ^ 0x10]);
        b.expect("a header", &c, &[], Status::BadImage);
        b.put(at, &[byte]);
    }
    let used: Vec<usize> = b
        .layer
        .routes()
        .iter()
        .flatten()
        .map(|c| c.expert)
        .collect();
    if let Some(idle) = (0..c.experts.into()).find(|e| !used.contains(e)) {
        let at = c.experts_addr + idle as u64 * u64::from(c.expert_stride);
        b.put(at + 6, &[0, 0]);
        b.expect("the header of an idle expert", &c, &[], Status::Ok);
    }
    let last = c.x_addr + 3 * row_bytes(72) as u64 + 4 * 71;
    for v in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        for at in [c.x_addr, last] {
            let before: [u8; 4] = b.s.board.board.memory()[at as usize..][..4]
                .try_into()
                .unwrap();
            b.put(at, &v.to_le_bytes());
            b.expect("x", &c, &[], Status::NonFinite);
            b.put(expert + 6, &[0]);
            b.expect("x and a header", &c, &[], Status::BadImage);
            b.put(expert + 6, &[0x45]);
            b.put(at, &before);
        }
    }
}

/// Lists of experts as no router makes them.
#[test]
fn wrong_lists_from_the_host_are_told_and_left_out() {
    const NONE: u32 = NO_EXPERT;
    for params in worlds() {
        let host = Shape {
            source: Source::Host,
            rule: Rule {
                topk: 3,
                ..Rule::default()
            },
            ..shape()
        };
        let mut b = Bench::new(host, params);
        let c = b.command;
        let cases: [(&str, [u32; 8], Status); 13] = [
            ("nobody", [NONE; 8], Status::Ok),
            ("one", [4, NONE, NONE, 0, 0, 0, 0, 0], Status::Ok),
            ("the last one", [NONE, NONE, 5, 0, 0, 0, 0, 0], Status::Ok),
            ("E", [6, 1, 2, 0, 0, 0, 0, 0], Status::BadRoute),
            ("E at the end", [1, 2, 6, 0, 0, 0, 0, 0], Status::BadRoute),
            ("256 + 1", [257, 1, 2, 0, 0, 0, 0, 0], Status::BadRoute),
            ("2^16", [1 << 16, 1, 2, 0, 0, 0, 0, 0], Status::BadRoute),
            (
                "0xFFFFFFFF",
                [u32::MAX, 1, 2, 0, 0, 0, 0, 0],
                Status::BadRoute,
            ),
            ("0x1FFFF", [0x1FFFF, 1, 2, 0, 0, 0, 0, 0], Status::BadRoute),
            ("one twice", [1, 1, 2, 0, 0, 0, 0, 0], Status::BadRoute),
            (
                "one three times",
                [0, 0, 0, 0, 0, 0, 0, 0],
                Status::BadRoute,
            ),
            (
                "none is right",
                [6, 7, 255, 0, 0, 0, 0, 0],
                Status::BadRoute,
            ),
            // Longer than k: what is beyond has no meaning, whatever it is.
            (
                "too long a list",
                [0, 1, 2, 0, 99, u32::MAX, 3, 4],
                Status::Ok,
            ),
        ];
        for (what, list, status) in cases {
            // For one token, for the last one, and for all.
            for tokens in [0..1, 3..4, 0..4] {
                let good = b.layer.host_routes.clone();
                for (token, entries) in good.iter().enumerate() {
                    let mut bytes = Vec::new();
                    for (slot, &wrong) in list.iter().enumerate() {
                        let (expert, weight) = match tokens.contains(&token) {
                            true => (wrong, 0x1_8000 + slot as u32),
                            false => entries.get(slot).copied().unwrap_or_default(),
                        };
                        bytes.extend(expert.to_le_bytes());
                        bytes.extend(weight.to_le_bytes());
                    }
                    b.put(c.route_addr + 64 * token as u64, &bytes);
                }
                b.expect(what, &c, &[], status);
            }
        }
    }
}

/// One command for each rule; the bench of unit `command` has them all, with every value.
#[test]
fn what_is_refused_leaves_nothing_behind() {
    type Change = fn(&mut Command);
    let config = tiny();
    let mut b = Bench::new(shape(), Params::stormy(MEMORY, 5));
    let good = b.command;
    let rules: [(Status, &[Change]); 5] = [
        (
            Status::BadOpcode,
            &[
                |c| c.opcode = 0,
                |c| c.opcode = 4,
                |c| c.opcode = 255,
                |c| c.flags |= 8,
                |c| c.flags |= 128,
            ],
        ),
        (
            Status::BadMode,
            &[
                |c| c.storage = 3,
                |c| c.storage = 5 << 2,
                |c| c.storage = 1 << 5,
                |c| c.storage |= 1 << 7,
                |c| c.activation = 6,
                |c| c.activation = 4,
                |c| c.activation = 5 | 8,
                |c| c.activation |= 16,
                |c| c.routing |= 3,
                |c| c.predict = 3,
                |c| c.reserved = 1,
                |c| c.reserved2 = 1 << 15,
                |c| c.opcode = 2,
                |c| (c.opcode, c.routing, c.activation) = (2, 2, 1),
            ],
        ),
        (
            Status::BadSize,
            &[
                |c| c.tokens = 0,
                |c| c.tokens = 9,
                |c| c.d = 0,
                |c| c.d = 260,
                |c| c.d = 70,
                |c| c.f = 0,
                |c| c.f = 260,
                |c| c.f = 42,
                |c| (c.opcode, c.routing, c.activation, c.f) = (2, 2, 0, 257),
                |c| c.experts = 0,
                |c| c.experts = 17,
                |c| c.topk = 0,
                |c| c.topk = 7,
                |c| (c.experts, c.topk) = (16, 9),
                |c| c.lsb_y = 201,
                |c| c.lsb_y = -201,
                |c| (c.routing, c.topk) = (c.routing | 3 << 2, 1),
                |c| (c.groups, c.groups_kept) = (4, 2),
                |c| (c.groups, c.groups_kept) = (17, 2),
                |c| (c.groups, c.groups_kept) = (3, 0),
                |c| (c.groups, c.groups_kept) = (3, 4),
                |c| (c.groups, c.groups_kept, c.topk) = (3, 1, 3),
                |c| {
                    (c.groups, c.groups_kept) = (6, 2);
                    c.routing |= ROUTING_GROUP_SUM2;
                },
                |c| c.layer = 8,
                |c| c.guesses = 3,
            ],
        ),
        (
            Status::BadAlign,
            &[
                |c| c.x_addr += 32,
                |c| c.y_addr |= 1,
                |c| c.route_addr += 16,
                |c| c.router_addr += 8,
                |c| c.experts_addr |= 1 << 40,
                |c| c.next_addr = 4,
                |c| c.x_addr |= 1 << 63,
                |c| c.expert_stride += 32,
                |c| c.task_stride += 1,
                // No record can be written there.
                |c| c.done_addr += 16,
                |c| c.done_addr |= 1 << 40,
            ],
        ),
        (
            Status::BadWindow,
            &[
                |c| c.window_words = 0,
                |c| c.window_words = 7,
                |c| c.window_words = 129,
                |c| c.window_words = u16::MAX,
            ],
        ),
    ];
    for (status, changes) in rules {
        for (n, change) in changes.iter().enumerate() {
            let mut command = good;
            change(&mut command);
            assert_eq!(golden::check(&config, &command), Err(status), "rule {n}");
            b.expect(&format!("{status:?} {n}"), &command, &[], status);
        }
    }
    b.expect("nothing", &good, &[], Status::Ok);
}

/// A refused command between two that go on with the same sums does not touch them.
#[test]
fn sums_outlive_a_refused_command() {
    let mut b = Bench::new(shape(), Params::calm(MEMORY, 6));
    let c = b.command;
    let run = |b: &mut Bench, c: &Command, status: Status| {
        let report = b.s.run(c).unwrap();
        assert_eq!(report.completion.status, status as u32);
    };
    let first = Command {
        flags: FLAG_NO_Y,
        ..c
    };
    run(&mut b, &first, Status::Ok);
    run(&mut b, &Command { d: 0, ..c }, Status::BadSize);
    let second = Command {
        flags: FLAG_KEEP_SUMS,
        ..c
    };
    run(&mut b, &second, Status::Ok);
}

/// Registers written right behind CONTROL.reset of an idle engine are kept: the reset comes before what follows it on the bus.
#[test]
fn registers_written_right_after_a_reset_stay() {
    for params in worlds() {
        let mut b = Bench::new(shape(), params);
        let registers = [
            ("RING_BASE_LO", RING as u32),
            ("RING_BASE_HI", 0),
            ("RING_LOG2", RING_LOG2),
            ("SCRATCH", 0x5EED_CAFE),
        ];
        let board = &mut b.s.board.board;
        board.write_register(offset("CONTROL"), 1).unwrap();
        for (name, value) in registers {
            board.write_register(offset(name), value).unwrap();
        }
        for (name, value) in registers {
            assert_eq!(board.read_register(offset(name)).unwrap(), value, "{name}");
        }
        assert_eq!(board.read_register(offset("TAIL")).unwrap(), 0);
        b.expect("after the reset", &b.command.clone(), &[], Status::Ok);
    }
}

/// CONTROL.reset while a command works, at many times: the engine comes back empty and right.
#[test]
fn a_reset_in_the_middle_forgets_everything() {
    for params in worlds() {
        for cycles in (0..60).map(|n| n * n * 2) {
            let mut b = Bench::new(shape(), params);
            let descriptor = b.command.to_bytes();
            b.put(RING, &descriptor);
            let board = &mut b.s.board.board;
            board.write_register(offset("TAIL"), 1).unwrap();
            board.run(cycles).unwrap();
            let control = board.read_register(offset("CONTROL")).unwrap();
            board
                .write_register(offset("CONTROL"), control | 1)
                .unwrap();
            let mut left = 1000;
            while board.read_register(offset("DONE_COUNT")).unwrap() != 0
                || board.read_register(offset("TAIL")).unwrap() != 0
            {
                left -= 1;
                assert!(left > 0, "reset after {cycles} cycles is never done");
                board.run(50).unwrap();
            }
            for (name, value) in [
                ("RING_BASE_LO", RING as u32),
                ("RING_BASE_HI", 0),
                ("RING_LOG2", RING_LOG2),
            ] {
                board.write_register(offset(name), value).unwrap();
            }
            b.expect("a reset", &b.command.clone(), &[], Status::Ok);
        }
    }
}
