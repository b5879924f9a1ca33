//! Where a policy comes from, and what happens when that changes or goes.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::GzDecoder;
use serde_json::json;
use tidegate::policy::Digest;

use crate::altered::Altered;
use crate::components::Guest;
use crate::site::{Site, gate, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, alone, test};
use crate::wait::{SOON, eventually, found_if};

pub(crate) const TESTS: &[Test] = &[
    alone("policy_source::a_drain_outlives_the_config_map_while_the_host_runs", config_map_gone),
    alone("policy_source::without_a_digest_the_config_map_decides", unpinned),
    test(
        "policy_source::another_digest_is_waited_for_and_the_drain_that_runs_goes_on",
        another_digest,
    ),
    test("policy_source::a_config_is_checked_when_it_is_written", config_checked),
    test("policy_source::a_check_that_never_ends_holds_up_no_drain_that_runs", never_checked),
];

const CONFIG: &str = "tidegate.dev/policy-config";

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

/// `--allow-unpinned`: what the ConfigMap holds when an orphan is found is what drains it. A drain that runs is none of that. What is no policy does not take
/// the place of one, and what is wakes the sets that name it.
fn unpinned(site: &Site<'_>) -> Result<()> {
    let host = Altered::with(site.world, &["--allow-unpinned"])?;
    let exec = Copied::from_the_library(site, "exec")?;
    let keep = Copied::from_the_library(site, "keep")?;
    let holds = |component: &[u8]| {
        let changed = json!({ "binaryData": { "policy.wasm": BASE64.encode(component) } });
        site.world.api.merge(&site.path("v1", "configmaps", "mine"), &changed)
    };
    site.config_map("mine", ("policy.wasm", &exec.component))?;
    site.start(&store("mine").of(4))?;
    let (of_2, of_1) = (site.claim_uid("data-web-2")?, site.claim_uid("data-web-1")?);
    site.scale("web", 3)?;
    let drain = uid(&site.drains("web-3", 1)?)?;
    holds(&keep.component)?;
    let before = site.claim_uid("data-web-3")?;
    site.both_stay(("data-web-3", &before), ("web-3", &drain))?;
    site.open_gate("web-3")?;
    site.gone("data-web-3", "web-3")?;
    site.scale("web", 2)?;
    site.told("web", "PolicyKeeps", &["web-2"])?;
    holds(b"no policy")?;
    let in_use = Digest::of(&keep.component).to_string();
    site.told("web", "PolicyNotTaken", &["mine", "not WebAssembly", &in_use, "stays"])?;
    site.no_pod("web-2")?;
    site.left_alone("data-web-2", &of_2, "web-2")?;
    holds(&exec.component)?;
    site.drains("web-2", 1)?;
    site.open_gate("web-2")?;
    site.gone("data-web-2", "web-2")?;
    // The host as it is installed takes no such policy.
    drop(host);
    site.told("web", "PolicyNotTaken", &["names no digest"])?;
    site.scale("web", 1)?;
    site.told("web", "PolicyFault", &["web-1", "names no digest"])?;
    site.left_alone("data-web-1", &of_1, "web-1")
}

/// The set names another policy, which is not there: the drain that runs goes on with its own, no other begins, and as soon as the policy is there one does.
fn another_digest(site: &Site<'_>) -> Result<()> {
    let exec = Copied::from_the_library(site, "exec")?;
    let digest = site.config_map("mine", ("policy.wasm", &exec.component))?;
    site.start(&store(&format!("mine@sha256:{digest}")))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 2)?;
    site.drains("web-2", 1)?;
    let next = exec.again();
    let reference = format!("next@sha256:{}", Digest::of(&next.component));
    site.annotate("web", "tidegate.dev/policy", Some(&reference))?;
    site.told("web", "PolicyNotTaken", &["next", "is not there", "a drain that runs goes on"])?;
    site.scale("web", 1)?;
    site.told("web", "PolicyFault", &["web-1", "next", "is not there"])?;
    site.open_gate("web-2")?;
    site.gone("data-web-2", "web-2")?;
    site.no_pod("web-1")?;
    site.left_alone("data-web-1", &claim, "web-1")?;
    site.config_map("next", ("policy.wasm", &next.component))?;
    site.drains("web-1", 1)?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// The policy is shown the config when the annotation appears or changes, and what it says against it is told then.
fn config_checked(site: &Site<'_>) -> Result<()> {
    let component = particular();
    let digest = site.config_map("mine", ("policy.wasm", &component))?;
    let reference = format!("mine@sha256:{digest}");
    let store = Store::bare().annotated("tidegate.dev/policy", &reference);
    site.start(&store.annotated(CONFIG, "bad"))?;
    let words = ["tidegate.dev/policy-config", &digest, "it is three letters long"];
    site.told("web", "ConfigInvalid", &words)?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.told("web", "PolicyRefuses", &["web-1", "it is three letters long"])?;
    site.left_alone("data-web-1", &claim, "web-1")?;
    site.annotate("web", CONFIG, Some("good"))?;
    site.told("web", "PolicyKeeps", &["web-1", "it is three letters long"])?;
    site.told("web", "PolicyTaken", &[&digest])?;
    site.annotate("web", CONFIG, Some("odd"))?;
    eventually("it is told again", SOON, || {
        let told = site.events("web", "ConfigInvalid")?.len();
        Ok(found_if(told == 2, || format!("it was told {told} times")))
    })?;
    site.left_alone("data-web-1", &claim, "web-1")
}

/// The set names a policy that takes longer over the config than it may, each time: the drain that runs is judged and ends meanwhile, and whoever waits
/// for the other one is told.
fn never_checked(site: &Site<'_>) -> Result<()> {
    let digest = site.config_map("mine", ("policy.wasm", &dawdling()))?;
    let store = Store::exec(&json!({ "script": gate() })).of(3);
    site.start(&store.annotated("tidegate.dev/max-parallel", "2"))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 2)?;
    site.drains("web-2", 1)?;
    site.annotate("web", "tidegate.dev/policy", Some(&format!("mine@sha256:{digest}")))?;
    site.scale("web", 1)?;
    site.open_gate("web-2")?;
    site.gone("data-web-2", "web-2")?;
    site.told("web", "PolicyFault", &["web-1", "config could not be checked", "1000 ms"])?;
    site.no_pod("web-1")?;
    site.left_alone("data-web-1", &claim, "web-1")
}

/// A policy that answers everything but `validate`, over which it takes time and no fuel.
fn dawdling() -> Vec<u8> {
    let items = r#"(func (export "tidegate:policy/validator@1.1.0#validate")
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
        (drop (memory.grow (i32.const 60)))
        (loop (call $log (i32.const 0) (i32.const 65536) (i32.const 3145728)) (br 0))
        unreachable)"#;
    Guest { items, ..Guest::default() }.component_of_world("complete")
}

/// A policy that keeps everything, and takes no config of three letters.
fn particular() -> Vec<u8> {
    let items = r#"(func (export "tidegate:policy/validator@1.1.0#validate")
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
        (i32.store8 (i32.const 0) (i32.eq (local.get 7) (i32.const 3)))
        (i32.store (i32.const 4) (i32.const 64))
        (i32.store (i32.const 8) (global.get $reason_bytes))
        (i32.const 0))"#;
    let reason = "it is three letters long";
    Guest { items, reason, ..Guest::default() }.component_of_world("complete")
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

    /// The same with another digest.
    fn again(&self) -> Self {
        Self { component: [&self.component[..], &Self::NOTE].concat() }
    }
}
