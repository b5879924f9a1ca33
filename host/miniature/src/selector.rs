//! Label and field selectors, as far as a query can spell them.

use serde_json::Value;

use super::kind::Kind;
use super::object::text;
use super::refusal::Refusal;

/// What a query chooses of a collection. An empty one chooses all.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    labels: Vec<Label>,
    fields: Vec<Field>,
}

#[derive(Clone, Debug)]
enum Label {
    Exists(String),
    Absent(String),
    Is(String, String),
    IsNot(String, String),
}

#[derive(Clone, Debug)]
struct Field {
    pointer: String,
    value: String,
    is_equal: bool,
}

impl Selector {
    /// Reads both halves of a query.
    pub fn parse(kind: Kind, labels: &str, fields: &str) -> Result<Self, Refusal> {
        let terms = |text: &str| -> Vec<String> {
            let terms = text.split(',').map(str::trim);
            terms.filter(|term| !term.is_empty()).map(str::to_owned).collect()
        };
        let labels = terms(labels).iter().map(|term| label(term)).collect::<Result<_, _>>()?;
        let fields =
            terms(fields).iter().map(|term| field(kind, term)).collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    /// Whether it chooses the object.
    pub fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"].get(key).and_then(Value::as_str);
        let labels = self.labels.iter().all(|term| match term {
            Label::Exists(key) => label(key).is_some(),
            Label::Absent(key) => label(key).is_none(),
            Label::Is(key, value) => label(key) == Some(value),
            Label::IsNot(key, value) => label(key) != Some(value),
        });
        let is_met =
            |field: &Field| (text(object, &field.pointer) == field.value) == field.is_equal;
        labels && self.fields.iter().all(is_met)
    }
}

fn label(term: &str) -> Result<Label, Refusal> {
    if term.contains(['(', ')', ' ', '<', '>']) {
        return Err(Refusal::not_played(&format!("the label selector {term:?}")));
    }
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    if let Some((key, value)) = term.split_once("!=").map(owned) {
        return Ok(Label::IsNot(key, value));
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')).map(owned) {
        return Ok(Label::Is(key, value));
    }
    Ok(match term.strip_prefix('!') {
        Some(key) => Label::Absent(key.to_owned()),
        None => Label::Exists(term.to_owned()),
    })
}

/// The real API server knows few fields, each by its kind.
fn field(kind: Kind, term: &str) -> Result<Field, Refusal> {
    let parts = [("!=", false), ("==", true), ("=", true)];
    let found = parts.iter().find_map(|(sign, is_equal)| {
        term.split_once(sign).map(|(name, value)| (name, value, *is_equal))
    });
    let (name, value, is_equal) = found.ok_or_else(|| {
        Refusal::bad_request(format!("invalid selector: {term:?}; can't be understood"))
    })?;
    let is_known = matches!(name, "metadata.name" | "metadata.namespace")
        || match kind {
            Kind::Pod => matches!(name, "spec.nodeName" | "status.phase" | "spec.restartPolicy"),
            Kind::Event => {
                name.starts_with("regarding.")
                    || matches!(name, "reason" | "reportingController" | "type")
            }
            Kind::Namespace => name == "status.phase",
            Kind::Node | Kind::ConfigMap | Kind::Set | Kind::Claim | Kind::Lease => false,
        };
    if !is_known {
        return Err(Refusal::bad_request(format!("field label not supported: {name}")));
    }
    let pointer = format!("/{}", name.replace('.', "/"));
    Ok(Field { pointer, value: value.to_owned(), is_equal })
}
