//! What a host asks of the API server, and what that does with it: preconditions, names that are taken, finalizers.

use crate::{
    harm::Harm,
    objects::{
        BackOff, CLAIMS_MAX, Cascade, Claim, Content, Culprit, Deletion, Kind, Marks, Moment, Note,
        ORDINALS_MAX, Pod, Seat, SetObject, World,
    },
    people::forget_failures,
    sabotage::Sabotage,
};

/// One write, as small as an action of the core allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Write {
    /// Label a claim, and make its namespace an owner of it.
    Enrol {
        /// The claim.
        claim: ClaimRef,
        /// The set's identity.
        set: u8,
        /// Whether it is anchored too.
        anchor: bool,
    },
    /// Write the record.
    Note {
        /// The claim.
        claim: ClaimRef,
        /// The record.
        note: Note,
    },
    /// Change nothing but the version.
    Fence(ClaimRef),
    /// Delete the claim.
    DeleteClaim {
        /// The claim.
        claim: ClaimRef,
        /// In the foreground or not.
        deletion: Deletion,
    },
    /// Create a drain pod.
    CreatePod {
        /// Its place.
        seat: Seat,
        /// Its marks.
        marks: Marks,
    },
    /// Put the seal on.
    Seal(PodRef),
    /// Say on the seal that it is being given back.
    GiveBack(PodRef),
    /// Take the seal off, with a note that the claims are deleted or without.
    Unseal {
        /// The pod.
        pod: PodRef,
        /// Whether its claims are deleted.
        drained: bool,
    },
    /// Delete the pod.
    DeletePod(PodRef),
    /// Delete the member of a set that is drained before it goes.
    DeleteMember(PodRef),
    /// Put the hosts' finalizer on the set.
    Hold(SetRef),
    /// Take it off.
    LetGo(SetRef),
    /// Touch the set.
    Touch {
        /// The set's identity.
        set: u8,
        /// Which ordinals the controller could fill when it was decided.
        free: [bool; ORDINALS_MAX],
    },
}

/// A claim in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimRef {
    /// The ordinal's place.
    pub seat: Seat,
    /// The template.
    pub template: usize,
    /// Its identity.
    pub uid: u8,
    /// Its version.
    pub version: u8,
}

/// A pod in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodRef {
    /// The ordinal's place.
    pub seat: Seat,
    /// Its identity.
    pub uid: u8,
    /// Its version.
    pub version: u8,
}

/// A set in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetRef {
    /// Its identity.
    pub uid: u8,
    /// Its version.
    pub version: u8,
}

/// Why the API server refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 404: there is none.
    NotFound,
    /// 409: it is another, or not as it was read, or the name is taken.
    Conflict,
    /// 422: a finalizer on an object that is being deleted.
    Invalid,
}

impl Write {
    /// The ordinal's place, where it is about one.
    #[must_use]
    pub const fn seat(&self) -> Option<Seat> {
        match self {
            Self::Enrol { claim, .. }
            | Self::Note { claim, .. }
            | Self::Fence(claim)
            | Self::DeleteClaim { claim, .. } => Some(claim.seat),
            Self::Seal(pod)
            | Self::GiveBack(pod)
            | Self::Unseal { pod, .. }
            | Self::DeleteMember(pod)
            | Self::DeletePod(pod) => Some(pod.seat),
            Self::CreatePod { seat, .. } => Some(*seat),
            Self::Hold(_) | Self::LetGo(_) | Self::Touch { .. } => None,
        }
    }
}

/// What the API server does with a write.
///
/// # Errors
/// Where it refuses.
pub fn apply(world: &mut World, write: &Write, sabotage: Option<Sabotage>) -> Result<(), Refusal> {
    match write {
        Write::Enrol { claim, set, anchor } => {
            let claim = claim_of(world, *claim, sabotage)?;
            claim.enrolled = Some(*set);
            claim.anchored |= anchor;
            claim.changed();
        }
        Write::Note { claim, note } => {
            let claim = claim_of(world, *claim, sabotage)?;
            claim.record = Some(note.clone());
            claim.changed();
        }
        Write::Fence(claim) => claim_of(world, *claim, sabotage)?.changed(),
        Write::DeleteClaim { claim, deletion } => {
            delete_claim(world, *claim, *deletion, sabotage)?;
        }
        Write::CreatePod { seat, marks } => create_pod(world, *seat, marks)?,
        Write::Seal(pod) => {
            let pod = pod_of(world, *pod, sabotage)?;
            if pod.terminating && !pod.sealed {
                return Err(Refusal::Invalid);
            }
            pod.sealed = true;
            pod.given_back = false;
            pod.changed();
        }
        Write::GiveBack(pod) => {
            let pod = pod_of(world, *pod, sabotage)?;
            pod.given_back = true;
            pod.changed();
        }
        Write::Unseal { pod, drained } => {
            let pod = pod_of(world, *pod, sabotage)?;
            pod.sealed = false;
            pod.given_back = false;
            pod.drained = drained.then_some(Moment::Ahead);
            pod.changed();
        }
        Write::DeletePod(pod) | Write::DeleteMember(pod) => {
            let pod = pod_of(world, *pod, sabotage)?;
            pod.terminating = true;
            pod.changed();
        }
        Write::Hold(at) => {
            let set = set_of(world, *at, sabotage)?;
            if set.going.is_some() {
                return Err(Refusal::Invalid);
            }
            set.held = true;
            set.changed();
            wake_controller(world);
        }
        Write::LetGo(at) => let_go(world, *at, sabotage)?,
        Write::Touch { set, free: _ } => {
            let found = world.set.as_mut().filter(|found| found.uid == *set);
            found.ok_or(Refusal::NotFound)?.changed();
            wake_controller(world);
        }
    }
    Ok(())
}

/// A change of the set wakes its controller from every back-off.
pub(crate) fn wake_controller(world: &mut World) {
    let resting = world.places.iter_mut().filter(|place| place.back_off == BackOff::Rests);
    resting.for_each(|place| place.back_off = BackOff::Woken);
}

fn let_go(world: &mut World, at: SetRef, sabotage: Option<Sabotage>) -> Result<(), Refusal> {
    let set = set_of(world, at, sabotage)?;
    set.held = false;
    set.changed();
    // One that is deleted in another way has finalizers of its own yet.
    if set.going == Some(Cascade::Background) {
        world.set = None;
        forget_failures(world);
    }
    wake_controller(world);
    Ok(())
}

fn set_of(
    world: &mut World,
    at: SetRef,
    sabotage: Option<Sabotage>,
) -> Result<&mut SetObject, Refusal> {
    let set = world.set.as_mut().ok_or(Refusal::NotFound)?;
    let unchanged = set.version == at.version || sabotage == Some(Sabotage::AnyVersion);
    if set.uid == at.uid && unchanged { Ok(set) } else { Err(Refusal::Conflict) }
}

fn delete_claim(
    world: &mut World,
    at: ClaimRef,
    deletion: Deletion,
    sabotage: Option<Sabotage>,
) -> Result<(), Refusal> {
    let claim = claim_of(world, at, sabotage)?;
    let first = !claim.is_terminating();
    if first {
        claim.truth.deleted_by = Culprit::Host;
    }
    claim.deletion = match (claim.deletion, deletion) {
        (Deletion::Foreground, _) | (_, Deletion::Foreground) => Deletion::Foreground,
        (Deletion::None | Deletion::Background, Deletion::None | Deletion::Background) => {
            Deletion::Background
        }
    };
    claim.changed();
    let (uid, content) = (claim.uid, claim.truth.content);
    let sealed = world.places[at.seat].pod.as_ref().is_some_and(|pod| {
        pod.sealed && pod.marks().is_some_and(|marks| marks.claims[at.template] == Some(uid))
    });
    if first && content == Content::Data {
        world.suffers(Harm::DataDeleted { seat: at.seat });
    } else if first && !sealed {
        world.suffers(Harm::NotSealed { seat: at.seat });
    }
    Ok(())
}

fn create_pod(world: &mut World, seat: Seat, marks: &Marks) -> Result<(), Refusal> {
    let uid = crate::canon::fresh_pod(world, seat);
    let place = &mut world.places[seat];
    if place.pod.is_some() {
        return Err(Refusal::Conflict);
    }
    place.pod = Some(Pod::created(uid, Kind::Drain(marks.clone())));
    Ok(())
}

fn claim_of(
    world: &mut World,
    at: ClaimRef,
    sabotage: Option<Sabotage>,
) -> Result<&mut Claim, Refusal> {
    debug_assert!(at.template < CLAIMS_MAX, "a template of this world");
    let claim = world.places[at.seat].claims[at.template].as_mut().ok_or(Refusal::NotFound)?;
    let same = claim.uid == at.uid || sabotage == Some(Sabotage::ByName);
    let unchanged = claim.version == at.version
        || matches!(sabotage, Some(Sabotage::AnyVersion | Sabotage::ByName));
    if same && unchanged { Ok(claim) } else { Err(Refusal::Conflict) }
}

fn pod_of(world: &mut World, at: PodRef, sabotage: Option<Sabotage>) -> Result<&mut Pod, Refusal> {
    let pod = world.places[at.seat].pod.as_mut().ok_or(Refusal::NotFound)?;
    let same = pod.uid == at.uid;
    let unchanged = pod.version == at.version || sabotage == Some(Sabotage::AnyVersion);
    if same && unchanged { Ok(pod) } else { Err(Refusal::Conflict) }
}
