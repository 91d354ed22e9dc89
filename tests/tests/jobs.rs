//! Layers as jobs: on the RTL behind links that split, reorder and stall they give golden's bits, however a batch is cut, with the shared
//! expert's command behind each and hints between them; the driver touches the card once for each job.

use abi::config::TINY;
use device::board::PciBoard;
use golden::sample::Random;
use host::bitstream::Manifest;
use host::driver::{CardExperts, Foresight, GoldenBoard};
use host::model::Model;
use host::predict::{Predictor, Tables};
use host::runtime::{Experts, Routing};
use sim_tb::attached::{slot, Attached, Slot};
use sim_tb::pcie_card::{open_board, Card, CardParams};
use sim_tb::rng::Rng;
use sim_tb::root_complex::{Manners, RootComplex};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Tokens of one call: six commands of `tiny`, two more than there are slots.
const BATCH: usize = 48;

type Board = Arc<Mutex<Slot<RootComplex<Card>>>>;

fn manifest() -> Manifest {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bitstreams/tiny.toml");
    Manifest::open(Some(&file)).unwrap()
}

fn model(name: &str) -> Model {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models");
    Model::open(&models.join(name)).unwrap()
}

/// A board behind a link of its own kind.
fn board(seed: u64) -> (Board, PciBoard) {
    let params = CardParams::stormy(TINY.memory_bytes, seed);
    let card = open_board("tiny", params, Manners::stormy(seed)).unwrap();
    let shared = slot(card).unwrap();
    let link = Box::new(Attached::new("card", &shared));
    let board = PciBoard::new(link, TINY.memory_bytes, None).unwrap();
    (shared, board)
}

fn golden(model: &Model) -> CardExperts {
    let board = GoldenBoard::open(TINY).unwrap();
    CardExperts::load(Box::new(board), &manifest(), model, BATCH).unwrap()
}

fn vectors(seed: u64, tokens: usize, width: usize) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..tokens * width)
        .map(|_| random.normal() as f32)
        .collect()
}

fn layer(experts: &mut dyn Experts, at: usize, x: &[f32]) -> (Vec<f32>, Routing) {
    let (mut out, mut routing) = (vec![f32::NAN; x.len()], Routing::default());
    experts.layer(at, x, &mut out, &mut routing).unwrap();
    (out, routing)
}

#[test]
fn every_batch_gives_goldens_bits() {
    for (seed, name) in [(1, "olmoe"), (2, "qwen2_moe"), (3, "mixtral")] {
        println!("seed {seed}, {name}");
        let model = model(name);
        let mut golden = golden(&model).with_shared(&model).unwrap();
        let (shared, board) = board(seed);
        let card = CardExperts::load(Box::new(board), &manifest(), &model, BATCH).unwrap();
        assert!(card.job_areas().is_some());
        let mut card = card.with_shared(&model).unwrap();
        let mut rng = Rng::new(seed);
        for round in 0..6 {
            for (at, _) in model.spec.moe_layers() {
                let tokens = match round {
                    0 => BATCH,
                    1 => 1,
                    _ => 1 + rng.below(BATCH as u64) as usize,
                };
                let x = vectors(rng.next(), tokens, model.spec.hidden);
                let before = shared.lock().unwrap().accesses();
                let got = layer(&mut card, at, &x);
                let accesses = shared.lock().unwrap().accesses() - before;
                assert_eq!(
                    got,
                    layer(&mut golden, at, &x),
                    "{tokens} tokens, layer {at}"
                );
                // A doorbell each, and lengths where the last part is a shorter one; a ring that goes round in the middle of two
                // commands goes by copies.
                let jobs = tokens.div_ceil(TINY.tokens_max) as u64;
                assert!(
                    accesses <= jobs + 4,
                    "{accesses} accesses for {tokens} tokens"
                );
            }
        }
    }
}

/// Hints are commands of their own, by copies: the ring and its tail are shared with jobs.
#[test]
fn hints_between_jobs() {
    let model = model("qwen2_moe");
    let mut golden = golden(&model).with_shared(&model).unwrap();
    let (_, board) = board(4);
    let card = CardExperts::load(Box::new(board), &manifest(), &model, BATCH).unwrap();
    let card = card.with_shared(&model).unwrap();
    let mut card = card
        .with(Foresight::new(Predictor::Gate, Tables::default()))
        .unwrap();
    let mut rng = Rng::new(4);
    for round in 0..12 {
        for (at, moe) in model.spec.moe_layers() {
            let tokens = if round % 3 == 2 { 20 } else { 1 };
            let x = vectors(rng.next(), tokens, model.spec.hidden);
            let ids = vec![0; tokens];
            let logits = vectors(rng.next(), tokens, moe.experts);
            if rng.chance(128) {
                card.foresee(at, &ids, &logits).unwrap();
            }
            assert_eq!(
                layer(&mut card, at, &x),
                layer(&mut golden, at, &x),
                "round {round}, layer {at}"
            );
        }
    }
    assert!(card.report().unwrap().commands > 12 * 2);
}
