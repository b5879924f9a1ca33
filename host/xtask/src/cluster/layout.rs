//! Where everything of a cluster lies, as this machine sees it and as the cluster's own parts see
//! it.

use std::env;
use std::path::{Path, PathBuf};

use super::Nodes;

/// Where the parts find the state folder when they run in namespaces of their own: a short path,
/// because the path of a Unix socket has at most 107 characters.
const CONFINED_STATE: &str = "/run/tidegate/state";
/// Where they find the binaries then.
const CONFINED_BINARIES: &str = "/run/tidegate/bin";

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}

/// The folder that keeps all that clusters are made of between runs.
pub(crate) fn home() -> PathBuf {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    target.join("cluster")
}

/// The folder of the built binaries.
pub(crate) fn binaries() -> PathBuf {
    home().join("bin")
}

/// The audit log of the cluster with this state folder.
pub(crate) fn audit_log(dir: &Path) -> PathBuf {
    dir.join("audit.log")
}

/// The files of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The state folder, as this machine sees it.
    pub(crate) dir: PathBuf,
    /// The state folder, as the cluster's parts see it.
    pub(crate) seen_dir: PathBuf,
    /// The folder of binaries, as the cluster's parts see it.
    pub(crate) seen_binaries: PathBuf,
}

impl Layout {
    /// For the parts of a cluster with these nodes.
    pub(crate) fn of(dir: &Path, nodes: Nodes) -> Self {
        match nodes {
            Nodes::Kubelet => Self::confined(dir),
            Nodes::StandInOnly => Self::plain(dir),
        }
    }

    /// For parts that run in namespaces of their own.
    fn confined(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            seen_dir: CONFINED_STATE.into(),
            seen_binaries: CONFINED_BINARIES.into(),
        }
    }

    /// For parts that run as plain processes of this machine.
    fn plain(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), seen_dir: dir.to_owned(), seen_binaries: binaries() }
    }

    /// A file of the state folder, as the cluster's parts see it.
    pub(crate) fn seen(&self, name: &str) -> String {
        self.seen_dir.join(name).display().to_string()
    }

    /// A binary, as the cluster's parts see it.
    pub(crate) fn seen_binary(&self, name: &str) -> String {
        self.seen_binaries.join(name).display().to_string()
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.join("admin.kubeconfig")
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        audit_log(&self.dir)
    }

    /// The log of one part.
    pub(crate) fn log(&self, part: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{part}.log"))
    }
}
