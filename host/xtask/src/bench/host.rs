//! The host as a process of this machine, and what a process weighs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long the host may take until it watches.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How often is looked whether it does.
const POLL: Duration = Duration::from_millis(50);

/// What the host logs once every watch has delivered its first list.
const WATCHES: &str = "\"watching\"";

/// How many clock ticks of `/proc` make a second, on every Linux of the last decades.
const TICKS_A_SECOND: u64 = 100;

/// A host that runs. Dropping it ends it, and so does the end of this process.
pub(super) struct HostProcess {
    keeper: Child,
    pid: u32,
    log: PathBuf,
}

/// The memory of a process that is in the machine's memory at this moment, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// All of it.
    pub all: u64,
    /// The part that is no file's, such as the heap and the stacks.
    pub anonymous: u64,
    /// The most that it ever was.
    pub peak: u64,
}

impl HostProcess {
    /// Starts the host by a command that runs it under a keeper, and waits until it watches the cluster.
    ///
    /// # Errors
    /// Where it cannot be started, ends, or does not watch in a minute; with what it logged.
    pub(super) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("writing {}", log.display()))?;
        command.arg("--log-format=json").stdout(output.try_clone()?).stderr(output);
        let keeper = command.spawn().context("starting the host")?;
        let mut host = Self { keeper, pid: 0, log: log.to_owned() };
        let end = Instant::now() + READY_WITHIN;
        while !host.log_text()?.contains(WATCHES) {
            if let Some(ended) = host.keeper.try_wait()? {
                bail!("the host ended with {ended}: {}", host.log_text()?);
            }
            if Instant::now() > end {
                bail!("the host does not watch: {}", host.log_text()?);
            }
            sleep(POLL);
        }
        host.pid = child_of(host.keeper.id())?;
        Ok(host)
    }

    /// Everything that it has logged so far.
    pub(super) fn log_text(&self) -> Result<String> {
        fs::read_to_string(&self.log).with_context(|| format!("reading {}", self.log.display()))
    }

    /// What it weighs.
    pub(super) fn resident(&self) -> Result<Resident> {
        Resident::of(self.pid)
    }

    /// The processor time that it has taken.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The second field is the name in brackets and may hold spaces; the times of user and system are the 12th and 13th after it.
        let (_, fields) = stat.rsplit_once(')').context("a process without a name")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks = ticks.sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(ticks * 1_000 / TICKS_A_SECOND))
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        // The keeper takes the host with it; one that has ended already needs no killing.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

impl Resident {
    /// What the process of this number weighs.
    ///
    /// # Errors
    /// Where there is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        Self::parse(&status).with_context(|| format!("reading {path}"))
    }

    fn parse(status: &str) -> Result<Self> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
            let kib = kib.with_context(|| format!("it has no {name} in kB"))?;
            Ok::<u64, anyhow::Error>(kib.trim().parse::<u64>()? * 1_024)
        };
        Ok(Self { all: bytes("VmRSS")?, anonymous: bytes("RssAnon")?, peak: bytes("VmHWM")? })
    }
}

impl std::fmt::Display for Resident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
        let mib = |bytes: u64| bytes as f64 / (1_024.0 * 1_024.0);
        let (all, anonymous, peak) = (mib(self.all), mib(self.anonymous), mib(self.peak));
        write!(f, "{all:.1} MiB, of which {anonymous:.1} are no file's; at most {peak:.1}")
    }
}

/// The one process that a keeper has started.
pub(crate) fn child_of(keeper: u32) -> Result<u32> {
    let mut children = String::new();
    for thread in fs::read_dir(format!("/proc/{keeper}/task"))? {
        children += &fs::read_to_string(thread?.path().join("children"))?;
    }
    let child = children.split_whitespace().next().context("the keeper keeps nothing")?;
    Ok(child.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_weighs_is_read() {
        let status =
            "Name:\ta b\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nRssAnon:\t     512 kB\n";
        let weighed = Resident::parse(status).unwrap();
        assert_eq!(weighed, Resident { all: 1 << 20, anonymous: 1 << 19, peak: 2 << 20 });
        assert!(Resident::of(std::process::id()).is_ok());
    }
}
