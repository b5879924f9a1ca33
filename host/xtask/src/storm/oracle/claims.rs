//! I1, I3: a claim that a host deletes has a proof, and what lay on it is somewhere else.

use serde_json::Value;

use super::super::audit::Request;
use super::super::manifests::STRANGER;
use super::super::past::{
    Kind, Objects, Past, annotation, controller, has_ended, has_finalizer, is_disrupted,
    is_terminating, label, list, mounts, name, of_kind, text, uid,
};
use super::{ENROLLED, GIVEN_BACK, Marks, SEAL, SEALED, deletions, last_read, marks, was_known};

/// The deletions of claims that hosts asked for and got, each with the revision that it made.
pub(in crate::storm) fn deleted_by_hosts(past: &Past) -> Vec<(&Request, u64)> {
    deletions(past, "persistentvolumeclaims", Kind::Claim)
}

/// Holds every such deletion against the rules.
pub(super) fn judge(past: &Past) -> Vec<String> {
    let mut complaints = Vec::new();
    for (request, revision) in deleted_by_hosts(past) {
        let before = past.before(revision);
        let claim = of_kind(&before, Kind::Claim).find(|claim| uid(claim) == request.of_uid);
        let Some(claim) = claim else {
            complaints.push(format!(
                "revision {revision}: claim {} was deleted by a host, of a UID that it did not have",
                request.name
            ));
            continue;
        };
        let about = format!("revision {revision}: a host deleted claim {}", name(claim));
        let broken = broken_rules(past, &before, claim, request);
        complaints.extend(broken.into_iter().map(|broken| format!("{about}: {broken}")));
    }
    complaints
}

fn broken_rules(past: &Past, before: &Objects, claim: &Value, request: &Request) -> Vec<String> {
    let mine =
        |pod: &&Value| marks(pod).is_some_and(|it| it.claims.iter().any(|one| one == uid(claim)));
    let Some(pod) = of_kind(before, Kind::Pod).find(mine) else {
        return vec!["LOST BYTE: no drain pod of this very claim was there".to_owned()];
    };
    let Some(marks) = marks(pod) else {
        return vec!["its drain pod has no marks".to_owned()];
    };
    let mut broken = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            broken.push(what);
        }
    };
    let pod_name = name(pod);
    must(
        past.moved.contains(uid(pod)),
        format!("LOST BYTE: the work of drain pod {pod_name} ({}) never reached its end", uid(pod)),
    );
    must(has_finalizer(pod, SEAL), format!("drain pod {pod_name} was not sealed"));
    if let Some(how) = seal_undone(past, pod, request) {
        must(false, format!("the seal of drain pod {pod_name} {how}"));
    }
    must(
        text(pod, "/status/phase") == "Succeeded",
        format!("drain pod {pod_name} is {}", text(pod, "/status/phase")),
    );
    for container in &marks.containers {
        must(
            exit_code(pod, container) == Some(0),
            format!("container {container} of drain pod {pod_name} did not end with 0"),
        );
    }
    must(mounts(pod, name(claim)), format!("drain pod {pod_name} does not mount it"));
    if let Some(how) = taken_down_before_its_seal(past, pod) {
        must(false, format!("drain pod {pod_name} {how} before it was sealed"));
    }
    must(
        label(claim, ENROLLED) == Some(&marks.set_uid),
        format!("it is not enrolled for the set of its drain pod, {}", marks.set_uid),
    );
    must(
        past.versions(Kind::Set, &marks.set_uid).next().is_some(),
        format!("there never was a set with the UID {}", marks.set_uid),
    );
    if let Some(other) = other_user(past, before, claim, pod, request) {
        must(false, format!("pod {other} runs on it"));
    }
    if let Some(left) = claim_left(before, claim, pod, &marks) {
        must(false, format!("it owns drain pod {pod_name}, and claim {left} was not deleted yet"));
    }
    broken
}

fn exit_code(pod: &Value, container: &str) -> Option<i64> {
    let all =
        list(pod, "/status/containerStatuses").chain(list(pod, "/status/initContainerStatuses"));
    let mut of_name = all.filter(|status| text(status, "/name") == container);
    of_name.next()?.pointer("/state/terminated/exitCode")?.as_i64()
}

/// What is wrong with the seal, as the host must have read it. Another host may say at any moment that it gives the seal back: until it has given
/// every claim a version of its own, a deletion that was decided on before is carried out, and then the seal stays.
fn seal_undone(past: &Past, pod: &Value, request: &Request) -> Option<&'static str> {
    let note = annotation(pod, SEALED).unwrap_or_default();
    if note == uid(pod) {
        return None;
    }
    if note.strip_prefix(GIVEN_BACK) != Some(uid(pod)) {
        return Some("is not the host's");
    }
    // What is noted on a pod only hosts write, one note with each request.
    let noted = |pod: &Value| {
        (pod["metadata"]["annotations"].clone(), pod["metadata"]["finalizers"].clone())
    };
    let of_name =
        past.entries.iter().filter(|entry| entry.kind == Kind::Pod && entry.name == name(pod));
    let versions: Vec<&Value> = of_name.filter_map(|entry| entry.object.as_deref()).collect();
    let said = versions.iter().position(|version| {
        uid(version) == uid(pod) && annotation(version, SEALED) == Some(note)
    })?;
    let is_note =
        |pair: &&[&Value]| uid(pair[0]) == uid(pair[1]) && noted(pair[0]) != noted(pair[1]);
    let notes = versions[..=said].windows(2).filter(is_note).count();
    let read_at = last_read(past, request, "pods");
    let known = past.asked.iter().filter(|asked| {
        (asked.verb.as_str(), asked.resource.as_str(), asked.code) == ("patch", "pods", 200)
            && asked.name == name(pod)
            && read_at.is_none_or(|read_at| asked.answered < read_at)
    });
    (known.count() >= notes).then_some("was being given back, as the host must have read")
}

fn taken_down_before_its_seal(past: &Past, pod: &Value) -> Option<String> {
    for (revision, version) in past.versions(Kind::Pod, uid(pod)) {
        if is_terminating(version) {
            return Some(format!("was being deleted (revision {revision})"));
        }
        if is_disrupted(version) {
            return Some(format!("was marked as disrupted (revision {revision})"));
        }
        if has_finalizer(version, SEAL) {
            return None;
        }
    }
    None
}

/// A pod that runs on the claim, and that the host must have seen when it last read the pods. What came later nothing could have told it, since a
/// claim's version does not change when a pod begins to use it.
fn other_user(
    past: &Past,
    before: &Objects,
    claim: &Value,
    drain: &Value,
    request: &Request,
) -> Option<String> {
    let read_at = last_read(past, request, "pods");
    let others = of_kind(before, Kind::Pod)
        .filter(|pod| uid(pod) != uid(drain) && mounts(pod, name(claim)) && !has_ended(pod));
    let mut known = others.filter(|pod| {
        let made = past.versions(Kind::Pod, uid(pod)).next();
        // Only strangers have names of their own; whoever bears the member's name cannot be there beside the drain pod.
        label(pod, STRANGER).is_none()
            || made.is_some_and(|(revision, _)| was_known(past, revision, read_at))
    });
    known.next().map(|pod| name(pod).to_owned())
}

/// The claim that must go before the one that owns the drain pod.
fn claim_left(before: &Objects, claim: &Value, pod: &Value, marks: &Marks) -> Option<String> {
    if controller(pod, "PersistentVolumeClaim") != Some(uid(claim)) {
        return None;
    }
    let mut left = of_kind(before, Kind::Claim).filter(|other| {
        uid(other) != uid(claim)
            && marks.claims.iter().any(|one| one == uid(other))
            && !is_terminating(other)
    });
    left.next().map(|other| name(other).to_owned())
}
