//! One layer's experts and router, quantised, and as the card images of an engine.

use abi::layout::{down_shape, gate_shape};
use abi::{MatrixShape, Sparsity, ALIGN};
use golden::Exponents;
use rayon::prelude::*;

use super::quantise::{self, Quantised, Router};
use super::Error;
use crate::model::{Model, Projection, Tensor};

/// The matrices of an expert, in the order of [`PackedLayer::experts`].
pub const PROJECTIONS: [Projection; 3] = [Projection::Gate, Projection::Up, Projection::Down];

/// The routed experts of one layer, quantised, for an engine of any size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedLayer {
    /// Model width d.
    pub hidden: usize,
    /// Expert width f.
    pub width: usize,
    /// Storage of the experts' weights.
    pub sparsity: Sparsity,
    /// The router.
    pub router: Router,
    /// Gate, up and down of each expert.
    pub experts: Vec<[Quantised; 3]>,
}

/// What an engine reads of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The router's image.
    pub router: Vec<u8>,
    /// The images of all experts, each filled up to the stride.
    pub experts: Vec<u8>,
    /// Bytes from one expert's image to the next.
    pub stride: usize,
}

/// Name of a matrix for people.
pub fn name(projection: Projection) -> &'static str {
    match projection {
        Projection::Gate => "gate",
        Projection::Up => "up",
        Projection::Down => "down",
    }
}

/// Shape of an expert's matrix.
pub fn shape(projection: Projection, d: usize, f: usize, sparsity: Sparsity) -> MatrixShape {
    match projection {
        Projection::Gate | Projection::Up => gate_shape(d, f, sparsity),
        Projection::Down => down_shape(d, f, sparsity),
    }
}

impl PackedLayer {
    /// The routed experts of a layer: as a packed model has them, or quantised now to `sparsity`.
    ///
    /// # Errors
    /// If the layer has no experts, a tensor is missing or damaged, a weight is not finite, or a width is not a multiple
    /// of 4 where 2:4 is asked for.
    pub fn of(model: &Model, layer: usize, sparsity: Sparsity) -> Result<PackedLayer, Error> {
        match &model.packed {
            Some(packed) => packed.layer(model, layer),
            None => Self::quantise(model, layer, sparsity),
        }
    }

    fn quantise(model: &Model, layer: usize, sparsity: Sparsity) -> Result<PackedLayer, Error> {
        let moe = model.spec.moe(layer)?;
        let (d, f) = (model.spec.hidden, moe.width);
        Self::check(layer, d, f, sparsity)?;
        let router =
            quantise::router(&model.router(layer)?.to_f32(), d).map_err(|_| Error::NotFinite {
                what: format!("the router of layer {layer}"),
            })?;
        let experts = (0..moe.experts)
            .into_par_iter()
            .map(|expert| {
                let weights = model.expert(layer, expert)?;
                let quantise = |projection, tensor: &Tensor| {
                    quantise::matrix(&tensor.to_f32(), shape(projection, d, f, sparsity)).map_err(
                        |_| Error::NotFinite {
                            what: format!("layer {layer}, expert {expert}, {}", name(projection)),
                        },
                    )
                };
                Ok([
                    quantise(Projection::Gate, &weights.gate)?,
                    quantise(Projection::Up, &weights.up)?,
                    quantise(Projection::Down, &weights.down)?,
                ])
            })
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(PackedLayer {
            hidden: d,
            width: f,
            sparsity,
            router,
            experts,
        })
    }

    /// Refuses widths that 2:4 cannot store.
    pub(super) fn check(
        layer: usize,
        hidden: usize,
        width: usize,
        sparsity: Sparsity,
    ) -> Result<(), Error> {
        let fours = hidden.is_multiple_of(4) && width.is_multiple_of(4);
        if sparsity == Sparsity::Dense || fours {
            return Ok(());
        }
        Err(Error::NotFours {
            layer,
            hidden,
            width,
        })
    }

    /// Card images for an engine of `lanes` lanes (`docs/formats.md`, section 7).
    pub fn images(&self, lanes: usize) -> Images {
        let router = golden::write_router(
            &self.router.values,
            &self.router.scales,
            self.experts.len(),
            self.hidden,
            self.router.w_exp,
            lanes,
        );
        let bytes = abi::layout::expert_bytes(self.hidden, self.width, self.sparsity, lanes);
        let stride = bytes.next_multiple_of(ALIGN as usize);
        let mut experts = vec![0; stride * self.experts.len()];
        experts
            .par_chunks_mut(stride)
            .zip(&self.experts)
            .for_each(|(out, [gate, up, down])| {
                let exponents = Exponents {
                    gate: gate.w_exp,
                    up: up.w_exp,
                    down: down.w_exp,
                };
                let image =
                    golden::write_expert(&gate.matrix, &up.matrix, &down.matrix, exponents, lanes);
                out[..image.len()].copy_from_slice(&image);
            });
        Images {
            router,
            experts,
            stride,
        }
    }
}
