//! Card memory in block RAM against a plain array of bytes: bursts of every length and strobe, both directions at once, addresses beyond its end.

use sim_tb::pins::Pins;
use sim_tb::rng::Rng;
use std::collections::VecDeque;

const BYTES: u64 = abi::config::MINI.memory_bytes;
const OKAY: u64 = 0;
const DECERR: u64 = 3;

/// A burst: where, beats, ID; for a write what and which bytes.
#[derive(Clone)]
struct Burst {
    at: u64,
    beats: u64,
    id: u64,
    data: Vec<([u32; 4], u64)>,
}

struct Bench {
    p: Pins,
    rng: Rng,
    stall: u32,
    model: Vec<u8>,
}

impl Bench {
    fn new(seed: u64, stall: u32) -> Self {
        let mut p = Pins::new("memory").unwrap();
        p.reset("rst", 2);
        Self {
            p,
            rng: Rng::new(seed),
            stall,
            model: vec![0; BYTES as usize],
        }
    }

    fn may(&mut self) -> bool {
        !self.rng.chance(self.stall)
    }

    /// Offers all writes in order and all reads in order; checks every answer against `model`. What is read must not be written here.
    fn run(&mut self, writes: &[Burst], reads: &[Burst]) {
        let (mut aw, mut ar) = (0, 0);
        let mut w: VecDeque<([u32; 4], u64, bool)> = VecDeque::new();
        let mut answers: VecDeque<&Burst> = VecDeque::new();
        let (mut read, mut beat, mut done) = (0, 0, 0);
        let mut offers = [false; 3];
        let end = self.p.cycles() + 100_000;
        while done < writes.len() || read < reads.len() {
            assert!(
                self.p.cycles() < end,
                "{done} writes and {read} reads were answered"
            );
            // An offer stays until it is taken.
            offers[0] = aw < writes.len() && (offers[0] || self.may());
            offers[1] = !w.is_empty() && (offers[1] || self.may());
            offers[2] = ar < reads.len() && (offers[2] || self.may());
            let p = &mut self.p;
            p.set("awvalid", offers[0].into());
            if offers[0] {
                p.set("awaddr", writes[aw].at);
                p.set("awid", writes[aw].id);
            }
            p.set("wvalid", offers[1].into());
            if offers[1] {
                p.set_wide("wdata", &w[0].0);
                p.set("wstrb", w[0].1);
                p.set("wlast", w[0].2.into());
            }
            p.set("arvalid", offers[2].into());
            if offers[2] {
                p.set("araddr", reads[ar].at);
                p.set("arid", reads[ar].id);
                p.set("arlen", reads[ar].beats - 1);
            }
            let (b, r) = (self.may(), self.may());
            let p = &mut self.p;
            p.set("bready", b.into());
            p.set("rready", r.into());
            if offers[0] && p.get("awready") == 1 {
                let burst = &writes[aw];
                let last = burst.data.len() - 1;
                w.extend(
                    burst
                        .data
                        .iter()
                        .enumerate()
                        .map(|(i, (d, s))| (*d, *s, i == last)),
                );
                answers.push_back(burst);
                aw += 1;
                offers[0] = false;
            }
            if offers[1] && p.get("wready") == 1 {
                w.pop_front();
                offers[1] = false;
            }
            if offers[2] && p.get("arready") == 1 {
                ar += 1;
                offers[2] = false;
            }
            if b && p.get("bvalid") == 1 {
                let burst = answers.pop_front().expect("an answer nobody asked for");
                assert_eq!(p.get("bid"), burst.id);
                let wanted = if burst.at < BYTES { OKAY } else { DECERR };
                assert_eq!(p.get("bresp"), wanted, "write to {:#x}", burst.at);
                for (i, (data, strobes)) in burst.data.iter().enumerate() {
                    for byte in 0..16 {
                        let at = burst.at + 16 * i as u64 + byte;
                        if strobes >> byte & 1 == 1 && at < BYTES {
                            self.model[at as usize] =
                                (data[byte as usize / 4] >> (8 * (byte % 4))) as u8;
                        }
                    }
                }
                done += 1;
            }
            if r && p.get("rvalid") == 1 {
                let burst = &reads[read];
                assert_eq!(p.get("rid"), burst.id);
                assert_eq!(
                    p.get("rlast") == 1,
                    beat + 1 == burst.beats,
                    "beat {beat} of {}",
                    burst.beats
                );
                if burst.at < BYTES {
                    assert_eq!(p.get("rresp"), OKAY);
                    let at = (burst.at + 16 * beat) as usize;
                    let got: Vec<u8> = p
                        .get_wide("rdata")
                        .iter()
                        .flat_map(|w| w.to_le_bytes())
                        .collect();
                    assert_eq!(got, self.model[at..at + 16], "at {at:#x}");
                } else {
                    assert_eq!(p.get("rresp"), DECERR, "read of {:#x}", burst.at);
                }
                beat += 1;
                if beat == burst.beats {
                    (read, beat) = (read + 1, 0);
                }
            }
            p.tick();
        }
    }

    /// A random burst within the 4 KiB page `page`.
    fn burst(&mut self, page: u64) -> Burst {
        let first = self.rng.below(256);
        let beats = 1 + self.rng.below((256 - first).min(32));
        let data = (0..beats)
            .map(|_| {
                let (a, b) = (self.rng.next(), self.rng.next());
                let strobes = if self.rng.chance(128) {
                    0xFFFF
                } else {
                    self.rng.below(1 << 16)
                };
                (
                    [a as u32, (a >> 32) as u32, b as u32, (b >> 32) as u32],
                    strobes,
                )
            })
            .collect();
        Burst {
            at: 4096 * page + 16 * first,
            beats,
            id: self.rng.below(64),
            data,
        }
    }
}

#[test]
fn reads_and_writes_side_by_side() {
    for (seed, stall) in [(0, 0), (1, 100), (2, 220)] {
        let mut bench = Bench::new(seed, stall);
        // Block RAM holds anything at first.
        let all: Vec<Burst> = (0..BYTES / 4096)
            .map(|page| Burst {
                at: 4096 * page,
                beats: 256,
                id: page,
                data: vec![([0; 4], 0xFFFF); 256],
            })
            .collect();
        bench.run(&all, &[]);
        for _ in 0..20 {
            // Even pages are written while odd ones are read, and the other way round.
            let parity = bench.rng.below(2);
            let mut pages = |odd: u64| -> Vec<Burst> {
                (0..8)
                    .map(|_| {
                        let page = 2 * bench.rng.below(BYTES / 8192) + odd;
                        bench.burst(page)
                    })
                    .collect()
            };
            let (writes, reads) = (pages(parity), pages(1 - parity));
            bench.run(&writes, &reads);
            bench.run(&[], &writes);
        }
    }
}

/// A burst beyond the end is answered as long as it is, and changes nothing.
#[test]
fn beyond_its_end() {
    let mut bench = Bench::new(5, 60);
    let inside = Burst {
        at: 0,
        beats: 256,
        id: 1,
        data: vec![([1, 2, 3, 4], 0xFFFF); 256],
    };
    bench.run(std::slice::from_ref(&inside), &[]);
    let far = [BYTES, 2 * BYTES, 1 << 20, 1 << 39].map(|at| Burst {
        at,
        beats: 7,
        id: 9,
        data: vec![([!0; 4], 0xFFFF); 7],
    });
    bench.run(&far, &far);
    bench.run(&[], std::slice::from_ref(&inside));
}
