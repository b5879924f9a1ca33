//! One fault as `host/faults.txt` says it.
//!
//! A line with its number and what happens; one after `->` with what is right; then a line for each test: the target, as in the kept results, and the
//! name. A golden scene stands as `golden FILE: TITLE`. A name with `*` stands for every test that matches, of which one at least must have been run.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::workspace;
use crate::results::{Outcome, Results, Test};
use crate::sources;

/// The test that plays every golden scene.
const GOLDEN: (&str, &str) = ("core/golden", "every_case_ends_as_it_says");

/// What stands for any text in a name.
const ANY: char = '*';

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its number.
    pub(super) number: u32,
    /// What happens.
    pub(super) fault: String,
    /// What must come of it.
    pub(super) right: String,
    /// What shows it.
    pub(super) tests: Vec<Shown>,
}

/// What shows that a fault is borne.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    test: Test,
    /// The file and the title of the golden scene, where it is one.
    scene: Option<(String, String)>,
}

impl Row {
    /// Every row of the text. Lines that begin with `#` say something about the file.
    pub(super) fn all(text: &str) -> Result<Vec<Self>> {
        let mut rows: Vec<Self> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                take(&mut rows, line).with_context(|| format!("line {number}: {line}"))?;
            }
        }
        for row in &rows {
            ensure!(!row.right.is_empty(), "fault {}: nothing says what is right", row.number);
        }
        Ok(rows)
    }
}

impl Shown {
    /// The test that is run.
    pub(super) const fn test(&self) -> &Test {
        &self.test
    }

    /// What became of it. Of many, the worst; where none was run there is nothing to tell.
    pub(super) fn outcome(&self, results: &Results) -> Option<Outcome> {
        if !self.test.name.contains(ANY) {
            return results.outcomes.get(&self.test).copied();
        }
        let of_target = results.outcomes.iter().filter(|(test, _)| test.target == self.test.target);
        let matching = of_target.filter(|(test, _)| matches(&self.test.name, &test.name));
        // Of a family of tests some are left out of a common run.
        let mut ran = matching.map(|(_, outcome)| *outcome).filter(|it| *it != Outcome::Ignored);
        let first = ran.next()?;
        Some(if ran.any(|it| it == Outcome::Failed) { Outcome::Failed } else { first })
    }

    /// As the file says it.
    pub(super) fn spell(&self) -> String {
        match &self.scene {
            Some((file, title)) => format!("golden {file}: {title}"),
            None => format!("{} {}", self.test.target, self.test.name),
        }
    }

    /// Whether the sources have such a test, or the file such a scene.
    pub(super) fn is_in_the_sources(&self) -> Result<bool> {
        let Some((file, title)) = &self.scene else {
            // The names of a family are put together by its own code.
            return Ok(self.test.name.contains(ANY) || sources::name_a_test(&self.test.name)?);
        };
        let path = workspace().join("host/core/tests/cases").join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {file}"))?;
        Ok(text.lines().any(|line| line.strip_prefix("## ") == Some(title)))
    }

    fn read(line: &str) -> Result<Self> {
        let (target, name) = line.split_once(' ').context("it names no test after the target")?;
        if target == "golden" {
            let (file, title) = name.split_once(": ").context("a scene is `FILE: TITLE`")?;
            let (target, name) = (GOLDEN.0.to_owned(), GOLDEN.1.to_owned());
            let scene = Some((file.to_owned(), title.to_owned()));
            return Ok(Self { test: Test { target, name }, scene });
        }
        ensure!(target.contains('/'), "{target:?} is no target: write FOLDER/TARGET");
        let test = Test { target: target.to_owned(), name: name.to_owned() };
        Ok(Self { test, scene: None })
    }
}

/// Whether the name is what the pattern says, with any text in the place of each `*`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once(ANY) {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| matches(after, rest)))
        }),
    }
}

fn take(rows: &mut Vec<Row>, line: &str) -> Result<()> {
    let numbered = line
        .split_once(". ")
        .and_then(|(number, fault)| Some((number.parse::<u32>().ok()?, fault)));
    if let Some((number, fault)) = numbered {
        let (fault, right) = (fault.to_owned(), String::new());
        rows.push(Row { number, fault, right, tests: vec![] });
        return Ok(());
    }
    let Some(row) = rows.last_mut() else {
        bail!("it comes before the first fault");
    };
    if let Some(right) = line.strip_prefix("-> ") {
        ensure!(row.right.is_empty(), "what is right is said twice");
        right.clone_into(&mut row.right);
    } else {
        row.tests.push(Shown::read(line)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_happens_what_is_right_and_what_shows_it() {
        let text = "# A file.\n\n1. A fault.\n-> It is borne.\ncore/guards a\ngolden b.txt: c d\n\n2. B\n-> c\n";
        let rows = Row::all(text).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].fault.as_str(), rows[0].right.as_str()), ("A fault.", "It is borne."));
        let spelled: Vec<String> = rows[0].tests.iter().map(Shown::spell).collect();
        assert_eq!(spelled, ["core/guards a", "golden b.txt: c d"]);
        assert_eq!(rows[0].tests[1].test().name, GOLDEN.1);
        assert!(rows[1].tests.is_empty());
    }

    #[test]
    fn a_family_is_shown_where_all_that_were_run_passed() {
        let row = Row::all("1. A\n-> b\nhost/sweep real::*::hang\n").unwrap().remove(0);
        let of = |outcomes: &[(&str, Outcome)]| {
            let test = |name: &str| Test { target: "host/sweep".into(), name: name.into() };
            let outcomes = outcomes.iter().map(|(name, it)| (test(name), *it)).collect();
            row.tests[0].outcome(&Results { outcomes })
        };
        let (ok, failed, ignored) = (Outcome::Ok, Outcome::Failed, Outcome::Ignored);
        assert_eq!(of(&[("real::a::hang", ok), ("real::b::hang", ignored)]), Some(ok));
        assert_eq!(of(&[("real::a::hang", ok), ("real::b::hang", failed)]), Some(failed));
        assert_eq!(of(&[("real::a::hang", ignored)]), None);
        assert_eq!(of(&[("fake::a::hang", ok), ("real::a::hangs", ok)]), None);
    }

    #[test]
    fn what_cannot_be_understood_is_named_with_its_line() {
        for (text, error) in [
            ("core/a b\n", "line 1: core/a b"),
            ("1. A\n-> b\n-> c\n", "line 3: -> c"),
            ("1. A\n-> b\nword\n", "line 3: word"),
            ("1. A\n-> b\ncore a\n", "line 3: core a"),
            ("1. A\n-> b\ngolden a.txt\n", "line 3: golden a.txt"),
            ("1. A\ncore/a b\n", "fault 1: nothing says what is right"),
        ] {
            let told = Row::all(text).unwrap_err().to_string();
            assert!(told.contains(error), "{text}: {told}");
        }
    }
}
