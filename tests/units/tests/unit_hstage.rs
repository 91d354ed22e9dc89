//! The hidden-vector stage against `numeric`: blocks, largest exponents, back-pressure, one expert after the other.

use abi::config::SIM;
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
    // Exponents drift along a vector, so that the largest is in any of the blocks.
    let vectors: Vec<Vec<u32>> = (0..e.queue)
        .map(|_| {
            (0..e.f)
                .map(|i| {
                    let exponent = if r.chance(16) {
                        0
                    } else {
                        80 + (i as u64 / 32 * r.below(9)) % 60 + r.below(12)
                    };
                    r.next() as u32 & 0x807F_FFFF | (exponent as u32) << 23
                })
                .collect()
        })
        .collect();
    p.set("f", e.f as u64);
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
        for (index, (q8, b)) in want.into_iter().enumerate() {
            p.set("h_q", q as u64);
            p.set("h_blk", index as u64);
            p.tick();
            // Noise on the address now must not matter.
            p.set("h_q", 0);
            p.set("h_blk", 0);
            assert_eq!(bytes(&p.get_wide("h_data")), q8, "q {q} block {index}");
            assert_eq!(
                (p.get("h_b"), p.get("h_bmax")),
                (b.into(), largest.into()),
                "exponents of q {q} block {index}"
            );
        }
    }
    cycles
}

fn bench() -> Pins {
    let mut p = Pins::new("hstage").unwrap();
    p.reset("rst", 2);
    p
}

#[test]
fn experts_of_every_shape_one_after_the_other() {
    let mut p = bench();
    let mut r = Rng::new(31);
    for n in 0..120 {
        let f = [24, 40, 32, 64, 96, 4, 100, 256, 33, 1][n % 10];
        let queue = 1 + r.below(SIM.tokens_max as u64) as usize;
        let window = [2, 4, 8, 12, 32, 44, 64, 512][r.below(8) as usize];
        let stall = [0, 0, 60, 200][r.below(4) as usize];
        let e = Expert {
            queue,
            f,
            window,
            stall,
        };
        check(&mut p, e, 1000 + n as u64);
    }
}

#[test]
fn a_full_queue_of_the_longest_vectors() {
    let mut p = bench();
    // Windows of 44 rows: some of them complete two blocks of each vector and start a third, so that rows must wait.
    for (seed, window) in [(32, 4), (33, 44), (34, 256)] {
        let e = Expert {
            queue: SIM.tokens_max,
            f: SIM.f_max,
            window,
            stall: 0,
        };
        check(&mut p, e, seed);
    }
}

#[test]
fn one_row_per_cycle() {
    let mut p = bench();
    let e = Expert {
        queue: 1,
        f: 256,
        window: 256,
        stall: 0,
    };
    // Behind the last row: 32 elements through the quantiser, and its registers.
    let cycles = check(&mut p, e, 35);
    assert!(cycles <= 256 + 32 + 6, "{cycles} cycles");
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
    let e = Expert {
        queue: 3,
        f: 72,
        window: 8,
        stall: 0,
    };
    check(&mut p, e, 37);
}
