//! Routes from each source, as a stream and as the routes array: what was chosen comes out, what was not as zeros.

use abi::command::{Source, NO_EXPERT};
use abi::config::SIM;
use abi::layout::ROUTE_BYTES;
use abi::TOPK_MAX;
use sim_tb::pins::{cycle, Pins, Stream, StreamIn, StreamOut};
use sim_tb::rng::Rng;

const CHOICE: [&str; 4] = ["token", "slot", "expert", "weight"];
const MOST: u64 = (1 << 20) - 1;

/// `rt_done` and `err_route`.
#[derive(Default)]
struct Levels {
    done: u64,
    cycle: u64,
    done_at: u64,
    error: bool,
}

impl Stream for Levels {
    fn drive(&mut self, _: &mut Pins) {}
    fn sample(&mut self, pins: &mut Pins) {
        self.cycle += 1;
        if pins.get("rt_done") == 1 {
            self.done += 1;
            self.done_at = self.cycle;
        }
        self.error = pins.get("err_route") == 1;
    }
}

fn start(p: &mut Pins, source: Source, tokens: usize, topk: usize, experts: usize) {
    p.set("source", source as u64);
    p.set("tokens", tokens as u64);
    p.set("topk", topk as u64);
    p.set("experts", experts as u64);
    p.set("go", 1);
    p.tick();
    p.set("go", 0);
}

fn narrow(routes: &StreamOut) -> Vec<[u64; 4]> {
    (0..routes.len())
        .map(|i| routes.narrow(i).try_into().unwrap())
        .collect()
}

/// Passes on and stores the choices of a router and reads them out twice; returns the cycles of the second read-out, which
/// never stalls.
fn router(p: &mut Pins, tokens: usize, topk: usize, stall: u32, seed: u64) -> u64 {
    println!("{tokens} tokens, k {topk}, stall {stall}, seed {seed}");
    let mut r = Rng::new(seed);
    start(p, Source::Router, tokens, topk, SIM.experts_max);
    let mut expected = vec![0u8; tokens * ROUTE_BYTES];
    let mut choices = StreamIn::new("router", &CHOICE, seed, stall);
    let mut routes = StreamOut::new("rt", &CHOICE, seed, 0);
    let mut levels = Levels::default();
    let mut want = Vec::new();
    for token in 0..tokens {
        for slot in 0..topk {
            let (expert, weight) = (r.below(256), [65536, 0, r.below(MOST + 1)][slot % 3]);
            want.push([token as u64, slot as u64, expert, weight]);
            choices.push(want.last().unwrap());
            let at = token * ROUTE_BYTES + slot * 8;
            expected[at..at + 4].copy_from_slice(&(expert as u32).to_le_bytes());
            expected[at + 4..at + 8].copy_from_slice(&(weight as u32).to_le_bytes());
        }
    }
    while choices.pending() > 0 {
        let last = stall == 0 && choices.pending() == 1;
        p.set("router_done", last.into());
        cycle(p, &mut [&mut choices, &mut routes, &mut levels]);
        // Without delay.
        assert_eq!(routes.len(), choices.sent());
    }
    p.set("router_vld", 0);
    if stall > 0 {
        p.set("router_done", 1);
        cycle(p, &mut [&mut routes, &mut levels]);
    }
    p.set("router_done", 0);

    let mut cycles = 0;
    for stall in [stall, 0] {
        let mut out = StreamOut::new("out", &["data"], seed + 1, stall);
        let start = p.cycles();
        // The first time this is the cycle of `rt_done`.
        p.set("read_start", 1);
        cycle(p, &mut [&mut out, &mut routes, &mut levels]);
        assert_eq!(levels.done, 1);
        p.set("read_start", 0);
        let beats = tokens * ROUTE_BYTES / abi::BEAT;
        while out.len() < beats {
            cycle(p, &mut [&mut out, &mut routes, &mut levels]);
        }
        cycles = p.cycles() - start;
        for _ in 0..5 {
            cycle(p, &mut [&mut out, &mut routes, &mut levels]);
        }
        let bytes: Vec<u8> = out
            .items
            .iter()
            .flat_map(|beat| beat[0].iter().flat_map(|w| w.to_le_bytes()))
            .collect();
        assert_eq!(bytes, expected);
    }
    assert_eq!(narrow(&routes), want);
    assert!(levels.done == 1 && !levels.error);
    cycles
}

/// The host's array: two u32 for each of the 8 entries of each token. Returns the cycles from `go` to `rt_done`.
fn host(p: &mut Pins, topk: usize, experts: usize, array: &[[(u32, u32); 8]], stall: u32) -> u64 {
    start(p, Source::Host, array.len(), topk, experts);
    let mut want = Vec::new();
    let mut bad = false;
    let mut beats = StreamIn::new("in", &["data"], 7, stall);
    for (token, entries) in array.iter().enumerate() {
        let mut named = Vec::new();
        for (slot, &(expert, weight)) in entries.iter().take(topk).enumerate() {
            if expert == NO_EXPERT {
                continue;
            }
            if expert >= experts as u32 || named.contains(&expert) {
                bad = true;
                continue;
            }
            named.push(expert);
            let weight = u64::from(weight).min(MOST);
            want.push([token as u64, slot as u64, u64::from(expert), weight]);
        }
        for pair in entries.chunks(2) {
            beats.push_wide(vec![vec![pair[0].0, pair[0].1, pair[1].0, pair[1].1]]);
        }
    }
    // What follows belongs to somebody else.
    beats.push_wide(vec![vec![1, 2, 3, 4]]);
    let mut routes = StreamOut::new("rt", &CHOICE, 1, 0);
    let mut levels = Levels::default();
    while levels.done == 0 {
        cycle(p, &mut [&mut beats, &mut routes, &mut levels]);
    }
    for _ in 0..4 {
        cycle(p, &mut [&mut beats, &mut routes, &mut levels]);
    }
    p.set("in_vld", 0);
    assert_eq!(beats.pending(), 1);
    assert_eq!(narrow(&routes), want);
    assert_eq!(levels.done, 1);
    assert_eq!(levels.error, bad);
    levels.done_at
}

#[test]
fn every_k_after_a_larger_one() {
    let mut p = Pins::new("route_store").unwrap();
    p.reset("rst", 2);
    let mut r = Rng::new(1);
    for topk in (1..=TOPK_MAX).rev() {
        for tokens in [1, 2, 1 + r.below(31) as usize, SIM.tokens_max] {
            router(&mut p, tokens, topk, 0, r.next());
            router(&mut p, tokens, topk, 128, r.next());
        }
    }
}

#[test]
fn a_beat_takes_two_cycles() {
    let mut p = Pins::new("route_store").unwrap();
    p.reset("rst", 2);
    assert_eq!(router(&mut p, 32, 8, 0, 2), 2 * 4 * 32 + 1);
}

#[test]
fn every_token_to_expert_0() {
    let mut p = Pins::new("route_store").unwrap();
    p.reset("rst", 2);
    for tokens in [1, 2, 17, SIM.tokens_max] {
        start(&mut p, Source::All, tokens, 1, 1);
        let mut routes = StreamOut::new("rt", &CHOICE, 1, 0);
        let mut levels = Levels::default();
        for _ in 0..tokens + 5 {
            cycle(&mut p, &mut [&mut routes, &mut levels]);
        }
        let want: Vec<_> = (0..tokens as u64).map(|t| [t, 0, 0, 65536]).collect();
        assert_eq!(narrow(&routes), want);
        assert_eq!((levels.done, levels.done_at), (1, tokens as u64 + 1));
        assert!(!levels.error);
    }
}

#[test]
fn arrays_of_the_host() {
    let mut p = Pins::new("route_store").unwrap();
    p.reset("rst", 2);
    let mut r = Rng::new(3);
    println!("seed 3");
    for round in 0..200 {
        let experts = [1, 8, 16, 200, SIM.experts_max][r.below(5) as usize];
        let topk = 1 + r.below(8.min(experts as u64)) as usize;
        let tokens = [1, 3, 1 + r.below(40) as usize, SIM.tokens_max][r.below(4) as usize];
        // Clean arrays, and such with every kind of odd entry.
        let odd = [0, 40, 128][round % 3];
        let array: Vec<[(u32, u32); 8]> = (0..tokens)
            .map(|_| {
                let mut all: Vec<u32> = (0..experts as u32).collect();
                std::array::from_fn(|slot| {
                    if slot >= topk {
                        // Zeros, or anything.
                        return [(0, 0), (r.next() as u32, r.next() as u32)][r.below(2) as usize];
                    }
                    let mut expert = all.swap_remove(r.below(all.len() as u64) as usize);
                    if r.chance(odd) {
                        expert = [
                            NO_EXPERT,
                            NO_EXPERT,
                            experts as u32,
                            expert | 1 << 16,
                            NO_EXPERT | 1 << 16,
                            r.next() as u32,
                            r.below(experts as u64) as u32,
                        ][r.below(7) as usize];
                    }
                    let weight = [
                        r.below(MOST + 1) as u32,
                        65536,
                        MOST as u32,
                        MOST as u32 + 1,
                        u32::MAX,
                        0,
                    ][r.below(6) as usize];
                    (expert, weight)
                })
            })
            .collect();
        host(&mut p, topk, experts, &array, [0, 0, 150][round % 3]);
        // The other sources do not see what the host left.
        if round % 20 == 0 {
            router(&mut p, 3, 4, 60, r.next());
        }
    }
}

#[test]
fn the_host_s_unused_entries_cost_no_cycles() {
    let mut p = Pins::new("route_store").unwrap();
    p.reset("rst", 2);
    let one = [[(3, 65536); 8]];
    let none = [[(NO_EXPERT, 65536); 8]];
    assert_eq!(host(&mut p, 1, 16, &one, 0), 8);
    assert_eq!(host(&mut p, 2, 16, &none, 0), 9);
    assert_eq!(host(&mut p, 8, 16, &none, 0), 12);
}

#[test]
fn a_repeated_expert_and_one_beyond_the_last_are_errors_until_the_next_command() {
    let mut p = Pins::new("route_store").unwrap();
    p.reset("rst", 2);
    let mut entries = [(NO_EXPERT, 1); 8];
    (entries[0], entries[7]) = ((5, 7), (5, 9));
    host(&mut p, 8, 16, &[entries], 0);
    entries[7].0 = 16;
    host(&mut p, 8, 16, &[entries], 0);
    assert_eq!(p.get("err_route"), 1);
    entries[7].0 = 15;
    host(&mut p, 8, 16, &[entries], 0);
    // The same expert in another token, and where no entry is looked at, is none.
    entries[7].0 = 5;
    host(&mut p, 7, 16, &[entries, entries], 0);
    assert_eq!(p.get("err_route"), 0);
}

#[test]
fn a_reset_stops_every_source() {
    let mut p = Pins::new("route_store").unwrap();
    for source in [Source::All, Source::Host, Source::Router] {
        start(&mut p, source, 20, 2, 16);
        p.set("in_vld", 1);
        p.set("read_start", 1);
        for _ in 0..7 {
            p.tick();
            p.set("read_start", 0);
        }
        p.set("in_vld", 0);
        p.reset("rst", 1);
        for _ in 0..5 {
            for port in ["rt_vld", "rt_done", "out_vld", "in_rdy", "err_route"] {
                assert_eq!(p.get(port), 0, "{port}");
            }
            p.tick();
        }
    }
}
