//! Bus models, rule checks and the board's manners, with the small engine of `tests/fixtures/fixture` (`make units` builds it).

use sim_tb::board::{Board, Order, Params, CHANNELS};
use sim_tb::library::Library;
use sim_tb::rng::Rng;
use sim_tb::{Error, SimBoard};
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

const MEMORY: u64 = 1 << 16;
const DONE: u32 = 0x38;
const SCRATCH: u32 = 0x44;
const RESP: u32 = 0x60;
const FAULT: u32 = 0x64;

fn board(params: Params) -> Board {
    Board::new(&Library::load("fixture", false).unwrap(), params).unwrap()
}

/// Starts the fixture's copy of `beats` beats.
fn start(b: &mut Board, src: u32, dst: u32, beats: u32) -> Result<(), Error> {
    for (register, value) in [(0x50, src), (0x54, dst), (0x58, beats), (0x5C, 1)] {
        b.write_register(register, value)?;
    }
    Ok(())
}

fn finish(b: &mut Board) -> Result<u32, Error> {
    for _ in 0..100 {
        if b.read_register(DONE)? == 1 {
            return b.read_register(RESP);
        }
        b.run(500)?;
    }
    panic!("the fixture did not finish: {}", b.state())
}

fn noise(n: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    (0..n).map(|_| rng.next() as u8).collect()
}

/// Host copies of odd sizes, registers and the engine's copy at once; the cycle of the end.
fn traffic(params: Params) -> (u64, Board) {
    let mut b = board(params);
    let seed = params.seed;
    let mut rng = Rng::new(seed);
    let mut shadow = vec![0u8; MEMORY as usize];
    b.copy_in(&noise(4096, seed), 0).unwrap();
    shadow[..4096].copy_from_slice(&noise(4096, seed));
    start(&mut b, 0, 0x1000, 255).unwrap();
    for i in 0..12 {
        // Above what the engine's copy touches.
        let at = 0x2000 + rng.below(0xC000) as usize;
        let n = 1 + rng.below((MEMORY as usize - at).min(3000) as u64) as usize;
        let bytes = noise(n, seed + i);
        b.copy_in(&bytes, at as u64).unwrap();
        shadow[at..at + n].copy_from_slice(&bytes);
        let from = 0x2000 + rng.below(0xC000) as usize;
        let mut back = vec![0; (MEMORY as usize - from).min(2500)];
        b.copy_out(from as u64, &mut back).unwrap();
        assert_eq!(back, shadow[from..from + back.len()], "seed {seed}");
        b.write_register(SCRATCH, i as u32).unwrap();
        assert_eq!(b.read_register(SCRATCH).unwrap(), i as u32);
    }
    assert_eq!(finish(&mut b).unwrap(), 0);
    shadow.copy_within(0..255 * 16, 0x1000);
    assert_eq!(b.memory(), shadow, "seed {seed}");
    (b.cycles(), b)
}

#[test]
fn all_traffic_arrives_in_every_world_and_every_channel_stalls() {
    let mut stalled = [0u64; 15];
    for seed in 0..20 {
        let (_, b) = traffic(Params::stormy(MEMORY, seed));
        for (total, c) in stalled.iter_mut().zip(b.channels()) {
            assert!(c.beats > 0, "{} moved nothing with seed {seed}", c.name);
            *total += c.waits + c.starved;
        }
    }
    for (total, name) in stalled.iter().zip(CHANNELS) {
        assert!(*total > 0, "{name} never stalled");
    }
}

#[test]
fn a_seed_is_one_world() {
    for seed in [3, 4] {
        assert_eq!(
            traffic(Params::stormy(MEMORY, seed)).0,
            traffic(Params::stormy(MEMORY, seed)).0
        );
    }
    assert_ne!(
        traffic(Params::stormy(MEMORY, 3)).0,
        traffic(Params::stormy(MEMORY, 4)).0
    );
}

/// Cycles of a host read of 1024 beats.
fn read_cycles(p: Params) -> u64 {
    let mut b = board(p);
    let first = b.cycles();
    b.copy_out(0, &mut [0; 16384]).unwrap();
    b.cycles() - first
}

#[test]
fn latency_and_bandwidth_are_as_set() {
    let calm = Params::calm(MEMORY, 1);
    let base = read_cycles(calm);
    assert!((1024 + 20..1024 + 40).contains(&base), "{base}");
    let later = read_cycles(Params {
        latency: 220,
        ..calm
    });
    assert!(later >= base + 200, "{later} after {base}");
    for bandwidth in [64, 128, 192] {
        let slow = read_cycles(Params { bandwidth, ..calm });
        let ideal = 1024 * 256 / u64::from(bandwidth);
        assert!(
            (ideal..ideal + 40).contains(&slow),
            "{slow} for {bandwidth}"
        );
    }
}

#[test]
fn a_copy_over_the_bus_is_the_memory() {
    let mut b = board(Params::calm(MEMORY, 1));
    b.memory_mut()[100] = 77;
    let mut one = [0];
    b.copy_out(100, &mut one).unwrap();
    assert_eq!(one, [77]);
    b.copy_in(&[1, 2, 3], 4095).unwrap();
    assert_eq!(b.memory()[4094..4099], [0, 1, 2, 3, 0]);
    b.copy_in(&[], 7).unwrap();
}

#[test]
fn broken_rules_are_found_and_named() {
    let cases = [
        (1, 0, 16, "m_axi AR: valid fell"),
        (2, 0, 16, "m_axi AR: the payload changed"),
        (
            0,
            0xF80,
            16,
            "m_axi AR: a burst of 16 beats at 0xf80 crosses",
        ),
        (4, 0, 16, "m_axi W: last is 1 in beat 1 of 16"),
        (5, 0, 16, "m_axi W: last is 0 in beat 16 of 16"),
        (6, 0, 16, "m_axi W: the payload changed"),
        (8, 0, 16, "m_axi AR: burst type 0"),
    ];
    for (fault, src, beats, rule) in cases {
        // All channels of m_axi are slow to take an offer, so that there is time to break it.
        let mut p = Params::calm(MEMORY, 5);
        p.stall[..5].fill(200);
        let mut b = board(p);
        b.write_register(FAULT, fault).unwrap();
        let result = start(&mut b, src, 0x2000, beats).and_then(|()| finish(&mut b));
        let e = result.expect_err(rule).to_string();
        assert!(e.contains(rule) && e.contains("cycle"), "{e}: not {rule}");
    }
}

#[test]
fn answers_that_nobody_asked_for_are_found() {
    let mut b = board(Params::calm(MEMORY, 1));
    b.write_register(FAULT, 9).unwrap();
    let e = b.copy_out(0, &mut [0; 64]).unwrap_err().to_string();
    assert!(e.contains("s_axi R: data with id 15"), "{e}");
    let mut b = board(Params::calm(MEMORY, 1));
    b.write_register(FAULT, 10).unwrap();
    let e = b
        .read_register(SCRATCH)
        .and_then(|_| b.run(10))
        .unwrap_err()
        .to_string();
    assert!(e.contains("s_axil R: data that was not asked for"), "{e}");
    // After reset the board works again.
    b.reset();
    b.write_register(SCRATCH, 5).unwrap();
    assert_eq!(b.read_register(SCRATCH).unwrap(), 5);
}

#[test]
fn a_hung_engine_is_an_error_that_says_what_was_waited_for() {
    let mut b = board(Params::calm(MEMORY, 1));
    b.deadline = 20_000;
    b.write_register(FAULT, 7).unwrap();
    start(&mut b, 0, 0x2000, 16).unwrap();
    let e = b
        .run_until_irq("the fixture's copy")
        .unwrap_err()
        .to_string();
    for part in [
        "the fixture's copy",
        "20000 cycles",
        "card memory has 0 reads",
    ] {
        assert!(e.contains(part), "{e} does not say {part}");
    }
}

#[test]
fn an_interrupt_ends_the_wait() {
    let mut b = board(Params::calm(MEMORY, 1));
    start(&mut b, 0, 0x2000, 16).unwrap();
    b.run_until_irq("the copy").unwrap();
    assert_eq!(b.read_register(DONE).unwrap(), 1);
}

#[test]
fn errors_of_card_memory_reach_engine_and_host() {
    let mut b = board(Params::calm(MEMORY, 1));
    b.fail(0x100..0x110, true, false);
    start(&mut b, 0x80, 0x2000, 16).unwrap();
    assert_eq!(finish(&mut b).unwrap(), 2, "SLVERR");
    let e = b.copy_out(0xF8, &mut [0; 64]).unwrap_err().to_string();
    assert!(e.contains("copy out at 0x100 answered SLVERR"), "{e}");
    b.copy_in(&[9; 16], 0x100).unwrap();
    b.heal();
    let mut back = [0; 16];
    b.copy_out(0x100, &mut back).unwrap();
    assert_eq!(back, [9; 16]);
    let e = b.copy_in(&[1; 64], MEMORY - 32).unwrap_err().to_string();
    assert!(e.contains("answered DECERR"), "{e}");
}

#[test]
fn the_user_can_stop_a_wait() {
    let mut b = board(Params::calm(MEMORY, 1));
    b.stop_on(Arc::new(AtomicBool::new(true)));
    let e = b.run(u64::MAX / 2).unwrap_err();
    assert!(matches!(e, Error::Interrupted { .. }), "{e}");
    assert!(b.cycles() < 100_000);
}

#[test]
fn inner_streams_are_recorded_in_order() {
    let mut p = Params::stormy(MEMORY, 9);
    p.order = Order::Beats;
    let mut b = board(p);
    let library = b.library().clone();
    let stream = |name: &str| library.taps().iter().position(|t| t == name).unwrap();
    let data = noise(10 * 16, 1);
    b.copy_in(&data, 0).unwrap();
    b.record(true);
    start(&mut b, 0, 0x2000, 10).unwrap();
    finish(&mut b).unwrap();
    let items = b.recorded();
    let of = |name| items.iter().filter(move |i| i.stream == stream(name));
    assert_eq!(of("h").map(|i| i.bytes[0]).collect::<Vec<_>>(), [10]);
    assert_eq!(
        of("y").flat_map(|i| i.bytes.clone()).collect::<Vec<_>>(),
        data
    );
    for (n, i) in of("route").enumerate() {
        assert_eq!(i.bytes[0] as usize, n);
        assert_eq!(i.bytes[1..6], data[16 * n..16 * n + 5]);
    }
    assert!(items.windows(2).all(|w| w[0].cycle <= w[1].cycle));
    assert!(b.recorded().is_empty());
    assert_eq!(library.tap_bytes(stream("y")), 16);
}

#[test]
fn what_is_not_built_names_the_make_target() {
    let missing = |waveforms| {
        Library::load("nothing", waveforms)
            .err()
            .unwrap()
            .to_string()
    };
    assert!(
        missing(false).contains("`make sim CONFIG=nothing`"),
        "{}",
        missing(false)
    );
    assert!(
        missing(true).contains("`make sim CONFIG=nothing TRACE=1`"),
        "{}",
        missing(true)
    );
    let e = SimBoard::open("huge", 1).err().unwrap().to_string();
    assert!(e.contains("no engine configuration `huge`"), "{e}");
    let mut b = board(Params::calm(MEMORY, 1));
    let e = b
        .trace(std::path::Path::new("x.vcd"), 0..9)
        .unwrap_err()
        .to_string();
    assert!(e.contains("TRACE=1"), "{e}");
}

#[test]
fn a_waveform_holds_the_cycles_that_were_asked_for() {
    let library = Library::load("fixture", true).unwrap();
    let mut b = Board::new(&library, Params::calm(MEMORY, 1)).unwrap();
    let file = std::env::temp_dir().join(format!("sim-tb-{}.vcd", std::process::id()));
    b.trace(&file, 20..30).unwrap();
    b.run(50).unwrap();
    drop(b);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(text.contains(" tap_y_valid ") && text.contains(" m_axi_araddr "));
    let times: Vec<&str> = text.lines().filter(|l| l.starts_with('#')).collect();
    assert_eq!((times.first(), times.last()), (Some(&"#40"), Some(&"#59")));
}
