//! What was done: the words that events and logs share.

use std::fmt;

use crate::Severity;

/// What the host did or saw done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A claim was enrolled.
    Enrolled,
    /// A claim was enrolled and its namespace made an owner of it.
    Anchored,
    /// A drain pod was created.
    DrainStarted {
        /// The attempt's number.
        attempt: u32,
        /// What the host took out of the template.
        removed: Vec<String>,
    },
    /// The drain pod is deleted so that another attempt can follow.
    AttemptEnded {
        /// Why.
        why: String,
        /// The next attempt's number.
        next_attempt: u32,
    },
    /// The ordinal is given back with its data.
    GivenBack {
        /// Why.
        why: String,
    },
    /// The ended pod was sealed.
    Sealed {
        /// The policy's reason.
        reason: String,
    },
    /// The claims are deleted.
    Drained {
        /// The policy's reason.
        reason: String,
    },
    /// The pod that the garbage collector left behind is deleted.
    Collected,
    /// The set was touched so that its controller looks at once.
    Touched,
    /// The set is held, so that its deletion waits until it is drained.
    Held,
    /// The set is held no more.
    LetGo {
        /// Why.
        why: String,
    },
    /// The member of a set that is drained before it goes was deleted.
    MemberDeleted,
}

impl Change {
    /// The word that events and metrics know it by.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Enrolled => "Enrolled",
            Self::Anchored => "Anchored",
            Self::DrainStarted { .. } => "DrainStarted",
            Self::AttemptEnded { .. } => "AttemptEnded",
            Self::GivenBack { .. } => "GivenBack",
            Self::Sealed { .. } => "Sealed",
            Self::Drained { .. } => "Drained",
            Self::Collected => "Collected",
            Self::Touched => "Touched",
            Self::Held => "Held",
            Self::LetGo { .. } => "LetGo",
            Self::MemberDeleted => "MemberDeleted",
        }
    }

    /// How an operator should take it.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::AttemptEnded { .. } => Severity::Warning,
            Self::Enrolled
            | Self::Anchored
            | Self::DrainStarted { .. }
            | Self::GivenBack { .. }
            | Self::Sealed { .. }
            | Self::Drained { .. }
            | Self::Collected
            | Self::Touched
            | Self::Held
            | Self::LetGo { .. }
            | Self::MemberDeleted => Severity::Normal,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enrolled => write!(
                f,
                "the claim is enrolled: it will be drained when its ordinal is scaled away"
            ),
            Self::Anchored => write!(
                f,
                "the claim is enrolled and its namespace is an owner of it: Kubernetes leaves it until it is drained, and persistentVolumeClaimRetentionPolicy.whenDeleted is void for it"
            ),
            Self::DrainStarted { attempt, removed } if removed.is_empty() => {
                write!(f, "drain pod created, attempt {attempt}")
            }
            Self::DrainStarted { attempt, removed } => {
                write!(
                    f,
                    "drain pod created, attempt {attempt}; taken out of its template: {}",
                    removed.join(", ")
                )
            }
            Self::AttemptEnded { why, next_attempt } => {
                write!(f, "the claim is kept and attempt {next_attempt} follows: {why}")
            }
            Self::GivenBack { why } => write!(f, "the ordinal is given back with its data: {why}"),
            Self::Sealed { reason } => write!(f, "the drain pod is sealed: {reason}"),
            Self::Drained { reason } => write!(f, "drained, the claim is deleted: {reason}"),
            Self::Collected => {
                write!(f, "the drain pod is deleted, because the garbage collector is slow")
            }
            Self::Held => write!(
                f,
                "the set is held by the finalizer tidegate.dev/drain-on-delete: deleting it drains every ordinal first"
            ),
            Self::LetGo { why } => write!(f, "the set is let go: {why}"),
            Self::MemberDeleted => write!(
                f,
                "the set is deleted and its turn has come: the member is deleted, so that its volume can be drained"
            ),
            Self::Touched => write!(
                f,
                "the set was touched, so that its controller sees at once that the name is free"
            ),
        }
    }
}
