//! The array against `numeric::term` and the layout of `docs/formats.md`: every kind, window and shape, with random weights in
//! slots that turn to noise the moment they are handed back, and x and h that are noise until they are ready.

use abi::config::{SIM, TINY};
use abi::{Config, Kind, MatrixShape, Sparsity, BLOCK};
use numeric::{term, Scale};
use sim_tb::pins::{cycle, Pins, ReadPort, Stream, StreamOut};
use sim_tb::rng::Rng;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// A command: sizes, and for each expert (token, weight) of its queue.
#[derive(Clone, Debug)]
struct Case {
    tokens: usize,
    d: usize,
    f: usize,
    experts: usize,
    sparse: bool,
    queues: Vec<Vec<(u8, u32)>>,
    /// Windows take a random number of groups; otherwise as many as fit.
    ragged: bool,
    /// Of 256: gaps in the window stream, and in the readiness of the output.
    gaps: u32,
    stall: u32,
}

/// One slot's memories: beats as 32-bit words.
#[derive(Clone)]
struct Slot {
    values: Vec<Vec<[u32; 4]>>,
    scales: Vec<[u32; 4]>,
    positions: Vec<[u32; 4]>,
}

fn any(r: &mut Rng) -> u32 {
    r.next() as u32
}

/// Positions of a block: of two ascending ones the first is at most 2, the second at least 1.
fn ascending(r: &mut Rng) -> u32 {
    (0..16).fold(0, |p, j| p | (r.below(3) as u32 + j % 2) << (2 * j))
}

impl Slot {
    fn noise(config: &Config, r: &mut Rng) -> Slot {
        let mut bank = |word: fn(&mut Rng) -> u32| {
            let beats = (0..config.slot_words).map(|_| std::array::from_fn(|_| word(r)));
            beats.collect()
        };
        Slot {
            values: (0..config.lanes).map(|_| bank(any)).collect(),
            scales: bank(any),
            positions: bank(ascending),
        }
    }
    fn value(&self, lane: usize, word: usize, i: usize) -> i32 {
        i32::from((self.values[lane][word][i / 4] >> (8 * (i % 4))) as i8)
    }
    fn scale(&self, beat: usize, entry: usize) -> Scale {
        Scale::from_bits(
            (self.scales[beat + entry / 8][entry % 8 / 2] >> (16 * (entry % 2))) as u16,
        )
    }
    fn positions(&self, beat: usize, entry: usize) -> u32 {
        self.positions[beat + entry / 4][entry % 4]
    }
}

/// A vector in blocks.
#[derive(Clone)]
struct Vector {
    bmax: u8,
    b: Vec<u8>,
    blocks: Vec<[i8; BLOCK]>,
}

impl Vector {
    fn random(r: &mut Rng, blocks: usize) -> Vector {
        let bmax = r.next() as u8;
        let reach = [0, 8, 60][r.below(3) as usize];
        Vector {
            bmax,
            b: (0..blocks)
                .map(|_| bmax.saturating_sub(r.below(reach + 1) as u8))
                .collect(),
            blocks: (0..blocks)
                .map(|_| std::array::from_fn(|_| r.next() as i8))
                .collect(),
        }
    }
    fn words(&self, block: usize) -> Vec<u32> {
        self.blocks[block]
            .chunks(4)
            .map(|c| u32::from_le_bytes([c[0] as u8, c[1] as u8, c[2] as u8, c[3] as u8]))
            .collect()
    }
}

/// A window and what it holds.
struct Window {
    kind: Kind,
    slot: usize,
    groups: usize,
    first: usize,
    last: bool,
    expert: usize,
    exps: [i16; 3],
    content: Slot,
}

const WINDOW: [&str; 9] = [
    "kind", "slot", "groups", "first", "last", "expert", "exp_a", "exp_b", "exp_c",
];
const OUT: [&str; 10] = [
    "acc", "kind", "up", "limb", "row", "token", "q", "lsb", "last", "weight",
];

/// What the unit's neighbours hold.
struct World {
    slots: [Slot; 2],
    free: [bool; 2],
    x_ready: bool,
    /// The expert whose hidden vectors are complete.
    hidden_of: Option<usize>,
}

/// Offers windows in order, each when its slot is free, and takes slots back.
struct Loader {
    windows: VecDeque<Window>,
    offered: bool,
    accepted: Vec<u64>,
    freed: Vec<u64>,
    slots_given: VecDeque<usize>,
    gaps: u32,
    rng: Rng,
    config: Config,
    world: Rc<RefCell<World>>,
}

impl Stream for Loader {
    fn drive(&mut self, pins: &mut Pins) {
        let mut world = self.world.borrow_mut();
        if let (false, Some(w)) = (self.offered, self.windows.front()) {
            if world.free[w.slot] && !self.rng.chance(self.gaps) {
                world.slots[w.slot] = w.content.clone();
                world.free[w.slot] = false;
                self.offered = true;
            }
        }
        pins.set("win_vld", self.offered.into());
        for (i, field) in WINDOW.iter().enumerate() {
            let port = format!("win_{field}");
            let value = match self.windows.front() {
                Some(w) if self.offered => [
                    w.kind as i64,
                    w.slot as i64,
                    w.groups as i64,
                    w.first as i64,
                    i64::from(w.last),
                    w.expert as i64,
                    w.exps[0].into(),
                    w.exps[1].into(),
                    w.exps[2].into(),
                ][i] as u64,
                _ => self.rng.next(),
            };
            let mask = (1 << pins.width(&port)) - 1;
            pins.set(&port, value & mask);
        }
    }
    fn sample(&mut self, pins: &mut Pins) {
        if self.offered && pins.get("win_rdy") == 1 {
            let w = self.windows.pop_front().unwrap();
            self.slots_given.push_back(w.slot);
            self.accepted.push(pins.cycles());
            self.offered = false;
        }
        if pins.get("free_vld") == 1 {
            let slot = self
                .slots_given
                .pop_front()
                .expect("a slot handed back that was not given");
            assert_eq!(pins.get("free_slot"), slot as u64);
            let mut world = self.world.borrow_mut();
            world.slots[slot] = Slot::noise(&self.config, &mut self.rng);
            world.free[slot] = true;
            self.freed.push(pins.cycles());
        }
    }
}

/// Drives x_ready after a while and h_ready as the engine does: nothing inside linear, and nothing behind it for a while.
struct Ready {
    x_after: u64,
    behind: u64,
    /// The expert of each expected row of gate and up, in order; the part that has arrived.
    hidden: Vec<usize>,
    arrived: usize,
    world: Rc<RefCell<World>>,
    rng: Rng,
    busy_after: u64,
}

impl Stream for Ready {
    fn drive(&mut self, pins: &mut Pins) {
        let mut world = self.world.borrow_mut();
        self.x_after = self.x_after.saturating_sub(1);
        if self.x_after == 0 {
            world.x_ready = true;
        }
        pins.set("x_ready", world.x_ready.into());
        let ready = pins.get("draining") == 0 && self.behind == 0;
        pins.set("h_ready", ready.into());
        if ready && self.arrived > 0 {
            let expert = self.hidden[self.arrived - 1];
            // Complete only if the next row, if any, belongs to another expert.
            if self
                .hidden
                .get(self.arrived)
                .is_none_or(|&next| next != expert)
            {
                world.hidden_of = Some(expert);
            }
        }
        self.behind = self.behind.saturating_sub(1);
    }
    fn sample(&mut self, pins: &mut Pins) {
        if pins.get("out_vld") == 1
            && pins.get("out_rdy") == 1
            && pins.get("out_kind") == Kind::GateUp as u64
        {
            if self.arrived == 0 || self.hidden[self.arrived] != self.hidden[self.arrived - 1] {
                self.world.borrow_mut().hidden_of = None;
            }
            self.arrived += 1;
            self.behind = 1 + self.rng.below(self.busy_after);
        }
    }
}

/// The outputs that are counted.
#[derive(Default)]
struct Counts {
    macs: u64,
    active: u64,
    sections: usize,
    starved: u64,
    busy: bool,
    draining: bool,
}

impl Stream for Counts {
    fn drive(&mut self, _: &mut Pins) {}
    fn sample(&mut self, pins: &mut Pins) {
        let macs = pins.get("macs");
        let active = pins.get("active");
        assert!(active == 1 || macs == 0, "macs without a beat");
        self.macs += macs;
        self.active += active;
        self.sections += pins.get("section_done") as usize;
        self.starved += pins.get("wait_window");
        self.busy = pins.get("busy") == 1;
        self.draining = pins.get("draining") == 1;
        assert!(self.busy || !self.draining, "draining but not busy");
    }
}

/// What a case took.
struct Taken {
    active: u64,
    windows: usize,
    /// Cycles from the first window's acceptance to the last slot's return.
    span: u64,
}

fn shape(case: &Case, kind: Kind) -> MatrixShape {
    let sparsity = if case.sparse {
        Sparsity::TwoOfFour
    } else {
        Sparsity::Dense
    };
    match kind {
        Kind::Router => abi::layout::router_shape(case.d, case.experts),
        Kind::GateUp => abi::layout::gate_shape(case.d, case.f, sparsity),
        Kind::Down => abi::layout::down_shape(case.d, case.f, sparsity),
    }
}

/// Cuts a section into windows.
fn section(
    case: &Case,
    config: &Config,
    kind: Kind,
    expert: usize,
    exps: [i16; 3],
    r: &mut Rng,
) -> Vec<Window> {
    let shape = shape(case, kind);
    let pairs = kind == Kind::GateUp;
    let total = shape.groups(config.lanes) * (1 + usize::from(pairs));
    let most = if pairs {
        shape.window_pairs(config)
    } else {
        shape.window_groups(config)
    };
    let mut windows = Vec::new();
    let mut first = 0;
    while first < total {
        let mut groups = most.min(total - first);
        if case.ragged {
            groups = 1 + r.below(groups as u64) as usize;
            if pairs {
                groups = groups.next_multiple_of(2);
            }
        }
        windows.push(Window {
            kind,
            slot: 0,
            groups,
            first,
            last: first + groups == total,
            expert,
            exps,
            content: Slot::noise(config, r),
        });
        first += groups;
    }
    windows
}

/// Runs one command on `p` and compares everything.
fn run(p: &mut Pins, config: &Config, case: &Case, seed: u64) -> Taken {
    let mut r = Rng::new(seed);
    let lanes = config.lanes;
    let (nblk_d, nblk_f) = (case.d.div_ceil(BLOCK), case.f.div_ceil(BLOCK));
    for (name, value) in [
        ("tokens", case.tokens),
        ("d", case.d),
        ("f", case.f),
        ("experts", case.experts),
        ("nblk_d", nblk_d),
        ("nblk_f", nblk_f),
        ("sparse", case.sparse.into()),
    ] {
        p.set(name, value as u64);
    }

    // x as q8, hi, lo: three vectors per token that share their exponents; h per expert and place.
    let x: Vec<[Vector; 3]> = (0..case.tokens)
        .map(|_| {
            let q8 = Vector::random(&mut r, nblk_d);
            let mut limb = || Vector {
                blocks: Vector::random(&mut r, nblk_d).blocks,
                ..q8.clone()
            };
            let (hi, lo) = (limb(), limb());
            [q8, hi, lo]
        })
        .collect();
    let h: Vec<Vec<Vector>> = case
        .queues
        .iter()
        .map(|q| q.iter().map(|_| Vector::random(&mut r, nblk_f)).collect())
        .collect();

    let mut exp = || r.below(401) as i16 - 200;
    let exps: Vec<[i16; 3]> = (0..=case.queues.len())
        .map(|_| [exp(), exp(), exp()])
        .collect();
    let mut windows = section(
        case,
        config,
        Kind::Router,
        0xA5,
        exps[case.queues.len()],
        &mut r,
    );
    for (e, queue) in case.queues.iter().enumerate() {
        if !queue.is_empty() {
            windows.extend(section(case, config, Kind::GateUp, e, exps[e], &mut r));
            windows.extend(section(case, config, Kind::Down, e, exps[e], &mut r));
        }
    }
    for (i, w) in windows.iter_mut().enumerate() {
        w.slot = i % 2;
    }

    // The expected rows.
    let mut want: Vec<[u64; 10]> = Vec::new();
    let mut hidden = Vec::new();
    let (mut macs, mut beats, mut sections) = (0, 0, 0);
    for w in &windows {
        let shape = shape(case, w.kind);
        let (kb, vw) = (shape.blocks(), shape.value_words());
        let (sb, pb) = (shape.scale_beats(lanes), shape.position_beats(lanes));
        let vectors = match w.kind {
            Kind::Router => 2 * case.tokens,
            _ => case.queues[w.expert].len(),
        };
        sections += usize::from(w.kind == Kind::Down && w.last);
        for v in 0..vectors {
            let (token, weight, vector) = match w.kind {
                Kind::Router => (v / 2, 0, &x[v / 2][1 + v % 2]),
                Kind::GateUp => {
                    let (token, weight) = case.queues[w.expert][v];
                    (token.into(), weight, &x[usize::from(token)][0])
                }
                Kind::Down => {
                    let (token, weight) = case.queues[w.expert][v];
                    (token.into(), weight, &h[w.expert][v])
                }
            };
            for g in 0..w.groups {
                beats += vw as u64;
                let (group, up) = match w.kind {
                    Kind::GateUp => ((w.first + g) / 2, (w.first + g) % 2 == 1),
                    _ => (w.first + g, false),
                };
                for lane in 0..lanes {
                    let row = group * lanes + lane;
                    if row >= shape.rows {
                        continue;
                    }
                    let mut acc = 0i64;
                    for block in 0..kb {
                        let inputs = &vector.blocks[block];
                        let mut s = 0;
                        if shape.sparsity == Sparsity::Dense {
                            for (i, &xi) in inputs.iter().enumerate() {
                                s += w.content.value(lane, g * vw + 2 * block + i / 16, i % 16)
                                    * i32::from(xi);
                            }
                        } else {
                            let positions = w.content.positions(g * pb, block * lanes + lane);
                            for j in 0..16 {
                                let i = 4 * (j / 2) + (positions >> (2 * j) & 3) as usize;
                                s +=
                                    w.content.value(lane, g * vw + block, j) * i32::from(inputs[i]);
                            }
                        }
                        let scale = w.content.scale(g * sb, block * lanes + lane);
                        acc += term(s, scale, (vector.bmax - vector.b[block]).into());
                    }
                    macs += (shape.nonzeros() / shape.rows) as u64;
                    let [a, b, c] = w.exps;
                    let lsb = match (w.kind, up) {
                        (Kind::Router, _) => numeric::lsb_router(vector.bmax, a),
                        (Kind::GateUp, false) => numeric::lsb(vector.bmax, a),
                        (Kind::GateUp, true) => numeric::lsb(vector.bmax, b),
                        (Kind::Down, _) => numeric::lsb(vector.bmax, c),
                    };
                    let router = w.kind == Kind::Router;
                    let end = w.last
                        && v + 1 == vectors
                        && g + 1 == w.groups
                        && (row + 1 == shape.rows || lane + 1 == lanes);
                    want.push([
                        acc as u64 & ((1 << 48) - 1),
                        w.kind as u64,
                        up.into(),
                        u64::from(router && v % 2 == 1),
                        row as u64,
                        token as u64,
                        if router { 0 } else { v as u64 },
                        u64::from(lsb as i16 as u16),
                        end.into(),
                        weight.into(),
                    ]);
                    if w.kind == Kind::GateUp {
                        hidden.push(w.expert);
                    }
                }
            }
        }
    }
    // Counted once more, from the shapes alone.
    let routed: usize = case.queues.iter().map(Vec::len).sum();
    let nnz = |kind| shape(case, kind).nonzeros();
    let all =
        nnz(Kind::Router) * 2 * case.tokens + routed * (2 * nnz(Kind::GateUp) + nnz(Kind::Down));
    assert_eq!(macs, all as u64, "the model's own count");

    let world = Rc::new(RefCell::new(World {
        slots: std::array::from_fn(|_| Slot::noise(config, &mut r)),
        free: [true; 2],
        x_ready: false,
        hidden_of: None,
    }));
    let window_count = windows.len();
    let mut loader = Loader {
        windows: windows.into(),
        offered: false,
        accepted: Vec::new(),
        freed: Vec::new(),
        slots_given: VecDeque::new(),
        gaps: case.gaps,
        rng: Rng::new(seed + 1),
        config: *config,
        world: world.clone(),
    };
    let mut ready = Ready {
        x_after: r.below(30),
        behind: 0,
        hidden,
        arrived: 0,
        world: world.clone(),
        rng: Rng::new(seed + 2),
        busy_after: 12,
    };
    let mut counts = Counts::default();
    let mut out = StreamOut::new("out", &OUT, seed + 3, case.stall);

    let mut noise = Rng::new(seed + 4);
    let queues = case.queues.clone();
    let mut queue = ReadPort::new(
        &["q_expert", "q_index"],
        &["q_token", "q_weight", "q_len"],
        Box::new(move |a| {
            let queue = queues.get(a[0] as usize);
            let (token, weight) = queue
                .and_then(|q| q.get(a[1] as usize).copied())
                .unwrap_or((noise.next() as u8, noise.below(65537) as u32));
            let len = queue.map_or(noise.below(256), |q| q.len() as u64);
            vec![vec![token.into()], vec![weight], vec![len as u32]]
        }),
    );
    let (shared, mut noise) = (world.clone(), Rng::new(seed + 5));
    let mut slots = ReadPort::new(
        &[
            "rd_slot",
            "rd_value_addr",
            "rd_scale_addr",
            "rd_position_addr",
        ],
        &[
            "rd_value_0",
            "rd_value_1",
            "rd_value_2",
            "rd_value_3",
            "rd_scale",
            "rd_position",
        ],
        Box::new(move |a| {
            let world = shared.borrow();
            let slot = &world.slots[a[0] as usize];
            let mut read = |bank: Option<&Vec<[u32; 4]>>, at: u64| {
                bank.and_then(|b| b.get(at as usize).copied())
                    .unwrap_or_else(|| std::array::from_fn(|_| any(&mut noise)))
                    .to_vec()
            };
            let mut data: Vec<Vec<u32>> = (0..4).map(|l| read(slot.values.get(l), a[1])).collect();
            data.push(read(Some(&slot.scales), a[2]));
            data.push(read(Some(&slot.positions), a[3]));
            data
        }),
    );
    let (shared, mut noise) = (world.clone(), Rng::new(seed + 6));
    let mut xs = ReadPort::new(
        &["x_region", "x_token", "x_blk"],
        &["x_data", "x_b", "x_bmax"],
        Box::new(move |a| {
            let vector = x
                .get(a[1] as usize)
                .and_then(|t| t.get(a[0] as usize))
                .filter(|v| shared.borrow().x_ready && (a[2] as usize) < v.b.len());
            answer(vector, a[2] as usize, &mut noise)
        }),
    );
    let (shared, mut noise) = (world, Rng::new(seed + 7));
    let mut hs = ReadPort::new(
        &["h_q", "h_blk"],
        &["h_data", "h_b", "h_bmax"],
        Box::new(move |a| {
            let vector = shared
                .borrow()
                .hidden_of
                .and_then(|e| h[e].get(a[0] as usize))
                .filter(|v| (a[1] as usize) < v.b.len());
            answer(vector, a[1] as usize, &mut noise)
        }),
    );

    p.set("go", 1);
    p.tick();
    p.set("go", 0);
    let mut checked = 0;
    let mut quiet = 0;
    while quiet < 4 {
        cycle(
            p,
            &mut [
                &mut loader,
                &mut ready,
                &mut queue,
                &mut slots,
                &mut xs,
                &mut hs,
                &mut out,
                &mut counts,
            ],
        );
        while checked < out.len() {
            let at = format!(
                "row {checked} of {}, cycle {}, {case:?}",
                want.len(),
                p.cycles()
            );
            let got = out.narrow(checked);
            let Some(want) = want.get(checked) else {
                panic!("{at}: one row too many");
            };
            // The weight means nothing for the router.
            let fields = if want[1] == 0 { 9 } else { 10 };
            assert_eq!(got[..fields], want[..fields], "{at}: {OUT:?}");
            checked += 1;
        }
        quiet = if counts.busy || !loader.windows.is_empty() {
            0
        } else {
            quiet + 1
        };
    }
    assert_eq!(checked, want.len(), "rows of {case:?}");
    assert_eq!(counts.macs, macs, "MAC counter of {case:?}");
    assert_eq!(counts.active, beats, "beats of {case:?}");
    assert_eq!(counts.sections, sections, "sections of {case:?}");
    assert_eq!(loader.freed.len(), window_count, "slots handed back");
    assert!(!counts.draining && counts.starved >= 3, "idle at the end");
    Taken {
        active: beats,
        windows: window_count,
        span: loader.freed[window_count - 1] - loader.accepted[0],
    }
}

fn answer(vector: Option<&Vector>, block: usize, noise: &mut Rng) -> Vec<Vec<u32>> {
    match vector {
        Some(v) => vec![v.words(block), vec![v.b[block].into()], vec![v.bmax.into()]],
        None => vec![
            (0..8).map(|_| noise.next() as u32).collect(),
            vec![noise.below(256) as u32],
            vec![noise.below(256) as u32],
        ],
    }
}

fn unit(config: &Config) -> Pins {
    let mut p = Pins::new(if *config == TINY {
        "linear_tiny"
    } else {
        "linear"
    })
    .unwrap();
    p.reset("rst", 2);
    p
}

/// Every token to `k` experts.
fn queues(r: &mut Rng, tokens: usize, experts: usize, k: usize) -> Vec<Vec<(u8, u32)>> {
    let mut queues = vec![Vec::new(); experts];
    for token in 0..tokens {
        let mut all: Vec<usize> = (0..experts).collect();
        for _ in 0..k.min(experts) {
            let e = all.swap_remove(r.below(all.len() as u64) as usize);
            queues[e].push((token as u8, r.below(65537) as u32));
        }
    }
    queues
}

/// Shapes with full and partial blocks and groups, dense and 2:4, any number of tokens, with stalls on both sides.
fn random_cases(config: &Config, seed: u64, count: usize) {
    println!("{}, seed {seed}", config.name);
    let mut p = unit(config);
    let mut r = Rng::new(seed);
    for n in 0..count {
        let sparse = r.chance(128);
        let mut width = || {
            let k = [24, 32, 40, 64, 72, 96, 1 + r.below(130) as usize][r.below(7) as usize];
            if sparse {
                k.next_multiple_of(4)
            } else {
                k
            }
        };
        let (d, f) = (width(), width());
        let tokens = [1, 2, 1 + r.below(config.tokens_max as u64) as usize][r.below(3) as usize];
        let experts = 2 + r.below(9) as usize;
        let k = 1 + r.below(3) as usize;
        let case = Case {
            tokens,
            d,
            f,
            experts,
            sparse,
            queues: queues(&mut r, tokens, experts, k),
            ragged: r.chance(128),
            gaps: [0, 0, 200][r.below(3) as usize],
            stall: [0, 60, 200][r.below(3) as usize],
        };
        run(&mut p, config, &case, seed + n as u64);
    }
}

#[test]
fn random_shapes_on_two_lanes() {
    random_cases(&TINY, 51, 40);
}

#[test]
fn random_shapes_on_four_lanes() {
    random_cases(&SIM, 52, 40);
}

/// All tokens of the largest command go to one expert; both widths at their limits in one direction.
#[test]
fn one_expert_with_every_token() {
    for (config, d, f) in [
        (&TINY, TINY.d_max, 40),
        (&TINY, 24, TINY.f_max),
        (&SIM, 1024, 20),
        (&SIM, 36, 2048),
    ] {
        for sparse in [false, true] {
            let mut r = Rng::new(53);
            let tokens = config.tokens_max;
            let case = Case {
                tokens: if config.lanes == 2 { tokens } else { 5 },
                d,
                f,
                experts: 2,
                sparse,
                queues: vec![
                    Vec::new(),
                    (0..tokens.min(5))
                        .map(|t| (t as u8, r.below(65537) as u32))
                        .collect(),
                ],
                ragged: false,
                gaps: 0,
                stall: 0,
            };
            run(&mut unit(config), config, &case, 53);
        }
    }
    let full = Case {
        tokens: SIM.tokens_max,
        d: 64,
        f: 40,
        experts: 3,
        sparse: true,
        queues: vec![(0..SIM.tokens_max)
            .map(|t| (31 - t as u8, 65536 - t as u32))
            .collect()],
        ragged: true,
        gaps: 0,
        stall: 30,
    };
    run(&mut unit(&SIM), &SIM, &full, 54);
}

/// Without stalls a beat enters in every cycle of a window, and one cycle lies between two windows.
#[test]
fn no_bubbles_between_groups_and_vectors() {
    for config in [&TINY, &SIM] {
        for sparse in [false, true] {
            // Only a router: nothing waits for hidden vectors. At least as many beats per group as lanes.
            let case = Case {
                tokens: config.tokens_max,
                d: 128,
                f: 32,
                experts: 8,
                sparse,
                queues: Vec::new(),
                ragged: true,
                gaps: 0,
                stall: 0,
            };
            let taken = run(&mut unit(config), config, &case, 55);
            // Acceptance, then the beats; the slot comes back in stage C of the last one. The first window waits for x.
            let between = taken.windows as u64 - 1;
            assert!(
                taken.span <= taken.active + between + 2,
                "{}: {} beats in {} windows took {} cycles",
                config.name,
                taken.active,
                taken.windows,
                taken.span
            );
        }
    }
}

/// Blocks of one beat: the serialiser is the bottleneck, and the array stops at its sixteen places without losing a row.
#[test]
fn a_blocked_output_stops_the_array() {
    for config in [&TINY, &SIM] {
        let mut r = Rng::new(56);
        let tokens = config.tokens_max;
        let case = Case {
            tokens,
            d: 32,
            f: 32,
            experts: 4,
            sparse: true,
            queues: queues(&mut r, tokens, 4, 4),
            ragged: false,
            gaps: 0,
            stall: 240,
        };
        run(&mut unit(config), config, &case, 56);
    }
}

#[test]
fn reset_in_the_middle_of_a_window() {
    let mut p = unit(&TINY);
    let mut r = Rng::new(57);
    for cycles in [1, 5, 12, 20, 33] {
        for (name, value) in [
            ("tokens", 4),
            ("d", 64),
            ("f", 64),
            ("experts", 8),
            ("nblk_d", 2),
            ("nblk_f", 2),
            ("x_ready", 1),
            ("win_groups", 8),
            ("win_vld", 1),
            ("out_rdy", 0),
        ] {
            p.set(name, value);
        }
        p.tick();
        p.set("win_vld", 0);
        for _ in 0..cycles {
            p.tick();
        }
        assert_eq!(p.get("busy"), 1);
        p.reset("rst", 1);
        assert_eq!(
            (p.get("busy"), p.get("draining"), p.get("out_vld")),
            (0, 0, 0)
        );
        let case = Case {
            tokens: 3,
            d: 40,
            f: 24,
            experts: 3,
            sparse: false,
            queues: queues(&mut r, 3, 3, 2),
            ragged: true,
            gaps: 40,
            stall: 40,
        };
        run(&mut p, &TINY, &case, 57 + cycles);
    }
}
