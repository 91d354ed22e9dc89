//! Two write masters on one channel: data under its own address, answers to their master, turns, memories of either order.

use sim_tb::pins::{cycle, Pins, StreamIn, StreamOut};
use sim_tb::rng::Rng;
use std::collections::HashMap;
use unit_tests::axi::{noise, Manners, Order, WriteMemory};

const LIMITS: (u64, u64) = (256, 4096);

struct Bench {
    pins: Pins,
    /// Engine, host.
    address: [StreamIn; 2],
    data: [StreamIn; 2],
    answer: [StreamOut; 2],
    memory: WriteMemory,
    /// Byte enables by address.
    strobes: HashMap<u64, u64>,
    /// Bursts by the ID that the memory must see.
    bursts: HashMap<u64, usize>,
    beats: u64,
    rng: Rng,
}

impl Bench {
    fn new(manners: Manners, order: Order, stalls: [u32; 4], seed: u64) -> Bench {
        let mut pins = Pins::new("axi_write_mux").unwrap();
        pins.reset("rst", 2);
        let s = |n: u64| seed + 10 * n;
        let host = ["id", "addr", "len", "size", "burst"];
        Bench {
            pins,
            address: [
                StreamIn::new("s0_aw", &["addr", "len"], s(1), stalls[0]),
                StreamIn::new("s1_aw", &host, s(2), stalls[1]),
            ],
            data: [
                StreamIn::new("s0_w", &["data", "last"], s(3), stalls[2]),
                StreamIn::new("s1_w", &["data", "last", "strb"], s(4), stalls[3]),
            ],
            answer: [
                StreamOut::new("s0_b", &["resp"], s(5), stalls[3]),
                StreamOut::new("s1_b", &["resp", "id"], s(6), stalls[2]),
            ],
            memory: WriteMemory::new("m_", LIMITS, manners, order, s(7)).with_ids(),
            strobes: HashMap::new(),
            bursts: HashMap::new(),
            beats: 0,
            rng: Rng::new(s(8)),
        }
    }
    /// `source` writes `beats` beats of noise at `addr`.
    fn push(&mut self, source: usize, id: u64, addr: u64, beats: u64) {
        match source {
            0 => self.address[0].push(&[addr, beats - 1]),
            _ => self.address[1].push(&[id, addr, beats - 1, 4, 1]),
        }
        for i in 0..beats {
            let at = addr + 16 * i;
            let mut item = vec![noise(at).to_vec(), vec![u32::from(i + 1 == beats)]];
            let mut strb = 0xFFFF;
            if source == 1 {
                strb = self.rng.below(1 << 16);
                item.push(vec![strb as u32]);
            }
            self.data[source].push_wide(item);
            self.strobes.insert(at, strb);
        }
        let code = if source == 0 { 48 } else { 32 + id };
        *self.bursts.entry(code).or_default() += 1;
        self.beats += beats;
    }
    fn step(&mut self) {
        let [a0, a1] = &mut self.address;
        let [d0, d1] = &mut self.data;
        let [b0, b1] = &mut self.answer;
        cycle(
            &mut self.pins,
            &mut [a0, a1, d0, d1, b0, b1, &mut self.memory],
        );
    }
    /// Runs until every burst is answered, then checks memory and answers.
    fn finish(&mut self) {
        let bursts: usize = self.bursts.values().sum();
        while self.answer[0].len() + self.answer[1].len() < bursts {
            self.step();
        }
        for _ in 0..50 {
            self.step();
        }
        assert_eq!(
            (self.memory.beats, self.memory.outstanding),
            (self.beats, 0)
        );
        assert_eq!(self.memory.written.len(), self.strobes.len());
        for (addr, strb) in &self.strobes {
            assert_eq!(
                self.memory.written[addr],
                (noise(*addr), *strb),
                "{addr:#x}"
            );
        }
        let mut seen: HashMap<u64, usize> = HashMap::new();
        for b in &self.memory.bursts {
            *seen.entry(b.id).or_default() += 1;
        }
        assert_eq!(seen, self.bursts, "IDs at the memory");
        let mut answered: HashMap<u64, usize> = HashMap::new();
        let mut errors = 0;
        for source in 0..2 {
            for item in &self.answer[source].items {
                let code = if source == 0 {
                    48
                } else {
                    32 + u64::from(item[1][0])
                };
                *answered.entry(code).or_default() += 1;
                errors += u64::from(item[0][0] != 0);
            }
        }
        assert_eq!(answered, self.bursts, "answers to the masters");
        assert_eq!(errors, self.memory.errors);
    }
}

#[test]
fn data_lands_under_its_own_address() {
    let seed = 81;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let mut errors = 0;
    for round in 0..60 {
        let mut manners = Manners::rough(&mut rng);
        manners.errors = if round % 2 == 0 { 0 } else { 8000 };
        let order = [Order::Any, Order::AddressFirst, Order::DataFirst][round % 3];
        let stalls = [0; 4].map(|_: u32| rng.below(230) as u32);
        let mut b = Bench::new(manners, order, stalls, rng.next());
        for i in 0..40 {
            let source = rng.below(2) as usize;
            let id = if source == 1 { rng.below(16) } else { 0 };
            let beats = if rng.chance(100) {
                1
            } else {
                1 + rng.below(20)
            };
            b.push(source, id, (i << 12) | (16 * rng.below(200)), beats);
        }
        b.finish();
        errors += b.memory.errors;
    }
    println!("{errors} error answers");
    assert!(errors > 50);
}

#[test]
fn masters_take_turns_and_the_bus_stays_full() {
    for beats in [1, 2, 16] {
        for order in [Order::Any, Order::AddressFirst] {
            let mut b = Bench::new(Manners::ideal(10), order, [0; 4], 3);
            for i in 0..50 {
                b.push(0, 0, (2 * i) << 12, beats);
                b.push(1, 3, (2 * i + 1) << 12, beats);
            }
            b.finish();
            for w in b.memory.bursts.windows(2) {
                assert_ne!(w[0].id, w[1].id, "{w:?}");
            }
            println!(
                "{beats} beats, {order:?}: {:.4} beats per cycle",
                b.memory.utilisation()
            );
            assert_eq!(b.memory.utilisation(), 1.0);
        }
    }
}

#[test]
fn one_master_alone_is_not_slowed() {
    for source in 0..2 {
        let mut b = Bench::new(Manners::ideal(10), Order::Any, [0; 4], 4);
        for i in 0..50 {
            b.push(source, 0, i << 12, 5);
        }
        b.finish();
        assert_eq!(b.memory.utilisation(), 1.0);
    }
}

#[test]
fn the_hosts_size_and_burst_pass_through() {
    let mut pins = Pins::new("axi_write_mux").unwrap();
    pins.reset("rst", 2);
    for (size, burst, id) in [(2, 1, 5), (3, 0, 15), (4, 2, 0)] {
        pins.set("s1_aw_vld", 1);
        pins.set("s1_aw_id", id);
        pins.set("s1_aw_addr", 0x12_3456_7894);
        pins.set("s1_aw_len", 0);
        pins.set("s1_aw_size", size);
        pins.set("s1_aw_burst", burst);
        pins.set("m_aw_rdy", 1);
        assert_eq!(pins.get("s1_aw_rdy"), 1);
        pins.tick();
        pins.set("s1_aw_vld", 0);
        let m =
            ["vld", "id", "addr", "len", "size", "burst"].map(|f| pins.get(&format!("m_aw_{f}")));
        assert_eq!(m, [1, 32 + id, 0x12_3456_7894, 0, size, burst]);
        // Its one beat of data frees the channel for the next.
        pins.set("s1_w_vld", 1);
        pins.set("s1_w_last", 1);
        pins.set("m_w_rdy", 1);
        assert_eq!(pins.get("m_w_vld"), 1);
        pins.tick();
        pins.set("s1_w_vld", 0);
    }
}
