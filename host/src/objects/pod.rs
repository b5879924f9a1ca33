//! A Pod, as far as it matters here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::{Deserialize, Deserializer};

use super::{lean_meta, or_default};
use crate::marks;

/// A Pod.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PodObject {
    /// Its metadata; annotations only on a drain pod.
    #[serde(deserialize_with = "pod_meta")]
    pub metadata: ObjectMeta,
    /// Its spec.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: PodSpec,
    /// Its status.
    #[serde(default, deserialize_with = "or_default")]
    pub status: PodStatus,
}

/// Its spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// Whether its containers are started again when they end.
    pub restart_policy: Option<String>,
    /// The node that it was scheduled to.
    pub node_name: Option<String>,
    /// Its volumes.
    #[serde(default, deserialize_with = "or_default")]
    pub volumes: Vec<Volume>,
    /// Its main containers.
    #[serde(default, deserialize_with = "or_default")]
    pub containers: Vec<ContainerSpec>,
    /// Its init containers.
    #[serde(default, deserialize_with = "or_default")]
    pub init_containers: Vec<ContainerSpec>,
}

/// A volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Its name in the pod.
    pub name: String,
    /// The claim that it mounts.
    pub persistent_volume_claim: Option<ClaimSource>,
    /// Whether the claim is made for the pod, and named after both.
    pub ephemeral: Option<Present>,
}

/// The claim that a volume mounts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimSource {
    /// Its name.
    pub claim_name: String,
}

/// An object of which nothing matters but that it is there.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Present {}

/// A container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// `Always` on a native sidecar.
    pub restart_policy: Option<String>,
    /// Whether it is killed when it does not answer.
    pub liveness_probe: Option<Present>,
    /// Whether it is killed when it does not answer in time after its start.
    pub startup_probe: Option<Present>,
    /// Whether it is killed when something that runs beside its start fails.
    pub lifecycle: Option<Present>,
}

/// Its status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: Option<String>,
    /// Why the kubelet ended it.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
    /// Its addresses.
    #[serde(default, rename = "podIPs", deserialize_with = "or_default")]
    pub pod_ips: Vec<PodIp>,
    /// Its conditions.
    #[serde(default, deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    /// Its main containers.
    #[serde(default, deserialize_with = "or_default")]
    pub container_statuses: Vec<ContainerStatus>,
    /// Its init containers.
    #[serde(default, deserialize_with = "or_default")]
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// An address.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PodIp {
    /// The address.
    pub ip: String,
}

/// A condition.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
    /// Since when.
    pub last_transition_time: Option<Time>,
}

/// What the kubelet says about a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// What it does.
    #[serde(default, deserialize_with = "or_default")]
    pub state: ContainerState,
    /// How it ended before its last restart.
    #[serde(default, deserialize_with = "or_default")]
    pub last_state: ContainerState,
    /// How often it was restarted.
    #[serde(default)]
    pub restart_count: u32,
    /// Whether it is ready.
    #[serde(default)]
    pub ready: bool,
}

/// What a container does: one of the three, or nothing known.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ContainerState {
    /// It waits.
    pub waiting: Option<Waiting>,
    /// It runs.
    pub running: Option<Running>,
    /// It ended.
    pub terminated: Option<Terminated>,
}

/// It waits.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Waiting {
    /// For what.
    pub reason: Option<String>,
}

/// It runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Since when.
    pub started_at: Option<Time>,
}

/// It ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terminated {
    /// Its exit code.
    pub exit_code: i32,
    /// Why, in a word.
    pub reason: Option<String>,
    /// Its termination message.
    pub message: Option<String>,
    /// When it started.
    pub started_at: Option<Time>,
    /// When it ended.
    pub finished_at: Option<Time>,
}

impl PodObject {
    /// The names of the claims that it mounts.
    pub fn claim_names(&self) -> impl Iterator<Item = String> + '_ {
        self.spec.volumes.iter().filter_map(|volume| {
            if let Some(source) = &volume.persistent_volume_claim {
                return Some(source.claim_name.clone());
            }
            volume.ephemeral.as_ref()?;
            Some(format!("{}-{}", self.metadata.name.as_deref().unwrap_or_default(), volume.name))
        })
    }

    /// The names of those among them that do not go with it.
    pub fn lasting_claim_names(&self) -> impl Iterator<Item = &str> {
        let sources =
            self.spec.volumes.iter().filter_map(|volume| volume.persistent_volume_claim.as_ref());
        sources.map(|source| source.claim_name.as_str())
    }

    /// The condition of that type, where it is true.
    #[must_use]
    pub fn true_condition(&self, kind: &str) -> Option<&Condition> {
        self.status
            .conditions
            .iter()
            .find(|condition| condition.kind == kind && condition.status == "True")
    }
}

fn pod_meta<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let mut meta = lean_meta(deserializer)?;
    let ours = meta.labels.as_ref().is_some_and(|labels| labels.contains_key(marks::SET_UID));
    if !ours {
        meta.annotations = None;
    }
    Ok(meta)
}
