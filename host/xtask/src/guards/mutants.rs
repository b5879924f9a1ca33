//! Every small change to the core that cargo-mutants knows, each held against the tests of the core.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use crate::cargo::{cargo, workspace};

/// The package that is changed.
const PACKAGE: &str = "tidegate-core";
/// The tests that take a moment. They are asked first, and `every_state`, which takes seconds, only about what they let pass.
const QUICK: [&str; 9] =
    ["--lib", "--test", "check", "--test", "ending", "--test", "golden", "--test", "guards"];
/// How long the tests may take, in seconds: they take ten, and a change may make a loop that does not end.
const TESTS_MAX_SECS: &str = "120";
/// Where the lists of what was caught, missed and never built are written.
const LISTS: &str = "target/mutants/mutants.out";
/// What cargo-mutants ends with where all were caught, where some were missed, and where some ran out of time. Another code says that it could not
/// do its work.
const CODES: [i32; 3] = [0, 2, 3];

/// Runs them, those of the files of which the name has a part of `only`. Fails where one was missed.
pub(super) fn run(only: &[String]) -> Result<ExitCode> {
    asked(only, &QUICK, &[])?;
    let quick = Lists::read()?;
    if !quick.missed.is_empty() {
        // What was caught is not tried again.
        asked(only, &[], &["--iterate"])?;
    }
    let last = Lists::read()?;
    tell(&quick, &last);
    Ok(if last.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn asked(only: &[String], tests: &[&str], more: &[&str]) -> Result<()> {
    let mut command = cargo();
    command.args(["mutants", "--package", PACKAGE, "--baseline", "skip", "--jobs", "1"]);
    command.args(["--timeout", TESTS_MAX_SECS, "--output", "target/mutants"]).args(more);
    for part in only {
        command.args(["--file", &format!("**/*{part}*")]);
    }
    if !tests.is_empty() {
        command.arg("--").args(tests);
    }
    fs::create_dir_all(workspace().join("target/mutants"))?;
    let status = command.status().context("running cargo mutants")?;
    let done = status.code().is_some_and(|code| CODES.contains(&code));
    ensure!(
        done,
        "cargo mutants ended with {status}; `cargo install cargo-mutants --locked` installs it"
    );
    Ok(())
}

struct Lists {
    caught: Vec<String>,
    missed: Vec<String>,
    unviable: Vec<String>,
}

impl Lists {
    fn read() -> Result<Self> {
        let list = |name: &str| -> Result<Vec<String>> {
            let path = Path::new(LISTS).join(name);
            let text = fs::read_to_string(workspace().join(&path))
                .with_context(|| format!("reading {}", path.display()))?;
            Ok(text.lines().map(str::to_owned).collect())
        };
        let mut missed = list("missed.txt")?;
        missed.extend(list("timeout.txt")?);
        Ok(Self { caught: list("caught.txt")?, missed, unviable: list("unviable.txt")? })
    }
}

#[allow(clippy::print_stdout, reason = "what became of the changes is what the command is run for")]
fn tell(quick: &Lists, last: &Lists) {
    let both = quick.missed.len().saturating_sub(last.missed.len());
    let caught = quick.caught.len().saturating_add(both);
    for mutant in &last.missed {
        println!("SURVIVED  {mutant}");
    }
    println!(
        "{caught} changes to the core caught, {} not, {} do not build",
        last.missed.len(),
        quick.unviable.len()
    );
}
