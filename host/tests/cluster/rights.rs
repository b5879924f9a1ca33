//! Who may edit a ConfigMap and nothing else gains no pod by it.

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::handmade::{renders, waits_at_the_gate};
use crate::process::HostProcess;
use crate::site::{Site, is_drain_pod};
use crate::store::Store;
use crate::trial::{Test, apart};
use crate::wait::{Look, SOON, eventually};
use xtask::proxy::Proxy;

pub(crate) const TESTS: &[Test] = &[
    apart("rights::a_pinned_policy_changes_for_no_editor", pinned),
    apart("rights::an_editor_of_an_unpinned_policy_asks_for_no_more_than_the_set", unpinned),
];

/// Whoever edits the ConfigMaps.
const EDITOR: &str = "--as=editor";

/// The running drain goes on with the module that it began with, and no other begins with what the editor put in its place.
fn pinned(site: &Site<'_>) -> Result<()> {
    let proxy = Proxy::start(site.world.cluster.kubeconfig())?;
    let host = HostProcess::behind(&proxy, site, &[])?;
    let digest = site.config_map("mine", ("policy.wasm", &drains_in("honest")))?;
    let policy = format!("mine@sha256:{digest}");
    site.start(&Store::bare().of(3).annotated("tidegate.dev/policy", &policy))?;
    site.scale("web", 2)?;
    runs_in(site, "web-2", "honest")?;
    let_edit(site)?;
    edit(site, &drains_in("evil"))?;
    site.open_gate("web-2")?;
    site.gone("data-web-2", "web-2")?;
    host.crash()?;
    let _next = HostProcess::behind(&proxy, site, &[])?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.told("web", "PolicyFault", &["web-1", "ConfigMap", "mine", &digest])?;
    site.no_pod("web-1")?;
    site.left_alone("data-web-1", &claim, "web-1")
}

/// Where `--allow-unpinned` lets the ConfigMap decide what runs, it runs with what the set itself has.
fn unpinned(site: &Site<'_>) -> Result<()> {
    let proxy = Proxy::start(site.world.cluster.kubeconfig())?;
    let _host = HostProcess::behind(&proxy, site, &["--allow-unpinned"])?;
    site.config_map("mine", ("policy.wasm", &drains_in("honest")))?;
    site.start(&Store::bare().annotated("tidegate.dev/policy", "mine"))?;
    let claim = site.claim_uid("data-web-1")?;
    let_edit(site)?;
    edit(site, &with("serviceAccountName", json!("powerful")))?;
    site.scale("web", 1)?;
    site.told("web", "TemplateRejected", &["web-1", "spec.serviceAccountName"])?;
    let root = json!([{ "name": "root", "hostPath": { "path": "/" } }]);
    for (field, value) in [
        ("hostNetwork", json!(true)),
        ("imagePullSecrets", json!([{ "name": "theirs" }])),
        ("volumes", root),
    ] {
        edit(site, &with(field, value))?;
        // Nothing watches ConfigMaps: the host asks again when the set changes.
        site.annotate("web", "example.org/edited", Some(field))?;
        site.told("web", "TemplateRejected", &["web-1", &format!("spec.{field}")])?;
    }
    site.left_alone("data-web-1", &claim, "web-1")?;
    edit(site, &drains_in("allowed"))?;
    site.annotate("web", "example.org/edited", Some("allowed"))?;
    let pod = runs_in(site, "web-1", "allowed")?;
    let account = &pod["spec"]["serviceAccountName"];
    ensure!(account == "default", "it runs with the account {account}");
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// A policy whose drain runs in a container of this name until its gate is opened.
fn drains_in(container: &str) -> Vec<u8> {
    renders(&waits_at_the_gate(container, &["data"]))
}

/// A policy whose pod asks for more.
fn with(field: &str, value: Value) -> Vec<u8> {
    let mut template = waits_at_the_gate("evil", &["data"]);
    template["spec"][field] = value;
    renders(&template)
}

/// Lets the editor edit ConfigMaps, and makes sure that this is all.
fn let_edit(site: &Site<'_>) -> Result<()> {
    let namespace = site.namespace.as_str();
    let role = ["create", "role", "editor", "--verb=get,update,patch", "--resource=configmaps"];
    let binding = ["create", "rolebinding", "editor", "--role=editor", "--user=editor"];
    for arguments in [role.as_slice(), binding.as_slice()] {
        site.world.kubectl(&[arguments, &["-n", namespace]].concat())?;
    }
    let tried = site.world.kubectl(&["delete", "statefulset", "web", "-n", namespace, EDITOR]);
    let refusal = tried.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(refusal.contains("editor") && refusal.contains("forbidden"), "{refusal}");
    let pod = ["run", "evil", "--image=docker.io/library/box:1", "-n", namespace, EDITOR];
    let refusal = site.world.kubectl(&pod).err().map(|error| format!("{error:#}"));
    ensure!(refusal.is_some_and(|it| it.contains("forbidden")), "the editor made a pod");
    Ok(())
}

/// Puts another policy into the ConfigMap, as the editor, once that may.
fn edit(site: &Site<'_>, policy: &[u8]) -> Result<()> {
    let patch = json!({ "binaryData": { "policy.wasm": BASE64.encode(policy) } }).to_string();
    let arguments =
        ["patch", "configmap", "mine", "-n", &site.namespace, "--type=merge", "-p", &patch, EDITOR];
    eventually("the editor may edit", SOON, || {
        Ok(match site.world.kubectl(&arguments) {
            Ok(_) => Look::Found(()),
            Err(refusal) => Look::NotYet(format!("{refusal:#}")),
        })
    })
}

/// Waits until the drain pod runs; fails where another container than this does the work.
fn runs_in(site: &Site<'_>, pod: &str, container: &str) -> Result<Value> {
    let found = site.eventually_pod(&format!("drain pod {pod} runs"), pod, |pod| {
        is_drain_pod(pod) && pod["status"]["phase"] == "Running"
    })?;
    let name = &found["spec"]["containers"][0]["name"];
    ensure!(name == container, "the drain pod runs {name} and not {container}");
    Ok(found)
}
