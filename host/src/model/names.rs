//! How files name their tensors: old and new spellings, experts apart or fused.

use super::spec::Moe;
use super::{Checkpoint, Error, Tensor};

/// One of an expert's three matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projection {
    /// `[width, hidden]`, through the activation.
    Gate,
    /// `[width, hidden]`, multiplied by the activated gate.
    Up,
    /// `[hidden, width]`.
    Down,
}

impl Projection {
    /// The name in the common spelling, and in Mixtral's first one.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Gate => ("gate_proj", "w1"),
            Self::Up => ("up_proj", "w3"),
            Self::Down => ("down_proj", "w2"),
        }
    }
}

/// Names that the block with the router and the experts goes by.
const BLOCKS: [&str; 2] = ["mlp", "block_sparse_moe"];

/// Whether a tensor belongs to the router or the routed experts of a layer.
pub fn is_routed(name: &str, layer: usize) -> bool {
    BLOCKS.iter().any(|block| {
        let base = format!("model.layers.{layer}.{block}.");
        name.strip_prefix(&base)
            .is_some_and(|rest| rest == "gate.weight" || rest.starts_with("experts."))
    })
}

/// The router matrix, `[experts, hidden]`.
pub(super) fn router(
    c: &Checkpoint,
    layer: usize,
    experts: usize,
    hidden: usize,
) -> Result<Tensor, Error> {
    let names = BLOCKS.map(|block| format!("model.layers.{layer}.{block}.gate.weight"));
    c.any(&names, &[experts, hidden])
}

/// One matrix of one expert.
pub(super) fn expert(
    c: &Checkpoint,
    layer: usize,
    expert: usize,
    projection: Projection,
    moe: &Moe,
    hidden: usize,
) -> Result<Tensor, Error> {
    let Moe { experts, width, .. } = *moe;
    // Fused over experts: gate_up_proj [E, 2 width, hidden] with the gate first, down_proj [E, hidden, width].
    for block in BLOCKS {
        let base = format!("model.layers.{layer}.{block}.experts");
        let (name, shape) = match projection {
            Projection::Down => (format!("{base}.down_proj"), [experts, hidden, width]),
            _ => (format!("{base}.gate_up_proj"), [experts, 2 * width, hidden]),
        };
        if c.has(&name) {
            let own = c.get(&name, &shape)?.index(expert);
            return Ok(match projection {
                Projection::Gate => own.rows(0..width),
                Projection::Up => own.rows(width..2 * width),
                Projection::Down => own,
            });
        }
    }
    let (common, first) = projection.names();
    let shape = if projection == Projection::Down {
        [hidden, width]
    } else {
        [width, hidden]
    };
    let names = BLOCKS.map(|block| {
        let matrix = if block == "mlp" { common } else { first };
        format!("model.layers.{layer}.{block}.experts.{expert}.{matrix}.weight")
    });
    c.any(&names, &shape)
}
