//! Card memory as the engine sees it.

/// An access that leaves the memory. The engine turns it into a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// First address of the access.
    pub address: u64,
    /// Bytes of the access.
    pub bytes: usize,
}

/// A memory of bytes, from address 0.
pub trait Memory {
    /// Fills `bytes` from `address`.
    ///
    /// # Errors
    /// If the range leaves the memory; `bytes` is then unspecified.
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), OutOfRange>;

    /// Stores `bytes` at `address`.
    ///
    /// # Errors
    /// If the range leaves the memory; nothing is then written.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), OutOfRange>;
}

fn range(memory: usize, address: u64, bytes: usize) -> Result<std::ops::Range<usize>, OutOfRange> {
    let error = OutOfRange { address, bytes };
    let start = usize::try_from(address).map_err(|_| error)?;
    let end = start.checked_add(bytes).ok_or(error)?;
    if end <= memory {
        Ok(start..end)
    } else {
        Err(error)
    }
}

impl Memory for [u8] {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), OutOfRange> {
        bytes.copy_from_slice(&self[range(self.len(), address, bytes.len())?]);
        Ok(())
    }
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), OutOfRange> {
        let at = range(self.len(), address, bytes.len())?;
        self[at].copy_from_slice(bytes);
        Ok(())
    }
}

impl Memory for Vec<u8> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), OutOfRange> {
        self.as_slice().read(address, bytes)
    }
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), OutOfRange> {
        self.as_mut_slice().write(address, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_is_in_and_the_next_is_out() {
        let mut m = vec![0u8; 8];
        assert!(m.write(7, &[5]).is_ok());
        assert!(m.write(7, &[5, 6]).is_err());
        assert!(m.write(u64::MAX, &[5]).is_err());
        let mut b = [0; 2];
        assert!(m.read(6, &mut b).is_ok());
        assert_eq!(b, [0, 5]);
        assert!(m.read(7, &mut b).is_err());
    }
}
