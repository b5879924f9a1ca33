//! The host as a process of this machine, outside the cluster.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::site::Site;
use crate::wait::{Look, SOON, eventually};
use crate::world::{DEPLOYMENT, World, output};
use xtask::proxy::Proxy;

/// How long the host may take to end after SIGTERM.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// The host as a process. It is killed when this is dropped.
pub(crate) struct HostProcess {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl HostProcess {
    /// Starts a host for the namespace of the test, with the account and the library of the one in the cluster, behind a proxy; waits
    /// until it is ready.
    pub(crate) fn behind(proxy: &Proxy, site: &Site<'_>, flags: &[&str]) -> Result<Self> {
        let flags = flags.iter().chain(&["--no-lease"]).map(|flag| (*flag).to_owned());
        Self::in_turn(proxy, site, &flags.collect::<Vec<_>>())
    }

    /// The same for another program than the host that is tested.
    pub(crate) fn of(program: &Path, proxy: &Proxy, site: &Site<'_>) -> Result<Self> {
        Self::ready(program, proxy, site, &["--no-lease".to_owned()])
    }

    /// The same for a host that acts only while it holds the lease that the flags name.
    pub(crate) fn in_turn(proxy: &Proxy, site: &Site<'_>, flags: &[String]) -> Result<Self> {
        Self::ready(tested(), proxy, site, flags)
    }

    fn ready(program: &Path, proxy: &Proxy, site: &Site<'_>, flags: &[String]) -> Result<Self> {
        let mut all = library(site.world)?;
        all.extend_from_slice(flags);
        let mut kubeconfig = kubeconfig(site.world)?;
        kubeconfig["clusters"][0]["cluster"] = json!({ "server": proxy.server() });
        let mut host = Self::spawn(program, site, &kubeconfig, &all)?;
        host.answers("/readyz", 200)?;
        Ok(host)
    }

    /// Starts a host for the namespace of the test.
    pub(crate) fn start(site: &Site<'_>, kubeconfig: &Value) -> Result<Self> {
        Self::spawn(tested(), site, kubeconfig, &["--no-lease".to_owned()])
    }

    fn spawn(
        program: &Path,
        site: &Site<'_>,
        kubeconfig: &Value,
        flags: &[String],
    ) -> Result<Self> {
        // The port is free again when the listener is dropped, and few others ask for one just now.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = folder(&site.namespace);
        fs::create_dir_all(&folder)?;
        let port = address.port();
        let config = folder.join(format!("{port}.kubeconfig"));
        let log = folder.join(format!("{port}.log"));
        fs::write(&config, kubeconfig.to_string())?;
        let child = Command::new(program)
            .args(["run", "--namespace", &site.namespace])
            .args(["--listen", &address.to_string()])
            .args(flags)
            .env("KUBECONFIG", &config)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&log)?)
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, address, log })
    }

    /// Waits until the host answers with this status.
    pub(crate) fn answers(&mut self, path: &str, status: u16) -> Result<()> {
        eventually(&format!("{path} answers {status}"), SOON, || {
            if let Some(ended) = self.child.try_wait()? {
                bail!("the host ended with {ended}: {}", self.log());
            }
            Ok(match self.ask(path) {
                Ok(answer) if answer.starts_with(&format!("HTTP/1.1 {status} ")) => Look::Found(()),
                other => Look::NotYet(format!("{other:?}; {}", self.log())),
            })
        })
    }

    /// Sends SIGTERM and waits: the host ends in time, and calls that a success.
    pub(crate) fn ends_in_time(mut self) -> Result<()> {
        let told = Instant::now();
        self.signal("TERM")?;
        let ended: ExitStatus = loop {
            match self.child.try_wait()? {
                Some(ended) => break ended,
                None if told.elapsed() > ENDS_WITHIN => {
                    bail!("the host still ran {ENDS_WITHIN:?} after SIGTERM: {}", self.log())
                }
                None => sleep(Duration::from_millis(10)),
            }
        };
        ensure!(ended.success(), "the host ended with {ended}: {}", self.log());
        Ok(())
    }

    /// Stops the process where it stands, until it is told to go on.
    pub(crate) fn stands_still(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets a process go on that stands still.
    pub(crate) fn goes_on(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// Waits until the process has ended though nobody told it to, which it calls a failure.
    pub(crate) fn ends_by_itself(mut self) -> Result<()> {
        let ended = eventually("the host ends by itself", SOON, || {
            Ok(self.child.try_wait()?.map_or_else(|| Look::NotYet(self.log()), Look::Found))
        })?;
        ensure!(!ended.success(), "the host ended with {ended}: {}", self.log());
        Ok(())
    }

    /// Whether the process has ended, by itself or killed.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    fn signal(&self, signal: &str) -> Result<()> {
        output(Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]))
            .map(drop)
    }

    /// Kills the host where it stands, as a machine that fails does.
    pub(crate) fn crash(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn ask(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).context("its log").unwrap_or_else(|error| error.to_string())
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A kubeconfig with the account of the host in the cluster.
pub(crate) fn kubeconfig(world: &World) -> Result<Value> {
    let token = world.kubectl(&["create", "token", "tidegate", "-n", "tidegate"])?;
    let cluster = world.kubectl(&["config", "view", "--raw", "--minify", "-o", "json"])?;
    let mut kubeconfig: Value = serde_json::from_str(&cluster)?;
    kubeconfig["users"][0]["user"] = json!({ "token": token.trim() });
    Ok(kubeconfig)
}

/// What the hosts of a test logged, oldest first; empty where none ran outside the cluster.
pub(crate) fn logs(namespace: &str) -> String {
    let found = fs::read_dir(folder(namespace)).into_iter().flatten().flatten();
    let mut logs: Vec<_> = found
        .filter(|entry| entry.path().extension().is_some_and(|kind| kind == "log"))
        .map(|entry| (entry.metadata().and_then(|it| it.created()).ok(), entry.path()))
        .collect();
    logs.sort();
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    logs.iter().map(|(_, path)| format!("{}:\n{}", path.display(), text(path))).collect()
}

/// Forgets the hosts that an earlier run of the test had.
pub(crate) fn forget(namespace: &str) {
    // There is nothing to forget where the folder is not there.
    let _ = fs::remove_dir_all(folder(namespace));
}

/// The host that is tested.
fn tested() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tidegate"))
}

fn folder(namespace: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(namespace)
}

/// The policies that the host in the cluster was given, as its own arguments.
fn library(world: &World) -> Result<Vec<String>> {
    let deployment = world.api.get(DEPLOYMENT)?.context("the host is not installed")?;
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    let arguments = arguments.as_array().context("the host has no arguments")?;
    let texts = arguments.iter().filter_map(Value::as_str);
    Ok(texts.filter(|text| text.starts_with("--library=")).map(str::to_owned).collect())
}
