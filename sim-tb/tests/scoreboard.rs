//! The scoreboard on the `tiny` engine (`make sim CONFIG=tiny`): it passes what is right and stops where something is not.

use abi::Command;
use golden::sample::{Layer, Shape};
use sim_tb::board::Params;
use sim_tb::scoreboard::{Mismatch, Scoreboard};
use std::collections::BTreeMap;

const MEMORY: u64 = 1 << 18;
const RING: u64 = 0x3_0000;

/// A board with a layer of four experts in memory, and its command.
fn board(seed: u64) -> (Scoreboard, Command) {
    let shape = Shape {
        tokens: 4,
        d: 64,
        f: 48,
        experts: 4,
        ..Shape::default()
    };
    let mut s = Scoreboard::new("tiny", Params::calm(MEMORY, seed), RING, 2, None).unwrap();
    let mut memory = vec![0; MEMORY as usize];
    let layer = Layer::random(shape, seed);
    let config = *s.board.config();
    let (_, command) = layer.store(&config, &mut memory, 0).unwrap();
    s.board.board.memory_mut().copy_from_slice(&memory);
    (s, command)
}

#[test]
fn what_is_right_passes_again_and_again() {
    let (mut s, command) = board(1);
    let reports: Vec<_> = (0..6).map(|_| s.run(&command).unwrap()).collect();
    // The ring has four places and is used round and round.
    let sequence: Vec<u32> = reports.iter().map(|r| r.completion.sequence).collect();
    assert_eq!(sequence, [1, 2, 3, 4, 5, 6]);
    let macs = 4 * (2 * 3 * 64 * 48 + 2 * 2 * 4 * 64);
    assert!(reports.iter().all(|r| r.macs == macs && r.items > 0));
}

#[test]
fn the_first_divergence_is_named_with_unit_and_cycle() {
    // Reads that fail give the engine other bytes than golden has: in x, in the router, in the experts.
    let mut units = BTreeMap::new();
    let (_, at) = board(2);
    for (name, from) in [
        ("x", at.x_addr),
        ("router", at.router_addr + 16),
        ("experts", at.experts_addr + 16),
    ] {
        let (mut s, command) = board(2);
        s.board.board.fail(from..from + 64, true, false);
        match s.run(&command).unwrap_err() {
            Mismatch::Item {
                unit, cycle, seed, ..
            } => {
                assert!(cycle > 0 && seed == 2);
                units.insert(name, unit);
            }
            other => panic!("{name}: {other}"),
        }
    }
    assert_eq!(
        units,
        BTreeMap::from([
            ("x", "xblock".to_string()),
            ("router", "acc".to_string()),
            ("experts", "acc".to_string())
        ])
    );
}

#[test]
fn a_result_that_does_not_arrive_is_found() {
    let (mut s, command) = board(3);
    // Nothing inside differs, but y cannot be written.
    s.board
        .board
        .fail(command.y_addr..command.y_addr + 16, false, true);
    let e = s.run(&command).unwrap_err();
    assert!(matches!(e, Mismatch::Result { .. }), "{e}");
    assert!(e.to_string().contains("LAST_STATUS"), "{e}");
}

#[test]
fn a_command_that_does_not_end_says_how_far_it_came() {
    let (mut s, command) = board(4);
    s.board.board.deadline = 900;
    let e = s.run(&command).unwrap_err();
    assert!(matches!(e, Mismatch::Hung { .. }), "{e}");
    let text = e.to_string();
    assert!(
        text.contains("xblock 8/8") && text.contains("y 0/64"),
        "{text}"
    );
}
