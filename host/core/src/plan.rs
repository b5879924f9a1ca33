//! What to do in one pass: how a plan is made, a stage of the passage after the other.

mod attempt;
mod departure;
mod end;
mod enrol;
mod live;
mod note;
mod orphan;

use std::collections::BTreeMap;

use crate::{
    Action, Answer, Change, Ordinal, Plan, Reason, Report, Seat, Seen, Stage, Step, TimeMs, View,
    question::room,
    seen::{Claim, Deletion, Holder, Stewardship},
    stage::stage,
};

/// How long the garbage collector has to take an ended pod with its claims before the host deletes the pod itself, in milliseconds.
/// An idle collector needs 0.1 s; a busy one was seen to need 36 s.
pub const COLLECTOR_GRACE_MS: u64 = 1_000;

/// How long a claim may be on its way out with no pod at the name before somebody is told, in milliseconds: the garbage collector needs 0.1 s, and
/// a busy one a few seconds.
pub const LINGER_MS: u64 = 5_000;

/// How long after a policy took its `complete` back under the seal the next seal waits, in milliseconds: a policy that cannot make up its
/// mind costs a few writes in that time and no more.
pub const RESEAL_MS: u64 = 10_000;

/// How long a state that a waiting policy wants noted waits after the one before it, in milliseconds: a policy that changes its state with
/// every call would otherwise have the host write without end, since each note is a change that the policy is asked about.
pub const STATE_PAUSE_MS: u64 = 5_000;

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
    departure::on_set(seen, &mut plan);
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
        let stage = stage(self.seen, self.ordinal, self.seat, self.now);
        if let Some(outlook) = self.enrols_first(&stage) {
            return outlook;
        }
        match stage {
            Stage::Live => self.live(),
            Stage::Blocked(reason) => self.blocked(reason),
            Stage::Ripe => self.ripe(answer),
            Stage::Draining(drain) => self.draining(drain, answer),
            Stage::Leaving(drain) => self.leaving(drain),
            Stage::Sealed(drain) => self.sealed(drain, answer),
            Stage::GivingBack(drain) => self.giving_back(drain),
            Stage::Condemned(drain) => self.condemned(drain),
            Stage::Ended(drain) => self.ended(drain),
            Stage::Departing(member) => self.departing(member),
            Stage::Foreign(reason) => self.foreign(reason),
        }
    }

    /// Not told are two reasons that every drain passes through: the member's departure, which its own events tell, and claims that are
    /// all on their way out when their pod is gone.
    fn blocked(&self, reason: Reason) -> Outlook {
        if let Some(reason) = self.deleted_by_a_person() {
            return Outlook::waits(reason);
        }
        // Of a set that departs, an ordinal without claims is through.
        if self.seen.set.departs() && self.seat.claims.is_empty() {
            return Outlook::default();
        }
        let all_go = self.seat.claims.values().all(Claim::is_terminating);
        if all_go && matches!(reason, Reason::ClaimTerminating { .. }) {
            return self.lingering();
        }
        if reason == Reason::MemberThere {
            return Outlook::default();
        }
        let wake_at = reason.ends_at();
        Outlook::waits_until(reason, wake_at)
    }

    /// Claims that are on their way out after a drain, with nobody at the name: most are gone in a moment. One that stays is told, with the pods that
    /// hold it, which the watches do not show.
    fn lingering(&self) -> Outlook {
        let deleted = self.seat.claims.values().filter(|claim| claim.is_terminating());
        let first =
            deleted.filter_map(|claim| Some((claim.deleted_at?, claim))).min_by_key(|it| it.0);
        let Some((deleted_at, claim)) = first else {
            return Outlook::default();
        };
        let due = deleted_at.after_ms(LINGER_MS);
        if due > self.now {
            return Outlook { wake_at: Some(due), ..Outlook::default() };
        }
        if self.seen.view == View::Cached {
            return Outlook { look_closer: true, ..Outlook::default() };
        }
        let pods = self.seat.other_users.clone();
        Outlook::waits(Reason::ClaimLingers { claim: claim.name.clone(), pods })
    }

    /// A claim that is deleted while its member mounts it was deleted by nobody of ours: it goes with the member.
    fn deleted_by_a_person(&self) -> Option<Reason> {
        let owner = self.seat.claims.get(self.seen.set.templates.first()?)?;
        let ours = matches!(self.seen.set.stewardship, Stewardship::Ours(_));
        let mounted = matches!(self.seat.holder, Holder::Member(_));
        let deleted = ours && mounted && owner.deletion == Deletion::Background;
        deleted.then(|| Reason::ClaimTerminating { claim: owner.name.clone() })
    }

    fn foreign(&self, reason: Reason) -> Outlook {
        match &self.seen.set.stewardship {
            Stewardship::Ours(_) => Outlook::waits(reason),
            Stewardship::NotOurs | Stewardship::Unreadable { .. } => Outlook::default(),
        }
    }
}

const fn step(action: Action, change: Change) -> Step {
    Step { action, change: Some(change) }
}

fn fault(what: &str, ask_again_at: Option<TimeMs>) -> Outlook {
    Outlook::waits_until(Reason::PolicyFault { what: what.to_owned() }, ask_again_at)
}

/// The policy will be asked when it is there; that is no fault of anybody.
fn loading(what: &str) -> Reason {
    Reason::PolicyWaits { reason: what.to_owned(), percent: None }
}

fn misplaced() -> Reason {
    Reason::Unknown { what: "an answer to the question that was asked".to_owned() }
}
