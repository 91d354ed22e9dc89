//! `make bench`: engine cycles against the laws of the design, prefetch, prediction, and the speed of the simulation.
//!
//! Writes `target/bench/engine.json`, `target/bench/sim.json`, `docs/benchmarks.md` and `docs/prefetch.svg`. Cycles are
//! deterministic; only the wall-clock figures differ from run to run. Nothing here has a threshold.

use serde_json::json;
use std::fmt::Write as _;
use system_tests::bench::laws::{self, Measured};
use system_tests::bench::svg::{plot, Series};
use system_tests::bench::{predictors, prefetch, router, skip, speed, Failure, Row};

const CONFIG: &str = "sim";
const LATENCY: u32 = 20;
const PAGE: &str = "docs/benchmarks.md";
const FIGURE: &str = "docs/prefetch.svg";

/// Accuracies of the sweep; 0.844 is FLAME's.
const ACCURACIES: [f64; 5] = [0.0, 0.25, 0.5, 0.844, 1.0];
/// Gaps of the sweep, as parts of B.
const GAPS: [f64; 5] = [0.02, 0.25, 0.5, 1.0, 1.5];
const COLOURS: [&str; 5] = ["#444444", "#1b6ca8", "#2a9d4a", "#d1831a", "#b3262e"];

fn law_table(page: &mut String, measured: &[Measured]) -> Result<(), Failure> {
    let held = measured.iter().filter(|m| m.row.holds()).count();
    writeln!(
        page,
        "## One expert, T tokens in one tile\n\n`cycles <= 1.05 x max(bytes / bus, non-zeros x T / P) + 64 + 4 L`, 1.15 where the two terms are within 25 % of each other; P is 64, \
         and 128 for dense int4, where two weights share a multiplier. The cycles are those of the whole command: descriptor, x, expert, y and completion; `f` is the \
         width that was run, of the width that the model has (narrowed so that a row stays below {} million cycles). The law holds in **{held} of {}** rows.\n",
        5, measured.len()
    )?;
    page.push_str("| model | d | f | of | weights | T | bytes / bus | MACs / P | cycles | bound | against the bound | of peak | computing | memory | slot | drain |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for m in measured {
        let r = &m.row;
        let share = |n: usize| 100.0 * m.causes[n] as f64 / r.cycles as f64;
        writeln!(
            page,
            "| {} | {} | {} | {} | {} {} | {} | {:.0} | {:.0} | {} | {:.0} | {:+.1} % | {:.1} % | {:.0} % | {:.0} % | {:.0} % | {:.0} % |",
            r.name,
            r.d_in,
            r.d_out,
            m.whole,
            r.weights,
            r.sparsity,
            r.tokens,
            m.terms.0,
            m.terms.1,
            r.cycles,
            r.bound,
            100.0 * r.over(),
            100.0 * m.macs as f64 / (r.cycles as f64 * m.peak as f64),
            share(0),
            share(1),
            share(3),
            share(4),
        )?;
    }
    page.push('\n');
    Ok(())
}

fn prefetch_table(
    page: &mut String,
    points: &[prefetch::Point],
    wrong: &Row,
) -> Result<(), Failure> {
    let held = points.iter().filter(|p| p.cycles as f64 <= p.bound).count();
    writeln!(
        page,
        "## Prefetch\n\nLayers of one token, two of eight experts (512 x 512, int8 2:4), the host away for W cycles before each: `cycles <= 1.03 x (W + B - U) + 64` per layer, B the demand \
         bytes over the bus, U the prefetched bytes that were used over the bus. It holds in **{held} of {}** points; hits counted by the engine equal those of the list that was played in every one. \
         A wrong guess delays a layer by at most {} cycles (4096 / bus + L = {:.0}).\n\n![Measured points against the formula](prefetch.svg)\n",
        points.len(), wrong.cycles, wrong.bound
    )?;
    page.push_str("| accuracy | W / B | W | B | U | cycles | bound | against the bound | hits | wasted bytes |\n|---|---|---|---|---|---|---|---|---|---|\n");
    for p in points {
        writeln!(
            page,
            "| {} | {:.2} | {:.0} | {:.0} | {:.0} | {} | {:.0} | {:+.1} % | {} | {} |",
            p.accuracy,
            p.w / p.b,
            p.w,
            p.b,
            p.u,
            p.cycles,
            p.bound,
            100.0 * (p.cycles as f64 / p.bound - 1.0),
            p.hits.0,
            p.wasted
        )?;
    }
    page.push('\n');
    Ok(())
}

fn figure(points: &[prefetch::Point]) -> String {
    let mut series = Vec::new();
    for (n, accuracy) in ACCURACIES.into_iter().enumerate() {
        let of = |f: &dyn Fn(&prefetch::Point) -> f64| -> Vec<(f64, f64)> {
            let own = points.iter().filter(|p| p.accuracy == accuracy);
            own.map(|p| (p.w / p.b, f(p) / p.b)).collect()
        };
        series.push(Series {
            name: format!("p = {accuracy}"),
            colour: COLOURS[n],
            line: false,
            points: of(&|p| p.cycles as f64),
        });
        series.push(Series {
            name: "  W + B - U".into(),
            colour: COLOURS[n],
            line: true,
            points: of(&|p| p.w + p.b - p.u),
        });
    }
    plot(
        "A layer with prefetch: measured cycles and W + B - U, in units of B",
        "W / B",
        "cycles / B",
        &series,
    )
}

fn run() -> Result<(), Failure> {
    let mut page = format!(
        "<!-- Generated by `make bench`. Do not edit. -->\n\n# Benchmarks\n\nConfiguration `{CONFIG}` in Verilator: 64 multipliers, 16-byte bus, memory latency L = {LATENCY} cycles. \
         Every figure but those of the last section is a count of cycles and the same on every machine.\n\n"
    );
    let mut rows: Vec<Row> = Vec::new();

    let mut measured = Vec::new();
    for point in laws::points() {
        let m = laws::measure(CONFIG, &point, LATENCY)?;
        let r = &m.row;
        println!(
            "{:17} d {:4} f {:5} {} {:5} T {:3}: {:8} cycles, bound {:9.0} ({:+.1} %)",
            r.name,
            r.d_in,
            r.d_out,
            r.weights,
            r.sparsity,
            r.tokens,
            r.cycles,
            r.bound,
            100.0 * r.over()
        );
        rows.push(r.clone());
        measured.push(m);
    }
    law_table(&mut page, &measured)?;

    let mut bench = prefetch::Bench::new(CONFIG, LATENCY)?;
    let demand = bench.demand();
    let mut points = Vec::new();
    for (n, accuracy) in ACCURACIES.into_iter().enumerate() {
        for gap in GAPS {
            let p = bench.point(accuracy, (gap * demand) as u64, 10 + n as u64)?;
            println!(
                "prefetch p {accuracy} W/B {:.2}: {} cycles, bound {:.0}, hits {:?}",
                p.w / p.b,
                p.cycles,
                p.bound,
                p.hits
            );
            points.push(p);
        }
    }
    let wrong = bench.wrong(48)?;
    let mut prefetch_rows = prefetch::rows(&points, wrong, LATENCY);
    let last = prefetch_rows
        .last()
        .expect("the row of a wrong guess")
        .clone();
    prefetch_table(&mut page, &points, &last)?;
    rows.append(&mut prefetch_rows);
    std::fs::write(FIGURE, figure(&points))?;

    rows.extend(router::section(&mut page, CONFIG, LATENCY)?);
    skip::section(&mut page, CONFIG, LATENCY)?;
    predictors::section(&mut page, CONFIG)?;
    let sim = speed::section(&mut page, CONFIG)?;

    std::fs::create_dir_all("target/bench")?;
    std::fs::write(
        "target/bench/engine.json",
        serde_json::to_string_pretty(&rows)? + "\n",
    )?;
    std::fs::write(
        "target/bench/prefetch.json",
        serde_json::to_string_pretty(&points)? + "\n",
    )?;
    std::fs::write(
        "target/bench/sim.json",
        serde_json::to_string_pretty(&json!(sim))? + "\n",
    )?;
    std::fs::write(PAGE, page.trim_end().to_owned() + "\n")?;
    let missed: Vec<_> = rows.iter().filter(|r| !r.holds()).collect();
    println!(
        "{} rows, {} beyond their law; {PAGE} is written",
        rows.len(),
        missed.len()
    );
    Ok(())
}

fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench: {e}");
            std::process::ExitCode::FAILURE
        }
    }
}
