//! The pod status that a kubelet would write for a pod in this state.

use std::time::Duration;

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, HostIP, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::container::{Container, End, State};
use super::event::EXIT_CODE_KILLED;
use super::plan::Role;
use super::pod::{Phase, Pod, Stage};

/// The address of the node that all pods are on.
pub(crate) const HOST_IP: &str = "127.0.0.1";

/// What a kubelet says of a container that was never started, when its pod has ended.
const MESSAGE_NEVER_STARTED: &str =
    "The container could not be located when the pod was terminated";

/// A condition's status with the reason and message for it.
struct Verdict {
    is_true: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

/// The status of `pod` at `now`; a condition that stands as in `before` keeps its time of transition.
pub(crate) fn status_of(pod: &Pod, before: Option<&PodStatus>, now: Timestamp) -> PodStatus {
    let address = pod.pod_ip.clone();
    let (mains, inits): (Vec<&Container>, Vec<&Container>) =
        pod.containers.iter().partition(|c| c.plan.role == Role::Main);
    let statuses = |containers: Vec<&Container>| {
        (!containers.is_empty())
            .then(|| containers.into_iter().map(|c| container_status(pod, c)).collect())
    };
    PodStatus {
        conditions: Some(conditions(pod, before, now)),
        container_statuses: statuses(mains),
        init_container_statuses: statuses(inits),
        host_ip: Some(HOST_IP.to_owned()),
        host_ips: Some(vec![HostIP { ip: HOST_IP.to_owned() }]),
        message: pod.failure.as_ref().map(|(_, message)| message.clone()),
        observed_generation: pod.sight.generation,
        phase: Some(phase_name(pod.phase()).to_owned()),
        pod_ips: address.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip: address,
        reason: pod.failure.as_ref().map(|(reason, _)| (*reason).to_owned()),
        start_time: Some(Time(whole_second(pod.accepted_at))),
        ..PodStatus::default()
    }
}

/// The phase as the API spells it.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Running => "Running",
        Phase::Succeeded => "Succeeded",
        Phase::Failed => "Failed",
    }
}

/// The state of `container` as the status shows it.
pub(crate) fn container_state(pod: &Pod, container: &Container) -> ContainerState {
    let waiting = |reason: &str, message: Option<String>| ContainerState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message }),
        ..ContainerState::default()
    };
    match &container.state {
        State::Waiting | State::Starting if is_cut_short(pod) => ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: EXIT_CODE_KILLED,
                reason: Some("ContainerStatusUnknown".to_owned()),
                message: Some(MESSAGE_NEVER_STARTED.to_owned()),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        },
        State::Waiting | State::Starting => {
            let is_behind_inits =
                container.plan.role == Role::Main && pod.first_incomplete().is_some();
            let reason = if is_behind_inits { "PodInitializing" } else { "ContainerCreating" };
            waiting(reason, pod.obstacle.clone())
        }
        State::Running { since } => ContainerState {
            running: Some(ContainerStateRunning { started_at: Some(Time(whole_second(*since))) }),
            ..ContainerState::default()
        },
        State::Ended(end) => terminated(pod, container, end, container.runs),
        State::BackOff { wait } => {
            waiting("CrashLoopBackOff", Some(back_off_message(pod, container, *wait)))
        }
    }
}

fn container_status(pod: &Pod, container: &Container) -> ContainerStatus {
    let is_running = matches!(container.state, State::Running { .. });
    let has_begun = container.was_started;
    let restarts = container.runs.saturating_sub(1);
    ContainerStatus {
        name: container.plan.name.clone(),
        image: container.plan.image.clone(),
        image_id: if has_begun { container.plan.image.clone() } else { String::new() },
        container_id: has_begun.then(|| container_id(pod, container, container.runs)),
        ready: match container.plan.role {
            Role::Init => container.exit_code() == Some(0),
            Role::Sidecar | Role::Main => is_running,
        },
        restart_count: i32::try_from(restarts).unwrap_or(i32::MAX),
        started: Some(is_running),
        state: Some(container_state(pod, container)),
        last_state: container.last.as_ref().map(|end| terminated(pod, container, end, restarts)),
        ..ContainerStatus::default()
    }
}

fn terminated(pod: &Pod, container: &Container, end: &End, run: u32) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(container_id(pod, container, run)),
            exit_code: end.exit_code,
            reason: Some(end.reason.to_owned()),
            message: end.message.clone(),
            started_at: end.started_at.map(|at| Time(whole_second(at))),
            finished_at: Some(Time(whole_second(end.finished_at))),
            signal: None,
        }),
        ..ContainerState::default()
    }
}

fn container_id(pod: &Pod, container: &Container, run: u32) -> String {
    format!("standin://{}/{}/{run}", pod.plan.uid, container.plan.name)
}

fn back_off_message(pod: &Pod, container: &Container, wait: Duration) -> String {
    let plan = &pod.plan;
    format!(
        "back-off {}s restarting failed container={} pod={}_{}({})",
        wait.as_secs(),
        container.plan.name,
        plan.name,
        plan.namespace,
        plan.uid
    )
}

fn conditions(pod: &Pod, before: Option<&PodStatus>, now: Timestamp) -> Vec<PodCondition> {
    let containers_ready = containers_ready(pod);
    let ready = ready(pod, &containers_ready);
    let has_sandbox = pod.pod_ip.is_some() && pod.stage != Stage::Ended;
    [
        ("PodReadyToStartContainers", Verdict::bare(has_sandbox)),
        ("Initialized", initialized(pod)),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
        // Who bound the pod may have left it to the node to say so.
        ("PodScheduled", Verdict::bare(true)),
    ]
    .into_iter()
    .map(|(kind, verdict)| condition(kind, verdict, pod, before, now))
    .collect()
}

fn condition(
    kind: &str,
    verdict: Verdict,
    pod: &Pod,
    before: Option<&PodStatus>,
    now: Timestamp,
) -> PodCondition {
    let status = if verdict.is_true { "True" } else { "False" };
    let known = before.into_iter().flat_map(|s| s.conditions.iter().flatten());
    let since = known
        .filter(|c| c.type_ == kind && c.status == status)
        .find_map(|c| c.last_transition_time.clone());
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.map(str::to_owned),
        message: verdict.message,
        last_transition_time: Some(since.unwrap_or_else(|| Time(whole_second(now)))),
        observed_generation: pod.sight.generation,
        last_probe_time: None,
    }
}

fn initialized(pod: &Pod) -> Verdict {
    if pod.phase() == Phase::Succeeded {
        return Verdict { reason: Some("PodCompleted"), ..Verdict::bare(true) };
    }
    let incomplete = pod.containers.iter().filter(|c| match c.plan.role {
        Role::Init => c.exit_code() != Some(0),
        Role::Sidecar => !c.was_started,
        Role::Main => false,
    });
    match names(incomplete) {
        None => Verdict::bare(true),
        Some(list) => Verdict::no(
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{list}]"),
        ),
    }
}

fn containers_ready(pod: &Pod) -> Verdict {
    match pod.phase() {
        Phase::Succeeded => Verdict { reason: Some("PodCompleted"), ..Verdict::bare(false) },
        Phase::Failed if !is_cut_short(pod) => {
            Verdict { reason: Some("PodFailed"), ..Verdict::bare(false) }
        }
        Phase::Pending | Phase::Running | Phase::Failed => {
            let unready = pod.containers.iter().filter(|c| match c.plan.role {
                Role::Init => false,
                Role::Sidecar | Role::Main => !matches!(c.state, State::Running { .. }),
            });
            match names(unready) {
                None => Verdict::bare(true),
                Some(list) => Verdict::no(
                    "ContainersNotReady",
                    format!("containers with unready status: [{list}]"),
                ),
            }
        }
    }
}

/// True for a pod that was initialized and ended before all its main containers had been started.
fn is_cut_short(pod: &Pod) -> bool {
    let mut mains = pod.containers.iter().filter(|c| c.plan.role == Role::Main);
    pod.stage == Stage::Ended
        && pod.first_incomplete().is_none()
        && mains.any(|c| c.exit_code().is_none())
}

fn ready(pod: &Pod, containers: &Verdict) -> Verdict {
    if !containers.is_true {
        return Verdict {
            reason: containers.reason,
            message: containers.message.clone(),
            ..Verdict::bare(false)
        };
    }
    let shut = pod.plan.gates.iter().filter_map(|gate| {
        match pod.sight.conditions.get(gate).map(String::as_str) {
            Some("True") => None,
            Some(status) => Some(format!(
                "the status of pod readiness gate {gate:?} is not \"True\", but {status}"
            )),
            None => Some(format!(
                "corresponding condition of pod readiness gate {gate:?} does not exist."
            )),
        }
    });
    let shut: Vec<String> = shut.collect();
    if shut.is_empty() {
        return Verdict::bare(true);
    }
    Verdict::no("ReadinessGatesNotReady", shut.join(", "))
}

fn names<'a>(containers: impl Iterator<Item = &'a Container>) -> Option<String> {
    let names: Vec<&str> = containers.map(|c| c.plan.name.as_str()).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

/// The API keeps whole seconds; a status compared with what was written must do the same.
fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

impl Verdict {
    fn bare(is_true: bool) -> Self {
        Self { is_true, reason: None, message: None }
    }

    fn no(reason: &'static str, message: String) -> Self {
        Self { is_true: false, reason: Some(reason), message: Some(message) }
    }
}
