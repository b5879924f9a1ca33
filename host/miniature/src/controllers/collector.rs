//! The garbage collector: what has owners and has lost them all is deleted, and what is deleted in the foreground waits for what it owns.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::object::{Owner, finalizers, is_deleted, owners, uid};
use crate::store::{Key, Store};
use crate::write::{Deletion, FOREGROUND, ORPHAN, Part, Propagation, Writer};

/// Who writes.
pub(crate) const NAME: &str = "garbage-collector";

/// What an owner is to an object that it owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is there.
    Solid,
    /// It is there, and waits for what it owns.
    Waiting,
    /// It is gone.
    Dangling,
}

/// Does one thing for one object.
pub(crate) fn act(writer: &mut Writer<'_>) -> bool {
    let concerns = |object: &Value| {
        owners(object).next().is_some() || (is_deleted(object) && !finalizers(object).is_empty())
    };
    let all = writer.store.all().filter(|(_, object)| concerns(object));
    let all: Vec<_> = all.map(|(key, object)| (key.clone(), Arc::clone(object))).collect();
    all.iter().any(|(key, object)| {
        if is_deleted(object) && finalizers(object).contains(&ORPHAN) {
            return leave_behind(writer, key, object);
        }
        if is_waiting(object) {
            return wait_for_owned(writer, key, object);
        }
        !is_deleted(object) && collect(writer, key, object)
    })
}

fn is_waiting(object: &Value) -> bool {
    is_deleted(object) && finalizers(object).contains(&FOREGROUND)
}

/// Deletes an object whose owners are gone or wait for it; where it has others, strikes those.
fn collect(writer: &mut Writer<'_>, key: &Key, object: &Value) -> bool {
    let standings: Vec<Standing> =
        owners(object).map(|owner| standing(writer.store, key, owner)).collect();
    let any = |standing| standings.contains(&standing);
    if any(Standing::Solid) {
        if !any(Standing::Waiting) && !any(Standing::Dangling) {
            return false;
        }
        let kept = owners(object).zip(&standings).filter(|(_, it)| **it == Standing::Solid);
        let kept = kept.map(|(owner, _)| owner.reference.clone()).collect();
        return own(writer, key, kept);
    }
    let has_owned = owned_by(writer.store, object).next().is_some();
    let propagation = match () {
        () if standings.is_empty() => return false,
        () if any(Standing::Waiting) && has_owned => Propagation::Foreground,
        () if finalizers(object).contains(&ORPHAN) => Propagation::Orphan,
        () if finalizers(object).contains(&FOREGROUND) => Propagation::Foreground,
        () => Propagation::Background,
    };
    let deletion = Deletion { propagation: Some(propagation), ..Deletion::of(object) };
    writer.delete(key, &deletion).is_ok()
}

/// Frees an object that is deleted in the foreground, once nothing is left that it owns and that blocks it.
fn wait_for_owned(writer: &mut Writer<'_>, key: &Key, object: &Value) -> bool {
    let blocks = |(_, owned): (&Key, &Arc<Value>)| {
        owners(owned).any(|owner| owner.uid() == uid(object) && owner.blocks())
    };
    if owned_by(writer.store, object).any(blocks) {
        return false;
    }
    take_off(writer, key, FOREGROUND)
}

/// Takes an owner that is deleted without what it owns off all of that, and then lets it go.
fn leave_behind(writer: &mut Writer<'_>, key: &Key, object: &Value) -> bool {
    let left = owned_by(writer.store, object).next();
    let left = left.map(|(key, owned)| (key.clone(), Arc::clone(owned)));
    match left {
        Some((left, owned)) => {
            let others = owners(&owned).filter(|owner| owner.uid() != uid(object));
            own(writer, &left, others.map(|owner| owner.reference.clone()).collect())
        }
        None => take_off(writer, key, ORPHAN),
    }
}

/// An owner of a kind that is not kept here counts as there, as one that the collector cannot look up does.
fn standing(store: &Store, owned: &Key, owner: Owner<'_>) -> Standing {
    let Some(kind) = Kind::named(owner.api_version(), owner.kind()) else {
        return Standing::Solid;
    };
    match store.get(&Key::new(kind, &owned.namespace, owner.name())) {
        Some(found) if uid(&found) != owner.uid() => Standing::Dangling,
        Some(found) if is_waiting(&found) => Standing::Waiting,
        Some(_) => Standing::Solid,
        None => Standing::Dangling,
    }
}

fn owned_by<'a>(
    store: &'a Store,
    owner: &'a Value,
) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
    store.all().filter(|(_, object)| owners(object).any(|it| it.uid() == uid(owner)))
}

fn own(writer: &mut Writer<'_>, key: &Key, references: Vec<Value>) -> bool {
    let owned = writer.update(key, Part::Main, |object| {
        let mut object = object.clone();
        object["metadata"]["ownerReferences"] = json!(references);
        Ok(object)
    });
    owned.is_ok()
}

fn take_off(writer: &mut Writer<'_>, key: &Key, finalizer: &str) -> bool {
    let freed = writer.update(key, Part::Main, |object| {
        let mut object = object.clone();
        let others = finalizers(&object).into_iter().filter(|it| *it != finalizer);
        object["metadata"]["finalizers"] = others.map(str::to_owned).collect();
        Ok(object)
    });
    freed.is_ok()
}
