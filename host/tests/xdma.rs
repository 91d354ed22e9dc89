//! The whole program on the vendor driver's character devices, with files in their place: `h2c` and `c2h` are one file, card memory; `user` is
//! a file that the program maps, and behind it a thread that plays the golden engine, so that registers live.

mod common;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use abi::registers::{offset, REGISTERS};
use abi::{Access, Config};
use common::{fixture, host, manifest, text, Scratch};
use golden::Board;

/// The card behind the files.
struct Card {
    user: File,
    memory: File,
    board: Board,
    tail: u32,
}

impl Card {
    /// Makes the device nodes of board 0.
    fn plug_in(root: &Scratch, config: Config) -> Card {
        let dev = root.path("dev");
        std::fs::create_dir_all(&dev).unwrap();
        let make = |name: &str, bytes: u64| {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(true);
            let file = file.open(dev.join(name)).unwrap();
            file.set_len(bytes).unwrap();
            file
        };
        let user = make("xdma0_user", 4096);
        let memory = make("xdma0_h2c_0", config.memory_bytes);
        std::fs::hard_link(dev.join("xdma0_h2c_0"), dev.join("xdma0_c2h_0")).unwrap();
        let board = Board::new(config, false).unwrap();
        let card = Card {
            user,
            memory,
            board,
            tail: 0,
        };
        card.publish();
        card
    }

    fn word(&self, at: u32) -> u32 {
        let mut word = [0; 4];
        self.user.read_exact_at(&mut word, at.into()).unwrap();
        u32::from_le_bytes(word)
    }

    /// What the host may not write, DONE_COUNT last: whoever sees that sees the rest.
    fn publish(&self) {
        let done = offset("DONE_COUNT");
        let constant = REGISTERS.iter().filter(|r| r.access == Access::Ro);
        let offsets = constant.map(|r| r.offset).filter(|at| *at != done);
        for at in offsets.chain([done]) {
            let word = self.board.axil_read(at).to_le_bytes();
            self.user.write_all_at(&word, at.into()).unwrap();
        }
    }

    /// Does what the host has asked for since the last look.
    fn look(&mut self) {
        let control = offset("CONTROL");
        if self.word(control) & 1 != 0 {
            self.board.axil_write(control, 1);
            self.tail = 0;
            self.publish();
            self.user.write_all_at(&[0; 4], control.into()).unwrap();
        }
        let tail = self.word(offset("TAIL"));
        if tail == self.tail {
            return;
        }
        self.tail = tail;
        let mut bytes = vec![0; self.board.memory_bytes() as usize];
        self.memory.read_exact_at(&mut bytes, 0).unwrap();
        self.board.memory_write(0, &bytes).unwrap();
        for name in ["RING_BASE_LO", "RING_BASE_HI", "RING_LOG2", "TASK", "TAIL"] {
            let at = offset(name);
            let value = if name == "TAIL" { tail } else { self.word(at) };
            self.board.axil_write(at, value);
        }
        let mut after = vec![0; bytes.len()];
        self.board.memory_read(0, &mut after).unwrap();
        for (i, (before, after)) in bytes.chunks(4096).zip(after.chunks(4096)).enumerate() {
            if before != after {
                self.memory.write_all_at(after, 4096 * i as u64).unwrap();
            }
        }
        self.publish();
    }
}

#[test]
fn text_is_that_of_golden() {
    let root = Scratch::new("xdma");
    let mut card = Card::plug_in(&root, abi::config::TINY);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            card.look();
            std::thread::sleep(Duration::from_micros(200));
        }
    });
    let (model, tiny) = (text(&fixture("olmoe")), text(&manifest("tiny")));
    let said = |way: &str| {
        let mut host = host();
        host.args([
            "-m",
            &model,
            "--bitstream",
            &tiny,
            "-n",
            "6",
            "--device",
            way,
        ]);
        let output = host.env("ROUNDHOUSE_ROOT", &root.0).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        output.stdout
    };
    let on_card = said("xdma:0");
    assert!(on_card == said("golden"));
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}
