//! The counters against sums of 64 bits: increments, freeze, reset, and the carry into the high words.

use abi::registers::COUNTERS;
use sim_tb::pins::Pins;
use sim_tb::rng::Rng;

const N: usize = COUNTERS.len();

/// Largest increment, and the bytes that a one of it stands for.
const LARGEST: [(u64, u64); N] = [
    (1, 1),
    (1, 1),
    (1, 1),
    (1, 1),
    (1, 1),
    (1, 1),
    (1, 1),
    (65535, 1),
    (3, 16),
    (1, 16),
    (15, 1),
    (65535, 1),
    (1, 1),
    (1, 1),
    (7, 1),
    (1, 16),
    (65535, 16),
];

struct Bench {
    p: Pins,
    sums: [u64; N],
    /// The sums as of the last cycles, newest last: what is shown may be two cycles older.
    past: Vec<[u64; N]>,
    /// Cycles since each was shown.
    unseen: [u32; N],
}

impl Bench {
    fn new() -> Bench {
        let mut p = Pins::new("counters").unwrap();
        p.set("freeze", 0);
        p.reset("rst", 3);
        Bench {
            p,
            sums: [0; N],
            past: vec![[0; N]; 3],
            unseen: [0; N],
        }
    }
    /// One cycle with these increments; and what is shown in it.
    fn step(&mut self, add: [u64; N], freeze: bool, reset: bool) {
        self.p.set("freeze", freeze.into());
        self.p.set("rst", reset.into());
        for (i, a) in add.into_iter().enumerate() {
            self.p.set(&format!("add_{i}"), a);
        }
        let at = self.p.get("index") as usize;
        let value = self.p.get("value");
        assert!(at < N);
        if self.unseen.iter().all(|n| *n < 100) {
            assert_eq!(value, self.past[0][at], "{}", COUNTERS[at]);
        }
        for n in &mut self.unseen {
            *n += 1;
        }
        self.unseen[at] = 0;
        for (i, a) in add.into_iter().enumerate() {
            if reset {
                self.sums[i] = 0;
            } else if !freeze {
                self.sums[i] = self.sums[i].wrapping_add(a * LARGEST[i].1);
            }
        }
        self.past.remove(0);
        self.past.push(self.sums);
        self.p.tick();
        if reset {
            // What is shown in the next cycles was on its way.
            self.unseen = [100; N];
        }
    }
    /// A walk without increments: everything is shown as it is.
    fn check(&mut self) {
        for _ in 0..N + 4 {
            self.step([0; N], true, false);
        }
        assert!(self.unseen.iter().all(|n| *n < 2 * N as u32));
        for _ in 0..N {
            self.step([0; N], true, false);
            let at = self.p.get("index") as usize;
            assert_eq!(self.p.get("value"), self.sums[at], "{}", COUNTERS[at]);
        }
    }
}

#[test]
fn each_counts_by_itself() {
    let mut b = Bench::new();
    b.check();
    let seed = 5;
    println!("seed {seed}");
    let mut r = Rng::new(seed);
    for _ in 0..200 {
        for _ in 0..r.below(60) {
            let add = LARGEST.map(|(most, _)| [0, most, r.below(most + 1)][r.below(3) as usize]);
            let freeze = r.chance(40);
            b.step(add, freeze, false);
        }
        b.check();
        if r.chance(20) {
            // Reset wins over freeze.
            b.step(LARGEST.map(|l| l.0), true, true);
            if r.chance(128) {
                b.step(LARGEST.map(|l| l.0), false, true);
            }
            b.check();
        }
    }
}

#[test]
fn the_largest_increments_are_not_lost() {
    let mut b = Bench::new();
    for _ in 0..1000 {
        b.step(LARGEST.map(|l| l.0), false, false);
    }
    b.check();
    assert_eq!(b.sums[0], 1000);
}

#[test]
fn the_high_word_takes_the_carry() {
    let mut b = Bench::new();
    // The counter of multiplications passes 2^32, those of bytes at the same time.
    let step = LARGEST.map(|l| l.0);
    let cycles = (1u64 << 32) / 65535 + 20;
    b.p.set("freeze", 0);
    for (i, a) in step.into_iter().enumerate() {
        b.p.set(&format!("add_{i}"), a);
    }
    for _ in 0..cycles {
        b.p.tick();
    }
    for (i, sum) in b.sums.iter_mut().enumerate() {
        *sum = cycles * LARGEST[i].0 * LARGEST[i].1;
    }
    b.past = vec![b.sums; 3];
    b.unseen = [100; N];
    b.check();
    let macs = COUNTERS.iter().position(|c| *c == "MACS").unwrap();
    assert_eq!(b.sums[macs] >> 32, 1);
}
