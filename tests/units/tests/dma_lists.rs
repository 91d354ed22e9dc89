//! Random lists of descriptors in both directions at once, all lengths and alignments, against memories that are compared byte by byte.

use sim_tb::rng::Rng;
use unit_tests::dma::{rounds, Bench, Descriptor, Direction, Event, Manners};

const UNITS: [&str; 2] = ["pcie_dma", "pcie_dma_128"];

/// Addresses that are handed out once, with a gap of at least 32 bytes, at any alignment.
struct Space(u64);

impl Space {
    fn take(&mut self, bytes: u64, rng: &mut Rng) -> u64 {
        let at = self.0 + 32 + rng.below(64);
        // Often just before a page ends.
        let at = match rng.below(4) {
            0 => ((at + 2000) | 4095) - rng.below(bytes.min(2000) + 1),
            1 => (at | 15) + 1,
            _ => at,
        };
        self.0 = at + bytes;
        at
    }
}

fn length(rng: &mut Rng, large: bool) -> u64 {
    match (large, rng.below(32)) {
        (false, 0..4) => 1 + rng.below(4),
        (false, _) => 1 + rng.below(256),
        (true, 0..4) => 4096,
        (true, 4..24) => 1 + rng.below(3000),
        (true, 31) => 1 + rng.below(200_000),
        (true, _) => 1 + rng.below(20_000),
    }
}

struct Transfer {
    direction: Direction,
    list: Vec<Descriptor>,
    /// The rest of the list is started when this many are finished.
    count: u64,
}

/// `n` descriptors, and where they may write.
fn transfer(
    b: &mut Bench,
    rng: &mut Rng,
    direction: Direction,
    n: usize,
    large: bool,
    host: &mut Space,
    card: &mut Space,
) -> Transfer {
    let mut list = Vec::new();
    for _ in 0..n {
        let length = length(rng, large);
        let (h, c) = (host.take(length, rng), card.take(length, rng));
        let (src, dst, targets) = match direction {
            Direction::H2c => (h, c, &mut b.card.targets),
            Direction::C2h => (c, h, &mut b.host.targets),
        };
        targets.insert(dst, dst + length);
        list.push(Descriptor {
            src,
            dst,
            length: length as u32,
            control: 0,
        });
    }
    Transfer {
        direction,
        list,
        count: n as u64,
    }
}

/// Blocks of adjacent descriptors for `n`, none across a page.
fn places(rng: &mut Rng, host: &mut Space, n: usize) -> Vec<(u64, usize)> {
    let mut blocks = Vec::new();
    let mut have = 0;
    while have < n {
        let most = 1 + rng.below(64) as usize;
        let page = (host.0 | 4095) + 1;
        host.0 = page + 4096;
        let begin = 128 - most as u64;
        let begin = if rng.chance(128) {
            begin
        } else {
            rng.below(begin + 1)
        };
        blocks.push((page + 32 * begin, most));
        have += most;
    }
    blocks
}

fn check(b: &mut Bench, t: &Transfer) {
    for (i, d) in t.list.iter().enumerate() {
        let n = d.length as usize;
        let (want, got) = match t.direction {
            Direction::H2c => (b.host.peek(d.src, n), b.card.peek(d.dst, n)),
            Direction::C2h => (b.card.peek(d.src, n), b.host.peek(d.dst, n)),
        };
        assert!(want == got, "{:?}, descriptor {i} {d:x?}", t.direction);
    }
}

/// Lists in both directions until `total` descriptors have gone by.
fn lists(unit: &str, seed: u64, total: usize, large: bool) {
    println!("{unit}, seed {seed}");
    let mut rng = Rng::new(seed);
    let mut done = 0;
    while done < total {
        let manners = Manners::rough(&mut rng);
        let mut b = Bench::new(unit, rng.next(), manners);
        b.mps = rng.below(2) as u32;
        b.mrrs = rng.below(6) as u32;
        // Vectors 0 and 1; everything enabled.
        b.write(0x20A0, 0x0100);
        b.write(0x2014, 3);
        b.write(0x0090, 0x00F8_3E1E);
        b.write(0x1090, 0x00F8_3E1E);
        let mut host = Space(rng.below(1 << 50) << 12);
        let mut card = Space(rng.below(1 << 20) << 12);
        for _ in 0..4 {
            b.seen.clear();
            let mut both = Vec::new();
            for direction in [Direction::H2c, Direction::C2h] {
                let n = 1 + rng.below(if large { 12 } else { 100 }) as usize;
                let t = transfer(&mut b, &mut rng, direction, n, large, &mut host, &mut card);
                let blocks = places(&mut rng, &mut host, n);
                let first = b.list(&t.list, &blocks, 0);
                b.start(direction, first, 0x00F8_3E1F);
                both.push(t);
            }
            b.until("both interrupts", 2_000_000, |b| b.messages().len() == 2);
            let mut vectors = b.messages();
            vectors.sort_unstable();
            assert_eq!(vectors, [0, 1]);
            for t in &both {
                let base = t.direction.base();
                assert_eq!(b.read(base + 0x40), 0x6, "{:?}", t.direction);
                assert_eq!(b.read(base + 0x48), t.count as u32);
                assert_eq!(b.read(base + 0x44), 0x6);
                b.write(base + 4, 0x00F8_3E1E);
                assert_eq!(b.read(base + 0x40), 0);
                check(&mut b, t);
                done += t.list.len();
            }
            for _ in 0..20 {
                b.step();
            }
            b.until("quiet", 20_000, |b| {
                b.is_quiet() && b.pins.get("quiet") == 1
            });
            assert_eq!(b.messages().len(), 2);
            assert!(b.seen.iter().any(|(_, e)| matches!(e, Event::Write(..))));
        }
    }
}

#[test]
fn small_descriptors() {
    for (i, unit) in UNITS.iter().enumerate() {
        lists(unit, 1000 + i as u64, rounds(5000), false);
    }
}

#[test]
fn large_descriptors() {
    for (i, unit) in UNITS.iter().enumerate() {
        lists(unit, 2000 + i as u64, rounds(150), true);
    }
}
