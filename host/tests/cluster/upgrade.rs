//! The host is upgraded and taken back again while drains are under way: what one version wrote the other goes on with.

use anyhow::{Result, ensure};
use serde_json::json;
use xtask::landed;

use crate::process::HostProcess;
use crate::site::{Site, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, apart};
use xtask::proxy::{Point, Proxy};

pub(crate) const TESTS: &[Test] =
    &[apart("upgrade::drains_go_on_from_one_version_to_the_next_and_back", there_and_back)];

/// A drain that ends when it is told to, with success or without.
const SCRIPT: &str = "until [ -e /data/gate ]; do [ ! -e /data/fail ] || { rm /data/fail; exit 1; }; sleep 0.1; done";

/// One drain has a record of the version before when the next one comes, one is sealed with its DELETE under way, and one runs; then the next
/// version writes a record that the one before has to read.
fn there_and_back(site: &Site<'_>) -> Result<()> {
    let before = landed::host()?;
    let proxy = Proxy::start(site.world.cluster.kubeconfig())?;
    let host = HostProcess::of(&before, &proxy, site)?;
    site.start(&Store::exec(&json!({ "script": SCRIPT })).of(5))?;
    site.scale("web", 1)?;
    let first = uid(&site.drains("web-1", 1)?)?;
    site.drains("web-2", 1)?;
    let third = uid(&site.drains("web-3", 1)?)?;
    site.drains("web-4", 1)?;
    site.sh("web-4", "touch /data/fail")?;
    let fourth = uid(&site.drains("web-4", 2)?)?;
    let late = proxy
        .hold(Point::BeforeItArrives, |call| call.is("delete persistentvolumeclaims data-web-2"));
    site.open_gate("web-2")?;
    late.caught()?;
    host.crash()?;

    let next = HostProcess::behind(&proxy, site, &[])?;
    site.gone("data-web-2", "web-2")?;
    for (pod, attempt, drain) in [("web-1", 1, &first), ("web-3", 1, &third), ("web-4", 2, &fourth)]
    {
        let found = uid(&site.drains(pod, attempt)?)?;
        ensure!(found == *drain, "the drain of {pod} was begun anew by the next version");
    }
    site.sh("web-3", "touch /data/fail")?;
    let third = uid(&site.drains("web-3", 2)?)?;
    next.ends_in_time()?;

    let claim = site.claim_uid("data-web-0")?;
    let _host = HostProcess::of(&before, &proxy, site)?;
    site.sh("web-4", "touch /data/fail")?;
    let fourth = uid(&site.drains("web-4", 3)?)?;
    for (pod, attempt, drain) in [("web-1", 1, &first), ("web-3", 2, &third), ("web-4", 3, &fourth)]
    {
        let found = uid(&site.drains(pod, attempt)?)?;
        ensure!(found == *drain, "the drain of {pod} was begun anew by the version before");
        site.open_gate(pod)?;
        site.gone(&format!("data-{pod}"), pod)?;
    }
    same_claim(site, "data-web-0", &claim)
}
