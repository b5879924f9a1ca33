//! What a set's annotations ask for, and what becomes of a drain when they change.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::site::{QUIET, Site, gate, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, test};
use crate::wait::{SOON, eventually, found_if, stays};

pub(crate) const TESTS: &[Test] = &[
    test("settings::an_orphan_waits_for_the_delay", delay),
    test("settings::a_pause_stops_every_step", paused),
    test("settings::scaling_to_zero_drains_where_the_set_says_so", to_zero),
    test("settings::a_set_that_is_no_longer_ours_gets_its_ordinal_back", no_longer_ours),
    test("settings::a_drain_goes_on_with_what_it_began_with", changed),
];

const POLICY: &str = "tidegate.dev/policy";
const CONFIG: &str = "tidegate.dev/policy-config";
const DELAY: &str = "tidegate.dev/delay";
const PAUSED: &str = "tidegate.dev/paused";

/// An orphan waits; where it is wanted again before, nothing has begun; where it is not, it is drained after the delay and not before. The
/// delay begins when the member is gone, which takes longer than the delay itself.
fn delay(site: &Site<'_>) -> Result<()> {
    let store = Store::exec(&json!({ "script": "true" }));
    let slow = "trap 'sleep 4; exit 0' TERM; sleep 2147483647 & wait";
    let mut containers = store.set()["spec"]["template"]["spec"]["containers"].clone();
    containers[0]["command"] = json!(["sh", "-c", slow]);
    let pod = json!({ "template": { "spec": { "containers": containers } } });
    site.start(&store.with_spec(&pod).annotated(DELAY, "168h"))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.no_pod("web-1")?;
    site.told("web", "Delayed", &["web-1", DELAY])?;
    site.left_alone("data-web-1", &claim, "web-1")?;
    site.scale("web", 2)?;
    site.member_runs("web-1")?;
    same_claim(site, "data-web-1", &claim)?;
    ensure!(site.events("web", "DrainStarted")?.is_empty(), "a drain has begun");

    site.annotate("web", DELAY, Some("3s"))?;
    site.scale("web", 1)?;
    site.gone("data-web-1", "web-1")?;
    let told = site.events("web", "Delayed")?.len();
    ensure!(told == 2, "of {told} delays there is an event");
    let waited_ms = told_at(site, "DrainStarted")? - told_at(site, "Delayed")?;
    // The orphan was seen some milliseconds before the event was told.
    ensure!(waited_ms > 2_900, "the drain began {waited_ms} ms after the delay");
    Ok(())
}

/// A pause before a drain, and one in the middle of it: what runs goes on, what has ended stays as it is. While it rests the ordinal is
/// wanted again; the drain, which has ended, is finished first.
fn paused(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })).annotated(PAUSED, "true"))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.told("web", "Paused", &["web-1", PAUSED])?;
    site.no_pod("web-1")?;
    site.left_alone("data-web-1", &claim, "web-1")?;
    site.annotate("web", PAUSED, Some("false"))?;
    let drain = uid(&site.drains("web-1", 1)?)?;

    site.annotate("web", PAUSED, Some("true"))?;
    site.open_gate("web-1")?;
    site.eventually_pod("the drain pod has ended", "web-1", |pod| {
        pod["status"]["phase"] == "Succeeded"
    })?;
    eventually("the pause is told a second time", SOON, || {
        let told = site.events("web", "Paused")?.len();
        Ok(found_if(told == 2, || format!("{told} events")))
    })?;
    site.scale("web", 2)?;
    stays("the ended pod is neither sealed nor deleted", QUIET, || {
        let pod = site.pod("web-1")?.unwrap_or_default();
        let rests = pod["metadata"]["uid"] == drain.as_str()
            && pod["metadata"]["deletionTimestamp"].is_null()
            && pod["metadata"]["finalizers"].is_null();
        Ok(found_if(rests, || pod["metadata"].to_string()))
    })?;
    same_claim(site, "data-web-1", &claim)?;
    site.annotate("web", PAUSED, None)?;
    site.member_runs("web-1")?;
    ensure!(site.claim_uid("data-web-1")? != claim, "the member has a claim that was drained");
    Ok(())
}

/// Zero is a pause from which a set comes back as it was, until its annotation says that it is a scale-down; for the predecessor it always
/// was one.
fn to_zero(site: &Site<'_>) -> Result<()> {
    let container = json!({
        "name": "drain",
        "image": "docker.io/library/box:1",
        "command": ["sh", "-c", "test -s /data/names"],
        "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
    });
    let template = json!({ "spec": { "containers": [container] } }).to_string();
    let predecessor = "statefulsets.kubernetes.io/scaledown-pod-template";
    site.start_all(&[
        Store::exec(&json!({ "script": "true", "readyPeers": 0 })),
        Store::bare().named("old").annotated(predecessor, &template),
    ])?;
    let claims = ["data-web-0", "data-web-1"];
    let before = [site.claim_uid(claims[0])?, site.claim_uid(claims[1])?];
    for set in ["old", "web"] {
        site.scale(set, 0)?;
    }
    for ordinal in 0..2 {
        site.gone(&format!("data-old-{ordinal}"), &format!("old-{ordinal}"))?;
        site.told("web", "ScaledToZero", &[&format!("web-{ordinal}")])?;
    }
    site.scale("web", 2)?;
    for (ordinal, (claim, before)) in claims.iter().zip(&before).enumerate() {
        site.member_runs(&format!("web-{ordinal}"))?;
        same_claim(site, claim, before)?;
    }
    site.scale("web", 0)?;
    site.annotate("web", "tidegate.dev/scale-to-zero", Some("drain"))?;
    for ordinal in 0..2 {
        site.gone(&format!("data-web-{ordinal}"), &format!("web-{ordinal}"))?;
    }
    Ok(())
}

/// The policy's annotation is taken off during a drain, while the ordinal is not wanted and while it is.
fn no_longer_ours(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    site.annotate("web", POLICY, None)?;
    site.told("web", "GivenBack", &["web-1", "no longer ours"])?;
    site.no_pod("web-1")?;
    site.left_alone("data-web-1", &claim, "web-1")?;

    site.annotate("web", POLICY, Some("library:exec"))?;
    site.drains("web-1", 1)?;
    site.scale("web", 2)?;
    site.annotate("web", POLICY, None)?;
    site.member_runs("web-1")?;
    same_claim(site, "data-web-1", &claim)
}

/// Config and policy are changed while a drain runs. The pod that runs is judged by the policy and the config that rendered it, and what comes
/// after it is rendered by the policy and the config that the set names by then.
fn changed(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": format!("{}; exit 1", gate()) })).of(3))?;
    let claims = ["data-web-2", "data-web-1"];
    let before = [site.claim_uid(claims[0])?, site.claim_uid(claims[1])?];
    site.scale("web", 2)?;
    let first = uid(&site.drains("web-2", 1)?)?;
    let mended = json!({ "script": "until [ -e /data/second ]; do sleep 0.1; done" }).to_string();
    site.annotate("web", CONFIG, Some(&mended))?;
    site.both_stay((claims[0], &before[0]), ("web-2", &first))?;
    site.open_gate("web-2")?;
    let second = site.drains("web-2", 2)?;
    ensure!(config_of(&second)? == mended, "the second attempt has another config");

    site.annotate("web", CONFIG, Some("a person is to look at it"))?;
    site.annotate("web", POLICY, Some("library:keep"))?;
    site.both_stay((claims[0], &before[0]), ("web-2", &uid(&second)?))?;
    site.sh("web-2", "touch /data/second")?;
    site.gone(claims[0], "web-2")?;
    site.scale("web", 1)?;
    site.told("web", "PolicyKeeps", &["web-1", "a person is to look at it"])?;
    site.no_pod("web-1")?;
    site.left_alone(claims[1], &before[1], "web-1")
}

/// The config that the host's marks on a drain pod name.
fn config_of(pod: &Value) -> Result<String> {
    let marks = pod["metadata"]["annotations"]["tidegate.dev/drain"].as_str();
    let marks: Value = serde_json::from_str(marks.context("no drain pod")?)?;
    Ok(marks["config"].as_str().context("marks without a config")?.to_owned())
}

/// When the last event with this reason was told, in milliseconds since 1970.
fn told_at(site: &Site<'_>, reason: &str) -> Result<i64> {
    site.told("web", reason, &[])?;
    let at = |event: &Value| {
        let at: Option<k8s_openapi::jiff::Timestamp> = event["eventTime"].as_str()?.parse().ok();
        Some(at?.as_millisecond())
    };
    let events = site.events("web", reason)?;
    events.iter().filter_map(at).max().context("an event without a time")
}
