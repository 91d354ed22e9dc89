//! `host pack`: experts to card images.

use std::process::ExitCode;

use anyhow::{bail, Context};

use super::args::{Method, Pack, Sparsity, Weights};
use super::terminal::{note, Interrupt, Progress};
use crate::model::Model;
use crate::pack;

pub(super) fn pack(args: &Pack) -> anyhow::Result<ExitCode> {
    let two_of_four = match (args.weights, args.sparsity) {
        (Weights::Int8, Sparsity::Dense) => false,
        (Weights::Int8, Sparsity::TwoOfFour) => true,
        _ => bail!("this version packs `--weights int8` with `--sparsity dense` or `2:4` only"),
    };
    let Method::Magnitude = args.method;
    let interrupt = Interrupt::listen()?;
    let progress = Progress::new();
    progress.show("packing");
    let model = Model::open(&args.model)?;
    let options = pack::Options { two_of_four };
    let report = pack::pack_unless(&model, &args.out, &options, &interrupt.flag())?;
    Progress::clear();
    if let Some(path) = &args.report {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    note(&format!(
        "packed {} experts, {} bytes, to `{}`",
        report.experts,
        report.bytes,
        args.out.display()
    ));
    Ok(ExitCode::SUCCESS)
}
