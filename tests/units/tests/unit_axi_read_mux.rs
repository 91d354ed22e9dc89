//! Three read masters on one channel: every beat reaches its master, nobody starves, and the host's share is told.

use sim_tb::pins::{cycle, Pins, Stream, StreamIn, StreamOut};
use sim_tb::rng::Rng;
use std::collections::{HashMap, VecDeque};
use unit_tests::axi::{noise, Manners, ReadMemory};

const LIMITS: (u64, u64) = (256, 4096);
const HOST: usize = 2;

/// Sees the ports as a whole and checks `host_blocks` against them.
#[derive(Default)]
struct Watch {
    engine_bursts: i64,
    blocked: u64,
}

impl Stream for Watch {
    fn drive(&mut self, _: &mut Pins) {}
    fn sample(&mut self, pins: &mut Pins) {
        let at = pins.cycles();
        let mut high = |port: &str| pins.get(port) == 1;
        let asks = ["s0", "s1", "s2"].map(|s| high(&format!("{s}_ar_vld")));
        let taken = ["s0", "s1", "s2"]
            .map(|s| high(&format!("{s}_ar_vld")) && high(&format!("{s}_ar_rdy")));
        let ends = ["s0", "s1"].map(|s| {
            ["r_vld", "r_rdy", "r_last"]
                .iter()
                .all(|p| high(&format!("{s}_{p}")))
        });
        let (m_ar, m_ar_rdy, m_r) = (high("m_ar_vld"), high("m_ar_rdy"), high("m_r_vld"));
        let (m_ar_source, m_r_source) = (pins.get("m_ar_id") >> 4, pins.get("m_r_id") >> 4);
        assert!(
            taken.iter().filter(|t| **t).count() <= 1,
            "two winners in cycle {at}"
        );

        let engine_asks = asks[0] || asks[1];
        let host_holds = taken[2] || (m_ar && m_ar_source == 2 && !m_ar_rdy);
        let host_data = m_r && m_r_source == 2 && self.engine_bursts > 0;
        let want = (engine_asks && host_holds) || host_data;
        assert_eq!(
            pins.get("host_blocks") == 1,
            want,
            "host_blocks in cycle {at}"
        );
        self.blocked += u64::from(want);
        self.engine_bursts += i64::from(taken[0] || taken[1]) - i64::from(ends[0] || ends[1]);
    }
}

struct Bench {
    pins: Pins,
    ask: [StreamIn; 3],
    got: [StreamOut; 3],
    memory: ReadMemory,
    watch: Watch,
    /// Bursts asked for, by source and ID, in order: address and beats.
    asked: HashMap<(usize, u64), VecDeque<(u64, u64)>>,
    beats: u64,
}

impl Bench {
    fn new(manners: Manners, stalls: [u32; 3], seed: u64) -> Bench {
        let mut pins = Pins::new("axi_read_mux").unwrap();
        pins.reset("rst", 2);
        let s = |n: u64| seed + 10 * n;
        let host = ["id", "addr", "len", "size", "burst"];
        Bench {
            pins,
            ask: [
                StreamIn::new("s0_ar", &["addr", "len"], s(1), stalls[0]),
                StreamIn::new("s1_ar", &["addr", "len"], s(2), stalls[1]),
                StreamIn::new("s2_ar", &host, s(3), stalls[2]),
            ],
            got: [
                StreamOut::new("s0_r", &["data", "resp", "last"], s(4), stalls[1]),
                StreamOut::new("s1_r", &["data", "resp", "last"], s(5), stalls[2]),
                StreamOut::new("s2_r", &["data", "resp", "last", "id"], s(6), stalls[0]),
            ],
            memory: ReadMemory::new("m_", LIMITS, manners, s(7), Box::new(noise)).with_ids(),
            watch: Watch::default(),
            asked: HashMap::new(),
            beats: 0,
        }
    }
    /// Source `source` will read `beats` beats; bits 39..36 of the address tell the source.
    fn push(&mut self, source: usize, id: u64, offset: u64, beats: u64) {
        let addr = ((source as u64) << 36) | offset;
        let (len, size, incr) = (beats - 1, 4, 1);
        match source {
            HOST => self.ask[HOST].push(&[id, addr, len, size, incr]),
            _ => self.ask[source].push(&[addr, len]),
        }
        self.asked
            .entry((source, id))
            .or_default()
            .push_back((addr, beats));
        self.beats += beats;
    }
    fn step(&mut self) {
        let [a0, a1, a2] = &mut self.ask;
        let [g0, g1, g2] = &mut self.got;
        cycle(
            &mut self.pins,
            &mut [a0, a1, a2, g0, g1, g2, &mut self.memory, &mut self.watch],
        );
    }
    /// Runs to the end and checks every beat of every source; the errors seen by the masters.
    fn finish(&mut self) -> u64 {
        while self.memory.beats < self.beats {
            self.step();
        }
        for _ in 0..50 {
            self.step();
        }
        assert_eq!(
            (self.memory.beats, self.memory.outstanding),
            (self.beats, 0)
        );
        for b in &self.memory.bursts {
            assert_eq!(b.id >> 4, b.addr >> 36, "source code of {b:?}");
        }
        let mut errors = 0;
        for source in 0..3 {
            for item in &self.got[source].items {
                let id = if source == HOST { item[3][0].into() } else { 0 };
                let queue = self.asked.get_mut(&(source, id)).expect("an ID in use");
                let (addr, left) = queue.front_mut().expect("a beat too many");
                assert_eq!(item[0], noise(*addr), "source {source}, {addr:#x}");
                assert_eq!(item[2][0] == 1, *left == 1, "last of source {source}");
                errors += u64::from(item[1][0] != 0);
                *addr += 16;
                *left -= 1;
                if *left == 0 {
                    queue.pop_front();
                }
            }
        }
        assert!(
            self.asked.values().all(VecDeque::is_empty),
            "a beat is missing"
        );
        errors
    }
}

#[test]
fn every_beat_reaches_its_master() {
    let seed = 71;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let (mut interleaved, mut blocked, mut errors) = (0, 0, 0);
    for round in 0..60 {
        let mut manners = Manners::rough(&mut rng);
        manners.errors = if round % 2 == 0 { 0 } else { 3000 };
        let stalls = [0, 0, 0].map(|_: u32| rng.below(230) as u32);
        let mut b = Bench::new(manners, stalls, rng.next());
        for _ in 0..40 {
            let source = rng.below(3) as usize;
            let id = if source == HOST { rng.below(16) } else { 0 };
            let offset = (rng.below(1 << 20) << 12) | (16 * rng.below(64));
            b.push(source, id, offset, 1 + rng.below(40));
        }
        let seen = b.finish();
        assert_eq!(seen, b.memory.errors, "error responses");
        errors += seen;
        interleaved += b.memory.interleaved;
        blocked += b.watch.blocked;
    }
    println!("{interleaved} changes of source within bursts, {blocked} cycles blocked by the host, {errors} errors");
    assert!(interleaved > 1000 && blocked > 1000 && errors > 100);
}

#[test]
fn masters_that_ask_all_the_time_take_turns() {
    for asking in [vec![0, 1, 2], vec![0, 2], vec![1, 2], vec![0, 1], vec![1]] {
        let mut b = Bench::new(Manners::ideal(20), [0; 3], 9);
        // At most 60 bursts of the engine's are under way: the unit counts to 63, the engine's masters stop at 8 each.
        for i in 0..30 {
            for source in &asking {
                b.push(*source, 0, i << 12, 8);
            }
        }
        b.finish();
        for (i, w) in b.memory.bursts.windows(asking.len()).enumerate() {
            let mut sources: Vec<u64> = w.iter().map(|x| x.id >> 4).collect();
            sources.sort_unstable();
            sources.dedup();
            assert_eq!(sources.len(), asking.len(), "bursts from {i} on: {w:?}");
        }
        println!("{asking:?}: {:.4} beats per cycle", b.memory.utilisation());
        assert_eq!(b.memory.utilisation(), 1.0);
        if !asking.contains(&HOST) {
            assert_eq!(b.watch.blocked, 0);
        }
    }
}

#[test]
fn addresses_pass_one_per_cycle() {
    let mut b = Bench::new(Manners::ideal(2), [0; 3], 10);
    for i in 0..100 {
        b.push(1, 0, 16 * i, 1);
        b.push(2, i % 16, 16 * i, 1);
    }
    b.finish();
    let (first, last) = (b.memory.bursts[0], b.memory.bursts[199]);
    assert_eq!(last.cycle - first.cycle, 199);
}

#[test]
fn the_hosts_size_and_burst_pass_through() {
    let mut pins = Pins::new("axi_read_mux").unwrap();
    pins.reset("rst", 2);
    for (size, burst, id) in [(2, 1, 5), (3, 0, 15), (4, 2, 0), (0, 1, 9)] {
        pins.set("s2_ar_vld", 1);
        pins.set("s2_ar_id", id);
        pins.set("s2_ar_addr", 0x12_3456_7894);
        pins.set("s2_ar_len", 3);
        pins.set("s2_ar_size", size);
        pins.set("s2_ar_burst", burst);
        pins.set("m_ar_rdy", 1);
        assert_eq!(pins.get("s2_ar_rdy"), 1);
        pins.tick();
        pins.set("s2_ar_vld", 0);
        let m =
            ["vld", "id", "addr", "len", "size", "burst"].map(|f| pins.get(&format!("m_ar_{f}")));
        assert_eq!(m, [1, 32 + id, 0x12_3456_7894, 3, size, burst]);
        pins.tick();
        assert_eq!(pins.get("m_ar_vld"), 0);
    }
}
