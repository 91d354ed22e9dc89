//! Whole layers: against f64 that shares no code with the engine, and against each other.

use abi::command::{Activation, Score, Source, FLAG_KEEP_SUMS, FLAG_NO_Y};
use abi::config::{SIM, TINY};
use abi::{Command, Config, Format, Sparsity, Status, Storage};
use golden::sample::{Layer, Random, Shape};
use golden::{Engine, Matrix, Memory, Outcome, Rule, Trace};

fn dense() -> Shape {
    Shape::default()
}

/// Ordinary numbers in storages, sizes and functions of every kind.
fn shapes() -> Vec<Shape> {
    let stored = |format, sparsity, paired, bias| Storage {
        format,
        sparsity,
        paired,
        bias,
    };
    let rule = |topk, renormalise| Rule {
        topk,
        renormalise,
        ..Rule::default()
    };
    let dense = dense();
    vec![
        dense,
        Shape {
            storage: stored(Format::Int8, Sparsity::TwoOfFour, false, false),
            router_bias: true,
            ..dense
        },
        Shape {
            tokens: 3,
            d: 32,
            f: 24,
            experts: 16,
            rule: rule(4, false),
            storage: stored(Format::Int4, Sparsity::Dense, true, false),
            ..dense
        },
        Shape {
            storage: stored(Format::Fp4, Sparsity::FourOfEight, true, true),
            gated: false,
            activation: Activation::Gelu,
            ..dense
        },
        Shape {
            d: 52,
            f: 36,
            experts: 5,
            rule: rule(1, false),
            storage: stored(Format::Int8, Sparsity::OneOfFour, false, true),
            activation: Activation::GeluTanh,
            ..dense
        },
        Shape {
            d: 33,
            f: 7,
            experts: 3,
            rule: rule(3, true),
            activation: Activation::Clamped,
            ..dense
        },
        Shape {
            storage: stored(Format::Int4, Sparsity::OneOfEight, false, false),
            activation: Activation::Relu,
            source: Source::All,
            ..dense
        },
        Shape {
            gated: false,
            activation: Activation::Relu2,
            rule: Rule {
                score: Score::Sigmoid,
                ..rule(2, true)
            },
            ..dense
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
        let rows = match self.command.opcode() {
            Some(abi::Opcode::Linear) => self.command.f,
            _ => self.command.d,
        };
        let stride = abi::layout::row_bytes(rows.into());
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

/// A matrix as f64, every position in its place: independent of the engine's reading of images. The bias is the last column.
fn as_f64(m: &Matrix, exponent: i16) -> Vec<Vec<f64>> {
    let (n, of) = m.storage.sparsity.ratio();
    let kept = m.inputs / of * n;
    let mut out = vec![vec![0.0; m.inputs + 1]; m.rows];
    for (row, out) in out.iter_mut().enumerate() {
        for i in 0..kept {
            let at = row * kept + i;
            let column = match m.positions.get(at) {
                Some(&p) => of * (i / n) + usize::from(p),
                None => i,
            };
            let scale = m.scales[row * m.inputs.div_ceil(32) + column / 32];
            out[column] = f64::from(m.values[at]) * scale_value(scale, exponent);
        }
        if let Some(b) = m.biases.get(row) {
            let sum: f64 = b.values.iter().map(|&v| f64::from(v)).sum();
            out[m.inputs] = sum * scale_value(b.scale, exponent);
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
        .map(|row| {
            let (bias, row) = row.split_last().unwrap();
            bias + row.iter().zip(x).map(|(a, b)| a * b).sum::<f64>()
        })
        .collect()
}

/// Abramowitz and Stegun 7.1.26: within 2e-7 of erf.
fn erf(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.3275911 * x.abs());
    let c = [
        0.254829592,
        -0.284496736,
        1.421413741,
        -1.453152027,
        1.061405429,
    ];
    let p = c.iter().rev().fold(0.0, |p, c| (p + c) * t);
    (1.0 - p * (-x * x).exp()).copysign(x)
}

fn hidden(function: Activation, g: f64, u: Option<f64>) -> f64 {
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let tanh = |v: f64| ((2.0 / std::f64::consts::PI).sqrt() * (v + 0.044715 * v.powi(3))).tanh();
    let u1 = u.unwrap_or(1.0);
    match function {
        Activation::Silu => g * sigmoid(g) * u1,
        Activation::Gelu => g * (1.0 + erf(g / 2f64.sqrt())) / 2.0 * u1,
        Activation::GeluTanh => g * (1.0 + tanh(g)) / 2.0 * u1,
        Activation::Relu => g.max(0.0) * u1,
        Activation::Relu2 => g.max(0.0).powi(2),
        Activation::Clamped => {
            let g = g.min(7.0);
            (u1.clamp(-7.0, 7.0) + 1.0) * g * sigmoid(1.702 * g)
        }
    }
}

/// The layer in f64, with the engine's choice of experts checked on the way. `exact`: without any quantisation of
/// activations.
fn reference(layer: &Layer, done: &Done, exact: bool) -> Vec<f64> {
    let s = &layer.shape;
    let w = &layer.router;
    let blocks = s.d.div_ceil(32);
    let router: Vec<Vec<f64>> = (0..s.experts)
        .map(|e| {
            let mut row: Vec<f64> = (0..s.d)
                .map(|i| {
                    let scale = w.scales[e * blocks + i / 32];
                    f64::from(w.q15[e * s.d + i]) * scale_value(scale, w.w_exp)
                })
                .collect();
            row.push(w.biases.get(e).map_or(0.0, |b| {
                let sum: f64 = b.values.iter().map(|&v| f64::from(v)).sum();
                sum * scale_value(b.scale, w.w_exp)
            }));
            row
        })
        .collect();
    let q = |x: &[f64]| {
        if exact {
            x.to_vec()
        } else {
            // To q15 and then to q8.
            quantised(&quantised(x, 13, 16384.0), 6, 127.0)
        }
    };
    let mut out = Vec::new();
    for (token, x) in layer.x.chunks(s.d).enumerate() {
        let x: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
        let mut chosen = vec![(0, 1.0)];
        if s.source == Source::Router {
            let logits = times(&router, &quantised(&x, 13, 16384.0));
            let mut order: Vec<usize> = (0..s.experts).collect();
            order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
            let score = |e: usize| match s.rule.score {
                Score::Sigmoid => 1.0 / (1.0 + (-logits[e]).exp()),
                _ => logits[e].exp(),
            };
            let counted = if s.rule.renormalise {
                &order[..s.rule.topk]
            } else {
                &order[..]
            };
            let total: f64 = counted.iter().map(|&e| score(e)).sum();
            chosen = order[..s.rule.topk]
                .iter()
                .map(|&e| (e, score(e) / total))
                .collect();
            for (slot, &(e, want)) in chosen.iter().enumerate() {
                let (expert, weight) = done.route(token, slot);
                assert_eq!(expert, e, "token {token} slot {slot}");
                assert!((weight - want).abs() < 4e-5, "{weight} {want}");
            }
        }
        let mut y = vec![0.0; s.d];
        for (e, weight) in chosen {
            let expert = &layer.experts[e];
            let g = times(&as_f64(&expert.hidden[0], expert.exponents.gate), &q(&x));
            let u = expert
                .hidden
                .get(1)
                .map(|up| times(&as_f64(up, expert.exponents.up), &q(&x)));
            let h: Vec<f64> = g
                .iter()
                .enumerate()
                .map(|(i, &g)| hidden(s.activation, g, u.as_ref().map(|u| u[i])))
                .collect();
            let down = as_f64(&expert.down, expert.exponents.down);
            for (y, v) in y.iter_mut().zip(times(&down, &q(&h))) {
                *y += weight * v;
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
        let done = run(&layer, SIM);
        let y = done.all_y();
        let same = relative_error(&y, &reference(&layer, &done, false), layer.lsb_y);
        let exact = relative_error(&y, &reference(&layer, &done, true), layer.lsb_y);
        println!(
            "seed {seed} {shape:?}: {same:.2e} with quantised activations, {exact:.2e} without"
        );
        assert!(same < 6e-3, "{same}");
        assert!(exact < 4e-2, "{exact}");
        assert_eq!(done.outcome.counters.saturations, 0);
    }
}

#[test]
fn the_engines_size_and_windows_change_no_bit() {
    for wild in [false, true] {
        for (seed, shape) in shapes().into_iter().enumerate() {
            let layer = Layer::random(Shape { wild, ..shape }, 100 + seed as u64);
            let large = run(&layer, SIM);
            let small = run(&layer, TINY);
            assert_eq!(large.all_y(), small.all_y());
            assert_eq!(large.trace, small.trace, "{shape:?} wild {wild}");
            assert_eq!(large.outcome.counters, small.outcome.counters);
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
            for slot in 0..shape.rule.topk {
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
        let (n, m) = shape.storage.sparsity.ratio();
        let kept = (2 + usize::from(shape.gated)) * shape.d * shape.f * n / m;
        let routed = shape.source == Source::Router;
        let want = if routed {
            shape.tokens * (shape.rule.topk * kept + 4 * shape.experts * shape.d)
        } else {
            shape.tokens * kept
        };
        assert_eq!(done.outcome.counters.macs, want as u64);
    }
}

#[test]
fn one_flipped_weight_byte_changes_y() {
    for sparsity in [Sparsity::Dense, Sparsity::TwoOfFour] {
        let storage = Storage {
            sparsity,
            ..Storage::INT8
        };
        let shape = Shape {
            tokens: 1,
            storage,
            ..dense()
        };
        let layer = Layer::random(shape, 3);
        let before = run(&layer, SIM);
        let expert = before.route(0, 0).0 as u64;
        let after = run_changed(&layer, SIM, |c, memory| {
            let image = c.experts_addr + expert * u64::from(c.expert_stride);
            // The last value byte of the image: down's last row.
            let bytes = abi::layout::expert_bytes(shape.d, shape.f, true, storage);
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
    let layer = Layer::random(dense(), 4);
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
    let mut layer = Layer::random(dense(), 5);
    layer.x[7] = 0.0;
    let clean = run(&layer, TINY);
    layer.x[7] = f32::NEG_INFINITY;
    let done = run_changed(&layer, TINY, |_, _| ());
    assert_eq!(done.outcome.status, Status::NonFinite);
    assert_eq!(done.all_y(), clean.all_y());
}

#[test]
fn saturation_is_counted_and_nothing_wraps() {
    let mut layer = Layer::random(dense(), 6);
    layer.lsb_y = -60;
    let done = run(&layer, TINY);
    assert!(done.outcome.counters.saturations > 0);
    assert!(done.all_y().contains(&i32::MAX));
    for e in &mut layer.experts {
        e.exponents.gate += 30;
        e.exponents.up += 30;
    }
    let more = run(&layer, TINY);
    assert!(more.outcome.counters.saturations > done.outcome.counters.saturations);
}

#[test]
fn the_trace_ends_in_what_memory_holds() {
    let layer = Layer::random(
        Shape {
            wild: true,
            ..dense()
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
        ..
    } = layer.shape;
    let topk = layer.shape.rule.topk;
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
}

#[test]
fn without_a_trace_the_results_are_the_same() {
    let layer = Layer::random(dense(), 12);
    let traced = run(&layer, TINY);
    let mut memory = vec![0; 4 << 20];
    let (at, _) = layer.store(&TINY, &mut memory, 0).unwrap();
    let mut engine = Engine::new(TINY, false);
    assert_eq!(engine.run_command(&mut memory, at), traced.outcome);
    assert_eq!(memory, traced.memory);
    assert_eq!(engine.take_trace(), Trace::default());
}

#[test]
fn a_task_has_its_own_router() {
    let mut layer = Layer::random(dense(), 14);
    let alone = run(&layer, TINY);
    layer.task = 3;
    let mut memory = vec![0; 4 << 20];
    let (at, command) = layer.store(&TINY, &mut memory, 0).unwrap();
    let mut engine = Engine::new(TINY, false);
    let mut run_task = |task| {
        engine.set_task(task);
        assert_eq!(engine.run_command(&mut memory, at).status, Status::Ok);
        let done = Done {
            outcome: alone.outcome,
            trace: Trace::default(),
            command,
            memory: memory.clone(),
        };
        (0..2).map(|slot| done.route(0, slot)).collect::<Vec<_>>()
    };
    let routes: Vec<_> = (0..2).map(|slot| alone.route(0, slot)).collect();
    assert_ne!(run_task(0), routes);
    assert_eq!(run_task(3), routes);
}

/// A shared expert after the routed ones, and a dense layer after that: the sums of all three.
#[test]
fn sums_go_on() {
    let mut memory = vec![0; 8 << 20];
    let shape = Shape {
        d: 64,
        f: 64,
        ..dense()
    };
    let routed = Layer::random(shape, 20);
    let all = Shape {
        source: Source::All,
        ..shape
    };
    let shared = Layer::random(all, 21);
    let plain = Layer::random(Shape { plain: true, ..all }, 22);
    let mut engine = Engine::new(TINY, false);
    let mut run_all = |flags: [u8; 3]| {
        let mut base = 0;
        [&routed, &shared, &plain].map(|layer| {
            let n = base as usize / (1 << 20);
            let (at, mut command) = layer.store(&TINY, &mut memory, base).unwrap();
            command.flags = flags[n];
            base += 1 << 20;
            memory.write(at, &command.to_bytes()).unwrap();
            memory.write(command.y_addr, &[0x55; 4]).unwrap();
            let outcome = engine.run_command(&mut memory, at);
            assert_eq!(outcome.status, Status::Ok);
            let done = Done {
                outcome,
                trace: Trace::default(),
                command,
                memory: memory.clone(),
            };
            (done.all_y(), outcome.counters.written_bytes)
        })
    };
    let single = run_all([0; 3]);
    let kept = run_all([FLAG_NO_Y, FLAG_KEEP_SUMS | FLAG_NO_Y, FLAG_KEEP_SUMS]);
    assert_eq!(kept[0].0[0], 0x5555_5555, "no y is written");
    assert_eq!(kept[1].1, 16, "a record only");
    let mut differences = 0;
    for (i, &y) in kept[2].0.iter().enumerate() {
        let apart: i32 = single.iter().map(|s| s.0[i]).sum();
        assert!((y - apart).abs() <= 1, "{y} {apart}");
        differences += i32::from(y != apart);
    }
    assert!(differences > 0, "rounded once and not three times");
}

/// Not a threshold: prints how fast this build computes, because the README's table rests on it.
#[test]
fn speed_is_printed() {
    for storage in [
        Storage::INT8,
        Storage {
            sparsity: Sparsity::TwoOfFour,
            ..Storage::INT8
        },
        Storage {
            format: Format::Int4,
            paired: true,
            ..Storage::INT8
        },
    ] {
        for tokens in [1, 8] {
            let shape = Shape {
                tokens,
                d: 256,
                f: 512,
                storage,
                ..dense()
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
            println!(
                "{:?} {}, {tokens} tokens: {rate:.2} G MAC/s on one thread",
                storage.format,
                storage.sparsity.name()
            );
            assert!(macs > 0);
        }
    }
}
