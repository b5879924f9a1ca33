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
        reflector::{ObjectRef, store::Writer},
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

/// Keeps in the store what a watch shows, and answers the namespace and name of each object that is there: not before the store shows it. `gone` is
/// told of each that is there no more, by its last known state, also where only a list tells that because the watch was interrupted.
///
/// While everything is listed anew the store shows what was there before, for as long as all pages take. Whoever looked then would see the old, or
/// nothing, and not be told again.
pub fn reflected<K>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
    mut writer: Writer<K>,
    mut gone: impl FnMut(&K),
) -> impl Stream<Item = Key>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    events.flat_map(move |event| {
        let keys = match event {
            Ok(event) => take_in(&mut writer, &event, &mut gone),
            Err(error) => {
                tracing::warn!("watching {}: {error}", K::plural(&()));
                Vec::new()
            }
        };
        stream::iter(keys)
    })
}

fn take_in<K>(writer: &mut Writer<K>, event: &Event<K>, gone: &mut impl FnMut(&K)) -> Vec<Key>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let store = writer.as_reader();
    let before = if matches!(event, Event::InitDone) { store.state() } else { Vec::new() };
    writer.apply_watcher_event(event);
    match event {
        Event::Init | Event::InitApply(_) => Vec::new(),
        Event::InitDone => {
            for old in before {
                let now = store.get(&ObjectRef::from_obj(old.as_ref()));
                if now.is_none_or(|now| now.meta().uid != old.meta().uid) {
                    gone(&old);
                }
            }
            store.state().iter().map(|object| key(object.as_ref())).collect()
        }
        Event::Apply(object) => vec![key(object)],
        Event::Delete(object) => {
            gone(object);
            Vec::new()
        }
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use kube::runtime::reflector;

    use super::*;
    use crate::objects::SetObject;

    fn set(name: &str, uid: &str, version: &str) -> SetObject {
        let metadata = serde_json::json!({
            "namespace": "shop", "name": name, "uid": uid, "resourceVersion": version,
        });
        serde_json::from_value(serde_json::json!({ "metadata": metadata, "spec": {} })).unwrap()
    }

    /// What is answered to each event, and who is told to be gone; a set that is answered is in the store, in its last version.
    fn shown(events: Vec<Event<SetObject>>) -> (Vec<Vec<String>>, Vec<String>) {
        let (store, writer) = reflector::store();
        let (sender, events_of) = mpsc::unbounded_channel();
        let mut events_of = events_of;
        let events_of = stream::poll_fn(move |context| events_of.poll_recv(context)).map(Ok);
        let gone = Mutex::new(Vec::new());
        let mut newest = BTreeMap::new();
        let mut answered = Vec::new();
        {
            let told = |set: &SetObject| {
                gone.lock().unwrap().push(set.metadata.uid.clone().unwrap_or_default());
            };
            let mut keys = std::pin::pin!(reflected(events_of, writer, told));
            for event in events {
                if let Event::Apply(set) | Event::InitApply(set) = &event {
                    newest.insert(set.name_any(), set.resource_version());
                }
                sender.send(event).unwrap();
                let mut names = Vec::new();
                while let Some(Some((namespace, name))) =
                    futures::FutureExt::now_or_never(keys.next())
                {
                    let stored = store.get(&ObjectRef::new(&name).within(&namespace)).unwrap();
                    assert_eq!(stored.resource_version(), newest[&name], "{name} in the store");
                    names.push(name);
                }
                names.sort();
                answered.push(names);
            }
        }
        (answered, gone.into_inner().unwrap())
    }

    fn list(sets: Vec<SetObject>) -> Vec<Event<SetObject>> {
        let sets = sets.into_iter().map(Event::InitApply);
        std::iter::once(Event::Init).chain(sets).chain(std::iter::once(Event::InitDone)).collect()
    }

    #[test]
    fn what_a_new_list_brings_is_told_once_the_store_shows_it() {
        let first = list(vec![set("db", "a", "1")]);
        let second = list(vec![set("db", "a", "2"), set("web", "b", "3")]);
        let (answered, gone) = shown([first, second].concat());
        let nothing = Vec::<String>::new;
        let whole = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let expected: Vec<Vec<String>> = vec![
            nothing(),
            nothing(),
            whole(&["db"]),
            nothing(),
            nothing(),
            nothing(),
            whole(&["db", "web"]),
        ];
        assert_eq!(answered, expected);
        assert_eq!(gone, nothing());
    }

    #[test]
    fn what_a_new_list_does_not_bring_is_told_to_be_gone_and_so_is_what_has_another_uid() {
        let first = list(vec![set("db", "a", "1"), set("web", "b", "2"), set("log", "c", "3")]);
        let second = list(vec![set("db", "a", "1"), set("web", "d", "5")]);
        let (answered, mut gone) = shown([first, second].concat());
        assert_eq!(answered.last().unwrap(), &["db", "web"]);
        gone.sort();
        assert_eq!(gone, ["b", "c"]);
    }

    #[test]
    fn a_change_is_told_at_once_and_a_deletion_as_the_end() {
        let then = vec![Event::Apply(set("db", "a", "2")), Event::Delete(set("db", "a", "3"))];
        let (answered, gone) = shown([list(vec![set("db", "a", "1")]), then].concat());
        assert_eq!(answered[3..], [vec!["db".to_owned()], vec![]]);
        assert_eq!(gone, ["a"]);
    }
}
