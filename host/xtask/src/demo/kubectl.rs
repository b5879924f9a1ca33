//! Kubectl as the demo uses it: to look, to act, and to show both to whoever watches.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Interrupted;
use crate::progress;

/// How often it is looked whether something has come true.
const POLL: Duration = Duration::from_millis(200);

/// Makes kubectls for one cluster.
pub(crate) struct Kubectl {
    new: Box<dyn Fn() -> Command>,
    interrupted: Interrupted,
}

impl Kubectl {
    /// `new` makes a `kubectl` without arguments that talks to the cluster.
    pub(crate) fn new(new: impl Fn() -> Command + 'static, interrupted: Interrupted) -> Self {
        Self { new: Box::new(new), interrupted }
    }

    /// A `kubectl` with these arguments.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = (self.new)();
        command.args(args);
        command
    }

    /// Runs it and answers what it printed. Fails with what it said where it fails.
    pub(crate) fn run(&self, line: &str) -> Result<String> {
        self.interrupted.check()?;
        output(self.command(line.split_whitespace()), line)
    }

    /// Runs it with `input` on its standard input.
    pub(crate) fn feed(&self, line: &str, input: &str) -> Result<String> {
        self.interrupted.check()?;
        let mut command = self.command(line.split_whitespace());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).with_context(|| format!("feeding kubectl {line}"))?;
        }
        finished(child.wait_with_output()?, line)
    }

    /// What `kubectl get LINE -o json` answers, or nothing where there is no such object.
    pub(crate) fn get(&self, line: &str) -> Result<Option<Value>> {
        let text = self.run(&format!("get {line} --ignore-not-found -o json"))?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&text).map(Some).with_context(|| format!("reading {line}"))
    }

    /// Runs it and prints the command as a user would type it, and what it printed.
    pub(crate) fn show(&self, line: &str) -> Result<()> {
        let text = self.run(line)?;
        tell(&format!("$ kubectl {line}"));
        text.lines().for_each(|line| tell(&format!("  {line}")));
        Ok(())
    }

    /// Looks again and again until `look` answers something. Says every ten seconds that it still waits; gives up after `within` with
    /// what it waited for.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        within: Duration,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let deadline = Instant::now() + within;
        progress::during(&format!("waiting for {what}"), || {
            loop {
                self.interrupted.check()?;
                if let Some(found) = look().with_context(|| format!("waiting for {what}"))? {
                    return Ok(found);
                }
                if Instant::now() >= deadline {
                    bail!("{what} did not come about within {}", progress::spell(within));
                }
                thread::sleep(POLL);
            }
        })
    }
}

/// One line of the story.
#[allow(clippy::print_stdout, reason = "the story is what the demo is run for")]
pub(crate) fn tell(line: &str) {
    println!("{line}");
}

fn output(mut command: Command, line: &str) -> Result<String> {
    finished(command.stdin(Stdio::null()).output().context("starting kubectl")?, line)
}

fn finished(output: std::process::Output, line: &str) -> Result<String> {
    if !output.status.success() {
        bail!("kubectl {line}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("reading what kubectl {line} printed"))
}
