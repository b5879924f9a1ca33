//! A set that asks to be drained when it is deleted.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::site::{QUIET, Site, gate, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, test};
use crate::wait::{SOON, eventually, found_if, stays};

pub(crate) const TESTS: &[Test] = &[
    test("departure::a_set_is_drained_before_it_goes_highest_first", drained),
    test("departure::a_set_is_let_go_when_its_annotation_is_taken_off", let_go),
];

/// The annotation.
const ON_SET_DELETED: &str = "tidegate.dev/on-set-deleted";

/// Deleted in the background: the member below stays until the one above is drained, and the set goes when nothing is left.
fn drained(site: &Site<'_>) -> Result<()> {
    held(site)?;
    let below = uid(&site.member_runs("web-0")?)?;
    site.ask_to_delete_set("web", "Background")?;
    site.drains("web-1", 1)?;
    site.told("web", "Departs", &["turn of 1"])?;
    stays("the member below stays", QUIET, || {
        let pod = site.pod("web-0")?.unwrap_or_default();
        let same = pod["metadata"]["uid"] == below.as_str();
        Ok(found_if(same && pod["metadata"]["deletionTimestamp"].is_null(), || {
            pod["metadata"].to_string()
        }))
    })?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")?;
    site.drains("web-0", 1)?;
    site.open_gate("web-0")?;
    site.gone("data-web-0", "web-0")?;
    site.set_is_gone("web")?;
    site.told("web", "LetGo", &["nothing is left"])?;
    Ok(())
}

/// The drain that runs is given back, and every claim kept.
fn let_go(site: &Site<'_>) -> Result<()> {
    held(site)?;
    let claims = [site.claim_uid("data-web-0")?, site.claim_uid("data-web-1")?];
    site.ask_to_delete_set("web", "Background")?;
    site.drains("web-1", 1)?;
    site.annotate("web", ON_SET_DELETED, None)?;
    site.set_is_gone("web")?;
    for (pod, (claim, before)) in
        ["web-0", "web-1"].into_iter().zip(["data-web-0", "data-web-1"].into_iter().zip(&claims))
    {
        site.no_pod(pod)?;
        same_claim(site, claim, before)?;
        let kept = site.claim(claim)?.unwrap_or_default();
        ensure!(kept["metadata"]["deletionTimestamp"].is_null(), "{claim} is being deleted");
    }
    Ok(())
}

/// Its claims would go with it, were they not anchored.
fn store() -> Store {
    Store::exec(&json!({ "script": gate(), "readyPeers": 0 }))
        .annotated(ON_SET_DELETED, "drain")
        .with_claims_that_go_with_it()
}

fn held(site: &Site<'_>) -> Result<()> {
    site.start(&store())?;
    site.set_is_held("web")?;
    for claim in ["data-web-0", "data-web-1"] {
        eventually("the claim is anchored", SOON, || {
            let owners = site.owners(claim)?;
            Ok(found_if(owners.iter().any(|kind| kind == "Namespace"), || format!("{owners:?}")))
        })?;
    }
    Ok(())
}
