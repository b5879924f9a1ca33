//! The node of a drain pod is lost and comes back.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::audit::{Asked, host_asked_in};
use crate::machine::{GIVEN_UP_WITHIN, Machine};
use crate::site::{QUIET, Site, attempt_of, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, test};
use crate::wait::{Look, eventually, found_if, stays};

pub(crate) const TESTS: &[Test] =
    &[test("node_lost::a_drain_pod_of_a_lost_node_keeps_the_name", lost)];

/// How long a pod stays while its node is not heard of, in seconds: long enough to see that nobody touches it before.
const PATIENCE_S: u32 = 10;

/// A lost node may run its pods on. Only the cluster's own eviction asks for the pod's end, and nobody takes it as a fact before the node is
/// back to say so. Then the pod ends with 0, because it was told to stop: no success.
fn lost(site: &Site<'_>) -> Result<()> {
    let machine = Machine::start(site.world, &site.namespace)?;
    // Its exit code is all that the policy asks for.
    let config = json!({ "command": ["drain"], "exitCode": "enough", "readyPeers": 0 });
    site.start(&Store::exec(&config).with_pod(&machine.home(PATIENCE_S)))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    let drain = uid(&site.drains("web-1", 1)?)?;
    let before = host_asked_in(site.world, &site.namespace)?.len();

    machine.node()?.lose_node()?;
    machine.is_ready("Unknown")?;
    eventually("the drain pod is evicted from its lost node", GIVEN_UP_WITHIN, || {
        let pod = site.pod("web-1")?.unwrap_or_default();
        ensure!(pod["metadata"]["uid"] == drain.as_str(), "the drain pod is another one");
        let evicted = pod["metadata"]["deletionTimestamp"].is_string();
        Ok(found_if(evicted, || pod["status"].to_string()))
    })?;
    site.told("web", "AttemptEnded", &["web-1", "attempt 2", "DeletionByTaintManager"])?;
    site.told("web", "PodLeaving", &["web-1", "is being deleted"])?;
    stays("the drain pod holds the name and its claim", QUIET, || {
        let pod = site.pod("web-1")?.unwrap_or_default();
        same_claim(site, "data-web-1", &claim)?;
        Ok(found_if(pod["metadata"]["uid"] == drain.as_str(), || pod["metadata"].to_string()))
    })?;
    let asked = host_asked_in(site.world, &site.namespace)?.split_off(before);
    let written: Vec<&Asked> = asked.iter().filter(|it| it.is_write() && !it.came_late()).collect();
    // It may have asked for the end of the attempt at the same moment, as everybody does who asks a lost node.
    let expected = ["patch persistentvolumeclaims data-web-1", "delete pods web-1"];
    ensure!(
        written.iter().all(|it| expected.contains(&it.what.as_str())),
        "the host wrote more than the next attempt: {written:?}"
    );

    machine.node()?.resume()?;
    eventually("another attempt runs", GIVEN_UP_WITHIN, || {
        let pod = site.pod("web-1")?.unwrap_or_default();
        let runs = attempt_of(&pod) == Some(2) && pod["status"]["phase"] == "Running";
        Ok(if runs { Look::Found(()) } else { Look::NotYet(pod["status"].to_string()) })
    })?;
    same_claim(site, "data-web-1", &claim)?;
    machine.node()?.finish(&site.namespace, "web-1", "member", 0, None)?;
    site.gone("data-web-1", "web-1")
}
