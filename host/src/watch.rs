//! What the watches have shown so far: the trimmed objects, by namespace and name, so that the objects of one set are a short range.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock},
};

use futures::{Stream, StreamExt as _, stream};
use http::StatusCode;
use kube::{
    Api, Resource, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

/// How many objects one page of a list brings: what is buffered while a list is read is bounded by it.
const PAGE_SIZE: u32 = 100;

/// A namespace and a name.
pub type Key = (String, String);

/// The objects of one kind.
#[derive(Debug)]
pub struct Index<K> {
    objects: RwLock<BTreeMap<Key, Arc<K>>>,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self { objects: RwLock::default() }
    }
}

impl<K: Resource> Index<K> {
    /// The objects of the namespace whose name begins so.
    #[must_use]
    pub fn with_prefix(&self, namespace: &str, prefix: &str) -> Vec<Arc<K>> {
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        let from = (namespace.to_owned(), prefix.to_owned());
        objects
            .range((Bound::Included(from), Bound::Unbounded))
            .take_while(|((ns, name), _)| ns == namespace && name.starts_with(prefix))
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// Takes these for everything that there is.
    pub fn replace(&self, all: Vec<K>) {
        let all = all.into_iter().map(|object| (key(&object), Arc::new(object))).collect();
        *self.objects.write().unwrap_or_else(PoisonError::into_inner) = all;
    }

    fn put(&self, object: K) {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        objects.insert(key(&object), Arc::new(object));
    }

    fn remove(&self, key: &Key) {
        self.objects.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Drops what a fresh list did not name, and says what that was.
    fn keep_only(&self, listed: &BTreeMap<Key, ()>) -> Vec<Key> {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<Key> =
            objects.keys().filter(|key| !listed.contains_key(*key)).cloned().collect();
        for key in &gone {
            objects.remove(key);
        }
        gone
    }
}

/// Watches all objects of a kind into the index until the process ends, and sends the namespace and name of each that changed. `listed` becomes
/// true once the first list is in; nothing is sent before.
pub async fn follow<K>(
    api: Api<K>,
    how: watcher::Config,
    index: Arc<Index<K>>,
    listed: watch::Sender<bool>,
    changed: mpsc::Sender<Key>,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = events(api, how).boxed();
    let mut list = BTreeMap::new();
    while let Some(event) = events.next().await {
        let keys = match event {
            Ok(Event::Init) => {
                list.clear();
                Vec::new()
            }
            Ok(Event::InitApply(object)) => {
                let key = key(&object);
                list.insert(key.clone(), ());
                index.put(object);
                vec![key]
            }
            Ok(Event::InitDone) => {
                let gone = index.keep_only(&list);
                list.clear();
                listed.send_replace(true);
                gone
            }
            Ok(Event::Apply(object)) => {
                let key = key(&object);
                tracing::trace!(kind = %K::plural(&()), namespace = key.0, name = key.1, "seen");
                index.put(object);
                vec![key]
            }
            Ok(Event::Delete(object)) => {
                let key = key(&object);
                tracing::trace!(kind = %K::plural(&()), namespace = key.0, name = key.1, "seen to be gone");
                index.remove(&key);
                vec![key]
            }
            Err(error) => {
                tracing::warn!("watching {}: {error}", K::plural(&()));
                Vec::new()
            }
        };
        if *listed.borrow() {
            for key in keys {
                // Nobody listens any more only while the host shuts down.
                let _ = changed.send(key).await;
            }
        }
    }
}

/// What a watch shows, after a pause where it failed. Where the API server does not know the version any more from which a watch is to begin,
/// everything is listed anew: the library asks for that version again and again.
pub fn events<K>(
    api: Api<K>,
    how: watcher::Config,
) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let begin = move || watcher::watcher(api.clone(), how.clone()).boxed();
    let first = begin();
    let events = stream::unfold((first, begin), |(mut events, begin)| async move {
        let event = events.next().await?;
        if event.as_ref().is_err_and(is_expired) {
            events = begin();
        }
        Some((event, (events, begin)))
    });
    events.default_backoff()
}

fn is_expired(error: &watcher::Error) -> bool {
    let watcher::Error::WatchStartFailed(kube::Error::Api(status)) = error else {
        return false;
    };
    status.code == StatusCode::GONE.as_u16()
}

/// How everything is watched that the selector chooses, for so long at a time.
#[must_use]
pub fn config(selector: Option<&str>, watch_secs: u16) -> watcher::Config {
    let config = watcher::Config::default().page_size(PAGE_SIZE).timeout(watch_secs.into());
    match selector {
        Some(selector) => config.labels(selector),
        None => config,
    }
}

/// The namespace and the name of an object.
pub fn key<K: Resource>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}
