//! Where every ordinal stands that does not simply live, and why: the host's own reasons, found anew from the cluster's objects, and from its
//! events what only a policy or the host itself can know.

use std::{collections::BTreeSet, fmt};

use kube::ResourceExt;
use tidegate_core::{
    Action, Drain, Ordinal, Plan, Reason, Seat, Seen, Severity, Stage, TimeMs,
    plan::plan,
    questions, safety,
    seen::{Life, Stewardship},
    stage::stage,
};

use super::{
    saying::{Saying, Sayings},
    scene::{Scene, Subject},
};
use crate::{ask::NO_ANSWERS, marks};

/// One ordinal that does not simply live, or one set about which there is something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The set's namespace.
    pub namespace: String,
    /// The set.
    pub set: String,
    /// The ordinal; none where it is about the set.
    pub ordinal: Option<Ordinal>,
    /// Where it stands.
    pub stage: &'static str,
    /// The reason's word, as events and metrics know it.
    pub code: String,
    /// How it is to be taken.
    pub severity: Severity,
    /// The reason, with its mend.
    pub words: String,
    /// Since when, where that is known.
    pub since: Option<TimeMs>,
    /// The attempt that runs or comes next, where there was one.
    pub attempt: Option<u32>,
    /// How much is done, where the policy says.
    pub percent: Option<u8>,
    /// The command that helps, where one does.
    pub command: Option<String>,
    /// What it is known from.
    pub source: Source,
}

/// What a row is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The cluster's objects as they are.
    Objects,
    /// The last event of a host.
    Event,
}

/// What a status says that no host does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Remark {
    /// Only a host can say what it waits for, and none has lately.
    NothingSaid,
    /// The host's next write is due.
    UnderWay,
    /// Claims of members that run are not enrolled.
    NotEnrolledYet(Vec<String>),
    /// The predecessor's finalizer holds a set that is being deleted.
    PredecessorHolds,
}

/// What is known of one ordinal.
enum Known<'a> {
    Reason(Reason),
    Said(&'a Saying),
    Remark(Remark),
}

/// The rows of every set of the namespace that concerns us, or of the one of that name.
///
/// # Errors
/// Where a set lacks what every set has.
pub fn status(scene: &Scene, only: Option<&str>) -> Result<(usize, Vec<Row>), crate::error::Error> {
    let sayings = Sayings::of(&scene.events);
    let mut subjects = scene.subjects()?;
    subjects.retain(|it| it.concerns_us() && only.is_none_or(|only| it.seen.set.name == only));
    let views = subjects.iter().map(|subject| Look::at(scene, subject, &sayings));
    Ok((subjects.len(), views.flat_map(|view| view.rows()).collect()))
}

struct Look<'a> {
    scene: &'a Scene,
    subject: &'a Subject,
    seen: &'a Seen,
    sayings: &'a Sayings,
    plan: Plan,
    asked: BTreeSet<Ordinal>,
}

impl<'a> Look<'a> {
    fn at(scene: &'a Scene, subject: &'a Subject, sayings: &'a Sayings) -> Self {
        let seen = &subject.seen;
        let asked = questions(seen, scene.now).into_iter().map(tidegate_core::Question::ordinal);
        let plan = plan(seen, &NO_ANSWERS, scene.now);
        Self { scene, subject, seen, sayings, plan, asked: asked.collect() }
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = self.of_set();
        for (ordinal, seat) in &self.seen.seats {
            let stage = stage(self.seen, *ordinal, seat, self.scene.now);
            if let Some(known) = self.known(*ordinal, seat, &stage) {
                let word = word(self.seen, *ordinal, &stage);
                let mut row = self.row(Some(*ordinal), word, known);
                row.since = row.since.or_else(|| self.began(*ordinal, seat));
                row.attempt = attempt(self.seen, seat);
                rows.push(row);
            }
        }
        rows
    }

    fn known(&self, ordinal: Ordinal, seat: &Seat, stage: &Stage<'_>) -> Option<Known<'a>> {
        let reported = self.reported(Some(ordinal)).map(Known::Reason);
        let is_asked = self.asked.contains(&ordinal);
        Some(match stage {
            Stage::Live if self.refused(ordinal) => self.due(ordinal),
            Stage::Live => return reported,
            Stage::Blocked(Reason::MemberThere) => {
                reported.unwrap_or(Known::Reason(Reason::MemberThere))
            }
            Stage::Ripe if is_asked => self.said_of_orphan(ordinal),
            Stage::Draining(drain) if is_asked => match safety::no_pod_delete(seat, drain) {
                Some(reason) => Known::Reason(reason),
                None => self.said_of_pod(ordinal, drain),
            },
            Stage::Sealed(drain) if is_asked => self.said_of_pod(ordinal, drain),
            Stage::Foreign(_) => return reported,
            Stage::Blocked(_)
            | Stage::Ripe
            | Stage::Draining(_)
            | Stage::Sealed(_)
            | Stage::Leaving(_)
            | Stage::GivingBack(_)
            | Stage::Condemned(_)
            | Stage::Ended(_)
            | Stage::Departing(_) => reported.unwrap_or_else(|| self.due(ordinal)),
        })
    }

    fn reported(&self, ordinal: Option<Ordinal>) -> Option<Reason> {
        let mut reports = self.plan.reports.iter();
        reports.find(|report| report.ordinal == ordinal).map(|report| report.reason.clone())
    }

    /// What a host told last of an orphan, where only a host could tell it.
    fn said_of_orphan(&self, ordinal: Ordinal) -> Known<'a> {
        let last = self.sayings.last(&self.seen.set.uid, Some(ordinal));
        let told = last.filter(|it| it.is_unseen()).map(Known::Said);
        told.unwrap_or(Known::Remark(Remark::NothingSaid))
    }

    /// What a host told last of this drain pod. What was told before it was made is about another.
    fn said_of_pod(&self, ordinal: Ordinal, drain: &Drain) -> Known<'a> {
        let last = self.sayings.last(&self.seen.set.uid, Some(ordinal));
        let told = last.filter(|it| it.at >= self.created(drain)).map(Known::Said);
        told.unwrap_or(Known::Remark(Remark::NothingSaid))
    }

    /// A write is due, and either it was refused or nobody has come to it yet.
    fn due(&self, ordinal: Ordinal) -> Known<'a> {
        let last = self.sayings.last(&self.seen.set.uid, Some(ordinal));
        match last.filter(|it| self.refused(ordinal) && it.is_unseen()) {
            Some(saying) => Known::Said(saying),
            None => Known::Remark(Remark::UnderWay),
        }
    }

    fn refused(&self, ordinal: Ordinal) -> bool {
        let last = self.sayings.last(&self.seen.set.uid, Some(ordinal));
        self.plan.steps.contains_key(&ordinal) && last.is_some_and(|it| it.code == "WriteRefused")
    }

    fn of_set(&self) -> Vec<Row> {
        let said = self.sayings.last(&self.seen.set.uid, None);
        let refused = said.filter(|it| it.code == "WriteRefused").map(Known::Said);
        let due = || refused.unwrap_or(Known::Remark(Remark::UnderWay));
        let mut known: Vec<Known<'a>> =
            self.reported(None).map(Known::Reason).into_iter().collect();
        let ours = matches!(self.seen.set.stewardship, Stewardship::Ours(_));
        known.extend(said.filter(|it| ours && it.is_about_policy()).map(Known::Said));
        known.extend(self.plan.on_set.as_ref().map(|_| due()));
        known.extend(self.unattended().map(Known::Remark));
        let holds = self.subject.holds();
        if holds.contains(&marks::PREDECESSOR_HOLD) && self.seen.set.life == Life::Terminating {
            known.push(Known::Remark(Remark::PredecessorHolds));
        }
        known.into_iter().map(|known| self.row(None, "set", known)).collect()
    }

    /// Claims that a host would enrol within a moment, so that whoever reads this knows that none does.
    fn unattended(&self) -> Option<Remark> {
        let enrols = |(ordinal, action): &(Ordinal, &Action)| {
            matches!(action, Action::Enrol { .. }) && !self.refused(*ordinal)
        };
        let due =
            self.plan.actions().filter(enrols).map(|(ordinal, _)| self.seen.set.member(ordinal));
        let members: BTreeSet<String> = due.collect();
        let ours = matches!(self.seen.set.stewardship, Stewardship::Ours(_));
        (ours && !members.is_empty()).then(|| Remark::NotEnrolledYet(members.into_iter().collect()))
    }

    fn row(&self, ordinal: Option<Ordinal>, stage: &'static str, known: Known<'_>) -> Row {
        let said = self.sayings.last(&self.seen.set.uid, ordinal);
        let since = |code: &str| said.filter(|it| it.code == code).map(|it| it.since);
        let (code, severity, words, since, source) = match &known {
            Known::Reason(reason) => {
                let code = reason.code();
                let words = reason.to_string();
                (code.to_owned(), reason.severity(), words, since(code), Source::Objects)
            }
            Known::Said(it) => {
                (it.code.clone(), it.severity, it.words.clone(), Some(it.since), Source::Event)
            }
            Known::Remark(remark) => {
                let code = remark.code();
                (code.to_owned(), Severity::Warning, remark.to_string(), None, Source::Objects)
            }
        };
        let percent = match known {
            Known::Said(saying) => saying.percent(),
            Known::Reason(_) | Known::Remark(_) => None,
        };
        let set = &self.seen.set;
        Row {
            namespace: set.namespace.clone(),
            set: set.name.clone(),
            command: command(&code, ordinal, stage).map(|(verb, what)| {
                format!("tidegate {verb} {} {what} -n {}", set.name, set.namespace)
            }),
            ordinal,
            stage,
            code,
            severity,
            words,
            since,
            attempt: None,
            percent,
            source,
        }
    }

    /// When the pod that holds the name was made, or the claims' deletion was asked for.
    fn began(&self, ordinal: Ordinal, seat: &Seat) -> Option<TimeMs> {
        let deleted = seat.claims.values().filter_map(|claim| claim.deleted_at).min();
        let drain = seat.drain().map(|drain| self.created(drain));
        let member = self.seen.set.member(ordinal);
        let leaving = self.scene.pods.get(&member).and_then(|pod| {
            pod.metadata
                .deletion_timestamp
                .as_ref()
                .and_then(|time| millis(time.0.as_millisecond()))
        });
        leaving.or(drain).or(deleted)
    }

    fn created(&self, drain: &Drain) -> TimeMs {
        let pod = self.scene.pods.get(&drain.name);
        let created = pod.and_then(ResourceExt::creation_timestamp);
        created.and_then(|time| millis(time.0.as_millisecond())).unwrap_or_default()
    }
}

impl Remark {
    const fn code(&self) -> &'static str {
        match self {
            Self::NothingSaid => "NothingSaid",
            Self::UnderWay => "UnderWay",
            Self::NotEnrolledYet(_) => "NotEnrolledYet",
            Self::PredecessorHolds => "PredecessorHolds",
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingSaid => write!(
                f,
                "nothing in the cluster stands in its way, and what the policy says of it no event tells: either no host runs, or it said so once and the event has gone, as events do after an hour; restart the host to have it said again"
            ),
            Self::UnderWay => write!(
                f,
                "the host's next write is due: where this stays so, no host runs, or it may not write here"
            ),
            Self::NotEnrolledYet(members) => write!(
                f,
                "the claims of {} are not enrolled, which a host does as soon as it sees them: see that one runs, that it looks at this namespace and that it may write here",
                members.join(", ")
            ),
            Self::PredecessorHolds => write!(
                f,
                "the set is being deleted and the finalizer {} of tidegate's predecessor holds it: nobody takes it off any more",
                marks::PREDECESSOR_HOLD
            ),
        }
    }
}

/// Where it stands, in one word.
fn word(seen: &Seen, ordinal: Ordinal, stage: &Stage<'_>) -> &'static str {
    match stage {
        Stage::Live => "live",
        Stage::Blocked(Reason::MemberThere) => "leaving",
        Stage::Blocked(Reason::ClaimLingers { .. }) => "drained",
        Stage::Blocked(_) | Stage::Ripe if seen.set.is_above(ordinal) => "orphan",
        Stage::Blocked(_) | Stage::Ripe => "kept",
        Stage::Draining(_) | Stage::Leaving(_) => "draining",
        Stage::Sealed(_) => "sealed",
        Stage::GivingBack(_) => "giving-back",
        Stage::Condemned(_) | Stage::Ended(_) => "drained",
        Stage::Departing(_) => "departing",
        Stage::Foreign(_) => "held",
    }
}

fn attempt(seen: &Seen, seat: &Seat) -> Option<u32> {
    let noted = || seat.record_of(&seen.set).map(|record| record.attempt);
    seat.drain().map(|drain| drain.attempt).or_else(noted)
}

/// The command that helps: its verb, and what it is about beside the set.
fn command(code: &str, ordinal: Option<Ordinal>, stage: &str) -> Option<(&'static str, String)> {
    let Some(ordinal) = ordinal else {
        let held = code == "UnderWay" || code == "PredecessorHolds";
        return held.then(|| ("release", "--set".to_owned()));
    };
    let verb = match (code, stage) {
        ("NotEnrolled" | "EnrolledElsewhere", _) => "adopt",
        ("PolicyFails" | "Held" | "BackingOff" | "PolicyRefuses", _) => "retry",
        ("StraySeal", _) | (_, "sealed" | "giving-back") => "release",
        ("UnderWay", "drained") => "release",
        _ => return None,
    };
    Some((verb, ordinal.to_string()))
}

fn millis(at: i64) -> Option<TimeMs> {
    u64::try_from(at).ok().map(TimeMs)
}
