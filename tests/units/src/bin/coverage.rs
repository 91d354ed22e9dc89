//! The end of `make coverage`: what the benches reached, into docs/verification.md; fails where a hole has no waiver.

use unit_tests::coverage::{waivers, Coverage};
use unit_tests::page::fill;
use unit_tests::synth::root;

const PAGE: &str = "docs/verification.md";
const MARKS: [&str; 2] = ["<!-- coverage:begin -->", "<!-- coverage:end -->"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut all = Coverage::default();
    let mut files = 0;
    for entry in std::fs::read_dir(root().join("target/coverage/data"))? {
        let path = entry?.path();
        // `image` is an engine and three units that have benches of their own; its bench is of the wiring.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".dat") && !name.starts_with("image") {
            all.add(&std::fs::read_to_string(path)?)?;
            files += 1;
        }
    }
    if files == 0 {
        return Err("target/coverage/data is empty: run `make coverage`".into());
    }
    let (table, holes) = all.report(&waivers()?);
    fill(PAGE, MARKS, &table)?;
    println!("{table}");
    for hole in &holes {
        eprintln!("{hole}");
    }
    match holes.len() {
        0 => Ok(()),
        n => Err(format!(
            "{n} holes without a reason in tests/coverage.toml, or reasons without a hole"
        )
        .into()),
    }
}
