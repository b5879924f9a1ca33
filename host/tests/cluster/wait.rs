//! Waiting for something with a name and a deadline.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How often is looked: seldom enough to leave the processors to the cluster.
const POLL: Duration = Duration::from_millis(100);

/// How long a step may take that is done in a few seconds on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// What was looked for: found, or what is there instead.
pub(crate) enum Look<T> {
    /// It is so.
    Found(T),
    /// It is not so yet; what there is, for the one who reads that it never was.
    NotYet(String),
}

/// Looks until it is so, and answers what was found.
///
/// Fails after `deadline` with what was there at the last look, and at once where looking fails.
pub(crate) fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<Look<T>>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        match look().with_context(|| format!("looking whether {what}"))? {
            Look::Found(found) => return Ok(found),
            Look::NotYet(seen) if Instant::now() > end => {
                bail!("after {} s it is not so that {what}; there is: {seen}", deadline.as_secs())
            }
            Look::NotYet(_) => sleep(POLL),
        }
    }
}

/// Looks for `period` whether it stays so. Fails at once where it does not.
pub(crate) fn stays(
    what: &str,
    period: Duration,
    mut look: impl FnMut() -> Result<Look<()>>,
) -> Result<()> {
    let end = Instant::now() + period;
    while Instant::now() < end {
        match look().with_context(|| format!("looking whether {what}"))? {
            Look::Found(()) => sleep(POLL),
            Look::NotYet(seen) => bail!("it did not stay so that {what}; there is: {seen}"),
        }
    }
    Ok(())
}

/// Found where it is true.
pub(crate) fn found_if(so: bool, seen: impl FnOnce() -> String) -> Look<()> {
    if so { Look::Found(()) } else { Look::NotYet(seen()) }
}
