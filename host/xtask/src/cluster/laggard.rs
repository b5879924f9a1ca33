//! A second API server on the same etcd that learns of everything late, as one does whose watch of etcd is held up: what its watches show is
//! old, and what it reads from etcd itself is not.

mod delay;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::control_plane::{self, ApiServer, Endpoints};
use super::process::{Launcher, POLL, Part, tail};
use super::{Cluster, History, Lifetime, Nodes};
use delay::Delay;

/// How long it may take to come up: its own first look at everything is late, too.
const WITHIN: Duration = Duration::from_secs(180);

/// Its name among the parts of the cluster.
const LAGGARD: ApiServer =
    ApiServer { name: "kube-apiserver-behind", audit_log: "audit-behind.log" };

/// An API server that is behind. It ends when this is dropped, or with its cluster.
#[derive(Debug)]
pub struct Laggard {
    part: Part,
    kubeconfig: PathBuf,
    _delay: Delay,
}

impl Laggard {
    /// Starts one that learns of each change this much later, and waits until it answers.
    ///
    /// # Errors
    /// Where the cluster has a node with a kubelet, whose etcd cannot be reached from here, or the API server does not come up.
    pub fn start(cluster: &Cluster, behind: Duration) -> Result<Self> {
        let Some(etcd_port) = cluster.etcd_port else {
            bail!(
                "only a cluster of stand-in nodes that was started here has an etcd within reach"
            );
        };
        let delay = Delay::start((Ipv4Addr::LOCALHOST, etcd_port).into(), behind)?;
        let at = Endpoints {
            bind: "127.0.0.1",
            advertise: "127.0.0.1",
            api_port: free_port()?,
            etcd_port: delay.address().port(),
            // It is etcd's own, and the API server does not ask for it.
            etcd_peer_port: 0,
        };
        let layout = &cluster.layout;
        let launcher = Launcher::Plain(Lifetime::Starter);
        let part = control_plane::start_api_server(
            launcher,
            layout,
            &at,
            Nodes::StandInOnly,
            &LAGGARD,
            &History::AsUsual,
        )?;
        let server = format!("https://127.0.0.1:{}", at.api_port);
        let kubeconfig = kubeconfig_for(cluster, &server)?;
        let mut laggard = Self { part, kubeconfig, _delay: delay };
        laggard.wait(cluster)?;
        Ok(laggard)
    }

    /// The kubeconfig of the admin, who may do anything.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    fn wait(&mut self, cluster: &Cluster) -> Result<()> {
        let end = Instant::now() + WITHIN;
        let log = cluster.layout.log(LAGGARD.name);
        loop {
            let mut command = cluster.kubectl();
            command.env("KUBECONFIG", &self.kubeconfig).args(["get", "--raw", "/readyz"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if command.status().is_ok_and(|status| status.success()) {
                return Ok(());
            }
            let ended = self.part.child.try_wait()?;
            ensure!(ended.is_none(), "{} ended: {}", LAGGARD.name, tail(&log));
            ensure!(Instant::now() < end, "{} does not come up: {}", LAGGARD.name, tail(&log));
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Laggard {
    fn drop(&mut self) {
        // Its keeper ends it when the life line is cut, and is dead before it is waited for where the cluster has ended.
        drop(self.part.child.stdin.take());
        let _ = self.part.child.wait();
    }
}

/// The admin's kubeconfig, for another address.
fn kubeconfig_for(cluster: &Cluster, server: &str) -> Result<PathBuf> {
    let view = cluster
        .kubectl()
        .args(["config", "view", "--raw", "--minify", "-o", "json"])
        .output()
        .context("reading the admin's kubeconfig")?;
    let mut kubeconfig: Value = serde_json::from_slice(&view.stdout)?;
    kubeconfig["clusters"][0]["cluster"]["server"] = json!(server);
    let path = cluster.layout.dir.join("behind.kubeconfig");
    fs::write(&path, kubeconfig.to_string())
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

/// A port that nothing listens on; that another takes it before the API server does is seen by its end.
fn free_port() -> Result<u16> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok(TcpListener::bind(any).context("looking for a free port")?.local_addr()?.port())
}
