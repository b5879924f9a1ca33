//! The clients, and what is read from the API server itself.

use std::{fmt::Debug, time::Duration};

use http::Request;
use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource, api::ListParams, config::KubeConfigOptions};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    error::Error,
    objects::{ClaimObject, PodObject},
};

/// How long a single request may take before its outcome counts as unknown, in seconds: the API server gives up a write after 34 s by itself, admission
/// and all (`requestTimeoutUpperBound` in its `handlers/rest.go`), and says so, which an event can tell.
pub const REQUEST_DEADLINE_SECS: u16 = 36;

/// How long a watch may be silent before it is opened again, in seconds. It bounds how long a dead connection goes unnoticed.
pub const WATCH_SECS: u16 = 60;

/// How much longer than a watch lasts its connection may bring nothing, in seconds: the API server ends a watch in time, and that has to arrive.
const SILENCE_MARGIN_SECS: u16 = 10;

/// How many objects one page of a list brings. A page is held as it was received, some 30 kB an object, until it is trimmed; many sets are read
/// at once, and a namespace may hold thousands of pods.
const PAGE_SIZE: u32 = 200;

/// The API server, through clients that never retry by themselves: a request that is sent again minutes later is one that was decided on
/// facts of minutes ago. The loop that decides is the only retry.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    watching: Client,
    effect: Effect,
    patience: Patience,
}

/// How long the API server is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long a single request may take, in seconds.
    pub request_secs: u16,
    /// How long a watch may be silent, in seconds.
    pub watch_secs: u16,
}

impl Default for Patience {
    fn default() -> Self {
        Self { request_secs: REQUEST_DEADLINE_SECS, watch_secs: WATCH_SECS }
    }
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is carried out.
    Real,
    /// The API server answers as if it carried it out, admission and all, and keeps nothing of it.
    DryRun,
}

/// In which order a reading is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Everything at once: the quickest.
    AtOnce,
    /// The claims before the rest: what the deletion of a claim is decided on.
    ClaimsFirst,
}

/// What was read about one set, all of it after the call began.
pub struct Reading {
    /// The set; none where it is gone.
    pub set: Option<Value>,
    /// Every claim of its namespace.
    pub claims: Vec<ClaimObject>,
    /// Every pod of its namespace.
    pub pods: Vec<PodObject>,
}

impl Cluster {
    /// Clients for the cluster that this process runs in, or that `KUBECONFIG` names.
    ///
    /// # Errors
    /// Where neither is there, or its credentials cannot be read.
    pub async fn connect(effect: Effect, patience: Patience) -> anyhow::Result<Self> {
        let config = match std::env::var_os("KUBECONFIG") {
            Some(_) => Config::from_kubeconfig(&KubeConfigOptions::default()).await?,
            None => Config::incluster()?,
        };
        Self::patient(config, effect, patience)
    }

    /// Clients for the cluster that this configuration names.
    ///
    /// # Errors
    /// Where its credentials cannot be read.
    pub fn new(config: Config, effect: Effect) -> anyhow::Result<Self> {
        Self::patient(config, effect, Patience::default())
    }

    /// The cluster that this client reaches, which must not send anything twice by itself.
    #[must_use]
    pub fn reached_by(client: Client, effect: Effect) -> Self {
        Self { watching: client.clone(), client, effect, patience: Patience::default() }
    }

    fn patient(mut config: Config, effect: Effect, patience: Patience) -> anyhow::Result<Self> {
        config.default_retry = false;
        let client = Client::try_from(config.clone())?;
        // The library bounds the silence of a watch that has begun, and neither its beginning nor the list before it.
        let silence_secs = patience.watch_secs.saturating_add(SILENCE_MARGIN_SECS);
        config.read_timeout = Some(Duration::from_secs(silence_secs.into()));
        config.reset_reader_on_write = true;
        Ok(Self { client, watching: Client::try_from(config)?, effect, patience })
    }

    /// What becomes of the writes.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        self.effect
    }

    /// The client for watches, which gives up a connection that brings nothing for longer than a watch lasts.
    #[must_use]
    pub fn watching(&self) -> Client {
        self.watching.clone()
    }

    /// How long the API server is waited for.
    #[must_use]
    pub const fn patience(&self) -> Patience {
        self.patience
    }

    /// The client for events and the lease.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Reads the set and everything that a decision about it rests on, in this order.
    ///
    /// # Errors
    /// Where any of it cannot be read: half a reading is none.
    pub async fn read(&self, namespace: &str, set: &str, order: Order) -> Result<Reading, Error> {
        let claims: Api<ClaimObject> = Api::namespaced(self.client(), namespace);
        let pods: Api<PodObject> = Api::namespaced(self.client(), namespace);
        let what = |kind: &str| format!("reading {kind} of {namespace}/{set}");
        let claims = self.within(what("the claims"), every(&claims));
        let pods = self.within(what("the pods"), every(&pods));
        let set = self.set(namespace, set);
        let (set, claims, pods) = match order {
            Order::AtOnce => futures::try_join!(set, claims, pods)?,
            Order::ClaimsFirst => {
                let claims = claims.await?;
                let (set, pods) = futures::try_join!(set, pods)?;
                (set, claims, pods)
            }
        };
        Ok(Reading { set, claims, pods })
    }

    /// The set of that name, whole, if there is one.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn set(&self, namespace: &str, name: &str) -> Result<Option<Value>, Error> {
        let sets: Api<kube::core::DynamicObject> = Api::namespaced_with(
            self.client(),
            namespace,
            &kube::core::ApiResource::erase::<crate::objects::SetObject>(&()),
        );
        let what = format!("reading the set of {namespace}/{name}");
        let set = self.within(what, sets.get_opt(name)).await?;
        let set = set.map(serde_json::to_value).transpose();
        set.map_err(|error| Error::Malformed(error.to_string()))
    }

    /// The ConfigMap of that name, if there is one.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<k8s_openapi::api::core::v1::ConfigMap>, Error> {
        let maps: Api<k8s_openapi::api::core::v1::ConfigMap> =
            Api::namespaced(self.client(), namespace);
        self.within(format!("reading ConfigMap {namespace}/{name}"), maps.get_opt(name)).await
    }

    /// The UID of a namespace, if it is there.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn namespace_uid(&self, namespace: &str) -> Result<Option<String>, Error> {
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.client());
        let found = namespaces.get_metadata_opt(namespace);
        let found = self.within(format!("reading namespace {namespace}"), found).await?;
        Ok(found.and_then(|it| it.metadata.uid))
    }

    /// Everything of one kind in one namespace, or in all, that the field selector chooses; an empty one chooses all.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn list<K>(&self, namespace: Option<&str>, fields: &str) -> Result<Vec<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Debug,
    {
        let (api, place): (Api<K>, String) = match namespace {
            Some(name) => (Api::namespaced(self.client(), name), format!("namespace {name}")),
            None => (Api::all(self.client()), "every namespace".to_owned()),
        };
        let what = format!("reading the {} of {place}", K::plural(&()));
        self.within(what, every_of(&api, ListParams::default().fields(fields))).await
    }

    /// Sends one write, once.
    ///
    /// # Errors
    /// Where it is refused, or not answered in time.
    pub async fn write(&self, what: String, request: Request<Vec<u8>>) -> Result<Value, Error> {
        let request = match self.effect {
            Effect::Real => request,
            Effect::DryRun => without_effect(request)
                .map_err(|error| Error::Malformed(format!("{what}: {error}")))?,
        };
        self.within(what, self.client.request::<Value>(request)).await
    }

    async fn within<T>(
        &self,
        what: String,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Error> {
        let secs = self.patience.request_secs;
        tracing::trace!("{what}: asked");
        let answer = tokio::time::timeout(Duration::from_secs(secs.into()), request).await;
        tracing::trace!(accepted = matches!(answer, Ok(Ok(_))), "{what}: answered");
        match answer {
            Ok(answer) => answer.map_err(|error| Error::of_request(what, error)),
            Err(_) => Err(Error::NoAnswer { what, why: format!("no answer in {secs} s") }),
        }
    }
}

fn without_effect(request: Request<Vec<u8>>) -> http::Result<Request<Vec<u8>>> {
    let (parts, body) = request.into_parts();
    let joint = if parts.uri.query().is_some() { '&' } else { '?' };
    let uri = format!("{}{joint}dryRun=All", parts.uri);
    let mut dry = Request::builder().method(parts.method).uri(uri).body(body)?;
    *dry.headers_mut() = parts.headers;
    Ok(dry)
}

/// Everything the collection holds.
async fn every<K>(api: &Api<K>) -> Result<Vec<K>, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    every_of(api, ListParams::default()).await
}

/// Everything of the collection that is asked for, as of one moment: the pages of a list are one snapshot.
async fn every_of<K>(api: &Api<K>, asked: ListParams) -> Result<Vec<K>, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut all = Vec::new();
    let mut params = asked.limit(PAGE_SIZE);
    loop {
        let page = api.list(&params).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}

#[cfg(test)]
mod tests;
