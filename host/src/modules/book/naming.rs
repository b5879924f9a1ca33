//! What one set names, and what stands against it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Place,
    entry::{Entry, Held, Kind, Trouble},
};
use crate::{objects::Shown, policy::Digest, watch::Key};

/// What one set names, and its drain pods.
pub(super) struct Naming {
    pub(super) set: Key,
    pub(super) named: Option<Named>,
    /// By the drain pods' names, where their policies came from.
    pub(super) drains: BTreeMap<String, Arc<Place>>,
    /// By the names of pods that were rendered a moment ago, by what: their drain pods may be there before any watch shows them.
    pub(super) rendered: BTreeMap<String, Digest>,
    pub(super) in_use: Option<Use>,
    pub(super) check: Checking,
    /// The number of the check that runs, or ran last.
    pub(super) checked_by: u64,
    /// What tells whether a policy would be shown another set than before.
    pub(super) shown: Shown,
    /// The set as what is in use took it, whatever its size.
    pub(super) taken_as: Option<u64>,
}

/// What a set's annotations name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::modules) struct Named {
    /// Where the policy lies.
    pub(in crate::modules) place: Arc<Place>,
    /// What tells whether policy or config have changed.
    pub(in crate::modules) fingerprint: u64,
}

/// What a set is drained by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::modules) struct Use {
    pub(in crate::modules) named: Named,
    pub(in crate::modules) held: Held,
}

/// The check of what a place holds against one set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checking {
    Idle,
    Running(Named, Digest, Before),
    /// Why, and the set as it was shown: what is wrong may be mended in it, and then policy and config are as they were.
    Refused(Named, Digest, Shown, String),
}

/// What is known of a check while there is no answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    /// The set as it was before was not taken.
    Refused(String),
    /// It could not be made the last time.
    Failed(String),
}

/// What stands against what a set names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::modules) enum Against {
    /// The policy is not there.
    Policy(Trouble),
    /// The policy does not take the config.
    Config(String),
}

impl Naming {
    pub(super) fn of(set: &Key) -> Self {
        Self {
            set: set.clone(),
            named: None,
            drains: BTreeMap::new(),
            rendered: BTreeMap::new(),
            in_use: None,
            check: Checking::Idle,
            checked_by: 0,
            shown: Shown::default(),
            taken_as: None,
        }
    }

    pub(super) fn clear(&mut self) {
        self.named = None;
        self.drains.clear();
    }

    /// Nobody waits for the answer to a check of what is not named any more.
    pub(super) fn end_other_checks(&mut self) {
        if matches!(&self.check, Checking::Running(of, ..) if self.named.as_ref() != Some(of)) {
            self.check = Checking::Idle;
        }
    }

    /// Whether what was not taken is being checked anew, because the set has changed.
    pub(super) fn is_checked_again(&self) -> bool {
        matches!(self.check, Checking::Running(..))
    }

    pub(super) fn places(&self) -> BTreeSet<Arc<Place>> {
        let named = self.named.iter().map(|named| &named.place);
        named.chain(self.drains.values()).cloned().collect()
    }

    pub(super) fn names(&self, place: &Arc<Place>) -> bool {
        let named = self.named.as_ref().map(|named| &named.place);
        named == Some(place) || self.drains.values().any(|of| of == place)
    }

    pub(super) fn is_on(&self, digest: &Digest) -> bool {
        let is_it = |place: &Arc<Place>| place.digest.as_ref() == Some(digest);
        self.in_use.as_ref().is_some_and(|used| used.held.digest == *digest)
            || self.named.as_ref().is_some_and(|named| is_it(&named.place))
            || self.drains.values().any(is_it)
            || self.rendered.values().any(|rendered| rendered == digest)
    }

    pub(super) fn trouble(&self, places: &BTreeMap<Arc<Place>, Entry>) -> Option<Against> {
        let named = self.named.as_ref()?;
        match places.get(&named.place)?.found.as_ref()? {
            Err(trouble) => Some(Against::Policy(trouble.clone())),
            Ok(held) => match &self.check {
                Checking::Refused(of, digest, _, why)
                | Checking::Running(of, digest, Before::Refused(why))
                    if (of, digest) == (named, &held.digest) =>
                {
                    Some(Against::Config(why.clone()))
                }
                Checking::Running(of, digest, Before::Failed(why))
                    if (of, digest) == (named, &held.digest) =>
                {
                    let what = format!(
                        "the set's config could not be checked, which is tried again: {why}"
                    );
                    Some(Against::Policy(Trouble { what, kind: Kind::Passing }))
                }
                Checking::Refused(..) | Checking::Running(..) | Checking::Idle => None,
            },
        }
    }
}
