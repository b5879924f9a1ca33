//! What a case leaves out: the third member of a set `web`, scaled away, whose two peers are ready.

use serde_json::{Value, json};

/// The moment at which every case plays unless it says otherwise: 2026-01-01 00:00 UTC.
const NOW_MS: u64 = 1_767_225_600_000;

/// The fields of a case, as they are where nothing is said of them.
pub(super) fn sample() -> Value {
    json!({
        "at": {
            "now": NOW_MS,
            "namespace": "default",
            "set-name": "web",
            "ordinal": 2,
            "cause": "scale-down",
            "set": set(2),
            "start": 0,
            "replicas": 2,
            "claims": [{
                "name": "data-web-2",
                "template": "data",
                "capacity-bytes": 1_073_741_824_u64,
                "storage-class": "standard",
                "access-modes": ["ReadWriteOnce"],
                "labels": [],
                "annotations": [],
            }],
            "peers": [peer(0), peer(1)],
            "config": "",
            "attempt": 1,
            "orphan-since": NOW_MS - 1_000,
            "state": "",
            "extra": [],
        },
        "pod": {
            "created": NOW_MS - 6_000,
            "phase": "running",
            "reason": "",
            "message": "",
            "node": "node-1",
            "conditions": [],
            "containers": [{
                "name": "web",
                "kind": "main",
                "rendered": true,
                "state": { "running": NOW_MS - 5_000 },
                "restarts": 0,
                "ready": false,
            }],
            "labels": [],
            "annotations": [],
            "terminating": false,
            "ending": "not-ended",
            "wanted": false,
            "can-cancel": true,
        },
        "of": {
            "namespace": "default",
            "set-name": "web",
            "set": set(3),
            "config": "",
            "extra": [],
        },
    })
}

fn set(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": { "name": "web", "namespace": "default", "annotations": {} },
        "spec": {
            "replicas": replicas,
            "serviceName": "web",
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": {
                    "containers": [{
                        "name": "web",
                        "image": "example/store:1",
                        "command": ["/store", "serve"],
                        "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
                    }],
                },
            },
            "volumeClaimTemplates": [{ "metadata": { "name": "data" } }],
        },
    })
}

fn peer(ordinal: u32) -> Value {
    json!({
        "ordinal": ordinal,
        "name": format!("web-{ordinal}"),
        "stays": true,
        "holder": "member",
        "ready": true,
        "ready-since": NOW_MS - 60_000,
        "terminating": false,
        "node": "node-1",
        "ips": [format!("10.0.0.{}", ordinal + 10)],
        "labels": [["app", "web"]],
    })
}
