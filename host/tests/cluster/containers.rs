//! What runs in a drain pod, and what of it is believed.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::site::{QUIET, Site, gate, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, test};
use crate::wait::{SOON, eventually, found_if, stays};

pub(crate) const TESTS: &[Test] = &[
    test("containers::probes_and_hooks_are_taken_out", probes_and_hooks),
    test("containers::a_script_that_is_told_to_stop_is_tried_again", script_told_to_stop),
    test("containers::a_command_that_leaves_with_0_when_told_to_stop_is_tried_again", command),
    test("containers::a_native_sidecar_is_not_waited_for", native_sidecar),
];

/// Succeeds in a member alone, whose command bears the word: a drain runs another.
const SERVES: &str = "grep -q member /proc/1/cmdline";

/// From then on SIGTERM is a reason to leave with 0.
const ARM: &str = "trap 'exit 0' TERM; touch /data/armed";

/// F21: none of these finds its server in a drain. Each of them would kill it, and what is killed like this may exit with 0.
fn probes_and_hooks(site: &Site<'_>) -> Result<()> {
    let serves = json!({ "command": ["sh", "-c", SERVES] });
    let probe = json!({ "exec": serves, "periodSeconds": 2, "failureThreshold": 1 });
    let store = Store::exec(&json!({ "script": gate() })).with_container(&json!({
        "livenessProbe": probe,
        "startupProbe": probe,
        "lifecycle": { "postStart": { "exec": serves }, "preStop": { "exec": serves } },
    }));
    site.start(&store)?;
    site.scale("web", 1)?;
    let drain = site.drains("web-1", 1)?;
    let container = &drain["spec"]["containers"][0];
    for deadly in ["livenessProbe", "startupProbe", "lifecycle"] {
        ensure!(container[deadly].is_null(), "the drain pod has its {deadly}: {container}");
        site.told("web", "DrainStarted", &["web-1", &format!("{deadly} of container member")])?;
    }
    let drain = uid(&drain)?;
    stays("nothing stops the drain", QUIET, || {
        let pod = site.pod("web-1")?.unwrap_or_default();
        let runs = pod["metadata"]["uid"] == drain.as_str()
            && pod["status"]["containerStatuses"][0]["state"]["running"].is_object();
        Ok(found_if(runs, || pod["status"].to_string()))
    })?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// F21: `exec` writes its message after a script, and not after one that was told to stop.
fn script_told_to_stop(site: &Site<'_>) -> Result<()> {
    let script = format!("{ARM}; {}", gate());
    told_to_stop(site, &json!({ "script": script }), 143)
}

/// F21: exit code 0 and none of the marks of an end from outside. That the message is missing is all that tells it from a success.
fn command(site: &Site<'_>) -> Result<()> {
    let done = "echo 'tidegate: drained' > /dev/termination-log";
    let script = format!("{ARM}; {}; {done}", gate());
    told_to_stop(site, &json!({ "command": ["sh", "-c", script] }), 0)
}

/// The process is stopped from within, as a probe's failure or a person would: no API call tells of it.
fn told_to_stop(site: &Site<'_>, config: &Value, code: i64) -> Result<()> {
    site.start(&Store::exec(config))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    eventually("the drain has set its trap", SOON, || {
        let seen = site.sh("web-1", "ls /data")?;
        Ok(found_if(seen.lines().any(|name| name == "armed"), || seen))
    })?;
    site.sh("web-1", "kill -TERM 1")?;
    let why = if code == 0 { "exited with 0 but".to_owned() } else { format!("exited {code}") };
    site.told("web", "AttemptEnded", &["web-1", "attempt 2", &why])?;
    site.drains("web-1", 2)?;
    same_claim(site, "data-web-1", &claim)?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// F29: a server beside the work is stopped when the work is done, and its exit code is no failure of the drain.
fn native_sidecar(site: &Site<'_>) -> Result<()> {
    let serve = "trap 'exit 143' TERM; sleep 2147483647 & wait";
    let server = json!({
        "name": "server",
        "image": "docker.io/library/box:1",
        "restartPolicy": "Always",
        "command": ["sh", "-c", serve],
    });
    let config = json!({ "script": gate(), "keepContainers": ["server"] });
    site.start(&Store::exec(&config).with_pod(&json!({ "initContainers": [server] })))?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    site.hold("web-1")?;
    site.open_gate("web-1")?;
    let ended = site.eventually_pod("the drain pod has ended", "web-1", |pod| {
        pod["status"]["phase"] == "Succeeded"
    })?;
    let server = &ended["status"]["initContainerStatuses"][0];
    let code = server["state"]["terminated"]["exitCode"].as_i64().context("it runs on")?;
    ensure!(code == 143, "the sidecar did not end as it was to: {server}");
    site.let_go("web-1")?;
    site.gone("data-web-1", "web-1")
}
