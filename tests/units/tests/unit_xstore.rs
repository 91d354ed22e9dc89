//! The store of input vectors against `numeric`: every width, special numbers, wild exponents, stalls, and commands one after the other.

use abi::config::{SIM, VERSA};
use abi::BLOCK;
use numeric::Unpacked;
use sim_tb::pins::{cycle, Pins, Stream, StreamIn, StreamOut};
use sim_tb::rng::Rng;

/// A block as it must be stored: q8, hi and lo limbs, exponent.
struct Block {
    regions: [[i8; BLOCK]; 3],
    b: u8,
}

impl Block {
    fn of(elements: &[u32]) -> Block {
        let elements: Vec<Unpacked> = elements.iter().map(|b| Unpacked::from_bits(*b)).collect();
        let b = numeric::block_exponent(&elements);
        let mut regions = [[0; BLOCK]; 3];
        for (i, e) in elements.iter().enumerate() {
            let q15 = numeric::q15(e, b);
            regions[0][i] = numeric::q8(e, b);
            (regions[1][i], regions[2][i]) = numeric::limbs(q15);
        }
        Block { regions, b }
    }
}

/// Sees the levels, and counts the blocks stored of each token when `x_tokens` rises.
#[derive(Default)]
struct Watch {
    tokens: u64,
    stored: u64,
    per_row: u64,
    nonfinite: bool,
    waited: usize,
    taken: Vec<u64>,
}

impl Stream for Watch {
    fn drive(&mut self, _: &mut Pins) {}
    fn sample(&mut self, pins: &mut Pins) {
        self.tokens = pins.get("x_tokens");
        // The level is one cycle behind the last block's port.
        assert_eq!(self.tokens, self.stored / self.per_row, "x_tokens");
        self.stored += pins.get("blk_vld");
        self.nonfinite = pins.get("nonfinite") == 1;
        if pins.get("in_vld") == 1 && pins.get("in_rdy") == 1 {
            self.taken.push(pins.cycles());
        }
        let waiting = pins.get("waiting") == 1;
        assert!(
            !(waiting && pins.get("in_vld") == 1),
            "waits for what is there"
        );
        self.waited += usize::from(waiting);
    }
}

/// What kind of numbers a row has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Exponents that drift along the row; zeros and subnormals among them.
    Drift,
    /// As `Drift`, with one infinity or NaN in so many elements.
    NonFinite(u64),
    /// Every exponent there is, also 0 and 255.
    Wild,
    /// Whole blocks are zeros (of both signs) or subnormals.
    Sparse,
    /// Largest mantissas and ties of every exponent difference.
    Ties,
}

fn element(r: &mut Rng, kind: Kind, i: usize, zero_block: bool) -> u32 {
    let mut fraction = if r.chance(24) { 0 } else { r.next() as u32 };
    let drift = if r.chance(24) {
        0
    } else {
        90 + (i as u64 / 32 * r.below(7)) % 60 + r.below(14)
    };
    let exponent = match kind {
        Kind::Drift => drift,
        Kind::NonFinite(n) if r.below(n) == 0 => 255,
        Kind::NonFinite(_) => drift,
        Kind::Wild => r.below(256),
        Kind::Sparse if zero_block => {
            fraction &= [0x8000_0000, u32::MAX][r.below(2) as usize];
            0
        }
        Kind::Sparse => drift,
        Kind::Ties => {
            // Bits that end where rounding to q15 or to q8 decides.
            let place = r.below(25);
            fraction = (r.next() as u32 & (!0 << place.min(23)))
                | (((1 << place) - 1) * (r.next() as u32 & 1));
            if r.chance(64) {
                fraction = r.next() as u32 | 0x7F_FFFF;
            }
            120 - r.below(18)
        }
    };
    fraction & 0x807F_FFFF | (exponent as u32) << 23
}

fn bytes(words: &[u32]) -> [i8; BLOCK] {
    std::array::from_fn(|i| (words[i / 4] >> (8 * (i % 4))) as i8)
}

/// Starts a command, sends x, waits until it is stored, reads everything. Returns the cycles from the first beat taken to the last, and
/// from there until the last row may be read.
fn check(
    p: &mut Pins,
    (tokens, d): (usize, usize),
    kind: Kind,
    stall: u32,
    seed: u64,
) -> (u64, u64) {
    println!("{tokens} x {d}, {kind:?}, stall {stall}/256, seed {seed}");
    let mut r = Rng::new(seed);
    let x: Vec<Vec<u32>> = (0..tokens)
        .map(|_| {
            let zero: Vec<bool> = (0..d.div_ceil(BLOCK)).map(|_| r.chance(128)).collect();
            (0..d)
                .map(|i| element(&mut r, kind, i, zero[i / BLOCK]))
                .collect()
        })
        .collect();
    let mut beats = StreamIn::new("in", &["data"], seed, stall);
    for row in &x {
        for four in row.chunks(4) {
            // What fills a row up must not matter.
            let mut beat = four.to_vec();
            beat.resize_with(4, || [r.next() as u32, 0x7F80_0000][r.below(2) as usize]);
            beats.push_wide(vec![beat]);
        }
    }
    let mut blocks = StreamOut::new("blk", &["token", "index", "b", "q8"], 0, 0);
    let per_row = d.div_ceil(BLOCK);
    let mut watch = Watch {
        per_row: per_row as u64,
        ..Default::default()
    };
    p.set("tokens", tokens as u64);
    p.set("d", d as u64);
    p.set("in_vld", 0);
    p.set("go", 1);
    p.tick();
    p.set("go", 0);
    loop {
        cycle(p, &mut [&mut beats, &mut blocks, &mut watch]);
        if watch.tokens == tokens as u64 {
            break;
        }
    }
    assert_eq!(beats.pending(), 0);
    let any = x.iter().flatten().any(|v| v >> 23 & 255 == 255);
    assert_eq!(watch.nonfinite, any, "nonfinite");
    let (first, last) = (watch.taken[0], watch.taken[watch.taken.len() - 1]);
    let cycles = (last - first + 1, p.cycles() - 2 - last);

    // The blocks as they were stored, and through the read port in random order.
    let of: Vec<Vec<Block>> = x
        .iter()
        .map(|row| row.chunks(BLOCK).map(Block::of).collect())
        .collect();
    assert_eq!(blocks.len(), tokens * per_row);
    for (i, item) in blocks.items.iter().enumerate() {
        let (token, blk) = (i / per_row, i % per_row);
        let want = &of[token][blk];
        let head: Vec<u32> = item[..3].iter().map(|w| w[0]).collect();
        assert_eq!(head, [token as u32, blk as u32, want.b.into()]);
        assert_eq!(
            bytes(&item[3]),
            want.regions[0],
            "token {token} block {blk}"
        );
    }
    let mut reads: Vec<(usize, usize, usize)> = (0..3 * tokens * per_row)
        .map(|i| (i % 3, i / 3 / per_row, i / 3 % per_row))
        .collect();
    for i in (1..reads.len()).rev() {
        reads.swap(i, r.below(i as u64 + 1) as usize);
    }
    for (region, token, blk) in reads {
        p.set("x_region", region as u64);
        p.set("x_token", token as u64);
        p.set("x_blk", blk as u64);
        p.set("xmap_token", token as u64);
        p.set("xmap_chunk", blk as u64 / 32);
        p.tick();
        // The answer stands while the next address is already there.
        p.set("x_region", r.below(3));
        p.set("x_token", r.below(256));
        p.set("x_blk", r.below(SIM.d_blocks() as u64));
        p.set("xmap_token", r.below(256));
        p.set("xmap_chunk", r.below(SIM.d_blocks() as u64 / 32));
        let want = &of[token][blk];
        let at = format!("region {region} token {token} block {blk}");
        assert_eq!(bytes(&p.get_wide("x_data")), want.regions[region], "{at}");
        assert_eq!(p.get("x_b"), u64::from(want.b), "{at}");
        let bmax = of[token].iter().map(|v| v.b).max().unwrap();
        assert_eq!(p.get("x_bmax"), u64::from(bmax), "{at}");
        let chunk = of[token].chunks(32).nth(blk / 32).unwrap();
        let map = chunk
            .iter()
            .enumerate()
            .fold(0, |m, (i, v)| m | u64::from(v.b != 0) << i);
        assert_eq!(p.get("xmap_bits"), map, "{at}");
    }
    assert_eq!(
        p.get("x_tokens"),
        tokens as u64,
        "stays until the next command"
    );
    cycles
}

fn unit() -> Pins {
    bench("xstore")
}

fn bench(unit: &str) -> Pins {
    let mut p = Pins::new(unit).unwrap();
    p.set("go", 0);
    p.set("in_vld", 0);
    p.reset("rst", 2);
    assert_eq!(p.get("x_tokens"), 0);
    p
}

#[test]
fn every_width_up_to_three_blocks() {
    let mut p = unit();
    for d in 1..=97 {
        let stall = [0, 0, 150, 240][d % 4];
        check(&mut p, (1 + d % 3, d), Kind::Drift, stall, d as u64);
    }
}

#[test]
fn shapes_to_the_limits() {
    let mut p = unit();
    let shapes = [
        (SIM.tokens_max, 40),
        (SIM.tokens_max, 1),
        (1, SIM.d_max),
        (3, SIM.d_max - 1),
        (SIM.tokens_max - 1, 192),
        (3, 1025),
        (2, 1024),
        (SIM.tokens_max, 1022),
    ];
    for (i, shape) in shapes.into_iter().enumerate() {
        let kind = [Kind::Drift, Kind::Sparse][i / 2 % 2];
        check(&mut p, shape, kind, [0, 60][i % 2], 1000 + i as u64);
    }
}

#[test]
fn a_small_configuration() {
    let mut p = bench("xstore_versa");
    for seed in 0..12 {
        let kind = [Kind::Drift, Kind::Sparse, Kind::Wild][seed as usize % 3];
        for d in [VERSA.d_max, VERSA.d_max - 1, 33, 1] {
            check(
                &mut p,
                (VERSA.tokens_max, d),
                kind,
                [0, 60][seed as usize % 2],
                6000 + seed,
            );
        }
    }
}

#[test]
fn what_is_not_finite_is_noted_and_forgotten_by_the_next_command() {
    let mut p = unit();
    for (i, n) in [1 << 40, 100, 1 << 40, 4, 1, 1 << 40, 200, 1 << 40]
        .into_iter()
        .enumerate()
    {
        check(
            &mut p,
            (4, 30 + 17 * i),
            Kind::NonFinite(n),
            30,
            2000 + i as u64,
        );
    }
}

#[test]
fn wild_exponents_zero_blocks_and_ties() {
    let mut p = unit();
    for seed in 0..60 {
        let kind = [Kind::Wild, Kind::Sparse, Kind::Ties][seed as usize % 3];
        let shape = [(5, 96), (2, 1100), (3, 257), (9, 64)][seed as usize % 4];
        check(
            &mut p,
            shape,
            kind,
            [0, 100][seed as usize / 4 % 2],
            4000 + seed,
        );
    }
}

#[test]
fn a_beat_takes_a_cycle() {
    let mut p = unit();
    for (tokens, d) in [
        (1, 32),
        (1, 1024),
        (4, 64),
        (32, 1024),
        (1, 1),
        (7, 44),
        (9, 84),
        (5, 63),
    ] {
        let (beats, rest) = check(&mut p, (tokens, d), Kind::Drift, 0, 3000);
        println!("{beats} cycles for the beats, then {rest}");
        assert_eq!(beats, (tokens * d.div_ceil(4)) as u64);
        // A block that waits for none before it: its beats (or three), and the pipeline.
        if d % BLOCK == 0 || d < BLOCK {
            assert_eq!(rest, 13 + (d.min(BLOCK) as u64).div_ceil(4).max(3));
        }
    }
}

#[test]
fn reset_forgets_a_command() {
    let mut p = unit();
    p.set("tokens", 4);
    p.set("d", 256);
    p.set("go", 1);
    p.tick();
    p.set("go", 0);
    let mut beats = StreamIn::new("in", &["data"], 5000, 0);
    for _ in 0..83 {
        beats.push_wide(vec![vec![0x7F80_0000; 4]]);
    }
    while beats.pending() > 0 {
        cycle(&mut p, &mut [&mut beats]);
    }
    p.set("in_vld", 0);
    p.reset("rst", 1);
    assert_eq!(
        (p.get("x_tokens"), p.get("nonfinite"), p.get("waiting")),
        (0, 0, 0)
    );
    for _ in 0..40 {
        p.tick();
        assert_eq!((p.get("x_tokens"), p.get("blk_vld")), (0, 0));
    }
    check(&mut p, (3, 100), Kind::Drift, 0, 5001);
}
