//! A PersistentVolumeClaim, as far as it matters here.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::{lean_meta, or_default};

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ClaimObject {
    /// Its metadata.
    #[serde(deserialize_with = "lean_meta")]
    pub metadata: ObjectMeta,
    /// Its spec.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: ClaimSpec,
    /// Its status.
    #[serde(default, deserialize_with = "or_default")]
    pub status: ClaimStatus,
}

/// Its spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimSpec {
    /// How the volume may be mounted.
    #[serde(default, deserialize_with = "or_default")]
    pub access_modes: Vec<String>,
    /// The class that it was made from.
    pub storage_class_name: Option<String>,
    /// The volume that it is bound to.
    pub volume_name: Option<String>,
}

/// Its status.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ClaimStatus {
    /// `Pending`, `Bound` or `Lost`.
    pub phase: Option<String>,
    /// What the volume holds, as quantities.
    #[serde(default, deserialize_with = "or_default")]
    pub capacity: BTreeMap<String, String>,
}
