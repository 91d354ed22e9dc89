//! The activation unit against `numeric`: fixed point, SiLU, product, order and stalls.

use numeric::{fix, hidden, silu::silu};
use sim_tb::pins::{cycle, Pins, Stream, StreamIn, StreamOut};
use sim_tb::rng::Rng;

/// A gate row and its up row: (accumulator, lsb) each.
#[derive(Clone, Copy)]
struct Pair {
    gate: (i64, i16),
    up: (i64, i16),
}

/// Adds up `sat`, and sees that `busy` covers every row inside.
#[derive(Default)]
struct Watch {
    saturated: u64,
    busy: bool,
}

impl Stream for Watch {
    fn drive(&mut self, _: &mut Pins) {}
    fn sample(&mut self, pins: &mut Pins) {
        self.saturated += pins.get("sat");
        self.busy = pins.get("busy") == 1;
    }
}

/// Sends groups of `lanes` gate rows and then up rows, checks values, order, counts. Returns the cycles taken.
fn check(pairs: &[Pair], lanes: usize, seed: u64, stalls: [u32; 2]) -> u64 {
    println!(
        "{} pairs, {lanes} lanes, seed {seed}, stalls {stalls:?}/256",
        pairs.len()
    );
    let mut p = Pins::new("activation").unwrap();
    p.reset("rst", 2);
    let mut x = StreamIn::new("in", &["acc", "lsb", "up", "row", "q"], seed, stalls[0]);
    let mut y = StreamOut::new("h", &["q", "row", "f32"], seed + 1, stalls[1]);
    let mut watch = Watch::default();
    let (mut want, mut saturated) = (Vec::new(), 0);
    let mut ups = vec![0]; // up rows among the first n rows sent
                           // Two queue positions take turns, and a group in seven is short, as the last of a matrix may be.
    let mut rest = pairs;
    let mut group = 0;
    while !rest.is_empty() {
        let n = if group % 7 == 6 { 1 } else { lanes };
        let (rows, left) = rest.split_at(n.min(rest.len()));
        let (first, q) = ((group / 2 * lanes) as u64 & 0xFFFF, group as u64 % 2 * 117);
        for up in [false, true] {
            for (i, pair) in rows.iter().enumerate() {
                let (acc, lsb) = if up { pair.up } else { pair.gate };
                ups.push(ups[ups.len() - 1] + usize::from(up));
                x.push(&[
                    acc as u64 & 0xFFFF_FFFF_FFFF,
                    u64::from(lsb as u16),
                    up.into(),
                    first + i as u64,
                    q,
                ]);
            }
        }
        for (i, pair) in rows.iter().enumerate() {
            let g = fix(pair.gate.0, pair.gate.1.into());
            let u = fix(pair.up.0, pair.up.1.into());
            saturated += u64::from(g.saturated) + u64::from(u.saturated);
            let h = hidden(silu(g.value), u.value);
            want.push([q, first + i as u64, u64::from(h)]);
        }
        (rest, group) = (left, group + 1);
    }
    while y.len() < want.len() {
        let (due, taken) = (ups[x.sent()], y.len());
        cycle(&mut p, &mut [&mut x, &mut y, &mut watch]);
        assert!(watch.busy || due == taken, "not busy with rows inside");
    }
    let cycles = p.cycles();
    cycle(&mut p, &mut [&mut x, &mut y, &mut watch]);
    assert!(!watch.busy, "busy with nothing inside");
    for (n, w) in want.iter().enumerate() {
        assert_eq!(y.narrow(n), w, "h number {n} of {}", want.len());
    }
    assert_eq!(watch.saturated, saturated, "saturations");
    cycles
}

/// Fixed-point values as accumulators that need no shift.
fn exact(gate: i64, up: i64) -> Pair {
    Pair {
        gate: (gate, -24),
        up: (up, -24),
    }
}

fn accumulator(r: &mut Rng) -> i64 {
    let bits = 1 + r.below(47);
    ((r.next() as i64) << (64 - 48) >> (64 - 48)) >> (47 - bits)
}

#[test]
fn silu_over_the_whole_range() {
    let mut r = Rng::new(11);
    let mut pairs = Vec::new();
    // Every entry of the table, its neighbours and a point between, on both sides of zero; beyond it, powers of two.
    for i in 0..520i64 {
        for offset in [0, 1, -1, 1 << 18, r.below(1 << 19) as i64] {
            let a = ((i << 19) + offset).max(0);
            let up = [1 << 24, -(1 << 24), 1, r.next() as i64 >> 29][r.below(4) as usize];
            pairs.push(exact(a, up));
            pairs.push(exact(-a, up));
        }
    }
    for bit in 24..35 {
        for a in [(1i64 << bit) - 1, 1 << bit, (1 << bit) + 1] {
            pairs.push(exact(a, 12345));
            pairs.push(exact(-a, -(1 << 34)));
        }
    }
    check(&pairs, 4, 11, [0, 0]);
}

#[test]
fn products_round_to_nearest_even_and_zero_is_plus_zero() {
    // From 16 on silu(g) = g, so the product is exact and its ties are known.
    let big = 1 << 28;
    let mut pairs = vec![
        exact(0, 0),
        exact(0, -5),
        exact(-(20 << 24), -7),
        exact(big, 0),
    ];
    for low in [0, 1, 3, 5, 7] {
        for up in [(1 << 24) + low, (1 << 25) - low, (1 << 34) + (low << 10)] {
            pairs.push(exact(big, up));
            pairs.push(exact(big + 1, up));
            pairs.push(exact(big, -up));
        }
    }
    let most = numeric::linear::FIX_MAX;
    for g in [most, -most, 1, -1] {
        for u in [most, -most, 1, -1] {
            pairs.push(exact(g, u));
        }
    }
    check(&pairs, 2, 12, [40, 40]);
}

#[test]
fn every_lsb_and_every_accumulator() {
    let (least, most) = (-(1i64 << 47), (1i64 << 47) - 1);
    let mut pairs = Vec::new();
    let mut r = Rng::new(13);
    for lsb in [
        -32768, -200, -152, -151, -73, -72, -71, -60, -36, -25, -24, -23, -1, 0, 11, 12, 24, 40,
        104, 200, 32767,
    ] {
        for acc in [
            0,
            1,
            -1,
            least,
            least + 1,
            most,
            -(1 << 35),
            1 << 35,
            (1 << 35) - 1,
            3 << 20,
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
        }
    }
    check(&pairs, 4, 13, [0, 100]);
}

#[test]
fn random_rows_with_stalls_on_both_sides() {
    for (seed, lanes, stalls) in [
        (14, 2, [0, 0]),
        (15, 4, [100, 0]),
        (16, 2, [0, 200]),
        (17, 4, [128, 128]),
    ] {
        let mut r = Rng::new(seed);
        let pairs: Vec<Pair> = (0..2000)
            .map(|_| {
                let mut side = || {
                    (
                        accumulator(&mut r),
                        -24 - r.below(40) as i16 + r.below(8) as i16,
                    )
                };
                Pair {
                    gate: side(),
                    up: side(),
                }
            })
            .collect();
        check(&pairs, lanes, seed, stalls);
    }
}

#[test]
fn one_row_per_cycle() {
    let pairs: Vec<Pair> = (0..1000).map(|i| exact(i << 14, i << 12)).collect();
    let cycles = check(&pairs, 4, 18, [0, 0]);
    assert_eq!(cycles, 2 + 2000 + 13, "reset, rows, latency");
}
