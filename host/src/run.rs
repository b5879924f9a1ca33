//! Puts the host together, runs it, and ends it.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::StreamExt as _;
use kube::{
    Api, Resource,
    runtime::{Controller, controller, reflector::ObjectRef},
};
use serde::de::DeserializeOwned;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};
use tracing_subscriber::EnvFilter;

use crate::{
    args::{LogFormat, RunArgs},
    clock,
    cluster::Cluster,
    health::{self, Readiness},
    host::Host,
    memory::Memory,
    modules::Modules,
    objects::{ClaimObject, PodObject, SetObject},
    policy::{Compiler, Pinning, Policies},
    reconcile::{after_error, reconcile},
    report::Reporter,
    watch::{self as watching, Index},
};

/// The label of members and drain pods: other pods are not kept in memory.
const MEMBERS: &str = "statefulset.kubernetes.io/pod-name";
/// How many changes may wait to be looked at. A full queue holds the watch back, which the API server bears.
const CHANGES_MAX: usize = 1_024;
/// How long a pass that runs when the host is told to stop may take to end, in milliseconds. Every write is safe alone, so one that is
/// broken off here is gone on with by the next host; two seconds in all is what an operator waits without wondering.
const STOP_MS: u64 = 1_500;

/// What is logged unless `TIDEGATE_LOG` says otherwise: changes of state and what went wrong; the library's own account of every pass is left out.
const LOG_DEFAULT: &str = "info,kube_runtime=warn,kube_client=warn";

/// Runs the host until it is told to stop.
///
/// # Errors
/// Where it cannot start, or a part of it ended by itself.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    start_logging(args.log_format);
    let policies = Policies::start(Compiler::this_process())
        .map_err(|error| anyhow::anyhow!("the WebAssembly engine does not start: {error:#}"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(args, policies));
    runtime.shutdown_background();
    outcome
}

async fn serve(args: RunArgs, policies: Policies) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cluster =
        Cluster::connect().await.context("no cluster: run inside one, or set KUBECONFIG")?;
    let readiness = Readiness::default();
    let (stop, stopped) = watch::channel(false);
    let mut health = tokio::spawn(health::serve(args.listen, readiness.clone()));
    let mut work = tokio::spawn(work(args, policies, cluster, readiness, stopped));
    tokio::select! {
        ended = &mut health => ended?.context("answering /healthz ended")?,
        ended = &mut work => {
            ended??;
            anyhow::bail!("the watches ended by themselves");
        }
        _ = terminate.recv() => tracing::info!("told to stop"),
        _ = interrupt.recv() => tracing::info!("told to stop"),
    }
    stop.send_replace(true);
    if tokio::time::timeout(Duration::from_millis(STOP_MS), work).await.is_err() {
        tracing::warn!(
            "a pass did not end in {STOP_MS} ms and is broken off; the next host goes on with it"
        );
    }
    tracing::info!("stopped");
    Ok(())
}

async fn work(
    args: RunArgs,
    policies: Policies,
    cluster: Cluster,
    readiness: Readiness,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let client = cluster.client();
    let pinning = if args.allow_unpinned { Pinning::Optional } else { Pinning::Required };
    let (changes, changed) = mpsc::channel(CHANGES_MAX);
    let claims = Watched::<ClaimObject>::start(api(&client, &args), None, changes.clone());
    let pods = Watched::<PodObject>::start(api(&client, &args), Some(MEMBERS), changes);

    let sets = Controller::new(api::<SetObject>(&client, &args), watching::config(None));
    let host = Arc::new(Host {
        sets: sets.store(),
        claims: Arc::clone(&claims.index),
        pods: Arc::clone(&pods.index),
        modules: Modules::new(policies, args.library(), args.own_namespace.clone(), pinning),
        reporter: Reporter::start(client.clone()),
        memory: Memory::default(),
        started: clock::now(),
        cluster,
    });
    claims.listed().await?;
    pods.listed().await?;
    readiness.set();
    tracing::info!(
        namespace = args.namespace.as_deref().unwrap_or("all"),
        version = env!("CARGO_PKG_VERSION"),
        "watching"
    );

    let store = sets.store();
    let changed = futures::stream::unfold(changed, |mut changed| async {
        changed.recv().await.map(|key| (key, changed))
    });
    sets.with_config(controller::Config::default().concurrency(args.concurrency))
        .reconcile_on(changed.flat_map(move |(namespace, name)| {
            futures::stream::iter(sets_of(&store, &namespace, &name))
        }))
        .graceful_shutdown_on(async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        })
        .run(reconcile, after_error, host)
        .for_each(|result| async move {
            if let Err(error) = result {
                match error {
                    controller::Error::QueueError(error) => {
                        tracing::warn!("watching sets: {error}")
                    }
                    // A set that is gone while it waits to be looked at, and failures that were told where they happened.
                    controller::Error::ObjectNotFound(_)
                    | controller::Error::ReconcilerFailed(..)
                    | controller::Error::RunnerError(_) => {}
                }
            }
        })
        .await;
    Ok(())
}

/// The sets that a pod or a claim of this name may belong to: every reading of the name for which there is a set.
fn sets_of(
    store: &kube::runtime::reflector::Store<SetObject>,
    namespace: &str,
    name: &str,
) -> Vec<ObjectRef<SetObject>> {
    let Some((stem, _ordinal)) = name.rsplit_once('-') else {
        return Vec::new();
    };
    let starts = std::iter::once(0).chain(stem.match_indices('-').map(|(at, _)| at + 1));
    starts
        .filter_map(|start| stem.get(start..))
        .map(|set| ObjectRef::new(set).within(namespace))
        .filter(|set| store.get(set).is_some())
        .collect()
}

struct Watched<K> {
    index: Arc<Index<K>>,
    listed: watch::Receiver<bool>,
}

impl<K> Watched<K>
where
    K: Resource<DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    fn start(
        api: Api<K>,
        selector: Option<&'static str>,
        changes: mpsc::Sender<(String, String)>,
    ) -> Self {
        let index = Arc::new(Index::default());
        let (sender, listed) = watch::channel(false);
        tokio::spawn(watching::follow(api, selector, Arc::clone(&index), sender, changes));
        Self { index, listed }
    }

    async fn listed(&self) -> anyhow::Result<()> {
        let mut listed = self.listed.clone();
        listed.wait_for(|listed| *listed).await.context("a watch ended")?;
        Ok(())
    }
}

fn api<K>(client: &kube::Client, args: &RunArgs) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    match &args.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn start_logging(format: LogFormat) {
    let filter =
        EnvFilter::try_from_env("TIDEGATE_LOG").unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    match format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
