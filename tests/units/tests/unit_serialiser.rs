//! Results of groups, one after the other: order, names and LSBs, filling left out, with stalls behind and as many groups inside as fit.

use abi::config::{SIM, VERSA};
use abi::{Config, Kind};
use sim_tb::pins::{cycle, Pins, Stream, StreamOut};
use sim_tb::rng::Rng;
use std::collections::VecDeque;

const OUT: [&str; 14] = [
    "a", "b", "pair", "kind", "limb", "row", "token", "q", "lsb_a", "lsb_b", "weight", "expert",
    "last", "end",
];
const ROW: [&str; 12] = [
    "group", "count", "last", "end", "token", "q", "weight", "kind", "limb", "exp_a", "exp_b",
    "expert",
];

#[derive(Clone)]
struct Group {
    row: [u64; 12],
    lsb: i64,
    sums: [[u64; 8]; 2],
    space: u64,
}

/// Announces groups while places are free, and lets their sums come in order, as far apart as they have to be.
struct Lanes {
    todo: VecDeque<Group>,
    inside: VecDeque<Group>,
    places: usize,
    next: u64,
    gaps: u32,
    rng: Rng,
}

impl Stream for Lanes {
    fn drive(&mut self, pins: &mut Pins) {
        let announce = self.places < 15 && !self.todo.is_empty() && !self.rng.chance(self.gaps);
        pins.set("row_vld", announce.into());
        let now = pins.cycles();
        let comes = !self.inside.is_empty() && now >= self.next && !self.rng.chance(self.gaps);
        pins.set("in_vld", comes.into());
        pins.set("lsb_vld", comes.into());
        if comes {
            let group = self.inside.pop_front().unwrap();
            pins.set("lsb_data", group.lsb as u64 & 1023);
            for lane in 0..8 {
                for (second, port) in ["in_acc", "in2_acc"].iter().enumerate() {
                    let port = format!("{port}_{lane}");
                    if pins.has(&port) {
                        pins.set(&port, group.sums[second][lane]);
                    }
                }
            }
            self.next = now + group.space;
        } else {
            for lane in 0..8 {
                pins.set(&format!("in_acc_{lane}"), self.rng.next() >> 28);
            }
        }
        if announce {
            let group = self.todo.pop_front().unwrap();
            for (name, value) in ROW.iter().zip(group.row) {
                pins.set(&format!("row_{name}"), value);
            }
            self.inside.push_back(group);
            self.places += 1;
        }
    }
    fn sample(&mut self, pins: &mut Pins) {
        self.places -= pins.get("row_gone") as usize;
    }
}

fn random(name: &str, config: &Config, seed: u64, count: u64) {
    println!("{name}, seed {seed}");
    let mut p = Pins::new(name).unwrap();
    let mut r = Rng::new(seed);
    for n in 0..count {
        let gated = r.chance(128);
        let paired = config.modes.pairs && r.chance(128);
        let kept = [0; 3].map(|_: u64| r.below(config.d_max as u64 + 1));
        p.reset("rst", 1);
        for (port, value) in [
            ("gated", gated.into()),
            ("paired", paired.into()),
            ("d", kept[0]),
            ("kept_d", kept[1]),
            ("kept_f", kept[2]),
        ] {
            p.set(port, value);
        }
        let (mut todo, mut want, mut macs, mut sections) = (VecDeque::new(), Vec::new(), 0, 0);
        for _ in 0..60 {
            let kind = [Kind::Router, Kind::Hidden, Kind::Down, Kind::Plain][r.below(4) as usize];
            let pair = gated && kind == Kind::Hidden;
            let double = paired && kind != Kind::Router;
            let results = 8 << u32::from(double) >> u32::from(pair);
            let rows = config.d_max.min(config.f_max) as u64;
            let mut exp = || r.below(401) as i64 - 200;
            let (exp_a, exp_b) = (exp(), exp());
            let group = r.below(rows / results);
            let count = if r.chance(128) {
                results
            } else {
                1 + r.below(results)
            };
            let (last, end) = (r.below(2), r.below(2));
            let (token, q) = (
                r.below(config.tokens_max as u64),
                r.below(config.tokens_max as u64),
            );
            let (weight, limb) = (r.below(1 << 20), r.below(2));
            let expert = r.below(config.experts_max as u64);
            let lsb = r.below(256) as i64 - 136;
            let sums = [[0; 8]; 2].map(|l| l.map(|_: u64| r.next() >> 28));
            for i in 0..count {
                let l = i as usize;
                let (a, b) = match (pair, double) {
                    (true, false) => (sums[0][2 * l], sums[0][2 * l + 1]),
                    (true, true) => (sums[0][l], sums[1][l]),
                    _ => (sums[l / 8][l % 8], 0),
                };
                let final_one = u64::from(i + 1 == count);
                let adds = matches!(kind, Kind::Down | Kind::Plain);
                want.push([
                    a,
                    b,
                    pair.into(),
                    kind as u64,
                    limb,
                    group * results + i,
                    token,
                    q,
                    (lsb + exp_a) as u64 & 0xFFFF,
                    (lsb + exp_b) as u64 & 0xFFFF,
                    weight,
                    expert,
                    last & final_one,
                    end & final_one & u64::from(adds),
                ]);
                macs += match kind {
                    Kind::Router => kept[0],
                    Kind::Down => kept[2],
                    _ => kept[1] << u32::from(pair),
                };
                sections += last & final_one & u64::from(adds);
            }
            todo.push_back(Group {
                row: [
                    group,
                    count - 1,
                    last,
                    end,
                    token,
                    q,
                    weight,
                    kind as u64,
                    limb,
                    exp_a as u64 & 1023,
                    exp_b as u64 & 1023,
                    expert,
                ],
                lsb,
                sums,
                space: results,
            });
        }
        let mut lanes = Lanes {
            todo,
            inside: VecDeque::new(),
            places: 0,
            next: 0,
            gaps: [0, 0, 200][r.below(3) as usize],
            rng: Rng::new(seed + n),
        };
        let mut out = StreamOut::new("out", &OUT, seed + n, [0, 60, 240][r.below(3) as usize]);
        let (mut counted, mut done, mut after) = (0, 0, 0);
        while after < 3 {
            // Pulses are looked at in the cycle in which the results move.
            struct Pulses<'a>(&'a mut u64, &'a mut u64);
            impl Stream for Pulses<'_> {
                fn drive(&mut self, _: &mut Pins) {}
                fn sample(&mut self, pins: &mut Pins) {
                    *self.0 += pins.get("macs");
                    *self.1 += pins.get("section_done");
                }
            }
            let mut pulses = Pulses(&mut counted, &mut done);
            cycle(&mut p, &mut [&mut lanes, &mut out, &mut pulses]);
            after += usize::from(out.len() == want.len());
        }
        for (i, want) in want.iter().enumerate() {
            let mut got = out.narrow(i);
            if want[2] == 0 {
                (got[1], got[9]) = (want[1], want[9]);
            }
            assert_eq!(got, want, "result {i}: {OUT:?}");
        }
        assert_eq!(out.len(), want.len());
        assert_eq!((counted, done), (macs, sections));
        assert_eq!((p.get("busy"), lanes.places), (0, 0));
    }
}

#[test]
fn random_groups() {
    random("serialiser", &SIM, 97, 40);
}

#[test]
fn random_groups_of_int8() {
    random("serialiser_versa", &VERSA, 98, 40);
}
