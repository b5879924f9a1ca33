//! Two hosts as processes of this machine, killed, stopped and started again by the storm's own dice.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::dice::Dice;
use super::stage::Stage;
use crate::bench::host::child_of;
use crate::bench::stage::HOST;
use crate::cluster;

/// What the dice are for.
const PURPOSE: u64 = 2;

/// How long the token of a host is good for, in seconds: longer than any storm.
const TOKEN_SECS: i64 = 12 * 3_600;

/// How often is looked whether a host has ended by itself, as one does that lost its lease.
const LOOK: Duration = Duration::from_millis(200);

/// How long a keeper may take to start its host.
const STARTED_WITHIN: Duration = Duration::from_secs(20);

/// How long a host may take until it watches the cluster, on a machine that builds something else at the same time.
const WATCHES_WITHIN: Duration = Duration::from_secs(60);

/// What a host logs once every watch has delivered its first list.
const WATCHES: &str = "\"watching\"";

/// The lease of a storm: as long as a busy API server needs, and shorter than the longest time that a host stands still.
const LEASE: [&str; 3] =
    ["--lease-duration-secs=8", "--lease-renew-deadline-secs=5", "--lease-retry-secs=1"];

/// How long a host that watches is left alone before the next blow, in milliseconds: it has to get on.
const CALM_MS: (u64, u64) = (1_500, 8_000);

/// How long a host stands still, in milliseconds: below and above the 3 s that a request may take, and the lease.
const STILL_MS: (u64, u64) = (20, 10_000);

/// In how many of a hundred cases a host stands still for a short while only, as most of what it does is done in no time.
const SHORT_PERCENT: u64 = 70;

/// How many times shorter that is.
const SHORT_BY: u64 = 10;

/// Whether a host takes the lease, and waits where another has it. No safety rests on it: hosts with and without may act side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lease {
    Taken,
    None,
}

/// What the hosts went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Blows {
    pub(super) killed: u32,
    pub(super) stopped: u32,
    /// How often one ended by itself, since it lost its lease.
    pub(super) ended: u32,
}

/// Runs the host of this number until `is_over`, with one blow after the other.
///
/// # Errors
/// Where it cannot be started.
pub(super) async fn rage(
    stage: Arc<Stage>,
    number: u64,
    seed: u64,
    mut is_over: watch::Receiver<bool>,
    binary: PathBuf,
) -> Result<Blows> {
    let mut dice = Dice::new(seed, PURPOSE + number);
    let mut blows = Blows::default();
    loop {
        let name = format!("host-{number}");
        let lease = if dice.percent(50) { Lease::Taken } else { Lease::None };
        let mut host = Host::start(&stage, &binary, &name, lease).await?;
        loop {
            let ms = dice.between(CALM_MS.0, CALM_MS.1);
            let until = Instant::now() + Duration::from_millis(ms);
            let calm = tokio::select! {
                calm = host.calm(until) => calm?,
                _ = is_over.wait_for(|is_over| *is_over) => return Ok(blows),
            };
            if calm == Calm::Ended {
                blows.ended += 1;
                break;
            }
            if dice.percent(50) {
                blows.killed += 1;
                break;
            }
            blows.stopped += 1;
            host.signal(Signal::STOP)?;
            let is_short = dice.percent(SHORT_PERCENT);
            let longest = if is_short { STILL_MS.1 / SHORT_BY } else { STILL_MS.1 };
            sleep(Duration::from_millis(dice.between(STILL_MS.0, longest))).await;
            host.signal(Signal::CONT)?;
        }
        drop(host);
    }
}

/// How long a host may still do what it began before it was stopped: nothing is judged before that has passed.
pub(super) const fn longest_still() -> Duration {
    Duration::from_millis(STILL_MS.1)
}

/// How a host came through a calm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calm {
    /// It runs.
    Passed,
    /// It has ended.
    Ended,
}

/// One life of a host.
struct Host {
    keeper: Child,
    pid: Pid,
}

impl Host {
    async fn start(stage: &Stage, binary: &Path, name: &str, lease: Lease) -> Result<Self> {
        let kubeconfig = credential(stage, name).await?;
        let told = stage.told();
        let mut command = cluster::kept(binary);
        command.args(&told.arguments).arg("--log-format=json").envs(told.environment.clone());
        match lease {
            Lease::Taken => command.args(LEASE),
            Lease::None => command.arg("--no-lease"),
        };
        command.env("POD_NAME", name).env("HOSTNAME", name);
        command.env("KUBECONFIG", kubeconfig).env("TIDEGATE_LOG", "info");
        let log = stage.file(&format!("{name}.log"));
        let told_before = fs::metadata(&log).map(|it| it.len()).unwrap_or_default();
        let output = File::options().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("writing {}", log.display()))?;
        command.stdout(output.try_clone()?).stderr(output);
        let mut keeper = command.spawn().context("starting a host")?;
        let end = Instant::now() + STARTED_WITHIN;
        let pid = loop {
            match child_of(keeper.id()) {
                Ok(pid) => break pid,
                Err(error) if Instant::now() > end => {
                    // It keeps nothing, and goes.
                    let _ = keeper.kill();
                    let _ = keeper.wait();
                    return Err(error.context("a keeper does not start its host"));
                }
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        };
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process number")?;
        let mut host = Self { keeper, pid };
        host.until_it_watches(&log, told_before).await?;
        Ok(host)
    }

    /// One that ends before is seen to have ended in its first calm.
    async fn until_it_watches(&mut self, log: &Path, told_before: u64) -> Result<()> {
        let end = Instant::now() + WATCHES_WITHIN;
        let from = usize::try_from(told_before)?;
        while self.keeper.try_wait()?.is_none() {
            let text = fs::read(log).with_context(|| format!("reading {}", log.display()))?;
            let told = String::from_utf8_lossy(text.get(from..).unwrap_or_default());
            if told.contains(WATCHES) {
                break;
            }
            ensure!(
                Instant::now() < end,
                "a host does not watch after {} s: {told}",
                WATCHES_WITHIN.as_secs()
            );
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Waits, unless the host ends.
    async fn calm(&mut self, until: Instant) -> Result<Calm> {
        while Instant::now() < until {
            if self.keeper.try_wait()?.is_some() {
                return Ok(Calm::Ended);
            }
            sleep_until(until.min(Instant::now() + LOOK)).await;
        }
        Ok(Calm::Passed)
    }

    /// A host that has ended just now takes no signal, and needs none.
    fn signal(&self, signal: Signal) -> Result<()> {
        match kill_process(self.pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error).context("sending a signal to a host"),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // SIGKILL, and the keeper goes with what it kept; it is this process's own child, so that the number is still its own.
        let _ = self.signal(Signal::KILL);
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// A kubeconfig with a token of its own, by which the API server's record tells one life of a host from another.
async fn credential(stage: &Stage, name: &str) -> Result<PathBuf> {
    let accounts: Api<ServiceAccount> = Api::namespaced(stage.client(), HOST);
    let spec =
        TokenRequestSpec { expiration_seconds: Some(TOKEN_SECS), ..TokenRequestSpec::default() };
    let wanted = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let made = accounts.create_token_request(HOST, &PostParams::default(), &wanted).await;
    let made = made.context("asking for a host's token")?;
    let token = made.status.map(|status| status.token).context("a token that was made is empty")?;
    let text = fs::read_to_string(stage.kubeconfig())?;
    let mut kubeconfig: Value = serde_json::from_str(&text)?;
    kubeconfig["users"][0]["user"] = json!({ "token": token });
    let path = stage.file(&format!("{name}.kubeconfig"));
    fs::write(&path, kubeconfig.to_string())
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
