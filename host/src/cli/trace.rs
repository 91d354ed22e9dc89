//! `host trace`: which experts a model chooses on a text, and how well they can be guessed.

use std::process::ExitCode;

use anyhow::{bail, Context};

use super::args::Trace;
use super::setup::{self, Ready};
use super::terminal::{note, print, Interrupt, Progress, INTERRUPTED};
use super::Usage;
use crate::predict::{replay, Predictor, Recorder, Tables};
use crate::runtime::{Error, Session};

pub(super) fn trace(args: &Trace) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let progress = Progress::new();
    let path = args.text.display();
    let text =
        std::fs::read_to_string(&args.text).with_context(|| format!("cannot read `{path}`"))?;
    let Ready {
        model,
        decoder,
        mut experts,
        context,
        ..
    } = setup::open(args.model.as_deref(), &args.engine, interrupt.flag())?;
    let window = args.window.unwrap_or(context);
    if window > context {
        return Err(Usage(format!(
            "--window {window} is more than the context of {context}"
        ))
        .into());
    }
    let layers: Vec<usize> = model.spec.moe_layers().map(|(at, _)| at).collect();
    let mut sizes = model.spec.moe_layers().map(|(_, moe)| moe.experts);
    let Some(count) = sizes.next() else {
        bail!("the model has no routed experts, so there is nothing to trace");
    };
    if count > 256 || sizes.any(|other| other != count) {
        bail!("only models with the same number of experts in every layer, 256 at most, can be traced");
    }
    let tables = match &args.tables {
        Some(file) => Some(Tables::load(file, layers.len(), count)?),
        None => None,
    };
    let mut ids = model.tokenizer()?.encode(&text, false)?;
    ids.truncate(args.tokens.unwrap_or(ids.len()));

    let mut recorder = Recorder::new(&mut *experts, layers, count);
    let start = model.spec.start_token.into_iter();
    for (n, chunk) in ids.chunks(window.saturating_sub(1).max(1)).enumerate() {
        progress.show(&format!("{} of {} tokens", n * (window - 1), ids.len()));
        recorder.begin();
        let inputs: Vec<u32> = start.clone().chain(chunk.iter().copied()).collect();
        let batch = args.engine.batch_size;
        let mut session = Session::new(&decoder, &mut recorder, context, batch);
        session.stop_on(interrupt.flag());
        match session.feed(&inputs, |_| ()) {
            Err(Error::Interrupted) => break,
            result => result.map(drop)?,
        }
    }
    Progress::clear();
    let mut trace = recorder.trace;
    // An interruption leaves the last step without all of its layers.
    trace
        .steps
        .retain(|s| s.chosen.iter().all(|chosen| !chosen.is_empty()));
    if trace.steps.is_empty() {
        bail!("nothing was traced; `{path}` must hold some text");
    }
    if let Some(file) = &args.out {
        let text = serde_json::to_string(&trace)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    let trained = Tables::train(&trace);
    if let Some(file) = &args.train {
        trained.save(file)?;
    }
    let scores: Vec<_> = Predictor::ALL
        .into_iter()
        .map(|p| replay(p, tables.as_ref().unwrap_or(&trained), &trace, args.guesses))
        .collect();
    if args.json {
        let result = serde_json::json!({
            "tokens": trace.steps.len(),
            "guesses": args.guesses,
            "tables": if tables.is_some() { "given" } else { "trained on this text" },
            "predictors": scores,
        });
        print(&format!("{result}\n"))?;
    } else {
        let percent = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        for s in &scores {
            let per_layer = s.uses / s.hits_by_layer.len() as u64;
            let layers: Vec<String> = s
                .hits_by_layer
                .iter()
                .map(|&hits| format!("{:.1}", percent(hits, per_layer)))
                .collect();
            print(&format!(
                "{:7} {:5.1} % of {} uses; by layer {}\n",
                s.predictor.name(),
                100.0 * s.accuracy(),
                s.uses,
                layers.join(" ")
            ))?;
        }
    }
    if tables.is_none() {
        note("note: the tables were trained on this very text; judge them with --tables from another");
    }
    Ok(ExitCode::from(if interrupt.asked() {
        INTERRUPTED
    } else {
        0
    }))
}
