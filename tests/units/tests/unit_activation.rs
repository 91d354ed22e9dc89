//! The activation unit against `numeric`: fixed point, every function, product, order, back-pressure.

use abi::command::Activation as Function;
use numeric::activation::{activate, CLAMP, ONE};
use numeric::linear::FIX_MAX;
use numeric::{fix, hidden};
use sim_tb::pins::{cycle, Pins, Stream, StreamIn, StreamOut};
use sim_tb::rng::Rng;

/// A gate accumulator and an up accumulator, each with its lsb.
#[derive(Clone, Copy, Debug)]
struct Pair {
    gate: (i64, i16),
    up: (i64, i16),
}

/// Adds up `sat`, and counts those inside, to see that `busy` covers them.
#[derive(Default)]
struct Watch {
    saturated: u64,
    inside: usize,
}

impl Stream for Watch {
    fn drive(&mut self, _: &mut Pins) {}
    fn sample(&mut self, pins: &mut Pins) {
        self.saturated += pins.get("sat");
        assert_eq!(pins.get("busy") == 1, self.inside > 0, "busy");
        self.inside += (pins.get("in_vld") & pins.get("in_rdy")) as usize;
        self.inside -= (pins.get("h_vld") & pins.get("h_rdy")) as usize;
    }
}

/// A function, and whether its experts have an up matrix.
type Form = (Function, bool);

/// All that the engine accepts.
fn forms() -> Vec<Form> {
    let all = Function::ALL.into_iter();
    all.flat_map(|f| [(f, true), (f, false)])
        .filter(|form| ![(Function::Relu2, true), (Function::Clamped, false)].contains(form))
        .collect()
}

/// Sends the elements, checks values, order, counts. Returns the cycles from the first taken to the last handed out.
fn check(p: &mut Pins, (f, gated): Form, pairs: &[Pair], seed: u64, stalls: [u32; 2]) -> u64 {
    println!(
        "{f:?} gated {gated}: {} elements, seed {seed}, stalls {stalls:?}/256",
        pairs.len()
    );
    let mut x = StreamIn::new(
        "in",
        &["a", "b", "lsb_a", "lsb_b", "row", "q"],
        seed,
        stalls[0],
    );
    let mut y = StreamOut::new("h", &["q", "row", "f32"], seed + 1, stalls[1]);
    let mut watch = Watch::default();
    let (mut want, mut saturated) = (Vec::new(), 0);
    let mut r = Rng::new(seed);
    for pair in pairs {
        let (q, row) = (r.below(256), r.below(1 << 16));
        let mask = (1 << 36) - 1;
        x.push(&[
            pair.gate.0 as u64 & mask,
            pair.up.0 as u64 & mask,
            u64::from(pair.gate.1 as u16),
            u64::from(pair.up.1 as u16),
            row,
            q,
        ]);
        let g = fix(pair.gate.0, pair.gate.1.into());
        let u = fix(pair.up.0, pair.up.1.into());
        saturated += u64::from(g.saturated) + u64::from(gated && u.saturated);
        let product = activate(f, g.value, gated.then_some(u.value));
        want.push([q, row, u64::from(hidden(product.a, product.u))]);
    }
    p.set("act", f as u64);
    p.set("gated", gated.into());
    p.set("in_vld", 0);
    p.tick();
    let start = p.cycles();
    while y.len() < want.len() {
        cycle(p, &mut [&mut x, &mut y, &mut watch]);
    }
    let cycles = p.cycles() - start;
    cycle(p, &mut [&mut x, &mut y, &mut watch]);
    assert_eq!(watch.inside, 0);
    for (n, w) in want.iter().enumerate() {
        assert_eq!(y.narrow(n), w, "element {n}: {:?}", pairs[n]);
    }
    assert_eq!(watch.saturated, saturated, "saturations");
    cycles
}

fn unit() -> Pins {
    let mut p = Pins::new("activation").unwrap();
    p.reset("rst", 2);
    p
}

/// Runs `check` on every form, then on those that need no further table in a unit without them.
fn every_form(mut run: impl FnMut(&mut Pins, Form)) {
    let mut p = unit();
    for form in forms() {
        run(&mut p, form);
    }
    let mut p = Pins::new("activation_versa").unwrap();
    p.reset("rst", 2);
    for form in forms() {
        if [Function::Silu, Function::Relu, Function::Relu2].contains(&form.0) {
            run(&mut p, form);
        }
    }
}

/// Fixed-point values as accumulators that need no shift.
fn exact(gate: i64, up: i64) -> Pair {
    Pair {
        gate: (gate, -24),
        up: (up, -24),
    }
}

/// Accumulators of every size.
fn accumulator(r: &mut Rng) -> i64 {
    let bits = 1 + r.below(35);
    (r.next() as i64) >> (63 - bits)
}

#[test]
fn every_function_over_the_whole_range() {
    every_form(|p, form| {
        let mut r = Rng::new(11);
        let mut pairs = Vec::new();
        // Every entry of the table, its neighbours and a point between, on both sides of zero; beyond it, powers of two.
        for i in 0..1030i64 {
            for offset in [0, 1, -1, 1 << 17, r.below(1 << 18) as i64] {
                let a = ((i << 18) + offset).max(0);
                let up = [ONE, -ONE, 1, r.next() as i64 >> 29][r.below(4) as usize];
                pairs.push(exact(a, up));
                pairs.push(exact(-a, up));
            }
        }
        for bit in 0..35 {
            for a in [(1i64 << bit) - 1, 1 << bit, (1 << bit) + 1] {
                pairs.push(exact(a.min(FIX_MAX), 12345));
                pairs.push(exact(-a.min(FIX_MAX), -FIX_MAX));
                pairs.push(exact(20 << 24, a.min(FIX_MAX)));
                pairs.push(exact(-3 << 23, -a.min(FIX_MAX)));
            }
        }
        // Around the clamped form's limits and the zero of up + 1.
        for near in [CLAMP, ONE, 0, 8 * ONE, 16 * ONE] {
            for offset in [-(1 << 19), -1, 0, 1, 1 << 20] {
                let v = near + offset;
                pairs.extend([exact(v, v), exact(-v, -v), exact(ONE, -v), exact(v, 5 - v)]);
            }
        }
        check(p, form, &pairs, 11, [0, 0]);
    });
}

#[test]
fn factors_and_products_round_to_nearest_even_and_zero_is_plus_zero() {
    // From 16 on every function is g itself, so the product's operands are known.
    let big = 1 << 28;
    let mut pairs = vec![
        exact(0, 0),
        exact(0, -5),
        exact(-5, 0),
        exact(-1, -1),
        exact(-(20 << 24), -7),
        exact(-(20 << 24), 7),
        exact(big, 0),
    ];
    let mut r = Rng::new(12);
    for top in 17..35 {
        // Ties and their neighbours at the last of 17 bits, and mantissas that round up to the next power of two.
        let (one, half) = (1i64 << top, 1i64 << (top - 17));
        for low in [
            half,
            half - 1,
            half + 1,
            3 * half,
            5 * half - 1,
            one - half,
            one - 1,
        ] {
            let v = (one + low).min(FIX_MAX);
            let other = [(1 << 17) - 1, 3 << 16, v, r.next() as i64 >> 30][r.below(4) as usize];
            pairs.extend([exact(v, other), exact(big | v, -other), exact(20 * ONE, v)]);
        }
    }
    for _ in 0..3000 {
        // Products of odd mantissas: ties of the binary32.
        let odd = |r: &mut Rng, bits: u64| (r.next() >> (64 - bits) | 1 << (bits - 1)) as i64;
        let (a, u) = (odd(&mut r, 17) << 12, odd(&mut r, 17) >> r.below(17));
        pairs.push(exact(a, if r.chance(128) { u } else { -u }));
    }
    for g in [FIX_MAX, -FIX_MAX, 1, -1] {
        for u in [FIX_MAX, -FIX_MAX, 1, -1] {
            pairs.push(exact(g, u));
        }
    }
    every_form(|p, form| {
        check(p, form, &pairs, 12, [40, 40]);
    });
}

#[test]
fn every_lsb_and_every_accumulator() {
    let mut pairs = Vec::new();
    let mut r = Rng::new(13);
    let wide = [
        -32768, -32767, -32728, -20000, -200, -152, -153, -151, -90, -89, -88, -87, 38, 39, 40, 41,
        63, 64, 104, 200, 32743, 32744, 32767,
    ];
    for lsb in wide.into_iter().chain(-66..20) {
        for acc in [
            0,
            1,
            -1,
            -(1 << 35),
            1 - (1 << 35),
            (1 << 35) - 1,
            1 << 34,
            -(1 << 20),
            3 << 20,
            accumulator(&mut r),
            accumulator(&mut r),
        ] {
            pairs.push(Pair {
                gate: (acc, lsb),
                up: (accumulator(&mut r), -30),
            });
            pairs.push(Pair {
                gate: (1 << 20, -20),
                up: (acc, lsb),
            });
            pairs.push(Pair {
                gate: (acc, lsb),
                up: (acc, lsb),
            });
        }
    }
    every_form(|p, form| {
        check(p, form, &pairs, 13, [0, 100]);
    });
}

#[test]
fn random_elements_with_stalls_on_both_sides() {
    for (seed, stalls) in [
        (14, [0, 0]),
        (15, [100, 0]),
        (16, [0, 200]),
        (17, [128, 128]),
        (18, [0, 250]),
    ] {
        every_form(|p, form| {
            let mut r = Rng::new(seed);
            let mut side = || {
                (
                    accumulator(&mut r),
                    -24 - r.below(40) as i16 + r.below(20) as i16,
                )
            };
            let pairs: Vec<Pair> = (0..1000)
                .map(|_| Pair {
                    gate: side(),
                    up: side(),
                })
                .collect();
            check(p, form, &pairs, seed, stalls);
        });
    }
}

#[test]
fn one_element_per_cycle() {
    let mut p = unit();
    let pairs: Vec<Pair> = (0..1000).map(|i| exact(i << 14, i << 12)).collect();
    let cycles = check(&mut p, (Function::Silu, true), &pairs, 18, [0, 0]);
    assert_eq!(cycles, 1000 + 33, "elements, latency");
}

#[test]
fn reset_forgets_elements() {
    let mut p = unit();
    let mut x = StreamIn::new("in", &["a", "b", "lsb_a", "lsb_b", "row", "q"], 19, 0);
    for i in 0..40 {
        x.push(&[i << 24, 1 << 24, 0xFFE8, 0xFFE8, i, i]);
    }
    p.set("h_rdy", 0);
    for _ in 0..50 {
        cycle(&mut p, &mut [&mut x]);
    }
    assert_eq!(
        (x.sent(), p.get("busy")),
        (34, 1),
        "as many as queue and output hold"
    );
    p.set("in_vld", 0);
    p.reset("rst", 1);
    for _ in 0..40 {
        assert_eq!((p.get("busy"), p.get("h_vld")), (0, 0));
        p.tick();
    }
    let pairs: Vec<Pair> = (0..100).map(|i| exact(i << 20, -i << 22)).collect();
    check(&mut p, (Function::Gelu, true), &pairs, 20, [0, 0]);
}
