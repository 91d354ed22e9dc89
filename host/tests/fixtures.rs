//! Whole models against `transformers`: `host score --experts cpu` on every fixture.

mod common;

use std::path::Path;

use common::{demo, fixture, read, succeed, text, write_ids, Scratch, FAMILIES};
use host::model::{Model, Tensor};

fn score(model: &Path, ids: &Path, out: &Path, more: &[&str]) {
    let (model, ids, out) = (text(model), text(ids), text(out));
    let mut args = vec![
        "score",
        "--experts",
        "cpu",
        "--model",
        &model,
        "--ids",
        &ids,
        "--out",
        &out,
    ];
    args.extend_from_slice(more);
    succeed(&args);
}

/// The reference was made in f32 by other kernels: 1e-3 is promised, 1e-5 is what is left of rounding.
const TOLERANCE: f64 = 1e-5;

#[test]
fn logits_routing_and_greedy_tokens_match() {
    for family in FAMILIES {
        matches_its_reference(family, &fixture(family));
    }
}

#[test]
fn the_demo_model_matches_transformers() {
    matches_its_reference("demo", &demo());
}

/// Scores the `input_ids` of `ref.safetensors` in a model's directory, and compares with what else is in there.
fn matches_its_reference(name: &str, dir: &Path) {
    let scratch = Scratch::new(&format!("match-{name}"));
    let (ids, out) = (dir.join("ref.safetensors"), scratch.path("out.safetensors"));
    let reference = read(&ids);
    let greedy = reference["greedy"].values.len().to_string();
    score(dir, &ids, &out, &["--greedy", &greedy]);
    let own = read(&out);

    let (a, b) = (&own["logits"], &reference["logits"]);
    assert_eq!(a.shape, b.shape);
    let largest = b.values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let apart = a
        .values
        .iter()
        .zip(&b.values)
        .fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    println!(
        "{name}: logits differ by {:.2e} of the largest",
        apart / largest
    );
    assert!(apart <= TOLERANCE * largest, "{name}: {apart} of {largest}");

    assert_eq!(own["greedy"].values, reference["greedy"].values, "{name}");

    let routers: Vec<_> = reference
        .keys()
        .filter(|name| name.starts_with("router."))
        .collect();
    assert_eq!(
        routers.len(),
        own.keys()
            .filter(|name| name.starts_with("router."))
            .count()
    );
    for router in routers {
        let (a, b) = (&own[router], &reference[router]);
        assert_eq!(a.shape, b.shape, "{name} {router}");
        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= TOLERANCE;
        // Indices are whole numbers, so that this tolerance makes them equal, in order.
        assert!(a.values.iter().zip(&b.values).all(close), "{name} {router}");
    }
}

#[test]
fn the_bits_depend_on_neither_cache_nor_threads_nor_batches() {
    for family in FAMILIES {
        let (dir, scratch) = (fixture(family), Scratch::new(&format!("bits-{family}")));
        let ids = dir.join("ref.safetensors");
        let ways: [&[&str]; 5] = [
            &["-t", "1"],
            &["-t", "2"],
            &["-t", "2", "--no-kv-cache"],
            &["-t", "2", "-b", "5"],
            &["-b", "1"],
        ];
        let mut first: Option<Vec<u8>> = None;
        for way in ways {
            let out = scratch.path("out.safetensors");
            score(&dir, &ids, &out, &[way, &["--greedy", "16"]].concat());
            let bytes = std::fs::read(&out).unwrap();
            assert!(
                first.get_or_insert_with(|| bytes.clone()) == &bytes,
                "{family} {way:?}"
            );
        }
    }
}

/// With one layer and a window of 4, position p sees p-3 to p and nothing before.
#[test]
fn a_sliding_window_ends_where_it_should() {
    let scratch = Scratch::model("window", "mixtral");
    scratch.edit(
        "config.json",
        "\"sliding_window\": null",
        "\"sliding_window\": 4",
    );
    scratch.edit(
        "config.json",
        "\"num_hidden_layers\": 3",
        "\"num_hidden_layers\": 1",
    );
    let logits = |first: i32| {
        let (ids, out) = (scratch.path("ids"), scratch.path("out"));
        write_ids(&ids, &[5, 6, first, 8, 9, 10, 11, 12]);
        score(&scratch.0, &ids, &out, &["-b", "3"]);
        read(&out)["logits"]
            .values
            .chunks(320)
            .map(<[f64]>::to_vec)
            .collect::<Vec<_>>()
    };
    let (a, b) = (logits(7), logits(200));
    let same: Vec<bool> = a.iter().zip(&b).map(|(a, b)| a == b).collect();
    assert_eq!(same, [true, true, false, false, false, false, true, true]);
}

/// The same weights in the fused spelling of newer files, in bf16, are found under the same names of ours.
#[test]
fn fused_experts_are_the_same_experts() {
    let scratch = Scratch::model("fused", "mixtral");
    let apart = Model::open(&fixture("mixtral")).unwrap();
    let bf16 = |t: &Tensor| -> Vec<u8> {
        t.to_f32()
            .iter()
            .flat_map(|v| half::bf16::from_f32(*v).to_le_bytes())
            .collect()
    };
    let (mut gate_up, mut down) = (Vec::new(), Vec::new());
    for e in 0..8 {
        let expert = apart.expert(1, e).unwrap();
        gate_up.extend([bf16(&expert.gate), bf16(&expert.up)].concat());
        down.extend(bf16(&expert.down));
    }
    let view = |shape: &[usize], bytes| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::BF16, shape.to_vec(), bytes)
            .unwrap()
    };
    let tensors = [
        (
            "model.layers.1.mlp.experts.gate_up_proj",
            view(&[8, 48, 32], &gate_up),
        ),
        (
            "model.layers.1.mlp.experts.down_proj",
            view(&[8, 32, 24], &down),
        ),
    ];
    std::fs::write(
        scratch.path("model.safetensors"),
        safetensors::serialize(tensors, &None).unwrap(),
    )
    .unwrap();
    let fused = Model::open(&scratch.0).unwrap();
    for e in 0..8 {
        let (a, b) = (apart.expert(1, e).unwrap(), fused.expert(1, e).unwrap());
        for (a, b) in [(a.gate, b.gate), (a.up, b.up), (a.down, b.down)] {
            assert_eq!(a.shape, b.shape);
            let rounded: Vec<f32> = a
                .to_f32()
                .iter()
                .map(|v| half::bf16::from_f32(*v).to_f32())
                .collect();
            assert_eq!(rounded, b.to_f32(), "expert {e}");
        }
    }
}
