//! `make table`: what quantisation and sparsity cost the demo model, measured on the held-out text through the host.
//!
//! Rewrites the table between the markers in README.md and `target/bench/table.json`. The quantised rows are golden's on all of the
//! text, and the RTL's on its first 512 tokens, where both must agree to the last bit.

use abi::{Format, Sparsity};
use host::bitstream::Manifest;
use host::driver::{CardExperts, GoldenBoard};
use host::model::Model;
use host::pack;
use host::runtime::{eval, CpuExperts, Decoder, Error, Experts, Routing, Session, Stats};
use serde_json::json;
use sim_tb::SimBoard;
use std::fmt::Write as _;
use std::path::Path;

type Failure = Box<dyn std::error::Error>;

/// Tokens that the RTL row covers.
const RTL_TOKENS: usize = 512;
/// Tokens per step of the host, and so per doorbell.
const BATCH: usize = 64;
const BEGIN: &str = "<!-- table: written by `make table` -->";
const END: &str = "<!-- end of table -->";

/// The card's experts, and beside them how often their routing is that of f32 for the same vectors.
struct Judged {
    card: CardExperts,
    reference: CpuExperts,
    rows: u64,
    agree: u64,
}

impl Experts for Judged {
    fn layer(
        &mut self,
        at: usize,
        x: &[f32],
        out: &mut [f32],
        routing: &mut Routing,
    ) -> Result<(), Error> {
        let mut expected = Routing::default();
        self.reference.layer(at, x, out, &mut expected)?;
        self.card.layer(at, x, out, routing)?;
        for (a, b) in routing
            .indices
            .chunks(routing.top_k)
            .zip(expected.indices.chunks(expected.top_k))
        {
            let (mut a, mut b) = (a.to_vec(), b.to_vec());
            a.sort_unstable();
            b.sort_unstable();
            self.rows += 1;
            self.agree += u64::from(a == b);
        }
        Ok(())
    }

    fn report(&self) -> Option<Stats> {
        self.card.report()
    }
}

struct Text {
    ids: Vec<u32>,
    bytes: usize,
    start: u32,
    window: usize,
}

/// Bits of the first `tokens` tokens.
fn bits(
    decoder: &Decoder,
    experts: &mut dyn Experts,
    text: &Text,
    tokens: usize,
) -> Result<f64, Failure> {
    let mut session = Session::new(decoder, experts, text.window, BATCH);
    Ok(eval::predict(
        &mut session,
        text.start,
        &text.ids[..tokens],
        text.window,
        |_| (),
    )?
    .bits)
}

fn run() -> Result<(), Failure> {
    let dir = Path::new("models/demo");
    let model = Model::open(dir)?;
    let decoder = Decoder::open(&model)?;
    let manifest = Manifest::open(Some(Path::new("bitstreams/sim.toml")))?;
    let content = std::fs::read_to_string("models/heldout.txt")?;
    let text = Text {
        ids: model.tokenizer()?.encode(&content, false)?,
        bytes: content.len(),
        start: model
            .spec
            .start_token
            .ok_or("the demo model names no bos_token_id")?,
        window: model.spec.context,
    };
    let all = text.ids.len();
    let part = RTL_TOKENS.min(all);
    let per_byte = |b: f64| b / text.bytes as f64;
    eprintln!("held-out text: {} bytes, {all} tokens", text.bytes);

    let mut cpu = CpuExperts::open(&model)?;
    let f32_bits = bits(&decoder, &mut cpu, &text, all)?;
    let f32_part = bits(&decoder, &mut cpu, &text, part)?;
    eprintln!("f32: {:.4} bits per byte", per_byte(f32_bits));
    let mut rows = vec![
        json!({"experts": "f32 on the CPU", "bits_per_byte": per_byte(f32_bits), "first_512_bits": f32_part}),
    ];
    let mut table = String::from(
        "| experts | bits per byte, all of the held-out text | by | routing as in f32 | bits, first 512 tokens: golden | RTL in Verilator | engine cycles per token |\n|---|---|---|---|---|---|---|\n",
    );
    writeln!(
        table,
        "| f32 | {:.4} | CPU | 100 % | {f32_part:.6} (CPU) | - | - |",
        per_byte(f32_bits)
    )?;

    for (name, folder, format, sparsity) in [
        ("int8 dense", "packed-dense", Format::Int8, Sparsity::Dense),
        ("int8 2:4", "packed-2of4", Format::Int8, Sparsity::TwoOfFour),
        ("int4 dense", "packed-int4", Format::Int4, Sparsity::Dense),
        ("mxfp4 dense", "packed-mxfp4", Format::Fp4, Sparsity::Dense),
        (
            "int4 2:4",
            "packed-int4-2of4",
            Format::Int4,
            Sparsity::TwoOfFour,
        ),
    ] {
        let packed_dir = Path::new("target/bench").join(folder);
        let options = pack::Options {
            format,
            sparsity,
            pair: false,
        };
        pack::pack(&model, &packed_dir, &options)?;
        let packed = Model::open(&packed_dir)?;
        let golden = || -> Result<CardExperts, Failure> {
            let board = GoldenBoard::open(manifest.config)?;
            Ok(CardExperts::load(
                Box::new(board),
                &manifest,
                &packed,
                BATCH,
            )?)
        };
        let mut judged = Judged {
            card: golden()?,
            reference: CpuExperts::open(&model)?,
            rows: 0,
            agree: 0,
        };
        let whole = bits(&decoder, &mut judged, &text, all)?;
        let agreement = judged.agree as f64 / judged.rows as f64;
        eprintln!(
            "{name}: golden {:.4} bits per byte, routing {:.3} %",
            per_byte(whole),
            100.0 * agreement
        );
        let on_golden = bits(&decoder, &mut golden()?, &text, part)?;
        let board = SimBoard::open(manifest.config.name, 1)?;
        let mut card = CardExperts::load(Box::new(board), &manifest, &packed, BATCH)?;
        let on_rtl = bits(&decoder, &mut card, &text, part)?;
        let stats = card
            .report()
            .ok_or("the simulated board gives no counters")?;
        let cycles = stats.cycles as f64 / part as f64;
        eprintln!("{name}: first {part} tokens: golden {on_golden:.6} bits, RTL {on_rtl:.6} bits, {cycles:.0} cycles per token");
        if on_golden.to_bits() != on_rtl.to_bits() {
            return Err(format!("{name}: RTL and golden differ on the first {part} tokens").into());
        }
        writeln!(
            table,
            "| {name} | {:.4} | golden | {:.2} % | {on_golden:.6} | {on_rtl:.6} (identical) | {cycles:.0} |",
            per_byte(whole),
            100.0 * agreement
        )?;
        rows.push(json!({
            "experts": name, "bits_per_byte": per_byte(whole), "routing_agreement": agreement,
            "first_512_bits": on_golden, "first_512_bits_rtl": on_rtl, "rtl_cycles_per_token": cycles,
        }));
    }
    println!("{table}");
    std::fs::create_dir_all("target/bench")?;
    std::fs::write(
        "target/bench/table.json",
        serde_json::to_string_pretty(&rows)?,
    )?;
    unit_tests::page::fill("README.md", [BEGIN, END], &format!("\n{table}\n"))?;
    Ok(())
}

fn main() -> std::process::ExitCode {
    device::others_do_not_write();
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("table: {e}");
            std::process::ExitCode::FAILURE
        }
    }
}
