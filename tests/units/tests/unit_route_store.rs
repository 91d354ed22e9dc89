//! The store of routes: what the router chose comes out as the routes array, what it did not choose as zeros.

use abi::config::SIM;
use abi::layout::ROUTE_BYTES;
use abi::TOPK_MAX;
use sim_tb::pins::{cycle, Pins, StreamIn, StreamOut};
use sim_tb::rng::Rng;

/// Stores the choices of a command and reads them out twice; returns the cycles of the second read-out, which never stalls.
fn check(p: &mut Pins, tokens: usize, topk: usize, stall: u32, seed: u64) -> u64 {
    println!("{tokens} tokens, k {topk}, stall {stall}, seed {seed}");
    let mut r = Rng::new(seed);
    p.set("tokens", tokens as u64);
    p.set("topk", topk as u64);
    let mut expected = vec![0u8; tokens * ROUTE_BYTES];
    let mut choices = StreamIn::new("rt", &["token", "slot", "expert", "weight"], seed, stall);
    for token in 0..tokens {
        for slot in 0..topk {
            let (expert, weight) = (r.below(256), [65536, 0, r.below(65537)][slot % 3]);
            choices.push(&[token as u64, slot as u64, expert, weight]);
            let at = token * ROUTE_BYTES + slot * 8;
            expected[at..at + 4].copy_from_slice(&(expert as u32).to_le_bytes());
            expected[at + 4..at + 8].copy_from_slice(&(weight as u32).to_le_bytes());
        }
    }
    while choices.pending() > 0 {
        cycle(p, &mut [&mut choices]);
    }
    p.set("rt_vld", 0);

    let mut cycles = 0;
    for stall in [stall, 0] {
        let mut out = StreamOut::new("out", &["data"], seed + 1, stall);
        let start = p.cycles();
        p.set("read_start", 1);
        cycle(p, &mut [&mut out]);
        p.set("read_start", 0);
        let beats = tokens * ROUTE_BYTES / abi::BEAT;
        while out.len() < beats {
            cycle(p, &mut [&mut out]);
        }
        cycles = p.cycles() - start;
        for _ in 0..5 {
            cycle(p, &mut [&mut out]);
        }
        let bytes: Vec<u8> = out
            .items
            .iter()
            .flat_map(|beat| beat[0].iter().flat_map(|w| w.to_le_bytes()))
            .collect();
        assert_eq!(bytes, expected);
    }
    cycles
}

#[test]
fn every_k_after_a_larger_one() {
    let mut p = Pins::new("route_store").unwrap();
    p.reset("rst", 2);
    let mut r = Rng::new(1);
    for topk in (1..=TOPK_MAX).rev() {
        for tokens in [1, 2, 1 + r.below(31) as usize, SIM.tokens_max] {
            check(&mut p, tokens, topk, 0, r.next());
            check(&mut p, tokens, topk, 128, r.next());
        }
    }
}

#[test]
fn a_beat_takes_two_cycles() {
    let mut p = Pins::new("route_store").unwrap();
    p.reset("rst", 2);
    assert_eq!(check(&mut p, 32, 8, 0, 2), 2 * 4 * 32 + 1);
}
