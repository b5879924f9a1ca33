//! Whether this host may act, for everybody who asks: one look at two numbers, cheap enough before each write.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tidegate_core::TimeMs;
use tokio::sync::watch;

use crate::clock;

/// The time in which this host may act. It begins once, is made longer by each renewal, and ends once: by itself where no renewal comes,
/// or because it is closed.
#[derive(Debug)]
pub struct Tenure {
    /// On the monotonic clock, in milliseconds. Zero before it begins.
    until_ms: AtomicU64,
    /// On the cluster's clock, in milliseconds.
    began_ms: AtomicU64,
    closed: AtomicBool,
    begun: watch::Sender<bool>,
}

impl Tenure {
    /// One that has not begun.
    #[must_use]
    pub fn waiting() -> Self {
        Self {
            until_ms: AtomicU64::new(0),
            began_ms: AtomicU64::new(u64::MAX),
            closed: AtomicBool::new(false),
            begun: watch::Sender::new(false),
        }
    }

    /// One that lasts until it is closed, for a host that holds no lease.
    #[must_use]
    pub fn without_lease() -> Self {
        let tenure = Self::waiting();
        tenure.extend(Duration::from_millis(u64::MAX));
        tenure
    }

    /// Whether this host may act at this moment.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let until = Duration::from_millis(self.until_ms.load(Ordering::Acquire));
        !self.closed.load(Ordering::Acquire) && clock::monotonic() < until
    }

    /// When it began. What is younger, this host has seen from the start.
    #[must_use]
    pub fn began(&self) -> TimeMs {
        TimeMs(self.began_ms.load(Ordering::Acquire))
    }

    /// Waits until it begins. Whoever asks later is answered at once.
    pub async fn begins(&self) {
        // An error means that the sender is gone, and it lives as long as this.
        let _ = self.begun.subscribe().wait_for(|begun| *begun).await;
    }

    /// It lasts until then.
    pub(super) fn extend(&self, until: Duration) {
        if !*self.begun.borrow() {
            self.began_ms.store(clock::now().0, Ordering::Release);
        }
        let until_ms = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.until_ms.store(until_ms, Ordering::Release);
        self.begun.send_if_modified(|begun| !std::mem::replace(begun, true));
    }

    /// It is over, whatever comes: nothing is begun any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_not_held_before_it_begins() {
        assert!(!Tenure::waiting().is_held());
    }

    #[test]
    fn it_ends_by_itself() {
        let tenure = Tenure::waiting();
        tenure.extend(clock::monotonic() + Duration::from_secs(3_600));
        assert!(tenure.is_held());
        // The clock counts from its first use, and its first millisecond is too early for a time that is past.
        let past = Duration::from_millis(1);
        while clock::monotonic() <= past {
            std::thread::yield_now();
        }
        tenure.extend(past);
        assert!(!tenure.is_held());
    }

    #[test]
    fn a_renewal_does_not_open_it_again() {
        let tenure = Tenure::without_lease();
        assert!(tenure.is_held());
        tenure.close();
        tenure.extend(Duration::from_millis(u64::MAX));
        assert!(!tenure.is_held());
    }

    #[test]
    fn it_begins_when_it_is_first_held() {
        let tenure = Tenure::waiting();
        assert_eq!(tenure.began(), TimeMs(u64::MAX));
        let before = clock::now();
        tenure.extend(Duration::from_millis(u64::MAX));
        let began = tenure.began();
        assert!(before <= began && began <= clock::now());
        tenure.extend(Duration::from_millis(u64::MAX));
        assert_eq!(tenure.began(), began);
    }
}
