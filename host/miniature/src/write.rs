//! The rules by which the API server writes: names, versions, finalizers, grace and preconditions. Clients and controllers go the same way.

use std::sync::Arc;

use serde_json::{Value, json};

use super::admission;
use super::kind::Kind;
use super::object::{finalizers, has_ended, is_deleted, name, namespace, text, uid, version};
use super::refusal::Refusal;
use super::store::{Key, Store};

/// The finalizer of an object that is deleted after what it owns.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object that is deleted without what it owns.
pub const ORPHAN: &str = "orphan";

/// Whether a write is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is.
    Real,
    /// It is answered as if it were.
    DryRun,
}

/// Which part of an object an update changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status.
    Main,
    /// The status, and what of the metadata may go with it.
    Status,
    /// What only the control plane itself writes: the binding of pods and claims.
    Binding,
}

/// What becomes of what an object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// It goes after the object.
    Background,
    /// It goes before the object.
    Foreground,
    /// It stays.
    Orphan,
}

/// How an object is deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// Only the object with this UID.
    pub uid: Option<String>,
    /// Only the object in this version.
    pub version: Option<String>,
    /// What becomes of what it owns.
    pub propagation: Option<Propagation>,
    /// How long it has to end.
    pub grace_secs: Option<i64>,
}

/// Somebody who writes.
pub struct Writer<'a> {
    /// What is written to.
    pub store: &'a mut Store,
    /// Who writes.
    pub by: &'a str,
    /// Whether anything is kept of it.
    pub effect: Effect,
}

type Answer = Result<Arc<Value>, Refusal>;

impl Deletion {
    /// Of exactly this object, in whatever version.
    pub fn of(object: &Value) -> Self {
        Self { uid: Some(uid(object).to_owned()), ..Self::default() }
    }
}

impl Writer<'_> {
    /// Creates an object in a namespace.
    pub fn create(&mut self, kind: Kind, within: &str, body: &Value) -> Answer {
        let mut object = body.clone();
        let uid = self.store.fresh_uid();
        let metadata = &mut object["metadata"];
        if text(metadata, "/name").is_empty() && !text(metadata, "/generateName").is_empty() {
            let suffix = uid.rsplit('-').next().unwrap_or_default();
            metadata["name"] = json!(format!("{}{suffix}", text(metadata, "/generateName")));
        }
        let key = Key::new(kind, within, name(&object));
        self.may_be_made(&key, &object)?;
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.word());
        let metadata = &mut object["metadata"];
        metadata["uid"] = json!(uid);
        metadata["creationTimestamp"] = json!(self.store.stamp(0));
        if kind.is_namespaced() {
            metadata["namespace"] = json!(within);
        }
        if kind.has_generation() {
            metadata["generation"] = json!(1);
        }
        admission::complete(kind, &mut object);
        tidy(&mut object);
        Ok(self.keep(&key, object))
    }

    /// Changes an object. One that nothing changes of keeps its version.
    pub fn update(
        &mut self,
        key: &Key,
        part: Part,
        change: impl FnOnce(&Value) -> Result<Value, Refusal>,
    ) -> Answer {
        let before = self.find(key)?;
        let mut after = change(&before)?;
        let asked = version(&after);
        if !asked.is_empty() && asked != version(&before) {
            let why = "the object has been modified; please apply your changes to the latest version and try again";
            return Err(Refusal::conflict(key.kind, &key.name, why));
        }
        retain(key.kind, part, &before, &mut after);
        if part != Part::Binding {
            admission::may_become(key.kind, &before, &after)?;
        }
        if key.kind.has_generation() && part == Part::Main && after["spec"] != before["spec"] {
            after["metadata"]["generation"] = json!(generation(&before) + 1);
        }
        if *before == after {
            return Ok(before);
        }
        let grace_is_over =
            before["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0;
        if is_deleted(&before)
            && finalizers(&after).is_empty()
            && grace_is_over
            && !is_held(key, &after)
        {
            self.drop(key);
            return Ok(Arc::new(after));
        }
        Ok(self.keep(key, after))
    }

    /// Deletes an object: at once, or when its grace and its finalizers are over. Answers it as it was last.
    pub fn delete(&mut self, key: &Key, asked: &Deletion) -> Answer {
        let before = self.find(key)?;
        precondition(key, "UID", asked.uid.as_deref(), uid(&before))?;
        precondition(key, "ResourceVersion", asked.version.as_deref(), version(&before))?;
        let mut after = Value::clone(&before);
        let grace_secs = match key.kind {
            Kind::Pod => match grace(&before, asked.grace_secs) {
                // It is being deleted already, and is not to be so any sooner.
                None => return Ok(before),
                Some(secs) => secs,
            },
            Kind::Namespace
            | Kind::Node
            | Kind::ConfigMap
            | Kind::Set
            | Kind::Claim
            | Kind::Event
            | Kind::Lease => 0,
        };
        set_finalizers(&mut after, asked.propagation);
        if key.kind == Kind::Namespace {
            after["status"]["phase"] = json!("Terminating");
        }
        if grace_secs == 0 && finalizers(&after).is_empty() && !is_held(key, &after) {
            self.drop(key);
            return Ok(before);
        }
        if !is_deleted(&before) && key.kind.has_generation() {
            after["metadata"]["generation"] = json!(generation(&before) + 1);
        }
        if !is_deleted(&before) || grace_of(&before) != grace_secs {
            after["metadata"]["deletionTimestamp"] = json!(self.store.stamp(grace_secs));
        }
        after["metadata"]["deletionGracePeriodSeconds"] = json!(grace_secs);
        Ok(if *before == after { before } else { self.keep(key, after) })
    }

    /// Deletes a pod as a node that is emptied does, and marks it so. No budget stands in the way.
    pub fn evict(&mut self, key: &Key, asked: &Deletion) -> Answer {
        let before = self.find(key)?;
        precondition(key, "UID", asked.uid.as_deref(), uid(&before))?;
        let mark = json!({
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
            "lastTransitionTime": self.store.stamp(0),
        });
        if !is_deleted(&before) {
            self.update(key, Part::Status, |pod| Ok(with_condition(pod, mark)))?;
        }
        self.delete(key, asked)
    }

    /// Lets a namespace go of which nothing is left.
    pub fn finalize(&mut self, namespace: &Key) {
        self.drop(namespace);
    }

    fn find(&self, key: &Key) -> Answer {
        self.store.get(key).ok_or_else(|| Refusal::not_found(key.kind, &key.name))
    }

    fn may_be_made(&self, key: &Key, object: &Value) -> Result<(), Refusal> {
        let (kind, within) = (key.kind, key.namespace.as_str());
        if key.name.is_empty() {
            let why = "Required value: name or generateName is required";
            return Err(Refusal::invalid(kind, "", "metadata.name", why));
        }
        if !version(object).is_empty() {
            let why = "resourceVersion should not be set on objects to be created";
            return Err(Refusal::bad_request(why));
        }
        if !matches!(namespace(object), "") && namespace(object) != within {
            let why = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Refusal::bad_request(why));
        }
        if kind.is_namespaced() {
            let home = self.find(&Key::new(Kind::Namespace, "", within))?;
            if is_deleted(&home) {
                let why = format!(
                    "unable to create new content in namespace {within} because it is being terminated"
                );
                return Err(Refusal::forbidden(kind, &key.name, &why));
            }
        }
        if self.store.get(key).is_some() {
            return Err(Refusal::already_exists(kind, &key.name));
        }
        admission::well_owned(kind, object)
    }

    fn keep(&mut self, key: &Key, object: Value) -> Arc<Value> {
        match self.effect {
            Effect::Real => self.store.put(key, object, self.by),
            Effect::DryRun => Arc::new(object),
        }
    }

    fn drop(&mut self, key: &Key) {
        match self.effect {
            Effect::Real => self.store.remove(key, self.by),
            Effect::DryRun => {}
        }
    }
}

/// The object with this condition in the place of the one of its type.
pub fn with_condition(object: &Value, condition: Value) -> Value {
    let mut object = object.clone();
    let before = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let others: Vec<Value> =
        before.into_iter().filter(|it| it["type"] != condition["type"]).collect();
    object["status"]["conditions"] = others.into_iter().chain([condition]).collect();
    object
}

/// A namespace is not held by the finalizers of its metadata, but by those of its spec, which its controller alone takes off.
fn is_held(key: &Key, object: &Value) -> bool {
    key.kind == Kind::Namespace && !object["spec"]["finalizers"].is_null()
}

fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap_or_default()
}

fn precondition(key: &Key, what: &str, asked: Option<&str>, found: &str) -> Result<(), Refusal> {
    match asked {
        Some(asked) if asked != found => {
            let why = format!(
                "Precondition failed: {what} in precondition: {asked}, {what} in object meta: {found}"
            );
            Err(Refusal::conflict(key.kind, &key.name, &why))
        }
        Some(_) | None => Ok(()),
    }
}

/// Puts back what this update may not change.
fn retain(kind: Kind, part: Part, before: &Value, after: &mut Value) {
    for field in ["apiVersion", "kind"] {
        after[field] = before[field].clone();
    }
    let fixed = [
        "name",
        "namespace",
        "creationTimestamp",
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
    ];
    let keep = |after: &mut Value, field: &str, from: &Value| match from.get(field) {
        Some(value) => after[field] = value.clone(),
        None => {
            after.as_object_mut().map(|fields| fields.remove(field));
        }
    };
    for field in fixed {
        keep(&mut after["metadata"], field, &before["metadata"]);
    }
    if uid(after).is_empty() {
        keep(&mut after["metadata"], "uid", &before["metadata"]);
    }
    match part {
        Part::Main if kind.has_status() => keep(after, "status", before),
        Part::Status => {
            keep(after, "spec", before);
            if kind == Kind::Pod {
                keep(&mut after["metadata"], "ownerReferences", &before["metadata"]);
            }
        }
        Part::Main | Part::Binding => {}
    }
    tidy(after);
}

/// What is empty and what is not there are the same to whoever reads the object as its type, and are kept the same way.
fn tidy(object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|_, value| match value {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        });
    }
}

fn grace_of(object: &Value) -> i64 {
    object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default()
}

/// How long a pod has from this deletion on; none where a deletion before grants no more.
fn grace(pod: &Value, asked_secs: Option<i64>) -> Option<i64> {
    if is_deleted(pod) {
        return asked_secs.filter(|secs| *secs < grace_of(pod));
    }
    if text(pod, "/spec/nodeName").is_empty() || has_ended(pod) {
        return Some(0);
    }
    let granted = pod["spec"]["terminationGracePeriodSeconds"].as_i64();
    Some(asked_secs.or(granted).unwrap_or_default())
}

/// The collector's finalizers say what becomes of what an object owns; what a deletion does not say stays as it was.
fn set_finalizers(object: &mut Value, propagation: Option<Propagation>) {
    let held = |what: &str| finalizers(object).contains(&what);
    let (is_orphaning, is_foreground) = match propagation {
        Some(Propagation::Background) => (false, false),
        Some(Propagation::Foreground) => (false, true),
        Some(Propagation::Orphan) => (true, false),
        None if held(ORPHAN) => (true, false),
        None => (false, held(FOREGROUND)),
    };
    let others = finalizers(object).into_iter().filter(|it| ![FOREGROUND, ORPHAN].contains(it));
    let orphaning = is_orphaning.then_some(ORPHAN);
    let foreground = is_foreground.then_some(FOREGROUND);
    let all: Vec<String> = others.chain(orphaning).chain(foreground).map(str::to_owned).collect();
    match object["metadata"].as_object_mut() {
        Some(fields) if all.is_empty() => {
            fields.remove("finalizers");
        }
        Some(_) => object["metadata"]["finalizers"] = json!(all),
        None => {}
    }
}
