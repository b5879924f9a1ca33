//! What follows from a change of the book.

use std::{collections::BTreeSet, sync::Arc};

use super::{Held, Named, Place};
use crate::{objects::Shown, policy::Digest, watch::Key};

/// What has to be done after a change of the book.
#[derive(Default)]
pub(in crate::modules) struct Errands {
    /// These have to be loaded.
    pub(in crate::modules) load: Vec<Arc<Place>>,
    /// These have to be checked.
    pub(in crate::modules) check: Vec<Check>,
    /// These have to be tried again later.
    pub(in crate::modules) retry: Vec<Retry>,
    /// The modules of these digests are named by nobody any more.
    pub(in crate::modules) release: Vec<Digest>,
    /// Whether these ConfigMaps are to be watched may have changed.
    pub(in crate::modules) maps: BTreeSet<Key>,
    /// These sets are to be looked at.
    pub(in crate::modules) wake: BTreeSet<Key>,
    /// These sets are drained by another policy than before, which is to be told.
    pub(in crate::modules) swapped: Vec<(Key, Digest)>,
    /// The UIDs of sets whose check may be due.
    pub(super) look_at: Vec<String>,
}

/// What a place holds is to be checked against one set.
#[derive(Clone, Debug)]
pub(in crate::modules) struct Check {
    /// The set's UID.
    pub(in crate::modules) uid: String,
    /// The set's namespace and name.
    pub(in crate::modules) set: Key,
    /// Its number.
    pub(in crate::modules) number: u64,
    /// What the set names.
    pub(in crate::modules) named: Named,
    /// What was found there.
    pub(in crate::modules) held: Held,
    /// What tells that set from one that a person has changed since.
    pub(in crate::modules) shown: Shown,
}

/// A try that is put off.
#[derive(Clone, Debug)]
pub(in crate::modules) struct Retry {
    /// What is tried.
    pub(in crate::modules) place: Arc<Place>,
    /// After how many failures: where there is another by then, that one has its own try.
    pub(in crate::modules) failures: u32,
    /// How much later, in milliseconds.
    pub(in crate::modules) after_ms: u64,
}

impl Errands {
    /// Adds others.
    pub(in crate::modules) fn extend(&mut self, others: Self) {
        self.load.extend(others.load);
        self.check.extend(others.check);
        self.retry.extend(others.retry);
        self.release.extend(others.release);
        self.maps.extend(others.maps);
        self.wake.extend(others.wake);
        self.swapped.extend(others.swapped);
        self.look_at.extend(others.look_at);
    }
}
