//! Every kind of write arrives late, after the host that sent it has died and the world has changed in the way that would hurt: each is
//! refused, or harmless. The DELETE of a claim is the subject of `timing`.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};

use crate::process::HostProcess;
use crate::site::{Site, gate, is_drain_pod, uid};
use crate::store::Store;
use crate::trial::{Test, apart};
use crate::wait::{Look, SOON, eventually, found_if};
use xtask::proxy::{Call, Held, Point, Proxy};

pub(crate) const TESTS: &[Test] = &[
    apart("late_writes::an_enrolment_marks_no_other_claim", enrolment),
    apart("late_writes::a_record_replaces_no_later_one", record),
    apart("late_writes::a_drain_pod_is_not_made_beside_the_member", create),
    apart(
        "late_writes::a_drain_pod_made_for_another_claim_ends_without_a_deletion",
        create_for_another,
    ),
    apart("late_writes::a_seal_goes_on_no_member", seal),
    apart("late_writes::a_fence_changes_no_claim_that_was_given_back", fence),
    apart("late_writes::an_unsealing_marks_no_member", unseal_drained),
    apart("late_writes::an_unsealing_frees_no_name_while_claims_are_deleted", unseal_given_back),
    apart("late_writes::a_seal_that_is_given_back_too_late_holds_on", give_back),
    apart("late_writes::a_deletion_of_the_drain_pod_spares_the_member", delete_pod),
    apart("late_writes::a_touch_goes_to_no_other_set", touch),
];

const PATCH_CLAIM: &str = "patch persistentvolumeclaims data-web-1";
const DELETE_CLAIM: &str = "delete persistentvolumeclaims data-web-1";
const DELETE_LOG: &str = "delete persistentvolumeclaims log-web-1";
const PATCH_POD: &str = "patch pods web-1";
const POLICY: &str = "tidegate.dev/policy";

/// A host behind a proxy.
struct Late {
    proxy: Proxy,
    host: HostProcess,
}

impl Late {
    fn begin(site: &Site<'_>) -> Result<Self> {
        let proxy = Proxy::start(site.world.cluster.kubeconfig())?;
        let host = HostProcess::behind(&proxy, site, &[])?;
        Ok(Self { proxy, host })
    }

    fn hold(&self, matches: impl Fn(&Call) -> bool + Send + 'static) -> Held {
        self.proxy.hold(Point::BeforeItArrives, matches)
    }

    /// Waits until the write is under way, and kills the host that sent it.
    fn crash_after(self, held: &Held) -> Result<Proxy> {
        held.caught()?;
        self.host.crash()?;
        Ok(self.proxy)
    }
}

/// The claim was deleted, and a person made another one of the same name. Were it enrolled, it would be drained and deleted.
fn enrolment(site: &Site<'_>) -> Result<()> {
    let late = Late::begin(site)?;
    let held = late.hold(|call| call.is(PATCH_CLAIM) && call.says("tidegate.dev/set-uid"));
    site.start_unseen(&drains_at_once())?;
    let proxy = late.crash_after(&held)?;
    site.scale("web", 1)?;
    site.no_pod("web-1")?;
    site.delete("persistentvolumeclaims", "data-web-1")?;
    site.gone("data-web-1", "web-1")?;
    let spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": "1Mi" } },
    });
    let claim = json!({ "metadata": { "name": "data-web-1" }, "spec": spec });
    let claim =
        uid(&site.world.api.create(&site.path("v1", "persistentvolumeclaims", ""), &claim)?)?;
    refused(held)?;
    let _next = HostProcess::behind(&proxy, site, &[])?;
    site.told("web", "NotEnrolled", &["data-web-1", "never enrolled"])?;
    site.left_alone("data-web-1", &claim, "web-1")
}

/// Another host has noted the next attempt and made it.
fn record(site: &Site<'_>) -> Result<()> {
    let late = Late::begin(site)?;
    let held = late.hold(|call| call.is(PATCH_CLAIM) && call.says("tidegate.dev/record"));
    let script = format!("[ -e /data/tried ] || {{ touch /data/tried; exit 1; }}; {}", gate());
    site.start(&Store::exec(&json!({ "script": script })))?;
    site.scale("web", 1)?;
    let proxy = late.crash_after(&held)?;
    let _next = HostProcess::behind(&proxy, site, &[])?;
    site.drains("web-1", 2)?;
    let before = annotation(site, "data-web-1", "tidegate.dev/record")?;
    refused(held)?;
    let after = annotation(site, "data-web-1", "tidegate.dev/record")?;
    ensure!(before == after, "the record is {after}, and was {before}");
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// The ordinal is live, and its member runs.
fn create(site: &Site<'_>) -> Result<()> {
    let late = Late::begin(site)?;
    site.start(&drains_at_once())?;
    let claim = site.claim_uid("data-web-1")?;
    let held = late.hold(|call| call.is("create pods web-1"));
    site.scale("web", 1)?;
    let proxy = late.crash_after(&held)?;
    site.scale("web", 2)?;
    let member = uid(&site.member_runs("web-1")?)?;
    refused(held)?;
    let _next = HostProcess::behind(&proxy, site, &[])?;
    site.both_stay(("data-web-1", &claim), ("web-1", &member))
}

/// The claim was deleted, the member ran on a fresh one and left. The drain pod is made and drains that, but its end proves nothing about it.
fn create_for_another(site: &Site<'_>) -> Result<()> {
    let late = Late::begin(site)?;
    site.start(&drains_at_once())?;
    let held = late.hold(|call| call.is("create pods web-1"));
    site.scale("web", 1)?;
    let proxy = late.crash_after(&held)?;
    site.delete("persistentvolumeclaims", "data-web-1")?;
    site.gone("data-web-1", "web-1")?;
    site.scale("web", 2)?;
    site.member_runs("web-1")?;
    let fresh = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.no_pod("web-1")?;
    let answer = held.release()?;
    ensure!(answer == StatusCode::CREATED, "the POST was answered with {answer}");
    let _next = HostProcess::behind(&proxy, site, &[])?;
    // The garbage collector takes it, since its owner is gone.
    site.no_pod("web-1")?;
    site.told("web", "NotEnrolled", &["data-web-1", "never enrolled"])?;
    site.left_alone("data-web-1", &fresh, "web-1")
}

/// The ended pod was deleted, and the member has come back: a finalizer on it would hold the name for ever.
fn seal(site: &Site<'_>) -> Result<()> {
    let late = Late::begin(site)?;
    site.start(&drains_at_once())?;
    let claim = site.claim_uid("data-web-1")?;
    let held = late.hold(|call| call.is(PATCH_POD) && call.says(r#""finalizers":["#));
    site.scale("web", 1)?;
    let _proxy = late.crash_after(&held)?;
    site.delete("pods", "web-1")?;
    site.no_pod("web-1")?;
    let member = member_returns(site)?;
    refused(held)?;
    let pod = site.pod("web-1")?.unwrap_or_default();
    ensure!(pod["metadata"]["finalizers"].is_null(), "the member is sealed: {}", pod["metadata"]);
    site.both_stay(("data-web-1", &claim), ("web-1", &member))
}

/// Another host has given the seal back, and the member is back with its claims. The record on the first claim is its fence; what is
/// late is the one on the second.
fn fence(site: &Site<'_>) -> Result<()> {
    let late = Late::begin(site)?;
    site.start(&drains_at_once().with_volumes(&["data", "log"]))?;
    let (data, log) = (site.claim_uid("data-web-1")?, site.claim_uid("log-web-1")?);
    let refusing = late.proxy.refuse(StatusCode::SERVICE_UNAVAILABLE, |call| call.is(DELETE_LOG));
    site.scale("web", 1)?;
    sealed(site)?;
    let held = late.hold(|call| {
        call.is("patch persistentvolumeclaims log-web-1") && call.says("tidegate.dev/fenced")
    });
    site.annotate("web", POLICY, None)?;
    let proxy = late.crash_after(&held)?;
    drop(refusing);
    let _next = HostProcess::behind(&proxy, site, &[])?;
    site.no_pod("web-1")?;
    let before = annotation(site, "log-web-1", "tidegate.dev/fenced")?;
    let member = member_returns(site)?;
    refused(held)?;
    let after = annotation(site, "log-web-1", "tidegate.dev/fenced")?;
    ensure!(before == after, "the claim was fenced once more: {after} instead of {before}");
    site.both_stay(("data-web-1", &data), ("web-1", &member))?;
    site.both_stay(("log-web-1", &log), ("web-1", &member))
}

/// Another host has ended the passage, and the member runs on a fresh claim.
fn unseal_drained(site: &Site<'_>) -> Result<()> {
    let late = Late::begin(site)?;
    site.start(&drains_at_once())?;
    let old = site.claim_uid("data-web-1")?;
    let held = late.hold(is_unsealing);
    site.scale("web", 1)?;
    let proxy = late.crash_after(&held)?;
    site.scale("web", 2)?;
    let _next = HostProcess::behind(&proxy, site, &[])?;
    let member = uid(&site.member_runs("web-1")?)?;
    let fresh = site.claim_uid("data-web-1")?;
    ensure!(fresh != old, "the member came back to the claim that was drained");
    refused(held)?;
    let pod = site.pod("web-1")?.unwrap_or_default();
    let marks = &pod["metadata"]["annotations"]["tidegate.dev/drained"];
    ensure!(marks.is_null(), "the member is marked: {marks}");
    site.both_stay(("data-web-1", &fresh), ("web-1", &member))
}

/// A passage of two claims that one host gives back and, before that arrives, another one ends. Were the name free meanwhile, the member
/// would come back to one old volume and one fresh one.
fn unseal_given_back(site: &Site<'_>) -> Result<()> {
    let (answer, _) = half_deleted(site, is_unsealing)?;
    ensure!(answer == StatusCode::CONFLICT, "the late write was answered with {answer}");
    Ok(())
}

/// The word that the seal is given back comes when one of the two claims is gone. It is accepted, and comes too late to be heeded;
/// where the kubelet of a busy node has said another word about the pod since, it is refused.
fn give_back(site: &Site<'_>) -> Result<()> {
    let is_late = |call: &Call| call.is(PATCH_POD) && call.says("given-back");
    let (answer, changed) = half_deleted(site, is_late)?;
    let expected = if changed { StatusCode::CONFLICT } else { StatusCode::OK };
    ensure!(answer == expected, "the late write was answered with {answer}, not {expected}");
    Ok(())
}

/// One host begins to give the seal back because the set names no policy; what of that is late, the test says. The policy is named again,
/// and another host deletes the first of two claims and dies. Then the late write arrives, the ended pod is evicted and the set scaled up.
/// Answers what the API server said to the late write, and whether the pod had changed since it was read for it, once the member runs with two
/// fresh claims.
fn half_deleted(site: &Site<'_>, is_late: fn(&Call) -> bool) -> Result<(StatusCode, bool)> {
    let late = Late::begin(site)?;
    site.start(&drains_at_once().with_volumes(&["data", "log"]))?;
    let old = site.claim_uid("data-web-1")?;
    let refusing = late.proxy.refuse(StatusCode::SERVICE_UNAVAILABLE, |call| call.is(DELETE_LOG));
    site.scale("web", 1)?;
    sealed(site)?;
    settled(site)?;
    let held = late.hold(is_late);
    site.annotate("web", POLICY, None)?;
    let written: Value = serde_json::from_str(&held.caught()?)?;
    late.host.crash()?;
    let proxy = late.proxy;
    drop(refusing);
    site.annotate("web", POLICY, Some("library:exec"))?;
    let last = proxy.hold(Point::BeforeItArrives, |call| call.is(DELETE_CLAIM));
    let second = HostProcess::behind(&proxy, site, &[])?;
    last.caught()?;
    second.crash()?;
    let version = |pod: &Value| pod["metadata"]["resourceVersion"].clone();
    let changed = version(&site.pod("web-1")?.unwrap_or_default()) != version(&written);
    let answer = held.release()?;
    site.scale("web", 2)?;
    site.evict("web-1")?;
    drop(last);
    let _third = HostProcess::behind(&proxy, site, &[])?;
    site.member_runs("web-1")?;
    let names = site.names("web-1", &["data", "log"])?;
    ensure!(names == "web-1\nweb-1\n", "the volumes are not both fresh: {names}");
    let fresh = site.claim_uid("data-web-1")?;
    ensure!(fresh != old, "the member came back to the claim that was drained");
    Ok((answer, changed))
}

/// The drain was cancelled and its pod deleted by hand as well; the member runs under the name.
fn delete_pod(site: &Site<'_>) -> Result<()> {
    let late = Late::begin(site)?;
    site.start(&Store::exec(&json!({ "script": gate(), "onScaleUp": "cancel" })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    let held = late.hold(|call| call.is("delete pods web-1"));
    site.scale("web", 2)?;
    let _proxy = late.crash_after(&held)?;
    site.delete("pods", "web-1")?;
    let member = uid(&site.member_runs("web-1")?)?;
    refused(held)?;
    site.both_stay(("data-web-1", &claim), ("web-1", &member))
}

/// The set was deleted, and another one made under its name.
fn touch(site: &Site<'_>) -> Result<()> {
    let late = Late::begin(site)?;
    let store = drains_at_once();
    site.start(&store)?;
    // The set is scaled up while the drain runs, so that its controller backs off and has to be touched.
    let begun = late.proxy.hold(Point::BeforeItIsAnswered, |call| call.is("create pods web-1"));
    let held = late.hold(|call| call.is("patch statefulsets/status web"));
    site.scale("web", 1)?;
    begun.caught()?;
    site.scale("web", 2)?;
    begun.release()?;
    let _proxy = late.crash_after(&held)?;
    let set = site.path("apps/v1", "statefulsets", "web");
    let background = json!({ "propagationPolicy": "Background" });
    site.world.api.delete(&set, &background)?;
    eventually("the set and its members are gone", SOON, || {
        let left = site.world.api.list(&site.path("v1", "pods", ""))?;
        let set = site.world.api.get(&set)?;
        Ok(found_if(left.is_empty() && set.is_none(), || format!("{} pods", left.len())))
    })?;
    site.start_unseen(&store)?;
    refused(held)?;
    let annotations = &site.set("web")?["metadata"]["annotations"];
    ensure!(annotations["tidegate.dev/touched"].is_null(), "the set is touched: {annotations}");
    Ok(())
}

/// A set whose drain has nothing to do.
fn drains_at_once() -> Store {
    Store::exec(&json!({ "script": "true" }))
}

fn is_unsealing(call: &Call) -> bool {
    call.is(PATCH_POD) && call.says("$deleteFromPrimitiveList/finalizers")
}

/// Lets the write arrive, and fails where it was accepted. An object of another UID is refused as a conflict or, as a patch of a
/// status, because a UID cannot be changed.
fn refused(held: Held) -> Result<()> {
    let answer = held.release()?;
    let another = [StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY].contains(&answer);
    ensure!(another, "the late write was answered with {answer}");
    Ok(())
}

/// Scales the set up; answers the UID of the member that comes back.
fn member_returns(site: &Site<'_>) -> Result<String> {
    site.scale("web", 2)?;
    let member = site.member_runs("web-1")?;
    ensure!(!is_drain_pod(&member), "a drain pod holds the name");
    uid(&member)
}

/// Waits until the drain pod of ordinal 1 is sealed.
fn sealed(site: &Site<'_>) -> Result<Value> {
    site.eventually_pod("the drain pod is sealed", "web-1", |pod| {
        pod["metadata"]["finalizers"].to_string().contains("tidegate.dev/seal")
    })
}

/// Waits until the kubelet has said its last word about the ended pod, so that only a host still changes it.
fn settled(site: &Site<'_>) -> Result<()> {
    site.eventually_pod("the sandbox of the ended pod is gone", "web-1", |pod| {
        let conditions = pod["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|condition| {
            condition["type"] == "PodReadyToStartContainers" && condition["status"] == "False"
        })
    })?;
    Ok(())
}

/// An annotation of the claim, once it is there.
fn annotation(site: &Site<'_>, claim: &str, key: &str) -> Result<String> {
    eventually(&format!("claim {claim} bears {key}"), SOON, || {
        let claim = site.claim(claim)?.context("the claim is gone")?;
        Ok(match claim["metadata"]["annotations"][key].as_str() {
            Some(text) => Look::Found(text.to_owned()),
            None => Look::NotYet(claim["metadata"].to_string()),
        })
    })
}
