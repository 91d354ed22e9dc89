//! `host info`: what this program runs, what engines it knows, and what boards this machine has.

use std::process::ExitCode;

use device::find::{Found, Root};

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

/// A card in this machine: the way to reach it, or what is in the way and the command that mends it.
#[derive(serde::Serialize)]
struct Board {
    address: String,
    id: String,
    driver: Option<String>,
    way: Option<String>,
    problem: Option<String>,
    mend: Option<String>,
}

impl Board {
    fn of(found: Found) -> Board {
        let (way, problem) = match found.way {
            Ok(way) => (Some(way), None),
            Err(problem) => (None, Some(problem)),
        };
        Board {
            address: found.address,
            id: format!("{:04x}:{:04x}", found.id.0, found.id.1),
            driver: found.driver,
            way,
            problem: problem.as_ref().map(|p| p.what.clone()),
            mend: problem.map(|p| p.mend),
        }
    }

    fn text(&self) -> String {
        let what = match (&self.way, &self.problem, &self.mend) {
            (Some(way), ..) => format!("`--device {way}`"),
            (_, Some(problem), Some(mend)) => format!("cannot be used: {problem}; {mend}"),
            _ => "cannot be used".to_owned(),
        };
        format!("{} ({}): {what}", self.address, self.id)
    }
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
    let boards = Root::of_this_machine().boards(&driver::pci_ids());
    let boards: Vec<_> = boards.into_iter().map(Board::of).collect();
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
            "boards": boards,
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
    if boards.is_empty() {
        rows.push(("board", "none in this machine".to_owned()));
    }
    rows.extend(boards.iter().map(|b| ("board", b.text())));
    print(&(lay_out(&rows) + "\n"))?;
    Ok(ExitCode::SUCCESS)
}
