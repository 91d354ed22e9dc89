//! The router against `golden::choose`: rows in the array's order, ties, every k, exponents from tiny to huge, stalls.

use abi::config::SIM;
use golden::choose;
use sim_tb::pins::{cycle, Pins, Stream, StreamIn, StreamOut};
use sim_tb::rng::Rng;

/// How the logits of a command are made.
#[derive(Clone, Copy, Debug)]
enum Logits {
    /// Four random limb products of any size.
    Any,
    /// From a handful of values, so that many are equal.
    Ties,
    /// Far from zero, close to each other.
    Close,
    /// One far above all others.
    OneHot,
    /// The ends of the proven range.
    Corners,
}

#[derive(Clone, Copy, Debug)]
struct Command {
    tokens: usize,
    experts: usize,
    topk: usize,
    renorm: bool,
    /// Groups per window.
    window: usize,
    logits: Logits,
    /// Exponent of the logits' LSB: this plus something below `lsb_spread`, for each token anew.
    lsb: i32,
    lsb_spread: u64,
    stall: u32,
}

/// Counts the pulses and sees `busy`.
#[derive(Default)]
struct Watch {
    done: Vec<u64>,
    busy: bool,
}

impl Stream for Watch {
    fn drive(&mut self, _: &mut Pins) {}
    fn sample(&mut self, pins: &mut Pins) {
        if pins.get("rt_done") == 1 {
            self.done.push(pins.cycles());
        }
        self.busy = pins.get("busy") == 1;
    }
}

/// The limb products (weight limb, vector limb) hi-hi, hi-lo, lo-hi, lo-lo of one token's experts.
fn products(r: &mut Rng, kind: Logits, experts: usize) -> Vec<[i64; 4]> {
    let wide = |r: &mut Rng, bits: u64| (r.next() as i64) >> (64 - bits);
    let size = 2 + r.below(44);
    let any = |r: &mut Rng| [0, 1, 1, 2].map(|more| wide(r, (size + more).min(45 + more)));
    let base = any(r);
    let hot = r.below(experts as u64) as usize;
    let few: Vec<[i64; 4]> = (0..3).map(|_| any(r)).collect();
    (0..experts)
        .map(|e| match kind {
            Logits::Any => any(r),
            Logits::Ties => few[r.below(3) as usize],
            Logits::Close => [base[0], base[1], base[2], wide(r, 20)],
            Logits::OneHot if e == hot => [1 << 44, 0, 0, 0],
            Logits::OneHot => [-(1 << 44), wide(r, 40), 0, wide(r, 10)],
            Logits::Corners => [45, 46, 46, 47].map(|bits| {
                let top = (1i64 << bits) - 1;
                [top, -top, 0, 1][r.below(4) as usize]
            }),
        })
        .collect()
}

struct Bench {
    p: Pins,
    seed: u64,
}

impl Bench {
    fn new(seed: u64) -> Bench {
        println!("seed {seed}");
        let mut p = Pins::new("router").unwrap();
        p.reset("rst", 2);
        Bench { p, seed }
    }

    /// Runs a command and compares all it gives; returns the cycles from the last row to `rt_done`.
    fn run(&mut self, c: Command) -> u64 {
        self.seed += 1;
        println!("{c:?}, seed {}", self.seed);
        let r = &mut Rng::new(self.seed);
        let per_token: Vec<(Vec<[i64; 4]>, i32)> = (0..c.tokens)
            .map(|_| {
                let lsb = c.lsb + r.below(c.lsb_spread) as i32;
                (products(r, c.logits, c.experts), lsb)
            })
            .collect();

        // Rows as the array sends them: windows, vectors (hi and lo limbs of each token), groups, lanes.
        let fields = ["acc", "limb", "row", "token", "lsb", "last"];
        let mut rows = StreamIn::new("in", &fields, self.seed, c.stall);
        let groups: Vec<usize> = (0..(2 * c.experts).div_ceil(SIM.lanes)).collect();
        let mut count = 0;
        for window in groups.chunks(c.window) {
            for vector in 0..2 * c.tokens {
                for row in window
                    .iter()
                    .flat_map(|g| g * SIM.lanes..(g + 1) * SIM.lanes)
                {
                    if row < 2 * c.experts {
                        count += 1;
                        let (token, limb) = (vector / 2, vector % 2);
                        let (products, lsb) = &per_token[token];
                        let acc = products[row % c.experts][row / c.experts * 2 + limb];
                        rows.push(&[
                            acc as u64 & 0xFFFF_FFFF_FFFF,
                            limb as u64,
                            row as u64,
                            token as u64,
                            u64::from(*lsb as u16),
                            u64::from(count == 4 * c.experts * c.tokens),
                        ]);
                    }
                }
            }
        }

        let mut logits = StreamOut::new("logit", &["token", "expert", "value"], 0, 0);
        let mut routes = StreamOut::new("rt", &["token", "slot", "expert", "weight"], 0, 0);
        let mut watch = Watch::default();
        let p = &mut self.p;
        for (port, value) in [
            ("tokens", c.tokens),
            ("experts", c.experts),
            ("topk", c.topk),
            ("renorm", c.renorm.into()),
        ] {
            p.set(port, value as u64);
        }
        p.set("go", 1);
        p.set("in_vld", 0);
        cycle(p, &mut [&mut watch]);
        p.set("go", 0);
        assert!(!watch.busy, "busy before the first row");
        while rows.pending() > 0 {
            let before = rows.sent();
            cycle(p, &mut [&mut rows, &mut logits, &mut routes, &mut watch]);
            assert_eq!(watch.busy, before > 0, "busy with {before} rows in");
        }
        let last_row = p.cycles();
        // Beyond the last row the stream offers noise, and nothing of it may be taken.
        while watch.done.is_empty() {
            cycle(p, &mut [&mut rows, &mut logits, &mut routes, &mut watch]);
        }
        assert!(!watch.busy);

        let mut expected_logits = Vec::new();
        let mut expected_routes = Vec::new();
        for (token, (products, lsb)) in per_token.iter().enumerate() {
            let values: Vec<i64> = products
                .iter()
                .map(|[a, b, c, d]| numeric::logit(*a, *b, *c, *d))
                .collect();
            for (expert, value) in values.iter().enumerate() {
                expected_logits.push(vec![token as u64, expert as u64, *value as u64]);
            }
            for (slot, choice) in choose(&values, *lsb, c.topk, c.renorm).iter().enumerate() {
                expected_routes.push(vec![
                    token as u64,
                    slot as u64,
                    choice.expert as u64,
                    choice.weight.into(),
                ]);
            }
        }
        let all = |s: &StreamOut| (0..s.len()).map(|i| s.narrow(i)).collect::<Vec<_>>();
        assert_eq!(all(&logits), expected_logits, "token, expert, logit");
        assert_eq!(all(&routes), expected_routes, "token, slot, expert, weight");
        assert_eq!(watch.done.len(), 1);
        assert!(watch.done[0] >= routes.at[routes.len() - 1]);
        watch.done[0] + 1 - last_row
    }
}

const PLAIN: Command = Command {
    tokens: 1,
    experts: 8,
    topk: 2,
    renorm: true,
    window: 2,
    logits: Logits::Any,
    lsb: -45,
    lsb_spread: 1,
    stall: 0,
};

/// Cycles from the last row to `rt_done`, as the unit's page states them.
fn cycles(c: &Command) -> u64 {
    let all = if c.renorm { 0 } else { c.experts + 1 };
    (c.tokens * (c.experts + 2 * c.topk + 40 + all)) as u64 + 1
}

#[test]
fn every_number_of_experts_and_choices() {
    let mut b = Bench::new(100);
    let mut r = Rng::new(100);
    for experts in 1..=SIM.experts_max {
        for topk in [1, 2, 3, 4, 5, 6, 7, 8] {
            if topk > experts || (experts > 20 && r.chance(160)) {
                continue;
            }
            b.run(Command {
                tokens: 1 + r.below(3) as usize,
                experts,
                topk,
                renorm: r.chance(128),
                window: 1 + r.below(20) as usize,
                logits: [Logits::Any, Logits::Ties, Logits::Close][r.below(3) as usize],
                lsb: -50 + r.below(30) as i32,
                lsb_spread: 12,
                stall: [0, 60, 200][r.below(3) as usize],
            });
        }
    }
}

#[test]
fn every_number_of_tokens() {
    let mut b = Bench::new(1000);
    for tokens in 1..=SIM.tokens_max {
        b.run(Command {
            tokens,
            experts: 1 + (7 * tokens) % SIM.experts_max,
            topk: 1,
            renorm: tokens % 2 == 0,
            window: 1 + tokens % 5,
            lsb_spread: 40,
            stall: 40,
            ..PLAIN
        });
    }
    b.run(Command {
        tokens: SIM.tokens_max,
        experts: SIM.experts_max,
        topk: 8,
        renorm: false,
        window: 5,
        ..PLAIN
    });
}

#[test]
fn every_kind_of_logits_under_every_exponent() {
    let mut b = Bench::new(2000);
    let kinds = [
        Logits::Any,
        Logits::Ties,
        Logits::Close,
        Logits::OneHot,
        Logits::Corners,
    ];
    for logits in kinds {
        // Right shifts, left shifts, and exponents that no model has.
        let exponents = (-90..50).step_by(2).chain([
            -32768, -32749, -32748, -1000, -148, -147, -129, 100, 1000, 32746, 32747, 32748, 32767,
        ]);
        for (i, lsb) in exponents.enumerate() {
            b.run(Command {
                tokens: 2,
                experts: 9,
                topk: 1 + i % 8,
                renorm: i % 3 == 0,
                logits,
                lsb,
                ..PLAIN
            });
        }
    }
}

#[test]
fn the_cycles_are_those_of_the_page() {
    let mut b = Bench::new(3000);
    for (tokens, experts, topk) in [(1, 64, 8), (1, 8, 2), (32, 64, 8), (4, 1, 1), (3, 3, 3)] {
        for renorm in [true, false] {
            let c = Command {
                tokens,
                experts,
                topk,
                renorm,
                ..PLAIN
            };
            let took = b.run(c);
            println!("{took} cycles from the last row to the last weight");
            assert_eq!(took, cycles(&c));
        }
    }
}
