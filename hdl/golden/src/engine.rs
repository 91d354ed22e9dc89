//! One command, from its descriptor to its completion record.

use abi::command::{COMMAND_BEATS, FLAG_RENORMALISE, FLAG_TWO_OF_FOUR};
use abi::layout::{
    down_shape, expert_bytes, gate_shape, router_bytes, router_shape, row_bytes, ADDR_BITS,
    IMAGE_MAGIC, ROUTE_BYTES,
};
use abi::{
    Command, Completion, Config, Kind, MatrixShape, Opcode, Sparsity, Status, ALIGN, BEAT, TOPK_MAX,
};

use crate::matrix::Group;
use crate::memory::{Memory, OutOfRange};
use crate::router::{choose, Choice};
use crate::trace::{
    AccEvent, BlockEvent, HiddenBlockEvent, HiddenEvent, LogitEvent, Operand, RouteEvent, Trace,
    YEvent, ZEvent,
};
use crate::vector::{has_non_finite, Limbs, Vector};

/// What a command adds to the counters that do not need a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Multiply-accumulates with weights that are structurally present.
    pub macs: u64,
    /// Values that saturated.
    pub saturations: u64,
    /// Bytes read from card memory, each once: descriptor, x, router, chosen experts.
    pub read_bytes: u64,
    /// Bytes written to card memory: y, routes, completion record.
    pub written_bytes: u64,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The descriptor; `None` if it could not be read.
    pub command: Option<Command>,
    /// The record as written, or as it would have been where `done_addr` cannot be written.
    pub completion: Completion,
    /// The first error, or `Ok`.
    pub status: Status,
    /// Counted by this command.
    pub counters: Counters,
}

/// The engine of one configuration.
#[derive(Clone, Debug)]
pub struct Engine {
    config: Config,
    commands: u16,
    trace: Option<Trace>,
}

impl Engine {
    /// An engine after reset. It keeps a trace of each command if `traced`, which makes it slower.
    pub fn new(config: Config, traced: bool) -> Engine {
        Engine {
            config,
            commands: 0,
            trace: traced.then(Trace::default),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Commands executed since reset, modulo 65536: the DONE_COUNT register.
    pub fn commands(&self) -> u16 {
        self.commands
    }

    /// Forgets the number of commands.
    pub fn reset(&mut self) {
        self.commands = 0;
        self.trace = self.trace.as_ref().map(|_| Trace::default());
    }

    /// The trace of the last command; empty unless the engine was made to keep one.
    pub fn take_trace(&mut self) -> Trace {
        self.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Executes the command whose descriptor stands at `address`.
    ///
    /// On an error of the descriptor nothing but the completion record is written, and that only if `done_addr` is itself
    /// acceptable. What is wrong with inputs or images later is noted, and the work goes on with what memory holds; only
    /// a failed read ends it here, with y and the routes unspecified (an engine computes with whatever the bus gave it).
    /// The lowest status that applies is reported.
    pub fn run_command(&mut self, memory: &mut dyn Memory, address: u64) -> Outcome {
        self.commands = self.commands.wrapping_add(1);
        if let Some(t) = &mut self.trace {
            *t = Trace::default();
        }
        let mut counters = Counters::default();
        let mut descriptor = [0; COMMAND_BEATS * BEAT];
        let command = memory
            .read(address, &mut descriptor)
            .ok()
            .map(|()| Command::from_bytes(&descriptor));
        let mut status = match &command {
            None => Status::ReadError,
            Some(c) => {
                counters.read_bytes += descriptor.len() as u64;
                self.execute(memory, c, &mut counters)
            }
        };
        let mut completion = Completion {
            sequence: self.commands.into(),
            status: status as u32,
            tag: command.map_or(0, |c| c.tag.into()),
            cycles: 0,
        };
        if let Some(done) = command.map(|c| c.done_addr).filter(|&a| addressable(a)) {
            match memory.write(done, &completion.to_bytes()) {
                Ok(()) => counters.written_bytes += BEAT as u64,
                Err(_) if status == Status::Ok => {
                    status = Status::WriteError;
                    completion.status = status as u32;
                }
                Err(_) => {}
            }
        }
        Outcome {
            command,
            completion,
            status,
            counters,
        }
    }

    fn execute(&mut self, memory: &mut dyn Memory, c: &Command, counters: &mut Counters) -> Status {
        if let Err(status) = check(&self.config, c) {
            return status;
        }
        let mut layer = Layer {
            lanes: self.config.lanes,
            command: c,
            sparsity: sparsity(c),
            memory,
            counters,
            trace: self.trace.as_mut(),
            status: Status::Ok,
        };
        match layer.run() {
            Ok(()) => layer.status,
            // Of all that can go wrong once a command was accepted this is the lowest.
            Err(ReadFailed) => Status::ReadError,
        }
    }
}

const fn addressable(address: u64) -> bool {
    address.is_multiple_of(ALIGN) && address >> ADDR_BITS == 0
}

fn sparsity(c: &Command) -> Sparsity {
    if c.flags & FLAG_TWO_OF_FOUR == 0 {
        Sparsity::Dense
    } else {
        Sparsity::TwoOfFour
    }
}

/// What the engine refuses before it touches memory, in this order: opcode, sizes, alignment, windows.
///
/// # Errors
/// The status of the first rule that is broken.
pub fn check(config: &Config, c: &Command) -> Result<(), Status> {
    let within = |v: u16, max: usize| v >= 1 && usize::from(v) <= max;
    let need = |rule: bool, status| if rule { Ok(()) } else { Err(status) };

    need(
        c.opcode == Opcode::MoeLayer as u8 && c.flags >> 3 == 0,
        Status::BadOpcode,
    )?;

    let quads = sparsity(c) == Sparsity::Dense || (c.d.is_multiple_of(4) && c.f.is_multiple_of(4));
    need(
        within(c.tokens, config.tokens_max)
            && within(c.d, config.d_max)
            && within(c.f, config.f_max)
            && within(c.experts, config.experts_max)
            && within(c.topk, TOPK_MAX.min(c.experts.into()))
            && (-200..=200).contains(&c.lsb_y)
            && quads,
        Status::BadSize,
    )?;

    let addresses = [
        c.x_addr,
        c.y_addr,
        c.route_addr,
        c.done_addr,
        c.router_addr,
        c.experts_addr,
        c.expert_stride.into(),
    ];
    need(addresses.into_iter().all(addressable), Status::BadAlign)?;

    let (d, f, e) = (c.d.into(), c.f.into(), c.experts.into());
    let fits = |groups: u16, shape: MatrixShape| {
        groups >= 1 && usize::from(groups) * shape.value_words() <= config.slot_words
    };
    need(
        fits(c.window_router, router_shape(d, e))
            && fits(c.window_gate_up, gate_shape(d, f, sparsity(c)))
            && c.window_gate_up.is_multiple_of(2)
            && fits(c.window_down, down_shape(d, f, sparsity(c))),
        Status::BadWindow,
    )
}

/// One expert's work on one token.
struct Job {
    token: usize,
    weight: u32,
    position: usize,
}

/// A layer in execution.
struct Layer<'a> {
    lanes: usize,
    command: &'a Command,
    sparsity: Sparsity,
    memory: &'a mut dyn Memory,
    counters: &'a mut Counters,
    trace: Option<&'a mut Trace>,
    /// The lowest status noted so far.
    status: Status,
}

/// A read of card memory failed: there is nothing to go on with.
struct ReadFailed;

impl From<OutOfRange> for ReadFailed {
    fn from(_: OutOfRange) -> ReadFailed {
        ReadFailed
    }
}

impl Layer<'_> {
    fn run(&mut self) -> Result<(), ReadFailed> {
        let (tokens, d) = (
            usize::from(self.command.tokens),
            usize::from(self.command.d),
        );
        let x = self.read_x(tokens, d)?;
        if x.iter().any(|row| has_non_finite(row)) {
            self.note(Status::NonFinite);
        }
        let limbs: Vec<Limbs> = x.iter().map(|row| Limbs::of(row)).collect();
        let vectors: Vec<Vector> = x.iter().map(|row| Vector::q8(row)).collect();
        self.trace_x(&vectors, &limbs);

        let routes = self.route(&limbs)?;
        let mut sums = vec![0i64; x.len() * d];
        for expert in 0..usize::from(self.command.experts) {
            let queue = queue_of(expert, &routes);
            if !queue.is_empty() {
                self.expert(expert, &queue, &vectors, &mut sums)?;
            }
        }
        self.write_results(&routes, &sums, d);
        Ok(())
    }

    /// Keeps the lowest status that applies.
    fn note(&mut self, status: Status) {
        if self.status == Status::Ok || (status as u32) < self.status as u32 {
            self.status = status;
        }
    }

    fn read_x(&mut self, tokens: usize, d: usize) -> Result<Vec<Vec<u32>>, ReadFailed> {
        let stride = row_bytes(d);
        let mut rows = Vec::with_capacity(tokens);
        for t in 0..tokens {
            let mut bytes = vec![0; stride];
            let at = self.command.x_addr + (t * stride) as u64;
            self.memory.read(at, &mut bytes)?;
            self.counters.read_bytes += stride as u64;
            let words = bytes.chunks_exact(4).take(d);
            rows.push(
                words
                    .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect(),
            );
        }
        Ok(rows)
    }

    /// An image's bytes after its header, and the header's exponents.
    fn read_image(
        &mut self,
        address: u64,
        bytes: usize,
    ) -> Result<(Vec<u8>, [i16; 3]), ReadFailed> {
        let mut header = [0; BEAT];
        self.memory.read(address, &mut header)?;
        let half = |i: usize| u16::from_le_bytes([header[2 * i], header[2 * i + 1]]);
        if half(3) != IMAGE_MAGIC {
            self.note(Status::BadImage);
        }
        let mut records = vec![0; bytes - BEAT];
        self.memory.read(address + BEAT as u64, &mut records)?;
        self.counters.read_bytes += bytes as u64;
        Ok((records, [0, 1, 2].map(|i| half(i) as i16)))
    }

    fn route(&mut self, x: &[Limbs]) -> Result<Vec<Vec<Choice>>, ReadFailed> {
        let c = self.command;
        let (d, experts) = (usize::from(c.d), usize::from(c.experts));
        let shape = router_shape(d, experts);
        let bytes = router_bytes(d, experts, self.lanes);
        let (records, [w_exp, ..]) = self.read_image(c.router_addr, bytes)?;

        // acc[token][row] = the row's accumulators with the token's two limb vectors
        let mut acc = vec![vec![[0i64; 2]; shape.rows]; x.len()];
        for window in windows(shape.groups(self.lanes), c.window_router) {
            for (token, limbs) in x.iter().enumerate() {
                let operands = [(Operand::Hi, &limbs.hi), (Operand::Lo, &limbs.lo)];
                for (limb, (operand, vector)) in operands.into_iter().enumerate() {
                    for group in window.clone() {
                        let record = Group::new(
                            record(&records, shape, self.lanes, group),
                            shape,
                            self.lanes,
                        );
                        for lane in 0..self.lanes {
                            let row = group * self.lanes + lane;
                            if row < shape.rows {
                                let a = record.dot(lane, vector);
                                acc[token][row][limb] = a;
                                self.trace_acc(AccEvent {
                                    kind: Kind::Router,
                                    expert: 0,
                                    token,
                                    position: token,
                                    operand,
                                    row,
                                    acc: a,
                                });
                            }
                        }
                    }
                }
            }
        }
        self.counters.macs += (shape.nonzeros() * 2 * x.len()) as u64;

        let mut routes = Vec::with_capacity(x.len());
        for (token, (acc, limbs)) in acc.iter().zip(x).enumerate() {
            let logits: Vec<i64> = (0..experts)
                .map(|e| {
                    let ([hi_hi, hi_lo], [lo_hi, lo_lo]) = (acc[e], acc[experts + e]);
                    numeric::logit(hi_hi, hi_lo, lo_hi, lo_lo)
                })
                .collect();
            let ls = numeric::lsb_router(limbs.hi.bmax, w_exp);
            let renormalise = c.flags & FLAG_RENORMALISE != 0;
            let chosen = choose(&logits, ls, c.topk.into(), renormalise);
            if let Some(t) = self.trace.as_deref_mut() {
                t.logits.extend(
                    logits
                        .iter()
                        .enumerate()
                        .map(|(expert, &logit)| LogitEvent {
                            token,
                            expert,
                            logit,
                        }),
                );
                t.routes
                    .extend(chosen.iter().enumerate().map(|(slot, choice)| RouteEvent {
                        token,
                        slot,
                        expert: choice.expert,
                        weight: choice.weight,
                    }));
            }
            routes.push(chosen);
        }
        Ok(routes)
    }

    /// Adds one expert's contributions to the sums `[T, d]`.
    fn expert(
        &mut self,
        expert: usize,
        queue: &[Job],
        x: &[Vector],
        sums: &mut [i64],
    ) -> Result<(), ReadFailed> {
        let c = self.command;
        let (d, f) = (usize::from(c.d), usize::from(c.f));
        let address = c.experts_addr + expert as u64 * u64::from(c.expert_stride);
        let bytes = expert_bytes(d, f, self.sparsity, self.lanes);
        let (records, [w_gate, w_up, w_down]) = self.read_image(address, bytes)?;
        let gate = gate_shape(d, f, self.sparsity);
        let (gate_up_records, down_records) = records.split_at(2 * gate.bytes(self.lanes));

        let hidden = self.gate_up(expert, queue, x, gate_up_records, [w_gate, w_up]);
        let vectors: Vec<Vector> = hidden.iter().map(|h| Vector::q8(h)).collect();
        self.trace_hidden_blocks(expert, queue, &vectors);
        self.down(expert, queue, &vectors, down_records, w_down, sums);
        Ok(())
    }

    /// The hidden vectors of a queue, binary32.
    fn gate_up(
        &mut self,
        expert: usize,
        queue: &[Job],
        x: &[Vector],
        records: &[u8],
        w_exp: [i16; 2],
    ) -> Vec<Vec<u32>> {
        let (d, f) = (usize::from(self.command.d), usize::from(self.command.f));
        let shape = gate_shape(d, f, self.sparsity);
        let mut hidden = vec![vec![0; f]; queue.len()];
        // Gate and up groups alternate: entry n is group n / 2 of gate (n even) or up (n odd).
        for window in windows(2 * shape.groups(self.lanes), self.command.window_gate_up) {
            for job in queue {
                let vector = &x[job.token];
                let mut gates = vec![0; self.lanes];
                for n in window.clone() {
                    let is_up = n % 2 == 1;
                    let group =
                        Group::new(record(records, shape, self.lanes, n), shape, self.lanes);
                    for (lane, gate) in gates.iter_mut().enumerate() {
                        let row = n / 2 * self.lanes + lane;
                        if row >= f {
                            continue;
                        }
                        let acc = group.dot(lane, vector);
                        self.trace_acc(AccEvent {
                            kind: Kind::GateUp,
                            expert,
                            token: job.token,
                            position: job.position,
                            operand: if is_up { Operand::Up } else { Operand::Gate },
                            row,
                            acc,
                        });
                        let lsb = numeric::lsb(vector.bmax, w_exp[usize::from(is_up)]);
                        let value = numeric::fix(acc, lsb);
                        self.counters.saturations += u64::from(value.saturated);
                        if is_up {
                            let (gate, up) = (*gate, value.value);
                            let bits = numeric::hidden(numeric::silu::silu(gate), up);
                            hidden[job.position][row] = bits;
                            if let Some(t) = self.trace.as_deref_mut() {
                                t.hidden.push(HiddenEvent {
                                    expert,
                                    token: job.token,
                                    position: job.position,
                                    row,
                                    gate,
                                    up,
                                    bits,
                                });
                            }
                        } else {
                            *gate = value.value;
                        }
                    }
                }
            }
        }
        self.counters.macs += (2 * shape.nonzeros() * queue.len()) as u64;
        hidden
    }

    fn down(
        &mut self,
        expert: usize,
        queue: &[Job],
        hidden: &[Vector],
        records: &[u8],
        w_exp: i16,
        sums: &mut [i64],
    ) {
        let (d, f) = (usize::from(self.command.d), usize::from(self.command.f));
        let shape = down_shape(d, f, self.sparsity);
        let lsb_y = i32::from(self.command.lsb_y);
        for window in windows(shape.groups(self.lanes), self.command.window_down) {
            for job in queue {
                let vector = &hidden[job.position];
                for n in window.clone() {
                    let group =
                        Group::new(record(records, shape, self.lanes, n), shape, self.lanes);
                    for lane in 0..self.lanes {
                        let row = n * self.lanes + lane;
                        if row >= d {
                            continue;
                        }
                        let acc = group.dot(lane, vector);
                        self.trace_acc(AccEvent {
                            kind: Kind::Down,
                            expert,
                            token: job.token,
                            position: job.position,
                            operand: Operand::Down,
                            row,
                            acc,
                        });
                        let z =
                            numeric::z(acc, job.weight, numeric::lsb(vector.bmax, w_exp), lsb_y);
                        self.counters.saturations += u64::from(z.saturated);
                        sums[job.token * d + row] += z.value;
                        if let Some(t) = self.trace.as_deref_mut() {
                            t.z.push(ZEvent {
                                expert,
                                token: job.token,
                                position: job.position,
                                row,
                                z: z.value,
                            });
                        }
                    }
                }
            }
        }
        self.counters.macs += (shape.nonzeros() * queue.len()) as u64;
    }

    fn write_results(&mut self, routes: &[Vec<Choice>], sums: &[i64], d: usize) {
        let mut route_bytes = Vec::with_capacity(routes.len() * ROUTE_BYTES);
        for chosen in routes {
            let start = route_bytes.len();
            for choice in chosen {
                route_bytes.extend((choice.expert as u32).to_le_bytes());
                route_bytes.extend(choice.weight.to_le_bytes());
            }
            route_bytes.resize(start + ROUTE_BYTES, 0);
        }
        let mut y_bytes = Vec::with_capacity(routes.len() * row_bytes(d));
        for (token, row) in sums.chunks_exact(d).enumerate() {
            for (i, &sum) in row.iter().enumerate() {
                let y = numeric::y(sum);
                self.counters.saturations += u64::from(y.saturated);
                y_bytes.extend(y.value.to_le_bytes());
                if let Some(t) = self.trace.as_deref_mut() {
                    t.y.push(YEvent {
                        token,
                        row: i,
                        y: y.value,
                    });
                }
            }
            y_bytes.resize((token + 1) * row_bytes(d), 0);
        }
        let results = [
            (self.command.route_addr, &route_bytes),
            (self.command.y_addr, &y_bytes),
        ];
        for (address, bytes) in results {
            match self.memory.write(address, bytes) {
                Ok(()) => self.counters.written_bytes += bytes.len() as u64,
                Err(OutOfRange { .. }) => self.note(Status::WriteError),
            }
        }
    }

    fn trace_x(&mut self, vectors: &[Vector], limbs: &[Limbs]) {
        let Some(t) = self.trace.as_deref_mut() else {
            return;
        };
        for (token, (v, l)) in vectors.iter().zip(limbs).enumerate() {
            for block in 0..v.values.len() {
                t.x_blocks.push(BlockEvent {
                    token,
                    block,
                    exponent: v.exponents[block],
                    q8: v.values[block],
                    hi: l.hi.values[block],
                    lo: l.lo.values[block],
                });
            }
        }
    }

    fn trace_hidden_blocks(&mut self, expert: usize, queue: &[Job], vectors: &[Vector]) {
        let Some(t) = self.trace.as_deref_mut() else {
            return;
        };
        for (job, v) in queue.iter().zip(vectors) {
            for block in 0..v.values.len() {
                t.hidden_blocks.push(HiddenBlockEvent {
                    expert,
                    token: job.token,
                    position: job.position,
                    block,
                    exponent: v.exponents[block],
                    q8: v.values[block],
                });
            }
        }
    }

    fn trace_acc(&mut self, event: AccEvent) {
        if let Some(t) = self.trace.as_deref_mut() {
            t.acc.push(event);
        }
    }
}

/// The tokens that chose `expert`, in order.
fn queue_of(expert: usize, routes: &[Vec<Choice>]) -> Vec<Job> {
    let mut queue = Vec::new();
    for (token, chosen) in routes.iter().enumerate() {
        if let Some(choice) = chosen.iter().find(|c| c.expert == expert) {
            queue.push(Job {
                token,
                weight: choice.weight,
                position: queue.len(),
            });
        }
    }
    queue
}

/// Groups 0..`groups` cut into windows.
fn windows(groups: usize, window: u16) -> impl Iterator<Item = std::ops::Range<usize>> {
    let step = usize::from(window);
    (0..groups)
        .step_by(step)
        .map(move |start| start..(start + step).min(groups))
}

/// Group record `n`.
fn record(records: &[u8], shape: MatrixShape, lanes: usize, n: usize) -> &[u8] {
    let bytes = shape.group_beats(lanes) * BEAT;
    &records[n * bytes..(n + 1) * bytes]
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::config::TINY;

    fn good() -> Command {
        Command {
            opcode: 1,
            tokens: 1,
            d: 64,
            f: 64,
            experts: 4,
            topk: 2,
            lsb_y: -18,
            done_addr: 4096,
            window_router: 1,
            window_gate_up: 2,
            window_down: 1,
            ..Command::default()
        }
    }

    /// Applies a change to a good command and tells what the engine says.
    fn judged(change: impl Fn(&mut Command)) -> Result<(), Status> {
        let mut c = good();
        change(&mut c);
        check(&TINY, &c)
    }

    #[test]
    fn each_rule_has_its_status() {
        assert_eq!(judged(|_| ()), Ok(()));
        assert_eq!(judged(|c| c.opcode = 2), Err(Status::BadOpcode));
        assert_eq!(judged(|c| c.flags = 8), Err(Status::BadOpcode));
        assert_eq!(judged(|c| c.flags = 7), Ok(()));
        let sizes: [fn(&mut Command); 15] = [
            |c| c.tokens = 0,
            |c| c.tokens = 9,
            |c| c.d = 0,
            |c| c.d = 257,
            |c| c.f = 0,
            |c| c.f = 257,
            |c| c.experts = 0,
            |c| c.experts = 17,
            |c| c.topk = 0,
            |c| c.topk = 5,
            |c| {
                c.experts = 16;
                c.topk = 9;
            },
            |c| c.lsb_y = -201,
            |c| c.lsb_y = 201,
            |c| {
                c.flags = FLAG_TWO_OF_FOUR;
                c.d = 62;
            },
            |c| {
                c.flags = FLAG_TWO_OF_FOUR;
                c.f = 62;
            },
        ];
        for (i, change) in sizes.into_iter().enumerate() {
            assert_eq!(judged(change), Err(Status::BadSize), "size rule {i}");
        }
        let aligns: [fn(&mut Command); 8] = [
            |c| c.x_addr = 16,
            |c| c.y_addr = 32,
            |c| c.route_addr = 1,
            |c| c.done_addr = 8,
            |c| c.router_addr = 48,
            |c| c.experts_addr = 63,
            |c| c.expert_stride = 65,
            |c| c.x_addr = 1 << 40,
        ];
        for (i, change) in aligns.into_iter().enumerate() {
            assert_eq!(judged(change), Err(Status::BadAlign), "align rule {i}");
        }
        // 64 inputs are 4 value words: 32 groups fill the 128 words of a slot.
        assert_eq!(judged(|c| c.window_router = 32), Ok(()));
        let windows: [fn(&mut Command); 7] = [
            |c| c.window_router = 0,
            |c| c.window_router = 33,
            |c| c.window_gate_up = 0,
            |c| c.window_gate_up = 3,
            |c| c.window_gate_up = 34,
            |c| c.window_down = 0,
            |c| c.window_down = 65535,
        ];
        for (i, change) in windows.into_iter().enumerate() {
            assert_eq!(judged(change), Err(Status::BadWindow), "window rule {i}");
        }
    }

    #[test]
    fn the_first_broken_rule_wins() {
        let all = |c: &mut Command| {
            c.window_down = 0;
            c.x_addr = 1;
            c.tokens = 0;
        };
        assert_eq!(judged(all), Err(Status::BadSize));
        let two = |c: &mut Command| {
            c.window_down = 0;
            c.x_addr = 1;
        };
        assert_eq!(judged(two), Err(Status::BadAlign));
    }

    #[test]
    fn a_refused_command_writes_only_its_completion() {
        let mut memory = vec![0xEE; 8192];
        let mut c = good();
        c.tag = 77;
        c.window_down = 0;
        memory[..128].copy_from_slice(&c.to_bytes());
        let before = memory.clone();
        let outcome = Engine::new(TINY, false).run_command(&mut memory, 0);
        assert_eq!(outcome.status, Status::BadWindow);
        let record = Completion::from_bytes(memory[4096..4112].try_into().unwrap());
        assert_eq!(record, outcome.completion);
        assert_eq!((record.sequence, record.status, record.tag), (1, 4, 77));
        memory[4096..4112].copy_from_slice(&before[4096..4112]);
        assert_eq!(memory, before);
    }

    #[test]
    fn a_descriptor_outside_memory_is_a_read_error() {
        let mut memory = vec![0; 64];
        let outcome = Engine::new(TINY, false).run_command(&mut memory, 0);
        assert_eq!((outcome.status, outcome.command), (Status::ReadError, None));
        assert_eq!(memory, vec![0; 64]);
    }
}
