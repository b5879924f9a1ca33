//! The sets, pods and claims of a namespace, without what differs from run to run: UIDs, versions, times, nodes and addresses.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::ground::Place;

/// What a namespace holds, by kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State(BTreeMap<String, Value>);

/// The collections that are looked at.
const KINDS: &[(&str, &str)] =
    &[("apis/apps/v1", "statefulsets"), ("api/v1", "pods"), ("api/v1", "persistentvolumeclaims")];

/// The annotations whose value, or whose being there, says when something was done and nothing else: a host that comes late touches a set once
/// more than needed.
const OF_A_MOMENT: &[&str] = &["tidegate.dev/touched", "volume.kubernetes.io/selected-node"];

impl State {
    /// What there is.
    pub(crate) fn read(place: &Place, namespace: &str) -> Result<Self> {
        let mut symbols = place.history.symbols(namespace);
        let path = format!("/api/v1/namespaces/{namespace}");
        let uid = place.api.get(&path)?.unwrap_or_default()["metadata"]["uid"].take();
        symbols.insert(text(&uid), "the namespace".to_owned());
        symbols.insert(namespace.to_owned(), "the namespace".to_owned());
        let mut state = BTreeMap::new();
        for (group, kind) in KINDS {
            let path = format!("/{group}/namespaces/{namespace}/{kind}");
            for object in place.api.list(&path)? {
                let name = text(&object["metadata"]["name"]);
                state.insert(format!("{kind} {name}"), with_symbols(normal(&object), &symbols));
            }
        }
        Ok(Self(state))
    }

    /// Whether there is something of this kind and name.
    pub(crate) fn has(&self, what: &str) -> bool {
        self.0.contains_key(what)
    }

    /// What is there of this kind and name; null where nothing is.
    pub(crate) fn of(&self, what: &str) -> &Value {
        self.0.get(what).unwrap_or(&Value::Null)
    }

    /// Where another state differs, a line each; empty where it does not.
    pub(crate) fn difference(&self, other: &Self) -> String {
        let mut lines = Vec::new();
        let names: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        for name in names {
            differ(name, self.of(name), other.of(name), &mut lines);
        }
        lines.join("\n")
    }
}

fn normal(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let mut annotations = metadata["annotations"].as_object().cloned().unwrap_or_default();
    annotations.retain(|key, _| !OF_A_MOMENT.contains(&key.as_str()));
    if let Some(fence) = annotations.get_mut("tidegate.dev/fenced") {
        *fence = json!("at some time");
    }
    if let Some(record) = annotations.get_mut("tidegate.dev/record") {
        *record = timeless(record);
    }
    let mut spec = object["spec"].as_object().cloned().unwrap_or_default();
    for key in ["nodeName", "volumeName"] {
        spec.remove(key);
    }
    // The set's controller names a member's claims in any order.
    if let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) {
        volumes.sort_by_key(|volume| text(&volume["name"]));
    }
    json!({
        "labels": metadata["labels"],
        "annotations": annotations,
        "finalizers": metadata["finalizers"],
        "owners": owners(metadata),
        "is deleted": !metadata["deletionTimestamp"].is_null(),
        "uid": metadata["uid"],
        "spec": spec,
        "status": status(&object["status"]),
    })
}

/// A record without its times.
fn timeless(record: &Value) -> Value {
    let record: Value = serde_json::from_str(&text(record)).unwrap_or_default();
    let mut fields = record.as_object().cloned().unwrap_or_default();
    fields.retain(|key, _| !key.ends_with("Ms"));
    Value::Object(fields)
}

fn owners(metadata: &Value) -> Value {
    let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
    owners.map(|owner| json!({ "kind": owner["kind"], "uid": owner["uid"] })).collect()
}

/// What of a status is the same whenever it is so.
fn status(status: &Value) -> Value {
    let mut kept = Map::new();
    for key in ["phase", "replicas", "readyReplicas"] {
        if let Some(value) = status.get(key).filter(|value| **value != 0) {
            kept.insert(key.to_owned(), value.clone());
        }
    }
    Value::Object(kept)
}

fn with_symbols(object: Value, symbols: &BTreeMap<String, String>) -> Value {
    let mut text = object.to_string();
    for (uid, symbol) in symbols.iter().filter(|(uid, _)| !uid.is_empty()) {
        text = text.replace(uid.as_str(), symbol);
    }
    serde_json::from_str(&text).unwrap_or(object)
}

fn differ(at: &str, expected: &Value, found: &Value, lines: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
            for key in keys {
                differ(&format!("{at}, {key}"), &expected[key], &found[key], lines);
            }
        }
        (expected, found) if expected == found => {}
        (expected, found) => {
            lines.push(format!("{at}: undisturbed {expected}, here {found}"));
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
