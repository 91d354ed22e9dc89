//! A simulated board with random images in its memory: numbers do not matter to cycles, so images are noise with a header.

use super::Failure;
use abi::layout::{
    down_section, hidden_section, row_bytes, window_words, Section, Storage, IMAGE_MAGIC,
    ROUTE_BYTES,
};
use abi::registers::{offset, COUNTERS};
use abi::{Command, Completion, Config, Opcode, ALIGN, BEAT};
use sim_tb::board::Params;
use sim_tb::rng::Rng;
use sim_tb::SimBoard;

/// Commands of the ring.
const RING_LOG2: u32 = 4;
/// Bytes between two completion records.
const RECORD: u64 = ALIGN;
/// Cycles after which a command is given up.
const PATIENCE: u64 = 100_000_000;

/// The shape and storage of an expert.
#[derive(Clone, Copy, Debug)]
pub struct Expert {
    /// Model width.
    pub d: usize,
    /// Expert width.
    pub f: usize,
    /// Gate, up and down, or two matrices.
    pub gated: bool,
    /// `abi::command::Activation` as a number.
    pub activation: u8,
    /// Storage of its matrices.
    pub storage: Storage,
}

impl Expert {
    /// The sections of its image.
    pub fn sections(&self) -> [Section; 2] {
        [
            hidden_section(self.d, self.f, self.gated, self.storage),
            down_section(self.d, self.f, self.storage),
        ]
    }
    /// Bytes of its image.
    pub fn bytes(&self) -> usize {
        BEAT + self.sections().iter().map(Section::bytes).sum::<usize>()
    }
    /// Bytes that must move at least.
    pub fn unpadded_bytes(&self) -> usize {
        self.sections().iter().map(Section::unpadded_bytes).sum()
    }
    /// Weights that are present.
    pub fn nonzeros(&self) -> usize {
        self.sections().iter().map(Section::nonzeros).sum()
    }
}

/// A board, and where its structures stand.
pub struct Card {
    /// The board.
    pub board: SimBoard,
    config: Config,
    rng: Rng,
    free: u64,
    ring: u64,
    records: u64,
    tail: u16,
}

impl Card {
    /// A board of configuration `name` after reset.
    ///
    /// # Errors
    /// If the simulated board is not built.
    pub fn new(name: &str, params: Params) -> Result<Card, Failure> {
        let config = Config::named(name)?;
        let mut board = SimBoard::with(name, params, None)?;
        let ring = 0;
        let records = ring + (abi::command::COMMAND_STRIDE << RING_LOG2);
        board
            .board
            .write_register(offset("RING_BASE_LO"), ring as u32)?;
        board.board.write_register(offset("RING_LOG2"), RING_LOG2)?;
        Ok(Card {
            board,
            config,
            rng: Rng::new(params.seed + 1),
            free: records + (RECORD << RING_LOG2),
            ring,
            records,
            tail: 0,
        })
    }

    /// Room in card memory.
    ///
    /// # Errors
    /// If there is not so much.
    pub fn take(&mut self, bytes: usize) -> Result<u64, Failure> {
        let at = self.free.next_multiple_of(ALIGN);
        self.free = at + bytes as u64;
        if self.free > self.board.board.params().memory_bytes {
            return Err(format!("the board's memory ends before byte {}", self.free).into());
        }
        Ok(at)
    }

    /// Fills memory with noise.
    pub fn noise(&mut self, at: u64, bytes: usize) {
        let memory = &mut self.board.board.memory_mut()[at as usize..][..bytes];
        for chunk in memory.chunks_mut(8) {
            let word = self.rng.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    /// `count` experts one after the other; returns the address of the first and their distance.
    ///
    /// # Errors
    /// If memory is too small.
    pub fn experts(&mut self, expert: &Expert, count: usize) -> Result<(u64, u32), Failure> {
        let stride = expert.bytes().next_multiple_of(ALIGN as usize);
        let at = self.take(stride * count)?;
        self.noise(at, stride * count);
        for e in 0..count {
            let header = at + (e * stride) as u64;
            let mut beat = [0; BEAT];
            beat[6..8].copy_from_slice(&IMAGE_MAGIC.to_le_bytes());
            self.board.board.memory_mut()[header as usize..][..BEAT].copy_from_slice(&beat);
        }
        Ok((at, stride as u32))
    }

    /// x, y and routes for `tokens`: their addresses. x is noise of ordinary size.
    ///
    /// # Errors
    /// If memory is too small.
    pub fn vectors(&mut self, tokens: usize, d: usize) -> Result<[u64; 3], Failure> {
        let row = row_bytes(d);
        let x = self.take(tokens * row)?;
        let y = self.take(tokens * row)?;
        let routes = self.take(tokens * ROUTE_BYTES)?;
        for n in 0..tokens * row / 4 {
            let value = (self.rng.next() >> 40) as f32 / (1 << 23) as f32 - 1.0;
            let at = x as usize + 4 * n;
            self.board.board.memory_mut()[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        Ok([x, y, routes])
    }

    /// The command of a layer of `experts` experts, without addresses of vectors.
    pub fn layer(
        &self,
        tokens: usize,
        expert: &Expert,
        experts: usize,
        topk: usize,
        images: (u64, u32),
    ) -> Command {
        let words = window_words(&expert.sections(), self.config.slot_words, tokens);
        Command {
            opcode: Opcode::MoeLayer as u8,
            flags: abi::command::FLAG_IRQ,
            tokens: tokens as u16,
            d: expert.d as u16,
            f: expert.f as u16,
            experts: experts as u16,
            topk: topk as u8,
            storage: expert.storage.code(),
            lsb_y: -10,
            experts_addr: images.0,
            expert_stride: images.1,
            activation: expert.activation | u8::from(!expert.gated) << 3,
            routing: abi::command::Source::Host as u8,
            route_scale: abi::command::ROUTE_SCALE_ONE,
            window_words: words as u16,
            ..Command::default()
        }
    }

    /// Writes which experts each token goes to, all with the same weight.
    pub fn routes(&mut self, at: u64, chosen: &[Vec<usize>]) {
        for (t, experts) in chosen.iter().enumerate() {
            let mut entry = [0; ROUTE_BYTES];
            for (n, &e) in experts.iter().enumerate() {
                entry[8 * n..8 * n + 4].copy_from_slice(&(e as u32).to_le_bytes());
                entry[8 * n + 4..8 * n + 8].copy_from_slice(&32768u32.to_le_bytes());
            }
            let at = at as usize + t * ROUTE_BYTES;
            self.board.board.memory_mut()[at..at + ROUTE_BYTES].copy_from_slice(&entry);
        }
    }

    /// Writes a command into the ring and rings the doorbell.
    ///
    /// # Errors
    /// If the board fails.
    pub fn ring(&mut self, what: &str, mut command: Command) -> Result<u64, Failure> {
        let slot = u64::from(self.tail) % (1 << RING_LOG2);
        command.done_addr = self.records + slot * RECORD;
        command.tag = self.tail;
        let at = (self.ring + slot * abi::command::COMMAND_STRIDE) as usize;
        self.board.board.memory_mut()[at..at + 128].copy_from_slice(&command.to_bytes());
        self.tail = self.tail.wrapping_add(1);
        let write = self
            .board
            .board
            .write_register(offset("TAIL"), self.tail.into());
        write.map_err(|e| format!("{what}: {e}"))?;
        Ok(command.done_addr)
    }

    /// Runs to the interrupt.
    ///
    /// # Errors
    /// If it does not come.
    pub fn until_irq(&mut self, what: &str) -> Result<(), Failure> {
        Ok(self.board.board.run_until_irq(what)?)
    }

    /// Takes the interrupt back.
    ///
    /// # Errors
    /// If the board fails.
    pub fn clear_irq(&mut self) -> Result<(), Failure> {
        Ok(self.board.board.write_register(offset("IRQ_PENDING"), 1)?)
    }

    /// The record of the last command.
    ///
    /// # Errors
    /// If its status is not Ok.
    pub fn judge(&mut self, what: &str) -> Result<Completion, Failure> {
        let slot = u64::from(self.tail.wrapping_sub(1)) % (1 << RING_LOG2);
        let at = (self.records + slot * RECORD) as usize;
        let mut record = [0; 16];
        record.copy_from_slice(&self.board.board.memory()[at..at + 16]);
        let record = Completion::from_bytes(&record);
        if record.status != 0 {
            let status = abi::Status::from_code(record.status);
            return Err(format!("{what}: status {} ({status:?})", record.status).into());
        }
        Ok(record)
    }

    /// Runs one command to its end; returns its completion record.
    ///
    /// # Errors
    /// If it does not end, or with an error.
    pub fn run(&mut self, what: &str, command: Command) -> Result<Completion, Failure> {
        self.ring(what, command)?;
        let (start, done) = (self.board.board.cycles(), u32::from(self.tail));
        while self.board.board.read_register(offset("DONE_COUNT"))? != done {
            self.board.board.run(2000)?;
            if self.board.board.cycles() - start > PATIENCE {
                let state = self.board.board.state();
                return Err(format!("{what}: the engine does not finish: {state}").into());
            }
        }
        self.judge(what)
    }

    /// A counter by name.
    ///
    /// # Errors
    /// If the board fails.
    pub fn counter(&mut self, name: &str) -> Result<u64, Failure> {
        Ok(self.board.counter(name)?)
    }

    /// All counters.
    ///
    /// # Errors
    /// If the board fails.
    pub fn counters(&mut self) -> Result<Vec<u64>, Failure> {
        COUNTERS.iter().map(|c| self.counter(c)).collect()
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
