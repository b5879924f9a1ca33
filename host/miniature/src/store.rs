//! What is kept, and what has become of it lately: each change has a revision of its own, and can be undone in thought.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::kind::Kind;

/// What tells the time in a cluster.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How many changes are kept: what a test may be late by, in memory that many tests can share.
const CHANGES_MAX: usize = 5_000;

/// Where an object lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty where its kind lies in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It made the object.
    Created,
    /// It changed the object.
    Updated,
    /// It let go of the object for good.
    Deleted,
}

/// One change.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its number, from 1; the version of the object that it left.
    pub revision: u64,
    /// What it did.
    pub what: What,
    /// To which object.
    pub key: Key,
    /// The object as it is since then, or as it was last.
    pub object: Arc<Value>,
    /// The object as it was before.
    pub before: Option<Arc<Value>>,
    /// Who asked for it: a client by its user agent, or a controller by its name.
    pub by: String,
    /// When it was made.
    pub at: Timestamp,
}

/// Every object, and the changes that made it what it is.
pub struct Store {
    clock: Clock,
    objects: BTreeMap<Key, Arc<Value>>,
    revision: u64,
    /// The changes after `compacted`, each with the revision after that of the one before.
    changes: VecDeque<Change>,
    compacted: u64,
    uids: u64,
}

impl Key {
    /// The key of an object in a namespace.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        let namespace = if kind.is_namespaced() { namespace } else { "" };
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl Store {
    /// Nothing yet.
    #[must_use]
    pub const fn new(clock: Clock) -> Self {
        Self {
            clock,
            objects: BTreeMap::new(),
            revision: 0,
            changes: VecDeque::new(),
            compacted: 0,
            uids: 0,
        }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The time so many seconds from this moment on, as objects bear it: in whole seconds.
    #[must_use]
    pub fn stamp(&self, secs: i64) -> String {
        let moment = self.now().as_second() + secs;
        Timestamp::from_second(moment).unwrap_or(Timestamp::MAX).to_string()
    }

    /// The number of the last change.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The object, if it is there.
    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).cloned()
    }

    /// The objects of a kind, in the order of their namespaces and names; in one namespace, where one is named.
    pub fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Arc<Value>> {
        of_kind(&self.objects, kind, namespace)
    }

    /// The objects that bear this namespace, of whatever kind.
    pub fn content(&self, namespace: &str) -> Vec<Key> {
        self.objects.keys().filter(|key| key.namespace == namespace).cloned().collect()
    }

    /// Every object.
    pub fn all(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter()
    }

    /// The same list as it was after this revision, of which nothing may be forgotten.
    pub fn list_at(&self, revision: u64, kind: Kind, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let mut objects = self.objects.clone();
        let later = self.changes.iter().rev().take_while(|change| change.revision > revision);
        for change in later {
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), Arc::clone(before)),
                None => objects.remove(&change.key),
            };
        }
        of_kind(&objects, kind, namespace)
    }

    /// The changes after this revision, up to the other.
    pub fn between(&self, after: u64, last: u64) -> impl Iterator<Item = &Change> {
        let known = self.changes.partition_point(|change| change.revision <= after);
        self.changes.range(known..).take_while(move |change| change.revision <= last)
    }

    /// The revision that was the newest, this long ago.
    pub fn revision_before(&self, delay: Duration) -> u64 {
        let now = self.now();
        let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
        let known = self.changes.partition_point(|change| now.duration_since(change.at) >= delay);
        let known = known.checked_sub(1).and_then(|last| self.changes.get(last));
        known.map_or(self.compacted, |change| change.revision)
    }

    /// The changes that are not forgotten.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter()
    }

    /// Whether what was after this revision is forgotten.
    pub const fn is_forgotten(&self, revision: u64) -> bool {
        revision < self.compacted
    }

    /// Forgets what was before.
    pub fn compact(&mut self) {
        self.changes.clear();
        self.compacted = self.revision;
    }

    /// A UID that no object has had.
    pub fn fresh_uid(&mut self) -> String {
        self.uids += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.uids)
    }

    /// Keeps this as the object's newest version; answers it with that version.
    pub fn put(&mut self, key: &Key, object: Value, by: &str) -> Arc<Value> {
        let object = self.numbered(object);
        let before = self.objects.insert(key.clone(), Arc::clone(&object));
        let what = if before.is_some() { What::Updated } else { What::Created };
        self.note(what, key, (Arc::clone(&object), before), by);
        object
    }

    /// Lets go of the object for good.
    pub fn remove(&mut self, key: &Key, by: &str) {
        if let Some(before) = self.objects.remove(key) {
            let last = self.numbered(Value::clone(&before));
            self.note(What::Deleted, key, (last, Some(before)), by);
        }
    }

    fn numbered(&mut self, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        Arc::new(object)
    }

    fn note(
        &mut self,
        what: What,
        key: &Key,
        (object, before): (Arc<Value>, Option<Arc<Value>>),
        by: &str,
    ) {
        let (revision, at) = (self.revision, self.now());
        let (key, by) = (key.clone(), by.to_owned());
        self.changes.push_back(Change { revision, what, key, object, before, by, at });
        if self.changes.len() > CHANGES_MAX
            && let Some(oldest) = self.changes.pop_front()
        {
            self.compacted = oldest.revision;
        }
    }
}

fn of_kind(
    objects: &BTreeMap<Key, Arc<Value>>,
    kind: Kind,
    namespace: Option<&str>,
) -> Vec<Arc<Value>> {
    let from = Key::new(kind, namespace.unwrap_or_default(), "");
    let rest = objects.range(from..).take_while(|(key, _)| {
        key.kind == kind && namespace.is_none_or(|name| key.namespace == name)
    });
    rest.map(|(_, object)| Arc::clone(object)).collect()
}
