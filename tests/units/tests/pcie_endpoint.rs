//! The endpoint in the world of `unit_tests::pcie`: both widths, random data, random stalls on every interface.

use sim_tb::rng::Rng;
use unit_tests::pcie::{enabled, extent, merge, run, Tlp, World};

const UNITS: [&str; 2] = ["pcie_endpoint", "pcie_endpoint_128"];
/// BARs of these tests; the window's benches have 1 GiB.
const BARS: [u64; 3] = [0xF710_3000, 0xF7A5_0000, 0x38_4000_0000];
const WINDOW: u64 = 1 << 30;

/// A configured endpoint: quiet links and rough ones, both payload sizes.
fn world(unit: &str, seed: u64) -> World {
    let stall = [0, 60, 150][seed as usize % 3];
    println!("{unit}, seed {seed}, stall {stall}");
    let mut w = World::new(unit, seed, stall);
    w.payload = [128, 256][(seed / 3) as usize % 2];
    w.set_up(BARS);
    w
}

fn each(test: impl Fn(World)) {
    for unit in UNITS {
        for seed in 0..6 {
            test(world(unit, seed));
        }
    }
}

#[test]
fn configuration_space_is_what_the_facts_say() {
    for unit in UNITS {
        let mut w = World::new(unit, 1, 40);
        // Before any configuration: every word that is not zero. Written out from the specification and the fact sheet.
        let expected = [
            (0x00, 0x9011_10EE),
            (0x04, 0x0010_0000),
            (0x08, 0x1200_0000),
            (0x18, 0x0000_000C),
            (0x2C, 0x5248_10EE),
            (0x34, 0x0000_0040),
            (0x3C, 0x0000_0100),
            (0x40, 0x0003_4801),
            (0x44, 0x0000_0008),
            (0x48, 0x0080_6005),
            (0x60, 0x001F_7011),
            (0x64, 0x0000_8001),
            (0x68, 0x0000_8FE1),
            (0x70, 0x0002_0010),
            (0x74, 0x1000_8FE1),
            (0x78, 0x0000_2810),
            (0x7C, 0x0040_0011),
            (0x80, 0x1011_0000),
            (0x94, 0x0000_0010),
            (0x9C, 0x0000_0002),
            (0x100, 0x1401_0001),
            (0x10C, 0x0004_0000),
            (0x114, 0x0000_2000),
            (0x140, 0x0001_0003),
            (0x144, 0x5300_0001),
            (0x148, 0x0252_4844),
        ];
        for offset in (0..4096).step_by(4) {
            let want = expected.iter().find(|e| e.0 == offset).map_or(0, |e| e.1);
            assert_eq!(w.config_read(offset), want, "word {offset:#x}");
        }
        // Both lists of capabilities end, and have what is promised.
        let (mut at, mut found) = (w.config_read(0x34) & 0xFF, Vec::new());
        while at != 0 {
            let word = w.config_read(at);
            found.push(word & 0xFF);
            at = word >> 8 & 0xFF;
        }
        assert_eq!(found, [1, 5, 0x11, 0x10]);
        let (mut at, mut found) = (0x100, Vec::new());
        while at != 0 {
            let word = w.config_read(at);
            found.push(word & 0xFFFF);
            at = word >> 20;
        }
        assert_eq!(found, [1, 3]);
    }
}

#[test]
fn bars_are_sized_and_only_writable_bits_change() {
    for unit in UNITS {
        let mut w = World::new(unit, 2, 40);
        for (offset, size) in [
            (0x10, 0xFFFF_F000u32),
            (0x14, 0xFFFF_0000),
            (0x18, 0xC000_000C),
            (0x1C, 0xFFFF_FFFF),
            (0x20, 0),
            (0x24, 0),
            (0x30, 0),
        ] {
            w.config_write(offset, 15, 0xFFFF_FFFF);
            assert_eq!(w.config_read(offset), size, "BAR at {offset:#x}");
        }
        // Byte enables and masks: a register at random, bytes at random, against the mask of the specification.
        let masks = [
            (0x04, 0x546u32, 0x0010_0000u32),
            (0x0C, 0xFF, 0),
            (0x10, 0xFFFF_F000, 0),
            (0x3C, 0xFF, 0x100),
            (0x48, 1 << 16, 0x0080_6005),
            (0x4C, !3, 0),
            (0x50, !0, 0),
            (0x54, 0xFFFF, 0),
            (0x60, 3 << 30, 0x001F_7011),
            (0x78, 0x79FF, 0),
            (0x80, 0xCB, 0x1011_0000),
            (0x98, 0x10, 0),
            (0x108, 0x0015_D000, 0),
            (0x10C, 0x0015_D000, 0),
            (0x114, 0x2000, 0),
            (0x00, 0, 0x9011_10EE),
            (0x08, 0, 0x1200_0000),
            (0x2C, 0, 0x5248_10EE),
            (0x74, 0, 0x1000_8FE1),
        ];
        let mut rng = Rng::new(22);
        for _ in 0..600 {
            let (offset, mask, fixed) = masks[rng.below(masks.len() as u64) as usize];
            let (be, mut data) = (rng.below(16) as u32, rng.next() as u32);
            if offset == 0x78 {
                data &= 0xFFFF_7FFF; // not the reset of the function
            }
            let before = w.config_read(offset);
            w.config_write(offset, be, data);
            let want = merge(before, data, be) & mask | fixed;
            assert_eq!(
                w.config_read(offset),
                want,
                "{offset:#x} with {be:x} {data:#x}"
            );
        }
    }
}

/// A run of bytes of a random BAR: which, offset in it, words, enables.
fn somewhere(rng: &mut Rng, most: usize) -> (usize, u64, usize, (u32, u32)) {
    let bar = rng.below(4).min(2) as usize;
    let (size, few) = [(0x1000, 3), (0x8000, 3), (WINDOW, most)][bar];
    let limit = [few as u64, 3][rng.below(2) as usize];
    let words = 1 + rng.below(limit) as usize;
    // A few pages, so that reads meet what was written.
    let page = match bar {
        2 => [0, 0x1000, 0x2345_6000, size - 0x1000][rng.below(4) as usize],
        1 => 0x1000 * rng.below(8),
        _ => 0,
    };
    let within = 4 * rng.below(1025 - words as u64);
    let (first, last) = if words == 1 {
        (rng.below(16) as u32, 0)
    } else {
        (
            [15, 14, 12, 8][rng.below(4) as usize],
            [15, 7, 3, 1][rng.below(4) as usize],
        )
    };
    (bar, page + within, words, (first, last))
}

#[test]
fn writes_and_reads_of_all_bars_any_bytes() {
    each(|mut w| {
        let mut rng = Rng::new(w.rng.next());
        let mut lands = vec![std::collections::HashMap::<u64, u8>::new(); 3];
        for round in 0..150 {
            // Writes, and reads that must see them: nothing waits for anything.
            let mut asked: Vec<(u32, Vec<Option<u8>>)> = Vec::new();
            for _ in 0..1 + rng.below(8) {
                let most = w.payload / 4;
                let (bar, at, words, be) = somewhere(&mut rng, most);
                if rng.chance(128) {
                    let data: Vec<u32> = (0..words).map(|_| rng.next() as u32).collect();
                    for i in (0..4 * words).filter(|i| enabled(*i, words, be)) {
                        lands[bar].insert(at + i as u64, (data[i / 4] >> (8 * (i % 4))) as u8);
                    }
                    let mut tlp = Tlp::write(BARS[bar] + at, be, &data).with_manners(&mut rng);
                    if rng.chance(40) {
                        tlp = tlp.with_digest(rng.next() as u32);
                    }
                    w.to_endpoint.push_back(tlp);
                } else {
                    let (bar, at, words, be) = somewhere(&mut rng, 300);
                    let tag = loop {
                        let tag = w.free_tag();
                        if asked.iter().all(|(t, ..)| *t != tag) {
                            break tag;
                        }
                    };
                    let mut tlp = Tlp::read(BARS[bar] + at, words, be, tag).with_manners(&mut rng);
                    if rng.chance(40) {
                        tlp = tlp.with_digest(rng.next() as u32);
                    }
                    // What it must bring: all writes before it. Writes after it may or may not be seen, so they wait.
                    let bytes: Vec<Option<u8>> = (0..4 * words)
                        .map(|i| {
                            let b = lands[bar].get(&(at + i as u64)).copied().unwrap_or(0);
                            enabled(i, words, be).then_some(b)
                        })
                        .collect();
                    w.ask(tlp);
                    asked.push((tag, bytes));
                    break;
                }
            }
            w.settle();
            for (tag, bytes) in asked {
                let answer = w.answers.remove(&tag).unwrap();
                assert_eq!(answer.status, 0);
                for (i, b) in bytes.iter().enumerate() {
                    if let Some(b) = b {
                        let got = (answer.data[i / 4] >> (8 * (i % 4))) as u8;
                        assert_eq!(got, *b, "round {round}, tag {tag}, byte {i}");
                    }
                }
            }
        }
        // And everything landed where it should.
        for (at, b) in &lands[0] {
            assert_eq!((w.engine[*at as usize / 4] >> (8 * (at % 4))) as u8, *b);
        }
        for (at, b) in &lands[1] {
            assert_eq!((w.dma[*at as usize / 4] >> (8 * (at % 4))) as u8, *b);
        }
        for (at, b) in &w.card {
            assert_eq!(lands[2].get(at), Some(b), "card memory at {at:#x}");
        }
        assert_eq!(w.card.len(), lands[2].len());
    });
}

/// Byte `a` of the host's memory.
fn host_byte(a: u64) -> u8 {
    (a.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

/// A request of the endpoint that the host has not answered to the end.
struct Open {
    tag: u32,
    at: u64,
    left: usize,
}

impl Open {
    fn new(tlp: &Tlp) -> Open {
        let (skip, left) = extent(tlp.length(), tlp.enables());
        Open {
            tag: tlp.tag(),
            at: tlp.addr() + skip as u64,
            left,
        }
    }
    /// The next completion: up to some 64-byte boundary, or to the end.
    fn part(&mut self, rng: &mut Rng, most: usize) -> Tlp {
        let to_boundary = 64 - (self.at % 64) as usize;
        let whole = self.left.min(most - (self.at % 64) as usize);
        let mut bytes = self
            .left
            .min(to_boundary + 64 * rng.below(most as u64 / 64) as usize);
        if bytes > whole || rng.chance(60) {
            bytes = self.left.min(to_boundary);
        }
        let start = self.at & !3;
        let words = (self.at - start + bytes as u64).div_ceil(4);
        let data: Vec<u32> = (0..words)
            .map(|w| {
                u32::from_le_bytes(std::array::from_fn(|b| host_byte(start + 4 * w + b as u64)))
            })
            .collect();
        let tlp = Tlp::completion(0, self.left, self.tag, (self.at & 127) as u32, &data);
        self.at += bytes as u64;
        self.left -= bytes;
        tlp.with_manners(rng)
    }
}

#[test]
fn reads_complete_in_any_order_and_in_any_parts() {
    each(|mut w| {
        let mut rng = Rng::new(w.rng.next());
        let mut want = std::collections::BTreeMap::new();
        let (mut free, mut open): (Vec<u32>, Vec<Open>) = ((0..64).collect(), Vec::new());
        let (mut asked, mut done) = (0, 0);
        let most = w.payload;
        while done < 700 {
            if asked < 700 && !free.is_empty() && w.reads.len() < 3 {
                let tag = free.swap_remove(rng.below(free.len() as u64) as usize);
                let page = if rng.chance(128) {
                    0x7_1234_5000
                } else {
                    0x8765_4000
                };
                let at = rng.below(4096);
                let few = [8, 600, 4096][rng.below(3) as usize];
                let bytes = 1 + rng.below(few).min(4095 - at);
                w.reads.push_back((page + at, bytes as usize, tag));
                want.insert(tag, (page + at, bytes as usize));
                asked += 1;
            }
            w.step();
            for tlp in std::mem::take(&mut w.sent) {
                let (addr, bytes) = want[&tlp.tag()];
                let (words, enables) = run(addr, bytes);
                assert_eq!(tlp.addr(), addr & !3);
                assert_eq!((tlp.length(), tlp.enables()), (words, enables));
                open.push(Open::new(&tlp));
            }
            if !open.is_empty() && w.to_endpoint.len() < 2 && rng.chance(100) {
                // Among the eight oldest, so that none waits until it is given up.
                let i = rng.below(open.len().min(8) as u64) as usize;
                w.to_endpoint.push_back(open[i].part(&mut rng, most));
                if open[i].left == 0 {
                    open.remove(i);
                }
            }
            for (tag, error) in std::mem::take(&mut w.over) {
                assert_eq!(error, 0);
                let (addr, bytes) = want.remove(&tag).expect("a tag that was in use");
                let got = w.got.remove(&tag).unwrap();
                assert_eq!(got.len(), run(addr, bytes).0, "words of tag {tag}");
                for i in 0..bytes {
                    let k = (addr & 3) as usize + i;
                    let byte = (got[k / 4] >> (8 * (k % 4))) as u8;
                    assert_eq!(byte, host_byte(addr + i as u64), "byte {i} of tag {tag}");
                }
                free.push(tag);
                done += 1;
            }
        }
        assert_eq!(w.config_read(0x104), 0, "no error is logged");
    });
}

#[test]
fn writes_are_what_was_given_and_never_pass_each_other() {
    each(|mut w| {
        let mut rng = Rng::new(w.rng.next());
        let mut want = std::collections::VecDeque::new();
        for i in 0..400 {
            let room = w.payload as u64;
            let page = if rng.chance(128) {
                0x7_1234_5000
            } else {
                0x8765_4000
            };
            let at = rng.below(4096);
            // As the DMA cuts: within a naturally aligned payload.
            let few = [4, room][rng.below(2) as usize];
            let bytes = 1 + rng.below(few).min(room - 1 - at % room);
            let data: Vec<u8> = (0..bytes).map(|_| rng.next() as u8).collect();
            want.push_back((page + at, data.clone()));
            w.writes.push_back((page + at, data));
            if i % 10 == 0 {
                w.settle();
            }
        }
        w.settle();
        assert_eq!(w.sent.len(), want.len());
        for tlp in &w.sent {
            let (addr, data) = want.pop_front().unwrap();
            let (words, enables) = run(addr, data.len());
            assert_eq!(tlp.addr(), addr & !3);
            assert_eq!((tlp.length(), tlp.enables()), (words, enables));
            for (i, byte) in data.iter().enumerate() {
                let k = (addr & 3) as usize + i;
                assert_eq!((tlp.payload()[k / 4] >> (8 * (k % 4))) as u8, *byte);
            }
        }
    });
}

#[test]
fn the_link_is_full_when_nothing_stalls() {
    // Writes of whole payloads: a TLP takes the beats of its words and not one more, below 4 GiB and above.
    for unit in UNITS {
        for (payload, addr) in [
            (128, 0x8000_0000u64),
            (256, 0x8000_0000),
            (128, 1 << 33),
            (256, 1 << 33),
        ] {
            let mut w = World::new(unit, 3, 0);
            w.payload = payload;
            w.set_up(BARS);
            let n = 100;
            for i in 0..n {
                w.writes
                    .push_back((addr + (i * payload) as u64, vec![i as u8; payload]));
            }
            let (mut beats, mut gaps) = (0, 0);
            while w.sent.len() < n {
                w.step();
                let busy = w.pins.get("tx_vld") == 1;
                beats += u64::from(busy);
                gaps += u64::from(!busy && beats > 0 && w.sent.len() < n);
            }
            let words = payload / 4 + 3 + usize::from(addr >> 32 != 0);
            let per_tlp = words.div_ceil(w.pins.width("tx_data") as usize / 32);
            println!("{unit}, payload {payload}, {words} words: {beats} beats, {gaps} gaps");
            assert_eq!((beats as usize, gaps), (n * per_tlp, 0));
        }
    }
}
