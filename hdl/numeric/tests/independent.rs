//! The anchor of the arithmetic: definitions that share no code with `numeric`, tried exhaustively where the space is
//! small and with printed seeds where it is not.

use std::cmp::Ordering;

/// A small generator of our own (xorshift64*), so that a printed seed is all a repetition needs.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    /// A signed value of up to `bits` bits, short ones as likely as long ones.
    fn signed(&mut self, bits: u32) -> i64 {
        let keep = 1 + self.next() % u64::from(bits);
        (self.next() as i64) >> (64 - keep)
    }
}

/// Nearest integer to `v / 2^s` by definition: of the two neighbours the nearer one, at a tie the even one.
fn nearest(v: i128, s: u32) -> i128 {
    assert!(s < 100);
    let unit = 1i128 << s;
    let below = v.div_euclid(unit);
    let above = below + 1;
    match (v - below * unit).cmp(&(above * unit - v)) {
        Ordering::Less => below,
        Ordering::Greater => above,
        Ordering::Equal => {
            if below.rem_euclid(2) == 0 {
                below
            } else {
                above
            }
        }
    }
}

#[test]
fn rounding_of_all_small_numbers() {
    for v in -70_000i64..=70_000 {
        for s in 0..=18 {
            let want = nearest(v.into(), s);
            assert_eq!(i128::from(numeric::rne_shr(v, s)), want, "{v} >> {s}");
            assert_eq!(numeric::rne_shr_i128(v.into(), s), want, "{v} >> {s}");
            // f64 rounds an exact quotient by the hardware's own ties-to-even.
            let quotient = v as f64 / f64::from(1u32 << s);
            assert_eq!(quotient.round_ties_even(), want as f64);
        }
    }
}

#[test]
fn rounding_of_long_numbers() {
    const SEED: u64 = 11;
    println!("seed {SEED}");
    let mut random = Random(SEED);
    for _ in 0..200_000 {
        let v = random.signed(63);
        let s = (random.next() % 70) as u32;
        assert_eq!(
            i128::from(numeric::rne_shr(v, s)),
            nearest(v.into(), s),
            "{v} >> {s}"
        );
        let long = i128::from(v) * i128::from(random.signed(40));
        assert_eq!(numeric::rne_shr_i128(long, s), nearest(long, s));
        // Exactly on a tie, and one beside it.
        let tie = (i128::from(v) * 2 + 1) << s;
        for near in [tie - 1, tie, tie + 1] {
            assert_eq!(numeric::rne_shr_i128(near, s + 1), nearest(near, s + 1));
        }
    }
}

/// An independent decode of a scale's bit pattern: through decimal digits of its binary text.
fn scale_by_text(bits: u16) -> (i32, u32) {
    let text = format!("{bits:016b}");
    let exponent = u32::from_str_radix(&text[1..6], 2).unwrap();
    let hidden_bit = if exponent == 0 { "0" } else { "1" };
    let m = i32::from_str_radix(&format!("{hidden_bit}{}", &text[6..]), 2).unwrap();
    let sign = if &text[..1] == "1" { -1 } else { 1 };
    (sign * m, exponent.max(1))
}

#[test]
fn every_scale_pattern() {
    for bits in 0..=u16::MAX {
        let s = numeric::Scale::from_bits(bits);
        let (m, e) = scale_by_text(bits);
        assert_eq!((i32::from(s.m), u32::from(s.e)), (m, e), "{bits:04x}");
        // IEEE binary16: value = m * 2^(e - 25), but for the exponent 31, which is plain here.
        if e < 31 {
            let fraction = f64::from(bits & 1023) / 1024.0;
            let e5 = i32::from(bits >> 10 & 31);
            let magnitude = if e5 == 0 {
                fraction * 2f64.powi(-14)
            } else {
                (1.0 + fraction) * 2f64.powi(e5 - 15)
            };
            assert_eq!(
                f64::from(m.abs()) * 2f64.powi(e as i32 - 25),
                magnitude,
                "{bits:04x}"
            );
        }
    }
}

/// All products of two int8 values, in the middle of a dot product of 32, under a scale and a shift, against rationals.
#[test]
fn every_product_of_two_bytes_inside_a_term() {
    let scales = [0x7BFF, 0x3C01, 0x8401, 0x0001, 0xFBFF, 0x5555, 0xFE31];
    for w in i8::MIN..=i8::MAX {
        for x in i8::MIN..=i8::MAX {
            let rest = 31 * 5 * -7; // the other 31 products of the block
            let s = i32::from(w) * i32::from(x) + rest;
            let bits = scales[(w as u8 ^ x as u8) as usize % scales.len()];
            let (m, e) = scale_by_text(bits);
            for distance in [0, 1, 5, 8, 13, 60] {
                let shift = (30 + distance).max(e) - e;
                let want = nearest(i128::from(s) * i128::from(m), shift + 4);
                let got = numeric::term(s, numeric::Scale::from_bits(bits), distance);
                assert_eq!(i128::from(got), want, "{w} * {x}, scale {bits:04x}");
            }
        }
    }
}

/// The value of an f32 as an exact integer in units of 2^-149.
fn exact(v: f32) -> Option<(i128, u32)> {
    let d = f64::from(v.abs());
    (d >= f64::from(f32::MIN_POSITIVE)).then(|| {
        let e = d.log2().floor() as i32;
        let e = if 2f64.powi(e) > d {
            e - 1
        } else if 2f64.powi(e + 1) <= d {
            e + 1
        } else {
            e
        };
        ((d / 2f64.powi(e - 23)) as i128, (e + 127) as u32)
    })
}

#[test]
fn blocks_against_the_definition() {
    const SEED: u64 = 5;
    println!("seed {SEED}");
    let mut random = Random(SEED);
    let mut largest = 0;
    for _ in 0..300_000 {
        let spread = random.next() % 40;
        let exponent = (90 + random.next() % (spread + 1)) as u32;
        // Mantissas near ties as often as others.
        let fraction = match random.next() % 3 {
            0 => random.next() as u32 & 0x7F_FFFF,
            1 => (random.next() as u32 & 0x7F) << 16 | 0x8000,
            _ => 0x7F_FFFF - (random.next() as u32 & 7),
        };
        let v = f32::from_bits((random.next() as u32 & 1) << 31 | exponent << 23 | fraction);
        let b = exponent + (random.next() % 30) as u32;
        let (m, e) = exact(v).unwrap();
        assert_eq!(e, exponent);
        let sign = if v < 0.0 { -1 } else { 1 };
        let q15 = sign * nearest(m, 10 + b - e);
        let q8 = sign * nearest(q15.abs(), 7).min(127);
        let u = numeric::Unpacked::from_bits(v.to_bits());
        assert_eq!(i128::from(numeric::q8(&u, b as u8)), q8, "{v:e} under {b}");
        assert_eq!(
            i128::from(numeric::q15(&u, b as u8)),
            q15,
            "{v:e} under {b}"
        );
        // Values as the table says: q * 2^(B - 133) and q * 2^(B - 140), q15 within half an LSB, q8 within a little more unless it clamps.
        let error = (q15 as f64 * 2f64.powi(b as i32 - 140) - f64::from(v)).abs();
        assert!(error <= 2f64.powi(b as i32 - 141));
        let error8 = (q8 as f64 * 2f64.powi(b as i32 - 133) - f64::from(v)).abs();
        assert!(q8.abs() == 127 || error8 <= 2f64.powi(b as i32 - 134) * (1.0 + 1.0 / 128.0));
        largest = largest.max(q15.abs());
    }
    assert_eq!(largest, 1 << 14, "the largest magnitude is reached");
}

#[test]
fn every_limb_pair() {
    for q in -16384i32..=16384 {
        let (hi, lo) = numeric::limbs(q as i16);
        assert_eq!(256 * i32::from(hi) + i32::from(lo), q);
        assert!(hi.unsigned_abs() <= 64);
    }
}

#[test]
fn logits_are_the_product_of_the_whole_numbers() {
    const SEED: u64 = 23;
    println!("seed {SEED}");
    let mut random = Random(SEED);
    for _ in 0..10_000 {
        let mut acc = [0i64; 4];
        let mut whole = 0i64;
        for _ in 0..32 {
            let (w, x) = (random.signed(15) as i16, random.signed(15) as i16);
            let (wh, wl) = numeric::limbs(w);
            let (xh, xl) = numeric::limbs(x);
            whole += i64::from(w) * i64::from(x);
            for (a, (p, q)) in acc.iter_mut().zip([(wh, xh), (wh, xl), (wl, xh), (wl, xl)]) {
                *a += i64::from(p) * i64::from(q);
            }
        }
        assert_eq!(numeric::logit(acc[0], acc[1], acc[2], acc[3]), whole);
    }
}

/// Rounded table entries must not hang on the last bit of this machine's exp: every value is far from a tie.
fn far_from_a_tie(v: f64) -> bool {
    (v - v.floor() - 0.5).abs() > 1e-6
}

/// The largest of many errors, and where it occurred.
#[derive(Default)]
struct Worst {
    error: f64,
    at: f64,
}

impl Worst {
    fn see(&mut self, got: f64, want: f64, at: f64) {
        let error = (got - want).abs();
        if error > self.error {
            *self = Worst { error, at };
        }
    }
    fn below(&self, what: &str, bound: f64) {
        println!("{what}: largest error {:.3e} at {}", self.error, self.at);
        assert!(self.error < bound, "{what}: {:e}", self.error);
        // docs/formats.md, section 8, names each function and says this.
        let page = include_str!("../../../docs/formats.md");
        let row = format!("| {what} | {:.1e} |", self.error);
        assert!(page.contains(&row), "docs/formats.md does not say `{row}`");
    }
}

const ONE: f64 = 16_777_216.0;

#[test]
fn the_exponential_and_its_table() {
    for (i, &x) in numeric::score::EXP_TABLE.iter().enumerate() {
        let v = ONE / 2f64.powf(i as f64 / 256.0);
        assert!(
            (v - f64::from(x)).abs() < 0.5 && far_from_a_tie(v),
            "X[{i}]"
        );
    }
    let mut worst = Worst::default();
    for t in (0..1u64 << 30).step_by(109) {
        let v = t as f64 / ONE;
        worst.see(f64::from(numeric::exp(t)) / ONE, (-v).exp(), v);
    }
    worst.below("`exp`", 3.5e-6);
    assert_eq!(numeric::exp(u64::from(u32::MAX) * 16), 0);
}

#[test]
fn the_sigmoid_and_its_table() {
    for (i, &s) in numeric::score::SIGMOID_TABLE.iter().enumerate() {
        // 1 / (1 + e^-a) = (1 + tanh(a / 2)) / 2
        let v = ONE * (1.0 + (i as f64 / 256.0).tanh()) / 2.0;
        assert!(
            (v - f64::from(s)).abs() < 0.5 + 1e-6 && far_from_a_tie(v),
            "S[{i}]"
        );
    }
    let mut worst = Worst::default();
    for l in (-(20i64 << 24)..20 << 24).step_by(91) {
        let v = l as f64 / ONE;
        let got = f64::from(numeric::sigmoid(l)) / ONE;
        worst.see(got, (1.0 + (v / 2.0).tanh()) / 2.0, v);
    }
    worst.below("`sigmoid`", 2e-6);
}

/// erfc by integrating the density with Simpson's rule: to 12 beyond the argument nothing is left.
fn erfc(x: f64) -> f64 {
    let steps = 4000;
    let h = 12.0 / f64::from(steps);
    let f = |i: i32| (-(x + h * f64::from(i)).powi(2)).exp();
    let inner: f64 = (1..steps)
        .map(|i| f(i) * if i % 2 == 1 { 4.0 } else { 2.0 })
        .sum();
    (f(0) + inner + f(steps)) * h / 3.0 * 2.0 / std::f64::consts::PI.sqrt()
}

/// The activations as their papers write them.
fn activation(curve: numeric::Curve, v: f64) -> f64 {
    use numeric::Curve;
    match curve {
        Curve::Silu => v / (1.0 + (-v).exp()),
        // x * Phi(x), by the smaller tail on both sides
        Curve::Gelu if v < 0.0 => v / 2.0 * erfc(-v / 2f64.sqrt()),
        Curve::Gelu => v * (1.0 - erfc(v / 2f64.sqrt()) / 2.0),
        Curve::GeluTanh => {
            v / 2.0
                * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (v + 0.044715 * v.powi(3))).tanh())
        }
        Curve::Quick => v / (1.0 + (-1.702 * v).exp()),
    }
}

#[test]
fn the_activations_and_their_tables() {
    for curve in numeric::Curve::ALL {
        let table = &numeric::activation::DELTA_TABLES[curve as usize];
        for (i, &y) in table.iter().enumerate() {
            let v = -ONE * activation(curve, -(i as f64) / 64.0);
            assert!(
                (v - f64::from(y)).abs() < 0.5 + 1e-6 && far_from_a_tie(v),
                "{curve:?}: Y[{i}] {v} {y}"
            );
        }
        // GELU's own definition is slow to integrate, so its grid is wider.
        let step = if curve == numeric::Curve::Gelu {
            9973
        } else {
            97
        };
        let mut worst = Worst::default();
        for g in (-(20i64 << 24)..20 << 24).step_by(step) {
            let v = g as f64 / ONE;
            let got = numeric::activation::curve(curve, g) as f64 / ONE;
            worst.see(got, activation(curve, v), v);
        }
        let name = match curve {
            numeric::Curve::Silu => "SiLU",
            numeric::Curve::Gelu => "GELU",
            numeric::Curve::GeluTanh => "GELU-tanh",
            numeric::Curve::Quick => "clamped, `x * sigmoid(1.702 x)`",
        };
        worst.below(name, 1e-4);
    }
}

#[test]
fn a_quotient_of_scores() {
    const SEED: u64 = 31;
    println!("seed {SEED}");
    let mut random = Random(SEED);
    let mut worst = Worst::default();
    for _ in 0..300_000 {
        let v = random.next() as u32 & 0x1FF_FFFF >> (random.next() % 25);
        let v = v.min(1 << 24);
        let others = random.next() >> (32 + random.next() % 31);
        let sum = (u64::from(v) + others).min(256 << 24);
        let got = numeric::normal(v, sum);
        assert!(got <= 65536);
        let want = if sum == 0 {
            0.0
        } else {
            f64::from(v) / sum as f64
        };
        worst.see(f64::from(got) / 65536.0, want, want);
        // By definition, step by step in long integers.
        if sum > 0 {
            let mut n = 0;
            while i128::from(sum) * (1 << n) < 1 << 24 {
                n += 1;
            }
            let r = (1i128 << 52) / (i128::from(sum) * (1 << n));
            assert!(r < 1 << 29);
            let exact = nearest(i128::from(v) * (1 << n) * r, 36).min(65536);
            assert_eq!(i128::from(got), exact);
        }
        let scale = random.next() as u16;
        let want = nearest(i128::from(got) * i128::from(scale), 12).min((1 << 20) - 1);
        assert_eq!(i128::from(numeric::route_scale(got, scale)), want);
        let s = random.next() as u32 & 0xFF_FFFF;
        assert_eq!(
            i128::from(numeric::score::sigmoid_weight(s)),
            nearest(s.into(), 8)
        );
    }
    worst.below("`normal`", 9e-6);
}

#[test]
fn softmax_against_f64() {
    const SEED: u64 = 77;
    println!("seed {SEED}");
    let mut random = Random(SEED);
    let mut worst = Worst::default();
    let mut worst_share = Worst::default();
    for _ in 0..20_000 {
        let n = 2 + (random.next() % 255) as usize;
        let ls = -(20 + (random.next() % 20) as i32);
        let logits: Vec<i64> = (0..n)
            .map(|_| (random.next() as i64) >> (64 - (3 - ls)))
            .collect();
        let fixed: Vec<i64> = logits.iter().map(|&l| numeric::fix(l, ls).value).collect();
        let top = *fixed.iter().max().unwrap();
        let p: Vec<u32> = fixed
            .iter()
            .map(|&l| numeric::exp(l.abs_diff(top)))
            .collect();
        let sum: u64 = p.iter().map(|&p| u64::from(p)).sum();
        let exact: Vec<f64> = logits
            .iter()
            .map(|&l| (l as f64 * 2f64.powi(ls)).exp())
            .collect();
        let total: f64 = exact.iter().sum();
        for (&p, e) in p.iter().zip(exact) {
            let w = f64::from(numeric::normal(p, sum)) / 65536.0;
            worst.see(w, e / total, e / total);
            let s = f64::from(numeric::share(p, sum)) / ONE;
            worst_share.see(s, e / total, e / total);
        }
    }
    worst.below("softmax weight", 1.2e-5);
    worst_share.below("softmax score", 4e-6);
}

#[test]
fn sparsemixer_compares_exactly() {
    const SEED: u64 = 13;
    println!("seed {SEED}");
    let mut random = Random(SEED);
    let mut near = 0;
    for _ in 0..100_000 {
        let (a, b) = (random.signed(36), random.signed(36));
        let (best, other) = (a.max(b), a.min(b));
        let jitter = random.next() as u16;
        // (best - other) / max(|other|, best) <= jitter / 2^16, by comparing quotients of long integers.
        let reference = i128::from(other.abs().max(best));
        let far = (i128::from(best) - i128::from(other)) * 65536 > i128::from(jitter) * reference;
        let got = numeric::score::is_near(best, other, jitter);
        assert_eq!(got, !far, "{best} {other} {jitter}");
        near += u32::from(got);
    }
    assert!((1000..99_000).contains(&near), "both answers: {near}");
}

#[test]
fn fp4_values_are_those_of_e2m1() {
    for bits in 0..16u8 {
        let (sign, e, m) = (bits >> 3, i32::from(bits >> 1 & 3), f64::from(bits & 1));
        let magnitude = if e == 0 {
            m / 2.0
        } else {
            (1.0 + m / 2.0) * 2f64.powi(e - 1)
        };
        let want = if sign == 1 { -magnitude } else { magnitude };
        assert_eq!(
            f64::from(numeric::value::fp4(bits)) / 2.0,
            want,
            "{bits:04b}"
        );
    }
}

/// `v * 2^e` by definition, clamped.
fn scaled(v: i128, e: i32, limit: i128) -> (i128, bool) {
    let exact = if e >= 0 {
        v * (1i128 << e.min(60))
    } else {
        nearest(v, e.unsigned_abs().min(99))
    };
    (exact.clamp(-limit, limit), exact.abs() > limit)
}

#[test]
fn changes_of_lsb_against_the_definition() {
    const SEED: u64 = 41;
    println!("seed {SEED}");
    let mut random = Random(SEED);
    let mut clamped = 0;
    for _ in 0..200_000 {
        let acc = random.signed(52);
        let lsb = (random.next() % 120) as i32 - 90;
        let f = numeric::fix(acc, lsb);
        let (want, sat) = scaled(acc.into(), lsb + 24, (1 << 35) - 1);
        assert_eq!(
            (i128::from(f.value), f.saturated),
            (want, sat),
            "{acc} {lsb}"
        );
        let acc = acc >> 16;
        let w = random.next() as u32 >> 12;
        let lsb_y = (random.next() % 60) as i32 - 40;
        let z = numeric::z(acc, w, lsb, lsb_y);
        let (want, zsat) = scaled(
            i128::from(acc) * i128::from(w),
            lsb - 16 - lsb_y + 8,
            (1 << 43) - 1,
        );
        assert_eq!((i128::from(z.value), z.saturated), (want, zsat));
        let y = numeric::y(z.value);
        let want = nearest(z.value.into(), 8);
        let fits = i32::try_from(want).is_ok();
        assert_eq!(y.saturated, !fits);
        assert!(!fits || i128::from(y.value) == want);
        clamped += u32::from(sat) + u32::from(zsat);
    }
    assert!(clamped > 1000, "saturation was tried: {clamped}");
}

/// The nearest number of at most 17 bits of mantissa, by f64.
fn seventeen_bits(v: i64) -> f64 {
    let v = v as f64;
    let mut unit = 1.0;
    while (v / unit).abs() >= f64::from(1 << 17) {
        unit *= 2.0;
    }
    (v / unit).round_ties_even() * unit
}

#[test]
fn the_hidden_vector_is_the_nearest_f32() {
    const SEED: u64 = 99;
    println!("seed {SEED}");
    let mut random = Random(SEED);
    for n in 0..400_000 {
        let bits = if n % 2 == 0 { 17 } else { 37 };
        let (a, b) = (random.signed(bits), random.signed(37));
        // 34 bits: the product is exact in f64, and the hardware's conversion to f32 is the judge.
        let want = (seventeen_bits(a) * seventeen_bits(b) * 2f64.powi(-48)) as f32;
        let want = if want == 0.0 { 0.0 } else { want };
        assert_eq!(numeric::hidden(a, b), want.to_bits(), "{a} * {b}");
    }
}
