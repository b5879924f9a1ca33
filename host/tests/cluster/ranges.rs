//! Which ordinals a set wants, and how that changes while some of them are drained.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::audit::host_asked_in;
use crate::site::{QUIET, Site, gate, same_claim};
use crate::store::Store;
use crate::trial::{Test, test};
use crate::wait::{Look, SOON, eventually, found_if, stays};

pub(crate) const TESTS: &[Test] = &[
    test("ranges::as_many_drain_at_once_as_the_set_allows", at_once),
    test("ranges::a_start_that_moves_gives_back_what_it_passes", start_moves),
    test("ranges::a_set_that_shrinks_further_drains_further", further),
    test("ranges::a_drain_that_failed_is_given_back_where_it_is_wanted", failed_and_wanted),
    test("ranges::a_set_that_goes_up_and_down_ends_as_it_was_told_last", up_and_down),
];

/// A set that stops its members one after the other drains them so too, unless it allows more; one that does not drains all at once. The
/// highest goes first.
fn at_once(site: &Site<'_>) -> Result<()> {
    let store = |name| Store::exec(&json!({ "script": gate() })).named(name).of(4);
    let ordered = json!({ "podManagementPolicy": "OrderedReady" });
    site.start_all(&[
        store("all"),
        store("one").with_spec(&ordered),
        store("two").with_spec(&ordered).annotated("tidegate.dev/max-parallel", "2"),
    ])?;
    for set in ["all", "one", "two"] {
        site.scale(set, 1)?;
    }
    let first = ["all-1", "all-2", "all-3", "one-3", "two-2", "two-3"];
    eventually("the first drain pods are there", SOON, || just_these(site, &first))?;
    site.told("one", "Queued", &["one-1", "tidegate.dev/max-parallel"])?;
    site.told("one", "Queued", &["one-2"])?;
    site.told("two", "Queued", &["two-1"])?;
    stays("no drain pod is made besides", QUIET, || just_these(site, &first))?;
    for pod in first.iter().chain(&["one-2", "two-1", "one-1"]) {
        site.drains(pod, 1)?;
        site.open_gate(pod)?;
    }
    for set in ["all", "one", "two"] {
        for ordinal in 1..4 {
            site.gone(&format!("data-{set}-{ordinal}"), &format!("{set}-{ordinal}"))?;
        }
    }
    let one_by_one = ["create 3", "delete 3", "create 2", "delete 2", "create 1", "delete 1"];
    ensure!(passages(site, "one")? == one_by_one, "{:?}", passages(site, "one")?);
    let made: Vec<String> =
        passages(site, "two")?.into_iter().filter(|it| it.starts_with("create")).collect();
    ensure!(made == ["create 3", "create 2", "create 1"], "{made:?}");
    Ok(())
}

/// `ordinals.start` is raised above an ordinal that is drained, and lowered again: what it passed is given back and kept, and once it lies
/// above the live range again it is drained.
fn start_moves(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })).of(3))?;
    let claims = ["data-web-0", "data-web-1", "data-web-2"];
    let before =
        [site.claim_uid(claims[0])?, site.claim_uid(claims[1])?, site.claim_uid(claims[2])?];
    site.scale("web", 2)?;
    site.drains("web-2", 1)?;
    site.change("web", &json!({ "ordinals": { "start": 3 } }))?;
    site.told("web", "GivenBack", &["web-2", "spec.ordinals.start"])?;
    for pod in ["web-0", "web-1", "web-2"] {
        site.no_pod(pod)?;
        site.told("web", "BelowStart", &[pod])?;
    }
    for pod in ["web-3", "web-4"] {
        site.member_runs(pod)?;
    }
    site.enrolled()?;
    site.left_alone(claims[2], &before[2], "web-2")?;
    for (claim, before) in claims.iter().zip(&before) {
        same_claim(site, claim, before)?;
    }
    site.change("web", &json!({ "ordinals": { "start": 0 } }))?;
    for pod in ["web-0", "web-1"] {
        site.member_runs(pod)?;
    }
    for pod in ["web-2", "web-3", "web-4"] {
        site.drains(pod, 1)?;
        site.open_gate(pod)?;
    }
    for ordinal in 2..5 {
        site.gone(&format!("data-web-{ordinal}"), &format!("web-{ordinal}"))?;
    }
    same_claim(site, claims[0], &before[0])?;
    same_claim(site, claims[1], &before[1])
}

/// One more ordinal is scaled away, and wanted again, while another is drained.
fn further(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })).of(3))?;
    let before = site.claim_uid("data-web-1")?;
    for replicas in [2, 1] {
        site.scale("web", replicas)?;
        site.drains(&format!("web-{replicas}"), 1)?;
    }
    site.scale("web", 2)?;
    for pod in ["web-2", "web-1"] {
        site.open_gate(pod)?;
    }
    site.gone("data-web-2", "web-2")?;
    site.member_runs("web-1")?;
    ensure!(site.claim_uid("data-web-1")? != before, "web-1 came back to a claim that was drained");
    ensure!(site.events("web", "AttemptEnded")?.is_empty(), "a drain was begun anew");
    Ok(())
}

/// A drain that ends without success while its ordinal is wanted: between two attempts the member would come back to half of its data, so
/// there is no second one.
fn failed_and_wanted(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": format!("{}; exit 1", gate()) })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    site.scale("web", 2)?;
    site.open_gate("web-1")?;
    site.told("web", "GivenBack", &["web-1", "failed"])?;
    site.member_runs("web-1")?;
    same_claim(site, "data-web-1", &claim)?;
    let names = site.names("web-1", &["data"])?;
    ensure!(names == "web-1\nweb-1\n", "the volume holds {names:?}");
    ensure!(site.events("web", "AttemptEnded")?.is_empty(), "another attempt was made");
    Ok(())
}

/// How long after each change of its size a set is left alone, in milliseconds: long enough for one step of a passage, or for some, or for all.
const PAUSES_MS: [u64; 10] = [0, 100, 300, 600, 1_000, 1_500, 50, 2_000, 200, 800];

/// A person who cannot decide: a set that starts its members one after the other, one whose drains are given up when the ordinal is wanted,
/// and one whose claims Kubernetes would delete with their members.
fn up_and_down(site: &Site<'_>) -> Result<()> {
    let store = |name, choice| {
        let config = json!({ "script": "sleep 0.5", "onScaleUp": choice });
        Store::exec(&config).named(name).of(3)
    };
    let sets = ["ordered", "cancelled", "anchored"];
    site.start_all(&[
        store("ordered", "finish").with_spec(&json!({ "podManagementPolicy": "OrderedReady" })),
        store("cancelled", "cancel"),
        store("anchored", "finish").retaining("Delete", "Retain"),
    ])?;
    let before = sets.map(|set| site.claim_uid(&format!("data-{set}-0")));
    for pause in PAUSES_MS {
        for replicas in [1, 3] {
            for set in sets {
                site.scale(set, replicas)?;
            }
            sleep(Duration::from_millis(pause));
        }
    }
    for set in sets {
        for ordinal in 0..3 {
            site.member_runs(&format!("{set}-{ordinal}"))?;
        }
    }
    site.enrolled()?;
    for set in sets {
        site.scale(set, 1)?;
    }
    for (set, before) in sets.iter().zip(before) {
        for ordinal in [2, 1] {
            site.gone(&format!("data-{set}-{ordinal}"), &format!("{set}-{ordinal}"))?;
        }
        same_claim(site, &format!("data-{set}-0"), &before?)?;
    }
    Ok(())
}

/// Found where the namespace has just these drain pods.
fn just_these(site: &Site<'_>, pods: &[&str]) -> Result<Look<()>> {
    let found = site.drain_pods()?;
    Ok(found_if(found.iter().eq(pods), || format!("{found:?}")))
}

/// The host's creations of drain pods and deletions of claims for this set, with their ordinals, in their order.
fn passages(site: &Site<'_>, set: &str) -> Result<Vec<String>> {
    let (create, delete) =
        (format!("create pods {set}-"), format!("delete persistentvolumeclaims data-{set}-"));
    let asked = host_asked_in(site.world, &site.namespace)?;
    let accepted = asked.iter().filter(|asked| asked.code < 300);
    Ok(accepted
        .filter_map(|asked| {
            let created = asked.what.strip_prefix(&create).map(|it| format!("create {it}"));
            created.or_else(|| asked.what.strip_prefix(&delete).map(|it| format!("delete {it}")))
        })
        .collect())
}
