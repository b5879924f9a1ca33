//! The real ground: a control plane of its own, with stand-in nodes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use xtask::bench::node;
use xtask::cluster::{ClientLimits, Cluster, Laggard, Nodes, Options};
use xtask::standin::{Play, StandIn};

use crate::ground::Ground;

/// The label of the nodes for these runs, by which their pods choose them.
const FLEET: &str = "sweep";

/// The label by which a drain pod is known.
const DRAINS: &str = "tidegate.dev/set-uid";

/// How much later an API server that is behind learns of everything: longer than any step of the host takes, and within what the API server waits
/// for its own watch before it reads from etcd.
const BEHIND: Duration = Duration::from_secs(1);

/// How long the host's token is good for: longer than any sweep.
const TOKEN_LASTS: &str = "--duration=12h";

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
        dir: workspace().join("target/cluster/sweep"),
        nodes: Nodes::StandInOnly,
        // What the garbage collector has to do for many runs at once would be all that they wait for.
        client_limits: ClientLimits::Raised,
        ..Options::default()
    })?;
    let kubectl =
        |arguments: &[&str]| output(cluster.kubectl().current_dir(workspace()).args(arguments));
    kubectl(&["apply", "-k", "deploy/cluster"])?;
    kubectl(&["scale", "deployment/tidegate", "-n", "tidegate", "--replicas=0"])?;
    let deployment = kubectl(&["get", "deployment/tidegate", "-n", "tidegate", "-o", "json"])?;
    let deployment: Value = serde_json::from_str(&deployment)?;
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    let arguments = arguments.as_array().context("the host has no arguments")?;
    let flags = arguments.iter().filter_map(Value::as_str);
    let flags = flags.filter(|text| text.starts_with("--library=")).map(str::to_owned).collect();
    let token = kubectl(&["create", "token", "tidegate", "-n", "tidegate", TOKEN_LASTS])?;
    let user = json!({ "token": token.trim() });
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

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("running {shown}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown} ended with {}: {complaint}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("reading what {shown} printed"))
}
