//! Guards taken out, one at a time: a host that lacks it, in a world that is otherwise the same. An explorer that finds nothing then is
//! blind there.

use std::collections::BTreeMap;

use tidegate_core::{Answer, Ending, Holder, Ordinal, Seen};

use crate::{
    host::Reading,
    objects::{Claim, Deletion},
    write::{ClaimRef, PodRef, Write},
};

/// One guard that the hosts of a world do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sabotage {
    /// Claims are deleted as soon as the ended pod is judged complete, without a seal.
    NoSeal,
    /// Whoever says complete before the seal is not asked again under it.
    NoSecondJudgement,
    /// A seal is given back without a fence.
    NoFence,
    /// A seal is given back without saying so first.
    NoGiveBack,
    /// Writes name an object by its name and not by identity and version.
    ByName,
    /// Writes name an object in any version.
    AnyVersion,
    /// A drain pod is deleted though it is all that holds a deleted claim.
    NoLastCopy,
    /// The claims are gone on with though another pod uses them.
    NoOtherUsers,
    /// A paused set is worked on.
    NoPause,
    /// A pod of phase `Succeeded` counts as ended by itself, whatever marks it bears.
    PhaseAlone,
    /// The owning claim is deleted in the background.
    NoForeground,
    /// Claims are taken for enrolled.
    NoEnrolment,
    /// The pods are read before the claims.
    PodsFirst,
    /// The set is never touched.
    NoTouch,
    /// A pod is unsealed as soon as one of its claims is being deleted.
    UnsealsEarly,
}

impl Sabotage {
    /// Every one.
    pub const ALL: [Self; 15] = [
        Self::NoSeal,
        Self::NoSecondJudgement,
        Self::NoFence,
        Self::NoGiveBack,
        Self::ByName,
        Self::AnyVersion,
        Self::NoLastCopy,
        Self::NoOtherUsers,
        Self::NoPause,
        Self::PhaseAlone,
        Self::NoForeground,
        Self::NoEnrolment,
        Self::PodsFirst,
        Self::NoTouch,
        Self::UnsealsEarly,
    ];
}

impl Sabotage {
    /// What a host that lacks the guard believes that it sees and hears.
    pub(crate) fn mislead(self, seen: &mut Seen, answers: &mut BTreeMap<Ordinal, Answer>) {
        for (ordinal, seat) in &mut seen.seats {
            let Holder::Drain(drain) = &mut seat.holder else {
                continue;
            };
            let complete = matches!(answers.get(ordinal), Some(Answer::Complete(_)));
            if self == Self::NoSeal && complete && drain.ending == Ending::ByItself {
                drain.sealed = true;
            }
            if self == Self::NoSecondJudgement && drain.sealed {
                answers.insert(*ordinal, Answer::Complete("as before".to_owned()));
            }
        }
    }

    /// What a host that lacks the guard sends.
    pub(crate) fn misdirect(self, reading: &Reading, writes: &mut Vec<Write>) {
        match self {
            Self::NoFence => leave_out_fences(writes),
            Self::NoForeground => {
                for write in writes {
                    if let Write::DeleteClaim { deletion, .. } = write {
                        *deletion = Deletion::Background;
                    }
                }
            }
            Self::NoTouch => writes.retain(|write| !matches!(write, Write::Touch { .. })),
            Self::NoGiveBack => give_back_at_once(reading, writes),
            Self::UnsealsEarly => unseal_early(reading, writes),
            Self::NoSeal
            | Self::NoSecondJudgement
            | Self::ByName
            | Self::AnyVersion
            | Self::NoLastCopy
            | Self::NoOtherUsers
            | Self::NoPause
            | Self::PhaseAlone
            | Self::NoEnrolment
            | Self::PodsFirst => {}
        }
    }
}

/// A note is a fence too, where it stands before an unsealing.
fn leave_out_fences(writes: &mut Vec<Write>) {
    let is_unsealing = |write: &Write| matches!(write, Write::Unseal { drained: false, .. });
    let gives_back = writes.iter().any(is_unsealing);
    let is_fence = |write: &Write| {
        matches!(write, Write::Fence(_)) || (gives_back && matches!(write, Write::Note { .. }))
    };
    writes.retain(|write| !is_fence(write));
}

fn give_back_at_once(reading: &Reading, writes: &mut Vec<Write>) {
    let given_back =
        |write: &Write| if let Write::GiveBack(pod) = write { Some(*pod) } else { None };
    let pods: Vec<PodRef> = writes.iter().filter_map(given_back).collect();
    for pod in pods {
        writes.retain(|write| write.seat() != Some(pod.seat));
        let claims = reading.claims.iter().flatten().nth(pod.seat).into_iter().flatten();
        writes.extend(claims.enumerate().filter_map(|(template, claim)| {
            let Claim { uid, version, .. } = *claim.as_ref()?;
            Some(Write::Fence(ClaimRef { seat: pod.seat, template, uid, version }))
        }));
        writes.push(Write::Unseal { pod, drained: false });
    }
}

fn unseal_early(reading: &Reading, writes: &mut Vec<Write>) {
    for (seat, (pod, _)) in reading.pods.iter().flatten().enumerate() {
        let Some(pod) = pod.as_ref().filter(|pod| pod.sealed) else {
            continue;
        };
        let mut claims = reading.claims.iter().flatten().nth(seat).into_iter().flatten();
        if claims.any(|claim| claim.as_ref().is_some_and(Claim::is_terminating)) {
            let pod = PodRef { seat, uid: pod.uid, version: pod.version };
            writes.retain(|write| write.seat() != Some(seat));
            writes.push(Write::Unseal { pod, drained: true });
        }
    }
}
