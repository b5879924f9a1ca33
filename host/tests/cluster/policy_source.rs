//! Where a policy comes from, and what happens when that changes or goes.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::GzDecoder;
use serde_json::json;

use crate::altered::Altered;
use crate::site::{Site, gate, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, alone};

pub(crate) const TESTS: &[Test] = &[
    alone("policy_source::a_drain_outlives_the_config_map_while_the_host_runs", config_map_gone),
    alone("policy_source::without_a_digest_the_config_map_decides", unpinned),
];

/// The ConfigMap is deleted while a drain runs: the host has the policy, and goes on with it. Another host has not: the attempt ends, the
/// claim stays, and the next attempt begins when the ConfigMap is back.
fn config_map_gone(site: &Site<'_>) -> Result<()> {
    let policy = Copied::from_the_library(site, "exec")?;
    let digest = site.config_map("mine", ("policy.wasm", &policy.component))?;
    site.start(&store(&format!("mine@sha256:{digest}")))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 2)?;
    site.drains("web-2", 1)?;
    site.delete("configmaps", "mine")?;
    site.open_gate("web-2")?;
    site.gone("data-web-2", "web-2")?;

    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    drop(site.world.without_host()?);
    let missing = ["web-1", "mine", "is not there"];
    site.told("web", "AttemptEnded", &missing)?;
    site.told("web", "PolicyFault", &missing)?;
    site.no_pod("web-1")?;
    site.left_alone("data-web-1", &claim, "web-1")?;
    site.config_map("mine", ("policy.wasm", &policy.component))?;
    site.drains("web-1", 2)?;
    same_claim(site, "data-web-1", &claim)?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// `--allow-unpinned`: what the ConfigMap holds when an orphan is found is what drains it. A drain that runs is none of that.
fn unpinned(site: &Site<'_>) -> Result<()> {
    let host = Altered::with(site.world, &["--allow-unpinned"])?;
    let exec = Copied::from_the_library(site, "exec")?;
    let keep = Copied::from_the_library(site, "keep")?;
    site.config_map("mine", ("policy.wasm", &exec.component))?;
    site.start(&store("mine"))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 2)?;
    let drain = uid(&site.drains("web-2", 1)?)?;
    let changed = json!({ "binaryData": { "policy.wasm": BASE64.encode(&keep.component) } });
    site.world.api.merge(&site.path("v1", "configmaps", "mine"), &changed)?;
    let before = site.claim_uid("data-web-2")?;
    site.both_stay(("data-web-2", &before), ("web-2", &drain))?;
    site.open_gate("web-2")?;
    site.gone("data-web-2", "web-2")?;
    site.scale("web", 1)?;
    site.told("web", "PolicyKeeps", &["web-1"])?;
    site.no_pod("web-1")?;
    site.left_alone("data-web-1", &claim, "web-1")?;
    // The host as it is installed takes no such policy.
    drop(host);
    site.told("web", "PolicyFault", &["web-1", "names no digest"])?;
    site.left_alone("data-web-1", &claim, "web-1")
}

/// Three members, drained by the policy that this reference names.
fn store(policy: &str) -> Store {
    Store::exec(&json!({ "script": gate() })).of(3).annotated("tidegate.dev/policy", policy)
}

/// A policy of the library with a section more that says nothing, so that no host has it in memory because of another set.
struct Copied {
    component: Vec<u8>,
}

impl Copied {
    /// An empty section of a component for whoever wants to note something: its kind, its size, and the length and letters of its name.
    const NOTE: [u8; 7] = [0, 5, 4, b'c', b'o', b'p', b'y'];

    fn from_the_library(site: &Site<'_>, name: &str) -> Result<Self> {
        let selector = format!("labelSelector=tidegate.dev%2Flibrary%3D{name}");
        let maps =
            site.world.api.list(&format!("/api/v1/namespaces/tidegate/configmaps?{selector}"))?;
        let map = maps.first().with_context(|| format!("the library has no {name}"))?;
        let packed = map["binaryData"]["policy.wasm.gz"].as_str().context("it is not packed")?;
        let mut component = Vec::new();
        GzDecoder::new(BASE64.decode(packed)?.as_slice()).read_to_end(&mut component)?;
        component.extend(Self::NOTE);
        Ok(Self { component })
    }
}
