//! The tools in `target/tools/synth`: Yosys, nextpnr and ecppack as WASM builds, pinned, installed by make. They see only the folder they
//! run in, so every path is relative to the project.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the project.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs program `tool` of `target/tools/synth` in [`root`]; its standard output and error.
///
/// # Errors
/// The tool is not installed, or it failed: its last lines.
pub fn run(tool: &str, arguments: &[&str]) -> Result<String, String> {
    let (done, text) = run_any(tool, arguments)?;
    if done {
        return Ok(text);
    }
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(12)..].join("\n");
    Err(format!("{tool} {} failed:\n{last}", arguments.join(" ")))
}

/// As [`run`], for a program that says by its exit status that the answer is no: whether it was zero, and the output.
///
/// # Errors
/// The tool is not installed, does not start, or was ended by a signal.
pub fn run_any(tool: &str, arguments: &[&str]) -> Result<(bool, String), String> {
    let program = format!("target/tools/synth/bin/{tool}");
    if !root().join(&program).exists() {
        return Err(format!("{program} is missing: run `make synth-tools`"));
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", root().join("target/tools/synth/bin").display());
    let output = Command::new(root().join(&program))
        .args(arguments)
        // Compiled WASM stays inside the project.
        .env("YOWASP_CACHE_DIR", "target/tools/synth/cache")
        // The solver stands beside the tools that call it.
        .env("PATH", path)
        .current_dir(root())
        .output()
        .map_err(|e| format!("{program} does not start: {e}"))?;
    // A tool that was killed (for its memory, say) gives no reason of its own.
    if output.status.code().is_none() {
        return Err(format!("{program} was ended: {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.success(), text))
}
