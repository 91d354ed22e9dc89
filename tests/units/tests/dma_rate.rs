//! How much of a link the DMA uses: first to last byte of payload, 125 MHz, a microsecond of round trip, against P / (P + overhead).

use unit_tests::dma::{Bench, Descriptor, Direction, Link, Manners};

/// Bytes moved in each direction that is on, and the descriptors' size.
fn run(
    rate: f64,
    mps: u32,
    directions: &[Direction],
    bytes: u64,
    each: u64,
    at: (u64, u64),
) -> f64 {
    let unit = if rate > 8.0 {
        "pcie_dma_128"
    } else {
        "pcie_dma"
    };
    let manners = Manners {
        latency: 40,
        ..Manners::default()
    };
    let mut b = Bench::new(unit, 5, manners);
    b.link = Some(Link {
        rate,
        round_trip: 125,
    });
    b.mps = mps;
    b.mrrs = 2;
    b.write(0x20A0, 0x0100);
    b.write(0x2014, 3);
    b.write(0x0090, 0x00F8_3E1E);
    b.write(0x1090, 0x00F8_3E1E);
    let (host, card) = ((1 << 40) + at.0, (1 << 24) + at.1);
    for direction in directions {
        // The two directions use different halves of both memories.
        let half = if *direction == Direction::H2c {
            0
        } else {
            1 << 23
        };
        let mut list = Vec::new();
        for offset in (0..bytes).step_by(each as usize) {
            let (h, c) = (host + half + offset, card + half + offset);
            let (src, dst) = match direction {
                Direction::H2c => (h, c),
                Direction::C2h => (c, h),
            };
            list.push(Descriptor {
                src,
                dst,
                length: each as u32,
                control: 0,
            });
        }
        let targets = match direction {
            Direction::H2c => (&mut b.card.targets, card),
            Direction::C2h => (&mut b.host.targets, host),
        };
        targets.0.insert(targets.1 + half, targets.1 + half + bytes);
        // As the kernel driver does: blocks of 64 at multiples of 2 KiB.
        let places: Vec<_> = (0..list.len() as u64)
            .step_by(64)
            .map(|i| ((1 << 33) + half + 32 * i, 64))
            .collect();
        let first = b.list(&list, &places, 0);
        b.start(*direction, first, 0x00F8_3E1F);
    }
    let n = directions.len();
    b.until("interrupts", 4_000_000, |b| b.messages().len() == n);
    let spans: Vec<_> = b.span.iter().flatten().collect();
    let cycles = spans.iter().map(|s| s.1 - s.0 + 1).max().unwrap();
    bytes as f64 / cycles as f64 / rate
}

const RATES: [(&str, f64); 3] = [("Gen1 x1", 2.0), ("Gen2 x1", 4.0), ("Gen2 x4", 16.0)];

#[test]
fn most_of_the_link_is_payload() {
    let nightly = std::env::var_os("ROUNDHOUSE_NIGHTLY").is_some();
    let most = if nightly { 1 << 20 } else { 1 << 17 };
    for (name, rate) in RATES {
        for mps in [0, 1] {
            let p = f64::from(128u32 << mps);
            // Completions have headers of three words, writes to high addresses of four.
            for (direction, header) in [(Direction::H2c, 20.0), (Direction::C2h, 24.0)] {
                let ceiling = p / (p + header);
                for bytes in [most, 65_536, 4096] {
                    let got = run(rate, mps, &[direction], bytes, 4096, (0, 0));
                    println!(
                        "{name} {direction:?} MPS {p}: {bytes} bytes, {got:.4} of the link, {:.4} of the ceiling",
                        got / ceiling
                    );
                    assert!(got / ceiling > 0.95);
                }
            }
            // Requests of 512 bytes share the way up with the writes.
            let ceiling = p / (p + 24.0 + 24.0 * p / 512.0);
            let both = [Direction::H2c, Direction::C2h];
            let got = run(rate, mps, &both, most, 4096, (0, 0));
            println!(
                "{name} both MPS {p}: {got:.4} of the link, {:.4} of the ceiling",
                got / ceiling
            );
            assert!(got / ceiling > 0.9);
        }
    }
}

#[test]
fn odd_addresses_and_small_descriptors() {
    for (name, rate) in RATES {
        for (each, at) in [
            (4096, (1, 14)),
            (4096, (64, 0)),
            (1024, (0, 0)),
            (256, (0, 0)),
            (64, (0, 0)),
        ] {
            for direction in [Direction::H2c, Direction::C2h] {
                let got = run(rate, 1, &[direction], 1 << 15, each, at);
                println!("{name} {direction:?} MPS 256, descriptors of {each} at {at:?}: {got:.4} of the link");
            }
        }
    }
}
