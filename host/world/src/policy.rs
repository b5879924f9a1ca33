//! The policy. As it should be, it renders a pod for every orphan, says complete of a pod that ended by itself and waits otherwise. Odd, it
//! may answer anything, and may fail.

use tidegate_core::{Answer, Drain, Ending, PodBody, TimeMs};

/// An answer that is not the one it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Odd {
    /// Not yet.
    Wait,
    /// Leave the claims.
    Keep,
    /// All data is safe elsewhere.
    Complete,
    /// End this pod and try again.
    Retry,
    /// Give the ordinal back.
    Cancel,
    /// Stop and keep everything.
    Fail,
    /// It could not be asked.
    Fault,
    /// It cannot be had any more.
    Gone,
}

/// What may be answered about an orphan besides what should be.
pub const OF_RENDER: [Odd; 3] = [Odd::Wait, Odd::Keep, Odd::Fault];
/// What may be answered about a drain pod besides what should be.
pub const OF_JUDGE: [Odd; 7] =
    [Odd::Wait, Odd::Complete, Odd::Retry, Odd::Cancel, Odd::Fail, Odd::Fault, Odd::Gone];

/// How long after a fault the policy is asked again, in milliseconds.
const FAULT_PAUSE_MS: u64 = 1_000;

/// What it should answer about an orphan.
#[must_use]
pub fn renders(body: PodBody) -> Answer {
    Answer::Pod(Box::new(body))
}

/// What it should answer about a drain pod.
#[must_use]
pub fn judges(drain: &Drain) -> Answer {
    match drain.ending {
        Ending::ByItself => Answer::Complete("moved".to_owned()),
        Ending::NotEnded | Ending::Failed(_) | Ending::CutShort(_) => waits(),
    }
}

/// An odd answer.
#[must_use]
pub fn odd(odd: Odd, now: TimeMs) -> Answer {
    let why = || "odd".to_owned();
    match odd {
        Odd::Wait => waits(),
        Odd::Keep => Answer::Keep(why()),
        Odd::Complete => Answer::Complete(why()),
        Odd::Retry => Answer::Retry { reason: why(), after_ms: 0, state: String::new() },
        Odd::Cancel => Answer::Cancel(why()),
        Odd::Fail => Answer::Fail(why()),
        Odd::Fault => {
            Answer::Fault { what: why(), ask_again_at: Some(now.after_ms(FAULT_PAUSE_MS)) }
        }
        Odd::Gone => Answer::ModuleGone(why()),
    }
}

fn waits() -> Answer {
    let reason = "the drain pod works".to_owned();
    Answer::Wait { reason, percent: None, ask_again_at: None, state: None }
}
