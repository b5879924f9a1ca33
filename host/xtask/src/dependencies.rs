//! What is built once and used by two target folders.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::cargo::workspace;

/// Links what was built of other people's code into another target folder, of which nothing stays. The project's own crates have the same names and hashes in both, so
/// that one folder cannot serve both.
///
/// # Errors
/// Where a folder cannot be read, or a link not be made.
pub(crate) fn lend(to: &Path) -> Result<()> {
    let from = workspace().join("target");
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    for folder in profiles(&from)? {
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
