//! A policy in JavaScript, made a component by the folder's own `npm run build`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::output;

/// The name in `package.json`.
pub(super) fn name(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join("package.json");
    let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    let package: Value =
        serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?;
    let name = package["name"].as_str();
    let name = name.with_context(|| format!("{}: it has no `name`", path.display()))?;
    Ok(name.to_owned())
}

/// Runs the build, with the very packages of the lock file.
pub(super) fn component(folder: &Path, file: &Path) -> anyhow::Result<Vec<u8>> {
    if !folder.join("node_modules").is_dir() {
        output(Command::new("npm").args(["ci", "--silent"]), folder)?;
    }
    output(Command::new("npm").args(["run", "--silent", "build"]), folder)?;
    fs::read(file).with_context(|| {
        format!("{}: `npm run build` did not make it; name it there after --output", file.display())
    })
}
