//! What a drain pod may not have beyond its set, by every road that a pod template has: refused by the field, with the grant that would allow
//! it. The roads stand in `roads.txt`.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{Orphan, template, with};
use crate::puppet;
use crate::site::Site;
use crate::trial::{Test, test};

pub(crate) const TESTS: &[Test] = &[
    test("bad_input::roads::objects_by_every_road", |site| are_refused(site, "objects")),
    test("bad_input::roads::volumes_by_every_road", |site| are_refused(site, "volumes")),
    test("bad_input::roads::privileges_by_every_road", |site| are_refused(site, "privileges")),
];

const ROADS: &str = include_str!("roads.txt");

/// One line of `roads.txt`.
struct Road<'a> {
    pointer: &'a str,
    asks: Value,
    field: &'a str,
    grant: &'a str,
}

/// Gives the set's own pods as little as there is, so that every road leads to more, and has each road of the section rendered.
fn are_refused(site: &Site<'_>, section: &str) -> Result<()> {
    let roads = roads(section)?;
    let orphan = Orphan::of(site, &puppet::store(site, &json!("rows follow"))?)?;
    orphan.told("TemplateRejected", &["template: must be a PodTemplateSpec"])?;
    harden(site)?;
    for Road { pointer, asks, field, grant } in roads {
        let text = with(hardened(), pointer, asks).to_string();
        let field = format!("{field}: asks for ");
        let mend = format!("tidegate.dev/grant: {grant}");
        orphan.told_of(puppet::TEMPLATE, &text, "TemplateRejected", &[&field, &mend])?;
    }
    orphan.is_untouched()?;
    // What the set's own pods have needs no grant.
    orphan.told_of(puppet::TEMPLATE, &hardened().to_string(), "DrainStarted", &["attempt 1"])
}

/// Gives the pods of the set `web` as little as there is. It has none at that time, so that none needs to run so.
pub(super) fn harden(site: &Site<'_>) -> Result<()> {
    site.change("web", &json!({ "template": hardened() }))
}

/// A pod template that asks for as little as there is.
fn hardened() -> Value {
    let pod = json!({
        "runAsNonRoot": true,
        "runAsGroup": 1000,
        "supplementalGroupsPolicy": "Strict",
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    let container =
        json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
    let template = with(template(), "/spec/automountServiceAccountToken", json!(false));
    let template = with(template, "/spec/hostUsers", json!(false));
    let template = with(template, "/spec/securityContext", pod);
    with(template, "/spec/containers/0/securityContext", container)
}

fn roads(section: &str) -> Result<Vec<Road<'static>>> {
    let head = format!("[{section}]");
    let lines = ROADS.lines().skip_while(|line| !line.starts_with(&head)).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty());
    let roads: Vec<Road<'static>> = lines.map(road).collect::<Result<_>>()?;
    ensure!(!roads.is_empty(), "roads.txt has no section {head}");
    Ok(roads)
}

fn road(line: &'static str) -> Result<Road<'static>> {
    let parts: Vec<&str> = line.split(" | ").collect();
    let [pointer, asks, field, grant] = *parts else {
        anyhow::bail!("a line of roads.txt has four parts: {line}");
    };
    let asks = serde_json::from_str(asks).with_context(|| format!("in roads.txt: {line}"))?;
    Ok(Road { pointer, asks, field, grant })
}
