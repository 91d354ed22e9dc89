//! The router against a model from `docs/formats.md`, section 4: every score with biases and groups, ties, ends of the ranges, stalls.

use abi::command::Score;
use abi::config::SIM;
use numeric::score::{
    exp, is_near, normal, route_scale, share, sigmoid, sigmoid_weight, P_ONE, WEIGHT_ONE,
};
use sim_tb::pins::{cycle, Pins, Stream, StreamIn, StreamOut};
use sim_tb::rng::Rng;

/// Rows of a group of the array.
const LANES: usize = abi::config::LANES;

/// How the logits of a command are made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Logits {
    /// Four random limb products of any size.
    Any,
    /// A few units apart once in fixed point, as a model's are.
    Usual,
    /// From a handful of values, so that many are equal.
    Ties,
    /// All of a token equal.
    Equal,
    /// Far from zero, close to each other.
    Close,
    /// One far above all others.
    OneHot,
    /// All far below zero.
    Low,
    /// The ends of the proven range.
    Corners,
    /// So far below zero that a sigmoid has few bits left, and their sum too.
    Faint,
    /// A few LSBs around zero.
    Tiny,
}

const KINDS: [Logits; 10] = [
    Logits::Any,
    Logits::Usual,
    Logits::Ties,
    Logits::Equal,
    Logits::Close,
    Logits::OneHot,
    Logits::Low,
    Logits::Corners,
    Logits::Faint,
    Logits::Tiny,
];

/// How the choice biases are made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Biases {
    None,
    /// Up to about one, of both signs.
    Small,
    /// All below zero, some further than any score.
    Negative,
    /// All of int32.
    Any,
    /// One of three values.
    Ties,
}

const BIASES: [Biases; 5] = [
    Biases::None,
    Biases::Small,
    Biases::Negative,
    Biases::Any,
    Biases::Ties,
];

#[derive(Clone, Copy, Debug)]
struct Command {
    tokens: usize,
    experts: usize,
    topk: usize,
    score: Score,
    renorm: bool,
    biases: Biases,
    groups: usize,
    kept: usize,
    sum2: bool,
    scale: u16,
    jitter: u16,
    /// Groups of rows per window.
    window: usize,
    logits: Logits,
    /// Exponent of the logits' LSB: this plus something below `lsb_spread`, for each token anew.
    lsb: i32,
    lsb_spread: u64,
    stall: u32,
}

const PLAIN: Command = Command {
    tokens: 1,
    experts: 8,
    topk: 2,
    score: Score::Softmax,
    renorm: true,
    biases: Biases::None,
    groups: 0,
    kept: 0,
    sum2: false,
    scale: 4096,
    jitter: 1311,
    window: 1000,
    logits: Logits::Usual,
    lsb: -40,
    lsb_spread: 1,
    stall: 0,
};

impl Command {
    fn grouped(&self) -> bool {
        self.groups > 1 && self.score != Score::Sparsemixer
    }
    fn biased(&self) -> bool {
        self.biases != Biases::None && self.score != Score::Sparsemixer
    }
}

/// The `k` best of `candidates`, ties to the lowest index, by falling key.
fn best(candidates: &[usize], key: impl Fn(usize) -> i64, k: usize) -> Vec<usize> {
    let mut order = candidates.to_vec();
    order.sort_by_key(|&e| (std::cmp::Reverse(key(e)), e));
    order.truncate(k);
    order
}

/// Section 4 for one token: chosen experts and weights.
fn route(c: &Command, values: &[i64], ls: i32, biases: &[i32]) -> Vec<(usize, u32)> {
    let l: Vec<i64> = values.iter().map(|&v| numeric::fix(v, ls).value).collect();
    let all: Vec<usize> = (0..c.experts).collect();
    let p = |top: i64, e: usize| exp((top - l[e]) as u64);
    let sum = |top: i64, of: &[usize]| of.iter().map(|&e| u64::from(p(top, e))).sum::<u64>();
    let weights: Vec<(usize, u32)> = if c.score == Score::Sparsemixer {
        let mut left = all;
        let mut chosen = Vec::new();
        for _ in 0..2 {
            let e = best(&left, |e| l[e], 1)[0];
            let near: Vec<usize> = left
                .iter()
                .copied()
                .filter(|&i| is_near(l[e], l[i], c.jitter))
                .collect();
            chosen.push((e, normal(P_ONE, sum(l[e], &near))));
            left.retain(|&i| i != e);
        }
        chosen
    } else {
        let top = *l.iter().max().unwrap();
        let total = sum(top, &all);
        let plain = !c.biased() && !c.grouped();
        let key = |e: usize| {
            let b = if c.biased() { i64::from(biases[e]) } else { 0 };
            b + match c.score {
                Score::Softmax if plain => l[e],
                Score::Softmax => i64::from(share(p(top, e), total)),
                Score::Sigmoid => i64::from(sigmoid(l[e])),
                _ => l[e],
            }
        };
        let mut open = all.clone();
        if c.grouped() {
            let size = c.experts / c.groups;
            let judged = |g: usize| {
                let two = best(&(g * size..(g + 1) * size).collect::<Vec<_>>(), key, 2);
                key(two[0]) + if c.sum2 { key(two[1]) } else { 0 }
            };
            let kept = best(&(0..c.groups).collect::<Vec<_>>(), judged, c.kept);
            open.retain(|e| kept.contains(&(e / size)));
        }
        let chosen = best(&open, key, c.topk);
        let of = |s: fn(i64) -> u32| chosen.iter().map(|&e| u64::from(s(l[e]))).sum::<u64>();
        let top_chosen = chosen.iter().map(|&e| l[e]).max().unwrap();
        chosen
            .iter()
            .map(|&e| {
                let w = match (c.score, c.renorm) {
                    (Score::Softmax, false) => normal(p(top, e), total),
                    (Score::Softmax, true) => normal(p(top, e), sum(top, &chosen)),
                    (Score::Sigmoid, false) => sigmoid_weight(sigmoid(l[e])),
                    (Score::Sigmoid, true) => normal(sigmoid(l[e]), of(sigmoid)),
                    _ => normal(p(top_chosen, e), sum(top_chosen, &chosen)),
                };
                (e, w)
            })
            .collect()
    };
    assert!(weights.iter().all(|w| w.1 <= WEIGHT_ONE));
    weights
        .into_iter()
        .map(|(e, w)| (e, route_scale(w, c.scale)))
        .collect()
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
fn products(r: &mut Rng, c: &Command, ls: i32) -> Vec<[i64; 4]> {
    let wide = |r: &mut Rng, bits: u64| (r.next() as i64) >> (64 - bits);
    let size = 2 + r.below(34);
    // Within the bounds of section 3: |hi hi| < 2^34, the others < 2^35.
    let any = |r: &mut Rng| [0, 1, 1, 1].map(|more| wide(r, (size + more).min(35)));
    // A number of Q12.24 as a logit, nearly.
    let fixed = |r: &mut Rng, v: i64| {
        let shift = (-24 - ls).clamp(-30, 30);
        let logit = if shift >= 0 {
            v.clamp(-(1 << 20), 1 << 20) << shift
        } else {
            v >> -shift
        };
        let hh = logit >> 16;
        [
            hh.clamp(-(1 << 33), 1 << 33),
            0,
            0,
            (logit & 0xFFFF) + wide(r, 3),
        ]
    };
    let base = any(r);
    let hot = r.below(c.experts as u64) as usize;
    let few: Vec<[i64; 4]> = (0..3).map(|_| any(r)).collect();
    (0..c.experts)
        .map(|e| match c.logits {
            Logits::Any => any(r),
            Logits::Usual => {
                let v = wide(r, 28);
                fixed(r, v)
            }
            Logits::Ties => few[r.below(3) as usize],
            Logits::Equal => base,
            Logits::Close => [base[0], base[1], base[2], wide(r, 20)],
            Logits::OneHot if e == hot => [1 << 33, 0, 0, 0],
            Logits::OneHot => [-(1 << 33), wide(r, 33), 0, wide(r, 10)],
            Logits::Low => [-(1 << 33) + wide(r, 20), 0, 0, wide(r, 10)],
            Logits::Faint => {
                let v = -((6 << 24) + r.below(12 << 24) as i64);
                fixed(r, v)
            }
            Logits::Tiny => [0, 0, 0, wide(r, 4)],
            Logits::Corners => [34, 35, 35, 35].map(|bits| {
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

    fn biases(&mut self, r: &mut Rng, c: &Command) -> Vec<i32> {
        let few: Vec<i32> = (0..3).map(|_| (r.next() as i32) >> 6).collect();
        let biases: Vec<i32> = (0..c.experts)
            .map(|_| match c.biases {
                Biases::None | Biases::Any => r.next() as i32,
                Biases::Small => (r.next() as i32) >> 7,
                Biases::Negative => -1 - ((r.next() as i32) & 0x3FF_FFFF),
                Biases::Ties => few[r.below(3) as usize],
            })
            .collect();
        let p = &mut self.p;
        for (i, four) in biases.chunks(4).enumerate() {
            let mut words: Vec<u32> = four.iter().map(|&b| b as u32).collect();
            words.resize(4, 0);
            p.set("cb_vld", 1);
            p.set("cb_index", 4 * i as u64);
            p.set_wide("cb_data", &words);
            p.tick();
        }
        p.set("cb_vld", 0);
        biases
    }

    /// Runs a command and compares all it gives; returns the cycles from the last logit to the last weight.
    fn run(&mut self, c: Command) -> u64 {
        self.seed += 1;
        println!("{c:?}, seed {}", self.seed);
        let r = &mut Rng::new(self.seed);
        let per_token: Vec<(Vec<[i64; 4]>, i32)> = (0..c.tokens)
            .map(|_| {
                let lsb = c.lsb + r.below(c.lsb_spread) as i32;
                (products(r, &c, lsb), lsb)
            })
            .collect();

        // Rows as the array sends them: windows, vectors (hi and lo limbs of each token), groups, lanes.
        let fields = ["acc", "limb", "row", "token", "lsb", "last"];
        let mut rows = StreamIn::new("in", &fields, self.seed, c.stall);
        let groups: Vec<usize> = (0..(2 * c.experts).div_ceil(LANES)).collect();
        let mut count = 0;
        for window in groups.chunks(c.window) {
            for vector in 0..2 * c.tokens {
                for row in window.iter().flat_map(|g| g * LANES..(g + 1) * LANES) {
                    if row < 2 * c.experts {
                        count += 1;
                        let (token, limb) = (vector / 2, vector % 2);
                        let (products, lsb) = &per_token[token];
                        let acc = products[row % c.experts][row / c.experts * 2 + limb];
                        rows.push(&[
                            acc as u64 & 0xF_FFFF_FFFF,
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
        for (port, value) in [
            ("tokens", c.tokens),
            ("experts", c.experts),
            ("topk", c.topk),
            ("score", c.score as usize),
            ("renorm", c.renorm.into()),
            ("choice_bias", (c.biases != Biases::None).into()),
            ("sum2", c.sum2.into()),
            ("groups", c.groups),
            ("groups_kept", c.kept),
            ("route_scale", c.scale.into()),
            ("jitter", c.jitter.into()),
        ] {
            self.p.set(port, value as u64);
        }
        self.p.set("go", 1);
        self.p.set("in_vld", 0);
        cycle(&mut self.p, &mut [&mut watch]);
        self.p.set("go", 0);
        assert!(!watch.busy, "busy before the first row");
        let biases = self.biases(r, &c);
        let p = &mut self.p;
        while rows.pending() > 0 {
            let before = rows.sent();
            cycle(p, &mut [&mut rows, &mut logits, &mut routes, &mut watch]);
            assert_eq!(watch.busy, before > 0, "busy with {before} rows in");
        }
        // Beyond the last row the stream offers noise, and nothing of it may be taken.
        let last_row = p.cycles();
        while watch.done.is_empty() {
            cycle(p, &mut [&mut rows, &mut logits, &mut routes, &mut watch]);
            assert!(p.cycles() < last_row + 1_000_000, "no end");
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
                let value = *value as u64 & ((1 << 52) - 1);
                expected_logits.push(vec![token as u64, expert as u64, value]);
            }
            for (slot, (expert, weight)) in route(&c, &values, *lsb, &biases).iter().enumerate() {
                expected_routes.push(vec![
                    token as u64,
                    slot as u64,
                    *expert as u64,
                    u64::from(*weight),
                ]);
            }
        }
        let all = |s: &StreamOut| (0..s.len()).map(|i| s.narrow(i)).collect::<Vec<_>>();
        let mut got = all(&logits);
        got.sort();
        assert_eq!(got, expected_logits, "token, expert, logit");
        assert_eq!(all(&routes), expected_routes, "token, slot, expert, weight");
        assert_eq!(watch.done.len(), 1);
        let (last_weight, last_logit) = (routes.at[routes.len() - 1], logits.at[logits.len() - 1]);
        assert!(watch.done[0] > last_weight);
        // A row waits for up to three before it that belong to the same logit.
        let wait = last_logit - last_row - ROW_TO_LOGIT;
        assert!(
            wait <= 3,
            "{wait} more cycles from the last row to its logit"
        );
        last_weight - last_logit
    }
}

/// Cycles from a row to its logit.
const ROW_TO_LOGIT: u64 = 4;

const SCORES: [Score; 4] = [
    Score::Softmax,
    Score::Sigmoid,
    Score::Identity,
    Score::Sparsemixer,
];

fn one_of<T: Copy>(r: &mut Rng, of: &[T]) -> T {
    of[r.below(of.len() as u64) as usize]
}

/// A random command that `command` would let pass, of the given score and number of experts.
fn any_command(r: &mut Rng, score: Score, experts: usize) -> Command {
    let mut c = Command {
        tokens: 1 + r.below(3) as usize,
        experts,
        topk: 1 + r.below(experts.min(8) as u64) as usize,
        score,
        renorm: r.chance(128),
        biases: if r.chance(100) {
            Biases::None
        } else {
            one_of(r, &BIASES)
        },
        groups: r.below(2) as usize,
        kept: r.below(256) as usize,
        sum2: false,
        scale: one_of(r, &[4096, 4096, 10240, 1, 0, 65535, 11111]),
        jitter: one_of(r, &[1311, 0, 65535, 6554]),
        window: one_of(r, &[1, 2, 3, 7, 1000]),
        logits: one_of(r, &KINDS),
        lsb: -50 + r.below(30) as i32,
        lsb_spread: one_of(r, &[1, 12]),
        stall: one_of(r, &[0, 60, 200]),
    };
    if score == Score::Sparsemixer {
        c.topk = 2;
    }
    if r.chance(140) {
        c.sum2 = r.chance(128);
        let least = if c.sum2 { 2 } else { 1 };
        let fits: Vec<usize> = (2..=16)
            .filter(|g| experts.is_multiple_of(*g) && experts / g >= least)
            .collect();
        if !fits.is_empty() {
            c.groups = one_of(r, &fits);
            let enough = c.topk.div_ceil(experts / c.groups);
            c.kept = enough + r.below((c.groups + 1 - enough) as u64) as usize;
        }
    }
    c
}

#[test]
fn every_score_with_everything() {
    let mut b = Bench::new(100);
    let mut r = Rng::new(100);
    for round in 0..60 {
        for experts in [1, 2, 3, 4, 5, 8, 12, 16, 30, 32, 60, 64, 128, 256] {
            // The large ones take most of the time.
            if experts > 60 && round % 8 != 0 {
                continue;
            }
            for score in SCORES {
                if score == Score::Sparsemixer && experts == 1 {
                    continue;
                }
                b.run(any_command(&mut r, score, experts));
            }
        }
    }
}

#[test]
fn every_number_of_experts_and_choices() {
    let mut b = Bench::new(10_000);
    let mut r = Rng::new(10_000);
    for experts in 1..=72 {
        for topk in 1..=experts.min(8) {
            let score = SCORES[(experts + topk) % 3];
            let c = any_command(&mut r, score, experts);
            b.run(Command {
                topk,
                groups: 0,
                ..c
            });
        }
    }
}

#[test]
fn many_groups_kept() {
    // Above eight the list holds the dropped ones.
    let mut b = Bench::new(20_000);
    let mut r = Rng::new(20_000);
    for groups in [2, 8, 9, 12, 16] {
        for kept in 1..=groups {
            for logits in [Logits::Usual, Logits::Ties, Logits::Equal] {
                let experts = groups * (1 + r.below(5) as usize);
                let score = one_of(&mut r, &SCORES[..3]);
                let topk = 1 + r.below((experts / groups * kept).min(8) as u64) as usize;
                let sum2 = experts > groups && r.chance(128);
                let biases = one_of(&mut r, &BIASES);
                let c = any_command(&mut r, score, experts);
                b.run(Command {
                    groups,
                    kept,
                    topk,
                    sum2,
                    biases,
                    logits,
                    ..c
                });
            }
        }
    }
}

#[test]
fn every_number_of_tokens() {
    let mut b = Bench::new(30_000);
    for tokens in (1..20).chain([31, 32, 100, SIM.tokens_max]) {
        b.run(Command {
            tokens,
            experts: 1 + (7 * tokens) % 40,
            topk: 1,
            score: SCORES[tokens % 3],
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
        window: 50,
        ..PLAIN
    });
}

#[test]
fn every_kind_of_logits_under_every_exponent() {
    let mut b = Bench::new(40_000);
    for logits in KINDS {
        // Right shifts, left shifts, and exponents that no model has.
        let exponents = (-90..50).chain([
            -32768, -32749, -32748, -1000, -148, -147, -129, 100, 1000, 32746, 32747, 32748, 32767,
        ]);
        for (i, lsb) in exponents.enumerate() {
            b.run(Command {
                tokens: 2,
                experts: 9,
                topk: if i % 4 == 3 { 2 } else { 1 + i % 8 },
                score: SCORES[i % 4],
                renorm: i % 3 == 0,
                logits,
                lsb,
                ..PLAIN
            });
        }
    }
}

#[test]
fn those_that_a_bias_chose_share_what_the_best_left() {
    // Their exponentials are small against that of the best, which is not among them: every bit of them shows in a weight.
    let mut b = Bench::new(70_000);
    for round in 0..80 {
        b.run(Command {
            tokens: 8,
            experts: 9 + round % 7,
            topk: 2 + round % 3,
            biases: Biases::Any,
            ..PLAIN
        });
        b.run(Command {
            tokens: 4,
            topk: 3,
            score: Score::Sigmoid,
            logits: Logits::Faint,
            ..PLAIN
        });
    }
}

#[test]
fn sigmoids_of_a_few_steps_around_zero() {
    // The shift of a logit is then all that a weight shows.
    let mut b = Bench::new(80_000);
    for lsb in -24..=0 {
        b.run(Command {
            tokens: 12,
            score: Score::Sigmoid,
            renorm: false,
            logits: Logits::Tiny,
            lsb,
            ..PLAIN
        });
    }
}

#[test]
fn a_sum_of_zero_gives_weights_of_zero() {
    let mut b = Bench::new(50_000);
    for (renorm, lsb) in [(true, -30), (true, 0), (false, 0)] {
        b.run(Command {
            score: Score::Sigmoid,
            logits: Logits::Low,
            renorm,
            lsb,
            ..PLAIN
        });
    }
}

/// Cycles from the last logit to the last weight, as the unit's page states them: the least and the most, since the groups left out
/// count only before the last one kept.
fn cycles(c: &Command) -> std::ops::RangeInclusive<u64> {
    let (e, k) = (c.experts, c.topk);
    let other = c.biased() || c.grouped();
    let scores = match (c.score, c.renorm) {
        (Score::Sparsemixer, _) => 18 * e + 62,
        (Score::Softmax, false) if other => 2 * e + k + 43,
        (Score::Softmax, true) if other => 2 * e + k + 54,
        (Score::Identity, _) if other => e + 3 * k + 47,
        (Score::Sigmoid, false) => e + k + 21,
        _ => e + k + 32,
    };
    let late = match c.score {
        Score::Sigmoid if e < 5 => 3,
        _ => 0,
    };
    let (groups, left_out) = if c.grouped() {
        // The list holds the groups to keep or, above eight, those to drop.
        let listed = if c.kept > 8 {
            c.groups - c.kept
        } else {
            c.kept
        };
        (e / c.groups * c.kept + listed + 10, c.groups - c.kept)
    } else {
        (0, 0)
    };
    let least = (scores + late + usize::from(e == 1) + groups) as u64;
    least..=least + left_out as u64
}

#[test]
fn the_cycles_are_those_of_the_page() {
    let mut b = Bench::new(60_000);
    let sizes = [
        (1, 1, 0, 0),
        (3, 2, 1, 0),
        (8, 2, 0, 0),
        (16, 2, 8, 8),
        (64, 8, 0, 0),
        (64, 4, 16, 12),
        (256, 8, 8, 4),
    ];
    for score in SCORES {
        for (experts, topk, groups, kept) in sizes {
            if score == Score::Sparsemixer && topk != 2 {
                continue;
            }
            for (biases, renorm) in [
                (Biases::None, false),
                (Biases::None, true),
                (Biases::Small, false),
                (Biases::Small, true),
            ] {
                let c = Command {
                    score,
                    experts,
                    topk,
                    groups,
                    kept,
                    biases,
                    renorm,
                    ..PLAIN
                };
                let took = b.run(c);
                println!("{took} cycles from the last logit to the last weight");
                assert!(
                    cycles(&c).contains(&took),
                    "{took} is not in {:?}",
                    cycles(&c)
                );
            }
        }
    }
}
