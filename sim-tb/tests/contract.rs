//! The DMA's register contract, replayed access by access as the vendor's kernel driver makes them, on any [`Function`].
//! Numbers are written out: they are the contract's, not our tables'.

use abi::config::TINY;
use sim_tb::card_model::CardModel;
use sim_tb::function::{Fault, Function, Host, Progress};

/// Host memory: one range, and what the card did to the processor.
struct Memory {
    bytes: Vec<u8>,
    fired: Vec<u32>,
}

/// Where it begins; and where the parts of it stand.
const BASE: u64 = 0x7_0000_0000;
const LIST: u64 = BASE + 0x1000;
const WORD: u64 = BASE + 0x3000;
const SOURCE: u64 = BASE + 0x1_0000;
const BACK: u64 = BASE + 0x4_0000;
const SIZE: usize = 0x8_0000;

impl Memory {
    fn range(&self, iova: u64, bytes: usize, write: bool) -> Result<std::ops::Range<usize>, Fault> {
        let fault = Fault { iova, bytes, write };
        let from = iova.checked_sub(BASE).ok_or(fault)? as usize;
        match from.checked_add(bytes) {
            Some(to) if to <= self.bytes.len() => Ok(from..to),
            _ => Err(fault),
        }
    }
}

impl Host for Memory {
    fn read(&mut self, iova: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let range = self.range(iova, bytes.len(), false)?;
        bytes.copy_from_slice(&self.bytes[range]);
        Ok(())
    }
    fn write(&mut self, iova: u64, bytes: &[u8]) -> Result<(), Fault> {
        let range = self.range(iova, bytes.len(), true)?;
        self.bytes[range].copy_from_slice(bytes);
        Ok(())
    }
    fn interrupt(&mut self, vector: u32) {
        self.fired.push(vector);
    }
}

/// A function and its host.
struct Bench {
    function: Box<dyn Function>,
    host: Memory,
}

/// Direction: H2C or C2H, as an offset between their registers.
const H2C: u64 = 0;
const C2H: u64 = 0x1000;
/// What the driver writes to start, stop and listen.
const RUN: u32 = 0x00F8_3E1F;
const STOP: u32 = 0x00F8_3E1E;
const LISTEN: u32 = 0x00F8_3E1E;
const POLL: u32 = 0x04F8_3E19;

impl Bench {
    /// Probed as the driver does with MSI-X.
    fn new(function: Box<dyn Function>) -> Bench {
        let host = Memory {
            bytes: vec![0; SIZE],
            fired: Vec::new(),
        };
        let mut b = Bench { function, host };
        b.function.enable_interrupts(&mut b.host, true).unwrap();
        b.probe();
        b
    }

    fn r(&mut self, at: u64) -> u32 {
        let mut word = [0; 4];
        self.function.bar_read(&mut self.host, 1, at, &mut word).unwrap();
        u32::from_le_bytes(word)
    }

    fn w(&mut self, at: u64, value: u32) {
        let word = value.to_le_bytes();
        self.function.bar_write(&mut self.host, 1, at, &word).unwrap();
    }

    fn settle(&mut self) {
        for _ in 0..100_000 {
            if self.function.run(&mut self.host).unwrap() == Progress::Idle {
                return;
            }
        }
        panic!("the function never comes to rest");
    }

    fn probe(&mut self) {
        let mut command = [0; 2];
        self.function.config_read(&mut self.host, 4, &mut command).unwrap();
        command[0] |= 6;
        self.function.config_write(&mut self.host, 4, &command).unwrap();
        assert_eq!(self.r(0x2000) >> 16, 0x1FC2);
        assert_eq!(self.r(0x3000) >> 16, 0x1FC3);
        for at in [0x2004, 0x2010, 0x2040, 0x2044, 0x2048, 0x204C] {
            assert_eq!(self.r(at), 0, "{at:X} after power-on");
        }
        self.w(0x2018, u32::MAX);
        self.w(0x200C, u32::MAX);
        self.quiet();
        for (base, id) in [(H2C, 0x1FC0_0006), (C2H, 0x1FC1_0006)] {
            for _ in 0..3 {
                assert_eq!(self.r(base), id);
            }
            self.w(base + 0x0C, 0x0200_0000);
            assert_eq!(self.r(base + 0x4C), 0x0001_0140);
            self.w(base + 0x90, LISTEN);
            for _ in 0..2 {
                let absent = self.r(base + 0x100);
                assert!(absent >> 16 != id >> 16 || absent >> 8 & 0xF != 1, "one channel");
            }
        }
        for (at, vectors) in [
            (0x20A0, 0x0000_0100),
            (0x2080, 0x0504_0302),
            (0x2084, 0x0908_0706),
            (0x2088, 0x0D0C_0B0A),
            (0x208C, 0x1110_0F0E),
        ] {
            self.w(at, vectors);
        }
        self.w(0x2014, u32::MAX);
        self.quiet();
        self.w(0x2008, 0x1_FFFF);
        self.quiet();
        assert_eq!(self.r(0x2010), 3, "bits of absent channels do not exist");
        assert_eq!(self.r(0x2004) & 1, 1);
        assert_eq!(self.r(0x2004) & !0xFFFF, 0);
    }

    fn quiet(&mut self) {
        assert_eq!([self.r(0x2040), self.r(0x2044)], [0, 0]);
    }

    /// One descriptor at `place` of the list. The next follows it, unless it is the last.
    fn descriptor(&mut self, place: u64, from: u64, to: u64, bytes: u32, last: bool) {
        let at = LIST + 32 * place;
        let next = if last { 0 } else { at + 32 };
        let head = 0xAD4B_0000 | if last { 0x13 } else { 0 };
        let pairs = [u64::from(bytes) << 32 | u64::from(head), from, to, next];
        for (i, pair) in (0..).zip(pairs) {
            self.host.write(at + 8 * i, &pair.to_le_bytes()).unwrap();
        }
    }

    fn start(&mut self, direction: u64, extra: u32, control: u32) {
        self.w(0x4080 + direction, LIST as u32);
        self.w(0x4084 + direction, (LIST >> 32) as u32);
        self.w(0x4088 + direction, extra);
        self.w(0x0004 + direction, control);
    }

    /// The interrupt's handler and the worker behind it: the count.
    fn serve(&mut self, direction: u64) -> (u32, u32) {
        let bit = 1 << (direction / C2H);
        self.w(0x0098 + direction, LISTEN);
        assert_eq!(self.r(0x204C) & bit, 0, "the mask is off");
        let status = self.r(0x0044 + direction);
        self.w(0x0004 + direction, STOP);
        let count = self.r(0x0048 + direction);
        self.w(0x0094 + direction, LISTEN);
        (status, count)
    }

    fn bytes(&self, iova: u64, bytes: usize) -> &[u8] {
        let range = self.host.range(iova, bytes, false).unwrap();
        &self.host.bytes[range]
    }
}

fn boards() -> Vec<Box<dyn Function>> {
    vec![Box::new(CardModel::new(TINY).unwrap())]
}

#[test]
fn a_round_trip_is_two_interrupts_and_the_same_bytes() {
    for function in boards() {
        let mut b = Bench::new(function);
        let data: Vec<u8> = (0..30_000u32).map(|i| (i * 7 + i / 256) as u8).collect();
        b.host.write(SOURCE + 3, &data).unwrap();
        // Three descriptors each way, of sizes that end nowhere in particular; Nxt_adj may be ignored.
        let cuts = [(0, 1u32), (1, 4099), (4100, 25_900)];
        for (i, (from, bytes)) in (0..).zip(cuts) {
            b.descriptor(i, SOURCE + 3 + from, 0x1005 + from, bytes, i == 2);
        }
        b.start(H2C, 2, RUN);
        b.r(0x0040);
        b.r(0x0040);
        b.settle();
        assert_eq!(b.host.fired, [0], "H2C's vector, once");
        assert_eq!(b.r(0x0040) & 7, 6, "stopped and completed, not busy");
        assert_eq!(b.serve(H2C), (6, 3));
        assert_eq!(b.r(0x0040), 0, "the read has cleared");
        for (i, (from, bytes)) in (0..).zip(cuts) {
            b.descriptor(i, 0x1005 + from, BACK + 2 + from, bytes, i == 2);
        }
        b.start(C2H, 0, RUN);
        b.settle();
        assert_eq!(b.host.fired, [0, 1], "then C2H's");
        assert_eq!(b.serve(C2H), (6, 3));
        assert!(b.bytes(BACK + 2, data.len()) == data);
        assert_eq!(b.bytes(BACK, 2), [0, 0]);
        assert_eq!(b.bytes(BACK + 2 + 30_000, 2), [0, 0]);
        // Of status bits that are still set when the mask comes back there is a new edge.
        b.descriptor(0, SOURCE, 0, 4, true);
        b.start(H2C, 0, RUN);
        assert_eq!(b.r(0x0048), 0, "a start resets the count");
        b.settle();
        b.w(0x0098, LISTEN);
        b.w(0x0094, LISTEN);
        assert_eq!(b.host.fired, [0, 1, 0, 0]);
        b.w(0x0040, 2);
        assert_eq!(b.r(0x0040), 4, "a one clears its bit");
    }
}

#[test]
fn poll_mode_writes_the_count_and_no_interrupt() {
    for function in boards() {
        let mut b = Bench::new(function);
        b.w(0x2018, u32::MAX);
        b.w(0x0088, WORD as u32);
        b.w(0x008C, (WORD >> 32) as u32);
        for i in 0..5 {
            b.descriptor(i, SOURCE + i, 0x40 * i, 100, i == 4);
        }
        b.start(H2C, 4, POLL);
        b.settle();
        assert_eq!(b.bytes(WORD, 8), [5, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(b.r(0x0040) & 1, 0);
        assert!(b.host.fired.is_empty());
    }
}

#[test]
fn errors_stop_the_channel_and_the_next_transfer_works() {
    for function in boards() {
        let mut b = Bench::new(function);
        // Not a descriptor; then one whose data, then one that itself nobody answers for.
        b.start(H2C, 0, RUN);
        b.settle();
        assert_eq!(b.r(0x0040), 1 << 4);
        assert_eq!(b.host.fired, [0]);
        assert_eq!(b.serve(H2C), (1 << 4, 0));
        b.descriptor(0, 0x10, 0, 64, true);
        b.start(H2C, 0, RUN);
        b.settle();
        assert_eq!(b.serve(H2C).0 & 0x3E00, 1 << 9, "unsupported request");
        b.w(0x5080, 0x20);
        b.w(0x5084, 0);
        b.w(0x1004, RUN);
        b.settle();
        assert_eq!(b.serve(C2H).0 >> 19, 1, "unsupported request of a descriptor");
        // Card memory that is not there.
        b.descriptor(0, 1 << 38, BACK, 64, true);
        b.start(C2H, 0, RUN);
        b.settle();
        assert_eq!(b.serve(C2H).0 & 0x3E00, 1 << 9, "decode error");
        b.descriptor(0, SOURCE, 0, 64, true);
        b.start(H2C, 0, RUN);
        b.settle();
        assert_eq!(b.serve(H2C), (6, 1));
    }
}

#[test]
fn nothing_moves_without_bus_master_or_while_halted() {
    for function in boards() {
        let mut b = Bench::new(function);
        b.function.config_write(&mut b.host, 4, &[2, 0]).unwrap();
        b.descriptor(0, SOURCE, 0, 64, true);
        b.start(H2C, 0, RUN);
        b.settle();
        assert!(b.host.fired.is_empty());
        assert_eq!(b.r(0x0040), 1, "busy");
        b.w(0x6014, 1);
        b.function.config_write(&mut b.host, 4, &[6, 0]).unwrap();
        b.settle();
        assert_eq!(b.r(0x0040), 1, "busy");
        b.w(0x6018, 1);
        b.settle();
        assert_eq!(b.serve(H2C), (6, 1));
    }
}

#[test]
fn a_function_level_reset_forgets_all_but_card_memory() {
    for function in boards() {
        let mut b = Bench::new(function);
        b.host.write(SOURCE, b"kept").unwrap();
        b.descriptor(0, SOURCE, 0x100, 4, true);
        b.start(H2C, 0, RUN);
        b.settle();
        let mut list = [0; 2];
        let mut at = 0x34;
        loop {
            b.function.config_read(&mut b.host, at, &mut list[..1]).unwrap();
            at = list[0].into();
            b.function.config_read(&mut b.host, at, &mut list).unwrap();
            if list[0] == 0x10 {
                break;
            }
            at += 1;
        }
        let mut control = [0; 2];
        b.function.config_read(&mut b.host, at + 8, &mut control).unwrap();
        control[1] |= 0x80;
        b.function.config_write(&mut b.host, at + 8, &control).unwrap();
        b.settle();
        for at in [0x0004, 0x0040, 0x0048, 0x0090, 0x2004, 0x2010, 0x2080, 0x20A0, 0x4080] {
            assert_eq!(b.r(at), 0, "{at:X}");
        }
        b.host.fired.clear();
        b.probe();
        b.descriptor(0, 0x100, BACK, 4, true);
        b.start(C2H, 0, RUN);
        b.settle();
        assert_eq!(b.bytes(BACK, 4), b"kept");
    }
}
