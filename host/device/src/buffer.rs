//! Memory that program and card share. A buffer owns its memory and its mapping: allocated, mapped and pinned when it is made; unmapped,
//! strictly before the memory is freed, when it is dropped.

use std::fs::File;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::MemfdFlags;

use crate::Error;

/// Every mapping is a multiple of this.
pub const PAGE: usize = 4096;
/// No buffer stands below: an address of 0, or one computed from it, is then never answered.
const LOWEST: u64 = 1 << 20;

/// Shared memory with a descriptor, so that it can also be mapped by another process.
pub struct Memory {
    file: File,
    map: MmapRaw,
}

impl Memory {
    fn new(bytes: usize) -> std::io::Result<Memory> {
        let file = File::from(rustix::fs::memfd_create("dma", MemfdFlags::CLOEXEC)?);
        file.set_len(bytes as u64)?;
        let map = MmapOptions::new().len(bytes).map_raw(&file)?;
        Ok(Memory { file, map })
    }

    /// Its first byte.
    pub fn as_ptr(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    /// Its bytes.
    pub fn bytes(&self) -> usize {
        self.map.len()
    }
}

impl AsFd for Memory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Makes memory visible to a card: an IOMMU, or a server that maps it.
pub trait Mapper: Send + Sync {
    /// The addresses that may be mapped.
    fn ranges(&self) -> Vec<RangeInclusive<u64>>;

    /// Makes `memory` visible at `iova`.
    ///
    /// # Safety
    /// The memory stays until [`Mapper::unmap`] has succeeded or the mapper is gone; no reference to its bytes is ever made.
    ///
    /// # Errors
    /// A sentence that says why not, and what to do.
    unsafe fn map(&self, iova: u64, memory: &Memory) -> Result<(), String>;

    /// Ends it; from now on the card cannot reach the memory.
    ///
    /// # Errors
    /// A sentence that says why not. The card may then still reach the memory.
    fn unmap(&self, iova: u64, bytes: usize) -> Result<(), String>;

    /// Whether a card that keeps a mapping keeps its pages with it, so that this program may let go of the memory in any case.
    fn keeps_pages(&self) -> bool {
        false
    }
}

/// The addresses at which a card sees memory.
pub struct DmaSpace {
    device: String,
    mapper: Box<dyn Mapper>,
    ranges: Vec<RangeInclusive<u64>>,
    /// First and last address of every buffer, ascending.
    taken: Mutex<Vec<(u64, u64)>>,
}

impl DmaSpace {
    /// The space of a device.
    pub fn new(device: String, mapper: Box<dyn Mapper>) -> Arc<DmaSpace> {
        Arc::new(DmaSpace {
            device,
            ranges: mapper.ranges(),
            mapper,
            taken: Mutex::default(),
        })
    }

    fn place(&self, bytes: u64) -> Option<u64> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (iova, at) = fit(&self.ranges, &taken, bytes)?;
        taken.insert(at, (iova, iova + (bytes - 1)));
        Some(iova)
    }

    fn give_back(&self, iova: u64) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|(first, _)| *first != iova);
    }

    /// Allocates a buffer of at least `bytes`, zeroed, and maps it.
    ///
    /// # Errors
    /// Memory or addresses are used up, or the mapping is refused.
    pub fn allocate(self: &Arc<Self>, bytes: usize) -> Result<DmaBuffer, Error> {
        let failed = |reason: String| {
            Error::Open(format!(
                "{}: cannot give the card a buffer of {bytes} bytes: {reason}",
                self.device
            ))
        };
        let bytes = bytes.max(1).next_multiple_of(PAGE);
        let memory = Arc::new(Memory::new(bytes).map_err(|e| failed(crate::because(e)))?);
        let iova = self.place(bytes as u64).ok_or_else(|| {
            failed(format!(
                "no room in the addresses that the IOMMU allows, {}",
                spell(&self.ranges)
            ))
        })?;
        // SAFETY: the buffer holds the memory and unmaps it before letting go (see its Drop), and reaches the bytes by pointer only.
        if let Err(reason) = unsafe { self.mapper.map(iova, &memory) } {
            self.give_back(iova);
            return Err(failed(reason));
        }
        Ok(DmaBuffer {
            space: self.clone(),
            memory,
            iova,
        })
    }
}

fn spell(ranges: &[RangeInclusive<u64>]) -> String {
    let each = |r: &RangeInclusive<u64>| format!("0x{:X}..=0x{:X}", r.start(), r.end());
    ranges.iter().map(each).collect::<Vec<_>>().join(", ")
}

/// Where `bytes` (a multiple of a page) fit first: the address, and the place in `taken`, which is ascending.
fn fit(ranges: &[RangeInclusive<u64>], taken: &[(u64, u64)], bytes: u64) -> Option<(u64, usize)> {
    ranges.iter().find_map(|range| {
        let mut from = (*range.start()).max(LOWEST);
        let mut place = 0;
        for (at, (first, last)) in taken.iter().enumerate() {
            let start = from.checked_next_multiple_of(PAGE as u64)?;
            if *last < start {
                place = at + 1;
                continue;
            }
            if start.checked_add(bytes)? <= *first {
                break;
            }
            from = last.checked_add(1)?;
            place = at + 1;
        }
        let start = from.checked_next_multiple_of(PAGE as u64)?;
        let end = start.checked_add(bytes - 1)?;
        (end <= *range.end()).then_some((start, place))
    })
}

/// Memory that the card sees. The card may change it at any time, so it is only ever copied to and from.
pub struct DmaBuffer {
    space: Arc<DmaSpace>,
    memory: Arc<Memory>,
    iova: u64,
}

impl DmaBuffer {
    /// Where the card sees it.
    pub fn iova(&self) -> u64 {
        self.iova
    }

    /// Its bytes.
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Pointer to `bytes` bytes at `offset`.
    ///
    /// # Panics
    /// If they leave the buffer: a mistake of the driver.
    fn at(&self, offset: usize, bytes: usize) -> *mut u8 {
        let end = offset.checked_add(bytes);
        assert!(
            end.is_some_and(|end| end <= self.bytes()),
            "a DMA buffer of {} bytes has no {bytes} bytes at {offset}",
            self.bytes()
        );
        // SAFETY: inside the mapping, by the assertion.
        unsafe { self.memory.as_ptr().add(offset) }
    }

    /// Copies into the buffer.
    ///
    /// # Panics
    /// If the range leaves the buffer.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        let to = self.at(offset, bytes.len());
        // SAFETY: `to` has room for all bytes, and no reference into the mapping exists that `bytes` could be.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
    }

    /// Copies out of the buffer.
    ///
    /// # Panics
    /// If the range leaves the buffer.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        let from = self.at(offset, bytes.len());
        // SAFETY: as for `write`; any bytes are valid, whatever the card does to them meanwhile.
        unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) }
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "words are aligned");
        let at = self.at(offset, 4).cast();
        // SAFETY: aligned (the mapping is by pages), inside the mapping, and alive as long as the buffer; this program reaches it only
        // through the atomic while the reference lives, as `write` takes the buffer mutably.
        unsafe { AtomicU32::from_ptr(at) }
    }

    /// Reads a word that the card writes; what the card wrote before is then visible too.
    ///
    /// # Panics
    /// If the word is not in the buffer or not aligned.
    pub fn load(&self, offset: usize) -> u32 {
        u32::from_le(self.word(offset).load(Ordering::Acquire))
    }

    /// Writes a word that the card writes.
    ///
    /// # Panics
    /// If the word is not in the buffer or not aligned.
    pub fn store(&mut self, offset: usize, value: u32) {
        self.word(offset).store(value.to_le(), Ordering::Release);
    }
}

impl Drop for DmaBuffer {
    fn drop(&mut self) {
        match self.space.mapper.unmap(self.iova, self.bytes()) {
            Ok(()) => self.space.give_back(self.iova),
            // The card may still write there: the address is never used again, nor is the memory unless those are pages of the card's own.
            Err(_) if self.space.mapper.keeps_pages() => {}
            Err(_) => std::mem::forget(self.memory.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps a list of what is mapped; unmapping fails when told to.
    #[derive(Default)]
    struct Log {
        mapped: Mutex<Vec<(u64, usize)>>,
        stuck: bool,
        keeps: bool,
    }

    impl Mapper for Arc<Log> {
        fn ranges(&self) -> Vec<RangeInclusive<u64>> {
            vec![
                0..=0xFFF,
                0x20_0800..=0x20_3FFF,
                0x1_0000_0000..=0x1_0000_FFFF,
            ]
        }
        unsafe fn map(&self, iova: u64, memory: &Memory) -> Result<(), String> {
            self.mapped.lock().unwrap().push((iova, memory.bytes()));
            Ok(())
        }
        fn unmap(&self, iova: u64, bytes: usize) -> Result<(), String> {
            if self.stuck {
                return Err("stuck".into());
            }
            let mut mapped = self.mapped.lock().unwrap();
            let at = mapped.iter().position(|m| *m == (iova, bytes));
            mapped.remove(at.ok_or("not mapped")?);
            Ok(())
        }
        fn keeps_pages(&self) -> bool {
            self.keeps
        }
    }

    #[test]
    fn buffers_stand_in_the_allowed_ranges_and_come_back() {
        let log = Arc::new(Log::default());
        let space = DmaSpace::new("test".into(), Box::new(log.clone()));
        let a = space.allocate(1).unwrap();
        let b = space.allocate(8192).unwrap();
        let c = space.allocate(4096).unwrap();
        assert_eq!([a.iova(), b.iova()], [0x20_1000, 0x20_2000]);
        assert_eq!(c.iova(), 0x1_0000_0000, "the first range has no page left");
        drop(a);
        assert_eq!(space.allocate(5000).err().map(|e| e.to_string()), None);
        let d = space.allocate(4096).unwrap();
        assert_eq!(d.iova(), 0x20_1000, "the page that came back");
        let e = space.allocate(0x1_0000).err().unwrap().to_string();
        assert!(e.contains("test") && e.contains("0x100000000"), "{e}");
        drop((b, c, d));
        assert!(log.mapped.lock().unwrap().is_empty());
    }

    #[test]
    fn bytes_and_words_are_kept() {
        let space = DmaSpace::new("test".into(), Box::new(Arc::new(Log::default())));
        let mut b = space.allocate(100).unwrap();
        b.write(4093, &[1, 2, 3]);
        let mut out = [9; 4];
        b.read(4092, &mut out);
        assert_eq!(out, [0, 1, 2, 3]);
        b.store(8, 0x8000_0001);
        assert_eq!(b.load(8), 0x8000_0001);
    }

    #[test]
    fn memory_that_stays_mapped_is_freed_only_where_the_card_keeps_its_pages() {
        for keeps in [false, true] {
            let stuck = true;
            let log = Log {
                stuck,
                keeps,
                ..Log::default()
            };
            let space = DmaSpace::new("test".into(), Box::new(Arc::new(log)));
            let first = space.allocate(4096).unwrap();
            let memory = Arc::downgrade(&first.memory);
            let iova = first.iova();
            drop(first);
            assert_eq!(memory.upgrade().is_none(), keeps);
            // The address is lost in both cases.
            assert_ne!(space.allocate(4096).unwrap().iova(), iova);
        }
    }
}
