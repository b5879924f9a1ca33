//! No hot loop: what a host asks about one namespace in a short while is bounded, whatever happens there.

use std::time::Duration;

use super::super::past::Past;

/// The while.
const WHILE: Duration = Duration::from_secs(10);

/// How many requests about one namespace each life of a host may send in it. A drain takes some fifteen, and a schedule moves the set a few times
/// a second; a loop without a pause sends as many in a fraction of the time.
const REQUESTS_MAX: usize = 600;

/// Counts them.
pub(super) fn judge(past: &Past) -> Vec<String> {
    let mut credentials: Vec<&str> = past.asked.iter().map(|asked| &*asked.credential).collect();
    credentials.sort_unstable();
    credentials.dedup();
    let of_one = credentials.into_iter().filter_map(|credential| {
        let asked = past.asked.iter().filter(|asked| asked.credential == credential);
        let mut times: Vec<_> = asked.map(|asked| asked.received).collect();
        times.sort_unstable();
        let most = times.windows(REQUESTS_MAX + 1).find(|window| {
            let (first, last) = (window[0], window[REQUESTS_MAX]);
            last.duration_since(first).unsigned_abs() < WHILE
        })?;
        Some(format!(
            "a host asked more than {REQUESTS_MAX} times within {} s, from {} on",
            WHILE.as_secs(),
            most[0]
        ))
    });
    of_one.collect()
}
