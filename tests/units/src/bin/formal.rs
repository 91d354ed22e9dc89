//! `make formal`: every proof of `tests/formal`, or those whose names are given. Writes `target/formal/formal.json` and
//! `docs/formal.md`.

use unit_tests::formal::{page, proofs, prove};
use unit_tests::synth::root;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let all = proofs()?;
    if let Some(name) = wanted.iter().find(|w| all.iter().all(|p| p.name != **w)) {
        let names: Vec<&str> = all.iter().map(|p| p.name.as_str()).collect();
        return Err(format!("no proof `{name}`; there are {}", names.join(", ")).into());
    }
    let nightly = std::env::var_os("ROUNDHOUSE_NIGHTLY").is_some();
    let (mut done, mut failed) = (Vec::new(), 0);
    let chosen = (all.iter()).filter(|p| wanted.is_empty() || wanted.contains(&p.name));
    for proof in chosen.flat_map(|p| p.variants(nightly)) {
        for file in &proof.files {
            match prove(&proof, file, nightly) {
                Ok(o) => {
                    println!(
                        "{} in {}: {} assertions proved by induction over {} steps, {} covers reached, {} mutants found out, {} s",
                        o.name, o.file, o.assertions, o.depth, o.covers, o.mutants, o.seconds
                    );
                    done.push(o);
                }
                Err(e) => {
                    eprintln!("{e}");
                    failed += 1;
                }
            }
        }
    }
    if wanted.is_empty() {
        let text = serde_json::to_string_pretty(&done)? + "\n";
        std::fs::write(root().join("target/formal/formal.json"), text)?;
    }
    std::fs::write(root().join("docs/formal.md"), page(&all))?;
    match failed {
        0 => Ok(()),
        n => Err(format!("{n} of {} proofs failed", n + done.len()).into()),
    }
}
