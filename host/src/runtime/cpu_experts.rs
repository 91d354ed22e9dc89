//! The routed experts on the CPU, in f32: the reference, and `--experts cpu`.

use super::kernels::{self, matmul};
use super::{router, Error, Experts, Routing, Stats};
use crate::model::spec::Router;
use crate::model::{self, ExpertWeights, Model, Tensor};

/// All routed experts of a model. Weights stay in their stored format, memory-mapped where possible.
pub struct CpuExperts {
    hidden: usize,
    /// One entry per decoder layer; `None` where the layer is dense.
    layers: Vec<Option<Layer>>,
}

struct Layer {
    rule: Router,
    router: Tensor,
    experts: Vec<ExpertWeights>,
}

impl CpuExperts {
    /// Finds the experts of every layer; fails where a tensor is missing or contradicts the configuration.
    pub fn open(model: &Model) -> Result<Self, model::Error> {
        let mut layers: Vec<Option<Layer>> = model.spec.layers.iter().map(|_| None).collect();
        for (at, moe) in model.spec.moe_layers() {
            let experts = (0..moe.experts)
                .map(|e| model.expert(at, e))
                .collect::<Result<_, _>>()?;
            layers[at] = Some(Layer {
                rule: moe.router,
                router: model.router(at)?,
                experts,
            });
        }
        Ok(Self {
            hidden: model.spec.hidden,
            layers,
        })
    }
}

impl Experts for CpuExperts {
    fn layer(
        &mut self,
        at: usize,
        x: &[f32],
        out: &mut [f32],
        routing: &mut Routing,
    ) -> Result<(), Error> {
        let Some(Some(layer)) = self.layers.get(at) else {
            return Err(model::Error::NoExperts { layer: at }.into());
        };
        let (hidden, count, k) = (self.hidden, layer.experts.len(), layer.rule.top_k);
        let tokens = x.len() / hidden;

        let mut logits = vec![0.0; tokens * count];
        matmul(&layer.router, x, &mut logits);
        routing.clear(k);
        logits
            .chunks_exact_mut(count)
            .for_each(|logits| router::choose(layer.rule, logits, routing));

        // Each expert runs once, on all its tokens; its results wait in `parts` so that every token adds up its own in
        // the order of its choices, whatever else is in the batch.
        let mut parts = vec![0.0; tokens * k * hidden];
        for (e, expert) in layer.experts.iter().enumerate() {
            let slots: Vec<usize> = (0..tokens * k)
                .filter(|&slot| routing.indices[slot] == e as u32)
                .collect();
            if slots.is_empty() {
                continue;
            }
            let inputs: Vec<f32> = slots
                .iter()
                .flat_map(|slot| row(x, slot / k, hidden))
                .copied()
                .collect();
            let outputs = swiglu(&expert.gate, &expert.up, &expert.down, &inputs);
            for (slot, y) in slots.iter().zip(outputs.chunks_exact(hidden)) {
                parts[slot * hidden..(slot + 1) * hidden].copy_from_slice(y);
            }
        }
        out.fill(0.0);
        for (slot, weight) in routing.weights.iter().enumerate() {
            let token = slot / k;
            kernels::axpy(
                *weight,
                row(&parts, slot, hidden),
                &mut out[token * hidden..(token + 1) * hidden],
            );
        }
        Ok(())
    }

    fn report(&self) -> Option<Stats> {
        None
    }
}

fn row(x: &[f32], at: usize, width: usize) -> &[f32] {
    &x[at * width..(at + 1) * width]
}

/// `down (silu(gate x) * up x)` for each row of `x`.
pub(super) fn swiglu(gate: &Tensor, up: &Tensor, down: &Tensor, x: &[f32]) -> Vec<f32> {
    let tokens = x.len() / gate.width();
    let mut g = vec![0.0; tokens * gate.height()];
    let mut u = vec![0.0; tokens * up.height()];
    matmul(gate, x, &mut g);
    matmul(up, x, &mut u);
    kernels::silu_times(&mut g, &u);
    let mut y = vec![0.0; tokens * down.height()];
    matmul(down, &g, &mut y);
    y
}
