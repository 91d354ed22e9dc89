//! The walk: visits become chunks and rows in the order of sections, whatever the loader, the queue behind it and the results do.

use abi::config::{SIM, VERSA};
use abi::{Config, Kind};
use sim_tb::pins::{cycle, Pins, ReadPort, Stream, StreamOut};
use sim_tb::rng::Rng;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// A visit: its groups are `hidden` of the expert's first section and then `down` of the second (router and plain: only the first).
#[derive(Clone, Debug)]
struct Visit {
    slot: usize,
    kind: Kind,
    first: usize,
    expert: usize,
    exps: [i16; 3],
    groups: [usize; 2],
}

/// Parameters of a command.
#[derive(Clone, Debug)]
struct Case {
    tokens: usize,
    rows: [usize; 3],
    blocks: [usize; 2],
    words: [usize; 3],
    gated: bool,
    paired: bool,
    queues: Vec<Vec<(u8, u32)>>,
}

impl Case {
    /// Results of a group: of the router, of Hidden (or plain), of Down.
    fn results(&self, kind: Kind) -> usize {
        match kind {
            Kind::Router => 8,
            Kind::Hidden if self.gated => 4 << u32::from(self.paired),
            _ => 8 << u32::from(self.paired),
        }
    }
    fn row_count(&self, kind: Kind) -> usize {
        self.rows[match kind {
            Kind::Router => 0,
            Kind::Down => 2,
            _ => 1,
        }]
    }
    fn groups(&self, kind: Kind) -> usize {
        self.row_count(kind).div_ceil(self.results(kind))
    }
}

/// Groups that each slot has, and whether that is all.
type Progress = Rc<RefCell<Vec<(usize, Option<usize>)>>>;

/// Offers visits, lets their groups arrive, and takes slots back.
struct Loader {
    todo: VecDeque<Visit>,
    loading: Option<(Visit, usize)>,
    offered: VecDeque<Visit>,
    held: Vec<bool>,
    gaps: u32,
    rng: Rng,
    progress: Progress,
}

impl Stream for Loader {
    fn drive(&mut self, pins: &mut Pins) {
        if !self.rng.chance(self.gaps) {
            let mut progress = self.progress.borrow_mut();
            if let Some((visit, loaded)) = &mut self.loading {
                let all: usize = visit.groups.iter().sum();
                if *loaded == all {
                    progress[visit.slot].1 = Some(all);
                    self.loading = None;
                } else {
                    *loaded += 1;
                    progress[visit.slot].0 = *loaded;
                    if *loaded == 1 {
                        self.offered.push_back(visit.clone());
                    }
                }
            } else if let Some(visit) = self.todo.front().filter(|v| !self.held[v.slot]) {
                let known = self.rng.chance(100).then(|| visit.groups.iter().sum());
                self.held[visit.slot] = true;
                progress[visit.slot] = (0, known);
                self.loading = self.todo.pop_front().map(|v| (v, 0));
            }
        }
        pins.set("vis_vld", (!self.offered.is_empty()).into());
        if let Some(v) = self.offered.front() {
            for (name, value) in [
                ("slot", v.slot as i64),
                ("kind", v.kind as i64),
                ("first", v.first as i64),
                ("expert", v.expert as i64),
                ("exp_a", v.exps[0].into()),
                ("exp_b", v.exps[1].into()),
                ("exp_c", v.exps[2].into()),
            ] {
                let port = format!("vis_{name}");
                let mask = (1 << pins.width(&port)) - 1;
                pins.set(&port, value as u64 & mask);
            }
        }
    }
    fn sample(&mut self, pins: &mut Pins) {
        if !self.offered.is_empty() && pins.get("vis_rdy") == 1 {
            self.offered.pop_front();
        }
        if pins.get("ch_vld") == 1 && pins.get("ch_rdy") == 1 && pins.get("ch_free") == 1 {
            let slot = pins.get("ch_slot") as usize;
            assert!(self.held[slot]);
            self.held[slot] = false;
            self.progress.borrow_mut()[slot] = (self.rng.below(9) as usize, None);
        }
    }
}

const ROW: [&str; 12] = [
    "group", "count", "last", "end", "token", "q", "weight", "kind", "limb", "exp_a", "expert",
    "exp_b",
];

/// What a run has shown of the walk's limits.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Most results inside.
    inside: usize,
    /// It waited for groups in the middle of a visit.
    waited: bool,
}

/// Collects rows, and lets their results leave after a while; never more than fifteen are inside. Vectors become known one by one.
struct Rows {
    seen: Vec<[u64; 12]>,
    gone: usize,
    slow: u32,
    known: u64,
    rng: Rng,
    limits: Seen,
    /// It waited for groups in the cycle before.
    waits: bool,
}

impl Stream for Rows {
    fn drive(&mut self, pins: &mut Pins) {
        let leaves = self.gone < self.seen.len() && !self.rng.chance(self.slow);
        pins.set("row_gone", leaves.into());
        self.gone += usize::from(leaves);
        if self.known < 256 && self.rng.chance(20) {
            self.known += 1 + self.rng.below(3) * self.rng.below(60);
            self.known = self.known.min(256);
        }
        pins.set("x_tokens", self.known);
        pins.set("h_ready", (self.gone == self.seen.len()).into());
    }
    fn sample(&mut self, pins: &mut Pins) {
        if pins.get("row_vld") == 1 {
            assert!(!self.waits, "a row of a group that it waits for");
            let row = ROW.map(|n| pins.get(&format!("row_{n}")));
            assert!(
                row[7] == Kind::Down as u64 || row[4] < self.known,
                "the row of a vector that is not there"
            );
            self.seen.push(row);
        }
        let inside = self.seen.len() - self.gone;
        assert!(inside <= 15);
        self.limits.inside = self.limits.inside.max(inside);
        let (idle, waits) = (pins.get("vis_rdy"), pins.get("wait_window"));
        if idle == 1 {
            assert_eq!(
                waits,
                1 - pins.get("vis_vld"),
                "idle, and waits for a visit"
            );
        }
        self.waits = idle == 0 && waits == 1;
        self.limits.waited |= self.waits;
    }
}

const CHUNK: [&str; 8] = [
    "mask", "base", "vector", "limb", "kind", "last", "free", "slot",
];

/// The zero map of a vector, of weights: any function of the place.
fn map(place: [u64; 3]) -> u32 {
    let mut r = Rng::new(place[0] << 40 ^ place[1] << 20 ^ place[2]);
    (r.next() | r.next()) as u32
}

fn run(p: &mut Pins, config: &Config, case: &Case, visits: &[Visit], seed: u64) -> Seen {
    let mut r = Rng::new(seed);
    for (name, value) in [
        ("tokens", case.tokens),
        ("d", case.rows[2]),
        ("f", case.rows[1]),
        ("experts", case.rows[0] / 2),
        ("paired", case.paired.into()),
        ("gated", case.gated.into()),
        ("nblk_d", case.blocks[0]),
        ("nblk_f", case.blocks[1]),
        ("groups_router", case.groups(Kind::Router)),
        ("groups_a", case.groups(Kind::Hidden)),
        ("groups_b", case.groups(Kind::Down)),
        ("words_r", case.words[0]),
        ("words_a", case.words[1]),
        ("words_b", case.words[2]),
    ] {
        p.set(name, value as u64);
    }
    let (mut chunks, mut rows) = (Vec::new(), Vec::new());
    let exponent = |e: i16| u64::from(e as u16 & 1023);
    for v in visits {
        let experts = v.slot.min(config.slots);
        let mut base = experts * config.slot_words + (v.slot - experts) * config.router_words;
        let segments = [(v.kind, v.first), (Kind::Down, 0)];
        for ((kind, first), groups) in segments.into_iter().zip(v.groups) {
            if groups == 0 {
                continue;
            }
            let words = case.words[match kind {
                Kind::Router => 0,
                Kind::Down => 2,
                _ => 1,
            }];
            let blocks = case.blocks[usize::from(kind == Kind::Down)];
            let vectors = match kind {
                Kind::Router => 2 * case.tokens,
                _ => case.queues[v.expert].len(),
            };
            for vector in 0..vectors {
                let (token, weight) = match kind {
                    Kind::Router => (vector / 2, 0),
                    _ => {
                        let (t, w) = case.queues[v.expert][vector];
                        (t.into(), w)
                    }
                };
                let name = if kind == Kind::Down { vector } else { token } as u64;
                for g in 0..groups {
                    let here = base + g * words;
                    for chunk in 0..blocks.div_ceil(32) {
                        let of = if kind == Kind::Down { 1 } else { 0 };
                        let mask = map([of, name, chunk as u64])
                            & map([2, (here + chunk) as u64, 0])
                            & ((1u64 << blocks.min(32)) - 1) as u32;
                        chunks.push([
                            mask.into(),
                            here as u64,
                            name,
                            vector as u64 % 2,
                            kind as u64,
                            (chunk + 1 == blocks.div_ceil(32)).into(),
                            0,
                            v.slot as u64,
                        ]);
                    }
                    let results = case.results(kind);
                    let left = case.row_count(kind) - (first + g) * results;
                    let end = left <= results;
                    let router = kind == Kind::Router;
                    rows.push([
                        (first + g) as u64,
                        left.min(results) as u64 - 1,
                        (end && vector + 1 == vectors).into(),
                        end.into(),
                        token as u64,
                        vector as u64 & 255,
                        weight.into(),
                        kind as u64,
                        (router && vector % 2 == 1).into(),
                        exponent(v.exps[if kind == Kind::Down { 2 } else { 0 }]),
                        v.expert as u64,
                        exponent(v.exps[1]),
                    ]);
                }
            }
            base += groups * words;
        }
        chunks.push([0, 0, 0, 0, 0, 0, 1, v.slot as u64]);
    }

    let progress: Progress = Rc::new(RefCell::new(vec![(3, Some(5)); config.slots + 2]));
    let mut loader = Loader {
        todo: visits.to_vec().into(),
        loading: None,
        offered: VecDeque::new(),
        held: vec![false; config.slots + 2],
        gaps: [0, 128, 240][r.below(3) as usize],
        rng: Rng::new(seed + 1),
        progress: progress.clone(),
    };
    let mut taken = Rows {
        seen: Vec::new(),
        gone: 0,
        slow: [0, 128, 240][r.below(3) as usize],
        known: [0, 256][r.below(2) as usize],
        rng: Rng::new(seed + 2),
        limits: Seen::default(),
        waits: false,
    };
    let mut out = StreamOut::new("ch", &CHUNK, seed + 3, [0, 100, 240][r.below(3) as usize]);
    let mut cur = ReadPort::new(
        &["cur_slot"],
        &["cur_loaded", "cur_closed", "cur_total"],
        Box::new(move |a| {
            let at = progress.borrow().get(a[0] as usize).copied();
            let (loaded, total) = at.unwrap_or_default();
            vec![
                vec![loaded as u32],
                vec![total.is_some().into()],
                vec![total.unwrap_or(loaded) as u32],
            ]
        }),
    );
    let (queues, mut any) = (case.queues.clone(), Rng::new(seed + 4));
    let mut queue = ReadPort::new(
        &["q_expert", "q_index"],
        &["q_token", "q_weight", "q_len"],
        Box::new(move |a| {
            let queue = queues.get(a[0] as usize);
            let entry = queue.and_then(|q| q.get(a[1] as usize).copied());
            let (token, weight) = entry.unwrap_or((any.next() as u8, any.below(1 << 20) as u32));
            let len = queue.map_or(0, Vec::len);
            vec![vec![token.into()], vec![weight], vec![len as u32]]
        }),
    );
    let blocks = case.blocks;
    let limit = |n: usize, chunk: u64| {
        let left = n.saturating_sub(32 * chunk as usize).min(32);
        ((1u64 << left) - 1) as u32
    };
    let mut x_map = ReadPort::new(
        &["xmap_token", "xmap_chunk"],
        &["xmap_bits"],
        Box::new(move |a| vec![vec![map([0, a[0], a[1]]) & limit(blocks[0], a[1])]]),
    );
    let mut h_map = ReadPort::new(
        &["hmap_q", "hmap_chunk"],
        &["hmap_bits"],
        Box::new(move |a| vec![vec![map([1, a[0], a[1]]) & limit(blocks[1], a[1])]]),
    );
    let mut w_map = ReadPort::new(
        &["rd_map_addr"],
        &["rd_map"],
        Box::new(|a| vec![vec![map([2, a[0], 0])]]),
    );

    p.reset("rst", 1);
    let mut quiet = 0;
    while quiet < 5 {
        cycle(
            p,
            &mut [
                &mut loader,
                &mut taken,
                &mut cur,
                &mut queue,
                &mut x_map,
                &mut h_map,
                &mut w_map,
                &mut out,
            ],
        );
        let over = loader.todo.is_empty() && loader.loading.is_none() && loader.offered.is_empty();
        quiet = if over && p.get("busy") == 0 {
            quiet + 1
        } else {
            0
        };
    }
    assert_eq!(taken.seen.len(), rows.len(), "rows of {case:?}");
    for (i, (got, want)) in taken.seen.iter().zip(&rows).enumerate() {
        let mut got = *got;
        if want[7] == 0 {
            (got[5], got[6]) = (want[5], want[6]); // no meaning for the router
        }
        if want[7] != Kind::Hidden as u64 {
            got[11] = want[11]; // up alone has it
        }
        assert_eq!(got, *want, "row {i}: {ROW:?}, {case:?}");
    }
    assert_eq!(out.len(), chunks.len(), "chunks of {case:?}");
    for (i, want) in chunks.iter().enumerate() {
        let mut got = out.narrow(i);
        if want[6] == 1 {
            got[..6].copy_from_slice(&want[..6]); // no chunk, but a slot
        } else {
            // Masks are cut by the maps' own ends; the limb means something for the router only.
            let chunk = (0..i).rev().take_while(|&k| chunks[k][5] == 0).count() as u64;
            let n = blocks[usize::from(want[4] == 2)];
            got[0] &= u64::from(limit(n, chunk));
            let mut want = *want;
            want[0] &= u64::from(limit(n, chunk));
            if want[4] != 0 {
                got[3] = want[3];
            }
            assert_eq!(got, want, "chunk {i}: {CHUNK:?}, {case:?}");
        }
    }
    assert_eq!(p.get("draining"), 0);
    taken.limits
}

fn random(name: &str, config: &Config, seed: u64, count: u64) {
    println!("{name}, seed {seed}");
    let mut p = Pins::new(name).unwrap();
    let mut r = Rng::new(seed);
    let mut limits = Seen::default();
    for n in 0..count {
        let paired = config.modes.pairs && r.chance(100);
        let tokens = 1 + r.below(config.tokens_max.min(6) as u64) as usize;
        let most = [config.d_max, config.f_max].map(|m| (m / 32) as u64);
        let mut block = |m: u64| [1, 1 + r.below(6), 1 + r.below(m.min(100))][r.below(3) as usize];
        let blocks = [block(most[0]) as usize, block(most[1]) as usize];
        let experts = 4;
        let case = Case {
            tokens,
            rows: [
                2 * (1 + r.below(10) as usize),
                1 + r.below(60) as usize,
                1 + r.below(60) as usize,
            ],
            blocks,
            // Maps take one word for 32 blocks.
            words: [0; 3].map(|_| 4 + r.below(5) as usize),
            gated: r.chance(128),
            paired,
            queues: (0..experts)
                .map(|_| {
                    (0..1 + r.below(tokens as u64))
                        .map(|t| (t as u8, r.below(1 << 20) as u32))
                        .collect()
                })
                .collect(),
        };
        let mut visits = Vec::new();
        let mut exps = || [0; 3].map(|_| r.next() as i16);
        let e = exps();
        let mut first = 0;
        while first < case.groups(Kind::Router) {
            let groups = (case.groups(Kind::Router) - first).min(2);
            visits.push(Visit {
                slot: config.slots + first / 2 % 2,
                kind: Kind::Router,
                first,
                expert: 9,
                exps: e,
                groups: [groups, 0],
            });
            first += groups;
        }
        let mut slot = 0;
        for expert in 0..experts {
            let e = [0; 3].map(|_| r.next() as i16);
            // Cut anywhere, and the end of one section may share a slot with the beginning of the next.
            let (a, b) = (case.groups(Kind::Hidden), case.groups(Kind::Down));
            let mut at = 0;
            while at < a + b {
                let n = 1 + r.below((a + b - at).min(config.slot_words / 8) as u64) as usize;
                let (kind, first, groups) = if at < a {
                    (Kind::Hidden, at, [n.min(a - at), n.saturating_sub(a - at)])
                } else {
                    (Kind::Down, at - a, [n, 0])
                };
                visits.push(Visit {
                    slot,
                    kind,
                    first,
                    expert,
                    exps: e,
                    groups,
                });
                slot = (slot + 1) % config.slots;
                at += n;
            }
        }
        let seen = run(&mut p, config, &case, &visits, seed + n);
        limits.inside = limits.inside.max(seen.inside);
        limits.waited |= seen.waited;
    }
    assert_eq!(limits.inside, 15, "every place is used");
    assert!(limits.waited);
}

/// Few groups with large numbers: as many tokens, blocks, rows and experts as there can be, and sections entered near their end.
fn large(name: &str, config: &Config, seed: u64, count: u64) {
    println!("{name}, seed {seed}");
    let mut p = Pins::new(name).unwrap();
    let mut r = Rng::new(seed);
    for n in 0..count {
        let paired = config.modes.pairs && r.chance(100);
        let many = n % 2 == 0;
        let tokens = match n % 4 {
            0 => config.tokens_max,
            2 => config.tokens_max - r.below(config.tokens_max as u64 / 4) as usize,
            _ => 1,
        };
        let most = [config.d_max / 32, config.f_max / 32];
        let blocks = most.map(|m| match many {
            true => 1 + r.below(m.min(70) as u64) as usize,
            false => m - r.below(m as u64 / 2) as usize,
        });
        let experts = config.experts_max;
        let of = |r: &mut Rng, most: usize| most - r.below(most as u64 / 2) as usize;
        let case = Case {
            tokens,
            rows: [
                2 * of(&mut r, experts),
                of(&mut r, config.f_max),
                of(&mut r, config.d_max),
            ],
            blocks,
            words: [0; 3].map(|_| blocks[0].max(blocks[1]).div_ceil(32) + r.below(40) as usize),
            gated: r.chance(128),
            paired,
            queues: (0..experts)
                .map(|_| {
                    (0..tokens)
                        .map(|t| (t as u8, r.below(1 << 20) as u32))
                        .collect()
                })
                .collect(),
        };
        let room = config.slot_words / case.words[1].max(case.words[2]);
        let mut visits = vec![Visit {
            slot: config.slots + 1,
            kind: Kind::Router,
            first: case.groups(Kind::Router) - 1,
            expert: 9,
            exps: [0; 3].map(|_| r.next() as i16),
            groups: [1, 0],
        }];
        for slot in 0..config.slots {
            // The last groups of Hidden and the first of Down, or the last of Down.
            let a = (1 + r.below(3) as usize).min(case.groups(Kind::Hidden));
            let b = (1 + r.below(3) as usize).min(case.groups(Kind::Down));
            if a + b > room {
                continue;
            }
            let (kind, first, groups) = match slot % 2 {
                0 => (Kind::Hidden, case.groups(Kind::Hidden) - a, [a, b]),
                _ => (Kind::Down, case.groups(Kind::Down) - b, [b, 0]),
            };
            visits.push(Visit {
                slot,
                kind,
                first,
                expert: r.below(experts as u64) as usize,
                exps: [0; 3].map(|_| r.next() as i16),
                groups,
            });
        }
        run(&mut p, config, &case, &visits, seed + n);
    }
}

#[test]
fn a_slot_full_of_groups_of_one_word() {
    let mut p = Pins::new("walker").unwrap();
    let groups = SIM.slot_words;
    let case = Case {
        tokens: 2,
        rows: [2, 4 * groups, 8],
        blocks: [1, 1],
        words: [1; 3],
        gated: true,
        paired: false,
        queues: vec![vec![(0, 1), (1, 2)]],
    };
    let visit = Visit {
        slot: 1,
        kind: Kind::Hidden,
        first: 0,
        expert: 0,
        exps: [1, 2, 3],
        groups: [groups, 0],
    };
    run(&mut p, &SIM, &case, &[visit], 95);
}

#[test]
fn large_numbers() {
    large("walker", &SIM, 93, 4);
}

#[test]
fn large_numbers_of_a_small_configuration() {
    large("walker_versa", &VERSA, 94, 6);
}

#[test]
fn random_visits() {
    random("walker", &SIM, 91, 60);
}

#[test]
fn random_visits_of_a_small_configuration() {
    random("walker_versa", &VERSA, 92, 60);
}
