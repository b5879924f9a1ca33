//! Time as data.

/// Milliseconds since 1970 UTC. The core never reads a clock; whoever calls it says what time it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeMs(pub u64);

impl TimeMs {
    /// The time so many milliseconds later; stays at the largest time rather than wrapping.
    #[must_use]
    pub const fn after_ms(self, delay_ms: u64) -> Self {
        Self(self.0.saturating_add(delay_ms))
    }

    /// How many milliseconds remain until `self`, seen from `now`; zero when it has passed.
    #[must_use]
    pub const fn remaining_ms(self, now: Self) -> u64 {
        self.0.saturating_sub(now.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_counted_to_the_end_and_not_below() {
        assert_eq!(TimeMs(7).remaining_ms(TimeMs(4)), 3);
        assert_eq!(TimeMs(4).remaining_ms(TimeMs(7)), 0);
        assert_eq!(TimeMs(u64::MAX).after_ms(1), TimeMs(u64::MAX));
    }
}
