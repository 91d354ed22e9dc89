//! The simulated board through the binary. Needs `make sim CONFIG=sim` and `make sim CONFIG=tiny`, as `make test` does.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};

use common::{
    demo, fixture, host, interrupt, manifest, refuse, refuse_in, run, succeed, text, write_ids,
    Scratch, FAMILIES,
};
use serde_json::Value;

fn json(args: &[&str]) -> Value {
    serde_json::from_slice(&succeed(args).stdout).unwrap()
}

#[test]
fn the_demo_model_says_the_same_with_one_and_two_threads_and_on_golden() {
    let model = text(&demo());
    let args = ["run", "-m", &model, "-p", "In the", "-n", "4", "--json"];
    let said = |more: &[&str]| {
        let all = [&args[..], &["--temp", "0.8", "--seed", "1"], more].concat();
        let result = json(&all);
        assert_eq!(result["experts"], "device");
        (
            result["text"].clone(),
            result["tokens"].clone(),
            result["engine"]["macs"].clone(),
        )
    };
    let once = said(&["-t", "1"]);
    assert_eq!(once, said(&["-t", "2"]));
    assert_eq!(once, said(&["--device", "golden"]));
    assert_eq!(once.1.as_array().unwrap().len(), 4);
}

#[test]
fn the_same_seed_gives_the_same_text_and_another_does_not() {
    let model = text(&fixture("olmoe"));
    let said = |seed| {
        let sampling = ["--temp", "0.8", "--seed", seed, "-n", "24"];
        succeed(&[&["--device", "sim", "-m", &model], &sampling[..]].concat()).stdout
    };
    let once = said("1");
    assert_eq!(once, said("1"));
    assert_ne!(once, said("2"));
}

#[test]
fn scores_are_those_of_golden_on_every_board_and_in_every_batch() {
    for family in FAMILIES {
        let (dir, scratch) = (fixture(family), Scratch::new(&format!("board-{family}")));
        let (ids, out) = (text(&dir.join("ref.safetensors")), scratch.path("out"));
        let score = |more: &[&str]| {
            let (model, out) = (text(&dir), text(&out));
            let args = ["score", "--model", &model, "--ids", &ids, "--out", &out];
            succeed(&[&args[..], &["--greedy", "4"], more].concat());
            std::fs::read(&out).unwrap()
        };
        let golden = score(&["--device", "golden", "-t", "1"]);
        assert!(score(&["--device", "golden", "-t", "3"]) == golden);
        assert!(score(&["--device", "sim", "-t", "2"]) == golden, "{family}");
        let tiny = text(&manifest("tiny"));
        assert!(
            score(&["--bitstream", &tiny, "-b", "5"]) == golden,
            "{family}"
        );
    }
}

#[test]
fn the_table_tells_where_the_cycles_went() {
    let model = text(&fixture("mixtral"));
    let said = succeed(&["--device", "sim", "-m", &model, "-n", "3"]).stderr;
    let said = String::from_utf8(said).unwrap();
    for part in [
        "3 generated",
        "tokens/s, generation",
        "experts on the board",
        "per token",
        "of 64 per cycle",
        "waiting for memory",
        "MB read",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[test]
fn a_board_that_is_not_built_is_refused() {
    let (model, empty) = (text(&fixture("mixtral")), Scratch::new("board-empty"));
    for config in ["sim", "tiny"] {
        let manifest = text(&manifest(config));
        let e = refuse_in(&empty.0, 1, &["-m", &model, "--bitstream", &manifest]);
        let make = format!("make sim CONFIG={config}");
        assert!(e.contains("is not built") && e.contains(&make), "{e}");
    }
    // Without a manifest too, and other commands.
    let e = refuse_in(&empty.0, 1, &["-m", &model]);
    assert!(e.contains("make sim CONFIG=sim"), "{e}");
    let ids = text(&fixture("mixtral").join("ref.safetensors"));
    let out = text(&empty.path("out"));
    let score = ["score", "--model", &model, "--ids", &ids, "--out", &out];
    let e = refuse_in(&empty.0, 1, &score);
    assert!(e.contains("make sim CONFIG=sim"), "{e}");
    assert!(!empty.path("out").exists());
}

#[test]
fn a_damaged_board_is_refused() {
    let (model, scratch) = (text(&fixture("mixtral")), Scratch::new("board-damaged"));
    std::fs::write(scratch.path("sim.so"), b"\x7fELF, but not really").unwrap();
    let e = refuse_in(&scratch.0, 1, &["-m", &model]);
    assert!(
        e.contains("cannot be loaded") && e.contains("make sim CONFIG=sim"),
        "{e}"
    );
}

#[test]
fn experts_auto_takes_the_cpu_where_no_board_is_built() {
    let (model, empty) = (text(&fixture("mixtral")), Scratch::new("board-auto"));
    let mut host = host();
    let host = host.env("ROUNDHOUSE_SIM_DIR", &empty.0);
    let output = host
        .args(["-m", &model, "--experts", "auto", "-n", "2", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("experts run on the CPU"), "{said}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["experts"], "cpu");
}

#[test]
fn info_tells_which_boards_are_built() {
    let engines = json(&["info", "--json"])["engines"].clone();
    let engines = engines.as_array().unwrap();
    // Tests build the boards of two configurations; the others say what would build them.
    for e in engines {
        let (name, state) = (
            e["name"].as_str().unwrap(),
            e["simulated"].as_str().unwrap(),
        );
        let make = format!("make sim CONFIG={name}");
        assert!(
            state == "built" || (!["sim", "tiny"].contains(&name) && state.contains(&make)),
            "{e}"
        );
    }
    let empty = Scratch::new("board-info");
    let mut host = host();
    let host = host.env("ROUNDHOUSE_SIM_DIR", &empty.0);
    let said = host.arg("info").output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("make sim CONFIG=tiny"), "{said}");
}

/// The engine of one configuration under the name of another.
#[test]
fn another_engine_is_refused() {
    let (model, scratch) = (text(&fixture("mixtral")), Scratch::new("board-other"));
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/sim/tiny.so");
    std::fs::copy(built, scratch.path("sim.so")).unwrap();
    let e = refuse_in(&scratch.0, 1, &["-m", &model]);
    for part in [
        format!("{:016x}", abi::fingerprint(&abi::config::TINY)),
        format!("{:016x}", abi::fingerprint(&abi::config::SIM)),
        "make sim CONFIG=sim".to_owned(),
    ] {
        assert!(e.contains(&part), "{e} does not say {part}");
    }
}

#[test]
fn a_stale_manifest_is_refused() {
    let (model, scratch) = (text(&fixture("mixtral")), Scratch::new("board-stale"));
    let right = format!("{:016x}", abi::fingerprint(&abi::config::TINY));
    std::fs::copy(manifest("tiny"), scratch.path("board.toml")).unwrap();
    scratch.edit("board.toml", &right, "00000000000000aa");
    let file = text(&scratch.path("board.toml"));
    let e = refuse(1, &["-m", &model, "--bitstream", &file]);
    for part in ["00000000000000aa", &right, "make sim CONFIG=tiny"] {
        assert!(e.contains(part), "{e} does not say {part}");
    }
}

#[test]
fn a_configuration_that_does_not_exist_is_refused() {
    let (model, scratch) = (text(&fixture("mixtral")), Scratch::new("board-config"));
    std::fs::copy(manifest("tiny"), scratch.path("board.toml")).unwrap();
    scratch.edit("board.toml", "config = \"tiny\"", "config = \"vast\"");
    let file = text(&scratch.path("board.toml"));
    let e = refuse(1, &["-m", &model, "--bitstream", &file]);
    assert!(e.contains("`vast`") && e.contains("tiny"), "{e}");
    let e = refuse(1, &["-m", &model, "--bitstream", "no/such.toml"]);
    assert!(e.contains("no/such.toml"), "{e}");
}

#[test]
fn a_way_that_is_not_known_is_refused() {
    let model = text(&fixture("mixtral"));
    for (way, part) in [
        ("carrier-pigeon", "`carrier-pigeon`"),
        ("vfio:1", "0000:01:00.0"),
        ("vfio:0000:ff:1f.7", "no PCI device 0000:ff:1f.7"),
        ("xdma:x", "/dev/xdma0_user"),
        ("xdma:4095", "modprobe xdma"),
        ("vfio-user:", "sim-tb serve"),
        ("vfio-user:/no/such", "sim-tb serve --socket /no/such"),
    ] {
        let e = refuse(1, &["-m", &model, "--device", way]);
        assert!(e.contains(part), "{way}: {e}");
    }
}

/// A model with room for any prompt.
fn vast(scratch: &Scratch) -> String {
    let context = "\"max_position_embeddings\": ";
    let (from, to) = (format!("{context}256"), format!("{context}10000000"));
    scratch.edit("config.json", &from, &to);
    text(&scratch.0)
}

/// A file with a prompt of about 27 tokens times `n`.
fn prompt(scratch: &Scratch, n: usize) -> String {
    let file = scratch.path("prompt");
    let words = "In the beginning God created the heaven and the earth. And";
    std::fs::write(&file, words.repeat(n)).unwrap();
    text(&file)
}

#[test]
fn a_prompt_larger_than_card_memory_is_refused() {
    let scratch = Scratch::model("board-prompt", "mixtral");
    let (model, file) = (vast(&scratch), prompt(&scratch, 4000));
    let tiny = text(&manifest("tiny"));
    for more in [&["--device", "sim"], &["--device", "golden"]] {
        let args = ["--bitstream", &tiny, "-m", &model, "-f", &file];
        let e = refuse(1, &[&args[..], &["-b", "100000"], more].concat());
        let batch = "a batch of 100000 tokens";
        assert!(e.contains(batch) && e.contains("--batch-size"), "{e}");
    }
}

/// Starts `host` with `-v` and waits until it says that the board is open.
fn start(args: &[&str]) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut child = host()
        .args(args)
        .arg("-v")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("experts: on the board") {
        let more = stderr.read_line(&mut said).unwrap();
        assert!(more > 0, "it ended: {said}");
    }
    (child, stderr)
}

/// What came on stdout and stderr of an interrupted program, to its end.
fn end(mut child: Child, mut stderr: BufReader<std::process::ChildStderr>) -> (String, String) {
    let (mut out, mut said) = (String::new(), String::new());
    let stdout = child.stdout.as_mut().unwrap();
    stdout.read_to_string(&mut out).unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(!said.contains("error") && !said.contains('\x1b'), "{said}");
    (out, said)
}

/// Steps and commands of this prompt take a minute; none is waited for.
#[test]
fn ctrl_c_ends_a_long_board_operation_with_the_table() {
    let scratch = Scratch::new("board-interrupt");
    let (model, file) = (text(&demo()), prompt(&scratch, 12));
    let args = ["--device", "sim", "-m", &model, "-f", &file, "-b", "256"];
    let (child, stderr) = start(&args);
    interrupt(&child);
    let (out, said) = end(child, stderr);
    assert_eq!(out, "");
    let parts = ["  0 of ", "then interrupted", "wall time", "MB read"];
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[test]
fn ctrl_c_while_text_comes_leaves_nothing_but_text_on_stdout() {
    let scratch = Scratch::model("board-stream", "olmoe");
    let model = vast(&scratch);
    let args = [
        "--device", "sim", "-m", &model, "-n", "1000000", "--temp", "1",
    ];
    let (mut child, stderr) = start(&[&args[..], &["--top-k", "0", "--min-p", "0"]].concat());
    let mut first = [0];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    interrupt(&child);
    let mut rest = Vec::new();
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_to_end(&mut rest)
        .unwrap();
    assert_eq!(rest.last(), Some(&b'\n'));
    let (_, said) = end(child, stderr);
    assert!(said.contains("then interrupted"), "{said}");
}

#[test]
fn ctrl_c_while_scoring_leaves_no_file() {
    let (model, scratch) = (text(&demo()), Scratch::new("board-score"));
    write_ids(&scratch.path("ids"), &[7; 200]);
    let (ids, out) = (text(&scratch.path("ids")), text(&scratch.path("out")));
    let args = ["score", "--model", &model, "--ids", &ids, "--out", &out];
    let (child, stderr) = start(&[&args[..], &["--device", "sim", "-b", "256"]].concat());
    interrupt(&child);
    let (out, said) = end(child, stderr);
    assert_eq!((out.as_str(), said.as_str()), ("", "interrupted\n"));
    assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 1);
}

#[test]
fn ctrl_c_ends_eval() {
    let scratch = Scratch::new("board-eval");
    let (model, file) = (text(&demo()), prompt(&scratch, 12));
    let args = ["eval", "--device", "sim", "-m", &model, "--text", &file];
    let (child, stderr) = start(&[&args[..], &["-b", "256"]].concat());
    interrupt(&child);
    let (out, said) = end(child, stderr);
    assert_eq!((out.as_str(), said.as_str()), ("", "interrupted\n"));
}

#[test]
fn an_empty_prompt_is_refused_on_the_board_too() {
    let model = text(&fixture("olmoe"));
    let output = run(&["--device", "sim", "-m", &model, "-p", ""]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no tokens"), "{said}");
}
