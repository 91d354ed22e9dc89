//! The model beside its Verilog: every port of a design, step by step, in rust-hdl's simulator and in Verilator.
//!
//! A [`Bench`] takes any number of designs, so that one Verilated program (and one C++ compilation) serves a whole
//! test file. [`Bench::add`] drives the Rust design and records all its ports; [`Bench::check`] prints the designs
//! as Verilog, refuses any warning of `verilator -Wall`, applies the recorded inputs and compares each output bit.

use crate::lit::Lit;
use crate::{walk, Direction, Header, Port};
use rust_hdl_core::block::Block;
use rust_hdl_core::module_defines::generate_verilog_unchecked;
use rust_hdl_core::simulate::simulate;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Deterministic random numbers (xorshift64*), for stimuli; the seed is fixed by the caller.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator; `seed` must not be zero.
    pub fn new(seed: u64) -> Self {
        Random(seed.max(1))
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.u64() >> 11) % n
    }

    /// 128 bits with long runs of zeros and ones more often than chance would have it: corners of arithmetic.
    pub fn corners(&mut self) -> u128 {
        let wide = u128::from(self.u64()) << 64 | u128::from(self.u64());
        let cut = self.below(128) as u32;
        match self.below(5) {
            0 => wide,
            1 => u128::MAX << cut,
            2 => (1 << cut) - 1,
            3 => 1 << cut,
            _ => (wide >> cut) ^ (1 << self.below(128)),
        }
    }
}

struct Design {
    name: String,
    ports: Vec<Port>,
    /// Values of all ports, in their order, at each step.
    rows: Vec<Vec<Lit>>,
}

/// A set of designs to compare with their Verilog.
pub struct Bench {
    dir: PathBuf,
    designs: Vec<Design>,
    nodes: Vec<(String, walk::Node)>,
    stock: String,
    waivers: Vec<String>,
}

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Bench {
    /// A bench that builds in `target/bench-verilog/<name>`; the name must be its own.
    pub fn new(name: &str) -> Self {
        Bench {
            dir: root().join("target/bench-verilog").join(name),
            designs: Vec::new(),
            nodes: Vec::new(),
            stock: String::new(),
            waivers: Vec::new(),
        }
    }

    /// Runs `dut` for `steps` steps and records its ports. In each, `drive` sets the inputs (`.next`) for the clock
    /// level it is given: low, when outputs are sampled, then high. Combinational designs ignore the level.
    ///
    /// # Errors
    /// A design that the back end refuses or that does not settle.
    pub fn add<D: Block>(
        &mut self,
        name: &str,
        dut: &mut D,
        steps: usize,
        mut drive: impl FnMut(&mut D, usize, bool),
    ) -> Result<(), String> {
        dut.connect_all();
        let ports = crate::ports(dut).map_err(|e| e.to_string())?;
        // Printed before the run: afterwards signals no longer have their initial values.
        let node = walk::walk(dut, name).map_err(|f| f.at(name).to_string())?;
        let mut rows = Vec::new();
        for step in 0..steps {
            for clock in [false, true] {
                drive(dut, step, clock);
                if !simulate(dut, 1000) {
                    return Err(format!("{name} does not settle in step {step}"));
                }
                if !clock {
                    let now = walk::walk(dut, name).map_err(|f| f.at(name).to_string())?;
                    rows.push(now.ports().map(|s| s.init.clone()).collect());
                }
            }
        }
        self.nodes.push((name.to_string(), node));
        self.designs.push(Design {
            name: name.to_string(),
            ports,
            rows,
        });
        Ok(())
    }

    /// Adds the library's own Verilog of the design added last, to be compared with the same record.
    pub fn add_stock(&mut self, dut: &impl Block) {
        let Some(last) = self.designs.last() else {
            return;
        };
        let name = format!("{}_stock", last.name);
        let text = generate_verilog_unchecked(dut);
        self.stock += &text
            .replace("top$", &format!("{name}$"))
            .replace("module top(", &format!("module {name}("));
        let design = Design {
            name,
            ports: last.ports.clone(),
            rows: last.rows.clone(),
        };
        self.designs.push(design);
    }

    /// Lets a warning of Verilator pass, such as `UNSIGNED`. For designs made at random, which no engineer has read.
    pub fn waive(&mut self, warning: &str) {
        self.waivers.push(format!("-Wno-{warning}"));
    }

    /// The Verilog of all designs added so far.
    ///
    /// # Errors
    /// What the back end refuses.
    pub fn verilog(&self) -> Result<String, String> {
        let tops: Vec<(&str, &walk::Node)> = self
            .nodes
            .iter()
            .map(|(n, node)| (n.as_str(), node))
            .collect();
        crate::emit_nodes(&tops, &Header::default()).map_err(|e| e.to_string())
    }

    /// Builds the Verilated program and compares.
    ///
    /// # Errors
    /// A missing Verilator, a warning of its lint, or the first difference: design, step, port and both values.
    pub fn check(self) -> Result<(), String> {
        let program = self.build()?;
        let output = self.run(&program)?;
        self.compare(&output)
    }

    fn io<T>(&self, what: &str, result: std::io::Result<T>) -> Result<T, String> {
        result.map_err(|e| format!("{what} in {}: {e}", self.dir.display()))
    }

    fn build(&self) -> Result<PathBuf, String> {
        let home = root().join("target/tools/verilator");
        let verilator = home.join("bin/verilator");
        if !verilator.exists() {
            return Err("Verilator is not installed in target/tools; run `make tools`".into());
        }
        let (inputs, outputs) = self.bits();
        let files = [
            ("flags", FLAGS.join(" ") + &self.waivers.join(" ")),
            ("designs.v", self.verilog()?),
            ("stock.v", format!("{STOCK_WAIVERS}{}", self.stock)),
            ("bench.v", self.wrapper(inputs, outputs)),
            (
                "main.cpp",
                MAIN.replace("INPUT_BITS", &inputs.to_string())
                    .replace("OUTPUT_BITS", &outputs.to_string()),
            ),
        ];
        self.io("create", std::fs::create_dir_all(&self.dir))?;
        let program = self.dir.join("obj_dir/bench");
        let same = |(name, text): &(&str, String)| {
            std::fs::read_to_string(self.dir.join(name)).is_ok_and(|t| t == *text)
        };
        if program.exists() && files.iter().all(same) {
            return Ok(program);
        }
        // What an earlier Verilator left would be compiled too.
        let _ = std::fs::remove_dir_all(self.dir.join("obj_dir"));
        for (name, text) in &files {
            self.io("write", std::fs::write(self.dir.join(name), text))?;
        }
        let mut command = Command::new(verilator);
        command.env("VERILATOR_ROOT", &home).current_dir(&self.dir);
        command.args(FLAGS).args(&self.waivers);
        let output = self.io("start verilator", command.output())?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).into_owned()
                + &String::from_utf8_lossy(&output.stdout);
            return Err(format!(
                "verilator refuses the designs in {}:\n{text}",
                self.dir.display()
            ));
        }
        Ok(program)
    }

    /// Bits of all inputs and all outputs; more than 64 each, so that Verilator makes word arrays of both.
    fn bits(&self) -> (usize, usize) {
        let sum = |dir| {
            let ports = self.designs.iter().flat_map(|d| &d.ports);
            ports
                .filter(|p| p.dir == dir && !p.clock)
                .map(|p| p.width)
                .sum::<usize>()
                .max(65)
        };
        (sum(Direction::In), sum(Direction::Out))
    }

    fn wrapper(&self, inputs: usize, outputs: usize) -> String {
        let mut text = format!(
            "`timescale 1ns/1ps\n/* verilator lint_off DECLFILENAME */\n/* verilator lint_off UNUSEDSIGNAL */\n/* verilator lint_off UNDRIVEN */\n\
             module bench (input wire clk, input wire [{}:0] i, output wire [{}:0] o);\n",
            inputs - 1,
            outputs - 1
        );
        let (mut ilo, mut olo) = (0, 0);
        for d in &self.designs {
            let _ = write!(text, "    {} d_{} (", d.name, d.name);
            for (k, p) in d.ports.iter().enumerate() {
                let lo = if p.dir == Direction::In {
                    &mut ilo
                } else {
                    &mut olo
                };
                let bus = if p.dir == Direction::In { "i" } else { "o" };
                let comma = if k == 0 { "" } else { ", " };
                if p.clock {
                    let _ = write!(text, "{comma}.{}(clk)", p.name);
                } else {
                    let _ = write!(
                        text,
                        "{comma}.{}({bus}[{}:{lo}])",
                        p.name,
                        *lo + p.width - 1
                    );
                    *lo += p.width;
                }
            }
            text += ");\n";
        }
        text + "endmodule\n"
    }

    fn run(&self, program: &Path) -> Result<String, String> {
        let (inputs, _) = self.bits();
        let steps = self.designs.iter().map(|d| d.rows.len()).max().unwrap_or(0);
        let mut stimulus = String::new();
        for step in 0..steps {
            let mut bits = Vec::new();
            for d in &self.designs {
                let Some(row) = d.rows.get(step).or(d.rows.last()) else {
                    continue;
                };
                for (p, v) in d.ports.iter().zip(row) {
                    if p.dir == Direction::In && !p.clock {
                        bits.extend(&v.0);
                    }
                }
            }
            bits.resize(inputs, false);
            stimulus += &hex_words(&bits);
        }
        let mut child = self.io(
            "start the bench",
            Command::new(program)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn(),
        )?;
        // The bench answers each line at once: a thread writes while this one reads.
        let writer = child
            .stdin
            .take()
            .map(|mut stdin| std::thread::spawn(move || stdin.write_all(stimulus.as_bytes())));
        let output = self.io("read from the bench", child.wait_with_output())?;
        if let Some(writer) = writer {
            if !matches!(writer.join(), Ok(Ok(()))) {
                return Err(format!("the bench in {} stopped early", self.dir.display()));
            }
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn compare(&self, output: &str) -> Result<(), String> {
        let rows: Vec<Vec<bool>> = output.lines().map(bits_of_words).collect();
        let mut lo = 0;
        for d in &self.designs {
            if rows.len() < d.rows.len() {
                return Err(format!(
                    "the bench made {} of {} steps",
                    rows.len(),
                    d.rows.len()
                ));
            }
            for (k, p) in d
                .ports
                .iter()
                .enumerate()
                .filter(|(_, p)| p.dir == Direction::Out)
            {
                for (step, (row, verilog)) in d.rows.iter().zip(&rows).enumerate() {
                    let found = Lit(verilog[lo..lo + p.width].to_vec());
                    if row[k] != found {
                        return Err(self.difference(d, step, k, &found));
                    }
                }
                lo += p.width;
            }
        }
        Ok(())
    }

    fn difference(&self, d: &Design, step: usize, port: usize, found: &Lit) -> String {
        let shown = |v: &Lit| v.verilog(false);
        let mut text = format!(
            "{} step {step}: {} is {} in Rust and {} in Verilog; ports:",
            d.name,
            d.ports[port].name,
            shown(&d.rows[step][port]),
            shown(found)
        );
        for (p, v) in d.ports.iter().zip(&d.rows[step]) {
            let _ = write!(text, " {}={}", p.name, shown(v));
        }
        text + &format!(" (files in {})", self.dir.display())
    }
}

/// The bits as 32-bit words, lowest first, on one line.
fn hex_words(bits: &[bool]) -> String {
    let word = |w: &[bool]| {
        w.iter()
            .enumerate()
            .fold(0u32, |v, (i, &b)| v | u32::from(b) << i)
    };
    let words: Vec<String> = bits.chunks(32).map(|w| format!("{:x}", word(w))).collect();
    words.join(" ") + "\n"
}

fn bits_of_words(line: &str) -> Vec<bool> {
    let words = line
        .split_whitespace()
        .map(|w| u32::from_str_radix(w, 16).unwrap_or(0));
    words
        .flat_map(|w| (0..32).map(move |i| w >> i & 1 == 1))
        .collect()
}

/// How the benches are built.
const FLAGS: [&str; 24] = [
    "--cc",
    "--exe",
    "--build",
    "-Wall",
    "--x-assign",
    "0",
    "--x-initial",
    "0",
    "--noassert",
    "-O1",
    // Verilator 5.048 to 5.050 adds the amounts of nested shifts in too few bits (its issue 7955).
    "-fno-dfg-peephole-replace-shiftl-shiftl",
    "-fno-dfg-peephole-replace-shiftr-shiftr",
    // Compiled once and run for a moment: fast compilation counts. The last one is missing in the wheel's settings.
    "-CFLAGS",
    "-O0",
    "-MAKEFLAGS",
    "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0 CFG_CXXFLAGS_PCH_I=-include",
    "--top-module",
    "bench",
    "-o",
    "bench",
    "bench.v",
    "designs.v",
    "stock.v",
    "main.cpp",
];

/// The library's generator sizes every literal 32 bits and leaves much else to complain of.
const STOCK_WAIVERS: &str = "`timescale 1ns/1ps
/* verilator lint_off WIDTH */
/* verilator lint_off DECLFILENAME */
/* verilator lint_off UNUSEDSIGNAL */
/* verilator lint_off UNUSEDPARAM */
/* verilator lint_off UNOPTFLAT */
/* verilator lint_off PROCASSINIT */
/* verilator lint_off EOFNEWLINE */
";

/// Reads a line of input words, lets them settle with the clock low, prints the output words, raises the clock.
const MAIN: &str = r#"#include "Vbench.h"
#include "verilated.h"
#include <cstdio>

int main() {
    const int in_words = (INPUT_BITS + 31) / 32, out_words = (OUTPUT_BITS + 31) / 32;
    Vbench bench;
    for (;;) {
        for (int w = 0; w < in_words; w++) {
            unsigned value;
            if (std::scanf("%x", &value) != 1) return 0;
            bench.i[w] = value;
        }
        bench.clk = 0;
        bench.eval();
        for (int w = 0; w < out_words; w++) std::printf("%x ", (unsigned)bench.o[w]);
        std::printf("\n");
        bench.clk = 1;
        bench.eval();
    }
}
"#;
