//! Pages made from `hdl/abi` are those in the tree; licences of dependencies are on the list.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn is_current(file: &str, text: &str) {
    let path = root().join("docs").join(file);
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/{file} is stale: run `make docs` and commit it"
    );
}

#[test]
fn registers_page_is_current() {
    is_current("registers.md", &abi::text::registers_md());
}

#[test]
fn dma_page_is_current() {
    is_current("dma.md", &abi::text::dma_md());
}

#[test]
fn abi_json_is_current_and_parses() {
    let text = abi::text::abi_json(&abi::config::SIM);
    is_current("abi.json", &text);
    for config in abi::config::CONFIGS {
        let json: serde_json::Value = serde_json::from_str(&abi::text::abi_json(&config)).unwrap();
        assert_eq!(json["config"]["name"], config.name);
        assert_eq!(
            json["registers"].as_array().unwrap().len(),
            abi::REGISTERS.len()
        );
        assert_eq!(
            json["fingerprint"],
            format!("{:016x}", abi::fingerprint(&config))
        );
    }
}

/// Figures that the README repeats from generated pages are those of the pages.
#[test]
fn readme_figures_are_those_of_the_pages() {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
    let (readme, bench) = (read("README.md"), read("docs/benchmarks.md"));
    // What stands between two asterisks behind these words.
    let bold = |before: &str| {
        let rest = bench.split(before).nth(1);
        let rest = rest.unwrap_or_else(|| panic!("docs/benchmarks.md does not say `{before}`"));
        rest.split("**").next().unwrap().to_owned()
    };
    let law = bold("The law holds in **");
    let prefetch = bold("It holds in **");
    let hybrid = bench.lines().find(|l| l.starts_with("| hybrid |"));
    let hits = hybrid.and_then(|l| l.split('|').nth(3)).unwrap().trim();
    // The least share of the link's ceiling among transfers of 1 MiB and more, of one direction alone and of both.
    let least = |both: bool| {
        let rows = bench.lines().map(|l| l.split(" | ").collect::<Vec<_>>());
        let rows = rows.filter(|c| c.len() == 8 && c[0].contains("c") && c[1].starts_with("gen"));
        rows.filter(|c| c[0].contains(" with ") == both)
            .filter(|c| c[3].parse::<u64>().unwrap() >= 1 << 20)
            .map(|c| c[7].split(' ').next().unwrap().parse::<f64>().unwrap())
            .min_by(f64::total_cmp)
            .expect("docs/benchmarks.md has a table of the DMA")
    };
    let cells = read("docs/utilisation.md");
    let versa =
        (cells.split("the engine `versa` takes ").nth(1)).and_then(|s| s.split(" %").next());
    // LUTs, multipliers, block RAMs.
    let acorn = cells.split("the engine `acorn` takes ").nth(1).unwrap();
    let acorn: Vec<&str> = acorn
        .split(" %")
        .take(3)
        .map(|s| s.rsplit(' ').next().unwrap())
        .collect();
    let per_mac = |forms: &str| {
        let row = cells
            .lines()
            .find(|l| l.starts_with(&format!("| array | {forms} |")));
        let sites = row.and_then(|l| l.split('|').nth(3)).unwrap().trim();
        sites.parse::<f64>().unwrap().round()
    };
    let routed = cells
        .split("| engine versa | ")
        .find_map(|row| row.split(" MHz").next()?.parse::<f64>().ok());
    let routed = routed.expect("docs/utilisation.md has no Fmax of the engine");
    for figure in [
        format!("64 int8 MACs per cycle at {routed:.0} MHz"),
        format!("holds in {law} rows"),
        format!("holds in {prefetch} points"),
        format!("{hits} of expert uses"),
        format!("at least {} % of the link's ceiling each way", least(false)),
        format!("{} % both ways at once", least(true)),
        format!("takes {} % of the LUTs", versa.unwrap()),
        format!(
            "{} % of the LUTs, {} % of the block RAMs",
            acorn[0], acorn[2]
        ),
        format!(
            "{} LUT sites per MAC ({} with every form)",
            per_mac("int8"),
            per_mac("all")
        ),
    ] {
        assert!(
            readme.contains(&figure),
            "README.md does not say `{figure}`"
        );
    }
}

/// Whether an SPDX expression of `OR`, `AND`, `WITH` and parentheses is met by the allowed licences.
fn met(expression: &str, allowed: &[&str]) -> bool {
    // `A/B` is how old manifests write `A OR B`. AND binds tighter than OR; no crate here nests deeper than one level.
    let plain = expression.replace('/', " OR ");
    let mut open = Vec::new();
    let mut terms = String::new();
    for c in plain.chars() {
        match c {
            '(' => open.push(std::mem::take(&mut terms)),
            ')' => {
                let inner = met(&terms, allowed);
                terms = open.pop().expect("parentheses are balanced")
                    + if inner { "yes" } else { "no" };
            }
            c => terms.push(c),
        }
    }
    terms.split(" OR ").any(|all| {
        all.split(" AND ").all(|one| {
            let licence = one.split(" WITH ").next().unwrap_or_default().trim();
            licence == "yes" || allowed.contains(&licence)
        })
    })
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT", "Apache-2.0"];
    for good in [
        "MIT",
        "MIT OR GPL-3.0",
        "GPL-3.0/Apache-2.0",
        "(GPL-2.0 OR MIT) AND Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(met(good, &allowed), "{good}");
    }
    for bad in [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(GPL-2.0 OR LGPL-3.0) AND MIT",
        "",
    ] {
        assert!(!met(bad, &allowed), "{bad}");
    }
}

/// The quick half of `make deny`: every package of the lock file states a licence that deny.toml allows.
#[test]
fn licences_are_allowed() {
    let list = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let licenses = list
        .split("allow = [")
        .nth(1)
        .and_then(|s| s.split(']').next())
        .unwrap();
    let allowed: Vec<&str> = licenses.split('"').skip(1).step_by(2).collect();
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let packages = json["packages"].as_array().unwrap();
    assert!(packages.len() > 20);
    for p in packages {
        let licence = p["license"].as_str().unwrap_or_default();
        assert!(
            met(licence, &allowed),
            "{} {}: licence `{licence}` is not in deny.toml",
            p["name"],
            p["version"]
        );
    }
}
