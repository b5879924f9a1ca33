//! What is noted on the owning claim, so that it outlives the pod.

use crate::{Action, Claim, Drain, Record, Set, Step};

use super::Pass;

impl Pass<'_> {
    /// The record of this passage as it stands, for this attempt.
    pub(super) fn record(&self, attempt: u32) -> Record {
        let base = self.seat.record_of(&self.seen.set).cloned();
        Record { attempt, ..base.unwrap_or_else(|| Record::of(&self.seen.set)) }
    }

    /// The record of the passage that this drain pod belongs to. The pod has held the name since it was created, so what was noted for
    /// the generation of that time still holds, however often the set has changed since.
    pub(super) fn record_of(&self, drain: &Drain) -> Record {
        let Set { uid, .. } = &self.seen.set;
        self.seat.record_of_drain(drain, uid).cloned().unwrap_or_else(|| Record {
            generation: drain.generation,
            attempt: drain.attempt,
            ..Record::of(&self.seen.set)
        })
    }

    /// The record for the attempt after this drain pod.
    pub(super) fn next_record(&self, drain: &Drain, after_ms: u64) -> Record {
        Record {
            generation: self.seen.set.generation,
            attempt: drain.attempt.saturating_add(1),
            not_before: Some(self.now.after_ms(after_ms)),
            hold: None,
            ..self.record_of(drain)
        }
    }

    pub(super) fn note_if_changed(&self, owner: &Claim, record: Record) -> Option<Step> {
        (self.seat.noted.record() != Some(&record))
            .then(|| Step { action: Action::Note { claim: owner.into(), record }, change: None })
    }
}
