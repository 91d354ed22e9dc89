//! The predictor against a plain list: hints, table, repeats, experts that do not exist, lists taken slowly, late or never.

use abi::config::{Config, SIM};
use sim_tb::pins::{cycle, Pins, StreamIn, StreamOut};
use sim_tb::rng::Rng;

const CONFIG: Config = SIM;

/// A command as far as the predictor sees it.
#[derive(Clone, Debug)]
struct Case {
    predict: u64,
    layer: u64,
    guesses: u64,
    hints: [u8; 8],
    tokens: u64,
    experts: u64,
    /// token, slot, expert
    routes: Vec<[u64; 3]>,
}

fn entry(layer: u64, expert: u64) -> u64 {
    layer * CONFIG.experts_max as u64 + expert
}

impl Case {
    fn random(rng: &mut Rng) -> Case {
        let experts = 1 + rng.below(CONFIG.experts_max as u64);
        let most = if rng.chance(128) {
            3
        } else {
            CONFIG.tokens_max as u64
        };
        let tokens = 1 + rng.below(most);
        let k = 1 + rng.below(8.min(experts));
        let mut routes = Vec::new();
        for token in 0..tokens {
            let mut taken = Vec::new();
            for slot in 0..k {
                let e = rng.below(experts);
                // A host may leave entries out; no expert comes twice to a token.
                if !taken.contains(&e) && !rng.chance(40) {
                    taken.push(e);
                    routes.push([token, slot, e]);
                }
            }
        }
        // Sources may mix tokens.
        if rng.chance(128) {
            for i in (1..routes.len()).rev() {
                routes.swap(i, rng.below(i as u64 + 1) as usize);
            }
        }
        let few = 1 + rng.below(256);
        Case {
            predict: rng.below(3),
            layer: rng.below(CONFIG.layers_max as u64),
            guesses: rng.below(9),
            hints: [0; 8].map(|_: u8| rng.below(few) as u8),
            tokens,
            experts,
            routes,
        }
    }
    fn guesses(&self, table: &[u64]) -> Vec<u64> {
        let last: Vec<Option<u64>> = (0..8)
            .map(|slot| {
                let of = |r: &&[u64; 3]| r[0] == self.tokens - 1 && r[1] == slot;
                self.routes.iter().find(of).map(|r| r[2])
            })
            .collect();
        let mut candidates = Vec::new();
        match self.predict {
            1 => {
                for pair in 0..4 {
                    for half in 0..2 {
                        for choice in last.iter().skip(2 * pair).take(2).flatten() {
                            let both = table[entry(self.layer, *choice) as usize];
                            candidates.push(both >> (8 * half) & 255);
                        }
                    }
                }
            }
            2 => candidates.extend(self.hints.map(u64::from)),
            _ => {}
        }
        let mut list = Vec::new();
        for c in candidates {
            if c < self.experts && !list.contains(&c) && list.len() < self.guesses as usize {
                list.push(c);
            }
        }
        list
    }
}

struct Bench {
    pins: Pins,
    table: Vec<u64>,
    rng: Rng,
}

impl Bench {
    fn new(seed: u64) -> Bench {
        let mut pins = Pins::new("predictor").unwrap();
        pins.reset("rst", 2);
        let words = CONFIG.layers_max * CONFIG.experts_max;
        let mut b = Bench {
            pins,
            table: vec![0; words],
            rng: Rng::new(seed),
        };
        for i in 0..words {
            // Neighbours share guesses now and then.
            let data = if b.rng.chance(128) {
                b.rng.below(1 << 16)
            } else {
                0x0101 * b.rng.below(4)
            };
            b.write(i, data);
        }
        b
    }
    fn write(&mut self, index: usize, data: u64) {
        self.table[index] = data;
        self.pins.set("wr_vld", 1);
        self.pins.set("wr_index", index as u64);
        self.pins.set("wr_data", data);
        self.pins.tick();
        self.pins.set("wr_vld", 0);
    }
    /// `go`: the flush is seen, and whether a guess is still on offer a cycle later.
    fn go(&mut self, c: &Case) {
        let hints = c.hints.iter().rev().fold(0, |n, h| n << 8 | u64::from(*h));
        for (port, value) in [
            ("predict", c.predict),
            ("layer", c.layer),
            ("guesses", c.guesses),
            ("hints", hints),
            ("tokens", c.tokens),
            ("experts", c.experts),
        ] {
            self.pins.set(port, value);
        }
        assert_eq!(self.pins.get("pf_flush"), 0);
        self.pins.set("go", 1);
        assert_eq!(self.pins.get("pf_flush"), 1);
        self.pins.tick();
        self.pins.set("go", 0);
        assert_eq!(self.pins.get("pf_flush"), 0);
        assert_eq!(self.pins.get("pf_vld"), 0, "an old guess after go");
    }
    /// Runs the case; the guesses taken. With `cut`, only that many are taken.
    fn run(&mut self, c: &Case, stall: u32, cut: Option<usize>) -> Vec<u64> {
        self.go(c);
        let mut routes = StreamIn::new("rt", &["token", "slot", "expert"], self.rng.next(), stall);
        for r in &c.routes {
            routes.push(r);
        }
        let mut out = StreamOut::new("pf", &["expert"], self.rng.next(), stall);
        let mut done = false;
        let mut quiet = 0;
        let mut since = 0;
        while quiet < 200 {
            let last = !done && routes.pending() == 0;
            done |= last;
            self.pins.set("rt_done", last.into());
            let before = out.len();
            if cut.is_some_and(|n| out.len() >= n) {
                break;
            }
            cycle(&mut self.pins, &mut [&mut routes, &mut out]);
            since += 1;
            if since == 9 {
                // By now the parameters have been taken; `command` reads the next descriptor.
                for (port, bits) in [
                    ("predict", 2),
                    ("layer", 8),
                    ("guesses", 4),
                    ("hints", 60),
                    ("experts", 9),
                ] {
                    let noise = self.rng.below(1 << bits);
                    self.pins.set(port, noise);
                }
            }
            assert!(
                c.predict != 1 || done || out.is_empty(),
                "a guess before the last route"
            );
            quiet = if done && out.len() == before {
                quiet + 1
            } else {
                0
            };
        }
        self.pins.set("rt_done", 0);
        self.pins.set("pf_rdy", 0);
        (0..out.len()).map(|i| out.narrow(i)[0]).collect()
    }
}

#[test]
fn random_commands() {
    let seed = 71;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let mut b = Bench::new(seed);
    let (mut full, mut short, mut repeats) = (0, 0, 0);
    for round in 0..600 {
        let c = Case::random(&mut rng);
        let expected = c.guesses(&b.table);
        // Some lists are given up half way: the next command must start clean.
        let cut = (round % 5 == 0).then(|| rng.below(3) as usize);
        let stall = [0, 60, 220][round % 3];
        let got = b.run(&c, stall, cut);
        match cut {
            Some(n) => assert_eq!(got, expected[..n.min(expected.len())], "{c:?}"),
            None => assert_eq!(got, expected, "{c:?}"),
        }
        if c.predict > 0 {
            full += usize::from(expected.len() == c.guesses as usize);
            short += usize::from(expected.len() < c.guesses as usize);
            repeats +=
                usize::from(c.predict == 2 && (1..8).any(|i| c.hints[..i].contains(&c.hints[i])));
        }
        if rng.chance(100) {
            let index = rng.below(b.table.len() as u64) as usize;
            b.write(index, rng.below(1 << 16));
        }
    }
    println!("{full} full lists, {short} short ones, {repeats} with repeated hints");
    assert!(full > 100 && short > 50 && repeats > 30);
}

#[test]
fn the_order_of_table_guesses() {
    let mut b = Bench::new(72);
    let layer = 5;
    for (expert, both) in [(10, 0x0201), (20, 0x0403), (30, 0x0605), (40, 0x0807)] {
        b.write(entry(layer, expert) as usize, both);
    }
    let c = Case {
        predict: 1,
        layer,
        guesses: 8,
        hints: [0; 8],
        tokens: 2,
        experts: 64,
        routes: vec![
            [0, 0, 3],
            [1, 0, 10],
            [0, 1, 4],
            [1, 1, 20],
            [1, 2, 30],
            [1, 3, 40],
        ],
    };
    assert_eq!(b.run(&c, 0, None), [1, 3, 2, 4, 5, 7, 6, 8]);
    // A choice that the host left out leaves its place to the next.
    let mut c = c;
    c.routes.retain(|r| *r != [1, 0, 10]);
    assert_eq!(b.run(&c, 0, None), [3, 4, 5, 7, 6, 8]);
    // No routes at all.
    c.routes.clear();
    assert_eq!(b.run(&c, 0, None), [] as [u64; 0]);
}

#[test]
fn the_first_hint_comes_at_once() {
    let mut b = Bench::new(73);
    let c = Case {
        predict: 2,
        layer: 0,
        guesses: 2,
        hints: [9, 8, 7, 6, 5, 4, 3, 2],
        tokens: 1,
        experts: 16,
        routes: Vec::new(),
    };
    b.go(&c);
    let begin = b.pins.cycles();
    while b.pins.get("pf_vld") == 0 {
        b.pins.tick();
    }
    println!(
        "{} cycles from go to the first hint",
        b.pins.cycles() - begin
    );
    assert_eq!(b.pins.get("pf_expert"), 9);
    assert!(b.pins.cycles() - begin <= 16);
}
