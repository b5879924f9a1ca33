//! A policy in Rust, compiled by cargo.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::output;

/// No system interface at all, so that nothing but the log can be imported.
const TARGET: &str = "wasm32-unknown-unknown";

/// The name of the folder's package.
pub(super) fn name(folder: &Path) -> anyhow::Result<String> {
    let metadata = ["metadata", "--no-deps", "--format-version=1"];
    let text = output(cargo().args(metadata), folder)?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata is no JSON")?;
    let manifest = folder.join("Cargo.toml").canonicalize()?;
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let own = packages.iter().find(|package| {
        package["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest)
    });
    let name = own.and_then(|package| package["name"].as_str());
    let name = name.with_context(|| format!("{}: it holds no package", folder.display()))?;
    Ok(name.to_owned())
}

/// Compiles the folder's package to a core module. The same sources give the same bytes wherever they lie.
pub(super) fn module(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let flags = flags(folder)?;
    let mut cargo = cargo();
    cargo.args(["build", "--release", "--lib", "--target", TARGET]);
    cargo.arg("--message-format=json-render-diagnostics");
    let printed = output(cargo.env("CARGO_ENCODED_RUSTFLAGS", flags), folder)?;
    let module = printed.lines().filter_map(|line| serde_json::from_str(line).ok());
    let module = module.filter_map(|message: Value| wasm_of(&message)).next_back();
    let Some(module) = module else {
        bail!(
            "{}: cargo made no module: its Cargo.toml must say `crate-type = [\"cdylib\", \"rlib\"]` under [lib]",
            folder.display()
        );
    };
    fs::read(&module).with_context(|| format!("{}", module.display()))
}

fn wasm_of(message: &Value) -> Option<PathBuf> {
    let files = message["filenames"].as_array()?;
    let is_module = |file: &&str| file.ends_with(".wasm");
    files.iter().filter_map(Value::as_str).find(is_module).map(PathBuf::from)
}

/// The message of a panic names its source file, and the digest must not depend on where the policy was built.
fn flags(folder: &Path) -> anyhow::Result<String> {
    let sysroot = output(Command::new("rustc").arg("--print=sysroot"), folder)?;
    let sysroot = PathBuf::from(sysroot.trim());
    if !sysroot.join("lib/rustlib").join(TARGET).is_dir() {
        bail!(
            "the compiler has no standard library for policies: run `rustup target add {TARGET}`"
        );
    }
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let places = [
        (Some(folder.canonicalize()?), "/policy"),
        (home, "/cargo"),
        (Some(sysroot.join("lib/rustlib/src/rust")), "/rust"),
    ];
    let flags: Vec<String> = places
        .into_iter()
        .filter_map(|(from, to)| Some(format!("--remap-path-prefix={}={to}", from?.display())))
        .collect();
    Ok(flags.join("\x1f"))
}

fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
