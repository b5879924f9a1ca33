//! The Node object and the heartbeats that keep the control plane content with it.

use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::drive::Mode;
use super::status::HOST_IP;
use super::{Options, STAND_IN_LABEL};

/// The field manager of node and lease.
const FIELD_MANAGER: &str = "tidegate-stand-in";

/// How often the lease is renewed; a kubelet's own default.
const LEASE_RENEWED_EVERY: Duration = Duration::from_secs(10);

/// How long one heartbeat may take, so that a second one goes out before the lease is over.
const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(10);

/// How long a lease is good for; a kubelet's own default.
const LEASE_SECS: u32 = 40;

/// The status is written again at every so many-th renewal of the lease: every five minutes, as a kubelet does.
const RENEWALS_PER_STATUS: u32 = 30;

/// How many pods the node takes: more than any test binds.
const PODS_MAX: u32 = 10_000;

/// A registered node.
#[derive(Clone)]
pub(crate) struct NodeKeeper {
    client: Client,
    name: String,
    uid: String,
    status: Value,
}

impl NodeKeeper {
    /// Registers the node, or takes over the object that bears its name, and writes it Ready.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub(crate) async fn register(client: Client, options: &Options) -> anyhow::Result<Self> {
        let name = options.node_name.clone();
        let version = client.apiserver_version().await.context("ask the API server's version")?;
        let nodes: Api<Node> = Api::all(client.clone());
        let patch = Patch::Apply(node_object(options));
        let node = nodes.patch(&name, &parameters(), &patch).await;
        let node = node.with_context(|| format!("register node {name}"))?;
        let uid = node.uid().unwrap_or_default();
        let status = node_status(&name, &version.git_version);
        let keeper = Self { client, name, uid, status };
        keeper.renew_lease().await.context("renew the node's lease")?;
        keeper.write_status().await.context("write the node's status")?;
        Ok(keeper)
    }

    /// Sends heartbeats for ever, except while the node is lost.
    pub(crate) async fn keep_alive(self, mode: watch::Receiver<Mode>) {
        let mut renewals: u32 = 0;
        loop {
            tokio::time::sleep(LEASE_RENEWED_EVERY).await;
            match *mode.borrow() {
                Mode::Lost => continue,
                Mode::Playing | Mode::Paused => {}
            }
            renewals = renewals.wrapping_add(1);
            let beat = async {
                self.renew_lease().await?;
                // The control plane gives up a node that was late, and only the node itself can take that back.
                if renewals.is_multiple_of(RENEWALS_PER_STATUS) || !self.is_ready().await? {
                    self.write_status().await?;
                }
                Ok::<(), kube::Error>(())
            };
            match tokio::time::timeout(HEARTBEAT_DEADLINE, beat).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(node = %self.name, %error, "heartbeat failed"),
                Err(_) => tracing::warn!(node = %self.name, "heartbeat was not answered in time"),
            }
        }
    }

    /// Renews lease and status at once, so that a node that was lost is Ready again without a wait.
    pub(crate) async fn return_to_cluster(&self) -> kube::Result<()> {
        self.renew_lease().await?;
        self.write_status().await
    }

    async fn write_status(&self) -> kube::Result<()> {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut status = self.status.clone();
        if let Some(conditions) = status["status"]["conditions"].as_array_mut() {
            for condition in conditions {
                condition["lastHeartbeatTime"] = json!(now);
            }
        }
        let nodes: Api<Node> = Api::all(self.client.clone());
        let patch = Patch::Apply(status);
        nodes.patch_status(&self.name, &parameters(), &patch).await.map(|_| ())
    }

    async fn is_ready(&self) -> kube::Result<bool> {
        let node = Api::<Node>::all(self.client.clone()).get(&self.name).await?;
        let conditions = node.status.and_then(|s| s.conditions).unwrap_or_default();
        Ok(conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
    }

    async fn renew_lease(&self) -> kube::Result<()> {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self.name,
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": self.name, "uid": self.uid},
                ],
            },
            "spec": {
                "holderIdentity": self.name,
                "leaseDurationSeconds": LEASE_SECS,
                "renewTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
            },
        });
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), "kube-node-lease");
        leases.patch(&self.name, &parameters(), &Patch::Apply(lease)).await.map(|_| ())
    }
}

fn parameters() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}

fn node_object(options: &Options) -> Value {
    let mut labels = json!({
        STAND_IN_LABEL: "true",
        "kubernetes.io/hostname": options.node_name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture(),
    });
    for (key, value) in &options.labels {
        labels[key] = json!(value);
    }
    let mut node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": options.node_name, "labels": labels},
    });
    if let Some(taint) = &options.taint {
        node["spec"] = json!({
            "taints": [{"key": taint.key, "value": taint.value, "effect": taint.effect}],
        });
    }
    node
}

fn node_status(name: &str, server_version: &str) -> Value {
    let resources = json!({
        "cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": PODS_MAX.to_string(),
    });
    let since = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": since,
        })
    };
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "addresses": [
                {"type": "InternalIP", "address": HOST_IP},
                {"type": "Hostname", "address": name},
            ],
            "conditions": [
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "memory is enough"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "disk is enough"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID", "process ids are enough"),
                condition("Ready", "True", "KubeletReady", "the stand-in node plays its pods"),
            ],
            "nodeInfo": {
                "machineID": name, "systemUUID": name, "bootID": name,
                "kernelVersion": "stand-in", "osImage": "stand-in",
                "containerRuntimeVersion": "standin://1", "operatingSystem": "linux",
                "architecture": architecture(), "kubeProxyVersion": "",
                "kubeletVersion": server_version,
            },
        },
    })
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
