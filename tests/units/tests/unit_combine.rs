//! The combiner against `numeric`: weighting, shifts, saturation, clearing, hazards, and y in token order.

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
    /// The last row of its contribution.
    end: bool,
}

/// The outputs that are levels, and the sum of `sat`.
#[derive(Default)]
struct Levels {
    saturated: u64,
    busy: bool,
    done: bool,
    refused: u64,
}

impl Stream for Levels {
    fn drive(&mut self, _: &mut Pins) {}
    fn sample(&mut self, pins: &mut Pins) {
        self.saturated += pins.get("sat");
        self.busy = pins.get("busy") == 1;
        self.done = pins.get("y_done") == 1;
        self.refused += u64::from(pins.get("in_vld") == 1 && pins.get("in_rdy") == 0);
    }
}

/// What a command asks for beside its rows.
#[derive(Clone, Copy, Default)]
struct Shape {
    tokens: usize,
    rows: usize,
    lsb_y: i16,
    keep: bool,
    no_y: bool,
    /// Of 256 cycles, on the input, on the routes and on y.
    stall: [u32; 3],
    /// Cycles from the last route to `rt_done`, and from there to the first row.
    late: usize,
}

/// The unit and the model of its sums.
struct Bench {
    p: Pins,
    rng: Rng,
    levels: Levels,
    sums: Vec<i64>,
    saturated: u64,
}

const FIELDS: [&str; 6] = ["acc", "lsb", "row", "token", "weight", "end"];

impl Bench {
    fn new(seed: u64) -> Bench {
        println!("seed {seed}");
        let mut p = Pins::new("combine").unwrap();
        p.reset("rst", 2);
        Bench {
            p,
            rng: Rng::new(seed),
            levels: Levels::default(),
            sums: Vec::new(),
            saturated: 0,
        }
    }

    /// One command. Returns the cycles from `rt_done` to the end and how many rows were refused for a cycle.
    fn command(&mut self, s: Shape, rows: &[Row]) -> (u64, u64) {
        let p = &mut self.p;
        p.set("tokens", s.tokens as u64);
        p.set("rows_y", s.rows as u64);
        p.set_signed("lsb_y", s.lsb_y.into());
        p.set("keep_sums", s.keep.into());
        p.set("no_y", s.no_y.into());
        p.set("go", 1);
        p.tick();
        p.set("go", 0);
        let seed = self.rng.next();
        let mut route = StreamIn::new("rt", &["token"], seed, s.stall[1]);
        let mut routes: Vec<u64> = rows
            .iter()
            .filter(|r| r.end)
            .map(|r| r.token as u64)
            .collect();
        routes.sort_unstable();
        for &token in &routes {
            route.push(&[token]);
        }
        let mut x = StreamIn::new("in", &FIELDS, seed + 1, s.stall[0]);
        let mut out = StreamOut::new("y", &["data"], seed + 2, s.stall[2]);
        self.levels.refused = 0;
        if !s.keep {
            self.sums = vec![0; s.tokens * s.rows];
        }
        let mut with_last = s.late == 0 && s.stall[1] == 0 && !routes.is_empty();
        while route.pending() > 0 {
            p.set("rt_done", u64::from(with_last && route.pending() == 1));
            cycle(p, &mut [&mut route, &mut x, &mut out, &mut self.levels]);
        }
        p.set("rt_vld", 0);
        p.set("rt_done", 0);
        for _ in 0..s.late {
            cycle(p, &mut [&mut x, &mut out, &mut self.levels]);
        }
        if !with_last {
            p.set("rt_done", 1);
            cycle(p, &mut [&mut x, &mut out, &mut self.levels]);
            p.set("rt_done", 0);
            with_last = true;
        }
        assert!(with_last && out.is_empty(), "y before all routes are known");
        for r in rows {
            x.push(&[
                r.acc as u64 & 0xF_FFFF_FFFF,
                u64::from(r.lsb as u16),
                r.row as u64,
                r.token as u64,
                r.weight.into(),
                r.end.into(),
            ]);
            let term = z(r.acc, r.weight, r.lsb.into(), s.lsb_y.into());
            self.saturated += u64::from(term.saturated);
            self.sums[r.token * s.rows + r.row] += term.value;
        }
        let beats = s.rows.div_ceil(4);
        let start = p.cycles();
        loop {
            cycle(p, &mut [&mut x, &mut out, &mut self.levels]);
            let all = x.pending() == 0 && (s.no_y || out.len() == s.tokens * beats);
            assert!(
                all || !self.levels.done,
                "done too early: {} rows left, {} beats",
                x.pending(),
                out.len()
            );
            if self.levels.done {
                break;
            }
        }
        let cycles = p.cycles() - start;
        for _ in 0..3 {
            cycle(p, &mut [&mut x, &mut out, &mut self.levels]);
            assert!(self.levels.done && !self.levels.busy, "after the end");
        }
        let sent = if s.no_y { 0 } else { s.tokens };
        assert_eq!(out.len(), sent * beats, "beats of y");
        for token in 0..sent {
            for row in 0..4 * beats {
                let want = if row < s.rows {
                    let v = y(self.sums[token * s.rows + row]);
                    self.saturated += u64::from(v.saturated);
                    v.value
                } else {
                    0
                };
                let got = out.items[token * beats + row / 4][0][row % 4] as i32;
                assert_eq!(
                    got, want,
                    "token {token} row {row} of {} x {}",
                    s.tokens, s.rows
                );
            }
        }
        assert_eq!(self.levels.saturated, self.saturated, "saturations");
        (cycles, self.levels.refused)
    }
}

/// One expert for each of `tokens`, in windows of `window` rows: all tokens of one window, then the next.
fn expert(r: &mut Rng, tokens: &[usize], rows: usize, window: usize, lsb: i16) -> Vec<Row> {
    let mut all = Vec::new();
    let bits: Vec<u64> = tokens.iter().map(|_| r.below(36)).collect();
    let weights: Vec<u32> = tokens
        .iter()
        .map(|_| [65536, 1, 0, (1 << 20) - 1, r.below(1 << 20) as u32][r.below(5) as usize])
        .collect();
    for from in (0..rows).step_by(window) {
        for (at, &token) in tokens.iter().enumerate() {
            for row in from..rows.min(from + window) {
                all.push(Row {
                    token,
                    row,
                    acc: (r.next() as i64) >> (63 - bits[at]),
                    lsb,
                    weight: weights[at],
                    end: row + 1 == rows,
                });
            }
        }
    }
    all
}

/// `count` experts with random queues.
fn experts(r: &mut Rng, s: &Shape, count: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut named = vec![0; s.tokens];
    for _ in 0..count {
        let queue: Vec<usize> = (0..s.tokens)
            .filter(|&t| named[t] < 8 && r.chance(180))
            .collect();
        for &t in &queue {
            named[t] += 1;
        }
        // From far below the output's LSB to above it.
        let lsb = s.lsb_y - 45 + r.below(70) as i16;
        let window = [8, 24, 1 << 20][r.below(3) as usize];
        rows.extend(expert(r, &queue, s.rows, window, lsb));
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
        (40, 64),
        (SIM.tokens_max, 13),
        (1, 1),
        (3, 2),
        (1, 5),
        (17, 3),
        (2, 260),
    ];
    for round in 0..4 {
        for (n, (tokens, rows)) in shapes.into_iter().enumerate() {
            let shape = Shape {
                tokens,
                rows,
                lsb_y: [-40, 0, 13, -200][(n + round) % 4],
                stall: [[0, 0, 0], [0, 0, 200], [100, 40, 0], [30, 0, 128]][r.below(4) as usize],
                late: [0, 1, 30, 600][r.below(4) as usize],
                ..Shape::default()
            };
            let count = r.below(10) as usize;
            let rows = experts(&mut r, &shape, count);
            bench.command(shape, &rows);
        }
    }
}

#[test]
fn any_order_of_rows() {
    let mut bench = Bench::new(25);
    let mut r = Rng::new(25);
    for n in 0..60 {
        let shape = Shape {
            tokens: 1 + r.below(3) as usize,
            rows: 1 + r.below(6) as usize,
            lsb_y: -20,
            stall: [[0, 0, 0], [128, 0, 0], [20, 0, 100]][n % 3],
            ..Shape::default()
        };
        let mut rows = experts(&mut r, &shape, 8);
        for i in (1..rows.len()).rev() {
            rows.swap(i, r.below(i as u64 + 1) as usize);
        }
        // The last row of a token in the new order carries all ends that come too early; the model counts by rows that are left.
        let mut ends = vec![0; shape.tokens];
        let mut left = vec![0; shape.tokens];
        for row in &mut rows {
            ends[row.token] += usize::from(row.end);
            left[row.token] += 1;
            row.end = false;
        }
        for row in &mut rows {
            row.end = left[row.token] <= ends[row.token];
            left[row.token] -= 1;
        }
        bench.command(shape, &rows);
    }
}

#[test]
fn terms_saturate_at_43_bits_and_sums_at_32() {
    let mut bench = Bench::new(22);
    let (least, most) = (-(1i64 << 35), (1i64 << 35) - 1);
    let corner = [
        (most, 0),
        (least, 0),
        (most, 1),
        (least, 1),
        (1 << 34, 0),
        (-(1 << 34), 0),
        (1 << 34, 1),
        (-(1 << 34), 1),
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
        (-1, 500),
        (1, 32767),
        (most, -43),
        (most, -44),
        (most, -45),
        (least, -43),
        (least, -44),
        (least, -45),
        (most, -500),
        (3, -9),
        (1, -9),
        (-1, -9),
        (-3, -9),
        (i64::from(i32::MAX) * 8 + 4, -3), // a tie at the end of int32
        (i64::from(i32::MIN) * 8 - 4, -3), // a tie that rounds back into it
        (i64::from(i32::MIN) * 8 - 5, -3),
    ];
    let d = corner.len();
    for weight in [65536, 131072, 32768, 1, (1 << 20) - 1] {
        let mut rows = Vec::new();
        for token in 0..4 {
            for (row, &(acc, lsb)) in corner.iter().enumerate() {
                rows.push(Row {
                    token,
                    row,
                    acc,
                    lsb: (lsb - 20i32).clamp(-32768, 32767) as i16,
                    weight: weight >> token,
                    end: row + 1 == d,
                });
            }
        }
        let (tokens, rows_y, lsb_y) = (4, d, -20);
        let shape = Shape {
            tokens,
            rows: rows_y,
            lsb_y,
            ..Shape::default()
        };
        bench.command(shape, &rows);
    }
    assert!(bench.saturated > 20);

    // Sixteen terms at the limit on each side: the sum needs all of its 48 bits.
    for keep in [false, true] {
        let mut rows = Vec::new();
        for _ in 0..8 {
            rows.extend((0..16).map(|i| Row {
                token: i / 8,
                row: i % 8,
                acc: if i % 2 == 0 { most } else { least },
                lsb: 0,
                weight: 1 << 19,
                end: i % 8 == 7,
            }));
        }
        let shape = Shape {
            tokens: 2,
            rows: 8,
            keep,
            no_y: !keep,
            ..Shape::default()
        };
        bench.command(shape, &rows);
    }
    assert_eq!(bench.sums[0], 16 * ((1 << 43) - 1));
}

/// Every place a product's bits can go to, around the ends of the result and of the product.
#[test]
fn every_distance_and_ties_at_each() {
    let mut bench = Bench::new(26);
    let mut r = Rng::new(26);
    let rows = 48;
    for distance in -75i16..60 {
        let lsb_y = [-100, 0, 37][r.below(3) as usize];
        let shape = Shape {
            tokens: 2,
            rows,
            lsb_y,
            ..Shape::default()
        };
        // The shift is to the right by 8 - distance for weight 1: an odd multiple of half of that is a tie.
        let tie = (7 - i32::from(distance)).clamp(0, 34) as u32;
        let mut all = Vec::new();
        for token in 0..2 {
            for row in 0..rows {
                let bits = r.below(36);
                let acc = match r.below(3) {
                    0 => (r.next() as i64) >> (63 - bits),
                    1 => ((r.next() as i64) >> 29 >> tie << tie).clamp(-(1 << 35), (1 << 35) - 1),
                    _ => [1, -1, (1 << 35) - 1, -(1 << 35)][r.below(4) as usize],
                };
                all.push(Row {
                    token,
                    row,
                    acc,
                    lsb: lsb_y + distance,
                    weight: [1, 2, 65536, (1 << 20) - 1][r.below(4) as usize],
                    end: row + 1 == rows,
                });
            }
        }
        bench.command(shape, &all);
    }
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
        let mut rows = expert(&mut r, &[2, 0, 1], 33, 33, lsb);
        for (row, acc) in rows
            .iter_mut()
            .zip([(1i64 << 35) - 1, -(1 << 35), 1, -1, 0])
        {
            (row.acc, row.weight) = (acc, 65536);
        }
        let shape = Shape {
            tokens: 3,
            rows: 33,
            lsb_y,
            ..Shape::default()
        };
        bench.command(shape, &rows);
    }
}

#[test]
fn sums_are_kept_over_commands_and_cleared_by_the_next() {
    let mut bench = Bench::new(27);
    let mut r = Rng::new(27);
    for n in 0..12 {
        let (tokens, rows) = [(1, 32), (7, 30), (3, 9)][n % 3];
        for (keep, no_y) in [(false, true), (true, true), (true, false), (true, false)] {
            let shape = Shape {
                tokens,
                rows,
                lsb_y: 5,
                keep,
                no_y,
                stall: [[0, 0, 0], [60, 0, 100]][n % 2],
                late: n % 2 * 5,
            };
            let all = experts(&mut r, &shape, n % 4);
            bench.command(shape, &all);
        }
    }
}

#[test]
fn a_row_per_cycle_and_a_beat_per_cycle() {
    let mut bench = Bench::new(24);
    let mut r = Rng::new(24);
    let (tokens, rows) = (3, SIM.d_max);
    // Cleared before the first row: the rows pass without a stop, and y of a token follows the row that ends it.
    let shape = Shape {
        tokens,
        rows,
        lsb_y: -24,
        late: tokens * rows / 4 + 2,
        ..Shape::default()
    };
    let all = expert(&mut r, &[0, 1, 2], rows, rows, -40);
    let (cycles, refused) = bench.command(shape, &all);
    assert_eq!(refused, 0);
    println!("{cycles} cycles for {tokens} x {rows} rows");
    // y of a token needs the cycles that adding leaves, that is those after the last row, one beat in each, and one between tokens.
    assert_eq!(
        cycles,
        (tokens * rows + tokens * rows / 4 + tokens - 1 + 20) as u64
    );

    // The same with a row in every fourth cycle at most: y goes out between them.
    let slow = Shape {
        stall: [192, 0, 0],
        ..shape
    };
    let (cycles, _) = bench.command(slow, &all);
    assert!(
        cycles < bench.levels.refused + 4 * (tokens * rows) as u64 + 4096,
        "y did not use the free cycles: {cycles}"
    );
}

#[test]
fn rows_wait_for_the_clear_of_their_token() {
    let mut bench = Bench::new(28);
    let mut r = Rng::new(28);
    let (tokens, rows) = (6, 64);
    let waits = [5, 0].map(|first| {
        let shape = Shape {
            tokens,
            rows,
            lsb_y: -24,
            ..Shape::default()
        };
        // What stands in the sums is not zero.
        let all = expert(&mut r, &[0, 1, 2, 3, 4, 5], rows, rows, -20);
        bench.command(shape, &all);
        let all = expert(&mut r, &[first], rows, rows, -20);
        bench.command(shape, &all).1
    });
    // A beat is cleared per cycle, token after token.
    assert_eq!(waits[0], waits[1] + 5 * (rows / 4) as u64);
    // Clearing begins three cycles after `go`.
    assert!(waits[1] <= (rows / 4) as u64 + 3, "{}", waits[1]);
}

#[test]
fn a_token_leaves_while_others_are_added() {
    let mut bench = Bench::new(29);
    let p = &mut bench.p;
    for (port, v) in [("tokens", 2), ("rows_y", 4), ("go", 1)] {
        p.set(port, v);
    }
    p.tick();
    p.set("go", 0);
    let mut x = StreamIn::new("in", &FIELDS, 1, 0);
    let mut out = StreamOut::new("y", &["data"], 1, 0);
    p.set("rt_vld", 1);
    p.set("rt_token", 1);
    p.set("rt_done", 1);
    p.tick();
    p.set("rt_vld", 0);
    p.set("rt_done", 0);
    // Token 0 has no expert: its zeros leave at once, whatever waits for token 1.
    for _ in 0..40 {
        cycle(p, &mut [&mut x, &mut out]);
    }
    assert_eq!(out.items, [[[0; 4]]]);
    for row in 0..4 {
        x.push(&[7, 0, row, 1, 65536, u64::from(row == 3)]);
    }
    for _ in 0..40 {
        cycle(p, &mut [&mut x, &mut out]);
    }
    assert_eq!(out.len(), 2);
    assert_eq!(out.items[1][0], [7; 4]);
}

#[test]
fn a_reset_leaves_nothing_behind() {
    let mut bench = Bench::new(30);
    let mut r = Rng::new(30);
    let shape = Shape {
        tokens: 4,
        rows: 40,
        lsb_y: -24,
        ..Shape::default()
    };
    for after in [3, 12, 60, 100, 170, 200] {
        let p = &mut bench.p;
        p.set("tokens", 4);
        p.set("rows_y", 40);
        p.set("keep_sums", 0);
        p.set("go", 1);
        p.tick();
        p.set("go", 0);
        let mut route = StreamIn::new("rt", &["token"], 1, 0);
        let mut x = StreamIn::new("in", &FIELDS, 1, 0);
        let mut out = StreamOut::new("y", &["data"], 1, 200);
        for token in 0..4 {
            route.push(&[token]);
        }
        for i in 0..160 {
            x.push(&[i, 0, i % 40, i / 40, 65536, u64::from(i % 40 == 39)]);
        }
        for n in 0..after {
            p.set("rt_done", u64::from(n == 4));
            let mut streams: Vec<&mut dyn Stream> = vec![&mut route, &mut out];
            if n > 4 {
                streams.push(&mut x);
            }
            cycle(p, &mut streams);
        }
        p.set("rt_vld", 0);
        p.set("in_vld", 0);
        p.reset("rst", 1);
        bench.levels = Levels::default();
        bench.saturated = 0;
        let all = experts(&mut r, &shape, 5);
        bench.command(shape, &all);
    }
}
