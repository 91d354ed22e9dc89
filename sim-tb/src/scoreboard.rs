//! The scoreboard: one command on the simulated board and on `golden`, compared item by item as the engine works.

use crate::board::{Params, TapItem};
use crate::library::Error;
use crate::sim_board::{SimBoard, Waveform};
use abi::command::COMMAND_STRIDE;
use abi::registers::offset;
use abi::{Command, Completion, Config, Kind};
use golden::{Operand, Trace};
use std::collections::VecDeque;
use std::fmt::Write;

/// Cycles between two comparisons.
const SLICE: u64 = 1000;

/// The first place where the engine is not what `golden` says, or why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// The simulation itself failed.
    #[error(transparent)]
    Sim(#[from] Error),
    /// A stream inside the engine shows another value.
    #[error("{unit}: item {index} at cycle {cycle} differs (seed {seed}): expected {expected}, got {got}")]
    Item {
        /// The stream, named as its taps.
        unit: String,
        /// Number of the item in the command.
        index: usize,
        /// Cycle since the board was made.
        cycle: u64,
        /// Seed of the board.
        seed: u64,
        /// Fields as `golden` has them.
        expected: String,
        /// Fields as the engine has them.
        got: String,
    },
    /// A stream has fewer or more items.
    #[error("{unit}: {got} items, {expected} expected (seed {seed}; the next would be {next})")]
    Count {
        /// The stream.
        unit: String,
        /// Items seen.
        got: usize,
        /// Items of `golden`.
        expected: usize,
        /// Seed of the board.
        seed: u64,
        /// The first item that is missing.
        next: String,
    },
    /// A result of the command differs.
    #[error("{what} differs (seed {seed}): expected {expected}, got {got}")]
    Result {
        /// Completion record, counter or byte of card memory.
        what: String,
        /// Seed of the board.
        seed: u64,
        /// As `golden` says.
        expected: String,
        /// As the engine says.
        got: String,
    },
    /// The engine did not finish.
    #[error("the command did not finish within {cycles} cycles (seed {seed}; {state}); items seen and expected: {progress}")]
    Hung {
        /// Cycles waited.
        cycles: u64,
        /// Seed of the board.
        seed: u64,
        /// What was on its way.
        state: String,
        /// Per stream.
        progress: String,
    },
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The completion record.
    pub completion: Completion,
    /// Items of inner streams that were compared.
    pub items: usize,
    /// Multiply-accumulates that the engine counted for this command.
    pub macs: u64,
}

/// One field of an item: name, bytes, signed.
type Field = (&'static str, usize, bool);

/// A stream: its tap's name and the fields of an item from byte 0 up. An empty name is not compared.
struct Stream {
    name: &'static str,
    fields: &'static [Field],
}

/// The engine's streams, as `docs/architecture.md` lists the taps.
const STREAMS: [Stream; 7] = [
    Stream {
        name: "xblock",
        fields: &[
            ("token", 1, false),
            ("block", 2, false),
            ("B", 1, false),
            ("q8", 32, false),
        ],
    },
    Stream {
        name: "logit",
        fields: &[
            ("token", 1, false),
            ("expert", 1, false),
            ("value", 8, true),
        ],
    },
    Stream {
        name: "route",
        fields: &[
            ("token", 1, false),
            ("slot", 1, false),
            ("expert", 1, false),
            ("weight", 3, false),
        ],
    },
    Stream {
        name: "acc",
        fields: &[
            ("kind", 1, false),
            ("up", 1, false),
            ("limb", 1, false),
            ("row", 2, false),
            ("q", 1, false),
            ("token", 1, false),
            ("", 2, true),
            ("acc", 6, true),
        ],
    },
    Stream {
        name: "h",
        fields: &[("q", 1, false), ("row", 2, false), ("f32", 4, false)],
    },
    Stream {
        name: "hblock",
        fields: &[
            ("q", 1, false),
            ("block", 2, false),
            ("B", 1, false),
            ("q8", 32, false),
        ],
    },
    Stream {
        name: "y",
        fields: &[
            ("0", 4, true),
            ("1", 4, true),
            ("2", 4, true),
            ("3", 4, true),
        ],
    },
];

impl Stream {
    fn bytes(&self) -> usize {
        self.fields.iter().map(|f| f.1).sum()
    }
    fn parts<'a>(&self, item: &'a [u8]) -> Vec<(&'static str, &'a [u8], bool)> {
        let mut rest = item;
        let mut parts = Vec::new();
        for &(name, n, signed) in self.fields {
            let (part, tail) = rest.split_at(n);
            parts.push((name, part, signed));
            rest = tail;
        }
        parts
    }
    fn same(&self, a: &[u8], b: &[u8]) -> bool {
        let n = self.bytes();
        self.parts(&a[..n])
            .iter()
            .zip(self.parts(&b[..n]))
            .all(|(x, y)| x.0.is_empty() || x.1 == y.1)
    }
    fn words(&self, item: &[u8]) -> String {
        let mut s = String::new();
        for (name, bytes, signed) in self.parts(&item[..self.bytes()]) {
            if name.is_empty() {
                continue;
            }
            if !s.is_empty() {
                s.push(' ');
            }
            if bytes.len() > 8 {
                let values: Vec<i8> = bytes.iter().map(|b| *b as i8).collect();
                let _ = write!(s, "{name}={values:?}");
                continue;
            }
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            let unused = 64 - 8 * bytes.len() as u32;
            let value = u64::from_le_bytes(word);
            let _ = match signed {
                true => write!(s, "{name}={}", (value << unused) as i64 >> unused),
                false => write!(s, "{name}={value}"),
            };
        }
        s
    }
}

/// What is expected of one stream, and how far the engine is.
struct Lane {
    stream: &'static Stream,
    tap: usize,
    expected: Vec<Vec<u8>>,
    /// Items that may come in any order among themselves: ends of such runs. Empty: all in order.
    runs: VecDeque<usize>,
    /// Items of the current run that came so far.
    pending: Vec<TapItem>,
    seen: usize,
}

impl Lane {
    fn compare(&self, at: usize, item: &TapItem, seed: u64) -> Result<(), Mismatch> {
        let Some(expected) = self.expected.get(at) else {
            return Err(self.count(at + 1, seed));
        };
        if self.stream.same(expected, &item.bytes) {
            return Ok(());
        }
        Err(Mismatch::Item {
            unit: self.stream.name.into(),
            index: at,
            cycle: item.cycle,
            seed,
            expected: self.stream.words(expected),
            got: self.stream.words(&item.bytes),
        })
    }
    fn count(&self, got: usize, seed: u64) -> Mismatch {
        Mismatch::Count {
            unit: self.stream.name.into(),
            got,
            expected: self.expected.len(),
            seed,
            next: self
                .expected
                .get(got)
                .map_or("none".into(), |e| self.stream.words(e)),
        }
    }
    fn take(&mut self, item: TapItem, seed: u64) -> Result<(), Mismatch> {
        if self.runs.is_empty() {
            self.compare(self.seen, &item, seed)?;
            self.seen += 1;
            return Ok(());
        }
        self.pending.push(item);
        if Some(&(self.seen + self.pending.len())) == self.runs.front() {
            self.runs.pop_front();
            // By place in the queue, then by block: the order of `golden`.
            self.pending
                .sort_by_key(|i| (i.bytes[0], i.bytes[2], i.bytes[1]));
            for item in std::mem::take(&mut self.pending) {
                self.compare(self.seen, &item, seed)?;
                self.seen += 1;
            }
        }
        Ok(())
    }
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn as_bytes(q: &[i8]) -> Vec<u8> {
    q.iter().map(|v| *v as u8).collect()
}

/// The items of stream `name` as the engine's taps lay them out.
fn items(name: &str, t: &Trace) -> Vec<Vec<u8>> {
    let u16s = |v: usize| (v as u16).to_le_bytes();
    match name {
        "xblock" => t
            .x_blocks
            .iter()
            .map(|e| {
                join(&[
                    &[e.token as u8],
                    &u16s(e.block),
                    &[e.exponent],
                    &as_bytes(&e.q8),
                ])
            })
            .collect(),
        "logit" => t
            .logits
            .iter()
            .map(|e| join(&[&[e.token as u8, e.expert as u8], &e.logit.to_le_bytes()]))
            .collect(),
        "route" => t
            .routes
            .iter()
            .map(|e| {
                join(&[
                    &[e.token as u8, e.slot as u8, e.expert as u8],
                    &e.weight.to_le_bytes()[..3],
                ])
            })
            .collect(),
        "acc" => t
            .acc
            .iter()
            .map(|e| {
                let q = if e.kind == Kind::Router {
                    0
                } else {
                    e.position
                };
                join(&[
                    &[
                        e.kind as u8,
                        (e.operand == Operand::Up).into(),
                        (e.operand == Operand::Lo).into(),
                    ],
                    &u16s(e.row),
                    &[q as u8, e.token as u8, 0, 0],
                    &e.acc.to_le_bytes()[..6],
                ])
            })
            .collect(),
        "h" => t
            .hidden
            .iter()
            .map(|e| join(&[&[e.position as u8], &u16s(e.row), &e.bits.to_le_bytes()]))
            .collect(),
        "hblock" => t
            .hidden_blocks
            .iter()
            .map(|e| {
                join(&[
                    &[e.position as u8],
                    &u16s(e.block),
                    &[e.exponent],
                    &as_bytes(&e.q8),
                ])
            })
            .collect(),
        "y" => {
            let mut beats: Vec<Vec<u8>> = Vec::new();
            for e in &t.y {
                if e.row % 4 == 0 {
                    beats.push(vec![0; 16]);
                }
                if let Some(beat) = beats.last_mut() {
                    let at = e.row % 4 * 4;
                    beat[at..at + 4].copy_from_slice(&e.y.to_le_bytes());
                }
            }
            beats
        }
        _ => Vec::new(),
    }
}

/// Ends of the runs of hidden blocks that belong to one expert.
fn expert_runs(t: &Trace) -> VecDeque<usize> {
    let blocks = &t.hidden_blocks;
    (1..=blocks.len())
        .filter(|&i| i == blocks.len() || blocks[i].expert != blocks[i - 1].expert)
        .collect()
}

/// A simulated board and its judge.
pub struct Scoreboard {
    /// The board; its card memory may be filled by any way before a command.
    pub board: SimBoard,
    golden: golden::Engine,
    ring: u64,
    log2: u32,
    issued: u16,
}

impl Scoreboard {
    /// A board of the configuration called `name` with a command ring of 2^`log2` descriptors at `ring`.
    ///
    /// # Errors
    /// As [`SimBoard::with`].
    pub fn new(
        name: &str,
        params: Params,
        ring: u64,
        log2: u32,
        waveform: Option<&Waveform>,
    ) -> Result<Scoreboard, Error> {
        let mut board = SimBoard::with(name, params, waveform)?;
        let b = &mut board.board;
        b.write_register(offset("RING_BASE_LO"), ring as u32)?;
        b.write_register(offset("RING_BASE_HI"), (ring >> 32) as u32)?;
        b.write_register(offset("RING_LOG2"), log2)?;
        let config: Config = *board.config();
        Ok(Scoreboard {
            board,
            golden: golden::Engine::new(config, true),
            ring,
            log2,
            issued: 0,
        })
    }

    /// Executes `command` on both and compares: inner streams as they come, then the completion record, LAST_STATUS, the MAC
    /// counter and every byte of card memory.
    ///
    /// # Errors
    /// The first difference.
    pub fn run(&mut self, command: &Command) -> Result<Report, Mismatch> {
        let seed = self.board.board.params().seed;
        let slot = u64::from(self.issued) % (1 << self.log2);
        let at = self.ring + slot * COMMAND_STRIDE;
        let macs = self.board.counter("MACS")?;
        let b = &mut self.board.board;
        b.copy_in(&command.to_bytes(), at)?;
        let mut memory = b.memory().to_vec();
        let outcome = self.golden.run_command(&mut memory, at);
        let trace = self.golden.take_trace();
        let mut lanes: Vec<Lane> = Vec::new();
        for stream in &STREAMS {
            let taps = b.library().taps();
            let tap = taps.iter().position(|t| t == stream.name);
            lanes.push(Lane {
                stream,
                tap: tap.ok_or_else(|| {
                    Error::Config(format!("the engine has no tap `{}`", stream.name))
                })?,
                expected: items(stream.name, &trace),
                runs: if stream.name == "hblock" {
                    expert_runs(&trace)
                } else {
                    VecDeque::new()
                },
                pending: Vec::new(),
                seen: 0,
            });
        }
        self.issued = self.issued.wrapping_add(1);
        let first = b.cycles();
        b.record(true);
        b.write_register(offset("TAIL"), self.issued.into())?;
        loop {
            b.run(SLICE)?;
            let done = b.read_register(offset("DONE_COUNT"))?;
            for item in b.recorded() {
                if let Some(lane) = lanes.iter_mut().find(|l| l.tap == item.stream) {
                    lane.take(item, seed)?;
                }
            }
            if done == self.issued.into() {
                break;
            }
            let cycles = b.cycles() - first;
            if cycles >= b.deadline {
                let progress = lanes.iter().map(|l| {
                    let seen = l.seen + l.pending.len();
                    format!("{} {seen}/{}", l.stream.name, l.expected.len())
                });
                return Err(Mismatch::Hung {
                    cycles,
                    seed,
                    progress: progress.collect::<Vec<_>>().join(", "),
                    state: b.state(),
                });
            }
        }
        b.record(false);
        for lane in &lanes {
            if lane.seen != lane.expected.len() {
                return Err(lane.count(lane.seen + lane.pending.len(), seed));
            }
        }
        self.results(command, &outcome, memory, macs, seed)
            .map(|r| Report {
                items: lanes.iter().map(|l| l.seen).sum(),
                ..r
            })
    }

    fn results(
        &mut self,
        command: &Command,
        outcome: &golden::Outcome,
        mut memory: Vec<u8>,
        macs_before: u64,
        seed: u64,
    ) -> Result<Report, Mismatch> {
        let differs = |what: &str, expected: String, got: String| {
            Err(Mismatch::Result {
                what: what.into(),
                seed,
                expected,
                got,
            })
        };
        let macs = self.board.counter("MACS")?.wrapping_sub(macs_before);
        let b = &mut self.board.board;
        let status = b.read_register(offset("LAST_STATUS"))?;
        if status != outcome.status as u32 {
            return differs(
                "LAST_STATUS",
                (outcome.status as u32).to_string(),
                status.to_string(),
            );
        }
        if macs != outcome.counters.macs {
            return differs(
                "the MAC counter",
                outcome.counters.macs.to_string(),
                macs.to_string(),
            );
        }
        let done = command.done_addr as usize;
        let mut completion = outcome.completion;
        if let Some(record) = b.memory().get(done..done + 16) {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(record);
            completion = Completion::from_bytes(&bytes);
            // The cycles are the engine's own; golden has no clock.
            let expected = Completion {
                cycles: completion.cycles,
                ..outcome.completion
            };
            if completion != expected {
                return differs(
                    "the completion record",
                    format!("{expected:?}"),
                    format!("{completion:?}"),
                );
            }
            memory[done..done + 16].copy_from_slice(&bytes);
        }
        let differ = memory != b.memory();
        if let Some(i) = (0..memory.len()).find(|&i| differ && memory[i] != b.memory()[i]) {
            return differs(
                &format!("card memory at 0x{i:X} ({})", place(command, i as u64)),
                format!("{:02x}", memory[i]),
                format!("{:02x}", b.memory()[i]),
            );
        }
        Ok(Report {
            completion,
            items: 0,
            macs,
        })
    }
}

/// Which of a command's structures an address belongs to.
fn place(c: &Command, at: u64) -> String {
    let row = abi::layout::row_bytes(c.d.into()) as u64;
    let tokens = u64::from(c.tokens);
    let inside = |base: u64, len: u64| at >= base && at - base < len;
    if inside(c.y_addr, tokens * row) {
        let i = at - c.y_addr;
        format!("y, token {}, element {}", i / row, i % row / 4)
    } else if inside(c.route_addr, tokens * abi::layout::ROUTE_BYTES as u64) {
        let i = at - c.route_addr;
        format!("routes, token {}, entry {}", i / 64, i % 64 / 8)
    } else {
        "nothing that the command writes".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(name: &str, expected: Vec<Vec<u8>>, runs: &[usize]) -> Lane {
        Lane {
            stream: STREAMS.iter().find(|s| s.name == name).unwrap(),
            tap: 0,
            expected,
            runs: runs.iter().copied().collect(),
            pending: Vec::new(),
            seen: 0,
        }
    }

    fn item(bytes: &[u8], cycle: u64) -> TapItem {
        // Taps come in whole words.
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        TapItem {
            cycle,
            stream: 0,
            bytes,
        }
    }

    fn acc(row: u8, lsb: u8, value: u8) -> Vec<u8> {
        vec![
            1, 0, 0, row, 0, 2, 3, lsb, 0, value, 255, 255, 255, 255, 255,
        ]
    }

    #[test]
    fn fields_are_printed_and_a_nameless_one_is_not_compared() {
        let mut l = lane("acc", vec![acc(4, 0, 246), acc(5, 0, 246)], &[]);
        l.take(item(&acc(4, 77, 246), 10), 1).unwrap();
        let e = l.take(item(&acc(5, 0, 247), 11), 9).unwrap_err();
        assert_eq!(
            e.to_string(),
            "acc: item 1 at cycle 11 differs (seed 9): expected kind=1 up=0 limb=0 row=5 q=2 token=3 acc=-10, \
             got kind=1 up=0 limb=0 row=5 q=2 token=3 acc=-9"
        );
    }

    #[test]
    fn an_item_too_many_and_one_too_few_are_found() {
        let mut l = lane("h", vec![vec![1, 2, 0, 3, 4, 5, 6]], &[]);
        assert!(l.count(0, 1).to_string().contains("h: 0 items, 1 expected"));
        l.take(item(&[1, 2, 0, 3, 4, 5, 6], 1), 1).unwrap();
        let e = l.take(item(&[1, 2, 0, 3, 4, 5, 6], 2), 1).unwrap_err();
        assert!(
            matches!(
                e,
                Mismatch::Count {
                    got: 2,
                    expected: 1,
                    ..
                }
            ),
            "{e}"
        );
    }

    #[test]
    fn hidden_blocks_of_one_expert_may_come_in_any_order_but_not_of_two() {
        let block = |q: u8, b: u8, v: u8| {
            let mut x = vec![q, b, 0, 9];
            x.extend([v; 32]);
            x
        };
        let expected = vec![
            block(0, 0, 1),
            block(0, 1, 2),
            block(1, 0, 3),
            block(0, 0, 4),
        ];
        let mut l = lane("hblock", expected.clone(), &[3, 4]);
        for i in [1, 2, 0, 3] {
            l.take(item(&expected[i], i as u64), 1).unwrap();
        }
        assert_eq!(l.seen, 4);
        let mut l = lane("hblock", expected.clone(), &[3, 4]);
        l.take(item(&expected[1], 0), 1).unwrap();
        l.take(item(&expected[3], 1), 1).unwrap();
        let e = l.take(item(&expected[2], 2), 1).unwrap_err();
        assert!(
            matches!(
                e,
                Mismatch::Item {
                    index: 0,
                    cycle: 1,
                    ..
                }
            ),
            "{e}"
        );
    }

    #[test]
    fn an_address_is_told_by_its_place() {
        let c = Command {
            tokens: 2,
            d: 6,
            y_addr: 64,
            route_addr: 128,
            ..Command::default()
        };
        assert_eq!(place(&c, 64 + 32 + 5), "y, token 1, element 1");
        assert_eq!(place(&c, 128 + 64 + 9), "routes, token 1, entry 1");
        assert_eq!(place(&c, 300), "nothing that the command writes");
    }
}
