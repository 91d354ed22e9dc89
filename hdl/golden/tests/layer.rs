//! Whole layers: against f64 that shares no code with the engine, and against each other.

use abi::config::{SIM, TINY};
use abi::{Command, Config, Sparsity, Status};
use golden::sample::{Layer, Random, Shape};
use golden::{Engine, Exponents, Matrix, Memory, Outcome, Trace};

const DENSE: Shape = Shape {
    tokens: 5,
    d: 64,
    f: 96,
    experts: 8,
    topk: 2,
    renormalise: true,
    sparsity: Sparsity::Dense,
    wild: false,
};

fn shapes() -> Vec<Shape> {
    let sparse = Shape {
        sparsity: Sparsity::TwoOfFour,
        ..DENSE
    };
    let odd = Shape {
        tokens: 3,
        d: 32,
        f: 24,
        experts: 16,
        topk: 4,
        renormalise: false,
        ..DENSE
    };
    let ragged = Shape {
        d: 52,
        f: 36,
        experts: 5,
        topk: 1,
        ..sparse
    };
    vec![
        DENSE,
        sparse,
        odd,
        Shape {
            sparsity: Sparsity::TwoOfFour,
            ..odd
        },
        ragged,
        Shape {
            d: 33,
            f: 7,
            experts: 3,
            topk: 3,
            ..DENSE
        },
    ]
}

/// What a command left behind.
struct Done {
    outcome: Outcome,
    trace: Trace,
    command: Command,
    memory: Vec<u8>,
}

impl Done {
    fn word(&self, at: u64) -> u32 {
        let mut b = [0; 4];
        self.memory.read(at, &mut b).unwrap();
        u32::from_le_bytes(b)
    }
    fn y(&self, token: usize, row: usize) -> i32 {
        let stride = abi::layout::row_bytes(self.command.d.into());
        self.word(self.command.y_addr + (token * stride + 4 * row) as u64) as i32
    }
    fn all_y(&self) -> Vec<i32> {
        let (t, d) = (self.command.tokens.into(), self.command.d.into());
        (0..t)
            .flat_map(|t| (0..d).map(move |i| (t, i)))
            .map(|(t, i)| self.y(t, i))
            .collect()
    }
    /// Expert and weight of a choice.
    fn route(&self, token: usize, slot: usize) -> (usize, f64) {
        let at = self.command.route_addr + (token * 64 + slot * 8) as u64;
        (
            self.word(at) as usize,
            f64::from(self.word(at + 4)) / 65536.0,
        )
    }
}

/// Stores a layer, lets `change` spoil memory or command, and runs it.
fn run_changed(layer: &Layer, config: Config, change: impl Fn(&mut Command, &mut Vec<u8>)) -> Done {
    let mut memory = vec![0; 4 << 20];
    let (at, mut command) = layer.store(&config, &mut memory, 0).unwrap();
    change(&mut command, &mut memory);
    memory.write(at, &command.to_bytes()).unwrap();
    let mut engine = Engine::new(config, true);
    let outcome = engine.run_command(&mut memory, at);
    Done {
        outcome,
        trace: engine.take_trace(),
        command,
        memory,
    }
}

fn run(layer: &Layer, config: Config) -> Done {
    let done = run_changed(layer, config, |_, _| ());
    assert_eq!(done.outcome.status, Status::Ok);
    done
}

/// A matrix as f64, every position in its place: independent of the engine's reading of images.
fn dense(m: &Matrix, exponent: i16) -> Vec<Vec<f64>> {
    let inputs = m.shape.inputs;
    let mut out = vec![vec![0.0; inputs]; m.shape.rows];
    for (row, out) in out.iter_mut().enumerate() {
        for n in 0..m.kept() {
            let at = row * m.kept() + n;
            let column = match m.positions.get(at) {
                Some(&p) => 4 * (n / 2) + usize::from(p),
                None => n,
            };
            let scale = m.scales[row * inputs.div_ceil(32) + column / 32];
            out[column] = f64::from(m.values[at]) * scale_value(scale, exponent);
        }
    }
    out
}

fn scale_value(bits: u16, exponent: i16) -> f64 {
    let e5 = i32::from(bits >> 10 & 31);
    let c = f64::from(bits & 1023);
    let m = if e5 == 0 { c } else { 1024.0 + c };
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    sign * m * 2f64.powi(e5.max(1) - 30 + i32::from(exponent))
}

/// Rounds each block of 32 to `bits` bits below the block's largest power of two, as the formats page says in values.
fn quantised(x: &[f64], bits: i32, limit: f64) -> Vec<f64> {
    x.chunks(32)
        .flat_map(|block| {
            let top = block.iter().fold(0f64, |m, v| m.max(v.abs()));
            let lsb = if top == 0.0 {
                1.0
            } else {
                2f64.powf(top.log2().floor() - f64::from(bits))
            };
            block
                .iter()
                .map(move |v| (v / lsb).round_ties_even().clamp(-limit, limit) * lsb)
                .collect::<Vec<_>>()
        })
        .collect()
}

fn times(m: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    m.iter()
        .map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum())
        .collect()
}

/// The layer in f64, with the engine's choice of experts checked on the way. `exact`: without any quantisation of
/// activations.
fn reference(layer: &Layer, done: &Done, exact: bool) -> Vec<f64> {
    let s = &layer.shape;
    let blocks = s.d.div_ceil(32);
    let router: Vec<Vec<f64>> = (0..s.experts)
        .map(|e| {
            (0..s.d)
                .map(|i| {
                    let scale = layer.router_scales[e * blocks + i / 32];
                    f64::from(layer.router[e * s.d + i]) * scale_value(scale, layer.router_exponent)
                })
                .collect()
        })
        .collect();
    let q = |x: &[f64]| {
        if exact {
            x.to_vec()
        } else {
            quantised(x, 6, 127.0)
        }
    };
    let mut out = Vec::new();
    for (token, x) in layer.x.chunks(s.d).enumerate() {
        let x: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
        let logits = times(&router, &quantised(&x, 13, 16384.0));
        let mut order: Vec<usize> = (0..s.experts).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let chosen = &order[..s.topk];
        let counted = if s.renormalise { chosen } else { &order[..] };
        let total: f64 = counted
            .iter()
            .map(|&e| (logits[e] - logits[order[0]]).exp())
            .sum();
        let mut y = vec![0.0; s.d];
        for (slot, &e) in chosen.iter().enumerate() {
            let (expert, weight) = done.route(token, slot);
            assert_eq!(expert, e, "token {token} slot {slot}");
            let want = (logits[e] - logits[order[0]]).exp() / total;
            assert!((weight - want).abs() < 2e-5, "{weight} {want}");
            let [gate, up, down] = &layer.experts[e];
            let Exponents {
                gate: eg,
                up: eu,
                down: ed,
            } = layer.exponents[e];
            let g = times(&dense(gate, eg), &q(&x));
            let u = times(&dense(up, eu), &q(&x));
            let h: Vec<f64> = g
                .iter()
                .zip(u)
                .map(|(g, u)| g / (1.0 + (-g).exp()) * u)
                .collect();
            for (y, v) in y.iter_mut().zip(times(&dense(down, ed), &q(&h))) {
                *y += want * v;
            }
        }
        out.extend(y);
    }
    out
}

fn relative_error(y: &[i32], want: &[f64], lsb: i16) -> f64 {
    let unit = 2f64.powi(lsb.into());
    let error: f64 = y
        .iter()
        .zip(want)
        .map(|(&y, w)| (f64::from(y) * unit - w).powi(2))
        .sum();
    let norm: f64 = want.iter().map(|w| w * w).sum();
    (error / norm).sqrt()
}

#[test]
fn layers_agree_with_f64() {
    for (seed, shape) in shapes().into_iter().enumerate() {
        let layer = Layer::random(shape, seed as u64);
        for config in [TINY, SIM] {
            let done = run(&layer, config);
            let y = done.all_y();
            let same = relative_error(&y, &reference(&layer, &done, false), layer.lsb_y);
            let exact = relative_error(&y, &reference(&layer, &done, true), layer.lsb_y);
            println!(
                "seed {seed} {shape:?}: {same:.2e} with quantised activations, {exact:.2e} without"
            );
            assert!(same < 4e-3, "{same}");
            assert!(exact < 3e-2, "{exact}");
            assert_eq!(done.outcome.counters.saturations, 0);
        }
    }
}

#[test]
fn lanes_and_windows_change_no_bit() {
    for wild in [false, true] {
        for (seed, shape) in shapes().into_iter().enumerate() {
            let layer = Layer::random(Shape { wild, ..shape }, 100 + seed as u64);
            let wide = run(&layer, SIM);
            let narrow = run(&layer, TINY);
            let small = run_changed(&layer, SIM, |c, _| {
                (c.window_router, c.window_gate_up, c.window_down) = (1, 2, 1);
            });
            for other in [&narrow, &small] {
                assert_eq!(wide.all_y(), other.all_y(), "{shape:?} wild {wild}");
                assert_eq!(
                    wide.outcome.counters.macs, other.outcome.counters.macs,
                    "work does not depend on the engine's size"
                );
                assert_eq!(wide.trace.routes, other.trace.routes);
            }
            // The order of accumulators is the windows' order; their values are not.
            let sorted = |t: &Trace| {
                let mut v = t.acc.clone();
                v.sort_by_key(|a| (a.kind as u8, a.expert, a.position, a.operand as u8, a.row));
                v
            };
            assert_eq!(sorted(&wide.trace), sorted(&small.trace));
            if shape.f > 8 {
                assert_ne!(wide.trace.acc, small.trace.acc);
            }
        }
    }
}

#[test]
fn a_batch_may_be_split_anywhere() {
    for (seed, shape) in shapes().into_iter().enumerate() {
        let shape = Shape {
            wild: seed % 2 == 0,
            ..shape
        };
        let layer = Layer::random(shape, 200 + seed as u64);
        let whole = run(&layer, TINY);
        let mut macs = 0;
        for token in 0..shape.tokens {
            let mut one = layer.clone();
            one.shape.tokens = 1;
            one.x = layer.x[token * shape.d..(token + 1) * shape.d].to_vec();
            let part = run(&one, TINY);
            macs += part.outcome.counters.macs;
            for i in 0..shape.d {
                assert_eq!(part.y(0, i), whole.y(token, i));
            }
            for slot in 0..shape.topk {
                assert_eq!(part.route(0, slot), whole.route(token, slot));
            }
        }
        assert_eq!(macs, whole.outcome.counters.macs);
    }
}

#[test]
fn macs_are_non_zeros_times_tokens() {
    for shape in shapes() {
        let done = run(&Layer::random(shape, 9), SIM);
        let Shape {
            tokens,
            d,
            f,
            experts,
            topk,
            sparsity,
            ..
        } = shape;
        let kept = match sparsity {
            Sparsity::Dense => 3 * d * f,
            Sparsity::TwoOfFour => 3 * d * f / 2,
        };
        let want = tokens * (topk * kept + 4 * experts * d);
        assert_eq!(done.outcome.counters.macs, want as u64);
    }
}

#[test]
fn one_flipped_weight_byte_changes_y() {
    for sparsity in [Sparsity::Dense, Sparsity::TwoOfFour] {
        let shape = Shape {
            tokens: 1,
            sparsity,
            ..DENSE
        };
        let layer = Layer::random(shape, 3);
        let before = run(&layer, SIM);
        let expert = before.route(0, 0).0 as u64;
        let after = run_changed(&layer, SIM, |c, memory| {
            let image = c.experts_addr + expert * u64::from(c.expert_stride);
            // The last value byte of the image: down's last row.
            let bytes = abi::layout::expert_bytes(shape.d, shape.f, sparsity, SIM.lanes);
            memory[image as usize + bytes - 1] ^= 0x40;
        });
        let changed: Vec<usize> = (0..shape.d)
            .filter(|&i| before.y(0, i) != after.y(0, i))
            .collect();
        assert_eq!(changed, [shape.d - 1]);
    }
}

#[test]
fn damage_is_reported() {
    let layer = Layer::random(DENSE, 4);
    let expert = run(&layer, TINY).route(0, 0).0 as u64;
    let spoil = |change: &dyn Fn(&mut Command, &mut Vec<u8>)| {
        run_changed(&layer, TINY, change).outcome.status
    };
    let router = spoil(&|c, m| m[c.router_addr as usize + 6] = 0);
    let image = spoil(&|c, m| {
        m[(c.experts_addr + expert * u64::from(c.expert_stride)) as usize + 7] = 0;
    });
    assert_eq!((router, image), (Status::BadImage, Status::BadImage));
    assert_eq!(spoil(&|c, _| c.x_addr = 1 << 30), Status::ReadError);
    assert_eq!(spoil(&|c, _| c.experts_addr = 1 << 30), Status::ReadError);
    assert_eq!(spoil(&|c, _| c.y_addr = 1 << 30), Status::WriteError);
    assert_eq!(spoil(&|c, _| c.done_addr = 1 << 30), Status::WriteError);
    // The lowest status wins: a failed write over a damaged image.
    let both = spoil(&|c, m| {
        m[c.router_addr as usize + 6] = 0;
        c.y_addr = 1 << 30;
    });
    assert_eq!(both, Status::WriteError);
    // A damaged header is noted, and the work done all the same.
    let clean = run(&layer, TINY);
    let noted = run_changed(&layer, TINY, |c, m| m[c.router_addr as usize + 6] = 0);
    assert_eq!(noted.all_y(), clean.all_y());
}

#[test]
fn an_infinity_counts_as_zero_and_is_reported() {
    let mut layer = Layer::random(DENSE, 5);
    layer.x[7] = 0.0;
    let clean = run(&layer, TINY);
    layer.x[7] = f32::NEG_INFINITY;
    let done = run_changed(&layer, TINY, |_, _| ());
    assert_eq!(done.outcome.status, Status::NonFinite);
    assert_eq!(done.all_y(), clean.all_y());
}

#[test]
fn saturation_is_counted_and_nothing_wraps() {
    let mut layer = Layer::random(DENSE, 6);
    layer.lsb_y = -60;
    let done = run(&layer, TINY);
    assert!(done.outcome.counters.saturations > 0);
    assert!(done.all_y().contains(&i32::MAX));
    for e in &mut layer.exponents {
        (e.gate, e.up) = (e.gate + 30, e.up + 30);
    }
    let more = run(&layer, TINY);
    assert!(more.outcome.counters.saturations > done.outcome.counters.saturations);
}

#[test]
fn the_trace_ends_in_what_memory_holds() {
    let layer = Layer::random(
        Shape {
            wild: true,
            ..DENSE
        },
        8,
    );
    let done = run(&layer, SIM);
    let t = &done.trace;
    let Shape {
        tokens,
        d,
        f,
        experts,
        topk,
        ..
    } = layer.shape;
    assert_eq!(t.x_blocks.len(), tokens * d.div_ceil(32));
    assert_eq!(t.logits.len(), tokens * experts);
    assert_eq!(t.routes.len(), tokens * topk);
    assert_eq!(t.hidden.len(), tokens * topk * f);
    assert_eq!(t.hidden_blocks.len(), tokens * topk * f.div_ceil(32));
    assert_eq!(t.z.len(), tokens * topk * d);
    assert_eq!(
        t.acc.len(),
        tokens * (4 * experts + topk * (2 * f + d)),
        "router, gate, up, down"
    );
    assert!(t.y.iter().all(|e| done.y(e.token, e.row) == e.y));
    assert!(t.acc.iter().all(|a| a.acc.abs() < 1 << 47));
}

#[test]
fn without_a_trace_the_results_are_the_same() {
    let layer = Layer::random(DENSE, 12);
    let traced = run(&layer, TINY);
    let mut memory = vec![0; 4 << 20];
    let (at, _) = layer.store(&TINY, &mut memory, 0).unwrap();
    let mut engine = Engine::new(TINY, false);
    assert_eq!(engine.run_command(&mut memory, at), traced.outcome);
    assert_eq!(memory, traced.memory);
    assert_eq!(engine.take_trace(), Trace::default());
}

/// Not a threshold: prints how fast this build computes, because the README's table rests on it.
#[test]
fn speed_is_printed() {
    for sparsity in [Sparsity::Dense, Sparsity::TwoOfFour] {
        let shape = Shape {
            tokens: 8,
            d: 256,
            f: 512,
            sparsity,
            ..DENSE
        };
        let layer = Layer::random(shape, Random::new(1).word());
        let mut memory = vec![0; 16 << 20];
        let (at, _) = layer.store(&SIM, &mut memory, 0).unwrap();
        let mut engine = Engine::new(SIM, false);
        let start = std::time::Instant::now();
        let macs: u64 = (0..40)
            .map(|_| engine.run_command(&mut memory, at).counters.macs)
            .sum();
        let rate = macs as f64 / start.elapsed().as_secs_f64() / 1e9;
        println!("{sparsity:?}: {rate:.2} G MAC/s on one thread");
        assert!(macs > 0);
    }
}
