//! Puts the host together, runs it, and ends it.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use kube::{
    Api, Resource, ResourceExt as _,
    runtime::{
        reflector::{self, ObjectRef},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};
use tracing_subscriber::EnvFilter;

use crate::{
    args::{LogFormat, RunArgs},
    clock::Clock,
    cluster::{Cluster, Effect},
    error::Error,
    health::{self, Part, Readiness},
    host::{Host, Unwitnessed},
    lease::{self, Keeper, Tenure, Terms},
    marks,
    memory::Memory,
    modules::{Modules, Sources},
    objects::{ClaimObject, PodObject, SetObject},
    policy::{Compiler, Pinning, Policies, Recorder},
    queue::{self, Next},
    reconcile::{after_error, reconcile, reconcile_left_behind},
    report::Reporter,
    watch::{self as watching, Index, Key, key},
};

/// The label of members and drain pods: other pods are not kept in memory.
const MEMBERS: &str = "statefulset.kubernetes.io/pod-name";
/// How many changes may wait to be looked at. A full queue holds the watch back, which the API server bears.
const CHANGES_MAX: usize = 1_024;
/// How long a pass that runs when the host is told to stop may take to end, in milliseconds. Every write is safe alone, so one that is
/// broken off here is gone on with by the next host; two seconds in all is what an operator waits without wondering.
const STOP_MS: u64 = 1_500;
/// How long the release of the lease may take, in milliseconds. Where it fails the next host waits for the lease's end, which is longer; the
/// pod's grace period is longer still.
const RELEASE_MS: u64 = 4_000;

/// What is logged unless `TIDEGATE_LOG` says otherwise: changes of state and what went wrong; the library's own account of every pass is left out,
/// and so is that of every request, which calls a refusal an error without saying of what. The host tells it itself.
const LOG_DEFAULT: &str =
    "info,kube_runtime=warn,kube_client=warn,kube_client::client::builder=off";

/// Runs the host until it is told to stop.
///
/// # Errors
/// Where it cannot start, or a part of it ended by itself.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    start_logging(args.log_format);
    let recorder = recorder(&args)?;
    let policies = Policies::start_recorded(Compiler::this_process(), recorder)
        .map_err(|error| anyhow::anyhow!("the WebAssembly engine does not start: {error:#}"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(args, policies));
    runtime.shutdown_background();
    outcome
}

fn recorder(args: &RunArgs) -> anyhow::Result<Option<Recorder>> {
    let Some(folder) = &args.record_dir else {
        return Ok(None);
    };
    let max_bytes = u64::from(args.record_max_mib) * 1024 * 1024;
    let recorder = Recorder::into_folder(folder, max_bytes)
        .with_context(|| format!("--record-dir {}: mend the folder", folder.display()))?;
    Ok(Some(recorder))
}

async fn serve(args: RunArgs, policies: Policies) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cluster = Cluster::connect(effect(&args), args.patience.patience())
        .await
        .context("no cluster: run inside one, or set KUBECONFIG")?;
    let readiness = Readiness::default();
    let (stop, stopped) = watch::channel(false);
    let (let_go, told) = watch::channel(false);
    let (tenure, keep) = stand(&args, &cluster, &readiness, told)?;
    let mut keep = tokio::spawn(keep);
    let mut health = tokio::spawn(health::serve(args.listen, readiness.clone()));
    let work = work(args, policies, cluster, Arc::clone(&tenure), readiness, stopped);
    let mut work = tokio::spawn(work);
    tokio::select! {
        ended = &mut health => ended?.context("answering /healthz ended")?,
        ended = &mut work => {
            ended??;
            anyhow::bail!("the watches ended by themselves");
        }
        ended = &mut keep => {
            ended??;
            anyhow::bail!("keeping the lease ended by itself");
        }
        _ = terminate.recv() => tracing::info!("told to stop"),
        _ = interrupt.recv() => tracing::info!("told to stop"),
    }
    // The write under way ends, and none is begun. Only then may another host begin.
    tenure.close();
    stop.send_replace(true);
    if tokio::time::timeout(Duration::from_millis(STOP_MS), work).await.is_err() {
        tracing::warn!(
            "a pass did not end in {STOP_MS} ms and is broken off; the next host goes on with it"
        );
    }
    let_go.send_replace(true);
    if tokio::time::timeout(Duration::from_millis(RELEASE_MS), keep).await.is_err() {
        tracing::warn!(
            "the lease was not released in {RELEASE_MS} ms; the next host waits for its end"
        );
    }
    tracing::info!("stopped");
    Ok(())
}

type Keeping = futures::future::BoxFuture<'static, anyhow::Result<()>>;

/// When this host may act, and what sees to it until it is told to let go.
fn stand(
    args: &RunArgs,
    cluster: &Cluster,
    readiness: &Readiness,
    mut told: watch::Receiver<bool>,
) -> anyhow::Result<(Arc<Tenure>, Keeping)> {
    let timing = args.lease.timing().map_err(anyhow::Error::msg)?;
    if args.lease.no_lease || cluster.effect() == Effect::DryRun {
        readiness.set(Part::Lease);
        let keep = async move {
            told.wait_for(|told| *told).await?;
            Ok(())
        };
        return Ok((Arc::new(Tenure::without_lease()), keep.boxed()));
    }
    let tenure = Arc::new(Tenure::waiting());
    let terms = Terms {
        namespace: args.own_namespace.clone(),
        name: args.lease.lease_name.clone(),
        identity: lease::identity(&args.own_name),
        timing,
    };
    let keeper = Keeper::new(cluster.client(), terms, Arc::clone(&tenure), readiness.clone());
    Ok((tenure, keeper.keep(told).boxed()))
}

async fn work(
    args: RunArgs,
    policies: Policies,
    cluster: Cluster,
    tenure: Arc<Tenure>,
    readiness: Readiness,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let (client, patient) = (cluster.client(), cluster.watching());
    let pinning = if args.allow_unpinned { Pinning::Optional } else { Pinning::Required };
    let (changes, changed) = mpsc::channel(CHANGES_MAX);
    let how = |selector| watching::config(selector, cluster.patience().watch_secs);
    let claims = Watched::<ClaimObject>::start(api(&patient, &args), how(None), changes.clone());
    let pods = Watched::<PodObject>::start(api(&patient, &args), how(Some(MEMBERS)), changes);

    let (store, writer) = reflector::store();
    // It never holds more than the sets that are in memory besides, and a set whose end is missed here would leave its drain pods to nobody.
    let (gone, left_behind) = mpsc::unbounded_channel();
    let (wake, woken) = mpsc::channel(CHANGES_MAX);
    let library = args.library();
    let sources = Sources { library, own_namespace: args.own_namespace.clone(), pinning };
    let host = Arc::new(Host {
        sets: store,
        claims: Arc::clone(&claims.index),
        pods: Arc::clone(&pods.index),
        modules: Modules::new(policies, sources, cluster.clone(), wake),
        reporter: Reporter::start(client.clone(), cluster.effect()),
        memory: Memory::new(cluster.effect()),
        tenure,
        clock: Clock::Machine,
        witness: Box::new(Unwitnessed),
        cluster,
    });
    claims.listed().await?;
    pods.listed().await?;

    let work = Work { host, at_once_max: usize::from(args.concurrency), stopped };
    let of_sets = work.of_sets(api(&patient, &args), writer, Led { changed, woken }, gone);
    let of_pods = async {
        // Before the sets are listed every drain pod would seem to be left behind.
        if work.host.sets.wait_until_ready().await.is_err() {
            return;
        }
        readiness.set(Part::Watches);
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(namespace = args.namespace.as_deref().unwrap_or("all"), version, "watching");
        work.of_drain_pods(api(&patient, &args), left_behind).await;
    };
    futures::join!(of_sets, of_pods);
    Ok(())
}

/// What leads to sets besides their own watch.
struct Led {
    /// The namespaces and names of pods and claims that have changed.
    changed: mpsc::Receiver<Key>,
    /// Those of sets whose policies have.
    woken: mpsc::Receiver<Key>,
}

/// The two loops: over sets, and over drain pods whose set is gone.
struct Work {
    host: Arc<Host>,
    at_once_max: usize,
    stopped: watch::Receiver<bool>,
}

impl Work {
    fn how(&self, selector: Option<&str>) -> watcher::Config {
        watching::config(selector, self.host.cluster.patience().watch_secs)
    }

    async fn of_sets(
        &self,
        api: Api<SetObject>,
        writer: reflector::store::Writer<SetObject>,
        led: Led,
        gone: mpsc::UnboundedSender<Key>,
    ) {
        let to_drain_pods = gone.clone();
        let modules = self.host.modules.clone();
        let events = watching::events(api, self.how(None));
        let sets = watching::reflected(events, writer, move |set: &SetObject| {
            modules.set_gone(set.metadata.uid.as_deref().unwrap_or_default());
            // Nobody listens any more only while the host shuts down.
            let _ = gone.send(key(set));
        });
        let store = self.host.sets.clone();
        let mut changed = led.changed;
        let by_name = each(stream::poll_fn(move |context| changed.poll_recv(context)), {
            let store = store.clone();
            move |namespace, name| sets_of(&store, namespace, name)
        });
        let mut woken = led.woken;
        let woken = stream::poll_fn(move |context| woken.poll_recv(context)).inspect(move |set| {
            // The set may be gone, and its drain pods still wait for their policy.
            let _ = to_drain_pods.send(set.clone());
        });
        let led_to = stream::select(by_name, woken);
        self.pass_over(store, sets, led_to, reconcile).await;
    }

    async fn of_drain_pods(
        &self,
        api: Api<PodObject>,
        mut left_behind: mpsc::UnboundedReceiver<Key>,
    ) {
        let (store, writer) = reflector::store();
        let modules = self.host.modules.clone();
        let events = watching::events(api, self.how(Some(marks::SET_UID)));
        let pods = watching::reflected(events, writer, move |pod: &PodObject| {
            let set_uid = pod.labels().get(marks::SET_UID).map_or("", String::as_str);
            modules.pod_gone(set_uid, &pod.name_any());
        });
        let index = Arc::clone(&self.host.pods);
        let left_behind = stream::poll_fn(move |context| left_behind.poll_recv(context));
        let led_to = each(left_behind, move |namespace, set| {
            let pods = index.with_prefix(namespace, &format!("{set}-"));
            pods.iter().map(|pod| key(pod.as_ref())).collect()
        });
        self.pass_over(store, pods, led_to, reconcile_left_behind).await;
    }

    /// Runs `pass` over each object that its watch shows, or that something else has led to. One that is gone by then is left out.
    async fn pass_over<K, P>(
        &self,
        store: reflector::Store<K>,
        shown: impl Stream<Item = Key>,
        led_to: impl Stream<Item = Key>,
        pass: impl Fn(Arc<K>, Arc<Host>) -> P + Copy + Send + 'static,
    ) where
        K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
        P: Future<Output = Result<Next, Error>> + Send + 'static,
    {
        let ready = async {
            // An error means that the watch is gone, and the queue ends with it.
            let _ = store.wait_until_ready().await;
            // What is seen until then, it leaves to the host that may act.
            self.host.tenure.begins().await;
        };
        let changes = stream::select(shown, led_to);
        let at_once_max = self.at_once_max;
        queue::run(changes, at_once_max, ready, stop(self.stopped.clone()), |(namespace, name)| {
            let (store, host) = (store.clone(), Arc::clone(&self.host));
            async move {
                match store.get(&ObjectRef::new(&name).within(&namespace)) {
                    Some(object) => {
                        let outcome = pass(Arc::clone(&object), Arc::clone(&host)).await;
                        outcome.unwrap_or_else(|error| after_error(object, &error, host))
                    }
                    None => Next::await_change(),
                }
            }
        })
        .await;
    }
}

async fn stop(mut stopped: watch::Receiver<bool>) {
    // An error means that whoever could say stop is gone, which is the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// The objects that each namespace and name leads to.
fn each(
    names: impl Stream<Item = Key>,
    leads_to: impl Fn(&str, &str) -> Vec<Key>,
) -> impl Stream<Item = Key> {
    names.flat_map(move |(namespace, name)| stream::iter(leads_to(&namespace, &name)))
}

/// The sets that a pod or a claim of this name may belong to: every reading of the name for which there is a set.
fn sets_of(store: &reflector::Store<SetObject>, namespace: &str, name: &str) -> Vec<Key> {
    let Some((stem, _ordinal)) = name.rsplit_once('-') else {
        return Vec::new();
    };
    let starts = std::iter::once(0).chain(stem.match_indices('-').map(|(at, _)| at + 1));
    starts
        .filter_map(|start| stem.get(start..))
        .filter(|set| store.get(&ObjectRef::new(set).within(namespace)).is_some())
        .map(|set| (namespace.to_owned(), set.to_owned()))
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
    fn start(api: Api<K>, how: watcher::Config, changes: mpsc::Sender<Key>) -> Self {
        let index = Arc::new(Index::default());
        let (sender, listed) = watch::channel(false);
        tokio::spawn(watching::follow(api, how, Arc::clone(&index), sender, changes));
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

const fn effect(args: &RunArgs) -> Effect {
    if args.dry_run { Effect::DryRun } else { Effect::Real }
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
