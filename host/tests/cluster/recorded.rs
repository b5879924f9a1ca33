//! What a host records of a drain on a cluster is asked again by another process, from the recording alone.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use xtask::proxy::Proxy;

use crate::process::HostProcess;
use crate::site::Site;
use crate::store::Store;
use crate::trial::{Test, apart};

pub(crate) const TESTS: &[Test] =
    &[apart("recorded::a_drain_is_recorded_without_secrets_and_asked_again", asked_again)];

/// What a variable of the set's pods holds.
const SECRET: &str = "s3cr3t-of-the-store";

/// Every question of a drain from its first rendering to its last judgement is there, with none of the variables' values, and the library's policy
/// gives the same answers to them elsewhere.
fn asked_again(site: &Site<'_>) -> Result<()> {
    let policies = xtask::policies::build(&["exec"])?;
    let exec = policies.first().context("there is no policy exec")?;
    let folder = tempfile::tempdir()?;
    let record = folder.path().join("calls");
    let shown = record.to_str().context("the folder's name is no text")?;
    let proxy = Proxy::start(site.world.cluster.kubeconfig())?;
    let host = HostProcess::behind(&proxy, site, &["--record-dir", shown])?;
    let variables = json!({ "env": [{ "name": "PASSWORD", "value": SECRET }] });
    let store = Store::exec(&json!({ "script": "true" })).with_container(&variables);
    site.start(&store)?;
    site.scale("web", 1)?;
    site.gone("data-web-1", "web-1")?;
    host.ends_in_time()?;

    let text = recorded(&record)?;
    ensure!(!text.contains(SECRET), "a variable's value is recorded");
    for function in ["render", "judge", "validate"] {
        let call = format!("\"call\":\"{function}\"");
        ensure!(text.contains(&call), "no {function} is recorded");
    }
    let replay = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["policy", "replay", shown])
        .arg(&exec.component)
        .output()?;
    let said = String::from_utf8_lossy(&replay.stdout);
    let calls = text.lines().count();
    let expected =
        format!("{calls} calls, 0 of them recorded of another digest; 0 answers differ, ");
    ensure!(replay.status.success() && said.starts_with(&expected), "{replay:?}");
    Ok(())
}

fn recorded(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for file in std::fs::read_dir(folder)? {
        text.push_str(&std::fs::read_to_string(file?.path())?);
    }
    Ok(text)
}
