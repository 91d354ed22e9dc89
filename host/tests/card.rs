//! The driver on the golden board, through the library: what a real board would be asked, without a clock.

mod common;

use abi::config::{SIM, TINY, VERSA};
use abi::{Config, Format, Sparsity};
use common::{fixture, Scratch, FAMILIES};
use golden::sample::Random;
use host::bitstream::Manifest;
use host::driver::{CardExperts, Error, GoldenBoard};
use host::model::Model;
use host::pack::{self, PackedLayer};
use host::runtime::{CpuExperts, Experts, Routing};

fn manifest(config: Config) -> Manifest {
    Manifest {
        path: "test.toml".into(),
        board: "test".into(),
        config,
        fingerprint: abi::fingerprint(&config),
        device: vec!["golden".into()],
        image: None,
    }
}

fn load(config: Config, model: &Model, batch: usize) -> Result<CardExperts, Error> {
    let board = GoldenBoard::open(config)?;
    CardExperts::load(Box::new(board), &manifest(config), model, batch)
}

fn message(result: Result<CardExperts, Error>) -> String {
    match result {
        Ok(_) => panic!("it was accepted"),
        Err(e) => e.to_string(),
    }
}

fn vectors(seed: u64, tokens: usize, width: usize) -> Vec<f32> {
    println!("seed {seed}");
    let mut random = Random::new(seed);
    (0..tokens * width)
        .map(|_| random.normal() as f32)
        .collect()
}

/// Outputs and routing of one layer.
fn layer(experts: &mut dyn Experts, at: usize, x: &[f32]) -> (Vec<f32>, Routing) {
    let (mut out, mut routing) = (vec![f32::NAN; x.len()], Routing::default());
    experts.layer(at, x, &mut out, &mut routing).unwrap();
    (out, routing)
}

fn relative(a: &[f32], b: &[f32]) -> f64 {
    let square = |v: f32| f64::from(v) * f64::from(v);
    let error: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    let norm: f64 = b.iter().map(|b| square(*b)).sum();
    (error / norm).sqrt()
}

#[test]
fn the_card_agrees_with_the_cpu() {
    for family in FAMILIES {
        let model = Model::open(&fixture(family)).unwrap();
        let d = model.spec.hidden;
        let mut card = load(SIM, &model, 64).unwrap();
        let mut cpu = CpuExperts::open(&model).unwrap();
        for (at, moe) in model.spec.moe_layers() {
            let x = vectors(at as u64, 70, d);
            let (y, chosen) = layer(&mut card, at, &x);
            let (want, wanted) = layer(&mut cpu, at, &x);
            assert_eq!(chosen.indices, wanted.indices, "{family} layer {at}");
            for (a, b) in chosen.weights.iter().zip(&wanted.weights) {
                assert!((a - b).abs() < 1e-3, "{a} {b}");
            }
            let error = relative(&y, &want);
            println!("{family} layer {at}: relative error of the outputs {error:.2e}");
            assert!(error < 3e-2);
            assert_eq!(chosen.top_k, moe.router.top_k);
        }
        let stats = card.report().unwrap();
        let layers = model.spec.moe_layers().count() as u64;
        // 70 tokens at 64 a time.
        assert_eq!(stats.commands, 2 * layers);
        let macs: usize = model
            .spec
            .moe_layers()
            .map(|(_, moe)| 70 * (moe.router.top_k * 3 * d * moe.width + 4 * moe.experts * d))
            .sum();
        assert_eq!(stats.macs, macs as u64);
        assert_eq!((stats.cycles, stats.saturations), (0, 0));
    }
}

#[test]
fn routing_agrees_with_f32_on_random_vectors() {
    let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/demo");
    let model = Model::open(&demo).unwrap();
    let mut card = load(SIM, &model, 512).unwrap();
    let mut cpu = CpuExperts::open(&model).unwrap();
    let (mut same, mut all) = (0, 0);
    for (at, _) in model.spec.moe_layers() {
        let x = vectors(50 + at as u64, 512, model.spec.hidden);
        let (_, chosen) = layer(&mut card, at, &x);
        let (_, wanted) = layer(&mut cpu, at, &x);
        let sets = |r: &Routing| -> Vec<Vec<u32>> {
            let rows = r.indices.chunks(r.top_k).map(|row| {
                let mut row = row.to_vec();
                row.sort_unstable();
                row
            });
            rows.collect()
        };
        let pairs = sets(&chosen).into_iter().zip(sets(&wanted));
        same += pairs.filter(|(a, b)| a == b).count();
        all += 512;
    }
    println!("the same experts for {same} of {all} vectors");
    assert!(same * 1000 >= all * 995, "{same} of {all}");
}

#[test]
fn a_batch_may_be_split_anywhere() {
    let model = Model::open(&fixture("olmoe")).unwrap();
    let x = vectors(7, 45, model.spec.hidden);
    let want = layer(&mut load(SIM, &model, 45).unwrap(), 1, &x);
    for (config, batch) in [(SIM, 1), (SIM, 7), (SIM, 200), (TINY, 45), (TINY, 3)] {
        let mut card = load(config, &model, batch).unwrap();
        assert_eq!(layer(&mut card, 1, &x), want, "batches of {batch}");
        // The ring goes round.
        for _ in 0..5 {
            assert_eq!(layer(&mut card, 1, &x), want);
        }
    }
}

#[test]
fn weights_changed_in_card_memory_change_the_output() {
    let model = Model::open(&fixture("mixtral")).unwrap();
    let mut card = load(TINY, &model, 1).unwrap();
    let x = vectors(8, 1, model.spec.hidden);
    let (before, routing) = layer(&mut card, 0, &x);
    let expert = routing.indices[0] as usize;
    let (address, bytes) = card.expert_image(0, expert).unwrap();
    let last = address + bytes as u64 - 8; // the last part of the last word of values: down's last row
    let mut value = [0; 8];
    card.device().copy_out(last, &mut value).unwrap();
    card.device()
        .copy_in(&value.map(|v| v ^ 0x40), last)
        .unwrap();
    let (after, _) = layer(&mut card, 0, &x);
    assert_ne!(before, after);
    card.device().copy_in(&value, last).unwrap();
    assert_eq!(layer(&mut card, 0, &x).0, before);
    assert_eq!(card.expert_image(0, 8), None);
    assert_eq!(card.expert_image(99, 0), None);
}

#[test]
fn a_packed_directory_gives_the_same_bits_as_packing_at_load() {
    for family in FAMILIES {
        let scratch = Scratch::new(&format!("card-{family}"));
        let model = Model::open(&fixture(family)).unwrap();
        let options = pack::Options::default();
        let report = pack::pack(&model, &scratch.0, &options).unwrap();
        let packed = Model::open(&scratch.0).unwrap();
        assert_eq!(packed.spec, model.spec);
        for (at, moe) in model.spec.moe_layers() {
            assert_eq!(
                PackedLayer::of(&packed, at, &options).unwrap(),
                PackedLayer::of(&model, at, &options).unwrap()
            );
            let errors = report.layers.iter().filter(|r| r.layer == at);
            assert_eq!(errors.clone().count(), 4, "gate, up, down, router");
            assert!(errors.clone().all(|r| r.relative_error < 0.01));
            assert!(moe.experts > 0);
        }
        let x = vectors(9, 5, model.spec.hidden);
        let at = model.spec.moe_layers().next().unwrap().0;
        assert_eq!(
            layer(&mut load(TINY, &packed, 5).unwrap(), at, &x),
            layer(&mut load(TINY, &model, 5).unwrap(), at, &x)
        );
        assert_eq!(
            model.expert(at, 0).unwrap().gate.shape,
            packed.expert(at, 0).unwrap().gate.shape
        );
    }
}

#[test]
fn every_storage_runs_and_agrees_with_the_cpu_on_the_same_numbers() {
    let model = Model::open(&fixture("qwen2_moe")).unwrap();
    for format in Format::ALL {
        for sparsity in Sparsity::ALL {
            let pairable = format != Format::Int8 && sparsity.passes() >= 2;
            for pair in [false, true] {
                if pair && !pairable {
                    continue;
                }
                let scratch = Scratch::new("card-storage");
                let options = pack::Options {
                    format,
                    sparsity,
                    pair,
                };
                let report = pack::pack(&model, &scratch.0, &options).unwrap();
                let (n, m) = sparsity.ratio();
                assert!(report.layers.iter().all(|r| r.kept
                    == match r.matrix {
                        "router" => 1.0,
                        _ => n as f64 / m as f64,
                    }));
                let packed = Model::open(&scratch.0).unwrap();
                let at = packed.spec.moe_layers().next().unwrap().0;
                assert_eq!(
                    PackedLayer::of(&packed, at, &options).unwrap(),
                    PackedLayer::of(&model, at, &options).unwrap()
                );
                let x = vectors(10, 20, packed.spec.hidden);
                let mut card = load(SIM, &packed, 20).unwrap();
                let (y, chosen) = layer(&mut card, at, &x);
                let (want, wanted) = layer(&mut CpuExperts::open(&packed).unwrap(), at, &x);
                assert_eq!(chosen.indices, wanted.indices);
                let error = relative(&y, &want);
                println!("{options:?}: relative error of the outputs {error:.2e}");
                assert!(error < 3e-2);
                // An engine that cannot pair rows gives the same bits.
                let alone = Config {
                    modes: abi::config::Modes {
                        pairs: false,
                        ..SIM.modes
                    },
                    ..SIM
                };
                assert_eq!(layer(&mut load(alone, &packed, 20).unwrap(), at, &x).0, y);
                let again = pack::pack(&packed, &scratch.path("again"), &options);
                assert!(again.unwrap_err().to_string().contains("packed already"));
            }
        }
    }
}

#[test]
fn storage_that_the_engine_lacks_is_refused() {
    let scratch = Scratch::new("card-lacks");
    let model = Model::open(&fixture("mixtral")).unwrap();
    let options = pack::Options {
        format: Format::Int4,
        ..pack::Options::default()
    };
    pack::pack(&model, &scratch.0, &options).unwrap();
    let e = message(load(VERSA, &Model::open(&scratch.0).unwrap(), 1));
    assert!(e.contains("int4") && e.contains("versa"), "{e}");
    let pairs = pack::Options {
        pair: true,
        ..pack::Options::default()
    };
    let e = pack::pack(&model, &scratch.path("x"), &pairs).unwrap_err();
    assert!(e.to_string().contains("--pair"), "{e}");
}

#[test]
fn a_model_larger_than_card_memory_is_refused() {
    let model = Model::open(&fixture("mixtral")).unwrap();
    let config = Config {
        memory_bytes: 64 << 10,
        ..TINY
    };
    let e = message(load(config, &model, 1));
    assert!(e.contains("65536") && e.contains("card memory"), "{e}");
}

#[test]
fn a_batch_larger_than_card_memory_is_refused() {
    let model = Model::open(&fixture("mixtral")).unwrap();
    for batch in [100_000, usize::MAX] {
        let e = message(load(TINY, &model, batch));
        assert!(
            e.contains(&format!("a batch of {batch} tokens")) && e.contains("--batch-size"),
            "{e}"
        );
    }
}

#[test]
fn dimensions_beyond_the_engine_are_named() {
    let model = Model::open(&fixture("olmoe")).unwrap();
    let small = Config {
        experts_max: 8,
        ..TINY
    };
    let e = message(load(small, &model, 1));
    assert!(
        e.contains("experts of 16") && e.contains("at most 8"),
        "{e}"
    );
}

#[test]
fn another_engine_is_refused_with_both_fingerprints() {
    let model = Model::open(&fixture("mixtral")).unwrap();
    let board = GoldenBoard::open(TINY).unwrap();
    let e = message(CardExperts::load(
        Box::new(board),
        &manifest(SIM),
        &model,
        1,
    ));
    for part in [
        format!("{:016x}", abi::fingerprint(&TINY)),
        format!("{:016x}", abi::fingerprint(&SIM)),
        "make sim CONFIG=sim".into(),
    ] {
        assert!(e.contains(&part), "{e} does not say {part}");
    }
}

#[test]
fn an_input_that_is_not_a_number_is_an_error_of_its_layer() {
    let model = Model::open(&fixture("mixtral")).unwrap();
    let mut card = load(TINY, &model, 1).unwrap();
    let mut x = vectors(11, 1, model.spec.hidden);
    x[3] = f32::NAN;
    let mut out = vec![0.0; x.len()];
    let e = card
        .layer(2, &x, &mut out, &mut Routing::default())
        .unwrap_err();
    let source = std::error::Error::source(&e).unwrap().to_string();
    assert!(
        source.contains("layer 2") && source.contains("NaN"),
        "{source}"
    );
}

/// A layer's shared expert in f64, from the model's own tensors.
fn shared_in_f64(model: &Model, at: usize, x: &[f32]) -> Vec<f32> {
    let shared = model.shared(at).unwrap().unwrap();
    let times = |w: &host::model::Tensor, x: &[f64]| -> Vec<f64> {
        let rows = w.to_f32();
        let row = |row: &[f32]| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum();
        rows.chunks_exact(x.len()).map(row).collect()
    };
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let mut out = Vec::new();
    for x in x.chunks_exact(model.spec.hidden) {
        let x: Vec<f64> = x.iter().map(|&v| v.into()).collect();
        let scale = sigmoid(times(&shared.gate, &x)[0]);
        let (g, u) = (
            times(&shared.weights.gate, &x),
            times(&shared.weights.up, &x),
        );
        let h: Vec<f64> = g.iter().zip(u).map(|(g, u)| g * sigmoid(*g) * u).collect();
        let y = times(&shared.weights.down, &h);
        out.extend(y.iter().map(|y| (y * scale) as f32));
    }
    out
}

#[test]
fn a_shared_expert_runs_on_the_card_where_it_fits() {
    let model = Model::open(&fixture("qwen2_moe")).unwrap();
    let mut cpu = CpuExperts::open(&model).unwrap();
    let mut card = load(SIM, &model, 64).unwrap().with_shared(&model).unwrap();
    let mut alone = load(SIM, &model, 64).unwrap();
    let (mut commands, mut macs) = (0, 0);
    for (at, moe) in model.spec.moe_layers() {
        assert!(card.shares(at) && !alone.shares(at) && !cpu.shares(at));
        let x = vectors(60 + at as u64, 70, model.spec.hidden);
        let (y, chosen) = layer(&mut card, at, &x);
        let (mut want, wanted) = layer(&mut cpu, at, &x);
        let shared = shared_in_f64(&model, at, &x);
        assert!(relative(&y, &want) > 0.1, "the shared expert matters");
        for (want, shared) in want.iter_mut().zip(&shared) {
            *want += shared;
        }
        let error = relative(&y, &want);
        println!("layer {at}: relative error of the outputs {error:.2e}");
        assert!(error < 3e-2);
        assert_eq!(chosen.indices, wanted.indices);
        assert_eq!(chosen, layer(&mut alone, at, &x).1);
        commands += 4; // 70 tokens at 64 a time, two commands each
        let width = moe.shared.unwrap().width;
        macs += 70 * model.spec.hidden * (3 * width + 4);
        // However the batch is cut, and as often as the ring goes round.
        for (config, batch) in [(TINY, 3), (SIM, 7), (TINY, 70)] {
            let card = load(config, &model, batch).unwrap();
            let mut card = card.with_shared(&model).unwrap();
            for _ in 0..3 {
                assert_eq!(layer(&mut card, at, &x).0, y, "batches of {batch}");
            }
        }
    }
    let (with, without) = (card.report().unwrap(), alone.report().unwrap());
    assert_eq!(with.commands, commands);
    assert_eq!(with.macs - without.macs, macs as u64);
}

#[test]
fn a_shared_expert_that_does_not_fit_stays_with_the_caller() {
    let model = Model::open(&fixture("qwen2_moe")).unwrap();
    let at = model.spec.moe_layers().next().unwrap().0;
    let x = vectors(12, 4, model.spec.hidden);
    let want = layer(&mut load(TINY, &model, 4).unwrap(), at, &x);
    // The board's own table fetches the next layer during this one; a command between them would undo it.
    let tables = host::predict::Tables::default();
    let table = host::driver::Foresight::new(host::predict::Predictor::Table, tables);
    let card = load(TINY, &model, 4).unwrap();
    let mut card = card.with_shared(&model).unwrap().with(table).unwrap();
    assert!(!card.shares(at));
    assert_eq!(layer(&mut card, at, &x), want);
    // Card memory that ends behind what the routed experts need: no more shared experts than there is room for.
    let (mut some, mut none, mut all) = (false, false, false);
    for kib in 1..2048 {
        let config = Config {
            memory_bytes: kib << 12,
            ..TINY
        };
        let Ok(card) = load(config, &model, 4) else {
            continue;
        };
        let mut card = card.with_shared(&model).unwrap();
        let shared: Vec<bool> = (model.spec.moe_layers())
            .map(|(at, _)| card.shares(at))
            .collect();
        match shared.iter().filter(|&&s| s).count() {
            0 => none = true,
            n if n == shared.len() => all = true,
            _ => some = true,
        }
        if !shared[0] {
            assert_eq!(layer(&mut card, at, &x), want);
        }
        if all {
            break;
        }
    }
    println!("none {none}, some {some}, all {all}");
    assert!(none && all);
}
