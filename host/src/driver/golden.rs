//! The golden engine as a device: the register map and the bits of a board, without RTL and without a clock.

use abi::registers::SPACE;
use abi::Config;
use device::{Device, Error};
use golden::{Board, OutOfRange};

/// A golden board.
pub struct GoldenBoard {
    board: Board,
    config: Config,
}

impl GoldenBoard {
    /// The board of a configuration, memory zeroed.
    ///
    /// # Errors
    /// If this computer cannot give the card memory's bytes.
    pub fn open(config: Config) -> Result<GoldenBoard, Error> {
        let board = Board::new(config, false).map_err(Error::Open)?;
        Ok(GoldenBoard { board, config })
    }

    fn known(&self, offset: u32) -> Result<(), Error> {
        if offset.is_multiple_of(4) && offset < SPACE {
            return Ok(());
        }
        Err(Error::BadRegister {
            device: self.name(),
            offset,
            space: SPACE,
        })
    }

    fn outside(&self, e: OutOfRange) -> Error {
        Error::OutOfMemoryRange {
            device: self.name(),
            address: e.address,
            bytes: e.bytes,
            memory: self.memory_bytes(),
        }
    }
}

impl Device for GoldenBoard {
    fn name(&self) -> String {
        format!("golden ({})", self.config.name)
    }

    fn memory_bytes(&self) -> u64 {
        self.board.memory_bytes()
    }

    fn read_register(&mut self, offset: u32) -> Result<u32, Error> {
        self.known(offset)?;
        Ok(self.board.axil_read(offset))
    }

    fn write_register(&mut self, offset: u32, value: u32) -> Result<(), Error> {
        self.known(offset)?;
        self.board.axil_write(offset, value);
        Ok(())
    }

    fn copy_in(&mut self, bytes: &[u8], card_address: u64) -> Result<(), Error> {
        let done = self.board.memory_write(card_address, bytes);
        done.map_err(|e| self.outside(e))
    }

    fn copy_out(&mut self, card_address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let done = self.board.memory_read(card_address, bytes);
        done.map_err(|e| self.outside(e))
    }

    fn reset(&mut self) -> Result<(), Error> {
        self.board.reset();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::config::TINY;

    #[test]
    fn what_is_outside_is_an_error() {
        let mut b = GoldenBoard::open(TINY).unwrap();
        assert_eq!(b.read_register(0).unwrap(), abi::MAGIC);
        for offset in [2, SPACE] {
            assert!(matches!(
                b.read_register(offset),
                Err(Error::BadRegister { .. })
            ));
        }
        let end = b.memory_bytes();
        b.copy_in(&[1, 2], end - 2).unwrap();
        let e = b.copy_in(&[1, 2], end - 1).unwrap_err().to_string();
        assert!(e.contains("golden (tiny)") && e.contains("16777216"), "{e}");
    }
}
