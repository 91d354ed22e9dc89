//! Guessing experts on the demo model through the Verilated engine: what its counters say equals a replay of the trace in plain Rust,
//! and no guess changes a bit of the text's logits. A wrong one costs no more than the law says.

use abi::registers::offset;
use device::{Device, DoneRegister, Error};
use host::bitstream::Manifest;
use host::driver::{CardExperts, Foresight};
use host::model::Model;
use host::predict::{replay, Predictor, Recorder, Tables, Trace};
use host::runtime::{Decoder, Session, Stats};
use sim_tb::board::Params;
use sim_tb::SimBoard;
use std::path::{Path, PathBuf};
use std::time::Duration;
use system_tests::bench::prefetch::Bench;

/// Cycles for which the host is away before each doorbell: long enough for two guesses to be fetched.
const AWAY: u64 = 25_000;
/// Tokens continued one by one, from the held-out text.
const TOKENS: usize = 8;
const MEMORY: u64 = 32 << 20;

/// A board whose host takes its time before it rings.
struct Away(SimBoard);

impl Device for Away {
    fn name(&self) -> String {
        self.0.name()
    }
    fn memory_bytes(&self) -> u64 {
        self.0.memory_bytes()
    }
    fn read_register(&mut self, register: u32) -> Result<u32, Error> {
        self.0.read_register(register)
    }
    fn write_register(&mut self, register: u32, value: u32) -> Result<(), Error> {
        if register == offset("TAIL") {
            self.0.board.run(AWAY).expect("no bus rule is broken");
        }
        self.0.write_register(register, value)
    }
    fn copy_in(&mut self, bytes: &[u8], address: u64) -> Result<(), Error> {
        self.0.copy_in(bytes, address)
    }
    fn copy_out(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        self.0.copy_out(address, bytes)
    }
    fn reset(&mut self) -> Result<(), Error> {
        self.0.reset()
    }
    fn wait_done(
        &mut self,
        done: DoneRegister,
        target: u32,
        deadline: Duration,
        what: &str,
    ) -> Result<(), Error> {
        self.0.wait_done(done, target, deadline, what)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs the text token by token; the logits, what was chosen, and the counters.
fn run(
    model: &Model,
    decoder: &Decoder,
    foresight: Foresight,
    ids: &[u32],
) -> (Vec<f32>, Trace, Stats) {
    let manifest = Manifest::open(Some(&root().join("bitstreams/sim.toml"))).unwrap();
    let board = SimBoard::with("sim", Params::calm(MEMORY, 1), None).unwrap();
    let card = CardExperts::load(Box::new(Away(board)), &manifest, model, 4).unwrap();
    let mut card = card.with(foresight).unwrap();
    let layers: Vec<usize> = model.spec.moe_layers().map(|(at, _)| at).collect();
    let experts = model.spec.moe(layers[0]).unwrap().experts;
    let mut recorder = Recorder::new(&mut card, layers, experts);
    let mut session = Session::new(decoder, &mut recorder, model.spec.context, 1);
    let logits = session.score(ids).unwrap();
    let stats = session.report().unwrap();
    (logits, recorder.trace, stats)
}

#[test]
fn hits_are_those_of_a_replay_and_bits_those_of_no_guess() {
    let dir = root().join("models/demo");
    let model = Model::open(&dir).unwrap();
    let decoder = Decoder::open(&model).unwrap();
    let text = std::fs::read_to_string(root().join("models/heldout.txt")).unwrap();
    let mut ids = model.tokenizer().unwrap().encode(&text, true).unwrap();
    ids.truncate(TOKENS);
    let moe = model.spec.moe_layers().count();
    let tables = || Tables::load(&dir.join("predict.json"), moe, 8).unwrap();

    let (plain, trace, stats) = run(&model, &decoder, Foresight::none(), &ids);
    assert_eq!((stats.predict_hits, stats.prefetch_bytes), (0, 0));
    assert_eq!(stats.expert_uses as usize, TOKENS * moe * 2);
    for predictor in [Predictor::Hybrid, Predictor::Table] {
        let (logits, again, stats) =
            run(&model, &decoder, Foresight::new(predictor, tables()), &ids);
        assert_eq!(logits, plain, "{predictor:?} changed a result");
        assert_eq!(again.steps.len(), trace.steps.len());
        let score = replay(predictor, &tables(), &again, 2);
        println!(
            "{}: {} of {} uses, {} bytes prefetched, {} of them used",
            predictor.name(),
            stats.predict_hits,
            stats.expert_uses,
            stats.prefetch_bytes,
            stats.prefetch_used
        );
        assert_eq!(
            (stats.predict_hits, stats.expert_uses),
            (score.hits, score.uses),
            "{predictor:?}"
        );
        assert!(stats.prefetch_used <= stats.prefetch_bytes && stats.prefetch_used > 0);
    }
}

#[test]
fn a_wrong_guess_delays_a_layer_within_the_law() {
    let latency = 20;
    let mut bench = Bench::new("sim", latency).unwrap();
    let worst = bench.wrong(6).unwrap();
    let bound = (4096 / abi::BEAT) as u64 + u64::from(latency);
    println!("up to {worst} cycles, the law allows {bound}");
    assert!(worst <= bound, "{worst} cycles, the law allows {bound}");
}
