//! The RTL of the PCIe function and its DMA under the root complex model: random lists of descriptors in both directions at once, in
//! every kind of legal weather; every byte of both memories is compared, and every credit and tag must have come back.

use abi::config::TINY;
use sim_tb::function::{Fault, Function, Host};
use sim_tb::pcie_card::{open_board, Card, CardParams};
use sim_tb::rng::Rng;
use sim_tb::root_complex::{Link, Manners, RootComplex};

/// Host memory, across 4 GiB.
struct Memory {
    bytes: Vec<u8>,
    fired: Vec<u32>,
}

const SIZE: usize = 4 << 20;
const BASE: u64 = (4 << 30) - (SIZE as u64) / 2;
/// Where the lists stand, and from where on data do.
const LISTS: [usize; 2] = [0, 0x4_0000];
const DATA: [usize; 2] = [0x10_0000, 0x28_0000];

impl Memory {
    fn part(&mut self, iova: u64, bytes: usize, write: bool) -> Result<&mut [u8], Fault> {
        let fault = Fault { iova, bytes, write };
        let at = iova.checked_sub(BASE).ok_or(fault)? as usize;
        self.bytes.get_mut(at..at + bytes).ok_or(fault)
    }
}

impl Host for Memory {
    fn read(&mut self, iova: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let n = bytes.len();
        bytes.copy_from_slice(self.part(iova, n, false)?);
        Ok(())
    }
    fn write(&mut self, iova: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.part(iova, bytes.len(), true)?.copy_from_slice(bytes);
        Ok(())
    }
    fn interrupt(&mut self, vector: u32) {
        self.fired.push(vector);
    }
}

struct World {
    card: RootComplex<Card>,
    host: Memory,
    rng: Rng,
}

impl World {
    fn new(library: &str, params: CardParams, manners: Manners) -> World {
        let card = open_board(library, params, manners).unwrap();
        let mut w = World {
            card,
            host: Memory {
                bytes: vec![0; SIZE],
                fired: Vec::new(),
            },
            rng: Rng::new(manners.seed),
        };
        w.card.config_write(&mut w.host, 4, &[6, 0]).unwrap();
        w.card.enable_interrupts(&mut w.host, true).unwrap();
        for (at, value) in [
            (0x20A0, 0x100),
            (0x2010, 3),
            (0x90, 0x00F8_3E1E),
            (0x1090, 0x00F8_3E1E),
        ] {
            w.write(at, value);
        }
        w
    }
    fn write(&mut self, at: u64, value: u32) {
        let bytes = value.to_le_bytes();
        self.card.bar_write(&mut self.host, 1, at, &bytes).unwrap();
    }
    fn read(&mut self, at: u64) -> u32 {
        let mut word = [0; 4];
        self.card
            .bar_read(&mut self.host, 1, at, &mut word)
            .unwrap();
        u32::from_le_bytes(word)
    }

    /// Writes a list over these (host, card, bytes); blocks of neighbours of random length lie about. Its address and first Nxt_adj.
    fn list(&mut self, direction: usize, pieces: &[(u64, u64, u32)]) -> (u64, u32) {
        let mut places = Vec::new();
        let mut at = LISTS[direction];
        let mut left = 0u64;
        for _ in pieces {
            if left == 0 || at.is_multiple_of(4096) {
                at += 32 * self.rng.below(5) as usize;
                left = 1 + self.rng.below(70);
            }
            places.push(at);
            at += 32;
            left -= 1;
        }
        assert!(at < LISTS[direction] + 0x4_0000);
        // How many follow contiguously after n, within n's page: Nxt_adj of what points to n.
        let adjacent = |n: usize| {
            let mut run = 0;
            while run < 63
                && n + run + 1 < places.len()
                && places[n + run + 1] == places[n + run] + 32
                && places[n + run + 1] / 4096 == places[n] / 4096
            {
                run += 1;
            }
            run as u32
        };
        for (n, (host, card, bytes)) in pieces.iter().enumerate() {
            let last = n + 1 == pieces.len();
            let (flags, next) = match last {
                true => (0x13, 0),
                false => (adjacent(n + 1) << 8, BASE + places[n + 1] as u64),
            };
            let (from, to) = match direction {
                0 => (host, card),
                _ => (card, host),
            };
            let half = |v: u64| [v as u32, (v >> 32) as u32];
            let head = [0xAD4B_0000 | flags, *bytes];
            let words = [head, half(*from), half(*to), half(next)].concat();
            for (i, word) in words.iter().enumerate() {
                let at = places[n] + 4 * i;
                self.host.bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
            }
        }
        (BASE + places[0] as u64, adjacent(0))
    }

    /// One list each way, at once; everything is compared.
    fn round(&mut self, lengths: [&[u32]; 2]) {
        let mut noise = self.rng.next();
        let mut byte = || {
            noise = noise.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            (noise >> 56) as u8
        };
        self.host.bytes.fill_with(&mut byte);
        self.card.link_mut().memory_mut()[..SIZE].fill_with(&mut byte);
        let mut starts = [(0, 0); 2];
        let mut pieces = [Vec::new(), Vec::new()];
        for direction in 0..2 {
            // Gaps between the pieces, in both memories, show what is written beside them.
            let mut host = BASE + DATA[direction] as u64;
            let mut card = DATA[direction] as u64;
            for bytes in lengths[direction] {
                host += self.rng.below(9);
                card += self.rng.below(9);
                pieces[direction].push((host, card, *bytes));
                host += u64::from(*bytes);
                card += u64::from(*bytes);
            }
            assert!(card < (DATA[direction] + 0x18_0000) as u64);
            starts[direction] = self.list(direction, &pieces[direction]);
        }
        let mut host_after = self.host.bytes.clone();
        let mut card_after = self.card.link().memory()[..SIZE].to_vec();
        for (direction, pieces) in pieces.iter().enumerate() {
            for (host, card, bytes) in pieces {
                let (h, c, n) = ((host - BASE) as usize, *card as usize, *bytes as usize);
                match direction {
                    0 => card_after[c..c + n].copy_from_slice(&self.host.bytes[h..h + n]),
                    _ => host_after[h..h + n].copy_from_slice(&self.card.link().memory()[c..c + n]),
                }
            }
        }
        for (direction, (at, adjacent)) in starts.into_iter().enumerate() {
            let base = 0x1000 * direction as u64;
            self.write(0x4080 + base, at as u32);
            self.write(0x4084 + base, (at >> 32) as u32);
            self.write(0x4088 + base, adjacent);
            self.write(0x04 + base, 0x00F8_3E1F);
        }
        let end = self.card.link().now() + 20_000_000;
        while self.host.fired.len() < 2 {
            self.card.run(&mut self.host).unwrap();
            assert!(
                self.card.link().now() < end,
                "the DMA does not come to its end"
            );
        }
        self.host.fired.sort_unstable();
        assert_eq!(std::mem::take(&mut self.host.fired), [0, 1]);
        for (direction, lengths) in lengths.iter().enumerate() {
            let base = 0x1000 * direction as u64;
            assert_eq!(self.read(0x44 + base), 6, "status");
            assert_eq!(self.read(0x48 + base) as usize, lengths.len(), "count");
            self.write(0x04 + base, 0x00F8_3E1E);
        }
        let end = self.card.link().now() + 2000;
        self.card.run_until(&mut self.host, end).unwrap();
        self.card.settled().unwrap();
        same(&host_after, &self.host.bytes, "host");
        same(&card_after, &self.card.link().memory()[..SIZE], "card");
    }
}

fn same(expected: &[u8], got: &[u8], which: &str) {
    if let Some(at) = (0..expected.len()).find(|n| expected[*n] != got[*n]) {
        let end = (at + 16).min(expected.len());
        panic!(
            "{which} memory at 0x{at:X}: {:02X?}, expected {:02X?}",
            &got[at..end],
            &expected[at..end]
        );
    }
}

/// Both widths of the stream in turn.
fn width(seed: u64) -> &'static str {
    ["function64", "function128"][seed as usize % 2]
}

fn weather(seed: u64) -> (CardParams, Manners) {
    match seed {
        0 => (CardParams::calm(TINY.memory_bytes, 0), Manners::calm(0)),
        s => (CardParams::stormy(TINY.memory_bytes, s), Manners::stormy(s)),
    }
}

fn many(nightly: u64) -> u64 {
    match std::env::var_os("ROUNDHOUSE_NIGHTLY") {
        Some(_) => nightly,
        None => 1,
    }
}

#[test]
fn small_descriptors_in_every_weather() {
    let (rounds, each) = (20, 250);
    for seed in 0..10 * many(10) {
        let (params, manners) = weather(seed);
        println!("seed {seed}: {params:?} {manners:?}");
        let mut w = World::new(width(seed), params, manners);
        for _ in 0..rounds {
            let mut lengths = || {
                (0..each)
                    .map(|_| 1 + w.rng.below(256) as u32)
                    .collect::<Vec<u32>>()
            };
            let (up, down) = (lengths(), lengths());
            w.round([&up, &down]);
        }
    }
}

#[test]
fn large_descriptors_in_every_weather() {
    for seed in 100..100 + 10 * many(10) {
        let (params, manners) = weather(seed);
        println!("seed {seed}: {params:?} {manners:?}");
        let mut w = World::new(width(seed), params, manners);
        for _ in 0..5 {
            let mut lengths = || {
                (0..10)
                    .map(|_| 257 + w.rng.below(100_000) as u32)
                    .collect::<Vec<u32>>()
            };
            let (up, down) = (lengths(), lengths());
            w.round([&up, &down]);
        }
    }
}
