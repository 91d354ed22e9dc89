//! The link of the simulated board, with the fixture that sends every packet back (`make units` builds it): order, speed, credits and
//! the rules of the stream.

use sim_tb::pcie_card::{Card, CardLibrary, CardParams, Rate, FRAMING};
use sim_tb::rng::Rng;
use sim_tb::root_complex::{Grants, Link, Pool};

fn pool(headers: u32, data: u32) -> Option<Pool> {
    Some(Pool { headers, data })
}

fn card(params: CardParams) -> Card {
    let mut card = Card::new(&CardLibrary::load("fixture", false).unwrap(), params).unwrap();
    card.reset(&Grants {
        posted: pool(7, 700),
        non_posted: pool(9, 90),
        completion: None,
    });
    card
}

/// Sends packets of these lengths; all must come back.
fn echo(card: &mut Card, lengths: &[usize], seed: u64) -> u64 {
    let mut rng = Rng::new(seed);
    let packets: Vec<Vec<u32>> = lengths
        .iter()
        .map(|n| (0..*n).map(|_| rng.next() as u32 | 1 << 31).collect())
        .collect();
    for p in &packets {
        card.send(p);
    }
    let mut end = 0;
    for p in &packets {
        let got = card
            .run(card.now() + 100_000)
            .unwrap()
            .expect("it comes back");
        assert_eq!(&got.words, p);
        end = got.cycle;
    }
    assert_eq!(card.queued(), 0);
    assert_eq!(card.run(card.now() + 100).unwrap(), None);
    end
}

#[test]
fn packets_keep_their_words_and_order_under_stalls() {
    for seed in 0..20 {
        let mut card = card(CardParams::stormy(4096, seed));
        let mut rng = Rng::new(seed);
        let lengths: Vec<usize> = (0..50).map(|_| 3 + rng.below(70) as usize).collect();
        echo(&mut card, &lengths, seed);
    }
}

#[test]
fn the_link_carries_what_its_speed_allows() {
    for rate in [Rate::Gen1x1, Rate::Gen2x1, Rate::Gen2x4] {
        let mut card = card(CardParams {
            rate,
            ..CardParams::calm(4096, 1)
        });
        let (start, n, words) = (card.now(), 100, 35);
        let cycles = echo(&mut card, &vec![words; n], 1) - start;
        // The stream has 8 bytes a cycle and the link its own speed; whichever is less.
        let on_link = (4 * words + FRAMING as usize) * n / rate.bytes() as usize;
        let on_stream = words.div_ceil(2) * n;
        let least = on_link.max(on_stream) as u64;
        // The last packet's bytes need not have gone when its last beat is taken.
        assert!(
            (least - 8..least + 60).contains(&cycles),
            "{rate:?}: {cycles} cycles, {least}"
        );
    }
}

#[test]
fn credits_pass_both_ways() {
    let mut card = card(CardParams::calm(4096, 1));
    assert_eq!(card.granted().posted, pool(4, 64));
    let first = Grants {
        posted: pool(255, 4095),
        non_posted: pool(1, 2),
        completion: None,
    };
    card.grant(&first);
    card.send(&[1 << 31, 2, 3]);
    let got = card.run(card.now() + 1000).unwrap().unwrap();
    assert_eq!(got.granted, first);
    assert_eq!(card.granted().non_posted, pool(5, 65));
    assert_eq!(card.granted().completion, None);
    let active = card.active();
    card.run(card.now() + 500).unwrap();
    assert_eq!(card.active(), active);
    assert!(active <= got.cycle);
}

#[test]
fn broken_rules_of_the_stream_are_named() {
    for (sin, text) in [
        (0xBAD0_0001u32, "before the beginning of a packet"),
        (0xBAD0_0002, "keep is 0x2 in a beat"),
        (0xBAD0_0003, "valid fell before ready"),
        (0xBAD0_0004, "changed while waiting"),
        (0xBAD0_0005, "begins within another"),
    ] {
        let mut card = card(CardParams {
            stall: [0, 0, 0, 0, 0, 0, 200],
            ..CardParams::calm(4096, 1)
        });
        card.send(&[1 << 31, 2, 3]);
        card.send(&[sin, 1, sin, 1, sin]);
        let mut run = || card.run(card.now() + 1000);
        assert!(run().unwrap().is_some());
        let e = loop {
            match run() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("sin {sin:x} was not seen"),
                Err(e) => break e.to_string(),
            }
        };
        assert!(e.starts_with("cycle ") && e.contains(text), "{sin:x}: {e}");
        // A reset helps.
        card.reset(&Grants::default());
        echo(&mut card, &[3, 4], 1);
    }
}
