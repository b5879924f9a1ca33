//! Which call is which. Two runs of one passage make the same calls in another order and number, because watches interleave; so a call is
//! known by what it asks, what for, and after which write, and of several of them the first is meant.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::proxy::Call;

/// What is said to be the last write before there was any.
const AT_THE_START: &str = "the start";

/// How many objects a page of a watch's first list brings; the lists that a pass reads are longer.
const PAGE_OF_A_WATCH: &str = "limit=100";

/// What tells the writes to one object apart: a text in the body, and what it is for.
const MEANINGS: &[(&str, &str)] = &[
    ("tidegate.dev/drained", "unseal"),
    ("$deleteFromPrimitiveList/finalizers\":[\"tidegate.dev/seal", "unseal"),
    ("$deleteFromPrimitiveList/finalizers\":[\"tidegate.dev/drain-on-delete", "let go of"),
    ("given-back", "give back"),
    ("\"finalizers\":[\"tidegate.dev/seal", "seal"),
    ("\"finalizers\":[\"tidegate.dev/drain-on-delete", "hold"),
    ("tidegate.dev/fenced", "fence"),
    ("tidegate.dev/record", "record"),
    ("tidegate.dev/set-uid", "enrol"),
    ("tidegate.dev/touched", "touch"),
];

/// The calls of one run so far, by their names.
#[derive(Default)]
pub(crate) struct Journal(Mutex<Calls>);

struct Calls {
    counts: BTreeMap<String, u64>,
    order: Vec<String>,
    after: String,
    latest: String,
    latest_at: Instant,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            counts: BTreeMap::new(),
            order: Vec::new(),
            after: AT_THE_START.to_owned(),
            latest: String::new(),
            latest_at: Instant::now(),
        }
    }
}

impl Journal {
    /// Writes a call down, as it comes.
    pub(crate) fn note(&self, call: &Call) {
        let mut calls = self.calls();
        let name = name(call, &calls.after);
        *calls.counts.entry(name.clone()).or_insert(0) += 1;
        if !calls.order.contains(&name) {
            calls.order.push(name.clone());
        }
        if !is_watch(&name) {
            calls.latest_at = Instant::now();
        }
        if is_effective(&name) {
            // Claims are enrolled in whichever order the watches show them.
            calls.after =
                if name.starts_with("enrol ") { "enrol".to_owned() } else { name.clone() };
        }
        calls.latest = name;
    }

    /// Whether the call that was written down last is the first of this name.
    pub(crate) fn is_first(&self, name: &str) -> bool {
        let calls = self.calls();
        calls.latest == name && calls.counts.get(name) == Some(&1)
    }

    /// Whether the call that was written down last has this name.
    pub(crate) fn is_latest(&self, name: &str) -> bool {
        self.calls().latest == name
    }

    /// How often there was a call of this name.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.calls().counts.get(name).copied().unwrap_or_default()
    }

    /// The names of all calls, each where it came first.
    pub(crate) fn names(&self) -> Vec<String> {
        self.calls().order.clone()
    }

    /// For how long no call came but watches.
    pub(crate) fn quiet_for(&self) -> Duration {
        self.calls().latest_at.elapsed()
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a call of this name waits for changes.
pub(crate) fn is_watch(name: &str) -> bool {
    name.starts_with("watch ")
}

/// Whether a call of this name changes something other than what people are told.
pub(crate) fn is_effective(name: &str) -> bool {
    !["get ", "list ", "watch ", "tell "].iter().any(|verb| name.starts_with(verb))
}

/// The name as a part of a test's name.
pub(crate) fn slug(name: &str) -> String {
    name.replace(' ', "_")
}

fn name(call: &Call, after: &str) -> String {
    let what = call.to_string();
    let (verb, about) = what.split_once(' ').unwrap_or((&what, ""));
    let subject = match about.split_once(' ') {
        Some(("events", _)) => format!("of {}", told(call)),
        Some(_) | None => about.to_owned(),
    };
    match verb {
        "create" if about.starts_with("events ") => format!("tell {subject}"),
        "patch" => format!("{} {subject}", meaning(call)),
        "watch" => format!("watch {subject}{}", chosen(call)),
        "list" if call.query().contains(PAGE_OF_A_WATCH) => {
            format!("list {subject}{} for the watch", chosen(call))
        }
        "get" if about.starts_with("configmaps ") => "get configmaps of the policy".to_owned(),
        "get" if about.starts_with("namespaces ") => "get namespaces of the set".to_owned(),
        "get" | "list" => format!("{verb} {subject} after {after}"),
        _ => what,
    }
}

/// Which pods: the members, or the drain pods alone.
fn chosen(call: &Call) -> &'static str {
    match call.query() {
        query if query.contains("set-uid") => " that drain",
        query if query.contains("pod-name") => " of sets",
        _ => "",
    }
}

fn meaning(call: &Call) -> &'static str {
    let found = MEANINGS.iter().find(|(text, _)| call.says(text));
    found.map_or("patch", |(_, meaning)| *meaning)
}

/// The reason that an event gives.
fn told(call: &Call) -> String {
    let event: Value = serde_json::from_str(call.body()).unwrap_or_default();
    event["reason"].as_str().unwrap_or_default().to_owned()
}
