//! Transaction layer packets as the PCI Express Base Specification has them, and the world around an endpoint: a link with credits and
//! stalls, a host, a DMA, registers and card memory. Written from the specification; nothing here knows the RTL.

use sim_tb::pins::Pins;
use sim_tb::rng::Rng;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Requester ID of the host.
pub const HOST: u16 = 0x0001;
/// Bus, device and function under which the host configures the endpoint.
pub const ENDPOINT: u16 = 0x0508;

/// A TLP: its words, header first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlp(pub Vec<u32>);

impl Tlp {
    fn field(&self, word: usize, low: u32, bits: u32) -> u32 {
        self.0[word] >> low & ((1u64 << bits) - 1) as u32
    }
    /// Fmt.
    pub fn fmt(&self) -> u32 {
        self.field(0, 29, 3)
    }
    /// Type.
    pub fn kind(&self) -> u32 {
        self.field(0, 24, 5)
    }
    /// Has a payload.
    pub fn has_data(&self) -> bool {
        self.fmt() & 2 != 0
    }
    /// Words of the header.
    pub fn header_words(&self) -> usize {
        3 + (self.fmt() & 1) as usize
    }
    /// Length in words, as coded: 0 is 1024.
    pub fn length(&self) -> usize {
        match self.field(0, 0, 10) {
            0 => 1024,
            n => n as usize,
        }
    }
    /// Words of payload.
    pub fn payload_words(&self) -> usize {
        if self.has_data() {
            self.length()
        } else {
            0
        }
    }
    /// The payload.
    pub fn payload(&self) -> &[u32] {
        &self.0[self.header_words()..]
    }
    /// TLP digest.
    pub fn digest(&self) -> bool {
        self.field(0, 15, 1) == 1
    }
    /// Poisoned.
    pub fn poisoned(&self) -> bool {
        self.field(0, 14, 1) == 1
    }
    /// Traffic class and attributes, as one number.
    pub fn manners(&self) -> u32 {
        self.0[0] & 0x0074_3000
    }
    /// Tag of a request.
    pub fn tag(&self) -> u32 {
        self.field(1, 8, 8)
    }
    /// Requester of a request.
    pub fn requester(&self) -> u32 {
        self.0[1] >> 16
    }
    /// First and last byte enables.
    pub fn enables(&self) -> (u32, u32) {
        (self.field(1, 0, 4), self.field(1, 4, 4))
    }
    /// Address of a memory request.
    pub fn addr(&self) -> u64 {
        if self.header_words() == 4 {
            u64::from(self.0[2]) << 32 | u64::from(self.0[3] & !3)
        } else {
            u64::from(self.0[2] & !3)
        }
    }
    /// 0 posted, 1 non-posted, 2 completion.
    pub fn class(&self) -> usize {
        match self.kind() {
            0 if self.has_data() => 0,
            0x10..=0x17 => 0,
            0xA | 0xB => 2,
            _ => 1,
        }
    }
    /// Data credits: units of four words.
    pub fn credits(&self) -> u64 {
        self.payload_words().div_ceil(4) as u64
    }
    fn new(fmt: u32, kind: u32, length: usize, second: u32) -> Tlp {
        assert!((1..=1024).contains(&length));
        Tlp(vec![
            fmt << 29 | kind << 24 | (length as u32 & 1023),
            second,
        ])
    }
    fn address(mut self, addr: u64) -> Tlp {
        if self.header_words() == 4 {
            self.0.push((addr >> 32) as u32);
        }
        self.0.push(addr as u32 & !3);
        self
    }
    /// A memory read of `length` words. Four header words exactly above 4 GiB, as the specification demands.
    pub fn read(addr: u64, length: usize, (first, last): (u32, u32), tag: u32) -> Tlp {
        let fmt = u32::from(addr >> 32 != 0);
        let second = u32::from(HOST) << 16 | tag << 8 | last << 4 | first;
        Tlp::new(fmt, 0, length, second).address(addr)
    }
    /// A memory write.
    pub fn write(addr: u64, (first, last): (u32, u32), data: &[u32]) -> Tlp {
        let fmt = 2 + u32::from(addr >> 32 != 0);
        let second = u32::from(HOST) << 16 | last << 4 | first;
        let mut t = Tlp::new(fmt, 0, data.len(), second).address(addr);
        t.0.extend(data);
        t
    }
    /// A configuration request of type 0; with data it writes.
    pub fn config(id: u16, offset: u32, enables: u32, data: Option<u32>, tag: u32) -> Tlp {
        let fmt = if data.is_some() { 2 } else { 0 };
        let mut t = Tlp::new(fmt, 4, 1, u32::from(HOST) << 16 | tag << 8 | enables);
        t.0.push(u32::from(id) << 16 | offset & 0xFFC);
        t.0.extend(data);
        t
    }
    /// A completion to a request of the endpoint: `bytes` are left with this one, `low` is the lower address.
    pub fn completion(status: u32, bytes: usize, tag: u32, low: u32, data: &[u32]) -> Tlp {
        let fmt = if data.is_empty() { 0 } else { 2 };
        let word = u32::from(HOST) << 16 | status << 13 | (bytes as u32 & 0xFFF);
        let mut t = Tlp::new(fmt, 0xA, data.len().max(1), word);
        if data.is_empty() {
            t.0[0] &= !1023;
        }
        t.0.push(u32::from(ENDPOINT) << 16 | tag << 8 | low & 0x7F);
        t.0.extend(data);
        t
    }
    /// With traffic class and attributes at random.
    pub fn with_manners(mut self, rng: &mut Rng) -> Tlp {
        self.0[0] |= rng.next() as u32 & 0x0074_3000;
        self
    }
    /// With a digest behind it.
    pub fn with_digest(mut self, digest: u32) -> Tlp {
        self.0[0] |= 1 << 15;
        self.0.push(digest);
        self
    }
    /// Poisoned.
    pub fn with_poison(mut self) -> Tlp {
        self.0[0] |= 1 << 14;
        self
    }
}

/// Bytes that a read of `length` words with these enables asks for: offset of the first in its word, and how many up to the last.
pub fn extent(length: usize, (first, last): (u32, u32)) -> (usize, usize) {
    let bytes: Vec<usize> = (0..4 * length)
        .filter(|i| enabled(*i, length, (first, last)))
        .collect();
    match (bytes.first(), bytes.last()) {
        (Some(a), Some(b)) => (*a, b - a + 1),
        _ => (0, 1),
    }
}

/// Whether byte `i` of a request is enabled.
pub fn enabled(i: usize, length: usize, (first, last): (u32, u32)) -> bool {
    let be = match i / 4 {
        0 => first,
        w if w + 1 == length => last,
        _ => 15,
    };
    be >> (i % 4) & 1 == 1
}

/// Byte enables of a run of `bytes` bytes from `addr`, and its words.
pub fn run(addr: u64, bytes: usize) -> (usize, (u32, u32)) {
    let start = (addr & 3) as usize;
    let words = (start + bytes).div_ceil(4);
    let be = |w: usize| {
        (0..4)
            .filter(|b| (start..start + bytes).contains(&(4 * w + b)))
            .fold(0, |m, b| m | 1 << b)
    };
    (words, (be(0), if words > 1 { be(words - 1) } else { 0 }))
}

/// What the other side of the link can take: cumulative credits, as they were granted and as TLPs used them.
#[derive(Clone, Debug, Default)]
pub struct Credits {
    /// Granted headers and data by class.
    pub granted: [(u64, u64); 3],
    /// Used.
    pub used: [(u64, u64); 3],
    /// No limits at all.
    pub infinite: bool,
}

/// What a completion brought, or why not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Completion status.
    pub status: u32,
    /// Words that were asked for; lanes that were not enabled may hold anything.
    pub data: Vec<u32>,
    /// How many completions it took.
    pub parts: usize,
}

struct Asked {
    tlp: Tlp,
    left: usize,
    next: u64,
    answer: Answer,
}

/// The endpoint under test and everything around it.
pub struct World {
    /// The unit.
    pub pins: Pins,
    /// Random numbers of this run.
    pub rng: Rng,
    /// Cycles of 256 in which something stalls that may.
    pub stall: u32,
    words: usize,
    /// TLPs to send to the endpoint.
    pub to_endpoint: VecDeque<Tlp>,
    rx: Option<(Tlp, usize)>,
    rx_used: [(u64, u64); 2],
    tx: Vec<u32>,
    tx_held: Option<(Vec<u32>, u64, u64, u64)>,
    /// Everything that the endpoint sent, but completions to requests of `ask`.
    pub sent: Vec<Tlp>,
    /// Credits of the host's receiver.
    pub credits: Credits,
    /// Credits that come back per TLP: no more are granted when false.
    pub refill: bool,
    asked: HashMap<u32, Asked>,
    /// Finished answers, by tag.
    pub answers: HashMap<u32, Answer>,
    /// Max_Payload_Size in bytes.
    pub payload: usize,
    // DMA.
    /// Reads to request: address, bytes, tag.
    pub reads: VecDeque<(u64, usize, u32)>,
    read_on: bool,
    /// Writes: address and bytes.
    pub writes: VecDeque<(u64, Vec<u8>)>,
    write_beat: usize,
    write_on: bool,
    /// Vectors to raise.
    pub vectors: VecDeque<u32>,
    /// Tails that jobs want written to the engine.
    pub tails: VecDeque<u16>,
    /// Writes to the engine's registers: address, word, byte enables.
    pub engine_writes: Vec<(u64, u32, u64)>,
    /// Words that came back, by tag, and the error bits with `last`.
    pub got: BTreeMap<u32, Vec<u32>>,
    /// Tags that are over, with their errors.
    pub over: Vec<(u32, u32)>,
    // Behind the BARs.
    /// Engine registers.
    pub engine: Vec<u32>,
    /// DMA registers.
    pub dma: Vec<u32>,
    /// Reads of the engine's registers, by byte address.
    pub engine_reads: Vec<u64>,
    lite_aw: Option<u64>,
    lite_w: Option<(u32, u64)>,
    lite_b: bool,
    lite_r: Option<u32>,
    dma_answers: VecDeque<u32>,
    /// Card memory.
    pub card: HashMap<u64, u8>,
    card_aw: VecDeque<u64>,
    card_w: VecDeque<(Vec<u32>, u64)>,
    card_b: u32,
    card_r: VecDeque<u64>,
    /// The next reads behind the BARs fail.
    pub broken: bool,
    /// Cycles with `flr`.
    pub flr_cycles: u64,
    ready: HashMap<&'static str, bool>,
}

impl World {
    /// A world after reset, with the link up and credits without limit.
    pub fn new(unit: &str, seed: u64, stall: u32) -> World {
        let pins = Pins::new(unit).unwrap_or_else(|e| panic!("{e}"));
        let words = pins.width("rx_data") as usize / 32;
        let mut w = World {
            pins,
            rng: Rng::new(seed),
            stall,
            words,
            to_endpoint: VecDeque::new(),
            rx: None,
            rx_used: [(0, 0); 2],
            tx: Vec::new(),
            tx_held: None,
            sent: Vec::new(),
            credits: Credits {
                infinite: true,
                ..Credits::default()
            },
            refill: true,
            asked: HashMap::new(),
            answers: HashMap::new(),
            payload: 128,
            reads: VecDeque::new(),
            read_on: false,
            writes: VecDeque::new(),
            write_beat: 0,
            write_on: false,
            vectors: VecDeque::new(),
            tails: VecDeque::new(),
            engine_writes: Vec::new(),
            got: BTreeMap::new(),
            over: Vec::new(),
            engine: vec![0; 1024],
            dma: vec![0; 8192],
            engine_reads: Vec::new(),
            lite_aw: None,
            lite_w: None,
            lite_b: false,
            lite_r: None,
            dma_answers: VecDeque::new(),
            card: HashMap::new(),
            card_aw: VecDeque::new(),
            card_w: VecDeque::new(),
            card_b: 0,
            card_r: VecDeque::new(),
            broken: false,
            flr_cycles: 0,
            ready: HashMap::new(),
        };
        w.pins.set("link_up", 0);
        w.pins.reset("rst", 3);
        w.pins.set("link_up", 1);
        w
    }

    fn chance(&mut self) -> bool {
        let stall = self.stall;
        self.rng.chance(stall)
    }

    fn set_ready(&mut self, port: &'static str) {
        let ready = !self.chance();
        self.ready.insert(port, ready);
        self.pins.set(port, ready.into());
    }

    fn fires(&mut self, valid: &str, ready: &'static str) -> bool {
        self.ready[ready] && self.pins.get(valid) == 1
    }

    /// Whether the endpoint has room for `tlp`: what it advertised, less what was sent.
    fn has_credits(&mut self, tlp: &Tlp) -> bool {
        let (h, d) = match tlp.class() {
            0 => ("rxfc_ph", "rxfc_pd"),
            1 => ("rxfc_nph", "rxfc_npd"),
            _ => return true,
        };
        let used = self.rx_used[tlp.class()];
        let left_h = self.pins.get(h).wrapping_sub(used.0) & 0xFF;
        let left_d = self.pins.get(d).wrapping_sub(used.1) & 0xFFF;
        assert!(left_h < 128 && left_d < 2048, "credits were taken back");
        left_h >= 1 && left_d >= tlp.credits()
    }

    fn drive(&mut self) {
        // Received TLPs, within the endpoint's credits.
        if self.rx.is_none() && !self.to_endpoint.is_empty() && !self.chance() {
            let tlp = self.to_endpoint[0].clone();
            if self.has_credits(&tlp) {
                self.to_endpoint.pop_front();
                if tlp.class() < 2 {
                    let used = &mut self.rx_used[tlp.class()];
                    *used = (used.0 + 1, used.1 + tlp.credits());
                }
                self.rx = Some((tlp, 0));
            }
        }
        let n = self.words;
        let show = self.rx.is_some() && !self.chance();
        self.ready.insert("rx", show);
        self.pins.set("rx_vld", show.into());
        let mut beat = vec![self.rng.next() as u32; n];
        let (mut keep, mut sop, mut eop) = (self.rng.next() & ((1 << n) - 1), 1, 1);
        if let (true, Some((tlp, at))) = (show, &self.rx) {
            let part = &tlp.0[*at..tlp.0.len().min(at + n)];
            beat[..part.len()].copy_from_slice(part);
            keep = (1 << part.len()) - 1;
            sop = u64::from(*at == 0);
            eop = u64::from(at + n >= tlp.0.len());
        }
        self.pins.set_wide("rx_data", &beat);
        self.pins.set("rx_keep", keep);
        self.pins.set("rx_sop", sop);
        self.pins.set("rx_eop", eop);

        // The host's receiver.
        self.set_ready("tx_rdy");
        let c = &self.credits;
        let infinite = if c.infinite { 63 } else { 0 };
        let g = c.granted;
        self.pins.set("fc_inf", infinite);
        self.pins.set("fc_ph", g[0].0 & 0xFF);
        self.pins.set("fc_pd", g[0].1 & 0xFFF);
        self.pins.set("fc_nph", g[1].0 & 0xFF);
        self.pins.set("fc_npd", g[1].1 & 0xFFF);
        self.pins.set("fc_cplh", g[2].0 & 0xFF);
        self.pins.set("fc_cpld", g[2].1 & 0xFFF);

        // The DMA.
        self.read_on |= !self.reads.is_empty() && !self.chance();
        let (a, b, t) = match self.reads.front() {
            Some(r) if self.read_on => *r,
            _ => (self.rng.next(), 77, 3),
        };
        self.pins.set("rq_vld", self.read_on.into());
        self.pins.set("rq_addr", a);
        self.pins.set("rq_bytes", b as u64);
        self.pins.set("rq_tag", t.into());
        self.write_on |= !self.writes.is_empty() && !self.chance();
        self.pins.set("wr_vld", self.write_on.into());
        let (sop, at) = (self.write_beat == 0, 4 * n * self.write_beat);
        let mut beat = vec![self.rng.next() as u32; n];
        let (mut addr, mut bytes) = (self.rng.next(), self.rng.below(4096));
        if self.write_on {
            let (a, data) = self.writes[0].clone();
            let lead = (a & 3) as usize;
            for (i, word) in beat.iter_mut().enumerate() {
                for b in 0..4 {
                    let k = at + 4 * i + b;
                    if k >= lead && k - lead < data.len() {
                        *word = *word & !(255 << (8 * b)) | u32::from(data[k - lead]) << (8 * b);
                    }
                }
            }
            if sop {
                (addr, bytes) = (a, data.len() as u64);
            }
        }
        self.pins.set("wr_sop", sop.into());
        self.pins.set("wr_addr", addr);
        self.pins.set("wr_bytes", bytes);
        self.pins.set_wide("wr_data", &beat);
        let vector = self.vectors.front().copied();
        let raise = vector.is_some() && !self.chance();
        self.ready.insert("ms", raise);
        self.pins.set("ms_vld", raise.into());
        self.pins.set("ms_vector", vector.unwrap_or(9).into());

        let tail = self.tails.front().copied();
        let noise = self.rng.next() as u16;
        self.pins.set("tail_vld", tail.is_some().into());
        self.pins.set("tail", tail.unwrap_or(noise).into());

        // Behind the BARs.
        for port in [
            "rg_rdy",
            "l_awready",
            "l_wready",
            "l_arready",
            "m_aw_rdy",
            "m_w_rdy",
            "m_ar_rdy",
        ] {
            self.set_ready(port);
        }
        let answer = !self.dma_answers.is_empty() && !self.chance();
        let word = if answer {
            self.dma_answers.pop_front()
        } else {
            None
        };
        self.pins.set("rs_vld", answer.into());
        let noise = self.rng.next() as u32;
        self.pins.set("rs_data", word.unwrap_or(noise).into());
        let b = self.lite_b && !self.chance();
        self.ready.insert("l_b", b);
        self.pins.set("l_bvalid", b.into());
        let r = self.lite_r.is_some() && !self.chance();
        self.ready.insert("l_r", r);
        self.pins.set("l_rvalid", r.into());
        self.pins
            .set("l_rdata", self.lite_r.unwrap_or(noise).into());
        self.pins.set("l_rresp", if self.broken { 2 } else { 0 });
        let b = self.card_b > 0 && !self.chance();
        self.ready.insert("m_b", b);
        self.pins.set("m_b_vld", b.into());
        let r = !self.card_r.is_empty() && !self.chance();
        self.ready.insert("m_r", r);
        self.pins.set("m_r_vld", r.into());
        let mut beat = vec![noise; 4];
        if r {
            let at = self.card_r[0];
            for (i, word) in beat.iter_mut().enumerate() {
                *word = self.card_word(at + 4 * i as u64);
            }
        }
        self.pins.set_wide("m_r_data", &beat);
        self.pins.set("m_r_resp", if self.broken { 3 } else { 0 });
    }

    /// A word of card memory.
    pub fn card_word(&self, addr: u64) -> u32 {
        (0..4).fold(0, |w, b| {
            w | u32::from(self.card.get(&(addr + b)).copied().unwrap_or(0)) << (8 * b)
        })
    }

    fn sample(&mut self) {
        let n = self.words;
        if self.ready["rx"] && self.pins.get("rx_rdy") == 1 {
            if let Some((tlp, at)) = &mut self.rx {
                *at += n;
                if *at >= tlp.0.len() {
                    self.rx = None;
                }
            }
        }

        // What the endpoint sends.
        let valid = self.pins.get("tx_vld") == 1;
        let now = (
            self.pins.get_wide("tx_data"),
            self.pins.get("tx_keep"),
            self.pins.get("tx_sop"),
            self.pins.get("tx_eop"),
        );
        if let Some(held) = self.tx_held.take() {
            assert!(valid, "tx_vld fell before tx_rdy");
            let same = held.1 == now.1 && (held.2, held.3) == (now.2, now.3);
            assert!(
                same && held.0[0] == now.0[0],
                "a beat changed before tx_rdy"
            );
        }
        if valid && !self.ready["tx_rdy"] {
            self.tx_held = Some(now);
        } else if valid {
            let (data, keep, sop, eop) = now;
            assert_eq!(sop == 1, self.tx.is_empty(), "tx_sop");
            let count = keep.trailing_ones() as usize;
            assert_eq!(keep, (1 << count) - 1, "tx_keep is not contiguous");
            assert!(count == n || (eop == 1 && count > 0), "a beat with holes");
            self.tx.extend(&data[..count]);
            if eop == 1 {
                let tlp = Tlp(std::mem::take(&mut self.tx));
                self.receive(tlp);
            }
        }

        // The DMA.
        if self.read_on && self.pins.get("rq_rdy") == 1 {
            self.reads.pop_front();
            self.read_on = false;
        }
        if self.write_on && self.pins.get("wr_rdy") == 1 {
            let (a, data) = &self.writes[0];
            let words = run(*a, data.len()).0;
            self.write_beat += 1;
            if self.write_beat * n >= words {
                self.write_beat = 0;
                self.write_on = false;
                self.writes.pop_front();
            }
        }
        if self.ready["ms"] && self.pins.get("ms_rdy") == 1 {
            self.vectors.pop_front();
        }
        if self.pins.get("cp_vld") == 1 {
            let tag = self.pins.get("cp_tag") as u32;
            let keep = self.pins.get("cp_keep");
            let data = self.pins.get_wide("cp_data");
            let count = keep.trailing_ones() as usize;
            assert_eq!(keep, (1 << count) - 1, "cp_keep is not contiguous");
            self.got.entry(tag).or_default().extend(&data[..count]);
            if self.pins.get("cp_last") == 1 {
                let error = self.pins.get("cp_error") as u32;
                self.over.push((tag, error));
            }
        }
        self.flr_cycles += self.pins.get("flr");

        if !self.tails.is_empty() && self.pins.get("tail_rdy") == 1 {
            self.tails.pop_front();
        }

        // DMA registers.
        if self.fires("rg_vld", "rg_rdy") {
            let at = self.pins.get("rg_addr") as usize / 4;
            assert!(
                !(0x2000..0x2400).contains(&at),
                "the MSI-X table reached the DMA"
            );
            if self.pins.get("rg_write") == 1 {
                let be = self.pins.get("rg_be") as u32;
                let data = self.pins.get("rg_data") as u32;
                self.dma[at] = merge(self.dma[at], data, be);
            } else {
                self.dma_answers.push_back(self.dma[at]);
            }
        }
        // Engine registers.
        if self.fires("l_awvalid", "l_awready") {
            assert!(self.lite_aw.is_none());
            self.lite_aw = Some(self.pins.get("l_awaddr"));
        }
        if self.fires("l_wvalid", "l_wready") {
            assert!(self.lite_w.is_none());
            self.lite_w = Some((self.pins.get("l_wdata") as u32, self.pins.get("l_wstrb")));
        }
        if self.ready["l_b"] {
            self.lite_b = false;
        }
        if let (Some(a), Some((data, be))) = (self.lite_aw, self.lite_w) {
            let at = a as usize / 4;
            self.engine[at] = merge(self.engine[at], data, be as u32);
            self.engine_writes.push((a, data, be));
            (self.lite_aw, self.lite_w, self.lite_b) = (None, None, true);
        }
        if self.ready["l_r"] {
            self.lite_r = None;
        }
        if self.fires("l_arvalid", "l_arready") {
            let at = self.pins.get("l_araddr");
            self.engine_reads.push(at);
            self.lite_r = Some(self.engine[at as usize / 4]);
        }
        // Card memory. Writes land when they are answered, so a read that does not wait for that is found out.
        if self.fires("m_aw_vld", "m_aw_rdy") {
            let a = self.pins.get("m_aw_addr");
            assert_eq!(a % 16, 0);
            self.card_aw.push_back(a);
        }
        if self.fires("m_w_vld", "m_w_rdy") {
            let w = (self.pins.get_wide("m_w_data"), self.pins.get("m_w_strb"));
            self.card_w.push_back(w);
        }
        if self.ready["m_b"] {
            self.card_b -= 1;
        }
        if !self.card_aw.is_empty() && !self.card_w.is_empty() && !self.chance() {
            let (a, (data, strb)) = (
                self.card_aw.pop_front().unwrap(),
                self.card_w.pop_front().unwrap(),
            );
            for i in (0..16).filter(|i| strb >> i & 1 == 1) {
                let byte = (data[i / 4] >> (8 * (i % 4))) as u8;
                self.card.insert(a + i as u64, byte);
            }
            self.card_b += 1;
        }
        if self.ready["m_r"] {
            self.card_r.pop_front();
        }
        if self.fires("m_ar_vld", "m_ar_rdy") {
            self.card_r.push_back(self.pins.get("m_ar_addr"));
        }
    }

    /// One cycle.
    pub fn step(&mut self) {
        if self.pins.cycles() > 1_000_000 {
            let asked: Vec<&Tlp> = self.asked.values().map(|a| &a.tlp).collect();
            panic!(
                "the bench hangs: to send {:x?}, asked {asked:x?}, reads {:x?}, writes {}",
                self.to_endpoint,
                self.reads,
                self.writes.len()
            );
        }
        self.drive();
        self.pins.eval();
        self.sample();
        self.pins.tick();
    }

    /// Sends a TLP whatever the credits say, and waits until it is in.
    pub fn force(&mut self, tlp: Tlp) {
        assert!(self.rx.is_none());
        self.rx = Some((tlp, 0));
        while self.rx.is_some() {
            self.step();
        }
    }

    /// The link was down: both sides count credits from zero.
    pub fn restart_credits(&mut self) {
        self.rx_used = [(0, 0); 2];
        self.credits.used = Default::default();
    }

    /// The DMA was reset: what it offers is withdrawn.
    pub fn withdraw_writes(&mut self) {
        self.writes.clear();
        (self.write_on, self.write_beat) = (false, 0);
    }

    /// Answers every read of the DMA that was sent with an unsupported request.
    pub fn forget_reads(&mut self) {
        for tlp in std::mem::take(&mut self.sent) {
            if tlp.class() == 1 {
                let (_, bytes) = extent(tlp.length(), tlp.enables());
                self.to_endpoint
                    .push_back(Tlp::completion(1, bytes, tlp.tag(), 0, &[]));
            }
        }
        self.settle();
        self.over.clear();
        self.got.clear();
    }

    /// Some cycles.
    pub fn steps(&mut self, n: usize) {
        for _ in 0..n {
            self.step();
        }
    }

    /// Until everything asked for is answered and nothing is left to send; then some cycles more.
    pub fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 120 {
            self.step();
            let busy = !self.to_endpoint.is_empty()
                || self.rx.is_some()
                || !self.asked.is_empty()
                || !self.writes.is_empty()
                || !self.reads.is_empty()
                || !self.tx.is_empty()
                || !self.vectors.is_empty();
            quiet = if busy { 0 } else { quiet + 1 };
        }
    }

    /// A TLP of the endpoint: its form, its credits, whom it concerns.
    fn receive(&mut self, tlp: Tlp) {
        let words = tlp.header_words() + tlp.payload_words();
        assert_eq!(tlp.0.len(), words, "length of {tlp:x?}");
        assert!(!tlp.digest() && !tlp.poisoned(), "{tlp:x?}");
        assert!(
            tlp.payload_words() <= self.payload / 4,
            "payload of {tlp:x?}"
        );
        let c = tlp.class();
        let used = &mut self.credits.used[c];
        *used = (used.0 + 1, used.1 + tlp.credits());
        if !self.credits.infinite {
            let (used, granted) = (self.credits.used[c], self.credits.granted[c]);
            assert!(
                used.0 <= granted.0 && used.1 <= granted.1,
                "credits of class {c}: {used:?} of {granted:?}"
            );
            if self.refill {
                self.credits.granted[c] = (granted.0 + 1, granted.1 + tlp.credits());
            }
        }
        if c == 2 {
            self.completed(&tlp);
        } else {
            if tlp.kind() == 0 {
                check_request(&tlp);
            }
            self.sent.push(tlp);
        }
    }

    /// Sends a request and waits for nothing; its tag is free until `answers` has it.
    pub fn ask(&mut self, tlp: Tlp) {
        let (skip, bytes) = match tlp.kind() {
            0 => extent(tlp.length(), tlp.enables()),
            _ => (0, 4),
        };
        let next = if tlp.kind() == 0 {
            tlp.addr() + skip as u64
        } else {
            0
        };
        let asked = Asked {
            left: bytes,
            next,
            answer: Answer::default(),
            tlp: tlp.clone(),
        };
        assert!(self.asked.insert(tlp.tag(), asked).is_none(), "tag in use");
        self.to_endpoint.push_back(tlp);
    }

    /// Sends a request and waits for its answer.
    pub fn wait(&mut self, tlp: Tlp) -> Answer {
        let tag = tlp.tag();
        self.ask(tlp);
        loop {
            self.step();
            if let Some(answer) = self.answers.remove(&tag) {
                return answer;
            }
        }
    }

    /// A completion: everything in it must be as the request and the specification want it.
    fn completed(&mut self, tlp: &Tlp) {
        let tag = tlp.0[2] >> 8 & 0xFF;
        let payload = self.payload;
        let mut a = self
            .asked
            .remove(&tag)
            .unwrap_or_else(|| panic!("nobody waits for {tlp:x?}"));
        let locked = a.tlp.kind() == 1;
        assert_eq!(tlp.kind(), if locked { 0xB } else { 0xA });
        assert_eq!(tlp.0[2] >> 16, u32::from(HOST), "requester of {tlp:x?}");
        assert_eq!(
            tlp.manners(),
            // ID-based ordering is for those who are allowed to.
            a.tlp.manners() & !0x0004_0000,
            "class and attributes of {tlp:x?}"
        );
        let (status, bcm, count) = (tlp.0[1] >> 13 & 7, tlp.0[1] >> 12 & 1, tlp.0[1] & 0xFFF);
        assert_eq!(bcm, 0);
        assert_eq!(
            count as usize,
            a.left & 0xFFF,
            "byte count of {tlp:x?} to {:x?}",
            a.tlp
        );
        a.answer.parts += 1;
        a.answer.status = status;
        if status != 0 || a.tlp.kind() != 0 {
            assert_eq!(tlp.has_data(), status == 0 && !a.tlp.has_data(), "{tlp:x?}");
            a.answer.data.extend(tlp.payload());
            if a.tlp.kind() != 0 {
                assert_eq!(tlp.0[2] & 0x7F, 0, "lower address");
            }
            self.answers.insert(tag, a.answer);
            return;
        }
        assert!(tlp.has_data());
        assert_eq!(
            u64::from(tlp.0[2] & 0x7F),
            a.next & 0x7F,
            "lower address of {tlp:x?}"
        );
        let brings = (4 * tlp.length() - (a.next & 3) as usize).min(a.left);
        let end = a.next + brings as u64;
        if brings == a.left {
            let words = ((a.next & 3) as usize + brings).div_ceil(4);
            assert_eq!(tlp.length(), words, "length of the last part");
            // The read completion boundary: a request within it is not split.
            if a.next / 128 == (end - 1) / 128 && a.answer.parts > 1 {
                assert_eq!(a.next % 128, 0);
            }
        } else {
            assert_eq!(end % 128, 0, "split at {end:#x}");
            assert!(brings + 128 > payload, "split earlier than need be");
        }
        a.answer.data.extend(tlp.payload());
        a.left -= brings;
        a.next = end;
        if a.left == 0 {
            self.answers.insert(tag, a.answer);
        } else {
            self.asked.insert(tag, a);
        }
    }

    /// Reads a word of configuration space.
    pub fn config_read(&mut self, offset: u32) -> u32 {
        let tag = self.free_tag();
        let answer = self.wait(Tlp::config(ENDPOINT, offset, 15, None, tag));
        assert_eq!(
            (answer.status, answer.data.len()),
            (0, 1),
            "read of {offset:#x}"
        );
        answer.data[0]
    }

    /// Writes bytes of a word of configuration space.
    pub fn config_write(&mut self, offset: u32, enables: u32, data: u32) {
        let tag = self.free_tag();
        let answer = self.wait(Tlp::config(ENDPOINT, offset, enables, Some(data), tag));
        assert_eq!(
            (answer.status, answer.data.len()),
            (0, 0),
            "write of {offset:#x}"
        );
    }

    /// A tag that no request has.
    pub fn free_tag(&mut self) -> u32 {
        loop {
            let tag = self.rng.below(256) as u32;
            if !self.asked.contains_key(&tag) && !self.answers.contains_key(&tag) {
                return tag;
            }
        }
    }

    /// BARs at these addresses, memory and bus master on, payloads as `payload` says.
    pub fn set_up(&mut self, bars: [u64; 3]) {
        self.config_write(0x10, 15, bars[0] as u32);
        self.config_write(0x14, 15, bars[1] as u32);
        self.config_write(0x18, 15, bars[2] as u32);
        self.config_write(0x1C, 15, (bars[2] >> 32) as u32);
        let size = (self.payload / 128).trailing_zeros();
        self.config_write(0x78, 3, 0x2810 | size << 5);
        self.config_write(0x04, 3, 6);
    }
}

/// `old` with the enabled bytes of `new`.
pub fn merge(old: u32, new: u32, enables: u32) -> u32 {
    (0..4).fold(old, |w, b| {
        if enables >> b & 1 == 1 {
            w & !(255 << (8 * b)) | new & 255 << (8 * b)
        } else {
            w
        }
    })
}

/// Rules for a memory request that the endpoint makes.
pub fn check_request(tlp: &Tlp) {
    assert_eq!(
        tlp.requester(),
        u32::from(ENDPOINT),
        "requester of {tlp:x?}"
    );
    assert_eq!(
        tlp.fmt() & 1 == 1,
        tlp.addr() >> 32 != 0,
        "header size of {tlp:x?}"
    );
    let (first, last) = tlp.enables();
    let length = tlp.length();
    assert_eq!(last == 0, length == 1, "byte enables of {tlp:x?}");
    assert_ne!(first, 0);
    let end = tlp.addr() + 4 * length as u64 - 1;
    assert_eq!(tlp.addr() / 4096, end / 4096, "{tlp:x?} crosses 4 KiB");
}
