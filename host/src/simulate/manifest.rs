//! The StatefulSet out of a manifest.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tidegate_core::settings;
use tidegate_miniature::admission::{Reading, read as read_as};
use tidegate_miniature::kind::Kind;
use tidegate_miniature::refusal::Refusal;

use super::{fault::Fault, script::REPLICAS_MAX};

/// What the API server alone writes.
const SERVERS_OWN: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
];

/// The namespace of a manifest that names none.
const NAMESPACE: &str = "default";

/// Reads the first StatefulSet of a file, as it would be applied to an empty cluster.
///
/// # Errors
/// Where the file cannot be read or understood, or holds no StatefulSet.
pub fn read(path: &Path) -> Result<Value, Fault> {
    let text = fs::read_to_string(path).map_err(|error| Fault::unreadable(path, &error))?;
    // A manifest in JSON is one in YAML too.
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|error| ill_written(path, &error))?;
    let objects: Vec<Value> = documents.into_iter().flat_map(items).collect();
    let is_set =
        |object: &&Value| object["kind"] == "StatefulSet" && object["apiVersion"] == "apps/v1";
    match objects.iter().find(is_set) {
        Some(set) => {
            let refused = |refusal: Refusal| Fault::unreadable(path, &refusal.message());
            read_as(Kind::Set, set, Reading::Lenient).map_err(refused)?;
            let replicas = set.pointer("/spec/replicas").and_then(Value::as_i64);
            if replicas.is_some_and(|replicas| !(0..=i64::from(REPLICAS_MAX)).contains(&replicas)) {
                let mend = format!("spec.replicas: 0 to {REPLICAS_MAX} are simulated");
                return Err(Fault::unreadable(path, &mend));
            }
            Ok(fresh(set.clone()))
        }
        None => {
            let kinds = objects.iter().filter_map(|object| object["kind"].as_str());
            let kinds: Vec<&str> = kinds.collect();
            let found = if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") };
            Err(Fault::unreadable(
                path,
                &format!("no StatefulSet of apps/v1 is in it, but {found}: name a file with one"),
            ))
        }
    }
}

/// The set's annotation, where it has one.
#[must_use]
pub fn annotation<'a>(set: &'a Value, key: &str) -> Option<&'a str> {
    set["metadata"]["annotations"].get(key)?.as_str()
}

/// Gives the set an annotation.
pub fn annotate(set: &mut Value, key: &str, value: &str) {
    set["metadata"]["annotations"][key] = json!(value);
}

/// What the set names for its policy: a set with only the predecessor's annotation names the library's `pod-template`.
#[must_use]
pub fn policy_of(set: &Value) -> Option<&str> {
    let inherits = settings::PREDECESSOR.iter().any(|key| annotation(set, key).is_some());
    annotation(set, settings::POLICY).or_else(|| inherits.then_some(settings::PREDECESSOR_POLICY))
}

fn ill_written(path: &Path, error: &serde_saphyr::Error) -> Fault {
    let why = error.without_snippet().to_string();
    Fault::Input(format!("{}: {}", path.display(), why.trim_start_matches("error: ")))
}

/// The items of a list, which is how `kubectl get` writes several objects.
fn items(document: Value) -> Vec<Value> {
    match document["kind"].as_str() {
        Some("List") => document["items"].as_array().cloned().unwrap_or_default(),
        Some(_) | None if document.is_null() => Vec::new(),
        Some(_) | None => vec![document],
    }
}

fn fresh(mut set: Value) -> Value {
    if let Some(fields) = set.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = set["metadata"].as_object_mut() {
        for field in SERVERS_OWN {
            metadata.remove(field);
        }
    }
    if set["metadata"]["namespace"].as_str().is_none_or(str::is_empty) {
        set["metadata"]["namespace"] = json!(NAMESPACE);
    }
    set
}
