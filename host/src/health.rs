//! `/healthz`: the process answers. `/readyz`: every watch has delivered its first list, and the lease could be read and is the hosts' own. A host that
//! waits for the lease is as ready as the one that holds it, so that a rollout goes on and a budget counts it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use axum::{Router, http::StatusCode, routing::get};

/// Whether the host could act, were it its turn.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Parts>);

/// What makes a host ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Every watch has delivered its first list.
    Watches,
    /// The lease is known, and is the hosts' own; or none is asked for.
    Lease,
}

#[derive(Debug, Default)]
struct Parts {
    watches: AtomicBool,
    lease: AtomicBool,
}

impl Readiness {
    /// That this part is there. It stays, since what comes later is told in events and in the log.
    pub fn set(&self, part: Part) {
        let part = match part {
            Part::Watches => &self.0.watches,
            Part::Lease => &self.0.lease,
        };
        part.store(true, Ordering::Relaxed);
    }

    pub(crate) fn status(&self) -> (StatusCode, &'static str) {
        if !self.0.watches.load(Ordering::Relaxed) {
            (StatusCode::SERVICE_UNAVAILABLE, "the watches have not delivered their first list\n")
        } else if !self.0.lease.load(Ordering::Relaxed) {
            (StatusCode::SERVICE_UNAVAILABLE, "the lease cannot be had; the log says why\n")
        } else {
            (StatusCode::OK, "ok\n")
        }
    }
}

/// Answers until the process ends.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve(listen: SocketAddr, readiness: Readiness) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { readiness.status() }));
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("--listen {listen}: name another address or port"))?;
    axum::serve(listener, router).await.context("answering /healthz and /readyz")
}
