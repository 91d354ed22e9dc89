//! Layers in plain f64, from the meaning of the weights as `docs/formats.md` gives it: no integer of the engine is looked at, and
//! activations are not quantised. What the engine's number formats cost is the distance between both.

use abi::command::{Activation, Score, Source};
use abi::layout::{row_bytes, ROUTE_BYTES};
use abi::{Command, Opcode};
use golden::sample::{Expert, Layer};
use golden::{Matrix, RouterWeights};

/// A matrix in f64, row by row, and what is added to each row.
pub struct Dense {
    rows: Vec<Vec<f64>>,
    biases: Vec<f64>,
}

/// A scale's value, times 2^exponent.
fn scale(bits: u16, exponent: i16) -> f64 {
    let (sign, e5, c) = (bits >> 15, i32::from(bits >> 10 & 31), bits & 1023);
    let m = f64::from(if e5 == 0 { c } else { 1024 + c });
    let value = m * 2f64.powi(e5.max(1) - 30 + i32::from(exponent));
    if sign == 1 {
        -value
    } else {
        value
    }
}

impl Dense {
    /// The matrix that is stored, dequantised.
    pub fn of(m: &Matrix, exponent: i16) -> Dense {
        let (n, of) = m.storage.sparsity.ratio();
        let (kept, blocks) = (m.inputs / of * n, m.inputs.div_ceil(32));
        let mut rows = vec![vec![0.0; m.inputs]; m.rows];
        for (r, row) in rows.iter_mut().enumerate() {
            for i in 0..kept {
                let at = r * kept + i;
                let place = m.positions.get(at).map_or(0, |&p| usize::from(p));
                let column = i / n * of + place;
                row[column] =
                    f64::from(m.values[at]) * scale(m.scales[r * blocks + column / 32], exponent);
            }
        }
        let biases = m.biases.iter();
        let biases = biases.map(|b| sum(&b.values) * scale(b.scale, exponent));
        Dense {
            rows,
            biases: biases.collect(),
        }
    }

    /// A router's matrix.
    pub fn router(w: &RouterWeights) -> Dense {
        let blocks = w.inputs.div_ceil(32);
        let row = |e: usize| {
            let weight = |i| {
                f64::from(w.q15[e * w.inputs + i]) * scale(w.scales[e * blocks + i / 32], w.w_exp)
            };
            (0..w.inputs).map(weight).collect()
        };
        let biases = w.biases.iter();
        Dense {
            rows: (0..w.experts).map(row).collect(),
            biases: biases
                .map(|b| sum(&b.values) * scale(b.scale, w.w_exp))
                .collect(),
        }
    }

    /// W x + b.
    pub fn times(&self, x: &[f64]) -> Vec<f64> {
        let row = |(r, row): (usize, &Vec<f64>)| {
            let dot: f64 = row.iter().zip(x).map(|(a, b)| a * b).sum();
            dot + self.biases.get(r).unwrap_or(&0.0)
        };
        self.rows.iter().enumerate().map(row).collect()
    }
}

fn sum(values: &[i16]) -> f64 {
    values.iter().map(|&v| f64::from(v)).sum()
}

/// 1 / (1 + e^-v).
pub fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

/// The error function: its series, good to 1e-8 up to 4, where it is as close to 1.
fn erf(x: f64) -> f64 {
    if x.abs() > 4.0 {
        return x.signum();
    }
    let (mut term, mut all) = (x, x);
    for n in 1..100 {
        term *= -x * x / f64::from(n);
        all += term / f64::from(2 * n + 1);
    }
    all * std::f64::consts::FRAC_2_SQRT_PI
}

/// The function of an expert's hidden layer.
fn activate(function: Activation, g: f64, u: Option<f64>) -> f64 {
    let up = u.unwrap_or(1.0);
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (g + 0.044715 * g.powi(3));
    match function {
        Activation::Silu => g * sigmoid(g) * up,
        Activation::Gelu => g * (1.0 + erf(g / 2f64.sqrt())) / 2.0 * up,
        Activation::GeluTanh => g * (1.0 + inner.tanh()) / 2.0 * up,
        Activation::Relu => g.max(0.0) * up,
        Activation::Relu2 => g.max(0.0).powi(2),
        Activation::Clamped => {
            let g = g.min(7.0);
            (up.clamp(-7.0, 7.0) + 1.0) * g * sigmoid(1.702 * g)
        }
    }
}

/// One expert on one token.
struct Network {
    hidden: Vec<Dense>,
    down: Dense,
}

impl Network {
    fn of(e: &Expert) -> Network {
        let exponents = [e.exponents.gate, e.exponents.up];
        let hidden = e.hidden.iter().zip(exponents);
        Network {
            hidden: hidden.map(|(m, exponent)| Dense::of(m, exponent)).collect(),
            down: Dense::of(&e.down, e.exponents.down),
        }
    }

    fn run(&self, function: Activation, x: &[f64]) -> Vec<f64> {
        // A dense layer has no first matrix.
        let Some(first) = self.hidden.first() else {
            return self.down.times(x);
        };
        let gate = first.times(x);
        let up = self.hidden.get(1).map(|up| up.times(x));
        let hidden = gate.iter().enumerate();
        let hidden: Vec<f64> = hidden
            .map(|(i, &g)| activate(function, g, up.as_ref().map(|u| u[i])))
            .collect();
        self.down.times(&hidden)
    }
}

/// What the router of a layer means for one token: experts and weights, best first, and how far the last chosen logit is from the
/// first that is not.
pub struct Chosen {
    /// Experts and weights.
    pub experts: Vec<(usize, f64)>,
    /// Distance of logits at the border.
    pub margin: f64,
}

/// Softmax or sigmoid over all experts, the k best, renormalised or not: the forms that vision and language models use.
pub fn choose(layer: &Layer, x: &[f64]) -> Chosen {
    let rule = &layer.shape.rule;
    let logits = Dense::router(&layer.router).times(x);
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let most = logits[order[0]];
    let score = |e: usize| match rule.score {
        Score::Softmax => (logits[e] - most).exp(),
        Score::Sigmoid => sigmoid(logits[e]),
        other => panic!("no reference for {other:?}"),
    };
    let chosen = &order[..rule.topk];
    let total: f64 = match (rule.score, rule.renormalise) {
        (_, true) => chosen.iter().map(|&e| score(e)).sum(),
        (Score::Softmax, false) => order.iter().map(|&e| score(e)).sum(),
        _ => 1.0,
    };
    let scale = f64::from(rule.route_scale) / 4096.0;
    let margin = order.get(rule.topk).map_or(f64::INFINITY, |&next| {
        logits[order[rule.topk - 1]] - logits[next]
    });
    Chosen {
        experts: chosen
            .iter()
            .map(|&e| (e, score(e) / total * scale))
            .collect(),
        margin,
    }
}

/// The outputs of a layer: T rows. Where the engine routes, `routes` are its choices: they are compared with what the router means
/// (weights within `tolerance`, and so is the margin where another expert was taken), and then used.
pub fn layer(layer: &Layer, routes: &[Vec<(usize, f64)>], tolerance: f64) -> Vec<Vec<f64>> {
    let s = &layer.shape;
    let experts: Vec<Network> = layer.experts.iter().map(Network::of).collect();
    let mut out = Vec::new();
    for (token, x) in layer.x.chunks(s.d).enumerate() {
        let x: Vec<f64> = x.iter().map(|&v| v.into()).collect();
        let choices = match s.source {
            Source::All => vec![(0, 1.0)],
            Source::Host => routes[token].clone(),
            Source::Router => {
                let want = choose(layer, &x);
                for (&(e, w), &(want_e, want_w)) in routes[token].iter().zip(&want.experts) {
                    assert!(
                        e == want_e || want.margin < tolerance || (w - want_w).abs() < tolerance,
                        "token {token}: expert {e} and not {want_e}, by {}",
                        want.margin
                    );
                    assert!(
                        (w - want_w).abs() < tolerance,
                        "token {token}: {w} {want_w}"
                    );
                }
                assert_eq!(routes[token].len(), want.experts.len());
                routes[token].clone()
            }
        };
        let mut y = vec![0.0; s.outputs()];
        for (e, weight) in choices {
            let output = experts[e].run(s.activation, &x);
            for (y, v) in y.iter_mut().zip(output) {
                *y += weight * v;
            }
        }
        out.push(y);
    }
    out
}

/// |a - b| / |b|, of all elements together.
pub fn distance(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let square = |rows: &mut dyn Iterator<Item = f64>| rows.map(|v| v * v).sum::<f64>();
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    let error = square(&mut pairs.map(|(a, b)| a - b));
    (error / square(&mut b.iter().flatten().copied())).sqrt()
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let word = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    bytes.chunks_exact(4).map(word)
}

/// The y that a command left in card memory.
pub fn outputs(memory: &[u8], c: &Command) -> Vec<Vec<f64>> {
    let linear = c.opcode() == Some(Opcode::Linear);
    let rows = usize::from(if linear { c.f } else { c.d });
    let unit = 2f64.powi(c.lsb_y.into());
    let all = &memory[c.y_addr as usize..][..usize::from(c.tokens) * row_bytes(rows)];
    let row = |row| {
        let values = words(row).take(rows);
        values.map(|v| f64::from(v as i32) * unit).collect()
    };
    all.chunks_exact(row_bytes(rows)).map(row).collect()
}

/// The choices that a command left in card memory.
pub fn routes(memory: &[u8], c: &Command) -> Vec<Vec<(usize, f64)>> {
    let all = &memory[c.route_addr as usize..][..usize::from(c.tokens) * ROUTE_BYTES];
    let row = |row| {
        let words: Vec<u32> = words(row).collect();
        let entries = words.chunks_exact(2).take(c.topk.into());
        entries
            .map(|e| (e[0] as usize, f64::from(e[1]) / 65536.0))
            .collect()
    };
    all.chunks_exact(ROUTE_BYTES).map(row).collect()
}
