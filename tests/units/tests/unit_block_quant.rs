//! The block quantiser against `numeric`.

use numeric::Unpacked;
use sim_tb::pins::{cycle, Pins, StreamIn, StreamOut};
use sim_tb::rng::Rng;

/// What the unit says of a block: q8, hi, lo (element 0 first), B, infinity or NaN.
type Quantised = ([i8; 32], [i8; 32], [i8; 32], u8, bool);

fn expected(block: &[u32]) -> Quantised {
    let elements: Vec<Unpacked> = block.iter().map(|b| Unpacked::from_bits(*b)).collect();
    let b = numeric::block_exponent(&elements);
    let (mut q8, mut hi, mut lo) = ([0; 32], [0; 32], [0; 32]);
    for (i, e) in elements.iter().enumerate() {
        q8[i] = numeric::q8(e, b);
        (hi[i], lo[i]) = numeric::limbs(numeric::q15(e, b));
    }
    (q8, hi, lo, b, elements.iter().any(|e| e.non_finite))
}

fn bytes(words: &[u32]) -> [i8; 32] {
    std::array::from_fn(|i| (words[i / 4] >> (8 * (i % 4))) as i8)
}

/// Sends the blocks, checks every result, gives the cycle of each.
fn check(blocks: &[Vec<u32>], seed: u64, stall: u32) -> Vec<u64> {
    println!("{} blocks, seed {seed}, stall {stall}/256", blocks.len());
    let mut p = Pins::new("block_quant").unwrap();
    p.reset("rst", 2);
    let mut x = StreamIn::new("in", &["f32", "last"], seed, stall);
    let fields = ["q8", "hi", "lo", "b", "nonfinite"];
    let mut y = StreamOut::new("out", &fields, seed, 0);
    for block in blocks {
        for (i, v) in block.iter().enumerate() {
            x.push(&[u64::from(*v), u64::from(i + 1 == block.len())]);
        }
    }
    while y.len() < blocks.len() {
        cycle(&mut p, &mut [&mut x, &mut y]);
    }
    for _ in 0..100 {
        cycle(&mut p, &mut [&mut x, &mut y]);
    }
    assert_eq!(y.len(), blocks.len(), "a block too many");
    for (n, (block, item)) in blocks.iter().zip(&y.items).enumerate() {
        let got = (
            bytes(&item[0]),
            bytes(&item[1]),
            bytes(&item[2]),
            item[3][0] as u8,
            item[4][0] == 1,
        );
        assert_eq!(got, expected(block), "block {n}: {block:08x?}");
    }
    y.at
}

/// Elements whose exponents lie within `spread` of `top`, one in eight of them zero, subnormal, infinite or NaN.
fn random_block(r: &mut Rng, n: u64, top: u64, spread: u64, odd: bool) -> Vec<u32> {
    (0..n)
        .map(|_| {
            let random = r.next() as u32 & 0x807F_FFFF;
            let special = [0, 0, 255, top];
            let exponent = if odd && r.chance(32) {
                special[r.below(4) as usize]
            } else {
                top.saturating_sub(r.below(spread))
            };
            random | (exponent as u32) << 23
        })
        .collect()
}

#[test]
fn random_blocks_of_every_length() {
    for (seed, stall) in [(1, 0), (2, 30), (3, 220)] {
        let mut r = Rng::new(seed);
        let blocks: Vec<_> = (0..600)
            .map(|n| {
                let length = if n % 3 == 0 { 32 } else { 1 + r.below(32) };
                let (top, spread) = (1 + r.below(254), [1, 3, 12, 30, 300][r.below(5) as usize]);
                let odd = r.chance(128);
                random_block(&mut r, length, top, spread, odd)
            })
            .collect();
        check(&blocks, seed, stall);
    }
}

#[test]
fn the_ends_of_the_range() {
    let one = |exponent: u32, fraction: u32| exponent << 23 | fraction;
    let ties: Vec<u32> = (0..32)
        .map(|i| one(127 - i / 2, 0x7F_FFFF >> (i % 7)) | (i & 1) << 31)
        .collect();
    let halves: Vec<u32> = (0..32)
        .map(|i| one(120, i << 16 | 0x8000) | (i % 2) << 31)
        .collect();
    check(
        &[
            vec![0; 32],
            vec![0],
            vec![0x8000_0000, 1, 0x807F_FFFF], // zeros and subnormals
            vec![0x7F80_0000, 0xFFC0_0001],    // infinity, NaN: nothing counts
            vec![0x7F80_0000, 0x3F80_0000],    // beside them 1.0 does
            vec![0x3F80_0000; 32],             // the flag of the block before is gone
            vec![one(254, 0x7F_FFFF); 32],     // largest finite: q8 would be 128
            vec![one(254, 0x7F_FFFF) | 1 << 31], // and -128
            vec![one(254, 0), one(1, 0)],
            vec![one(1, 0x7F_FFFF); 7],
            vec![one(127, 0), one(134, 0), one(133, 1)], // 1/2 and just above 1/2 of an LSB
            ties,
            halves,
        ],
        4,
        0,
    );
}

#[test]
fn full_blocks_take_one_element_per_cycle() {
    let mut r = Rng::new(5);
    let blocks: Vec<_> = (0..50)
        .map(|_| random_block(&mut r, 32, 130, 9, false))
        .collect();
    let at = check(&blocks, 5, 0);
    assert!(at.windows(2).all(|w| w[1] - w[0] == 32), "{at:?}");
}

#[test]
fn reset_forgets_a_half_block() {
    let mut p = Pins::new("block_quant").unwrap();
    p.reset("rst", 2);
    let mut x = StreamIn::new("in", &["f32", "last"], 6, 0);
    let mut y = StreamOut::new("out", &["q8", "b", "nonfinite"], 6, 0);
    for _ in 0..5 {
        x.push(&[0x7F80_0000, 0]);
    }
    while x.pending() > 0 {
        cycle(&mut p, &mut [&mut x, &mut y]);
    }
    p.set("in_vld", 0);
    p.reset("rst", 1);
    let block = vec![0x3F80_0000, 0x4000_0000];
    x.push(&[u64::from(block[0]), 0]);
    x.push(&[u64::from(block[1]), 1]);
    while y.is_empty() {
        cycle(&mut p, &mut [&mut x, &mut y]);
    }
    let want = expected(&block);
    let item = &y.items[0];
    assert_eq!(
        (bytes(&item[0]), item[1][0] as u8, item[2][0]),
        (want.0, want.3, 0)
    );
}
