//! Processes: starting a cluster's parts, knowing them again, ending them.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::Lifetime;
use super::layout::{self, Layout};
use super::packages::SYSTEM_PATH;

/// How many of the last bytes of a log are shown with an error: some twenty lines.
const TAIL_BYTES: u64 = 4_000;

/// How often something that is waited for is looked at.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub(super) started: u64,
}

impl Identity {
    /// The process that has this number, if any.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the name in brackets and may hold spaces; state and start time are
        // the 1st and 20th after it.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (state != "Z" && state != "X").then_some(Self { pid, started })
    }

    pub(super) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends SIGKILL and waits until the process is gone, with all that lives in its namespaces.
    pub(super) fn kill(self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while self.is_alive() {
            if Instant::now() > deadline {
                bail!("process {} does not end {} s after SIGKILL", self.pid, within.as_secs());
            }
            let pid =
                i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("a process number")?;
            match kill_process(pid, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => thread::sleep(POLL),
                Err(error) => bail!("process {} cannot be killed: {error}", self.pid),
            }
        }
        Ok(())
    }
}

/// A part that runs.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) child: Child,
}

/// How the parts of a cluster are started.
#[derive(Clone, Copy, Debug)]
pub(super) enum Launcher {
    /// In the namespaces of the process with this number: they end with it.
    Confined { init: u32 },
    /// As processes of this machine, each under a keeper.
    Plain(Lifetime),
}

impl Launcher {
    /// Starts `program` with its output going to the log of the part `name`.
    pub(super) fn start(
        self,
        layout: &Layout,
        name: &'static str,
        program: &str,
        arguments: &[String],
    ) -> Result<Part> {
        let log = layout.log(name);
        let output = File::create(&log).with_context(|| format!("writing {}", log.display()))?;
        let mut command = match self {
            Self::Confined { init } => {
                let mut command = enter(init);
                command.env("PATH", format!("{}:{SYSTEM_PATH}", layout.seen_binaries.display()));
                command.arg(program).stdin(Stdio::null());
                command
            }
            Self::Plain(lifetime) => {
                let mut command = keeper(lifetime);
                command.arg(program);
                command
            }
        };
        // A group of its own, so that a Ctrl-C at the terminal reaches the starter alone, and an
        // `up` outlives its terminal.
        command.args(arguments).stdout(output.try_clone()?).stderr(output).process_group(0);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Part { name, child })
    }
}

/// A command that goes on with a program and runs it in the namespaces of the process `init`.
pub(super) fn enter(init: u32) -> Command {
    let mut command = Command::new("nsenter");
    command.args([
        "--target",
        &init.to_string(),
        "--mount",
        "--pid",
        "--net",
        "--ipc",
        "--uts",
        "--",
    ]);
    command
}

/// A keeper that ends when its starter does, or only when it is killed.
pub(super) fn keeper(lifetime: Lifetime) -> Command {
    let mut command = Command::new(layout::binaries().join("keeper"));
    tie(&mut command, lifetime);
    command
}

/// Ties a command that runs a keeper to the lifetime of this process, or sets it free of it.
pub(super) fn tie(command: &mut Command, lifetime: Lifetime) {
    match lifetime {
        Lifetime::Starter => command.env("TIDEGATE_KEEP", "stdin").stdin(Stdio::piped()),
        Lifetime::UntilDown => command.env_remove("TIDEGATE_KEEP").stdin(Stdio::null()),
    };
}

/// The end of the log of a part, for an error.
pub(super) fn tail(log: &PathBuf) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        std::io::Seek::seek(
            &mut file,
            std::io::SeekFrom::Start(length.saturating_sub(TAIL_BYTES)),
        )?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    };
    read().unwrap_or_else(|error| format!("(its log {} cannot be read: {error})", log.display()))
}

/// Runs a command to its end; fails with what it said.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
