//! What was seen of one set, parsed at the edge: plain data, every absence explicit.

use std::collections::BTreeMap;

use crate::{Ending, Noted, Ordinal, Record, Settings, TimeMs, name, settings::OnSetDeleted};

/// Where the facts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// From watches: may lag, and good enough only to see whether there is something to do.
    Cached,
    /// Read from the API server for this pass, everything at once: what every write is decided on, except the deletion of a claim.
    Live,
    /// The same, the claims before the pods. A pod that is still sealed after its claims were read proves that nobody gave the seal back before
    /// these versions of them: whoever gives it back says so on the seal first, and then gives every claim a version of its own.
    LiveInOrder,
}

/// One set with all its ordinals that have a claim or a pod, as seen in one pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where the facts come from.
    pub view: View,
    /// The set itself.
    pub set: Set,
    /// Every ordinal that is wanted, has a claim, or whose name a pod holds.
    pub seats: BTreeMap<Ordinal, Seat>,
}

/// The set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: what makes it this set and no other of the same name.
    pub uid: String,
    /// Its version as it was read.
    pub resource_version: String,
    /// `metadata.generation`: grows with every change of its spec.
    pub generation: u64,
    /// `spec.ordinals.start`.
    pub start: u32,
    /// `spec.replicas`.
    pub replicas: u32,
    /// The names of its claim templates, in their order.
    pub templates: Vec<String>,
    /// What becomes of a claim whose member is scaled away.
    pub when_scaled: WhenScaled,
    /// The UID of its namespace, where that was read; only a set that anchors its claims needs it.
    pub namespace_uid: Option<String>,
    /// Whether it lives.
    pub life: Life,
    /// How its deletion goes on to what it owns, once it was asked for.
    pub cascade: Cascade,
    /// Whether it bears the host's finalizer, which holds it until it is drained.
    pub held: bool,
    /// What its annotations ask of us.
    pub stewardship: Stewardship,
}

/// What Kubernetes itself does with a claim whose member is scaled away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenScaled {
    /// It stays.
    Retain,
    /// It is deleted by the garbage collector, drained or not.
    Delete,
}

/// Whether an object lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It lives.
    Lives,
    /// It is being deleted.
    Terminating,
    /// It is gone; what is known of it stems from a drain pod's marks.
    Gone,
}

/// How the deletion of a set goes on to what it owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cascade {
    /// The set goes first, then its pods. While a finalizer holds the set, its pods stay and its controller does nothing.
    #[default]
    Background,
    /// Its pods go first, all at once, and nobody makes them anew.
    Foreground,
    /// Its pods stay, without a set.
    Orphan,
}

/// What a set's annotations ask of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stewardship {
    /// The set names a policy and every annotation of ours was understood.
    Ours(Settings),
    /// The set names no policy.
    NotOurs,
    /// An annotation of ours cannot be understood: nothing of the set is touched until it is mended.
    Unreadable {
        /// The annotation's key.
        annotation: String,
        /// Its value.
        value: String,
        /// What would be understood.
        mend: String,
    },
}

/// One ordinal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seat {
    /// Its claims, by the name of their template.
    pub claims: BTreeMap<String, Claim>,
    /// Who holds the member's name.
    pub holder: Holder,
    /// Pods other than the holder that name one of the claims and have not ended.
    pub other_users: Vec<String>,
    /// The host's notes on the passage, if it had to write any.
    pub noted: Noted,
    /// Why the policy keeps the claims, where it said so of this set in this generation under these settings: it is asked again when any of
    /// them changes.
    pub kept: Option<String>,
    /// When this host first saw the ordinal as an orphan.
    pub orphan_since: Option<TimeMs>,
    /// Whether a drain pod of ours held the name until a moment ago, so that the set's controller may be backing off.
    pub freed_by_us: bool,
}

/// One claim of an ordinal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// Its UID: what makes it this claim and no other of the same name.
    pub uid: String,
    /// Its version as it was read.
    pub resource_version: String,
    /// Whose it is.
    pub enrolment: Enrolment,
    /// Whether a volume is bound to it.
    pub binding: Binding,
    /// How far its deletion has come.
    pub deletion: Deletion,
    /// When its deletion was asked for.
    pub deleted_at: Option<TimeMs>,
    /// Whether its namespace owns it too.
    pub anchorage: Anchorage,
}

/// Whose a claim is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// It bears this set's UID.
    Here,
    /// It bears none.
    Nowhere,
    /// It bears the UID of another set.
    Elsewhere {
        /// That UID.
        uid: String,
        /// Whether a set of that UID still lives; `None` where that is not known.
        lives: Option<Life>,
    },
}

/// Whether a claim's namespace is one of its owners, so that the garbage collector leaves it when its set or its member goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchorage {
    /// It is.
    Anchored,
    /// It is not.
    Loose,
}

/// Whether a volume is bound to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Bound.
    Bound,
    /// Not bound yet.
    Pending,
    /// It lost its volume.
    Lost,
    /// Not known.
    Unknown,
}

/// How far a claim's deletion has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Nobody has deleted it.
    None,
    /// Nobody has yet, but its set is going and owns it, or its member owns it and is gone, so the garbage collector will.
    Impending,
    /// Deleted; it goes when no pod uses it.
    Background,
    /// Deleted in the foreground; it goes when the pods that it owns are gone.
    Foreground,
}

/// Who holds the member's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Holder {
    /// No pod bears the name.
    #[default]
    Nobody,
    /// The set's own pod.
    Member(Member),
    /// Our drain pod: its marks match the set, the ordinal and the claims.
    Drain(Box<Drain>),
    /// Any other pod. What speaks against taking it for ours is named.
    Foreign {
        /// Why it is neither the member nor our drain pod.
        why: String,
    },
}

/// A member: the set's own pod of an ordinal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its version as it was read.
    pub resource_version: String,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// The templates whose claims it mounts.
    pub mounts: Vec<String>,
}

/// A drain pod of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Its name, which is the member's.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its version as it was read.
    pub resource_version: String,
    /// Which attempt of the passage it is, from 1.
    pub attempt: u32,
    /// The set's generation when it was created.
    pub generation: u64,
    /// The UIDs of the claims that it mounts or discards, by template.
    pub claims: BTreeMap<String, String>,
    /// The template whose claim owns it.
    pub owner: String,
    /// Whether it was given a node. One that was not has never run, and nothing is on it.
    pub placed: bool,
    /// How it ended, if it did.
    pub ending: Ending,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Whether it bears our seal, put on by the host.
    pub sealed: bool,
    /// Whether that seal is being given back: it still holds the name, and proves nothing any more.
    pub giving_back: bool,
    /// The finalizers that others put on it: while they are there it does not go.
    pub held_by: Vec<String>,
    /// Whether it bears the seal's finalizer without the host's note: somebody else put it there, and it proves nothing.
    pub stray_seal: bool,
    /// When it was unsealed after its claims were deleted.
    pub drained_at: Option<TimeMs>,
}

impl Set {
    /// Whether the set wants this ordinal: `start ≤ ordinal < start + replicas`, on a set that is not going away.
    #[must_use]
    pub fn wants(&self, ordinal: Ordinal) -> bool {
        self.life == Life::Lives
            && u64::from(ordinal.0) >= u64::from(self.start)
            && u64::from(ordinal.0) < u64::from(self.start).saturating_add(u64::from(self.replicas))
    }

    /// Whether the ordinal lies above the live range, where a scale-down leaves its orphans.
    #[must_use]
    pub fn is_above(&self, ordinal: Ordinal) -> bool {
        u64::from(ordinal.0) >= u64::from(self.start).saturating_add(u64::from(self.replicas))
    }

    /// Whether it is being deleted, held, and to be drained ordinal by ordinal before it is let go.
    #[must_use]
    pub fn departs(&self) -> bool {
        let drains = match &self.stewardship {
            Stewardship::Ours(settings) => settings.on_set_deleted == OnSetDeleted::Drain,
            Stewardship::NotOurs | Stewardship::Unreadable { .. } => false,
        };
        drains && self.held && self.life == Life::Terminating && self.cascade == Cascade::Background
    }

    /// Whether an orphan of this ordinal is drained: above the live range of a set that lives, or anywhere from its start on where it departs.
    #[must_use]
    pub fn drains(&self, ordinal: Ordinal) -> bool {
        match self.life {
            Life::Lives => self.is_above(ordinal),
            Life::Terminating => self.departs() && ordinal.0 >= self.start,
            Life::Gone => false,
        }
    }

    /// Whether the other ordinal stays while this one is drained: it is wanted, or its turn comes later in a set that departs.
    #[must_use]
    pub fn keeps_beside(&self, ordinal: Ordinal, other: Ordinal) -> bool {
        self.wants(other) || (self.departs() && self.start <= other.0 && other < ordinal)
    }

    /// Whether its claims are to be anchored: Kubernetes would delete them before they are drained, or the set says what becomes of them.
    #[must_use]
    pub fn anchors(&self) -> bool {
        match &self.stewardship {
            Stewardship::Ours(settings) => {
                self.when_scaled == WhenScaled::Delete
                    || settings.on_set_deleted != OnSetDeleted::AsTheSet
            }
            Stewardship::NotOurs | Stewardship::Unreadable { .. } => false,
        }
    }

    /// Whether this claim is to be anchored, and is not.
    #[must_use]
    pub fn lacks_anchor(&self, claim: &Claim) -> bool {
        self.anchors() && claim.anchorage == Anchorage::Loose
    }

    /// Whether the garbage collector could take this claim, which is the set's and is to stay, with its member or with the set.
    #[must_use]
    pub fn leaves_loose(&self, claim: &Claim) -> bool {
        claim.enrolment == Enrolment::Here
            && claim.binding == Binding::Bound
            && !claim.is_terminating()
            && self.lacks_anchor(claim)
    }

    /// The name of the member of that ordinal.
    #[must_use]
    pub fn member(&self, ordinal: Ordinal) -> String {
        name::member(&self.name, ordinal)
    }
}

impl Seat {
    /// The claims that the member mounts; none where there is no member.
    pub fn mounted(&self) -> impl Iterator<Item = &Claim> {
        let mounts = match &self.holder {
            Holder::Member(member) => Some(&member.mounts),
            Holder::Nobody | Holder::Drain(_) | Holder::Foreign { .. } => None,
        };
        let claims = self.claims.iter();
        let held = claims
            .filter(move |(template, _)| mounts.is_some_and(|mounts| mounts.contains(*template)));
        held.map(|(_, claim)| claim)
    }

    /// The claim of that UID, if the seat has it.
    #[must_use]
    pub fn claim_of(&self, uid: &str) -> Option<&Claim> {
        self.claims.values().find(|claim| claim.uid == uid)
    }

    /// The record, if it was written for the passage that this set is in.
    #[must_use]
    pub fn record_of(&self, set: &Set) -> Option<&Record> {
        self.noted.record().filter(|record| record.is_of(set))
    }

    /// The record, if it was written for the passage that this drain pod belongs to.
    #[must_use]
    pub fn record_of_drain(&self, drain: &Drain, set_uid: &str) -> Option<&Record> {
        self.noted
            .record()
            .filter(|record| record.set_uid == set_uid && record.generation == drain.generation)
    }

    /// The number of the attempt that comes next, from 1; a lower bound.
    #[must_use]
    pub fn next_attempt(&self, set: &Set) -> u32 {
        self.record_of(set).map_or(1, |record| record.attempt.max(1))
    }

    /// Whether a claim of this drain pod is being deleted, or is gone.
    #[must_use]
    pub fn has_begun_to_go(&self, drain: &Drain) -> bool {
        drain.claims.values().any(|uid| self.claim_of(uid).is_none_or(Claim::is_terminating))
    }

    /// Whether a claim of the ordinal is being deleted.
    #[must_use]
    pub fn has_leaving_claim(&self) -> bool {
        self.claims.values().any(Claim::is_terminating)
    }

    /// Our drain pod, if it holds the name.
    #[must_use]
    pub fn drain(&self) -> Option<&Drain> {
        match &self.holder {
            Holder::Drain(drain) => Some(drain),
            Holder::Nobody | Holder::Member(_) | Holder::Foreign { .. } => None,
        }
    }
}

impl Claim {
    /// Whether a member that mounts it makes it its set's. One of another set is enrolled anew only where that set is known to be gone. One that is not
    /// bound holds no data yet, and a write to it would make the write by which Kubernetes binds it fail, which is tried again after 15 s.
    #[must_use]
    pub fn may_be_enrolled(&self) -> bool {
        let is_free = match &self.enrolment {
            Enrolment::Here => false,
            Enrolment::Nowhere => true,
            Enrolment::Elsewhere { uid: _, lives } => *lives == Some(Life::Gone),
        };
        is_free && self.binding == Binding::Bound && !self.is_terminating()
    }

    /// Whether anybody has deleted it, or is about to.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.deletion != Deletion::None
    }
}
