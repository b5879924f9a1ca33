//! What is known of one place.

use std::sync::Arc;

use tidegate_core::backoff;

use super::{Errands, Place, Retry};
use crate::policy::Digest;

/// The longest pause before a ConfigMap is asked for again that could not be read, in milliseconds: no watch tells when the API server answers again.
const PASSING_LONGEST_MS: u64 = 30_000;

/// What a place held when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::modules) struct Held {
    /// The digest of the component.
    pub(in crate::modules) digest: Digest,
    /// The entry that it was found in.
    pub(in crate::modules) key: String,
}

/// Why a policy is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::modules) struct Trouble {
    /// What is wrong, where, and the mend.
    pub(in crate::modules) what: String,
    /// What may help.
    pub(in crate::modules) kind: Kind,
}

/// What may help where a policy is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::modules) enum Kind {
    /// There is no such ConfigMap: that there is one, of which a watch tells.
    Absent,
    /// It holds something else or something bad: that it changes, of which a watch tells.
    Wrong,
    /// It broke a limit that a machine with less to do may not have reached: time, besides.
    Costly {
        /// How long this is believed, in milliseconds.
        lasts_ms: u64,
    },
    /// It could not be read, or the host could not work: time alone.
    Passing,
}

/// What was seen of the ConfigMap while a place was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::modules) enum Read {
    /// This version of it, which is none where there is no such ConfigMap.
    At(Option<String>),
    /// Nothing: it could not be read.
    Nothing,
}

/// A place that somebody names.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) found: Option<Result<Held, Trouble>>,
    pub(super) work: Work,
    /// The version of the ConfigMap that was read; none where there was none.
    pub(super) version: Option<String>,
    /// How often in a row nothing came of it.
    pub(super) failures: u32,
}

/// Whether a place is being loaded.
#[derive(Default)]
pub(super) enum Work {
    #[default]
    Idle,
    Loading,
    /// The ConfigMap changed meanwhile, and has this version now.
    Stale(Option<String>),
}

impl Entry {
    pub(super) fn load(&mut self, place: &Arc<Place>, errands: &mut Errands) {
        if matches!(self.work, Work::Idle) {
            self.work = Work::Loading;
            errands.load.push(Arc::clone(place));
        }
    }

    /// Answers what it held before, where it holds something else.
    pub(super) fn settle(
        &mut self,
        place: &Arc<Place>,
        found: Result<Held, Trouble>,
        read: Read,
        errands: &mut Errands,
    ) -> Option<Held> {
        self.failures = if found.is_ok() { 0 } else { self.failures.saturating_add(1) };
        let after_ms = match &found {
            Ok(_) | Err(Trouble { kind: Kind::Absent | Kind::Wrong, .. }) => None,
            Err(Trouble { kind: Kind::Costly { lasts_ms }, .. }) => Some(*lasts_ms),
            Err(Trouble { kind: Kind::Passing, .. }) => {
                Some(backoff::delay_ms(self.failures).min(PASSING_LONGEST_MS))
            }
        };
        if let Some(after_ms) = after_ms {
            errands.retry.push(Retry {
                place: Arc::clone(place),
                failures: self.failures,
                after_ms,
            });
        }
        if let Read::At(version) = read {
            self.version = version;
        }
        let before = self.found.replace(found);
        let work = std::mem::take(&mut self.work);
        let is_other = matches!(work, Work::Stale(latest) if latest != self.version);
        if is_other && self.is_watched(place) {
            self.load(place, errands);
        }
        before.and_then(Result::ok)
    }

    /// What it held when it was read last.
    pub(super) fn held(&self) -> Option<&Held> {
        self.found.as_ref()?.as_ref().ok()
    }

    /// What is pinned and was had never changes. What is asked for again by itself needs no watch.
    pub(super) fn is_watched(&self, place: &Place) -> bool {
        match &self.found {
            None | Some(Err(Trouble { kind: Kind::Passing, .. })) => false,
            Some(Err(_)) => true,
            Some(Ok(_)) => place.digest.is_none(),
        }
    }
}
