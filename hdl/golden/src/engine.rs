//! One command, from its descriptor to its completion record.

use abi::command::{
    Activation, Score, Source, COMMAND_BEATS, FLAG_KEEP_SUMS, FLAG_NO_Y, ROUTING_BIAS,
    ROUTING_CHOICE_BIAS, ROUTING_GROUP_SUM2,
};
use abi::layout::{
    down_section, expert_bytes, hidden_section, plain_bytes, plain_section, router_bytes,
    router_section, row_bytes, ADDR_BITS, IMAGE_MAGIC, ROUTE_BYTES,
};
use abi::{Command, Completion, Config, Kind, Opcode, Status, Storage, ALIGN, BEAT, TOPK_MAX};
use numeric::score::WEIGHT_ONE;

use crate::matrix::{Operand as Input, Rows};
use crate::memory::{Memory, OutOfRange};
use crate::router::{choose, host_choices, Choice, Rule};
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
    /// Bytes read from card memory, each once: descriptor, x, routes of the host, router, chosen experts. (What the engine
    /// prefetches in vain comes on top.)
    pub read_bytes: u64,
    /// Bytes written to card memory: y, routes, completion record.
    pub written_bytes: u64,
    /// Experts that had tokens; one for a dense layer.
    pub expert_uses: u64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, more: Counters) {
        self.macs += more.macs;
        self.saturations += more.saturations;
        self.read_bytes += more.read_bytes;
        self.written_bytes += more.written_bytes;
        self.expert_uses += more.expert_uses;
    }
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

/// The sums of the last layer: `rows` of each token, 48 bits.
#[derive(Clone, Debug, Default)]
struct Sums {
    rows: usize,
    values: Vec<i64>,
}

/// The engine of one configuration.
#[derive(Clone, Debug)]
pub struct Engine {
    config: Config,
    commands: u16,
    task: u8,
    sums: Sums,
    trace: Option<Trace>,
}

impl Engine {
    /// An engine after reset. It keeps a trace of each command if `traced`, which makes it slower.
    pub fn new(config: Config, traced: bool) -> Engine {
        Engine {
            config,
            commands: 0,
            task: 0,
            sums: Sums::default(),
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

    /// The TASK register: which task's router the following commands use.
    pub fn set_task(&mut self, task: u8) {
        self.task = task;
    }

    /// Forgets the number of commands, the task and the sums.
    pub fn reset(&mut self) {
        *self = Engine::new(self.config, self.trace.is_some());
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
        let plain = match c.opcode() {
            // A hint: it changes no result.
            Some(Opcode::Prefetch) => return Status::Ok,
            opcode => opcode == Some(Opcode::Linear),
        };
        let rows = usize::from(if plain { c.f } else { c.d });
        let all = usize::from(c.tokens) * rows;
        if c.flags & FLAG_KEEP_SUMS == 0 || self.sums.rows != rows || self.sums.values.len() != all
        {
            self.sums = Sums {
                rows,
                values: vec![0; all],
            };
        }
        let mut layer = Layer {
            command: c,
            storage: c.storage().unwrap_or_default(),
            plain,
            router_addr: (c.router_addr + u64::from(self.task) * u64::from(c.task_stride))
                % (1 << ADDR_BITS),
            memory,
            counters,
            sums: &mut self.sums,
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

/// What the engine refuses before it touches memory, in this order: opcode and flags, modes, sizes, alignment, windows. The
/// rules hold for every opcode unless they say otherwise.
///
/// # Errors
/// The status of the first rule that is broken.
pub fn check(config: &Config, c: &Command) -> Result<(), Status> {
    let within = |v: u16, max: usize| v >= 1 && usize::from(v) <= max;
    let need = |rule: bool, status| if rule { Ok(()) } else { Err(status) };

    need(c.opcode().is_some() && c.flags >> 3 == 0, Status::BadOpcode)?;
    let linear = c.opcode() == Some(Opcode::Linear);

    let storage = c.storage().ok_or(Status::BadMode)?;
    let Storage {
        format,
        sparsity,
        paired,
        ..
    } = storage;
    let function = match c.activation().ok_or(Status::BadMode)? {
        Activation::Silu | Activation::Relu => true,
        Activation::Gelu | Activation::GeluTanh => config.modes.gelu,
        Activation::Relu2 => !c.gated(),
        Activation::Clamped => config.modes.gelu && c.gated(),
    };
    need(
        config.reads(format, sparsity, paired)
            && c.activation >> 4 == 0
            && function
            && c.source().is_some()
            && c.predict <= 2
            && c.reserved == 0
            && c.reserved2 == 0
            && (!linear || (c.source() == Some(Source::All) && c.activation == 0)),
        Status::BadMode,
    )?;

    let m = sparsity.ratio().1 as u16;
    let topk_rules = within(c.topk.into(), TOPK_MAX.min(c.experts.into()))
        && (c.score() != Score::Sparsemixer || c.topk == 2);
    need(
        within(c.tokens, config.tokens_max)
            && within(c.d, config.d_max)
            && within(c.f, if linear { config.d_max } else { config.f_max })
            && within(c.experts, config.experts_max)
            && topk_rules
            && (-200..=200).contains(&c.lsb_y)
            && c.d.is_multiple_of(m)
            && (linear || c.f.is_multiple_of(m))
            && groups_fit(c)
            && usize::from(c.layer) < config.layers_max
            && usize::from(c.guesses) <= config.slots.min(8),
        Status::BadSize,
    )?;

    let addresses = [
        c.x_addr,
        c.y_addr,
        c.route_addr,
        c.done_addr,
        c.router_addr,
        c.experts_addr,
        c.next_addr,
        c.expert_stride.into(),
        c.task_stride.into(),
    ];
    need(addresses.into_iter().all(addressable), Status::BadAlign)?;

    let (d, f) = (c.d.into(), c.f.into());
    let group = if linear {
        plain_section(d, f, storage).group_words()
    } else {
        let hidden = hidden_section(d, f, c.gated(), storage).group_words();
        hidden.max(down_section(d, f, storage).group_words())
    };
    need(
        (group..=config.slot_words).contains(&c.window_words.into()),
        Status::BadWindow,
    )
}

/// The rules of group-limited choice.
fn groups_fit(c: &Command) -> bool {
    let (groups, kept) = (u16::from(c.groups), u16::from(c.groups_kept));
    if groups < 2 {
        return true;
    }
    let size = c.experts / groups;
    groups <= 16
        && c.experts.is_multiple_of(groups)
        && (size >= 2 || c.routing & ROUTING_GROUP_SUM2 == 0)
        && (1..=groups).contains(&kept)
        && size * kept >= u16::from(c.topk)
}

/// One expert's work on one token.
struct Job {
    token: usize,
    weight: u32,
    position: usize,
}

/// A layer in execution.
struct Layer<'a> {
    command: &'a Command,
    storage: Storage,
    /// A dense layer: one matrix instead of an expert's.
    plain: bool,
    router_addr: u64,
    memory: &'a mut dyn Memory,
    counters: &'a mut Counters,
    sums: &'a mut Sums,
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
        let source = self.command.source().unwrap_or_default();
        let given = match source {
            Source::Host => Some(self.read_routes(tokens)?),
            Source::All => {
                let only = Choice {
                    expert: 0,
                    weight: WEIGHT_ONE,
                };
                Some(vec![vec![only]; tokens])
            }
            Source::Router => None,
        };
        let x = self.read_x(tokens, d)?;
        if x.iter().any(|row| has_non_finite(row)) {
            self.note(Status::NonFinite);
        }
        let vectors: Vec<Vector> = x.iter().map(|row| Vector::q8(row)).collect();
        let needs_limbs = given.is_none() || self.trace.is_some();
        let limbs: Vec<Limbs> = if needs_limbs {
            x.iter().map(|row| Limbs::of(row)).collect()
        } else {
            Vec::new()
        };
        self.trace_x(&vectors, &limbs);

        let routes = match given {
            Some(routes) => routes,
            None => self.route(limbs)?,
        };
        self.trace_routes(&routes);

        let vectors: Vec<Vector> = vectors
            .into_iter()
            .map(|v| v.before(self.storage.bias))
            .collect();
        for expert in 0..usize::from(self.command.experts) {
            let queue = queue_of(expert, &routes);
            if queue.is_empty() {
                continue;
            }
            self.counters.expert_uses += 1;
            let address =
                self.command.experts_addr + expert as u64 * u64::from(self.command.expert_stride);
            if self.plain {
                self.plain(&queue, &vectors, address)?;
            } else {
                self.expert(expert, &queue, &vectors, address)?;
            }
        }
        if source == Source::Router {
            self.write_routes(&routes);
        }
        if self.command.flags & FLAG_NO_Y == 0 {
            self.write_y();
        }
        Ok(())
    }

    fn note(&mut self, status: Status) {
        if self.status == Status::Ok || (status as u32) < self.status as u32 {
            self.status = status;
        }
    }

    fn read(&mut self, address: u64, bytes: usize) -> Result<Vec<u8>, ReadFailed> {
        let mut out = vec![0; bytes];
        self.memory.read(address, &mut out)?;
        self.counters.read_bytes += bytes as u64;
        Ok(out)
    }

    fn read_x(&mut self, tokens: usize, d: usize) -> Result<Vec<Vec<u32>>, ReadFailed> {
        let stride = row_bytes(d);
        let bytes = self.read(self.command.x_addr, tokens * stride)?;
        let row = |row: &[u8]| row.chunks_exact(4).take(d).map(word).collect();
        Ok(bytes.chunks_exact(stride).map(row).collect())
    }

    /// The choices of the host, without empty entries and wrong ones.
    fn read_routes(&mut self, tokens: usize) -> Result<Vec<Vec<Choice>>, ReadFailed> {
        let bytes = self.read(self.command.route_addr, tokens * ROUTE_BYTES)?;
        let mut routes = Vec::with_capacity(tokens);
        for entries in bytes.chunks_exact(ROUTE_BYTES) {
            let entries = entries
                .chunks_exact(8)
                .take(self.command.topk.into())
                .map(|e| (word(e), word(&e[4..])));
            let (chosen, bad) = host_choices(entries, self.command.experts.into());
            if bad {
                self.note(Status::BadRoute);
            }
            routes.push(chosen);
        }
        Ok(routes)
    }

    /// An image's bytes after its header, and the header's exponents.
    fn read_image(
        &mut self,
        address: u64,
        bytes: usize,
    ) -> Result<(Vec<u8>, [i16; 3]), ReadFailed> {
        let header = self.read(address, BEAT)?;
        let half = |i: usize| u16::from_le_bytes([header[2 * i], header[2 * i + 1]]);
        let exponents = [0, 1, 2].map(|i| half(i) as i16);
        if half(3) != IMAGE_MAGIC {
            self.note(Status::BadImage);
        }
        let records = self.read(address + BEAT as u64, bytes - BEAT)?;
        Ok((records, exponents))
    }

    fn route(&mut self, x: Vec<Limbs>) -> Result<Vec<Vec<Choice>>, ReadFailed> {
        let c = self.command;
        let (d, experts) = (usize::from(c.d), usize::from(c.experts));
        let has = |bit| c.routing & bit != 0;
        let section = router_section(d, experts, has(ROUTING_BIAS));
        let bytes = router_bytes(d, experts, has(ROUTING_BIAS), has(ROUTING_CHOICE_BIAS));
        let (records, [w_exp, ..]) = self.read_image(self.router_addr, bytes)?;
        let (records, tail) = records.split_at(section.bytes());
        let biases: Vec<i32> = tail.chunks_exact(4).map(|b| word(b) as i32).collect();
        let rows = Rows::decode(&section, records);
        self.counters.macs += (section.nonzeros() * 2 * x.len()) as u64;

        let rule = Rule::of(c);
        let mut routes = Vec::with_capacity(x.len());
        for (token, limbs) in x.into_iter().enumerate() {
            let limbs = limbs.before(has(ROUTING_BIAS));
            let operands = [
                (Operand::Hi, Input::of(&limbs.hi)),
                (Operand::Lo, Input::of(&limbs.lo)),
            ];
            let acc = operands.map(|(operand, vector)| {
                (0..section.rows)
                    .map(|row| {
                        let acc = rows.dot(row, &vector);
                        self.trace_acc(AccEvent {
                            kind: Kind::Router,
                            expert: 0,
                            token,
                            position: token,
                            operand,
                            row,
                            acc,
                        });
                        acc
                    })
                    .collect::<Vec<i64>>()
            });
            let [with_hi, with_lo] = acc;
            let logits: Vec<i64> = (0..experts)
                .map(|e| {
                    let lo = experts + e;
                    numeric::logit(with_hi[e], with_lo[e], with_hi[lo], with_lo[lo])
                })
                .collect();
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
            }
            let ls = numeric::lsb_router(limbs.hi.bmax, w_exp);
            routes.push(choose(&logits, ls, &biases, &rule));
        }
        Ok(routes)
    }

    /// Adds one expert's contributions to the sums.
    fn expert(
        &mut self,
        expert: usize,
        queue: &[Job],
        x: &[Vector],
        address: u64,
    ) -> Result<(), ReadFailed> {
        let c = self.command;
        let (d, f) = (usize::from(c.d), usize::from(c.f));
        let bytes = expert_bytes(d, f, c.gated(), self.storage);
        let (records, [w_gate, w_up, w_down]) = self.read_image(address, bytes)?;
        let section = hidden_section(d, f, c.gated(), self.storage);
        let (hidden_records, down_records) = records.split_at(section.bytes());

        let rows = Rows::decode(&section, hidden_records);
        let hidden = self.hidden(expert, queue, x, &rows, [w_gate, w_up]);
        self.counters.macs += (section.nonzeros() * queue.len()) as u64;
        let vectors: Vec<Vector> = hidden.iter().map(|h| Vector::q8(h)).collect();
        self.trace_hidden_blocks(expert, queue, &vectors);

        let section = down_section(d, f, self.storage);
        let rows = Rows::decode(&section, down_records);
        self.counters.macs += (section.nonzeros() * queue.len()) as u64;
        for (job, vector) in queue.iter().zip(vectors) {
            let vector = vector.before(self.storage.bias);
            self.contribute(Kind::Down, expert, job, &vector, &rows, w_down);
        }
        Ok(())
    }

    /// A dense layer: its outputs are the sums.
    fn plain(&mut self, queue: &[Job], x: &[Vector], address: u64) -> Result<(), ReadFailed> {
        let (d, f) = (usize::from(self.command.d), usize::from(self.command.f));
        let (records, [w_exp, ..]) = self.read_image(address, plain_bytes(d, f, self.storage))?;
        let section = plain_section(d, f, self.storage);
        let rows = Rows::decode(&section, &records);
        self.counters.macs += (section.nonzeros() * queue.len()) as u64;
        for job in queue {
            self.contribute(Kind::Plain, 0, job, &x[job.token], &rows, w_exp);
        }
        Ok(())
    }

    /// The hidden vectors of a queue, binary32.
    fn hidden(
        &mut self,
        expert: usize,
        queue: &[Job],
        x: &[Vector],
        rows: &Rows,
        w_exp: [i16; 2],
    ) -> Vec<Vec<u32>> {
        let c = self.command;
        let f = usize::from(c.f);
        let function = c.activation().unwrap_or_default();
        let mut all = Vec::with_capacity(queue.len());
        for job in queue {
            let vector = &x[job.token];
            let input = Input::of(vector);
            let fixed = |this: &mut Self, operand: Operand, row: usize| {
                let up = operand == Operand::Up;
                let acc = rows.dot(if up { f + row } else { row }, &input);
                this.trace_acc(AccEvent {
                    kind: Kind::Hidden,
                    expert,
                    token: job.token,
                    position: job.position,
                    operand,
                    row,
                    acc,
                });
                let lsb = numeric::lsb(vector.bmax, w_exp[usize::from(up)]);
                let value = numeric::fix(acc, lsb);
                this.counters.saturations += u64::from(value.saturated);
                value.value
            };
            let mut hidden = Vec::with_capacity(f);
            for row in 0..f {
                let gate = fixed(self, Operand::Gate, row);
                let up = c.gated().then(|| fixed(self, Operand::Up, row));
                let product = numeric::activate(function, gate, up);
                let bits = numeric::hidden(product.a, product.u);
                hidden.push(bits);
                if let Some(t) = self.trace.as_deref_mut() {
                    t.hidden.push(HiddenEvent {
                        expert,
                        token: job.token,
                        position: job.position,
                        row,
                        gate,
                        up: up.unwrap_or(0),
                        bits,
                    });
                }
            }
            all.push(hidden);
        }
        all
    }

    /// Adds a matrix's outputs for one token to the sums.
    fn contribute(
        &mut self,
        kind: Kind,
        expert: usize,
        job: &Job,
        vector: &Vector,
        rows: &Rows,
        w_exp: i16,
    ) {
        let lsb = numeric::lsb(vector.bmax, w_exp);
        let lsb_y = i32::from(self.command.lsb_y);
        let input = Input::of(vector);
        let operand = match kind {
            Kind::Plain => Operand::Plain,
            _ => Operand::Down,
        };
        for row in 0..self.sums.rows {
            let acc = rows.dot(row, &input);
            self.trace_acc(AccEvent {
                kind,
                expert,
                token: job.token,
                position: job.position,
                operand,
                row,
                acc,
            });
            let z = numeric::z(acc, job.weight, lsb, lsb_y);
            self.counters.saturations += u64::from(z.saturated);
            let sum = &mut self.sums.values[job.token * self.sums.rows + row];
            *sum = (*sum + z.value) << 16 >> 16; // 48 bits
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

    fn write_routes(&mut self, routes: &[Vec<Choice>]) {
        let mut bytes = Vec::with_capacity(routes.len() * ROUTE_BYTES);
        for chosen in routes {
            let start = bytes.len();
            for choice in chosen {
                bytes.extend((choice.expert as u32).to_le_bytes());
                bytes.extend(choice.weight.to_le_bytes());
            }
            bytes.resize(start + ROUTE_BYTES, 0);
        }
        self.write(self.command.route_addr, &bytes);
    }

    fn write_y(&mut self) {
        let rows = self.sums.rows;
        let mut bytes = Vec::with_capacity(self.sums.values.len() * 4);
        for (token, sums) in self.sums.values.chunks_exact(rows).enumerate() {
            for (row, &sum) in sums.iter().enumerate() {
                let y = numeric::y(sum);
                self.counters.saturations += u64::from(y.saturated);
                bytes.extend(y.value.to_le_bytes());
                if let Some(t) = self.trace.as_deref_mut() {
                    t.y.push(YEvent {
                        token,
                        row,
                        y: y.value,
                    });
                }
            }
            bytes.resize((token + 1) * row_bytes(rows), 0);
        }
        self.write(self.command.y_addr, &bytes);
    }

    fn write(&mut self, address: u64, bytes: &[u8]) {
        match self.memory.write(address, bytes) {
            Ok(()) => self.counters.written_bytes += bytes.len() as u64,
            Err(OutOfRange { .. }) => self.note(Status::WriteError),
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

    fn trace_routes(&mut self, routes: &[Vec<Choice>]) {
        let Some(t) = self.trace.as_deref_mut() else {
            return;
        };
        for (token, chosen) in routes.iter().enumerate() {
            t.routes
                .extend(chosen.iter().enumerate().map(|(slot, choice)| RouteEvent {
                    token,
                    slot,
                    expert: choice.expert,
                    weight: choice.weight,
                }));
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

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
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

#[cfg(test)]
mod tests {
    use super::*;
    use abi::command::{ROUTE_SCALE_ONE, ROUTING_RENORMALISE};
    use abi::config::{TINY, VERSA};
    use abi::{Format, Sparsity};

    fn good() -> Command {
        Command {
            opcode: 1,
            tokens: 1,
            d: 64,
            f: 64,
            experts: 8,
            topk: 2,
            lsb_y: -18,
            done_addr: 4096,
            window_words: 8,
            route_scale: ROUTE_SCALE_ONE,
            routing: ROUTING_RENORMALISE,
            ..Command::default()
        }
    }

    /// Applies a change to a good command and tells what the engine says.
    fn judged(change: impl Fn(&mut Command)) -> Result<(), Status> {
        judged_by(&TINY, change)
    }
    fn judged_by(config: &Config, change: impl Fn(&mut Command)) -> Result<(), Status> {
        let mut c = good();
        change(&mut c);
        check(config, &c)
    }
    type Change = fn(&mut Command);

    #[test]
    fn opcodes_flags_and_modes() {
        assert_eq!(judged(|_| ()), Ok(()));
        for opcode in [0, 4, 255] {
            assert_eq!(judged(|c| c.opcode = opcode), Err(Status::BadOpcode));
        }
        assert_eq!(judged(|c| c.flags = 8), Err(Status::BadOpcode));
        assert_eq!(judged(|c| c.flags = 7), Ok(()));
        let modes: [Change; 15] = [
            |c| c.storage = 3,
            |c| c.storage = 5 << 2,
            |c| c.storage = 1 << 5, // paired int8
            |c| c.storage = 128,
            |c| c.activation = 6,
            |c| c.activation = 16,
            |c| c.activation = 4,     // gated ReLU squared
            |c| c.activation = 8 | 5, // un-gated, clamped
            |c| c.routing = 3,
            |c| c.predict = 3,
            |c| c.reserved = 1,
            |c| c.reserved2 = 1,
            |c| (c.opcode, c.routing) = (2, 0),
            |c| (c.opcode, c.routing, c.activation) = (2, 2, 8),
            |c| (c.opcode, c.routing, c.activation) = (2, 2, 3),
        ];
        for (i, change) in modes.into_iter().enumerate() {
            assert_eq!(judged(change), Err(Status::BadMode), "mode rule {i}");
        }
        assert_eq!(judged(|c| c.activation = 8 | 4), Ok(()));
        assert_eq!(judged(|c| c.activation = 5), Ok(()));
        assert_eq!(judged(|c| (c.opcode, c.routing) = (2, 2)), Ok(()));
        let lacking: [Change; 4] = [
            |c| c.activation = 1,
            |c| c.activation = 5,
            |c| c.storage = 1,
            |c| c.storage = 4,
        ];
        for change in lacking {
            assert_eq!(judged_by(&VERSA, change), Err(Status::BadMode));
            assert_eq!(judged(change), Ok(()));
        }
    }

    #[test]
    fn sizes() {
        let octets = |c: &mut Command| {
            c.storage = Storage {
                sparsity: Sparsity::OneOfEight,
                format: Format::Fp4,
                ..Storage::INT8
            }
            .code();
        };
        let sizes: [Change; 24] = [
            |c| c.tokens = 0,
            |c| c.tokens = 9,
            |c| c.d = 0,
            |c| c.d = 257,
            |c| c.f = 0,
            |c| c.f = 257,
            |c| c.experts = 0,
            |c| c.experts = 17,
            |c| c.topk = 0,
            |c| (c.experts, c.topk) = (4, 5),
            |c| (c.experts, c.topk) = (16, 9),
            |c| c.lsb_y = -201,
            |c| c.lsb_y = 201,
            |c| (c.storage, c.d) = (2 << 2, 62),
            |c| (c.storage, c.f) = (3 << 2, 62),
            |c| (c.routing, c.topk) = (3 << 2, 3),
            |c| (c.groups, c.groups_kept) = (3, 2),
            |c| (c.groups, c.groups_kept) = (8, 1), // one expert for two choices
            |c| (c.groups, c.groups_kept, c.routing) = (8, 8, ROUTING_GROUP_SUM2),
            |c| (c.groups, c.groups_kept) = (2, 0),
            |c| (c.groups, c.groups_kept) = (2, 3),
            |c| (c.groups, c.experts) = (17, 17),
            |c| c.layer = 8,
            |c| c.guesses = 3,
        ];
        for (i, change) in sizes.into_iter().enumerate() {
            assert_eq!(judged(change), Err(Status::BadSize), "size rule {i}");
        }
        let bad_octets = |c: &mut Command| {
            octets(c);
            c.d = 60;
        };
        assert_eq!(judged(bad_octets), Err(Status::BadSize));
        let good: [Change; 6] = [
            |c| (c.opcode, c.routing, c.storage, c.f) = (2, 2, 2 << 2, 62),
            |c| (c.groups, c.groups_kept) = (8, 2),
            |c| (c.groups, c.groups_kept, c.routing) = (4, 1, ROUTING_GROUP_SUM2),
            |c| c.routing = 3 << 2,
            |c| (c.groups, c.groups_kept) = (1, 9),
            |c| (c.layer, c.guesses, c.predict) = (7, 2, 2),
        ];
        for (i, change) in good.into_iter().enumerate() {
            assert_eq!(judged(change), Ok(()), "{i}");
        }
    }

    #[test]
    fn alignment_and_windows() {
        let aligns: [Change; 10] = [
            |c| c.x_addr = 16,
            |c| c.y_addr = 32,
            |c| c.route_addr = 1,
            |c| c.done_addr = 8,
            |c| c.router_addr = 48,
            |c| c.experts_addr = 63,
            |c| c.next_addr = 63,
            |c| c.expert_stride = 65,
            |c| c.task_stride = 32,
            |c| c.x_addr = 1 << 40,
        ];
        for (i, change) in aligns.into_iter().enumerate() {
            assert_eq!(judged(change), Err(Status::BadAlign), "align rule {i}");
        }
        // 64 inputs are 2 blocks: 8 words of values.
        assert_eq!(judged(|c| c.window_words = 128), Ok(()));
        for words in [0, 7, 129] {
            assert_eq!(judged(|c| c.window_words = words), Err(Status::BadWindow));
        }
        assert_eq!(judged(|c| c.f = 65), Err(Status::BadWindow));
        assert_eq!(judged(|c| (c.opcode, c.routing, c.f) = (2, 2, 65)), Ok(()));
        assert_eq!(judged(|c| c.storage = 1 << 6), Err(Status::BadWindow));
    }

    #[test]
    fn the_first_broken_rule_wins() {
        let mut c = good();
        c.window_words = 0;
        assert_eq!(check(&TINY, &c), Err(Status::BadWindow));
        c.x_addr = 1;
        assert_eq!(check(&TINY, &c), Err(Status::BadAlign));
        c.tokens = 0;
        assert_eq!(check(&TINY, &c), Err(Status::BadSize));
        c.storage = 255;
        assert_eq!(check(&TINY, &c), Err(Status::BadMode));
        c.flags = 255;
        assert_eq!(check(&TINY, &c), Err(Status::BadOpcode));
    }

    #[test]
    fn a_refused_command_writes_only_its_completion() {
        let mut memory = vec![0xEE; 8192];
        let mut c = good();
        c.tag = 77;
        c.window_words = 0;
        memory[..128].copy_from_slice(&c.to_bytes());
        let before = memory.clone();
        let outcome = Engine::new(TINY, false).run_command(&mut memory, 0);
        assert_eq!(outcome.status, Status::BadWindow);
        let record = Completion::from_bytes(memory[4096..4112].try_into().unwrap());
        assert_eq!(record, outcome.completion);
        assert_eq!((record.sequence, record.status, record.tag), (1, 5, 77));
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
