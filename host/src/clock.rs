//! The one place that reads the clock.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use k8s_openapi::jiff::Timestamp;
use tidegate_core::TimeMs;

/// What a host decides by.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock.
    Machine,
    /// A clock that stands still until somebody moves it, so that hours of a simulated cluster pass in no time. In milliseconds since 1970.
    Told(Arc<AtomicU64>),
}

impl Clock {
    /// The time.
    #[must_use]
    pub fn now(&self) -> TimeMs {
        match self {
            Self::Machine => now(),
            Self::Told(told) => TimeMs(told.load(Ordering::Acquire)),
        }
    }
}

/// The time. A clock before 1970 reads as 1970.
#[must_use]
pub fn now() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The same, as precise as the machine has it.
#[must_use]
pub fn timestamp() -> Timestamp {
    Timestamp::now()
}

/// How long this process has run, by a clock that nobody sets: what spans are measured with. It stands still while the machine sleeps.
#[must_use]
pub fn monotonic() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}
