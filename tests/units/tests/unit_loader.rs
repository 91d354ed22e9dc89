//! The loader against a plain model of images, windows and guesses: contents of the slots, order of visits, ownership, zero maps, errors,
//! what a prefetch may do and what it must not, bus utilisation.

use abi::config::{Config, SIM, TINY};
use abi::layout::{
    down_section, hidden_section, plain_section, router_section, Kind, Section, Storage,
    IMAGE_MAGIC,
};
use sim_tb::pins::{cycle, Pins, Stream};
use sim_tb::rng::Rng;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use unit_tests::axi::{noise, Beat, Manners, ReadMemory};

const LIMITS: (u64, u64) = (64, 1024);
const UNITS: [(&str, Config); 2] = [("loader_tiny", TINY), ("loader", SIM)];
const PAGE: u64 = 4096;

/// What memory holds, by address: noise in which many scales are zero, headers, and pages that were written again.
#[derive(Default)]
struct Contents {
    headers: HashMap<u64, u16>,
    written: HashMap<u64, u64>,
}

impl Contents {
    fn beat(&self, addr: u64) -> Beat {
        let version = self.written.get(&(addr / PAGE)).copied().unwrap_or(0);
        let mut b = noise(addr ^ version << 44);
        if let Some(magic) = self.headers.get(&addr) {
            b[1] = b[1] & 0xFFFF | u32::from(*magic) << 16;
            return b;
        }
        let choice = noise(addr ^ 1 << 60)[0];
        match choice % 8 {
            // Every magnitude zero.
            0..=2 => b = b.map(|w| w & 0x8000_8000),
            // One lane's magnitude not.
            3 | 4 => {
                let lane = choice as usize >> 8 & 7;
                b = b.map(|w| w & 0x8000_8000);
                b[lane / 2] |= 1 << (16 * (lane % 2) + (choice as usize >> 16) % 15);
            }
            _ => {}
        }
        b
    }
}

type Shared = Rc<RefCell<Contents>>;

/// The parameters of a command, as far as the loader sees them.
#[derive(Clone, Debug, PartialEq)]
struct Layer {
    storage: Storage,
    d: usize,
    f: usize,
    gated: bool,
    plain: bool,
    experts: usize,
    router: Option<(bool, bool)>,
    window: usize,
    router_addr: u64,
    addr: u64,
    stride: u64,
}

/// The beats of a group, relative to its slot: bank, part of the word, word.
#[derive(Clone, Debug, Default)]
struct Group {
    beats: Vec<((u64, u64, u64), Beat)>,
    map: Vec<(u64, u32)>,
}

/// What the array must find in one slot.
#[derive(Clone, Debug)]
struct Window {
    kind: u64,
    first: u64,
    expert: u64,
    exponents: [u64; 3],
    groups: Vec<Group>,
    /// Choice biases that must have come before the last group counts.
    biases: usize,
    beats: u64,
}

#[derive(Clone, Debug)]
struct Image {
    windows: Vec<Window>,
    beats: u64,
    biases: Vec<(u64, Beat)>,
}

impl Layer {
    fn random(rng: &mut Rng, config: &Config) -> Layer {
        loop {
            let l = Layer::of_any_size(rng, config);
            let bytes: usize = l.sections().iter().map(Section::bytes).sum();
            if bytes + l.router_section().bytes() < 200_000 {
                return l;
            }
        }
    }
    fn of_any_size(rng: &mut Rng, config: &Config) -> Layer {
        let storage = loop {
            if let Some(s) = Storage::from_code(rng.below(128) as u8) {
                break s;
            }
        };
        // Usually a few blocks; now and then so many that the map takes several words.
        let mut width = || {
            let most = if rng.chance(40) {
                config.d_max.min(3000)
            } else {
                200
            };
            8 * (1 + rng.below(most as u64 / 8) as usize)
        };
        let (d, f) = (width(), width());
        let experts = 1 + rng.below(config.experts_max.min(40) as u64) as usize;
        let router = rng.chance(128).then(|| (rng.chance(128), rng.chance(128)));
        let mut l = Layer {
            storage,
            d,
            f,
            gated: rng.chance(128),
            plain: rng.chance(40),
            experts,
            router,
            window: 0,
            router_addr: 0x12_0000_0000 + 64 * rng.below(1 << 20),
            addr: 0,
            stride: 0,
        };
        l.move_to(rng);
        let least = l.sections().iter().map(Section::group_words).max();
        let least = least.expect("at least one section");
        assert!(least <= config.slot_words);
        // Often small, so that images take many slots.
        let room = if rng.chance(128) {
            3 * least
        } else {
            60 * least
        };
        l.window = (least + rng.below(room as u64) as usize).min(config.slot_words);
        l
    }
    /// Elsewhere in memory, in the same form.
    fn move_to(&mut self, rng: &mut Rng) {
        self.addr = 0x90_0000_0000 + 64 * rng.below(1 << 30);
        let bytes = 16 + self.sections().iter().map(Section::bytes).sum::<usize>() as u64;
        if self.stride == 0 {
            self.stride = bytes.div_ceil(64) * 64 + 64 * rng.below(3);
        }
    }
    fn sections(&self) -> Vec<Section> {
        if self.plain {
            vec![plain_section(self.d, self.f, self.storage)]
        } else {
            vec![
                hidden_section(self.d, self.f, self.gated, self.storage),
                down_section(self.d, self.f, self.storage),
            ]
        }
    }
    fn router_section(&self) -> Section {
        let bias = self.router.is_some_and(|r| r.1);
        router_section(self.d, self.experts, bias)
    }
    fn image_addr(&self, expert: Option<u64>) -> u64 {
        expert.map_or(self.router_addr, |e| self.addr + e * self.stride)
    }
    fn end(&self) -> u64 {
        self.addr + self.experts as u64 * self.stride
    }
    fn tell_headers(&self, contents: &Shared, rng: &mut Rng, bad: u32) {
        let mut c = contents.borrow_mut();
        for e in 0..=self.experts as u64 {
            let addr = self.image_addr((e < self.experts as u64).then_some(e));
            let magic = if rng.chance(bad) { 0x454D } else { IMAGE_MAGIC };
            c.headers.insert(addr, magic);
        }
    }
    fn image(&self, config: &Config, contents: &Shared, expert: Option<u64>) -> Image {
        let contents = contents.borrow();
        let base = self.image_addr(expert);
        let h = contents.beat(base);
        let exponents = [h[0] & 0xFFFF, h[0] >> 16, h[1] & 0xFFFF].map(u64::from);
        let mut addr = base + 16;
        let mut next = || {
            addr += 16;
            contents.beat(addr - 16)
        };
        let (sections, limit) = match expert {
            None => (vec![self.router_section()], config.router_words),
            Some(_) => (self.sections(), self.window),
        };
        let kinds = match (expert, self.plain) {
            (None, _) => vec![Kind::Router],
            (_, true) => vec![Kind::Plain],
            _ => vec![Kind::Hidden, Kind::Down],
        };
        let mut windows: Vec<Window> = Vec::new();
        let mut used = limit + 1;
        let mut beats = 1;
        for (section, kind) in sections.iter().zip(kinds) {
            for g in 0..section.groups() {
                if used + section.group_words() > limit {
                    used = 0;
                    windows.push(Window {
                        kind: kind as u64,
                        first: g as u64,
                        expert: expert.unwrap_or(0),
                        exponents,
                        groups: Vec::new(),
                        biases: 0,
                        beats: 0,
                    });
                }
                let at = used as u64;
                let mut group = Group::default();
                let rows = section.storage.lane_rows();
                let mut map = vec![0u32; section.stored_blocks().div_ceil(32)];
                for w in 0..section.scale_words() {
                    let b = next();
                    group.beats.push(((0, 0, at + w as u64), b));
                    let nonzero = b.iter().any(|w| w & 0x7FFF_7FFF != 0);
                    map[w / rows / 32] |= u32::from(nonzero) << (w / rows % 32);
                }
                for w in 0..section.position_words() as u64 {
                    for sub in 0..2 {
                        group.beats.push(((1, sub, at + w), next()));
                    }
                }
                for w in 0..section.value_words() as u64 {
                    for sub in 0..4 {
                        group.beats.push(((2, sub, at + w), next()));
                    }
                }
                group
                    .map
                    .extend(map.iter().enumerate().map(|(i, m)| (at + i as u64, *m)));
                used += section.group_words();
                let n = group.beats.len() as u64;
                assert_eq!(n * 16, section.group_bytes() as u64);
                beats += n;
                let window = windows.last_mut().expect("pushed above");
                window.beats += n;
                window.groups.push(group);
            }
        }
        let mut biases = Vec::new();
        if expert.is_none() && self.router.is_some_and(|r| r.0) {
            for i in 0..self.experts.div_ceil(4) as u64 {
                biases.push((4 * i, next()));
            }
            beats += biases.len() as u64;
            windows.last_mut().expect("a group").biases = biases.len();
        }
        Image {
            windows,
            beats,
            biases,
        }
    }
    fn drive(&self, pins: &mut Pins) {
        let s = self.sections();
        let b = s.get(1);
        let r = self.router_section();
        for (port, value) in [
            ("source", if self.router.is_some() { 0 } else { 1 }),
            ("choice_bias", self.router.is_some_and(|r| r.0).into()),
            ("router_bias", self.router.is_some_and(|r| r.1).into()),
            ("plain", self.plain.into()),
            ("format", self.storage.format as u64),
            ("sparsity", self.storage.sparsity as u64),
            ("paired", self.storage.paired.into()),
            ("bias", self.storage.bias.into()),
            ("experts", self.experts as u64),
            ("nblk_d", self.d.div_ceil(32) as u64),
            ("nblk_f", self.f.div_ceil(32) as u64),
            ("groups_router", r.groups() as u64),
            ("groups_a", s[0].groups() as u64),
            ("groups_b", b.map_or(0, Section::groups) as u64),
            ("words_r", r.group_words() as u64),
            ("words_a", s[0].group_words() as u64),
            ("words_b", b.map_or(0, Section::group_words) as u64),
            ("window_words", self.window as u64),
            ("router_addr", self.router_addr),
            ("experts_addr", self.addr),
            ("expert_stride", self.stride),
        ] {
            pins.set(port, value);
        }
    }
}

/// How the array treats visits: the chance of 256 that it does nothing with what it could take or free in a cycle.
type Pace = u32;

/// The slots, their ownership, and the linear array.
struct Array {
    slot_words: usize,
    router_words: usize,
    slots: usize,
    pace: Pace,
    rng: Rng,
    expected: VecDeque<Window>,
    memory: HashMap<(u64, u64, u64), Beat>,
    map: HashMap<u64, u32>,
    /// Visits taken, with the slot and the groups checked so far.
    held: VecDeque<(Window, u64, usize)>,
    asked: bool,
    free: Option<u64>,
    ready: bool,
    offered: Option<Vec<u64>>,
    biases: VecDeque<(u64, Beat)>,
    taken: usize,
}

impl Array {
    fn new(config: &Config, pace: Pace, seed: u64) -> Array {
        Array {
            slot_words: config.slot_words,
            router_words: config.router_words,
            slots: config.slots,
            pace,
            rng: Rng::new(seed),
            expected: VecDeque::new(),
            memory: HashMap::new(),
            map: HashMap::new(),
            held: VecDeque::new(),
            asked: false,
            free: None,
            ready: false,
            offered: None,
            biases: VecDeque::new(),
            taken: 0,
        }
    }
    fn start_of(&self, slot: u64) -> u64 {
        let slot = slot as usize;
        let experts = slot.min(self.slots);
        (experts * self.slot_words + (slot - experts) * self.router_words) as u64
    }
    fn done(&self) -> bool {
        self.expected.is_empty() && self.held.is_empty() && self.free.is_none()
    }
    fn check(&self, w: &Window, slot: u64, group: usize, when: &str) {
        let start = self.start_of(slot);
        for ((bank, sub, word), beat) in &w.groups[group].beats {
            assert_eq!(
                self.memory.get(&(*bank, *sub, start + word)),
                Some(beat),
                "{when}: visit {} of kind {}, expert {}, slot {slot}, group {group} of {}: bank {bank}.{sub} word {word}",
                self.taken,
                w.kind,
                w.expert,
                w.groups.len()
            );
        }
        for (word, bits) in &w.groups[group].map {
            assert_eq!(
                self.map.get(&(start + word)),
                Some(bits),
                "{when}: map of group {group} in slot {slot}, word {word}"
            );
        }
    }
}

impl Stream for Array {
    fn drive(&mut self, pins: &mut Pins) {
        self.ready = self.held.len() < 2 && !self.rng.chance(self.pace);
        pins.set("vis_rdy", self.ready.into());
        self.asked = false;
        let noise = self.rng.below(8);
        let mut cur = noise;
        if let Some((_, slot, _)) = self.held.front() {
            cur = *slot;
            self.asked = true;
        }
        pins.set("cur_slot", cur);
        pins.set("free_vld", self.free.is_some().into());
        pins.set("free_slot", self.free.take().unwrap_or(noise));
    }

    fn sample(&mut self, pins: &mut Pins) {
        // The answer to `cur_slot` of the cycle before stands now; `asked` is of this cycle, so it is looked at in `after`.
        if pins.get("vis_vld") == 1 {
            let fields: Vec<u64> = ["kind", "first", "expert", "exp_a", "exp_b", "exp_c", "slot"]
                .iter()
                .map(|f| pins.get(&format!("vis_{f}")))
                .collect();
            if let Some(before) = self.offered.take() {
                assert_eq!(before, fields, "the visit changed before it was taken");
            }
            let w = self.expected.front().expect("a visit too many");
            let [a, b, c] = w.exponents;
            assert_eq!(
                fields[..6],
                [w.kind, w.first, w.expert, a, b, c],
                "visit {}",
                self.taken
            );
            let slot = fields[6] as usize;
            let router = w.kind == Kind::Router as u64;
            assert_eq!(slot >= self.slots, router, "slot {slot}");
            assert!(slot < self.slots + 2, "slot {slot}");
            assert!(
                self.held.iter().all(|h| h.1 != fields[6]),
                "slot {slot} is held"
            );
            self.check(w, fields[6], 0, "when offered");
            if self.ready {
                self.taken += 1;
                let w = self.expected.pop_front().expect("seen above");
                self.held.push_back((w, fields[6], 0));
            } else {
                self.offered = Some(fields);
            }
        } else {
            assert_eq!(self.offered, None, "vis_vld fell before vis_rdy");
        }
        if pins.get("wr_vld") == 1 {
            let [bank, sub, addr] = ["bank", "sub", "addr"].map(|f| pins.get(&format!("wr_{f}")));
            let data: Beat = pins.get_wide("wr_data").try_into().expect("128 bits");
            self.memory.insert((bank, sub, addr), data);
        }
        if pins.get("map_vld") == 1 {
            let (addr, data) = (pins.get("map_addr"), pins.get("map_data"));
            self.map.insert(addr, data as u32);
        }
        if pins.get("cb_vld") == 1 {
            let data: Beat = pins.get_wide("cb_data").try_into().expect("128 bits");
            let expected = self.biases.pop_front().expect("a choice bias too many");
            assert_eq!((pins.get("cb_index"), data), expected);
        }
    }
}

impl Array {
    /// After the clock edge: the answer for the slot at work, and perhaps the end of it.
    fn after(&mut self, pins: &mut Pins) {
        if !self.asked {
            return;
        }
        let (loaded, closed) = (pins.get("cur_loaded") as usize, pins.get("cur_closed") == 1);
        let total = pins.get("cur_total") as usize;
        let (w, slot, checked) = self.held.pop_front().expect("asked");
        assert!(loaded >= 1, "a visit before its first group");
        assert!(
            loaded >= checked && loaded <= w.groups.len(),
            "{loaded} groups"
        );
        for g in checked..loaded {
            self.check(&w, slot, g, "when loaded");
        }
        if loaded == w.groups.len() {
            assert!(
                closed,
                "{loaded} groups are all that come, but the slot is open"
            );
        }
        if closed {
            assert_eq!(total, w.groups.len(), "groups in a closed slot");
        }
        if loaded == w.groups.len() && w.biases > 0 {
            assert!(
                self.biases.is_empty(),
                "the last group before its choice biases"
            );
        }
        if closed && loaded == total && !self.rng.chance(self.pace) {
            for g in 0..total {
                self.check(&w, slot, g, "before it is freed");
            }
            self.free = Some(slot);
        } else {
            self.held.push_front((w, slot, loaded));
        }
    }
}

/// `issue`, `route_store` and the predictor, as far as the loader sees them.
struct Control {
    rng: Rng,
    stall: u32,
    jobs: VecDeque<u64>,
    /// Cycles until `rt_done`, and from then until the first job.
    routes_in: Option<u64>,
    jobs_in: Option<u64>,
    offered: bool,
    ordered: bool,
    taken: Vec<u64>,
    guesses: VecDeque<u64>,
    wanted: u64,
    known: bool,
    hits: u64,
    used: u64,
    aborts: u64,
}

impl Control {
    fn new(seed: u64, stall: u32) -> Control {
        Control {
            rng: Rng::new(seed),
            stall,
            jobs: VecDeque::new(),
            routes_in: None,
            jobs_in: None,
            offered: false,
            ordered: false,
            taken: Vec::new(),
            guesses: VecDeque::new(),
            wanted: 0,
            known: false,
            hits: 0,
            used: 0,
            aborts: 0,
        }
    }
    /// No job before rt_done, none left after.
    fn idle(&self) -> bool {
        self.routes_in.is_none() && self.jobs.is_empty()
    }
}

impl Stream for Control {
    fn drive(&mut self, pins: &mut Pins) {
        let done = self.routes_in == Some(0);
        pins.set("rt_done", done.into());
        if done {
            self.known = true;
            self.jobs_in = Some(6 + self.rng.below(10));
        }
        self.routes_in = match self.routes_in {
            Some(n) if n > 0 => Some(n - 1),
            _ => None,
        };
        let wanted = if self.known {
            self.wanted
        } else {
            self.rng.below(16)
        };
        pins.set("tag_wanted", wanted);
        if !self.offered && self.ordered && !self.jobs.is_empty() {
            self.offered = !self.rng.chance(self.stall);
        }
        pins.set("job_vld", self.offered.into());
        let job = if self.offered {
            self.jobs[0]
        } else {
            self.rng.below(256)
        };
        pins.set("job_expert", job);
        pins.set("jobs_done", (self.ordered && self.jobs.is_empty()).into());
        // Other readers come and go.
        let pause = self.stall > 0 && self.rng.chance(self.stall.min(60));
        pins.set("pause", pause.into());
        let guess = self.guesses.front().copied();
        pins.set("pf_vld", guess.is_some().into());
        pins.set("pf_expert", guess.unwrap_or(7));
    }
    fn sample(&mut self, pins: &mut Pins) {
        let tags: Vec<(u64, u64)> = (0..4)
            .map(|i| {
                (
                    pins.get(&format!("tag_expert_{i}")),
                    pins.get(&format!("tag_state_{i}")),
                )
            })
            .collect();
        self.wanted = 0;
        for (i, (expert, _)) in tags.iter().enumerate() {
            let wanted = self.jobs.contains(expert) || self.taken.contains(expert);
            self.wanted |= u64::from(wanted) << i;
        }
        if let Some(n) = self.jobs_in {
            self.jobs_in = (n > 0).then(|| n - 1);
            if n == 0 {
                // Complete first, then those on their way.
                let state = |e: &u64| {
                    let of = |t: &&(u64, u64)| t.0 == *e && t.1 > 0;
                    tags.iter().find(of).map_or(0, |t| t.1)
                };
                let mut jobs: Vec<u64> = self.jobs.drain(..).collect();
                jobs.sort_by_key(|e| 2 - state(e));
                self.jobs = jobs.into();
                self.ordered = true;
            }
        }
        if self.offered && pins.get("job_rdy") == 1 {
            self.offered = false;
            let job = self.jobs.pop_front().expect("offered");
            self.taken.push(job);
        }
        if !self.guesses.is_empty() && pins.get("pf_rdy") == 1 {
            self.guesses.pop_front();
        }
        if pins.get("hit") == 1 {
            self.hits += 1;
            self.used += pins.get("used_beats");
        }
        self.aborts += pins.get("aborts");
    }
}

struct Bench {
    config: Config,
    pins: Pins,
    contents: Shared,
    array: Array,
    control: Control,
    memory: ReadMemory,
    /// Of each beat asked for and not arrived, the cycle.
    asked: VecDeque<u64>,
    /// Of each beat arrived and not taken, both cycles.
    arrived: VecDeque<(u64, u64)>,
    seen_bursts: usize,
    /// Asked, arrived, for each prefetched beat.
    prefetched: Vec<(u64, u64)>,
    demand_beats: u64,
    busy: bool,
    waits: u64,
}

impl Bench {
    fn new(unit: &str, config: &Config, pace: Pace, manners: Manners, seed: u64) -> Bench {
        let mut pins = Pins::new(unit).unwrap();
        pins.reset("rst", 2);
        let contents = Shared::default();
        let view = contents.clone();
        let content = Box::new(move |addr| view.borrow().beat(addr));
        Bench {
            config: *config,
            pins,
            contents,
            array: Array::new(config, pace, seed),
            control: Control::new(seed + 1, pace.min(200)),
            memory: ReadMemory::new("", LIMITS, manners, seed + 2, content),
            asked: VecDeque::new(),
            arrived: VecDeque::new(),
            seen_bursts: 0,
            prefetched: Vec::new(),
            demand_beats: 0,
            busy: false,
            waits: 0,
        }
    }
    fn step(&mut self) {
        let before = self.memory.beats;
        self.pins.eval();
        let mut watch = Watch::default();
        cycle(
            &mut self.pins,
            &mut [
                &mut self.array,
                &mut self.control,
                &mut self.memory,
                &mut watch,
            ],
        );
        self.array.after(&mut self.pins);
        let now = self.pins.cycles();
        for b in &self.memory.bursts[self.seen_bursts..] {
            self.asked.extend((0..b.beats).map(|_| now));
        }
        self.seen_bursts = self.memory.bursts.len();
        // A beat comes into a register, and is taken from there.
        if self.memory.beats - before == 1 {
            let asked = self.asked.pop_front().expect("a beat that was asked for");
            self.arrived.push_back((asked, now));
        }
        assert!(watch.beat || !watch.pf_beat);
        if watch.beat {
            let came = self.arrived.pop_front().expect("a beat that came");
            if watch.pf_beat {
                self.prefetched.push(came);
            } else {
                self.demand_beats += 1;
                assert!(watch.busy, "not busy while demand arrives");
            }
        }
        assert!(self.arrived.len() <= 1);
        assert!(
            watch.busy || self.asked.len() <= 256,
            "{} beats of prefetch are under way",
            self.asked.len()
        );
        assert!(self.memory.outstanding <= 16);
        self.busy = watch.busy;
        self.waits += u64::from(watch.wait_slot);
    }
    /// At no time more than 4 KiB of prefetch asked for and not arrived.
    fn check_prefetch(&mut self) {
        let mut events: Vec<(u64, i64)> = Vec::new();
        for (asked, came) in self.prefetched.drain(..) {
            events.push((asked, 1));
            events.push((came, -1));
        }
        events.sort_unstable();
        let (mut n, mut most) = (0, 0);
        for (_, change) in events {
            n += change;
            most = most.max(n);
        }
        assert!(most <= 256, "{most} prefetched beats under way");
    }
    /// Starts a command: router and jobs are expected. `next`: base of the layer to prefetch, and guesses.
    fn start(&mut self, layer: &Layer, jobs: &[u64], next: u64, guesses: &[u64], routes_in: u64) {
        layer.drive(&mut self.pins);
        self.pins.set("next_addr", next);
        self.pins.set("guesses", guesses.len() as u64);
        self.pins.set("go", 1);
        self.pins.set("pf_flush", 1);
        let c = &mut self.control;
        c.jobs = jobs.iter().copied().collect();
        // Routes come from memory or from the router: never at once. By then the tags are those of the command.
        c.routes_in = Some(routes_in + 10);
        c.jobs_in = None;
        c.ordered = false;
        c.known = false;
        c.taken.clear();
        c.guesses.clear();
        (c.hits, c.used, c.aborts) = (0, 0, 0);
        self.demand_beats = 0;
        self.array.biases.clear();
        if layer.router.is_some() {
            let image = layer.image(&self.config, &self.contents, None);
            self.array.expected.extend(image.windows);
            self.array.biases.extend(image.biases);
        }
        self.step();
        self.pins.set("go", 0);
        self.pins.set("pf_flush", 0);
        self.control.guesses = guesses.iter().copied().collect();
    }
    /// Runs the command to its end; the beats its images have.
    fn finish(&mut self, layer: &Layer) -> u64 {
        let mut beats = 0;
        if layer.router.is_some() {
            beats += layer.image(&self.config, &self.contents, None).beats;
        }
        let mut told = 0;
        let mut since = self.pins.cycles();
        loop {
            // Windows are expected in the order in which jobs are taken.
            for &e in &self.control.taken[told..] {
                let image = layer.image(&self.config, &self.contents, Some(e));
                self.array.expected.extend(image.windows);
                beats += image.beats;
                since = self.pins.cycles();
            }
            told = self.control.taken.len();
            if self.control.idle() && self.control.ordered && self.array.done() && !self.busy {
                return beats;
            }
            let taken = self.array.taken;
            self.step();
            if self.array.taken != taken {
                since = self.pins.cycles();
            }
            assert!(
                self.pins.cycles() - since < 400_000,
                "nothing happens: jobs {:?}, taken {:?}, held {:?}",
                self.control.jobs,
                self.control.taken,
                self.array.held.iter().map(|h| h.1).collect::<Vec<_>>()
            );
        }
    }
    /// The opcode Prefetch.
    fn prefetch_only(&mut self, layer: &Layer, next: u64, guesses: &[u64]) {
        layer.drive(&mut self.pins);
        self.pins.set("next_addr", next);
        self.pins.set("guesses", guesses.len() as u64);
        self.pins.set("pf_flush", 1);
        self.control.guesses.clear();
        self.step();
        self.pins.set("pf_flush", 0);
        self.control.guesses = guesses.iter().copied().collect();
    }
    /// A write burst somewhere.
    fn write(&mut self, addr: u64) {
        let page = addr / PAGE;
        *self.contents.borrow_mut().written.entry(page).or_default() += 1;
        self.pins.set("snoop_vld", 1);
        self.pins.set("snoop_addr", addr);
        self.step();
        self.pins.set("snoop_vld", 0);
    }
    fn errors(&mut self) -> (bool, bool) {
        (
            self.pins.get("err_read") == 1,
            self.pins.get("err_image") == 1,
        )
    }
}

/// Outputs just before the clock edge.
#[derive(Default)]
struct Watch {
    beat: bool,
    pf_beat: bool,
    busy: bool,
    wait_slot: bool,
}

impl Stream for Watch {
    fn drive(&mut self, _: &mut Pins) {}
    fn sample(&mut self, pins: &mut Pins) {
        self.beat = pins.get("beat") == 1;
        self.pf_beat = pins.get("pf_beat") == 1;
        self.busy = pins.get("busy") == 1;
        self.wait_slot = pins.get("wait_slot") == 1;
    }
}

fn some_jobs(rng: &mut Rng, layer: &Layer, most: u64) -> Vec<u64> {
    let mut jobs: Vec<u64> = Vec::new();
    for _ in 0..rng.below(most + 1) {
        let e = rng.below(layer.experts as u64);
        if !jobs.contains(&e) {
            jobs.push(e);
        }
    }
    jobs
}

#[test]
fn demand_alone() {
    let seed = 41;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    for (unit, config) in UNITS {
        let (mut visits, mut waits) = (0, 0);
        for round in 0..36 {
            let manners = if round % 4 == 0 {
                Manners::ideal(rng.below(30))
            } else {
                Manners::rough(&mut rng)
            };
            let pace = [0, rng.below(200) as u32, 40][round % 3];
            let mut b = Bench::new(unit, &config, pace, manners, rng.next());
            // Commands on one unit: nothing may be left over.
            for _ in 0..3 {
                let layer = Layer::random(&mut rng, &config);
                layer.tell_headers(&b.contents, &mut rng, 0);
                let jobs = some_jobs(&mut rng, &layer, 4);
                b.start(&layer, &jobs, 0, &[], rng.below(100));
                let beats = b.finish(&layer);
                assert_eq!(b.demand_beats, beats, "beats read");
                assert!(b.prefetched.is_empty() && b.asked.is_empty());
                assert_eq!(b.errors(), (false, false));
                assert_eq!((b.control.hits, b.control.aborts), (0, 0));
            }
            visits += b.array.taken;
            waits += b.waits;
        }
        println!("{unit}: {visits} visits, {waits} cycles without a slot");
        assert!(visits > 300 && waits > 0);
    }
}

/// What becomes of the guesses before the next command.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// The next command is the one that was guessed for.
    Kept,
    /// It has another base.
    Moved,
    /// It is stored in another way.
    Other,
    /// Something is written to the guessed layer.
    Written,
    /// Something is written just outside.
    WrittenBeside,
    /// A command that only prefetches comes in between, with the same base.
    Again,
    /// Likewise for another base, which is then used.
    Elsewhere,
}

const FATES: [Fate; 10] = [
    Fate::Kept,
    Fate::Kept,
    Fate::Kept,
    Fate::Kept,
    Fate::Moved,
    Fate::Other,
    Fate::Written,
    Fate::WrittenBeside,
    Fate::Again,
    Fate::Elsewhere,
];

fn some_guesses(rng: &mut Rng, config: &Config, layer: &Layer) -> Vec<u64> {
    let n = rng.below(config.slots as u64 + 1);
    // The predictor makes no repeats, but the loader bears them.
    (0..n).map(|_| rng.below(layer.experts as u64)).collect()
}

#[test]
fn prefetch_changes_nothing_but_time() {
    let seed = 43;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    for (unit, config) in UNITS {
        let (mut hits, mut aborts, mut used, mut came, mut jobs_in_all) = (0, 0, 0, 0, 0);
        for round in 0..28 {
            let manners = match round % 3 {
                0 => Manners::ideal(rng.below(60)),
                _ => Manners::rough(&mut rng),
            };
            let pace = [0, rng.below(180) as u32, 20][round % 3];
            let mut b = Bench::new(unit, &config, pace, manners, rng.next());
            let mut layer = Layer::random(&mut rng, &config);
            layer.tell_headers(&b.contents, &mut rng, 0);
            let mut guessed: Vec<u64> = Vec::new();
            let mut fate = Fate::Moved;
            for _ in 0..8 {
                let next_fate = FATES[rng.below(10) as usize];
                let mut next = layer.clone();
                next.router = rng.chance(128).then(|| (rng.chance(128), rng.chance(128)));
                next.move_to(&mut rng);
                next.tell_headers(&b.contents, &mut rng, 0);
                let guesses = some_guesses(&mut rng, &config, &next);
                let mut jobs = some_jobs(&mut rng, &layer, 3);
                for g in &guessed {
                    if rng.chance(150) && !jobs.contains(g) && *g < layer.experts as u64 {
                        jobs.push(*g);
                    }
                }
                let routes_in = if rng.chance(128) {
                    rng.below(20)
                } else {
                    rng.below(1500)
                };
                b.start(&layer, &jobs, next.addr, &guesses, routes_in);
                let beats = b.finish(&layer);
                let what = format!("{unit} {fate:?} {layer:?} {jobs:?} of {guessed:?}");
                assert_eq!(b.demand_beats, beats - b.control.used, "{what}");
                assert_eq!(b.errors(), (false, false), "{what}");
                let could = jobs.iter().filter(|j| guessed.contains(j)).count() as u64;
                let counts = matches!(
                    fate,
                    Fate::Kept | Fate::WrittenBeside | Fate::Again | Fate::Elsewhere
                );
                assert!(b.control.hits <= if counts { could } else { 0 }, "{what}");
                hits += b.control.hits;
                used += b.control.used;
                aborts += b.control.aborts;
                b.control.aborts = 0;
                came += b.prefetched.len() as u64;
                jobs_in_all += jobs.len();
                b.check_prefetch();
                // The gap between commands.
                fate = next_fate;
                guessed = guesses;
                let gap = |rng: &mut Rng| match rng.below(3) {
                    0 => rng.below(20),
                    1 => rng.below(400),
                    _ => rng.below(6000),
                };
                for _ in 0..gap(&mut rng) {
                    b.step();
                }
                match fate {
                    Fate::Written => {
                        let at = next.addr + 64 * rng.below((next.end() - next.addr) / 64);
                        b.write(at);
                    }
                    Fate::WrittenBeside => {
                        let page = (next.end() - 1) / PAGE + 1;
                        b.write(if rng.chance(128) {
                            page * PAGE
                        } else {
                            next.addr / PAGE * PAGE - 16
                        });
                    }
                    Fate::Again | Fate::Elsewhere => {
                        if fate == Fate::Elsewhere {
                            next.move_to(&mut rng);
                            next.tell_headers(&b.contents, &mut rng, 0);
                            guessed.clear();
                        }
                        let again = some_guesses(&mut rng, &config, &next);
                        b.prefetch_only(&next, next.addr, &again);
                        guessed.extend(again);
                    }
                    Fate::Moved => next.move_to(&mut rng),
                    Fate::Other => {
                        let addr = next.addr;
                        let router = next.router;
                        while next.sections() == layer.sections() && next.window == layer.window {
                            next = Layer::random(&mut rng, &config);
                        }
                        next.addr = addr;
                        next.router = router;
                    }
                    Fate::Kept => {}
                }
                // `command` reads the next descriptor: the parameters are noise by now.
                let scratch = Layer::random(&mut rng, &config);
                for _ in 0..16 {
                    b.step();
                }
                scratch.drive(&mut b.pins);
                b.pins.set("next_addr", 0x40 * rng.below(1 << 30));
                for _ in 0..gap(&mut rng) {
                    b.step();
                }
                next.tell_headers(&b.contents, &mut rng, 0);
                layer = next;
            }
        }
        println!("{unit}: {hits} hits of {jobs_in_all} jobs, {aborts} aborts, {used} of {came} prefetched beats used");
        assert!(hits > 50 && aborts > 30 && used > 3000 && came > used);
    }
}

/// A small layer with one slot per window, for tests that count.
fn small(experts: usize, router: bool) -> Layer {
    let mut l = Layer {
        storage: Storage::INT8,
        d: 32,
        f: 12,
        gated: true,
        plain: false,
        experts,
        router: router.then_some((false, false)),
        window: 12,
        router_addr: 0x12_0000_0FC0,
        addr: 0x90_0000_0F40,
        stride: 0,
    };
    l.stride = 0x1040;
    l
}

#[test]
fn a_prefetch_ends_anywhere() {
    // A window of three groups of 51 beats: the gap before the next command stops the prefetch before, at and after every one of its
    // beats. Then the guess is right, wrong, or right beside another job.
    for (unit, config) in UNITS {
        let mut parts = std::collections::BTreeSet::new();
        for router in [false, true] {
            for jobs in [&[3u64][..], &[2], &[2, 3], &[3, 2]] {
                for gap in (0..190).step_by(if config == TINY { 1 } else { 4 }) {
                    let mut layer = small(5, false);
                    (layer.d, layer.window, layer.stride) = (96, 36, 0x2000);
                    let mut b = Bench::new(unit, &config, 30, Manners::ideal(gap % 7), gap);
                    b.control.stall = 0;
                    let mut rng = Rng::new(gap);
                    layer.tell_headers(&b.contents, &mut rng, 0);
                    let mut next = layer.clone();
                    next.addr += 0x10_0000;
                    next.router = router.then_some((gap % 2 == 0, false));
                    next.tell_headers(&b.contents, &mut rng, 0);
                    b.start(&layer, &[1], 0, &[], 5);
                    b.finish(&layer);
                    b.prefetch_only(&layer, next.addr, &[3]);
                    for _ in 0..gap {
                        b.step();
                    }
                    layer = next;
                    b.start(&layer, jobs, 0, &[], [2, 90][gap as usize / 3 % 2]);
                    let beats = b.finish(&layer);
                    assert_eq!(b.demand_beats, beats - b.control.used, "gap {gap}");
                    let prefetched = b.prefetched.len() as u64;
                    let window = layer.image(&config, &b.contents, Some(3)).windows[0].beats + 1;
                    assert!(prefetched <= window, "{prefetched} beats of {window}");
                    if jobs.contains(&3) {
                        assert_eq!(
                            b.control.hits,
                            u64::from(prefetched > 0),
                            "{unit} gap {gap} {router} {jobs:?} {prefetched} aborts {} used {}",
                            b.control.aborts,
                            b.control.used
                        );
                        assert_eq!(b.control.used, prefetched, "gap {gap}");
                    } else {
                        assert_eq!(b.control.aborts, u64::from(prefetched > 0), "gap {gap}");
                        assert_eq!(b.control.used, 0);
                    }
                    parts.insert(prefetched);
                    b.check_prefetch();
                }
            }
        }
        println!("{unit}: prefetches of {parts:?} beats");
        assert!(parts.contains(&0) && parts.contains(&154) && parts.len() >= 6);
    }
}

#[test]
fn as_many_slots_as_guesses() {
    for (unit, config) in UNITS {
        for n in 1..=config.slots {
            let layer = small(9, false);
            let mut b = Bench::new(unit, &config, 0, Manners::ideal(20), 3);
            let mut rng = Rng::new(5);
            layer.tell_headers(&b.contents, &mut rng, 0);
            let mut next = layer.clone();
            next.addr += 0x10_0000;
            next.tell_headers(&b.contents, &mut rng, 0);
            let guesses: Vec<u64> = (0..n as u64).map(|i| 8 - i).collect();
            b.start(&layer, &[1], next.addr, &guesses, 5);
            // More guesses than slots allowed, and a repeat: it is passed over.
            b.control.guesses.insert(1, guesses[0]);
            b.control.guesses.extend([0, 1, 2]);
            b.finish(&layer);
            for _ in 0..2000 {
                b.step();
            }
            assert_eq!(b.prefetched.len(), n * (1 + 3 * 17), "{unit}, {n} guesses");
            b.start(&next, &guesses, 0, &[], 5);
            let beats = b.finish(&next);
            assert_eq!((b.control.hits, b.control.aborts), (n as u64, 0));
            assert_eq!(b.control.used, (n * (1 + 3 * 17)) as u64);
            assert_eq!(b.demand_beats, beats - b.control.used);
        }
    }
}

#[test]
fn a_write_beside_a_new_layer_voids_nothing() {
    // In any cycle after the list began, also before the loader knows where the layer ends.
    for (unit, config) in UNITS {
        for after in 0..40 {
            let layer = small(5, false);
            let mut b = Bench::new(unit, &config, 0, Manners::ideal(3), 3);
            b.control.stall = 0;
            let mut rng = Rng::new(5);
            layer.tell_headers(&b.contents, &mut rng, 0);
            let mut next = layer.clone();
            next.addr += 0x10_0000;
            next.tell_headers(&b.contents, &mut rng, 0);
            b.start(&layer, &[1], 0, &[], 5);
            b.finish(&layer);
            b.prefetch_only(&layer, next.addr, &[3]);
            for _ in 0..after {
                b.step();
            }
            b.write(((next.end() - 1) / PAGE + 1) * PAGE);
            for _ in 0..400 {
                b.step();
            }
            assert_eq!(b.prefetched.len(), 1 + 3 * 17, "{unit}, {after} cycles");
        }
    }
}

/// Cycles from `go` until the array has read everything, after a gap of `gap` cycles of prefetch.
fn time_after(unit: &str, config: &Config, latency: u64, guesses: &[u64], gap: u64) -> u64 {
    let mut layer = small(9, false);
    layer.d = 96;
    layer.f = 96;
    layer.window = config.slot_words.min(400);
    layer.stride = 0x2_0000;
    let mut b = Bench::new(unit, config, 0, Manners::ideal(latency), 3);
    let mut rng = Rng::new(5);
    layer.tell_headers(&b.contents, &mut rng, 0);
    let mut next = layer.clone();
    next.addr += 0x100_0000;
    next.tell_headers(&b.contents, &mut rng, 0);
    b.start(&layer, &[1], next.addr, guesses, 5);
    b.finish(&layer);
    for _ in 0..gap {
        b.step();
    }
    let begin = b.pins.cycles();
    b.start(&next, &[4, 7], 0, &[], 5);
    b.finish(&next);
    b.pins.cycles() - begin
}

#[test]
fn a_wrong_guess_delays_by_its_beats_under_way_at_most() {
    for (unit, config) in UNITS {
        for latency in [1, 40, 150] {
            // The bench draws the same random numbers whatever is guessed, but for where jobs fall: ten cycles of them.
            let alone = time_after(unit, &config, latency, &[], 300);
            let mut worst = 0;
            for gap in (0..600).step_by(7) {
                let t = time_after(unit, &config, latency, &[2, 5], gap);
                worst = worst.max(t.saturating_sub(alone));
            }
            println!(
                "{unit}, latency {latency}: {alone} cycles, with wrong guesses up to {worst} more"
            );
            assert!(worst <= 4096 / 16 + latency, "{worst} cycles");
        }
    }
}

#[test]
fn errors_are_told_and_stop_nothing() {
    for (unit, config) in UNITS {
        let mut layer = small(9, false);
        let mut b = Bench::new(unit, &config, 0, Manners::ideal(5), 7);
        let mut rng = Rng::new(5);
        layer.tell_headers(&b.contents, &mut rng, 0);
        let bad = layer.image_addr(Some(7));
        b.contents.borrow_mut().headers.insert(bad, 0x454D);
        b.start(&layer, &[2, 7, 3], 0, &[], 5);
        b.finish(&layer);
        assert_eq!(b.errors(), (false, true));
        // The next command forgets it.
        b.start(&layer, &[2], 0, &[], 5);
        b.finish(&layer);
        assert_eq!(b.errors(), (false, false));
        // Read errors.
        let mut rough = Manners::ideal(5);
        rough.errors = 3000;
        b.memory.set_manners(rough);
        layer.router = Some((true, true));
        layer.tell_headers(&b.contents, &mut rng, 0);
        b.contents.borrow_mut().headers.insert(bad, 0x454D);
        b.start(&layer, &[1, 3], 0, &[], 5);
        b.finish(&layer);
        assert!(b.memory.errors > 0);
        assert_eq!(b.errors(), (true, false));
        b.memory.set_manners(Manners::ideal(5));
        layer.router = None;

        // An error in a prefetch shows only when the prefetch is used.
        for used in [false, true] {
            for read in [false, true] {
                let mut next = layer.clone();
                next.addr += 0x10_0000;
                next.tell_headers(&b.contents, &mut rng, 0);
                if !read {
                    let bad = next.image_addr(Some(7));
                    b.contents.borrow_mut().headers.insert(bad, 0x454D);
                }
                b.start(&layer, &[2], next.addr, &[7], 5);
                b.finish(&layer);
                let mut rough = Manners::ideal(5);
                rough.errors = if read { 20_000 } else { 0 };
                b.memory.set_manners(rough);
                for _ in 0..300 {
                    b.step();
                }
                b.memory.set_manners(Manners::ideal(5));
                assert_eq!(b.errors(), (false, false));
                b.start(&next, &[if used { 7 } else { 6 }], 0, &[], 5);
                b.finish(&next);
                assert_eq!(b.control.hits, u64::from(used));
                assert_eq!(b.errors(), (used && read, used && !read));
                b.start(&layer, &[2], 0, &[], 5);
                b.finish(&layer);
                assert_eq!(b.errors(), (false, false));
            }
        }
    }
}

#[test]
fn the_bus_stays_full_over_windows_sections_and_experts() {
    // The array keeps up and slots are free in time.
    for (unit, config, latency, d, f) in [
        ("loader_tiny", TINY, 5, 128, 160),
        ("loader", SIM, 5, 256, 160),
        ("loader", SIM, 40, 256, 384),
        ("loader", SIM, 200, 512, 384),
    ] {
        for code in [0, 8, 12, 1 | 32, 2 | 4] {
            let mut layer = small(9, false);
            layer.storage = Storage::from_code(code).expect("a storage");
            (layer.d, layer.f) = (d, f);
            layer.window = config.slot_words / 2;
            layer.stride = 0x20_0040;
            let mut b = Bench::new(unit, &config, 0, Manners::ideal(latency), 6);
            layer.tell_headers(&b.contents, &mut Rng::new(1), 0);
            b.start(&layer, &[5, 3, 8, 0, 1, 7], 0, &[], 0);
            let beats = b.finish(&layer);
            assert_eq!(b.memory.beats, beats);
            println!(
                "{unit}: latency {latency}, storage {code}: {:.4} beats per cycle over {beats}, gaps {:?}",
                b.memory.utilisation(),
                b.memory.gaps
            );
            assert_eq!(b.memory.gaps, []);
        }
    }
}

#[test]
fn slots_are_loaded_ahead_and_no_more() {
    for (unit, config) in UNITS {
        let layer = small(9, false);
        let mut b = Bench::new(unit, &config, 0, Manners::ideal(5), 8);
        layer.tell_headers(&b.contents, &mut Rng::new(1), 0);
        // The array takes nothing.
        b.array.pace = 256;
        b.start(&layer, &[1, 2, 3, 4], 0, &[], 5);
        for e in [1, 2, 3, 4] {
            let image = layer.image(&config, &b.contents, Some(e));
            b.array.expected.extend(image.windows);
        }
        for _ in 0..2000 {
            b.step();
        }
        // Each image has a window of three groups, and one of the four groups of down.
        let image = layer.image(&config, &b.contents, Some(1));
        let windows: Vec<u64> = image.windows.iter().map(|w| w.beats).collect();
        assert_eq!(windows, [3 * 17, 3 * 17, 17]);
        let full = |n: usize| {
            (0..n)
                .map(|i| windows[i % 3] + u64::from(i % 3 == 0))
                .sum::<u64>()
        };
        assert_eq!(b.memory.beats, full(config.slots));
        assert!(b.busy && b.waits > 1000);
        // A visit taken changes nothing; a slot read lets exactly one more come.
        b.array.pace = 0;
        while b.array.taken == 0 {
            b.step();
        }
        b.array.pace = 256;
        for _ in 0..300 {
            b.step();
        }
        let freed = b.array.taken - b.array.held.len();
        assert_eq!(b.memory.beats, full(config.slots + freed));
    }
}
