//! Who may act, decided by client-go's rules from what was seen of the lease and when it was seen. Without a clock and without a client, so that
//! every order of events can be tried.
//!
//! Invariant: two clocks are never compared. A lease counts as expired when it was not seen to change for its duration, by this host's
//! own monotonic clock; what its times say is only compared for being another than before.
//! Invariant: a tenure begins once and ends once. What a host that lost the lease still has in hand ends with its process.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::Timing;

/// What the lease says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// Who holds it; empty where it was released.
    pub holder: String,
    /// How long it is to be respected, in seconds.
    pub duration_secs: Option<i32>,
    /// How often it went from one holder to another.
    pub transitions: i32,
    /// When its holder took it, by that host's clock.
    pub acquired: Option<Timestamp>,
    /// When its holder renewed it, by that host's clock.
    pub renewed: Option<Timestamp>,
}

/// What a reading or the watch showed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// There is none of that name.
    Missing,
    /// The hosts' own.
    Ours(Record),
    /// Some other program's, which is never written.
    Foreign {
        /// Who holds it.
        holder: String,
    },
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read the lease.
    Read,
    /// Write the lease. It must fail where the lease is not as it was last found.
    Write(Draft),
    /// Do nothing until then.
    Rest(Duration),
    /// Do nothing until the lease changes, and no longer than until then.
    Watch(Option<Duration>),
    /// Stop acting at once, and for good.
    Lost(Loss),
}

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Draft {
    /// A new lease, held by this host.
    Create,
    /// The lease of another, or of nobody.
    Take,
    /// This host's own lease.
    Renew,
}

/// Why the lease is lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// No renewal was taken in time.
    #[error("no renewal of it was taken in {} s", .0.as_secs())]
    NotRenewed(Duration),
    /// It says that another host holds it, or that nobody does.
    #[error("it is held by {0:?}")]
    Taken(String),
    /// Another program has put its own in the place.
    #[error("it is another program's, held by {0:?}")]
    Replaced(String),
}

/// Why it is not known what the lease says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It was not as it had been found.
    Conflict,
    /// A request failed; where it was a write, it may have been carried out.
    Failed,
    /// The watch ended.
    Unwatched,
}

/// The state of the election, as one host sees it. Times are readings of its monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Election {
    me: String,
    timing: Timing,
    /// What was found last; nothing where it is in doubt.
    found: Option<Found>,
    /// The record that was seen last, and when it stops being respected.
    last: Option<Record>,
    free_at: Duration,
    held_until: Option<Duration>,
    renew_at: Duration,
    not_before: Duration,
    /// Whether a doubt was answered by reading at once, since the lease was last seen to change.
    hurried: bool,
}

impl Election {
    /// A host that knows nothing yet. No two hosts may bear the same identity, and neither may one host before and after a restart.
    #[must_use]
    pub const fn new(me: String, timing: Timing) -> Self {
        Self {
            me,
            timing,
            found: None,
            last: None,
            free_at: Duration::ZERO,
            held_until: None,
            renew_at: Duration::ZERO,
            not_before: Duration::ZERO,
            hurried: false,
        }
    }

    /// Until when this host may act; nothing where it never held the lease.
    #[must_use]
    pub const fn held_until(&self) -> Option<Duration> {
        self.held_until
    }

    /// What was found last, where that is not in doubt.
    #[must_use]
    pub const fn found(&self) -> Option<&Found> {
        self.found.as_ref()
    }

    /// What to do.
    #[must_use]
    pub fn next(&self, now: Duration) -> Step {
        if let Some(loss) = self.loss(now) {
            return Step::Lost(loss);
        }
        if now < self.not_before {
            return Step::Rest(self.not_before);
        }
        let holding = self.held_until.is_some();
        match &self.found {
            None => Step::Read,
            // A lease that somebody deletes is respected as long as it would have been: its holder may still act.
            Some(Found::Missing) if !holding && now < self.free_at => Step::Rest(self.free_at),
            Some(Found::Missing) => Step::Write(Draft::Create),
            Some(Found::Foreign { .. }) => Step::Watch(None),
            // Held by this host without its knowledge: the answer to the write was lost.
            Some(Found::Ours(record)) if record.holder == self.me => {
                if holding && now < self.renew_at {
                    Step::Rest(self.renew_at)
                } else {
                    Step::Write(Draft::Renew)
                }
            }
            Some(Found::Ours(_)) if now < self.free_at => Step::Watch(Some(self.free_at)),
            Some(Found::Ours(_)) => Step::Write(Draft::Take),
        }
    }

    /// A reading or the watch showed this.
    pub fn saw(&mut self, found: Found, now: Duration) {
        if let Found::Ours(record) = &found
            && self.last.as_ref() != Some(record)
        {
            self.free_at = if record.holder.is_empty() { now } else { now + self.respect(record) };
            self.last = Some(record.clone());
            self.hurried = false;
        }
        self.found = Some(found);
    }

    /// A write that was sent at `sent` was taken, and this is what the lease says since.
    pub fn wrote(&mut self, record: Record, sent: Duration, now: Duration) {
        let until = sent + self.timing.renew_deadline;
        // Others count from when the write was carried out, which is later than when it was sent. A tenure that was over when the answer
        // came stays over, and one that would begin in the past does not begin.
        if self.held_until.map_or(now < until, |before| now < before) {
            self.held_until = Some(until);
        }
        self.renew_at = sent + self.timing.retry;
        self.saw(Found::Ours(record), now);
    }

    /// What the lease says is in doubt.
    pub fn doubt(&mut self, doubt: Doubt, now: Duration) {
        self.found = None;
        // One change by somebody else, or one watch that ended, is no reason to wait. Where it goes on so, asking at once would only add to
        // the noise.
        let hurries = match doubt {
            Doubt::Conflict | Doubt::Unwatched => !self.hurried,
            Doubt::Failed => false,
        };
        self.hurried = hurries;
        if !hurries {
            self.not_before = now + self.timing.retry;
        }
    }

    fn loss(&self, now: Duration) -> Option<Loss> {
        let until = self.held_until?;
        match &self.found {
            Some(Found::Ours(record)) if record.holder != self.me => {
                Some(Loss::Taken(record.holder.clone()))
            }
            Some(Found::Foreign { holder }) => Some(Loss::Replaced(holder.clone())),
            Some(Found::Ours(_) | Found::Missing) | None => {
                (now >= until).then_some(Loss::NotRenewed(self.timing.renew_deadline))
            }
        }
    }

    /// What a record says that makes no sense is read as what this host would have written.
    fn respect(&self, record: &Record) -> Duration {
        let secs = record.duration_secs.and_then(|secs| u64::try_from(secs).ok());
        secs.filter(|secs| *secs > 0).map_or(self.timing.duration, Duration::from_secs)
    }
}

#[cfg(test)]
mod tests;
