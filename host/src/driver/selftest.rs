//! `host selftest`: whether a board does what its contract says, from registers to interrupts; expected against got.
//!
//! Card memory is overwritten. Rates and latencies are reported, not judged: what is right for them depends on the machine.

use std::time::{Duration, Instant};

use abi::command::{COMMAND_STRIDE, FLAG_IRQ};
use abi::registers::offset;
use abi::{Command, Config};
use device::link::Wake;
use device::Device;

use super::Error;
use crate::runtime::random::Random;

/// Bytes of the pattern that are written and read at a time.
const PART: usize = 1 << 20;
/// Lengths around every boundary that hardware has: words, packets, pages, descriptors; then long ones.
const SIZES: [usize; 19] = [
    1,
    10,
    127,
    128,
    1021,
    1022,
    1023,
    1024,
    4095,
    4096,
    4097,
    4098,
    4099,
    8189,
    8190,
    8191,
    8192,
    1 << 20,
    16 << 20,
];
/// Where they begin, in host and in card memory, modulo a page.
const OFFSETS: [(usize, u64); 6] = [(0, 0), (1, 0), (0, 3), (7, 2), (63, 4093), (4095, 4095)];
/// Accesses whose latencies are sorted.
const SAMPLES: usize = 1000;
/// They end after this time, however many there were.
const SAMPLING: Duration = Duration::from_secs(2);
/// Between two looks at a command that should interrupt.
const LOOK: Duration = Duration::from_millis(250);
/// How long a command may take to do so.
const DEADLINE: Duration = Duration::from_secs(60);

/// What to test.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Most bytes of card memory that the pattern fills, and of one transfer; for simulated boards, which are slow.
    pub limit: u64,
    /// Seed of the data.
    pub seed: u64,
}

/// One thing that was tested.
#[derive(Debug, serde::Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// `passed`, `failed`, or `skipped`.
    pub outcome: Outcome,
    /// What was done, or why not.
    pub note: String,
    /// Where it failed: what should have been there.
    pub expected: Option<String>,
    /// And what was.
    pub got: Option<String>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Not.
    Failed,
    /// The board has no such thing.
    Skipped,
}

/// Copies of one long block, and what the link could do.
#[derive(Debug, serde::Serialize)]
pub struct Bandwidth {
    /// Bytes of the block.
    pub bytes: usize,
    /// Bytes per second to the card.
    pub to_card: f64,
    /// Bytes per second from the card.
    pub from_card: f64,
    /// Bytes per second that the link carries at most, one way; where there is a link.
    pub ceiling: Option<f64>,
}

/// Microseconds, by share of accesses that took no longer.
#[derive(Debug, serde::Serialize)]
pub struct Latency {
    /// Of what.
    pub name: &'static str,
    /// How many.
    pub samples: usize,
    /// Half of them.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// Ninety-nine of a hundred.
    pub p99: f64,
    /// All.
    pub max: f64,
}

/// Everything that was found out.
#[derive(Debug, serde::Serialize)]
pub struct Report {
    /// The board.
    pub device: String,
    /// Its card memory, bytes.
    pub memory_bytes: u64,
    /// Of these the pattern was tested in so many.
    pub tested_bytes: u64,
    /// The checks, in their order.
    pub checks: Vec<Check>,
    /// Where the registers were right.
    pub bandwidth: Option<Bandwidth>,
    /// Likewise.
    pub latencies: Vec<Latency>,
}

impl Report {
    /// Whether nothing failed.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|c| c.outcome != Outcome::Failed)
    }
}

/// A difference: what was expected, what was got.
struct Wrong {
    note: String,
    expected: String,
    got: String,
}

/// How a check ended: a note, or where it went wrong.
type Found = Result<Result<String, Wrong>, Error>;

/// Tests a board of configuration `config`; `say` hears what is being done.
///
/// # Errors
/// The board stops answering or fails a transfer: then nothing more can be told.
pub fn run(
    device: &mut dyn Device,
    config: &Config,
    options: Options,
    mut say: impl FnMut(&str),
) -> Result<Report, Error> {
    let tested = options.limit.min(device.memory_bytes());
    let mut report = Report {
        device: device.name(),
        memory_bytes: device.memory_bytes(),
        tested_bytes: tested,
        checks: Vec::new(),
        bandwidth: None,
        latencies: Vec::new(),
    };
    device.reset()?;
    say("registers");
    let found = registers(device, config)?;
    report.add("registers", found);
    // Another engine's memory and commands are not ours to judge.
    if !report.passed() {
        return Ok(report);
    }
    say("card memory");
    let found = memory(device, tested, options.seed, &mut say)?;
    report.add("card memory", found);
    say("sizes and offsets");
    let found = sizes(device, tested, options.seed)?;
    report.add("sizes and offsets", found);
    say("bandwidth");
    report.bandwidth = Some(bandwidth(device, tested)?);
    say("interrupt");
    match device.no_interrupts() {
        Some(why) => report.checks.push(Check {
            name: "interrupt",
            outcome: Outcome::Skipped,
            note: why,
            expected: None,
            got: None,
        }),
        None => {
            let found = interrupt(device)?;
            report.add("interrupt", found);
        }
    }
    say("latency");
    report.latencies = vec![
        latency("register read", || device.read_register(0).map(drop))?,
        latency("64 bytes to the card", || device.copy_in(&[0; 64], 0))?,
        latency("64 bytes from the card", || {
            device.copy_out(0, &mut [0; 64])
        })?,
    ];
    device.write_register(offset("CONTROL"), 1)?;
    Ok(report)
}

impl Report {
    fn add(&mut self, name: &'static str, found: Result<String, Wrong>) {
        self.checks.push(match found {
            Ok(note) => Check {
                name,
                outcome: Outcome::Passed,
                note,
                expected: None,
                got: None,
            },
            Err(wrong) => Check {
                name,
                outcome: Outcome::Failed,
                note: wrong.note,
                expected: Some(wrong.expected),
                got: Some(wrong.got),
            },
        });
    }
}

fn registers(device: &mut dyn Device, config: &Config) -> Found {
    let fingerprint = abi::fingerprint(config);
    for (name, wanted) in [
        ("MAGIC", abi::MAGIC),
        ("ABI_VERSION", abi::ABI_VERSION),
        ("FINGERPRINT_LO", fingerprint as u32),
        ("FINGERPRINT_HI", (fingerprint >> 32) as u32),
    ] {
        let got = device.read_register(offset(name))?;
        if got != wanted {
            let note = format!("{name}; the board holds another engine, or none");
            return Ok(Err(word(note, wanted, got)));
        }
    }
    let patterns = (0..32).map(|bit| 1 << bit);
    let patterns = [0, 0x5555_5555, 0xAAAA_AAAA].into_iter().chain(patterns);
    for wanted in patterns {
        device.write_register(offset("SCRATCH"), wanted)?;
        device.write_register(offset("MAGIC"), !abi::MAGIC)?;
        for (name, wanted) in [("SCRATCH", wanted), ("MAGIC", abi::MAGIC)] {
            let got = device.read_register(offset(name))?;
            if got != wanted {
                return Ok(Err(word(name.to_owned(), wanted, got)));
            }
        }
    }
    Ok(Ok(format!(
        "identity of `{}`, every bit of SCRATCH",
        config.name
    )))
}

fn word(note: String, expected: u32, got: u32) -> Wrong {
    Wrong {
        note,
        expected: format!("{expected:08X}"),
        got: format!("{got:08X}"),
    }
}

/// Random bytes that depend on the seed and on what they are for.
fn data(seed: u64, purpose: u64, bytes: usize) -> Vec<u8> {
    let mut random = Random::new(seed ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut data = Vec::with_capacity(bytes + 8);
    while data.len() < bytes {
        data.extend(random.bits().to_le_bytes());
    }
    data.truncate(bytes);
    data
}

/// The first byte that differs.
fn compare(what: &str, at: u64, expected: &[u8], got: &[u8]) -> Option<Wrong> {
    let first = expected.iter().zip(got).position(|(a, b)| a != b)?;
    let hex = |bytes: &[u8]| {
        let bytes = bytes[first..].iter().take(8);
        bytes
            .map(|b| format!("{b:02X}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let differ = expected.iter().zip(got).filter(|(a, b)| a != b).count();
    Some(Wrong {
        note: format!(
            "{what}: {differ} of {} bytes differ, the first at card address 0x{:X}",
            expected.len(),
            at + first as u64
        ),
        expected: hex(expected),
        got: hex(got),
    })
}

/// Every byte is written before the first is read, so that addresses that are one place show.
fn memory(device: &mut dyn Device, tested: u64, seed: u64, say: &mut impl FnMut(&str)) -> Found {
    let parts = || (0..tested).step_by(PART);
    let bytes = |at: u64| (tested - at).min(PART as u64) as usize;
    for at in parts() {
        say(&format!(
            "card memory: {} of {} MiB written",
            at >> 20,
            tested >> 20
        ));
        device.copy_in(&data(seed, at, bytes(at)), at)?;
    }
    let mut got = vec![0; PART];
    for at in parts() {
        say(&format!(
            "card memory: {} of {} MiB compared",
            at >> 20,
            tested >> 20
        ));
        let got = &mut got[..bytes(at)];
        device.copy_out(at, got)?;
        if let Some(wrong) = compare("pattern", at, &data(seed, at, got.len()), got) {
            return Ok(Err(wrong));
        }
    }
    let all = match tested == device.memory_bytes() {
        true => "all of it",
        false => "NOT all of it, as `--limit` says",
    };
    Ok(Ok(format!(
        "random data in {tested} of {} bytes, {all}",
        device.memory_bytes()
    )))
}

/// What stands around a transfer must stay.
const GUARD: usize = 64;

fn sizes(device: &mut dyn Device, tested: u64, seed: u64) -> Found {
    let mut done = 0;
    let fits = |size: usize| (size + 2 * GUARD + 4096) as u64 <= tested;
    for size in SIZES.into_iter().filter(|size| fits(*size)) {
        for (host, card) in OFFSETS {
            let what = format!("{size} bytes, host offset {host}, card offset {card}");
            let at = card;
            let all = size + 2 * GUARD;
            let before = data(seed, at ^ 1, all);
            device.copy_in(&before, at)?;
            // The block begins at the host offset of a page.
            let fresh = data(seed, at ^ 2, size);
            let (mut buffer, from) = at_offset(size, host);
            buffer[from..from + size].copy_from_slice(&fresh);
            device.copy_in(&buffer[from..from + size], at + GUARD as u64)?;
            let mut expected = before;
            expected[GUARD..GUARD + size].copy_from_slice(&fresh);
            let mut got = vec![0; all];
            device.copy_out(at, &mut got)?;
            if let Some(wrong) = compare(&what, at, &expected, &got) {
                return Ok(Err(wrong));
            }
            buffer.fill(0);
            device.copy_out(at + GUARD as u64, &mut buffer[from..from + size])?;
            let read = &buffer[from..from + size];
            if let Some(wrong) = compare(&what, at + GUARD as u64, &fresh, read) {
                return Ok(Err(wrong));
            }
            done += 1;
        }
    }
    let left = SIZES.into_iter().filter(|size| !fits(*size)).count();
    let mut note = format!("{done} transfers each way, with what stands around them");
    if left > 0 {
        note += &format!("; the {left} longest sizes do not fit the bytes tested");
    }
    Ok(Ok(note))
}

/// A buffer of `bytes` and where in it an address begins that is `offset` modulo a page.
fn at_offset(bytes: usize, offset: usize) -> (Vec<u8>, usize) {
    let buffer = vec![0; bytes + 2 * 4096];
    let page = buffer.as_ptr().align_offset(4096);
    (buffer, page + offset)
}

fn bandwidth(device: &mut dyn Device, tested: u64) -> Result<Bandwidth, Error> {
    let bytes = tested.min(16 << 20) as usize;
    let mut block = data(0, 3, bytes);
    let start = Instant::now();
    device.copy_in(&block, 0)?;
    let to_card = start.elapsed();
    let start = Instant::now();
    device.copy_out(0, &mut block)?;
    let from_card = start.elapsed();
    let rate = |time: Duration| bytes as f64 / time.as_secs_f64().max(1e-9);
    Ok(Bandwidth {
        bytes,
        to_card: rate(to_card),
        from_card: rate(from_card),
        ceiling: device.link_rate()?.map(|link| link.ceiling()),
    })
}

/// Commands that the engine refuses still complete, and ask for an interrupt.
fn interrupt(device: &mut dyn Device) -> Found {
    const CONTROL_RESET: u32 = 1;
    const CONTROL_IRQ_ENABLE: u32 = 2;
    device.write_register(offset("CONTROL"), CONTROL_RESET)?;
    device.write_register(offset("CONTROL"), CONTROL_IRQ_ENABLE)?;
    device.write_register(offset("RING_BASE_LO"), 0)?;
    device.write_register(offset("RING_BASE_HI"), 0)?;
    device.write_register(offset("RING_LOG2"), 1)?;
    let command = Command {
        flags: FLAG_IRQ,
        done_addr: 4 * COMMAND_STRIDE,
        ..Command::default()
    };
    for n in 0..2 {
        device.copy_in(&command.to_bytes(), u64::from(n) * COMMAND_STRIDE)?;
        // One left over from before is not this one's.
        while device.wait_interrupt(Duration::ZERO)? == Wake::Interrupt {}
        device.write_register(offset("TAIL"), n + 1)?;
        let start = Instant::now();
        let mut done = 0;
        while device.wait_interrupt(LOOK)? == Wake::Timeout {
            if device.asked_to_stop() {
                let (device, what) = (device.name(), "an interrupt".to_owned());
                return Err(device::Error::Interrupted { device, what }.into());
            }
            // Once the command is over, its interrupt has had a whole look's time to come.
            if done == n + 1 || start.elapsed() > DEADLINE {
                return Ok(Err(Wrong {
                    note: format!("command {} of 2, DONE_COUNT {done}", n + 1),
                    expected: "an event of the engine's vector".to_owned(),
                    got: "none".to_owned(),
                }));
            }
            done = device.read_register(offset("DONE_COUNT"))?;
        }
        let pending = device.read_register(offset("IRQ_PENDING"))?;
        if pending != 1 {
            let note = "IRQ_PENDING after an interrupt".to_owned();
            return Ok(Err(word(note, 1, pending)));
        }
        device.write_register(offset("IRQ_PENDING"), 1)?;
    }
    Ok(Ok("two commands, one event each".to_owned()))
}

fn latency(
    name: &'static str,
    mut access: impl FnMut() -> Result<(), device::Error>,
) -> Result<Latency, Error> {
    let start = Instant::now();
    let mut times = Vec::with_capacity(SAMPLES);
    while times.len() < SAMPLES && (times.is_empty() || start.elapsed() < SAMPLING) {
        let one = Instant::now();
        access()?;
        times.push(one.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    let share = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
    Ok(Latency {
        name,
        samples: times.len(),
        p50: share(50),
        p90: share(90),
        p99: share(99),
        max: share(100),
    })
}
