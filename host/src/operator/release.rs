//! Gives an ordinal back with its data, step by step as the host does, and lets go of what is stuck: a seal, a finalizer on a set.

use kube::ResourceExt as _;
use tidegate_core::{
    Action, Claim, Drain, Outcome, Reason, Record, Seat, Stage, Step, Target,
    record::Hold,
    safety,
    seen::{Anchorage, Holder, Life, Stewardship},
    settings::OnSetDeleted,
    stage::stage,
};

use super::{
    args::Consent,
    hand::{Grounds, Move, Then, planned, reported},
    refusal::{Refusal, settings, unreadable},
    scene::{Case, Scene, Subject},
};
use crate::{marks, objects::PodObject};

/// Why an ordinal is held that a person released.
const WHY: &str = "released by an operator; `tidegate retry` takes it up again";

/// What giving this ordinal back takes next. Where it takes more than one step it is asked again, on a new reading.
///
/// # Errors
/// Where there is nothing to give back, or nothing can be.
pub fn release(case: &Case<'_>) -> Result<Move, Refusal> {
    if let Some(refusal) = unreadable(&case.seen.set) {
        return Err(refusal);
    }
    match stage(case.seen, case.ordinal, case.seat, case.scene.now) {
        Stage::Draining(drain) if drain.stray_seal => stray(case, drain, Then::Look),
        Stage::Draining(drain) => give_back(case, drain),
        Stage::Leaving(drain) => leaving(case, drain),
        Stage::Sealed(drain) => sealed(case, drain),
        Stage::GivingBack(_) => as_planned(case, Then::Look),
        Stage::Condemned(_) | Stage::Ended(_) => {
            let done = "its data was proven to be elsewhere and its claims were deleted before: the name is free as soon as they and the pod are gone";
            as_planned(case, Then::Done(done.to_owned()))
        }
        Stage::Foreign(reason) => foreign(case, reason),
        Stage::Live | Stage::Blocked(_) | Stage::Ripe | Stage::Departing(_) => hold(case),
    }
}

/// An unsealed drain pod: nothing more is tried, and the pod goes.
fn give_back(case: &Case<'_>, drain: &Drain) -> Result<Move, Refusal> {
    let Case { seen, ordinal, seat, .. } = case;
    if let Some(reason) = safety::no_end_of_attempt(&seen.set, seat, drain) {
        return Err(Refusal::Because(reason));
    }
    let mut actions: Vec<Action> = held_record(case, drain)?.into_iter().collect();
    actions.push(Action::DeletePod(drain.into()));
    let done = if seen.set.wants(*ordinal) {
        "the pod goes, and the member comes back with its data; without a host that may take minutes"
    } else {
        "the pod goes and every claim is kept; scale up to have the member back, or `tidegate retry` to drain it after all"
    };
    Ok(moved(actions, Grounds::Plan, Then::Done(done.to_owned())))
}

fn leaving(case: &Case<'_>, drain: &Drain) -> Result<Move, Refusal> {
    if drain.stray_seal {
        let done = "the pod goes now that nothing of tidegate's holds it";
        return stray(case, drain, Then::Done(done.to_owned()));
    }
    let why = reported(case).unwrap_or(Reason::PodLeaving);
    match held_record(case, drain)? {
        Some(note) => Ok(moved(vec![note], Grounds::Plan, Then::Done(why.to_string()))),
        None => Err(Refusal::Because(why)),
    }
}

/// A finalizer that no host put there proves nothing. On a pod that is being deleted it is all that keeps it, and with it what it holds.
fn stray(case: &Case<'_>, drain: &Drain, then: Then) -> Result<Move, Refusal> {
    match safety::no_pod_delete(case.seat, drain) {
        Some(reason) => Err(Refusal::Because(reason)),
        None => {
            let unseal = Action::Unseal { pod: drain.into(), outcome: Outcome::GivenBack };
            Ok(moved(vec![unseal], Grounds::Hand, then))
        }
    }
}

fn sealed(case: &Case<'_>, drain: &Drain) -> Result<Move, Refusal> {
    if case.seat.has_begun_to_go(drain) {
        let (pod, claim) = (drain.name.clone(), begun(case.seat, drain));
        return Err(Refusal::Begun { claim, pod });
    }
    Ok(moved(vec![Action::GiveBack(drain.into())], Grounds::Plan, Then::Look))
}

/// What the host does next by itself, and nobody has come to.
fn as_planned(case: &Case<'_>, then: Then) -> Result<Move, Refusal> {
    let steps = planned(case);
    match (steps.is_empty(), reported(case)) {
        (true, Some(reason)) => Err(Refusal::Because(reason)),
        (true, None) => Ok(Move { steps, grounds: Grounds::Plan, then: Then::Look }),
        (false, _) => Ok(Move { steps, grounds: Grounds::Plan, then }),
    }
}

/// A pod that is not ours, and may bear our finalizer: it was ours until somebody changed its marks. The claims get versions of their own, so that
/// no DELETE of before fits, and the finalizer goes; the pod itself is left to its owner.
fn foreign(case: &Case<'_>, reason: Reason) -> Result<Move, Refusal> {
    let sealed = |pod: &&PodObject| pod.finalizers().iter().any(|it| it == marks::SEAL);
    let Some(pod) = case.pod().filter(sealed) else {
        return Err(Refusal::Because(reason));
    };
    if let Some(claim) = case.seat.claims.values().find(|claim| claim.is_terminating()) {
        return Err(Refusal::Because(Reason::PodHoldsData { claim: claim.name.clone() }));
    }
    let target = target(pod);
    let note = format!("{}{}", marks::GIVEN_BACK, target.uid);
    let said = pod.annotations().get(marks::SEALED);
    if said.is_some_and(|it| *it != note) {
        return Ok(moved(vec![Action::GiveBack(target)], Grounds::Hand, Then::Look));
    }
    let mut actions: Vec<Action> =
        case.seat.claims.values().map(|claim| Action::Fence(claim.into())).collect();
    actions.push(Action::Unseal { pod: target, outcome: Outcome::GivenBack });
    let done = format!("the seal is off; {reason}");
    Ok(moved(actions, Grounds::Hand, Then::Done(done)))
}

/// No pod of ours is there: nothing is drained until a person or a change of the set says otherwise.
fn hold(case: &Case<'_>) -> Result<Move, Refusal> {
    let Case { seen, ordinal, seat, .. } = case;
    let ordinal = *ordinal;
    if let Holder::Member(member) = &seat.holder {
        return Err(Refusal::MemberThere(member.name.clone()));
    }
    if seen.set.wants(ordinal) {
        let mend = "nothing of tidegate's holds its name, and its member comes back by itself; without a host that may take minutes";
        return Err(Refusal::OrdinalWanted { ordinal, mend });
    }
    let settings = settings(&seen.set)?;
    if let Some(reason) = safety::not_understood(&seen.set, seat) {
        return Err(Refusal::Because(reason));
    }
    let owner = seen.set.templates.first().and_then(|template| seat.claims.get(template));
    let owner = owner.ok_or(Refusal::NoClaims(ordinal))?;
    let hold = Hold { why: WHY.to_owned(), settings: settings.fingerprint() };
    let before = seat.record_of(&seen.set).cloned().unwrap_or_else(|| Record::of(&seen.set));
    if before.holds(hold.settings) {
        return Err(Refusal::Because(Reason::Held { why: hold.why }));
    }
    let done = Reason::Held { why: hold.why.clone() }.to_string();
    let note = Action::Note { claim: owner.into(), record: Record { hold: Some(hold), ..before } };
    Ok(moved(vec![note], Grounds::Plan, Then::Done(done)))
}

/// The note that keeps the host from draining the ordinal anew; none where it would not, or the note is there.
///
/// # Errors
/// Where what is noted cannot be read, and so is not written over.
fn held_record(case: &Case<'_>, drain: &Drain) -> Result<Option<Action>, Refusal> {
    let set = &case.seen.set;
    let Stewardship::Ours(settings) = &set.stewardship else {
        return Ok(None);
    };
    let owner = case.seat.claims.get(&drain.owner).filter(|claim| !claim.is_terminating());
    let (true, Some(owner)) = (set.drains(case.ordinal), owner) else {
        return Ok(None);
    };
    if let Some(reason) = safety::not_understood(set, case.seat) {
        return Err(Refusal::Because(reason));
    }
    let hold = Hold { why: WHY.to_owned(), settings: settings.fingerprint() };
    let noted = case.seat.record_of_drain(drain, &set.uid).or_else(|| case.seat.record_of(set));
    let before =
        noted.cloned().unwrap_or_else(|| Record { attempt: drain.attempt, ..Record::of(set) });
    if before.is_of(set) && before.holds(hold.settings) {
        return Ok(None);
    }
    let record = Record { generation: set.generation, hold: Some(hold), ..before };
    Ok(Some(Action::Note { claim: owner.into(), record }))
}

fn begun(seat: &Seat, drain: &Drain) -> String {
    let going = seat.claims.values().find(|claim| claim.is_terminating());
    going.map_or_else(|| drain.owner.clone(), |claim| claim.name.clone())
}

fn moved(actions: Vec<Action>, grounds: Grounds, then: Then) -> Move {
    let steps = actions.into_iter().map(|action| Step { action, change: None }).collect();
    Move { steps, grounds, then }
}

fn target(pod: &PodObject) -> Target {
    Target {
        name: pod.name_any(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        resource_version: pod.metadata.resource_version.clone().unwrap_or_default(),
    }
}

/// Which finalizers come off a set, and what follows.
#[derive(Debug, PartialEq, Eq)]
pub struct Freed {
    /// They.
    pub finalizers: Vec<&'static str>,
    /// What follows.
    pub follows: String,
}

/// What letting go of the set itself takes.
///
/// # Errors
/// Where nothing of ours or of the predecessor's holds it, a host would hold it again, or claims go with it and nobody said that they may.
pub fn release_set(scene: &Scene, subject: &Subject, consent: Consent) -> Result<Freed, Refusal> {
    let set = &subject.seen.set;
    let finalizers = subject.holds();
    let others: Vec<String> = subject
        .object
        .finalizers()
        .iter()
        .filter(|it| !finalizers.contains(&it.as_str()))
        .cloned()
        .collect();
    if finalizers.is_empty() {
        return Err(Refusal::NotHeld(others));
    }
    let asks = match &set.stewardship {
        Stewardship::Ours(settings) => settings.on_set_deleted == OnSetDeleted::Drain,
        Stewardship::NotOurs | Stewardship::Unreadable { .. } => false,
    };
    if set.life == Life::Lives {
        if asks && finalizers.contains(&marks::HOLD) {
            return Err(Refusal::HeldAgain);
        }
        let follows = "the set lives on; deleting it waits for nothing of tidegate's any more";
        return Ok(Freed { finalizers, follows: follows.to_owned() });
    }
    let taken_along = taken_along(scene, subject);
    if !taken_along.is_empty() && consent == Consent::Missing {
        return Err(Refusal::ClaimsGo(taken_along));
    }
    let held = if others.is_empty() {
        "the set goes now, and its members with it".to_owned()
    } else {
        format!("the set still waits for finalizers of others: {}", others.join(", "))
    };
    let claims = if taken_along.is_empty() {
        "every claim is kept".to_owned()
    } else {
        format!("these claims go with it: {}", taken_along.join(", "))
    };
    Ok(Freed { finalizers, follows: format!("{held}; {claims}") })
}

/// The claims that Kubernetes deletes once the set is gone.
fn taken_along(scene: &Scene, subject: &Subject) -> Vec<String> {
    let owned = |claim: &&Claim| {
        let object = scene.claims.get(&claim.name);
        let owners = object.and_then(|it| it.metadata.owner_references.as_deref());
        claim.anchorage == Anchorage::Loose
            && owners.unwrap_or_default().iter().any(|it| it.uid == subject.seen.set.uid)
    };
    let claims = subject.seen.seats.values().flat_map(|seat| seat.claims.values());
    claims.filter(owned).map(|claim| claim.name.clone()).collect()
}
