//! What must never happen, in terms of what is true in the world and not of what anybody believes.

use std::fmt;

use crate::objects::Seat;

/// Something that must never happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Harm {
    /// I1: a host deleted a claim with data that no drain pod has moved.
    DataDeleted {
        /// Where.
        seat: Seat,
    },
    /// I1, I6: a host's request deleted a claim while no sealed drain pod held it.
    NotSealed {
        /// Where.
        seat: Seat,
    },
    /// I4: a host means to drain or delete a claim that it read to bear no label of the set.
    NotEnrolled {
        /// Where.
        seat: Seat,
    },
    /// I1: a member writes to a claim that a host has deleted.
    WritesToCondemned {
        /// Where.
        seat: Seat,
    },
    /// I1: a member comes up with one claim of before and a fresh one in place of one that a host deleted.
    HalfOfItsData {
        /// Where.
        seat: Seat,
    },
    /// I1: a host means to delete a claim though the policy did not say complete.
    NoVerdict {
        /// Where.
        seat: Seat,
    },
    /// I1, I3: a host means to start, seal or delete although it read that another pod uses the claims.
    UsedByAnother {
        /// Where.
        seat: Seat,
    },
    /// I3: a host means to delete the pod that is all that holds a deleted claim.
    LastCopy {
        /// Where.
        seat: Seat,
    },
    /// I4: a host means to make a drain pod for an ordinal that it read to be no orphan.
    NoOrphan {
        /// Where.
        seat: Seat,
    },
    /// I4: a host means to delete a member of a set that is not to be drained before it goes.
    LiveMember {
        /// Where.
        seat: Seat,
    },
    /// A host means to start or delete something of a paused set.
    Paused {
        /// Where.
        seat: Seat,
    },
    /// The checker refused what the planner planned.
    Unchecked {
        /// What the checker said.
        rule: String,
    },
    /// I7: the quiet cluster never comes to rest.
    NoRest,
    /// I7: at rest, something is left to be written, and nobody would look.
    Overlooked {
        /// Where.
        seat: Seat,
    },
    /// I7: at rest, an ordinal is stuck without a word.
    Silence {
        /// Where.
        seat: Seat,
    },
    /// I7: at rest, a reason is told that should have passed.
    Stale {
        /// Where.
        seat: Seat,
        /// The reason's code.
        code: &'static str,
    },
    /// I7: the name is free and the ordinal wanted, but nobody woke the set's controller.
    NotWoken {
        /// Where.
        seat: Seat,
    },
}

impl Harm {
    /// Where, if it is at one ordinal.
    const fn seat(&self) -> Option<Seat> {
        match self {
            Self::DataDeleted { seat }
            | Self::NotSealed { seat }
            | Self::NotEnrolled { seat }
            | Self::WritesToCondemned { seat }
            | Self::HalfOfItsData { seat }
            | Self::NoVerdict { seat }
            | Self::UsedByAnother { seat }
            | Self::LastCopy { seat }
            | Self::NoOrphan { seat }
            | Self::LiveMember { seat }
            | Self::Paused { seat }
            | Self::Overlooked { seat }
            | Self::Silence { seat }
            | Self::Stale { seat, .. }
            | Self::NotWoken { seat } => Some(*seat),
            Self::Unchecked { .. } | Self::NoRest => None,
        }
    }

    const fn words(&self) -> &'static str {
        match self {
            Self::DataDeleted { .. } => {
                "I1: a host deleted a claim with data that no drain pod has moved"
            }
            Self::NotSealed { .. } => {
                "I1: a host deleted a claim while no sealed drain pod held it"
            }
            Self::NotEnrolled { .. } => {
                "I4: a host would drain or delete a claim that is not enrolled"
            }
            Self::WritesToCondemned { .. } => {
                "I1: the member writes to a claim that a host has deleted"
            }
            Self::HalfOfItsData { .. } => {
                "I1: the member comes up with one old claim and one fresh one in place of one that a host deleted"
            }
            Self::NoVerdict { .. } => {
                "I1: a host would delete a claim though the policy did not say complete"
            }
            Self::UsedByAnother { .. } => {
                "I3: a host would go on though it read that another pod uses the claims"
            }
            Self::LastCopy { .. } => {
                "I3: a host would delete the pod that is all that holds a deleted claim"
            }
            Self::NoOrphan { .. } => {
                "I4: a host would make a drain pod though it read that there is no orphan"
            }
            Self::LiveMember { .. } => {
                "I4: a host would delete a member of a set that is not to be drained before it goes"
            }
            Self::Paused { .. } => "a host would start or delete though the set is paused",
            Self::Unchecked { .. } => "the checker refused a plan",
            Self::NoRest => "I7: the quiet cluster does not come to rest",
            Self::Overlooked { .. } => {
                "I7: something is left to be written, and no host would look"
            }
            Self::Silence { .. } => "I7: it is stuck, and nothing is told",
            Self::Stale { .. } => "I7: it is stuck for a reason that should have passed",
            Self::NotWoken { .. } => {
                "I7: it is wanted and its name is free, but nobody woke the set's controller"
            }
        }
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(seat) = self.seat() {
            write!(f, "ordinal {}: ", seat.saturating_add(1))?;
        }
        f.write_str(self.words())?;
        match self {
            Self::Unchecked { rule } => write!(f, ": {rule}"),
            Self::Stale { code, .. } => write!(f, ": {code}"),
            Self::DataDeleted { .. }
            | Self::NotSealed { .. }
            | Self::NotEnrolled { .. }
            | Self::WritesToCondemned { .. }
            | Self::HalfOfItsData { .. }
            | Self::NoVerdict { .. }
            | Self::UsedByAnother { .. }
            | Self::LastCopy { .. }
            | Self::NoOrphan { .. }
            | Self::LiveMember { .. }
            | Self::Paused { .. }
            | Self::NoRest
            | Self::Overlooked { .. }
            | Self::Silence { .. }
            | Self::NotWoken { .. } => Ok(()),
        }
    }
}
