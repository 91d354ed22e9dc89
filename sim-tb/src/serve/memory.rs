//! The client's memory as it was mapped for the card: I/O virtual ranges, each with a file behind it or reached by messages.
//!
//! Files are read and written with `pread` and `pwrite`, not mapped: no limit on mappings, and a client that cuts its file short gives
//! an error, not a signal. The cost, a system call for each packet, is small beside simulating the packet. Maps of the same file
//! share one descriptor, since a guest may map single pages by the thousand.

use rustix::fs::{fcntl_getfl, fstat, OFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Weak};
use vfio_user::message::{DmaMap, DmaUnmap, DMA_READ, DMA_WRITE, UNMAP_ALL};
use vfio_user::Errno;

/// Maps at most, as the protocol's default for `max_dma_maps`.
const MAPS: usize = 65535;

#[derive(Debug)]
struct Map {
    /// Its last address; ranges may reach the end of the address space.
    last: u64,
    flags: u32,
    file: Option<Arc<File>>,
    offset: u64,
}

/// What to do for the first part of an access.
#[derive(Debug)]
pub enum Part {
    /// Done, so many bytes.
    Done(usize),
    /// So many bytes are to be asked from the client.
    Ask(usize),
}

/// Device, inode and access mode: the same for descriptors that can share.
type Key = (u64, u64, u32);

/// The maps of one session.
#[derive(Debug, Default)]
pub struct Maps {
    maps: BTreeMap<u64, Map>,
    files: BTreeMap<Key, Weak<File>>,
}

fn last(address: u64, size: u64) -> Result<u64, Errno> {
    let last = size.checked_sub(1).and_then(|s| address.checked_add(s));
    last.ok_or(Errno::EINVAL)
}

impl Maps {
    /// Adds a range.
    ///
    /// # Errors
    /// The range is empty, wraps, or overlaps another; or there are too many.
    pub fn map(&mut self, map: &DmaMap, fd: Option<OwnedFd>) -> Result<(), Errno> {
        let last = last(map.address, map.size)?;
        if map.flags & !(DMA_READ | DMA_WRITE) != 0 || map.offset.checked_add(map.size).is_none() {
            return Err(Errno::EINVAL);
        }
        if self.maps.len() >= MAPS {
            return Err(Errno::ENOSPC);
        }
        let before = self.maps.range(..=last).next_back();
        if before.is_some_and(|(_, m)| m.last >= map.address) {
            return Err(Errno::EEXIST);
        }
        let file = fd.map(|fd| self.share(fd)).transpose()?;
        let map_of = Map {
            last,
            flags: map.flags,
            file,
            offset: map.offset,
        };
        self.maps.insert(map.address, map_of);
        Ok(())
    }

    /// Removes every map inside the range; there need be none.
    ///
    /// # Errors
    /// The range is empty or wraps, or would cut a map in two.
    pub fn unmap(&mut self, unmap: &DmaUnmap) -> Result<(), Errno> {
        match unmap.flags {
            UNMAP_ALL if unmap.address == 0 && unmap.size == 0 => {
                *self = Maps::default();
                return Ok(());
            }
            0 => {}
            _ => return Err(Errno::EINVAL),
        }
        let last = last(unmap.address, unmap.size)?;
        let before = self.maps.range(..unmap.address).next_back();
        if before.is_some_and(|(_, m)| m.last >= unmap.address) {
            return Err(Errno::EINVAL);
        }
        let inside = self.maps.range(unmap.address..=last);
        if inside
            .clone()
            .next_back()
            .is_some_and(|(_, m)| m.last > last)
        {
            return Err(Errno::EINVAL);
        }
        let starts: Vec<u64> = inside.map(|(start, _)| *start).collect();
        for start in &starts {
            self.maps.remove(start);
        }
        if !starts.is_empty() {
            self.files.retain(|_, file| file.strong_count() > 0);
        }
        Ok(())
    }

    fn share(&mut self, fd: OwnedFd) -> Result<Arc<File>, Errno> {
        let lift = |e: rustix::io::Errno| Errno(e.raw_os_error() as u32);
        let stat = fstat(&fd).map_err(lift)?;
        let mode = fcntl_getfl(&fd).map_err(lift)? & OFlags::ACCMODE;
        let key = (stat.st_dev, stat.st_ino, mode.bits());
        if let Some(file) = self.files.get(&key).and_then(Weak::upgrade) {
            return Ok(file);
        }
        let file = Arc::new(File::from(fd));
        self.files.insert(key, Arc::downgrade(&file));
        Ok(file)
    }

    /// The map at `iova` if it allows `flag`: where in it, and how many of `bytes` it holds.
    fn find(&self, iova: u64, bytes: usize, flag: u32) -> Option<(&Map, u64, usize)> {
        let (start, map) = self.maps.range(..=iova).next_back()?;
        if map.last < iova || map.flags & flag == 0 {
            return None;
        }
        let there = (map.last - iova).saturating_add(1);
        let part = usize::try_from(there).map_or(bytes, |n| n.min(bytes));
        Some((map, iova - start, part))
    }

    /// Reads as much as lies in one map. None: nothing is mapped for reading there, or the file does not hold it.
    pub fn read(&self, iova: u64, bytes: &mut [u8]) -> Option<Part> {
        let (map, at, part) = self.find(iova, bytes.len(), DMA_READ)?;
        let Some(file) = &map.file else {
            return Some(Part::Ask(part));
        };
        file.read_exact_at(&mut bytes[..part], map.offset + at)
            .ok()?;
        Some(Part::Done(part))
    }

    /// Writes as much as lies in one map; as [`Maps::read`].
    pub fn write(&self, iova: u64, bytes: &[u8]) -> Option<Part> {
        let (map, at, part) = self.find(iova, bytes.len(), DMA_WRITE)?;
        let Some(file) = &map.file else {
            return Some(Part::Ask(part));
        };
        file.write_all_at(&bytes[..part], map.offset + at).ok()?;
        Some(Part::Done(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{ftruncate, memfd_create, MemfdFlags};

    const RW: u32 = DMA_READ | DMA_WRITE;

    fn map(address: u64, size: u64, offset: u64, flags: u32) -> DmaMap {
        DmaMap {
            argsz: 32,
            flags,
            offset,
            address,
            size,
        }
    }
    fn unmap(address: u64, size: u64) -> DmaUnmap {
        DmaUnmap {
            argsz: 24,
            flags: 0,
            address,
            size,
        }
    }
    fn memory(size: u64) -> OwnedFd {
        let fd = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&fd, size).unwrap();
        fd
    }

    #[test]
    fn accesses_reach_their_place_in_the_file_and_end_with_the_map() {
        let mut maps = Maps::default();
        let fd = memory(0x3000);
        let other = fd.try_clone().unwrap();
        maps.map(&map(0x10_0000, 0x1000, 0x2000, RW), Some(fd))
            .unwrap();
        maps.map(&map(0x10_1000, 0x1000, 0, DMA_READ), Some(other))
            .unwrap();
        assert_eq!(maps.files.len(), 1);
        assert!(matches!(
            maps.write(0x10_0FFE, &[1, 2, 3]),
            Some(Part::Done(2))
        ));
        assert!(maps.write(0x10_1000, &[3]).is_none());
        let mut back = [0; 4];
        assert!(matches!(
            maps.read(0x10_0FFC, &mut back),
            Some(Part::Done(4))
        ));
        assert_eq!(back, [0, 0, 1, 2]);
        assert!(matches!(
            maps.read(0x10_1FFF, &mut back),
            Some(Part::Done(1))
        ));
        assert!(maps.read(0x10_2000, &mut back).is_none());
        assert!(maps.read(0xF_FFFF, &mut back).is_none());
    }

    #[test]
    fn a_file_that_is_too_short_is_a_fault() {
        let mut maps = Maps::default();
        maps.map(&map(0, 0x2000, 0, RW), Some(memory(0x1000)))
            .unwrap();
        assert!(maps.read(0xFFF, &mut [0; 2]).is_none());
        assert!(matches!(maps.read(0xFFF, &mut [0; 1]), Some(Part::Done(1))));
    }

    #[test]
    fn ranges_without_a_file_are_asked_for() {
        let mut maps = Maps::default();
        maps.map(&map(0x1000, 0x1000, 0, DMA_READ), None).unwrap();
        assert!(matches!(
            maps.read(0x1800, &mut [0; 0x1000]),
            Some(Part::Ask(0x800))
        ));
        assert!(maps.write(0x1800, &[0]).is_none());
    }

    #[test]
    fn overlaps_and_odd_ranges_are_refused() {
        let mut maps = Maps::default();
        maps.map(&map(0x1000, 0x2000, 0, RW), None).unwrap();
        for (address, size, errno) in [
            (0x1000, 0x2000, Errno::EEXIST),
            (0x0, 0x1001, Errno::EEXIST),
            (0x2FFF, 1, Errno::EEXIST),
            (0, u64::MAX, Errno::EEXIST),
            (0x4000, 0, Errno::EINVAL),
            (u64::MAX, 2, Errno::EINVAL),
        ] {
            let e = maps.map(&map(address, size, 0, RW), None);
            assert_eq!(e, Err(errno), "{address:x} {size:x}");
        }
        assert_eq!(
            maps.map(&map(0, 0x1000, u64::MAX, RW), None),
            Err(Errno::EINVAL)
        );
        assert_eq!(maps.map(&map(0, 0x1000, 0, 8), None), Err(Errno::EINVAL));
        // To the very end.
        maps.map(&map(u64::MAX, 1, 0, RW), None).unwrap();
        assert!(matches!(
            maps.read(u64::MAX, &mut [0; 2]),
            Some(Part::Ask(1))
        ));
    }

    #[test]
    fn unmapping_takes_whole_maps_any_number_of_them() {
        let mut maps = Maps::default();
        for n in 0..512 {
            maps.map(&map(n << 12, 0x1000, 0, RW), Some(memory(0x1000)))
                .unwrap();
        }
        // As a virtual IOMMU does at its start: everything in two halves.
        maps.unmap(&unmap(1 << 63, 1 << 63)).unwrap();
        assert_eq!(maps.maps.len(), 512);
        assert_eq!(maps.unmap(&unmap(0x800, 0x1000)), Err(Errno::EINVAL));
        assert_eq!(maps.unmap(&unmap(0, 0x1800)), Err(Errno::EINVAL));
        assert_eq!(maps.unmap(&unmap(0, 0)), Err(Errno::EINVAL));
        maps.unmap(&unmap(0, 0x2000)).unwrap();
        assert_eq!((maps.maps.len(), maps.files.len()), (510, 510));
        maps.unmap(&unmap(0, 1 << 63)).unwrap();
        assert_eq!((maps.maps.len(), maps.files.len()), (0, 0));
        maps.map(&map(0, 0x1000, 0, RW), None).unwrap();
        let all = DmaUnmap {
            flags: UNMAP_ALL,
            ..unmap(0, 0)
        };
        maps.unmap(&all).unwrap();
        assert!(maps.maps.is_empty());
    }

    #[test]
    fn maps_are_limited() {
        let mut maps = Maps::default();
        for n in 0..MAPS as u64 {
            maps.map(&map(n, 1, 0, RW), None).unwrap();
        }
        assert_eq!(maps.map(&map(1 << 40, 1, 0, RW), None), Err(Errno::ENOSPC));
    }
}
