//! `host pack`: experts to card images.

use std::process::ExitCode;

use abi::Format;
use anyhow::Context;

use super::args::{Method, Pack, Sparsity, Weights};
use super::terminal::{note, Interrupt, Progress};
use crate::model::Model;
use crate::pack;

pub(super) fn pack(args: &Pack) -> anyhow::Result<ExitCode> {
    let format = match args.weights {
        Weights::Int8 => Format::Int8,
        Weights::Int4 => Format::Int4,
        Weights::Mxfp4 => Format::Fp4,
    };
    let sparsity = match args.sparsity {
        Sparsity::Dense => abi::Sparsity::Dense,
        Sparsity::TwoOfFour => abi::Sparsity::TwoOfFour,
        Sparsity::OneOfFour => abi::Sparsity::OneOfFour,
        Sparsity::FourOfEight => abi::Sparsity::FourOfEight,
        Sparsity::OneOfEight => abi::Sparsity::OneOfEight,
    };
    let Method::Magnitude = args.method;
    let interrupt = Interrupt::listen()?;
    let progress = Progress::new();
    progress.show("packing");
    let model = Model::open(&args.model)?;
    let options = pack::Options {
        format,
        sparsity,
        pair: args.pair,
    };
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
