//! What a policy answered, as the host passes it in. A fault is an answer too, and never a yes.

use crate::TimeMs;

/// An answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `render`: this drain pod.
    Pod(Box<PodBody>),
    /// `render` or `judge`: not yet.
    Wait {
        /// One sentence for a person.
        reason: String,
        /// How much of the work is done, if the policy knows.
        percent: Option<u8>,
        /// When to ask again even if nothing changes.
        ask_again_at: Option<TimeMs>,
        /// The state to be told from then on, where it changed.
        state: Option<String>,
    },
    /// `render`: leave the claims.
    Keep(String),
    /// `render`: leave the claims; a person must mend something.
    Refuse(String),
    /// `judge`: end this pod and try again.
    Retry {
        /// One sentence for a person.
        reason: String,
        /// How long to wait before the next attempt, in milliseconds.
        after_ms: u64,
        /// The state to be told from then on.
        state: String,
    },
    /// `judge`: all data is safe elsewhere.
    Complete(String),
    /// `judge`: give the ordinal back with its data.
    Cancel(String),
    /// `judge`: stop and keep everything.
    Fail(String),
    /// What the policy rendered is not a pod that the host may create.
    Rejected {
        /// The field that is wrong.
        field: String,
        /// What is wrong with it and how to mend it.
        mend: String,
    },
    /// The policy could not be found, loaded or asked, or broke a limit.
    Fault {
        /// What happened and how to mend it.
        what: String,
        /// When to try again; none where the host looks again by itself once it may help.
        ask_again_at: Option<TimeMs>,
    },
    /// The policy is being fetched or compiled: the host looks again when that has ended.
    Loading(String),
    /// The policy that rendered this drain pod cannot be had any more.
    ModuleGone(String),
}

/// A drain pod that is ready to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodBody {
    /// The whole pod as JSON; the core passes it on unread.
    pub manifest: String,
    /// The template whose claim owns the pod.
    pub owner: String,
    /// The UIDs of the claims that it mounts or discards, by template.
    pub claims: std::collections::BTreeMap<String, String>,
    /// What the next attempt must know even if this pod vanishes.
    pub state: Option<String>,
    /// What the host took out of the template, in words, to be told.
    pub removed: Vec<String>,
}
