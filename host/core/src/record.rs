//! The host's notes on a passage, kept on the owning claim and written only when something must outlive a pod.

use crate::{TimeMs, seen::Set};

/// What the next attempt must know even if no pod is left to tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The UID of the set whose passage this is.
    pub set_uid: String,
    /// The set's generation that it was written for.
    pub generation: u64,
    /// The number of the attempt that comes next, or that runs; from 1.
    pub attempt: u32,
    /// Before this time no drain pod is created, and none is sealed.
    pub not_before: Option<TimeMs>,
    /// When the state was last noted for a verdict that waits.
    pub state_at: Option<TimeMs>,
    /// What the policy wants to be told again.
    pub state: String,
    /// Why nothing more is tried until the set, its config or its policy changes.
    pub hold: Option<Hold>,
}

/// What stands on the owning claim where the record is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Noted {
    /// Nothing.
    #[default]
    Nothing,
    /// A record.
    Record(Record),
    /// Something that is no record that this host can read: it is broken, or a later version wrote it. What it says of the passage is not known.
    Unreadable {
        /// Why it cannot be read.
        why: String,
    },
}

/// A rest until something changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub why: String,
    /// The [`crate::Settings::fingerprint`] that it holds for.
    pub settings: u64,
}

impl Noted {
    /// The record, where there is one that can be read.
    #[must_use]
    pub const fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Nothing | Self::Unreadable { .. } => None,
        }
    }

    /// Why what stands there cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> Option<&str> {
        match self {
            Self::Unreadable { why } => Some(why),
            Self::Nothing | Self::Record(_) => None,
        }
    }
}

impl Record {
    /// A record for this passage with nothing noted yet.
    #[must_use]
    pub fn of(set: &Set) -> Self {
        Self { set_uid: set.uid.clone(), generation: set.generation, attempt: 1, ..Self::default() }
    }

    /// Whether it says that nothing more is tried under these settings.
    #[must_use]
    pub fn holds(&self, settings: u64) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.settings == settings)
    }

    /// Whether it was written for this passage. Where the set's UID or generation differs the member may have been back
    /// since, and what was noted says nothing about the data that lies there now.
    #[must_use]
    pub fn is_of(&self, set: &Set) -> bool {
        self.set_uid == set.uid && self.generation == set.generation
    }
}
