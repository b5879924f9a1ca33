//! An orphan: what the policy rendered becomes a drain pod, or a reason to wait.

use crate::{Action, Answer, Change, PodBody, Reason, Record};

use super::{Outlook, Pass, fault, loading, misplaced, step};

impl Pass<'_> {
    pub(super) fn ripe(&self, answer: Option<&Answer>) -> Outlook {
        let Some(answer) = answer else {
            return Outlook::waits(Reason::Queued);
        };
        match answer {
            Answer::Pod(_) if !self.has_room => Outlook::waits(Reason::Queued),
            Answer::Pod(body) => self.create(body),
            Answer::Wait { reason, percent, ask_again_at, state: _ } => {
                let reason = Reason::PolicyWaits { reason: reason.clone(), percent: *percent };
                Outlook::waits_until(reason, *ask_again_at)
            }
            Answer::Keep(reason) => Outlook::waits(Reason::PolicyKeeps { reason: reason.clone() }),
            Answer::Refuse(reason) => {
                Outlook::waits(Reason::PolicyRefuses { reason: reason.clone() })
            }
            Answer::Rejected { field, mend } => Outlook::waits(Reason::TemplateRejected {
                field: field.clone(),
                mend: mend.clone(),
            }),
            Answer::Fault { what, ask_again_at } => fault(what, *ask_again_at),
            Answer::Loading(what) => Outlook::waits(loading(what)),
            Answer::ModuleGone(what) => Outlook::waits(Reason::PolicyFault { what: what.clone() }),
            Answer::Retry { .. } | Answer::Complete(_) | Answer::Cancel(_) | Answer::Fail(_) => {
                Outlook::waits(misplaced())
            }
        }
    }

    fn create(&self, body: &PodBody) -> Outlook {
        let attempt = self.seat.next_attempt(&self.seen.set);
        let create = step(
            Action::CreatePod { body: body.clone() },
            Change::DrainStarted { attempt, removed: body.removed.clone() },
        );
        let mut steps = Vec::new();
        if let Some(state) = &body.state {
            let Some(owner) = self.seat.claims.get(&body.owner) else {
                return Outlook::waits(Reason::ClaimMissing { template: body.owner.clone() });
            };
            let record = Record { state: state.clone(), ..self.record(attempt) };
            steps.extend(self.note_if_changed(owner, record));
        }
        steps.push(create);
        Outlook::acts(steps)
    }
}
