//! A packed model directory: the original tensors that are not experts', and the quantised experts, in one safetensors
//! file; `config.json` gets a section `roundhouse` that names the format and a checksum of the quantised tensors.
//!
//! Tensors of layer L, for any engine: `roundhouse.layers.L.router.{values i16 [E,d], scales u16 [E,blocks], exponent i16 [1]}`
//! and, for M = gate, up, down: `roundhouse.layers.L.M.{values i8 [E,N,kept] (int8) or u8 [E,N,ceil(kept/2)] (4-bit codes, two to
//! a byte, the first lowest), positions u8 [E,N,ceil(kept/4)] (within four inputs, four to a byte) or u8 [E,N,ceil(kept/2)]
//! (within eight, two to a byte; none if dense), scales u16 [E,N,blocks], exponents i16 [E]}`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use abi::{Format, Sparsity, Storage};
use golden::Matrix;
use safetensors::tensor::TensorView;
use safetensors::Dtype;
use serde_json::{json, Value};

use super::layer::{name, shape, PackedLayer, PROJECTIONS};
use super::quantise::{Quantised, Router};
use super::{Error, MatrixReport, Options, Report};
use crate::model::checkpoint::Raw;
use crate::model::{self, Checkpoint, Model, Projection};

/// Version of the format that this program writes and reads.
pub const FORMAT: u64 = 2;
/// Key of the section in `config.json`.
pub const SECTION: &str = "roundhouse";
/// What the quantised tensors' names begin with.
const PREFIX: &str = "roundhouse.layers.";
/// Files beside the weights that a model needs.
const COMPANIONS: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "generation_config.json",
    "chat_template.jinja",
];

/// A packed directory that was opened: its section, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// How the experts' weights are stored.
    pub options: Options,
}

/// A tensor made here.
struct Made {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn words<const N: usize, T>(values: &[T], to_bytes: impl Fn(&T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(to_bytes).collect()
}

/// Quantises the experts of `model` and writes a directory that the other commands accept as a model. An empty or an
/// earlier packed directory there is replaced; nobody ever finds half of one.
///
/// # Errors
/// If the model is packed already, cannot be quantised, or the directory cannot be written or holds something else.
pub fn pack(model: &Model, out: &Path, options: &Options) -> Result<Report, Error> {
    pack_unless(model, out, options, &AtomicBool::new(false))
}

/// As [`pack`], but ends with [`Error::Interrupted`] soon after `stop` is set, and then leaves nothing behind.
///
/// # Errors
/// As [`pack`], and [`Error::Interrupted`].
pub fn pack_unless(
    model: &Model,
    out: &Path,
    options: &Options,
    stop: &AtomicBool,
) -> Result<Report, Error> {
    let go_on = || match stop.load(Ordering::Relaxed) {
        true => Err(Error::Interrupted),
        false => Ok(()),
    };
    if model.packed.is_some() {
        return Err(Error::Already {
            dir: model.dir.clone(),
        });
    }
    let pairable = options.format != Format::Int8 && options.sparsity.passes() >= 2;
    if options.pair && !pairable {
        return Err(Error::NoPairs);
    }
    // Replacing the files that are mapped would pull them away.
    if out.exists() && out.canonicalize().ok() == model.dir.canonicalize().ok() {
        return Err(Error::SameDirectory {
            dir: out.to_owned(),
        });
    }
    let made = Unfinished::beside(out)?;
    let report = write_directory(model, &made.part, options, &go_on)?;
    go_on()?;
    made.finish()?;
    Ok(report)
}

fn unwritten(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    |source| Error::Write {
        path: path.to_owned(),
        source,
    }
}

/// A directory that is made beside its place, and gone again unless it is finished.
struct Unfinished {
    part: PathBuf,
    place: PathBuf,
}

impl Unfinished {
    fn beside(place: &Path) -> Result<Unfinished, Error> {
        // Through links, and with a name at its end even for `.` and `x/`.
        let place = place
            .canonicalize()
            .unwrap_or_else(|_| place.components().collect());
        if place.exists() && !may_replace(&place) {
            return Err(Error::Occupied { dir: place });
        }
        let part = sibling(&place, "part");
        if let Some(parent) = part.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(unwritten(parent))?;
        }
        // Made by us, not found: in a directory that others write to, it could be theirs.
        std::fs::create_dir(&part).map_err(unwritten(&part))?;
        Ok(Unfinished { part, place })
    }

    /// Moves it to its place.
    fn finish(self) -> Result<(), Error> {
        let old = sibling(&self.place, "old");
        let replaces = self.place.exists();
        if replaces {
            std::fs::rename(&self.place, &old).map_err(unwritten(&self.place))?;
        }
        std::fs::rename(&self.part, &self.place).map_err(unwritten(&self.place))?;
        if replaces {
            std::fs::remove_dir_all(&old).map_err(unwritten(&old))?;
        }
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Gone already where it was finished.
        let _ = std::fs::remove_dir_all(&self.part);
    }
}

/// `place` with a suffix that is this process's own.
fn sibling(place: &Path, what: &str) -> PathBuf {
    let mut path = place.as_os_str().to_owned();
    path.push(format!(".{}.{what}", std::process::id()));
    path.into()
}

/// Whether a directory is empty, or one that [`pack`] wrote.
fn may_replace(dir: &Path) -> bool {
    let empty = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
    let config = std::fs::read(dir.join("config.json")).ok();
    let config = config.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    empty || config.is_some_and(|config| config.get(SECTION).is_some())
}

fn write_directory(
    model: &Model,
    out: &Path,
    options: &Options,
    go_on: &dyn Fn() -> Result<(), Error>,
) -> Result<Report, Error> {
    let mut report = Report::default();
    let mut made = Vec::new();
    for (at, moe) in model.spec.moe_layers() {
        go_on()?;
        let layer = PackedLayer::of(model, at, options)?;
        report.experts += moe.experts as u64;
        report.layers.extend(errors(model, at, &layer)?);
        made.extend(tensors(at, &layer));
    }
    report.bytes = made.iter().map(|(_, t)| t.bytes.len() as u64).sum();
    report.checksum = checksum(made.iter().map(|(name, t)| (name.as_str(), &t.bytes[..])));

    let views = made
        .iter()
        .map(|(name, t)| (name.clone(), t.dtype, t.shape.clone(), &t.bytes[..]));
    let originals = model
        .checkpoint
        .names()
        .into_iter()
        .filter(|name| !replaced(model, name))
        .filter_map(|name| Some((name, model.checkpoint.raw(name)?)))
        .map(|(name, raw)| (name.to_owned(), raw.dtype, raw.shape.to_vec(), raw.bytes));
    let views = views
        .chain(originals)
        .map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(dtype, shape, bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    let path = out.join("model.safetensors");
    go_on()?;
    views
        .and_then(|views| safetensors::serialize_to_file(views, &None, &path))
        .map_err(|source| Error::Safetensors {
            path: path.clone(),
            source,
        })?;

    for file in COMPANIONS {
        if model.dir.join(file).exists() {
            let (from, to) = (model::place(&model.dir, file)?, out.join(file));
            // Not `fs::copy`, which would copy who may write it, too.
            let copied = File::open(from)
                .and_then(|mut from| std::io::copy(&mut from, &mut File::create(&to)?));
            copied.map_err(unwritten(&to))?;
        }
    }
    // Last, so that a directory with a section is whole.
    let section = json!({
        "format": FORMAT,
        "weights": format_name(options.format),
        "sparsity": options.sparsity.name(),
        "pair": options.pair,
        "checksum": report.checksum,
    });
    write_config(model, section, &out.join("config.json"))?;
    Ok(report)
}

fn write_config(model: &Model, section: Value, to: &Path) -> Result<(), Error> {
    let from = model::place(&model.dir, "config.json")?;
    let text = std::fs::read(&from).map_err(|source| model::Error::Read {
        path: from.clone(),
        source,
    })?;
    let mut config: Value = serde_json::from_slice(&text).map_err(|source| model::Error::Json {
        path: from.clone(),
        source,
    })?;
    config[SECTION] = section;
    std::fs::write(to, format!("{config:#}\n")).map_err(unwritten(to))
}

/// The name of a format on command lines.
pub fn format_name(format: Format) -> &'static str {
    match format {
        Format::Int8 => "int8",
        Format::Int4 => "int4",
        Format::Fp4 => "mxfp4",
    }
}

/// How many small numbers of `bits` bits a row of them has bytes.
fn packed_bytes(count: usize, bits: usize) -> usize {
    (count * bits).div_ceil(8)
}

/// A row of small numbers of `bits` bits, the first lowest in its byte.
fn pack_row(row: &[u8], bits: usize) -> impl Iterator<Item = u8> + '_ {
    row.chunks(8 / bits).map(move |part| {
        let places = part.iter().enumerate();
        places.fold(0, |byte, (j, v)| byte | v << (bits * j))
    })
}

/// The `count` small numbers of a row.
fn unpack_row(bytes: &[u8], count: usize, bits: usize) -> impl Iterator<Item = u8> + '_ {
    let each = 8 / bits;
    (0..count).map(move |j| (bytes[j / each] >> (bits * (j % each))) & ((1 << bits) - 1))
}

/// Bits of a position in the file; 0 if there are none.
fn position_bits(sparsity: Sparsity) -> usize {
    match sparsity.ratio().1 {
        1 => 0,
        4 => 2,
        _ => 4,
    }
}

/// The code of a 4-bit value.
fn code(format: Format, q: i8) -> u8 {
    match format {
        Format::Fp4 => numeric::value::fp4_bits(q).expect("quantised to FP4"),
        _ => q as u8 & 15,
    }
}

/// Whether a tensor's place is taken by quantised ones.
fn replaced(model: &Model, name: &str) -> bool {
    model
        .spec
        .moe_layers()
        .any(|(layer, _)| model::is_routed(name, layer))
}

fn errors(model: &Model, at: usize, layer: &PackedLayer) -> Result<Vec<MatrixReport>, Error> {
    let mut out = Vec::new();
    for (n, projection) in PROJECTIONS.into_iter().enumerate() {
        let (mut error, mut norm, mut kept, mut all) = (0.0, 0.0, 0, 0);
        for (expert, packed) in layer.experts.iter().enumerate() {
            let weights = model.expert(at, expert)?;
            let original = [&weights.gate, &weights.up, &weights.down][n].to_f32();
            for (w, q) in original.iter().zip(packed[n].to_f32()) {
                error += (f64::from(*w) - f64::from(q)).powi(2);
                norm += f64::from(*w).powi(2);
            }
            kept += packed[n].matrix.values.len();
            all += original.len();
        }
        out.push(MatrixReport {
            layer: at,
            matrix: name(projection),
            relative_error: ratio(error, norm).sqrt(),
            kept: ratio(kept as f64, all as f64),
        });
    }
    let original = model.router(at)?.to_f32();
    let (mut error, mut norm) = (0.0, 0.0);
    for (w, q) in original.iter().zip(layer.router.to_f32(layer.hidden)) {
        error += (f64::from(*w) - f64::from(q)).powi(2);
        norm += f64::from(*w).powi(2);
    }
    out.push(MatrixReport {
        layer: at,
        matrix: "router",
        relative_error: ratio(error, norm).sqrt(),
        kept: 1.0,
    });
    Ok(out)
}

fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 {
        0.0
    } else {
        a / b
    }
}

/// The quantised tensors of a layer.
fn tensors(at: usize, layer: &PackedLayer) -> Vec<(String, Made)> {
    let mut out = Vec::new();
    let mut put = |name: String, dtype, shape: &[usize], bytes| {
        let shape = shape.to_vec();
        out.push((
            name,
            Made {
                dtype,
                shape,
                bytes,
            },
        ));
    };
    let (count, d) = (layer.experts.len(), layer.hidden);
    let r = &layer.router;
    let base = format!("{PREFIX}{at}.router");
    put(
        format!("{base}.values"),
        Dtype::I16,
        &[count, d],
        words(&r.values, |v| v.to_le_bytes()),
    );
    put(
        format!("{base}.scales"),
        Dtype::U16,
        &[count, d.div_ceil(abi::BLOCK)],
        words(&r.scales, |v| v.to_le_bytes()),
    );
    put(
        format!("{base}.exponent"),
        Dtype::I16,
        &[1],
        r.w_exp.to_le_bytes().to_vec(),
    );
    for (n, projection) in PROJECTIONS.into_iter().enumerate() {
        let base = format!("{PREFIX}{at}.{}", name(projection));
        let shape = shape(projection, d, layer.width, &layer.options);
        let Options {
            format, sparsity, ..
        } = layer.options;
        let all = || layer.experts.iter().map(|e| &e[n]);
        let kept = layer.experts.first().map_or(0, |e| e[n].matrix.kept());
        if format == Format::Int8 {
            put(
                format!("{base}.values"),
                Dtype::I8,
                &[count, shape.rows, kept],
                all()
                    .flat_map(|q| q.matrix.values.iter().map(|&v| v as u8))
                    .collect(),
            );
        } else {
            let codes = |row: &[i8]| -> Vec<u8> {
                let codes: Vec<u8> = row.iter().map(|&q| code(format, q)).collect();
                pack_row(&codes, 4).collect()
            };
            put(
                format!("{base}.values"),
                Dtype::U8,
                &[count, shape.rows, packed_bytes(kept, 4)],
                all()
                    .flat_map(|q| q.matrix.values.chunks(kept).flat_map(codes))
                    .collect(),
            );
        }
        if sparsity != Sparsity::Dense {
            let bits = position_bits(sparsity);
            put(
                format!("{base}.positions"),
                Dtype::U8,
                &[count, shape.rows, packed_bytes(kept, bits)],
                all()
                    .flat_map(|q| q.matrix.positions.chunks(kept))
                    .flat_map(|row| pack_row(row, bits))
                    .collect(),
            );
        }
        put(
            format!("{base}.scales"),
            Dtype::U16,
            &[count, shape.rows, shape.inputs.div_ceil(abi::BLOCK)],
            all()
                .flat_map(|q| words(&q.matrix.scales, |v| v.to_le_bytes()))
                .collect(),
        );
        put(
            format!("{base}.exponents"),
            Dtype::I16,
            &[count],
            all().flat_map(|q| q.w_exp.to_le_bytes()).collect(),
        );
    }
    out
}

/// FNV-1a over names and bytes in the order of names: finds damage; it is no defence against malice.
fn checksum<'a>(tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_unstable();
    let mut hash = 0xCBF2_9CE4_8422_2325u64;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    for (name, bytes) in tensors {
        name.bytes().for_each(&mut add);
        (bytes.len() as u64)
            .to_le_bytes()
            .into_iter()
            .for_each(&mut add);
        bytes.iter().copied().for_each(&mut add);
    }
    format!("fnv1a64:{hash:016x}")
}

impl Packed {
    /// The section of an opened directory, if it has one, with the tensors checked against its checksum.
    ///
    /// # Errors
    /// If the section is of another format or the checksum differs.
    pub fn find(
        config: &model::Config,
        checkpoint: &Checkpoint,
    ) -> Result<Option<Packed>, model::Error> {
        if !config.has(SECTION) {
            return Ok(None);
        }
        let key = |name: &str| format!("{SECTION}.{name}");
        let format = config.size(&[&key("format")])? as u64;
        if format != FORMAT {
            return Err(config.wrong(format!(
                "the model is packed in format {format}; this program reads format {FORMAT}; pack it again with `host pack`"
            )));
        }
        let weights = config.text(&[&key("weights")])?;
        let sparsity = config.text(&[&key("sparsity")])?;
        let pair = config.flag_or(&key("pair"), false)?;
        let known = (
            Format::ALL.into_iter().find(|f| format_name(*f) == weights),
            Sparsity::ALL.into_iter().find(|s| s.name() == sparsity),
        );
        let (Some(format), Some(sparsity)) = known else {
            return Err(config.wrong(format!(
                "the model is packed as {weights}, {sparsity}; this program does not know that"
            )));
        };
        let wanted = config.text(&[&key("checksum")])?;
        let names = checkpoint.names();
        let raw = names
            .iter()
            .filter(|name| name.starts_with(PREFIX))
            .filter_map(|name| Some((*name, checkpoint.raw(name)?.bytes)));
        let found = checksum(raw);
        if found != wanted {
            return Err(config.wrong(format!(
                "the packed experts beside it are damaged: their checksum is {found}, {wanted} was written; pack the model again with `host pack`"
            )));
        }
        Ok(Some(Packed {
            options: Options {
                format,
                sparsity,
                pair,
            },
        }))
    }

    /// The quantised experts of a layer.
    pub(super) fn layer(&self, model: &Model, at: usize) -> Result<PackedLayer, Error> {
        let moe = model.spec.moe(at)?;
        PackedLayer::check(at, model.spec.hidden, moe.width, self.options.sparsity)?;
        let experts = (0..moe.experts)
            .map(|expert| {
                let one = |projection| self.matrix(model, at, expert, projection);
                Ok([
                    one(Projection::Gate)?,
                    one(Projection::Up)?,
                    one(Projection::Down)?,
                ])
            })
            .collect::<Result<_, model::Error>>()?;
        Ok(PackedLayer {
            hidden: model.spec.hidden,
            width: moe.width,
            options: self.options,
            router: self.router(model, at)?,
            experts,
        })
    }

    /// One matrix of one expert.
    ///
    /// # Errors
    /// If a tensor is missing or its shape contradicts the configuration.
    pub fn matrix(
        &self,
        model: &Model,
        at: usize,
        expert: usize,
        projection: Projection,
    ) -> Result<Quantised, model::Error> {
        let moe = model.spec.moe(at)?;
        let shape = shape(projection, model.spec.hidden, moe.width, &self.options);
        let base = format!("{PREFIX}{at}.{}", name(projection));
        let of = |part: &str, dtype, row: &[usize]| {
            let name = format!("{base}.{part}");
            let whole: Vec<usize> = [&[moe.experts], row].concat();
            let bytes = tensor(model, &name, dtype, &whole)?;
            let each = bytes.len() / moe.experts;
            Ok::<_, model::Error>(&bytes[expert * each..(expert + 1) * each])
        };
        let Options {
            format, sparsity, ..
        } = self.options;
        let (n, m) = sparsity.ratio();
        let kept = shape.inputs / m * n;
        let small = |part: &str, bits: usize| -> Result<Vec<u8>, model::Error> {
            let row = packed_bytes(kept, bits);
            let bytes = of(part, Dtype::U8, &[shape.rows, row])?;
            let rows = bytes.chunks(row.max(1));
            Ok(rows.flat_map(|row| unpack_row(row, kept, bits)).collect())
        };
        let positions = match position_bits(sparsity) {
            0 => Vec::new(),
            bits => small("positions", bits)?,
        };
        let values = match format {
            Format::Int8 => of("values", Dtype::I8, &[shape.rows, kept])?
                .iter()
                .map(|&b| b as i8)
                .collect(),
            Format::Int4 => small("values", 4)?
                .into_iter()
                .map(numeric::value::int4)
                .collect(),
            Format::Fp4 => small("values", 4)?
                .into_iter()
                .map(numeric::value::fp4)
                .collect(),
        };
        let blocks = shape.inputs.div_ceil(abi::BLOCK);
        let scales = of("scales", Dtype::U16, &[shape.rows, blocks])?;
        let exponent = of("exponents", Dtype::I16, &[])?;
        Ok(Quantised {
            matrix: Matrix {
                rows: shape.rows,
                inputs: shape.inputs,
                storage: Storage {
                    format,
                    sparsity,
                    ..Storage::INT8
                },
                values,
                positions,
                scales: halves(scales).collect(),
                biases: Vec::new(),
            },
            w_exp: i16::from_le_bytes([exponent[0], exponent[1]]),
        })
    }

    /// The router of a layer.
    ///
    /// # Errors
    /// If a tensor is missing or its shape contradicts the configuration.
    pub fn router(&self, model: &Model, at: usize) -> Result<Router, model::Error> {
        let (experts, d) = (model.spec.moe(at)?.experts, model.spec.hidden);
        let of = |part: &str, dtype, shape: &[usize]| {
            tensor(model, &format!("{PREFIX}{at}.router.{part}"), dtype, shape)
        };
        let values = of("values", Dtype::I16, &[experts, d])?;
        let scales = of("scales", Dtype::U16, &[experts, d.div_ceil(abi::BLOCK)])?;
        let exponent = of("exponent", Dtype::I16, &[1])?;
        Ok(Router {
            values: halves(values).map(|v| v as i16).collect(),
            scales: halves(scales).collect(),
            w_exp: i16::from_le_bytes([exponent[0], exponent[1]]),
        })
    }
}

fn halves(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes
        .chunks_exact(2)
        .map(|b| u16::from_le_bytes([b[0], b[1]]))
}

/// The bytes of a quantised tensor of this type and shape.
fn tensor<'a>(
    model: &'a Model,
    name: &str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<&'a [u8], model::Error> {
    let Some(Raw {
        dtype: found,
        shape: found_shape,
        bytes,
    }) = model.checkpoint.raw(name)
    else {
        return Err(model::Error::NoTensor {
            dir: model.dir.clone(),
            name: name.to_owned(),
        });
    };
    if found != dtype || found_shape != shape {
        return Err(model::Error::Shape {
            name: name.to_owned(),
            found: found_shape.to_vec(),
            expected: shape.to_vec(),
        });
    }
    Ok(bytes)
}
