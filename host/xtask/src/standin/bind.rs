//! Watches: the pods of this node, and, where no scheduler runs, the pods that have no node yet.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher;
use kube::runtime::{WatchStreamExt, watcher::Event};
use kube::{Api, Client, ResourceExt};
use tokio::sync::mpsc::Sender;

use super::drive::Inbox;
use super::write::{Target, Writer, Written};

/// How often binding one pod is tried; the watch shows the pod again when it changes.
const BIND_TRIES: u32 = 5;

/// The wait between two tries.
const BIND_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Tells `inbox` every sight of the pods that are bound to `node`, until the inbox is closed.
pub(crate) async fn watch_bound(client: Client, node: String, inbox: Sender<Inbox>) {
    let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let stream = watcher(Api::<Pod>::all(client), config).default_backoff();
    let mut stream = std::pin::pin!(stream);
    let mut listed = BTreeSet::new();
    while let Some(event) = stream.next().await {
        let message = match event {
            Ok(Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(Event::InitApply(pod)) => {
                listed.insert(pod.uid().unwrap_or_default());
                Inbox::Seen(Box::new(pod))
            }
            Ok(Event::InitDone) => Inbox::Listed(std::mem::take(&mut listed)),
            Ok(Event::Apply(pod)) => Inbox::Seen(Box::new(pod)),
            Ok(Event::Delete(pod)) => Inbox::Gone(pod.uid().unwrap_or_default()),
            Err(error) => {
                tracing::warn!(%error, "watch of the node's pods broke and is opened again");
                continue;
            }
        };
        if inbox.send(message).await.is_err() {
            return;
        }
    }
}

/// Binds every pod without a node to `node`, for ever.
pub(crate) async fn bind_all(client: Client, node: String, writer: Writer) {
    let config = watcher::Config::default().fields("spec.nodeName=");
    let stream = watcher(Api::<Pod>::all(client), config).default_backoff();
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        let pod = match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => pod,
            Ok(Event::Init | Event::InitDone | Event::Delete(_)) => continue,
            Err(error) => {
                tracing::warn!(%error, "watch of unbound pods broke and is opened again");
                continue;
            }
        };
        if is_bindable(&pod) {
            let (writer, node) = (writer.clone(), node.clone());
            tokio::spawn(async move { bind(&writer, &Target::of(&pod), &node).await });
        }
    }
}

async fn bind(writer: &Writer, target: &Target, node: &str) {
    for _ in 0..BIND_TRIES {
        match writer.bind(target, node).await {
            Written::Done => return,
            Written::Again => tokio::time::sleep(BIND_AGAIN_AFTER).await,
        }
    }
}

fn is_bindable(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let gates = spec.and_then(|s| s.scheduling_gates.as_ref());
    let is_unbound = spec.is_some_and(|s| s.node_name.is_none());
    is_unbound && gates.is_none_or(Vec::is_empty) && pod.metadata.deletion_timestamp.is_none()
}

impl Target {
    /// The pod itself.
    pub(crate) fn of(pod: &Pod) -> Self {
        Self {
            namespace: pod.namespace().unwrap_or_default(),
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
        }
    }
}
