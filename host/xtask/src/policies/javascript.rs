//! Builds a policy in JavaScript as its author would: with npm and the package's own scripts.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Installs what the package's lock file names, runs the package's tests, and builds `examples/NAME/policy/NAME.wasm`.
///
/// The same sources do not give the same bytes: the engine's state is taken into the component as it is once the script has been
/// read, with the seeds of its hash tables.
///
/// # Errors
/// Where npm is missing or one of the three fails; with what it said.
pub fn build_javascript(name: &str) -> Result<PathBuf> {
    let folder = super::compile::workspace_root()?.join("examples").join(name).join("policy");
    for arguments in [&["ci", "--no-audit", "--no-fund"][..], &["test"], &["run", "build"]] {
        npm(&folder, arguments)?;
    }
    Ok(folder.join(format!("{name}.wasm")))
}

fn npm(folder: &Path, arguments: &[&str]) -> Result<()> {
    let shown = format!("npm {} in {}", arguments.join(" "), folder.display());
    let done = Command::new("npm")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {shown}: install Node.js 20 or later with npm"))?;
    if !done.status.success() {
        bail!(
            "{shown} ended with {}:\n{}{}",
            done.status,
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
    }
    Ok(())
}
