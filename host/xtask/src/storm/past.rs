//! What happened in one namespace, as etcd and the API server's own record have it. Plain JSON: nothing here knows what the host thinks of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::audit::Request;

/// The kinds of objects that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A service account; only that it is there.
    Account,
    /// An event.
    Event,
    /// A PersistentVolumeClaim.
    Claim,
    /// A pod.
    Pod,
    /// A StatefulSet.
    Set,
}

/// One write that etcd took.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// etcd's own number of the write.
    pub(super) revision: u64,
    /// What was written.
    pub(super) kind: Kind,
    /// Its name.
    pub(super) name: String,
    /// The object as written; none where it was removed.
    pub(super) object: Option<Arc<Value>>,
}

/// Objects by kind and name.
pub(super) type Objects = BTreeMap<(Kind, String), Arc<Value>>;

/// Everything that is known of one namespace's past.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// Every write, oldest first.
    pub(super) entries: Vec<Entry>,
    /// What the hosts asked, in the order of the answers.
    pub(super) asked: Vec<Request>,
    /// The UIDs of the drain pods whose work the node saw reach its end: what they drained is somewhere else.
    pub(super) moved: BTreeSet<String>,
    /// When a person's write was answered, by its revision.
    pub(super) answered: BTreeMap<u64, Timestamp>,
}

impl Past {
    /// The objects as they were just before this revision.
    pub(super) fn before(&self, revision: u64) -> Objects {
        let mut objects = Objects::new();
        for entry in self.entries.iter().take_while(|entry| entry.revision < revision) {
            apply(&mut objects, entry);
        }
        objects
    }

    /// Every version of the object of this UID, oldest first, with its revision.
    pub(super) fn versions<'a>(
        &'a self,
        kind: Kind,
        of_uid: &'a str,
    ) -> impl Iterator<Item = (u64, &'a Value)> {
        let of_kind = self.entries.iter().filter(move |entry| entry.kind == kind);
        let written = of_kind.filter_map(|entry| Some((entry.revision, entry.object.as_deref()?)));
        written.filter(move |(_, object)| uid(object) == of_uid)
    }
}

/// Takes one write into what is there.
pub(super) fn apply(objects: &mut Objects, entry: &Entry) {
    let key = (entry.kind, entry.name.clone());
    match &entry.object {
        Some(object) => objects.insert(key, Arc::clone(object)),
        None => objects.remove(&key),
    };
}

/// All objects of one kind.
pub(super) fn of_kind(objects: &Objects, kind: Kind) -> impl Iterator<Item = &Value> {
    objects.iter().filter(move |((of, _), _)| *of == kind).map(|(_, object)| &**object)
}

/// The object of this kind and name.
pub(super) fn get<'a>(objects: &'a Objects, kind: Kind, name: &str) -> Option<&'a Value> {
    objects.get(&(kind, name.to_owned())).map(|object| &**object)
}

/// A text of the object, empty where it is not there.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list of the object.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The object's UID.
pub(super) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// The object's name.
pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// An annotation of the object.
pub(super) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][key].as_str()
}

/// A label of the object.
pub(super) fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["labels"][key].as_str()
}

/// Whether its deletion was asked for.
pub(super) fn is_terminating(object: &Value) -> bool {
    !text(object, "/metadata/deletionTimestamp").is_empty()
}

/// Whether it bears this finalizer.
pub(super) fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    list(object, "/metadata/finalizers").any(|one| one == finalizer)
}

/// Whether a pod is over: nothing of it runs or will.
pub(super) fn has_ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether a pod mounts the claim of this name.
pub(super) fn mounts(pod: &Value, claim: &str) -> bool {
    list(pod, "/spec/volumes")
        .any(|volume| text(volume, "/persistentVolumeClaim/claimName") == claim)
}

/// Whether a person, or a node or controller, marked the pod as taken down from outside.
pub(super) fn is_disrupted(pod: &Value) -> bool {
    list(pod, "/status/conditions")
        .any(|one| text(one, "/type") == "DisruptionTarget" && text(one, "/status") == "True")
}

/// The UID of the object's controller, where that is of this kind.
pub(super) fn controller<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let mut owners = list(object, "/metadata/ownerReferences");
    let owner = owners.find(|owner| owner["controller"] == true && text(owner, "/kind") == kind)?;
    Some(text(owner, "/uid"))
}
