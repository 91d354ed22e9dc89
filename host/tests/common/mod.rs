//! What the tests of the `host` binary share: fixtures, scratch directories, and running the binary.

#![allow(dead_code)] // each test binary uses its own part of this

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use safetensors::{Dtype, SafeTensors};

/// Families with a fixture, each from `transformers` with random weights.
pub const FAMILIES: [&str; 3] = ["mixtral", "olmoe", "qwen2_moe"];

pub fn fixture(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/models")
        .join(family)
}

/// The model that the project made.
pub fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/demo")
}

/// A manifest of the repository.
pub fn manifest(config: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../bitstreams/{config}.toml"))
}

/// A path as an argument.
pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A directory that is gone after the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("host-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// A copy of a fixture, to be damaged.
    pub fn model(name: &str, family: &str) -> Self {
        let scratch = Self::new(name);
        for entry in std::fs::read_dir(fixture(family)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), scratch.path(entry.file_name())).unwrap();
        }
        scratch
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// Replaces a part of a text file that must be there.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} does not hold {from:?}");
        std::fs::write(self.path(name), text.replace(from, to)).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn host() -> Command {
    Command::new(env!("CARGO_BIN_EXE_host"))
}

/// Runs `host` and returns what it said.
pub fn run(args: &[&str]) -> Output {
    host().args(args).output().unwrap()
}

/// Runs `host`; it must succeed.
pub fn succeed(args: &[&str]) -> Output {
    let output = run(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// What Ctrl-C does.
pub fn interrupt(child: &Child) {
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
}

/// Runs `host`; it must fail with this exit code and one line on stderr, which is returned.
pub fn refuse(code: i32, args: &[&str]) -> String {
    refused(code, args, run(args))
}

/// As [`refuse`], with the simulated boards of another folder.
pub fn refuse_in(sim_dir: &Path, code: i32, args: &[&str]) -> String {
    let mut host = host();
    let output = host.env("ROUNDHOUSE_SIM_DIR", sim_dir).args(args).output();
    refused(code, args, output.unwrap())
}

fn refused(code: i32, args: &[&str], output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert_eq!(
        said.lines().count(),
        1,
        "{args:?} must fail in one line: {said}"
    );
    assert!(
        output.stdout.is_empty(),
        "{args:?} failed, but wrote a result"
    );
    said
}

/// A tensor with its elements widened to f64.
pub struct Numbers {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

/// Every f32 and int32 tensor of a safetensors file.
pub fn read(path: &Path) -> BTreeMap<String, Numbers> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |view: safetensors::tensor::TensorView| {
        let words = view
            .data()
            .chunks_exact(4)
            .map(|b| <[u8; 4]>::try_from(b).unwrap());
        let values = match view.dtype() {
            Dtype::F32 => words.map(|b| f64::from(f32::from_le_bytes(b))).collect(),
            Dtype::I32 => words.map(|b| f64::from(i32::from_le_bytes(b))).collect(),
            other => panic!("unexpected {other:?}"),
        };
        Numbers {
            shape: view.shape().to_vec(),
            values,
        }
    };
    file.tensors()
        .into_iter()
        .map(|(name, view)| (name, numbers(view)))
        .collect()
}

/// Writes `input_ids` alone.
pub fn write_ids(path: &Path, ids: &[i32]) {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    let view = safetensors::tensor::TensorView::new(Dtype::I32, vec![ids.len()], &bytes).unwrap();
    std::fs::write(
        path,
        safetensors::serialize([("input_ids", view)], &None).unwrap(),
    )
    .unwrap();
}
