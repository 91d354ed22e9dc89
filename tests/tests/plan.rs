//! README and docs promise what tests keep, and nothing is tested that nobody promises: `tests/plan.toml` against both.

use system_tests::plan::{page, problems};

#[test]
fn every_promise_has_its_tests_and_every_test_its_promise() {
    let problems = problems().unwrap();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_page_is_that_of_the_plan() {
    let [is, should] = page().unwrap();
    assert!(
        is == should,
        "docs/verification.md is stale: run `make plan`"
    );
}
