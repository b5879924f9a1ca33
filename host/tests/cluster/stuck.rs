//! Drain pods that never start, and such as fail again and again.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::site::{Site, gate, is_drain_pod, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, test};

pub(crate) const TESTS: &[Test] = &[
    test("stuck::a_drain_pod_that_no_node_takes_gives_the_name_back", no_node),
    test("stuck::a_drain_pod_whose_claim_goes_before_it_starts_is_given_back", claim_gone),
    test("stuck::a_drain_pod_without_its_image_gives_the_name_back", no_image),
    test("stuck::a_drain_pod_without_its_image_is_replaced_when_it_is_deleted", image_mended),
    test("stuck::a_drain_beyond_the_quota_begins_when_there_is_room", quota),
    test("stuck::a_drain_that_fails_is_tried_less_and_less_often", fails_again),
];

/// No name of this domain ever resolves.
const NO_IMAGE: &str = "registry.invalid/absent:1";

/// The template of the set asks for a node that nobody has; its members run on as they were.
fn no_node(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": "true" })))?;
    let claim = site.claim_uid("data-web-1")?;
    asks_for_node(site, Some("nowhere"))?;
    site.scale("web", 1)?;
    site.told("web", "PolicyWaits", &["web-1", "not scheduled", "node(s) didn't match"])?;
    let drain = uid(&site.pod("web-1")?.context("there is no drain pod")?)?;
    site.both_stay(("data-web-1", &claim), ("web-1", &drain))?;
    asks_for_node(site, None)?;
    given_back(site, &claim)
}

/// Kubernetes protects a claim for pods that have a node. This one never had one, and with one of its claims gone it never gets one.
fn claim_gone(site: &Site<'_>) -> Result<()> {
    let store = Store::exec(&json!({ "script": "true" })).with_volumes(&["data", "log"]);
    site.start(&store)?;
    let claim = site.claim_uid("data-web-1")?;
    asks_for_node(site, Some("nowhere"))?;
    site.scale("web", 1)?;
    site.told("web", "PolicyWaits", &["web-1", "not scheduled", "node(s) didn't match"])?;
    site.delete("persistentvolumeclaims", "log-web-1")?;
    site.told("web", "GivenBack", &["web-1", "the claim of template log is gone"])?;
    site.told("web", "ClaimMissing", &["web-1", "template log", "restore it"])?;
    site.left_alone("data-web-1", &claim, "web-1")?;
    asks_for_node(site, None)?;
    site.scale("web", 2)?;
    site.member_runs("web-1")?;
    same_claim(site, "data-web-1", &claim)
}

/// The image cannot be had, and the config says what a scale-up means.
fn no_image(site: &Site<'_>) -> Result<()> {
    let config = json!({ "script": "true", "image": NO_IMAGE, "onScaleUp": "cancel" });
    site.start(&Store::exec(&config))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.told("web", "PolicyWaits", &["web-1", "`member`", "ImagePull"])?;
    given_back(site, &claim)
}

/// A drain goes on with the config that it began with, so whoever mends the config deletes the pod that waits.
fn image_mended(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": "true", "image": NO_IMAGE })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.told("web", "PolicyWaits", &["web-1", "`member`", "ImagePull"])?;
    site.annotate("web", CONFIG, Some(&json!({ "script": gate() }).to_string()))?;
    site.delete("pods", "web-1")?;
    site.told("web", "AttemptEnded", &["web-1", "attempt 2"])?;
    site.drains("web-1", 2)?;
    same_claim(site, "data-web-1", &claim)?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// The namespace takes no pod more. Who lifts the limit has to do nothing else.
fn quota(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": "true" })))?;
    let claim = site.claim_uid("data-web-1")?;
    let quota = json!({ "metadata": { "name": "few" }, "spec": { "hard": { "pods": "1" } } });
    site.world.api.create(&site.path("v1", "resourcequotas", ""), &quota)?;
    site.scale("web", 1)?;
    site.told("web", "WriteRefused", &["web-1", "exceeded quota: few", "pods=1"])?;
    site.left_alone("data-web-1", &claim, "web-1")?;
    site.delete("resourcequotas", "few")?;
    site.gone("data-web-1", "web-1")
}

/// The number of the attempt and the time before which no other is made are noted on the claim, so that no host forgets them.
fn fails_again(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": "exit 3" })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    let mut delays_ms = Vec::new();
    for attempt in [2, 3] {
        let words = ["web-1", "container member exited 3", &format!("attempt {attempt}")];
        site.told("web", "AttemptEnded", &words)?;
        site.told("web", "BackingOff", &["web-1", &format!("attempt {attempt}")])?;
        let record = record(site)?;
        ensure!(record["attempt"] == attempt, "the record is of another attempt: {record}");
        let not_before = record["notBeforeMs"].as_u64().context("nothing is waited for")?;
        delays_ms.push(not_before.saturating_sub(told_at_ms(site, attempt)?));
    }
    ensure!(
        delays_ms[0] >= 3_000 && delays_ms[1] >= 8_000,
        "the attempts follow each other too fast: after {delays_ms:?} ms"
    );
    same_claim(site, "data-web-1", &claim)?;
    site.annotate("web", CONFIG, Some(&json!({ "script": "true" }).to_string()))?;
    site.gone("data-web-1", "web-1")
}

const CONFIG: &str = "tidegate.dev/policy-config";

/// What the host noted on the claim.
fn record(site: &Site<'_>) -> Result<Value> {
    let claim = site.claim("data-web-1")?.context("the claim is gone")?;
    let text = claim["metadata"]["annotations"]["tidegate.dev/record"].as_str();
    Ok(serde_json::from_str(text.context("no record on the claim")?)?)
}

/// When the host told that this attempt follows, in milliseconds since 1970.
fn told_at_ms(site: &Site<'_>, attempt: u32) -> Result<u64> {
    let events = site.events("web", "AttemptEnded")?;
    let words = format!("attempt {attempt} follows");
    let told = |event: &&Value| event["note"].as_str().is_some_and(|note| note.contains(&words));
    let event = events.iter().find(told).context("the event is gone")?;
    let at: k8s_openapi::jiff::Timestamp =
        event["eventTime"].as_str().unwrap_or_default().parse()?;
    Ok(u64::try_from(at.as_millisecond())?)
}

/// Has the template of the set ask for a node of this name. No member is replaced for it.
fn asks_for_node(site: &Site<'_>, name: Option<&str>) -> Result<()> {
    let selector = name.map(|name| json!({ "kubernetes.io/hostname": name }));
    let template = json!({ "spec": { "nodeSelector": selector } });
    let strategy = json!({ "type": "OnDelete", "rollingUpdate": null });
    let patch = json!({ "spec": { "updateStrategy": strategy, "template": template } });
    site.world.api.merge(&site.path("apps/v1", "statefulsets", "web"), &patch)?;
    Ok(())
}

/// The set wants the ordinal again: the member is back with the same claim.
fn given_back(site: &Site<'_>, claim: &str) -> Result<()> {
    site.scale("web", 2)?;
    let member = site.member_runs("web-1")?;
    ensure!(!is_drain_pod(&member), "the drain pod is still there");
    same_claim(site, "data-web-1", claim)
}
