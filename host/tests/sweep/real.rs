//! The real ground: a control plane of its own, with stand-in nodes.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use xtask::bench::{install, node, token};
use xtask::cluster::{ClientLimits, Cluster, Laggard, Nodes, Options, default_dir};
use xtask::standin::{Play, StandIn};

use crate::ground::Ground;

/// The label of the nodes for these runs, by which their pods choose them.
const FLEET: &str = "sweep";

/// The label by which a drain pod is known.
const DRAINS: &str = "tidegate.dev/set-uid";

/// How much later an API server that is behind learns of everything: longer than any step of the host takes, and within what the API server waits
/// for its own watch before it reads from etcd.
const BEHIND: Duration = Duration::from_secs(1);

/// A control plane with a stand-in node.
struct Real {
    // What is first ends first.
    node: StandIn,
    laggard: Laggard,
    cluster: Cluster,
    user: Value,
    flags: Vec<String>,
}

/// Starts it, with what the host's install brings but its pods.
pub(crate) fn start() -> Result<Box<dyn Ground>> {
    let cluster = Cluster::start(&Options {
        dir: default_dir().with_file_name("sweep"),
        nodes: Nodes::StandInOnly,
        // What the garbage collector has to do for many runs at once would be all that they wait for.
        client_limits: ClientLimits::Raised,
        ..Options::default()
    })?;
    let flags = install(&cluster)?.arguments.into_iter();
    let flags = flags.filter(|argument| argument.starts_with("--library=")).collect();
    let user = json!({ "token": token(&cluster, "tidegate")? });
    let mut options = node("stand-in", FLEET)?;
    options.labelled.insert(DRAINS.to_owned(), Play::parse("hang")?);
    let node = StandIn::start(cluster.kubeconfig(), options)?;
    let laggard = Laggard::start(&cluster, BEHIND)?;
    Ok(Box::new(Real { node, laggard, cluster, user, flags }))
}

impl Ground for Real {
    fn kubeconfig(&self) -> &Path {
        self.cluster.kubeconfig()
    }

    fn lagging(&self) -> &Path {
        self.laggard.kubeconfig()
    }

    fn host_user(&self) -> &Value {
        &self.user
    }

    fn host_flags(&self) -> &[String] {
        &self.flags
    }

    fn pod_fields(&self) -> Value {
        json!({
            "nodeSelector": { "tidegate.dev/fleet": FLEET },
            "tolerations": [{ "key": "tidegate.dev/stand-in", "operator": "Exists" }],
            "terminationGracePeriodSeconds": 1,
            // What admission would add to each pod has another name in each run.
            "automountServiceAccountToken": false,
        })
    }

    fn finish(
        &self,
        namespace: &str,
        pod: &str,
        exit_code: i32,
        message: Option<&str>,
    ) -> Result<()> {
        self.node.finish(namespace, pod, "member", exit_code, message)
    }
}
