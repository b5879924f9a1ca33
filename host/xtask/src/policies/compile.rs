//! Compiles the policies of the workspace to core modules, with the same bytes wherever the checkout lies.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a policy is compiled for: no system interface at all, so that nothing but the log can be imported.
const TARGET: &str = "wasm32-unknown-unknown";

/// The profile of the workspace that is made for policies.
const PROFILE: &str = "policy";

/// Whoever depends on this package is a policy.
const SDK: &str = "tidegate-policy";

/// A policy of the workspace.
pub(super) struct Package {
    /// The policy's name: that of the package without `policy-` before it or `-policy` after it.
    pub(super) name: String,
    /// Whether it lies under `policies/`.
    pub(super) in_library: bool,
    package: String,
}

/// What cargo knows about the workspace.
pub(super) struct Workspace {
    /// Every policy, in the order of their names.
    pub(super) policies: Vec<Package>,
    /// Where cargo puts what it builds.
    pub(super) target_directory: PathBuf,
    root: PathBuf,
    /// The folders that hold the sources of packages from registries.
    registry_folders: BTreeSet<PathBuf>,
}

impl Workspace {
    /// Asks cargo, which downloads the sources of all dependencies where they are missing.
    pub(super) fn read() -> Result<Self> {
        let root = workspace_root()?;
        let text = output(cargo(&root).args(["metadata", "--format-version=1"]))?;
        let metadata: Value = serde_json::from_str(&text).context("cargo metadata is no JSON")?;
        let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
        let mut policies: Vec<Package> =
            packages.iter().filter_map(|package| policy(package, &root)).collect();
        policies.sort_by(|one, other| one.name.cmp(&other.name));
        let target = metadata["target_directory"].as_str();
        let target = target.context("cargo metadata names no target directory")?;
        Ok(Self {
            policies,
            target_directory: PathBuf::from(target),
            registry_folders: packages.iter().filter_map(registry_folder).collect(),
            root,
        })
    }

    /// Compiles these packages, one after another: two at once would wait for the same lock.
    pub(super) fn compile(&self, packages: &[&Package]) -> Result<()> {
        let sysroot = self.sysroot_with_target()?;
        let flags = self.flags(&sysroot)?;
        for package in packages {
            let status = cargo(&self.root)
                .args(["rustc", "--quiet", "--lib", "--crate-type=cdylib"])
                .args(["--package", &package.package, "--target", TARGET, "--profile", PROFILE])
                .env("CARGO_ENCODED_RUSTFLAGS", &flags)
                .stdin(Stdio::null())
                .status()
                .context("cannot start cargo")?;
            if !status.success() {
                bail!("the policy `{}` does not compile: see above", package.name);
            }
        }
        Ok(())
    }

    /// Where the module of a compiled package lies.
    pub(super) fn module(&self, package: &Package) -> PathBuf {
        let file = format!("{}.wasm", package.package.replace('-', "_"));
        self.target_directory.join(TARGET).join(PROFILE).join(file)
    }

    /// The compiler's flags that take the machine's own paths out of the module: the message of a panic names its source file,
    /// and the digest of a policy must not depend on where it was built. Of several prefixes that fit, the last one counts.
    fn flags(&self, sysroot: &Path) -> Result<String> {
        let version = output(Command::new("rustc").arg("-vV").current_dir(&self.root))?;
        let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
        let commit = commit.context("`rustc -vV` names no commit")?;
        let mut prefixes = vec![
            (self.root.clone(), "/tidegate".to_owned()),
            (self.target_directory.clone(), "/tidegate/target".to_owned()),
            (sysroot.join("lib/rustlib/src/rust"), format!("/rustc/{commit}")),
        ];
        prefixes
            .extend(self.registry_folders.iter().map(|from| (from.clone(), "/crates".to_owned())));
        let flags: Vec<String> = prefixes
            .iter()
            .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
            .collect();
        Ok(flags.join("\x1f"))
    }

    /// The compiler's own folder, with the standard library of the target in it.
    fn sysroot_with_target(&self) -> Result<PathBuf> {
        let printed = output(Command::new("rustc").arg("--print=sysroot").current_dir(&self.root))?;
        let sysroot = PathBuf::from(printed.trim());
        if !sysroot.join("lib/rustlib").join(TARGET).is_dir() {
            output(Command::new("rustup").args(["target", "add", TARGET]).current_dir(&self.root))
                .with_context(|| format!("install the target: `rustup target add {TARGET}`"))?;
        }
        Ok(sysroot)
    }
}

/// The folder of the workspace's `Cargo.toml`.
pub(super) fn workspace_root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let root = root.context("the package xtask does not lie two folders below the workspace")?;
    Ok(root.to_path_buf())
}

fn policy(package: &Value, root: &Path) -> Option<Package> {
    let folder = Path::new(package["manifest_path"].as_str()?).parent()?;
    let below = folder.strip_prefix(root).ok()?;
    let dependencies = package["dependencies"].as_array()?;
    // The kind of an ordinary dependency is null; who needs the SDK for tests alone is no policy.
    let uses_sdk = |one: &Value| one["name"] == SDK && one["kind"].is_null();
    if !package["source"].is_null() || !dependencies.iter().any(uses_sdk) {
        return None;
    }
    let package = package["name"].as_str()?;
    let name = package.strip_prefix("policy-").or_else(|| package.strip_suffix("-policy"));
    Some(Package {
        name: name.unwrap_or(package).to_owned(),
        in_library: below.starts_with("policies"),
        package: package.to_owned(),
    })
}

fn registry_folder(package: &Value) -> Option<PathBuf> {
    let source = package["source"].as_str()?;
    let manifest = Path::new(package["manifest_path"].as_str()?);
    source.starts_with("registry+").then(|| manifest.ancestors().nth(2).map(Path::to_path_buf))?
}

fn cargo(root: &Path) -> Command {
    let mut command = crate::cargo::cargo();
    command.current_dir(root);
    command
}

/// Runs a command whose messages the user sees, and gives what it prints.
fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let done = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {shown}"))?;
    if !done.status.success() {
        bail!("{shown} failed: {}", done.status);
    }
    String::from_utf8(done.stdout).with_context(|| format!("{shown} printed no text"))
}
