//! The host that acts is stopped with a write under way, one test for each kind of write. Its lease ends, the other host takes over and brings
//! the matter to its end, and the member is back. Then the write arrives and the first host goes on: the write is refused or harmless, and the
//! host, which has lost its lease, writes nothing more and ends.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use http::StatusCode;
use serde_json::json;

use crate::lease::Lease;
use crate::process::HostProcess;
use crate::site::{Site, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, apart};
use xtask::proxy::{Call, Held, Point, Proxy};

pub(crate) const TESTS: &[Test] = &[
    apart("stopped::before_an_enrolment", enrolment),
    apart("stopped::before_a_record_is_noted", record),
    apart("stopped::before_a_drain_pod_is_made", create),
    apart("stopped::before_a_pod_is_sealed", seal),
    apart("stopped::before_the_first_claim_is_deleted", first_claim),
    apart("stopped::before_the_last_claim_is_deleted", last_claim),
    apart("stopped::before_the_ended_pod_is_unsealed", unseal),
    apart("stopped::before_a_failed_drain_pod_is_deleted", delete_pod),
    apart("stopped::before_the_set_is_touched", touch),
    apart("stopped::before_a_seal_is_said_to_be_given_back", give_back),
    apart("stopped::before_a_claim_is_fenced", fence),
    apart("stopped::before_a_seal_that_is_given_back_comes_off", unseal_given_back),
    apart("stopped::before_a_set_is_held", hold),
    apart("stopped::before_a_member_is_deleted", delete_member),
    apart("stopped::before_a_set_is_let_go", let_go),
];

const PATCH_CLAIM: &str = "patch persistentvolumeclaims data-web-1";
const PATCH_LOG: &str = "patch persistentvolumeclaims log-web-1";
const DELETE_CLAIM: &str = "delete persistentvolumeclaims data-web-1";
const DELETE_LOG: &str = "delete persistentvolumeclaims log-web-1";
const PATCH_POD: &str = "patch pods web-1";
const PATCH_SET: &str = "patch statefulsets/status web";
const POLICY: &str = "tidegate.dev/policy";
/// The name of the host that is stopped.
const FIRST: &str = "first";
const ON_SET_DELETED: &str = "tidegate.dev/on-set-deleted";

fn enrolment(site: &Site<'_>) -> Result<()> {
    let stage = Stage::set(site)?;
    let late = |call: &Call| call.is(PATCH_CLAIM) && call.says("tidegate.dev/set-uid");
    let stopped = stage.stop_at(late, || site.start_unseen(&drains_at_once()))?;
    site.enrolled()?;
    site.scale("web", 1)?;
    returns_afresh(site)?;
    stopped.goes_on(&REFUSED)
}

fn record(site: &Site<'_>) -> Result<()> {
    let stage = Stage::set(site)?;
    site.start(&fails_once())?;
    let late = |call: &Call| call.is(PATCH_CLAIM) && call.says("tidegate.dev/record");
    let stopped = stage.stop_at(late, || site.scale("web", 1))?;
    returns_afresh(site)?;
    stopped.goes_on(&REFUSED)
}

fn delete_pod(site: &Site<'_>) -> Result<()> {
    let stage = Stage::set(site)?;
    site.start(&fails_once())?;
    let stopped = stage.stop_at(|call| call.is("delete pods web-1"), || site.scale("web", 1))?;
    returns_afresh(site)?;
    stopped.goes_on(&REFUSED)
}

fn create(site: &Site<'_>) -> Result<()> {
    passage(site, |call| call.is("create pods web-1"))
}

fn seal(site: &Site<'_>) -> Result<()> {
    passage(site, |call| call.is(PATCH_POD) && call.says(r#""finalizers":["#))
}

fn first_claim(site: &Site<'_>) -> Result<()> {
    passage(site, |call| call.is(DELETE_LOG))
}

fn last_claim(site: &Site<'_>) -> Result<()> {
    passage(site, |call| call.is(DELETE_CLAIM))
}

fn unseal(site: &Site<'_>) -> Result<()> {
    passage(site, is_unsealing)
}

/// A scale-down whose drain succeeds.
fn passage(site: &Site<'_>, late: fn(&Call) -> bool) -> Result<()> {
    let stage = Stage::set(site)?;
    site.start(&drains_at_once())?;
    let stopped = stage.stop_at(late, || site.scale("web", 1))?;
    returns_afresh(site)?;
    stopped.goes_on(&REFUSED)
}

/// A touch names nothing but the set's UID, and says nothing that is not so: it may come at any time.
fn touch(site: &Site<'_>) -> Result<()> {
    let stage = Stage::set(site)?;
    site.start(&drains_at_once())?;
    let begun = stage.proxy.hold(Point::BeforeItIsAnswered, |call| call.is("create pods web-1"));
    let scaled_up = || {
        site.scale("web", 1)?;
        begun.caught()?;
        site.scale("web", 2)?;
        begun.release().map(drop)
    };
    let stopped = stage.stop_at(|call| call.is(PATCH_SET), scaled_up)?;
    let member = uid(&site.member_runs("web-1")?)?;
    let claim = site.claim_uid("data-web-1")?;
    stopped.goes_on(&[StatusCode::OK])?;
    site.both_stay(("data-web-1", &claim), ("web-1", &member))
}

fn give_back(site: &Site<'_>) -> Result<()> {
    given_back(site, |call| call.is(PATCH_POD) && call.says("given-back"))
}

fn fence(site: &Site<'_>) -> Result<()> {
    given_back(site, |call| call.is(PATCH_LOG) && call.says("tidegate.dev/fenced"))
}

fn unseal_given_back(site: &Site<'_>) -> Result<()> {
    given_back(site, is_unsealing)
}

/// The first host cannot delete a claim, and the set is taken from it under the seal. The other gives the ordinal back, and the member is there
/// with its own claims when the write arrives.
fn given_back(site: &Site<'_>, late: fn(&Call) -> bool) -> Result<()> {
    let stage = Stage::set(site)?;
    site.start(&drains_at_once())?;
    let claims = [site.claim_uid("data-web-1")?, site.claim_uid("log-web-1")?];
    let refusing = stage.proxy.refuse(StatusCode::SERVICE_UNAVAILABLE, |call| call.is(DELETE_LOG));
    let withdrawn = || {
        site.scale("web", 1)?;
        site.eventually_pod("the drain pod is sealed", "web-1", |pod| {
            pod["metadata"]["finalizers"].to_string().contains("tidegate.dev/seal")
        })?;
        site.annotate("web", POLICY, None)
    };
    let stopped = stage.stop_at(late, withdrawn)?;
    site.no_pod("web-1")?;
    site.scale("web", 2)?;
    let member = uid(&site.member_runs("web-1")?)?;
    stopped.goes_on(&REFUSED)?;
    drop(refusing);
    for (claim, before) in ["data-web-1", "log-web-1"].into_iter().zip(&claims) {
        same_claim(site, claim, before)?;
        site.both_stay((claim, before), ("web-1", &member))?;
    }
    Ok(())
}

/// The other host holds the set; by the time the write arrives another set has its name, and asks for nothing.
fn hold(site: &Site<'_>) -> Result<()> {
    let stage = Stage::set(site)?;
    let late = |call: &Call| call.is(PATCH_SET) && call.says("drain-on-delete");
    let stopped = stage.stop_at(late, || site.start_unseen(&departs()))?;
    site.enrolled()?;
    site.set_is_held("web")?;
    site.annotate("web", ON_SET_DELETED, None)?;
    site.delete_set("web", "Background")?;
    site.no_pod("web-0")?;
    site.start(&drains_at_once())?;
    stopped.goes_on(&REFUSED)?;
    let finalizers = &site.set("web")?["metadata"]["finalizers"];
    ensure!(finalizers.is_null(), "the set of the same name is held: {finalizers}");
    Ok(())
}

fn delete_member(site: &Site<'_>) -> Result<()> {
    departed(site, |call| call.is("delete pods web-1"))
}

fn let_go(site: &Site<'_>) -> Result<()> {
    departed(site, |call| call.is(PATCH_SET) && call.says("$deleteFromPrimitiveList/finalizers"))
}

/// The set is deleted and drained by the other host; another set of its name runs when the write arrives.
fn departed(site: &Site<'_>, late: fn(&Call) -> bool) -> Result<()> {
    let stage = Stage::set(site)?;
    site.start(&departs())?;
    site.set_is_held("web")?;
    let stopped = stage.stop_at(late, || site.ask_to_delete_set("web", "Background"))?;
    site.set_is_gone("web")?;
    site.start(&drains_at_once())?;
    let member = uid(&site.member_runs("web-1")?)?;
    let claim = site.claim_uid("data-web-1")?;
    stopped.goes_on(&REFUSED)?;
    site.both_stay(("data-web-1", &claim), ("web-1", &member))
}

/// The answers to a write whose object is another one by then, has another version, or is gone: a patch of another UID is called
/// unprocessable, because a UID cannot be changed.
const REFUSED: [StatusCode; 3] =
    [StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY, StatusCode::NOT_FOUND];

/// Two hosts under a lease of their own, each behind a proxy.
struct Stage<'a> {
    proxy: Proxy,
    first: HostProcess,
    next: (Proxy, HostProcess),
    lease: Lease<'a>,
}

impl<'a> Stage<'a> {
    fn set(site: &Site<'a>) -> Result<Self> {
        let lease = Lease::allow(site.world, &site.namespace)?;
        let proxy = Proxy::start(site.world.cluster.kubeconfig())?;
        let first = HostProcess::in_turn(&proxy, site, &lease.flags(FIRST))?;
        lease.is_held(|holder| holder.starts_with(FIRST))?;
        let other = Proxy::start(site.world.cluster.kubeconfig())?;
        let second = HostProcess::in_turn(&other, site, &lease.flags("second"))?;
        Ok(Self { proxy, first, next: (other, second), lease })
    }

    /// Lets this happen, and stops the first host when the write is under way that follows of it; answers when the other has taken over.
    fn stop_at(
        self,
        late: impl Fn(&Call) -> bool + Send + 'static,
        happens: impl FnOnce() -> Result<()>,
    ) -> Result<Stopped<'a>> {
        let write = self.proxy.hold(Point::BeforeItArrives, late);
        happens()?;
        write.caught()?;
        self.first.stands_still()?;
        self.lease.is_held(|holder| holder.starts_with("second"))?;
        Ok(Stopped { proxy: self.proxy, host: self.first, write, _next: (self.next, self.lease) })
    }
}

/// A host that stands still with a write under way, while another acts.
struct Stopped<'a> {
    proxy: Proxy,
    host: HostProcess,
    write: Held,
    // Kept until the test is over: what is named last ends last.
    _next: ((Proxy, HostProcess), Lease<'a>),
}

impl Stopped<'_> {
    /// Lets the write arrive, which is answered with one of these, and the host go on, which writes nothing more and ends.
    fn goes_on(self, answers: &[StatusCode]) -> Result<()> {
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        self.proxy.listen(move |call| {
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(call.to_string());
        });
        let answer = self.write.release()?;
        ensure!(answers.contains(&answer), "the late write was answered with {answer}");
        self.host.goes_on()?;
        self.host.ends_by_itself()?;
        let said = said.lock().unwrap_or_else(PoisonError::into_inner);
        // An event that waited to be sent tells what was so when it was written, and changes nothing.
        let harmless = ["read ", "create events", "update leases"];
        let is_write = |call: &&String| !harmless.iter().any(|it| call.starts_with(it));
        let writes: Vec<&String> = said.iter().filter(is_write).collect();
        ensure!(writes.is_empty(), "the host stood still, lost its lease, and wrote: {writes:?}");
        Ok(())
    }
}

/// Waits until the other host has ended the passage and the member is back with fresh claims.
fn returns_afresh(site: &Site<'_>) -> Result<()> {
    site.gone("data-web-1", "web-1")?;
    site.scale("web", 2)?;
    site.member_runs("web-1")?;
    let names = site.names("web-1", &["data", "log"])?;
    ensure!(names == "web-1\nweb-1\n", "the volumes are not both fresh: {names}");
    Ok(())
}

/// A set of two volumes whose drain has nothing to do.
fn drains_at_once() -> Store {
    Store::exec(&json!({ "script": "true" })).with_volumes(&["data", "log"])
}

fn fails_once() -> Store {
    let script = "[ -e /data/tried ] || { touch /data/tried; exit 1; }";
    Store::exec(&json!({ "script": script })).with_volumes(&["data", "log"])
}

/// A set that is drained to its last member before it goes.
fn departs() -> Store {
    let config = json!({ "script": "true", "readyPeers": 0 });
    Store::exec(&config).with_volumes(&["data", "log"]).annotated(ON_SET_DELETED, "drain")
}

fn is_unsealing(call: &Call) -> bool {
    call.is(PATCH_POD) && call.says("$deleteFromPrimitiveList/finalizers")
}
