//! The endpoint in the world of `unit_tests::pcie`: both widths, random data, random stalls on every interface.

use sim_tb::rng::Rng;
use unit_tests::pcie::{enabled, extent, merge, run, Tlp, World, ENDPOINT, HOST};

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

/// A job's tail goes to the engine once, whole and in order, whatever the host reads and writes meanwhile.
#[test]
fn tails_of_jobs_between_other_accesses() {
    each(|mut w| {
        let tail = u64::from(abi::registers::offset("TAIL"));
        let mut rng = Rng::new(w.rng.next());
        let mut wanted = Vec::new();
        let mut lands = std::collections::HashMap::<usize, u32>::new();
        let mut writes = 0;
        for _ in 0..60 {
            for _ in 0..rng.below(3) {
                let value = rng.next() as u16;
                wanted.push((tail, u32::from(value), 15));
                w.tails.push_back(value);
            }
            for _ in 0..rng.below(6) {
                let word = 64 + rng.below(64);
                if rng.chance(128) {
                    let value = rng.next() as u32;
                    lands.insert(word as usize, value);
                    writes += 1;
                    w.to_endpoint
                        .push_back(Tlp::write(BARS[0] + 4 * word, (15, 0), &[value]));
                } else {
                    let card = Tlp::write(BARS[2] + 4 * word, (15, 0), &[rng.next() as u32]);
                    w.to_endpoint.push_back(card);
                }
            }
            if rng.chance(128) {
                let word = 64 + rng.below(64);
                let expected = lands.get(&(word as usize)).copied().unwrap_or(0);
                let tag = w.free_tag();
                let answer = w.wait(Tlp::read(BARS[0] + 4 * word, 1, (15, 0), tag));
                assert_eq!(answer.data, [expected]);
            } else {
                w.steps(rng.below(40) as usize);
            }
        }
        w.settle();
        while !w.tails.is_empty() {
            w.steps(1);
        }
        w.steps(200);
        let told: Vec<_> = (w.engine_writes.iter())
            .filter(|(a, ..)| *a == tail)
            .copied()
            .collect();
        assert_eq!(told, wanted);
        assert_eq!(w.engine_writes.len(), wanted.len() + writes);
        for (word, value) in lands {
            assert_eq!(w.engine[word], value);
        }
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

/// Header words of an I/O, locked, atomic or other request by format and type, with one word of data where the format has one.
fn other(fmt: u32, kind: u32, addr: u64, tag: u32) -> Tlp {
    let mut tlp = Tlp::read(addr, 1, (15, 0), tag);
    if fmt & 1 != tlp.fmt() & 1 {
        tlp.0.insert(2, 0);
    }
    tlp.0[0] = fmt << 29 | kind << 24 | 1;
    if fmt & 2 != 0 {
        tlp.0.push(0xDA7A);
    }
    tlp
}

/// Reads, and clears, what error reporting has logged: uncorrectable and correctable status, first error, header.
fn logged(w: &mut World) -> (u32, u32, u32, Vec<u32>) {
    let status = (
        w.config_read(0x104),
        w.config_read(0x110),
        w.config_read(0x118),
    );
    let header = (0..4).map(|i| w.config_read(0x11C + 4 * i)).collect();
    w.config_write(0x104, 15, !0);
    w.config_write(0x110, 15, !0);
    (status.0, status.1, status.2, header)
}

/// Reads and clears the upper halves of Command/Status and Device Control/Status.
fn statuses(w: &mut World) -> (u32, u32) {
    let (s, d) = (w.config_read(0x04) >> 16, w.config_read(0x78) >> 16);
    w.config_write(0x04, 12, !0);
    w.config_write(0x78, 12, !0);
    (s & !0x18, d & 0xF)
}

fn header_of(tlp: &Tlp) -> Vec<u32> {
    let mut h = tlp.0[..tlp.header_words()].to_vec();
    h.resize(4, 0);
    h
}

const UNSUPPORTED: u32 = 1 << 20;
const ABORT: u32 = 1 << 15;
const POISONED: u32 = 1 << 12;
const UNEXPECTED: u32 = 1 << 16;
const TIMEOUT: u32 = 1 << 14;
const MALFORMED: u32 = 1 << 18;
const ADVISORY: u32 = 1 << 13;

/// Error messages sent since the last call: 0x30 correctable, 0x31 non-fatal, 0x33 fatal.
fn messages(w: &mut World) -> Vec<u32> {
    w.steps(40);
    let (messages, others): (Vec<Tlp>, Vec<Tlp>) = std::mem::take(&mut w.sent)
        .into_iter()
        .partition(|t| t.kind() >= 0x10);
    w.sent = others;
    for m in &messages {
        assert_eq!((m.fmt(), m.requester()), (1, u32::from(ENDPOINT)), "{m:x?}");
        let local = m.0[1] & 0xFF < 0x28;
        assert_eq!(
            m.kind(),
            if local { 0x14 } else { 0x10 },
            "routing of {m:x?}"
        );
        assert_eq!((m.0[2], m.0[3], m.0[0] & 0x3FF), (0, 0, 0));
    }
    messages.iter().map(|m| m.0[1] & 0xFF).collect()
}

#[test]
fn what_is_not_supported_is_refused_and_logged() {
    each(|mut w| {
        // All reporting on, nothing masked.
        w.config_write(0x78, 1, 0x1F | (w.payload as u32 / 128 - 1) << 5);
        w.config_write(0x114, 15, 0);
        let outside = 0xE000_0000;
        let requests: Vec<(&str, Tlp)> = vec![
            ("read of nothing", Tlp::read(outside, 3, (14, 7), 1)),
            (
                "read of nothing high up",
                Tlp::read(0x5_0000_0000, 1, (15, 0), 1),
            ),
            (
                "read beyond the window",
                Tlp::read(BARS[2] + WINDOW, 1, (15, 0), 1),
            ),
            ("I/O read", other(0, 2, 0x40, 1)),
            ("I/O write", other(2, 2, 0x40, 1)),
            (
                "configuration of another function",
                Tlp::config(ENDPOINT | 1, 0, 15, None, 1),
            ),
            ("configuration of type 1", other(0, 5, 0, 1)),
            ("configuration write of type 1", other(2, 5, 0, 1)),
            ("locked read", other(0, 1, BARS[0], 1)),
            ("fetch and add", other(2, 12, BARS[2] & 0xFFFF_FFFF, 1)),
            ("swap", other(3, 13, BARS[2], 1)),
            (
                "poisoned configuration write",
                Tlp::config(ENDPOINT, 0x3C, 15, Some(0x77), 1).with_poison(),
            ),
        ];
        for (what, tlp) in requests {
            let answer = w.wait(tlp.clone());
            assert_eq!((answer.status, answer.data.len()), (1, 0), "{what}");
            let bit = if tlp.poisoned() {
                POISONED | UNSUPPORTED
            } else {
                UNSUPPORTED
            };
            assert_eq!(messages(&mut w).first(), Some(&0x30), "{what}");
            let (status, advisory, first, header) = logged(&mut w);
            assert_eq!((status, advisory), (bit, ADVISORY), "{what}");
            assert_eq!(first, if tlp.poisoned() { 12 } else { 20 });
            assert_eq!(header, header_of(&tlp), "{what}");
            let (s, d) = statuses(&mut w);
            assert_eq!(d & 9, 9, "{what}");
            assert_eq!(s, if tlp.poisoned() { 0x8000 } else { 0 }, "{what}");
        }
        assert_eq!(w.config_read(0x3C), 0x100, "poisoned data was not written");

        // Posted requests: nobody can be told, so this is not advisory.
        let write = Tlp::write(outside, (15, 15), &[1, 2, 3]);
        w.to_endpoint.push_back(write.clone());
        w.settle();
        assert_eq!(messages(&mut w), [0x31]);
        assert_eq!(logged(&mut w), (UNSUPPORTED, 0, 20, header_of(&write)));
        assert_eq!(statuses(&mut w), (0, 0xA));
        // Poisoned: not written, noted.
        w.to_endpoint
            .push_back(Tlp::write(BARS[0] + 8, (15, 0), &[0xBAD]).with_poison());
        w.to_endpoint
            .push_back(Tlp::write(BARS[2] + 8, (15, 15), &[0xBAD, 0xBAD]).with_poison());
        w.settle();
        assert_eq!(w.engine[2], 0);
        assert!(w.card.is_empty());
        assert_eq!(messages(&mut w)[0], 0x30);
        let (status, advisory, ..) = logged(&mut w);
        assert_eq!((status, advisory), (POISONED, ADVISORY));
        assert_eq!(statuses(&mut w), (0x8000, 1));

        // Messages are taken without a trace: with and without data, any routing.
        for routing in 0..6 {
            let mut m = Tlp::read(0x1_0000_0000, 1, (0, 0), 0);
            m.0[0] = 1 << 29 | (0x10 + routing) << 24;
            m.0[1] = u32::from(HOST) << 16 | 0x7F;
            w.to_endpoint.push_back(m.clone());
            m.0[0] |= 1 << 30 | 1;
            m.0.push(0x50);
            w.to_endpoint.push_back(m);
        }
        w.settle();
        assert!(messages(&mut w).is_empty());
        let (status, advisory, ..) = logged(&mut w);
        assert_eq!((status, advisory), (0, 0));

        // Memory decoding off, or not in D0: the BARs are nothing.
        for (offset, off, on) in [(0x04, 4, 6), (0x44, 3, 0)] {
            w.config_write(offset, 1, off);
            assert_eq!(w.wait(Tlp::read(BARS[1], 1, (15, 0), 1)).status, 1);
            w.config_write(offset, 1, on);
            assert_eq!(w.wait(Tlp::read(BARS[1], 1, (15, 0), 1)).status, 0);
        }

        // An error behind a BAR aborts, wherever in the request it comes.
        w.config_write(0x104, 15, !0);
        w.config_write(0x110, 15, !0);
        statuses(&mut w);
        w.broken = true;
        for bar in [BARS[0], BARS[2]] {
            let tlp = Tlp::read(bar + 4, 9, (15, 15), 3);
            let answer = w.wait(tlp.clone());
            assert_eq!((answer.status, answer.data.len()), (4, 0));
            let (status, advisory, first, header) = logged(&mut w);
            assert_eq!((status, advisory, first), (ABORT, ADVISORY, 15));
            assert_eq!(header, header_of(&tlp));
            assert_eq!(statuses(&mut w), (0x0800, 1));
        }
    });
}

#[test]
fn malformed_tlps_leave_no_trace_but_the_note() {
    each(|mut w| {
        w.config_write(0x78, 1, 0x1F | (w.payload as u32 / 128 - 1) << 5);
        let mut rng = Rng::new(w.rng.next());
        for round in 0..60 {
            let data: Vec<u32> = (0..1 + rng.below(w.payload as u64 / 4))
                .map(|_| rng.next() as u32)
                .collect();
            let mut tlp = Tlp::write(
                BARS[2] + 0x100,
                (15, if data.len() > 1 { 15 } else { 0 }),
                &data,
            );
            match round % 6 {
                0 => tlp.0.push(1),
                1 => drop(tlp.0.pop()),
                2 => {
                    // Too long for the payload size; much too long, too.
                    let words = w.payload / 4 + 1 + rng.below(700) as usize;
                    tlp = Tlp::write(BARS[2] & 0xFFFF_FFFF, (15, 15), &vec![7; words]);
                }
                3 => tlp.0[0] |= 1 << 15,
                4 => {
                    tlp.0[0] |=
                        [0x0300_0000, 0x0600_0000, 0x0F00_0000, 0x8000_0000][rng.below(4) as usize]
                }
                _ => {
                    tlp = {
                        let mut t = Tlp::config(ENDPOINT, 0, 15, Some(1), 0);
                        t.0[0] += 1;
                        t.0.push(2);
                        t
                    }
                }
            }
            // The link does not take credits for it: such a sender is broken anyway.
            let credits = w.pins.get("rxfc_ph");
            w.force(tlp.clone());
            assert_eq!(messages(&mut w), [0x33], "round {round}: {tlp:x?}");
            let (status, advisory, first, header) = logged(&mut w);
            assert_eq!((status, advisory, first), (MALFORMED, 0, 18));
            assert_eq!(header[..3], header_of(&tlp)[..3]);
            assert_eq!(statuses(&mut w), (0, 4));
            assert_eq!(w.pins.get("rxfc_ph"), credits);
        }
        assert!(w.card.is_empty());
    });
}

#[test]
fn errors_of_completions_reach_the_dma_and_the_log() {
    each(|mut w| {
        w.config_write(0x78, 1, 0x1F | (w.payload as u32 / 128 - 1) << 5);
        w.config_write(0x114, 15, 0);
        let ask = |w: &mut World, tag: u32| {
            w.reads.push_back((0x1_0000_0010, 64, tag));
            w.settle();
            let sent = std::mem::take(&mut w.sent);
            assert_eq!(sent.len(), 1);
            Open::new(&sent[0])
        };
        // Statuses.
        for (status, error, bit) in [(1, 1, 0x2000), (4, 2, 0x1000), (2, 1, 0x2000)] {
            let open = ask(&mut w, 5);
            w.to_endpoint
                .push_back(Tlp::completion(status, open.left, 5, 0, &[]));
            w.settle();
            assert_eq!(std::mem::take(&mut w.over), [(5, error)]);
            assert_eq!(statuses(&mut w), (bit, 0));
        }
        // Poisoned: the data comes, marked.
        let mut open = ask(&mut w, 6);
        let mut rng = Rng::new(1);
        while open.left > 0 {
            w.to_endpoint
                .push_back(open.part(&mut rng, 64).with_poison());
        }
        w.config_write(0x04, 1, 0x46);
        w.settle();
        assert_eq!(w.over.len(), 1);
        assert_eq!(std::mem::take(&mut w.over)[0].1 & 8, 8);
        assert_eq!(messages(&mut w)[0], 0x30);
        assert_eq!(logged(&mut w).0, POISONED);
        let (s, d) = statuses(&mut w);
        assert_eq!((s & 0x8000, d), (0x8000, 1));
        w.got.clear();

        // Unexpected: no such tag, another requester, byte count, lower address, too many words, success without data; then the tag
        // still gets what it waits for.
        let mut open = ask(&mut w, 9);
        let data = [0; 16];
        let mut wrong = vec![
            Tlp::completion(0, 64, 8, 0x10, &data),
            Tlp::completion(0, 64, 9 + 64, 0x10, &data),
            Tlp::completion(0, 64, 9, 0x10, &data),
            Tlp::completion(0, 60, 9, 0x10, &data),
            Tlp::completion(0, 64, 9, 0x14, &data),
            Tlp::completion(0, 64, 9, 0x10, &[0; 17]),
            Tlp::completion(0, 64, 9, 0x10, &[]),
        ];
        wrong[2].0[2] ^= 0x0001_0000;
        for tlp in wrong {
            w.to_endpoint.push_back(tlp.clone());
            w.settle();
            assert!(w.over.is_empty() && w.got.is_empty(), "{tlp:x?}");
            assert_eq!(messages(&mut w), [0x30]);
            assert_eq!(logged(&mut w), (UNEXPECTED, ADVISORY, 16, header_of(&tlp)));
            assert_eq!(statuses(&mut w), (0, 1));
        }
        w.to_endpoint.push_back(open.part(&mut rng, 64));
        while open.left > 0 {
            w.to_endpoint.push_back(open.part(&mut rng, 64));
        }
        w.settle();
        assert_eq!(std::mem::take(&mut w.over), [(9, 0)]);

        if w.stall > 0 {
            return; // what follows is long, and the same
        }
        // No completion: given up after one to two ticks, and not before.
        ask(&mut w, 11);
        ask(&mut w, 12);
        assert_eq!(w.config_read(0x78) >> 21 & 1, 1, "transactions pending");
        let start = w.pins.cycles();
        while w.over.len() < 2 {
            w.step();
        }
        let waited = w.pins.cycles() - start;
        println!("given up after {waited} cycles");
        assert!((45_000..101_000).contains(&waited));
        w.over.sort_unstable();
        assert_eq!(std::mem::take(&mut w.over), [(11, 16), (12, 16)]);
        assert_eq!(messages(&mut w)[0], 0x31, "non-fatal");
        assert_eq!(logged(&mut w), (TIMEOUT, 0, 14, vec![0; 4]));
        assert_eq!(statuses(&mut w).1, 2);
        // Unless software forbids it.
        w.config_write(0x98, 1, 0x10);
        ask(&mut w, 13);
        w.steps(110_000);
        assert!(w.over.is_empty());
        // A reset of the link ends it.
        w.pins.set("hot_reset", 1);
        w.steps(400);
        w.pins.set("hot_reset", 0);
        assert_eq!(w.over, [(13, 16)]);
    });
}

/// The interrupts sent since the last call: address and data of writes of one word.
fn interrupts(w: &mut World) -> Vec<(u64, u32)> {
    w.settle();
    let sent = std::mem::take(&mut w.sent);
    sent.iter()
        .map(|t| {
            assert_eq!(
                (t.class(), t.length(), t.enables()),
                (0, 1, (15, 0)),
                "{t:x?}"
            );
            (t.addr(), t.payload()[0])
        })
        .collect()
}

/// A word of BAR 1.
fn table_write(w: &mut World, at: u64, data: u32) {
    w.to_endpoint
        .push_back(Tlp::write(BARS[1] + at, (15, 0), &[data]));
}

fn table_read(w: &mut World, at: u64) -> u32 {
    w.wait(Tlp::read(BARS[1] + at, 1, (15, 0), 200)).data[0]
}

#[test]
fn msix_vectors_are_sent_masked_and_kept() {
    each(|mut w| {
        let entry = |v: u32| {
            (
                u64::from(v % 2) << 32 | 0xFEE0_0000 | u64::from(v) << 12,
                0xA000 + v,
            )
        };
        // After reset every vector is masked, and what is written can be read.
        for v in 0..32 {
            assert_eq!(table_read(&mut w, 0x8000 + 16 * u64::from(v) + 12), 1);
            let (addr, data) = entry(v);
            for (i, word) in [addr as u32, (addr >> 32) as u32, data]
                .into_iter()
                .enumerate()
            {
                table_write(&mut w, 0x8000 + 16 * u64::from(v) + 4 * i as u64, word);
            }
        }
        for v in 0..32 {
            let (addr, data) = entry(v);
            let got: Vec<u32> = (0..4)
                .map(|i| table_read(&mut w, 0x8000 + 16 * u64::from(v) + 4 * i))
                .collect();
            assert_eq!(got, [addr as u32, (addr >> 32) as u32, data, 1]);
        }
        // Off: events are forgotten.
        w.vectors.push_back(3);
        assert!(interrupts(&mut w).is_empty());
        assert_eq!(table_read(&mut w, 0x8FE0), 0);
        // On, masked: pending.
        w.config_write(0x60, 8, 1 << 31);
        w.vectors.extend([3, 7, 3, 31]);
        assert!(interrupts(&mut w).is_empty());
        assert_eq!(table_read(&mut w, 0x8FE0), 1 << 3 | 1 << 7 | 1 << 31);
        // Unmasked one by one: once each, though one was raised twice.
        for v in [7, 3, 31] {
            table_write(&mut w, 0x8000 + 16 * u64::from(v) + 12, 0);
            assert_eq!(interrupts(&mut w), [entry(v)]);
        }
        assert_eq!(table_read(&mut w, 0x8FE0), 0);
        // The mask of the function holds all; without bus master nothing goes either.
        for (offset, be, hold, go) in [(0x60, 8, 3 << 30, 1 << 31), (0x04, 1, 2, 6)] {
            w.config_write(offset, be, hold);
            w.vectors.extend([31, 3]);
            assert!(interrupts(&mut w).is_empty());
            assert_eq!(table_read(&mut w, 0x8FE0), 1 << 31 | 1 << 3);
            w.config_write(offset, be, go);
            assert_eq!(
                interrupts(&mut w),
                [entry(3), entry(31)],
                "the lowest first"
            );
        }
        // Any order of events, every one sent; and behind the writes that were issued before it.
        for v in 0..32 {
            table_write(&mut w, 0x8000 + 16 * v + 12, 0);
        }
        let mut rng = Rng::new(w.rng.next());
        for _ in 0..60 {
            let v = rng.below(32) as u32;
            w.writes
                .push_back((0x9000_0000 + u64::from(v), vec![1; 100]));
            while !w.writes.is_empty() {
                w.step();
            }
            w.vectors.push_back(v);
            w.settle();
            let sent: Vec<u64> = std::mem::take(&mut w.sent).iter().map(Tlp::addr).collect();
            assert_eq!(sent, [0x9000_0000 + u64::from(v & !3), entry(v).0]);
        }
    });
}

#[test]
fn msi_and_intx_where_msix_is_not_enabled() {
    each(|mut w| {
        // INTx follows the level and the bit that forbids it.
        w.pins.set("irq_level", 1);
        assert_eq!(messages(&mut w), [0x20]);
        assert_eq!(w.config_read(0x04) >> 19 & 1, 1, "interrupt status");
        w.config_write(0x04, 2, 0x400);
        assert_eq!(messages(&mut w), [0x24]);
        w.config_write(0x04, 2, 0);
        assert_eq!(messages(&mut w), [0x20]);
        w.pins.set("irq_level", 0);
        assert_eq!(messages(&mut w), [0x24]);
        // MSI: one message whatever the vector, and no INTx.
        for addr in [0xFEE0_1234u64 & !3, 0x12_FEE0_0000] {
            w.config_write(0x4C, 15, addr as u32);
            w.config_write(0x50, 15, (addr >> 32) as u32);
            w.config_write(0x54, 15, 0x4321);
            w.config_write(0x48, 12, 1 << 16);
            w.pins.set("irq_level", 1);
            assert!(messages(&mut w).is_empty());
            for v in [0, 5, 31] {
                w.vectors.push_back(v);
                assert_eq!(interrupts(&mut w), [(addr, 0x4321)]);
            }
            w.config_write(0x48, 12, 0);
            assert_eq!(messages(&mut w), [0x20]);
            w.pins.set("irq_level", 0);
            assert_eq!(messages(&mut w), [0x24]);
        }
    });
}

#[test]
fn reset_of_the_function_and_of_the_link() {
    each(|mut w| {
        let before: Vec<u32> = (0..1024).map(|i| w.config_read(4 * i)).collect();
        w.flr_cycles = 0;
        for round in 0..3 {
            // Something in everything: registers, table, a read that waits, an error in the log.
            w.config_write(0x3C, 1, 0x5A);
            table_write(&mut w, 0x8000 + 12, 0);
            w.config_write(0x60, 8, 1 << 31);
            w.vectors.push_back(4);
            w.wait(Tlp::read(0xE000_0000, 1, (15, 0), 1));
            w.reads.push_back((0x1_0000_0000, 512, 17));
            w.settle();
            w.config_write(0x114, 15, 0);
            w.wait(Tlp::read(0xE000_0000, 1, (15, 0), 1));
            assert_eq!((w.sent.len(), w.flr_cycles), (1, 0));
            w.sent.clear();
            let link = round == 1;
            if link {
                w.pins.set("link_up", 0);
                w.steps(20);
                w.restart_credits();
                w.pins.set("link_up", 1);
                w.steps(400);
                assert!(w.flr_cycles >= 20);
            } else {
                // Writes that are offered go out whole, or not at all, around the reset; its own completion always comes.
                for _ in 0..3 {
                    w.writes.push_back((0x1000, vec![9; 128]));
                }
                w.config_write(0x78, 15, 0x8000 | before[0x78 / 4] & 0x7FFF);
                while w.flr_cycles == 0 {
                    w.step();
                }
                w.withdraw_writes();
                w.steps(400);
                assert_eq!(w.flr_cycles, 1);
                w.sent.clear();
            }
            assert_eq!(w.over, [(17, 16)], "the read that waited has failed");
            w.over.clear();
            w.got.clear();
            w.flr_cycles = 0;
            // A late completion is unexpected, and hurts nobody.
            w.config_write(0x3C, 1, 0);
            w.to_endpoint
                .push_back(Tlp::completion(0, 512, 17, 0, &[0; 32]));
            w.settle();
            assert!(w.got.is_empty());
            // Errors are still there, the rest is as after power-on; a reset of the function leaves the payload size.
            assert_eq!(w.config_read(0x104), UNSUPPORTED | UNEXPECTED);
            assert_eq!(w.config_read(0x114), 0);
            let size = if link {
                0
            } else {
                (w.payload as u32 / 128 - 1) << 5
            };
            assert_eq!(w.config_read(0x78) & 0xFFFF, 0x2810 | size);
            for offset in [0x04, 0x10, 0x14, 0x18, 0x1C, 0x3C, 0x44, 0x48, 0x60] {
                let fresh = match offset {
                    0x04 => 0x0010_0000,
                    0x18 => 0xC,
                    0x10 | 0x14 | 0x1C => 0,
                    _ => before[offset as usize / 4] & !0xFF | before[offset as usize / 4] & 0xFF,
                };
                assert_eq!(w.config_read(offset) & !(0xF8 << 24), fresh, "{offset:#x}");
            }
            let payload = w.payload;
            w.payload = 256;
            w.set_up(BARS);
            w.payload = payload;
            w.set_up(BARS);
            assert_eq!(table_read(&mut w, 0x8000 + 12), 1);
            assert_eq!(table_read(&mut w, 0x8FE0), 0);
            w.config_write(0x104, 15, !0);
            w.config_write(0x110, 15, !0);
            w.config_write(0x114, 15, 1 << 13);
        }
    });
}

#[test]
fn credits_are_never_exceeded() {
    each(|mut w| {
        // Few credits, given back as they are used: everything gets through (`World` checks the limits).
        w.credits.infinite = false;
        let unit = (w.payload / 16) as u64;
        for c in 0..3 {
            let used = w.credits.used[c];
            w.credits.granted[c] = (used.0 + 1, used.1 + unit);
        }
        let mut rng = Rng::new(w.rng.next());
        for i in 0..300u64 {
            let len = 1 + rng.below(w.payload as u64);
            w.writes.push_back((i << 12, vec![i as u8; len as usize]));
            if i % 4 == 0 {
                w.reads.push_back((i << 12, 64, (i / 4 % 64) as u32));
            }
            if i % 3 == 0 {
                let tag = w.free_tag();
                w.ask(Tlp::read(
                    BARS[2] + 64 * i,
                    16 + (i % 90) as usize,
                    (15, 15),
                    tag,
                ));
            }
            if i % 8 == 0 {
                while w.writes.len() > 4 || w.reads.len() > 2 {
                    w.step();
                }
            }
            if i % 64 == 63 {
                w.settle();
                w.forget_reads();
            }
        }
        w.settle();
        w.forget_reads();
    });
}

#[test]
fn a_class_without_credits_holds_up_no_other() {
    for (unit, held) in UNITS.iter().flat_map(|u| (0..3).map(move |h| (u, h))) {
        for seed in 0..6 {
            let mut w = world(unit, seed);
            // Credits for one more TLP of one class, plenty for the others.
            w.credits.infinite = false;
            w.refill = false;
            let unit = (w.payload / 16) as u64;
            for c in 0..3 {
                let used = w.credits.used[c];
                let more = if c == held { (1, unit) } else { (100, 1000) };
                w.credits.granted[c] = (used.0 + more.0, used.1 + more.1);
            }
            let before = w.credits.used;
            for i in 0..4 {
                w.writes.push_back((i << 12, vec![1; w.payload]));
                w.reads.push_back((i << 12, 64, i as u32));
                w.ask(Tlp::read(BARS[2], w.payload / 4, (15, 15), 77 + i as u32));
            }
            w.steps(6000);
            let went = |w: &World| -> Vec<u64> {
                (0..3).map(|c| w.credits.used[c].0 - before[c].0).collect()
            };
            let want: Vec<u64> = (0..3).map(|c| if c == held { 1 } else { 4 }).collect();
            assert_eq!(went(&w), want, "class {held} has one credit");
            // Headers without data are of no use to those that have data.
            w.credits.granted[held].0 += 3;
            w.steps(500);
            if held != 1 {
                assert_eq!(went(&w), want);
            }
            w.credits.granted[held].1 += 3 * unit;
            w.settle();
            assert_eq!(went(&w), [4, 4, 4]);
        }
    }
}

#[test]
fn completions_are_taken_as_fast_as_they_come() {
    // Whole payloads back to back: a beat per cycle, so the endpoint is never what limits the link.
    for unit in UNITS {
        for payload in [128, 256] {
            let mut w = World::new(unit, 3, 0);
            w.payload = payload;
            w.set_up(BARS);
            let mut rng = Rng::new(4);
            let n = 8;
            for tag in 0..n {
                w.reads
                    .push_back((0x1_0000_0000 + (u64::from(tag) << 12), 4096, tag));
            }
            w.settle();
            let mut open: Vec<Open> = w.sent.iter().map(Open::new).collect();
            w.sent.clear();
            let mut words = 0;
            for o in &mut open {
                while o.left > 0 {
                    let data = vec![rng.next() as u32; payload / 4];
                    let tlp = Tlp::completion(0, o.left, o.tag, (o.at & 127) as u32, &data);
                    (o.at, o.left) = (o.at + payload as u64, o.left - payload);
                    words += tlp.0.len().div_ceil(w.pins.width("rx_data") as usize / 32);
                    w.to_endpoint.push_back(tlp);
                }
            }
            let start = w.pins.cycles();
            while w.over.len() < n as usize {
                w.step();
            }
            let took = w.pins.cycles() - start;
            println!("{unit}, payload {payload}: {took} cycles for {words} beats");
            assert!(
                took as usize <= words + 20 + payload / 8,
                "{took} cycles for {words} beats"
            );
        }
    }
}
