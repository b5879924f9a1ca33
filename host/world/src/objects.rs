//! What there is in the world: one set, the pods and claims of its ordinals, and the hosts. Plain data, as small as the questions allow,
//! so that millions of worlds can be told apart and kept.
//!
//! Names are places: the pod of an ordinal and the claim of a template at an ordinal have one place each, so that no two objects of one
//! name can exist. Identities and versions are small numbers that mean something only at one place.

use crate::{host::Host, write::Write};

/// The most ordinals that a world has beside the one that is always wanted and not modelled.
pub const ORDINALS_MAX: usize = 3;
/// The most claims that an ordinal has.
pub const CLAIMS_MAX: usize = 2;
/// The most hosts.
pub const HOSTS_MAX: usize = 2;

/// The identity that no set has.
pub const NO_SET: u8 = 0;

/// The place of an ordinal in the world. The ordinal's own number is one more: ordinal 0 is wanted always, and nothing happens to it.
pub type Seat = usize;

/// Everything that there is at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct World {
    /// The set, while there is one.
    pub set: Option<SetObject>,
    /// The ordinals.
    pub places: [Place; ORDINALS_MAX],
    /// The hosts; those that a world does not have never do anything.
    pub hosts: [Host; HOSTS_MAX],
    /// Requests that left a host and have not arrived. Whoever sent them has given them up, or is dead.
    pub late: Vec<Write>,
    /// What must never happen, once it has.
    pub harm: Option<crate::harm::Harm>,
}

/// The set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetObject {
    /// Its identity.
    pub uid: u8,
    /// It grows with every change of the spec.
    pub generation: u8,
    /// How many of the world's ordinals it wants.
    pub replicas: u8,
    /// Where its ordinals start.
    pub start: Start,
    /// What its annotations ask.
    pub care: Care,
    /// What becomes of the claims of a member that is scaled away.
    pub when_scaled: Fate,
    /// What becomes of the claims when the set is deleted.
    pub when_deleted: Fate,
    /// What its annotation says of that.
    pub on_deleted: OnDeleted,
    /// Its resourceVersion.
    pub version: u8,
    /// Whether it bears the hosts' finalizer.
    pub held: bool,
    /// Whether it is being deleted and still there, and how its deletion goes on to what it owns.
    pub going: Option<Cascade>,
}

/// How the deletion of a set goes on to what it owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cascade {
    /// The set goes first.
    Background,
    /// What it owns goes first.
    Foreground,
    /// What it owns stays, without an owner.
    Orphan,
}

/// What a set's annotation says of its deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OnDeleted {
    /// Nothing.
    AsTheSet,
    /// It is to be drained first.
    Drain,
}

/// Where a set's ordinals start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Start {
    /// At 0.
    Zero,
    /// Above every ordinal of the world.
    Above,
}

/// What a set's annotations ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Care {
    /// To drain.
    Ours,
    /// To start and delete nothing.
    Paused,
    /// Nothing of us.
    NotOurs,
}

/// What Kubernetes does with claims by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// They stay.
    Retain,
    /// The garbage collector deletes them.
    Delete,
}

/// One ordinal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The pod of the member's name.
    pub pod: Option<Pod>,
    /// The claims, by template.
    pub claims: [Option<Claim>; CLAIMS_MAX],
    /// Whether the set's controller rests after it could not make the member.
    pub back_off: BackOff,
    /// Whether a pod of somebody else, of another name, uses the claims.
    pub stranger: bool,
    /// Whether the claim that last stood at each template's place went because a host had deleted it.
    pub gone_by_host: [bool; CLAIMS_MAX],
}

/// Whether the set's controller rests after a drain pod held the name of a member that it wanted. How long grows with each failure, and
/// shrinks only with a success: after a few it tries again at once, so that only a name that is held makes it rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BackOff {
    /// It does not.
    #[default]
    None,
    /// It does, for minutes, until the set changes.
    Rests,
    /// The set has changed, and it tries once more before it rests again.
    Woken,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pod {
    /// Its identity.
    pub uid: u8,
    /// Its resourceVersion.
    pub version: u8,
    /// Whose it is.
    pub kind: Kind,
    /// What it does.
    pub phase: Phase,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Whether it bears a mark of an end from outside: the condition `DisruptionTarget`, or a reason beside its phase.
    pub disrupted: bool,
    /// Whether it bears the seal.
    pub sealed: bool,
    /// Whether the seal says that it is being given back.
    pub given_back: bool,
    /// Since when it is unsealed after its claims were deleted.
    pub drained: Option<Moment>,
}

/// Whose a pod is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The member of the set of that identity.
    Member {
        /// The set's identity; [`NO_SET`] where it was left behind.
        set: u8,
    },
    /// A drain pod with its marks.
    Drain(Marks),
}

/// What a host wrote on a drain pod when it made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Marks {
    /// The set's identity.
    pub set: u8,
    /// The set's generation.
    pub generation: u8,
    /// The attempt.
    pub attempt: u8,
    /// The identities of its claims; the first owns the pod.
    pub claims: [Option<u8>; CLAIMS_MAX],
}

/// What a pod does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// No node has it yet, so that it holds no claim.
    Unscheduled,
    /// Its processes run.
    Running,
    /// All ended with exit code 0.
    Succeeded,
    /// One ended with another.
    Failed,
}

/// A claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// Its identity.
    pub uid: u8,
    /// Its resourceVersion.
    pub version: u8,
    /// The identity of the set whose label it bears.
    pub enrolled: Option<u8>,
    /// The set that owns it, where the set's controller said so.
    pub owner_set: Option<u8>,
    /// The member that owns it, where the set's controller said so.
    pub owner_pod: Option<u8>,
    /// Whether its namespace owns it.
    pub anchored: bool,
    /// How far its deletion has come.
    pub deletion: Deletion,
    /// The host's notes.
    pub record: Option<Note>,
    /// What nobody in the world can see: what would be lost with it.
    pub truth: Truth,
}

/// What would be lost with a claim, and by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Truth {
    /// What lies on its volume.
    pub content: Content,
    /// Who deleted it first.
    pub deleted_by: Culprit,
    /// Whether it took the place of a claim that a host had deleted.
    pub is_heir: bool,
}

/// What lies on a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Content {
    /// Nothing.
    #[default]
    Nothing,
    /// What a member or a person wrote, and no drain pod has moved since.
    Data,
    /// Only what a drain pod has moved elsewhere, before it ended by itself.
    Moved,
}

/// Who deleted a claim first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Culprit {
    /// Nobody has.
    #[default]
    Nobody,
    /// A person.
    Person,
    /// The garbage collector, as the set's own settings ask.
    Collector,
    /// A host.
    Host,
}

/// How far a claim's deletion has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Deletion {
    /// Nobody has deleted it.
    None,
    /// It goes when no pod uses it.
    Background,
    /// It goes when the pods that it owns are gone.
    Foreground,
}

/// A host's notes on a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Note {
    /// The set's identity.
    pub set: u8,
    /// The generation that it was written for.
    pub generation: u8,
    /// The attempt that comes next, or runs.
    pub attempt: u8,
    /// What must pass before the next.
    pub not_before: Option<Moment>,
    /// Whether nothing more is tried.
    pub hold: bool,
}

/// A point in time, as far as it matters: whether what waits for it still waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Moment {
    /// It still waits.
    Ahead,
    /// It waits no longer.
    Passed,
}

impl SetObject {
    /// Whether the set wants this ordinal.
    #[must_use]
    pub fn wants(&self, seat: Seat) -> bool {
        self.going.is_none() && self.start == Start::Zero && seat < usize::from(self.replicas)
    }

    /// Gives it a version of its own, as every change does.
    pub const fn changed(&mut self) {
        self.version = self.version.saturating_add(1);
    }
}

impl World {
    /// Whether the set wants this ordinal.
    #[must_use]
    pub fn wants(&self, seat: Seat) -> bool {
        self.set.as_ref().is_some_and(|set| set.wants(seat))
    }

    /// Whether a set of that identity is there and keeps what it owns: one that is deleted in the foreground does not.
    #[must_use]
    pub fn keeps(&self, uid: u8) -> bool {
        let keeps = |set: &SetObject| set.uid == uid && set.going != Some(Cascade::Foreground);
        self.set.as_ref().is_some_and(keeps)
    }

    /// Whether a set of that identity is there.
    #[must_use]
    pub fn has_set(&self, uid: u8) -> bool {
        self.set.as_ref().is_some_and(|set| set.uid == uid)
    }

    /// Notes what must never happen, the first time that it does.
    pub fn suffers(&mut self, harm: crate::harm::Harm) {
        self.harm.get_or_insert(harm);
    }
}

impl Pod {
    /// One that was just created: no node has taken it.
    #[must_use]
    pub fn created(uid: u8, kind: Kind) -> Self {
        Self {
            uid,
            version: uid,
            kind,
            phase: Phase::Unscheduled,
            terminating: false,
            disrupted: false,
            sealed: false,
            given_back: false,
            drained: None,
        }
    }

    /// The marks, if it is a drain pod.
    #[must_use]
    pub const fn marks(&self) -> Option<&Marks> {
        match &self.kind {
            Kind::Drain(marks) => Some(marks),
            Kind::Member { .. } => None,
        }
    }

    /// Whether it is scheduled, so that its claims are held for as long as it exists.
    #[must_use]
    pub fn holds_claims(&self) -> bool {
        self.phase != Phase::Unscheduled
    }

    /// Gives it a version of its own, as every change does.
    pub const fn changed(&mut self) {
        self.version = self.version.saturating_add(1);
    }
}

impl Claim {
    /// Whether somebody deleted it.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.deletion != Deletion::None
    }

    /// Gives it a version of its own, as every change does.
    pub const fn changed(&mut self) {
        self.version = self.version.saturating_add(1);
    }

    /// Whether both read the same.
    #[must_use]
    pub fn reads_like(&self, other: &Self) -> bool {
        // What nobody can see is what they may differ in.
        let Self {
            uid,
            version,
            enrolled,
            owner_set,
            owner_pod,
            anchored,
            deletion,
            record,
            truth: _,
        } = self;
        (uid, version, enrolled) == (&other.uid, &other.version, &other.enrolled)
            && (owner_set, owner_pod, anchored)
                == (&other.owner_set, &other.owner_pod, &other.anchored)
            && (deletion, record) == (&other.deletion, &other.record)
    }

    /// The claim as it can be read.
    #[must_use]
    pub fn as_read(&self) -> Self {
        Self { truth: Truth::default(), ..self.clone() }
    }
}
