//! An ordinal that the set wants: its claims are enrolled, and anchored where they must be, while its member holds them.

use crate::{
    Action, Change, Claim, Holder, Reason, Step, View,
    seen::{Anchorage, Binding, Enrolment, Life, Member, Stewardship, WhenScaled},
};

use super::{Outlook, Pass, step};

impl Pass<'_> {
    /// Enrols what the member holds, and wakes the set's controller where we freed the name.
    pub(super) fn live(&self) -> Outlook {
        let ours = matches!(self.seen.set.stewardship, Stewardship::Ours(_));
        let wanted = self.seen.set.wants(self.ordinal);
        match &self.seat.holder {
            Holder::Member(member) if ours => {
                let mounted = self.mounted(member);
                self.enrol_all(mounted.filter(|it| self.is_due(it)).collect())
            }
            // A claim that is still on its way out makes the controller back off once more, so the touch waits for it to be gone.
            Holder::Nobody if wanted && self.seat.freed_by_us && !self.seat.has_leaving_claim() => {
                let steps = vec![step(Action::Touch, Change::Touched)];
                Outlook { steps, ..self.exposed(&[]) }
            }
            Holder::Nobody if ours && self.seat.has_leaving_claim() => {
                let exposed = self.exposed(&[]);
                if exposed.reason.is_some() { exposed } else { self.lingering() }
            }
            Holder::Nobody if ours => self.exposed(&[]),
            Holder::Member(_) | Holder::Nobody | Holder::Drain(_) | Holder::Foreign { .. } => {
                Outlook::default()
            }
        }
    }

    /// Anchors what was enrolled before and the member still holds while it ends: `whenScaled` may have become `Delete` in the very change that
    /// scaled it away, and the garbage collector comes when it is gone.
    pub(super) fn on_its_way_out(&self) -> Outlook {
        let set = &self.seen.set;
        match &self.seat.holder {
            Holder::Member(member) if set.life == Life::Lives && set.is_above(self.ordinal) => {
                let enrolled = self.mounted(member).filter(|it| it.enrolment == Enrolment::Here);
                self.enrol_all(enrolled.filter(|it| self.is_due(it)).collect())
            }
            Holder::Member(_) | Holder::Nobody | Holder::Drain(_) | Holder::Foreign { .. } => {
                Outlook::default()
            }
        }
    }

    fn mounted(&self, member: &Member) -> impl Iterator<Item = &Claim> {
        let held = self.seat.claims.iter();
        held.filter(|(template, _)| member.mounts.contains(template)).map(|(_, claim)| claim)
    }

    fn enrol_all(&self, due: Vec<&Claim>) -> Outlook {
        let set = &self.seen.set;
        if due.is_empty() {
            return self.exposed(&due);
        }
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

    /// A claim that Kubernetes would delete with its member, and that this plan does not anchor: a Warning at once. One that was never bound
    /// holds no data.
    fn exposed(&self, due: &[&Claim]) -> Outlook {
        let set = &self.seen.set;
        let is_exposed = |claim: &&Claim| {
            claim.binding == Binding::Bound
                && claim.anchorage == Anchorage::Loose
                && !claim.is_terminating()
                && !due.iter().any(|it| it.uid == claim.uid)
        };
        let loose = self.seat.claims.values().find(is_exposed);
        let deletes = set.anchors() && set.when_scaled == WhenScaled::Delete;
        match loose.filter(|_| deletes && set.wants(self.ordinal)) {
            None => Outlook { reason: self.deleted_by_a_person(), ..Outlook::default() },
            Some(claim) => Outlook::waits(Reason::WhenScaledDelete { claim: claim.name.clone() }),
        }
    }

    /// Whether the claim is to be labelled or anchored. One of another set is enrolled anew only where that set is known to be gone. One that is not
    /// bound holds no data yet, and a write to it would make the write by which Kubernetes binds it fail, which is tried again after 15 s.
    fn is_due(&self, claim: &Claim) -> bool {
        let may = match &claim.enrolment {
            Enrolment::Here => self.seen.set.lacks_anchor(claim),
            Enrolment::Nowhere => true,
            Enrolment::Elsewhere { uid: _, lives } => *lives == Some(Life::Gone),
        };
        may && claim.binding == Binding::Bound && !claim.is_terminating()
    }

    fn enrol(&self, claim: &Claim) -> Step {
        let namespace_uid = self.seen.set.namespace_uid.clone();
        let anchor = namespace_uid.filter(|_| self.seen.set.lacks_anchor(claim));
        let change = if anchor.is_some() { Change::Anchored } else { Change::Enrolled };
        step(Action::Enrol { claim: claim.into(), anchor }, change)
    }
}
