//! The end of a passage, from the seal on: claims deleted and pod unsealed, or everything given back.

use crate::{
    Action, Answer, Change, Drain, Outcome, Reason, Record, Step, TimeMs, View,
    plan::{COLLECTOR_GRACE_MS, RECHECK_MS, RESEAL_MS},
    proof::Proof,
    safety,
    seen::Stewardship,
};

use super::{Outlook, Pass, fault, loading, misplaced, step};

impl Pass<'_> {
    pub(super) fn sealed(&self, drain: &Drain, answer: Option<&Answer>) -> Outlook {
        if self.seen.view != View::LiveInOrder {
            return Outlook { look_closer: true, ..Outlook::default() };
        }
        let begun = self.seat.has_begun_to_go(drain);
        let Some(answer) = answer else {
            return match &self.seen.set.stewardship {
                Stewardship::NotOurs if !begun => {
                    Self::give_seal_back(drain, "the set is no longer ours")
                }
                Stewardship::Unreadable { .. } if !begun => Outlook::default(),
                Stewardship::Ours(_) | Stewardship::NotOurs | Stewardship::Unreadable { .. } => {
                    Outlook::waits(Reason::Unknown { what: "the policy's verdict".to_owned() })
                }
            };
        };
        match Proof::of(self.seen, self.seat, drain, answer) {
            Ok(proof) => {
                let steps = proof.condemn(self.seat, drain).into_iter().map(|claim| {
                    let change = Change::Drained { reason: proof.reason().to_owned() };
                    step(Action::DeleteClaim(claim), change)
                });
                Outlook::acts(steps.collect())
            }
            Err(reason) if begun => cannot_go_back(answer, reason, self.now),
            Err(reason) => self.withdrawn(drain, answer, reason),
        }
    }

    /// The second judgement is not the first one, and nothing is deleted yet: everything is given back, except where the policy could
    /// not be asked or the host itself waits.
    fn withdrawn(&self, drain: &Drain, answer: &Answer, reason: Reason) -> Outlook {
        match answer {
            Answer::Fault { what, ask_again_at } => fault(what, *ask_again_at),
            Answer::Loading(what) => Outlook::waits(loading(what)),
            Answer::Complete(_) => Outlook::waits(reason),
            Answer::Wait { reason: why, .. }
            | Answer::Retry { reason: why, .. }
            | Answer::Cancel(why)
            | Answer::Fail(why)
            | Answer::ModuleGone(why)
            | Answer::Keep(why)
            | Answer::Refuse(why) => Self::give_seal_back(drain, why),
            Answer::Pod(_) | Answer::Rejected { .. } => Outlook::waits(misplaced()),
        }
    }

    fn give_seal_back(drain: &Drain, why: &str) -> Outlook {
        let change = Change::GivenBack { why: why.to_owned() };
        Outlook::acts(vec![step(Action::GiveBack(drain.into()), change)])
    }

    /// A host that read the claims before the seal was said to be given back may still believe in it: its DELETE meets the versions of before.
    /// One that reads them from then on sees what the seal says.
    pub(super) fn giving_back(&self, drain: &Drain) -> Outlook {
        // Nothing can be given back once a claim is being deleted. The seal says so before anything else, and its pod has another version
        // then, so that no unsealing of before fits.
        if self.seat.has_begun_to_go(drain) {
            return Outlook::acts(vec![Step { action: Action::Seal(drain.into()), change: None }]);
        }
        if matches!(self.seen.set.stewardship, Stewardship::Unreadable { .. }) {
            return Outlook::default();
        }
        let due = self.now.after_ms(RESEAL_MS);
        let record = Record { not_before: Some(due), ..self.record_of(drain) };
        let understood = safety::not_understood(&self.seen.set, self.seat).is_none();
        let owner_uid = drain.claims.get(&drain.owner);
        let claims = drain.claims.values().filter_map(|uid| self.seat.claim_of(uid));
        // A note is a fence too: both give the claim a version that no DELETE of before fits.
        let writes = claims.map(|claim| {
            let is_owner = Some(&claim.uid) == owner_uid;
            if is_owner && understood {
                Action::Note { claim: claim.into(), record: record.clone() }
            } else {
                Action::Fence(claim.into())
            }
        });
        let unseal = Action::Unseal { pod: drain.into(), outcome: Outcome::GivenBack };
        let writes = writes.chain(std::iter::once(unseal));
        Outlook::acts(writes.map(|action| Step { action, change: None }).collect())
    }

    pub(super) fn condemned(&self, drain: &Drain) -> Outlook {
        let outcome = Outcome::Drained { at: self.now };
        let action = Action::Unseal { pod: drain.into(), outcome };
        Outlook::acts(vec![Step { action, change: None }])
    }

    pub(super) fn ended(&self, drain: &Drain) -> Outlook {
        let due = drain.drained_at.unwrap_or(self.now).after_ms(COLLECTOR_GRACE_MS);
        if due > self.now {
            return Outlook { wake_at: Some(due), ..Outlook::default() };
        }
        if !drain.held_by.is_empty() {
            return Outlook::waits(Reason::HeldByFinalizers { finalizers: drain.held_by.clone() });
        }
        if drain.terminating {
            return Outlook::waits(Reason::Collecting);
        }
        match safety::no_pod_delete(self.seat, drain) {
            Some(reason) => Outlook::waits(reason),
            None => Outlook::acts(vec![step(Action::DeletePod(drain.into()), Change::Collected)]),
        }
    }
}

/// A passage that has begun to delete can only go on, so that every other verdict than `complete` means to wait.
fn cannot_go_back(answer: &Answer, reason: Reason, now: TimeMs) -> Outlook {
    match answer {
        Answer::Fault { what, ask_again_at } => fault(what, *ask_again_at),
        // The host hears of it when somebody puts the policy back; a name that is held while its claims go is worth a look besides.
        Answer::ModuleGone(what) => fault(what, Some(now.after_ms(RECHECK_MS))),
        Answer::Loading(what) => Outlook::waits(loading(what)),
        Answer::Wait { reason, percent, ask_again_at, state: _ } => {
            let told = Reason::PolicyWaits { reason: reason.clone(), percent: *percent };
            Outlook::waits_until(told, *ask_again_at)
        }
        Answer::Complete(_)
        | Answer::Pod(_)
        | Answer::Keep(_)
        | Answer::Refuse(_)
        | Answer::Retry { .. }
        | Answer::Cancel(_)
        | Answer::Fail(_)
        | Answer::Rejected { .. } => Outlook::waits(reason),
    }
}
