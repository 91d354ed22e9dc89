//! Command execution against `golden::check`: every rule and status, derived values, the order of the phases, the ring.

use abi::command::*;
use abi::config::SIM;
use abi::layout::*;
use abi::BEAT;
use golden::check;
use sim_tb::pins::{cycle, Pins, Stream};
use sim_tb::rng::Rng;
use std::collections::{HashMap, VecDeque};

/// A command, and what will go wrong around it.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    command: Command,
    fetch_error: bool,
    x_error: bool,
    y_error: bool,
    route_error: bool,
    record_error: bool,
    load_error: bool,
    image_error: bool,
    choice_error: bool,
    nonfinite: bool,
}

impl Plan {
    fn of(command: Command) -> Plan {
        Plan {
            command,
            ..Plan::default()
        }
    }

    fn record_possible(&self) -> bool {
        let done = self.command.done_addr;
        !self.fetch_error && done.is_multiple_of(abi::ALIGN) && done >> ADDR_BITS == 0
    }

    /// The status of the record, by the rules of `abi::Status`.
    fn recorded(&self) -> Status {
        if self.fetch_error {
            return Status::ReadError;
        }
        if let Err(status) = check(&SIM, &self.command) {
            return status;
        }
        let c = &self.command;
        if c.opcode == Opcode::Prefetch as u8 {
            return Status::Ok;
        }
        let y_error = self.y_error && c.flags & FLAG_NO_Y == 0;
        let route_error = self.route_error && c.source() == Some(Source::Router);
        [
            (self.x_error || self.load_error, Status::ReadError),
            (y_error || route_error, Status::WriteError),
            (self.image_error, Status::BadImage),
            (self.choice_error, Status::BadRoute),
            (self.nonfinite, Status::NonFinite),
        ]
        .into_iter()
        .find_map(|(applies, status)| applies.then_some(status))
        .unwrap_or(Status::Ok)
    }

    /// The LAST_STATUS register: a record that could not be written is told there, if nothing else is.
    fn last_status(&self) -> Status {
        match self.recorded() {
            Status::Ok if self.record_error => Status::WriteError,
            status => status,
        }
    }
}

/// Parameters and derived values, from `abi::layout`.
fn parameters(c: &Command, task: u8) -> Vec<(&'static str, u64)> {
    let (d, f, e) = (c.d.into(), c.f.into(), c.experts.into());
    let plain = c.opcode == Opcode::Linear as u8;
    let storage = c.storage().unwrap();
    let router_bias = c.routing & ROUTING_BIAS != 0;
    let router = router_section(d, e, router_bias);
    let gated = !plain && c.gated();
    let a = hidden_section(d, f, gated, storage);
    let b = down_section(d, f, storage);
    let of_b = |v: usize| if plain { 0 } else { v as u64 };
    let router_addr = c.router_addr + u64::from(task) * u64::from(c.task_stride);
    let flag = |bit: u8| u64::from(c.flags & bit != 0);
    let routing = |bit: u8| u64::from(c.routing & bit != 0);
    vec![
        ("tokens", c.tokens.into()),
        ("d", c.d.into()),
        ("f", c.f.into()),
        ("experts", c.experts.into()),
        ("topk", c.topk.into()),
        ("lsb_y", u64::from(c.lsb_y as u16)),
        ("format", storage.format as u64),
        ("sparsity", storage.sparsity as u64),
        ("paired", storage.paired.into()),
        ("bias", storage.bias.into()),
        ("act", c.activation().unwrap() as u64),
        ("gated", gated.into()),
        ("source", c.source().unwrap() as u64),
        ("score", c.score() as u64),
        ("renorm", routing(ROUTING_RENORMALISE)),
        ("choice_bias", routing(ROUTING_CHOICE_BIAS)),
        ("sum2", routing(ROUTING_GROUP_SUM2)),
        ("router_bias", router_bias.into()),
        ("groups", c.groups.into()),
        ("groups_kept", c.groups_kept.into()),
        ("route_scale", c.route_scale.into()),
        ("jitter", c.jitter.into()),
        ("plain", plain.into()),
        ("keep_sums", flag(FLAG_KEEP_SUMS)),
        ("no_y", flag(FLAG_NO_Y)),
        ("rows_y", if plain { f } else { d } as u64),
        ("nblk_d", a.blocks() as u64),
        ("nblk_f", b.blocks() as u64),
        ("kept_d", a.row_weights() as u64),
        (
            "kept_f",
            (f * storage.sparsity.ratio().0 / storage.sparsity.ratio().1) as u64,
        ),
        ("groups_router", router.groups() as u64),
        ("groups_a", a.groups() as u64),
        ("groups_b", of_b(b.groups())),
        ("words_r", router.group_words() as u64),
        ("words_a", a.group_words() as u64),
        ("words_b", of_b(b.group_words())),
        ("window_words", c.window_words.into()),
        ("router_addr", router_addr & ((1 << ADDR_BITS) - 1)),
        ("experts_addr", c.experts_addr),
        ("expert_stride", c.expert_stride.into()),
        ("next_addr", c.next_addr),
        ("layer", c.layer.into()),
        ("predict", c.predict.into()),
        ("guesses", c.guesses.into()),
        ("hints", c.hints),
    ]
}

/// Whose a beat of the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beat {
    Descriptor = 0,
    Route = 1,
    X = 2,
}

/// The read master as the unit sees it.
struct Reader {
    /// The job, and its address.
    kind: Beat,
    addr: u64,
    /// Beats granted and not requested, requested and not arrived.
    granted: u64,
    coming: VecDeque<Beat>,
    given: u64,
    offered: bool,
    err: bool,
    /// Number of the beat that comes with an error, since the fetch or since `go`.
    bad_beat: Option<u64>,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            kind: Beat::X,
            addr: 0,
            granted: 0,
            coming: VecDeque::new(),
            given: 0,
            offered: false,
            err: false,
            bad_beat: None,
        }
    }
}

/// The write master as the unit sees it.
#[derive(Default)]
struct Writer {
    /// Source and cycles until it is done.
    job: Option<(u64, u64)>,
    /// The cycle in which y has left.
    y_done: u64,
    err: bool,
    record: Option<Vec<u32>>,
}

/// The units of the data flow, between `go` and the record.
struct Flow {
    go: u64,
    /// Experts in all, issued so far, finished so far (as the unit can know it).
    total: u64,
    issued: u64,
    finished: u64,
    pulse: bool,
    /// The routes are told, have been told.
    routing: bool,
    routed: Option<u64>,
    /// Cycles after `go` from which the errors show, and until which something is busy.
    errors_at: u64,
    quiet_at: u64,
    /// The cycle from which the unit waits for the end of the data flow, where it is known.
    drain_from: Option<u64>,
    /// The cycle in which the record must start.
    record_at: Option<u64>,
    /// All was done in the last cycle, and in the one before.
    quiet: [bool; 2],
}

/// What was written: source, address, beats, cycle.
type Write = (u64, u64, u64, u64);

/// Everything around the unit.
struct World {
    rng: Rng,
    /// Cycles of 256 in which a side that could go on waits.
    stall: u32,
    ring_base: u64,
    ring_log2: u64,
    task: u8,
    memory: HashMap<u64, Vec<u8>>,
    plans: VecDeque<Plan>,
    tail: u16,
    done: u16,
    last_status: u64,
    reader: Reader,
    writer: Writer,
    flow: Option<Flow>,
    fetch_started: Option<u64>,
    /// Cycle of the descriptor's last beat.
    fetched: u64,
    prefetched: bool,
    taken: bool,
    /// Cycles that a command waits for its fetch.
    unstarted: u32,
    writes: Vec<Write>,
    irq_at: Option<u64>,
    statuses: Vec<Status>,
}

impl World {
    fn new(seed: u64, stall: u32, ring_base: u64, ring_log2: u64) -> World {
        println!("seed {seed}, stall {stall}, ring of 2^{ring_log2} at {ring_base:#x}");
        World {
            rng: Rng::new(seed),
            stall,
            ring_base,
            ring_log2,
            task: 0,
            memory: HashMap::new(),
            plans: VecDeque::new(),
            tail: 0,
            done: 0,
            last_status: 0,
            reader: Reader::default(),
            writer: Writer::default(),
            flow: None,
            fetch_started: None,
            fetched: 0,
            prefetched: false,
            taken: false,
            unstarted: 0,
            writes: Vec::new(),
            irq_at: None,
            statuses: Vec::new(),
        }
    }

    /// Writes a command into the ring, without the doorbell.
    fn put(&mut self, plan: Plan) {
        let n = self.done as u64 + self.plans.len() as u64;
        assert!(self.plans.len() < 1 << self.ring_log2, "the ring is full");
        let at = self.ring_base + (n % (1 << self.ring_log2)) * COMMAND_STRIDE;
        self.memory.insert(at, plan.command.to_bytes().to_vec());
        self.plans.push_back(plan);
    }

    fn doorbell(&mut self) {
        self.tail = self.done.wrapping_add(self.plans.len() as u16);
    }

    /// Executes everything in the ring.
    fn finish(&mut self, p: &mut Pins) {
        self.doorbell();
        while !self.plans.is_empty() {
            cycle(p, &mut [self]);
        }
        for _ in 0..3 {
            cycle(p, &mut [self]);
        }
    }

    fn run(&mut self, p: &mut Pins, plan: Plan) {
        self.put(plan);
        self.finish(p);
    }

    fn go_on(&mut self) -> bool {
        !self.rng.chance(self.stall)
    }

    fn delay(&mut self) -> u64 {
        if self.stall == 0 {
            0
        } else {
            self.rng.below(60)
        }
    }

    fn sample_reader(&mut self, p: &mut Pins) {
        let now = p.cycles();
        let mut bad = false;
        if let Some(&kind) = self.reader.coming.front() {
            assert_eq!(p.get("rd_sel"), kind as u64, "whose the beat is");
            if self.taken {
                bad = self.reader.bad_beat == Some(self.reader.given);
                self.reader.given += 1;
                self.reader.coming.pop_front();
                self.reader.offered = false;
                if kind == Beat::Descriptor {
                    self.fetched = now;
                }
            }
        }
        // What was granted in earlier cycles is requested sooner or later.
        while self.reader.granted > 0 && !self.rng.chance(self.stall / 4) {
            self.reader.granted -= 1;
            self.reader.coming.push_back(self.reader.kind);
        }
        if p.get("rd_start") == 1 {
            assert_eq!(p.get("rd_issued"), 1, "reader at work");
            let plan = self.plans[0];
            let c = &plan.command;
            let host = c.source() == Some(Source::Host);
            let (kind, addr) = if self.fetch_started.is_none() {
                assert_ne!(self.done, self.tail, "nothing to fetch");
                self.fetch_started = Some(now);
                self.reader.given = 0;
                let slot = u64::from(self.done) % (1 << self.ring_log2);
                self.reader.bad_beat = plan
                    .fetch_error
                    .then(|| self.rng.below(COMMAND_BEATS as u64));
                (Beat::Descriptor, self.ring_base + slot * COMMAND_STRIDE)
            } else if p.get("go") == 1 {
                assert!(self.reader.coming.is_empty());
                self.reader.given = 0;
                let beats = x_beats(c) + if host { route_beats(c) } else { 0 };
                self.reader.bad_beat = plan.x_error.then(|| self.rng.below(beats));
                if host {
                    (Beat::Route, c.route_addr)
                } else {
                    (Beat::X, c.x_addr)
                }
            } else {
                assert_eq!(
                    (self.reader.kind, host),
                    (Beat::Route, true),
                    "x after routes"
                );
                (Beat::X, c.x_addr)
            };
            assert_eq!(p.get("rd_addr"), addr);
            self.reader.kind = kind;
            self.reader.addr = addr;
            self.reader.err = false;
        }
        self.reader.err |= bad;
        if p.get("rd_grant_vld") == 1 {
            self.reader.granted += p.get("rd_grant_beats");
        }
    }

    fn sample_writer(&mut self, p: &mut Pins) {
        let now = p.cycles();
        let routes = p.get("route_start") == 1;
        if p.get("wr_start") == 1 {
            assert!(self.writer.job.is_none(), "writer at work");
            let sel = p.get("wr_sel");
            assert_eq!(routes, sel == 1, "read-out of the routes");
            let delay = 3 + self.delay();
            self.writer = Writer {
                job: Some((sel, delay)),
                y_done: now + 2 + self.rng.below(delay - 2),
                ..Writer::default()
            };
            self.writes
                .push((sel, p.get("wr_addr"), p.get("wr_beats"), now));
            assert_eq!(p.get("rec_vld"), 0, "the record comes after the start");
            if let Some(flow) = &self.flow {
                match sel {
                    1 => assert!(flow.routed.is_some_and(|at| at < now), "routes known"),
                    2 => {
                        let c = &self.plans[0].command;
                        let host = c.source() == Some(Source::Host);
                        let beats = x_beats(c) + if host { route_beats(c) } else { 0 };
                        assert_eq!(self.reader.given, beats, "beats of routes and x");
                        assert!(flow.quiet[1], "flow quiet");
                        assert_eq!(
                            flow.record_at.unwrap_or(now),
                            now,
                            "the record follows at once"
                        );
                    }
                    _ => {}
                }
            }
        } else {
            assert!(!routes, "a read-out without a write");
            if let Some((sel, left)) = self.writer.job {
                assert_eq!(p.get("wr_sel"), sel, "the source stays");
                if p.get("rec_vld") == 1 {
                    assert_eq!(sel, 2, "a record to its own writing");
                    assert!(self.writer.record.is_none(), "the record is offered once");
                    self.writer.record = Some(p.get_wide("rec_data"));
                }
                self.writer.job = Some((sel, left - 1));
                if left == 1 {
                    let plan = self.plans[0];
                    let errors = [plan.y_error, plan.route_error, plan.record_error];
                    self.writer.err = errors[sel as usize];
                    self.writer.job = None;
                    if let (0, Some(flow)) = (sel, &mut self.flow) {
                        flow.drain_from = Some(now + 2);
                    }
                }
            }
        }
    }

    fn sample_flow(&mut self, p: &mut Pins) {
        let now = p.cycles();
        if p.get("pf_go") == 1 {
            assert!(!self.prefetched, "started twice");
            self.prefetched = true;
            assert_eq!(now, self.fetched + 16, "cycles of the check");
            for (port, value) in parameters(&self.plans[0].command, self.task) {
                assert_eq!(p.get(port), value, "{port}");
            }
        }
        let c = self.plans.front().map(|plan| plan.command);
        if p.get("go") == 1 {
            assert!(self.flow.is_none() && p.get("pf_go") == 1, "started twice");
            let total = self.rng.below(5);
            let errors_at = 1 + self.delay();
            let quiet_at = errors_at + self.delay();
            self.flow = Some(Flow {
                go: now,
                total,
                issued: 0,
                finished: 0,
                pulse: false,
                routing: false,
                routed: None,
                errors_at,
                quiet_at,
                drain_from: None,
                record_at: None,
                quiet: [false; 2],
            });
        }
        let Some(flow) = &mut self.flow else { return };
        let c = c.unwrap();
        if self.rng.chance(16) || p.get("wr_start") == 1 {
            for (port, value) in parameters(&c, self.task) {
                assert_eq!(p.get(port), value, "{port}");
            }
        }
        if flow.routing {
            flow.routed = Some(now);
        }
        // The first cycle in which all is done, then the status, then the record.
        let quiet = p.get("jobs_done") == 1
            && flow.finished == p.get("jobs")
            && p.get("flow_busy") == 0
            && p.get("rd_idle") == 1;
        flow.quiet = [quiet, flow.quiet[0]];
        if flow.record_at.is_none() && quiet && flow.drain_from.is_some_and(|at| at <= now) {
            flow.record_at = Some(now + 3);
        }
        flow.finished += u64::from(flow.pulse);
    }

    /// The command's end: what happened against what should have.
    fn sample_end(&mut self, p: &mut Pins) {
        let now = p.cycles();
        if p.get("irq_set") == 1 {
            assert!(self.irq_at.is_none(), "two pulses");
            self.irq_at = Some(now);
        }
        let count = p.get("done_count") as u16;
        if count == self.done {
            assert_eq!(p.get("last_status"), self.last_status);
            return;
        }
        let plan = self.plans.pop_front().unwrap();
        let c = &plan.command;
        self.done = self.done.wrapping_add(1);
        assert_eq!(count, self.done);
        self.last_status = plan.last_status() as u64;
        self.statuses.push(plan.last_status());
        assert_eq!(p.get("last_status"), self.last_status, "{plan:?}");

        let accepted = !plan.fetch_error && check(&SIM, c).is_ok();
        assert_eq!(self.prefetched, accepted, "{plan:?}");
        let flows = accepted && c.opcode != Opcode::Prefetch as u8;
        assert_eq!(self.flow.is_some(), flows, "{plan:?}");
        let mut expected = Vec::new();
        if flows && c.source() == Some(Source::Router) {
            expected.push((1, c.route_addr, route_beats(c)));
        }
        if flows && c.flags & FLAG_NO_Y == 0 {
            expected.push((0, c.y_addr, y_beats(c)));
        }
        if plan.record_possible() {
            expected.push((2, c.done_addr, 1));
        }
        let got: Vec<(u64, u64, u64)> = self.writes.iter().map(|w| (w.0, w.1, w.2)).collect();
        assert_eq!(got, expected, "source, address, beats: {plan:?}");
        if plan.record_possible() {
            let at = self.writes.last().unwrap().3;
            let record = Completion {
                sequence: self.done.into(),
                status: plan.recorded() as u32,
                tag: c.tag.into(),
                cycles: (at - self.fetch_started.unwrap()) as u32,
            };
            let words = self.writer.record.take().expect("a record was offered");
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            assert_eq!(bytes, record.to_bytes(), "{record:?}");
        }
        let irq = c.flags & FLAG_IRQ != 0 && !plan.fetch_error;
        let pulse = irq.then_some(now - 1);
        assert_eq!(self.irq_at, pulse, "with the count, {plan:?}");
        self.flow = None;
        self.prefetched = false;
        self.fetch_started = None;
        self.irq_at = None;
        self.writes.clear();
    }
}

fn x_beats(c: &Command) -> u64 {
    u64::from(c.tokens) * (row_bytes(c.d.into()) / BEAT) as u64
}

fn y_beats(c: &Command) -> u64 {
    let plain = c.opcode == Opcode::Linear as u8;
    let row = if plain { c.f } else { c.d };
    u64::from(c.tokens) * (row_bytes(row.into()) / BEAT) as u64
}

fn route_beats(c: &Command) -> u64 {
    u64::from(c.tokens) * (ROUTE_BYTES / BEAT) as u64
}

impl Stream for World {
    fn drive(&mut self, p: &mut Pins) {
        let now = p.cycles();
        p.set("ring_base", self.ring_base);
        p.set("ring_log2", self.ring_log2);
        p.set("tail", self.tail.into());
        p.set("task_index", self.task.into());
        // Reader.
        let waiting = !self.reader.coming.is_empty();
        p.set("rd_idle", (!waiting && self.reader.granted == 0).into());
        p.set("rd_issued", (self.reader.granted == 0).into());
        p.set("rd_err", self.reader.err.into());
        self.reader.offered |= waiting && self.go_on();
        let descriptor = self.reader.coming.front() == Some(&Beat::Descriptor);
        self.taken = self.reader.offered && (descriptor || self.go_on());
        p.set("rd_vld", self.reader.offered.into());
        p.set("rd_taken", self.taken.into());
        let noise = [0; 4].map(|_: u32| self.rng.next() as u32);
        let beat = if self.reader.offered && descriptor {
            let bytes = &self.memory[&self.reader.addr][self.reader.given as usize * BEAT..];
            std::array::from_fn(|i| u32::from_le_bytes(std::array::from_fn(|k| bytes[4 * i + k])))
        } else {
            noise
        };
        p.set_wide("rd_data", &beat);
        // Writer.
        p.set("wr_idle", self.writer.job.is_none().into());
        p.set("wr_err", self.writer.err.into());
        let y = self.writer.job.is_some_and(|(sel, _)| sel == 0);
        p.set("y_done", (y && self.writer.y_done == now).into());
        // Data flow. Before `go` the levels of the last command stand.
        let (start, stall) = (self.rng.chance(200), self.stall);
        let (pulse, plan) = (!self.rng.chance(stall), self.plans.front().copied());
        let tell = self.rng.chance(80);
        p.set("rt_done", 0);
        let Some((flow, plan)) = self.flow.as_mut().zip(plan) else {
            p.set("section_done", 0);
            return;
        };
        let age = now - flow.go;
        let all_x =
            self.reader.granted == 0 && !waiting && age > u64::from(plan.command.tokens) + 1;
        flow.routing = flow.routed.is_none() && all_x && tell;
        p.set("rt_done", flow.routing.into());
        flow.issued += u64::from(start && flow.issued < flow.total && age > 1);
        flow.pulse = pulse && flow.finished < flow.issued;
        let issued_all = flow.issued == flow.total && age > flow.errors_at;
        p.set("jobs", flow.issued);
        p.set("jobs_done", issued_all.into());
        p.set("section_done", flow.pulse.into());
        p.set("flow_busy", (age < flow.quiet_at).into());
        let show = age >= flow.errors_at;
        p.set("x_nonfinite", (plan.nonfinite && show).into());
        p.set("route_error", (plan.choice_error && show).into());
        p.set("load_err_read", (plan.load_error && show).into());
        p.set("load_err_image", (plan.image_error && show).into());
    }
    fn sample(&mut self, p: &mut Pins) {
        let now = p.cycles();
        self.sample_end(p);
        let fetched = self.reader.given == COMMAND_BEATS as u64;
        let fetch = p.get("rd_sel") == 0 && !self.reader.offered && !fetched;
        let write = self.writer.job.is_some_and(|(sel, _)| {
            self.writes.last().unwrap().3 < now && (sel != 0 || self.writer.y_done < now)
        });
        assert_eq!(p.get("wait_memory") == 1, fetch || write, "wait_memory");
        self.sample_reader(p);
        self.sample_writer(p);
        self.sample_flow(p);
        assert!(p.get("idle") == 0 || self.fetch_started.is_none(), "idle");
        let waits = self.fetch_started.is_none() && self.done != self.tail;
        self.unstarted = if waits { self.unstarted + 1 } else { 0 };
        assert!(self.unstarted <= 6, "a command waits for its fetch");
    }
}

fn unit() -> Pins {
    let mut p = Pins::new("command").unwrap();
    p.set("tail", 0);
    p.reset("rst", 2);
    p
}

/// A storage, at random.
fn any_storage(r: &mut Rng) -> Storage {
    loop {
        if let Some(s) = Storage::from_code(r.below(128) as u8) {
            return s;
        }
    }
}

/// Words of a slot that the largest group of `c` takes.
fn least_window(c: &Command) -> usize {
    let (d, f) = (c.d.into(), c.f.into());
    let storage = c.storage().unwrap_or_default();
    if c.opcode == Opcode::Linear as u8 {
        return plain_section(d, f, storage).group_words();
    }
    let hidden = hidden_section(d, f, c.gated(), storage).group_words();
    hidden.max(down_section(d, f, storage).group_words())
}

/// A command that the engine accepts.
fn valid(r: &mut Rng) -> Command {
    let opcode = [1, 1, 1, 2, 3][r.below(5) as usize];
    let linear = opcode == Opcode::Linear as u8;
    let mut size = |max: usize| {
        let small = r.chance(128);
        1 + r.below(if small { max.min(40) } else { max } as u64) as u16
    };
    let (mut d, mut f) = (size(SIM.d_max), size(SIM.f_max));
    let (tokens, mut experts) = (size(SIM.tokens_max), size(SIM.experts_max));
    // Mostly few tokens, which take fewer cycles.
    let tokens = if r.chance(220) {
        1 + tokens % 3
    } else {
        tokens
    };
    let storage = any_storage(r);
    let (_, m) = storage.sparsity.ratio();
    d = d.next_multiple_of(m as u16);
    f = f.next_multiple_of(m as u16);
    if linear {
        f = 1 + f % SIM.d_max as u16;
    }
    // Groups, half of the time.
    let (mut groups, mut groups_kept, mut most) = (r.below(2) as u8, r.below(256) as u8, experts);
    let sum2 = r.chance(128);
    if r.chance(128) {
        groups = 2 + r.below(15) as u8;
        let of_each = 1 + u16::from(sum2) + r.below(14) as u16;
        experts = of_each * u16::from(groups);
        groups_kept = 1 + r.below(groups.into()) as u8;
        most = of_each * u16::from(groups_kept);
    }
    let mut topk = 1 + r.below(most.min(8).into()) as u8;
    let mut score = r.below(4) as u8;
    if score == 3 {
        if most < 2 {
            score = 0;
        } else {
            topk = 2;
        }
    }
    let source = if linear { 2 } else { r.below(3) as u8 };
    let flag = |bit: u8, on: bool| if on { bit } else { 0 };
    let routing = source
        | score << 2
        | flag(ROUTING_GROUP_SUM2, sum2)
        | (r.next() as u8 & (ROUTING_RENORMALISE | ROUTING_CHOICE_BIAS | ROUTING_BIAS));
    let activation = [0, 1, 2, 3, 5, 8, 9, 10, 11, 12][r.below(10) as usize];
    let mut addr = || r.below(1 << (ADDR_BITS - 6)) << 6;
    let mut c = Command {
        opcode,
        tokens,
        d,
        f,
        experts,
        topk,
        storage: storage.code(),
        x_addr: addr(),
        y_addr: addr(),
        route_addr: addr(),
        done_addr: addr(),
        router_addr: addr(),
        experts_addr: addr(),
        next_addr: addr(),
        expert_stride: (addr() & 0xFFFF_FFC0) as u32,
        task_stride: (addr() & 0xFFFF_FFC0) as u32,
        activation: if linear { 0 } else { activation },
        routing,
        groups,
        groups_kept,
        ..Command::default()
    };
    c.flags = r.below(8) as u8;
    c.tag = r.next() as u16;
    c.lsb_y = r.below(401) as i16 - 200;
    c.route_scale = r.next() as u16;
    c.jitter = r.next() as u16;
    c.layer = r.below(SIM.layers_max as u64) as u8;
    c.predict = r.below(3) as u8;
    c.guesses = r.below(SIM.slots as u64 + 1) as u8;
    c.hints = r.next();
    // The smallest and the largest window, half of the time.
    let least = least_window(&c);
    c.window_words = match r.below(4) {
        0 => least,
        1 => SIM.slot_words,
        _ => least + r.below((SIM.slot_words - least + 1) as u64) as usize,
    } as u16;
    assert_eq!(check(&SIM, &c), Ok(()), "{c:?}");
    c
}

type Change = Box<dyn Fn(&mut Command)>;

/// Every way to break a rule, with the status it has by itself.
fn mistakes() -> Vec<(Status, Change)> {
    let mut all: Vec<(Status, Change)> = Vec::new();
    let mut add = |status, change: Change| all.push((status, change));
    for opcode in [0, 4, 5, 128, 129, 130, 255] {
        add(Status::BadOpcode, Box::new(move |c| c.opcode = opcode));
    }
    for bit in 3..8 {
        add(Status::BadOpcode, Box::new(move |c| c.flags |= 1 << bit));
    }
    for code in 0..=255 {
        if Storage::from_code(code).is_none() {
            add(Status::BadMode, Box::new(move |c| c.storage = code));
        }
    }
    for a in (0..=255).filter(|a| a >> 4 != 0 || a & 7 > 5 || *a == 4 || *a == 13) {
        add(Status::BadMode, Box::new(move |c| c.activation = a));
    }
    for a in 1..16 {
        let change = move |c: &mut Command| (c.opcode, c.activation) = (2, a);
        add(Status::BadMode, Box::new(change));
    }
    for source in [0, 1] {
        let change = move |c: &mut Command| {
            (c.opcode, c.routing) = (2, c.routing & 0xFC | source);
        };
        add(Status::BadMode, Box::new(change));
    }
    add(Status::BadMode, Box::new(|c| c.routing |= 3));
    for v in [3, 4, 128, 255] {
        add(Status::BadMode, Box::new(move |c| c.predict = v));
    }
    for bit in 0..8 {
        add(Status::BadMode, Box::new(move |c| c.reserved |= 1 << bit));
        add(Status::BadMode, Box::new(move |c| c.reserved2 |= 1 << bit));
        add(
            Status::BadMode,
            Box::new(move |c| c.reserved2 |= 256 << bit),
        );
    }
    let over = |max: usize| [0, max as u16 + 1, 2 * max as u16, 32768, 65535];
    for v in over(SIM.tokens_max) {
        add(Status::BadSize, Box::new(move |c| c.tokens = v));
    }
    for v in over(SIM.d_max) {
        add(Status::BadSize, Box::new(move |c| c.d = v));
    }
    for v in over(SIM.f_max) {
        add(Status::BadSize, Box::new(move |c| c.f = v));
    }
    let plain = |c: &mut Command| {
        (c.opcode, c.activation, c.routing) = (2, 0, 2);
        (c.f, c.storage) = (SIM.d_max as u16 + 8, 0);
    };
    add(Status::BadSize, Box::new(plain));
    for v in over(SIM.experts_max) {
        add(Status::BadSize, Box::new(move |c| c.experts = v));
    }
    for v in [0, 9, 16, 128, 255] {
        let change = move |c: &mut Command| (c.experts, c.topk) = (64, v);
        add(Status::BadSize, Box::new(change));
    }
    for e in 1..8 {
        let change = move |c: &mut Command| (c.experts, c.topk) = (e, e as u8 + 1);
        add(Status::BadSize, Box::new(change));
    }
    for v in [-201, 201, -32768, 32767, -456, 400] {
        add(Status::BadSize, Box::new(move |c| c.lsb_y = v));
    }
    for sparsity in &Sparsity::ALL[1..] {
        let (_, m) = sparsity.ratio();
        let storage = Storage {
            sparsity: *sparsity,
            ..Storage::INT8
        };
        for v in 1..m as u16 {
            let change = move |c: &mut Command| (c.storage, c.d) = (storage.code(), 64 + v);
            add(Status::BadSize, Box::new(change));
            let change = move |c: &mut Command| {
                (c.storage, c.d, c.f) = (storage.code(), 64, 64 + v);
                if c.opcode == 2 {
                    c.opcode = 1;
                }
            };
            add(Status::BadSize, Box::new(change));
        }
    }
    for k in (1..=8).filter(|k| *k != 2) {
        let change = move |c: &mut Command| {
            (c.routing, c.topk, c.experts) = (c.routing | 3 << 2, k, 64);
        };
        add(Status::BadSize, Box::new(change));
    }
    for groups in [17, 32, 64, 128, 255] {
        add(Status::BadSize, Box::new(move |c| c.groups = groups));
    }
    for groups in 2..=16u8 {
        let of_each = move |c: &mut Command, each: u16| {
            c.experts = each * u16::from(groups);
            (c.groups, c.groups_kept, c.topk) = (groups, groups, 1);
            c.routing &= !(3 << 2);
        };
        for more in 1..groups.into() {
            let change = move |c: &mut Command| {
                of_each(c, 5);
                c.experts += more;
            };
            add(Status::BadSize, Box::new(change));
        }
        for kept in [0, groups + 1, 255] {
            let change = move |c: &mut Command| {
                of_each(c, 3);
                c.groups_kept = kept;
            };
            add(Status::BadSize, Box::new(change));
        }
        let single = move |c: &mut Command| {
            of_each(c, 1);
            c.routing |= ROUTING_GROUP_SUM2;
        };
        add(Status::BadSize, Box::new(single));
        for kept in 1..=groups {
            for each in 1..8u8 {
                if each * kept < 8 && u16::from(each) * u16::from(groups) > 8 {
                    let change = move |c: &mut Command| {
                        of_each(c, each.into());
                        c.routing &= !ROUTING_GROUP_SUM2;
                        (c.groups_kept, c.topk) = (kept, each * kept + 1);
                    };
                    add(Status::BadSize, Box::new(change));
                }
            }
        }
    }
    for v in [SIM.layers_max as u8, 2 * SIM.layers_max as u8, 255] {
        add(Status::BadSize, Box::new(move |c| c.layer = v));
    }
    for v in [SIM.slots as u8 + 1, 8, 9, 16, 255] {
        add(Status::BadSize, Box::new(move |c| c.guesses = v));
    }
    for bit in (0..6).chain([40, 47, 63]) {
        let fields: [fn(&mut Command) -> &mut u64; 7] = [
            |c| &mut c.x_addr,
            |c| &mut c.y_addr,
            |c| &mut c.route_addr,
            |c| &mut c.done_addr,
            |c| &mut c.router_addr,
            |c| &mut c.experts_addr,
            |c| &mut c.next_addr,
        ];
        for field in fields {
            add(Status::BadAlign, Box::new(move |c| *field(c) |= 1 << bit));
        }
        if bit < 6 {
            let change = move |c: &mut Command| c.expert_stride |= 1 << bit;
            add(Status::BadAlign, Box::new(change));
            let change = move |c: &mut Command| c.task_stride |= 1 << bit;
            add(Status::BadAlign, Box::new(change));
        }
    }
    for v in [0, SIM.slot_words as u16 + 1, 32768, 65535] {
        add(Status::BadWindow, Box::new(move |c| c.window_words = v));
    }
    for _ in 0..20 {
        let less = |c: &mut Command| c.window_words = (least_window(c) as u16).saturating_sub(1);
        add(Status::BadWindow, Box::new(less));
    }
    all
}

#[test]
fn accepted_commands_go_through_all_phases() {
    for (seed, stall, commands) in [(1, 0, 100), (2, 100, 60), (3, 220, 20)] {
        let mut p = unit();
        let mut w = World::new(seed, stall, 0xAB_CDEF_1240, 6);
        let mut r = Rng::new(seed);
        for _ in 0..commands {
            w.task = [0, 1, 255, r.next() as u8][r.below(4) as usize];
            w.run(&mut p, Plan::of(valid(&mut r)));
        }
        assert!(w.statuses.iter().all(|s| *s == Status::Ok));
    }
}

#[test]
fn every_rule_has_its_status() {
    let mut p = unit();
    let mut w = World::new(4, 30, 0, 3);
    let mut r = Rng::new(4);
    let all = mistakes();
    println!("{} mistakes", all.len());
    for (status, change) in &all {
        let mut plan = Plan::of(valid(&mut r));
        change(&mut plan.command);
        w.run(&mut p, plan);
        assert_eq!(w.statuses.last(), Some(status), "{:?}", plan.command);
    }
}

#[test]
fn of_several_mistakes_the_lowest_is_told() {
    let mut p = unit();
    let mut w = World::new(5, 30, 0x40, 4);
    let mut r = Rng::new(5);
    let all = mistakes();
    let mut seen = HashMap::new();
    for _ in 0..600 {
        let mut c = valid(&mut r);
        let mut lowest = u32::MAX;
        for _ in 0..1 + r.below(3) {
            let (status, change) = &all[r.below(all.len() as u64) as usize];
            change(&mut c);
            lowest = lowest.min(*status as u32);
        }
        w.run(&mut p, Plan::of(c));
        *seen
            .entry(w.statuses.last().map(|s| *s as u32))
            .or_insert(0) += 1;
    }
    println!("{seen:?}");
    assert!((1..=5).all(|s| seen.contains_key(&Some(s))));
}

#[test]
fn errors_on_the_way_are_told_the_lowest_first() {
    let mut p = unit();
    let mut w = World::new(6, 60, 0x7FC0, 5);
    let mut r = Rng::new(6);
    for bits in 0..1024u32 {
        let bit = |i: u32| bits >> i & 1 == 1;
        let mut plan = Plan {
            command: valid(&mut r),
            x_error: bit(0),
            load_error: bit(1),
            y_error: bit(2),
            route_error: bit(3),
            image_error: bit(4),
            nonfinite: bit(5),
            record_error: bit(6),
            choice_error: bit(7),
            fetch_error: bit(8) && bit(9),
        };
        plan.command.tokens = 1 + bits as u16 % 3;
        w.run(&mut p, plan);
    }
    for status in [
        Status::Ok,
        Status::ReadError,
        Status::WriteError,
        Status::BadImage,
        Status::BadRoute,
        Status::NonFinite,
    ] {
        assert!(w.statuses.contains(&status), "{status:?}");
    }
}

#[test]
fn the_ring_wraps_and_holds_several_commands() {
    let mut r = Rng::new(7);
    for log2 in [0, 1, 2, 5, 15] {
        let mut p = unit();
        let mut w = World::new(7 + log2, 40, 0xFF_0000_0000 + (log2 << 6), log2);
        let all = mistakes();
        let mut count = 0;
        while count < 150 {
            for _ in 0..1 + r.below((1 << log2.min(4)) as u64) {
                let mut plan = Plan::of(valid(&mut r));
                if r.chance(180) {
                    all[r.below(all.len() as u64) as usize].1(&mut plan.command);
                }
                plan.fetch_error = r.chance(20);
                w.put(plan);
                count += 1;
            }
            // The doorbell rings while the last command may still run.
            w.doorbell();
            for _ in 0..r.below(200) {
                cycle(&mut p, &mut [&mut w]);
            }
            if w.plans.len() + 16 >= 1 << log2 {
                w.finish(&mut p);
            }
        }
        w.finish(&mut p);
        assert_eq!(w.statuses.len(), count);
    }
}

#[test]
fn the_count_wraps_at_16_bits() {
    let mut p = unit();
    let mut w = World::new(9, 0, 0x1000, 2);
    // 65534 commands of zeros, which are refused with a record, by a world that always answers.
    for (port, value) in [
        ("rd_vld", 1),
        ("rd_issued", 1),
        ("rd_idle", 1),
        ("wr_idle", 1),
        ("tail", 65534),
    ] {
        p.set(port, value);
    }
    while p.get("done_count") < 65534 {
        p.tick();
    }
    assert_eq!(p.get("last_status"), Status::BadOpcode as u64);
    (w.done, w.tail, w.last_status) = (65534, 65534, Status::BadOpcode as u64);
    let mut r = Rng::new(9);
    for _ in 0..6 {
        w.run(&mut p, Plan::of(valid(&mut r)));
    }
    assert_eq!(p.get("done_count"), 4);
}

#[test]
fn reset_forgets_count_status_and_command() {
    let mut p = unit();
    let mut w = World::new(10, 0, 0x1000, 2);
    let mut r = Rng::new(10);
    for cut in 0..90 {
        let mut refused = valid(&mut r);
        refused.opcode = 0;
        w.run(&mut p, Plan::of(refused));
        w.put(Plan::of(valid(&mut r)));
        w.doorbell();
        for _ in 0..cut {
            cycle(&mut p, &mut [&mut w]);
        }
        p.set("tail", 0);
        p.reset("rst", 1);
        assert_eq!(p.get("done_count"), 0);
        assert_eq!(p.get("last_status"), 0);
        assert_eq!(p.get("idle"), 1);
        w = World::new(100 + cut, 0, 0x1000, 2);
    }
}
