//! The host starts, ends and is replaced, and no drain is lost by it.

use anyhow::Result;
use serde_json::json;

use crate::process::{HostProcess, kubeconfig};
use crate::site::{Site, gate, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, alone, test};
use crate::wait::{Look, SOON, eventually};

pub(crate) const TESTS: &[Test] = &[
    alone("lifecycle::a_drain_outlives_the_host_that_began_it", host_replaced),
    alone("lifecycle::a_drain_that_ends_without_a_host_is_finished_by_the_next", host_away),
    test("lifecycle::it_is_ready_when_it_sees_the_cluster_and_ends_in_time", ready),
    test("lifecycle::it_is_alive_and_not_ready_without_an_api_server", not_ready),
];

/// The host's pod is deleted while a drain pod works; another host takes the drain up.
fn host_replaced(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    let drain = uid(&site.drains("web-1", 1)?)?;
    let before = site.world.host_pods()?;
    for pod in &before {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let path = format!("/api/v1/namespaces/tidegate/pods/{name}");
        site.world.api.delete(&path, &json!({}))?;
    }
    eventually("another pod of the host is there", SOON, || {
        let pods = site.world.host_pods()?;
        let another =
            pods.iter().all(|pod| before.iter().all(|old| uid(old).ok() != uid(pod).ok()));
        Ok(if another && !pods.is_empty() {
            Look::Found(())
        } else {
            Look::NotYet(format!("{} pods", pods.len()))
        })
    })?;
    site.world.host_is_ready()?;
    site.both_stay(("data-web-1", &claim), ("web-1", &drain))?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// The drain pod ends while there is no host at all.
fn host_away(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    let away = site.world.without_host()?;
    site.open_gate("web-1")?;
    site.eventually_pod("the drain pod has ended", "web-1", |pod| {
        pod["status"]["phase"] == "Succeeded"
    })?;
    same_claim(site, "data-web-1", &claim)?;
    drop(away);
    site.gone("data-web-1", "web-1")
}

/// As a process with the account of the host, beside the one in the cluster and on a namespace that holds no set.
fn ready(site: &Site<'_>) -> Result<()> {
    let mut host = HostProcess::start(site, &kubeconfig(site.world)?)?;
    host.answers("/readyz", 200)?;
    host.answers("/healthz", 200)?;
    host.ends_in_time()
}

/// Its watches have shown nothing yet, so that it must not be taken for ready; and it is no reason to restart it.
fn not_ready(site: &Site<'_>) -> Result<()> {
    // Nothing listens at the port of the discard service.
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "nowhere",
        "clusters": [{ "name": "nowhere", "cluster": { "server": "https://127.0.0.1:9" } }],
        "users": [{ "name": "nobody", "user": {} }],
        "contexts": [{
            "name": "nowhere",
            "context": { "cluster": "nowhere", "user": "nobody" },
        }],
    });
    let mut host = HostProcess::start(site, &kubeconfig)?;
    host.answers("/healthz", 200)?;
    host.answers("/readyz", 503)?;
    host.ends_in_time()
}
