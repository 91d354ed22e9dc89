//! The register map around the engine: a board without a clock.

use abi::command::{COMMAND_STRIDE, FLAG_IRQ};
use abi::config::LANES;
use abi::registers::{self, offset, COUNTERS, COUNTERS_BASE};
use abi::{Access, Config, Status, TOPK_MAX};

use crate::engine::{Counters, Engine, Outcome};
use crate::memory::{Memory, OutOfRange};

const CONTROL_RESET: u32 = 1;
const CONTROL_IRQ_ENABLE: u32 = 2;
const CONTROL_FREEZE: u32 = 4;

/// Card memory, registers and an engine that executes a command while its doorbell is being written.
pub struct Board {
    memory: Vec<u8>,
    engine: Engine,
    /// Words of the writable registers, by offset / 4.
    words: Vec<u32>,
    last_status: Status,
    counters: Counters,
    last_outcome: Option<Outcome>,
}

impl Board {
    /// A board of a configuration after power-on, memory zeroed.
    ///
    /// # Errors
    /// A sentence, if the host cannot give that much memory.
    pub fn new(config: Config, traced: bool) -> Result<Board, String> {
        let bytes = usize::try_from(config.memory_bytes).map_err(|_| {
            format!(
                "the golden board `{}` wants {} bytes of card memory, more than this host can address",
                config.name, config.memory_bytes
            )
        })?;
        Ok(Board {
            memory: vec![0; bytes],
            engine: Engine::new(config, traced),
            words: vec![0; registers::SPACE as usize / 4],
            last_status: Status::Ok,
            counters: Counters::default(),
            last_outcome: None,
        })
    }

    /// The engine, for its trace.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// What became of the last command.
    pub fn last_outcome(&self) -> Option<&Outcome> {
        self.last_outcome.as_ref()
    }

    /// Bytes of card memory.
    pub fn memory_bytes(&self) -> u64 {
        self.memory.len() as u64
    }

    /// Copies card memory out.
    ///
    /// # Errors
    /// If the range leaves card memory.
    pub fn memory_read(&self, address: u64, bytes: &mut [u8]) -> Result<(), OutOfRange> {
        self.memory.read(address, bytes)
    }

    /// Copies to card memory.
    ///
    /// # Errors
    /// If the range leaves card memory.
    pub fn memory_write(&mut self, address: u64, bytes: &[u8]) -> Result<(), OutOfRange> {
        self.memory.write(address, bytes)
    }

    /// Level of the interrupt pin.
    pub fn irq(&self) -> bool {
        self.word("CONTROL") & CONTROL_IRQ_ENABLE != 0 && self.word("IRQ_PENDING") != 0
    }

    /// Reads a register; offsets that are not in the map read as 0.
    pub fn axil_read(&self, at: u32) -> u32 {
        let Some(register) = registers::REGISTERS.iter().find(|r| r.offset == at) else {
            return 0;
        };
        let c = self.engine.config();
        let fingerprint = abi::fingerprint(c);
        match register.name {
            "MAGIC" => abi::MAGIC,
            "ABI_VERSION" => abi::ABI_VERSION,
            "FINGERPRINT_LO" => fingerprint as u32,
            "FINGERPRINT_HI" => (fingerprint >> 32) as u32,
            "SHAPE" => (TOPK_MAX << 24 | c.slot_words << 8 | LANES) as u32,
            "LIMITS" => (c.experts_max << 16 | c.tokens_max) as u32,
            "WIDTHS" => (c.f_max << 16 | c.d_max) as u32,
            "MODES" => {
                let m = &c.modes;
                let flags = [m.int4, m.fp4, m.pairs, m.octets, m.gelu];
                let flags = (0..).zip(flags).map(|(i, on)| u32::from(on) << i);
                flags.sum::<u32>() | (c.layers_max << 16 | c.slots << 8) as u32
            }
            "DONE_COUNT" => self.engine.commands().into(),
            "LAST_STATUS" => self.last_status as u32,
            _ if at >= COUNTERS_BASE => self.counter(at - COUNTERS_BASE),
            _ => self.words[at as usize / 4],
        }
    }

    /// One half of a 64-bit counter; those that hang on a clock or on what is prefetched stay 0.
    fn counter(&self, from_base: u32) -> u32 {
        let value = match COUNTERS.get(from_base as usize / 8).copied() {
            Some("MACS") => self.counters.macs,
            Some("READ_BYTES") => self.counters.read_bytes,
            Some("WRITTEN_BYTES") => self.counters.written_bytes,
            Some("SATURATIONS") => self.counters.saturations,
            Some("EXPERT_USES") => self.counters.expert_uses,
            _ => 0,
        };
        (value >> (from_base % 8 * 8)) as u32
    }

    /// Writes a register; offsets that are not in the map, and read-only registers, ignore it.
    pub fn axil_write(&mut self, at: u32, value: u32) {
        let Some(register) = registers::REGISTERS.iter().find(|r| r.offset == at) else {
            return;
        };
        let word = &mut self.words[at as usize / 4];
        match register.access {
            Access::Ro => {}
            Access::Rw => *word = value & register.mask,
            Access::W1c => *word &= !(value & register.mask),
        }
        match register.name {
            "CONTROL" if value & CONTROL_RESET != 0 => {
                self.reset();
                self.words[at as usize / 4] = value & register.mask & !CONTROL_RESET;
            }
            "TASK" => self.engine.set_task((value & register.mask) as u8),
            // The table changes only what is prefetched; the index moves on all the same.
            "PREDICT_DATA" => {
                let index = &mut self.words[offset("PREDICT_INDEX") as usize / 4];
                *index = (*index + 1) & 0xFFFF;
            }
            "TAIL" => self.run(),
            _ => {}
        }
    }

    /// Brings all registers to their reset values; card memory keeps its bytes.
    pub fn reset(&mut self) {
        self.engine.reset();
        self.words.fill(0);
        self.last_status = Status::Ok;
        self.counters = Counters::default();
        self.last_outcome = None;
    }

    fn word(&self, name: &str) -> u32 {
        self.words[offset(name) as usize / 4]
    }

    /// Executes the commands between DONE_COUNT and TAIL.
    fn run(&mut self) {
        let base =
            u64::from(self.word("RING_BASE_HI")) << 32 | u64::from(self.word("RING_BASE_LO"));
        while u32::from(self.engine.commands()) != self.word("TAIL") {
            let slot = u64::from(self.engine.commands()) & ((1 << self.word("RING_LOG2")) - 1);
            let outcome = self
                .engine
                .run_command(&mut self.memory, base + slot * COMMAND_STRIDE);
            self.last_status = outcome.status;
            if self.word("CONTROL") & CONTROL_FREEZE == 0 {
                self.counters += outcome.counters;
            }
            if outcome.command.is_some_and(|c| c.flags & FLAG_IRQ != 0) {
                self.words[offset("IRQ_PENDING") as usize / 4] |= 1;
            }
            self.last_outcome = Some(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::config::TINY;
    use abi::{Command, Completion};

    fn board() -> Board {
        Board::new(TINY, false).unwrap()
    }

    #[test]
    fn the_fixed_registers_say_what_it_is() {
        let b = board();
        let fp = abi::fingerprint(&TINY);
        assert_eq!(b.axil_read(0), abi::MAGIC);
        assert_eq!(b.axil_read(4), abi::ABI_VERSION);
        assert_eq!(
            u64::from(b.axil_read(12)) << 32 | u64::from(b.axil_read(8)),
            fp
        );
        assert_eq!(b.axil_read(offset("SHAPE")) & 0xFF, 8);
        assert_eq!(b.axil_read(offset("MODES")), 8 << 16 | 2 << 8 | 31);
        assert_eq!(b.axil_read(0x1F8), 0);
    }

    #[test]
    fn writable_bits_are_those_of_the_map() {
        let mut b = board();
        for r in registers::REGISTERS {
            if r.access == Access::Rw && !["CONTROL", "TAIL"].contains(&r.name) {
                b.axil_write(r.offset, u32::MAX);
                assert_eq!(b.axil_read(r.offset), r.mask, "{}", r.name);
            } else if r.access == Access::Ro {
                let before = b.axil_read(r.offset);
                b.axil_write(r.offset, !before);
                assert_eq!(b.axil_read(r.offset), before, "{}", r.name);
            }
        }
        b.axil_write(offset("PREDICT_INDEX"), 0xFFFF);
        b.axil_write(offset("PREDICT_DATA"), 0x1234);
        assert_eq!(b.axil_read(offset("PREDICT_INDEX")), 0);
        b.axil_write(offset("CONTROL"), 7);
        assert_eq!(b.axil_read(offset("CONTROL")), 6, "reset reads as 0");
        assert_eq!(b.axil_read(offset("SCRATCH")), 0, "and has reset the rest");
    }

    #[test]
    fn the_ring_wraps_and_the_doorbell_counts() {
        let mut b = board();
        b.axil_write(offset("RING_BASE_LO"), 0x1000);
        b.axil_write(offset("RING_LOG2"), 1);
        b.axil_write(offset("CONTROL"), CONTROL_IRQ_ENABLE);
        for n in 0..3u16 {
            // A command the engine refuses still completes.
            let c = Command {
                tag: 100 + n,
                flags: FLAG_IRQ,
                done_addr: 0x2000 + 64 * u64::from(n),
                ..Command::default()
            };
            b.memory_write(0x1000 + u64::from(n % 2) * 128, &c.to_bytes())
                .unwrap();
            b.axil_write(offset("TAIL"), u32::from(n) + 1);
            assert_eq!(b.axil_read(offset("DONE_COUNT")), u32::from(n) + 1);
            let mut record = [0; 16];
            b.memory_read(c.done_addr, &mut record).unwrap();
            let record = Completion::from_bytes(&record);
            assert_eq!(record.tag, 100 + u32::from(n));
            assert_eq!(record.status, Status::BadOpcode as u32);
        }
        assert_eq!(b.axil_read(offset("LAST_STATUS")), Status::BadOpcode as u32);
        assert!(b.irq());
        b.axil_write(offset("IRQ_PENDING"), 1);
        assert!(!b.irq());
    }
}
