//! The host of the version before: what a cluster runs until it is upgraded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::cargo::{cargo, workspace};
use crate::progress::during;

/// The commit that it is built of.
pub const COMMIT: &str = "b8150aadfc88b4517bcca55d5f84fe45dc3dec8c";

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
        lend_dependencies(&workspace().join("target"), &target)?;
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

/// Links what was built of other people's code into another target folder. The project's own crates have the same names and hashes in both, so
/// that one folder cannot serve both.
fn lend_dependencies(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    for folder in profiles(from)? {
        for kind in ["deps", "build", ".fingerprint"] {
            let target = to.join(&folder).join(kind);
            fs::create_dir_all(&target)?;
            let links = Command::new("cp")
                .args(["--archive", "--link", "--no-target-directory"])
                .args([&from.join(&folder).join(kind), &target])
                .status()?;
            ensure!(links.success(), "{} cannot be linked", folder.display());
            for entry in fs::read_dir(&target)? {
                forget_if_ours(&entry?.path())?;
            }
        }
    }
    Ok(())
}

/// The folders of a target folder in which cargo builds for development, relative to it.
fn profiles(target: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(target)? {
        let entry = entry?;
        let name = PathBuf::from(entry.file_name());
        let folders = [name.clone(), name.join("debug")];
        found
            .extend(folders.into_iter().filter(|it| target.join(it).join(".fingerprint").is_dir()));
    }
    Ok(found)
}

fn forget_if_ours(path: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_prefix("lib").unwrap_or(&name);
    if !["tidegate", "xtask"].iter().any(|ours| name.starts_with(ours)) {
        return Ok(());
    }
    if path.is_dir() {
        fs::remove_dir_all(path)?
    } else {
        fs::remove_file(path)?
    }
    Ok(())
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
