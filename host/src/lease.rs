//! The lease that says which of several hosts acts. It saves requests and keeps events from being told twice; no safety rests on it, since every
//! write names the very object and version that it was decided on.
//!
//! `election.rs` decides, and this file does what it says: one task, one request at a time, each write in the place of what was found.

use std::{
    hash::{BuildHasher as _, RandomState},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use anyhow::bail;
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client, ResourceExt,
    api::{PostParams, WatchEvent, WatchParams},
};
use tokio::{sync::watch, time::timeout};

use crate::{
    clock,
    error::Error,
    health::{Part, Readiness},
};

mod election;
mod record;
mod tenure;
mod timing;

pub use election::{Doubt, Draft, Election, Found, Loss, Record, Step};
pub use record::OURS;
pub use tenure::Tenure;
pub use timing::Timing;

/// How long one watch lasts, in seconds. It may be long, because a lease that is not seen to change is tried and read again anyway.
const WATCH_SECS: u32 = 240;
/// How often a release is tried that meets a lease it did not expect. Only this host's own renewal, answered late, can come between.
const RELEASE_TRIES: u32 = 3;

type Changes = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<Lease>>> + Send>>;

/// Which lease, and for whom.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The namespace of the lease, the host's own.
    pub namespace: String,
    /// The name of the lease.
    pub name: String,
    /// Who asks for it; see [`identity`].
    pub identity: String,
    /// How long it lasts.
    pub timing: Timing,
}

/// Asks for the lease, and renews it.
pub struct Keeper {
    api: Api<Lease>,
    terms: Terms,
    election: Election,
    tenure: Arc<Tenure>,
    readiness: Readiness,
    /// The lease as it was found last: what a write is put in the place of.
    lease: Option<Lease>,
    changes: Option<Changes>,
    said: String,
}

/// An identity that no other host has, and neither this one after a restart.
#[must_use]
pub fn identity(pod: &str) -> String {
    format!("{pod}_{:016x}", RandomState::new().hash_one(pod))
}

impl Keeper {
    /// A keeper that has asked for nothing yet.
    #[must_use]
    pub fn new(client: Client, terms: Terms, tenure: Arc<Tenure>, readiness: Readiness) -> Self {
        Self {
            api: Api::namespaced(client, &terms.namespace),
            election: Election::new(terms.identity.clone(), terms.timing),
            terms,
            tenure,
            readiness,
            lease: None,
            changes: None,
            said: String::new(),
        }
    }

    /// Keeps the lease until it is told to let go, and then releases it. A write that is under way is awaited first, so that no renewal
    /// meets the release.
    ///
    /// # Errors
    /// Where the lease is lost. The process is to end then: whatever it still has in hand rests on a tenure that is over.
    pub async fn keep(mut self, mut let_go: watch::Receiver<bool>) -> anyhow::Result<()> {
        loop {
            if *let_go.borrow_and_update() {
                self.release().await;
                return Ok(());
            }
            match self.election.next(clock::monotonic()) {
                Step::Write(draft) => self.write(draft).await,
                Step::Lost(loss) => {
                    self.tenure.close();
                    let Terms { namespace, name, .. } = &self.terms;
                    bail!(
                        "the lease {namespace}/{name} is lost: {loss}; started again, this host waits for it"
                    );
                }
                step @ (Step::Read | Step::Rest(_) | Step::Watch(_)) => tokio::select! {
                    told = let_go.changed() => if told.is_err() {
                        bail!("nobody is left who could tell the keeper of the lease to let go");
                    },
                    () = self.wait(step) => {}
                },
            }
        }
    }

    /// Whatever may be broken off at any moment.
    async fn wait(&mut self, step: Step) {
        match step {
            Step::Read => self.read().await,
            Step::Rest(until) => rest(Some(until)).await,
            Step::Watch(until) => tokio::select! {
                () = self.watch() => {}
                () = rest(until) => {}
            },
            Step::Write(_) | Step::Lost(_) => {}
        }
    }

    async fn read(&mut self) {
        self.changes = None;
        let asked = self.api.get_opt(&self.terms.name);
        match within("reading", &self.terms, asked).await {
            Ok(lease) => self.found(lease),
            Err(error) => self.doubt(&error),
        }
    }

    async fn write(&mut self, draft: Draft) {
        let Terms { name, identity, timing, .. } = &self.terms;
        let at = clock::timestamp();
        let sent = clock::monotonic();
        let params = PostParams::default();
        let answer = match (draft, &self.lease) {
            (Draft::Create, _) | (Draft::Take | Draft::Renew, None) => {
                let lease = record::created(name, identity, timing, at);
                within("creating", &self.terms, self.api.create(&params, &lease)).await
            }
            (Draft::Take | Draft::Renew, Some(found)) => {
                let lease = record::written(found, draft, identity, timing, at);
                let asked = self.api.replace(name, &params, &lease);
                within("writing", &self.terms, asked).await
            }
        };
        match answer {
            Ok(lease) => {
                self.changes = None;
                self.readiness.set(Part::Lease);
                self.election.wrote(record::record(&lease), sent, clock::monotonic());
                self.lease = Some(lease);
                if let Some(until) = self.election.held_until() {
                    self.tenure.extend(until);
                    self.say(format!(
                        "this host acts: it holds the lease as {identity}",
                        identity = self.terms.identity
                    ));
                }
            }
            Err(error) => self.doubt(&error),
        }
    }

    /// Waits for one change.
    async fn watch(&mut self) {
        if self.changes.is_none() {
            match open(&self.api, &self.terms, self.lease.as_ref()).await {
                Ok(changes) => self.changes = Some(changes),
                Err(error) => return self.doubt(&error),
            }
        }
        let Some(changes) = &mut self.changes else {
            return;
        };
        match changes.next().await {
            Some(Ok(WatchEvent::Added(lease) | WatchEvent::Modified(lease))) => {
                self.found(Some(lease));
            }
            Some(Ok(WatchEvent::Deleted(_))) => self.found(None),
            Some(Ok(WatchEvent::Bookmark(_))) => {}
            Some(Ok(WatchEvent::Error(_)) | Err(_)) | None => {
                self.changes = None;
                self.election.doubt(Doubt::Unwatched, clock::monotonic());
            }
        }
    }

    fn found(&mut self, lease: Option<Lease>) {
        let found = record::found(lease.as_ref());
        match &found {
            Found::Missing => {}
            Found::Ours(record)
                if record.holder.is_empty() || record.holder == self.terms.identity => {}
            Found::Ours(record) => self.say(format!("this host waits: {} acts", record.holder)),
            Found::Foreign { holder } => {
                let Terms { namespace, name, .. } = &self.terms;
                self.warn(format!(
                    "the lease {namespace}/{name} lacks the annotation {OURS} that this version writes, so it is another program's, held by {holder:?}; it is left alone and this host does nothing: delete it, or give the hosts another with --lease-name"
                ));
            }
        }
        if !matches!(found, Found::Foreign { .. }) {
            self.readiness.set(Part::Lease);
        }
        self.election.saw(found, clock::monotonic());
        self.lease = lease;
    }

    fn doubt(&mut self, error: &Error) {
        let doubt = if error.is_conflict() { Doubt::Conflict } else { Doubt::Failed };
        if doubt == Doubt::Failed {
            self.warn(error.to_string());
        }
        self.changes = None;
        self.election.doubt(doubt, clock::monotonic());
    }

    /// Gives the lease back, so that the next host need not wait for its end.
    async fn release(&mut self) {
        for _ in 0..RELEASE_TRIES {
            if self.election.found().is_none() {
                self.read().await;
            }
            let holds = match self.election.found() {
                Some(Found::Ours(record)) => record.holder == self.terms.identity,
                Some(Found::Missing | Found::Foreign { .. }) | None => false,
            };
            let Some(lease) = self.lease.as_ref().filter(|_| holds) else {
                return;
            };
            let lease = record::released(lease, clock::timestamp());
            let params = PostParams::default();
            let asked = self.api.replace(&self.terms.name, &params, &lease);
            match within("releasing", &self.terms, asked).await {
                Ok(_) => return self.say("the lease is released".to_owned()),
                Err(error) => self.doubt(&error),
            }
        }
    }

    /// Says what is so since now, once.
    fn say(&mut self, what: String) {
        if self.said != what {
            tracing::info!("{what}");
            self.said = what;
        }
    }

    fn warn(&mut self, what: String) {
        if self.said != what {
            tracing::warn!("{what}");
            self.said = what;
        }
    }
}

async fn open(api: &Api<Lease>, terms: &Terms, since: Option<&Lease>) -> Result<Changes, Error> {
    let selector = format!("metadata.name={}", terms.name);
    let params = WatchParams::default().fields(&selector).timeout(WATCH_SECS);
    let version = since.and_then(ResourceExt::resource_version).unwrap_or_default();
    Ok(within("watching", terms, api.watch(&params, &version)).await?.boxed())
}

async fn rest(until: Option<Duration>) {
    match until {
        Some(until) => tokio::time::sleep(until.saturating_sub(clock::monotonic())).await,
        None => std::future::pending().await,
    }
}

async fn within<T>(
    doing: &str,
    terms: &Terms,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, Error> {
    let what = format!("{doing} the lease {}/{}", terms.namespace, terms.name);
    let deadline = terms.timing.request_deadline();
    match timeout(deadline, request).await {
        Ok(answer) => answer.map_err(|error| Error::of_request(what, error)),
        Err(_) => {
            let why = format!("no answer in {deadline:?}");
            Err(Error::NoAnswer { what, why })
        }
    }
}

#[cfg(test)]
mod tests;
