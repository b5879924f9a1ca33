//! Pod templates that are none, or that carry what only the host may say.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Orphan, template, with};
use crate::puppet;
use crate::site::Site;
use crate::store::Store;
use crate::trial::{Test, test};

pub(crate) const TESTS: &[Test] = &[
    test("bad_input::template::predecessors_template_is_none", predecessors_template_is_none),
    test("bad_input::template::rendered_template_is_none", rendered_template_is_none),
    test("bad_input::template::template_says_who_it_is", template_says_who_it_is),
];

/// The predecessor's annotation, and the older one beside it.
const PREDECESSOR: &str = "statefulsets.kubernetes.io/scaledown-pod-template";
const OLDER: &str = "statefulsets.kubernetes.io/drainer-pod-template";

/// What a person may leave in the predecessor's annotation; a right one then drains.
fn predecessors_template_is_none(site: &Site<'_>) -> Result<()> {
    let cut = "{\"spec\": ";
    let orphan = Orphan::of(site, &Store::bare().of(1).annotated(PREDECESSOR, cut))?;
    orphan.told("PolicyRefuses", &[PREDECESSOR, "line 1", "PodTemplateSpec"])?;
    let unmounted = with(template(), "/spec/containers/0/volumeMounts", json!([]));
    for (value, mend) in [
        (String::new(), "EOF while parsing"),
        ("[]".to_owned(), "must be a JSON object"),
        ("{}".to_owned(), "`spec` is missing"),
        ("{\"spec\": {}}".to_owned(), "names no container"),
        ("{\"spec\": {\"containers\": []}}".to_owned(), "`spec.containers` names no container"),
        (unmounted.to_string(), "no container mounts the claim template `data`"),
    ] {
        orphan.told_of(PREDECESSOR, &value, "PolicyRefuses", &[PREDECESSOR, mend])?;
    }
    // Where only the older annotation is there, that is the one to mend.
    site.annotate("web", OLDER, Some("{"))?;
    site.annotate("web", PREDECESSOR, None)?;
    orphan.told("PolicyRefuses", &[OLDER, "line 1 column 1"])?;
    orphan.is_untouched()?;
    orphan.is_drained_with(OLDER, Some(&template().to_string()))
}

/// A policy renders something else than a pod template, or one that a drain pod cannot have.
fn rendered_template_is_none(site: &Site<'_>) -> Result<()> {
    let deep = format!("{{\"spec\": {{\"a\": {}{}}}}}", "[".repeat(100), "]".repeat(100));
    let container = |pointer: &str, value: Value| with(template(), pointer, value).to_string();
    let spec = |field: &str, value: Value| container(&format!("/spec/{field}"), value);
    let first =
        |field: &str, value: Value| container(&format!("/spec/containers/0/{field}"), value);
    let rules = json!([{ "action": "Restart", "exitCodes": { "operator": "In", "values": [1] } }]);
    let rows = [
        ("{\"spec\": ".to_owned(), "template: is not JSON", "line 1"),
        ("[]".to_owned(), "template: ", "an object with `metadata` and `spec`"),
        (deep, "template: ", "deeper than 64 levels"),
        ("{}".to_owned(), "spec.containers: ", "at least one container"),
        (spec("containers", json!([])), "spec.containers: ", "at least one container"),
        (spec("containers", json!({})), "spec.containers: ", "must be a list"),
        (spec("containers", json!(["drain"])), "spec.containers[0]: ", "must be an object"),
        (first("name", json!("")), "spec.containers[0].name: ", "needs a name"),
        (
            first("restartPolicy", json!("Always")),
            "spec.containers[0].restartPolicy: ",
            "never end",
        ),
        (
            first("restartPolicyRules", rules),
            "spec.containers[0].restartPolicyRules: ",
            "take them out",
        ),
        (
            spec("ephemeralContainers", json!([{ "name": "debug" }])),
            "spec.ephemeralContainers: ",
            "take it out",
        ),
        (spec("volumes", json!({})), "spec.volumes: ", "must be a list"),
        (
            first("volumeMounts", json!([])),
            "spec.containers[*].volumeMounts: ",
            "no container mounts the claim \"data\": mount it, or name it in `discard`",
        ),
    ];
    let orphan = Orphan::of(site, &puppet::store(site, &json!("rows follow"))?)?;
    for (text, field, mend) in rows {
        orphan.told_of(puppet::TEMPLATE, &text, "TemplateRejected", &[field, mend])?;
    }
    orphan.is_untouched()?;
    orphan.is_drained_with(puppet::TEMPLATE, Some(&template().to_string()))
}

/// Name, place and owners are the host's to say, and so is what it knows a drain pod by.
fn template_says_who_it_is(site: &Site<'_>) -> Result<()> {
    let owner = json!([{ "apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b" }]);
    let rows = [
        ("/metadata/name", json!("web-7"), "metadata.name: "),
        ("/metadata/generateName", json!("web-"), "metadata.generateName: "),
        ("/metadata/namespace", json!("kube-system"), "metadata.namespace: "),
        ("/metadata/ownerReferences", owner, "metadata.ownerReferences: "),
        ("/metadata/finalizers", json!(["tidegate.dev/seal"]), "metadata.finalizers: "),
        ("/metadata/uid", json!("0123"), "metadata.uid: "),
        (
            "/metadata/deletionTimestamp",
            json!("2030-01-01T00:00:00Z"),
            "metadata.deletionTimestamp: ",
        ),
        ("/metadata/labels/a", json!(1), "metadata.labels[a]: "),
        (
            "/metadata/labels/tidegate.dev~1set-uid",
            json!("0123"),
            "metadata.labels[tidegate.dev/set-uid]: ",
        ),
        (
            "/metadata/annotations/tidegate.dev~1drain",
            json!("{}"),
            "metadata.annotations[tidegate.dev/drain]: ",
        ),
        ("/status", json!({ "phase": "Succeeded" }), "status: "),
    ];
    let orphan = Orphan::of(site, &puppet::store(site, &json!("rows follow"))?)?;
    for (pointer, value, field) in rows {
        let text = with(template(), pointer, value).to_string();
        orphan.told_of(puppet::TEMPLATE, &text, "TemplateRejected", &[field])?;
    }
    orphan.is_untouched()
}
