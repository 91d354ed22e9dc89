//! The queues against plain vectors: contents, lengths, order of jobs, and what is left from the command before.

use abi::config::SIM;
use sim_tb::pins::{cycle, Pins, Stream, StreamIn, StreamOut};
use sim_tb::rng::Rng;

const E: usize = SIM.experts_max;
const T: usize = SIM.tokens_max;

/// The outputs that are levels, as of the last cycle.
#[derive(Default)]
struct Levels {
    jobs: u64,
    done: bool,
}

impl Stream for Levels {
    fn drive(&mut self, _: &mut Pins) {}
    fn sample(&mut self, pins: &mut Pins) {
        self.jobs = pins.get("jobs");
        self.done = pins.get("jobs_done") == 1;
    }
}

/// One command: for each token its experts.
fn command(p: &mut Pins, experts: usize, routes: &[Vec<usize>], seed: u64, stall: u32) {
    let mut r = Rng::new(seed);
    p.set("experts", experts as u64);
    p.set("go", 1);
    p.tick();
    p.set("go", 0);

    let mut queues = vec![Vec::new(); experts];
    let mut route = StreamIn::new("rt", &["token", "expert", "weight"], seed, stall);
    for (token, chosen) in routes.iter().enumerate() {
        for &expert in chosen {
            let weight = r.below(65537);
            route.push(&[token as u64, expert as u64, weight]);
            queues[expert].push((token as u64, weight));
        }
    }
    let mut jobs = StreamOut::new("job", &["expert"], seed + 1, stall);
    let mut levels = Levels::default();
    // Done comes with the last route, or some cycles later.
    let late = seed % 3;
    let total = routes.iter().map(Vec::len).sum::<usize>();
    while route.sent() < total {
        assert!(
            !levels.done && jobs.is_empty(),
            "a job before all routes are in"
        );
        let last = route.sent() + 1 == total;
        p.set("rt_done", 0);
        if last && late == 0 && stall == 0 {
            p.set("rt_done", 1);
        }
        cycle(p, &mut [&mut route, &mut jobs, &mut levels]);
    }
    if late != 0 || stall != 0 {
        for _ in 0..late {
            cycle(p, &mut [&mut route, &mut jobs, &mut levels]);
        }
        p.set("rt_done", 1);
        cycle(p, &mut [&mut route, &mut jobs, &mut levels]);
    }
    p.set("rt_done", 0);
    while !levels.done {
        cycle(p, &mut [&mut route, &mut jobs, &mut levels]);
    }
    let want: Vec<u64> = (0..experts as u64)
        .filter(|&e| !queues[e as usize].is_empty())
        .collect();
    let got: Vec<u64> = (0..jobs.len()).map(|i| jobs.narrow(i)[0]).collect();
    assert_eq!(got, want, "jobs");
    assert_eq!(levels.jobs, want.len() as u64, "number of jobs");

    // Any place of any queue, one per cycle, in random order.
    let places: Vec<(usize, usize)> = want
        .iter()
        .flat_map(|&e| (0..queues[e as usize].len()).map(move |i| (e as usize, i)))
        .collect();
    for _ in 0..2 * places.len() {
        let (e, i) = places[r.below(places.len() as u64) as usize];
        p.set("q_expert", e as u64);
        p.set("q_index", i as u64);
        p.tick();
        let (token, weight) = queues[e][i];
        assert_eq!(p.get("q_token"), token, "expert {e} place {i}");
        assert_eq!(p.get("q_weight"), weight, "expert {e} place {i}");
        assert_eq!(p.get("q_len"), queues[e].len() as u64, "expert {e}");
    }
}

/// `k` different experts for each of `tokens`.
fn choose(r: &mut Rng, tokens: usize, experts: usize, k: usize) -> Vec<Vec<usize>> {
    (0..tokens)
        .map(|_| {
            let mut all: Vec<usize> = (0..experts).collect();
            (0..k.min(experts))
                .map(|_| all.swap_remove(r.below(all.len() as u64) as usize))
                .collect()
        })
        .collect()
}

#[test]
fn commands_after_one_another() {
    let mut p = Pins::new("issue").unwrap();
    p.reset("rst", 2);
    let mut r = Rng::new(41);
    println!("seed 41");
    for seed in 0..120 {
        let tokens = [1, T, 1 + r.below(T as u64) as usize][r.below(3) as usize];
        let experts = [2, E, 2 + r.below(E as u64 - 1) as usize, 16, 17, 20][r.below(6) as usize];
        let k = 1 + r.below(8) as usize;
        let routes = choose(&mut r, tokens, experts, k);
        command(
            &mut p,
            experts,
            &routes,
            seed,
            [0, 0, 120][r.below(3) as usize],
        );
    }
}

#[test]
fn one_expert_takes_all_tokens_and_every_expert_takes_one() {
    let mut p = Pins::new("issue").unwrap();
    p.reset("rst", 2);
    for e in [0, 1, 15, 16, E - 1] {
        command(&mut p, E, &vec![vec![e]; T], 3, 0);
    }
    let spread: Vec<Vec<usize>> = (0..8)
        .map(|t| (0..8).map(|s| (8 * t + s) % E).rev().collect())
        .collect();
    command(&mut p, E, &spread, 4, 0);
}

#[test]
fn a_command_that_was_cut_short_leaves_nothing_behind() {
    let mut p = Pins::new("issue").unwrap();
    p.reset("rst", 2);
    p.set("experts", E as u64);
    p.set("go", 1);
    p.tick();
    p.set("go", 0);
    p.set("rt_vld", 1);
    for e in 0..E as u64 {
        p.set("rt_expert", e);
        p.tick();
    }
    p.set("rt_vld", 0);
    p.reset("rst", 1);
    command(&mut p, E, &[vec![3, 40], vec![40, 3]], 3, 0);
}

#[test]
fn the_first_job_does_not_wait_for_a_walk_over_all_experts() {
    let mut p = Pins::new("issue").unwrap();
    p.reset("rst", 2);
    p.set("experts", E as u64);
    p.set("go", 1);
    p.tick();
    p.set("go", 0);
    p.set("rt_vld", 1);
    p.set("rt_expert", E as u64 - 1);
    p.set("rt_done", 1);
    p.tick();
    p.set("rt_vld", 0);
    p.set("rt_done", 0);
    let mut cycles = 0;
    while p.get("job_vld") == 0 {
        p.tick();
        cycles += 1;
    }
    assert_eq!(cycles, E / 16, "a cycle per 16 experts");
    assert_eq!(p.get("job_expert"), E as u64 - 1);
}
