//! Whatever a user gets wrong is told by an event that names the field and the mend, and nothing is touched.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::audit::{Asked, asked_by};
use crate::components::{Guest, contract};
use crate::site::{Site, uid};
use crate::store::Store;
use crate::trial::{Test, test};
use crate::world::HOST_USER;

pub(crate) const TESTS: &[Test] = &[
    test("bad_input::annotation_not_understood", annotation_not_understood),
    test("bad_input::annotation_misspelt", annotation_misspelt),
    test("bad_input::grant_not_understood", grant_not_understood),
    test("bad_input::policy_not_a_reference", policy_not_a_reference),
    test("bad_input::policy_not_in_the_library", policy_not_in_the_library),
    test("bad_input::digest_absent", digest_absent),
    test("bad_input::digest_wrong", digest_wrong),
    test("bad_input::config_map_missing", config_map_missing),
    test("bad_input::key_missing", key_missing),
    test("bad_input::garbage_for_a_component", garbage_for_a_component),
    test("bad_input::text_for_a_component", text_for_a_component),
    test("bad_input::core_module_for_a_component", core_module_for_a_component),
    test("bad_input::import_beyond_the_log", import_beyond_the_log),
    test("bad_input::policy_traps", policy_traps),
    test("bad_input::policy_loops", policy_loops),
    test("bad_input::policy_takes_too_much_memory", policy_takes_too_much_memory),
    test("bad_input::config_not_understood", config_not_understood),
    test("bad_input::template_not_json", template_not_json),
    test("bad_input::template_that_the_api_server_refuses", template_refused),
    test("bad_input::foreign_pod_of_the_members_name", foreign_pod_of_the_members_name),
];

const POLICY: &str = "tidegate.dev/policy";
const TEMPLATE: &str = "statefulsets.kubernetes.io/scaledown-pod-template";

/// A value that is no number; once it is mended the drain begins.
fn annotation_not_understood(site: &Site<'_>) -> Result<()> {
    let key = "tidegate.dev/max-parallel";
    site.start(&drained_at_zero(moves_nothing()))?;
    site.annotate("web", key, Some("many"))?;
    untouched(site, "AnnotationUnreadable", &[key, "many", "whole number"])?;
    site.annotate("web", key, Some("1"))?;
    site.gone("data-web-0", "web-0")
}

/// One letter is missing: had it been ignored, a set that was to rest would be drained.
fn annotation_misspelt(site: &Site<'_>) -> Result<()> {
    let key = "tidegate.dev/pause";
    site.start(&drained_at_zero(moves_nothing()))?;
    site.annotate("web", key, Some("true"))?;
    untouched(site, "AnnotationUnreadable", &[key, "tidegate.dev/paused"])
}

/// A grant that is not of the closed list.
fn grant_not_understood(site: &Site<'_>) -> Result<()> {
    let store = drained_at_zero(moves_nothing());
    site.start(&store.annotated("tidegate.dev/grant", "everything=yes"))?;
    untouched(site, "TemplateRejected", &["tidegate.dev/grant", "everything"])
}

/// Neither the name of a ConfigMap nor one of the library.
fn policy_not_a_reference(site: &Site<'_>) -> Result<()> {
    refused_reference(site, "mine@md5:0123", &["md5:0123", "@sha256:"])
}

/// The names that there are help who misspelt one.
fn policy_not_in_the_library(site: &Site<'_>) -> Result<()> {
    refused_reference(site, "library:exce", &["exce", "exec", "keep", "pod-template"])
}

/// Without a digest whoever may edit the ConfigMap would decide what is deleted.
fn digest_absent(site: &Site<'_>) -> Result<()> {
    let component = Guest::default().component();
    site.config_map("mine", ("policy.wasm", &component))?;
    refused_reference(site, "mine/policy.wasm", &["names no digest", "@sha256:"])
}

/// The ConfigMap holds another policy than the one that was pinned.
fn digest_wrong(site: &Site<'_>) -> Result<()> {
    let component = Guest::default().component();
    let found = site.config_map("mine", ("policy.wasm", &component))?;
    let pinned = "0".repeat(64);
    let words = ["ConfigMap", "mine", &pinned, &found];
    refused_reference(site, &format!("mine/policy.wasm@sha256:{pinned}"), &words)
}

/// No such ConfigMap.
fn config_map_missing(site: &Site<'_>) -> Result<()> {
    let reference = format!("absent@sha256:{}", "0".repeat(64));
    refused_reference(site, &reference, &["ConfigMap", "absent", "create it", POLICY])
}

/// No such key in the ConfigMap; the keys that it has help.
fn key_missing(site: &Site<'_>) -> Result<()> {
    let component = Guest::default().component();
    let digest = site.config_map("mine", ("policy.wasm", &component))?;
    let reference = format!("mine/polcy.wasm@sha256:{digest}");
    refused_reference(site, &reference, &["mine", "polcy.wasm", "policy.wasm"])
}

/// Bytes that mean nothing.
fn garbage_for_a_component(site: &Site<'_>) -> Result<()> {
    refused_component(site, &[0xde, 0xad, 0xbe, 0xef], &["not WebAssembly", "component"])
}

/// The text of a module rather than its bytes.
fn text_for_a_component(site: &Site<'_>) -> Result<()> {
    refused_component(site, b"(module)", &["not WebAssembly", "text"])
}

/// A module that nobody made a component of.
fn core_module_for_a_component(site: &Site<'_>) -> Result<()> {
    let module = wat::parse_str("(module)")?;
    refused_component(site, &module, &["core WebAssembly module", "wasm-tools component new"])
}

/// A policy that wants to read the clock.
fn import_beyond_the_log(site: &Site<'_>) -> Result<()> {
    let clock = "wasi:clocks/wall-clock@0.2.0";
    let wit = contract(|wit| {
        let wit = wit.replace("  import log;", &format!("  import log;\n  import {clock};"));
        format!("{wit}\npackage wasi:clocks@0.2.0 {{ interface wall-clock {{ get: func(); }} }}")
    });
    let component = Guest {
        imports: &format!("(import \"{clock}\" \"get\" (func $get))"),
        items: "(func (export \"use\") (call $get))",
        ..Guest::default()
    };
    refused_component(site, &component.component_of(&wit), &[clock, "only", "take out"])
}

/// A policy that breaks off.
fn policy_traps(site: &Site<'_>) -> Result<()> {
    refused_render(site, "unreachable", &["trapped", "unreachable"])
}

/// A policy that never answers. The loop is of instructions that cost fuel and no time, so that a slow machine sees the same.
fn policy_loops(site: &Site<'_>) -> Result<()> {
    let endless = format!("(loop {} (br 0)) unreachable", "(drop (i32.const 1))".repeat(1000));
    refused_render(site, &endless, &["fuel", "loops"])
}

/// A policy that takes a megabyte more with every turn.
fn policy_takes_too_much_memory(site: &Site<'_>) -> Result<()> {
    let greedy = "(loop (drop (memory.grow (i32.const 16))) (br 0)) unreachable";
    refused_render(site, greedy, &["MiB of memory"])
}

/// A key of the config that the policy does not know.
fn config_not_understood(site: &Site<'_>) -> Result<()> {
    site.start(&drained_at_zero(Store::exec(&json!({ "scrip": "true" }))))?;
    untouched(site, "PolicyRefuses", &["tidegate.dev/policy-config", "`script`"])
}

/// A template that was cut off.
fn template_not_json(site: &Site<'_>) -> Result<()> {
    site.start(&Store::bare().of(1).annotated(TEMPLATE, "{\"spec\": "))?;
    untouched(site, "PolicyRefuses", &[TEMPLATE, "line 1", "PodTemplateSpec"])
}

/// A field that no pod has: the API server's own words are passed on.
fn template_refused(site: &Site<'_>) -> Result<()> {
    let mut container = container();
    container["imagePullPolice"] = "Always".into();
    let template = json!({ "spec": { "containers": [container] } });
    site.start(&Store::bare().of(1).annotated(TEMPLATE, &template.to_string()))?;
    site.scale("web", 0)?;
    let words = ["unknown field", "spec.containers[0].imagePullPolice"];
    still_untouched(site, "WriteRefused", &words)
}

/// Somebody else's pod came first: the name is the lock.
fn foreign_pod_of_the_members_name(site: &Site<'_>) -> Result<()> {
    let paused = "tidegate.dev/paused";
    site.start(&drained_at_zero(moves_nothing()))?;
    site.annotate("web", paused, Some("true"))?;
    site.scale("web", 0)?;
    site.no_pod("web-0")?;
    site.rest("web-0", None)?;
    site.annotate("web", paused, None)?;
    let before = site.claim_uid("data-web-0")?;
    site.told("web", "NameHeld", &["web-0", "not ours", "delete it yourself"])?;
    let pod = uid(&site.pod("web-0")?.unwrap_or_default())?;
    site.both_stay(("data-web-0", &before), ("web-0", &pod))
}

/// A container of a template, which mounts the claim.
fn container() -> serde_json::Value {
    json!({
        "name": "drain",
        "image": "docker.io/library/box:1",
        "command": ["sleep", "2147483647"],
        "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
    })
}

/// A set whose drain needs no other member and ends at once.
fn moves_nothing() -> Store {
    Store::exec(&json!({ "script": "true", "readyPeers": 0 }))
}

/// One member, drained when the set is scaled to zero: the smallest set that has an orphan.
fn drained_at_zero(store: Store) -> Store {
    store.of(1).annotated("tidegate.dev/scale-to-zero", "drain")
}

/// A set whose policy cannot be had.
fn refused_reference(site: &Site<'_>, reference: &str, words: &[&str]) -> Result<()> {
    site.start(&drained_at_zero(Store::bare()).annotated(POLICY, reference))?;
    untouched(site, "PolicyFault", words)
}

/// A set whose policy is pinned, and none.
fn refused_component(site: &Site<'_>, bytes: &[u8], words: &[&str]) -> Result<()> {
    let digest = site.config_map("mine", ("policy.wasm", bytes))?;
    refused_reference(site, &format!("mine@sha256:{digest}"), words)
}

/// A set whose policy loads, and fails when it is asked for a drain pod.
fn refused_render(site: &Site<'_>, body: &str, words: &[&str]) -> Result<()> {
    let component = Guest { render: body, ..Guest::default() }.component();
    refused_component(site, &component, words)
}

/// Scales the set to zero: the event is told, and of the host's there is nothing in the namespace but the label on the claim.
fn untouched(site: &Site<'_>, reason: &str, words: &[&str]) -> Result<()> {
    site.scale("web", 0)?;
    still_untouched(site, reason, words)?;
    let asked = asked_by(site.world, HOST_USER)?;
    let writes: Vec<&Asked> = asked
        .iter()
        .filter(|asked| asked.namespace == site.namespace && asked.is_write() && !asked.came_late())
        .collect();
    let enrolment = "patch persistentvolumeclaims data-web-0";
    ensure!(
        writes.len() == 1 && writes[0].what == enrolment,
        "the host wrote more than the label of the claim: {writes:?}"
    );
    Ok(())
}

/// The event is told, and claim and name are left alone.
fn still_untouched(site: &Site<'_>, reason: &str, words: &[&str]) -> Result<()> {
    let before = site.claim_uid("data-web-0")?;
    site.told("web", reason, words)?;
    site.no_pod("web-0")?;
    site.left_alone("data-web-0", &before, "web-0")
}
