//! How much the host asks of the API server.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::audit::{Asked, asked_by};
use crate::site::{Site, gate};
use crate::store::Store;
use crate::trial::{Test, test};
use crate::wait::{found_if, stays};
use crate::world::HOST_USER;

pub(crate) const TESTS: &[Test] = &[
    test("writes::one_claim_costs_four", one_claim_costs_four),
    test("writes::a_second_claim_costs_one_more", a_second_claim_costs_one_more),
    test("writes::a_wanted_ordinal_costs_one_touch", a_wanted_ordinal_costs_one_touch),
    test("writes::a_cancelled_drain_costs_three", a_cancelled_drain_costs_three),
    test("writes::at_rest_there_are_only_watches", at_rest_there_are_only_watches),
];

const POLICY: &str = "tidegate.dev/policy";

/// How long the host is watched at rest.
const REST: Duration = Duration::from_secs(60);

/// A drain pod is created and sealed, the claim deleted, the pod unsealed; the garbage collector does the rest.
fn one_claim_costs_four(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": "true" })))?;
    let before = asked_here(site)?.len();
    site.scale("web", 1)?;
    site.gone("data-web-1", "web-1")?;
    ensure_writes(
        site,
        before,
        &[
            "create pods web-1",
            "patch pods web-1",
            "delete persistentvolumeclaims data-web-1",
            "patch pods web-1",
        ],
    )
}

/// The owner of the drain pod, the first template's claim, goes last.
fn a_second_claim_costs_one_more(site: &Site<'_>) -> Result<()> {
    let store = Store::exec(&json!({ "script": "true" })).with_volumes(&["data", "log"]);
    site.start(&store)?;
    let before = asked_here(site)?.len();
    site.scale("web", 1)?;
    site.gone("data-web-1", "web-1")?;
    site.gone("log-web-1", "web-1")?;
    ensure_writes(
        site,
        before,
        &[
            "create pods web-1",
            "patch pods web-1",
            "delete persistentvolumeclaims log-web-1",
            "delete persistentvolumeclaims data-web-1",
            "patch pods web-1",
        ],
    )
}

/// The set is scaled up while the ordinal is drained: its controller is woken once, when the claim is gone, and the fresh claim enrolled.
fn a_wanted_ordinal_costs_one_touch(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let old = site.claim_uid("data-web-1")?;
    let before = asked_here(site)?.len();
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    site.scale("web", 2)?;
    site.open_gate("web-1")?;
    site.member_runs("web-1")?;
    ensure!(site.claim_uid("data-web-1")? != old, "the member came back to its old claim");
    site.enrolled()?;
    ensure_writes(
        site,
        before,
        &[
            "create pods web-1",
            "patch pods web-1",
            "delete persistentvolumeclaims data-web-1",
            "patch pods web-1",
            "patch statefulsets/status web",
            "patch persistentvolumeclaims data-web-1",
        ],
    )
}

/// A drain that is given back to a set that wants the ordinal: the pod is made and deleted, and the controller woken.
fn a_cancelled_drain_costs_three(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate(), "onScaleUp": "cancel" })))?;
    let before = asked_here(site)?.len();
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    site.scale("web", 2)?;
    site.member_runs("web-1")?;
    let expected = ["create pods web-1", "delete pods web-1", "patch statefulsets/status web"];
    ensure_writes(site, before, &expected)
}

/// Sets that are as they should be, and orphans that are left as they are, cost nothing at all, and the whole cluster no list.
fn at_rest_there_are_only_watches(site: &Site<'_>) -> Result<()> {
    let drains = || Store::exec(&json!({ "script": "true" })).of(1);
    site.start(&drains().named("busy"))?;
    let rests = [
        // Why the orphan is left alone, in the words of the event.
        ("Paused", drains().named("paused").annotated("tidegate.dev/paused", "true")),
        ("ScaledToZero", drains().named("zero")),
        (
            "PolicyKeeps",
            to_zero(Store::bare().of(1).named("kept")).annotated(POLICY, "library:keep"),
        ),
        ("PolicyRefuses", to_zero(Store::exec(&json!({ "scrip": "true" })).of(1).named("refused"))),
        // The policy is waited for, and nobody asks for it again and again.
        (
            "PolicyFault",
            to_zero(Store::bare().of(1).named("missing"))
                .annotated(POLICY, &format!("absent@sha256:{}", "0".repeat(64))),
        ),
        (
            "AnnotationUnreadable",
            drains().named("unread").annotated("tidegate.dev/paused", "maybe"),
        ),
    ];
    for (_, store) in &rests {
        site.start_unseen(store)?;
    }
    for (reason, store) in &rests {
        site.scale(store.name(), 0)?;
        site.no_pod(&format!("{}-0", store.name()))?;
        site.told(store.name(), reason, &[])?;
    }
    // The last events of the start may still be on their way.
    std::thread::sleep(Duration::from_secs(2));
    let before = asked_by(site.world, HOST_USER)?.len();
    stays("the host asks nothing about sets at rest", REST, || {
        std::thread::sleep(Duration::from_secs(5));
        let all = asked_by(site.world, HOST_USER)?;
        let about_this: Vec<&Asked> = all
            .iter()
            .skip(before)
            .filter(|asked| asked.namespace == site.namespace || asked.namespace.is_empty())
            .filter(|asked| !asked.is_watch())
            .collect();
        Ok(found_if(about_this.is_empty(), || format!("{about_this:?}")))
    })
}

/// The same set, drained when it is scaled to zero.
fn to_zero(store: Store) -> Store {
    store.annotated("tidegate.dev/scale-to-zero", "drain")
}

/// Fails where the host wrote anything else in this namespace since `before` requests, events aside, or was refused otherwise than for coming late.
fn ensure_writes(site: &Site<'_>, before: usize, expected: &[&str]) -> Result<()> {
    let mut writes = asked_here(site)?.split_off(before);
    writes.retain(|asked| asked.is_write() && !asked.came_late());
    let what: Vec<&str> = writes.iter().map(|asked| asked.what.as_str()).collect();
    ensure!(what == expected, "the host wrote {writes:?}, and should {expected:?}");
    ensure!(writes.iter().all(|asked| asked.code < 300), "not all of it was accepted: {writes:?}");
    Ok(())
}

/// What the host asked in this namespace.
fn asked_here(site: &Site<'_>) -> Result<Vec<Asked>> {
    let mut all = asked_by(site.world, HOST_USER)?;
    all.retain(|asked| asked.namespace == site.namespace);
    Ok(all)
}
