//! Why nothing is done: the words that events, status and logs share.

mod words;

use crate::{Ending, Ordinal, TimeMs, seen::Cascade};

/// How an operator should take a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// For information.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Why something is not done. Each says what, where and the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An annotation of the set cannot be understood.
    AnnotationUnreadable {
        /// Its key.
        annotation: String,
        /// Its value.
        value: String,
        /// What would be understood.
        mend: String,
    },
    /// Kubernetes deletes a claim with its member before it can be drained, because it is not anchored.
    WhenScaledDelete {
        /// The claim's name.
        claim: String,
    },
    /// The set is paused.
    Paused,
    /// The set was scaled to zero, which its annotations call a pause.
    ScaledToZero,
    /// The ordinal lies below the live range: `ordinals.start` was raised, which is no scale-down.
    BelowStart,
    /// The set is being deleted.
    SetTerminating,
    /// A claim of the ordinal is not there.
    ClaimMissing {
        /// The template whose claim is missing.
        template: String,
    },
    /// A claim was never enrolled for this set.
    NotEnrolled {
        /// The claim's name.
        claim: String,
    },
    /// A claim is enrolled for another set.
    EnrolledElsewhere {
        /// The claim's name.
        claim: String,
        /// The other set's UID.
        uid: String,
    },
    /// What is noted on a claim is no record that this host can read.
    RecordUnreadable {
        /// The claim's name.
        claim: String,
        /// Why it cannot be read.
        why: String,
    },
    /// A claim has no volume.
    NotBound {
        /// The claim's name.
        claim: String,
    },
    /// A claim is being deleted by somebody else.
    ClaimTerminating {
        /// The claim's name.
        claim: String,
    },
    /// The member is still there.
    MemberThere,
    /// A claim whose drain has ended is still there.
    ClaimLingers {
        /// The claim's name.
        claim: String,
        /// The pods that use it.
        pods: Vec<String>,
    },
    /// A pod that is neither the member nor ours holds the name.
    NameHeld {
        /// Why it is not ours.
        why: String,
    },
    /// Another pod uses a claim.
    ClaimInUse {
        /// The pods' names.
        pods: Vec<String>,
    },
    /// The orphan waits for its delay to pass.
    Delayed {
        /// When it has.
        until: TimeMs,
    },
    /// The next attempt waits.
    BackingOff {
        /// The attempt's number.
        attempt: u32,
        /// Until when.
        until: TimeMs,
    },
    /// The set is deleted and drained first; it is this ordinal's turn.
    Departs {
        /// The ordinal.
        ordinal: Ordinal,
    },
    /// The set is deleted and drained first, and the ordinals above this one have their turn before it.
    AwaitsHigher,
    /// The set asks to be drained when it is deleted, and was deleted in a way that leaves nobody to drain to.
    NobodyStays {
        /// Which way.
        cascade: Cascade,
    },
    /// The policy took its `complete` back under the seal; the next seal waits.
    SealWithdrawn {
        /// Until when.
        until: TimeMs,
    },
    /// As many ordinals of the set have a drain pod as may.
    Queued,
    /// Nothing more is tried until the set, its config or its policy changes.
    Held {
        /// Why.
        why: String,
    },
    /// The policy says not yet.
    PolicyWaits {
        /// The policy's reason.
        reason: String,
        /// How much is done, if the policy knows.
        percent: Option<u8>,
    },
    /// The policy leaves the claims.
    PolicyKeeps {
        /// The policy's reason.
        reason: String,
    },
    /// The policy refuses until a person mends something.
    PolicyRefuses {
        /// The policy's reason.
        reason: String,
    },
    /// The policy stopped the drain.
    PolicyFails {
        /// The policy's reason.
        reason: String,
    },
    /// The policy could not be found, loaded or asked, or broke a limit.
    PolicyFault {
        /// What happened and how to mend it.
        what: String,
    },
    /// The policy that the set names is not taken into use.
    PolicyNotTaken {
        /// What stands against it and how to mend it.
        what: String,
        /// The digest of the policy that stays in use; none where no drain begins.
        in_use: Option<String>,
    },
    /// What stood against the policy or the config stands against it no more.
    PolicyTaken {
        /// The digest of the policy.
        digest: String,
    },
    /// The policy that the set names does not take the set's config.
    ConfigInvalid {
        /// What is wrong with it, in the policy's words.
        what: String,
        /// The digest of the policy that stays in use; none where no drain begins.
        in_use: Option<String>,
    },
    /// What the policy rendered is not a pod that the host may create.
    TemplateRejected {
        /// The field.
        field: String,
        /// What is wrong with it and how to mend it.
        mend: String,
    },
    /// The policy says complete, but the drain pod did not end by itself with success.
    NotProven {
        /// How it ended.
        ending: Ending,
    },
    /// The policy says complete, but a pod that is neither the member nor ours uses a claim.
    InUseAtTheEnd {
        /// The pods' names.
        pods: Vec<String>,
    },
    /// The drain pod is all that holds a claim that somebody deleted.
    PodHoldsData {
        /// The claim's name.
        claim: String,
    },
    /// The drain pod is being deleted and its end is awaited.
    PodLeaving,
    /// The drain pod is being deleted and bears the seal's finalizer, which the host did not put there.
    StraySeal,
    /// The drain pod is to go and does not, because others put finalizers on it.
    HeldByFinalizers {
        /// Them.
        finalizers: Vec<String>,
    },
    /// The claims are being deleted; the garbage collector has not come yet.
    Collecting,
    /// The API server refused what was decided.
    WriteRefused {
        /// What was refused, and its words.
        what: String,
    },
    /// A read or an answer that a decision needs was not there.
    Unknown {
        /// What was missing.
        what: String,
    },
}

impl Reason {
    /// The word that events and metrics know it by.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AnnotationUnreadable { .. } => "AnnotationUnreadable",
            Self::WhenScaledDelete { .. } => "WhenScaledDelete",
            Self::Paused => "Paused",
            Self::ScaledToZero => "ScaledToZero",
            Self::BelowStart => "BelowStart",
            Self::SetTerminating => "SetTerminating",
            Self::ClaimMissing { .. } => "ClaimMissing",
            Self::NotEnrolled { .. } => "NotEnrolled",
            Self::EnrolledElsewhere { .. } => "EnrolledElsewhere",
            Self::RecordUnreadable { .. } => "RecordUnreadable",
            Self::NotBound { .. } => "NotBound",
            Self::ClaimTerminating { .. } => "ClaimTerminating",
            Self::ClaimLingers { .. } => "ClaimLingers",
            Self::MemberThere => "MemberThere",
            Self::NameHeld { .. } => "NameHeld",
            Self::ClaimInUse { .. } => "ClaimInUse",
            Self::Delayed { .. } => "Delayed",
            Self::BackingOff { .. } => "BackingOff",
            Self::Departs { .. } => "Departs",
            Self::AwaitsHigher => "AwaitsHigher",
            Self::NobodyStays { .. } => "NobodyStays",
            Self::SealWithdrawn { .. } => "SealWithdrawn",
            Self::Queued => "Queued",
            Self::Held { .. } => "Held",
            Self::PolicyWaits { .. } => "PolicyWaits",
            Self::PolicyKeeps { .. } => "PolicyKeeps",
            Self::PolicyRefuses { .. } => "PolicyRefuses",
            Self::PolicyFails { .. } => "PolicyFails",
            Self::PolicyFault { .. } => "PolicyFault",
            Self::PolicyNotTaken { .. } => "PolicyNotTaken",
            Self::PolicyTaken { .. } => "PolicyTaken",
            Self::ConfigInvalid { .. } => "ConfigInvalid",
            Self::TemplateRejected { .. } => "TemplateRejected",
            Self::NotProven { .. } => "NotProven",
            Self::InUseAtTheEnd { .. } => "InUseAtTheEnd",
            Self::PodHoldsData { .. } => "PodHoldsData",
            Self::PodLeaving => "PodLeaving",
            Self::StraySeal => "StraySeal",
            Self::HeldByFinalizers { .. } => "HeldByFinalizers",
            Self::Collecting => "Collecting",
            Self::WriteRefused { .. } => "WriteRefused",
            Self::Unknown { .. } => "Unknown",
        }
    }

    /// Whether no watch shows that the reason has gone.
    #[must_use]
    pub const fn is_unwatched(&self) -> bool {
        matches!(
            self,
            Self::NameHeld { .. }
                | Self::ClaimInUse { .. }
                | Self::InUseAtTheEnd { .. }
                | Self::ClaimLingers { .. }
        )
    }

    /// When the reason goes by itself, where it does.
    #[must_use]
    pub const fn ends_at(&self) -> Option<TimeMs> {
        if let Self::Delayed { until }
        | Self::BackingOff { until, .. }
        | Self::SealWithdrawn { until } = self
        {
            Some(*until)
        } else {
            None
        }
    }

    /// How an operator should take it.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Paused
            | Self::ScaledToZero
            | Self::MemberThere
            | Self::Delayed { .. }
            | Self::BackingOff { .. }
            | Self::Departs { .. }
            | Self::AwaitsHigher
            | Self::SealWithdrawn { .. }
            | Self::Queued
            | Self::PolicyWaits { .. }
            | Self::PolicyKeeps { .. }
            | Self::PolicyTaken { .. }
            | Self::PodLeaving
            | Self::Collecting
            | Self::SetTerminating => Severity::Normal,
            Self::AnnotationUnreadable { .. }
            | Self::WhenScaledDelete { .. }
            | Self::BelowStart
            | Self::ClaimMissing { .. }
            | Self::NotEnrolled { .. }
            | Self::EnrolledElsewhere { .. }
            | Self::RecordUnreadable { .. }
            | Self::NotBound { .. }
            | Self::ClaimTerminating { .. }
            | Self::ClaimLingers { .. }
            | Self::NameHeld { .. }
            | Self::ClaimInUse { .. }
            | Self::Held { .. }
            | Self::PolicyRefuses { .. }
            | Self::PolicyFails { .. }
            | Self::PolicyFault { .. }
            | Self::PolicyNotTaken { .. }
            | Self::ConfigInvalid { .. }
            | Self::TemplateRejected { .. }
            | Self::NotProven { .. }
            | Self::InUseAtTheEnd { .. }
            | Self::PodHoldsData { .. }
            | Self::NobodyStays { .. }
            | Self::StraySeal
            | Self::HeldByFinalizers { .. }
            | Self::WriteRefused { .. }
            | Self::Unknown { .. } => Severity::Warning,
        }
    }
}
