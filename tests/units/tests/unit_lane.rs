//! One lane against `numeric::term`: every scale exponent, every distance, rounding at ties, the extremes of every width.

use numeric::{term, Scale};
use sim_tb::pins::{cycle, Pins, Stream, StreamOut};
use sim_tb::rng::Rng;

/// Cycles from a row's last beat to its sum.
const LATENCY: u64 = 11;

const FIELDS: [&str; 8] = [
    "block_first",
    "block_last",
    "group_first",
    "group_last",
    "acts",
    "values",
    "positions",
    "scale",
];

/// A block of a row: its beats, then scale and distance.
struct Block {
    beats: Vec<Beat>,
    scale: u16,
    distance: u8,
}

/// 16 weights, their positions and the eight groups of four activations.
struct Beat {
    acts: [i8; 32],
    weights: [i8; 16],
    positions: u32,
}

impl Beat {
    fn dot(&self) -> i32 {
        (0..16)
            .map(|j| {
                let x = self.acts[4 * (j / 2) + (self.positions >> (2 * j) & 3) as usize];
                i32::from(self.weights[j]) * i32::from(x)
            })
            .sum()
    }
}

fn words(bytes: &[i8]) -> Vec<u32> {
    bytes
        .chunks(4)
        .map(|c| u32::from_le_bytes([c[0] as u8, c[1] as u8, c[2] as u8, c[3] as u8]))
        .collect()
}

/// `vld` has no prefix in this unit, so a stream needs the names without one.
struct Beats {
    queue: std::collections::VecDeque<(Vec<Vec<u32>>, u8)>,
    rng: Rng,
    stall: u32,
    last_at: Vec<u64>,
}

impl Stream for Beats {
    fn drive(&mut self, pins: &mut Pins) {
        let offered = !self.queue.is_empty() && !self.rng.chance(self.stall);
        pins.set("vld", offered.into());
        if offered {
            let (values, distance) = self.queue.pop_front().unwrap();
            for (name, v) in FIELDS.iter().zip(&values) {
                pins.set_wide(name, v);
            }
            pins.set("distance", distance.into());
            if values[1][0] & values[3][0] == 1 {
                self.last_at.push(pins.cycles());
            }
        } else {
            for name in FIELDS {
                let width = pins.width(name) as usize;
                let noise: Vec<u32> = (0..width.div_ceil(32))
                    .map(|_| self.rng.next() as u32)
                    .collect();
                let mask = if width.is_multiple_of(32) {
                    u32::MAX
                } else {
                    (1 << (width % 32)) - 1
                };
                pins.set_wide(name, &noise.iter().map(|n| n & mask).collect::<Vec<_>>());
            }
            pins.set("distance", self.rng.below(256));
        }
    }
    fn sample(&mut self, _: &mut Pins) {}
}

/// Runs rows through the lane and compares every sum and its time.
fn run(seed: u64, rows: &[Vec<Block>], stall: u32) {
    let mut p = Pins::new("lane").unwrap();
    p.reset("rst", 2);
    let mut beats = Beats {
        queue: Default::default(),
        rng: Rng::new(seed),
        stall,
        last_at: Vec::new(),
    };
    let mut want = Vec::new();
    for row in rows {
        let mut acc = 0i64;
        for (b, block) in row.iter().enumerate() {
            let mut s = 0;
            for (i, beat) in block.beats.iter().enumerate() {
                s += beat.dot();
                let flag = |f: bool| vec![u32::from(f)];
                let last = i + 1 == block.beats.len();
                // The scale belongs to the last beat; before it the port may carry anything.
                let scale = if last { block.scale } else { !block.scale };
                let distance = if last {
                    block.distance
                } else {
                    !block.distance
                };
                beats.queue.push_back((
                    vec![
                        flag(i == 0),
                        flag(last),
                        flag(b == 0),
                        flag(b + 1 == row.len()),
                        words(&beat.acts),
                        words(&beat.weights),
                        vec![beat.positions],
                        vec![scale.into()],
                    ],
                    distance,
                ));
            }
            acc += term(s, Scale::from_bits(block.scale), block.distance.into());
        }
        assert!(
            acc.unsigned_abs() < 1 << 47,
            "the bench must stay within the format"
        );
        want.push(acc);
    }
    let mut out = StreamOut::new("out", &["acc"], 0, 0);
    while !beats.queue.is_empty() {
        cycle(&mut p, &mut [&mut beats, &mut out]);
    }
    for _ in 0..=LATENCY {
        cycle(&mut p, &mut [&mut beats, &mut out]);
    }
    assert_eq!(out.len(), want.len(), "rows");
    for (i, want) in want.iter().enumerate() {
        let got = (out.narrow(i)[0] << 16) as i64 >> 16;
        assert_eq!(got, *want, "row {i} of {} blocks", rows[i].len());
        assert_eq!(out.at[i] - beats.last_at[i], LATENCY, "row {i}");
    }
}

fn byte(r: &mut Rng, corner: u32) -> i8 {
    if r.chance(corner) {
        [-128, 127, -127, 0, 1, -1][r.below(6) as usize]
    } else {
        r.next() as i8
    }
}

/// Entry 2g in 0..=2, entry 2g+1 in 1..=3: what ascending positions come to.
fn positions(r: &mut Rng) -> u32 {
    (0..16).fold(0, |p, j| p | (r.below(3) as u32 + j % 2) << (2 * j))
}

fn random_beat(r: &mut Rng, corner: u32) -> Beat {
    Beat {
        acts: std::array::from_fn(|_| byte(r, corner)),
        weights: std::array::from_fn(|_| byte(r, corner)),
        positions: positions(r),
    }
}

fn random_rows(r: &mut Rng, count: usize) -> Vec<Vec<Block>> {
    (0..count)
        .map(|_| {
            let dense = r.chance(128);
            let corner = [0, 40, 256][r.below(3) as usize];
            (0..1 + r.below(6))
                .map(|_| Block {
                    beats: (0..1 + usize::from(dense))
                        .map(|_| random_beat(r, corner))
                        .collect(),
                    scale: r.next() as u16,
                    distance: [0, r.below(20) as u8, r.next() as u8][r.below(3) as usize],
                })
                .collect()
        })
        .collect()
}

#[test]
fn random_rows_with_and_without_gaps() {
    for (seed, stall) in [(31, 0), (32, 100), (33, 240)] {
        println!("seed {seed}");
        let rows = random_rows(&mut Rng::new(seed), 3000);
        run(seed, &rows, stall);
    }
}

/// Every scale exponent with every distance near the interesting ones; S * m is built so that its lowest set bit is just
/// below the rounding point wherever that is possible.
#[test]
fn every_shift_rounds_to_nearest_even() {
    let mut r = Rng::new(34);
    println!("seed 34");
    let mut rows = Vec::new();
    let mut ties = [0; 64];
    for e in 0..32u16 {
        for distance in (0..48u32).chain([63, 64, 65, 127, 128, 200, 253, 254, 255]) {
            let shift = Scale::from_bits(e << 10).distance() + distance;
            // A tie: S * m * 2^8 has shift - 1 zeros at its end; of those beyond the guard bits, `zeros` come from S.
            let wanted = shift.saturating_sub(9);
            let zeros = wanted.saturating_sub(10) + r.below(4) as u32;
            let zeros = zeros.min(wanted).min(11);
            let c = match wanted - zeros {
                n @ 0..=9 => 1 << n,
                _ => 0,
            };
            for odd in [1i8, 3, -1, -3] {
                let mut beat = Beat {
                    acts: [0; 32],
                    weights: [0; 16],
                    positions: 0x4444_4444,
                };
                let place = r.below(16) as usize;
                beat.acts[4 * (place / 2) + place % 2] = 1 << zeros.min(6);
                beat.weights[place] = odd << (zeros - zeros.min(6));
                let scale = (r.below(2) as u16) << 15 | e << 10 | c;
                let exact = (i64::from(beat.dot()) * i64::from(Scale::from_bits(scale).m)) << 8;
                if (1..63).contains(&shift) && exact & ((1 << shift) - 1) == 1 << (shift - 1) {
                    ties[shift as usize] += 1;
                }
                rows.push(vec![Block {
                    beats: vec![beat],
                    scale,
                    distance: distance as u8,
                }]);
            }
        }
    }
    // Below 9 the guard bits are zeros and every shift is exact.
    assert!(
        ties[9..30].iter().all(|&n| n >= 8),
        "ties per shift: {ties:?}"
    );
    run(34, &rows, 0);
}

/// The largest sums the format allows: 512 blocks of 32 products of -128 * -128, and their negatives.
#[test]
fn the_largest_sums_fit() {
    for (x, m) in [
        (-128i8, 0x7BFFu16),
        (-128, 0xFBFF),
        (127, 0x7BFF),
        (127, 0xFBFF),
    ] {
        let row = (0..512)
            .map(|_| Block {
                beats: (0..2)
                    .map(|_| Beat {
                        acts: [x; 32],
                        weights: [-128; 16],
                        positions: 0xD8D8_D8D8,
                    })
                    .collect(),
                scale: m,
                distance: 0,
            })
            .collect();
        run(35, &[row], 0);
    }
}

#[test]
fn reset_forgets_the_beats_on_their_way() {
    let mut r = Rng::new(36);
    println!("seed 36");
    let mut p = Pins::new("lane").unwrap();
    p.reset("rst", 2);
    let mut out = StreamOut::new("out", &["acc"], 0, 0);
    for _ in 0..20 {
        let beat = random_beat(&mut r, 0);
        p.set("vld", 1);
        for name in ["block_first", "block_last", "group_first", "group_last"] {
            p.set(name, 1);
        }
        p.set_wide("acts", &words(&beat.acts));
        p.set_wide("values", &words(&beat.weights));
        cycle(&mut p, &mut [&mut out]);
    }
    assert_eq!(out.len() as u64, 20 - LATENCY);
    p.set("vld", 0);
    p.reset("rst", 1);
    for _ in 0..20 {
        cycle(&mut p, &mut [&mut out]);
    }
    assert_eq!(
        out.len() as u64,
        20 - LATENCY,
        "sums of beats from before the reset"
    );
}
