//! The floor: a client that does on the same kind of event no more than has to be done. It reads the set and posts the pod.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::client::connect;

/// The label of members, by which the host chooses what it watches, too.
const MEMBERS: &str = "statefulset.kubernetes.io/pod-name";

/// How long the client may take for one pod.
const WITHIN: Duration = Duration::from_secs(60);

/// A client that runs on threads of its own, as the host does.
pub(super) struct Bare {
    bodies: Bodies,
    done: UnboundedReceiver<Result<Step>>,
    _runtime: tokio::runtime::Runtime,
}

/// What it took from the member's deletion seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Until the set was read.
    pub(super) until_asked: Duration,
    /// Until the POST was answered.
    pub(super) until_answered: Duration,
}

/// What is posted when the member of that name is gone.
type Bodies = Arc<Mutex<BTreeMap<String, Pod>>>;

impl Bare {
    /// Starts a client, as whoever the kubeconfig names, that watches the members of this namespace.
    ///
    /// # Errors
    /// Where there are no threads for it.
    pub(super) fn start(kubeconfig: PathBuf, namespace: String) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let (sender, done) = unbounded_channel();
        let bodies = Bodies::default();
        let known = Arc::clone(&bodies);
        runtime.spawn(async move {
            if let Err(error) = follow(kubeconfig, &namespace, &known, &sender).await {
                // Whoever no longer listens has failed already.
                let _ = sender.send(Err(error));
            }
        });
        Ok(Self { bodies, done, _runtime: runtime })
    }

    /// Has this pod posted once the member of its name is gone.
    pub(super) fn expect(&self, pod: Pod) {
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.insert(pod.name_any(), pod);
    }

    /// Waits until the next pod is posted.
    ///
    /// # Errors
    /// Where the client was refused, or nothing came in a minute.
    pub(super) async fn posted(&mut self) -> Result<Step> {
        let next = tokio::time::timeout(WITHIN, self.done.recv()).await;
        next.context("the bare client has posted nothing")?.context("the bare client has ended")?
    }
}

async fn follow(
    kubeconfig: PathBuf,
    namespace: &str,
    bodies: &Bodies,
    done: &UnboundedSender<Result<Step>>,
) -> Result<()> {
    let client = connect(&kubeconfig).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let sets: Api<StatefulSet> = Api::namespaced(client, namespace);
    let config = watcher::Config::default().labels(MEMBERS);
    let mut events = watcher(pods.clone(), config).boxed();
    while let Some(event) = events.next().await {
        let Event::Delete(member) = event? else {
            continue;
        };
        let seen = Instant::now();
        let body = {
            let mut bodies = bodies.lock().unwrap_or_else(PoisonError::into_inner);
            bodies.remove(&member.name_any())
        };
        if let Some(body) = body {
            // Nobody listens any more only where the bench has failed.
            let _ = done.send(answer(&sets, &pods, &member, &body, seen).await);
        }
    }
    bail!("the watch has ended")
}

async fn answer(
    sets: &Api<StatefulSet>,
    pods: &Api<Pod>,
    member: &Pod,
    body: &Pod,
    seen: Instant,
) -> Result<Step> {
    let owner = member.owner_references().first().context("a member without an owner")?;
    let set = sets.get(&owner.name).await?;
    let until_asked = seen.elapsed();
    let wanted = set.spec.and_then(|spec| spec.replicas).unwrap_or_default();
    if wanted != 1 {
        bail!("set {} wants {wanted} members", owner.name);
    }
    pods.create(&PostParams::default(), body).await?;
    Ok(Step { until_asked, until_answered: seen.elapsed() })
}
