//! The UART: bytes on a wire, noise, broken stop bits, and its two halves against each other.

use sim_tb::pins::Pins;
use sim_tb::rng::Rng;

/// Cycles of a bit, as the module of the bench was made.
const BIT: u64 = 16;

fn unit() -> Pins {
    let mut p = Pins::new("uart").unwrap();
    p.set("rx", 1);
    p.reset("rst", 2);
    p
}

/// Holds `rx` for `cycles`; the bytes that come meanwhile.
fn hold(p: &mut Pins, level: u64, cycles: u64, got: &mut Vec<u64>) {
    p.set("rx", level);
    for _ in 0..cycles {
        if p.get("out_vld") == 1 {
            got.push(p.get("out_data"));
        }
        p.tick();
    }
}

/// A byte with this stop bit.
fn send(p: &mut Pins, byte: u64, stop: u64, got: &mut Vec<u64>) {
    hold(p, 0, BIT, got);
    for i in 0..8 {
        hold(p, byte >> i & 1, BIT, got);
    }
    hold(p, stop, BIT, got);
}

#[test]
fn every_byte_with_and_without_gaps() {
    for gap in [0, 5, 100] {
        let (mut p, mut got, mut rng) = (unit(), Vec::new(), Rng::new(gap));
        let bytes: Vec<u64> = (0..256).map(|i| (i + rng.below(256)) & 255).collect();
        for byte in &bytes {
            send(&mut p, *byte, 1, &mut got);
            hold(&mut p, 1, gap, &mut got);
        }
        hold(&mut p, 1, 2 * BIT, &mut got);
        assert_eq!(got, bytes, "gap {gap}");
    }
}

#[test]
fn noise_and_a_broken_stop_bit_are_no_bytes() {
    let (mut p, mut got) = (unit(), Vec::new());
    for cycles in 1..BIT / 2 - 1 {
        hold(&mut p, 0, cycles, &mut got);
        hold(&mut p, 1, 12 * BIT, &mut got);
    }
    assert!(got.is_empty(), "{got:?}");
    send(&mut p, 0x55, 0, &mut got);
    hold(&mut p, 1, 12 * BIT, &mut got);
    assert!(got.is_empty(), "no stop bit: {got:?}");
    send(&mut p, 0xA7, 1, &mut got);
    hold(&mut p, 1, BIT, &mut got);
    assert_eq!(got, [0xA7], "the next byte is whole");
}

/// `tx` back into `rx`: every byte once and in order, and a bit lasts as long as it should.
#[test]
fn what_is_sent_is_received() {
    let (mut p, mut rng) = (unit(), Rng::new(3));
    let bytes: Vec<u64> = (0..300).map(|_| rng.below(256)).collect();
    let (mut next, mut got, mut start) = (0, Vec::new(), None);
    while got.len() < bytes.len() {
        assert!(
            p.cycles() < 300 * 13 * BIT + 1000,
            "{} bytes came",
            got.len()
        );
        let offers = next < bytes.len() && rng.chance(200);
        p.set("in_vld", u64::from(offers));
        p.set("in_data", if offers { bytes[next] } else { 0x99 });
        let tx = p.get("tx");
        p.set("rx", tx);
        if tx == 0 && start.is_none() {
            start = Some(p.cycles());
        }
        if offers && p.get("in_rdy") == 1 {
            next += 1;
        }
        if p.get("out_vld") == 1 {
            got.push(p.get("out_data"));
            if got.len() == 1 {
                // Half a bit, nine bits, two registers on the way and one for the byte.
                let took = p.cycles() - start.unwrap();
                assert!(
                    (9 * BIT + BIT / 2..=9 * BIT + BIT / 2 + 4).contains(&took),
                    "{took} cycles"
                );
            }
        }
        p.tick();
    }
    assert_eq!(got, bytes);
}

#[test]
fn reset_ends_a_byte_on_its_way() {
    let (mut p, mut got) = (unit(), Vec::new());
    p.set("in_vld", 1);
    p.set("in_data", 0);
    p.tick();
    p.set("in_vld", 0);
    hold(&mut p, 0, 3 * BIT, &mut got);
    assert_eq!((p.get("tx"), p.get("in_rdy")), (0, 0), "sending");
    p.set("rx", 1);
    p.reset("rst", 1);
    assert_eq!((p.get("tx"), p.get("in_rdy")), (1, 1), "idle");
    hold(&mut p, 1, 12 * BIT, &mut got);
    assert!(got.is_empty(), "{got:?}");
}
