//! The journal of a simulated passage: what a person reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use http::Method;
use k8s_openapi::api::events::v1::Event;
use serde_json::Value;
use tidegate_core::{Action, Answer, Ordinal, Plan, Reason, Seen, TimeMs, stage::stage};
use tidegate_miniature::{
    api::Asked,
    kind::Kind,
    object::{has_ended, is_deleted, name, text},
    refusal::Refusal,
    store::{Change, Store, What},
};

use super::{
    cluster::HOST,
    outline::{self, Show},
    words,
};
use crate::policy::Log;

/// How wide the column is that says who.
const WHO_CHARS: usize = 9;

/// What the UIDs of a simulated cluster begin with.
const UID_PREFIX: &str = "00000000-0000-4000-8000-00000000";

/// What admission says of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It would be admitted.
    Passes,
    /// It would not be.
    Refuses(String),
    /// It could not be asked.
    NotAsked(String),
}

/// What has happened so far, as lines.
pub struct Journal {
    text: String,
    began: TimeMs,
    /// The last change of the cluster that was told.
    told: u64,
    /// What was told last of what the host sees at each ordinal.
    seen: BTreeMap<Ordinal, String>,
    /// What the policy was asked last at each ordinal, and what it answered.
    said: BTreeMap<Ordinal, Vec<String>>,
    /// What the policy logged at each ordinal since the host last decided.
    heard: BTreeMap<Ordinal, Vec<String>>,
    /// Why the host did nothing more at each ordinal, when it last decided; none where it is about the set.
    reasons: BTreeMap<Option<Ordinal>, Reason>,
    /// The claims that the host has deleted, by name.
    condemned: BTreeSet<String>,
    /// Whether something was asked for that could not be.
    is_off: bool,
    /// Whether what the host meant to do last was refused.
    is_stuck: bool,
    quiet: bool,
    show: Show,
    /// The set's own template, against which pods are shown.
    template: Value,
    /// The drain pods that the host has created, as it sent them.
    created: Vec<Value>,
}

impl Journal {
    /// One that has nothing in it.
    #[must_use]
    pub const fn begin(began: TimeMs) -> Self {
        Self {
            text: String::new(),
            began,
            told: 0,
            seen: BTreeMap::new(),
            said: BTreeMap::new(),
            heard: BTreeMap::new(),
            reasons: BTreeMap::new(),
            condemned: BTreeSet::new(),
            is_off: false,
            is_stuck: false,
            quiet: true,
            show: Show::Difference,
            template: Value::Null,
            created: Vec::new(),
        }
    }

    /// From here on drain pods are shown so, against this template, and what the cluster does is told.
    pub fn open(&mut self, show: Show, template: Value) {
        (self.show, self.template, self.quiet) = (show, template, false);
    }

    /// The lines so far, which are taken out.
    #[must_use]
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// The drain pods that the host has created, as it sent them.
    #[must_use]
    pub fn created(&self) -> &[Value] {
        &self.created
    }

    /// Why the host did nothing more at this ordinal, when it last decided; where none is named, about the set.
    #[must_use]
    pub fn reason(&self, ordinal: Option<Ordinal>) -> Option<&Reason> {
        self.reasons.get(&ordinal)
    }

    /// Whether the host has deleted this claim.
    #[must_use]
    pub fn is_condemned(&self, claim: &str) -> bool {
        self.condemned.contains(claim)
    }

    /// Whether an event of the script could not be, or the host cannot do what it means to.
    #[must_use]
    pub const fn is_amiss(&self) -> bool {
        self.is_off || self.is_stuck
    }

    /// A line of its own.
    pub fn heading(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// An event of the script. What the policy says after it is told even where it said the same before.
    pub fn event(&mut self, now: TimeMs, text: &str) {
        self.said.clear();
        let since = now.0.saturating_sub(self.began.0);
        let _ = write!(self.text, "\n{} {text}\n", words::since(since));
    }

    /// An event of the script could not be.
    pub fn impossible(&mut self, why: &str) {
        self.is_off = true;
        self.line("script", &format!("this cannot be: {why}"));
    }

    /// Time has passed by itself, up to a moment at which somebody looks again.
    pub fn passed(&mut self, now: TimeMs) {
        let since = now.0.saturating_sub(self.began.0);
        let _ = writeln!(self.text, "{} time has passed", words::since(since));
    }

    /// What the cluster has done since this was asked last.
    pub fn cluster(&mut self, store: &Store) {
        let from = std::mem::replace(&mut self.told, store.revision());
        if self.quiet {
            return;
        }
        let lines: Vec<String> =
            store.between(from, store.revision()).filter_map(of_change).collect();
        for line in lines {
            self.line("cluster", &line);
        }
    }

    /// What the host asked the API server to write, and the answer.
    pub fn asked(&mut self, asked: &Asked, answer: Result<&Value, &Refusal>) {
        let (kind, body) = (words::kind(asked.place.kind), &asked.body);
        let found = asked.place.name.as_deref().unwrap_or_else(|| name(body));
        let what = match asked.method {
            Method::POST => format!("creates {kind} {found}"),
            Method::DELETE => {
                let how = match text(body, "/propagationPolicy") {
                    "" => String::new(),
                    policy => format!(" ({} deletion)", policy.to_lowercase()),
                };
                let (uid, version) = (
                    text(body, "/preconditions/uid"),
                    text(body, "/preconditions/resourceVersion"),
                );
                format!("deletes {kind} {found}{how}, only UID {uid} in version {version}")
            }
            _ => format!("patches {kind} {found}: {}", words::patch(body)),
        };
        let outcome = match answer {
            Ok(_) => String::new(),
            Err(refusal) => format!(", which is refused: {}", refusal.message()),
        };
        self.line("host", &format!("{what}{outcome}"));
        if answer.is_ok() && asked.method == Method::DELETE && asked.place.kind == Kind::Claim {
            self.condemned.insert(found.to_owned());
        }
        if asked.method == Method::POST && asked.place.kind == Kind::Pod {
            self.created.push(body.clone());
            for line in outline::of(body, &self.template, self.show).lines() {
                let _ = writeln!(self.text, "             {line}");
            }
        }
    }

    /// What the host saw, was answered and decided.
    pub fn decided(
        &mut self,
        seen: &Seen,
        answers: &BTreeMap<Ordinal, Answer>,
        plan: &Plan,
        now: TimeMs,
    ) {
        for (ordinal, seat) in seen.seats.iter().rev() {
            let Some(sight) = words::sight(seen, *ordinal, seat, now) else {
                self.seen.remove(ordinal);
                continue;
            };
            if self.seen.insert(*ordinal, sight.clone()).as_ref() != Some(&sight) {
                self.line("host sees", &format!("{}: {sight}", seen.set.member(*ordinal)));
            }
        }
        for (ordinal, answer) in answers.iter().rev() {
            let Some(seat) = seen.seats.get(ordinal) else {
                continue;
            };
            let member = seen.set.member(*ordinal);
            let question = words::question(&stage(seen, *ordinal, seat, now), &member);
            let mut said = self.heard.remove(ordinal).unwrap_or_default();
            said.push(format!("{question}: {}", words::answer(answer, now)));
            if self.said.get(ordinal) != Some(&said) {
                for line in &said {
                    self.line("policy", line);
                }
                self.said.insert(*ordinal, said);
            }
        }
        self.heard.clear();
        for (ordinal, action) in plan.actions() {
            if let (Action::DeleteClaim(condemned), Some(seat)) = (action, seen.seats.get(&ordinal))
            {
                let proof = words::proof(condemned, seat);
                self.line("proof", &proof);
            }
        }
        self.remember(plan);
    }

    /// What the policy logged while it was asked about an ordinal; it is told with the answer.
    pub fn heard(&mut self, ordinal: Ordinal, log: &Log) {
        let lines = log.lines.iter().map(|it| format!("logs {}: {}", it.level, it.message));
        let dropped = (log.dropped > 0).then(|| format!("logs {} messages more", log.dropped));
        self.heard.insert(ordinal, lines.chain(dropped).collect());
    }

    /// What the host means to wait for.
    pub fn remember(&mut self, plan: &Plan) {
        self.reasons.clear();
        for report in &plan.reports {
            self.reasons.insert(report.ordinal, report.reason.clone());
        }
    }

    /// What the host told people.
    pub fn told(&mut self, event: &Event) {
        let of = |field: &Option<String>| field.clone().unwrap_or_default();
        let (severity, code) = (of(&event.type_), of(&event.reason));
        self.line("event", &format!("{severity} {code}: {}", of(&event.note)));
    }

    /// What the admission of a living cluster says of the drain pod that was created last.
    pub fn admission(&mut self, pod: &str, said: &Admission) {
        let words = match said {
            Admission::Passes => format!("the living cluster would admit pod {pod}"),
            Admission::Refuses(why) => {
                self.is_off = true;
                format!("the living cluster would refuse pod {pod}: {why}")
            }
            Admission::NotAsked(why) => {
                format!("whether the living cluster would admit pod {pod} is not known: {why}")
            }
        };
        self.line("admission", &words);
    }

    /// The host looks at everything anew.
    pub const fn looks(&mut self) {
        self.is_stuck = false;
    }

    /// A pass of the host failed.
    pub fn failed(&mut self, error: &crate::error::Error) {
        self.is_stuck = true;
        self.line("host", &format!("breaks off: {error}"));
    }

    fn line(&mut self, who: &str, what: &str) {
        // UIDs of the simulated cluster differ in their ends alone.
        let what = what.replace(UID_PREFIX, "…");
        let _ = writeln!(self.text, "  {who:<WHO_CHARS$}  {what}");
    }
}

/// What nobody would miss is left out: statuses that go with a phase, owners, and what the host did itself.
fn of_change(change: &Change) -> Option<String> {
    let (object, before) = (&change.object, change.before.as_deref());
    let what = format!("{} {}", words::kind(change.key.kind), change.key.name);
    let is_told = matches!(change.key.kind, Kind::Pod | Kind::Claim | Kind::Set);
    if !is_told {
        return None;
    }
    match change.what {
        What::Deleted => Some(format!("{what} is gone")),
        What::Created if change.by == HOST => None,
        What::Created => Some(format!("{what} is made by {}", change.by)),
        What::Updated => {
            let was_deleted = before.is_some_and(is_deleted);
            if is_deleted(object) && !was_deleted {
                let by = &change.by;
                return (by != HOST).then(|| format!("{what} is being deleted by {by}"));
            }
            let phase = |object: &Value| text(object, "/status/phase").to_owned();
            let is_other = before.is_some_and(|before| phase(before) != phase(object));
            let is_start = change.key.kind == Kind::Pod && !has_ended(object);
            is_other.then(|| {
                if is_start { format!("{what} runs") } else { format!("{what}: {}", ended(object)) }
            })
        }
    }
}

fn ended(object: &Value) -> String {
    let phase = text(object, "/status/phase");
    let first = object.pointer("/status/containerStatuses/0/state/terminated");
    match first {
        Some(end) => format!("{phase}, exit code {}", end["exitCode"]),
        None => phase.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        observe::sample::{DRAINED, Sample},
        policy::LogLevel,
    };

    #[test]
    fn what_the_policy_logs_is_told_with_its_answer_and_once_as_long_as_it_stays_the_same() {
        let seen = Sample::sealed().seen();
        let answers = BTreeMap::from([(DRAINED, Answer::Complete("moved".to_owned()))]);
        let mut journal = Journal::begin(TimeMs(0));
        journal.open(Show::Difference, Value::Null);
        let mut decide = |message: &str| {
            let mut log = Log::default();
            log.push(LogLevel::Warn, message);
            journal.heard(DRAINED, &log);
            journal.decided(&seen, &answers, &Plan::default(), TimeMs(0));
            let told = journal.take();
            let of_policy = told.lines().filter_map(|line| line.trim().strip_prefix("policy "));
            of_policy.map(|line| line.trim().to_owned()).collect::<Vec<_>>()
        };
        let judged = "judge web-1, under the seal: complete: moved".to_owned();
        assert_eq!(decide("2 shards are left"), ["logs warn: 2 shards are left", &judged]);
        assert_eq!(decide("2 shards are left"), Vec::<String>::new());
        assert_eq!(decide("1 shard is left"), ["logs warn: 1 shard is left", &judged]);
    }
}
