//! The hidden-vector stage against `numeric`: blocks, largest exponents, zero maps, back-pressure, one expert after the other.

use abi::config::{SIM, VERSA};
use numeric::Unpacked;
use sim_tb::pins::{cycle, Pins, Stream, StreamIn, StreamOut};
use sim_tb::rng::Rng;

/// How one expert's rows come: `queue` vectors of `f` rows, `window` rows of each in turn.
#[derive(Clone, Copy, Debug)]
struct Expert {
    queue: usize,
    f: usize,
    window: usize,
    stall: u32,
    kind: Kind,
}

/// What kind of numbers a vector has.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Exponents drift along a vector, so that the largest is in any of the blocks; zeros among them.
    Drift,
    /// Every exponent of a finite number, so that most of a block vanishes beside its largest.
    Wild,
    /// Whole blocks, and whole vectors, are zeros.
    Sparse,
}

/// Sees `busy`.
#[derive(Default)]
struct Watch {
    busy: bool,
}

impl Stream for Watch {
    fn drive(&mut self, _: &mut Pins) {}
    fn sample(&mut self, pins: &mut Pins) {
        self.busy = pins.get("busy") == 1;
    }
}

fn bytes(words: &[u32]) -> [i8; 32] {
    std::array::from_fn(|i| (words[i / 4] >> (8 * (i % 4))) as i8)
}

fn quantised(block: &[u32]) -> ([i8; 32], u8) {
    let elements: Vec<Unpacked> = block.iter().map(|b| Unpacked::from_bits(*b)).collect();
    let b = numeric::block_exponent(&elements);
    let mut q8 = [0; 32];
    for (q, e) in q8.iter_mut().zip(&elements) {
        *q = numeric::q8(e, b);
    }
    (q8, b)
}

/// Sends one expert, waits until it is stored, reads all of it. Returns the cycles until it was stored.
fn check(p: &mut Pins, e: Expert, seed: u64) -> u64 {
    println!("{e:?}, seed {seed}");
    let mut r = Rng::new(seed);
    let vectors: Vec<Vec<u32>> = (0..e.queue)
        .map(|_| {
            let zeros = [128, 256, 20][r.below(3) as usize];
            let zero: Vec<bool> = (0..e.f.div_ceil(32)).map(|_| r.chance(zeros)).collect();
            let mut value = |i: usize| {
                let drift = if r.chance(16) {
                    0
                } else {
                    80 + (i as u64 / 32 * r.below(9)) % 60 + r.below(12)
                };
                let exponent = match e.kind {
                    Kind::Drift => drift,
                    Kind::Wild => r.below(255),
                    Kind::Sparse if zero[i / 32] => 0,
                    Kind::Sparse => drift,
                };
                let bits = r.next() as u32 & 0x807F_FFFF | (exponent as u32) << 23;
                if exponent == 0 {
                    0
                } else {
                    bits
                }
            };
            (0..e.f).map(&mut value).collect()
        })
        .collect();
    p.set("f", e.f as u64);
    p.set("in_vld", 0);
    p.tick();
    let mut x = StreamIn::new("in", &["q", "row", "f32"], seed, e.stall);
    let mut blocks = StreamOut::new("blk", &["q", "index", "b", "q8"], seed, 0);
    let mut watch = Watch::default();
    for from in (0..e.f).step_by(e.window) {
        for (q, v) in vectors.iter().enumerate() {
            for (row, h) in v.iter().enumerate().skip(from).take(e.window) {
                x.push(&[q as u64, row as u64, u64::from(*h)]);
            }
        }
    }
    let start = p.cycles();
    let per_vector = e.f.div_ceil(32);
    loop {
        let all_sent = x.pending() == 0;
        cycle(p, &mut [&mut x, &mut blocks, &mut watch]);
        if all_sent && !watch.busy {
            break;
        }
    }
    assert_eq!(
        blocks.len(),
        e.queue * per_vector,
        "blocks stored when not busy"
    );
    let cycles = p.cycles() - start;
    p.set("in_vld", 0);

    let mut seen = vec![false; e.queue * per_vector];
    for (n, item) in blocks.items.iter().enumerate() {
        let (q, index) = (item[0][0] as usize, item[1][0] as usize);
        assert!(
            !std::mem::replace(&mut seen[q * per_vector + index], true),
            "block {index} of {q} twice"
        );
        let block = vectors[q].chunks(32).nth(index).unwrap();
        assert_eq!(
            (bytes(&item[3]), item[2][0] as u8),
            quantised(block),
            "stored block {n}"
        );
    }
    for (q, v) in vectors.iter().enumerate() {
        let want: Vec<_> = v.chunks(32).map(quantised).collect();
        let largest = want.iter().map(|w| w.1).max().unwrap();
        for (index, (q8, b)) in want.iter().enumerate() {
            p.set("h_q", q as u64);
            p.set("h_blk", index as u64);
            p.set("hmap_q", q as u64);
            p.set("hmap_chunk", index as u64 / 32);
            p.tick();
            // The answer stands while the next address is already there.
            p.set("h_q", 0);
            p.set("h_blk", 0);
            p.set("hmap_q", r.below(256));
            p.set("hmap_chunk", 0);
            assert_eq!(bytes(&p.get_wide("h_data")), *q8, "q {q} block {index}");
            assert_eq!(
                (p.get("h_b"), p.get("h_bmax")),
                (u64::from(*b), largest.into()),
                "exponents of q {q} block {index}"
            );
            let chunk = want.chunks(32).nth(index / 32).unwrap();
            let map = chunk
                .iter()
                .enumerate()
                .fold(0, |m, (i, v)| m | u64::from(v.1 != 0) << i);
            assert_eq!(p.get("hmap_bits"), map, "map of q {q} block {index}");
        }
    }
    cycles
}

fn bench() -> Pins {
    let mut p = Pins::new("hstage").unwrap();
    p.reset("rst", 2);
    p
}

fn expert(queue: usize, f: usize, window: usize) -> Expert {
    Expert {
        queue,
        f,
        window,
        stall: 0,
        kind: Kind::Drift,
    }
}

#[test]
fn experts_of_every_shape_one_after_the_other() {
    let mut p = bench();
    let mut r = Rng::new(31);
    for n in 0..150 {
        let f = [24, 40, 32, 64, 96, 4, 100, 256, 33, 1, 1057, 65, 3][n % 13];
        let queue = 1 + r.below([4, 32][n % 2]) as usize;
        let e = Expert {
            stall: [0, 0, 60, 200][r.below(4) as usize],
            kind: [Kind::Drift, Kind::Wild, Kind::Sparse][r.below(3) as usize],
            ..expert(
                queue,
                f,
                [1, 2, 4, 8, 12, 32, 44, 64, 512][r.below(9) as usize],
            )
        };
        check(&mut p, e, 1000 + n as u64);
    }
}

#[test]
fn the_limits() {
    let mut p = bench();
    check(&mut p, expert(SIM.tokens_max, 96, 4), 30);
    check(&mut p, expert(SIM.tokens_max, 65, 65), 31);
    check(&mut p, expert(3, SIM.f_max, 8), 32);
    // Windows of 44 rows: some of them complete two blocks of each vector and start a third, so that rows must wait.
    for (seed, window) in [(33, 4), (34, 44), (35, 256)] {
        check(&mut p, expert(32, 2048, window), seed);
    }
}

#[test]
fn a_small_configuration() {
    let mut p = Pins::new("hstage_versa").unwrap();
    p.reset("rst", 2);
    for (seed, window) in [(40, 4), (41, 44), (42, 512), (43, 1)] {
        for kind in [Kind::Drift, Kind::Sparse] {
            let limits = expert(VERSA.tokens_max, VERSA.f_max, window);
            check(&mut p, Expert { kind, ..limits }, seed);
            check(&mut p, expert(3, 97, window), seed);
        }
    }
}

#[test]
fn rows_wait_for_their_staged_block() {
    let mut p = bench();
    // All vectors complete their first block at the same time, and then one of them runs ahead.
    p.set("f", 4096);
    let mut x = StreamIn::new("in", &["q", "row", "f32"], 36, 0);
    let mut blocks = StreamOut::new("blk", &["q", "index", "b", "q8"], 36, 0);
    for row in 0..32 {
        for q in 0..40 {
            x.push(&[q, row, (0x3F80_0000 + q) << (row % 2)]);
        }
    }
    for row in 32..4096 {
        x.push(&[39, row, 0x3F80_0000 | (row & 31) << 18]);
    }
    while blocks.len() < 40 + 127 {
        cycle(&mut p, &mut [&mut x, &mut blocks]);
    }
    let want: Vec<u32> = (0..32).map(|i| 0x3F80_0000 | i << 18).collect();
    for item in &blocks.items[40..] {
        assert_eq!(item[0][0], 39);
        assert_eq!((bytes(&item[3]), item[2][0] as u8), quantised(&want));
    }
}

#[test]
fn one_row_per_cycle() {
    let mut p = bench();
    let cycles = check(&mut p, expert(1, 256, 256), 35);
    println!("{cycles} cycles");
    assert_eq!(cycles, 256 + 48);
}

#[test]
fn reset_forgets_rows_and_jobs() {
    let mut p = bench();
    p.set("f", 64);
    let mut x = StreamIn::new("in", &["q", "row", "f32"], 36, 0);
    for row in 0..64 {
        x.push(&[0, row, 0x3F80_0000]);
    }
    while x.pending() > 4 {
        cycle(&mut p, &mut [&mut x]);
    }
    assert_eq!(p.get("busy"), 1);
    p.set("in_vld", 0);
    p.reset("rst", 1);
    assert_eq!(p.get("busy"), 0);
    check(&mut p, expert(3, 72, 8), 37);
}
