//! `tidegate policy pack`: the ConfigMap that brings a component into a cluster.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use k8s_openapi::ByteString;

use super::args::PackArgs;
use super::build::ensure_fresh;
use super::load::{load, read};
use super::{Outcome, say};
use crate::policy::unpack::unpack;
use crate::policy::{Pinning, PolicyRef};

/// The entry of the ConfigMap.
const KEY: &str = "policy.wasm.gz";

/// Digits of the digest in the ConfigMap's name: enough that two versions of one policy never have the same.
const DIGEST_DIGITS: usize = 10;

/// Bytes of all entries of a ConfigMap: Kubernetes' own limit.
const CONFIG_MAP_MAX_BYTES: usize = 1024 * 1024;

/// Bytes of a packed policy up to which `kubectl apply` works: it writes the whole manifest, in base64, into an annotation, and all annotations
/// together may have 256 KiB.
const APPLY_MAX_BYTES: usize = 190_000;

/// Prints the manifest of a component that the host would take, and says what to do with it.
pub(super) async fn pack(args: &PackArgs) -> anyhow::Result<Outcome> {
    let module = load(&args.file).await?;
    ensure_fresh(&args.file)?;
    let component =
        unpack(read(&args.file)?).with_context(|| format!("{}", args.file.display()))?;
    let packed = tidegate_pack::gzip(&component)?;
    if packed.len() > CONFIG_MAP_MAX_BYTES {
        bail!(
            "{}: it has {} bytes when packed, and a ConfigMap takes {CONFIG_MAP_MAX_BYTES}: use fewer dependencies",
            args.file.display(),
            packed.len()
        );
    }
    let digest = module.digest().to_string();
    let name = format!("{}-{}", base_name(args)?, &digest[..DIGEST_DIGITS]);
    let reference = format!("{name}/{KEY}@sha256:{digest}");
    if PolicyRef::parse(&reference, Pinning::Required).is_err() {
        bail!(
            "{name:?} is no ConfigMap's name: give one of lower-case letters, digits and `-` with --name"
        );
    }
    if args.reference {
        return say(&reference).map(|()| Outcome::Good);
    }
    let manifest = manifest(&name, &packed)?;
    let file = match &args.output {
        Some(file) => {
            if is_same(file, &args.file) {
                bail!(
                    "-o {}: it is the component itself, which would be lost: name another file, as in NAME.yaml",
                    file.display()
                );
            }
            fs::write(file, &manifest)
                .with_context(|| format!("{}: it cannot be written", file.display()))?;
            file.display().to_string()
        }
        None => {
            write!(std::io::stdout().lock(), "{manifest}")?;
            "-".to_owned()
        }
    };
    let apply = if packed.len() > APPLY_MAX_BYTES { "apply --server-side" } else { "apply" };
    advise(&[
        format!("{} bytes, {} packed", component.len(), packed.len()),
        format!("kubectl {apply} -n NAMESPACE -f {file}"),
        format!(
            "kubectl annotate statefulset -n NAMESPACE SET --overwrite tidegate.dev/policy={reference}"
        ),
    ])
}

/// Whether both paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|it| (it.dev(), it.ino()));
    identity(one).is_some_and(|it| Some(it) == identity(other))
}

/// On standard error where the manifest is on standard output, so that it can be piped into kubectl.
fn advise(lines: &[String]) -> anyhow::Result<Outcome> {
    let mut stderr = std::io::stderr().lock();
    for line in lines {
        writeln!(stderr, "{line}")?;
    }
    Ok(Outcome::Good)
}

fn base_name(args: &PackArgs) -> anyhow::Result<String> {
    if let Some(name) = &args.name {
        return Ok(name.clone());
    }
    let file = args.file.file_name().map(|name| name.to_string_lossy().into_owned());
    let file = file.unwrap_or_default();
    match file.split('.').next() {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        Some(_) | None => bail!("--name: the file gives none"),
    }
}

fn manifest(name: &str, packed: &[u8]) -> anyhow::Result<String> {
    let data = serde_json::to_value(ByteString(packed.to_vec()))?;
    let data = data.as_str().unwrap_or_default();
    Ok(format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\nimmutable: true\nbinaryData:\n  {KEY}: {data}\n"
    ))
}
