//! Drain pods that the API server refuses: its own words are passed on, and what it took offence at may go without anybody telling the host.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Orphan, moves_nothing, template, with};
use crate::obstacle::{Forbidden, Obstacle};
use crate::puppet;
use crate::site::Site;
use crate::trial::{Test, test};
use crate::wait::{SOON, eventually, found_if};

pub(crate) const TESTS: &[Test] = &[
    test("bad_input::refused::by_validation", by_validation),
    test("bad_input::refused::by_a_quota", by_a_quota),
    test("bad_input::refused::by_pod_security", by_pod_security),
    test("bad_input::refused::by_admission", by_admission),
];

/// The label by which a namespace asks for Pod Security.
const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";

/// Fields that no pod has, values that no field takes, and references to nothing.
fn by_validation(site: &Site<'_>) -> Result<()> {
    let ghost =
        json!([{ "name": "data", "mountPath": "/a" }, { "name": "ghost", "mountPath": "/b" }]);
    let rows = [
        (
            "/spec/containers/0/imagePullPolice",
            json!("Always"),
            ["unknown field", "spec.containers[0].imagePullPolice"],
        ),
        ("/spec/container", json!([]), ["unknown field", "spec.container"]),
        (
            "/spec/containers/0/volumeMounts",
            ghost,
            ["spec.containers[0].volumeMounts[1].name", "Not found: \"ghost\""],
        ),
        (
            "/spec/volumes",
            json!([{ "name": "UPPER", "emptyDir": {} }]),
            ["spec.volumes[0].name", "lowercase"],
        ),
        ("/spec/containers/0/image", Value::Null, ["spec.containers[0].image", "Required value"]),
        ("/spec/containers/0/command", json!("true"), ["cannot unmarshal string", "command"]),
    ];
    let orphan = Orphan::of(site, &puppet::store(site, &json!("rows follow"))?)?;
    for (pointer, value, words) in rows {
        let text = with(template(), pointer, value).to_string();
        orphan.told_of(puppet::TEMPLATE, &text, "WriteRefused", &words)?;
    }
    orphan.is_untouched()?;
    orphan.is_drained_with(puppet::TEMPLATE, Some(&template().to_string()))
}

/// The namespace may have no more pods.
fn by_a_quota(site: &Site<'_>) -> Result<()> {
    site.start(&moves_nothing())?;
    let quotas = site.path("v1", "resourcequotas", "");
    let quota = json!({ "metadata": { "name": "full" }, "spec": { "hard": { "pods": "0" } } });
    site.world.api.create(&quotas, &quota)?;
    refuses_pods(site, "exceeded quota: full")?;
    goes_on_when_lifted(site, &["exceeded quota: full", "pods=1"], || {
        site.delete("resourcequotas", "full")
    })
}

/// The set's own pods came before the namespace asked for the strictest level, which they do not meet.
fn by_pod_security(site: &Site<'_>) -> Result<()> {
    site.start(&moves_nothing())?;
    let namespace = format!("/api/v1/namespaces/{}", site.namespace);
    let asks_for = |level: Value| {
        let patch = json!({ "metadata": { "labels": { POD_SECURITY: level } } });
        site.world.api.merge(&namespace, &patch)
    };
    asks_for(json!("restricted"))?;
    refuses_pods(site, "violates PodSecurity")?;
    let words = ["violates PodSecurity \"restricted:latest\"", "allowPrivilegeEscalation != false"];
    goes_on_when_lifted(site, &words, || asks_for(Value::Null).map(drop))
}

/// A policy of the cluster's own.
fn by_admission(site: &Site<'_>) -> Result<()> {
    site.start(&moves_nothing())?;
    let obstacle = Obstacle::put(site, Forbidden::CreatingPods)?;
    let words = [Forbidden::CreatingPods.words(), "ValidatingAdmissionPolicy"];
    goes_on_when_lifted(site, &words, || obstacle.take_away())
}

/// Waits until the API server creates no pod for these reasons: it heeds what it is told some time later.
fn refuses_pods(site: &Site<'_>, words: &str) -> Result<()> {
    eventually("no pod may be created", SOON, || {
        let tried = site.try_pod().map_err(|error| format!("{error:#}"));
        let refused = tried.as_ref().is_err_and(|error| error.contains(words));
        Ok(found_if(refused, || format!("{tried:?}")))
    })
}

/// The drain pod is refused with these words and nothing touched; then the host goes on though nobody touches the set.
fn goes_on_when_lifted(
    site: &Site<'_>,
    words: &[&str],
    lift: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let orphan = Orphan::left_by(site)?;
    orphan.told("WriteRefused", words)?;
    orphan
        .told("WriteRefused", &["creating", "it is tried again", "nothing is deleted meanwhile"])?;
    orphan.is_untouched()?;
    lift()?;
    site.gone("data-web-0", "web-0")
}
