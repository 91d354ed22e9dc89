//! Random layers from a seed, for tests of the engine: matrices, inputs, and the command that runs them.

use abi::command::{FLAG_RENORMALISE, FLAG_TWO_OF_FOUR};
use abi::layout::{down_shape, gate_shape, router_shape, row_bytes, ROUTE_BYTES};
use abi::{Command, Config, MatrixShape, Sparsity, ALIGN};

use crate::image::{write_expert, write_router, Exponents, Matrix};
use crate::memory::{Memory, OutOfRange};

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
    /// Roughly normal, mean 0, deviation 1.
    pub fn normal(&mut self) -> f64 {
        let sum: u64 = (0..12).map(|_| self.word() >> 40).sum();
        sum as f64 / f64::from(1 << 24) - 6.0
    }
}

/// Sizes of a layer, and how strange its numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// T.
    pub tokens: usize,
    /// d.
    pub d: usize,
    /// f.
    pub f: usize,
    /// E.
    pub experts: usize,
    /// k.
    pub topk: usize,
    /// Whether the k weights are renormalised.
    pub renormalise: bool,
    /// Storage of expert weights.
    pub sparsity: Sparsity,
    /// False: numbers as in a trained model. True: exponents all over the range, zeros, subnormals, scales of any bit
    /// pattern, values of -128, saturation.
    pub wild: bool,
}

/// A layer's weights and inputs.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The sizes.
    pub shape: Shape,
    /// T rows of d.
    pub x: Vec<f32>,
    /// Router values, E rows of d.
    pub router: Vec<i16>,
    /// Scales of the router's rows.
    pub router_scales: Vec<u16>,
    /// Exponent of the router matrix.
    pub router_exponent: i16,
    /// Gate, up and down of each expert.
    pub experts: Vec<[Matrix; 3]>,
    /// Their exponents.
    pub exponents: Vec<Exponents>,
    /// LSB of y.
    pub lsb_y: i16,
}

fn scale(random: &mut Random, wild: bool) -> u16 {
    let bits = random.word() as u16;
    if wild && random.below(4) == 0 {
        return bits;
    }
    let exponent = 30 - random.below(3) as u16;
    let sign = if wild { bits & 0x8000 } else { 0 };
    sign | exponent << 10 | bits & 1023
}

fn matrix(random: &mut Random, shape: MatrixShape, wild: bool) -> Matrix {
    let mut m = Matrix {
        shape,
        values: Vec::new(),
        positions: Vec::new(),
        scales: Vec::new(),
    };
    for _ in 0..shape.rows * m.kept() {
        let any = random.word() as i8;
        m.values.push(if wild { any } else { any.max(-127) });
    }
    if shape.sparsity == Sparsity::TwoOfFour {
        for _ in 0..shape.rows * m.kept() / 2 {
            let pair = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]][random.below(6) as usize];
            m.positions.extend(pair);
        }
    }
    for _ in 0..shape.rows * shape.blocks() {
        m.scales.push(scale(random, wild));
    }
    m
}

impl Layer {
    /// The layer of a shape and a seed.
    pub fn random(shape: Shape, seed: u64) -> Layer {
        let r = &mut Random::new(seed);
        let (d, f, wild) = (shape.d, shape.f, shape.wild);
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
        // 127 * 1500 is about 2^17.5: with this exponent the outputs of a row of n inputs are near 1.
        let jitter = if wild { 12 } else { 1 };
        let mut exponent =
            |n: usize| -17 - (n.ilog2() / 2) as i16 + (r.below(jitter) as i16 - jitter as i16 / 2);
        let router_exponent = exponent(d) - 6;
        let exponents = (0..shape.experts)
            .map(|_| Exponents {
                gate: exponent(d),
                up: exponent(d),
                down: exponent(f),
            })
            .collect();
        let router = (0..shape.experts * d)
            .map(|_| r.below(32769) as i32 - 16384)
            .map(|q| q as i16)
            .collect();
        let router_blocks = router_shape(d, shape.experts).blocks();
        let router_scales = (0..shape.experts * router_blocks)
            .map(|_| scale(r, wild))
            .collect();
        let experts = (0..shape.experts)
            .map(|_| {
                [
                    matrix(r, gate_shape(d, f, shape.sparsity), wild),
                    matrix(r, gate_shape(d, f, shape.sparsity), wild),
                    matrix(r, down_shape(d, f, shape.sparsity), wild),
                ]
            })
            .collect();
        Layer {
            shape,
            x,
            router,
            router_scales,
            router_exponent,
            experts,
            exponents,
            lsb_y: -18,
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

    /// Stores images and inputs in card memory from `base` (a multiple of 64) on, and the descriptor at the address that
    /// comes back with it. Windows are the largest that fit; the completion record, y and the routes have room too.
    ///
    /// # Errors
    /// If the memory is too small.
    pub fn store(
        &self,
        config: &Config,
        memory: &mut dyn Memory,
        base: u64,
    ) -> Result<(u64, Command), OutOfRange> {
        let s = &self.shape;
        let mut free = base;
        let mut take = |bytes: usize| {
            let at = free;
            free = (free + bytes as u64).next_multiple_of(ALIGN);
            at
        };
        let router = write_router(
            &self.router,
            &self.router_scales,
            s.experts,
            s.d,
            self.router_exponent,
            config.lanes,
        );
        let images: Vec<Vec<u8>> = self
            .experts
            .iter()
            .zip(&self.exponents)
            .map(|([gate, up, down], &e)| write_expert(gate, up, down, e, config.lanes))
            .collect();
        let stride = images[0].len().next_multiple_of(ALIGN as usize);
        let descriptor = take(128);
        let x = self.x_bytes();
        let mut command = Command {
            opcode: 1,
            tag: 1,
            tokens: s.tokens as u16,
            d: s.d as u16,
            f: s.f as u16,
            experts: s.experts as u16,
            topk: s.topk as u16,
            lsb_y: self.lsb_y,
            done_addr: take(16),
            x_addr: take(x.len()),
            y_addr: take(x.len()),
            route_addr: take(s.tokens * ROUTE_BYTES),
            router_addr: take(router.len()),
            experts_addr: take(stride * s.experts),
            expert_stride: stride as u32,
            window_router: router_shape(s.d, s.experts).window_groups(config) as u16,
            window_gate_up: gate_shape(s.d, s.f, s.sparsity).window_pairs(config) as u16,
            window_down: down_shape(s.d, s.f, s.sparsity).window_groups(config) as u16,
            ..Command::default()
        };
        if s.renormalise {
            command.flags |= FLAG_RENORMALISE;
        }
        if s.sparsity == Sparsity::TwoOfFour {
            command.flags |= FLAG_TWO_OF_FOUR;
        }
        memory.write(descriptor, &command.to_bytes())?;
        memory.write(command.x_addr, &x)?;
        memory.write(command.router_addr, &router)?;
        for (e, image) in images.iter().enumerate() {
            memory.write(command.experts_addr + (e * stride) as u64, image)?;
        }
        Ok((descriptor, command))
    }
}
