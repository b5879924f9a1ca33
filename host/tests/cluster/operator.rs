//! What a person does when a drain does not go on: each command, from what `status` says to where it leads.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::components::Guest;
use crate::handmade::{Rendering, rendering};
use crate::obstacle::{Forbidden, Obstacle};
use crate::site::{Site, gate, same_claim};
use crate::store::Store;
use crate::trial::{Test, alone, test};
use crate::wait::{Look, SOON, eventually, found_if};
use crate::world::output;

pub(crate) const TESTS: &[Test] = &[
    test("operator::an_orphan_that_was_never_enrolled_is_adopted_and_drained", adopted),
    test("operator::a_drain_that_its_policy_stopped_is_tried_again", stopped_by_its_policy),
    test("operator::a_drain_is_given_back_and_taken_up_again", given_back),
    test("operator::a_drain_that_is_given_back_leaves_the_member_its_data", given_back_for_good),
    test("operator::a_seal_is_given_back", sealed),
    test("operator::a_stray_seal_is_taken_off", stray_seal),
    test("operator::a_set_that_the_predecessor_holds_is_let_go", held_by_the_predecessor),
    test("operator::what_cannot_be_done_is_refused", refused),
    test("operator::kubectl_finds_the_commands", plugin),
    alone("operator::a_set_that_a_host_held_is_let_go_without_one", held_without_a_host),
];

const POLICY: &str = "tidegate.dev/policy";
const CONFIG: &str = "tidegate.dev/policy-config";

/// The set became the host's after the member had left; a person knows whose data it is.
fn adopted(site: &Site<'_>) -> Result<()> {
    site.start(&Store::bare())?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.no_pod("web-1")?;
    site.annotate("web", CONFIG, Some(r#"{"script": "true"}"#))?;
    site.annotate("web", POLICY, Some("library:exec"))?;
    let told = site.told("web", "NotEnrolled", &["data-web-1"])?;
    let row = site.row(1, "NotEnrolled")?;
    let message = row["message"].as_str().context("a row without a message")?;
    ensure!(told.ends_with(message), "the event says {told:?}, the status {message:?}");
    let command = format!("tidegate adopt web 1 -n {}", site.namespace);
    ensure!(row["command"] == command, "it advises {}", row["command"]);

    let preview = site.tidegate(&["adopt", "web", "1"])?;
    for words in
        ["data-web-1: 1Mi", "library:exec", "DELETED WITH THEIR DATA", "Nothing was changed"]
    {
        ensure!(preview.contains(words), "the preview lacks {words:?}: {preview}");
    }
    site.left_alone("data-web-1", &claim, "web-1")?;
    site.tidegate(&["adopt", "web", "1", "--yes"])?;
    site.gone("data-web-1", "web-1")?;
    site.nothing_waits()
}

/// The policy says that a person must act; the person gives the set another policy and has it tried again.
fn stopped_by_its_policy(site: &Site<'_>) -> Result<()> {
    let component = stops_every_drain();
    let digest = site.config_map("mine", ("policy.wasm", &component))?;
    site.start(&Store::bare().annotated(POLICY, &format!("mine/policy.wasm@sha256:{digest}")))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    site.told("web", "PolicyFails", &["web-1", "the receiver is full"])?;
    let row = site.row(1, "PolicyFails")?;
    ensure!((&row["stage"], &row["attempt"]) == (&json!("draining"), &json!(1)), "{row}");
    site.refuses(&["retry", "web", "1"], "AtWork")?;

    site.annotate("web", CONFIG, Some(&json!({ "script": gate() }).to_string()))?;
    site.annotate("web", POLICY, Some("library:exec"))?;
    site.tidegate(&["retry", "web", "1", "--yes"])?;
    site.drains("web-1", 2)?;
    same_claim(site, "data-web-1", &claim)?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// A drain that runs is stopped, the claim stays, and a person has it drained after all.
fn given_back(site: &Site<'_>) -> Result<()> {
    let claim = released_while_it_drains(site)?;
    site.tidegate(&["retry", "web", "1"])?;
    site.drains("web-1", 1)?;
    same_claim(site, "data-web-1", &claim)?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// The same, and the set wants its member back.
fn given_back_for_good(site: &Site<'_>) -> Result<()> {
    let claim = released_while_it_drains(site)?;
    site.scale("web", 2)?;
    site.member_runs("web-1")?;
    same_claim(site, "data-web-1", &claim)?;
    let names = site.names("web-1", &["data"])?;
    ensure!(names == "web-1\nweb-1\n", "the volume is not the one of before: {names}");
    site.nothing_waits()
}

fn released_while_it_drains(site: &Site<'_>) -> Result<String> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    site.tidegate(&["release", "web", "1"])?;
    site.no_pod("web-1")?;
    let row = site.row(1, "Held")?;
    ensure!(row["message"].to_string().contains("released by an operator"), "{row}");
    site.left_alone("data-web-1", &claim, "web-1")?;
    Ok(claim)
}

/// The drain is done, and its end is refused: everything is given back while no claim is deleted.
fn sealed(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let claim = site.claim_uid("data-web-1")?;
    let forbidden = Forbidden::DeletingClaims("data-web-1");
    let obstacle = Obstacle::put(site, forbidden)?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    site.open_gate("web-1")?;
    site.told("web", "WriteRefused", &["data-web-1", forbidden.words()])?;
    let row = site.row(1, "WriteRefused")?;
    ensure!(row["stage"] == "sealed", "{row}");
    site.refuses(&["retry", "web", "1"], "Sealed")?;
    site.tidegate(&["release", "web", "1"])?;
    site.no_pod("web-1")?;
    obstacle.take_away()?;
    site.row(1, "Held")?;
    site.left_alone("data-web-1", &claim, "web-1")
}

/// Somebody put the seal's finalizer on a drain pod, which no host takes off.
fn stray_seal(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    let finalizer = json!({ "metadata": { "finalizers": ["tidegate.dev/seal"] } });
    site.world.api.merge(&site.path("v1", "pods", "web-1"), &finalizer)?;
    site.delete("pods", "web-1")?;
    site.told("web", "StraySeal", &["web-1"])?;
    site.row(1, "StraySeal")?;
    site.tidegate(&["release", "web", "1"])?;
    site.drains("web-1", 2)?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// The predecessor's finalizer on a set outlives the predecessor.
fn held_by_the_predecessor(site: &Site<'_>) -> Result<()> {
    site.start(&Store::bare())?;
    let set = site.path("apps/v1", "statefulsets", "web");
    let finalizer =
        json!({ "metadata": { "finalizers": ["statefulsets.kubernetes.io/scaledown"] } });
    site.world.api.merge(&set, &finalizer)?;
    let claim = site.claim_uid("data-web-1")?;
    site.world.api.delete(&set, &json!({ "propagationPolicy": "Background" }))?;
    let row = site.row(None, "PredecessorHolds")?;
    ensure!(row["command"].to_string().contains("release web --set"), "{row}");
    let_the_set_go(site)?;
    site.no_pod("web-1")?;
    same_claim(site, "data-web-1", &claim)
}

/// A set that was to be drained before it goes, and the host is taken away before that.
fn held_without_a_host(site: &Site<'_>) -> Result<()> {
    let store = Store::exec(&json!({ "script": gate() }));
    site.start(&store.annotated("tidegate.dev/on-set-deleted", "drain"))?;
    let set = site.path("apps/v1", "statefulsets", "web");
    eventually("the set is held", SOON, || {
        let finalizers = site.set("web")?["metadata"]["finalizers"].to_string();
        Ok(found_if(finalizers.contains("tidegate.dev/drain-on-delete"), || finalizers))
    })?;
    let _away = site.world.without_host()?;
    site.refuses(&["release", "web", "--set"], "HeldAgain")?;
    let claim = site.claim_uid("data-web-1")?;
    site.world.api.delete(&set, &json!({ "propagationPolicy": "Background" }))?;
    site.row(None, "Departs")?;
    let_the_set_go(site)?;
    site.no_pod("web-1")?;
    same_claim(site, "data-web-1", &claim)
}

fn let_the_set_go(site: &Site<'_>) -> Result<()> {
    site.tidegate(&["release", "web", "--set"])?;
    eventually("the set is gone", SOON, || {
        let set = site.world.api.get(&site.path("apps/v1", "statefulsets", "web"))?;
        Ok(found_if(set.is_none(), || set.unwrap_or_default()["metadata"].to_string()))
    })
}

/// Nothing is written where a command is not for what it names.
fn refused(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let claim = site.claim("data-web-1")?;
    for verb in ["retry", "release"] {
        site.refuses(&[verb, "web", "1"], "MemberThere")?;
    }
    site.refuses(&["adopt", "web", "1", "--yes"], "OrdinalWanted")?;
    site.refuses(&["adopt", "web", "7", "--yes"], "NoClaims")?;
    site.refuses(&["release", "web", "--set"], "NotHeld")?;
    site.refuses(&["status", "wbe"], "NoSuchSet")?;
    ensure!(site.claim("data-web-1")? == claim, "the claim was written to");
    site.nothing_waits()
}

/// A link of that name on the PATH is all that kubectl needs.
fn plugin(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let folder = tempfile::tempdir()?;
    let link = folder.path().join("kubectl-tidegate");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tidegate"), link)?;
    let mut kubectl = site.world.cluster.kubectl();
    kubectl.env("PATH", folder.path()).args(["tidegate", "status", "-n", &site.namespace]);
    let said = output(&mut kubectl)?;
    ensure!(said.starts_with("1 set in namespace"), "it says {said:?}");
    Ok(())
}

/// A policy that renders a pod that rests, and stops every drain.
fn stops_every_drain() -> Vec<u8> {
    let template = json!({
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "member",
                "image": "docker.io/library/box:1",
                "command": ["sleep", "2147483647"],
                "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
            }],
        },
    });
    let Rendering { render, items } = rendering(&template);
    let judge = "
        (i32.store8 (i32.const 0) (i32.const 4))
        (i32.store (i32.const 8) (i32.const 64))
        (i32.store (i32.const 12) (global.get $reason_bytes))
        (i32.const 0)";
    let reason = "the receiver is full";
    Guest { render: &render, items: &items, judge, reason, ..Guest::default() }.component()
}

impl Site<'_> {
    /// Runs a command of an operator in this namespace; answers what it prints.
    fn tidegate(&self, arguments: &[&str]) -> Result<String> {
        output(&mut self.operator(arguments))
    }

    /// Runs a command that must be refused for this reason.
    fn refuses(&self, arguments: &[&str], code: &str) -> Result<()> {
        let done = self.operator(arguments).output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(
            !done.status.success() && said.starts_with(&format!("refused, {code}: ")),
            "{arguments:?} ended with {}: {}{said}",
            done.status,
            String::from_utf8_lossy(&done.stdout)
        );
        Ok(())
    }

    /// Waits until the status has a row about this ordinal, or about the set, with this reason; answers it.
    fn row(&self, ordinal: impl Into<Option<u32>>, code: &str) -> Result<Value> {
        let ordinal = json!(ordinal.into());
        let what = format!("status says {code} of {ordinal}");
        eventually(&what, SOON, || {
            let found: Value =
                serde_json::from_str(&self.tidegate(&["status", "web", "-o", "json"])?)?;
            let rows = found["rows"].as_array().context("a status without rows")?;
            let row = rows.iter().find(|row| row["ordinal"] == ordinal && row["reason"] == code);
            Ok(match row {
                Some(row) => Look::Found(row.clone()),
                None => Look::NotYet(found.to_string()),
            })
        })
    }

    /// Waits until the status is one line that says that nothing waits.
    fn nothing_waits(&self) -> Result<()> {
        eventually("nothing is orphaned, draining or waiting", SOON, || {
            let said = self.tidegate(&["status"])?;
            let well = said.lines().count() == 1 && said.contains("nothing is orphaned");
            Ok(found_if(well, || said))
        })
    }

    fn operator(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        let kubeconfig = self.world.cluster.kubeconfig();
        command.env("KUBECONFIG", kubeconfig).args(arguments).args(["-n", &self.namespace]);
        command
    }
}
