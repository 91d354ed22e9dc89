//! The register contract of the DMA, replayed as the stock driver makes its accesses (section 7 of the fact sheet) and then in its
//! corners, on the plain model of the card and on the board's RTL. Offsets and bits are written as numbers, as they stand in the contract, so that a mistake
//! in `abi` cannot hide here.

use abi::config::TINY;
use sim_tb::card_model::CardModel;
use sim_tb::function::{Fault, Function, Host};
use sim_tb::pcie_card::{open_board, CardParams};
use sim_tb::rng::Rng;
use sim_tb::root_complex::Manners;

/// Host memory of 1 MiB at an address above 4 GiB.
struct Memory {
    bytes: Vec<u8>,
    fired: Vec<u32>,
    /// How far each interrupt saw the poll word and the data: bytes at this offset when it came.
    watch: usize,
    seen: Vec<u8>,
}

const BASE: u64 = 0x12_3450_0000;
/// Where a list of descriptors is built, data to the card, data from it, the poll-mode word.
const LIST: usize = 0x0000;
const TO_CARD: usize = 0x4_0000;
const FROM_CARD: usize = 0x8_0000;
const WORD: usize = 0xF_0000;

impl Host for Memory {
    fn read(&mut self, iova: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let n = bytes.len();
        bytes.copy_from_slice(self.part(iova, n, false)?);
        Ok(())
    }
    fn write(&mut self, iova: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.part(iova, bytes.len(), true)?.copy_from_slice(bytes);
        Ok(())
    }
    fn interrupt(&mut self, vector: u32) {
        self.fired.push(vector);
        self.seen.push(self.bytes[self.watch]);
    }
}

impl Memory {
    fn part(&mut self, iova: u64, bytes: usize, write: bool) -> Result<&mut [u8], Fault> {
        let fault = Fault { iova, bytes, write };
        let at = iova.checked_sub(BASE).ok_or(fault)? as usize;
        self.bytes.get_mut(at..at + bytes).ok_or(fault)
    }
}

const H2C: u32 = 0x0000;
const C2H: u32 = 0x1000;

/// The driver's place.
struct Driver {
    card: Box<dyn Function>,
    host: Memory,
}

impl Driver {
    fn new(card: Box<dyn Function>) -> Driver {
        let mut rng = Rng::new(4);
        let mut d = Driver {
            card,
            host: Memory {
                bytes: (0..1 << 20).map(|_| rng.next() as u8).collect(),
                fired: Vec::new(),
                watch: 0,
                seen: Vec::new(),
            },
        };
        d.enable();
        d.card.enable_interrupts(&mut d.host, true).unwrap();
        d
    }
    fn enable(&mut self) {
        self.card.config_write(&mut self.host, 4, &[6, 0]).unwrap();
    }
    fn read_bar(&mut self, bar: usize, offset: u64) -> u32 {
        let mut word = [0; 4];
        self.card
            .bar_read(&mut self.host, bar, offset, &mut word)
            .unwrap();
        u32::from_le_bytes(word)
    }
    fn r(&mut self, offset: u32) -> u32 {
        self.read_bar(1, offset.into())
    }
    fn w(&mut self, offset: u32, value: u32) {
        let bytes = value.to_le_bytes();
        self.card
            .bar_write(&mut self.host, 1, offset.into(), &bytes)
            .unwrap();
    }
    /// Time passes until something holds.
    fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Driver) -> bool) {
        for _ in 0..100_000 {
            if holds(self) {
                return;
            }
            self.card.run(&mut self.host).unwrap();
        }
        panic!("never: {what}");
    }
    fn pass(&mut self) {
        for _ in 0..10 {
            self.card.run(&mut self.host).unwrap();
        }
    }
    fn fired(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.host.fired)
    }
    /// No interrupt has come.
    fn silent(&self) {
        assert!(self.host.fired.is_empty(), "{:?}", self.host.fired);
    }
    /// Descriptor `n` of the list.
    fn describe(&mut self, n: usize, first: u32, length: u32, source: u64, dest: u64, next: u64) {
        let mut at = LIST + 32 * n;
        let half = |v: u64| [v as u32, (v >> 32) as u32];
        for word in [[first, length], half(source), half(dest), half(next)].concat() {
            self.host.bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
            at += 4;
        }
    }
    /// A list over these lengths, one after the other in host and card memory; the last with Stop, EOP, Completed.
    fn list(&mut self, to_card: bool, lengths: &[u32], card: u64) {
        let (mut host, mut card) = match to_card {
            true => (BASE + TO_CARD as u64, card),
            false => (BASE + FROM_CARD as u64, card),
        };
        for (n, length) in lengths.iter().enumerate() {
            let left = lengths.len() - n - 1;
            // Contiguous after the next one.
            let adjacent = left.saturating_sub(1).min(63 - n % 64) as u32;
            let flags = if left == 0 { 0x13 } else { 0 };
            let next = if left == 0 {
                0
            } else {
                BASE + (LIST + 32 * (n + 1)) as u64
            };
            let (source, dest) = if to_card { (host, card) } else { (card, host) };
            let first = 0xAD4B_0000 | adjacent << 8 | flags;
            self.describe(n, first, *length, source, dest, next);
            host += u64::from(*length);
            card += u64::from(*length);
        }
    }
    fn point(&mut self, channel: u32, adjacent: u32) {
        let at = BASE + LIST as u64;
        self.w(0x4080 + channel, at as u32);
        self.w(0x4084 + channel, (at >> 32) as u32);
        self.w(0x4088 + channel, adjacent);
    }
    fn read_card(&mut self, at: u64, bytes: usize) -> Vec<u8> {
        let mut data = vec![0; bytes];
        self.card
            .bar_read(&mut self.host, 2, at, &mut data)
            .unwrap();
        data
    }
    fn write_card(&mut self, at: u64, data: &[u8]) {
        self.card.bar_write(&mut self.host, 2, at, data).unwrap();
    }

    /// As the driver does when it finds the device, with MSI-X.
    fn probe(&mut self) {
        for bar in [0, 1, 2] {
            let words = (
                self.read_bar(bar, 0x2000 % self.size(bar)),
                self.read_bar(bar, 0x3000 % self.size(bar)),
            );
            let dma = (words.0 >> 16, words.1 >> 16) == (0x1FC2, 0x1FC3);
            assert_eq!(dma, bar == 1, "BAR{bar}: {words:x?}");
        }
        for offset in [0x2004, 0x2010, 0x2040, 0x2044, 0x2048, 0x204C] {
            self.r(offset);
        }
        self.w(0x2018, 0xFFFF_FFFF);
        self.w(0x200C, 0xFFFF_FFFF);
        assert_eq!([self.r(0x2040), self.r(0x2044)], [0, 0]);
        for (channel, target) in [(H2C, 0x1FC0), (C2H, 0x1FC1)] {
            for _ in 0..3 {
                assert_eq!(self.r(channel), target << 16 | 0x0006);
            }
            self.w(channel + 0x0C, 0x0200_0000);
            assert_eq!(self.r(channel + 0x4C), 0x0001_0140);
            self.w(channel + 0x90, 0x00F8_3E1E);
            for _ in 0..2 {
                assert_ne!(self.r(channel + 0x100) >> 16, target, "a second channel");
            }
        }
        self.w(0x20A0, 0x0000_0100);
        for (n, vectors) in [0x0504_0302, 0x0908_0706, 0x0D0C_0B0A, 0x1110_0F0E]
            .into_iter()
            .enumerate()
        {
            self.w(0x2080 + 4 * n as u32, vectors);
        }
        self.w(0x2014, 0xFFFF_FFFF);
        assert_eq!([self.r(0x2040), self.r(0x2044)], [0, 0]);
        self.w(0x2008, 0x1_FFFF);
        assert_eq!([self.r(0x2040), self.r(0x2044)], [0, 0]);
    }
    fn size(&self, bar: usize) -> u64 {
        self.card.bars()[bar].map_or(1, |b| b.size)
    }

    /// One transfer of `count` descriptors with MSI-X, as the driver does it.
    fn transfer(&mut self, channel: u32, count: u32, adjacent: u32) {
        let vector = u32::from(channel == C2H);
        self.point(channel, adjacent);
        self.w(channel + 0x04, 0x00F8_3E1F);
        // Twice, whatever it says by then.
        self.r(channel + 0x40);
        self.r(channel + 0x40);
        self.until("the interrupt", |d| d.host.fired == [vector]);
        self.fired();
        self.w(channel + 0x98, 0x00F8_3E1E);
        self.r(0x204C);
        let status = self.r(channel + 0x44);
        // descriptor_stopped and descriptor_completed; Busy was cleared before the interrupt.
        assert_eq!(status, 0x6, "status");
        self.w(channel + 0x04, 0x00F8_3E1E);
        assert_eq!(self.r(channel + 0x48), count);
        self.w(channel + 0x94, 0x00F8_3E1E);
        // Status was read and so cleared: no new edge.
        self.pass();
        self.silent();
    }
}

/// What the contract is asked of: the model, and the RTL behind the root complex in fair weather and in foul.
fn each(test: impl Fn(Driver)) {
    test(Driver::new(Box::new(CardModel::new(TINY).unwrap())));
    let bytes = TINY.memory_bytes;
    for (params, manners) in [
        (CardParams::calm(bytes, 1), Manners::calm(1)),
        (CardParams::stormy(bytes, 3), Manners::stormy(3)),
    ] {
        let card = open_board("tiny", params, manners).unwrap();
        test(Driver::new(Box::new(card)));
    }
}

#[test]
fn probe_transfers_and_removal_as_the_stock_driver_makes_them() {
    each(|mut d| {
        d.probe();
        for lengths in [
            &[4][..],
            &[4096],
            &[4096; 5],
            &[1, 2, 3, 1000, 4097, 1],
            &[3001],
            &[4096; 40],
        ] {
            let total: u32 = lengths.iter().sum();
            let (n, count) = (total as usize, lengths.len() as u32);
            let adjacent = (count - 1).min(63);
            let at = 0x1003;
            d.list(true, lengths, at);
            d.transfer(H2C, count, adjacent);
            let sent = d.host.bytes[TO_CARD..TO_CARD + n].to_vec();
            assert!(d.read_card(at, n) == sent, "{lengths:?} to the card");
            let noise: Vec<u8> = sent.iter().map(|b| b ^ 0x55).collect();
            d.write_card(at, &noise);
            d.host.bytes[FROM_CARD..FROM_CARD + n + 8].fill(0xEE);
            d.list(false, lengths, at);
            d.transfer(C2H, count, adjacent);
            assert!(
                d.host.bytes[FROM_CARD..FROM_CARD + n] == noise,
                "{lengths:?} from the card"
            );
            assert_eq!(d.host.bytes[FROM_CARD + n..FROM_CARD + n + 8], [0xEE; 8]);
        }
        // Removal.
        d.w(0x2018, 0xFFFF_FFFF);
        d.w(0x200C, 0xFFFF_FFFF);
        for vectors in [0x20A0, 0x2080, 0x2084, 0x2088, 0x208C] {
            d.w(vectors, 0);
        }
        for channel in [H2C, C2H] {
            d.w(channel + 0x90, 0);
        }
        d.silent();
    });
}

#[test]
fn unimplemented_bits_and_channels_read_as_they_must() {
    each(|mut d| {
        d.w(0x2004, 0xFFFF_FFFF);
        d.w(0x2010, 0xFFFF_FFFF);
        // Channel bits are packed: H2C 0, C2H 0.
        assert_eq!(d.r(0x2010), 3);
        assert_eq!(d.r(0x2004) & 1, 1);
        d.w(0x2018, 2);
        assert_eq!(d.r(0x2010), 1);
        d.w(0x2014, 2);
        assert_eq!(d.r(0x2010), 3);
        d.w(0x20A0, 0xFFFF_FFFF);
        assert_eq!(d.r(0x20A0) & 0x1F1F, 0x1F1F);
        assert_eq!(d.r(0x20A0) & !0x1F1F_1F1F, 0);
        for (block, id) in [
            (0x4000, 0x1FC4),
            (0x5000, 0x1FC5),
            (0x6000, 0x1FC6),
            (0x2000, 0x1FC2),
            (0x3000, 0x1FC3),
        ] {
            assert_eq!(d.r(block), id << 16 | 6, "{block:x}");
        }
        for absent in [0x0100, 0x1300, 0x4100, 0x7000] {
            assert_ne!(d.r(absent) >> 20, 0x1FC, "{absent:x}");
        }
        // Control: write, set, clear.
        for channel in [H2C, C2H] {
            d.w(channel + 0x04, 0x00F8_3E1E);
            d.w(channel + 0x08, 0x0200_0000);
            d.w(channel + 0x0C, 0x0000_0010);
            assert_eq!(d.r(channel + 0x04), 0x02F8_3E0E);
            d.w(channel + 0x90, 0x06);
            d.w(channel + 0x94, 0x10);
            d.w(channel + 0x98, 0x02);
            assert_eq!(d.r(channel + 0x90), 0x14);
        }
    });
}

#[test]
fn a_masked_channel_raises_when_it_is_unmasked() {
    each(|mut d| {
        d.probe();
        d.list(true, &[64], 0);
        d.w(0x90, 0);
        d.point(H2C, 0);
        d.w(0x04, 0x00F8_3E1F);
        d.until("the end", |d| d.r(0x40) & 1 == 0 && d.r(0x48) == 1);
        d.pass();
        d.silent();
        assert_eq!([d.r(0x40), d.r(0x204C), d.r(0x2044)], [6, 0, 0]);
        // The channel's own mask, then the block's.
        d.w(0x2018, 1);
        d.w(0x94, 0x00F8_3E1E);
        d.pass();
        d.silent();
        assert_eq!([d.r(0x204C), d.r(0x2044)], [1, 0]);
        d.w(0x2014, 1);
        d.until("the edge", |d| d.host.fired == [0]);
        d.fired();
        assert_eq!([d.r(0x204C), d.r(0x2044)], [1, 1]);
        // Another edge without a new event: mask and unmask.
        d.w(0x98, 0x00F8_3E1E);
        assert_eq!(d.r(0x204C), 0);
        d.w(0x94, 0x00F8_3E1E);
        d.until("the second edge", |d| d.host.fired == [0]);
        d.fired();
        // Clearing one bit leaves the other; RW1C.
        d.w(0x40, 0x2);
        assert_eq!(d.r(0x40), 4);
        assert_eq!(d.r(0x44), 4);
        assert_eq!(d.r(0x40), 0);
        d.pass();
        d.silent();
    });
}

#[test]
fn poll_mode_writes_its_word_after_the_data() {
    each(|mut d| {
        d.probe();
        d.w(0x2018, 3);
        for (channel, lengths) in [(H2C, &[100, 200, 300][..]), (C2H, &[5000, 1])] {
            let word = BASE + WORD as u64;
            d.w(channel + 0x88, word as u32);
            d.w(channel + 0x8C, (word >> 32) as u32);
            d.w(channel + 0x08, 1 << 26);
            d.w(channel + 0x90, 0x00F8_3E18);
            d.host.bytes[WORD..WORD + 8].copy_from_slice(&[0, 0, 0, 0, 9, 9, 9, 9]);
            d.host.bytes[FROM_CARD..FROM_CARD + 5001].fill(0);
            let noise = vec![0x5A; 5001];
            d.write_card(0x2000, &noise);
            d.list(channel == H2C, lengths, 0x2000);
            d.point(channel, 0);
            d.w(channel + 0x04, 0x04F8_3E19);
            let count = lengths.len() as u8;
            d.until("the word", |d| d.host.bytes[WORD] != 0);
            assert_eq!(d.host.bytes[WORD..WORD + 8], [count, 0, 0, 0, 9, 9, 9, 9]);
            if channel == C2H {
                assert!(d.host.bytes[FROM_CARD..FROM_CARD + 5001] == noise);
            }
            d.w(channel + 0x04, 0x04F8_3E18);
            d.w(channel + 0x40, 0xFFFF_FFFE);
            d.silent();
        }
    });
}

#[test]
fn what_goes_wrong_is_logged() {
    each(|mut d| {
        d.probe();
        // Control, and what stands in Status at the end beside Busy; count.
        let log = 0x00F8_3E1F;
        // No magic.
        d.list(true, &[8], 0);
        d.host.bytes[LIST + 2] ^= 1;
        let run = |d: &mut Driver| {
            d.point(H2C, 0);
            d.w(0x04, log);
            d.until("the engine stops", |d| d.r(0x40) & 1 == 0);
            let found = (d.r(0x40), d.r(0x48));
            d.w(0x04, log & !1);
            d.w(0x40, 0xFFFF_FFFE);
            d.pass();
            found
        };
        assert_eq!(run(&mut d), (1 << 4, 0));
        // The second has none: the first counts, and is logged if it says Completed.
        d.list(true, &[8, 8], 0);
        d.host.bytes[LIST] |= 2;
        d.host.bytes[LIST + 32 + 2] ^= 1;
        assert_eq!(run(&mut d), (1 << 4 | 1 << 2, 1));
        // A list that is not there: the descriptor's read is unsupported.
        d.list(true, &[8], 0);
        let away = (BASE >> 32) as u32 + 1;
        d.point(H2C, 0);
        d.w(0x4084, away);
        d.w(0x04, log);
        d.until("the engine stops", |d| d.r(0x40) & 1 == 0);
        assert_eq!((d.r(0x40), d.r(0x48)), (1 << 19, 0));
        d.w(0x04, log & !1);
        d.w(0x40, 0xFFFF_FFFE);
        // Data that are not there.
        d.list(true, &[8, 8], 0);
        let far = BASE + (1 << 30);
        d.describe(0, 0xAD4B_0000, 8, far, 0, BASE + 32);
        let (status, count) = run(&mut d);
        assert_eq!((status & 0x3E00, count), (1 << 9, 0));
        // Card memory that is not there, C2H: a decode error.
        d.list(false, &[8], TINY.memory_bytes);
        d.point(C2H, 0);
        d.w(C2H + 0x04, log);
        d.until("the engine stops", |d| d.r(C2H + 0x40) & 1 == 0);
        assert_eq!(d.r(C2H + 0x40) & 0x3E00, 1 << 9);
        d.w(C2H + 0x04, log & !1);
        d.w(C2H + 0x40, 0xFFFF_FFFE);
        // It works again.
        d.fired();
        d.list(true, &[100, 28], 0x40);
        d.transfer(H2C, 2, 1);
        let sent = d.host.bytes[TO_CARD..TO_CARD + 128].to_vec();
        assert_eq!(d.read_card(0x40, 128), sent);
    });
}

#[test]
fn an_interrupt_shows_data_that_were_written() {
    each(|mut d| {
        d.probe();
        for n in 0..20u8 {
            d.write_card(0, &vec![n + 1; 700]);
            d.list(false, &[300, 400], 0);
            d.host.watch = FROM_CARD + 699;
            d.host.seen.clear();
            d.transfer(C2H, 2, 1);
            assert_eq!(d.host.seen, [n + 1]);
        }
    });
}

#[test]
fn a_function_level_reset_leaves_nothing_but_memory() {
    each(|mut d| {
        d.probe();
        d.write_card(0x100, b"stays");
        d.list(true, &[4096; 16], 0x1000);
        d.point(H2C, 15);
        d.w(0x04, 0x00F8_3E1F);
        let reset = |d: &mut Driver| {
            // Device Control of the PCI Express capability.
            let mut word = [0; 4];
            d.card
                .config_read(&mut d.host, 0x34, &mut word[..1])
                .unwrap();
            let mut at = usize::from(word[0]);
            loop {
                d.card.config_read(&mut d.host, at, &mut word).unwrap();
                if word[0] == 0x10 {
                    break;
                }
                at = usize::from(word[1]);
            }
            d.card
                .config_read(&mut d.host, at + 8, &mut word[..2])
                .unwrap();
            word[1] |= 0x80;
            d.card
                .config_write(&mut d.host, at + 8, &word[..2])
                .unwrap();
            d.pass();
        };
        reset(&mut d);
        let mut command = [0; 2];
        d.card.config_read(&mut d.host, 4, &mut command).unwrap();
        assert_eq!(command, [0, 0]);
        // The wild one's messages, if it sent any before.
        d.fired();
        d.enable();
        for (offset, value) in [
            (0x04, 0),
            (0x40, 0),
            (0x48, 0),
            (0x90, 0),
            (0x2004, 0),
            (0x2010, 0),
            (0x20A0, 0),
            (0x2080, 0),
            (0x4080, 0),
            (0x4088, 0),
        ] {
            assert_eq!(d.r(offset), value, "{offset:x}");
        }
        assert_eq!(d.read_card(0x100, 5), b"stays");
        d.probe();
        d.list(true, &[77], 0x500);
        d.transfer(H2C, 1, 0);
        let sent = d.host.bytes[TO_CARD..TO_CARD + 77].to_vec();
        assert_eq!(d.read_card(0x500, 77), sent);
        reset(&mut d);
    });
}
