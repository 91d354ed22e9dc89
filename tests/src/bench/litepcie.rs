//! LitePCIe's DMA on the link of [`super::dma`]: the Verilog that tests/peer makes, behind the same root complex.
//!
//! LitePCIe leaves configuration space and credits to the FPGA's hard block; [`HardBlock`] is that block's part.

use super::dma::{world, Around, Dma, Noted, BASE, DATA, MAX_READ, PAGE};
use super::Failure;
use sim_tb::function;
use sim_tb::pcie_card::{Card, CardLibrary, Rate};
use sim_tb::root_complex::tlp::{Completion, Id, Status, Tlp};
use sim_tb::root_complex::{Grants, Link, Received, RootComplex};
use std::collections::VecDeque;

/// The function's name, which LitePCIe's Verilog has as well.
const CARD: Id = Id(0x0100);
const BAR: usize = 0x10;
const PCIE: usize = 0x40;
const MSIX: usize = 0x80;

/// Answers configuration requests in front of a card that knows none, and grants it room without end.
pub struct HardBlock {
    card: Card,
    space: Vec<u32>,
    answers: VecDeque<Received>,
}

impl HardBlock {
    fn new(card: Card) -> HardBlock {
        let mut space = vec![0; 1024];
        space[0] = 0x5248_10EE;
        // A list of capabilities, with PCI Express and MSI-X.
        space[1] = 0x0010_0000;
        space[0x34 / 4] = PCIE as u32;
        space[PCIE / 4] = 0x0002_0010 | (MSIX as u32) << 8;
        space[MSIX / 4] = 0x11;
        HardBlock {
            card,
            space,
            answers: VecDeque::new(),
        }
    }

    /// Reads or writes a word; what is written stays, but for the size of the one BAR.
    fn access(&mut self, offset: usize, value: Option<(u32, u8)>) -> u32 {
        let word = &mut self.space[offset / 4];
        if let Some((value, enables)) = value {
            let bytes = (0..4).filter(|n| enables >> n & 1 == 1);
            let mask = bytes.fold(0, |mask, n| mask | 0xFF << (8 * n));
            *word = *word & !mask | value & mask;
        }
        match offset {
            BAR => *word &= !(PAGE as u32 - 1),
            _ if (BAR + 4..BAR + 24).contains(&offset) => *word = 0,
            _ => {}
        }
        *word
    }
}

impl Link for HardBlock {
    fn now(&self) -> u64 {
        self.card.now()
    }

    fn send(&mut self, words: &[u32]) {
        match Tlp::parse(words) {
            Ok(Tlp::Config {
                request,
                offset,
                data,
                ..
            }) => {
                let write = data.map(|value| (value, request.first_be));
                let word = self.access(offset as usize, write);
                let completion = Tlp::Completion(Completion {
                    completer: CARD,
                    status: Status::Success,
                    byte_count: 4,
                    requester: request.requester,
                    tag: request.tag,
                    lower_address: 0,
                    poisoned: false,
                    data: if data.is_some() { vec![] } else { vec![word] },
                });
                let now = self.now();
                self.answers.push_back(Received {
                    words: completion.to_words(),
                    first: now,
                    cycle: now,
                    granted: Grants::default(),
                });
            }
            Ok(Tlp::Message { .. }) => {}
            _ => self.card.send(words),
        }
    }

    fn queued(&self) -> usize {
        self.card.queued()
    }

    fn grant(&mut self, grants: &Grants) {
        self.card.grant(grants);
    }

    fn granted(&self) -> Grants {
        Grants::default()
    }

    fn run(&mut self, cycle: u64) -> Result<Option<Received>, function::Error> {
        match self.answers.pop_front() {
            Some(answer) => Ok(Some(answer)),
            None => self.card.run(cycle),
        }
    }

    fn active(&self) -> u64 {
        self.card.active()
    }

    fn reset(&mut self, grants: &Grants) {
        self.card.reset(grants);
    }
}

impl Noted for HardBlock {
    fn note(&mut self, on: bool) {
        self.card.log(on);
    }
    fn noted(&self) -> Vec<(u64, u64)> {
        self.card.logged()
    }
}

/// LitePCIe's DMA.
pub struct LitePcie {
    around: Around<HardBlock>,
    /// Bytes that have been asked for and moved when the transfer has come to its end, by direction.
    end: [u64; 2],
}

impl LitePcie {
    fn moved(&self) -> [u64; 2] {
        let counts = self.around.card.counts();
        [counts.completed, counts.written]
    }
}

impl Dma for LitePcie {
    type Link = HardBlock;

    fn open(rate: Rate, mps: u32, width: u32) -> Result<LitePcie, Failure> {
        let (params, manners) = world(rate, mps);
        let library =
            CardLibrary::load(&format!("litepcie{width}"), false).map_err(|_| "run `make peer`")?;
        let card = HardBlock::new(Card::new(&library, params)?);
        let mut around = Around::new(RootComplex::new(card, manners)?)?;
        let page = |offset: usize| ((BASE + offset as u64) / PAGE as u64) as u32;
        for (at, value) in [
            (4, page(DATA[0])),
            (8, page(DATA[1])),
            (12, MAX_READ << 16 | mps),
        ] {
            around.write(0, at, value)?;
        }
        Ok(LitePcie {
            around,
            end: [0; 2],
        })
    }

    fn around(&mut self) -> &mut Around<HardBlock> {
        &mut self.around
    }

    fn prepare(&mut self, _: &[usize], bytes: usize) -> Result<(), Failure> {
        self.end = self.moved().map(|moved| moved + bytes as u64);
        Ok(())
    }

    fn start(&mut self, directions: &[usize], bytes: usize) -> Result<(), Failure> {
        let go = directions.iter().fold(0, |go, n| go | 1 << n);
        let pages = (bytes / PAGE) as u32;
        self.around.write(0, 0, pages << 8 | go)
    }

    fn done(&self, directions: &[usize]) -> bool {
        let moved = self.moved();
        directions.iter().all(|n| moved[*n] >= self.end[*n])
    }

    fn finish(&mut self, _: &[usize]) -> Result<(), Failure> {
        Ok(self.around.card.settled()?)
    }
}
