//! Where the passage of one ordinal stands, from what is seen alone.

use crate::{
    Drain, Ordinal, Reason, Seat, Seen, TimeMs,
    departure::turn,
    safety,
    seen::{Claim, Deletion, Holder, Member, Stewardship},
};

/// Where the passage stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage<'a> {
    /// The ordinal is wanted and no drain pod holds its name.
    Live,
    /// Not wanted, and nothing is to be done.
    Blocked(Reason),
    /// An orphan for which the policy may render a drain pod.
    Ripe,
    /// Our drain pod, not sealed.
    Draining(&'a Drain),
    /// Our drain pod, not sealed, on its way out.
    Leaving(&'a Drain),
    /// Our sealed pod, while some claim of it is not yet being deleted.
    Sealed(&'a Drain),
    /// Our sealed pod, whose seal is being given back.
    GivingBack(&'a Drain),
    /// Our sealed pod, and every claim of it is being deleted or gone.
    Condemned(&'a Drain),
    /// Our pod, unsealed after its claims were deleted.
    Ended(&'a Drain),
    /// The member of the ordinal whose turn it is, in a set that is drained before it goes.
    Departing(&'a Member),
    /// A pod that is neither the member nor ours holds the name.
    Foreign(Reason),
}

/// Where the passage of this ordinal stands. [`Stage::Ripe`] leaves the bound on drain pods at once to the caller.
#[must_use]
pub fn stage<'a>(seen: &'a Seen, ordinal: Ordinal, seat: &'a Seat, now: TimeMs) -> Stage<'a> {
    let wanted = seen.set.wants(ordinal);
    match &seat.holder {
        Holder::Drain(drain) => with_drain_pod(seat, drain),
        Holder::Foreign { why } => Stage::Foreign(Reason::NameHeld { why: why.clone() }),
        Holder::Member(_) | Holder::Nobody if wanted => Stage::Live,
        Holder::Member(member) if seen.set.departs() && turn(seen) == Some(ordinal) => {
            departing(seen, seat, member)
        }
        Holder::Member(_) => Stage::Blocked(Reason::MemberThere),
        Holder::Nobody => match &seen.set.stewardship {
            Stewardship::Ours(settings) => {
                match safety::no_render(&seen.set, settings, ordinal, seat, now) {
                    Some(reason) => Stage::Blocked(reason),
                    None if seen.set.departs() && turn(seen) != Some(ordinal) => {
                        Stage::Blocked(Reason::AwaitsHigher)
                    }
                    None => Stage::Ripe,
                }
            }
            Stewardship::NotOurs | Stewardship::Unreadable { .. } => Stage::Live,
        },
    }
}

/// The claims of this drain pod that are still there and whose deletion has not come as far as it must before the pod may be unsealed:
/// all deleted, the owner in the foreground, so that it takes the pod with it.
#[must_use]
pub fn undeleted<'a>(seat: &'a Seat, drain: &Drain) -> Vec<&'a Claim> {
    drain
        .claims
        .iter()
        .filter_map(|(template, uid)| {
            let claim = seat.claim_of(uid)?;
            let pending = match claim.deletion {
                Deletion::None | Deletion::Impending => true,
                Deletion::Background => *template == drain.owner,
                Deletion::Foreground => false,
            };
            pending.then_some(claim)
        })
        .collect()
}

/// A member is deleted only where its claims can be drained afterwards, as far as can be seen.
fn departing<'a>(seen: &Seen, seat: &Seat, member: &'a Member) -> Stage<'a> {
    let unfit = match &seen.set.stewardship {
        Stewardship::Ours(settings) => safety::no_departure(&seen.set, settings, seat),
        Stewardship::NotOurs | Stewardship::Unreadable { .. } => Some(Reason::MemberThere),
    };
    match unfit {
        Some(reason) => Stage::Blocked(reason),
        None if member.terminating => Stage::Blocked(Reason::MemberThere),
        None => Stage::Departing(member),
    }
}

fn with_drain_pod<'a>(seat: &'a Seat, drain: &'a Drain) -> Stage<'a> {
    if drain.sealed {
        return if undeleted(seat, drain).is_empty() {
            Stage::Condemned(drain)
        } else if drain.giving_back {
            Stage::GivingBack(drain)
        } else {
            Stage::Sealed(drain)
        };
    }
    if drain.drained_at.is_some() {
        return Stage::Ended(drain);
    }
    if drain.terminating { Stage::Leaving(drain) } else { Stage::Draining(drain) }
}
