//! The read master against a memory of noise: every alignment, any length, grants that trickle in, stalls, errors.

use sim_tb::pins::{cycle, Pins, Stream, StreamOut};
use sim_tb::rng::Rng;
use unit_tests::axi::{noise, Manners, ReadMemory};

const LIMITS: (u64, u64) = (64, 1024);

/// Gives grants, and follows what the unit may know.
struct Grants {
    start: Option<u64>,
    chunks: Vec<u64>,
    stall: u32,
    rng: Rng,
    granted: u64,
    quiet: bool,
    idle: bool,
    issued: bool,
    err: bool,
}

impl Grants {
    fn new(seed: u64) -> Grants {
        Grants {
            start: None,
            chunks: Vec::new(),
            stall: 0,
            rng: Rng::new(seed),
            granted: 0,
            quiet: true,
            idle: false,
            issued: false,
            err: false,
        }
    }
    /// A job of `beats` from `addr`, granted in pieces of at most `piece`.
    fn job(&mut self, addr: u64, beats: u64, piece: u64, stall: u32) {
        self.start = Some(addr);
        self.stall = stall;
        let mut left = beats;
        while left > 0 {
            let n = left.min(1 + self.rng.below(piece));
            self.chunks.insert(0, n);
            left -= n;
        }
    }
    fn done(&self) -> bool {
        self.start.is_none() && self.chunks.is_empty()
    }
}

impl Stream for Grants {
    fn drive(&mut self, pins: &mut Pins) {
        pins.set("start", self.start.is_some().into());
        pins.set("addr", self.start.take().unwrap_or(0x12_3456_7890));
        let chunk = if self.rng.chance(self.stall) {
            None
        } else {
            self.chunks.pop()
        };
        self.granted += chunk.unwrap_or(0);
        self.quiet = chunk.is_none();
        pins.set("grant_vld", chunk.is_some().into());
        pins.set("grant_beats", chunk.unwrap_or(999));
    }
    fn sample(&mut self, pins: &mut Pins) {
        // A grant shows from the next cycle on.
        self.idle = self.quiet && pins.get("idle") == 1;
        self.issued = self.quiet && pins.get("issued") == 1;
        self.err = pins.get("err") == 1;
    }
}

struct Bench {
    pins: Pins,
    grants: Grants,
    memory: ReadMemory,
    out: StreamOut,
}

impl Bench {
    fn new(manners: Manners, stall: u32, seed: u64) -> Bench {
        let mut pins = Pins::new("axi_reader").unwrap();
        pins.reset("rst", 2);
        Bench {
            pins,
            grants: Grants::new(seed),
            memory: ReadMemory::new("", LIMITS, manners, seed + 1, Box::new(noise)),
            out: StreamOut::new("out", &["data"], seed + 2, stall),
        }
    }
    fn step(&mut self) {
        cycle(
            &mut self.pins,
            &mut [&mut self.grants, &mut self.memory, &mut self.out],
        );
        let asked: u64 = self.memory.bursts.iter().map(|b| b.beats).sum();
        assert!(
            asked <= self.grants.granted,
            "{asked} beats asked for, {} granted",
            self.grants.granted
        );
        assert!(self.memory.outstanding <= 16, "more than 16 bursts");
    }
    /// Runs until everything granted has come out and the unit knows it.
    fn finish(&mut self) {
        self.step();
        self.step();
        while !(self.grants.done() && self.grants.idle) {
            self.step();
        }
        assert_eq!(self.out.len() as u64, self.grants.granted, "beats at idle");
        assert_eq!(self.memory.outstanding, 0);
    }
    /// The beats since `from` are those at `addr`.
    fn check(&self, from: usize, addr: u64, beats: u64) {
        for i in 0..beats {
            assert_eq!(
                self.out.items[from + i as usize][0],
                noise(addr + 16 * i),
                "beat {i} from {addr:#x}"
            );
        }
    }
}

#[test]
fn every_alignment_and_many_lengths() {
    let seed = 31;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    for offset in 0..64 {
        for round in 0..6 {
            let manners = if round == 0 {
                Manners::ideal(3)
            } else {
                Manners::rough(&mut rng)
            };
            let stall = if round == 0 { 0 } else { rng.below(200) as u32 };
            let mut b = Bench::new(manners, stall, rng.next());
            // Two jobs, one after the other, the second elsewhere.
            let mut from = 0;
            for job in 0..2 {
                let beats = match (round, job) {
                    (1, _) => 1 + rng.below(3),
                    _ => 1 + rng.below(400),
                };
                let addr = (rng.below(1 << 30) << 10) + 16 * ((offset + 13 * job) % 64);
                let piece = [400, 1, 5, 64, 100, 400][round];
                let wait = if round == 0 { 0 } else { rng.below(250) as u32 };
                b.grants.job(addr, beats, piece, wait);
                b.finish();
                b.check(from, addr, beats);
                from += beats as usize;
                assert!(!b.grants.err);
            }
        }
    }
}

#[test]
fn the_bus_is_full_when_nothing_stalls() {
    for (offset, latency) in [(0, 1), (0, 100), (17, 30), (63, 300), (1, 380)] {
        let mut b = Bench::new(Manners::ideal(latency), 0, 7);
        let beats = 20_000;
        b.grants.job(0x40_0000 + 16 * offset, beats, 2000, 0);
        b.finish();
        b.check(0, 0x40_0000 + 16 * offset, beats);
        println!(
            "offset {offset}, latency {latency}: {:.4} beats per cycle, first address after {} cycles",
            b.memory.utilisation(),
            b.memory.bursts[0].cycle - 2
        );
        // A burst of a single beat, at the end of a page, is over before the next one is sized: one burst per four cycles.
        let gaps = if offset == 63 { vec![(1, 3)] } else { vec![] };
        assert_eq!(b.memory.gaps, gaps);
    }
}

#[test]
fn the_next_job_follows_without_a_gap() {
    // A start as soon as everything is asked for, although most of it has not come.
    let mut b = Bench::new(Manners::ideal(60), 0, 8);
    let jobs: Vec<(u64, u64)> = (0..20)
        .map(|i| (0x10_0000 * (20 - i) + 16 * ((i * 11) % 64), 100 + 37 * i))
        .collect();
    let mut next = 0;
    while next < jobs.len() || !b.grants.done() || !b.grants.idle {
        if next < jobs.len() && b.grants.done() && (next == 0 || b.grants.issued) {
            b.grants.job(jobs[next].0, jobs[next].1, 5000, 0);
            next += 1;
            b.step();
        }
        b.step();
    }
    let mut from = 0;
    for (addr, beats) in &jobs {
        b.check(from, *addr, *beats);
        from += *beats as usize;
    }
    assert_eq!(b.out.len(), from);
    println!("{:.4} beats per cycle over jobs", b.memory.utilisation());
    assert_eq!(b.memory.utilisation(), 1.0);
}

#[test]
fn errors_are_kept_until_the_next_start() {
    let seed = 33;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let (mut with, mut without) = (0, 0);
    for _ in 0..40 {
        let mut manners = Manners::rough(&mut rng);
        manners.errors = 400;
        let mut b = Bench::new(manners, rng.below(100) as u32, rng.next());
        for job in 0..4 {
            let from = b.out.len();
            b.memory.clear_counts();
            b.grants.granted = from as u64;
            let (addr, beats) = (0x1000 * (job + 1), 1 + rng.below(200));
            b.grants.job(addr, beats, 100, 50);
            // Errors do not stop or change the beats.
            b.finish();
            b.check(from, addr, beats);
            assert_eq!(b.grants.err, b.memory.errors > 0);
            if b.memory.errors > 0 {
                with += 1;
            } else {
                without += 1;
            }
        }
    }
    println!("{with} jobs with errors, {without} without");
    assert!(with > 20 && without > 20);
}
