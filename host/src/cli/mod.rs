//! The `host` command: what was typed ([`args`]), what it means, and what is printed ([`terminal`]).
//!
//! Results go to stdout; progress (on a terminal only), notes, the final table and errors go to stderr. The exit code is
//! 0 for success (a reader that closes our stdout early included), 1 for a failure, 2 for wrong usage, and 130 after
//! Ctrl-C.

mod args;
mod eval;
mod info;
mod pack;
mod run;
mod score;
mod selftest;
mod setup;
mod terminal;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Verb};
use terminal::{note, StdoutClosed, INTERRUPTED};

use crate::{driver, pack as packing, runtime};

/// A command line that contradicts itself or the model: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// The whole program: parses the command line, does it, prints any error, and says how it went.
pub fn main() -> ExitCode {
    device::others_do_not_write();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return refused(&e),
    };
    match in_pool(cli) {
        Ok(code) => code,
        Err(e) if e.is::<StdoutClosed>() => ExitCode::SUCCESS,
        Err(e) if is_interruption(&e) => {
            note("interrupted");
            ExitCode::from(INTERRUPTED)
        }
        Err(e) => {
            note(&format!("error: {e:#}").replace('\n', " "));
            ExitCode::from(if e.is::<Usage>() { 2 } else { 1 })
        }
    }
}

/// Whether nothing went wrong except that Ctrl-C came.
fn is_interruption(e: &anyhow::Error) -> bool {
    e.downcast_ref().is_some_and(driver::Error::is_interruption)
        || matches!(e.downcast_ref(), Some(runtime::Error::Interrupted))
        || matches!(e.downcast_ref(), Some(packing::Error::Interrupted))
}

/// Help and version in full; errors of usage as one line.
fn refused(e: &clap::Error) -> ExitCode {
    if !e.use_stderr() {
        // Nobody left to tell where stdout is closed.
        let _ = e.print();
        return ExitCode::SUCCESS;
    }
    let text = e.to_string();
    let said: Vec<_> = text
        .lines()
        .take_while(|line| !line.is_empty())
        .map(str::trim)
        .collect();
    note(&format!("{}; see `host --help`", said.join(" ")));
    ExitCode::from(2)
}

/// Runs the command inside a pool of the threads asked for: kernels divide their work over the pool they are called in.
fn in_pool(cli: Cli) -> anyhow::Result<ExitCode> {
    let mut pool = rayon::ThreadPoolBuilder::new().stack_size(8 << 20);
    if let Some(threads) = cli.threads() {
        pool = pool.num_threads(threads);
    }
    pool.build()?.install(|| match cli.verb {
        None => run::run(&cli.run),
        Some(Verb::Run(args)) => run::run(&args),
        Some(Verb::Score(args)) => score::score(&args),
        Some(Verb::Eval(args)) => eval::eval(&args),
        Some(Verb::Trace(args)) => trace::trace(&args),
        Some(Verb::Pack(args)) => pack::pack(&args),
        Some(Verb::Info(args)) => info::info(&args),
        Some(Verb::Selftest(args)) => selftest::selftest(&args),
    })
}
