//! Compiles components in a child process.
//!
//! Fuel, epochs and memory limits hold nothing back while the compiler works, and a component of 35 kB can make it take
//! gigabytes. So the host runs itself again as `tidegate compile`, which limits itself before it reads anything, and loads what
//! comes back. All of the compiler's memory goes with the child.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::engine::{Role, engine};
use super::fault::LoadError;
use super::log::Escaped;
use super::unpack::COMPONENT_MAX_BYTES;

/// The hidden subcommand that the child runs.
pub const COMPILE_SUBCOMMAND: &str = "compile";

/// Bytes of address space of the child: every honest policy compiles in half of it, and it fits beside the host in a
/// container of 512 MiB.
pub const ADDRESS_SPACE_BYTES: u64 = 384 * 1024 * 1024;

/// Seconds of processor time of the child. An honest policy takes less than one, an interpreter that carries a language ten.
pub const CPU_SECS: u64 = 20;

/// Seconds of wall time after which the child is killed, whatever it waits for. Where a sixth of a processor is all that there is for it, on a busy node
/// or under a limit of the container, it still has the whole of [`CPU_SECS`].
const WALL_SECS: u64 = 120;

/// How far the child stands back for the host, whose verdicts are not to wait for a compilation: at this niceness it gets a tenth of a processor that
/// both want, and all of one that nobody else does.
const NICENESS: i32 = 10;

/// Bytes of an artifact, which is about three times its component.
const ARTIFACT_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Bytes of a compiler's message; it goes into an event.
const MESSAGE_MAX_BYTES: usize = 768;

/// Bytes of what the child tells of its cost: two numbers.
const COST_MAX_BYTES: u64 = 64;

/// The child's exit code where the compiler refused the component; its output is the reason.
const EXIT_REFUSED: u8 = 2;

/// The child's exit code where it could not work; its output is the reason.
const EXIT_UNABLE: u8 = 3;

/// A limit of the compilation that a component broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The compiler's memory.
    Memory,
    /// The compiler's processor time.
    CpuTime,
    /// The time by the clock.
    WallTime,
    /// The size of what comes out.
    Artifact,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => {
                write!(f, "more than {} MiB of memory", ADDRESS_SPACE_BYTES / (1024 * 1024))
            }
            Self::CpuTime => write!(f, "more than {CPU_SECS} s of processor time"),
            Self::WallTime => write!(f, "more than {WALL_SECS} s"),
            Self::Artifact => {
                write!(f, "more than {} MiB of machine code", ARTIFACT_MAX_BYTES / (1024 * 1024))
            }
        }
    }
}

/// What a compilation took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Milliseconds of processor time.
    pub cpu_ms: u64,
    /// The most bytes of address space, of [`ADDRESS_SPACE_BYTES`].
    pub address_space_bytes: u64,
}

/// Compiles by running an executable whose hidden subcommand is [`compile_child_main`].
#[derive(Clone, Debug)]
pub struct Compiler {
    exe: PathBuf,
}

impl Compiler {
    /// Compiles with the executable at `exe`, which must be of the same build as this process.
    #[must_use]
    pub fn new(exe: PathBuf) -> Self {
        Self { exe }
    }

    /// Compiles with the executable that this process runs, even if its file has been replaced since.
    #[must_use]
    pub fn this_process() -> Self {
        Self::new(PathBuf::from("/proc/self/exe"))
    }

    /// Gives back the artifact of a component. The child has ended when this returns; where the future is dropped it is killed.
    ///
    /// # Errors
    /// [`LoadError::CompileLimits`], [`LoadError::Compile`] where the component is to blame, [`LoadError::Host`] where it is not.
    pub async fn compile(&self, component: &[u8]) -> Result<Vec<u8>, LoadError> {
        self.measured(component).await.map(|(artifact, _)| artifact)
    }

    /// The same, with what it took.
    ///
    /// # Errors
    /// As for [`Self::compile`].
    pub async fn measured(&self, component: &[u8]) -> Result<(Vec<u8>, Cost), LoadError> {
        let mut child = self.spawn()?;
        match timeout(Duration::from_secs(WALL_SECS), exchange(&mut child, component)).await {
            Ok(Ok(Exchanged { output, .. })) if output.len() > ARTIFACT_MAX_BYTES => {
                Err(LoadError::CompileLimits(Limit::Artifact))
            }
            Ok(Ok(Exchanged { output, cost, status })) => {
                outcome(output, status).map(|artifact| (artifact, cost))
            }
            Ok(Err(error)) => Err(unable(error)),
            Err(_elapsed) => {
                child.kill().await.map_err(unable)?;
                Err(LoadError::CompileLimits(Limit::WallTime))
            }
        }
    }

    /// Every file that this process opens is closed on exec, so the child has its three pipes and nothing else.
    fn spawn(&self) -> Result<Child, LoadError> {
        Command::new(&self.exe)
            .arg(COMPILE_SUBCOMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| LoadError::Host(format!("cannot run {}: {error}", self.exe.display())))
    }
}

/// What `tidegate compile` does: reads a component from standard input and writes its artifact to standard output, under
/// limits that it sets before it reads.
#[must_use]
pub fn compile_child_main() -> ExitCode {
    let (code, output) = match compile_stdin() {
        Ok(artifact) => (ExitCode::SUCCESS, artifact),
        Err(ChildError::Refused(reason)) => (ExitCode::from(EXIT_REFUSED), reason.into_bytes()),
        Err(ChildError::Unable(reason)) => (ExitCode::from(EXIT_UNABLE), reason.into_bytes()),
    };
    // It goes first: it fits into the pipe whatever the parent reads meanwhile, and is not missed where it cannot be told.
    let _nobody_asks = cost().and_then(|cost| {
        writeln!(io::stderr().lock(), "{} {}", cost.cpu_ms, cost.address_space_bytes)
    });
    let mut stdout = io::stdout().lock();
    match stdout.write_all(&output).and_then(|()| stdout.flush()) {
        Ok(()) => code,
        Err(_parent_is_gone) => ExitCode::from(EXIT_UNABLE),
    }
}

enum ChildError {
    Refused(String),
    Unable(String),
}

fn compile_stdin() -> Result<Vec<u8>, ChildError> {
    lower_limits().map_err(|error| ChildError::Unable(format!("cannot set limits: {error}")))?;
    let mut component = Vec::new();
    io::stdin()
        .lock()
        .take(COMPONENT_MAX_BYTES as u64)
        .read_to_end(&mut component)
        .map_err(|error| ChildError::Unable(format!("cannot read the component: {error}")))?;
    let engine = engine(Role::Compile).map_err(|error| ChildError::Unable(format!("{error:#}")))?;
    engine
        .precompile_component(&component)
        .map_err(|error| ChildError::Refused(format!("{error:#}")))
}

fn lower_limits() -> io::Result<()> {
    for (resource, most, hard) in [
        (Resource::Core, 0, 0),
        (Resource::As, ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES),
        // At the soft limit comes a signal that tells of it; a second later comes one that cannot be told from others.
        (Resource::Cpu, CPU_SECS, CPU_SECS + 1),
    ] {
        let set = getrlimit(resource);
        let lower = |limit: Option<u64>, most: u64| Some(limit.map_or(most, |set| set.min(most)));
        let limit = Rlimit { current: lower(set.maximum, most), maximum: lower(set.maximum, hard) };
        setrlimit(resource, limit)?;
    }
    nice(NICENESS)?;
    Ok(())
}

/// What this process took so far.
fn cost() -> io::Result<Cost> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let millis = time.tv_sec * 1_000 + time.tv_nsec / 1_000_000;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(Cost {
        cpu_ms: u64::try_from(millis).unwrap_or_default(),
        address_space_bytes: kib.unwrap_or_default() * 1024,
    })
}

/// What a child gave back.
struct Exchanged {
    output: Vec<u8>,
    cost: Cost,
    status: ExitStatus,
}

async fn exchange(child: &mut Child, component: &[u8]) -> io::Result<Exchanged> {
    let missing = || io::Error::other("the child has no pipe");
    let mut stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    // A child that dies early breaks the pipe; how it ended says more than that.
    let _broken_pipe = stdin.write_all(component).await;
    drop(stdin);
    let mut output = Vec::new();
    // Past the cap the pipe is closed, on which the child ends.
    stdout.take(ARTIFACT_MAX_BYTES as u64 + 1).read_to_end(&mut output).await?;
    let mut told = String::new();
    // A child that was ended told nothing.
    let _told_nothing = stderr.take(COST_MAX_BYTES).read_to_string(&mut told).await;
    let mut numbers = told.split_whitespace().filter_map(|number| number.parse().ok());
    let cost = Cost {
        cpu_ms: numbers.next().unwrap_or_default(),
        address_space_bytes: numbers.next().unwrap_or_default(),
    };
    Ok(Exchanged { output, cost, status: child.wait().await? })
}

fn outcome(output: Vec<u8>, status: ExitStatus) -> Result<Vec<u8>, LoadError> {
    let refused = Some(i32::from(EXIT_REFUSED));
    let said =
        |output: &[u8]| Escaped::of(&String::from_utf8_lossy(output), MESSAGE_MAX_BYTES).text;
    if status.success() {
        return Ok(output);
    }
    if status.code() == refused {
        return Err(LoadError::Compile(said(&output)));
    }
    match status.signal().and_then(rustix::process::Signal::from_named_raw) {
        Some(rustix::process::Signal::XCPU) => Err(LoadError::CompileLimits(Limit::CpuTime)),
        // Rust aborts where memory is refused, and a stack that cannot grow ends in a fault.
        Some(
            rustix::process::Signal::ABORT
            | rustix::process::Signal::SEGV
            | rustix::process::Signal::BUS,
        ) => Err(LoadError::CompileLimits(Limit::Memory)),
        Some(_) | None => {
            Err(LoadError::Host(format!("the compiler ended with {status}: {}", said(&output))))
        }
    }
}

fn unable(error: io::Error) -> LoadError {
    LoadError::Host(format!("the compiler could not be run: {error}"))
}
