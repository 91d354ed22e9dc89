//! Memory behind an AXI4 channel of a single unit, with random stalls and latencies, and the protocol's rules checked.
//!
//! The whole board's bus models live in `sim-tb/shim`; these are the small ones for the benches of units.

use sim_tb::pins::{Pins, Stream};
use sim_tb::rng::Rng;
use std::collections::{HashMap, VecDeque};

/// One beat: four 32-bit words, lowest first.
pub type Beat = [u32; 4];

/// The beat that a memory of noise holds at byte address `addr` (a multiple of 16).
pub fn noise(addr: u64) -> Beat {
    let mut r = Rng::new(addr);
    let (a, b) = (r.next(), r.next());
    [a as u32, (a >> 32) as u32, b as u32, (b >> 32) as u32]
}

/// The payload of an unanswered offer, to see that it does not change.
#[derive(Default)]
struct Held(Option<Vec<Vec<u32>>>);

impl Held {
    /// Checks the rules of a channel that the unit drives; the payload when a beat moves in this cycle.
    fn watch(
        &mut self,
        pins: &mut Pins,
        name: &str,
        fields: &[&str],
        ready: bool,
    ) -> Option<Vec<Vec<u32>>> {
        let at = format!("{name}, cycle {}", pins.cycles());
        let valid = pins.get(&format!("{name}_vld")) == 1;
        let now: Vec<Vec<u32>> = fields
            .iter()
            .map(|f| pins.get_wide(&format!("{name}_{f}")))
            .collect();
        if let Some(before) = self.0.take() {
            assert!(valid, "{at}: valid fell before ready");
            assert_eq!(before, now, "{at}: {fields:?} changed before ready");
        }
        match (valid, ready) {
            (true, true) => Some(now),
            (true, false) => {
                self.0 = Some(now);
                None
            }
            _ => None,
        }
    }
}

fn number(words: &[u32]) -> u64 {
    words.iter().rev().fold(0, |n, w| n << 32 | u64::from(*w))
}

/// How unpleasant a memory is.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Cycles of 256 in which ready is low (and a write answer is not started).
    pub stall: u32,
    /// Cycles of 256 in which no new beat is offered.
    pub gap: u32,
    /// Least cycles from address to first data.
    pub latency: u64,
    /// Up to this many cycles more, at random.
    pub jitter: u64,
    /// Beats or bursts of 65536 that come with an error response.
    pub errors: u64,
}

impl Manners {
    /// Always ready, one beat per cycle, `latency` cycles after the address.
    pub fn ideal(latency: u64) -> Manners {
        Manners {
            stall: 0,
            gap: 0,
            latency,
            jitter: 0,
            errors: 0,
        }
    }
    /// Random stalls everywhere.
    pub fn rough(rng: &mut Rng) -> Manners {
        Manners {
            stall: rng.below(200) as u32,
            gap: rng.below(200) as u32,
            latency: rng.below(40),
            jitter: rng.below(40),
            errors: 0,
        }
    }
}

/// An accepted address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Byte address.
    pub addr: u64,
    /// Beats.
    pub beats: u64,
    /// ID, 0 where the channel has none.
    pub id: u64,
    /// Cycle in which the address was taken.
    pub cycle: u64,
}

struct Pending {
    addr: u64,
    left: u64,
    due: u64,
}

/// A read-only memory: `PREFIXar_*` and `PREFIXr_*`. Bursts of one ID are answered in order, IDs are interleaved beat by beat.
pub struct ReadMemory {
    prefix: String,
    has_id: bool,
    content: Box<dyn Fn(u64) -> Beat>,
    manners: Manners,
    /// Largest burst that is allowed, and the boundary that none may cross (bytes).
    limits: (u64, u64),
    rng: Rng,
    ar_ready: bool,
    ar_held: Held,
    queues: HashMap<u64, VecDeque<Pending>>,
    offer: Option<(u64, u32, bool, Beat)>,
    /// Every address taken.
    pub bursts: Vec<Burst>,
    /// Bursts whose last beat has not been taken.
    pub outstanding: usize,
    /// Beats taken.
    pub beats: u64,
    /// Beats that came with an error, taken.
    pub errors: u64,
    /// Cycle of the first and of the last beat taken.
    pub span: Option<(u64, u64)>,
    /// Cycles without a beat between the first and the last one: beats before the gap, and its length.
    pub gaps: Vec<(u64, u64)>,
    /// Times that the ID changed inside a burst.
    pub interleaved: usize,
    last_id: Option<u64>,
}

impl ReadMemory {
    /// `limits`: most beats per burst, and the boundary in bytes that no burst may cross.
    pub fn new(
        prefix: &str,
        limits: (u64, u64),
        manners: Manners,
        seed: u64,
        content: Box<dyn Fn(u64) -> Beat>,
    ) -> ReadMemory {
        ReadMemory {
            prefix: prefix.into(),
            has_id: false,
            content,
            manners,
            limits,
            rng: Rng::new(seed),
            ar_ready: false,
            ar_held: Held::default(),
            queues: HashMap::new(),
            offer: None,
            bursts: Vec::new(),
            outstanding: 0,
            beats: 0,
            errors: 0,
            span: None,
            gaps: Vec::new(),
            interleaved: 0,
            last_id: None,
        }
    }
    /// With `ar_id` and `r_id`.
    pub fn with_ids(mut self) -> ReadMemory {
        self.has_id = true;
        self
    }
    /// From now on.
    pub fn set_manners(&mut self, manners: Manners) {
        self.manners = manners;
    }
    /// Forgets what was counted, not what is under way.
    pub fn clear_counts(&mut self) {
        self.bursts.clear();
        self.beats = 0;
        self.errors = 0;
        self.span = None;
        self.gaps.clear();
    }
    /// Beats per cycle between the first and the last beat.
    pub fn utilisation(&self) -> f64 {
        self.span
            .map_or(0.0, |(a, b)| self.beats as f64 / (b - a + 1) as f64)
    }
}

impl Stream for ReadMemory {
    fn drive(&mut self, pins: &mut Pins) {
        let p = self.prefix.clone();
        let now = pins.cycles();
        self.ar_ready = !self.rng.chance(self.manners.stall);
        pins.set(&format!("{p}ar_rdy"), self.ar_ready.into());
        if self.offer.is_none() && !self.rng.chance(self.manners.gap) {
            let mut ids: Vec<u64> = self
                .queues
                .iter()
                .filter(|(_, q)| q.front().is_some_and(|b| b.due <= now))
                .map(|(id, _)| *id)
                .collect();
            ids.sort_unstable();
            if !ids.is_empty() {
                let id = ids[self.rng.below(ids.len() as u64) as usize];
                let b = &self.queues[&id][0];
                let bad = self.rng.below(65536) < self.manners.errors;
                let resp = if bad { 2 + self.rng.below(2) as u32 } else { 0 };
                self.offer = Some((id, resp, b.left == 1, (self.content)(b.addr)));
            }
        }
        pins.set(&format!("{p}r_vld"), self.offer.is_some().into());
        let (id, resp, last, data) = self.offer.unwrap_or_else(|| {
            // Noise, so that a unit which looks without valid is found out.
            let n = self.rng.next();
            (n >> 8 & 63, n as u32 & 3, n & 4 != 0, noise(n))
        });
        if self.has_id {
            pins.set(&format!("{p}r_id"), id);
        }
        pins.set(&format!("{p}r_resp"), resp.into());
        pins.set(&format!("{p}r_last"), last.into());
        pins.set_wide(&format!("{p}r_data"), &data);
    }

    fn sample(&mut self, pins: &mut Pins) {
        let p = self.prefix.clone();
        let now = pins.cycles();
        let fields: &[&str] = if self.has_id {
            &["addr", "len", "id", "size", "burst"]
        } else {
            &["addr", "len"]
        };
        if let Some(a) = self
            .ar_held
            .watch(pins, &format!("{p}ar"), fields, self.ar_ready)
        {
            let (addr, beats) = (number(&a[0]), number(&a[1]) + 1);
            let id = if self.has_id { number(&a[2]) } else { 0 };
            assert!(addr % 16 == 0, "{p}ar: address {addr:#x} within a beat");
            assert!(
                beats <= self.limits.0,
                "{p}ar: a burst of {beats} beats at {addr:#x}"
            );
            assert_eq!(
                addr / self.limits.1,
                (addr + 16 * beats - 1) / self.limits.1,
                "{p}ar: {beats} beats at {addr:#x} cross a boundary of {} bytes",
                self.limits.1
            );
            if self.has_id {
                assert_eq!((number(&a[3]), number(&a[4])), (4, 1), "{p}ar: size, burst");
            }
            let due = now + 1 + self.manners.latency + self.rng.below(self.manners.jitter + 1);
            self.bursts.push(Burst {
                addr,
                beats,
                id,
                cycle: now,
            });
            self.outstanding += 1;
            self.queues.entry(id).or_default().push_back(Pending {
                addr,
                left: beats,
                due,
            });
        }
        if let Some((id, resp, last, _)) = self.offer {
            if pins.get(&format!("{p}r_rdy")) == 1 {
                self.offer = None;
                if let Some((_, last)) = self.span.filter(|s| s.1 + 1 < now) {
                    self.gaps.push((self.beats, now - last - 1));
                }
                self.beats += 1;
                self.errors += u64::from(resp != 0);
                self.span = Some((self.span.map_or(now, |s| s.0), now));
                if self.last_id.is_some_and(|l| l != id) {
                    self.interleaved += 1;
                }
                self.last_id = (!last).then_some(id);
                let q = self.queues.get_mut(&id).expect("an offered burst");
                q[0].addr += 16;
                q[0].left -= 1;
                if last {
                    q.pop_front();
                    self.outstanding -= 1;
                }
            }
        }
    }
}

/// When a memory is ready for addresses and for data; both extremes are legal AXI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Ready for either at any time.
    Any,
    /// Takes data only after its address.
    AddressFirst,
    /// Takes an address only when its data is on offer.
    DataFirst,
}

/// A write-only memory: `PREFIXaw_*`, `PREFIXw_*`, `PREFIXb_*`. Answers of different IDs come in any order.
pub struct WriteMemory {
    prefix: String,
    has_id: bool,
    manners: Manners,
    order: Order,
    limits: (u64, u64),
    rng: Rng,
    ready: (bool, bool),
    saw_data: bool,
    held: (Held, Held),
    addresses: VecDeque<(u64, u64, u64)>,
    data: VecDeque<(Beat, u64, bool)>,
    answers: Vec<(u64, u64, u32)>,
    offer: Option<(u64, u32)>,
    /// What was written, by beat address: data and byte enables.
    pub written: HashMap<u64, (Beat, u64)>,
    /// Every address taken.
    pub bursts: Vec<Burst>,
    /// Bursts not yet answered.
    pub outstanding: usize,
    /// Error answers given.
    pub errors: u64,
    /// Data beats taken.
    pub beats: u64,
    /// Cycle of the first and of the last data beat.
    pub span: Option<(u64, u64)>,
}

impl WriteMemory {
    /// `limits` as for [`ReadMemory::new`].
    pub fn new(
        prefix: &str,
        limits: (u64, u64),
        manners: Manners,
        order: Order,
        seed: u64,
    ) -> WriteMemory {
        WriteMemory {
            prefix: prefix.into(),
            has_id: false,
            manners,
            order,
            limits,
            rng: Rng::new(seed),
            ready: (false, false),
            saw_data: false,
            held: Default::default(),
            addresses: VecDeque::new(),
            data: VecDeque::new(),
            answers: Vec::new(),
            offer: None,
            written: HashMap::new(),
            bursts: Vec::new(),
            outstanding: 0,
            errors: 0,
            beats: 0,
            span: None,
        }
    }
    /// With `aw_id`, `b_id` and `w_strb`.
    pub fn with_ids(mut self) -> WriteMemory {
        self.has_id = true;
        self
    }
    /// Beats per cycle between the first and the last beat.
    pub fn utilisation(&self) -> f64 {
        self.span
            .map_or(0.0, |(a, b)| self.beats as f64 / (b - a + 1) as f64)
    }

    /// Puts data where its address says, burst by burst.
    fn settle(&mut self, now: u64) {
        while let Some((id, addr, beats)) = self.addresses.front().copied() {
            let have = self.data.len().min(beats as usize);
            for (i, (_, _, last)) in self.data.iter().take(have).enumerate() {
                assert_eq!(
                    *last,
                    i as u64 + 1 == beats,
                    "{}w: last of beat {i} of {beats}",
                    self.prefix
                );
            }
            if (have as u64) < beats {
                return;
            }
            for i in 0..beats {
                let (data, strb, _) = self.data.pop_front().expect("counted above");
                let old = self.written.insert(addr + 16 * i, (data, strb));
                assert!(
                    old.is_none(),
                    "{}w: {:#x} written twice",
                    self.prefix,
                    addr + 16 * i
                );
            }
            self.addresses.pop_front();
            let bad = self.rng.below(65536) < self.manners.errors;
            self.errors += u64::from(bad);
            let due = now + 1 + self.manners.latency + self.rng.below(self.manners.jitter + 1);
            self.answers.push((id, due, if bad { 2 } else { 0 }));
        }
    }
}

impl Stream for WriteMemory {
    fn drive(&mut self, pins: &mut Pins) {
        let p = self.prefix.clone();
        let now = pins.cycles();
        let stall = self.manners.stall;
        self.ready = (!self.rng.chance(stall), !self.rng.chance(stall));
        match self.order {
            Order::Any => {}
            Order::AddressFirst => self.ready.1 &= !self.addresses.is_empty(),
            Order::DataFirst => self.ready.0 &= self.saw_data || !self.data.is_empty(),
        }
        pins.set(&format!("{p}aw_rdy"), self.ready.0.into());
        pins.set(&format!("{p}w_rdy"), self.ready.1.into());
        if self.offer.is_none() && !self.rng.chance(self.manners.gap) {
            // The first due answer of a random ID: in order per ID.
            let mut first: HashMap<u64, usize> = HashMap::new();
            for (i, (id, _, _)) in self.answers.iter().enumerate() {
                first.entry(*id).or_insert(i);
            }
            let mut due: Vec<usize> = first
                .into_values()
                .filter(|i| self.answers[*i].1 <= now)
                .collect();
            due.sort_unstable();
            if !due.is_empty() {
                let (id, _, resp) = self
                    .answers
                    .remove(due[self.rng.below(due.len() as u64) as usize]);
                self.offer = Some((id, resp));
            }
        }
        pins.set(&format!("{p}b_vld"), self.offer.is_some().into());
        let n = self.rng.next();
        let (id, resp) = self.offer.unwrap_or((n & 63, (n >> 8) as u32 & 3));
        if self.has_id {
            pins.set(&format!("{p}b_id"), id);
        }
        pins.set(&format!("{p}b_resp"), resp.into());
    }

    fn sample(&mut self, pins: &mut Pins) {
        let p = self.prefix.clone();
        let now = pins.cycles();
        let fields: &[&str] = if self.has_id {
            &["addr", "len", "id", "size", "burst"]
        } else {
            &["addr", "len"]
        };
        if let Some(a) = self
            .held
            .0
            .watch(pins, &format!("{p}aw"), fields, self.ready.0)
        {
            let (addr, beats) = (number(&a[0]), number(&a[1]) + 1);
            let id = if self.has_id { number(&a[2]) } else { 0 };
            assert!(addr % 16 == 0, "{p}aw: address {addr:#x} within a beat");
            assert!(
                beats <= self.limits.0,
                "{p}aw: a burst of {beats} beats at {addr:#x}"
            );
            assert_eq!(
                addr / self.limits.1,
                (addr + 16 * beats - 1) / self.limits.1,
                "{p}aw: {beats} beats at {addr:#x} cross a boundary of {} bytes",
                self.limits.1
            );
            if self.has_id {
                assert_eq!((number(&a[3]), number(&a[4])), (4, 1), "{p}aw: size, burst");
            }
            self.bursts.push(Burst {
                addr,
                beats,
                id,
                cycle: now,
            });
            self.outstanding += 1;
            self.addresses.push_back((id, addr, beats));
        }
        self.saw_data = pins.get(&format!("{p}w_vld")) == 1;
        let fields: &[&str] = if self.has_id {
            &["data", "last", "strb"]
        } else {
            &["data", "last"]
        };
        if let Some(w) = self
            .held
            .1
            .watch(pins, &format!("{p}w"), fields, self.ready.1)
        {
            let strb = if self.has_id { number(&w[2]) } else { 0xFFFF };
            let data: Beat = w[0].clone().try_into().expect("128 bits");
            self.data.push_back((data, strb, w[1][0] == 1));
            self.beats += 1;
            self.span = Some((self.span.map_or(now, |s| s.0), now));
        }
        self.settle(now);
        if self.offer.is_some() && pins.get(&format!("{p}b_rdy")) == 1 {
            self.offer = None;
            self.outstanding -= 1;
        }
    }
}
