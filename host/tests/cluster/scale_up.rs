//! The set wants the ordinal back while it is drained.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::audit::asked_by;
use crate::site::{QUIET, Site, gate, is_drain_pod, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, alone, test};
use crate::wait::{found_if, stays};
use crate::world::HOST_USER;

pub(crate) const TESTS: &[Test] = &[
    // It measures a time, which means nothing while others keep the garbage collector busy.
    alone("scale_up::a_drain_that_is_finished_leaves_a_fresh_member", finish),
    test("scale_up::a_drain_that_is_cancelled_gives_the_data_back", cancel),
];

/// How long the member may take to run after its claim was deleted.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// `wait` of the policy: the drain goes on, and the member starts with a fresh claim as soon as it has ended.
fn finish(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let old = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    let drain = uid(&site.drains("web-1", 1)?)?;
    site.scale("web", 2)?;
    stays("the drain pod goes on", QUIET, || {
        let pod = site.pod("web-1")?.unwrap_or_default();
        Ok(found_if(
            pod["metadata"]["uid"] == drain.as_str()
                && pod["metadata"]["deletionTimestamp"].is_null(),
            || pod["metadata"].to_string(),
        ))
    })?;
    site.open_gate("web-1")?;
    let member = site.member_runs("web-1")?;
    let running = SystemTime::now();
    let fresh = site.claim_uid("data-web-1")?;
    ensure!(fresh != old, "the member came back with its old claim");
    let names = site.names("web-1", &["data"])?;
    ensure!(names == "web-1\n", "the volume is not fresh: {names}");
    let took = running.duration_since(deleted_at(site)?)?;
    ensure!(
        took <= BACK_WITHIN,
        "the member ran {took:?} after its claim was deleted: {}",
        member["status"]
    );
    Ok(())
}

/// `cancel` of the policy: the drain pod goes, and the member is back with its claim and what lies in the volume.
fn cancel(site: &Site<'_>) -> Result<()> {
    let config = json!({ "script": gate(), "onScaleUp": "cancel" });
    site.start(&Store::exec(&config))?;
    let claim = site.claim_uid("data-web-1")?;
    site.sh("web-1", "echo precious > /data/mark")?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    site.scale("web", 2)?;
    let member = site.member_runs("web-1")?;
    ensure!(!is_drain_pod(&member), "the drain pod is still there");
    same_claim(site, "data-web-1", &claim)?;
    let mark = site.sh("web-1", "cat /data/mark")?;
    ensure!(mark == "precious\n", "the volume holds {mark:?}");
    Ok(())
}

/// When the host asked for the deletion of the claim.
fn deleted_at(site: &Site<'_>) -> Result<SystemTime> {
    let asked = asked_by(site.world, HOST_USER)?;
    let deletion = asked.iter().find(|asked| {
        asked.namespace == site.namespace
            && asked.what == "delete persistentvolumeclaims data-web-1"
    });
    let at = &deletion.context("the host deleted no claim")?.at;
    let at: k8s_openapi::jiff::Timestamp = at.parse()?;
    Ok(at.into())
}
