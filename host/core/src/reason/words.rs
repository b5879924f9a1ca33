//! What a reason says to a person: what is so, why, and what to do about it.

use std::fmt;

use super::Reason;
use crate::seen::Cascade;

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
