//! Why nothing is done: the words that events, status and logs share.

use std::fmt;

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

impl fmt::Display for Reason {
    #[expect(
        clippy::too_many_lines,
        reason = "a table with one arm a reason, so that the compiler names a missing one"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnnotationUnreadable { annotation, value, mend } => {
                write!(
                    f,
                    "annotation {annotation}: {value:?} is not understood: {mend}; nothing of this set is touched until then"
                )
            }
            Self::WhenScaledDelete { claim } => write!(
                f,
                "persistentVolumeClaimRetentionPolicy.whenScaled is Delete and claim {claim} is not anchored, so Kubernetes deletes it as soon as its member is scaled away, drained or not: let the member run and mount it before you scale down, or set whenScaled to Retain"
            ),
            Self::Paused => write!(f, "the set is paused: take tidegate.dev/paused off to go on"),
            Self::ScaledToZero => write!(
                f,
                "scaled to zero, which is taken for a pause: the claims are kept; annotate tidegate.dev/scale-to-zero=drain to drain them"
            ),
            Self::BelowStart => write!(
                f,
                "the ordinal lies below spec.ordinals.start, which no scale-down leads to: its claims are left alone"
            ),
            Self::SetTerminating => write!(f, "the set is being deleted: the claims are kept"),
            Self::ClaimMissing { template } => write!(
                f,
                "the claim of template {template} is not there: nothing is drained and nothing deleted; restore it, or delete the other claims yourself"
            ),
            Self::NotEnrolled { claim } => write!(
                f,
                "claim {claim} was never enrolled while its member lived, so it is not drained and not deleted: scale up so that the member mounts it once, enrol it by hand with `tidegate adopt`, or delete it yourself"
            ),
            Self::EnrolledElsewhere { claim, uid } => {
                write!(
                    f,
                    "claim {claim} is enrolled for the set with UID {uid}: it is not touched; once that set is gone, `tidegate adopt` enrols it here"
                )
            }
            Self::RecordUnreadable { claim, why } => write!(
                f,
                "annotation tidegate.dev/record of claim {claim} cannot be read ({why}): nothing is drained and nothing deleted until the version that wrote it runs again, or you take the annotation off, which lets the drain begin anew"
            ),
            Self::NotBound { claim } => write!(
                f,
                "claim {claim} has no volume: it was never bound, or its volume has gone, so there is nothing to drain; bring the volume back, or delete the claim yourself if it is not wanted"
            ),
            Self::ClaimTerminating { claim } => {
                write!(
                    f,
                    "claim {claim} is being deleted by somebody else: it goes with the last pod that mounts it, and no drain starts; copy its data elsewhere while that pod runs"
                )
            }
            Self::ClaimLingers { claim, pods } if pods.is_empty() => write!(
                f,
                "claim {claim} is being deleted, and something still holds it: look at its finalizers"
            ),
            Self::ClaimLingers { claim, pods } => write!(
                f,
                "claim {claim} is being deleted, and goes when no pod uses it any more: {}",
                pods.join(", ")
            ),
            Self::MemberThere => write!(f, "the member is still there"),
            Self::NameHeld { why } => write!(
                f,
                "a pod that is not ours holds the member's name ({why}): it is not touched; delete it yourself if it is not wanted"
            ),
            Self::ClaimInUse { pods } => write!(
                f,
                "the claims are used by {}: the drain waits until these pods are gone",
                pods.join(", ")
            ),
            Self::Delayed { .. } => write!(f, "the orphan waits for tidegate.dev/delay to pass"),
            Self::BackingOff { attempt, .. } => {
                write!(f, "attempt {attempt} waits after the failure of the one before it")
            }
            Self::Departs { ordinal } => write!(
                f,
                "the set is deleted and held until it is drained, highest ordinal first; it is the turn of {ordinal}; take tidegate.dev/on-set-deleted off to let the set go with its claims kept"
            ),
            Self::AwaitsHigher => {
                write!(f, "the set is deleted: the ordinals above are drained first")
            }
            Self::NobodyStays { cascade } => {
                let how = match cascade {
                    Cascade::Foreground => "in the foreground, which ends all its members at once",
                    Cascade::Orphan => "with its pods left behind",
                    Cascade::Background => "in the background",
                };
                write!(
                    f,
                    "the set was deleted {how}: there is nobody to drain to, so every claim is kept and the set is let go; delete it with --cascade=background to have it drained"
                )
            }
            Self::SealWithdrawn { .. } => write!(
                f,
                "the policy took its `complete` back when it was asked again under the seal: the next seal waits"
            ),
            Self::Queued => write!(
                f,
                "as many ordinals of the set have a drain pod as tidegate.dev/max-parallel allows"
            ),
            Self::Held { why } => write!(
                f,
                "nothing more is tried until the set, its config or its policy changes, or you say `tidegate retry`: {why}"
            ),
            Self::PolicyWaits { reason, percent: Some(percent) } => {
                write!(f, "the policy waits at {percent} %: {reason}")
            }
            Self::PolicyWaits { reason, percent: None } => write!(f, "the policy waits: {reason}"),
            Self::PolicyKeeps { reason } => write!(f, "the policy keeps the claims: {reason}"),
            Self::PolicyRefuses { reason } => write!(f, "the policy refuses: {reason}"),
            Self::PolicyFails { reason } => write!(
                f,
                "the policy stopped the drain: {reason}; everything is kept; `tidegate retry` tries again"
            ),
            Self::PolicyFault { what } => write!(f, "{what}"),
            Self::PolicyNotTaken { what, in_use: None } => write!(
                f,
                "the policy is not taken into use, and no drain of the set begins: {what}; a drain that runs goes on with the policy that it began with"
            ),
            Self::PolicyTaken { digest } => {
                write!(f, "policy and config are taken into use: sha256:{digest}")
            }
            Self::ConfigInvalid { what, in_use: None } => write!(
                f,
                "annotation tidegate.dev/policy-config is not taken, and no drain of the set begins: {what}; a drain that runs goes on with the config that it began with"
            ),
            Self::ConfigInvalid { what, in_use: Some(digest) } => write!(
                f,
                "annotation tidegate.dev/policy-config is not taken by what the policy's ConfigMap holds, and sha256:{digest}, which was there before, stays in use: {what}"
            ),
            Self::PolicyNotTaken { what, in_use: Some(digest) } => write!(
                f,
                "the policy is not taken into use, and sha256:{digest}, which was there before, stays: {what}"
            ),
            Self::TemplateRejected { field, mend } => {
                write!(
                    f,
                    "no drain pod can be made of what was rendered and granted: {field}: {mend}"
                )
            }
            Self::NotProven { ending } => write!(
                f,
                "the policy says complete, but of the drain pod it is known that {ending}: the claims are kept"
            ),
            Self::InUseAtTheEnd { pods } => write!(
                f,
                "the claims are used by {}: they are not deleted until these pods are gone",
                pods.join(", ")
            ),
            Self::PodHoldsData { claim } => write!(
                f,
                "claim {claim} was deleted by somebody else and this drain pod is all that holds its data, so the host does not delete the pod: let it finish, or copy the data out and delete the pod yourself"
            ),
            Self::PodLeaving => write!(f, "the drain pod is being deleted: its end is awaited"),
            Self::StraySeal => write!(
                f,
                "the drain pod is being deleted and somebody put the finalizer tidegate.dev/seal on it: it proves nothing, and the name is held until `tidegate release` takes it off"
            ),
            Self::HeldByFinalizers { finalizers } => write!(
                f,
                "the drain pod is to go, and finalizers that the host did not put there hold it and the member's name: {}; whoever put them there must take them off",
                finalizers.join(", ")
            ),
            Self::Collecting => write!(
                f,
                "the claims are being deleted: the cluster's garbage collector removes them with the drain pod"
            ),
            Self::WriteRefused { what } => write!(
                f,
                "the API server refused: {what}; it is tried again, nothing is deleted meanwhile"
            ),
            Self::Unknown { what } => write!(f, "not known: {what}; nothing is done until it is"),
        }
    }
}
