//! `make mutate`: the units of [`UNITS`] whose names are given, or those that changed since their figures in `tests/mutate` were
//! measured; with `--again` of each only what survived, see [`mutate`]. The figures go into `docs/verification.md`.

use std::time::Instant;
use unit_tests::mutate::{is_current, known, mutate, problems, reasons, table, write_page, UNITS};

fn main() -> std::process::ExitCode {
    match measure() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("mutate: {e}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Box<dyn std::error::Error>> {
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    let given = wanted.len();
    wanted.retain(|w| w != "--again");
    let again = wanted.len() < given;
    if let Some(name) = wanted.iter().find(|w| UNITS.iter().all(|u| u.name != **w)) {
        let names = UNITS.map(|u| u.name).join(", ");
        return Err(format!("no unit `{name}` is mutated; there are {names}").into());
    }
    let reasons = reasons()?;
    let mut all = Vec::new();
    for unit in UNITS {
        let start = Instant::now();
        let known = known(unit)?;
        let outcome = match known {
            _ if wanted.iter().any(|w| w == unit.name) => mutate(unit, again)?,
            _ if !wanted.is_empty() => continue,
            Some(known) if is_current(unit, &known)? => known,
            _ => mutate(unit, again)?,
        };
        eprintln!("{}: {} s", unit.name, start.elapsed().as_secs());
        all.push(outcome);
        write_page()?;
    }
    print!("{}", table(&all, &reasons));
    let problems = problems(&all, &reasons);
    match problems.is_empty() {
        true => Ok(()),
        false => Err(problems.join("\n").into()),
    }
}
