//! Others make drain pods, or change those of the host.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::site::{Site, gate, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, alone, test};

pub(crate) const TESTS: &[Test] = &[
    test("tampered::a_pod_with_copied_marks_is_not_ours", copied),
    test("tampered::a_drain_pod_whose_marks_were_changed_is_not_ours", changed),
    test("tampered::a_record_that_cannot_be_read_stops_the_drain_and_is_kept", record),
    test("tampered::a_seal_put_on_by_hand_changes_nothing", sealed_by_hand),
    alone("tampered::a_seal_put_on_by_hand_proves_nothing", sealed_by_hand_without_host),
];

const DRAIN: &str = "tidegate.dev/drain";
const RECORD: &str = "tidegate.dev/record";
const SET_UID: &str = "tidegate.dev/set-uid";
const MEMBER: &str = "statefulset.kubernetes.io/pod-name";

/// Somebody copies what the host wrote on its drain pod, and no more: the pod belongs to no claim.
fn copied(site: &Site<'_>) -> Result<()> {
    let paused = "tidegate.dev/paused";
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    site.scale("web", 1)?;
    let original = site.drains("web-1", 1)?;
    site.annotate("web", paused, Some("true"))?;
    site.delete("pods", "web-1")?;
    site.no_pod("web-1")?;
    let claim = site.claim_uid("data-web-1")?;
    // With the labels of the set its controller would adopt it, and delete it.
    let labels = &original["metadata"]["labels"];
    let (set_uid, member) = (&labels[SET_UID], &labels[MEMBER]);
    let mut copy = json!({
        "metadata": {
            "name": "web-1",
            "labels": { SET_UID: set_uid, MEMBER: member },
            "annotations": original["metadata"]["annotations"],
        },
        "spec": original["spec"],
    });
    copy["spec"]["nodeName"] = Value::Null;
    let container = &mut copy["spec"]["containers"][0];
    container["command"] = json!(["sh", "-c", "echo 'tidegate: drained' > /dev/termination-log"]);
    let copy = uid(&site.world.api.create(&site.path("v1", "pods", ""), &copy)?)?;
    site.eventually_pod("the copy has ended", "web-1", |pod| {
        pod["status"]["phase"] == "Succeeded"
    })?;
    site.annotate("web", paused, None)?;
    site.told("web", "NameHeld", &["web-1", "not owned by the claim", "delete it yourself"])?;
    site.both_stay(("data-web-1", &claim), ("web-1", &copy))?;
    site.delete("pods", "web-1")?;
    site.drains("web-1", 2)?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// One mark after the other is changed on a drain pod that runs. It ends with success meanwhile; when all is as it was, that counts.
fn changed(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    let original = site.drains("web-1", 1)?;
    let drain = uid(&original)?;
    let marks = original["metadata"]["annotations"][DRAIN].as_str().context("no marks")?;
    let mut of_another: Value = serde_json::from_str(marks)?;
    of_another["ordinal"] = json!(7);
    let annotation = |value: Option<String>| json!({ "annotations": { DRAIN: value } });
    let changes = [
        (annotation(Some("{".to_owned())), "annotation tidegate.dev/drain"),
        (annotation(Some(of_another.to_string())), "its marks name ordinal 7"),
        (json!({ "labels": { SET_UID: "another" } }), "its marks name another set"),
        (json!({ "labels": { SET_UID: null } }), "it bears no label tidegate.dev/set-uid"),
        (annotation(None), "it bears no annotation tidegate.dev/drain"),
    ];
    let restored = json!({
        "annotations": { DRAIN: marks },
        "labels": { SET_UID: original["metadata"]["labels"][SET_UID] },
    });
    for (change, words) in &changes {
        edit(site, &restored)?;
        edit(site, change)?;
        site.told("web", "NameHeld", &["web-1", words])?;
    }
    site.open_gate("web-1")?;
    site.eventually_pod("the drain pod has ended", "web-1", |pod| {
        pod["status"]["phase"] == "Succeeded"
    })?;
    site.both_stay(("data-web-1", &claim), ("web-1", &drain))?;
    edit(site, &restored)?;
    site.gone("data-web-1", "web-1")
}

/// A record of a version to come, and then a broken one: no drain pod is made, the one that runs is not judged, and what is noted is not written over.
fn record(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let claim = site.claim_uid("data-web-1")?;
    let note = |record: Option<&str>| {
        let patch = json!({ "metadata": { "annotations": { RECORD: record } } });
        let path = site.path("v1", "persistentvolumeclaims", "data-web-1");
        site.world.api.merge(&path, &patch).map(drop)
    };
    note(Some(r#"{"version":2,"passage":{"attempt":7}}"#))?;
    site.scale("web", 1)?;
    site.no_pod("web-1")?;
    site.told("web", "RecordUnreadable", &["data-web-1", "version 2 is not known", RECORD])?;
    site.left_alone("data-web-1", &claim, "web-1")?;
    note(None)?;
    let drain = uid(&site.drains("web-1", 1)?)?;
    let broken = r#"{"version":1,"#;
    note(Some(broken))?;
    site.open_gate("web-1")?;
    site.eventually_pod("the drain pod has ended", "web-1", |pod| {
        pod["status"]["phase"] == "Succeeded"
    })?;
    site.told("web", "RecordUnreadable", &["data-web-1", "EOF", RECORD])?;
    site.both_stay(("data-web-1", &claim), ("web-1", &drain))?;
    let claim = site.claim("data-web-1")?.context("the claim is gone")?;
    ensure!(claim["metadata"]["annotations"][RECORD] == broken, "it was written over: {claim}");
    note(None)?;
    site.gone("data-web-1", "web-1")
}

/// The drain goes on as if nobody had touched its pod.
fn sealed_by_hand(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    let drain = uid(&site.drains("web-1", 1)?)?;
    seal(site)?;
    site.both_stay(("data-web-1", &claim), ("web-1", &drain))?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// The seal is put on while the drain works, and the pod is deleted: it exits with 0, because it was told to stop. The next host finds a
/// sealed pod that has succeeded, with all the marks of one that the host sealed when it had ended.
fn sealed_by_hand_without_host(site: &Site<'_>) -> Result<()> {
    let script = format!("trap 'exit 0' TERM; {}", gate());
    let config = json!({ "command": ["sh", "-c", script], "exitCode": "enough" });
    site.start(&Store::exec(&config))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    let away = site.world.without_host()?;
    seal(site)?;
    site.delete("pods", "web-1")?;
    site.eventually_pod("the drain pod was stopped", "web-1", |pod| {
        pod["status"]["phase"] == "Succeeded"
    })?;
    drop(away);
    site.told("web", "StraySeal", &["web-1", "tidegate.dev/seal", "tidegate release"])?;
    same_claim(site, "data-web-1", &claim)?;
    edit(site, &json!({ "finalizers": null }))?;
    site.drains("web-1", 2)?;
    same_claim(site, "data-web-1", &claim)?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

fn seal(site: &Site<'_>) -> Result<()> {
    edit(site, &json!({ "finalizers": ["tidegate.dev/seal"] }))
}

/// Changes the metadata of the drain pod.
fn edit(site: &Site<'_>, metadata: &Value) -> Result<()> {
    let patch = json!({ "metadata": metadata });
    site.world.api.merge(&site.path("v1", "pods", "web-1"), &patch)?;
    Ok(())
}
