//! The serial console of the first images: how a host asks a board over a UART, before there is PCI Express.
//!
//! Eight bits, no parity, one stop bit, no flow control. A request is one byte and its operands; numbers are little endian. The board
//! answers with the same byte and its data (of a write: none), or with [`UNKNOWN`] alone where no request begins with that byte. One request
//! at a time: what comes before the answer is over is lost. `docs/registers.md` has the table.

/// Bits per second.
pub const BAUD: u32 = 115_200;
/// `I`: who are you.
pub const IDENTIFY: u8 = b'I';
/// `R`: read a register.
pub const READ: u8 = b'R';
/// `W`: write a register.
pub const WRITE: u8 = b'W';
/// `?`: the answer to any other byte.
pub const UNKNOWN: u8 = b'?';
/// Words of the answer to [`IDENTIFY`]: the first registers.
pub const IDENTITY_WORDS: usize = 4;
/// Bytes behind [`READ`].
pub const READ_OPERANDS: usize = 2;
/// Bytes behind [`WRITE`].
pub const WRITE_OPERANDS: usize = 6;
/// Cycles of the engine's clock between two bytes of a request.
pub const TIMEOUT_CYCLES: u32 = 1 << 22;

/// Cycles of a bit at this clock; the rate is within 2 % of [`BAUD`], or there is none.
pub const fn cycles_per_bit(clock_hz: u32) -> Option<u32> {
    let cycles = (clock_hz + BAUD / 2) / BAUD;
    if cycles < 8 {
        return None;
    }
    let rate = clock_hz / cycles;
    if rate.abs_diff(BAUD) * 50 > BAUD {
        None
    } else {
        Some(cycles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_times() {
        assert_eq!(cycles_per_bit(50_000_000), Some(434));
        assert_eq!(cycles_per_bit(25_000_000), Some(217));
        assert_eq!(cycles_per_bit(500_000), None, "4.3 cycles are too few");
    }

    #[test]
    fn the_identity_is_the_first_registers() {
        let first: alloc::vec::Vec<_> = crate::registers::REGISTERS[..IDENTITY_WORDS]
            .iter()
            .map(|r| (r.offset, r.name))
            .collect();
        let names = ["MAGIC", "ABI_VERSION", "FINGERPRINT_LO", "FINGERPRINT_HI"];
        for (at, name) in names.into_iter().enumerate() {
            assert_eq!(first[at], (4 * at as u32, name));
        }
    }
}
