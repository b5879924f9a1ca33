//! Tells people: an event on the set, with the claim beside it, for every change and for every reason to wait; and the log, at `info` for
//! changes alone. Telling never changes what is done.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter as Source},
};
use tidegate_core::{Change, Ordinal, Plan, Reason, Seen, Severity, name};
use tokio::sync::mpsc;

use crate::{error::Error, memory::Memory};

/// How many events may wait to be sent. What comes faster than the API server takes it is dropped with a line in the log: events inform,
/// and memory is bounded.
const QUEUE_MAX: usize = 1_024;
/// The pause between two events of this host, in milliseconds: at most 20 a second, as client-go's own limit for a controller.
const PAUSE_MS: u64 = 50;
/// How long one event may take, in seconds.
const DEADLINE_SECS: u64 = 5;
/// The longest note: the API server's own limit is 1 kB.
const NOTE_MAX_BYTES: usize = 1_000;

/// Tells people.
pub struct Reporter {
    queue: mpsc::Sender<Telling>,
}

struct Telling {
    event: Event,
    about: ObjectReference,
}

impl Reporter {
    /// A reporter that sends events through this client until the process ends.
    #[must_use]
    pub fn start(client: Client) -> Self {
        let (queue, tellings) = mpsc::channel(QUEUE_MAX);
        let instance = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
        let source = Source { controller: "tidegate.dev/tidegate".to_owned(), instance };
        tokio::spawn(send(Recorder::new(client, source), tellings));
        Self { queue }
    }

    /// Tells what was done.
    pub fn changed(&self, seen: &Seen, ordinal: Ordinal, change: &Change) {
        let set = &seen.set;
        let note = format!("{}: {change}", set.member(ordinal));
        tracing::info!(namespace = set.namespace, set = set.name, %ordinal, change = change.code(), "{change}");
        self.tell(seen, Some(ordinal), change.severity(), change.code(), note);
    }

    /// Tells why nothing more is done, where it was not told already.
    pub fn waits(&self, memory: &Memory, seen: &Seen, plan: &Plan) {
        let still: BTreeSet<_> =
            plan.reports.iter().map(|report| (report.ordinal, report.reason.code())).collect();
        memory.only_still_true(&seen.set.uid, &still);
        for report in &plan.reports {
            self.wait(memory, seen, report.ordinal, &report.reason);
        }
    }

    /// Tells that the API server refused a write, in its own words. That the cluster had changed since it was read is no news.
    pub fn refused(&self, memory: &Memory, seen: &Seen, ordinal: Ordinal, error: &Error) {
        if let Error::Refused { .. } = error
            && !error.is_conflict()
        {
            let reason = Reason::WriteRefused { what: error.to_string() };
            self.wait(memory, seen, Some(ordinal), &reason);
        }
    }

    fn wait(&self, memory: &Memory, seen: &Seen, ordinal: Option<Ordinal>, reason: &Reason) {
        let set = &seen.set;
        let note = match ordinal {
            Some(ordinal) => format!("{}: {reason}", set.member(ordinal)),
            None => reason.to_string(),
        };
        if memory.is_news(&set.uid, ordinal, reason.code(), &note) {
            tracing::debug!(
                namespace = set.namespace,
                set = set.name,
                reason = reason.code(),
                "{note}"
            );
            self.tell(seen, ordinal, reason.severity(), reason.code(), note);
        }
    }

    fn tell(
        &self,
        seen: &Seen,
        ordinal: Option<Ordinal>,
        severity: Severity,
        code: &str,
        note: String,
    ) {
        let event = Event {
            type_: match severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: code.to_owned(),
            note: Some(cut(note)),
            action: "Drain".to_owned(),
            secondary: ordinal.and_then(|ordinal| claim(seen, ordinal)),
        };
        let set = &seen.set;
        let about = ObjectReference {
            api_version: Some("apps/v1".to_owned()),
            kind: Some("StatefulSet".to_owned()),
            name: Some(set.name.clone()),
            namespace: Some(set.namespace.clone()),
            uid: Some(set.uid.clone()),
            ..ObjectReference::default()
        };
        if self.queue.try_send(Telling { event, about }).is_err() {
            tracing::warn!(
                namespace = set.namespace,
                set = set.name,
                "an event was dropped: too many wait to be sent"
            );
        }
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

async fn send(recorder: Recorder, mut tellings: mpsc::Receiver<Telling>) {
    while let Some(Telling { event, about }) = tellings.recv().await {
        let sent = tokio::time::timeout(
            Duration::from_secs(DEADLINE_SECS),
            recorder.publish(&event, &about),
        );
        match sent.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("an event was not taken: {error}"),
            Err(_) => tracing::warn!("an event was not taken in {DEADLINE_SECS} s"),
        }
        tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
    }
}

fn cut(mut note: String) -> String {
    if note.len() > NOTE_MAX_BYTES {
        let end = (0..=NOTE_MAX_BYTES - 3).rev().find(|at| note.is_char_boundary(*at));
        note.truncate(end.unwrap_or_default());
        note.push('…');
    }
    note
}
