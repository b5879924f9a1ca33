//! The fake API server keeps the rules of the real one that no script tells of: versions, pages, watches, dry runs, refusals.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kube::config::Kubeconfig;
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tidegate_miniature::kind::Kind;
use tidegate_miniature::store::What;

use crate::api::Api;
use crate::fake::Fake;

/// How long a line of a watch may take.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

const PODS: &str = "/api/v1/namespaces/default/pods";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";

/// One rule, by its name.
type Rule = (&'static str, fn(&Fake, &Api) -> Result<()>);

const RULES: &[Rule] = &[
    ("a_page_shows_what_was_when_the_first_was_read", pages),
    ("a_watch_goes_on_from_a_version", watch_from_a_version),
    ("what_is_not_chosen_any_more_is_gone_for_a_watch", watch_of_a_label),
    ("a_version_that_is_forgotten_is_gone", forgotten),
    ("an_api_server_that_is_behind_shows_changes_late_and_reads_fresh", behind),
    ("a_dry_run_keeps_nothing", dry_run),
    ("what_changes_nothing_keeps_its_version", nothing_changed),
    ("an_old_version_is_a_conflict_and_another_uid_invalid", not_the_one),
    ("an_unknown_field_is_refused_where_that_is_asked", unknown_field),
    ("a_template_of_claims_does_not_change", immutable),
    ("a_status_is_written_by_its_own_path_alone", status_apart),
    ("an_unscheduled_pod_is_deleted_at_once", unscheduled),
    ("a_pod_that_ignores_its_end_is_killed_when_its_grace_is_over", ignores_its_end),
    ("a_set_deleted_in_the_foreground_goes_last", foreground),
    ("a_set_deleted_alone_leaves_its_members", orphan),
    ("a_namespace_takes_everything_with_it", namespace),
    ("what_is_not_played_is_refused", not_played),
];

/// A test for each.
pub(crate) fn all() -> Vec<Trial> {
    let trial = |(name, rule): &Rule| {
        let rule = *rule;
        Trial::test(format!("fake::rules::{name}"), move || {
            kept(rule).map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    RULES.iter().map(trial).collect()
}

fn kept(rule: fn(&Fake, &Api) -> Result<()>) -> Result<()> {
    let fake = Fake::start()?;
    let api = Api::of(&fake.kubeconfig())?;
    rule(&fake, &api)
}

fn pages(_fake: &Fake, api: &Api) -> Result<()> {
    for name in ["a", "b", "c"] {
        api.create(MAPS, &map(name))?;
    }
    let first = get(api, &format!("{MAPS}?limit=2"))?;
    ensure!(names(&first) == ["a", "b"], "the first page is {first}");
    let token = text(&first["metadata"]["continue"]);
    api.create(MAPS, &map("d"))?;
    api.delete(&format!("{MAPS}/c"), &json!({}))?;
    let rest = get(api, &format!("{MAPS}?limit=2&continue={token}"))?;
    ensure!(names(&rest) == ["c"], "the second page is {rest}");
    ensure!(rest["metadata"]["continue"].is_null(), "there is no third page");
    ensure!(first["metadata"]["resourceVersion"] == rest["metadata"]["resourceVersion"], "{rest}");
    Ok(())
}

fn watch_from_a_version(fake: &Fake, api: &Api) -> Result<()> {
    let made = api.create(MAPS, &map("a"))?;
    api.merge(&format!("{MAPS}/a"), &json!({ "data": { "x": "1" } }))?;
    api.delete(&format!("{MAPS}/a"), &json!({}))?;
    let since = text(&made["metadata"]["resourceVersion"]);
    let lines = watch(fake, &format!("{MAPS}?watch=1&resourceVersion={since}"), 2)?;
    ensure!(lines[0]["type"] == "MODIFIED" && lines[1]["type"] == "DELETED", "{lines:?}");
    let ended =
        watch(fake, &format!("{MAPS}?watch=1&timeoutSeconds=0&allowWatchBookmarks=true"), 1)?;
    ensure!(ended[0]["type"] == "BOOKMARK", "{ended:?}");
    Ok(())
}

fn watch_of_a_label(fake: &Fake, api: &Api) -> Result<()> {
    let made = api.create(MAPS, &map("a"))?;
    let since = text(&made["metadata"]["resourceVersion"]);
    for value in [json!("yes"), Value::Null] {
        api.merge(&format!("{MAPS}/a"), &json!({ "metadata": { "labels": { "x": value } } }))?;
    }
    let lines = watch(fake, &format!("{MAPS}?watch=1&labelSelector=x&resourceVersion={since}"), 2)?;
    ensure!(lines[0]["type"] == "ADDED" && lines[1]["type"] == "DELETED", "{lines:?}");
    Ok(())
}

fn forgotten(fake: &Fake, api: &Api) -> Result<()> {
    for name in ["a", "b"] {
        api.create(MAPS, &map(name))?;
    }
    let first = get(api, &format!("{MAPS}?limit=1"))?;
    let token = text(&first["metadata"]["continue"]);
    let since = text(&first["metadata"]["resourceVersion"]);
    api.create(MAPS, &map("c"))?;
    fake.compact();
    refused(api.get(&format!("{MAPS}?limit=1&continue={token}")), 410)?;
    let lines = watch(fake, &format!("{MAPS}?watch=1&resourceVersion={since}"), 1)?;
    ensure!(lines[0]["type"] == "ERROR" && lines[0]["object"]["code"] == 410, "{lines:?}");
    Ok(())
}

fn behind(fake: &Fake, _api: &Api) -> Result<()> {
    let late = Api::of(&fake.kubeconfig_behind())?;
    late.create(MAPS, &map("a"))?;
    let old = get(&late, &format!("{MAPS}?resourceVersion=0"))?;
    ensure!(names(&old).is_empty(), "it is shown already: {old}");
    let fresh = get(&late, MAPS)?;
    ensure!(names(&fresh) == ["a"], "what is so is read: {fresh}");
    Ok(())
}

fn dry_run(_fake: &Fake, api: &Api) -> Result<()> {
    api.create(&format!("{MAPS}?dryRun=All"), &map("a"))?;
    ensure!(api.get(&format!("{MAPS}/a"))?.is_none(), "it was made");
    let made = api.create(MAPS, &map("a"))?;
    api.merge(&format!("{MAPS}/a?dryRun=All"), &json!({ "data": { "x": "1" } }))?;
    api.delete(&format!("{MAPS}/a?dryRun=All"), &json!({}))?;
    ensure!(api.get(&format!("{MAPS}/a"))? == Some(made), "it is not as it was");
    Ok(())
}

fn nothing_changed(_fake: &Fake, api: &Api) -> Result<()> {
    let made = api.create(MAPS, &map("a"))?;
    let nothing = json!({ "metadata": { "labels": null, "annotations": { "x": null } } });
    let after = api.merge(&format!("{MAPS}/a"), &nothing)?;
    ensure!(made == after, "{made} became {after}");
    Ok(())
}

fn not_the_one(_fake: &Fake, api: &Api) -> Result<()> {
    let made = api.create(MAPS, &map("a"))?;
    api.merge(&format!("{MAPS}/a"), &json!({ "data": { "x": "1" } }))?;
    let old = json!({ "metadata": { "resourceVersion": made["metadata"]["resourceVersion"] } });
    refused(api.merge_lists(&format!("{MAPS}/a"), &old), 409)?;
    let other = json!({ "metadata": { "uid": "another" } });
    refused(api.merge_lists(&format!("{MAPS}/a"), &other), 422)?;
    for wrong in [json!({ "uid": "another" }), old["metadata"].clone()] {
        let options = json!({ "preconditions": wrong });
        refused(api.delete(&format!("{MAPS}/a"), &options), 409)?;
    }
    refused(api.create(MAPS, &map("a")), 409)?;
    refused(api.merge(&format!("{MAPS}/b"), &json!({})), 404)
}

fn unknown_field(_fake: &Fake, api: &Api) -> Result<()> {
    let mut pod = pod("a", "hang");
    pod["spec"]["nonsense"] = json!(true);
    refused(api.create(&format!("{PODS}?fieldValidation=Strict"), &pod), 400)?;
    api.create(PODS, &pod)?;
    pod["spec"]["containers"] = json!("none");
    refused(api.create(PODS, &pod), 400)
}

fn immutable(_fake: &Fake, api: &Api) -> Result<()> {
    api.create(SETS, &set(1))?;
    let spec = json!({ "spec": { "volumeClaimTemplates": [] } });
    refused(api.merge(&format!("{SETS}/web"), &spec), 422)
}

fn status_apart(fake: &Fake, api: &Api) -> Result<()> {
    api.create(SETS, &set(1))?;
    fake.settle()?;
    let both = json!({
        "metadata": { "annotations": { "x": "1" } },
        "spec": { "replicas": 3 },
        "status": { "collisionCount": 7 },
    });
    let by_status = api.merge(&format!("{SETS}/web/status"), &both)?;
    ensure!(by_status["spec"]["replicas"] == 1, "its path changes the status alone: {by_status}");
    ensure!(by_status["metadata"]["annotations"]["x"] == "1", "and the metadata: {by_status}");
    ensure!(by_status["metadata"]["generation"] == 1, "which is no new generation: {by_status}");
    fake.settle()?;
    let by_main = api.merge(&format!("{SETS}/web"), &both)?;
    ensure!(by_main["metadata"]["generation"] == 2, "a change of the spec is: {by_main}");
    ensure!(
        by_main["status"]["collisionCount"] != 7,
        "the status has a path of its own: {by_main}"
    );
    Ok(())
}

fn unscheduled(fake: &Fake, api: &Api) -> Result<()> {
    let mut pod = pod("a", "hang");
    pod["spec"]["nodeSelector"] = json!({ "example.org/nowhere": "yes" });
    api.create(PODS, &pod)?;
    fake.settle()?;
    let found = get(api, &format!("{PODS}/a"))?;
    ensure!(found["status"]["conditions"][0]["reason"] == "Unschedulable", "{found}");
    api.delete(&format!("{PODS}/a"), &json!({}))?;
    ensure!(api.get(&format!("{PODS}/a"))?.is_none(), "it had a grace");
    Ok(())
}

fn ignores_its_end(fake: &Fake, api: &Api) -> Result<()> {
    let mut pod = pod("a", "on-term ignore");
    pod["spec"]["terminationGracePeriodSeconds"] = json!(1);
    pod["metadata"]["finalizers"] = json!(["example.org/hold"]);
    let made = api.create(PODS, &pod)?;
    fake.settle()?;
    api.delete(&format!("{PODS}/a"), &json!({}))?;
    let since = text(&made["metadata"]["resourceVersion"]);
    let path = format!("{PODS}?watch=1&resourceVersion={since}");
    let told = watch_until(fake, &path, |line| line["object"]["status"]["phase"] == "Failed")?;
    let state = &told["object"]["status"]["containerStatuses"][0]["state"];
    ensure!(state["terminated"]["exitCode"] == 137, "{state}");
    let free = json!({ "metadata": { "finalizers": null } });
    fake.settle()?;
    api.merge(&format!("{PODS}/a"), &free)?;
    ensure!(api.get(&format!("{PODS}/a"))?.is_none(), "nothing holds it any more");
    Ok(())
}

fn foreground(fake: &Fake, api: &Api) -> Result<()> {
    api.create(SETS, &set(2))?;
    fake.settle()?;
    let hold = json!({ "metadata": { "finalizers": ["example.org/hold"] } });
    api.merge(&format!("{PODS}/web-1"), &hold)?;
    api.delete(&format!("{SETS}/web"), &json!({ "propagationPolicy": "Foreground" }))?;
    fake.settle()?;
    ensure!(api.get(&format!("{PODS}/web-0"))?.is_none(), "a member is left");
    ensure!(api.get(&format!("{SETS}/web"))?.is_some(), "it went before its members");
    api.merge(&format!("{PODS}/web-1"), &json!({ "metadata": { "finalizers": null } }))?;
    fake.settle()?;
    ensure!(api.get(&format!("{SETS}/web"))?.is_none(), "it stays");
    let history = fake.history();
    let last = history.iter().rev().find(|change| change.what == What::Deleted);
    let last = last.context("nothing was deleted")?;
    ensure!(last.key.kind == Kind::Set && last.by == "garbage-collector", "last went {last:?}");
    Ok(())
}

fn orphan(fake: &Fake, api: &Api) -> Result<()> {
    api.create(SETS, &set(2))?;
    fake.settle()?;
    let before = get(api, &format!("{PODS}/web-0"))?;
    api.delete(&format!("{SETS}/web"), &json!({ "propagationPolicy": "Orphan" }))?;
    fake.settle()?;
    ensure!(api.get(&format!("{SETS}/web"))?.is_none(), "the set stays");
    let after = get(api, &format!("{PODS}/web-0"))?;
    ensure!(after["metadata"]["ownerReferences"].is_null(), "{after}");
    ensure!(after["metadata"]["uid"] == before["metadata"]["uid"], "{after}");
    // A set of the same name takes them for its own.
    api.create(SETS, &set(2))?;
    fake.settle()?;
    let adopted = get(api, &format!("{PODS}/web-0"))?;
    ensure!(adopted["metadata"]["uid"] == before["metadata"]["uid"], "{adopted}");
    ensure!(adopted["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet", "{adopted}");
    Ok(())
}

fn namespace(fake: &Fake, api: &Api) -> Result<()> {
    api.create("/api/v1/namespaces", &json!({ "metadata": { "name": "x" } }))?;
    api.create("/apis/apps/v1/namespaces/x/statefulsets", &set(2))?;
    fake.settle()?;
    let pods = "/api/v1/namespaces/x/pods";
    let hold = json!({ "metadata": { "finalizers": ["example.org/hold"] } });
    api.merge(&format!("{pods}/web-0"), &hold)?;
    api.delete("/api/v1/namespaces/x", &json!({}))?;
    fake.settle()?;
    let left = get(api, "/api/v1/namespaces/x")?;
    ensure!(left["status"]["phase"] == "Terminating", "{left}");
    refused(api.create("/api/v1/namespaces/x/configmaps", &map("a")), 403)?;
    api.merge(&format!("{pods}/web-0"), &json!({ "metadata": { "finalizers": null } }))?;
    fake.settle()?;
    ensure!(api.get("/api/v1/namespaces/x")?.is_none(), "it stays");
    refused(api.create("/api/v1/namespaces/x/configmaps", &map("a")), 404)
}

fn not_played(_fake: &Fake, api: &Api) -> Result<()> {
    refused(api.get("/apis/batch/v1/namespaces/default/jobs"), 501)?;
    refused(api.get(&format!("{MAPS}?watch=1&sendInitialEvents=true")), 501)
}

fn map(name: &str) -> Value {
    json!({ "metadata": { "name": name } })
}

fn pod(name: &str, script: &str) -> Value {
    json!({
        "metadata": { "name": name, "annotations": { "standin.tidegate.dev/script": script } },
        "spec": { "containers": [{ "name": "main", "image": "none" }] },
    })
}

fn set(replicas: u32) -> Value {
    json!({
        "metadata": { "name": "web" },
        "spec": {
            "serviceName": "web",
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "main", "image": "none" }] },
            },
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" },
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": { "requests": { "storage": "1Mi" } },
                },
            }],
        },
    })
}

fn get(api: &Api, path: &str) -> Result<Value> {
    api.get(path)?.with_context(|| format!("{path} is not there"))
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().into_iter().flatten();
    let names = items.filter_map(|item| item["metadata"]["name"].as_str());
    names.filter(|name| *name != "kube-root-ca.crt").collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Fails where a request was not refused with this status.
fn refused<T>(answer: Result<T>, code: u16) -> Result<()> {
    let Err(error) = answer else {
        bail!("it was not refused");
    };
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) if status.code == code => Ok(()),
        Some(_) | None => Err(error.context(format!("it should be refused with {code}"))),
    }
}

/// The first lines of a watch.
fn watch(fake: &Fake, path: &str, count: usize) -> Result<Vec<Value>> {
    let mut lines = Vec::new();
    watch_until(fake, path, |line| {
        lines.push(line.clone());
        lines.len() == count
    })?;
    Ok(lines)
}

/// The first line of a watch that is so, read as it comes: the transfer's own lines, which tell lengths, are left out.
fn watch_until(fake: &Fake, path: &str, mut is_so: impl FnMut(&Value) -> bool) -> Result<Value> {
    let kubeconfig = Kubeconfig::read_from(fake.kubeconfig())?;
    let server = kubeconfig.clusters[0].cluster.as_ref().and_then(|it| it.server.clone());
    let server = server.context("a kubeconfig without a server")?;
    let mut stream = TcpStream::connect(server.trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(TOLD_WITHIN))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: fake\r\nConnection: close\r\n\r\n")?;
    for line in BufReader::new(stream).lines() {
        let line = line.with_context(|| format!("watching {path}"))?;
        if let Ok(value @ Value::Object(_)) = serde_json::from_str(&line)
            && is_so(&value)
        {
            return Ok(value);
        }
    }
    bail!("the watch of {path} ended")
}
