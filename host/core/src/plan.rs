//! What to do in one pass: how a plan is made, a stage of the passage after the other.

use std::collections::BTreeMap;

use crate::{
    Action, Answer, Change, Drain, Ending, Ordinal, Outcome, Plan, PodBody, Reason, Record, Report,
    Seat, Seen, Set, Stage, Step, TimeMs, View, backoff,
    proof::Proof,
    question::room,
    record::Hold,
    safety,
    seen::{Claim, Enrolment, Holder, Life, Stewardship, WhenScaled},
    stage::stage,
};

/// How long the garbage collector has to take an ended pod with its claims before the host deletes the pod itself, in milliseconds.
/// An idle collector needs 0.1 s; a busy one was seen to need 36 s.
pub const COLLECTOR_GRACE_MS: u64 = 1_000;

/// How often to look again at what no watch shows, in milliseconds: foreign pods, which the host does not keep in memory.
pub const RECHECK_MS: u64 = 15_000;

/// The plan for what is seen and what the policies answered to [`crate::questions`] about it. Total: there is a plan for everything, and
/// where an answer is missing it is to do nothing.
#[must_use]
pub fn plan(seen: &Seen, answers: &BTreeMap<Ordinal, Answer>, now: TimeMs) -> Plan {
    let mut plan = Plan::default();
    if let Stewardship::Unreadable { annotation, value, mend } = &seen.set.stewardship {
        let (annotation, value, mend) = (annotation.clone(), value.clone(), mend.clone());
        let reason = Reason::AnnotationUnreadable { annotation, value, mend };
        plan.reports.push(Report { ordinal: None, reason });
    }
    let ours = matches!(seen.set.stewardship, Stewardship::Ours(_));
    if ours && seen.set.when_scaled == WhenScaled::Delete {
        plan.reports.push(Report { ordinal: None, reason: Reason::WhenScaledDelete });
    }
    let mut room = room(seen);
    for (ordinal, seat) in seen.seats.iter().rev() {
        let pass = Pass { seen, ordinal: *ordinal, seat, now, has_room: room > 0 };
        let outlook = pass.plan(answers.get(ordinal)).rechecked(now);
        let creates = |step: &Step| matches!(step.action, Action::CreatePod { .. });
        room = room.saturating_sub(usize::from(outlook.steps.iter().any(creates)));
        outlook.merge_into(&mut plan, *ordinal);
    }
    plan
}

/// What one ordinal adds to the plan.
#[derive(Default)]
struct Outlook {
    steps: Vec<Step>,
    reason: Option<Reason>,
    wake_at: Option<TimeMs>,
    look_closer: bool,
}

impl Outlook {
    fn waits(reason: Reason) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }

    fn waits_until(reason: Reason, wake_at: Option<TimeMs>) -> Self {
        Self { reason: Some(reason), wake_at, ..Self::default() }
    }

    fn acts(steps: Vec<Step>) -> Self {
        Self { steps, ..Self::default() }
    }

    fn rechecked(self, now: TimeMs) -> Self {
        let unwatched = self.reason.as_ref().is_some_and(Reason::is_unwatched);
        let recheck_at = unwatched.then(|| now.after_ms(RECHECK_MS));
        Self { wake_at: [self.wake_at, recheck_at].into_iter().flatten().min(), ..self }
    }

    /// One touch wakes the set's controller for all ordinals.
    fn merge_into(mut self, plan: &mut Plan, ordinal: Ordinal) {
        let touches = |action: &Action| matches!(action, Action::Touch);
        if plan.actions().any(|(_, action)| touches(action)) {
            self.steps.retain(|step| !touches(&step.action));
        }
        if !self.steps.is_empty() {
            plan.steps.insert(ordinal, self.steps);
        }
        if let Some(reason) = self.reason {
            plan.reports.push(Report { ordinal: Some(ordinal), reason });
        }
        plan.look_closer |= self.look_closer;
        plan.wake_at = [plan.wake_at, self.wake_at].into_iter().flatten().min();
    }
}

struct Pass<'a> {
    seen: &'a Seen,
    ordinal: Ordinal,
    seat: &'a Seat,
    now: TimeMs,
    has_room: bool,
}

impl Pass<'_> {
    fn plan(&self, answer: Option<&Answer>) -> Outlook {
        match stage(self.seen, self.ordinal, self.seat, self.now) {
            Stage::Live => self.live(),
            Stage::Blocked(reason) => self.blocked(reason),
            Stage::Ripe => self.ripe(answer),
            Stage::Draining(drain) => self.draining(drain, answer),
            Stage::Leaving(drain) => self.leaving(drain),
            Stage::Sealed(drain) => self.sealed(drain, answer),
            Stage::Condemned(drain) => self.condemned(drain),
            Stage::Ended(drain) => self.ended(drain),
            Stage::Foreign(reason) => self.foreign(reason),
        }
    }

    /// Enrols what the member holds, and wakes the set's controller where we freed the name.
    fn live(&self) -> Outlook {
        let wanted = self.seen.set.wants(self.ordinal);
        match &self.seat.holder {
            Holder::Member { mounts } => {
                let ours = matches!(self.seen.set.stewardship, Stewardship::Ours(_));
                let claims = self.seat.claims.iter().filter(|(template, claim)| {
                    ours && mounts.contains(template) && may_enrol(claim)
                });
                Outlook::acts(claims.map(|(_, claim)| enrol(claim)).collect())
            }
            // A claim that is still on its way out makes the controller back off once more, so the touch waits for it to be gone.
            Holder::Nobody if wanted && self.seat.freed_by_us && !self.seat.has_leaving_claim() => {
                Outlook::acts(vec![step(Action::Touch, Change::Touched)])
            }
            Holder::Nobody | Holder::Drain(_) | Holder::Foreign { .. } => Outlook::default(),
        }
    }

    /// Not told are two reasons that every drain passes through: the member's departure, which its own events tell, and claims that are
    /// all on their way out when their pod is gone.
    fn blocked(&self, reason: Reason) -> Outlook {
        let all_go = self.seat.claims.values().all(Claim::is_terminating);
        let going = all_go && matches!(reason, Reason::ClaimTerminating { .. });
        if going || reason == Reason::MemberThere {
            return Outlook::default();
        }
        let wake_at = reason.ends_at();
        Outlook::waits_until(reason, wake_at)
    }

    fn foreign(&self, reason: Reason) -> Outlook {
        match &self.seen.set.stewardship {
            Stewardship::Ours(_) => Outlook::waits(reason),
            Stewardship::NotOurs | Stewardship::Unreadable { .. } => Outlook::default(),
        }
    }

    fn ripe(&self, answer: Option<&Answer>) -> Outlook {
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

    fn draining(&self, drain: &Drain, answer: Option<&Answer>) -> Outlook {
        let settings = match &self.seen.set.stewardship {
            Stewardship::Ours(settings) => settings,
            Stewardship::Unreadable { .. } => return Outlook::default(),
            Stewardship::NotOurs => return self.give_back(drain, "the set is no longer ours"),
        };
        // A drain whose claim went with the set is all that holds the data, so it goes on to its end.
        let loses_nothing = safety::no_pod_delete(self.seat, drain).is_none();
        if self.seen.set.life != Life::Lives && loses_nothing {
            return self.give_back(drain, "the set is being deleted");
        }
        if !self.seen.set.wants(self.ordinal) && !self.seen.set.is_above(self.ordinal) {
            return self.give_back(drain, "spec.ordinals.start was moved above the ordinal");
        }
        let Some(answer) = answer else {
            return Outlook::waits(Reason::Unknown { what: "the policy's verdict".to_owned() });
        };
        match answer {
            Answer::Complete(reason) => match safety::no_seal(settings, self.seat, drain) {
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
                Outlook {
                    steps: self.new_state(drain, state.as_ref()),
                    ..Outlook::waits_until(told, *ask_again_at)
                }
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
            Answer::Pod(_) | Answer::Keep(_) | Answer::Refuse(_) | Answer::Rejected { .. } => {
                Outlook::waits(misplaced())
            }
        }
    }

    /// The policy says complete, and the host knows better: a pod that has ended is tried again, one that has not is waited for.
    fn unproven(&self, drain: &Drain, reason: Reason) -> Outlook {
        match &drain.ending {
            Ending::Failed(_) | Ending::CutShort(_) => {
                self.end_attempt(drain, &reason.to_string(), backoff::delay_ms(drain.attempt), None)
            }
            Ending::NotEnded | Ending::ByItself => Outlook::waits(reason),
        }
    }

    fn new_state(&self, drain: &Drain, state: Option<&String>) -> Vec<Step> {
        let owner = self.seat.claims.get(&drain.owner);
        let (Some(state), Some(owner)) = (state, owner) else {
            return Vec::new();
        };
        let record = Record { state: state.clone(), ..self.record_of(drain) };
        self.note_if_changed(owner, record).into_iter().collect()
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
        if !self.seen.set.is_above(self.ordinal) || self.seen.set.life != Life::Lives {
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
        let mut steps: Vec<Step> = self.note_if_changed(owner, record).into_iter().collect();
        steps.push(step(Action::DeletePod(drain.into()), change));
        Outlook::acts(steps)
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
    fn leaving(&self, drain: &Drain) -> Outlook {
        let set = &self.seen.set;
        let Stewardship::Ours(settings) = &set.stewardship else {
            return Outlook::waits(Reason::PodLeaving);
        };
        let noted = self.seat.record_of(set).is_some_and(|record| {
            record.attempt > drain.attempt || record.holds(settings.fingerprint())
        });
        let owner = self.seat.claims.get(&drain.owner).filter(|claim| !claim.is_terminating());
        let follows = set.life == Life::Lives && set.is_above(self.ordinal);
        let (false, true, Some(owner)) = (noted, follows, owner) else {
            return Outlook::waits(Reason::PodLeaving);
        };
        let record = self.next_record(drain, backoff::delay_ms(drain.attempt));
        let why = drain.ending.to_string();
        let change = Change::AttemptEnded { why, next_attempt: record.attempt };
        let note = step(Action::Note { claim: owner.into(), record }, change);
        Outlook { steps: vec![note], ..Outlook::waits(Reason::PodLeaving) }
    }

    fn sealed(&self, drain: &Drain, answer: Option<&Answer>) -> Outlook {
        if self.seen.view == View::Cached {
            return Outlook { look_closer: true, ..Outlook::default() };
        }
        let begun = self.seat.has_begun_to_go(drain);
        let Some(answer) = answer else {
            return match &self.seen.set.stewardship {
                Stewardship::NotOurs if !begun => self.unseal(drain, "the set is no longer ours"),
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
            Answer::Complete(_) => Outlook::waits(reason),
            Answer::Wait { reason: why, .. }
            | Answer::Retry { reason: why, .. }
            | Answer::Cancel(why)
            | Answer::Fail(why)
            | Answer::ModuleGone(why)
            | Answer::Keep(why)
            | Answer::Refuse(why) => self.unseal(drain, why),
            Answer::Pod(_) | Answer::Rejected { .. } => Outlook::waits(misplaced()),
        }
    }

    fn unseal(&self, drain: &Drain, why: &str) -> Outlook {
        let claims = drain.claims.values().filter_map(|uid| self.seat.claim_of(uid));
        let fence = |claim: &Claim| Step { action: Action::Fence(claim.into()), change: None };
        let mut steps: Vec<Step> = claims.map(fence).collect();
        let action = Action::Unseal { pod: drain.into(), outcome: Outcome::GivenBack };
        steps.push(step(action, Change::GivenBack { why: why.to_owned() }));
        Outlook::acts(steps)
    }

    fn condemned(&self, drain: &Drain) -> Outlook {
        let outcome = Outcome::Drained { at: self.now };
        let action = Action::Unseal { pod: drain.into(), outcome };
        Outlook::acts(vec![Step { action, change: None }])
    }

    fn ended(&self, drain: &Drain) -> Outlook {
        let due = drain.drained_at.unwrap_or(self.now).after_ms(COLLECTOR_GRACE_MS);
        if due > self.now {
            return Outlook { wake_at: Some(due), ..Outlook::default() };
        }
        if drain.terminating {
            return Outlook::waits(Reason::Collecting);
        }
        match safety::no_pod_delete(self.seat, drain) {
            Some(reason) => Outlook::waits(reason),
            None => Outlook::acts(vec![step(Action::DeletePod(drain.into()), Change::Collected)]),
        }
    }

    /// The record of this passage as it stands, for this attempt.
    fn record(&self, attempt: u32) -> Record {
        let base = self.seat.record_of(&self.seen.set).cloned();
        Record { attempt, ..base.unwrap_or_else(|| Record::of(&self.seen.set)) }
    }

    /// The record of the passage that this drain pod belongs to. The pod has held the name since it was created, so what was noted for
    /// the generation of that time still holds, however often the set has changed since.
    fn record_of(&self, drain: &Drain) -> Record {
        let Set { uid, .. } = &self.seen.set;
        self.seat.record_of_drain(drain, uid).cloned().unwrap_or_else(|| Record {
            generation: drain.generation,
            attempt: drain.attempt,
            ..Record::of(&self.seen.set)
        })
    }

    /// The record for the attempt after this drain pod.
    fn next_record(&self, drain: &Drain, after_ms: u64) -> Record {
        Record {
            generation: self.seen.set.generation,
            attempt: drain.attempt.saturating_add(1),
            not_before: Some(self.now.after_ms(after_ms)),
            hold: None,
            ..self.record_of(drain)
        }
    }

    fn note_if_changed(&self, owner: &Claim, record: Record) -> Option<Step> {
        (self.seat.record.as_ref() != Some(&record))
            .then(|| Step { action: Action::Note { claim: owner.into(), record }, change: None })
    }
}

const fn step(action: Action, change: Change) -> Step {
    Step { action, change: Some(change) }
}

fn enrol(claim: &Claim) -> Step {
    step(Action::Enrol(claim.into()), Change::Enrolled)
}

/// A claim of another set is enrolled anew only where that set is known to be gone.
fn may_enrol(claim: &Claim) -> bool {
    match &claim.enrolment {
        Enrolment::Here => false,
        Enrolment::Nowhere => !claim.is_terminating(),
        Enrolment::Elsewhere { uid: _, lives } => {
            *lives == Some(Life::Gone) && !claim.is_terminating()
        }
    }
}

fn fault(what: &str, ask_again_at: TimeMs) -> Outlook {
    Outlook::waits_until(Reason::PolicyFault { what: what.to_owned() }, Some(ask_again_at))
}

/// A passage that has begun to delete can only go on, so that every other verdict than `complete` means to wait.
fn cannot_go_back(answer: &Answer, reason: Reason, now: TimeMs) -> Outlook {
    match answer {
        Answer::Fault { what, ask_again_at } => fault(what, *ask_again_at),
        // Nothing watches where policies come from, and somebody may put this one back.
        Answer::ModuleGone(what) => fault(what, now.after_ms(RECHECK_MS)),
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

fn misplaced() -> Reason {
    Reason::Unknown { what: "an answer to the question that was asked".to_owned() }
}
