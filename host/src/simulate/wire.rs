//! The way from the host to the simulated API server: a client like any other, whose requests never leave the process.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use kube::client::{Body, Client};
use tidegate_miniature::{
    api::{Asked, serve},
    refusal::Refusal,
};
use tower::service_fn;

use super::cluster::{HOST, Shared};

/// A client of this cluster, by which everything that the host asks for is written down.
#[must_use]
pub fn client(shared: &Arc<Shared>, namespace: &str) -> Client {
    let shared = Arc::clone(shared);
    let service = service_fn(move |request: Request<Body>| {
        let shared = Arc::clone(&shared);
        async move {
            let (head, body) = request.into_parts();
            let read = body.collect_bytes().await;
            let asked = match read {
                Ok(bytes) => Asked::of(head, &bytes),
                Err(error) => Err(Refusal::bad_request(error.to_string())),
            };
            if asked.as_ref().is_ok_and(Asked::is_watch) {
                // What the host's own watches would show is given to it after each change, and nothing else that it watches ever changes here.
                return pending().await;
            }
            Ok::<_, Infallible>(answer(&shared, asked))
        }
    });
    Client::new(service, namespace)
}

fn answer(shared: &Shared, asked: Result<Asked, Refusal>) -> Response<Body> {
    let answered = asked.and_then(|asked| {
        let asked = Asked { by: HOST.to_owned(), ..asked };
        let mut state = shared.lock();
        let answer = serve(&mut state.store, &asked, Duration::ZERO);
        if asked.method != Method::GET {
            state.journal.asked(&asked, answer.as_ref().map(|(_, value)| value));
        }
        answer
    });
    let (status, value) = match answered {
        Ok((status, value)) => (status, value),
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.code);
            (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), refusal.status())
        }
    };
    let mut response = Response::new(Body::from(value.to_string().into_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
