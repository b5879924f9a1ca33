//! The HTTP side: from a request to the store and back.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::Shared;
use super::admission::{self, Reading};
use super::kind::Kind;
use super::object::{text, uid};
use super::patch::{Style, patched};
use super::refusal::Refusal;
use super::request::{Form, Place, Query};
use super::store::{Key, Store};
use super::watching::{self, Bookmarks, Watch};
use super::write::{Deletion, Effect, Part, Propagation, Writer};

/// The largest body that is taken: the real API server's own limit.
const BODY_MAX_BYTES: usize = 3 << 20;

/// One request, as far as it is understood.
struct Asked {
    method: Method,
    place: Place,
    query: Query,
    form: Form,
    content_type: String,
    by: String,
    body: Value,
}

type Answer = Result<(StatusCode, Value), Refusal>;

/// Whoever answers at every path, and shows so late what has changed. What is read without naming a version is never late.
pub(crate) fn router(shared: Arc<Shared>, delay: Duration) -> Router {
    Router::new().fallback(answer).with_state((shared, delay))
}

async fn answer(
    State((shared, delay)): State<(Arc<Shared>, Duration)>,
    request: Request,
) -> Response {
    match understood(request).await {
        Ok(asked) if asked.query.get("watch") == "true" || asked.query.get("watch") == "1" => {
            match watch_of(&asked, delay) {
                Ok(watch) => {
                    let lines = watching::body(shared, watch);
                    ([(CONTENT_TYPE, "application/json")], lines).into_response()
                }
                Err(refusal) => refused(&refusal),
            }
        }
        Ok(asked) => match serve(&shared, &asked, delay) {
            Ok((status, value)) => json_answer(status, &value),
            Err(refusal) => refused(&refusal),
        },
        Err(refusal) => refused(&refusal),
    }
}

async fn understood(request: Request) -> Result<Asked, Refusal> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let place = Place::of(path).ok_or_else(|| Refusal::not_played(&format!("the path {path}")))?;
    let body = to_bytes(body, BODY_MAX_BYTES).await;
    let body = body.map_err(|error| Refusal::bad_request(error.to_string()))?;
    let body = match body.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&body)
            .map_err(|error| Refusal::bad_request(format!("the body is no JSON: {error}")))?,
    };
    Ok(Asked {
        method: head.method,
        place,
        query: Query::of(head.uri.query().unwrap_or_default()),
        form: Form::of(header(&head.headers, &ACCEPT)),
        content_type: header(&head.headers, &CONTENT_TYPE).to_owned(),
        by: header(&head.headers, &USER_AGENT).to_owned(),
        body,
    })
}

fn serve(shared: &Shared, asked: &Asked, delay: Duration) -> Answer {
    let mut state = shared.lock();
    let before = state.store.revision();
    let is_dry = asked.query.get("dryRun") == "All" || asked.body["dryRun"] == json!(["All"]);
    let effect = if is_dry { Effect::DryRun } else { Effect::Real };
    let mut writer = Writer { store: &mut state.store, by: &asked.by, effect };
    let answer = match (asked.method == Method::GET, &asked.place.name) {
        (true, None) => list(&state.store, asked, delay),
        (true | false, _) => dispatch(&mut writer, asked),
    };
    let is_changed = state.store.revision() > before;
    drop(state);
    if is_changed {
        shared.tell();
    }
    answer
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

fn watch_of(asked: &Asked, delay: Duration) -> Result<Watch, Refusal> {
    let Place { kind, namespace, name, .. } = &asked.place;
    if name.is_some() || asked.method != Method::GET {
        return Err(Refusal::not_played("the watch of a single object by its path"));
    }
    if !asked.query.get("sendInitialEvents").is_empty() {
        return Err(Refusal::not_played("streaming lists"));
    }
    let bookmarks = match asked.query.get("allowWatchBookmarks") {
        "true" | "1" => Bookmarks::Told,
        _ => Bookmarks::NotTold,
    };
    Ok(Watch {
        kind: *kind,
        namespace: namespace.clone(),
        selector: asked.query.selector(*kind)?,
        form: asked.form,
        since: asked.query.number("resourceVersion")?.filter(|version| *version > 0),
        secs: asked.query.number("timeoutSeconds")?,
        bookmarks,
        delay,
    })
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

fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json_answer(status, &refusal.status())
}

fn json_answer(status: StatusCode, value: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], Body::from(value.to_string())).into_response()
}
