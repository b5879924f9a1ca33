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

/// Fails where a component that lies beside its sources is older than one of them: what is tested or shipped would not be what the author reads.
pub(super) fn ensure_fresh(file: &Path) -> anyhow::Result<()> {
    let folder = match file.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Ok(()),
    };
    let is_its_own = component_of(folder).is_ok_and(|own| own.file_name() == file.file_name());
    if !is_its_own {
        return Ok(());
    }
    let built = fs::metadata(file)?.modified()?;
    let sources = match kind(folder)? {
        Folder::Rust => [vec![folder.join("Cargo.toml")], files(&folder.join("src"), "rs")?],
        Folder::Js => [vec![folder.join("package.json")], files(folder, "js")?],
    };
    for source in sources.concat() {
        if fs::metadata(&source)?.modified()? > built {
            bail!(
                "{}: it is older than {}: run `tidegate policy build {}` first",
                file.display(),
                source.display(),
                folder.display()
            );
        }
    }
    Ok(())
}

/// The files with this ending in a folder, and for Rust in those within it.
fn files(folder: &Path, ending: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder);
    for entry in entries.with_context(|| format!("{}: it cannot be read", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == ending) {
            found.push(path);
        } else if ending == "rs" && path.is_dir() {
            found.extend(files(&path, ending)?);
        }
    }
    Ok(found)
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_component_that_is_older_than_a_source_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str, age_secs: u64| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            let time = SystemTime::now() - Duration::from_secs(age_secs);
            fs::File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
            path
        };
        put("Cargo.toml", "[package]\nname = \"mover\"\nversion = \"0.1.0\"\n", 90);
        put("src/lib.rs", "", 90);
        put("src/part/deep.rs", "", 90);
        let file = put("mover.wasm", "", 60);
        ensure_fresh(&file).unwrap();
        put("src/part/deep.rs", "", 30);
        let refused = ensure_fresh(&file).unwrap_err().to_string();
        assert!(refused.contains("mover.wasm: it is older than"), "{refused}");
        assert!(refused.contains("deep.rs: run `tidegate policy build"), "{refused}");
        let other = put("other.wasm", "", 60);
        ensure_fresh(&other).unwrap();
    }
}
