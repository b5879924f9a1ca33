//! The HTTP side: from a request to the API server and back.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde_json::Value;
use tidegate_miniature::api::{self, Answer, Asked};
use tidegate_miniature::refusal::Refusal;
use tidegate_miniature::request::Place;

use super::Shared;
use super::watching::{self, Bookmarks, Watch};

/// The largest body that is taken: the real API server's own limit.
const BODY_MAX_BYTES: usize = 3 << 20;

/// Whoever answers at every path, and shows so late what has changed. What is read without naming a version is never late.
pub(crate) fn router(shared: Arc<Shared>, delay: Duration) -> Router {
    Router::new().fallback(answer).with_state((shared, delay))
}

async fn answer(
    State((shared, delay)): State<(Arc<Shared>, Duration)>,
    request: Request,
) -> Response {
    match understood(request).await {
        Ok(asked) if asked.is_watch() => match watch_of(&asked, delay) {
            Ok(watch) => {
                let lines = watching::body(shared, watch);
                ([(CONTENT_TYPE, "application/json")], lines).into_response()
            }
            Err(refusal) => refused(&refusal),
        },
        Ok(asked) => match serve(&shared, &asked, delay) {
            Ok((status, value)) => json_answer(status, &value),
            Err(refusal) => refused(&refusal),
        },
        Err(refusal) => refused(&refusal),
    }
}

async fn understood(request: Request) -> Result<Asked, Refusal> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, BODY_MAX_BYTES).await;
    let body = body.map_err(|error| Refusal::bad_request(error.to_string()))?;
    Asked::of(head, &body)
}

fn serve(shared: &Shared, asked: &Asked, delay: Duration) -> Answer {
    let mut state = shared.lock();
    let before = state.store.revision();
    let answer = api::serve(&mut state.store, asked, delay);
    let is_changed = state.store.revision() > before;
    drop(state);
    if is_changed {
        shared.tell();
    }
    answer
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

fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json_answer(status, &refusal.status())
}

fn json_answer(status: StatusCode, value: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], Body::from(value.to_string())).into_response()
}
