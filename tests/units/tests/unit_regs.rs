//! The register file against `abi::REGISTERS`: every offset, byte enables, write pulses, and a bus with random gaps.

use abi::registers::{COUNTERS, COUNTERS_BASE};
use abi::{Access, Register, REGISTERS};
use sim_tb::pins::{cycle, Pins, Stream};
use sim_tb::rng::Rng;
use std::collections::VecDeque;

/// A host on the bus, and what the registers should hold.
struct Host {
    rng: Rng,
    /// Cycles of 256 in which a side that could go on waits.
    stall: u32,
    /// Address, data, byte enables.
    writes: VecDeque<(u32, u32, u32)>,
    reads: VecDeque<u32>,
    aw: bool,
    w: bool,
    ar: bool,
    bready: bool,
    rready: bool,
    clear: bool,
    /// The write that was taken in the cycle before: it is stored in this one.
    storing: Option<(u32, u32, u32)>,
    /// Writes stored and not answered.
    unanswered: usize,
    answered: usize,
    /// What a read under way may return: the values since its address was taken.
    candidates: Option<Vec<u32>>,
    held: Option<u32>,
    /// Data of the reads, in order.
    got: Vec<u32>,
    value: Vec<u32>,
    /// The counters, and which of them is shown.
    counters: [u64; COUNTERS.len()],
    shown: usize,
    counting: bool,
    stored: Vec<u32>,
    hits: Vec<usize>,
}

/// The registers below the counters, which the unit has ports for.
fn plain() -> &'static [Register] {
    let n = (REGISTERS.iter()).position(|r| r.offset == COUNTERS_BASE);
    &REGISTERS[..n.unwrap()]
}

/// The counter, and the half of it, that a byte address belongs to.
fn counter(address: u32) -> Option<(usize, u32)> {
    let at = (address & !3).checked_sub(COUNTERS_BASE)?;
    let n = at as usize / 8;
    (n < COUNTERS.len()).then_some((n, at % 8 * 8))
}

/// The index of the register that a byte address belongs to.
fn decode(address: u32) -> Option<usize> {
    plain().iter().position(|r| r.offset == address & !3)
}

fn lanes(strobes: u32) -> u32 {
    (0..4).fold(0, |m, i| m | ((strobes >> i & 1) * 0xFF) << (8 * i))
}

impl Host {
    fn new(seed: u64, stall: u32) -> Host {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let value = plain()
            .iter()
            .map(|r| match r.access {
                Access::Ro | Access::W1c => rng.next() as u32,
                Access::Rw => 0, // the engine drives no bit that the host stores
            })
            .collect();
        let counters = [0; COUNTERS.len()].map(|_: u64| rng.next());
        Host {
            counters,
            shown: 0,
            counting: false,
            rng,
            stall,
            writes: VecDeque::new(),
            reads: VecDeque::new(),
            aw: false,
            w: false,
            ar: false,
            bready: false,
            rready: false,
            clear: false,
            storing: None,
            unanswered: 0,
            answered: 0,
            candidates: None,
            held: None,
            got: Vec::new(),
            value,
            stored: vec![0; plain().len()],
            hits: vec![0; plain().len()],
        }
    }

    fn go_on(&mut self) -> bool {
        !self.rng.chance(self.stall)
    }

    fn busy(&self) -> bool {
        !self.writes.is_empty()
            || !self.reads.is_empty()
            || self.storing.is_some()
            || self.unanswered > 0
            || self.candidates.is_some()
    }

    /// Runs until all transactions are answered.
    fn finish(&mut self, p: &mut Pins) {
        while self.busy() {
            cycle(p, &mut [self]);
        }
        cycle(p, &mut [self]);
    }

    /// What a read may see in this cycle.
    fn word(&self, address: u32) -> Option<u32> {
        match counter(address) {
            Some((n, shift)) => (n == self.shown).then_some((self.counters[n] >> shift) as u32),
            None => Some(decode(address).map_or(0, |i| self.stored[i] | self.value[i])),
        }
    }

    /// The write channels and everything a write does.
    fn sample_write(&mut self, p: &mut Pins) {
        let taken = p.get("awready") == 1 && self.aw;
        assert_eq!(taken, p.get("wready") == 1 && self.w, "taken together");
        let mut hit = None;
        let mut stored = self.stored.clone();
        let stores = self.storing.take();
        if taken {
            assert!(stores.is_none() && self.unanswered == 0, "one at a time");
            self.storing = self.writes.pop_front();
            (self.aw, self.w) = (false, false);
        }
        if let Some((address, data, strobes)) = stores {
            assert_eq!(p.get("hit_data"), u64::from(data & lanes(strobes)));
            hit = decode(address);
            if let Some(i) = hit {
                self.hits[i] += 1;
                if plain()[i].access == Access::Rw {
                    let kept = stored[i] & !lanes(strobes);
                    stored[i] = (kept | data & lanes(strobes)) & plain()[i].mask;
                }
                if plain()[i].name == "PREDICT_DATA" {
                    stored[i - 1] = (stored[i - 1] + 1) & 0xFFFF;
                }
            }
        }
        for (i, register) in plain().iter().enumerate() {
            let at = register.name;
            assert_eq!(
                p.get(&format!("hit_{i}")),
                u64::from(hit == Some(i)),
                "{at}"
            );
            let now = p.get(&format!("stored_{i}"));
            assert_eq!(now, u64::from(self.stored[i]), "{at}");
        }
        if self.clear {
            stored.fill(0);
        }
        let answer = p.get("bvalid") == 1;
        assert_eq!(answer, self.unanswered == 1, "one answer for each write");
        assert_eq!(p.get("bresp"), 0);
        if answer && self.bready {
            self.unanswered -= 1;
            self.answered += 1;
        }
        self.unanswered += usize::from(stores.is_some());
        self.stored = stored;
    }

    fn sample_read(&mut self, p: &mut Pins) {
        let under_way = self.candidates.is_some();
        let now = self.reads.front().and_then(|a| self.word(*a));
        if p.get("rvalid") == 1 {
            let data = p.get("rdata") as u32;
            assert_eq!(p.get("rresp"), 0);
            assert!(under_way, "data without an address");
            assert_eq!(*self.held.get_or_insert(data), data, "data moved");
            if self.rready {
                let may_be = self.candidates.take().unwrap();
                assert!(may_be.contains(&data), "{data:#x} is none of {may_be:x?}");
                self.got.push(data);
                self.held = None;
                self.reads.pop_front();
            }
        } else {
            assert!(self.held.is_none(), "rvalid fell");
            if let Some(c) = &mut self.candidates {
                c.extend(now);
            }
        }
        if self.ar && p.get("arready") == 1 {
            assert!(!under_way, "one read at a time");
            self.ar = false;
            // A counter is read from the next cycle on: what is shown now may have been added up before.
            let plain = counter(self.reads[0]).is_none();
            self.candidates = Some(now.filter(|_| plain).into_iter().collect());
        }
    }
}

impl Stream for Host {
    fn drive(&mut self, p: &mut Pins) {
        self.clear = self.clear && self.go_on();
        self.aw |= !self.writes.is_empty() && self.go_on();
        self.w |= !self.writes.is_empty() && self.go_on();
        self.ar |= !self.reads.is_empty() && self.candidates.is_none() && self.go_on();
        self.bready = self.go_on();
        self.rready = self.go_on();
        let noise = self.rng.next();
        let write = self.writes.front().copied().unwrap_or_default();
        let read = self.reads.front().copied().unwrap_or_default();
        let or_noise = |vld: bool, v: u32, bits: u32| {
            if vld {
                u64::from(v)
            } else {
                noise & ((1 << bits) - 1)
            }
        };
        for (port, value) in [
            ("awvalid", self.aw.into()),
            ("awaddr", or_noise(self.aw, write.0, 12)),
            ("wvalid", self.w.into()),
            ("wdata", or_noise(self.w, write.1, 32)),
            ("wstrb", or_noise(self.w, write.2, 4)),
            ("arvalid", self.ar.into()),
            ("araddr", or_noise(self.ar, read, 12)),
            ("bready", self.bready.into()),
            ("rready", self.rready.into()),
            ("clear", self.clear.into()),
        ] {
            p.set(port, value);
        }
        for (i, v) in self.value.iter().enumerate() {
            p.set(&format!("value_{i}"), u64::from(*v));
        }
        self.shown = (self.shown + 1) % COUNTERS.len();
        if self.counting {
            self.counters[self.shown] += self.rng.below(1 << 33);
        }
        p.set("counter_index", self.shown as u64);
        p.set("counter_value", self.counters[self.shown]);
    }
    fn sample(&mut self, p: &mut Pins) {
        // Reads first: a write of this cycle shows from the next one on.
        self.sample_read(p);
        self.sample_write(p);
    }
}

fn unit() -> Pins {
    let mut p = Pins::new("regs").unwrap();
    for port in ["awvalid", "wvalid", "arvalid", "clear"] {
        p.set(port, 0);
    }
    p.reset("rst", 2);
    p
}

#[test]
fn every_offset_reads_what_the_map_says() {
    let mut p = unit();
    let mut h = Host::new(1, 0);
    // After reset, and after all ones have been written everywhere.
    for ones in [false, true] {
        if ones {
            h.writes.extend((0..0x400).map(|n| (4 * n, u32::MAX, 15)));
            h.finish(&mut p);
            assert_eq!(h.answered, 0x400);
            assert!(h.hits.iter().all(|n| *n == 1), "one pulse for each write");
        }
        h.got.clear();
        h.reads.extend((0..0x400).map(|n| 4 * n));
        h.finish(&mut p);
        for (n, got) in h.got.iter().enumerate() {
            let expected = match (decode(4 * n as u32), counter(4 * n as u32)) {
                (_, Some((n, shift))) => (h.counters[n] >> shift) as u32,
                (None, None) => 0,
                // The write to PREDICT_DATA has moved it on.
                (Some(i), _) if plain()[i].name == "PREDICT_INDEX" => 0,
                (Some(i), _) if plain()[i].access == Access::Rw && ones => plain()[i].mask,
                (Some(i), _) if plain()[i].access == Access::Rw => plain()[i].reset,
                (Some(i), _) => h.value[i],
            };
            assert_eq!(*got, expected, "offset {:#x}, ones {ones}", 4 * n);
        }
        assert_eq!(h.got.len(), 0x400);
    }
    // Clearing is a reset of what is stored.
    h.clear = true;
    cycle(&mut p, &mut [&mut h]);
    h.clear = false;
    h.finish(&mut p);
    assert!(h.stored.iter().all(|s| *s == 0));
}

#[test]
fn the_prediction_table_is_written_in_a_row() {
    let mut p = unit();
    let mut h = Host::new(30, 40);
    let at = abi::registers::offset;
    for first in [0, 5, 0xFFFE] {
        h.writes.push_back((at("PREDICT_INDEX"), first, 15));
        for n in 0..4 {
            h.writes.push_back((at("PREDICT_DATA"), 0x1234 + n, 15));
            h.finish(&mut p);
            h.reads.push_back(at("PREDICT_INDEX"));
            h.finish(&mut p);
            assert_eq!(h.got.pop(), Some((first + n + 1) & 0xFFFF));
        }
    }
}

#[test]
fn byte_enables_and_any_timing() {
    for (seed, stall) in [(10, 0), (11, 60), (12, 128), (13, 220)] {
        let mut p = unit();
        let mut h = Host::new(seed, stall);
        h.counting = true;
        for _ in 0..400 {
            let address = |h: &mut Host| {
                if h.rng.chance(200) {
                    let r = &REGISTERS[h.rng.below(REGISTERS.len() as u64) as usize];
                    r.offset + h.rng.below(4) as u32
                } else {
                    h.rng.below(0x1000) as u32
                }
            };
            for _ in 0..h.rng.below(4) {
                let write = (address(&mut h), h.rng.next() as u32, h.rng.below(16) as u32);
                h.writes.push_back(write);
            }
            for _ in 0..h.rng.below(4) {
                let read = address(&mut h);
                h.reads.push_back(read);
            }
            // A clear in the middle of transactions: the bus goes on.
            for _ in 0..h.rng.below(12) {
                cycle(&mut p, &mut [&mut h]);
            }
            h.clear = h.rng.chance(30);
            h.finish(&mut p);
        }
        println!("{} writes, {} reads", h.answered, h.got.len());
        assert!(h.hits.iter().all(|n| *n > 0), "every register was written");
    }
}

#[test]
fn a_read_takes_four_cycles_and_a_write_two() {
    let mut p = unit();
    let mut h = Host::new(20, 0);
    h.writes
        .push_back((abi::registers::offset("SCRATCH"), 0x1234_5678, 15));
    let start = p.cycles();
    h.finish(&mut p);
    assert_eq!(p.cycles() - start, 4, "taken, stored, answered, quiet");
    h.reads.push_back(abi::registers::offset("SCRATCH"));
    let start = p.cycles();
    h.finish(&mut p);
    assert_eq!(
        p.cycles() - start,
        6,
        "taken, found, chosen among halves, chosen, answered, quiet"
    );
    assert_eq!(h.got, [0x1234_5678]);
}
