//! One layer's experts and router, quantised, and as card images.

use abi::config::LANES;
use abi::{Config, Sparsity, Storage, ALIGN};
use golden::{Exponents, Matrix, RouterWeights};
use rayon::prelude::*;

use super::quantise::{self, Quantised, Router, Shape};
use super::{Error, Options};
use crate::model::{ExpertWeights, Model, Projection};

/// The matrices of an expert, in the order of [`PackedLayer::experts`].
pub const PROJECTIONS: [Projection; 3] = [Projection::Gate, Projection::Up, Projection::Down];

/// The routed experts of one layer, quantised, for an engine of any size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedLayer {
    /// Model width d.
    pub hidden: usize,
    /// Expert width f.
    pub width: usize,
    /// How the experts' weights are stored.
    pub options: Options,
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
pub fn shape(projection: Projection, d: usize, f: usize, options: &Options) -> Shape {
    let (rows, inputs) = match projection {
        Projection::Gate | Projection::Up => (f, d),
        Projection::Down => (d, f),
    };
    Shape {
        rows,
        inputs,
        format: options.format,
        sparsity: options.sparsity,
    }
}

impl PackedLayer {
    /// The routed experts of a layer: as a packed model has them, or quantised now as `options` say.
    ///
    /// # Errors
    /// If the layer has no experts, a tensor is missing or damaged, a weight is not finite, or a width is not a multiple
    /// of M where N:M is asked for.
    pub fn of(model: &Model, layer: usize, options: &Options) -> Result<PackedLayer, Error> {
        match &model.packed {
            Some(packed) => packed.layer(model, layer),
            None => Self::quantise(model, layer, options),
        }
    }

    fn quantise(model: &Model, layer: usize, options: &Options) -> Result<PackedLayer, Error> {
        let moe = model.spec.moe(layer)?;
        let (d, f) = (model.spec.hidden, moe.width);
        Self::check(layer, d, f, options.sparsity)?;
        let router =
            quantise::router(&model.router(layer)?.to_f32(), d).map_err(|_| Error::NotFinite {
                what: format!("the router of layer {layer}"),
            })?;
        let experts = (0..moe.experts)
            .into_par_iter()
            .map(|expert| {
                let what = format!("layer {layer}, expert {expert}");
                Self::expert(&model.expert(layer, expert)?, d, f, options, &what)
            })
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(PackedLayer {
            hidden: d,
            width: f,
            options: *options,
            router,
            experts,
        })
    }

    /// The matrices of one expert.
    fn expert(
        weights: &ExpertWeights,
        d: usize,
        f: usize,
        options: &Options,
        what: &str,
    ) -> Result<[Quantised; 3], Error> {
        let (gate, up, down) = (
            weights.gate.to_f32(),
            weights.up.to_f32(),
            weights.down.to_f32(),
        );
        // Rows that stand in one lane where rows are paired (`docs/formats.md`, section 7).
        let row_of = |all: &[f32], row: usize, inputs: usize| {
            let row = all.get(row * inputs..(row + 1) * inputs);
            row.filter(|_| options.pair).map(<[f32]>::to_vec)
        };
        let one = |projection, of: &[f32], partner: &dyn Fn(usize) -> Option<Vec<f32>>| {
            let shape = shape(projection, d, f, options);
            let places = quantise::places(of, &shape, partner);
            quantise::matrix(of, &shape, places).map_err(|_| Error::NotFinite {
                what: format!("{what}, {}", name(projection)),
            })
        };
        Ok([
            one(Projection::Gate, &gate, &|row| row_of(&up, row, d))?,
            one(Projection::Up, &up, &|row| row_of(&gate, row, d))?,
            one(Projection::Down, &down, &|row| {
                row_of(&down, row ^ LANES, f)
            })?,
        ])
    }

    /// The shared expert of a layer as a layer of its own, int8 whatever the routed experts are: one expert, and its gate as a
    /// router of one row. `None` where there is none.
    ///
    /// # Errors
    /// As [`PackedLayer::of`].
    pub fn shared(model: &Model, layer: usize) -> Result<Option<PackedLayer>, Error> {
        let Some(shared) = model.shared(layer)? else {
            return Ok(None);
        };
        let options = Options::default();
        let (d, f) = (model.spec.hidden, shared.weights.gate.height());
        let what = format!("layer {layer}, shared expert");
        let gate = quantise::router(&shared.gate.to_f32(), d);
        Ok(Some(PackedLayer {
            hidden: d,
            width: f,
            options,
            router: gate.map_err(|_| Error::NotFinite {
                what: format!("{what}, its gate"),
            })?,
            experts: vec![Self::expert(&shared.weights, d, f, &options, &what)?],
        }))
    }

    /// Refuses widths that N:M cannot store.
    pub(super) fn check(
        layer: usize,
        hidden: usize,
        width: usize,
        sparsity: Sparsity,
    ) -> Result<(), Error> {
        let m = sparsity.ratio().1;
        if hidden.is_multiple_of(m) && width.is_multiple_of(m) {
            return Ok(());
        }
        Err(Error::NotWhole {
            sparsity: sparsity.name(),
            m,
            layer,
            hidden,
            width,
        })
    }

    /// How an engine of this configuration stores the experts: two rows to a lane where it can and their places are shared.
    pub fn storage(&self, config: &Config) -> Storage {
        let Options {
            format,
            sparsity,
            pair,
        } = self.options;
        let shared = sparsity == Sparsity::Dense || pair;
        Storage {
            format,
            sparsity,
            paired: shared && config.reads(format, sparsity, true),
            bias: false,
        }
    }

    /// Card images in a storage that [`PackedLayer::storage`] gave (`docs/formats.md`, section 7).
    pub fn images(&self, storage: Storage) -> Images {
        let router = golden::write_router(&RouterWeights {
            experts: self.experts.len(),
            inputs: self.hidden,
            q15: self.router.values.clone(),
            scales: self.router.scales.clone(),
            w_exp: self.router.w_exp,
            ..RouterWeights::default()
        });
        let bytes = abi::layout::expert_bytes(self.hidden, self.width, true, storage);
        let stride = bytes.next_multiple_of(ALIGN as usize);
        let mut experts = vec![0; stride * self.experts.len()];
        experts
            .par_chunks_mut(stride)
            .zip(&self.experts)
            .for_each(|(out, expert)| {
                let exponents = Exponents {
                    gate: expert[0].w_exp,
                    up: expert[1].w_exp,
                    down: expert[2].w_exp,
                };
                let [gate, up, down] = [0, 1, 2].map(|n| Matrix {
                    storage,
                    ..expert[n].matrix.clone()
                });
                let image = golden::write_expert(&[&gate, &up], &down, exponents);
                out[..image.len()].copy_from_slice(&image);
            });
        Images {
            router,
            experts,
            stride,
        }
    }
}
