//! A lane's values and positions of a beat, in every storage form.

use abi::config::{ALL_MODES, INT8_MODES};
use abi::{Config, Sparsity, Storage};
use sim_tb::pins::Pins;
use sim_tb::rng::Rng;

fn random(name: &str, config: &Config, seed: u64) {
    println!("{name}, seed {seed}");
    let mut p = Pins::new(name).unwrap();
    let mut r = Rng::new(seed);
    let octets = config.modes.octets;
    for storage in (0..=255).filter_map(Storage::from_code) {
        if !config.reads(storage.format, storage.sparsity, storage.paired) {
            continue;
        }
        let (s, bits) = (storage.sparsity, storage.format.bits());
        let g = storage.granule_bits();
        for _ in 0..200 {
            let (word, index) = (r.next(), r.next() as u32);
            let part = r.below(64 / g as u64) as usize;
            let (half, pass) = (r.below(2), r.below(s.passes() as u64));
            p.set_wide("word", &[word as u32, (word >> 32) as u32]);
            p.set("index", index.into());
            p.set("part", (part * g / 16) as u64);
            p.set("nibbles", (bits == 4).into());
            p.set("twofold", storage.paired.into());
            p.set("eighth", (s == Sparsity::OneOfEight).into());
            p.set("quads", (s == Sparsity::FourOfEight).into());
            p.set("dense", (s == Sparsity::Dense).into());
            p.set("pick", if s == Sparsity::Dense { pass } else { 3 * half });
            let (values, positions) = (p.get("values"), p.get("positions"));
            for j in 0..8 {
                // 1:8: only even multipliers have values.
                let entry = match s {
                    Sparsity::OneOfEight => (j % 2 == 0).then_some(j / 2),
                    _ => Some(j),
                };
                let mask = (1u64 << bits) - 1;
                let got = values >> (8 * j) & 255;
                let Some(entry) = entry else {
                    // A weight of zero in the form that is read.
                    assert_eq!(got & mask, 0, "{storage:?}, multiplier {j}");
                    continue;
                };
                let at = part * g + entry * bits;
                assert_eq!(got & mask, word >> at & mask, "{storage:?}, multiplier {j}");
                if storage.paired {
                    let second = word >> (at + s.pass_values() * bits) & mask;
                    assert_eq!(got >> 4, second, "{storage:?}, multiplier {j}");
                }
                let sixteen = index >> (16 * half) & 0xFFFF;
                let two = |n: u32| n + if octets { 4 * (j as u32 % 2) } else { 0 };
                let want = match s {
                    Sparsity::Dense => two(pass as u32),
                    Sparsity::TwoOfFour | Sparsity::OneOfFour => two(sixteen >> (2 * j) & 3),
                    Sparsity::FourOfEight => index >> (4 * j) & 15,
                    Sparsity::OneOfEight => sixteen >> (4 * entry) & 15,
                };
                let got = positions >> (4 * j) & 15;
                assert_eq!(got, u64::from(want), "{storage:?}, multiplier {j}");
            }
        }
    }
}

#[test]
fn every_form() {
    let config = abi::config::SIM;
    assert_eq!(config.modes, ALL_MODES);
    random("granule", &config, 93);
}

#[test]
fn int8_alone() {
    let config = abi::config::VERSA;
    assert_eq!(config.modes, INT8_MODES);
    random("granule_versa", &config, 94);
}
