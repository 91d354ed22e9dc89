//! Hostile sides of a conversation: clients of the simulated board's socket, servers that the driver attaches to, and hosts of the card's
//! plain model. Nothing panics, everything ends, memory is bounded, and whoever comes next is served.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::thread::JoinHandle;
use std::time::Duration;

use device::Way;
use sim_tb::card_model::CardModel;
use sim_tb::function::{Fault, Function, Host};
use sim_tb::serve::Server;
use system_tests::hostile::targets::{ACCESSES, CLIENT, SERVER};
use system_tests::hostile::{alone, wire, Counting};
use vfio_user::message::HEADER;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Card memory of the served card: enough for every kind of access.
const MEMORY: u64 = 1 << 20;

fn config() -> abi::Config {
    abi::Config {
        memory_bytes: MEMORY,
        ..abi::config::TINY
    }
}

/// Panics of all threads so far; the server goes on after one of its function's, and must not have to.
fn panics() -> u64 {
    static HOOK: Once = Once::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            COUNT.fetch_add(1, Ordering::Relaxed);
            usual(info);
        }));
    });
    COUNT.load(Ordering::Relaxed)
}

/// A served card; ends when dropped.
struct Served {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    fn new(name: &str) -> Served {
        let name = format!("hostile-{name}-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let server = Server::bind(&path).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let make = || -> Result<Box<dyn Function>, Box<dyn std::error::Error + Send + Sync>> {
            Ok(Box::new(CardModel::new(config())?))
        };
        let thread = Some(std::thread::spawn(move || {
            server.run(make, &stopped).unwrap()
        }));
        Served { path, stop, thread }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking());
        }
    }
}

/// Id of the question at the end of a conversation.
const LAST: u16 = 0xFFFE;

/// Says `said` to the server, then asks a last question; whether everything was answered without an error. A client that is not understood, or
/// that is owed nothing more, leaves.
fn converse(server: &Path, said: &[u8]) -> bool {
    let mut stream = UnixStream::connect(server).unwrap();
    // What was said may end in the middle of a message, which swallows the question; then nothing more comes.
    stream
        .set_read_timeout(Some(Duration::from_millis(30)))
        .unwrap();
    // A server that has closed the connection does not read on.
    let mut out = stream.try_clone().unwrap();
    let said = [said, &wire::last_question(LAST)].concat();
    let speaker = std::thread::spawn(move || out.write_all(&said).is_ok());
    let (mut all_well, mut header, mut rest) = (true, [0; HEADER], vec![0; 4096]);
    let answered = loop {
        if stream.read_exact(&mut header).is_err() {
            break false;
        }
        let mut left = u32::from_le_bytes(header[4..8].try_into().unwrap()) as usize - HEADER;
        while left > 0 {
            let n = left.min(rest.len());
            stream.read_exact(&mut rest[..n]).unwrap();
            left -= n;
        }
        all_well &= header[8] & 1 << 5 == 0;
        if header[..2] == LAST.to_le_bytes() {
            break true;
        }
    };
    drop(stream.shutdown(std::net::Shutdown::Both));
    speaker.join().unwrap() && answered && all_well
}

#[test]
fn clients() {
    let _one = alone();
    let served = Served::new("clients");
    let before = panics();
    let honest = wire::honest();
    SERVER.run(&honest, |input| {
        let taken = converse(&served.path, input);
        assert_eq!(panics(), before, "the served function panicked");
        taken
    });
    // Whoever comes next finds a card.
    assert!(converse(&served.path, &honest[0]));
}

#[test]
fn servers() {
    let _one = alone();
    let served = Served::new("servers");
    let path = std::env::temp_dir().join(format!("hostile-between-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let before = panics();
    let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let open = files();
    CLIENT.run(&[Vec::new()], |script| {
        let (unchanged, works) = std::thread::scope(|scope| {
            let between = scope.spawn(|| wire::between(&listener, &served.path, script).unwrap());
            let works = use_board(&path);
            (between.join().unwrap(), works)
        });
        if let (true, Err(e)) = (unchanged, &works) {
            panic!("an honest server was not understood: {e}");
        }
        assert_eq!(panics(), before, "something panicked");
        works.is_ok()
    });
    // A few connections may still be coming to their end.
    let left = files().saturating_sub(open);
    assert!(left < 50, "{left} files stay open");
    std::fs::remove_file(&path).unwrap();
}

/// Opens the board and uses each of its abilities.
fn use_board(path: &Path) -> Result<(), device::Error> {
    let mut board =
        Way::VfioUser(path.to_owned()).open(MEMORY, None, std::time::Duration::from_secs(60))?;
    board.read_register(0)?;
    let data: Vec<u8> = (0..3000).map(|n| n as u8).collect();
    board.copy_in(&data, 0x1001)?;
    let mut back = vec![0; data.len()];
    board.copy_out(0x1001, &mut back)?;
    board.link_rate()?;
    board.wait_interrupt(Duration::from_millis(1))?;
    board.reset()?;
    board.read_register(4).map(drop)
}

/// Host memory of one page at every address of some, and holes.
struct Memory(Vec<u8>);

impl Host for Memory {
    fn read(&mut self, iova: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let fault = Fault {
            iova,
            bytes: bytes.len(),
            write: false,
        };
        for (n, byte) in bytes.iter_mut().enumerate() {
            let at = iova
                .checked_add(n as u64)
                .filter(|at| at >> 40 == 0)
                .ok_or(fault)?;
            *byte = self.0[at as usize % self.0.len()];
        }
        Ok(())
    }
    fn write(&mut self, iova: u64, bytes: &[u8]) -> Result<(), Fault> {
        let fault = Fault {
            iova,
            bytes: bytes.len(),
            write: true,
        };
        for (n, byte) in bytes.iter().enumerate() {
            let at = iova
                .checked_add(n as u64)
                .filter(|at| at >> 40 == 0)
                .ok_or(fault)?;
            let len = self.0.len();
            self.0[at as usize % len] = *byte;
        }
        Ok(())
    }
    fn interrupt(&mut self, vector: u32) {
        assert!(vector < 32);
    }
}

/// Accesses as bytes: what, which BAR, length, offset, data or nothing.
fn play(card: &mut CardModel, host: &mut Memory, script: &[u8]) {
    for step in script.chunks_exact(12) {
        let word = |at: usize| u32::from_le_bytes(step[at..at + 4].try_into().unwrap());
        let (bar, bytes) = (usize::from(step[1] % 8), usize::from(step[2] % 65));
        let at = u64::from(word(4));
        let data = step[8..12].repeat(17);
        let mut back = [0; 68];
        // Whether it is refused does not matter here.
        let _ = match step[0] % 8 {
            0 => card.config_read(host, at as usize, &mut back[..bytes]),
            1 => card.config_write(host, at as usize % 4096, &data[..bytes]),
            2 => card.bar_read(host, bar, at, &mut back[..bytes]),
            3..=5 => card.bar_write(host, bar, at, &data[..bytes]),
            6 => card.enable_interrupts(host, step[2] & 1 == 1),
            _ => (0..1 + word(8) % 8).try_for_each(|_| card.run(host).map(drop)),
        };
    }
}

#[test]
fn accesses_of_a_host() {
    let _one = alone();
    let mut card = CardModel::new(config()).unwrap();
    // A descriptor of 64 bytes from one place of host memory to card memory, and one back, both last; then time.
    let mut memory = vec![0; 4096];
    let descriptor = |from: u32, to: u32| [0xAD4B_0013, 64, from, 0, to, 0, 0, 0];
    memory[0x800..0x840].copy_from_slice(&[0x5A; 64]);
    for (at, words) in [
        (0, descriptor(0x800, 0x40)),
        (0x100, descriptor(0x40, 0xC00)),
    ] {
        for (n, word) in words.iter().enumerate() {
            memory[at + 4 * n..at + 4 * n + 4].copy_from_slice(&word.to_le_bytes());
        }
    }
    let write = |bar: u8, at: u32, value: u32| {
        [&[3, bar, 4, 0][..], &at.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let run = [7, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0].to_vec();
    let config = [&[1, 0, 2, 0, 4, 0, 0, 0][..], &[6, 0, 0, 0]].concat();
    let channel = |n: u32, at: u32| {
        [
            write(1, 0x4080 + n * 0x1000, at),
            write(1, 0x4084 + n * 0x1000, 0),
            write(1, 0x1000 * n + 4, 0x00F8_3E1F),
            run.clone(),
        ]
        .concat()
    };
    let engine: Vec<u8> = (0..40).flat_map(|n| write(0, 4 * n, n * 0x101)).collect();
    let script = [config, channel(0, 0), channel(1, 0x100), engine, run].concat();
    // Memory of the host goes before the script.
    let seed = [memory, script].concat();
    ACCESSES.run(&[seed], |input| {
        let (memory, script) = input.split_at(input.len().min(4096));
        let mut host = Memory(memory.to_vec());
        host.0.resize(4096, 0);
        card.reset(&mut host).unwrap();
        play(&mut card, &mut host, script);
        // After all that, a card is still a card.
        card.reset(&mut host).unwrap();
        let mut id = [0; 4];
        card.config_read(&mut host, 0, &mut id).unwrap();
        assert_eq!(id[..2], abi::pci::VENDOR_ID.to_le_bytes());
        host.0[0xC00..0xC40] == [0x5A; 64]
    });
}
