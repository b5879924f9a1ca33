//! Where a policy lies, by the reference on a set or by the marks of a drain pod.

use std::collections::BTreeMap;

use crate::{
    marks::Marks,
    policy::{Digest, Pinning, PolicyRef},
    watch::Key,
};

/// An entry of a ConfigMap, and what it must hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The ConfigMap.
    pub(super) map: Key,
    /// The entry; none where the ConfigMap has only one.
    pub(super) key: Option<String>,
    /// The digest that is asked for; none where whatever the entry holds is the policy.
    pub(super) digest: Option<Digest>,
}

impl Place {
    /// The first of all places of this ConfigMap, in their order.
    pub(super) fn first_of(map: &Key) -> Self {
        Self { map: map.clone(), key: None, digest: None }
    }
}

/// What a reference is read with.
pub struct Sources {
    /// The references of the library, by name.
    pub library: BTreeMap<String, String>,
    /// The namespace of the library's ConfigMaps.
    pub own_namespace: String,
    /// Whether a reference must name a digest.
    pub pinning: Pinning,
}

impl Sources {
    /// Where the policy lies that this reference of a set of this namespace names.
    ///
    /// # Errors
    /// What is wrong with the reference, with the mend.
    pub(super) fn place(&self, namespace: &str, reference: &str) -> Result<Place, String> {
        let wrong = |error: &dyn std::fmt::Display| {
            format!("annotation tidegate.dev/policy: {reference:?}: {error}")
        };
        let named = PolicyRef::parse(reference, self.pinning).map_err(|error| wrong(&error))?;
        match named {
            PolicyRef::ConfigMap { name, key, digest } => {
                Ok(Place { map: (namespace.to_owned(), name), key, digest })
            }
            PolicyRef::Library { name } => {
                let listed = self.library.get(&name).ok_or_else(|| {
                    let known: Vec<&str> = self.library.keys().map(String::as_str).collect();
                    wrong(&format!("the host's library has no {name:?}, only {}", known.join(", ")))
                })?;
                let entry =
                    PolicyRef::parse(listed, Pinning::Required).map_err(|error| wrong(&error))?;
                let PolicyRef::ConfigMap { name, key, digest } = entry else {
                    return Err(wrong(&"the library's entry names no ConfigMap"));
                };
                Ok(Place { map: (self.own_namespace.clone(), name), key, digest })
            }
        }
    }

    /// Where the very policy lay that rendered a drain pod of this namespace.
    ///
    /// # Errors
    /// Why there is no such place.
    pub(super) fn of_marks(&self, namespace: &str, marks: &Marks) -> Result<Place, String> {
        // The marks are as trustworthy as whoever may write pods of that namespace, who need not be allowed to read others.
        if marks.policy_namespace != namespace && marks.policy_namespace != self.own_namespace {
            return Err(format!(
                "the drain pod's marks name a ConfigMap of namespace {:?}, where no policy of this set can be",
                marks.policy_namespace
            ));
        }
        let digest: Digest = marks
            .digest
            .parse()
            .map_err(|_| format!("the drain pod's mark {:?} is no digest", marks.digest))?;
        match PolicyRef::parse(&marks.policy, Pinning::Required) {
            Ok(PolicyRef::ConfigMap { name, key, .. }) => {
                let map = (marks.policy_namespace.clone(), name);
                Ok(Place { map, key, digest: Some(digest) })
            }
            Ok(PolicyRef::Library { .. }) | Err(_) => {
                Err(format!("the drain pod's mark {:?} names no ConfigMap", marks.policy))
            }
        }
    }
}
