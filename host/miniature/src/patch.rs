//! What a patch makes of an object: merge patches and strategic merge patches. Nothing that the host or its tests do asks for the others.

use serde_json::{Map, Value};

use super::object::text;
use super::refusal::Refusal;

/// How a patch is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// What is named takes the place of what was there, lists as a whole.
    Merge,
    /// Some lists are merged item by item.
    Strategic,
}

/// What strikes single values from a list of texts.
const STRIKE: &str = "$deleteFromPrimitiveList/";

/// The lists that are merged item by item, with the field that tells items apart.
const MERGED_BY: [(&str, &str); 11] = [
    ("ownerReferences", "uid"),
    ("conditions", "type"),
    ("containers", "name"),
    ("initContainers", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("ports", "containerPort"),
    ("podIPs", "ip"),
    ("hostIPs", "ip"),
];

/// The list of texts to which values are added one by one.
const UNITED: &str = "finalizers";

impl Style {
    /// The style that a content type names.
    pub fn of(content_type: &str) -> Result<Self, Refusal> {
        match content_type {
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic),
            other => Err(Refusal::not_played(&format!("patches of the type {other:?}"))),
        }
    }
}

/// The object as the patch makes it.
pub fn patched(object: &Value, patch: &Value, style: Style) -> Result<Value, Refusal> {
    let mut after = object.clone();
    merge(&mut after, patch, style)?;
    Ok(after)
}

fn merge(into: &mut Value, patch: &Value, style: Style) -> Result<(), Refusal> {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return Ok(());
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    for (key, value) in patch {
        let items = value.as_array().filter(|_| style == Style::Strategic);
        if key.starts_with('$') {
            directive(into, key, value, style)?;
        } else if value.is_null() {
            into.as_object_mut().map(|fields| fields.remove(key));
        } else if let Some(items) = items {
            merge_list(&mut into[key.as_str()], key, items)?;
        } else {
            merge(&mut into[key.as_str()], value, style)?;
        }
    }
    Ok(())
}

fn directive(into: &mut Value, key: &str, value: &Value, style: Style) -> Result<(), Refusal> {
    let struck = key.strip_prefix(STRIKE).filter(|_| style == Style::Strategic);
    let (Some(list), Some(values)) = (struck, value.as_array()) else {
        return Err(Refusal::not_played(&format!("the directive {key:?} of a patch")));
    };
    if let Some(items) = into[list].as_array_mut() {
        items.retain(|item| !values.contains(item));
    }
    Ok(())
}

fn merge_list(into: &mut Value, name: &str, items: &[Value]) -> Result<(), Refusal> {
    let key = MERGED_BY.iter().find(|(list, _)| *list == name).map(|(_, key)| *key);
    let is_merged = into.is_array() && (key.is_some() || name == UNITED);
    if !is_merged {
        *into = Value::Array(items.to_vec());
    }
    let Some(list) = into.as_array_mut().filter(|_| is_merged) else {
        return Ok(());
    };
    for item in items {
        match key {
            None if list.contains(item) => {}
            None => list.push(item.clone()),
            Some(key) => {
                let is_same = |it: &&mut Value| it[key] == item[key];
                let known = list.iter_mut().find(is_same);
                if text(item, "/$patch") == "delete" {
                    list.retain(|it| it[key] != item[key]);
                } else if let Some(known) = known {
                    merge(known, item, Style::Strategic)?;
                } else {
                    list.push(item.clone());
                }
            }
        }
    }
    Ok(())
}
