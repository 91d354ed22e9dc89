//! The pins bench against a small hand-written unit (`make units` builds it with the engine's).

use sim_tb::pins::{cycle, Pins, ReadPort, StreamIn, StreamOut};
use sim_tb::rng::Rng;

/// Passes `n` items through the unit; the items out, the cycle of each, all cycles.
fn run(seed: u64, stall: u32, n: usize) -> (Vec<(u128, i64)>, Vec<u64>, u64) {
    let mut p = Pins::new("unit_skid").unwrap();
    p.reset("rst", 2);
    let mut rng = Rng::new(seed);
    let mut x = StreamIn::new("in", &["data", "num__a"], seed, stall);
    let mut y = StreamOut::new("out", &["data", "num"], seed + 1, stall);
    let mut expected = Vec::new();
    for _ in 0..n {
        let d: Vec<u32> = (0..4).map(|_| rng.next() as u32).collect();
        let num = rng.next() as i64 >> 28;
        let bits = num as u64 & ((1 << 36) - 1);
        expected.push((swap(&d), num - 1));
        x.push_wide(vec![d, vec![bits as u32, (bits >> 32) as u32]]);
    }
    while y.len() < n {
        cycle(&mut p, &mut [&mut x, &mut y]);
    }
    assert_eq!((x.sent(), x.pending()), (n, 0));
    let items = y.items.iter().map(|i| {
        let d = i[0]
            .iter()
            .rev()
            .fold(0u128, |a, w| a << 32 | u128::from(*w));
        let v = u64::from(i[1][0]) | u64::from(i[1][1]) << 32;
        (d, (v << 27) as i64 >> 27)
    });
    assert_eq!(items.clone().collect::<Vec<_>>(), expected, "seed {seed}");
    (items.collect(), y.at.clone(), p.cycles())
}

fn swap(d: &[u32]) -> u128 {
    [d[1], d[0], d[3], d[2]]
        .iter()
        .fold(0, |a, w| a << 32 | u128::from(*w))
}

#[test]
fn items_pass_unchanged_at_every_stall_rate() {
    for (seed, stall) in [(1, 0), (2, 64), (3, 200), (4, 128)] {
        run(seed, stall, 200);
    }
    let (_, _, cycles) = run(1, 0, 200);
    assert_eq!(
        cycles,
        2 + 200 + 1,
        "without stalls one item moves in each cycle"
    );
}

#[test]
fn a_seed_is_one_schedule() {
    assert_eq!(run(7, 100, 50), run(7, 100, 50));
    assert_ne!(run(7, 100, 50).1, run(8, 100, 50).1);
}

#[test]
fn two_benches_of_a_unit_are_independent() {
    let (mut a, mut b) = (
        Pins::new("unit_skid").unwrap(),
        Pins::new("unit_skid").unwrap(),
    );
    for (p, v) in [(&mut a, 5), (&mut b, -6)] {
        p.set_signed("in_num__a", v);
        p.set("in_vld", 1);
        p.set("out_rdy", 1);
        p.tick();
    }
    assert_eq!((a.get_signed("out_num"), b.get_signed("out_num")), (4, -7));
    assert_eq!(a.width("in_data"), 128);
    assert!(a.names().contains(&"look_addr"));
}

#[test]
fn combinational_outputs_follow_inputs_without_a_clock() {
    let mut p = Pins::new("unit_skid").unwrap();
    p.set("in_data", 11);
    assert_eq!(p.get("look_addr"), 11);
    p.set("in_data", 4);
    assert_eq!(p.get("look_addr"), 4);
    assert_eq!(p.cycles(), 0);
}

#[test]
fn an_outside_memory_answers_one_cycle_later() {
    let mut p = Pins::new("unit_skid").unwrap();
    p.reset("rst", 1);
    let mut m = ReadPort::new(
        &["look_addr"],
        &["look_data"],
        Box::new(|a| vec![vec![0, 1 << a[0]]]),
    );
    let mut sums = Vec::new();
    for a in [1, 2, 3, 0] {
        p.set("in_data", a);
        cycle(&mut p, &mut [&mut m]);
        sums.push(p.get("look_sum") >> 32);
    }
    assert_eq!(sums, [0, 2, 6, 14]);
}

#[test]
#[should_panic(expected = "changed without out_rdy")]
fn an_item_that_changes_while_it_waits_is_found() {
    let mut p = Pins::new("unit_skid").unwrap();
    p.set("faulty", 1);
    let mut x = StreamIn::new("in", &["data"], 1, 0);
    let mut y = StreamOut::new("out", &["data"], 2, 256);
    x.push(&[3]);
    for _ in 0..10 {
        cycle(&mut p, &mut [&mut x, &mut y]);
    }
}

#[test]
#[should_panic(expected = "does not fit the 1 bits")]
fn a_value_that_does_not_fit_is_refused() {
    Pins::new("unit_skid").unwrap().set("rst", 2);
}
