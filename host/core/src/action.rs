//! What a plan says: so specific that carrying it out leaves no choice.

use std::collections::BTreeMap;

use crate::{
    Change, Drain, Ordinal, PodBody, Reason, Record, Set, TimeMs,
    proof::Condemned,
    seen::{Claim, Member},
};

/// What one pass does, why it does nothing more, and when to look again even if nothing changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do to the set itself, before anything else.
    pub on_set: Option<Step>,
    /// What to do, an ordinal after the other; the steps of one ordinal are done in order, and the first that fails ends them.
    pub steps: BTreeMap<Ordinal, Vec<Step>>,
    /// What is not done, and why.
    pub reports: Vec<Report>,
    /// When to look again.
    pub wake_at: Option<TimeMs>,
    /// Whether a live read is needed to say more, though nothing of this plan is to be written.
    pub look_closer: bool,
}

/// One write and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The write.
    pub action: Action,
    /// What to tell when it succeeded, if it is worth telling.
    pub change: Option<Change>,
}

/// One write. Each names the very object that was judged, and is harmless however late it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Label a claim with the set's UID, and make its namespace an owner of it where it is to be anchored.
    Enrol {
        /// The claim.
        claim: Target,
        /// The UID of the namespace, where the claim is to be anchored to it.
        anchor: Option<String>,
    },
    /// Write the record on the owning claim.
    Note {
        /// The claim.
        claim: Target,
        /// What to write.
        record: Record,
    },
    /// Create the drain pod. The member's name is the lock: where anybody holds it, this fails.
    CreatePod {
        /// The pod.
        body: PodBody,
    },
    /// Put our finalizer on the ended drain pod.
    Seal(Target),
    /// Delete a claim.
    DeleteClaim(Condemned),
    /// Say on the seal that it is being given back, so that it proves nothing any more.
    GiveBack(Target),
    /// Change nothing of a claim but its version, so that a DELETE that was sent and never answered is refused whenever it arrives.
    Fence(Target),
    /// Take our finalizer off the drain pod.
    Unseal {
        /// The pod.
        pod: Target,
        /// Whether its claims are deleted.
        outcome: Outcome,
    },
    /// Delete the drain pod.
    DeletePod(Target),
    /// Put our finalizer on the set, so that it is held until it is drained.
    Hold(Target),
    /// Take our finalizer off the set.
    LetGo(Target),
    /// Delete the member of a set that departs, so that its ordinal can be drained.
    DeleteMember(Target),
    /// Write a note on the set so that its controller looks at once.
    Touch,
}

/// Why a pod is unsealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its claims are deleted.
    Drained {
        /// When.
        at: TimeMs,
    },
    /// Its claims are kept.
    GivenBack,
}

/// One object in one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its version as it was judged.
    pub resource_version: String,
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The ordinal; none where it is about the set.
    pub ordinal: Option<Ordinal>,
    /// Why.
    pub reason: Reason,
}

impl Plan {
    /// Whether there is nothing to write, and nothing that a live read might turn into a write.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.on_set.is_none() && self.steps.is_empty() && !self.look_closer
    }

    /// Every write of the plan that is about an ordinal.
    pub fn actions(&self) -> impl Iterator<Item = (Ordinal, &Action)> {
        self.steps
            .iter()
            .flat_map(|(ordinal, steps)| steps.iter().map(|step| (*ordinal, &step.action)))
    }
}

impl From<&Claim> for Target {
    fn from(claim: &Claim) -> Self {
        Self {
            name: claim.name.clone(),
            uid: claim.uid.clone(),
            resource_version: claim.resource_version.clone(),
        }
    }
}

impl From<&Set> for Target {
    fn from(set: &Set) -> Self {
        Self {
            name: set.name.clone(),
            uid: set.uid.clone(),
            resource_version: set.resource_version.clone(),
        }
    }
}

impl From<&Member> for Target {
    fn from(member: &Member) -> Self {
        Self {
            name: member.name.clone(),
            uid: member.uid.clone(),
            resource_version: member.resource_version.clone(),
        }
    }
}

impl From<&Drain> for Target {
    fn from(drain: &Drain) -> Self {
        Self {
            name: drain.name.clone(),
            uid: drain.uid.clone(),
            resource_version: drain.resource_version.clone(),
        }
    }
}
