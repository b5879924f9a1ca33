//! What is to happen later, in the order of its time; what is due at the same time keeps the order in which it was asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Things of type `T` with the time at which each is due.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    due: BTreeMap<(Instant, u64), T>,
    count: u64,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { due: BTreeMap::new(), count: 0 }
    }
}

impl<T> Timers<T> {
    /// Adds `what`, due `after` this time has passed.
    pub(crate) fn add(&mut self, after: Duration, what: T) {
        self.count += 1;
        self.due.insert((Instant::now() + after, self.count), what);
    }

    /// When the next one is due.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next one that is due at `now`.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<T> {
        let entry = self.due.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}
