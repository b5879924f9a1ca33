//! Where a storm rages: a control plane that keeps its whole history, stand-in nodes, and two hosts with the rights of the install.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use kube::Client;
use serde_json::Value;

use super::audit::{Request, Tail};
use super::manifests::{CONTAINER, STAGE};
use super::past::{text, uid};
use super::story::{Stories, Story};
use super::{etcd, person::Person};
use crate::bench;
use crate::bench::stage::{HOST, Told, install};
use crate::cluster::{self, ClientLimits, Cluster, History, Nodes};
use crate::progress::say;
use crate::standin::{self, Play, STAND_IN_LABEL, StandIn};

/// How many nodes play the pods: each is one thread.
const NODES: usize = 2;

/// A cluster for some schedules.
pub(super) struct Stage {
    // What is first ends first.
    nodes: Vec<Arc<StandIn>>,
    cluster: Cluster,
    told: Told,
    client: Client,
    stories: Arc<Stories>,
    tail: Mutex<Tail>,
}

impl Stage {
    /// Starts all of it but the hosts.
    ///
    /// # Errors
    /// Where something cannot be started.
    pub(super) async fn set() -> Result<Self> {
        let options = cluster::Options {
            dir: cluster::default_dir().with_file_name("storm"),
            nodes: Nodes::StandInOnly,
            // A garbage collector that may send 20 requests a second would be all that is waited for.
            client_limits: ClientLimits::Raised,
            history: History::Kept { of: format!("system:serviceaccount:{HOST}:{HOST}") },
            ..cluster::Options::default()
        };
        let cluster = Cluster::start(&options)?;
        let told = install(&cluster)?;
        let start = |number| {
            let node = StandIn::start(cluster.kubeconfig(), node(&format!("stand-in-{number}"))?)?;
            anyhow::Ok(Arc::new(node))
        };
        let nodes = (0..NODES).map(start).collect::<Result<_>>()?;
        let client = bench::connect(cluster.kubeconfig()).await?;
        let stories = Stories::new();
        let etcd = cluster.etcd().context("the cluster's etcd cannot be reached")?;
        etcd::follow(etcd, Arc::clone(&stories))?;
        let tail = Mutex::new(Tail::new(cluster.audit_log()));
        say("the control plane is up, with its stand-in nodes");
        Ok(Self { nodes, cluster, told, client, stories, tail })
    }

    /// What the install tells a host.
    pub(super) const fn told(&self) -> &Told {
        &self.told
    }

    /// The admin's kubeconfig.
    pub(super) fn kubeconfig(&self) -> &Path {
        self.cluster.kubeconfig()
    }

    /// A client of the admin.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// A file beside the logs of the cluster, which is kept when that ends.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.cluster.audit_log().with_file_name("logs").join(name)
    }

    /// Listens to a namespace, before it is made.
    pub(super) fn person(&self, namespace: &str) -> Person {
        Person::new(self.client(), namespace, self.stories.listen(namespace))
    }

    /// Keeps nothing more of a namespace.
    pub(super) fn forget(&self, namespace: &str) {
        self.stories.forget(namespace);
    }

    /// Waits until everything that was written up to this moment was told.
    ///
    /// # Errors
    /// Where etcd does not answer.
    pub(super) async fn caught_up(&self) -> Result<()> {
        let at = self.cluster.etcd().context("the cluster's etcd cannot be reached")?;
        let revision = tokio::task::spawn_blocking(move || etcd::revision(at)).await??;
        self.stories.until(revision).await;
        Ok(())
    }

    /// What the hosts asked about a namespace since this was called last.
    ///
    /// # Errors
    /// Where the API server's record cannot be read.
    pub(super) fn asked(&self, namespace: &str) -> Result<Vec<Request>> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).take(namespace)
    }

    /// Ends the container of a pod, where it still runs; answers whether it did.
    ///
    /// # Errors
    /// Where the node is broken.
    pub(super) async fn finish(
        &self,
        story: &Story,
        pod: &Value,
        exit_code: i32,
        message: Option<&'static str>,
    ) -> Result<bool> {
        let on = text(pod, "/spec/nodeName");
        let Some(node) = self.nodes.iter().find(|node| node.node_name() == on).cloned() else {
            return Ok(false);
        };
        let pod_uid = uid(pod).to_owned();
        let of_pod = pod_uid.clone();
        let ended = tokio::task::spawn_blocking(move || {
            node.finish_pod(&of_pod, CONTAINER, exit_code, message).is_ok()
        });
        let ended = ended.await?;
        // The work is done where the process says so by itself: nothing else moves what lies on a volume.
        if ended && exit_code == 0 && message.is_some() {
            story.moved(&pod_uid);
        }
        Ok(ended)
    }
}

/// A node for the pods of the storm, and for no other.
fn node(name: &str) -> Result<standin::Options> {
    let mut options = standin::Options::new(name);
    options.play = Play::parse("hang")?;
    options.labels.insert(STAGE.to_owned(), "true".to_owned());
    options.taint = Some(standin::Taint {
        key: STAND_IN_LABEL.to_owned(),
        value: "true".to_owned(),
        effect: "NoSchedule".to_owned(),
    });
    Ok(options)
}
