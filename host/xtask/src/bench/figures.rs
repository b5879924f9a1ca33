//! Measured times, and how they are told.

use std::fmt;
use std::time::Duration;

/// Times of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub(super) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that this many of a hundred are not above; zero where there are none.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    /// How many times as long as `floor` this is, at p50 and p99.
    pub(super) fn ratio(&self, floor: &Self) -> String {
        let ratio = |percent| {
            let floor = floor.percentile(percent).as_secs_f64();
            self.percentile(percent).as_secs_f64() / floor
        };
        format!("{:.2} at p50, {:.2} at p99", ratio(50), ratio(99))
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1_000.0;
        write!(f, "p50 {:6.2} ms   p99 {:6.2} ms   of {}", ms(50), ms(99), self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let mut times = Times::default();
        assert_eq!(times.percentile(50), Duration::ZERO);
        (1..=200).rev().map(Duration::from_millis).for_each(|time| times.add(time));
        assert_eq!(times.percentile(50), Duration::from_millis(100));
        assert_eq!(times.percentile(99), Duration::from_millis(198));
        assert_eq!(times.percentile(100), Duration::from_millis(200));
    }
}
