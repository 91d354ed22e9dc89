//! The vfio-user server with a small function behind it: against a client that is not ours, and against clients that misbehave.

use rustix::event::{eventfd, EventfdFlags, PollFlags};
use rustix::fs::{ftruncate, memfd_create, MemfdFlags};
use sim_tb::function::{check, Bar, Error, Function, Host, Progress, Space};
use sim_tb::rng::Rng;
use sim_tb::serve::Server;
use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use vfio_user::message::*;
use vfio_user::{Errno, Kind, Message, Receiver, Sender};
use vfio_user_peer as peer;

const SOON: Duration = Duration::from_secs(10);
/// Registers of the function: a copy within host memory.
const FROM: u64 = 0x100;
const TO: u64 = 0x108;
const BYTES: u64 = 0x110;
const GO: u64 = 0x118;
const FAULTS: u64 = 0x120;
const BREAK: u64 = 0x128;

/// BAR0: registers; BAR1 with the MSI-X table; BAR2 and 3: memory.
struct Copier {
    config: Vec<u8>,
    registers: Vec<u8>,
    other: Vec<u8>,
    memory: Vec<u8>,
    listening: bool,
    broken: bool,
}

impl Copier {
    fn new() -> Copier {
        let mut config = vec![0; 4096];
        config[0..4].copy_from_slice(&[0xEE, 0x10, 0x11, 0x90]);
        config[6] = 0x10;
        config[0x34] = 0x40;
        config[0x3D] = 1;
        config[0x40..0x44].copy_from_slice(&[0x05, 0x60, 0x80, 0]);
        config[0x60..0x64].copy_from_slice(&[0x11, 0, 31, 0]);
        Copier {
            config,
            registers: vec![0; 4096],
            other: vec![0; 65536],
            memory: vec![0; 1 << 16],
            listening: false,
            broken: false,
        }
    }
    fn register(&self, at: u64) -> u64 {
        let at = at as usize;
        u64::from_le_bytes(self.registers[at..at + 8].try_into().unwrap())
    }
    fn bar(&mut self, n: usize, at: u64, bytes: usize) -> Result<&mut [u8], Error> {
        let bar = match n {
            0 => &mut self.registers,
            1 => &mut self.other,
            2 => &mut self.memory,
            _ => return Err(check(Space::Bar(n), 0, at, bytes).unwrap_err()),
        };
        check(Space::Bar(n), bar.len() as u64, at, bytes)?;
        match self.broken {
            true => Err(Error::Broken("cycle 7: it was asked to break".into())),
            false => Ok(&mut bar[at as usize..at as usize + bytes]),
        }
    }
}

impl Function for Copier {
    fn bars(&self) -> [Option<Bar>; 6] {
        let bar = |size, wide| {
            Some(Bar {
                size,
                wide,
                prefetchable: wide,
            })
        };
        [
            bar(4096, false),
            bar(65536, false),
            bar(1 << 16, true),
            None,
            None,
            None,
        ]
    }
    fn vectors(&self) -> u32 {
        32
    }
    fn msix_area(&self) -> (usize, [Range<u64>; 2]) {
        (1, [0x8000..0x8200, 0x8FE0..0x8FE8])
    }
    fn config_read(&mut self, _: &mut dyn Host, at: usize, bytes: &mut [u8]) -> Result<(), Error> {
        bytes.copy_from_slice(&self.config[at..at + bytes.len()]);
        Ok(())
    }
    fn config_write(&mut self, _: &mut dyn Host, at: usize, bytes: &[u8]) -> Result<(), Error> {
        self.config[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
    fn bar_read(
        &mut self,
        _: &mut dyn Host,
        bar: usize,
        at: u64,
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        bytes.copy_from_slice(self.bar(bar, at, bytes.len())?);
        Ok(())
    }
    fn bar_write(
        &mut self,
        _: &mut dyn Host,
        bar: usize,
        at: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.bar(bar, at, bytes.len())?.copy_from_slice(bytes);
        self.broken |= self.register(BREAK) != 0;
        Ok(())
    }
    fn enable_interrupts(&mut self, _: &mut dyn Host, on: bool) -> Result<(), Error> {
        self.listening = on;
        Ok(())
    }
    fn reset(&mut self, _: &mut dyn Host) -> Result<(), Error> {
        self.registers.fill(0);
        Ok(())
    }
    /// Copies when asked to; the vector raised is GO - 1.
    fn run(&mut self, host: &mut dyn Host) -> Result<Progress, Error> {
        let go = self.register(GO);
        if go == 0 {
            return Ok(Progress::Idle);
        }
        assert!(go != 99, "a panic was asked for");
        let mut bytes = vec![0; self.register(BYTES) as usize];
        let from = host.read(self.register(FROM), &mut bytes);
        let result = from.and_then(|()| host.write(self.register(TO), &bytes));
        self.registers[FAULTS as usize] += u8::from(result.is_err());
        self.registers[GO as usize..][..8].fill(0);
        if self.listening {
            host.interrupt(go as u32 - 1);
        }
        Ok(Progress::Busy)
    }
}

/// A server on a thread; ends when dropped.
struct Running {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn serve(name: &str) -> Running {
    let name = format!("sim-tb-{name}-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let server = Server::bind(&path).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let run = move || server.run(|| Ok(Box::new(Copier::new())), &flag).unwrap();
    Running {
        path,
        stop,
        thread: Some(std::thread::spawn(run)),
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(std::thread::panicking() || ended.is_ok());
        assert!(std::thread::panicking() || !self.path.exists());
    }
}

/// Our side of the wire, for what other clients do not do.
struct Raw {
    tx: Sender,
    rx: Receiver,
    id: u16,
    /// Answers for ranges without a descriptor: address 0 on.
    memory: Vec<u8>,
    asked: usize,
}

impl Raw {
    fn connect(server: &Running) -> Raw {
        let (tx, rx) = vfio_user::pair(UnixStream::connect(&server.path).unwrap()).unwrap();
        Raw {
            tx,
            rx,
            id: 0,
            memory: vec![0; 0x4000],
            asked: 0,
        }
    }
    fn open(server: &Running) -> Raw {
        let mut raw = Raw::connect(server);
        let caps = Capabilities {
            max_msg_fds: 8,
            max_data_xfer_size: 256,
        };
        let answer = raw.call(Command::Version, &caps.to_body(), &[]).unwrap();
        assert_eq!(Capabilities::from_body(&answer), Some(Capabilities::OURS));
        raw
    }
    fn send(&mut self, command: u16, reply: bool, body: &[u8], fds: &[BorrowedFd]) {
        self.id += 1;
        let kind = Kind::Request { reply };
        self.tx
            .send(self.id, command, kind, &[body], fds, SOON)
            .unwrap();
    }
    /// The reply, answering what the server asks meanwhile.
    fn receive(&mut self) -> Result<Message, vfio_user::Error> {
        loop {
            let m = self.rx.wait(SOON)?;
            let Kind::Request { .. } = m.kind else {
                return Ok(m);
            };
            let (access, data) = DmaAccess::parse(&m.body).unwrap();
            assert!(access.count <= 256);
            self.asked += 1;
            let range = access.address as usize..(access.address + access.count) as usize;
            let head = access.to_bytes();
            let (kind, memory) = (Kind::Reply { error: None }, &mut self.memory[range]);
            let back = match Command::from_number(m.command) {
                Some(Command::DmaRead) => &*memory,
                Some(Command::DmaWrite) => {
                    memory.copy_from_slice(data);
                    &[]
                }
                other => panic!("{other:?}"),
            };
            self.tx
                .send(m.id, m.command, kind, &[&head, back], &[], SOON)?;
        }
    }
    fn call(
        &mut self,
        command: Command,
        body: &[u8],
        fds: &[BorrowedFd],
    ) -> Result<Vec<u8>, Errno> {
        self.send(command as u16, true, body, fds);
        let m = self.receive().unwrap();
        assert_eq!((m.id, m.command), (self.id, command as u16));
        match m.kind {
            Kind::Reply { error: Some(e) } => Err(e),
            _ => Ok(m.body),
        }
    }
    fn read(&mut self, region: u32, offset: u64, count: u32) -> Result<Vec<u8>, Errno> {
        let access = RegionAccess {
            offset,
            region,
            count,
        };
        let body = self.call(Command::RegionRead, &access.to_bytes(), &[])?;
        let (back, data) = RegionAccess::parse(&body).unwrap();
        assert_eq!((back, data.len()), (access, count as usize));
        Ok(data.to_vec())
    }
    fn write_body(region: u32, offset: u64, data: &[u8]) -> Vec<u8> {
        let access = RegionAccess {
            offset,
            region,
            count: data.len() as u32,
        };
        [&access.to_bytes(), data].concat()
    }
    fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let body = Self::write_body(region, offset, data);
        self.call(Command::RegionWrite, &body, &[]).map(|_| ())
    }
    fn post(&mut self, region: u32, offset: u64, data: &[u8]) {
        let body = Self::write_body(region, offset, data);
        self.send(Command::RegionWrite as u16, false, &body, &[]);
    }
    fn map(&mut self, address: u64, size: u64, fd: Option<BorrowedFd>) -> Result<(), Errno> {
        let map = DmaMap {
            argsz: 32,
            flags: DMA_READ | DMA_WRITE,
            offset: 0,
            address,
            size,
        };
        let fds = fd.as_slice();
        self.call(Command::DmaMap, &map.to_bytes(), fds).map(|_| ())
    }
    fn copy(&mut self, from: u64, to: u64, bytes: u64, vector: u64) -> Result<(), Errno> {
        for (at, value) in [(FROM, from), (TO, to), (BYTES, bytes), (GO, vector + 1)] {
            self.write(0, at, &value.to_le_bytes())?;
        }
        while self.read(0, GO, 1)? != [0] {}
        Ok(())
    }
}

fn memory(size: u64) -> File {
    let fd = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, size).unwrap();
    fd.into()
}

fn event() -> File {
    eventfd(0, EventfdFlags::CLOEXEC).unwrap().into()
}

fn wait_event(event: &mut File) {
    assert!(vfio_user::ready(event.as_fd(), PollFlags::IN, SOON).unwrap());
    event.read_exact(&mut [0; 8]).unwrap();
}

#[test]
fn a_client_that_is_not_ours_uses_every_part() {
    let server = serve("peer");
    let mut c = peer::Client::new(&server.path).unwrap();
    let sizes: Vec<u64> = (0..9).map(|n| c.region(n).unwrap().size).collect();
    assert_eq!(sizes, [4096, 65536, 65536, 0, 0, 0, 0, 4096, 0]);
    let counts: Vec<u32> = (0..5).map(|n| c.get_irq_info(n).unwrap().count).collect();
    assert_eq!(counts, [0, 0, 32, 1, 1]);
    let mut id = [0; 4];
    c.region_read(7, 0, &mut id).unwrap();
    assert_eq!(id, [0xEE, 0x10, 0x11, 0x90]);
    for width in [1, 2, 4, 8, 64] {
        let data: Vec<u8> = (0..width).map(|n| n as u8 + width as u8).collect();
        c.region_write(2, 4096 + width, &data).unwrap();
        let mut back = vec![0; width as usize];
        c.region_read(2, 4096 + width, &mut back).unwrap();
        assert_eq!(back, data);
    }
    let ram = memory(0x4000);
    ram.write_all_at(b"by the card", 0x1000).unwrap();
    c.dma_map(0, 0x10_0000, 0x4000, ram.as_raw_fd()).unwrap();
    let mut irq = event();
    let listen = IRQ_DATA_EVENTFD | IRQ_ACTION_TRIGGER;
    c.set_irqs(PCI_MSIX, listen, 3, 1, &[irq.as_raw_fd()])
        .unwrap();
    for (at, value) in [(FROM, 0x10_1000u64), (TO, 0x10_2FFF), (BYTES, 11), (GO, 4)] {
        c.region_write(0, at, &value.to_le_bytes()).unwrap();
    }
    wait_event(&mut irq);
    let mut got = [0; 11];
    ram.read_exact_at(&mut got, 0x2FFF).unwrap();
    assert_eq!(&got, b"by the card");
    c.dma_unmap(0x10_0000, 0x4000).unwrap();
    c.region_write(0, GO, &[4]).unwrap();
    wait_event(&mut irq);
    let mut faults = [0];
    c.region_read(0, FAULTS, &mut faults).unwrap();
    assert_eq!(faults, [1]);
    c.reset().unwrap();
    c.region_read(0, FAULTS, &mut faults).unwrap();
    assert_eq!(faults, [0]);
    c.region_write(2, 0, &[1]).unwrap();
    c.shutdown().unwrap();
    drop(c);
    // The next one finds a fresh function.
    let mut c = peer::Client::new(&server.path).unwrap();
    let mut byte = [7];
    c.region_read(2, 0, &mut byte).unwrap();
    assert_eq!(byte, [0]);
}

#[test]
fn what_belongs_to_the_platform_stays_with_it() {
    let server = serve("platform");
    let mut c = Raw::open(&server);
    // Sizing, as a BIOS does it.
    c.write(7, 0x10, &[0xFF; 24]).unwrap();
    let bars = c.read(7, 0x10, 24).unwrap();
    let bars: Vec<u32> = bars
        .chunks(4)
        .map(|w| u32::from_le_bytes(w.try_into().unwrap()))
        .collect();
    assert_eq!(
        bars,
        [0xFFFF_F000, 0xFFFF_0000, 0xFFFF_000C, 0xFFFF_FFFF, 0, 0]
    );
    c.write(7, 0x30, &[0xFF; 4]).unwrap();
    assert_eq!(c.read(7, 0x30, 4).unwrap(), [0; 4]);
    // INTx is not served; MSI and MSI-X remember their enable bits and nothing else.
    assert_eq!(c.read(7, 0x3C, 2).unwrap(), [0, 0]);
    c.write(7, 0x42, &[0x01]).unwrap();
    assert_eq!(c.read(7, 0x42, 1).unwrap(), [0x81]);
    c.write(7, 0x60, &[0, 0, 0, 0xFF]).unwrap();
    assert_eq!(c.read(7, 0x60, 4).unwrap(), [0, 0, 0, 0xC0]);
    // A write across kept and other bytes.
    c.write(7, 0x0C, &[5, 6, 7, 8, 0, 0x10, 0x20, 0x30])
        .unwrap();
    assert_eq!(
        c.read(7, 0x0C, 8).unwrap(),
        [5, 6, 7, 8, 0, 0x10, 0x20, 0x30]
    );
    // The MSI-X table and PBA, and what stands around them.
    c.write(1, 0x7FFC, &[1; 0x208]).unwrap();
    c.write(1, 0x8FE0, &[1; 16]).unwrap();
    let around = c.read(1, 0x7FFC, 0x208).unwrap();
    assert_eq!((&around[..4], &around[0x204..]), (&[1; 4][..], &[1; 4][..]));
    assert!(around[4..0x204].iter().all(|b| *b == 0xFF));
    assert_eq!(c.read(1, 0x8FE0, 16).unwrap()[7..9], [0xFF, 1]);
    let reset = c.call(Command::DeviceReset, &[], &[]);
    assert_eq!(reset, Ok(vec![]));
    assert_eq!(c.read(7, 0x10, 4).unwrap(), [0; 4]);
}

#[test]
fn memory_without_a_descriptor_is_asked_for() {
    let server = serve("ask");
    let mut c = Raw::open(&server);
    c.map(0, 0x2000, None).unwrap();
    let ram = memory(0x1000);
    c.map(0x2000, 0x1000, Some(ram.as_fd())).unwrap();
    let text: Vec<u8> = (0..1000).map(|n| (n * 7) as u8).collect();
    c.memory[0x1E00..0x1E00 + 0x200].copy_from_slice(&text[..0x200]);
    ram.write_all_at(&text[0x200..], 0).unwrap();
    // Across both kinds, to the first.
    c.copy(0x1E00, 0x100, 1000, 0).unwrap();
    assert_eq!(c.memory[0x100..0x100 + 1000], text);
    assert_eq!(c.asked, 2 + 4);
    assert_eq!(c.read(0, FAULTS, 1).unwrap(), [0]);
    // A client that leaves while it is asked.
    for (at, value) in [(FROM, 0u64), (TO, 0), (BYTES, 16), (GO, 1)] {
        c.post(0, at, &value.to_le_bytes());
    }
    assert!(matches!(
        c.rx.wait(SOON).unwrap().kind,
        Kind::Request { reply: true }
    ));
    drop(c);
    // And one that answers with an error, or nonsense.
    let mut c = Raw::open(&server);
    c.map(0, 0x2000, None).unwrap();
    for (error, body) in [
        (Some(Errno::EFAULT), &[][..]),
        (None, &[]),
        (None, &[0; 16]),
    ] {
        for (at, value) in [(FROM, 0u64), (TO, 0), (BYTES, 16), (GO, 1)] {
            c.post(0, at, &value.to_le_bytes());
        }
        let m = c.rx.wait(SOON).unwrap();
        c.tx.send(m.id, m.command, Kind::Reply { error }, &[body], &[], SOON)
            .unwrap();
        while c.read(0, GO, 1).unwrap() != [0] {}
    }
    assert_eq!(c.read(0, FAULTS, 1).unwrap(), [3]);
}

#[test]
fn wrong_requests_are_answered_with_their_error() {
    let server = serve("errors");
    let mut c = Raw::connect(&server);
    let info = DeviceInfo::default().to_bytes();
    assert_eq!(
        c.call(Command::DeviceGetInfo, &info, &[]),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        c.call(Command::Version, &[1, 0, 0, 0], &[]),
        Err(Errno::EINVAL)
    );
    c.call(Command::Version, &[0; 4], &[]).unwrap();
    assert_eq!(c.call(Command::Version, &[0; 4], &[]), Err(Errno::EINVAL));
    // As libvfio-user's client: padded to argsz.
    let region = |index| RegionInfo {
        argsz: 64,
        index,
        ..Default::default()
    };
    let padded = [region(7).to_bytes(), vec![0; 32]].concat();
    let body = c.call(Command::DeviceGetRegionInfo, &padded, &[]).unwrap();
    assert_eq!(RegionInfo::parse(&body).unwrap().0.size, 4096);
    let past = region(9).to_bytes();
    assert_eq!(
        c.call(Command::DeviceGetRegionInfo, &past, &[]),
        Err(Errno::EINVAL)
    );
    assert_eq!(c.read(0, 4094, 4), Err(Errno::EINVAL));
    assert_eq!(c.read(0, u64::MAX, 1), Err(Errno::EINVAL));
    assert_eq!(c.read(3, 0, 1), Err(Errno::EINVAL));
    assert_eq!(c.read(42, 0, 1), Err(Errno::EINVAL));
    assert_eq!(c.read(0, 0, u32::MAX), Err(Errno::EINVAL));
    assert_eq!(c.write(7, 4096, &[0]), Err(Errno::EINVAL));
    assert_eq!(c.map(0, 0, None), Err(Errno::EINVAL));
    c.map(0x1000, 0x1000, None).unwrap();
    assert_eq!(c.map(0x1800, 0x1000, None), Err(Errno::EEXIST));
    // The data of a write shorter than its count; structures cut short.
    let short = Raw::write_body(0, 0, &[1, 2, 3, 4]);
    assert_eq!(
        c.call(Command::RegionWrite, &short[..18], &[]),
        Err(Errno::EINVAL)
    );
    for command in [Command::DmaMap, Command::DmaUnmap, Command::DeviceSetIrqs] {
        assert_eq!(c.call(command, &[0; 8], &[]), Err(Errno::EINVAL));
    }
    let two = [memory(1), memory(1)];
    let fds = [two[0].as_fd(), two[1].as_fd()];
    let map = DmaMap {
        size: 1,
        ..Default::default()
    };
    assert_eq!(
        c.call(Command::DmaMap, &map.to_bytes(), &fds),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        c.call(Command::DeviceGetRegionIoFds, &[0; 16], &[]),
        Err(Errno::EOPNOTSUPP)
    );
    c.send(999, true, &[], &[]);
    let error = Some(Errno::EOPNOTSUPP);
    assert_eq!(c.receive().unwrap().kind, Kind::Reply { error });
    // Posted writes are not answered, right or wrong; they are done before what comes after.
    c.post(3, 0, &[1]);
    c.post(0, 8, &[0x5A]);
    assert_eq!(c.read(0, 8, 1).unwrap(), [0x5A]);
    // A board that breaks.
    c.write(0, BREAK, &[1]).unwrap();
    assert_eq!(c.read(0, 0, 4), Err(Errno::EIO));
    assert_eq!(c.read(7, 0, 2).unwrap(), [0xEE, 0x10]);
}

#[test]
fn one_client_at_a_time_and_none_stays_when_the_function_panics() {
    let server = serve("one");
    let mut first = Raw::open(&server);
    let mut second = Raw::connect(&server);
    assert!(matches!(
        second.rx.wait(SOON),
        Err(vfio_user::Error::Closed)
    ));
    assert_eq!(first.read(7, 0, 1).unwrap(), [0xEE]);
    first.post(0, GO, &[99]);
    assert!(matches!(first.rx.wait(SOON), Err(vfio_user::Error::Closed)));
    let mut next = Raw::open(&server);
    assert_eq!(next.read(7, 0, 1).unwrap(), [0xEE]);
}

#[test]
fn a_flood_of_posted_writes_waits_for_the_function() {
    let server = serve("flood");
    let mut c = Raw::open(&server);
    for n in 0..200u32 {
        c.post(2, 0, &vec![n as u8; 60_000]);
    }
    assert_eq!(c.read(2, 59_999, 1).unwrap(), [199]);
}

#[test]
fn noise_neither_stops_the_server_nor_its_next_client() {
    let server = serve("noise");
    let nightly = std::env::var_os("ROUNDHOUSE_NIGHTLY").is_some();
    for seed in 0..if nightly { 2000 } else { 200 } {
        let mut rng = Rng::new(seed);
        let mut c = Raw::connect(&server);
        let file = memory(4096);
        if rng.chance(200) {
            c.send(Command::Version as u16, true, &[0; 4], &[]);
        }
        for _ in 0..rng.below(30) {
            // Sizes and numbers that are nearly right.
            let words = [
                0,
                1,
                2,
                3,
                4,
                32,
                36,
                0x1000,
                0xFFFF_FFFF,
                rng.next() as u32,
            ];
            let body: Vec<u8> = (0..rng.below(12))
                .flat_map(|_| words[rng.below(10) as usize].to_le_bytes())
                .collect();
            let fds = vec![
                file.as_fd();
                if rng.chance(64) {
                    rng.below(4) as usize
                } else {
                    0
                }
            ];
            let command = rng.below(16) as u16;
            let kind = match rng.below(8) {
                0 => Kind::Reply { error: None },
                1 => Kind::Request { reply: false },
                _ => Kind::Request { reply: true },
            };
            if c.tx
                .send(rng.next() as u16, command, kind, &[&body], &fds, SOON)
                .is_err()
            {
                break;
            }
        }
        drop(c);
        if rng.chance(64) {
            let mut stream = UnixStream::connect(&server.path).unwrap();
            let bytes: Vec<u8> = (0..rng.below(200)).map(|_| rng.next() as u8).collect();
            let _ = stream.write_all(&bytes);
        }
        let mut c = Raw::open(&server);
        assert_eq!(c.read(7, 0, 2).unwrap(), [0xEE, 0x10], "seed {seed}");
    }
}

#[test]
fn the_socket_is_private_and_never_taken_from_another_server() {
    let server = serve("socket");
    let mode = std::fs::metadata(&server.path)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let e = Server::bind(&server.path).unwrap_err().to_string();
    assert!(e.contains("another server uses it"), "{e}");
    drop(server);
    let path = std::env::temp_dir().join(format!("sim-tb-stale-{}", std::process::id()));
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    drop(Server::bind(&path).unwrap());
    std::fs::write(&path, b"x").unwrap();
    let e = Server::bind(&path).unwrap_err().to_string();
    assert!(e.contains("something else has this name"), "{e}");
    std::fs::remove_file(&path).unwrap();
}
