//! `cargo xtask faults`: the faults that the host must bear, each with its tests and what became of them.

mod row;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cargo::workspace;
use crate::progress::say;
use crate::results::{Outcome, Results, Test};
use crate::targets;

use row::{Row, Shown};

/// How many tests of one target are run one by one where they have no result. A run of the cluster's tests takes one name or all, and each run
/// starts a cluster.
const ONE_BY_ONE_MAX: usize = 8;

/// The arguments of `cargo xtask faults`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run nothing: a test without a kept result counts as not shown.
    #[arg(long)]
    pub kept_only: bool,
}

/// Prints the table. Fails where a fault has no test, or a test that is not there, was not run or failed.
///
/// # Errors
/// Where the table cannot be read, or a test could not be run.
pub fn run(args: &Args) -> Result<ExitCode> {
    let rows = rows()?;
    let kept = Results::kept()?;
    let results = if args.kept_only { kept } else { completed(kept, &rows)? };
    let mut shown: usize = 0;
    for row in &rows {
        shown += usize::from(tell(row, &results));
    }
    summary(shown, rows.len());
    Ok(if shown == rows.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rows() -> Result<Vec<Row>> {
    let path = workspace().join("host/faults.txt");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Row::all(&text).with_context(|| format!("in {}", path.display()))
}

/// Runs the tests that have no result, and keeps what comes of them.
fn completed(kept: Results, rows: &[Row]) -> Result<Results> {
    let shown = rows.iter().flat_map(|row| &row.tests);
    let unknown: BTreeSet<&Test> =
        shown.filter(|it| it.outcome(&kept).is_none()).map(Shown::test).collect();
    if unknown.is_empty() {
        return Ok(kept);
    }
    let Ok(built) = targets::build(&["--workspace"])? else {
        anyhow::bail!("the tests do not build, see above");
    };
    let mut by_target: BTreeMap<&str, Vec<&Test>> = BTreeMap::new();
    for test in unknown {
        by_target.entry(&test.target).or_default().push(test);
    }
    let mut found = Results::default();
    for (name, tests) in by_target {
        let Some(target) = built.iter().find(|target| target.name == name) else {
            say(format_args!("there is no test target {name}"));
            continue;
        };
        for names in picked(&tests) {
            let manifest = target.manifest.display().to_string();
            let mut arguments = vec!["--manifest-path".to_owned(), manifest];
            arguments.extend(target.flags.iter().cloned());
            arguments.push("--".to_owned());
            arguments.extend(names);
            let (_, results) = targets::run(&built, &arguments)?;
            found = results.over(found);
        }
    }
    let all = found.over(kept);
    all.keep()?;
    Ok(all)
}

/// The arguments of each run: one name, or none for all.
fn picked(tests: &[&Test]) -> Vec<Vec<String>> {
    let is_family = |test: &&Test| test.name.contains('*');
    if tests.len() > ONE_BY_ONE_MAX || tests.iter().any(is_family) {
        return vec![vec![]];
    }
    tests.iter().map(|test| vec!["--exact".to_owned(), test.name.clone()]).collect()
}

/// Prints one row, and says whether it is shown.
#[allow(clippy::print_stdout, reason = "the table is what the command is run for")]
fn tell(row: &Row, results: &Results) -> bool {
    println!("{:>2}. {}\n    -> {}", row.number, row.fault, row.right);
    let mut shown = !row.tests.is_empty();
    if row.tests.is_empty() {
        println!("    NO TEST");
    }
    for test in &row.tests {
        let outcome = test.outcome(results);
        let is_there = test.is_in_the_sources().unwrap_or_default();
        shown &= is_there && outcome == Some(Outcome::Ok);
        let word = match outcome {
            _ if !is_there => "IS NOT",
            None => "NO RUN",
            Some(outcome) => outcome.word(),
        };
        println!("    {word:8} {}", test.spell());
    }
    shown
}

#[allow(clippy::print_stdout, reason = "the table is what the command is run for")]
fn summary(shown: usize, all: usize) {
    println!("{shown} of {all} faults are shown to be borne");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_there_and_every_test_that_is_named_too() {
        let rows = rows().map_err(|error| format!("{error:#}")).unwrap();
        let numbers: Vec<u32> = rows.iter().map(|row| row.number).collect();
        assert_eq!(numbers, (1..=52).collect::<Vec<u32>>());
        for row in &rows {
            for test in &row.tests {
                assert!(
                    test.is_in_the_sources().unwrap(),
                    "fault {}: {}",
                    row.number,
                    test.spell()
                );
            }
        }
    }

    #[test]
    fn a_row_is_shown_only_where_each_of_its_tests_passed() {
        let there = "there_is_no_proof_without_the";
        let text = format!("1. A\n-> b\ncore/guards {there}_seal\ncore/guards {there}_verdict\n");
        let row = Row::all(&text).unwrap().remove(0);
        let of = |outcomes: &[Outcome]| Results {
            outcomes: row.tests.iter().map(|it| it.test().clone()).zip(outcomes.to_vec()).collect(),
        };
        assert!(tell(&row, &of(&[Outcome::Ok, Outcome::Ok])));
        assert!(!tell(&row, &of(&[Outcome::Ok])));
        assert!(!tell(&row, &of(&[Outcome::Ok, Outcome::Failed])));
        assert!(!tell(&row, &of(&[Outcome::Ok, Outcome::Ignored])));
        let unknown = Row::all("1. A\n-> b\ncore/guards no_such_test\n").unwrap().remove(0);
        assert!(!tell(&unknown, &of(&[Outcome::Ok])));
        let bare = Row::all("1. A\n-> b\n").unwrap().remove(0);
        assert!(!tell(&bare, &Results::default()));
    }
}
