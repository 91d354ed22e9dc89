//! `host info`: what this program runs and what engines it knows.

use std::process::ExitCode;

use super::args::Info;
use super::setup::lay_out;
use super::terminal::print;
use crate::driver;
use crate::model::families;
use crate::runtime::kernels::Tier;

/// An engine of a named configuration.
#[derive(serde::Serialize)]
struct Engine {
    name: &'static str,
    fingerprint: String,
    macs_per_cycle: usize,
    /// Its simulated board: `built`, or what is missing; none where this program has no simulated boards.
    simulated: Option<String>,
}

pub(super) fn info(args: &Info) -> anyhow::Result<ExitCode> {
    let engine = |c: &abi::Config| Engine {
        name: c.name,
        fingerprint: format!("{:016x}", abi::fingerprint(c)),
        macs_per_cycle: c.peak_macs(),
        simulated: driver::WAYS.contains(&"sim").then(|| {
            let missing = driver::simulated_is_built(c).err();
            missing.map_or("built".to_owned(), |e| e.to_string())
        }),
    };
    let engines: Vec<_> = abi::config::CONFIGS.iter().map(engine).collect();
    let (version, families) = (env!("CARGO_PKG_VERSION"), families::supported());
    let (kernels, threads) = (Tier::best().name(), rayon::current_num_threads());
    if args.json {
        let result = serde_json::json!({
            "version": version,
            "families": families,
            "kernels": kernels,
            "threads": threads,
            "abi": abi::ABI_VERSION,
            "devices": driver::WAYS,
            "engines": engines,
        });
        print(&format!("{result}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![
        ("version", version.to_owned()),
        ("families", families.join(", ")),
        ("CPU kernels", format!("{kernels}, {threads} threads")),
        ("ABI version", abi::ABI_VERSION.to_string()),
        ("devices", driver::WAYS.join(", ")),
    ];
    for e in engines {
        let mut text = format!(
            "{}: {} MACs per cycle, fingerprint {}",
            e.name, e.macs_per_cycle, e.fingerprint
        );
        if let Some(simulated) = e.simulated {
            text += &format!(", simulated board {simulated}");
        }
        rows.push(("engine", text));
    }
    print(&(lay_out(&rows) + "\n"))?;
    Ok(ExitCode::SUCCESS)
}
