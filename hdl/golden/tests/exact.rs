//! Every value of a trace, bit by bit, from the definitions of `docs/formats.md` in whole numbers: no code is shared with the
//! engine or with `numeric`, weights are taken from the matrices and not from their images, and the layers are wild.

use abi::config::{SIM, TINY};
use abi::{Kind, Sparsity, Status};
use golden::sample::{Layer, Shape};
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
    let mut out = vec![0; m.shape.inputs];
    for n in 0..m.kept() {
        let at = row * m.kept() + n;
        let column = match m.shape.sparsity {
            Sparsity::Dense => n,
            Sparsity::TwoOfFour => n / 2 * 4 + usize::from(m.positions[at]),
        };
        out[column] = i128::from(m.values[at]);
    }
    out
}

/// A row times a vector of blocks `(exponent, values)`.
fn accumulate(row: &[i128], scales: &[u16], blocks: &[(u8, Vec<i8>)]) -> i128 {
    let top = blocks.iter().map(|b| i32::from(b.0)).max().unwrap();
    let terms = blocks.iter().enumerate().map(|(n, (exponent, x))| {
        let s: i128 = row[32 * n..]
            .iter()
            .zip(x)
            .map(|(w, x)| w * i128::from(*x))
            .sum();
        let (m, e) = scale(scales[n]);
        nearest(s * m * 256, 30 - e.min(30) + top - i32::from(*exponent))
    });
    terms.sum()
}

fn bmax(blocks: &[(u8, Vec<i8>)]) -> i32 {
    blocks.iter().map(|b| i32::from(b.0)).max().unwrap()
}

/// The quantised blocks of binary32 patterns, `bits` of mantissa below the block's exponent, within `±limit`.
fn blocks(words: &[u32], bits: i32, limit: i128) -> Vec<(u8, Vec<i128>)> {
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
                let q = nearest(c + (1 << 23), 23 - bits + top - b).min(limit);
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

fn bytes(blocks: &[(u8, Vec<i128>)], part: impl Fn(i128) -> i128) -> Vec<(u8, Vec<i8>)> {
    let narrow = |v: &i128| i8::try_from(part(*v)).unwrap();
    blocks
        .iter()
        .map(|(e, v)| (*e, v.iter().map(narrow).collect()))
        .collect()
}

/// Checks a trace; returns the saturations it found.
fn verify(layer: &Layer, t: &Trace) -> u64 {
    let s = &layer.shape;
    let (d, f) = (s.d, s.f);
    let mut saturations = 0;

    // Inputs.
    let rows: Vec<Vec<u32>> = layer
        .x
        .chunks(d)
        .map(|row| row.iter().map(|v| v.to_bits()).collect())
        .collect();
    let x: Vec<_> = rows
        .iter()
        .map(|r| bytes(&blocks(r, 6, 127), |v| v))
        .collect();
    let high = |v: i128| (v + 128).div_euclid(256);
    let hi: Vec<_> = rows
        .iter()
        .map(|r| bytes(&blocks(r, 13, 1 << 14), high))
        .collect();
    let lo: Vec<_> = rows
        .iter()
        .map(|r| bytes(&blocks(r, 13, 1 << 14), |v| v - 256 * high(v)))
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
        let row: Vec<i128> = layer.router[expert * d..(expert + 1) * d]
            .iter()
            .map(|&q| i128::from(q))
            .map(|q| {
                if limb == 0 {
                    high(q)
                } else {
                    q - 256 * high(q)
                }
            })
            .collect();
        let (vector, operand) = match a.operand {
            Operand::Hi => (&hi[a.token], 0),
            Operand::Lo => (&lo[a.token], 1),
            other => panic!("{other:?}"),
        };
        let want = accumulate(&row, &layer.router_scales[expert * router_blocks..], vector);
        assert_eq!(i128::from(a.acc), want, "{a:?}");
        router[a.token][expert][limb][operand] = want;
    }
    for l in &t.logits {
        let [[hh, hl], [lh, ll]] = router[l.token][l.expert];
        assert_eq!(
            i128::from(l.logit),
            hh * 65536 + (hl + lh) * 256 + ll,
            "{l:?}"
        );
    }
    for pair in t.routes.windows(2).filter(|p| p[0].token == p[1].token) {
        let logit = |e: usize| {
            t.logits
                .iter()
                .find(|l| l.token == pair[0].token && l.expert == e)
                .unwrap()
                .logit
        };
        let (a, b) = (logit(pair[0].expert), logit(pair[1].expert));
        assert!(a > b || (a == b && pair[0].expert < pair[1].expert));
        assert!(pair[0].weight >= pair[1].weight);
    }

    // Gate and up, the hidden vector.
    let mut fixed = std::collections::BTreeMap::new();
    for a in t.acc.iter().filter(|a| a.kind == Kind::GateUp) {
        let [gate, up, _] = &layer.experts[a.expert];
        let e = layer.exponents[a.expert];
        let (m, w_exp) = match a.operand {
            Operand::Gate => (gate, e.gate),
            Operand::Up => (up, e.up),
            other => panic!("{other:?}"),
        };
        let vector = &x[a.token];
        let scales = &m.scales[a.row * router_blocks..];
        let want = accumulate(&dense(m, a.row), scales, vector);
        assert_eq!(i128::from(a.acc), want, "{a:?}");
        let lsb = bmax(vector) - 141 + i32::from(w_exp);
        let (value, clamped) = scaled(want, lsb + 24, (1 << 35) - 1);
        saturations += u64::from(clamped);
        fixed.insert((a.expert, a.token, a.row, a.operand as u8), value);
    }
    let mut hidden = std::collections::BTreeMap::new();
    for h in &t.hidden {
        let of = |operand| fixed[&(h.expert, h.token, h.row, operand as u8)];
        let (g, u) = (of(Operand::Gate), of(Operand::Up));
        assert_eq!((i128::from(h.gate), i128::from(h.up)), (g, u), "{h:?}");
        let a = g.abs();
        let y = |i: i128| {
            let a = i as f64 / 32.0;
            (16_777_216.0 * a / (1.0 + a.exp())).round() as i128
        };
        let (i, r) = (a >> 19, a % (1 << 19));
        let delta = if i >= 512 {
            0
        } else {
            y(i) + ((y(i + 1) - y(i)) * r + (1 << 18)).div_euclid(1 << 19)
        };
        let product = (g.max(0) - delta) * u;
        let bits = if product == 0 {
            0
        } else {
            // To 24 bits by definition; f32 then holds it exactly.
            let length = 128 - product.abs().leading_zeros() as i32;
            let drop = (length - 24).max(0);
            let kept = nearest(product, drop);
            ((kept as f64 * 2f64.powi(drop - 48)) as f32).to_bits()
        };
        assert_eq!(h.bits, bits, "{h:?}");
        let vector = hidden
            .entry((h.expert, h.token))
            .or_insert_with(|| vec![0; f]);
        vector[h.row] = bits;
    }
    let hidden: std::collections::BTreeMap<_, _> = hidden
        .into_iter()
        .map(|(k, v)| (k, bytes(&blocks(&v, 6, 127), |v| v)))
        .collect();
    for b in &t.hidden_blocks {
        let want = &hidden[&(b.expert, b.token)][b.block];
        assert_eq!(
            (want.0, &want.1[..]),
            (b.exponent, &b.q8[..want.1.len()]),
            "{b:?}"
        );
    }

    // Down, contributions, outputs.
    let mut sums = vec![0i128; s.tokens * d];
    let mut z_at = t.z.iter();
    for a in t.acc.iter().filter(|a| a.kind == Kind::Down) {
        let m = &layer.experts[a.expert][2];
        let vector = &hidden[&(a.expert, a.token)];
        let want = accumulate(
            &dense(m, a.row),
            &m.scales[a.row * f.div_ceil(32)..],
            vector,
        );
        assert_eq!(i128::from(a.acc), want, "{a:?}");
        let weight = t
            .routes
            .iter()
            .find(|r| r.token == a.token && r.expert == a.expert)
            .unwrap()
            .weight;
        let lsb = bmax(vector) - 141 + i32::from(layer.exponents[a.expert].down);
        let e = lsb - 16 - (i32::from(layer.lsb_y) - 8);
        let (z, clamped) = scaled(want * i128::from(weight), e, (1 << 43) - 1);
        saturations += u64::from(clamped);
        let got = z_at.next().unwrap();
        assert_eq!((got.expert, got.token, got.row), (a.expert, a.token, a.row));
        assert_eq!(i128::from(got.z), z, "{got:?}");
        sums[a.token * d + a.row] += z;
    }
    for y in &t.y {
        let exact = nearest(sums[y.token * d + y.row], 8);
        let clamped = exact.clamp(i32::MIN.into(), i32::MAX.into());
        saturations += u64::from(clamped != exact);
        assert_eq!(i128::from(y.y), clamped, "{y:?}");
    }
    saturations
}

#[test]
fn wild_layers_are_exact() {
    let mut saturated = 0;
    for seed in 0..24u64 {
        let sparsity = if seed % 2 == 0 {
            Sparsity::Dense
        } else {
            Sparsity::TwoOfFour
        };
        let shape = Shape {
            tokens: 1 + seed as usize % 7,
            d: [64, 36, 128, 32, 100][seed as usize % 5],
            f: [96, 24, 68][seed as usize % 3],
            experts: [8, 3, 16][seed as usize % 3],
            topk: [2, 1, 4][seed as usize % 3],
            renormalise: seed % 4 < 2,
            sparsity,
            wild: seed >= 4,
        };
        println!("seed {seed} {shape:?}");
        let mut layer = Layer::random(shape, seed);
        layer.lsb_y = [-18, -30, -44, 0][seed as usize % 4];
        let config = if seed % 3 == 0 { TINY } else { SIM };
        let mut memory = vec![0; 4 << 20];
        let (at, _) = layer.store(&config, &mut memory, 64).unwrap();
        let mut engine = Engine::new(config, true);
        let outcome = engine.run_command(&mut memory, at);
        assert_eq!(outcome.status, Status::Ok);
        let trace = engine.take_trace();
        let found = verify(&layer, &trace);
        assert_eq!(found, outcome.counters.saturations);
        saturated += found;
    }
    assert!(saturated > 100, "saturation was tried: {saturated}");
}
