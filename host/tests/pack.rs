//! `host pack`, and what becomes of packed directories, through the binary.

mod common;

use std::sync::atomic::AtomicBool;

use common::{fixture, refuse, succeed, text, write_ids, Scratch};
use host::model::Model;
use host::pack::{pack, pack_unless, Error, Options};

/// Packs a fixture into the scratch directory's `packed`.
fn packed(scratch: &Scratch, family: &str, sparsity: &str) -> String {
    let out = text(&scratch.path("packed"));
    let report = text(&scratch.path("report.json"));
    succeed(&[
        "pack",
        "--model",
        &text(&fixture(family)),
        "--out",
        &out,
        "--weights",
        "int8",
        "--sparsity",
        sparsity,
        "--report",
        &report,
    ]);
    out
}

fn score(scratch: &Scratch, model: &str, name: &str, more: &[&str]) -> Vec<u8> {
    write_ids(
        &scratch.path("ids.safetensors"),
        &[5, 9, 77, 12, 40, 3, 5, 5, 61, 8],
    );
    let (ids, out) = (
        text(&scratch.path("ids.safetensors")),
        text(&scratch.path(name)),
    );
    let args = [
        &["score", "--model", model, "--ids", &ids, "--out", &out],
        more,
    ]
    .concat();
    succeed(&args);
    std::fs::read(out).unwrap()
}

#[test]
fn a_packed_directory_stands_alone_and_scores_the_same_bits() {
    let scratch = Scratch::new("pack-alone");
    let golden = ["--device", "golden"];
    let model = packed(&scratch, "olmoe", "dense");
    let from_packed = score(&scratch, &model, "a.safetensors", &golden);
    let original = text(&fixture("olmoe"));
    let at_load = score(&scratch, &original, "b.safetensors", &golden);
    assert!(from_packed == at_load, "the same bits");
    for batch in ["1", "3", "64"] {
        let more = ["--device", "golden", "--batch-size", batch];
        let split = score(&scratch, &model, "c.safetensors", &more);
        assert!(split == at_load, "the same bits in batches of {batch}");
    }
    let report = std::fs::read(scratch.path("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["layers"].as_array().unwrap().len(), 12);
    assert_eq!(report["experts"], 48);
    // And on the CPU, with the same numbers as f32.
    score(&scratch, &model, "d.safetensors", &["--experts", "cpu"]);
}

#[test]
fn damage_to_packed_experts_is_found() {
    let scratch = Scratch::new("pack-damage");
    let model = packed(&scratch, "mixtral", "2:4");
    let file = scratch.path("packed/model.safetensors");
    let whole = std::fs::read(&file).unwrap();
    let (header, metadata) = safetensors::SafeTensors::read_metadata(&whole).unwrap();
    for tensor in [
        "gate.values",
        "up.positions",
        "down.scales",
        "router.values",
    ] {
        let name = format!("roundhouse.layers.1.{tensor}");
        let at = 8 + header + metadata.info(&name).unwrap().data_offsets.0 + 3;
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&file, damaged).unwrap();
        let e = refuse(1, &["--model", &model, "--device", "golden", "-n", "1"]);
        assert!(e.contains("damaged") && e.contains("host pack"), "{e}");
    }
    std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let e = refuse(1, &["--model", &model, "--device", "golden", "-n", "1"]);
    assert!(e.contains("truncated or damaged"), "{e}");
    std::fs::write(&file, &whole).unwrap();
    scratch.edit("packed/config.json", "\"format\": 2", "\"format\": 7");
    let e = refuse(1, &["--model", &model, "--device", "golden", "-n", "1"]);
    assert!(e.contains("format 7"), "{e}");
}

#[test]
fn a_model_is_not_packed_onto_itself() {
    let scratch = Scratch::model("pack-self", "mixtral");
    let dir = text(&scratch.0);
    let e = refuse(
        1,
        &[
            "pack",
            "--model",
            &dir,
            "--out",
            &dir,
            "--weights",
            "int8",
            "--sparsity",
            "dense",
        ],
    );
    assert!(e.contains("own directory"), "{e}");
    let before = std::fs::read(fixture("mixtral").join("model.safetensors")).unwrap();
    assert!(before == std::fs::read(scratch.path("model.safetensors")).unwrap());
}

/// What lies in a scratch directory.
fn names(scratch: &Scratch) -> Vec<String> {
    let entries = std::fs::read_dir(&scratch.0).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn packing_again_replaces_and_leaves_nothing_beside() {
    let scratch = Scratch::new("pack-again");
    packed(&scratch, "mixtral", "dense");
    packed(&scratch, "olmoe", "2:4");
    assert_eq!(names(&scratch), ["packed", "report.json"]);
    let model = Model::open(&scratch.path("packed")).unwrap();
    assert_eq!(model.spec.family, "olmoe");
    assert!(model.packed.is_some());
}

#[test]
fn a_directory_that_holds_something_else_is_not_replaced() {
    let scratch = Scratch::model("pack-occupied", "olmoe");
    let before = names(&scratch);
    let (model, out) = (text(&fixture("mixtral")), text(&scratch.0));
    let args = ["pack", "--model", &model, "--out", &out];
    let args = [&args[..], &["--weights", "int8", "--sparsity", "dense"]].concat();
    let e = refuse(1, &args);
    assert!(e.contains(&out) && e.contains("--out"), "{e}");
    assert_eq!(names(&scratch), before);
}

#[test]
fn interrupted_packing_leaves_nothing_behind() {
    let scratch = Scratch::new("pack-interrupt");
    let (model, out) = (Model::open(&fixture("mixtral")).unwrap(), scratch.path("x"));
    let options = Options::default();
    let stopped = pack_unless(&model, &out, &options, &AtomicBool::new(true));
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    assert!(names(&scratch).is_empty());
    // And what was there before is still there.
    pack(&model, &out, &options).unwrap();
    let config = std::fs::read(out.join("config.json")).unwrap();
    pack_unless(&model, &out, &options, &AtomicBool::new(true)).unwrap_err();
    assert_eq!(names(&scratch), ["x"]);
    assert!(config == std::fs::read(out.join("config.json")).unwrap());
}
