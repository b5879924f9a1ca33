//! The ten minutes of a policy's author, with the commands of `policies/README.md` and no others.

use std::path::Path;

use anyhow::{Context as _, Result};
use xtask::example::Page;

use crate::site::Site;
use crate::trial::{Test, test};

pub(crate) const TESTS: &[Test] = &[
    test("author::a_policy_in_rust_from_new_to_drained", rust),
    test("author::a_policy_in_javascript_from_new_to_drained", javascript),
];

fn rust(site: &Site<'_>) -> Result<()> {
    ten_minutes(site, "expect-rust")
}

fn javascript(site: &Site<'_>) -> Result<()> {
    ten_minutes(site, "expect-js")
}

/// Replays the guide in a folder of its own, in the namespace of the test.
fn ten_minutes(site: &Site<'_>, language: &str) -> Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).canonicalize()?;
    let folder = tempfile::tempdir()?;
    std::os::unix::fs::symlink(root.join("examples"), folder.path().join("examples"))?;
    let kubeconfig = folder.path().join("kubeconfig");
    let cluster = &site.world.cluster;
    std::fs::copy(cluster.kubeconfig(), &kubeconfig)?;
    let named = kubeconfig.to_str().context("the folder's name is no text")?;
    let namespace = format!("--namespace={}", site.namespace);
    site.world.kubectl(&[
        "--kubeconfig",
        named,
        "config",
        "set-context",
        "--current",
        &namespace,
    ])?;
    let kubectl = cluster.kubectl();
    Page {
        file: &root.join("policies/README.md"),
        marks: &["expect", language],
        folder: folder.path(),
        kubeconfig: &kubeconfig,
        programs: &[Path::new(kubectl.get_program()), Path::new(env!("CARGO_BIN_EXE_tidegate"))],
    }
    .replay()
}
