//! How long the lease is good for, and what the three spans must be to each other.

use std::time::Duration;

/// The spans of the election, with client-go's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// How long a host that waits respects a lease after it last saw it change.
    pub duration: Duration,
    /// How long a host acts after it sent the last renewal that was taken.
    pub renew_deadline: Duration,
    /// The pause between two renewals, and after a request that failed.
    pub retry: Duration,
}

impl Timing {
    /// Spans that fit together.
    ///
    /// # Errors
    /// Where they do not: the message names the flags and the mend.
    pub fn new(
        duration: Duration,
        renew_deadline: Duration,
        retry: Duration,
    ) -> Result<Self, String> {
        if renew_deadline >= duration {
            return Err(format!(
                "--lease-renew-deadline-secs ({}) must be less than --lease-duration-secs ({}): a host has to stop before another may begin",
                renew_deadline.as_secs(),
                duration.as_secs()
            ));
        }
        if retry >= renew_deadline {
            return Err(format!(
                "--lease-retry-secs ({}) must be less than --lease-renew-deadline-secs ({}): a lease could not be renewed before it is given up",
                retry.as_secs(),
                renew_deadline.as_secs()
            ));
        }
        Ok(Self { duration, renew_deadline, retry })
    }

    /// How long one request about the lease may take, as client-go has it: one that hangs leaves room for another before the deadline.
    #[must_use]
    pub fn request_deadline(&self) -> Duration {
        self.renew_deadline / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(duration: u64, renew_deadline: u64, retry: u64) -> Result<Timing, String> {
        let secs = Duration::from_secs;
        Timing::new(secs(duration), secs(renew_deadline), secs(retry))
    }

    #[test]
    fn a_host_stops_before_another_may_begin() {
        assert!(timing(15, 10, 2).is_ok());
        for renew_deadline in [15, 16] {
            let why = timing(15, renew_deadline, 2).unwrap_err();
            assert!(why.contains("--lease-renew-deadline-secs"), "{why}");
        }
    }

    #[test]
    fn a_lease_is_renewed_before_it_is_given_up() {
        for retry in [10, 11] {
            let why = timing(15, 10, retry).unwrap_err();
            assert!(why.contains("--lease-retry-secs"), "{why}");
        }
    }
}
