//! How well experts are guessed on the demo model's held-out text, by every way of guessing.

use super::Failure;
use abi::layout::{expert_bytes, hidden_section, level_words, Storage};
use abi::Config;
use host::model::Model;
use host::predict::{replay, Predictor, Recorder, Tables, Trace};
use host::runtime::{CpuExperts, Decoder, Session};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Guesses per layer: one for each of two slots.
pub const GUESSES: usize = 2;

/// The folder of the project.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The demo model's choices on the first `tokens` tokens of its held-out text, in windows of its context.
///
/// # Errors
/// If the model or the text cannot be read.
pub fn demo_trace(tokens: usize) -> Result<(Trace, Tables), Failure> {
    let dir = root().join("models/demo");
    let model = Model::open(&dir)?;
    let decoder = Decoder::open(&model)?;
    let mut experts = CpuExperts::open(&model)?;
    let text = std::fs::read_to_string(root().join("models/heldout.txt"))?;
    let mut ids = model.tokenizer()?.encode(&text, false)?;
    ids.truncate(tokens);
    let layers: Vec<usize> = model.spec.moe_layers().map(|(at, _)| at).collect();
    let count = model.spec.moe(layers[0])?.experts;
    let tables = Tables::load(&dir.join("predict.json"), layers.len(), count)?;
    let mut recorder = Recorder::new(&mut experts, layers, count);
    let start = model
        .spec
        .start_token
        .ok_or("the demo model has no start token")?;
    for chunk in ids.chunks(model.spec.context - 1) {
        recorder.begin();
        let mut session = Session::new(&decoder, &mut recorder, model.spec.context, 64);
        let inputs: Vec<u32> = std::iter::once(start)
            .chain(chunk.iter().copied())
            .collect();
        session.feed(&inputs, |_| ())?;
    }
    Ok((recorder.trace, tables))
}

/// Writes the section.
///
/// # Errors
/// If the demo model cannot be run.
pub fn section(page: &mut String, config: &str) -> Result<(), Failure> {
    let (trace, tables) = demo_trace(usize::MAX)?;
    let config = Config::named(config)?;
    let model = Model::open(&root().join("models/demo"))?;
    let (_, moe) = model.spec.moe_layers().next().ok_or("no routed layer")?;
    let (d, f) = (model.spec.hidden, moe.width);
    let image = expert_bytes(d, f, true, Storage::INT8);
    let hidden = hidden_section(d, f, true, Storage::INT8);
    let words = level_words(&[hidden], config.slot_words);
    // A prefetch fills a slot with whole groups, or takes the whole image.
    let slot = words / hidden.group_words() * hidden.group_bytes();
    let fetched = image.min(slot + abi::BEAT);
    writeln!(
        page,
        "## Prediction\n\nThe demo model on its held-out text ({} tokens, {} layers, two of {} experts each), {GUESSES} guesses for two slots before each layer; a hit is an expert use that was guessed. \
         FLAME reports 84.4 % with two caches. *Wasted* is what prefetches of wrong guesses would have moved per token if all were completed, {fetched} bytes each. Tables were trained on other text (models/README.md).\n\n\
         | predictor | known | hits | by layer | wasted bytes per token |\n|---|---|---|---|---|",
        trace.steps.len(),
        trace.layers(),
        trace.experts
    )?;
    for predictor in Predictor::ALL {
        let score = replay(predictor, &tables, &trace, GUESSES);
        let per_layer = score.uses as f64 / trace.layers() as f64;
        let layers: Vec<String> = score
            .hits_by_layer
            .iter()
            .map(|&h| format!("{:.1}", 100.0 * h as f64 / per_layer))
            .collect();
        let known = match predictor {
            Predictor::None => "-",
            Predictor::Table => "when the layer before has chosen (on the board)",
            Predictor::Token => "when the token is known",
            Predictor::Gate => "when the layer before is done",
            Predictor::Hybrid => "token for the first layer, gate for the others",
        };
        writeln!(
            page,
            "| {} | {known} | {:.1} % | {} | {} |",
            predictor.name(),
            100.0 * score.accuracy(),
            layers.join(" "),
            score.wrong() * fetched as u64 / trace.steps.len() as u64
        )?;
    }
    page.push('\n');
    Ok(())
}
