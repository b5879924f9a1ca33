//! The one place that reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_core::TimeMs;

/// The time. A clock before 1970 reads as 1970.
#[must_use]
pub fn now() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
