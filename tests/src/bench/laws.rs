//! One expert, T tokens in one tile: the first cycle law, over the expert shapes of published models.

use super::card::{Card, Expert};
use super::{Failure, Row};
use abi::command::{Activation, Source};
use abi::layout::{row_bytes, Format, Sparsity, Storage};
use sim_tb::board::Params;

/// A published model's expert.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Name.
    pub name: &'static str,
    /// Model width.
    pub d: usize,
    /// Expert width.
    pub f: usize,
    /// Gate, up and down.
    pub gated: bool,
    /// Its function.
    pub activation: Activation,
    /// Its matrices have biases.
    pub bias: bool,
}

const fn swiglu(name: &'static str, d: usize, f: usize) -> Model {
    Model {
        name,
        d,
        f,
        gated: true,
        activation: Activation::Silu,
        bias: false,
    }
}

/// The models of the table.
pub const MODELS: [Model; 8] = [
    swiglu("Mixtral", 4096, 14336),
    swiglu("OLMoE", 2048, 1024),
    swiglu("Qwen1.5-MoE", 2048, 1408),
    swiglu("Qwen3-30B-A3B", 2048, 768),
    swiglu("DeepSeek-V2-Lite", 2048, 1408),
    Model {
        activation: Activation::Clamped,
        bias: true,
        ..swiglu("gpt-oss-20b", 2880, 2880)
    },
    swiglu("Phi-3.5-MoE", 4096, 6400),
    Model {
        gated: false,
        activation: Activation::Gelu,
        ..swiglu("M3ViT", 192, 384)
    },
];

/// M3ViT's experts as they are: with biases, each of which is a whole block for rows of only six.
pub const M3VIT_BIASED: Model = Model {
    name: "M3ViT, biases",
    bias: true,
    ..MODELS[7]
};

/// M3ViT with its biases, as dense and 2:4 int8.
pub fn biased_points() -> Vec<Point> {
    let storages = [Sparsity::Dense, Sparsity::TwoOfFour];
    storages
        .into_iter()
        .flat_map(|sparsity| {
            [1, 129].map(|tokens| Point {
                model: M3VIT_BIASED,
                tokens,
                storage: storage(Format::Int8, sparsity, true),
            })
        })
        .collect()
}

/// Tokens of the rows.
pub const TOKENS: [usize; 4] = [1, 4, 16, 129];
/// Structures of the rows.
pub const SPARSITIES: [Sparsity; 3] = [Sparsity::Dense, Sparsity::TwoOfFour, Sparsity::OneOfFour];
/// Formats of the rows.
pub const FORMATS: [Format; 2] = [Format::Int8, Format::Int4];
/// A row longer than this gets a narrower expert.
const CYCLES: f64 = 2.5e6;

/// One point of the table.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The model.
    pub model: Model,
    /// T.
    pub tokens: usize,
    /// Storage.
    pub storage: Storage,
}

/// 32 points: every model with every T, and every pair of (model, structure), (model, format), (T, structure), (T, format) and
/// (structure, format) at least once.
pub fn points() -> Vec<Point> {
    let mut points = Vec::new();
    for (i, model) in MODELS.into_iter().enumerate() {
        for (j, tokens) in TOKENS.into_iter().enumerate() {
            let sparsity = SPARSITIES[(i + j) % 3];
            let format = FORMATS[(i / 3 + j + i) % 2];
            points.push(Point {
                model,
                tokens,
                storage: storage(format, sparsity, model.bias),
            });
        }
    }
    points
}

/// How a format is stored by default: dense 4-bit rows in pairs, which need no common pattern.
pub fn storage(format: Format, sparsity: Sparsity, bias: bool) -> Storage {
    Storage {
        format,
        sparsity,
        paired: format != Format::Int8 && sparsity == Sparsity::Dense,
        bias,
    }
}

/// The name of a format on command lines.
pub const fn format_name(format: Format) -> &'static str {
    match format {
        Format::Int8 => "int8",
        Format::Int4 => "int4",
        Format::Fp4 => "fp4",
    }
}

/// The two terms of the law, in cycles: all bytes over the bus, and all multiplications over the peak of this storage.
pub fn terms(expert: &Expert, tokens: usize, peak: usize) -> (f64, f64) {
    let bytes = expert.unpadded_bytes() + 2 * tokens * row_bytes(expert.d);
    let peak = peak * expert.storage.lane_rows();
    (
        bytes as f64 / abi::BEAT as f64,
        (expert.nonzeros() * tokens) as f64 / peak as f64,
    )
}

/// The right-hand side: 5 % (15 % where both terms are within 25 % of each other), and 64 + 4 L.
pub fn bound((by_bus, by_macs): (f64, f64), latency: u32) -> f64 {
    let (low, high) = (by_bus.min(by_macs), by_bus.max(by_macs));
    let factor = if high <= 1.25 * low { 1.15 } else { 1.05 };
    factor * high + 64.0 + 4.0 * f64::from(latency)
}

/// The expert of a point, narrower where the whole one would take more than [`CYCLES`].
pub fn expert(point: &Point, peak: usize) -> Expert {
    let m = point.model;
    let mut expert = Expert {
        d: m.d,
        f: m.f,
        gated: m.gated,
        activation: m.activation as u8,
        storage: point.storage,
    };
    let (bus, macs) = terms(&expert, point.tokens, peak);
    let fits = (CYCLES / bus.max(macs) * m.f as f64) as usize / 32 * 32;
    expert.f = m.f.min(fits.max(32));
    expert
}

/// A measured point.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Against the law.
    pub row: Row,
    /// The model's own expert width.
    pub whole: usize,
    /// Cycles of the two terms.
    pub terms: (f64, f64),
    /// Computing, memory, host, slot, drain, idle.
    pub causes: [u64; 6],
    /// Counted.
    pub macs: u64,
    /// Peak of this storage, per cycle.
    pub peak: usize,
}

/// Runs one expert with all tokens.
///
/// # Errors
/// If the board fails or the command ends with an error.
pub fn measure(config: &str, point: &Point, latency: u32) -> Result<Measured, Failure> {
    let peak = abi::Config::named(config)?.peak_macs();
    let e = expert(point, peak);
    let memory = (e.bytes() + 3 * point.tokens * row_bytes(e.d) + (1 << 20)).next_multiple_of(4096);
    let params = Params {
        latency,
        ..Params::calm(memory as u64, 1)
    };
    let mut card = Card::new(config, params)?;
    let images = card.experts(&e, 1)?;
    let [x_addr, y_addr, route_addr] = card.vectors(point.tokens, e.d)?;
    let command = abi::Command {
        x_addr,
        y_addr,
        route_addr,
        routing: Source::All as u8,
        ..card.layer(point.tokens, &e, 1, 1, images)
    };
    let before = card.counters()?;
    let record = card.run(point.model.name, command)?;
    let after = card.counters()?;
    let count = |name: &str| {
        let at = abi::registers::COUNTERS.iter().position(|c| *c == name);
        at.map_or(0, |n| after[n] - before[n])
    };
    let terms = terms(&e, point.tokens, peak);
    Ok(Measured {
        row: Row {
            name: point.model.name.into(),
            d_in: e.d,
            d_out: e.f,
            sparsity: e.storage.sparsity.name(),
            weights: format_name(e.storage.format),
            tokens: point.tokens,
            bus: abi::BEAT,
            latency,
            cycles: record.cycles.into(),
            law: "expert",
            bound: bound(terms, latency),
        },
        whole: point.model.f,
        terms,
        causes: ["COMPUTING", "MEMORY", "HOST", "SLOT", "DRAIN", "IDLE"].map(count),
        macs: count("MACS"),
        peak: peak * e.storage.lane_rows(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_pair_is_there() {
        let p = points();
        assert!(p.len() >= 24);
        let pairs =
            |f: fn(&Point) -> (String, String)| p.iter().map(f).collect::<BTreeSet<_>>().len();
        assert_eq!(pairs(|p| (p.model.name.into(), p.tokens.to_string())), 32);
        assert_eq!(
            pairs(|p| (p.model.name.into(), p.storage.sparsity.name().into())),
            24
        );
        assert_eq!(
            pairs(|p| (p.model.name.into(), format_name(p.storage.format).into())),
            16
        );
        assert_eq!(
            pairs(|p| (p.tokens.to_string(), p.storage.sparsity.name().into())),
            12
        );
        assert_eq!(
            pairs(|p| (p.tokens.to_string(), format_name(p.storage.format).into())),
            8
        );
        assert_eq!(
            pairs(|p| (
                p.storage.sparsity.name().into(),
                format_name(p.storage.format).into()
            )),
            6
        );
        // Both kinds of row are there, by a wide margin.
        let kind = |p: &Point| {
            let (bus, macs) = terms(&expert(p, 64), p.tokens, 64);
            (bus > 1.25 * macs, macs > 1.25 * bus)
        };
        assert!(p.iter().filter(|p| kind(p).0).count() >= 6);
        assert!(p.iter().filter(|p| kind(p).1).count() >= 6);
    }

    #[test]
    fn the_law_has_its_two_factors() {
        assert_eq!(bound((1000.0, 100.0), 20), 1050.0 + 144.0);
        assert_eq!(bound((1000.0, 900.0), 20), 1150.0 + 144.0);
    }
}
