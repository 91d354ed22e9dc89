//! The weight slots: every bank, part and address keeps its own word, and reads answer one cycle later.

use abi::config::SIM;
use sim_tb::pins::{cycle, Pins, Stream};
use sim_tb::rng::Rng;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Words of each bank.
const WORDS: u64 = (SIM.slots * SIM.slot_words + 2 * SIM.router_words) as u64;
const MAP: u64 = 3;

/// (bank, part, word) to the beat.
type Store = Rc<RefCell<HashMap<(u64, u64, u64), Vec<u32>>>>;

/// Bank, part and port of a part of a word.
type Part = (u64, u64, &'static str);

/// The read ports: address, and the parts of the word.
const READS: [(&str, &[Part]); 4] = [
    (
        "rd_value_addr",
        &[
            (2, 0, "rd_value_0"),
            (2, 1, "rd_value_1"),
            (2, 2, "rd_value_2"),
            (2, 3, "rd_value_3"),
        ],
    ),
    (
        "rd_position_addr",
        &[(1, 0, "rd_position_0"), (1, 1, "rd_position_1")],
    ),
    ("rd_scale_addr", &[(0, 0, "rd_scale")]),
    ("rd_map_addr", &[(MAP, 0, "rd_map")]),
];

fn beat(rng: &mut Rng) -> Vec<u32> {
    (0..4).map(|_| rng.next() as u32).collect()
}

/// A word below or not below the middle; half of them are few, so that words are overwritten and read again.
fn word(rng: &mut Rng, upper: bool) -> u64 {
    let words = if rng.chance(128) { 4 } else { WORDS / 2 };
    rng.below(words) + if upper { WORDS / 2 } else { 0 }
}

/// Writes at random into one half of the words; payload is noise in cycles without a write.
struct Writer {
    upper: bool,
    on: bool,
    rng: Rng,
    store: Store,
}

impl Stream for Writer {
    fn drive(&mut self, pins: &mut Pins) {
        let valid = self.on && self.rng.chance(200);
        let bank = self.rng.below(3);
        let parts = READS[2 - bank as usize].1.len() as u64;
        let place = (bank, self.rng.below(parts), word(&mut self.rng, self.upper));
        let data = beat(&mut self.rng);
        pins.set("wr_vld", valid.into());
        pins.set("wr_bank", place.0);
        pins.set("wr_sub", place.1);
        pins.set("wr_addr", place.2);
        pins.set_wide("wr_data", &data);
        if valid {
            self.store.borrow_mut().insert(place, data);
        }
        let valid = self.on && self.rng.chance(100);
        let place = (MAP, 0, word(&mut self.rng, self.upper));
        let data = self.rng.next() as u32;
        pins.set("map_vld", valid.into());
        pins.set("map_addr", place.2);
        pins.set("map_data", data.into());
        if valid {
            self.store.borrow_mut().insert(place, vec![data]);
        }
    }
    fn sample(&mut self, _: &mut Pins) {}
}

/// Reads at random from the other half and checks each answer in the cycle after.
struct Reader {
    upper: bool,
    rng: Rng,
    store: Store,
    asked: Option<[u64; 4]>,
    checked: usize,
}

impl Stream for Reader {
    fn drive(&mut self, pins: &mut Pins) {
        let addresses = [0; 4].map(|_: u64| word(&mut self.rng, self.upper));
        for ((port, _), a) in READS.iter().zip(addresses) {
            pins.set(port, a);
        }
        let Some(asked) = self.asked.replace(addresses) else {
            return;
        };
        // The answer is a register: it stands during this cycle, whatever is asked now.
        for ((_, parts), word) in READS.iter().zip(asked) {
            for (bank, part, port) in *parts {
                if let Some(want) = self.store.borrow().get(&(*bank, *part, word)) {
                    assert_eq!(&pins.get_wide(port), want, "{port}, word {word}");
                    self.checked += 1;
                }
            }
        }
    }
    fn sample(&mut self, _: &mut Pins) {}
}

#[test]
fn half_the_words_are_written_while_the_others_are_read() {
    let seed = 61;
    println!("seed {seed}");
    let mut pins = Pins::new("slots").unwrap();
    let store = Store::default();
    let mut writer = Writer {
        upper: false,
        on: true,
        rng: Rng::new(seed),
        store: store.clone(),
    };
    let mut reader = Reader {
        upper: true,
        rng: Rng::new(seed + 1),
        store,
        asked: None,
        checked: 0,
    };
    for _ in 0..20 {
        for _ in 0..1500 {
            cycle(&mut pins, &mut [&mut reader, &mut writer]);
        }
        // A cycle of rest for the last write and read, then the halves change hands.
        writer.on = false;
        cycle(&mut pins, &mut [&mut reader, &mut writer]);
        writer.on = true;
        writer.upper ^= true;
        reader.upper ^= true;
        reader.asked = None;
    }
    println!("{} words checked", reader.checked);
    assert!(reader.checked > 50_000);
}

#[test]
fn first_and_last_words_of_the_banks_are_apart() {
    let mut pins = Pins::new("slots").unwrap();
    let mark = |bank: u64, part: u64, word: u64| {
        let m = [bank as u32 + 1, part as u32, word as u32, 0xABCD];
        if bank == MAP {
            vec![m[0] << 16 | m[2]]
        } else {
            m.to_vec()
        }
    };
    for word in [0, WORDS - 1] {
        for (bank, part, _) in READS.iter().flat_map(|r| r.1) {
            let map = *bank == MAP;
            pins.set("wr_vld", (!map).into());
            pins.set("map_vld", map.into());
            pins.set(if map { "map_addr" } else { "wr_addr" }, word);
            pins.set_wide(
                if map { "map_data" } else { "wr_data" },
                &mark(*bank, *part, word),
            );
            pins.set("wr_bank", *bank);
            pins.set("wr_sub", *part);
            pins.tick();
        }
    }
    pins.set("wr_vld", 0);
    pins.set("map_vld", 0);
    for word in [0, WORDS - 1] {
        for (port, _) in READS {
            pins.set(port, word);
        }
        pins.tick();
        for (bank, part, port) in READS.iter().flat_map(|r| r.1) {
            assert_eq!(pins.get_wide(port), mark(*bank, *part, word), "{port}");
        }
    }
}
