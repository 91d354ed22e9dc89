//! What the commands have in common: finding the model, opening the board, and the table after a run.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::args::{Engine, OnDeviceError, Placement};
use super::terminal::note;
use super::Usage;
use crate::driver;
use crate::model::Model;
use crate::runtime::{kernels, Cause, CpuExperts, Decoder, Experts, Stats, Timing};

/// A model that is ready to run.
pub(super) struct Ready {
    pub model: Model,
    pub decoder: Decoder,
    pub experts: Box<dyn Experts>,
    /// Routed experts are on a board.
    pub on_board: bool,
    /// Most positions of a sequence.
    pub context: usize,
}

/// Opens the model, and its experts where `engine` says; a board stops when `stop` is set.
pub(super) fn open(
    model: Option<&Path>,
    engine: &Engine,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Ready> {
    let dir = match model {
        Some(dir) => dir.to_owned(),
        None => demo(engine.board.bitstream.as_deref())?,
    };
    let model = Model::open(&dir)?;
    let decoder = Decoder::open(&model)?;
    let limit = model.spec.context;
    let context = engine.ctx_size.unwrap_or(limit);
    if context > limit {
        return Err(Usage(format!(
            "--ctx-size {context} is more than the {limit} positions of this model"
        ))
        .into());
    }
    let options = driver::Options {
        bitstream: engine.board.bitstream.clone(),
        device: engine.board.device.clone(),
        timeout: Some(Duration::from_secs(engine.board.device_timeout)),
        batch: engine.batch_size,
        prefetch: engine.prefetch.predictor(),
        stop: Some(stop),
        reserve: engine.on_device_error == OnDeviceError::Cpu,
        say: Some(note),
    };
    let board = || driver::open(&options, &model).context("cannot open the board");
    let cpu = || -> anyhow::Result<Box<dyn Experts>> { Ok(Box::new(CpuExperts::open(&model)?)) };
    let (experts, on_board) = match engine.experts {
        Placement::Device => (board()?, true),
        Placement::Cpu => (cpu()?, false),
        Placement::Auto => match board() {
            Ok(experts) => (experts, true),
            Err(e) if super::is_interruption(&e) => return Err(e),
            Err(e) => {
                note(&format!("note: {e:#}; experts run on the CPU"));
                (cpu()?, false)
            }
        },
    };
    if engine.cpu.verbose {
        let spec = &model.spec;
        note(&format!(
            "model: {} ({}, {} layers)",
            dir.display(),
            spec.family,
            spec.layers.len()
        ));
        let place = if on_board { "the board" } else { "the CPU" };
        let (tier, threads) = (kernels::Tier::best().name(), rayon::current_num_threads());
        note(&format!(
            "experts: on {place}; CPU kernels: {tier}, {threads} threads; context: {context}"
        ));
    }
    Ok(Ready {
        model,
        decoder,
        experts,
        on_board,
        context,
    })
}

/// The demo model of the repository: `models/demo` here or in a directory above, or beside the directory of the manifest.
fn demo(bitstream: Option<&Path>) -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("cannot find the current directory")?;
    let beside = bitstream.and_then(|file| file.canonicalize().ok());
    let places = here
        .ancestors()
        .chain(beside.iter().flat_map(|file| file.ancestors().skip(1)));
    let mut demos = places.map(|place| place.join("models/demo"));
    demos
        .find(|dir| dir.join("config.json").exists())
        .ok_or_else(|| {
            Usage("no `models/demo` here or above; give a model with `--model DIR`".to_owned())
                .into()
        })
}

/// The table after a run: what was run, how fast (where that is not simply tokens over time), how long it took, and what
/// the engine counted.
pub(super) fn table(
    tokens: &str,
    speed: Option<String>,
    timing: Timing,
    stats: Option<&Stats>,
    every_counter: bool,
) -> String {
    let seconds = |d: Duration| format!("{:.3} s", d.as_secs_f64());
    let place = stats.map_or("on the CPU", |_| "on the board");
    let mut rows = vec![
        ("tokens", tokens.to_owned()),
        (
            "speed",
            speed.unwrap_or_else(|| rate(timing.tokens, timing.total)),
        ),
        (
            "wall time",
            format!(
                "{}: experts {place} {}, the rest on the CPU {}",
                seconds(timing.total),
                seconds(timing.experts),
                seconds(timing.total.saturating_sub(timing.experts))
            ),
        ),
    ];
    let Some(stats) = stats else {
        return lay_out(&rows);
    };
    // A board without a clock (`golden`) counts no cycles.
    if stats.cycles > 0 {
        rows.extend(clock(timing.tokens, stats));
    }
    let moved = |bytes| format!("{:.3} MB", bytes as f64 / 1e6);
    rows.push((
        "bytes moved",
        format!(
            "{} read, {} written",
            moved(stats.bytes_read),
            moved(stats.bytes_written)
        ),
    ));
    if stats.prefetch_bytes > 0 {
        rows.push((
            "prefetch",
            format!(
                "{} of {} expert uses guessed; {} fetched early, {} of it used",
                stats.predict_hits,
                stats.expert_uses,
                moved(stats.prefetch_bytes),
                moved(stats.prefetch_used)
            ),
        ));
    }
    if stats.saturations > 0 {
        rows.push((
            "WARNING",
            format!("{} values saturated on the board", stats.saturations),
        ));
    }
    if every_counter {
        let counters = [
            ("commands", stats.commands),
            ("cycles", stats.cycles),
            ("macs", stats.macs),
            ("bytes read", stats.bytes_read),
            ("bytes written", stats.bytes_written),
            ("saturations", stats.saturations),
            ("beats skipped", stats.skipped),
            ("expert uses", stats.expert_uses),
            ("guessed", stats.predict_hits),
            ("bytes prefetched", stats.prefetch_bytes),
            ("of these used", stats.prefetch_used),
        ];
        rows.extend(counters.map(|(name, value)| (name, value.to_string())));
        rows.extend(
            stats
                .causes
                .iter()
                .map(|cause| (&cause.name[..], cause.cycles.to_string())),
        );
    }
    lay_out(&rows)
}

/// Tokens over time.
pub(super) fn rate(tokens: u64, time: Duration) -> String {
    let rate = tokens as f64 / time.as_secs_f64().max(1e-9);
    format!("{rate:.1} tokens/s")
}

/// The rows about cycles.
fn clock(tokens: u64, stats: &Stats) -> [(&'static str, String); 3] {
    let per_token = match stats.cycles.checked_div(tokens) {
        Some(cycles) => format!("{cycles} per token"),
        None => format!("{} in all", stats.cycles),
    };
    let used = stats
        .utilisation()
        .map_or("-".to_owned(), |u| format!("{:.1} %", 100.0 * u));
    let share = |cause: &Cause| {
        let percent = 100.0 * cause.cycles as f64 / stats.cycles as f64;
        format!("{} {percent:.1} %", cause.name)
    };
    let causes: Vec<_> = stats
        .causes
        .iter()
        .filter(|cause| cause.cycles > 0)
        .map(share)
        .collect();
    [
        ("engine cycles", per_token),
        (
            "MACs used",
            format!("{used} of {} per cycle", stats.peak_macs_per_cycle),
        ),
        ("cycles went to", causes.join(", ")),
    ]
}

/// Names left, values right of them in one column; no newline at the end.
pub(super) fn lay_out(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:width$}  {value}");
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_was_counted() {
        let timing = Timing {
            tokens: 10,
            total: Duration::from_secs(5),
            experts: Duration::from_secs(4),
        };
        let cause = |name: &str, cycles| Cause {
            name: name.to_owned(),
            cycles,
        };
        let stats = Stats {
            cycles: 1000,
            causes: vec![cause("computing", 750), cause("idle", 250)],
            macs: 32_000,
            peak_macs_per_cycle: 64,
            bytes_read: 2_500_000,
            ..Stats::default()
        };
        let text = table("4 + 6", None, timing, Some(&stats), false);
        for part in [
            "100 per token",
            "50.0 % of 64",
            "2.500 MB read",
            "computing 75.0 %, idle 25.0 %",
            "2.0 tokens/s",
            "5.000 s: experts on the board 4.000 s, the rest on the CPU 1.000 s",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(table("4 + 6", None, timing, Some(&stats), true).contains("saturations"));
        assert!(!text.contains("saturated"));
        let text = table("4 + 6", Some("quick".to_owned()), timing, None, false);
        assert!(text.contains("quick") && text.contains("experts on the CPU 4.000 s"));
        assert!(!text.contains("cycles") && !text.contains("tokens/s"));
        let nothing = Timing::default();
        let text = table("0", None, nothing, Some(&stats), false);
        assert!(text.contains("1000 in all"), "{text}");
        let golden = Stats {
            cycles: 0,
            saturations: 3,
            ..stats
        };
        let text = table("4 + 6", None, timing, Some(&golden), false);
        assert!(!text.contains("cycles") && text.contains("3 values saturated"));
    }
}
