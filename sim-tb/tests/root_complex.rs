//! The root complex model against a small card written in Rust at the level of packets: no RTL. The card checks what it is sent by
//! rules of its own (occupied buffers are counted, not compared modulo something), and breaks each rule that the model should notice.

use sim_tb::function::{Bar, Error, Fault, Function, Host, Progress};
use sim_tb::rng::Rng;
use sim_tb::root_complex::tlp::{Completion, Id, Request, Status, Tlp};
use sim_tb::root_complex::{Grants, Link, Manners, Pool, Received, RootComplex};
use std::collections::{BTreeMap, VecDeque};

const CARD: Id = Id(0x0100);
const DEVICE_CONTROL: usize = 0x48;
const MEMORY: u64 = 1 << 16;

/// What the card can be told to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sin {
    None,
    NoCredits,
    TagTwice,
    PageCrossed,
    ReadTooLong,
    WriteTooLong,
    NotMaster,
    ByteCount,
    LowerAddress,
    NobodyAsked,
    WrongMessage,
    OtherName,
    Silence,
    HighTag,
}

#[derive(Clone, Debug)]
enum Op {
    Read { at: u64, bytes: u64 },
    Write { at: u64, data: Vec<u8> },
    Interrupt(u32),
}

/// A read under way.
#[derive(Debug)]
struct Reading {
    at: u64,
    end: u64,
    next: u64,
    data: Vec<u8>,
}

struct Card {
    now: u64,
    rng: Rng,
    sin: Sin,
    config: Vec<u8>,
    bars: [Vec<u8>; 3],
    inbox: VecDeque<Vec<u32>>,
    /// Completions of the card and posted packets keep their order.
    outbox: VecDeque<Tlp>,
    ops: VecDeque<Op>,
    reads: BTreeMap<u8, Reading>,
    done: Vec<(u64, Vec<u8>)>,
    failed: Vec<u64>,
    most_reads: usize,
    grants: Grants,
    sent: [Pool; 3],
    /// Buffers for posted and non-posted: size, occupied, given back so far, when what leaves.
    size: [Pool; 2],
    occupied: [Pool; 2],
    returned: [Pool; 2],
    leaving: VecDeque<(u64, usize, Pool)>,
    messages: u32,
    retries: u32,
    rcb: u64,
}

impl Card {
    fn new(seed: u64, rcb: u64) -> Card {
        let mut rng = Rng::new(seed);
        let mut below = |n: u64| rng.below(n) as u32;
        let size = [
            Pool {
                headers: 1 + below(6),
                data: 4 + below(30),
            },
            Pool {
                headers: 1 + below(3),
                data: 1 + below(3),
            },
        ];
        let mut card = Card {
            now: 0,
            rng,
            sin: Sin::None,
            config: vec![0; 4096],
            bars: [vec![0; 4096], vec![0; 65536], vec![0; MEMORY as usize]],
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            ops: VecDeque::new(),
            reads: BTreeMap::new(),
            done: Vec::new(),
            failed: Vec::new(),
            most_reads: 0,
            grants: Grants::default(),
            sent: Default::default(),
            size,
            occupied: Default::default(),
            returned: Default::default(),
            leaving: VecDeque::new(),
            messages: 0,
            retries: 0,
            rcb,
        };
        card.power_on();
        card
    }

    fn power_on(&mut self) {
        self.config.fill(0);
        self.config[0..4].copy_from_slice(&[0xEE, 0x10, 0x11, 0x90]);
        self.config[6] = 0x10;
        self.config[0x34] = 0x40;
        self.config[0x40..0x42].copy_from_slice(&[0x10, 0x60]);
        self.config[0x49] = 0x20;
        self.config[0x60..0x64].copy_from_slice(&[0x11, 0, 31, 0]);
        self.config[0x64..0x68].copy_from_slice(&0x8001u32.to_le_bytes());
        self.config[0x68..0x6C].copy_from_slice(&0x8FE1u32.to_le_bytes());
        // The types of the BARs.
        self.config[0x18] = 0xC;
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.config[at..at + 4].try_into().unwrap())
    }
    fn bar(&self, n: usize) -> u64 {
        let low = u64::from(self.word(0x10 + 4 * n) & !15);
        match n {
            2 => low | u64::from(self.word(0x1C)) << 32,
            _ => low,
        }
    }
    fn max_payload(&self) -> u64 {
        128 << (self.word(DEVICE_CONTROL) >> 5 & 7)
    }
    fn max_read(&self) -> u64 {
        128 << (self.word(DEVICE_CONTROL) >> 12 & 7)
    }

    fn write_config(&mut self, at: usize, be: u8, data: u32) {
        let mask = match at {
            0x04 => 0x0406,
            0x10 => 0xFFFF_F000,
            0x14 => 0xFFFF_0000,
            0x18 => !(MEMORY as u32 - 1),
            0x1C | 0x3C => 0xFFFF_FFFF,
            DEVICE_CONTROL => 0x71E0 | 0x8000,
            0x60 => 0xC000_0000,
            _ => 0,
        };
        let old = self.word(at);
        let bytes = (0..4).fold(0, |m, b| m | ((u32::from(be) >> b & 1) * 0xFF) << (8 * b));
        let new = old & !(mask & bytes) | data & mask & bytes;
        self.config[at..at + 4].copy_from_slice(&new.to_le_bytes());
        if at == DEVICE_CONTROL && new & 0x8000 != 0 {
            let kept = new & 0xE0;
            self.power_on();
            let default = self.word(DEVICE_CONTROL) | kept;
            self.config[at..at + 4].copy_from_slice(&default.to_le_bytes());
            self.bars[1].fill(0);
            self.ops.clear();
            self.reads.clear();
            self.retries = 3;
        }
    }

    fn take(&mut self, words: &[u32]) {
        let tlp = Tlp::parse(words).unwrap();
        let class = match &tlp {
            Tlp::MemWrite { .. } | Tlp::Message { .. } => Some(0),
            Tlp::MemRead { .. } | Tlp::Config { .. } => Some(1),
            Tlp::Completion(_) => None,
        };
        if let Some(class) = class {
            // Bit 30 of the first word: with data; bit 29: four header words.
            let header = 3 + (words[0] >> 29 & 1);
            let payload = (words[0] >> 30 & 1) * (words.len() as u32 - header);
            let cost = Pool {
                headers: 1,
                data: payload.div_ceil(4),
            };
            let occupied = &mut self.occupied[class];
            occupied.headers += 1;
            occupied.data += cost.data;
            let size = self.size[class];
            assert!(occupied.headers <= size.headers, "headers of class {class}");
            assert!(occupied.data <= size.data, "data of class {class}");
            let leaves = self.now + self.rng.below(50);
            let leaves = self.leaving.back().map_or(leaves, |l| l.0.max(leaves));
            self.leaving.push_back((leaves, class, cost));
        }
        match tlp {
            Tlp::Config {
                request,
                target,
                offset,
                data,
            } => {
                assert_eq!(target, CARD);
                let at = offset as usize;
                let read = data.is_none();
                let retry = self.retries > 0;
                self.retries = self.retries.saturating_sub(1);
                if let (Some(data), false) = (data, retry) {
                    self.write_config(at, request.first_be, data);
                }
                let word = self.word(at);
                self.outbox.push_back(Tlp::Completion(Completion {
                    completer: CARD,
                    status: if retry {
                        Status::Retry
                    } else {
                        Status::Success
                    },
                    byte_count: 4,
                    requester: request.requester,
                    tag: request.tag,
                    lower_address: 0,
                    poisoned: false,
                    data: if read && !retry { vec![word] } else { vec![] },
                }));
            }
            Tlp::MemWrite {
                request,
                address,
                data,
            } => {
                assert!(4 * data.len() as u64 <= self.max_payload());
                let last = data.len() - 1;
                for (n, word) in data.iter().enumerate() {
                    let be = if n == 0 {
                        request.first_be
                    } else if n == last {
                        request.last_be
                    } else {
                        15
                    };
                    for (b, byte) in word.to_le_bytes().iter().enumerate() {
                        if be >> b & 1 == 1 {
                            if let Some(to) = self.at(address + (4 * n + b) as u64) {
                                *to = *byte;
                            }
                        }
                    }
                }
            }
            Tlp::MemRead {
                request,
                address,
                words,
            } => self.answer(request, address, words),
            Tlp::Completion(completion) => self.complete(completion),
            Tlp::Message { code, .. } => {
                assert_eq!(code, 0x50);
                self.messages += 1;
            }
        }
    }

    fn at(&mut self, address: u64) -> Option<&mut u8> {
        if self.word(0x04) & 2 == 0 {
            return None;
        }
        for n in 0..3 {
            let base = self.bar(n);
            if base != 0 && (base..base + self.bars[n].len() as u64).contains(&address) {
                return Some(&mut self.bars[n][(address - base) as usize]);
            }
        }
        None
    }

    fn answer(&mut self, request: Request, address: u64, words: u32) {
        let lead = u64::from(request.first_be.trailing_zeros());
        let last = if words == 1 {
            request.first_be
        } else {
            request.last_be
        };
        let bytes = 4 * u64::from(words) - lead - u64::from(last.leading_zeros() - 4);
        let mut completion = Completion {
            completer: CARD,
            status: Status::Success,
            byte_count: bytes as u32,
            requester: request.requester,
            tag: request.tag,
            lower_address: (address + lead) as u8 & 0x7F,
            poisoned: false,
            data: Vec::new(),
        };
        match self.sin {
            Sin::Silence => return,
            Sin::ByteCount => completion.byte_count += 1,
            Sin::LowerAddress => completion.lower_address ^= 4,
            Sin::OtherName => completion.completer = Id(0x0200),
            _ => {}
        }
        for n in 0..u64::from(words) {
            let word: [Option<u8>; 4] =
                std::array::from_fn(|b| self.at(address + 4 * n + b as u64).copied());
            match word {
                [Some(a), Some(b), Some(c), Some(d)] => {
                    completion.data.push(u32::from_le_bytes([a, b, c, d]));
                }
                _ => {
                    completion.status = Status::Unsupported;
                    completion.data.clear();
                    break;
                }
            }
        }
        self.outbox.push_back(Tlp::Completion(completion));
    }

    fn complete(&mut self, c: Completion) {
        let Some(reading) = self.reads.get_mut(&c.tag) else {
            panic!("a completion for tag {}, which is free", c.tag);
        };
        assert_eq!(c.requester, CARD);
        if c.status != Status::Success {
            assert!(c.data.is_empty());
            let reading = self.reads.remove(&c.tag).unwrap();
            return self.failed.push(reading.at);
        }
        assert_eq!(
            u64::from(c.byte_count % 4096),
            (reading.end - reading.next) % 4096
        );
        assert_eq!(u64::from(c.lower_address), reading.next % 128);
        let bytes: Vec<u8> = c.data.iter().flat_map(|w| w.to_le_bytes()).collect();
        let lead = (reading.next % 4) as usize;
        let n = (bytes.len() - lead).min((reading.end - reading.next) as usize);
        assert_eq!(bytes.len(), (lead + n).div_ceil(4) * 4);
        reading.data.extend(&bytes[lead..lead + n]);
        reading.next += n as u64;
        let (at, next, end) = (reading.at, reading.next, reading.end);
        assert!(bytes.len() as u64 <= self.max_payload());
        assert!(next == end || next % self.rcb == 0, "a cut at 0x{next:x}");
        if next == end {
            let reading = self.reads.remove(&c.tag).unwrap();
            self.done.push((at, reading.data));
        }
    }

    /// Starts an operation when the outbox has room: requests keep out of the way of completions.
    fn work(&mut self) {
        let master = self.word(0x04) & 4 != 0 || self.sin == Sin::NotMaster;
        if !master || self.outbox.len() > 3 {
            return;
        }
        let request = |tag: u8, at: u64, bytes: u64| {
            let (first_be, last_be, words) = sim_tb::root_complex::tlp::enables(at, bytes as usize);
            let request = Request {
                requester: CARD,
                tag,
                first_be,
                last_be,
            };
            (request, words)
        };
        let Some(op) = self.ops.front().cloned() else {
            return;
        };
        let tlp = match op {
            Op::Read { at, bytes } => {
                let tag = match self.sin {
                    Sin::TagTwice => 5,
                    Sin::HighTag => 40,
                    _ => {
                        let free = (0..32).find(|t| !self.reads.contains_key(t));
                        let Some(tag) = free else { return };
                        tag
                    }
                };
                let end = match self.sin {
                    Sin::ReadTooLong => at + self.max_read() + 4,
                    Sin::PageCrossed => 0x1004,
                    _ => at + bytes,
                };
                let (request, words) = request(tag, at, end - at);
                let data = Vec::new();
                self.reads.insert(
                    tag,
                    Reading {
                        at,
                        end,
                        next: at,
                        data,
                    },
                );
                self.most_reads = self.most_reads.max(self.reads.len());
                Tlp::MemRead {
                    request,
                    address: at & !3,
                    words,
                }
            }
            Op::Write { at, data } => {
                let data = match self.sin {
                    Sin::WriteTooLong => vec![0; self.max_payload() as usize + 4],
                    _ => data,
                };
                let (request, words) = request(0, at, data.len() as u64);
                let mut padded = vec![0; 4 * words as usize];
                padded[at as usize % 4..][..data.len()].copy_from_slice(&data);
                let words = padded
                    .chunks(4)
                    .map(|w| u32::from_le_bytes(w.try_into().unwrap()));
                Tlp::MemWrite {
                    request,
                    address: at & !3,
                    data: words.collect(),
                }
            }
            Op::Interrupt(vector) => {
                let entry = 0x8000 + 16 * vector as usize;
                let word = |n: usize| {
                    let at = entry + 4 * n;
                    u32::from_le_bytes(self.bars[1][at..at + 4].try_into().unwrap())
                };
                assert_eq!((self.word(0x60) >> 31, word(3)), (1, 0));
                let data = word(2) + u32::from(self.sin == Sin::WrongMessage);
                Tlp::MemWrite {
                    request: request(0, 0, 4).0,
                    address: u64::from(word(1)) << 32 | u64::from(word(0)),
                    data: vec![data],
                }
            }
        };
        self.ops.pop_front();
        self.outbox.push_back(tlp);
    }

    fn transmit(&mut self) -> Option<Received> {
        let tlp = self.outbox.front()?;
        let words = tlp.to_words();
        let (class, limit) = match tlp {
            Tlp::MemWrite { .. } | Tlp::Message { .. } => (0, self.grants.posted),
            Tlp::MemRead { .. } | Tlp::Config { .. } => (1, self.grants.non_posted),
            Tlp::Completion(_) => (2, self.grants.completion),
        };
        let data = (tlp.payload() as u32).div_ceil(4);
        if let (Some(limit), true) = (limit, self.sin != Sin::NoCredits) {
            // Cumulative and never half a turn apart, so differences are small numbers.
            let headers = (limit.headers.wrapping_sub(self.sent[class].headers)) % 256;
            let room = (limit.data.wrapping_sub(self.sent[class].data)) % 4096;
            if headers == 0 || headers > 128 || room < data || room > 2048 {
                return None;
            }
        }
        self.sent[class].headers = (self.sent[class].headers + 1) % 256;
        self.sent[class].data = (self.sent[class].data + data) % 4096;
        self.outbox.pop_front();
        Some(Received {
            words,
            first: self.now,
            cycle: self.now,
            granted: self.grants,
        })
    }
}

impl Link for Card {
    fn now(&self) -> u64 {
        self.now
    }
    fn send(&mut self, words: &[u32]) {
        self.inbox.push_back(words.to_vec());
    }
    fn queued(&self) -> usize {
        self.inbox.iter().map(Vec::len).sum()
    }
    fn grant(&mut self, grants: &Grants) {
        self.grants = *grants;
    }
    fn granted(&self) -> Grants {
        let pool = |n: usize| {
            Some(Pool {
                headers: (self.size[n].headers + self.returned[n].headers) % 256,
                data: (self.size[n].data + self.returned[n].data) % 4096,
            })
        };
        Grants {
            posted: pool(0),
            non_posted: pool(1),
            completion: None,
        }
    }
    fn run(&mut self, cycle: u64) -> Result<Option<Received>, Error> {
        while self.now < cycle {
            self.now += 1;
            while self.leaving.front().is_some_and(|l| l.0 <= self.now) {
                let (_, class, cost) = self.leaving.pop_front().unwrap();
                self.occupied[class].headers -= cost.headers;
                self.occupied[class].data -= cost.data;
                self.returned[class].headers += cost.headers;
                self.returned[class].data += cost.data;
            }
            if self.rng.chance(60) {
                if let Some(words) = self.inbox.pop_front() {
                    self.take(&words);
                }
            }
            if self.rng.chance(40) {
                self.work();
            }
            if self.rng.chance(100) {
                if let Some(received) = self.transmit() {
                    return Ok(Some(received));
                }
            }
        }
        Ok(None)
    }
    fn active(&self) -> u64 {
        self.now
    }
    fn reset(&mut self, grants: &Grants) {
        let (seed, rcb, bars) = (self.rng.next(), self.rcb, std::mem::take(&mut self.bars));
        let old = (self.now, self.sin, self.messages);
        *self = Card::new(seed, rcb);
        (self.now, self.sin, self.messages) = old;
        self.grants = *grants;
        // Memory stays.
        self.bars[2] = bars.into_iter().nth(2).unwrap();
    }
}

/// Memory from 4 GiB - 64 KiB to 4 GiB + 64 KiB, so that both lengths of header occur; with a hole.
struct Memory {
    bytes: Vec<u8>,
    interrupts: Vec<u32>,
    /// Looked at when an interrupt comes: it must have been written.
    flag: usize,
    flags: Vec<u8>,
}

const BASE: u64 = (4 << 30) - (1 << 16);
const HOLE: std::ops::Range<u64> = BASE + 0x1_8000..BASE + 0x1_9000;

impl Memory {
    fn new(seed: u64) -> Memory {
        let mut rng = Rng::new(seed);
        Memory {
            bytes: (0..1 << 17).map(|_| rng.next() as u8).collect(),
            interrupts: Vec::new(),
            flag: 0,
            flags: Vec::new(),
        }
    }
    fn part(&mut self, iova: u64, bytes: usize, write: bool) -> Result<&mut [u8], Fault> {
        let fault = Fault { iova, bytes, write };
        if iova < HOLE.end && iova + bytes as u64 > HOLE.start {
            return Err(fault);
        }
        let at = iova.checked_sub(BASE).ok_or(fault)? as usize;
        self.bytes.get_mut(at..at + bytes).ok_or(fault)
    }
}

impl Host for Memory {
    fn read(&mut self, iova: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        bytes.copy_from_slice(self.part(iova, bytes.len(), false)?);
        Ok(())
    }
    fn write(&mut self, iova: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.part(iova, bytes.len(), true)?.copy_from_slice(bytes);
        Ok(())
    }
    fn interrupt(&mut self, vector: u32) {
        self.interrupts.push(vector);
        self.flags.push(self.bytes[self.flag]);
    }
}

type Root = RootComplex<Card>;

fn open(manners: Manners) -> Root {
    let card = Card::new(manners.seed, manners.read_completion_boundary.into());
    RootComplex::new(card, manners).unwrap()
}

/// Enabled as a driver does it.
fn enable(root: &mut Root, host: &mut Memory) {
    root.config_write(host, 4, &[6, 0]).unwrap();
    root.enable_interrupts(host, true).unwrap();
}

fn finish(root: &mut Root, host: &mut Memory) {
    for _ in 0..100_000 {
        let card = root.link();
        if card.ops.is_empty() && card.reads.is_empty() && card.outbox.is_empty() {
            return;
        }
        assert_eq!(root.run(host).unwrap(), Progress::Busy);
    }
    panic!("the card does not come to an end");
}

#[test]
fn a_function_is_found_and_set_up() {
    let mut root = open(Manners::calm(1));
    let host = &mut Memory::new(1);
    let bar = |size, wide, prefetchable| {
        Some(Bar {
            size,
            wide,
            prefetchable,
        })
    };
    let bars = [
        bar(4096, false, false),
        bar(65536, false, false),
        bar(MEMORY, true, true),
    ];
    assert_eq!(root.bars()[..3], bars);
    assert_eq!(root.vectors(), 32);
    assert_eq!(root.msix_area(), (1, [0x8000..0x8200, 0x8FE0..0x8FE8]));
    assert_eq!(root.link().messages, 1);
    // MPS 256, MRRS 512, extended tags.
    assert_eq!(root.link().word(DEVICE_CONTROL) & 0x71E0, 0x2120);
    let mut id = [0; 8];
    root.config_read(host, 1, &mut id[..7]).unwrap();
    assert_eq!(id[..3], [0x10, 0x11, 0x90]);
    // Memory is off: ones.
    let mut word = [0; 4];
    root.bar_read(host, 0, 0, &mut word).unwrap();
    assert_eq!(word, [0xFF; 4]);
    enable(&mut root, host);
    for (bar, space) in [(0, 4096), (2, MEMORY)] {
        for bytes in [1usize, 2, 3, 4, 5, 8, 16, 64, 100, 1000] {
            for at in [0, 1, 3, 4, 7, 61, 2000] {
                let data: Vec<u8> = (0..bytes).map(|n| (n * 3 + at + bytes) as u8).collect();
                root.bar_write(host, bar, at as u64, &data).unwrap();
                let mut back = vec![0; bytes];
                root.bar_read(host, bar, at as u64, &mut back).unwrap();
                assert_eq!(back, data, "BAR{bar} {bytes} at {at}");
            }
        }
        let e = root.bar_read(host, bar, space - 2, &mut word).unwrap_err();
        assert!(e.to_string().contains("leaves it"), "{e}");
    }
    assert!(root.bar_read(host, 3, 0, &mut word).is_err());
    assert!(root.config_read(host, 4094, &mut word).is_err());
}

#[test]
fn resets_leave_a_function_that_is_set_up() {
    let mut root = open(Manners::stormy(3));
    let host = &mut Memory::new(1);
    enable(&mut root, host);
    root.bar_write(host, 2, 100, b"stays").unwrap();
    for slot in [false, true] {
        match slot {
            true => root.reset(host).unwrap(),
            false => root
                .config_write(host, DEVICE_CONTROL + 1, &[0xA0])
                .unwrap(),
        }
        let mut command = [7; 2];
        root.config_read(host, 4, &mut command).unwrap();
        assert_eq!(command, [0, 0]);
        root.config_write(host, 4, &[6, 0]).unwrap();
        let mut back = [0; 5];
        root.bar_read(host, 2, 100, &mut back).unwrap();
        assert_eq!(&back, b"stays");
        // Vectors were programmed again.
        root.link_mut().ops.push_back(Op::Interrupt(9));
        finish(&mut root, host);
        assert_eq!(host.interrupts.pop(), Some(9));
    }
    root.enable_interrupts(host, false).unwrap();
    assert_eq!(root.link().word(0x60) >> 31, 0);
}

/// Random traffic both ways at once.
fn traffic(manners: Manners, ops: u64) {
    let mut root = open(manners);
    let host = &mut Memory::new(manners.seed);
    let shadow = host.bytes.clone();
    enable(&mut root, host);
    let mut rng = Rng::new(manners.seed + 1);
    let (max_read, max_payload) = (manners.max_read.into(), manners.max_payload.into());
    let mut written = shadow.clone();
    let mut reads = 0;
    let mut holes = 0;
    let mut model = root.link().bars[2].clone();
    for op in 0..ops {
        let most = if rng.chance(128) { max_read } else { 20 };
        // Reads from the upper half, which has the hole; writes to the lower.
        let at = BASE + 0x1_0000 + rng.below(0x1_0000 - most);
        let bytes = 1 + rng.below(most.min(4096 - at % 4096).min(max_read - 3));
        reads += 1;
        holes += u64::from(at < HOLE.end && at + bytes > HOLE.start);
        root.link_mut().ops.push_back(Op::Read { at, bytes });
        let most: u64 = if rng.chance(128) { max_payload } else { 20 };
        let at = rng.below(0x1_0000 - most);
        let n = 1 + rng.below(most.min(4096 - at % 4096).min(max_payload - 3));
        let data: Vec<u8> = (0..n).map(|_| rng.next() as u8).collect();
        written[at as usize..][..n as usize].copy_from_slice(&data);
        let at = BASE + at;
        root.link_mut().ops.push_back(Op::Write { at, data });
        if rng.chance(40) {
            root.link_mut().ops.push_back(Op::Interrupt(op as u32 % 32));
        }
        if rng.chance(60) {
            let at = rng.below(MEMORY - 300);
            let mut bytes: Vec<u8> = (0..1 + rng.below(300)).map(|_| rng.next() as u8).collect();
            root.bar_write(host, 2, at, &bytes).unwrap();
            model[at as usize..][..bytes.len()].copy_from_slice(&bytes);
            let at = rng.below(MEMORY - 300);
            root.bar_read(host, 2, at, &mut bytes).unwrap();
            assert_eq!(bytes, model[at as usize..][..bytes.len()], "{manners:?}");
        }
    }
    finish(&mut root, host);
    let card = root.link();
    assert_eq!(card.done.len() as u64 + holes, reads);
    assert_eq!(card.failed.len() as u64, holes);
    for (at, data) in &card.done {
        assert_eq!(data[..], shadow[(at - BASE) as usize..][..data.len()]);
    }
    assert!(host.bytes[..0x1_0000] == written[..0x1_0000]);
    assert!(host.bytes[0x1_0000..] == shadow[0x1_0000..]);
    assert_eq!(root.outstanding(), 0);
    assert_eq!(root.counts().interrupts, host.interrupts.len() as u64);
    assert!(card.most_reads > 1, "reads overlap");
}

#[test]
fn traffic_survives_everything_legal() {
    traffic(Manners::calm(1), 300);
    let seeds = if std::env::var_os("ROUNDHOUSE_NIGHTLY").is_some() {
        200
    } else {
        20
    };
    for seed in 0..seeds {
        traffic(Manners::stormy(seed), 300);
    }
}

#[test]
fn the_same_seed_gives_the_same_cycles() {
    let cycles = |seed| {
        let mut root = open(Manners::stormy(seed));
        let host = &mut Memory::new(1);
        enable(&mut root, host);
        for n in 0..100 {
            let at = BASE + 128 * n + n % 30;
            root.link_mut().ops.push_back(Op::Read { at, bytes: 90 });
        }
        finish(&mut root, host);
        (root.link().now, root.counts())
    };
    assert_eq!(cycles(5), cycles(5));
    assert_ne!(cycles(5), cycles(6));
}

#[test]
fn an_interrupt_comes_after_what_was_written_before_it() {
    let mut root = open(Manners::stormy(11));
    let host = &mut Memory::new(1);
    enable(&mut root, host);
    for n in 0..50u8 {
        let data = vec![n; 100];
        root.link_mut().ops.push_back(Op::Write { at: BASE, data });
        root.link_mut().ops.push_back(Op::Interrupt(n.into()));
        if n == 31 {
            break;
        }
    }
    finish(&mut root, host);
    assert_eq!(host.interrupts, (0..32).collect::<Vec<u32>>());
    assert_eq!(host.flags, (0..32).collect::<Vec<u8>>());
}

#[test]
fn every_sin_is_seen() {
    let read = Op::Read {
        at: BASE + 0x10,
        bytes: 8,
    };
    let write = Op::Write {
        at: BASE,
        data: vec![1; 64],
    };
    for (sin, text) in [
        (Sin::NoCredits, "without credits"),
        (Sin::TagTwice, "tag 5 is used again"),
        (Sin::PageCrossed, "4 KiB boundary"),
        (Sin::ReadTooLong, "the largest is 128 bytes"),
        (Sin::WriteTooLong, "the largest payload is 128"),
        (Sin::NotMaster, "bus mastering is disabled"),
        (Sin::ByteCount, "byte count 5, not 4"),
        (Sin::LowerAddress, "lower address 4, not 0"),
        (Sin::OtherName, "under another name"),
        (Sin::NobodyAsked, "which is not in use"),
        (Sin::WrongMessage, "no enabled vector has"),
        (
            Sin::Silence,
            "no completion for a read of 4 bytes at 0x80000000 within",
        ),
        (Sin::HighTag, "extended tags are disabled"),
    ] {
        let pool = Some(Pool {
            headers: 2,
            data: 9,
        });
        let mut root = open(Manners {
            latency: 2000,
            grants: Grants {
                posted: pool,
                non_posted: pool,
                completion: None,
            },
            credit_delay: 500,
            max_payload: 128,
            max_read: 128,
            ..Manners::calm(2)
        });
        let host = &mut Memory::new(1);
        enable(&mut root, host);
        match sin {
            Sin::NotMaster => root.config_write(host, 4, &[2, 0]).unwrap(),
            Sin::HighTag => root.config_write(host, DEVICE_CONTROL, &[0, 0]).unwrap(),
            _ => {}
        }
        let card = root.link_mut();
        card.sin = sin;
        let word = &mut [0; 4];
        let result = match sin {
            Sin::ByteCount | Sin::LowerAddress | Sin::OtherName | Sin::Silence => {
                root.bar_read(host, 0, 0, word)
            }
            _ => {
                match sin {
                    Sin::WrongMessage => card.ops.push_back(Op::Interrupt(1)),
                    Sin::NobodyAsked => card.outbox.push_back(Tlp::Completion(Completion {
                        completer: CARD,
                        status: Status::Success,
                        byte_count: 4,
                        requester: Id(0),
                        tag: 6,
                        lower_address: 0,
                        poisoned: false,
                        data: vec![0],
                    })),
                    Sin::WriteTooLong | Sin::NoCredits => card.ops.extend(vec![write.clone(); 9]),
                    Sin::PageCrossed => card.ops.push_back(Op::Read {
                        at: 0xFF8,
                        bytes: 8,
                    }),
                    _ => card.ops.extend(vec![read.clone(); 2]),
                }
                let end = root.link().now() + 20_000;
                root.run_until(host, end)
            }
        };
        let e = result.expect_err(&format!("{sin:?}")).to_string();
        assert!(e.contains(text) && e.starts_with("cycle "), "{sin:?}: {e}");
        // It stays broken until it is reset.
        assert_eq!(root.bar_read(host, 0, 0, word).unwrap_err().to_string(), e);
        root.link_mut().sin = Sin::None;
        root.reset(host).unwrap();
        root.bar_read(host, 0, 0, word).unwrap();
    }
}
