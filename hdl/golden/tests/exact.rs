//! Every value of a trace, bit by bit, from the definitions of `docs/formats.md` in whole numbers: no code is shared with the
//! engine or with `numeric`, weights are taken from the matrices and not from their images, and the layers are of every kind.
//! Only scores and router weights are compared with f64, within the bounds that `numeric`'s own anchor gives them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use abi::command::{Activation, Score, Source};
use abi::config::{SIM, TINY};
use abi::{Kind, Status};
use golden::sample::{Layer, Random, Shape};
use golden::{Engine, Matrix, Operand, Trace};

/// Nearest integer to `v / 2^s`, ties to even.
fn nearest(v: i128, s: i32) -> i128 {
    if s > 120 {
        return 0;
    }
    let unit = 1i128 << s;
    let below = v.div_euclid(unit);
    let rest = 2 * (v - below * unit);
    let up = rest > unit || (rest == unit && below.rem_euclid(2) == 1);
    below + i128::from(up)
}

/// `v * 2^e` within `±limit`, and whether it had to be clamped. `v` is below 2^70, limits below 2^44.
fn scaled(v: i128, e: i32, limit: i128) -> (i128, bool) {
    let exact = if e < 0 {
        nearest(v, -e)
    } else if v == 0 {
        0
    } else {
        v.signum() * (v.abs() << e.min(50))
    };
    (exact.clamp(-limit, limit), exact.abs() > limit)
}

/// Mantissa and exponent of a scale.
fn scale(bits: u16) -> (i128, i32) {
    let (e5, c) = (i32::from(bits >> 10) % 32, i128::from(bits % 1024));
    let m = if e5 == 0 { c } else { c + 1024 };
    (if bits >= 0x8000 { -m } else { m }, e5.max(1))
}

/// Row `row` as dense integers.
fn dense(m: &Matrix, row: usize) -> Vec<i128> {
    let (n, of) = m.storage.sparsity.ratio();
    let kept = m.inputs / of * n;
    let mut out = vec![0; m.inputs];
    for i in 0..kept {
        let at = row * kept + i;
        let column = if n == of {
            i
        } else {
            i / n * of + usize::from(m.positions[at])
        };
        out[column] = i128::from(m.values[at]);
    }
    out
}

/// A vector of blocks `(exponent, values)`.
type Blocks = Vec<(u8, Vec<i8>)>;

fn bmax(blocks: &Blocks) -> i32 {
    blocks.iter().map(|b| i32::from(b.0)).max().unwrap()
}

/// With 32 ones behind.
fn with_bias(x: &Blocks, one: i8) -> Blocks {
    let mut x = x.clone();
    x.push((127, vec![one; 32]));
    x
}

/// A row times a vector.
fn accumulate(row: &[i128], scales: &[u16], blocks: &Blocks) -> i128 {
    let top = bmax(blocks);
    let terms = blocks.iter().enumerate().map(|(n, (exponent, x))| {
        let s: i128 = row[(32 * n).min(row.len())..]
            .iter()
            .zip(x)
            .map(|(w, x)| w * i128::from(*x))
            .sum();
        let (m, e) = scale(scales[n]);
        nearest(s * m, (30 - e + top - i32::from(*exponent)).max(0) + 4)
    });
    terms.sum()
}

/// Row `row` of a matrix times a vector, the bias behind whole blocks.
fn product(m: &Matrix, row: usize, x: &Blocks) -> (i128, i32) {
    let blocks = m.inputs.div_ceil(32);
    let mut weights = dense(m, row);
    let mut scales = m.scales[row * blocks..(row + 1) * blocks].to_vec();
    if !m.storage.bias {
        return (accumulate(&weights, &scales, x), bmax(x));
    }
    weights.resize(32 * blocks, 0);
    weights.extend(m.biases[row].values.iter().map(|&v| i128::from(v)));
    scales.push(m.biases[row].scale);
    let x = with_bias(x, 64);
    (accumulate(&weights, &scales, &x), bmax(&x))
}

/// The `q15` blocks of binary32 patterns.
fn blocks(words: &[u32]) -> Vec<(u8, Vec<i128>)> {
    let fields = |w: u32| {
        (
            w >> 31,
            i32::from((w >> 23) as u8),
            i128::from(w & 0x7F_FFFF),
        )
    };
    let counts = |b: i32| b != 0 && b != 255;
    words
        .chunks(32)
        .map(|block| {
            let exponents = block.iter().map(|&w| fields(w).1).filter(|&b| counts(b));
            let top = exponents.max().unwrap_or(0);
            let value = |&w: &u32| {
                let (sign, b, c) = fields(w);
                if !counts(b) {
                    return 0;
                }
                let q = nearest(c + (1 << 23), 10 + top - b);
                if sign == 1 {
                    -q
                } else {
                    q
                }
            };
            (top as u8, block.iter().map(value).collect())
        })
        .collect()
}

fn bytes(blocks: &[(u8, Vec<i128>)], part: impl Fn(i128) -> i128) -> Blocks {
    let narrow = |v: &i128| i8::try_from(part(*v)).unwrap();
    blocks
        .iter()
        .map(|(e, v)| (*e, v.iter().map(narrow).collect()))
        .collect()
}

fn q8(words: &[u32]) -> Blocks {
    bytes(&blocks(words), |q| nearest(q, 7).clamp(-127, 127))
}

/// erfc by Simpson's rule.
fn erfc(x: f64) -> f64 {
    let steps = 4000;
    let h = 12.0 / f64::from(steps);
    let f = |i: i32| (-(x + h * f64::from(i)).powi(2)).exp();
    let inner: f64 = (1..steps)
        .map(|i| f(i) * if i % 2 == 1 { 4.0 } else { 2.0 })
        .sum();
    (f(0) + inner + f(steps)) * h / 3.0 * 2.0 / std::f64::consts::PI.sqrt()
}

/// The tables of SiLU, GELU, GELU-tanh and the clamped form.
static DELTA: LazyLock<[Vec<i128>; 4]> = LazyLock::new(|| {
    let table = |f: fn(f64) -> f64| {
        (0..=1024)
            .map(|i| (16_777_216.0 * f(f64::from(i) / 64.0)).round() as i128)
            .collect()
    };
    [
        table(|a| a / (1.0 + a.exp())),
        table(|a| a / 2.0 * erfc(a / 2f64.sqrt())),
        table(|a| {
            let v = (2.0 / std::f64::consts::PI).sqrt() * (a + 0.044715 * a.powi(3));
            a / 2.0 * (2.0 / (1.0 + (2.0 * v).exp()))
        }),
        table(|a| a / (1.0 + (1.702 * a).exp())),
    ]
});

fn table_function(table: usize, v: i128) -> i128 {
    let a = v.abs();
    let (i, r) = ((a >> 18) as usize, a % (1 << 18));
    let delta = if i >= 1024 {
        0
    } else {
        let y = &DELTA[table];
        y[i] + ((y[i + 1] - y[i]) * r + (1 << 17)).div_euclid(1 << 18)
    };
    v.max(0) - delta
}

/// `A` and `U`.
fn factors(function: Activation, g: i128, u: Option<i128>) -> (i128, i128) {
    let one = 1 << 24;
    let a = match function {
        Activation::Silu => table_function(0, g),
        Activation::Gelu => table_function(1, g),
        Activation::GeluTanh => table_function(2, g),
        Activation::Relu | Activation::Relu2 => g.max(0),
        Activation::Clamped => table_function(3, g.min(7 * one)),
    };
    let u = match (function, u) {
        (Activation::Relu2, _) => g.max(0),
        (Activation::Clamped, Some(u)) => u.max(-7 * one).min(7 * one) + one,
        (_, Some(u)) => u,
        (_, None) => one,
    };
    (a, u)
}

/// A number in 17 bits of magnitude.
fn rounded(v: i128) -> i128 {
    let bits = 128 - v.abs().leading_zeros() as i32;
    let s = (bits - 17).max(0);
    (nearest(v.abs(), s) * v.signum()) << s
}

fn binary32(product: i128) -> u32 {
    if product == 0 {
        return 0;
    }
    // To 24 bits by definition; f32 then holds it exactly.
    let length = 128 - product.abs().leading_zeros() as i32;
    let drop = (length - 24).max(0);
    ((nearest(product, drop) as f64 * 2f64.powi(drop - 48)) as f32).to_bits()
}

/// Checks a token's choice: `l` are its logits in Q12.24, `chosen` experts and weights in order.
fn verify_choice(layer: &Layer, l: &[i128], chosen: &[(usize, u32)]) {
    let rule = &layer.shape.rule;
    let experts = l.len();
    let value: Vec<f64> = l.iter().map(|&l| l as f64 / 16_777_216.0).collect();
    let distinct: BTreeSet<usize> = chosen.iter().map(|c| c.0).collect();
    assert_eq!(distinct.len(), rule.topk);
    let exp_sum = |of: &[usize], top: f64| of.iter().map(|&e| (value[e] - top).exp()).sum::<f64>();
    let all: Vec<usize> = (0..experts).collect();
    let order: Vec<usize> = chosen.iter().map(|c| c.0).collect();
    let largest = |of: &[usize]| of.iter().map(|&e| value[e]).fold(f64::MIN, f64::max);
    let top = largest(&all);
    let check = |got: u32, want: f64| {
        let factor = f64::from(rule.route_scale) / 4096.0;
        let want = (want * factor).min(f64::from((1 << 20) - 1) / 65536.0);
        let got = f64::from(got) / 65536.0;
        let bound = 2.5e-5 * factor.max(1.0);
        assert!((got - want).abs() < bound, "weight {got} is not {want}");
    };

    if rule.score == Score::Sparsemixer {
        let mut left = all.clone();
        for &(expert, weight) in chosen {
            let best = *left.iter().max_by_key(|&&e| (l[e], experts - e)).unwrap();
            assert_eq!(expert, best);
            let near: Vec<usize> = left
                .iter()
                .copied()
                .filter(|&e| {
                    (l[best] - l[e]) * 65536 <= i128::from(rule.jitter) * l[e].abs().max(l[best])
                })
                .collect();
            check(weight, 1.0 / exp_sum(&near, value[best]));
            left.retain(|&e| e != best);
        }
        return;
    }

    // Keys in units of 1, and how far they may be off; exact ones are compared as integers.
    let bias = |e: usize| {
        if rule.choice_bias {
            layer.router.choice[e]
        } else {
            0
        }
    };
    let plain = rule.score == Score::Softmax && !rule.choice_bias && rule.groups < 2;
    let (keys, slack): (Vec<f64>, f64) = match rule.score {
        Score::Softmax if plain => (l.iter().map(|&l| l as f64).collect(), 0.0),
        Score::Softmax => {
            let total = exp_sum(&all, top);
            let s = |e: usize| (value[e] - top).exp() / total * 16_777_216.0;
            (
                all.iter().map(|&e| s(e) + f64::from(bias(e))).collect(),
                120.0,
            )
        }
        Score::Sigmoid => {
            let s = |e: usize| 16_777_216.0 * (1.0 + (value[e] / 2.0).tanh()) / 2.0;
            (
                all.iter().map(|&e| s(e) + f64::from(bias(e))).collect(),
                40.0,
            )
        }
        _ => (
            all.iter()
                .map(|&e| (l[e] + i128::from(bias(e))) as f64)
                .collect(),
            0.0,
        ),
    };
    // The groups that are surely in, those that may be, and the experts that could have been chosen.
    let mut surely: Vec<usize> = all.clone();
    if rule.groups > 1 {
        let size = experts / rule.groups;
        let score = |g: usize| {
            let mut k = keys[g * size..(g + 1) * size].to_vec();
            k.sort_by(|a, b| b.total_cmp(a));
            k[..1 + usize::from(rule.sum2)].iter().sum::<f64>()
        };
        let scores: Vec<f64> = (0..rule.groups).map(score).collect();
        // A group is in for sure if fewer than `kept` others may be before it, and out if `kept` others are for sure.
        let before = |g: usize, slack: f64| {
            (0..rule.groups)
                .filter(|&o| o != g)
                .filter(|&o| {
                    scores[o] > scores[g] + slack || (scores[o] >= scores[g] + slack && o < g)
                })
                .count()
        };
        let is_in = |g: usize| before(g, -2.0 * slack) < rule.groups_kept;
        let is_out = |g: usize| before(g, 2.0 * slack) >= rule.groups_kept;
        assert!(order.iter().all(|&e| !is_out(e / size)), "groups");
        surely.retain(|&e| is_in(e / size));
    }
    for pair in order.windows(2) {
        let (a, b) = (keys[pair[0]], keys[pair[1]]);
        assert!(a > b - slack || (a == b && pair[0] < pair[1]), "order");
        assert!(slack > 0.0 || a > b || pair[0] < pair[1], "ties");
    }
    let last = *order.last().unwrap();
    for &e in surely.iter().filter(|e| !distinct.contains(e)) {
        let (a, b) = (keys[last], keys[e]);
        assert!(a > b - slack || (a == b && last < e), "{e} was left out");
    }

    let top_chosen = largest(&order);
    let sigmoid = |e: usize| (1.0 + (value[e] / 2.0).tanh()) / 2.0;
    for &(e, weight) in chosen {
        match (rule.score, rule.renormalise) {
            (Score::Softmax, false) => check(weight, (value[e] - top).exp() / exp_sum(&all, top)),
            (Score::Sigmoid, false) => check(weight, sigmoid(e)),
            (Score::Sigmoid, true) => {
                let sum: f64 = order.iter().map(|&e| sigmoid(e)).sum();
                if sum > 0.05 {
                    check(weight, sigmoid(e) / sum);
                }
            }
            // With a bias all of the chosen may be far from the best: few bits are left of their p.
            (Score::Softmax, true) if top_chosen < top - 2.0 => {}
            _ => check(
                weight,
                (value[e] - top_chosen).exp() / exp_sum(&order, top_chosen),
            ),
        }
    }
}

/// Checks a trace; returns the saturations it found.
fn verify(layer: &Layer, t: &Trace) -> u64 {
    let s = &layer.shape;
    let d = s.d;
    let outputs = if s.plain { s.f } else { d };
    let mut saturations = 0;

    // Inputs.
    let rows: Vec<Vec<u32>> = layer
        .x
        .chunks(d)
        .map(|row| row.iter().map(|v| v.to_bits()).collect())
        .collect();
    let x: Vec<Blocks> = rows.iter().map(|r| q8(r)).collect();
    let high = |v: i128| (v + 128).div_euclid(256);
    let hi: Vec<Blocks> = rows.iter().map(|r| bytes(&blocks(r), high)).collect();
    let lo: Vec<Blocks> = rows
        .iter()
        .map(|r| bytes(&blocks(r), |v| v - 256 * high(v)))
        .collect();
    for b in &t.x_blocks {
        for (want, got) in [
            (&x[b.token][b.block], &b.q8),
            (&hi[b.token][b.block], &b.hi),
            (&lo[b.token][b.block], &b.lo),
        ] {
            assert_eq!(want.0, b.exponent);
            assert_eq!(want.1[..], got[..want.1.len()]);
            assert!(got[want.1.len()..].iter().all(|v| *v == 0));
        }
    }

    // Accumulators of the router, logits, and what must follow from them.
    let router_blocks = d.div_ceil(32);
    let mut router = vec![vec![[[0i128; 2]; 2]; s.experts]; s.tokens];
    for a in t.acc.iter().filter(|a| a.kind == Kind::Router) {
        let (expert, limb) = (a.row % s.experts, a.row / s.experts);
        let w = &layer.router;
        let part = |q: i128| {
            if limb == 0 {
                high(q)
            } else {
                q - 256 * high(q)
            }
        };
        let mut row: Vec<i128> = w.q15[expert * d..(expert + 1) * d]
            .iter()
            .map(|&q| part(q.into()))
            .collect();
        let mut scales = w.scales[expert * router_blocks..(expert + 1) * router_blocks].to_vec();
        let (vector, one, operand) = match a.operand {
            Operand::Hi => (&hi[a.token], 32, 0),
            Operand::Lo => (&lo[a.token], 0, 1),
            other => panic!("{other:?}"),
        };
        let mut vector = vector.clone();
        if s.router_bias {
            row.resize(32 * router_blocks, 0);
            row.extend(w.biases[expert].values.iter().map(|&q| part(q.into())));
            scales.push(w.biases[expert].scale);
            vector = with_bias(&vector, one);
        }
        let want = accumulate(&row, &scales, &vector);
        assert_eq!(i128::from(a.acc), want, "{a:?}");
        router[a.token][expert][limb][operand] = want;
    }
    let mut fixed_logits = vec![Vec::new(); s.tokens];
    for l in &t.logits {
        let [[hh, hl], [lh, ll]] = router[l.token][l.expert];
        let want = hh * 65536 + (hl + lh) * 256 + ll;
        assert_eq!(i128::from(l.logit), want, "{l:?}");
        let top = bmax(&x[l.token]).max(if s.router_bias { 127 } else { 0 });
        let ls = top - 136 + i32::from(layer.router.w_exp);
        fixed_logits[l.token].push(scaled(want, ls + 24, (1 << 35) - 1).0);
    }
    for (token, fixed) in fixed_logits.iter().enumerate() {
        let chosen: Vec<(usize, u32)> = t
            .routes
            .iter()
            .filter(|r| r.token == token)
            .enumerate()
            .map(|(n, r)| {
                assert_eq!(n, r.slot);
                (r.expert, r.weight)
            })
            .collect();
        match s.source {
            Source::Router => verify_choice(layer, fixed, &chosen),
            Source::All => assert_eq!(chosen, [(0, 65536)]),
            Source::Host => {
                let entries = layer.host_routes[token].iter();
                let given = entries.filter(|e| e.0 != 0xFFFF);
                let given = given.map(|e| (e.0 as usize, e.1.min((1 << 20) - 1)));
                assert_eq!(chosen, given.collect::<Vec<_>>());
            }
        }
    }

    // Gate and up, the hidden vector.
    let mut fixed = BTreeMap::new();
    for a in t.acc.iter().filter(|a| a.kind == Kind::Hidden) {
        let expert = &layer.experts[a.expert];
        let (m, w_exp) = match a.operand {
            Operand::Gate => (&expert.hidden[0], expert.exponents.gate),
            Operand::Up => (&expert.hidden[1], expert.exponents.up),
            other => panic!("{other:?}"),
        };
        let (want, top) = product(m, a.row, &x[a.token]);
        assert_eq!(i128::from(a.acc), want, "{a:?}");
        let lsb = top - 129 + i32::from(w_exp);
        let (value, clamped) = scaled(want, lsb + 24, (1 << 35) - 1);
        saturations += u64::from(clamped);
        fixed.insert((a.expert, a.token, a.row, a.operand as u8), value);
    }
    let mut hidden = BTreeMap::new();
    for h in &t.hidden {
        let of = |operand| {
            fixed
                .get(&(h.expert, h.token, h.row, operand as u8))
                .copied()
        };
        let (g, u) = (of(Operand::Gate).unwrap(), of(Operand::Up));
        assert_eq!(u.is_some(), s.gated);
        assert_eq!(
            (i128::from(h.gate), i128::from(h.up)),
            (g, u.unwrap_or(0)),
            "{h:?}"
        );
        let (a, u) = factors(s.activation, g, u);
        let bits = binary32(rounded(a) * rounded(u));
        assert_eq!(h.bits, bits, "{h:?}");
        let vector = hidden
            .entry((h.expert, h.token))
            .or_insert_with(|| vec![0; s.f]);
        vector[h.row] = bits;
    }
    let hidden: BTreeMap<_, _> = hidden.into_iter().map(|(k, v)| (k, q8(&v))).collect();
    for b in &t.hidden_blocks {
        let want = &hidden[&(b.expert, b.token)][b.block];
        assert_eq!(
            (want.0, &want.1[..]),
            (b.exponent, &b.q8[..want.1.len()]),
            "{b:?}"
        );
    }

    // Down or the dense layer, contributions, outputs.
    let mut sums = vec![0i128; s.tokens * outputs];
    let mut z_at = t.z.iter();
    let outputs_kind = if s.plain { Kind::Plain } else { Kind::Down };
    for a in t.acc.iter().filter(|a| a.kind == outputs_kind) {
        let expert = &layer.experts[a.expert];
        let vector = if s.plain {
            &x[a.token]
        } else {
            &hidden[&(a.expert, a.token)]
        };
        let (want, top) = product(&expert.down, a.row, vector);
        assert_eq!(i128::from(a.acc), want, "{a:?}");
        let weight = t
            .routes
            .iter()
            .find(|r| r.token == a.token && r.expert == a.expert)
            .unwrap()
            .weight;
        let lsb = top - 129 + i32::from(expert.exponents.down);
        let e = lsb - 16 - (i32::from(layer.lsb_y) - 8);
        let (z, clamped) = scaled(want * i128::from(weight), e, (1 << 43) - 1);
        saturations += u64::from(clamped);
        let got = z_at.next().unwrap();
        assert_eq!((got.expert, got.token, got.row), (a.expert, a.token, a.row));
        assert_eq!(i128::from(got.z), z, "{got:?}");
        sums[a.token * outputs + a.row] += z;
    }
    assert_eq!(z_at.next(), None);
    assert_eq!(t.y.len(), s.tokens * outputs);
    for y in &t.y {
        let exact = nearest(sums[y.token * outputs + y.row], 8);
        let clamped = exact.clamp(i32::MIN.into(), i32::MAX.into());
        saturations += u64::from(clamped != exact);
        assert_eq!(i128::from(y.y), clamped, "{y:?}");
    }
    let limits = t.acc.iter().all(|a| a.acc.abs() < 1 << 35);
    assert!(limits, "36 bits");
    saturations
}

#[test]
fn layers_of_every_kind_are_exact() {
    let mut saturated = 0;
    for seed in 0..260u64 {
        let random = &mut Random::new(seed);
        let config = if seed % 3 == 0 { TINY } else { SIM };
        let shape = Shape::random(&config, random, 100, 4);
        println!("seed {seed} {shape:?}");
        let mut layer = Layer::random(shape, seed);
        layer.lsb_y = [-18, -30, -44, 0][seed as usize % 4];
        let mut memory = vec![0; 8 << 20];
        let (at, command) = layer.store(&config, &mut memory, 64).unwrap();
        let mut engine = Engine::new(config, true);
        let outcome = engine.run_command(&mut memory, at);
        assert_eq!(outcome.status, Status::Ok, "{command:?}");
        let trace = engine.take_trace();
        let found = verify(&layer, &trace);
        assert_eq!(found, outcome.counters.saturations);
        saturated += found;
    }
    assert!(saturated > 100, "saturation was tried: {saturated}");
}
