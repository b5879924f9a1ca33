//! Judges the past of one namespace. It is written from the design's words and Kubernetes' own, and neither reads nor calls what the host is made of.
//!
//! A host reads, decides and writes, and the world goes on meanwhile. What it could not know when it last read is no fault of it where nothing
//! in Kubernetes could have told it: so each rule about what people do asks whether their write was answered before the host's last reading began.

mod claims;
mod pace;
mod pods;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::audit::Request;
use super::past::{Entry, Kind, Past, annotation, is_terminating, name, text};

pub(super) use claims::deleted_by_hosts;

/// The annotation with the marks of a drain pod.
const DRAIN: &str = "tidegate.dev/drain";

/// The annotation that says which pod was sealed.
const SEALED: &str = "tidegate.dev/sealed";

/// What stands before the pod's UID in it once the seal is being given back.
const GIVEN_BACK: &str = "given-back ";

/// The annotation of a pod that was unsealed because its claims were deleted.
const DRAINED: &str = "tidegate.dev/drained";

/// The finalizer of a sealed pod.
const SEAL: &str = "tidegate.dev/seal";

/// The label of an enrolled claim, and of what drains it.
const ENROLLED: &str = "tidegate.dev/set-uid";

/// Everything that must never happen and did, in words with revisions.
pub(super) fn judge(past: &Past) -> Vec<String> {
    [claims::judge(past), pods::judge(past), pace::judge(past)].concat()
}

/// What a drain pod says of itself.
struct Marks {
    set_uid: String,
    /// The UIDs of the claims.
    claims: Vec<String>,
    /// The names of the rendered containers that must end with 0.
    containers: Vec<String>,
}

/// The marks of a pod, where it has any that can be read.
fn marks(pod: &Value) -> Option<Marks> {
    let marks: Value = serde_json::from_str(annotation(pod, DRAIN)?).ok()?;
    let texts = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let containers = &marks["containers"];
    let claims = marks["claims"].as_object()?.values();
    Some(Marks {
        set_uid: text(&marks, "/setUid").to_owned(),
        claims: claims.filter_map(Value::as_str).map(str::to_owned).collect(),
        containers: [texts(&containers["main"]), texts(&containers["init"])].concat(),
    })
}

/// When the host that sent this request last began to read these objects before it.
fn last_read(past: &Past, request: &Request, resource: &str) -> Option<Timestamp> {
    let reads = past.asked.iter().filter(|asked| {
        asked.credential == request.credential
            && asked.resource == resource
            && matches!(asked.verb.as_str(), "get" | "list")
            && asked.code == 200
            && asked.received < request.received
    });
    reads.map(|asked| asked.received).max()
}

/// Whether a write of a person was answered before this moment; what no person wrote is not known to be.
fn was_known(past: &Past, revision: u64, at: Option<Timestamp>) -> bool {
    let answered = past.answered.get(&revision);
    answered.zip(at).is_some_and(|(answered, at)| *answered < at)
}

/// The deletions of such objects that hosts asked for and that were carried out, each with the revision that it made.
///
/// Where the host was killed before its answer, the API server's record says that the request failed, and it may have been carried out all the same:
/// it counts, unless a person's write is what made the revision.
fn deletions<'a>(past: &'a Past, resource: &str, kind: Kind) -> Vec<(&'a Request, u64)> {
    let asked =
        past.asked.iter().filter(|asked| asked.verb == "delete" && asked.resource == resource);
    let with_revision = asked.filter_map(|asked| {
        let begun = deletion_of(past, kind, &asked.of_uid);
        match asked.code {
            200..300 => Some((asked, asked.revision.or(begun)?)),
            500.. => Some((asked, begun.filter(|begun| !past.answered.contains_key(begun))?)),
            _ => None,
        }
    });
    with_revision.collect()
}

/// The revision at which the deletion of the object of this UID began: it was marked, or removed at once.
fn deletion_of(past: &Past, kind: Kind, uid: &str) -> Option<u64> {
    let marked = past.versions(kind, uid).find(|(_, object)| is_terminating(object));
    let removed = || {
        let (last, object) = past.versions(kind, uid).last()?;
        let is_it = |entry: &&Entry| {
            entry.revision > last && entry.kind == kind && entry.name == name(object)
        };
        past.entries.iter().find(is_it).map(|entry| entry.revision)
    };
    marked.map(|(revision, _)| revision).or_else(removed)
}

#[cfg(test)]
mod tests;
