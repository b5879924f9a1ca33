//! Whether a plan is legal, written without reading how plans are made: each write is held against what was seen and answered,
//! by the invariants of the design alone. What is not known to be legal is illegal.

mod departure;

use std::collections::BTreeMap;
use std::fmt;

use crate::{
    Action, Answer, Drain, Ending, Ordinal, Plan, PodBody, Seat, Seen, Step, View,
    action::{Outcome, Target},
    proof::{Condemned, Propagation},
    seen::{Anchorage, Binding, Deletion, Enrolment, Holder, Life, Stewardship, WhenScaled},
    settings::{Activity, OnSetDeleted},
};

use departure::{delete_member, is_highest, lives_or_departs, on_set};

/// A write that must not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The ordinal; none where it is about the set.
    pub ordinal: Option<Ordinal>,
    /// The kind of write.
    pub write: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ordinal {
            Some(ordinal) => write!(f, "ordinal {ordinal}: ")?,
            None => write!(f, "the set: ")?,
        }
        write!(f, "{} would break the rule: {}", self.write, self.rule)
    }
}

impl std::error::Error for Violation {}

/// Holds every write of the plan against the invariants.
///
/// # Errors
/// The first write that breaks one. Such a plan is a bug of ours: nothing of it may be carried out.
pub fn check(
    seen: &Seen,
    answers: &BTreeMap<Ordinal, Answer>,
    plan: &Plan,
) -> Result<(), Violation> {
    if let Some(step) = &plan.on_set {
        let (write, rules) = on_set(seen, &step.action);
        let live = ("it was decided on a live read", seen.view != View::Cached);
        let broken = std::iter::once(live).chain(rules).find(|(_, holds)| !holds);
        if let Some((rule, _)) = broken {
            return Err(Violation { ordinal: None, write, rule });
        }
    }
    for (&ordinal, steps) in &plan.steps {
        for (at, step) in steps.iter().enumerate() {
            let (write, rules) = match seen.seats.get(&ordinal) {
                None => ("a write", vec![("the ordinal was seen", false)]),
                Some(seat) => rules(seen, ordinal, seat, answers.get(&ordinal), &step.action),
            };
            let earlier = steps.get(..at).unwrap_or_default();
            let order = seen.seats.get(&ordinal).map(|seat| order(seat, earlier, &step.action));
            let live = ("it was decided on a live read", seen.view != View::Cached);
            for (rule, holds) in std::iter::once(live).chain(rules).chain(order) {
                if !holds {
                    return Err(Violation { ordinal: Some(ordinal), write, rule });
                }
            }
        }
    }
    Ok(())
}

type Rules = Vec<(&'static str, bool)>;

fn rules(
    seen: &Seen,
    ordinal: Ordinal,
    seat: &Seat,
    answer: Option<&Answer>,
    action: &Action,
) -> (&'static str, Rules) {
    match action {
        Action::Enrol { claim, anchor } => {
            ("enrolling a claim", enrol(seen, ordinal, seat, claim, anchor.as_deref()))
        }
        Action::Note { claim, record } => {
            let rules = vec![
                ("the record is for this set", record.set_uid == seen.set.uid),
                ("the claim was seen in this version", sees_claim(seat, claim)),
                ("what it replaces was understood", is_understood(seat)),
            ];
            ("noting a record", rules)
        }
        Action::CreatePod { body } => {
            ("creating a drain pod", create(seen, ordinal, seat, answer, body))
        }
        Action::Seal(pod) => ("sealing a pod", seal(seen, seat, answer, pod)),
        Action::DeleteClaim(claim) => ("deleting a claim", delete_claim(seen, seat, answer, claim)),
        Action::GiveBack(pod) => ("giving a seal back", give_back(seat, pod)),
        Action::Fence(claim) => ("fencing a claim", fence(seat, claim)),
        Action::Unseal { pod, outcome } => ("unsealing a pod", unseal(seat, pod, *outcome)),
        Action::DeletePod(pod) => ("deleting a drain pod", delete_pod(seen, seat, pod)),
        Action::DeleteMember(member) => {
            ("deleting a member", delete_member(seen, ordinal, seat, member))
        }
        Action::Hold(_) | Action::LetGo(_) => {
            ("a write to the set", vec![("it is about an ordinal", false)])
        }
        Action::Touch => {
            let free = seat.holder == Holder::Nobody && seat.freed_by_us;
            let rules = vec![
                ("the name was freed by us", free),
                ("no claim is being deleted", !seat.has_leaving_claim()),
                ("the ordinal is wanted", is_live(seen, ordinal)),
            ];
            ("touching the set", rules)
        }
    }
}

/// The steps of one ordinal are carried out in order, and the first that fails ends them: what must have happened before a write stands before it.
fn order(seat: &Seat, earlier: &[Step], action: &Action) -> (&'static str, bool) {
    let mounted = || seat.drain().into_iter().flat_map(|pod| pod.claims.values());
    let is_going = |uid: &str| {
        let deleted =
            |step: &Step| matches!(&step.action, Action::DeleteClaim(it) if it.uid() == uid);
        seat.claim_of(uid).is_none_or(|claim| claim.deletion != Deletion::None)
            || earlier.iter().any(deleted)
    };
    let is_fenced = |uid: &str| {
        seat.claim_of(uid).is_none()
            || earlier.iter().any(|step| match &step.action {
                Action::Fence(claim) | Action::Note { claim, record: _ } => claim.uid == uid,
                Action::Enrol { .. }
                | Action::CreatePod { .. }
                | Action::Seal(_)
                | Action::DeleteClaim(_)
                | Action::GiveBack(_)
                | Action::Unseal { .. }
                | Action::DeletePod(_)
                | Action::Hold(_)
                | Action::LetGo(_)
                | Action::DeleteMember(_)
                | Action::Touch => false,
            })
    };
    match action {
        Action::DeleteClaim(owner) if owner.propagation() == Propagation::Foreground => (
            "the owning claim is deleted last",
            mounted().all(|uid| uid == owner.uid() || is_going(uid)),
        ),
        Action::Unseal { outcome: Outcome::GivenBack, .. } => {
            ("no DELETE of before fits any claim", mounted().all(|uid| is_fenced(uid)))
        }
        Action::Unseal { outcome: Outcome::Drained { .. }, .. }
        | Action::DeleteClaim(_)
        | Action::Enrol { .. }
        | Action::Note { .. }
        | Action::CreatePod { .. }
        | Action::Seal(_)
        | Action::GiveBack(_)
        | Action::Fence(_)
        | Action::DeletePod(_)
        | Action::Hold(_)
        | Action::LetGo(_)
        | Action::DeleteMember(_)
        | Action::Touch => ("it is in order", true),
    }
}

fn enrol(
    seen: &Seen,
    ordinal: Ordinal,
    seat: &Seat,
    target: &Target,
    anchor: Option<&str>,
) -> Rules {
    let held = match &seat.holder {
        Holder::Member(member) => seat
            .claims
            .iter()
            .any(|(template, claim)| claim.uid == target.uid && member.mounts.contains(template)),
        Holder::Nobody | Holder::Drain(_) | Holder::Foreign { .. } => false,
    };
    let claim = seat.claim_of(&target.uid);
    let alive = claim.is_some_and(|claim| claim.deletion == Deletion::None);
    let unclaimed = claim.is_some_and(|claim| match &claim.enrolment {
        Enrolment::Nowhere => true,
        Enrolment::Here => anchor.is_some(),
        Enrolment::Elsewhere { uid, lives } => *uid != seen.set.uid && *lives == Some(Life::Gone),
    });
    let before = claim.is_some_and(|claim| claim.enrolment == Enrolment::Here);
    let is_under_a_seal = seat.drain().is_some_and(|pod| pod.sealed || pod.drained_at.is_some());
    let departs =
        seen.set.life == Life::Terminating && lives_or_departs(seen) && ordinal.0 >= seen.set.start;
    let keeps = match &seen.set.stewardship {
        Stewardship::Ours(settings) => settings.on_set_deleted != OnSetDeleted::AsTheSet,
        Stewardship::NotOurs | Stewardship::Unreadable { .. } => false,
    };
    let loose = claim.is_some_and(|claim| claim.anchorage == Anchorage::Loose);
    let needed = loose && (keeps || seen.set.when_scaled == WhenScaled::Delete);
    vec![
        ("the claim is anchored just where it must be", needed == anchor.is_some()),
        (
            "the anchor is the claim's own namespace",
            anchor.is_none() || anchor == seen.set.namespace_uid.as_deref(),
        ),
        ("the claim was seen in this version", sees_claim(seat, target)),
        ("a member of this set holds the claim, or it was enrolled before", held || before),
        ("the claim is under no seal", !is_under_a_seal),
        ("no other set that lives has it", unclaimed),
        ("the claim is not being deleted", alive),
        ("the claim is bound", claim.is_some_and(|claim| claim.binding == Binding::Bound)),
        (
            "the ordinal is wanted, or its claim was enrolled before, or its set departs",
            is_live(seen, ordinal) || before || departs,
        ),
        ("the set is ours", matches!(seen.set.stewardship, Stewardship::Ours(_))),
    ]
}

fn create(
    seen: &Seen,
    ordinal: Ordinal,
    seat: &Seat,
    answer: Option<&Answer>,
    body: &PodBody,
) -> Rules {
    let start = u64::from(seen.set.start);
    let end = match seen.set.life {
        Life::Lives => start.saturating_add(u64::from(seen.set.replicas)),
        Life::Terminating | Life::Gone => start,
    };
    let claims = &body.claims;
    let rendered = matches!(answer, Some(Answer::Pod(rendered)) if **rendered == *body);
    let fit = seat.claims.values().all(|claim| {
        claim.enrolment == Enrolment::Here
            && claim.binding == Binding::Bound
            && claim.deletion == Deletion::None
    });
    let same = seat.claims.len() == claims.len()
        && seat.claims.iter().all(|(name, claim)| claims.get(name) == Some(&claim.uid));
    vec![
        ("the set lives, or is drained before it goes", lives_or_departs(seen)),
        ("nothing above is left to drain where the set goes", is_highest(seen, ordinal)),
        ("the set is ours and not paused", is_active(seen)),
        ("the policy rendered this very pod", rendered),
        ("one of the claims owns the pod", claims.contains_key(&body.owner)),
        ("the ordinal lies above the live range", u64::from(ordinal.0) >= end),
        ("nobody holds the member's name", seat.holder == Holder::Nobody),
        ("no other pod uses the claims", seat.other_users.is_empty()),
        ("every claim is enrolled here, bound and not deleted", fit && !seat.claims.is_empty()),
        ("the pod's marks name these very claims", same),
        ("what is noted was understood", is_understood(seat)),
    ]
}

fn seal(seen: &Seen, seat: &Seat, answer: Option<&Answer>, target: &Target) -> Rules {
    let drain = this_pod(seat, target);
    // What was to be given back while a claim is deleted holds the name already; sealed again, it can only go on.
    let again = drain.is_some_and(|pod| pod.sealed && pod.giving_back && seat.has_begun_to_go(pod));
    let fresh = drain.is_some_and(|pod| !pod.sealed);
    vec![
        ("the pod is our drain pod in this version", drain.is_some()),
        ("it is not sealed, or the seal cannot be given back any more", fresh || again),
        ("the policy says complete", again || matches!(answer, Some(Answer::Complete(_)))),
        ("the pod ended by itself", again || drain.is_some_and(|it| it.ending == Ending::ByItself)),
        ("the pod is not being deleted", again || drain.is_some_and(|pod| !pod.terminating)),
        ("the set is ours and not paused", again || is_active(seen)),
        ("no other pod uses the claims", again || seat.other_users.is_empty()),
        ("what is noted was understood", again || is_understood(seat)),
    ]
}

fn delete_claim(seen: &Seen, seat: &Seat, answer: Option<&Answer>, condemned: &Condemned) -> Rules {
    let pod = seat.drain().filter(|pod| pod.uid == condemned.pod_uid());
    let mounted = pod.is_some_and(|pod| pod.claims.values().any(|uid| uid == condemned.uid()));
    let claim = seat.claim_of(condemned.uid());
    let enrolled = claim.is_some_and(|claim| claim.enrolment == Enrolment::Here);
    let version = claim.is_some_and(|claim| claim.resource_version == condemned.resource_version());
    let begun = pod.is_some_and(|pod| {
        pod.claims
            .values()
            .any(|uid| seat.claim_of(uid).is_none_or(|claim| claim.deletion != Deletion::None))
    });
    let owner_uid = pod.and_then(|pod| pod.claims.get(&pod.owner));
    let is_owner = owner_uid.is_some_and(|uid| uid == condemned.uid());
    vec![
        ("the pods were read after the claims", seen.view == View::LiveInOrder),
        ("the drain pod is sealed", pod.is_some_and(|pod| pod.sealed)),
        ("the seal is not given back", pod.is_some_and(|pod| !pod.giving_back)),
        ("the set is ours and not paused, or the deletion has begun", begun || is_active(seen)),
        ("what is noted was understood, or the deletion has begun", begun || is_understood(seat)),
        ("the drain pod ended by itself", pod.is_some_and(|pod| pod.ending == Ending::ByItself)),
        ("the drain pod mounted this very claim", mounted),
        ("the policy says complete", matches!(answer, Some(Answer::Complete(_)))),
        ("the claim is enrolled for this set", enrolled),
        ("the claim was seen in this version", version),
        ("no other pod uses the claims", seat.other_users.is_empty()),
        (
            "the owner goes in the foreground and the others do not",
            is_owner == (condemned.propagation() == Propagation::Foreground),
        ),
    ]
}

fn give_back(seat: &Seat, target: &Target) -> Rules {
    let drain = this_pod(seat, target);
    let untouched = |uid: &String| {
        seat.claim_of(uid)
            .is_some_and(|claim| matches!(claim.deletion, Deletion::None | Deletion::Impending))
    };
    vec![
        ("the pod is our sealed drain pod in this version", drain.is_some_and(|pod| pod.sealed)),
        ("it is not given back already", drain.is_some_and(|pod| !pod.giving_back)),
        (
            "no claim of it is being deleted",
            drain.is_some_and(|pod| pod.claims.values().all(untouched)),
        ),
    ]
}

fn fence(seat: &Seat, target: &Target) -> Rules {
    let held = seat
        .drain()
        .filter(|pod| pod.sealed && pod.giving_back)
        .is_some_and(|pod| pod.claims.values().any(|uid| *uid == target.uid));
    vec![
        ("the claim was seen in this version", sees_claim(seat, target)),
        ("a drain pod of ours holds the claim, its seal being given back", held),
    ]
}

fn unseal(seat: &Seat, target: &Target, outcome: Outcome) -> Rules {
    let drain = this_pod(seat, target);
    let gone = |uid: &String| {
        seat.claim_of(uid).is_none_or(|claim| {
            matches!(claim.deletion, Deletion::Background | Deletion::Foreground)
        })
    };
    let owner_goes_first = |pod: &Drain| {
        let owner = pod.claims.get(&pod.owner).and_then(|uid| seat.claim_of(uid));
        owner.is_none_or(|claim| claim.deletion == Deletion::Foreground)
    };
    let all_gone = drain.is_some_and(|pod| pod.claims.values().all(gone) && owner_goes_first(pod));
    let none_gone = drain.is_some_and(|pod| !pod.claims.values().any(gone));
    let right = match outcome {
        Outcome::Drained { .. } => all_gone,
        Outcome::GivenBack => none_gone && drain.is_some_and(|pod| pod.giving_back),
    };
    vec![
        ("the pod is our sealed drain pod in this version", drain.is_some_and(|pod| pod.sealed)),
        ("all its claims are being deleted, or none is", right),
    ]
}

fn delete_pod(seen: &Seen, seat: &Seat, target: &Target) -> Rules {
    let drain = this_pod(seat, target);
    let held = drain.is_some_and(|pod| {
        pod.drained_at.is_none()
            && seat.claims.values().any(|claim| claim.deletion != Deletion::None)
    });
    vec![
        ("the pod is our drain pod in this version", drain.is_some()),
        ("the pod is not sealed", drain.is_some_and(|pod| !pod.sealed)),
        ("the pod is not all that holds a deleted claim", !held),
        (
            "the set is not paused, or the claims are drained",
            !is_paused(seen) || drain.is_some_and(|pod| pod.drained_at.is_some()),
        ),
    ]
}

fn is_live(seen: &Seen, ordinal: Ordinal) -> bool {
    let number = u64::from(ordinal.0);
    let start = u64::from(seen.set.start);
    let end = start.saturating_add(u64::from(seen.set.replicas));
    seen.set.life == Life::Lives && start <= number && number < end
}

fn is_understood(seat: &Seat) -> bool {
    seat.noted.unreadable().is_none()
}

fn is_active(seen: &Seen) -> bool {
    matches!(&seen.set.stewardship, Stewardship::Ours(it) if it.activity == Activity::Active)
}

fn is_paused(seen: &Seen) -> bool {
    matches!(&seen.set.stewardship, Stewardship::Ours(it) if it.activity == Activity::Paused)
}

fn this_pod<'a>(seat: &'a Seat, target: &Target) -> Option<&'a Drain> {
    seat.drain().filter(|pod| {
        pod.name == target.name
            && pod.uid == target.uid
            && pod.resource_version == target.resource_version
    })
}

fn sees_claim(seat: &Seat, target: &Target) -> bool {
    seat.claim_of(&target.uid).is_some_and(|claim| {
        claim.name == target.name && claim.resource_version == target.resource_version
    })
}
