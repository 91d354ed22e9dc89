//! The scoreboard: one command on the simulated board and on `golden`, compared item by item as the engine works.

use crate::board::Params;
use crate::library::Error;
use crate::sim_board::{SimBoard, Waveform};
use abi::command::COMMAND_STRIDE;
use abi::registers::offset;
use abi::{Command, Completion, Config, Kind, Opcode, Status, BLOCK};
use golden::{Memory, Operand, OutOfRange, Trace};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;

/// Cycles between two comparisons.
const SLICE: u64 = 1000;

/// The first place where the engine is not what `golden` says, or why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// The simulation itself failed.
    #[error(transparent)]
    Sim(#[from] Error),
    /// A stream inside the engine shows another value.
    #[error("{unit}, {place}: item {index} at cycle {cycle} differs (seed {seed}): expected {expected}, got {got}")]
    Item {
        /// The stream, named as its taps.
        unit: String,
        /// Which item: expert, token, row and so on.
        place: String,
        /// Items of the stream that came before it.
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
    #[error("{unit}: {got} items, {expected} expected (seed {seed}; the first that is missing is {next})")]
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

/// The place of an item in a command, whatever the order in which the engine comes to it: fields of [`Stream::key`], the first
/// one highest.
type Key = u64;

/// What stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    /// A number.
    Number(i64),
    /// A block: exponent and values.
    Block(u8, [i8; BLOCK]),
    /// A beat of y.
    Beat([i32; 4]),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(n) => write!(f, "{n}"),
            Value::Block(b, q8) => write!(f, "B={b} {q8:?}"),
            Value::Beat(y) => write!(f, "{y:?}"),
        }
    }
}

/// A stream: its tap's name, and the fields of a key with their bits. The order of experts depends on what was prefetched and on
/// when it came, the order within one on the windows: so items are known by what they are, not by when they come.
struct Stream {
    name: &'static str,
    key: &'static [(&'static str, u32)],
}

/// The engine's streams, as `docs/architecture.md` lists the taps. `acc` comes before those that depend on its order.
const STREAMS: [Stream; 7] = [
    Stream {
        name: "xblock",
        key: &[("token", 8), ("block", 16)],
    },
    Stream {
        name: "acc",
        key: &[
            ("kind", 2),
            ("expert", 8),
            ("token", 8),
            ("row", 16),
            ("operand", 3),
        ],
    },
    Stream {
        name: "logit",
        key: &[("token", 8), ("expert", 8)],
    },
    Stream {
        name: "route",
        key: &[("token", 8), ("expert", 8)],
    },
    Stream {
        name: "h",
        key: &[("expert", 8), ("q", 8), ("row", 16)],
    },
    Stream {
        name: "hblock",
        key: &[("expert", 8), ("q", 8), ("block", 16)],
    },
    Stream {
        name: "y",
        key: &[("beat", 32)],
    },
];

impl Stream {
    fn key(&self, fields: &[usize]) -> Key {
        assert_eq!(fields.len(), self.key.len(), "fields of {}", self.name);
        self.key
            .iter()
            .zip(fields)
            .fold(0, |all, (&(_, bits), &v)| {
                assert!(v >> bits == 0, "{v} has more than {bits} bits");
                all << bits | v as u64
            })
    }
    fn words(&self, mut key: Key) -> String {
        let mut parts = Vec::new();
        for &(name, bits) in self.key.iter().rev() {
            parts.push(format!("{name}={}", key & ((1 << bits) - 1)));
            key >>= bits;
        }
        parts.reverse();
        parts.join(" ")
    }
}

/// Number of an operand in keys.
fn operand(o: Operand) -> usize {
    match o {
        Operand::Hi => 0,
        Operand::Lo => 1,
        Operand::Gate => 2,
        Operand::Up => 3,
        Operand::Down => 4,
        Operand::Plain => 5,
    }
}

/// What is expected of one stream, and how far the engine is.
struct Lane {
    stream: &'static Stream,
    tap: usize,
    expected: HashMap<Key, Value>,
    /// Keys that have come.
    seen: HashSet<Key>,
}

impl Lane {
    fn of(stream: &'static Stream, tap: usize, items: Vec<(Key, Value)>) -> Lane {
        let count = items.len();
        let expected: HashMap<Key, Value> = items.into_iter().collect();
        assert_eq!(expected.len(), count, "golden has two items of one place");
        Lane {
            stream,
            tap,
            expected,
            seen: HashSet::new(),
        }
    }
    fn take(&mut self, key: Key, got: &Value, cycle: u64, seed: u64) -> Result<(), Mismatch> {
        let index = self.seen.len();
        let expected = match self.expected.get(&key) {
            Some(e) if !self.seen.insert(key) => format!("once, and that was {e}"),
            Some(e) if e == got => return Ok(()),
            Some(e) => e.to_string(),
            None => "nothing".into(),
        };
        Err(Mismatch::Item {
            unit: self.stream.name.into(),
            place: self.stream.words(key),
            index,
            cycle,
            seed,
            expected,
            got: got.to_string(),
        })
    }
    /// Whether all has come.
    fn complete(&self, seed: u64) -> Result<(), Mismatch> {
        let missing = self
            .expected
            .keys()
            .filter(|k| !self.seen.contains(k))
            .min();
        let Some(next) = missing else { return Ok(()) };
        Err(Mismatch::Count {
            unit: self.stream.name.into(),
            got: self.seen.len(),
            expected: self.expected.len(),
            seed,
            next: self.stream.words(*next),
        })
    }
}

/// The items of stream `name` by golden's trace.
fn items(stream: &Stream, t: &Trace) -> Vec<(Key, Value)> {
    let number = |fields: &[usize], v: i64| (stream.key(fields), Value::Number(v));
    match stream.name {
        "xblock" => (t.x_blocks.iter())
            .map(|e| {
                let key = stream.key(&[e.token, e.block]);
                (key, Value::Block(e.exponent, e.q8))
            })
            .collect(),
        "acc" => (t.acc.iter())
            .map(|e| {
                let fields = [
                    e.kind as usize,
                    e.expert,
                    e.token,
                    e.row,
                    operand(e.operand),
                ];
                number(&fields, e.acc)
            })
            .collect(),
        "logit" => (t.logits.iter())
            .map(|e| number(&[e.token, e.expert], e.logit))
            .collect(),
        "route" => (t.routes.iter())
            .map(|e| number(&[e.token, e.expert], e.weight.into()))
            .collect(),
        "h" => (t.hidden.iter())
            .map(|e| number(&[e.expert, e.position, e.row], e.bits.into()))
            .collect(),
        "hblock" => (t.hidden_blocks.iter())
            .map(|e| {
                let key = stream.key(&[e.expert, e.position, e.block]);
                (key, Value::Block(e.exponent, e.q8))
            })
            .collect(),
        "y" => {
            let mut beats: Vec<[i32; 4]> = Vec::new();
            for e in &t.y {
                if e.row % 4 == 0 {
                    beats.push([0; 4]);
                }
                if let Some(beat) = beats.last_mut() {
                    beat[e.row % 4] = e.y;
                }
            }
            (beats.into_iter().enumerate())
                .map(|(i, beat)| (i as u64, Value::Beat(beat)))
                .collect()
        }
        other => panic!("the scoreboard has no stream {other}"),
    }
}

/// Reads a tap's bytes, field by field.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take(&mut self, bytes: usize) -> u64 {
        let (head, tail) = self.0.split_at(bytes);
        self.0 = tail;
        (head.iter().rev()).fold(0, |all, &b| all << 8 | u64::from(b))
    }
    fn index(&mut self, bytes: usize) -> usize {
        self.take(bytes) as usize
    }
    fn signed(&mut self, bytes: usize) -> i64 {
        let unused = 64 - 8 * bytes as u32;
        (self.take(bytes) << unused) as i64 >> unused
    }
    fn block(&mut self) -> Value {
        let b = self.take(1) as u8;
        Value::Block(b, std::array::from_fn(|_| self.take(1) as u8 as i8))
    }
}

/// Gives the engine's items their keys. The taps of `h` and `hblock` do not name their expert; the array works on one expert's hidden
/// rows at a time and the units behind it keep their order, so the `acc` stream tells.
struct Reading {
    /// Experts in the order of their hidden rows, with the number of rows so far (of all queued tokens).
    hidden: Vec<(usize, usize)>,
    /// Hidden elements read, of which experts, and blocks.
    h: (usize, usize),
    hblock: (usize, usize),
    /// Blocks of each expert.
    blocks: HashMap<usize, usize>,
    y: usize,
}

impl Reading {
    fn new(t: &Trace) -> Reading {
        let mut blocks = HashMap::new();
        for e in &t.hidden_blocks {
            *blocks.entry(e.expert).or_insert(0) += 1;
        }
        Reading {
            hidden: Vec::new(),
            h: (0, 0),
            hblock: (0, 0),
            blocks,
            y: 0,
        }
    }

    /// The expert of the next item of a stream of which `limit(expert)` items belong to each expert; more than there are: 255.
    fn expert(
        hidden: &[(usize, usize)],
        at: &mut (usize, usize),
        limit: impl Fn((usize, usize)) -> usize,
    ) -> usize {
        while let Some(&e) = hidden.get(at.0) {
            if at.1 < limit(e) || at.0 + 1 == hidden.len() {
                at.1 += 1;
                return e.0;
            }
            *at = (at.0 + 1, 0);
        }
        255
    }

    /// The items that a tap's record holds.
    fn read(&mut self, stream: &Stream, bytes: &[u8]) -> Vec<(Key, Value)> {
        let mut f = Fields(bytes);
        match stream.name {
            "xblock" => {
                let fields = [f.index(1), f.index(2)];
                vec![(stream.key(&fields), f.block())]
            }
            "acc" => {
                let (kind, expert, pair, limb) = (f.index(1), f.index(1), f.take(1), f.take(1));
                let (row, _q, token) = (f.index(2), f.take(1), f.index(1));
                let _lsb = (f.take(2), f.take(2));
                let (a, b) = (f.signed(5), f.signed(5));
                let key = |o: Operand| {
                    let expert = if o == Operand::Hi || o == Operand::Lo || o == Operand::Plain {
                        0
                    } else {
                        expert
                    };
                    stream.key(&[kind, expert, token, row, operand(o)])
                };
                let first = match kind {
                    0 if limb == 0 => Operand::Hi,
                    0 => Operand::Lo,
                    1 => Operand::Gate,
                    2 => Operand::Down,
                    _ => Operand::Plain,
                };
                let mut items = vec![(key(first), Value::Number(a))];
                if pair == 1 {
                    items.push((key(Operand::Up), Value::Number(b)));
                }
                if kind == Kind::Hidden as usize {
                    match self.hidden.last_mut() {
                        Some((last, rows)) if *last == expert => *rows += 1,
                        _ => self.hidden.push((expert, 1)),
                    }
                }
                items
            }
            "logit" => {
                let fields = [f.index(1), f.index(1)];
                vec![(stream.key(&fields), Value::Number(f.signed(8)))]
            }
            "route" => {
                // The slot: of the router's choices it is seen in memory.
                let (token, _slot, expert) = (f.index(1), f.take(1), f.index(1));
                let key = stream.key(&[token, expert]);
                vec![(key, Value::Number(f.take(3) as i64))]
            }
            "h" => {
                let (q, row) = (f.index(1), f.index(2));
                let expert = Self::expert(&self.hidden, &mut self.h, |e| e.1);
                let key = stream.key(&[expert, q, row]);
                vec![(key, Value::Number(f.take(4) as i64))]
            }
            "hblock" => {
                let (q, block) = (f.index(1), f.index(2));
                let blocks = |e: (usize, usize)| self.blocks.get(&e.0).copied().unwrap_or(0);
                let expert = Self::expert(&self.hidden, &mut self.hblock, blocks);
                vec![(stream.key(&[expert, q, block]), f.block())]
            }
            _ => {
                let beat = std::array::from_fn(|_| f.signed(4) as i32);
                self.y += 1;
                vec![(self.y as u64 - 1, Value::Beat(beat))]
            }
        }
    }
}

/// Addresses at which card memory answers with an error during one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// First to last address.
    pub range: Range<u64>,
    /// Reads fail.
    pub reads: bool,
    /// Writes fail.
    pub writes: bool,
}

impl Fault {
    fn hits(&self, write: bool, address: u64, bytes: usize) -> bool {
        let kind = if write { self.writes } else { self.reads };
        kind && address < self.range.end && address + bytes as u64 > self.range.start
    }
}

/// A copy of card memory with faults, for golden.
struct Faulty<'a> {
    bytes: &'a mut Vec<u8>,
    faults: &'a [Fault],
}

impl Memory for Faulty<'_> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), OutOfRange> {
        let n = bytes.len();
        if self.faults.iter().any(|f| f.hits(false, address, n)) {
            return Err(OutOfRange { address, bytes: n });
        }
        self.bytes.read(address, bytes)
    }
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), OutOfRange> {
        let n = bytes.len();
        if self.faults.iter().any(|f| f.hits(true, address, n)) {
            return Err(OutOfRange { address, bytes: n });
        }
        self.bytes.write(address, bytes)
    }
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
        self.run_with(command, &[])
    }

    /// The task whose gates the following commands use.
    ///
    /// # Errors
    /// As [`crate::board::Board::write_register`].
    pub fn set_task(&mut self, task: u8) -> Result<(), Error> {
        self.golden.set_task(task);
        self.board.board.write_register(offset("TASK"), task.into())
    }

    /// Writes an entry of the prediction table, which changes no result.
    ///
    /// # Errors
    /// As [`crate::board::Board::write_register`].
    pub fn set_prediction(&mut self, index: u16, data: u16) -> Result<(), Error> {
        let b = &mut self.board.board;
        b.write_register(offset("PREDICT_INDEX"), index.into())?;
        b.write_register(offset("PREDICT_DATA"), data.into())
    }

    /// As [`Scoreboard::run`], with addresses that fail. After a failed read only the status and the record are compared, for the
    /// engine goes on with whatever the bus gave it; after a failed write all but card memory.
    ///
    /// # Errors
    /// The first difference.
    pub fn run_with(&mut self, command: &Command, faults: &[Fault]) -> Result<Report, Mismatch> {
        let seed = self.board.board.params().seed;
        let slot = u64::from(self.issued) % (1 << self.log2);
        let at = self.ring + slot * COMMAND_STRIDE;
        let macs = self.board.counter("MACS")?;
        let b = &mut self.board.board;
        b.copy_in(&command.to_bytes(), at)?;
        let mut memory = b.memory().to_vec();
        for f in faults {
            b.fail(f.range.clone(), f.reads, f.writes);
        }
        let bytes = &mut memory;
        let outcome = self.golden.run_command(&mut Faulty { bytes, faults }, at);
        let exact = outcome.status != Status::ReadError;
        let trace = self.golden.take_trace();
        let mut reading = Reading::new(&trace);
        let mut lanes: Vec<Lane> = Vec::new();
        for stream in &STREAMS {
            let taps = b.library().taps();
            let tap = taps.iter().position(|t| t == stream.name);
            let missing = || Error::Config(format!("the engine has no tap `{}`", stream.name));
            let tap = tap.ok_or_else(missing)?;
            lanes.push(Lane::of(stream, tap, items(stream, &trace)));
        }
        self.issued = self.issued.wrapping_add(1);
        let first = b.cycles();
        b.record(true);
        b.write_register(offset("TAIL"), self.issued.into())?;
        loop {
            b.run(SLICE)?;
            let done = b.read_register(offset("DONE_COUNT"))?;
            // Stream by stream: what a stream's order tells must be known to those behind it.
            let recorded = b.recorded();
            for lane in lanes.iter_mut().filter(|_| exact) {
                let tap = lane.tap;
                for item in recorded.iter().filter(|i| i.stream == tap) {
                    for (key, value) in reading.read(lane.stream, &item.bytes) {
                        lane.take(key, &value, item.cycle, seed)?;
                    }
                }
            }
            if done == u32::from(self.issued) {
                break;
            }
            let cycles = b.cycles() - first;
            if cycles >= b.deadline {
                let progress = lanes
                    .iter()
                    .map(|l| format!("{} {}/{}", l.stream.name, l.seen.len(), l.expected.len()));
                return Err(Mismatch::Hung {
                    cycles,
                    seed,
                    progress: progress.collect::<Vec<_>>().join(", "),
                    state: b.state(),
                });
            }
        }
        b.record(false);
        b.heal();
        for lane in lanes.iter().filter(|_| exact) {
            lane.complete(seed)?;
        }
        self.results(command, &outcome, memory, macs, faults)
            .map(|r| Report {
                items: lanes.iter().map(|l| l.seen.len()).sum(),
                ..r
            })
    }

    fn results(
        &mut self,
        command: &Command,
        outcome: &golden::Outcome,
        mut memory: Vec<u8>,
        macs_before: u64,
        faults: &[Fault],
    ) -> Result<Report, Mismatch> {
        let seed = self.board.board.params().seed;
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
        if macs != outcome.counters.macs && outcome.status != Status::ReadError {
            return differs(
                "the MAC counter",
                outcome.counters.macs.to_string(),
                macs.to_string(),
            );
        }
        let done = command.done_addr as usize;
        let mut completion = outcome.completion;
        let failed = |write, at| faults.iter().any(|f| f.hits(write, at, 16));
        let written = outcome.command.is_some()
            && command.done_addr.is_multiple_of(abi::ALIGN)
            && !failed(true, command.done_addr);
        let record = b.memory().get(done..done.saturating_add(16));
        if let Some(record) = record.filter(|_| written) {
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
        let exact = !matches!(outcome.status, Status::ReadError | Status::WriteError);
        let differ = exact && memory != b.memory();
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
    let linear = c.opcode == Opcode::Linear as u8;
    let row = abi::layout::row_bytes(if linear { c.f } else { c.d }.into()) as u64;
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

    fn named(name: &str) -> &'static Stream {
        let found = STREAMS.iter().find(|s| s.name == name);
        found.unwrap_or_else(|| panic!("the scoreboard has no stream {name}"))
    }

    fn lane(name: &str, items: &[(&[usize], Value)]) -> Lane {
        let stream = named(name);
        let items = items.iter().map(|(k, v)| (stream.key(k), v.clone()));
        Lane::of(stream, 0, items.collect())
    }

    /// An `acc` record.
    fn acc(kind: u8, expert: u8, pair: u8, row: u8, a: i64, b: i64) -> Vec<u8> {
        let mut bytes = vec![kind, expert, pair, 0, row, 0, 2, 3, 7, 7, 7, 7];
        bytes.extend(&a.to_le_bytes()[..5]);
        bytes.extend(&b.to_le_bytes()[..5]);
        bytes
    }

    #[test]
    fn the_order_of_experts_does_not_matter() {
        let key = |e, o| [1usize, e, 3, 5, operand(o)];
        let n = Value::Number;
        let mut l = lane(
            "acc",
            &[
                (&key(0, Operand::Gate), n(-10)),
                (&key(0, Operand::Up), n(1 << 34)),
                (&key(4, Operand::Gate), n(12)),
                (&key(4, Operand::Up), n(-13)),
            ],
        );
        let mut r = Reading::new(&Trace::default());
        for bytes in [acc(1, 4, 1, 5, 12, -13), acc(1, 0, 1, 5, -10, 1 << 34)] {
            for (k, v) in r.read(l.stream, &bytes) {
                l.take(k, &v, 9, 9).unwrap();
            }
        }
        l.complete(9).unwrap();
        assert_eq!(r.hidden, [(4, 1), (0, 1)]);
    }

    #[test]
    fn a_wrong_value_is_named_with_its_place() {
        let place = [1, 6, 3, 5, operand(Operand::Gate)];
        let mut l = lane("acc", &[(&place, Value::Number(-10))]);
        let mut r = Reading::new(&Trace::default());
        let item = r.read(l.stream, &acc(1, 6, 0, 5, -9, 0)).remove(0);
        let e = l.take(item.0, &item.1, 11, 9).unwrap_err();
        assert_eq!(
            e.to_string(),
            "acc, kind=1 expert=6 token=3 row=5 operand=2: item 0 at cycle 11 differs (seed 9): expected -10, got -9"
        );
    }

    #[test]
    fn an_item_too_many_and_one_too_few_are_found() {
        let key = [1usize, 2, 3];
        let mut l = lane("h", &[(&key, Value::Number(6))]);
        let e = l.complete(1).unwrap_err().to_string();
        assert!(e.contains("h: 0 items, 1 expected"), "{e}");
        let k = l.stream.key(&key);
        l.take(k, &Value::Number(6), 1, 1).unwrap();
        l.complete(1).unwrap();
        let twice = l.take(k, &Value::Number(6), 2, 1).unwrap_err();
        assert!(twice.to_string().contains("expected once"), "{twice}");
        let other = l.stream.key(&[1, 2, 4]);
        let stray = l.take(other, &Value::Number(6), 2, 1).unwrap_err();
        assert!(stray.to_string().contains("expected nothing"), "{stray}");
    }

    #[test]
    fn hidden_elements_belong_to_the_experts_of_the_rows_before() {
        let mut r = Reading::new(&Trace::default());
        r.blocks = HashMap::from([(9, 2), (4, 1)]);
        r.hidden = vec![(9, 3), (4, 1)];
        let (h, hblock) = (named("h"), named("hblock"));
        let experts: Vec<Key> = (0..4)
            .map(|_| r.read(h, &[0, 1, 0, 5, 0, 0, 0])[0].0 >> 24)
            .collect();
        assert_eq!(experts, [9, 9, 9, 4]);
        let blocks: Vec<Key> = (0..3)
            .map(|_| r.read(hblock, &[0; 36])[0].0 >> 24)
            .collect();
        assert_eq!(blocks, [9, 9, 4]);
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
