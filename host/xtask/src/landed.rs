//! The host of the version before: what a cluster runs until it is upgraded.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::cargo::{cargo, workspace};
use crate::progress::during;

/// The commit that it is built of.
pub const COMMIT: &str = "9e6eb0cebd41a67b5be9ab0c88139178e5e40513";

/// What its program is called, so that it does not take the place of the host that is built beside it.
const PROGRAM: &str = "tidegate-landed";

/// Builds it, unless that was done before; answers its program. It shares the dependencies with the workspace, so that they are built once.
///
/// # Errors
/// Where the commit is not in the history, or does not build any more.
pub fn host() -> Result<PathBuf> {
    let folder = workspace().join("target/landed").join(COMMIT);
    let program = folder.join(PROGRAM);
    if program.exists() {
        return Ok(program);
    }
    let sources = folder.join("sources");
    during("building the host of the version before", || {
        unpack(&sources)?;
        name_program(&sources.join("host/Cargo.toml"))?;
        build(&sources, &program)
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
    Ok(())
}

fn name_program(manifest: &Path) -> Result<()> {
    let mut manifest = OpenOptions::new().append(true).open(manifest)?;
    write!(manifest, "\n[[bin]]\nname = \"{PROGRAM}\"\npath = \"src/main.rs\"\n")?;
    Ok(())
}

fn build(sources: &Path, program: &Path) -> Result<()> {
    let target = workspace().join("target");
    let built = cargo()
        .current_dir(sources)
        .args(["build", "--locked", "--package", "tidegate", "--bin", PROGRAM])
        .args(["--message-format", "json-render-diagnostics"])
        .env("CARGO_TARGET_DIR", &target)
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
    fs::copy(&executable, program).with_context(|| format!("copying {}", executable.display()))?;
    Ok(())
}
