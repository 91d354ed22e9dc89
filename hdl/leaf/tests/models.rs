//! Every leaf's Rust model against its Verilog, in Verilator, on random and corner inputs; and the size of the leaves.

use backend::bench::{Bench, Random};
use leaf::prelude::*;
use leaf::{from_i128, to_i128};

const SEED: u64 = 0x5eed_1eaf;
const STEPS: usize = 300;

fn wide<const W: usize>(r: &mut Random) -> Bits<W> {
    let mut x = Bits::default();
    for lo in (0..W).step_by(64) {
        let word = r.u64();
        for i in lo..W.min(lo + 64) {
            x = x.replace_bit(i, word >> (i - lo) & 1 == 1);
        }
    }
    x
}

fn number<const W: usize>(r: &mut Random) -> Signed<W> {
    from_i128(r.corners() as i128)
}

fn narrow<const W: usize>(r: &mut Random) -> Bits<W> {
    bits(r.u64() & ((1 << W) - 1))
}

fn add_ram<const W: usize, const A: usize>(bench: &mut Bench, name: &str, depth: usize) {
    let mut r = Random::new(SEED);
    let mut uut = Ram::<W, A>::new(depth);
    let added = bench.add(name, &mut uut, STEPS, |u, _, clock| {
        u.clock.next = clock.into();
        if !clock {
            u.we.next = r.below(2) == 1;
            u.waddr.next = bits(r.below(depth as u64));
            u.wdata.next = wide(&mut r);
            u.re.next = r.below(4) != 0;
            // Never the address being written: that word is undefined, and the model says so with an inverted one.
            let raddr = r.below(depth as u64 - 1);
            let written = u.waddr.next.index() as u64;
            u.raddr.next = bits(raddr + u64::from(raddr >= written));
        }
    });
    added.unwrap();
    assert_eq!(uut.collisions(), 0);
}

fn add_dram<const W: usize, const A: usize>(
    bench: &mut Bench,
    name: &str,
    uut: &mut Dram<W, A>,
    depth: usize,
) {
    let mut r = Random::new(SEED);
    let added = bench.add(name, uut, STEPS, |u, _, clock| {
        u.clock.next = clock.into();
        if !clock {
            u.we.next = r.below(2) == 1;
            u.waddr.next = bits(r.below(depth as u64));
            u.wdata.next = wide(&mut r);
            u.raddr.next = bits(r.below(depth as u64));
        }
    });
    added.unwrap();
}

fn add_rom<const W: usize, const A: usize>(bench: &mut Bench, name: &str, words: Vec<u128>) {
    let mut r = Random::new(SEED);
    let added = bench.add(name, &mut Rom::<W, A>::new(words), STEPS, |u, _, clock| {
        u.clock.next = clock.into();
        if !clock {
            u.re.next = r.below(4) != 0;
            u.addr.next = narrow(&mut r);
        }
    });
    added.unwrap();
}

fn add_mul<const A: usize, const B: usize, const P: usize>(bench: &mut Bench, name: &str) {
    let mut r = Random::new(SEED);
    let added = bench.add(
        name,
        &mut MulS::<A, B, P>::default(),
        STEPS,
        |u, _, clock| {
            u.clock.next = clock.into();
            if !clock {
                (u.en.next, u.a.next, u.b.next) = (r.below(4) != 0, number(&mut r), number(&mut r));
            }
        },
    );
    added.unwrap();
}

fn add_mul2<const A: usize, const B: usize, const P: usize>(bench: &mut Bench, name: &str) {
    let mut r = Random::new(SEED);
    let added = bench.add(
        name,
        &mut MulS2::<A, B, P>::default(),
        STEPS,
        |u, _, clock| {
            u.clock.next = clock.into();
            if !clock {
                (u.en.next, u.a.next, u.b.next) = (r.below(4) != 0, number(&mut r), number(&mut r));
            }
        },
    );
    added.unwrap();
}

fn add_mul_lut<const A: usize, const B: usize, const P: usize>(bench: &mut Bench, name: &str) {
    for (name, mut uut) in [
        (name.to_string(), MulLut::<A, B, P>::default()),
        (format!("{name}_unsigned"), MulLut::unsigned()),
    ] {
        let mut r = Random::new(SEED);
        let added = bench.add(&name, &mut uut, STEPS, |u, _, clock| {
            u.clock.next = clock.into();
            if !clock {
                (u.en.next, u.a.next, u.b.next) = (r.below(4) != 0, number(&mut r), number(&mut r));
            }
        });
        added.unwrap();
    }
}

/// The two addends of a `MulPairs` have a meaning only together.
#[derive(LogicBlock)]
struct PairsSum<const A: usize, const B: usize, const P: usize> {
    clock: Signal<In, Clock>,
    a: Signal<In, Bits<A>>,
    b: Signal<In, Bits<B>>,
    half: Signal<In, Bit>,
    p: Signal<Out, Bits<P>>,
    pairs: MulPairs<A, B, P>,
}

impl<const A: usize, const B: usize, const P: usize> Logic for PairsSum<A, B, P> {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, pairs);
        self.pairs.a.next = self.a.val();
        self.pairs.b.next = self.b.val();
        self.pairs.half.next = self.half.val();
        self.p.next = self.pairs.x.val() + self.pairs.y.val();
    }
}

fn add_pairs<const A: usize, const B: usize, const P: usize>(
    bench: &mut Bench,
    name: &str,
    half: usize,
) {
    let mut r = Random::new(SEED);
    let mut uut = PairsSum::<A, B, P> {
        clock: Default::default(),
        a: Default::default(),
        b: Default::default(),
        half: Default::default(),
        p: Default::default(),
        pairs: MulPairs::new(half),
    };
    let added = bench.add(name, &mut uut, STEPS, |u, _, clock| {
        u.clock.next = clock.into();
        if !clock {
            u.a.next = unsigned_cast(number(&mut r));
            u.b.next = unsigned_cast(number(&mut r));
            u.half.next = r.below(2) == 1;
        }
    });
    added.unwrap();
}

fn add_shifts<const W: usize, const S: usize>(bench: &mut Bench, name: &str) {
    let mut r = Random::new(SEED);
    let added = bench.add(
        &format!("ashr_{name}"),
        &mut Ashr::<W, S>::default(),
        STEPS,
        |u, _, _| {
            (u.x.next, u.s.next) = (number(&mut r), narrow(&mut r));
        },
    );
    added.unwrap();
    let added = bench.add(
        &format!("rne_{name}"),
        &mut ShrRne::<W, S>::default(),
        4 * STEPS,
        |u, step, _| {
            // Ties are rare among random numbers: every other input is an odd multiple of a half.
            u.s.next = narrow(&mut r);
            let s = u.s.next.index();
            u.x.next = if step % 2 == 0 || s == 0 || s >= W {
                number(&mut r)
            } else {
                from_i128(to_i128(number::<W>(&mut r)) >> (s - 1) << (s - 1))
            };
        },
    );
    added.unwrap();
    let added = bench.add(
        &format!("shl_{name}"),
        &mut Shl::<W, S>::default(),
        STEPS,
        |u, _, _| {
            u.s.next = narrow(&mut r);
            // Half of the inputs are small enough not to overflow.
            let room = (r.below(2) * u.s.next.index() as u64).min(W as u64 - 1);
            u.x.next = from_i128(to_i128(number::<W>(&mut r)) >> room);
        },
    );
    added.unwrap();
}

fn add_lzc<const W: usize, const C: usize>(bench: &mut Bench, name: &str) {
    let mut r = Random::new(SEED);
    let added = bench.add(name, &mut Lzc::<W, C>::default(), STEPS, |u, step, _| {
        let any: Bits<W> = wide(&mut r);
        u.x.next = any >> (step % (W + 1)) as u64;
    });
    added.unwrap();
}

fn add_mux4<const W: usize, const N: usize>(bench: &mut Bench, name: &str) {
    let mut r = Random::new(SEED);
    let added = bench.add(name, &mut Mux4::<W, N>::default(), STEPS, |u, _, _| {
        (u.x.next, u.s.next) = (wide(&mut r), narrow(&mut r));
    });
    added.unwrap();
}

fn add_mux8<const W: usize, const N: usize>(bench: &mut Bench, name: &str) {
    let mut r = Random::new(SEED);
    let added = bench.add(name, &mut Mux8::<W, N>::default(), STEPS, |u, _, _| {
        (u.x.next, u.s.next) = (wide(&mut r), narrow(&mut r));
    });
    added.unwrap();
}

fn add_lanes<const W: usize, const U: usize, const S: usize, const N: usize>(bench: &mut Bench) {
    let mut r = Random::new(SEED);
    let added = bench.add(
        &format!("rotate_{W}_{U}"),
        &mut Rotate::<W, U, S>::default(),
        STEPS,
        |u, _, _| (u.x.next, u.s.next) = (wide(&mut r), narrow(&mut r)),
    );
    added.unwrap();
    let added = bench.add(
        &format!("mux_lanes_{W}_{U}"),
        &mut MuxLanes::<W, N>::default(),
        STEPS,
        |u, _, _| (u.a.next, u.b.next, u.s.next) = (wide(&mut r), wide(&mut r), narrow(&mut r)),
    );
    added.unwrap();
}

fn add_last8<const W: usize, const N: usize>(bench: &mut Bench, name: &str) {
    let mut r = Random::new(SEED);
    let added = bench.add(name, &mut Last8::<W, N>::default(), STEPS, |u, _, _| {
        u.x.next = wide(&mut r);
        u.f.next = (0xFEu64 << r.below(8) & 0xFF).to_bits();
    });
    added.unwrap();
}

fn add_chains<const W: usize>(bench: &mut Bench) {
    let mut r = Random::new(SEED);
    let added = bench.add(
        &format!("add_mux_{W}"),
        &mut AddMux::<W>::default(),
        STEPS,
        |u, _, _| {
            (u.a.next, u.b.next, u.d.next) = (wide(&mut r), wide(&mut r), wide(&mut r));
            (u.s.next, u.cin.next) = (r.below(2) == 1, r.below(2) == 1);
            if r.below(4) == 0 {
                u.b.next = !u.a.next; // a carry that runs through, or all ones
            }
        },
    );
    added.unwrap();
    let added = bench.add(
        &format!("add_sub_{W}"),
        &mut AddSub::<W>::default(),
        STEPS,
        |u, _, _| {
            (u.a.next, u.b.next) = (wide(&mut r), wide(&mut r));
            u.sub.next = r.below(2) == 1;
            if r.below(4) == 0 {
                u.b.next = u.a.next;
            }
        },
    );
    added.unwrap();
}

fn add_mul_dsp<const A: usize, const B: usize, const P: usize>(bench: &mut Bench, name: &str) {
    let mut r = Random::new(SEED);
    let added = bench.add(
        name,
        &mut MulDsp::<A, B, P>::default(),
        STEPS,
        |u, _, clock| {
            u.clock.next = clock.into();
            if !clock {
                (u.a.next, u.b.next) = (number(&mut r), number(&mut r));
            }
        },
    );
    added.unwrap();
}

#[test]
fn every_leaf_is_its_verilog() {
    println!("seed {SEED:#x}");
    let mut bench = Bench::new("leaf-models");
    let b = &mut bench;
    add_ram::<8, 4>(b, "ram_full", 16);
    add_ram::<40, 12>(b, "ram_part", 300);
    add_ram::<512, 3>(b, "ram_wide", 5);
    add_ram::<1, 1>(b, "ram_small", 2);
    add_dram::<16, 4>(b, "dram_full", &mut Dram::new(16), 16);
    add_dram::<70, 6>(b, "dram_part", &mut Dram::new(33), 33);
    add_dram::<31, 6>(b, "dram_luts", &mut Dram::in_luts(64), 64);
    add_rom::<12, 4>(b, "rom_full", (0..16).map(|i| i * 257 % 4096).collect());
    add_rom::<100, 3>(b, "rom_part", vec![1 << 99, 7, u128::MAX >> 28]);
    add_mul::<8, 8, 16>(b, "mul_8_8");
    add_mul::<24, 9, 33>(b, "mul_24_9");
    add_mul::<17, 47, 64>(b, "mul_17_47");
    add_mul2::<18, 18, 36>(b, "mul2_18_18");
    add_mul2::<8, 5, 13>(b, "mul2_8_5");
    add_mul_lut::<36, 21, 57>(b, "mul_lut_36_21");
    add_mul_lut::<17, 17, 34>(b, "mul_lut_17_17");
    add_mul_lut::<18, 16, 34>(b, "mul_lut_18_16");
    add_mul_lut::<9, 3, 12>(b, "mul_lut_9_3");
    add_mul_lut::<5, 2, 7>(b, "mul_lut_5_2");
    add_mul_lut::<2, 8, 10>(b, "mul_lut_2_8");
    add_pairs::<25, 29, 54>(b, "pairs_25_29", 35);
    add_pairs::<16, 17, 33>(b, "pairs_16_17", 16);
    add_pairs::<17, 16, 33>(b, "pairs_17_16", 11);
    add_pairs::<5, 6, 11>(b, "pairs_5_6", 3);
    add_pairs::<8, 8, 16>(b, "pairs_8_8", 0);
    add_shifts::<16, 5>(b, "16_5");
    add_shifts::<48, 6>(b, "48_6");
    add_shifts::<64, 8>(b, "64_8");
    add_shifts::<9, 2>(b, "9_2");
    add_shifts::<96, 7>(b, "96_7");
    add_lzc::<32, 6>(b, "lzc_32");
    add_lzc::<48, 6>(b, "lzc_48");
    add_lzc::<7, 3>(b, "lzc_7");
    add_lzc::<2, 2>(b, "lzc_2");
    add_lzc::<65, 7>(b, "lzc_65");
    add_mux4::<8, 32>(b, "mux4_8");
    add_mux4::<3, 12>(b, "mux4_3");
    add_mux8::<8, 64>(b, "mux8_8");
    add_mux8::<1, 8>(b, "mux8_1");
    add_lanes::<128, 8, 4, 16>(b);
    add_lanes::<64, 32, 1, 2>(b);
    add_lanes::<4, 1, 2, 4>(b);
    add_last8::<8, 64>(b, "last8_8");
    add_chains::<36>(b);
    add_chains::<15>(b);
    add_chains::<2>(b);
    add_mul_dsp::<8, 8, 16>(b, "mul_dsp_8_8");
    add_mul_dsp::<18, 18, 36>(b, "mul_dsp_18_18");
    add_mul_dsp::<18, 15, 33>(b, "mul_dsp_18_15");
    // All inputs of a weight.
    let added = b.add("weight", &mut Weight::default(), 1024, |u, step, _| {
        u.x.next = bits(step as u64 & 255);
        (u.narrow.next, u.fp.next) = (step & 256 != 0, step & 512 != 0);
    });
    added.unwrap();
    bench.check().unwrap();
}

#[test]
fn the_signed_cast_agrees_with_integers_on_every_8_bit_number() {
    for x in -128i128..128 {
        let from: Signed<8> = from_i128(x);
        assert_eq!(to_i128(signed_bit_cast_sx::<40, 8>(from)), x);
        assert_eq!(to_i128(bit_cast_sx::<9, 8>(from)), x);
        assert_eq!(to_i128(signed_bit_cast_sx::<4, 8>(from)), (x << 124) >> 124);
    }
}

/// State machines hide in long texts. A leaf's Verilog stays below 60 lines (a table's words not counted), and no leaf
/// text has a `case` or more than one clocked block.
#[test]
fn leaves_stay_small_and_hold_no_state_machines() {
    let texts = [
        ("Ram", Ram::<8, 12>::new(300).hdl()),
        ("Dram", Dram::<8, 12>::new(300).hdl()),
        ("Rom", Rom::<8, 2>::new([1, 2, 3]).hdl()),
        ("MulS", MulS::<8, 8, 16>::default().hdl()),
        ("MulS2", MulS2::<8, 8, 16>::default().hdl()),
        ("MulLut", MulLut::<17, 17, 34>::default().hdl()),
        ("MulPairs", MulPairs::<8, 8, 16>::new(0).hdl()),
        ("Ashr", Ashr::<64, 7>::default().hdl()),
        ("ShrRne", ShrRne::<64, 7>::default().hdl()),
        ("Shl", Shl::<64, 7>::default().hdl()),
        ("Lzc", Lzc::<64, 7>::default().hdl()),
        ("Rotate", Rotate::<128, 8, 4>::default().hdl()),
        ("MuxLanes", MuxLanes::<128, 16>::default().hdl()),
        ("Mux4", Mux4::<8, 32>::default().hdl()),
        ("Mux8", Mux8::<8, 64>::default().hdl()),
        ("Last8", Last8::<8, 64>::default().hdl()),
        ("AddMux", AddMux::<36>::default().hdl()),
        ("AddSub", AddSub::<36>::default().hdl()),
        ("MulDsp", MulDsp::<8, 18, 26>::default().hdl()),
        ("Weight", Weight::default().hdl()),
        ("Dff", Dff::<Bit>::default().hdl()),
    ];
    let mut total = 0;
    for (name, verilog) in texts {
        let Verilog::Custom(text) = verilog else {
            panic!("{name} has no text of its own")
        };
        let lines = text.lines().filter(|l| !l.trim().is_empty()).count();
        assert!(
            lines <= 60,
            "{name} has {lines} lines of Verilog; split it, or make it a unit"
        );
        assert!(
            !text.contains("case"),
            "{name} has a case statement; state machines belong into units"
        );
        assert!(
            text.matches("posedge").count() <= 1,
            "{name} has several clocked blocks"
        );
        total += lines;
    }
    assert!(
        total <= 320,
        "the leaves have {total} lines of Verilog together"
    );
}

/// Each file of leaves is short enough to check by eye, and this test knows every leaf there is.
#[test]
fn no_leaf_escapes_the_tests() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let here = include_str!("models.rs");
    for entry in std::fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.lines().count() <= 320,
            "{} is too long for a file of leaves",
            path.display()
        );
        for (_, after) in text
            .match_indices("for ")
            .map(|(i, m)| text.split_at(i + m.len()))
        {
            let name: String = after.chars().take_while(|c| c.is_alphanumeric()).collect();
            let is_leaf = text.contains(&format!("Logic for {name}"))
                && after.starts_with(&format!("{name}<"));
            if is_leaf {
                assert!(
                    here.contains(&format!("(\"{name}\", ")),
                    "{name} is not measured above"
                );
            }
        }
    }
}
