//! A real Kubernetes cluster of one machine, for the demo and the tests.
//!
//! Control plane and, where the machine can run one, a node with a real kubelet and containerd. All
//! of it is built from Go modules once and kept under `target/cluster`.

mod binaries;
mod cgroups;
mod command;
mod control_plane;
mod credentials;
mod laggard;
mod layout;
mod namespaces;
mod node;
mod obstacle;
mod packages;
mod process;
mod readiness;
mod record;
mod start;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use layout::Layout;
use namespaces::Namespaces;
use process::Part;
use record::Record;

pub use command::{Args, run};
pub use laggard::Laggard;
pub use obstacle::kubelet_obstacle;

/// The address of the node, and of the API server for pods.
const NODE_ADDRESS: &str = "10.88.0.1";

/// Which nodes a cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nodes {
    /// One with a real kubelet; a stand-in node may be added.
    Kubelet,
    /// None but the stand-in nodes that are added: only the control plane runs, on loopback
    /// addresses and without root.
    StandInOnly,
}

/// How long a cluster lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the [`Cluster`] that was started, and never longer than this process, even where
    /// that is killed.
    Starter,
    /// Until [`down`] is called, by whatever process.
    UntilDown,
}

/// How many requests controller manager and scheduler may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientLimits {
    /// 20 and 50 a second, as clusters have it: with hundreds of sets its garbage collector falls behind.
    Default,
    /// 500 a second each, for tests that measure something else.
    Raised,
}

/// What the control plane remembers of its past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum History {
    /// What clusters do: a few minutes of it, and of each request who asked for what.
    AsUsual,
    /// Every version of every object, as JSON; of the requests those of one user alone, and of its deletions the answers.
    Kept {
        /// The user's name, as the API server knows it.
        of: String,
    },
}

/// How a cluster is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The state folder. Two clusters with different folders can run at once.
    pub dir: PathBuf,
    /// Which nodes it has.
    pub nodes: Nodes,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// How many requests controller manager and scheduler may send.
    pub client_limits: ClientLimits,
    /// What the control plane remembers of its past.
    pub history: History,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: default_dir(),
            nodes: Nodes::Kubelet,
            lifetime: Lifetime::Starter,
            client_limits: ClientLimits::Default,
            history: History::AsUsual,
        }
    }
}

/// The state folder of `cargo xtask cluster up`.
pub fn default_dir() -> PathBuf {
    layout::home().join("run")
}

/// A cluster that runs.
#[derive(Debug)]
pub struct Cluster {
    layout: Layout,
    record: Record,
    kubeconfig: PathBuf,
    audit_log: PathBuf,
    owned: Owned,
    parts: Vec<Part>,
    namespaces: Option<Namespaces>,
    /// Where etcd is asked, where that is an address of this machine.
    etcd_port: Option<u16>,
}

/// Whether the cluster ends with its [`Cluster`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owned {
    Yes,
    No,
}

impl Cluster {
    /// Builds what is missing, cleans up what a dead cluster left in the state folder, and starts a
    /// cluster there.
    ///
    /// When it succeeds the API server answers and, with [`Nodes::Kubelet`], the node is ready,
    /// pods can resolve names of the cluster and claims get volumes. When it fails nothing runs,
    /// and the error names the part and shows the end of its log. It fails too where a cluster runs
    /// from that folder, or where the machine cannot run a kubelet.
    pub fn start(options: &Options) -> Result<Self> {
        start::start(options)
    }

    /// The cluster that runs from a state folder, if there is one.
    ///
    /// It does not end with the [`Cluster`] that is returned, but as whoever started it said.
    pub fn attach(dir: &Path) -> Result<Option<Self>> {
        let dir = std::path::absolute(dir)?;
        let record = Record::read(&dir)?.filter(|record| record.running().is_some());
        let Some(record) = record else {
            return Ok(None);
        };
        let layout = Layout::of(&dir, record.nodes);
        Ok(Some(Self::assemble(layout, record, Owned::No, Vec::new(), None)))
    }

    /// The kubeconfig of the admin, who may do anything.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A `kubectl` that talks to this cluster as the admin.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(layout::binaries().join("kubectl"));
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.layout.dir.join("kubectl"));
        command
    }

    /// The audit log: a JSON object a line for each request that was answered, without its body,
    /// and for each watch that began.
    pub fn audit_log(&self) -> &Path {
        &self.audit_log
    }

    /// Where this machine reaches etcd: that of a cluster that this process started, with [`Nodes::StandInOnly`].
    pub fn etcd(&self) -> Option<SocketAddr> {
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, self.etcd_port?)))
    }

    /// The address of the API server, such as `https://198.18.88.2:6443`.
    pub fn server(&self) -> &str {
        &self.record.server
    }

    /// Which nodes it was started with.
    pub fn nodes(&self) -> Nodes {
        self.record.nodes
    }

    /// Where the folder lies on this machine that a volume's `spec.hostPath.path` names.
    pub fn volume_folder(&self, host_path: &str) -> PathBuf {
        match self.record.nodes {
            Nodes::Kubelet => self.layout.dir.join(host_path.trim_start_matches('/')),
            Nodes::StandInOnly => PathBuf::from(host_path),
        }
    }

    /// Gives the node the image of an OCI archive. When it succeeds pods can use it, with
    /// `imagePullPolicy: IfNotPresent`.
    ///
    /// Fails where the archive cannot be read, or where the cluster has no node with a kubelet.
    pub fn load_image(&self, archive: &Path) -> Result<()> {
        match (self.record.nodes, self.record.holders.first()) {
            (Nodes::Kubelet, Some(init)) => node::import_image(&self.layout, init.pid, archive),
            (Nodes::Kubelet | Nodes::StandInOnly, _) => {
                bail!(
                    "{} cannot be loaded: the cluster has no node with a kubelet",
                    archive.display()
                )
            }
        }
    }

    /// Ends the cluster.
    ///
    /// When it succeeds nothing of it is left but its logs in the state folder.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn assemble(
        layout: Layout,
        record: Record,
        owned: Owned,
        parts: Vec<Part>,
        namespaces: Option<Namespaces>,
    ) -> Self {
        let (kubeconfig, audit_log) = (layout.kubeconfig(), layout.audit_log());
        let etcd_port = None;
        Self { layout, record, kubeconfig, audit_log, owned, parts, namespaces, etcd_port }
    }

    fn end(&mut self) -> Result<()> {
        self.owned = Owned::No;
        let cleaned = record::clean(&self.layout.dir);
        // What was killed is still listed as a dead child until its end is taken note of.
        let starter = self.namespaces.as_mut().map(|namespaces| &mut namespaces.starter);
        for child in self.parts.iter_mut().map(|part| &mut part.child).chain(starter) {
            let _ = child.wait();
        }
        self.parts.clear();
        self.namespaces = None;
        cleaned
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.owned == Owned::Yes
            && let Err(error) = self.end()
        {
            crate::progress::say(format_args!("the cluster did not end cleanly: {error:#}"));
        }
    }
}

/// A command that runs `program` under a keeper: it ends with this process, however that one ends.
///
/// The keepers are there once a cluster was started. The [`Command`]'s standard input is the keeper's life line: it is left alone.
pub(crate) fn kept(program: &Path) -> Command {
    let mut command = process::keeper(Lifetime::Starter);
    command.arg(program);
    command
}

/// Ends the cluster that runs from a state folder, and cleans up what one that is dead left there.
///
/// When it succeeds nothing of it is left but its logs. A folder that no cluster was started from
/// is left as it is.
pub fn down(dir: &Path) -> Result<()> {
    let dir = std::path::absolute(dir)?;
    record::clean(&dir)
}
