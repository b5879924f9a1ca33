//! A StatefulSet, as far as it matters here.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};
use tidegate_core::settings;

use super::or_default;

/// A StatefulSet.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SetObject {
    /// Its metadata; of the annotations, ours and the predecessor's.
    #[serde(deserialize_with = "set_meta")]
    pub metadata: ObjectMeta,
    /// Its spec.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: SetSpec,
}

impl SetObject {
    /// A number that differs where the spec differs or one of the annotations that are kept here. It tells that something changed, and nothing rests on
    /// it that could lose data.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.metadata.generation, &self.metadata.annotations).hash(&mut hasher);
        hasher.finish()
    }
}

/// Its spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetSpec {
    /// Absent means 1.
    pub replicas: Option<i64>,
    /// Absent means that ordinals start at 0.
    pub ordinals: Option<Ordinals>,
    /// The service that gives its members their names.
    pub service_name: Option<String>,
    /// `OrderedReady` where absent.
    pub pod_management_policy: Option<String>,
    /// Its claim templates.
    #[serde(default, deserialize_with = "or_default")]
    pub volume_claim_templates: Vec<ClaimTemplate>,
    /// What becomes of claims.
    pub persistent_volume_claim_retention_policy: Option<Retention>,
}

/// Where the ordinals start.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Ordinals {
    /// The first ordinal.
    #[serde(default)]
    pub start: i64,
}

/// A claim template, of which the name matters.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ClaimTemplate {
    /// Its metadata.
    pub metadata: ObjectMeta,
}

/// What becomes of claims; each `Retain` or `Delete`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// On a scale-down.
    pub when_scaled: Option<String>,
    /// When the set is deleted.
    pub when_deleted: Option<String>,
}

fn set_meta<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let mut meta = super::lean_meta(deserializer)?;
    let kept: BTreeMap<String, String> = meta
        .annotations
        .unwrap_or_default()
        .into_iter()
        .filter(|(key, _)| {
            key.starts_with(settings::PREFIX) || settings::PREDECESSOR.contains(&key.as_str())
        })
        .collect();
    meta.annotations = (!kept.is_empty()).then_some(kept);
    Ok(meta)
}
