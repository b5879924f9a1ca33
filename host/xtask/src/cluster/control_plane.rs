//! The control plane: etcd, API server, controller manager, scheduler.

use std::fs;

use anyhow::{Context, Result};
use serde_json::json;

use super::layout::Layout;
use super::process::{Launcher, Part};
use super::{ClientLimits, History, Nodes};

/// Addresses of services; pods have theirs from the node's bridge.
const SERVICE_RANGE: &str = "10.96.0.0/16";
/// The first of them, which is the API server's.
pub(super) const API_SERVICE_ADDRESS: &str = "10.96.0.1";

/// How much etcd may hold: what its makers call the most that is wise.
const ETCD_BYTES_MAX: u64 = 8 << 30;

/// Where the control plane listens.
#[derive(Clone, Debug)]
pub(super) struct Endpoints {
    /// The address that the API server binds.
    pub(super) bind: &'static str,
    /// The address that it names to pods.
    pub(super) advertise: &'static str,
    pub(super) api_port: u16,
    pub(super) etcd_port: u16,
    pub(super) etcd_peer_port: u16,
}

/// Which API server.
pub(super) struct ApiServer {
    /// Its name among the parts.
    pub(super) name: &'static str,
    /// The file of its audit log in the state folder.
    pub(super) audit_log: &'static str,
}

/// The one that everybody asks.
pub(super) const API_SERVER: ApiServer =
    ApiServer { name: "kube-apiserver", audit_log: "audit.log" };

/// Writes what is recorded of each request: who did what to which object. Watches are recorded when
/// they begin too, because one that lasts would else leave no trace. Of a volume that is made its
/// body is recorded, because it alone names the folder.
pub(super) fn write_audit_policy(layout: &Layout, history: &History) -> Result<()> {
    let mut rules = vec![json!({
        "level": "Request",
        "verbs": ["create"],
        "resources": [{"group": "", "resources": ["persistentvolumes"]}],
    })];
    match history {
        History::AsUsual => rules.push(json!({"level": "Metadata"})),
        // Whoever reads it all wants nothing else in it, and the API server has better to do.
        History::Kept { of } => rules.extend([
            json!({"level": "RequestResponse", "users": [of], "verbs": ["delete"]}),
            json!({"level": "Metadata", "users": [of]}),
            json!({"level": "None"}),
        ]),
    }
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": rules,
    });
    let path = layout.dir.join("audit-policy.json");
    fs::write(&path, policy.to_string()).with_context(|| format!("writing {}", path.display()))
}

/// Starts etcd.
pub(super) fn start_etcd(launcher: Launcher, layout: &Layout, at: &Endpoints) -> Result<Part> {
    let client = format!("http://127.0.0.1:{}", at.etcd_port);
    let peer = format!("http://127.0.0.1:{}", at.etcd_peer_port);
    let arguments = [
        "etcd".to_owned(),
        "--name=etcd".to_owned(),
        format!("--data-dir={}", layout.seen("etcd")),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=etcd={peer}"),
        // The cluster is thrown away when it ends: nothing of it must survive a loss of power.
        "--unsafe-no-fsync=true".to_owned(),
        // A history that is kept outgrows the default of 2 GB.
        format!("--quota-backend-bytes={ETCD_BYTES_MAX}"),
    ];
    launcher.start(layout, "etcd", &layout.seen_binary("kubernetes"), &arguments)
}

/// Starts the API server, which waits for etcd.
pub(super) fn start_api_server(
    launcher: Launcher,
    layout: &Layout,
    at: &Endpoints,
    nodes: Nodes,
    which: &ApiServer,
    history: &History,
) -> Result<Part> {
    let file = |name: &str| layout.seen(name);
    let mut arguments = vec![
        "kube-apiserver".to_owned(),
        format!("--etcd-servers=http://127.0.0.1:{}", at.etcd_port),
        format!("--bind-address={}", at.bind),
        format!("--secure-port={}", at.api_port),
        format!("--advertise-address={}", at.advertise),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        format!("--tls-cert-file={}", file("apiserver.crt")),
        format!("--tls-private-key-file={}", file("apiserver.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=Node,RBAC".to_owned(),
        // The second is off by default, and many clusters turn it on: what works with it works
        // without.
        "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement"
            .to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={}", file("service-accounts.pub")),
        format!("--service-account-signing-key-file={}", file("service-accounts.key")),
        format!("--kubelet-client-certificate={}", file("kubelet-client.crt")),
        format!("--kubelet-client-key={}", file("kubelet-client.key")),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--allow-privileged=true".to_owned(),
        format!("--audit-policy-file={}", file("audit-policy.json")),
        format!("--audit-log-path={}", file(which.audit_log)),
        // Megabytes in one file before another is begun: readers of the log expect it whole.
        "--audit-log-maxsize=4096".to_owned(),
    ];
    match history {
        History::AsUsual => {}
        History::Kept { .. } => arguments.extend([
            "--storage-media-type=application/json".to_owned(),
            "--etcd-compaction-interval=0".to_owned(),
        ]),
    }
    match nodes {
        Nodes::Kubelet => {}
        // An endpoint on the loopback is refused, and no pod asks for the service.
        Nodes::StandInOnly => arguments.push("--endpoint-reconciler-type=none".to_owned()),
    }
    launcher.start(layout, which.name, &layout.seen_binary("kubernetes"), &arguments)
}

/// Starts the controller manager with all controllers and the provisioner of volumes that are
/// folders.
pub(super) fn start_controller_manager(
    launcher: Launcher,
    layout: &Layout,
    limits: ClientLimits,
) -> Result<Part> {
    let kubeconfig = layout.seen("controller-manager.kubeconfig");
    let mut arguments = vec![
        "kube-controller-manager".to_owned(),
        format!("--kubeconfig={kubeconfig}"),
        "--controllers=*".to_owned(),
        "--leader-elect=false".to_owned(),
        // Nothing asks it for its health or metrics, and a port could be taken.
        "--secure-port=0".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        format!("--service-account-private-key-file={}", layout.seen("service-accounts.key")),
        format!("--root-ca-file={}", layout.seen("ca.crt")),
        "--enable-hostpath-provisioner=true".to_owned(),
    ];
    arguments.extend(limit_arguments(limits));
    launcher.start(layout, "kube-controller-manager", &layout.seen_binary("kubernetes"), &arguments)
}

/// Starts the scheduler.
pub(super) fn start_scheduler(
    launcher: Launcher,
    layout: &Layout,
    limits: ClientLimits,
) -> Result<Part> {
    let mut arguments = vec![
        "kube-scheduler".to_owned(),
        format!("--kubeconfig={}", layout.seen("scheduler.kubeconfig")),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
    ];
    arguments.extend(limit_arguments(limits));
    launcher.start(layout, "kube-scheduler", &layout.seen_binary("kubernetes"), &arguments)
}

fn limit_arguments(limits: ClientLimits) -> Vec<String> {
    match limits {
        ClientLimits::Default => Vec::new(),
        ClientLimits::Raised => {
            vec!["--kube-api-qps=500".to_owned(), "--kube-api-burst=1000".to_owned()]
        }
    }
}
