//! One lane with its control against `docs/formats.md` section 3: every format, sparsity and pair, rows back to back and with gaps,
//! every exponent with every distance, ties, the extremes of every width.

use abi::layout::{Format, Sparsity};
use numeric::value::{fp4, int4};
use numeric::{rne_shr, Scale};
use sim_tb::pins::Pins;
use sim_tb::rng::Rng;

/// The units of the bench: what they can do, and the cycles from a row's last beat to its sum.
const ALL: Unit = Unit {
    name: "lane",
    all: true,
    latency: 12,
};
const INT8: Unit = Unit {
    name: "lane_int8",
    all: false,
    latency: 9,
};

#[derive(Clone, Copy)]
struct Unit {
    name: &'static str,
    all: bool,
    latency: u64,
}

/// Eight weights as the lane gets them, and the block's 32 activations.
#[derive(Clone)]
struct Beat {
    acts: [i8; 32],
    values: [u8; 8],
    /// Within the eight inputs of the multiplier's chunk and its neighbour.
    positions: [u8; 8],
}

#[derive(Clone)]
struct Block {
    beats: Vec<Beat>,
    scales: [u16; 2],
    base: u16,
}

#[derive(Clone)]
struct Row {
    format: Format,
    paired: bool,
    blocks: Vec<Block>,
}

impl Beat {
    fn dot(&self, format: Format, second: bool) -> i64 {
        (0..8)
            .map(|j| {
                let x = self.acts[8 * (j / 2) + usize::from(self.positions[j])];
                let nibble = self.values[j] >> (4 * u32::from(second)) & 15;
                let w = match format {
                    Format::Int8 => self.values[j] as i8,
                    Format::Int4 => int4(nibble),
                    Format::Fp4 => fp4(nibble),
                };
                i64::from(w) * i64::from(x)
            })
            .sum()
    }
}

impl Block {
    fn term(&self, format: Format, second: bool) -> i64 {
        let s: i64 = self.beats.iter().map(|b| b.dot(format, second)).sum();
        let Scale { m, e } = Scale::from_bits(self.scales[usize::from(second)]);
        let distance = u32::from(self.base).saturating_sub(e.into());
        rne_shr(s * i64::from(m), distance + 4)
    }
}

impl Row {
    fn acc(&self, second: bool) -> i64 {
        let acc = self
            .blocks
            .iter()
            .map(|b| b.term(self.format, second))
            .sum::<i64>();
        assert!(
            (-(1 << 35)..1 << 35).contains(&acc),
            "the bench must stay within the format"
        );
        acc
    }
}

fn bits(of: &[u8], each: u32) -> Vec<u32> {
    let mut words = vec![0u32; (of.len() * each as usize).div_ceil(32)];
    for (i, &b) in of.iter().enumerate() {
        let at = i as u32 * each;
        words[at as usize / 32] |= u32::from(b) << (at % 32);
    }
    words
}

fn bytes(of: &[i8]) -> Vec<u32> {
    bits(&of.iter().map(|&x| x as u8).collect::<Vec<_>>(), 8)
}

/// A lane and what it has said.
struct Bench {
    pins: Pins,
    rng: Rng,
    /// Of 256 cycles this many carry no beat.
    gaps: u32,
    got: Vec<(u64, i64, i64)>,
}

impl Bench {
    fn new(unit: Unit, seed: u64, gaps: u32) -> Self {
        println!("{} seed {seed}", unit.name);
        let mut pins = Pins::new(unit.name).unwrap();
        pins.reset("rst", 2);
        Self {
            pins,
            rng: Rng::new(seed),
            gaps,
            got: Vec::new(),
        }
    }

    fn noise(&mut self, name: &str) {
        let width = self.pins.width(name);
        let words: Vec<u32> = (0..width.div_ceil(32))
            .map(|at| {
                let word = self.rng.next() as u32;
                match width - 32 * at {
                    rest @ 0..32 => word & ((1 << rest) - 1),
                    _ => word,
                }
            })
            .collect();
        self.pins.set_wide(name, &words);
    }

    fn step(&mut self) {
        let signed = |v: u64| ((v << 28) as i64) >> 28;
        self.pins.eval();
        if self.pins.get("out_vld") == 1 {
            let [a, b] = ["out_acc", "out2_acc"].map(|name| signed(self.pins.get(name)));
            self.got.push((self.pins.cycles(), a, b));
        }
        self.pins.tick();
    }

    /// A cycle without a beat; everything else on the ports is noise.
    fn idle(&mut self) {
        for name in [
            "block_last",
            "row_last",
            "format",
            "paired",
            "base",
            "acts",
            "values",
            "positions",
            "scale",
            "scale2",
        ] {
            self.noise(name);
        }
        self.pins.set("vld", 0);
        self.step();
    }

    /// The rows' beats; the cycle of each row's last.
    fn rows(&mut self, rows: &[Row]) -> Vec<u64> {
        let mut last_at = Vec::new();
        for row in rows {
            for (b, block) in row.blocks.iter().enumerate() {
                for (i, beat) in block.beats.iter().enumerate() {
                    while self.rng.chance(self.gaps) {
                        self.idle();
                    }
                    let block_last = i + 1 == block.beats.len();
                    let row_last = b + 1 == row.blocks.len();
                    let p = &mut self.pins;
                    p.set("vld", 1);
                    p.set("block_last", block_last.into());
                    p.set("format", row.format as u64);
                    p.set("paired", row.paired.into());
                    p.set("base", block.base.into());
                    p.set("scale", block.scales[0].into());
                    p.set_wide("acts", &bytes(&beat.acts));
                    p.set_wide("values", &bits(&beat.values, 8));
                    p.set_wide("positions", &bits(&beat.positions, 4));
                    // What is not read before a block's last beat may be anything until then.
                    if block_last {
                        p.set("row_last", row_last.into());
                        p.set("scale2", block.scales[1].into());
                    } else {
                        self.noise("row_last");
                        self.noise("scale2");
                    }
                    if block_last && row_last {
                        last_at.push(self.pins.cycles());
                    }
                    self.step();
                }
            }
        }
        last_at
    }
}

/// Runs rows through a lane and compares every sum and its time.
fn run(unit: Unit, seed: u64, rows: &[Row], gaps: u32) {
    let mut bench = Bench::new(unit, seed, gaps);
    let last_at = bench.rows(rows);
    for _ in 0..=unit.latency {
        bench.idle();
    }
    assert_eq!(bench.got.len(), rows.len(), "rows");
    for (i, row) in rows.iter().enumerate() {
        let (at, a, b) = bench.got[i];
        let what = format!(
            "row {i}: {:?}, paired {}, {} blocks of {} passes",
            row.format,
            row.paired,
            row.blocks.len(),
            row.blocks[0].beats.len()
        );
        assert_eq!(a, row.acc(false), "{what}");
        if row.paired {
            assert_eq!(b, row.acc(true), "second sum of {what}");
        }
        assert_eq!(at - last_at[i], unit.latency, "{what}");
    }
}

/// -127..=127, and the corners more often.
fn byte(r: &mut Rng, corner: u32) -> i8 {
    if r.chance(corner) {
        [127, -127, 0, 1, -1][r.below(5) as usize]
    } else {
        (r.next() as i8).max(-127)
    }
}

/// The positions of a block's passes by `docs/formats.md` section 7; and which multipliers have a weight.
fn positions(r: &mut Rng, sparsity: Sparsity) -> Vec<([u8; 8], [bool; 8])> {
    let ascending = |r: &mut Rng, n: u64, of: u64| -> Vec<u8> {
        let mut left = n;
        (0..of)
            .filter_map(|at| {
                let take = r.below(of - at) < left;
                left -= u64::from(take);
                take.then_some(at as u8)
            })
            .collect()
    };
    let (n, m) = match sparsity {
        Sparsity::Dense => (4, 4),
        Sparsity::TwoOfFour => (2, 4),
        Sparsity::OneOfFour => (1, 4),
        Sparsity::FourOfEight => (4, 8),
        Sparsity::OneOfEight => (1, 8),
    };
    let kept: Vec<Vec<u8>> = (0..8).map(|_| ascending(r, n, m)).collect();
    (0..sparsity.passes())
        .map(|p| {
            let mut at = [0; 8];
            let mut there = [true; 8];
            for j in 0..8 {
                (at[j], there[j]) = match sparsity {
                    Sparsity::FourOfEight => (kept[j / 2][2 * p + j % 2], true),
                    Sparsity::OneOfEight if j % 2 == 0 => (kept[j / 2][0], true),
                    Sparsity::OneOfEight => (r.below(8) as u8, false),
                    _ => (4 * (j as u8 % 2) + kept[j][p], true),
                };
            }
            (at, there)
        })
        .collect()
}

fn random_block(r: &mut Rng, format: Format, sparsity: Sparsity) -> Block {
    let corner = [0, 40, 256][r.below(3) as usize];
    let acts: [i8; 32] = std::array::from_fn(|_| byte(r, corner));
    let beats = positions(r, sparsity)
        .into_iter()
        .map(|(positions, there)| {
            let values = std::array::from_fn(|j| match (there[j], format) {
                (false, Format::Int8) => 0,
                // Only the first row's half must be zero; 1:8 has no pairs.
                (false, _) => (r.next() as u8) << 4,
                (true, Format::Int8) if r.chance(corner) => -128i8 as u8,
                (true, _) => r.next() as u8,
            });
            Beat {
                acts,
                values,
                positions,
            }
        })
        .collect();
    let distance = [0, r.below(24), r.below(256)][r.below(3) as usize];
    Block {
        beats,
        scales: [r.next() as u16, r.next() as u16],
        base: 30 + distance as u16,
    }
}

/// A row without any block: `linear` sends a beat of zeros, or two of a pair.
fn empty_row(format: Format, paired: bool) -> Row {
    let beat = Beat {
        acts: [1; 32],
        values: [0x11; 8],
        positions: [0, 4, 0, 4, 0, 4, 0, 4],
    };
    let blocks = vec![Block {
        beats: vec![beat; 1 + usize::from(paired)],
        scales: [0; 2],
        base: 30,
    }];
    Row {
        format,
        paired,
        blocks,
    }
}

fn random_rows(r: &mut Rng, count: usize, unit: Unit) -> Vec<Row> {
    let mut rows = Vec::new();
    while rows.len() < count {
        let format = match unit.all {
            true => Format::ALL[r.below(3) as usize],
            false => Format::Int8,
        };
        let sparsity = Sparsity::ALL[r.below(5) as usize];
        let octets = matches!(sparsity, Sparsity::FourOfEight | Sparsity::OneOfEight);
        if octets && !unit.all {
            continue;
        }
        let paired = format != Format::Int8 && sparsity.passes() >= 2 && r.below(2) == 0;
        // Rows of one kind stand together, as in a segment.
        for _ in 0..1 + r.below(6) {
            if r.chance(20) {
                rows.push(empty_row(format, paired));
                continue;
            }
            let blocks = (0..1 + r.below(6))
                .map(|_| random_block(r, format, sparsity))
                .collect();
            rows.push(Row {
                format,
                paired,
                blocks,
            });
        }
    }
    rows
}

#[test]
fn random_rows_of_every_form_with_and_without_gaps() {
    for unit in [ALL, INT8] {
        for (seed, gaps) in [(31, 0), (32, 100), (33, 220)] {
            let rows = random_rows(&mut Rng::new(seed), 4000, unit);
            run(unit, seed, &rows, gaps);
        }
    }
}

/// The router's vectors and limbs: activations down to -128 where no weight is below -127.
#[test]
fn activations_of_minus_128() {
    let mut r = Rng::new(34);
    let rows: Vec<Row> = (0..500)
        .map(|_| {
            let mut block = random_block(&mut r, Format::Int8, Sparsity::Dense);
            let acts = std::array::from_fn(|_| if r.chance(128) { -128 } else { r.next() as i8 });
            for beat in &mut block.beats {
                beat.acts = acts;
                for v in &mut beat.values {
                    *v = (*v as i8).max(-127) as u8;
                }
            }
            Row {
                format: Format::Int8,
                paired: false,
                blocks: vec![block],
            }
        })
        .collect();
    for unit in [ALL, INT8] {
        run(unit, 34, &rows, 30);
    }
}

/// Every scale exponent with every distance; S * m is built so that its lowest set bit is just below the rounding point wherever that
/// is possible.
#[test]
fn every_shift_rounds_to_nearest_even() {
    for unit in [ALL, INT8] {
        let mut r = Rng::new(35);
        let mut rows = Vec::new();
        let mut ties = [0; 32];
        for e in 0..32u16 {
            for distance in 0..256u16 {
                let base = 30 + distance;
                let shift = u32::from(base.saturating_sub(e.max(1))) + 4;
                for odd in [1i8, 3, -1, -3] {
                    // A tie: S * m has shift - 1 zeros at its end, up to 10 of them in m and 11 in S.
                    let zeros = (shift - 1).saturating_sub(10) + r.below(4) as u32;
                    let zeros = zeros.min(shift - 1).min(11);
                    let c = match shift - 1 - zeros {
                        n @ 0..=9 => 1 << n,
                        _ => 0,
                    };
                    let mut block = random_block(&mut r, Format::Int8, Sparsity::OneOfFour);
                    let place = r.below(8) as usize;
                    block.beats[0].values = [0; 8];
                    block.beats[0].values[place] = (odd << (zeros - zeros.min(6))) as u8;
                    block.beats[0].acts = [1 << zeros.min(6); 32];
                    block.scales = [(r.below(2) as u16) << 15 | e << 10 | c; 2];
                    block.base = base;
                    let s = block.beats[0].dot(Format::Int8, false);
                    let exact = s * i64::from(Scale::from_bits(block.scales[0]).m);
                    if shift < 32 && exact & ((1 << shift) - 1) == 1 << (shift - 1) {
                        ties[shift as usize] += 1;
                    }
                    rows.push(Row {
                        format: Format::Int8,
                        paired: false,
                        blocks: vec![block],
                    });
                }
            }
        }
        assert!(
            ties[4..22].iter().all(|&n| n >= 8),
            "ties per shift: {ties:?}"
        );
        run(unit, 35, &rows, 0);
    }
}

/// The largest sums the format allows: 513 blocks of the largest products, and their negatives, with every sign of the scale.
#[test]
fn the_largest_sums_fit() {
    let row = |format, paired, passes, value: u8, x: i8, scales| Row {
        format,
        paired,
        blocks: (0..513)
            .map(|_| Block {
                beats: (0..passes)
                    .map(|_| Beat {
                        acts: [x; 32],
                        values: [value; 8],
                        positions: [3, 7, 3, 7, 3, 7, 3, 7],
                    })
                    .collect(),
                scales,
                base: 30,
            })
            .collect(),
    };
    let mut rows = Vec::new();
    for scales in [[0x7BFF, 0xFBFF], [0xFFFF, 0x7FFF]] {
        for (w, x) in [(-128i8, 127i8), (-128, -127), (127, -128), (-127, -128)] {
            rows.push(row(Format::Int8, false, 4, w as u8, x, scales));
        }
    }
    run(INT8, 36, &rows, 0);
    for scales in [[0x7BFF, 0xFBFF], [0xFBFF, 0x7BFF], [0x7BFF; 2]] {
        // Both rows of a pair at the ends, in all four combinations: the borrow between them is at its largest.
        for (format, low, high) in [(Format::Int4, 7, 8), (Format::Fp4, 7, 15)] {
            for value in [
                low << 4 | low,
                low << 4 | high,
                high << 4 | low,
                high << 4 | high,
            ] {
                for x in [127, -127] {
                    for passes in [2, 4] {
                        rows.push(row(format, true, passes, value, x, scales));
                        rows.push(row(format, false, passes, value, x, scales));
                    }
                }
            }
        }
    }
    run(ALL, 36, &rows, 0);
}

/// All products of one multiplier in the 4-bit forms: 256 pairs of weights, the extreme activations and random ones.
#[test]
fn every_pair_of_weights_in_one_multiplier() {
    let mut r = Rng::new(37);
    let mut rows = Vec::new();
    for format in [Format::Int4, Format::Fp4] {
        for value in 0..=255u8 {
            for x in [127, -127, 1, -1, byte(&mut r, 0)] {
                let mut block = random_block(&mut r, format, Sparsity::TwoOfFour);
                for beat in &mut block.beats {
                    beat.acts = [x; 32];
                    beat.values = [0; 8];
                }
                block.beats[0].values[r.below(8) as usize] = value;
                block.scales = [1 << 14 | 0x3ff; 2];
                block.base = 30;
                for paired in [true, false] {
                    rows.push(Row {
                        format,
                        paired,
                        blocks: vec![block.clone()],
                    });
                }
            }
        }
    }
    run(ALL, 37, &rows, 0);
}

#[test]
fn reset_forgets_beats_and_sums() {
    for unit in [ALL, INT8] {
        let mut r = Rng::new(38);
        let mut bench = Bench::new(unit, 38, 0);
        // Every stage is full, no row is complete, and a block is open.
        let mut rows = random_rows(&mut r, 40, unit);
        rows.last_mut()
            .unwrap()
            .blocks
            .push(random_block(&mut r, Format::Int8, Sparsity::Dense));
        let before = bench.rows(&rows).len() as u64;
        bench.pins.set("vld", 1);
        bench.pins.set("block_last", 0);
        bench.step();
        bench.pins.set("vld", 0);
        bench.pins.reset("rst", 1);
        assert!((bench.got.len() as u64) < before, "nothing was on its way");
        bench.got.clear();
        for _ in 0..20 {
            bench.idle();
        }
        assert!(bench.got.is_empty(), "sums of beats from before the reset");
        let rows = random_rows(&mut r, 20, unit);
        bench.rows(&rows);
        for _ in 0..=unit.latency {
            bench.idle();
        }
        for (row, (_, a, b)) in rows.iter().zip(&bench.got) {
            assert_eq!(*a, row.acc(false));
            assert!(!row.paired || *b == row.acc(true));
        }
        assert_eq!(bench.got.len(), rows.len());
    }
}
