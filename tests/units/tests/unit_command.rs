//! Command execution against `golden::check`: every rule and status, derived values, the order of the phases, the ring.

use abi::command::{COMMAND_BEATS, COMMAND_STRIDE, FLAG_IRQ, FLAG_RENORMALISE, FLAG_TWO_OF_FOUR};
use abi::config::SIM;
use abi::layout::{down_shape, gate_shape, router_shape, row_bytes, ADDR_BITS, ROUTE_BYTES};
use abi::{Command, Completion, Sparsity, Status, BEAT, TOPK_MAX};
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
        if let Err(status) = golden::check(&SIM, &self.command) {
            return status;
        }
        [
            (self.x_error || self.load_error, Status::ReadError),
            (self.y_error || self.route_error, Status::WriteError),
            (self.image_error, Status::BadImage),
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
fn parameters(c: &Command) -> Vec<(&'static str, u64)> {
    let (d, f, e) = (c.d.into(), c.f.into(), c.experts.into());
    let sparse = c.flags & FLAG_TWO_OF_FOUR != 0;
    let kind = if sparse {
        Sparsity::TwoOfFour
    } else {
        Sparsity::Dense
    };
    let (gate, down) = (gate_shape(d, f, kind), down_shape(d, f, kind));
    let groups = |shape: abi::MatrixShape| shape.groups(SIM.lanes) as u64;
    vec![
        ("tokens", c.tokens.into()),
        ("d", c.d.into()),
        ("f", c.f.into()),
        ("experts", c.experts.into()),
        ("topk", c.topk.into()),
        ("renorm", (c.flags & FLAG_RENORMALISE != 0).into()),
        ("sparse", sparse.into()),
        ("nblk_d", gate.blocks() as u64),
        ("nblk_f", down.blocks() as u64),
        ("lsb_y", u64::from(c.lsb_y as u16)),
        ("router_addr", c.router_addr),
        ("experts_addr", c.experts_addr),
        ("expert_stride", c.expert_stride.into()),
        ("groups_router", groups(router_shape(d, e))),
        ("groups_gate_up", 2 * groups(gate)),
        ("groups_down", groups(down)),
        ("win_router", c.window_router.into()),
        ("win_gate_up", c.window_gate_up.into()),
        ("win_down", c.window_down.into()),
    ]
}

/// The read master as the unit sees it.
#[derive(Default)]
struct Reader {
    descriptor: bool,
    addr: u64,
    granted: u64,
    given: u64,
    offered: bool,
    err: bool,
    bad_beat: Option<u64>,
}

/// The write master as the unit sees it.
#[derive(Default)]
struct Writer {
    /// Source and cycles until it is done.
    job: Option<(u64, u64)>,
    err: bool,
    record: Option<Vec<u32>>,
}

/// The units of the data flow, between `go` and the read-out of y.
struct Flow {
    go: u64,
    /// Experts in all, issued so far, finished so far (as the unit can know it).
    total: u64,
    issued: u64,
    finished: u64,
    pulse: bool,
    /// Cycles after `go` from which the errors show, and until which something is busy.
    errors_at: u64,
    quiet_at: u64,
    /// The cycle in which y must start.
    y_at: Option<u64>,
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

    /// A granted beat has not come.
    fn missing(&self) -> bool {
        self.reader.given < self.reader.granted && !self.reader.offered
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
        let fetching = p.get("fetching") == 1;
        let descriptor = self.reader.descriptor && self.reader.given < COMMAND_BEATS as u64;
        assert_eq!(fetching, descriptor && self.fetch_started.is_some());
        let taken = self.reader.offered && (fetching || self.go_on());
        if taken {
            self.reader.err |= self.reader.bad_beat == Some(self.reader.given);
            self.reader.given += 1;
            if self.reader.descriptor {
                self.fetched = now;
            }
            self.reader.offered = false;
        }
        let start = p.get("rd_start") == 1;
        if start {
            let plan = self.plans[0];
            assert_eq!(self.reader.given, self.reader.granted, "reader at work");
            let descriptor = self.fetch_started.is_none();
            let addr = if descriptor {
                assert_ne!(self.done, self.tail, "nothing to fetch");
                self.fetch_started = Some(now);
                let slot = u64::from(self.done) % (1 << self.ring_log2);
                self.ring_base + slot * COMMAND_STRIDE
            } else {
                assert_eq!(p.get("go"), 1, "x is read from `go` on");
                plan.command.x_addr
            };
            assert_eq!(p.get("rd_addr"), addr);
            let (bad, beats) = if descriptor {
                (plan.fetch_error, COMMAND_BEATS as u64)
            } else {
                (plan.x_error, x_beats(&plan.command))
            };
            self.reader = Reader {
                descriptor,
                addr,
                bad_beat: bad.then(|| self.rng.below(beats)),
                ..Reader::default()
            };
        }
        if p.get("rd_grant_vld") == 1 {
            self.reader.granted += p.get("rd_grant_beats");
        }
    }

    fn sample_writer(&mut self, p: &mut Pins) {
        let now = p.cycles();
        let (y, routes) = (p.get("y_start") == 1, p.get("route_start") == 1);
        if p.get("wr_start") == 1 {
            assert!(self.writer.job.is_none(), "writer at work");
            let sel = p.get("wr_sel");
            assert_eq!((y, routes), (sel == 0, sel == 1), "read-out of its source");
            let delay = 3 + self.delay();
            self.writer = Writer {
                job: Some((sel, delay)),
                ..Writer::default()
            };
            self.writes
                .push((sel, p.get("wr_addr"), p.get("wr_beats"), now));
        } else {
            assert!(!y && !routes, "a read-out without a write");
            if let Some((sel, left)) = self.writer.job {
                assert_eq!(p.get("wr_sel"), sel, "the source stays");
                if sel == 2 {
                    assert_eq!(
                        p.get("rec_vld"),
                        1,
                        "the record is offered until it is written"
                    );
                    let data = p.get_wide("rec_data");
                    assert_eq!(*self.writer.record.get_or_insert(data.clone()), data);
                }
                self.writer.job = Some((sel, left - 1));
                if left == 1 {
                    let plan = self.plans[0];
                    let errors = [plan.y_error, plan.route_error, plan.record_error];
                    self.writer.err = errors[sel as usize];
                    self.writer.job = None;
                }
            }
        }
    }

    fn sample_flow(&mut self, p: &mut Pins) {
        let now = p.cycles();
        if p.get("go") == 1 {
            assert!(self.flow.is_none(), "started twice");
            assert_eq!(now, self.fetched + 6, "cycles of the check");
            let total = self.rng.below(5);
            let errors_at = 1 + self.delay();
            let quiet_at = errors_at + self.delay();
            self.flow = Some(Flow {
                go: now,
                total,
                issued: 0,
                finished: 0,
                pulse: false,
                errors_at,
                quiet_at,
                y_at: None,
            });
        }
        let c = self.plans.front().map(|plan| plan.command);
        let Some(flow) = &mut self.flow else { return };
        for (port, value) in parameters(&c.unwrap()) {
            assert_eq!(p.get(port), value, "{port}");
        }
        // One cycle for each row's grant, then the first cycle in which all is done, then y.
        let granted = now > flow.go + u64::from(c.unwrap().tokens);
        if granted
            && flow.y_at.is_none()
            && p.get("jobs_done") == 1
            && flow.finished == p.get("jobs")
            && p.get("flow_busy") == 0
            && p.get("rd_idle") == 1
        {
            assert_eq!(self.reader.granted, x_beats(&c.unwrap()), "beats of x");
            flow.y_at = Some(now + 1);
        }
        assert_eq!(p.get("y_start") == 1, flow.y_at == Some(now), "y");
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

        let accepted = !plan.fetch_error && golden::check(&SIM, c).is_ok();
        assert_eq!(self.flow.is_some(), accepted, "{plan:?}");
        let mut expected = Vec::new();
        if accepted {
            expected.push((0, c.y_addr, x_beats(c)));
            let beats = u64::from(c.tokens) * (ROUTE_BYTES / BEAT) as u64;
            expected.push((1, c.route_addr, beats));
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
        self.fetch_started = None;
        self.irq_at = None;
        self.writes.clear();
    }
}

fn x_beats(c: &Command) -> u64 {
    u64::from(c.tokens) * (row_bytes(c.d.into()) / BEAT) as u64
}

impl Stream for World {
    fn drive(&mut self, p: &mut Pins) {
        let now = p.cycles();
        p.set("ring_base", self.ring_base);
        p.set("ring_log2", self.ring_log2);
        p.set("tail", self.tail.into());
        // Reader.
        let waiting = self.reader.given < self.reader.granted;
        p.set("rd_idle", (!waiting).into());
        p.set("rd_err", self.reader.err.into());
        self.reader.offered |= waiting && self.go_on();
        p.set("rd_vld", self.reader.offered.into());
        let noise = [0; 4].map(|_: u32| self.rng.next() as u32);
        let beat = if self.reader.offered && self.reader.descriptor {
            let bytes = &self.memory[&self.reader.addr][self.reader.given as usize * BEAT..];
            std::array::from_fn(|i| u32::from_le_bytes(std::array::from_fn(|k| bytes[4 * i + k])))
        } else {
            noise
        };
        p.set_wide("rd_data", &beat);
        // Writer.
        p.set("wr_idle", self.writer.job.is_none().into());
        p.set("wr_err", self.writer.err.into());
        // Data flow. Before `go` the levels of the last command stand.
        let (start, stall) = (self.rng.chance(200), self.stall);
        let (pulse, plan) = (!self.rng.chance(stall), self.plans.front().copied());
        let Some((flow, plan)) = self.flow.as_mut().zip(plan) else {
            p.set("section_done", 0);
            return;
        };
        let age = now - flow.go;
        flow.issued += u64::from(start && flow.issued < flow.total && age > 1);
        flow.pulse = pulse && flow.finished < flow.issued;
        let issued_all = flow.issued == flow.total && age > flow.errors_at;
        p.set("jobs", flow.issued);
        p.set("jobs_done", issued_all.into());
        p.set("section_done", flow.pulse.into());
        p.set("flow_busy", (age < flow.quiet_at).into());
        let show = age >= flow.errors_at;
        p.set("x_nonfinite", (plan.nonfinite && show).into());
        p.set("load_err_read", (plan.load_error && show).into());
        p.set("load_err_image", (plan.image_error && show).into());
    }
    fn sample(&mut self, p: &mut Pins) {
        let at_work = self.fetch_started.is_some();
        self.sample_end(p);
        let at_work = at_work && self.fetch_started.is_some();
        assert_eq!(p.get("idle") == 1, !at_work, "idle");
        let fetch = self.fetch_started.is_some() && self.reader.descriptor && self.missing();
        let write = self.writer.job.is_some() && self.writes.last().unwrap().3 + 2 <= p.cycles();
        assert_eq!(p.get("wait_memory") == 1, fetch || write, "wait_memory");
        self.sample_reader(p);
        self.sample_writer(p);
        self.sample_flow(p);
    }
}

fn unit() -> Pins {
    let mut p = Pins::new("command").unwrap();
    p.set("tail", 0);
    p.reset("rst", 2);
    p
}

/// A command that the engine accepts.
fn valid(r: &mut Rng) -> Command {
    let mut size = |max: usize| 1 + r.below(max as u64) as u16;
    let (mut d, mut f) = (size(SIM.d_max), size(SIM.f_max));
    let (tokens, experts) = (size(SIM.tokens_max), size(SIM.experts_max));
    let topk = size(TOPK_MAX.min(experts.into()));
    // Mostly few tokens, which take fewer cycles.
    let tokens = if r.chance(220) {
        1 + tokens % 3
    } else {
        tokens
    };
    let flags = r.below(8) as u8;
    let sparsity = if flags & FLAG_TWO_OF_FOUR == 0 {
        Sparsity::Dense
    } else {
        (d, f) = (d.next_multiple_of(4), f.next_multiple_of(4));
        Sparsity::TwoOfFour
    };
    let mut addr = || r.below(1 << (ADDR_BITS - 6)) << 6;
    let mut c = Command {
        opcode: 1,
        flags,
        tokens,
        d,
        f,
        experts,
        topk,
        x_addr: addr(),
        y_addr: addr(),
        route_addr: addr(),
        done_addr: addr(),
        router_addr: addr(),
        experts_addr: addr(),
        expert_stride: (addr() & 0xFFFF_FFC0) as u32,
        ..Command::default()
    };
    c.tag = r.next() as u16;
    c.lsb_y = r.below(401) as i16 - 200;
    // The largest windows, half of the time.
    let (dim, ffn) = (usize::from(d), usize::from(f));
    let router = router_shape(dim, experts.into()).window_groups(&SIM);
    let pairs = gate_shape(dim, ffn, sparsity).window_pairs(&SIM) / 2;
    let down = down_shape(dim, ffn, sparsity).window_groups(&SIM);
    let mut window = |max: usize| {
        if r.chance(128) {
            max as u16
        } else {
            1 + r.below(max as u64) as u16
        }
    };
    c.window_router = window(router);
    c.window_gate_up = 2 * window(pairs);
    c.window_down = window(down);
    assert_eq!(golden::check(&SIM, &c), Ok(()));
    c
}

type Change = Box<dyn Fn(&mut Command)>;

/// Every way to break a rule, with the status it has by itself.
fn mistakes() -> Vec<(Status, Change)> {
    let mut all: Vec<(Status, Change)> = Vec::new();
    let mut add = |status, change: Change| all.push((status, change));
    for opcode in [0, 2, 129, 255] {
        add(Status::BadOpcode, Box::new(move |c| c.opcode = opcode));
    }
    for bit in 3..8 {
        add(Status::BadOpcode, Box::new(move |c| c.flags |= 1 << bit));
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
    for v in over(SIM.experts_max) {
        add(Status::BadSize, Box::new(move |c| c.experts = v));
    }
    for v in [0, 9, 256, 257, 32769] {
        let change = move |c: &mut Command| (c.experts, c.topk) = (64, v);
        add(Status::BadSize, Box::new(change));
    }
    for e in 1..8 {
        let change = move |c: &mut Command| (c.experts, c.topk) = (e, e + 1);
        add(Status::BadSize, Box::new(change));
    }
    for v in [-201, 201, -32768, 32767, -456, 400] {
        add(Status::BadSize, Box::new(move |c| c.lsb_y = v));
    }
    for v in [1, 2, 3] {
        let change = move |c: &mut Command| {
            c.flags |= FLAG_TWO_OF_FOUR;
            c.d = 60 + v;
        };
        add(Status::BadSize, Box::new(change));
        let change = move |c: &mut Command| {
            c.flags |= FLAG_TWO_OF_FOUR;
            (c.d, c.f) = (64, 60 + v);
        };
        add(Status::BadSize, Box::new(change));
    }
    for bit in (0..6).chain([40, 47, 63]) {
        let fields: [fn(&mut Command) -> &mut u64; 6] = [
            |c| &mut c.x_addr,
            |c| &mut c.y_addr,
            |c| &mut c.route_addr,
            |c| &mut c.done_addr,
            |c| &mut c.router_addr,
            |c| &mut c.experts_addr,
        ];
        for field in fields {
            add(Status::BadAlign, Box::new(move |c| *field(c) |= 1 << bit));
        }
        if bit < 6 {
            let change = move |c: &mut Command| c.expert_stride |= 1 << bit;
            add(Status::BadAlign, Box::new(change));
        }
    }
    let shapes = |c: &Command| {
        let (d, f) = (usize::from(c.d.max(1)), usize::from(c.f.max(1)));
        let sparsity = if c.flags & FLAG_TWO_OF_FOUR == 0 {
            Sparsity::Dense
        } else {
            Sparsity::TwoOfFour
        };
        let router = router_shape(d, c.experts.into()).slot_groups(&SIM);
        let pairs = gate_shape(d, f, sparsity).slot_groups(&SIM) / 2 * 2;
        let down = down_shape(d, f, sparsity).slot_groups(&SIM);
        [router, pairs, down].map(|n| n as u16)
    };
    for set in [
        (|c, [n, ..]| c.window_router = n) as fn(&mut Command, [u16; 3]),
        |c, [_, n, _]| c.window_gate_up = n,
        |c, [.., n]| c.window_down = n,
    ] {
        for v in [0, 65534, 65535] {
            add(Status::BadWindow, Box::new(move |c| set(c, [v; 3])));
        }
        // The first that does not fit: one more, or one more pair.
        let change = move |c: &mut Command| {
            let [router, pairs, down] = shapes(c);
            set(c, [router + 1, pairs + 2, down + 1]);
        };
        add(Status::BadWindow, Box::new(change));
    }
    let odd = |c: &mut Command| c.window_gate_up -= 1;
    add(Status::BadWindow, Box::new(odd));
    all
}

#[test]
fn accepted_commands_go_through_all_phases() {
    for (seed, stall, commands) in [(1, 0, 100), (2, 100, 60), (3, 220, 20)] {
        let mut p = unit();
        let mut w = World::new(seed, stall, 0xAB_CDEF_1240, 6);
        let mut r = Rng::new(seed);
        for _ in 0..commands {
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
        // The window of a changed shape is not to blame.
        if *status == Status::BadSize {
            (plan.command.window_router, plan.command.window_gate_up) = (1, 2);
            plan.command.window_down = 1;
        }
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
    assert!((1..=4).all(|s| seen.contains_key(&Some(s))));
}

#[test]
fn errors_on_the_way_are_told_the_lowest_first() {
    let mut p = unit();
    let mut w = World::new(6, 60, 0x7FC0, 5);
    let mut r = Rng::new(6);
    for bits in 0..512u32 {
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
            fetch_error: bit(7) && bit(8),
        };
        plan.command.tokens = 1 + bits as u16 % 3;
        w.run(&mut p, plan);
    }
    for status in [
        Status::Ok,
        Status::ReadError,
        Status::WriteError,
        Status::BadImage,
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
    w.reader.given = w.reader.granted;
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
    for cut in 0..60 {
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
