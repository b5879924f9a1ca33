//! What a host makes of what it read: the questions, the policy's answers, the plan of the real planner, held against the real checker, and
//! the plan's writes.

use std::collections::BTreeMap;

use tidegate_core::{
    Action, Answer, Holder, Ordinal, Outcome, Plan, PodBody, Question, Record, Report, Seen,
    TimeMs, View, action::Target, check::check, name, plan::plan, proof::Propagation, questions,
};

use crate::{
    Rules,
    harm::Harm,
    host::{Errand, Memory, Order, Reading},
    intent,
    objects::{CLAIMS_MAX, Deletion, Marks, Note, ORDINALS_MAX, Seat},
    policy::{self, Odd},
    sight::{NOW, TEMPLATES, moment_of, number, ordinal_of, seat_of, see},
    write::{ClaimRef, PodRef, SetRef, Write},
};

/// What a host makes of one reading under one set of answers.
#[derive(Clone, Debug)]
pub struct Thought {
    /// The one answer that was not as it should be.
    pub odd: Option<(Seat, Odd)>,
    /// What it means to write, in order.
    pub writes: Vec<Write>,
    /// What it must not mean.
    pub harm: Option<Harm>,
    /// What it tells.
    pub reports: Vec<Report>,
    /// When it looks again though nothing changes.
    pub wake_at: Option<TimeMs>,
    /// Whether it reads again, the claims first.
    pub look_closer: bool,
}

const fn view_of(order: Order) -> View {
    match order {
        Order::AtOnce => View::Live,
        Order::ClaimsFirst => View::LiveInOrder,
    }
}

/// Every thought about this reading: under the answers as they should be, and under each odd one.
#[must_use]
pub fn think(rules: &Rules, reading: &Reading, memory: &Memory, errand: Errand) -> Vec<Thought> {
    let Some(seen) = see(rules, reading, memory, errand, view_of(reading.order)) else {
        return Vec::new();
    };
    let mind = Mind { rules, reading, seen: &seen };
    let asked = questions(&seen, NOW);
    let usual = mind.answers(&asked);
    let mut thoughts = vec![mind.thought(None, &usual)];
    for question in &asked {
        let odds: &[Odd] = match question {
            Question::Render(_) => &policy::OF_RENDER,
            Question::Judge(_) => &policy::OF_JUDGE,
        };
        for odd in odds {
            let answer = policy::odd(*odd, NOW);
            let ordinal = question.ordinal();
            if usual.get(&ordinal) == Some(&answer) {
                continue;
            }
            let mut answers = usual.clone();
            answers.insert(ordinal, answer);
            let seat = seat_of(ordinal).map(|seat| (seat, *odd));
            thoughts.push(mind.thought(seat, &answers));
        }
    }
    thoughts
}

/// When the host looks again, where what the watches show gives it no cause to look at once.
///
/// # Errors
/// Where there is cause.
pub fn glance(
    rules: &Rules,
    reading: &Reading,
    memory: &Memory,
    errand: Errand,
) -> Result<Option<TimeMs>, Closer> {
    let Some(seen) = see(rules, reading, memory, errand, View::Cached) else {
        return Ok(None);
    };
    let idle = plan(&seen, &BTreeMap::new(), NOW);
    // A drain pod whose set is gone is looked at without a glance.
    let looks = matches!(errand, Errand::LeftBehind(_));
    if looks || !idle.is_idle() || !questions(&seen, NOW).is_empty() {
        return Err(Closer);
    }
    Ok(idle.wake_at)
}

/// There is something to look at more closely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closer;

struct Mind<'a> {
    rules: &'a Rules,
    reading: &'a Reading,
    seen: &'a Seen,
}

impl Mind<'_> {
    fn answers(&self, asked: &[Question]) -> BTreeMap<Ordinal, Answer> {
        asked
            .iter()
            .filter_map(|question| Some((question.ordinal(), self.usual(*question)?)))
            .collect()
    }

    fn usual(&self, question: Question) -> Option<Answer> {
        let seat = self.seen.seats.get(&question.ordinal())?;
        match question {
            Question::Render(_) => {
                let claims = seat.claims.iter();
                Some(policy::renders(PodBody {
                    manifest: String::new(),
                    owner: self.seen.set.templates.first()?.clone(),
                    claims: claims.map(|(name, claim)| (name.clone(), claim.uid.clone())).collect(),
                    state: None,
                    removed: Vec::new(),
                }))
            }
            Question::Judge(_) => Some(policy::judges(seat.drain()?)),
        }
    }

    fn thought(&self, odd: Option<(Seat, Odd)>, answers: &BTreeMap<Ordinal, Answer>) -> Thought {
        let mut answers = answers.clone();
        let mut seen = self.seen.clone();
        if let Some(sabotage) = self.rules.sabotage {
            sabotage.mislead(&mut seen, &mut answers);
        }
        let planned = plan(&seen, &answers, NOW);
        let violation = match self.rules.sabotage {
            None => check(&seen, &answers, &planned).err(),
            Some(_) => None,
        };
        let harm = violation.map(|violation| Harm::Unchecked { rule: violation.to_string() });
        let harm = harm.or_else(|| intent::harm(&planned, self.reading, &self.seen.set.uid, odd));
        let mut writes = self.writes(&planned);
        if let Some(sabotage) = self.rules.sabotage {
            sabotage.misdirect(self.reading, &mut writes);
        }
        let Plan { reports, wake_at, look_closer, .. } = planned;
        Thought { odd, writes, harm, reports, wake_at, look_closer }
    }

    fn writes(&self, planned: &Plan) -> Vec<Write> {
        // The highest ordinal first, as the driver does it.
        let steps = planned.steps.iter().rev();
        let on_set = planned.on_set.iter().filter_map(|step| self.write_on_set(&step.action));
        let on_ordinals = steps.flat_map(|(ordinal, steps)| {
            steps.iter().filter_map(|step| self.write(*ordinal, &step.action))
        });
        on_set.chain(on_ordinals).collect()
    }

    fn write_on_set(&self, action: &Action) -> Option<Write> {
        let at = |target: &Target| SetRef {
            uid: number(&target.uid),
            version: number(&target.resource_version),
        };
        match action {
            Action::Hold(set) => Some(Write::Hold(at(set))),
            Action::LetGo(set) => Some(Write::LetGo(at(set))),
            Action::Enrol { .. }
            | Action::Note { .. }
            | Action::CreatePod { .. }
            | Action::Seal(_)
            | Action::DeleteClaim(_)
            | Action::GiveBack(_)
            | Action::Fence(_)
            | Action::Unseal { .. }
            | Action::DeletePod(_)
            | Action::DeleteMember(_)
            | Action::Touch => None,
        }
    }

    fn write(&self, ordinal: Ordinal, action: &Action) -> Option<Write> {
        let seat = seat_of(ordinal)?;
        let set = number(&self.seen.set.uid);
        let claim = |target: &Target| {
            claim_ref(seat, ordinal, &target.name, &target.uid, &target.resource_version)
        };
        let pod = |target: &Target| PodRef {
            seat,
            uid: number(&target.uid),
            version: number(&target.resource_version),
        };
        Some(match action {
            Action::Enrol { claim: target, anchor } => {
                Write::Enrol { claim: claim(target)?, set, anchor: anchor.is_some() }
            }
            Action::Note { claim: target, record } => {
                Write::Note { claim: claim(target)?, note: note(record) }
            }
            Action::CreatePod { body } => Write::CreatePod { seat, marks: self.marks(seat, body) },
            Action::Seal(target) => Write::Seal(pod(target)),
            Action::DeleteClaim(it) => Write::DeleteClaim {
                claim: claim_ref(seat, ordinal, it.name(), it.uid(), it.resource_version())?,
                deletion: match it.propagation() {
                    Propagation::Background => Deletion::Background,
                    Propagation::Foreground => Deletion::Foreground,
                },
            },
            Action::Fence(target) => Write::Fence(claim(target)?),
            Action::Unseal { pod: target, outcome } => {
                let drained = matches!(outcome, Outcome::Drained { .. });
                Write::Unseal { pod: pod(target), drained }
            }
            Action::DeletePod(target) => Write::DeletePod(pod(target)),
            Action::GiveBack(target) => Write::GiveBack(pod(target)),
            Action::Touch => Write::Touch { set, free: self.free() },
            Action::DeleteMember(target) => Write::DeleteMember(pod(target)),
            Action::Hold(_) | Action::LetGo(_) => return None,
        })
    }

    fn free(&self) -> [bool; ORDINALS_MAX] {
        std::array::from_fn(|seat| {
            let seat = self.seen.seats.get(&ordinal_of(seat));
            seat.is_none_or(|seat| seat.holder == Holder::Nobody && !seat.has_leaving_claim())
        })
    }

    fn marks(&self, seat: Seat, body: &PodBody) -> Marks {
        let set = &self.seen.set;
        let seen = self.seen.seats.get(&ordinal_of(seat));
        let uid = |template: usize| {
            TEMPLATES.get(template).and_then(|name| body.claims.get(*name)).map(|uid| number(uid))
        };
        Marks {
            set: number(&set.uid),
            generation: small(set.generation),
            attempt: small(u64::from(seen.map_or(1, |seat| seat.next_attempt(set)))),
            claims: std::array::from_fn::<_, CLAIMS_MAX, _>(uid),
        }
    }
}

fn claim_ref(
    seat: Seat,
    ordinal: Ordinal,
    claim: &str,
    uid: &str,
    version: &str,
) -> Option<ClaimRef> {
    let is_of = |template: &str| name::parse_claim(claim, template, "web") == Some(ordinal);
    let template = TEMPLATES.iter().position(|template| is_of(template))?;
    Some(ClaimRef { seat, template, uid: number(uid), version: number(version) })
}

fn note(record: &Record) -> Note {
    Note {
        set: number(&record.set_uid),
        generation: small(record.generation),
        attempt: small(u64::from(record.attempt)),
        not_before: record.not_before.map(moment_of),
        hold: record.hold.is_some(),
    }
}

fn small(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
