//! The serial console against the table of `abi::serial`: random requests, registers that answer late, noise and requests that are cut short.

use abi::serial::{IDENTIFY, IDENTITY_WORDS, READ, READ_OPERANDS, UNKNOWN, WRITE, WRITE_OPERANDS};
use sim_tb::pins::Pins;
use sim_tb::rng::Rng;
use std::collections::HashMap;

/// Cycles after which part of a request is forgotten, as the module of the bench was made.
const TIMEOUT: u64 = 200;

struct Bench {
    p: Pins,
    rng: Rng,
    stall: u32,
    registers: HashMap<u64, u64>,
    writes: Vec<(u64, u64)>,
    address: Option<u64>,
    data: Option<u64>,
    read: Option<u64>,
    answered: Vec<u8>,
}

impl Bench {
    fn new(seed: u64, stall: u32) -> Self {
        let mut p = Pins::new("console").unwrap();
        p.reset("rst", 2);
        Self {
            p,
            rng: Rng::new(seed),
            stall,
            registers: HashMap::new(),
            writes: Vec::new(),
            address: None,
            data: None,
            read: None,
            answered: Vec::new(),
        }
    }

    fn may(&mut self) -> bool {
        !self.rng.chance(self.stall)
    }

    /// What a register holds that nobody wrote.
    fn fresh(at: u64) -> u64 {
        (at + 1).wrapping_mul(0x9E37_79B1) & 0xFFFF_FFFF
    }

    /// One cycle of UART and registers.
    fn step(&mut self, byte: Option<u8>) {
        self.p.set("in_vld", byte.is_some().into());
        self.p.set("in_data", byte.unwrap_or(0x3C).into());
        let takes = [self.may(), self.may(), self.may(), self.may()];
        let (aw, w, ar) = (
            takes[0] && self.address.is_none(),
            takes[1] && self.data.is_none(),
            takes[2] && self.read.is_none(),
        );
        self.p.set("awready", aw.into());
        self.p.set("wready", w.into());
        self.p.set("arready", ar.into());
        self.p.set("out_rdy", takes[3].into());
        let b = self.address.is_some() && self.data.is_some() && self.may();
        let r = self.read.is_some() && self.may();
        self.p.set("bvalid", b.into());
        self.p.set("rvalid", r.into());
        let value = self.read.map_or(0xDEAD_BEEF, |at| {
            self.registers.get(&at).copied().unwrap_or(Self::fresh(at))
        });
        self.p.set("rdata", value);
        if b && self.p.get("bready") == 1 {
            let (at, data) = (self.address.take().unwrap(), self.data.take().unwrap());
            self.registers.insert(at, data);
            self.writes.push((at, data));
        }
        if r && self.p.get("rready") == 1 {
            self.read = None;
        }
        if aw && self.p.get("awvalid") == 1 {
            self.address = Some(self.p.get("awaddr"));
        }
        if w && self.p.get("wvalid") == 1 {
            self.data = Some(self.p.get("wdata"));
        }
        if ar && self.p.get("arvalid") == 1 {
            self.read = Some(self.p.get("araddr"));
        }
        if takes[3] && self.p.get("out_vld") == 1 {
            self.answered.push(self.p.get("out_data") as u8);
        }
        self.p.tick();
    }

    /// Sends a request and waits for `bytes` of answer, then some more.
    fn ask(&mut self, request: &[u8], bytes: usize) -> Vec<u8> {
        self.answered.clear();
        for byte in request {
            for _ in 0..self.rng.below(20) {
                self.step(None);
            }
            self.step(Some(*byte));
        }
        let end = self.p.cycles() + 5000;
        while self.answered.len() < bytes && self.p.cycles() < end {
            self.step(None);
        }
        for _ in 0..30 {
            self.step(None);
        }
        self.answered.clone()
    }
}

fn request(code: u8, at: u64, value: Option<u64>) -> Vec<u8> {
    let mut all = vec![code];
    all.extend(&(at as u16).to_le_bytes());
    all.extend(value.iter().flat_map(|v| (*v as u32).to_le_bytes()));
    all
}

#[test]
fn random_requests() {
    for (seed, stall) in [(0, 0), (1, 128), (2, 220)] {
        let mut bench = Bench::new(seed, stall);
        let mut model: HashMap<u64, u64> = HashMap::new();
        for n in 0..300 {
            let at = 4 * bench.rng.below(32);
            let word = |model: &HashMap<u64, u64>, at: u64| {
                (model.get(&at).copied().unwrap_or(Bench::fresh(at)) as u32).to_le_bytes()
            };
            let (request, wanted) = match bench.rng.below(4) {
                0 => {
                    let words = (0..IDENTITY_WORDS as u64).flat_map(|i| word(&model, 4 * i));
                    (
                        vec![IDENTIFY],
                        [IDENTIFY].into_iter().chain(words).collect::<Vec<u8>>(),
                    )
                }
                1 => {
                    let request = request(READ, at, None);
                    assert_eq!(request.len(), 1 + READ_OPERANDS);
                    (
                        request,
                        [READ].into_iter().chain(word(&model, at)).collect(),
                    )
                }
                2 => {
                    let value = bench.rng.next() & 0xFFFF_FFFF;
                    let request = request(WRITE, at, Some(value));
                    assert_eq!(request.len(), 1 + WRITE_OPERANDS);
                    model.insert(at, value);
                    (request, vec![WRITE])
                }
                _ => {
                    let mut byte = bench.rng.below(256) as u8;
                    while [IDENTIFY, READ, WRITE].contains(&byte) {
                        byte = byte.wrapping_add(1);
                    }
                    (vec![byte], vec![UNKNOWN])
                }
            };
            let got = bench.ask(&request, wanted.len());
            assert_eq!(got, wanted, "request {n} {request:02x?}, seed {seed}");
        }
        assert_eq!(bench.registers, model, "seed {seed}");
    }
}

#[test]
fn a_request_that_is_cut_short_is_forgotten() {
    let mut bench = Bench::new(9, 0);
    let whole = request(WRITE, 8, Some(0x0102_0304));
    for length in 1..whole.len() {
        for byte in &whole[..length] {
            bench.step(Some(*byte));
        }
        for _ in 0..TIMEOUT + 2 {
            bench.step(None);
        }
        assert!(
            bench.answered.is_empty() && bench.writes.is_empty(),
            "{length} bytes"
        );
        assert_eq!(bench.ask(b"\0", 1), [UNKNOWN], "{length} bytes");
        bench.answered.clear();
    }
    // Just in time is in time.
    for byte in &whole {
        bench.step(Some(*byte));
        for _ in 0..TIMEOUT - 1 {
            bench.step(None);
        }
    }
    assert_eq!(bench.answered, [WRITE]);
    assert_eq!(bench.writes, [(8, 0x0102_0304)]);
}

#[test]
fn reset_in_every_state() {
    // Long enough to be before, in and after each part of a write and of an identification.
    for cycles in 0..40 {
        for whole in [request(WRITE, 12, Some(7)), vec![IDENTIFY]] {
            let mut bench = Bench::new(cycles, 100);
            let mut bytes = whole.iter();
            for _ in 0..cycles {
                let byte = bytes.next().copied();
                bench.step(byte);
            }
            bench.p.set("in_vld", 0);
            bench.p.reset("rst", 1);
            // The registers are reset with it.
            (bench.address, bench.data, bench.read) = (None, None, None);
            bench.registers.clear();
            let wanted: Vec<u8> = [READ]
                .into_iter()
                .chain((Bench::fresh(16) as u32).to_le_bytes())
                .collect();
            assert_eq!(
                bench.ask(&request(READ, 16, None), 5),
                wanted,
                "reset after {cycles} cycles"
            );
        }
    }
}
