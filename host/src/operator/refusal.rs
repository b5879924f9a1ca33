//! Why a command of an operator does nothing.

use tidegate_core::{Ordinal, Reason, Set, Settings, seen::Stewardship};

/// Why a command does nothing. Each names what stands in the way and the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The host has the same reason to do nothing.
    #[error("{0}")]
    Because(Reason),
    /// There is no such set, and no drain pod of one.
    #[error(
        "namespace {namespace} has no StatefulSet {set}, and no drain pod of one of that name: mend the name, or name its namespace with -n"
    )]
    NoSuchSet {
        /// The namespace.
        namespace: String,
        /// The set's name.
        set: String,
    },
    /// The set names no policy.
    #[error(
        "the set names no policy, so no host drains it: annotate it with tidegate.dev/policy first"
    )]
    NotOurs,
    /// The ordinal has no claim.
    #[error("ordinal {0} has no claim: there is nothing to drain and nothing to give back")]
    NoClaims(Ordinal),
    /// The set wants the ordinal.
    #[error("the set wants ordinal {ordinal}: {mend}")]
    OrdinalWanted {
        /// The ordinal.
        ordinal: Ordinal,
        /// What to do instead.
        mend: &'static str,
    },
    /// The ordinal's member holds the claims.
    #[error("member {0} holds the claims: wait until it is gone, or scale the set down")]
    MemberThere(String),
    /// A drain pod of ours is there already.
    #[error("drain pod {0} is there: its claims are enrolled already")]
    DrainThere(String),
    /// Every claim is enrolled.
    #[error(
        "every claim of ordinal {0} is enrolled for this set already: `tidegate status` says what it waits for"
    )]
    Enrolled(Ordinal),
    /// Another set that lives has enrolled the claim.
    #[error(
        "claim {claim} is enrolled for the set {set}, which lives: it is not taken from it; take the label tidegate.dev/set-uid off the claim if that is wrong"
    )]
    OfAnotherSet {
        /// The claim.
        claim: String,
        /// The other set.
        set: String,
    },
    /// The claim's name may mean another set.
    #[error(
        "the name of claim {claim} is one that the set {set} uses too: whose data it holds cannot be told, so label it yourself with tidegate.dev/set-uid and the right set's UID"
    )]
    Contested {
        /// The claim.
        claim: String,
        /// The other set.
        set: String,
    },
    /// The drain pod works.
    #[error(
        "drain pod {0} is at work: let it finish, or repeat the command with --yes to end this attempt"
    )]
    AtWork(String),
    /// The drain pod is sealed.
    #[error(
        "drain pod {0} is sealed, so its drain is done and its claims are about to go: there is nothing to try again; `tidegate release` gives the ordinal back"
    )]
    Sealed(String),
    /// The claims of a sealed pod have begun to go.
    #[error(
        "claim {claim} is being deleted under the seal of drain pod {pod}, because its data was proven to be elsewhere: the passage can only go on, and the member would come back to half of its volumes; a host ends it as soon as it can ask the policy again"
    )]
    Begun {
        /// The claim.
        claim: String,
        /// The pod.
        pod: String,
    },
    /// Nothing of ours or of the predecessor's holds the set.
    #[error("neither tidegate nor its predecessor holds the set; the finalizers that it bears are: {}", none_if_empty(.0))]
    NotHeld(Vec<String>),
    /// The host would hold it again at once.
    #[error(
        "the set asks to be drained when it is deleted, and a host would hold it again at once: take the annotation tidegate.dev/on-set-deleted off first"
    )]
    HeldAgain,
    /// Claims go with the set.
    #[error("the set is being deleted, and Kubernetes deletes these claims with it, drained or not: {}; repeat the command with --yes if that is meant, or set persistentVolumeClaimRetentionPolicy.whenDeleted to Retain first", .0.join(", "))]
    ClaimsGo(Vec<String>),
}

impl Refusal {
    /// The word that it is known by.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Because(reason) => reason.code(),
            Self::NoSuchSet { .. } => "NoSuchSet",
            Self::NotOurs => "NotOurs",
            Self::NoClaims(_) => "NoClaims",
            Self::OrdinalWanted { .. } => "OrdinalWanted",
            Self::MemberThere(_) => "MemberThere",
            Self::DrainThere(_) => "DrainThere",
            Self::Enrolled(_) => "Enrolled",
            Self::OfAnotherSet { .. } => "OfAnotherSet",
            Self::Contested { .. } => "Contested",
            Self::AtWork(_) => "AtWork",
            Self::Sealed(_) => "Sealed",
            Self::Begun { .. } => "Begun",
            Self::NotHeld(_) => "NotHeld",
            Self::HeldAgain => "HeldAgain",
            Self::ClaimsGo(_) => "ClaimsGo",
        }
    }
}

/// The settings of a set that names a policy.
///
/// # Errors
/// Where it names none, or an annotation cannot be understood.
pub fn settings(set: &Set) -> Result<&Settings, Refusal> {
    match &set.stewardship {
        Stewardship::Ours(settings) => Ok(settings),
        Stewardship::NotOurs => Err(Refusal::NotOurs),
        Stewardship::Unreadable { .. } => Err(unreadable(set).unwrap_or(Refusal::NotOurs)),
    }
}

/// Why nothing of a set is touched whose annotations cannot be understood.
#[must_use]
pub fn unreadable(set: &Set) -> Option<Refusal> {
    match &set.stewardship {
        Stewardship::Ours(_) | Stewardship::NotOurs => None,
        Stewardship::Unreadable { annotation, value, mend } => {
            Some(Refusal::Because(Reason::AnnotationUnreadable {
                annotation: annotation.clone(),
                value: value.clone(),
                mend: mend.clone(),
            }))
        }
    }
}

fn none_if_empty(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
