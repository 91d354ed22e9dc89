//! The skid register: every item once and in order, one per cycle when nothing stalls, nothing of the other side in the same cycle.

use sim_tb::pins::{cycle, Pins, StreamIn, StreamOut};

const WORDS: u64 = 4;

/// An item of 128 bits that says which it is in every word.
fn item(n: u64) -> Vec<u32> {
    (0..WORDS)
        .map(|word| ((n * WORDS + word) as u32).wrapping_mul(0x9E37_79B1))
        .collect()
}

fn unit() -> Pins {
    let mut p = Pins::new("skid").unwrap();
    p.reset("rst", 2);
    p
}

#[test]
fn order_under_stalls_on_both_sides() {
    for (seed, (before, behind)) in [(0, 0), (0, 128), (128, 0), (64, 64), (200, 200)]
        .into_iter()
        .enumerate()
    {
        let mut p = unit();
        let mut x = StreamIn::new("in", &["data"], seed as u64, before);
        let mut y = StreamOut::new("out", &["data"], 77 + seed as u64, behind);
        for n in 0..1000 {
            x.push_wide(vec![item(n)]);
        }
        let start = p.cycles();
        while y.len() < 1000 {
            cycle(&mut p, &mut [&mut x, &mut y]);
        }
        if (before, behind) == (0, 0) {
            // One cycle from the first item in to the first item out.
            assert_eq!(p.cycles() - start, 1001, "an item per cycle");
        }
        for n in 0..1000 {
            assert_eq!(y.items[n as usize][0], item(n), "item {n}, seed {seed}");
        }
        for _ in 0..10 {
            cycle(&mut p, &mut [&mut x, &mut y]);
        }
        assert_eq!(y.len(), 1000, "an item came twice");
    }
}

/// `in_rdy` and the outputs are registers: they do not move when the other side's pins do.
#[test]
fn no_path_through_it() {
    let mut p = unit();
    for step in 0..64u64 {
        let mut seen = Vec::new();
        for pins in 0..4u64 {
            p.set("in_vld", pins & 1);
            p.set("out_rdy", pins >> 1);
            seen.push((p.get("in_rdy"), p.get("out_vld")));
        }
        assert!(seen.iter().all(|s| *s == seen[0]), "step {step}: {seen:?}");
        p.set("in_vld", step & 1);
        p.set("out_rdy", step >> 1 & step >> 3 & 1);
        p.tick();
    }
}

/// A reset forgets both items.
#[test]
fn reset_when_full() {
    let mut p = unit();
    p.set("in_vld", 1);
    p.tick();
    p.tick();
    assert_eq!((p.get("in_rdy"), p.get("out_vld")), (0, 1), "full");
    p.set("in_vld", 0);
    p.reset("rst", 1);
    assert_eq!((p.get("in_rdy"), p.get("out_vld")), (1, 0), "empty");
}
