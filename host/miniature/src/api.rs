//! The API server: from a request to the store and back, by whatever way the request came.

use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::admission::{self, Reading};
use super::kind::Kind;
use super::object::{text, uid};
use super::patch::{Style, patched};
use super::refusal::Refusal;
use super::request::{Form, Place, Query};
use super::store::{Key, Store};
use super::write::{Deletion, Effect, Part, Propagation, Writer};

/// One request, as far as it is understood.
pub struct Asked {
    /// Its verb.
    pub method: Method,
    /// What it is about.
    pub place: Place,
    /// What stands behind the question mark.
    pub query: Query,
    /// How objects are to be answered.
    pub form: Form,
    /// How its body is spelt.
    pub content_type: String,
    /// Who asks.
    pub by: String,
    /// Its body.
    pub body: Value,
}

/// The status and the body.
pub type Answer = Result<(StatusCode, Value), Refusal>;

impl Asked {
    /// Reads a request.
    ///
    /// # Errors
    /// Where it is about something that is not played, or its body is no JSON.
    pub fn of(head: Parts, body: &[u8]) -> Result<Self, Refusal> {
        let path = head.uri.path();
        let place =
            Place::of(path).ok_or_else(|| Refusal::not_played(&format!("the path {path}")))?;
        let body = match body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(body)
                .map_err(|error| Refusal::bad_request(format!("the body is no JSON: {error}")))?,
        };
        Ok(Self {
            place,
            query: Query::of(head.uri.query().unwrap_or_default()),
            form: Form::of(header(&head.headers, &ACCEPT)),
            content_type: header(&head.headers, &CONTENT_TYPE).to_owned(),
            by: header(&head.headers, &USER_AGENT).to_owned(),
            method: head.method,
            body,
        })
    }

    /// Whether it asks to be told of changes, which is for whoever carries the answers to see to.
    #[must_use]
    pub fn is_watch(&self) -> bool {
        matches!(self.query.get("watch"), "true" | "1")
    }
}

/// Does what is asked for. What is read without naming a version is as it is; what is read in whatever version is so late.
///
/// # Errors
/// Where the API server refuses.
pub fn serve(store: &mut Store, asked: &Asked, delay: Duration) -> Answer {
    if asked.is_watch() {
        return Err(Refusal::not_played("a watch on this way"));
    }
    if asked.method == Method::GET && asked.place.name.is_none() {
        return list(store, asked, delay);
    }
    let is_dry = asked.query.get("dryRun") == "All" || asked.body["dryRun"] == json!(["All"]);
    let effect = if is_dry { Effect::DryRun } else { Effect::Real };
    dispatch(&mut Writer { store, by: &asked.by, effect }, asked)
}

fn dispatch(writer: &mut Writer<'_>, asked: &Asked) -> Answer {
    let Place { kind, namespace, name, part } = &asked.place;
    let within = namespace.as_deref().unwrap_or_default();
    let key = name.as_ref().map(|name| Key::new(*kind, within, name));
    match (asked.method.as_str(), &key, part.as_str()) {
        ("GET", Some(key), "" | "status") => {
            let found = writer.store.get(key);
            let found = found.ok_or_else(|| Refusal::not_found(*kind, &key.name))?;
            Ok((StatusCode::OK, asked.form.one(&found)))
        }
        ("POST", None, "") => {
            let strict = asked.query.get("fieldValidation") == "Strict";
            let reading = if strict { Reading::Strict } else { Reading::Lenient };
            admission::read(*kind, &asked.body, reading)?;
            let made = writer.create(*kind, within, &asked.body)?;
            Ok((StatusCode::CREATED, asked.form.one(&made)))
        }
        ("POST", Some(key), "eviction") if *kind == Kind::Pod => {
            writer.evict(key, &deletion(&asked.body["deleteOptions"], &Query::default())?)?;
            Ok((StatusCode::CREATED, success(key, StatusCode::CREATED)))
        }
        ("PUT", Some(key), "" | "status") => put(writer, key, asked),
        ("PATCH", Some(key), "" | "status") => {
            let style = Style::of(&asked.content_type)?;
            let change = |object: &Value| patched(object, &asked.body, style);
            let after = writer.update(key, part_of(part), |object| {
                let after = change(object)?;
                admission::read(*kind, &after, Reading::Lenient)?;
                Ok(after)
            })?;
            Ok((StatusCode::OK, asked.form.one(&after)))
        }
        ("DELETE", Some(key), "") => {
            let last = writer.delete(key, &deletion(&asked.body, &asked.query)?)?;
            let is_gone = writer.store.get(key).is_none();
            let is_told = !(is_gone && *kind == Kind::Set);
            let last = if is_told { asked.form.one(&last) } else { success(key, StatusCode::OK) };
            Ok((StatusCode::OK, last))
        }
        (method, _, part) => {
            let what = format!("{method} of {}/{part}", kind.plural());
            Err(Refusal::not_played(&what))
        }
    }
}

/// One page of a collection, all pages as of the same revision.
fn list(store: &Store, asked: &Asked, delay: Duration) -> Answer {
    let (kind, query) = (asked.place.kind, &asked.query);
    let selector = query.selector(kind)?;
    let (revision, from) = match query.get("continue") {
        "" if query.get("resourceVersion") == "0" => (store.revision_before(delay), 0),
        "" => (store.revision(), 0),
        token => page(token)?,
    };
    if store.is_forgotten(revision) {
        let why = "The provided continue parameter is too old to display a consistent list result.";
        return Err(Refusal::expired(why));
    }
    let all = if revision == store.revision() {
        store.list(kind, asked.place.namespace.as_deref())
    } else {
        store.list_at(revision, kind, asked.place.namespace.as_deref())
    };
    let chosen: Vec<Value> =
        all.iter().filter(|it| selector.matches(it)).map(|it| Value::clone(it)).collect();
    let limit = match query.number("limit")? {
        None | Some(0) => chosen.len(),
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let rest = chosen.get(from..).unwrap_or_default();
    let page = rest.get(..limit).unwrap_or(rest);
    let mut metadata = json!({ "resourceVersion": revision.to_string() });
    if page.len() < rest.len() {
        metadata["continue"] = json!(format!("{revision}.{}", from + page.len()));
        metadata["remainingItemCount"] = json!(rest.len() - page.len());
    }
    Ok((StatusCode::OK, asked.form.list(kind, &metadata, page)))
}

/// Takes the place of an object. Its UID, where it is given, says of which.
fn put(writer: &mut Writer<'_>, key: &Key, asked: &Asked) -> Answer {
    let after = writer.update(key, part_of(&asked.place.part), |before| {
        if !matches!(uid(&asked.body), "") && uid(&asked.body) != uid(before) {
            let why = format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: {}",
                uid(&asked.body),
                uid(before)
            );
            return Err(Refusal::conflict(key.kind, &key.name, &why));
        }
        admission::read(key.kind, &asked.body, Reading::Lenient)?;
        Ok(asked.body.clone())
    })?;
    Ok((StatusCode::OK, asked.form.one(&after)))
}

fn deletion(options: &Value, query: &Query) -> Result<Deletion, Refusal> {
    let said = |pointer: &str| Some(text(options, pointer).to_owned()).filter(|it| !it.is_empty());
    let policy =
        said("/propagationPolicy").unwrap_or_else(|| query.get("propagationPolicy").to_owned());
    let propagation = match policy.as_str() {
        "" => None,
        "Background" => Some(Propagation::Background),
        "Foreground" => Some(Propagation::Foreground),
        "Orphan" => Some(Propagation::Orphan),
        other => return Err(Refusal::bad_request(format!("propagationPolicy: {other:?}"))),
    };
    let in_query = query.number("gracePeriodSeconds")?.and_then(|secs| i64::try_from(secs).ok());
    Ok(Deletion {
        uid: said("/preconditions/uid"),
        version: said("/preconditions/resourceVersion"),
        propagation,
        grace_secs: options["gracePeriodSeconds"].as_i64().or(in_query),
    })
}

fn part_of(part: &str) -> Part {
    if part == "status" { Part::Status } else { Part::Main }
}

/// The revision and the place that a token of an earlier page names.
fn page(token: &str) -> Result<(u64, usize), Refusal> {
    let parts = token.split_once('.');
    let parsed =
        parts.and_then(|(revision, from)| Some((revision.parse().ok()?, from.parse().ok()?)));
    parsed.ok_or_else(|| Refusal::bad_request("continue key is not valid"))
}

fn success(key: &Key, code: StatusCode) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": { "name": key.name, "group": key.kind.group(), "kind": key.kind.plural() },
        "code": code.as_u16(),
    })
}

fn header<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
