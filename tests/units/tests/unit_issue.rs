//! The queues against plain vectors: contents, lengths, order of jobs, and what is left from the command before.

use abi::config::SIM;
use sim_tb::pins::{cycle, Pins, Stream, StreamIn, StreamOut};
use sim_tb::rng::Rng;

const E: usize = SIM.experts_max;
const T: usize = SIM.tokens_max;

/// The outputs that are levels, as of the last cycle, and how many jobs were used.
#[derive(Default)]
struct Levels {
    jobs: u64,
    done: bool,
    known: bool,
    wanted: u64,
    uses: u64,
}

impl Stream for Levels {
    fn drive(&mut self, _: &mut Pins) {}
    fn sample(&mut self, pins: &mut Pins) {
        self.jobs = pins.get("jobs");
        self.done = pins.get("jobs_done") == 1;
        self.known = pins.get("tag_known") == 1;
        self.wanted = pins.get("tag_wanted");
        self.uses += pins.get("uses");
    }
}

/// Tags of four slots: expert and state (0 none, 1 in flight, 2 complete).
type Tags = [(usize, u64); 4];
const NO_TAGS: Tags = [(0, 0); 4];

fn set_tags(p: &mut Pins, tags: &Tags) {
    for (i, (expert, state)) in tags.iter().enumerate() {
        p.set(&format!("tag_expert_{i}"), *expert as u64);
        p.set(&format!("tag_state_{i}"), *state);
    }
}

/// The rule: complete tags, tags in flight, then by falling length and rising index.
fn order(queues: &[Vec<(u64, u64)>], tags: &Tags) -> Vec<u64> {
    let mut rest: Vec<usize> = (0..queues.len())
        .filter(|&e| !queues[e].is_empty())
        .collect();
    rest.sort_by_key(|&e| (std::cmp::Reverse(queues[e].len()), e));
    let mut all = Vec::new();
    for state in [2, 1] {
        for tag in tags.iter().filter(|t| t.1 == state) {
            if let Some(at) = rest.iter().position(|&e| e == tag.0) {
                all.push(rest.remove(at) as u64);
            }
        }
    }
    all.extend(rest.iter().map(|&e| e as u64));
    all
}

/// One command: for each token its experts. Tags change at random if there are none given, and then the order is free.
fn command(
    p: &mut Pins,
    experts: usize,
    routes: &[Vec<usize>],
    tags: Option<&Tags>,
    seed: u64,
    stall: u32,
) {
    let mut r = Rng::new(seed);
    p.set("experts", experts as u64);
    set_tags(p, tags.unwrap_or(&NO_TAGS));
    p.set("go", 1);
    p.tick();
    p.set("go", 0);
    let started = p.cycles();

    let mut queues = vec![Vec::new(); experts];
    let mut route = StreamIn::new("rt", &["token", "expert", "weight"], seed, stall);
    for (token, chosen) in routes.iter().enumerate() {
        for &expert in chosen {
            let weight = r.below(1 << 20);
            route.push(&[token as u64, expert as u64, weight]);
            queues[expert].push((token as u64, weight));
        }
    }
    let mut jobs = StreamOut::new("job", &["expert"], seed + 1, stall);
    let mut levels = Levels::default();
    // Done comes with the last route, or some cycles later.
    let late = seed % 3;
    let total = routes.iter().map(Vec::len).sum::<usize>();
    let with_last = late == 0 && stall == 0 && total > 0;
    while route.sent() < total {
        assert!(
            !levels.done && !levels.known && jobs.is_empty(),
            "a job before all routes are in"
        );
        p.set("rt_done", u64::from(with_last && route.sent() + 1 == total));
        cycle(p, &mut [&mut route, &mut jobs, &mut levels]);
    }
    p.set("rt_vld", 0);
    if !with_last {
        for _ in 0..late {
            cycle(p, &mut [&mut jobs, &mut levels]);
        }
        p.set("rt_done", 1);
        cycle(p, &mut [&mut jobs, &mut levels]);
    }
    p.set("rt_done", 0);
    // The last route is in its queue, and looked up, three cycles later.
    for _ in 0..3 {
        cycle(p, &mut [&mut jobs, &mut levels]);
    }
    let mut moving = NO_TAGS;
    let mut before = *tags.unwrap_or(&NO_TAGS);
    while !levels.done {
        if tags.is_none() && r.chance(60) {
            moving[r.below(4) as usize] = (r.below(experts as u64) as usize, r.below(3));
            set_tags(p, &moving);
        }
        cycle(p, &mut [&mut jobs, &mut levels]);
        let wanted = (0..4)
            .map(|i| u64::from(!queues[before[i].0].is_empty()) << i)
            .sum::<u64>();
        before = *tags.unwrap_or(&moving);
        // The choice waits until the loader knows its slots.
        assert!(levels.known || p.cycles() - started <= 20);
        if levels.known {
            assert_eq!(levels.wanted, wanted, "wanted tags");
        }
    }
    let mut want = order(&queues, tags.unwrap_or(&NO_TAGS));
    let mut got: Vec<u64> = (0..jobs.len()).map(|i| jobs.narrow(i)[0]).collect();
    if tags.is_none() {
        want.sort_unstable();
        got.sort_unstable();
    }
    assert_eq!(got, want, "jobs");
    assert_eq!(levels.jobs, want.len() as u64, "number of jobs");
    assert_eq!(levels.uses, want.len() as u64, "uses");

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
    for seed in 0..150 {
        let tokens = [
            1,
            T,
            1 + r.below(T as u64) as usize,
            1 + r.below(9) as usize,
        ][r.below(4) as usize];
        let experts = [2, E, 2 + r.below(E as u64 - 1) as usize, 16, 17, 20][r.below(6) as usize];
        let k = 1 + r.below(8) as usize;
        let routes = choose(&mut r, tokens, experts, k);
        let mut tags = NO_TAGS;
        for tag in &mut tags {
            *tag = (r.below(experts as u64) as usize, r.below(3));
        }
        let tags = [Some(&tags), Some(&NO_TAGS), None][r.below(3) as usize];
        let stall = [0, 0, 120, 230][r.below(4) as usize];
        command(&mut p, experts, &routes, tags, seed, stall);
    }
}

#[test]
fn one_expert_takes_all_tokens_and_every_expert_takes_one() {
    let mut p = Pins::new("issue").unwrap();
    p.reset("rst", 2);
    for e in [0, 1, 15, 16, E - 1] {
        command(&mut p, E, &vec![vec![e]; T], Some(&NO_TAGS), 3, 0);
    }
    let spread: Vec<Vec<usize>> = (0..E / 8)
        .map(|t| (0..8).map(|s| (8 * t + s) % E).rev().collect())
        .collect();
    command(&mut p, E, &spread, Some(&NO_TAGS), 4, 0);
    command(&mut p, 1, &[vec![0]], Some(&NO_TAGS), 4, 0);
}

#[test]
fn no_route_at_all_is_no_job() {
    let mut p = Pins::new("issue").unwrap();
    p.reset("rst", 2);
    for seed in 0..3 {
        command(&mut p, 8, &[vec![], vec![]], Some(&[(3, 2); 4]), seed, 0);
        command(&mut p, 8, &[vec![], vec![5]], Some(&[(5, 1); 4]), seed, 0);
    }
}

#[test]
fn the_longest_queue_goes_first_and_ties_by_index() {
    let mut p = Pins::new("issue").unwrap();
    p.reset("rst", 2);
    // Lengths: expert 9 three, experts 4 and 12 two, experts 2, 7 and 200 one; the tags stand before them.
    let routes = [vec![12, 9, 200], vec![9, 4, 7], vec![2, 4, 9], vec![12]];
    for (tags, want) in [
        (NO_TAGS, [9, 4, 12, 2, 7, 200]),
        ([(7, 1), (200, 2), (0, 2), (3, 1)], [200, 7, 9, 4, 12, 2]),
        ([(4, 2), (9, 2), (4, 1), (12, 1)], [4, 9, 12, 2, 7, 200]),
        ([(9, 1), (9, 2), (2, 0), (2, 1)], [9, 2, 4, 12, 7, 200]),
    ] {
        let mut queues = vec![Vec::new(); E];
        for e in routes.iter().flatten() {
            queues[*e].push((0, 0));
        }
        assert_eq!(order(&queues, &tags), want);
        command(&mut p, E, &routes, Some(&tags), 1, 0);
    }
}

#[test]
fn a_command_that_was_cut_short_leaves_nothing_behind() {
    let mut p = Pins::new("issue").unwrap();
    p.reset("rst", 2);
    for jobs in 0..4 {
        p.set("experts", E as u64);
        p.set("go", 1);
        p.tick();
        p.set("go", 0);
        p.set("rt_vld", 1);
        for e in 0..E as u64 {
            p.set("rt_expert", e);
            p.set("rt_done", u64::from(jobs > 0 && e == E as u64 - 1));
            p.tick();
        }
        p.set("rt_vld", 0);
        p.set("rt_done", 0);
        p.set("job_rdy", 1);
        for _ in 0..10 * jobs {
            p.tick();
        }
        p.reset("rst", 1);
        command(&mut p, E, &[vec![3, 40], vec![40, 3]], Some(&NO_TAGS), 3, 0);
    }
}

#[test]
fn the_first_job_comes_at_once_and_the_others_after_a_scan() {
    let mut p = Pins::new("issue").unwrap();
    p.reset("rst", 2);
    p.set("experts", E as u64);
    p.set("go", 1);
    p.tick();
    p.set("go", 0);
    for _ in 0..18 {
        p.tick();
    }
    p.set("rt_vld", 1);
    for (token, expert) in [(0, E - 1), (1, E - 1), (1, E - 2)] {
        p.set("rt_token", token);
        p.set("rt_expert", expert as u64);
        p.set("rt_done", u64::from(expert == E - 2));
        p.tick();
    }
    p.set("rt_vld", 0);
    p.set("rt_done", 0);
    for (expert, wait) in [(E - 1, 5), (E - 2, E + 8)] {
        let mut cycles = 0;
        p.set("job_rdy", 0);
        while p.get("job_vld") == 0 {
            p.tick();
            cycles += 1;
        }
        assert_eq!(p.get("job_expert"), expert as u64);
        assert_eq!(cycles, wait, "expert {expert}");
        p.set("job_rdy", 1);
        p.tick();
    }
    for _ in 0..2 {
        p.tick();
    }
    assert_eq!(p.get("jobs_done"), 1);
}

#[test]
fn no_choice_before_the_loader_knows_its_slots() {
    // Routes at once: the loader tells 14 cycles after `go` that the second expert is in a slot already.
    let mut p = Pins::new("issue").unwrap();
    p.reset("rst", 2);
    p.set("experts", E as u64);
    set_tags(&mut p, &NO_TAGS);
    p.set("go", 1);
    p.tick();
    p.set("go", 0);
    let started = p.cycles();
    p.set("rt_vld", 1);
    for (token, expert) in [(0, 3), (1, 5)] {
        p.set("rt_token", token);
        p.set("rt_expert", expert);
        p.set("rt_done", u64::from(expert == 5));
        p.tick();
    }
    p.set("rt_vld", 0);
    p.set("rt_done", 0);
    for _ in 3..14 {
        assert_eq!(p.get("job_vld"), 0);
        p.tick();
    }
    set_tags(&mut p, &[(5, 2), (0, 0), (0, 0), (0, 0)]);
    while p.get("job_vld") == 0 {
        p.tick();
    }
    assert_eq!(p.get("job_expert"), 5);
    assert_eq!(p.cycles() - started, 20);
}

#[test]
fn every_tag_finds_every_expert() {
    let mut p = Pins::new("issue").unwrap();
    p.reset("rst", 2);
    let at = |e: usize, d: usize| (e + d) % E;
    for e in 0..E {
        // Four complete tags, each with one token, stand before a longer queue.
        let tags: Tags = std::array::from_fn(|i| (at(e, i), 2));
        let routes = [(0..5).map(|d| at(e, d)).collect(), vec![at(e, 4)]];
        command(&mut p, E, &routes, Some(&tags), 1, 0);
    }
}

#[test]
fn no_route_is_taken_for_one_of_a_neighbour() {
    // One expert has a token; the tags are those around it, of which none has.
    let mut p = Pins::new("issue").unwrap();
    p.reset("rst", 2);
    for e in 0..E {
        for d in (1..16).step_by(4) {
            let tags: Tags = std::array::from_fn(|i| (e ^ (d + i), 2));
            command(&mut p, E, &[vec![e]], Some(&tags), 1, 0);
        }
    }
}
