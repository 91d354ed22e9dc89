//! `make plan`: the table of promises in docs/verification.md, from tests/plan.toml, and that of targets in docs/hostile_input.md.

fn main() -> Result<(), String> {
    device::others_do_not_write();
    system_tests::plan::write()?;
    system_tests::hostile::page::fill()?;
    let problems = system_tests::plan::problems()?;
    match problems.len() {
        0 => Ok(()),
        _ => Err(problems.join("\n")),
    }
}
