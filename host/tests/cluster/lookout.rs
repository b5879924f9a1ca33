//! A look at the pods again and again, beside what a test does.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde_json::Value;

use crate::site::Site;

/// How often is looked: a pod that starts lives longer than that.
const POLL: Duration = Duration::from_millis(200);

/// Does this, and looks meanwhile, once at the end too. Fails where a look fails, even where what is done fails of it.
pub(crate) fn beside<T>(
    look: impl Fn() -> Result<()> + Sync,
    body: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let is_over = AtomicBool::new(false);
    scope(|threads| {
        let lookout = threads.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                look()?;
                sleep(POLL);
            }
            look()
        });
        // A lookout that waited for a body that panicked would wait for ever.
        let outcome = catch_unwind(AssertUnwindSafe(body));
        is_over.store(true, Ordering::Relaxed);
        let looked = lookout.join().map_err(|_| anyhow!("the lookout panicked"))?;
        looked?;
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Fails where two pods of the namespace that have not ended use one claim.
pub(crate) fn none_shares_a_claim(site: &Site<'_>) -> Result<()> {
    let pods = site.world.api.list(&site.path("v1", "pods", ""))?;
    let mut users: BTreeMap<&str, &Value> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| is_placed(pod)) {
        let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
        let claims = volumes.filter_map(|it| it["persistentVolumeClaim"]["claimName"].as_str());
        for claim in claims {
            let name = &pod["metadata"]["name"];
            if let Some(other) = users.insert(claim, name) {
                bail!("{name} and {other} use the claim {claim} at once");
            }
        }
    }
    Ok(())
}

/// Whether a node runs it, or is about to.
fn is_placed(pod: &Value) -> bool {
    let has_ended = ["Succeeded", "Failed"].iter().any(|phase| pod["status"]["phase"] == *phase);
    !has_ended && !pod["spec"]["nodeName"].is_null()
}
