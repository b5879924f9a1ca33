//! A drain pod that is taken away half way and exits with 0: that is no success.

use anyhow::Result;
use serde_json::{Value, json};

use crate::site::{Site, gate, same_claim};
use crate::store::Store;
use crate::trial::{Test, test};

pub(crate) const TESTS: &[Test] = &[
    test("yanked::an_evicted_drain_pod_is_tried_again", evicted),
    test("yanked::a_deleted_drain_pod_is_tried_again", deleted),
];

/// Eviction, as `kubectl drain` does it.
fn evicted(site: &Site<'_>) -> Result<()> {
    tried_again(site, || site.evict("web-1"))
}

/// Deletion by hand.
fn deleted(site: &Site<'_>) -> Result<()> {
    tried_again(site, || {
        let path = site.path("v1", "pods", "web-1");
        site.world.api.delete(&path, &json!({}))?;
        Ok(())
    })
}

/// The drain's program takes SIGTERM for a reason to exit with 0, and its exit code is all that the policy asks for.
fn tried_again(site: &Site<'_>, take_away: impl FnOnce() -> Result<()>) -> Result<()> {
    site.start(&Store::exec(&exits_with_zero_when_told_to_stop()))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    take_away()?;
    site.told("web", "AttemptEnded", &["web-1", "attempt 2"])?;
    site.drains("web-1", 2)?;
    same_claim(site, "data-web-1", &claim)?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

fn exits_with_zero_when_told_to_stop() -> Value {
    let script = format!("trap 'exit 0' TERM; {}", gate());
    json!({ "command": ["sh", "-c", script], "exitCode": "enough" })
}
