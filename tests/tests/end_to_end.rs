//! The demo model through the whole house: tokenizer, host, driver, buses, Verilated engine.

use abi::layout::{down_section, hidden_section, router_section, SCALE_WORD};
use abi::Storage;
use host::bitstream::Manifest;
use host::driver::{CardExperts, GoldenBoard};
use host::model::Model;
use host::runtime::sample::most_likely;
use host::runtime::{CpuExperts, Decoder, Experts, Session};
use sim_tb::board::Params;
use sim_tb::SimBoard;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use system_tests::lockstep::Lockstep;

const PROMPT: &str = "In the beginning God created the heaven and the earth. And";
/// Card memory of the simulated boards here: enough for the demo model, quick to make.
const MEMORY: u64 = 32 << 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn demo() -> (Model, Decoder, Manifest) {
    let model = Model::open(&root().join("models/demo")).unwrap();
    let decoder = Decoder::open(&model).unwrap();
    let manifest = Manifest::open(Some(&root().join("bitstreams/sim.toml"))).unwrap();
    (model, decoder, manifest)
}

/// Greedy text after `prompt`, and the logits of every step.
fn continue_text(
    model: &Model,
    decoder: &Decoder,
    experts: &mut dyn Experts,
    prompt: &[u32],
    n: usize,
    batch: usize,
) -> (Vec<u32>, Vec<f32>) {
    let mut session = Session::new(decoder, experts, model.spec.context, batch);
    let mut logits = session.feed(prompt, |_| ()).unwrap();
    let (mut out, mut all) = (Vec::new(), logits.clone());
    while out.len() < n {
        out.push(most_likely(&logits).unwrap());
        logits = session.feed(&out[out.len() - 1..], |_| ()).unwrap();
        all.extend_from_slice(&logits);
    }
    (out, all)
}

/// The run of `make run`: every byte that the engine gives back equals golden's, and the MAC counter is exact.
#[test]
fn every_result_of_a_run_equals_golden() {
    let (model, decoder, manifest) = demo();
    let board = SimBoard::with("sim", Params::calm(MEMORY, 1), None).unwrap();
    let (device, compared) = Lockstep::new(board);
    let mut card = CardExperts::load(Box::new(device), &manifest, &model, 32).unwrap();
    let prompt = model.tokenizer().unwrap().encode(PROMPT, true).unwrap();
    let (text, _) = continue_text(&model, &decoder, &mut card, &prompt, 32, 32);
    assert_eq!(text.len(), 32);

    let tokens = (prompt.len() + 32) as u64;
    let mut expected = 0;
    for (_, moe) in model.spec.moe_layers() {
        let (d, f) = (model.spec.hidden, moe.width);
        let expert = hidden_section(d, f, true, Storage::INT8).nonzeros()
            + down_section(d, f, Storage::INT8).nonzeros();
        let router = 2 * router_section(d, moe.experts, false).nonzeros();
        expected += tokens * (moe.router.top_k * expert + router) as u64;
    }
    let stats = card.report().unwrap();
    assert_eq!(stats.macs, expected, "MACs = non-zeros x tokens");
    assert_eq!(
        stats.causes.iter().map(|c| c.cycles).sum::<u64>(),
        stats.cycles,
        "every cycle has one cause"
    );
    println!(
        "{} bytes of results equal, {} cycles",
        compared.load(Ordering::Relaxed),
        stats.cycles
    );
}

/// One weight's sign, flipped in card memory behind the driver's back, changes the output; restored, it restores every bit.
#[test]
fn a_flipped_weight_changes_the_output() {
    let (model, _, manifest) = demo();
    let board = SimBoard::with("sim", Params::calm(MEMORY, 1), None).unwrap();
    let mut card = CardExperts::load(Box::new(board), &manifest, &model, 4).unwrap();
    let x: Vec<f32> = (0..model.spec.hidden)
        .map(|i| (i as f32 + 1.0).sin())
        .collect();
    let (mut before, mut after) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    let mut routing = host::runtime::Routing::default();
    card.layer(0, &x, &mut before, &mut routing).unwrap();
    let (image, _) = card.expert_image(0, routing.indices[0] as usize).unwrap();
    // Past the header and the scales of the first gate group: values of its first rows. Requantising h to int8 may swallow
    // a change of a single weight, so some flips may be without effect, but not many.
    let section = hidden_section(model.spec.hidden, 256, true, Storage::INT8);
    let first = image + (abi::BEAT + section.scale_words() * SCALE_WORD) as u64;
    let mut seen = 0;
    for at in (first..first + 64).step_by(4) {
        let mut byte = [0];
        card.device().copy_out(at, &mut byte).unwrap();
        card.device().copy_in(&[byte[0] ^ 0x80], at).unwrap();
        card.layer(0, &x, &mut after, &mut routing).unwrap();
        seen += usize::from(before != after);
        card.device().copy_in(&byte, at).unwrap();
        card.layer(0, &x, &mut after, &mut routing).unwrap();
        assert!(before == after, "the bit restored is the output restored");
    }
    println!("{seen} of 16 single flipped weights changed the output");
    assert!(
        seen >= 8,
        "only {seen} of 16 flipped weights changed the output"
    );
}

/// Stalls of every bus and the size of batches are the world's affair: the logits keep every bit.
#[test]
fn stalls_and_batches_change_no_bit_of_the_text() {
    let (model, decoder, manifest) = demo();
    let prompt = model
        .tokenizer()
        .unwrap()
        .encode("Blessed is the man", true)
        .unwrap();
    let golden = GoldenBoard::open(manifest.config).unwrap();
    let mut card = CardExperts::load(Box::new(golden), &manifest, &model, 32).unwrap();
    let (text, logits) = continue_text(&model, &decoder, &mut card, &prompt, 2, 32);
    for (seed, batch) in [(1, 32), (2, 1), (3, 3)] {
        let board = SimBoard::with("sim", Params::stormy(MEMORY, seed), None).unwrap();
        let mut card = CardExperts::load(Box::new(board), &manifest, &model, batch).unwrap();
        let (t, l) = continue_text(&model, &decoder, &mut card, &prompt, 2, batch);
        assert!(t == text && l == logits, "seed {seed}, batch {batch}");
    }
}

/// With int8 experts on the board the most likely token is that of f32 in at least 95 % of positions.
#[test]
fn quantised_experts_keep_the_most_likely_token() {
    let manifest = Manifest::open(Some(&root().join("bitstreams/sim.toml"))).unwrap();
    for family in ["mixtral", "olmoe", "qwen2_moe"] {
        let model = Model::open(&root().join("tests/fixtures/models").join(family)).unwrap();
        let decoder = Decoder::open(&model).unwrap();
        let ids = model.tokenizer().unwrap().encode(PROMPT, false).unwrap();
        let board = SimBoard::with("sim", Params::calm(MEMORY, 1), None).unwrap();
        let mut card = CardExperts::load(Box::new(board), &manifest, &model, 32).unwrap();
        card = card.with_shared(&model).unwrap();
        let mut cpu = CpuExperts::open(&model).unwrap();
        let a = Session::new(&decoder, &mut card, model.spec.context, 32)
            .score(&ids)
            .unwrap();
        let b = Session::new(&decoder, &mut cpu, model.spec.context, 32)
            .score(&ids)
            .unwrap();
        let vocab = a.len() / ids.len();
        let same = a
            .chunks(vocab)
            .zip(b.chunks(vocab))
            .filter(|(a, b)| most_likely(a).unwrap() == most_likely(b).unwrap())
            .count();
        println!("{family}: {same} of {} positions", ids.len());
        assert!(
            same * 100 >= ids.len() * 95,
            "{family}: {same} of {}",
            ids.len()
        );
    }
}
