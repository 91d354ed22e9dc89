//! A root complex and the software that sets up a function below it, as far as a card can tell: accesses of the host become packets,
//! packets of the card read and write host memory or raise interrupts. What the standard leaves open (where completions are split, in
//! which order they come, when credits return) is drawn from a seed; what it forbids the card is checked, and breaks the function.
//!
//! Written from the PCI Express base specification and from nothing of the endpoint's.

mod completer;
mod credits;
mod function;
mod link;
mod requester;
pub mod tlp;

pub use link::{Grants, Health, Link, Pool, Received};

use crate::function::{Error, Host};
use crate::rng::Rng;
use completer::Completer;
use credits::{Buffers, Used};
use requester::{Expected, Requester};
use std::collections::VecDeque;
use tlp::{enables, Class, Id, Request, Status, Tlp};

/// The root complex, and the function's place: bus 1, device 0.
const ROOT: Id = Id(0x0000);
const CARD: Id = Id(0x0100);
/// Words on the link beyond which nothing more is queued: two of the largest packets.
const DEPTH: usize = 160;
/// Packets of one access that wait at most.
const WAITING: usize = 16;
/// Cycles within which a request is answered: 8 ms at 125 MHz.
const DEADLINE: u64 = 1_000_000;
/// The same where packets may get lost: 1 ms.
const LOSSY_DEADLINE: u64 = 125_000;
/// Cycles after which what cannot go now is tried again.
const RETRY: u64 = 16;
/// Where messages of interrupts go, as on a PC: nothing else lies there.
pub(crate) const MESSAGES: std::ops::Range<u64> = 0xFEE0_0000..0xFEF0_0000;

/// How a root complex behaves. The same manners give the same packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// Seed of everything random.
    pub seed: u64,
    /// Cycles from a read request's arrival to its first completion.
    pub latency: u32,
    /// Up to so many cycles more, at random.
    pub jitter: u32,
    /// Completions end there: 64 or 128.
    pub read_completion_boundary: u32,
    /// Completions are split at any boundary, and those of different requests mixed; otherwise they are as long and as early as can be.
    pub split: bool,
    /// Of 256 packets of the other classes, how many pass a non-posted one that could go.
    pub overtake: u32,
    /// The receive buffers.
    pub grants: Grants,
    /// Up to so many cycles pass before a packet's room is granted again.
    pub credit_delay: u32,
    /// Largest payload, as the set-up software writes it into Device Control: 128 to 4096.
    pub max_payload: u32,
    /// Largest read request likewise.
    pub max_read: u32,
}

impl Manners {
    /// A microsecond's round trip at 125 MHz, no surprises.
    pub fn calm(seed: u64) -> Manners {
        Manners {
            seed,
            latency: 125,
            jitter: 0,
            read_completion_boundary: 64,
            split: false,
            overtake: 0,
            grants: Grants {
                posted: Some(Pool {
                    headers: 64,
                    data: 1024,
                }),
                non_posted: Some(Pool {
                    headers: 64,
                    data: 64,
                }),
                completion: None,
            },
            credit_delay: 0,
            max_payload: 256,
            max_read: 512,
        }
    }

    /// Everything legal, drawn from the seed.
    pub fn stormy(seed: u64) -> Manners {
        let mut rng = Rng::new(seed);
        let mut below = |n: u64| rng.below(n) as u32;
        let max_payload = 128 << below(2);
        Manners {
            seed,
            latency: 1 + below(200),
            jitter: below(400),
            read_completion_boundary: 64 << below(2),
            split: true,
            overtake: below(256),
            grants: Grants {
                posted: Some(Pool {
                    headers: 1 + below(8),
                    data: max_payload / 16 + below(64),
                }),
                non_posted: Some(Pool {
                    headers: 1 + below(8),
                    data: 1 + below(8),
                }),
                completion: None,
            },
            credit_delay: below(200),
            max_payload,
            max_read: 128 << below(3),
        }
    }
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Memory writes of the card, without interrupts.
    pub writes: u64,
    /// Their bytes of payload.
    pub written: u64,
    /// Read requests of the card.
    pub reads: u64,
    /// Completions to the card.
    pub completions: u64,
    /// Their bytes of payload.
    pub completed: u64,
    /// Accesses of the card to memory that is not there.
    pub faults: u64,
    /// Messages of interrupts.
    pub interrupts: u64,
    /// Other messages.
    pub messages: u64,
}

/// What passed on the link while it was watched.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// To the card, in order: address and bytes of payload of completions, None for anything else.
    pub sent: Vec<Option<(u64, u32)>>,
    /// From the card, memory writes alone: first and last cycle, address and bytes of payload.
    pub writes: Vec<((u64, u64), (u64, u32))>,
}

/// The function's registers that decide what it may do, as last read.
#[derive(Clone, Copy, Debug, Default)]
struct Permissions {
    bus_master: bool,
    extended_tags: bool,
    max_payload: u32,
    max_read: u32,
}

/// A root complex above one function.
pub struct RootComplex<L> {
    link: L,
    manners: Manners,
    rng: Rng,
    /// Requests of the host that have not gone.
    out: VecDeque<Tlp>,
    used: Used,
    card_used: Used,
    buffers: Buffers,
    /// What the card granted when the link came up.
    first_grants: Grants,
    requester: Requester,
    completer: Completer,
    permissions: Permissions,
    found: function::Found,
    /// The function has seen its bus and device number, which come with configuration writes.
    named: bool,
    listening: bool,
    counts: Counts,
    watched: Option<Watched>,
    broken: Option<Error>,
}

impl<L: Link> RootComplex<L> {
    /// Brings the link up and sets the function below it up as a host's firmware would.
    ///
    /// # Errors
    /// The function breaks a rule, or does not answer.
    pub fn new(link: L, manners: Manners) -> Result<Self, Error> {
        let mut root = RootComplex {
            link,
            manners,
            rng: Rng::new(manners.seed),
            out: VecDeque::new(),
            used: Used::default(),
            card_used: Used::default(),
            buffers: Buffers::new(manners.grants),
            first_grants: Grants::default(),
            requester: Requester::default(),
            completer: Completer::default(),
            permissions: Permissions::default(),
            found: function::Found::default(),
            named: false,
            listening: false,
            counts: Counts::default(),
            watched: None,
            broken: None,
        };
        root.bring_up(&mut NoHost)?;
        Ok(root)
    }

    /// The link below.
    pub fn link(&self) -> &L {
        &self.link
    }

    /// The link below, to disturb what is on it.
    pub fn link_mut(&mut self) -> &mut L {
        &mut self.link
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Begins to watch the link, or ends it and gives what passed.
    pub fn watch(&mut self, on: bool) -> Watched {
        let next = on.then(Watched::default);
        std::mem::replace(&mut self.watched, next).unwrap_or_default()
    }

    /// Read requests of the card that are not completely answered.
    pub fn outstanding(&self) -> usize {
        self.completer.outstanding()
    }

    /// Whether everything has come to its end: no request waits, and each side has given back every credit.
    ///
    /// # Errors
    /// What is still out, in words.
    pub fn settled(&self) -> Result<(), String> {
        let granted = self.link.granted();
        let (left, first) = (
            self.used.left(&granted),
            Used::default().left(&self.first_grants),
        );
        if left != first {
            return Err(format!(
                "of the card's credits {left:?} are left, not {first:?}"
            ));
        }
        let first = Used::default().left(&self.manners.grants);
        let left = self.card_used.left(self.buffers.grants());
        if left != first {
            return Err(format!("of ours {left:?} are left, not {first:?}"));
        }
        match (self.outstanding(), self.out.len(), self.requester.waiting()) {
            (0, 0, None) => Ok(()),
            (reads, out, what) => Err(format!(
                "{reads} reads of the card and {out} packets to it wait, and {what:?}"
            )),
        }
    }

    /// Lets time pass until `cycle`.
    ///
    /// # Errors
    /// The card breaks a rule.
    pub fn run_until(&mut self, host: &mut dyn Host, cycle: u64) -> Result<(), Error> {
        while self.link.now() < cycle {
            self.step(host, cycle)?;
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.out.clear();
        self.used = Used::default();
        self.card_used = Used::default();
        self.buffers = Buffers::new(self.manners.grants);
        self.requester = Requester::default();
        self.completer.clear();
        self.named = false;
        self.permissions = Permissions {
            max_payload: 128,
            max_read: 512,
            ..Default::default()
        };
        self.link.reset(&self.manners.grants);
        self.first_grants = self.link.granted();
    }

    /// Sends what can go, then lets time pass until something can happen, `limit` at the latest.
    fn step(&mut self, host: &mut dyn Host, limit: u64) -> Result<(), Error> {
        if let Some(e) = &self.broken {
            return Err(e.clone());
        }
        let result = self.try_step(host, limit);
        if let Err(e) = &result {
            self.broken = Some(e.clone());
        }
        result
    }

    fn try_step(&mut self, host: &mut dyn Host, limit: u64) -> Result<(), Error> {
        let now = self.link.now();
        if self.buffers.update(now) {
            self.link.grant(self.buffers.grants());
        }
        self.transmit(host, now);
        let retry = (!self.out.is_empty()).then_some(now + RETRY);
        let completion = self.completer.due().map(|due| match due <= now {
            true => now + RETRY,
            false => due,
        });
        let events = [retry, completion, self.buffers.due()];
        let next = events.into_iter().flatten().fold(limit, u64::min);
        match self.link.run(next.max(now + 1))? {
            None => Ok(()),
            Some(received) => {
                let cycle = received.cycle;
                let broken = |text| Error::Broken(format!("cycle {cycle}: the card sent {text}"));
                self.receive(host, received).map_err(broken)
            }
        }
    }

    /// Chapter 2.4.1: a posted request passes non-posted ones that cannot go and is passed by nothing; completions pass non-posted
    /// requests, never posted ones.
    fn transmit(&mut self, host: &mut dyn Host, now: u64) {
        while self.link.queued() < DEPTH {
            let granted = self.link.granted();
            let fits = |tlp: &Tlp| self.used.fits(tlp, &granted);
            let posted = self.out.iter().position(|t| t.class() == Class::Posted);
            let overtake = self.rng.chance(self.manners.overtake);
            let chosen = match (self.out.front(), posted) {
                (Some(first), _) if fits(first) && (posted == Some(0) || !overtake) => Some(0),
                (_, Some(n)) if fits(&self.out[n]) => Some(n),
                (Some(first), None) if fits(first) => Some(0),
                _ => None,
            };
            // With nothing posted in front of it, a completion may take the place of what was chosen.
            let completion = match posted {
                None if chosen.is_none() || overtake => self.completer.next(
                    host,
                    now,
                    ROOT,
                    self.permissions.max_payload,
                    &self.manners,
                    &mut self.rng,
                ),
                _ => None,
            };
            let mut sent = None;
            let tlp = match (completion, chosen) {
                (Some((at, completion)), _) => {
                    let bytes = 4 * completion.data.len() as u32;
                    sent = Some((at, bytes));
                    self.counts.completions += 1;
                    self.counts.completed += u64::from(bytes);
                    self.counts.faults += u64::from(completion.status != Status::Success);
                    Tlp::Completion(completion)
                }
                (None, Some(n)) => match self.out.remove(n) {
                    Some(tlp) => tlp,
                    None => return,
                },
                (None, None) => return,
            };
            self.used.take(&tlp);
            if let Some(watched) = &mut self.watched {
                watched.sent.push(sent);
            }
            self.link.send(&tlp.to_words());
        }
    }

    fn receive(&mut self, host: &mut dyn Host, received: Received) -> Result<(), String> {
        let tlp = Tlp::parse(&received.words)?;
        if !self.card_used.fits(&tlp, &received.granted) {
            return Err(format!(
                "{tlp:?} without credits; granted were {:?}",
                received.granted
            ));
        }
        self.card_used.take(&tlp);
        let delay = self.rng.below(u64::from(self.manners.credit_delay) + 1);
        self.buffers.give_back(&tlp, received.cycle + delay);
        match tlp {
            Tlp::MemWrite {
                request,
                address,
                data,
            } => {
                self.check_master(&request, "a memory write")?;
                if MESSAGES.contains(&address) {
                    return self.message(host, &request, address, &data);
                }
                let bytes = 4 * data.len() as u64;
                if bytes > self.permissions.max_payload.into() {
                    return Err(format!(
                        "a write of {bytes} bytes at 0x{address:X}; the largest payload is {}",
                        self.permissions.max_payload
                    ));
                }
                self.counts.writes += 1;
                self.counts.written += bytes;
                if let Some(watched) = &mut self.watched {
                    let cycles = (received.first, received.cycle);
                    watched.writes.push((cycles, (address, bytes as u32)));
                }
                for (at, bytes) in enabled(&request, address, &data) {
                    if host.write(at, &bytes).is_err() {
                        self.counts.faults += 1;
                        break;
                    }
                }
                Ok(())
            }
            Tlp::MemRead {
                request,
                address,
                words,
            } => {
                self.check_master(&request, "a memory read")?;
                if 4 * words > self.permissions.max_read {
                    return Err(format!(
                        "a read of {words} words at 0x{address:X}; the largest is {} bytes",
                        self.permissions.max_read
                    ));
                }
                if request.tag >= 32 && !self.permissions.extended_tags {
                    return Err(format!(
                        "tag {} although extended tags are disabled",
                        request.tag
                    ));
                }
                self.counts.reads += 1;
                let jitter = self.rng.below(u64::from(self.manners.jitter) + 1);
                let due = received.cycle + u64::from(self.manners.latency) + jitter;
                self.completer.take(request, address, words, due)
            }
            Tlp::Completion(completion) => {
                let nameless = !self.named && completion.completer == Id(0);
                let named = completion.completer == CARD || nameless;
                if !named || completion.requester != ROOT {
                    return Err(format!("{completion:?} under another name"));
                }
                self.requester.take(&completion)
            }
            Tlp::Message { .. } => {
                self.counts.messages += 1;
                Ok(())
            }
            Tlp::Config { .. } => Err("a configuration request".into()),
        }
    }

    fn check_master(&self, request: &Request, what: &str) -> Result<(), String> {
        if request.requester != CARD {
            return Err(format!("{what} as requester {:04X}", request.requester.0));
        }
        match self.permissions.bus_master {
            true => Ok(()),
            false => Err(format!("{what} although bus mastering is disabled")),
        }
    }

    fn message(
        &mut self,
        host: &mut dyn Host,
        request: &Request,
        address: u64,
        data: &[u32],
    ) -> Result<(), String> {
        let vector = (0..self.found.vectors)
            .find(|v| (address, data) == (message_address(*v), &[message_data(*v)]));
        let whole = request.first_be == 15 && self.listening;
        let Some(vector) = vector.filter(|_| whole) else {
            return Err(format!(
                "a message of {data:X?} to 0x{address:X}, which no enabled vector has"
            ));
        };
        self.counts.interrupts += 1;
        host.interrupt(vector);
        Ok(())
    }

    /// Queues a request, waiting while too many are.
    fn queue(&mut self, host: &mut dyn Host, tlp: Tlp) -> Result<(), Error> {
        if self.link.health() == Health::Down {
            self.out.clear();
            return Ok(());
        }
        let end = self.link.now() + DEADLINE;
        while self.out.len() >= WAITING {
            if self.link.now() >= end {
                return self.give_up("room for a posted write");
            }
            self.step(host, self.link.now() + RETRY)?;
        }
        self.out.push_back(tlp);
        Ok(())
    }

    fn give_up<T>(&mut self, what: &str) -> Result<T, Error> {
        let e = Error::Broken(format!(
            "cycle {}: no {what} within {DEADLINE} cycles; the card grants {:?}",
            self.link.now(),
            self.link.granted()
        ));
        self.broken = Some(e.clone());
        Err(e)
    }

    /// Waits for the answer of `tag`.
    fn answer(&mut self, host: &mut dyn Host, tag: u8) -> Result<(Status, Vec<u32>), Error> {
        let end = self.link.now()
            + match self.link.health() {
                Health::Sound => DEADLINE,
                _ => LOSSY_DEADLINE,
            };
        loop {
            if let Some(answer) = self.requester.finish(tag) {
                return Ok(answer);
            }
            let health = self.link.health();
            let late = self.link.now() >= end;
            if health == Health::Down || health == Health::Lossy && late {
                self.requester.abandon(tag);
                return Ok((Status::Unsupported, Vec::new()));
            }
            if late {
                let what = self.requester.waiting().unwrap_or_default();
                return self.give_up(&format!("completion for {what}"));
            }
            self.step(host, end)?;
        }
    }

    /// CfgRd0 or CfgWr0 of bytes within one word.
    fn config(
        &mut self,
        host: &mut dyn Host,
        offset: usize,
        bytes: usize,
        write: Option<u32>,
    ) -> Result<(Status, u32), Error> {
        let expected = Expected {
            what: format!("a configuration access at 0x{offset:X}"),
            address: 0,
            bytes: 4,
            data: write.is_none(),
        };
        let Some(tag) = self.requester.begin(expected) else {
            return self.give_up("free tag");
        };
        let request = Request {
            requester: ROOT,
            tag,
            first_be: enables(offset as u64, bytes).0,
            last_be: 0,
        };
        let tlp = Tlp::Config {
            request,
            target: CARD,
            offset: offset as u32 & !3,
            data: write,
        };
        self.queue(host, tlp)?;
        let (status, data) = self.answer(host, tag)?;
        self.named |= write.is_some();
        Ok((status, data.first().copied().unwrap_or(u32::MAX)))
    }

    /// Reads memory below the card's bridge in requests of at most `most` aligned bytes, several at a time. What is refused reads as
    /// ones.
    fn memory_read(
        &mut self,
        host: &mut dyn Host,
        address: u64,
        bytes: &mut [u8],
        most: u64,
    ) -> Result<(), Error> {
        let mut waiting = VecDeque::new();
        let mut rest = bytes;
        let mut at = address;
        while !rest.is_empty() || !waiting.is_empty() {
            if rest.is_empty() || waiting.len() == Requester::TAGS {
                let Some((tag, from, part)) = waiting.pop_front() else {
                    break;
                };
                let (status, words) = self.answer(host, tag)?;
                fill(part, from, status, &words);
                continue;
            }
            let n = natural(at, rest.len(), most);
            let (part, others) = rest.split_at_mut(n);
            rest = others;
            let expected = Expected {
                what: format!("a read of {n} bytes at 0x{at:X}"),
                address: at,
                bytes: n as u32,
                data: true,
            };
            let Some(tag) = self.requester.begin(expected) else {
                return self.give_up("free tag");
            };
            let (request, words) = request(at, n, tag);
            let tlp = Tlp::MemRead {
                request,
                address: at & !3,
                words,
            };
            self.queue(host, tlp)?;
            waiting.push_back((tag, at, part));
            at += n as u64;
        }
        Ok(())
    }

    /// Writes memory below the card's bridge in posted requests of at most `most` aligned bytes.
    fn memory_write(
        &mut self,
        host: &mut dyn Host,
        address: u64,
        bytes: &[u8],
        most: u64,
    ) -> Result<(), Error> {
        let (mut at, mut rest) = (address, bytes);
        while !rest.is_empty() {
            let (part, others) = rest.split_at(natural(at, rest.len(), most));
            let (request, words) = request(at, part.len(), 0);
            let mut padded = vec![0; 4 * words as usize];
            let lead = (at % 4) as usize;
            padded[lead..lead + part.len()].copy_from_slice(part);
            let data = padded
                .chunks_exact(4)
                .map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
            let tlp = Tlp::MemWrite {
                request,
                address: at & !3,
                data: data.collect(),
            };
            self.queue(host, tlp)?;
            at += part.len() as u64;
            rest = others;
        }
        Ok(())
    }
}

fn request(at: u64, bytes: usize, tag: u8) -> (Request, u32) {
    let (first_be, last_be, words) = enables(at, bytes);
    let request = Request {
        requester: ROOT,
        tag,
        first_be,
        last_be,
    };
    (request, words)
}

/// The longest access at `at` that is a power of two of bytes, aligned, and no more than `most` and `bytes`.
fn natural(at: u64, bytes: usize, most: u64) -> usize {
    let mut n = most;
    while n > 1 && (!at.is_multiple_of(n) || n > bytes as u64) {
        n /= 2;
    }
    n as usize
}

/// Spreads the words of an answer over the bytes at `at`.
fn fill(bytes: &mut [u8], at: u64, status: Status, words: &[u32]) {
    if status != Status::Success {
        return bytes.fill(0xFF);
    }
    let all = words.iter().flat_map(|w| w.to_le_bytes());
    for (byte, value) in bytes.iter_mut().zip(all.skip((at % 4) as usize)) {
        *byte = value;
    }
}

/// The runs of bytes that a write's enables let through.
fn enabled(request: &Request, address: u64, data: &[u32]) -> Vec<(u64, Vec<u8>)> {
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    for (n, word) in data.iter().enumerate() {
        let be = match n {
            0 => request.first_be,
            n if n + 1 == data.len() => request.last_be,
            _ => 15,
        };
        for (b, byte) in word.to_le_bytes().into_iter().enumerate() {
            if be >> b & 1 == 0 {
                continue;
            }
            let at = address + (4 * n + b) as u64;
            match runs.last_mut() {
                Some((from, run)) if *from + run.len() as u64 == at => run.push(byte),
                _ => runs.push((at, vec![byte])),
            }
        }
    }
    runs
}

fn message_address(vector: u32) -> u64 {
    MESSAGES.start + (u64::from(vector) << 12)
}

fn message_data(vector: u32) -> u32 {
    0x4021 + vector
}

/// While the function is set up nothing is mapped.
struct NoHost;

impl Host for NoHost {
    fn read(&mut self, iova: u64, bytes: &mut [u8]) -> Result<(), crate::function::Fault> {
        Err(crate::function::Fault {
            iova,
            bytes: bytes.len(),
            write: false,
        })
    }
    fn write(&mut self, iova: u64, bytes: &[u8]) -> Result<(), crate::function::Fault> {
        Err(crate::function::Fault {
            iova,
            bytes: bytes.len(),
            write: true,
        })
    }
    fn interrupt(&mut self, _: u32) {}
}
