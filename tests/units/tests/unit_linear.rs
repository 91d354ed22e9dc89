//! The array against `numeric::term` and the layout of `docs/formats.md`: every kind, storage and shape, with random weights in slots
//! that fill while they are read and turn to noise the moment they are handed back, and x and h that are noise until they are ready.

use abi::config::{LANES, LANE_WIDTH, SIM, TINY, VERSA};
use abi::layout::{down_section, hidden_section, router_section};
use abi::{Config, Format, Kind, Section, Sparsity, Storage, BLOCK};
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
    storage: Storage,
    gated: bool,
    /// Opcode Linear: one section of f rows for "expert" 0.
    plain: bool,
    /// None: no router section. Some(bias).
    router: Option<bool>,
    queues: Vec<Vec<(u8, u32)>>,
    /// Words of an expert's slot that may be used.
    window: usize,
    /// Of 256: blocks of activations and of weights that are zero.
    zeros: u32,
    /// Of 256: the loader does nothing, the output is not ready, no token of x arrives.
    gaps: u32,
    stall: u32,
    x_gaps: u32,
}

/// One group: scales and weights of its rows by block, and the words of its banks.
#[derive(Clone)]
struct Group {
    /// [block][second][lane]
    scales: Vec<[[u16; LANES]; 2]>,
    /// [block][second][lane]: the weight of each input.
    weights: Vec<[Vec<[i32; BLOCK]>; 2]>,
    values: Vec<[u32; 16]>,
    positions: Vec<[u32; 8]>,
    scale_words: Vec<[u32; 4]>,
    map: Vec<u32>,
}

/// Sets `count` bits at bit `at` of `words`.
fn put(words: &mut [u32], at: usize, count: usize, value: u32) {
    for i in 0..count {
        words[(at + i) / 32] |= (value >> i & 1) << ((at + i) % 32);
    }
}

fn value(format: Format, code: u32) -> i32 {
    match format {
        Format::Int8 => i32::from(code as u8 as i8),
        Format::Int4 => (code as i32) << 28 >> 28,
        Format::Fp4 => numeric::value::fp4(code as u8).into(),
    }
}

impl Group {
    /// Random content for a group of `section`.
    #[allow(clippy::needless_range_loop)] // the numbers are places in the words too
    fn random(section: &Section, zeros: u32, r: &mut Rng) -> Group {
        let s = section.storage;
        let (blocks, passes) = (section.stored_blocks(), s.sparsity.passes());
        let (g, pb) = (s.granule_bits(), s.sparsity.position_bits());
        let mut values = vec![[0u32; 16]; section.value_words()];
        let mut positions = vec![[0u32; 8]; section.position_words()];
        let mut scale_words = vec![[0u32; 4]; section.scale_words()];
        // Bits of blocks that do not exist have no meaning.
        let mut map: Vec<u32> = (0..blocks.div_ceil(32)).map(|_| r.next() as u32).collect();
        let mut scales = Vec::new();
        let mut weights = Vec::new();
        for block in 0..blocks {
            let zero = r.chance(zeros);
            let mut present = false;
            let mut block_scales = [[0; LANES]; 2];
            let mut block_weights: [Vec<[i32; BLOCK]>; 2] =
                std::array::from_fn(|_| vec![[0; BLOCK]; LANES]);
            for second in 0..s.lane_rows() {
                for lane in 0..LANES {
                    let sign = (r.below(2) as u16) << 15;
                    let any = (30 - r.below(12) as u16) << 10 | r.below(1024) as u16;
                    // Single rows are zero too, and a zero may be negative.
                    let bits = sign | if zero || r.chance(20) { 0 } else { any };
                    present |= bits & 0x7FFF != 0;
                    block_scales[second][lane] = bits;
                    let word = block * s.lane_rows() + second;
                    put(&mut scale_words[word], 16 * lane, 16, bits.into());
                }
            }
            map[block / 32] &= !(1 << (block % 32));
            map[block / 32] |= u32::from(present) << (block % 32);
            for pass in 0..passes {
                let c = block * passes + pass;
                for lane in 0..LANES {
                    for j in 0..LANE_WIDTH {
                        let (input, entry) = match s.sparsity {
                            Sparsity::Dense => (4 * j + pass, Some(j)),
                            Sparsity::TwoOfFour | Sparsity::OneOfFour => {
                                let p = r.below(4) as usize;
                                let at = 32 * lane + if c % 2 == 1 { 16 } else { 0 };
                                put(&mut positions[c / 2], at + 2 * j, 2, p as u32);
                                (4 * j + p, Some(j))
                            }
                            Sparsity::FourOfEight => {
                                let p = r.below(8) as usize;
                                put(&mut positions[c], 32 * lane + 4 * j, 4, p as u32);
                                (8 * (j / 2) + p, Some(j))
                            }
                            Sparsity::OneOfEight if j % 2 == 0 => {
                                let p = r.below(8) as usize;
                                let at = 32 * lane + if c % 2 == 1 { 16 } else { 0 };
                                put(&mut positions[c / 2], at + 2 * j, 4, p as u32);
                                (8 * (j / 2) + p, Some(j / 2))
                            }
                            Sparsity::OneOfEight => (0, None),
                        };
                        let Some(entry) = entry else { continue };
                        let bits = s.format.bits();
                        let row_bits = s.sparsity.pass_values() * bits;
                        for second in 0..s.lane_rows() {
                            let mut code = r.below(1 << bits) as u32;
                            if bits == 8 && code == 128 {
                                code = 0; // excluded for the router's lo limbs
                            }
                            let at = c * g % 64 + second * row_bits + entry * bits;
                            put(&mut values[c * g / 64], 64 * lane + at, bits, code);
                            block_weights[second][lane][input] += value(s.format, code);
                        }
                    }
                    assert!(pb == 0 || (c * pb + pb).div_ceil(32) <= positions.len());
                }
            }
            scales.push(block_scales);
            weights.push(block_weights);
        }
        Group {
            scales,
            weights,
            values,
            positions,
            scale_words,
            map,
        }
    }
}

/// A vector in blocks; those beyond `K` (the bias block) are not stored.
#[derive(Clone)]
struct Vector {
    bmax: u8,
    b: Vec<u8>,
    blocks: Vec<[i8; BLOCK]>,
}

impl Vector {
    fn random(r: &mut Rng, blocks: usize, zeros: u32) -> Vector {
        let reach = [0, 8, 60][r.below(3) as usize];
        let top = [r.next() as u8, 127, 120 + r.below(20) as u8][r.below(3) as usize].max(1);
        let zero: Vec<bool> = (0..blocks).map(|_| r.chance(zeros)).collect();
        let b: Vec<u8> = zero
            .iter()
            .map(|z| match z {
                true => 0,
                false => top.saturating_sub(r.below(reach + 1) as u8).max(1),
            })
            .collect();
        let mut v = Vector {
            bmax: b.iter().copied().max().unwrap(),
            b,
            blocks: Vec::new(),
        };
        v.blocks = v.fill(r, 127);
        v
    }
    /// Activations up to `most` (and -`most`) in the blocks that are not zero.
    fn fill(&self, r: &mut Rng, most: i64) -> Vec<[i8; BLOCK]> {
        self.b
            .iter()
            .map(|&b| match b {
                0 => [0; BLOCK],
                _ => std::array::from_fn(|_| (r.below(2 * most as u64 + 1) as i64 - most) as i8),
            })
            .collect()
    }
    fn words(&self, block: usize) -> Vec<u32> {
        self.blocks[block]
            .chunks(4)
            .map(|c| u32::from_le_bytes([c[0] as u8, c[1] as u8, c[2] as u8, c[3] as u8]))
            .collect()
    }
    fn map(&self, chunk: usize) -> u32 {
        let here = self.b.iter().skip(32 * chunk).take(32);
        here.enumerate()
            .fold(0, |m, (i, b)| m | u32::from(*b != 0) << i)
    }
}

/// Neighbouring groups of an expert that lie in one slot.
struct Fill {
    router: bool,
    kind: Kind,
    first: usize,
    expert: usize,
    exps: [i16; 3],
    /// Words of the group, and the group.
    groups: Vec<(usize, Group)>,
}

/// What the unit's neighbours hold.
struct World {
    values: Vec<[u32; 16]>,
    positions: Vec<[u32; 8]>,
    scales: Vec<[u32; 4]>,
    maps: Vec<u32>,
    /// Of each slot: groups loaded, all of them if that is known.
    progress: Vec<(usize, Option<usize>)>,
    free: Vec<bool>,
    x_tokens: usize,
    /// The expert whose hidden vectors are complete.
    hidden_of: Option<usize>,
}

/// Fills slots group by group, offers visits, takes slots back.
struct Loader {
    config: Config,
    fills: VecDeque<Fill>,
    /// Next expert slot and next router slot.
    next: [usize; 2],
    /// The slot being filled, its base and the words in use.
    filling: Option<(usize, usize)>,
    visits: VecDeque<[i64; 7]>,
    freed: usize,
    expected: VecDeque<usize>,
    used: Vec<usize>,
    gaps: u32,
    rng: Rng,
    world: Rc<RefCell<World>>,
}

const VISIT: [&str; 7] = ["slot", "kind", "first", "expert", "exp_a", "exp_b", "exp_c"];

impl Loader {
    fn base(&self, slot: usize) -> usize {
        let experts = slot.min(self.config.slots);
        experts * self.config.slot_words + (slot - experts) * self.config.router_words
    }
    fn done(&self) -> bool {
        self.fills.is_empty() && self.visits.is_empty() && self.expected.is_empty()
    }
    /// One step: a slot is begun, or a group arrives, or the slot is closed.
    fn step(&mut self) {
        let world = &mut *self.world.borrow_mut();
        let Some(fill) = self.fills.front_mut() else {
            return;
        };
        let Some((slot, word)) = self.filling else {
            let router = usize::from(fill.router);
            let slot = if fill.router {
                self.config.slots + self.next[1]
            } else {
                self.next[0]
            };
            if world.free[slot] {
                self.next[router] =
                    (self.next[router] + 1) % if fill.router { 2 } else { self.config.slots };
                world.free[slot] = false;
                // The number is sometimes known long before the groups are there.
                let known = self.rng.chance(128).then_some(fill.groups.len());
                world.progress[slot] = (0, known);
                self.used[slot] = 0;
                self.filling = Some((slot, self.base(slot)));
            }
            return;
        };
        let (loaded, total) = world.progress[slot];
        if loaded == fill.groups.len() {
            if total.is_none() {
                world.progress[slot].1 = Some(loaded);
            }
            self.filling = None;
            self.fills.pop_front();
            return;
        }
        let (words, group) = &fill.groups[loaded];
        world.values[word..][..group.values.len()].copy_from_slice(&group.values);
        world.positions[word..][..group.positions.len()].copy_from_slice(&group.positions);
        world.scales[word..][..group.scale_words.len()].copy_from_slice(&group.scale_words);
        world.maps[word..][..group.map.len()].copy_from_slice(&group.map);
        world.progress[slot].0 += 1;
        self.used[slot] += words;
        self.filling = Some((slot, word + words));
        if loaded == 0 {
            self.expected.push_back(slot);
            self.visits.push_back([
                slot as i64,
                fill.kind as i64,
                fill.first as i64,
                fill.expert as i64,
                fill.exps[0].into(),
                fill.exps[1].into(),
                fill.exps[2].into(),
            ]);
        }
    }
}

impl Stream for Loader {
    fn drive(&mut self, pins: &mut Pins) {
        if !self.rng.chance(self.gaps) {
            self.step();
        }
        pins.set("vis_vld", (!self.visits.is_empty()).into());
        for (i, field) in VISIT.iter().enumerate() {
            let port = format!("vis_{field}");
            let value = match self.visits.front() {
                Some(v) => v[i] as u64,
                None => self.rng.next(),
            };
            let mask = (1 << pins.width(&port)) - 1;
            pins.set(&port, value & mask);
        }
    }
    fn sample(&mut self, pins: &mut Pins) {
        if !self.visits.is_empty() && pins.get("vis_rdy") == 1 {
            self.visits.pop_front();
        }
        if pins.get("free_vld") == 1 {
            let slot = self
                .expected
                .pop_front()
                .expect("a slot that was not given");
            assert_eq!(pins.get("free_slot"), slot as u64);
            let base = self.base(slot);
            let mut world = self.world.borrow_mut();
            for word in base..base + self.used[slot] {
                noise(&mut world, word, &mut self.rng);
            }
            world.free[slot] = true;
            self.freed += 1;
        }
    }
}

fn noise(world: &mut World, word: usize, r: &mut Rng) {
    world.values[word] = std::array::from_fn(|_| r.next() as u32);
    world.positions[word] = std::array::from_fn(|_| r.next() as u32);
    world.scales[word] = std::array::from_fn(|_| r.next() as u32);
    world.maps[word] = r.next() as u32;
}

/// Lets tokens of x arrive, and drives h_ready as the engine does: nothing inside linear, and nothing behind it for a while.
struct Ready {
    x_gaps: u32,
    tokens: usize,
    behind: u64,
    /// The expert of each expected result of Hidden, in order; how many have arrived.
    hidden: Vec<usize>,
    arrived: usize,
    world: Rc<RefCell<World>>,
    rng: Rng,
    busy_after: u64,
}

impl Stream for Ready {
    fn drive(&mut self, pins: &mut Pins) {
        let mut world = self.world.borrow_mut();
        if world.x_tokens < self.tokens && !self.rng.chance(self.x_gaps) {
            world.x_tokens += 1;
        }
        pins.set("x_tokens", world.x_tokens as u64);
        let ready = pins.get("draining") == 0 && self.behind == 0;
        pins.set("h_ready", ready.into());
        if ready && self.arrived > 0 {
            let expert = self.hidden[self.arrived - 1];
            // Complete only if the next result, if any, belongs to another expert.
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
            && pins.get("out_kind") == Kind::Hidden as u64
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
    skipped: u64,
    sections: usize,
    starved: u64,
    busy: bool,
    draining: bool,
    /// First and last cycle with a beat.
    span: Option<(u64, u64)>,
    /// Stretches without a beat between them.
    gaps: Vec<u64>,
}

impl Stream for Counts {
    fn drive(&mut self, _: &mut Pins) {}
    fn sample(&mut self, pins: &mut Pins) {
        self.macs += pins.get("macs");
        self.skipped += pins.get("skipped");
        self.sections += pins.get("section_done") as usize;
        self.starved += pins.get("wait_window");
        self.busy = pins.get("busy") == 1;
        self.draining = pins.get("draining") == 1;
        assert!(self.busy || !self.draining, "draining but not busy");
        if pins.get("active") == 1 {
            assert!(self.busy, "a beat while not busy");
            self.active += 1;
            let now = pins.cycles();
            if let Some((_, last)) = self.span {
                if now > last + 1 {
                    self.gaps.push(now - last - 1);
                }
            }
            self.span = Some((self.span.map_or(now, |s| s.0), now));
        }
    }
}

/// What a case took.
#[derive(Debug)]
struct Taken {
    beats: u64,
    /// Cycles from the first beat to the last.
    span: u64,
    /// Cycles without a beat among them, stretch by stretch.
    gaps: Vec<u64>,
}

fn section(case: &Case, kind: Kind) -> Section {
    match kind {
        Kind::Router => router_section(case.d, case.experts, case.router == Some(true)),
        Kind::Hidden => hidden_section(case.d, case.f, case.gated, case.storage),
        Kind::Down => down_section(case.d, case.f, case.storage),
        Kind::Plain => hidden_section(case.d, case.f, false, case.storage),
    }
}

/// The slots' contents in the order in which the loader fills them.
fn fills(case: &Case, config: &Config, exps: &[[i16; 3]], r: &mut Rng) -> Vec<Fill> {
    let mut all = Vec::new();
    let mut add = |router: bool, expert: usize, kinds: &[Kind], limit: usize, r: &mut Rng| {
        let mut words_left = 0;
        for &kind in kinds {
            let s = section(case, kind);
            for first in 0..s.groups() {
                let words = s.group_words();
                if words > words_left || (kind == kinds[0] && first == 0) {
                    words_left = limit;
                    all.push(Fill {
                        router,
                        kind,
                        first,
                        expert,
                        exps: exps[expert],
                        groups: Vec::new(),
                    });
                }
                words_left -= words;
                let group = Group::random(&s, case.zeros, r);
                all.last_mut().unwrap().groups.push((words, group));
            }
        }
    };
    if case.router.is_some() {
        add(
            true,
            exps.len() - 1,
            &[Kind::Router],
            config.router_words,
            r,
        );
    }
    for (e, queue) in case.queues.iter().enumerate() {
        if queue.is_empty() {
            continue;
        }
        if case.plain {
            add(false, e, &[Kind::Plain], case.window, r);
        } else {
            add(false, e, &[Kind::Hidden, Kind::Down], case.window, r);
        }
    }
    all
}

const OUT: [&str; 14] = [
    "a", "b", "pair", "kind", "limb", "row", "token", "q", "lsb_a", "lsb_b", "weight", "expert",
    "last", "end",
];

/// The sum of one row over all blocks.
fn row_sum(group: &Group, second: usize, lane: usize, kind: Kind, limb: usize, v: &Vector) -> i64 {
    let biased = group.scales.len() > v.b.len();
    let bmax = if biased { v.bmax.max(127) } else { v.bmax };
    (0..group.scales.len())
        .map(|block| {
            let bias = block == v.b.len();
            let one = match (kind, limb) {
                (Kind::Router, 0) => 32,
                (Kind::Router, _) => 0,
                _ => 64,
            };
            let b = if bias { 127 } else { v.b[block] };
            let s = (0..BLOCK)
                .map(|i| {
                    let x = if bias { one } else { v.blocks[block][i].into() };
                    group.weights[block][second][lane][i] * x
                })
                .sum();
            let scale = Scale::from_bits(group.scales[block][second][lane]);
            term(s, scale, (bmax - b).into())
        })
        .sum()
}

/// Beats that a row takes and beats that are not spent on it.
fn row_beats(group: &Group, s: &Section, v: &Vector) -> (u64, u64) {
    let passes = s.storage.sparsity.passes();
    let chunks = v.b.len().div_ceil(32);
    let mut blocks = usize::from(s.storage.bias);
    let mut dummy = 0;
    for chunk in 0..chunks {
        let here = (v.map(chunk) & group.map[chunk]).count_ones() as usize;
        blocks += here;
        if chunk + 1 == chunks && here == 0 && !s.storage.bias {
            dummy = s.storage.lane_rows();
        }
    }
    let beats = blocks * passes + dummy;
    (
        beats as u64,
        (s.stored_blocks() * passes).saturating_sub(beats) as u64,
    )
}

/// Runs one command on `p` and compares everything.
fn run(p: &mut Pins, config: &Config, case: &Case, seed: u64) -> Taken {
    let mut r = Rng::new(seed);
    let (nblk_d, nblk_f) = (case.d.div_ceil(BLOCK), case.f.div_ceil(BLOCK));
    let (a, b) = if case.plain {
        (section(case, Kind::Plain), None)
    } else {
        (section(case, Kind::Hidden), Some(section(case, Kind::Down)))
    };
    let router = section(case, Kind::Router);
    let kept = |k: usize| {
        let (n, m) = case.storage.sparsity.ratio();
        k * n / m
    };
    for (name, value) in [
        ("tokens", case.tokens),
        ("d", case.d),
        ("f", case.f),
        ("experts", case.experts),
        ("nblk_d", nblk_d),
        ("nblk_f", nblk_f),
        ("format", case.storage.format as usize),
        ("sparsity", case.storage.sparsity as usize),
        ("paired", case.storage.paired.into()),
        ("bias", case.storage.bias.into()),
        ("gated", case.gated.into()),
        ("router_bias", (case.router == Some(true)).into()),
        ("groups_router", router.groups()),
        ("groups_a", a.groups()),
        ("groups_b", b.map_or(0, |b| b.groups())),
        ("words_r", router.group_words()),
        ("words_a", a.group_words()),
        ("words_b", b.map_or(0, |b| b.group_words())),
        ("kept_d", kept(case.d)),
        ("kept_f", kept(case.f)),
    ] {
        p.set(name, value as u64);
    }

    // x as q8, hi, lo: three vectors per token that share their exponents; h per expert and place.
    let x: Vec<[Vector; 3]> = (0..case.tokens)
        .map(|_| {
            let q8 = Vector::random(&mut r, nblk_d, case.zeros);
            let mut limb = |most| Vector {
                blocks: q8.fill(&mut r, most),
                ..q8.clone()
            };
            let (hi, lo) = (limb(64), limb(127));
            [q8, hi, lo]
        })
        .collect();
    let h: Vec<Vec<Vector>> = case
        .queues
        .iter()
        .map(|q| {
            q.iter()
                .map(|_| Vector::random(&mut r, nblk_f, case.zeros))
                .collect()
        })
        .collect();
    let mut exp = || r.below(401) as i16 - 200;
    let exps: Vec<[i16; 3]> = (0..=case.queues.len())
        .map(|_| [exp(), exp(), exp()])
        .collect();
    let fills = fills(case, config, &exps, &mut r);

    // The expected results.
    let mut want: Vec<[u64; 14]> = Vec::new();
    let mut hidden = Vec::new();
    let (mut macs, mut beats, mut skipped, mut sections) = (0, 0, 0, 0);
    for fill in &fills {
        let mut at = 0;
        let mut segments = vec![(fill.kind, fill.first)];
        if fill.kind == Kind::Hidden {
            segments.push((Kind::Down, 0));
        }
        for (kind, first) in segments {
            let s = section(case, kind);
            let here = (s.groups() - first).min(fill.groups.len() - at);
            if here == 0 {
                continue;
            }
            let vectors = match kind {
                Kind::Router => 2 * case.tokens,
                _ => case.queues[fill.expert].len(),
            };
            let ends = first + here == s.groups();
            sections += usize::from(ends && matches!(kind, Kind::Down | Kind::Plain));
            for v in 0..vectors {
                let (token, weight, limb, vector) = match kind {
                    Kind::Router => (v / 2, 0, v % 2, &x[v / 2][1 + v % 2]),
                    Kind::Down => {
                        let (token, weight) = case.queues[fill.expert][v];
                        (token.into(), weight, 0, &h[fill.expert][v])
                    }
                    _ => {
                        let (token, weight) = case.queues[fill.expert][v];
                        (token.into(), weight, 0, &x[usize::from(token)][0])
                    }
                };
                let bmax = match s.storage.bias {
                    true => vector.bmax.max(127),
                    false => vector.bmax,
                };
                let lsb = |e: i16| {
                    let lsb = match kind {
                        Kind::Router => numeric::lsb_router(bmax, e),
                        _ => numeric::lsb(bmax, e),
                    };
                    u64::from(lsb as i16 as u16)
                };
                let pair = kind == Kind::Hidden && case.gated;
                for g in 0..here {
                    let group = &fill.groups[at + g].1;
                    let (spent, left) = row_beats(group, &s, vector);
                    beats += spent;
                    skipped += left;
                    for i in 0..s.group_rows() {
                        let row = (first + g) * s.group_rows() + i;
                        if row >= s.rows {
                            continue;
                        }
                        // (lane, second) of the result, and of its up row.
                        let (lane, up) = match (pair, s.storage.paired) {
                            (true, false) => ((2 * i, 0), (2 * i + 1, 0)),
                            (true, true) => ((i, 0), (i, 1)),
                            (false, _) => ((i % LANES, i / LANES), (0, 0)),
                        };
                        let of = |(lane, second): (usize, usize)| {
                            row_sum(group, second, lane, kind, limb, vector) as u64
                                & ((1 << 36) - 1)
                        };
                        let end = ends && g + 1 == here && row + 1 == s.rows;
                        want.push([
                            of(lane),
                            if pair { of(up) } else { 0 },
                            pair.into(),
                            kind as u64,
                            limb as u64,
                            row as u64,
                            token as u64,
                            v as u64,
                            lsb(fill.exps[if kind == Kind::Down { 2 } else { 0 }]),
                            lsb(fill.exps[1]),
                            weight.into(),
                            fill.expert as u64,
                            (end && v + 1 == vectors).into(),
                            (end && matches!(kind, Kind::Down | Kind::Plain)).into(),
                        ]);
                        macs += match kind {
                            Kind::Router => case.d,
                            Kind::Down => kept(case.f),
                            _ => kept(case.d) << u32::from(pair),
                        } as u64;
                        if kind == Kind::Hidden {
                            hidden.push(fill.expert);
                        }
                    }
                }
            }
            at += here;
        }
        assert_eq!(at, fill.groups.len());
    }

    let depth = config.slots * config.slot_words + 2 * config.router_words;
    let slots = config.slots + 2;
    let mut start = World {
        values: vec![[0; 16]; depth],
        positions: vec![[0; 8]; depth],
        scales: vec![[0; 4]; depth],
        maps: vec![0; depth],
        progress: vec![(0, None); slots],
        free: vec![true; slots],
        x_tokens: 0,
        hidden_of: None,
    };
    for word in 0..depth {
        noise(&mut start, word, &mut r);
    }
    let world = Rc::new(RefCell::new(start));
    let fill_count = fills.len();
    let mut loader = Loader {
        config: *config,
        fills: fills.into(),
        next: [0; 2],
        filling: None,
        visits: VecDeque::new(),
        freed: 0,
        expected: VecDeque::new(),
        used: vec![0; slots],
        gaps: case.gaps,
        rng: Rng::new(seed + 1),
        world: world.clone(),
    };
    let mut ready = Ready {
        x_gaps: case.x_gaps,
        tokens: case.tokens,
        behind: 0,
        hidden,
        arrived: 0,
        world: world.clone(),
        rng: Rng::new(seed + 2),
        busy_after: 12,
    };
    let mut counts = Counts::default();
    let mut out = StreamOut::new("out", &OUT, seed + 3, case.stall);

    let mut any = Rng::new(seed + 4);
    let queues = case.queues.clone();
    let mut queue = ReadPort::new(
        &["q_expert", "q_index"],
        &["q_token", "q_weight", "q_len"],
        Box::new(move |a| {
            let queue = queues.get(a[0] as usize);
            let (token, weight) = queue
                .and_then(|q| q.get(a[1] as usize).copied())
                .unwrap_or((any.next() as u8, any.below(1 << 20) as u32));
            let len = queue.map_or(any.below(257), |q| q.len() as u64);
            vec![vec![token.into()], vec![weight], vec![len as u32]]
        }),
    );
    let shared = world.clone();
    let mut progress = ReadPort::new(
        &["cur_slot"],
        &["cur_loaded", "cur_closed", "cur_total"],
        Box::new(move |a| {
            let progress = shared.borrow().progress.get(a[0] as usize).copied();
            let (loaded, total) = progress.unwrap_or((0, None));
            vec![
                vec![loaded as u32],
                vec![total.is_some().into()],
                vec![total.unwrap_or(loaded) as u32],
            ]
        }),
    );
    let shared = world.clone();
    let mut slots = ReadPort::new(
        &[
            "rd_value_addr",
            "rd_position_addr",
            "rd_scale_addr",
            "rd_map_addr",
        ],
        &[
            "rd_value_0",
            "rd_value_1",
            "rd_value_2",
            "rd_value_3",
            "rd_position_0",
            "rd_position_1",
            "rd_scale",
            "rd_map",
        ],
        Box::new(move |a| {
            let world = shared.borrow();
            let at = |i: usize| (a[i] as usize).min(world.maps.len() - 1);
            let mut data: Vec<Vec<u32>> = Vec::new();
            data.extend(world.values[at(0)].chunks(4).map(<[u32]>::to_vec));
            data.extend(world.positions[at(1)].chunks(4).map(<[u32]>::to_vec));
            data.push(world.scales[at(2)].to_vec());
            data.push(vec![world.maps[at(3)]]);
            data
        }),
    );
    let (x, h) = (Rc::new(x), Rc::new(h));
    // What is not stored yet is noise; Bmax is the vector's, whatever the block.
    let (shared, held, mut any) = (world.clone(), x.clone(), Rng::new(seed + 6));
    let mut xs = ReadPort::new(
        &["x_region", "x_token", "x_blk"],
        &["x_data", "x_b", "x_bmax"],
        Box::new(move |a| {
            let stored = (a[1] as usize) < shared.borrow().x_tokens;
            let token = held.get(a[1] as usize).filter(|_| stored);
            answer(token.and_then(|t| t.get(a[0] as usize)), a[2], &mut any)
        }),
    );
    let (shared, held, mut any) = (world.clone(), h.clone(), Rng::new(seed + 7));
    let mut hs = ReadPort::new(
        &["h_q", "h_blk"],
        &["h_data", "h_b", "h_bmax"],
        Box::new(move |a| {
            let of = shared.borrow().hidden_of;
            answer(of.and_then(|e| held[e].get(a[0] as usize)), a[1], &mut any)
        }),
    );
    let (shared, held, mut any) = (world.clone(), x, Rng::new(seed + 8));
    let mut x_maps = ReadPort::new(
        &["xmap_token", "xmap_chunk"],
        &["xmap_bits"],
        Box::new(move |a| {
            let stored = (a[0] as usize) < shared.borrow().x_tokens;
            let token = held.get(a[0] as usize).filter(|_| stored);
            vec![vec![
                token.map_or(any.next() as u32, |t| t[0].map(a[1] as usize))
            ]]
        }),
    );
    let (shared, held, mut any) = (world.clone(), h, Rng::new(seed + 9));
    let mut h_maps = ReadPort::new(
        &["hmap_q", "hmap_chunk"],
        &["hmap_bits"],
        Box::new(move |a| {
            let of = shared.borrow().hidden_of;
            let vector = of.and_then(|e| held[e].get(a[0] as usize));
            vec![vec![
                vector.map_or(any.next() as u32, |v| v.map(a[1] as usize))
            ]]
        }),
    );

    p.set("go", 1);
    p.tick();
    p.set("go", 0);
    let mut checked = 0;
    let mut quiet = 0;
    while quiet < 6 {
        cycle(
            p,
            &mut [
                &mut loader,
                &mut ready,
                &mut queue,
                &mut progress,
                &mut slots,
                &mut xs,
                &mut hs,
                &mut x_maps,
                &mut h_maps,
                &mut out,
                &mut counts,
            ],
        );
        while checked < out.len() {
            let at = format!(
                "result {checked} of {}, cycle {}, {case:?}",
                want.len(),
                p.cycles()
            );
            let mut got = out.narrow(checked);
            let Some(want) = want.get(checked) else {
                panic!("{at}: one result too many");
            };
            // What has no meaning: up of a single row, its LSB; queue, weight and expert of the router.
            if want[2] == 0 {
                (got[1], got[9]) = (want[1], want[9]);
            }
            if want[3] == Kind::Router as u64 {
                (got[7], got[10], got[11]) = (want[7], want[10], want[11]);
            }
            assert_eq!(got, want, "{at}: {OUT:?}");
            checked += 1;
        }
        quiet = if counts.busy || !loader.done() {
            0
        } else {
            quiet + 1
        };
    }
    assert_eq!(checked, want.len(), "results of {case:?}");
    assert_eq!(counts.macs, macs, "MAC counter of {case:?}");
    assert_eq!(counts.active, beats, "beats of {case:?}");
    assert_eq!(counts.skipped, skipped, "beats left out in {case:?}");
    assert_eq!(counts.sections, sections, "sections of {case:?}");
    assert_eq!(loader.freed, fill_count, "slots handed back");
    assert!(!counts.draining && counts.starved >= 3, "idle at the end");
    let (first, last) = counts.span.expect("a beat");
    Taken {
        beats,
        span: last - first + 1,
        gaps: counts.gaps,
    }
}

fn answer(vector: Option<&Vector>, block: u64, any: &mut Rng) -> Vec<Vec<u32>> {
    let block = block as usize;
    match vector {
        Some(v) if block < v.b.len() => {
            vec![v.words(block), vec![v.b[block].into()], vec![v.bmax.into()]]
        }
        _ => vec![
            (0..8).map(|_| any.next() as u32).collect(),
            vec![any.below(256) as u32],
            vec![vector.map_or(any.below(256) as u32, |v| v.bmax.into())],
        ],
    }
}

fn unit(config: &Config) -> Pins {
    let mut p = Pins::new(match config.name {
        "tiny" => "linear_tiny",
        "versa" => "linear_versa",
        _ => "linear",
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
            queues[e].push((token as u8, r.below(1 << 20) as u32));
        }
    }
    queues
}

/// The storages that a configuration reads.
fn storages(config: &Config) -> Vec<Storage> {
    (0..=255)
        .filter_map(Storage::from_code)
        .filter(|s| config.reads(s.format, s.sparsity, s.paired))
        .collect()
}

/// Words that the largest group of a case needs.
fn least_window(case: &Case) -> usize {
    let of = |k| section(case, k).group_words();
    if case.plain {
        of(Kind::Plain)
    } else {
        of(Kind::Hidden).max(of(Kind::Down))
    }
}

/// Every storage with random shapes, zero blocks, slots, loaders and stalls.
fn random_cases(config: &Config, seed: u64, rounds: usize) {
    println!("{}, seed {seed}", config.name);
    let mut p = unit(config);
    let mut r = Rng::new(seed);
    let mut n = 0;
    for _ in 0..rounds {
        for storage in storages(config) {
            n += 1;
            let (_, m) = storage.sparsity.ratio();
            let mut width = || {
                let k = [24, 32, 33, 40, 64, 72, 96, 1 + r.below(130) as usize];
                k[r.below(8) as usize].next_multiple_of(m)
            };
            let (d, f) = (width(), width());
            let tokens = 1 + r.below(config.tokens_max.min(9) as u64) as usize;
            let experts = 1 + r.below(5) as usize;
            let plain = r.chance(50);
            let mut case = Case {
                tokens,
                d,
                f: if plain { 1 + r.below(40) as usize } else { f },
                experts,
                storage,
                gated: !plain && r.chance(128),
                plain,
                router: (!plain && r.chance(128)).then(|| r.chance(128)),
                queues: if plain {
                    vec![(0..tokens).map(|t| (t as u8, 65536)).collect()]
                } else {
                    let k = 1 + r.below(2) as usize;
                    queues(&mut r, tokens, experts, k)
                },
                window: 0,
                zeros: [0, 60, 200][r.below(3) as usize],
                gaps: [0, 100, 240][r.below(3) as usize],
                stall: [0, 60, 200][r.below(3) as usize],
                x_gaps: [0, 200, 250][r.below(3) as usize],
            };
            let least = least_window(&case);
            case.window = least + r.below((3 * least) as u64) as usize;
            case.window = case.window.min(config.slot_words);
            run(&mut p, config, &case, seed + n);
        }
    }
}

#[test]
fn random_cases_of_every_storage() {
    random_cases(&SIM, 51, 3);
}

#[test]
fn random_cases_of_int8_alone() {
    random_cases(&VERSA, 52, 12);
}

#[test]
fn random_cases_of_a_small_configuration() {
    random_cases(&TINY, 58, 2);
}

/// Every capacity of a configuration in turn, so that no counter is a bit too short.
#[test]
fn the_largest_sizes() {
    let mut r = Rng::new(59);
    for config in [&TINY, &VERSA, &SIM] {
        let mut p = unit(config);
        let quarter = Storage {
            sparsity: Sparsity::OneOfFour,
            ..Storage::INT8
        };
        let biased = Storage {
            bias: true,
            ..Storage::INT8
        };
        // Tokens, d, f, experts (of a router), storage, plain.
        for (tokens, d, f, experts, storage, plain) in [
            (1, config.d_max, 40, 2, biased, false),
            (1, 40, config.f_max, 2, quarter, false),
            (1, 32, config.f_max.min(2048), 2, biased, false),
            (1, 32, config.d_max, 1, quarter, true),
            (config.tokens_max, 32, 8, 2, quarter, false),
            (2, 64, 8, config.experts_max, quarter, false),
        ] {
            let last = experts - 1;
            let mut case = Case {
                tokens,
                d,
                f,
                experts,
                storage,
                gated: !plain && r.chance(128),
                plain,
                router: (experts > 2).then_some(true),
                queues: vec![Vec::new(); experts],
                window: config.slot_words,
                zeros: 0,
                gaps: 0,
                stall: 0,
                x_gaps: 0,
            };
            case.queues[last] = (0..tokens).rev().map(|t| (t as u8, 1 << 19)).collect();
            if r.chance(128) {
                case.window = least_window(&case).max(config.slot_words / 2);
            }
            run(&mut p, config, &case, 5900);
        }
    }
}

/// Rows of more than 32 blocks, with stretches of zeros longer than that.
#[test]
fn long_rows() {
    let mut r = Rng::new(53);
    let mut p = unit(&SIM);
    for (i, storage) in storages(&SIM).into_iter().enumerate() {
        let m = storage.sparsity.ratio().1;
        let mut width = || (1000 + r.below(2200) as usize).next_multiple_of(m);
        let (d, f) = if i % 2 == 0 {
            (width(), 40)
        } else {
            (24, width() / 2)
        };
        let f = f.next_multiple_of(m);
        let mut case = Case {
            tokens: 2,
            d,
            f,
            experts: 2,
            storage,
            gated: i % 4 < 2,
            plain: false,
            router: (i % 3 == 0).then_some(i % 2 == 0),
            queues: queues(&mut r, 2, 2, 1),
            window: SIM.slot_words,
            zeros: [0, 128, 250, 256][i % 4],
            gaps: 0,
            stall: 0,
            x_gaps: 0,
        };
        case.window = least_window(&case) * 3;
        run(&mut p, &SIM, &case, 5300 + i as u64);
    }
}

/// All tokens of the largest command go to one expert.
#[test]
fn one_expert_with_every_token() {
    let mut r = Rng::new(54);
    let case = Case {
        tokens: SIM.tokens_max,
        d: 32,
        f: 24,
        experts: 3,
        storage: Storage::from_code(3 << 2).unwrap(), // int8 1:4
        gated: true,
        plain: false,
        router: Some(false),
        queues: vec![(0..SIM.tokens_max)
            .map(|t| (255 - t as u8, r.below(1 << 20) as u32))
            .collect()],
        window: 4,
        zeros: 30,
        gaps: 0,
        stall: 30,
        x_gaps: 100,
    };
    run(&mut unit(&SIM), &SIM, &case, 54);
}

/// A case in which nothing has to wait: everything fits a slot and the loader is faster than the array.
fn undisturbed(config: &Config, storage: Storage, d: usize, f: usize, gated: bool) -> Case {
    Case {
        tokens: 8,
        d,
        f,
        experts: 2,
        storage,
        gated,
        plain: false,
        router: None,
        queues: vec![(0..8).map(|t| (t, 65536)).collect(), Vec::new()],
        window: config.slot_words,
        zeros: 0,
        gaps: 0,
        stall: 0,
        x_gaps: 0,
    }
}

/// Without stalls a beat enters in nearly every cycle, groups, vectors and visits included; where a group has more rows than beats
/// the results are what takes the time. Between Hidden and Down everything drains, which is not counted here.
#[test]
fn the_array_is_busy() {
    for config in [&SIM, &VERSA] {
        let dense = Storage::INT8;
        let quarter = Storage {
            sparsity: Sparsity::OneOfFour,
            ..dense
        };
        for (storage, d, f, gated) in [
            (dense, 192, 384, true),
            (quarter, 192, 384, true),
            (quarter, 256, 512, true),
            (quarter, 256, 512, false),
            (quarter, 192, 384, false),
        ] {
            let mut p = unit(config);
            let case = undisturbed(config, storage, d, f, gated);
            let taken = run(&mut p, config, &case, 55);
            let drain = *taken.gaps.iter().max().unwrap();
            let span = taken.span - drain;
            println!(
                "{}: {} of {d} x {f}, gated {gated}: {} beats in {span} cycles and {drain} between Hidden and Down",
                config.name,
                storage.sparsity.name(),
                taken.beats,
            );
            // Rows of Hidden and of Down, each at least as long as it takes to send its results.
            let slots = |kind: Kind, results: u64| {
                let s = section(&case, kind);
                let beats = (s.stored_blocks() * storage.sparsity.passes()) as u64;
                8 * s.groups() as u64 * beats.max(results)
            };
            let least = slots(Kind::Hidden, if gated { 4 } else { 8 }) + slots(Kind::Down, 8);
            assert!(
                100 * least >= 99 * span,
                "{least} cycles would have been enough"
            );
        }
    }
}

#[test]
fn reset_in_the_middle_of_a_visit() {
    let mut p = unit(&VERSA);
    let mut r = Rng::new(57);
    for cycles in [1, 5, 12, 20, 33, 60] {
        for (name, value) in [
            ("tokens", 4),
            ("d", 64),
            ("f", 64),
            ("experts", 8),
            ("nblk_d", 2),
            ("nblk_f", 2),
            ("groups_router", 2),
            ("words_r", 8),
            ("x_tokens", 4),
            ("vis_kind", 0),
            ("vis_first", 0),
            ("vis_vld", 1),
            ("cur_loaded", 2),
            ("cur_closed", 1),
            ("cur_total", 2),
            ("xmap_bits", 3),
            ("rd_map", 3),
            ("out_rdy", 0),
        ] {
            p.set(name, value);
        }
        p.tick();
        p.set("vis_vld", 0);
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
            storage: Storage::INT8,
            gated: true,
            plain: false,
            router: Some(false),
            queues: queues(&mut r, 3, 3, 2),
            window: 30,
            zeros: 60,
            gaps: 40,
            stall: 40,
            x_gaps: 40,
        };
        run(&mut p, &VERSA, &case, 57 + cycles);
    }
}
