//! The register contract: the kernel driver's order of accesses, interrupts, poll mode, errors, stopping, resets.

use sim_tb::rng::Rng;
use unit_tests::dma::{rounds, Bench, Descriptor, Direction, Event, Manners};

const UNITS: [&str; 2] = ["pcie_dma", "pcie_dma_128"];
const BOTH: [Direction; 2] = [Direction::H2c, Direction::C2h];
/// What the driver writes to start, to stop, and as interrupt mask.
const START: u32 = 0x00F8_3E1F;
const STOP: u32 = 0x00F8_3E1E;
const MASK: u32 = 0x00F8_3E1E;
const POLL: u32 = 0x04F8_3E19;

const HOST: u64 = 0x12_3456_7000;
const CARD: u64 = 0x40_0000;
const LIST: u64 = 0x77_0000_0000;

fn bench(unit: &str, seed: u64) -> Bench {
    println!("{unit}, seed {seed}");
    let manners = Manners::rough(&mut Rng::new(seed));
    Bench::new(unit, seed, manners)
}

/// Where the bytes of a direction are, in host and in card memory.
fn home(direction: Direction) -> (u64, u64) {
    match direction {
        Direction::H2c => (HOST, CARD),
        Direction::C2h => (HOST + 0x10_0000, CARD + 0x10_0000),
    }
}

/// `n` descriptors of `bytes` each, one behind the other in both memories, allowed to be written.
fn contiguous(b: &mut Bench, direction: Direction, n: u64, bytes: u64) -> Vec<Descriptor> {
    let list = (0..n).map(|i| {
        let (h, c) = home(direction);
        let (h, c) = (h + bytes * i, c + bytes * i);
        let (src, dst) = match direction {
            Direction::H2c => (h, c),
            Direction::C2h => (c, h),
        };
        Descriptor {
            src,
            dst,
            length: bytes as u32,
            control: 0,
        }
    });
    let list: Vec<_> = list.collect();
    let targets = match direction {
        Direction::H2c => &mut b.card.targets,
        Direction::C2h => &mut b.host.targets,
    };
    targets.insert(list[0].dst, list[0].dst + n * bytes);
    list
}

/// Source bytes have arrived.
fn moved(b: &mut Bench, direction: Direction, d: &Descriptor) -> bool {
    let n = d.length as usize;
    match direction {
        Direction::H2c => b.host.peek(d.src, n) == b.card.peek(d.dst, n),
        Direction::C2h => b.card.peek(d.src, n) == b.host.peek(d.dst, n),
    }
}

fn enable(b: &mut Bench) {
    b.write(0x20A0, 0x0100);
    b.write(0x2014, !0);
    b.write(0x0090, MASK);
    b.write(0x1090, MASK);
}

fn settle(b: &mut Bench) {
    for _ in 0..40 {
        b.step();
    }
    b.until("quiet", 50_000, |b| {
        b.is_quiet() && b.pins.get("quiet") == 1
    });
}

fn stopped(b: &mut Bench, direction: Direction) {
    b.until("Busy to fall", 200_000, |b| {
        b.read(direction.base() + 0x40) & 1 == 0
    });
}

/// Section 7 of the contract: probe, transfers from anywhere in the ring, remove.
#[test]
fn the_drivers_order_of_accesses() {
    for unit in UNITS {
        let mut b = bench(unit, 71);
        // Probe.
        assert_eq!(b.read(0x2000), 0x1FC2_0006);
        assert_eq!(b.read(0x3000), 0x1FC3_0006);
        for addr in [0x2004, 0x2010, 0x2040, 0x2044, 0x2048, 0x204C] {
            assert_eq!(b.read(addr), 0, "{addr:#x}");
        }
        b.write(0x2018, !0);
        b.write(0x200C, !0);
        assert_eq!((b.read(0x2040), b.read(0x2044)), (0, 0));
        for (base, id) in [(0x0000, 0x1FC0_0006), (0x1000, 0x1FC1_0006)] {
            assert_eq!([b.read(base), b.read(base), b.read(base)], [id; 3]);
            b.write(base + 0x0C, 0x0200_0000);
            assert_eq!(b.read(base + 0x4C), 0x0001_0140);
            b.write(base + 0x90, MASK);
            // The next channel is absent.
            for _ in 0..2 {
                let id = b.read(base + 0x100);
                assert!(id >> 16 != 0x1FC0 + (base >> 12), "{id:#x}");
            }
        }
        assert_eq!((b.read(0x4000), b.read(0x5000)), (0x1FC4_0006, 0x1FC5_0006));
        assert_eq!(b.read(0x6000), 0x1FC6_0006);
        b.write(0x20A0, 0x0000_0100);
        b.write(0x2080, 0x0504_0302);
        b.write(0x2084, 0x0908_0706);
        b.write(0x2088, 0x0D0C_0B0A);
        b.write(0x208C, 0x1110_0F0E);
        b.write(0x2014, !0);
        assert_eq!((b.read(0x2040), b.read(0x2044)), (0, 0));
        b.write(0x2008, 0x1_FFFF);
        assert_eq!((b.read(0x2040), b.read(0x2044)), (0, 0));
        // What does not exist was not stored.
        assert_eq!((b.read(0x2004), b.read(0x2010)), (1, 3));

        // Transfers: a ring of 2048 descriptors, a list that begins in the middle of it.
        for (round, (direction, n)) in [(0, 1), (1, 64), (0, 200), (1, 3)].into_iter().enumerate() {
            let direction = BOTH[direction];
            let (base, sg) = (direction.base(), direction.sgdma());

            b.host.targets.clear();
            b.card.targets.clear();
            let list = contiguous(&mut b, direction, n, 96);
            let begin = 100 * round as u64 + 37;
            // Blocks end at multiples of 64 descriptors.
            let mut places = Vec::new();
            let mut at = begin;
            while at < begin + n {
                let block = 64 - at % 64;
                places.push((LIST + 32 * at, block as usize));
                at += block;
            }
            let (first, adjacent) = b.list(&list, &places, 0);
            b.seen.clear();
            b.write(sg + 0x80, first as u32);
            b.write(sg + 0x84, (first >> 32) as u32);
            b.write(sg + 0x88, adjacent);
            b.write(base + 0x04, START);
            let state = [b.read(base + 0x40), b.read(base + 0x40)];
            assert!(state.iter().all(|s| s & 1 == 1 || *s == 6), "{state:x?}");
            b.until("the interrupt", 200_000, |b| !b.messages().is_empty());
            assert_eq!(b.messages(), [u64::from(base >> 12)]);
            assert!(list.iter().all(|d| moved(&mut b, direction, d)));
            b.write(base + 0x98, MASK);
            assert_eq!(b.read(0x204C), 0);
            assert_eq!(b.read(base + 0x44), 0x6);
            b.write(base + 0x04, STOP);
            assert_eq!(b.read(base + 0x48), n as u32);
            b.write(base + 0x94, MASK);
            settle(&mut b);
            assert_eq!(b.messages().len(), 1);
        }

        // Remove.
        for addr in [0x2018, 0x200C] {
            b.write(addr, !0);
        }
        for addr in [0x20A0, 0x2080, 0x0090, 0x1090] {
            b.write(addr, 0);
            assert_eq!(b.read(addr), 0);
        }
    }
}

/// Every register: what is stored, what is not, set and clear.
#[test]
fn registers_keep_what_the_table_says() {
    use abi::dma::{Access, BLOCKS};
    let mut b = bench(UNITS[0], 72);
    let mut rng = Rng::new(72);
    for block in BLOCKS {
        for r in block.registers {
            let addr = block.base + r.offset;
            // STATUS is cleared by ones; setting Run would start.
            let value = rng.next() as u32 & !1;
            match r.access {
                Access::Rw if r.name != "PERFORMANCE_CONTROL" => {
                    b.write(addr, value);
                    assert_eq!(b.read(addr), value & r.mask, "{} {}", block.name, r.name);
                }
                Access::Ro => {
                    let before = b.read(addr);
                    b.write(addr, value);
                    assert_eq!(b.read(addr), before, "{} {}", block.name, r.name);
                }
                Access::W1s => {
                    let stem = addr - 4;
                    let before = b.read(stem);
                    b.write(addr, value);
                    assert_eq!(b.read(stem), before | (value & r.mask));
                    assert_eq!(b.read(addr), before | (value & r.mask));
                }
                Access::W1c if r.name != "STATUS" => {
                    let stem = addr - 8;
                    let before = b.read(stem);
                    b.write(addr, value);
                    assert_eq!(b.read(stem), before & !value);
                    assert_eq!(b.read(addr), before & !value);
                }
                _ => {}
            }
        }
    }
    // Nothing else is there.
    for addr in [
        0x0010, 0x0050, 0x20FC, 0x3004, 0x408C, 0x7044, 0x9000, 0x0200,
    ] {
        b.write(addr, !0);
        assert_eq!(b.read(addr), 0, "{addr:#x}");
    }
}

#[test]
fn one_message_for_each_rising_edge() {
    let mut b = bench(UNITS[0], 73);
    enable(&mut b);
    b.write(0x2080, 7);
    b.write(0x2008, 1);
    for round in 1..4 {
        b.user = true;
        settle(&mut b);
        assert_eq!(b.messages(), vec![7; round]);
        assert_eq!((b.read(0x2040), b.read(0x2048)), (1, 1));
        b.user = false;
        settle(&mut b);
        assert_eq!((b.read(0x2040), b.read(0x2048)), (0, 0));
    }
    // The mask makes edges too.
    b.seen.clear();
    b.user = true;
    settle(&mut b);
    b.write(0x200C, 1);
    assert_eq!((b.read(0x2040), b.read(0x2048)), (0, 1));
    b.write(0x2008, 1);
    settle(&mut b);
    assert_eq!(b.messages(), [7, 7]);

    // A channel: its own mask, a status bit that is still set, the block's mask.
    b.seen.clear();
    let list = contiguous(&mut b, Direction::C2h, 2, 100);
    let first = b.list(&list, &[(LIST, 64)], 0);
    b.start(Direction::C2h, first, START);
    b.until("the interrupt", 20_000, |b| !b.messages().is_empty());
    settle(&mut b);
    b.write(0x1098, MASK);
    assert_eq!((b.read(0x2044), b.read(0x204C)), (0, 0));
    b.write(0x1094, MASK);
    settle(&mut b);
    assert_eq!(b.messages(), [1, 1]);
    assert_eq!(b.read(0x1040), 6);
    b.write(0x2018, 2);
    assert_eq!((b.read(0x2044), b.read(0x204C)), (0, 2));
    b.write(0x2014, 2);
    settle(&mut b);
    assert_eq!(b.messages(), [1, 1, 1]);
    // Written ones clear, and only those.
    b.write(0x1040, 4);
    assert_eq!(b.read(0x1040), 2);
    b.write(0x1040, !0);
    assert_eq!((b.read(0x1040), b.read(0x204C)), (0, 0));
    // Without the right to send, the message waits.
    b.bme = false;
    b.user = false;
    settle(&mut b);
    b.user = true;
    for _ in 0..200 {
        b.step();
    }
    assert_eq!(b.messages().len(), 3);
    b.bme = true;
    settle(&mut b);
    assert_eq!(b.messages(), [1, 1, 1, 7]);
}

#[test]
fn poll_mode() {
    for unit in UNITS {
        for direction in BOTH {
            let mut b = bench(unit, 74);
            let base = direction.base();
            let word = 0x5_0000_0040;
            b.write(base + 0x88, word as u32);
            b.write(base + 0x8C, (word >> 32) as u32);
            b.write(base + 0x90, 0x00F8_3E18);
            b.host.targets.insert(word, word + 4);
            b.host.poke(word, &[0; 4]);
            let list = contiguous(&mut b, direction, 20, 300);
            // Completed in every descriptor: a word each, in order, each behind its data.
            let first = b.list(&list, &[(LIST, 64)], 2);
            b.start(direction, first, POLL);
            let mut last = 0;
            while last < 20 {
                b.step();
                let word = u32::from_le_bytes(b.host.peek(word, 4).try_into().unwrap());
                if word != last {
                    assert_eq!(word, last + 1);
                    assert!(moved(&mut b, direction, &list[last as usize]));
                    last = word;
                }
            }
            stopped(&mut b, direction);
            // POLL does not let Stop and Completed be logged.
            assert_eq!(b.read(base + 0x40), 0);
            assert_eq!(b.read(base + 0x48), 20);
            assert!(b.messages().is_empty());
        }
    }
}

/// A run that goes wrong at descriptor `bad`; afterwards the channel works again.
fn failing(
    b: &mut Bench,
    direction: Direction,
    control: u32,
    bad: u64,
    spoil: impl Fn(&mut Bench, &mut Vec<Descriptor>),
) -> (u32, u32) {
    let base = direction.base();
    b.seen.clear();
    b.write(base + 4, STOP);
    b.host.faults.clear();
    b.card.faults.clear();
    b.host.targets.clear();
    b.card.targets.clear();
    // Fresh memory on the side that is written, so that what must not be moved can be told.
    let mut list = contiguous(b, direction, 12, 1000);
    for d in &list {
        let zeros = vec![0; d.length as usize];
        match direction {
            Direction::H2c => b.card.poke(d.dst, &zeros),
            Direction::C2h => b.host.poke(d.dst, &zeros),
        }
    }
    spoil(b, &mut list);
    let first = b.list(&list, &[(LIST, 64)], 0);
    b.start(direction, first, control);
    stopped(b, direction);
    let (state, count) = (b.read(base + 0x40), b.read(base + 0x48));
    for d in list.iter().take(bad as usize) {
        assert!(moved(b, direction, d), "{d:x?}");
    }
    settle(b);
    (state, count)
}

#[test]
fn errors_are_logged_and_stop_as_enabled() {
    for (unit, seed) in UNITS.into_iter().zip(75..) {
        let mut rng = Rng::new(seed);
        let mut b = bench(unit, seed);
        enable(&mut b);
        for round in 0..rounds(30) {
            b.manners = Manners::rough(&mut rng);
            let direction = BOTH[round % 2];
            let bad = rng.below(12);
            let at = 1000 * bad + rng.below(1000);
            let (h, c) = home(direction);
            // Reading: five ways to fail on the link, two on the card's bus.
            let (bit, code) = match direction {
                Direction::H2c => {
                    let n = rng.below(5);
                    (n as u32, 1 << n)
                }
                Direction::C2h => {
                    let n = rng.below(2);
                    (n as u32, 3 - n)
                }
            };
            let spoil = |b: &mut Bench, _: &mut Vec<Descriptor>| match direction {
                Direction::H2c => b.host.faults.push((h + at..h + at + 1, code)),
                Direction::C2h => b.card.faults.push((c + at..c + at + 1, code)),
            };
            let (state, count) = failing(&mut b, direction, START, bad, spoil);
            // A burst takes in bytes of its neighbours, a request the piece's last word.
            let near = at % 1000 < 16 || at % 1000 > 984;
            assert_eq!(state, 1 << (9 + bit), "{direction:?}, descriptor {bad}");
            assert!(u64::from(count) == bad || near, "{count} of {bad}");
            assert_eq!(b.messages(), [u64::from(direction.base() >> 12)]);
            // Not enabled: neither logged nor a reason to stop.
            let quiet = START & !(0x1F << 9);
            let (state, count) = failing(&mut b, direction, quiet, 0, spoil);
            assert_eq!((state, count), (6, 12));

            // Writing to the card: not enabled by the driver.
            if direction == Direction::H2c {
                let n = rng.below(2) as u32;
                let spoil = |b: &mut Bench, _: &mut Vec<Descriptor>| {
                    b.card.faults.push((c + at..c + at + 1, 3 - u64::from(n)));
                };
                let (state, count) = failing(&mut b, direction, START, 0, spoil);
                assert_eq!((state, count), (6, 12));
                let (state, count) = failing(&mut b, direction, START | 0x1F << 14, 0, spoil);
                assert_eq!(state, 1 << (14 + n));
                assert!(u64::from(count) == bad || near);
            }

            // The descriptor itself: it does not arrive, it has another magic, it is empty.
            let n = rng.below(5) as u32;
            let place = LIST + 32 * bad;
            let spoil = |b: &mut Bench, _: &mut Vec<Descriptor>| {
                b.host.faults.push((place..place + 32, 1 << n));
            };
            let (state, count) = failing(&mut b, direction, START, 0, spoil);
            assert_eq!(state, 1 << (19 + n));
            // Those fetched with it are lost as well.
            assert!(u64::from(count) <= bad);
            let spoil = |_: &mut Bench, list: &mut Vec<Descriptor>| {
                list[bad as usize].control = 0xAD4C_0000 | (11 - bad as u32) << 8;
            };
            let (state, count) = failing(&mut b, direction, START, bad, spoil);
            assert_eq!((state, count), (0x10, bad as u32));
            let spoil = |_: &mut Bench, list: &mut Vec<Descriptor>| list[bad as usize].length = 0;
            let (state, count) = failing(&mut b, direction, START | 0x20, 12, spoil);
            assert_eq!((state, count), (0x26, 12));
            let (state, count) = failing(&mut b, direction, START & !0x20, 12, spoil);
            assert_eq!((state, count), (0x06, 12));
            let (state, count) = failing(&mut b, direction, START, 12, |_, _| {});
            assert_eq!((state, count), (6, 12));
        }
    }
}

#[test]
fn poll_mode_tells_of_an_error() {
    for direction in BOTH {
        let mut b = bench(UNITS[0], 76);
        let base = direction.base();
        let word = 0x5_0000_0040;
        b.write(base + 0x88, word as u32);
        b.write(base + 0x8C, (word >> 32) as u32);
        let spoil = |b: &mut Bench, list: &mut Vec<Descriptor>| {
            b.host.targets.insert(word, word + 4);
            b.host.poke(word, &[0; 4]);
            list[5].control = 0x0000_0001;
        };
        let (state, count) = failing(&mut b, direction, POLL, 5, spoil);
        assert_eq!((state, count), (0x10, 5));
        assert_eq!(b.host.peek(word, 4), 0x8000_0005u32.to_le_bytes());
    }
}

#[test]
fn clearing_run_lets_descriptors_finish() {
    for (unit, seed) in UNITS.into_iter().zip(77..) {
        let mut rng = Rng::new(seed);
        let mut early = 0;
        for round in 0..rounds(40) {
            let mut b = bench(unit, rng.next());
            let direction = BOTH[round % 2];
            let base = direction.base();
            enable(&mut b);
            let list = contiguous(&mut b, direction, 60, 700);
            for d in &list {
                let zeros = vec![0; d.length as usize];
                match direction {
                    Direction::H2c => b.card.poke(d.dst, &zeros),
                    Direction::C2h => b.host.poke(d.dst, &zeros),
                }
            }
            let first = b.list(&list, &[(LIST, 64)], 0);
            b.start(direction, first, START | 1 << 6);
            for _ in 0..rng.below(3000) {
                b.step();
            }
            b.write(base + 0x0C, 1);
            stopped(&mut b, direction);
            let (state, count) = (b.read(base + 0x40), b.read(base + 0x48) as usize);
            if count < 60 {
                early += 1;
                assert_eq!(state, 1 << 6);
            } else {
                assert_eq!(state, 6);
            }
            // Whole descriptors, and nothing behind them.
            for (i, d) in list.iter().enumerate() {
                if i < count {
                    assert!(moved(&mut b, direction, d), "{i} of {count}");
                } else {
                    let got = match direction {
                        Direction::H2c => b.card.peek(d.dst, 700),
                        Direction::C2h => b.host.peek(d.dst, 700),
                    };
                    assert!(got.iter().all(|x| *x == 0), "{i} of {count}");
                }
            }
            settle(&mut b);
            // Again, from the beginning: Run set and cleared and set while it still works.
            b.start(direction, first, START);
            b.write(base + 0x0C, 1);
            b.write(base + 0x08, 1);
            b.until("the interrupt", 200_000, |b| b.read(base + 0x40) == 6);
            assert_eq!(b.read(base + 0x48), 60);
            assert!(list.iter().all(|d| moved(&mut b, direction, d)));
        }
        println!("{early} stopped before their end");
        assert!(early > 10);
    }
}

#[test]
fn a_function_level_reset_waits_for_what_is_outstanding() {
    for (unit, seed) in UNITS.into_iter().zip(78..) {
        let mut rng = Rng::new(seed);
        for round in 0..rounds(60) {
            let mut b = bench(unit, rng.next());
            enable(&mut b);
            let (mut lists, mut firsts) = (Vec::new(), Vec::new());
            for direction in BOTH {
                let list = contiguous(&mut b, direction, 30, 900);
                let place = LIST + u64::from(direction.base());
                firsts.push(b.list(&list, &[(place, 64)], 0));
                lists.push(list);
            }
            for (direction, first) in BOTH.into_iter().zip(&firsts) {
                b.start(direction, *first, START);
            }
            for _ in 0..rng.below(1500) {
                b.step();
            }
            // Nothing is answered for a while; the right to send goes first, as when the command register is cleared.
            b.hold = true;
            for _ in 0..rng.below(300) {
                b.step();
            }
            // A packet that has begun is finished before the reset.
            b.bme = false;
            b.step();
            for _ in 0..200 {
                b.step();
            }
            b.flr = true;
            b.step();
            b.seen.clear();
            for addr in [
                0x0004, 0x0040, 0x0048, 0x0090, 0x1004, 0x1040, 0x1048, 0x2010, 0x20A0, 0x4080,
            ] {
                assert_eq!(b.read(addr), 0, "{addr:#x}");
            }
            b.bme = round % 3 != 0;
            // The next run is asked for before the last one's reads are back.
            enable(&mut b);
            for (direction, first) in BOTH.into_iter().zip(&firsts) {
                b.start(direction, *first, START);
                assert_eq!(b.read(direction.base() + 0x40), 1);
            }
            for _ in 0..200 {
                b.step();
            }
            b.hold = false;
            b.bme = true;
            b.until("both interrupts", 200_000, |b| b.messages().len() == 2);
            for (direction, list) in BOTH.into_iter().zip(&lists) {
                assert_eq!(b.read(direction.base() + 0x48), 30);
                assert!(list.iter().all(|d| moved(&mut b, direction, d)));
            }
            settle(&mut b);
        }
    }
}

#[test]
fn bus_master_off_and_halt_hold_everything() {
    let mut b = bench(UNITS[0], 79);
    enable(&mut b);
    let list = contiguous(&mut b, Direction::C2h, 3, 50);
    let first = b.list(&list, &[(LIST, 64)], 0);
    b.bme = false;
    b.start(Direction::C2h, first, START);
    for _ in 0..500 {
        b.step();
    }
    assert_eq!((b.requests, b.read(0x1040)), (0, 1));
    b.bme = true;
    b.until("the interrupt", 20_000, |b| !b.messages().is_empty());
    settle(&mut b);
    b.write(0x1004, STOP);
    b.write(0x6014, 0x0001_0000);
    let before = b.requests;
    b.start(Direction::C2h, first, START);
    for _ in 0..500 {
        b.step();
    }
    assert_eq!((b.requests, b.read(0x1040)), (before, 1));
    b.write(0x6018, 0x0001_0000);
    b.until("the interrupt", 20_000, |b| b.messages().len() == 2);
    assert_eq!(b.read(0x1048), 3);
}

#[test]
fn performance_counters_count_cycles_and_beats() {
    for (unit, lane) in UNITS.into_iter().zip([8, 16]) {
        for direction in BOTH {
            let base = direction.base();
            let mut b = bench(unit, 80);
            b.write(base + 0xC0, 2);
            b.write(base + 0xC0, 5);
            let list = contiguous(&mut b, direction, 4, 256);
            let first = b.list(&list, &[(LIST, 64)], 0);
            b.start(direction, first, START);
            stopped(&mut b, direction);
            assert_eq!(b.read(base + 0xC0), 4);
            let cycles = b.read(base + 0xC4);
            assert!(cycles > 100 && b.read(base + 0xC4) == cycles);
            assert_eq!((b.read(base + 0xC8), b.read(base + 0xD0)), (0, 0));
            assert_eq!(b.read(base + 0xCC), 4 * 256 / lane);
            b.write(base + 0xC0, 2);
            assert_eq!((b.read(base + 0xC4), b.read(base + 0xCC)), (0, 0));
        }
    }
}

/// Data, then the word of poll mode, then the message: in this order on the link.
#[test]
fn what_needs_order_has_it() {
    for (unit, seed) in UNITS.into_iter().zip(81..) {
        let mut rng = Rng::new(seed);
        for _ in 0..rounds(30) {
            let mut b = bench(unit, rng.next());
            enable(&mut b);
            let word = 0x5_0000_0040;
            b.write(0x1088, word as u32);
            b.write(0x108C, (word >> 32) as u32);
            b.host.targets.insert(word, word + 4);
            let list = contiguous(
                &mut b,
                Direction::C2h,
                1 + rng.below(20),
                1 + rng.below(600),
            );
            let first = b.list(&list, &[(LIST, 64)], 0);
            b.start(Direction::C2h, first, START | 1 << 26);
            b.until("the interrupt", 50_000, |b| !b.messages().is_empty());
            let events: Vec<_> = b.seen.iter().map(|e| e.1).collect();
            let n = events.len();
            assert_eq!(events[n - 1], Event::Message(1));
            assert_eq!(events[n - 2], Event::Write(word, 4));
            let bytes: u64 = (events[..n - 2].iter())
                .map(|e| match e {
                    Event::Write(_, bytes) => *bytes,
                    Event::Message(_) => 0,
                })
                .sum();
            assert_eq!(bytes, list.iter().map(|d| u64::from(d.length)).sum::<u64>());
        }
    }
}
