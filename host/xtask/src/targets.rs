//! The test targets of the workspace, and a run of them that is read as it is printed.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cargo::cargo;
use crate::results::{Outcome, Results, Test, outcome_of};

/// A test target, built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `FOLDER/TARGET`: the last folder of its package, and the name of the test target, or `lib` or `bin` for the unit tests.
    pub name: String,
    /// The manifest of its package.
    pub manifest: PathBuf,
    /// What cargo is told to pick it.
    pub flags: Vec<String>,
    executable: PathBuf,
}

/// Builds all test targets. The build's own words go where cargo's go.
///
/// # Errors
/// Where they do not build: with the code of cargo.
pub fn build(scope: &[&str]) -> Result<Result<Vec<Target>, ExitStatus>> {
    let output = cargo()
        .arg("test")
        .args(scope)
        .args(["--no-run", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo test --no-run")?;
    if !output.status.success() {
        return Ok(Err(output.status));
    }
    let messages = String::from_utf8(output.stdout)?;
    Ok(Ok(messages.lines().filter_map(target).collect()))
}

/// Runs tests, shows what they print, and reads what became of them. The two streams are one here, because only together they tell which
/// target a test is of.
///
/// # Errors
/// Where cargo could not be run.
pub fn run(targets: &[Target], arguments: &[String]) -> Result<(ExitStatus, Results)> {
    let (reader, writer) = io::pipe()?;
    let mut command = cargo();
    command.arg("test").args(arguments);
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("running cargo test")?;
    // The ends of the pipe that the command still holds would keep it open.
    drop(command);
    let mut reading = Reading { targets, of: None, results: Results::default() };
    let mut lines = BufReader::new(reader);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let mut out = io::stdout().lock();
        out.write_all(&line)?;
        out.flush()?;
        reading.line(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok((child.wait()?, reading.results))
}

struct Reading<'a> {
    targets: &'a [Target],
    of: Option<&'a Target>,
    results: Results,
}

impl Reading<'_> {
    fn line(&mut self, line: &str) {
        if let Some(heading) = line.trim_start().strip_prefix("Running ") {
            let of = |target: &&Target| is_run_by(heading, &target.executable);
            self.of = self.targets.iter().find(of);
        } else if line.trim_start().starts_with("Doc-tests ") {
            self.of = None;
        } else if let (Some(target), Some((name, outcome))) = (self.of, outcome_of(line)) {
            self.saw(Test { target: target.name.clone(), name }, outcome);
        }
    }

    fn saw(&mut self, test: Test, outcome: Outcome) {
        self.results.outcomes.insert(test, outcome);
    }
}

/// `unittests src/lib.rs (target/debug/deps/name-hash)`, from the root of the workspace.
fn is_run_by(heading: &str, executable: &Path) -> bool {
    let named = heading.rsplit_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    named.is_some_and(|path| executable.ends_with(path))
}

fn target(message: &str) -> Option<Target> {
    let message: Value = serde_json::from_str(message).ok()?;
    let executable = message["executable"].as_str()?;
    message["profile"]["test"].as_bool()?.then_some(())?;
    let manifest = PathBuf::from(message["manifest_path"].as_str()?);
    let folder = manifest.parent()?.file_name()?.to_str()?;
    let kind = message["target"]["kind"][0].as_str()?;
    let name = message["target"]["name"].as_str()?;
    let (name, flags) = match kind {
        "test" => (name, vec!["--test".to_owned(), name.to_owned()]),
        "bin" => ("bin", vec!["--bin".to_owned(), name.to_owned()]),
        "lib" | "rlib" | "cdylib" => ("lib", vec!["--lib".to_owned()]),
        _ => return None,
    };
    Some(Target {
        name: format!("{folder}/{name}"),
        flags,
        executable: executable.into(),
        manifest: manifest.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(folder: &str, kind: &str, name: &str) -> Target {
        let message = serde_json::json!({
            "reason": "compiler-artifact",
            "manifest_path": format!("/w/{folder}/Cargo.toml"),
            "target": { "kind": [kind], "name": name },
            "profile": { "test": true },
            "executable": format!("/w/target/debug/deps/{folder}-{name}-1"),
        });
        target(&message.to_string()).unwrap()
    }

    #[test]
    fn each_outcome_is_noted_with_its_target() {
        let targets = [built("core", "lib", "tidegate_core"), built("host", "test", "cluster")];
        let mut reading = Reading { targets: &targets, of: None, results: Results::default() };
        for line in [
            "test lost ... ok",
            "     Running unittests src/lib.rs (target/debug/deps/core-tidegate_core-1)",
            "test one ... ok",
            "     Running tests/cluster/main.rs (target/debug/deps/host-cluster-1)",
            "test one ... FAILED",
            "   Doc-tests core",
            "test src/lib.rs - one (line 3) ... ok",
        ] {
            reading.line(line);
        }
        let said: Vec<String> = reading
            .results
            .outcomes
            .iter()
            .map(|(test, outcome)| format!("{} {} {}", test.target, test.name, outcome.word()))
            .collect();
        assert_eq!(said, ["core/lib one ok", "host/cluster one FAILED"]);
    }
}
