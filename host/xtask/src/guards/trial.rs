//! Runs tests in the copy, and tells what became of them.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::cargo::cargo;
use crate::results::{Outcome, outcome_of};

use super::guard::Falls;

/// How long tests may run: the longest that stands for a guard takes five minutes on a busy machine, with its cluster.
const TESTS_MAX: Duration = Duration::from_secs(15 * 60);
/// How long a build may take: the first one builds every dependency.
const BUILD_MAX: Duration = Duration::from_secs(60 * 60);
/// How often a command that runs is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The host is built for speed even for tests, which takes minutes. A guard is as missing in a build that takes seconds.
const UNOPTIMISED: [&str; 2] = ["--config", "profile.dev.package.tidegate.opt-level=0"];
/// How many lines of a failed command are told.
const LINES_TOLD: usize = 30;

/// What became of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// All passed.
    Passed,
    /// These failed.
    Failed(Vec<String>),
    /// None of that name was there.
    NoneThere,
    /// It said nothing about tests: it did not build, or did not end.
    Broken(String),
}

/// Builds and runs these tests.
pub(crate) fn run(folder: &Path, falls: &Falls) -> Result<Ran> {
    let mut build = cargo_in(folder);
    build.arg("test").args(UNOPTIMISED).args(&falls.build).arg("--no-run");
    let built = Ended::of(&mut build, BUILD_MAX)?;
    if !built.is_success() {
        return Ok(Ran::Broken(format!("it does not build: {}", built.tail())));
    }
    let mut test = cargo_in(folder);
    test.arg("test").args(UNOPTIMISED).args(&falls.build).arg("--").args(&falls.run);
    Ok(judge(&Ended::of(&mut test, TESTS_MAX)?))
}

fn judge(ended: &Ended) -> Ran {
    let outcomes: Vec<(String, Outcome)> = ended.output.lines().filter_map(outcome_of).collect();
    let of = |which: Outcome| {
        outcomes.iter().filter(move |(_, it)| *it == which).map(|(name, _)| name.clone())
    };
    let failed: Vec<String> = of(Outcome::Failed).collect();
    let passed = of(Outcome::Ok).count();
    match (ended.status, failed.is_empty()) {
        (None, _) => Ran::Broken(format!("it did not end in {TESTS_MAX:?}")),
        (Some(_), false) => Ran::Failed(failed),
        (Some(status), true) if !status.success() => {
            Ran::Broken(format!("it ended with {status} and no test failed: {}", ended.tail()))
        }
        (Some(_), true) if passed == 0 => Ran::NoneThere,
        (Some(_), true) => Ran::Passed,
    }
}

/// A cargo that builds into the copy's own target folder.
fn cargo_in(folder: &Path) -> Command {
    let mut command = cargo();
    command.current_dir(folder).env_remove("CARGO_TARGET_DIR");
    command
}

struct Ended {
    /// Nothing where it was killed because it took too long.
    status: Option<ExitStatus>,
    output: String,
}

impl Ended {
    /// A group of its own, so that what cargo started ends with it.
    fn of(command: &mut Command, at_most: Duration) -> Result<Self> {
        let mut log: File = tempfile()?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .process_group(0)
            .spawn()
            .context("running cargo")?;
        let status = wait(child, at_most)?;
        let mut bytes = Vec::new();
        log.rewind()?;
        log.read_to_end(&mut bytes)?;
        Ok(Self { status, output: String::from_utf8_lossy(&bytes).into_owned() })
    }

    fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    fn tail(&self) -> String {
        let lines: Vec<&str> = self.output.lines().collect();
        let from = lines.len().saturating_sub(LINES_TOLD);
        format!("\n{}", lines.get(from..).unwrap_or_default().join("\n"))
    }
}

fn wait(mut child: Child, at_most: Duration) -> Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() > at_most {
            let group = Pid::from_child(&child);
            kill_process_group(group, Signal::KILL).context("ending what took too long")?;
            child.wait()?;
            return Ok(None);
        }
        sleep(LOOK_EVERY);
    }
}

/// A file that is gone when it is closed.
fn tempfile() -> Result<File> {
    let path = std::env::temp_dir().join(format!("xtask-guards-{}", std::process::id()));
    let file = File::options().read(true).append(true).create(true).open(&path)?;
    std::fs::remove_file(&path)?;
    ensure!(file.metadata()?.len() == 0, "{} was there before", path.display());
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, output: &str) -> Ended {
        use std::os::unix::process::ExitStatusExt as _;
        Ended { status: Some(ExitStatus::from_raw(code << 8)), output: output.to_owned() }
    }

    #[test]
    fn only_a_test_that_failed_is_a_catch() {
        let of = |code, output| judge(&ended(code, output));
        assert_eq!(of(0, "test a ... ok\n"), Ran::Passed);
        assert_eq!(of(101, "test a ... ok\ntest b ... FAILED\n"), Ran::Failed(vec!["b".into()]));
        assert_eq!(of(0, "running 0 tests\n"), Ran::NoneThere);
        assert_eq!(of(0, "test a ... ignored\n"), Ran::NoneThere);
        assert!(matches!(of(101, "error: no test target named `a`\n"), Ran::Broken(_)));
        assert!(matches!(of(1, "test a ... ok\n"), Ran::Broken(_)));
    }
}
