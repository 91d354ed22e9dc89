//! `tests/plan.toml`: every promise of README and docs with the tests that keep it. What is named must exist, and what exists must be named.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use unit_tests::page::{fill, filled};
use unit_tests::synth::root;

/// One promise; one of the first three says where it is made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    /// The beginning of a row of README's table.
    pub readme: Option<String>,
    /// A page of docs, and in `what` what it promises.
    pub page: Option<String>,
    /// A case that must be met.
    pub hazard: Option<String>,
    /// See `page`.
    pub what: Option<String>,
    /// `FILE`, `FILE::TEST`, `FILE.sv` or `make TARGET`.
    pub kept_by: Vec<String>,
}

#[derive(Deserialize)]
struct Plan {
    promise: Vec<Promise>,
}

/// Folders in which every file must be named.
const FOLDERS: [(&str, &str); 10] = [
    ("tests/tests", "rs"),
    ("tests/units/tests", "rs"),
    ("tests/formal", "sv"),
    ("sim-tb/tests", "rs"),
    ("host/tests", "rs"),
    ("hdl/backend/tests", "rs"),
    ("hdl/golden/tests", "rs"),
    ("hdl/leaf/tests", "rs"),
    ("hdl/numeric/tests", "rs"),
    ("docs", "md"),
];

fn read(file: &str) -> Result<String, String> {
    std::fs::read_to_string(root().join(file)).map_err(|e| format!("{file}: {e}"))
}

/// The promises, in the order of the file.
///
/// # Errors
/// The file is missing or not understood.
pub fn promises() -> Result<Vec<Promise>, String> {
    let plan: Plan =
        toml::from_str(&read("tests/plan.toml")?).map_err(|e| format!("tests/plan.toml: {e}"))?;
    Ok(plan.promise)
}

/// The first cells of the rows of README's table of what works.
fn rows() -> Result<Vec<String>, String> {
    let text = read("README.md")?;
    let table = text.split("| what | state | measured by |").nth(1);
    let table = table.ok_or("README.md: its table of what works is gone")?;
    let rows = table.lines().skip(2).take_while(|l| l.starts_with("| "));
    Ok(rows
        .map(|l| l[2..].split(" | ").next().unwrap_or_default().into())
        .collect())
}

/// The tests of a file of Rust.
fn tests(text: &str) -> BTreeSet<&str> {
    let after = text.split("#[test]").skip(1);
    after
        .filter_map(|part| part.split("fn ").nth(1)?.split('(').next())
        .collect()
}

/// How many tests, proofs and commands keep a promise.
///
/// # Errors
/// What is named and does not exist.
fn kept(promise: &Promise) -> Result<[usize; 3], String> {
    let makefile = read("Makefile")?;
    let mut counts = [0; 3];
    for name in &promise.kept_by {
        if let Some(target) = name.strip_prefix("make ") {
            if !makefile
                .lines()
                .any(|l| l.starts_with(&format!("{target}:")))
            {
                return Err(format!("the Makefile has no `{target}`"));
            }
            counts[2] += 1;
            continue;
        }
        let (file, test) = name
            .split_once("::")
            .map_or((name.as_str(), None), |(f, t)| (f, Some(t)));
        let text = read(file)?;
        let found = tests(&text);
        match test {
            Some(test) if found.contains(test) => counts[0] += 1,
            Some(test) => return Err(format!("{file} has no test {test}")),
            None if file.ends_with(".sv") => counts[1] += 1,
            None if found.is_empty() => return Err(format!("{file} has no tests")),
            None => counts[0] += found.len(),
        }
    }
    Ok(counts)
}

/// What the plan lacks, and what it names that is not there.
///
/// # Errors
/// A file cannot be read.
pub fn problems() -> Result<Vec<String>, String> {
    let (promises, rows) = (promises()?, rows()?);
    let mut problems = Vec::new();
    let mut named: BTreeSet<&str> = BTreeSet::new();
    let mut seen: BTreeMap<&str, usize> = rows.iter().map(|r| (r.as_str(), 0)).collect();
    for promise in &promises {
        if let Err(e) = kept(promise) {
            problems.push(format!("{}: {e}", place(promise)));
        }
        if promise.kept_by.is_empty() {
            problems.push(format!("{}: nothing keeps it", place(promise)));
        }
        named.extend(promise.kept_by.iter().filter_map(|n| n.split("::").next()));
        match (&promise.readme, &promise.page, &promise.hazard) {
            (Some(start), None, None) => {
                let found: Vec<&String> = rows.iter().filter(|r| r.starts_with(start)).collect();
                match found[..] {
                    [row] => *seen.entry(row).or_default() += 1,
                    _ => problems.push(format!(
                        "{} rows of README begin with `{start}`",
                        found.len()
                    )),
                }
            }
            (None, Some(page), None) if promise.what.is_some() => {
                if !root().join("docs").join(page).exists() {
                    problems.push(format!("there is no docs/{page}"));
                }
            }
            (None, None, Some(_)) => {}
            _ => problems.push(format!(
                "{}: one of readme, page (with what) and hazard",
                place(promise)
            )),
        }
    }
    for (row, n) in seen.iter().filter(|(_, n)| **n != 1) {
        problems.push(format!("README's `{row}` is in the plan {n} times"));
    }
    let pages: BTreeSet<&str> = promises.iter().filter_map(|p| p.page.as_deref()).collect();
    for (folder, extension) in FOLDERS {
        let entries =
            std::fs::read_dir(root().join(folder)).map_err(|e| format!("{folder}: {e}"))?;
        for name in entries.filter_map(|e| e.ok()?.file_name().into_string().ok()) {
            let file = format!("{folder}/{name}");
            let known = match folder {
                "docs" => pages.contains(name.as_str()),
                _ => named.contains(file.as_str()),
            };
            if name.ends_with(&format!(".{extension}")) && !known {
                problems.push(format!("{file} is in no promise"));
            }
        }
    }
    problems.sort();
    Ok(problems)
}

/// Where a promise is made.
fn place(promise: &Promise) -> String {
    match promise {
        Promise {
            readme: Some(row), ..
        } => format!("README: {row}"),
        Promise {
            page: Some(page), ..
        } => format!(
            "[{page}]({page}): {}",
            promise.what.as_deref().unwrap_or("")
        ),
        _ => format!("hazard: {}", promise.hazard.as_deref().unwrap_or("")),
    }
}

/// The marks in docs/verification.md.
const MARKS: [&str; 2] = ["<!-- plan:begin -->", "<!-- plan:end -->"];

const PAGE: &str = "docs/verification.md";

fn table() -> Result<String, String> {
    let mut table = String::from("| promise | tests | proofs | commands |\n|---|---|---|---|\n");
    let promises = promises()?;
    for promise in &promises {
        let [tests, proofs, _] = kept(promise)?;
        let commands = promise.kept_by.iter().filter(|n| n.starts_with("make "));
        let commands: Vec<String> = commands.map(|c| format!("`{c}`")).collect();
        // Of a row of README only the beginning stands in the plan.
        let dots = if promise.readme.is_some() { " ..." } else { "" };
        let _ = writeln!(
            table,
            "| {}{dots} | {tests} | {proofs} | {} |",
            place(promise),
            commands.join(", ")
        );
    }
    let _ = writeln!(table, "\n{} promises.", promises.len());
    Ok(table)
}

/// docs/verification.md as it is and as the plan says.
///
/// # Errors
/// A file cannot be read, or the page has lost its marks.
pub fn page() -> Result<[String; 2], String> {
    filled(PAGE, MARKS, &table()?)
}

/// Writes the page.
///
/// # Errors
/// As [`page`], or the page cannot be written.
pub fn write() -> Result<(), String> {
    fill(PAGE, MARKS, &table()?)
}
