//! `host eval`: how well a model predicts a text.

use std::process::ExitCode;

use anyhow::Context;

use super::args::Eval;
use super::setup::{self, Ready};
use super::terminal::{note, print, Interrupt, Progress, INTERRUPTED};
use super::Usage;
use crate::runtime::{eval, Error, Session};

pub(super) fn eval(args: &Eval) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let progress = Progress::new();
    let path = args.text.display();
    let text =
        std::fs::read_to_string(&args.text).with_context(|| format!("cannot read `{path}`"))?;
    let Ready {
        model,
        decoder,
        mut experts,
        on_board,
        context,
    } = setup::open(args.model.as_deref(), &args.engine, interrupt.flag())?;
    let window = args.window.unwrap_or(context);
    if window > context {
        return Err(Usage(format!(
            "--window {window} is more than the context of {context}"
        ))
        .into());
    }
    let start = model
        .spec
        .start_token
        .context("the model names no `bos_token_id` to begin a window with")?;
    let tokenizer = model.tokenizer()?;
    let mut ids = tokenizer.encode(&text, false)?;
    ids.truncate(args.tokens.unwrap_or(ids.len()));

    let mut session = Session::new(&decoder, &mut *experts, context, args.engine.batch_size);
    session.stop_on(interrupt.flag());
    let score = eval::predict(&mut session, start, &ids, window, |done| {
        progress.show(&format!("{done} of {} tokens", ids.len()));
    })?;
    Progress::clear();
    if score.tokens == 0 && interrupt.asked() {
        return Err(Error::Interrupted.into());
    }
    if score.tokens == 0 {
        anyhow::bail!("nothing was predicted; `{path}` must hold some text");
    }
    let (timing, stats) = (session.timing(), session.report());
    let bytes = tokenizer.decode(&ids[..score.tokens])?.len();
    let bits_per_byte = score.bits / bytes as f64;
    if args.json {
        let result = serde_json::json!({
            "bits_per_byte": bits_per_byte,
            "tokens": score.tokens,
            "bytes": bytes,
            "window": window,
            "experts": if on_board && session.failure().is_none() { "device" } else { "cpu" },
            "device_error": session.failure(),
            "seconds": timing.total.as_secs_f64(),
            "seconds_experts": timing.experts.as_secs_f64(),
            "engine": stats,
        });
        print(&format!("{result}\n"))?;
    } else {
        print(&format!("{bits_per_byte:.4} bits per byte\n"))?;
    }
    let why = match interrupt.asked() {
        true => ", then interrupted",
        false => "",
    };
    let tokens = format!("{}, {bytes} bytes{why}", score.tokens);
    note(&setup::table(&tokens, None, timing, stats.as_ref(), false));
    Ok(ExitCode::from(if interrupt.asked() {
        INTERRUPTED
    } else {
        0
    }))
}
