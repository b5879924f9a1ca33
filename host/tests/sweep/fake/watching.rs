//! A watch: the changes of a collection as they are made, one line each.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::stream;
use serde_json::{Value, json};
use tidegate_miniature::kind::Kind;
use tidegate_miniature::refusal::Refusal;
use tidegate_miniature::request::Form;
use tidegate_miniature::selector::Selector;
use tidegate_miniature::store::{Change, What};
use tokio::time::{Instant, sleep_until};

use super::Shared;

/// How long a watch lasts that does not say so itself.
const LASTS: Duration = Duration::from_secs(1_800);

/// What is watched.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    /// The kind.
    pub(crate) kind: Kind,
    /// The namespace, where it is one.
    pub(crate) namespace: Option<String>,
    /// Which of its objects.
    pub(crate) selector: Selector,
    /// How objects are told.
    pub(crate) form: Form,
    /// The version to go on from. Without one, what is there is told first.
    pub(crate) since: Option<u64>,
    /// How long it lasts.
    pub(crate) secs: Option<u64>,
    /// Whether its end is told with the version that it has reached.
    pub(crate) bookmarks: Bookmarks,
    /// How late changes are shown.
    pub(crate) delay: Duration,
}

/// Whether a watch tells the version that it has reached where nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bookmarks {
    Told,
    NotTold,
}

/// Where a watch is.
struct Place {
    reached: u64,
    ends_at: Instant,
    is_over: bool,
    told: tokio::sync::watch::Receiver<u64>,
}

/// What a watch sees.
enum Look {
    Lines(String),
    /// Nothing that was not told, and nothing more before this time unless somebody changes something.
    Nothing {
        until: Instant,
    },
}

/// The body of the answer: it goes on until the watch ends.
pub(crate) fn body(shared: Arc<Shared>, watch: Watch) -> Body {
    let told = shared.told();
    let (reached, first) = begin(&shared, &watch);
    let lasts = watch.secs.map_or(LASTS, Duration::from_secs);
    let place = Place { reached, ends_at: Instant::now() + lasts, is_over: false, told };
    let rest = stream::unfold((shared, watch, place), |(shared, watch, mut place)| async move {
        let lines = next(&shared, &watch, &mut place).await?;
        Some((lines, (shared, watch, place)))
    });
    let first = stream::iter((!first.is_empty()).then_some(first));
    let lines = futures::StreamExt::chain(first, rest);
    Body::from_stream(futures::StreamExt::map(lines, Ok::<_, std::convert::Infallible>))
}

/// Where the watch begins, and what it tells first.
fn begin(shared: &Shared, watch: &Watch) -> (u64, String) {
    let state = shared.lock();
    match watch.since {
        Some(since) => (since, String::new()),
        None => {
            let reached = state.store.revision_before(watch.delay);
            let there = state.store.list_at(reached, watch.kind, watch.namespace.as_deref());
            let there = there.iter().filter(|object| watch.selector.matches(object));
            let lines = there.map(|object| line("ADDED", &watch.form.one(object)));
            (reached, lines.collect())
        }
    }
}

/// The next lines; nothing when the watch is over.
async fn next(shared: &Shared, watch: &Watch, place: &mut Place) -> Option<String> {
    loop {
        if place.is_over {
            return None;
        }
        place.told.borrow_and_update();
        let hidden_until = match look(shared, watch, place) {
            Look::Lines(lines) => return Some(lines),
            Look::Nothing { until } => until,
        };
        tokio::select! {
            biased;
            () = sleep_until(place.ends_at) => {
                place.is_over = true;
                return (watch.bookmarks == Bookmarks::Told).then(|| bookmark(watch, place.reached));
            }
            told = place.told.changed() => told.ok()?,
            () = sleep_until(hidden_until) => {}
        }
    }
}

/// What has changed since the watch looked last.
fn look(shared: &Shared, watch: &Watch, place: &mut Place) -> Look {
    let state = shared.lock();
    if state.store.is_forgotten(place.reached) {
        place.is_over = true;
        let (reached, now) = (place.reached, state.store.revision());
        let gone = Refusal::expired(format!("too old resource version: {reached} ({now})"));
        return Look::Lines(line("ERROR", &gone.status()));
    }
    let last = state.store.revision_before(watch.delay).max(place.reached);
    let changes = state.store.between(place.reached, last);
    let lines: String = changes.filter_map(|change| told(watch, change)).collect();
    place.reached = last;
    if !lines.is_empty() {
        return Look::Lines(lines);
    }
    let hidden = state.store.between(last, u64::MAX).next();
    let now = state.store.now();
    let shown_in = |change: &Change| {
        // What is not hidden any more has no time to wait for.
        let hidden_for = Duration::try_from(now.duration_since(change.at)).unwrap_or_default();
        watch.delay.saturating_sub(hidden_for)
    };
    let until = hidden.map(|change| Instant::now() + shown_in(change));
    Look::Nothing { until: until.unwrap_or(place.ends_at) }
}

/// A change as this watch tells it: what is not chosen any more is gone for it.
fn told(watch: &Watch, change: &Change) -> Option<String> {
    let is_here = change.key.kind == watch.kind
        && watch.namespace.as_ref().is_none_or(|name| *name == change.key.namespace);
    if !is_here {
        return None;
    }
    let was = change.before.as_ref().is_some_and(|before| watch.selector.matches(before));
    let is = change.what != What::Deleted && watch.selector.matches(&change.object);
    let word = match (was, is) {
        (false, true) => "ADDED",
        (true, true) => "MODIFIED",
        (true, false) => "DELETED",
        (false, false) => return None,
    };
    Some(line(word, &watch.form.one(&change.object)))
}

fn bookmark(watch: &Watch, reached: u64) -> String {
    let object = json!({
        "kind": watch.kind.word(),
        "apiVersion": watch.kind.api_version(),
        "metadata": { "resourceVersion": reached.to_string(), "creationTimestamp": null },
    });
    line("BOOKMARK", &object)
}

fn line(word: &str, object: &Value) -> String {
    format!("{}\n", json!({ "type": word, "object": object }))
}
