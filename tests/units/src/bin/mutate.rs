//! `make mutate`: every unit of [`UNITS`], or those whose names are given. What is known and current is not measured again; once
//! every unit is known, the figures go into `docs/verification.md`.

use std::time::Instant;
use unit_tests::mutate::{known, mutate, problems, reasons, table, write_page, UNITS};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(name) = wanted.iter().find(|w| UNITS.iter().all(|u| u.name != **w)) {
        let names = UNITS.map(|u| u.name).join(", ");
        return Err(format!("no unit `{name}` is mutated; there are {names}").into());
    }
    let reasons = reasons()?;
    let (mut all, mut asked) = (Vec::new(), Vec::new());
    for unit in UNITS {
        let is_asked = wanted.is_empty() || wanted.iter().any(|w| w == unit.name);
        let start = Instant::now();
        let outcome = match known(unit)? {
            None if is_asked => {
                let outcome = mutate(unit)?;
                eprintln!("{}: {} s", unit.name, start.elapsed().as_secs());
                Some(outcome)
            }
            known => known,
        };
        asked.extend(outcome.iter().filter(|_| is_asked).cloned());
        all.extend(outcome);
    }
    print!("{}", table(&asked, &reasons));
    if all.len() == UNITS.len() {
        write_page(&table(&all, &reasons))?;
    }
    let problems = problems(&asked, &reasons);
    match problems.is_empty() {
        true => Ok(()),
        false => Err(problems.join("\n").into()),
    }
}
