//! What became of every test: read from what `cargo test` prints, kept in `target/test-results.txt`, one line a test.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::cargo::workspace;

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Ok,
    /// It failed.
    Failed,
    /// It was not run.
    Ignored,
}

/// A test: the target that holds it, as [`crate::targets::Target::name`] says it, and its name there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    /// The target.
    pub target: String,
    /// Its name.
    pub name: String,
}

/// What became of tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// By test.
    pub outcomes: BTreeMap<Test, Outcome>,
}

impl Outcome {
    /// As `cargo test` says it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "FAILED",
            Self::Ignored => "ignored",
        }
    }
}

impl FromStr for Outcome {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "ok" => Ok(Self::Ok),
            "FAILED" => Ok(Self::Failed),
            "ignored" => Ok(Self::Ignored),
            _ => bail!("{word:?} is no outcome of a test"),
        }
    }
}

/// What a line that a test target printed says about one test, if it does.
#[must_use]
pub fn outcome_of(line: &str) -> Option<(String, Outcome)> {
    let (name, end) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    // An ignored test may be followed by the reason, and a slow one by its time.
    let word = end.split([',', ' ']).next()?;
    // A target with a harness of its own pads the names to one width.
    Some((name.trim_end().to_owned(), word.parse().ok()?))
}

impl Results {
    /// What the last runs of `cargo xtask test` found; nothing where there was none.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn kept() -> Result<Self> {
        match fs::read_to_string(path()) {
            Ok(text) => Self::read(&text).with_context(|| format!("in {}", path().display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path().display())),
        }
    }

    /// Keeps them, in the place of what was kept.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn keep(&self) -> Result<()> {
        fs::write(path(), self.spell()).with_context(|| format!("writing {}", path().display()))
    }

    /// These, and of the others what is said of other tests.
    #[must_use]
    pub fn over(mut self, mut others: Self) -> Self {
        others.outcomes.append(&mut self.outcomes);
        others
    }

    fn read(text: &str) -> Result<Self> {
        let line = |line: &str| {
            let (target, rest) = line.split_once(' ')?;
            let (word, name) = rest.split_once(' ')?;
            let test = Test { target: target.to_owned(), name: name.to_owned() };
            Some((test, word.parse().ok()?))
        };
        let outcomes = text.lines().map(|it| line(it).with_context(|| format!("{it:?}")));
        Ok(Self { outcomes: outcomes.collect::<Result<_>>()? })
    }

    fn spell(&self) -> String {
        let line = |(test, outcome): (&Test, &Outcome)| {
            format!("{} {} {}\n", test.target, outcome.word(), test.name)
        };
        self.outcomes.iter().map(line).collect()
    }
}

fn path() -> PathBuf {
    workspace().join("target/test-results.txt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_about_a_test_is_understood_and_no_other() {
        let ok = |name: &str| Some((name.to_owned(), Outcome::Ok));
        assert_eq!(outcome_of("test a::b ... ok"), ok("a::b"));
        assert_eq!(outcome_of("test a::b        ... ok"), ok("a::b"));
        assert_eq!(outcome_of("test a - should panic ... ok"), ok("a - should panic"));
        assert_eq!(outcome_of("test a ... FAILED"), Some(("a".to_owned(), Outcome::Failed)));
        let ignored = Some(("a".to_owned(), Outcome::Ignored));
        assert_eq!(outcome_of("test a ... ignored, too slow"), ignored);
        for line in ["test result: ok. 4 passed", "tests ... ok", "test a ... bench", "test a has"]
        {
            assert_eq!(outcome_of(line), None, "{line}");
        }
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let test = |name: &str| Test { target: "core/golden".into(), name: name.into() };
        let of = |outcomes: &[(&str, Outcome)]| Results {
            outcomes: outcomes.iter().map(|(name, it)| (test(name), *it)).collect(),
        };
        let results = of(&[("a::b", Outcome::Ok), ("a - should panic", Outcome::Failed)]);
        assert_eq!(Results::read(&results.spell()).unwrap(), results);
        let later = of(&[("a::b", Outcome::Ignored)]).over(results);
        let all = of(&[("a::b", Outcome::Ignored), ("a - should panic", Outcome::Failed)]);
        assert_eq!(later, all);
    }
}
