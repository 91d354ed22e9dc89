//! Chunks become beats: the right blocks, passes and addresses in every storage form, rows that keep their distance.

use abi::config::{SIM, VERSA};
use abi::{Config, Format, Kind, Sparsity, Storage};
use sim_tb::pins::{cycle, Pins, StreamIn, StreamOut};
use sim_tb::rng::Rng;

const CHUNK: [&str; 8] = [
    "mask", "base", "vector", "limb", "kind", "last", "free", "slot",
];
const BEAT: [&str; 17] = [
    "value_addr",
    "value_part",
    "position_addr",
    "position_part",
    "scale_addr",
    "blk",
    "vector",
    "limb",
    "kind",
    "bias",
    "biased",
    "pass",
    "block_last",
    "row_first",
    "row_last",
    "free",
    "slot",
];

/// Beats of one group (a row of each lane), and how many cycles must lie between its end and the next.
struct Row {
    beats: Vec<[u64; 17]>,
    space: u64,
    skipped: u64,
}

#[allow(clippy::too_many_arguments)]
fn row(
    storage: Storage,
    gated: bool,
    router_bias: bool,
    nblk: usize,
    masks: &[u32],
    base: usize,
    vector: u64,
    limb: u64,
    kind: Kind,
) -> Row {
    let router = kind == Kind::Router;
    let s = if router {
        Storage {
            bias: router_bias,
            ..Storage::INT8
        }
    } else {
        storage
    };
    let passes = s.sparsity.passes();
    // Addresses have sixteen bits.
    let word = |offset: usize| ((base + offset) & 0xffff) as u64;
    let mut blocks: Vec<(usize, usize)> = Vec::new();
    for (chunk, mask) in masks.iter().enumerate() {
        blocks.extend(
            (0..32)
                .filter(|b| mask >> b & 1 == 1)
                .map(|b| (32 * chunk + b, passes)),
        );
        if chunk + 1 == masks.len() {
            if s.bias {
                blocks.push((nblk, passes));
            } else if *mask == 0 {
                blocks.push((32 * chunk, s.lane_rows()));
            }
        }
    }
    let mut beats = Vec::new();
    for (i, &(block, passes_here)) in blocks.iter().enumerate() {
        for pass in 0..passes_here {
            let c = block * passes + pass;
            let g = s.granule_bits();
            let pb = s.sparsity.position_bits();
            let second = usize::from(s.paired && pass > 0);
            let position = if pb == 0 { 0 } else { word(c * pb / 32) };
            beats.push([
                word(c * g / 64),
                (c * g % 64 / 16) as u64,
                position,
                u64::from(pb == 16 && c % 2 == 1),
                word(block * s.lane_rows() + second),
                block as u64,
                vector,
                limb,
                kind as u64,
                (s.bias && block == nblk).into(),
                s.bias.into(),
                pass as u64,
                (pass + 1 == passes_here).into(),
                (i == 0).into(),
                (i + 1 == blocks.len()).into(),
                0,
                0,
            ]);
        }
    }
    let results = match kind {
        Kind::Hidden if gated => 4 * s.lane_rows(),
        _ => 8 * s.lane_rows(),
    };
    let whole = (nblk + usize::from(s.bias)) * passes;
    Row {
        space: results as u64,
        skipped: whole.saturating_sub(beats.len()) as u64,
        beats,
    }
}

fn random(name: &str, config: &Config, seed: u64, rounds: usize) {
    println!("{name}, seed {seed}");
    let mut p = Pins::new(name).unwrap();
    let mut r = Rng::new(seed);
    let storages: Vec<Storage> = (0..=255)
        .filter_map(Storage::from_code)
        .filter(|s| config.reads(s.format, s.sparsity, s.paired))
        .collect();
    for n in 0..rounds * storages.len() {
        let storage = storages[n % storages.len()];
        let gated = r.chance(128);
        let router_bias = r.chance(128);
        // Of the longest vectors with nothing in them, the most beats are left out.
        let empty = r.chance(64);
        let mut count = |most: usize| {
            let longest = most / 32;
            let most = [1, 3, 8, longest][r.below(4) as usize];
            match empty {
                true => longest,
                false => 1 + r.below(most as u64) as usize,
            }
        };
        let nblk = [count(config.d_max), count(config.f_max)];
        p.reset("rst", 1);
        for (port, value) in [
            ("format", storage.format as u64),
            ("sparsity", storage.sparsity as u64),
            ("paired", storage.paired.into()),
            ("gated", gated.into()),
            ("bias", storage.bias.into()),
            ("router_bias", router_bias.into()),
            ("nblk_d", nblk[0] as u64),
            ("nblk_f", nblk[1] as u64),
        ] {
            p.set(port, value);
        }
        let mut input = StreamIn::new("ch", &CHUNK, seed + 1, [0, 0, 200][r.below(3) as usize]);
        // Where few blocks are there, any of them is the first.
        let dense = match empty {
            true => 0,
            false => [0, 10, 100, 250][r.below(4) as usize],
        };
        let mut want: Vec<[u64; 17]> = Vec::new();
        let (mut spaces, mut skipped) = (Vec::new(), 0);
        for _ in 0..30 {
            if r.chance(40) {
                let slot = r.below(8);
                // Only the slot means anything.
                let any = [32, 16, 8, 1, 2, 1].map(|bits| r.below(1 << bits));
                let [mask, base, vector, limb, kind, last] = any;
                input.push(&[mask, base, vector, limb, kind, last, 1, slot]);
                let mut free = [0; 17];
                (free[15], free[16]) = (1, slot);
                want.push(free);
                continue;
            }
            let kind = [Kind::Router, Kind::Hidden, Kind::Down, Kind::Plain][r.below(4) as usize];
            let blocks = nblk[usize::from(kind == Kind::Down)];
            let masks: Vec<u32> = (0..blocks.div_ceil(32))
                .map(|chunk| {
                    let here = (blocks - 32 * chunk).min(32);
                    (0..here).fold(0, |m, b| m | u32::from(r.chance(dense)) << b)
                })
                .collect();
            let base = r.below(1 << 16) as usize;
            let (vector, limb) = (r.below(256), r.below(2));
            for (chunk, mask) in masks.iter().enumerate() {
                input.push(&[
                    (*mask).into(),
                    base as u64,
                    vector,
                    limb,
                    kind as u64,
                    (chunk + 1 == masks.len()).into(),
                    0,
                    0,
                ]);
            }
            let row = row(
                storage,
                gated,
                router_bias,
                blocks,
                &masks,
                base,
                vector,
                limb,
                kind,
            );
            spaces.push(row.space);
            skipped += row.skipped;
            want.extend(row.beats);
        }
        let at = format!("{storage:?}, gated {gated}, {nblk:?}");
        let (mut seen, mut ends, mut left) = (0, Vec::new(), 0);
        let mut nothing = StreamOut::new("bt", &[], 0, 0);
        let mut idle = 0;
        while idle < 500 {
            cycle(&mut p, &mut [&mut input, &mut nothing]);
            left += p.get("skipped");
            idle += 1;
            if p.get("bt_vld") == 1 || p.get("bt_free") == 1 {
                idle = 0;
                let mut got = BEAT.map(|f| p.get(&format!("bt_{f}")));
                let want = want.get(seen).copied().unwrap_or_default();
                if want[15] == 1 {
                    got[..15].copy_from_slice(&want[..15]);
                } else {
                    got[16] = 0;
                    if want[8] == 0 || storage.sparsity == Sparsity::Dense {
                        (got[2], got[3]) = (want[2], want[3]); // dense: no positions
                    }
                    if want[12] == 1 && want[14] == 1 {
                        ends.push(p.cycles());
                    }
                }
                assert_eq!(got, want, "beat {seen}: {BEAT:?}, {at}");
                seen += 1;
            }
        }
        assert_eq!(seen, want.len(), "{at}");
        assert_eq!(left, skipped, "beats left out: {at}");
        for (pair, space) in ends.windows(2).zip(&spaces) {
            assert!(
                pair[1] - pair[0] >= *space,
                "rows {} cycles apart: {at}",
                pair[1] - pair[0]
            );
        }
    }
}

#[test]
fn random_chunks() {
    assert!(SIM.reads(Format::Int4, Sparsity::Dense, true));
    random("beats", &SIM, 95, 3);
}

#[test]
fn random_chunks_of_int8() {
    random("beats_versa", &VERSA, 96, 12);
}
