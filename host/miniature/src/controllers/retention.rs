//! Whose a claim is, by what its set says becomes of claims when it is scaled and when it is deleted.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::object::{Owner, name, owners, text, uid};

/// Whether the set wants a pod of this ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Yes,
    No,
}

/// The owners that the claim is to have, for a member of its set.
pub(crate) fn owners_of(claim: &Value, set: &Value, member: &Value, wanted: Wanted) -> Vec<Value> {
    let is_ours =
        |owner: &Owner<'_>| is_named(*owner, Kind::Set, set) || is_named(*owner, Kind::Pod, member);
    let of_others = owners(claim).filter(|owner| !is_ours(owner));
    let mut references: Vec<Value> = of_others.map(|owner| owner.reference.clone()).collect();
    if is_directed_by_another(claim, set, member) {
        return owners(claim).map(|owner| owner.reference.clone()).collect();
    }
    let fate = |when: &str| {
        text(set, &format!("/spec/persistentVolumeClaimRetentionPolicy/{when}")) == "Delete"
    };
    match (fate("whenScaled"), fate("whenDeleted"), wanted) {
        (true, _, Wanted::No) => references.push(reference(Kind::Pod, member)),
        (_, true, _) => references.push(reference(Kind::Set, set)),
        (true | false, false, _) => {}
    }
    references
}

/// Whether the claim is about to go with a member of this name that is gone already.
pub(crate) fn is_stale(claim: &Value, set: &Value, member: &str) -> bool {
    let goes = text(set, "/spec/persistentVolumeClaimRetentionPolicy/whenScaled") == "Delete";
    let of_before = |owner: Owner<'_>| owner.kind() == Kind::Pod.word() && owner.name() == member;
    goes && owners(claim).any(of_before)
}

/// A reference to an owner that directs what it owns.
pub(crate) fn reference(kind: Kind, owner: &Value) -> Value {
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.word(),
        "name": name(owner),
        "uid": uid(owner),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// A claim that somebody else directs is left as it is, and so is one of a set or a member of the same name that was another.
fn is_directed_by_another(claim: &Value, set: &Value, member: &Value) -> bool {
    owners(claim).any(|owner| {
        let ours = [(Kind::Set, set), (Kind::Pod, member)];
        match ours.into_iter().find(|(kind, object)| is_named(owner, *kind, object)) {
            Some((_, object)) => owner.uid() != uid(object),
            None => owner.is_controller(),
        }
    })
}

fn is_named(owner: Owner<'_>, kind: Kind, object: &Value) -> bool {
    let kinds = (owner.api_version(), owner.kind()) == (kind.api_version(), kind.word());
    kinds && owner.name() == name(object)
}
