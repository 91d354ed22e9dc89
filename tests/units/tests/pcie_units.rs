//! The small units of the PCI Express function by themselves: buffer, request header, the two masters on the card's bus.

use sim_tb::pins::Pins;
use sim_tb::rng::Rng;
use std::collections::{HashMap, VecDeque};
use unit_tests::pcie::{check_request, run, Tlp, ENDPOINT};

/// Every word that was committed comes out once, in order; what was discarded does not. `stall` of 256.
fn buffer(seed: u64, stall: (u32, u32)) {
    println!("seed {seed}, stalls {stall:?}");
    let mut pins = Pins::new("pcie_fifo").unwrap();
    pins.reset("rst", 2);
    let mut rng = Rng::new(seed);
    let (mut open, mut good) = (Vec::new(), VecDeque::new());
    let (mut out, mut most) = (0, 0);
    while out < 3000 {
        // Never more open words than fit, as `ingress` sees to.
        let show = open.len() < 20 && !rng.chance(stall.0);
        let (commit, discard) = match rng.below(8) {
            0 | 1 => (true, false),
            2 => (false, true),
            _ => (open.len() == 19, false),
        };
        let word = rng.next() & 0xF_FFFF_FFFF;
        pins.set("in_vld", show.into());
        pins.set("in_data", word);
        pins.set("in_commit", commit.into());
        pins.set("in_discard", discard.into());
        let take = !rng.chance(stall.1);
        pins.set("out_rdy", take.into());
        if take && pins.get("out_vld") == 1 {
            assert_eq!(Some(pins.get("out_data")), good.pop_front());
            out += 1;
        }
        if show && pins.get("in_rdy") == 1 {
            open.push(word);
            if commit {
                good.extend(open.drain(..));
            } else if discard {
                open.clear();
            }
            most = most.max(good.len() + open.len());
        }
        pins.tick();
    }
    if stall.1 > 200 {
        assert!(most >= 28, "only {most} of 32 words are of use");
    }
}

#[test]
fn the_buffer_keeps_what_was_committed() {
    for (seed, stall) in [(0, 0), (0, 128), (128, 0), (100, 100), (0, 250), (250, 0)]
        .into_iter()
        .enumerate()
    {
        buffer(seed as u64, stall);
    }
}

#[test]
fn headers_of_every_run_of_bytes() {
    let mut pins = Pins::new("pcie_request_header").unwrap();
    let mut rng = Rng::new(5);
    pins.set("id", ENDPOINT.into());
    for bytes in (1..300).chain((300..=4096).step_by(7)).chain([4096]) {
        for offset in 0..8 {
            if offset + bytes > 4096 {
                continue;
            }
            let within = if rng.chance(128) {
                offset
            } else {
                4096 - bytes - (4096 - bytes - offset) / 8 * 8
            };
            let page =
                [0x12_3456_7000, 0x8765_4000, 0xFFFF_F000, 0x1_0000_0000][rng.below(4) as usize];
            let addr = page + within as u64;
            let (write, tag) = (rng.chance(128), rng.below(64));
            pins.set("addr", addr);
            pins.set("bytes", bytes as u64);
            pins.set("write", write.into());
            pins.set("tag", tag);
            let mut words = pins.get_wide("header");
            let (length, enables) = run(addr, bytes);
            words.truncate(3 + (words[0] >> 29 & 1) as usize);
            let tlp = Tlp(words);
            check_request(&tlp);
            assert_eq!(
                (tlp.addr(), tlp.length(), tlp.enables()),
                (addr & !3, length, enables)
            );
            assert_eq!((tlp.has_data(), u64::from(tlp.tag())), (write, tag));
            assert_eq!(
                pins.get("one") == 1,
                length == 1,
                "{bytes} bytes at {addr:#x}"
            );
        }
    }
}

/// A burst of one of the masters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Burst {
    addr: u64,
    len: u64,
}

#[test]
fn two_masters_share_the_bus_and_get_their_own_answers() {
    for seed in 0..6 {
        let stall = [0, 60, 150][seed as usize % 3];
        println!("seed {seed}, stall {stall}");
        let mut pins = Pins::new("pcie_card_mux").unwrap();
        pins.reset("rst", 2);
        let mut rng = Rng::new(seed);
        // Per master: addresses on offer, beats of data still to send, and what it has yet to get back.
        let mut offers = [[None; 2]; 2]; // [master][write or read]
        let mut beats: [VecDeque<(u64, bool)>; 2] = Default::default();
        let mut due = [[0u64; 2]; 2]; // answers to writes, beats of reads
        let (mut w_order, mut w_open): (VecDeque<(u64, u64)>, u64) = (VecDeque::new(), 0);
        let mut w_data: VecDeque<(u64, bool)> = VecDeque::new();
        let (mut answers, mut reads): (Vec<u64>, VecDeque<u64>) = (Vec::new(), VecDeque::new());
        let (mut sent, mut started) = ([[0; 2]; 2], 0);
        let mut seen: HashMap<u64, usize> = HashMap::new();
        for cycle in 0..6000 {
            let name = |m: usize, s: &str| format!("s{m}_{s}");
            for m in 0..2 {
                for (k, c) in ["aw", "ar"].into_iter().enumerate() {
                    let room = reads.len() < 40 && answers.len() < 40;
                    if offers[m][k].is_none() && cycle < 5000 && room && !rng.chance(stall + 40) {
                        started += 1;
                        let len = if m == 0 { 0 } else { rng.below(8) };
                        let b = Burst {
                            addr: started << 12 | (m as u64) << 8,
                            len,
                        };
                        offers[m][k] = Some(b);
                        if k == 0 {
                            beats[m].extend((0..=len).map(|i| (b.addr + i, i == len)));
                        }
                    }
                    let b = offers[m][k];
                    pins.set(&name(m, &format!("{c}_vld")), b.is_some().into());
                    pins.set(&name(m, &format!("{c}_addr")), b.map_or(77, |b| b.addr));
                    if m == 1 {
                        pins.set(&name(m, &format!("{c}_len")), b.map_or(3, |b| b.len));
                    }
                }
                let beat = beats[m].front().copied().filter(|_| !rng.chance(stall));
                pins.set(&name(m, "w_vld"), beat.is_some().into());
                pins.set(&name(m, "w_data"), beat.map_or(1, |b| b.0));
                pins.set(&name(m, "w_strb"), beat.map_or(2, |b| b.0 & 0xFFFF));
                if m == 1 {
                    pins.set("s1_w_last", beat.is_some_and(|b| b.1).into());
                }
                pins.set(&name(m, "b_rdy"), (!rng.chance(stall)).into());
                pins.set(&name(m, "r_rdy"), (!rng.chance(stall)).into());
            }
            for p in ["m_aw_rdy", "m_w_rdy", "m_ar_rdy"] {
                pins.set(p, (!rng.chance(stall)).into());
            }
            // The card answers in any order of IDs.
            let b = (!answers.is_empty()).then(|| answers[0]);
            pins.set("m_b_vld", b.is_some().into());
            pins.set("m_b_id", b.unwrap_or(0));
            pins.set("m_r_vld", (!reads.is_empty()).into());
            pins.set("m_r_id", reads.front().copied().unwrap_or(1));
            pins.eval();
            let fire = |pins: &mut Pins, p: &str| {
                pins.get(&format!("{p}_vld")) == 1 && pins.get(&format!("{p}_rdy")) == 1
            };
            for m in 0..2 {
                for (k, c) in ["aw", "ar"].into_iter().enumerate() {
                    if fire(&mut pins, &name(m, c)) {
                        let b = offers[m][k].take().unwrap();
                        due[m][k] += if k == 0 { 1 } else { b.len + 1 };
                        sent[m][k] += 1;
                    }
                }
                if fire(&mut pins, &name(m, "w")) {
                    beats[m].pop_front();
                }
                if fire(&mut pins, &name(m, "b")) {
                    due[m][0] -= 1;
                }
                if fire(&mut pins, &name(m, "r")) {
                    due[m][1] -= 1;
                }
            }
            for (k, c) in ["m_aw", "m_ar"].into_iter().enumerate() {
                if fire(&mut pins, c) {
                    let (addr, len) = (
                        pins.get(&format!("{c}_addr")),
                        pins.get(&format!("{c}_len")),
                    );
                    let id = pins.get(&format!("{c}_id"));
                    assert_eq!(id, addr >> 8 & 1, "whose {c} {addr:#x} is");
                    *seen.entry(addr).or_default() += 1;
                    if k == 0 {
                        w_order.push_back((addr, len));
                    } else {
                        reads.extend((0..=len).map(|_| id));
                    }
                }
            }
            if fire(&mut pins, "m_w") {
                let data = pins.get_wide("m_w_data");
                let at = u64::from(data[0]) | u64::from(data[1]) << 32;
                assert_eq!(pins.get("m_w_strb"), at & 0xFFFF);
                w_data.push_back((at, pins.get("m_w_last") == 1));
            }
            // Data may come before its address has been taken, but in the order of the addresses.
            while let (Some((addr, len)), Some((at, last))) =
                (w_order.front().copied(), w_data.front().copied())
            {
                assert_eq!(
                    (at, last),
                    (addr + w_open, w_open == len),
                    "data of {addr:#x}"
                );
                w_data.pop_front();
                w_open += 1;
                if last {
                    answers.push(addr >> 8 & 1);
                    w_order.pop_front();
                    w_open = 0;
                }
            }
            if fire(&mut pins, "m_b") {
                answers.remove(0);
            }
            if fire(&mut pins, "m_r") {
                reads.pop_front();
            }
            pins.tick();
        }
        assert_eq!(due, [[0; 2]; 2], "every answer came");
        assert!(seen.values().all(|n| *n == 1));
        println!("bursts {sent:?}");
        assert!(
            sent.iter().flatten().all(|n| *n > 100),
            "both have their share"
        );
    }
}
