//! The first image, bit by bit on its wire: it says who it is, its registers can be read and written, and its engine runs on the memory that
//! is in it.

use abi::command::Status;
use abi::config::MINI;
use abi::registers::offset;
use abi::serial::{IDENTIFY, IDENTITY_WORDS, READ, UNKNOWN, WRITE};
use sim_tb::pins::Pins;

/// Cycles of a bit, as the module of the bench was made.
const BIT: u64 = 8;

struct Wire {
    p: Pins,
    got: Vec<u8>,
    /// Cycles since the start bit that is being received, and its bits so far.
    receiving: Option<(u64, u32)>,
}

impl Wire {
    fn new() -> Self {
        let mut p = Pins::new("image").unwrap();
        p.set("rx", 1);
        p.reset("rst", 4);
        Self {
            p,
            got: Vec::new(),
            receiving: None,
        }
    }

    fn hold(&mut self, level: u64, cycles: u64) {
        self.p.set("rx", level);
        for _ in 0..cycles {
            let tx = self.p.get("tx") as u32;
            match &mut self.receiving {
                None if tx == 0 => self.receiving = Some((0, 0)),
                None => {}
                Some((at, bits)) => {
                    *at += 1;
                    // The middle of bit n, start and stop bit included.
                    if *at % BIT == BIT / 2 {
                        *bits |= tx << (*at / BIT);
                        if *at / BIT == 9 {
                            assert_eq!((*bits & 1, *bits >> 9), (0, 1), "start and stop bit");
                            self.got.push((*bits >> 1) as u8);
                            self.receiving = None;
                        }
                    }
                }
            }
            self.p.tick();
        }
    }

    fn ask(&mut self, request: &[u8], bytes: usize) -> Vec<u8> {
        self.got.clear();
        for byte in request {
            self.hold(0, BIT);
            for i in 0..8 {
                self.hold(u64::from(byte >> i & 1), BIT);
            }
            self.hold(1, BIT);
        }
        self.hold(1, (bytes as u64 + 3) * 10 * BIT);
        self.got.clone()
    }

    fn read(&mut self, register: &str) -> u32 {
        let at = (offset(register) as u16).to_le_bytes();
        let answer = self.ask(&[READ, at[0], at[1]], 5);
        assert_eq!((answer.len(), answer[0]), (5, READ), "{register}");
        u32::from_le_bytes(answer[1..].try_into().unwrap())
    }

    fn write(&mut self, register: &str, value: u32) {
        let mut request = vec![WRITE];
        request.extend((offset(register) as u16).to_le_bytes());
        request.extend(value.to_le_bytes());
        assert_eq!(self.ask(&request, 1), [WRITE], "{register}");
    }
}

#[test]
fn it_says_who_it_is() {
    let mut wire = Wire::new();
    let answer = wire.ask(&[IDENTIFY], 1 + 4 * IDENTITY_WORDS);
    let fingerprint = abi::fingerprint(&MINI);
    let mut wanted = vec![IDENTIFY];
    for word in [
        abi::MAGIC,
        abi::ABI_VERSION,
        fingerprint as u32,
        (fingerprint >> 32) as u32,
    ] {
        wanted.extend(word.to_le_bytes());
    }
    assert_eq!(answer, wanted);
    assert_eq!(wire.ask(b"x", 1), [UNKNOWN]);
}

#[test]
fn its_registers_and_its_engine() {
    let mut wire = Wire::new();
    wire.write("SCRATCH", 0x1234_ABCD);
    assert_eq!(wire.read("SCRATCH"), 0x1234_ABCD);
    // A descriptor beyond the memory in the image: the read is answered with an error, and the engine says so and is ready again.
    for done in 1..3 {
        wire.write("RING_BASE_LO", MINI.memory_bytes as u32);
        wire.write("TAIL", done);
        assert_eq!(wire.read("DONE_COUNT"), done);
        assert_eq!(wire.read("LAST_STATUS"), Status::ReadError as u32);
    }
    assert_eq!(wire.read("STATE"), 0, "not busy");
    // One within it: the engine writes records there, and what it reads is no command.
    wire.write("RING_BASE_LO", 0);
    wire.write("TAIL", 3);
    assert_eq!(wire.read("DONE_COUNT"), 3);
    assert_ne!(wire.read("LAST_STATUS"), Status::ReadError as u32);
}
