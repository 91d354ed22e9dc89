//! The mover: random jobs against bytes, another reader in between, stalls; and no gap between jobs when nothing stalls.

use sim_tb::pins::{cycle, Pins, ReadPort, Stream, StreamIn, StreamOut};
use sim_tb::rng::Rng;
use std::cell::RefCell;
use std::rc::Rc;

const UNITS: [(&str, usize); 2] = [("pcie_dma_move", 8), ("pcie_dma_move_128", 16)];

fn content(row: u64, lanes: usize) -> Vec<u8> {
    let mut r = Rng::new(row);
    (0..lanes).map(|_| r.next() as u8).collect()
}

fn words(bytes: &[u8]) -> Vec<u32> {
    (bytes
        .chunks(4)
        .map(|c| u32::from_le_bytes(c.try_into().unwrap())))
    .collect()
}

/// Asks for rows now and then, and checks what it sees.
struct Peek {
    rng: Rng,
    chance: u32,
    lanes: usize,
    wanted: Option<u64>,
    asked: Vec<(u64, u64)>,
    seen: usize,
    row: Rc<RefCell<u64>>,
}

impl Stream for Peek {
    fn drive(&mut self, pins: &mut Pins) {
        if self.wanted.is_none() && self.rng.chance(self.chance) {
            self.wanted = Some(self.rng.below(256));
        }
        pins.set("peek_vld", self.wanted.is_some().into());
        let row = self.wanted.unwrap_or_else(|| self.rng.below(256));
        *self.row.borrow_mut() = row;
        pins.set("peek_id", row & 1);
    }
    fn sample(&mut self, pins: &mut Pins) {
        if pins.get("seen_vld") == 1 {
            let (row, id) = self.asked[self.seen];
            assert_eq!(pins.get_wide("seen_data"), words(&content(row, self.lanes)));
            assert_eq!(pins.get("seen_id"), id);
            self.seen += 1;
        }
        if let Some(row) = self.wanted.filter(|_| pins.get("peek_rdy") == 1) {
            self.asked.push((row, row & 1));
            self.wanted = None;
        }
    }
}

struct Job {
    row: u64,
    src: u64,
    dst: u64,
    bytes: u64,
    upper: u64,
}

fn run(unit: &str, lanes: usize, jobs: &[Job], seed: u64, stalls: [u32; 3]) -> Vec<u64> {
    let mut pins = Pins::new(unit).unwrap();
    pins.reset("rst", 2);
    let fields = ["row", "src", "dst", "bytes", "rows", "upper"];
    let mut input = StreamIn::new("job", &fields, seed, stalls[0]);
    for (i, j) in jobs.iter().enumerate() {
        input.push(&[j.row, j.src, j.dst, j.bytes, i as u64 % 100, j.upper]);
    }
    let fields = ["data", "strb", "first", "last", "upper"];
    let mut out = StreamOut::new("out", &fields, seed + 1, stalls[1]);
    let peeked = Rc::new(RefCell::new(0));
    let mut peek = Peek {
        rng: Rng::new(seed + 2),
        chance: stalls[2],
        lanes,
        wanted: None,
        asked: Vec::new(),
        seen: 0,
        row: peeked.clone(),
    };
    // The memory keeps its word while it is not enabled.
    let mut last = 0;
    let mut ram = ReadPort::new(
        &["ram_re", "ram_peek", "ram_row"],
        &["ram_data"],
        Box::new(move |a| {
            if a[0] == 1 {
                last = if a[1] == 1 { *peeked.borrow() } else { a[2] };
            }
            vec![words(&content(last, lanes))]
        }),
    );
    let beats: u64 = (jobs.iter())
        .map(|j| (j.dst + j.bytes).div_ceil(lanes as u64))
        .sum();
    let mut released = 0;
    while (out.len() as u64) < beats {
        cycle(&mut pins, &mut [&mut input, &mut out, &mut peek, &mut ram]);
        if pins.get("rel_vld") == 1 {
            released += 1;
        }
    }
    assert_eq!(pins.get("idle"), 1);
    assert!(released <= jobs.len());
    let mut at = 0;
    for (n, j) in jobs.iter().enumerate() {
        let count = (j.dst + j.bytes).div_ceil(lanes as u64);
        for i in 0..count {
            let item = &out.items[at];
            let strb = item[1][0];
            for lane in 0..lanes as u64 {
                // Which byte of the job stands here.
                let byte = (i * lanes as u64 + lane).wrapping_sub(j.dst);
                assert_eq!(strb >> lane & 1 == 1, byte < j.bytes, "job {n}, beat {i}");
                if byte < j.bytes {
                    let from = j.src + byte;
                    let row = (j.row + from / lanes as u64) % 256;
                    let want = content(row, lanes)[from as usize % lanes];
                    let got = item[0][lane as usize / 4].to_le_bytes()[lane as usize % 4];
                    assert_eq!(got, want, "job {n}, beat {i}, lane {lane}");
                }
            }
            let flags = [item[2][0], item[3][0], item[4][0]].map(u64::from);
            let want = [(i == 0).into(), (i + 1 == count).into(), j.upper ^ (i & 1)];
            assert_eq!(flags, want, "job {n}, beat {i}");
            at += 1;
        }
    }
    out.at
}

fn jobs(rng: &mut Rng, lanes: usize, n: usize, most: u64) -> Vec<Job> {
    let job = |_| Job {
        row: rng.below(256),
        src: rng.below(lanes as u64),
        dst: rng.below(lanes as u64),
        bytes: 1 + rng.below(most),
        upper: rng.below(2),
    };
    (0..n).map(job).collect()
}

#[test]
fn every_byte_comes_to_its_lane() {
    let seed = 91;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    for (unit, lanes) in UNITS {
        for round in 0..12 {
            let most = [40, 512][round % 2];
            let jobs = jobs(&mut rng, lanes, 150, most);
            let stalls = [0; 3].map(|_| rng.below(200) as u32);
            run(unit, lanes, &jobs, rng.next(), stalls);
        }
    }
}

#[test]
fn beats_follow_each_other() {
    for (unit, lanes) in UNITS {
        // Of four beats and more, from and to the same lane: a beat in each cycle.
        let job = |i| Job {
            row: 5 * i,
            src: i % lanes as u64,
            dst: i % lanes as u64,
            bytes: 512 - 7 * i,
            upper: 0,
        };
        let jobs: Vec<Job> = (0..40).map(job).collect();
        let at = run(unit, lanes, &jobs, 1, [0; 3]);
        assert_eq!(at[at.len() - 1] - at[0] + 1, at.len() as u64);
    }
}
