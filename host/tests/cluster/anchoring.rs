//! What Kubernetes itself would do with a set's claims: nothing goes before it is drained.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::site::{Site, gate, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, test};
use crate::wait::{SOON, eventually, found_if};

pub(crate) const TESTS: &[Test] = &[
    test("anchoring::a_scale_down_drains_whatever_the_set_retains", every_retention),
    test("anchoring::a_claim_that_goes_with_its_member_waits_for_its_drain", when_scaled),
    test("anchoring::a_live_claim_that_is_not_anchored_is_told_at_once", exposed),
    test("anchoring::what_is_to_stay_is_anchored_though_no_member_runs", without_members),
    test("anchoring::a_drain_goes_on_while_the_retention_changes", changed),
    test("anchoring::a_member_scaled_away_as_its_set_ceases_to_retain_is_drained", at_a_stroke),
];

/// A set, what it retains when it is scaled and when it is deleted, and who owns the claim of its member 0 while that lives and after the
/// set was deleted; nobody where the claim goes with the set.
type Retention = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    Option<&'static [&'static str]>,
);

const RETENTIONS: [Retention; 4] = [
    ("rr", "Retain", "Retain", &[], Some(&[])),
    ("rd", "Retain", "Delete", &["StatefulSet"], None),
    ("dr", "Delete", "Retain", &["Namespace"], Some(&["Namespace"])),
    ("dd", "Delete", "Delete", &["Namespace", "StatefulSet"], Some(&["Namespace"])),
];

/// All four retentions: a scale-down drains; a deletion of the set takes what is not anchored, as Kubernetes has it, and nothing else; and
/// the namespace, which is an owner of claims, goes away all the same.
fn every_retention(site: &Site<'_>) -> Result<()> {
    let stores = RETENTIONS.map(|(name, when_scaled, when_deleted, ..)| {
        let store = Store::exec(&json!({ "script": "true" }));
        store.named(name).retaining(when_scaled, when_deleted)
    });
    site.start_all(&stores)?;
    for (set, _, _, owners, _) in RETENTIONS {
        site.owned_by(&format!("data-{set}-0"), owners)?;
        site.scale(set, 1)?;
    }
    for (set, ..) in RETENTIONS {
        site.gone(&format!("data-{set}-1"), &format!("{set}-1"))?;
        site.told(set, "Drained", &[&format!("{set}-1")])?;
    }
    for (set, _, _, _, owners_after) in RETENTIONS {
        let claim = format!("data-{set}-0");
        let before = site.claim_uid(&claim)?;
        site.delete_set(set, "Foreground")?;
        match owners_after {
            None => site.gone(&claim, &format!("{set}-0"))?,
            Some(owners) => {
                site.no_pod(&format!("{set}-0"))?;
                site.owned_by(&claim, owners)?;
                same_claim(site, &claim, &before)?;
            }
        }
    }
    site.leave();
    let path = format!("/api/v1/namespaces/{}", site.namespace);
    eventually("the namespace is gone", SOON, || {
        let namespace = site.world.api.get(&path)?;
        Ok(found_if(namespace.is_none(), || format!("{namespace:?}")))
    })
}

/// `whenScaled: Delete` with two claims: the member owned them when it was scaled away, and the garbage collector struck it off.
fn when_scaled(site: &Site<'_>) -> Result<()> {
    let store = Store::exec(&json!({ "script": gate() }));
    site.start(&store.with_volumes(&["data", "log"]).retaining("Delete", "Retain"))?;
    site.told("web", "Anchored", &["web-1", "whenDeleted is void"])?;
    let claims = ["data-web-1", "log-web-1"];
    let before = [site.claim_uid(claims[0])?, site.claim_uid(claims[1])?];
    for claim in claims {
        is_anchored(site, claim)?;
    }
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    for (claim, before) in claims.iter().zip(&before) {
        site.owned_by(claim, &["Namespace"])?;
        same_claim(site, claim, before)?;
    }
    let names = site.sh("web-1", "cat /data/names /log/names")?;
    ensure!(names == "web-1\nweb-1\n", "the drain pod found {names:?} in its volumes");
    site.open_gate("web-1")?;
    site.gone(claims[0], "web-1")?;
    site.gone(claims[1], "web-1")?;
    site.told("web", "Drained", &["web-1"])?;
    Ok(())
}

/// The set became the host's while a member could not run: nobody holds its claim, so it cannot be enrolled, and Kubernetes would delete
/// it with the next scale-down. As soon as the member runs all is well.
fn exposed(site: &Site<'_>) -> Result<()> {
    site.start(&Store::bare().retaining("Delete", "Retain"))?;
    allow_one_pod(site)?;
    site.delete("pods", "web-1")?;
    site.no_pod("web-1")?;
    site.annotate("web", "tidegate.dev/policy-config", Some(r#"{"script": "true"}"#))?;
    site.annotate("web", "tidegate.dev/policy", Some("library:exec"))?;
    site.told("web", "Anchored", &["web-0"])?;
    site.told("web", "WhenScaledDelete", &["data-web-1", "not anchored", "set whenScaled"])?;
    site.delete("resourcequotas", "one-pod")?;
    // By now the set's controller waits longer and longer between its tries. A change of the set makes it look at once.
    site.annotate("web", "example.org/quota", Some("lifted"))?;
    site.member_runs("web-1")?;
    site.told("web", "Anchored", &["web-1"])?;
    is_anchored(site, "data-web-1")?;
    site.scale("web", 1)?;
    site.gone("data-web-1", "web-1")?;
    site.told("web", "Drained", &["web-1"])?;
    Ok(())
}

/// The set is scaled to zero before anybody says what becomes of its claims when it is deleted; Kubernetes has made it their owner.
fn without_members(site: &Site<'_>) -> Result<()> {
    let store = Store::exec(&json!({ "script": "true" }));
    site.start(&store.retaining("Retain", "Delete"))?;
    let claims = ["data-web-0", "data-web-1"];
    let before = [site.claim_uid(claims[0])?, site.claim_uid(claims[1])?];
    site.scale("web", 0)?;
    site.told("web", "ScaledToZero", &["web-1"])?;
    site.annotate("web", "tidegate.dev/on-set-deleted", Some("keep"))?;
    for claim in claims {
        eventually("the claim is anchored", SOON, || {
            let owners = site.owners(claim)?;
            Ok(found_if(owners.contains(&"Namespace".to_owned()), || format!("{owners:?}")))
        })?;
    }
    site.delete_set("web", "Background")?;
    for (claim, before) in claims.into_iter().zip(before) {
        site.owned_by(claim, &["Namespace"])?;
        same_claim(site, claim, &before)?;
    }
    Ok(())
}

/// Both retentions are changed while a drain runs, and changed back. What lives is anchored at once; the drain is no matter of theirs.
fn changed(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    let drain = uid(&site.drains("web-1", 1)?)?;
    retain(site, "Delete", "Delete")?;
    site.told("web", "Anchored", &["web-0"])?;
    site.owned_by("data-web-0", &["Namespace", "StatefulSet"])?;
    site.both_stay(("data-web-1", &claim), ("web-1", &drain))?;
    retain(site, "Retain", "Retain")?;
    site.owned_by("data-web-0", &["Namespace"])?;
    site.both_stay(("data-web-1", &claim), ("web-1", &drain))?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")?;
    site.told("web", "Drained", &["web-1"])?;
    Ok(())
}

/// `whenScaled` becomes `Delete` in the very change that scales a member away: its claim is anchored while it ends.
fn at_a_stroke(site: &Site<'_>) -> Result<()> {
    let slow = "trap 'sleep 3; exit 0' TERM; hostname >> /data/names; sleep 2147483647 & wait";
    let store = Store::exec(&json!({ "script": "test -s /data/names" }));
    let mut containers = store.set()["spec"]["template"]["spec"]["containers"].clone();
    containers[0]["command"] = json!(["sh", "-c", slow]);
    let pod = json!({ "template": { "spec": { "containers": containers } } });
    site.start(&store.with_spec(&pod))?;
    let policy = json!({ "whenScaled": "Delete", "whenDeleted": "Retain" });
    site.change("web", &json!({ "replicas": 1, "persistentVolumeClaimRetentionPolicy": policy }))?;
    site.told("web", "Anchored", &["web-1"])?;
    site.gone("data-web-1", "web-1")?;
    site.told("web", "Drained", &["web-1"])?;
    Ok(())
}

fn retain(site: &Site<'_>, when_scaled: &str, when_deleted: &str) -> Result<()> {
    let policy = json!({ "whenScaled": when_scaled, "whenDeleted": when_deleted });
    site.change("web", &json!({ "persistentVolumeClaimRetentionPolicy": policy }))
}

/// Fails where the claim's own namespace is not an owner of it, or one that controls it or is held back by it.
fn is_anchored(site: &Site<'_>, claim: &str) -> Result<()> {
    site.owned_by(claim, &["Namespace"])?;
    let namespace = site.world.api.get(&format!("/api/v1/namespaces/{}", site.namespace))?;
    let namespace = uid(&namespace.context("the namespace is gone")?)?;
    let claim = site.claim(claim)?.context("the claim is gone")?;
    let owner = &claim["metadata"]["ownerReferences"][0];
    ensure!(owner["uid"] == namespace.as_str(), "the claim has another owner: {owner}");
    let lies_low = owner["controller"].is_null() && owner["blockOwnerDeletion"].is_null();
    ensure!(lies_low, "the anchor is more than an owner: {owner}");
    Ok(())
}

/// From then on the set's controller cannot make a member anew while another runs.
fn allow_one_pod(site: &Site<'_>) -> Result<()> {
    let quota = json!({ "metadata": { "name": "one-pod" }, "spec": { "hard": { "pods": "1" } } });
    site.world.api.create(&site.path("v1", "resourcequotas", ""), &quota)?;
    eventually("the quota is heeded", SOON, || {
        let quota = site.world.api.get(&site.path("v1", "resourcequotas", "one-pod"))?;
        let status = quota.unwrap_or_default()["status"].clone();
        Ok(found_if(status["used"]["pods"] == "2", || status.to_string()))
    })
}
