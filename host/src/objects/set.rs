//! A StatefulSet, as far as it matters here.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Value, json};
use tidegate_core::settings;

use super::or_default;

/// The annotation in which kubectl repeats the whole set.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A StatefulSet.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SetObject {
    /// Its metadata. Of the annotations, ours and the predecessor's have their values, others a digest of them, and kubectl's copy of the whole is left out.
    #[serde(deserialize_with = "set_meta")]
    pub metadata: ObjectMeta,
    /// Its spec.
    #[serde(default, deserialize_with = "set_spec")]
    pub spec: SetSpec,
}

/// Tells one form of a set from another that a policy would be shown. Nothing rests on it that could lose data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Differs where spec, labels or annotations do.
    pub whole: u64,
    /// The same, but for how many replicas the set has.
    pub but_size: u64,
}

impl SetObject {
    /// What a policy would be shown of it, in two numbers.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let ObjectMeta { annotations, labels, generation, .. } = &self.metadata;
        let mut hasher = DefaultHasher::new();
        for (key, value) in
            annotations.iter().flatten().filter(|(key, _)| *key != settings::TOUCHED)
        {
            (key, value).hash(&mut hasher);
        }
        (labels, self.spec.but_size).hash(&mut hasher);
        let but_size = hasher.finish();
        generation.hash(&mut hasher);
        Shown { whole: hasher.finish(), but_size }
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
    /// A number that differs where anything of it does but the number of replicas: the template of the pods, for one, which is large and not kept.
    #[serde(skip)]
    pub but_size: u64,
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

fn set_spec<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SetSpec, D::Error> {
    let mut whole = Option::<Value>::deserialize(deserializer)?.unwrap_or_else(|| json!({}));
    let mut spec = SetSpec::deserialize(&whole).map_err(D::Error::custom)?;
    if let Some(fields) = whole.as_object_mut() {
        fields.remove("replicas");
    }
    let mut hasher = DefaultHasher::new();
    whole.to_string().hash(&mut hasher);
    spec.but_size = hasher.finish();
    Ok(spec)
}

fn set_meta<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let mut meta = super::lean_meta(deserializer)?;
    let is_known =
        |key: &str| key.starts_with(settings::PREFIX) || settings::PREDECESSOR.contains(&key);
    let digest = |value: &str| {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    };
    let kept: BTreeMap<String, String> = meta
        .annotations
        .unwrap_or_default()
        .into_iter()
        .filter(|(key, _)| key != LAST_APPLIED)
        .map(|(key, value)| {
            if is_known(&key) {
                (key, value)
            } else {
                let digest = digest(&value);
                (key, digest)
            }
        })
        .collect();
    meta.annotations = (!kept.is_empty()).then_some(kept);
    Ok(meta)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(change: impl FnOnce(&mut Value)) -> Shown {
        let mut set = json!({
            "metadata": {
                "generation": 1,
                "labels": { "app": "web" },
                "annotations": { "tidegate.dev/policy": "library:exec", "example.com/port": "80" },
            },
            "spec": {
                "replicas": 2,
                "template": { "spec": { "containers": [{ "name": "web" }] } },
                "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain" },
            },
        });
        change(&mut set);
        serde_json::from_value::<SetObject>(set).unwrap().shown()
    }

    #[test]
    fn what_a_policy_would_be_shown_is_told_apart() {
        let before = shown(|_| {});
        let scaled = shown(|set| {
            set["spec"]["replicas"] = json!(3);
            set["metadata"]["generation"] = json!(2);
        });
        assert!(scaled.but_size == before.but_size && scaled.whole != before.whole);
        for (place, value) in [
            ("/metadata/labels/app", "shop"),
            ("/metadata/annotations/tidegate.dev~1policy", "library:keep"),
            ("/metadata/annotations/example.com~1port", "81"),
            ("/spec/template/spec/containers/0/name", "store"),
            ("/spec/persistentVolumeClaimRetentionPolicy/whenDeleted", "Delete"),
        ] {
            let other = shown(|set| *set.pointer_mut(place).unwrap() = json!(value));
            assert_ne!(other.but_size, before.but_size, "{place}");
        }
        for key in [settings::TOUCHED, LAST_APPLIED] {
            let same = shown(|set| set["metadata"]["annotations"][key] = json!("1"));
            assert_eq!(same, before, "{key}");
        }
    }
}
