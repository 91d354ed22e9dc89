//! `make plan`: the table of promises in docs/verification.md, from tests/plan.toml.

fn main() -> Result<(), String> {
    system_tests::plan::write()?;
    let problems = system_tests::plan::problems()?;
    match problems.len() {
        0 => Ok(()),
        _ => Err(problems.join("\n")),
    }
}
