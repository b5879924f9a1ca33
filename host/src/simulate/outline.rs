//! A drain pod as it is sent: whole, or what it has beyond the set's own template and what it lacks.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// How many characters of a value are shown in a difference.
const VALUE_MAX_CHARS: usize = 160;

/// How drain pods are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// As what differs from the set's template.
    Difference,
    /// Whole, as YAML.
    Whole,
}

/// The pod, as lines.
#[must_use]
pub fn of(pod: &Value, template: &Value, show: Show) -> String {
    match show {
        // Every JSON value has a form in YAML.
        Show::Whole => serde_saphyr::to_string(pod).unwrap_or_else(|_| pod.to_string()),
        Show::Difference => {
            let before = json!({ "metadata": template["metadata"], "spec": template["spec"] });
            let after = json!({ "metadata": pod["metadata"], "spec": pod["spec"] });
            let mut lines = String::new();
            compare(&before, &after, "", &mut lines);
            lines
        }
    }
}

/// `+` is what the pod has and the template lacks, `-` the reverse, `~` what is another.
fn compare(before: &Value, after: &Value, path: &str, lines: &mut String) {
    if before == after {
        return;
    }
    match (keyed(before), keyed(after)) {
        (Some(before), Some(after)) => {
            for (key, value) in &before {
                let path = joined(path, key);
                match after.get(key) {
                    Some(other) => compare(value, other, &path, lines),
                    None => one('-', &path, value, lines),
                }
            }
            for (key, value) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
                one('+', &joined(path, key), value, lines);
            }
        }
        (Some(_) | None, _) if before.is_null() => one('+', path, after, lines),
        (Some(_) | None, _) if after.is_null() => one('-', path, before, lines),
        (Some(_) | None, _) => {
            let (before, after) = (cut(before), cut(after));
            let _ = writeln!(lines, "~ {path}: {before} -> {after}");
        }
    }
}

fn one(sign: char, path: &str, value: &Value, lines: &mut String) {
    let _ = writeln!(lines, "{sign} {path}: {}", cut(value));
}

/// An object by its fields, and a list whose items have names by those.
fn keyed(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(fields) => Some(fields.clone()),
        Value::Array(items) if !items.is_empty() => {
            let named = items.iter().map(|item| {
                let name = item.get("name")?.as_str()?;
                Some((format!("[{name}]"), item.clone()))
            });
            named.collect()
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            None
        }
    }
}

/// A key with dots of its own is told from a path by its brackets.
fn joined(path: &str, key: &str) -> String {
    let is_bracketed = key.starts_with('[');
    match (path.is_empty(), key.contains('.'), is_bracketed) {
        (true, _, _) => key.to_owned(),
        (false, _, true) => format!("{path}{key}"),
        (false, true, false) => format!("{path}[{key}]"),
        (false, false, false) => format!("{path}.{key}"),
    }
}

fn cut(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= VALUE_MAX_CHARS {
        return text;
    }
    let kept: String = text.chars().take(VALUE_MAX_CHARS).collect();
    format!("{kept}…")
}
