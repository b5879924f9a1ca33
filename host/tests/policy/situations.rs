//! What the tests tell a policy.

use tidegate::policy::wit::{Cause, Claim, DrainPod, Ending, Holder, Peer, Phase, Situation};

/// The third of three members, scaled away.
pub(crate) fn situation() -> Situation {
    let claim = Claim {
        name: "data-web-2".to_owned(),
        template: "data".to_owned(),
        capacity_bytes: Some(1 << 30),
        storage_class: Some("standard".to_owned()),
        access_modes: vec!["ReadWriteOnce".to_owned()],
        labels: vec![("app".to_owned(), "web".to_owned())],
        annotations: Vec::new(),
    };
    Situation {
        now: 1_700_000_000_000,
        namespace: "shop".to_owned(),
        set_name: "web".to_owned(),
        ordinal: 2,
        cause: Cause::ScaleDown,
        set: r#"{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"web"}}"#
            .to_owned(),
        start: 0,
        replicas: 2,
        claims: vec![claim],
        peers: vec![peer(0), peer(1)],
        config: String::new(),
        attempt: 1,
        orphan_since: 1_699_999_990_000,
        state: String::new(),
        extra: Vec::new(),
    }
}

/// A drain pod that runs.
pub(crate) fn drain_pod() -> DrainPod {
    DrainPod {
        created: 1_699_999_995_000,
        phase: Phase::Running,
        reason: String::new(),
        message: String::new(),
        node: Some("node-1".to_owned()),
        conditions: Vec::new(),
        containers: Vec::new(),
        labels: Vec::new(),
        annotations: Vec::new(),
        terminating: false,
        ending: Ending::NotEnded,
        wanted: false,
        can_cancel: true,
    }
}

fn peer(ordinal: u32) -> Peer {
    Peer {
        ordinal,
        name: format!("web-{ordinal}"),
        stays: true,
        holder: Holder::Member,
        ready: true,
        ready_since: Some(1_699_000_000_000),
        terminating: false,
        node: Some("node-1".to_owned()),
        ips: vec!["10.0.0.7".to_owned()],
        labels: Vec::new(),
    }
}
