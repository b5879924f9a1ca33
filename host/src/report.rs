//! Tells people: an event on the set, with the claim beside it, for every change and for every reason to wait; and the log, at `info` for
//! changes alone. Telling never changes what is done.

use std::{collections::BTreeSet, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tidegate_core::{Change, Ordinal, Plan, Reason, Seen, Severity, name};
use tokio::sync::mpsc;

use crate::{clock, cluster::Effect, error::Error, memory::Memory};

/// How many events may wait to be sent. What comes faster than the API server takes it is dropped with a line in the log: events inform,
/// and memory is bounded. Why nothing is done is told again when there is room.
const QUEUE_MAX: usize = 4_096;
/// The pause between two events of this host, in milliseconds: at most 50 a second. Five drains a second, as many as the garbage collector of a
/// cluster bears, have three events each.
const PAUSE_MS: u64 = 20;
/// How many events may be on their way at once: a busy API server answers one in 100 ms.
const AT_ONCE_MAX: usize = 5;
/// How often one event is sent where it is not taken: half a minute of an API server that rolls out, together with the pauses.
const ATTEMPTS_MAX: u32 = 4;
/// The pause before the second attempt; each one after it is four times as long.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long one event may take, in seconds.
const DEADLINE_SECS: u64 = 5;
/// The longest note: the API server's own limit is 1 kB.
const NOTE_MAX_BYTES: usize = 1_000;

/// The reason of an event about what a dry run leaves undone.
const DRY_RUN: &str = "DryRun";

/// Who tells, in the words of an event.
pub const CONTROLLER: &str = "tidegate.dev/tidegate";

/// Whether everything that was to be told is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Told {
    /// It is.
    All,
    /// Too many events wait to be sent.
    NotAll,
}

/// Tells people.
pub struct Reporter {
    queue: mpsc::Sender<Event>,
    instance: String,
    effect: Effect,
}

impl Reporter {
    /// A reporter that sends events through this client until the process ends.
    #[must_use]
    pub fn start(client: Client, effect: Effect) -> Self {
        let (reporter, events) = Self::unsent(effect);
        tokio::spawn(send(client, events));
        reporter
    }

    /// A reporter, and the events that it makes, for somebody else to show.
    #[must_use]
    pub fn unsent(effect: Effect) -> (Self, mpsc::Receiver<Event>) {
        let (queue, events) = mpsc::channel(QUEUE_MAX);
        let name = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
        (Self { queue, instance: name.unwrap_or_else(|| "tidegate".to_owned()), effect }, events)
    }

    /// Tells what was done, or would have been.
    pub fn changed(&self, memory: &Memory, seen: &Seen, ordinal: Option<Ordinal>, change: &Change) {
        match self.effect {
            Effect::Real => self.done(seen, ordinal, change),
            Effect::DryRun => self.would_do(memory, seen, ordinal, change),
        }
    }

    fn done(&self, seen: &Seen, ordinal: Option<Ordinal>, change: &Change) {
        let set = &seen.set;
        let note = note(seen, ordinal, change);
        tracing::info!(namespace = set.namespace, set = set.name, change = change.code(), "{note}");
        // That it was done shows in the objects.
        let _ = self.tell(seen, ordinal, change.severity(), change.code(), note);
    }

    /// The same plan comes of every look, and is told once.
    fn would_do(&self, memory: &Memory, seen: &Seen, ordinal: Option<Ordinal>, change: &Change) {
        let set = &seen.set;
        let what = format!("dry run, nothing is changed; this would be done: {change}");
        let note = note(seen, ordinal, &what);
        if memory.is_news(&set.uid, ordinal, DRY_RUN, &note) {
            tracing::info!(
                namespace = set.namespace,
                set = set.name,
                change = change.code(),
                "{note}"
            );
            let _ = self.tell(seen, ordinal, change.severity(), DRY_RUN, note);
        }
    }

    /// Tells why nothing more is done, where it was not told already.
    pub fn waits(&self, memory: &Memory, seen: &Seen, plan: &Plan) -> Told {
        let reported = plan.reports.iter().map(|report| (report.ordinal, report.reason.code()));
        let of_ordinals = plan.steps.keys().map(|ordinal| (Some(*ordinal), DRY_RUN));
        let dry = of_ordinals.chain(plan.on_set.iter().map(|_| (None, DRY_RUN)));
        let still: BTreeSet<_> = reported.chain(dry).collect();
        memory.only_still_true(&seen.set.uid, &still);
        let told = plan.reports.iter().map(|it| self.wait(memory, seen, it.ordinal, &it.reason));
        told.fold(Told::All, Told::and)
    }

    /// Tells that the API server refused a write, in its own words. That the cluster had changed since it was read is no news, unless it goes on
    /// being the answer.
    pub fn refused(&self, memory: &Memory, seen: &Seen, ordinal: Option<Ordinal>, error: &Error) {
        let passes = error.is_conflict() && !memory.has_lasting_conflict(&seen.set.uid);
        if let (Error::Refused { .. }, false) = (error, passes) {
            let reason = Reason::WriteRefused { what: error.to_string() };
            // The write is tried again, and told again where it is refused again.
            let _ = self.wait(memory, seen, ordinal, &reason);
        }
    }

    fn wait(
        &self,
        memory: &Memory,
        seen: &Seen,
        ordinal: Option<Ordinal>,
        reason: &Reason,
    ) -> Told {
        let (set, code) = (&seen.set, reason.code());
        let note = note(seen, ordinal, reason);
        if !memory.is_news(&set.uid, ordinal, code, &note) {
            return Told::All;
        }
        tracing::debug!(namespace = set.namespace, set = set.name, reason = code, "{note}");
        let told = self.tell(seen, ordinal, reason.severity(), code, note);
        if told == Told::NotAll {
            memory.was_not_told(&set.uid, ordinal, code);
        }
        told
    }

    fn tell(
        &self,
        seen: &Seen,
        ordinal: Option<Ordinal>,
        severity: Severity,
        code: &str,
        note: String,
    ) -> Told {
        let set = &seen.set;
        let regarding = ObjectReference {
            api_version: Some("apps/v1".to_owned()),
            kind: Some("StatefulSet".to_owned()),
            name: Some(set.name.clone()),
            namespace: Some(set.namespace.clone()),
            uid: Some(set.uid.clone()),
            ..ObjectReference::default()
        };
        let at = clock::timestamp();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{:x}", set.name, at.as_nanosecond())),
                namespace: Some(set.namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(at)),
            type_: Some(match severity {
                Severity::Normal => "Normal".to_owned(),
                Severity::Warning => "Warning".to_owned(),
            }),
            reason: Some(code.to_owned()),
            note: Some(cut(note)),
            action: Some("Drain".to_owned()),
            regarding: Some(regarding),
            related: ordinal.and_then(|ordinal| claim(seen, ordinal)),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        };
        if self.queue.try_send(event).is_err() {
            tracing::warn!(
                namespace = set.namespace,
                set = set.name,
                "an event was dropped: too many wait to be sent"
            );
            return Told::NotAll;
        }
        Told::All
    }
}

impl Told {
    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, Self::All) => Self::All,
            (Self::NotAll, _) | (_, Self::NotAll) => Self::NotAll,
        }
    }
}

fn note(seen: &Seen, ordinal: Option<Ordinal>, what: &dyn std::fmt::Display) -> String {
    match ordinal {
        Some(ordinal) => format!("{}: {what}", seen.set.member(ordinal)),
        None => what.to_string(),
    }
}

/// The claim that the ordinal's drain pods are owned by, or would be.
fn claim(seen: &Seen, ordinal: Ordinal) -> Option<ObjectReference> {
    let set = &seen.set;
    let template = set.templates.first()?;
    let uid = seen.seats.get(&ordinal)?.claims.get(template).map(|claim| claim.uid.clone());
    Some(ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        name: Some(name::claim(template, &set.name, ordinal)),
        namespace: Some(set.namespace.clone()),
        uid,
        ..ObjectReference::default()
    })
}

/// An event is sent as a new object, never counted into an older one: what is said twice is held back before it comes here, and an older
/// event would keep its own words.
async fn send(client: Client, events: mpsc::Receiver<Event>) {
    let paced = futures::stream::unfold((events, 0), |(mut events, pause_ms)| async move {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        Some((events.recv().await?, (events, PAUSE_MS)))
    });
    paced.for_each_concurrent(AT_ONCE_MAX, |event| send_one(&client, event, AGAIN_AFTER)).await;
}

/// Sends an event, several times where it is not taken: what it tells is told once, and stands for as long as it is true.
async fn send_one(client: &Client, event: Event, mut pause: Duration) {
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
    for attempt in 1..=ATTEMPTS_MAX {
        let params = PostParams::default();
        let sent = api.create(&params, &event);
        let why = match tokio::time::timeout(Duration::from_secs(DEADLINE_SECS), sent).await {
            Ok(Ok(_)) => return,
            // An attempt before this one was taken, and its answer lost.
            Ok(Err(kube::Error::Api(status))) if status.is_already_exists() => return,
            Ok(Err(kube::Error::Api(status))) if is_final(status.code) => {
                tracing::warn!("an event was not taken: {}", status.message);
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {DEADLINE_SECS} s"),
        };
        tracing::warn!(attempt, "an event was not taken: {why}");
        if attempt < ATTEMPTS_MAX {
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(4);
        }
    }
}

/// Whether the same event would be refused again: its namespace is gone or going, or it is not as the API server wants it.
const fn is_final(status: u16) -> bool {
    matches!(status, 400..=428 | 430..=499)
}

fn cut(mut note: String) -> String {
    if note.len() > NOTE_MAX_BYTES {
        let end = (0..=NOTE_MAX_BYTES - 3).rev().find(|at| note.is_char_boundary(*at));
        note.truncate(end.unwrap_or_default());
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests;
