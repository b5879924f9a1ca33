//! `tidegate policy build`: from a folder to a component that the host would take.

mod js;
mod rust;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::args::BuildArgs;
use super::{Outcome, say};
use crate::policy::{Digest, inspect};

/// How a folder is built.
enum Folder {
    Rust,
    Js,
}

/// Builds the component beside its sources, and checks what it imports and exports.
pub(super) fn build(args: &BuildArgs) -> anyhow::Result<Outcome> {
    let folder = args.folder.as_path();
    let file = component_of(folder)?;
    let component = match kind(folder)? {
        Folder::Rust => tidegate_pack::encode(&rust::module(folder)?).context(
            "no component can be made of it: is `tidegate_policy::export!` called in its lib.rs?",
        )?,
        Folder::Js => js::component(folder, &file)?,
    };
    let interfaces = tidegate_pack::interfaces(&component)?;
    inspect::inspect(&component)?;
    fs::write(&file, &component)
        .with_context(|| format!("{}: it cannot be written", file.display()))?;
    let packed = tidegate_pack::gzip(&component)?;
    say(&format!("{}", file.display()))?;
    say(&format!("  size     {} bytes, {} packed", component.len(), packed.len()))?;
    say(&format!("  sha256   {}", Digest::of(&component)))?;
    say(&format!("  imports  {}", interfaces.imports.join(", ")))?;
    say(&format!("  exports  {}", interfaces.exports.join(", ")))?;
    Ok(Outcome::Good)
}

/// Where the component of a folder lies: beside its sources, under the policy's name.
pub(super) fn component_of(folder: &Path) -> anyhow::Result<PathBuf> {
    let name = match kind(folder)? {
        Folder::Rust => rust::name(folder)?,
        Folder::Js => js::name(folder)?,
    };
    Ok(folder.join(format!("{name}.wasm")))
}

fn kind(folder: &Path) -> anyhow::Result<Folder> {
    if folder.join("Cargo.toml").is_file() {
        Ok(Folder::Rust)
    } else if folder.join("package.json").is_file() {
        Ok(Folder::Js)
    } else {
        bail!(
            "{}: neither Cargo.toml nor package.json is in it; `tidegate policy new NAME` makes a folder",
            folder.display()
        )
    }
}

/// Runs a program in the folder. What it prints to its standard error is seen; its standard output is answered.
fn output(command: &mut Command, folder: &Path) -> anyhow::Result<String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let output = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("`{shown}` cannot be run: install it"))?;
    if !output.status.success() {
        bail!("{}: `{shown}` ended with {}: see above", folder.display(), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("what `{shown}` printed"))
}
