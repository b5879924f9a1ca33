//! What must never happen, as far as it can be provoked from outside: each test puts a guard of the host to work.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::obstacle::{Forbidden, Obstacle};
use crate::site::{QUIET, Site, gate, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, test};
use crate::wait::{found_if, stays};

pub(crate) const TESTS: &[Test] = &[
    test("guards::a_claim_that_was_never_enrolled_is_kept", never_enrolled),
    test("guards::an_ordinal_below_the_start_is_kept", below_the_start),
    test("guards::scaling_to_zero_is_a_pause", scaled_to_zero),
    test("guards::a_pod_that_uses_the_claim_delays_the_drain", used_before_the_start),
    test("guards::a_pod_that_uses_the_claim_delays_the_end", used_at_the_end),
    test("guards::a_failed_drain_keeps_the_claim", failed),
    test("guards::a_drain_without_proof_keeps_the_claim", without_proof),
    test("guards::a_drain_pod_that_is_all_that_holds_the_data_is_kept", holds_the_data),
    test("guards::a_claim_deleted_by_a_person_goes_when_it_is_drained", deleted_by_a_person),
    test("guards::a_seal_outlasts_eviction_and_scale_up", seal),
];

/// I4: the set became the host's after the member had left, so that nobody knows whose data it is.
fn never_enrolled(site: &Site<'_>) -> Result<()> {
    site.start(&Store::bare())?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.no_pod("web-1")?;
    site.annotate("web", "tidegate.dev/policy-config", Some(r#"{"script": "true"}"#))?;
    site.annotate("web", "tidegate.dev/policy", Some("library:exec"))?;
    site.told("web", "NotEnrolled", &["data-web-1", "never enrolled"])?;
    site.left_alone("data-web-1", &claim, "web-1")
}

/// I4: a raised start is no scale-down.
fn below_the_start(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": "true" })))?;
    let claim = site.claim_uid("data-web-0")?;
    let patch = json!({ "spec": { "ordinals": { "start": 1 } } });
    site.world.api.merge(&site.path("apps/v1", "statefulsets", "web"), &patch)?;
    site.no_pod("web-0")?;
    site.told("web", "BelowStart", &["web-0", "spec.ordinals.start"])?;
    site.left_alone("data-web-0", &claim, "web-0")
}

/// At zero replicas nobody is left to take the data.
fn scaled_to_zero(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": "true" })).of(1))?;
    let claim = site.claim_uid("data-web-0")?;
    site.scale("web", 0)?;
    site.no_pod("web-0")?;
    site.told("web", "ScaledToZero", &["web-0", "tidegate.dev/scale-to-zero=drain"])?;
    site.left_alone("data-web-0", &claim, "web-0")
}

/// I2: the drain pod is made when nobody else writes the volume any more.
fn used_before_the_start(site: &Site<'_>) -> Result<()> {
    let paused = "tidegate.dev/paused";
    site.start(&Store::exec(&json!({ "script": "true" })).annotated(paused, "true"))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.no_pod("web-1")?;
    site.rest("backup", Some("data-web-1"))?;
    site.annotate("web", paused, None)?;
    site.told("web", "ClaimInUse", &["web-1", "backup"])?;
    site.left_alone("data-web-1", &claim, "web-1")?;
    site.delete("pods", "backup")?;
    site.gone("data-web-1", "web-1")
}

/// I1: what came to use the claim during the drain is not robbed of it.
fn used_at_the_end(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    let drain = uid(&site.drains("web-1", 1)?)?;
    site.rest("backup", Some("data-web-1"))?;
    site.open_gate("web-1")?;
    site.told("web", "InUseAtTheEnd", &["web-1", "backup"])?;
    site.both_stay(("data-web-1", &claim), ("web-1", &drain))?;
    site.delete("pods", "backup")?;
    site.gone("data-web-1", "web-1")
}

/// I1: an exit code that is not 0.
fn failed(site: &Site<'_>) -> Result<()> {
    kept_and_tried_again(site, "script", "exit 3")
}

/// I1: an exit code of 0 without the words that the policy waits for.
fn without_proof(site: &Site<'_>) -> Result<()> {
    kept_and_tried_again(site, "command", "exit 0")
}

/// The first attempt ends as `ending` says, the second waits at the gate and then succeeds.
fn kept_and_tried_again(site: &Site<'_>, kind: &str, ending: &str) -> Result<()> {
    let done = "echo 'tidegate: drained' > /dev/termination-log";
    let script =
        format!("[ -e /data/tried ] || {{ touch /data/tried; {ending}; }}; {}; {done}", gate());
    let work = if kind == "command" { json!(["sh", "-c", script]) } else { json!(script) };
    site.start(&Store::exec(&json!({ kind: work })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.told("web", "AttemptEnded", &["web-1", "attempt 2"])?;
    site.drains("web-1", 2)?;
    same_claim(site, "data-web-1", &claim)?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// I3: a person deleted the claim while it was drained, and the drain failed. To try again would lose what the pod holds.
fn holds_the_data(site: &Site<'_>) -> Result<()> {
    let script = format!("{}; exit 1", gate());
    site.start(&Store::exec(&json!({ "script": script })))?;
    site.scale("web", 1)?;
    let drain = uid(&site.drains("web-1", 1)?)?;
    site.delete("persistentvolumeclaims", "data-web-1")?;
    site.open_gate("web-1")?;
    site.eventually_pod("the drain pod has failed", "web-1", |pod| {
        pod["status"]["phase"] == "Failed"
    })?;
    site.told("web", "PodHoldsData", &["data-web-1", "copy the data out"])?;
    drain_pod_stays(site, &drain)
}

/// I3: a person deleted the claim while it was drained, and the drain goes on to its end.
fn deleted_by_a_person(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    site.scale("web", 1)?;
    let drain = uid(&site.drains("web-1", 1)?)?;
    site.delete("persistentvolumeclaims", "data-web-1")?;
    drain_pod_stays(site, &drain)?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// Watches for a while that nobody deletes the drain pod of `data-web-1`, and that it holds its claim.
fn drain_pod_stays(site: &Site<'_>, drain_uid: &str) -> Result<()> {
    stays("the drain pod is not deleted", QUIET, || {
        let (pod, claim) = (site.pod("web-1")?.unwrap_or_default(), site.claim("data-web-1")?);
        let metadata = &pod["metadata"];
        let kept = metadata["uid"] == drain_uid && metadata["deletionTimestamp"].is_null();
        Ok(found_if(kept && claim.is_some(), || metadata.to_string()))
    })
}

/// I1 and I2: between seal and deletion the name stays held, whatever is done to pod and set; then the passage goes on.
fn seal(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let claim = site.claim_uid("data-web-1")?;
    let forbidden = Forbidden::DeletingClaims("data-web-1");
    let obstacle = Obstacle::put(site, forbidden)?;
    site.scale("web", 1)?;
    let drain = uid(&site.drains("web-1", 1)?)?;
    site.open_gate("web-1")?;
    site.told("web", "WriteRefused", &["data-web-1", forbidden.words()])?;
    site.eventually_pod("the drain pod is sealed", "web-1", |pod| {
        pod["metadata"]["finalizers"].to_string().contains("tidegate.dev/seal")
    })?;
    site.evict("web-1")?;
    site.scale("web", 2)?;
    stays("the sealed pod holds the name", QUIET, || {
        let pod = site.pod("web-1")?.unwrap_or_default();
        let held = pod["metadata"]["uid"] == drain.as_str();
        Ok(found_if(held, || pod["metadata"].to_string()))
    })?;
    same_claim(site, "data-web-1", &claim)?;
    obstacle.take_away()?;
    // By now the host waits longer and longer between its tries. A change of the set makes it look at once.
    site.annotate("web", "example.org/obstacle", Some("gone"))?;
    site.member_runs("web-1")?;
    let fresh = site.claim_uid("data-web-1")?;
    ensure!(fresh != claim, "the member came back to a claim that was drained");
    Ok(())
}
