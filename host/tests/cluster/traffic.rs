//! A drain pod bears the labels of the set, and yet nobody takes it for a member.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::components::Guest;
use crate::site::{QUIET, Site, gate};
use crate::store::Store;
use crate::trial::{Test, test};
use crate::wait::{Look, SOON, eventually, found_if, stays};

pub(crate) const TESTS: &[Test] = &[
    test("traffic::clients_and_budgets_do_not_see_a_drain_pod_and_peers_do", unseen_by_clients),
    test("traffic::a_budget_of_the_unavailable_rests_during_a_drain", rests),
    test("traffic::a_policy_may_let_a_drain_pod_serve", as_labelled),
];

/// The Service that clients use, beside the set's own.
const CLIENTS: &str = "clients";

/// Where in a component's memory its template lies: above the answer and below what it is told.
const TEMPLATE_AT: usize = 1024;

/// F28: three members, of which one leaves, and a budget that needs the other two.
fn unseen_by_clients(site: &Site<'_>) -> Result<()> {
    services(site)?;
    site.start(&Store::exec(&json!({ "script": gate() })).of(3))?;
    let budget = Budget::put(site, &json!({ "minAvailable": 2 }))?;
    budget.allows(1)?;
    site.scale("web", 2)?;
    let drain = site.drains("web-2", 1)?;
    let address = drain["status"]["podIP"].as_str().context("the drain pod has no address")?;
    resolves(site, address)?;
    budget.allows(0)?;
    stays("clients and budget do not see the drain pod", QUIET, || {
        let (ready, status) = (ready_endpoints(site)?, budget.status()?);
        let unseen = ready == ["web-0", "web-1"] && status["disruptionsAllowed"] == 0;
        Ok(found_if(unseen, || format!("{ready:?} serve; {status}")))
    })
}

/// F28: such a budget asks how many replicas there should be, and a drain pod's controller is a claim, which says nothing about it. The
/// budget allows no eviction until the drain has ended, and works again then.
fn rests(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let budget = Budget::put(site, &json!({ "maxUnavailable": 1 }))?;
    budget.allows(1)?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    eventually("the budget rests", SOON, || {
        let status = budget.status()?;
        let rests = status["conditions"][0]["reason"] == "SyncFailed";
        Ok(found_if(rests && status["disruptionsAllowed"] == 0, || status.to_string()))
    })?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")?;
    budget.allows(1)
}

/// `as-labelled`: the pod serves what it still has while it is drained.
fn as_labelled(site: &Site<'_>) -> Result<()> {
    services(site)?;
    let component = serving();
    let digest = site.config_map("mine", ("policy.wasm", &component))?;
    let store = Store::bare().annotated("tidegate.dev/policy", &format!("mine@sha256:{digest}"));
    site.start(&store)?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    eventually("clients are sent to the drain pod", SOON, || {
        let ready = ready_endpoints(site)?;
        Ok(found_if(ready == ["web-0", "web-1"], || format!("{ready:?}")))
    })?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// A policy that renders a pod which takes part in traffic, and calls it complete whenever it is asked.
fn serving() -> Vec<u8> {
    let template = json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "member",
                "image": "docker.io/library/box:1",
                "command": ["sh", "-c", gate()],
                "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
            }],
        },
    })
    .to_string();
    let text = template.replace('\\', "\\\\").replace('"', "\\\"");
    // The answer is `pod`: the text of the template, and 1 for the traffic. All else is zero: nothing to discard, no state.
    let render = format!(
        "(i32.store (i32.const 8) (i32.const {TEMPLATE_AT}))
         (i32.store (i32.const 12) (i32.const {}))
         (i32.store8 (i32.const 16) (i32.const 1))
         (i32.const 0)",
        template.len()
    );
    let items = format!("(data (i32.const {TEMPLATE_AT}) \"{text}\")");
    Guest { render: &render, items: &items, reason: "it said so", ..Guest::default() }.component()
}

/// The set's own Service, by which members find each other at all times, and the one for clients.
fn services(site: &Site<'_>) -> Result<()> {
    let selector = json!({ "app": "web" });
    let ports = json!([{ "port": 80 }]);
    let own = json!({
        "metadata": { "name": "web" },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": selector,
            "ports": ports,
        },
    });
    let clients = json!({
        "metadata": { "name": CLIENTS },
        "spec": { "selector": selector, "ports": ports },
    });
    for service in [own, clients] {
        site.world.api.create(&site.path("v1", "services", ""), &service)?;
    }
    Ok(())
}

/// A disruption budget for the pods that bear the labels of the set. A pod that matches two has only one of them looked at again.
struct Budget<'a> {
    site: &'a Site<'a>,
}

impl<'a> Budget<'a> {
    const NAME: &'static str = "budget";

    fn put(site: &'a Site<'a>, spec: &Value) -> Result<Self> {
        let mut spec = spec.clone();
        spec["selector"] = json!({ "matchLabels": { "app": "web" } });
        let budget = json!({ "metadata": { "name": Self::NAME }, "spec": spec });
        site.world.api.create(&site.path("policy/v1", "poddisruptionbudgets", ""), &budget)?;
        Ok(Self { site })
    }

    /// Waits until it allows so many evictions.
    fn allows(&self, evictions: u64) -> Result<()> {
        eventually(&format!("the budget allows {evictions} evictions"), SOON, || {
            let status = self.status()?;
            Ok(found_if(status["disruptionsAllowed"] == evictions, || status.to_string()))
        })
    }

    fn status(&self) -> Result<Value> {
        let path = self.site.path("policy/v1", "poddisruptionbudgets", Self::NAME);
        Ok(self.site.world.api.get(&path)?.unwrap_or_default()["status"].take())
    }
}

/// The pods that clients are sent to, in order.
fn ready_endpoints(site: &Site<'_>) -> Result<Vec<String>> {
    let selector = format!("endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{CLIENTS}");
    let slices = site.world.api.list(&site.path("discovery.k8s.io/v1", &selector, ""))?;
    let endpoints = slices.iter().filter_map(|slice| slice["endpoints"].as_array()).flatten();
    let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true);
    let names = ready.filter_map(|endpoint| endpoint["targetRef"]["name"].as_str());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

/// Waits until a member finds the drain pod by the name that its own member had.
fn resolves(site: &Site<'_>, address: &str) -> Result<()> {
    let name = format!("web-2.web.{}.svc.cluster.local", site.namespace);
    let look_up = format!("nslookup {name} 2>&1 || true");
    eventually(&format!("{name} is {address}"), SOON, || {
        let answer = site.sh("web-0", &look_up)?;
        let found = answer.lines().any(|line| {
            line.starts_with("Address") && line.split_whitespace().any(|word| word == address)
        });
        Ok(if found { Look::Found(()) } else { Look::NotYet(answer) })
    })
}
