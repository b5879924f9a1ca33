//! A set that is being deleted and is to be drained first: its ordinals go one after the other, the highest first, while the members below are
//! there to take the data.

use crate::{
    Claim, Ordinal, Seat, Seen, Set,
    seen::{Enrolment, Holder, Stewardship},
};

/// The ordinal whose turn it is; none where nothing is left to drain.
#[must_use]
pub fn turn(seen: &Seen) -> Option<Ordinal> {
    let mut from_above = seen.seats.iter().rev();
    let found = from_above.find(|(ordinal, seat)| remains(&seen.set, **ordinal, seat));
    found.map(|(ordinal, _)| *ordinal)
}

/// Whether a claim of the set is not anchored yet that should be: the garbage collector could take it as soon as the set is let go.
#[must_use]
pub fn leaves_loose(seen: &Seen) -> bool {
    let mut claims = seen.seats.values().flat_map(|seat| seat.claims.values());
    claims.any(|claim| seen.set.leaves_loose(claim))
}

/// Whether something of the ordinal is left to drain: a drain pod of ours, or a claim of the set that the policy does not keep, or that is enrolled as
/// soon as somebody looks. Other claims that were never enrolled are nobody's promise and do not hold the set.
fn remains(set: &Set, ordinal: Ordinal, seat: &Seat) -> bool {
    let drained = matches!(seat.holder, Holder::Drain(_));
    let left = |claim: &Claim| claim.enrolment == Enrolment::Here && !claim.is_terminating();
    let kept = seat.kept.is_some() || is_held(set, seat);
    let is_due = seat.mounted().any(Claim::may_be_enrolled);
    set.drains(ordinal) && (drained || is_due || (!kept && seat.claims.values().any(left)))
}

fn is_held(set: &Set, seat: &Seat) -> bool {
    let Stewardship::Ours(settings) = &set.stewardship else {
        return false;
    };
    seat.record_of(set).is_some_and(|record| record.holds(settings.fingerprint()))
}
