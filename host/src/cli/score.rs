//! `host score`: logits and routing choices of given tokens, for comparison with other implementations.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use safetensors::tensor::TensorView;
use safetensors::Dtype;

use super::args::Score;
use super::setup::{self, Ready};
use super::terminal::{note, Interrupt};
use crate::model::read_ids;
use crate::runtime::{sample, Session};

pub(super) fn score(args: &Score) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let ids = read_ids(&args.ids)?;
    let Ready {
        decoder,
        mut experts,
        context,
        ..
    } = setup::open(Some(&args.model), &args.engine, interrupt.flag())?;
    let spec = decoder.spec();
    // Without the cache every pass is one step over the whole sequence.
    let batch = if args.no_kv_cache {
        context
    } else {
        args.engine.batch_size
    };
    let mut session = Session::new(&decoder, &mut *experts, context, batch);
    session.stop_on(interrupt.flag());
    session.keep_trace();
    let logits = session.score(&ids)?;
    let routers = session.trace().to_vec();

    let mut sequence = ids.clone();
    let mut next = logits[logits.len() - spec.vocab..].to_vec();
    for made in 1..=args.greedy {
        sequence.push(sample::most_likely(&next)?);
        if made == args.greedy {
            break;
        }
        let new = if args.no_kv_cache {
            session.clear();
            &sequence[..]
        } else {
            &sequence[sequence.len() - 1..]
        };
        next = session.feed(new, |_| ())?;
    }

    let mut out = Output::default();
    out.f32("logits", &[ids.len(), spec.vocab], &logits);
    for (at, routing) in routers.iter().enumerate() {
        let shape = [ids.len(), routing.top_k];
        out.i32(&format!("router.{at:02}.indices"), &shape, &routing.indices);
        out.f32(&format!("router.{at:02}.weights"), &shape, &routing.weights);
    }
    if args.greedy > 0 {
        out.i32("greedy", &[args.greedy], &sequence[ids.len()..]);
    }
    out.write(&args.out)?;
    note(&setup::table(
        &ids.len().to_string(),
        None,
        session.timing(),
        session.report().as_ref(),
        false,
    ));
    Ok(ExitCode::SUCCESS)
}

/// Tensors to be written to one file.
#[derive(Default)]
struct Output(Vec<(String, Dtype, Vec<usize>, Vec<u8>)>);

impl Output {
    fn f32(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.0
            .push((name.to_owned(), Dtype::F32, shape.to_vec(), bytes));
    }

    /// Values are small non-negative numbers: token ids and expert numbers.
    fn i32(&mut self, name: &str, shape: &[usize], values: &[u32]) {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.0
            .push((name.to_owned(), Dtype::I32, shape.to_vec(), bytes));
    }

    /// Writes the file beside its place and moves it there, so that nobody finds half of it.
    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let views: Result<Vec<_>, _> = self
            .0
            .iter()
            .map(|(name, dtype, shape, bytes)| {
                Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?))
            })
            .collect();
        let bytes = views.and_then(|views| safetensors::serialize(views, &None))?;
        let failed = || format!("cannot write `{}`", path.display());
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.part", std::process::id()));
        // Made by us, not found: in a directory that others write to, it could be a link of theirs.
        let made = File::options().write(true).create_new(true).open(&beside);
        let mut file = made.with_context(failed)?;
        let result = file
            .write_all(&bytes)
            .and_then(|()| std::fs::rename(&beside, path));
        if result.is_err() {
            // The first failure is the one to report.
            let _ = std::fs::remove_file(&beside);
        }
        result.with_context(failed)
    }
}
