//! From the reference that a set names to a policy that can be asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::ConfigMap;

use crate::{
    cluster::Cluster,
    marks::Marks,
    policy::{Digest, LoadError, Module, Pinning, Policies, PolicyRef, source},
};

/// How many places are remembered that hold what was named there: a place is some 400 bytes at most, and to forget one costs a read.
const VOUCHED_MAX: usize = 2_000;

/// The policies, and where they come from.
pub struct Modules {
    policies: Policies,
    /// Where a digest was found, by namespace and reference. A digest alone is no proof that the reference is right: another set may have brought
    /// the policy, and then a mistake would come out when the host starts anew.
    vouched: Mutex<BTreeSet<(String, String)>>,
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

/// A policy that can be asked, and where it came from.
pub struct Found {
    /// The policy.
    pub module: Module,
    /// The namespace of its ConfigMap.
    pub namespace: String,
    /// The reference to this very policy in that namespace.
    pub reference: String,
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
        Self { policies, vouched: Mutex::new(BTreeSet::new()), library, own_namespace, pinning }
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
    ) -> Result<Found, Unavailable> {
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
                let PolicyRef::ConfigMap { name, key, digest } = entry else {
                    return Err(gone(&"the library's entry names no ConfigMap"));
                };
                let namespace = &self.own_namespace;
                self.fetch(cluster, namespace, &name, key.as_deref(), digest.as_ref()).await
            }
        }
    }

    /// The very module that rendered a drain pod: from memory, or from where it came from, if that still holds the same.
    ///
    /// # Errors
    /// Why it cannot be asked. [`Unavailable::Gone`] where it is certain that it is not there any more.
    pub async fn find_again(
        &self,
        cluster: &Cluster,
        namespace: &str,
        marks: &Marks,
    ) -> Result<Module, Unavailable> {
        // The marks are as trustworthy as whoever may write pods of that namespace, who need not be allowed to read others.
        if marks.policy_namespace != namespace && marks.policy_namespace != self.own_namespace {
            return Err(Unavailable::Gone(format!(
                "the drain pod's marks name a ConfigMap of namespace {:?}, where no policy of this set can be",
                marks.policy_namespace
            )));
        }
        let digest: Digest = marks.digest.parse().map_err(|_| {
            Unavailable::Gone(format!("the drain pod's mark {:?} is no digest", marks.digest))
        })?;
        if let Some(module) = self.policies.get(&digest) {
            return Ok(module);
        }
        match PolicyRef::parse(&marks.policy, Pinning::Required) {
            Ok(PolicyRef::ConfigMap { name, key, .. }) => {
                let (namespace, key) = (&marks.policy_namespace, key.as_deref());
                let found = self.fetch(cluster, namespace, &name, key, Some(&digest)).await;
                Ok(found?.module)
            }
            Ok(PolicyRef::Library { .. }) | Err(_) => Err(Unavailable::Gone(format!(
                "the drain pod's mark {:?} names no ConfigMap",
                marks.policy
            ))),
        }
    }

    async fn fetch(
        &self,
        cluster: &Cluster,
        namespace: &str,
        name: &str,
        key: Option<&str>,
        digest: Option<&Digest>,
    ) -> Result<Found, Unavailable> {
        let found = |module: Module, key: Option<&str>| Found {
            reference: reference(name, key, module.digest()),
            namespace: namespace.to_owned(),
            module,
        };
        let module = digest.and_then(|digest| self.policies.get(digest));
        if let Some(module) = module.filter(|it| self.is_vouched(namespace, name, key, it)) {
            return Ok(found(module, key));
        }
        let map = cluster.config_map(namespace, name).await;
        let map = map.map_err(|error| Unavailable::Fault(error.to_string()))?.ok_or_else(|| {
            Unavailable::Gone(format!(
                "ConfigMap {namespace}/{name}, which holds the policy, is not there: create it, or mend tidegate.dev/policy"
            ))
        })?;
        let (picked, bytes) = pick(map, key)
            .map_err(|error| Unavailable::Gone(format!("ConfigMap {namespace}/{name}: {error}")))?;
        let loaded = self.policies.load(digest, bytes).await.map_err(|error| {
            let what = format!("ConfigMap {namespace}/{name}, entry {picked}: {error}");
            // A component that breaks a limit of compiling may pass it on a machine that is less busy.
            let may_pass = error.is_host() || matches!(error, LoadError::CompileLimits(_));
            if may_pass { Unavailable::Fault(what) } else { Unavailable::Gone(what) }
        })?;
        self.vouch(namespace, name, key, &loaded);
        Ok(found(loaded, Some(&picked)))
    }

    fn is_vouched(&self, namespace: &str, name: &str, key: Option<&str>, module: &Module) -> bool {
        let place = (namespace.to_owned(), reference(name, key, module.digest()));
        self.vouched.lock().unwrap_or_else(PoisonError::into_inner).contains(&place)
    }

    fn vouch(&self, namespace: &str, name: &str, key: Option<&str>, module: &Module) {
        let mut vouched = self.vouched.lock().unwrap_or_else(PoisonError::into_inner);
        if vouched.len() >= VOUCHED_MAX {
            vouched.clear();
        }
        vouched.insert((namespace.to_owned(), reference(name, key, module.digest())));
    }
}

fn reference(name: &str, key: Option<&str>, digest: Digest) -> String {
    let (name, key) = (name.to_owned(), key.map(str::to_owned));
    PolicyRef::ConfigMap { name, key, digest: Some(digest) }.to_string()
}

fn pick(map: ConfigMap, key: Option<&str>) -> Result<(String, Vec<u8>), source::PickError> {
    let binary = map.binary_data.unwrap_or_default();
    let binary = binary.into_iter().map(|(key, bytes)| (key, bytes.0)).collect();
    let text = map.data.unwrap_or_default();
    let picked = source::pick(&text, &binary, key)?;
    Ok((picked.key.to_owned(), picked.bytes.to_vec()))
}
