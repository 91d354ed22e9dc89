//! Writes what is generated from the design: Verilog, `abi.json`, the pages made from `abi`.

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "hdl",
    about = "Generate Verilog and the pages made from hdl/abi",
    version
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// engine.v, board.v and abi.json of one configuration
    Verilog {
        /// Engine configuration
        #[arg(long)]
        config: String,
        /// Bits per beat of the board's TLPs: 64 or 128
        #[arg(long, default_value_t = 64)]
        width: usize,
        /// Folder to write into
        #[arg(long)]
        out: PathBuf,
    },
    /// board.v without an engine: the PCI Express function alone, with a window of 1 GiB
    Function {
        /// Bits per beat of the TLPs: 64 or 128
        #[arg(long, default_value_t = 64)]
        width: usize,
        /// Folder to write into
        #[arg(long)]
        out: PathBuf,
    },
    /// image.v and abi.json of a board's first image: engine, card memory in block RAM, serial console
    Image {
        /// Engine configuration
        #[arg(long)]
        config: String,
        /// The engine's clock in Hz
        #[arg(long)]
        clock: u32,
        /// Folder to write into
        #[arg(long)]
        out: PathBuf,
    },
    /// One file for each unit: those of the unit benches, or those of one configuration and what is measured beside them
    Units {
        /// Engine configuration; without it the units of the benches
        #[arg(long)]
        config: Option<String>,
        /// Folder to write into
        #[arg(long)]
        out: PathBuf,
    },
    /// Pages generated from hdl/abi: docs/registers.md, docs/dma.md, docs/abi.json
    Docs {
        /// Folder to write into
        #[arg(long, default_value = "docs")]
        out: PathBuf,
    },
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), String> {
    let path = folder.join(name);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, text))
        .map_err(|e| format!("cannot write {}: {e}", path.display()))
}

fn run(verb: Verb) -> Result<(), String> {
    match verb {
        Verb::Verilog { config, width, out } => {
            let config = abi::Config::named(&config)?;
            let engine = Box::new(hdl::engine::Engine::new(&config)?);
            let text = hdl::verilog(&*engine, "engine", &config).map_err(|e| e.to_string())?;
            write(&out, "engine.v", &text)?;
            let board = hdl::board::board(&config, width)?;
            let text = hdl::verilog(&*board, "board", &config).map_err(|e| e.to_string())?;
            write(&out, "board.v", &text)?;
            write(&out, "abi.json", &abi::text::abi_json(&config))
        }
        Verb::Image { config, clock, out } => {
            let config = abi::Config::named(&config)?;
            let image = Box::new(hdl::image::Image::new(&config, clock)?);
            let text = hdl::verilog(&*image, "image", &config).map_err(|e| e.to_string())?;
            write(&out, "image.v", &text)?;
            write(&out, "abi.json", &abi::text::abi_json(&config))
        }
        Verb::Function { width, out } => {
            let function: hdl::Unit = match width {
                64 => Box::new(pcie::function::Function64::new(1 << 30)),
                128 => Box::new(pcie::function::Function128::new(1 << 30)),
                _ => return Err(format!("TLPs are 64 or 128 bits wide, not {width}")),
            };
            let text = hdl::verilog(&*function, "board", &abi::config::SIM);
            write(&out, "board.v", &text.map_err(|e| e.to_string())?)
        }
        Verb::Units { config, out } => {
            let (config, units) = match config {
                None => {
                    let mut units = hdl::bench_units();
                    units.extend(pcie::bench_units());
                    (abi::config::SIM, units)
                }
                Some(name) => {
                    let config = abi::Config::named(&name)?;
                    let mut units = hdl::units(&config);
                    units.extend(hdl::measured());
                    (config, units)
                }
            };
            for (name, unit) in units {
                let text = hdl::verilog(&*unit, name, &config).map_err(|e| e.to_string())?;
                write(&out, &format!("{name}.v"), &text)?;
            }
            Ok(())
        }
        Verb::Docs { out } => {
            write(&out, "abi.json", &abi::text::abi_json(&abi::config::SIM))?;
            write(&out, "registers.md", &abi::text::registers_md())?;
            write(&out, "dma.md", &abi::text::dma_md())
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The units are large structs that construction moves over the stack.
    let worker = std::thread::Builder::new()
        .stack_size(256 << 20)
        .spawn(|| run(cli.verb));
    match worker.map(|w| w.join()) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        Ok(Ok(Err(e))) => {
            eprintln!("hdl: {e}");
            ExitCode::FAILURE
        }
        Ok(Err(_)) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("hdl: cannot start a thread: {e}");
            ExitCode::FAILURE
        }
    }
}
