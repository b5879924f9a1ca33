//! One guard as a file of `host/guards` says it: which row of the table it stands for, what is taken out, and what falls then.
//!
//! The file begins with prose. `row` follows, a text that one guard of the table has and no other; then `falls`, one line or more, each with the
//! arguments of a `cargo test` that must fail. What is taken out is a path, the lines that stand there (`-`) and those that take their place
//! (`+`), once or more. Lines are compared without their indentation.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// What separates the arguments of cargo from those of the tests.
const TO_THE_TESTS: &str = "--";

/// A guard, and how it is taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guard {
    /// The name of its file.
    pub(crate) name: String,
    /// What names its row.
    pub(crate) row: String,
    /// What must fail without it.
    pub(crate) falls: Vec<Falls>,
    /// What is taken out.
    pub(crate) cuts: Vec<Cut>,
}

/// Tests of which one at least must fail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Falls {
    /// The arguments of `cargo test`, in front of `--`.
    pub(crate) build: Vec<String>,
    /// Those of the tests, behind it.
    pub(crate) run: Vec<String>,
}

/// Lines of one file that are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The file, from the root of the workspace.
    pub(crate) source: String,
    before: Vec<String>,
    after: Vec<String>,
}

impl Guard {
    /// Every guard of the folder, by name.
    pub(crate) fn all(folder: &Path) -> Result<Vec<Self>> {
        let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()));
        let mut guards = Vec::new();
        for entry in entries? {
            let path = entry?.path();
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let text =
                fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let name = name.unwrap_or_default();
            guards
                .push(Self::read(&name, &text).with_context(|| format!("in {}", path.display()))?);
        }
        guards.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(guards)
    }

    /// Reads one file.
    pub(crate) fn read(name: &str, text: &str) -> Result<Self> {
        let mut guard = Self { name: name.into(), row: String::new(), falls: vec![], cuts: vec![] };
        let mut has_prose = false;
        for (number, line) in (1..).zip(text.lines()) {
            guard.take(line, &mut has_prose).with_context(|| format!("line {number}: {line}"))?;
        }
        ensure!(has_prose, "it does not begin with what the guard is for");
        ensure!(
            !guard.row.is_empty(),
            "it names no row of the table: write `row` and a text of it"
        );
        ensure!(
            !guard.falls.is_empty(),
            "it says not what falls: write `falls` and the arguments of a cargo test"
        );
        ensure!(
            !guard.cuts.is_empty(),
            "it says not what is taken out: write a path, and lines after `-` and `+`"
        );
        let whole = |cut: &Cut| !cut.before.is_empty() && cut.before != cut.after;
        ensure!(
            guard.cuts.iter().all(whole),
            "a path has no lines after `-`, or the same after `+`"
        );
        Ok(guard)
    }

    fn take(&mut self, line: &str, has_prose: &mut bool) -> Result<()> {
        if let Some(row) = line.strip_prefix("row ") {
            ensure!(self.row.is_empty(), "a guard stands for one row");
            row.trim().clone_into(&mut self.row);
        } else if let Some(command) = line.strip_prefix("falls ") {
            self.falls.push(Falls::read(command)?);
        } else if let Some(text) = line.strip_prefix('-') {
            let cut = self.cuts.last_mut().context("no path stands before it")?;
            ensure!(cut.after.is_empty(), "a second part of a file needs its path again");
            cut.before.push(text.trim().to_owned());
        } else if let Some(text) = line.strip_prefix('+') {
            let cut = self.cuts.last_mut().context("no path stands before it")?;
            cut.after.push(text.trim().to_owned());
        } else if self.row.is_empty() {
            *has_prose |= !line.trim().is_empty();
        } else if !line.trim().is_empty() {
            self.cuts.push(Cut { source: line.trim().to_owned(), ..Cut::default() });
        }
        Ok(())
    }
}

impl Falls {
    fn read(command: &str) -> Result<Self> {
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let Some(at) = words.iter().position(|word| word == TO_THE_TESTS) else {
            bail!("it names no test: write `{TO_THE_TESTS}` and a part of its name");
        };
        let (build, run) = words.split_at(at);
        ensure!(run.len() > 1, "it names no test after `{TO_THE_TESTS}`");
        Ok(Self { build: build.to_vec(), run: run.iter().skip(1).cloned().collect() })
    }

    /// Whether it takes a real cluster.
    pub(crate) fn needs_a_cluster(&self) -> bool {
        self.build.iter().any(|word| word == "cluster")
    }

    /// The package, as cargo is told it.
    pub(crate) fn is_of(&self, package: &str) -> bool {
        self.build.iter().any(|word| word == package)
    }

    /// As a person types it.
    pub(crate) fn spell(&self) -> String {
        format!("cargo test {} {TO_THE_TESTS} {}", self.build.join(" "), self.run.join(" "))
    }
}

impl Cut {
    /// The text of the file without the guard. The lines must stand there once.
    pub(crate) fn applied(&self, text: &str) -> Result<String> {
        let lines: Vec<&str> = text.lines().collect();
        let stands_at = |at: &usize| {
            let found = lines.iter().skip(*at).take(self.before.len()).map(|line| line.trim());
            found.eq(self.before.iter().map(String::as_str))
        };
        let found: Vec<usize> = (0..lines.len()).filter(stands_at).collect();
        let &[at] = found.as_slice() else {
            bail!(
                "{} has {} times what is to be taken out, and must have it once:\n{}",
                self.source,
                found.len(),
                self.before.join("\n")
            );
        };
        let before = lines.iter().take(at).copied();
        let after = lines.iter().skip(at + self.before.len()).copied();
        let whole: Vec<&str> =
            before.chain(self.after.iter().map(String::as_str)).chain(after).collect();
        Ok(whole.join("\n") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "Why.\n\nrow `a`\nfalls -p core --test one -- two\n\nsrc/a.rs\n-  if no {\n+  if false {\n";

    #[test]
    fn a_file_says_what_is_taken_out_and_what_falls() {
        let guard = Guard::read("a", TEXT).unwrap();
        assert_eq!(guard.row, "`a`");
        assert_eq!(guard.falls[0].spell(), "cargo test -p core --test one -- two");
        let text = "fn a() {\n    if no {\n    }\n}\n";
        assert_eq!(guard.cuts[0].applied(text).unwrap(), "fn a() {\nif false {\n    }\n}\n");
    }

    #[test]
    fn what_is_not_there_or_there_twice_is_not_taken_out() {
        let guard = Guard::read("a", TEXT).unwrap();
        for text in ["fn a() {}\n", "if no {\nif no {\n"] {
            assert!(guard.cuts[0].applied(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_file_lacks_is_said() {
        for (text, error) in [
            ("row `a`\n", "it does not begin with what the guard is for"),
            ("Why.\n", "it names no row"),
            ("Why.\nrow `a`\n", "it says not what falls"),
            ("Why.\nrow `a`\nfalls -p core\n", "line 3"),
            ("Why.\nrow `a`\nfalls -p core -- one\n", "it says not what is taken out"),
            ("Why.\nrow `a`\nfalls -p core -- one\nsrc/a.rs\n+ a\n", "a path has no lines"),
            ("Why.\nrow `a`\nfalls -p core -- one\n- a\n", "line 4"),
        ] {
            let told = format!("{:#}", Guard::read("a", text).unwrap_err());
            assert!(told.contains(error), "{text}: {told}");
        }
    }
}
