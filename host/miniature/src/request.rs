//! What a request asks for: its place in the API, its query, and the form of the answer.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::kind::Kind;
use super::refusal::Refusal;
use super::selector::Selector;

/// The place that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The kind of object.
    pub kind: Kind,
    /// The namespace, where one is named.
    pub namespace: Option<String>,
    /// The object, where it is one.
    pub name: Option<String>,
    /// The part of it that is asked for, such as `status`; empty for the whole.
    pub part: String,
}

/// What stands behind the question mark.
#[derive(Clone, Debug, Default)]
pub struct Query(BTreeMap<String, String>);

/// How objects are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Everything.
    Whole,
    /// Their metadata alone.
    Metadata,
}

impl Place {
    /// Reads a path.
    pub fn of(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ((*version).to_owned(), rest),
            ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, plural, rest @ ..]
                if Kind::at(&version, plural).is_some() =>
            {
                (Some((*namespace).to_owned()), rest_from(plural, rest))
            }
            rest => (None, rest.to_vec()),
        };
        let (plural, rest) = rest.split_first()?;
        let kind = Kind::at(&version, plural)?;
        let name = rest.first().map(|name| (*name).to_owned());
        let part = rest.get(1..).unwrap_or_default().join("/");
        Some(Self { kind, namespace, name, part })
    }
}

impl Query {
    /// Reads a query.
    pub fn of(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(key, value)| (decoded(key), decoded(value))).collect())
    }

    /// The value of a key; empty where it has none.
    pub fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// A number, where there is one.
    pub fn number(&self, key: &str) -> Result<Option<u64>, Refusal> {
        let text = self.get(key);
        let wrong = |_| Refusal::bad_request(format!("{key}: Invalid value: {text:?}"));
        (!text.is_empty()).then(|| text.parse().map_err(wrong)).transpose()
    }

    /// What it chooses of a collection.
    pub fn selector(&self, kind: Kind) -> Result<Selector, Refusal> {
        Selector::parse(kind, self.get("labelSelector"), self.get("fieldSelector"))
    }
}

impl Form {
    /// The form that a client accepts.
    pub fn of(accept: &str) -> Self {
        if accept.contains("as=PartialObjectMetadata") { Self::Metadata } else { Self::Whole }
    }

    /// An object in this form.
    pub fn one(self, object: &Value) -> Value {
        match self {
            Self::Whole => object.clone(),
            Self::Metadata => json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": object["metadata"],
            }),
        }
    }

    /// A list of objects in this form. The items of a list do not say their kind, unless they are not of the kind that is listed.
    pub fn list(self, kind: Kind, metadata: &Value, items: &[Value]) -> Value {
        let items: Vec<Value> = items.iter().map(|item| self.one(item)).collect();
        let bare = |mut item: Value| {
            for field in ["kind", "apiVersion"] {
                item.as_object_mut().map(|fields| fields.remove(field));
            }
            item
        };
        match self {
            Self::Whole => json!({
                "kind": format!("{}List", kind.word()),
                "apiVersion": kind.api_version(),
                "metadata": metadata,
                "items": items.into_iter().map(bare).collect::<Vec<_>>(),
            }),
            Self::Metadata => json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "items": items,
            }),
        }
    }
}

fn rest_from<'a>(plural: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    std::iter::once(plural).chain(rest.iter().copied()).collect()
}

/// The text without the escapes of a URL. What is no escape stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escape = after.get(..2).filter(|_| *first == b'%');
        let code = escape.and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
