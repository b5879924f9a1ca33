//! Claims that cannot be drained, and a name that somebody else holds.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{Orphan, moves_nothing, only_the_label_was_written, writes_of_the_host};
use crate::site::{Site, same_claim, uid};
use crate::trial::{Test, test};
use crate::wait::{SOON, eventually, found_if};

pub(crate) const TESTS: &[Test] = &[
    test("bad_input::claim::foreign_pod_of_the_members_name", foreign_pod_of_the_members_name),
    test("bad_input::claim::volume_lost", volume_lost),
    test("bad_input::claim::the_only_one_deleted_by_a_person", the_only_one_deleted_by_a_person),
    test("bad_input::claim::one_of_two_deleted_by_a_person", one_of_two_deleted_by_a_person),
    test("bad_input::claim::never_bound", never_bound),
];

const PAUSED: &str = "tidegate.dev/paused";

/// Somebody else's pod came first: the name is the lock.
fn foreign_pod_of_the_members_name(site: &Site<'_>) -> Result<()> {
    site.start(&moves_nothing().annotated(PAUSED, "true"))?;
    let before = site.claim_uid("data-web-0")?;
    site.scale("web", 0)?;
    site.no_pod("web-0")?;
    site.rest("web-0", None)?;
    site.annotate("web", PAUSED, None)?;
    site.told("web", "NameHeld", &["web-0", "not ours", "delete it yourself"])?;
    let pod = uid(&site.pod("web-0")?.unwrap_or_default())?;
    site.both_stay(("data-web-0", &before), ("web-0", &pod))
}

/// The volume went from under the claim, as where a disk is deleted in the cloud's console.
fn volume_lost(site: &Site<'_>) -> Result<()> {
    site.start(&moves_nothing().annotated(PAUSED, "true"))?;
    let orphan = Orphan::left_by(site)?;
    site.no_pod("web-0")?;
    let claim = site.claim("data-web-0")?.unwrap_or_default();
    let volume = claim["spec"]["volumeName"].as_str().context("a bound claim has a volume")?;
    let volume = format!("/api/v1/persistentvolumes/{volume}");
    site.world.api.delete(&volume, &json!({}))?;
    site.world.api.merge(&volume, &json!({ "metadata": { "finalizers": null } }))?;
    eventually("the claim has lost its volume", SOON, || {
        let claim = site.claim("data-web-0")?.unwrap_or_default();
        Ok(found_if(claim["status"]["phase"] == "Lost", || claim["status"].to_string()))
    })?;
    site.annotate("web", PAUSED, None)?;
    orphan.told("NotBound", &["data-web-0", "volume has gone", "delete the claim yourself"])?;
    orphan.is_untouched()
}

/// A person deleted the claim while the member ran. It goes when the member goes, which nobody can stop; the member's data can be copied until
/// then, so it is told at once.
fn the_only_one_deleted_by_a_person(site: &Site<'_>) -> Result<()> {
    site.start(&moves_nothing())?;
    site.delete("persistentvolumeclaims", "data-web-0")?;
    site.told("web", "ClaimTerminating", &["web-0", "data-web-0", "copy its data elsewhere"])?;
    site.scale("web", 0)?;
    site.gone("data-web-0", "web-0")?;
    let started = site.events("web", "DrainStarted")?;
    ensure!(started.is_empty(), "a claim on its way out was drained: {started:?}");
    only_the_label_was_written(site)
}

/// A person deleted one of two claims while the member ran, and a backup holds it yet. What is left is no whole ordinal.
fn one_of_two_deleted_by_a_person(site: &Site<'_>) -> Result<()> {
    site.start(&moves_nothing().with_volumes(&["data", "log"]))?;
    site.rest("backup", Some("log-web-0"))?;
    let (data, log) = (site.claim_uid("data-web-0")?, site.claim_uid("log-web-0")?);
    site.delete("persistentvolumeclaims", "log-web-0")?;
    site.scale("web", 0)?;
    site.told("web", "ClaimTerminating", &["web-0", "log-web-0", "no drain starts"])?;
    site.no_pod("web-0")?;
    site.left_alone("data-web-0", &data, "web-0")?;
    same_claim(site, "log-web-0", &log)?;
    site.delete("pods", "backup")?;
    site.told("web", "ClaimMissing", &["web-0", "template log", "restore it"])?;
    site.left_alone("data-web-0", &data, "web-0")
}

/// A claim of a storage class that there is not: the member never ran, and there is nothing to drain. It is not enrolled either: a write to a claim
/// that is being bound delays its member.
fn never_bound(site: &Site<'_>) -> Result<()> {
    let store = moves_nothing().of_storage_class("nobody-provisions-this");
    site.world.api.create(&site.path("apps/v1", "statefulsets", ""), &store.set())?;
    eventually("the member waits for its claim", SOON, || {
        let pod = site.pod("web-0")?.unwrap_or_default();
        Ok(found_if(pod["status"]["phase"] == "Pending", || pod["status"].to_string()))
    })?;
    let orphan = Orphan::left_by(site)?;
    orphan.told("NotBound", &["data-web-0", "never bound", "delete the claim yourself"])?;
    site.no_pod("web-0")?;
    site.left_alone("data-web-0", &orphan.claim_uid, "web-0")?;
    let writes = writes_of_the_host(site)?;
    ensure!(writes.is_empty(), "the host wrote to what is not bound: {writes:?}");
    Ok(())
}
