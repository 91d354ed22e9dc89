//! What a layer command costs beside its data and the engine's work, by jobs and by copies: the driver in this process, the board's RTL
//! behind the root complex model. The driver itself takes no time here, so this is what hardware and protocol cost.

use super::Failure;
use device::board::PciBoard;
use device::dma::{Job, JobAreas};
use device::{Device, DoneRegister, Error};
use host::bitstream::Manifest;
use host::driver::CardExperts;
use host::model::Model;
use host::runtime::{Experts, Routing};
use sim_tb::attached::{slot, Attached, Slot};
use sim_tb::pcie_card::{open_board, Card, CardLibrary, CardParams, Rate, FRAMING};
use sim_tb::rng::Rng;
use sim_tb::root_complex::{Manners, RootComplex};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One measurement, as in `target/bench/jobs.json`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    /// `job` or `copies`.
    pub way: &'static str,
    /// `gen1x1` and so on.
    pub link: &'static str,
    /// Tokens of the layer.
    pub tokens: usize,
    /// Cycles of 8 ns from the driver's beginning to the last word in its memory (jobs), or to its end (copies).
    pub cycles: u64,
    /// Of these the engine was at work.
    pub engine: u64,
    /// What x, commands, y, routes and record take on the link or on the stream of packets, headers and framing included.
    pub data: u64,
    /// The rest.
    pub overhead: u64,
    /// 300 cycles and two round trips of the link.
    pub bound: u64,
    /// Packets: read requests of the card, its writes, completions for it, and accesses to registers by the host.
    pub packets: [u64; 4],
}

const CONFIG: &str = "sim";
const LINKS: [(&str, Rate); 3] = [
    ("gen1x1", Rate::Gen1x1),
    ("gen2x1", Rate::Gen2x1),
    ("gen2x4", Rate::Gen2x4),
];
const MEMORY: u64 = 32 << 20;
const MPS: usize = 256;
/// Header of a read request or a write above 4 GiB, and of a completion.
const REQUEST: usize = 16;
const COMPLETION: usize = 12;

/// A board, with jobs or without, and what is moved to it and from it.
struct Noted {
    board: PciBoard,
    by_jobs: bool,
    moved: Arc<Mutex<[Vec<usize>; 2]>>,
}

fn note(moved: &Mutex<[Vec<usize>; 2]>, direction: usize, bytes: usize) {
    let mut moved = moved.lock().unwrap_or_else(PoisonError::into_inner);
    moved[direction].push(bytes);
}

/// Room for bytes that begins at a multiple of 64 in memory, as where they stand decides how they are cut into packets.
fn aligned(bytes: usize) -> (Vec<u8>, std::ops::Range<usize>) {
    let room = vec![0; bytes + 64];
    let from = (room.as_ptr() as usize).next_multiple_of(64) - room.as_ptr() as usize;
    (room, from..from + bytes)
}

impl Device for Noted {
    fn name(&self) -> String {
        self.board.name()
    }
    fn memory_bytes(&self) -> u64 {
        self.board.memory_bytes()
    }
    fn read_register(&mut self, register: u32) -> Result<u32, Error> {
        self.board.read_register(register)
    }
    fn write_register(&mut self, register: u32, value: u32) -> Result<(), Error> {
        self.board.write_register(register, value)
    }
    fn copy_in(&mut self, bytes: &[u8], address: u64) -> Result<(), Error> {
        note(&self.moved, 0, bytes.len());
        let (mut room, place) = aligned(bytes.len());
        room[place.clone()].copy_from_slice(bytes);
        self.board.copy_in(&room[place], address)
    }
    fn copy_out(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        note(&self.moved, 1, bytes.len());
        let (mut room, place) = aligned(bytes.len());
        self.board.copy_out(address, &mut room[place.clone()])?;
        bytes.copy_from_slice(&room[place]);
        Ok(())
    }
    fn reset(&mut self) -> Result<(), Error> {
        self.board.reset()
    }
    fn now(&self) -> Duration {
        self.board.now()
    }
    fn wait_interrupt(&mut self, timeout: Duration) -> Result<device::link::Wake, Error> {
        self.board.wait_interrupt(timeout)
    }
    fn jobs(&mut self, areas: JobAreas) -> Result<bool, Error> {
        Ok(self.by_jobs && self.board.jobs(areas)?)
    }
    fn run_jobs(
        &mut self,
        jobs: &mut [Job],
        done: DoneRegister,
        timeout: Duration,
        what: &str,
    ) -> Result<(), Error> {
        for job in jobs.iter() {
            note(&self.moved, 0, job.commands.len());
            note(&self.moved, 0, job.x.len());
            note(&self.moved, 1, job.output.len());
        }
        self.board.run_jobs(jobs, done, timeout, what)
    }
}

type Shared = Arc<Mutex<Slot<RootComplex<Card>>>>;

/// Cycles and packets so far.
fn state(shared: &Shared) -> (u64, [u64; 4]) {
    let slot = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let counts = slot.function.counts();
    let packets = [
        counts.reads,
        counts.writes,
        counts.completions,
        slot.accesses(),
    ];
    (slot.cycles().unwrap_or(0), packets)
}

/// Begins to note packets, or ends; the cycle in which the card's last write came.
fn watch(shared: &Shared, on: bool) -> Option<u64> {
    let mut slot = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let watched = slot.function.watch(on);
    watched.writes.last().map(|((_, last), _)| *last)
}

/// Cycles of a link for these moves.
fn on_link(moved: &[Vec<usize>; 2], bytes_per_cycle: u64) -> u64 {
    let each =
        |bytes: &usize, header: usize| bytes + bytes.div_ceil(MPS) * (header + FRAMING as usize);
    let down: usize = moved[0].iter().map(|b| each(b, COMPLETION)).sum();
    let up: usize = moved[1].iter().map(|b| each(b, REQUEST)).sum();
    ((down + up) as u64).div_ceil(bytes_per_cycle)
}

/// Engine's cycles at work since the beginning.
fn at_work(card: &CardExperts) -> Result<u64, Failure> {
    let stats = card.report().ok_or("the board does not answer")?;
    let idle = stats.causes.iter().filter(|c| c.name == "idle");
    Ok(stats.cycles - idle.map(|c| c.cycles).sum::<u64>())
}

/// One token and eight through a layer of the demo model, each way, on each link.
///
/// # Errors
/// The board is not built, or does not do what it should.
pub fn measure() -> Result<Vec<Row>, Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let model = Model::open(&root.join("models/demo"))?;
    let manifest = Manifest::open(Some(&root.join("bitstreams/sim.toml")))?;
    let (layer, _) = model.spec.moe_layers().next().ok_or("no layer")?;
    let width = CardLibrary::load(CONFIG, false)?.width();
    let mut rows = Vec::new();
    for (link, rate) in LINKS {
        let mut texts: Vec<Vec<f32>> = Vec::new();
        for way in ["job", "copies"] {
            let params = CardParams {
                rate,
                ..CardParams::calm(MEMORY, 1)
            };
            let card = open_board(CONFIG, params, Manners::calm(1)).map_err(|e| e.to_string())?;
            let shared = slot(card)?;
            let board = PciBoard::new(Box::new(Attached::new("card", &shared)), MEMORY, None)?;
            let moved = Arc::default();
            let noted = Noted {
                board,
                by_jobs: way == "job",
                moved: Arc::clone(&moved),
            };
            let mut card = CardExperts::load(Box::new(noted), &manifest, &model, 8)?;
            for tokens in [1, 8] {
                let mut rng = Rng::new(7);
                let d = model.spec.hidden;
                let x: Vec<f32> = (0..tokens * d)
                    .map(|_| (rng.next() >> 40) as f32 / (1 << 23) as f32 - 1.0)
                    .collect();
                let mut y = vec![0.0; x.len()];
                let mut routing = Routing::default();
                // Once before, for registers that stay as they are.
                card.layer(layer, &x, &mut y, &mut routing)?;
                let engine = at_work(&card)?;
                moved
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .iter_mut()
                    .for_each(Vec::clear);
                let (start, packets) = state(&shared);
                watch(&shared, true);
                card.layer(layer, &x, &mut y, &mut routing)?;
                let (end, more) = state(&shared);
                let end = match (way, watch(&shared, false)) {
                    ("job", Some(last)) => last,
                    _ => end,
                };
                let engine = at_work(&card)? - engine;
                let bytes = u64::from(rate.bytes().min(width / 8));
                let data = on_link(&moved.lock().unwrap_or_else(PoisonError::into_inner), bytes);
                // A read request that goes up and the header that comes down.
                let trip = u64::from(Manners::calm(1).latency)
                    + ((REQUEST + COMPLETION + 2 * FRAMING as usize) as u64).div_ceil(bytes);
                let cycles = end - start;
                rows.push(Row {
                    way,
                    link,
                    tokens,
                    cycles,
                    engine,
                    data,
                    overhead: cycles.saturating_sub(engine + data),
                    bound: 300 + 2 * trip,
                    packets: std::array::from_fn(|i| more[i] - packets[i]),
                });
                texts.push(y);
            }
        }
        if texts[..2] != texts[2..] {
            return Err("jobs and copies give different results".into());
        }
    }
    Ok(rows)
}

/// Writes the section.
///
/// # Errors
/// Never, unless formatting fails.
pub fn section(page: &mut String, rows: &[Row]) -> Result<(), Failure> {
    let held = |r: &&Row| r.overhead <= r.bound;
    let (jobs, single) = (
        rows.iter().filter(|r| r.way == "job"),
        rows.iter().filter(|r| r.way == "job").filter(held).count(),
    );
    writeln!(
        page,
        "## A layer command through the link\n\nOne token, and eight in one command, through the first layer of the demo model: as a job (`docs/dma.md`, JOB), and by copies as behind a card without jobs. \
         The board's RTL behind the root complex model, a clock of 125 MHz, a microsecond from a read request to its first completion; the driver's own instructions take no time. Engine: cycles at work. Data: x, commands, y, routes and record on the link, or on the board's stream of packets where that is slower (64 bits, Gen2 x4), with headers and framing. \
         The overhead is the rest; for jobs it is to be at most 300 cycles and two round trips of the link, and is in **{single} of {}** rows. Both ways give the same bits.\n",
        jobs.count()
    )?;
    page.push_str("| link | tokens | way | cycles | engine | data | overhead | bound | reads of the card | its writes | completions | accesses of the host |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for r in rows {
        let bound = match r.way {
            "job" => r.bound.to_string(),
            _ => "-".into(),
        };
        let [reads, writes, completions, accesses] = r.packets;
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} | {bound} | {reads} | {writes} | {completions} | {accesses} |",
            r.link, r.tokens, r.way, r.cycles, r.engine, r.data, r.overhead
        )?;
    }
    page.push('\n');
    Ok(())
}
