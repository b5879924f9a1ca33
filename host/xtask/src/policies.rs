//! Builds the policies of this workspace as components, checks them, and keeps `deploy/library` in step with them.

mod compile;
mod javascript;
mod library;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

pub use javascript::build_javascript;

/// The most bytes that a policy of this workspace may have as a component. A ConfigMap that holds one uncompressed can still be
/// applied by `kubectl apply`, which copies the whole object into an annotation of at most 256 KiB.
const MAX_COMPONENT_BYTES: usize = 144 * 1024;

/// The arguments of `cargo xtask policies`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write nothing, and fail where `deploy/library` is not what the policies build to.
    #[arg(long)]
    pub check: bool,
}

/// A policy that was built and found to be in order.
#[derive(Clone, Debug)]
pub struct BuiltPolicy {
    /// The name in `library:NAME`, and of the file.
    pub name: String,
    /// Whether the host's install brings it, as all that lie under `policies/`.
    pub in_library: bool,
    /// Where the component lies: `target/policies/NAME.wasm`.
    pub component: PathBuf,
    /// The size of the component in bytes.
    pub size_bytes: usize,
    /// The component as a ConfigMap of the library holds it. The same component gives the same bytes.
    pub gzip: Vec<u8>,
    /// The sha256 of the uncompressed component in lower-case hex: what a set's annotation pins.
    pub sha256: String,
    /// The interfaces that the component needs of the host, each with its version.
    pub imports: Vec<String>,
    /// The interfaces that the component offers, each with its version.
    pub exports: Vec<String>,
}

/// Runs `cargo xtask policies`: builds all, prints a table of them, and writes or checks `deploy/library`.
///
/// # Errors
/// What cannot be built, or breaks a rule for policies; with `--check`, which file of `deploy/library` is out of step.
pub fn run(args: &Args) -> Result<()> {
    let built = build_all()?;
    write!(std::io::stdout().lock(), "{}", table(&built))?;
    let files = library::files(&built);
    let folder = compile::workspace_root()?.join("deploy/library");
    if args.check { library::check(&folder, &files) } else { library::write(&folder, &files) }
}

/// Builds every policy of the workspace: each member that depends on the SDK.
///
/// # Errors
/// What cannot be built, or breaks a rule for policies.
pub fn build_all() -> Result<Vec<BuiltPolicy>> {
    build_where(|_| true)
}

/// Builds the policies of these names, such as `exec` or `shards`, in the order of the workspace.
///
/// # Errors
/// A name that no policy has; what cannot be built, or breaks a rule for policies.
pub fn build(names: &[&str]) -> Result<Vec<BuiltPolicy>> {
    let built = build_where(|name| names.contains(&name))?;
    for name in names {
        if !built.iter().any(|policy| policy.name == *name) {
            bail!("no policy of this workspace is named `{name}`: see `cargo xtask policies`");
        }
    }
    Ok(built)
}

fn build_where(wanted: impl Fn(&str) -> bool) -> Result<Vec<BuiltPolicy>> {
    let workspace = compile::Workspace::read()?;
    let packages: Vec<_> = workspace.policies.iter().filter(|one| wanted(&one.name)).collect();
    workspace.compile(&packages)?;
    packages.into_iter().map(|package| finish(&workspace, package)).collect()
}

/// Makes a component of a compiled module, checks it and puts it in its place.
fn finish(workspace: &compile::Workspace, package: &compile::Package) -> Result<BuiltPolicy> {
    let name = &package.name;
    let module_path = workspace.module(package);
    let module = fs::read(&module_path)
        .with_context(|| format!("cannot read the module {}", module_path.display()))?;
    let component = tidegate_pack::encode(&module)
        .with_context(|| format!("cannot make a component of the policy `{name}`"))?;
    let interfaces =
        tidegate_pack::interfaces(&component).with_context(|| format!("the policy `{name}`"))?;
    if component.len() > MAX_COMPONENT_BYTES {
        bail!(
            "the policy `{name}` has {} bytes, more than the {MAX_COMPONENT_BYTES} allowed here: \
             use fewer dependencies, or fewer of their features",
            component.len()
        );
    }
    let path = workspace.target_directory.join("policies").join(format!("{name}.wasm"));
    replace(&path, &component)?;
    Ok(BuiltPolicy {
        name: name.clone(),
        in_library: package.in_library,
        component: path,
        size_bytes: component.len(),
        gzip: tidegate_pack::gzip(&component)?,
        sha256: hex::encode(Sha256::digest(&component)),
        imports: interfaces.imports,
        exports: interfaces.exports,
    })
}

/// Writes a file so that whoever reads it at the same time sees the old bytes or the new ones, never a part.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    let draft = path.with_extension(format!("{}.part", process::id()));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&draft, bytes))
        .and_then(|()| fs::rename(&draft, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn table(built: &[BuiltPolicy]) -> String {
    let mut text = String::from("policy           bytes    gzip  sha256\n");
    let here = env::current_dir().unwrap_or_default();
    for policy in built {
        let path = policy.component.strip_prefix(&here).unwrap_or(&policy.component);
        text += &format!(
            "{:<14} {:>7} {:>7}  {}\n  file     {}\n  imports  {}\n  exports  {}\n",
            policy.name,
            policy.size_bytes,
            policy.gzip.len(),
            policy.sha256,
            path.display(),
            policy.imports.join(", "),
            policy.exports.join(", "),
        );
    }
    text
}
