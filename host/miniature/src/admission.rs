//! What the API server makes of an object before it keeps it: defaults, and what it refuses.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::kind::Kind;
use super::object::{finalizers, is_deleted, name, owners};
use super::refusal::Refusal;

/// The finalizer that holds a claim while a pod uses it.
pub const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";

/// What may be changed of a set's spec.
const SET_MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// How strictly a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// What is not known is left out.
    Lenient,
    /// What is not known is refused.
    Strict,
}

/// Refuses a body that is no object of its kind.
pub fn read(kind: Kind, body: &Value, reading: Reading) -> Result<(), Refusal> {
    match kind {
        Kind::Pod => typed::<Pod>(kind, body, reading),
        Kind::Claim => typed::<PersistentVolumeClaim>(kind, body, reading),
        Kind::Set => typed::<StatefulSet>(kind, body, reading),
        Kind::Namespace | Kind::Node | Kind::ConfigMap | Kind::Event | Kind::Lease => Ok(()),
    }
}

/// Fills in what a new object does not say.
pub fn complete(kind: Kind, object: &mut Value) {
    match kind {
        Kind::Pod => {
            object["status"] = json!({ "phase": "Pending" });
            default(object, "restartPolicy", json!("Always"));
            default(object, "terminationGracePeriodSeconds", json!(30));
        }
        Kind::Claim => {
            object["status"] = json!({ "phase": "Pending" });
            object["metadata"]["finalizers"] = json!([CLAIM_PROTECTION]);
            default(object, "volumeMode", json!("Filesystem"));
        }
        Kind::Set => {
            object["status"] = json!({ "replicas": 0 });
            default(object, "replicas", json!(1));
            default(object, "podManagementPolicy", json!("OrderedReady"));
            let retained = json!({ "whenScaled": "Retain", "whenDeleted": "Retain" });
            default(object, "persistentVolumeClaimRetentionPolicy", retained);
        }
        Kind::Namespace => {
            object["spec"] = json!({ "finalizers": ["kubernetes"] });
            object["status"] = json!({ "phase": "Active" });
        }
        Kind::Node | Kind::ConfigMap | Kind::Event | Kind::Lease => {}
    }
}

/// Refuses what an update may not do.
pub fn may_become(kind: Kind, before: &Value, after: &Value) -> Result<(), Refusal> {
    let invalid = |field: &str, why: &str| Err(Refusal::invalid(kind, name(before), field, why));
    if before["metadata"]["uid"] != after["metadata"]["uid"] {
        return invalid("metadata.uid", "field is immutable");
    }
    let (old, new) = (finalizers(before), finalizers(after));
    let added: Vec<&&str> = new.iter().filter(|it| !old.contains(it)).collect();
    if is_deleted(before) && !added.is_empty() {
        let why = "Forbidden: no new finalizers can be added if the object is being deleted";
        return invalid("metadata.finalizers", &format!("{why}, found new finalizers {added:?}"));
    }
    well_owned(kind, after)?;
    match kind {
        Kind::Set => {
            let differs = |key: &String| before["spec"].get(key) != after["spec"].get(key);
            let mut keys = after["spec"].as_object().into_iter().flat_map(|spec| spec.keys());
            let immutable = |key: &&String| !SET_MUTABLE.contains(&key.as_str());
            match keys.find(|key| immutable(key) && differs(key)) {
                Some(key) => {
                    invalid("spec", &format!("Forbidden: updates to {key:?} are forbidden"))
                }
                None => Ok(()),
            }
        }
        Kind::Pod if before["spec"] != after["spec"] => {
            invalid("spec", "Forbidden: pod updates may not change fields other than a few")
        }
        Kind::Claim if before["spec"] != after["spec"] => {
            invalid("spec", "Forbidden: spec is immutable after creation")
        }
        Kind::ConfigMap
            if before["immutable"] == true && before["binaryData"] != after["binaryData"] =>
        {
            invalid("binaryData", "Forbidden: field is immutable when `immutable` is set")
        }
        Kind::Namespace
        | Kind::Node
        | Kind::ConfigMap
        | Kind::Pod
        | Kind::Claim
        | Kind::Event
        | Kind::Lease => Ok(()),
    }
}

/// Refuses owner references that name nobody, or two that both direct the object.
pub fn well_owned(kind: Kind, object: &Value) -> Result<(), Refusal> {
    let field = "metadata.ownerReferences";
    for owner in owners(object) {
        if [owner.uid(), owner.name(), owner.kind(), owner.api_version()].contains(&"") {
            let why = "apiVersion, kind, name and uid must not be empty";
            return Err(Refusal::invalid(kind, name(object), field, why));
        }
    }
    if owners(object).filter(|owner| owner.is_controller()).count() > 1 {
        let why = "Only one reference can have Controller set to true";
        return Err(Refusal::invalid(kind, name(object), field, why));
    }
    Ok(())
}

fn default(object: &mut Value, field: &str, value: Value) {
    if object["spec"][field].is_null() {
        object["spec"][field] = value;
    }
}

fn typed<K: DeserializeOwned + Serialize>(
    kind: Kind,
    body: &Value,
    reading: Reading,
) -> Result<(), Refusal> {
    let version = kind.api_version();
    let refused = |why: String| {
        let word = kind.word();
        Refusal::bad_request(format!(
            "{word} in version {version:?} cannot be handled as a {word}: {why}"
        ))
    };
    let read: K =
        serde_json::from_value(body.clone()).map_err(|error| refused(error.to_string()))?;
    let known = serde_json::to_value(read).map_err(|error| refused(error.to_string()))?;
    match unknown(body, &known, "") {
        Some(field) if reading == Reading::Strict => {
            Err(refused(format!("strict decoding error: unknown field {field:?}")))
        }
        Some(_) | None => Ok(()),
    }
}

/// The first field of the body that was not understood.
fn unknown(body: &Value, known: &Value, path: &str) -> Option<String> {
    match (body, known) {
        (Value::Null, _) => None,
        (Value::Object(fields), Value::Object(known)) => {
            fields.iter().find_map(|(key, value)| match known.get(key) {
                _ if value.is_null() => None,
                None => Some(format!("{path}{key}")),
                Some(known) => unknown(value, known, &format!("{path}{key}.")),
            })
        }
        (Value::Array(items), Value::Array(known)) => {
            let mut pairs = items.iter().zip(known).enumerate();
            pairs.find_map(|(at, (item, known))| unknown(item, known, &format!("{path}[{at}].")))
        }
        _ => None,
    }
}
