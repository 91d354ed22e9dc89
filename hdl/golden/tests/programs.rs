//! Random programs: every command ends as it must, and prefetches, windows and the engine's size change no bit.

use abi::config::{ACORN, SIM, TINY, VERSA};
use abi::{Completion, Config, Opcode, Status};
use golden::sample::{Limits, Program};
use golden::{Engine, Memory};

const LIMITS: Limits = Limits {
    layers: 4,
    size: 160,
    tokens: 6,
};

/// Runs a program; returns the memory behind it.
fn run(config: Config, program: &Program, change: impl Fn(&mut abi::Command)) -> Vec<u8> {
    let mut memory = vec![0; 16 << 20];
    program.store(&mut memory).unwrap();
    assert!(program.steps.len() <= 1 << program.ring_log2);
    let mut engine = Engine::new(config, false);
    engine.set_task(program.task);
    for (n, step) in program.steps.iter().enumerate() {
        let at = program.ring + n as u64 * 128;
        let mut command = step.command;
        change(&mut command);
        memory.write(at, &command.to_bytes()).unwrap();
        let outcome = engine.run_command(&mut memory, at);
        assert_eq!(outcome.status, step.status, "step {n}: {:?}", step.command);
        let mut record = [0; 16];
        memory.read(step.command.done_addr, &mut record).unwrap();
        let record = Completion::from_bytes(&record);
        assert_eq!(record, outcome.completion);
        assert_eq!(record.tag, u32::from(step.command.tag));
        memory.write(at, &step.command.to_bytes()).unwrap();
    }
    memory
}

#[test]
fn every_command_ends_as_it_must() {
    let mut seen = std::collections::BTreeMap::new();
    for config in [TINY, SIM, VERSA, ACORN] {
        for seed in 0..60 {
            println!("{} seed {seed}", config.name);
            let program = Program::random(&config, LIMITS, seed);
            run(config, &program, |_| ());
            for step in &program.steps {
                *seen.entry(step.status as u32).or_insert(0) += 1;
            }
        }
    }
    println!("statuses: {seen:?}");
    for status in [
        Status::Ok,
        Status::BadOpcode,
        Status::BadMode,
        Status::BadSize,
        Status::BadAlign,
        Status::BadWindow,
        Status::BadRoute,
        Status::NonFinite,
    ] {
        assert!(seen.contains_key(&(status as u32)), "{status:?}");
    }
}

#[test]
fn prediction_and_windows_change_no_bit() {
    for seed in 0..40 {
        println!("seed {seed}");
        let program = Program::random(&TINY, LIMITS, seed);
        let plain = run(TINY, &program, |_| ());
        // What TINY can do, SIM can.
        let same = [
            run(SIM, &program, |_| ()),
            run(SIM, &program, |c| {
                if golden::check(&SIM, c).is_ok() {
                    c.window_words = SIM.slot_words as u16;
                    (c.predict, c.guesses) = (0, 0);
                }
            }),
        ];
        for other in same {
            assert!(plain == other);
        }
    }
}

#[test]
fn every_dimension_is_drawn() {
    let mut drawn = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let program = Program::random(&SIM, LIMITS, seed);
        for step in &program.steps {
            let c = &step.command;
            if step.status == Status::Ok {
                drawn.insert(format!("opcode {:?}", c.opcode()));
                drawn.insert(format!("flags {}", c.flags));
            }
            if let (Some(_), Some(Opcode::MoeLayer)) = (&step.layer, c.opcode()) {
                drawn.insert(format!("storage {}", c.storage));
                drawn.insert(format!("activation {:?} {}", c.activation(), c.gated()));
                drawn.insert(format!("source {:?}", c.source()));
                drawn.insert(format!("score {:?} {}", c.score(), c.routing >> 4));
                drawn.insert(format!("predict {} {}", c.predict, c.guesses));
            }
        }
    }
    println!("{} combinations", drawn.len());
    let count = |word: &str| drawn.iter().filter(|d| d.starts_with(word)).count();
    assert_eq!(count("opcode"), 3);
    assert_eq!(count("storage"), 42, "every storage");
    assert_eq!(count("activation"), 10, "every activation");
    assert_eq!(count("source"), 3);
    assert_eq!(count("flags"), 4);
    assert!(count("score") >= 60 && count("predict 1") >= 5 && count("predict 2") >= 5);
}
