//! Random layers and programs from a seed, for tests of the engine: matrices, inputs, and the commands that run them.

use abi::command::{
    Activation, Predict, Score, Source, ACTIVATION_UNGATED, COMMAND_STRIDE, FLAG_KEEP_SUMS,
    FLAG_NO_Y, NO_EXPERT, ROUTING_BIAS, ROUTING_CHOICE_BIAS, ROUTING_GROUP_SUM2,
    ROUTING_RENORMALISE,
};
use abi::config::LANES;
use abi::layout::{
    down_section, hidden_section, level_words, plain_section, router_section, row_bytes,
    ROUTE_BYTES, WATCHED_PAGE,
};
use abi::{
    Command, Config, Format, Opcode, Section, Sparsity, Status, Storage, ALIGN, BEAT, BLOCK,
    TOPK_MAX,
};

use crate::image::{
    bias_row, router_bias_row, write_expert, write_plain, write_router, BiasRow, Exponents, Matrix,
    RouterWeights,
};
use crate::matrix::{Operand, Rows};
use crate::memory::{Memory, OutOfRange};
use crate::router::{choose, host_choices, Choice, Rule};
use crate::vector::Limbs;

/// A small generator (xorshift64*): the seed is all that a repetition needs.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator from a seed.
    pub fn new(seed: u64) -> Random {
        let mut r = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..4 {
            r.word();
        }
        r
    }
    /// 64 random bits.
    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.word() >> 16) % n
    }
    /// True once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    /// One of `all`.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
    /// Roughly normal, mean 0, deviation 1.
    pub fn normal(&mut self) -> f64 {
        let sum: u64 = (0..12).map(|_| self.word() >> 40).sum();
        sum as f64 / f64::from(1 << 24) - 6.0
    }
}

/// Sizes and modes of a layer, and how strange its numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// A dense layer (opcode Linear): one matrix of f rows.
    pub plain: bool,
    /// T.
    pub tokens: usize,
    /// d.
    pub d: usize,
    /// f.
    pub f: usize,
    /// E.
    pub experts: usize,
    /// Storage of expert weights.
    pub storage: Storage,
    /// Experts of gate, up and down.
    pub gated: bool,
    /// Their function.
    pub activation: Activation,
    /// Who routes.
    pub source: Source,
    /// How the router chooses.
    pub rule: Rule,
    /// The router's rows have biases.
    pub router_bias: bool,
    /// False: numbers as in a trained model. True: exponents all over the range, zeros, subnormals, scales of any bit
    /// pattern, values of -128, saturation.
    pub wild: bool,
    /// Blocks of zeros among activations and scales, for the engine to skip.
    pub zeros: bool,
}

impl Default for Shape {
    /// Five tokens, eight dense int8 experts of 64 and 96, two of them chosen by a softmax that is renormalised; SiLU.
    fn default() -> Shape {
        Shape {
            plain: false,
            tokens: 5,
            d: 64,
            f: 96,
            experts: 8,
            storage: Storage::INT8,
            gated: true,
            activation: Activation::Silu,
            source: Source::Router,
            rule: Rule {
                renormalise: true,
                ..Rule::default()
            },
            router_bias: false,
            wild: false,
            zeros: false,
        }
    }
}

impl Shape {
    /// A shape that `config` can run, with d and f up to `size` and tokens up to `tokens`: every mode the configuration has.
    pub fn random(config: &Config, r: &mut Random, size: usize, tokens: usize) -> Shape {
        let storage = loop {
            let storage = Storage {
                format: r.one_of(&Format::ALL),
                sparsity: r.one_of(&Sparsity::ALL),
                paired: r.once_in(2),
                bias: r.once_in(3),
            };
            let Storage {
                format,
                sparsity,
                paired,
                ..
            } = storage;
            if config.reads(format, sparsity, paired) {
                break storage;
            }
        };
        let m = storage.sparsity.ratio().1;
        let mut width = |max: usize| {
            let max = max.min(size) / m;
            let n = 1 + r.below(max as u64) as usize;
            // Whole blocks as often as ragged ones.
            let whole = n * m / BLOCK * BLOCK;
            if whole > 0 && r.once_in(2) {
                whole
            } else {
                n * m
            }
        };
        let plain_width = width(config.d_max);
        let (d, f) = (width(config.d_max), width(config.f_max));
        let plain = r.once_in(6);
        let (gated, activation) = loop {
            let (gated, activation) = (r.below(3) > 0, r.one_of(&Activation::ALL));
            let known = match activation {
                Activation::Silu | Activation::Relu => true,
                Activation::Gelu | Activation::GeluTanh => config.modes.gelu,
                Activation::Relu2 => !gated,
                Activation::Clamped => gated && config.modes.gelu,
            };
            if known {
                break (gated, activation);
            }
        };
        let experts = 1 + r.below(config.experts_max.min(24) as u64) as usize;
        let source = r.one_of(&[Source::Router, Source::Router, Source::Host, Source::All]);
        Shape {
            plain,
            tokens: 1 + r.below(config.tokens_max.min(tokens) as u64) as usize,
            d,
            f: if plain { plain_width } else { f },
            experts,
            storage,
            gated: gated || plain,
            activation: if plain { Activation::Silu } else { activation },
            source: if plain { Source::All } else { source },
            rule: random_rule(r, experts),
            router_bias: r.once_in(3),
            wild: r.once_in(2),
            zeros: r.once_in(3),
        }
    }

    fn router(&self) -> Section {
        router_section(self.d, self.experts, self.router_bias)
    }
    fn sections(&self) -> Vec<Section> {
        if self.plain {
            vec![plain_section(self.d, self.f, self.storage)]
        } else {
            vec![
                hidden_section(self.d, self.f, self.gated, self.storage),
                down_section(self.d, self.f, self.storage),
            ]
        }
    }
    /// Rows of y.
    pub fn outputs(&self) -> usize {
        if self.plain {
            self.f
        } else {
            self.d
        }
    }
}

/// A rule of choice among `experts`.
fn random_rule(r: &mut Random, experts: usize) -> Rule {
    let mut rule = Rule {
        score: r.one_of(&[
            Score::Softmax,
            Score::Softmax,
            Score::Sigmoid,
            Score::Identity,
            Score::Sparsemixer,
        ]),
        topk: 1 + r.below(experts.min(TOPK_MAX) as u64) as usize,
        renormalise: r.once_in(2),
        choice_bias: r.once_in(3),
        jitter: r.one_of(&[0, 655, 1311, u16::MAX]),
        sum2: r.once_in(2),
        route_scale: r.one_of(&[4096, 4096, 10240, 1, u16::MAX]),
        ..Rule::default()
    };
    if rule.score == Score::Sparsemixer {
        if experts < 2 {
            rule.score = Score::Softmax;
        } else {
            rule.topk = 2;
        }
    }
    if r.once_in(2) {
        let fits =
            |g: &usize| experts.is_multiple_of(*g) && (!rule.sum2 || experts / g >= 2) && *g <= 16;
        let groups: Vec<usize> = (2..=experts).filter(fits).collect();
        if !groups.is_empty() {
            rule.groups = r.one_of(&groups);
            let least = rule.topk.div_ceil(experts / rule.groups);
            let more = (rule.groups - least + 1) as u64;
            rule.groups_kept = least + r.below(more) as usize;
        }
    }
    rule
}

/// An expert's matrices; a dense layer has only `down`.
#[derive(Clone, Debug)]
pub struct Expert {
    /// Gate and up, or the one first matrix.
    pub hidden: Vec<Matrix>,
    /// Down, or the matrix of a dense layer.
    pub down: Matrix,
    /// Their exponents.
    pub exponents: Exponents,
}

/// A layer's weights and inputs.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Sizes and modes.
    pub shape: Shape,
    /// T rows of d.
    pub x: Vec<f32>,
    /// The router of the task that is used.
    pub router: RouterWeights,
    /// That task: as many other routers stand before it.
    pub task: u8,
    /// The experts.
    pub experts: Vec<Expert>,
    /// For each token the entries (expert, weight) that the host wrote, where it routes.
    pub host_routes: Vec<Vec<(u32, u32)>>,
    /// LSB of y.
    pub lsb_y: i16,
    /// Words of a slot to use; `None` for windows of about equal length.
    pub window: Option<u16>,
}

fn random_scale(random: &mut Random, wild: bool) -> u16 {
    let bits = random.word() as u16;
    if wild && random.once_in(4) {
        return bits;
    }
    let exponent = 30 - random.below(3) as u16;
    let sign = if wild { bits & 0x8000 } else { 0 };
    sign | exponent << 10 | bits & 1023
}

fn random_value(random: &mut Random, format: Format, wild: bool) -> i8 {
    let any = random.word() as i8;
    match format {
        Format::Int8 if wild => any,
        Format::Int8 => any.max(-127),
        Format::Int4 => any >> 4,
        Format::Fp4 => numeric::value::fp4(any as u8),
    }
}

/// A matrix of random values, scales and positions. A paired one shares positions between rows r and r + 8 of each 16, and
/// takes them from `beside` (a gate for its up) if there is one. Biases are of the size of a row's sum, for exponents from
/// [`matrix_exponent`].
pub fn random_matrix(
    random: &mut Random,
    rows: usize,
    inputs: usize,
    storage: Storage,
    wild: bool,
    beside: Option<&Matrix>,
) -> Matrix {
    let (n, m) = storage.sparsity.ratio();
    let mut out = Matrix {
        rows,
        inputs,
        storage,
        values: Vec::new(),
        positions: Vec::new(),
        scales: Vec::new(),
        biases: Vec::new(),
    };
    for _ in 0..rows * out.kept() {
        out.values.push(random_value(random, storage.format, wild));
    }
    if storage.sparsity != Sparsity::Dense {
        for row in 0..rows {
            let shared = match beside {
                Some(b) if storage.paired => Some((&b.positions, row)),
                None if storage.paired && row % (2 * LANES) >= LANES => {
                    Some((&out.positions, row - LANES))
                }
                _ => None,
            };
            let positions: Vec<u8> = match shared {
                Some((all, row)) => all[row * out.kept()..(row + 1) * out.kept()].to_vec(),
                None => (0..inputs / m)
                    .flat_map(|_| {
                        let mut all: Vec<u8> = (0..m as u8).collect();
                        while all.len() > n {
                            all.remove(random.below(all.len() as u64) as usize);
                        }
                        all
                    })
                    .collect(),
            };
            out.positions.extend(positions);
        }
    }
    for _ in 0..rows * out.blocks() {
        out.scales.push(random_scale(random, wild));
    }
    if storage.bias {
        let kept = storage.sparsity.kept();
        for _ in 0..rows {
            out.biases.push(if wild && random.once_in(2) {
                BiasRow {
                    scale: random_scale(random, true),
                    values: (0..kept)
                        .map(|_| random_value(random, storage.format, true).into())
                        .collect(),
                }
            } else {
                let w_exp = matrix_exponent(inputs, storage);
                bias_row(random.normal(), w_exp, storage).unwrap_or(BiasRow {
                    scale: 0,
                    values: vec![0; kept],
                })
            });
        }
    }
    out
}

/// The exponent with which a random matrix's outputs are near 1 for inputs near 1.
pub fn matrix_exponent(inputs: usize, storage: Storage) -> i16 {
    let (n, m) = storage.sparsity.ratio();
    // The mean square of an int8 times a mantissa is about 2^17 squared.
    let value = match storage.format {
        Format::Int8 => 17,
        Format::Int4 | Format::Fp4 => 13,
    };
    -value - ((inputs * n / m).max(1).ilog2() / 2) as i16
}

/// Makes blocks of all rows, or of eight neighbours, zero.
fn clear_blocks(random: &mut Random, m: &mut Matrix) {
    let blocks = m.blocks();
    for block in 0..blocks {
        let rows = match random.below(4) {
            0 => 0..m.rows,
            1 => {
                let first = random.below(m.rows as u64) as usize / LANES * LANES;
                first..(first + LANES).min(m.rows)
            }
            _ => continue,
        };
        for row in rows {
            m.scales[row * blocks + block] = 0x8000 & random.word() as u16;
        }
    }
}

impl Layer {
    /// The layer of a shape and a seed.
    pub fn random(shape: Shape, seed: u64) -> Layer {
        let r = &mut Random::new(seed);
        let (d, f, wild, storage) = (shape.d, shape.f, shape.wild, shape.storage);
        let mut x = Vec::with_capacity(shape.tokens * d);
        for _ in 0..shape.tokens * d {
            let v = r.normal() as f32;
            x.push(match (wild, r.below(16)) {
                (true, 0) => 0.0,
                (true, 1) => f32::from_bits(r.word() as u32 & 0x807F_FFFF),
                (true, 2..6) => v * 2f32.powi(r.below(40) as i32 - 34),
                _ => v,
            });
        }
        if shape.zeros {
            for row in x.chunks_mut(d) {
                for block in row.chunks_mut(BLOCK) {
                    if r.once_in(3) {
                        block.fill(0.0);
                    }
                }
            }
        }
        let jitter = if wild { 12 } else { 1 };
        let mut exponent = |n: usize, storage| {
            matrix_exponent(n, storage) + r.below(jitter) as i16 - jitter as i16 / 2
        };
        // q15 values are 2^7 times those of int8.
        let router_exponent = exponent(d, Storage::INT8) - 6;
        let count = if shape.plain { 1 } else { shape.experts };
        let exponents: Vec<Exponents> = (0..count)
            .map(|_| Exponents {
                gate: exponent(d, storage),
                up: if shape.gated { exponent(d, storage) } else { 0 },
                down: exponent(if shape.plain { d } else { f }, storage),
            })
            .collect();
        let experts = exponents
            .into_iter()
            .map(|exponents| {
                let mut matrix = |rows, inputs, beside: Option<&Matrix>| {
                    let mut m = random_matrix(r, rows, inputs, storage, wild, beside);
                    if shape.zeros {
                        clear_blocks(r, &mut m);
                    }
                    m
                };
                let (hidden, down) = if shape.plain {
                    (Vec::new(), matrix(f, d, None))
                } else {
                    let mut hidden = vec![matrix(f, d, None)];
                    if shape.gated {
                        let up = matrix(f, d, Some(&hidden[0]));
                        hidden.push(up);
                    }
                    (hidden, matrix(d, f, None))
                };
                Expert {
                    hidden,
                    down,
                    exponents,
                }
            })
            .collect();
        let router = random_router(r, &shape, router_exponent);
        let host_routes = (0..shape.tokens)
            .map(|_| random_choices(r, &shape))
            .collect();
        Layer {
            shape,
            x,
            router,
            task: 0,
            experts,
            host_routes: if shape.source == Source::Host {
                host_routes
            } else {
                Vec::new()
            },
            lsb_y: -18,
            window: None,
        }
    }

    /// The bytes of x as card memory holds them.
    pub fn x_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (t, row) in self.x.chunks(self.shape.d).enumerate() {
            out.extend(row.iter().flat_map(|v| v.to_bits().to_le_bytes()));
            out.resize((t + 1) * row_bytes(self.shape.d), 0);
        }
        out
    }

    /// The bytes of the host's routes.
    fn route_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (t, entries) in self.host_routes.iter().enumerate() {
            for (expert, weight) in entries {
                out.extend(expert.to_le_bytes());
                out.extend(weight.to_le_bytes());
            }
            out.resize((t + 1) * ROUTE_BYTES, 0);
        }
        out
    }

    /// The image of an expert, or of the dense layer.
    pub fn image(&self, expert: usize) -> Vec<u8> {
        let e = &self.experts[expert];
        if self.shape.plain {
            write_plain(&e.down, e.exponents.down)
        } else {
            let hidden: Vec<&Matrix> = e.hidden.iter().collect();
            write_expert(&hidden, &e.down, e.exponents)
        }
    }

    /// What the router will choose for each token; for the other sources what is given.
    pub fn routes(&self) -> Vec<Vec<Choice>> {
        let s = &self.shape;
        let section = s.router();
        let image = write_router(&self.router);
        let rows = Rows::decode(&section, &image[BEAT..BEAT + section.bytes()]);
        let rows_of = |t: usize| -> Vec<Choice> {
            match s.source {
                Source::All => vec![Choice {
                    expert: 0,
                    weight: 65536,
                }],
                Source::Host => host_choices(self.host_routes[t].iter().copied(), s.experts).0,
                Source::Router => {
                    let x: Vec<u32> = self.x[t * s.d..(t + 1) * s.d]
                        .iter()
                        .map(|v| v.to_bits())
                        .collect();
                    let limbs = Limbs::of(&x).before(s.router_bias);
                    let (hi, lo) = (Operand::of(&limbs.hi), Operand::of(&limbs.lo));
                    let logits: Vec<i64> = (0..s.experts)
                        .map(|e| {
                            let l = s.experts + e;
                            numeric::logit(
                                rows.dot(e, &hi),
                                rows.dot(e, &lo),
                                rows.dot(l, &hi),
                                rows.dot(l, &lo),
                            )
                        })
                        .collect();
                    let ls = numeric::lsb_router(limbs.hi.bmax, self.router.w_exp);
                    choose(&logits, ls, &self.router.choice, &s.rule)
                }
            }
        };
        (0..s.tokens).map(rows_of).collect()
    }

    /// Finds room for everything from `base` (a multiple of 64) on: the command that runs the layer, and what has to be
    /// written before. From a page on, the experts have pages of their own, so that nothing ends a prefetch; otherwise all stands as
    /// close as it can.
    pub fn place(&self, config: &Config, base: u64) -> Placed {
        let s = &self.shape;
        let mut free = base;
        let mut take = |bytes: usize, align: u64| {
            let at = free.next_multiple_of(align);
            free = (at + bytes as u64).next_multiple_of(align);
            at
        };
        let apart = if base.is_multiple_of(WATCHED_PAGE) {
            WATCHED_PAGE
        } else {
            ALIGN
        };
        let images: Vec<Vec<u8>> = (0..self.experts.len()).map(|e| self.image(e)).collect();
        let stride = images[0].len().next_multiple_of(ALIGN as usize);
        let router = write_router(&self.router);
        let task_stride = router.len().next_multiple_of(ALIGN as usize);
        let x = self.x_bytes();
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        let rule = &s.rule;
        let command = Command {
            opcode: if s.plain {
                Opcode::Linear
            } else {
                Opcode::MoeLayer
            } as u8,
            tag: 1,
            tokens: s.tokens as u16,
            d: s.d as u16,
            f: s.f as u16,
            experts: s.experts as u16,
            topk: rule.topk as u8,
            storage: s.storage.code(),
            lsb_y: self.lsb_y,
            done_addr: take(16, ALIGN),
            x_addr: take(x.len(), ALIGN),
            y_addr: take(s.tokens * row_bytes(s.outputs()), ALIGN),
            route_addr: take(s.tokens * ROUTE_BYTES, ALIGN),
            router_addr: take(task_stride * (1 + usize::from(self.task)), ALIGN),
            experts_addr: take(stride * images.len(), apart),
            expert_stride: stride as u32,
            task_stride: task_stride as u32,
            activation: s.activation as u8 | flag(!s.gated, ACTIVATION_UNGATED),
            routing: s.source as u8
                | (rule.score as u8) << 2
                | flag(rule.renormalise, ROUTING_RENORMALISE)
                | flag(rule.choice_bias, ROUTING_CHOICE_BIAS)
                | flag(rule.sum2, ROUTING_GROUP_SUM2)
                | flag(s.router_bias, ROUTING_BIAS),
            groups: rule.groups as u8,
            groups_kept: rule.groups_kept as u8,
            route_scale: rule.route_scale,
            jitter: rule.jitter,
            window_words: self
                .window
                .unwrap_or_else(|| level_words(&s.sections(), config.slot_words) as u16),
            ..Command::default()
        };
        let mut writes = vec![(command.x_addr, x)];
        if !s.plain {
            let at = |task: u8| command.router_addr + u64::from(task) * task_stride as u64;
            writes.push((at(self.task), router));
            for task in 0..self.task {
                let mut other = self.router.clone();
                other.q15.reverse();
                writes.push((at(task), write_router(&other)));
            }
        }
        if s.source == Source::Host {
            writes.push((command.route_addr, self.route_bytes()));
        }
        for (e, image) in images.into_iter().enumerate() {
            writes.push((command.experts_addr + (e * stride) as u64, image));
        }
        Placed {
            command,
            writes,
            end: free,
        }
    }

    /// Stores images and inputs in card memory from `base` (a multiple of 64) on, and the descriptor at the address that
    /// comes back with it. The completion record, y and the routes have room too.
    ///
    /// # Errors
    /// If the memory is too small.
    pub fn store(
        &self,
        config: &Config,
        memory: &mut dyn Memory,
        base: u64,
    ) -> Result<(u64, Command), OutOfRange> {
        let placed = self.place(config, base + COMMAND_STRIDE);
        memory.write(base, &placed.command.to_bytes())?;
        for (at, bytes) in &placed.writes {
            memory.write(*at, bytes)?;
        }
        Ok((base, placed.command))
    }
}

fn random_router(r: &mut Random, shape: &Shape, w_exp: i16) -> RouterWeights {
    let (d, experts, wild) = (shape.d, shape.experts, shape.wild);
    if shape.plain {
        return RouterWeights::default();
    }
    let mut q15 = || {
        let q = (r.below(32769) as i32 - 16384) as i16;
        // Writers avoid a low limb of -128.
        if numeric::limbs(q).1 == -128 {
            q + 1
        } else {
            q
        }
    };
    let mut all: Vec<i16> = (0..experts * d).map(|_| q15()).collect();
    // Ties: some experts are twins.
    if wild && experts > 2 {
        let (first, rest) = all.split_at_mut(d);
        rest[..d].copy_from_slice(first);
    }
    let blocks = shape.router().blocks();
    let mut scales: Vec<u16> = (0..experts * blocks)
        .map(|_| random_scale(r, wild))
        .collect();
    if wild && experts > 2 {
        let (first, rest) = scales.split_at_mut(blocks);
        rest[..blocks].copy_from_slice(first);
    }
    let biases = if shape.router_bias {
        let row = |r: &mut Random| {
            router_bias_row(r.normal(), w_exp).unwrap_or(BiasRow {
                scale: 0,
                values: vec![0; BLOCK],
            })
        };
        (0..experts).map(|_| row(r)).collect()
    } else {
        Vec::new()
    };
    let choice = if shape.rule.choice_bias {
        (0..experts)
            .map(|_| match (wild, r.below(8)) {
                (true, 0) => r.one_of(&[i32::MIN, i32::MAX]),
                _ => (r.normal() * f64::from(1 << 22)) as i32,
            })
            .collect()
    } else {
        Vec::new()
    };
    RouterWeights {
        experts,
        inputs: d,
        q15: all,
        scales,
        w_exp,
        biases,
        choice,
    }
}

/// A token's entries as a host may write them: no expert twice, sometimes none.
fn random_choices(r: &mut Random, shape: &Shape) -> Vec<(u32, u32)> {
    let mut left: Vec<u32> = (0..shape.experts as u32).collect();
    (0..shape.rule.topk)
        .map(|_| {
            let expert = left.swap_remove(r.below(left.len() as u64) as usize);
            let weight = match r.below(6) {
                0 => 0,
                1 => r.word() as u32 >> r.below(12),
                _ => r.word() as u32 >> 16,
            };
            (if r.once_in(8) { NO_EXPERT } else { expert }, weight)
        })
        .collect()
}

/// A command, and what must be in memory before it.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The command.
    pub command: Command,
    /// Addresses and bytes.
    pub writes: Vec<(u64, Vec<u8>)>,
    /// The first free address behind.
    pub end: u64,
}

/// One command of a program.
#[derive(Clone, Debug)]
pub struct Step {
    /// The command.
    pub command: Command,
    /// The layer that it runs; none for a prefetch and a command that is refused.
    pub layer: Option<Layer>,
    /// The status it must end with.
    pub status: Status,
}

/// Several commands in a ring.
#[derive(Clone, Debug)]
pub struct Program {
    /// Address of the ring, which holds the descriptors in order.
    pub ring: u64,
    /// Its size.
    pub ring_log2: u32,
    /// The commands.
    pub steps: Vec<Step>,
    /// What has to be in memory before, descriptors included.
    pub writes: Vec<(u64, Vec<u8>)>,
    /// The TASK register.
    pub task: u8,
    /// Writes to PREDICT_INDEX and PREDICT_DATA.
    pub table: Vec<(u16, u16)>,
    /// The first free address behind.
    pub end: u64,
}

/// How much a program asks for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Steps before the wrong commands and prefetches that are strewn in.
    pub layers: usize,
    /// Largest d and f.
    pub size: usize,
    /// Most tokens of a command.
    pub tokens: usize,
}

impl Program {
    /// The program of a seed for a configuration: layers of every kind, chains whose sums go on, prefetches with right and
    /// wrong guesses, and commands that are refused.
    pub fn random(config: &Config, limits: Limits, seed: u64) -> Program {
        let r = &mut Random::new(seed ^ 0x5EED);
        let task = r.one_of(&[0, 0, 1, 3]);
        let mut draft = Draft {
            config: *config,
            task,
            steps: Vec::new(),
            writes: Vec::new(),
            free: 4096,
            chain: None,
            experts: usize::MAX,
        };
        for _ in 0..limits.layers.max(1) {
            let shape = Shape::random(config, r, limits.size, limits.tokens);
            draft.layer(r, shape);
            // The next layer of a model: the same shape, so that what is prefetched can be of use.
            if r.once_in(2) && !shape.plain {
                draft.guess(r, shape);
            }
            if r.once_in(4) {
                draft.refused(r);
            }
        }
        let experts = draft.experts.clamp(1, 256) as u64;
        let table = (0..8)
            .map(|_| {
                let index = r.below((config.layers_max * config.experts_max) as u64);
                let data = r.below(experts) << 8 | r.below(experts);
                (index as u16, data as u16)
            })
            .collect();
        let ring = 0;
        let descriptors = draft.steps.iter().flat_map(|s| s.command.to_bytes());
        draft.writes.push((ring, descriptors.collect()));
        assert!(draft.steps.len() <= 32);
        Program {
            ring,
            ring_log2: 5,
            steps: draft.steps,
            writes: draft.writes,
            task,
            table,
            end: draft.free,
        }
    }

    /// Writes everything to memory.
    ///
    /// # Errors
    /// If the memory is too small.
    pub fn store(&self, memory: &mut dyn Memory) -> Result<(), OutOfRange> {
        for (at, bytes) in &self.writes {
            memory.write(*at, bytes)?;
        }
        Ok(())
    }
}

/// A program being written.
struct Draft {
    config: Config,
    task: u8,
    steps: Vec<Step>,
    writes: Vec<(u64, Vec<u8>)>,
    free: u64,
    /// Tokens, rows and LSB of the sums that the last command left in the engine.
    chain: Option<(usize, usize, i16)>,
    /// The smallest number of experts among the layers.
    experts: usize,
}

impl Draft {
    /// Adds a layer, perhaps one whose sums one or two others go on with.
    fn layer(&mut self, r: &mut Random, shape: Shape) {
        self.push(r, shape, 0);
        for _ in 0..2 {
            let (tokens, rows, _) = self.chain.expect("a layer came before");
            if r.below(5) < 3 || rows > self.config.d_max {
                break;
            }
            // A shared expert, or a dense layer of as many outputs.
            let m = shape.storage.sparsity.ratio().1;
            let mut next = Shape {
                source: Source::All,
                experts: 1,
                rule: Rule {
                    topk: 1,
                    ..Rule::default()
                },
                plain: r.once_in(2) || !rows.is_multiple_of(m),
                ..shape
            };
            if next.plain {
                (next.f, next.gated, next.activation) = (rows, true, Activation::Silu);
            } else {
                (next.d, next.f) = (rows, (next.f / m).max(1) * m);
            }
            assert_eq!((next.tokens, next.outputs()), (tokens, rows));
            let first = self.steps.last_mut().expect("a layer came before");
            if r.below(4) > 0 {
                first.command.flags |= FLAG_NO_Y;
            }
            self.push(r, next, FLAG_KEEP_SUMS);
        }
    }

    fn push(&mut self, r: &mut Random, shape: Shape, flags: u8) {
        let mut layer = Layer::random(shape, r.word());
        layer.task = self.task;
        layer.lsb_y = match self.chain {
            Some((_, _, lsb)) if flags & FLAG_KEEP_SUMS != 0 => lsb,
            _ => r.one_of(&[-18, -18, -30, -44]),
        };
        let least = shape.sections().iter().map(Section::group_words).max();
        let least = least.unwrap_or(1) as u64;
        let most = self.config.slot_words as u64;
        layer.window = match r.below(4) {
            0 => None,
            1 => Some(least),
            2 => Some(most),
            _ => Some(least + r.below(most - least + 1)),
        }
        .map(|w| w as u16);
        let mut status = Status::Ok;
        if shape.source == Source::Host && r.once_in(6) {
            let entries = &mut layer.host_routes[0];
            entries[0].0 = shape.experts as u32 + r.one_of(&[0, 1, 1 << 20]);
            if entries.len() > 1 && r.once_in(2) {
                // An expert twice.
                entries[1].0 = 0;
                entries[0].0 = 0;
            }
            status = Status::BadRoute;
        }
        if r.once_in(12) {
            layer.x[0] = f32::INFINITY;
            if status == Status::Ok {
                status = Status::NonFinite;
            }
        }
        // In most programs experts have pages of their own; in the others the engine's writes come too close to what it prefetches.
        if !r.once_in(4) {
            self.free = self.free.next_multiple_of(WATCHED_PAGE);
        }
        let Placed {
            mut command,
            writes,
            end,
        } = layer.place(&self.config, self.free);
        command.flags |= flags;
        command.tag = r.word() as u16;
        self.free = end;
        self.writes.extend(writes);
        self.chain = Some((shape.tokens, shape.outputs(), layer.lsb_y));
        self.experts = self.experts.min(layer.experts.len());
        self.steps.push(Step {
            command,
            layer: Some(layer),
            status,
        });
    }

    /// Adds another layer of the same shape, with guesses about its experts in the command before it, or in a prefetch.
    fn guess(&mut self, r: &mut Random, shape: Shape) {
        let before = self.steps.len() - 1;
        let earlier = self.chain;
        self.push(r, shape, 0);
        let next = self.steps.last().expect("just pushed");
        let mut hints: Vec<u8> = next
            .layer
            .iter()
            .flat_map(Layer::routes)
            .flatten()
            .map(|c| c.expert as u8)
            .collect();
        hints.dedup();
        if r.once_in(3) {
            // Wrong ones.
            hints = (0..8)
                .map(|_| r.below(shape.experts as u64) as u8)
                .collect();
        }
        if shape.source == Source::All {
            hints = vec![0];
        }
        hints.resize(8, hints.first().copied().unwrap_or(0));
        let bytes: [u8; 8] = std::array::from_fn(|i| hints[i]);
        let guesses = r.below(self.config.slots.min(8) as u64 + 1) as u8;
        let target = next.command;
        let aim = |c: &mut Command, predict: Predict, layer: u8| {
            c.next_addr = target.experts_addr;
            c.predict = predict as u8;
            c.guesses = guesses;
            c.layer = layer;
            c.hints = u64::from_le_bytes(bytes);
        };
        let layer = r.below(self.config.layers_max as u64) as u8;
        if r.once_in(3) {
            let mut command = Command {
                opcode: Opcode::Prefetch as u8,
                flags: 0,
                tag: r.word() as u16,
                done_addr: self.free,
                ..target
            };
            self.free += ALIGN;
            aim(&mut command, Predict::Hints, layer);
            let step = Step {
                command,
                layer: None,
                status: Status::Ok,
            };
            self.steps.insert(before + 1, step);
        } else {
            let predict = r.one_of(&[Predict::Table, Predict::Hints, Predict::Hints]);
            let c = &mut self.steps[before].command;
            if earlier.is_some() && c.expert_stride >= target.expert_stride {
                aim(c, predict, layer);
            }
        }
    }

    /// Adds a command with one mistake.
    fn refused(&mut self, r: &mut Random) {
        type Mistake = (fn(&mut Command), Status);
        const MISTAKES: [Mistake; 16] = [
            (|c| c.opcode = 9, Status::BadOpcode),
            (|c| c.flags |= 0x40, Status::BadOpcode),
            (|c| c.storage |= 0x80, Status::BadMode),
            (|c| c.storage = c.storage & !0x1C | 7 << 2, Status::BadMode),
            (|c| c.activation = 7, Status::BadMode),
            (|c| c.routing |= 3, Status::BadMode),
            (|c| c.predict = 3, Status::BadMode),
            (|c| c.reserved = 1, Status::BadMode),
            (|c| c.tokens = 0, Status::BadSize),
            (|c| c.d = u16::MAX, Status::BadSize),
            (|c| c.topk = 9, Status::BadSize),
            (|c| c.layer = 255, Status::BadSize),
            (|c| c.lsb_y = 1000, Status::BadSize),
            (|c| c.x_addr += 4, Status::BadAlign),
            (|c| c.expert_stride |= 32, Status::BadAlign),
            (|c| c.window_words = 0, Status::BadWindow),
        ];
        let (mistake, status) = r.one_of(&MISTAKES);
        let mut command = self.steps[r.below(self.steps.len() as u64) as usize].command;
        if crate::check(&self.config, &command).is_err() {
            return;
        }
        mistake(&mut command);
        command.done_addr = self.free;
        self.free += ALIGN;
        // Addresses that would be overwritten, if it were executed, are those of the results before.
        self.steps.push(Step {
            command,
            layer: None,
            status,
        });
    }
}
