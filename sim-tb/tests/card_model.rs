//! The driver of the DMA registers on the plain model of the card, without a socket or a kernel between them.

use std::fs::File;
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abi::config::TINY;
use device::board::PciBoard;
use device::buffer::{DmaSpace, Mapper, Memory};
use device::link::{Link, Wake};
use device::{Device, Error};
use sim_tb::card_model::CardModel;
use sim_tb::function::{Fault, Function, Host};
use sim_tb::rng::Rng;

/// What is mapped, and the vectors that fired.
#[derive(Default)]
struct Platform {
    mapped: Mutex<Vec<(u64, u64, File)>>,
    fired: Mutex<Vec<u32>>,
    /// The card's writes go nowhere, as when the memory of a guest is not shared.
    deaf: AtomicBool,
}

impl Platform {
    fn each(
        &self,
        iova: u64,
        bytes: usize,
        write: bool,
        access: &mut dyn FnMut(&File, u64, std::ops::Range<usize>),
    ) -> Result<(), Fault> {
        let mut done = 0;
        while done < bytes {
            let at = iova + done as u64;
            let mapped = self.mapped.lock().unwrap();
            let found = mapped
                .iter()
                .find(|(first, size, _)| (*first..first + size).contains(&at));
            let Some((first, size, file)) = found else {
                return Err(Fault { iova, bytes, write });
            };
            let part = (bytes - done).min((first + size - at) as usize);
            access(file, at - first, done..done + part);
            done += part;
        }
        Ok(())
    }
}

struct Shared(Arc<Platform>);

impl Host for Shared {
    fn read(&mut self, iova: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let n = bytes.len();
        self.0.each(iova, n, false, &mut |file, at, part| {
            file.read_exact_at(&mut bytes[part], at).unwrap()
        })
    }
    fn write(&mut self, iova: u64, bytes: &[u8]) -> Result<(), Fault> {
        if self.0.deaf.load(Ordering::Relaxed) {
            return Ok(());
        }
        let n = bytes.len();
        self.0.each(iova, n, true, &mut |file, at, part| {
            file.write_all_at(&bytes[part], at).unwrap()
        })
    }
    fn interrupt(&mut self, vector: u32) {
        self.0.fired.lock().unwrap().push(vector);
    }
}

impl Mapper for Shared {
    fn ranges(&self) -> Vec<RangeInclusive<u64>> {
        // Buffers begin high, and not at the start of the range.
        vec![0xF_FFFF_F800..=0xFFFF_FFFF_FFFF]
    }
    unsafe fn map(&self, iova: u64, memory: &Memory) -> Result<(), String> {
        let file = File::from(memory.as_fd().try_clone_to_owned().unwrap());
        self.0
            .mapped
            .lock()
            .unwrap()
            .push((iova, memory.bytes() as u64, file));
        Ok(())
    }
    fn unmap(&self, iova: u64, bytes: usize) -> Result<(), String> {
        let mut mapped = self.0.mapped.lock().unwrap();
        let at = mapped
            .iter()
            .position(|m| (m.0, m.1) == (iova, bytes as u64));
        mapped.remove(at.ok_or("not mapped")?);
        Ok(())
    }
}

/// A link without a wire: time passes for the card while the driver waits.
struct Wireless {
    card: Arc<Mutex<CardModel>>,
    platform: Arc<Platform>,
    space: Arc<DmaSpace>,
    silent: Option<&'static str>,
    /// Whoever is asked answers with ones.
    dead: Arc<AtomicBool>,
}

impl Link for Wireless {
    fn name(&self) -> String {
        "wireless".into()
    }
    fn bar_bytes(&self, bar: usize) -> u64 {
        let bars = self.card.lock().unwrap().bars();
        bars[bar].map_or(0, |bar| bar.size)
    }
    fn read(&mut self, bar: usize, offset: u64) -> Result<u32, Error> {
        if self.dead.load(Ordering::Relaxed) {
            return Ok(u32::MAX);
        }
        let mut word = [0; 4];
        let mut host = Shared(self.platform.clone());
        let mut card = self.card.lock().unwrap();
        card.bar_read(&mut host, bar, offset, &mut word).unwrap();
        Ok(u32::from_le_bytes(word))
    }
    fn write(&mut self, bar: usize, offset: u64, value: u32) -> Result<(), Error> {
        let mut host = Shared(self.platform.clone());
        let mut card = self.card.lock().unwrap();
        card.bar_write(&mut host, bar, offset, &value.to_le_bytes())
            .unwrap();
        Ok(())
    }
    fn read_config(&mut self, offset: u16) -> Result<u32, Error> {
        let mut word = [0; 4];
        let mut host = Shared(self.platform.clone());
        let mut card = self.card.lock().unwrap();
        card.config_read(&mut host, offset.into(), &mut word)
            .unwrap();
        Ok(u32::from_le_bytes(word))
    }
    fn write_config(&mut self, offset: u16, value: u16) -> Result<(), Error> {
        let mut host = Shared(self.platform.clone());
        let mut card = self.card.lock().unwrap();
        card.config_write(&mut host, offset.into(), &value.to_le_bytes())
            .unwrap();
        Ok(())
    }
    fn dma(&self) -> Arc<DmaSpace> {
        self.space.clone()
    }
    fn reset(&mut self) -> Result<(), Error> {
        let mut host = Shared(self.platform.clone());
        self.card.lock().unwrap().reset(&mut host).unwrap();
        Ok(())
    }
    fn no_interrupts(&self) -> Option<&str> {
        self.silent
    }
    fn wait_interrupt(&mut self, vector: u32, _: Duration) -> Result<Wake, Error> {
        if !self.dead.load(Ordering::Relaxed) {
            let mut host = Shared(self.platform.clone());
            self.card.lock().unwrap().run(&mut host).unwrap();
        }
        let mut fired = self.platform.fired.lock().unwrap();
        let before = fired.len();
        fired.retain(|v| *v != vector);
        Ok(if fired.len() < before {
            Wake::Interrupt
        } else {
            Wake::Timeout
        })
    }
}

struct Bench {
    board: PciBoard,
    card: Arc<Mutex<CardModel>>,
    platform: Arc<Platform>,
    dead: Arc<AtomicBool>,
}

fn bench(silent: Option<&'static str>, stop: Option<Arc<AtomicBool>>) -> Bench {
    let platform = Arc::new(Platform::default());
    let mut model = CardModel::new(TINY).unwrap();
    model
        .enable_interrupts(&mut Shared(platform.clone()), silent.is_none())
        .unwrap();
    let card = Arc::new(Mutex::new(model));
    let dead = Arc::new(AtomicBool::new(false));
    let link = Wireless {
        card: card.clone(),
        platform: platform.clone(),
        space: DmaSpace::new("wireless".into(), Box::new(Shared(platform.clone()))),
        silent,
        dead: dead.clone(),
    };
    let board = PciBoard::new(Box::new(link), TINY.memory_bytes, stop).unwrap();
    Bench {
        board,
        card,
        platform,
        dead,
    }
}

#[test]
fn registers_answer_and_copies_come_back() {
    for silent in [None, Some("polled")] {
        let Bench {
            mut board,
            platform,
            ..
        } = bench(silent, None);
        assert_eq!(board.read_register(0).unwrap(), abi::MAGIC);
        let mut rng = Rng::new(7);
        let sizes = [
            1,
            10,
            127,
            128,
            1021,
            4096,
            4099,
            65_537,
            1 << 20,
            (2 << 20) + 3,
        ];
        for (i, size) in sizes.into_iter().enumerate() {
            let data: Vec<u8> = (0..size + 64).map(|_| rng.next() as u8).collect();
            let (skew, at) = (i % 5, 4091 * i as u64);
            board.copy_in(&data[skew..skew + size], at).unwrap();
            let mut back = vec![0; size + 64];
            let other = 63 - skew;
            board.copy_out(at, &mut back[other..other + size]).unwrap();
            assert_eq!(
                back[other..other + size],
                data[skew..skew + size],
                "{size} bytes"
            );
        }
        board.reset().unwrap();
        let mut one = [0];
        board.copy_out(0, &mut one).unwrap();
        assert_eq!(board.link_rate().unwrap().unwrap().payload, 128);
        drop(board);
        assert!(
            platform.mapped.lock().unwrap().is_empty(),
            "everything was unmapped"
        );
    }
}

#[test]
fn the_engines_interrupt_is_one_message_per_edge() {
    use abi::registers::offset;
    let Bench { mut board, .. } = bench(None, None);
    let nap = Duration::from_millis(1);
    board.write_register(offset("RING_LOG2"), 2).unwrap();
    board.write_register(offset("CONTROL"), 2).unwrap();
    assert_eq!(board.wait_interrupt(nap).unwrap(), Wake::Timeout);
    let command = abi::Command {
        flags: abi::command::FLAG_IRQ,
        done_addr: 0x1000,
        ..abi::Command::default()
    };
    for slot in 0..3 {
        let at = slot * abi::command::COMMAND_STRIDE;
        board.copy_in(&command.to_bytes(), at).unwrap();
    }
    board.write_register(offset("TAIL"), 1).unwrap();
    assert_eq!(board.wait_interrupt(nap).unwrap(), Wake::Interrupt);
    board.write_register(offset("TAIL"), 2).unwrap();
    assert_eq!(
        board.wait_interrupt(nap).unwrap(),
        Wake::Timeout,
        "still pending: no edge"
    );
    board.write_register(offset("IRQ_PENDING"), 1).unwrap();
    board.write_register(offset("TAIL"), 3).unwrap();
    assert_eq!(board.wait_interrupt(nap).unwrap(), Wake::Interrupt);
}

#[test]
fn what_goes_wrong_is_said() {
    // Memory that the card's writes do not reach.
    let Bench {
        mut board,
        platform,
        ..
    } = bench(None, None);
    platform.deaf.store(true, Ordering::Relaxed);
    let e = board.copy_in(&[1; 100], 64).unwrap_err().to_string();
    assert!(
        e.contains("share=on") && e.contains("to card address 0x40, 100 bytes"),
        "{e}"
    );
    let e = board.copy_in(&[1; 100], 64).unwrap_err().to_string();
    assert!(e.contains("reset the board"), "{e}");
    platform.deaf.store(false, Ordering::Relaxed);
    board.reset().unwrap();
    board.copy_in(&[1; 100], 64).unwrap();

    // A card whose memory is smaller than its manifest says.
    let Bench {
        board,
        platform,
        card,
        dead,
    } = bench(None, None);
    drop(board);
    let space = DmaSpace::new("wireless".into(), Box::new(Shared(platform.clone())));
    let link = Wireless {
        card,
        platform,
        space,
        silent: None,
        dead,
    };
    let mut board = PciBoard::new(Box::new(link), 2 * TINY.memory_bytes, None).unwrap();
    let e = board
        .copy_in(&[1; 100], TINY.memory_bytes)
        .unwrap_err()
        .to_string();
    assert!(e.contains("decode error while writing card memory"), "{e}");
    let e = board
        .copy_out(TINY.memory_bytes, &mut [0; 9])
        .unwrap_err()
        .to_string();
    assert!(e.contains("decode error while reading card memory"), "{e}");
    let e = board
        .copy_out(2 * TINY.memory_bytes, &mut [0; 9])
        .unwrap_err();
    assert!(matches!(e, Error::OutOfMemoryRange { .. }), "{e}");
}

#[test]
fn a_dead_card_is_an_error() {
    let Bench {
        mut board, dead, ..
    } = bench(None, None);
    dead.store(true, Ordering::Relaxed);
    for e in [
        board.read_register(0).unwrap_err(),
        board.copy_in(&[1; 5], 0).unwrap_err(),
    ] {
        assert!(matches!(e, Error::Dead { .. }), "{e}");
        assert!(e.to_string().contains("host info"), "{e}");
    }
}

#[test]
fn a_transfer_can_be_interrupted() {
    let stop = Arc::new(AtomicBool::new(false));
    let Bench {
        mut board, card, ..
    } = bench(None, Some(stop.clone()));
    // Descriptors are halted, so the transfer does not go on.
    let mut nowhere = Shared(Arc::default());
    let halt = 0x1_0001u32.to_le_bytes();
    card.lock()
        .unwrap()
        .bar_write(&mut nowhere, 1, 0x6010, &halt)
        .unwrap();
    stop.store(true, Ordering::Relaxed);
    let e = board.copy_in(&[1; 5], 0).unwrap_err();
    assert!(matches!(e, Error::Interrupted { .. }), "{e}");
}
