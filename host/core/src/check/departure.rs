//! What may be done to a set that is drained before it goes, and to its members.

use crate::{
    Action, Claim, Ordinal, Seat, Seen,
    action::Target,
    seen::{Anchorage, Binding, Cascade, Deletion, Enrolment, Holder, Life, Stewardship},
    settings::OnSetDeleted,
};

use super::{Rules, is_active, is_paused, is_understood};

pub(super) fn on_set(seen: &Seen, action: &Action) -> (&'static str, Rules) {
    let set = &seen.set;
    let version = |target: &Target| {
        target.name == set.name
            && target.uid == set.uid
            && target.resource_version == set.resource_version
    };
    let asks = asks_for_a_drain(seen);
    match action {
        Action::Hold(target) => (
            "holding the set",
            vec![
                ("the set was seen in this version", version(target)),
                ("the set asks to be drained when it is deleted", asks),
                ("the set is not being deleted", set.life == Life::Lives),
                ("the set is not held", !set.held),
            ],
        ),
        Action::LetGo(target) => {
            let unread = matches!(set.stewardship, Stewardship::Unreadable { .. });
            let waits = asks && lives_or_departs(seen);
            let drained = set.life == Life::Terminating && !is_paused(seen) && is_drained(seen);
            (
                "letting the set go",
                vec![
                    ("the set was seen in this version", version(target)),
                    ("the set is held", set.held),
                    ("its annotations are understood", !unread),
                    ("nothing is left to drain, or no drain is asked for", !waits || drained),
                ],
            )
        }
        Action::Enrol { .. }
        | Action::Note { .. }
        | Action::CreatePod { .. }
        | Action::Seal(_)
        | Action::DeleteClaim(_)
        | Action::GiveBack(_)
        | Action::Fence(_)
        | Action::Unseal { .. }
        | Action::DeletePod(_)
        | Action::DeleteMember(_)
        | Action::Touch => ("a write to an ordinal", vec![("it is about the set", false)]),
    }
}

pub(super) fn delete_member(seen: &Seen, ordinal: Ordinal, seat: &Seat, target: &Target) -> Rules {
    let member = match &seat.holder {
        Holder::Member(member) => Some(member),
        Holder::Nobody | Holder::Drain(_) | Holder::Foreign { .. } => None,
    };
    let same = member.is_some_and(|member| {
        (&member.name, &member.uid, &member.resource_version)
            == (&target.name, &target.uid, &target.resource_version)
    });
    let fit = seat.claims.values().all(|claim| {
        claim.enrolment == Enrolment::Here
            && claim.binding == Binding::Bound
            && claim.deletion == Deletion::None
    });
    let departs = seen.set.life == Life::Terminating && lives_or_departs(seen);
    vec![
        ("the pod is the member in this version", same),
        ("the set is deleted, held, and asks to be drained", departs),
        ("the set is ours and not paused", is_active(seen)),
        ("the ordinal is not below the start", ordinal.0 >= seen.set.start),
        ("nothing above is left to drain", is_highest(seen, ordinal)),
        ("every claim is enrolled here, bound and not deleted", fit && !seat.claims.is_empty()),
        ("no other pod uses the claims", seat.other_users.is_empty()),
        ("what is noted was understood", is_understood(seat)),
    ]
}

fn asks_for_a_drain(seen: &Seen) -> bool {
    matches!(&seen.set.stewardship, Stewardship::Ours(it) if it.on_set_deleted == OnSetDeleted::Drain)
}

pub(super) fn lives_or_departs(seen: &Seen) -> bool {
    match seen.set.life {
        Life::Lives => true,
        Life::Terminating => {
            asks_for_a_drain(seen) && seen.set.held && seen.set.cascade == Cascade::Background
        }
        Life::Gone => false,
    }
}

/// In a set that lives every orphan may be drained; in one that goes, only where no ordinal above it waits.
pub(super) fn is_highest(seen: &Seen, ordinal: Ordinal) -> bool {
    let mut above = seen.seats.iter().filter(|(other, _)| **other > ordinal);
    seen.set.life == Life::Lives || above.all(|(_, seat)| is_done(seen, seat))
}

fn is_drained(seen: &Seen) -> bool {
    let mut from_the_start = seen.seats.iter().filter(|(other, _)| other.0 >= seen.set.start);
    let mut claims = seen.seats.values().flat_map(|seat| seat.claims.values());
    let goes_along = |claim: &Claim| {
        claim.enrolment == Enrolment::Here
            && claim.anchorage == Anchorage::Loose
            && claim.binding == Binding::Bound
            && claim.deletion == Deletion::None
    };
    from_the_start.all(|(_, seat)| is_done(seen, seat)) && !claims.any(goes_along)
}

fn is_done(seen: &Seen, seat: &Seat) -> bool {
    let settled = seat.kept.is_some()
        || match (&seen.set.stewardship, seat.noted.record()) {
            (Stewardship::Ours(settings), Some(record)) => {
                record.set_uid == seen.set.uid
                    && record.generation == seen.set.generation
                    && record.hold.as_ref().is_some_and(|it| it.settings == settings.fingerprint())
            }
            (_, _) => false,
        };
    let open = seat
        .claims
        .values()
        .any(|claim| claim.enrolment == Enrolment::Here && claim.deletion == Deletion::None);
    let mounts = match &seat.holder {
        Holder::Member(member) => member.mounts.as_slice(),
        Holder::Nobody | Holder::Drain(_) | Holder::Foreign { .. } => &[],
    };
    let unclaimed = seat.claims.iter().any(|(template, claim)| {
        mounts.contains(template)
            && claim.enrolment == Enrolment::Nowhere
            && claim.binding == Binding::Bound
            && claim.deletion == Deletion::None
    });
    seat.drain().is_none() && !unclaimed && (settled || !open)
}
