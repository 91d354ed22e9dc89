//! Pages of which a command writes a part: what stands between two marks.

use crate::synth::root;

/// The page in `file` (relative to [`root`]) as it is, and with `text` (whole lines) between `marks`, which are lines
/// of their own.
///
/// # Errors
/// The page cannot be read, or has lost its marks.
pub fn filled(file: &str, marks: [&str; 2], text: &str) -> Result<[String; 2], String> {
    let page = std::fs::read_to_string(root().join(file)).map_err(|e| format!("{file}: {e}"))?;
    let parts = page.split_once(marks[0]).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(marks[1])?;
        Some([before, after])
    });
    let [before, after] =
        parts.ok_or_else(|| format!("{file}: the marks {} and {} are gone", marks[0], marks[1]))?;
    let new = format!("{before}{}\n{text}{}{after}", marks[0], marks[1]);
    Ok([page, new])
}

/// Writes it.
///
/// # Errors
/// As [`filled`], or the page cannot be written.
pub fn fill(file: &str, marks: [&str; 2], text: &str) -> Result<(), String> {
    let [_, new] = filled(file, marks, text)?;
    std::fs::write(root().join(file), new).map_err(|e| format!("{file}: {e}"))
}
