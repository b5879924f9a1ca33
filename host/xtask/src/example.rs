//! Replays what the README of an example says: its blocks of code that are marked `expect`, as a user would type them.
//!
//! A line that begins with `$ ` is a command for the shell, run at the root of the repository or in the folder given. The lines below it, if there are any,
//! are its whole output; the command is repeated until it prints just that. A command without output must succeed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};

use crate::progress::{during, say};

/// How long the output of a command may take to become what it must be, as the READMEs promise.
const WITHIN: Duration = Duration::from_secs(120);

/// How often a command is repeated.
const POLL: Duration = Duration::from_millis(500);

/// One command and what it must print.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    command: String,
    output: Vec<String>,
}

/// A page to be replayed.
pub struct Page<'a> {
    /// The page.
    pub file: &'a Path,
    /// What its blocks are marked with.
    pub marks: &'a [&'a str],
    /// Where its commands are run.
    pub folder: &'a Path,
    /// The cluster that its commands see.
    pub kubeconfig: &'a Path,
    /// Programs that its commands find by their names.
    pub programs: &'a [&'a Path],
}

/// Replays `examples/NAME` on the cluster of `kubeconfig`, with the `kubectl` given.
///
/// When it succeeds every command printed what the README says. Fails with the first that did not, and what it printed last.
pub fn replay(name: &str, kubeconfig: &Path, kubectl: &Path) -> Result<()> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let file = root.join("examples").join(name).join("README.md");
    let programs = &[kubectl];
    Page { file: &file, marks: &["expect"], folder: &root, kubeconfig, programs }.replay()
}

impl Page<'_> {
    /// Runs every command of the page.
    ///
    /// # Errors
    /// The first command that did not print what the page says, and what it printed last.
    pub fn replay(&self) -> Result<()> {
        let shown = self.file.display();
        let text = fs::read_to_string(self.file).with_context(|| format!("reading {shown}"))?;
        let steps = steps(&text, self.marks).with_context(|| format!("in {shown}"))?;
        ensure!(!steps.is_empty(), "{shown} has no block marked {:?}", self.marks);
        let path = path_with(self.programs)?;
        for step in steps {
            say(format_args!("$ {}", step.command));
            during(&step.command, || replay_step(&step, self.folder, self.kubeconfig, &path))?;
        }
        Ok(())
    }
}

fn replay_step(step: &Step, root: &Path, kubeconfig: &Path, path: &OsString) -> Result<()> {
    let deadline = Instant::now() + WITHIN;
    loop {
        let mut shell = Command::new("sh");
        shell.args(["-c", &step.command]).current_dir(root).stdin(Stdio::null());
        let output = shell.env("KUBECONFIG", kubeconfig).env("PATH", path).output()?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = printed.lines().collect();
        if output.status.success() && (step.output.is_empty() || lines == step.output) {
            return Ok(());
        }
        if step.output.is_empty() || Instant::now() >= deadline {
            bail!(
                "`{}` ended with {} and printed {printed:?} where {:?} is promised: {}",
                step.command,
                output.status,
                step.output.join("\n"),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        thread::sleep(POLL);
    }
}

/// The search path with the folders of these programs first.
fn path_with(programs: &[&Path]) -> Result<OsString> {
    let before = env::var_os("PATH").unwrap_or_default();
    let first = programs.iter().filter_map(|program| program.parent().map(Path::to_owned));
    env::join_paths(first.chain(env::split_paths(&before)))
        .context("the search path cannot be joined")
}

fn steps(text: &str, marks: &[&str]) -> Result<Vec<Step>> {
    let begins = |line: &str| line.strip_prefix("```").is_some_and(|mark| marks.contains(&mark));
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    let mut first = true;
    for line in text.lines() {
        match (inside, line) {
            (false, line) if begins(line) => (inside, first) = (true, true),
            (true, "```") => inside = false,
            (false, _) => {}
            (true, line) => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => {
                    first = false;
                    steps.push(Step { command: command.to_owned(), output: Vec::new() });
                }
                (None, Some(step)) if !first => step.output.push(line.to_owned()),
                (None, Some(_) | None) => bail!("`{line}` is the output of no command"),
            },
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marked_blocks_are_read() {
        let text = "words\n```sh\n$ rm x\n```\n```expect\n$ a b\n1\n2\n$ c\n```\n$ d\n";
        let step = |command: &str, output: &[&str]| Step {
            command: command.to_owned(),
            output: output.iter().map(|line| (*line).to_owned()).collect(),
        };
        assert_eq!(steps(text, &["expect"]).unwrap(), [step("a b", &["1", "2"]), step("c", &[])]);
        assert!(steps("```expect\n1\n```", &["expect"]).is_err());
    }

    #[test]
    fn every_example_can_be_read() {
        let examples = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples"));
        for name in ["datastore", "shards", "spool"] {
            let text = fs::read_to_string(examples.join(name).join("README.md")).unwrap();
            assert!(steps(&text, &["expect"]).unwrap().len() > 5, "{name}");
        }
    }

    #[test]
    fn a_step_is_repeated_until_it_prints_what_it_must() {
        let folder = tempfile::tempdir().unwrap();
        let command = "echo x >> count; wc -l < count".to_owned();
        let step = Step { command, output: vec!["2".to_owned()] };
        let path = env::var_os("PATH").unwrap_or_default();
        replay_step(&step, folder.path(), Path::new("/dev/null"), &path).unwrap();
        let step = Step { command: "exit 3".to_owned(), output: vec![] };
        assert!(replay_step(&step, folder.path(), Path::new("/dev/null"), &path).is_err());
    }
}
