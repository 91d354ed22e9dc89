//! The weight slots: every bank and address keeps its own word, in both slots, and reads answer one cycle later.

use abi::config::SIM;
use sim_tb::pins::{cycle, Pins, Stream};
use sim_tb::rng::Rng;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

type Beat = [u32; 4];
/// (slot, bank, word) to the beat.
type Store = Rc<RefCell<HashMap<(u64, u64, u64), Beat>>>;

const ADDRESSES: [&str; 3] = ["rd_value_addr", "rd_scale_addr", "rd_position_addr"];

fn beat(rng: &mut Rng) -> Beat {
    let (a, b) = (rng.next(), rng.next());
    [a as u32, (a >> 32) as u32, b as u32, (b >> 32) as u32]
}

/// Writes at random into slot `slot`; payload is noise in cycles without a write.
struct Writer {
    slot: u64,
    on: bool,
    rng: Rng,
    store: Store,
}

impl Stream for Writer {
    fn drive(&mut self, pins: &mut Pins) {
        let valid = self.on && self.rng.chance(200);
        // Half of the writes go to few addresses, so that words are overwritten.
        let words = if self.rng.chance(128) {
            4
        } else {
            SIM.slot_words as u64
        };
        let place = (self.slot, self.rng.below(6), self.rng.below(words));
        let data = beat(&mut self.rng);
        pins.set("wr_vld", valid.into());
        pins.set("wr_slot", place.0);
        pins.set("wr_bank", place.1);
        pins.set("wr_addr", place.2);
        pins.set_wide("wr_data", &data);
        if valid {
            self.store.borrow_mut().insert(place, data);
        }
    }
    fn sample(&mut self, _: &mut Pins) {}
}

/// Reads at random from slot `slot` and checks each answer in the cycle after.
struct Reader {
    slot: u64,
    rng: Rng,
    store: Store,
    asked: Option<(u64, [u64; 3])>,
    checked: usize,
}

impl Stream for Reader {
    fn drive(&mut self, pins: &mut Pins) {
        let words = if self.rng.chance(128) {
            4
        } else {
            SIM.slot_words as u64
        };
        let addresses = [0; 3].map(|_: u64| self.rng.below(words));
        pins.set("rd_slot", self.slot);
        for (port, a) in ADDRESSES.iter().zip(addresses) {
            pins.set(port, a);
        }
        if let Some((slot, a)) = self.asked.replace((self.slot, addresses)) {
            // The answer is a register: it stands during this cycle, whatever is asked now.
            let ports = (0..4)
                .map(|lane| (format!("rd_value_{lane}"), lane, a[0]))
                .chain([
                    ("rd_scale".into(), 4, a[1]),
                    ("rd_position".into(), 5, a[2]),
                ]);
            for (port, bank, word) in ports {
                if let Some(want) = self.store.borrow().get(&(slot, bank, word)) {
                    assert_eq!(
                        pins.get_wide(&port),
                        want,
                        "slot {slot} bank {bank} word {word}"
                    );
                    self.checked += 1;
                }
            }
        }
    }
    fn sample(&mut self, _: &mut Pins) {}
}

#[test]
fn one_slot_is_written_while_the_other_is_read() {
    let seed = 61;
    println!("seed {seed}");
    let mut pins = Pins::new("slots").unwrap();
    let store = Store::default();
    let mut writer = Writer {
        slot: 0,
        on: true,
        rng: Rng::new(seed),
        store: store.clone(),
    };
    let mut reader = Reader {
        slot: 1,
        rng: Rng::new(seed + 1),
        store,
        asked: None,
        checked: 0,
    };
    for _ in 0..20 {
        for _ in 0..1500 {
            cycle(&mut pins, &mut [&mut reader, &mut writer]);
        }
        // A cycle of rest for the last write and read, then the slots change hands.
        writer.on = false;
        cycle(&mut pins, &mut [&mut reader, &mut writer]);
        writer.on = true;
        writer.slot ^= 1;
        reader.slot ^= 1;
        reader.asked = None;
    }
    println!("{} words checked", reader.checked);
    assert!(reader.checked > 50_000);
}

#[test]
fn first_and_last_words_of_the_slots_are_apart() {
    let mut pins = Pins::new("slots").unwrap();
    let last = SIM.slot_words as u64 - 1;
    let mark =
        |slot: u64, bank: u64, word: u64| [slot as u32 + 1, bank as u32, word as u32, 0xABCD];
    for slot in 0..2 {
        for bank in 0..6 {
            for word in [0, last] {
                pins.set("wr_vld", 1);
                pins.set("wr_slot", slot);
                pins.set("wr_bank", bank);
                pins.set("wr_addr", word);
                pins.set_wide("wr_data", &mark(slot, bank, word));
                pins.tick();
            }
        }
    }
    pins.set("wr_vld", 0);
    for slot in 0..2 {
        for word in [0, last] {
            pins.set("rd_slot", slot);
            for a in ADDRESSES {
                pins.set(a, word);
            }
            pins.tick();
            for lane in 0..4 {
                assert_eq!(
                    pins.get_wide(&format!("rd_value_{lane}")),
                    mark(slot, lane, word)
                );
            }
            assert_eq!(pins.get_wide("rd_scale"), mark(slot, 4, word));
            assert_eq!(pins.get_wide("rd_position"), mark(slot, 5, word));
        }
    }
}
