//! Containers as plain processes: started, signalled, and gone with the program that started them.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use super::event::EXIT_CODE_KILLED;
use super::launch::{Access, Launch, rewritten};

/// What a kubelet keeps of a termination message.
const MESSAGE_BYTES_MAX: u64 = 4096;

/// What a kubelet takes from the end of the log where the message falls back to it.
const MESSAGE_FROM_LOG_BYTES_MAX: u64 = 2048;

/// How long SIGTERM is tried again while the container's first process is not there yet.
const TERM_TRIES: u32 = 50;

/// The wait between two such tries.
const TERM_TRY_AGAIN_AFTER: Duration = Duration::from_millis(20);

const ENTER_SCRIPT: &str = include_str!("enter.sh");

/// How a process is kept apart from the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Enclosure {
    /// In namespaces of its own, which `unshare` makes with these arguments besides its own: mounts are where the pod says.
    Namespaces(Vec<&'static str>),
    /// As a plain process: mounts are links, and their paths are rewritten.
    Rewrite,
}

/// The files of one run of one container.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder {
    folder: PathBuf,
}

/// A running container.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// The process that was started: the container's own, or the `unshare` around it.
    pid: Pid,
    enclosure: Enclosure,
}

impl Enclosure {
    /// The best that this machine allows, found by trying it in `folder`.
    pub(crate) async fn detect(folder: &Path) -> Self {
        for user in [Vec::new(), vec!["--user", "--map-root-user"]] {
            let enclosure = Self::Namespaces(user);
            if enclosure.works(folder).await {
                return enclosure;
            }
        }
        Self::Rewrite
    }

    async fn works(&self, folder: &Path) -> bool {
        let launch = Launch {
            argv: vec!["true".to_owned()],
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            work_dir: "/".to_owned(),
            mounts: Vec::new(),
            image_root: None,
            hostname: "probe".to_owned(),
        };
        let Ok(run) = RunFolder::create(folder.join("probe")) else {
            return false;
        };
        let Ok((mut child, _)) = spawn(launch, &run, self) else {
            return false;
        };
        child.wait().await.is_ok_and(|status| status.success())
    }
}

impl RunFolder {
    /// An empty folder at `folder`, with an empty termination log in it.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn create(folder: PathBuf) -> anyhow::Result<Self> {
        let run = Self { folder };
        fs::create_dir_all(run.root()).with_context(|| format!("make {}", run.root().display()))?;
        File::create(run.termination_log())?;
        Ok(run)
    }

    /// Where the process leaves its termination message.
    pub(crate) fn termination_log(&self) -> PathBuf {
        self.folder.join("termination-log")
    }

    /// What the process printed, both streams.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// The termination message of a run that ended with `exit_code`.
    pub(crate) fn message(&self, exit_code: i32, falls_back_to_log: LogFallback) -> Option<String> {
        let message = read_end(&self.termination_log(), MESSAGE_BYTES_MAX);
        match falls_back_to_log {
            LogFallback::OnError if message.is_none() && exit_code != 0 => {
                read_end(&self.log(), MESSAGE_FROM_LOG_BYTES_MAX)
            }
            LogFallback::OnError | LogFallback::Never => message,
        }
    }
}

/// Whether the end of the log stands in for a missing termination message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFallback {
    /// After an exit code other than 0.
    OnError,
    /// Not at all.
    Never,
}

/// Starts the process. It ends with the thread that called this, however that one ends; where it has namespaces of its own,
/// all its children end with it.
///
/// # Errors
/// A file cannot be made, or the machine refuses the process.
pub(crate) fn spawn(
    launch: Launch,
    run: &RunFolder,
    enclosure: &Enclosure,
) -> anyhow::Result<(Child, Process)> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    match enclosure {
        Enclosure::Namespaces(user) => enclosed(&mut command, launch, run, user)?,
        Enclosure::Rewrite => plain(&mut command, launch, run)?,
    }
    let log = File::create(run.log())?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true);
    let child = command.spawn().context("start setpriv (Debian's util-linux has it)")?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let pid = pid.context("the process ended while it was started")?;
    Ok((child, Process { pid, enclosure: enclosure.clone() }))
}

/// The exit code that a kubelet reports.
pub(crate) fn exit_code_of(status: ExitStatus) -> i32 {
    let by_signal = status.signal().map(|signal| 128 + signal);
    status.code().or(by_signal).unwrap_or(EXIT_CODE_KILLED)
}

impl Process {
    /// Sends SIGTERM to the container's first process alone, as a container runtime does.
    pub(crate) async fn terminate(&self) {
        match self.enclosure {
            Enclosure::Rewrite => self.signal(self.pid, Signal::TERM),
            Enclosure::Namespaces(_) => {
                for _ in 0..TERM_TRIES {
                    if let Some(first) = child_of(self.pid) {
                        return self.signal(first, Signal::TERM);
                    }
                    tokio::time::sleep(TERM_TRY_AGAIN_AFTER).await;
                }
            }
        }
    }

    /// Sends SIGKILL to the container's processes.
    pub(crate) fn kill(&self) {
        // The kernel kills everything in the namespaces when `unshare` goes; without them the group is all there is.
        if let Err(error) = kill_process_group(self.pid, Signal::KILL) {
            tracing::debug!(pid = self.pid.as_raw_nonzero(), %error, "process group has ended already");
        }
    }

    fn signal(&self, pid: Pid, signal: Signal) {
        if let Err(error) = kill_process(pid, signal) {
            tracing::debug!(pid = pid.as_raw_nonzero(), %error, "process has ended already");
        }
    }
}

fn enclosed(
    command: &mut Command,
    launch: Launch,
    run: &RunFolder,
    user: &[&str],
) -> anyhow::Result<()> {
    command.arg("unshare").args(user);
    command.args(["--mount", "--uts", "--pid", "--fork", "--kill-child=KILL", "--"]);
    command.args(["sh", "-c", ENTER_SCRIPT, "sh"]).arg(run.root());
    command.arg(launch.image_root.as_deref().unwrap_or_else(|| Path::new("")));
    command.args([&launch.hostname, &launch.work_dir, &launch.mounts.len().to_string()]);
    for mount in &launch.mounts {
        // A folder in a volume, as `subPath` names it, is made where it is missing.
        if !mount.source.exists() {
            fs::create_dir_all(&mount.source)?;
        }
        command.arg(&mount.source).arg(&mount.target).arg(match mount.access {
            Access::ReadWrite => "rw",
            Access::ReadOnly => "ro",
        });
    }
    command.args(launch.env.iter().map(|(name, value)| format!("{name}={value}")));
    command.args(&launch.argv);
    Ok(())
}

fn plain(command: &mut Command, launch: Launch, run: &RunFolder) -> anyhow::Result<()> {
    let mut launch = rewritten(launch, &run.root());
    for mount in &launch.mounts {
        if !mount.source.exists() {
            fs::create_dir_all(&mount.source)?;
        }
        symlink(&mount.source, &mount.target)
            .with_context(|| format!("link {} to its volume", mount.target))?;
    }
    if let (Some(image), Some(program)) = (&launch.image_root, launch.argv.first_mut()) {
        let in_image = image.join(program.trim_start_matches('/'));
        if in_image.exists() {
            *program = in_image.to_string_lossy().into_owned();
        }
    }
    command.args(["env", "-i", "-C", &launch.work_dir]);
    command.args(launch.env.iter().map(|(name, value)| format!("{name}={value}")));
    command.args(&launch.argv);
    Ok(())
}

/// The one child of `parent`. The kernel's list of children is an option that is often left out, so all processes are read.
fn child_of(parent: Pid) -> Option<Pid> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name in parentheses may hold anything, so the fields are counted from its end: state, then the parent.
        let (_, fields) = stat.rsplit_once(')')?;
        let ppid: i32 = fields.split_whitespace().nth(1)?.parse().ok()?;
        if ppid == parent.as_raw_nonzero().get() { Pid::from_raw(pid) } else { None }
    })
}

fn read_end(path: &Path, bytes_max: u64) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes_max))).ok()?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes).ok()?;
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(script: &str, mounts: Vec<super::super::launch::Mount>) -> Launch {
        Launch {
            argv: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            work_dir: "/".to_owned(),
            mounts,
            image_root: None,
            hostname: "web-2".to_owned(),
        }
    }

    async fn both_enclosures(folder: &Path) -> Vec<Enclosure> {
        let best = Enclosure::detect(folder).await;
        if best == Enclosure::Rewrite { vec![best] } else { vec![best, Enclosure::Rewrite] }
    }

    #[tokio::test]
    async fn a_process_finds_its_mounts_and_leaves_a_message() {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        fs::create_dir(&data).unwrap();
        for (number, enclosure) in both_enclosures(temp.path()).await.iter().enumerate() {
            let run = RunFolder::create(temp.path().join(number.to_string())).unwrap();
            let mount = |source: &Path, target: &str| super::super::launch::Mount {
                source: source.to_owned(),
                target: target.to_owned(),
                access: Access::ReadWrite,
            };
            let mounts = vec![
                mount(&data, "/mnt/standin/data"),
                mount(&run.termination_log(), "/dev/termination-log"),
            ];
            let script =
                "echo hello >/mnt/standin/data/file; echo -n done >/dev/termination-log; exit 3";
            let (mut child, _) = spawn(launch(script, mounts), &run, enclosure).unwrap();
            let code = exit_code_of(child.wait().await.unwrap());
            let log = fs::read_to_string(run.log()).unwrap();
            assert_eq!(code, 3, "{enclosure:?}: {log}");
            assert_eq!(run.message(3, LogFallback::Never).as_deref(), Some("done"));
            assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "hello\n");
            assert!(!Path::new("/mnt/standin").exists());
            fs::remove_file(data.join("file")).unwrap();
        }
    }

    #[tokio::test]
    async fn an_image_brings_its_own_files() {
        let temp = tempfile::tempdir().unwrap();
        let image = temp.path().join("image");
        fs::create_dir(&image).unwrap();
        let greet = image.join("greet");
        fs::copy("/bin/echo", &greet).unwrap();
        for (number, enclosure) in both_enclosures(temp.path()).await.iter().enumerate() {
            let run = RunFolder::create(temp.path().join(number.to_string())).unwrap();
            let mut greeting = launch("", Vec::new());
            greeting.argv = vec!["/greet".to_owned(), "hello".to_owned()];
            greeting.image_root = Some(image.clone());
            let (mut child, _) = spawn(greeting, &run, enclosure).unwrap();
            let code = exit_code_of(child.wait().await.unwrap());
            let log = fs::read_to_string(run.log()).unwrap();
            assert_eq!((code, log.as_str()), (0, "hello\n"), "{enclosure:?}");
        }
    }

    #[tokio::test]
    async fn term_reaches_the_first_process_and_kill_all() {
        let temp = tempfile::tempdir().unwrap();
        for (number, enclosure) in both_enclosures(temp.path()).await.iter().enumerate() {
            let run = RunFolder::create(temp.path().join(number.to_string())).unwrap();
            let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done";
            let (mut child, process) = spawn(launch(script, Vec::new()), &run, enclosure).unwrap();
            while !fs::read_to_string(run.log()).unwrap().contains("up") {
                tokio::time::sleep(TERM_TRY_AGAIN_AFTER).await;
            }
            process.terminate().await;
            assert_eq!(exit_code_of(child.wait().await.unwrap()), 0, "{enclosure:?}");
            let deaf = launch("trap '' TERM; sleep 100", Vec::new());
            let (mut child, process) = spawn(deaf, &run, enclosure).unwrap();
            process.kill();
            assert_eq!(exit_code_of(child.wait().await.unwrap()), EXIT_CODE_KILLED);
        }
    }

    #[test]
    fn a_message_falls_back_to_the_log_after_an_error_only() {
        let temp = tempfile::tempdir().unwrap();
        let run = RunFolder::create(temp.path().join("run")).unwrap();
        fs::write(run.log(), "x".repeat(3000) + "last words").unwrap();
        assert_eq!(run.message(1, LogFallback::Never), None);
        assert_eq!(run.message(0, LogFallback::OnError), None);
        let message = run.message(1, LogFallback::OnError).unwrap();
        assert!(message.ends_with("last words") && message.len() == 2048);
    }
}
