//! The host as a process that can be killed and started again.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use xtask::proxy::Proxy;

use crate::ground::Ground;

/// Where the hosts answer for their health, each at an address of its own.
const HEALTH_PORT: u16 = 8080;

/// How long a request of these hosts may take and a watch be silent, in seconds: where a call hangs the run waits for no longer than this.
const PATIENCE_SECS: &str = "5";

/// How many of the hosts' last lines are shown where a run fails.
const LINES_SHOWN: usize = 60;

/// A host that runs. It is killed when this is dropped.
pub(crate) struct Host {
    child: Child,
    address: SocketAddr,
}

impl Host {
    /// Starts a host for a namespace, behind a proxy. What it logs goes after what those before it logged.
    pub(crate) fn start(ground: &dyn Ground, proxy: &Proxy, namespace: &str) -> Result<Self> {
        let folder = folder(namespace);
        fs::create_dir_all(&folder)?;
        let address = address();
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "sweep", "cluster": { "server": proxy.server() } }],
            "users": [{ "name": "host", "user": ground.host_user() }],
            "contexts": [{ "name": "sweep", "context": { "cluster": "sweep", "user": "host" } }],
            "current-context": "sweep",
        });
        let config = folder.join(format!("{}.kubeconfig", address.ip()));
        fs::write(&config, kubeconfig.to_string())?;
        let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log"))?;
        let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["run", "--no-lease", "--namespace", namespace])
            .args(["--listen", &address.to_string()])
            .args(["--request-deadline-secs", PATIENCE_SECS, "--watch-secs", PATIENCE_SECS])
            .args(ground.host_flags())
            .env("KUBECONFIG", &config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting the host")?;
        Ok(Self { child, address })
    }

    /// Whether the host answers and calls itself ready.
    ///
    /// Fails where it has ended by itself.
    pub(crate) fn is_ready(&mut self) -> Result<bool> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "the host ended by itself: {ended:?}");
        Ok(self.ask("/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")))
    }

    fn ask(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of what the hosts of a namespace logged.
pub(crate) fn log(namespace: &str) -> String {
    let log = fs::read_to_string(folder(namespace).join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

/// Forgets the hosts of a namespace.
pub(crate) fn forget(namespace: &str) {
    // There is nothing to forget where the folder is not there.
    let _ = fs::remove_dir_all(folder(namespace));
}

fn folder(namespace: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("sweep").join(namespace)
}

/// An address of the loopback that no other host of this process has, and hardly one of another process: a port that was found free could be taken by
/// the time that the host listens.
fn address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let [.., process] = std::process::id().to_be_bytes();
    (Ipv4Addr::new(127, process | 0x40, high, low), HEALTH_PORT).into()
}
