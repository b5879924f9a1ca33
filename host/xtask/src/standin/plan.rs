//! What a pod asks of its node, read once from the pod's specification.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};

/// The grace that the API server fills in where a specification names none.
const GRACE_DEFAULT_SECS: i64 = 30;

/// Which part a container plays in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// Native sidecar: an init container that is kept running and does not count for the end of the pod.
    Sidecar,
    /// Decides with its fellows how the pod ends.
    Main,
}

/// When a container that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    /// After every end.
    Always,
    /// After an end with another exit code than 0.
    OnFailure,
    /// Not at all.
    Never,
}

/// One container of the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerPlan {
    /// Its name, unique in the pod.
    pub(crate) name: String,
    /// The image as the specification writes it.
    pub(crate) image: String,
    /// Its part.
    pub(crate) role: Role,
    /// What holds for it after the pod's policy and its own were weighed.
    pub(crate) restart: Restart,
}

/// The parts of a pod's specification that decide its course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodPlan {
    /// The pod's UID.
    pub(crate) uid: String,
    /// The pod's namespace.
    pub(crate) namespace: String,
    /// The pod's name.
    pub(crate) name: String,
    /// Init containers and sidecars in their order, then the main containers.
    pub(crate) containers: Vec<ContainerPlan>,
    /// What the specification grants between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
    /// Condition types that must be `True` before the pod may be Ready.
    pub(crate) gates: Vec<String>,
    /// How long the pod may be active.
    pub(crate) active_deadline: Option<Duration>,
}

/// What the node learns from one look at the pod's object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// The grace of a deletion that was asked for.
    pub(crate) deletion_grace: Option<Duration>,
    /// Status of every condition on the object, by type.
    pub(crate) conditions: BTreeMap<String, String>,
    /// Generation of the specification that was seen.
    pub(crate) generation: Option<i64>,
}

impl PodPlan {
    /// Reads the plan of `pod`; what the API server always fills in is taken as its default where absent.
    pub(crate) fn of(pod: &Pod) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let pod_restart = restart_of(spec.restart_policy.as_deref()).unwrap_or(Restart::Always);
        let inits = spec.init_containers.iter().flatten().map(|c| init_plan(c, pod_restart));
        let mains = spec.containers.iter().map(|c| ContainerPlan {
            restart: restart_of(c.restart_policy.as_deref()).unwrap_or(pod_restart),
            ..plan_of(c, Role::Main)
        });
        Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            containers: inits.chain(mains).collect(),
            grace: secs(spec.termination_grace_period_seconds.unwrap_or(GRACE_DEFAULT_SECS)),
            gates: spec
                .readiness_gates
                .iter()
                .flatten()
                .map(|g| g.condition_type.clone())
                .collect(),
            active_deadline: spec.active_deadline_seconds.map(secs),
        }
    }
}

impl Sight {
    /// Reads what can change on the object while the pod lives.
    pub(crate) fn of(pod: &Pod) -> Self {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
        Self {
            deletion_grace: pod.metadata.deletion_timestamp.as_ref().map(|_| secs(grace)),
            conditions: conditions.map(|c| (c.type_.clone(), c.status.clone())).collect(),
            generation: pod.metadata.generation,
        }
    }
}

fn init_plan(container: &Container, pod_restart: Restart) -> ContainerPlan {
    match restart_of(container.restart_policy.as_deref()) {
        Some(Restart::Always) => {
            ContainerPlan { restart: Restart::Always, ..plan_of(container, Role::Sidecar) }
        }
        Some(Restart::OnFailure | Restart::Never) | None => {
            // An init container that did its work is never run again, whatever the pod's policy.
            let restart = match pod_restart {
                Restart::Never => Restart::Never,
                Restart::Always | Restart::OnFailure => Restart::OnFailure,
            };
            ContainerPlan { restart, ..plan_of(container, Role::Init) }
        }
    }
}

fn plan_of(container: &Container, role: Role) -> ContainerPlan {
    ContainerPlan {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        role,
        restart: Restart::Never,
    }
}

fn restart_of(policy: Option<&str>) -> Option<Restart> {
    match policy? {
        "Always" => Some(Restart::Always),
        "OnFailure" => Some(Restart::OnFailure),
        "Never" => Some(Restart::Never),
        _ => None,
    }
}

fn secs(value: i64) -> Duration {
    Duration::from_secs(u64::try_from(value).unwrap_or(0))
}
