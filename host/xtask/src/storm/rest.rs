//! Whether a namespace has come to rest, from its objects and events alone: whatever is not as it should be has a reason that is told and true.

use serde_json::Value;

use super::manifests::STRANGER;
use super::past::{
    Kind, Objects, annotation, controller, get, has_ended, has_finalizer, is_disrupted,
    is_terminating, label, list, mounts, name, of_kind, text, uid,
};
use super::schedule::{SET, TEMPLATES};

/// The annotation with the marks of a drain pod.
pub(super) const DRAIN: &str = "tidegate.dev/drain";

/// The finalizer of a sealed pod.
pub(super) const SEAL: &str = "tidegate.dev/seal";

/// The finalizer of a set that is drained before it goes.
const HOLD: &str = "tidegate.dev/drain-on-delete";

/// The label of an enrolled claim.
pub(super) const ENROLLED: &str = "tidegate.dev/set-uid";

/// The annotations that make a set the host's.
const OURS: [&str; 2] =
    ["tidegate.dev/policy", "statefulsets.kubernetes.io/scaledown-pod-template"];

/// What a namespace is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rest {
    /// What is not at rest, in words.
    pub(super) unrest: Vec<String>,
    /// The claims that nobody wants and that are kept, with the reason that was told.
    pub(super) kept: Vec<(String, &'static str)>,
}

/// Looks at all of it.
pub(super) fn look(objects: &Objects) -> Rest {
    let mut rest = Rest::default();
    let set = get(objects, Kind::Set, SET);
    for pod in of_kind(objects, Kind::Pod) {
        look_at_pod(objects, pod, &mut rest);
    }
    // The set's controller makes members one after the other and takes away none before: a name that it does not get ends all of that.
    let is_held_up = rest.kept.iter().any(|(pod, _)| set.is_some_and(|set| wants(set, pod)));
    for claim in of_kind(objects, Kind::Claim) {
        look_at_claim(objects, set, claim, is_held_up, &mut rest);
    }
    match set {
        // It is held as long as one of its drains is, and that says why.
        Some(set) if is_terminating(set) && (rest.kept.is_empty() || !departs(set)) => {
            rest.unrest.push(format!("the set is deleted and still there: {}", finalizers(set)));
        }
        Some(set) if !is_terminating(set) => {
            for ordinal in wanted(set) {
                look_at_member(objects, set, ordinal, is_held_up, &mut rest);
            }
        }
        Some(_) | None => {}
    }
    rest
}

/// Whether the set is being deleted and is to be drained before it goes.
fn departs(set: &Value) -> bool {
    is_terminating(set)
        && has_finalizer(set, HOLD)
        && ["foregroundDeletion", "orphan"].iter().all(|how| !has_finalizer(set, how))
        && annotation(set, "tidegate.dev/on-set-deleted") == Some("drain")
}

fn wants(set: &Value, pod: &str) -> bool {
    let ordinal = pod.strip_prefix(SET).and_then(|it| it.strip_prefix('-')?.parse().ok());
    !is_terminating(set) && ordinal.is_some_and(|ordinal| wanted(set).contains(&ordinal))
}

/// The ordinals that a set wants.
pub(super) fn wanted(set: &Value) -> std::ops::Range<u64> {
    let number = |pointer: &str| set.pointer(pointer).and_then(Value::as_u64);
    let start = number("/spec/ordinals/start").unwrap_or_default();
    start..start + number("/spec/replicas").unwrap_or(1)
}

/// The template and the ordinal of a claim.
pub(super) fn seat(claim: &str) -> Option<(&'static str, u64)> {
    TEMPLATES.iter().find_map(|template| {
        let rest = claim.strip_prefix(template)?.strip_prefix('-')?;
        Some((*template, rest.strip_prefix(SET)?.strip_prefix('-')?.parse().ok()?))
    })
}

fn look_at_pod(objects: &Objects, pod: &Value, rest: &mut Rest) {
    let pod_name = name(pod);
    if annotation(pod, DRAIN).is_some() {
        match why_drain_stays(objects, pod) {
            Some(code) => rest.kept.push((pod_name.to_owned(), code)),
            None => rest.unrest.push(format!(
                "drain pod {pod_name} ({}) is still there: {}{}",
                text(pod, "/status/phase"),
                finalizers(pod),
                if is_terminating(pod) { ", being deleted" } else { "" },
            )),
        }
    } else if is_terminating(pod) {
        rest.unrest.push(format!("pod {pod_name} is being deleted: {}", finalizers(pod)));
    } else if label(pod, STRANGER).is_some() {
        rest.unrest.push(format!("the stranger {pod_name} is still there"));
    }
}

/// Why a drain pod may stay for good: a person's deed has taken away what its end needs, and the host says so.
fn why_drain_stays(objects: &Objects, pod: &Value) -> Option<&'static str> {
    let claims: Vec<&Value> =
        of_kind(objects, Kind::Claim).filter(|claim| mounts(pod, name(claim))).collect();
    let marks: Value = serde_json::from_str(annotation(pod, DRAIN)?).ok()?;
    let of_set = text(&marks, "/setUid");
    let says = |reasons: &[&'static str]| told(objects, of_set, name(pod), reasons);
    let is_sealed = has_finalizer(pod, SEAL);
    if is_sealed && claims.iter().any(|claim| label(claim, ENROLLED) != Some(of_set)) {
        return says(&["NotEnrolled", "EnrolledElsewhere"]);
    }
    let is_last_copy = !is_sealed && claims.iter().any(|claim| is_terminating(claim));
    let failed = text(pod, "/status/phase") == "Failed";
    let is_of_nobody = get(objects, Kind::Set, SET).is_none_or(|set| uid(set) != of_set);
    // What was told to stop proves nothing, whatever it ends with, and for a set that is gone nobody judges.
    if is_last_copy && (failed || has_ended(pod) && (is_of_nobody || is_disrupted(pod))) {
        return says(&["PodHoldsData"]);
    }
    None
}

fn look_at_claim(
    objects: &Objects,
    set: Option<&Value>,
    claim: &Value,
    is_held_up: bool,
    rest: &mut Rest,
) {
    let claim_name = name(claim);
    let Some((_, ordinal)) = seat(claim_name) else {
        rest.unrest.push(format!("claim {claim_name} is nobody's"));
        return;
    };
    let pod_name = format!("{SET}-{ordinal}");
    let pod = get(objects, Kind::Pod, &pod_name);
    if is_terminating(claim) {
        // A person deleted it, and the pod that runs holds it.
        let is_held = pod.is_some_and(|pod| !has_ended(pod) && mounts(pod, claim_name));
        let drain_stays = pod.is_some_and(|pod| annotation(pod, DRAIN).is_some());
        if !is_held && !drain_stays {
            rest.unrest.push(format!("claim {claim_name} is being deleted: {}", finalizers(claim)));
        }
        return;
    }
    let Some(set) = set.filter(|set| !is_terminating(set) || departs(set)) else {
        rest.kept.push((claim_name.to_owned(), "NoSet"));
        return;
    };
    if wants(set, &pod_name) || pod.is_some_and(|pod| annotation(pod, DRAIN).is_some()) {
        return;
    }
    // A set that departs leaves the members alone whose claims cannot be drained, and says why.
    if let Some(pod) = pod.filter(|_| !departs(set)) {
        if !is_held_up {
            rest.unrest.push(format!("pod {} of an ordinal that nobody wants is there", name(pod)));
        }
        return;
    }
    if !OURS.iter().any(|key| annotation(set, key).is_some()) {
        rest.kept.push((claim_name.to_owned(), "NotOurs"));
        return;
    }
    // Of a set that departs one ordinal is told to have its turn, and it alone says why it goes no further.
    if departs(set) && turn(objects, set).is_some_and(|turn| turn != ordinal) {
        rest.kept.push((claim_name.to_owned(), "Departs"));
        return;
    }
    let reasons = reasons(objects, set, ordinal);
    match told(objects, uid(set), &pod_name, &reasons) {
        Some(code) => rest.kept.push((claim_name.to_owned(), code)),
        None if reasons.is_empty() => {
            rest.unrest.push(format!("claim {claim_name} is an orphan and could be drained"));
        }
        None => rest
            .unrest
            .push(format!("claim {claim_name} is kept, for which nobody told any of {reasons:?}")),
    }
}

/// What is true of an orphan and keeps it from being drained.
fn reasons(objects: &Objects, set: &Value, ordinal: u64) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    if ordinal < wanted(set).start {
        reasons.push("BelowStart");
    }
    let zero = annotation(set, "tidegate.dev/scale-to-zero");
    if wanted(set).is_empty() && zero != Some("drain") && !departs(set) {
        reasons.push("ScaledToZero");
    }
    let holder = get(objects, Kind::Pod, &format!("{SET}-{ordinal}"));
    if holder.is_some_and(|pod| controller(pod, "StatefulSet") != Some(uid(set))) {
        reasons.push("NameHeld");
    }
    if annotation(set, "tidegate.dev/paused") == Some("true") {
        reasons.push("Paused");
    }
    // As many drain pods as may are there, and each of them has to have a reason of its own to stay.
    if of_kind(objects, Kind::Pod).any(|pod| annotation(pod, DRAIN).is_some()) {
        reasons.push("Queued");
    }
    for template in list(set, "/spec/volumeClaimTemplates") {
        let claim = format!("{}-{SET}-{ordinal}", name(template));
        let Some(claim) = get(objects, Kind::Claim, &claim) else {
            reasons.push("ClaimMissing");
            continue;
        };
        if is_terminating(claim) {
            reasons.push("ClaimTerminating");
        }
        match label(claim, ENROLLED) {
            None => reasons.push("NotEnrolled"),
            Some(by) if by != uid(set) => reasons.push("EnrolledElsewhere"),
            Some(_) => {}
        }
        // The policy took its drain back while the ordinal was wanted, and it is not wanted any more.
        if annotation(claim, "tidegate.dev/record").is_some_and(|it| it.contains("\"hold\"")) {
            reasons.push("Held");
        }
    }
    reasons
}

/// The ordinal that is told to have its turn in a set that departs.
fn turn(objects: &Objects, set: &Value) -> Option<u64> {
    let told = of_kind(objects, Kind::Event)
        .filter(|event| text(event, "/reason") == "Departs" && subject(event) == uid(set));
    let last = told.max_by_key(|event| text(event, "/eventTime"))?;
    let words = words(last);
    let (_, rest) = words.split_once("it is the turn of ")?;
    rest.split_once(';')?.0.parse().ok()
}

/// What an event tells, in either form that etcd may hold.
fn words(event: &Value) -> String {
    [text(event, "/message"), text(event, "/note")].concat()
}

/// The UID of what it is about.
fn subject(event: &Value) -> String {
    [text(event, "/involvedObject/uid"), text(event, "/regarding/uid")].concat()
}

/// The first of these reasons that an event about the set of this UID tells of the member.
fn told(
    objects: &Objects,
    of_set: &str,
    member: &str,
    reasons: &[&'static str],
) -> Option<&'static str> {
    let about = format!("{member}: ");
    reasons.iter().copied().find(|reason| {
        of_kind(objects, Kind::Event).any(|event| {
            text(event, "/reason") == *reason
                && subject(event) == of_set
                && words(event).starts_with(&about)
        })
    })
}

fn look_at_member(objects: &Objects, set: &Value, ordinal: u64, is_held_up: bool, rest: &mut Rest) {
    let pod_name = format!("{SET}-{ordinal}");
    let Some(pod) = get(objects, Kind::Pod, &pod_name) else {
        if !is_held_up {
            rest.unrest.push(format!("member {pod_name} is not there"));
        }
        return;
    };
    if annotation(pod, DRAIN).is_some() {
        return;
    }
    if controller(pod, "StatefulSet") != Some(uid(set)) {
        rest.unrest.push(format!("pod {pod_name} is not of the set that is there"));
    } else if text(pod, "/status/phase") != "Running" {
        rest.unrest.push(format!("member {pod_name} is {}", text(pod, "/status/phase")));
    }
    let is_ours = OURS.iter().any(|key| annotation(set, key).is_some());
    for template in list(set, "/spec/volumeClaimTemplates") {
        let claim_name = format!("{}-{SET}-{ordinal}", name(template));
        match get(objects, Kind::Claim, &claim_name) {
            None => rest.unrest.push(format!("member {pod_name} runs without claim {claim_name}")),
            Some(claim) if is_ours && !is_terminating(claim) => {
                if label(claim, ENROLLED) != Some(uid(set)) {
                    rest.unrest.push(format!("claim {claim_name} of a member is not enrolled"));
                }
            }
            Some(_) => {}
        }
    }
}

fn finalizers(object: &Value) -> String {
    let all: Vec<&str> = list(object, "/metadata/finalizers").filter_map(Value::as_str).collect();
    if all.is_empty() { "no finalizer".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use serde_json::json;

    fn put(objects: &mut Objects, kind: Kind, object: Value) {
        objects.insert((kind, name(&object).to_owned()), Arc::new(object));
    }

    /// A set of one whose member runs, and the claim of an ordinal that was scaled away.
    fn scaled_down() -> Objects {
        let mut objects = Objects::new();
        let set = json!({
            "metadata": { "name": SET, "uid": "set", "annotations": { "tidegate.dev/policy": "library:exec" } },
            "spec": { "replicas": 1, "volumeClaimTemplates": [{ "metadata": { "name": "data" } }] },
        });
        put(&mut objects, Kind::Set, set);
        let owner = json!({ "kind": "StatefulSet", "uid": "set", "controller": true });
        let member = json!({
            "metadata": { "name": "web-0", "uid": "member", "ownerReferences": [owner] },
            "status": { "phase": "Running" },
        });
        put(&mut objects, Kind::Pod, member);
        for ordinal in [0, 1] {
            put(&mut objects, Kind::Claim, claim(ordinal, Some("set")));
        }
        objects
    }

    fn claim(ordinal: u64, enrolled: Option<&str>) -> Value {
        json!({
            "metadata": { "name": format!("data-web-{ordinal}"), "labels": { ENROLLED: enrolled } },
            "status": { "phase": "Bound" },
        })
    }

    fn event(reason: &str, note: &str) -> Value {
        json!({
            "metadata": { "name": "event" }, "reason": reason, "message": note,
            "involvedObject": { "uid": "set" },
        })
    }

    #[track_caller]
    fn is_unrest(objects: &Objects, words: &str) {
        let unrest = look(objects).unrest;
        assert!(unrest.iter().any(|it| it.contains(words)), "{words}: {unrest:?}");
    }

    #[test]
    fn an_orphan_that_could_be_drained_is_no_rest() {
        let mut objects = scaled_down();
        is_unrest(&objects, "data-web-1 is an orphan");
        // A reason that is told and not true is none.
        put(&mut objects, Kind::Event, event("NotEnrolled", "web-1: never enrolled"));
        is_unrest(&objects, "data-web-1 is an orphan");
        objects.remove(&(Kind::Claim, "data-web-1".to_owned()));
        assert_eq!(look(&objects), Rest::default());
    }

    #[test]
    fn a_reason_that_is_true_must_be_told_of_that_very_ordinal() {
        let mut objects = scaled_down();
        put(&mut objects, Kind::Claim, claim(1, None));
        is_unrest(&objects, "nobody told any of [\"NotEnrolled\"]");
        put(&mut objects, Kind::Event, event("NotEnrolled", "web-2: never enrolled"));
        is_unrest(&objects, "nobody told");
        put(&mut objects, Kind::Event, event("NotEnrolled", "web-1: never enrolled"));
        let kept = vec![("data-web-1".to_owned(), "NotEnrolled")];
        assert_eq!(look(&objects), Rest { unrest: Vec::new(), kept });
    }

    #[test]
    fn members_run_on_claims_that_are_enrolled() {
        let mut objects = scaled_down();
        objects.remove(&(Kind::Claim, "data-web-1".to_owned()));
        put(&mut objects, Kind::Claim, claim(0, Some("another set")));
        is_unrest(&objects, "data-web-0 of a member is not enrolled");
        objects.remove(&(Kind::Pod, "web-0".to_owned()));
        is_unrest(&objects, "member web-0 is not there");
    }

    #[test]
    fn nothing_is_left_half_done() {
        let mut objects = scaled_down();
        objects.remove(&(Kind::Claim, "data-web-1".to_owned()));
        let drain = json!({ "metadata": { "name": "web-1", "annotations": { DRAIN: "{}" } } });
        put(&mut objects, Kind::Pod, drain);
        is_unrest(&objects, "drain pod web-1");
        let set = get(&objects, Kind::Set, SET).cloned();
        let mut set = set.expect("it was put there");
        set["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
        put(&mut objects, Kind::Set, set);
        is_unrest(&objects, "the set is deleted and still there");
    }

    #[test]
    fn a_set_that_is_drained_before_it_goes_is_at_rest_where_what_holds_it_up_is_told() {
        let mut objects = scaled_down();
        let set = get(&objects, Kind::Set, SET).cloned();
        let mut set = set.expect("it was put there");
        set["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
        set["metadata"]["finalizers"] = json!([HOLD]);
        set["metadata"]["annotations"]["tidegate.dev/on-set-deleted"] = json!("drain");
        put(&mut objects, Kind::Set, set.clone());
        is_unrest(&objects, "data-web-1 is an orphan");
        put(&mut objects, Kind::Claim, claim(1, None));
        put(&mut objects, Kind::Event, event("NotEnrolled", "web-1: never enrolled"));
        is_unrest(&objects, "data-web-0 is an orphan");
        let mut departs = event("Departs", "the set is held; it is the turn of 1; take it off");
        departs["metadata"]["name"] = json!("departs");
        put(&mut objects, Kind::Event, departs);
        assert_eq!(look(&objects).unrest, Vec::<String>::new());
        set["metadata"]["finalizers"] = json!([HOLD, "foregroundDeletion"]);
        put(&mut objects, Kind::Set, set);
        is_unrest(&objects, "the set is deleted and still there");
    }

    #[test]
    fn a_drain_pod_that_stays_for_good_holds_up_the_members_beside_it_and_nothing_else_does() {
        let mut objects = scaled_down();
        objects.remove(&(Kind::Pod, "web-0".to_owned()));
        objects.remove(&(Kind::Claim, "data-web-1".to_owned()));
        put(&mut objects, Kind::Claim, claim(0, None));
        is_unrest(&objects, "member web-0 is not there");
        let mut set = get(&objects, Kind::Set, SET).cloned().expect("it was put there");
        set["spec"]["replicas"] = json!(2);
        put(&mut objects, Kind::Set, set);
        let volume = json!({ "persistentVolumeClaim": { "claimName": "data-web-0" } });
        let drain = json!({
            "metadata": {
                "name": "web-0", "finalizers": [SEAL],
                "annotations": { DRAIN: json!({ "setUid": "set" }).to_string() },
            },
            "spec": { "volumes": [volume] },
        });
        put(&mut objects, Kind::Pod, drain);
        is_unrest(&objects, "member web-1 is not there");
        put(&mut objects, Kind::Event, event("NotEnrolled", "web-0: never enrolled"));
        assert_eq!(look(&objects).unrest, Vec::<String>::new());
    }
}
