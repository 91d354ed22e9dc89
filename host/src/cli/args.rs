//! What can be typed.

use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::predict::Predictor;

/// Runs Mixture-of-Experts models: experts on the board, everything else on the CPU.
///
/// Flags without a command mean `run`.
#[derive(Debug, Parser)]
#[command(
    name = "host",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    #[command(flatten)]
    pub run: Run,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Continue a text (what `host` does without a command)
    Run(Run),
    /// Write the logits and routing choices of given tokens
    Score(Score),
    /// Measure how well a model predicts a text, in bits per byte
    Eval(Eval),
    /// Record which experts a model chooses on a text, and say how well they can be guessed
    Trace(Trace),
    /// Turn the experts of a model into images for the board
    Pack(Pack),
    /// Say what this program runs, what engines it knows, and what boards this machine has
    Info(Info),
    /// Test a board: registers, card memory, transfers, interrupt; card memory is overwritten
    Selftest(Selftest),
}

impl Cli {
    /// Threads asked for.
    pub fn threads(&self) -> Option<usize> {
        let cpu = match &self.verb {
            None => &self.run.engine.cpu,
            Some(Verb::Run(args)) => &args.engine.cpu,
            Some(Verb::Score(args)) => &args.engine.cpu,
            Some(Verb::Eval(args)) => &args.engine.cpu,
            Some(Verb::Trace(args)) => &args.engine.cpu,
            Some(Verb::Pack(args)) => &args.cpu,
            Some(Verb::Info(args)) => &args.cpu,
            Some(Verb::Selftest(args)) => &args.cpu,
        };
        cpu.threads.map(|n| n as usize)
    }
}

/// Which board, and the way to it.
#[derive(Debug, Args)]
pub(super) struct Board {
    /// Manifest (`bitstreams/NAME.toml`) or an image beside its manifest [default: the simulated board]
    #[arg(long, value_name = "FILE")]
    pub bitstream: Option<PathBuf>,
    /// How to reach the board, over what the manifest says: vfio:BDF, xdma:N, vfio-user:PATH, sim or golden
    ///
    /// `vfio` is a card of this machine through the kernel's VFIO (`host info` lists cards), `xdma` one under the vendor's driver,
    /// `vfio-user` a board behind a socket (`sim-tb serve`), `sim` the simulated engine and `golden` the engine in plain Rust.
    #[arg(long, value_name = "WAY")]
    pub device: Option<String>,
    /// How long the board may take over an answer, the next part of a transfer, a command, before that is an error
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub device_timeout: u64,
}

/// The board, and where experts run.
#[derive(Debug, Args)]
pub(super) struct Engine {
    #[command(flatten)]
    pub board: Board,
    /// Where routed experts are computed; `auto` is the board if one opens, else the CPU
    #[arg(long, value_enum, default_value_t = Placement::Device)]
    pub experts: Placement,
    /// What to do when the board fails: stop with the error, or finish on the CPU with the golden engine, which gives the same bits
    #[arg(long, value_enum, default_value_t = OnDeviceError::Stop)]
    pub on_device_error: OnDeviceError,
    /// How the board guesses which experts come next, to fetch them early; results do not depend on it
    ///
    /// `table` is the board's own circular table, `token` and `gate` are hints from the host, `hybrid` is `token` for the first
    /// layer and `gate` for the others. `table`, `token` and `hybrid` need the model's `predict.json`, which `host trace --train`
    /// writes. `auto` is `hybrid` where that file exists, else `gate`.
    #[arg(long, value_enum, default_value_t = Prefetch::Auto)]
    pub prefetch: Prefetch,
    /// Most positions of a sequence [default: what the model allows]
    #[arg(short, long, value_name = "N", value_parser = positive)]
    pub ctx_size: Option<usize>,
    /// Tokens that go through the model together while a text is read
    #[arg(short, long, value_name = "N", default_value_t = 64, value_parser = positive)]
    pub batch_size: usize,
    #[command(flatten)]
    pub cpu: Cpu,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(super) struct Cpu {
    /// CPU threads; results do not depend on it [default: all]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Say what is being done
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Placement {
    Device,
    Cpu,
    Auto,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OnDeviceError {
    Stop,
    Cpu,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Prefetch {
    Auto,
    None,
    Table,
    Token,
    Gate,
    Hybrid,
}

impl Prefetch {
    /// The way of guessing; `None` where the driver decides.
    pub fn predictor(self) -> Option<Predictor> {
        match self {
            Prefetch::Auto => None,
            Prefetch::None => Some(Predictor::None),
            Prefetch::Table => Some(Predictor::Table),
            Prefetch::Token => Some(Predictor::Token),
            Prefetch::Gate => Some(Predictor::Gate),
            Prefetch::Hybrid => Some(Predictor::Hybrid),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Run {
    /// Model directory [default: `models/demo`, looked for from here upwards]
    #[arg(short, long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Text to continue [default: "In the beginning"]
    #[arg(short, long, value_name = "TEXT", conflicts_with = "file")]
    pub prompt: Option<String>,
    /// File with the text to continue
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Most tokens to generate
    #[arg(short = 'n', long, value_name = "N", default_value_t = 64)]
    pub predict: usize,
    /// Temperature; 0 always takes the most likely token
    #[arg(long, value_name = "F", default_value_t = 0.8, value_parser = within::<0, 1000>)]
    pub temp: f32,
    /// Choose among this many of the most likely tokens; 0 is all
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub top_k: usize,
    /// Choose among the most likely tokens that together have this probability
    #[arg(long, value_name = "F", default_value_t = 0.95, value_parser = within::<0, 1>)]
    pub top_p: f32,
    /// Choose among tokens at least this likely, relative to the most likely one
    #[arg(long, value_name = "F", default_value_t = 0.05, value_parser = within::<0, 1>)]
    pub min_p: f32,
    /// Determines the random numbers
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON object to stdout instead of the text as it comes
    ///
    /// Its keys: prompt, text, prompt_tokens and tokens (ids), stop (length, end, context or interrupted), experts
    /// (device or cpu), device_error (what `--on-device-error cpu` went on after; else null), seconds, seconds_prompt and
    /// seconds_experts (wall time, of that reading the prompt, of that behind the experts), engine (its counters; null on the CPU).
    #[arg(long)]
    pub json: bool,
    /// Print every counter, not only the short table
    #[arg(long)]
    pub stats: bool,
    #[command(flatten)]
    pub engine: Engine,
}

#[derive(Debug, Args)]
pub(super) struct Score {
    /// Model directory
    #[arg(short, long, value_name = "DIR")]
    pub model: PathBuf,
    /// Safetensors file with `input_ids`, int32 [T]; other tensors in it are ignored
    #[arg(long, value_name = "FILE")]
    pub ids: PathBuf,
    /// Safetensors file to write: `logits` f32 [T,V], `router.LL.indices` int32 [T,k], `router.LL.weights` f32 [T,k]
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Also write `greedy` int32 [N]: the N most likely tokens that follow, end tokens included
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub greedy: usize,
    /// Read the whole sequence again for every token
    #[arg(long)]
    pub no_kv_cache: bool,
    #[command(flatten)]
    pub engine: Engine,
}

#[derive(Debug, Args)]
pub(super) struct Eval {
    /// Model directory [default: `models/demo`, looked for from here upwards]
    #[arg(short, long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Text to predict
    #[arg(long, value_name = "FILE")]
    pub text: PathBuf,
    /// Only the first N tokens of it
    #[arg(long, value_name = "N", value_parser = positive)]
    pub tokens: Option<usize>,
    /// Tokens of one window; nothing is carried over between windows [default: the context]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub window: Option<usize>,
    /// Print one JSON object
    ///
    /// Its keys: bits_per_byte, tokens and bytes (predicted), window, experts (device or cpu), device_error (as of `run`), seconds,
    /// seconds_experts, engine (its counters; null on the CPU).
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub engine: Engine,
}

#[derive(Debug, Args)]
pub(super) struct Trace {
    /// Model directory [default: `models/demo`, looked for from here upwards]
    #[arg(short, long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Text to read
    #[arg(long, value_name = "FILE")]
    pub text: PathBuf,
    /// Only the first N tokens of it
    #[arg(long, value_name = "N", value_parser = positive)]
    pub tokens: Option<usize>,
    /// Positions of one window; nothing is carried over between windows [default: the context]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..).map(|n| n as usize))]
    pub window: Option<usize>,
    /// File for the trace, JSON
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// File for prediction tables trained on this trace
    #[arg(long, value_name = "FILE")]
    pub train: Option<PathBuf>,
    /// Prediction tables to judge [default: those trained on this very text]
    #[arg(long, value_name = "FILE")]
    pub tables: Option<PathBuf>,
    /// Experts that are guessed for a layer
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = positive)]
    pub guesses: usize,
    /// Print one JSON object
    ///
    /// Its keys: tokens, guesses, tables, predictors (predictor, uses, hits, guesses, hits_by_layer).
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub engine: Engine,
}

#[derive(Debug, Args)]
pub(super) struct Pack {
    /// Model directory
    #[arg(short, long, value_name = "DIR")]
    pub model: PathBuf,
    /// Directory to write, new, empty or packed before; `--model` of the other commands accepts it
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Number format of the weights
    #[arg(long, value_enum)]
    pub weights: Weights,
    /// Weights kept of each group of inputs
    #[arg(long, value_enum)]
    pub sparsity: Sparsity,
    /// How weights to keep are chosen
    #[arg(long, value_enum, default_value_t = Method::Magnitude)]
    pub method: Method,
    /// Let two rows keep weights of the same places, so that an engine computes both at once (4-bit, 2:4 or 4:8)
    #[arg(long)]
    pub pair: bool,
    /// File for a JSON report
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub cpu: Cpu,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Weights {
    Int8,
    Int4,
    Mxfp4,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Sparsity {
    Dense,
    #[value(name = "2:4")]
    TwoOfFour,
    #[value(name = "1:4")]
    OneOfFour,
    #[value(name = "4:8")]
    FourOfEight,
    #[value(name = "1:8")]
    OneOfEight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Method {
    /// Keep the weights of largest magnitude
    Magnitude,
}

#[derive(Debug, Args)]
pub(super) struct Info {
    /// Print one JSON object
    ///
    /// Its keys: version, families, kernels, threads, abi (version), devices, engines (name, fingerprint, macs_per_cycle,
    /// simulated: `built`, or what its simulated board lacks), boards (address, id, driver, way, or problem and mend).
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub cpu: Cpu,
}

#[derive(Debug, Args)]
pub(super) struct Selftest {
    #[command(flatten)]
    pub board: Board,
    /// Most bytes of card memory to test, and of one transfer; for simulated boards, which are slow [default: all]
    ///
    /// As a plain number, or with K, M or G for powers of 1024. What was left out is said.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub limit: Option<u64>,
    /// Determines the data
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON object
    ///
    /// Its keys: device, memory_bytes, tested_bytes, checks (name, outcome: passed, failed or skipped, note, expected and got where it
    /// failed), bandwidth (bytes, to_card, from_card and ceiling in bytes per second; ceiling is null without a link), latencies (name,
    /// samples, p50, p90, p99 and max in microseconds).
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub cpu: Cpu,
}

/// A number of bytes, enough for a test.
fn bytes(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 64 << 10;
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let number: u64 = number.parse().map_err(|e| format!("{e}"))?;
    match number.checked_mul(unit) {
        Some(n) if n >= LEAST => Ok(n),
        Some(_) => Err(format!("must be at least {LEAST}")),
        None => Err("must be less than 2^64".to_owned()),
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(n) => Ok(n),
        Err(e) => Err(format!("{e}")),
    }
}

/// A number from `LOW` to `HIGH`, both included.
fn within<const LOW: i32, const HIGH: i32>(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(n) if (LOW as f32..=HIGH as f32).contains(&n) => Ok(n),
        Ok(_) => Err(format!("must be from {LOW} to {HIGH}")),
        Err(e) => Err(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("65536"), Ok(65536));
        assert_eq!(bytes("3M"), Ok(3 << 20));
        for bad in ["", "K", "-1", "1x", "9", "99999999999G"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bare_flags_mean_run() {
        let bare = Cli::try_parse_from(["host", "-n", "3", "--prompt", "a"]).unwrap();
        assert!(bare.verb.is_none());
        assert_eq!(
            (bare.run.predict, bare.run.prompt.as_deref()),
            (3, Some("a"))
        );
        let named = Cli::try_parse_from(["host", "run", "-n", "3"]).unwrap();
        assert!(matches!(named.verb, Some(Verb::Run(run)) if run.predict == 3));
    }
}
