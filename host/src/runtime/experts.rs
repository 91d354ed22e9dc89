//! The seam between the model and whoever computes its routed experts.

use super::Error;

/// Computes the routed experts of one layer at a time, *including the routing*: on a board the choice is the board's.
///
/// Results for a token must not depend on which other tokens are in the call.
pub trait Experts {
    /// Routes `x` and computes the weighted sum of the chosen experts.
    ///
    /// `layer` is the decoder layer (dense layers counted). `x` is `[T, hidden]`, after the layer's norm; `out` is
    /// `[T, hidden]` and is overwritten. `routing` is overwritten with the choices made, `T` rows of `top_k`.
    ///
    /// Fails where the layer has no routed experts, the device does not answer or was interrupted ([`Error::Interrupted`]).
    fn layer(
        &mut self,
        layer: usize,
        x: &[f32],
        out: &mut [f32],
        routing: &mut Routing,
    ) -> Result<(), Error>;

    /// Whether [`Experts::layer`] adds the layer's shared expert as well; otherwise that is the caller's work.
    fn shares(&self, _layer: usize) -> bool {
        false
    }

    /// What the device counted since it was opened; `None` where nothing is counted.
    fn report(&self) -> Option<Stats>;

    /// How the device failed, where something else has taken over.
    fn failure(&self) -> Option<&str> {
        None
    }

    /// Whether [`Experts::foresee`] is wanted.
    fn foresees(&self) -> bool {
        false
    }

    /// Called before the attention of each routed layer: what its gate says of the residual stream as it is then. The device
    /// may fetch likely experts meanwhile; results do not depend on it.
    ///
    /// `tokens` are those on their way; `logits` is `[T, experts]`. Fails as [`Experts::layer`].
    fn foresee(&mut self, _layer: usize, _tokens: &[u32], _logits: &[f32]) -> Result<(), Error> {
        Ok(())
    }
}

/// Which experts each token went to, and with what weight.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Routing {
    /// Experts per token; the length of a row.
    pub top_k: usize,
    /// Expert numbers, `[T, top_k]`, each row by weight descending (ties: lowest number first).
    pub indices: Vec<u32>,
    /// Weights as applied, `[T, top_k]`, in the order of `indices`.
    pub weights: Vec<f32>,
}

impl Routing {
    /// Empties it and sets the row length.
    pub fn clear(&mut self, top_k: usize) {
        self.top_k = top_k;
        self.indices.clear();
        self.weights.clear();
    }

    /// Appends the rows of another routing of the same `top_k`.
    pub fn extend(&mut self, other: &Routing) {
        self.top_k = other.top_k;
        self.indices.extend_from_slice(&other.indices);
        self.weights.extend_from_slice(&other.weights);
    }
}

/// Counters of the engine, summed since the device was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Commands executed.
    pub commands: u64,
    /// Engine clock cycles. The sum of `causes`.
    pub cycles: u64,
    /// Where the cycles went: every cycle has exactly one cause.
    pub causes: Vec<Cause>,
    /// Multiply-accumulates done: non-zero weights times tokens.
    pub macs: u64,
    /// Multiply-accumulates per cycle if the array never waited.
    pub peak_macs_per_cycle: u64,
    /// Bytes the engine read from card memory.
    pub bytes_read: u64,
    /// Bytes the engine wrote to card memory.
    pub bytes_written: u64,
    /// Values clamped at the end of a fixed-point sum.
    pub saturations: u64,
    /// Beats that the array did not spend on blocks of zeros.
    pub skipped: u64,
    /// Experts that had tokens, over all commands.
    pub expert_uses: u64,
    /// Of these, those whose prefetch had begun.
    pub predict_hits: u64,
    /// Bytes that were prefetched.
    pub prefetch_bytes: u64,
    /// Of these, bytes that were used.
    pub prefetch_used: u64,
}

/// Cycles spent for one reason.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Cause {
    /// The reason, such as `computing` or `waiting for memory`.
    pub name: String,
    /// Cycles.
    pub cycles: u64,
}

impl Stats {
    /// Share of the array's peak that was used, 0 to 1; `None` before the first cycle.
    pub fn utilisation(&self) -> Option<f64> {
        let peak = self.cycles as f64 * self.peak_macs_per_cycle as f64;
        (peak > 0.0).then(|| self.macs as f64 / peak)
    }
}
