//! What cargo really prints about tests is read as what became of them.

use std::collections::BTreeMap;

use xtask::results::{Outcome, Test};
use xtask::targets;

/// A package that is built in a moment, and a test of it.
const PACKAGE: [&str; 2] = ["--package", "tidegate-core"];
const TEST: &str = "there_is_no_proof_without_the_seal";

#[test]
fn a_test_that_was_run_is_noted_with_its_target() {
    let built = targets::build(&PACKAGE).expect("cargo runs").expect("the core builds");
    let names: Vec<&str> = built.iter().map(|target| target.name.as_str()).collect();
    for name in ["core/lib", "core/golden", "core/guards"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let arguments =
        PACKAGE.iter().copied().chain(["--", TEST]).map(str::to_owned).collect::<Vec<_>>();
    let (status, results) = targets::run(&built, &arguments).expect("cargo runs");
    assert!(status.success());
    let test = Test { target: "core/guards".to_owned(), name: TEST.to_owned() };
    assert_eq!(results.outcomes, BTreeMap::from([(test, Outcome::Ok)]));
}
