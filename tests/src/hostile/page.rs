//! The table of docs/hostile_input.md.

use std::fmt::Write as _;

use super::{corpus, targets, Bound, NIGHT};

const PAGE: &str = "docs/hostile_input.md";
const MARKS: [&str; 2] = ["<!-- hostile:begin -->", "<!-- hostile:end -->"];

fn table() -> String {
    let mut table = String::from("| target | what is read | memory | cases here | in the night | corpus |\n|---|---|---|---|---|---|\n");
    for target in targets::ALL {
        let Bound { factor, constant } = target.bound;
        let kept = corpus(target.name).len();
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| `{}` | {} | {factor} x input + {} KiB | {} | {} min | {kept} |",
            target.name,
            target.what,
            constant >> 10,
            target.cases,
            NIGHT.as_secs() / 60
        );
    }
    table
}

/// The page as it is, and with its table.
///
/// # Errors
/// The page cannot be read, or has lost its marks.
pub fn filled() -> Result<[String; 2], String> {
    unit_tests::page::filled(PAGE, MARKS, &table())
}

/// Writes the table.
///
/// # Errors
/// As [`filled`], or the page cannot be written.
pub fn fill() -> Result<(), String> {
    unit_tests::page::fill(PAGE, MARKS, &table())
}
