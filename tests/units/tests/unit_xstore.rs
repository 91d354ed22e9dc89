//! The store of input vectors against `golden`'s blocks: every width, special numbers, stalls, and commands one after the other.

use abi::config::SIM;
use abi::BLOCK;
use golden::{Limbs, Vector};
use sim_tb::pins::{cycle, Pins, Stream, StreamIn, StreamOut};
use sim_tb::rng::Rng;

/// Sees the levels, and collects the clear port.
#[derive(Default)]
struct Watch {
    ready: bool,
    nonfinite: bool,
    cleared: Vec<(u64, u64)>,
    waited: usize,
}

impl Stream for Watch {
    fn drive(&mut self, _: &mut Pins) {}
    fn sample(&mut self, pins: &mut Pins) {
        self.ready = pins.get("x_ready") == 1;
        self.nonfinite = pins.get("nonfinite") == 1;
        if pins.get("clr_vld") == 1 {
            self.cleared
                .push((pins.get("clr_token"), pins.get("clr_row")));
        }
        let waiting = pins.get("waiting") == 1;
        assert!(
            !(waiting && pins.get("in_vld") == 1),
            "waits for what is there"
        );
        self.waited += usize::from(waiting);
    }
}

/// Random binary32 patterns: exponents that drift, zeros, subnormals, and `non_finite` of 256 infinities or NaNs.
fn element(r: &mut Rng, i: usize, non_finite: u32) -> u32 {
    let exponent = if r.chance(non_finite) {
        255
    } else if r.chance(24) {
        0
    } else {
        90 + (i as u64 / 32 * r.below(7)) % 60 + r.below(14)
    };
    let fraction = if r.chance(24) { 0 } else { r.next() as u32 };
    fraction & 0x807F_FFFF | (exponent as u32) << 23
}

fn bytes(words: &[u32]) -> [i8; BLOCK] {
    std::array::from_fn(|i| (words[i / 4] >> (8 * (i % 4))) as i8)
}

/// Starts a command, sends x, waits until it is stored, reads everything. Returns the cycles from `go` to `x_ready`.
fn check(p: &mut Pins, (tokens, d): (usize, usize), non_finite: u32, stall: u32, seed: u64) -> u64 {
    println!("{tokens} x {d}, non-finite {non_finite}/256, stall {stall}, seed {seed}");
    let mut r = Rng::new(seed);
    let x: Vec<Vec<u32>> = (0..tokens)
        .map(|_| (0..d).map(|i| element(&mut r, i, non_finite)).collect())
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
    let mut watch = Watch::default();
    p.set("tokens", tokens as u64);
    p.set("d", d as u64);
    p.set("in_vld", 0);
    p.set("go", 1);
    let start = p.cycles();
    cycle(p, &mut [&mut blocks, &mut watch]);
    p.set("go", 0);
    loop {
        cycle(p, &mut [&mut beats, &mut blocks, &mut watch]);
        if watch.ready {
            break;
        }
    }
    let cycles = p.cycles() - 1 - start;
    assert_eq!(beats.pending(), 0);
    if stall == 0 {
        assert_eq!(watch.waited, 0, "waited for beats that came at once");
    }
    let any = x.iter().any(|row| row.iter().any(|v| v >> 23 & 255 == 255));
    assert_eq!(watch.nonfinite, any, "nonfinite");
    let all: Vec<(u64, u64)> = (0..tokens * d)
        .map(|i| ((i / d) as u64, (i % d) as u64))
        .collect();
    assert_eq!(watch.cleared, all, "cleared sums");

    // The blocks as they were stored, and through the read port in random order.
    let per_row = d.div_ceil(BLOCK);
    assert_eq!(blocks.len(), tokens * per_row);
    let of: Vec<(Vector, Limbs)> = x.iter().map(|r| (Vector::q8(r), Limbs::of(r))).collect();
    for (i, item) in blocks.items.iter().enumerate() {
        let (token, blk) = (i / per_row, i % per_row);
        let v = &of[token].0;
        let head: Vec<u32> = item[..3].iter().map(|w| w[0]).collect();
        assert_eq!(head, [token as u32, blk as u32, v.exponents[blk].into()]);
        assert_eq!(bytes(&item[3]), v.values[blk], "token {token} block {blk}");
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
        p.tick();
        // The answer stands while the next address is already there.
        p.set("x_region", r.below(3));
        p.set("x_token", r.below(256));
        p.set("x_blk", r.below(65536));
        let v = [&of[token].0, &of[token].1.hi, &of[token].1.lo][region];
        let at = format!("region {region} token {token} block {blk}");
        assert_eq!(bytes(&p.get_wide("x_data")), v.values[blk], "{at}");
        assert_eq!(p.get("x_b"), v.exponents[blk].into(), "{at}");
        assert_eq!(p.get("x_bmax"), v.bmax.into(), "{at}");
    }
    assert_eq!(p.get("x_ready"), 1, "stays until the next command");
    cycles
}

fn unit() -> Pins {
    let mut p = Pins::new("xstore").unwrap();
    p.set("go", 0);
    p.set("in_vld", 0);
    p.reset("rst", 2);
    assert_eq!(p.get("x_ready"), 0);
    p
}

#[test]
fn every_width_up_to_three_blocks() {
    let mut p = unit();
    for d in 1..=97 {
        let stall = [0, 0, 150, 240][d % 4];
        check(&mut p, (1 + d % 3, d), 0, stall, d as u64);
    }
}

#[test]
fn shapes_to_the_limits() {
    let mut p = unit();
    let shapes = [
        (SIM.tokens_max, SIM.d_max),
        (SIM.tokens_max, 33),
        (1, SIM.d_max),
        (7, SIM.d_max - 1),
        (SIM.tokens_max, 1),
        (3, 192),
    ];
    for (i, shape) in shapes.into_iter().enumerate() {
        check(&mut p, shape, 0, [0, 60][i % 2], 1000 + i as u64);
    }
}

#[test]
fn what_is_not_finite_is_noted_and_forgotten_by_the_next_command() {
    let mut p = unit();
    for (i, non_finite) in [0, 2, 0, 64, 256, 0, 1, 0].into_iter().enumerate() {
        check(&mut p, (4, 30 + 17 * i), non_finite, 30, 2000 + i as u64);
    }
}

#[test]
fn an_element_takes_a_cycle() {
    let mut p = unit();
    for (tokens, d) in [(1, 32), (1, 1024), (4, 64), (32, 1024), (1, 1)] {
        let cycles = check(&mut p, (tokens, d), 0, 0, 3000);
        println!("{cycles} cycles from `go` to `x_ready`");
        let last = (d - 1) % BLOCK + 1;
        assert_eq!(cycles, (tokens * d + last + 5) as u64);
    }
}
