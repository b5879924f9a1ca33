//! Watches the ConfigMaps that somebody waits for, or names without a digest: their metadata alone, each by a watch of its own that ends when nobody
//! waits any more.
//!
//! A cluster may hold tens of thousands of ConfigMaps, of which a handful hold policies. One watch of all of them would list them all and wake the host with
//! every change of any; a label would have to be put on by whoever makes a policy's ConfigMap, and where it is forgotten nothing tells. A watch of one
//! name is shown that one object. What is pinned and was loaded once never changes, so that where every set is well, nothing is watched at all.

use std::collections::{BTreeMap, BTreeSet};

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt as _, core::PartialObjectMeta, runtime::watcher::Event};
use tokio::task::AbortHandle;

use super::Modules;
use crate::watch::{self, Key};

/// How many ConfigMaps are watched at once. Each costs a connection's stream and one request a minute, and API servers give a client a thousand streams.
/// A cluster with more sets than this whose policies are missing, bad or not pinned has the rest asked for again every [`UNWATCHED_MS`].
const WATCHED_MAX: usize = 128;

/// How long after it was read a ConfigMap that is not watched is read again, in milliseconds: as often as a watch is opened anew.
const UNWATCHED_MS: u64 = 60_000;

/// The watches that are open, and what is read again in the place of one.
#[derive(Default)]
pub(super) struct Watches {
    open: BTreeMap<Key, AbortHandle>,
    unwatched: BTreeSet<Key>,
}

impl Watches {
    /// Opens or closes the watch of a ConfigMap; answers after how many milliseconds it is to be read again where it should be watched and is not, and
    /// that was not answered already.
    pub(super) fn set(&mut self, modules: &Modules, map: &Key, is_wanted: bool) -> Option<u64> {
        if !is_wanted {
            if let Some(watch) = self.open.remove(map) {
                watch.abort();
            }
            return None;
        }
        if self.open.contains_key(map) {
            return None;
        }
        if self.open.len() >= WATCHED_MAX {
            if !self.unwatched.insert(map.clone()) {
                return None;
            }
            tracing::warn!(
                namespace = map.0,
                config_map = map.1,
                "{WATCHED_MAX} ConfigMaps are watched already; this one is read again from time to time"
            );
            return Some(UNWATCHED_MS);
        }
        let task = tokio::spawn(follow(modules.clone(), map.clone()));
        self.open.insert(map.clone(), task.abort_handle());
        None
    }

    /// That a ConfigMap is read again now for which there was no watch.
    pub(super) fn is_read_again(&mut self, map: &Key) {
        self.unwatched.remove(map);
    }
}

async fn follow(modules: Modules, map: Key) {
    let mut events = std::pin::pin!(events(&modules, &map));
    let mut is_there = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => is_there = false,
            Ok(Event::InitApply(shown) | Event::Apply(shown)) => {
                is_there = true;
                modules.changed(&map, shown.resource_version().as_deref());
            }
            // A list that does not show it is how a watch that was interrupted tells that it was deleted.
            Ok(Event::InitDone) if is_there => {}
            Ok(Event::InitDone | Event::Delete(_)) => modules.changed(&map, None),
            Err(error) => {
                tracing::warn!(
                    namespace = map.0,
                    config_map = map.1,
                    "watching a ConfigMap: {error}"
                );
            }
        }
    }
}

fn events(
    modules: &Modules,
    (namespace, name): &Key,
) -> impl Stream<Item = Result<Event<PartialObjectMeta<ConfigMap>>, kube::runtime::watcher::Error>> + Send
{
    let cluster = modules.cluster();
    let api = Api::namespaced(cluster.watching(), namespace);
    let how = watch::config(None, cluster.patience().watch_secs);
    watch::events(api, how.fields(&format!("metadata.name={name}")))
}
