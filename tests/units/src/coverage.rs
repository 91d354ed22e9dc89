//! What the unit benches reach of the emitted Verilog: lines and branches, and bits that go up and down, as Verilator counts them.
//!
//! The libraries of `make coverage` write one file per process to `target/coverage/data`. A module is in the files of many units; it is the
//! same module where its text is, and what any bench reaches of it is reached.

use crate::synth::root;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

/// A hole that is explained.
#[derive(Clone, Debug, Deserialize)]
pub struct Waiver {
    /// The module, without what tells its configurations apart ([`family`]); absent: any.
    #[serde(default)]
    pub module: Option<String>,
    /// Part of the line of Verilog.
    pub line: String,
    /// Why nothing reaches it.
    pub reason: String,
}

#[derive(Deserialize)]
struct Waivers {
    #[serde(default)]
    waiver: Vec<Waiver>,
}

/// A point of a module: kind (`line`, `branch`, `toggle`), line within the module, column, what.
type Point = (String, usize, usize, String);

/// A module with one text, and how often each of its points was reached.
#[derive(Default)]
pub struct Module {
    lines: Vec<String>,
    points: BTreeMap<Point, u64>,
}

/// Modules by name and text.
#[derive(Default)]
pub struct Coverage {
    modules: BTreeMap<(String, String), Module>,
}

/// The modules of a file: by name, the number of the first line and the text.
fn modules(verilog: &str) -> HashMap<String, (usize, String)> {
    let mut found = HashMap::new();
    let mut start: Option<(usize, String, String)> = None;
    for (at, line) in verilog.lines().enumerate() {
        if let Some(rest) = line.strip_prefix("module ") {
            let name = rest.split([' ', '(']).next().unwrap_or_default();
            start = Some((at + 1, name.into(), String::new()));
        }
        if let Some((_, _, text)) = &mut start {
            text.push_str(line);
            text.push('\n');
        }
        if line == "endmodule" {
            if let Some((from, name, text)) = start.take() {
                found.insert(name, (from, text));
            }
        }
    }
    found
}

/// What the configurations of a module are called together: `beats` of `beats_versa`, `dma_channel` of `dma_channel_2`.
pub fn family(module: &str) -> &str {
    let mut name = module;
    while let Some((before, last)) = name.rsplit_once('_') {
        let number = last.chars().all(|c| c.is_ascii_digit());
        if !number && !["versa", "tiny", "int8"].contains(&last) {
            break;
        }
        name = before;
    }
    name
}

impl Coverage {
    /// Adds a file that a bench wrote.
    ///
    /// # Errors
    /// It is not in Verilator's format, or its Verilog is gone.
    pub fn add(&mut self, data: &str) -> Result<(), String> {
        let mut files: HashMap<String, HashMap<String, (usize, String)>> = HashMap::new();
        for line in data.lines().filter(|l| l.starts_with("C '")) {
            let wrong = || format!("`{line}` is not understood");
            let (name, count) = line[3..].rsplit_once("' ").ok_or_else(wrong)?;
            let field = |key: &str| {
                let fields = name.split('\u{1}').filter_map(|f| f.split_once('\u{2}'));
                let mut of = fields.filter(|f| f.0 == key).map(|f| f.1);
                of.next().ok_or_else(wrong)
            };
            let file = field("f")?;
            if !files.contains_key(file) {
                let text = std::fs::read_to_string(root().join(file))
                    .map_err(|e| format!("{file}: {e}"))?;
                files.insert(file.into(), modules(&text));
            }
            let (kind, module) = field("page")?.split_once('/').ok_or_else(wrong)?;
            // Parameters make another name of the same module.
            let module = module.split("__").next().unwrap_or(module);
            let (start, text) = files[file].get(module).ok_or_else(wrong)?;
            let number = |key| field(key)?.parse::<usize>().map_err(|_| wrong());
            let point = (
                kind.trim_start_matches("v_").to_string(),
                number("l")?.saturating_sub(*start),
                number("n")?,
                field("o")?.to_string(),
            );
            let key = (module.to_string(), text.clone());
            let entry = self.modules.entry(key).or_insert_with(|| Module {
                lines: text.lines().map(|l| l.trim().into()).collect(),
                points: BTreeMap::new(),
            });
            *entry.points.entry(point).or_default() += count.parse::<u64>().map_err(|_| wrong())?;
        }
        Ok(())
    }

    /// A table of modules, and the holes without a waiver; waivers that explain no hole are such, too. What no configuration of a module
    /// reaches is a hole; what only some can reach is none.
    pub fn report(&self, waivers: &[Waiver]) -> (String, Vec<String>) {
        let mut rows: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
        let mut reached: BTreeMap<(&str, &str, &str), bool> = BTreeMap::new();
        for ((name, _), module) in &self.modules {
            let row = rows.entry(name).or_default();
            for ((kind, line, _, what), count) in &module.points {
                let at = if kind == "toggle" { 2 } else { 0 };
                row[at + 1] += 1;
                row[at] += usize::from(*count > 0);
                if kind != "toggle" {
                    let text = module.lines.get(*line).map_or("", String::as_str);
                    let hole = reached.entry((family(name), text, what)).or_default();
                    *hole |= *count > 0;
                }
            }
        }
        let mut used = vec![false; waivers.len()];
        let mut holes = Vec::new();
        for ((name, text, what), _) in reached.iter().filter(|(_, reached)| !**reached) {
            let explained = waivers.iter().position(|w| {
                w.module.as_deref().is_none_or(|m| m == *name) && text.contains(&w.line)
            });
            match explained {
                Some(n) => used[n] = true,
                None => holes.push(format!("{name}: {what} of `{text}`")),
            }
        }
        for (waiver, _) in waivers.iter().zip(used).filter(|(_, used)| !used) {
            holes.push(format!("the waiver for `{}` explains no hole", waiver.line));
        }
        let share = |n: usize, of: usize| 100.0 * n as f64 / of.max(1) as f64;
        let mut table = String::from(
            "| module | lines and branches | reached | bits up, bits down | reached |\n|---|---|---|---|---|\n",
        );
        let mut all = [0; 4];
        for (name, row) in &rows {
            for (sum, n) in all.iter_mut().zip(row) {
                *sum += n;
            }
            if row[1] == 0 {
                continue;
            }
            let _ = writeln!(
                table,
                "| `{name}` | {} | {:.1} % | {} | {:.1} % |",
                row[1],
                share(row[0], row[1]),
                row[3],
                share(row[2], row[3])
            );
        }
        let _ = writeln!(
            table,
            "| all | {} | {:.1} % | {} | {:.1} % |",
            all[1],
            share(all[0], all[1]),
            all[3],
            share(all[2], all[3])
        );
        (table, holes)
    }
}

/// The waivers of tests/coverage.toml.
///
/// # Errors
/// The file is missing or not understood.
pub fn waivers() -> Result<Vec<Waiver>, String> {
    let file = "tests/coverage.toml";
    let text = std::fs::read_to_string(root().join(file)).map_err(|e| format!("{file}: {e}"))?;
    let all: Waivers = toml::from_str(&text).map_err(|e| format!("{file}: {e}"))?;
    Ok(all.waiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiver(line: &str) -> Waiver {
        let [module, line, reason] = ["m", line, "why"].map(String::from);
        Waiver {
            module: Some(module),
            line,
            reason,
        }
    }

    #[test]
    fn holes_are_told_unless_explained() {
        let mut module = Module {
            lines: vec!["module m (".into(), "a <= b;".into()],
            ..Module::default()
        };
        let point = |n, what: &str, count| (("line".into(), 1, n, what.into()), count);
        module
            .points
            .extend([point(3, "block", 0), point(9, "if", 2)]);
        let mut all = Coverage::default();
        all.modules.insert(("m".into(), String::new()), module);
        let (table, holes) = all.report(&[]);
        assert!(table.contains("| `m` | 2 | 50.0 % |"), "{table}");
        assert_eq!(holes, ["m: block of `a <= b;`"]);
        assert!(all.report(&[waiver("a <= b;")]).1.is_empty());
        let stale = all.report(&[waiver("a <= b;"), waiver("c")]).1;
        assert_eq!(stale, ["the waiver for `c` explains no hole"]);
    }

    #[test]
    fn families() {
        let names = [
            "beats_versa",
            "dma_channel_2",
            "pcie_dma_128",
            "load_visits",
        ];
        let found = names.map(family);
        assert_eq!(found, ["beats", "dma_channel", "pcie_dma", "load_visits"]);
    }

    #[test]
    fn modules_of_a_file() {
        let found = modules("x\nmodule a (\nendmodule\nmodule b (\n  y\nendmodule\n");
        assert_eq!(found["b"], (4, "module b (\n  y\nendmodule\n".to_string()));
    }
}
