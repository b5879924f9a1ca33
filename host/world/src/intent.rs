//! What a plan means to do, held against what was read, in the fewest words and without the core's.

use tidegate_core::{Action, Plan};

use crate::{
    harm::Harm,
    host::Reading,
    objects::{CLAIMS_MAX, Care, Cascade, Claim, OnDeleted, Phase, Pod, Seat, SetObject, Start},
    policy::Odd,
    sight::{TEMPLATES, number, object_uid, seat_of},
};

/// What a plan means to do although what was read speaks against it. `set_uid` is that of the set that the plan is for.
pub(crate) fn harm(
    planned: &Plan,
    reading: &Reading,
    set_uid: &str,
    odd: Option<(Seat, Odd)>,
) -> Option<Harm> {
    // What a set asks is said of its own drain pods, and not of those that one of its name left behind.
    let set = reading.set.as_ref()?.as_ref().filter(|set| number(set_uid) == set.uid);
    planned.actions().find_map(|(ordinal, action)| {
        let seat = seat_of(ordinal)?;
        let claims = reading.claims.as_ref()?.get(seat)?;
        let (pod, stranger) = reading.pods.as_ref()?.get(seat)?;
        let pod = pod.as_ref();
        let complete = match odd {
            Some((at, odd)) if at == seat => odd == Odd::Complete,
            Some(_) | None => pod.is_some_and(|pod| pod.phase == Phase::Succeeded),
        };
        Intent { set, seat, claims, pod, is_used: *stranger, complete }.harm(action)
    })
}

/// What was read where a plan means to do something.
struct Intent<'a> {
    set: Option<&'a SetObject>,
    seat: Seat,
    claims: &'a [Option<Claim>; CLAIMS_MAX],
    pod: Option<&'a Pod>,
    is_used: bool,
    complete: bool,
}

impl Intent<'_> {
    fn harm(&self, action: &Action) -> Option<Harm> {
        let seat = self.seat;
        let drained = self.pod.is_some_and(|pod| pod.drained.is_some());
        let used = || self.is_used.then_some(Harm::UsedByAnother { seat });
        let stray = |is_stray: bool| is_stray.then_some(Harm::NotEnrolled { seat });
        match action {
            Action::CreatePod { .. } => {
                let all_enrolled =
                    self.claims.iter().flatten().all(|claim| self.has_enrolled(claim));
                let no_orphan = (!self.is_orphan()).then_some(Harm::NoOrphan { seat });
                no_orphan.or_else(|| stray(!all_enrolled)).or_else(used).or_else(|| self.paused())
            }
            // A seal that is put on again starts nothing.
            Action::Seal(_) if self.pod.is_some_and(|pod| pod.sealed) => None,
            Action::Seal(_) => used().or_else(|| self.paused()),
            Action::DeleteClaim(it) => {
                let named = self
                    .named()
                    .find(|(template, claim)| it.uid() == object_uid(template, claim.uid));
                let enrolled = named.is_some_and(|(_, claim)| self.has_enrolled(claim));
                let no_verdict = (!self.complete).then_some(Harm::NoVerdict { seat });
                let paused = || if self.has_begun() { None } else { self.paused() };
                no_verdict.or_else(|| stray(!enrolled)).or_else(used).or_else(paused)
            }
            Action::DeletePod(_) if drained => None,
            Action::DeletePod(_) => {
                let doomed = self.claims.iter().flatten().any(Claim::is_terminating);
                doomed.then_some(Harm::LastCopy { seat }).or_else(|| self.paused())
            }
            Action::DeleteMember(_) => {
                (!self.departs()).then_some(Harm::LiveMember { seat }).or_else(|| self.paused())
            }
            Action::Enrol { .. }
            | Action::Note { .. }
            | Action::GiveBack(_)
            | Action::Fence(_)
            | Action::Unseal { .. }
            | Action::Hold(_)
            | Action::LetGo(_)
            | Action::Touch => None,
        }
    }

    fn paused(&self) -> Option<Harm> {
        let paused = self.set.is_some_and(|set| set.care == Care::Paused);
        paused.then_some(Harm::Paused { seat: self.seat })
    }

    fn is_orphan(&self) -> bool {
        self.set.is_some_and(|set| set.start == Start::Zero && !set.wants(self.seat))
    }

    fn departs(&self) -> bool {
        let departs = |set: &SetObject| {
            set.going == Some(Cascade::Background) && set.held && set.on_deleted == OnDeleted::Drain
        };
        self.set.is_some_and(departs)
    }

    /// Whether the claim bears the label of the set; of a set that is gone, whether it bears that of the drain pod's.
    fn has_enrolled(&self, claim: &Claim) -> bool {
        let of_pod = self.pod.and_then(Pod::marks).map(|marks| marks.set);
        let set = self.set.map(|set| set.uid).or(of_pod);
        claim.enrolled.is_some() && claim.enrolled == set
    }

    /// Whether a claim of the drain pod is being deleted or gone, or is about to be, because nobody owns it any more who did.
    fn has_begun(&self) -> bool {
        let marks = self.pod.and_then(Pod::marks);
        marks.into_iter().flat_map(|marks| marks.claims.iter().zip(self.claims)).any(
            |(marked, claim)| {
                let own = claim.as_ref().filter(|claim| Some(claim.uid) == *marked);
                let goes = |claim: &Claim| claim.is_terminating() || self.is_doomed(claim);
                marked.is_some() && own.is_none_or(goes)
            },
        )
    }

    /// Whether the garbage collector is about to delete the claim.
    fn is_doomed(&self, claim: &Claim) -> bool {
        let pod_lives = |owner: u8| self.pod.is_some_and(|pod| pod.uid == owner);
        let keeps = |set: &SetObject, owner: u8| set.uid == owner && set.going.is_none();
        let set_lives = |owner: u8| self.set.is_some_and(|set| keeps(set, owner));
        let owned = claim.owner_pod.is_some() || claim.owner_set.is_some();
        let kept = claim.owner_pod.is_some_and(pod_lives) || claim.owner_set.is_some_and(set_lives);
        owned && !kept && !claim.anchored
    }

    /// The claims, with the names of their templates.
    fn named(&self) -> impl Iterator<Item = (&'static str, &Claim)> {
        let named = TEMPLATES.into_iter().zip(self.claims);
        named.filter_map(|(template, claim)| Some((template, claim.as_ref()?)))
    }
}
