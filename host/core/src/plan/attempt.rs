//! A drain pod that is not sealed: it is waited for, sealed, or its attempt is ended.

use crate::{
    Action, Answer, Change, Drain, Ending, Reason, Record, Step, backoff,
    plan::STATE_PAUSE_MS,
    record::Hold,
    safety,
    seen::{Life, Stewardship},
    settings::Settings,
};

use super::{Outlook, Pass, fault, loading, misplaced, step};

impl Pass<'_> {
    pub(super) fn draining(&self, drain: &Drain, answer: Option<&Answer>) -> Outlook {
        let settings = match &self.seen.set.stewardship {
            Stewardship::Ours(settings) => settings,
            Stewardship::Unreadable { .. } => return Outlook::default(),
            Stewardship::NotOurs => return self.give_back(drain, "the set is no longer ours"),
        };
        // A drain whose claim was deleted is all that holds the data, so it goes on to its end, which nothing else would lead to.
        let loses_nothing = safety::no_pod_delete(self.seat, drain).is_none();
        let goes = self.seen.set.life != Life::Lives && !self.seen.set.departs();
        let unwanted = !self.seen.set.wants(self.ordinal) && !self.seen.set.drains(self.ordinal);
        if loses_nothing && goes {
            return self.give_back(drain, "the set is being deleted");
        }
        if loses_nothing && unwanted {
            return self.give_back(drain, "spec.ordinals.start was moved above the ordinal");
        }
        // It would wait for its claim for ever, with the name in its hands and the orphans behind it in the queue.
        if let Some(template) = self.never_starts(drain) {
            let why = format!(
                "the claim of template {template} is gone, and without it the drain pod cannot start"
            );
            return self.give_back(drain, &why);
        }
        if let Some(reason) = safety::not_understood(&self.seen.set, self.seat) {
            return Outlook::waits(safety::no_pod_delete(self.seat, drain).unwrap_or(reason));
        }
        let Some(answer) = answer else {
            return Outlook::waits(Reason::Unknown { what: "the policy's verdict".to_owned() });
        };
        match answer {
            Answer::Complete(reason) => match self.no_seal(settings, drain) {
                None => {
                    let change = Change::Sealed { reason: reason.clone() };
                    Outlook::acts(vec![step(Action::Seal(drain.into()), change)])
                }
                Some(reason) => self.unproven(drain, reason),
            },
            Answer::Wait { reason, percent, ask_again_at, state } => {
                let waits = Reason::PolicyWaits { reason: reason.clone(), percent: *percent };
                // That this pod is the last copy matters more than what it waits for.
                let told = safety::no_pod_delete(self.seat, drain).unwrap_or(waits);
                let outlook = Outlook::waits_until(told, *ask_again_at);
                self.with_state(outlook, drain, state.as_ref())
            }
            Answer::Retry { reason, after_ms, state } => {
                self.end_attempt(drain, reason, *after_ms, Some(state))
            }
            Answer::Cancel(reason) => self.cancel(drain, reason),
            Answer::Fail(reason) if self.seen.set.wants(self.ordinal) => {
                self.give_back(drain, reason)
            }
            Answer::Fail(reason) => {
                let fails = Reason::PolicyFails { reason: reason.clone() };
                Outlook::waits(safety::no_pod_delete(self.seat, drain).unwrap_or(fails))
            }
            Answer::ModuleGone(what) => self.end_attempt(drain, what, 0, None),
            Answer::Fault { what, ask_again_at } => fault(what, *ask_again_at),
            Answer::Loading(what) => Outlook::waits(
                safety::no_pod_delete(self.seat, drain).unwrap_or_else(|| loading(what)),
            ),
            Answer::Pod(_) | Answer::Keep(_) | Answer::Refuse(_) | Answer::Rejected { .. } => {
                Outlook::waits(misplaced())
            }
        }
    }

    /// The template of a claim that is gone, where the pod never had a node: Kubernetes protects a claim for pods that have one.
    fn never_starts<'a>(&self, drain: &'a Drain) -> Option<&'a str> {
        let mut mounted = drain.claims.iter().filter(|_| !drain.placed);
        mounted
            .find(|(_, uid)| self.seat.claim_of(uid).is_none())
            .map(|(template, _)| template.as_str())
    }

    /// The policy says complete, and the host knows better: a pod that has ended is tried again, one that has not is waited for.
    fn unproven(&self, drain: &Drain, reason: Reason) -> Outlook {
        match &drain.ending {
            Ending::Failed(_) | Ending::CutShort(_) => {
                self.end_attempt(drain, &reason.to_string(), backoff::delay_ms(drain.attempt), None)
            }
            Ending::NotEnded | Ending::ByItself => {
                let wake_at = reason.ends_at();
                Outlook::waits_until(reason, wake_at)
            }
        }
    }

    fn no_seal(&self, settings: &Settings, drain: &Drain) -> Option<Reason> {
        let record = self.seat.record_of_drain(drain, &self.seen.set.uid);
        let withdrawn = record.filter(|record| record.attempt == drain.attempt);
        let until = withdrawn.and_then(|record| record.not_before);
        match until.filter(|until| *until > self.now) {
            Some(until) => Some(Reason::SealWithdrawn { until }),
            None => safety::no_seal(settings, self.seat, drain),
        }
    }

    fn with_state(&self, outlook: Outlook, drain: &Drain, state: Option<&String>) -> Outlook {
        let (Some(state), Some(owner)) = (state, self.seat.claims.get(&drain.owner)) else {
            return outlook;
        };
        let before = self.record_of(drain);
        if before.state == *state {
            return outlook;
        }
        let due = before.state_at.map_or(self.now, |at| at.after_ms(STATE_PAUSE_MS));
        if due > self.now {
            let wake_at = [outlook.wake_at, Some(due)].into_iter().flatten().min();
            return Outlook { wake_at, ..outlook };
        }
        let record = Record { state: state.clone(), state_at: Some(self.now), ..before };
        let steps = self.note_if_changed(owner, record).into_iter().collect();
        Outlook { steps, ..outlook }
    }

    /// Ends this attempt so that another follows; where the ordinal is wanted, gives it back instead, because between two attempts the
    /// name is free and the member would return to a half-drained claim.
    fn end_attempt(
        &self,
        drain: &Drain,
        why: &str,
        after_ms: u64,
        state: Option<&String>,
    ) -> Outlook {
        if !self.seen.set.drains(self.ordinal) {
            return self.give_back(drain, why);
        }
        let mut record = self.next_record(drain, after_ms);
        if let Some(state) = state {
            record.state.clone_from(state);
        }
        let change = Change::AttemptEnded { why: why.to_owned(), next_attempt: record.attempt };
        self.note_and_delete(drain, record, change)
    }

    fn cancel(&self, drain: &Drain, why: &str) -> Outlook {
        let Stewardship::Ours(settings) = &self.seen.set.stewardship else {
            return self.give_back(drain, why);
        };
        if self.seen.set.wants(self.ordinal) {
            return self.give_back(drain, why);
        }
        let hold = Hold { why: why.to_owned(), settings: settings.fingerprint() };
        let generation = self.seen.set.generation;
        let record = Record { generation, hold: Some(hold), ..self.record_of(drain) };
        self.note_and_delete(drain, record, Change::GivenBack { why: why.to_owned() })
    }

    fn note_and_delete(&self, drain: &Drain, record: Record, change: Change) -> Outlook {
        if let Some(reason) = safety::no_end_of_attempt(&self.seen.set, self.seat, drain) {
            return Outlook::waits(reason);
        }
        let Some(owner) = self.seat.claims.get(&drain.owner) else {
            return Outlook::waits(Reason::ClaimMissing { template: drain.owner.clone() });
        };
        // The change is told with its first write: from then on another host, or whoever deletes the pod meanwhile, may carry it out.
        let delete = Action::DeletePod(drain.into());
        Outlook::acts(match self.note_if_changed(owner, record) {
            Some(note) => {
                vec![Step { change: Some(change), ..note }, Step { action: delete, change: None }]
            }
            None => vec![step(delete, change)],
        })
    }

    fn give_back(&self, drain: &Drain, why: &str) -> Outlook {
        match safety::no_end_of_attempt(&self.seen.set, self.seat, drain) {
            Some(reason) => Outlook::waits(reason),
            None => {
                let change = Change::GivenBack { why: why.to_owned() };
                Outlook::acts(vec![step(Action::DeletePod(drain.into()), change)])
            }
        }
    }

    /// Notes the next attempt while the pod that failed can still be seen.
    pub(super) fn leaving(&self, drain: &Drain) -> Outlook {
        let set = &self.seen.set;
        let leaving = match (drain.stray_seal, drain.held_by.as_slice()) {
            (true, _) => Reason::StraySeal,
            (false, []) => Reason::PodLeaving,
            (false, finalizers) => Reason::HeldByFinalizers { finalizers: finalizers.to_vec() },
        };
        let Stewardship::Ours(settings) = &set.stewardship else {
            return Outlook::waits(leaving);
        };
        let stands = self.seat.record_of(set).is_some_and(|record| {
            record.attempt > drain.attempt || record.holds(settings.fingerprint())
        });
        let noted = stands || safety::not_understood(set, self.seat).is_some();
        let owner = self.seat.claims.get(&drain.owner).filter(|claim| !claim.is_terminating());
        let follows = set.drains(self.ordinal);
        let (false, true, Some(owner)) = (noted, follows, owner) else {
            return Outlook::waits(leaving);
        };
        let record = self.next_record(drain, backoff::delay_ms(drain.attempt));
        let why = drain.ending.to_string();
        let change = Change::AttemptEnded { why, next_attempt: record.attempt };
        let note = step(Action::Note { claim: owner.into(), record }, change);
        Outlook { steps: vec![note], ..Outlook::waits(leaving) }
    }
}
