//! Jobs: a doorbell, and the card reads commands and x, rings the engine, and writes output and word. Beside lists on both channels.

use abi::dma::job::{
    AREA, FAILED, MOST_X, OUTPUT_ERROR, OVERRUN, PLACE, READ_ERROR, SLOT, SLOTS, TWO, WORD_FAILED,
    WRITE_ERROR, X as X_IN_SLOT,
};
use abi::dma::JOB_BLOCK;
use sim_tb::rng::Rng;
use std::collections::VecDeque;
use unit_tests::dma::{rounds, Bench, Descriptor, Direction, Event, Manners};

const UNITS: [&str; 2] = ["pcie_dma", "pcie_dma_128"];

const INPUT: u64 = 0x12_3454_0000;
const OUTPUT: u64 = 0x8000_0000;
const COUNT: u64 = 0x77_0000_0F40;
const RING: u64 = 0x4_0000;
const X: u64 = 0x80_0000_0000 - AREA;
const Y: u64 = 0x10_0000;
/// Of the lists beside the jobs.
const HOST: u64 = 0x55_0000_0000;
const CARD: u64 = 0x70_0000;
const LIST: u64 = 0x66_0000_0000;

/// A job as the test sees it.
#[derive(Clone, Debug)]
struct Job {
    slot: u64,
    tail: u16,
    two: bool,
    place: u64,
    x: u64,
    out: u64,
}

impl Job {
    fn commands(&self) -> usize {
        128 << usize::from(self.two)
    }
    fn doorbell(&self) -> u32 {
        u32::from(self.tail) | (u32::from(self.two) * TWO) | ((self.place as u32) << PLACE)
    }
    fn input(&self) -> u64 {
        INPUT + SLOT * self.slot
    }
    fn output(&self) -> u64 {
        OUTPUT + SLOT * self.slot
    }
}

fn at(name: &str) -> u32 {
    JOB_BLOCK.at(0, name)
}

fn set_up(b: &mut Bench) {
    for (name, address) in [("INPUT", INPUT), ("OUTPUT", OUTPUT), ("COUNT", COUNT)] {
        b.write(at(&format!("{name}_LO")), address as u32);
        b.write(at(&format!("{name}_HI")), (address >> 32) as u32);
    }
    for (name, address) in [("RING", RING), ("X", X), ("Y", Y)] {
        b.write(at(name), (address >> 8) as u32);
    }
    b.card.targets.insert(RING, RING + (128 << 8));
    b.card.targets.insert(X, X + AREA);
    b.host.targets.insert(OUTPUT, OUTPUT + AREA);
    b.host.targets.insert(COUNT, COUNT + 4);
    b.host.poke(COUNT, &[0x6E; 4]);
}

fn bench(unit: &str, seed: u64) -> Bench {
    println!("{unit}, seed {seed}");
    let mut rng = Rng::new(seed);
    let mut b = Bench::new(unit, seed, Manners::rough(&mut rng));
    b.mps = rng.below(2) as u32;
    b.mrrs = rng.below(6) as u32;
    set_up(&mut b);
    b
}

/// New bytes in the job's slot, and the doorbell.
fn begin(b: &mut Bench, rng: &mut Rng, job: &Job) {
    let mut noise = |n: usize| -> Vec<u8> { (0..n).map(|_| rng.next() as u8).collect() };
    let commands = noise(job.commands());
    b.host.poke(job.input(), &commands);
    let x = noise(job.x as usize);
    b.host.poke(job.input() + X_IN_SLOT, &x);
    b.write(at("INPUT_BYTES"), job.x as u32);
    b.write(at("OUTPUT_BYTES"), job.out as u32);
    b.write(at("DOORBELL"), job.doorbell());
}

/// What the engine is rung for has arrived.
fn arrived(b: &mut Bench, job: &Job) {
    let n = job.commands();
    let (want, got) = (
        b.host.peek(job.input(), n),
        b.card.peek(RING + 128 * job.place, n),
    );
    assert!(want == got, "commands of {job:?}");
    let n = job.x as usize;
    let (want, got) = (
        b.host.peek(job.input() + X_IN_SLOT, n),
        b.card.peek(X + SLOT * job.slot, n),
    );
    assert!(want == got, "x of {job:?}");
}

fn word(b: &mut Bench) -> u32 {
    u32::from_le_bytes(b.host.peek(COUNT, 4).try_into().unwrap())
}

/// The job's word has been written, with everything before it.
fn ended(b: &mut Bench, job: &Job) -> bool {
    let Some((_, last)) = b.seen.iter().rev().find(|s| s.1 == Event::Write(COUNT, 4)) else {
        return false;
    };
    assert_eq!(*last, Event::Write(COUNT, 4));
    b.seen.clear();
    assert_eq!(word(b), u32::from(job.tail), "{job:?}");
    let n = job.out as usize;
    let (want, got) = (
        b.card.peek(Y + SLOT * job.slot, n),
        b.host.peek(job.output(), n),
    );
    assert!(want == got, "output of {job:?}");
    true
}

fn length(rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0 => 1 + rng.below(8),
        1 => 4096 - rng.below(9),
        2 => 0,
        3 => 8192 + rng.below(2000),
        _ => 1 + rng.below(2500),
    }
}

/// Makes the jobs of a run: slots in turn, tails that rise by one or two and wrap.
struct Jobs {
    n: u64,
    tail: u16,
    place: u64,
}

impl Jobs {
    fn next(&mut self, rng: &mut Rng) -> Job {
        let two = rng.chance(128);
        // Sometimes a command that is no job's lies between.
        self.tail = (self.tail)
            .wrapping_add(1 + u16::from(two))
            .wrapping_add(u16::from(rng.chance(32)));
        let job = Job {
            slot: self.n % u64::from(SLOTS),
            tail: self.tail,
            two,
            place: self.place % 255,
            x: length(rng),
            out: length(rng),
        };
        self.n += 1;
        self.place = job.place + 2;
        job
    }
}

/// Random jobs, several at a time, and lists on both channels meanwhile; the engine is slow or quick, and done with several at once.
fn random(unit: &str, seed: u64, total: u64) {
    let mut b = bench(unit, seed);
    let mut rng = Rng::new(seed ^ 0x4A4F_4253);
    let mut jobs = Jobs {
        n: 0,
        tail: rng.next() as u16,
        place: rng.below(255),
    };
    b.done_count = jobs.tail;
    let slow = rng.below(2) * 3000;
    let (mut in_flight, mut rung) = (VecDeque::<Job>::new(), 0);
    let mut due = 0;
    let mut lists: [Option<Descriptor>; 2] = [None; 2];
    let mut listed = 0;
    let mut finished = 0;
    b.write(0x2014, 0);
    let started = b.pins.cycles();
    while finished < total || lists.iter().any(Option::is_some) {
        let now = b.pins.cycles();
        assert!(
            now < started + total * 200_000,
            "{finished} of {total} jobs: {in_flight:?}"
        );
        if jobs.n < total && in_flight.len() < SLOTS as usize && rng.chance(8) {
            let job = jobs.next(&mut rng);
            begin(&mut b, &mut rng, &job);
            in_flight.push_back(job);
        }
        for (i, direction) in [Direction::H2c, Direction::C2h].into_iter().enumerate() {
            if let Some(d) = lists[i].filter(|_| rng.chance(4)) {
                if b.read(direction.base() + 0x40) & 1 == 0 {
                    assert_eq!(b.read(direction.base() + 0x48), 1, "{direction:?}");
                    let n = d.length as usize;
                    let same = match direction {
                        Direction::H2c => b.host.peek(d.src, n) == b.card.peek(d.dst, n),
                        Direction::C2h => b.card.peek(d.src, n) == b.host.peek(d.dst, n),
                    };
                    assert!(same, "{direction:?} {d:x?}");
                    b.write(direction.base() + 4, 0);
                    lists[i] = None;
                }
            } else if lists[i].is_none() && finished < total && rng.chance(1) {
                listed += 1;
                let (h, c) = (HOST + 0x1_0000 * listed, CARD + 0x1_0000 * listed);
                let n = 1 + rng.below(3000);
                let (src, dst) = match direction {
                    Direction::H2c => (h, c),
                    Direction::C2h => (c, h),
                };
                let targets = match direction {
                    Direction::H2c => &mut b.card.targets,
                    Direction::C2h => &mut b.host.targets,
                };
                targets.insert(dst, dst + n);
                let d = Descriptor {
                    src,
                    dst,
                    length: n as u32,
                    control: 0,
                };
                let first = b.list(&[d], &[(LIST + 0x1000 * listed, 1)], 0);
                b.start(direction, first, 0x00F8_3E1F);
                lists[i] = Some(d);
            }
        }
        b.step();
        // The engine.
        while b.rings.len() > rung {
            let job = &in_flight[rung];
            assert_eq!(b.rings[rung].1, job.tail);
            let job = job.clone();
            arrived(&mut b, &job);
            let out: Vec<u8> = (0..job.out).map(|_| rng.next() as u8).collect();
            b.card.poke(Y + SLOT * job.slot, &out);
            rung += 1;
            if due == 0 {
                due = now + rng.below(slow + 20);
            }
        }
        if due != 0 && now >= due {
            b.done_count = b.rings[rung - 1].1;
            due = 0;
        }
        if let Some(job) = in_flight.front().cloned() {
            if ended(&mut b, &job) {
                assert!(rung > 0 && b.done_count.wrapping_sub(job.tail) < 0x8000);
                in_flight.pop_front();
                b.rings.remove(0);
                rung -= 1;
                finished += 1;
            }
        }
    }
    assert!(b.is_quiet());
    assert_eq!(b.read(at("STATUS")), 0);
    assert!(listed > 0);
}

#[test]
fn random_jobs_beside_lists() {
    for unit in UNITS {
        for seed in 0..rounds(4) as u64 {
            random(unit, 900 + seed, 40);
        }
    }
}

/// The largest lengths, one slot after the other.
#[test]
fn whole_slots() {
    let mut b = bench(UNITS[0], 910);
    b.manners.stall = 0;
    b.manners.gap = 0;
    let mut rng = Rng::new(910);
    for n in 0..u64::from(SLOTS) {
        let job = Job {
            slot: n,
            tail: n as u16 + 1,
            two: true,
            place: 2 * n,
            x: MOST_X,
            out: SLOT,
        };
        begin(&mut b, &mut rng, &job);
        b.until("the engine is rung", 200_000, |b| {
            b.rings.len() == n as usize + 1
        });
        arrived(&mut b, &job);
        b.done_count = job.tail;
        b.until("the word", 200_000, |b| ended(b, &job));
    }
}

fn simple(n: u64) -> Job {
    Job {
        slot: n % u64::from(SLOTS),
        tail: n as u16 + 1,
        two: false,
        place: n,
        x: 1000,
        out: 700,
    }
}

/// Answers what is rung at once, until the job's word is there.
fn run(b: &mut Bench, job: &Job) {
    b.until("the word of a job", 100_000, |b| {
        if let Some(ring) = b.rings.last() {
            b.done_count = ring.1;
        }
        ended(b, job)
    });
}

fn reset(b: &mut Bench) {
    b.flr = true;
    b.step();
    b.until("quiet", 100_000, |b| {
        b.is_quiet() && b.pins.get("quiet") == 1
    });
    b.seen.clear();
    b.rings.clear();
    b.done_count = 0;
}

/// A failure in each place: the word says so, STATUS says why, nothing is rung for it; the channels work, and after a reset jobs do.
#[test]
fn a_failure_is_told_and_stops() {
    let x = INPUT + SLOT + X_IN_SLOT;
    type Fault = (bool, std::ops::Range<u64>, u64, u32);
    let faults: [Fault; 6] = [
        (true, INPUT + SLOT..INPUT + SLOT + 8, 2, 2 << READ_ERROR),
        (true, x + 500..x + 501, 16, 16 << READ_ERROR),
        (true, x + 999..x + 1000, 8, 8 << READ_ERROR),
        (false, RING + 128..RING + 256, 2, 2 << WRITE_ERROR),
        (false, X + SLOT + 600..X + SLOT + 601, 3, 1 << WRITE_ERROR),
        (false, Y + SLOT + 690..Y + SLOT + 700, 2, 2 << OUTPUT_ERROR),
    ];
    for unit in UNITS {
        let mut b = bench(unit, 920);
        let mut rng = Rng::new(920);
        for (host, range, error, status) in faults.clone() {
            reset(&mut b);
            set_up(&mut b);
            let side = if host { &mut b.host } else { &mut b.card };
            side.faults.push((range.clone(), error));
            for n in 0..3 {
                begin(&mut b, &mut rng, &simple(n));
            }
            // The job before it is done as ever.
            run(&mut b, &simple(0));
            b.until("the word of a failure", 100_000, |b| {
                if let Some(ring) = b.rings.last() {
                    b.done_count = ring.1;
                }
                b.seen
                    .contains(&(b.pins.cycles() - 1, Event::Write(COUNT, 4)))
            });
            assert_eq!(word(&mut b), WORD_FAILED | 2, "{range:x?}");
            for _ in 0..2000 {
                b.step();
            }
            assert!(b.is_quiet() && b.pins.get("quiet") == 1);
            assert_eq!(b.read(at("STATUS")), status | FAILED, "{range:x?}");
            let output = status >> OUTPUT_ERROR != 0;
            // Inputs are read ahead: behind a failed output the next job may have been rung.
            let rung: Vec<u16> = b.rings.iter().map(|r| r.1).collect();
            assert!(
                if output {
                    rung.starts_with(&[1, 2])
                } else {
                    rung == [1]
                },
                "{range:x?}: {rung:?}"
            );
            assert_eq!(word(&mut b), WORD_FAILED | 2, "nothing more is told");
            b.host.faults.clear();
            b.card.faults.clear();
            list(&mut b);
        }
        reset(&mut b);
        set_up(&mut b);
        begin(&mut b, &mut rng, &simple(0));
        run(&mut b, &simple(0));
    }
}

/// A list on the H2C channel, to its end.
fn list(b: &mut Bench) {
    let d = Descriptor {
        src: HOST,
        dst: CARD,
        length: 900,
        control: 0,
    };
    b.card.targets.insert(CARD, CARD + 900);
    b.card.poke(CARD, &[0; 900]);
    let first = b.list(&[d], &[(LIST, 1)], 0);
    b.start(Direction::H2c, first, 0x00F8_3E1F);
    b.until("a list", 100_000, |b| b.read(0x40) & 1 == 0);
    assert!(b.host.peek(HOST, 900) == b.card.peek(CARD, 900));
    b.write(4, 0);
}

/// One job too many: the five are told of, and STATUS says why.
#[test]
fn one_job_too_many() {
    for unit in UNITS {
        let mut b = bench(unit, 930);
        let mut rng = Rng::new(930);
        for n in 0..=u64::from(SLOTS) {
            begin(&mut b, &mut rng, &simple(n));
        }
        b.until("the word", 100_000, |b| word(b) & WORD_FAILED != 0);
        assert_eq!(word(&mut b), WORD_FAILED | 1);
        b.until("quiet", 100_000, |b| b.is_quiet());
        assert_eq!(b.read(at("STATUS")), FAILED | OVERRUN);
        reset(&mut b);
        set_up(&mut b);
        for n in 0..8 {
            begin(&mut b, &mut rng, &simple(n));
            run(&mut b, &simple(n));
        }
    }
}

/// A function-level reset in every part of a job's life, with and without the right to send behind it: nothing of it is left.
#[test]
fn a_reset_at_any_time() {
    for unit in UNITS {
        let mut b = bench(unit, 940);
        let mut rng = Rng::new(940);
        for round in 0..rounds(60) as u64 {
            for n in 0..1 + rng.below(3) {
                begin(&mut b, &mut rng, &simple(n));
            }
            let until = b.pins.cycles() + rng.below(1500);
            while b.pins.cycles() < until {
                if let Some(ring) = b.rings.last() {
                    b.done_count = ring.1;
                }
                b.step();
            }
            b.bme = rng.chance(128);
            reset(&mut b);
            b.bme = true;
            assert_eq!(b.read(at("STATUS")), 0, "round {round}");
            assert_eq!(b.read(at("INPUT_HI")), 0);
            set_up(&mut b);
            let job = simple(0);
            begin(&mut b, &mut rng, &job);
            b.until("the engine is rung", 100_000, |b| !b.rings.is_empty());
            arrived(&mut b, &job);
            run(&mut b, &job);
            reset(&mut b);
            set_up(&mut b);
        }
    }
}

/// Cycles of a job with nothing in the way, from four behind the doorbell's access and from the engine's count on.
#[test]
fn cycles_without_stalls() {
    let mut b = Bench::new(UNITS[1], 950, Manners::default());
    b.mrrs = 2;
    set_up(&mut b);
    let mut rng = Rng::new(950);
    let job = simple(0);
    begin(&mut b, &mut rng, &job);
    let rung = b.pins.cycles();
    b.until("the first request", 100, |b| b.requests == 1);
    let asked = b.pins.cycles() - rung;
    b.until("the engine is rung", 1000, |b| !b.rings.is_empty());
    let ring = b.pins.cycles() - rung;
    b.done_count = job.tail;
    let done = b.pins.cycles();
    b.until("the address", 100, |b| b.pins.get("ar_vld") == 1);
    let read = b.pins.cycles() - done;
    b.until("the word", 1000, |b| ended(b, &job));
    let told = b.pins.cycles() - done;
    println!("request {asked}, tail {ring}; output {read}, word {told}");
    assert_eq!((asked, ring, read, told), (9, 135, 10, 78));
}
