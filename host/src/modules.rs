//! From the reference that a set names to a policy that can be asked.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use crate::{
    cluster::Cluster,
    policy::{Digest, Module, Pinning, Policies, PolicyRef, source},
};

/// The policies, and where they come from.
pub struct Modules {
    policies: Policies,
    library: BTreeMap<String, String>,
    own_namespace: String,
    pinning: Pinning,
}

/// Why a policy cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// It is not there: what was named does not exist, or is something else.
    Gone(String),
    /// It could not be had; trying again may help.
    Fault(String),
}

impl Modules {
    /// Policies out of ConfigMaps, with this library of references by name.
    #[must_use]
    pub const fn new(
        policies: Policies,
        library: BTreeMap<String, String>,
        own_namespace: String,
        pinning: Pinning,
    ) -> Self {
        Self { policies, library, own_namespace, pinning }
    }

    /// The policy that this reference of a set of this namespace names.
    ///
    /// # Errors
    /// Why it cannot be asked, with the mend.
    pub async fn find(
        &self,
        cluster: &Cluster,
        namespace: &str,
        reference: &str,
    ) -> Result<Module, Unavailable> {
        let gone = |error: &dyn std::fmt::Display| {
            Unavailable::Gone(format!("annotation tidegate.dev/policy: {reference:?}: {error}"))
        };
        match PolicyRef::parse(reference, self.pinning).map_err(|error| gone(&error))? {
            PolicyRef::ConfigMap { name, key, digest } => {
                self.fetch(cluster, namespace, &name, key.as_deref(), digest.as_ref()).await
            }
            PolicyRef::Library { name } => {
                let listed = self.library.get(&name).ok_or_else(|| {
                    let known: Vec<&str> = self.library.keys().map(String::as_str).collect();
                    gone(&format!("the host's library has no {name:?}, only {}", known.join(", ")))
                })?;
                let entry =
                    PolicyRef::parse(listed, Pinning::Required).map_err(|error| gone(&error))?;
                match entry {
                    PolicyRef::ConfigMap { name, key, digest } => {
                        let key = key.as_deref();
                        self.fetch(cluster, &self.own_namespace, &name, key, digest.as_ref()).await
                    }
                    PolicyRef::Library { .. } => {
                        Err(gone(&"the library's entry names no ConfigMap"))
                    }
                }
            }
        }
    }

    /// The very module of this digest: from memory, or from where the reference says, if that is still the same.
    ///
    /// # Errors
    /// Why it cannot be asked. [`Unavailable::Gone`] where it is certain that what the reference names is another module.
    pub async fn find_exactly(
        &self,
        cluster: &Cluster,
        namespace: &str,
        reference: &str,
        digest: &str,
    ) -> Result<Module, Unavailable> {
        let wanted: Digest = digest.parse().map_err(|_| {
            Unavailable::Gone(format!("the drain pod's mark {digest:?} is no digest"))
        })?;
        if let Some(module) = self.policies.get(&wanted) {
            return Ok(module);
        }
        let module = self.find(cluster, namespace, reference).await?;
        if module.digest() == wanted {
            Ok(module)
        } else {
            Err(Unavailable::Gone(format!(
                "{reference:?} is another module now than the one that rendered the drain pod (sha256:{digest})"
            )))
        }
    }

    async fn fetch(
        &self,
        cluster: &Cluster,
        namespace: &str,
        name: &str,
        key: Option<&str>,
        digest: Option<&Digest>,
    ) -> Result<Module, Unavailable> {
        if let Some(module) = digest.and_then(|digest| self.policies.get(digest)) {
            return Ok(module);
        }
        let map = cluster.config_map(namespace, name).await;
        let map = map.map_err(|error| Unavailable::Fault(error.to_string()))?.ok_or_else(|| {
            Unavailable::Gone(format!(
                "ConfigMap {namespace}/{name}, which holds the policy, is not there: create it, or mend tidegate.dev/policy"
            ))
        })?;
        let (key, bytes) = pick(map, key)
            .map_err(|error| Unavailable::Gone(format!("ConfigMap {namespace}/{name}: {error}")))?;
        self.policies.load(digest, bytes).await.map_err(|error| {
            let what = format!("ConfigMap {namespace}/{name}, entry {key}: {error}");
            if error.is_host() { Unavailable::Fault(what) } else { Unavailable::Gone(what) }
        })
    }
}

fn pick(map: ConfigMap, key: Option<&str>) -> Result<(String, Vec<u8>), source::PickError> {
    let binary = map.binary_data.unwrap_or_default();
    let binary = binary.into_iter().map(|(key, bytes)| (key, bytes.0)).collect();
    let text = map.data.unwrap_or_default();
    let picked = source::pick(&text, &binary, key)?;
    Ok((picked.key.to_owned(), picked.bytes.to_vec()))
}
