//! `tidegate run --dry-run`: the host says what it would do, and does none of it.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::altered::Altered;
use crate::audit::{Asked, host_asked_in};
use crate::site::{QUIET, Site};
use crate::store::Store;
use crate::trial::{Test, alone};
use crate::wait::{found_if, stays};

pub(crate) const TESTS: &[Test] =
    &[alone("dry_run::what_would_be_done_is_said_and_not_done", said_and_not_done)];

/// From the enrolment to the drain pod, and to one that the API server would refuse. What was not done then shows when the host runs
/// without the flag: the claim was never enrolled.
fn said_and_not_done(site: &Site<'_>) -> Result<()> {
    let dry = Altered::with(site.world, &["--dry-run"])?;
    site.start_unseen(&Store::exec(&json!({ "script": "true" })))?;
    for pod in ["web-0", "web-1"] {
        site.told("web", "DryRun", &[pod, "nothing is changed", "the claim is enrolled"])?;
    }
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.told("web", "DryRun", &["web-1", "nothing is changed", "drain pod created"])?;
    site.no_pod("web-1")?;
    site.left_alone("data-web-1", &claim, "web-1")?;
    let refused = json!({ "script": "true", "image": "docker.io/library/box:1 " });
    site.annotate("web", "tidegate.dev/policy-config", Some(&refused.to_string()))?;
    site.told("web", "WriteRefused", &["web-1", "image", "whitespace"])?;
    site.annotate("web", "tidegate.dev/paused", Some("true"))?;
    site.told("web", "Paused", &["web-1"])?;
    nothing_was_written(site)?;
    let before = reads(site)?;
    stays("a dry run rests where nothing changes", QUIET, || {
        let after = reads(site)?;
        Ok(found_if(after == before, || format!("{} requests more", after - before)))
    })?;

    drop(dry);
    site.told("web", "Enrolled", &["web-0"])?;
    site.annotate("web", "tidegate.dev/paused", None)?;
    site.told("web", "NotEnrolled", &["data-web-1"])?;
    site.left_alone("data-web-1", &claim, "web-1")
}

/// Every write of the host in the namespace was a dry run, and such writes there were.
fn nothing_was_written(site: &Site<'_>) -> Result<()> {
    let asked = host_asked_in(site.world, &site.namespace)?;
    let writes: Vec<&Asked> = asked.iter().filter(|asked| asked.is_write()).collect();
    ensure!(writes.iter().all(|asked| asked.is_dry), "the host has written: {writes:?}");
    for what in ["patch persistentvolumeclaims data-web-1", "create pods web-1"] {
        ensure!(writes.iter().any(|asked| asked.what == what), "no {what} in {writes:?}");
    }
    Ok(())
}

/// How much the host asked in the namespace, apart from watches and events.
fn reads(site: &Site<'_>) -> Result<usize> {
    let asked = host_asked_in(site.world, &site.namespace)?;
    let counts = |asked: &&Asked| !asked.is_watch() && !asked.what.contains(" events");
    Ok(asked.iter().filter(counts).count())
}
