//! What `make bench` measures: engine cycles against the laws of the design. Cycles are deterministic; nothing here has a threshold.

pub mod card;
pub mod dma;
pub mod jobs;
pub mod laws;
pub mod litepcie;
pub mod predictors;
pub mod prefetch;
pub mod router;
pub mod skip;
pub mod speed;
pub mod svg;

/// What goes wrong in a measurement.
pub type Failure = Box<dyn std::error::Error>;

/// One measured row against its law, as in `target/bench/engine.json`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// Inputs of the layer.
    pub d_in: usize,
    /// Width of the expert (scaled down where a row would take too long), or outputs.
    pub d_out: usize,
    /// `dense`, `2:4`, ...
    pub sparsity: &'static str,
    /// `int8`, `int4` or `fp4`.
    pub weights: &'static str,
    /// T.
    pub tokens: usize,
    /// Bytes per cycle of `m_axi`.
    pub bus: usize,
    /// Memory latency L in cycles.
    pub latency: u32,
    /// Measured.
    pub cycles: u64,
    /// Which law.
    pub law: &'static str,
    /// The law's right-hand side.
    pub bound: f64,
}

impl Row {
    /// Whether the law holds.
    pub fn holds(&self) -> bool {
        self.cycles as f64 <= self.bound
    }
    /// By how much of the bound the measurement is beyond it; negative where it is within.
    pub fn over(&self) -> f64 {
        self.cycles as f64 / self.bound - 1.0
    }
}
