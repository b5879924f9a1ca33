//! `/healthz`: the process answers. `/readyz`: every watch has delivered its first list.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use axum::{Router, http::StatusCode, routing::get};

/// Whether the host sees the cluster.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Every watch has delivered its first list.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn status(&self) -> (StatusCode, &'static str) {
        if self.0.load(Ordering::Relaxed) {
            (StatusCode::OK, "ok\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "the watches have not delivered their first list\n")
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
