//! `host selftest`: whether a board does what its contract says.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::args::Selftest;
use super::setup::lay_out;
use super::terminal::{print, Interrupt, Progress};
use crate::bitstream::Manifest;
use crate::driver::selftest::{self, Outcome, Report};
use crate::driver::{self, Options};

pub(super) fn selftest(args: &Selftest) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let progress = Progress::new();
    progress.show("opening the board");
    let options = Options {
        bitstream: args.board.bitstream.clone(),
        device: args.board.device.clone(),
        timeout: Some(Duration::from_secs(args.board.device_timeout)),
        stop: Some(interrupt.flag()),
        ..Options::default()
    };
    let manifest = Manifest::open(options.bitstream.as_deref()).map_err(driver::Error::from)?;
    let mut device = driver::open_device(&manifest, &options).context("cannot open the board")?;
    let what = selftest::Options {
        limit: args.limit.unwrap_or(u64::MAX),
        seed: args.seed,
    };
    let say = |text: &str| progress.show(text);
    let report = selftest::run(&mut *device, &manifest.config, what, say)?;
    Progress::clear();
    if args.json {
        print(&format!("{}\n", serde_json::to_string(&report)?))?;
    } else {
        print(&(text(&report) + "\n"))?;
    }
    Ok(match report.passed() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The report for people.
fn text(report: &Report) -> String {
    let memory = report.memory_bytes;
    let mut rows = vec![(
        "board",
        format!("{}, {memory} bytes of card memory", report.device),
    )];
    for check in &report.checks {
        let outcome = match check.outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::Skipped => "skipped",
        };
        let mut said = format!("{outcome}: {}", check.note);
        if let (Some(expected), Some(got)) = (&check.expected, &check.got) {
            said += &format!("; expected {expected}, got {got}");
        }
        rows.push((check.name, said));
    }
    if let Some(b) = &report.bandwidth {
        let rate = |name: &str, rate: f64| {
            let share = b
                .ceiling
                .map(|c| format!(" ({:.1} % of the link's ceiling)", 100.0 * rate / c));
            format!("{name} {:.1} MB/s{}", rate / 1e6, share.unwrap_or_default())
        };
        let mut said = format!(
            "{}, {}, {} bytes by the wall clock",
            rate("to the card", b.to_card),
            rate("from it", b.from_card),
            b.bytes
        );
        if let Some(ceiling) = b.ceiling {
            said += &format!("; the link carries {:.1} MB/s at most", ceiling / 1e6);
        }
        rows.push(("bandwidth", said));
    }
    for l in &report.latencies {
        rows.push((
            "latency",
            format!(
                "{}: 50 % within {:.1} us, 90 % {:.1}, 99 % {:.1}, all {:.1} ({} samples)",
                l.name, l.p50, l.p90, l.p99, l.max, l.samples
            ),
        ));
    }
    let verdict = match report.passed() {
        true => "passed",
        false => "FAILED",
    };
    rows.push(("selftest", verdict.to_owned()));
    lay_out(&rows)
}
