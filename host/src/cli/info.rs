//! `host info`: what this program runs and what engines it knows.

use std::process::ExitCode;

use super::args::Info;
use super::setup::lay_out;
use super::terminal::print;
use crate::model::families;
use crate::runtime::kernels::Tier;

pub(super) fn info(args: &Info) -> anyhow::Result<ExitCode> {
    let engines: Vec<_> = abi::config::CONFIGS
        .iter()
        .map(|c| {
            (
                c.name,
                format!("{:016x}", abi::fingerprint(c)),
                c.peak_macs(),
            )
        })
        .collect();
    if args.json {
        let engines: Vec<_> = engines
            .iter()
            .map(|(name, print, macs)| serde_json::json!({"name": name, "fingerprint": print, "macs_per_cycle": macs}))
            .collect();
        let result = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "families": families::supported(),
            "kernels": Tier::best().name(),
            "threads": rayon::current_num_threads(),
            "abi": abi::ABI_VERSION,
            "engines": engines,
        });
        print(&format!("{result}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("families", families::supported().join(", ")),
        (
            "CPU kernels",
            format!(
                "{}, {} threads",
                Tier::best().name(),
                rayon::current_num_threads()
            ),
        ),
        ("ABI version", abi::ABI_VERSION.to_string()),
    ];
    for (name, fingerprint, macs) in engines {
        rows.push((
            "engine",
            format!("{name}: {macs} MACs per cycle, fingerprint {fingerprint}"),
        ));
    }
    print(&(lay_out(&rows) + "\n"))?;
    Ok(ExitCode::SUCCESS)
}
