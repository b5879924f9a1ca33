//! The objects that a schedule is played with.

use serde_json::{Map, Value, json};

use super::schedule::{OnTerm, Policy, SET, Setup, TEMPLATES, claim_name};
use crate::standin::{SCRIPT_ANNOTATION, STAND_IN_LABEL};

/// The annotation that names the policy.
const POLICY: &str = "tidegate.dev/policy";

/// The annotation with the policy's config.
pub(super) const CONFIG: &str = "tidegate.dev/policy-config";

/// The predecessor's annotation, which the policy `pod-template` reads.
const POD_TEMPLATE: &str = "statefulsets.kubernetes.io/scaledown-pod-template";

/// The label of the nodes that play a storm's pods.
pub(super) const STAGE: &str = "tidegate.dev/storm";

/// The label of pods that are no business of the set.
pub(super) const STRANGER: &str = "tidegate.dev/stranger";

/// What `exec` and this storm's nodes take for the proof.
pub(super) const DRAINED: &str = "tidegate: drained";

/// The one container of every pod.
pub(super) const CONTAINER: &str = "main";

/// The value of the annotation [`POLICY`].
pub(super) const fn policy(setup: &Setup) -> &'static str {
    match setup.policy {
        Policy::Exec | Policy::ExecCancels => "library:exec",
        Policy::PodTemplate => "library:pod-template",
    }
}

/// The value of the annotation [`CONFIG`].
pub(super) fn config(setup: &Setup) -> String {
    match setup.policy {
        // With a set that may lose every member, nobody stays who could take the data, and the drain is to go on all the same.
        Policy::Exec => json!({ "script": "true", "readyPeers": 0 }).to_string(),
        Policy::ExecCancels => {
            json!({ "script": "true", "readyPeers": 0, "onScaleUp": "cancel" }).to_string()
        }
        Policy::PodTemplate => String::new(),
    }
}

/// The set.
pub(super) fn set(setup: &Setup, replicas: u32) -> Value {
    let fate = |deletes: bool| if deletes { "Delete" } else { "Retain" };
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": { "name": SET, "annotations": annotations(setup) },
        "spec": {
            "serviceName": SET,
            "replicas": replicas,
            "podManagementPolicy": if setup.is_parallel { "Parallel" } else { "OrderedReady" },
            "persistentVolumeClaimRetentionPolicy": {
                "whenScaled": fate(setup.when_scaled_deletes),
                "whenDeleted": fate(setup.when_deleted_deletes),
            },
            "selector": { "matchLabels": { "app": SET } },
            "template": {
                "metadata": {
                    "labels": { "app": SET },
                    "annotations": { SCRIPT_ANNOTATION: script(setup) },
                },
                "spec": pod_spec(setup),
            },
            "volumeClaimTemplates": templates(setup),
        },
    })
}

/// What a person annotates.
pub(super) fn annotations(setup: &Setup) -> Value {
    let mut all = Map::new();
    let mut put = |key: &str, value: String| {
        all.insert(key.to_owned(), Value::String(value));
    };
    put(POLICY, policy(setup).to_owned());
    put(CONFIG, config(setup));
    if setup.policy == Policy::PodTemplate {
        let metadata = json!({ "annotations": { SCRIPT_ANNOTATION: script(setup) } });
        let mut spec = pod_spec(setup);
        spec["restartPolicy"] = json!("Never");
        put(POD_TEMPLATE, json!({ "metadata": metadata, "spec": spec }).to_string());
    }
    put(
        "tidegate.dev/scale-to-zero",
        if setup.drains_to_zero { "drain" } else { "keep" }.to_owned(),
    );
    if let Some(on_set_deleted) = setup.on_set_deleted {
        put("tidegate.dev/on-set-deleted", on_set_deleted.to_owned());
    }
    if let Some(max) = setup.max_parallel {
        put("tidegate.dev/max-parallel", max.to_string());
    }
    Value::Object(all)
}

/// What a person annotates who takes the set away from the hosts.
pub(super) fn without_policy() -> Value {
    json!({ POLICY: null, POD_TEMPLATE: null })
}

/// A claim as the set's controller would make it.
pub(super) fn claim(template: usize, ordinal: u32) -> Value {
    json!({
        "metadata": { "name": claim_name(template, ordinal), "labels": { "app": SET } },
        "spec": claim_spec(),
    })
}

/// A pod that uses these claims and has nothing to do with the set.
pub(super) fn stranger(name: &str, claims: &[String]) -> Value {
    let volumes = claims
        .iter()
        .map(|claim| json!({ "name": claim, "persistentVolumeClaim": { "claimName": claim } }));
    let volumes: Vec<Value> = volumes.collect();
    json!({
        "metadata": { "name": name, "labels": { STRANGER: "true" } },
        "spec": placed(json!({
            "volumes": volumes,
            "containers": [{ "name": CONTAINER, "image": "none" }],
        })),
    })
}

/// Nothing ends by itself: the storm says when.
const fn script(setup: &Setup) -> &'static str {
    match setup.on_term {
        OnTerm::EndsWell => "hang\non-term exit 0",
        OnTerm::EndsWellLater => "hang\non-term exit 0 after 400ms",
        OnTerm::Fails => "hang\non-term exit 1",
    }
}

fn pod_spec(setup: &Setup) -> Value {
    let mounts = TEMPLATES.iter().take(setup.claims);
    let mounts = mounts.map(|name| json!({ "name": name, "mountPath": format!("/{name}") }));
    let mounts: Vec<Value> = mounts.collect();
    placed(json!({
        "containers": [{ "name": CONTAINER, "image": "none", "volumeMounts": mounts }],
    }))
}

/// On the storm's own nodes, without what admission would add to each pod.
fn placed(mut spec: Value) -> Value {
    spec["nodeSelector"] = json!({ STAGE: "true" });
    spec["tolerations"] = json!([{ "key": STAND_IN_LABEL, "operator": "Exists" }]);
    spec["terminationGracePeriodSeconds"] = json!(1);
    spec["automountServiceAccountToken"] = json!(false);
    spec
}

fn templates(setup: &Setup) -> Vec<Value> {
    let names = TEMPLATES.iter().take(setup.claims);
    names.map(|name| json!({ "metadata": { "name": name }, "spec": claim_spec() })).collect()
}

fn claim_spec() -> Value {
    json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": "1Mi" } },
    })
}
