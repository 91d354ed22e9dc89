//! `host run`: continue a text.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;

use super::args::Run;
use super::setup::{self, Ready};
use super::terminal::{note, print, Interrupt, Progress, INTERRUPTED};
use crate::model::TextStream;
use crate::runtime::generate::{generate, Stop};
use crate::runtime::sample::{Sampler, Sampling};
use crate::runtime::Session;

const DEFAULT_PROMPT: &str = "In the beginning";

pub(super) fn run(args: &Run) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let progress = Progress::new();
    progress.show("opening the model");
    let prompt = match (&args.file, &args.prompt) {
        (Some(file), _) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the prompt from `{}`", file.display()))?,
        (None, Some(text)) => text.clone(),
        (None, None) => DEFAULT_PROMPT.to_owned(),
    };
    let Ready {
        model,
        decoder,
        mut experts,
        on_board,
        context,
    } = setup::open(args.model.as_deref(), &args.engine, interrupt.flag())?;
    let tokenizer = model.tokenizer()?;
    let prompt_ids = tokenizer.encode(&prompt, true)?;
    let end_tokens = model.end_tokens()?;
    let mut session = Session::new(&decoder, &mut *experts, context, args.engine.batch_size);
    session.stop_on(interrupt.flag());
    let mut sampler = Sampler::new(Sampling {
        temperature: args.temp,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        seed: args.seed,
    });

    let streaming = !args.json;
    let mut stream = TextStream::after(&tokenizer, &prompt_ids);
    let (mut ids, mut text) = (Vec::new(), String::new());
    let start = Instant::now();
    let mut prompt_read = None;
    let result = generate(
        &mut session,
        &mut sampler,
        &prompt_ids,
        args.predict,
        &end_tokens,
        |read| {
            if read < prompt_ids.len() {
                progress.show(&format!(
                    "reading the prompt: {read} of {} tokens",
                    prompt_ids.len()
                ));
            }
        },
        |id| {
            prompt_read.get_or_insert_with(Instant::now);
            if ids.is_empty() && streaming && std::io::stdout().is_terminal() {
                progress.leave(&prompt);
            }
            Progress::clear();
            ids.push(id);
            let piece = stream.push(id)?;
            text += &piece;
            if streaming {
                print(&piece)
            } else {
                Ok(())
            }
        },
    );
    let rest = stream.finish()?;
    text += &rest;
    if streaming && !ids.is_empty() {
        print(&format!("{rest}\n"))?;
    }
    let stop = result?;
    let end = Instant::now();
    let (timing, stats) = (session.timing(), session.report());
    let reading = prompt_read.unwrap_or(end) - start;
    let generating = end - start - reading;
    if args.json {
        let result = serde_json::json!({
            "prompt": prompt,
            "text": text,
            "prompt_tokens": prompt_ids,
            "tokens": ids,
            "stop": stop,
            "experts": if on_board && session.failure().is_none() { "device" } else { "cpu" },
            "device_error": session.failure(),
            "seconds": timing.total.as_secs_f64(),
            "seconds_experts": timing.experts.as_secs_f64(),
            "seconds_prompt": reading.as_secs_f64(),
            "engine": stats,
        });
        print(&format!("{result}\n"))?;
    }
    let why = match stop {
        Stop::Length => "",
        Stop::End => ", then the text ended",
        Stop::Context => ", then the context was full",
        Stop::Interrupted => ", then interrupted",
    };
    let all = prompt_ids.len() as u64;
    let read = timing.tokens.min(all);
    let part = if read < all {
        format!("{read} of ")
    } else {
        String::new()
    };
    let tokens = format!("{part}{all} of the prompt, {} generated{why}", ids.len());
    let mut speed = match read {
        0 => "no token finished".to_owned(),
        _ => format!("prompt {}", setup::rate(read, reading)),
    };
    // The first token comes with the prompt.
    if timing.tokens > read {
        let more = setup::rate(timing.tokens - read, generating);
        speed += &format!(", generation {more}");
    }
    note(&setup::table(
        &tokens,
        Some(speed),
        timing,
        stats.as_ref(),
        args.stats,
    ));
    Ok(ExitCode::from(if stop == Stop::Interrupted {
        INTERRUPTED
    } else {
        0
    }))
}
