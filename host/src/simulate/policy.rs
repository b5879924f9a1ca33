//! The policy of a simulated passage: where its bytes come from, and the ConfigMap that the host finds it in.

use std::{collections::BTreeMap, fs, path::Path};

use k8s_openapi::{ByteString, api::core::v1::ConfigMap};
use kube::api::ObjectMeta;
use serde_json::{Value, json};
use tidegate_core::settings;

use super::{args::SimulateArgs, fault::Fault, manifest};
use crate::policy::{Digest, Module, Pinning, Policies, PolicyRef, unpack::unpack};

/// The entry of the ConfigMap.
const KEY: &str = "policy.wasm";
/// The ConfigMap of a policy that came from a file and has no other.
const NAME: &str = "policy";
/// What a reference to the library begins with.
const LIBRARY: &str = "library:";

/// A policy that can be asked, and where it lies in the simulated cluster.
pub struct Placed {
    /// It.
    pub module: Module,
    /// Its ConfigMap's namespace.
    pub namespace: String,
    /// Its ConfigMap.
    pub map: Value,
    /// The host's library: the policy alone, where the set names it so.
    pub library: BTreeMap<String, String>,
    /// What its bytes are called.
    pub place: String,
    /// What a person should know of it.
    pub note: Option<String>,
}

/// What a policy's bytes are called, and they.
pub type Bytes = (String, Vec<u8>);

/// Loads a policy as the host does, and has the set name it. `place` is what its bytes are called.
///
/// # Errors
/// Where the host would not load it.
pub async fn place(
    (place, bytes): Bytes,
    set: &mut Value,
    own_namespace: &str,
    policies: &Policies,
) -> Result<Placed, Fault> {
    let named = manifest::policy_of(set).map(str::to_owned);
    let fault = |error: crate::policy::LoadError| Fault::Input(format!("{place}: {error}"));
    let digest = Digest::of(&unpack(bytes.clone()).map_err(fault)?);
    let module = policies.load(None, bytes.clone()).await.map_err(fault)?;
    let pinned = |name: &str| PolicyRef::ConfigMap {
        name: name.to_owned(),
        key: Some(KEY.to_owned()),
        digest: Some(digest),
    };
    let of_library = named.as_deref().and_then(|named| named.strip_prefix(LIBRARY));
    if let Some(name) = of_library {
        let library = BTreeMap::from([(name.to_owned(), pinned(name).to_string())]);
        let namespace = own_namespace.to_owned();
        return Ok(Placed { module, map: map(name, bytes), namespace, library, place, note: None });
    }
    let before = named.as_deref().map(referred).transpose()?;
    let (name, note) = match (before, &named) {
        (Some(PolicyRef::ConfigMap { name, digest: Some(before), .. }), _) => {
            let note = (before != digest).then(|| {
                format!("{place} is sha256:{digest}, and the set pins sha256:{before}: the file is taken")
            });
            (name, note)
        }
        (Some(PolicyRef::ConfigMap { name, digest: None, .. }), Some(named)) => (
            name,
            Some(format!(
                "the set names {named} without a digest, which a host takes with --allow-unpinned alone"
            )),
        ),
        (Some(PolicyRef::ConfigMap { .. } | PolicyRef::Library { .. }) | None, _) => {
            (NAME.to_owned(), None)
        }
    };
    manifest::annotate(set, settings::POLICY, &pinned(&name).to_string());
    let namespace = set["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    let map = map(&name, bytes);
    Ok(Placed { module, map, namespace, library: BTreeMap::new(), place, note })
}

/// The component's bytes out of the files that are given, and what they are called.
///
/// # Errors
/// Where none is given, or it cannot be read.
pub fn from_files(args: &SimulateArgs, named: Option<&str>) -> Result<Bytes, Fault> {
    let read = |path: &Path| {
        let bytes = fs::read(path).map_err(|error| Fault::unreadable(path, &error))?;
        Ok((path.display().to_string(), bytes))
    };
    if let Some(path) = &args.policy {
        return read(path);
    }
    let Some(named) = named else {
        return Err(Fault::Input(
            "the set names no policy: annotate it with tidegate.dev/policy, or give --policy FILE"
                .to_owned(),
        ));
    };
    match (named.strip_prefix(LIBRARY), &args.library) {
        (Some(name), Some(folder)) => read(&folder.join(format!("{name}.wasm"))),
        (Some(name), None) => Err(Fault::Input(format!(
            "the set names {named}, which an install brings and this command does not: give --policy FILE, or --library DIR with {name}.wasm in it (`cargo xtask policies` fills target/policies)"
        ))),
        (None, _) => Err(referred(named).err().unwrap_or_else(|| Fault::Input(format!(
            "the set names {named}, a ConfigMap that is not here: give its component with --policy FILE"
        )))),
    }
}

/// What the annotation's value says.
fn referred(named: &str) -> Result<PolicyRef, Fault> {
    PolicyRef::parse(named, Pinning::Optional).map_err(|error| {
        Fault::Input(format!("annotation {}: {named:?}: {error}", settings::POLICY))
    })
}

fn map(name: &str, bytes: Vec<u8>) -> Value {
    json!(ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        binary_data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(bytes))])),
        immutable: Some(true),
        ..ConfigMap::default()
    })
}
