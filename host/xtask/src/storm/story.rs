//! The namespaces of a storm as etcd's history tells them, read while it is written: what players wait for, and what the oracle judges.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;

use super::past::{Entry, Kind, Objects, Past, apply};

/// One namespace.
pub(super) struct Story {
    told: Mutex<Told>,
    /// The last revision that touched the namespace.
    revision: watch::Sender<u64>,
}

struct Told {
    past: Past,
    live: Objects,
    /// When a pod or a claim was last written.
    moved_on: Instant,
}

/// All namespaces that are listened to.
pub(super) struct Stories {
    /// By namespace. What is not listened to is not kept.
    by_namespace: Mutex<BTreeMap<String, Arc<Story>>>,
    /// The last revision of all.
    head: watch::Sender<u64>,
}

impl Stories {
    /// Nothing was told yet.
    pub(super) fn new() -> Arc<Self> {
        let by_namespace = Mutex::default();
        Arc::new(Self { by_namespace, head: watch::Sender::new(0) })
    }

    /// Listens to a namespace from this moment on.
    pub(super) fn listen(&self, namespace: &str) -> Arc<Story> {
        let told = Told { past: Past::default(), live: Objects::new(), moved_on: Instant::now() };
        let told = Mutex::new(told);
        let story = Arc::new(Story { told, revision: watch::Sender::new(0) });
        lock(&self.by_namespace).insert(namespace.to_owned(), Arc::clone(&story));
        story
    }

    /// Keeps nothing more of a namespace.
    pub(super) fn forget(&self, namespace: &str) {
        lock(&self.by_namespace).remove(namespace);
    }

    /// Whether somebody listens to this namespace.
    pub(super) fn is_heard(&self, namespace: &str) -> bool {
        lock(&self.by_namespace).contains_key(namespace)
    }

    /// Takes in one write.
    pub(super) fn tell(&self, namespace: &str, entry: Entry) {
        let story = lock(&self.by_namespace).get(namespace).cloned();
        if let Some(story) = story {
            story.tell(entry);
        }
    }

    /// All up to this revision was told.
    pub(super) fn reached(&self, revision: u64) {
        self.head.send_replace(revision);
    }

    /// Waits until all up to this revision was told.
    pub(super) async fn until(&self, revision: u64) {
        // The sender lives as long as this object.
        let _ = self.head.subscribe().wait_for(|head| *head >= revision).await;
    }
}

impl Story {
    /// What is there.
    pub(super) fn live(&self) -> Objects {
        lock(&self.told).live.clone()
    }

    /// How long no pod and no claim was written.
    pub(super) fn stands_still_for(&self) -> Duration {
        lock(&self.told).moved_on.elapsed()
    }

    /// Everything that is known up to now.
    pub(super) fn past(&self) -> Past {
        lock(&self.told).past.clone()
    }

    /// A receiver that sees every change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// A person's write was answered at this moment.
    pub(super) fn answered(&self, revision: u64) {
        lock(&self.told).past.answered.insert(revision, Timestamp::now());
    }

    /// The work of this drain pod has reached its end.
    pub(super) fn moved(&self, pod_uid: &str) {
        lock(&self.told).past.moved.insert(pod_uid.to_owned());
    }

    fn tell(&self, entry: Entry) {
        let revision = entry.revision;
        {
            let mut told = lock(&self.told);
            if matches!(entry.kind, Kind::Pod | Kind::Claim) {
                told.moved_on = Instant::now();
            }
            apply(&mut told.live, &entry);
            told.past.entries.push(entry);
        }
        self.revision.send_replace(revision);
    }
}

/// Nobody panics while holding one of these, so that what is inside is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
