//! A board under the vendor's kernel driver, through its character devices: registers by the user BAR, copies by reads and writes whose
//! file offset is the card address. The kernel pins the program's memory, so data go without a copy.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use memmap2::{MmapOptions, MmapRaw};

use crate::find::Root;
use crate::link::Wake;
use crate::lock::Lock;
use crate::{event, Device, Error};

/// Bytes of the user BAR that are used.
const SPACE: u32 = 4096;
/// Bytes of one call; between two, an interruption is seen.
const CHUNK: usize = 1 << 20;

/// A board.
pub(crate) struct XdmaBoard {
    name: String,
    user: File,
    /// The user BAR, where the driver lets it be mapped; else each access is a call.
    map: Option<MmapRaw>,
    to_card: File,
    from_card: File,
    events: Option<File>,
    memory_bytes: u64,
    stop: Option<Arc<AtomicBool>>,
    _lock: Lock,
}

impl XdmaBoard {
    /// Takes board `number`.
    pub fn open(
        root: &Root,
        number: u32,
        memory_bytes: u64,
        stop: Option<Arc<AtomicBool>>,
    ) -> Result<XdmaBoard, Error> {
        let name = format!("xdma:{number}");
        root.xdma(number)
            .map_err(|problem| Error::Open(format!("{name}: {problem}")))?;
        let node = |part: &str| root.node(format!("xdma{number}_{part}"));
        let lock = Lock::take(&name, &node("user"))?;
        let open = |part: &str, read: bool, write: bool| {
            let file = OpenOptions::new().read(read).write(write).open(node(part));
            file.map_err(|e| {
                Error::Open(format!(
                    "{name}: `{}` cannot be opened: {e}; see `host info`",
                    node(part).display()
                ))
            })
        };
        let user = open("user", true, true)?;
        Ok(XdmaBoard {
            map: MmapOptions::new().len(SPACE as usize).map_raw(&user).ok(),
            user,
            to_card: open("h2c_0", false, true)?,
            from_card: open("c2h_0", true, false)?,
            // A card may have no user interrupts.
            events: open("events_0", true, false).ok(),
            name,
            memory_bytes,
            stop,
            _lock: lock,
        })
    }

    fn register(&self, offset: u32) -> Result<(), Error> {
        if offset.is_multiple_of(4) && offset < SPACE {
            return Ok(());
        }
        Err(Error::BadRegister {
            device: self.name(),
            offset,
            space: SPACE,
        })
    }

    /// The word at an offset that was checked.
    fn word(&self, offset: u32) -> Option<*mut u32> {
        let map = self.map.as_ref()?;
        // SAFETY: the mapping has SPACE bytes.
        Some(unsafe { map.as_mut_ptr().add(offset as usize) }.cast())
    }

    fn get(&self, offset: u32) -> std::io::Result<u32> {
        if let Some(word) = self.word(offset) {
            // SAFETY: aligned, and mapped as long as `self.map` is there; no reference into the mapping is ever made.
            return Ok(u32::from_le(unsafe { word.read_volatile() }));
        }
        let mut word = [0; 4];
        self.user.read_exact_at(&mut word, offset.into())?;
        Ok(u32::from_le_bytes(word))
    }

    fn put(&self, offset: u32, value: u32) -> std::io::Result<()> {
        if let Some(word) = self.word(offset) {
            // SAFETY: as in `get`.
            unsafe { word.write_volatile(value.to_le()) };
            return Ok(());
        }
        self.user.write_all_at(&value.to_le_bytes(), offset.into())
    }

    fn lift(&self, access: &'static str, address: u64, e: &std::io::Error) -> Error {
        let hint = match e.kind() {
            ErrorKind::TimedOut => "; the card did not finish in the driver's time: see `sudo dmesg | grep xdma`, and for a slow simulation load the driver with `h2c_timeout=0 c2h_timeout=0`",
            ErrorKind::InvalidInput => "; the card's DMA wants host and card addresses aligned alike",
            _ => "; see `sudo dmesg | grep xdma`",
        };
        Error::Access {
            device: self.name(),
            access,
            address,
            reason: format!("{e}{hint}"),
        }
    }

    /// Calls `part` with offsets until `bytes` are done; it says how many bytes it moved.
    fn carry(
        &self,
        access: &'static str,
        address: u64,
        bytes: usize,
        mut part: impl FnMut(usize, usize) -> std::io::Result<usize>,
    ) -> Result<(), Error> {
        crate::within(&self.name, address, bytes, self.memory_bytes)?;
        let mut done = 0;
        while done < bytes {
            if self.asked_to_stop() {
                return Err(Error::Interrupted {
                    device: self.name(),
                    what: access.to_owned(),
                });
            }
            let at = address + done as u64;
            match part(done, bytes.min(done + CHUNK)) {
                Ok(0) => {
                    let e = std::io::Error::other("the driver moved no byte");
                    return Err(self.lift(access, at, &e));
                }
                Ok(n) => done += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.lift(access, at, &e)),
            }
        }
        Ok(())
    }
}

impl Device for XdmaBoard {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    fn read_register(&mut self, offset: u32) -> Result<u32, Error> {
        self.register(offset)?;
        let lift = |e: std::io::Error| self.lift("register read", offset.into(), &e);
        let value = self.get(offset).map_err(lift)?;
        // No register of ours reads as ones, and the first never.
        if value == u32::MAX && self.get(0).map_err(lift)? == u32::MAX {
            return Err(Error::Dead {
                device: self.name(),
                what: "the engine's register reads as all ones".into(),
            });
        }
        Ok(value)
    }

    fn write_register(&mut self, offset: u32, value: u32) -> Result<(), Error> {
        self.register(offset)?;
        self.put(offset, value)
            .map_err(|e| self.lift("register write", offset.into(), &e))
    }

    fn copy_in(&mut self, bytes: &[u8], card_address: u64) -> Result<(), Error> {
        self.carry("copy in", card_address, bytes.len(), |from, to| {
            self.to_card
                .write_at(&bytes[from..to], card_address + from as u64)
        })
    }

    fn copy_out(&mut self, card_address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let length = bytes.len();
        self.carry("copy out", card_address, length, |from, to| {
            self.from_card
                .read_at(&mut bytes[from..to], card_address + from as u64)
        })
    }

    /// The driver offers no reset of the card; it stops the DMA itself when a transfer fails. The engine has a reset of its own.
    fn reset(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn wait_interrupt(&mut self, timeout: Duration) -> Result<Wake, Error> {
        use std::os::fd::AsFd;
        let Some(events) = &mut self.events else {
            std::thread::sleep(timeout);
            return Ok(Wake::Timeout);
        };
        let came = event::readable([events.as_fd()], timeout).and_then(|[ready]| {
            if ready {
                events.read_exact(&mut [0; 4])?;
            }
            Ok(ready)
        });
        match came {
            Ok(true) => Ok(Wake::Interrupt),
            Ok(false) => Ok(Wake::Timeout),
            Err(e) => Err(self.lift("wait for interrupt", 0, &e)),
        }
    }

    fn no_interrupts(&mut self) -> Option<String> {
        match self.events {
            Some(_) => None,
            None => Some("the driver has made no device for the card's interrupt".to_owned()),
        }
    }

    fn asked_to_stop(&self) -> bool {
        self.stop
            .as_ref()
            .is_some_and(|stop| stop.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// Files in place of the character devices: card memory is one file under two names.
    fn stand_in(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("device-xdma-{}-{name}", std::process::id()));
        let dev = dir.join("dev");
        std::fs::create_dir_all(&dev).unwrap();
        std::fs::write(dev.join("xdma0_user"), vec![0; SPACE as usize]).unwrap();
        std::fs::write(dev.join("xdma0_h2c_0"), vec![0; 3 << 20]).unwrap();
        std::fs::hard_link(dev.join("xdma0_h2c_0"), dev.join("xdma0_c2h_0")).unwrap();
        dir
    }

    #[test]
    fn registers_and_copies_by_map_and_by_calls() {
        let dir = stand_in("both");
        let root = Root::at(&dir);
        for mapped in [true, false] {
            let mut b = XdmaBoard::open(&root, 0, 3 << 20, None).unwrap();
            assert!(b.map.is_some());
            if !mapped {
                b.map = None;
            }
            b.write_register(0x44, 0x1234_5678).unwrap();
            assert_eq!(b.read_register(0x44).unwrap(), 0x1234_5678);
            assert!(matches!(
                b.read_register(SPACE),
                Err(Error::BadRegister { .. })
            ));
            let data: Vec<u8> = (0..2_500_000).map(|i| (i % 251) as u8).collect();
            b.copy_in(&data, 77).unwrap();
            let mut back = vec![0; data.len()];
            b.copy_out(77, &mut back).unwrap();
            assert!(back == data);
            let e = b.copy_in(&data, 1 << 20).unwrap_err();
            assert!(matches!(e, Error::OutOfMemoryRange { .. }), "{e}");
            b.write_register(0x44, u32::MAX).unwrap();
            assert_eq!(
                b.read_register(0x44).unwrap(),
                u32::MAX,
                "the first word is not ones"
            );
            b.write_register(0, u32::MAX).unwrap();
            assert!(matches!(b.read_register(0x44), Err(Error::Dead { .. })));
            b.write_register(0, 0).unwrap();
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn events_wake() {
        use std::io::Write;
        let dir = stand_in("events");
        let path = dir.join("dev/xdma0_events_0");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let mut writer = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let mut b = XdmaBoard::open(&Root::at(&dir), 0, 4096, None).unwrap();
        assert_eq!(b.no_interrupts(), None);
        let nap = Duration::from_millis(1);
        assert_eq!(b.wait_interrupt(nap).unwrap(), Wake::Timeout);
        writer.write_all(&1u32.to_le_bytes()).unwrap();
        assert_eq!(b.wait_interrupt(nap).unwrap(), Wake::Interrupt);
        assert_eq!(b.wait_interrupt(nap).unwrap(), Wake::Timeout);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_second_program_and_an_interruption_are_told() {
        let dir = stand_in("busy");
        let root = Root::at(&dir);
        let stop = Arc::new(AtomicBool::new(false));
        let mut b = XdmaBoard::open(&root, 0, 4096, Some(stop.clone())).unwrap();
        let e = XdmaBoard::open(&root, 0, 4096, None)
            .err()
            .unwrap()
            .to_string();
        assert!(
            e.contains("xdma:0") && e.contains("in use by process"),
            "{e}"
        );
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(b.copy_in(&[1], 0), Err(Error::Interrupted { .. })));
        let e = XdmaBoard::open(&root, 5, 4096, None)
            .err()
            .unwrap()
            .to_string();
        assert!(
            e.contains("xdma5_user") && e.contains("modprobe xdma"),
            "{e}"
        );
        std::fs::remove_dir_all(dir).unwrap();
    }
}
