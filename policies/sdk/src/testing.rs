//! What a policy may be shown, for native tests. Each function gives a plain value whose fields a test may then change:
//!
//! ```
//! use tidegate_policy::{Situation, testing};
//!
//! let at = Situation { config: "{}".to_owned(), ..testing::situation("web", 2, 2) };
//! assert_eq!((at.peers.len(), at.claims[0].name.as_str()), (2, "data-web-2"));
//! ```

use crate::log::Level;
use crate::{
    Cause, Claim, Container, ContainerKind, ContainerState, DrainPod, Ending, Exit, Holder, Peer,
    Phase, Proposal, Situation,
};
use serde_json::{Value, json};
use std::cell::RefCell;

/// The moment at which every situation here plays: 2026-01-01 00:00 UTC.
pub const NOW_MS: u64 = 1_767_225_600_000;

thread_local! {
    static LOGGED: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// The lines that this thread has logged since the last call, oldest first.
pub fn logged() -> Vec<(Level, String)> {
    LOGGED.with_borrow_mut(std::mem::take)
}

pub(crate) fn collect(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
    LOGGED.with_borrow_mut(|lines| lines.push((level, message.to_owned())));
}

/// Ordinal `ordinal` of a set that was scaled down to `replicas` members, all of which are ready. The set has one container,
/// named like the set, that mounts the one claim template `data` at `/data`.
pub fn situation(set_name: &str, ordinal: u32, replicas: u32) -> Situation {
    Situation {
        now: NOW_MS,
        namespace: "default".to_owned(),
        set_name: set_name.to_owned(),
        ordinal,
        cause: Cause::ScaleDown,
        set: set(set_name, replicas).to_string(),
        start: 0,
        replicas,
        claims: vec![claim(set_name, "data", ordinal)],
        peers: (0..replicas).map(|peer| ready_peer(set_name, peer)).collect(),
        config: String::new(),
        attempt: 1,
        orphan_since: NOW_MS - 1_000,
        state: String::new(),
        extra: Vec::new(),
    }
}

/// What the owner of the set of [`situation`] proposes with this config.
pub fn proposal(set_name: &str, config: &str) -> Proposal {
    Proposal {
        namespace: "default".to_owned(),
        set_name: set_name.to_owned(),
        set: set(set_name, 3).to_string(),
        config: config.to_owned(),
        extra: Vec::new(),
    }
}

/// The StatefulSet of [`situation`], to be changed and put into [`Situation::set`] as text.
pub fn set(set_name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": { "name": set_name, "namespace": "default", "annotations": {} },
        "spec": {
            "replicas": replicas,
            "serviceName": set_name,
            "selector": { "matchLabels": { "app": set_name } },
            "template": {
                "metadata": { "labels": { "app": set_name } },
                "spec": {
                    "restartPolicy": "Always",
                    "containers": [{
                        "name": set_name,
                        "image": "example/store:1",
                        "command": ["/store", "serve"],
                        "args": ["--dir=/data"],
                        "ports": [{ "containerPort": 7000 }],
                        "env": [{ "name": "MODE", "value": "serve" }],
                        "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
                    }],
                },
            },
            "volumeClaimTemplates": [{ "metadata": { "name": "data" } }],
        },
    })
}

/// A bound claim of 1 GiB.
pub fn claim(set_name: &str, template: &str, ordinal: u32) -> Claim {
    Claim {
        name: format!("{template}-{set_name}-{ordinal}"),
        template: template.to_owned(),
        capacity_bytes: Some(1 << 30),
        storage_class: Some("standard".to_owned()),
        access_modes: vec!["ReadWriteOnce".to_owned()],
        labels: Vec::new(),
        annotations: Vec::new(),
    }
}

/// A member that stays and has been ready for a minute.
pub fn ready_peer(set_name: &str, ordinal: u32) -> Peer {
    Peer {
        ordinal,
        name: format!("{set_name}-{ordinal}"),
        stays: true,
        holder: Holder::Member,
        ready: true,
        ready_since: Some(NOW_MS - 60_000),
        terminating: false,
        node: Some("node-1".to_owned()),
        ips: vec![format!("10.0.0.{}", ordinal % 200 + 10)],
        labels: vec![("app".to_owned(), set_name.to_owned())],
    }
}

/// A drain pod whose one container runs.
pub fn running(container: &str) -> DrainPod {
    drain_pod(container, Phase::Running, ContainerState::Running(NOW_MS - 5_000), Ending::NotEnded)
}

/// A drain pod that ended by itself with success, and the termination message that its one container left.
pub fn ended_by_itself(container: &str, message: &str) -> DrainPod {
    let state = ContainerState::Exited(exit(0, "Completed", message));
    drain_pod(container, Phase::Succeeded, state, Ending::ByItself)
}

/// A drain pod whose one container exited with `code`.
pub fn failed(container: &str, code: i32) -> DrainPod {
    let state = ContainerState::Exited(exit(code, "Error", ""));
    let how = format!("container `{container}` exited with {code}");
    drain_pod(container, Phase::Failed, state, Ending::Failed(how))
}

/// A drain pod that was evicted and whose process exited with 0 when it was told to stop, which looks much like success.
pub fn evicted(container: &str) -> DrainPod {
    let state = ContainerState::Exited(exit(0, "Completed", ""));
    let by = "evicted (EvictionByEvictionAPI)".to_owned();
    let mut pod = drain_pod(container, Phase::Succeeded, state, Ending::CutShort(by));
    pod.terminating = true;
    pod
}

/// A rendered main container that has never been restarted.
pub fn container(name: &str, state: ContainerState) -> Container {
    Container {
        name: name.to_owned(),
        kind: ContainerKind::Main,
        rendered: true,
        state,
        last_exit: None,
        restarts: 0,
        ready: false,
    }
}

/// The end of a container that ran for four seconds.
pub fn exit(code: i32, reason: &str, message: &str) -> Exit {
    Exit {
        code,
        reason: reason.to_owned(),
        message: message.to_owned(),
        started: Some(NOW_MS - 5_000),
        finished: Some(NOW_MS - 1_000),
    }
}

fn drain_pod(name: &str, phase: Phase, state: ContainerState, ending: Ending) -> DrainPod {
    DrainPod {
        created: NOW_MS - 6_000,
        phase,
        reason: String::new(),
        message: String::new(),
        node: Some("node-1".to_owned()),
        conditions: Vec::new(),
        containers: vec![container(name, state)],
        labels: Vec::new(),
        annotations: Vec::new(),
        terminating: false,
        ending,
        wanted: false,
        can_cancel: true,
    }
}
