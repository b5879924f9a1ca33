//! The records and variants of the contract in `wit/`, as the host hands them over and as they stand in cases and recordings.
//!
//! They are written out, and not generated, because their text form is the author's too: it has the contract's own names. That they have the
//! contract's shapes is compared whenever a policy is loaded.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;
use wasmtime::component::{ComponentType, Lift, Lower};

/// A key and its value.
pub type Pair = (String, String);

/// Why the ordinal is to be drained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The set was scaled down below this ordinal.
    #[component(name = "scale-down")]
    ScaleDown,
    /// The set is being deleted, or was.
    #[component(name = "set-deleted")]
    SetDeleted,
    /// A cause of a later version; its name.
    #[component(name = "other")]
    Other(String),
}

/// A claim of the ordinal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Claim {
    /// The name of the PersistentVolumeClaim.
    pub name: String,
    /// The name of its claim template.
    pub template: String,
    /// The size of the bound volume.
    #[component(name = "capacity-bytes")]
    pub capacity_bytes: Option<u64>,
    /// The storage class that the claim names.
    #[component(name = "storage-class")]
    pub storage_class: Option<String>,
    /// The access modes in Kubernetes' spelling.
    #[component(name = "access-modes")]
    pub access_modes: Vec<String>,
    /// Its labels, in the order of their keys.
    pub labels: Vec<Pair>,
    /// Its annotations, in the order of their keys.
    pub annotations: Vec<Pair>,
}

/// Whose pod bears the name of another ordinal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// The set's own pod.
    #[component(name = "member")]
    Member,
    /// A drain pod of this host.
    #[component(name = "drain-pod")]
    DrainPod,
    /// There is no such pod.
    #[component(name = "nobody")]
    Nobody,
    /// Somebody else; a word about it.
    #[component(name = "other")]
    Other(String),
}

/// Another ordinal of the set, as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Peer {
    /// The number of the ordinal.
    pub ordinal: u32,
    /// The name of its pod.
    pub name: String,
    /// True where the set wants this ordinal.
    pub stays: bool,
    /// Whose pod bears the name.
    pub holder: Holder,
    /// True where the pod is Ready.
    pub ready: bool,
    /// Since when it is Ready, in milliseconds since 1970.
    #[component(name = "ready-since")]
    pub ready_since: Option<u64>,
    /// True where the pod is being deleted.
    pub terminating: bool,
    /// The node that the pod runs on.
    pub node: Option<String>,
    /// The addresses of the pod.
    pub ips: Vec<String>,
    /// The labels of the pod, in the order of their keys.
    pub labels: Vec<Pair>,
}

/// The ordinal in question and what stands around it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Situation {
    /// The host's clock, in milliseconds since 1970.
    pub now: u64,
    /// The namespace of the set.
    pub namespace: String,
    /// The name of the set.
    #[component(name = "set-name")]
    pub set_name: String,
    /// The ordinal to be drained.
    pub ordinal: u32,
    /// Why it is to be drained.
    pub cause: Cause,
    /// The StatefulSet as JSON text.
    #[serde(deserialize_with = "json_text")]
    pub set: String,
    /// The first ordinal that the set wants.
    pub start: u32,
    /// How many ordinals the set wants.
    pub replicas: u32,
    /// The claims of this ordinal.
    pub claims: Vec<Claim>,
    /// The other ordinals.
    pub peers: Vec<Peer>,
    /// The text for the policy.
    #[serde(deserialize_with = "json_text")]
    pub config: String,
    /// Which attempt this is, counting from 1.
    pub attempt: u32,
    /// When a host first saw this orphan, in milliseconds since 1970.
    #[component(name = "orphan-since")]
    pub orphan_since: u64,
    /// The state that the policy last gave in this passage.
    pub state: String,
    /// Facts of later hosts.
    pub extra: Vec<Pair>,
}

/// The place that a container has in its pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerKind {
    /// It does the work.
    #[component(name = "main")]
    Main,
    /// It runs to its end before the main containers.
    #[component(name = "init")]
    Init,
    /// It runs beside the main containers.
    #[component(name = "native-sidecar")]
    NativeSidecar,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Exit {
    /// The exit code of its process.
    pub code: i32,
    /// Kubernetes' word for it.
    pub reason: String,
    /// The termination message.
    pub message: String,
    /// When it started, in milliseconds since 1970.
    pub started: Option<u64>,
    /// When it ended, in milliseconds since 1970.
    pub finished: Option<u64>,
}

/// What a container does at present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerState {
    /// It waits to be started: Kubernetes' word for the reason.
    #[component(name = "waiting")]
    Waiting(String),
    /// It runs: since when, in milliseconds since 1970.
    #[component(name = "running")]
    Running(u64),
    /// It has ended.
    #[component(name = "exited")]
    Exited(Exit),
    /// Nobody has reported on it.
    #[component(name = "unknown")]
    Unknown,
}

/// A container of the drain pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its place in the pod.
    pub kind: ContainerKind,
    /// True where it stands in the rendered template.
    pub rendered: bool,
    /// What it does at present.
    pub state: ContainerState,
    /// How its previous run ended.
    #[component(name = "last-exit")]
    pub last_exit: Option<Exit>,
    /// How often it was restarted.
    pub restarts: u32,
    /// True where the kubelet calls it ready.
    pub ready: bool,
}

/// The phase of the drain pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(enum)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Phase {
    /// Not all containers have been started.
    #[component(name = "pending")]
    Pending,
    /// At least one main container runs.
    #[component(name = "running")]
    Running,
    /// All main containers exited with 0.
    #[component(name = "succeeded")]
    Succeeded,
    /// At least one main container ended otherwise.
    #[component(name = "failed")]
    Failed,
    /// The node does not report.
    #[component(name = "unknown")]
    Unknown,
}

/// A condition of the drain pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Condition {
    /// Its type.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word on the last change.
    pub reason: String,
    /// A sentence on the last change.
    pub message: String,
    /// When it last changed, in milliseconds since 1970.
    pub since: Option<u64>,
}

/// The host's reading of how the drain pod ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It has not ended.
    #[component(name = "not-ended")]
    NotEnded,
    /// It ended with success and nothing else ended it.
    #[component(name = "by-itself")]
    ByItself,
    /// A rendered container failed: which one and how.
    #[component(name = "failed")]
    Failed(String),
    /// Something ended it: what.
    #[component(name = "cut-short")]
    CutShort(String),
}

/// The drain pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DrainPod {
    /// When it was created, in milliseconds since 1970.
    pub created: u64,
    /// The phase of its status.
    pub phase: Phase,
    /// The reason of its status.
    pub reason: String,
    /// The message of its status.
    pub message: String,
    /// The node that it was scheduled to.
    pub node: Option<String>,
    /// The conditions of its status.
    pub conditions: Vec<Condition>,
    /// Its containers.
    pub containers: Vec<Container>,
    /// Its labels, in the order of their keys.
    pub labels: Vec<Pair>,
    /// Its annotations, in the order of their keys.
    pub annotations: Vec<Pair>,
    /// True where it is being deleted.
    pub terminating: bool,
    /// How it ended.
    pub ending: Ending,
    /// True where the set wants the ordinal back.
    pub wanted: bool,
    /// False once a claim is being deleted.
    #[component(name = "can-cancel")]
    pub can_cancel: bool,
}

/// Whether others may find the drain pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(enum)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Traffic {
    /// It is never Ready.
    #[component(name = "none")]
    None,
    /// It is Ready when its containers are.
    #[component(name = "as-labelled")]
    AsLabelled,
}

/// The pod that is to do the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pod {
    /// A PodTemplateSpec as JSON text.
    #[serde(deserialize_with = "json_text")]
    pub template: String,
    /// Whether others may find it.
    pub traffic: Traffic,
    /// The claim templates that hold nothing worth moving.
    pub discard: Vec<String>,
    /// What the next call must know.
    pub state: Option<String>,
}

/// No pod yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RenderWait {
    /// What is waited for.
    pub reason: String,
    /// When to ask again, in milliseconds.
    #[component(name = "ask-again")]
    pub ask_again: Option<u64>,
}

/// The answer of `render`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum Rendering {
    /// Create this pod.
    #[component(name = "pod")]
    Pod(Pod),
    /// Ask again.
    #[component(name = "wait")]
    Wait(RenderWait),
    /// Leave everything alone; all is well.
    #[component(name = "keep")]
    Keep(String),
    /// Leave everything alone; something is wrong.
    #[component(name = "refuse")]
    Refuse(String),
}

/// Not decided yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct JudgeWait {
    /// What is waited for.
    pub reason: String,
    /// How much is done, from 0 to 100.
    pub percent: Option<u8>,
    /// When to ask again, in milliseconds.
    #[component(name = "ask-again")]
    pub ask_again: Option<u64>,
    /// What the next call must know.
    pub state: Option<String>,
}

/// Another attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Retry {
    /// Why this attempt is given up.
    pub reason: String,
    /// How long to wait before the next one, in milliseconds.
    pub after: u64,
    /// What the next attempt must know.
    pub state: String,
}

/// The answer of `judge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Go on as it is.
    #[component(name = "wait")]
    Wait(JudgeWait),
    /// Another attempt.
    #[component(name = "retry")]
    Retry(Retry),
    /// The claims may be deleted.
    #[component(name = "complete")]
    Complete(String),
    /// Give the ordinal back.
    #[component(name = "cancel")]
    Cancel(String),
    /// Stop and keep everything.
    #[component(name = "fail")]
    Fail(String),
}

/// What a set's owner proposes to drain it with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Proposal {
    /// The namespace of the set.
    pub namespace: String,
    /// The name of the set.
    #[component(name = "set-name")]
    pub set_name: String,
    /// The StatefulSet as JSON text.
    #[serde(deserialize_with = "json_text")]
    pub set: String,
    /// The text for the policy.
    #[serde(deserialize_with = "json_text")]
    pub config: String,
    /// Facts of later hosts.
    pub extra: Vec<Pair>,
}

/// Text, or an object in its place: nobody writes a StatefulSet as one long string by hand.
fn json_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        object @ (Value::Object(_) | Value::Array(_)) => Ok(object.to_string()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => {
            Err(D::Error::custom(format!("`{other}` is neither text nor an object")))
        }
    }
}
