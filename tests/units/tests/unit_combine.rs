//! The combiner against `numeric`: weighting, shifts, saturation, clearing and the read-out.

use abi::config::SIM;
use numeric::{y, z};
use sim_tb::pins::{cycle, Pins, Stream, StreamIn, StreamOut};
use sim_tb::rng::Rng;

/// One expert's output row.
#[derive(Clone, Copy)]
struct Row {
    token: usize,
    row: usize,
    acc: i64,
    lsb: i16,
    weight: u32,
}

/// Adds up `sat`; sees the accumulator input always ready.
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
        assert_eq!(pins.get("in_rdy"), 1);
    }
}

/// The unit and the model of its sums.
struct Bench {
    p: Pins,
    watch: Watch,
    seed: u64,
    tokens: usize,
    d: usize,
    lsb_y: i16,
    sums: Vec<i64>,
    saturated: u64,
}

const FIELDS: [&str; 5] = ["acc", "lsb", "row", "token", "weight"];

impl Bench {
    fn new(seed: u64) -> Bench {
        println!("seed {seed}");
        let mut p = Pins::new("combine").unwrap();
        p.reset("rst", 2);
        Bench {
            p,
            watch: Watch::default(),
            seed,
            tokens: 0,
            d: 0,
            lsb_y: 0,
            sums: Vec::new(),
            saturated: 0,
        }
    }

    /// Starts a command: parameters, and all its sums to zero.
    fn clear(&mut self, tokens: usize, d: usize, lsb_y: i16) {
        (self.tokens, self.d, self.lsb_y) = (tokens, d, lsb_y);
        self.p.set("tokens", tokens as u64);
        self.p.set("d", d as u64);
        self.p.set_signed("lsb_y", lsb_y.into());
        self.sums = vec![0; tokens * d];
        let mut clear = StreamIn::new("clr", &["token", "row"], self.seed, 20);
        for i in 0..tokens * d {
            clear.push(&[(i / d) as u64, (i % d) as u64]);
        }
        while clear.pending() > 0 {
            cycle(&mut self.p, &mut [&mut clear, &mut self.watch]);
        }
        self.p.set("clr_vld", 0);
    }

    /// Sends rows, without waiting for them to arrive.
    fn add(&mut self, rows: &[Row], stall: u32) {
        let mut x = StreamIn::new("in", &FIELDS, self.seed, stall);
        for r in rows {
            x.push(&[
                r.acc as u64 & 0xFFFF_FFFF_FFFF,
                u64::from(r.lsb as u16),
                r.row as u64,
                r.token as u64,
                r.weight.into(),
            ]);
            let term = z(r.acc, r.weight, r.lsb.into(), self.lsb_y.into());
            self.saturated += u64::from(term.saturated);
            self.sums[r.token * self.d + r.row] += term.value;
        }
        while x.pending() > 0 {
            cycle(&mut self.p, &mut [&mut x, &mut self.watch]);
        }
        self.p.set("in_vld", 0);
    }

    /// Reads out and compares; returns the cycles from start to the last beat.
    fn read(&mut self, stall: u32) -> u64 {
        let mut out = StreamOut::new("y", &["data"], self.seed + 7, stall);
        let beats = self.d.div_ceil(4);
        let start = self.p.cycles();
        self.p.set("read_start", 1);
        cycle(&mut self.p, &mut [&mut out, &mut self.watch]);
        self.p.set("read_start", 0);
        while out.len() < self.tokens * beats {
            cycle(&mut self.p, &mut [&mut out, &mut self.watch]);
            assert!(self.watch.busy, "not busy during the read-out");
        }
        let cycles = self.p.cycles() - start;
        cycle(&mut self.p, &mut [&mut out, &mut self.watch]);
        assert!(!self.watch.busy, "busy after the read-out");
        assert_eq!(out.len(), self.tokens * beats, "a beat too many");
        for token in 0..self.tokens {
            for row in 0..4 * beats {
                let want = if row < self.d {
                    let v = y(self.sums[token * self.d + row]);
                    self.saturated += u64::from(v.saturated);
                    v.value
                } else {
                    0
                };
                let got = out.items[token * beats + row / 4][0][row % 4] as i32;
                assert_eq!(
                    got, want,
                    "token {token} row {row} of {} x {}",
                    self.tokens, self.d
                );
            }
        }
        assert_eq!(self.watch.saturated, self.saturated, "saturations");
        cycles
    }
}

/// One expert for each of `tokens`: all rows of a token, then the next, as the array sends them.
fn expert(r: &mut Rng, tokens: &[usize], d: usize, lsb: i16) -> Vec<Row> {
    let mut rows = Vec::new();
    for &token in tokens {
        let weight = [65536, 1, 0, r.below(65537) as u32][r.below(4) as usize];
        let bits = r.below(47);
        for row in 0..d {
            let acc = (r.next() as i64) >> (63 - bits);
            rows.push(Row {
                token,
                row,
                acc,
                lsb,
                weight,
            });
        }
    }
    rows
}

#[test]
fn random_experts_of_every_shape() {
    let mut bench = Bench::new(21);
    let mut r = Rng::new(21);
    let shapes = [
        (1, 32),
        (1, 25),
        (2, 24),
        (3, 40),
        (8, 67),
        (5, 30),
        (8, 256),
        (1, 1),
    ];
    for (n, (tokens, d)) in shapes.into_iter().enumerate() {
        let lsb_y = [-40, 0, 13, -300][n % 4];
        bench.clear(tokens, d, lsb_y);
        for _ in 0..1 + r.below(8) {
            let mut queue: Vec<usize> = (0..tokens).filter(|_| r.chance(200)).collect();
            if queue.is_empty() {
                queue.push(0);
            }
            // From far below the output's LSB to above it.
            let lsb = lsb_y - 50 + r.below(70) as i16;
            let rows = expert(&mut r, &queue, d, lsb);
            if d == 1 {
                // The same sum again needs a pause, which the array always makes.
                for row in rows {
                    bench.add(&[row], 0);
                    bench.add(&[], 0);
                    for _ in 0..8 {
                        cycle(&mut bench.p, &mut [&mut bench.watch]);
                    }
                }
            } else {
                let stall = [0, 100][r.below(2) as usize];
                bench.add(&rows, stall);
            }
        }
        bench.read([0, 128, 0, 230][n % 4]);
    }
}

#[test]
fn terms_saturate_at_43_bits_and_sums_at_32() {
    let mut bench = Bench::new(22);
    let (least, most) = (-(1i64 << 47), (1i64 << 47) - 1);
    let corner = [
        (most, 0),
        (least, 0),
        (1 << 43, -8),
        ((1 << 43) - 1, -8),
        (-(1 << 43), -8),
        (1 - (1 << 43), -8),
        ((1 << 31) - 1, 0),
        (1 << 31, 0),
        (-(1 << 31), 0),
        (-(1 << 31) - 1, 0),
        (1, 34),
        (-1, 34),
        (1, 35),
        (-1, 35),
        (1, 500),
        (0, 500),
        (1, 32767),
        (most, -55),
        (most, -56),
        (least, -56),
        (most, -500),
        (3, -9),
        (1, -9),
        (-1, -9),
        (-3, -9),
        (i64::from(i32::MAX) * 256 + 128, -8), // a tie at the end of int32
        (i64::from(i32::MIN) * 256 - 128, -8), // a tie that rounds back into it
        (i64::from(i32::MIN) * 256 - 129, -8),
    ];
    let d = corner.len();
    bench.clear(4, d, -20);
    for weight in [65536, 65536, 32768, 1] {
        let rows: Vec<Row> = (0..4)
            .flat_map(|token| {
                corner
                    .iter()
                    .enumerate()
                    .map(move |(row, &(acc, lsb))| Row {
                        token,
                        row,
                        acc,
                        lsb: (lsb - 20i32).clamp(-32768, 32767) as i16,
                        weight: if token == 0 { weight } else { weight >> token },
                    })
            })
            .collect();
        bench.add(&rows, 0);
    }
    assert!(bench.saturated > 20);
    bench.read(0);

    // A shorter row: what saturated behind its end must neither be sent nor counted.
    assert!(y(bench.sums[d - 1]).saturated);
    bench.clear(4, d - 3, -20);
    bench.read(0);

    // Eight terms at the limit on each side: the sum needs all of its 48 bits' headroom.
    bench.clear(2, 8, 0);
    for _ in 0..8 {
        let rows: Vec<Row> = (0..16)
            .map(|i| Row {
                token: i / 8,
                row: i % 8,
                acc: if i % 2 == 0 { most } else { least },
                lsb: 0,
                weight: 65536,
            })
            .collect();
        bench.add(&rows, 0);
    }
    bench.read(60);
}

#[test]
fn the_lsb_of_the_output_may_be_anything() {
    let mut bench = Bench::new(23);
    let mut r = Rng::new(23);
    let ends = [
        (-32768, 32767),
        (32767, -32768),
        (-32768, -32768),
        (-100, 20), // distances of 128 and more, whose low bits alone would be small
        (-100, 21),
        (-100, 156),
        (-250, 700),
        (100, -20),
        (100, -36),
        (100, 108),
    ];
    for (lsb, lsb_y) in ends {
        bench.clear(3, 33, lsb_y);
        let mut rows = expert(&mut r, &[2, 0, 1], 33, lsb);
        for (row, acc) in rows.iter_mut().zip([(1i64 << 47) - 1, -(1 << 47), 1, -1]) {
            (row.acc, row.weight) = (acc, 65536);
        }
        bench.add(&rows, 0);
        bench.read(0);
    }
}

#[test]
fn a_read_out_waits_for_the_last_row_and_sends_a_beat_per_cycle() {
    let mut bench = Bench::new(24);
    let mut r = Rng::new(24);
    let (tokens, d) = (SIM.tokens_max, SIM.d_max);
    bench.clear(tokens, d, -24);
    let all: Vec<usize> = (0..tokens).collect();
    let rows = expert(&mut r, &all, d, -40);
    bench.add(&rows, 0); // `read` starts in the very next cycle
    let cycles = bench.read(0);
    assert_eq!(cycles, (tokens * d / 4) as u64 + 6);
}
