//! The command line's contract: what succeeds, what is refused and how, and what happens to signals and pipes. Boards are in
//! `board.rs`.
//!
//! Bad input, each with its test, one line and an exit code (all of it through the binary unless another crate is named):
//!
//! | what | test |
//! |---|---|
//! | wrong usage | [`usage_is_refused_with_2`] |
//! | missing safetensors | [`missing_files_are_named`] |
//! | truncated safetensors | [`truncated_safetensors_are_refused`] |
//! | a shape that contradicts the config | [`shapes_that_contradict_the_config_are_refused`] |
//! | an unsupported family | [`an_unsupported_family_is_refused`] |
//! | a token id out of range | [`token_ids_out_of_range_are_refused`] |
//! | context overflow | [`context_overflow_is_refused`] |
//! | a prompt larger than card memory allows | `board.rs`: `a_prompt_larger_than_card_memory_is_refused` |
//! | experts larger than card memory | `card.rs`: `a_model_larger_than_card_memory_is_refused` |
//! | a fingerprint that does not match | `board.rs`: `another_engine_is_refused`, `a_stale_manifest_is_refused` |
//! | a corrupt packed image | `pack.rs`: `damage_to_packed_experts_is_found` |
//! | a model configuration that breaks a rule | [`damaged_configurations_are_refused`] |
//! | an engine configuration that breaks a rule | `abi`: `config::tests::each_rule_is_refused_by_name` |
//! | an engine configuration that does not exist | `board.rs`: `a_configuration_that_does_not_exist_is_refused` |
//! | a model beyond an engine's limits | `card.rs`: `dimensions_beyond_the_engine_are_named` |
//! | the simulated board not built | `board.rs`: `a_board_that_is_not_built_is_refused` |
//! | Ctrl-C | [`ctrl_c_stops_with_the_table`], `board.rs`: `ctrl_c_*`, `pack.rs`: `interrupted_packing_leaves_nothing_behind` |

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use common::{fixture, host, interrupt, refuse, run, succeed, text, write_ids, Scratch};
use serde_json::Value;

const PROMPT: &str = "In the beginning God created the heaven and the earth. And";

fn json(args: &[&str]) -> Value {
    serde_json::from_slice(&succeed(args).stdout).unwrap()
}

#[test]
fn greedy_text_ends_at_the_end_token() {
    // The reference's seventh token is the end token.
    let model = text(&fixture("mixtral"));
    let result = json(&[
        "--experts",
        "cpu",
        "-m",
        &model,
        "-p",
        PROMPT,
        "--temp",
        "0",
        "--json",
    ]);
    assert_eq!(
        result["tokens"],
        serde_json::json!([137, 229, 73, 42, 78, 53])
    );
    assert_eq!(result["stop"], "end");
    assert_eq!(result["experts"], "cpu");
    assert_eq!(result["engine"], Value::Null);
}

#[test]
fn text_is_the_same_with_one_and_two_threads_and_follows_the_seed() {
    let model = text(&fixture("qwen2_moe"));
    let said = |threads: &str, seed: &str| {
        succeed(&[
            "--experts",
            "cpu",
            "-m",
            &model,
            "-n",
            "40",
            "-t",
            threads,
            "--seed",
            seed,
        ])
        .stdout
    };
    let once = said("1", "5");
    assert_eq!(once, said("2", "5"));
    assert_ne!(once, said("2", "6"));
}

#[test]
fn the_streamed_text_is_that_of_the_json_result() {
    let model = text(&fixture("olmoe"));
    let args = ["run", "--experts", "cpu", "-m", &model, "-n", "30"];
    let result = json(&[&args[..], &["--json"]].concat());
    let streamed = String::from_utf8(succeed(&args).stdout).unwrap();
    assert_eq!(format!("{}\n", result["text"].as_str().unwrap()), streamed);
    assert_eq!(result["tokens"].as_array().unwrap().len(), 30);
}

#[test]
fn the_table_goes_to_stderr() {
    let model = text(&fixture("olmoe"));
    let said = succeed(&["--experts", "cpu", "-m", &model, "-n", "3"]).stderr;
    let said = String::from_utf8(said).unwrap();
    assert!(
        said.contains("3 generated") && said.contains("wall time"),
        "{said}"
    );
    assert!(
        !said.contains('\x1b'),
        "no progress where stderr is not a terminal: {said:?}"
    );
}

#[test]
fn generation_stops_where_the_context_is_full() {
    let model = text(&fixture("olmoe"));
    let args = [
        "--experts",
        "cpu",
        "-m",
        &model,
        "-p",
        PROMPT,
        "-n",
        "100",
        "-c",
        "40",
        "--json",
    ];
    let result = json(&args);
    assert_eq!(result["stop"], "context");
    // The last token is generated from a full context; it has no place in it itself.
    assert_eq!(result["tokens"].as_array().unwrap().len(), 40 - 27 + 1);
}

#[test]
fn eval_measures_a_text() {
    let (model, scratch) = (text(&fixture("mixtral")), Scratch::new("eval"));
    let file = scratch.path("text");
    std::fs::write(&file, PROMPT.repeat(5)).unwrap();
    let file = text(&file);
    let args = [
        "eval",
        "--experts",
        "cpu",
        "-m",
        &model,
        "--text",
        &file,
        "--json",
        "--window",
        "32",
    ];
    let all = json(&args);
    assert_eq!(all["bytes"], 5 * PROMPT.len());
    // Random weights know nothing: every token costs about log2(320) bits.
    let bits = all["bits_per_byte"].as_f64().unwrap() * all["bytes"].as_f64().unwrap();
    let per_token = bits / all["tokens"].as_f64().unwrap();
    assert!((7.5..10.0).contains(&per_token), "{per_token}");
    let some = json(&[&args[..], &["--tokens", "20"]].concat());
    assert_eq!(some["tokens"], 20);
}

#[test]
fn usage_is_refused_with_2() {
    let model = text(&fixture("mixtral"));
    for (args, part) in [
        (&["serve"][..], "unrecognized subcommand"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["score", "--model", &model], "--ids"),
        (&["--prompt", "a", "-f", "b"], "cannot be used with"),
        (&["--temp", "-1"], "-1"),
        (&["--temp=NaN"], "must be from 0 to 1000"),
        (&["--top-p", "1.5"], "must be from 0 to 1"),
        (&["--batch-size", "0"], "at least 1"),
        (&["--threads", "0"], "0"),
        (&["--experts", "gpu"], "gpu"),
        (
            &[
                "pack",
                "--model",
                &model,
                "--out",
                "x",
                "--weights",
                "int3",
                "--sparsity",
                "dense",
            ],
            "int3",
        ),
        (
            &[
                "pack",
                "--model",
                &model,
                "--out",
                "x",
                "--weights",
                "int8",
                "--sparsity",
                "3:4",
            ],
            "3:4",
        ),
        (
            &["--experts", "cpu", "-m", &model, "-c", "257"],
            "256 positions",
        ),
    ] {
        let said = refuse(2, args);
        assert!(said.contains(part), "{args:?}: {said}");
    }
}

#[test]
fn every_format_and_sparsity_is_packed_and_runs() {
    let (model, scratch) = (text(&fixture("mixtral")), Scratch::new("pack"));
    let out = text(&scratch.path("out"));
    let pack = |weights, sparsity, more: &[&'static str]| {
        let args = ["pack", "--model", &model, "--out", &out];
        let kind = ["--weights", weights, "--sparsity", sparsity];
        [&args[..], &kind, more]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let plain: [&[&str]; 2] = [&[], &["--pair"]];
    for (weights, sparsity, more) in [
        ("int8", "1:4", plain[0]),
        ("int8", "1:8", plain[0]),
        ("int4", "dense", plain[0]),
        ("int4", "4:8", plain[1]),
        ("mxfp4", "2:4", plain[1]),
        ("mxfp4", "1:8", plain[0]),
    ] {
        let args = pack(weights, sparsity, more);
        succeed(&args.iter().map(String::as_str).collect::<Vec<_>>());
        succeed(&["-m", &out, "--device", "golden", "-n", "1"]);
    }
    for (weights, sparsity) in [("int8", "2:4"), ("int4", "1:4")] {
        let args = pack(weights, sparsity, plain[1]);
        let said = refuse(1, &args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(said.contains("--pair"), "{said}");
    }
}

/// Damages a copy of a fixture and expects `host run` to say so.
fn damaged(name: &str, family: &str, damage: impl FnOnce(&Scratch), parts: &[&str]) {
    let scratch = Scratch::model(name, family);
    damage(&scratch);
    let said = refuse(1, &["--experts", "cpu", "-m", &text(&scratch.0), "-n", "1"]);
    for part in parts {
        assert!(
            said.contains(part),
            "{name}: {said:?} does not hold {part:?}"
        );
    }
}

fn cut(scratch: &Scratch, name: &str, keep: impl FnOnce(usize) -> usize) {
    let bytes = std::fs::read(scratch.path(name)).unwrap();
    std::fs::write(scratch.path(name), &bytes[..keep(bytes.len())]).unwrap();
}

#[test]
fn missing_files_are_named() {
    let remove =
        |name: &'static str| move |s: &Scratch| std::fs::remove_file(s.path(name)).unwrap();
    damaged(
        "no-weights",
        "mixtral",
        remove("model.safetensors"),
        &["model.safetensors", "No such file"],
    );
    let shard = "model-00004-of-00008.safetensors";
    damaged(
        "no-shard",
        "qwen2_moe",
        remove(shard),
        &[shard, "No such file"],
    );
    damaged(
        "no-config",
        "mixtral",
        remove("config.json"),
        &["config.json", "No such file"],
    );
    damaged(
        "no-tokenizer",
        "mixtral",
        remove("tokenizer.json"),
        &["tokenizer.json"],
    );
    let said = refuse(1, &["--experts", "cpu", "-m", "no/such/model"]);
    assert!(said.contains("no/such/model"), "{said}");
}

#[test]
fn truncated_safetensors_are_refused() {
    let truncated = &["model.safetensors", "truncated"];
    damaged(
        "short",
        "mixtral",
        |s| cut(s, "model.safetensors", |n| n - 1),
        truncated,
    );
    damaged(
        "half",
        "mixtral",
        |s| cut(s, "model.safetensors", |n| n / 2),
        truncated,
    );
    damaged(
        "header",
        "mixtral",
        |s| cut(s, "model.safetensors", |_| 100),
        truncated,
    );
    damaged(
        "length",
        "mixtral",
        |s| cut(s, "model.safetensors", |_| 7),
        truncated,
    );
    damaged(
        "empty",
        "mixtral",
        |s| cut(s, "model.safetensors", |_| 0),
        &["model.safetensors"],
    );
    let shard = "model-00005-of-00008.safetensors";
    damaged(
        "shard",
        "qwen2_moe",
        |s| cut(s, shard, |n| n - 4),
        &[shard, "truncated"],
    );
}

#[test]
fn shapes_that_contradict_the_config_are_refused() {
    for (name, from, to, tensor) in [
        (
            "vocab",
            "\"vocab_size\": 320",
            "\"vocab_size\": 321",
            "model.embed_tokens.weight",
        ),
        (
            "heads",
            "\"num_key_value_heads\": 2",
            "\"num_key_value_heads\": 4",
            "k_proj",
        ),
        (
            "width",
            "\"intermediate_size\": 24",
            "\"intermediate_size\": 25",
            "experts.0.w1",
        ),
        (
            "experts",
            "\"num_local_experts\": 8",
            "\"num_local_experts\": 7",
            "gate.weight",
        ),
    ] {
        let damage = |s: &Scratch| s.edit("config.json", from, to);
        damaged(name, "mixtral", damage, &["shape", "configuration", tensor]);
    }
    let more = |s: &Scratch| {
        s.edit(
            "config.json",
            "\"num_hidden_layers\": 3",
            "\"num_hidden_layers\": 4",
        )
    };
    damaged("layers", "mixtral", more, &["no tensor `model.layers.3."]);
}

#[test]
fn an_unsupported_family_is_refused() {
    let family = |s: &Scratch| {
        s.edit(
            "config.json",
            "\"model_type\": \"mixtral\"",
            "\"model_type\": \"gpt_oss\"",
        )
    };
    damaged(
        "family",
        "mixtral",
        family,
        &["`gpt_oss` is not supported", "mixtral, olmoe, qwen2_moe"],
    );
}

#[test]
fn damaged_configurations_are_refused() {
    let k = |s: &Scratch| {
        s.edit(
            "config.json",
            "\"num_experts_per_tok\": 2",
            "\"num_experts_per_tok\": 9",
        )
    };
    damaged("k", "mixtral", k, &["9 experts per token", "8"]);
    damaged(
        "json",
        "mixtral",
        |s| cut(s, "config.json", |n| n / 2),
        &["config.json", "not valid JSON"],
    );
    damaged(
        "list",
        "mixtral",
        |s| std::fs::write(s.path("config.json"), "[]").unwrap(),
        &["not a JSON object"],
    );
    let index = "model.safetensors.index.json";
    let outside =
        |s: &Scratch| s.edit(index, "\"model-00001-of-00008", "\"../model-00001-of-00008");
    damaged(
        "outside",
        "qwen2_moe",
        outside,
        &[index, "not a plain file name"],
    );
}

#[test]
fn token_ids_out_of_range_are_refused() {
    let (model, scratch) = (text(&fixture("mixtral")), Scratch::new("ids"));
    let (ids, out) = (text(&scratch.path("ids")), text(&scratch.path("out")));
    let args = [
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
    for (given, part) in [
        (
            &[5, 320][..],
            "token id 320 at position 1 is out of range; the model has 320",
        ),
        (&[5, 6, -1], "token id -1 at position 2 is negative"),
        (&[], "no tokens"),
    ] {
        write_ids(scratch.path("ids").as_ref(), given);
        let said = refuse(1, &args);
        assert!(said.contains(part), "{said}");
    }
    std::fs::write(&ids, b"not safetensors").unwrap();
    assert!(refuse(1, &args).contains("truncated or damaged"));
    assert!(!scratch.path("out").exists());
}

#[test]
fn context_overflow_is_refused() {
    let model = text(&fixture("mixtral"));
    let long = "In the beginning ".repeat(80);
    let said = refuse(1, &["--experts", "cpu", "-m", &model, "-p", &long]);
    assert!(
        said.contains("context overflow") && said.contains("256"),
        "{said}"
    );
    let said = refuse(
        1,
        &["--experts", "cpu", "-m", &model, "-p", PROMPT, "-c", "26"],
    );
    assert!(said.contains("27 more") && said.contains("26"), "{said}");
    let said = refuse(1, &["--experts", "cpu", "-m", &model, "-p", ""]);
    assert!(said.contains("prompt"), "{said}");
}

#[test]
fn a_closed_stdout_is_success() {
    let model = text(&fixture("mixtral"));
    for args in [
        &["--experts", "cpu", "-m", &model, "-n", "50"][..],
        &["info"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = host()
            .args(args)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
        assert!(
            !said.contains("panic") && !said.contains("error"),
            "{args:?}: {said}"
        );
    }
}

#[test]
fn ctrl_c_stops_with_the_table() {
    // A prompt that would take minutes to read.
    let scratch = Scratch::model("interrupt", "mixtral");
    scratch.edit(
        "config.json",
        "\"max_position_embeddings\": 256",
        "\"max_position_embeddings\": 10000000",
    );
    std::fs::write(scratch.path("prompt"), PROMPT.repeat(5000)).unwrap();
    let mut child = host()
        .args([
            "--experts",
            "cpu",
            "-v",
            "-m",
            &text(&scratch.0),
            "-f",
            &text(&scratch.path("prompt")),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    stderr.read_line(&mut said).unwrap();
    assert!(said.starts_with("model: "), "{said}");
    interrupt(&child);
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(
        said.contains("then interrupted") && said.contains("wall time"),
        "{said}"
    );
}

#[test]
fn info_and_help_answer() {
    let said = String::from_utf8(succeed(&["info"]).stdout).unwrap();
    assert!(
        said.contains("mixtral, olmoe, qwen2_moe") && said.contains("fingerprint"),
        "{said}"
    );
    assert!(said.contains("sim, golden"), "{said}");
    let root = Scratch::new("info");
    for (file, text) in [("vendor", "0x10ee\n"), ("device", "0x9011\n")] {
        let folder = root.path("sys/bus/pci/devices/0000:05:00.0");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(file), text).unwrap();
    }
    let info = |args: &[&str]| {
        let mut host = host();
        let host = host.env("ROUNDHOUSE_ROOT", &root.0).arg("info").args(args);
        host.output().unwrap().stdout
    };
    let said = String::from_utf8(info(&[])).unwrap();
    assert!(
        said.contains("0000:05:00.0 (10ee:9011): cannot be used")
            && said.contains("intel_iommu=on"),
        "{said}"
    );
    let board: Value = serde_json::from_slice(&info(&["--json"])).unwrap();
    assert_eq!(board["boards"][0]["address"], "0000:05:00.0");
    let help = succeed(&["run", "--help"]).stdout;
    assert!(String::from_utf8(help).unwrap().contains("prompt_tokens"));
    assert!(json(&["info", "--json"])["engines"]
        .as_array()
        .is_some_and(|e| !e.is_empty()));
    let help = run(&["--help"]);
    assert!(help.status.success() && help.stderr.is_empty());
    assert!(String::from_utf8_lossy(&help.stdout).contains("--bitstream"));
}
