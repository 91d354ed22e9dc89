//! How much of a PCIe link the DMA uses: transfers of the board's RTL behind the root complex model, at the speeds of three links,
//! with a microsecond's round trip. Cycles from the first to the last byte of payload.

use super::Failure;
use sim_tb::function::{Fault, Function, Host};
use sim_tb::pcie_card::{open_board, Card, CardParams, Rate, FRAMING};
use sim_tb::root_complex::{Link, Manners, RootComplex};
use std::fmt::Write as _;

/// One measurement, as in `target/bench/dma.json`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    /// `h2c`, `c2h`, or one of them while the other goes on.
    pub direction: &'static str,
    /// `gen1x1` and so on.
    pub link: &'static str,
    /// Largest payload.
    pub mps: u32,
    /// Bytes of each transfer.
    pub bytes: usize,
    /// Cycles of 8 ns, first to last byte of payload.
    pub cycles: u64,
    /// Payload over what the link could carry in these cycles.
    pub efficiency: f64,
    /// P / (P + overhead): what packets of the largest payload leave at best; the requests of the other direction counted, if both go.
    pub ceiling: f64,
}

impl Row {
    /// Efficiency over ceiling.
    pub fn share(&self) -> f64 {
        self.efficiency / self.ceiling
    }
}

/// Libraries by width of the stream: the one that carries what the link does.
const LINKS: [(&str, Rate, &str); 3] = [
    ("gen1x1", Rate::Gen1x1, "function64"),
    ("gen2x1", Rate::Gen2x1, "function64"),
    ("gen2x4", Rate::Gen2x4, "function128"),
];
const MAX_READ: u32 = 512;
/// Above 4 GiB, as on most hosts: four words of header.
const BASE: u64 = 0x1_0000_0000;
const HEADER: u32 = 16;
const COMPLETION: u32 = 12;
/// Lists of single pages, as a kernel driver makes them; each direction has its list and its data.
const PAGE: usize = 4096;
const LISTS: [usize; 2] = [0, 0x10_0000];
const DATA: [usize; 2] = [0x20_0000, 0x60_0000];
const LIST_END: u64 = BASE + DATA[0] as u64;

struct Memory {
    bytes: Vec<u8>,
    fired: usize,
}

impl Host for Memory {
    fn read(&mut self, iova: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let at = (iova - BASE) as usize;
        bytes.copy_from_slice(&self.bytes[at..at + bytes.len()]);
        Ok(())
    }
    fn write(&mut self, iova: u64, bytes: &[u8]) -> Result<(), Fault> {
        let at = (iova - BASE) as usize;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
    fn interrupt(&mut self, _: u32) {
        self.fired += 1;
    }
}

struct Bench {
    card: RootComplex<Card>,
    host: Memory,
}

/// Payload of one direction: cycles of first and last beat, bytes.
type Payload = Vec<((u64, u64), u32)>;

impl Bench {
    fn new(rate: Rate, mps: u32, library: &str) -> Result<Bench, Failure> {
        let params = CardParams {
            rate,
            ..CardParams::calm(16 << 20, 1)
        };
        let manners = Manners {
            max_payload: mps,
            max_read: MAX_READ,
            ..Manners::calm(1)
        };
        let mut b = Bench {
            card: open_board(library, params, manners).map_err(|e| e.to_string())?,
            host: Memory {
                bytes: vec![0x5A; 16 << 20],
                fired: 0,
            },
        };
        b.card.config_write(&mut b.host, 4, &[6, 0])?;
        b.card.enable_interrupts(&mut b.host, true)?;
        for (at, value) in [
            (0x20A0, 0x100),
            (0x2010, 3),
            (0x90, 0x00F8_3E1E),
            (0x1090, 0x00F8_3E1E),
        ] {
            b.write(at, value)?;
        }
        Ok(b)
    }

    fn write(&mut self, at: u64, value: u32) -> Result<(), Failure> {
        let bytes = value.to_le_bytes();
        Ok(self.card.bar_write(&mut self.host, 1, at, &bytes)?)
    }

    fn list(&mut self, direction: usize, bytes: usize) {
        let count = bytes / PAGE;
        for n in 0..count {
            let at = LISTS[direction] + 32 * n;
            let host = BASE + (DATA[direction] + n * PAGE) as u64;
            let card = (DATA[direction] + n * PAGE) as u64;
            let last = n + 1 == count;
            // Blocks of 64 neighbours, which never cross a page.
            let adjacent = (63 - (n + 1) % 64).min((count - n).saturating_sub(2)) as u32;
            let (flags, next) = match last {
                true => (0x13, 0),
                false => (adjacent << 8, BASE + (at + 32) as u64),
            };
            let (from, to) = if direction == 0 {
                (host, card)
            } else {
                (card, host)
            };
            let half = |v: u64| [v as u32, (v >> 32) as u32];
            let head = [0xAD4B_0000 | flags, PAGE as u32];
            let words = [head, half(from), half(to), half(next)].concat();
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            self.host.bytes[at..at + 32].copy_from_slice(&bytes);
        }
    }

    /// Runs transfers of `bytes` in these directions at once.
    fn run(&mut self, directions: &[usize], bytes: usize) -> Result<[Payload; 2], Failure> {
        for direction in directions {
            self.list(*direction, bytes);
            let base = 0x1000 * *direction as u64;
            let at = BASE + LISTS[*direction] as u64;
            self.write(0x4080 + base, at as u32)?;
            self.write(0x4084 + base, (at >> 32) as u32)?;
            self.write(0x4088 + base, (bytes / PAGE - 1).min(63) as u32)?;
        }
        let now = self.card.link().now();
        self.card.run_until(&mut self.host, now + 1000)?;
        self.card.link_mut().log(true);
        self.card.watch(true);
        self.host.fired = 0;
        for direction in directions {
            self.write(0x04 + 0x1000 * *direction as u64, 0x00F8_3E1F)?;
        }
        let end = self.card.link().now() + 100 * bytes as u64 + 1_000_000;
        while self.host.fired < directions.len() {
            self.card.run(&mut self.host)?;
            if self.card.link().now() > end {
                return Err("a transfer does not come to its end".into());
            }
        }
        let watched = self.card.watch(false);
        let data = |at: u64| at >= LIST_END;
        let taken = self.card.link().logged();
        let sent = taken.iter().zip(&watched.sent);
        let down = sent.filter_map(|(cycles, sent)| sent.map(|(at, n)| (*cycles, at, n)));
        let h2c = down.filter(|d| data(d.1)).map(|(cycles, _, n)| (cycles, n));
        let up = watched.writes.iter().filter(|w| data(w.1 .0));
        let payloads = [h2c.collect(), up.map(|(c, (_, n))| (*c, *n)).collect()];
        self.card.link_mut().log(false);
        for direction in directions {
            let base = 0x1000 * *direction as u64;
            let mut status = [0; 4];
            self.card
                .bar_read(&mut self.host, 1, 0x44 + base, &mut status)?;
            if u32::from_le_bytes(status) != 6 {
                return Err(format!("status {status:02X?} after a transfer").into());
            }
            self.write(0x04 + base, 0x00F8_3E1E)?;
        }
        Ok(payloads)
    }
}

/// First to last cycle of payload.
fn span(payload: &Payload) -> (u64, u64) {
    let first = payload.first().map_or(0, |p| p.0 .0);
    (first, payload.last().map_or(0, |p| p.0 .1))
}

/// All measurements.
///
/// # Errors
/// A board is not built, or a transfer fails.
pub fn measure() -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for (link, rate, library) in LINKS {
        for mps in [128, 256] {
            let mut bench = Bench::new(rate, mps, library)?;
            let overhead = [COMPLETION, HEADER].map(|header| header + FRAMING);
            let ceiling = |direction: usize| f64::from(mps) / f64::from(mps + overhead[direction]);
            let row = |direction, bytes, cycles, payload: u64, ceiling| Row {
                direction,
                link,
                mps,
                bytes,
                cycles,
                efficiency: payload as f64 / (cycles * u64::from(rate.bytes())) as f64,
                ceiling,
            };
            for bytes in [4096, 65536, 1 << 20, 4 << 20] {
                for (n, name) in ["h2c", "c2h"].into_iter().enumerate() {
                    let payloads = bench.run(&[n], bytes)?;
                    let (first, last) = span(&payloads[n]);
                    rows.push(row(name, bytes, last - first + 1, bytes as u64, ceiling(n)));
                }
            }
            // Both: the window in which both go. What goes up carries the requests of what comes down.
            let bytes = 4 << 20;
            let payloads = bench.run(&[0, 1], bytes)?;
            let spans = [span(&payloads[0]), span(&payloads[1])];
            let from = spans[0].0.max(spans[1].0);
            let to = spans[0].1.min(spans[1].1);
            let per_payload = f64::from(HEADER + FRAMING) * f64::from(mps) / f64::from(MAX_READ);
            let both = [
                ceiling(0),
                f64::from(mps) / (f64::from(mps + overhead[1]) + per_payload),
            ];
            for (n, name) in ["h2c with c2h", "c2h with h2c"].into_iter().enumerate() {
                let inside = payloads[n]
                    .iter()
                    .filter(|p| p.0 .0 >= from && p.0 .1 <= to);
                let payload = inside.map(|p| u64::from(p.1)).sum();
                rows.push(row(name, bytes, to - from + 1, payload, both[n]));
            }
        }
    }
    Ok(rows)
}

/// Writes the section.
///
/// # Errors
/// Never, unless formatting fails.
pub fn section(page: &mut String, rows: &[Row]) -> Result<(), Failure> {
    page.push_str(
        "## DMA\n\nThe board's RTL behind the root complex model: a clock of 125 MHz, a microsecond from a read request to its first completion, lists of 4 KiB descriptors above 4 GiB, largest read request 512 bytes. \
         Cycles run from the first to the last byte of payload; the efficiency is payload over what the link could have carried; the ceiling is P / (P + overhead) with 8 bytes of framing and a header of 12 (completions) or 16 (writes), \
         and, where both directions go at once, with the read requests of the other. Gen1 x1 and Gen2 x1 have a stream of 64 bits, Gen2 x4 one of 128.\n\n\
         | direction | link | MPS | bytes | cycles | efficiency | ceiling | of the ceiling |\n|---|---|---|---|---|---|---|---|\n",
    );
    for r in rows {
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {:.1} % | {:.1} % | {:.1} % |",
            r.direction,
            r.link,
            r.mps,
            r.bytes,
            r.cycles,
            100.0 * r.efficiency,
            100.0 * r.ceiling,
            100.0 * r.share()
        )?;
    }
    page.push('\n');
    Ok(())
}
