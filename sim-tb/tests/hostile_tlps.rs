//! TLPs that no root complex may send, into the RTL of the endpoint and everything behind it: changed and random packets, within the credits
//! that the card gives. What the card sends stays well formed, it goes on answering, and after a reset of the link it is as new.

use sim_tb::function::{Fault, Function, Host};
use sim_tb::pcie_card::{open_board, Card, CardParams};
use sim_tb::rng::Rng;
use sim_tb::root_complex::tlp::{Class, Completion, Id, Request, Status, Tlp};
use sim_tb::root_complex::{Grants, Link, Manners, Pool, RootComplex};
use std::time::{Duration, Instant};

/// A host without memory.
struct Nothing;
impl Host for Nothing {
    fn read(&mut self, iova: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let bytes = bytes.len();
        Err(Fault {
            iova,
            bytes,
            write: false,
        })
    }
    fn write(&mut self, iova: u64, bytes: &[u8]) -> Result<(), Fault> {
        let bytes = bytes.len();
        Err(Fault {
            iova,
            bytes,
            write: true,
        })
    }
    fn interrupt(&mut self, _: u32) {}
}

const CARD: Id = Id(0x0100);
/// CplLk, whose neighbour is Cpl.
const LOCKED: u32 = 0x0B;
/// A tag that noise does not use.
const PROBE: u8 = 0xEE;
/// Cycles in which a card that is not being reset answers, and one that resets itself (100 ms are allowed; ours takes less).
const SOON: u64 = 100_000;

/// Packets at a time: less than the card has room for, which is 16 posted headers and 1 KiB.
const BURST: u64 = 8;

/// A packet that could be: any kind, at the BARs or near them.
fn packet(rng: &mut Rng, bars: &[u64]) -> Tlp {
    let bar = bars[rng.below(bars.len() as u64) as usize];
    let offset = [
        rng.below(0x100),
        rng.below(0x1_0000),
        rng.next() >> rng.below(64),
    ];
    let address = bar.wrapping_add(offset[rng.below(3) as usize]) & !3;
    let most = [1, 4, 32][rng.below(3) as usize];
    let words = 1 + rng.below(most) as u32;
    let request = Request {
        requester: Id(rng.below(4) as u16),
        tag: rng.below(32) as u8,
        first_be: if rng.chance(128) {
            15
        } else {
            rng.below(16) as u8
        },
        last_be: match words {
            1 => 0,
            _ => 15,
        },
    };
    let mut data = |n: u32| (0..n).map(|_| rng.next() as u32).collect::<Vec<_>>();
    let data = data(words);
    match rng.below(8) {
        0..=1 => Tlp::MemRead {
            request,
            address,
            words,
        },
        2..=3 => Tlp::MemWrite {
            request,
            address,
            data,
        },
        4 => Tlp::Config {
            request: Request {
                last_be: 0,
                ..request
            },
            target: if rng.chance(200) {
                CARD
            } else {
                Id(rng.next() as u16)
            },
            offset: rng.below(0x200) as u32 * 4,
            data: rng.chance(128).then_some(data[0]),
        },
        5..=6 => Tlp::Completion(Completion {
            completer: Id(rng.below(2) as u16),
            status: [
                Status::Success,
                Status::Unsupported,
                Status::Retry,
                Status::Abort,
            ][rng.below(4) as usize],
            byte_count: 1 + rng.below(4096) as u32,
            requester: CARD,
            tag: rng.below(64) as u8,
            lower_address: rng.below(128) as u8,
            poisoned: rng.chance(32),
            data: if rng.chance(200) { data } else { Vec::new() },
        }),
        _ => Tlp::Message {
            requester: Id(0),
            routing: rng.below(8) as u8,
            code: rng.next() as u8,
            data: if rng.chance(128) { data } else { Vec::new() },
        },
    }
}

/// Words that may be a packet or may not.
fn noise(rng: &mut Rng, bars: &[u64]) -> Vec<u32> {
    if rng.chance(16) {
        return (0..1 + rng.below(40)).map(|_| rng.next() as u32).collect();
    }
    let mut words = packet(rng, bars).to_words();
    for _ in 0..rng.below(3) {
        let at = rng.below(words.len().min(4) as u64) as usize;
        match rng.below(6) {
            0..=1 => words[at] ^= 1 << rng.below(32),
            2 => words[0] = words[0] & !0x3FF | rng.below(1024) as u32,
            3 => words[0] = words[0] & 0xFF_FFFF | (rng.next() as u32) << 24,
            4 => words.truncate(1 + rng.below(words.len() as u64) as usize),
            _ => words.extend((0..rng.below(300)).map(|_| rng.next() as u32)),
        }
    }
    words
}

/// Adds what a packet of the card took from us to what it is granted, so that it never waits for us.
fn give_back(grants: &mut Grants, tlp: &Tlp) {
    let pool = match tlp.class() {
        Class::Posted => &mut grants.posted,
        Class::NonPosted => &mut grants.non_posted,
        Class::Completion => &mut grants.completion,
    };
    if let Some(Pool { headers, data }) = pool {
        *headers = (*headers + 1) % 256;
        *data = (*data + (tlp.payload() as u32).div_ceil(4)) % 4096;
    }
}

/// The link without its root complex: what came from the card.
struct Wire<'a> {
    card: &'a mut Card,
    grants: Grants,
    place: String,
}

impl Wire<'_> {
    /// Until `cycle`, or a packet that `wanted` takes.
    fn run(&mut self, cycle: u64, wanted: impl Fn(&Tlp) -> bool) -> bool {
        while self.card.now() < cycle {
            let came = self.card.run(cycle);
            let came = came.unwrap_or_else(|e| panic!("{}: {e}", self.place));
            let Some(mut received) = came else {
                continue;
            };
            // Our root complex never sends a locked read, whose answer is a completion of another type, nor gives a traffic class.
            let first = &mut received.words[0];
            if *first >> 24 == LOCKED {
                *first &= !(1 << 24);
            }
            if matches!(*first >> 24, 0x0A | 0x4A) {
                *first &= !0x0070_0000;
            }
            let tlp = Tlp::parse(&received.words);
            let tlp = tlp.unwrap_or_else(|e| panic!("{}: the card sent {e}", self.place));
            give_back(&mut self.grants, &tlp);
            self.card.grant(&self.grants);
            if wanted(&tlp) {
                return true;
            }
        }
        false
    }
}

/// Addresses of the BARs, as they were set up.
fn bars(root: &mut RootComplex<Card>) -> Vec<u64> {
    let mut words = [0; 16];
    root.config_read(&mut Nothing, 0x10, &mut words).unwrap();
    let word = |n: usize| u32::from_le_bytes(words[4 * n..4 * n + 4].try_into().unwrap());
    let long = u64::from(word(2) & !15) | u64::from(word(3)) << 32;
    vec![(word(0) & !15).into(), (word(1) & !15).into(), long]
}

/// One burst of noise, a question that is answered, a reset, and a card that works; the packets sent.
fn round(root: &mut RootComplex<Card>, manners: &Manners, rng: &mut Rng, place: String) -> u64 {
    let host = &mut Nothing;
    root.config_write(host, 4, &[6, 0]).unwrap();
    let bars = bars(root);
    let mut wire = Wire {
        card: root.link_mut(),
        grants: manners.grants,
        place: place.clone(),
    };
    let mut sent = 0;
    for _ in 0..4 {
        for _ in 0..1 + rng.below(BURST) {
            let words = noise(rng, &bars);
            wire.card.send(&words);
            sent += 1;
            let until = wire.card.now() + 20 + rng.below(300);
            wire.run(until, |_| false);
        }
        // Whatever was taken is done, and its room given back.
        let quiet = wire.card.now() + 3000;
        wire.run(quiet, |_| false);
    }
    // A function-level reset may be among the noise.
    let quiet = wire.card.now() + 20_000;
    wire.run(quiet, |_| false);
    let question = Tlp::Config {
        request: Request {
            requester: Id(0),
            tag: PROBE,
            first_be: 15,
            last_be: 0,
        },
        target: CARD,
        offset: 0,
        data: None,
    };
    wire.card.send(&question.to_words());
    let until = wire.card.now() + SOON;
    let answered = wire.run(
        until,
        |tlp| matches!(tlp, Tlp::Completion(c) if c.tag == PROBE),
    );
    assert!(answered, "{place}: no answer to a configuration read");
    root.reset(host).unwrap_or_else(|e| panic!("{place}: {e}"));
    let mut id = [0; 2];
    root.config_read(host, 0, &mut id).unwrap();
    assert_eq!(id, abi::pci::VENDOR_ID.to_le_bytes(), "{place}");
    root.config_write(host, 4, &[6, 0]).unwrap();
    let (data, mut back) = ([rng.next() as u8; 100], [0; 100]);
    root.bar_write(host, 2, 0x1004, &data).unwrap();
    root.bar_read(host, 2, 0x1004, &mut back).unwrap();
    assert!(data == back, "{place}: card memory does not keep its bytes");
    let settles = root.link().now() + 2000;
    root.run_until(host, settles).unwrap();
    root.settled().unwrap_or_else(|e| panic!("{place}: {e}"));
    sent
}

/// The whole board; ten minutes at night. Not the function alone: behind its BAR0 there is nobody who would answer.
#[test]
fn random_tlps() {
    let night = std::env::var_os("ROUNDHOUSE_NIGHTLY").is_some();
    let (begin, mut sent, mut rounds) = (Instant::now(), 0, 0);
    for seed in 0.. {
        let (params, manners) = match seed % 2 {
            0 => (CardParams::calm(16 << 20, seed), Manners::calm(seed)),
            _ => (CardParams::stormy(16 << 20, seed), Manners::stormy(seed)),
        };
        let mut root = open_board("tiny", params, manners).unwrap();
        let mut rng = Rng::new(seed);
        for n in 0..25 {
            let place = format!("seed {seed}, round {n}");
            sent += round(&mut root, &manners, &mut rng, place);
            rounds += 1;
        }
        let over = match night {
            true => begin.elapsed() > Duration::from_secs(600),
            false => rounds >= 50,
        };
        if over {
            break;
        }
    }
    println!(
        "{sent} packets in {rounds} rounds, {:.1} s",
        begin.elapsed().as_secs_f64()
    );
    assert!(sent >= rounds);
}
