//! What `tidegate simulate --from-cluster` says of a set that lives: what a scale-down would do, and what would stand against it. Nothing is changed.

use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::audit::{Asked, asked_by};
use crate::site::{Site, gate};
use crate::store::Store;
use crate::trial::{Test, test};

pub(crate) const TESTS: &[Test] = &[
    test("foreseen::a_scale_down_is_shown_and_nothing_is_touched", shown),
    test("foreseen::what_would_refuse_the_drain_pod_is_named", refused),
    test("foreseen::what_is_not_there_is_named", nothing_there),
];

/// The label by which a namespace takes no pod that runs as root.
const RESTRICTED: &str = "pod-security.kubernetes.io/enforce";

/// Who a person is to the API server, by the kubeconfig of the cluster.
const ADMIN: &str = "admin";
/// What a line of a shown pod begins with.
const SHOWN: &str = "             ";

/// Three members go down to one: both drain pods are shown as they would be sent, admission lets both pass, and the cluster is as it was.
fn shown(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })).of(3))?;
    let (before, asked) = (versions(site)?, written(site)?.len());
    let said = well(&site.foresee(&["--replicas", "1"])?)?;
    for words in [
        "policy library:exec out of ConfigMap tidegate-policy-exec-",
        "creates pod web-2",
        "the living cluster would admit pod web-2",
        "creates pod web-1",
        "the living cluster would admit pod web-1",
        "web-2: drained; deleted: data-web-2",
        "web-1: drained; deleted: data-web-1",
    ] {
        ensure!(said.contains(words), "{words:?} is missing: {said}");
    }
    ensure!(!said.contains("pod web-0"), "nothing befalls the member that stays: {said}");
    ensure!(versions(site)? == before, "something was changed: {before:?}");
    let written = written(site)?.split_off(asked);
    let is_shown = |it: &Asked| it.what.starts_with("create pods") && it.is_dry;
    ensure!(written.len() == 2 && written.iter().all(is_shown), "{written:?}");

    // What is shown is what then happens.
    let shown = pod_in(&well(&site.foresee(&["--show-pod"])?)?)?;
    site.scale("web", 2)?;
    let drain = site.drains("web-2", 1)?;
    ensure!(
        is_within(&shown["spec"], &drain["spec"]),
        "{} is not in {}",
        shown["spec"],
        drain["spec"]
    );
    site.open_gate("web-2")?;
    site.gone("data-web-2", "web-2")
}

/// First the cluster's own admission, then the host itself.
fn refused(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": "true" })))?;
    let namespace = format!("/api/v1/namespaces/{}", site.namespace);
    let labelled = |value: Value| json!({ "metadata": { "labels": { RESTRICTED: value } } });
    site.world.api.merge(&namespace, &labelled(json!("restricted")))?;
    let said = amiss(&site.foresee(&[])?)?;
    let words = "the living cluster would refuse pod web-1";
    ensure!(said.contains(words) && said.contains("violates PodSecurity"), "{said}");
    site.world.api.merge(&namespace, &labelled(Value::Null))?;

    let config = r#"{"script": "true", "container": "nobody"}"#;
    let said = amiss(&site.foresee(&["--config", config])?)?;
    ensure!(said.contains("the policy refuses") && said.contains("nobody"), "{said}");
    ensure!(!said.contains("creates pod"), "no drain pod comes of it: {said}");
    site.enrolled()
}

fn nothing_there(site: &Site<'_>) -> Result<()> {
    let done = site.foresee(&[])?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.code() == Some(2), "{}: {said}", done.status);
    ensure!(said.contains(&format!("there is no StatefulSet {}/web", site.namespace)), "{said}");
    Ok(())
}

/// The name and version of the set, its members and its claims.
fn versions(site: &Site<'_>) -> Result<Vec<String>> {
    let of = |object: &Value| {
        let field = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        format!("{} {}", field("name"), field("resourceVersion"))
    };
    let mut all = vec![of(&site.set("web")?)];
    for ordinal in 0..3 {
        let member = format!("web-{ordinal}");
        all.push(of(&site.pod(&member)?.with_context(|| format!("{member} is gone"))?));
    }
    all.extend(site.claims()?.iter().map(of));
    Ok(all)
}

/// What the admin of the cluster, who runs the simulation, wrote in the namespace.
fn written(site: &Site<'_>) -> Result<Vec<Asked>> {
    let mut all = asked_by(site.world, ADMIN)?;
    all.retain(|asked| asked.namespace == site.namespace && asked.is_write());
    Ok(all)
}

/// The drain pod that was shown: what is indented deepest.
fn pod_in(said: &str) -> Result<Value> {
    let lines = said.lines().skip_while(|line| !line.starts_with(SHOWN));
    let lines = lines.map_while(|line| line.strip_prefix(SHOWN));
    let yaml: Vec<&str> = lines.collect();
    serde_saphyr::from_str(&yaml.join("\n")).context("no pod is shown")
}

/// Whether the API server has only added to what was sent.
fn is_within(sent: &Value, kept: &Value) -> bool {
    match (sent, kept) {
        (Value::Object(sent), Value::Object(kept)) => sent.iter().all(|(key, value)| {
            let is_empty = value.as_array().is_some_and(Vec::is_empty);
            kept.get(key).map_or(is_empty, |kept| is_within(value, kept))
        }),
        (Value::Array(sent), Value::Array(kept)) => {
            sent.iter().all(|item| kept.iter().any(|kept| is_within(item, kept)))
        }
        (sent, kept) => sent == kept,
    }
}

fn well(done: &Output) -> Result<String> {
    ended(done, 0)
}

fn amiss(done: &Output) -> Result<String> {
    ended(done, 1)
}

fn ended(done: &Output, code: i32) -> Result<String> {
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let faults = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.code() == Some(code), "ended with {}: {said}{faults}", done.status);
    Ok(said)
}

impl Site<'_> {
    /// Asks what a scale-down of the set `web` would do.
    fn foresee(&self, arguments: &[&str]) -> Result<Output> {
        let reference = format!("{}/web", self.namespace);
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.env("KUBECONFIG", self.world.cluster.kubeconfig());
        command.args(["simulate", "--from-cluster", &reference]).args(arguments);
        Ok(command.output()?)
    }
}
