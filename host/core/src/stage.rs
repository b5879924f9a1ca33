//! Where the passage of one ordinal stands, from what is seen alone.

use crate::{
    Drain, Ordinal, Reason, Seat, Seen, TimeMs, safety,
    seen::{Claim, Deletion, Holder, Stewardship},
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
    /// Our sealed pod, and every claim of it is being deleted or gone.
    Condemned(&'a Drain),
    /// Our pod, unsealed after its claims were deleted.
    Ended(&'a Drain),
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
        Holder::Member { .. } | Holder::Nobody if wanted => Stage::Live,
        Holder::Member { .. } => Stage::Blocked(Reason::MemberThere),
        Holder::Nobody => match &seen.set.stewardship {
            Stewardship::Ours(settings) => {
                match safety::no_render(&seen.set, settings, ordinal, seat, now) {
                    Some(reason) => Stage::Blocked(reason),
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

fn with_drain_pod<'a>(seat: &'a Seat, drain: &'a Drain) -> Stage<'a> {
    if drain.sealed {
        return if undeleted(seat, drain).is_empty() {
            Stage::Condemned(drain)
        } else {
            Stage::Sealed(drain)
        };
    }
    if drain.drained_at.is_some() {
        return Stage::Ended(drain);
    }
    if drain.terminating { Stage::Leaving(drain) } else { Stage::Draining(drain) }
}
