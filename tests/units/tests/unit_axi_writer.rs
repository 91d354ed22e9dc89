//! The write master: every alignment, any length, memories that want the address first or the data first, errors.

use sim_tb::pins::{cycle, Pins, Stream, StreamIn};
use sim_tb::rng::Rng;
use unit_tests::axi::{noise, Beat, Manners, Order, WriteMemory};

const LIMITS: (u64, u64) = (16, 1024);

/// Starts jobs and sees the state.
#[derive(Default)]
struct Control {
    start: Option<(u64, u64)>,
    idle: bool,
    err: bool,
}

impl Stream for Control {
    fn drive(&mut self, pins: &mut Pins) {
        pins.set("start", self.start.is_some().into());
        let (addr, beats) = self.start.take().unwrap_or((0x77_7777_7777, 0x7777_7777));
        pins.set("addr", addr);
        pins.set("beats", beats);
    }
    fn sample(&mut self, pins: &mut Pins) {
        self.idle = pins.get("idle") == 1;
        self.err = pins.get("err") == 1;
    }
}

struct Bench {
    pins: Pins,
    control: Control,
    data: StreamIn,
    memory: WriteMemory,
}

impl Bench {
    fn new(manners: Manners, order: Order, stall: u32, seed: u64) -> Bench {
        let mut pins = Pins::new("axi_writer").unwrap();
        pins.reset("rst", 2);
        Bench {
            pins,
            control: Control::default(),
            data: StreamIn::new("in", &["data"], seed, stall),
            memory: WriteMemory::new("", LIMITS, manners, order, seed + 1),
        }
    }
    fn step(&mut self) {
        cycle(
            &mut self.pins,
            &mut [&mut self.control, &mut self.data, &mut self.memory],
        );
    }
    /// Writes `beats` beats of noise to `addr` and checks that they, and nothing else, arrived.
    fn job(&mut self, addr: u64, beats: u64) {
        self.memory.written.clear();
        for i in 0..beats {
            self.data.push_wide(vec![noise(addr + 16 * i + 1).to_vec()]);
        }
        // Data for a later job: must not be touched.
        self.data.push_wide(vec![vec![1, 2, 3, 4]]);
        self.control.start = Some((addr, beats));
        self.step();
        assert!(self.control.idle, "start is given to an idle unit");
        self.step();
        while !self.control.idle {
            self.step();
        }
        assert_eq!(self.memory.outstanding, 0, "idle before the last answer");
        assert_eq!(self.memory.written.len() as u64, beats);
        for i in 0..beats {
            let want: Beat = noise(addr + 16 * i + 1);
            assert_eq!(self.memory.written[&(addr + 16 * i)].0, want, "beat {i}");
        }
        for _ in 0..20 {
            self.step();
        }
        assert_eq!(self.data.pending(), 1, "a beat of no job was taken");
        assert_eq!(self.memory.written.len() as u64, beats);
        // Take the marker away again by a job of one beat elsewhere.
        self.control.start = Some((0x100, 1));
        self.step();
        self.step();
        while !self.control.idle {
            self.step();
        }
        assert_eq!(self.memory.written[&0x100].0, [1, 2, 3, 4]);
        self.memory.written.clear();
    }
}

#[test]
fn every_alignment_and_order() {
    let seed = 51;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    for offset in 0..64 {
        for order in [Order::Any, Order::AddressFirst, Order::DataFirst] {
            let manners = if offset % 4 == 0 {
                Manners::ideal(3)
            } else {
                Manners::rough(&mut rng)
            };
            let mut b = Bench::new(manners, order, rng.below(200) as u32, rng.next());
            for round in 0..2 {
                let beats = match round {
                    0 => 1 + rng.below(20),
                    _ => 1 + rng.below(150),
                };
                b.job((rng.below(1 << 29) << 10) + 0x1000 + 16 * offset, beats);
                assert!(!b.control.err);
            }
        }
    }
}

#[test]
fn an_empty_job_is_done_at_once() {
    let mut b = Bench::new(Manners::ideal(3), Order::Any, 0, 3);
    b.job(0x2000, 0);
    b.job(0x2000, 5);
}

#[test]
fn the_bus_is_full_when_nothing_stalls() {
    for (offset, latency) in [(0, 1), (0, 100), (5, 30), (63, 200)] {
        let mut b = Bench::new(Manners::ideal(latency), Order::Any, 0, 4);
        let addr = 0x10_0000 + 16 * offset;
        for i in 0..3000 {
            b.data.push_wide(vec![noise(addr + 16 * i).to_vec()]);
        }
        b.control.start = Some((addr, 3000));
        while b.memory.beats < 3000 {
            b.step();
        }
        println!(
            "offset {offset}, latency {latency}: {:.4} beats per cycle",
            b.memory.utilisation()
        );
        // The size of a burst takes two cycles, which are seen behind a burst of one beat.
        let (first, last) = b.memory.span.unwrap();
        let idle = last - first + 1 - 3000;
        assert_eq!(idle, 2 * u64::from(offset == 63), "idle cycles");
    }
}

#[test]
fn addresses_wait_for_data() {
    // A producer that is still computing must not hold the channel.
    let mut b = Bench::new(Manners::ideal(3), Order::Any, 0, 6);
    b.control.start = Some((0x4000, 40));
    for _ in 0..100 {
        b.step();
    }
    assert!(b.memory.bursts.is_empty() && !b.control.idle);
    for i in 0..40 {
        b.data.push_wide(vec![noise(i).to_vec()]);
    }
    while b.memory.beats < 40 {
        b.step();
    }
}

#[test]
fn errors_are_kept_until_the_next_start() {
    let seed = 53;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let (mut with, mut without) = (0, 0);
    for _ in 0..60 {
        let mut manners = Manners::rough(&mut rng);
        manners.errors = 6000;
        let mut b = Bench::new(manners, Order::Any, 50, rng.next());
        for _ in 0..4 {
            b.memory.errors = 0;
            let beats = 1 + rng.below(200);
            for i in 0..beats {
                b.data.push_wide(vec![noise(i).to_vec()]);
            }
            b.memory.written.clear();
            b.control.start = Some((0x1230, beats));
            b.step();
            b.step();
            while !b.control.idle {
                b.step();
            }
            // The flag may follow idle by no cycle at all: both are registers.
            assert_eq!(b.control.err, b.memory.errors > 0);
            if b.control.err {
                with += 1;
            } else {
                without += 1;
            }
        }
    }
    println!("{with} jobs with errors, {without} without");
    assert!(with > 20 && without > 20);
}
