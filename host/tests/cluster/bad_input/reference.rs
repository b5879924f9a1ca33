//! References to a policy that name none.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::{Orphan, POLICY, drained_at_zero};
use crate::components::Guest;
use crate::site::Site;
use crate::store::Store;
use crate::trial::{Test, test};
use crate::wait::{SOON, eventually, found_if};

pub(crate) const TESTS: &[Test] = &[
    test("bad_input::reference::reference_not_understood", not_understood),
    test("bad_input::reference::policy_not_there", nothing_there),
];

/// Neither the name of a ConfigMap with its digest nor one of the library.
fn not_understood(site: &Site<'_>) -> Result<()> {
    // Without a digest whoever may edit the ConfigMap would decide what is deleted.
    site.config_map("mine", ("policy.wasm", &Guest::default().component()))?;
    let first = "mine/policy.wasm";
    let orphan = Orphan::of(site, &drained_at_zero(Store::bare()).annotated(POLICY, first))?;
    orphan.told("PolicyFault", &[POLICY, first, "names no digest", "@sha256:"])?;
    for (reference, mend) in [
        ("", "library:NAME"),
        ("Mine@sha256:00", "64 lower-case hexadecimal digits"),
        ("mine@md5:0123", "@sha256:"),
        ("mine/a b@sha256:0", "64 lower-case hexadecimal digits"),
        ("library:Exec", "lower-case letters"),
        // The names that there are help who misspelt one.
        ("library:exce", "only exec, keep, pod-template"),
    ] {
        orphan.told_of(POLICY, reference, "PolicyFault", &[POLICY, reference, mend])?;
    }
    orphan.is_untouched()
}

/// The ConfigMap, its entry or its digest is not there, though the host has had this very policy in its hands; once it is, the set is looked at
/// again without a change of its own.
fn nothing_there(site: &Site<'_>) -> Result<()> {
    let component = Guest::default().component();
    let found = site.config_map("mine", ("policy.wasm", &component))?;
    let entry = BASE64.encode(&component);
    let two = json!({
        "metadata": { "name": "two" },
        "binaryData": { "a.wasm": entry, "b.wasm": entry },
    });
    site.world.api.create(&site.path("v1", "configmaps", ""), &two)?;
    let zeros = "0".repeat(64);

    let right = format!("mine/policy.wasm@sha256:{found}");
    let orphan = Orphan::of(site, &drained_at_zero(Store::bare()).annotated(POLICY, &right))?;
    orphan.told("PolicyKeeps", &["nothing to move"])?;
    let pinned = format!("mine/policy.wasm@sha256:{zeros}");
    let words = ["ConfigMap", "mine", &zeros, &found, "pin what it holds"];
    orphan.told_of(POLICY, &pinned, "PolicyFault", &words)?;
    for (reference, words) in [
        (format!("mine/polcy.wasm@sha256:{found}"), ["mine", "`polcy.wasm`", "it has policy.wasm"]),
        (format!("two@sha256:{found}"), ["two", "exactly one entry", "a.wasm, b.wasm"]),
        (format!("absent@sha256:{found}"), ["absent", "create it", POLICY]),
    ] {
        orphan.told_of(POLICY, &reference, "PolicyFault", &words)?;
    }
    orphan.is_untouched()?;

    site.config_map("absent", ("policy.wasm", &component))?;
    eventually("the policy is asked again", SOON, || {
        let kept = site.events("web", "PolicyKeeps")?.len();
        Ok(found_if(kept == 2, || format!("it has answered {kept} times")))
    })
}
