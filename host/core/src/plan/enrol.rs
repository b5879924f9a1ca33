//! What is written on the claims of an ordinal before anything else: that they are the set's, and that its namespace owns them too where Kubernetes
//! would delete them with their member or their set.

use crate::{Action, Change, Claim, Reason, Stage, Step, View, seen::Stewardship};

use super::{Outlook, Pass, step};

impl Pass<'_> {
    /// Enrols and anchors what is due. Under a seal nothing is: what it covers is deleted, or given back by writes of its own.
    pub(super) fn enrols_first(&self, stage: &Stage<'_>) -> Option<Outlook> {
        match stage {
            Stage::Sealed(_) | Stage::GivingBack(_) | Stage::Condemned(_) | Stage::Ended(_) => None,
            Stage::Live
            | Stage::Blocked(_)
            | Stage::Ripe
            | Stage::Draining(_)
            | Stage::Leaving(_)
            | Stage::Departing(_)
            | Stage::Foreign(_) => {
                let due = self.due();
                (!due.is_empty()).then(|| self.enrol_all(due))
            }
        }
    }

    /// A claim that was enrolled before is anchored whoever holds the name: what the set says of its deletion may be new, and no member may be there.
    /// Others are enrolled where a member mounts them; also where the set departs, since it may have been deleted before the volume was bound, or
    /// while no host looked, and is else let go with what the member has written.
    fn due(&self) -> Vec<&Claim> {
        let set = &self.seen.set;
        if !matches!(set.stewardship, Stewardship::Ours(_)) {
            return Vec::new();
        }
        let is_loose = |claim: &&Claim| set.leaves_loose(claim);
        let takes = set.wants(self.ordinal) || (set.departs() && set.drains(self.ordinal));
        let others = self.seat.mounted().filter(|claim| takes && claim.may_be_enrolled());
        self.seat.claims.values().filter(is_loose).chain(others).collect()
    }

    fn enrol_all(&self, due: Vec<&Claim>) -> Outlook {
        let set = &self.seen.set;
        // A claim that a set of before has anchored needs no more than the label.
        let lacks_anchor = due.iter().any(|claim| set.lacks_anchor(claim));
        if !lacks_anchor || set.namespace_uid.is_some() {
            let steps = due.iter().map(|claim| self.enrol(claim)).collect();
            return Outlook { steps, ..self.exposed(&due) };
        }
        match self.seen.view {
            View::Cached => Outlook { look_closer: true, ..self.exposed(&due) },
            View::Live | View::LiveInOrder => {
                Outlook::waits(Reason::Unknown { what: "the namespace's UID".to_owned() })
            }
        }
    }

    fn enrol(&self, claim: &Claim) -> Step {
        let namespace_uid = self.seen.set.namespace_uid.clone();
        let anchor = namespace_uid.filter(|_| self.seen.set.lacks_anchor(claim));
        let change = if anchor.is_some() { Change::Anchored } else { Change::Enrolled };
        step(Action::Enrol { claim: claim.into(), anchor }, change)
    }
}
