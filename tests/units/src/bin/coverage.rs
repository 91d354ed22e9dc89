//! The end of `make coverage`: what the benches reached, into docs/verification.md; fails where a hole has no waiver.

use unit_tests::coverage::{waivers, Coverage};
use unit_tests::synth::root;

const PAGE: &str = "docs/verification.md";
const MARKS: [&str; 2] = ["<!-- coverage:begin -->\n", "<!-- coverage:end -->"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut all = Coverage::default();
    let mut files = 0;
    for entry in std::fs::read_dir(root().join("target/coverage/data"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "dat") {
            all.add(&std::fs::read_to_string(path)?)?;
            files += 1;
        }
    }
    if files == 0 {
        return Err("target/coverage/data is empty: run `make coverage`".into());
    }
    let (table, holes) = all.report(&waivers()?);
    let page = std::fs::read_to_string(root().join(PAGE))?;
    let parts = page.split_once(MARKS[0]).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(MARKS[1])?;
        Some((before, after))
    });
    let (before, after) =
        parts.ok_or_else(|| format!("{PAGE}: the marks of the table are gone"))?;
    let text = format!("{before}{}{table}{}{after}", MARKS[0], MARKS[1]);
    std::fs::write(root().join(PAGE), text)?;
    println!("{table}");
    for hole in &holes {
        eprintln!("{hole}");
    }
    match holes.len() {
        0 => Ok(()),
        n => Err(format!("{n} holes without a reason in tests/coverage.toml").into()),
    }
}
