//! A set of one wanted member whose ordinal 1 has been drained: its claim and its drain pod, as the API server shows them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_core::{Ordinal, Seat, Seen, View};

use super::{Objects, observe};
use crate::{
    marks::{self, Containers, Marks},
    objects::ClaimObject,
};

/// The ordinal that has been drained.
pub(crate) const DRAINED: Ordinal = Ordinal(1);

/// The objects, to be changed before they are read.
pub(crate) struct Sample {
    /// The set.
    pub(crate) set: Value,
    /// The claim of the drained ordinal.
    pub(crate) claim: Value,
    /// Claims beside it.
    pub(crate) others: Vec<Value>,
    /// Its drain pod, sealed.
    pub(crate) pod: Value,
}

impl Sample {
    /// As a passage leaves them just before its claim is deleted.
    pub(crate) fn sealed() -> Self {
        let named = |name: &str, uid: &str| json!({ "namespace": "ns", "name": name, "uid": uid, "resourceVersion": "7" });
        let mut set = named("web", "set-uid");
        set["annotations"] = json!({ "tidegate.dev/policy": "library:exec" });
        let mut claim = named("data-web-1", "claim-uid");
        claim["labels"] = json!({ marks::SET_UID: "set-uid" });
        let mut pod = named("web-1", "pod-uid");
        pod["labels"] = json!({ marks::SET_UID: "set-uid" });
        pod["annotations"] = json!({ marks::DRAIN: marks().to_json(), marks::SEALED: "pod-uid" });
        pod["finalizers"] = json!([marks::SEAL]);
        pod["ownerReferences"] = json!([{
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "name": "data-web-1",
            "uid": "claim-uid",
            "controller": true,
        }]);
        Self {
            set: json!({
                "metadata": set,
                "spec": {
                    "replicas": 1,
                    "volumeClaimTemplates": [{ "metadata": { "name": "data" } }],
                },
            }),
            claim: json!({ "metadata": claim, "status": { "phase": "Bound" } }),
            others: Vec::new(),
            pod: json!({
                "metadata": pod,
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [{ "name": "drain" }],
                    "volumes": [{
                        "name": "data",
                        "persistentVolumeClaim": { "claimName": "data-web-1" },
                    }],
                },
                "status": {
                    "phase": "Succeeded",
                    "containerStatuses": [{
                        "name": "drain",
                        "state": { "terminated": { "exitCode": 0 } },
                    }],
                },
            }),
        }
    }

    /// What a live read of them says.
    pub(crate) fn seen(&self) -> Seen {
        let set = serde_json::from_value(self.set.clone()).unwrap();
        let claim = serde_json::from_value(self.claim.clone()).unwrap();
        let pod = serde_json::from_value(self.pod.clone()).unwrap();
        let others: Vec<ClaimObject> =
            self.others.iter().map(|it| serde_json::from_value(it.clone()).unwrap()).collect();
        let claims = [&claim].into_iter().chain(&others).collect();
        let objects = Objects { set: &set, claims, pods: vec![&pod], other_set: &|_| None };
        observe(&objects, View::LiveInOrder).unwrap()
    }

    /// What it says of the drained ordinal.
    pub(crate) fn seat(&self) -> Seat {
        self.seen().seats.remove(&DRAINED).unwrap()
    }
}

/// The marks of its drain pod.
pub(crate) fn marks() -> Marks {
    Marks {
        version: Marks::VERSION,
        set: "web".into(),
        set_uid: "set-uid".into(),
        generation: 2,
        ordinal: DRAINED.0,
        attempt: 1,
        policy_namespace: "tidegate".into(),
        policy: "exec/policy.wasm@sha256:d".into(),
        digest: "d".into(),
        config: String::new(),
        containers: Containers { main: vec!["drain".into()], ..Containers::default() },
        claims: BTreeMap::from([("data".to_owned(), "claim-uid".to_owned())]),
        owner: "data".into(),
        orphan_since_ms: 0,
    }
}
