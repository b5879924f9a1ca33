//! What was seen, in the words of the contract.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tidegate_core::{Drain, Ending, Holder, Ordinal, TimeMs, ending::Kind};

use super::wit;
use crate::{
    drain_pod::Traffic,
    host::Sight,
    marks::Marks,
    objects::{ClaimObject, Condition, ContainerState, ContainerStatus, PodObject},
    observe::{containers_of, is_rendered},
};

/// The shortest delay that a policy can ask for, in milliseconds: a policy cannot make the host spin.
const DELAY_MIN_MS: u64 = 1_000;
/// The longest, in milliseconds: what is not asked about for longer looks as if it hung.
const DELAY_MAX_MS: u64 = 3_600_000;

/// The delay, held between its bounds.
#[must_use]
pub fn held(delay_ms: u64) -> u64 {
    delay_ms.clamp(DELAY_MIN_MS, DELAY_MAX_MS)
}

/// Whether a drain pod takes part in traffic.
#[must_use]
pub const fn traffic(traffic: wit::Traffic) -> Traffic {
    match traffic {
        wit::Traffic::None => Traffic::None,
        wit::Traffic::AsLabelled => Traffic::AsLabelled,
    }
}

/// What a policy is told about an ordinal.
#[must_use]
pub fn situation(
    sight: &Sight,
    ordinal: Ordinal,
    now: TimeMs,
    config: &str,
    attempt: u32,
    state: &str,
) -> wit::Situation {
    let set = &sight.seen.set;
    let seat = sight.seen.seats.get(&ordinal);
    // Of a set that departs, those below stay until their turn.
    let (cause, replicas) = if set.departs() {
        (wit::Cause::SetDeleted, ordinal.0.saturating_sub(set.start))
    } else {
        (wit::Cause::ScaleDown, set.replicas)
    };
    wit::Situation {
        now: now.0,
        namespace: set.namespace.clone(),
        set_name: set.name.clone(),
        ordinal: ordinal.0,
        cause,
        set: sight.set_json.to_string(),
        start: set.start,
        replicas,
        claims: seat.map(|seat| claims(sight, &seat.claims)).unwrap_or_default(),
        peers: peers(sight, ordinal),
        config: config.to_owned(),
        attempt,
        orphan_since: seat.and_then(|seat| seat.orphan_since).unwrap_or(now).0,
        state: state.to_owned(),
        extra: Vec::new(),
    }
}

/// What the host tells about a drain pod beyond what the pod shows.
#[derive(Clone, Copy, Debug)]
pub struct Outlook {
    /// Whether the set wants the ordinal back.
    pub wanted: bool,
    /// Whether no claim is being deleted yet.
    pub can_cancel: bool,
}

/// What a policy is told about its drain pod.
#[must_use]
pub fn drain_pod(pod: &PodObject, marks: &Marks, drain: &Drain, outlook: Outlook) -> wit::DrainPod {
    let status = &pod.status;
    wit::DrainPod {
        created: time(pod.metadata.creation_timestamp.as_ref()).unwrap_or_default(),
        phase: phase(status.phase.as_deref()),
        reason: status.reason.clone().unwrap_or_default(),
        message: status.message.clone().unwrap_or_default(),
        node: pod.spec.node_name.clone(),
        conditions: status.conditions.iter().map(condition).collect(),
        containers: containers_of(pod)
            .map(|(spec, kind, status)| {
                let rendered = is_rendered(marks, kind, &spec.name);
                container(&spec.name, kind, rendered, status)
            })
            .collect(),
        labels: pairs(pod.metadata.labels.as_ref()),
        annotations: pairs(pod.metadata.annotations.as_ref()),
        terminating: drain.terminating,
        ending: match &drain.ending {
            Ending::NotEnded => wit::Ending::NotEnded,
            Ending::ByItself => wit::Ending::ByItself,
            Ending::Failed(why) => wit::Ending::Failed(why.clone()),
            Ending::CutShort(why) => wit::Ending::CutShort(why.clone()),
        },
        wanted: outlook.wanted,
        can_cancel: outlook.can_cancel,
    }
}

fn claims(sight: &Sight, claims: &BTreeMap<String, tidegate_core::Claim>) -> Vec<wit::Claim> {
    let mut claims: Vec<wit::Claim> = claims
        .iter()
        .map(|(template, claim)| {
            let object = sight.claims.get(&claim.name);
            let meta = object.map(|object| &object.metadata);
            wit::Claim {
                name: claim.name.clone(),
                template: template.clone(),
                capacity_bytes: object.and_then(capacity_bytes),
                storage_class: object.and_then(|object| object.spec.storage_class_name.clone()),
                access_modes: object.map(|it| it.spec.access_modes.clone()).unwrap_or_default(),
                labels: pairs(meta.and_then(|meta| meta.labels.as_ref())),
                annotations: pairs(meta.and_then(|meta| meta.annotations.as_ref())),
            }
        })
        .collect();
    claims.sort_by(|one, other| one.name.cmp(&other.name));
    claims
}

fn peers(sight: &Sight, ordinal: Ordinal) -> Vec<wit::Peer> {
    let set = &sight.seen.set;
    let others = sight.seen.seats.iter().filter(|(other, seat)| {
        let stays = set.keeps_beside(ordinal, **other);
        **other != ordinal && (stays || seat.holder != Holder::Nobody)
    });
    others
        .map(|(other, seat)| {
            let pod = sight.pods.get(other);
            let ready = pod.and_then(|pod| pod.true_condition("Ready"));
            wit::Peer {
                ordinal: other.0,
                name: set.member(*other),
                stays: set.keeps_beside(ordinal, *other),
                holder: match &seat.holder {
                    Holder::Member(_) => wit::Holder::Member,
                    Holder::Drain(_) => wit::Holder::DrainPod,
                    Holder::Nobody => wit::Holder::Nobody,
                    Holder::Foreign { .. } => wit::Holder::Other("foreign-pod".to_owned()),
                },
                ready: ready.is_some(),
                ready_since: ready.and_then(|ready| time(ready.last_transition_time.as_ref())),
                terminating: pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some()),
                node: pod.and_then(|pod| pod.spec.node_name.clone()),
                ips: pod
                    .map(|pod| pod.status.pod_ips.iter().map(|it| it.ip.clone()).collect())
                    .unwrap_or_default(),
                labels: pairs(pod.and_then(|pod| pod.metadata.labels.as_ref())),
            }
        })
        .collect()
}

fn container(
    name: &str,
    kind: Kind,
    rendered: bool,
    status: Option<&ContainerStatus>,
) -> wit::Container {
    let unknown = ContainerState::default();
    wit::Container {
        name: name.to_owned(),
        kind: match kind {
            Kind::Main => wit::ContainerKind::Main,
            Kind::Init => wit::ContainerKind::Init,
            Kind::NativeSidecar => wit::ContainerKind::NativeSidecar,
        },
        rendered,
        state: state(status.map_or(&unknown, |status| &status.state)),
        last_exit: status.and_then(|status| exit(&status.last_state)),
        restarts: status.map_or(0, |status| status.restart_count),
        ready: status.is_some_and(|status| status.ready),
    }
}

fn state(state: &ContainerState) -> wit::ContainerState {
    if let Some(exit) = exit(state) {
        return wit::ContainerState::Exited(exit);
    }
    if let Some(running) = &state.running {
        return wit::ContainerState::Running(time(running.started_at.as_ref()).unwrap_or_default());
    }
    match &state.waiting {
        Some(waiting) => wit::ContainerState::Waiting(waiting.reason.clone().unwrap_or_default()),
        None => wit::ContainerState::Unknown,
    }
}

fn exit(state: &ContainerState) -> Option<wit::Exit> {
    let ended = state.terminated.as_ref()?;
    Some(wit::Exit {
        code: ended.exit_code,
        reason: ended.reason.clone().unwrap_or_default(),
        message: ended.message.clone().unwrap_or_default(),
        started: time(ended.started_at.as_ref()),
        finished: time(ended.finished_at.as_ref()),
    })
}

fn condition(condition: &Condition) -> wit::Condition {
    wit::Condition {
        kind: condition.kind.clone(),
        status: condition.status.clone(),
        reason: condition.reason.clone().unwrap_or_default(),
        message: condition.message.clone().unwrap_or_default(),
        since: time(condition.last_transition_time.as_ref()),
    }
}

fn phase(text: Option<&str>) -> wit::Phase {
    match text {
        Some("Pending") => wit::Phase::Pending,
        Some("Running") => wit::Phase::Running,
        Some("Succeeded") => wit::Phase::Succeeded,
        Some("Failed") => wit::Phase::Failed,
        Some(_) | None => wit::Phase::Unknown,
    }
}

fn pairs(map: Option<&BTreeMap<String, String>>) -> Vec<(String, String)> {
    map.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn time(time: Option<&Time>) -> Option<u64> {
    u64::try_from(time?.0.as_millisecond()).ok()
}

/// The claim's size in bytes, where the API server's notation is one of its usual ones.
fn capacity_bytes(claim: &ClaimObject) -> Option<u64> {
    let text = claim.status.capacity.get("storage")?;
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let unit: u64 = match suffix {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}
