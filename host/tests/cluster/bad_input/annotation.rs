//! Annotations of the set that do not parse.

use anyhow::Result;
use serde_json::json;

use super::{Orphan, moves_nothing};
use crate::site::Site;
use crate::trial::{Test, test};

pub(crate) const TESTS: &[Test] = &[
    test("bad_input::annotation::annotation_not_understood", not_understood),
    test("bad_input::annotation::grant_not_understood", grant_not_understood),
    test("bad_input::annotation::config_not_understood", config_not_understood),
];

const CONFIG: &str = "tidegate.dev/policy-config";
const GRANT: &str = "tidegate.dev/grant";

/// Each that has a value of its own kind, and one that is misspelt: had it been ignored, a set that was to rest would be drained. Each time
/// the one before is mended in the same moment, so that at no time the set could be understood.
fn not_understood(site: &Site<'_>) -> Result<()> {
    let wrong = [
        ("tidegate.dev/max-parallel", "many", "whole number"),
        ("tidegate.dev/max-parallel", "0", "whole number"),
        ("tidegate.dev/delay", "5 minutes", "`90s`"),
        ("tidegate.dev/delay", "200h", "a week"),
        ("tidegate.dev/paused", "yes", "`true` or `false`"),
        ("tidegate.dev/scale-to-zero", "no", "`keep` or `drain`"),
        ("tidegate.dev/on-set-deleted", "delete", "`keep`"),
        ("tidegate.dev/pause", "true", "tidegate.dev/paused"),
    ];
    site.start(&moves_nothing())?;
    let set = site.path("apps/v1", "statefulsets", "web");
    let mut orphan = None;
    for (key, value, mend) in wrong {
        let right = json!({ "tidegate.dev/scale-to-zero": "drain" });
        let mut annotations = right;
        for (other, ..) in wrong {
            if other != key && other != "tidegate.dev/scale-to-zero" {
                annotations[other] = json!(null);
            }
        }
        annotations[key] = json!(value);
        site.world.api.merge(&set, &json!({ "metadata": { "annotations": annotations } }))?;
        site.told("web", "AnnotationUnreadable", &[key, &format!("{value:?}"), mend])?;
        if orphan.is_none() {
            orphan = Some(Orphan::left_by(site)?);
        }
    }
    let Some(orphan) = orphan else {
        return Ok(());
    };
    orphan.is_untouched()?;
    orphan.is_drained_with("tidegate.dev/pause", None)
}

/// What is no grant, or one of a kind that there is not: told when it is written, and not when it is needed.
fn grant_not_understood(site: &Site<'_>) -> Result<()> {
    site.start(&moves_nothing())?;
    site.annotate("web", GRANT, Some("everything=yes"))?;
    let unreadable = "AnnotationUnreadable";
    site.told("web", unreadable, &[GRANT, "\"everything=yes\"", "serviceAccount", "hostPath"])?;
    let orphan = Orphan::left_by(site)?;
    for (value, mend) in [
        ("secret", "kind=name"),
        ("secret=tls, configMap=", "\"configMap=\": the name after `=` is missing"),
        ("hostPath=/50%", "%25"),
    ] {
        site.annotate("web", GRANT, Some(value))?;
        site.told("web", unreadable, &[GRANT, mend])?;
    }
    orphan.is_untouched()?;
    orphan.is_drained_with(GRANT, None)
}

/// A config that the policy does not take, in the policy's own words.
fn config_not_understood(site: &Site<'_>) -> Result<()> {
    site.start(&moves_nothing())?;
    site.annotate("web", CONFIG, Some("{"))?;
    let orphan = Orphan::left_by(site)?;
    orphan.told("PolicyRefuses", &[CONFIG, "line 1 column 1"])?;
    for (value, mend) in [
        ("", "such as {\"script\""),
        ("[]", "must be a JSON object"),
        (r#"{"scrip": "true"}"#, "neither `command` nor `script`"),
        (r#"{"script": "true", "imag": "b"}"#, "`imag`"),
        (r#"{"script": "true", "discard": ["cache"]}"#, "`discard` names `cache`"),
    ] {
        orphan.told_of(CONFIG, value, "PolicyRefuses", &[mend])?;
    }
    orphan.is_untouched()?;
    orphan.is_drained_with(CONFIG, Some(r#"{"script": "true", "readyPeers": 0}"#))
}
