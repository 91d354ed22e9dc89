//! The whole program on a PCI function behind a socket: the card's plain model, served in this process.

mod common;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use common::{demo, fixture, host, manifest, refuse, succeed, text, Scratch};
use serde_json::Value;
use sim_tb::card_model::CardModel;
use sim_tb::function::{Error as Broken, Function, Host, Progress};
use sim_tb::pcie_card::{open_board, CardParams};
use sim_tb::root_complex::Manners;
use sim_tb::serve::Server;

type Made = Result<Box<dyn Function>, Box<dyn std::error::Error + Send + Sync>>;

/// A served board; ends with the test.
struct Served {
    scratch: Scratch,
    /// A client has come.
    taken: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// The card's model.
    fn new(name: &str, config: &str) -> Served {
        let config = abi::Config::named(config).unwrap();
        Served::with(name, move || Ok(Box::new(CardModel::new(config)?)))
    }

    fn with(name: &str, make: impl Fn() -> Made + Send + 'static) -> Served {
        let scratch = Scratch::new(name);
        let server = Server::bind(&scratch.path("board.sock")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let taken = Arc::new(AtomicBool::new(false));
        let seen = taken.clone();
        let make = move || {
            seen.store(true, Ordering::Relaxed);
            make()
        };
        let thread = std::thread::spawn(move || server.run(make, &stopped).unwrap());
        Served {
            scratch,
            taken,
            stop,
            thread: Some(thread),
        }
    }

    fn socket(&self) -> PathBuf {
        self.scratch.path("board.sock")
    }

    fn way(&self) -> String {
        format!("vfio-user:{}", self.socket().display())
    }

    fn wait_for_client(&self) {
        while !self.taken.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_demo_model_says_the_same_as_on_golden() {
    let board = Served::new("vfio-user", "sim");
    let model = text(&demo());
    let said = |way: &str| succeed(&["-m", &model, "-n", "24", "--device", way]).stdout;
    let once = said(&board.way());
    assert!(once == said("golden"));
    // The next client finds a board too.
    assert!(once == said(&board.way()));
}

/// The Verilated board behind a root complex that splits, reorders and delays whatever it may. Longer at night.
#[test]
fn rtl_says_the_same_as_golden() {
    const SEED: u64 = 11;
    let memory = abi::config::TINY.memory_bytes;
    let board = Served::with("vfio-user-rtl", move || {
        let (params, manners) = (CardParams::stormy(memory, SEED), Manners::stormy(SEED));
        Ok(Box::new(open_board("tiny", params, manners)?))
    });
    let night = std::env::var_os("ROUNDHOUSE_NIGHTLY").is_some();
    let (model, tokens) = match night {
        true => (text(&demo()), "12"),
        false => (text(&fixture("olmoe")), "2"),
    };
    let tiny = text(&manifest("tiny"));
    let args = ["-m", &model, "--bitstream", &tiny, "-n", tokens, "--device"];
    let said = |way: &str| succeed(&[&args[..], &[way]].concat()).stdout;
    assert!(said(&board.way()) == said("golden"), "seed {SEED}");
    let test = [
        "selftest",
        "--bitstream",
        &tiny,
        "--limit",
        "64K",
        "--device",
        &board.way(),
    ];
    let passed = String::from_utf8(succeed(&test).stdout).unwrap();
    assert!(
        passed.contains("interrupt          passed"),
        "seed {SEED}: {passed}"
    );
}

#[test]
fn a_board_in_use_names_its_user() {
    let board = Served::new("vfio-user-busy", "sim");
    let mut first = at_work(&board);
    let second = common::run(&["selftest", "--device", &board.way()]);
    first.kill().unwrap();
    first.wait().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    let holder = format!("in use by process {} (host)", first.id());
    assert!(said.contains(&holder), "{said}");
    // The kernel has given the lock back, and the server has a board for the next one.
    succeed(&["selftest", "--device", &board.way(), "--limit", "64K"]);
}

#[test]
fn another_engine_and_a_server_that_has_gone_are_refused() {
    let mut board = Served::new("vfio-user-gone", "tiny");
    let model = text(&fixture("olmoe"));
    let way = board.way();
    let e = refuse(1, &["-m", &model, "--device", &way]);
    assert!(
        e.contains("fingerprint") && e.contains("make sim CONFIG=sim"),
        "{e}"
    );
    board.end();
    let e = refuse(1, &["-m", &model, "--device", &way]);
    assert!(
        e.contains("no such socket") && e.contains("sim-tb serve"),
        "{e}"
    );
    // Somebody else's socket.
    let path = board.scratch.path("other.sock");
    let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let closer = std::thread::spawn(move || drop(other.accept()));
    let e = refuse(
        1,
        &[
            "-m",
            &model,
            "--device",
            &format!("vfio-user:{}", path.display()),
        ],
    );
    assert!(e.contains("closed the connection"), "{e}");
    closer.join().unwrap();
}

#[test]
fn selftest_passes_and_says_what_it_left_out() {
    let board = Served::new("vfio-user-selftest", "tiny");
    let tiny = text(&manifest("tiny"));
    let way = board.way();
    let args = ["selftest", "--bitstream", &tiny, "--device", &way];
    let all: Value =
        serde_json::from_slice(&succeed(&[&args[..], &["--json"]].concat()).stdout).unwrap();
    assert_eq!(all["tested_bytes"], 16 << 20);
    let checks = all["checks"].as_array().unwrap();
    let outcome = |name: &str| {
        let check = checks.iter().find(|c| c["name"] == name);
        check.map(|c| c["outcome"].as_str().unwrap())
    };
    for name in ["registers", "card memory", "sizes and offsets", "interrupt"] {
        assert_eq!(outcome(name), Some("passed"), "{all}");
    }
    // A lane of 2.5 GT/s, packets of 128 bytes.
    let ceiling = all["bandwidth"]["ceiling"].as_f64().unwrap();
    assert!((ceiling / 216.2e6 - 1.0).abs() < 0.001, "{ceiling}");
    let part = succeed(&[&args[..], &["--limit", "2M"]].concat()).stdout;
    let part = String::from_utf8(part).unwrap();
    for said in [
        "2097152 of 16777216 bytes, NOT all of it",
        "longest sizes do not fit",
        "selftest           passed",
    ] {
        assert!(part.contains(said), "{part}");
    }
}

#[test]
fn selftest_fails_on_another_engine() {
    let board = Served::new("vfio-user-other", "tiny");
    let way = board.way();
    let output = common::run(&["selftest", "--device", &way]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    let (sim, tiny) = (
        abi::fingerprint(&abi::config::SIM),
        abi::fingerprint(&abi::config::TINY),
    );
    for part in [
        format!("expected {:08X}, got {:08X}", sim as u32, tiny as u32),
        "registers  FAILED: FINGERPRINT_LO".to_owned(),
    ] {
        assert!(said.contains(&part), "{said} does not say {part}");
    }
}

#[test]
fn selftest_of_golden_has_no_link() {
    let tiny = text(&manifest("tiny"));
    let args = [
        "selftest",
        "--bitstream",
        &tiny,
        "--device",
        "golden",
        "--json",
    ];
    let all: Value = serde_json::from_slice(&succeed(&args).stdout).unwrap();
    assert_eq!(all["bandwidth"]["ceiling"], Value::Null);
    assert_eq!(all["checks"][3]["outcome"], "skipped");
}

/// A selftest of much memory, seen to have the board.
fn at_work(board: &Served) -> std::process::Child {
    let child = host()
        .args(["selftest", "--device", &board.way()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    board.wait_for_client();
    std::thread::sleep(Duration::from_millis(200));
    child
}

#[test]
fn a_server_that_ends_is_an_error_and_not_a_hang() {
    let mut board = Served::new("vfio-user-ends", "sim");
    let child = at_work(&board);
    board.end();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("nobody answers any more") && said.contains("host info"),
        "{said}"
    );
}

#[test]
fn ctrl_c_ends_a_selftest() {
    let board = Served::new("vfio-user-interrupt", "sim");
    let child = at_work(&board);
    common::interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
}

/// The card's model, whose link is lost for good after so many writes to the engine's registers.
struct Mortal {
    card: CardModel,
    left: u32,
}

impl Function for Mortal {
    fn bars(&self) -> [Option<sim_tb::function::Bar>; 6] {
        self.card.bars()
    }
    fn vectors(&self) -> u32 {
        self.card.vectors()
    }
    fn msix_area(&self) -> (usize, [std::ops::Range<u64>; 2]) {
        self.card.msix_area()
    }
    fn config_read(&mut self, h: &mut dyn Host, at: usize, bytes: &mut [u8]) -> Result<(), Broken> {
        match self.left {
            0 => {
                bytes.fill(0xFF);
                Ok(())
            }
            _ => self.card.config_read(h, at, bytes),
        }
    }
    fn config_write(&mut self, h: &mut dyn Host, at: usize, bytes: &[u8]) -> Result<(), Broken> {
        match self.left {
            0 => Ok(()),
            _ => self.card.config_write(h, at, bytes),
        }
    }
    fn bar_read(
        &mut self,
        h: &mut dyn Host,
        n: usize,
        at: u64,
        b: &mut [u8],
    ) -> Result<(), Broken> {
        match self.left {
            0 => {
                b.fill(0xFF);
                Ok(())
            }
            _ => self.card.bar_read(h, n, at, b),
        }
    }
    fn bar_write(&mut self, h: &mut dyn Host, n: usize, at: u64, b: &[u8]) -> Result<(), Broken> {
        self.left -= u32::from(n == 0 && self.left > 0);
        match self.left {
            0 => Ok(()),
            _ => self.card.bar_write(h, n, at, b),
        }
    }
    fn enable_interrupts(&mut self, h: &mut dyn Host, on: bool) -> Result<(), Broken> {
        self.card.enable_interrupts(h, on)
    }
    fn reset(&mut self, h: &mut dyn Host) -> Result<(), Broken> {
        match self.left {
            0 => Ok(()),
            _ => self.card.reset(h),
        }
    }
    fn run(&mut self, h: &mut dyn Host) -> Result<Progress, Broken> {
        match self.left {
            0 => Ok(Progress::Idle),
            _ => self.card.run(h),
        }
    }
}

/// Lost while it is opened (the first writes set the ring up), and in two places of the text; also by the server's end.
#[test]
fn a_card_that_fails_is_the_end_or_is_replaced() {
    let (model, tiny) = (text(&fixture("olmoe")), text(&manifest("tiny")));
    let args = ["-m", &model, "--bitstream", &tiny, "-n", "6", "--device"];
    let golden = succeed(&[&args[..], &["golden"]].concat()).stdout;
    for life in [1, 8, 17] {
        let board = Served::with(&format!("vfio-user-mortal-{life}"), move || {
            let card = CardModel::new(abi::config::TINY)?;
            Ok(Box::new(Mortal { card, left: life }))
        });
        let way = board.way();
        let stopped = common::run(&[&args[..], &[&way]].concat());
        let said = String::from_utf8_lossy(&stopped.stderr);
        assert_eq!(stopped.status.code(), Some(1), "life {life}: {said}");
        assert!(said.contains("nobody answers any more"), "{said}");
        assert!(stopped.stdout.len() < golden.len());

        let replaced = [&args[..], &[&way, "--on-device-error", "cpu"]].concat();
        let went_on = succeed(&replaced);
        let said = String::from_utf8_lossy(&went_on.stderr);
        assert!(went_on.stdout == golden, "life {life}: {said}");
        let warning = said
            .lines()
            .find(|l| l.starts_with("warning: the board failed"));
        let warning = warning.unwrap_or_else(|| panic!("no warning in {said}"));
        assert!(
            warning.contains("nobody answers any more") && warning.contains("golden engine"),
            "{warning}"
        );
        assert!(said.contains("experts on the CPU"), "{said}");
        let json = succeed(&[&replaced[..], &["--json"]].concat()).stdout;
        let json: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(
            (&json["experts"], &json["engine"]),
            (&"cpu".into(), &Value::Null)
        );
        let cause = json["device_error"].as_str().unwrap();
        assert!(cause.contains("nobody answers any more"), "{cause}");
    }
    let board = Served::new("vfio-user-immortal", "tiny");
    let way = board.way();
    let more = [&way, "--on-device-error", "cpu", "--json"];
    let well = [&args[..], &more].concat();
    let json: Value = serde_json::from_slice(&succeed(&well).stdout).unwrap();
    assert_eq!(
        (&json["experts"], &json["device_error"]),
        (&"device".into(), &Value::Null)
    );
}
