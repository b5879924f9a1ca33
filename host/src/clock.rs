//! The one place that reads the clock.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use k8s_openapi::jiff::Timestamp;
use tidegate_core::TimeMs;

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
