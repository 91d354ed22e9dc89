//! Prefetch: layers of one token with the host away between them, at several accuracies of the guess, against
//! `cycles <= 1.03 x (W + B - U) + 64`; and what a wrong guess costs.

use super::card::{Card, Expert};
use super::{Failure, Row};
use abi::command::Predict;
use abi::layout::{row_bytes, Format, Sparsity, Storage, ROUTE_BYTES};
use abi::registers::offset;
use abi::{Command, Opcode};
use sim_tb::board::Params;
use sim_tb::rng::Rng;

/// The expert of the sweep: memory-bound with one token.
pub const EXPERT: Expert = Expert {
    d: 512,
    f: 512,
    gated: true,
    activation: 0,
    storage: Storage {
        format: Format::Int8,
        sparsity: Sparsity::TwoOfFour,
        paired: false,
        bias: false,
    },
};
const EXPERTS: usize = 8;
const TOPK: usize = 2;
/// Layers run per point.
const LAYERS: usize = 8;
const CONTROL_IRQ: u32 = 2;

/// A point of the sweep; all figures are sums over its layers.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Point {
    /// Chance that a guess is right.
    pub accuracy: f64,
    /// W: cycles of one gap.
    pub gap: u64,
    /// W, from the end of the prefetch command to the doorbell of the layer's.
    pub w: f64,
    /// B: demand bytes over the bus.
    pub b: f64,
    /// U: prefetched bytes that were used over the bus.
    pub u: f64,
    /// Measured, gaps included.
    pub cycles: u64,
    /// The law's right-hand side.
    pub bound: f64,
    /// Guesses that were right: by the engine's counter, and by the list.
    pub hits: (u64, u64),
    /// Prefetched bytes that nobody used.
    pub wasted: u64,
}

/// A layer of the sweep: a board with one layer's experts.
pub struct Bench {
    card: Card,
    layer: Command,
    routes: u64,
    /// Bytes that one layer must move.
    bytes: usize,
}

impl Bench {
    /// A board with memory latency `latency`.
    ///
    /// # Errors
    /// If the simulated board is not built.
    pub fn new(config: &str, latency: u32) -> Result<Bench, Failure> {
        let memory = (EXPERTS * EXPERT.bytes() + (1 << 20)).next_multiple_of(4096) as u64;
        let params = Params {
            latency,
            ..Params::calm(memory, 1)
        };
        let mut card = Card::new(config, params)?;
        card.board
            .board
            .write_register(offset("CONTROL"), CONTROL_IRQ)?;
        let images = card.experts(&EXPERT, EXPERTS)?;
        let [x_addr, y_addr, route_addr] = card.vectors(1, EXPERT.d)?;
        let layer = Command {
            x_addr,
            y_addr,
            route_addr,
            next_addr: images.0,
            guesses: TOPK as u8,
            ..card.layer(1, &EXPERT, EXPERTS, TOPK, images)
        };
        let bytes = TOPK * EXPERT.unpadded_bytes() + 2 * row_bytes(EXPERT.d) + ROUTE_BYTES;
        Ok(Bench {
            card,
            layer,
            routes: route_addr,
            bytes,
        })
    }

    /// B of one layer.
    pub fn demand(&self) -> f64 {
        self.bytes as f64 / abi::BEAT as f64
    }

    /// Prefetches `guesses`, waits `gap` cycles, runs a layer that wants `chosen`; returns W and all cycles after the prefetch command.
    ///
    /// # Errors
    /// If the board fails.
    pub fn step(
        &mut self,
        guesses: &[usize],
        chosen: &[usize],
        gap: u64,
    ) -> Result<(u64, u64), Failure> {
        let mut hints = [0u8; 8];
        for (hint, &e) in hints.iter_mut().zip(guesses) {
            *hint = e as u8;
        }
        let hinted = Command {
            opcode: Opcode::Prefetch as u8,
            predict: if guesses.is_empty() {
                Predict::None as u8
            } else {
                Predict::Hints as u8
            },
            guesses: guesses.len() as u8,
            hints: u64::from_le_bytes(hints),
            ..self.layer
        };
        self.card.ring("prefetch", hinted)?;
        self.card.until_irq("the end of the prefetch command")?;
        let start = self.card.board.board.cycles();
        self.card.clear_irq()?;
        self.card.routes(self.routes, &[chosen.to_vec()]);
        let spent = self.card.board.board.cycles() - start;
        self.card.board.board.run(gap.saturating_sub(spent))?;
        self.card.ring("layer", self.layer)?;
        let gone = self.card.board.board.cycles() - start;
        self.card.until_irq("the end of the layer")?;
        let cycles = self.card.board.board.cycles() - start;
        self.card.clear_irq()?;
        self.card.judge("layer")?;
        Ok((gone, cycles))
    }

    /// One point of the sweep.
    ///
    /// # Errors
    /// If the board fails.
    pub fn point(&mut self, accuracy: f64, gap: u64, seed: u64) -> Result<Point, Failure> {
        let mut rng = Rng::new(seed);
        let before = self.counts()?;
        let (mut w, mut cycles, mut right) = (0, 0, 0);
        for _ in 0..LAYERS {
            let mut order: Vec<usize> = (0..EXPERTS).collect();
            for n in (1..EXPERTS).rev() {
                order.swap(n, rng.below(n as u64 + 1) as usize);
            }
            let chosen = &order[..TOPK];
            let guesses: Vec<usize> = (0..TOPK)
                .map(|n| {
                    let hit = (rng.next() >> 11) as f64 / (1u64 << 53) as f64;
                    if hit < accuracy {
                        right += 1;
                        chosen[n]
                    } else {
                        order[TOPK + n]
                    }
                })
                .collect();
            let (gone, all) = self.step(&guesses, chosen, gap)?;
            w += gone;
            cycles += all;
        }
        let after = self.counts()?;
        let layers = LAYERS as f64;
        let (b, u) = (
            layers * self.demand(),
            (after[0] - before[0]) as f64 / abi::BEAT as f64,
        );
        Ok(Point {
            accuracy,
            gap,
            w: w as f64,
            b,
            u,
            cycles,
            bound: 1.03 * (w as f64 + b - u) + 64.0 * layers,
            hits: (after[1] - before[1], right),
            wasted: (after[2] - before[2]) - (after[0] - before[0]),
        })
    }

    fn counts(&mut self) -> Result<[u64; 3], Failure> {
        Ok([
            self.card.counter("PREFETCH_USED")?,
            self.card.counter("PREDICT_HITS")?,
            self.card.counter("PREFETCH_BYTES")?,
        ])
    }

    /// The most that a wrong guess delays a layer, over many moments at which the layer comes.
    ///
    /// # Errors
    /// If the board fails.
    pub fn wrong(&mut self, moments: u64) -> Result<u64, Failure> {
        let mut worst = 0;
        for gap in 0..moments {
            let gap = 600 + 37 * gap;
            let (gone, cycles) = self.step(&[], &[0, 1], gap)?;
            let alone = cycles - gone;
            let (gone, cycles) = self.step(&[2, 3], &[0, 1], gap)?;
            worst = worst.max((cycles - gone).saturating_sub(alone));
        }
        Ok(worst)
    }
}

/// The rows of the sweep and of a wrong guess.
pub fn rows(points: &[Point], wrong: u64, latency: u32) -> Vec<Row> {
    let row = |name: String, cycles, law, bound| Row {
        name,
        d_in: EXPERT.d,
        d_out: EXPERT.f,
        sparsity: EXPERT.storage.sparsity.name(),
        weights: super::laws::format_name(EXPERT.storage.format),
        tokens: 1,
        bus: abi::BEAT,
        latency,
        cycles,
        law,
        bound,
    };
    let mut rows: Vec<Row> = points
        .iter()
        .map(|p| {
            let name = format!("{LAYERS} layers, gap {}, accuracy {}", p.gap, p.accuracy);
            row(name, p.cycles, "prefetch", p.bound)
        })
        .collect();
    let bound = 4096.0 / abi::BEAT as f64 + f64::from(latency);
    rows.push(row(
        "delay by a wrong guess".into(),
        wrong,
        "wrong prefetch",
        bound,
    ));
    rows
}
