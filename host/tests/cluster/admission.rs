//! Drain pods that the cluster's own admission makes others of.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::audit::{Asked, host_asked_in};
use crate::site::{HOLD, QUIET, Site, gate, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, test};
use crate::wait::{SOON, eventually, found_if, stays};

pub(crate) const TESTS: &[Test] = &[
    test("admission::an_injected_container_that_never_ends_is_not_waited_for", injected),
    test("admission::an_injected_init_container_that_fails_keeps_the_claim", init_fails),
    test("admission::a_drain_pod_without_its_marks_is_not_ours", without_marks),
    test("admission::a_drain_pod_without_the_members_label_is_not_ours", without_any_label),
    test("admission::a_finalizer_of_others_holds_the_end_and_is_told", finalizer),
    test("admission::a_drain_pod_that_never_ends_is_not_ours", starts_over),
    test("admission::a_drain_pod_that_a_probe_may_kill_is_not_ours", probed),
    test("admission::a_deadline_cuts_the_drain_short", deadline),
];

/// How long requests are counted.
const COUNTED: Duration = Duration::from_secs(20);

/// What the host may ask about a foreign pod in that time: every 15 seconds it looks again, which are three reads, and for each of a few
/// changes of the pod.
const ASKED_MAX: usize = 15;

/// F29: a mesh's proxy, say, which knows nothing of an end.
fn injected(site: &Site<'_>) -> Result<()> {
    let proxy = "Object.spec.containers{name: \"proxy\", image: \"docker.io/library/box:1\", \
                 command: [\"sh\", \"-c\", \"trap 'exit 0' TERM; sleep 2147483647 & wait\"]}";
    let mutation = Mutation::put(site, &add("/spec/containers/-", proxy))?;
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    site.scale("web", 1)?;
    let drain = site.drains("web-1", 1)?;
    let names = drain["spec"]["containers"].as_array().context("no containers")?;
    ensure!(names.len() == 2, "nothing was injected: {names:?}");
    site.hold("web-1")?;
    site.open_gate("web-1")?;
    site.told("web", "Sealed", &["web-1", "tidegate: drained"])?;
    let drained = site.told("web", "Drained", &["web-1"])?;
    let ended = site.pod("web-1")?.context("the pod is gone, though it was held")?;
    ensure!(ended["metadata"]["uid"] == drain["metadata"]["uid"], "another pod after {drained}");
    site.let_go("web-1")?;
    site.gone("data-web-1", "web-1")?;
    mutation.take_away()
}

/// Nothing of the drain runs, and the event says whose fault it is. When it is mended the next attempt succeeds.
fn init_fails(site: &Site<'_>) -> Result<()> {
    let check = "Object.spec.initContainers{name: \"check\", image: \"docker.io/library/box:1\", \
                 command: [\"false\"]}";
    // A list of objects makes the API server panic, so the list comes first and empty.
    let list = add("/spec/initContainers", "[]");
    let patch = format!("{list}, {}", add("/spec/initContainers/-", check));
    let mutation = Mutation::put(site, &patch)?;
    site.start(&Store::exec(&json!({ "script": "true" })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.told("web", "AttemptEnded", &["web-1", "attempt 2", "container check exited 1"])?;
    same_claim(site, "data-web-1", &claim)?;
    mutation.take_away()?;
    site.gone("data-web-1", "web-1")
}

/// The pod that comes back is not the one that was asked for: by its marks the host knows its own.
fn without_marks(site: &Site<'_>) -> Result<()> {
    foreign(site, &remove("annotations", DRAIN), "it bears no annotation tidegate.dev/drain")
}

/// Without the label of members the pod is not even watched.
fn without_any_label(site: &Site<'_>) -> Result<()> {
    let labels = remove("labels", "statefulset.kubernetes.io/pod-name");
    foreign(
        site,
        &format!("{labels}, {}", remove("labels", SET_UID)),
        "it bears no label tidegate.dev/set-uid",
    )
}

/// The host says so, leaves the pod alone, and does not ask again and again.
fn foreign(site: &Site<'_>, patch: &str, words: &str) -> Result<()> {
    let mutation = Mutation::put(site, patch)?;
    site.start(&Store::exec(&json!({ "script": "true" })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.told("web", "NameHeld", &["web-1", words, "delete it yourself"])?;
    let pod = uid(&site.eventually_pod("the pod has ended", "web-1", |pod| {
        pod["status"]["phase"] == "Succeeded"
    })?)?;
    let before = host_asked_in(site.world, &site.namespace)?.len();
    sleep(COUNTED);
    let asked = host_asked_in(site.world, &site.namespace)?.split_off(before);
    ensure!(
        asked.len() <= ASKED_MAX && !asked.iter().any(Asked::is_write),
        "about a pod that is not its own the host asked {} times: {asked:?}",
        asked.len()
    );
    site.both_stay(("data-web-1", &claim), ("web-1", &pod))?;
    mutation.take_away()?;
    site.delete("pods", "web-1")?;
    site.gone("data-web-1", "web-1")
}

/// Claims and pod are deleted and stay until whoever put the finalizer there takes it off. The event names it.
fn finalizer(site: &Site<'_>) -> Result<()> {
    let mutation = Mutation::put(site, &add("/metadata/finalizers", &format!("[\"{HOLD}\"]")))?;
    site.start(&Store::exec(&json!({ "script": "true" })))?;
    site.scale("web", 1)?;
    site.told("web", "Drained", &["web-1"])?;
    site.told("web", "HeldByFinalizers", &["web-1", HOLD, "must take them off"])?;
    stays("claim and pod wait for the finalizer", QUIET, || {
        let (claim, pod) = (site.claim("data-web-1")?, site.pod("web-1")?);
        let going = [&claim, &pod].iter().all(|object| {
            let metadata = object.as_ref().map(|object| &object["metadata"]);
            metadata.is_some_and(|it| it["deletionTimestamp"].is_string())
        });
        Ok(found_if(going, || format!("claim {claim:?}, pod {pod:?}")))
    })?;
    site.let_go("web-1")?;
    site.gone("data-web-1", "web-1")?;
    mutation.take_away()
}

/// With `Always` a drain never comes to an end, and the work is done again each time: that is no end by itself.
fn starts_over(site: &Site<'_>) -> Result<()> {
    let always = "JSONPatch{op: \"replace\", path: \"/spec/restartPolicy\", value: \"Always\"}";
    let mutation = Mutation::put(site, always)?;
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    site.scale("web", 1)?;
    altered(site, mutation, &["web-1", "restartPolicy", "Always"])
}

/// F21: what a probe kills exits with 0, and leaves no other trace.
fn probed(site: &Site<'_>) -> Result<()> {
    let probe = "Object.spec.containers.livenessProbe{exec: \
                 Object.spec.containers.livenessProbe.exec{command: [\"false\"]}, \
                 periodSeconds: 1, failureThreshold: 1}";
    let mutation = Mutation::put(site, &add("/spec/containers/0/livenessProbe", probe))?;
    let script = format!("trap 'exit 0' TERM; {}", gate());
    let config = json!({ "command": ["sh", "-c", script], "exitCode": "enough" });
    site.start(&Store::exec(&config))?;
    site.scale("web", 1)?;
    altered(site, mutation, &["web-1", "container member", "livenessProbe"])
}

/// Such a pod is not what the host asked for, whatever it ends with: it is told, and left alone. When admission is mended and the pod gone,
/// the drain begins afresh.
fn altered(site: &Site<'_>, mutation: Mutation<'_>, words: &[&str]) -> Result<()> {
    let claim = site.claim_uid("data-web-1")?;
    site.told("web", "NameHeld", words)?;
    let pod = uid(&site.pod("web-1")?.context("there is no drain pod")?)?;
    site.both_stay(("data-web-1", &claim), ("web-1", &pod))?;
    mutation.take_away()?;
    site.delete("pods", "web-1")?;
    site.drains("web-1", 1)?;
    same_claim(site, "data-web-1", &claim)?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// The kubelet ends what takes longer, and what it ends exits with 0.
fn deadline(site: &Site<'_>) -> Result<()> {
    let mutation = Mutation::put(site, &add("/spec/activeDeadlineSeconds", "3"))?;
    let script = format!("trap 'exit 0' TERM; {}", gate());
    let config = json!({ "command": ["sh", "-c", script], "exitCode": "enough" });
    site.start(&Store::exec(&config))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.told("web", "AttemptEnded", &["web-1", "attempt 2", "DeadlineExceeded"])?;
    same_claim(site, "data-web-1", &claim)?;
    mutation.take_away()?;
    site.drains("web-1", 2)?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

const DRAIN: &str = "tidegate.dev/drain";
const SET_UID: &str = "tidegate.dev/set-uid";

/// A patch that adds a value, which is written in CEL.
fn add(path: &str, value: &str) -> String {
    format!("JSONPatch{{op: \"add\", path: \"{path}\", value: {value}}}")
}

/// A patch that takes a label or an annotation off.
fn remove(map: &str, key: &str) -> String {
    format!(
        "JSONPatch{{op: \"remove\", path: \"/metadata/{map}/\" + jsonpatch.escapeKey(\"{key}\")}}"
    )
}

/// An admission policy that changes every drain pod of the namespace when it is created.
struct Mutation<'a> {
    site: &'a Site<'a>,
}

impl<'a> Mutation<'a> {
    const POLICIES: &'static str =
        "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies";
    const BINDINGS: &'static str =
        "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings";
    /// The annotation that shows that a pod was changed.
    const CHANGED: &'static str = "example.org/changed";

    /// Puts it up, and waits until it stands.
    fn put(site: &'a Site<'a>, patch: &str) -> Result<Self> {
        let name = &site.namespace;
        let rule = json!({
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE"],
            "resources": ["pods"],
        });
        let changed =
            format!("\"/metadata/annotations/\" + jsonpatch.escapeKey(\"{}\")", Self::CHANGED);
        let patches =
            format!("[JSONPatch{{op: \"add\", path: {changed}, value: \"yes\"}}, {patch}]");
        let is_drain_pod =
            format!("has(object.metadata.annotations) && '{DRAIN}' in object.metadata.annotations");
        let policy = json!({
            "metadata": { "name": name },
            "spec": {
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "matchConstraints": { "resourceRules": [rule] },
                "matchConditions": [{ "name": "drain-pod", "expression": is_drain_pod }],
                "mutations": [{
                    "patchType": "JSONPatch",
                    "jsonPatch": { "expression": patches },
                }],
            },
        });
        let selector = json!({ "matchLabels": { "kubernetes.io/metadata.name": name } });
        let binding = json!({
            "metadata": { "name": name },
            "spec": { "policyName": name, "matchResources": { "namespaceSelector": selector } },
        });
        let mutation = Self { site };
        site.world.api.create(Self::POLICIES, &policy)?;
        site.world.api.create(Self::BINDINGS, &binding)?;
        eventually("drain pods are changed", SOON, || {
            Ok(found_if(mutation.stands()?, || "a pod as it was sent".to_owned()))
        })?;
        Ok(mutation)
    }

    /// Takes it away, and waits until it is gone.
    fn take_away(self) -> Result<()> {
        self.delete()?;
        eventually("drain pods are left as they are", SOON, || {
            Ok(found_if(!self.stands()?, || "a pod that was changed".to_owned()))
        })
    }

    fn delete(&self) -> Result<()> {
        for kind in [Self::BINDINGS, Self::POLICIES] {
            let path = format!("{kind}/{}", self.site.namespace);
            if self.site.world.api.get(&path)?.is_some() {
                self.site.world.api.delete(&path, &Value::Null)?;
            }
        }
        Ok(())
    }

    /// Whether it stands: the API server heeds it, and that it is gone, some time after it was told.
    fn stands(&self) -> Result<bool> {
        let pod = json!({
            "metadata": {
                "name": "tried",
                "labels": { SET_UID: "none", "statefulset.kubernetes.io/pod-name": "tried" },
                "annotations": { DRAIN: "none" },
            },
            "spec": {
                "restartPolicy": "Never",
                "containers": [{ "name": "tried", "image": "docker.io/library/box:1" }],
            },
        });
        let path = self.site.path("v1", "pods?dryRun=All", "");
        let made = self.site.world.api.create(&path, &pod)?;
        Ok(made["metadata"]["annotations"][Self::CHANGED].is_string())
    }
}

impl Drop for Mutation<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.delete() {
            xtask::progress::say(format_args!("an admission policy stays: {error:#}"));
        }
    }
}
