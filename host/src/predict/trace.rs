//! What a model chose, token by token.

use crate::runtime::{Error, Experts, Routing, Stats};

/// Choices of one token.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Step {
    /// The token that went in.
    pub token: u32,
    /// It begins a text: nothing comes before it.
    pub first: bool,
    /// By routed layer: the experts chosen, by falling weight.
    pub chosen: Vec<Vec<u8>>,
    /// By routed layer: experts by falling logit of the layer's gate before its attention, eight at most.
    pub gates: Vec<Vec<u8>>,
}

/// Choices on a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Trace {
    /// Experts of a layer.
    pub experts: usize,
    /// Token by token.
    pub steps: Vec<Step>,
}

impl Trace {
    /// Routed layers.
    pub fn layers(&self) -> usize {
        self.steps.first().map_or(0, |s| s.chosen.len())
    }

    /// The layer executed before `layer` of step `at`, and what it chose; `None` at the beginning of a text.
    pub fn before(&self, at: usize, layer: usize) -> Option<(usize, &[u8])> {
        let step = &self.steps[at];
        if layer > 0 {
            return Some((layer - 1, &step.chosen[layer - 1]));
        }
        if step.first || at == 0 {
            return None;
        }
        let last = self.layers() - 1;
        Some((last, &self.steps[at - 1].chosen[last]))
    }
}

/// Passes everything on to the experts within, and writes down what is chosen.
pub struct Recorder<'a> {
    inner: &'a mut dyn Experts,
    /// Decoder layers that have routed experts, in order.
    layers: Vec<usize>,
    /// What was recorded.
    pub trace: Trace,
    /// First step of the tokens under way.
    batch: usize,
    /// The next token begins a text.
    fresh: bool,
}

impl<'a> Recorder<'a> {
    /// A recorder for a model with these routed `layers` of `experts` experts each (256 at most).
    pub fn new(inner: &'a mut dyn Experts, layers: Vec<usize>, experts: usize) -> Self {
        let trace = Trace {
            experts,
            steps: Vec::new(),
        };
        Self {
            inner,
            layers,
            trace,
            batch: 0,
            fresh: true,
        }
    }

    /// The next token begins a text.
    pub fn begin(&mut self) {
        self.fresh = true;
    }

    fn place(&self, layer: usize) -> usize {
        let place = self.layers.iter().position(|&l| l == layer);
        place.expect("the layer has routed experts")
    }
}

impl Experts for Recorder<'_> {
    fn layer(
        &mut self,
        layer: usize,
        x: &[f32],
        out: &mut [f32],
        routing: &mut Routing,
    ) -> Result<(), Error> {
        self.inner.layer(layer, x, out, routing)?;
        let place = self.place(layer);
        let rows = routing.indices.chunks_exact(routing.top_k);
        for (step, row) in self.trace.steps[self.batch..].iter_mut().zip(rows) {
            step.chosen[place] = row.iter().map(|&e| e as u8).collect();
        }
        Ok(())
    }

    fn shares(&self, layer: usize) -> bool {
        self.inner.shares(layer)
    }

    fn report(&self) -> Option<Stats> {
        self.inner.report()
    }

    fn foresees(&self) -> bool {
        true
    }

    fn foresee(&mut self, layer: usize, tokens: &[u32], logits: &[f32]) -> Result<(), Error> {
        let place = self.place(layer);
        if place == 0 {
            self.batch = self.trace.steps.len();
            for &token in tokens {
                self.trace.steps.push(Step {
                    token,
                    first: std::mem::take(&mut self.fresh),
                    chosen: vec![Vec::new(); self.layers.len()],
                    gates: vec![Vec::new(); self.layers.len()],
                });
            }
        }
        let rows = logits.chunks_exact(self.trace.experts);
        for (step, row) in self.trace.steps[self.batch..].iter_mut().zip(rows) {
            step.gates[place] = largest(row, 8);
        }
        self.inner.foresee(layer, tokens, logits)
    }
}

/// The numbers of the `count` largest, largest first; ties to the lowest number.
pub(crate) fn largest(logits: &[f32], count: usize) -> Vec<u8> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    order.truncate(count);
    order.into_iter().map(|e| e as u8).collect()
}
