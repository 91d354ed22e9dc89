//! The DMA alone: an endpoint with host memory on one side, card memory on the other, both written from the fact sheets.
//!
//! The endpoint answers requests of different tags in any order, in pieces cut at any multiple of the read completion boundary, with
//! random delays; it checks what it is sent: sizes, pages, tags, words that change while they wait. The card's bus is checked alike.
//! With [`Link`] both directions have the speed of a real link instead.

use sim_tb::pins::Pins;
use sim_tb::rng::Rng;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// `n` rounds of a random test, ten times as many in the long runs.
pub fn rounds(n: usize) -> usize {
    match std::env::var_os("ROUNDHOUSE_NIGHTLY") {
        Some(_) => 10 * n,
        None => n,
    }
}

/// Bytes by address; what was never written is noise made from the address.
#[derive(Default)]
pub struct Memory {
    pages: HashMap<u64, Box<[u8; 4096]>>,
    /// Where writes are expected: start and end. Anywhere else is a fault of the DMA.
    pub targets: BTreeMap<u64, u64>,
    /// Ranges whose accesses fail, and how.
    pub faults: Vec<(std::ops::Range<u64>, u64)>,
}

impl Memory {
    fn page(&mut self, addr: u64) -> &mut [u8; 4096] {
        let number = addr >> 12;
        self.pages.entry(number).or_insert_with(|| {
            let mut r = Rng::new(number ^ 0x5EED_0000_0000);
            let mut page = Box::new([0; 4096]);
            for chunk in page.chunks_mut(8) {
                chunk.copy_from_slice(&r.next().to_le_bytes());
            }
            page
        })
    }
    /// The byte at `addr`.
    pub fn byte(&mut self, addr: u64) -> u8 {
        self.page(addr)[addr as usize & 4095]
    }
    /// Writes without looking at `targets`.
    pub fn poke(&mut self, addr: u64, bytes: &[u8]) {
        for (i, b) in bytes.iter().enumerate() {
            self.page(addr + i as u64)[(addr as usize + i) & 4095] = *b;
        }
    }
    /// `n` bytes from `addr` on.
    pub fn peek(&mut self, addr: u64, n: usize) -> Vec<u8> {
        (0..n as u64).map(|i| self.byte(addr + i)).collect()
    }
    fn word(&mut self, addr: u64) -> u32 {
        u32::from_le_bytes(self.peek(addr, 4).try_into().unwrap())
    }
    fn store(&mut self, addr: u64, byte: u8, what: &str) {
        let target = self.targets.range(..=addr).next_back();
        assert!(
            target.is_some_and(|(_, end)| addr < *end),
            "{what} writes {addr:#x}, which is nobody's target"
        );
        self.page(addr)[addr as usize & 4095] = byte;
    }
    fn fault(&self, addr: u64, bytes: u64) -> u64 {
        (self.faults.iter())
            .find(|(range, _)| range.start < addr + bytes && addr < range.end)
            .map_or(0, |f| f.1)
    }
}

/// How unpleasant both sides are; chances of 256.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// The link or the card's bus is not ready.
    pub stall: u32,
    /// A beat is not offered.
    pub gap: u32,
    /// A completion is cut at a boundary.
    pub split: u32,
    /// Least cycles from request to completion, and from address to data.
    pub latency: u64,
    /// Up to this many more.
    pub jitter: u64,
}

impl Manners {
    /// Something different each time.
    pub fn rough(rng: &mut Rng) -> Manners {
        Manners {
            stall: rng.below(160) as u32,
            gap: rng.below(160) as u32,
            split: rng.below(256) as u32,
            latency: 1 + rng.below(60),
            jitter: rng.below(200),
        }
    }
}

/// A link of `rate` bytes per cycle in each direction, and a host that answers after `round_trip` cycles.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Bytes per cycle.
    pub rate: f64,
    /// Cycles from the end of a request to the beginning of its completion.
    pub round_trip: u64,
}

/// Bytes of framing, sequence number, LCRC and a header of three or four words.
fn overhead(addr: u64) -> f64 {
    if addr >> 32 == 0 {
        20.0
    } else {
        24.0
    }
}

struct Piece {
    words: VecDeque<u32>,
    last: bool,
    error: u64,
}

struct Request {
    due: u64,
    pieces: VecDeque<Piece>,
    // Pieces that are on the link.
    flying: usize,
}

struct Burst {
    addr: u64,
    left: u64,
    due: u64,
}

/// A packet of the link that is being written.
struct Packet {
    addr: u64,
    bytes: u64,
    data: Vec<u8>,
}

/// A descriptor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Descriptor {
    /// Source.
    pub src: u64,
    /// Destination.
    pub dst: u64,
    /// Bytes.
    pub length: u32,
    /// Flags and magic; 0 means the right magic and the flags that the list gives it.
    pub control: u32,
}

/// One direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Host to card.
    H2c,
    /// Card to host.
    C2h,
}

impl Direction {
    /// Its channel's registers.
    pub fn base(self) -> u32 {
        match self {
            Direction::H2c => abi::dma::H2C.base,
            Direction::C2h => abi::dma::C2H.base,
        }
    }
    /// Its descriptors' registers.
    pub fn sgdma(self) -> u32 {
        match self {
            Direction::H2c => abi::dma::H2C_SGDMA.base,
            Direction::C2h => abi::dma::C2H_SGDMA.base,
        }
    }
}

/// What has gone by, to be looked at.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Event {
    /// A memory write of this many bytes to this address was taken whole.
    Write(u64, u64),
    /// A message with this vector.
    Message(u64),
}

/// The DMA with both its sides.
pub struct Bench {
    /// Its pins.
    pub pins: Pins,
    /// Host memory.
    pub host: Memory,
    /// Card memory.
    pub card: Memory,
    /// Manners of both sides.
    pub manners: Manners,
    /// Speed of the link, if it is measured.
    pub link: Option<Link>,
    /// Bus master enable.
    pub bme: bool,
    /// 128 << `mps` bytes.
    pub mps: u32,
    /// 128 << `mrrs` bytes.
    pub mrrs: u32,
    /// The engine's interrupt.
    pub user: bool,
    /// The engine's DONE_COUNT.
    pub done_count: u16,
    /// Tails that were written to the engine, with their cycle.
    pub rings: Vec<(u64, u16)>,
    /// Function-level reset in the next cycle.
    pub flr: bool,
    /// Completions are held back.
    pub hold: bool,
    /// Writes and messages, in order, with their cycle.
    pub seen: Vec<(u64, Event)>,
    /// First and last cycle with payload, and its bytes: on the card's bus (H2C), on the link (C2H).
    pub span: [Option<(u64, u64)>; 2],
    /// Read requests taken.
    pub requests: u64,
    /// Most that were outstanding at a time.
    pub most: usize,
    rng: Rng,
    lanes: u64,
    access: Option<(bool, u32, u32)>,
    answer: Option<u32>,
    outstanding: HashMap<u64, Request>,
    sending: Option<u64>,
    offered: Option<(u64, usize, bool)>,
    packet: Option<Packet>,
    held: HashMap<&'static str, Vec<Vec<u32>>>,
    writes: VecDeque<(u64, u64)>,
    beats: VecDeque<([u8; 16], u64, bool)>,
    answers: VecDeque<(u64, u64)>,
    reads: VecDeque<Burst>,
    r_offer: Option<(u64, bool)>,
    b_offer: Option<u64>,
    up_free: f64,
    down_free: f64,
    // Tags whose next piece has arrived by then.
    down: VecDeque<(u64, u64)>,
}

fn number(words: &[u32]) -> u64 {
    words.iter().rev().fold(0, |n, w| n << 32 | u64::from(*w))
}

impl Bench {
    /// `unit` with a link of 64 or 128 bits.
    pub fn new(unit: &str, seed: u64, manners: Manners) -> Bench {
        let mut pins = Pins::new(unit).unwrap();
        pins.reset("rst", 3);
        let lanes = u64::from(pins.width("cp_data")) / 32;
        Bench {
            pins,
            host: Memory::default(),
            card: Memory::default(),
            manners,
            link: None,
            bme: true,
            mps: 0,
            mrrs: 2,
            user: false,
            done_count: 0,
            rings: Vec::new(),
            flr: false,
            hold: false,
            seen: Vec::new(),
            span: [None; 2],
            requests: 0,
            most: 0,
            rng: Rng::new(seed),
            lanes,
            access: None,
            answer: None,
            outstanding: HashMap::new(),
            sending: None,
            offered: None,
            packet: None,
            held: HashMap::new(),
            writes: VecDeque::new(),
            beats: VecDeque::new(),
            answers: VecDeque::new(),
            reads: VecDeque::new(),
            r_offer: None,
            b_offer: None,
            up_free: 0.0,
            down_free: 0.0,
            down: VecDeque::new(),
        }
    }

    fn set(&mut self, port: &str, value: u64) {
        self.pins.set(port, value);
    }

    /// A channel that the DMA drives: checks that an offer stays, and gives the fields when they move.
    fn watch(&mut self, name: &'static str, fields: &[&str], ready: bool) -> Option<Vec<Vec<u32>>> {
        let valid = self.pins.get(&format!("{name}_vld")) == 1;
        let cycle = self.pins.cycles();
        if !valid {
            let before = self.held.remove(name);
            // After a function-level reset what was not taken may be withdrawn.
            assert!(
                before.is_none() || !self.bme,
                "cycle {cycle}: {name}_vld fell before {name}_rdy"
            );
            return None;
        }
        let now: Vec<Vec<u32>> = fields
            .iter()
            .map(|f| self.pins.get_wide(&format!("{name}_{f}")))
            .collect();
        if let Some(before) = self.held.remove(name) {
            assert_eq!(before, now, "cycle {cycle}: {name} changed while it waited");
        }
        if ready {
            return Some(now);
        }
        self.held.insert(name, now);
        None
    }

    /// Whether nothing is outstanding on either side.
    pub fn is_quiet(&self) -> bool {
        self.outstanding.is_empty()
            && self.packet.is_none()
            && self.writes.is_empty()
            && self.beats.is_empty()
            && self.answers.is_empty()
            && self.reads.is_empty()
            && self.b_offer.is_none()
            && self.r_offer.is_none()
    }

    /// Completions of a request: cut where the standard allows and chance wants.
    fn completions(&mut self, addr: u64, bytes: u64) -> VecDeque<Piece> {
        let error = self.host.fault(addr, bytes);
        let end = addr + bytes;
        let largest = 128u64 << self.mps;
        let mut pieces = VecDeque::new();
        let mut at = addr;
        while at < end {
            let mut to = (at | (largest - 1)) + 1;
            let mut cut = (at | 63) + 1;
            while cut < to {
                if self.link.is_none() && self.rng.chance(self.manners.split) {
                    to = cut;
                }
                cut += 64;
            }
            to = to.min(end);
            let words = (at & !3..to)
                .step_by(4)
                .map(|a| self.host.word(a))
                .collect();
            pieces.push_back(Piece {
                words,
                last: to == end,
                error: 0,
            });
            at = to;
        }
        if error != 0 {
            // Some of it may have come before.
            let good = self.rng.below(pieces.len() as u64);
            pieces.truncate(good as usize);
            pieces.push_back(Piece {
                words: VecDeque::new(),
                last: true,
                error,
            });
        }
        pieces
    }

    fn drive(&mut self) -> [bool; 7] {
        let now = self.pins.cycles();
        let m = self.manners;
        let (bme, flr, user) = (self.bme, std::mem::take(&mut self.flr), self.user);
        self.set("bme", bme.into());
        self.set("flr", flr.into());
        self.set("usr_irq", user.into());
        self.set("done_count", self.done_count.into());
        let tail = self.link.is_some() || !self.rng.chance(m.stall);
        self.set("tail_rdy", tail.into());
        let (mps, mrrs) = (self.mps.into(), self.mrrs.into());
        self.set("mps", mps);
        self.set("mrrs", mrrs);

        let (write, addr, data) = self.access.unwrap_or((true, 0x4, !0));
        let vld = self.access.is_some();
        self.set("rg_vld", vld.into());
        self.set("rg_write", write.into());
        self.set("rg_addr", addr.into());
        self.set("rg_data", data.into());
        self.set("rg_be", 15);

        // Up: bus master off stops what has not begun.
        let free = self.link.is_none() || now as f64 >= self.up_free;
        let rq = self.bme && free && (self.link.is_some() || !self.rng.chance(m.stall));
        let begun = self.packet.is_some();
        let wr = (begun
            || (self.bme && free && !(self.link.is_some() && self.pins.get("rq_vld") == 1)))
            && (self.link.is_some() || !self.rng.chance(m.stall));
        let ms = self.bme && !self.rng.chance(m.stall);
        self.set("rq_rdy", rq.into());
        self.set("wr_rdy", wr.into());
        self.set("ms_rdy", ms.into());

        // Down: the next beat of the completion in hand, or of one that is chosen.
        self.offered = None;
        if let Some(link) = self.link {
            // A piece at a time, oldest request first, at the link's speed.
            while self.down_free <= now as f64 {
                let next = (self.outstanding.iter_mut())
                    .filter(|(_, r)| r.due <= now && r.flying < r.pieces.len())
                    .min_by_key(|(_, r)| r.due);
                let Some((tag, request)) = next else {
                    break;
                };
                let words = request.pieces[request.flying].words.len();
                request.flying += 1;
                self.down_free =
                    self.down_free.max(now as f64 - 1.0) + (4.0 * words as f64 + 20.0) / link.rate;
                self.down.push_back((*tag, self.down_free.ceil() as u64));
            }
            if self.sending.is_none() && self.down.front().is_some_and(|d| d.1 <= now) {
                self.sending = self.down.pop_front().map(|d| d.0);
            }
        } else if self.sending.is_none() && !self.hold {
            let mut ready: Vec<u64> = (self.outstanding.iter())
                .filter(|(_, r)| r.due <= now)
                .map(|(tag, _)| *tag)
                .collect();
            ready.sort_unstable();
            if !ready.is_empty() {
                self.sending = Some(ready[self.rng.below(ready.len() as u64) as usize]);
            }
        }
        let mut words = vec![0; self.lanes as usize];
        let mut keep = 0;
        let (mut last, mut error) = (self.rng.chance(128), self.rng.below(32));
        let mut cp_tag = self.rng.below(20);
        let gap = self.link.is_none() && self.rng.chance(m.gap);
        if let Some(tag) = self.sending.filter(|_| !gap) {
            let piece = &self.outstanding[&tag].pieces[0];
            let n = piece.words.len().min(self.lanes as usize);
            for (i, w) in piece.words.iter().take(n).enumerate() {
                words[i] = *w;
                keep |= 1 << i;
            }
            let whole = n == piece.words.len();
            (last, error, cp_tag) = (piece.last && whole, piece.error, tag);
            self.offered = Some((tag, n, whole));
        } else {
            for w in &mut words {
                *w = self.rng.next() as u32;
            }
        }
        let vld = self.offered.is_some();
        self.set("cp_vld", vld.into());
        self.set("cp_tag", cp_tag);
        self.pins.set_wide("cp_data", &words);
        self.set("cp_keep", keep);
        self.set("cp_last", last.into());
        let error = if vld && !last { 0 } else { error };
        self.set("cp_error", error);

        // The card's bus.
        let calm = self.link.is_some();
        let aw = calm || !self.rng.chance(m.stall);
        let w = calm || !self.rng.chance(m.stall);
        let ar = calm || !self.rng.chance(m.stall);
        self.set("aw_rdy", aw.into());
        self.set("w_rdy", w.into());
        self.set("ar_rdy", ar.into());
        if self.b_offer.is_none() && (calm || !self.rng.chance(m.gap)) {
            if let Some((resp, _)) = self.answers.front().filter(|a| a.1 <= now) {
                self.b_offer = Some(*resp);
            }
        }
        let vld = self.b_offer.is_some();
        let resp = self.b_offer.unwrap_or_else(|| self.rng.below(4));
        self.set("b_vld", vld.into());
        self.set("b_resp", resp);
        if self.r_offer.is_none() && (calm || !self.rng.chance(m.gap)) {
            if let Some(b) = self.reads.front().filter(|b| b.due <= now) {
                self.r_offer = Some((b.addr, b.left == 1));
            }
        }
        let vld = self.r_offer.is_some();
        self.set("r_vld", vld.into());
        let (data, resp, last) = match self.r_offer {
            Some((addr, last)) => {
                let words: Vec<u32> = (0..4).map(|i| self.card.word(addr + 4 * i)).collect();
                (words, self.card.fault(addr, 16), last)
            }
            None => {
                let n = self.rng.next();
                (vec![n as u32; 4], n >> 40 & 3, n >> 50 & 1 == 1)
            }
        };
        self.pins.set_wide("r_data", &data);
        self.set("r_resp", resp);
        self.set("r_last", last.into());
        [rq, wr, ms, aw, w, ar, tail]
    }

    fn sample(&mut self, ready: [bool; 7]) {
        let now = self.pins.cycles();
        let [rq, wr, ms, aw, w, ar, tail] = ready;
        if self.access.is_some() && self.pins.get("rg_rdy") == 1 {
            self.access = None;
        }
        if self.pins.get("rs_vld") == 1 {
            assert!(
                self.answer.is_none(),
                "cycle {now}: a read is answered twice"
            );
            self.answer = Some(self.pins.get("rs_data") as u32);
        }
        if self.pins.get("tail_vld") == 1 && tail {
            self.rings.push((now, self.pins.get("tail") as u16));
        }

        if let Some(f) = self.watch("rq", &["addr", "bytes", "tag"], rq) {
            let (addr, bytes, tag) = (number(&f[0]), number(&f[1]), number(&f[2]));
            assert!(
                bytes >= 1 && bytes <= 128 << self.mrrs,
                "cycle {now}: a request of {bytes} bytes"
            );
            assert_eq!(
                addr >> 12,
                (addr + bytes - 1) >> 12,
                "cycle {now}: a request of {bytes} bytes at {addr:#x} crosses a page"
            );
            assert!(tag < 32, "cycle {now}: tag {tag}");
            let pieces = self.completions(addr, bytes);
            let mut due = now + 1 + self.manners.latency + self.rng.below(self.manners.jitter + 1);
            if let Some(link) = self.link {
                self.up_free = self.up_free.max(now as f64 - 1.0) + overhead(addr) / link.rate;
                due = self.up_free as u64 + link.round_trip;
            }
            let old = self.outstanding.insert(
                tag,
                Request {
                    due,
                    pieces,
                    flying: 0,
                },
            );
            assert!(old.is_none(), "cycle {now}: tag {tag} is outstanding");
            self.requests += 1;
            self.most = self.most.max(self.outstanding.len());
        }
        if let Some((tag, n, whole)) = self.offered.take() {
            let request = self.outstanding.get_mut(&tag).unwrap();
            request.pieces[0].words.drain(..n);
            if whole {
                let last = request.pieces.pop_front().unwrap().last;
                request.flying = request.flying.saturating_sub(1);
                self.sending = None;
                if last {
                    self.outstanding.remove(&tag);
                } else if self.link.is_none() {
                    request.due = now + self.rng.below(self.manners.jitter + 1);
                }
            }
        }

        // Address and bytes count with the first beat alone.
        let fields: &[&str] = match self.pins.get("wr_sop") {
            1 => &["data", "eop", "addr", "bytes"],
            _ => &["data", "eop"],
        };
        if let Some(f) = self.watch("wr", fields, wr) {
            let eop = f[1][0] == 1;
            if f.len() == 4 {
                assert!(self.packet.is_none(), "cycle {now}: a packet in a packet");
                let (addr, bytes) = (number(&f[2]), number(&f[3]));
                assert!(
                    bytes >= 1 && bytes <= 128 << self.mps,
                    "cycle {now}: a write of {bytes} bytes"
                );
                assert_eq!(
                    addr >> 12,
                    (addr + bytes - 1) >> 12,
                    "cycle {now}: a write crosses a page"
                );
                let data = Vec::new();
                self.packet = Some(Packet { addr, bytes, data });
                if let Some(link) = self.link {
                    let size = bytes.next_multiple_of(4) as f64 + overhead(addr);
                    self.up_free = self.up_free.max(now as f64 - 1.0) + size / link.rate;
                }
                if bytes != 4 || self.link.is_none() {
                    self.span[1] = Some((self.span[1].map_or(now, |s| s.0), now));
                }
            }
            let packet = self.packet.as_mut().expect("a beat outside of a packet");
            for word in &f[0] {
                packet.data.extend(word.to_le_bytes());
            }
            let lead = packet.addr & 3;
            let beats = (lead + packet.bytes).div_ceil(4 * self.lanes);
            assert_eq!(
                eop,
                packet.data.len() as u64 == 4 * self.lanes * beats,
                "cycle {now}: {} bytes of a write of {} at {:#x}",
                packet.data.len(),
                packet.bytes,
                packet.addr
            );
            if eop {
                let p = self.packet.take().unwrap();
                for i in 0..p.bytes {
                    self.host
                        .store(p.addr + i, p.data[(lead + i) as usize], "the DMA");
                }
                self.seen.push((now, Event::Write(p.addr, p.bytes)));
                if p.bytes != 4 || self.link.is_none() {
                    self.span[1] = Some((self.span[1].map_or(now, |s| s.0), now));
                }
            }
        }
        if let Some(f) = self.watch("ms", &["vector"], ms) {
            self.seen.push((now, Event::Message(number(&f[0]))));
        }

        if let Some(f) = self.watch("aw", &["addr", "len"], aw) {
            let (addr, beats) = (number(&f[0]), number(&f[1]) + 1);
            assert!(
                addr % 16 == 0 && beats <= 64,
                "cycle {now}: {addr:#x} {beats}"
            );
            assert_eq!(
                addr >> 12,
                (addr + 16 * beats - 1) >> 12,
                "cycle {now}: a burst crosses 4 KiB"
            );
            self.writes.push_back((addr, beats));
        }
        if let Some(f) = self.watch("w", &["data", "strb", "last"], w) {
            let mut data = [0; 16];
            for (i, word) in f[0].iter().enumerate() {
                data[4 * i..4 * i + 4].copy_from_slice(&word.to_le_bytes());
            }
            self.beats.push_back((data, number(&f[1]), f[2][0] == 1));
            self.span[0] = Some((self.span[0].map_or(now, |s| s.0), now));
        }
        while let Some((addr, beats)) = self.writes.front().copied() {
            if (self.beats.len() as u64) < beats {
                break;
            }
            let fault = self.card.fault(addr, 16 * beats);
            for i in 0..beats {
                let (data, strb, last) = self.beats.pop_front().unwrap();
                assert_eq!(
                    last,
                    i + 1 == beats,
                    "cycle {now}: w_last of beat {i} of {beats}"
                );
                for (lane, byte) in data.iter().enumerate() {
                    if strb >> lane & 1 == 1 && fault == 0 {
                        let at = addr + 16 * i + lane as u64;
                        self.card.store(at, *byte, "the DMA");
                    }
                }
            }
            self.writes.pop_front();
            let due = now + 1 + self.manners.latency + self.rng.below(self.manners.jitter + 1);
            let due = due.max(self.answers.back().map_or(0, |a| a.1));
            self.answers.push_back((fault, due));
        }
        if self.b_offer.is_some() {
            assert_eq!(self.pins.get("b_rdy"), 1);
            self.b_offer = None;
            self.answers.pop_front();
        }
        if let Some(f) = self.watch("ar", &["addr", "len"], ar) {
            let (addr, beats) = (number(&f[0]), number(&f[1]) + 1);
            assert!(
                addr % 16 == 0 && beats <= 64,
                "cycle {now}: {addr:#x} {beats}"
            );
            assert_eq!(
                addr >> 12,
                (addr + 16 * beats - 1) >> 12,
                "cycle {now}: a burst crosses 4 KiB"
            );
            let due = now + 1 + self.manners.latency + self.rng.below(self.manners.jitter + 1);
            self.reads.push_back(Burst {
                addr,
                left: beats,
                due,
            });
        }
        if self.r_offer.is_some() && self.pins.get("r_rdy") == 1 {
            self.r_offer = None;
            let b = self.reads.front_mut().unwrap();
            b.addr += 16;
            b.left -= 1;
            if b.left == 0 {
                self.reads.pop_front();
            }
        }
    }

    /// One cycle.
    pub fn step(&mut self) {
        let ready = self.drive();
        self.pins.eval();
        self.sample(ready);
        self.pins.tick();
    }

    /// Writes a register; it has been written when this returns.
    pub fn write(&mut self, addr: u32, data: u32) {
        self.access = Some((true, addr, data));
        while self.access.is_some() {
            self.step();
        }
        for _ in 0..4 {
            self.step();
        }
    }

    /// Reads a register.
    pub fn read(&mut self, addr: u32) -> u32 {
        self.access = Some((false, addr, 0));
        for _ in 0..100 {
            self.step();
            if let Some(word) = self.answer.take() {
                return word;
            }
        }
        panic!("register {addr:#x} was not answered");
    }

    /// Steps until `done`; panics after `limit` cycles, saying what was waited for.
    pub fn until(&mut self, what: &str, limit: u64, mut done: impl FnMut(&mut Bench) -> bool) {
        let from = self.pins.cycles();
        while !done(self) {
            assert!(
                self.pins.cycles() < from + limit,
                "{what}: not within {limit} cycles; {} requests outstanding, {} writes, {} reads",
                self.outstanding.len(),
                self.writes.len(),
                self.reads.len()
            );
            self.step();
        }
    }

    /// Puts a list into host memory in blocks of adjacent descriptors, each beginning at one of `places` (every block ends with its page);
    /// the last one gets Stop, EOP and Completed, others `flags`. Gives the first address and its Nxt_adj.
    pub fn list(&mut self, list: &[Descriptor], places: &[(u64, usize)], flags: u32) -> (u64, u32) {
        // Address of each descriptor, and how many follow it in its block.
        let mut at = Vec::new();
        for (place, n) in places {
            for i in 0..*n {
                at.push((place + 32 * i as u64, n - 1 - i));
            }
        }
        assert!(at.len() >= list.len());
        let last = list.len() - 1;
        for (i, d) in list.iter().enumerate() {
            let (addr, _) = at[i];
            let mut control = d.control;
            if control == 0 {
                // How many follow the next one: none unless the next one has its place in the same block's rest.
                let adjacent = if i < last {
                    at[i + 1].1.min(last - i - 1) as u32
                } else {
                    0
                };
                let flags = if i == last { 0x13 } else { flags };
                control = 0xAD4B_0000 | adjacent << 8 | flags;
            }
            let next = if i < last { at[i + 1].0 } else { 0 };
            let mut bytes = Vec::new();
            bytes.extend(control.to_le_bytes());
            bytes.extend(d.length.to_le_bytes());
            bytes.extend(d.src.to_le_bytes());
            bytes.extend(d.dst.to_le_bytes());
            bytes.extend(next.to_le_bytes());
            self.host.poke(addr, &bytes);
        }
        (at[0].0, at[0].1.min(last) as u32)
    }

    /// Starts a list.
    pub fn start(&mut self, direction: Direction, first: (u64, u32), control: u32) {
        let sg = direction.sgdma();
        self.write(sg + 0x80, first.0 as u32);
        self.write(sg + 0x84, (first.0 >> 32) as u32);
        self.write(sg + 0x88, first.1);
        self.write(direction.base() + 4, control);
    }

    /// Messages so far.
    pub fn messages(&self) -> Vec<u64> {
        (self.seen.iter())
            .filter_map(|(_, e)| match e {
                Event::Message(v) => Some(*v),
                Event::Write(..) => None,
            })
            .collect()
    }
}
