//! Loads what a place holds: reads the ConfigMap, finds the entry, and has it compiled and started once.

use k8s_openapi::api::core::v1::ConfigMap;

use super::{
    book::{Held, Kind, Read, Trouble},
    place::Place,
    turns::{Full, WAITING_MAX},
};
use crate::{
    cluster::Cluster,
    policy::{Lasts, LoadError, Policies, source},
};

/// What came of loading a place.
pub(super) struct Fetched {
    /// What it held, or why nothing came of it.
    pub(super) found: Result<Held, Trouble>,
    /// What was seen of the ConfigMap.
    pub(super) read: Read,
}

/// Loads it. A component that the host has is compared with its digest, and not compiled again.
pub(super) async fn fetch(cluster: &Cluster, policies: &Policies, place: &Place) -> Fetched {
    let (namespace, name) = &place.map;
    let map = match cluster.config_map(namespace, name).await {
        Ok(map) => map,
        Err(error) => {
            return Fetched { found: Err(passing(error.to_string())), read: Read::Nothing };
        }
    };
    let Some(map) = map else {
        let what = format!(
            "ConfigMap {namespace}/{name}, which holds the policy, is not there: create it, or mend tidegate.dev/policy"
        );
        let found = Err(Trouble { what, kind: Kind::Absent });
        return Fetched { found, read: Read::At(None) };
    };
    let read = Read::At(map.metadata.resource_version.clone());
    Fetched { found: load(policies, place, map).await, read }
}

/// What is said where too many policies of the namespace wait already.
pub(super) fn crowded(place: &Place, Full: Full) -> Fetched {
    let (namespace, name) = &place.map;
    let what = format!(
        "ConfigMap {namespace}/{name}: {WAITING_MAX} policies of namespace {namespace} wait to be loaded already; this one is tried again"
    );
    Fetched { found: Err(passing(what)), read: Read::Nothing }
}

/// What is said where the host's own code broke off.
pub(super) fn broken_off(place: &Place) -> Fetched {
    let (namespace, name) = &place.map;
    let what = format!(
        "ConfigMap {namespace}/{name}: loading its policy broke off by a mistake of the host, which its log tells; it is tried again"
    );
    Fetched { found: Err(passing(what)), read: Read::Nothing }
}

async fn load(policies: &Policies, place: &Place, map: ConfigMap) -> Result<Held, Trouble> {
    let (namespace, name) = &place.map;
    let (key, bytes) = pick(map, place.key.as_deref()).map_err(|error| Trouble {
        what: format!("ConfigMap {namespace}/{name}: {error}"),
        kind: Kind::Wrong,
    })?;
    match policies.load(place.digest.as_ref(), bytes).await {
        Ok(module) => Ok(Held { digest: module.digest(), key }),
        Err(error) => {
            let what = format!("ConfigMap {namespace}/{name}, entry {key}: {error}");
            Err(Trouble { what, kind: kind(&error) })
        }
    }
}

fn kind(error: &LoadError) -> Kind {
    match Lasts::of(error) {
        Lasts::NotAtAll => Kind::Passing,
        Lasts::For(lasts) => {
            Kind::Costly { lasts_ms: u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX) }
        }
        Lasts::Always => Kind::Wrong,
    }
}

const fn passing(what: String) -> Trouble {
    Trouble { what, kind: Kind::Passing }
}

fn pick(map: ConfigMap, key: Option<&str>) -> Result<(String, Vec<u8>), source::PickError> {
    let mut binary: std::collections::BTreeMap<String, Vec<u8>> = map
        .binary_data
        .unwrap_or_default()
        .into_iter()
        .map(|(key, bytes)| (key, bytes.0))
        .collect();
    let text = map.data.unwrap_or_default();
    let key = source::pick(&text, &binary, key)?.key.to_owned();
    let bytes = binary.remove(&key);
    let bytes = bytes.or_else(|| text.get(&key).map(|text| text.clone().into_bytes()));
    Ok((key, bytes.unwrap_or_default()))
}
