//! An ordinal that the set wants, and whose claims are enrolled, as far as they can be.

use crate::{
    Action, Change, Claim, Holder, Reason,
    seen::{Anchorage, Binding, Stewardship, WhenScaled},
};

use super::{Outlook, Pass, step};

impl Pass<'_> {
    /// Wakes the set's controller where we freed the name.
    pub(super) fn live(&self) -> Outlook {
        let ours = matches!(self.seen.set.stewardship, Stewardship::Ours(_));
        let wanted = self.seen.set.wants(self.ordinal);
        match &self.seat.holder {
            // A claim that is still on its way out makes the controller back off once more, so the touch waits for it to be gone.
            Holder::Nobody if wanted && self.seat.freed_by_us && !self.seat.has_leaving_claim() => {
                let steps = vec![step(Action::Touch, Change::Touched)];
                Outlook { steps, ..self.exposed(&[]) }
            }
            Holder::Nobody if ours && self.seat.has_leaving_claim() => {
                let exposed = self.exposed(&[]);
                if exposed.reason.is_some() { exposed } else { self.lingering() }
            }
            Holder::Member(_) | Holder::Nobody if ours => self.exposed(&[]),
            Holder::Member(_) | Holder::Nobody | Holder::Drain(_) | Holder::Foreign { .. } => {
                Outlook::default()
            }
        }
    }

    /// A claim that Kubernetes would delete with its member, and that this plan does not anchor: a Warning at once. One that was never bound
    /// holds no data.
    pub(super) fn exposed(&self, due: &[&Claim]) -> Outlook {
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
}
