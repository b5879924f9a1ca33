//! What was ever seen of sets, their pods and their claims, and what was seen to go, by an observer that no fault befalls.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

/// The annotation with the host's marks on a drain pod.
const MARKS: &str = "tidegate.dev/drain";

/// An observer of all namespaces. It ends when it is dropped.
pub(crate) struct History {
    seen: Arc<Mutex<Vec<Seen>>>,
    _runtime: Runtime,
}

/// One object that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    namespace: String,
    uid: String,
    /// What it is: `drain pod web-1, attempt 1`.
    what: String,
    is_gone: bool,
}

impl History {
    /// Begins to look, as the admin of a kubeconfig.
    pub(crate) fn begin(kubeconfig: &Path) -> Result<Self> {
        let runtime = Runtime::new()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        runtime.block_on(async {
            let config =
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            let client = Client::try_from(config)?;
            tokio::spawn(follow::<Pod>(client.clone(), Arc::clone(&seen)));
            tokio::spawn(follow::<PersistentVolumeClaim>(client.clone(), Arc::clone(&seen)));
            tokio::spawn(follow::<StatefulSet>(client, Arc::clone(&seen)));
            anyhow::Ok(())
        })?;
        Ok(Self { seen, _runtime: runtime })
    }

    /// How many objects of each description are gone. Members are left out: a controller makes and takes them, and sometimes one too many.
    pub(crate) fn gone(&self, namespace: &str) -> BTreeMap<String, u64> {
        self.count(namespace, |seen| seen.is_gone && !seen.what.starts_with("Pod "))
    }

    /// How many drain pods of each attempt there ever were.
    pub(crate) fn drain_pods(&self, namespace: &str) -> BTreeMap<String, u64> {
        self.count(namespace, |seen| seen.what.starts_with("drain pod "))
    }

    /// A text for each UID that is the same in every run: what it is and, but for pods, which of that name.
    pub(crate) fn symbols(&self, namespace: &str) -> BTreeMap<String, String> {
        let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
        let seen = self.seen();
        let of_namespace = seen.iter().filter(|seen| seen.namespace == namespace);
        of_namespace
            .map(|seen| {
                let number = numbers.entry(seen.what.clone()).or_insert(0);
                *number += 1;
                let is_member = seen.what.starts_with("Pod ");
                let number = if is_member { String::new() } else { format!(" #{number}") };
                (seen.uid.clone(), format!("{}{number}", seen.what))
            })
            .collect()
    }

    fn count(&self, namespace: &str, which: impl Fn(&Seen) -> bool) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for seen in self.seen().iter().filter(|seen| seen.namespace == namespace && which(seen)) {
            *counts.entry(seen.what.clone()).or_insert(0) += 1;
        }
        counts
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow<K>(client: Client, all: Arc<Mutex<Vec<Seen>>>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events =
        watcher(Api::<K>::all(client), watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        let (object, is_gone) = match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => (object, false),
            Ok(Event::Delete(object)) => (object, true),
            Ok(Event::Init | Event::InitDone) | Err(_) => continue,
        };
        let (uid, what) = (object.uid().unwrap_or_default(), what(&object));
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = all.iter_mut().find(|seen| seen.uid == uid) {
            seen.is_gone |= is_gone;
        } else {
            let namespace = object.namespace().unwrap_or_default();
            all.push(Seen { namespace, uid, what, is_gone });
        }
    }
}

fn what<K: Resource<DynamicType = ()>>(object: &K) -> String {
    let name = object.name_any();
    let Some(marks) = object.annotations().get(MARKS) else {
        return format!("{} {name}", K::kind(&()));
    };
    let marks: serde_json::Value = serde_json::from_str(marks).unwrap_or_default();
    format!("drain pod {name}, attempt {}", marks["attempt"])
}
