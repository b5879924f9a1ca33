//! Every reason not to act. `None` is the only yes, and what is not known is a reason.

use crate::{
    Claim, Drain, Ending, Ordinal, Reason, Seat, Set, TimeMs,
    seen::{Binding, Enrolment, Life, Stewardship},
    settings::{Activity, ScaleToZero, Settings},
    stage,
};

/// Why no drain pod is rendered for this orphan, apart from the number of others that drain.
#[must_use]
pub fn no_render(
    set: &Set,
    settings: &Settings,
    ordinal: Ordinal,
    seat: &Seat,
    now: TimeMs,
) -> Option<Reason> {
    unwanted_by_the_set(set, settings, ordinal)
        .or_else(|| unfit(set, seat))
        .or_else(|| seat.kept.clone().map(|reason| Reason::PolicyKeeps { reason }))
        .or_else(|| too_early(set, settings, seat, now))
}

/// Why the member of a set that departs is not deleted: what must hold before a drain pod can follow it.
#[must_use]
pub fn no_departure(set: &Set, settings: &Settings, seat: &Seat) -> Option<Reason> {
    if settings.activity == Activity::Paused {
        return Some(Reason::Paused);
    }
    unfit(set, seat)
}

/// Why these claims cannot be drained, whatever the set wants and whenever it is.
#[must_use]
pub fn unfit(set: &Set, seat: &Seat) -> Option<Reason> {
    claims_unfit(set, seat)
        .or_else(|| not_understood(set, seat))
        .or_else(|| in_use(seat).map(|pods| Reason::ClaimInUse { pods }))
}

/// Why this drain pod is not deleted by the host.
///
/// An unsealed pod whose claim somebody deleted is all that holds the data. The exception is the pod that was unsealed because
/// its claims had been proven drained and deleted.
#[must_use]
pub fn no_pod_delete(seat: &Seat, drain: &Drain) -> Option<Reason> {
    if drain.sealed {
        return Some(Reason::Unknown { what: "why a sealed pod should be deleted".to_owned() });
    }
    if drain.drained_at.is_some() && stage::undeleted(seat, drain).is_empty() {
        return None;
    }
    let held = seat.claims.values().find(|claim| claim.is_terminating());
    held.map(|claim| Reason::PodHoldsData { claim: claim.name.clone() })
}

/// Why an attempt is not ended by deleting its pod.
#[must_use]
pub fn no_end_of_attempt(set: &Set, seat: &Seat, drain: &Drain) -> Option<Reason> {
    match &set.stewardship {
        Stewardship::Ours(settings) if settings.activity == Activity::Paused => {
            Some(Reason::Paused)
        }
        Stewardship::Ours(_) | Stewardship::NotOurs | Stewardship::Unreadable { .. } => {
            no_pod_delete(seat, drain)
        }
    }
}

/// Why an ended drain pod that is said to be complete is not sealed.
#[must_use]
pub fn no_seal(settings: &Settings, seat: &Seat, drain: &Drain) -> Option<Reason> {
    if settings.activity == Activity::Paused {
        return Some(Reason::Paused);
    }
    if drain.ending != Ending::ByItself {
        return Some(Reason::NotProven { ending: drain.ending.clone() });
    }
    in_use(seat).map(|pods| Reason::InUseAtTheEnd { pods })
}

/// Why what was noted on the owning claim cannot be followed, and so is not written over either.
#[must_use]
pub fn not_understood(set: &Set, seat: &Seat) -> Option<Reason> {
    let why = seat.noted.unreadable()?.to_owned();
    let template = set.templates.first().map_or("", String::as_str);
    let claim = seat.claims.get(template).map_or(template, |owner| owner.name.as_str()).to_owned();
    Some(Reason::RecordUnreadable { claim, why })
}

/// Why the claims under this seal are not deleted although the policy says complete.
///
/// A passage that has begun to delete can only go on, whatever the annotations say since: a pause must not leave an ordinal half deleted.
#[must_use]
pub fn no_claim_delete(set: &Set, seat: &Seat, drain: &Drain) -> Option<Reason> {
    if !seat.has_begun_to_go(drain) {
        match &set.stewardship {
            Stewardship::Ours(settings) if settings.activity == Activity::Active => {}
            Stewardship::Ours(_) => return Some(Reason::Paused),
            Stewardship::NotOurs => {
                return Some(Reason::Unknown { what: "the set's policy".to_owned() });
            }
            Stewardship::Unreadable { annotation, value, mend } => {
                return Some(Reason::AnnotationUnreadable {
                    annotation: annotation.clone(),
                    value: value.clone(),
                    mend: mend.clone(),
                });
            }
        }
        if let Some(reason) = not_understood(set, seat) {
            return Some(reason);
        }
    }
    if drain.ending != Ending::ByItself {
        return Some(Reason::NotProven { ending: drain.ending.clone() });
    }
    let mut mounted = drain.claims.values().filter_map(|uid| seat.claim_of(uid));
    if let Some(reason) = mounted.find_map(not_enrolled_here) {
        return Some(reason);
    }
    in_use(seat).map(|pods| Reason::InUseAtTheEnd { pods })
}

fn unwanted_by_the_set(set: &Set, settings: &Settings, ordinal: Ordinal) -> Option<Reason> {
    if set.life != Life::Lives && !set.departs() {
        return Some(Reason::SetTerminating);
    }
    if !set.drains(ordinal) {
        return Some(Reason::BelowStart);
    }
    if settings.activity == Activity::Paused {
        return Some(Reason::Paused);
    }
    let pauses = set.life == Life::Lives && set.replicas == 0;
    if pauses && settings.scale_to_zero == ScaleToZero::Keep {
        return Some(Reason::ScaledToZero);
    }
    None
}

fn claims_unfit(set: &Set, seat: &Seat) -> Option<Reason> {
    if let Some(template) = set.templates.iter().find(|name| !seat.claims.contains_key(*name)) {
        return Some(Reason::ClaimMissing { template: template.clone() });
    }
    seat.claims.values().find_map(|claim| {
        let name = claim.name.clone();
        match claim.binding {
            Binding::Bound => {}
            Binding::Pending | Binding::Lost | Binding::Unknown => {
                return Some(Reason::NotBound { claim: name });
            }
        }
        let terminating =
            || claim.is_terminating().then_some(Reason::ClaimTerminating { claim: name });
        not_enrolled_here(claim).or_else(terminating)
    })
}

fn not_enrolled_here(claim: &Claim) -> Option<Reason> {
    let name = claim.name.clone();
    match &claim.enrolment {
        Enrolment::Here => None,
        Enrolment::Nowhere => Some(Reason::NotEnrolled { claim: name }),
        Enrolment::Elsewhere { uid, lives: _ } => {
            Some(Reason::EnrolledElsewhere { claim: name, uid: uid.clone() })
        }
    }
}

fn in_use(seat: &Seat) -> Option<Vec<String>> {
    (!seat.other_users.is_empty()).then(|| seat.other_users.clone())
}

fn too_early(set: &Set, settings: &Settings, seat: &Seat, now: TimeMs) -> Option<Reason> {
    if settings.delay_ms > 0 {
        let since = seat.orphan_since.unwrap_or(now);
        let until = since.after_ms(settings.delay_ms);
        if until > now {
            return Some(Reason::Delayed { until });
        }
    }
    let record = seat.record_of(set)?;
    if let Some(hold) = record.hold.as_ref().filter(|hold| hold.settings == settings.fingerprint())
    {
        return Some(Reason::Held { why: hold.why.clone() });
    }
    let until = record.not_before.filter(|until| *until > now)?;
    Some(Reason::BackingOff { attempt: record.attempt, until })
}
