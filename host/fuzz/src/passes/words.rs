//! What means something in the objects of one set.

use crate::json::Word;

const TIMES: &[&str] = &[
    "null",
    r#""2026-01-01T00:00:00Z""#,
    r#""1969-12-31T23:59:59Z""#,
    r#""2262-04-12T00:00:00Z""#,
];
const UIDS: &[&str] =
    &[r#""set-uid""#, r#""claim-2""#, r#""claim-1""#, r#""pod-2""#, r#""old-set-uid""#];
const NUMBERS: &[&str] = &["0", "1", "2", "3", "-1", "4294967295", "4294967296"];
const ANSWERS: &[&str] = &[
    r#""complete""#,
    r#""keep""#,
    r#""refuse""#,
    r#""cancel""#,
    r#""fail""#,
    r#""module-gone""#,
    r#""fault""#,
    r#"{"retry":{"afterMs":18446744073709551615}}"#,
    r#"{"wait":{"percent":50,"state":"half","askAgainAt":5}}"#,
    r#"{"pod":{"template":{"spec":{"containers":[{"name":"drain","volumeMounts":[{"name":"data"}]}]}},"state":"s"}}"#,
];

/// Every field that the host reads, and every answer.
pub const WORDS: &[Word] = &[
    Word {
        within: "",
        key: "now",
        values: &["0", "1767225600000", "1767225604999", "18446744073709551615"],
    },
    Word { within: "", key: "acquaintance", values: &[r#""late""#, r#""from-the-start""#] },
    Word { within: "", key: "namespaceUid", values: &["null", r#""ns-uid""#] },
    Word { within: "", key: "kept", values: &["[]", "[2]", "[0,1,2]"] },
    Word {
        within: "others",
        key: "old-set-uid",
        values: &[r#""lives""#, r#""terminating""#, r#""gone""#],
    },
    Word { within: "answers", key: "*", values: ANSWERS },
    Word { within: "answers", key: "2", values: ANSWERS },
    Word { within: "answers", key: "1", values: ANSWERS },
    Word { within: "metadata", key: "deletionTimestamp", values: TIMES },
    Word { within: "metadata", key: "uid", values: UIDS },
    Word { within: "metadata", key: "generation", values: NUMBERS },
    Word { within: "metadata", key: "resourceVersion", values: &[r#""7""#, r#""8""#] },
    Word {
        within: "metadata",
        key: "name",
        values: &[
            r#""web-2""#,
            r#""web-1""#,
            r#""web-0""#,
            r#""web-02""#,
            r#""data-web-2""#,
            r#""wal-web-2""#,
            r#""web""#,
        ],
    },
    Word {
        within: "metadata",
        key: "finalizers",
        values: &[
            "null",
            "[]",
            r#"["tidegate.dev/seal"]"#,
            r#"["tidegate.dev/drain-on-delete"]"#,
            r#"["tidegate.dev/drain-on-delete","foregroundDeletion"]"#,
            r#"["tidegate.dev/drain-on-delete","orphan"]"#,
            r#"["kubernetes.io/pvc-protection","foregroundDeletion"]"#,
            r#"["example.com/x"]"#,
        ],
    },
    Word {
        within: "metadata",
        key: "ownerReferences",
        values: &[
            "null",
            "[]",
            r#"[{"apiVersion":"v1","kind":"PersistentVolumeClaim","name":"data-web-2","uid":"claim-2","controller":true}]"#,
            r#"[{"apiVersion":"apps/v1","kind":"StatefulSet","name":"web","uid":"set-uid","controller":true}]"#,
            r#"[{"apiVersion":"apps/v1","kind":"StatefulSet","name":"web","uid":"set-uid"}]"#,
            r#"[{"apiVersion":"v1","kind":"Namespace","name":"shop","uid":"ns-uid"}]"#,
            r#"[{"apiVersion":"v1","kind":"Pod","name":"web-2","uid":"pod-2"}]"#,
        ],
    },
    Word { within: "labels", key: "tidegate.dev/set-uid", values: UIDS },
    Word {
        within: "annotations",
        key: "tidegate.dev/policy",
        values: &[r#""library:exec""#, r#""p""#],
    },
    Word {
        within: "annotations",
        key: "tidegate.dev/on-set-deleted",
        values: &[r#""drain""#, r#""keep""#, r#""x""#],
    },
    Word {
        within: "annotations",
        key: "tidegate.dev/paused",
        values: &[r#""true""#, r#""false""#],
    },
    Word { within: "annotations", key: "tidegate.dev/delay", values: &[r#""90s""#, r#""0s""#] },
    Word { within: "annotations", key: "tidegate.dev/max-parallel", values: &[r#""1""#, r#""2""#] },
    Word {
        within: "annotations",
        key: "tidegate.dev/scale-to-zero",
        values: &[r#""drain""#, r#""keep""#],
    },
    Word {
        within: "annotations",
        key: "statefulsets.kubernetes.io/drainer-pod-template",
        values: &[r#""{}""#],
    },
    Word {
        within: "annotations",
        key: "tidegate.dev/sealed",
        values: &[r#""pod-2""#, r#""given-back pod-2""#, r#""""#],
    },
    Word {
        within: "annotations",
        key: "tidegate.dev/drained",
        values: &[r#""1767225600000""#, r#""soon""#, r#""0""#],
    },
    Word {
        within: "annotations",
        key: "tidegate.dev/drain",
        values: &[
            r#""{\"version\":1,\"set\":\"web\",\"setUid\":\"set-uid\",\"generation\":3,\"ordinal\":2,\"attempt\":1,\"policyNamespace\":\"shop\",\"policy\":\"p@sha256:d\",\"digest\":\"d\",\"config\":\"\",\"containers\":{\"main\":[\"drain\"],\"init\":[],\"sidecar\":[]},\"claims\":{\"data\":\"claim-2\"},\"owner\":\"data\",\"orphanSinceMs\":0}""#,
            r#""{\"version\":1,\"set\":\"web\",\"setUid\":\"set-uid\",\"generation\":2,\"ordinal\":2,\"attempt\":4294967295,\"policyNamespace\":\"shop\",\"policy\":\"p@sha256:d\",\"digest\":\"d\",\"config\":\"\",\"containers\":{\"main\":[\"drain\"],\"init\":[\"first\"],\"sidecar\":[\"side\"]},\"claims\":{\"data\":\"claim-2\",\"wal\":\"wal-2\"},\"owner\":\"data\",\"orphanSinceMs\":18446744073709551615}""#,
            r#""{\"version\":1,\"set\":\"web\",\"setUid\":\"old-set-uid\",\"generation\":2,\"ordinal\":2,\"attempt\":1,\"policyNamespace\":\"shop\",\"policy\":\"p@sha256:d\",\"digest\":\"d\",\"config\":\"\",\"containers\":{\"main\":[\"drain\"],\"init\":[],\"sidecar\":[]},\"claims\":{\"data\":\"claim-2\"},\"owner\":\"data\",\"orphanSinceMs\":0}""#,
            r#""{\"version\":2}""#,
        ],
    },
    Word {
        within: "annotations",
        key: "tidegate.dev/record",
        values: &[
            r#""{\"version\":1,\"setUid\":\"set-uid\",\"generation\":3,\"attempt\":2,\"notBeforeMs\":1767225601000}""#,
            r#""{\"version\":1,\"setUid\":\"set-uid\",\"generation\":3,\"attempt\":4294967295,\"state\":\"half\",\"stateAtMs\":1767225600000}""#,
            r#""{\"version\":1,\"setUid\":\"set-uid\",\"generation\":3,\"attempt\":1,\"hold\":{\"why\":\"w\",\"settings\":\"00\"}}""#,
            r#""{\"version\":1,\"setUid\":\"old-set-uid\",\"generation\":1,\"attempt\":9}""#,
            r#""{\"version\":2}""#,
            r#""""#,
        ],
    },
    Word { within: "spec", key: "replicas", values: &["0", "1", "2", "3", "null", "-1", "40"] },
    Word {
        within: "spec",
        key: "ordinals",
        values: &["null", r#"{"start":1}"#, r#"{"start":3}"#, r#"{"start":4294967295}"#],
    },
    Word {
        within: "spec",
        key: "podManagementPolicy",
        values: &[r#""Parallel""#, r#""OrderedReady""#],
    },
    Word {
        within: "spec",
        key: "persistentVolumeClaimRetentionPolicy",
        values: &["null", r#"{"whenScaled":"Delete"}"#, r#"{"whenDeleted":"Delete"}"#],
    },
    Word {
        within: "spec",
        key: "volumeClaimTemplates",
        values: &[
            "[]",
            r#"[{"metadata":{"name":"data"}}]"#,
            r#"[{"metadata":{"name":"data"}},{"metadata":{"name":"wal"}}]"#,
            r#"[{"metadata":{}}]"#,
        ],
    },
    Word {
        within: "spec",
        key: "restartPolicy",
        values: &[r#""Never""#, r#""Always""#, r#""OnFailure""#],
    },
    Word {
        within: "spec",
        key: "volumes",
        values: &[
            "null",
            r#"[{"name":"data","persistentVolumeClaim":{"claimName":"data-web-2"}}]"#,
            r#"[{"name":"data","persistentVolumeClaim":{"claimName":"data-web-2"}},{"name":"wal","persistentVolumeClaim":{"claimName":"wal-web-2"}}]"#,
            r#"[{"name":"data","ephemeral":{}}]"#,
        ],
    },
    Word {
        within: "spec",
        key: "initContainers",
        values: &["null", r#"[{"name":"first"},{"name":"side","restartPolicy":"Always"}]"#],
    },
    Word {
        within: "spec",
        key: "containers",
        values: &[r#"[{"name":"drain"}]"#, r#"[{"name":"drain"},{"name":"mesh"}]"#],
    },
    Word { within: "containers", key: "livenessProbe", values: &["{}", "null"] },
    Word { within: "containers", key: "lifecycle", values: &["{}"] },
    Word {
        within: "status",
        key: "phase",
        values: &[
            r#""Bound""#,
            r#""Pending""#,
            r#""Lost""#,
            r#""Running""#,
            r#""Succeeded""#,
            r#""Failed""#,
            "null",
        ],
    },
    Word { within: "status", key: "reason", values: &[r#""Evicted""#, r#""""#, "null"] },
    Word {
        within: "status",
        key: "capacity",
        values: &[
            r#"{"storage":"1Gi"}"#,
            r#"{"storage":"18446744073709551615Ti"}"#,
            r#"{"storage":"µ"}"#,
        ],
    },
    Word {
        within: "status",
        key: "conditions",
        values: &[
            "null",
            r#"[{"type":"DisruptionTarget","status":"True","reason":"EvictionByEvictionAPI"}]"#,
            r#"[{"type":"Ready","status":"True"}]"#,
        ],
    },
    Word {
        within: "status",
        key: "containerStatuses",
        values: &[
            "null",
            r#"[{"name":"drain","state":{"terminated":{"exitCode":0}}}]"#,
            r#"[{"name":"drain","state":{"terminated":{"exitCode":0}}},{"name":"mesh","state":{"running":{}}}]"#,
            r#"[{"name":"drain","state":{"running":{}}}]"#,
            r#"[{"name":"drain","state":{"waiting":{}},"lastState":{"terminated":{"exitCode":1}}}]"#,
        ],
    },
    Word {
        within: "status",
        key: "initContainerStatuses",
        values: &[
            "null",
            r#"[{"name":"first","state":{"terminated":{"exitCode":0}}},{"name":"side","state":{"terminated":{"exitCode":143}}}]"#,
        ],
    },
    Word { within: "terminated", key: "exitCode", values: &["0", "1", "143", "-1"] },
];
