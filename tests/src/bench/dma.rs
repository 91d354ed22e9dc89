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

/// Links by name, with the width of the stream that carries what the link does.
const LINKS: [(&str, Rate, u32); 3] = [
    ("gen1x1", Rate::Gen1x1, 64),
    ("gen2x1", Rate::Gen2x1, 64),
    ("gen2x4", Rate::Gen2x4, 128),
];
pub(super) const MAX_READ: u32 = 512;
/// Above 4 GiB, as on most hosts: four words of header.
pub(super) const BASE: u64 = 0x1_0000_0000;
const HEADER: u32 = 16;
const COMPLETION: u32 = 12;
/// Lists of single pages, as a kernel driver makes them; each direction has its list and its data.
pub(super) const PAGE: usize = 4096;
const LISTS: [usize; 2] = [0, 0x10_0000];
pub(super) const DATA: [usize; 2] = [0x20_0000, 0x60_0000];
const LIST_END: u64 = BASE + DATA[0] as u64;

/// The host: its memory, and how often it was interrupted.
pub(super) struct Memory {
    bytes: Vec<u8>,
    fired: usize,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            bytes: vec![0x5A; 16 << 20],
            fired: 0,
        }
    }
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

/// A link that notes when the card takes packets.
pub trait Noted: Link {
    /// Begins, with an empty record, or ends.
    fn note(&mut self, on: bool);
    /// First and last cycle of each packet.
    fn noted(&self) -> Vec<(u64, u64)>;
}

impl Noted for Card {
    fn note(&mut self, on: bool) {
        self.log(on);
    }
    fn noted(&self) -> Vec<(u64, u64)> {
        self.logged()
    }
}

/// Root complex and host memory around a DMA.
pub struct Around<L> {
    pub(super) card: RootComplex<L>,
    pub(super) host: Memory,
}

impl<L: Noted> Around<L> {
    pub(super) fn new(card: RootComplex<L>) -> Result<Around<L>, Failure> {
        let host = Memory::default();
        let mut around = Around { card, host };
        // Memory space and bus mastering.
        around.card.config_write(&mut around.host, 4, &[6, 0])?;
        Ok(around)
    }

    pub(super) fn write(&mut self, bar: usize, at: u64, value: u32) -> Result<(), Failure> {
        let bytes = value.to_le_bytes();
        Ok(self.card.bar_write(&mut self.host, bar, at, &bytes)?)
    }
}

/// A DMA under measurement. Direction 0 reads host memory from `DATA[0]` on, 1 writes it from `DATA[1]` on, by pages of 4 KiB.
pub trait Dma: Sized {
    /// What it stands on.
    type Link: Noted;
    /// One with a stream of `width` bits behind a link of this rate.
    ///
    /// # Errors
    /// It is not built, or breaks a rule.
    fn open(rate: Rate, mps: u32, width: u32) -> Result<Self, Failure>;
    /// The world around it.
    fn around(&mut self) -> &mut Around<Self::Link>;
    /// All that comes before the start.
    ///
    /// # Errors
    /// A broken rule.
    fn prepare(&mut self, directions: &[usize], bytes: usize) -> Result<(), Failure>;
    /// Starts these directions.
    ///
    /// # Errors
    /// A broken rule.
    fn start(&mut self, directions: &[usize], bytes: usize) -> Result<(), Failure>;
    /// Whether they have come to their end.
    fn done(&self, directions: &[usize]) -> bool;
    /// Looks whether all went well, and makes ready for the next.
    ///
    /// # Errors
    /// What did not go well.
    fn finish(&mut self, directions: &[usize]) -> Result<(), Failure>;
}

/// Cycles within which a link is calm again.
const CALM: u64 = 1000;

/// Runs transfers of `bytes` in these directions at once.
fn transfer<D: Dma>(
    dma: &mut D,
    directions: &[usize],
    bytes: usize,
) -> Result<[Payload; 2], Failure> {
    dma.prepare(directions, bytes)?;
    let calm = |dma: &mut D| -> Result<(), Failure> {
        let around = dma.around();
        let now = around.card.link().now();
        Ok(around.card.run_until(&mut around.host, now + CALM)?)
    };
    calm(dma)?;
    let around = dma.around();
    around.card.link_mut().note(true);
    around.card.watch(true);
    around.host.fired = 0;
    dma.start(directions, bytes)?;
    let end = dma.around().card.link().now() + 100 * bytes as u64 + 1_000_000;
    while !dma.done(directions) {
        let around = dma.around();
        around.card.run(&mut around.host)?;
        if around.card.link().now() > end {
            return Err("a transfer does not come to its end".into());
        }
    }
    calm(dma)?;
    let around = dma.around();
    let watched = around.card.watch(false);
    let data = |at: u64| at >= LIST_END;
    let taken = around.card.link().noted();
    let sent = taken.iter().zip(&watched.sent);
    let down = sent.filter_map(|(cycles, sent)| sent.map(|(at, n)| (*cycles, at, n)));
    let h2c = down.filter(|d| data(d.1)).map(|(cycles, _, n)| (cycles, n));
    let up = watched.writes.iter().filter(|w| data(w.1 .0));
    let payloads: [Payload; 2] = [h2c.collect(), up.map(|(c, (_, n))| (*c, *n)).collect()];
    around.card.link_mut().note(false);
    dma.finish(directions)?;
    for direction in directions {
        let moved: u64 = payloads[*direction].iter().map(|p| u64::from(p.1)).sum();
        if moved != bytes as u64 {
            return Err(format!("{moved} of {bytes} bytes have moved").into());
        }
    }
    Ok(payloads)
}

/// Our board, by lists of descriptors in host memory.
pub struct Ours(Around<Card>);

impl Ours {
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
            self.0.host.bytes[at..at + 32].copy_from_slice(&bytes);
        }
    }
}

impl Dma for Ours {
    type Link = Card;

    fn open(rate: Rate, mps: u32, width: u32) -> Result<Ours, Failure> {
        let (params, manners) = world(rate, mps);
        let card = open_board(&format!("function{width}"), params, manners);
        let mut around = Around::new(card.map_err(|e| e.to_string())?)?;
        around.card.enable_interrupts(&mut around.host, true)?;
        for (at, value) in [
            (0x20A0, 0x100),
            (0x2010, 3),
            (0x90, 0x00F8_3E1E),
            (0x1090, 0x00F8_3E1E),
        ] {
            around.write(1, at, value)?;
        }
        Ok(Ours(around))
    }

    fn around(&mut self) -> &mut Around<Card> {
        &mut self.0
    }

    fn prepare(&mut self, directions: &[usize], bytes: usize) -> Result<(), Failure> {
        for direction in directions {
            self.list(*direction, bytes);
            let base = 0x1000 * *direction as u64;
            let at = BASE + LISTS[*direction] as u64;
            self.0.write(1, 0x4080 + base, at as u32)?;
            self.0.write(1, 0x4084 + base, (at >> 32) as u32)?;
            let adjacent = (bytes / PAGE - 1).min(63) as u32;
            self.0.write(1, 0x4088 + base, adjacent)?;
        }
        Ok(())
    }

    fn start(&mut self, directions: &[usize], _: usize) -> Result<(), Failure> {
        for direction in directions {
            self.0
                .write(1, 0x04 + 0x1000 * *direction as u64, 0x00F8_3E1F)?;
        }
        Ok(())
    }

    fn done(&self, directions: &[usize]) -> bool {
        self.0.host.fired >= directions.len()
    }

    fn finish(&mut self, directions: &[usize]) -> Result<(), Failure> {
        for direction in directions {
            let base = 0x1000 * *direction as u64;
            let mut status = [0; 4];
            let Around { card, host } = &mut self.0;
            card.bar_read(host, 1, 0x44 + base, &mut status)?;
            if u32::from_le_bytes(status) != 6 {
                return Err(format!("status {status:02X?} after a transfer").into());
            }
            self.0.write(1, 0x04 + base, 0x00F8_3E1E)?;
        }
        Ok(())
    }
}

/// The world of every measurement.
pub(super) fn world(rate: Rate, mps: u32) -> (CardParams, Manners) {
    let params = CardParams {
        rate,
        ..CardParams::calm(16 << 20, 1)
    };
    let manners = Manners {
        max_payload: mps,
        max_read: MAX_READ,
        ..Manners::calm(1)
    };
    (params, manners)
}

/// Payload of one direction: cycles of first and last beat, bytes.
type Payload = Vec<((u64, u64), u32)>;

/// First to last cycle of payload.
fn span(payload: &Payload) -> (u64, u64) {
    let first = payload.first().map_or(0, |p| p.0 .0);
    (first, payload.last().map_or(0, |p| p.0 .1))
}

/// All measurements of one DMA.
///
/// # Errors
/// A board is not built, or a transfer fails.
pub fn measure<D: Dma>() -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for (link, rate, width) in LINKS {
        for mps in [128, 256] {
            let mut dma = D::open(rate, mps, width)?;
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
                    let payloads = transfer(&mut dma, &[n], bytes)?;
                    let (first, last) = span(&payloads[n]);
                    rows.push(row(name, bytes, last - first + 1, bytes as u64, ceiling(n)));
                }
            }
            // Both: the window in which both go. What goes up carries the requests of what comes down.
            let bytes = 4 << 20;
            let payloads = transfer(&mut dma, &[0, 1], bytes)?;
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
