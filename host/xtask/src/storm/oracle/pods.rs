//! I2, I3, I4: drain pods are made for orphans alone, never beside another pod on the claim, and never deleted where they hold the last copy.

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::super::audit::Request;
use super::super::manifests::STRANGER;
use super::super::past::{
    Kind, Objects, Past, annotation, get, has_ended, has_finalizer, is_terminating, label, mounts,
    name, of_kind, text, uid,
};
use super::super::rest::wanted;
use super::super::schedule::SET;
use super::{DRAINED, SEAL, deletion_of, deletions, last_read, marks, was_known};

/// Holds every drain pod that was made, and every pod that a host deleted, against the rules.
pub(super) fn judge(past: &Past) -> Vec<String> {
    let mut complaints = Vec::new();
    for entry in &past.entries {
        let Some(pod) = entry.object.as_deref().filter(|_| entry.kind == Kind::Pod) else {
            continue;
        };
        let is_first = past.versions(Kind::Pod, uid(pod)).next().map(|(first, _)| first);
        if marks(pod).is_none() || is_first != Some(entry.revision) {
            continue;
        }
        let about = format!("revision {}: drain pod {} was made", entry.revision, entry.name);
        let Some(request) = post(past, pod) else {
            complaints.push(format!("{about}, and no host asked for it"));
            continue;
        };
        let before = past.before(entry.revision);
        let broken =
            [live_ordinal(past, &before, pod, request), shared(past, &before, pod, request)];
        complaints.extend(broken.into_iter().flatten().map(|it| format!("{about}: {it}")));
    }
    for (request, revision) in deletions(past, "pods", Kind::Pod) {
        complaints.extend(wrong_deletion(past, request, revision));
    }
    complaints
}

/// The request that made this drain pod: the last of its name before it. A pod knows only the second in which it was made, so the one that made the next
/// drain pod of that name is left out. A request whose host was killed before the answer counts as failed.
fn post<'a>(past: &'a Past, pod: &Value) -> Option<&'a Request> {
    let pods = past.entries.iter().filter(|entry| entry.kind == Kind::Pod);
    let pods = pods.filter_map(|entry| entry.object.as_deref());
    let mut later: Vec<&Value> = Vec::new();
    for other in pods.skip_while(|other| uid(other) != uid(pod)) {
        let is_news = later.iter().all(|one| uid(one) != uid(other));
        if is_news && name(other) == name(pod) && marks(other).is_some() {
            later.push(other);
        }
    }
    let mut posted = None;
    for made in later.into_iter().rev() {
        posted = last_post(past, made, posted);
    }
    posted
}

/// The last request that may have made this pod, before the other.
fn last_post<'a>(past: &'a Past, pod: &Value, other: Option<&Request>) -> Option<&'a Request> {
    let made: Timestamp = text(pod, "/metadata/creationTimestamp").parse().ok()?;
    let posts = past.asked.iter().filter(|asked| {
        asked.verb == "create"
            && asked.resource == "pods"
            && asked.name == name(pod)
            && (asked.code == 201 || asked.code >= 500)
            && asked.received.as_second() <= made.as_second()
            && other.is_none_or(|other| asked.received < other.received)
    });
    posts.max_by_key(|asked| asked.received)
}

/// The ordinal was wanted when the host read the set before it made the drain pod.
fn live_ordinal(past: &Past, before: &Objects, pod: &Value, request: &Request) -> Option<String> {
    let ordinal: u64 = name(pod).strip_prefix(SET)?.strip_prefix('-')?.parse().ok()?;
    let set = get(before, Kind::Set, SET).filter(|set| !is_terminating(set))?;
    if marks(pod)?.set_uid != uid(set) || !wanted(set).contains(&ordinal) {
        return None;
    }
    // From which version on the set has wanted it ever since.
    let versions: Vec<(u64, &Value)> = past.versions(Kind::Set, uid(set)).collect();
    let until_now = versions.iter().rev().skip_while(|(_, version)| *version != set);
    let since = until_now.take_while(|(_, version)| wanted(version).contains(&ordinal)).last();
    let (since, _) = since?;
    let read_at = last_read(past, request, "statefulsets");
    was_known(past, *since, read_at).then(|| {
        format!("the set wanted the ordinal since revision {since}, as the host must have read")
    })
}

/// Another pod ran on a claim when the host read the pods before it made the drain pod.
fn shared(past: &Past, before: &Objects, pod: &Value, request: &Request) -> Option<String> {
    let read_at = last_read(past, request, "pods");
    let claims = of_kind(before, Kind::Claim).filter(|claim| mounts(pod, name(claim)));
    let claims: Vec<&str> = claims.map(name).collect();
    let mut others = of_kind(before, Kind::Pod)
        .filter(|other| !has_ended(other) && claims.iter().any(|claim| mounts(other, claim)));
    let known = others.find(|other| {
        let made = past.versions(Kind::Pod, uid(other)).next();
        label(other, STRANGER).is_none()
            || made.is_some_and(|(revision, _)| was_known(past, revision, read_at))
    });
    known.map(|other| format!("pod {} runs on its claim, as the host must have read", name(other)))
}

fn wrong_deletion(past: &Past, request: &Request, begun: u64) -> Option<String> {
    let before = past.before(begun);
    let pod = of_kind(&before, Kind::Pod).find(|pod| uid(pod) == request.of_uid)?;
    let about = format!("revision {begun}: a host deleted pod {}", name(pod));
    let Some(marks) = marks(pod) else {
        // Of a set that is drained before it goes the host deletes the members itself.
        let set = get(&before, Kind::Set, SET);
        let departs = set.is_some_and(|set| {
            is_terminating(set) && annotation(set, "tidegate.dev/on-set-deleted") == Some("drain")
        });
        return (!departs).then(|| format!("{about}, which is no drain pod"));
    };
    if has_finalizer(pod, SEAL) {
        return Some(format!("{about}, which is sealed"));
    }
    if annotation(pod, DRAINED).is_some() {
        return None;
    }
    let read_at = last_read(past, request, "persistentvolumeclaims");
    let terminating = of_kind(&before, Kind::Claim)
        .filter(|claim| is_terminating(claim) && marks.claims.iter().any(|one| one == uid(claim)));
    let mut known = terminating.filter(|claim| {
        let deleted = deletion_of(past, Kind::Claim, uid(claim));
        deleted.is_some_and(|revision| was_known(past, revision, read_at))
    });
    let claim = known.next()?;
    let lost = if past.moved.contains(uid(pod)) { "" } else { "LOST BYTE: " };
    Some(format!(
        "{about}: {lost}it held the last copy of claim {}, as the host must have read",
        name(claim)
    ))
}
