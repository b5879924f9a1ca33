//! The host is slow, or dies, between its last read and the DELETE of a claim, and the world does not wait for it.

use anyhow::{Result, ensure};
use http::StatusCode;
use serde_json::json;

use crate::process::HostProcess;
use crate::site::{QUIET, Site, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, apart};
use crate::wait::{found_if, stays};
use xtask::proxy::{Point, Proxy};

pub(crate) const TESTS: &[Test] = &[
    apart("timing::a_late_delete_finds_the_name_still_held", late),
    apart("timing::a_delete_from_before_the_seal_was_given_back_is_refused", given_back),
    apart("timing::a_host_that_dies_between_two_deletes_leaves_the_name_held", between_two),
    apart("timing::an_answer_that_comes_late_deletes_nothing_more", late_answer),
];

const DELETE_DATA: &str = "delete persistentvolumeclaims data-web-1";
const DELETE_LOG: &str = "delete persistentvolumeclaims log-web-1";

/// The DELETE is under way while the finished pod is evicted and the set scaled up. The seal holds the name, so that nobody writes the
/// claim until it is gone, and the member starts with a fresh one.
fn late(site: &Site<'_>) -> Result<()> {
    let proxy = Proxy::start(site.world.cluster.kubeconfig())?;
    let _host = HostProcess::behind(&proxy, site, &[])?;
    site.start(&drains_at_once())?;
    let old = site.claim_uid("data-web-1")?;
    let held = proxy.hold(Point::BeforeItArrives, |call| call.is(DELETE_DATA));
    site.scale("web", 1)?;
    held.caught()?;
    name_stays_held(site)?;
    same_claim(site, "data-web-1", &old)?;
    held.release()?;
    let member = uid(&site.member_runs("web-1")?)?;
    let fresh = fresh_claim(site, "data", &old)?;
    site.both_stay(("data-web-1", &fresh), ("web-1", &member))
}

/// The host dies with its DELETE under way, and the next one gives the seal back, because the set has another owner's wish. The member
/// runs and writes when the DELETE arrives: the claim is the same, and its version is not.
fn given_back(site: &Site<'_>) -> Result<()> {
    let proxy = Proxy::start(site.world.cluster.kubeconfig())?;
    let host = HostProcess::behind(&proxy, site, &[])?;
    site.start(&drains_at_once())?;
    let claim = site.claim_uid("data-web-1")?;
    let held = proxy.hold(Point::BeforeItArrives, |call| call.is(DELETE_DATA));
    site.scale("web", 1)?;
    held.caught()?;
    host.crash()?;
    site.annotate("web", "tidegate.dev/policy", None)?;
    let _next = HostProcess::behind(&proxy, site, &[])?;
    site.no_pod("web-1")?;
    site.scale("web", 2)?;
    let member = uid(&site.member_runs("web-1")?)?;
    same_claim(site, "data-web-1", &claim)?;
    site.sh("web-1", "echo precious > /data/mark")?;
    let answer = held.release()?;
    ensure!(answer == StatusCode::CONFLICT, "the DELETE of before was answered with {answer}");
    site.both_stay(("data-web-1", &claim), ("web-1", &member))?;
    let mark = site.sh("web-1", "cat /data/mark")?;
    ensure!(mark == "precious\n", "the volume holds {mark:?}");
    Ok(())
}

/// One of two claims is gone, the host too, the finished pod evicted and the ordinal wanted: a member that started would find one old
/// volume and one fresh one. It starts when the next host has ended the passage, with two fresh ones.
fn between_two(site: &Site<'_>) -> Result<()> {
    let proxy = Proxy::start(site.world.cluster.kubeconfig())?;
    let host = HostProcess::behind(&proxy, site, &[])?;
    site.start(&drains_at_once().with_volumes(&["data", "log"]))?;
    let (data, log) = (site.claim_uid("data-web-1")?, site.claim_uid("log-web-1")?);
    let held = proxy.hold(Point::BeforeItArrives, |call| call.is(DELETE_DATA));
    site.scale("web", 1)?;
    held.caught()?;
    host.crash()?;
    let going = site.claim("log-web-1")?.unwrap_or_default();
    ensure!(
        !going["metadata"]["deletionTimestamp"].is_null(),
        "the host died before the first DELETE: {}",
        going["metadata"]
    );
    name_stays_held(site)?;
    same_claim(site, "data-web-1", &data)?;
    let _next = HostProcess::behind(&proxy, site, &[])?;
    let member = uid(&site.member_runs("web-1")?)?;
    let fresh = fresh_claim(site, "data", &data)?;
    fresh_claim(site, "log", &log)?;
    let answer = held.release()?;
    ensure!(answer == StatusCode::CONFLICT, "the DELETE of before was answered with {answer}");
    site.both_stay(("data-web-1", &fresh), ("web-1", &member))
}

/// The first of two DELETEs is carried out, and its answer takes so long that another host ends the passage and the member is back. Then
/// the first host goes on where it stood: with the second DELETE.
fn late_answer(site: &Site<'_>) -> Result<()> {
    let (slow, quick) = (
        Proxy::start(site.world.cluster.kubeconfig())?,
        Proxy::start(site.world.cluster.kubeconfig())?,
    );
    let _slow = HostProcess::behind(&slow, site, &[])?;
    site.start(&drains_at_once().with_volumes(&["data", "log"]))?;
    let (data, log) = (site.claim_uid("data-web-1")?, site.claim_uid("log-web-1")?);
    let answer = slow.hold(Point::BeforeItIsAnswered, |call| call.is(DELETE_LOG));
    let second = slow.hold(Point::BeforeItIsAnswered, |call| call.is(DELETE_DATA));
    site.scale("web", 1)?;
    answer.caught()?;
    site.scale("web", 2)?;
    let _quick = HostProcess::behind(&quick, site, &[])?;
    let member = uid(&site.member_runs("web-1")?)?;
    let fresh = fresh_claim(site, "data", &data)?;
    fresh_claim(site, "log", &log)?;
    answer.release()?;
    second.caught()?;
    let answer = second.release()?;
    ensure!(answer == StatusCode::CONFLICT, "the second DELETE was answered with {answer}");
    site.both_stay(("data-web-1", &fresh), ("web-1", &member))
}

/// A set whose drain has nothing to do.
fn drains_at_once() -> Store {
    Store::exec(&json!({ "script": "true" }))
}

/// Evicts the ended pod and scales the set up, and watches for a while that the pod is still there and sealed.
fn name_stays_held(site: &Site<'_>) -> Result<()> {
    let drain = uid(&site.pod("web-1")?.unwrap_or_default())?;
    site.evict("web-1")?;
    site.scale("web", 2)?;
    stays("the ended drain pod holds the name", QUIET, || {
        let pod = site.pod("web-1")?.unwrap_or_default();
        Ok(found_if(pod["metadata"]["uid"] == drain.as_str(), || pod["metadata"].to_string()))
    })
}

/// The UID of the claim of ordinal 1 that came after this one, in which only the member that runs ever wrote.
fn fresh_claim(site: &Site<'_>, template: &str, old: &str) -> Result<String> {
    let claim = site.claim_uid(&format!("{template}-web-1"))?;
    ensure!(claim != old, "the member came back to the claim {template}-web-1 that was drained");
    let names = site.sh("web-1", &format!("cat /{template}/names"))?;
    ensure!(names == "web-1\n", "the volume {template} is not fresh: {names}");
    Ok(claim)
}
