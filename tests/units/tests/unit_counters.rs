//! The counters against sums of 64 bits: increments, freeze, reset, and the carry into the high words.

use abi::registers::COUNTERS;
use sim_tb::pins::Pins;
use sim_tb::rng::Rng;

struct Bench {
    p: Pins,
    sums: [u64; COUNTERS.len()],
}

impl Bench {
    fn new() -> Bench {
        let mut p = Pins::new("counters").unwrap();
        p.set("freeze", 0);
        p.reset("rst", 1);
        Bench {
            p,
            sums: [0; COUNTERS.len()],
        }
    }
    /// One cycle with these increments.
    fn step(&mut self, add: [u64; COUNTERS.len()], freeze: bool, reset: bool) {
        self.p.set("freeze", freeze.into());
        self.p.set("rst", reset.into());
        for (i, (a, sum)) in add.into_iter().zip(&mut self.sums).enumerate() {
            self.p.set(&format!("add_{i}"), a);
            if reset {
                *sum = 0;
            } else if !freeze {
                *sum = sum.wrapping_add(a);
            }
        }
        self.p.tick();
    }
    fn check(&mut self) {
        for (i, sum) in self.sums.iter().enumerate() {
            let value = self.p.get(&format!("value_{i}"));
            assert_eq!(value, *sum, "{}", COUNTERS[i]);
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
    for _ in 0..5000 {
        let add = std::array::from_fn(|_| [0, 1, r.below(65536)][r.below(3) as usize]);
        let (freeze, reset) = (r.chance(40), r.chance(1));
        b.step(add, freeze, reset);
        b.check();
    }
    // Reset wins over freeze.
    b.step([7; COUNTERS.len()], true, true);
    b.check();
}

#[test]
fn the_high_word_takes_the_carry() {
    let mut b = Bench::new();
    // Each counter passes 2^32 in another cycle.
    let step: [u64; COUNTERS.len()] = std::array::from_fn(|i| 65535 - i as u64);
    let cycles = (1u64 << 32) / 65535 + 20;
    for _ in 0..cycles {
        b.step(step, false, false);
    }
    b.check();
    assert!(b.sums.iter().all(|s| s >> 32 == 1));
}
