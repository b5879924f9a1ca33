//! Where the benches play: a control plane of their own, stand-in nodes, and the host as a process with the rights that its install gives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::fleet;
use super::host::HostProcess;
use crate::cargo::workspace;
use crate::cluster::{self, ClientLimits, Cluster, Nodes};
use crate::image;
use crate::progress::{during, say};
use crate::standin::StandIn;

/// The account of the host in the namespace of its install.
pub(crate) const HOST: &str = "tidegate";

/// The fleet whose pods the nodes play.
pub(super) const FLEET: &str = "bench";

/// How long an account's token is good for: longer than any bench.
const TOKEN_LASTS: &str = "--duration=12h";

/// A cluster of a bench.
pub(super) struct Stage {
    // What is first ends first.
    nodes: Vec<StandIn>,
    cluster: Cluster,
    binary: PathBuf,
    told: Told,
}

/// What the install tells the host.
pub struct Told {
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The variables of its environment that have a value of their own.
    pub environment: Vec<(String, String)>,
}

impl Stage {
    /// Builds the host as its image has it, and starts a control plane with this many stand-in nodes.
    ///
    /// # Errors
    /// Where something cannot be built or started.
    pub(super) fn set(name: &str, nodes: usize) -> Result<Self> {
        let image = during("building the host", image::host_image)?;
        let options = cluster::Options {
            dir: cluster::default_dir().with_file_name(name),
            nodes: Nodes::StandInOnly,
            // The bench is about the host, and a garbage collector that may send 20 requests a second would be all that it shows.
            client_limits: ClientLimits::Raised,
            ..cluster::Options::default()
        };
        let cluster = Cluster::start(&options)?;
        let told = install(&cluster)?;
        let start = |number| {
            let options = fleet::node(&format!("stand-in-{number}"), FLEET)?;
            StandIn::start(cluster.kubeconfig(), options)
        };
        let nodes = (0..nodes).map(start).collect::<Result<_>>()?;
        say("the control plane is up, with its stand-in nodes");
        // The binary lies beside the archive that it went into.
        Ok(Self { nodes, cluster, binary: image.path.with_extension(""), told })
    }

    /// The admin's kubeconfig.
    pub(super) fn kubeconfig(&self) -> &Path {
        self.cluster.kubeconfig()
    }

    /// What was asked of the API server, by its own record.
    pub(super) fn audit_log(&self) -> &Path {
        self.cluster.audit_log()
    }

    /// How many pods the nodes play.
    pub(super) fn pods(&self) -> Result<usize> {
        self.nodes.iter().try_fold(0, |sum, node| Ok(sum + node.pods()?.len()))
    }

    /// Starts the host, with further arguments, as its install would: in its environment, and as its account.
    pub(super) fn host(&self, arguments: &[&str], log_filter: &str) -> Result<HostProcess> {
        let mut command = cluster::kept(&self.binary);
        command.args(&self.told.arguments).args(arguments).envs(self.told.environment.clone());
        command.env("KUBECONFIG", self.account(HOST)?).env("TIDEGATE_LOG", log_filter);
        HostProcess::start(command, &self.file("host.log"))
    }

    /// A kubeconfig for an account with the same rights as the host, made where it is not there.
    pub(super) fn account(&self, name: &str) -> Result<PathBuf> {
        if name != HOST {
            let account = format!("--serviceaccount={HOST}:{name}");
            self.kubectl(&["create", "serviceaccount", name, "-n", HOST])?;
            let role = format!("--clusterrole={HOST}");
            self.kubectl(&["create", "clusterrolebinding", name, &role, &account])?;
        }
        let token = token(&self.cluster, name)?;
        let view = self.kubectl(&["config", "view", "--raw", "--minify", "-o", "json"])?;
        let mut kubeconfig: Value = serde_json::from_str(&view)?;
        kubeconfig["users"][0]["user"] = json!({ "token": token });
        let path = self.file(&format!("{name}.kubeconfig"));
        fs::write(&path, kubeconfig.to_string())
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        output(self.cluster.kubectl().args(arguments))
    }

    /// A file beside the audit log, which is kept when the cluster ends.
    fn file(&self, name: &str) -> PathBuf {
        self.cluster.audit_log().with_file_name("logs").join(name)
    }
}

/// Installs the host as the README says, but for its pod; answers what that pod would have been told.
///
/// # Errors
/// Where the cluster does not take it, or the host's Deployment is not as it was written.
pub fn install(cluster: &Cluster) -> Result<Told> {
    let kubectl =
        |arguments: &[&str]| output(cluster.kubectl().current_dir(workspace()).args(arguments));
    kubectl(&["apply", "-k", "deploy/cluster"])?;
    // There is no node yet, so that none of its pods has ever run.
    kubectl(&["scale", "deployment/tidegate", "-n", HOST, "--replicas=0"])?;
    let deployment = kubectl(&["get", "deployment/tidegate", "-n", HOST, "-o", "json"])?;
    let deployment: Value = serde_json::from_str(&deployment)?;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let listed = |key: &str| {
        let list = container[key].as_array();
        list.with_context(|| format!("the host's container has no {key}"))
    };
    let arguments = listed("args")?.iter().filter_map(Value::as_str);
    // Nobody asks this host for its health, and the port may be taken.
    let arguments = arguments.filter(|argument| !argument.starts_with("--listen="));
    let arguments = arguments.chain(["--listen=127.0.0.1:0"]).map(str::to_owned).collect();
    let variable = |entry: &Value| {
        let (name, value) = (entry["name"].as_str()?, entry["value"].as_str()?);
        Some((name.to_owned(), value.to_owned()))
    };
    let environment = listed("env")?.iter().filter_map(variable).collect();
    Ok(Told { arguments, environment })
}

/// A token for an account of the namespace that the host is installed in.
///
/// # Errors
/// Where there is no such account.
pub fn token(cluster: &Cluster, account: &str) -> Result<String> {
    let arguments = ["create", "token", account, "-n", HOST, TOKEN_LASTS];
    let token = output(cluster.kubectl().args(arguments))?;
    Ok(token.trim().to_owned())
}

fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("running {shown}"))?;
    ensure!(
        output.status.success(),
        "{shown} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).with_context(|| format!("reading what {shown} printed"))
}
