//! `sim-tb serve`: the simulated board as a vfio-user PCI device.

use clap::{Parser, Subcommand, ValueEnum};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use sim_tb::card_model::CardModel;
use sim_tb::function::Function;
use sim_tb::pcie_card::{open_board, CardParams, Rate};
use sim_tb::root_complex::Manners;
use sim_tb::serve::Server;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The simulated board.
#[derive(Parser)]
#[command(name = "sim-tb", version, arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the board as a PCI device over a vfio-user socket, for QEMU or `host --device vfio-user:PATH`
    Serve(Serve),
}

#[derive(clap::Args)]
struct Serve {
    /// The socket to make
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// Configuration of the engine
    #[arg(long, value_name = "NAME", default_value = "sim")]
    config: String,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Speed of the PCI Express link
    #[arg(long, value_enum, default_value_t = Link::Gen1x1)]
    link: Link,
    /// Split, mix, delay and stall whatever may be, as the seed says
    #[arg(long)]
    stormy: bool,
    /// A plain model of the card instead of its RTL: fast, and needs no Verilator
    #[arg(long, conflicts_with_all = ["link", "stormy"])]
    model: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Link {
    /// 250 MB/s
    Gen1x1,
    /// 500 MB/s
    Gen2x1,
    /// 2 GB/s
    Gen2x4,
}

impl Serve {
    fn function(&self) -> Result<Box<dyn Function>, Error> {
        let config = abi::Config::named(&self.config)?;
        if self.model {
            return Ok(Box::new(CardModel::new(config)?));
        }
        let (bytes, seed) = (config.memory_bytes, self.seed);
        let (mut params, manners) = match self.stormy {
            false => (CardParams::calm(bytes, seed), Manners::calm(seed)),
            true => (CardParams::stormy(bytes, seed), Manners::stormy(seed)),
        };
        params.rate = match self.link {
            Link::Gen1x1 => Rate::Gen1x1,
            Link::Gen2x1 => Rate::Gen2x1,
            Link::Gen2x4 => Rate::Gen2x4,
        };
        Ok(Box::new(open_board(&self.config, params, manners)?))
    }

    fn run(&self) -> Result<(), Error> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // The second one does not wait for an orderly end.
            flag::register_conditional_shutdown(signal, 1, stop.clone())?;
            flag::register(signal, stop.clone())?;
        }
        // The first client's board is made now, so that what is missing is said before anybody connects.
        let mut first = Some(self.function()?);
        let server = Server::bind(&self.socket)?;
        eprintln!("sim-tb: serving {}", self.socket.display());
        let make = || first.take().map_or_else(|| self.function(), Ok);
        Ok(server.run(make, &stop)?)
    }
}

fn main() -> ExitCode {
    device::others_do_not_write();
    let Command::Serve(serve) = Args::parse().command;
    match serve.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("sim-tb: {e}");
            ExitCode::FAILURE
        }
    }
}
