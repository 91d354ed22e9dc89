//! The loader against a plain model of images and windows: contents of the slots, order, ownership, errors, bus utilisation.

use abi::config::{Config, SIM, TINY};
use abi::layout::{MatrixShape, Sparsity, IMAGE_MAGIC};
use sim_tb::pins::{cycle, Pins, Stream, StreamIn};
use sim_tb::rng::Rng;
use std::collections::{HashMap, VecDeque};
use unit_tests::axi::{noise, Beat, Manners, ReadMemory};

const LIMITS: (u64, u64) = (64, 1024);
const UNITS: [(&str, Config); 2] = [("loader_tiny", TINY), ("loader", SIM)];
/// Banks of a slot: four lanes, scales, positions.
const BANKS: usize = 6;

/// The parameters of a command, as far as the loader sees them.
#[derive(Clone, Debug)]
struct Layer {
    lanes: usize,
    sparse: bool,
    blocks: [usize; 2],
    /// Router, gate and up, down.
    groups: [usize; 3],
    windows: [usize; 3],
    router: u64,
    experts: u64,
    stride: u64,
    /// Header addresses without the magic number.
    bad: Vec<u64>,
}

/// A window as the array must get it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    kind: u64,
    slot: u64,
    groups: u64,
    first: u64,
    last: u64,
    expert: u64,
    exponents: [u64; 3],
    banks: [Vec<Beat>; BANKS],
}

fn header(addr: u64, bad: &[u64]) -> Beat {
    let mut h = noise(addr);
    let magic = if bad.contains(&addr) {
        0x454D
    } else {
        u32::from(IMAGE_MAGIC)
    };
    h[1] = h[1] & 0xFFFF | magic << 16;
    h
}

impl Layer {
    fn shape(&self, kind: usize) -> MatrixShape {
        MatrixShape {
            rows: 1,
            inputs: 32 * self.blocks[usize::from(kind == 2)],
            sparsity: if self.sparse && kind > 0 {
                Sparsity::TwoOfFour
            } else {
                Sparsity::Dense
            },
        }
    }
    fn group_beats(&self, kind: usize) -> usize {
        self.shape(kind).group_beats(self.lanes)
    }
    /// Fits the random windows to the slots.
    fn random(rng: &mut Rng, config: &Config, most_blocks: u64, most_groups: u64) -> Layer {
        let mut l = Layer {
            lanes: config.lanes,
            sparse: rng.chance(128),
            blocks: [0, 0].map(|_: usize| 1 + rng.below(most_blocks) as usize),
            groups: [0, 0, 0].map(|_: usize| 1 + rng.below(most_groups) as usize),
            windows: [0; 3],
            router: 0x12_0000_0000 + 64 * rng.below(1 << 20),
            experts: 0x9A_0000_0000 + 64 * rng.below(1 << 20),
            stride: 0,
            bad: Vec::new(),
        };
        l.groups[1] = l.groups[1].div_ceil(2) * 2;
        for kind in 0..3 {
            let most = config.slot_words / l.shape(kind).value_words();
            // Often small, sometimes full.
            let most = if rng.chance(128) { most } else { most.min(4) };
            l.windows[kind] = 1 + rng.below(most as u64) as usize;
        }
        l.windows[1] = (l.windows[1] / 2 * 2).max(2);
        let bytes =
            16 * (1 + l.groups[1] * l.group_beats(1) + l.groups[2] * l.group_beats(2)) as u64;
        l.stride = bytes.div_ceil(64) * 64 + 64 * rng.below(3);
        l
    }
    fn image_addr(&self, expert: Option<u64>) -> u64 {
        expert.map_or(self.router, |e| self.experts + e * self.stride)
    }
    /// Windows of one image, the first of them in slot `slot`; and the image's beats.
    fn image(&self, expert: Option<u64>, mut slot: u64) -> (Vec<Window>, u64) {
        let base = self.image_addr(expert);
        let h = header(base, &self.bad);
        let exponents = [
            u64::from(h[0] & 0xFFFF),
            u64::from(h[0] >> 16),
            u64::from(h[1] & 0xFFFF),
        ];
        let mut out = Vec::new();
        let mut addr = base + 16;
        let kinds = if expert.is_some() { 1..3 } else { 0..1 };
        for kind in kinds {
            let shape = self.shape(kind);
            let mut first = 0;
            while first < self.groups[kind] {
                let n = self.windows[kind].min(self.groups[kind] - first);
                let mut banks: [Vec<Beat>; BANKS] = Default::default();
                for _ in 0..n {
                    let mut take = |bank: &mut Vec<Beat>| {
                        bank.push(noise(addr));
                        addr += 16;
                    };
                    for _ in 0..shape.scale_beats(self.lanes) {
                        take(&mut banks[4]);
                    }
                    for _ in 0..shape.position_beats(self.lanes) {
                        take(&mut banks[5]);
                    }
                    for i in 0..shape.value_words() * self.lanes {
                        take(&mut banks[i % self.lanes]);
                    }
                }
                out.push(Window {
                    kind: kind as u64,
                    slot,
                    groups: n as u64,
                    first: first as u64,
                    last: u64::from(first + n == self.groups[kind]),
                    expert: expert.unwrap_or(0),
                    exponents,
                    banks,
                });
                slot ^= 1;
                first += n;
            }
        }
        (out, (addr - base) / 16)
    }
    fn memory(&self, experts: u64, manners: Manners, seed: u64) -> ReadMemory {
        let bad = self.bad.clone();
        let heads: Vec<u64> = (0..experts)
            .map(|e| self.image_addr(Some(e)))
            .chain([self.router])
            .collect();
        let content = move |a| {
            if heads.contains(&a) {
                header(a, &bad)
            } else {
                noise(a)
            }
        };
        ReadMemory::new("", LIMITS, manners, seed, Box::new(content))
    }
    fn drive(&self, pins: &mut Pins) {
        for (port, value) in [
            ("router_addr", self.router),
            ("experts_addr", self.experts),
            ("expert_stride", self.stride),
            ("sparse", self.sparse.into()),
            ("nblk_d", self.blocks[0] as u64),
            ("nblk_f", self.blocks[1] as u64),
            ("groups_router", self.groups[0] as u64),
            ("groups_gate_up", self.groups[1] as u64),
            ("groups_down", self.groups[2] as u64),
            ("win_router", self.windows[0] as u64),
            ("win_gate_up", self.windows[1] as u64),
            ("win_down", self.windows[2] as u64),
        ] {
            pins.set(port, value);
        }
    }
}

/// How the array treats windows.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// Takes and frees at random; the number is the chance of 256 that nothing happens in a cycle.
    Random(u32),
    /// Takes a window when the one before is done; works `vectors` cycles for each value word.
    Words(u64),
    /// Takes nothing.
    Never,
}

/// The slots and the linear array: checks each window when it is taken and again just before it is freed.
struct Array {
    expected: VecDeque<Window>,
    pace: Pace,
    rng: Rng,
    /// Beats written into each slot since it was free, by bank and word.
    slots: [[HashMap<u64, Beat>; BANKS]; 2],
    /// Windows taken and not yet freed, with the cycle at which `Words` is done.
    held: VecDeque<(Window, u64)>,
    free: Option<u64>,
    ready: bool,
    offered: Option<[u64; 7]>,
    /// Windows taken.
    taken: usize,
    waits: u64,
    waiting: bool,
    busy: bool,
    beats: u64,
    errors: (bool, bool),
}

impl Array {
    fn new(pace: Pace, seed: u64) -> Array {
        Array {
            expected: VecDeque::new(),
            pace,
            rng: Rng::new(seed),
            slots: Default::default(),
            held: VecDeque::new(),
            free: None,
            ready: false,
            offered: None,
            taken: 0,
            waits: 0,
            waiting: false,
            busy: true,
            beats: 0,
            errors: (false, false),
        }
    }
    fn check(&self, w: &Window, when: &str) {
        for (bank, words) in w.banks.iter().enumerate() {
            let got = &self.slots[w.slot as usize][bank];
            assert_eq!(
                got.len(),
                words.len(),
                "{when}: words in bank {bank} of window {}, {w:?}",
                self.taken
            );
            for (i, word) in words.iter().enumerate() {
                assert_eq!(
                    got[&(i as u64)],
                    *word,
                    "{when}: bank {bank} word {i} of window {}",
                    self.taken
                );
            }
        }
    }
    fn done(&self) -> bool {
        self.expected.is_empty() && self.held.is_empty() && self.free.is_none()
    }
}

impl Stream for Array {
    fn drive(&mut self, pins: &mut Pins) {
        let now = pins.cycles();
        self.ready = match self.pace {
            Pace::Random(idle) => !self.rng.chance(idle),
            Pace::Words(_) => self.held.is_empty(),
            Pace::Never => false,
        };
        let release = match self.pace {
            Pace::Random(idle) => !self.held.is_empty() && !self.rng.chance(idle),
            Pace::Words(_) => self.held.front().is_some_and(|h| h.1 <= now),
            Pace::Never => false,
        };
        if release {
            let (w, _) = self.held.pop_front().expect("checked above");
            self.check(&w, "before it is freed");
            self.slots[w.slot as usize] = Default::default();
            self.free = Some(w.slot);
        }
        pins.set("win_rdy", self.ready.into());
        pins.set("free_vld", self.free.is_some().into());
        pins.set("free_slot", self.free.take().unwrap_or(now & 1));
    }

    fn sample(&mut self, pins: &mut Pins) {
        let now = pins.cycles();
        // First the window, then this cycle's write: a window must not be offered before its last beat is in memory.
        if pins.get("win_vld") == 1 {
            let fields = ["kind", "slot", "groups", "first", "last", "expert", "exp_a"]
                .map(|f| pins.get(&format!("win_{f}")));
            if let Some(before) = self.offered.take() {
                assert_eq!(before, fields, "the window changed before it was taken");
            }
            let w = self.expected.front().expect("a window too many");
            assert_eq!(
                fields,
                [
                    w.kind,
                    w.slot,
                    w.groups,
                    w.first,
                    w.last,
                    w.expert,
                    w.exponents[0]
                ],
                "window {}",
                self.taken
            );
            assert_eq!(pins.get("win_exp_b"), w.exponents[1]);
            assert_eq!(pins.get("win_exp_c"), w.exponents[2]);
            self.check(w, "when offered");
            if self.ready {
                let w = self.expected.pop_front().expect("seen above");
                self.taken += 1;
                let words = w.banks[0].len() as u64;
                let vectors = match self.pace {
                    Pace::Words(v) => v,
                    _ => 0,
                };
                self.held.push_back((w, now + 1 + vectors * words));
            } else {
                self.offered = Some(fields);
            }
        } else {
            assert_eq!(self.offered, None, "win_vld fell before win_rdy");
        }
        if pins.get("wr_vld") == 1 {
            assert_eq!(pins.get("busy"), 1, "not busy while a beat is written");
            let (slot, bank) = (pins.get("wr_slot"), pins.get("wr_bank") as usize);
            assert!(bank < BANKS, "bank {bank}");
            assert!(
                self.held.iter().all(|(w, _)| w.slot != slot),
                "slot {slot} is written while the array owns it"
            );
            let data: Beat = pins.get_wide("wr_data").try_into().expect("128 bits");
            let old = self.slots[slot as usize][bank].insert(pins.get("wr_addr"), data);
            assert_eq!(old, None, "a word of slot {slot} is written twice");
        }
        self.waiting = pins.get("wait_slot") == 1;
        self.waits += u64::from(self.waiting);
        self.beats += pins.get("beat");
        self.busy = pins.get("busy") == 1;
        self.errors = (pins.get("err_read") == 1, pins.get("err_image") == 1);
    }
}

struct Bench {
    pins: Pins,
    array: Array,
    jobs: StreamIn,
    memory: ReadMemory,
}

impl Bench {
    fn new(
        unit: &str,
        layer: &Layer,
        pace: Pace,
        manners: Manners,
        stall: u32,
        seed: u64,
    ) -> Bench {
        let mut pins = Pins::new(unit).unwrap();
        pins.reset("rst", 2);
        Bench {
            pins,
            array: Array::new(pace, seed),
            jobs: StreamIn::new("job", &["expert"], seed + 1, stall),
            memory: layer.memory(256, manners, seed + 2),
        }
    }
    fn step(&mut self) {
        cycle(
            &mut self.pins,
            &mut [&mut self.array, &mut self.jobs, &mut self.memory],
        );
        assert!(self.memory.outstanding <= 8);
        assert!(
            self.array.busy || self.memory.outstanding == 0,
            "not busy while beats are under way"
        );
    }
    /// Starts a command; the parameters stand from here on.
    fn start(&mut self, layer: &Layer) {
        layer.drive(&mut self.pins);
        self.pins.set("go", 1);
        self.step();
        self.pins.set("go", 0);
    }
    /// Expects the router's windows, then those of `experts`; the beats of all images.
    fn expect(&mut self, layer: &Layer, experts: &[u64]) -> u64 {
        let mut slot = 0;
        let mut beats = 0;
        for e in std::iter::once(None).chain(experts.iter().map(|e| Some(*e))) {
            let (windows, n) = layer.image(e, slot);
            slot = (slot + windows.len() as u64) % 2;
            self.array.expected.extend(windows);
            beats += n;
        }
        beats
    }
    fn push(&mut self, experts: &[u64]) {
        for e in experts {
            self.jobs.push(&[*e]);
        }
    }
    fn finish(&mut self) {
        while !self.array.done() || self.jobs.pending() > 0 || self.array.busy {
            self.step();
        }
        assert_eq!(
            self.memory.outstanding, 0,
            "busy fell before the bus was quiet"
        );
    }
}

#[test]
fn random_layers_with_stalls_everywhere() {
    let seed = 41;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    for (unit, config) in UNITS {
        let (mut windows, mut waits) = (0, 0);
        for round in 0..60 {
            let layer = Layer::random(&mut rng, &config, 9, 12);
            let manners = if round % 4 == 0 {
                Manners::ideal(rng.below(30))
            } else {
                Manners::rough(&mut rng)
            };
            let pace = match round % 3 {
                0 => Pace::Random(rng.below(250) as u32),
                1 => Pace::Words(1),
                _ => Pace::Words(1 + rng.below(6)),
            };
            let mut b = Bench::new(unit, &layer, pace, manners, 100, rng.next());
            // Two commands on one unit: nothing may be left over.
            for _ in 0..2 {
                let experts: Vec<u64> = (0..rng.below(4)).map(|_| rng.below(256)).collect();
                let before = (b.memory.beats, b.array.beats);
                let beats = b.expect(&layer, &experts);
                b.start(&layer);
                b.push(&experts);
                b.finish();
                assert_eq!(b.memory.beats - before.0, beats, "beats read");
                assert_eq!(b.array.beats - before.1, beats, "beats counted");
                assert_eq!(b.array.errors, (false, false));
            }
            windows += b.array.taken;
            waits += b.array.waits;
        }
        println!("{unit}: {windows} windows, {waits} cycles without a slot");
        assert!(windows > 500 && waits > 0);
    }
}

#[test]
fn every_block_count_dense_and_two_of_four() {
    let seed = 42;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    for (unit, config) in UNITS {
        let most = config.d_max.max(config.f_max) / 32;
        for blocks in 1..=most {
            for sparse in [false, true] {
                let mut layer = Layer::random(&mut rng, &config, 1, 6);
                layer.sparse = sparse;
                layer.blocks = [blocks.min(config.d_blocks()), blocks];
                for kind in 0..3 {
                    let fits = config.slot_words / layer.shape(kind).value_words();
                    layer.windows[kind] = if kind == 1 { fits / 2 * 2 } else { fits };
                }
                layer.stride = 1 << 24;
                let mut b = Bench::new(unit, &layer, Pace::Words(1), Manners::ideal(9), 0, 5);
                let beats = b.expect(&layer, &[3]);
                b.start(&layer);
                b.push(&[3]);
                b.finish();
                assert_eq!(b.memory.beats, beats);
            }
        }
    }
}

/// The window size, a multiple of `step` of at most `fits` groups, that leaves the section's last window the fullest: while a
/// short window arrives, the array is still busy with the long one before it.
fn level(groups: usize, fits: usize, step: usize) -> usize {
    let sizes = (fits / 2..=fits).filter(|w| *w > 0 && w % step == 0);
    let spare = |w: &usize| groups.div_ceil(*w) * w - groups;
    sizes
        .min_by_key(|w| (spare(w) * 100 / w, fits - w))
        .expect("a window")
}

#[test]
fn the_bus_stays_full_over_windows_sections_and_experts() {
    // The array keeps up (one vector), so slots are free in time.
    for (unit, config) in UNITS {
        for (latency, sparse, blocks, groups) in [
            (5, false, [4, 6], [8, 24, 16]),
            (40, false, [6, 8], [12, 128, 48]),
            (40, true, [6, 8], [12, 128, 48]),
            (120, false, [7, 5], [12, 96, 56]),
        ] {
            let mut layer = Layer::random(&mut Rng::new(1), &config, 1, 1);
            layer.sparse = sparse;
            layer.blocks = blocks;
            layer.groups = groups;
            layer.stride = 0x8_0040;
            for (kind, groups) in groups.into_iter().enumerate() {
                let fits = config.slot_words / layer.shape(kind).value_words();
                layer.windows[kind] = level(groups, fits, if kind == 1 { 2 } else { 1 });
            }
            let mut b = Bench::new(unit, &layer, Pace::Words(1), Manners::ideal(latency), 0, 6);
            let experts = [5, 9, 12, 200, 0, 1];
            let router = layer.image(None, 0);
            b.expect(&layer, &experts);
            b.start(&layer);
            let begin = b.pins.cycles();
            while b.array.taken < router.0.len() {
                b.step();
            }
            assert_eq!(b.memory.beats, router.1);
            println!(
                "{unit}: first address {} cycles after go, router {:.4} beats per cycle",
                b.memory.bursts[0].cycle + 1 - begin,
                b.memory.utilisation()
            );
            b.memory.clear_counts();
            b.push(&experts);
            b.finish();
            println!(
                "{unit}: latency {latency}, sparse {sparse}, windows {:?} of {groups:?}: {:.4} beats per cycle over {} experts, gaps {:?}",
                layer.windows,
                b.memory.utilisation(),
                experts.len(),
                b.memory.gaps
            );
            // Only the very first header, with nothing to prefetch it behind, may be followed by a few idle cycles. The small
            // slots of `tiny` are too short for the long latency: what the array leaves of a window's time is less.
            if latency <= 40 || config.slot_words >= 512 {
                assert!(b
                    .memory
                    .gaps
                    .iter()
                    .all(|(beats, cycles)| *beats == 1 && *cycles < 5));
            }
        }
    }
}

#[test]
fn errors_are_told_and_stop_nothing() {
    for (unit, config) in UNITS {
        let mut layer = Layer::random(&mut Rng::new(3), &config, 4, 8);
        // A bad header in the second expert's image.
        layer.bad = vec![layer.image_addr(Some(7))];
        let mut b = Bench::new(unit, &layer, Pace::Words(1), Manners::ideal(5), 0, 7);
        b.expect(&layer, &[2, 7, 2]);
        b.start(&layer);
        b.push(&[2, 7, 2]);
        b.finish();
        assert_eq!(b.array.errors, (false, true));

        // The next command forgets it.
        b.expect(&layer, &[2]);
        b.start(&layer);
        b.push(&[2]);
        b.step();
        assert_eq!(b.array.errors, (false, false));
        b.finish();
        assert_eq!(b.array.errors, (false, false));

        // Read errors: many beats, then none.
        let mut rough = Manners::ideal(5);
        rough.errors = 3000;
        b.memory.set_manners(rough);
        b.expect(&layer, &[1, 3]);
        b.start(&layer);
        b.push(&[1, 3]);
        b.finish();
        assert!(b.memory.errors > 0);
        assert_eq!(b.array.errors, (true, false));
        b.memory.set_manners(Manners::ideal(5));
        b.expect(&layer, &[]);
        b.start(&layer);
        b.step();
        assert_eq!(b.array.errors, (false, false));
        b.finish();
        assert_eq!(b.array.errors, (false, false));
    }
}

#[test]
fn two_windows_are_loaded_ahead_and_no_more() {
    for (unit, config) in UNITS {
        let mut layer = Layer::random(&mut Rng::new(4), &config, 3, 1);
        layer.groups = [9, 12, 9];
        layer.windows = [2, 2, 2];
        let mut b = Bench::new(unit, &layer, Pace::Never, Manners::ideal(5), 0, 8);
        b.expect(&layer, &[]);
        b.start(&layer);
        for _ in 0..2000 {
            b.step();
        }
        let window = 2 * layer.group_beats(0) as u64;
        assert_eq!(b.memory.beats, 1 + 2 * window);
        assert!(b.array.waiting && b.array.busy);
        // One window taken but not freed changes nothing; a freed slot lets exactly one more come.
        b.array.pace = Pace::Words(100_000);
        for _ in 0..100 {
            b.step();
        }
        assert_eq!((b.array.taken, b.memory.beats), (1, 1 + 2 * window));
        b.array.pace = Pace::Words(1);
        b.array.held[0].1 = 0;
        while b.array.taken < 2 {
            b.step();
        }
        b.finish();
        assert_eq!(b.memory.beats, 1 + 9 * layer.group_beats(0) as u64);
    }
}
