//! The host of the version before: what a cluster runs until it is upgraded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::cargo::{cargo, workspace};
use crate::dependencies::lend;
use crate::progress::during;

/// The commit that it is built of.
pub const COMMIT: &str = "aba86d0e82e7240ab333f479a5e3255792ab4db0";

/// Builds it, unless that was done before; answers its program. It takes the dependencies that the workspace has built, so that they are built
/// once.
///
/// # Errors
/// Where the commit is not in the history, or does not build any more.
pub fn host() -> Result<PathBuf> {
    let folder = workspace().join("target/landed").join(COMMIT);
    let program = folder.join("tidegate");
    if program.exists() {
        return Ok(program);
    }
    let sources = folder.join("sources");
    during("building the host of the version before", || {
        unpack(&sources)?;
        let target = folder.join("target");
        lend(&target)?;
        build(&sources, &target)?;
        let built = target.join("program");
        fs::rename(&built, &program).with_context(|| format!("moving {}", built.display()))?;
        fs::remove_dir_all(&target).context("removing what it was built of")
    })?;
    Ok(program)
}

/// Writes the commit's files into the folder.
fn unpack(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let mut archive = Command::new("git")
        .current_dir(workspace())
        .args(["archive", "--format=tar", COMMIT])
        .stdout(Stdio::piped())
        .spawn()
        .context("running git")?;
    let tar = archive.stdout.take().context("git has no output")?;
    let unpacked = Command::new("tar").arg("-xC").arg(folder).stdin(tar).status()?;
    ensure!(
        archive.wait()?.success() && unpacked.success(),
        "commit {COMMIT} cannot be read: where the clone is shallow, fetch its history with `git fetch --unshallow`"
    );
    // Cargo reads the workspace's own settings from here too; were the flags of both joined, every dependency would be built once more.
    fs::remove_dir_all(folder.join(".cargo")).context("taking the commit's settings of cargo out")
}

/// Builds the host, and links it to `program` in the target folder.
fn build(sources: &Path, target: &Path) -> Result<()> {
    let built = cargo()
        .current_dir(sources)
        .args(["build", "--locked", "--package", "tidegate", "--bin", "tidegate"])
        .args(["--message-format", "json-render-diagnostics"])
        .env("CARGO_TARGET_DIR", target)
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo")?;
    ensure!(
        built.status.success(),
        "commit {COMMIT} does not build: cargo ended with {}",
        built.status
    );
    let messages = String::from_utf8(built.stdout)?;
    let executable = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    let executable = executable.context("cargo built no program")?;
    fs::hard_link(&executable, target.join("program"))
        .with_context(|| format!("linking {}", executable.display()))
}
