//! What others may not do: write what the program makes, or lead it out of a model's directory.

mod common;

use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use common::{fixture, manifest, refuse, text, write_ids, Scratch};
use sim_tb::card_model::CardModel;
use sim_tb::serve::Server;

/// Permission bits.
fn mode(path: &Path) -> u32 {
    let found = std::fs::symlink_metadata(path);
    found.unwrap().permissions().mode() & 0o777
}

/// Every file and directory below, with its permission bits.
fn all(dir: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        found.push((text(&path), mode(&path)));
        if path.is_dir() {
            found.extend(all(&path));
        }
    }
    found
}

/// Runs `host` as from a shell that lets everybody write what it makes.
fn open_handed(env: &[(&str, &str)], args: &[&str]) {
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "umask 0; exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_host"),
    ]);
    let output = shell.args(args).envs(env.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
}

#[test]
fn nobody_else_writes_what_is_made() {
    let (scratch, source) = (Scratch::new("private"), Scratch::model("public", "mixtral"));
    let model = text(&source.0);
    for (file, _) in all(&source.0) {
        std::fs::set_permissions(file, PermissionsExt::from_mode(0o666)).unwrap();
    }
    let path = |name: &str| text(&scratch.path(name));
    write_ids(&scratch.path("ids"), &[1, 2, 3]);
    std::fs::write(scratch.path("text"), "In the beginning").unwrap();
    let before = all(&scratch.0).len();
    let (ids, packed, report) = (path("ids"), path("made/packed"), path("report"));
    open_handed(
        &[],
        &[
            "pack",
            "--weights",
            "int8",
            "--sparsity",
            "dense",
            "-m",
            &model,
            "--out",
            &packed,
            "--report",
            &report,
        ],
    );
    let (out, words) = (path("out"), path("text"));
    let score = [
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
    open_handed(&[], &score);
    let (trace, tables) = (path("trace"), path("tables"));
    let trace = [
        "trace",
        "--experts",
        "cpu",
        "-m",
        &model,
        "--text",
        &words,
        "--out",
        &trace,
        "--train",
        &tables,
    ];
    open_handed(&[], &trace);
    let found = all(&scratch.0);
    // Packed model with its parent, tensors, configurations and tokenizers; report, logits, trace, tables.
    assert!(found.len() >= before + 10, "{found:?}");
    for (path, mode) in found {
        assert_eq!(mode & 0o022, 0, "{path} is {mode:o}");
    }
}

#[test]
fn locks_are_private() {
    let scratch = Scratch::new("locks");
    let socket = scratch.path("board.sock");
    let server = Server::bind(&socket).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let served = std::thread::spawn(move || {
        let make = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
            Ok(Box::new(CardModel::new(abi::config::TINY)?) as Box<_>)
        };
        server.run(make, &stopped).unwrap();
    });
    let run_time = scratch.path("run");
    std::fs::create_dir(&run_time).unwrap();
    let (way, tiny) = (
        format!("vfio-user:{}", text(&socket)),
        text(&manifest("tiny")),
    );
    let selftest = [
        "selftest",
        "--bitstream",
        &tiny,
        "--limit",
        "64K",
        "--device",
        &way,
    ];
    let at = [("XDG_RUNTIME_DIR", &text(&run_time)[..])];
    open_handed(&at, &selftest);
    let locks = run_time.join("roundhouse");
    assert_eq!(mode(&locks), 0o700);
    let found = all(&locks);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].1, 0o600, "{found:?}");
    // A directory that others can write to is not trusted.
    std::fs::set_permissions(&locks, PermissionsExt::from_mode(0o777)).unwrap();
    let output = common::host().envs(at).args(selftest).output().unwrap();
    stop.store(true, Ordering::Relaxed);
    served.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success()
            && said.contains("only you can write to")
            && said.contains(&text(&locks)),
        "{said}"
    );
}

/// A file of a model that is a link to somewhere else, whatever it would hold.
#[test]
fn a_model_does_not_lead_elsewhere() {
    for (family, file) in [
        ("mixtral", "config.json"),
        ("mixtral", "generation_config.json"),
        ("mixtral", "model.safetensors"),
        ("mixtral", "tokenizer.json"),
        ("qwen2_moe", "model.safetensors.index.json"),
        ("qwen2_moe", "model-00003-of-00008.safetensors"),
    ] {
        let (model, other) = (Scratch::model("links", family), Scratch::new("links-other"));
        let elsewhere = other.path("secret");
        std::fs::rename(model.path(file), &elsewhere).unwrap();
        symlink(&elsewhere, model.path(file)).unwrap();
        let said = refuse(1, &["--experts", "cpu", "-m", &text(&model.0), "-n", "1"]);
        for part in [file, &text(&elsewhere), "outside the model's directory"] {
            assert!(said.contains(part), "{file}: {said}");
        }
        // A link within is none of anybody's business.
        std::fs::rename(&elsewhere, model.path("inside")).unwrap();
        std::fs::remove_file(model.path(file)).unwrap();
        symlink("inside", model.path(file)).unwrap();
        common::succeed(&["--experts", "cpu", "-m", &text(&model.0), "-n", "1"]);
    }
}

/// What is copied beside packed tensors is not fetched from elsewhere either.
#[test]
fn packing_copies_nothing_from_elsewhere() {
    let (model, other) = (
        Scratch::model("copied", "mixtral"),
        Scratch::new("copied-other"),
    );
    std::fs::write(other.path("secret"), "secret").unwrap();
    symlink(other.path("secret"), model.path("chat_template.jinja")).unwrap();
    let out = text(&other.path("packed"));
    let said = refuse(
        1,
        &[
            "pack",
            "--weights",
            "int8",
            "--sparsity",
            "dense",
            "-m",
            &text(&model.0),
            "--out",
            &out,
        ],
    );
    assert!(
        said.contains("chat_template.jinja") && said.contains("outside the model's directory"),
        "{said}"
    );
    assert!(!Path::new(&out).exists());
    let args = [
        "pack",
        "--weights",
        "int8",
        "--sparsity",
        "dense",
        "-m",
        &text(&fixture("mixtral")),
        "--out",
        &out,
    ];
    common::succeed(&args);
}

/// An error repeats what a file says, but not to the terminal.
#[test]
fn an_error_is_one_line_of_text() {
    let model = Scratch::model("terminal", "mixtral");
    let name = "\\u001b]0;title\\u0007\\nerror: nothing\\u009b";
    model.edit("config.json", "\"mixtral\"", &format!("\"{name}\""));
    let said = refuse(1, &["--experts", "cpu", "-m", &text(&model.0)]);
    assert!(
        said.contains(r"\u{1b}]0;title\u{7} error: nothing"),
        "{said}"
    );
    assert!(!said.trim_end().contains(char::is_control), "{said}");
}
