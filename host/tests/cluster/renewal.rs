//! A set that is deleted without its pods and made anew under the same name: another set, to Kubernetes and to the host.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::site::{Site, gate, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, test};
use crate::wait::{SOON, eventually, found_if};

pub(crate) const TESTS: &[Test] = &[
    test("renewal::a_set_made_anew_enrols_what_its_members_hold", enrolled_anew),
    test("renewal::a_drain_of_the_set_before_gives_its_ordinal_to_the_next", drain_of_the_old),
];

/// `kubectl delete --cascade=orphan`, and the same set again. The members are adopted and their claims enrolled anew; the claim of an
/// ordinal that the old set had scaled away is nobody's until a member of the new set holds it.
fn enrolled_anew(site: &Site<'_>) -> Result<()> {
    let store = Store::exec(&json!({ "script": gate() }));
    site.start(&store.clone().of(3))?;
    let claims = ["data-web-1", "data-web-2"];
    let before = [site.claim_uid(claims[0])?, site.claim_uid(claims[1])?];
    let members = [site.member_runs("web-0")?, site.member_runs("web-1")?];
    site.scale("web", 2)?;
    site.drains("web-2", 1)?;
    site.delete_set("web", "Orphan")?;
    site.no_pod("web-2")?;
    site.start_unseen(&store)?;
    bears_the_label_of_the_set(site, claims[0])?;
    for (pod, member) in ["web-0", "web-1"].iter().zip(&members) {
        ensure!(uid(&site.member_runs(pod)?)? == uid(member)?, "{pod} was not adopted");
    }
    site.told("web", "EnrolledElsewhere", &["data-web-2"])?;
    site.left_alone(claims[1], &before[1], "web-2")?;

    site.scale("web", 3)?;
    site.member_runs("web-2")?;
    bears_the_label_of_the_set(site, claims[1])?;
    site.scale("web", 1)?;
    for (claim, (pod, before)) in claims.iter().zip(["web-1", "web-2"].iter().zip(&before)) {
        site.drains(pod, 1)?;
        same_claim(site, claim, before)?;
        site.open_gate(pod)?;
        site.gone(claim, pod)?;
    }
    Ok(())
}

/// The new set wants the ordinal that a drain pod of the old one still holds, and which takes its time to end: to the new set that pod is
/// somebody else's, and the data in its volume is its member's.
fn drain_of_the_old(site: &Site<'_>) -> Result<()> {
    let deaf = format!("trap '' TERM; {}", gate());
    let store = Store::exec(&json!({ "command": ["sh", "-c", deaf] }));
    let grace = json!({ "template": { "spec": { "terminationGracePeriodSeconds": 5 } } });
    let store = store.with_spec(&grace);
    site.start(&store)?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    site.delete_set("web", "Orphan")?;
    site.start_unseen(&store)?;
    site.told("web", "NameHeld", &["web-1", "its marks name another set"])?;
    site.member_runs("web-1")?;
    same_claim(site, "data-web-1", &claim)?;
    let names = site.names("web-1", &["data"])?;
    ensure!(names == "web-1\nweb-1\n", "the volume holds {names:?}");
    bears_the_label_of_the_set(site, "data-web-1")
}

/// Waits until the claim is enrolled for the set that there is.
fn bears_the_label_of_the_set(site: &Site<'_>, claim: &str) -> Result<()> {
    let set = uid(&site.set("web")?)?;
    eventually(&format!("{claim} is enrolled for the set that there is"), SOON, || {
        let claim = site.claim(claim)?.unwrap_or_default();
        let label = &claim["metadata"]["labels"]["tidegate.dev/set-uid"];
        Ok(found_if(*label == set.as_str(), || label.to_string()))
    })
}
