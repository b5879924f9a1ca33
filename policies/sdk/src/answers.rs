//! Short ways to the answers that most policies give.

use crate::{JudgeWait, Pod, PodTemplate, RenderWait, Rendering, Retry, Traffic, Verdict};

impl Pod {
    /// A pod that is never Ready and gives up the claims of the templates in `discard`; the state is left as it is.
    pub fn new(template: PodTemplate, discard: Vec<String>) -> Self {
        Self { template: template.into_json(), traffic: Traffic::None, discard, state: None }
    }
}

impl Rendering {
    /// Create this pod: never Ready, nothing discarded, the state left as it is.
    pub fn create(template: PodTemplate) -> Self {
        Self::Pod(Pod::new(template, Vec::new()))
    }

    /// Not yet. The host asks again when something changes that the policy is shown.
    pub fn wait(reason: impl Into<String>) -> Self {
        Self::Wait(RenderWait { reason: reason.into(), ask_again: None })
    }

    /// Not yet. The host asks again after `after_ms` milliseconds even where nothing has changed by then.
    pub fn wait_for(reason: impl Into<String>, after_ms: u64) -> Self {
        Self::Wait(RenderWait { reason: reason.into(), ask_again: Some(after_ms) })
    }

    /// Leave the claims and the name alone; all is well.
    pub fn keep(reason: impl Into<String>) -> Self {
        Self::Keep(reason.into())
    }

    /// Leave the claims and the name alone; `reason` says what is wrong, where, and how a person mends it.
    pub fn refuse(reason: impl Into<String>) -> Self {
        Self::Refuse(reason.into())
    }
}

impl Verdict {
    /// Go on as it is. The host asks again when something changes that the policy is shown.
    pub fn wait(reason: impl Into<String>) -> Self {
        Self::Wait(JudgeWait { reason: reason.into(), percent: None, ask_again: None, state: None })
    }

    /// Go on as it is, with `percent` of the work done (0 to 100).
    pub fn progress(reason: impl Into<String>, percent: u8) -> Self {
        Self::Wait(JudgeWait {
            reason: reason.into(),
            percent: Some(percent.min(100)),
            ask_again: None,
            state: None,
        })
    }

    /// Another attempt after `after_ms` milliseconds, which is told `state`.
    pub fn retry(reason: impl Into<String>, after_ms: u64, state: impl Into<String>) -> Self {
        Self::Retry(Retry { reason: reason.into(), after: after_ms, state: state.into() })
    }

    /// All that the claims hold is safe elsewhere: delete them.
    pub fn complete(reason: impl Into<String>) -> Self {
        Self::Complete(reason.into())
    }

    /// Give the ordinal back with the data that it has.
    pub fn cancel(reason: impl Into<String>) -> Self {
        Self::Cancel(reason.into())
    }

    /// Stop and keep everything until a person acts.
    pub fn fail(reason: impl Into<String>) -> Self {
        Self::Fail(reason.into())
    }
}
